package plans

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/pg"
	"shingle/tasks"
	"shingle/tenant"
)

// left is how much more of something fits now, in the board's own transaction or
// a platform one; math.MaxInt64 without a limit, below zero when over it.
func (s *Service) left(ctx context.Context, tx bun.IDB, board tenant.ID, what string) (int64, error) {
	st, err := s.standing(ctx, tx, board)
	if err != nil {
		return 0, err
	}
	limit, limited := st.Allowed(s.now(), what)
	if !limited {
		return math.MaxInt64, nil
	}
	used, err := s.used(ctx, tx, board, what)
	return limit - used, err
}

// NextMonth is when counts begin again.
func NextMonth(t time.Time) time.Time { return monthOf(t).AddDate(0, 1, 0) }

// ---- API calls

// CallsFresh is how old the count may be that a call is measured against. With
// the time that a meter keeps its counts (meter.Every) a board gets the calls of
// twenty seconds at most beyond its limit, in each process.
const CallsFresh = 10 * time.Second

// Calls stops a board's API at its plan's limit. It answers from memory: the
// database is asked by one call in ten seconds and board. A board that is over
// is asked for again as soon as anything of it changes, so that a larger plan
// holds for the next call. It is safe for concurrent use.
type Calls struct {
	s      *Service
	boards sync.Map // tenant.ID to *calls
}

// NewCalls makes the gate of one process.
func NewCalls(s *Service) *Calls { return &Calls{s: s} }

// calls is what is known of one board.
type calls struct {
	asking sync.Mutex
	known  atomic.Pointer[known]
}

type known struct {
	at         time.Time
	generation int64
	limit      int64
	ends       time.Time    // of the month that was counted
	left       atomic.Int64 // falls with each call that is let through
}

// OverCalls is the cause inside the fault of a call that was stopped.
type OverCalls struct {
	Limit int64
	// Until is when calls are answered again without a larger plan.
	Until time.Time
}

func (o *OverCalls) Error() string { return "over the plan's API calls" }

// Allow lets a call of a board through, or says until when none is. A nil Calls
// and a board of the demo have no limit; while the database is away nobody is
// stopped who was not before. Kind: fault.TooMany, with OverCalls.
func (c *Calls) Allow(ctx context.Context, t *tenant.Tenant) error {
	if c == nil || t.Demo {
		return nil
	}
	v, ok := c.boards.Load(t.ID)
	if !ok {
		v, _ = c.boards.LoadOrStore(t.ID, new(calls))
	}
	b := v.(*calls)
	now := c.s.now()
	k := b.known.Load()
	if k == nil || now.Sub(k.at) >= CallsFresh || !now.Before(k.ends) || k.left.Load() <= 0 && k.generation != t.Generation {
		k = c.ask(ctx, b, k, t, now)
	}
	if k == nil || k.limit < 0 || k.left.Add(-1) >= 0 {
		return nil
	}
	return fault.Wrap(&OverCalls{Limit: k.limit, Until: k.ends}, fault.TooMany,
		"This board has used the %d API calls that its plan allows in a month. Calls are answered again from %s on, or as soon as the board's team chooses a larger plan.",
		k.limit, k.ends.Format("2 January 2006, 15:04 MST"))
}

// ask counts anew. Who comes while somebody asks goes by what was known; only
// the first ones of a board wait.
func (c *Calls) ask(ctx context.Context, b *calls, old *known, t *tenant.Tenant, now time.Time) *known {
	if old == nil {
		b.asking.Lock()
	} else if !b.asking.TryLock() {
		return old
	}
	defer b.asking.Unlock()
	if k := b.known.Load(); k != old {
		return k // somebody asked meanwhile
	}
	fresh := &known{at: now, generation: t.Generation, limit: -1, ends: NextMonth(now)}
	// A caller that goes away must not make the others go without an answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	err := c.s.platform.Read(tenant.With(ctx, nil), func(ctx context.Context, tx bun.IDB) error {
		st, err := c.s.standing(ctx, tx, t.ID)
		if err != nil {
			return err
		}
		limit, limited := st.Allowed(now, APICalls)
		if !limited {
			return nil
		}
		used, err := c.s.used(ctx, tx, t.ID, APICalls)
		fresh.limit = limit
		fresh.left.Store(limit - used)
		return err
	})
	if err != nil {
		c.s.log.Warn("counting API calls", "board", t.ID, "sqlstate", pg.Code(err))
		if old != nil && now.Before(old.ends) {
			fresh.limit = old.limit
			fresh.left.Store(old.left.Load())
		} else {
			fresh.limit = -1
		}
	}
	b.known.Store(fresh)
	return fresh
}

// ---- mails

// BulkMails is how many more mails that nobody waits for the context's board may
// write this month: alert digests and reminders. At none it notes that they are
// held, and who hands such work out leaves the board aside until Lift. Mails that
// somebody waits for are never asked for. It opens transactions of its own.
func (s *Service) BulkMails(ctx context.Context) (int64, error) {
	t := tenant.From(ctx)
	if t == nil {
		return 0, fault.New(fault.Internal, "no board in the context")
	}
	if s == nil || t.Demo {
		return math.MaxInt64, nil
	}
	var n int64
	err := s.db.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		n, err = s.left(ctx, tx, t.ID, Mails)
		return err
	})
	if err != nil || n > 0 {
		return n, err
	}
	return 0, s.platform.Write(tenant.With(ctx, nil), func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`UPDATE board_plans SET mails_held_since = ? WHERE tenant_id = ? AND mails_held_since IS NULL`, s.now(), t.ID).Exec(ctx)
		return err
	})
}

// TaskLift is the look at boards whose mails are held: a frozen name.
const TaskLift = "plans.lift"

