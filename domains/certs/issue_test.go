package certs_test

import (
	"slices"
	"testing"
	"time"

	"shingle/domains/certs"
)

// TestNewDomainIsServedOverTLS is the way of a host from its proof to a page
// over TLS, on two replicas, one of which never asked for anything.
func TestNewDomainIsServedOverTLS(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.replica(), r.replica()
	r.work(a, 4)
	begun := time.Now()
	r.verified(b, "jobs.acme1.example")
	r.served("jobs.acme1.example", 50*time.Second)
	t.Logf("proven → TLS on two replicas: %s", time.Since(begun).Round(time.Millisecond))
	res, body, err := r.get(b, "jobs.acme1.example")
	if err != nil || body != "jobs.acme1.example over HTTP/2.0" || res.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("the page is %q, %v, headers %v", body, err, res.Header)
	}
	// A certificate names its one host, and neither the platform nor another board.
	r.verified(b, "jobs.rival1.example")
	r.served("jobs.rival1.example", 50*time.Second)
	for _, host := range []string{"jobs.acme1.example", "jobs.rival1.example"} {
		res, _, err := r.get(a, host)
		if err != nil {
			t.Fatal(err)
		}
		leaf := res.TLS.PeerCertificates[0]
		if cn := leaf.Subject.CommonName; !slices.Equal(leaf.DNSNames, []string{host}) || cn != "" && cn != host || len(leaf.Subject.Organization) > 0 ||
			len(leaf.EmailAddresses)+len(leaf.URIs)+len(leaf.IPAddresses) > 0 {
			t.Errorf("the certificate of %s is for %q, %q", host, leaf.Subject, leaf.DNSNames)
		}
	}
	s := r.status(a, "jobs.acme1.example")
	if s.State != certs.Issued || s.Problem != "" || s.Issuer == "" || time.Until(s.NotAfter) < 80*24*time.Hour {
		t.Errorf("status %+v", s)
	}
	if n := r.orders("", ""); n != 2 {
		t.Errorf("%d orders for two hosts", n)
	}
}
