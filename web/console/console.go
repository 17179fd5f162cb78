// Package console is the shell that board admin, employer's desk and platform
// staff share: layout, components, words, assets. It never reads a row. Start
// at Shell and Page.
package console

import (
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"shingle/internal/fault"
	"shingle/web/route"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed words/*.toml
var wordFiles embed.FS

//go:embed assets
var assetFiles embed.FS

// Locales are the languages that consoles speak.
var Locales = []string{"en", "de"}

// Page is what the shell needs besides a page's own data.
type Page struct {
	Title   string
	Locale  string
	Brand   Brand
	Nav     []NavItem
	User    string // name or address of who is signed in; "" hides the menu
	SignOut string // where the sign-out form posts
	// Menu holds further links of the user's menu.
	Menu []Link
	// Acting is shown on every page while staff acts as somebody.
	Acting *Acting
	// Notices are the platform's announcements.
	Notices []Notice
	// Search is the box that searches everything, if the console has one.
	Search *SearchBox
	// Banner is a standing notice, e.g. of a suspended board.
	Banner string
	// BannerLink is what to do about it.
	BannerLink *Link
	Crumbs     []Link
	// Actions are the buttons at the page's top right; the first is primary.
	Actions []Link
	// Narrow suits forms and texts.
	Narrow bool
	// Bare leaves the navigation out: sign-in, sign-up, errors.
	Bare bool
	// Wide gives a bare page more room.
	Wide bool
	// Public pages want to be found by search engines.
	Public bool

	// Filled by Render.
	Done  string
	Undo  string
	Nonce string
	Data  any
}

// Brand is the board's or the platform's name in the corner.
type Brand struct {
	Name, URL, Logo string
	// Site is where the public pages are; "" hides the link.
	Site string
	// SiteName is the link's text when it is not "View the board".
	SiteName string
	// Accent is a safe CSS colour, AccentText what is readable on it.
	Accent, AccentText template.CSS
}

// Acting is the banner of an impersonated session, in words.
type Acting struct {
	Text, Mode, Left string
	Until            time.Time
	// End is where its form posts.
	End string
}

// Notice is an announcement; Dismiss is where its form posts.
type Notice struct {
	Level, Text, Dismiss string
	Link, LinkText       string
}

// SearchBox is the search in the console's header.
type SearchBox struct{ URL, Label, Query string }

// NavItem is one line of the side navigation.
type NavItem struct {
	Label, URL, Icon string
	Active           bool
	// Count is shown as a badge when it is not zero: what waits for somebody.
	Count int
}

// Link is a labelled address.
type Link struct {
	Label, URL, Icon string
}

// Shell renders pages of one audience inside the shared layout.
type Shell struct {
	words  *Words
	byPage map[string]map[string]func() (*template.Template, error) // locale → page → template
	assets *Assets
}

// NewShell parses an audience's words (words/<locale>.toml) and parts together
// with the shell's own; what does not parse is an error at start. A page (files
// *.html in dir) is parsed when it is first asked for: all of them, each with
// the layout of its language, would be a third of an idle process' memory and
// of its start. Check parses them all.
func NewShell(files fs.FS, dir string, words fs.FS, assets *Assets) (*Shell, error) {
	w, err := LoadWords(wordFiles, words)
	if err != nil {
		return nil, err
	}
	s := &Shell{words: w, byPage: map[string]map[string]func() (*template.Template, error){}, assets: assets}
	for _, locale := range Locales {
		base, err := template.New("layout").Funcs(s.funcs(locale)).ParseFS(templateFiles, "templates/*.html")
		if err != nil {
			return nil, fmt.Errorf("console layout: %w", err)
		}
		pages, err := fs.Glob(files, path.Join(dir, "*.html"))
		if err != nil {
			return nil, err
		}
		// Files that begin with _ hold parts that all pages of the audience share.
		var parts []string
		for _, p := range pages {
			if strings.HasPrefix(path.Base(p), "_") {
				parts = append(parts, p)
			}
		}
		if len(parts) > 0 {
			if base, err = base.ParseFS(files, parts...); err != nil {
				return nil, err
			}
		}
		s.byPage[locale] = map[string]func() (*template.Template, error){}
		for _, p := range pages {
			name := strings.TrimSuffix(path.Base(p), ".html")
			if strings.HasPrefix(name, "_") {
				continue
			}
			s.byPage[locale][name] = sync.OnceValues(func() (*template.Template, error) {
				t, err := base.Clone()
				if err == nil {
					t, err = t.ParseFS(files, p)
				}
				if err != nil {
					return nil, fmt.Errorf("page %s: %w", name, err)
				}
				return t, nil
			})
		}
	}
	return s, nil
}

// Check parses every page in every language.
func (s *Shell) Check() error {
	for _, pages := range s.byPage {
		for _, page := range pages {
			if _, err := page(); err != nil {
				return err
			}
		}
	}
	return nil
}

// Pages lists the page names, for tests.
func (s *Shell) Pages() []string {
	var names []string
	for n := range s.byPage["en"] {
		names = append(names, n)
	}
	return names
}

// T is a word in a language, for titles and messages made in Go.
func (s *Shell) T(locale, key string, args ...any) string { return s.words.T(locale, key, args...) }

// Locale picks the first language that the consoles speak.
func Locale(wanted ...string) string {
	for _, w := range wanted {
		lang, _, _ := strings.Cut(w, "-")
		for _, l := range Locales {
			if lang == l {
				return l
			}
		}
	}
	return "en"
}

// Render writes a page: the template "content" of the named file inside the
// layout. "?ok=<key>" of the address becomes the notice done.<key>.
func (s *Shell) Render(c *gin.Context, status int, page string, p Page, data any) error {
	p.Locale = Locale(p.Locale)
	parsed := s.byPage[p.Locale][page]
	if parsed == nil {
		return errors.New("no console page " + page)
	}
	t, err := parsed()
	if err != nil {
		return err
	}
	p.Nonce, p.Data = route.Nonce(c), data
	if ok := c.Query("ok"); ok != "" && s.words.Has(p.Locale, "done."+ok) {
		p.Done = s.words.T(p.Locale, "done."+ok, c.Query("n"))
		if u := c.Query("undo"); undoForm.MatchString(u) {
			p.Undo = u
		}
	}
	block := "layout"
	if c.GetHeader("HX-Request") == "true" && c.GetHeader("HX-Target") != "" && t.Lookup("fragment-"+c.GetHeader("HX-Target")) != nil {
		block = "fragment-" + c.GetHeader("HX-Target")
	}
	return route.HTML(c, status, func(w io.Writer) error { return t.ExecuteTemplate(w, block, &p) })
}

// undoForm is what an Undo button may post to: a crafted link must not put
// another act behind it.
var undoForm = regexp.MustCompile(`^/admin/listings/(bulk\?[A-Za-z0-9=&%,_-]*|[0-9a-f-]{36}/restore)$|^/admin/(redirects|members)/[0-9a-f-]{36}/restore$|^/staff/team/[0-9a-f-]{36}/restore$`)

// Explain turns the field errors of a refused form into words: texts that are
// keys of the catalogue are translated.
func (s *Shell) Explain(locale string, err error) map[string]string {
	out := map[string]string{}
	for name, text := range fault.FieldsOf(err) {
		out[name] = s.words.Text(locale, text)
	}
	return out
}

// Text translates a text that is a key, with arguments after "|"; other texts
// come back as they are.
func (s *Shell) Text(locale, text string) string { return s.words.Text(locale, text) }
