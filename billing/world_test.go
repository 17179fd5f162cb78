package billing

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76/webhook"
	"github.com/uptrace/bun"

	"shingle/billing/stripesim"
	"shingle/internal/fault"
	"shingle/internal/links"
	"shingle/internal/testkit"
	"shingle/listings"
	"shingle/tasks"
	"shingle/tenant"
)

const testSecret = "whsec_test"

// world is a board that sells, with Stripe beside it.
type world struct {
	*testkit.World
	s     *Service
	sim   *stripesim.Sim
	board *tenant.Tenant
	ctx   context.Context
	seen  map[string]bool // events delivered

	mu       sync.Mutex
	requests []request // all that we asked of Stripe
}

// request is one call of Stripe's API as it went over the wire.
type request struct{ method, uri, body string }

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{World: testkit.NewWorld(t), seen: map[string]bool{}}
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
	desk := func(_ context.Context, _ bun.IDB, email string) (string, time.Duration, error) {
		return "http://acme.localhost:8080/sign-in/link?token=for-" + email, 7 * 24 * time.Hour, nil
	}
	w.s = New(Options{DB: w.DB, Platform: w.Platform, Listings: listings.NewStore(l), Links: l, DeskLink: desk,
		Stripe: NewStripe("sk_test_1", srv.URL, nil), Secrets: []string{"whsec_old", testSecret}})
	w.board = w.Board(t, "acme")
	w.ctx = w.Ctx(t, w.board)
	return w
}

// sell connects the board's account and finishes Stripe's form.
func (w *world) sell(t *testing.T) *Account {
	t.Helper()
	if _, err := w.s.Onboard(w.ctx, "http://x.test/back", "http://x.test/again"); err != nil {
		t.Fatal(err)
	}
	var a *Account
	w.read(t, func(ctx context.Context, tx bun.IDB) (err error) { a, err = w.s.Account(ctx, tx); return err })
	if err := w.sim.CompleteOnboarding(a.Account); err != nil {
		t.Fatal(err)
	}
	a, err := w.s.RefreshAccount(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// destination makes the board one of destination charges; before sell.
func (w *world) destination(t *testing.T) {
	t.Helper()
	err := w.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error { return SetChargeMode(ctx, tx, w.board.ID, Destination) })
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) read(t *testing.T, fn tenant.Fn) {
	t.Helper()
	if err := w.DB.Read(w.ctx, fn); err != nil {
		t.Fatal(err)
	}
}

func (w *world) write(t *testing.T, fn tenant.Fn) {
	t.Helper()
	if err := w.DB.Write(w.ctx, fn); err != nil {
		t.Fatal(err)
	}
}

func (w *world) product(t *testing.T, price int64, currency string) *Product {
	t.Helper()
	p := &Product{Name: "Job post", Price: price, Currency: currency, DurationDays: 30, FeaturedDays: 7, Active: true}
	w.write(t, func(ctx context.Context, tx bun.IDB) error { return w.s.CreateProduct(ctx, tx, p) })
	return p
}

func (w *world) listing(t *testing.T) *listings.Listing {
	t.Helper()
	var l *listings.Listing
	w.write(t, func(ctx context.Context, tx bun.IDB) (err error) {
		l, err = w.s.listings.Create(ctx, tx, listings.Content{Title: "Baker", Company: "Bread & Sons", EmploymentType: listings.FullTime,
			Workplace: listings.OnSite, Description: "<p>Bake.</p>", ApplyMethod: listings.ApplyBoard}, listings.Owner{Source: listings.FromEmployer})
		if err == nil {
			l, err = w.s.listings.Submit(ctx, tx, l.ID)
		}
		return err
	})
	return l
}

func (w *world) place(t *testing.T, l *listings.Listing, p *Product) *Order {
	t.Helper()
	var o *Order
	w.write(t, func(ctx context.Context, tx bun.IDB) (err error) {
		o, err = w.s.PlaceOrder(ctx, tx, NewOrder{ListingID: l.ID, ProductID: p.ID, Email: "buyer@example.test", TermsVersion: "terms/1", TermsAddress: "192.0.2.1"})
		return err
	})
	return o
}

// open opens a checkout and says its session.
func (w *world) open(t *testing.T, o *Order) string {
	t.Helper()
	if _, err := w.s.Checkout(w.ctx, o.ID, "http://acme.localhost:8080/done", "http://acme.localhost:8080/back"); err != nil {
		t.Fatal(err)
	}
	var open []Session
	w.read(t, func(ctx context.Context, tx bun.IDB) (err error) { open, err = openSessions(ctx, tx, o.ID); return err })
	if len(open) != 1 {
		t.Fatalf("open sessions: %d, want 1", len(open))
	}
	return open[0].ID
}

func (w *world) pay(t *testing.T, session, card string) {
	t.Helper()
	if err := w.sim.Pay(session, card); err != nil {
		t.Fatal(err)
	}
}

// fresh are the events that were not delivered yet and are of a kind we listen to.
func (w *world) fresh() (out []stripesim.Event) {
	for _, e := range w.sim.Events() {
		wanted := platformEvents
		if e.Account != "" {
			wanted = accountEvents
		}
		for _, k := range wanted {
			if k == e.Type && !w.seen[e.ID] {
				out = append(out, e)
			}
		}
	}
	return out
}

func (w *world) receive(t *testing.T, e stripesim.Event) {
	t.Helper()
	signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: e.Payload, Secret: testSecret})
	if err := w.s.Receive(t.Context(), signed.Payload, signed.Header); err != nil {
		t.Fatal(err)
	}
	w.seen[e.ID] = true
}

