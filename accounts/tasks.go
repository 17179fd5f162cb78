package accounts

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"shingle/tasks"
	"shingle/tenant"
)

// TaskSweep is a frozen task kind: it removes what is long over.
const TaskSweep = "accounts.sweep"

const (
	sweepEvery = time.Hour
	// keepOver is how long a spent or expired secret stays, so that a second
	// click a day later still meets the same answer in the logs.
	keepOver = 48 * time.Hour
)

// Sweeper removes tokens, sessions and waiting forms that are over, on every board.
type Sweeper struct {
	platform *tenant.Platform
	now      func() time.Time
}

// NewSweeper makes a sweeper.
func NewSweeper(p *tenant.Platform, now func() time.Time) *Sweeper { return &Sweeper{p, now} }

// Register takes over the sweep's task.
func (s *Sweeper) Register(m *tasks.Mux) { m.Handle(TaskSweep, s.sweep) }

// Register takes over the tasks of operators' accounts.
func (s *Operators) Register(m *tasks.Mux) { m.Handle(TaskEndImpersonation, s.endInTime) }

// Schedule keeps the hourly row. It opens a transaction.
func (s *Sweeper) Schedule(ctx context.Context) error {
	return tasks.Schedule(ctx, s.platform, TaskSweep, sweepEvery, tasks.Bulk)
}

func (s *Sweeper) sweep(ctx context.Context, t *tasks.Task) error {
	return s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := t.Finish(ctx, tx); err != nil {
			return err
		}
		return s.Sweep(ctx, tx)
	})
}

// Sweep removes, in a platform transaction, what ended more than two days ago, and
// forms whose link is over.
// A parent session goes only after its children: they could not outlive it.
func (s *Sweeper) Sweep(ctx context.Context, tx bun.IDB) error {
	before := s.now().Add(-keepOver)
	for _, q := range []string{
		`DELETE FROM operator_tokens WHERE expires_at < ?`,
		`DELETE FROM operator_address_changes WHERE expires_at < ?`,
		`DELETE FROM person_tokens WHERE expires_at < ?`,
		`DELETE FROM person_sessions WHERE expires_at < ?`,
		`DELETE FROM operator_sessions WHERE expires_at < ?`,
	} {
		if _, err := tx.NewRaw(q, before).Exec(ctx); err != nil {
			return err
		}
	}
	// Forms that waited for a link hold what somebody typed, and are kept no longer
	// than they were told.
	_, err := tx.NewRaw(`DELETE FROM held_forms WHERE expires_at < ?`, s.now()).Exec(ctx)
	return err
}
