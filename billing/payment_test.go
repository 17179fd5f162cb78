package billing

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stripe/stripe-go/v76/webhook"
	"github.com/uptrace/bun"

	"shingle/billing/stripesim"
	"shingle/internal/fault"
	"shingle/listings"
)

// sold is the end of one sale of 199.00: a fee of 10 %, Stripe's 2.9 % and 0.30.
func sold() end {
	return end{Order: Paid, Listing: listings.Live, Entitlements: 2, Moves: 1, Receipts: 1,
		Ledger: map[string]int64{"buyer USD": -19900, "owner USD": 19900 - 1990 - 607, "platform_fee USD": 1990, "stripe_fee USD": 607}}
}

// undone is the end of that sale after its refund in full.
func undone() end {
	return end{Order: Refunded, Listing: listings.Expired, Moves: 1, Receipts: 1, RefundMails: 1, Refunds: 1,
		Ledger: map[string]int64{"buyer USD": 0, "owner USD": -607, "platform_fee USD": 0, "stripe_fee USD": 607}}
}

func wantEnd(t *testing.T, got, want end) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the end differs (-want +got):\n%s", d)
	}
}

func TestAPaidCheckoutPublishesTheListing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sell(t)
	o := w.place(t, w.listing(t), w.product(t, 19900, "USD"))
	if o.Number != 1001 || o.Fee != 1990 || o.ChargeMode != Direct || o.TermsAcceptedAt == nil {
		t.Errorf("order as placed: %+v", o)
	}
	w.pay(t, w.open(t, o), stripesim.CardOK)
	w.deliver(t)
	wantEnd(t, w.end(t, o), sold())
	w.read(t, func(ctx context.Context, tx bun.IDB) error {
		d, err := w.s.OrderDetail(ctx, tx, o.ID)
		if err != nil {
			return err
		}
		if d.Billing.Country != "DE" || d.InvoiceURL == "" || d.StripeFee != 607 || len(d.Timeline) < 3 || d.ListingTitle != "Baker" {
			t.Errorf("order in detail: %+v", d)
		}
		list, n, err := w.s.Orders(ctx, tx, Filter{Text: "1001", State: Paid})
		if err != nil || n != 1 || len(list) != 1 || list[0].CompanyName != "Bread & Sons" {
			t.Errorf("orders: %d %+v %v", n, list, err)
		}
		if _, n, err = w.s.Orders(ctx, tx, Filter{Text: "bak"}); err != nil || n != 1 {
			t.Errorf("orders by title: %d %v", n, err)
		}
		days, err := w.s.Revenue(ctx, tx, o.CreatedAt.AddDate(0, 0, -1), o.CreatedAt.AddDate(0, 0, 1))
		if err != nil || len(days) != 1 || days[0].Amount != 19900 || days[0].Owner != 17910 {
			t.Errorf("revenue: %+v %v", days, err)
		}
		return nil
	})
}

func TestTheSameEventFiveTimesIsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sell(t)
	o := w.place(t, w.listing(t), w.product(t, 19900, "USD"))
	w.pay(t, w.open(t, o), stripesim.CardOK)
	events := w.fresh()
	for range 5 {
		for _, e := range events {
			w.receive(t, e)
			w.work(t)
		}
	}
	// And once more past the inbox: applying is harmless by itself.
	for _, e := range events {
		err := w.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
			_, err := tx.NewRaw(`UPDATE stripe_events SET state = 'held' WHERE id = ?`, e.ID).Exec(ctx)
			if err == nil && e.Type == "checkout.session.completed" {
				err = w.s.Release(ctx, tx, e.ID)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	w.work(t)
	wantEnd(t, w.end(t, o), sold())
}

func TestEventsInAnyOrderEndTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sell(t)
	p := w.product(t, 19900, "USD")
	// Sale after sale, each with its events in another order.
	for i, order := range permutations(4) {
		w.deliver(t)
		o := w.place(t, w.listing(t), p)
		w.pay(t, w.open(t, o), stripesim.CardOK)
		if err := w.sim.RefundFromDashboard(w.chargeOf(t, o), 0); err != nil {
			t.Fatal(err)
		}
		events := w.fresh()
		// Told twice of the end, which makes four.
		events = append(events, events[len(events)-1])
		if len(events) != 4 {
			t.Fatalf("%d events: %+v", len(events), events)
		}
		for _, at := range order {
			w.receive(t, events[at])
			if i%2 == 0 { // or all at once, at the end
				w.work(t)
			}
		}
		w.deliver(t)
		if d := cmp.Diff(undone(), w.end(t, o)); d != "" {
			t.Fatalf("events in order %v (-want +got):\n%s", order, d)
		}
	}
}

func permutations(n int) (out [][]int) {
	if n == 0 {
		return [][]int{{}}
	}
	for _, rest := range permutations(n - 1) {
		for at := 0; at <= len(rest); at++ {
			p := append(append(append([]int{}, rest[:at]...), n-1), rest[at:]...)
			out = append(out, p)
		}
	}
	return out
}

// chargeOf asks Stripe for the charge of the order's paid session.
func (w *world) chargeOf(t *testing.T, o *Order) string {
	t.Helper()
	var cs []Session
	w.read(t, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewSelect().Model(&cs).Where("cs.order_id = ?", o.ID).Order("cs.attempt DESC").Scan(ctx)
	})
	for _, c := range cs {
		if f, err := w.s.fetchSession(w.ctx, o.account(), c.ID); err == nil && f.Paid {
			return f.Charge
		}
	}
	t.Fatal("nothing is paid")
	return ""
}

func TestADeclinedCardLeavesTheOrderOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sell(t)
	o := w.place(t, w.listing(t), w.product(t, 19900, "USD"))
	session := w.open(t, o)
	if err := w.sim.Pay(session, stripesim.CardDeclined); err == nil {
		t.Fatal("the card was not declined")
	}
	w.deliver(t)
	if got, err := w.s.Return(w.ctx, session); err != nil || got.State != Open {
		t.Fatalf("after a decline: %v %v", got, err)
	}
	w.pay(t, session, stripesim.CardOK)
	w.deliver(t)
	wantEnd(t, w.end(t, o), sold())
}

func TestFreeProductsNeedNoStripe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.listing(t)
	o := w.place(t, l, w.product(t, 0, "USD"))
	got := w.end(t, o)
	wantEnd(t, got, end{Order: Paid, Listing: listings.Live, Entitlements: 2, Moves: 1, Ledger: map[string]int64{}})
	w.read(t, func(ctx context.Context, tx bun.IDB) error {
		sell, err := w.s.CanSell(ctx, tx)
		if sell.OK || sell.Reason != NoAccount {
			t.Errorf("can sell: %+v", sell)
		}
		return err
	})
	paid := w.product(t, 5000, "USD")
	err := w.DB.Write(w.ctx, func(ctx context.Context, tx bun.IDB) error {
		_, err := w.s.PlaceOrder(ctx, tx, NewOrder{ListingID: l.ID, ProductID: paid.ID, Email: "a@b.test", TermsVersion: "1"})
		return err
	})
	wantKind(t, err, fault.Conflict)
}

func TestYenAreWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sell(t)
	o := w.place(t, w.listing(t), w.product(t, 30000, "JPY"))
	w.pay(t, w.open(t, o), stripesim.CardOK)
	w.deliver(t)
	got := w.end(t, o)
	if got.Order != Paid || got.Ledger["buyer JPY"] != -30000 || got.Ledger["platform_fee JPY"] != 3000 || got.Unbalanced != 0 {
		t.Errorf("the end: %+v", got)
	}
	w.read(t, func(ctx context.Context, tx bun.IDB) error {
		var payload string
		err := tx.NewRaw(`SELECT payload->'data'->>'Amount' FROM mails WHERE kind = 'receipt'`).Scan(ctx, &payload)
		if payload != "¥30,000" {
			t.Errorf("the receipt says %q", payload)
		}
		return err
	})
}

func TestADelayedPaymentThatComes(t *testing.T) {
	t.Parallel()
	for _, ok := range []bool{true, false} {
		w := newWorld(t)
		w.sell(t)
		o := w.place(t, w.listing(t), w.product(t, 19900, "USD"))
		session := w.openDelayed(t, o)
		w.pay(t, session, stripesim.BankDebit)
		w.deliver(t)
		if got := w.end(t, o); got.Order != Processing || got.Listing != listings.AwaitingPayment || got.Receipts != 0 {
			t.Fatalf("while it is on its way: %+v", got)
		}
		stale, err := w.s.fetchSession(w.ctx, o.account(), session)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.sim.SettleDelayed(session, ok); err != nil {
			t.Fatal(err)
		}
		w.deliver(t)
		// News from before the end changes nothing any more.
		w.write(t, func(ctx context.Context, tx bun.IDB) error { return w.s.apply(ctx, tx, stale) })
		got := w.end(t, o)
		if ok {
			wantEnd(t, got, sold())
			continue
		}
		if got.Order != Open || got.Receipts != 0 || got.Listing != listings.AwaitingPayment {
			t.Errorf("after it failed: %+v", got)
		}
		w.pay(t, w.open(t, o), stripesim.CardOK)
		w.deliver(t)
		wantEnd(t, w.end(t, o), sold())
	}
}

func TestEventsAreVerifiedAndHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sell(t)
	o := w.place(t, w.listing(t), w.product(t, 19900, "USD"))
	w.pay(t, w.open(t, o), stripesim.CardOK)
	var done stripesim.Event
	for _, e := range w.fresh() {
		if e.Type == "checkout.session.completed" {
			done = e
		}
	}
	wrong := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: done.Payload, Secret: "whsec_other"})
	wantKind(t, w.s.Receive(t.Context(), wrong.Payload, wrong.Header), fault.Invalid)

	done.Payload = []byte(strings.Replace(string(done.Payload), APIVersion, "2026-08-26.dahlia", 1))
	w.receive(t, done)
	w.work(t)
	if got := w.end(t, o); got.Order != Open {
		t.Fatalf("an event of another version was applied: %+v", got)
	}
	stranger := done
	stranger.Payload = []byte(`{"id":"evt_stranger","object":"event","account":"acct_nobody","api_version":"` + APIVersion + `","created":1,"type":"checkout.session.completed","data":{"object":{"id":"cs_1","object":"checkout.session"}}}`)
	w.receive(t, stranger)
	err := w.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		held, err := w.s.Events(ctx, tx, "held", 10)
		if err != nil || len(held) != 1 || held[0].Note == "" {
			t.Errorf("held: %+v %v", held, err)
		}
		ignored, err := w.s.Events(ctx, tx, "ignored", 10)
		if err != nil || len(ignored) != 1 || ignored[0].ID != "evt_stranger" || ignored[0].Note == "" {
			t.Errorf("ignored: %+v %v", ignored, err)
		}
		return w.s.Release(ctx, tx, done.ID)
	})
	if err != nil {
		t.Fatal(err)
	}
	w.work(t)
	wantEnd(t, w.end(t, o), sold())
}