// deliver brings all new events and does the work that follows.
func (w *world) deliver(t *testing.T) {
	t.Helper()
	for {
		fresh := w.fresh()
		for _, e := range fresh {
			w.receive(t, e)
		}
		if w.work(t) == 0 && len(fresh) == 0 {
			return
		}
	}
}

func (w *world) handlers() map[string]tasks.Handler {
	return map[string]tasks.Handler{TaskEvent: w.s.eventTask, TaskExpire: w.s.expireTask, TaskRefund: w.s.refundTask, TaskFeeBack: w.s.feeBackTask,
		TaskSettle: w.s.settleTask, TaskSweep: w.s.sweepTask, TaskReconcile: w.s.reconcileTask, TaskReconcileBoard: w.s.reconcileBoardTask}
}

// due hands over every waiting task of ours, as the relay would.
func (w *world) due(t *testing.T) []*tasks.Task {
	t.Helper()
	var out []*tasks.Task
	err := w.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`UPDATE tasks SET handover = handover + 1, lease_until = now() + interval '15 seconds'
			WHERE kind LIKE 'billing.%' RETURNING tenant_id, id, kind, queue, version, payload, handover, extract(epoch FROM every)::float8 AS every_seconds`).Scan(ctx, &out)
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// work runs what is due, until nothing is, and says how many there were.
func (w *world) work(t *testing.T) (n int) {
	t.Helper()
	for range 20 {
		due := w.due(t)
		if len(due) == 0 {
			return n
		}
		for _, task := range due {
			n++
			ctx := t.Context()
			if !task.TenantID.IsNil() {
				b, err := w.Boards.ByID(ctx, task.TenantID)
				if err != nil {
					t.Fatal(err)
				}
				ctx = tenant.With(ctx, b)
			}
			if err := w.handlers()[task.Kind](ctx, task); err != nil && !fault.Is(err, fault.Gone) {
				t.Fatalf("%s: %v", task.Kind, err)
			}
		}
	}
	t.Fatal("the tasks never end")
	return n
}

// end is everything that a payment leaves behind, for comparing.
type end struct {
	Order        OrderState
	Listing      listings.State
	Entitlements int // not revoked
	Moves        int // times it went live
	Receipts     int
	RefundMails  int
	Duplicates   int // mails of sent-back second payments
	Refunds      int
	Tasks        int
	Ledger       map[string]int64
	Unbalanced   int
}

func (w *world) end(t *testing.T, o *Order) end {
	t.Helper()
	e := end{Ledger: map[string]int64{}}
	w.read(t, func(ctx context.Context, tx bun.IDB) error {
		now, err := w.s.Order(ctx, tx, o.ID)
		if err != nil {
			return err
		}
		e.Order = now.State
		l, err := w.s.listings.ByID(ctx, tx, o.ListingID)
		if err != nil {
			return err
		}
		e.Listing = l.State
		err = tx.NewRaw(`SELECT
			(SELECT count(*) FROM entitlements WHERE revoked_at IS NULL AND order_id = ?0),
			(SELECT count(*) FROM listing_moves WHERE to_state = 'live' AND listing_id = ?1),
			(SELECT count(*) FROM mails WHERE kind = 'receipt' AND key = ?0::text),
			(SELECT count(*) FROM mails WHERE kind = 'refund' AND key = ?0::text),
			(SELECT count(*) FROM mails WHERE kind = 'duplicate-refunded'),
			(SELECT count(*) FROM refunds WHERE state = 'succeeded' AND order_id = ?0),
			(SELECT count(*) FROM tasks WHERE kind LIKE 'billing.%')`, o.ID, o.ListingID).
			Scan(ctx, &e.Entitlements, &e.Moves, &e.Receipts, &e.RefundMails, &e.Duplicates, &e.Refunds, &e.Tasks)
		if err != nil {
			return err
		}
		entries, err := w.s.EntriesOf(ctx, tx, o.ID)
		for _, le := range entries {
			e.Ledger[le.Account+" "+le.Currency] += le.Amount
		}
		if err != nil {
			return err
		}
		bad, err := w.s.Unbalanced(ctx, tx)
		e.Unbalanced = len(bad)
		return err
	})
	return e
}

func wantKind(t *testing.T, err error, k fault.Kind) {
	t.Helper()
	if !fault.Is(err, k) {
		t.Errorf("error %v is of kind %v, want %v", err, fault.KindOf(err), k)
	}
}

// openDelayed opens a checkout that takes bank debits too, which the owner
// switches on in Stripe's dashboard: the parameters are ours but for that.
func (w *world) openDelayed(t *testing.T, o *Order) string {
	t.Helper()
	o.Attempt++
	p := w.s.sessionParams(w.ctx, o, "http://acme.localhost/done", "http://acme.localhost/back")
	card, debit := "card", "us_bank_account"
	p.PaymentMethodTypes = []*string{&card, &debit}
	made, err := w.s.stripe.CheckoutSessions.New(p)
	if err != nil {
		t.Fatal(err)
	}
	expires := time.Unix(made.ExpiresAt, 0)
	w.write(t, func(ctx context.Context, tx bun.IDB) error {
		if _, err := tx.NewUpdate().Model(o).Column("attempt").Where("id = ?", o.ID).Exec(ctx); err != nil {
			return err
		}
		_, err := tx.NewInsert().Model(&Session{ID: made.ID, OrderID: o.ID, Attempt: o.Attempt, State: "open", URL: made.URL, CreatedAt: w.s.now(), ExpiresAt: &expires}).Exec(ctx)
		return err
	})
	return made.ID
}
