package plans

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"
	"github.com/stripe/stripe-go/v76/webhook"
	"github.com/uptrace/bun"

	"shingle/billing"
	"shingle/billing/stripesim"
	"shingle/internal/fault"
	"shingle/internal/links"
	"shingle/internal/testkit"
	"shingle/listings"
	"shingle/tasks"
	"shingle/tenant"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const testSecret = "whsec_test"

// world is a platform that sells three plans, with a board and Stripe beside it.
// Its clock is moved together with Stripe's.
type world struct {
	*testkit.World
	s     *Service
	inbox *billing.Service
	mux   *tasks.Mux
	sim   *stripesim.Sim
	board *tenant.Tenant
	ctx   context.Context
	seen  map[string]bool
	api   *client.API
	// testClock is Stripe's, when the board's customer lives in one.
	testClock string

	small, middle, large *Plan

	mu       sync.Mutex
	now      time.Time
	requests []request
}

type request struct{ method, uri, body string }

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{World: testkit.NewWorld(t), seen: map[string]bool{}, now: time.Now().UTC().Truncate(time.Second)}
	srv := httptest.NewUnstartedServer(nil)
	w.sim = stripesim.New(stripesim.Options{BaseURL: "http://" + srv.Listener.Addr().String()})
	srv.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		w.mu.Lock()
		w.requests = append(w.requests, request{r.Method, r.URL.RequestURI(), string(body)})
		w.mu.Unlock()
		w.sim.Handler().ServeHTTP(rw, r)
	})
	srv.Start()
	t.Cleanup(srv.Close)
	l := links.Links{Scheme: "http", Port: ":8080", PlatformHost: "platform.localhost", BoardDomain: "localhost"}
	api := billing.NewStripe("sk_test_1", srv.URL, nil)
	w.api = api
	w.s = New(Options{DB: w.DB, Platform: w.Platform, Links: l, Stripe: api, Now: w.clock})
	w.inbox = billing.New(billing.Options{DB: w.DB, Platform: w.Platform, Listings: listings.NewStore(l), Links: l, Stripe: api, Secrets: []string{testSecret}, Plans: w.s.Hook()})
	w.mux = tasks.NewMux()
	w.inbox.Register(w.mux)
	w.small, w.middle, w.large = w.plan(t, "Small", 2900, 29000, Limits{Listings: 2, Seats: 2, Mails: 100}), w.plan(t, "Middle", 7900, 79000, Limits{Listings: 50, Seats: 5}),
		w.plan(t, "Large", 19900, 199000, Limits{})
	w.board = w.newBoard(t, "acme")
	w.ctx = w.Ctx(t, w.board)
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// plan makes an offered plan; each costs the board a tenth less of its sales.
func (w *world) plan(t *testing.T, name string, month, year int64, l Limits) *Plan {
	t.Helper()
	p := &Plan{Name: name, Tagline: map[string]string{"en": name}, FeeRule: billing.FeeRule{PercentBP: 1000 - int64(len(name))}, Limits: l, Features: []string{CustomDomain}, TrialDays: 14,
		Position: int(month), Listed: true, Prices: []Price{{Every: Month, Currency: "USD", Amount: month, Current: true}, {Every: Year, Currency: "USD", Amount: year, Current: true},
			{Every: Month, Currency: "EUR", Amount: month, Current: true}}}
	w.staff(t, func(ctx context.Context, tx bun.IDB) error { return w.s.Save(ctx, tx, p) })
	return p
}

// newBoard is a board with an owner, at the beginning of its trial.
func (w *world) newBoard(t *testing.T, slug string) *tenant.Tenant {
	t.Helper()
	b := w.Board(t, slug)
	w.staff(t, func(ctx context.Context, tx bun.IDB) error {
		id := uuid.New()
		if _, err := tx.NewRaw(`INSERT INTO operators (id, email, locale) VALUES (?, ?, 'en')`, id, "owner@"+slug+".example").Exec(ctx); err != nil {
			return err
		}
		if _, err := tx.NewRaw(`INSERT INTO casbin_rules (tenant_id, id, ptype, v0, v1, v2) VALUES (?, ?, 'g', ?, 'owner', ?)`, b.ID, uuid.New(), id.String(), b.ID.String()).Exec(ctx); err != nil {
			return err
		}
		return w.s.Begin(ctx, tx, b.ID)
	})
	return b
}

