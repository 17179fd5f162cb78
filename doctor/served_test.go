package doctor_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"shingle/doctor"
)

// authority signs certificates for a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{name}}, NotBefore: time.Now().AddDate(-2, 0, 0), NotAfter: time.Now().AddDate(2, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	raw, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

func (a *authority) issue(t *testing.T, host string, from, to time.Time) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{host}, NotBefore: from, NotAfter: to,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

// listen answers by TLS with the certificate of each name; it ends with the test.
func listen(t *testing.T, by map[string]*tls.Certificate) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) { return by[h.ServerName], nil }})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.(*tls.Conn).HandshakeContext(t.Context())
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

func TestCertificatesAsServed(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	says := func(level doctor.Level, words string) {
		t.Helper()
		among(t, w.d.Served(t.Context()), level, words)
	}
	w.says(t, doctor.OK, "not looked at: TLS ends before Shingle")
	w.d.Config.TLSListen = "127.0.0.1:0"
	says(doctor.OK, "not looked at: a developer's hosts have none")
	now := time.Now()
	known, unknown := newAuthority(t, "Known"), newAuthority(t, "Staging Authority")
	day := 24 * time.Hour
	good := func(host string) *tls.Certificate { return known.issue(t, host, now.Add(-day), now.Add(60*day)) }
	by := map[string]*tls.Certificate{"jobs.example": good("jobs.example"), "acme.boards.example": good("acme.boards.example")}
	// Hosts that are not asked for: of a closed board, not proven, proven a moment ago.
	w.sql(t, `INSERT INTO boards (id, slug, name, state) VALUES (md5('a')::uuid, 'acme', 'Acme', 'active'), (md5('b')::uuid, 'shut', 'Shut', 'suspended')`)
	w.sql(t, `INSERT INTO hosts (host, board_id, kind, verified_at) VALUES ('acme.boards.example', md5('a')::uuid, 'platform', now() - interval '1 day'), ('shut.boards.example', md5('b')::uuid, 'platform', now() - interval '1 day'),
		('new.acme.example', md5('a')::uuid, 'custom', now()), ('asked.acme.example', md5('a')::uuid, 'custom', NULL)`)
	root := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: known.cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	w.d.Config.PlatformHost, w.d.Config.BoardDomain, w.d.Config.ACMERoot, w.d.Config.TLSListen = "jobs.example", "boards.example", root, listen(t, by)
	says(doctor.OK, "2 of 2 hosts asked on this machine, of 2: good, the first until "+now.Add(60*day).UTC().Format("2 January 2006"))
	for _, f := range w.d.Served(t.Context()) {
		if f.Area == "certificates" && f.Level != doctor.OK {
			t.Errorf("with good certificates: %+v", f)
		}
	}

	// The host of uploads has a certificate of its own, and no board.
	w.d.Config.FilesHost = "files.example"
	says(doctor.Bad, "files.example")
	w.d.Config.FilesHost = ""

	for host, c := range map[string]struct {
		cert  *tls.Certificate
		level doctor.Level
		words string
	}{
		"old.acme.example":     {known.issue(t, "old.acme.example", now.Add(-90*day), now.Add(-2*day)), doctor.Bad, "old.acme.example serves a certificate that ran out on " + now.Add(-2*day).UTC().Format("2 January 2006")},
		"wrong.acme.example":   {good("other.example"), doctor.Bad, "wrong.acme.example is answered with the certificate of other.example"},
		"staging.acme.example": {unknown.issue(t, "staging.acme.example", now.Add(-day), now.Add(60*day)), doctor.Bad, `staging.acme.example serves a certificate that browsers do not trust, signed by "Staging Authority"`},
		"early.acme.example":   {known.issue(t, "early.acme.example", now.Add(2*day), now.Add(60*day)), doctor.Bad, "early.acme.example serves a certificate that begins on"},
		"soon.acme.example":    {known.issue(t, "soon.acme.example", now.Add(-80*day), now.Add(3*day)), doctor.Warn, "soon.acme.example serves a certificate that runs out on"},
		"none.acme.example":    {nil, doctor.Bad, "none.acme.example is answered without a certificate"},
	} {
		w.sql(t, `DELETE FROM hosts WHERE kind = 'custom' AND verified_at < now() - interval '1 hour'`)
		w.sql(t, `INSERT INTO hosts (host, board_id, kind, verified_at) VALUES ('`+host+`', md5('a')::uuid, 'custom', now() - interval '1 day')`)
		by[host] = c.cert
		w.d.Config.TLSListen = listen(t, by)
		says(c.level, c.words)
		says(doctor.OK, "2 of 3 hosts")
	}

	// Many faults are counted, and a listener that takes the connection and says
	// nothing does not hold up the rest.
	w.sql(t, `INSERT INTO hosts (host, board_id, kind, verified_at) SELECT 'x' || n || '.acme.example', md5('a')::uuid, 'custom', now() - interval '1 day' FROM generate_series(1, 100) AS n`)
	says(doctor.Bad, "more hosts are not well")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	w.d.Config.TLSListen = l.Addr().String()
	w.sql(t, `DELETE FROM hosts WHERE kind = 'custom'`)
	begun := time.Now()
	says(doctor.Bad, "jobs.example does not answer on port")
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("a silent listener holds the doctor up for %s", took)
	}
	// Serve is not here: hosts are asked where they lead, but never an inner network.
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	w.d.Config.PlatformHost = "127.0.0.1"
	says(doctor.Warn, "127.0.0.1 leads into an inner network")
	w.d.Config.ACMERoot = filepath.Join(t.TempDir(), "none.pem")
	says(doctor.Bad, "its file cannot be read")
}
