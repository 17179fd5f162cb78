package certs

import (
	"context"
	"crypto/x509"
	"database/sql"
	"errors"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/uptrace/bun"

	"shingle/tasks"
)

// replaceOwn is how long before its end a certificate that was brought is
// replaced by an ordered one, so that the host stays reachable.
const replaceOwn = 3 * 24 * time.Hour

// figures are what a watcher sees.
type figures struct {
	orders         *prometheus.CounterVec
	state          *prometheus.GaugeVec
	soonest, late  prometheus.Gauge
	refused, loads prometheus.Counter
	staples        *prometheus.CounterVec
}

func newFigures() figures {
	f := figures{
		orders:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "shingle_acme_orders_total", Help: "Orders at certificate authorities, by how they went."}, []string{"ca", "outcome"}),
		state:   prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "shingle_certificates", Help: "Hosts by the state of their certificate."}, []string{"state"}),
		soonest: prometheus.NewGauge(prometheus.GaugeOpts{Name: "shingle_certificate_soonest_expiry_seconds", Help: "Seconds until the next certificate in use runs out."}),
		late:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "shingle_certificates_late", Help: "Certificates past half of the time that was left for their renewal."}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "shingle_tls_unknown_names_total", Help: "Handshakes for names that are not ours."}),
		loads:   prometheus.NewCounter(prometheus.CounterOpts{Name: "shingle_tls_certificate_loads_total", Help: "Certificates read from Postgres for a handshake."}),
		staples: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "shingle_ocsp_answers_total", Help: "Looks at OCSP responders, by what came of them."}, []string{"outcome"}),
	}
	f.soonest.Set(math.Inf(1)) // nothing runs out where nothing is
	return f
}

// handleWatch orders what is due or missing, sweeps what is over, and measures.
func (c *Certs) handleWatch(ctx context.Context, t *tasks.Task) error {
	return c.o.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := finish(ctx, tx, t); err != nil {
			return err
		}
		if c.On() {
			if err := c.orderDue(ctx, tx); err != nil {
				return err
			}
			if err := addStaples(ctx, tx); err != nil {
				return err
			}
		}
		if err := sweep(ctx, tx); err != nil {
			return err
		}
		return c.measure(ctx, tx)
	})
}

// most bounds what one watch orders: the rest is next.
const most = 500

func (c *Certs) orderDue(ctx context.Context, tx bun.IDB) error {
	// Hosts that lost their proof, or whose board is gone.
	var gone []string
	err := tx.NewRaw(`SELECT c.host FROM certificates AS c LEFT JOIN hosts AS h ON h.host = c.host AND (h.kind = 'platform' OR h.verified_at IS NOT NULL)
		WHERE h.host IS NULL AND c.state <> 'dropped' AND c.host NOT IN (?) LIMIT ?`, bun.In(c.named()), most).Scan(ctx, &gone)
	if err != nil {
		return err
	}
	for _, h := range gone {
		if err := c.Drop(ctx, tx, h); err != nil {
			return err
		}
	}
	first := c.platformHosts()
	if c.o.DNS != nil {
		first = append(first, c.wildcard())
	}
	// A board may be made where TLS is not set (on the command line): its address
	// is found here. Older boards' are ordered when somebody comes.
	var missing []string
	err = tx.NewRaw(`SELECT DISTINCT w.host FROM (SELECT host FROM hosts WHERE kind = 'custom' AND verified_at IS NOT NULL
			UNION ALL SELECT host FROM hosts WHERE kind = 'platform' AND ? AND right(host, length(?)) = ? AND created_at > now() - interval '1 day' UNION ALL SELECT unnest(ARRAY[?])) AS w
		WHERE NOT EXISTS (SELECT FROM certificates AS c WHERE c.host = w.host AND c.state <> 'dropped') LIMIT ?`, c.o.DNS == nil, "."+c.o.BoardDomain, "."+c.o.BoardDomain, bun.In(first), most).Scan(ctx, &missing)
	if err != nil {
		return err
	}
	for _, h := range missing {
		if err := c.Order(ctx, tx, h); err != nil {
			return err
		}
	}
	// Due for renewal, and orders whose task was lost.
	var due []string
	err = tx.NewRaw(`SELECT host FROM certificates WHERE (
			(state = 'issued' AND source = 'acme' AND renew_at < now() AND coalesce(next_try, '-infinity') < now() - interval '5 minutes')
			OR (state = 'issued' AND source = 'own' AND not_after < now() + make_interval(secs => ?) AND coalesce(next_try, '-infinity') < now() - interval '5 minutes')
			OR (state = 'issued' AND revoked_at IS NOT NULL AND coalesce(next_try, '-infinity') < now() - interval '5 minutes')
			OR (state = 'ordering' AND greatest(updated_at, next_try) < now() - interval '1 hour')
			OR (state = 'failed' AND coalesce(next_try, updated_at) < now() - interval '1 hour'))
		ORDER BY not_after NULLS FIRST LIMIT ?`, replaceOwn.Seconds(), most).Scan(ctx, &due)
	if err != nil {
		return err
	}
	for _, h := range due {
		if err := add(ctx, tx, h, time.Time{}); err != nil {
			return err
		}
	}
	_, err = tx.NewRaw(`UPDATE certificates SET problem = 'expiring', updated_at = clock_timestamp()
		WHERE source = 'own' AND state = 'issued' AND problem = '' AND not_after < now() + interval '21 days'`).Exec(ctx)
	return err
}

