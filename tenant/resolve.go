package tenant

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"
	"golang.org/x/sync/singleflight"

	"shingle/internal/fault"
	"shingle/internal/pg"
)

const (
	// maxHosts bounds the known hosts kept, maxUnknown the unknown ones: a flood
	// of made-up names must not push boards out.
	maxHosts, maxUnknown = 200_000, 50_000
	unknownFor           = 30 * time.Second
	// While the listener is lost an entry is asked again when used, at most once
	// in confirmEvery, and is served as last known for at most trustFor.
	confirmEvery = time.Second
	trustFor     = 10 * time.Minute
	// askWait is how long a look-up may take; a board that is known already is
	// not waited for longer than confirmWait.
	askWait, confirmWait = 5 * time.Second, 500 * time.Millisecond
	// awayEvery is how often one request waits for a board while Postgres does
	// not answer. The poll hears sooner that it is back.
	awayEvery = 3 * time.Second
)

// Resolver turns a Host header into a board, from a bounded in-process cache
// that notifications keep true.
type Resolver struct {
	platform *Platform
	log      *slog.Logger
	now      func() time.Time
	flight   singleflight.Group
	linked   atomic.Bool
	stale    atomic.Int64
	answered atomic.Int64 // unix nanoseconds of the last answer about any board

	mu      sync.RWMutex
	known   map[string]*entry
	unknown map[string]time.Time
	byID    map[ID]*board
	epoch   uint64 // moves when something is forgotten, so that a slow look-up is not kept
	polled  time.Time
}

// board is one tenant, shared by all its hosts.
type board struct {
	tenant    atomic.Pointer[Tenant]
	asked     atomic.Int64 // unix nanoseconds of the last answer from Postgres
	tried     atomic.Int64 // and of the last question
	forgotten atomic.Bool  // its settings changed: ask before the next use
	movedAt   atomic.Int64 // unix nanoseconds of the last change heard of
	moves     atomic.Int64 // how often that was
	failedAt  atomic.Int64 // unix nanoseconds of the last question without an answer
}

func (b *board) moved(now time.Time) {
	b.movedAt.Store(now.UnixNano())
	b.forgotten.Store(true)
	b.moves.Add(1)
}

// entry is one host of a board. It is asked again when the board has moved
// since: its host may be gone, or another board's, even when nobody said so.
type entry struct {
	host  string
	board *board
	moves int64
}

// NewResolver makes a resolver; Attach it to a notifier and Run its poll.
func NewResolver(p *Platform, log *slog.Logger, now func() time.Time) *Resolver {
	return &Resolver{platform: p, log: log, now: now, known: map[string]*entry{}, unknown: map[string]time.Time{}, byID: map[ID]*board{}}
}

// Attach subscribes the resolver to what changes. Call before the notifier runs.
func (r *Resolver) Attach(n *Notifier) {
	n.OnBoard(r.Moved)
	n.OnHost(r.Forget)
	n.OnLink(func(up bool) { r.linked.Store(up) })
}

// Stale is how many requests were served from an unconfirmed entry while
// Postgres did not answer.
func (r *Resolver) Stale() int64 { return r.stale.Load() }

// Resolve finds the board of a Host header. Kinds: fault.NotFound for a host
// that no board has, fault.Invalid for what cannot be a host,
// fault.Unavailable when it is not known here and Postgres does not answer.
func (r *Resolver) Resolve(ctx context.Context, host string) (*Tenant, error) {
	var space [maxHost + 8]byte
	name := NormaliseHost(space[:0], host)
	if name == nil {
		return nil, errBadHost
	}
	r.mu.RLock()
	e := r.known[string(name)] // no allocation: the compiler sees the conversion
	var gone time.Time
	if e == nil {
		gone = r.unknown[string(name)]
	}
	r.mu.RUnlock()
	switch {
	case e != nil && e.moves == e.board.moves.Load() && r.fresh(e.board):
		return e.board.tenant.Load(), nil
	case e != nil:
		return r.confirm(ctx, e)
	case !gone.IsZero() && r.now().Before(gone):
		return nil, errUnknownHost
	}
	return r.load(ctx, string(name), askWait)
}

