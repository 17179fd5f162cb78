package certs_test

import (
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
	s := r.status(a, "jobs.acme1.example")
	if s.State != certs.Issued || s.Problem != "" || s.Issuer == "" || time.Until(s.NotAfter) < 80*24*time.Hour {
		t.Errorf("status %+v", s)
	}
	if n := r.orders("", ""); n != 1 {
		t.Errorf("%d orders for one host", n)
	}
}
