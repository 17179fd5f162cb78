package stripesim_test

import (
	"context"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"

	"shingle/billing/stripesim"
)

// frozen makes a test clock by the official client.
func (b *bench) frozen(at time.Time) *stripe.TestHelpersTestClock {
	b.t.Helper()
	c, err := b.api.TestHelpersTestClocks.New(&stripe.TestHelpersTestClockParams{FrozenTime: stripe.Int64(at.Unix()), Name: stripe.String("A year")})
	must(b.t, err)
	return c
}

// advance moves one on, as a program does at Stripe: until its status is ready.
func (b *bench) advance(id string, to int64) {
	b.t.Helper()
	c, err := b.api.TestHelpersTestClocks.Advance(id, &stripe.TestHelpersTestClockAdvanceParams{FrozenTime: stripe.Int64(to)})
	must(b.t, err)
	equal(b.t, "the answer", string(c.Status), "advancing")
	c, err = b.api.TestHelpersTestClocks.Get(id, nil)
	must(b.t, err)
	equal(b.t, "then", string(c.Status), "ready")
	equal(b.t, "its time", c.FrozenTime, to)
}

// within is a paid subscription of a new customer that lives in a test clock.
func (b *bench) within(clock string, p *stripe.Price) *stripe.Subscription {
	b.t.Helper()
	cus, err := b.api.Customers.New(&stripe.CustomerParams{Email: stripe.String("a@b.example"), TestClock: stripe.String(clock)})
	must(b.t, err)
	cs, err := b.api.CheckoutSessions.New(&stripe.CheckoutSessionParams{Mode: stripe.String("subscription"), Customer: stripe.String(cus.ID), SuccessURL: stripe.String("http://x.test/ok"),
		LineItems: []*stripe.CheckoutSessionLineItemParams{{Price: stripe.String(p.ID), Quantity: stripe.Int64(1)}}})
	must(b.t, err)
	must(b.t, b.sim.Pay(cs.ID, stripesim.CardOK))
	cs, err = b.api.CheckoutSessions.Get(cs.ID, nil)
	must(b.t, err)
	return b.sub(cs.Subscription.ID)
}

// Two customers on two clocks and one on none: each clock moves its own alone,
// and a restart forgets nothing.
func TestATestClockMovesItsOwnCustomersAlone(t *testing.T) {
	t.Parallel()
	b := &bench{t: t, clock: &clock{now: time.Now().Truncate(time.Second)}, state: filepath.Join(t.TempDir(), "stripe.json")}
	b.start()
	price := b.plan(2900, "month")
	past, ahead := b.frozen(time.Date(2024, 1, 31, 9, 0, 0, 0, time.UTC)), b.frozen(time.Date(2031, 5, 1, 9, 0, 0, 0, time.UTC))
	equal(t, "a new clock", string(past.Status)+" "+past.Name, "ready A year")
	equal(t, "kept for a week", past.DeletesAfter-past.Created, int64(7*24*60*60))
	old, far, free := b.within(past.ID, price), b.within(ahead.ID, price), b.begun(price)
	equal(t, "its period", time.Unix(old.CurrentPeriodEnd, 0).UTC().Format(time.RFC3339), "2024-02-29T09:00:00Z")
	equal(t, "its clock", old.TestClock.ID, past.ID)
	equal(t, "its first invoice's day", b.bills(old)[0].Created, past.FrozenTime)
	if free.TestClock != nil {
		t.Errorf("a subscription of no clock is held by %s", free.TestClock.ID)
	}

	must(t, b.sim.SetCard(old.Customer.ID, stripesim.CardInsufficient))
	b.advance(past.ID, old.CurrentPeriodEnd+60)
	equal(t, "the card failed", string(b.sub(old.ID).Status), "past_due")
	equal(t, "the other clock's", len(b.bills(far)), 1)
	equal(t, "no clock's", len(b.bills(free)), 1)
	must(t, b.sim.Advance(time.Unix(free.CurrentPeriodEnd+60, 0)))
	equal(t, "no clock's, moved", len(b.bills(free)), 2)
	equal(t, "still frozen", b.bills(old)[0].AttemptCount, int64(1))

	must(t, b.sim.Close())
	b.srv.Close()
	b.start()
	b.advance(past.ID, old.CurrentPeriodEnd+3*24*60*60+60)
	equal(t, "tried again", b.bills(old)[0].AttemptCount, int64(2))
	equal(t, "the invoice's clock", b.bills(old)[0].TestClock.ID, past.ID)

	var told []string
	for _, e := range b.sim.Events() {
		if strings.HasPrefix(e.Type, "test_helpers.") {
			told = append(told, strings.TrimPrefix(e.Type, "test_helpers.test_clock."))
		}
	}
	equal(t, "events", strings.Join(told, " "), "created created advancing ready advancing ready")
}

