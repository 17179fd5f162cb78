package certs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tasks"
	"shingle/tenant"
)

// Register gives the tasks their handlers.
func (c *Certs) Register(m *tasks.Mux) {
	m.Handle(kindOrder, c.handleOrder)
	m.Handle(kindWatch, c.handleWatch)
	m.Handle(kindStaple, c.handleStaple)
}

// Schedule keeps the watch's row.
func (c *Certs) Schedule(ctx context.Context) error {
	return tasks.Schedule(ctx, c.o.Platform, kindWatch, 5*time.Minute, tasks.Default)
}

// handleOrder brings a host's certificate into being, or up to date. Whatever
// goes wrong at an authority is kept in the host's row, with the time of the
// next try: the task itself fails only when Postgres does.
func (c *Certs) handleOrder(ctx context.Context, t *tasks.Task) error {
	var o order
	if err := t.Decode(&o); err != nil {
		return err
	}
	wanted, revoked, err := c.begin(ctx, o.Host)
	if err != nil {
		return err
	}
	if !wanted || !c.On() {
		return c.o.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error { return finish(ctx, tx, t) })
	}
	have, err := c.stored(ctx, o.Host)
	switch {
	case err == nil && !have.NeedsRenewal(c.config) && !revoked:
		return c.record(ctx, t, o.Host, have)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if c.StillProven != nil {
		// A record that dangles must not get anybody a certificate.
		if err := c.StillProven(ctx, o.Host); fault.Is(err, fault.Forbidden) {
			return c.postpone(ctx, t, o.Host, trouble{verdict: verdict{code: "unproven"}})
		} else if err != nil {
			return err
		}
	}
	cert, why, err := c.obtain(ctx, o.Host, err == nil, revoked)
	switch {
	case err != nil:
		return err
	case why != nil:
		return c.postpone(ctx, t, o.Host, *why)
	}
	return c.record(ctx, t, o.Host, cert)
}

// begin reports whether the host is still ours and no certificate that was
// brought serves it, and marks its row; revoked is an ordered one that its
// authority took back.
func (c *Certs) begin(ctx context.Context, name string) (wanted, revoked bool, err error) {
	err = c.o.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if wanted, err = c.ours(ctx, tx, name); err != nil || !wanted {
			return err
		}
		_, err := tx.NewRaw(`INSERT INTO certificates (host, state) VALUES (?, 'ordering') ON CONFLICT (host) DO NOTHING`, name).Exec(ctx)
		if err != nil {
			return err
		}
		return tx.NewRaw(`SELECT source = 'acme' OR revoked_at IS NOT NULL OR not_after < now() + make_interval(secs => ?), source = 'acme' AND revoked_at IS NOT NULL
			FROM certificates WHERE host = ?`, replaceOwn.Seconds(), name).Scan(ctx, &wanted, &revoked)
	})
	return wanted, revoked, err
}

// trouble is why there is no certificate yet, and when to try again.
type trouble struct {
	verdict
	// waits says that nothing was tried: an authority's limit is reached.
	waits bool
	until time.Time
}

// obtain asks one authority after the other.
func (c *Certs) obtain(ctx context.Context, name string, renewal, revoked bool) (certmagic.Certificate, *trouble, error) {
	var worst *trouble
	note := func(t trouble) {
		// What can be mended is worth more to its reader than "come back later".
		if worst == nil || worst.waits && !t.waits || worst.waits && t.until.Before(worst.until) {
			worst = &t
		}
	}
	for _, ca := range c.cas {
		id, w, err := c.reserve(ctx, ca.name, name, renewal)
		if err != nil {
			return certmagic.Certificate{}, nil, err
		}
		if w.code != "" {
			note(trouble{verdict: verdict{code: w.code}, waits: true, until: w.until})
			continue
		}
		asked, err := c.askAuthority(ctx, ca, name, revoked)
		if err == nil {
			cert, lerr := c.stored(ctx, name)
			outcome := "issued"
			if !asked { // another replica was faster
				outcome = ""
			} else {
				c.orders.WithLabelValues(ca.name, outcome).Inc()
			}
			return cert, nil, errors.Join(lerr, c.settle(ctx, id, outcome, time.Time{}))
		}
		if ctx.Err() != nil { // the worker stops, or lost the task's lease: nobody's failure
			return certmagic.Certificate{}, nil, errors.Join(err, c.settle(ctx, id, "away", time.Time{}))
		}
		v := judge(err, time.Now())
		c.orders.WithLabelValues(ca.name, v.outcome).Inc()
		c.o.Log.Warn("a certificate was not issued", "host", name, "ca", ca.name, "problem", v.code, "detail", v.detail)
		if err := c.settle(ctx, id, v.outcome, v.hold); err != nil {
			return certmagic.Certificate{}, nil, err
		}
		note(trouble{verdict: v})
	}
	return certmagic.Certificate{}, worst, nil
}

type askedKey struct{}

// noteEvent hears from certmagic that an authority has issued.
func noteEvent(ctx context.Context, event string, _ map[string]any) error {
	if asked, ok := ctx.Value(askedKey{}).(*bool); ok && event == "cert_obtained" {
		*asked = true
	}
	return nil
}

