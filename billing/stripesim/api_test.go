package stripesim_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"

	"shingle/billing/stripesim"
)

const invalidRequest = stripe.ErrorTypeInvalidRequest

func TestKeysThatAreNotTestKeysAreRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, err := newClient(b.srv.URL, "sk_live_x").Balance.Get(nil)
	wantError(t, err, 401, invalidRequest, "api_key_invalid", "")
	resp, err := http.Get(b.srv.URL + "/v1/balance")
	must(t, err)
	defer resp.Body.Close()
	equal(t, "status without a key", resp.StatusCode, 401)
}

func TestUnknownURLParameterAndVersionAreRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, err := b.api.Coupons.New(&stripe.CouponParams{Name: stripe.String("x")})
	wantError(t, err, 404, invalidRequest, "", "")
	p := checkout("", "eur", 1000, 0)
	p.AddExtra("colour", "red")
	_, err = b.api.CheckoutSessions.New(p)
	wantError(t, err, 400, invalidRequest, "parameter_unknown", "colour")
	p = checkout("", "eur", 1000, 0)
	p.Headers = http.Header{"Stripe-Version": {"2015-01-01"}}
	_, err = b.api.CheckoutSessions.New(p)
	wantError(t, err, 400, invalidRequest, "", "")
}

func TestAnIdempotencyKeyReplaysTheFirstAnswer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	keyed := func(amount int64) *stripe.CheckoutSessionParams {
		p := checkout("", "eur", amount, 0)
		p.SetIdempotencyKey("order-1:checkout:1")
		return p
	}
	first := b.session(keyed(1000))
	again := b.session(keyed(1000))
	equal(t, "session", again.ID, first.ID)
	equal(t, "replayed header", again.LastResponse.Header.Get("Idempotent-Replayed"), "true")
	equal(t, "first header", first.LastResponse.Header.Get("Idempotent-Replayed"), "")
	_, err := b.api.CheckoutSessions.New(keyed(2000))
	wantError(t, err, 400, stripe.ErrorTypeIdempotency, "", "")

	// An expired session is replayed too: the key must move with the attempt.
	_, err = b.api.CheckoutSessions.Expire(first.ID, nil)
	must(t, err)
	equal(t, "replayed status", b.session(keyed(1000)).Status, stripe.CheckoutSessionStatusOpen)
	b.clock.add(25 * time.Hour)
	if fresh := b.session(keyed(1000)); fresh.ID == first.ID {
		t.Error("a key is remembered for a day, not longer")
	}
}

func TestAnIdempotencyKeyIsNotSpentByAnInvalidRequest(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := checkout("", "eur", 1, 0)
	p.SetIdempotencyKey("k")
	_, err := b.api.CheckoutSessions.New(p)
	wantError(t, err, 400, invalidRequest, "amount_too_small", "")
	p = checkout("", "eur", 1000, 0)
	p.SetIdempotencyKey("k")
	b.session(p)
}

