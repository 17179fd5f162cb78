// Package searchtest holds what every search engine must do: one suite that
// runs against postgres, against a double of Typesense, and against a real
// server where one is given. It knows no engine's inside. Start at Run.
package searchtest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"shingle/search"
)

// Board gives the context of a board as the next request would have it, with
// its newest generation.
type Board func() context.Context

// Setup is an engine under test and a way to get fresh boards for it.
type Setup struct {
	Engine search.Engine
	// Board makes a board of that locale whose index is ensured.
	Board func(t *testing.T, locale string) Board
}

// epoch is when the test's listings were published, in UTC.
var epoch = time.Now().UTC().Truncate(time.Second).Add(-30 * 24 * time.Hour)

// Doc makes a document with sensible defaults; n orders it by age, a higher
// one is newer.
func Doc(n int, title string, with ...func(*search.Document)) search.Document {
	d := search.Document{ID: uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "listing %d", n)), Version: 1, Title: title,
		Company: "Acme", CompanySlug: "acme", Category: "general", Type: "full_time", Workplace: "on_site",
		PublishedAt: epoch.Add(time.Duration(n) * time.Minute)}
	for _, f := range with {
		f(&d)
	}
	return d
}

// ID is the id that Doc gives to n.
func ID(n int) uuid.UUID { return Doc(n, "").ID }

type fixture struct {
	t *testing.T
	Setup
	at Board
}

func (s Setup) fixture(t *testing.T, locale string) *fixture {
	t.Helper()
	return &fixture{t, s, s.Board(t, locale)}
}

func (f *fixture) put(docs ...search.Document) {
	f.t.Helper()
	if err := f.Engine.Upsert(f.at(), docs...); err != nil {
		f.t.Fatalf("upsert: %v", err)
	}
}

func (f *fixture) search(q search.Query) *search.Result {
	f.t.Helper()
	r, err := f.Engine.Search(f.at(), q)
	if err != nil {
		f.t.Fatalf("searching %+v: %v", q, err)
	}
	return r
}

// finds checks the hits, by number, in order.
func (f *fixture) finds(q search.Query, want ...int) *search.Result {
	f.t.Helper()
	r := f.search(q)
	if diff := cmp.Diff(names(want), found(r)); diff != "" {
		f.t.Errorf("searching %q: (-want +got)\n%s", q.Values().Encode(), diff)
	}
	return r
}

// holds checks the hits in any order.
func (f *fixture) holds(q search.Query, want ...int) *search.Result {
	f.t.Helper()
	r := f.search(q)
	w, g := names(want), found(r)
	slices.Sort(w)
	slices.Sort(g)
	if diff := cmp.Diff(w, g); diff != "" {
		f.t.Errorf("searching %q: (-want +got)\n%s", q.Values().Encode(), diff)
	}
	if r.Total != len(want) {
		f.t.Errorf("searching %q: total %d, want %d", q.Values().Encode(), r.Total, len(want))
	}
	return r
}

func names(ns []int) []string {
	out := make([]string, 0, len(ns))
	for _, n := range ns {
		out = append(out, fmt.Sprintf("listing %d", n))
	}
	return out
}

func found(r *search.Result) []string {
	known := map[uuid.UUID]string{}
	for n := range 2000 {
		known[ID(n)] = fmt.Sprintf("listing %d", n)
	}
	out := make([]string, 0, len(r.Hits))
	for _, h := range r.Hits {
		name, ok := known[h.ListingID]
		if !ok {
			name = h.ListingID.String()
		}
		out = append(out, name)
	}
	return out
}

func counts(r *search.Result, facet string) map[string]int {
	out := map[string]int{}
	for _, v := range r.Facets[facet] {
		out[v.Value] = v.Count
	}
	return out
}

func text(s string) search.Query { return search.Query{Text: s} }

