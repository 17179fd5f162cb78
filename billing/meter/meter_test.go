package meter

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"shingle/internal/testkit"
	"shingle/tenant"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func newMeter(w *testkit.World, now func() time.Time) *Meter {
	return New(w.Platform, slog.New(slog.DiscardHandler), now)
}

func used(t *testing.T, w *testkit.World, b *tenant.Tenant, what string) (n int64) {
	t.Helper()
	err := w.DB.Read(w.Ctx(t, b), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT coalesce(sum(amount), 0)::bigint FROM usage_days WHERE tenant_id = ? AND what = ?`, b.ID, what).Scan(ctx, &n)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestCountsOfManyGoroutinesAndProcessesAddUp(t *testing.T) {
	t.Parallel()
	w := testkit.NewWorld(t)
	a, b := w.Board(t, "acme"), w.Board(t, "bolt")
	meters := []*Meter{newMeter(w, time.Now), newMeter(w, time.Now)}
	var wg sync.WaitGroup
	for _, m := range meters {
		for range 8 {
			wg.Go(func() {
				for i := range 500 {
					m.View(a.ID)
					if i%5 == 0 {
						m.Call(b.ID)
					}
					if i%100 == 0 {
						if err := m.Flush(t.Context()); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
	}
	wg.Wait()
	for _, m := range meters {
		if err := m.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := m.Flush(t.Context()); err != nil { // nothing more
			t.Fatal(err)
		}
	}
	if got := used(t, w, a, "views"); got != 8000 {
		t.Errorf("%d views, want 8000", got)
	}
	if got := used(t, w, b, "api_calls"); got != 1600 {
		t.Errorf("%d calls, want 1600", got)
	}
	if got := used(t, w, a, "api_calls") + used(t, w, b, "views"); got != 0 {
		t.Errorf("%d counted where nothing happened", got)
	}
}

// A batch that was written while its writer never heard of it counts once when
// it is written again, and one that was not written counts then.
func TestABatchCountsOnce(t *testing.T) {
	t.Parallel()
	w := testkit.NewWorld(t)
	board := w.Board(t, "acme")
	m := newMeter(w, time.Now)
	m.View(board.ID)
	m.View(board.ID)
	m.take()
	lost := m.pending
	if err := m.write(t.Context(), lost); err != nil { // committed, and the answer was lost
		t.Fatal(err)
	}
	m.View(board.ID)
	if err := m.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := used(t, w, board, "views"); got != 2 {
		t.Errorf("%d views after the second writing, want 2", got)
	}
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the database is away"))
	if err := m.Flush(gone); err == nil {
		t.Fatal("written without a database")
	}
	m.View(board.ID)
	for range 3 {
		if err := m.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := used(t, w, board, "views"); got != 4 {
		t.Errorf("%d views in the end, want 4", got)
	}
}

// Days are days of UTC; a board that is gone takes no others with it.
func TestCountsAreKeptByDay(t *testing.T) {
	t.Parallel()
	w := testkit.NewWorld(t)
	board := w.Board(t, "acme")
	now := time.Date(2026, 3, 1, 23, 59, 59, 0, time.UTC)
	m := newMeter(w, func() time.Time { return now })
	m.View(board.ID)
	m.View(tenant.NewID())
	if err := m.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Second)
	m.View(board.ID)
	if err := m.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var days []string
	err := w.DB.Read(w.Ctx(t, board), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT day::text || ' ' || amount FROM usage_days WHERE tenant_id = ? ORDER BY 1`, board.ID).Scan(ctx, &days)
	})
	if err != nil || len(days) != 2 || days[0] != "2026-03-01 1" || days[1] != "2026-03-02 1" {
		t.Errorf("days %q: %v", days, err)
	}
}

// What ends a process by signal writes the rest; a nil meter counts nothing.
func TestTheLastCountsAreWrittenAtTheEnd(t *testing.T) {
	t.Parallel()
	w := testkit.NewWorld(t)
	board := w.Board(t, "acme")
	m := newMeter(w, time.Now)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { m.Run(ctx) })
	m.View(board.ID)
	stop()
	wg.Wait()
	if got := used(t, w, board, "views"); got != 1 {
		t.Errorf("%d views, want 1", got)
	}
	var none *Meter
	none.View(board.ID)
	none.Call(board.ID)
}

func BenchmarkView(b *testing.B) {
	m := New(nil, slog.New(slog.DiscardHandler), time.Now)
	ids := make([]tenant.ID, 1000)
	for i := range ids {
		ids[i] = tenant.NewID()
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			m.View(ids[i%len(ids)])
		}
	})
}
