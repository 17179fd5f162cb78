package certs

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"golang.org/x/net/publicsuffix"
)

// Limits are what an authority allows; orders that would pass them wait.
type Limits struct {
	// PerDomain new certificates of a registered domain in a week.
	PerDomain int
	// Failures of a host in an hour, in orders.
	Failures int
	// Orders of our account in three hours.
	Orders int
}

// LetsEncrypt is the limits that Let's Encrypt publishes
// (letsencrypt.org/docs/rate-limits): 50 certificates per registered domain and
// week, 5 failed validations per host and hour, 300 orders per account and
// three hours. An order that failed may have been three, with two validations:
// each kind of challenge is tried.
var LetsEncrypt = Limits{PerDomain: 50, Failures: 2, Orders: 300}

// wait says that an order must not go out before a moment, and why.
type wait struct {
	until time.Time
	code  string
}

// reserve counts an order at an authority before it is made, or says until when
// it must wait. A renewal is not a new certificate.
func (c *Certs) reserve(ctx context.Context, ca, name string, renewal bool) (uuid.UUID, wait, error) {
	id := uuid.Must(uuid.NewV7())
	registered := registeredDomain(name)
	var w wait
	err := c.o.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		w = wait{}
		// One at a time per authority: two workers must not both take the last place.
		if _, err := tx.NewRaw(`SELECT pg_advisory_xact_lock(hashtextextended(?, 0))`, "acme "+ca).Exec(ctx); err != nil {
			return err
		}
		full := func(code string, q string, args ...any) error {
			var until time.Time
			err := tx.NewRaw(q, args...).Scan(ctx, &until)
			if errors.Is(err, sql.ErrNoRows) {
				return nil
			}
			if err == nil && until.After(w.until) {
				w = wait{until, code}
			}
			return err
		}
		// The place that the oldest of the last n holds is free when it leaves the window.
		err := errors.Join(
			full("limited", `SELECT hold_until FROM acme_orders WHERE ca = ? AND host = ? AND hold_until > clock_timestamp() ORDER BY hold_until DESC LIMIT 1`, ca, name),
			full("failures", `SELECT at + interval '1 hour' FROM acme_orders WHERE ca = ? AND host = ? AND outcome = 'failed' AND at > clock_timestamp() - interval '1 hour'
				ORDER BY at DESC OFFSET ? LIMIT 1`, ca, name, c.o.Limits.Failures-1),
			full("busy", `SELECT at + interval '3 hours' FROM (SELECT at, sum(CASE outcome WHEN 'failed' THEN 3 ELSE 1 END) OVER (ORDER BY at DESC, id) AS n
				FROM acme_orders WHERE ca = ? AND at > clock_timestamp() - interval '3 hours') AS o WHERE n >= ? ORDER BY at DESC LIMIT 1`, ca, c.o.Limits.Orders),
		)
		if err == nil && !renewal {
			err = full("week", `SELECT at + interval '7 days' FROM acme_orders WHERE ca = ? AND registered = ? AND NOT renewal AND outcome IN ('open', 'issued')
				AND at > clock_timestamp() - interval '7 days' ORDER BY at DESC OFFSET ? LIMIT 1`, ca, registered, c.o.Limits.PerDomain-1)
		}
		if err != nil || w.code != "" {
			return err
		}
		_, err = tx.NewRaw(`INSERT INTO acme_orders (id, ca, registered, host, renewal) VALUES (?, ?, ?, ?, ?)`, id, ca, registered, name, renewal).Exec(ctx)
		return err
	})
	return id, w, err
}

// settle says how an order went; one that asked nothing of the authority is
// taken back.
func (c *Certs) settle(ctx context.Context, id uuid.UUID, outcome string, hold time.Time) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return c.o.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if outcome == "" {
			_, err := tx.NewRaw(`DELETE FROM acme_orders WHERE id = ?`, id).Exec(ctx)
			return err
		}
		_, err := tx.NewRaw(`UPDATE acme_orders SET outcome = ?, hold_until = ? WHERE id = ?`, outcome, bun.NullTime{Time: hold}, id).Exec(ctx)
		return err
	})
}

// registeredDomain is the part of a name that somebody registered; authorities
// count by it.
func registeredDomain(name string) string {
	if name[0] == '*' {
		name = name[2:]
	}
	if d, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil {
		return d
	}
	return name
}
