package certs_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/uptrace/bun"

	"shingle/domains/certs"
	"shingle/internal/testkit"
	"shingle/tenant"
)

// queries counts statements of a pool.
type queries struct{ n atomic.Int64 }

func (q *queries) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }
func (q *queries) AfterQuery(context.Context, *bun.QueryEvent)                        { q.n.Add(1) }

func handshake(t testing.TB, addr, name string, protos []string) error {
	t.Helper()
	d := &tls.Dialer{Config: &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: protos, MinVersion: tls.VersionTLS12}} //nolint:gosec // only whether it is served
	conn, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return err
	}
	return conn.Close()
}

// seed stores a certificate as if an authority had issued it.
func (r *rig) seed(p *replica, host string, notAfter time.Time) {
	r.t.Helper()
	certPEM, keyPEM, err := testkit.SelfSigned(notAfter, host)
	if err != nil {
		r.t.Fatal(err)
	}
	s, ca := p.certs.Storage(), p.certs.CAKeys()[0]
	ctx := r.t.Context()
	err = errors.Join(s.Store(ctx, certmagic.StorageKeys.SiteCert(ca, host), certPEM), s.Store(ctx, certmagic.StorageKeys.SitePrivateKey(ca, host), keyPEM),
		s.Store(ctx, certmagic.StorageKeys.SiteMeta(ca, host), []byte(`{"sans":["`+host+`"]}`)))
	if err != nil {
		r.t.Fatal(err)
	}
	err = p.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`INSERT INTO certificates AS c (host, state, issuer, not_before, not_after, renew_at) VALUES (?, 'issued', 'seed', now() - interval '1 day', ?, now() - interval '1 hour')
			ON CONFLICT (host) DO UPDATE SET state = 'issued', not_before = excluded.not_before, not_after = excluded.not_after, renew_at = excluded.renew_at, updated_at = clock_timestamp()`,
			host, notAfter).Exec(ctx)
		tenant.AfterCommit(ctx, func() { p.notifier.HostChanged(host) })
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// TestRenewalHappensOnce lets two workers find the same certificate due, at the
// same time: one order is made, and both serve what it brought.
func TestRenewalHappensOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.replica(), r.replica()
	const host = "www.acme8.example"
	r.verified(a, host)
	r.seed(a, host, time.Now().Add(2*time.Hour))
	for _, p := range r.replicas { // both have the old one in memory
		testkit.Eventually(t, 20*time.Second, func() error { return handshake(t, p.tlsAddr, host, nil) })
	}
	var wg sync.WaitGroup
	for _, p := range []*replica{a, b} {
		wg.Go(func() {
			if err := errors.Join(p.certs.Watch(t.Context()), p.certs.RunOrder(t.Context(), host)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n, counted := r.gate.ordered.Load(), r.orders(host, "issued"); n != 1 || counted != 1 {
		t.Errorf("%d orders reached the authority, %d are counted", n, counted)
	}
	r.served(host, 20*time.Second)
	if s := r.status(a, host); time.Until(s.NotAfter) < 80*24*time.Hour {
		t.Errorf("status after the renewal: %+v", s)
	}
}

// TestFailedRenewalKeepsServing holds that a host whose renewal fails stays up,
// and says so.
func TestFailedRenewalKeepsServing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.replica()
	const host = "www.acme9.example"
	r.verified(a, host)
	r.seed(a, host, time.Now().Add(2*time.Hour))
	r.dns.set(host, "")
	if err := a.certs.RunOrder(t.Context(), host); err != nil {
		t.Fatal(err)
	}
	if s := r.status(a, host); s.State != certs.Issued || s.Problem != "dns" {
		t.Errorf("status %+v", s)
	}
	testkit.Eventually(t, 20*time.Second, func() error { return handshake(t, a.tlsAddr, host, nil) })
	if late, err := lateHosts(t, a); err != nil || len(late) != 1 || late[0].Host != host {
		t.Errorf("doctor would show %+v, %v", late, err)
	}
}

func lateHosts(t *testing.T, p *replica) (late []certs.Status, err error) {
	err = p.platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		late, err = certs.Late(ctx, tx)
		return err
	})
	return late, err
}