func (w *world) staff(t *testing.T, fn tenant.Fn) {
	t.Helper()
	if err := w.Platform.Write(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func (w *world) price(t *testing.T, p *Plan, every string) uuid.UUID {
	t.Helper()
	var q *Price
	w.staff(t, func(ctx context.Context, tx bun.IDB) error {
		fresh, err := w.s.Plan(ctx, tx, p.ID)
		if err == nil {
			q = fresh.Price(every, "USD")
		}
		return err
	})
	return q.ID
}

// now is the board's row.
func (w *world) row(t *testing.T) *Board {
	t.Helper()
	var b *Board
	err := w.DB.Read(w.ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		b, err = w.s.BoardOf(ctx, tx, w.board.ID)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// session is the newest open checkout.
func (w *world) session(t *testing.T) string {
	t.Helper()
	id := w.row(t).Checkout
	if id == "" {
		t.Fatal("no checkout is open")
	}
	return id
}

// subscribe opens a checkout and pays it.
func (w *world) subscribe(t *testing.T, p *Plan, every string) {
	t.Helper()
	if _, err := w.s.Subscribe(w.ctx, w.board.ID, w.price(t, p, every), "http://x.test/ok", "http://x.test/back"); err != nil {
		t.Fatal(err)
	}
	if err := w.sim.Pay(w.session(t), stripesim.CardOK); err != nil {
		t.Fatal(err)
	}
	w.deliver(t)
}

// heard are the events that say something new of a plan.
var heard = []string{"customer.subscription.created", "customer.subscription.updated", "customer.subscription.deleted", "customer.subscription.trial_will_end", "invoice.finalized", "invoice.paid",
	"invoice.payment_failed", "subscription_schedule.updated", "subscription_schedule.released", "checkout.session.completed"}

// events are those not delivered yet that our endpoint listens to.
func (w *world) events(t *testing.T) (out []stripesim.Event) {
	t.Helper()
	for _, e := range w.sim.Events() {
		if e.Account == "" && !w.seen[e.ID] && slices.Contains(heard, e.Type) {
			out = append(out, e)
		}
	}
	return out
}

func (w *world) receive(t *testing.T, e stripesim.Event) {
	t.Helper()
	signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: e.Payload, Secret: testSecret})
	if err := w.inbox.Receive(t.Context(), signed.Payload, signed.Header); err != nil {
		t.Fatal(err)
	}
	w.seen[e.ID] = true
}

// deliver brings all new events and applies them.
func (w *world) deliver(t *testing.T) {
	t.Helper()
	for _, e := range w.events(t) {
		w.receive(t, e)
	}
	w.work(t)
}

func (w *world) work(t *testing.T) {
	t.Helper()
	var due []*tasks.Task
	w.staff(t, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`UPDATE tasks SET handover = handover + 1, lease_until = now() + interval '15 seconds' WHERE kind = 'billing.event'
			RETURNING tenant_id, id, kind, queue, version, payload, handover`).Scan(ctx, &due)
	})
	for _, task := range due {
		b, err := w.Boards.ByID(t.Context(), task.TenantID)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.mux.Run(tenant.With(t.Context(), b), task); err != nil && !fault.Is(err, fault.Gone) {
			t.Fatalf("%s: %v", task.Kind, err)
		}
	}
}