// Run runs the suite. Each case works on boards of its own, in parallel.
func Run(t *testing.T, s Setup) {
	for name, f := range map[string]func(*testing.T, Setup){
		"an empty board finds nothing":                        empty,
		"words find titles, companies, tags, places and text": fields,
		"typos are forgiven":                                  typos,
		"filters narrow":                                      filters,
		"facet counts ignore their own filter":                facets,
		"featured, then relevance, then recency":              order,
		"pages, and past the last one":                        pages,
		"names that live by their signs":                      signs,
		"accents and German":                                  german,
		"suggestions complete what is typed":                  suggest,
		"boards do not see each other":                        isolation,
		"the last version wins in any order":                  versions,
		"delete":                                              deletes,
		"hostile input is text":                               hostile,
		"rebuild without a gap":                               rebuild,
		"health":                                              health,
		"no board is an error":                                noBoard,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, s)
		})
	}
}

func empty(t *testing.T, s Setup) {
	f := s.fixture(t, "en")
	for _, q := range []search.Query{{}, text("engineer"), {Location: "Berlin"}, {Types: []string{"full_time"}}} {
		r := f.finds(q)
		if r.Total != 0 || r.Page != 1 || r.Pages != 1 || r.Corrected != "" {
			t.Errorf("an empty board answered %+v", r)
		}
	}
	if got, err := f.Engine.Suggest(f.at(), "eng", 5); err != nil || len(got) != 0 {
		t.Errorf("suggestions %v, %v; want none", got, err)
	}
}

func fields(t *testing.T, s Setup) {
	f := s.fixture(t, "en")
	f.put(
		Doc(1, "Warehouse Operative"),
		Doc(2, "Nurse", func(d *search.Document) { d.Company, d.CompanySlug = "Globex Clinics", "globex" }),
		Doc(3, "Cook", func(d *search.Document) { d.Tags = []string{"vegetarian", "bakery"} }),
		Doc(4, "Driver", func(d *search.Document) {
			d.Places = []search.Place{{Country: "DE", City: "Berlin"}, {Country: "GB", Region: "England", City: "Leeds"}}
			d.Countries = []string{"DE", "GB"}
		}),
		Doc(5, "Analyst", func(d *search.Document) { d.Text = "You will reconcile ledgers with great patience." }),
		Doc(6, "Remote Editor", func(d *search.Document) { d.Workplace = "remote" }),
	)
	f.holds(search.Query{}, 1, 2, 3, 4, 5, 6)
	f.holds(text("warehouse"), 1)
	f.holds(text("WAREHOUSE operative"), 1)
	f.holds(text("globex"), 2)
	f.holds(text("bakery"), 3)
	f.holds(text("ledgers"), 5)
	f.holds(text("reconcile patience"), 5)
	f.holds(search.Query{Location: "Berlin"}, 4)
	f.holds(search.Query{Location: "leeds"}, 4)
	f.holds(search.Query{Location: "Germany"}, 4)
	f.holds(search.Query{Location: "Deutschland"}, 4)
	f.holds(search.Query{Text: "driver", Location: "Berlin"}, 4)
	f.holds(search.Query{Text: "nurse", Location: "Berlin"})
	f.holds(text("driver berlin"), 4)
}

func typos(t *testing.T, s Setup) {
	f := s.fixture(t, "en")
	f.put(Doc(1, "Software Engineer"), Doc(2, "Accountant", func(d *search.Document) {
		d.Places, d.Countries = []search.Place{{Country: "DE", City: "Hamburg"}}, []string{"DE"}
	}), Doc(3, "Nurse"))
	f.holds(text("enginer"), 1)
	f.holds(text("sofware enginere"), 1)
	f.holds(text("acountant"), 2)
	f.holds(search.Query{Location: "Hamburgg"}, 2)
	f.holds(text("xylophonist"))
	// Short words say too little to be guessed.
	f.holds(text("nux"))
}

