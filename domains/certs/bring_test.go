package certs_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"shingle/domains/certs"
	"shingle/internal/fault"
	"shingle/internal/testkit"
)

// company is somebody's own authority, with one between it and its servers.
type company struct {
	t                 testing.TB
	root, between     *x509.Certificate
	rootKey, betweens crypto.Signer
}

func newCompany(t testing.TB) *company {
	c := &company{t: t}
	ca := func(name string, parent *x509.Certificate, by crypto.Signer) (*x509.Certificate, crypto.Signer) {
		key := c.key()
		tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name, Organization: []string{"Acme Ltd"}}, NotBefore: time.Now().Add(-time.Hour),
			NotAfter: time.Now().Add(1000 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
		if parent == nil {
			parent, by = tmpl, key
		}
		return c.sign(tmpl, parent, key.Public(), by), key
	}
	c.root, c.rootKey = ca("Acme root", nil, nil)
	c.between, c.betweens = ca("Acme servers", c.root, c.rootKey)
	return c
}

func (c *company) key() crypto.Signer {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	return k
}

func (c *company) sign(tmpl, parent *x509.Certificate, public crypto.PublicKey, by crypto.Signer) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, public, by)
	if err != nil {
		c.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		c.t.Fatal(err)
	}
	return cert
}

// server signs a certificate for names; change alters it first.
func (c *company) server(key crypto.Signer, change func(*x509.Certificate), names ...string) *x509.Certificate {
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: names, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(500 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if change != nil {
		change(tmpl)
	}
	return c.sign(tmpl, c.between, key.Public(), c.betweens)
}

func chainPEM(chain ...*x509.Certificate) []byte {
	var out []byte
	for _, cert := range chain {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	return out
}

func keyPEM(t testing.TB, key crypto.Signer) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func (r *rig) bring(p *replica, host string, chain, key []byte) error {
	return p.platform.Write(r.t.Context(), func(ctx context.Context, tx bun.IDB) error { return p.certs.Bring(ctx, tx, host, chain, key) })
}

func TestBringSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.replica()
	const host = "www.acme15.example"
	r.verified(a, host)
	c, key := newCompany(t), newCompany(t).key()
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	good := c.server(key, nil, host)
	ecDER, err := x509.MarshalECPrivateKey(key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	locked := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte{1}})
	for name, tc := range map[string]struct {
		chain, key []byte
		field      string
		want       string
	}{
		"no certificate":   {[]byte("hello"), keyPEM(t, key), "chain", "cert.own.chain.unreadable"},
		"torn certificate": {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: good.Raw[:50]}), keyPEM(t, key), "chain", "cert.own.chain.unreadable"},
		"another host":     {chainPEM(c.server(key, nil, "other15.example"), c.between), keyPEM(t, key), "chain", "cert.own.chain.host"},
		"expired": {chainPEM(c.server(key, func(x *x509.Certificate) { x.NotAfter = time.Now().Add(-time.Minute) }, host), c.between), keyPEM(t, key),
			"chain", "cert.own.chain.expired"},
		"not yet": {chainPEM(c.server(key, func(x *x509.Certificate) { x.NotBefore = time.Now().Add(time.Hour) }, host), c.between), keyPEM(t, key),
			"chain", "cert.own.chain.expired"},
		"wrong order":   {chainPEM(good, c.root, c.between), keyPEM(t, key), "chain", "cert.own.chain.order"},
		"reversed":      {chainPEM(c.between, good), keyPEM(t, key), "chain", "cert.own.chain.order"},
		"stranger":      {chainPEM(good, newCompany(t).between), keyPEM(t, key), "chain", "cert.own.chain.order"},
		"for a mail":    {chainPEM(c.server(key, func(x *x509.Certificate) { x.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection} }, host)), keyPEM(t, key), "chain", "cert.own.chain.usage"},
		"weak":          {chainPEM(c.server(small, nil, host)), keyPEM(t, small), "chain", "cert.own.chain.weak"},
		"another's key": {chainPEM(good, c.between), keyPEM(t, c.key()), "key", "cert.own.key.other"},
		"no key":        {chainPEM(good, c.between), chainPEM(good), "key", "cert.own.key.unreadable"},
		"locked key":    {chainPEM(good, c.between), locked, "key", "cert.own.key.locked"},
		"much too long": {append(chainPEM(good), strings.Repeat("x", 1<<17)...), keyPEM(t, key), "chain", "cert.own.chain.unreadable"},
	} {
		err := r.bring(a, host, tc.chain, tc.key)
		if f := fault.FieldsOf(err); f[tc.field] != tc.want || len(f) != 1 {
			t.Errorf("%s: %v, want %s: %s", name, err, tc.field, tc.want)
		}
		if certs.BringProblems[tc.want] == "" {
			t.Errorf("%s has no words", tc.want)
		}
	}
	if err := r.bring(a, "stranger.example", chainPEM(good), keyPEM(t, key)); !fault.Is(err, fault.NotFound) {
		t.Errorf("for a host that is not proven: %v", err)
	}
	if s := r.status(a, host); s.Own || s.State != certs.Ordering {
		t.Errorf("after refusals: %+v", s)
	}
	// Each form of a key that people have; pasted with the key in front.
	for _, k := range [][]byte{keyPEM(t, key), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: ecDER})} {
		if err := r.bring(a, host, append(k, chainPEM(good, c.between, c.root)...), k); err != nil {
			t.Error(err)
		}
	}
}

// TestBroughtCertificate is served for its host and no other, is never ordered
// over, and is replaced when its end is near.
func TestBroughtCertificate(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.replica(), r.replica()
	const host, rival = "www.acme16.example", "www.rival16.example"
	r.verified(a, host, rival)
	if err := a.certs.RunOrder(t.Context(), rival); err != nil {
		t.Fatal(err)
	}
	c := newCompany(t)
	key := c.key()
	// It names another board's host too.
	chain := chainPEM(c.server(key, nil, host, rival), c.between)
	if err := r.bring(a, host, chain, keyPEM(t, key)); err != nil {
		t.Fatal(err)
	}
	mine := x509.NewCertPool()
	mine.AddCert(c.root)
	for _, p := range r.replicas {
		testkit.Eventually(t, 20*time.Second, func() error { _, _, err := getFrom(t, p.tlsAddr, host, mine); return err })
		for range 3 {
			if _, _, err := r.get(p, rival); err != nil {
				t.Errorf("the other board's host is served with a brought certificate: %v", err)
			}
		}
	}
	s := r.status(b, host)
	if !s.Own || s.State != certs.Issued || s.Issuer != "Acme Ltd" {
		t.Errorf("status %+v", s)
	}
	ordered := r.gate.ordered.Load()
	if err := a.certs.RunOrder(t.Context(), host); err != nil {
		t.Fatal(err)
	}
	if n := r.gate.ordered.Load(); n != ordered {
		t.Error("an order was made over a brought certificate")
	}
	// Near its end the owner is told, and then it is replaced.
	near := chainPEM(c.server(key, func(x *x509.Certificate) { x.NotAfter = time.Now().Add(48 * time.Hour) }, host), c.between)
	if err := r.bring(a, host, near, keyPEM(t, key)); err != nil {
		t.Fatal(err)
	}
	if err := a.certs.Watch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := r.status(a, host); s.Problem != "expiring" {
		t.Errorf("status near its end: %+v", s)
	}
	if err := a.certs.RunOrder(t.Context(), host); err != nil {
		t.Fatal(err)
	}
	r.served(host, 20*time.Second)
	if s := r.status(a, host); s.Own || s.Problem != "" {
		t.Errorf("status after its replacement: %+v", s)
	}
}
