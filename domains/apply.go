package domains

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/internal/fault"
	"shingle/internal/pg"
	"shingle/tasks"
	"shingle/tenant"
)

// taskCheck is a frozen task kind.
const taskCheck = "domain.check"

type checkPayload struct {
	Host string `json:"host"`
}

// Check looks at one of the board's hosts now and does what follows. A host
// that was given up is tried again. It opens its transactions and asks DNS
// between them. Kinds: fault.NotFound, fault.Unavailable.
func (s *Service) Check(ctx context.Context, host string) (*Domain, error) {
	d, err := s.look(ctx, host)
	if err != nil {
		return nil, err
	}
	r := s.examine(ctx, tenant.From(ctx), d)
	err = s.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		d, err = s.apply(ctx, tx, host, r, true)
		return err
	})
	return d, err
}

func (s *Service) look(ctx context.Context, host string) (d *Domain, err error) {
	err = s.DB.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		d, err = s.ByHost(ctx, tx, host)
		return err
	})
	return d, err
}

// lock makes whoever claims, proves or removes a host wait for each other,
// across boards.
func lock(ctx context.Context, tx bun.IDB, host string) error {
	_, err := tx.NewRaw(`SELECT pg_advisory_xact_lock(hashtextextended('shingle host ' || ?, 0))`, host).Exec(ctx)
	return err
}

// row reads a board's host in a platform transaction, for change.
func row(ctx context.Context, tx bun.IDB, board tenant.ID, host string) (*Domain, error) {
	d := new(Domain)
	err := tx.NewRaw(`SELECT * FROM domains WHERE tenant_id = ? AND host = ? FOR UPDATE`, board, host).Scan(ctx, d)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.Wrap(err, fault.NotFound, "host not found")
	}
	return d, err
}

// elsewhere reports a host that another board has or that is reserved for one.
func elsewhere(ctx context.Context, tx bun.IDB, board tenant.ID, host string, now time.Time) (taken bool, err error) {
	err = tx.NewRaw(`SELECT EXISTS (SELECT FROM hosts WHERE host = ? AND board_id <> ?)
		OR EXISTS (SELECT FROM domains WHERE host = ? AND tenant_id <> ? AND state = ? AND held_until > ?)`,
		host, board, host, board, Removed, now).Scan(ctx, &taken)
	return taken, err
}

// apply writes down what a check found and moves the host on, in a platform
// transaction; by is true when a person asked. Kind: fault.NotFound when the
// host was removed meanwhile.
func (s *Service) apply(ctx context.Context, tx bun.IDB, host string, r Report, by bool) (*Domain, error) {
	t, now := tenant.From(ctx), s.Now()
	if err := lock(ctx, tx, host); err != nil {
		return nil, err
	}
	d, err := row(ctx, tx, t.ID, host)
	if err != nil {
		return nil, err
	}
	if d.State == Removed {
		return nil, errNotHere
	}
	if d.State == Stuck && by {
		d.Since, d.Attempts, d.State = now, 0, Checking
		if d.ProvenAt != nil {
			d.State = Proven
		}
	}
	if d.State == Stuck {
		return d, nil
	}
	d.Report, d.CheckedAt = r, &now
	if d.ProvenAt == nil {
		if err := s.prove(ctx, tx, t, d); err != nil {
			return nil, err
		}
	} else if err := s.watch(ctx, tx, t, d); err != nil {
		return nil, err
	}
	if err := s.ready(ctx, tx, t, d); err != nil {
		return nil, err
	}
	if err := s.schedule(ctx, tx, t, d); err != nil {
		return nil, err
	}
	return d, save(ctx, tx, d)
}

func save(ctx context.Context, tx bun.IDB, d *Domain) error {
	res, err := tx.NewRaw(`UPDATE domains SET state = ?, wants_primary = ?, report = ?::jsonb, attempts = ?, since = ?, checked_at = ?, next_check_at = ?,
			proven_at = ?, ready_at = ?, live_at = ?, missing_since = ?, flagged_at = ?, removed_at = ?, held_until = ?
		WHERE tenant_id = ? AND host = ?`, d.State, d.WantsPrimary, asJSON(d.Report), d.Attempts, d.Since, d.CheckedAt, d.NextCheckAt,
		d.ProvenAt, d.ReadyAt, d.LiveAt, d.MissingSince, d.FlaggedAt, d.RemovedAt, d.HeldUntil, d.TenantID, d.Host).Exec(ctx)
	return tenant.Touched(res, err, "host")
}

