package certs_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"shingle/domains/certs"
	"shingle/internal/fault"
	"shingle/internal/testkit"
	"shingle/tenant"
)

// failing waits until a host's status shows a problem.
func (r *rig) failing(p *replica, host, problem string) certs.Status {
	r.t.Helper()
	var s certs.Status
	testkit.Eventually(r.t, 20*time.Second, func() error {
		if s = r.status(p, host); s.Problem != problem {
			return fmt.Errorf("problem %q (%s), want %q", s.Problem, s.Detail, problem)
		}
		return nil
	})
	if s.Error == "" || s.NextTry.IsZero() {
		r.t.Errorf("status without words or next try: %+v", s)
	}
	return s
}

func TestWrongAndChangingDNS(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(r *rig) { r.o.Limits = certs.Limits{PerDomain: 50, Failures: 100, Orders: 1000} })
	a := r.replica()
	r.work(a, 4)
	r.dns.set("nowhere.acme2.example", "")
	r.dns.set("elsewhere.acme2.example", "127.0.0.9")
	r.verified(a, "nowhere.acme2.example", "elsewhere.acme2.example")
	if s := r.failing(a, "elsewhere.acme2.example", "connection"); s.State != certs.Failed {
		t.Errorf("status %+v", s)
	}
	r.failing(a, "nowhere.acme2.example", "dns")
	if _, _, err := r.get(a, "elsewhere.acme2.example"); err == nil {
		t.Error("a host without a certificate is served")
	}
	r.dns.right("nowhere.acme2.example")
	r.dns.right("elsewhere.acme2.example")
	r.served("nowhere.acme2.example", 30*time.Second)
	r.served("elsewhere.acme2.example", 30*time.Second)
	if s := r.status(a, "elsewhere.acme2.example"); s.State != certs.Issued || s.Problem != "" || !s.NextTry.IsZero() {
		t.Errorf("after it worked: %+v", s)
	}
}

// TestALostProofOrdersNothing: the proof is looked at again before an order.
func TestALostProofOrdersNothing(t *testing.T) {
	t.Parallel()
	const host = "www.lost.example"
	r := newRig(t)
	a := r.replica()
	var gone atomic.Bool
	gone.Store(true)
	a.certs.StillProven = func(_ context.Context, name string) error {
		if name == host && gone.Load() {
			return fault.New(fault.Forbidden, "the record is gone")
		}
		return nil
	}
	r.work(a, 2)
	r.dns.right(host)
	r.verified(a, host)
	r.failing(a, host, "unproven")
	if n := r.orders(host, "failed") + r.orders(host, "issued"); n != 0 {
		t.Errorf("%d orders were made for a host whose proof is gone", n)
	}
	gone.Store(false)
	r.served(host, 30*time.Second)
}

// TestAuthorityInTrouble goes through the moods of an authority: the problem is
// said, and the order is made when it is well again.
func TestAuthorityInTrouble(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mood    mood
		problem string
	}{{down, "away"}, {slow, "away"}, {refusing, "away"}} {
		t.Run(string(c.mood), func(t *testing.T) {
			t.Parallel()
			host := "www." + string(c.mood) + ".example"
			r := newRig(t, func(r *rig) { r.o.Patience = 2 * time.Second })
			a := r.replica()
			r.work(a, 2)
			r.gate.mood.Store(c.mood)
			r.verified(a, host)
			r.failing(a, host, c.problem)
			if n := r.orders(host, "failed"); n != 0 {
				t.Errorf("%d failures of the host are counted for the authority's own", n)
			}
			r.gate.mood.Store(open)
			r.served(host, 30*time.Second)
		})
	}
}

