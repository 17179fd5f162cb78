package plans

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/listings"
	"shingle/tenant"
)

// live makes n live listings on the board.
func (w *world) live(t *testing.T, n int) {
	t.Helper()
	store := listings.NewStore(w.s.links)
	err := w.DB.Write(w.ctx, func(ctx context.Context, tx bun.IDB) error {
		for range n {
			l, err := store.Create(ctx, tx, listings.Content{Title: "Baker", Company: "Bread & Sons", EmploymentType: listings.FullTime, Workplace: listings.OnSite,
				Description: "<p>Bake.</p>", ApplyMethod: listings.ApplyBoard}, listings.Owner{Source: listings.FromBoard})
			if err == nil {
				err = store.Grant(ctx, tx, listings.Entitlement{ListingID: l.ID, Kind: listings.Posting, Days: 30})
			}
			if err == nil {
				_, err = store.Submit(ctx, tx, l.ID)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) use(t *testing.T) map[string]Use {
	t.Helper()
	out := map[string]Use{}
	err := w.DB.Read(w.ctx, func(ctx context.Context, tx bun.IDB) error {
		list, err := w.s.Usage(ctx, tx, w.board.ID)
		for _, u := range list {
			out[u.What] = u
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (w *world) room(what string, n int64) error {
	return w.DB.Read(w.ctx, func(ctx context.Context, tx bun.IDB) error { return w.s.Room(ctx, tx, what, n) })
}

func TestTheLimitIsAskedBeforeAndNothingIsLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.s.Assign(t.Context(), w.board.ID, w.small.ID); err != nil {
		t.Fatal(err)
	}
	if err := w.room(Listings, 2); err != nil {
		t.Errorf("two of two: %v", err)
	}
	wantKind(t, w.room(Listings, 3), fault.Conflict)
	w.live(t, 2)
	err := w.room(Listings, 1)
	wantKind(t, err, fault.Conflict)
	if got := fault.TextOf(err); got != "plan.limit.listings|2" {
		t.Errorf("the reason is %q", got)
	}
	if u := w.use(t)[Listings]; u.Used != 2 || !u.Over() || u.Percent() != 100 {
		t.Errorf("used %+v", u)
	}
	if err := w.room(Views, 1_000_000); err != nil {
		t.Errorf("views have a limit: %v", err)
	}
	// A paid one goes live whatever the limit says: the limit is asked before.
	w.live(t, 1)
	if u := w.use(t)[Listings]; u.Used != 3 {
		t.Errorf("used %+v", u)
	}
	// A larger plan makes room at once.
	if err := w.s.Assign(t.Context(), w.board.ID, w.large.ID); err != nil {
		t.Fatal(err)
	}
	if err := w.room(Listings, 1000); err != nil {
		t.Errorf("no limit: %v", err)
	}
	if err := w.DB.Read(w.ctx, func(ctx context.Context, tx bun.IDB) error { return w.s.Feature(ctx, tx, PrivateBoard) }); !fault.Is(err, fault.Conflict) {
		t.Errorf("a feature that the plan lacks: %v", err)
	}
	// Demo boards and boards without a plan have no limits.
	other := w.Board(t, "free")
	for _, b := range []*tenant.Tenant{other, {ID: w.board.ID, Demo: true}} {
		err := w.DB.Read(tenant.With(t.Context(), b), func(ctx context.Context, tx bun.IDB) error {
			if err := w.s.Feature(ctx, tx, PrivateBoard); err != nil {
				return err
			}
			return w.s.Room(ctx, tx, Listings, 1e6)
		})
		if err != nil {
			t.Errorf("%s: %v", b.Slug, err)
		}
	}
	// An employer was turned away: the owner hears of it, once a month.
	if err := w.s.Assign(t.Context(), w.board.ID, w.small.ID); err != nil {
		t.Fatal(err)
	}
	w.mails(t)
	for range 3 {
		if err := w.s.Refused(t.Context(), w.board.ID); err != nil {
			t.Fatal(err)
		}
	}
	w.wantMails(t, "refused", "limit")
}

func TestAlarmsRingOnceAPeriod(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mu.Lock()
	w.now = time.Date(w.now.Year(), w.now.Month()+1, 3, 12, 0, 0, 0, time.UTC)
	w.mu.Unlock()
	if err := w.s.Assign(t.Context(), w.board.ID, w.small.ID); err != nil {
		t.Fatal(err)
	}
	w.live(t, 2) // at once at the limit of two: one mail, not two
	post := func(n int) {
		t.Helper()
		w.staff(t, func(ctx context.Context, tx bun.IDB) error {
			for range n {
				if _, err := tx.NewRaw(`INSERT INTO mails (tenant_id, id, kind, key, recipient, message_id, created_at) VALUES (?, ?, 'x', ?, 'x@x.example', 'x', ?)`,
					w.board.ID, uuid.New(), uuid.NewString(), w.clock()).Exec(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	}
	measure := func() {
		t.Helper()
		for range 2 {
			if err := w.s.Measure(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	post(79)
	measure()
	w.wantMails(t, "79 of 100 mails, 2 of 2 listings", "usage live listings")
	post(1)
	measure()
	w.wantMails(t, "80 of 100", "usage mails this month")
	post(30)
	measure()
	w.wantMails(t, "110 of 100", "usage mails this month")
	if u := w.use(t)[Mails]; u.Used != 110 || u.Percent() != 110 {
		t.Errorf("used %+v", u)
	}
	// A new month: counts begin again, levels ring again.
	w.mu.Lock()
	w.now = time.Date(w.now.Year(), w.now.Month()+1, 1, 1, 0, 0, 0, time.UTC)
	w.mu.Unlock()
	measure()
	w.wantMails(t, "a month later", "usage live listings")
	if u := w.use(t)[Mails]; u.Used != 0 {
		t.Errorf("used %+v", u)
	}
	var days []Day
	err := w.DB.Read(w.ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		days, err = w.s.Days(ctx, tx, w.board.ID, Listings, 3)
		return err
	})
	if err != nil || len(days) != 3 || days[2].Amount != 2 || days[1].Amount != 0 {
		t.Errorf("days %+v: %v", days, err)
	}
}

// MRR counts what subscribed boards pay: a year as a twelfth, no trial that
// nobody pays for, no gift and no demo.
func TestMRR(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	put := func(slug, state, sub, every string, amount int64, currency string, demo bool) {
		b := w.newBoard(t, slug)
		w.staff(t, func(ctx context.Context, tx bun.IDB) error {
			if _, err := tx.NewRaw(`UPDATE boards SET demo = ? WHERE id = ?`, demo, b.ID).Exec(ctx); err != nil {
				return err
			}
			_, err := tx.NewRaw(`UPDATE board_plans SET state = ?, subscription = ?, every = ?, amount = ?, currency = ? WHERE tenant_id = ?`, state, sub, every, amount, currency, b.ID).Exec(ctx)
			return err
		})
	}
	put("a", "active", "sub_1", Month, 2900, "USD", false)
	put("b", "active", "sub_2", Year, 29000, "USD", false) // 2416.67
	put("c", "past_due", "sub_3", Month, 7900, "USD", false)
	put("d", "active", "sub_4", Month, 9900, "EUR", false)
	put("e", "trial", "sub_5", Month, 2900, "USD", false)
	put("f", "comped", "", "", 0, "", false)
	put("g", "ended", "", Month, 2900, "USD", false)
	put("h", "active", "sub_6", Month, 2900, "USD", true)
	for range 2 {
		if err := w.s.Measure(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.staff(t, func(ctx context.Context, tx bun.IDB) error {
		now, err := w.s.MRR(ctx, tx)
		if err != nil {
			return err
		}
		noted, err := w.s.MRRDays(ctx, tx, w.clock().Add(-day))
		for name, got := range map[string][]Worth{"now": now, "noted": noted} {
			sum := map[string]Worth{}
			for _, v := range got {
				sum[v.Currency] = v
			}
			if len(got) != 2 || sum["USD"].Amount != 2900+2417+7900 || sum["USD"].Boards != 3 || sum["EUR"].Amount != 9900 {
				t.Errorf("%s: %+v", name, got)
			}
		}
		return err
	})
}
