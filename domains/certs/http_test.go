package certs_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/uptrace/bun"

	"shingle/domains/certs"
	"shingle/internal/proxies"
	"shingle/internal/testkit"
	"shingle/tenant"
)

// TestPlainHTTP holds what the plain listener does: to https for a host that
// has a certificate, the page for one that has none yet.
func TestPlainHTTP(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.replica()
	r.verified(a, "www.acme17.example", "new.acme17.example")
	r.seed(a, "www.acme17.example", time.Now().Add(1000*time.Hour))
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "page") })
	trusted, err := proxies.Parse([]string{"192.0.2.0/24", "203.0.113.7"})
	if err != nil {
		t.Fatal(err)
	}
	h := a.certs.Plain(page, ":8443", trusted)
	ask := func(method, target, host, from, proto string) *http.Response {
		q := httptest.NewRequest(method, target, nil)
		q.Host, q.RemoteAddr = host, from
		q.Header.Set("X-Forwarded-Proto", proto)
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, q)
		return rec.Result()
	}
	const somebody = "198.51.100.1:5000"
	testkit.Eventually(t, 20*time.Second, func() bool {
		return ask("GET", "/", "www.acme17.example", somebody, "").StatusCode == http.StatusMovedPermanently
	})
	for _, c := range []struct {
		method, target, host, from, proto string
		status                            int
		location                          string
	}{
		{"GET", "/jobs?q=a%20b", "WWW.acme17.example:8080", somebody, "", 301, "https://www.acme17.example:8443/jobs?q=a%20b"},
		{"GET", "//evil.example/", "www.acme17.example", somebody, "", 301, "https://www.acme17.example:8443//evil.example/"},
		{"GET", "x:@evil.example/", "www.acme17.example", somebody, "", 301, "https://www.acme17.example:8443"},
		{"GET", "x:.evil.example/?q=a", "www.acme17.example", somebody, "", 301, "https://www.acme17.example:8443?q=a"},
		{"GET", "*", "www.acme17.example", somebody, "", 301, "https://www.acme17.example:8443/*"},
		{"POST", "/apply", "www.acme17.example", somebody, "", 308, "https://www.acme17.example:8443/apply"},
		{"GET", "/", "new.acme17.example", somebody, "", 200, ""},
		{"GET", "/", "stranger.example", somebody, "", 200, ""},
		{"GET", "/", "www.acme17.example", "192.0.2.9:443", "https", 200, ""},
		{"GET", "/", "www.acme17.example", "203.0.113.7:443", "https", 200, ""},
		{"GET", "/", "www.acme17.example", somebody, "https", 301, "https://www.acme17.example:8443/"},
		{"GET", "/.well-known/acme-challenge/none", "www.acme17.example", somebody, "", 404, ""},
	} {
		res := ask(c.method, c.target, c.host, c.from, c.proto)
		if res.StatusCode != c.status || res.Header.Get("Location") != c.location {
			t.Errorf("%s %s%s from %s: %d to %q, want %d to %q", c.method, c.host, c.target, c.from, res.StatusCode, res.Header.Get("Location"), c.status, c.location)
		}
		if res.Header.Get("Strict-Transport-Security") != "" {
			t.Errorf("%s%s: HSTS over plain HTTP", c.host, c.target)
		}
	}
	// A stranger's challenge is not even looked for.
	before, begun := a.queries.n.Load(), time.Now()
	for range 200 {
		ask("GET", "/.well-known/acme-challenge/x", "stranger.example", somebody, "")
	}
	if n := a.queries.n.Load() - before; n > 3*int64(time.Since(begun)/time.Second+3) {
		t.Errorf("%d queries for challenges of strangers", n)
	}
}

