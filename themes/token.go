package themes

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"shingle/internal/fault"
)

// ColorName is a colour token, named as shadcn themes name it.
type ColorName string

// ColorNames are all colour tokens, in the order in which they print.
var ColorNames = []ColorName{
	"background", "foreground", "card", "card-foreground",
	"primary", "primary-foreground", "secondary", "secondary-foreground",
	"muted", "muted-foreground", "accent", "accent-foreground",
	"border", "input", "ring", "destructive",
}

// Palette gives each colour token a value.
type Palette map[ColorName]Color

// Tokens are a board's look in values. The zero value of a field means the
// preset's.
type Tokens struct {
	Light       Palette `json:"light,omitempty" toml:"light"`
	Dark        Palette `json:"dark,omitempty" toml:"dark"`
	FontBody    Font    `json:"font_body,omitempty" toml:"font-body"`
	FontHeading Font    `json:"font_heading,omitempty" toml:"font-heading"`
	Radius      Length  `json:"radius,omitempty" toml:"radius"`
	Density     Number  `json:"density,omitempty" toml:"density"` // 0.8 (tight) to 1.3 (airy)
	Measure     Length  `json:"measure,omitempty" toml:"measure"` // of descriptions, in ch
}

// Length is a CSS length in px, rem, em or ch.
type Length struct {
	n    float64
	unit string
	set  bool
}

var lengthForm = regexp.MustCompile(`^(\d{1,4}(?:\.\d{1,4})?|\.\d{1,4})(px|rem|em|ch)?$`)

// ParseLength reads "0", "8px", "0.625rem", "68ch". Kind: fault.Invalid.
func ParseLength(s string) (Length, error) {
	m := lengthForm.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return Length{}, fault.New(fault.Invalid, "%q is not a length such as 8px or 0.5rem", clip(s, 20))
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil || (m[2] == "" && n != 0) {
		return Length{}, fault.New(fault.Invalid, "%q needs a unit: px, rem, em or ch", clip(s, 20))
	}
	return Length{n, m[2], true}, nil
}

func (l Length) String() string {
	if !l.set {
		return ""
	}
	if l.n == 0 {
		return "0px"
	}
	return num(l.n, 4) + l.unit
}

// IsZero reports an unset length.
func (l Length) IsZero() bool { return !l.set }

// MarshalText implements encoding.TextMarshaler.
func (l Length) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *Length) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*l = Length{}
		return nil
	}
	v, err := ParseLength(string(b))
	if err == nil {
		*l = v
	}
	return err
}

// Number is a plain factor.
type Number float64

// DefaultsFrom fills what t leaves open from base.
func (t Tokens) DefaultsFrom(base Tokens) Tokens {
	merge := func(over, under Palette) Palette {
		out := Palette{}
		for _, n := range ColorNames {
			if c := over[n]; !c.IsZero() {
				out[n] = c
			} else if c := under[n]; !c.IsZero() {
				out[n] = c
			}
		}
		return out
	}
	t.Light, t.Dark = merge(t.Light, base.Light), merge(t.Dark, base.Dark)
	if t.FontBody == "" {
		t.FontBody = base.FontBody
	}
	if t.FontHeading == "" {
		t.FontHeading = base.FontHeading
	}
	if t.Radius.IsZero() {
		t.Radius = base.Radius
	}
	if t.Measure.IsZero() {
		t.Measure = base.Measure
	}
	if t.Density == 0 {
		t.Density = base.Density
	}
	return t
}

// Check says what of t can't be printed. Kind: fault.Invalid, by token.
func (t Tokens) Check() error {
	bad := fault.Fields{}
	for _, p := range []struct {
		name string
		pal  Palette
	}{{"light", t.Light}, {"dark", t.Dark}} {
		for n := range p.pal {
			if !slices.Contains(ColorNames, n) {
				bad[p.name+"."+clip(string(n), 30)] = "is not a token"
			}
		}
	}
	if _, ok := stacks[t.FontBody]; t.FontBody != "" && !ok {
		bad["font_body"] = "is not a font we have"
	}
	if _, ok := stacks[t.FontHeading]; t.FontHeading != "" && !ok {
		bad["font_heading"] = "is not a font we have"
	}
	if d := float64(t.Density); t.Density != 0 && (math.IsNaN(d) || d < 0.8 || d > 1.3) {
		bad["density"] = "must lie between 0.8 and 1.3"
	}
	if t.Radius.set && (t.Radius.unit == "ch" || px(t.Radius) > 32) {
		bad["radius"] = "must lie between 0 and 32px"
	}
	if t.Measure.set && (t.Measure.unit != "ch" || t.Measure.n < 40 || t.Measure.n > 90) {
		bad["measure"] = "must lie between 40ch and 90ch"
	}
	return fault.Invalids(bad)
}

func px(l Length) float64 {
	if l.unit == "rem" || l.unit == "em" {
		return l.n * 16
	}
	return l.n
}

