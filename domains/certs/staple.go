package certs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/uptrace/bun"
	"golang.org/x/crypto/ocsp"

	"shingle/tasks"
	"shingle/tenant"
)

// kindStaple is a frozen name of a task: it asks a certificate's responder
// whether the certificate still holds. Handshakes use what is stored and never
// ask, so that a responder which is down or slow holds up nobody.
const kindStaple = "domains.certificate.staple"

const (
	// askStaple bounds one look at a responder; maxStaple its answer, in bytes.
	askStaple, maxStaple = 20 * time.Second, 64 << 10
	// retryStaple bounds the wait after failures, stapleMost that after an answer.
	retryStaple, stapleMost = 6 * time.Hour, 7 * 24 * time.Hour
	// stapleLeft is how long an answer must still hold to be worth its keeping.
	stapleLeft = 2 * keepHot
)

// stapleAt is when a new certificate's responder is to be asked: at once, or
// never where it names none.
func stapleAt(leaf *x509.Certificate) bun.NullTime {
	if len(leaf.OCSPServer) == 0 {
		return bun.NullTime{}
	}
	return bun.NullTime{Time: time.Now()}
}

// addStaple writes the task, where the certificate names a responder.
func addStaple(ctx context.Context, tx bun.IDB, name string, leaf *x509.Certificate) error {
	if len(leaf.OCSPServer) == 0 {
		return nil
	}
	return tasks.Add(tenant.With(ctx, nil), tx, tasks.New{Kind: kindStaple, Key: name, Payload: order{Host: name}})
}

// stapleKey is where an answer is kept: with its host's name, so that it goes
// with the host.
func stapleKey(name string, leaf []byte) string {
	sum := sha256.Sum256(leaf)
	return "ocsp/" + certmagic.StorageKeys.Safe(name) + "-" + hex.EncodeToString(sum[:8])
}

// attach staples the stored answer, if it holds for as long as the certificate
// is kept in memory.
func (c *Certs) attach(ctx context.Context, name string, cert *tls.Certificate) {
	if cert.Leaf == nil || len(cert.Leaf.OCSPServer) == 0 {
		return
	}
	raw, err := c.storage.Load(ctx, stapleKey(name, cert.Leaf.Raw))
	if err != nil {
		return // without an answer the handshake is as good
	}
	// Its signature was checked before it was stored, under a seal.
	if r, err := ocsp.ParseResponse(raw, nil); err == nil && r.Status == ocsp.Good && r.NextUpdate.After(time.Now().Add(keepHot)) {
		cert.OCSPStaple = raw
	}
}

