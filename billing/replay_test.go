package billing

import (
	"context"
	"testing"

	"github.com/uptrace/bun"

	"shingle/billing/stripesim"
	"shingle/internal/fault"
)

// TestReplayingEndsTheSame: staff applies any stored event again, whatever became
// of it; nothing is counted twice, and one that waits is not queued twice.
func TestReplayingEndsTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sell(t)
	o := w.place(t, w.listing(t), w.product(t, 19900, "USD"))
	w.pay(t, w.open(t, o), stripesim.CardOK)
	var paid string
	for _, e := range w.fresh() {
		w.receive(t, e)
		if e.Type == "checkout.session.completed" {
			paid = e.ID
		}
	}
	replay := func(id string) error {
		return w.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error { return w.s.Replay(ctx, tx, id) })
	}
	wantKind(t, replay("evt_unknown"), fault.NotFound)
	wantKind(t, replay(paid), fault.Conflict) // its task waits
	w.work(t)
	wantEnd(t, w.end(t, o), sold())
	for range 3 {
		if err := replay(paid); err != nil {
			t.Fatal(err)
		}
		w.work(t)
		wantEnd(t, w.end(t, o), sold())
	}
	// A task that gave up is replaced, not joined by a second.
	if err := replay(paid); err != nil {
		t.Fatal(err)
	}
	err := w.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`UPDATE tasks SET failed_at = now() WHERE kind = ? AND key = ?`, TaskEvent, paid).Exec(ctx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := replay(paid); err != nil {
		t.Fatal(err)
	}
	var n int
	err = w.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT count(*) FROM tasks WHERE kind = ? AND key = ?`, TaskEvent, paid).Scan(ctx, &n)
	})
	if err != nil || n != 1 {
		t.Errorf("%d tasks for the event, want 1: %v", n, err)
	}
	w.work(t)
	wantEnd(t, w.end(t, o), sold())
}