// freeze makes the board's customer in a test clock of Stripe's, at this time.
func (w *world) freeze(t *testing.T) {
	t.Helper()
	c, err := w.api.TestHelpersTestClocks.New(&stripe.TestHelpersTestClockParams{FrozenTime: stripe.Int64(w.clock().Unix()), Name: stripe.String(t.Name())})
	if err != nil {
		t.Fatal(err)
	}
	cus, err := w.api.Customers.New(&stripe.CustomerParams{Name: stripe.String(w.board.Name), TestClock: stripe.String(c.ID)})
	if err != nil {
		t.Fatal(err)
	}
	w.testClock = c.ID
	w.staff(t, func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`UPDATE board_plans SET customer = ? WHERE tenant_id = ?`, cus.ID, w.board.ID).Exec(ctx)
		return err
	})
}

// advance moves Stripe's time: by its API where a test clock holds the customer.
func (w *world) advance(t *testing.T, to time.Time) {
	t.Helper()
	if w.testClock == "" {
		if err := w.sim.Advance(to); err != nil {
			t.Fatal(err)
		}
		return
	}
	clocks := w.api.TestHelpersTestClocks
	c, err := clocks.Advance(w.testClock, &stripe.TestHelpersTestClockAdvanceParams{FrozenTime: stripe.Int64(to.Unix())})
	for err == nil && c.Status == stripe.TestHelpersTestClockStatusAdvancing {
		c, err = clocks.Get(w.testClock, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// to moves both clocks on, a day at a time, with the ladder walked each day.
func (w *world) to(t *testing.T, at time.Time) {
	t.Helper()
	for {
		next := w.clock().Add(day)
		if next.After(at) {
			next = at
		}
		w.mu.Lock()
		w.now = next
		w.mu.Unlock()
		w.advance(t, next)
		w.deliver(t)
		if err := w.s.WalkLadder(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !next.Before(at) {
			return
		}
	}
}

func (w *world) pass(t *testing.T, days int) {
	t.Helper()
	w.to(t, w.clock().Add(time.Duration(days)*day))
}

type sent struct {
	Kind string `bun:"kind"`
	Data string `bun:"data"`
}

// mails are the platform's mails of plans since the last call, as "kind detail".
func (w *world) mails(t *testing.T) (out []string) {
	t.Helper()
	var rows []sent
	w.staff(t, func(ctx context.Context, tx bun.IDB) error {
		err := tx.NewRaw(`SELECT kind, coalesce(payload->'data'->>'Step', payload->'data'->>'Did', payload->'data'->>'What', '') AS data FROM mails
			WHERE kind LIKE 'plan-%' AND state = 'queued' ORDER BY created_at, id`).Scan(ctx, &rows)
		if err != nil {
			return err
		}
		_, err = tx.NewRaw(`UPDATE mails SET state = 'sent' WHERE kind LIKE 'plan-%'`).Exec(ctx)
		return err
	})
	for _, r := range rows {
		out = append(out, strings.TrimSpace(strings.TrimPrefix(r.Kind, "plan-")+" "+r.Data))
	}
	return out
}

func (w *world) wantMails(t *testing.T, when string, want ...string) {
	t.Helper()
	got := w.mails(t)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: mails %q, want %q", when, got, want)
	}
}

func (w *world) want(t *testing.T, when string, state State, step Step, p *Plan) {
	t.Helper()
	b := w.row(t)
	if b.State != state || b.Step != step || b.PlanID != p.ID {
		t.Errorf("%s: %s at step %q, want %s at %q; on the plan wanted: %v", when, b.State, b.Step, state, step, b.PlanID == p.ID)
	}
	var shown string
	w.staff(t, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT plan_step FROM boards WHERE id = ?`, w.board.ID).Scan(ctx, &shown)
	})
	if shown != string(step) {
		t.Errorf("%s: requests see the step %q, want %q", when, shown, step)
	}
}

func wantKind(t *testing.T, err error, k fault.Kind) {
	t.Helper()
	if !fault.Is(err, k) {
		t.Errorf("error %v is of kind %v, want %v", err, fault.KindOf(err), k)
	}
}