// TestRestartAsksNothing starts anew over the same database.
func TestRestartAsksNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.replica()
	const host = "www.acme10.example"
	r.verified(a, host, r.o.PlatformHost)
	if err := errors.Join(a.certs.RunOrder(t.Context(), host), a.certs.RunOrder(t.Context(), r.o.PlatformHost)); err != nil {
		t.Fatal(err)
	}
	asked := r.gate.asked.Load()
	b := r.replica()
	if err := errors.Join(b.certs.Watch(t.Context()), b.certs.RunOrder(t.Context(), host), b.certs.RunOrder(t.Context(), r.o.PlatformHost)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.get(b, host); err != nil {
		t.Error(err)
	}
	if n := r.gate.asked.Load() - asked; n != 0 {
		t.Errorf("the authority was asked %d times by a restart", n)
	}
	if n := r.orders("", ""); n != 2 {
		t.Errorf("%d orders", n)
	}
}

// TestRemovedHostIsGoneEverywhere removes hosts, once as it is meant to be and
// once by a process that died before it could tell anybody.
func TestRemovedHostIsGoneEverywhere(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.replica(), r.replica()
	hosts := []string{"www.acme11.example", "old.acme11.example"}
	r.verified(a, hosts...)
	for _, h := range hosts {
		if err := a.certs.RunOrder(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		r.served(h, 20*time.Second)
	}
	// A client that was here before has a session to resume.
	resume := tls.NewLRUClientSessionCache(4)
	visit := func(p *replica, host string) error {
		d := &tls.Dialer{Config: &tls.Config{ServerName: host, RootCAs: r.ca.Issued, ClientSessionCache: resume, MinVersion: tls.VersionTLS13}}
		conn, err := d.DialContext(t.Context(), "tcp", p.tlsAddr)
		if err != nil {
			return err
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host)
		_, err = conn.Read(make([]byte, 512)) // the session's ticket comes with it
		return err
	}
	if err := visit(b, hosts[0]); err != nil {
		t.Fatal(err)
	}
	silent := tenant.NewPlatform(a.platform.Bun().DB, nil) // tells nobody
	for i, door := range []*tenant.Platform{a.platform, silent} {
		host := hosts[i]
		err := door.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
			if _, err := tx.NewRaw(`DELETE FROM hosts WHERE host = ?`, host).Exec(ctx); err != nil {
				return err
			}
			if door == silent {
				ctx = context.WithoutCancel(t.Context()) // no transaction to hook into
			}
			return a.certs.Drop(ctx, tx, host)
		})
		if err != nil {
			t.Fatal(err)
		}
		removed := time.Now()
		stop := make(chan struct{})
		var busy sync.WaitGroup
		if door == silent { // a lost notification among many that arrive
			for _, p := range r.replicas {
				busy.Go(func() {
					for {
						select {
						case <-stop:
							return
						case <-time.After(20 * time.Millisecond):
							p.certs.Changed("another.acme11.example")
						}
					}
				})
			}
		}
		for _, p := range r.replicas {
			testkit.Eventually(t, 2*time.Second, func() bool { return visit(p, host) != nil }) // the bar
		}
		close(stop)
		busy.Wait()
		t.Logf("removed → served by none of two replicas: %s (told: %v)", time.Since(removed).Round(time.Millisecond), door != silent)
		if s := r.status(a, host); s.State != certs.None {
			t.Errorf("status after the removal: %+v", s)
		}
		if _, err := a.certs.Storage().List(t.Context(), "certificates/"+a.certs.CAKeys()[0]+"/"+host, true); err == nil {
			t.Error("its key is still stored")
		}
	}
	// The watch does not bring it back, and a late order ends without asking.
	ordered := r.gate.ordered.Load()
	if err := errors.Join(a.certs.RunOrder(t.Context(), hosts[0]), a.certs.Watch(t.Context())); err != nil {
		t.Fatal(err)
	}
	if n := r.gate.ordered.Load(); n != ordered {
		t.Errorf("%d orders for a removed host", n-ordered)
	}
}

