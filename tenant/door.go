package tenant

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"shingle/internal/fault"
	"shingle/internal/pg"
)

// Fn is what runs inside a transaction. It must use the context it is given,
// make no network call, and may run again after a serialization failure.
type Fn func(ctx context.Context, tx bun.IDB) error

// maxTries bounds the repeats after 40001 and 40P01.
const maxTries = 4

// DB is the only door to a board's rows. The connection's role owns nothing
// and cannot bypass row level security; each transaction is bound to the board
// of the context in the round trip that begins it.
type DB struct {
	bun    *bun.DB
	notify *Notifier
}

// Platform is the door for work across boards: staff, relay, sweeps, host
// look-ups. It is another login with policies of its own; every use is a place
// that crosses the wall.
type Platform struct {
	bun    *bun.DB
	notify *Notifier
}

// NewDB opens the door with a pool of the app's role. The notifier hears of
// every change after its commit.
func NewDB(sqldb *sql.DB, n *Notifier) *DB {
	return &DB{bun: bun.NewDB(sqldb, pgdialect.New(), bun.WithDiscardUnknownColumns()), notify: n}
}

// NewPlatform opens the door with a pool of the platform's role.
func NewPlatform(sqldb *sql.DB, n *Notifier) *Platform {
	return &Platform{bun: bun.NewDB(sqldb, pgdialect.New(), bun.WithDiscardUnknownColumns()), notify: n}
}

// Bun is the pool itself, for hooks (tracing) and tests. Rows go through Read
// and Write.
func (d *DB) Bun() *bun.DB { return d.bun }

// Bun is the pool itself, for hooks and tests.
func (p *Platform) Bun() *bun.DB { return p.bun }

// Read runs fn in a read-only transaction bound to the context's board.
//
// Kinds: fault.Internal without a board in the context or inside another
// transaction; fault.Unavailable when Postgres does not answer.
func (d *DB) Read(ctx context.Context, fn Fn) error {
	id, err := IDFrom(ctx)
	if err != nil {
		return err
	}
	return transact(ctx, d.bun, d.notify, "BEGIN READ ONLY; SELECT set_config('app.tenant_id', ?, true)", id, false, fn)
}

// Snapshot is Read for work of many statements that must all see one moment, as
// an export does. Times are in UTC. Kinds as for Read.
func (d *DB) Snapshot(ctx context.Context, fn Fn) error {
	id, err := IDFrom(ctx)
	if err != nil {
		return err
	}
	// One try: fn has an effect that no rollback takes back, and a transaction
	// that only reads meets no serialization failure.
	return tries(ctx, d.bun, d.notify, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL TIME ZONE 'UTC'; SELECT set_config('app.tenant_id', ?, true)", id, false, fn, 1)
}

// Write runs fn in a transaction bound to the context's board. What fn marked
// with Changed moves the board's generation as the last statement before the
// commit. Kinds as for Read.
func (d *DB) Write(ctx context.Context, fn Fn) error {
	id, err := IDFrom(ctx)
	if err != nil {
		return err
	}
	return transact(ctx, d.bun, d.notify, "BEGIN; SELECT set_config('app.tenant_id', ?, true)", id, false, fn)
}

// Read runs fn in a read-only transaction that sees every board.
func (p *Platform) Read(ctx context.Context, fn Fn) error {
	return transact(ctx, p.bun, p.notify, "BEGIN READ ONLY", Nil, true, fn)
}

// Write runs fn in a transaction that may change any board's rows.
func (p *Platform) Write(ctx context.Context, fn Fn) error {
	return transact(ctx, p.bun, p.notify, "BEGIN", Nil, true, fn)
}

// txState is what a transaction remembers for its end.
type txState struct {
	platform bool
	done     atomic.Bool
	changed  map[ID]struct{}
	wake     bool
	after    []func()
}

type txKey struct{}

func txFrom(ctx context.Context) *txState {
	s, _ := ctx.Value(txKey{}).(*txState)
	if s == nil || s.done.Load() {
		return nil
	}
	return s
}

// Changed marks the transaction as one that a visitor of the board could see:
// the board's pages are made anew after the commit.
func Changed(ctx context.Context) {
	if s, t := txFrom(ctx), From(ctx); s != nil && t != nil {
		s.changed[t.ID] = struct{}{}
	}
}

// ChangedBoard is Changed for a platform transaction, which names the board.
func ChangedBoard(ctx context.Context, id ID) {
	if s := txFrom(ctx); s != nil {
		s.changed[id] = struct{}{}
	}
}

// Wake tells the relay, after the commit, that there is work.
func Wake(ctx context.Context) {
	if s := txFrom(ctx); s != nil {
		s.wake = true
	}
}

// AfterCommit runs fn in this process once the transaction has committed; it
// is lost when the process dies first, so it may only speed up what a row says.
func AfterCommit(ctx context.Context, fn func()) {
	if s := txFrom(ctx); s != nil {
		s.after = append(s.after, fn)
	}
}

func transact(ctx context.Context, db *bun.DB, n *Notifier, begin string, id ID, platform bool, fn Fn) error {
	return tries(ctx, db, n, begin, id, platform, fn, maxTries)
}

func tries(ctx context.Context, db *bun.DB, n *Notifier, begin string, id ID, platform bool, fn Fn, most int) error {
	if txFrom(ctx) != nil {
		return fault.New(fault.Internal, "a transaction inside a transaction")
	}
	var err error
	for try := 1; ; try++ {
		err = once(ctx, db, n, begin, id, platform, fn)
		if err == nil || try == most || !pg.Retryable(err) || ctx.Err() != nil {
			break
		}
	}
	if pg.Away(err) && fault.KindOf(err) == fault.Internal {
		return fault.Wrap(err, fault.Unavailable, "the database does not answer")
	}
	return err
}

func once(ctx context.Context, db *bun.DB, n *Notifier, begin string, id ID, platform bool, fn Fn) (err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()

	// One round trip begins the transaction and binds the board to it.
	if platform {
		_, err = conn.ExecContext(ctx, begin)
	} else {
		_, err = conn.ExecContext(ctx, begin, id.String())
	}
	if err != nil {
		rollback(ctx, conn)
		return fmt.Errorf("begin: %w", err)
	}
	state := &txState{platform: platform, changed: map[ID]struct{}{}}
	finished := false
	defer func() {
		state.done.Store(true)
		if finished {
			return
		}
		rollback(ctx, conn) // a panic or an error
	}()
	inner := context.WithValue(ctx, txKey{}, state)
	if err := fn(inner, conn); err != nil {
		return err
	}
	generations := make(map[ID]int64, len(state.changed))
	for board := range state.changed {
		var g int64
		err := conn.QueryRowContext(ctx, `UPDATE generations SET generation = generation + 1, changed_at = clock_timestamp()
			WHERE tenant_id = ? RETURNING generation`, board.String()).Scan(&g)
		if err != nil {
			return fmt.Errorf("moving the generation: %w", err)
		}
		generations[board] = g
	}
	state.done.Store(true)
	if _, err := conn.ExecContext(ctx, "COMMIT"); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	finished = true
	n.committed(generations, state.wake)
	for _, f := range state.after {
		f()
	}
	return nil
}

// rollback works even when ctx is over. A connection that cannot is thrown away,
// never returned with the board bound.
func rollback(ctx context.Context, conn bun.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackPatience)
	defer cancel()
	if _, err := conn.ExecContext(ctx, "ROLLBACK"); err != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}
}

const rollbackPatience = 5 * time.Second