// CSS prints the tokens as /theme.<hash>.css. Unknown names and fonts are left
// out: Check says so to whoever sets them.
//
// Beside the tokens it prints what packs need derived: --link is the primary
// colour, or its nearest neighbour that reads as text on every ground.
func (t Tokens) CSS() []byte {
	var b bytes.Buffer
	for _, f := range faces(t.FontBody, t.FontHeading) {
		b.WriteString(f)
	}
	// A dark ground is dark whatever the reader's machine prefers.
	b.WriteString(":root{color-scheme:" + scheme(t.Light))
	if len(t.Dark) > 0 && scheme(t.Light) != scheme(t.Dark) {
		b.WriteByte(' ')
		b.WriteString(scheme(t.Dark))
	}
	b.WriteByte(';')
	writePalette(&b, t.Light)
	if s, ok := stacks[t.FontBody]; ok {
		b.WriteString("--font-body:" + s.css + ";")
	}
	if s, ok := stacks[t.FontHeading]; ok {
		b.WriteString("--font-heading:" + s.css + ";--heading-weight:" + s.weight + ";--heading-tracking:" + s.tracking + ";")
	}
	// Long text is set in the heading's face where that is a serif.
	prose := stacks[t.FontBody]
	if h := stacks[t.FontHeading]; h.serif {
		prose = h
	}
	if prose.css != "" {
		b.WriteString("--font-prose:" + prose.css + ";")
	}
	if t.Radius.set {
		b.WriteString("--radius:" + t.Radius.String() + ";")
	}
	if t.Density > 0 {
		b.WriteString("--density:" + num(float64(t.Density), 3) + ";")
	}
	if t.Measure.set {
		b.WriteString("--measure:" + t.Measure.String() + ";")
	}
	b.WriteString("}\n")
	if len(t.Dark) > 0 {
		b.WriteString("@media screen and (prefers-color-scheme:dark){:root{")
		writePalette(&b, t.Dark)
		b.WriteString("}}\n")
	}
	return b.Bytes()
}

func scheme(p Palette) string {
	if c, ok := p["background"]; ok && c.Contrast(Color{rgb, 1, 1, 1, 1}) > c.Contrast(Color{rgb, 0, 0, 0, 1}) {
		return "dark"
	}
	return "light"
}

// Inline prints the light colours and the typefaces alone, as declarations for
// a rule of somebody else's page.
func (t Tokens) Inline() string {
	var b bytes.Buffer
	writePalette(&b, t.Light)
	if s, ok := stacks[t.FontBody]; ok {
		b.WriteString("--font-body:" + s.css + ";")
	}
	if s, ok := stacks[t.FontHeading]; ok {
		b.WriteString("--font-heading:" + s.css + ";")
	}
	return b.String()
}

func writePalette(b *bytes.Buffer, p Palette) {
	for _, n := range ColorNames {
		if c, ok := p[n]; ok && !c.IsZero() {
			b.WriteString("--" + string(n) + ":" + c.String() + ";")
		}
	}
	primary, ground := p["primary"], p["background"]
	if primary.IsZero() || ground.IsZero() {
		return
	}
	grounds := []Color{ground}
	for _, n := range []ColorName{"card", "muted"} {
		if c := p[n]; !c.IsZero() {
			grounds = append(grounds, c)
		}
	}
	// 5 rather than 4.5: featured cards are tinted with the primary colour.
	b.WriteString("--link:" + primary.Neighbour(5, grounds...).String() + ";")
	bad := p["destructive"]
	if !bad.IsZero() {
		b.WriteString("--bad:" + bad.Neighbour(5, grounds...).String() + ";")
	}
}

// Hash names the tokens' stylesheet.
func Hash(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:6])
}

// pastes finds custom properties in whatever was pasted around them.
var (
	pastes   = regexp.MustCompile(`--([a-z-]{1,40})\s*:\s*([^;{}]{1,120})\s*;?`)
	darkHead = regexp.MustCompile(`(\.dark|\[data-theme=["']?dark["']?\]|prefers-color-scheme\s*:\s*dark)[^{]*\{`)
)

// ParseShadcn reads a pasted block of CSS variables, light and, after a .dark
// selector, dark. Names that we do not use (charts, sidebars, popovers) are
// passed over; ignored lists values that we could not read.
// Kind: fault.Invalid when nothing could be used, or over 64 kB.
func ParseShadcn(css string) (t Tokens, ignored []string, err error) {
	if len(css) > 64<<10 {
		return t, nil, fault.New(fault.Invalid, "The block is too long: paste the :root and .dark rules alone")
	}
	lightPart, darkPart := css, ""
	if m := darkHead.FindStringIndex(css); m != nil {
		end := strings.IndexByte(css[m[1]:], '}')
		if end < 0 {
			end = len(css) - m[1]
		}
		darkPart = css[m[1] : m[1]+end]
		lightPart = css[:m[0]] + css[m[1]+end:]
	}
	read := func(part string) Palette {
		p := Palette{}
		for _, m := range pastes.FindAllStringSubmatch(part, -1) {
			name, value := ColorName(m[1]), strings.TrimSpace(m[2])
			if name == "radius" {
				if l, e := ParseLength(value); e == nil {
					t.Radius = l
				} else {
					ignored = append(ignored, "--radius: "+clip(value, 40))
				}
				continue
			}
			if !slices.Contains(ColorNames, name) {
				continue
			}
			c, e := ParseColor(value)
			if e != nil {
				ignored = append(ignored, "--"+m[1]+": "+clip(value, 40))
				continue
			}
			p[name] = c
		}
		return p
	}
	t.Light, t.Dark = read(lightPart), read(darkPart)
	if len(t.Light)+len(t.Dark) == 0 {
		return t, ignored, fault.New(fault.Invalid, "No colours found: paste lines such as --primary: #1d4ed8;")
	}
	return t, ignored, nil
}
