package postgres_test

import (
	"context"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"shingle/internal/testkit"
	"shingle/search"
	"shingle/search/postgres"
	"shingle/search/searchtest"
	"shingle/tenant"
)

func size(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// BenchmarkMix runs the fixed mix of searches and reports percentiles in
// milliseconds. SHINGLE_BENCH_LISTINGS (100000) is the big board's size;
// SHINGLE_BENCH_BOARDS (20) boards of SHINGLE_BENCH_EACH (1000) stand beside it.
// One in a hundred searches comes to a new generation: nothing is kept then.
func BenchmarkMix(b *testing.B) {
	w := testkit.NewWorld(b)
	e := postgres.New(w.DB)
	big, each, boards := size("SHINGLE_BENCH_LISTINGS", 100_000), size("SHINGLE_BENCH_EACH", 1000), size("SHINGLE_BENCH_BOARDS", 20)
	main := board(b, w, "en")
	begun := time.Now()
	if err := e.Rebuild(main(), searchtest.Corpus(1, big)); err != nil {
		b.Fatal(err)
	}
	rate := float64(big) / time.Since(begun).Seconds()
	var small []searchtest.Board
	for i := range boards {
		s := board(b, w, "en")
		if err := e.Rebuild(s(), searchtest.Corpus(uint64(i+2), each)); err != nil {
			b.Fatal(err)
		}
		small = append(small, s)
	}
	super := w.PG.Open(b, w.PG.Superuser, 1)
	if _, err := super.ExecContext(b.Context(), "VACUUM ANALYZE search_documents; VACUUM ANALYZE search_terms"); err != nil {
		// One statement at a time outside a transaction.
		for _, t := range []string{"search_documents", "search_terms"} {
			if _, err := super.ExecContext(b.Context(), "VACUUM ANALYZE "+t); err != nil {
				b.Fatal(err)
			}
		}
	}
	mix := func(b *testing.B, fresh int, next func(r *rand.Rand) context.Context) {
		r := rand.New(rand.NewPCG(7, 7)) //nolint:gosec // a repeatable draw
		took := make([]time.Duration, 0, b.N)
		slow := map[string]time.Duration{}
		generation := int64(1 << 40)
		for range b.N {
			raw := draw(r)
			v, _ := url.ParseQuery(raw)
			ctx := next(r)
			if r.IntN(100) < fresh {
				t := *tenant.From(ctx)
				generation++
				t.Generation = generation
				ctx = tenant.With(ctx, &t)
			}
			begun := time.Now()
			if _, err := e.Search(ctx, search.ParseQuery(v)); err != nil {
				b.Fatal(err)
			}
			d := time.Since(begun)
			took = append(took, d)
			slow[raw] = max(slow[raw], d)
		}
		slices.Sort(took)
		b.ReportMetric(ms(took[len(took)/2]), "p50-ms")
		b.ReportMetric(ms(took[len(took)*99/100]), "p99-ms")
		b.ReportMetric(rate, "indexed/s")
		if os.Getenv("SHINGLE_BENCH_SLOW") != "" {
			for q, d := range slow {
				b.Logf("%8.1f ms  %s", ms(d), q)
			}
		}
	}
	one := main()
	b.Run("big", func(b *testing.B) { mix(b, 1, func(*rand.Rand) context.Context { return one }) })
	b.Run("big/nothing-kept", func(b *testing.B) { mix(b, 100, func(*rand.Rand) context.Context { return one }) })
	if len(small) > 0 {
		b.Run("small/nothing-kept", func(b *testing.B) {
			mix(b, 100, func(r *rand.Rand) context.Context { return small[r.IntN(len(small))]() })
		})
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func draw(r *rand.Rand) string {
	n := r.IntN(100)
	for _, m := range searchtest.Mix {
		if n -= m.Share; n < 0 {
			return m.Queries[r.IntN(len(m.Queries))]
		}
	}
	return ""
}