func filters(t *testing.T, s Setup) {
	f := s.fixture(t, "en")
	set := func(typ, work, cat, company, level, country string, low, high int64) func(*search.Document) {
		return func(d *search.Document) {
			d.Type, d.Workplace, d.Category, d.CompanySlug, d.Company = typ, work, cat, company, company
			d.Seniority, d.Countries, d.SalaryMin, d.SalaryMax = level, []string{country}, low, high
		}
	}
	f.put(
		Doc(1, "Engineer", set("full_time", "remote", "engineering", "acme", "senior", "DE", 60000_00, 90000_00)),
		Doc(2, "Engineer", set("contract", "hybrid", "engineering", "globex", "junior", "GB", 40000_00, 0)),
		Doc(3, "Designer", set("part_time", "on_site", "design", "acme", "", "FR", 0, 0)),
		Doc(4, "Engineer", set("full_time", "on_site", "data", "initech", "senior", "DE", 0, 50000_00)),
	)
	f.holds(search.Query{Types: []string{"full_time"}}, 1, 4)
	f.holds(search.Query{Types: []string{"full_time", "contract"}}, 1, 2, 4)
	f.holds(search.Query{Workplaces: []string{"remote", "hybrid"}}, 1, 2)
	f.holds(search.Query{Categories: []string{"design"}}, 3)
	f.holds(search.Query{Companies: []string{"acme"}}, 1, 3)
	f.holds(search.Query{Companies: []string{"acme", "initech"}, Types: []string{"full_time"}}, 1, 4)
	f.holds(search.Query{Seniority: []string{"senior"}}, 1, 4)
	f.holds(search.Query{Countries: []string{"DE"}}, 1, 4)
	f.holds(search.Query{Countries: []string{"DE", "FR"}}, 1, 3, 4)
	f.holds(search.Query{SalaryMin: 50000_00}, 1, 4)
	f.holds(search.Query{SalaryMin: 90000_00}, 1)
	f.holds(search.Query{SalaryMin: 90000_01})
	f.holds(search.Query{Text: "engineer", Types: []string{"full_time"}, Workplaces: []string{"on_site"}}, 4)
	f.holds(search.Query{Since: epoch.Add(2*time.Minute + 30*time.Second)}, 3, 4)
	f.holds(search.Query{Companies: []string{"nobody"}})
}

