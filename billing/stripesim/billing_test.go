package stripesim_test

import (
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"

	"shingle/billing/stripesim"
)

// plan makes a monthly price, and its yearly sister when wanted.
func (b *bench) plan(amount int64, every string) *stripe.Price {
	b.t.Helper()
	prod, err := b.api.Products.New(&stripe.ProductParams{Name: stripe.String("Plan")})
	must(b.t, err)
	p, err := b.api.Prices.New(&stripe.PriceParams{Product: stripe.String(prod.ID), Currency: stripe.String("usd"), UnitAmount: stripe.Int64(amount), Recurring: &stripe.PriceRecurringParams{Interval: stripe.String(every)}})
	must(b.t, err)
	return p
}

// begun is a paid subscription of a new customer.
func (b *bench) begun(p *stripe.Price) *stripe.Subscription {
	b.t.Helper()
	cus, err := b.api.Customers.New(&stripe.CustomerParams{Email: stripe.String("a@b.example")})
	must(b.t, err)
	cs, err := b.api.CheckoutSessions.New(&stripe.CheckoutSessionParams{Mode: stripe.String("subscription"), Customer: stripe.String(cus.ID), SuccessURL: stripe.String("http://x.test/ok"),
		LineItems: []*stripe.CheckoutSessionLineItemParams{{Price: stripe.String(p.ID), Quantity: stripe.Int64(1)}}})
	must(b.t, err)
	must(b.t, b.sim.Pay(cs.ID, stripesim.CardOK))
	got, err := b.api.CheckoutSessions.Get(cs.ID, nil)
	must(b.t, err)
	equal(b.t, "payment", string(got.PaymentStatus), "paid")
	return b.sub(got.Subscription.ID)
}

func (b *bench) sub(id string) *stripe.Subscription {
	b.t.Helper()
	s, err := b.api.Subscriptions.Get(id, nil)
	must(b.t, err)
	return s
}

func (b *bench) bills(s *stripe.Subscription) (out []*stripe.Invoice) {
	b.t.Helper()
	it := b.api.Invoices.List(&stripe.InvoiceListParams{Customer: stripe.String(s.Customer.ID)})
	for it.Next() {
		out = append(out, it.Invoice())
	}
	must(b.t, it.Err())
	return out
}

// Months keep their day where they have it, and half a period costs half.
func TestPeriodsAndProrations(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.clock.mu.Lock()
	b.clock.now = time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC)
	b.clock.mu.Unlock()
	small, large := b.plan(1000, "month"), b.plan(3001, "month")
	s := b.begun(small)
	equal(t, "the first period ends", time.Unix(s.CurrentPeriodEnd, 0).UTC().Format(time.DateOnly), "2027-02-28")
	half := (s.CurrentPeriodStart + s.CurrentPeriodEnd) / 2
	must(t, b.sim.Advance(time.Unix(half, 0)))
	item := s.Items.Data[0].ID
	up, err := b.api.Invoices.Upcoming(&stripe.InvoiceUpcomingParams{Subscription: stripe.String(s.ID), SubscriptionProrationDate: stripe.Int64(half), SubscriptionProrationBehavior: stripe.String("always_invoice"),
		SubscriptionItems: []*stripe.SubscriptionItemsParams{{ID: stripe.String(item), Price: stripe.String(large.ID)}}})
	must(t, err)
	equal(t, "the preview", up.AmountDue, int64(1501-500))
	change := &stripe.SubscriptionParams{Items: []*stripe.SubscriptionItemsParams{{ID: stripe.String(item), Price: stripe.String(large.ID)}}, ProrationBehavior: stripe.String("always_invoice"),
		ProrationDate: stripe.Int64(half), PaymentBehavior: stripe.String("error_if_incomplete")}
	must(t, b.sim.SetCard(s.Customer.ID, stripesim.CardDeclined))
	_, err = b.api.Subscriptions.Update(s.ID, change)
	wantError(t, err, 402, stripe.ErrorTypeCard, stripe.ErrorCodeCardDeclined, "")
	equal(t, "the price after a refused card", b.sub(s.ID).Items.Data[0].Price.ID, small.ID)
	equal(t, "invoices after a refused card", len(b.bills(s)), 1)
	must(t, b.sim.SetCard(s.Customer.ID, stripesim.CardOK))
	_, err = b.api.Subscriptions.Update(s.ID, change)
	must(t, err)
	bills := b.bills(s)
	equal(t, "the change cost", bills[0].AmountPaid, up.AmountDue)
	// Down at once: what is left becomes credit, which the next invoice uses.
	_, err = b.api.Subscriptions.Update(s.ID, &stripe.SubscriptionParams{Items: []*stripe.SubscriptionItemsParams{{ID: stripe.String(item), Price: stripe.String(small.ID)}}, ProrationBehavior: stripe.String("always_invoice"), ProrationDate: stripe.Int64(half)})
	must(t, err)
	cus, err := b.api.Customers.Get(s.Customer.ID, nil)
	must(t, err)
	equal(t, "the balance", cus.Balance, int64(-1001))
	must(t, b.sim.Advance(time.Unix(s.CurrentPeriodEnd+1, 0)))
	equal(t, "the next invoice", b.bills(s)[0].AmountPaid, int64(0))
	equal(t, "its total", b.bills(s)[0].Total, int64(1000))
}

