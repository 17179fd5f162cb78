package plans

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tasks"
	"shingle/tenant"
)

// Step is how far down the ladder an unpaid board is. Each step holds what those
// before it do, and paying undoes them all at once.
type Step string

// The steps, first to last.
const (
	Paid      Step = ""
	Grace     Step = "grace"     // told, and nothing changes
	ReadOnly  Step = "read_only" // the console shows and does not change
	NoIndex   Step = "noindex"   // search engines are asked to forget the board
	Suspended Step = "suspended" // visitors get 503; the team can sign in and pay
	Export    Step = "export"    // the team is offered its data
	Deletable Step = "deletable" // staff may delete it; nothing does so by itself
)

// steps are all of them in order.
var steps = []Step{Paid, Grace, ReadOnly, NoIndex, Suspended, Export, Deletable}

// At reports whether the step is as far down as other, or further.
func (st Step) At(other Step) bool { return slices.Index(steps, st) >= slices.Index(steps, other) }

// Rung is a step and how long after the first unpaid moment it is due.
type Rung struct {
	Step  Step
	After time.Duration
}

// Schedule is the ladder, from its first step to its last.
type Schedule []Rung

const day = 24 * time.Hour

// DefaultSchedule leaves Stripe's own retries, about two weeks, before anything
// is taken away.
var DefaultSchedule = Schedule{{Grace, 0}, {ReadOnly, 14 * day}, {NoIndex, 21 * day}, {Suspended, 30 * day}, {Export, 37 * day}, {Deletable, 90 * day}}

// Due is the step that is due at a time for a board unpaid since then: a pure
// function. A zero since is paid.
func (sc Schedule) Due(unpaidSince, now time.Time) Step {
	due := Paid
	if unpaidSince.IsZero() {
		return due
	}
	for _, r := range sc {
		if !now.Before(unpaidSince.Add(r.After)) {
			due = r.Step
		}
	}
	return due
}

// When is the time of a step for a board unpaid since then; zero when it is not
// on the ladder.
func (sc Schedule) When(unpaidSince time.Time, st Step) time.Time {
	for _, r := range sc {
		if r.Step == st {
			return unpaidSince.Add(r.After)
		}
	}
	return time.Time{}
}

// Next is the step after st; ok is false at the end.
func (sc Schedule) Next(st Step) (r Rung, ok bool) {
	if st == Paid {
		return sc[0], true
	}
	for i := range sc[:len(sc)-1] {
		if sc[i].Step == st {
			return sc[i+1], true
		}
	}
	return Rung{}, false
}

// notice is the least time between two steps: who was told of one has a day to
// pay before the next, however long the workers were away.
const notice = 20 * time.Hour

// walk is the step that a board stands on now: at most one further than from,
// and only notice after that one was taken.
func (sc Schedule) walk(from Step, taken time.Time, unpaidSince, now time.Time) Step {
	due := sc.Due(unpaidSince, now)
	if due == Paid || from.At(due) && from != Paid {
		return cut(from, due)
	}
	if from != Paid && now.Before(taken.Add(notice)) {
		return from
	}
	next, ok := sc.Next(from)
	if !ok {
		return from
	}
	return next.Step
}

// cut keeps the higher of two steps: a board that owes less than before comes up.
func cut(from, due Step) Step {
	if from.At(due) {
		return due
	}
	return from
}

// settle derives what follows from the plan's state alone at a time: ended
// trials, ended gifts, the ladder. The row is locked, and saved by the caller.
// Demo boards and comped ones are never on the ladder.
func (s *Service) settle(ctx context.Context, tx bun.IDB, b *Board, now time.Time) error {
	info, err := s.info(ctx, tx, b.TenantID)
	if err != nil {
		return err
	}
	if b.State == Trial && !info.Demo && !b.Subscribed() && b.TrialEndsAt != nil && !b.TrialEndsAt.After(now) {
		b.State, b.UnpaidSince = Ended, b.TrialEndsAt
	}
	if b.State == Comped && b.CompUntil != nil && !b.CompUntil.After(now) {
		b.State, b.UnpaidSince, b.CompReason = Ended, b.CompUntil, ""
	}
	since := b.UnpaidSince
	if info.Demo || b.State == Comped || b.State == Active || b.State == Trial {
		b.UnpaidSince, since = nil, nil
	}
	last := Taken{}
	if b.Step != Paid {
		err := tx.NewRaw(`SELECT unpaid_since, step, at FROM plan_steps WHERE tenant_id = ? AND undone_at IS NULL ORDER BY at DESC, due_at DESC LIMIT 1`, b.TenantID).Scan(ctx, &last)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
	}
	from, to := b.Step, Paid
	if since != nil {
		// Paid in between, and unpaid anew: the ladder begins at its top.
		if from != Paid && last.UnpaidSince.Before(*since) {
			if err := s.undoSteps(ctx, tx, b, now); err != nil {
				return err
			}
			from = Paid
		}
		to = s.schedule.walk(from, last.At, *since, now)
	}
	if to == from {
		return nil
	}
	b.Step = to
	if _, err := tx.NewRaw(`UPDATE boards SET plan_step = ? WHERE id = ?`, string(to), b.TenantID).Exec(ctx); err != nil {
		return err
	}
	tenant.ChangedBoard(ctx, b.TenantID) // pages close or open; every process reads the board anew
	if to == Paid || from.At(to) {
		if err := s.undoSteps(ctx, tx, b, now); err != nil {
			return err
		}
		if to == Paid {
			return s.tellRestored(ctx, tx, b, info, from)
		}
	}
	_, err = tx.NewRaw(`INSERT INTO plan_steps (tenant_id, unpaid_since, step, due_at, at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (tenant_id, unpaid_since, step) DO UPDATE SET undone_at = NULL, at = excluded.at`,
		b.TenantID, *since, string(to), s.schedule.When(*since, to), now).Exec(ctx)
	if err != nil {
		return err
	}
	return s.tellStep(ctx, tx, b, info)
}

