package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/uptrace/bun"

	"shingle/doctor"
	"shingle/domains/certs"
	"shingle/internal/config"
	"shingle/internal/dns"
	"shingle/internal/testkit"
	"shingle/tenant"
)

// TestServeOverTLS puts serve's listeners together as the program does, and
// asks for a page by HTTP/1.1, HTTP/2 and HTTP/3.
func TestServeOverTLS(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t)
	certPEM, keyPEM, err := testkit.SelfSigned(time.Now().Add(1000*time.Hour), "www.acme.example")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	root := filepath.Join(dir, "root.pem")
	if err := os.WriteFile(root, certPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	plain, secure := free(t), free(t)
	cfg, err := config.Load("serve", []string{"SHINGLE_LISTEN=" + plain, "SHINGLE_TLS_LISTEN=" + secure, "SHINGLE_HTTP3=true", "SHINGLE_DATA_DIR=" + dir,
		"SHINGLE_ACME_DIRECTORY=https://127.0.0.1:1/dir", "SHINGLE_ACME_EMAIL=tls@platform.example", "SHINGLE_ACME_CA_ROOT=" + root,
		"SHINGLE_DATABASE_URL=" + db.App, "SHINGLE_PLATFORM_DATABASE_URL=" + db.Platform, "SHINGLE_REDIS_URL=redis://127.0.0.1:1/0", "SHINGLE_SECRET_KEY=" + strings.Repeat("0f", 32),
		"SHINGLE_STRIPE_KEY=sk_test_x", "SHINGLE_STRIPE_WEBHOOK_SECRET=whsec_x", "SHINGLE_SMTP_URL=smtp://127.0.0.1:1", "SHINGLE_BOARD_DOMAIN=boards.example", "SHINGLE_PLATFORM_HOST=platform.example"})
	if err != nil {
		t.Fatal(err)
	}
	a, err := build(t.Context(), cfg, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	board := tenant.ID{}
	if err := a.platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		b, err := tenant.CreateBoard(ctx, tx, tenant.NewBoard{Slug: "acme", Name: "Acme", Locale: "en", Currency: "EUR"}, cfg.BoardDomain)
		if err != nil {
			return err
		}
		board = b.ID
		if _, err := tx.NewRaw(`INSERT INTO hosts (host, board_id, kind, verified_at) VALUES ('www.acme.example', ?, 'custom', now())`, board).Exec(ctx); err != nil {
			return err
		}
		return a.certs.Bring(ctx, tx, "www.acme.example", certPEM, keyPEM)
	}); err != nil {
		t.Fatal(err)
	}
	h, err := a.handler(nil)
	if err != nil {
		t.Fatal(err)
	}
	listeners, err := a.listeners(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- together(ctx, append(listeners, a.background)...) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	trust := func() *tls.Config { return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12} }
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		to := secure
		if strings.HasSuffix(addr, ":80") {
			to = plain
		}
		return (&net.Dialer{}).DialContext(ctx, network, to)
	}
	one, two := &http.Transport{TLSClientConfig: trust(), DialContext: dial}, &http.Transport{TLSClientConfig: trust(), DialContext: dial, ForceAttemptHTTP2: true}
	three := &http3.Transport{TLSClientConfig: trust(), Dial: func(ctx context.Context, _ string, c *tls.Config, q *quic.Config) (*quic.Conn, error) {
		return quic.DialAddrEarly(ctx, secure, c, q)
	}}
	defer one.CloseIdleConnections()
	defer two.CloseIdleConnections()
	defer three.Close()
	for proto, tr := range map[string]http.RoundTripper{"HTTP/1.1": one, "HTTP/2.0": two, "HTTP/3.0": three} {
		var res *http.Response
		testkit.Eventually(t, 10*time.Second, func() (err error) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://www.acme.example/assets/none", nil)
			if err != nil {
				return err
			}
			if res, err = tr.RoundTrip(req); err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				err = res.Body.Close()
			}
			return err
		})
		if res.Proto != proto || res.StatusCode != http.StatusNotFound || !strings.HasPrefix(res.Header.Get("Strict-Transport-Security"), "max-age=") {
			t.Errorf("%s: answered %s, %d, headers %v", proto, res.Proto, res.StatusCode, res.Header)
		}
		if alt := res.Header.Get("Alt-Svc"); proto == "HTTP/2.0" && !strings.Contains(alt, `h3=":443"`) {
			t.Errorf("HTTP/3 is not announced: %q", alt)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://www.acme.example/jobs?q=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := one.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusMovedPermanently || res.Header.Get("Location") != "https://www.acme.example/jobs?q=1" {
		t.Errorf("plain HTTP: %d to %q", res.StatusCode, res.Header.Get("Location"))
	}

	// With the switch off nothing listens for HTTP/3.
	cfg.HTTP3, cfg.TLSListen = false, free(t)
	parts, err := a.listeners(t.Context(), h)
	if err != nil || len(parts) != len(listeners)-1 {
		t.Fatalf("%d listeners without HTTP/3, %v, %d with", len(parts), err, len(listeners))
	}
	quiet, err := net.ListenPacket("udp", cfg.TLSListen)
	if err != nil {
		t.Errorf("the port is taken for UDP: %v", err)
	} else {
		_ = quiet.Close()
	}
	over, end := context.WithCancel(t.Context())
	end()
	if err := parts[len(parts)-1](over); err != nil { // closes what it listens on
		t.Error(err)
	}

	// doctor sees a certificate whose end is near.
	cfg.RedisURL, cfg.SMTPURL, cfg.StripeKey = "", "", ""
	examine := func() string {
		var out bytes.Buffer
		d := &doctor.Doctor{Config: cfg, DNS: dns.New([]string{"127.0.0.1:1"}), Now: time.Now}
		if err := printFindings(&out, d.Examine(t.Context()), false); err == nil {
			t.Errorf("doctor finds nothing wrong without Redis and mail")
		}
		return out.String()
	}
	if said := examine(); !strings.Contains(said, "none runs out soon") {
		t.Errorf("doctor says:\n%s", said)
	}
	soonPEM, soonKey, err := testkit.SelfSigned(time.Now().Add(48*time.Hour), "www.acme.example")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return a.certs.Bring(ctx, tx, "www.acme.example", soonPEM, soonKey)
	}); err != nil {
		t.Fatal(err)
	}
	if said := examine(); !strings.Contains(said, "1 run out soon: www.acme.example until") {
		t.Errorf("doctor says:\n%s", said)
	}
	// A new board's address is ordered with the board, not at its first visit.
	fresh, err := a.launcher.Launch(t.Context(), tenant.NewBoard{Slug: "fresh", Name: "Fresh", Locale: "en", Currency: "EUR", TimeZone: "UTC"}, "ann@fresh.example")
	if err != nil {
		t.Fatal(err)
	}
	var s []certs.Status
	if s, err = a.certs.Status(t.Context(), fresh.PlatformHost); err != nil || s[0].State != certs.Ordering {
		t.Errorf("a new board's address: %+v, %v", s, err)
	}
	if s, err = a.certs.Status(t.Context(), "www.acme.example", "acme.boards.example"); err != nil || !s[0].Own || s[1].State != certs.None {
		t.Errorf("status %+v, %v", s, err)
	}
}

// free is an address that nobody had a moment ago, for TCP and for UDP.
func free(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
