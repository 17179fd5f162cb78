package plans

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/internal/fault"
	"shingle/internal/testkit"
	"shingle/tenant"
)

// What staff give is at Stripe and in the log: a credit pays the next invoice,
// and a form that is sent twice gives it once.
func TestACreditPaysTheNextInvoice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	once := uuid.New()
	for range 2 {
		if err := w.s.Credit(t.Context(), w.board.ID, 2000, "USD", "Sorry for the outage", once); err != nil {
			t.Fatal(err)
		}
	}
	wantKind(t, w.s.Credit(t.Context(), w.board.ID, 0, "USD", "", uuid.Nil), fault.Invalid)
	w.pass(t, 15)
	w.subscribe(t, w.small, Month)
	w.want(t, "subscribed", Active, Paid, w.small)
	in := w.invoices(t)[0]
	if in.Amount != 2900 || in.Paid != 900 {
		t.Errorf("an invoice over %d was paid with %d, want 2900 with 900 after the credit of 2000", in.Amount, in.Paid)
	}
	w.staff(t, func(ctx context.Context, tx bun.IDB) error {
		lines, err := authz.Log(ctx, tx, authz.LogFilter{Board: w.board.ID, Act: "plan.credited"})
		if len(lines) == 0 {
			t.Error("the credit is not in the log")
		}
		return err
	})
}

// Staff change what a board pays by the same way as its owner, and extend a
// trial that Stripe runs.
func TestStaffHelpABoardThatPays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.subscribe(t, w.small, Month) // within its trial
	ends := *w.row(t).TrialEndsAt
	if err := w.s.ExtendTrial(t.Context(), w.board.ID, 10); err != nil {
		t.Fatal(err)
	}
	w.deliver(t)
	if got := *w.row(t).TrialEndsAt; got.Sub(ends) != 10*day {
		t.Errorf("the trial ends %s, %s later than before", got, got.Sub(ends))
	}
	wantKind(t, w.s.ExtendTrial(t.Context(), w.board.ID, 0), fault.Invalid)
	wantKind(t, w.s.Assign(t.Context(), w.board.ID, w.large.ID), fault.Conflict)
	if err := w.s.ChangeTo(t.Context(), w.board.ID, w.large.ID); err != nil {
		t.Fatal(err)
	}
	w.want(t, "changed by staff", Trial, Paid, w.large)
	w.pass(t, 25)
	w.want(t, "paid", Active, Paid, w.large)
	wantKind(t, w.s.ExtendTrial(t.Context(), w.board.ID, 5), fault.Conflict)
	// A gift ends the subscription with what is paid, and outlives it.
	if err := w.s.Comp(t.Context(), w.board.ID, "A partner now", nil); err != nil {
		t.Fatal(err)
	}
	end := *w.row(t).PeriodEnd
	w.to(t, end.Add(day))
	w.want(t, "comped", Comped, Paid, w.large)
	if w.row(t).Subscribed() {
		t.Error("the subscription lives on beside the gift")
	}
	if err := w.s.EndComp(t.Context(), w.board.ID); err != nil {
		t.Fatal(err)
	}
	w.want(t, "the gift is over", Ended, Grace, w.large)
}

