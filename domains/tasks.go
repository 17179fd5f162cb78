package domains

import (
	"context"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tasks"
	"shingle/tenant"
)

// taskSweep is a frozen task kind.
const taskSweep = "domain.sweep"

// Register takes over the tasks of domains.
func (s *Service) Register(m *tasks.Mux) {
	m.Handle(taskCheck, s.checkTask)
	m.Handle(taskSweep, s.sweep)
}

// Schedule keeps the sweep.
func (s *Service) Schedule(ctx context.Context) error {
	return tasks.Schedule(ctx, s.Platform, taskSweep, 10*time.Minute, tasks.Bulk)
}

// checkTask is one poll: read, ask DNS, then finish the row and add the next
// in one transaction.
func (s *Service) checkTask(ctx context.Context, t *tasks.Task) error {
	var p checkPayload
	if err := t.Decode(&p); err != nil {
		return err
	}
	d, err := s.look(ctx, p.Host)
	if fault.Is(err, fault.NotFound) || err == nil && d.State == Stuck {
		return s.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error { return t.Finish(ctx, tx) })
	}
	if err != nil {
		return err
	}
	r := s.examine(ctx, tenant.From(ctx), d)
	err = s.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := t.Finish(ctx, tx); err != nil {
			return err
		}
		_, err := s.apply(ctx, tx, p.Host, r, false)
		if fault.Is(err, fault.NotFound) { // removed meanwhile: this poll was the last
			return nil
		}
		return err
	})
	return err
}

// sweep is the net under the polls: it adds those that are late, and drops
// what is over.
func (s *Service) sweep(ctx context.Context, t *tasks.Task) error {
	var late []struct {
		TenantID tenant.ID `bun:"tenant_id"`
		Host     string    `bun:"host"`
	}
	now := s.Now()
	return s.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := t.Finish(ctx, tx); err != nil {
			return err
		}
		err := tx.NewRaw(`SELECT d.tenant_id, d.host FROM domains AS d
			WHERE d.state IN ('checking', 'proven', 'live') AND d.next_check_at < ?
				AND NOT EXISTS (SELECT FROM tasks AS t WHERE t.tenant_id = d.tenant_id AND t.kind = ? AND t.payload->>'host' = d.host)
			ORDER BY d.next_check_at LIMIT 1000`, now.Add(-10*time.Minute), taskCheck).Scan(ctx, &late)
		if err != nil {
			return err
		}
		for _, l := range late {
			if err := tasks.Add(ctx, tx, tasks.New{Kind: taskCheck, Key: l.Host, Payload: checkPayload{l.Host}, Tenant: l.TenantID}); err != nil {
				return err
			}
		}
		var errs []error
		for _, q := range []string{`DELETE FROM domains WHERE state = 'removed' AND held_until < ?`, `DELETE FROM access_passes WHERE expires_at < ?::timestamptz - interval '30 days'`,
			`DELETE FROM redirects WHERE deleted_at < ?::timestamptz - interval '30 days'`} {
			_, err := tx.NewRaw(q, now).Exec(ctx)
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
}
