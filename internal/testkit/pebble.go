package testkit

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// CA is a certificate authority of the test's own: Let's Encrypt's pebble,
// which refuses one nonce in twenty as the real one may.
type CA struct {
	// Directory is its ACME directory; RootFile and Pool hold who signed its own
	// HTTPS, which has nothing to do with what it issues.
	Directory string
	RootFile  string
	Pool      *x509.CertPool
	// Issued trusts what it issues.
	Issued *x509.CertPool
}

// CAOptions say where an authority looks when it validates a host.
type CAOptions struct {
	HTTPPort, TLSPort int
	// DNS is the address of the resolver it asks.
	DNS string
	// EAB wants accounts bound to this key id and key (base64url).
	EABKey, EABMAC string
}

// Pebble runs an authority for the test's time. SHINGLE_TEST_PEBBLE is the
// program's path; without it the one that `make tools` builds is run.
func Pebble(t testing.TB, o CAOptions) *CA {
	t.Helper()
	bin := os.Getenv("SHINGLE_TEST_PEBBLE")
	if bin == "" {
		bin = filepath.Join(repoRoot(), "bin", "tools", "pebble")
	}
	if !exists(bin) {
		t.Fatalf("pebble is missing at %s: run `make tools`", bin)
	}
	var err error
	// A port can be taken between the look and the start: then again.
	for range 5 {
		var ca *CA
		var stop func()
		if ca, stop, err = startPebble(t.Context(), bin, t.TempDir(), o); err == nil {
			t.Cleanup(stop)
			return ca
		}
	}
	t.Fatalf("pebble: %v", err)
	return nil
}

func startPebble(ctx context.Context, bin, dir string, o CAOptions) (*CA, func(), error) {
	acme, err := freeAddr(ctx)
	if err != nil {
		return nil, nil, err
	}
	management, err := freeAddr(ctx)
	if err != nil {
		return nil, nil, err
	}
	ca := &CA{Directory: "https://" + acme.String() + "/dir", RootFile: filepath.Join(dir, "cert.pem"), Pool: x509.NewCertPool(), Issued: x509.NewCertPool()}
	certPEM, keyPEM, err := SelfSigned(time.Now().Add(time.Hour), "127.0.0.1")
	if err != nil {
		return nil, nil, err
	}
	ca.Pool.AppendCertsFromPEM(certPEM)
	settings := map[string]any{
		"listenAddress": acme.String(), "managementListenAddress": management.String(),
		"certificate": ca.RootFile, "privateKey": filepath.Join(dir, "key.pem"),
		"httpPort": o.HTTPPort, "tlsPort": o.TLSPort, "keyAlgorithm": "ecdsa",
		"domainBlocklist": []string{"blocked.example"},
		"profiles":        map[string]any{"default": map[string]any{"description": "ninety days", "validityPeriod": 90 * 24 * 3600}},
	}
	if o.EABKey != "" {
		settings["externalAccountBindingRequired"] = true
		settings["externalAccountMACKeys"] = map[string]string{o.EABKey: o.EABMAC}
	}
	raw, err := json.Marshal(map[string]any{"pebble": settings})
	if err != nil {
		return nil, nil, err
	}
	config := filepath.Join(dir, "pebble.json")
	if err := errors.Join(os.WriteFile(config, raw, 0o600), os.WriteFile(ca.RootFile, certPEM, 0o600),
		os.WriteFile(filepath.Join(dir, "key.pem"), keyPEM, 0o600)); err != nil {
		return nil, nil, err
	}
	args := []string{"PEBBLE_VA_NOSLEEP=1", bin, "-config", config}
	if o.DNS != "" {
		args = append(args, "-dnsserver", o.DNS)
	}
	stop, err := guarded(ctx, "env", args...)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	// Its root is made at the start; who can read it has a running authority.
	root, err := fetch(ctx, ca.Pool, "https://"+management.String()+"/roots/0")
	if err == nil {
		_, err = fetch(ctx, ca.Pool, ca.Directory)
	}
	if err != nil {
		stop()
		return nil, nil, fmt.Errorf("on %s: %w", acme, err)
	}
	if !ca.Issued.AppendCertsFromPEM(root) {
		stop()
		return nil, nil, errors.New("its root cannot be read")
	}
	return ca, stop, nil
}

// fetch asks until somebody answers or ctx ends.
func fetch(ctx context.Context, pool *x509.CertPool, url string) ([]byte, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return nil, err
		}
		res, err := client.Do(req)
		if err == nil {
			body, rerr := io.ReadAll(io.LimitReader(res.Body, 1<<16))
			_ = res.Body.Close()
			if res.StatusCode != http.StatusOK {
				return nil, errors.New("somebody else answers")
			}
			return body, rerr
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// SelfSigned is a certificate that vouches for itself, valid since yesterday,
// for names and addresses, as PEM with its key.
func SelfSigned(notAfter time.Time, names ...string) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "test " + names[0]},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: notAfter, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), err
}