var (
	errBadHost     = fault.New(fault.Invalid, "not a host name")
	errUnknownHost = fault.New(fault.NotFound, "no board here")
)

// ByID finds a board for a task or a console. Kinds: fault.NotFound, fault.Unavailable.
func (r *Resolver) ByID(ctx context.Context, id ID) (*Tenant, error) {
	r.mu.RLock()
	b := r.byID[id]
	r.mu.RUnlock()
	if b != nil && r.fresh(b) {
		return b.tenant.Load(), nil
	}
	return r.fetch(ctx, askWait, "b.id = ?", id)
}

// BySlug finds a board by its slug, past the cache.
func (r *Resolver) BySlug(ctx context.Context, slug string) (*Tenant, error) {
	return r.fetch(ctx, askWait, "b.slug = ?", slug)
}

func (r *Resolver) fresh(b *board) bool {
	return !b.forgotten.Load() && (r.linked.Load() || r.now().UnixNano()-b.asked.Load() < int64(confirmEvery))
}

// confirm asks again; while Postgres does not answer, the last known serves: a
// suspended board stays suspended. Nobody waits long for an answer, and after a
// question without one hardly anybody waits at all.
func (r *Resolver) confirm(ctx context.Context, e *entry) (*Tenant, error) {
	b, now := e.board, r.now().UnixNano()
	changed := b.forgotten.Load() || e.moves != b.moves.Load()
	failed := b.failedAt.Load()
	away, every := failed > r.answered.Load(), confirmEvery
	if away {
		every = awayEvery
	}
	last := b.tried.Load()
	due := now-max(last, failed) >= int64(every) && b.tried.CompareAndSwap(last, now)
	if due || changed && !away {
		b.tried.Store(now)
		t, err := r.load(ctx, e.host, confirmWait)
		if err == nil || !fault.Is(err, fault.Unavailable) {
			return t, err
		}
		b.failedAt.Store(r.now().UnixNano())
		away = true
	}
	if now-b.asked.Load() >= int64(trustFor) {
		return nil, fault.New(fault.Unavailable, "the database does not answer")
	}
	r.stale.Add(1)
	if !away && !changed {
		return b.tenant.Load(), nil // somebody else is asking at this moment
	}
	t := *b.tenant.Load()
	t.Unconfirmed = true
	return &t, nil
}

func (r *Resolver) load(ctx context.Context, host string, wait time.Duration) (*Tenant, error) {
	v, err, _ := r.flight.Do(host, func() (any, error) {
		r.mu.RLock()
		epoch := r.epoch
		r.mu.RUnlock()
		asked := r.now()
		t, err := r.fetch(context.WithoutCancel(ctx), wait, "b.id = (SELECT board_id FROM hosts WHERE host = ? AND (kind = 'platform' OR verified_at IS NOT NULL))", host)
		switch {
		case fault.Is(err, fault.NotFound):
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.known, host)
			if r.epoch == epoch {
				trim(r.unknown, maxUnknown)
				r.unknown[host] = r.now().Add(unknownFor)
			}
			return nil, errUnknownHost
		case err != nil:
			return nil, err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.epoch == epoch {
			trim(r.known, maxHosts)
			b := r.byID[t.ID]
			e := &entry{host: host, board: b, moves: b.moves.Load()}
			if b.movedAt.Load() > asked.UnixNano() {
				e.moves-- // moved while this was being read: ask again
			}
			r.known[host] = e
			delete(r.unknown, host)
		}
		return t, nil
	})
	if err != nil {
		return nil, err
	}
	return v.(*Tenant), nil
}

// trim makes room by dropping a few entries at random.
func trim[V any](m map[string]V, limit int) {
	for h := range m {
		if len(m) < limit {
			return
		}
		delete(m, h)
	}
}