func TestConcurrentRequestsWithOneKeyHaveOneEffect(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	acct := b.account("standard", "Board")
	s := b.paid(acct, 10000, 1000)
	var wg sync.WaitGroup
	ids := make([]string, 16)
	for i := range ids {
		wg.Go(func() {
			p := &stripe.RefundParams{PaymentIntent: stripe.String(s.PaymentIntent.ID), Amount: stripe.Int64(1000)}
			p.SetStripeAccount(acct)
			p.SetIdempotencyKey("refund-1")
			if r, err := b.api.Refunds.New(p); err != nil {
				t.Error(err)
			} else {
				ids[i] = r.ID
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		equal(t, "refund", id, ids[0])
	}
	equal(t, "refunded", b.fetch(acct, s.ID).PaymentIntent.LatestCharge.AmountRefunded, 1000)
}

func TestAccountsDoNotSeeEachOthersObjects(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one, two := b.account("standard", "One"), b.account("standard", "Two")
	s := b.paid(one, 10000, 1000)
	for _, rival := range []string{two, ""} {
		p := &stripe.CheckoutSessionParams{}
		r := &stripe.RefundParams{PaymentIntent: stripe.String(s.PaymentIntent.ID)}
		l := &stripe.ChargeListParams{}
		if rival != "" {
			p.SetStripeAccount(rival)
			r.SetStripeAccount(rival)
			l.SetStripeAccount(rival)
		}
		_, err := b.api.CheckoutSessions.Get(s.ID, p)
		wantError(t, err, 404, invalidRequest, "resource_missing", "session")
		_, err = b.api.Refunds.New(r)
		wantError(t, err, 404, invalidRequest, "resource_missing", "payment_intent")
		if it := b.api.Charges.List(l); it.Next() {
			t.Errorf("account %q lists charge %s", rival, it.Charge().ID)
		}
	}
	p := &stripe.BalanceParams{}
	p.SetStripeAccount("acct_nobody")
	_, err := b.api.Balance.Get(p)
	wantError(t, err, 403, invalidRequest, "account_invalid", "")
}

func TestListsPageFilterAndExpand(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	acct := b.account("standard", "Board")
	for range 5 {
		b.paid(acct, 5000, 500)
		b.clock.add(time.Minute)
	}
	l := &stripe.ChargeListParams{}
	l.SetStripeAccount(acct)
	l.Limit = stripe.Int64(2) // the client pages on
	l.AddExpand("data.balance_transaction")
	n, last := 0, b.clock.Now().Unix()
	for it := b.api.Charges.List(l); it.Next(); n++ {
		c := it.Charge()
		if c.Created > last {
			t.Error("want newest first")
		}
		last = c.Created
		equal(t, "net", c.BalanceTransaction.Net, 5000-(145+30)-500)
	}
	equal(t, "charges", n, 5)

	txns := &stripe.BalanceTransactionListParams{Type: stripe.String("charge"), CreatedRange: &stripe.RangeQueryParams{GreaterThanOrEqual: b.clock.Now().Add(-2 * time.Minute).Unix()}}
	txns.SetStripeAccount(acct)
	n = 0
	for it := b.api.BalanceTransactions.List(txns); it.Next(); n++ {
	}
	equal(t, "balance transactions of two minutes", n, 2)

	p := &stripe.ChargeListParams{}
	p.SetStripeAccount(acct)
	p.AddExpand("data.amount_of_sugar")
	it := b.api.Charges.List(p)
	if it.Next() {
		t.Error("an unknown property was expanded")
	}
	wantError(t, it.Err(), 400, invalidRequest, "", "expand")
}

func TestFailuresHitTheNextRequests(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sim.Fail(1, stripesim.Failure{Status: 503, Path: "/v1/checkout"})
	_, err := b.api.Balance.Get(nil)
	must(t, err)
	_, err = b.api.CheckoutSessions.New(checkout("", "eur", 1000, 0))
	wantError(t, err, 503, stripe.ErrorTypeAPI, "", "")

	// The answer is lost after the effect: the same key finds it.
	keyed := func() *stripe.CheckoutSessionParams {
		p := checkout("", "eur", 1000, 0)
		p.SetIdempotencyKey("lost")
		return p
	}
	b.sim.Fail(1, stripesim.Failure{Drop: true, AfterEffect: true})
	if _, err := b.api.CheckoutSessions.New(keyed()); err == nil {
		t.Fatal("want a broken connection")
	}
	s := b.session(keyed())
	equal(t, "replayed", s.LastResponse.Header.Get("Idempotent-Replayed"), "true")

	b.sim.Fail(1, stripesim.Failure{Hang: true})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	p := &stripe.BalanceParams{}
	p.Context = ctx
	if _, err := b.api.Balance.Get(p); err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("want a timeout, got %v", err)
	}
}
