package web_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"shingle/listings"
	"shingle/search"
	"shingle/search/searchtest"
	"shingle/tenant"
)

// benchSize reads a size of a benchmark from the environment.
func benchSize(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// stocked is boards of many listings, and what can be asked of them.
type stocked struct {
	*house
	hosts    []string
	listings [][]string // paths, by board
	trips    *trips
}

// trips counts statements that went to Postgres.
type trips struct{ n atomic.Int64 }

func (*trips) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }
func (t *trips) AfterQuery(context.Context, *bun.QueryEvent)                      { t.n.Add(1) }

// stockedBoards makes boards with so many live listings each, found by search.
func stockedBoards(b *testing.B, boards, each int) *stocked {
	b.Helper()
	s := &stocked{house: newHouse(b), trips: &trips{}}
	ctx, stop := context.WithCancel(context.Background())
	listening := make(chan struct{})
	quiet := tenant.NewNotifier(s.PG.App, s.parts.Log)
	s.Boards.Attach(quiet)
	go func() { defer close(listening); quiet.Run(ctx) }()
	b.Cleanup(func() { stop(); <-listening })
	texts := demoBoards(b)[0].Listings
	r := rand.New(rand.NewPCG(3, 5)) //nolint:gosec // a repeatable draw
	for n := range boards {
		board := s.Board(b, "stocked"+strconv.Itoa(n))
		s.hosts = append(s.hosts, board.PlatformHost)
		var paths []string
		err := s.DB.Write(s.Ctx(b, board), func(ctx context.Context, tx bun.IDB) error {
			categories := make([]*listings.Category, 12)
			for i := range categories {
				var err error
				name := []string{"Engineering", "Product", "Design", "Data", "Sales", "Marketing", "Health", "Logistics", "Finance", "Support", "Education", "Legal"}[i]
				if categories[i], err = s.parts.Site.Listings.CreateCategory(ctx, tx, name); err != nil {
					return err
				}
			}
			companies := make([]listings.Company, max(1, each/20))
			for i := range companies {
				companies[i] = listings.Company{ID: tenant.NewRowID(), Slug: fmt.Sprintf("employer-%d", i), Name: fmt.Sprintf("Employer %d", i), Website: "https://employer.example"}
			}
			if err := s.parts.Site.Listings.BulkCompanies(ctx, tx, companies); err != nil {
				return err
			}
			rows := make([]listings.Listing, each)
			for i := range rows {
				d := &texts[r.IntN(len(texts))]
				published := time.Now().Add(-time.Duration(r.IntN(28*24)) * time.Hour)
				ends := published.Add(60 * 24 * time.Hour)
				low := int64(30+r.IntN(90)) * 1000_00
				high := low + 15_000_00
				rows[i] = listings.Listing{CompanyID: companies[r.IntN(len(companies))].ID, CategoryID: &categories[r.IntN(len(categories))].ID, State: listings.Live,
					Title:          pick(r, "", "Senior ", "Junior ", "Lead ") + pick(r, "Engineer", "Software Engineer", "Developer", "Product Manager", "Nurse", "Sales Manager", "Designer", "Data Analyst", "Accountant", "Warehouse Driver"),
					EmploymentType: pick(r, search.Types[:4]...), Workplace: pick(r, search.Workplaces...), Seniority: pick(r, search.Seniorities...),
					Description: listings.Sanitise(d.Description), Tags: d.Tags, ApplyMethod: listings.ApplyEmail, ApplyTarget: "jobs@employer.example", Source: listings.FromSeed,
					SalaryMin: &low, SalaryMax: &high, SalaryCurrency: "USD", SalaryPeriod: "year", Featured: r.IntN(40) == 0, PublishedAt: &published, EndsAt: &ends,
					Places: []listings.Place{{Country: pick(r, "US", "US", "US", "GB", "DE", "CA"), City: pick(r, "Berlin", "London", "Austin", "Leeds", "Toronto", "New York")}}}
			}
			if err := s.parts.Site.Listings.BulkInsert(ctx, tx, rows, false); err != nil {
				return err
			}
			for i := range rows {
				paths = append(paths, listings.Path(rows[i].Slug, rows[i].PublicID))
			}
			return nil
		})
		if err == nil {
			err = s.parts.Site.Search.IndexAll(s.Ctx(b, board))
		}
		if err != nil {
			b.Fatal(err)
		}
		s.listings = append(s.listings, paths)
	}
	// Tests' Postgres has no autovacuum.
	super := s.PG.Open(b, s.PG.Superuser, 1)
	for _, table := range []string{"search_documents", "search_terms", "listings", "listing_places", "companies", "categories"} {
		if _, err := super.ExecContext(b.Context(), "VACUUM ANALYZE "+table); err != nil {
			b.Fatal(err)
		}
	}
	s.DB.Bun().AddQueryHook(s.trips) //nolint:staticcheck // one door for the whole benchmark
	return s
}