func facets(t *testing.T, s Setup) {
	f := s.fixture(t, "en")
	n := 0
	add := func(times int, typ, work, cat, company string, countries ...string) {
		for range times {
			n++
			f.put(Doc(n, "Engineer", func(d *search.Document) {
				d.Type, d.Workplace, d.Category, d.CompanySlug, d.Countries = typ, work, cat, company, countries
			}))
		}
	}
	add(3, "full_time", "remote", "engineering", "acme", "DE")
	add(2, "full_time", "hybrid", "engineering", "globex", "DE", "GB")
	add(1, "contract", "remote", "data", "globex", "GB")
	check := func(q search.Query, total int, want map[string]map[string]int) {
		t.Helper()
		r := f.search(q)
		if r.Total != total {
			t.Errorf("%q: total %d, want %d", q.Values().Encode(), r.Total, total)
		}
		for facet, w := range want {
			if diff := cmp.Diff(w, counts(r, facet)); diff != "" {
				t.Errorf("%q: %s (-want +got)\n%s", q.Values().Encode(), facet, diff)
			}
			for _, v := range r.Facets[facet] {
				if v.Selected != slices.Contains(q.Chosen(facet), v.Value) {
					t.Errorf("%q: %s %s selected: %t", q.Values().Encode(), facet, v.Value, v.Selected)
				}
			}
		}
	}
	type m = map[string]int
	for _, q := range []search.Query{{}, text("engineer")} {
		check(q, 6, map[string]m{"type": {"full_time": 5, "contract": 1}, "workplace": {"remote": 4, "hybrid": 2},
			"category": {"engineering": 5, "data": 1}, "company": {"acme": 3, "globex": 3}, "country": {"DE": 5, "GB": 3}, "seniority": {}})
		q.Workplaces = []string{"remote"}
		check(q, 4, map[string]m{"type": {"full_time": 3, "contract": 1}, "workplace": {"remote": 4, "hybrid": 2},
			"company": {"acme": 3, "globex": 1}, "country": {"DE": 3, "GB": 1}})
		q.Types = []string{"contract"}
		check(q, 1, map[string]m{"type": {"full_time": 3, "contract": 1}, "workplace": {"remote": 1}, "company": {"globex": 1}})
		q.Types = []string{"contract", "full_time"}
		check(q, 4, map[string]m{"type": {"full_time": 3, "contract": 1}, "workplace": {"remote": 4, "hybrid": 2}})
		q = search.Query{Text: q.Text, Companies: []string{"globex"}}
		check(q, 3, map[string]m{"type": {"full_time": 2, "contract": 1}, "company": {"acme": 3, "globex": 3}, "country": {"DE": 2, "GB": 3}})
		q.Countries = []string{"DE"}
		check(q, 2, map[string]m{"type": {"full_time": 2}, "company": {"acme": 3, "globex": 2}, "country": {"DE": 2, "GB": 3}})
		// A choice that nothing has is still listed, so that it can be taken back.
		q = search.Query{Text: q.Text, Types: []string{"volunteer"}}
		check(q, 0, map[string]m{"type": {"full_time": 5, "contract": 1, "volunteer": 0}, "workplace": {}})
	}
	if r := f.search(search.Query{}); r.Facets["type"][0].Value != "full_time" {
		t.Errorf("the most frequent value is not first: %+v", r.Facets["type"])
	}
}

func order(t *testing.T, s Setup) {
	f := s.fixture(t, "en")
	f.put(
		Doc(1, "Gardener", func(d *search.Document) { d.Featured = true }),
		Doc(2, "Gardener"),
		Doc(3, "Florist", func(d *search.Document) { d.Text = "Works with our gardener every day."; d.SalaryMin = 50000_00 }),
		Doc(4, "Gardener", func(d *search.Document) { d.SalaryMin = 30000_00 }),
		Doc(5, "Florist", func(d *search.Document) { d.Featured = true; d.Text = "Works with our gardener every day." }),
	)
	f.finds(search.Query{}, 5, 1, 4, 3, 2)
	f.finds(text("gardener"), 1, 5, 4, 2, 3)
	f.finds(search.Query{Text: "gardener", Sort: search.SortRecent}, 5, 4, 3, 2, 1)
	f.finds(search.Query{Sort: search.SortRecent}, 5, 4, 3, 2, 1)
	r := f.search(search.Query{Sort: search.SortSalary})
	if got := found(r)[:2]; !slices.Equal(got, names([]int{3, 4})) {
		t.Errorf("by salary: %v first", got)
	}
}

func pages(t *testing.T, s Setup) {
	f := s.fixture(t, "en")
	var docs []search.Document
	for n := range 45 {
		docs = append(docs, Doc(n, "Clerk"))
	}
	f.put(docs...)
	for _, q := range []search.Query{{}, text("clerk")} {
		seen := map[uuid.UUID]bool{}
		for page, want := range map[int]int{1: 20, 2: 20, 3: 5, 4: 0, 400: 0, search.MaxPage: 0} {
			q.Page = page
			r := f.search(q)
			if len(r.Hits) != want || r.Total != 45 || r.Pages != 3 || r.Page != page {
				t.Errorf("page %d: %d hits of %d on %d pages, page %d", page, len(r.Hits), r.Total, r.Pages, r.Page)
			}
			for _, h := range r.Hits {
				if seen[h.ListingID] {
					t.Errorf("%s is on two pages", h.ListingID)
				}
				seen[h.ListingID] = true
			}
		}
		q.Page, q.PerPage = 1, 100
		if r := f.search(q); len(r.Hits) != 45 {
			t.Errorf("100 to a page: %d hits", len(r.Hits))
		}
	}
}