func TestATestClocksRules(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	start := time.Date(2028, 3, 1, 0, 0, 0, 0, time.UTC)
	c := b.frozen(start)
	clocks := b.api.TestHelpersTestClocks
	to := func(at time.Time) error {
		_, err := clocks.Advance(c.ID, &stripe.TestHelpersTestClockAdvanceParams{FrozenTime: stripe.Int64(at.Unix())})
		return err
	}
	_, err := clocks.New(&stripe.TestHelpersTestClockParams{})
	wantError(t, err, 400, invalidRequest, stripe.ErrorCodeParameterMissing, "frozen_time")
	_, err = clocks.Get("clock_none", nil)
	wantError(t, err, 404, invalidRequest, stripe.ErrorCodeResourceMissing, "test_clock")
	wantError(t, to(start), 400, invalidRequest, "", "frozen_time")
	wantError(t, to(start.AddDate(3, 0, 0)), 400, invalidRequest, "", "frozen_time")
	s := b.within(c.ID, b.plan(2900, "month"))
	wantError(t, to(start.AddDate(0, 2, 1)), 400, invalidRequest, "", "frozen_time")
	b.advance(c.ID, start.AddDate(0, 2, 0).Unix())
	equal(t, "two periods later", len(b.bills(s)), 3)

	// One test clock holds three customers, who are listed by it alone.
	for range 2 {
		_, err = b.api.Customers.New(&stripe.CustomerParams{TestClock: stripe.String(c.ID)})
		must(t, err)
	}
	_, err = b.api.Customers.New(&stripe.CustomerParams{TestClock: stripe.String(c.ID)})
	wantError(t, err, 400, invalidRequest, "", "test_clock")
	_, err = b.api.Customers.New(&stripe.CustomerParams{TestClock: stripe.String("clock_none")})
	wantError(t, err, 404, invalidRequest, stripe.ErrorCodeResourceMissing, "test_clock")
	customers := func(p *stripe.CustomerListParams) (n int) {
		it := b.api.Customers.List(p)
		for it.Next() {
			n++
		}
		must(t, it.Err())
		return n
	}
	equal(t, "all customers", customers(&stripe.CustomerListParams{}), 0)
	equal(t, "the clock's", customers(&stripe.CustomerListParams{TestClock: stripe.String(c.ID)}), 3)
	subs := b.api.Subscriptions.List(&stripe.SubscriptionListParams{})
	equal(t, "all subscriptions show the clock's", subs.Next(), false)
	subs = b.api.Subscriptions.List(&stripe.SubscriptionListParams{TestClock: stripe.String(c.ID)})
	equal(t, "the clock's subscriptions", subs.Next(), true)

	// Its page advances it; deleting it takes all that it holds along.
	status, _, _ := submit(t, b.srv.URL+"/act/advance-test-clock/"+c.ID, url.Values{"by": {"week"}})
	equal(t, "the button", status, 303)
	_, body, _ := show(t, b.srv.URL+"/")
	contains(t, body, c.ID, "A year", "8 May 2028 00:00:00")
	gone, err := clocks.Del(c.ID, nil)
	must(t, err)
	equal(t, "deleted", gone.Deleted, true)
	_, err = clocks.Get(c.ID, nil)
	wantError(t, err, 404, invalidRequest, stripe.ErrorCodeResourceMissing, "test_clock")
	_, err = b.api.Customers.Get(s.Customer.ID, nil)
	wantError(t, err, 404, invalidRequest, stripe.ErrorCodeResourceMissing, "id")
	_, err = b.api.Subscriptions.Get(s.ID, nil)
	wantError(t, err, 404, invalidRequest, stripe.ErrorCodeResourceMissing, "id")
	ended := false
	for _, e := range b.sim.Events() {
		ended = ended || e.Type == "customer.subscription.deleted"
	}
	equal(t, "its end was told", ended, true)
	if status, _, _ := show(t, b.srv.URL+"/"); status != 200 {
		t.Errorf("the page then answers %d", status)
	}

	// What nobody deletes is deleted after a week.
	c = b.frozen(start)
	b.clock.add(7*24*time.Hour - time.Second)
	if _, err = clocks.Get(c.ID, nil); err != nil {
		t.Errorf("within its week: %v", err)
	}
	b.clock.add(time.Second)
	_, err = clocks.Get(c.ID, nil)
	wantError(t, err, 404, invalidRequest, stripe.ErrorCodeResourceMissing, "test_clock")
}

// The page's buttons move the simulator's own clock a day after the other, and
// whoever follows it lives through each.
func TestWhoFollowsTheClockLivesThroughEachDay(t *testing.T) {
	t.Parallel()
	var days []string
	var b *bench
	b = newBench(t, func(o *stripesim.Options) {
		o.ClockNote = "Plans follow <it>."
		o.Advanced = func(context.Context) error {
			days = append(days, b.sim.Clock().Format(time.DateOnly))
			if len(days) == 9 {
				return &stripesim.Error{Status: 503, Message: "the follower is away"}
			}
			return nil
		}
	})
	begun := b.sim.Clock()
	_, body, _ := show(t, b.srv.URL+"/")
	contains(t, body, "Plans follow &lt;it&gt;.")
	status, _, where := submit(t, b.srv.URL+"/act/advance/week", nil)
	equal(t, "a week", status, 303)
	equal(t, "back to", where, "/#subscriptions")
	equal(t, "days", len(days), 7)
	equal(t, "the first", days[0], begun.AddDate(0, 0, 1).Format(time.DateOnly))
	equal(t, "the last", days[6], begun.AddDate(0, 0, 7).Format(time.DateOnly))
	status, body, _ = submit(t, b.srv.URL+"/act/advance/month", nil)
	equal(t, "a follower that fails", status, 503)
	contains(t, body, "the follower is away")
	equal(t, "stopped there", len(days), 9)
	status, _, _ = submit(t, b.srv.URL+"/act/advance/year", nil)
	equal(t, "no such stride", status, 404)
}