// TestRemovedWhileOrdered removes a host while its order is under way.
func TestRemovedWhileOrdered(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.replica()
	const host = "www.acme12.example"
	r.verified(a, host)
	if err := a.certs.Storage().Lock(t.Context(), "issue_cert_"+host); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- a.certs.RunOrder(t.Context(), host) }()
	testkit.Eventually(t, 20*time.Second, func() bool { return r.orders(host, "open") == 1 })
	if err := a.platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		if _, err := tx.NewRaw(`DELETE FROM hosts WHERE host = ?`, host).Exec(ctx); err != nil {
			return err
		}
		return a.certs.Drop(ctx, tx, host)
	}); err != nil {
		t.Fatal(err)
	}
	if err := a.certs.Storage().Unlock(t.Context(), "issue_cert_"+host); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if a.certs.Storage().Exists(t.Context(), "certificates/"+a.certs.CAKeys()[0]+"/"+host) {
		t.Error("the certificate of a host that was removed meanwhile is kept")
	}
	if s := r.status(a, host); s.State != certs.None {
		t.Errorf("status %+v", s)
	}
}

// TestWatch orders what is missing, drops what lost its proof, and measures.
func TestWatch(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(r *rig) { r.o.FilesHost = "files.shingle.example" })
	a := r.replica()
	r.seed(a, "lost.acme13.example", time.Now().Add(time.Hour))
	err := a.platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`INSERT INTO hosts (host, board_id, kind, verified_at) VALUES ('new.acme13.example', ?, 'custom', now()), ('unproven.acme13.example', ?, 'custom', NULL),
			('new.`+boardDomain+`', ?, 'platform', now())`, r.board.ID, r.board.ID, r.board.ID).Exec(ctx)
		if err != nil {
			return err
		}
		_, err = tx.NewRaw(`INSERT INTO hosts (host, board_id, kind, verified_at, created_at) VALUES ('old.`+boardDomain+`', ?, 'platform', now(), now() - interval '2 days')`, r.board.ID).Exec(ctx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.certs.Watch(t.Context()); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]certs.State{"new.acme13.example": certs.Ordering, r.o.PlatformHost: certs.Ordering, r.o.FilesHost: certs.Ordering, "unproven.acme13.example": certs.None,
		"lost.acme13.example": certs.None, "acme.localhost": certs.None, "new." + boardDomain: certs.Ordering, "old." + boardDomain: certs.None} {
		if s := r.status(a, host); s.State != want {
			t.Errorf("%s is %s, want %s", host, s.State, want)
		}
	}
	var waiting int
	if err := a.platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT count(*) FROM tasks WHERE kind = 'domains.certificate'`).Scan(ctx, &waiting)
	}); err != nil || waiting != 4 {
		t.Errorf("%d orders wait: %v", waiting, err)
	}
}

// TestAnotherSecretOrdersAnew: keys that cannot be opened are as good as lost.
func TestAnotherSecretOrdersAnew(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.replica()
	const host = "www.acme14.example"
	r.verified(a, host)
	if err := a.certs.RunOrder(t.Context(), host); err != nil {
		t.Fatal(err)
	}
	r.o.Secret = append([]byte("another"), secret...)
	r.replicas = nil
	b := r.replica()
	r.work(b, 2)
	r.served(host, 30*time.Second) // the first handshake notices, a task mends it
	testkit.Eventually(t, 10*time.Second, func() error {
		if n := r.orders(host, "issued"); n != 2 {
			return fmt.Errorf("%d certificates issued, %d open, %d away, %d failed, %+v", n, r.orders(host, "open"), r.orders(host, "away"), r.orders(host, "failed"), r.status(b, host))
		}
		return nil
	})
}
