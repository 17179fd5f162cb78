package themes_test

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"

	"shingle/internal/fault"
	"shingle/themes"
	"shingle/themes/sample"
)

func load(t testing.TB) *themes.Packs {
	t.Helper()
	p, err := themes.Load(themes.WithPseudo())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var (
	inlineStyle  = regexp.MustCompile(`(?i)<style|\sstyle=`)
	inlineScript = regexp.MustCompile(`(?i)<script([^>]*)>`)
	handler      = regexp.MustCompile(`(?i)\son[a-z]+=`)
	words        = regexp.MustCompile(`>\s*([^<>{}\[\]]*[a-zA-Z]{3,}[^<>\[\]]*)<`)
)

func TestEveryPageOfEveryPackInEveryState(t *testing.T) {
	t.Parallel()
	p := load(t)
	for _, pack := range p.List() {
		for _, locale := range []string{"en", "de", "de-AT", "fr", "en-XA"} {
			seen := map[string]bool{}
			for _, shot := range sample.Shots(locale) {
				var b bytes.Buffer
				if err := p.Render(context.Background(), &b, pack.Key, shot.Page, shot.Data); err != nil {
					t.Fatalf("%s %s %s: %v", pack.Key, locale, shot.Name, err)
				}
				seen[shot.Page] = true
				html := b.String()
				where := pack.Key + " " + locale + " " + shot.Name
				if m := inlineStyle.FindString(html); m != "" {
					t.Errorf("%s: inline style %q", where, m)
				}
				if m := handler.FindString(html); m != "" {
					t.Errorf("%s: inline handler %q", where, m)
				}
				for _, m := range inlineScript.FindAllStringSubmatch(html, -1) {
					if !strings.Contains(m[1], "src=") && !strings.Contains(m[1], "application/ld+json") {
						t.Errorf("%s: inline script %q", where, m[0])
					}
				}
				for _, bad := range []string{"ZgotmplZ", "<no value>", "%!", `href=""`} {
					if strings.Contains(html, bad) {
						t.Errorf("%s: holds %q", where, bad)
					}
				}
				if strings.Contains(html, `"a</script>`) {
					t.Errorf("%s: JSON-LD ends its own script", where)
				}
				if n := strings.Count(html, "<h1"); n != 1 {
					t.Errorf("%s: %d h1 headings, want 1", where, n)
				}
				if !strings.Contains(html, `class="skip"`) || !strings.Contains(html, "<main") {
					t.Errorf("%s: no skip link or no main", where)
				}
				if ids := duplicates(html); len(ids) > 0 {
					t.Errorf("%s: ids twice: %v", where, ids)
				}
			}
			for _, page := range themes.Pages() {
				if !seen[page] {
					t.Errorf("no sample of page %q", page)
				}
			}
		}
	}
}

var idAttr = regexp.MustCompile(`\sid="([^"]+)"`)

func duplicates(html string) []string {
	seen, out := map[string]bool{}, []string(nil)
	for _, m := range idAttr.FindAllStringSubmatch(html, -1) {
		if seen[m[1]] {
			out = append(out, m[1])
		}
		seen[m[1]] = true
	}
	return out
}

// Every word in a template comes from the catalogue: what does not, shows
// without brackets in the made-up language.
func TestNoWordsOutsideTheCatalogue(t *testing.T) {
	t.Parallel()
	p := load(t)
	given := map[string]bool{"RSS": true}
	var b bytes.Buffer
	empty := []sample.Shot{
		{Page: "post", Data: themes.PostForm{Layout: themes.Layout{Locale: "en-XA", Board: themes.Board{Name: "1"}}}},
		{Page: "apply", Data: themes.ApplyPage{Layout: themes.Layout{Locale: "en-XA", Board: themes.Board{Name: "1"}}}},
		{Page: "products", Data: themes.PostProducts{Layout: themes.Layout{Locale: "en-XA", Board: themes.Board{Name: "1"}}}},
		{Page: "error", Data: themes.ErrorPage{Layout: themes.Layout{Locale: "en-XA", Board: themes.Board{Name: "1"}}, Status: 404}},
		{Page: "home", Data: themes.Home{Layout: themes.Layout{Locale: "en-XA", Board: themes.Board{Name: "1"}, PostURL: "/"}}},
		{Page: "listing", Data: themes.ListingPage{Layout: themes.Layout{Locale: "en-XA", Board: themes.Board{Name: "1"}}, State: themes.Live, Apply: &themes.ApplyLink{URL: "/", Kind: "link"}}},
	}
	for _, pack := range p.List() {
		for _, s := range empty {
			b.Reset()
			if err := p.Render(context.Background(), &b, pack.Key, s.Page, s.Data); err != nil {
				t.Fatal(err)
			}
			for _, m := range words.FindAllStringSubmatch(b.String(), -1) {
				if text := strings.TrimSpace(m[1]); !given[text] && !strings.HasPrefix(text, "~") {
					t.Errorf("%s %s: words outside the catalogue: %q", pack.Key, s.Page, text)
				}
			}
		}
	}
}

// pageBudget is the most that a public page may weigh, in bytes before
// compression: the document, its stylesheets and its scripts. Pictures and
// fonts come on top, and so does the editor, which a reader fetches only by
// beginning to fill in the posting form.
const pageBudget = 60_000

var parts = regexp.MustCompile(`<(?:link rel="stylesheet" href|script src)="/assets/([^"]+)"`)

func TestPageBudget(t *testing.T) {
	t.Parallel()
	p := load(t)
	for _, pack := range p.List() {
		for _, shot := range sample.Shots("de") {
			var b bytes.Buffer
			if err := p.Render(context.Background(), &b, pack.Key, shot.Page, shot.Data); err != nil {
				t.Fatal(err)
			}
			total := b.Len() + len(pack.Presets[0].Tokens.CSS())
			found := parts.FindAllStringSubmatch(b.String(), -1)
			for _, m := range found {
				a, ok := p.Asset(m[1])
				if !ok {
					t.Errorf("%s %s names %s, which is not there", pack.Key, shot.Name, m[1])
					continue
				}
				total += len(a.Body)
			}
			if len(found) < 2 {
				t.Errorf("%s %s: %d stylesheets and scripts found, want a base sheet and a script", pack.Key, shot.Name, len(found))
			}
			if total > pageBudget {
				t.Errorf("%s %s: %d bytes with its stylesheets and scripts, want at most %d", pack.Key, shot.Name, total, pageBudget)
			}
		}
	}
}

func TestRenderRefusesTheWrongView(t *testing.T) {
	t.Parallel()
	p := load(t)
	var b bytes.Buffer
	for _, c := range []struct {
		page string
		data any
	}{{"home", themes.Results{}}, {"nowhere", themes.Home{}}, {"home", nil}, {"home", (*themes.Home)(nil)}} {
		if err := p.Render(context.Background(), &b, "harbor", c.page, c.data); !fault.Is(err, fault.Internal) || b.Len() > 0 {
			t.Errorf("%s with %T: want an internal fault and no bytes, got %v and %d", c.page, c.data, err, b.Len())
		}
	}
	if err := p.Render(context.Background(), &b, "gone", "home", &themes.Home{}); err != nil {
		t.Errorf("a pack that is gone falls back: %v", err)
	}
}

func TestTextEscapes(t *testing.T) {
	t.Parallel()
	p := load(t)
	evil := `"><script>alert(1)</script>`
	var b bytes.Buffer
	l := themes.ListingPage{Layout: themes.Layout{Locale: "en", Board: themes.Board{Name: evil}, Title: evil}, Title: evil, State: themes.Live, Company: themes.CompanyCard{Name: evil, Website: &themes.Link{Text: evil, URL: "javascript:alert(1)"}}}
	if err := p.Render(context.Background(), &b, "harbor", "listing", l); err != nil {
		t.Fatal(err)
	}
	if s := b.String(); strings.Contains(s, "<script>alert") || strings.Contains(s, "javascript:alert") {
		t.Error("a stranger's text reached the page as code")
	}
}

func TestMonogramIsStable(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"Northlight Ledger": "NL", "fieldnote": "F", "Über & Söhne GmbH": "ÜS", "": ""} {
		got, tone := themes.Monogram(name)
		if got != want || tone < 0 || tone >= themes.Tones {
			t.Errorf("Monogram(%q) = %q, %d; want %q", name, got, tone, want)
		}
	}
}

func BenchmarkRenderResults(b *testing.B) {
	p := load(b)
	var shot sample.Shot
	for _, s := range sample.Shots("en") {
		if s.Name == "results" {
			shot = s
		}
	}
	var out bytes.Buffer
	for b.Loop() {
		out.Reset()
		if err := p.Render(context.Background(), &out, "harbor", shot.Page, shot.Data); err != nil {
			b.Fatal(err)
		}
	}
}
