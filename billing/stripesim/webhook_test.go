package stripesim_test

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/webhook"

	"shingle/billing/stripesim"
)

func TestEventsGoSignedToTheRightEndpoint(t *testing.T) {
	t.Parallel()
	own, connect := newReceiver(t, "whsec_own"), newReceiver(t, "whsec_connect")
	b := newBench(t, func(o *stripesim.Options) {
		o.Endpoints = []stripesim.Endpoint{{URL: own.srv.URL, Secret: own.secret}, {URL: connect.srv.URL, Secret: connect.secret, Connect: true}}
	})
	b.run()
	acct := b.account("standard", "Board")
	s := b.paid(acct, 10000, 1000)
	b.drained()

	if len(own.bad)+len(connect.bad) > 0 {
		t.Fatalf("signatures: %v %v", own.bad, connect.bad)
	}
	for _, e := range own.events() {
		if e.Account != "" || !strings.HasPrefix(string(e.Type), "application_fee.") {
			t.Errorf("the platform's endpoint heard %s of %q", e.Type, e.Account)
		}
	}
	var completed *stripe.CheckoutSession
	for _, e := range connect.events() {
		equal(t, "account of "+string(e.Type), e.Account, acct)
		if e.Type == stripe.EventTypeCheckoutSessionCompleted {
			completed = new(stripe.CheckoutSession)
			must(t, json.Unmarshal(e.Data.Raw, completed))
		}
	}
	if completed == nil || completed.ID != s.ID || completed.PaymentStatus != "paid" || completed.PaymentIntent.ID != s.PaymentIntent.ID {
		t.Errorf("checkout.session.completed: %+v", completed)
	}
}

func TestAFailedDeliveryIsTriedAgain(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, "whsec_x")
	r.fail = 2
	b := newBench(t, func(o *stripesim.Options) {
		o.Now = nil
		o.Endpoints = []stripesim.Endpoint{{URL: r.srv.URL, Secret: r.secret, Connect: true}}
		o.Backoff = []time.Duration{time.Millisecond, time.Millisecond}
	})
	b.run()
	b.account("standard", "Board")
	b.drained()
	d := b.sim.Deliveries()[0]
	equal(t, "attempts", d.Attempts, 3)
	equal(t, "status", d.Status, "delivered")
	equal(t, "events", len(r.events()), 1)

	r.fail = 100
	must(t, b.sim.Redeliver(r.events()[0].ID))
	b.drained()
	d = b.sim.Deliveries()[1]
	equal(t, "attempts before giving up", d.Attempts, 3)
	equal(t, "status", d.Status, "failed")
	equal(t, "problem", d.Problem, "answered 500")
}

func TestAnEventIsSentAgainWhenAsked(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, "whsec_x")
	b := newBench(t, func(o *stripesim.Options) {
		o.Endpoints = []stripesim.Endpoint{{URL: r.srv.URL, Secret: r.secret, Connect: true}}
	})
	b.run()
	b.account("standard", "Board")
	id := b.sim.Events()[0].ID
	for range 4 {
		must(t, b.sim.Redeliver(id))
	}
	b.drained()
	if got := r.events(); len(got) != 5 || got[4].ID != id {
		t.Errorf("want the event five times, got %d", len(got))
	}
	if err := b.sim.Redeliver("evt_none"); err == nil {
		t.Error("an unknown event was sent")
	}
}

func TestEndpointsMadeThroughTheAPI(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run()
	r := newReceiver(t, "")
	ep, err := b.api.WebhookEndpoints.New(&stripe.WebhookEndpointParams{URL: &r.srv.URL, Connect: stripe.Bool(true), APIVersion: stripe.String("2023-10-16"),
		EnabledEvents: stripe.StringSlice([]string{"checkout.session.completed"})})
	must(t, err)
	if !strings.HasPrefix(ep.Secret, "whsec_") || ep.Application == "" || ep.APIVersion != stripesim.APIVersion {
		t.Errorf("endpoint: %+v", ep)
	}
	r.secret = ep.Secret
	b.paid(b.account("standard", "Board"), 1000, 0)
	b.drained()
	equal(t, "events", len(r.events()), 1)

	it := b.api.WebhookEndpoints.List(nil)
	if !it.Next() || it.WebhookEndpoint().ID != ep.ID || it.WebhookEndpoint().Secret != "" {
		t.Errorf("list: %v %+v", it.Err(), it.WebhookEndpoint())
	}
	gone, err := b.api.WebhookEndpoints.Del(ep.ID, nil)
	must(t, err)
	equal(t, "deleted", gone.Deleted, true)
	_, err = b.api.WebhookEndpoints.Get(ep.ID, nil)
	wantError(t, err, 404, invalidRequest, "resource_missing", "webhook_endpoint")
}

