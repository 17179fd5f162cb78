package listings

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"pgregory.net/rapid"

	"shingle/internal/fault"
	"shingle/tenant"
)

var update = flag.Bool("update", false, "write docs/listing-lifecycle.md anew")

func TestLifecycleTableIsWhole(t *testing.T) {
	t.Parallel()
	for from, to := range moves {
		if !from.Valid() || len(to) == 0 {
			t.Errorf("%s leads nowhere", from)
		}
		for _, s := range to {
			if !s.Valid() || s == from {
				t.Errorf("%s leads to %q", from, s)
			}
		}
		if from != Removed && !slices.Contains(to, Removed) {
			t.Errorf("%s cannot be removed", from)
		}
		if from != Removed && from != Rejected && !slices.Contains(to, Rejected) {
			t.Errorf("%s cannot be rejected", from)
		}
	}
	if len(moves) != len(States()) {
		t.Errorf("%d states in the table, %d in all", len(moves), len(States()))
	}
}

func TestLifecycleDrawing(t *testing.T) {
	t.Parallel()
	file := filepath.Join("..", "docs", "listing-lifecycle.md")
	want := "# The life of a listing\n\nDrawn from the table in `listings/lifecycle.go`; `go test ./listings -run Drawing -update` draws it anew.\n\n```mermaid\n" +
		Mermaid() + "```\n"
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file) // #nosec G304 -- a fixed name
	if err != nil || string(got) != want {
		t.Errorf("%s differs from the table (%v): run with -update", file, err)
	}
}

func TestEveryForbiddenMoveIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	l := w.draft("Crane driver")
	for _, from := range States() {
		for _, to := range States() {
			if from == to || MayMove(from, to) {
				continue
			}
			w.write(w.ctx, func(ctx context.Context, tx bun.IDB) error {
				_, err := tx.NewRaw(`UPDATE listings SET state = ? WHERE tenant_id = ? AND id = ?`, from, w.board.ID, l.ID).Exec(ctx)
				return err
			})
			w.fails(fault.Conflict, w.admin, func(ctx context.Context, tx bun.IDB) error {
				_, err := w.s.Move(ctx, tx, l.ID, to, "")
				return err
			})
		}
	}
}

func TestPaidDaysBeginWhenItGoesLive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	l := w.draft("Crane driver")
	if got := w.do(w.desk, w.s.Submit, l); got.State != AwaitingPayment {
		t.Fatalf("handed in without paying: %s", got.State)
	}
	w.grant(w.ctx, l, Posting, 30)
	w.grant(w.ctx, l, Feature, 7)
	if got := w.do(w.desk, w.s.Submit, l); got.State != InReview || got.EndsAt != nil {
		t.Fatalf("paid on a moderated board: %s, ends %v", got.State, got.EndsAt)
	}
	w.pass(72 * time.Hour)
	w.write(w.admin, func(ctx context.Context, tx bun.IDB) error {
		_, err := w.s.SendBack(ctx, tx, l.ID, "Name the port, please.")
		return err
	})
	if got := w.get(l); got.State != Draft || got.ReviewNote == "" {
		t.Fatalf("sent back: %s, note %q", got.State, got.ReviewNote)
	}
	if got := w.do(w.desk, w.s.Submit, l); got.State != InReview {
		t.Fatalf("paid stays paid: %s", got.State)
	}
	now := w.s.now()
	got := w.do(w.admin, w.approve(l), l)
	if got.State != Live || !got.Featured || !got.PublishedAt.Equal(now) || !got.EndsAt.Equal(now.Add(30*24*time.Hour)) {
		t.Fatalf("approved: %s featured %v from %v to %v, now %v", got.State, got.Featured, got.PublishedAt, got.EndsAt, now)
	}
	v := got.Version
	if got = w.do(w.admin, w.s.Publish, l); got.Version != v {
		t.Errorf("published twice: version %d, want %d", got.Version, v)
	}
	for kind, want := range map[string]int{"listing-live": 1, "listing-in-review": 2, "listing-sent-back": 1} {
		if n := w.count(`SELECT count(*) FROM mails WHERE kind = ?`, kind); n != want {
			t.Errorf("%d mails %s, want %d", n, kind, want)
		}
	}
	var ms []Move
	w.write(w.ctx, func(ctx context.Context, tx bun.IDB) (err error) { ms, err = w.s.Moves(ctx, tx, l.ID); return err })
	if len(ms) != 6 || ms[0].To != Live || ms[0].ActorKind != tenant.Operator {
		t.Errorf("history: %+v", ms)
	}
	if n := w.count(`SELECT count(*) FROM tasks WHERE kind = ? AND key = ?`, TaskIndex, l.ID.String()); n != 1 {
		t.Errorf("%d index tasks, want one coalesced", n)
	}
}

func TestARejectedListingStaysOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	l := w.live("Crane driver")
	w.write(w.admin, func(ctx context.Context, tx bun.IDB) error {
		_, err := w.s.Reject(ctx, tx, l.ID, "A scam.")
		return err
	})
	w.fails(fault.Conflict, w.desk, func(ctx context.Context, tx bun.IDB) error { _, err := w.s.Submit(ctx, tx, l.ID); return err })
	if got := w.do(w.admin, w.s.Restore, l); got.State != Live {
		t.Errorf("undone: %s", got.State)
	}
}

func TestRestoreGoesBackToWhereItWas(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	l := w.live("Crane driver")
	published := w.get(l).PublishedAt
	remove := func(ctx context.Context, tx bun.IDB, id uuid.UUID) (*Listing, error) {
		return w.s.Remove(ctx, tx, id, "bulk")
	}
	w.do(w.admin, w.pause(""), l)
	w.do(w.admin, remove, l)
	if got := w.do(w.admin, w.s.Restore, l); got.State != Paused {
		t.Errorf("restored: %s, want paused", got.State)
	}
	w.pass(time.Hour)
	if got := w.do(w.admin, w.s.Resume, l); got.State != Live || !got.PublishedAt.Equal(*published) {
		t.Errorf("resumed: %s, published %v, want %v", got.State, got.PublishedAt, published)
	}
	w.do(w.admin, remove, l)
	w.pass(60 * 24 * time.Hour)
	if got := w.do(w.admin, w.s.Restore, l); got.State != Expired {
		t.Errorf("restored too late: %s, want expired", got.State)
	}
}

func TestRefundEndsTheListing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	l := w.live("Crane driver")
	order := w.order(l)
	w.write(w.ctx, func(ctx context.Context, tx bun.IDB) error {
		// The first posting is revoked by hand, so that the order alone pays.
		if _, err := tx.NewRaw(`UPDATE entitlements SET revoked_at = now() WHERE tenant_id = ?`, w.board.ID).Exec(ctx); err != nil {
			return err
		}
		for range 2 { // an event twice
			if err := w.s.Grant(ctx, tx, Entitlement{ListingID: l.ID, OrderID: &order, Kind: Posting, Days: 10}); err != nil {
				return err
			}
		}
		return nil
	})
	if n := w.count(`SELECT count(*) FROM entitlements WHERE order_id = ?`, order); n != 1 {
		t.Fatalf("%d entitlements of one order", n)
	}
	for range 2 {
		w.write(w.ctx, func(ctx context.Context, tx bun.IDB) error { return w.s.Revoke(ctx, tx, order, "refunded") })
	}
	if got := w.get(l); got.State != Expired || got.Featured {
		t.Errorf("refunded: %s", got.State)
	}
	w.fails(fault.Conflict, w.admin, func(ctx context.Context, tx bun.IDB) error { _, err := w.s.Publish(ctx, tx, l.ID); return err })
	if got := w.do(w.desk, w.s.Relist, l); got.State != AwaitingPayment {
		t.Errorf("relisted: %s", got.State)
	}
	w.pass(time.Hour)
	w.grant(w.ctx, l, Posting, 5)
	if got := w.do(w.desk, w.s.Submit, l); got.State != Live || !got.PublishedAt.Equal(w.s.now()) {
		t.Errorf("paid anew: %s, published %v", got.State, got.PublishedAt)
	}
}

// order is a bare order row for the foreign key.
func (w *world) order(l *Listing) uuid.UUID {
	id, product := tenant.NewRowID(), tenant.NewRowID()
	w.write(w.ctx, func(ctx context.Context, tx bun.IDB) error {
		if _, err := tx.NewRaw(`INSERT INTO products (tenant_id, id, name, price, currency, duration_days) VALUES (?, ?, 'x', 100, 'USD', 30)`, w.board.ID, product).Exec(ctx); err != nil {
			return err
		}
		_, err := tx.NewRaw(`INSERT INTO orders (tenant_id, id, number, listing_id, product_id, product, email, amount, currency, fee, fee_rule, charge_mode)
			VALUES (?, ?, 1001, ?, ?, '{}', 'a@b.example', 100, 'USD', 10, '{}', 'direct')`, w.board.ID, id, l.ID, product).Exec(ctx)
		return err
	})
	return id
}

func TestEntitlementWindows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		var es []Entitlement
		total := 0
		for range rapid.IntRange(1, 8).Draw(r, "grants") {
			days := rapid.IntRange(1, 60).Draw(r, "days")
			es = append(es, Entitlement{Kind: Posting, Days: days})
			total += days
			if rapid.Bool().Draw(r, "begin now") {
				begin(now, es)
			}
		}
		_, ends, featured := begin(now, es)
		if want := now.Add(time.Duration(total) * 24 * time.Hour); !ends.Equal(want) {
			r.Fatalf("ends %v, want %v: days were lost or given twice", ends, want)
		}
		if featured {
			r.Fatal("postings are no feature")
		}
		if again, e2, _ := begin(now.Add(time.Hour), es); len(again) > 0 || !e2.Equal(ends) {
			r.Fatal("beginning twice changed something")
		}
	})
}
