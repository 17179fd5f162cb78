package main

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"shingle/internal/testkit"
)

// TestKilledBetweenWebhookAndPublication ends serve or worker with kill -9 at
// each point of a sale's way, and wants every sale to end like one that nothing
// happened to. A lock that the test holds makes the points exact: the process
// is inside that very statement when it dies.
func TestKilledBetweenWebhookAndPublication(t *testing.T) {
	t.Parallel()
	w := newCrashWorld(t, "crash")
	w.up(t)
	// noWorker ends the worker, and with it what it held.
	noWorker := func(t *testing.T) {
		t.Helper()
		w.worker.kill(t)
		w.leasesEnd(t)
	}
	workerDies := func(t *testing.T, release func()) {
		t.Helper()
		w.worker.kill(t)
		release()
		w.leasesEnd(t)
		w.up(t)
	}
	stored := func(t *testing.T, s *sale) {
		t.Helper()
		w.pay(t, s)
		w.drained(t)
	}
	inside := func(lock, words string, id func(*sale) any) func(*testing.T, *sale) {
		return func(t *testing.T, s *sale) {
			var args []any
			if id != nil {
				args = []any{id(s)}
			}
			release := w.hold(t, lock, args...)
			w.pay(t, s)
			w.blocked(t, words)
			workerDies(t, release)
		}
	}
	for _, at := range []struct {
		name string
		die  func(*testing.T, *sale)
	}{
		{"serve, while it stores the event", func(t *testing.T, s *sale) {
			release := w.hold(t, `LOCK TABLE stripe_events IN EXCLUSIVE MODE`)
			w.pay(t, s)
			w.blocked(t, "INSERT INTO stripe_events")
			w.serve.kill(t)
			release()
			w.up(t)
		}},
		{"serve, between the event and its task", func(t *testing.T, s *sale) {
			noWorker(t) // which would run into the lock first
			release := w.hold(t, `LOCK TABLE tasks IN EXCLUSIVE MODE`)
			w.pay(t, s)
			w.blocked(t, "INSERT INTO tasks")
			w.serve.kill(t)
			release()
			w.up(t)
		}},
		{"both, as soon as the webhook was answered", func(t *testing.T, s *sale) {
			noWorker(t)
			stored(t, s)
			w.serve.kill(t)
			w.up(t)
		}},
		{"serve, while the buyer comes back", func(t *testing.T, s *sale) {
			noWorker(t)
			w.unplugged.Store(true)
			release := w.hold(t, `SELECT FROM orders WHERE id = $1 FOR UPDATE`, s.order)
			w.pay(t, s)
			var away sync.WaitGroup
			away.Go(func() {
				if w.comeBack(s) == nil {
					t.Error("somebody answered the buyer")
				}
			})
			w.blocked(t, `"orders"`)
			w.serve.kill(t)
			away.Wait()
			release()
			w.unplugged.Store(false)
			w.up(t)
		}},
		{"worker, before it has the order", inside(`SELECT FROM orders WHERE id = $1 FOR UPDATE`, `"orders"`, func(s *sale) any { return s.order })},
		{"worker, between order and entitlement", inside(`LOCK TABLE entitlements IN EXCLUSIVE MODE`, `entitlements`, nil)},
		{"worker, between entitlement and listing", inside(`SELECT FROM listings WHERE id = $1 FOR UPDATE`, `listings`, func(s *sale) any { return s.listing })},
		{"worker, between listing and receipt", inside(`LOCK TABLE mails IN EXCLUSIVE MODE`, `INSERT INTO mails`, nil)},
		{"worker, between receipt and ledger", inside(`LOCK TABLE ledger_entries IN EXCLUSIVE MODE`, `ledger_entries`, nil)},
		{"worker, between the sale and the event's mark", func(t *testing.T, s *sale) {
			noWorker(t)
			stored(t, s)
			release := w.hold(t, `SELECT FROM stripe_events FOR UPDATE`)
			w.up(t)
			w.blocked(t, `UPDATE stripe_events`)
			workerDies(t, release)
		}},
		{"worker, while it indexes the listing", inside(`LOCK TABLE search_documents IN EXCLUSIVE MODE`, `search_documents`, nil)},
		{"worker, before the mail is on the wire", func(t *testing.T, s *sale) {
			g := w.wire.hold(t, "mail")
			w.pay(t, s)
			g.reach(t)
			workerDies(t, func() { w.wire.release("mail") })
		}},
		{"worker, when the mail is sent and it does not know yet", func(t *testing.T, s *sale) {
			g := w.wire.hold(t, "receipt")
			w.pay(t, s)
			g.reach(t)
			workerDies(t, func() { w.wire.release("receipt") })
			s.copies = 2
		}},
		{"worker, between the mail and its record", func(t *testing.T, s *sale) {
			g := w.wire.hold(t, "receipt")
			w.pay(t, s)
			g.reach(t)
			release := w.hold(t, `LOCK TABLE mails IN EXCLUSIVE MODE`)
			w.wire.release("receipt")
			w.blocked(t, `UPDATE mails`)
			workerDies(t, release)
			s.copies = 2
		}},
	} {
		if !t.Run(at.name, func(t *testing.T) {
			s := w.buy(t)
			at.die(t, s)
			w.liveOnce(t, s)
		}) {
			return // what follows would only fail with it
		}
	}
}

