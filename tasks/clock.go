package tasks

import (
	"context"
	"log/slog"
	"time"

	"github.com/uptrace/bun"

	"shingle/tenant"
)

// clock notices that the database's clock was set back. Rows say when they are
// due by that clock alone, so a step forward makes work early and harms nothing;
// a step back would make what was due wait for as long as the step.
type clock struct {
	looked time.Time // by this process's monotonic clock
	said   time.Time // what the database said then
	until  time.Time // mending goes on so long: transactions straddle a step
	mended time.Time
}

const (
	// stepped is how far the database's clock must fall behind ours between two looks.
	stepped = 30 * time.Second
	// straddle is how long a transaction may take that began before a step.
	straddle = time.Minute
	// mendEvery is the net under it: for steps back and forth between two looks.
	mendEvery = 10 * time.Minute
)

// watch looks every clockEvery. It mends at the first look, too: the clock may
// have been set while no worker ran.
func (c *clock) watch(ctx context.Context, p *tenant.Platform, log *slog.Logger) error {
	if !c.looked.IsZero() && time.Since(c.looked) < clockEvery {
		return nil
	}
	asked := time.Now()
	var said time.Time
	if err := p.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT clock_timestamp()`).Scan(ctx, &said)
	}); err != nil {
		return err
	}
	if back := c.said.Add(asked.Sub(c.looked)).Sub(said); !c.looked.IsZero() && back >= stepped {
		c.until = asked.Add(straddle)
	}
	c.looked, c.said = asked, said
	if asked.After(c.until) && asked.Sub(c.mended) < mendEvery {
		return nil
	}
	n, err := mend(ctx, p)
	if err != nil {
		c.until = asked.Add(straddle) // the next look tries again
		return err
	}
	c.mended = asked
	if n > 0 {
		log.Warn("the database's clock was set back: waiting work was moved", "tasks", n)
	}
	return nil
}

// mend moves rows that wait for a time which only a clock that was ahead can have
// given them: made in the future, tried again later than back-off allows, or
// coming back later than their interval. Doing it twice changes nothing more.
func mend(ctx context.Context, p *tenant.Platform) (int64, error) {
	var n int64
	err := p.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		res, err := tx.NewRaw(`UPDATE tasks AS t SET created_at = least(t.created_at, m.at), run_at = m.due
			FROM (SELECT tenant_id, id, clock_timestamp() AS at, CASE
					WHEN every IS NOT NULL THEN least(run_at, clock_timestamp() + every)
					WHEN attempts > 0 THEN least(run_at, clock_timestamp() + make_interval(secs => 2 ^ least(attempts, 12)))
					ELSE run_at - (created_at - clock_timestamp()) END AS due
				FROM tasks
				WHERE failed_at IS NULL AND (created_at > clock_timestamp() + interval '5 seconds'
					OR every IS NOT NULL AND run_at > clock_timestamp() + every
					OR every IS NULL AND attempts > 0 AND run_at > clock_timestamp() + make_interval(secs => 2 ^ least(attempts, 12)))
				FOR UPDATE SKIP LOCKED) AS m
			WHERE t.tenant_id = m.tenant_id AND t.id = m.id`).Exec(ctx)
		if err != nil {
			return err
		}
		n, err = res.RowsAffected()
		return err
	})
	return n, err
}
