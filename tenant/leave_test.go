package tenant_test

import (
	"context"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/pg"
	"shingle/internal/testkit"
	"shingle/tenant"
)

// Whoever closes the browser in the middle of a page must not cost a connection,
// nor leave work behind in Postgres, nor the board bound.
func TestACallerWhoLeavesCostsNoConnection(t *testing.T) {
	t.Parallel()
	w := testkit.NewWorld(t)
	acme, rival := w.Board(t, "acme"), w.Board(t, "rival")
	pool, err := pg.Open(w.PG.App, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	db := tenant.NewDB(pool, w.Notifier)
	backend := func(ctx context.Context) (pid int, bound string) {
		t.Helper()
		err := db.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
			return tx.NewRaw(`SELECT pg_backend_pid(), current_setting('app.tenant_id')`).Scan(ctx, &pid, &bound)
		})
		if err != nil {
			t.Fatal(err)
		}
		return pid, bound
	}
	before, _ := backend(w.Ctx(t, acme))
	for sleep, most := range map[string]time.Duration{"0.15": time.Second, "60": 5 * time.Second} {
		ctx, leave := context.WithTimeout(w.Ctx(t, acme), 50*time.Millisecond)
		begun := time.Now()
		err := db.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
			if _, err := tx.NewRaw(`SELECT pg_sleep(` + sleep + `)`).Exec(ctx); err != nil {
				return err
			}
			_, err := tx.NewRaw(`SELECT 1`).Exec(ctx)
			return err
		})
		leave()
		if !fault.Is(err, fault.Unavailable) {
			t.Errorf("after %s s of sleep: %v", sleep, err)
		}
		if took := time.Since(begun); took > most {
			t.Errorf("%s s of sleep held the caller for %s", sleep, took)
		}
		after, bound := backend(w.Ctx(t, rival))
		if after != before {
			t.Errorf("a caller who left during %s s of sleep took the connection along", sleep)
		}
		before = after
		if bound != rival.ID.String() {
			t.Errorf("the connection is bound to %s", bound)
		}
	}
}