func signs(t *testing.T, s Setup) {
	f := s.fixture(t, "en")
	f.put(Doc(1, "C++ Developer"), Doc(2, "C# Developer"), Doc(3, ".NET Developer"), Doc(4, "C Developer"),
		Doc(5, "Node.js Developer"), Doc(6, "R&D Chemist"), Doc(7, "Developer (C/C++)"))
	f.holds(text("c++"), 1, 7)
	f.holds(text("C++ developer"), 1, 7)
	f.holds(text("c#"), 2)
	f.holds(text(".net"), 3)
	f.holds(text("node.js"), 5)
	f.holds(text("r&d"), 6)
}

func german(t *testing.T, s Setup) {
	f := s.fixture(t, "de")
	f.put(
		Doc(1, "Pflegefachkraft (m/w/d)", func(d *search.Document) {
			d.Places, d.Countries = []search.Place{{Country: "DE", City: "München"}}, []string{"DE"}
		}),
		Doc(2, "Straßenbauer"),
		Doc(3, "Entwickler für Webanwendungen", func(d *search.Document) { d.Company = "Bäckerei Öllinger" }),
	)
	f.holds(text("Pflegefachkraft"), 1)
	f.holds(text("pflegefach"), 1)
	f.holds(text("strassenbauer"), 2)
	f.holds(text("Straßenbauer"), 2)
	f.holds(text("backerei"), 3)
	f.holds(text("Bäckerei Öllinger"), 3)
	f.holds(text("Entwickler für Webanwendungen"), 3)
	f.holds(search.Query{Location: "munchen"}, 1)
	f.holds(search.Query{Location: "München"}, 1)
	f.holds(search.Query{Location: "Deutschland"}, 1)
}

func suggest(t *testing.T, s Setup) {
	f := s.fixture(t, "en")
	f.put(Doc(1, "Senior Engineer"), Doc(2, "Senior Engineer"), Doc(3, "Senior Nurse"), Doc(4, "Cook", func(d *search.Document) { d.Company, d.CompanySlug = "Senova", "senova" }))
	at := func(typed string, want ...string) {
		t.Helper()
		got, err := f.Engine.Suggest(f.at(), typed, 8)
		if err != nil {
			t.Errorf("suggest %q: %v", typed, err)
		}
		texts := map[string]bool{}
		for _, g := range got {
			texts[search.Fold(g.Text)] = true
		}
		for _, w := range want {
			if !texts[w] {
				t.Errorf("suggest %q: %v lacks %q", typed, got, w)
			}
		}
		if len(want) == 0 && len(got) > 0 {
			t.Errorf("suggest %q: %v, want nothing", typed, got)
		}
	}
	at("sen", "senior engineer", "senior nurse", "senova")
	at("Senior e", "senior engineer")
	at("senior n", "senior nurse")
	at("zzz")
	at("")
	at("'; DROP TABLE x; --`")
	if got, err := f.Engine.Suggest(f.at(), "sen", 1); err != nil || len(got) != 1 {
		t.Errorf("one suggestion: %v, %v", got, err)
	}
}

