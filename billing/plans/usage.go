package plans

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/listings"
	"shingle/mail"
	"shingle/tasks"
	"shingle/tenant"
)

// Use is how much of one thing a board uses, and how much it may.
type Use struct {
	What    string
	Used    int64
	Limit   int64
	Limited bool
}

// Percent is the used part of the limit, rounded down; 0 without a limit.
func (u Use) Percent() int {
	if !u.Limited {
		return 0
	}
	if u.Limit == 0 {
		return 100
	}
	return int(min(u.Used*100/u.Limit, 999))
}

// Over reports that nothing more fits.
func (u Use) Over() bool { return u.Limited && u.Used >= u.Limit }

// Occupying are the states of listings that count against the limit: those that
// visitors see or will, and paused ones, which may come back at any time.
var Occupying = []listings.State{listings.Live, listings.Paused, listings.Scheduled}

// occupying is that for SQL.
const occupying = `('live', 'paused', 'scheduled')`

// used counts one thing exactly as it is now, by the board's own rows: in the
// board's transaction or a platform one. Storage is as it was last measured, with
// what the team and employers have uploaded since.
func (s *Service) used(ctx context.Context, tx bun.IDB, board tenant.ID, what string) (n int64, err error) {
	month := monthOf(s.now())
	switch what {
	case Listings:
		err = tx.NewRaw(`SELECT count(*) FROM listings WHERE tenant_id = ? AND state IN `+occupying, board).Scan(ctx, &n)
	case Seats:
		err = tx.NewRaw(`SELECT count(DISTINCT v0) FROM casbin_rules WHERE tenant_id = ? AND ptype = 'g'`, board).Scan(ctx, &n)
	case Domains:
		err = tx.NewRaw(`SELECT count(*) FROM hosts WHERE board_id = ? AND kind = 'custom'`, board).Scan(ctx, &n)
	case Mails:
		err = tx.NewRaw(`SELECT count(*) FROM mails WHERE tenant_id = ? AND created_at >= ?`, board, month).Scan(ctx, &n)
	case Storage:
		err = tx.NewRaw(`SELECT coalesce((SELECT amount FROM usage_days WHERE tenant_id = ? AND what = ? ORDER BY day DESC LIMIT 1), 0)
			+ coalesce((SELECT storage_added FROM board_plans WHERE tenant_id = ?), 0)`, board, what, board).Scan(ctx, &n)
	default:
		err = tx.NewRaw(`SELECT coalesce(sum(amount), 0)::bigint FROM usage_days WHERE tenant_id = ? AND what = ? AND day >= ?::date`, board, what, month.Format(time.DateOnly)).Scan(ctx, &n)
	}
	return n, err
}

// monthOf is the period that counts are limited by: the calendar month in UTC.
func monthOf(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}