// The same events five times each, in every order, all at once, by real HTTP:
// a sale ends like any other. Stripe's own deliveries come on top.
func TestEventsManyTimesAndInAnyOrder(t *testing.T) {
	t.Parallel()
	w := newCrashWorld(t, "events")
	w.up(t)
	w.unplugged.Store(true)
	known := len(w.sim.Events())
	kept, refunded := w.buy(t), w.buy(t)
	w.pay(t, kept)
	w.pay(t, refunded)
	if err := w.sim.RefundFromDashboard(w.charge(t, refunded), 0); err != nil {
		t.Fatal(err)
	}
	events := w.sim.Events()[known:]
	slices.Reverse(events) // the last one first
	var posting errgroup.Group
	for range 5 {
		for _, e := range events {
			posting.Go(func() error { return w.post(e) })
		}
	}
	if err := posting.Wait(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		w.liveOnce(t, kept)
		got := w.endOf(t, refunded)
		got.WiredCopies = 0
		want := end{Order: "refunded", Listing: "expired", WentLive: 1, Receipts: 1, SentReceipts: 1, Buyer: -19900, MessageIDs: 1}
		if got != want {
			t.Errorf("the refunded sale ended as\n%+v, want\n%+v", got, want)
		}
		w.unplugged.Store(false)
	}
}

// Redis forgets everything while tasks are waiting in it and one is at work:
// all of them still happen, the forgotten ones when their leases end.
func TestRedisForgetsTasksUnderWay(t *testing.T) {
	t.Parallel()
	w := newCrashWorld(t, "forgetful")
	w.env = append(w.env, "SHINGLE_WORKERS=1")
	w.up(t)
	sales := []*sale{w.buy(t), w.buy(t), w.buy(t), w.buy(t)}
	// The one worker is inside the first sale; the others' tasks queue up in Redis.
	release := w.hold(t, `SELECT FROM orders WHERE id = $1 FOR UPDATE`, sales[0].order)
	w.pay(t, sales[0])
	w.blocked(t, `"orders"`)
	for _, s := range sales[1:] {
		w.pay(t, s)
	}
	testkit.Eventually(t, atMost, func() error {
		n, err := w.redis.LLen(t.Context(), "asynq:{critical}:pending").Result()
		if err == nil && n < int64(len(sales)-1) {
			err = fmt.Errorf("%d tasks wait in Redis", n)
		}
		return err
	})
	if err := w.redis.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	release()
	for _, s := range sales {
		w.liveOnce(t, s)
	}
}

// The receipt's one link signs the buyer in, by a button and once, and nothing
// of it is kept; a second try leads to the page that sends another.
func TestTheReceiptOpensTheDesk(t *testing.T) {
	t.Parallel()
	w := newCrashWorld(t, "desk")
	w.up(t)
	s := w.buy(t)
	w.pay(t, s)
	w.liveOnce(t, s)
	receipt := w.wire.receipt(s.email)
	_, link, found := strings.Cut(receipt, "Open your desk:\n")
	if !found {
		t.Fatalf("the receipt has no link to the desk:\n%s", receipt)
	}
	link, _, _ = strings.Cut(link, "\n")
	u, err := url.Parse(strings.TrimSpace(link))
	if err != nil || u.Hostname() != "desk.localhost" || !strings.Contains(receipt, "Invoice") {
		t.Fatalf("the receipt says:\n%s", receipt)
	}
	token := u.Query().Get("token")
	for range 2 { // mail scanners look first
		if page := w.page(t, u.RequestURI()); !strings.Contains(page, `value="`+token+`"`) || !strings.Contains(page, "<button") {
			t.Fatalf("the link shows no button:\n%s", page)
		}
	}
	in := w.send(t, u.Path, url.Values{"token": {token}})
	if to := in.Header.Get("Location"); to != "/employers/desk" || len(in.Cookies()) != 1 {
		t.Fatalf("the button leads to %s with %d cookies", to, len(in.Cookies()))
	}
	if page := w.page(t, "/employers/desk", in.Cookies()...); !strings.Contains(page, "Baker of "+s.word) {
		t.Errorf("the desk says:\n%s", page)
	}
	if to := w.form(t, u.Path, url.Values{"token": {token}}); to != "/sign-in?over=1" {
		t.Errorf("pressed again, it leads to %s", to)
	}
	if page := w.page(t, "/sign-in?over=1"); !strings.Contains(page, "This link is used up") || !strings.Contains(page, `name="email"`) {
		t.Errorf("the page for a spent link says:\n%s", page)
	}
	var kept int
	w.row(t, `SELECT count(*) FROM mails WHERE payload::text LIKE '%' || $1 || '%' OR payload <> '{}'`, []any{token}, &kept)
	if kept != 0 {
		t.Errorf("%d sent mails keep what they said", kept)
	}
}

// BenchmarkPaidToLive is from the card's acceptance at Stripe to the listing
// being live, through webhook, inbox, relay, Redis and worker, in processes of
// their own. The bar: under 1 s at the 99th percentile.
func BenchmarkPaidToLive(b *testing.B) {
	w := newCrashWorld(b, "bench")
	w.up(b)
	var took []time.Duration
	for b.Loop() {
		b.StopTimer()
		s := w.buy(b)
		b.StartTimer()
		begun := time.Now()
		w.pay(b, s)
		testkit.Eventually(b, atMost, func() bool {
			var live bool
			w.row(b, `SELECT state = 'live' FROM listings WHERE id = $1`, []any{s.listing}, &live)
			return live
		})
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	at := func(percent int) float64 { return float64(took[(len(took)-1)*percent/100].Microseconds()) / 1000 }
	b.ReportMetric(at(50), "p50-ms")
	b.ReportMetric(at(99), "p99-ms")
	b.ReportMetric(at(100), "max-ms")
}
