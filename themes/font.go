package themes

import (
	"slices"

	"shingle/internal/fault"
)

// Font names a stack of typefaces that we allow.
type Font string

type stack struct {
	title    string
	css      string
	file     string // shipped with us; empty for what the reader's machine has
	family   string
	weight   string // of headings
	tracking string // of headings
	serif    bool
}

var stacks = map[Font]stack{
	"system":          {"System", `-apple-system,BlinkMacSystemFont,"Segoe UI",Roboto,"Helvetica Neue","Liberation Sans",Arial,system-ui,sans-serif`, "", "", "650", "-.018em", false},
	"humanist":        {"Humanist", `Seravek,"Gill Sans Nova",Ubuntu,Calibri,"DejaVu Sans",source-sans-pro,sans-serif`, "", "", "600", "-.01em", false},
	"geometric":       {"Geometric", `Avenir,Montserrat,Corbel,"URW Gothic",source-sans-pro,sans-serif`, "", "", "600", "-.015em", false},
	"grotesque":       {"Grotesque", `"Helvetica Neue",Helvetica,"Nimbus Sans",Arial,"Liberation Sans",sans-serif`, "", "", "700", "-.02em", false},
	"rounded":         {"Rounded", `ui-rounded,"Hiragino Maru Gothic ProN",Quicksand,Comfortaa,Manjari,"Arial Rounded MT Bold",Calibri,sans-serif`, "", "", "650", "0em", false},
	"transitional":    {"Book serif", `Charter,"Bitstream Charter","Sitka Text",Cambria,Georgia,serif`, "", "", "600", "-.01em", true},
	"old-style":       {"Old-style serif", `"Iowan Old Style","Palatino Linotype","URW Palladio L",P052,Georgia,serif`, "", "", "600", "-.01em", true},
	"slab":            {"Slab serif", `Rockwell,"Rockwell Nova","Roboto Slab","DejaVu Serif","Sitka Small",serif`, "", "", "600", "-.01em", true},
	"mono":            {"Typewriter", `ui-monospace,"Cascadia Code","Source Code Pro",Menlo,Consolas,"DejaVu Sans Mono",monospace`, "", "", "600", "-.02em", false},
	"inter":           {"Inter", `"Inter Variable",system-ui,-apple-system,"Segoe UI",Roboto,sans-serif`, "inter.woff2", "Inter Variable", "640", "-.021em", false},
	"instrument-sans": {"Instrument Sans", `"Instrument Sans Variable",system-ui,-apple-system,"Segoe UI",sans-serif`, "instrument-sans.woff2", "Instrument Sans Variable", "620", "-.022em", false},
	"newsreader":      {"Newsreader", `"Newsreader Variable",Charter,"Iowan Old Style",Georgia,serif`, "newsreader.woff2", "Newsreader Variable", "500", "-.018em", true},
	"source-serif":    {"Source Serif", `"Source Serif Variable",Charter,"Iowan Old Style",Georgia,serif`, "source-serif.woff2", "Source Serif Variable", "600", "-.015em", true},
}

// FontChoice is one entry of the list that owners choose from.
type FontChoice struct {
	Font    Font
	Title   string
	Shipped bool // costs about 30 kB once; the others cost nothing
}

// Fonts lists the allowed stacks by title.
func Fonts() []FontChoice {
	var out []FontChoice
	for f, s := range stacks {
		out = append(out, FontChoice{f, s.title, s.file != ""})
	}
	slices.SortFunc(out, func(a, b FontChoice) int {
		if a.Title < b.Title {
			return -1
		}
		return 1
	})
	return out
}

// faces are the @font-face rules of the shipped fonts among fs. The file's own
// hash is not needed: a new cut of a font gets a new name.
func faces(fs ...Font) []string {
	var out []string
	for _, f := range fs {
		s, ok := stacks[f]
		if !ok || s.file == "" {
			continue
		}
		rule := `@font-face{font-family:"` + s.family + `";src:url(/assets/` + s.file + `) format("woff2");font-weight:400 700;font-style:normal;font-display:swap}` + "\n"
		if !slices.Contains(out, rule) {
			out = append(out, rule)
		}
	}
	return out
}

// FontFile is a shipped font's file, for pages that are no board's. Kind:
// fault.NotFound.
func FontFile(name string) ([]byte, error) {
	raw, err := shipped.ReadFile("assets/fonts/" + name)
	return raw, fault.Wrap(err, fault.NotFound, "font %s", name)
}