func (r *Resolver) fetch(ctx context.Context, wait time.Duration, where string, arg any) (*Tenant, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	asked := r.now()
	t := new(Tenant)
	err := r.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT b.*, g.generation,
				(SELECT host FROM hosts WHERE board_id = b.id AND kind = 'platform' ORDER BY created_at LIMIT 1) AS platform_host,
				(SELECT host FROM hosts WHERE board_id = b.id AND canonical) AS canonical_host,
				-- The board's own after the platform's: the last of a name stays.
				(SELECT jsonb_object_agg(f.name, f.value ORDER BY f.tenant_id) FROM feature_flags AS f
					WHERE f.tenant_id IN ('00000000-0000-0000-0000-000000000000', b.id)) AS flags
			FROM boards AS b JOIN generations AS g ON g.tenant_id = b.id WHERE `+where, arg).Scan(ctx, t)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errUnknownHost
	}
	if err != nil {
		// Whatever the reason, who asks here only knows that there is no answer now.
		return nil, fault.Wrap(err, fault.Unavailable, "the database does not answer")
	}
	if t.CanonicalHost == "" {
		t.CanonicalHost = t.PlatformHost
	}
	t.settle()
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.byID[t.ID]
	if b == nil {
		b = &board{}
		if len(r.byID) >= maxHosts {
			r.byID, r.known = map[ID]*board{}, map[string]*entry{}
		}
		r.byID[t.ID] = b
	}
	if old := b.tenant.Load(); old != nil && old.Generation > t.Generation {
		t.Generation = old.Generation // a commit here overtook this read
	}
	if old := b.tenant.Load(); old != nil && t.Generation > old.Generation {
		b.moves.Add(1) // its other hosts are asked again too
	}
	b.tenant.Store(t)
	b.asked.Store(asked.UnixNano())
	b.tried.Store(asked.UnixNano())
	r.answered.Store(r.now().UnixNano())
	// A change heard of while this was being read may not be in it.
	if b.movedAt.Load() <= asked.UnixNano() {
		b.forgotten.Store(false)
	}
	return t, nil
}

// Moved applies a board's new generation: pages of the old one are not served
// again. Its settings may have changed too, so they are read anew when asked.
func (r *Resolver) Moved(id ID, generation int64) {
	r.mu.RLock()
	b := r.byID[id]
	r.mu.RUnlock()
	if b == nil {
		return
	}
	for {
		old := b.tenant.Load()
		if old.Generation >= generation {
			return
		}
		t := *old
		t.Generation = generation
		b.moved(r.now())
		if b.tenant.CompareAndSwap(old, &t) {
			return
		}
	}
}

// Forget has a host asked for anew before its next use. What is known of it
// stays as the last known, for when Postgres does not answer.
func (r *Resolver) Forget(host string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.epoch++
	if e := r.known[host]; e != nil {
		e.board.moved(r.now())
	}
	delete(r.unknown, host)
}

// pollEvery leaves a removed host, whose removal nobody told of, more than a
// second of its two for a busy machine.
const pollEvery = 500 * time.Millisecond

// Run polls for boards that moved, the net for a process that died between its
// commit and its notification.
func (r *Resolver) Run(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := r.poll(ctx); err != nil && ctx.Err() == nil {
				r.log.Warn("board poll failed", "sqlstate", pg.Code(err))
			}
		}
	}
}

func (r *Resolver) poll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var rows []struct {
		TenantID   ID    `bun:"tenant_id"`
		Generation int64 `bun:"generation"`
	}
	since := r.polled
	if since.IsZero() {
		since = r.now()
	}
	begun := r.now()
	err := r.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		// Ten seconds of overlap: a long transaction commits with an old time.
		return tx.NewRaw(`SELECT tenant_id, generation FROM generations WHERE changed_at > ?::timestamptz - interval '10 seconds'`, since).Scan(ctx, &rows)
	})
	if err != nil {
		return err
	}
	r.polled = begun
	r.answered.Store(r.now().UnixNano())
	for _, row := range rows {
		r.Moved(row.TenantID, row.Generation)
	}
	return nil
}
