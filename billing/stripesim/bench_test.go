package stripesim_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"
	"github.com/stripe/stripe-go/v76/webhook"

	"shingle/billing/stripesim"
)

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// bench is a simulator behind a real server, with the real client on it.
type bench struct {
	t     *testing.T
	sim   *stripesim.Sim
	srv   *httptest.Server
	api   *client.API
	clock *clock
	state string
}

func newBench(t *testing.T, edit ...func(*stripesim.Options)) *bench {
	t.Helper()
	b := &bench{t: t, clock: &clock{now: time.Now().Truncate(time.Second)}}
	b.start(edit...)
	return b
}

func (b *bench) start(edit ...func(*stripesim.Options)) {
	b.t.Helper()
	var handler http.Handler
	b.srv = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	o := stripesim.Options{BaseURL: "http://" + b.srv.Listener.Addr().String(), Now: b.clock.Now, Name: "Test Platform", StatePath: b.state}
	for _, f := range edit {
		f(&o)
	}
	b.sim = stripesim.New(o)
	handler = b.sim.Handler()
	b.srv.Start()
	b.t.Cleanup(b.srv.Close)
	b.t.Cleanup(func() { _ = b.sim.Close() })
	b.api = newClient(b.srv.URL, "sk_test_bench")
}

func newClient(url, key string) *client.API {
	// On a kept connection net/http itself repeats a request that has an
	// Idempotency-Key; tests want to see each failure.
	once := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	return client.New(key, &stripe.Backends{API: stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{
		HTTPClient: once, URL: stripe.String(url), MaxNetworkRetries: stripe.Int64(0), LeveledLogger: &stripe.LeveledLogger{Level: stripe.LevelNull}, EnableTelemetry: stripe.Bool(false)})})
}

// run delivers webhooks until the test ends.
func (b *bench) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.sim.Run(ctx) }()
	b.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("Run: %v", err)
		}
	})
}

func (b *bench) drained() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := b.sim.Drained(ctx); err != nil {
		b.t.Fatalf("deliveries: %v, %+v", err, b.sim.Deliveries())
	}
}

func (b *bench) account(kind, name string) string {
	b.t.Helper()
	p := &stripe.AccountParams{Type: stripe.String(kind), Country: stripe.String("DE"), Email: stripe.String("owner@example.test"),
		BusinessProfile: &stripe.AccountBusinessProfileParams{Name: stripe.String(name)},
		Capabilities: &stripe.AccountCapabilitiesParams{CardPayments: &stripe.AccountCapabilitiesCardPaymentsParams{Requested: stripe.Bool(true)},
			Transfers: &stripe.AccountCapabilitiesTransfersParams{Requested: stripe.Bool(true)}}}
	a, err := b.api.Accounts.New(p)
	must(b.t, err)
	must(b.t, b.sim.CompleteOnboarding(a.ID))
	return a.ID
}

// checkout is a session of one line; edit changes it before it is sent.
func checkout(account, currency string, amount, fee int64, edit ...func(*stripe.CheckoutSessionParams)) *stripe.CheckoutSessionParams {
	p := &stripe.CheckoutSessionParams{Mode: stripe.String("payment"), SuccessURL: stripe.String("http://board.localhost/paid?session={CHECKOUT_SESSION_ID}"),
		CancelURL: stripe.String("http://board.localhost/post"), ClientReferenceID: stripe.String("order-1"),
		LineItems: []*stripe.CheckoutSessionLineItemParams{{Quantity: stripe.Int64(1), PriceData: &stripe.CheckoutSessionLineItemPriceDataParams{
			Currency: &currency, UnitAmount: &amount, ProductData: &stripe.CheckoutSessionLineItemPriceDataProductDataParams{Name: stripe.String("30-day listing")}}}}}
	if account != "" {
		p.SetStripeAccount(account)
	}
	if fee > 0 {
		p.PaymentIntentData = &stripe.CheckoutSessionPaymentIntentDataParams{ApplicationFeeAmount: &fee}
	}
	for _, f := range edit {
		f(p)
	}
	return p
}

func (b *bench) session(p *stripe.CheckoutSessionParams) *stripe.CheckoutSession {
	b.t.Helper()
	s, err := b.api.CheckoutSessions.New(p)
	must(b.t, err)
	return s
}

// fetch reads a session with the whole payment expanded.
func (b *bench) fetch(account, id string) *stripe.CheckoutSession {
	b.t.Helper()
	p := &stripe.CheckoutSessionParams{}
	p.AddExpand("payment_intent.latest_charge.balance_transaction")
	p.AddExpand("invoice")
	if account != "" {
		p.SetStripeAccount(account)
	}
	s, err := b.api.CheckoutSessions.Get(id, p)
	must(b.t, err)
	return s
}

// paid makes and pays a direct charge.
func (b *bench) paid(account string, amount, fee int64) *stripe.CheckoutSession {
	b.t.Helper()
	s := b.session(checkout(account, "eur", amount, fee))
	must(b.t, b.sim.Pay(s.ID, stripesim.CardOK))
	return b.fetch(account, s.ID)
}

func (b *bench) kinds() []string {
	var out []string
	for _, e := range b.sim.Events() {
		out = append(out, e.Type)
	}
	return out
}

// receiver is the application's webhook endpoint; it verifies with stripe-go.
type receiver struct {
	srv    *httptest.Server
	secret string

	mu   sync.Mutex
	got  []stripe.Event
	bad  []error
	fail int // answer 500 this many times first
}

func newReceiver(t *testing.T, secret string) *receiver {
	r := &receiver{secret: secret}
	r.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.fail > 0 {
			r.fail--
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		e, err := webhook.ConstructEvent(body, req.Header.Get("Stripe-Signature"), r.secret)
		if err != nil {
			r.bad = append(r.bad, err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.got = append(r.got, e)
	}))
	t.Cleanup(r.srv.Close)
	return r
}

func (r *receiver) events() []stripe.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantError checks an API error's status, type, code and param.
func wantError(t *testing.T, err error, status int, kind stripe.ErrorType, code stripe.ErrorCode, param string) {
	t.Helper()
	var e *stripe.Error
	if !errors.As(err, &e) {
		t.Fatalf("want a Stripe error %d %s, got %v", status, code, err)
	}
	if e.HTTPStatusCode != status || e.Type != kind || e.Code != code || e.Param != param || e.Msg == "" {
		t.Errorf("want %d %s code %q param %q, got %d %s code %q param %q: %s", status, kind, code, param, e.HTTPStatusCode, e.Type, e.Code, e.Param, e.Msg)
	}
}

func statePath(t *testing.T) string { return filepath.Join(t.TempDir(), "stripe", "state.jsonl") }

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: want %v, got %v", what, want, got)
	}
}

func newServer(t *testing.T, h http.HandlerFunc) *httptest.Server {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}