func sweep(ctx context.Context, tx bun.IDB) error {
	for _, q := range []string{
		`DELETE FROM acme_orders WHERE at < now() - interval '8 days'`,
		`DELETE FROM acme_locks WHERE lease_until < now() - interval '1 day'`,
		`DELETE FROM certificates WHERE state = 'dropped' AND updated_at < now() - interval '1 day'`,
		// Answers to challenges, and OCSP answers, that nobody came back for.
		`DELETE FROM acme_objects WHERE key >= 'acme/' AND key < 'acme0' AND key LIKE '%/challenge\_tokens/%' AND modified_at < now() - interval '1 day'`,
		`DELETE FROM acme_objects WHERE key >= 'ocsp/' AND key < 'ocsp0' AND modified_at < now() - interval '30 days'`,
	} {
		if _, err := tx.NewRaw(q).Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *Certs) measure(ctx context.Context, tx bun.IDB) error {
	var f struct {
		Ordering int      `bun:"ordering"`
		Issued   int      `bun:"issued"`
		Failed   int      `bun:"failed"`
		Soonest  *float64 `bun:"soonest"`
		Late     int      `bun:"late"`
	}
	err := tx.NewRaw(`SELECT count(*) FILTER (WHERE state = 'ordering') AS ordering, count(*) FILTER (WHERE state = 'issued') AS issued,
		count(*) FILTER (WHERE state = 'failed') AS failed, extract(epoch FROM min(not_after) - now())::float8 AS soonest,
		count(*) FILTER (WHERE `+lateWhere+`) AS late FROM certificates`).Scan(ctx, &f)
	if err != nil {
		return err
	}
	c.state.WithLabelValues("ordering").Set(float64(f.Ordering))
	c.state.WithLabelValues("issued").Set(float64(f.Issued))
	c.state.WithLabelValues("failed").Set(float64(f.Failed))
	c.late.Set(float64(f.Late))
	c.soonest.Set(math.Inf(1))
	if f.Soonest != nil {
		c.soonest.Set(*f.Soonest)
	}
	return nil
}

// lateWhere picks certificates whose renewal should have worked by now: half
// of the last third of their life is over, or two weeks are left of a brought one.
const lateWhere = `not_after IS NOT NULL AND now() > CASE source WHEN 'own' THEN not_after - interval '14 days' ELSE not_after - (not_after - not_before) / 6 END`

// Late lists hosts whose certificate runs out soon, soonest first, for doctor.
func Late(ctx context.Context, db bun.IDB) ([]Status, error) {
	var rows []certificate
	err := db.NewRaw(`SELECT host, state, source, issuer, not_after, problem, detail FROM certificates WHERE `+lateWhere+` ORDER BY not_after LIMIT 20`).Scan(ctx, &rows)
	out := make([]Status, len(rows))
	for i, r := range rows {
		out[i] = Status{Host: r.Host, State: State(r.State), Own: r.Source == "own", Issuer: r.Issuer, NotAfter: r.NotAfter, Problem: r.Problem, Error: sentence(r.Problem), Detail: r.Detail}
	}
	return out, err
}

func ignoreNone(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

// issuerName is who signed, as people know it.
func issuerName(leaf *x509.Certificate) string {
	if len(leaf.Issuer.Organization) > 0 {
		return leaf.Issuer.Organization[0]
	}
	return leaf.Issuer.CommonName
}
