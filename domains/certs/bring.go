package certs

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tenant"
)

// BringProblems are the codes of fault.Fields that Bring answers, each with its
// plain words in English; the catalogues have them under the same names.
var BringProblems = map[string]string{
	"cert.own.chain.unreadable": "This is not a certificate in PEM form. It begins with -----BEGIN CERTIFICATE-----.",
	"cert.own.chain.host":       "The certificate is not for this host.",
	"cert.own.chain.expired":    "The certificate has run out, or is not valid yet.",
	"cert.own.chain.order":      "The chain is out of order: the host's certificate comes first, then the one that signed it, and so on.",
	"cert.own.chain.usage":      "The certificate may not be used for a web server.",
	"cert.own.chain.weak":       "The certificate's key is too weak: 2048 bits are the least.",
	"cert.own.key.unreadable":   "This is not a private key in PEM form.",
	"cert.own.key.locked":       "The private key is protected by a password. Remove it first.",
	"cert.own.key.other":        "The private key belongs to another certificate.",
}

const maxPEM = 64 << 10

// Bring takes a certificate that the board's owner got elsewhere, in the
// caller's platform transaction: the chain is checked against the host, its
// dates and its order, the key against the certificate. It is used instead of an
// ordered one until three days before its end. Kinds: fault.Invalid with the
// fields chain and key, fault.NotFound for a host that is not proven,
// fault.Conflict while TLS is off.
func (c *Certs) Bring(ctx context.Context, tx bun.IDB, host string, chainPEM, keyPEM []byte) error {
	if !c.On() {
		return errOff
	}
	ours, err := c.ours(ctx, tx, host)
	if err != nil {
		return err
	}
	if !ours {
		return fault.New(fault.NotFound, "this host is not proven")
	}
	chain, key, fields := readPair(host, chainPEM, keyPEM, time.Now())
	if err := fault.Invalids(fields); err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	// Stored as read, so that nothing else that was pasted comes along.
	var pemChain bytes.Buffer
	for _, cert := range chain {
		if err := pem.Encode(&pemChain, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}); err != nil {
			return err
		}
	}
	for k, v := range map[string][]byte{ownKey(host, "crt"): pemChain.Bytes(), ownKey(host, "key"): pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})} {
		if err := c.storage.store(ctx, tx, k, v); err != nil {
			return err
		}
	}
	leaf := chain[0]
	_, err = tx.NewRaw(`INSERT INTO certificates AS c (host, state, source, issuer, not_before, not_after, renew_at, ocsp_at, first_issued_at) VALUES (?, 'issued', 'own', ?, ?, ?, NULL, ?, now())
		ON CONFLICT (host) DO UPDATE SET state = 'issued', source = 'own', issuer = excluded.issuer, not_before = excluded.not_before, not_after = excluded.not_after,
			renew_at = NULL, ocsp_at = excluded.ocsp_at, ocsp_until = NULL, ocsp_failures = 0, revoked_at = NULL, first_issued_at = coalesce(c.first_issued_at, now()), problem = '', detail = '', failures = 0, next_try = NULL, updated_at = clock_timestamp()`,
		host, issuerName(leaf), leaf.NotBefore, leaf.NotAfter, stapleAt(leaf)).Exec(ctx)
	if err != nil {
		return err
	}
	tenant.AfterCommit(ctx, func() { c.o.Notifier.HostChanged(host) })
	return addStaple(ctx, tx, host, leaf)
}

// ownKey is where a brought certificate is kept, beside those of authorities.
func ownKey(host, ext string) string { return "certificates/own/" + host + "/" + host + "." + ext }

// loadOwn reads a brought certificate.
func (c *Certs) loadOwn(ctx context.Context, host string) (*tls.Certificate, error) {
	chain, err := c.storage.Load(ctx, ownKey(host, "crt"))
	if err != nil {
		return nil, err
	}
	key, err := c.storage.Load(ctx, ownKey(host, "key"))
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(chain, key)
	return &pair, err
}

// readPair reads and checks what was pasted.
func readPair(host string, chainPEM, keyPEM []byte, now time.Time) ([]*x509.Certificate, crypto.Signer, fault.Fields) {
	f := fault.Fields{}
	chain := readChain(chainPEM)
	if chain == nil {
		f["chain"] = "cert.own.chain.unreadable"
	} else if problem := checkChain(host, chain, now); problem != "" {
		f["chain"] = problem
	}
	key, problem := readKey(keyPEM)
	if problem != "" {
		f["key"] = problem
	} else if f["chain"] == "" {
		public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
		if !ok || !public.Equal(chain[0].PublicKey) {
			f["key"] = "cert.own.key.other"
		}
	}
	return chain, key, f
}

func readChain(raw []byte) (chain []*x509.Certificate) {
	for len(raw) <= maxPEM {
		var block *pem.Block
		if block, raw = pem.Decode(raw); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue // a key, or parameters, pasted along
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil || len(chain) == 10 {
			return nil
		}
		chain = append(chain, cert)
	}
	return chain
}

func checkChain(host string, chain []*x509.Certificate, now time.Time) string {
	leaf := chain[0]
	for i, cert := range chain[1:] {
		if chain[i].CheckSignatureFrom(cert) != nil {
			return "cert.own.chain.order"
		}
	}
	if leaf.VerifyHostname(host) != nil {
		return "cert.own.chain.host"
	}
	for _, cert := range chain {
		if now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
			return "cert.own.chain.expired"
		}
	}
	server := len(leaf.ExtKeyUsage) == 0 && len(leaf.UnknownExtKeyUsage) == 0
	for _, u := range leaf.ExtKeyUsage {
		server = server || u == x509.ExtKeyUsageServerAuth || u == x509.ExtKeyUsageAny
	}
	if !server {
		return "cert.own.chain.usage"
	}
	if k, ok := leaf.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() < 2048 {
		return "cert.own.chain.weak"
	}
	return ""
}

func readKey(raw []byte) (crypto.Signer, string) {
	for len(raw) <= maxPEM {
		var block *pem.Block
		if block, raw = pem.Decode(raw); block == nil {
			break
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return nil, "cert.own.key.locked"
		}
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		if k, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			if s, ok := k.(crypto.Signer); ok {
				return s, ""
			}
		}
		if k, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
			return k, ""
		}
		if k, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
			return k, ""
		}
	}
	return nil, "cert.own.key.unreadable"
}
