// Package meter counts what happens too often for a row each: page views and API
// calls of every board, in memory, written in batches that count once. It knows
// no limit and no plan. Start at Meter.
package meter

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/pg"
	"shingle/tenant"
)

// Every is how often counts are written. A process that is killed loses what it
// counted since: at most so much time's views and calls, and never counts twice.
const Every = 10 * time.Second

const shards = 64

// Meter counts in one process. Its methods are safe for concurrent use and do
// nothing on a nil meter.
type Meter struct {
	platform *tenant.Platform
	log      *slog.Logger
	now      func() time.Time
	// process and the batch's number are the key that a batch is written under.
	process uuid.UUID
	shards  [shards]shard

	mu      sync.Mutex // one flush at a time
	number  int64
	pending *batch // taken off the counters, and not known to be written
}

type shard struct {
	mu sync.RWMutex
	m  map[tenant.ID]*counter
	_  [40]byte // a cache line of its own
}

// counter is one board's counts since the last flush. Counters are kept: there
// are never more than boards.
type counter struct{ views, calls atomic.Int64 }

type batch struct {
	number int64
	day    string
	rows   []line
}

type line struct {
	board tenant.ID
	what  string
	n     int64
}

// New makes a meter with a name of its own in the batches' keys.
func New(p *tenant.Platform, log *slog.Logger, now func() time.Time) *Meter {
	m := &Meter{platform: p, log: log, now: now, process: uuid.New()}
	for i := range m.shards {
		m.shards[i].m = map[tenant.ID]*counter{}
	}
	return m
}

// View counts a page that a visitor was shown.
func (m *Meter) View(board tenant.ID) {
	if m != nil {
		m.of(board).views.Add(1)
	}
}

// Call counts an answer of the API.
func (m *Meter) Call(board tenant.ID) {
	if m != nil {
		m.of(board).calls.Add(1)
	}
}

func (m *Meter) of(board tenant.ID) *counter {
	// The last byte of an id is random: boards spread evenly.
	s := &m.shards[board[15]%shards]
	s.mu.RLock()
	c := s.m[board]
	s.mu.RUnlock()
	if c != nil {
		return c
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c = s.m[board]; c == nil {
		c = &counter{}
		s.m[board] = c
	}
	return c
}

// Run writes the counts until ctx ends, and once more then.
func (m *Meter) Run(ctx context.Context) {
	tick := time.NewTicker(Every)
	defer tick.Stop()
	for done := false; !done; {
		select {
		case <-ctx.Done():
			done = true
		case <-tick.C:
		}
		if err := m.Flush(context.WithoutCancel(ctx)); err != nil {
			m.log.Warn("counting use", "sqlstate", pg.Code(err))
		}
	}
}

// Flush writes what was counted. A batch whose fate is unknown (the connection
// broke around its commit) is written again under the same key, which the first
// writing has taken if it happened: so it counts once.
func (m *Meter) Flush(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pending == nil {
		m.take()
	}
	if m.pending == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := m.write(ctx, m.pending); err != nil {
		return err
	}
	m.pending = nil
	return nil
}

func (m *Meter) take() {
	b := &batch{number: m.number + 1, day: m.now().UTC().Format(time.DateOnly)}
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.RLock()
		for id, c := range s.m {
			if n := c.views.Swap(0); n != 0 {
				b.rows = append(b.rows, line{id, "views", n})
			}
			if n := c.calls.Swap(0); n != 0 {
				b.rows = append(b.rows, line{id, "api_calls", n})
			}
		}
		s.mu.RUnlock()
	}
	if len(b.rows) == 0 {
		return
	}
	// In one order, so that two processes do not wait for each other's rows in a circle.
	slices.SortFunc(b.rows, func(x, y line) int {
		return cmp.Or(slices.Compare(x.board[:], y.board[:]), cmp.Compare(x.what, y.what))
	})
	m.number++
	m.pending = b
}

func (m *Meter) write(ctx context.Context, b *batch) error {
	return m.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		res, err := tx.NewRaw(`INSERT INTO usage_batches (process, batch) VALUES (?, ?) ON CONFLICT DO NOTHING`, m.process, b.number).Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		boards, whats, counts := make([]string, len(b.rows)), make([]string, len(b.rows)), make([]int64, len(b.rows))
		for i, r := range b.rows {
			boards[i], whats[i], counts[i] = r.board.String(), r.what, r.n
		}
		// A board that is gone meanwhile is left out.
		_, err = tenant.ExecColumns(ctx, tx, `INSERT INTO usage_days AS u (tenant_id, day, what, amount)
			SELECT b.id, $4::date, x.what, x.n FROM unnest($1::uuid[], $2::text[], $3::bigint[]) WITH ORDINALITY AS x (board, what, n, i)
			JOIN boards AS b ON b.id = x.board ORDER BY x.i
			ON CONFLICT (tenant_id, what, day) DO UPDATE SET amount = u.amount + excluded.amount`, boards, whats, counts, b.day)
		return err
	})
}