// A changed price is for new subscriptions, an archived plan keeps its boards,
// and limits hold at once.
func TestEditingAPlanKeepsWhatWasAgreed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pass(t, 15)
	w.subscribe(t, w.small, Month)
	old := w.price(t, w.small, Month)
	w.staff(t, func(ctx context.Context, tx bun.IDB) error {
		p, err := w.s.Plan(ctx, tx, w.small.ID)
		if err != nil {
			return err
		}
		for i := range p.Prices {
			if p.Prices[i].Every == Month && p.Prices[i].Currency == "USD" {
				p.Prices[i].Amount = 3900
			}
		}
		p.Limits = Limits{Listings: 1}
		p.FeeRule.PercentBP = 1500
		return w.s.Save(ctx, tx, p)
	})
	if w.price(t, w.small, Month) == old {
		t.Error("the price did not change")
	}
	w.pass(t, 31)
	if in := w.invoices(t)[0]; in.Amount != 2900 {
		t.Errorf("the next period cost %d, want the old price", in.Amount)
	}
	w.want(t, "on the old price", Active, Paid, w.small)
	var fee string
	w.staff(t, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT fee_rule->>'percent_bp' FROM boards WHERE id = ?`, w.board.ID).Scan(ctx, &fee)
	})
	if fee != "995" {
		t.Errorf("the fee is %s now, want what was agreed", fee)
	}
	wantKind(t, w.room(Listings, 2), fault.Conflict)

	w.staff(t, func(ctx context.Context, tx bun.IDB) error { return w.s.Archive(ctx, tx, w.small.ID, true) })
	offered, err := w.s.Offered(t.Context())
	if err != nil || len(offered) != 2 {
		t.Errorf("%d plans are offered: %v", len(offered), err)
	}
	w.pass(t, 31)
	w.want(t, "on the archived plan", Active, Paid, w.small)
	other := w.newBoard(t, "bolt")
	_, err = w.s.Subscribe(t.Context(), other.ID, w.price(t, w.small, Year), "http://x.test/ok", "http://x.test/back")
	wantKind(t, err, fault.Conflict)
	_, err = w.s.Subscribe(t.Context(), other.ID, old, "http://x.test/ok", "http://x.test/back")
	wantKind(t, err, fault.Conflict)

	bad := &Plan{Name: "", Limits: Limits{Views: 3, Listings: -1}, TrialDays: 999, Listed: true, Features: []string{"gold"}}
	err = w.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error { return w.s.Save(ctx, tx, bad) })
	for _, name := range []string{"name", "limit_views", "limit_listings", "trial_days", "prices", "features"} {
		if fault.FieldsOf(err)[name] == "" {
			t.Errorf("%s was not refused: %v", name, err)
		}
	}
}

// A rival sees and changes nothing of a board's plan, with each wall alone; no
// board decides its own, and none sees the plans that are not offered to it.
func TestARivalReachesNoPlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pass(t, 15)
	w.subscribe(t, w.small, Month)
	w.live(t, 2)
	if err := w.s.Measure(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.staff(t, func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`INSERT INTO plan_steps (tenant_id, unpaid_since, step, due_at, at) VALUES (?, now(), 'grace', now(), now())`, w.board.ID).Exec(ctx)
		return err
	})
	rival := w.Board(t, "rival")
	testkit.EachWall(t, w.World, w.board, rival, func(t *testing.T, r *testkit.Rival) {
		id := func(ctx context.Context) tenant.ID { id, _ := tenant.IDFrom(ctx); return id }
		r.Try(t, "its row", func(ctx context.Context, tx bun.IDB) error { _, err := w.s.BoardOf(ctx, tx, id(ctx)); return err })
		r.Nothing(t, "standing", func(ctx context.Context, tx bun.IDB) (int, error) {
			st, err := w.s.Standing(ctx, tx)
			if err != nil || st.Board == nil {
				return 0, err
			}
			return 1, nil
		})
		r.Nothing(t, "invoices", func(ctx context.Context, tx bun.IDB) (int, error) {
			v, err := w.s.Invoices(ctx, tx, id(ctx), 10)
			return len(v), err
		})
		r.Nothing(t, "steps", func(ctx context.Context, tx bun.IDB) (int, error) {
			v, err := w.s.Steps(ctx, tx, id(ctx))
			return len(v), err
		})
		r.Nothing(t, "use", func(ctx context.Context, tx bun.IDB) (n int, err error) {
			use, err := w.s.Usage(ctx, tx, id(ctx))
			for _, u := range use {
				if u.What != Seats { // members are the platform's own rows
					n += int(u.Used)
				}
			}
			return n, err
		})
		r.Nothing(t, "days", func(ctx context.Context, tx bun.IDB) (n int, err error) {
			days, err := w.s.Days(ctx, tx, id(ctx), Listings, 5)
			for _, d := range days {
				n += int(d.Amount)
			}
			return n, err
		})
	})
	for _, q := range []string{`UPDATE board_plans SET plan_id = gen_random_uuid()`, `UPDATE boards SET plan_step = ''`, `DELETE FROM usage_days`, `INSERT INTO usage_alarms VALUES (gen_random_uuid(), 'x', now(), 80, now())`,
		`DELETE FROM plan_invoices`, `UPDATE plan_steps SET undone_at = now()`, `UPDATE plans SET limits = '{}'`, `SELECT 1 FROM plan_prices`, `SELECT 1 FROM mrr_days`} {
		if err := w.DB.Write(w.ctx, func(ctx context.Context, tx bun.IDB) error { _, err := tx.NewRaw(q).Exec(ctx); return err }); err == nil {
			t.Errorf("the board's own role may: %s", q)
		}
	}
	var seen int
	if err := w.DB.Read(w.ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT count(*) FROM plans`).Scan(ctx, &seen)
	}); err != nil || seen != 1 {
		t.Errorf("a board sees %d plans, want its own: %v", seen, err)
	}
}
