package billing

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/uptrace/bun"

	"shingle/billing/stripesim"
	"shingle/internal/fault"
	"shingle/tenant"
)

var errKilled = errors.New("killed")

// dieAt makes the next arrival at a gap the last thing that happens.
func (w *world) dieAt(gap string) (died *bool) {
	died = new(bool)
	w.s.between = func(_ context.Context, at string) {
		if at == gap && !*died {
			*died = true
			panic(errKilled)
		}
	}
	return died
}

// until runs fn to its end or its death; what it began is as a dead process
// leaves it.
func until(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if p != errKilled {
				panic(p)
			}
			err = errKilled
		}
	}()
	return fn()
}

// workOrDie runs what is due; dying leaves the tasks to the next hand-over.
func (w *world) workOrDie(t *testing.T) {
	t.Helper()
	for _, task := range w.due(t) {
		b, err := w.Boards.ByID(t.Context(), task.TenantID)
		if err != nil {
			t.Fatal(err)
		}
		err = until(func() error { return w.handlers()[task.Kind](tenant.With(t.Context(), b), task) })
		if err != nil && !errors.Is(err, errKilled) && !fault.Is(err, fault.Gone) {
			t.Fatal(err)
		}
	}
}

// Whatever is killed between any two steps, after the restart the listing is
// live once, the ledger sums to zero and there is one receipt.
func TestDeathBetweenAnyTwoSteps(t *testing.T) {
	t.Parallel()
	for _, gap := range []string{"event.found", "event.fetched", "event.applied"} {
		t.Run(gap, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.sell(t)
			o := w.place(t, w.listing(t), w.product(t, 19900, "USD"))
			w.pay(t, w.open(t, o), stripesim.CardOK)
			for _, e := range w.fresh() {
				if e.Type == "checkout.session.expired" || gap == "event.found" && e.Type == "account.updated" {
					continue
				}
				w.receive(t, e)
			}
			died := w.dieAt(gap)
			w.workOrDie(t)
			if !*died {
				t.Fatal("nobody came to the gap")
			}
			w.deliver(t)
			wantEnd(t, w.end(t, o), sold())
		})
	}
	for _, gap := range []string{"checkout.claimed", "checkout.expired", "checkout.opened"} {
		t.Run(gap, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.sell(t)
			o := w.place(t, w.listing(t), w.product(t, 19900, "USD"))
			w.open(t, o)
			died := w.dieAt(gap)
			err := until(func() error {
				_, err := w.s.Checkout(w.ctx, o.ID, "http://x.test/a", "http://x.test/b")
				return err
			})
			if !*died || !errors.Is(err, errKilled) {
				t.Fatalf("nobody came to the gap: %v", err)
			}
			w.pay(t, w.open(t, o), stripesim.CardOK)
			w.deliver(t)
			wantEnd(t, w.end(t, o), sold())
		})
	}
	for _, gap := range []string{"refund.made", "refund.fetched"} {
		t.Run(gap, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.sell(t)
			o := w.sale(t)
			w.write(t, func(ctx context.Context, tx bun.IDB) error { _, err := w.s.AskRefund(ctx, tx, o.ID, "x"); return err })
			died := w.dieAt(gap)
			w.workOrDie(t)
			if !*died {
				t.Fatal("nobody came to the gap")
			}
			w.deliver(t)
			wantEnd(t, w.end(t, o), undone())
		})
	}
	t.Run("fee_back.made", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.sell(t)
		o := w.sale(t)
		if err := w.sim.RefundFromDashboard(w.chargeOf(t, o), 0); err != nil {
			t.Fatal(err)
		}
		for _, e := range w.fresh() {
			w.receive(t, e)
		}
		died := w.dieAt("fee_back.made")
		w.workOrDie(t)
		w.workOrDie(t)
		if !*died {
			t.Fatal("nobody came to the gap")
		}
		w.deliver(t)
		wantEnd(t, w.end(t, o), undone())
	})
	t.Run("return.fetched", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.sell(t)
		o := w.place(t, w.listing(t), w.product(t, 19900, "USD"))
		session := w.open(t, o)
		w.pay(t, session, stripesim.CardOK)
		died := w.dieAt("return.fetched")
		err := until(func() error { _, err := w.s.Return(w.ctx, session); return err })
		if !*died || !errors.Is(err, errKilled) {
			t.Fatalf("nobody came to the gap: %v", err)
		}
		w.deliver(t)
		wantEnd(t, w.end(t, o), sold())
	})
	t.Run("connect.made", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		died := w.dieAt("connect.made")
		err := until(func() error { _, err := w.s.Onboard(w.ctx, "http://x.test/a", "http://x.test/b"); return err })
		if !*died || !errors.Is(err, errKilled) {
			t.Fatalf("nobody came to the gap: %v", err)
		}
		a := w.sell(t)
		list := 0
		it := w.s.stripe.Accounts.List(nil)
		for it.Next() {
			list++
		}
		if list != 1 || a.Account == "" {
			t.Errorf("%d accounts were made", list)
		}
	})
}