func TestAnEndpointOfAnotherVersionIsToldInIt(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *stripesim.Options) { o.Backoff = []time.Duration{} }) // one try
	b.run()
	r := newReceiver(t, "")
	ep, err := b.api.WebhookEndpoints.New(&stripe.WebhookEndpointParams{URL: &r.srv.URL, Connect: stripe.Bool(true), APIVersion: stripe.String("2024-06-20"), EnabledEvents: stripe.StringSlice([]string{"*"})})
	must(t, err)
	r.secret = ep.Secret
	b.account("standard", "Board")
	b.drained()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.bad) == 0 || !strings.Contains(r.bad[0].Error(), "2024-06-20") {
		t.Errorf("want the client to refuse the version, got %v", r.bad)
	}
}

func TestEventsAreListed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	acct := b.account("standard", "Board")
	b.paid(acct, 1000, 100)
	p := &stripe.EventListParams{Type: stripe.String("payment_intent.*")}
	p.SetStripeAccount(acct)
	n := 0
	it := b.api.Events.List(p)
	for ; it.Next(); n++ {
		equal(t, "account", it.Event().Account, acct)
	}
	equal(t, "events", n, 2)
}

func TestSignIsStripesScheme(t *testing.T) {
	t.Parallel()
	body := []byte(`{"api_version":"2023-10-16"}`)
	if _, err := webhook.ConstructEvent(body, stripesim.Sign(body, "s", time.Now()), "s"); err != nil {
		t.Error(err)
	}
	if _, err := webhook.ConstructEvent(body, stripesim.Sign(body, "s", time.Now()), "other"); err == nil {
		t.Error("another secret was taken")
	}
}

func TestStateOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, "whsec_x")
	edit := func(o *stripesim.Options) {
		o.Endpoints = []stripesim.Endpoint{{URL: r.srv.URL, Secret: r.secret, Connect: true}}
	}
	b := &bench{t: t, clock: &clock{now: time.Now().Truncate(time.Second)}, state: statePath(t)}
	b.start(edit)
	acct := b.account("standard", "Board")
	keyed := checkout(acct, "eur", 1000, 100)
	keyed.SetIdempotencyKey("k")
	s := b.session(keyed)
	must(t, b.sim.Pay(s.ID, stripesim.CardOK))
	events := len(b.sim.Events())
	b.srv.Close() // no Close of the simulator: killed

	// What a kill in the middle of a write leaves behind.
	f, err := os.OpenFile(b.state, os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteString(`{"rows":[{"id":"cs_`)
	must(t, err)
	must(t, f.Close())

	for range 2 {
		b.start(edit)
		equal(t, "payment", b.fetch(acct, s.ID).PaymentStatus, stripe.CheckoutSessionPaymentStatusPaid)
		equal(t, "events", len(b.sim.Events()), events)
		again := checkout(acct, "eur", 1000, 100)
		again.SetIdempotencyKey("k")
		equal(t, "replayed session", b.session(again).ID, s.ID)
		must(t, b.sim.Close())
	}
	b.start(edit)
	b.run()
	b.drained() // what was pending when the process died
	if len(r.events()) == 0 || len(r.bad) > 0 {
		t.Errorf("delivered %d, refused %v", len(r.events()), r.bad)
	}
}

func TestABrokenStateFileStopsEverything(t *testing.T) {
	t.Parallel()
	b := &bench{t: t, clock: &clock{now: time.Now()}, state: t.TempDir() + "/state.jsonl"}
	must(t, os.WriteFile(b.state, []byte("nonsense\n{}\n"), 0o600))
	b.start()
	_, err := b.api.Balance.Get(nil)
	wantError(t, err, 500, stripe.ErrorTypeAPI, "", "")
	if err := b.sim.Run(context.Background()); err == nil {
		t.Error("Run went on without its state")
	}
	left, err := os.ReadFile(b.state)
	must(t, err)
	equal(t, "file", string(left), "nonsense\n{}\n")
}
