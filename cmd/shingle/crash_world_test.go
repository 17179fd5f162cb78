package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stripe/stripe-go/v76"
	"github.com/uptrace/bun"

	"shingle/billing"
	"shingle/billing/stripesim"
	"shingle/internal/config"
	"shingle/internal/testkit"
	"shingle/listings"
	"shingle/tenant"
)

// asProgram makes this test binary be the program itself: what the crash tests
// kill are processes of the very code under test, its race detector included,
// and nothing has to be built for them.
const asProgram = "SHINGLE_TEST_AS_PROGRAM"

// atMost is how long anything in these tests may take before it counts as
// lost; nothing does on a machine that is not overloaded.
const atMost = 2 * time.Minute

// crashWorld is production on this machine: `serve` and `worker` as processes
// that can be killed, between a Postgres, a Redis, a Stripe and a mail server
// that live on. app is the same parts in this process, to set up and look.
type crashWorld struct {
	env           []string
	addr          string
	app           *app
	super         *sql.DB // sees through row level security, to lock rows and look
	redis         *redis.Client
	sim           *stripesim.Sim
	wire          *wire
	secret        string
	product       uuid.UUID
	ctx           context.Context // of the board
	serve, worker *process
	unplugged     atomic.Bool  // Stripe cannot reach us
	client        *http.Client // resolves every host to serve
	sold          int
}

func newCrashWorld(t testing.TB, slug string) *crashWorld {
	t.Helper()
	inFull(t)
	db, redisURL := testkit.Postgres(t), testkit.Redis(t)
	w := &crashWorld{addr: "127.0.0.1:" + freePort(), wire: startWire(t), secret: "whsec_crash", super: db.Open(t, db.Superuser, 4)}
	opt, err := redis.ParseURL(redisURL)
	if err != nil {
		t.Fatal(err)
	}
	w.redis = redis.NewClient(opt)
	t.Cleanup(func() { _ = w.redis.Close() })
	w.client = &http.Client{Timeout: atMost, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, w.addr)
		}}}
	srv := httptest.NewUnstartedServer(nil)
	w.sim = stripesim.New(stripesim.Options{BaseURL: "http://" + srv.Listener.Addr().String(), HTTP: &http.Client{Transport: roundTrip(w.deliver)}, Backoff: quickly(400),
		Endpoints: []stripesim.Endpoint{{URL: "http://platform.localhost" + billing.WebhookPath, Secret: w.secret, Connect: true},
			{URL: "http://platform.localhost" + billing.WebhookPath, Secret: w.secret}}})
	srv.Config.Handler = w.sim.Handler()
	srv.Start()
	t.Cleanup(srv.Close)
	_, port, _ := net.SplitHostPort(w.addr)
	w.env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir(), asProgram + "=1", "SHINGLE_DATA_DIR=" + t.TempDir(), "SHINGLE_LISTEN=" + w.addr,
		"SHINGLE_DATABASE_URL=" + db.App, "SHINGLE_PLATFORM_DATABASE_URL=" + db.Platform, "SHINGLE_REDIS_URL=" + redisURL, "SHINGLE_BOARD_DOMAIN=localhost",
		"SHINGLE_PUBLIC_URL=http://localhost:" + port, "SHINGLE_STRIPE_KEY=sk_test_crash", "SHINGLE_STRIPE_API_BASE=" + srv.URL, "SHINGLE_STRIPE_WEBHOOK_SECRET=" + w.secret,
		"SHINGLE_SMTP_URL=smtp://" + w.wire.addr, "SHINGLE_SECRET_KEY=" + hex.EncodeToString(bytes.Repeat([]byte("k"), 32)), "SHINGLE_DATABASE_CONNECTIONS=6", "SHINGLE_TRUSTED_PROXIES=127.0.0.1"}
	cfg, err := config.Load("serve", w.env)
	if err != nil {
		t.Fatal(err)
	}
	if w.app, err = build(t.Context(), cfg, slog.New(slog.DiscardHandler), time.Now); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.app.close)
	w.board(t, slug)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { _ = w.sim.Run(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
	w.serve, w.worker = &process{w: w, name: "serve"}, &process{w: w, name: "worker"}
	t.Cleanup(func() { w.serve.kill(t); w.worker.kill(t) })
	return w
}

// board makes the board, connects its Stripe account and gives it a product.
func (w *crashWorld) board(t testing.TB, slug string) {
	t.Helper()
	err := w.app.platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		b, err := tenant.CreateBoard(ctx, tx, tenant.NewBoard{Slug: slug, Name: "Crash Jobs", Locale: "en", Currency: "EUR", TimeZone: "UTC", ContactEmail: "desk@crash.example"}, "localhost")
		w.ctx = tenant.With(context.WithoutCancel(t.Context()), b)
		return err
	})
	if err == nil {
		_, err = w.app.billing.Onboard(w.ctx, "http://x.test/back", "http://x.test/again")
	}
	if err == nil {
		err = w.app.db.Write(w.ctx, func(ctx context.Context, tx bun.IDB) error {
			a, err := w.app.billing.Account(ctx, tx)
			if err != nil {
				return err
			}
			p := &billing.Product{Name: "Job post", Price: 19900, Currency: "EUR", DurationDays: 30, FeaturedDays: 7, Active: true}
			if err := w.app.billing.CreateProduct(ctx, tx, p); err != nil {
				return err
			}
			w.product = p.ID
			return w.sim.CompleteOnboarding(a.Account)
		})
	}
	if err == nil {
		_, err = w.app.billing.RefreshAccount(w.ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// up starts both processes, if they are not.
func (w *crashWorld) up(t testing.TB) {
	t.Helper()
	for _, p := range []*process{w.serve, w.worker} {
		p.start(t)
	}
	for _, p := range []*process{w.serve, w.worker} {
		p.ready(t)
	}
}

// process is `shingle serve` or `shingle worker`.
type process struct {
	w    *crashWorld
	name string
	cmd  *exec.Cmd
	ops  string
	said bytes.Buffer  // read it when the process has ended
	gone chan struct{} // closed then
}

func (p *process) start(t testing.TB) {
	t.Helper()
	if p.cmd != nil {
		return
	}
	p.ops = "127.0.0.1:" + freePort()
	p.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], p.name)
	p.cmd.Env = append([]string{"SHINGLE_OPS_LISTEN=" + p.ops}, p.w.env...)
	p.said.Reset()
	p.cmd.Stdout, p.cmd.Stderr = &p.said, &p.said
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", p.name, err)
	}
	cmd, gone := p.cmd, make(chan struct{})
	p.gone = gone
	go func() { defer close(gone); _ = cmd.Wait() }()
}