// prove makes the host the board's when its record is right and nobody else
// has it. The primary key of hosts decides a race that got past the lock.
func (s *Service) prove(ctx context.Context, tx bun.IDB, t *tenant.Tenant, d *Domain) error {
	taken, err := elsewhere(ctx, tx, t.ID, d.Host, s.Now())
	if err != nil {
		return err
	}
	if taken {
		d.Report.Elsewhere = Finding{State: Wrong, Text: "domain.found.in_use"}
		return nil
	}
	if !d.Report.Proved {
		return nil
	}
	_, err = tx.NewRaw(`INSERT INTO hosts (host, board_id, kind, verified_at) VALUES (?, ?, 'custom', ?)`, d.Host, t.ID, s.Now()).Exec(ctx)
	if pg.Unique(err, "") {
		return fault.Wrap(err, fault.Conflict, "another board has the host")
	}
	if err != nil {
		return err
	}
	d.State, d.ProvenAt = Proven, ptr(s.Now())
	if err := authz.Record(ctx, tx, authz.Act{Act: "domain.proven", ObjectKind: "domain", ObjectID: d.Host, Board: t.ID}); err != nil {
		return err
	}
	return s.moved(ctx, tx, t.ID, d.Host)
}

// watch notes when a proven host's ownership record is gone: people are told
// after a week, and the host stays.
func (s *Service) watch(ctx context.Context, tx bun.IDB, t *tenant.Tenant, d *Domain) error {
	switch {
	case d.Report.Proved:
		d.MissingSince, d.FlaggedAt = nil, nil
	case d.Report.Vanished && d.MissingSince == nil:
		d.MissingSince = ptr(s.Now())
	}
	if d.MissingSince == nil || d.FlaggedAt != nil || s.Now().Sub(*d.MissingSince) < flagAfter {
		return nil
	}
	d.FlaggedAt = ptr(s.Now())
	return s.tell(ctx, tx, t, d, "domain-flagged", d.MissingSince.Format(time.DateOnly))
}

// ready asks for the certificate once a proven host leads here, and lets the
// host go live when it has one, or at once where TLS is not served here.
func (s *Service) ready(ctx context.Context, tx bun.IDB, t *tenant.Tenant, d *Domain) error {
	if d.State != Proven || !d.Report.Points {
		return nil
	}
	if d.ReadyAt == nil {
		if s.Verified != nil {
			if err := s.Verified(ctx, tx, d.Host); err != nil {
				return err
			}
		}
		d.ReadyAt = ptr(s.Now())
	}
	if c, tls := s.Certificate(ctx, d.Host); tls && c.State != "issued" {
		return nil
	}
	d.State, d.LiveAt = Live, ptr(s.Now())
	if d.WantsPrimary {
		var custom bool
		if err := tx.NewRaw(`SELECT EXISTS (SELECT FROM hosts WHERE board_id = ? AND canonical AND kind = 'custom')`, t.ID).Scan(ctx, &custom); err != nil {
			return err
		}
		if !custom {
			if err := s.setPrimary(ctx, tx, t.ID, d.Host); err != nil {
				return err
			}
		}
		d.WantsPrimary = false
	}
	if err := authz.Record(ctx, tx, authz.Act{Act: "domain.live", ObjectKind: "domain", ObjectID: d.Host, Board: t.ID}); err != nil {
		return err
	}
	return s.tell(ctx, tx, t, d, "domain-live", d.LiveAt.Format(time.RFC3339))
}

// schedule adds the next look: soon and less often while it is waited for, then
// every few hours. After two weeks of waiting it gives up and says so.
func (s *Service) schedule(ctx context.Context, tx bun.IDB, t *tenant.Tenant, d *Domain) error {
	wait := watchEvery
	if d.State != Live {
		if s.Now().Sub(d.Since) >= giveUpAfter {
			d.State, d.NextCheckAt = Stuck, nil
			return s.tell(ctx, tx, t, d, "domain-stuck", d.Since.Format(time.RFC3339))
		}
		wait = backoff(d.Attempts)
		d.Attempts++
	}
	d.NextCheckAt = ptr(s.Now().Add(wait))
	return tasks.Add(ctx, tx, tasks.New{Kind: taskCheck, Key: d.Host, Payload: checkPayload{d.Host}, RunAt: *d.NextCheckAt, Tenant: t.ID})
}

// backoff is 30 seconds, doubled up to an hour.
func backoff(attempts int) time.Duration {
	return min(firstPoll<<min(attempts, 7), lastPoll)
}

func ptr[T any](v T) *T { return &v }
