package demo

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gabriel-vasile/mimetype"
	"github.com/microcosm-cc/bluemonday"
	"golang.org/x/text/currency"
	"golang.org/x/text/language"
)

func boards(t *testing.T) []Board {
	t.Helper()
	out, err := Boards()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEveryCallGivesTheSameThreeBoards(t *testing.T) {
	t.Parallel()
	first, second := boards(t), boards(t)
	if !reflect.DeepEqual(first, second) {
		t.Fatal("two calls differ")
	}
	var slugs []string
	for _, b := range first {
		slugs = append(slugs, b.Slug)
	}
	if want := []string{"orbit", "pflege", "tidal"}; !slices.Equal(slugs, want) {
		t.Fatalf("boards %v, want %v", slugs, want)
	}
}

func TestABoardHasAllThatALaunchNeeds(t *testing.T) {
	t.Parallel()
	free := 0
	for _, b := range boards(t) {
		live, states := 0, map[string]int{}
		for _, l := range b.Listings {
			states[l.State]++
		}
		if live = states["live"]; live < 66 {
			t.Errorf("%s: %d live listings, want 66", b.Slug, live)
		}
		for state, n := range map[string]int{"draft": 1, "awaiting_payment": 1, "in_review": 1, "paused": 1, "filled": 1, "expired": 3} {
			if states[state] < n {
				t.Errorf("%s: %d listings %s, want %d", b.Slug, states[state], state, n)
			}
		}
		if len(b.Companies) < 25 || len(b.Categories) < 8 || len(b.Products) < 3 || len(b.Products) > 4 || len(b.Applications) < 8 {
			t.Errorf("%s: %d companies, %d categories, %d products, %d applications", b.Slug, len(b.Companies), len(b.Categories), len(b.Products), len(b.Applications))
		}
		var roles []string
		for _, m := range append([]Member{b.Owner}, b.Team...) {
			roles = append(roles, m.Role)
			if m.Name == "" || m.Email != strings.ToLower(m.Email) || !strings.HasSuffix(m.Email, ".example") {
				t.Errorf("%s: member %+v", b.Slug, m)
			}
		}
		if want := []string{"owner", "admin", "editor", "finance", "viewer"}; !slices.Equal(roles, want) {
			t.Errorf("%s: roles %v, want %v", b.Slug, roles, want)
		}
		for name, text := range map[string]string{"tagline": b.Tagline, "intro": b.Intro, "about": b.About, "footer": b.Footer, "privacy": b.PrivacyNote,
			"entity": b.Legal.Entity, "street": b.Legal.Street, "postal code": b.Legal.PostalCode, "represented": b.Legal.Represented, "responsible": b.Legal.Responsible} {
			if text == "" {
				t.Errorf("%s: no %s", b.Slug, name)
			}
		}
		if _, err := time.LoadLocation(b.TimeZone); err != nil {
			t.Errorf("%s: %v", b.Slug, err)
		}
		for _, p := range b.Products {
			if p.Price == 0 {
				free++
			}
			if p.Name == "" || p.Description == "" || p.Days < 1 {
				t.Errorf("%s: product %+v", b.Slug, p)
			}
		}
	}
	if free != 1 {
		t.Errorf("%d free products, want 1", free)
	}
}

func TestNothingIsSaidTwice(t *testing.T) {
	t.Parallel()
	described := map[string]string{}
	for _, b := range boards(t) {
		keys := map[string]bool{}
		once := func(kind, key string) {
			if key == "" || keys[kind+key] {
				t.Errorf("%s: %s %q is empty or twice there", b.Slug, kind, key)
			}
			keys[kind+key] = true
		}
		for _, c := range b.Companies {
			once("company ", c.Slug)
			once("company name ", c.Name)
			once("profile ", c.About)
			once("logo ", string(c.LogoSVG()))
		}
		for _, l := range b.Listings {
			once("listing ", l.Key)
			once("reference ", l.Company+l.Reference)
			lead, _, _ := strings.Cut(l.Description, "</p>")
			once("lead ", lead)
			if other := described[l.Description]; other != "" {
				t.Errorf("%s has the description of %s", l.Key, other)
			}
			described[l.Description] = l.Key
		}
		for _, a := range b.Applications {
			once("application ", a.Listing+a.Email)
		}
	}
}

func TestListingsAreWhole(t *testing.T) {
	t.Parallel()
	types := []string{"full_time", "part_time", "contract", "temporary", "internship", "volunteer", "apprenticeship"}
	seniorities := []string{"", "intern", "junior", "mid", "senior", "lead", "executive"}
	for _, b := range boards(t) {
		companies, categories, used := map[string]bool{}, map[string]bool{}, map[string]int{}
		for _, c := range b.Companies {
			companies[c.Slug] = true
		}
		for _, c := range b.Categories {
			categories[c.Slug] = true
		}
		featured, unpaid, soon, fresh := 0, 0, 0, 0
		for _, l := range b.Listings {
			fail := func(what string, got any) { t.Errorf("%s %s: %s %v", b.Slug, l.Key, what, got) }
			used[l.Category]++
			if !companies[l.Company] || !categories[l.Category] {
				fail("company or category", l.Company+" "+l.Category)
			}
			if !slices.Contains(types, l.EmploymentType) {
				fail("employment type", l.EmploymentType)
			}
			if !slices.Contains(seniorities, l.Seniority) {
				fail("seniority", l.Seniority)
			}
			switch l.Workplace {
			case "remote":
				if len(l.Countries) == 0 {
					fail("remote without countries", l.Countries)
				}
			case "on_site", "hybrid":
				if len(l.Places) == 0 || len(l.Places) > 3 {
					fail("places", l.Places)
				}
			default:
				fail("workplace", l.Workplace)
			}
			for _, c := range l.Countries {
				if r, err := language.ParseRegion(c); err != nil || !r.IsCountry() {
					fail("country", c)
				}
			}
			for _, p := range l.Places {
				if r, err := language.ParseRegion(p.Country); err != nil || !r.IsCountry() || p.City == "" || p.Region == "" ||
					p.Lat < 35 || p.Lat > 62 || p.Lon < -125 || p.Lon > 20 {
					fail("place", p)
				}
			}
			if len(l.Tags) < 3 || len(l.Tags) > 6 {
				fail("tags", l.Tags)
			}
			switch l.ApplyMethod {
			case "board":
				if l.ApplyTarget != "" {
					fail("target", l.ApplyTarget)
				}
			case "link":
				if !strings.HasPrefix(l.ApplyTarget, "https://www."+l.Company+".example/") {
					fail("target", l.ApplyTarget)
				}
			case "email":
				if l.ApplyTarget != "jobs@"+l.Company+".example" {
					fail("target", l.ApplyTarget)
				}
			default:
				fail("apply method", l.ApplyMethod)
			}
			if words := len(strings.Fields(tagged.ReplaceAllString(l.Description, " "))); words < 200 || words > 450 {
				fail("words in the description", words)
			}
			if l.Product == "" || l.Age <= 0 {
				fail("product or age", l.Product)
			}
			day := 24 * time.Hour
			switch l.State {
			case "live":
				if l.Age > 28*day || l.EndsIn <= 0 {
					fail("age and end", []time.Duration{l.Age, l.EndsIn})
				}
				if l.Featured {
					featured++
				}
				if l.SalaryMin == 0 {
					unpaid++
				}
				if l.EndsIn < 4*day {
					soon++
				}
				if l.Age < 2*day {
					fresh++
				}
			case "expired":
				if l.EndsIn >= 0 {
					fail("end", l.EndsIn)
				}
			}
		}
		for c := range categories {
			if used[c] == 0 {
				t.Errorf("%s: nothing in category %s", b.Slug, c)
			}
		}
		if featured < 5 || featured > 20 || soon < 2 || fresh < 8 {
			t.Errorf("%s: %d featured, %d about to expire, %d from the last two days", b.Slug, featured, soon, fresh)
		}
		t.Logf("%s: %d featured, %d without pay, %d about to expire, %d fresh", b.Slug, featured, unpaid, soon, fresh)
	}
}

func TestPayIsWhatTheMarketPays(t *testing.T) {
	t.Parallel()
	perYear := map[string]float64{"hour": 1700, "day": 215, "week": 46, "month": 12, "year": 1}
	// Whole units of the currency per year; a voluntary service's pocket money is below.
	bands := map[string][2]float64{"USD": {40000, 320000}, "CAD": {45000, 200000}, "AUD": {60000, 200000}, "EUR": {14000, 130000},
		"GBP": {16000, 140000}, "CHF": {70000, 110000}, "NOK": {500000, 1100000}, "DKK": {400000, 700000}}
	for _, b := range boards(t) {
		for _, l := range b.Listings {
			if l.SalaryCurrency == "" {
				continue
			}
			if _, err := currency.ParseISO(l.SalaryCurrency); err != nil {
				t.Errorf("%s: %v", l.Key, err)
			}
			f, ok := perYear[l.SalaryPeriod]
			band, known := bands[l.SalaryCurrency]
			if !ok || !known || l.SalaryMin > l.SalaryMax || l.SalaryMin <= 0 {
				t.Errorf("%s: %d to %d %s per %s", l.Key, l.SalaryMin, l.SalaryMax, l.SalaryCurrency, l.SalaryPeriod)
				continue
			}
			low, high := float64(l.SalaryMin)/100*f, float64(l.SalaryMax)/100*f
			if l.EmploymentType != "volunteer" && (low < band[0] || high > band[1]) {
				t.Errorf("%s: %.0f to %.0f %s a year, want within %v", l.Key, low, high, l.SalaryCurrency, band)
			}
		}
	}
}

var tagged = regexp.MustCompile(`<[^>]*>`)

func TestHTMLPassesTheStrictestPolicyUnchanged(t *testing.T) {
	t.Parallel()
	policy := bluemonday.NewPolicy().AllowElements("p", "h3", "ul", "li", "strong")
	for _, b := range boards(t) {
		texts := []string{b.About}
		for _, l := range b.Listings {
			texts = append(texts, l.Description)
		}
		for _, text := range texts {
			if clean := policy.Sanitize(text); strings.TrimSpace(clean) != strings.TrimSpace(text) {
				t.Errorf("%s: the policy makes\n%s\nof\n%s", b.Slug, clean, text)
			}
		}
	}
}

func TestLooksReadWell(t *testing.T) {
	t.Parallel()
	pairs := [][3]string{{"--foreground", "--background"}, {"--card-foreground", "--card"}, {"--primary-foreground", "--primary"},
		{"--secondary-foreground", "--secondary"}, {"--muted-foreground", "--muted"}, {"--muted-foreground", "--background"},
		{"--muted-foreground", "--card"}, {"--accent-foreground", "--accent"}, {"--destructive-foreground", "--destructive"},
		{"--primary", "--background"}, {"--primary", "--card"}, {"--primary", "--accent"}, {"--muted-foreground", "--accent"}, {"--destructive", "--background"}}
	for _, b := range boards(t) {
		for mode, tokens := range map[string]map[string]string{"light": b.Look.Light, "dark": b.Look.Dark} {
			for _, p := range pairs {
				if c := Contrast(tokens[p[0]], tokens[p[1]]); c < 4.5 {
					t.Errorf("%s %s: %s on %s is %.2f, want 4.5", b.Slug, mode, p[0], p[1], c)
				}
			}
			for _, line := range []string{"--input", "--ring"} {
				if c := Contrast(tokens[line], tokens["--background"]); c < 3 {
					t.Errorf("%s %s: %s on --background is %.2f, want 3", b.Slug, mode, line, c)
				}
			}
		}
		for _, name := range []string{"--radius", "--font-body", "--font-heading", "--density", "--measure"} {
			if b.Look.Shared[name] == "" {
				t.Errorf("%s: no %s", b.Slug, name)
			}
		}
	}
}

func TestLogosAreWellFormedAndHarmless(t *testing.T) {
	t.Parallel()
	allowed := []string{"svg", "title", "g", "rect", "circle", "ellipse", "path", "text"}
	for _, b := range boards(t) {
		logos := map[string][]byte{b.Name: b.LogoSVG()}
		for _, c := range b.Companies {
			logos[c.Name] = c.LogoSVG()
		}
		for name, logo := range logos {
			if len(logo) > 2500 {
				t.Errorf("%s: %d bytes", name, len(logo))
			}
			var inTitle bool
			var title string
			for d := xml.NewDecoder(bytes.NewReader(logo)); ; {
				token, err := d.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				switch e := token.(type) {
				case xml.StartElement:
					if !slices.Contains(allowed, e.Name.Local) {
						t.Errorf("%s: element %s", name, e.Name.Local)
					}
					for _, a := range e.Attr {
						if strings.HasPrefix(a.Name.Local, "on") || strings.HasSuffix(a.Name.Local, "href") || a.Name.Local == "style" {
							t.Errorf("%s: attribute %s", name, a.Name.Local)
						}
					}
					inTitle = e.Name.Local == "title"
				case xml.CharData:
					if inTitle {
						title += string(e)
					}
				case xml.EndElement:
					inTitle = false
				}
			}
			if title != name {
				t.Errorf("title %q, want %q", title, name)
			}
		}
	}
}

func TestApplicantsAppliedWhereTheyCould(t *testing.T) {
	t.Parallel()
	statuses := map[string]bool{"new": true, "reviewing": true, "interview": true, "offer": true, "rejected": true}
	total := 0
	for _, b := range boards(t) {
		listings := map[string]Listing{}
		for _, l := range b.Listings {
			listings[l.Key] = l
		}
		for _, a := range b.Applications {
			total++
			l, ok := listings[a.Listing]
			if !ok || l.State != "live" || l.ApplyMethod != "board" {
				t.Errorf("%s: %s applied to %q, which is %q by %q", b.Slug, a.Name, a.Listing, l.State, l.ApplyMethod)
			}
			if a.Age >= l.Age {
				t.Errorf("%s: %s applied %s ago, before publication %s ago", b.Slug, a.Name, a.Age, l.Age)
			}
			if !statuses[a.Status] || a.Note == "" || len(a.CVLines) < 3 || !strings.HasSuffix(a.Email, ".example") {
				t.Errorf("%s: %+v", b.Slug, a)
			}
			cv := a.CV()
			if !bytes.HasPrefix(cv, []byte("%PDF")) || !bytes.HasSuffix(bytes.TrimSpace(cv), []byte("%%EOF")) {
				t.Errorf("%s: not a PDF", a.Name)
			}
			if kind := mimetype.Detect(cv); !kind.Is("application/pdf") {
				t.Errorf("%s: CV is %s", a.Name, kind)
			}
			if bytes.Contains(cv, []byte("?")) {
				t.Errorf("%s: a letter of the CV is not in Latin-1", a.Name)
			}
		}
	}
	if total < 25 {
		t.Errorf("%d applications, want 25", total)
	}
}

func TestTheGermanBoardIsGerman(t *testing.T) {
	t.Parallel()
	english := regexp.MustCompile(`(?i)\b(the|and|with|you|your|our|we|apply|salary|hours|hiring|about us|nurse|care home|job|full time|benefits)\b`)
	for _, b := range boards(t) {
		if b.Locale != "de" {
			continue
		}
		texts := []string{b.Tagline, b.Intro, b.About, b.Footer, b.PrivacyNote}
		for _, c := range b.Categories {
			texts = append(texts, c.Name)
		}
		for _, p := range b.Products {
			texts = append(texts, p.Name, p.Description)
		}
		for _, c := range b.Companies {
			texts = append(texts, c.Tagline, c.About, c.Industry)
		}
		for _, l := range b.Listings {
			texts = append(texts, l.Title, l.Description, strings.Join(l.Tags, ", "))
		}
		for _, a := range b.Applications {
			texts = append(append(texts, a.Note), a.CVLines...)
		}
		for _, text := range texts {
			if word := english.FindString(tagged.ReplaceAllString(text, " ")); word != "" {
				t.Errorf("%q in %q", word, text)
			}
		}
	}
}

func TestAPDFEscapesAndWraps(t *testing.T) {
	t.Parallel()
	cv := CV(`Jörg (Joe) \ Müller`, []string{strings.Repeat("wort ", 40), "", "10 € – „ja“"})
	for _, want := range []string{`J\366rg \(Joe\) \\ M\374ller`, `\200`, `\226`, `\204ja\223`} {
		if !bytes.Contains(cv, []byte(want)) {
			t.Errorf("no %s in the PDF", want)
		}
	}
	if n := bytes.Count(cv, []byte("Tj T*")); n != 5 {
		t.Errorf("%d lines, want 5", n)
	}
}