// Every statement of the transaction that publishes is a place to die: the
// transaction is cut at each, and then let through.
func TestDeathInsideTheTransactionLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sell(t)
	o := w.place(t, w.listing(t), w.product(t, 19900, "USD"))
	session := w.open(t, o)
	w.pay(t, session, stripesim.CardOK)
	f, err := w.s.fetchSession(w.ctx, o.account(), session)
	if err != nil {
		t.Fatal(err)
	}
	cut := &cutter{}
	w.DB.Bun().AddQueryHook(cut) //nolint:staticcheck // the door keeps its pool: WithQueryHook makes another
	before := w.end(t, o)
	n := 0
	for ; n < 200; n++ {
		cut.arm(n)
		err := until(func() error {
			return w.DB.Write(w.ctx, func(ctx context.Context, tx bun.IDB) error { return w.s.apply(ctx, tx, f) })
		})
		cut.disarm()
		if err == nil {
			break
		}
		if !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		if got := w.end(t, o); got.Order != before.Order || got.Receipts != 0 || got.Entitlements != 0 || len(got.Ledger) != 0 || got.Listing != before.Listing {
			t.Fatalf("cut at statement %d something stayed: %+v", n, got)
		}
	}
	if n < 10 {
		t.Errorf("only %d statements were cut", n)
	}
	w.deliver(t)
	wantEnd(t, w.end(t, o), sold())
}

// cutter kills at the n-th statement after it was armed.
type cutter struct {
	mu   sync.Mutex
	on   bool
	left int
}

func (c *cutter) arm(n int) { c.mu.Lock(); c.on, c.left = true, n; c.mu.Unlock() }
func (c *cutter) disarm()   { c.mu.Lock(); c.on = false; c.mu.Unlock() }

func (c *cutter) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.on || e.Query == "ROLLBACK" {
		return ctx
	}
	if c.left == 0 {
		c.on = false
		panic(errKilled)
	}
	c.left--
	return ctx
}

func (c *cutter) AfterQuery(context.Context, *bun.QueryEvent) {}

// The buyer comes back while the webhook arrives, several times each.
func TestReturnAndWebhookAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sell(t)
	o := w.place(t, w.listing(t), w.product(t, 19900, "USD"))
	session := w.open(t, o)
	w.pay(t, session, stripesim.CardOK)
	for _, e := range w.fresh() {
		w.receive(t, e)
	}
	due := w.due(t)
	var wg sync.WaitGroup
	errs := make(chan error, 20)
	for range 3 {
		wg.Go(func() {
			_, err := w.s.Return(w.ctx, session)
			errs <- err
		})
	}
	for _, task := range due {
		for range 2 { // handed over twice
			wg.Go(func() { errs <- w.handlers()[task.Kind](w.ctx, task) })
		}
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil && !fault.Is(err, fault.Gone) {
			t.Error(err)
		}
	}
	w.deliver(t)
	wantEnd(t, w.end(t, o), sold())
}

func TestStripeAwayIsSaidAndTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sell(t)
	o := w.place(t, w.listing(t), w.product(t, 19900, "USD"))
	// The answer is lost after the effect: the same key finds the same session.
	w.sim.Fail(1, stripesim.Failure{Drop: true, AfterEffect: true, Path: "/v1/checkout/sessions", Method: "POST"})
	session := w.open(t, o)
	w.pay(t, session, stripesim.CardOK)
	for _, e := range w.fresh() {
		w.receive(t, e)
	}
	w.sim.Fail(3, stripesim.Failure{Status: 503, Path: "/v1/checkout/sessions"})
	_, err := w.s.Return(w.ctx, session)
	wantKind(t, err, fault.Unavailable)
	w.deliver(t)
	wantEnd(t, w.end(t, o), sold())
}
