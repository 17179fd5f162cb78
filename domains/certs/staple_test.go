package certs_test

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"shingle/internal/testkit"
)

// responder answers for a company's certificates, in the mood that it is in.
type responder struct {
	*httptest.Server
	c     *company
	asked atomic.Int64
	// mood is good, revoked, unknown, down, slow, forged, elder or stale.
	mood atomic.Value
	// delegate signs in the issuer's place, when set.
	delegate    *x509.Certificate
	delegateKey crypto.Signer
}

func newResponder(t *testing.T, c *company) *responder {
	o := &responder{c: c}
	o.mood.Store("good")
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.asked.Add(1)
		body, _ := io.ReadAll(r.Body)
		q, err := ocsp.ParseRequest(body)
		if err != nil || r.Header.Get("Content-Type") != "application/ocsp-request" {
			t.Errorf("a question that is none: %v", err)
			return
		}
		now := time.Now().Truncate(time.Second)
		a := ocsp.Response{Status: ocsp.Good, SerialNumber: q.SerialNumber, ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(11 * time.Hour)}
		by, key := c.between, c.betweens
		if o.delegate != nil {
			by, key = o.delegate, o.delegateKey
			a.Certificate = by
		}
		switch o.mood.Load() {
		case "down":
			panic(http.ErrAbortHandler)
		case "slow":
			<-r.Context().Done()
			return
		case "revoked":
			a.Status, a.RevokedAt = ocsp.Revoked, now.Add(-time.Minute)
		case "unknown":
			a.Status = ocsp.Unknown
		case "forged":
			key = c.key()
		case "elder":
			a.NextUpdate = now.Add(10000 * time.Hour)
		case "stale":
			a.ThisUpdate, a.NextUpdate = now.Add(-48*time.Hour), now.Add(-24*time.Hour)
		}
		raw, err := ocsp.CreateResponse(c.between, by, a, key)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/ocsp-response")
		_, _ = w.Write(raw)
	}))
	t.Cleanup(func() { o.CloseClientConnections(); o.Close() })
	return o
}

// stapled is the answer that a handshake brings along, read and checked, or nil.
func stapled(t *testing.T, p *replica, host string, c *company) *ocsp.Response {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(c.root)
	d := &tls.Dialer{Config: &tls.Config{ServerName: host, RootCAs: roots, MinVersion: tls.VersionTLS12}}
	begun := time.Now()
	conn, err := d.DialContext(t.Context(), "tcp", p.tlsAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("the handshake took %s", took)
	}
	state := conn.(*tls.Conn).ConnectionState()
	if state.OCSPResponse == nil {
		return nil
	}
	r, err := ocsp.ParseResponseForCert(state.OCSPResponse, state.PeerCertificates[0], c.between)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) staple(p *replica, host string) {
	r.t.Helper()
	if err := p.certs.Staple(r.t.Context(), host); err != nil {
		r.t.Fatal(err)
	}
}

// ocspRow is when a host's responder is asked next, and since when it failed.
func (r *rig) ocspRow(host string) (at, until *time.Time, failures int) {
	r.t.Helper()
	super := r.w.PG.Open(r.t, r.w.PG.Superuser, 1)
	if err := super.QueryRowContext(r.t.Context(), `SELECT ocsp_at, ocsp_until, ocsp_failures FROM certificates WHERE host = $1`, host).Scan(&at, &until, &failures); err != nil {
		r.t.Fatal(err)
	}
	return at, until, failures
}