// TestSecondAuthority stands in while the first says no or nothing.
func TestSecondAuthority(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	second := newGate(t, r.ca)
	r.o.Authorities = append(r.o.Authorities, certs.Authority{Directory: second.directory})
	r.o.Roots.AddCert(second.cert)
	a := r.replica()
	r.work(a, 2)
	r.gate.mood.Store(limiting)
	r.verified(a, "www.acme4.example")
	r.served("www.acme4.example", 30*time.Second)
	if first, other := r.orders("", "limited"), r.orders("", "issued"); first != 1 || other != 1 {
		t.Errorf("orders: %d limited, %d issued", first, other)
	}
	// What the first said holds: it is not asked again before that.
	asked := r.gate.ordered.Load()
	if err := a.platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`DELETE FROM acme_objects WHERE key LIKE 'certificates/%'`).Exec(ctx)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := a.certs.RunOrder(t.Context(), "www.acme4.example"); err != nil {
		t.Fatal(err)
	}
	if n := r.gate.ordered.Load(); n != asked {
		t.Errorf("the first authority got %d more orders while it had said to wait", n-asked)
	}
	if n := r.orders("", "issued"); n != 2 {
		t.Errorf("%d issued", n)
	}
}

func TestLimitsPostpone(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(r *rig) { r.o.Limits = certs.Limits{PerDomain: 2, Failures: 1, Orders: 6} })
	a := r.replica()
	r.verified(a, "a.acme5.example", "b.acme5.example", "c.acme5.example", "a.other5.example", "d.third5.example", "e.fourth5.example")
	run := func(host string) certs.Status {
		t.Helper()
		if err := a.certs.RunOrder(t.Context(), host); err != nil {
			t.Fatal(err)
		}
		return r.status(a, host)
	}
	within := func(s certs.Status, problem string, least, most time.Duration) {
		t.Helper()
		if wait := time.Until(s.NextTry); s.Problem != problem || wait < least || wait > most {
			t.Errorf("%s: %q for %s, want %q for %s to %s", s.Host, s.Problem, wait, problem, least, most)
		}
	}
	if s := run("a.acme5.example"); s.State != certs.Issued {
		t.Fatalf("status %+v", s)
	}
	run("b.acme5.example")
	s := run("c.acme5.example")
	within(s, "week", 6*24*time.Hour, 7*24*time.Hour)
	if s.State != certs.Ordering {
		t.Errorf("an order that waits is %s", s.State)
	}
	// Another registered domain has a count of its own; a failure counts for its host.
	r.dns.set("a.other5.example", "")
	within(run("a.other5.example"), "dns", -time.Minute, time.Minute)
	r.dns.right("a.other5.example")
	within(run("a.other5.example"), "failures", 50*time.Minute, time.Hour)
	if s := run("d.third5.example"); s.State != certs.Issued {
		t.Errorf("status %+v", s)
	}
	within(run("e.fourth5.example"), "busy", 2*time.Hour, 3*time.Hour)
	if n := r.gate.ordered.Load(); n > 6 { // one that failed may have been three
		t.Errorf("%d orders reached the authority", n)
	}
	// Asking again by hand does not pass the authority's limit.
	if err := a.platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error { return a.certs.Order(ctx, tx, "c.acme5.example") }); err != nil {
		t.Fatal(err)
	}
	within(run("c.acme5.example"), "week", 6*24*time.Hour, 7*24*time.Hour)
}

func TestRegisteredDomain(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{"jobs.acme.example": "acme.example", "a.b.co.uk": "b.co.uk", "*.boards.example": "boards.example", "localhost": "localhost"} {
		if got := certs.RegisteredDomain(host); got != want {
			t.Errorf("%s counts for %s, want %s", host, got, want)
		}
	}
}

func TestWaitsGrow(t *testing.T) {
	t.Parallel()
	last := time.Duration(0)
	for n := range 20 {
		d := certs.RetryAfter(n)
		if d < last || d > 24*time.Hour || d < time.Minute {
			t.Errorf("after %d failures: %s, before it %s", n, d, last)
		}
		last = d
	}
}

