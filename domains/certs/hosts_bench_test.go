package certs_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/uptrace/bun"

	"shingle/domains/certs"
)

// BenchmarkHosts is what a replica pays for 100,000 hosts with a certificate
// each: reading all of them at the start, a poll that finds nothing, hearing of
// one change, and the watch. Memory is that of the list.
func BenchmarkHosts(b *testing.B) {
	const n = 100_000
	r := newRig(b)
	p := r.replica()
	super := r.w.PG.Open(b, r.w.PG.Superuser, 1)
	for _, q := range []string{
		fmt.Sprintf(`INSERT INTO hosts (host, board_id, kind, verified_at, created_at) SELECT 'jobs.company-' || i || '.example', '%s', 'custom', now() - interval '3 days', now() - interval '3 days'
			FROM generate_series(1, %d) AS i`, r.board.ID, n),
		fmt.Sprintf(`INSERT INTO certificates (host, state, issuer, not_before, not_after, renew_at, ocsp_at, updated_at) SELECT 'jobs.company-' || i || '.example', 'issued', 'x', now() - interval '3 days',
			now() + interval '80 days', now() + interval '50 days', CASE WHEN i %% 10 = 0 THEN now() + interval '1 day' END, now() - interval '2 days' FROM generate_series(1, %d) AS i`, n),
		`ANALYZE hosts`, `ANALYZE certificates`,
	} {
		if _, err := super.ExecContext(b.Context(), q); err != nil {
			b.Fatal(err)
		}
	}
	o := r.o
	o.Platform, o.Notifier = p.platform, p.notifier
	ctx := b.Context()
	list := 0.0
	bench := func(name string, do func(i int) error) {
		b.Run(name, func(b *testing.B) {
			for i := range b.N {
				if err := do(i); err != nil {
					b.Fatal(err)
				}
			}
			if name == "load" {
				b.ReportMetric(list, "B/host")
			}
		})
	}
	fresh, err := certs.New(o) // one that nothing runs
	if err != nil {
		b.Fatal(err)
	}
	defer fresh.Close()
	before := heap()
	if err := fresh.Load(ctx); err != nil {
		b.Fatal(err)
	}
	list = float64(heap()-before) / n
	bench("load", func(int) error { return fresh.Load(ctx) })
	bench("poll", func(int) error { return fresh.Poll(ctx) })
	bench("change", func(i int) error {
		fresh.Changed(fmt.Sprintf("jobs.company-%d.example", 1+i%n))
		return fresh.Refresh(ctx)
	})
	bench("watch", func(int) error { return fresh.Watch(ctx) })
	bench("status", func(i int) error {
		_, err := fresh.Status(ctx, fmt.Sprintf("jobs.company-%d.example", 1+i%n))
		return err
	})
	bench("late", func(int) error {
		return p.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error { _, err := certs.Late(ctx, tx); return err })
	})
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
