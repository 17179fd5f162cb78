// Package searchtest holds what every search engine must do: one suite that
// runs against postgres, against a double of Typesense, and against a real
// server where one is given. It knows no engine's inside. Start at Run.
package searchtest

import (
	"context"
	"fmt"
	"slices"
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

// drops: what was dropped is gone, its neighbour's is not, and the board may
// begin anew.
func drops(t *testing.T, s Setup) {
	f, other := s.fixture(t, "en"), s.fixture(t, "en")
	f.put(Doc(1, "Baker"))
	other.put(Doc(2, "Baker"))
	for range 2 {
		if err := f.Engine.Drop(f.at()); err != nil {
			t.Fatalf("drop: %v", err)
		}
	}
	if held, err := f.Engine.Versions(f.at()); err == nil && len(held) != 0 {
		t.Errorf("still held: %v", held)
	}
	other.finds(search.Query{}, 2)
	f.put(Doc(3, "Cook"))
	f.finds(search.Query{}, 3)
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
		"counts are those of a naive count":                   exact,
		"featured, then relevance, then recency":              order,
		"three featured lead, on pages of any length":         lead,
		"pages, and past the last one":                        pages,
		"names that live by their signs":                      signs,
		"accents and German":                                  german,
		"suggestions complete what is typed":                  suggest,
		"boards do not see each other":                        isolation,
		"the last version wins in any order":                  versions,
		"delete":                                              deletes,
		"drop takes one board's away":                         drops,
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

// lead: three featured ones lead, the best first; all others, featured or not,
// follow in their ordinary place, and no page repeats or leaves out one.
func lead(t *testing.T, s Setup) {
	f := s.fixture(t, "en")
	var docs []search.Document
	for n := range 12 { // the higher the newer
		docs = append(docs, Doc(n, "Clerk", func(d *search.Document) { d.Featured = n%2 == 0 }))
	}
	f.put(docs...)
	for _, q := range []search.Query{{}, text("clerk")} {
		f.finds(q, 10, 8, 6, 11, 9, 7, 5, 4, 3, 2, 1, 0)
		q.PerPage = 4
		for page, want := range map[int][]int{1: {10, 8, 6, 11}, 2: {9, 7, 5, 4}, 3: {3, 2, 1, 0}} {
			q.Page = page
			f.finds(q, want...)
		}
		q.PerPage = 2
		for page, want := range map[int][]int{1: {10, 8}, 2: {11, 9}, 3: {7, 6}, 4: {5, 4}, 6: {1, 0}} {
			q.Page = page
			f.finds(q, want...)
		}
	}
	recent := search.Query{Sort: search.SortRecent, PerPage: 4}
	f.finds(recent, 11, 10, 9, 8)
	// A filter's own three lead.
	f.put(Doc(20, "Driver", func(d *search.Document) { d.Featured = true }), Doc(21, "Driver"))
	f.finds(text("driver"), 20, 21)
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