// TestUnknownNamesCostNothing floods a replica with names that are not ours,
// among them one with the challenge's protocol.
func TestUnknownNamesCostNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.replica()
	asked := r.gate.asked.Load()
	before := a.queries.n.Load()
	begun := time.Now()
	for i := range 200 {
		for _, protos := range [][]string{{"h2"}, {"acme-tls/1"}} {
			if err := handshake(t, a.tlsAddr, fmt.Sprintf("name-%d.stranger.example", i), protos); err == nil || !strings.Contains(err.Error(), "remote error") {
				t.Fatalf("a stranger's name: %v", err)
			}
		}
	}
	took := time.Since(begun)
	// The look at what is new, three statements twice a second, goes on meanwhile.
	if n, most := a.queries.n.Load()-before, 3*int64(took/(500*time.Millisecond)+2); n > most {
		t.Errorf("%d queries in %s for 400 strangers", n, took)
	}
	if n := r.gate.asked.Load() - asked; n != 0 {
		t.Errorf("the authority was asked %d times", n)
	}
	for _, name := range []string{"", "127.0.0.1", "*.boards.example", "acme..example", strings.Repeat("a", 70) + ".example"} {
		if err := handshake(t, a.tlsAddr, name, nil); err == nil {
			t.Errorf("%q is served", name)
		}
	}
}

// TestFirstVisitorIsTheNet holds that a host whose order was never asked for
// (the platform's own, at the first start) gets one when somebody comes.
func TestFirstVisitorIsTheNet(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(r *rig) { r.o.FilesHost = "files." + r.o.PlatformHost })
	a := r.replica()
	r.work(a, 2)
	for _, host := range []string{r.o.PlatformHost, r.o.FilesHost} {
		begun := time.Now()
		if err := handshake(t, a.tlsAddr, host, nil); err == nil {
			t.Error("served without a certificate")
		}
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("the visitor waited %s for an authority", took)
		}
		r.served(host, 30*time.Second)
	}
	// Not for a neighbour of theirs that nobody named.
	if err := handshake(t, a.tlsAddr, "other."+r.o.PlatformHost, nil); err == nil || r.status(a, "other."+r.o.PlatformHost).State != certs.None {
		t.Errorf("a name beside them is served: %v", err)
	}
}

// TestNewBoardsAreOrdered holds that a new board's platform address is ordered
// with the board, or by the watch where it was made elsewhere, and that many at
// once wait for the authority's limit and not for a visitor.
func TestNewBoardsAreOrdered(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(r *rig) {
		r.o.Limits = certs.Limits{PerDomain: 3, Failures: 2, Orders: 100}
		r.o.BoardDomain = "boards35.example"
	})
	a := r.replica()
	newBoard := func(slug string, order bool) (host string) {
		t.Helper()
		err := a.platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
			b, err := tenant.CreateBoard(ctx, tx, tenant.NewBoard{Slug: slug, Name: slug, Locale: "en", Currency: "EUR"}, r.o.BoardDomain)
			if err != nil || !order {
				return err
			}
			tenant.AfterCommit(ctx, func() { a.notifier.HostChanged(b.PlatformHost) }) // as the launcher does
			return a.certs.OrderBoard(ctx, tx, b.PlatformHost)
		})
		if err != nil {
			t.Fatal(err)
		}
		return slug + "." + r.o.BoardDomain
	}
	hosts := []string{newBoard("one", true), newBoard("two", true)}
	r.work(a, 2)
	for _, h := range hosts {
		testkit.Eventually(t, 30*time.Second, func() error {
			if s := r.status(a, h); s.State != certs.Issued {
				return fmt.Errorf("%s is %s: %s", h, s.State, s.Problem)
			}
			return nil
		})
		r.served(h, 10*time.Second)
	}
	hosts = append(hosts, newBoard("three", false), newBoard("four", false))
	if s := r.status(a, hosts[3]); s.State != certs.None {
		t.Errorf("made elsewhere: %+v", s)
	}
	if err := a.certs.Watch(t.Context()); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, 30*time.Second, func() error {
		issued, waiting := 0, 0
		for _, h := range hosts[2:] {
			switch s := r.status(a, h); {
			case s.State == certs.Issued:
				issued++
			case s.State == certs.Ordering && s.Problem == "week" && time.Until(s.NextTry) > 6*24*time.Hour:
				waiting++
			}
		}
		if issued != 1 || waiting != 1 {
			return fmt.Errorf("%d issued, %d wait", issued, waiting)
		}
		return nil
	})
	n := 0
	for _, h := range hosts {
		n += r.orders(h, "")
	}
	if n != 3 {
		t.Errorf("%d orders were made, want 3", n)
	}
}