func (s *Service) undoSteps(ctx context.Context, tx bun.IDB, b *Board, now time.Time) error {
	_, err := tx.NewRaw(`UPDATE plan_steps SET undone_at = ? WHERE tenant_id = ? AND undone_at IS NULL`, now, b.TenantID).Exec(ctx)
	return err
}

// Taken is a step that a board took, for its timeline.
type Taken struct {
	UnpaidSince time.Time  `bun:"unpaid_since"`
	Step        Step       `bun:"step"`
	DueAt       time.Time  `bun:"due_at"`
	At          time.Time  `bun:"at"`
	UndoneAt    *time.Time `bun:"undone_at"`
}

// Steps lists the steps that a board took, newest first, in the board's own
// transaction or a platform one.
func (s *Service) Steps(ctx context.Context, tx bun.IDB, board tenant.ID) ([]Taken, error) {
	var out []Taken
	err := tx.NewRaw(`SELECT unpaid_since, step, due_at, at, undone_at FROM plan_steps WHERE tenant_id = ? ORDER BY at DESC, due_at DESC LIMIT 50`, board).Scan(ctx, &out)
	return out, err
}

// Ahead lists the steps still to come for a board that owes, with their dates.
func (s *Service) Ahead(b *Board) []Taken {
	if b == nil || b.UnpaidSince == nil {
		return nil
	}
	var out []Taken
	// What is due already is taken a day apart.
	soonest := s.now().Truncate(day).Add(day)
	for _, r := range s.schedule {
		if b.Step.At(r.Step) {
			continue
		}
		at := b.UnpaidSince.Add(r.After)
		if at.Before(soonest) {
			at = soonest
		}
		out = append(out, Taken{UnpaidSince: *b.UnpaidSince, Step: r.Step, DueAt: at})
		soonest = at.Add(day)
	}
	return out
}

// TaskLadder is the daily look at every board that owes or tries: a frozen name.
const TaskLadder = "plans.ladder"

// ladderTask settles who owes, a board a transaction, so that one that fails
// holds up no other. Done again it changes nothing.
func (s *Service) ladderTask(ctx context.Context, t *tasks.Task) error {
	if err := s.WalkLadder(ctx); err != nil {
		return err
	}
	return s.platform.Write(ctx, t.Finish)
}

// WalkLadder takes every step that is due now. It opens a transaction a board.
func (s *Service) WalkLadder(ctx context.Context) error {
	var boards []tenant.ID
	err := s.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		boards, err = owing(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	var first error
	for _, id := range boards {
		if err := s.Settle(ctx, id); err != nil && !fault.Is(err, fault.NotFound) && first == nil {
			first = err
		}
	}
	return first
}

// owing lists the boards that owe, are on the way down, try or are comped.
func owing(ctx context.Context, tx bun.IDB) (boards []tenant.ID, err error) {
	err = tx.NewRaw(`SELECT tenant_id FROM board_plans WHERE unpaid_since IS NOT NULL OR step <> '' OR state IN ('trial', 'comped')`).Scan(ctx, &boards)
	return boards, err
}

// Settle takes the step that is due for one board. It opens a platform transaction.
func (s *Service) Settle(ctx context.Context, board tenant.ID) error {
	return s.platform.Write(tenant.With(ctx, nil), func(ctx context.Context, tx bun.IDB) error {
		b, err := readBoard(ctx, tx, board, "FOR UPDATE")
		if err != nil {
			return err
		}
		before := *b
		if err := s.settle(ctx, tx, b, s.now()); err != nil {
			return err
		}
		if err := s.tellTrial(ctx, tx, b); err != nil {
			return err
		}
		if *b == before {
			return nil
		}
		return b.save(ctx, tx, s.now())
	})
}
