package plans

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"shingle/billing"
	"shingle/billing/stripesim"
	"shingle/internal/fault"
)

// A board tries, subscribes at Stripe's page and is on its plan once the webhook
// has come: with the plan's fee rule, and its first payment at the trial's end.
func TestABoardSubscribesWithinItsTrial(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.want(t, "at sign-up", Trial, Paid, w.middle)
	if left := w.row(t).TrialDaysLeft(w.clock()); left != 14 {
		t.Errorf("%d days of trial, want 14", left)
	}
	w.pass(t, 4)
	w.subscribe(t, w.large, Month)
	w.want(t, "subscribed", Trial, Paid, w.large)
	b := w.row(t)
	if !b.Subscribed() || b.Every != Month || b.Amount != 19900 || b.Currency != "USD" || b.Checkout != "" || b.TrialDaysLeft(w.clock()) != 10 {
		t.Errorf("the row is %+v", b)
	}
	w.wantMails(t, "subscribed", "changed subscribed")
	var rule string
	w.staff(t, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT fee_rule FROM boards WHERE id = ?`, w.board.ID).Scan(ctx, &rule)
	})
	if r, err := billing.ParseFeeRule(json.RawMessage(rule)); err != nil || r.PercentBP != w.large.FeeRule.PercentBP {
		t.Errorf("the board's fee rule is %s: %v", rule, err)
	}
	_, err := w.s.Subscribe(w.ctx, w.board.ID, w.price(t, w.small, Month), "http://x.test/ok", "http://x.test/back")
	wantKind(t, err, fault.Conflict)

	w.pass(t, 11)
	w.want(t, "after the trial", Active, Paid, w.large)
	bills := w.invoices(t)
	if len(bills) != 2 || bills[0].Amount != 19900 || bills[0].State != "paid" || bills[1].Amount != 0 {
		t.Errorf("invoices %+v", bills)
	}
}

func (w *world) invoices(t *testing.T) (out []Invoice) {
	t.Helper()
	err := w.DB.Read(w.ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		out, err = w.s.Invoices(ctx, tx, w.board.ID, 100)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A second checkout closes the first: nobody pays for two subscriptions.
func TestAnEarlierCheckoutIsClosed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	open := func(p *Plan) string {
		if _, err := w.s.Subscribe(w.ctx, w.board.ID, w.price(t, p, Month), "http://x.test/ok", "http://x.test/back"); err != nil {
			t.Fatal(err)
		}
		return w.session(t)
	}
	first := open(w.small)
	second := open(w.large)
	if err := w.sim.Pay(first, stripesim.CardOK); err == nil {
		t.Error("the closed checkout was paid")
	}
	if err := w.sim.Pay(second, stripesim.CardDeclined); err == nil {
		t.Error("a declined card was taken")
	}
	if err := w.sim.Pay(second, stripesim.CardOK); err != nil {
		t.Fatal(err)
	}
	// Paid, and no webhook came yet: another window must not open a third.
	_, err := w.s.Subscribe(w.ctx, w.board.ID, w.price(t, w.small, Month), "http://x.test/ok", "http://x.test/back")
	wantKind(t, err, fault.Conflict)
	w.want(t, "found without a webhook", Trial, Paid, w.large)
}

// An upgrade holds at once and costs what was shown; a downgrade waits for the
// period's end and can be taken back, as can a cancellation.
func TestChangesOfPlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pass(t, 15) // past the trial: paid at once
	w.mails(t)
	w.subscribe(t, w.small, Month)
	w.want(t, "subscribed", Active, Paid, w.small)
	w.pass(t, 10)
	w.mails(t)

	v, err := w.s.Preview(w.ctx, w.board.ID, w.price(t, w.middle, Month))
	if err != nil {
		t.Fatal(err)
	}
	whole := w.row(t).PeriodEnd.Sub(*w.row(t).PeriodStart)
	left := w.row(t).PeriodEnd.Sub(v.When)
	about := int64(float64(7900-2900) * float64(left) / float64(whole))
	if !v.Now || len(v.Lines) != 2 || v.Lines[0].Amount >= 0 || v.Due < about-2 || v.Due > about+2 {
		t.Errorf("the preview is %+v, want about %d now", v, about)
	}
	w.mu.Lock()
	w.now = w.now.Add(40 * time.Second) // the owner reads
	w.mu.Unlock()
	if err := w.sim.Advance(w.clock()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.s.Change(w.ctx, w.board.ID, w.price(t, w.middle, Month), v.When); err != nil {
		t.Fatal(err)
	}
	w.want(t, "upgraded", Active, Paid, w.middle)
	if got := w.invoices(t)[0]; got.Amount != v.Due || got.State != "paid" {
		t.Errorf("the upgrade cost %d (%s), and %d was shown", got.Amount, got.State, v.Due)
	}
	w.deliver(t)
	w.wantMails(t, "upgraded", "changed changed")

	if v, err = w.s.Preview(w.ctx, w.board.ID, w.price(t, w.small, Month)); err != nil || v.Now || !v.At.Equal(*w.row(t).PeriodEnd) {
		t.Errorf("the preview of a downgrade is %+v: %v", v, err)
	}
	plan := func() {
		t.Helper()
		if _, err := w.s.Change(w.ctx, w.board.ID, w.price(t, w.small, Month), time.Time{}); err != nil {
			t.Fatal(err)
		}
		w.deliver(t)
	}
	plan()
	w.want(t, "planned", Active, Paid, w.middle)
	if b := w.row(t); b.NextPriceID == nil || *b.NextPriceID != w.price(t, w.small, Month) {
		t.Errorf("nothing is planned: %+v", b)
	}
	if _, err := w.s.Undo(w.ctx, w.board.ID); err != nil || w.row(t).NextPriceID != nil {
		t.Errorf("the plan was not taken back: %v", err)
	}
	w.deliver(t)
	w.wantMails(t, "planned and kept", "changed planned", "changed kept")
	if _, err := w.s.Cancel(w.ctx, w.board.ID); err != nil || !w.row(t).CancelAtPeriodEnd {
		t.Fatalf("not cancelled: %v", err)
	}
	plan() // which takes the cancellation back
	if b := w.row(t); b.CancelAtPeriodEnd || b.NextPriceID == nil {
		t.Errorf("the change did not replace the cancellation: %+v", b)
	}
	w.to(t, w.row(t).PeriodEnd.Add(time.Hour))
	w.want(t, "after the period", Active, Paid, w.small)
	if got := w.invoices(t)[0]; got.Amount != 2900 {
		t.Errorf("the next period cost %d, want 2900", got.Amount)
	}
	w.mails(t)
	if _, err := w.s.Cancel(w.ctx, w.board.ID); err != nil { // although a schedule is still attached
		t.Fatal(err)
	}
	if _, err := w.s.Undo(w.ctx, w.board.ID); err != nil || w.row(t).CancelAtPeriodEnd {
		t.Errorf("the cancellation was not taken back: %v", err)
	}

	// A card that is refused leaves everything as it was.
	if err := w.sim.SetCard(w.row(t).Customer, stripesim.CardDeclined); err != nil {
		t.Fatal(err)
	}
	_, err = w.s.Change(w.ctx, w.board.ID, w.price(t, w.large, Month), time.Time{})
	wantKind(t, err, fault.Conflict)
	w.deliver(t)
	w.want(t, "declined", Active, Paid, w.small)
	// To the year of the same plan: a new period, at once.
	if err := w.sim.SetCard(w.row(t).Customer, stripesim.CardOK); err != nil {
		t.Fatal(err)
	}
	if _, err := w.s.Change(w.ctx, w.board.ID, w.price(t, w.small, Year), time.Time{}); err != nil {
		t.Fatal(err)
	}
	if b := w.row(t); b.Every != Year || b.Amount != 29000 || b.PeriodEnd.Sub(w.clock()) < 360*day {
		t.Errorf("by the year: %+v", b)
	}
}

// Events in any order and number leave the same row behind, and no mail twice.
func TestEventsComeInAnyOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pass(t, 15)
	if _, err := w.s.Subscribe(w.ctx, w.board.ID, w.price(t, w.small, Month), "http://x.test/ok", "http://x.test/back"); err != nil {
		t.Fatal(err)
	}
	if err := w.sim.Pay(w.session(t), stripesim.CardOK); err != nil {
		t.Fatal(err)
	}
	if err := w.sim.SetCard(w.row(t).Customer, stripesim.CardDeclined); err != nil {
		t.Fatal(err)
	}
	if err := w.sim.Advance(w.clock().Add(33 * day)); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	w.now = w.now.Add(33 * day)
	w.mu.Unlock()
	w.mails(t)
	events := w.events(t)
	rand.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	for range 2 {
		for _, e := range events {
			w.receive(t, e)
			w.work(t)
		}
	}
	b := w.row(t)
	if b.State != PastDue || b.UnpaidSince == nil || w.clock().Sub(*b.UnpaidSince) > 3*day {
		t.Errorf("the row is %+v", b)
	}
	w.wantMails(t, "after the shuffle", "changed subscribed", "step grace", "failed")
	for _, e := range events {
		w.staff(t, func(ctx context.Context, tx bun.IDB) error {
			var state string
			err := tx.NewRaw(`SELECT state FROM stripe_events WHERE id = ?`, e.ID).Scan(ctx, &state)
			if err == nil && state != "applied" {
				t.Errorf("%s is %s", e.Type, state)
			}
			return err
		})
	}
}