// TestStaple brings a certificate that names a responder: the answer is fetched
// by a task, served by every replica, renewed before its end, and kept while the
// responder is away.
func TestStaple(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(r *rig) { r.o.HTTP = &http.Client{Timeout: 2 * time.Second} })
	a, b := r.replica(), r.replica()
	const host = "www.acme31.example"
	r.verified(a, host)
	c := newCompany(t)
	o := newResponder(t, c)
	key := c.key()
	leaf := c.server(key, func(x *x509.Certificate) { x.OCSPServer = []string{o.URL} }, "zzz."+host, host)
	if err := r.bring(a, host, chainPEM(leaf, c.between), keyPEM(t, key)); err != nil {
		t.Fatal(err)
	}
	for _, p := range r.replicas {
		testkit.Eventually(t, 20*time.Second, func() error { return handshake(t, p.tlsAddr, host, nil) })
		if s := stapled(t, p, host, c); s != nil {
			t.Errorf("a staple before anybody asked: %+v", s)
		}
	}
	if n := o.asked.Load(); n != 0 {
		t.Errorf("%d questions within handshakes", n)
	}
	// The responder's bad days come first: the host is served meanwhile.
	for i, mood := range []string{"down", "slow", "unknown", "forged", "elder", "stale"} {
		o.mood.Store(mood)
		r.staple(a, host)
		if s := stapled(t, b, host, c); s != nil {
			t.Errorf("%s: stapled %+v", mood, s)
		}
		if at, until, failures := r.ocspRow(host); failures != i+1 || at == nil || until != nil {
			t.Errorf("%s: next at %v, until %v, %d failures", mood, at, until, failures)
		}
	}
	if s := r.status(a, host); s.Problem != "" {
		t.Errorf("a responder's trouble is shown as the host's: %+v", s)
	}
	o.mood.Store("good")
	r.staple(a, host)
	for _, p := range r.replicas {
		testkit.Eventually(t, 10*time.Second, func() error {
			if s := stapled(t, p, host, c); s == nil || s.Status != ocsp.Good {
				return errors.New("no staple yet")
			}
			return nil
		})
	}
	at, until, failures := r.ocspRow(host)
	if failures != 0 || time.Until(*until) < 10*time.Hour || time.Until(*at) > 6*time.Hour || time.Until(*at) < 3*time.Hour {
		t.Errorf("next at %v, until %v, %d failures", at, until, failures)
	}
	// It is in the storage, sealed, and a fresh process asks nobody.
	keys, err := a.certs.Storage().List(t.Context(), "ocsp", true)
	if err != nil || len(keys) != 1 || !strings.HasPrefix(keys[0], "ocsp/"+host+"-") {
		t.Errorf("stored as %v, %v", keys, err)
	}
	asked := o.asked.Load()
	if s := stapled(t, r.replica(), host, c); s == nil || o.asked.Load() != asked {
		t.Errorf("after a restart: %+v, %d questions", s, o.asked.Load()-asked)
	}
	// Due, the watch has it asked again; a responder that is away then costs nothing.
	super := r.w.PG.Open(t, r.w.PG.Superuser, 1)
	due := func() (n int) {
		if _, err := super.ExecContext(t.Context(), `DELETE FROM tasks WHERE kind = 'domains.certificate.staple'`); err != nil {
			t.Fatal(err)
		}
		if err := a.certs.Watch(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := super.QueryRowContext(t.Context(), `SELECT count(*) FROM tasks WHERE kind = 'domains.certificate.staple' AND key = $1`, host).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := due(); n != 0 {
		t.Error("asked again long before it is due")
	}
	if _, err := super.ExecContext(t.Context(), `UPDATE certificates SET ocsp_at = now() - interval '1 minute' WHERE host = $1`, host); err != nil {
		t.Fatal(err)
	}
	if n := due(); n != 1 {
		t.Error("not asked again when due")
	}
	o.mood.Store("down")
	r.staple(b, host)
	if s := stapled(t, b, host, c); s == nil {
		t.Error("the old answer is not served while the responder is away")
	}
}

// TestTheTaskStaples holds that bringing a certificate is enough.
func TestTheTaskStaples(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(r *rig) { r.o.HTTP = &http.Client{Timeout: 2 * time.Second} })
	a, b := r.replica(), r.replica()
	r.work(a, 2)
	const host = "www.acme32.example"
	r.verified(a, host)
	c := newCompany(t)
	o := newResponder(t, c)
	// Its answers are signed by somebody whom the issuer let do it.
	o.delegateKey = c.key()
	o.delegate = c.server(o.delegateKey, func(x *x509.Certificate) { x.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning} }, "responder.example")
	key := c.key()
	// The chain lacks the issuer: the certificate says where it can be had.
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(c.between.Raw) }))
	t.Cleanup(issuer.Close)
	leaf := c.server(key, func(x *x509.Certificate) {
		x.OCSPServer, x.IssuingCertificateURL = []string{"http://127.0.0.1:1/", o.URL}, []string{issuer.URL}
	}, host)
	if err := r.bring(a, host, chainPEM(leaf), keyPEM(t, key)); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, 20*time.Second, func() error {
		d := &tls.Dialer{Config: &tls.Config{ServerName: host, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}} //nolint:gosec // the chain lacks its middle
		conn, err := d.DialContext(t.Context(), "tcp", b.tlsAddr)
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := ocsp.ParseResponseForCert(conn.(*tls.Conn).ConnectionState().OCSPResponse, leaf, c.between); err != nil {
			return fmt.Errorf("no staple yet: %w", err)
		}
		return nil
	})
}

// TestAnAnswerOfAStranger refuses one who has a certificate of the issuer's,
// but none to sign answers with.
func TestAnAnswerOfAStranger(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(r *rig) { r.o.HTTP = &http.Client{Timeout: 2 * time.Second} })
	a := r.replica()
	const host = "www.acme33.example"
	r.verified(a, host)
	c := newCompany(t)
	o := newResponder(t, c)
	o.delegateKey = c.key()
	o.delegate = c.server(o.delegateKey, nil, "neighbour.example")
	key := c.key()
	leaf := c.server(key, func(x *x509.Certificate) { x.OCSPServer = []string{o.URL} }, host)
	if err := r.bring(a, host, chainPEM(leaf, c.between), keyPEM(t, key)); err != nil {
		t.Fatal(err)
	}
	r.staple(a, host)
	if _, until, failures := r.ocspRow(host); failures != 1 || until != nil || o.asked.Load() != 1 {
		t.Errorf("%d questions, %d failures, holds until %v", o.asked.Load(), failures, until)
	}
}

// TestRevoked holds that a revoked certificate is said to be one, and replaced.
func TestRevoked(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(r *rig) { r.o.HTTP = &http.Client{Timeout: 2 * time.Second} })
	a := r.replica()
	const host = "www.acme34.example"
	r.verified(a, host)
	c := newCompany(t)
	o := newResponder(t, c)
	o.mood.Store("revoked")
	key := c.key()
	leaf := c.server(key, func(x *x509.Certificate) { x.OCSPServer = []string{o.URL} }, host)
	if err := r.bring(a, host, chainPEM(leaf, c.between), keyPEM(t, key)); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, 20*time.Second, func() error { return handshake(t, a.tlsAddr, host, nil) })
	r.staple(a, host)
	if s := stapled(t, a, host, c); s != nil {
		t.Errorf("stapled %+v", s)
	}
	if s := r.status(a, host); s.Problem != "revoked" || s.Error == "" || !s.Own {
		t.Errorf("status %+v", s)
	}
	if err := a.certs.RunOrder(t.Context(), host); err != nil {
		t.Fatal(err)
	}
	r.served(host, 20*time.Second)
	if s := r.status(a, host); s.Own || s.Problem != "" {
		t.Errorf("status after its replacement: %+v", s)
	}
}