func pick(r *rand.Rand, values ...string) string { return values[r.IntN(len(values))] }

// searching draws a search of the fixed mix.
func searching(r *rand.Rand) string {
	n := r.IntN(100)
	for _, m := range searchtest.Mix {
		if n -= m.Share; n < 0 {
			return "/jobs?" + m.Queries[r.IntN(len(m.Queries))]
		}
	}
	return "/jobs"
}

// BenchmarkUncached is public pages made anew each time, with the page cache
// off, on SHINGLE_BENCH_BOARDS (20) boards of SHINGLE_BENCH_EACH (1000) live
// listings: one at a time, then at half of the highest throughput. "fresh"
// moves the board's generation for each page, so that nothing at all is kept.
func BenchmarkUncached(b *testing.B) {
	s := stockedBoards(b, benchSize("SHINGLE_BENCH_BOARDS", 20), benchSize("SHINGLE_BENCH_EACH", 1000))
	pages := []struct {
		name string
		draw func(r *rand.Rand, board int) string
	}{
		{"search", func(r *rand.Rand, _ int) string { return searching(r) }},
		{"home", func(*rand.Rand, int) string { return "/" }},
		{"listing", func(r *rand.Rand, board int) string { return s.listings[board][r.IntN(len(s.listings[board]))] }},
	}
	for _, p := range pages {
		next := func(r *rand.Rand) ask {
			board := r.IntN(len(s.hosts))
			return ask{s.hosts[board], p.draw(r, board)}
		}
		b.Run(p.name, func(b *testing.B) { s.oneByOne(b, next, false) })
		b.Run(p.name+"/fresh", func(b *testing.B) { s.oneByOne(b, next, true) })
		b.Run(p.name+"/half-load", func(b *testing.B) { s.halfLoad(b, next) })
	}
}

// serve answers in process and fails the benchmark on anything but a page.
func (s *stocked) serve(b *testing.B, a ask) time.Duration {
	r := httptest.NewRequest(http.MethodGet, a.path, http.NoBody)
	r.Host = a.host
	r.Header.Set("Accept-Encoding", "gzip")
	rec := httptest.NewRecorder()
	begun := time.Now()
	s.handler.ServeHTTP(rec, r)
	took := time.Since(begun)
	if rec.Code != http.StatusOK {
		b.Errorf("%v: %d", a, rec.Code)
	}
	return took
}

func (s *stocked) oneByOne(b *testing.B, next func(*rand.Rand) ask, fresh bool) {
	r := rand.New(rand.NewPCG(7, 7)) //nolint:gosec // a repeatable draw
	for range 20 {
		s.serve(b, next(r))
	}
	took := make([]time.Duration, 0, b.N)
	begun := s.trips.n.Load()
	moved := int64(0)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		a := next(r)
		if fresh {
			moved += s.move(b, a.host)
		}
		took = append(took, s.serve(b, a))
	}
	b.StopTimer()
	b.ReportMetric(float64(s.trips.n.Load()-begun-moved)/float64(b.N), "trips/page")
	report(b, took)
}

// move gives a board a new generation, as a write would, and says how many
// statements that took.
func (s *stocked) move(b *testing.B, host string) int64 {
	begun := s.trips.n.Load()
	t, err := s.Boards.Resolve(b.Context(), host)
	if err == nil {
		err = s.DB.Write(tenant.With(b.Context(), t), func(ctx context.Context, _ bun.IDB) error { tenant.Changed(ctx); return nil })
	}
	if err != nil {
		b.Fatal(err)
	}
	return s.trips.n.Load() - begun
}

// halfLoad finds the highest throughput of 8 who ask without a pause, then lets
// requests arrive at random at half of it and measures each from its arrival.
func (s *stocked) halfLoad(b *testing.B, next func(*rand.Rand) ask) {
	n := max(b.N, 200)
	var left atomic.Int64
	left.Store(int64(n))
	begun := time.Now()
	var wg sync.WaitGroup
	for w := range uint64(8) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(w, 1)) //nolint:gosec // a repeatable draw
			for left.Add(-1) >= 0 {
				s.serve(b, next(r))
			}
		})
	}
	wg.Wait()
	highest := float64(n) / time.Since(begun).Seconds()
	r := rand.New(rand.NewPCG(9, 9)) //nolint:gosec // a repeatable draw
	took := make([]time.Duration, n)
	b.ResetTimer()
	due := time.Now()
	for i := range n {
		due = due.Add(time.Duration(r.ExpFloat64() / (highest / 2) * float64(time.Second)))
		a, at := next(r), due
		<-time.After(time.Until(at))
		wg.Go(func() {
			s.serve(b, a)
			took[i] = time.Since(at)
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(highest, "highest-pages/s")
	report(b, took)
}

func report(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(ms(took[len(took)/2]), "p50-ms")
	b.ReportMetric(ms(took[len(took)*99/100]), "p99-ms")
}