func isolation(t *testing.T, s Setup) {
	a, b := s.fixture(t, "en"), s.fixture(t, "en")
	a.put(Doc(1, "Secret Engineer"), Doc(2, "Shared Nurse", func(d *search.Document) { d.Company, d.CompanySlug = "Alpha", "alpha" }))
	b.put(Doc(3, "Open Engineer"), Doc(2, "Other Nurse", func(d *search.Document) { d.Company, d.CompanySlug = "Beta", "beta" }))
	a.holds(text("engineer"), 1)
	b.holds(text("engineer"), 3)
	b.holds(text("secret"))
	b.holds(search.Query{Companies: []string{"alpha"}})
	if r := b.holds(search.Query{}, 2, 3); counts(r, "company")["alpha"] != 0 {
		t.Errorf("a rival's company is counted: %v", r.Facets["company"])
	}
	if got, err := b.Engine.Suggest(b.at(), "secr", 5); err != nil || len(got) != 0 {
		t.Errorf("a rival's words are suggested: %v, %v", got, err)
	}
	// The same listing id on two boards is two listings.
	if err := b.Engine.Delete(b.at(), search.Ref{ID: ID(2), Version: 9}, search.Ref{ID: ID(1), Version: 9}); err != nil {
		t.Fatal(err)
	}
	a.holds(search.Query{}, 1, 2)
	b.holds(search.Query{}, 3)
	if err := b.Engine.Rebuild(b.at(), batches()); err != nil {
		t.Fatal(err)
	}
	a.holds(search.Query{}, 1, 2)
	got, err := a.Engine.Versions(a.at())
	if err != nil || len(got) != 2 {
		t.Errorf("versions %v, %v; want two", got, err)
	}
}

