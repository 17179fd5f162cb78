package certs_test

import (
	"math"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"shingle/internal/testkit"
)

// figures are what a watcher reads, by name and label.
func figures(t *testing.T, p *replica) map[string]float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(p.certs.Metrics()...)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				if l.GetName() != "ca" {
					name += " " + l.GetValue()
				}
			}
			out[name] += m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return out
}

// TestFigures holds that expiry, lateness and failures are measured.
func TestFigures(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.replica()
	if f := figures(t, a); !math.IsInf(f["shingle_certificate_soonest_expiry_seconds"], 1) || f["shingle_certificates_late"] != 0 {
		t.Errorf("with nothing: %v", f)
	}
	r.verified(a, "good.acme36.example", "soon.acme37.example", "bad.acme38.example")
	if err := a.certs.RunOrder(t.Context(), "good.acme36.example"); err != nil {
		t.Fatal(err)
	}
	r.seed(a, "soon.acme37.example", time.Now().Add(time.Hour)) // of a life of 25
	r.dns.set("bad.acme38.example", "")
	if err := a.certs.RunOrder(t.Context(), "bad.acme38.example"); err != nil {
		t.Fatal(err)
	}
	_ = handshake(t, a.tlsAddr, "stranger.example", nil)
	testkit.Eventually(t, 20*time.Second, func() error { return handshake(t, a.tlsAddr, "good.acme36.example", nil) })
	if err := a.certs.Watch(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := figures(t, a)
	for name, want := range map[string]float64{"shingle_certificates issued": 2, "shingle_certificates failed": 1, "shingle_certificates ordering": 1, // the platform's own
		"shingle_certificates_late": 1, "shingle_acme_orders_total issued": 1, "shingle_acme_orders_total failed": 1, "shingle_tls_unknown_names_total": 1, "shingle_tls_certificate_loads_total": 1} {
		if f[name] != want {
			t.Errorf("%s is %v, want %v", name, f[name], want)
		}
	}
	if s := f["shingle_certificate_soonest_expiry_seconds"]; s < 3000 || s > 3600 {
		t.Errorf("the next runs out in %v s", s)
	}
}