func (p *process) ready(t testing.TB) {
	t.Helper()
	testkit.Eventually(t, atMost, func() error {
		select {
		case <-p.gone:
			t.Fatalf("%s ended by itself:\n%s", p.name, p.said.String())
		default:
		}
		res, err := http.Get("http://" + p.ops + "/readyz")
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		defer func() { _ = res.Body.Close() }()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: /readyz says %s", p.name, res.Status)
		}
		return nil
	})
}

// kill is kill -9: nothing is closed, finished or said.
func (p *process) kill(t testing.TB) {
	t.Helper()
	if p.cmd == nil {
		return
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Errorf("killing %s: %v", p.name, err)
	}
	<-p.gone
	p.cmd = nil
	logs := new(testkit.Logs)
	for what, text := range map[string]string{"the key that signs": hex.EncodeToString(bytes.Repeat([]byte("k"), 32)), "what a listing says": "bake bread all night", "a buyer's address": "@crash.example"} {
		logs.Forbid(what, text)
	}
	_, _ = logs.Write(p.said.Bytes())
	logs.Check(t)
	if said := p.said.String(); strings.Contains(said, "DATA RACE") || strings.Contains(said, "panic") {
		t.Errorf("%s said:\n%s", p.name, said)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// deliver carries one of Stripe's webhooks to serve.
func (w *crashWorld) deliver(r *http.Request) (*http.Response, error) {
	if w.unplugged.Load() {
		return nil, errors.New("no way to the host")
	}
	return w.client.Transport.RoundTrip(r)
}

// quickly is a back-off for tests: many tries, close together.
func quickly(n int) []time.Duration {
	out := make([]time.Duration, n)
	for i := range out {
		out[i] = 100 * time.Millisecond
	}
	return out
}

// sale is one posting on its way to being live.
type sale struct {
	order, listing uuid.UUID
	word           string // in its title alone
	email, session string
	path           string // of the draft
	copies         int    // of the receipt on the wire, at least
}

// buy posts a job as a guest does, up to Stripe's checkout page.
func (w *crashWorld) buy(t testing.TB) *sale {
	t.Helper()
	w.sold++
	s := &sale{word: fmt.Sprintf("zanzibar%c%c%c", 'a'+w.sold/676%26, 'a'+w.sold/26%26, 'a'+w.sold%26), email: fmt.Sprintf("buyer%d@crash.example", w.sold), copies: 1}
	preview := w.form(t, "/post", url.Values{"title": {"Baker of " + s.word}, "company_name": {"Bread & Sons"}, "employment_type": {listings.FullTime}, "workplace": {listings.OnSite},
		"city": {"Bremen"}, "country": {"DE"}, "description": {"We bake bread all night and sell it all day, and we would like you to help us with both of it."},
		"apply_method": {listings.ApplyBoard}, "email": {s.email}})
	s.path = strings.TrimSuffix(preview, "/preview")
	checkout := w.form(t, s.path+"/products", url.Values{"product": {w.product.String()}, "terms": {"yes"}})
	w.row(t, `SELECT cs.id, o.id, o.listing_id FROM checkout_sessions cs JOIN orders o ON o.id = cs.order_id WHERE o.email = $1`, []any{s.email}, &s.session, &s.order, &s.listing)
	if !strings.Contains(checkout, s.session) {
		t.Fatalf("buying leads to %s, want the checkout %s", checkout, s.session)
	}
	return s
}

// form posts one of the board's forms and says where the answer leads.
func (w *crashWorld) form(t testing.TB, path string, v url.Values) string {
	t.Helper()
	return w.send(t, path, v).Header.Get("Location")
}

// read is what an address answers.
func (w *crashWorld) read(t testing.TB, url string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// send posts one of the board's forms; the answer leads on.
func (w *crashWorld) send(t testing.TB, path string, v url.Values) *http.Response {
	t.Helper()
	board := "http://" + tenant.From(w.ctx).CanonicalHost
	if answer := testkit.Proof(t, path, func(path string) []byte { return w.read(t, board+path) }); answer != "" {
		v.Set("proof", answer)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, board+path, strings.NewReader(v.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("X-Forwarded-For", fmt.Sprintf("10.0.%d.%d", w.sold/250, 1+w.sold%250)) // a buyer each, for the limits
	res, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusSeeOther {
		said, _ := io.ReadAll(res.Body)
		t.Fatalf("%s answers %s:\n%s", path, res.Status, said)
	}
	return res
}

// page is what one of the board's pages says.
func (w *crashWorld) page(t testing.TB, path string, cookies ...*http.Cookie) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+tenant.From(w.ctx).CanonicalHost+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cookies {
		req.AddCookie(c)
	}
	res, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	said, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s answers %s, %v, to %s:\n%s", path, res.Status, err, res.Header.Get("Location"), said)
	}
	return string(said)
}

// comeBack is the buyer's browser on its way back from Stripe; its error when
// nobody answers.
func (w *crashWorld) comeBack(s *sale) error {
	res, err := w.client.Get("http://" + tenant.From(w.ctx).CanonicalHost + s.path + "/return?session_id=" + s.session)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the return page answers %s", res.Status)
	}
	return nil
}

// pay takes the buyer's card at Stripe, which tells serve.
func (w *crashWorld) pay(t testing.TB, s *sale) {
	t.Helper()
	if err := w.sim.Pay(s.session, stripesim.CardOK); err != nil {
		t.Fatal(err)
	}
}

// charge is the Stripe id of what the buyer paid.
func (w *crashWorld) charge(t testing.TB, s *sale) string {
	t.Helper()
	var account string
	w.row(t, `SELECT stripe_account FROM orders WHERE id = $1`, []any{s.order}, &account)
	p := &stripe.CheckoutSessionParams{}
	p.SetStripeAccount(account)
	p.AddExpand("payment_intent")
	cs, err := billing.NewStripe(w.app.cfg.StripeKey, w.app.cfg.StripeAPIBase, nil).CheckoutSessions.Get(s.session, p)
	if err != nil || cs.PaymentIntent == nil || cs.PaymentIntent.LatestCharge == nil {
		t.Fatalf("the payment of %s: %v", s.session, err)
	}
	return cs.PaymentIntent.LatestCharge.ID
}

func (w *crashWorld) row(t testing.TB, q string, args []any, dest ...any) {
	t.Helper()
	if err := w.super.QueryRowContext(t.Context(), q, args...).Scan(dest...); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
}

// hold takes a lock that a process will run into, and gives it back when the
// returned function is called.
func (w *crashWorld) hold(t testing.TB, lock string, args ...any) (release func()) {
	t.Helper()
	tx, err := w.super.BeginTx(t.Context(), nil)
	if err == nil {
		_, err = tx.ExecContext(t.Context(), lock, args...)
	}
	if err != nil {
		t.Fatalf("%s: %v", lock, err)
	}
	var once sync.Once
	release = func() { once.Do(func() { _ = tx.Rollback() }) }
	t.Cleanup(release)
	return release
}

// blocked waits until a statement that holds the words waits for a lock.
func (w *crashWorld) blocked(t testing.TB, words string) {
	t.Helper()
	testkit.Eventually(t, atMost, func() error {
		var n int
		err := w.super.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query ILIKE '%' || $1 || '%'`, words).Scan(&n)
		if err == nil && n == 0 {
			err = fmt.Errorf("nobody waits with %q", words)
		}
		return err
	})
}

// leasesEnd is the quarter of a minute that a dead worker's tasks stay its own,
// gone by at once. Only while no worker runs.
func (w *crashWorld) leasesEnd(t testing.TB) {
	t.Helper()
	if w.worker.cmd != nil {
		t.Fatal("a worker still holds its leases")
	}
	if _, err := w.super.ExecContext(t.Context(), `UPDATE tasks SET lease_until = now() - interval '1 second' WHERE lease_until IS NOT NULL`); err != nil {
		t.Fatal(err)
	}
}

// drained waits until each of Stripe's webhooks had its 200.
func (w *crashWorld) drained(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), atMost)
	defer cancel()
	if err := w.sim.Drained(ctx); err != nil {
		t.Fatalf("Stripe still has events to deliver: %v", err)
	}
}

// settled waits until nothing is left to do but what comes back by schedule.
func (w *crashWorld) settled(t testing.TB) {
	t.Helper()
	testkit.Eventually(t, atMost, func() error {
		var left string
		err := w.super.QueryRowContext(t.Context(), `SELECT coalesce(string_agg(kind || ' ' || last_error, ', '), '') FROM tasks WHERE every IS NULL AND run_at < now() + interval '1 hour'`).Scan(&left)
		if err == nil && left != "" {
			err = errors.New("still to do: " + left)
		}
		return err
	})
}

// post brings an event to serve as Stripe would.
func (w *crashWorld) post(e stripesim.Event) error {
	req, err := http.NewRequest(http.MethodPost, "http://platform.localhost"+billing.WebhookPath, bytes.NewReader(e.Payload))
	if err != nil {
		return err
	}
	req.Header.Set("Stripe-Signature", stripesim.Sign(e.Payload, w.secret, time.Now()))
	res, err := w.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the webhook answers %s", res.Status)
	}
	return nil
}

// end is what a sale leaves behind.
type end struct {
	Order, Listing          string
	WentLive, Entitled      int
	Receipts, SentReceipts  int
	Buyer, Unbalanced       int64
	Unread                  int // stored events without an outcome
	Found                   int // times on the search page
	MessageIDs, WiredCopies int
}

// endOf waits for the end of all work and says what there is of the sale.
func (w *crashWorld) endOf(t testing.TB, s *sale) (e end) {
	t.Helper()
	if !w.unplugged.Load() {
		w.drained(t)
	}
	w.settled(t)
	w.row(t, `SELECT o.state, l.state,
		(SELECT count(*) FROM listing_moves m WHERE m.listing_id = l.id AND m.to_state = 'live'),
		(SELECT count(*) FROM entitlements n WHERE n.order_id = o.id AND n.revoked_at IS NULL),
		(SELECT count(*) FROM mails WHERE kind = 'receipt' AND key = o.id::text),
		(SELECT count(*) FROM mails WHERE kind = 'receipt' AND key = o.id::text AND state = 'sent'),
		(SELECT coalesce(sum(amount), 0) FROM ledger_entries WHERE order_id = o.id AND account = 'buyer' AND amount < 0),
		(SELECT count(*) FROM (SELECT FROM ledger_entries GROUP BY tenant_id, currency HAVING sum(amount) <> 0) AS x),
		(SELECT count(*) FROM stripe_events WHERE state = 'received')
		FROM orders o JOIN listings l ON l.id = o.listing_id WHERE o.id = $1`, []any{s.order},
		&e.Order, &e.Listing, &e.WentLive, &e.Entitled, &e.Receipts, &e.SentReceipts, &e.Buyer, &e.Unbalanced, &e.Unread)
	e.MessageIDs, e.WiredCopies = w.wire.receipts(s.email)
	// What a seeker sees, from serve.
	testkit.Eventually(t, atMost, func() error {
		res, err := w.client.Get("http://" + tenant.From(w.ctx).CanonicalHost + "/jobs?q=" + s.word)
		if err != nil {
			return err
		}
		defer func() { _ = res.Body.Close() }()
		page, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			return fmt.Errorf("the search page answers %s: %w", res.Status, err)
		}
		e.Found = strings.Count(string(page), "Baker of "+s.word)
		if e.Found == 0 && e.Listing == "live" {
			return errors.New("a live listing is not found")
		}
		return nil
	})
	return e
}

// liveOnce fails unless the sale ended as every sale does.
func (w *crashWorld) liveOnce(t testing.TB, s *sale) {
	t.Helper()
	got := w.endOf(t, s)
	if got.WiredCopies < s.copies {
		t.Errorf("%d copies of the receipt on the wire, want %d at least", got.WiredCopies, s.copies)
	}
	got.WiredCopies = 0
	want := end{Order: "paid", Listing: "live", WentLive: 1, Entitled: 2, Receipts: 1, SentReceipts: 1, Buyer: -19900, Found: 1, MessageIDs: 1}
	if got != want {
		t.Errorf("the sale ended as\n%+v, want\n%+v", got, want)
	}
}
