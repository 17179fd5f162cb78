package search

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tenant"
)

const (
	// A rebuild's lease outlives a pause of its process; one that died is over
	// after as long.
	leaseFor, leaseEvery = time.Minute, 15 * time.Second
)

// alone runs fn while nobody else rebuilds the context's board, in this process
// or another. Kind: fault.Conflict when somebody does; a task is tried again.
// A lease that is lost ends fn's context.
func (s *Service) alone(ctx context.Context, fn func(context.Context) error) error {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return err
	}
	holder := uuid.New()
	taken := func(ctx context.Context, query string, args ...any) (ok bool, err error) {
		err = s.db.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
			res, err := tx.NewRaw(query, args...).Exec(ctx)
			if err != nil {
				return err
			}
			n, err := res.RowsAffected()
			ok = n == 1
			return err
		})
		return ok, err
	}
	ok, err := taken(ctx, `INSERT INTO search_rebuilds AS r (tenant_id, holder, lease_until) VALUES (?, ?, now() + make_interval(secs => ?))
		ON CONFLICT (tenant_id) DO UPDATE SET holder = excluded.holder, lease_until = excluded.lease_until WHERE r.lease_until < now()`,
		board, holder, leaseFor.Seconds())
	if err != nil {
		return err
	}
	if !ok {
		return fault.New(fault.Conflict, "another rebuild of this board's search is under way: wait until it is done")
	}
	work, stop := context.WithCancel(ctx)
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		tick := time.NewTicker(leaseEvery)
		defer tick.Stop()
		for {
			select {
			case <-work.Done():
				return
			case <-tick.C:
			}
			kept, err := taken(work, `UPDATE search_rebuilds SET lease_until = now() + make_interval(secs => ?) WHERE tenant_id = ? AND holder = ?`,
				leaseFor.Seconds(), board, holder)
			if err == nil && !kept {
				stop()
				return
			}
		}
	}()
	defer func() {
		stop()
		<-renewed
		// Should this fail, the lease runs out.
		_, err := taken(context.WithoutCancel(ctx), `DELETE FROM search_rebuilds WHERE tenant_id = ? AND holder = ?`, board, holder)
		if err != nil {
			s.log.Warn("ending a rebuild's lease", "board", board, "error", err)
		}
	}()
	return fn(work)
}