// TestTLSOff is an installation behind somebody else's TLS.
func TestTLSOff(t *testing.T) {
	t.Parallel()
	w := testkit.NewWorld(t)
	c, err := certs.New(certs.Options{Platform: w.Platform, Notifier: w.Notifier, PlatformHost: "platform.example", BoardDomain: boardDomain, Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := w.Board(t, "acme")
	err = w.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		if _, err := tx.NewRaw(`INSERT INTO hosts (host, board_id, kind, verified_at) VALUES ('www.acme.example', ?, 'custom', now())`, b.ID).Exec(ctx); err != nil {
			return err
		}
		return c.Order(ctx, tx, "www.acme.example")
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.RunOrder(t.Context(), "www.acme.example"); err != nil {
		t.Error(err)
	}
	if err := c.Watch(t.Context()); err != nil {
		t.Error(err)
	}
	s, err := c.Status(t.Context(), "www.acme.example")
	if err != nil || s[0].State == certs.Issued {
		t.Errorf("status %+v, %v", s, err)
	}
	var n int
	if err := w.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT count(*) FROM tasks WHERE kind = 'domains.certificate'`).Scan(ctx, &n)
	}); err != nil || n != 0 {
		t.Errorf("%d orders wait: %v", n, err)
	}
}

// TestWildcardByDNS gets one certificate for all boards' own addresses, through
// signed updates of a name server.
func TestWildcardByDNS(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var err error
	r.o.DNS, err = certs.NewDNS("rfc2136://" + strings.TrimSuffix(tsigKey, ".") + ":" + url.QueryEscape(tsigSecret) + "@" + r.dns.addr)
	if err != nil {
		t.Fatal(err)
	}
	a := r.replica()
	r.work(a, 2)
	if err := a.platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		for _, slug := range []string{"north", "south"} {
			if _, err := tenant.CreateBoard(ctx, tx, tenant.NewBoard{Slug: slug, Name: slug, Locale: "en", Currency: "EUR"}, boardDomain); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := a.certs.Watch(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.served("north."+boardDomain, 40*time.Second)
	r.served("south."+boardDomain, 20*time.Second)
	if _, _, err := r.get(a, "nobody."+boardDomain); err == nil {
		t.Error("the wildcard serves a board that does not exist")
	}
	if n := r.orders("*."+boardDomain, "issued"); n != 1 {
		t.Errorf("%d wildcards", n)
	}
	if n := r.orders("north."+boardDomain, ""); n != 0 {
		t.Errorf("%d orders for one board's address", n)
	}
	if s := r.status(a, "south."+boardDomain); s.State != certs.Issued || s.Host != "south."+boardDomain {
		t.Errorf("status %+v", s)
	}
	r.dns.mu.Lock()
	left := len(r.dns.txt["_acme-challenge."+boardDomain+"."])
	r.dns.mu.Unlock()
	if left != 0 {
		t.Errorf("%d challenges are left in the zone", left)
	}
}

func TestDNSSetting(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"http://a:b@ns", "rfc2136://ns1.example:53", "rfc2136://a:b@", "rfc2136://a:b@ns?wait=soon", "rfc2136://a:b@ns:port"} {
		if _, err := certs.NewDNS(bad); err == nil || strings.Contains(err.Error(), "a:b@") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	s, err := certs.NewDNS("rfc2136://key:c2VjcmV0Lz09@ns1.example?wait=30s")
	if d, ok := s.(*certmagic.DNS01Solver); err != nil || !ok || d.PropagationDelay != 30*time.Second || d.Resolvers[0] != "ns1.example:53" {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := certs.NewDNS(""); s != nil || err != nil {
		t.Errorf("without a setting: %v, %v", s, err)
	}
}

// TestAccountBinding orders at an authority that wants to know us first.
func TestAccountBinding(t *testing.T) {
	t.Parallel()
	const id, mac = "kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	r := newRig(t, func(r *rig) { r.eab = [2]string{id, mac} })
	r.o.Authorities[0].EABKey, r.o.Authorities[0].EABMAC = id, mac
	a := r.replica()
	r.verified(a, "www.acme19.example")
	if err := a.certs.RunOrder(t.Context(), "www.acme19.example"); err != nil {
		t.Fatal(err)
	}
	r.served("www.acme19.example", 20*time.Second)
}

// TestManyHostsAtOnce orders for many boards in one moment; SHINGLE_TEST_HOSTS
// of them, 24 by itself.
func TestManyHostsAtOnce(t *testing.T) {
	t.Parallel()
	hosts := manyHosts(t)
	r := newRig(t)
	a, b := r.replica(), r.replica()
	r.work(a, 10)
	begun := time.Now()
	r.verified(b, hosts...)
	deadline := 120 * time.Second
	for _, h := range hosts {
		testkit.Eventually(t, deadline-time.Since(begun), func() error { _, _, err := r.get(b, h); return err })
	}
	took := time.Since(begun)
	t.Logf("%d hosts proven at once → all over TLS: %s", len(hosts), took.Round(10*time.Millisecond))
	if n := r.orders("", "issued"); n != len(hosts) {
		t.Errorf("%d certificates for %d hosts", n, len(hosts))
	}
}
