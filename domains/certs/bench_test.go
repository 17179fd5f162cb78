package certs_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/uptrace/bun"

	"shingle/internal/testkit"
)

// BenchmarkHandshakes compares full TLS 1.3 handshakes with 10,000 certificates
// stored and 1,000 of them visited, against crypto/tls with one certificate. The
// two take turns within one run; "ratio" is ours over theirs (bar: 0.9).
func BenchmarkHandshakes(b *testing.B) {
	const stored, hot = 10_000, 1_000
	r := newRig(b)
	p := r.replica()
	certPEM, keyPEM, err := testkit.SelfSigned(time.Now().Add(2000*time.Hour), "jobs.example")
	if err != nil {
		b.Fatal(err)
	}
	one, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		b.Fatal(err)
	}
	hosts := make([]string, stored)
	for i := range hosts {
		hosts[i] = fmt.Sprintf("jobs.company-%d.example", i)
	}
	ca := p.certs.CAKeys()[0]
	for begin := 0; begin < stored; begin += 500 {
		err := p.platform.Write(b.Context(), func(ctx context.Context, tx bun.IDB) error {
			for _, h := range hosts[begin : begin+500] {
				if _, err := tx.NewRaw(`INSERT INTO hosts (host, board_id, kind, verified_at) VALUES (?, ?, 'custom', now())`, h, r.board.ID).Exec(ctx); err != nil {
					return err
				}
				if _, err := tx.NewRaw(`INSERT INTO certificates (host, state, issuer, not_before, not_after, renew_at) VALUES (?, 'issued', 'x', now(), now() + interval '80 days', now() + interval '50 days')`, h).Exec(ctx); err != nil {
					return err
				}
				for key, v := range map[string][]byte{certmagic.StorageKeys.SiteCert(ca, h): certPEM, certmagic.StorageKeys.SitePrivateKey(ca, h): keyPEM, certmagic.StorageKeys.SiteMeta(ca, h): []byte(`{}`)} {
					if err := p.certs.Storage().StoreIn(ctx, tx, key, v); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := p.certs.Load(b.Context()); err != nil {
		b.Fatal(err)
	}
	ours, theirs := p.certs.TLSConfig(), &tls.Config{Certificates: []tls.Certificate{one}, MinVersion: tls.VersionTLS12, NextProtos: protos()}
	n := 0
	run := func(c *tls.Config) time.Duration {
		begun := time.Now()
		for range 50 {
			n += 7
			meet(b, c, hosts[n%hot])
		}
		return time.Since(begun)
	}
	for _, h := range hosts[:hot] {
		meet(b, ours, h)
	}
	run(theirs)
	// Turn by turn, in small pieces: others use this machine too.
	var ratios []float64
	var mine time.Duration
	for b.Loop() {
		m, plain := run(ours), run(theirs)
		mine += m
		ratios = append(ratios, float64(plain)/float64(m))
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
	b.ReportMetric(50*float64(b.N)/mine.Seconds(), "handshakes/s")
}

func protos() []string { return []string{"h2", "http/1.1"} }

// meet lets a client and a server shake hands in memory.
func meet(b *testing.B, server *tls.Config, host string) {
	x, y := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- tls.Server(y, server).HandshakeContext(b.Context()) }()
	client := tls.Client(x, &tls.Config{ServerName: host, InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, NextProtos: protos()}) //nolint:gosec // measured, not trusted
	if err := client.HandshakeContext(b.Context()); err != nil {
		b.Fatal(host, err)
	}
	go func() { _, _ = client.Read(make([]byte, 1)) }() // the session's ticket
	if err := <-done; err != nil {
		b.Fatal(host, err)
	}
	_ = x.Close()
	_ = y.Close()
}

// BenchmarkAdmit is what a name costs before anything else, ours or not.
func BenchmarkAdmit(b *testing.B) {
	r := newRig(b)
	p := r.replica()
	c := p.certs.TLSConfig()
	b.ReportAllocs()
	hello := &tls.ClientHelloInfo{ServerName: "some.stranger.example"}
	for b.Loop() {
		_, _ = c.GetConfigForClient(hello)
	}
}