func versions(t *testing.T, s Setup) {
	f := s.fixture(t, "en")
	at := func(v int64, title string) search.Document {
		return Doc(1, title, func(d *search.Document) { d.Version = v })
	}
	f.put(at(3, "Third"))
	f.put(at(2, "Second"))
	f.put(at(1, "First"))
	f.holds(text("third"), 1)
	f.holds(text("second"))
	f.put(at(4, "Fourth"), Doc(2, "Neighbour"))
	f.holds(text("fourth"), 1)
	f.holds(text("third"))
	// The same version again is taken: its company may have a new name.
	f.put(Doc(1, "Fourth", func(d *search.Document) { d.Version = 4; d.Company = "Renamed" }))
	f.holds(text("renamed"), 1)
	got, err := f.Engine.Versions(f.at())
	if diff := cmp.Diff(map[uuid.UUID]int64{ID(1): 4, ID(2): 1}, got); err != nil || diff != "" {
		t.Errorf("versions: %v (-want +got)\n%s", err, diff)
	}
	var wg sync.WaitGroup
	for v := range int64(8) {
		wg.Go(func() {
			if err := f.Engine.Upsert(f.at(), at(10+v, fmt.Sprintf("Racer number%d", v))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	f.holds(text("number7"), 1)
}

func deletes(t *testing.T, s Setup) {
	f := s.fixture(t, "en")
	f.put(Doc(1, "Porter"), Doc(2, "Porter"))
	if err := f.Engine.Delete(f.at(), search.Ref{ID: ID(1), Version: 2}); err != nil {
		t.Fatal(err)
	}
	r := f.holds(text("porter"), 2)
	if n := counts(r, "type")["full_time"]; n != 1 {
		t.Errorf("the facet counts %d after the delete, want 1", n)
	}
	// Twice, and one that never was.
	if err := f.Engine.Delete(f.at(), search.Ref{ID: ID(1), Version: 2}, search.Ref{ID: ID(99), Version: 1}); err != nil {
		t.Errorf("deleting what is not there: %v", err)
	}
	f.put(Doc(1, "Porter", func(d *search.Document) { d.Version = 3 }))
	f.holds(text("porter"), 1, 2)
}

// Hostile is what strangers type; no engine may fail on it, or find more by it.
var Hostile = []string{"'", `"`, `\`, "`", "*", "&&", "||", "(", ")", "!", ":", "%", "_", "?", "a:*", "!!a", "-engineer", `"engineer`,
	"` || featured:=1", "x`] && company:=[`acme", "'; DROP TABLE search_documents; --", "\x00", "\xff\xfe", "engineer\x00nurse",
	"🦄", "{}", "[1,2]", "$1", "?0", "%s%n", "<script>", "../..", "a b c d e f g h i j k l m n o p q r s t u v w x y z",
	"ＥＮＧＩＮＥＥＲ", "مهندس", "工程师"}

func hostile(t *testing.T, s Setup) {
	f := s.fixture(t, "en")
	f.put(Doc(1, "Plumber", func(d *search.Document) { d.Featured = true }), Doc(2, "Carpenter"))
	for _, h := range Hostile {
		f.search(text(h))
		f.search(search.Query{Text: "plumber", Location: h})
		if _, err := f.Engine.Suggest(f.at(), h, 5); err != nil {
			t.Errorf("suggest %q: %v", h, err)
		}
		// Facet values reach the engine as they are when code, not a URL, asks.
		if r := f.search(search.Query{Categories: []string{h}, Companies: []string{h}, Types: []string{h}}); r.Total != 0 {
			t.Errorf("the filter %q found %d", h, r.Total)
		}
	}
	weird := Doc(3, "Odd `one`, [really] && more", func(d *search.Document) { d.CompanySlug = "a,b`c] && x:=[`y" })
	f.put(weird)
	f.holds(text("odd"), 3)
	f.holds(search.Query{}, 1, 2, 3)
}

// batches yields documents in one batch, or none.
func batches(docs ...search.Document) search.Documents {
	return func(yield func([]search.Document, error) bool) {
		if len(docs) > 0 {
			yield(docs, nil)
		}
	}
}

func rebuild(t *testing.T, s Setup) {
	f := s.fixture(t, "en")
	var kept []search.Document
	for n := range 60 {
		kept = append(kept, Doc(n, "Baker"))
	}
	f.put(kept...)
	f.put(Doc(100, "Baker")) // no longer in the table: the rebuild drops it

	stop := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			r, err := f.Engine.Search(f.at(), search.Query{Text: "baker", PerPage: 100})
			if err != nil {
				t.Errorf("searching during a rebuild: %v", err)
				return
			}
			if len(r.Hits) < 60 {
				t.Errorf("a search during the rebuild found %d of 60", len(r.Hits))
				return
			}
		}
	})
	wrote := false
	all := func(yield func([]search.Document, error) bool) {
		for i := 0; i < len(kept); i += 20 {
			if !yield(kept[i:i+20], nil) {
				return
			}
			if i == 20 && !wrote {
				// Somebody publishes, and somebody edits, while it runs.
				wrote = true
				f.put(Doc(200, "Baker"), Doc(5, "Pastry Baker", func(d *search.Document) { d.Version = 2 }))
			}
		}
	}
	if err := f.Engine.Rebuild(f.at(), all); err != nil {
		t.Fatalf("rebuild: %v", err)
	}
	close(stop)
	watch.Wait()
	got, err := f.Engine.Versions(f.at())
	if err != nil {
		t.Fatal(err)
	}
	if got[ID(5)] != 2 {
		t.Errorf("the edit during the rebuild is at version %d, want 2", got[ID(5)])
	}
	if _, ok := got[ID(200)]; !ok {
		t.Error("what was published during the rebuild is missing")
	}
	if _, ok := got[ID(100)]; ok {
		t.Error("what is no longer live is still there")
	}
	f.holds(text("pastry"), 5)
	if r := f.search(text("baker")); r.Total != 61 {
		t.Errorf("%d after the rebuild, want 61", r.Total)
	}
}

func health(t *testing.T, s Setup) {
	f := s.fixture(t, "en")
	if err := f.Engine.Health(f.at()); err != nil {
		t.Errorf("health: %v", err)
	}
}

func noBoard(t *testing.T, s Setup) {
	ctx := t.Context()
	if _, err := s.Engine.Search(ctx, search.Query{}); err == nil {
		t.Error("a search without a board answered")
	}
	if err := s.Engine.Upsert(ctx, Doc(1, "x")); err == nil {
		t.Error("an upsert without a board worked")
	}
	if _, err := s.Engine.Suggest(ctx, "en", 3); err == nil {
		t.Error("a suggestion without a board answered")
	}
}
