// Package themes owns a board's look: packs of templates, tokens, the words of
// public pages, and the cache of rendered pages. It never reads a row, checks a
// permission or formats money: whoever calls it hands over plain views of final
// texts. Start at Packs.Render, then Layout (view.go), Look and Cache.
package themes

import (
	"bytes"
	"context"
	"fmt"
	"html/template"
	"io"
	"reflect"
	"slices"
	"sort"
	"strings"
	"sync"

	"golang.org/x/text/language"

	"shingle/internal/fault"
)

// pageTypes is every page and the view that it takes.
var pageTypes = map[string]reflect.Type{
	"home":      reflect.TypeFor[Home](),
	"results":   reflect.TypeFor[Results](),
	"listing":   reflect.TypeFor[ListingPage](),
	"company":   reflect.TypeFor[CompanyPage](),
	"companies": reflect.TypeFor[CompaniesPage](),
	"apply":     reflect.TypeFor[ApplyPage](),
	"applied":   reflect.TypeFor[ApplyDone](),
	"withdraw":  reflect.TypeFor[Withdraw](),
	"report":    reflect.TypeFor[Report](),
	"alert":     reflect.TypeFor[AlertPage](),
	"signin":    reflect.TypeFor[SignIn](),
	"held":      reflect.TypeFor[HeldPage](),
	"gate":      reflect.TypeFor[Gate](),
	"yourdata":  reflect.TypeFor[YourData](),
	"text":      reflect.TypeFor[TextPage](),
	"error":     reflect.TypeFor[ErrorPage](),
	"post":      reflect.TypeFor[PostForm](),
	"products":  reflect.TypeFor[PostProducts](),
	"return":    reflect.TypeFor[PostReturn](),
	"employers": reflect.TypeFor[Employers](),
}

// sheetNames are a pack's stylesheets. Every page has the base; a page carries
// the others only where it needs them, so that none is heavy.
var sheetNames = []string{"base", "seek", "listing", "forms"}

// pageSheets is what a page needs beside the base; a page that is not named
// here needs those of lists and of forms.
var pageSheets = map[string][]string{
	"home": {"seek"}, "results": {"seek"}, "companies": {"seek"}, "listing": {"seek", "listing"}, "company": {"seek", "listing"},
	"post": {"forms"}, "signin": {"forms"}, "yourdata": {"forms"}, "held": {"forms"}, "text": {}, "error": {},
}

func sheetFile(pack, sheet string) string {
	if sheet == "base" {
		return pack + ".css"
	}
	return pack + "." + sheet + ".css"
}

// sheets are the addresses of a page's stylesheets, in their order.
func (p *Packs) sheets(pack, page string) ([]string, error) {
	more, ok := pageSheets[page]
	if !ok {
		more = []string{"seek", "forms"}
	}
	var out []string
	for _, name := range append([]string{"base"}, more...) {
		u, err := p.AssetURL(sheetFile(pack, name))
		if err != nil {
			return nil, err
		}
		out = append(out, u)
	}
	return out, nil
}

// Pages names every page.
func Pages() []string {
	var out []string
	for name := range pageTypes {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// Render writes a page of a pack. Data is the page's view or a pointer to it;
// the language is its Layout's. The page is rendered whole before the first
// byte goes out, so an error leaves w untouched. A pack that is gone falls back
// to the first one. Kinds: fault.Internal for a view of the wrong type or a
// template that fails.
func (p *Packs) Render(ctx context.Context, w io.Writer, pack, page string, data any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	v := reflect.Indirect(reflect.ValueOf(data))
	if want := pageTypes[page]; want == nil || !v.IsValid() || v.Type() != want {
		return fault.New(fault.Internal, "page %q takes a %v, not a %T", page, want, data)
	}
	layout := v.FieldByName("Layout").Interface().(Layout)
	set, err := p.Get(pack).sets[p.locale(layout.Locale)]()
	if err != nil {
		return err
	}
	b := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(b)
	b.Reset()
	if err := set.ExecuteTemplate(b, "page/"+page, data); err != nil {
		return fault.Wrap(err, fault.Internal, "render %s of %s", page, pack)
	}
	_, err = w.Write(b.Bytes())
	return err
}

// Text is a catalogue's words for what callers put into views. Arguments are
// names and values in turn; "Count" picks the plural. An unknown id comes back
// as it is.
func (p *Packs) Text(locale, id string, args ...any) string {
	s, err := p.words[p.locale(locale)].text(id, args...)
	if err != nil {
		return id
	}
	return s
}

// Locales are the languages that pages can be had in.
func (p *Packs) Locales() []string { return slices.Clone(p.tags) }

// locale finds the catalogue for a language: "de-AT" reads "de".
func (p *Packs) locale(asked string) string {
	if _, ok := p.words[asked]; ok {
		return asked
	}
	if got, ok := p.matched.Load(asked); ok {
		return got.(string)
	}
	tag, err := language.Parse(asked)
	if err != nil {
		return "en"
	}
	_, i, _ := p.matcher.Match(tag)
	p.matched.Store(asked, p.tags[i])
	return p.tags[i]
}

// funcs are what templates may call.
func (p *Packs) funcs(w *words, pack string) template.FuncMap {
	return template.FuncMap{
		"t":      w.text,
		"asset":  p.AssetURL,
		"sheets": func(page string) ([]string, error) { return p.sheets(pack, page) },
		"val":    func(f Form, name string) string { return f.Values[name] },
		"bad": func(f Form, name string) string {
			for _, e := range f.Errors {
				if e.Field == name {
					return e.Text
				}
			}
			return ""
		},
		"dict": dict,
		"first": func(n int, cards []Card) []Card {
			return cards[:min(n, len(cards))]
		},
		"above": func() int { return LatestAboveSections },
		"rest": func(n int, cards []Card) []Card {
			return cards[min(n, len(cards)):]
		},
		"join":        strings.Join,
		"more_places": func() []string { return []string{"2", "3"} },
		"initial": func(s string) string {
			i, _ := Monogram(s)
			return i
		},
	}
}

func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("dict: names and values must come in pairs")
	}
	m := make(map[string]any, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict: argument %d is not a name", i)
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}

// Tones is the number of monogram colours.
const Tones = 12

// Monogram is one or two initials of a name, and its tone: the same name has
// the same tone everywhere.
func Monogram(name string) (initials string, tone int) {
	h := uint32(2166136261)
	for _, b := range []byte(strings.ToLower(name)) {
		h = (h ^ uint32(b)) * 16777619
	}
	for _, word := range strings.FieldsFunc(name, func(r rune) bool { return strings.ContainsRune(" -&.,/()", r) }) {
		if len([]rune(initials)) == 2 {
			break
		}
		initials += strings.ToUpper(string([]rune(word)[0]))
	}
	// FNV leaves its low bits much alike for short names.
	h = (h ^ h>>16) * 0x7feb352d
	h = (h ^ h>>15) * 0x846ca68b
	return initials, int((h ^ h>>16) % Tones)
}