// liftEvery is how late held mails go on after the month has turned or staff
// have raised a plan's limit; a board's own change of plan lets them go at once.
const liftEvery = 5 * time.Minute

func (s *Service) liftTask(ctx context.Context, t *tasks.Task) error {
	if err := s.Lift(ctx); err != nil {
		return err
	}
	return s.platform.Write(ctx, t.Finish)
}

// Lift lets the held mails of every board go on that has room for them again. It
// opens transactions.
func (s *Service) Lift(ctx context.Context) error {
	var boards []tenant.ID
	err := s.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT tenant_id FROM board_plans WHERE mails_held_since IS NOT NULL ORDER BY tenant_id`).Scan(ctx, &boards)
	})
	if err != nil {
		return err
	}
	for _, id := range boards {
		err := s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
			if n, err := s.left(ctx, tx, id, Mails); err != nil || n <= 0 {
				return err
			}
			return release(ctx, tx, id)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// release lets a board's held mails go, in a platform transaction. Should there
// be no room after all, the next of them holds them again.
func release(ctx context.Context, tx bun.IDB, board tenant.ID) error {
	_, err := tx.NewRaw(`UPDATE board_plans SET mails_held_since = NULL WHERE tenant_id = ? AND mails_held_since IS NOT NULL`, board).Exec(ctx)
	return err
}

// Held is what waits because the month's mails are used up.
type Held struct {
	Since  time.Time
	Alerts int64 // digests that are due
	Until  time.Time
}

// HeldMails is what a board's limit of mails holds back, in the board's own
// transaction or a platform one; nil when nothing is.
func (s *Service) HeldMails(ctx context.Context, tx bun.IDB, board tenant.ID) (*Held, error) {
	var rows []struct {
		Since  time.Time `bun:"since"`
		Alerts int64     `bun:"alerts"`
	}
	now := s.now()
	err := tx.NewRaw(`SELECT mails_held_since AS since, (SELECT count(*) FROM alerts AS a WHERE a.tenant_id = bp.tenant_id AND a.state = 'active' AND a.next_at <= ?) AS alerts
		FROM board_plans AS bp WHERE bp.tenant_id = ? AND bp.mails_held_since IS NOT NULL`, now, board).Scan(ctx, &rows)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return &Held{Since: rows[0].Since, Alerts: rows[0].Alerts, Until: NextMonth(now)}, nil
}

// ---- storage

const (
	// remeasure is how soon a board's files are counted again for an upload that
	// does not fit: so long after files were removed it may be refused still.
	remeasure = time.Minute
	// measureWait bounds that count: an upload does not wait for a slow store.
	measureWait = 10 * time.Second
)

// MsgStorage is the text of a refused upload.
const MsgStorage = "plan.limit.storage"

// Stow takes n bytes of the context's board's storage for a file that its team
// or an employer uploads; what a seeker sends is never asked for. It counts up
// from the last measurement, and measures again before it refuses. It opens
// transactions of its own.
//
// Kind: fault.Conflict, with MsgStorage.
func (s *Service) Stow(ctx context.Context, n int64) error {
	t := tenant.From(ctx)
	if t == nil {
		return fault.New(fault.Internal, "no board in the context")
	}
	if s == nil || t.Demo {
		return nil
	}
	ctx = tenant.With(ctx, nil)
	measured, err := s.stow(ctx, t.ID, n)
	if !fault.Is(err, fault.Conflict) || s.storage == nil || measured != nil && s.now().Sub(*measured) < remeasure {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, measureWait)
	defer cancel()
	if err := s.measureBoard(wait, t.ID, s.now().Truncate(day)); err != nil {
		s.log.Warn("measuring a board's storage", "board", t.ID, "error", err)
	}
	_, err = s.stow(ctx, t.ID, n)
	return err
}

func (s *Service) stow(ctx context.Context, board tenant.ID, n int64) (measured *time.Time, err error) {
	err = s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		// The lock keeps two uploads from taking the same room.
		var at []*time.Time
		if err := tx.NewRaw(`SELECT storage_measured_at FROM board_plans WHERE tenant_id = ? FOR NO KEY UPDATE`, board).Scan(ctx, &at); err != nil || len(at) == 0 {
			return err
		}
		measured = at[0]
		if left, err := s.left(ctx, tx, board, Storage); err != nil {
			return err
		} else if left < n {
			return fault.New(fault.Conflict, MsgStorage)
		}
		_, err := tx.NewRaw(`UPDATE board_plans SET storage_added = storage_added + ? WHERE tenant_id = ?`, n, board).Exec(ctx)
		return err
	})
	return measured, err
}

// measureBoard counts what a board's files and kept imports take, and writes it
// as the day's level. What is uploaded while it counts is counted as added still.
func (s *Service) measureBoard(ctx context.Context, board tenant.ID, today time.Time) error {
	var before []int64
	err := s.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT storage_added FROM board_plans WHERE tenant_id = ?`, board).Scan(ctx, &before)
	})
	if err != nil {
		return err
	}
	n, err := s.storage(ctx, board)
	if err != nil {
		return err
	}
	return s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`INSERT INTO usage_days (tenant_id, day, what, amount)
			SELECT id, ?::date, 'storage', ? + (SELECT coalesce(sum(octet_length(content)), 0) FROM imports WHERE tenant_id = b.id) FROM boards AS b WHERE id = ?
			ON CONFLICT (tenant_id, what, day) DO UPDATE SET amount = excluded.amount`, today.Format(time.DateOnly), n, board).Exec(ctx)
		if err != nil || len(before) == 0 {
			return err
		}
		_, err = tx.NewRaw(`UPDATE board_plans SET storage_added = greatest(storage_added - ?, 0), storage_measured_at = ? WHERE tenant_id = ?`, before[0], s.now(), board).Exec(ctx)
		return err
	})
}