// handleStaple asks a host's responder and keeps the answer. What goes wrong
// there is counted and tried again later; the old answer serves while it holds.
func (c *Certs) handleStaple(ctx context.Context, t *tasks.Task) error {
	var o order
	if err := t.Decode(&o); err != nil {
		return err
	}
	done := func() error {
		return c.o.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error { return finish(ctx, tx, t) })
	}
	var row struct {
		Source    string    `bun:"source"`
		UpdatedAt time.Time `bun:"updated_at"`
		Failures  int       `bun:"ocsp_failures"`
	}
	err := c.o.Platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT source, updated_at, ocsp_failures FROM certificates WHERE host = ? AND state = 'issued' AND ocsp_at IS NOT NULL`, o.Host).Scan(ctx, &row)
	})
	if err := ignoreNone(err); err != nil {
		return err
	}
	if row.Source == "" || !c.On() || c.o.HTTP == nil {
		return done()
	}
	cert, err := c.load(ctx, o.Host, row.Source == "own")
	if err != nil {
		c.o.Log.Warn("a certificate cannot be read for its responder", "host", o.Host, "error", err)
		return done()
	}
	answer, err := c.askResponder(ctx, cert)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	outcome := "failed"
	if err != nil {
		c.o.Log.Warn("an OCSP responder gave no answer", "host", o.Host, "detail", brief(err.Error()))
	} else {
		outcome = map[int]string{ocsp.Good: "good", ocsp.Revoked: "revoked"}[answer.Status]
	}
	c.staples.WithLabelValues(outcome).Inc()
	return c.o.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := finish(ctx, tx, t); err != nil {
			return err
		}
		// A certificate that took this one's place meanwhile has a look of its own.
		const update, where = `UPDATE certificates SET `, ` WHERE host = ? AND updated_at = ?`
		if outcome == "failed" {
			again := time.Now().Add(min(c.o.Retry(row.Failures+1), retryStaple))
			_, err := tx.NewRaw(update+`ocsp_failures = ocsp_failures + 1, ocsp_at = ?`+where, again, o.Host, row.UpdatedAt).Exec(ctx)
			return err
		}
		set := `ocsp_failures = 0, ocsp_at = ?, ocsp_until = ?, updated_at = clock_timestamp(), revoked_at = NULL`
		if outcome == "revoked" {
			set = `ocsp_failures = 0, ocsp_at = ?, ocsp_until = ?, updated_at = clock_timestamp(), revoked_at = coalesce(revoked_at, now()), problem = 'revoked'`
		}
		res, err := tx.NewRaw(update+set+where, askAgain(answer, time.Now()), answer.NextUpdate, o.Host, row.UpdatedAt).Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		if err := c.storage.store(ctx, tx, stapleKey(o.Host, cert.Leaf.Raw), answer.Raw); err != nil {
			return err
		}
		tenant.AfterCommit(ctx, func() { c.o.Notifier.HostChanged(o.Host) })
		if outcome == "revoked" {
			return add(ctx, tx, o.Host, time.Time{})
		}
		return nil
	})
}

// askAgain is half of what is left of an answer's life, in an hour at the
// soonest and in a week at the latest.
func askAgain(r *ocsp.Response, now time.Time) time.Time {
	at := r.ThisUpdate.Add(r.NextUpdate.Sub(r.ThisUpdate) / 2)
	if at.Before(now.Add(time.Hour)) {
		at = now.Add(time.Hour)
	}
	if most := now.Add(stapleMost); at.After(most) {
		at = most
	}
	return at
}

// askResponder gets an answer, good or revoked, and checks who signed it and
// how long it holds. Addresses in a certificate are its owner's to choose:
// they are asked through Options.HTTP.
func (c *Certs) askResponder(ctx context.Context, cert *tls.Certificate) (*ocsp.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, askStaple)
	defer cancel()
	issuer, err := c.issuerOf(ctx, cert)
	if err != nil {
		return nil, err
	}
	question, err := ocsp.CreateRequest(cert.Leaf, issuer, nil)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, address := range cert.Leaf.OCSPServer[:min(2, len(cert.Leaf.OCSPServer))] {
		raw, err := c.fetch(ctx, http.MethodPost, address, question)
		if err == nil {
			var r *ocsp.Response
			if r, err = readAnswer(raw, cert.Leaf, issuer, time.Now()); err == nil {
				return r, nil
			}
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func readAnswer(raw []byte, leaf, issuer *x509.Certificate, now time.Time) (*ocsp.Response, error) {
	r, err := ocsp.ParseResponseForCert(raw, leaf, issuer)
	if err != nil {
		return nil, err
	}
	if by := r.Certificate; by != nil && !by.Equal(issuer) {
		// The library checks that the issuer signed it, not what for.
		if !slices.Contains(by.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning) || now.Before(by.NotBefore) || now.After(by.NotAfter) {
			return nil, errors.New("signed by a certificate that may not sign answers")
		}
	}
	switch {
	case r.Status != ocsp.Good && r.Status != ocsp.Revoked:
		return nil, errors.New("the responder does not know the certificate")
	case r.ThisUpdate.After(now.Add(5 * time.Minute)):
		return nil, errors.New("the answer is of the future")
	case r.NextUpdate.Before(now.Add(stapleLeft)):
		return nil, fmt.Errorf("the answer holds until %s only", r.NextUpdate.UTC().Format(time.RFC3339))
	case r.NextUpdate.After(leaf.NotAfter.Add(time.Hour)):
		return nil, errors.New("the answer outlives the certificate")
	}
	return r, nil
}

// issuerOf is who signed the certificate: the next in its chain, or what the
// certificate says where it can be had.
func (c *Certs) issuerOf(ctx context.Context, cert *tls.Certificate) (*x509.Certificate, error) {
	if len(cert.Certificate) > 1 {
		return x509.ParseCertificate(cert.Certificate[1])
	}
	if len(cert.Leaf.IssuingCertificateURL) == 0 {
		return nil, errors.New("the chain lacks the issuer")
	}
	raw, err := c.fetch(ctx, http.MethodGet, cert.Leaf.IssuingCertificateURL[0], nil)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(raw); block != nil {
		raw = block.Bytes
	}
	issuer, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, err
	}
	return issuer, cert.Leaf.CheckSignatureFrom(issuer)
}

func (c *Certs) fetch(ctx context.Context, method, address string, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/ocsp-request")
		r.Header.Set("Accept", "application/ocsp-response")
	}
	res, err := c.o.HTTP.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %d", res.StatusCode)
	}
	return io.ReadAll(io.LimitReader(res.Body, maxStaple))
}

// addStaples asks for the looks that are due, in the watch's transaction.
func addStaples(ctx context.Context, tx bun.IDB) error {
	var due []string
	err := tx.NewRaw(`SELECT host FROM certificates WHERE ocsp_at < now() AND state = 'issued' ORDER BY ocsp_at LIMIT ?`, most).Scan(ctx, &due)
	if err != nil {
		return err
	}
	for _, h := range due {
		if err := tasks.Add(tenant.With(ctx, nil), tx, tasks.New{Kind: kindStaple, Key: h, Payload: order{Host: h}}); err != nil {
			return err
		}
	}
	return nil
}