// Usage is all that a board uses, against what it may, in the board's own
// transaction or a platform one.
func (s *Service) Usage(ctx context.Context, tx bun.IDB, board tenant.ID) ([]Use, error) {
	st, err := s.standing(ctx, tx, board)
	if err != nil {
		return nil, err
	}
	out := make([]Use, len(Whats))
	for i, w := range Whats {
		out[i].What = w
		out[i].Limit, out[i].Limited = st.Allowed(s.now(), w)
		if out[i].Used, err = s.used(ctx, tx, board, w); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Day is what a board used on a day.
type Day struct {
	Day    time.Time `bun:"day"`
	Amount int64     `bun:"amount"`
}

// Days lists a board's use of one thing by day, oldest first, days without use
// included, in the board's own transaction or a platform one.
func (s *Service) Days(ctx context.Context, tx bun.IDB, board tenant.ID, what string, days int) ([]Day, error) {
	var out []Day
	today := s.now().Truncate(day)
	err := tx.NewRaw(`SELECT d::date AS day, coalesce(u.amount, 0) AS amount
		FROM generate_series(?::date, ?::date, interval '1 day') AS d
		LEFT JOIN usage_days AS u ON u.tenant_id = ? AND u.what = ? AND u.day = d::date ORDER BY 1`,
		today.AddDate(0, 0, 1-days).Format(time.DateOnly), today.Format(time.DateOnly), board, what).Scan(ctx, &out)
	return out, err
}

// Room reports whether the context's board may have n more of something, in its
// own transaction. Demo boards always may. What was paid for is never asked for
// again: call it before the payment, not after.
//
// Kind: fault.Conflict, with the text "plan.limit.<what>|<limit>".
func (s *Service) Room(ctx context.Context, tx bun.IDB, what string, n int64) error {
	t := tenant.From(ctx)
	if t == nil {
		return fault.New(fault.Internal, "no board in the context")
	}
	if s == nil || t.Demo {
		return nil
	}
	return s.room(ctx, tx, t.ID, what, n)
}

// RoomOn is Room in a platform transaction, which names the board.
func (s *Service) RoomOn(ctx context.Context, tx bun.IDB, board tenant.ID, what string, n int64) error {
	var demo bool
	if err := tx.NewRaw(`SELECT demo FROM boards WHERE id = ?`, board).Scan(ctx, &demo); err != nil || demo || s == nil {
		return err
	}
	return s.room(ctx, tx, board, what, n)
}

func (s *Service) room(ctx context.Context, tx bun.IDB, board tenant.ID, what string, n int64) error {
	st, err := s.standing(ctx, tx, board)
	if err != nil {
		return err
	}
	limit, limited := st.Allowed(s.now(), what)
	if !limited {
		return nil
	}
	used, err := s.used(ctx, tx, board, what)
	if err != nil {
		return err
	}
	if used+n > limit {
		return fault.New(fault.Conflict, "plan.limit.%s|%d", what, limit)
	}
	return nil
}

// Feature reports whether the plan of the context's board holds a feature, in
// its own transaction. A board without a plan, or of the demo, has them all.
//
// Kind: fault.Conflict, with the text "plan.lacks.<feature>".
func (s *Service) Feature(ctx context.Context, tx bun.IDB, name string) error {
	t := tenant.From(ctx)
	if t == nil {
		return fault.New(fault.Internal, "no board in the context")
	}
	if s == nil || t.Demo {
		return nil
	}
	st, err := s.standing(ctx, tx, t.ID)
	if err != nil || st.Plan == nil || st.Plan.Has(name) {
		return err
	}
	return fault.New(fault.Conflict, "plan.lacks.%s", name)
}

// Refused tells the board's owners that an employer was turned away by the
// listing limit, once a month. It opens a platform transaction.
func (s *Service) Refused(ctx context.Context, board tenant.ID) error {
	return s.platform.Write(tenant.With(ctx, nil), func(ctx context.Context, tx bun.IDB) error {
		st, err := s.standing(ctx, tx, board)
		if err != nil {
			return err
		}
		limit, _ := st.Allowed(s.now(), Listings)
		info, err := s.info(ctx, tx, board)
		if err != nil {
			return err
		}
		return s.tell(ctx, tx, board, info, "plan-limit", monthOf(s.now()).Format("2006-01"), func(locale string) mail.Data {
			return mail.Data{"Limit": Amount(Listings, limit, locale)}
		})
	})
}

// TaskMeasure is the hourly look at what boards use: a frozen name.
const TaskMeasure = "plans.measure"

func (s *Service) measureTask(ctx context.Context, t *tasks.Task) error {
	if err := s.Measure(ctx); err != nil {
		return err
	}
	return s.platform.Write(ctx, t.Finish)
}

// keepBatches is how long a written batch's key is remembered; a process tries
// for minutes at most.
const keepBatches = 7 * day

// Measure notes today's levels and mails of every board, by one statement each,
// writes the alarms that are due, and notes what a month is worth. Again on the
// same day it writes the same. It opens transactions.
func (s *Service) Measure(ctx context.Context) error {
	now := s.now()
	today := now.Truncate(day)
	for what, q := range map[string]string{
		Listings: `SELECT tenant_id, count(*) AS n FROM listings WHERE state IN ` + occupying + ` GROUP BY 1`,
		Seats:    `SELECT tenant_id, count(DISTINCT v0) AS n FROM casbin_rules WHERE ptype = 'g' GROUP BY 1`,
		Domains:  `SELECT board_id AS tenant_id, count(*) AS n FROM hosts WHERE kind = 'custom' GROUP BY 1`,
		Mails:    `SELECT tenant_id, count(*) AS n FROM mails WHERE created_at >= '` + today.Format(time.RFC3339) + `' AND created_at < '` + today.Add(day).Format(time.RFC3339) + `' GROUP BY 1`,
	} {
		err := s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
			// A level that fell to nothing today is written too.
			_, err := tx.NewRaw(`INSERT INTO usage_days (tenant_id, day, what, amount)
				SELECT b.id, ?::date, ?, coalesce(x.n, 0) FROM boards AS b LEFT JOIN (`+q+`) AS x ON x.tenant_id = b.id
				WHERE x.n IS NOT NULL OR EXISTS (SELECT FROM usage_days AS u WHERE u.tenant_id = b.id AND u.what = ? AND u.day >= ?::date - 1 AND u.amount > 0)
				ORDER BY b.id
				ON CONFLICT (tenant_id, what, day) DO UPDATE SET amount = excluded.amount WHERE usage_days.amount <> excluded.amount`,
				today.Format(time.DateOnly), what, what, today.Format(time.DateOnly)).Exec(ctx)
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := s.measureStorage(ctx, today); err != nil {
		return err
	}
	if err := s.alarms(ctx); err != nil {
		return err
	}
	return s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := s.noteMRR(ctx, tx, today); err != nil {
			return err
		}
		_, err := tx.NewRaw(`DELETE FROM usage_batches WHERE at < ?`, now.Add(-keepBatches)).Exec(ctx)
		return err
	})
}

// measureStorage asks the file store, once a day and board: it has no sums.
func (s *Service) measureStorage(ctx context.Context, today time.Time) error {
	if s.storage == nil {
		return nil
	}
	var boards []tenant.ID
	err := s.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT id FROM boards AS b WHERE NOT EXISTS (SELECT FROM usage_days WHERE tenant_id = b.id AND what = 'storage' AND day = ?::date) ORDER BY id`,
			today.Format(time.DateOnly)).Scan(ctx, &boards)
	})
	if err != nil {
		return err
	}
	for _, id := range boards {
		if err := s.measureBoard(ctx, id, today); err != nil {
			return err
		}
	}
	return nil
}

// alarms writes to owners whose board has used 80 or all of the hundred: once a
// month for each thing and level, and once when both are crossed together.
func (s *Service) alarms(ctx context.Context) error {
	month := monthOf(s.now())
	var rows []struct {
		Board tenant.ID `bun:"board"`
		What  string    `bun:"what"`
		Used  int64     `bun:"used"`
		Limit int64     `bun:"most"`
	}
	err := s.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT bp.tenant_id AS board, l.key AS what, l.value::bigint AS most, u.used FROM board_plans AS bp
			JOIN boards AS b ON b.id = bp.tenant_id AND NOT b.demo JOIN plans AS p ON p.id = bp.plan_id
			CROSS JOIN LATERAL jsonb_each_text(p.limits) AS l
			CROSS JOIN LATERAL (SELECT CASE WHEN l.key IN ('mails', 'views', 'api_calls') THEN sum(amount)::bigint
					ELSE (array_agg(amount ORDER BY day DESC))[1] + CASE l.key WHEN 'storage' THEN bp.storage_added ELSE 0 END END AS used
				FROM usage_days WHERE tenant_id = bp.tenant_id AND what = l.key AND day >= ?::date) AS u
			WHERE u.used > 0 AND u.used * 100 >= l.value::bigint * 80
				AND NOT EXISTS (SELECT FROM usage_alarms AS a WHERE a.tenant_id = bp.tenant_id AND a.what = l.key AND a.period = ?::date
					AND a.level = CASE WHEN u.used >= l.value::bigint THEN 100 ELSE 80 END)
			ORDER BY bp.tenant_id`, month.Format(time.DateOnly), month.Format(time.DateOnly)).Scan(ctx, &rows)
	})
	if err != nil {
		return err
	}
	for _, r := range rows {
		u := Use{What: r.What, Used: r.Used, Limit: r.Limit, Limited: true}
		level := 80
		if u.Over() {
			level = 100
		}
		err := s.platform.Write(tenant.With(ctx, nil), func(ctx context.Context, tx bun.IDB) error {
			var fresh []int
			err := tx.NewRaw(`INSERT INTO usage_alarms (tenant_id, what, period, level, at) SELECT ?, ?, ?::date, x, ? FROM unnest(ARRAY[80, 100]) AS x WHERE x <= ?
				ON CONFLICT DO NOTHING RETURNING level`, r.Board, r.What, month.Format(time.DateOnly), s.now(), level).Scan(ctx, &fresh)
			if err != nil || len(fresh) == 0 {
				return err
			}
			info, err := s.info(ctx, tx, r.Board)
			if err != nil {
				return err
			}
			return s.tell(ctx, tx, r.Board, info, "plan-usage", r.What+month.Format(" 2006-01 ")+itoa(level), func(locale string) mail.Data {
				over := ""
				if level == 100 {
					over = "yes"
				}
				return mail.Data{"Thing": r.What, "What": Name(r.What, locale), "Used": Amount(r.What, r.Used, locale), "Limit": Amount(r.What, r.Limit, locale), "Percent": itoa(u.Percent()), "Over": over}
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Register puts the handlers into a worker's mux.
func (s *Service) Register(m *tasks.Mux) {
	m.Handle(TaskLadder, s.ladderTask)
	m.Handle(TaskMeasure, s.measureTask)
	m.Handle(TaskErase, s.eraseTask)
	m.Handle(TaskLift, s.liftTask)
}

// Schedule keeps the recurring rows: the ladder is walked every six hours, so
// that a day's step is taken on its day; a board takes one step a day at most.
func (s *Service) Schedule(ctx context.Context) error {
	if err := tasks.Schedule(ctx, s.platform, TaskLadder, 6*time.Hour, tasks.Critical); err != nil {
		return err
	}
	if err := tasks.Schedule(ctx, s.platform, TaskLift, liftEvery, tasks.Bulk); err != nil {
		return err
	}
	return tasks.Schedule(ctx, s.platform, TaskMeasure, time.Hour, tasks.Bulk)
}