// askAuthority orders at one authority, under certmagic's lock of the name;
// asked is false when the lock's last holder had done it. Force replaces one
// that has not run out.
func (c *Certs) askAuthority(ctx context.Context, ca authority, name string, force bool) (asked bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, askedKey{}, &asked), c.o.Patience)
	defer cancel()
	issuer := ca.direct
	if name[0] == '*' {
		issuer = ca.zone
	}
	one := *c.config
	one.Issuers = []certmagic.Issuer{issuer}
	// Without this authority's certificate in storage it obtains a first one.
	err = one.RenewCertSync(ctx, name, force)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w after %s: %w", context.DeadlineExceeded, c.o.Patience, err)
	}
	return asked, err
}

// record writes what the host has now. A host that was removed meanwhile loses
// it again.
func (c *Certs) record(ctx context.Context, t *tasks.Task, name string, cert certmagic.Certificate) error {
	renewAt := c.renewAt(ctx, name, cert)
	return c.o.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := finish(ctx, tx, t); err != nil {
			return err
		}
		ours, err := c.ours(ctx, tx, name)
		if err != nil {
			return err
		}
		if !ours {
			return c.forget(ctx, tx, name)
		}
		// One that was brought has had its time: begin saw to that.
		from, to := folder("certificates/own/" + name)
		if _, err := tx.NewRaw(`DELETE FROM acme_objects WHERE key >= ? AND key < ?`, from, to).Exec(ctx); err != nil {
			return err
		}
		_, err = tx.NewRaw(`INSERT INTO certificates AS c (host, state, issuer, not_before, not_after, renew_at, ocsp_at, first_issued_at) VALUES (?, 'issued', ?, ?, ?, ?, ?, now())
			ON CONFLICT (host) DO UPDATE SET state = 'issued', source = 'acme', issuer = excluded.issuer, not_before = excluded.not_before, not_after = excluded.not_after,
				renew_at = excluded.renew_at, ocsp_at = excluded.ocsp_at, ocsp_until = NULL, ocsp_failures = 0, revoked_at = NULL, first_issued_at = coalesce(c.first_issued_at, now()), problem = '', detail = '', failures = 0, next_try = NULL,
				updated_at = clock_timestamp()`,
			name, issuerName(cert.Leaf), cert.Leaf.NotBefore, cert.Leaf.NotAfter, renewAt, stapleAt(cert.Leaf)).Exec(ctx)
		if err != nil {
			return err
		}
		tenant.AfterCommit(ctx, func() { c.o.Notifier.HostChanged(name) })
		return addStaple(ctx, tx, name, cert.Leaf)
	})
}

// finish deletes the task's row, where there is one: tests call without.
func finish(ctx context.Context, tx bun.IDB, t *tasks.Task) error {
	if t.Handover == 0 {
		return nil
	}
	return t.Finish(ctx, tx)
}

// renewAt is a third of its life before the end, or when the authority said.
func (c *Certs) renewAt(ctx context.Context, name string, cert certmagic.Certificate) time.Time {
	leaf := cert.Leaf
	at := leaf.NotAfter.Add(-leaf.NotAfter.Sub(leaf.NotBefore) / 3)
	for _, ca := range c.cas {
		raw, err := c.storage.Load(ctx, certmagic.StorageKeys.SiteMeta(ca.name, name))
		if err != nil {
			continue
		}
		var meta certmagic.CertificateResource
		var data acme.Certificate
		if json.Unmarshal(raw, &meta) != nil || json.Unmarshal(meta.IssuerData, &data) != nil || data.RenewalInfo == nil {
			continue
		}
		if said := data.RenewalInfo.SelectedTime; said.After(leaf.NotBefore) && said.Before(at) {
			at = said
		}
	}
	return at
}

// postpone keeps what went wrong and comes back later. An order that an
// authority's limit holds up is no failure.
func (c *Certs) postpone(ctx context.Context, t *tasks.Task, name string, tr trouble) error {
	return c.o.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := finish(ctx, tx, t); err != nil {
			return err
		}
		var failures int
		err := tx.NewRaw(`UPDATE certificates SET failures = failures + ?, problem = ?, detail = ?, updated_at = clock_timestamp(),
				state = CASE WHEN not_after IS NOT NULL THEN 'issued' WHEN ? THEN 'ordering' ELSE 'failed' END
			WHERE host = ? AND state <> 'dropped' RETURNING failures`, count(!tr.waits), tr.code, tr.detail, tr.waits, name).Scan(ctx, &failures)
		if err != nil {
			return ignoreNone(err) // removed meanwhile
		}
		if !tr.waits {
			tr.until = time.Now().Add(c.o.Retry(failures))
		}
		if _, err := tx.NewRaw(`UPDATE certificates SET next_try = ? WHERE host = ?`, tr.until, name).Exec(ctx); err != nil {
			return err
		}
		return add(ctx, tx, name, tr.until)
	})
}

func count(one bool) int {
	if one {
		return 1
	}
	return 0
}
