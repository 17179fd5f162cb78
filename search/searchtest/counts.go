package searchtest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"shingle/search"
)

// exact compares totals and facet counts with a naive count over the documents,
// for drawn boards and drawn queries, before and after changes.
func exact(t *testing.T, s Setup) {
	f := s.fixture(t, "en")
	r := rand.New(rand.NewPCG(5, 5)) //nolint:gosec // a repeatable draw
	docs := map[int]search.Document{}
	draw := func(n int, version int64) search.Document {
		d := Doc(n, pickOf(r, "Welder", "Welder Baker", "Baker", "Potter"), func(d *search.Document) {
			d.Version = version
			d.Type, d.Workplace, d.Seniority = pickOf(r, search.Types[:4]...), pickOf(r, search.Workplaces...), pickOf(r, "", "junior", "senior")
			d.Category = pickOf(r, "", "metal", "wood", "clay")
			// Few employers have many listings, and more have some than are shown.
			d.CompanySlug = fmt.Sprintf("employer-%d", min(r.IntN(60), r.IntN(60)))
			d.Company = d.CompanySlug
			d.Countries = [][]string{nil, {"DE"}, {"GB"}, {"DE", "GB"}, {"FR", "GB", "US"}}[r.IntN(5)]
			d.SalaryMin = int64(r.IntN(5)) * 20000_00
			if r.IntN(8) == 0 {
				d.EndsAt = time.Now().Add(-time.Hour)
			}
		})
		docs[n] = d
		return d
	}
	some := func(values ...string) []string {
		if r.IntN(3) > 0 {
			return nil
		}
		r.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
		out := values[:1+r.IntN(min(2, len(values)))]
		slices.Sort(out)
		return out
	}
	compare := func(times int) {
		for range times {
			q := search.Query{Text: pickOf(r, "", "", "welder", "baker"),
				Types: some(slices.Clone(search.Types[:5])...), Workplaces: some(slices.Clone(search.Workplaces)...),
				Seniority: some("junior", "senior"), Categories: some("metal", "wood", "stone"),
				Companies: some("employer-0", "employer-1", "employer-58", "nobody"), Countries: some("DE", "GB", "US", "NL")}
			if r.IntN(4) == 0 {
				q.SalaryMin = 40000_00
			}
			if r.IntN(4) == 0 {
				q.Since = epoch.Add(100*time.Minute + 30*time.Second)
			}
			total, counts := naive(docs, q)
			got := f.search(q)
			if got.Total != total {
				t.Errorf("%q: total %d, want %d", q.Values().Encode(), got.Total, total)
			}
			if diff := cmp.Diff(search.FacetLists(q, counts, 30), got.Facets); diff != "" {
				t.Errorf("%q: facets (-want +got)\n%s", q.Values().Encode(), diff)
			}
		}
	}
	var all []search.Document
	for n := range 300 {
		all = append(all, draw(n, 1))
	}
	f.put(all...)
	compare(60)
	for n := range 40 {
		f.put(draw(n*5, 2))
	}
	for n := 1; n < 300; n += 7 {
		if err := f.Engine.Delete(f.at(), search.Ref{ID: ID(n), Version: 3}); err != nil {
			t.Fatal(err)
		}
		delete(docs, n)
	}
	compare(60)
}

func pickOf(r *rand.Rand, values ...string) string { return values[r.IntN(len(values))] }

// naive counts as the definition says: a facet's counts ignore its own choice.
func naive(docs map[int]search.Document, q search.Query) (total int, counts map[string]map[string]int) {
	counts = map[string]map[string]int{}
	values := func(d search.Document, facet string) []string {
		switch facet {
		case search.FacetType:
			return []string{d.Type}
		case search.FacetWorkplace:
			return []string{d.Workplace}
		case search.FacetSeniority:
			return []string{d.Seniority}
		case search.FacetCategory:
			return []string{d.Category}
		case search.FacetCompany:
			return []string{d.CompanySlug}
		}
		return d.Countries
	}
	meets := func(d search.Document, but string) bool {
		for _, facet := range search.FacetNames {
			chosen := q.Chosen(facet)
			if facet != but && len(chosen) > 0 && !slices.ContainsFunc(values(d, facet), func(v string) bool { return slices.Contains(chosen, v) }) {
				return false
			}
		}
		return (d.EndsAt.IsZero() || d.EndsAt.After(time.Now())) && strings.Contains(strings.ToLower(d.Title), q.Text) &&
			max(d.SalaryMin, d.SalaryMax) >= q.SalaryMin && (q.Since.IsZero() || d.PublishedAt.After(q.Since))
	}
	for _, facet := range search.FacetNames {
		counts[facet] = map[string]int{}
		for _, d := range docs {
			if meets(d, facet) {
				for _, v := range values(d, facet) {
					counts[facet][v]++
				}
			}
		}
	}
	for _, d := range docs {
		if meets(d, "") {
			total++
		}
	}
	return total, counts
}
