package certs_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"

	"shingle/domains/certs"
)

// TestIdentities takes an authority's names from its directory, once, and what
// is well known where a directory does not say.
func TestIdentities(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	var body atomic.Value
	directory := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if body.Load() == nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_ = json.NewEncoder(w).Encode(body.Load())
	}))
	t.Cleanup(directory.Close)
	meta := func(names ...string) map[string]any {
		return map[string]any{"newOrder": "x", "meta": map[string]any{"termsOfService": "y", "caaIdentities": names}}
	}
	r := newRig(t, func(r *rig) {
		if r.gate != nil {
			// The second is down for good; of the third nothing is known at all.
			r.o.Authorities = []certs.Authority{{Directory: directory.URL + "/directory"}, {Directory: "https://127.0.0.1:1/acme.zerossl.com/v2"}, {Directory: "https://127.0.0.1:1/x"}}
			r.o.Roots.AddCert(directory.Certificate())
		}
	})
	body.Store(meta("CA.Company.example.", "old-ca.company.example", "", `evil"; issue`, "sectigo.com"))
	a := r.replica()
	want := []string{"ca.company.example", "old-ca.company.example", "sectigo.com"}
	for range 3 {
		if got := a.certs.Identities(t.Context()); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	// Of a day's age they are asked for again; a directory in trouble changes nothing.
	a.certs.AgeIdentities()
	body.Store(meta("new.company.example"))
	if got := a.certs.Identities(t.Context()); !slices.Equal(got, []string{"new.company.example", "sectigo.com"}) {
		t.Errorf("a day later: %q", got)
	}
	directory.Close()
	a.certs.AgeIdentities()
	if got := a.certs.Identities(t.Context()); !slices.Equal(got, []string{"new.company.example", "sectigo.com"}) {
		t.Errorf("with the directory away: %q", got)
	}
	if got := certs.WellKnown("https://acme-v02.api.letsencrypt.org/directory", "https://dv.acme-v02.api.pki.goog/directory", "https://ca.example/x"); !slices.Equal(got, []string{"letsencrypt.org", "pki.goog"}) {
		t.Errorf("well known: %q", got)
	}
}