// A card that fails is tried again after 3, 5 and 7 days, then the subscription
// waits unpaid; the page of the invoice takes another card. The journal keeps it
// all over a restart, and webhooks tell of each in order.
func TestFailedInvoicesAreRetriedAndPaidOnTheirPage(t *testing.T) {
	t.Parallel()
	b := &bench{t: t, clock: &clock{now: time.Now().Truncate(time.Second)}, state: filepath.Join(t.TempDir(), "stripe.json")}
	b.start()
	s := b.begun(b.plan(2900, "month"))
	must(t, b.sim.SetCard(s.Customer.ID, stripesim.CardInsufficient))
	end := time.Unix(s.CurrentPeriodEnd, 0)
	for _, c := range []struct {
		days     int
		attempts int64
		status   string
	}{{0, 1, "past_due"}, {2, 1, "past_due"}, {3, 2, "past_due"}, {8, 3, "past_due"}, {15, 4, "unpaid"}, {25, 4, "unpaid"}} {
		must(t, b.sim.Advance(end.AddDate(0, 0, c.days).Add(time.Minute)))
		equal(t, "status", string(b.sub(s.ID).Status), c.status)
		equal(t, "attempts", b.bills(s)[0].AttemptCount, c.attempts)
	}
	if err := b.sim.Advance(end); err == nil {
		t.Error("the clock went back")
	}
	must(t, b.sim.Close())
	b.srv.Close()
	b.start()
	equal(t, "after a restart", string(b.sub(s.ID).Status), "unpaid")
	in := b.bills(s)[0]
	for card, want := range map[string]int{stripesim.CardDeclined: http.StatusPaymentRequired} {
		res, err := http.PostForm(b.srv.URL+"/invoices/"+in.ID, url.Values{"card": {card}})
		must(t, err)
		_ = res.Body.Close()
		equal(t, "a refused card", res.StatusCode, want)
	}
	res, err := http.PostForm(b.srv.URL+"/invoices/"+in.ID, url.Values{"card": {stripesim.CardOK}})
	must(t, err)
	_ = res.Body.Close()
	equal(t, "paid", string(b.bills(s)[0].Status), "paid")
	equal(t, "status", string(b.sub(s.ID).Status), "active")
	var told []string
	for _, e := range b.sim.Events() {
		if strings.HasPrefix(e.Type, "invoice.payment_failed") || e.Type == "invoice.paid" {
			told = append(told, strings.TrimPrefix(e.Type, "invoice."))
		}
	}
	equal(t, "events", strings.Join(told, " "), "paid payment_failed payment_failed payment_failed payment_failed paid")
	p, err := b.api.BillingPortalSessions.New(&stripe.BillingPortalSessionParams{Customer: stripe.String(s.Customer.ID), ReturnURL: stripe.String("http://x.test/back")})
	must(t, err)
	page, err := http.Get(p.URL)
	must(t, err)
	_ = page.Body.Close()
	equal(t, "the billing page", page.StatusCode, 200)
}

// A schedule holds its subscription: it is not cancelled beside it, and gives it
// back when it is released or done.
func TestASchedulesChangeComesAtThePeriodsEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	large, small := b.plan(3000, "month"), b.plan(1000, "month")
	s := b.begun(large)
	sc, err := b.api.SubscriptionSchedules.New(&stripe.SubscriptionScheduleParams{FromSubscription: stripe.String(s.ID)})
	must(t, err)
	_, err = b.api.SubscriptionSchedules.New(&stripe.SubscriptionScheduleParams{FromSubscription: stripe.String(s.ID)})
	wantError(t, err, 400, invalidRequest, "", "from_subscription")
	_, err = b.api.Subscriptions.Update(s.ID, &stripe.SubscriptionParams{CancelAtPeriodEnd: stripe.Bool(true)})
	wantError(t, err, 400, invalidRequest, "", "cancel_at_period_end")
	item := func(p *stripe.Price) []*stripe.SubscriptionSchedulePhaseItemParams {
		return []*stripe.SubscriptionSchedulePhaseItemParams{{Price: stripe.String(p.ID), Quantity: stripe.Int64(1)}}
	}
	_, err = b.api.SubscriptionSchedules.Update(sc.ID, &stripe.SubscriptionScheduleParams{EndBehavior: stripe.String("release"), Phases: []*stripe.SubscriptionSchedulePhaseParams{
		{Items: item(large), StartDate: stripe.Int64(s.CurrentPeriodStart), EndDate: stripe.Int64(s.CurrentPeriodEnd)}, {Items: item(small), Iterations: stripe.Int64(1)}}})
	must(t, err)
	must(t, b.sim.Advance(time.Unix(s.CurrentPeriodEnd+1, 0)))
	equal(t, "the price", b.sub(s.ID).Items.Data[0].Price.ID, small.ID)
	equal(t, "the invoice", b.bills(s)[0].Total, int64(1000))
	must(t, b.sim.Advance(time.Unix(b.sub(s.ID).CurrentPeriodEnd+1, 0)))
	if b.sub(s.ID).Schedule != nil {
		t.Error("the schedule still holds it")
	}
	_, err = b.api.Subscriptions.Update(s.ID, &stripe.SubscriptionParams{CancelAtPeriodEnd: stripe.Bool(true)})
	must(t, err)
	must(t, b.sim.Advance(time.Unix(b.sub(s.ID).CurrentPeriodEnd+1, 0)))
	equal(t, "status", string(b.sub(s.ID).Status), "canceled")
}
