// Package tasks is background work: durable rows in Postgres, run by asynq.
// The row alone owns attempts, back-off, lease and last error, so Redis may
// lose everything and nothing is lost. Start at Add and Task, then relay.go.
package tasks

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/observe"
	"shingle/tenant"
)

// Queue names, by urgency.
const (
	Critical = "critical" // money
	Default  = "default"
	Index    = "index"
	Mail     = "mail"
	Bulk     = "bulk" // imports, digests
)

// Task is one piece of work, as its row says.
type Task struct {
	TenantID    tenant.ID       `bun:"tenant_id"`
	ID          uuid.UUID       `bun:"id"`
	Kind        string          `bun:"kind"`
	Queue       string          `bun:"queue"`
	Version     int             `bun:"version"`
	Payload     json.RawMessage `bun:"payload"`
	Handover    int             `bun:"handover"`
	Attempts    int             `bun:"attempts"`
	MaxAttempts int             `bun:"max_attempts"`
	Every       *float64        `bun:"every_seconds"`
	RunAt       time.Time       `bun:"run_at"`
	LastError   string          `bun:"last_error"`
	FailedAt    *time.Time      `bun:"failed_at"`
	CreatedAt   time.Time       `bun:"created_at"`
	// Trace names the span that asked for the work, as a traceparent, or is "".
	Trace string `bun:"trace"`
}

// columns are those that Task reads: Bun refuses one that the struct lacks.
const columns = `tenant_id, id, kind, queue, version, payload, handover, attempts, max_attempts,
	extract(epoch FROM every)::float8 AS every_seconds, run_at, last_error, failed_at, created_at, trace`

// Decode reads the payload into v.
func (t *Task) Decode(v any) error {
	if err := json.Unmarshal(t.Payload, v); err != nil {
		return fault.Wrap(err, fault.Invalid, "payload of %s", t.Kind)
	}
	return nil
}

// Finish deletes the row, first thing in the effect's transaction: no row, no
// effect. A scheduled task's row moves on to its next time instead.
//
// Kind: fault.Gone when another hand-over has done it, and for a task of another
// board than the context's.
func (t *Task) Finish(ctx context.Context, tx bun.IDB) error {
	if b := tenant.From(ctx); b != nil && !t.TenantID.IsNil() && b.ID != t.TenantID {
		return fault.New(fault.Gone, "task %s is no task of this board", t.Kind)
	}
	q := `DELETE FROM tasks WHERE tenant_id = ? AND id = ? AND handover = ?`
	if t.Every != nil {
		q = `UPDATE tasks SET run_at = greatest(run_at + every, now()), lease_until = NULL, attempts = 0, last_error = ''
			WHERE tenant_id = ? AND id = ? AND handover = ? AND lease_until IS NOT NULL`
	}
	res, err := tx.NewRaw(q, t.TenantID, t.ID, t.Handover).Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return fault.New(fault.Gone, "task %s is done already", t.Kind)
	}
	return nil
}

// New is work to add.
type New struct {
	Kind string
	// Queue is Default when empty.
	Queue string
	// Key coalesces: a row of the same board, kind and key that nobody has begun
	// takes the newer payload and the earlier time.
	Key string
	// Payload is a struct with JSON tags; its shape belongs to Version.
	Payload any
	Version int
	// RunAt is now when zero.
	RunAt time.Time
	// MaxAttempts is 12 when zero: about a day of back-off.
	MaxAttempts int
	// Tenant names the board in a platform transaction; elsewhere it is the
	// context's board.
	Tenant tenant.ID
}

// Add writes the work's row in the caller's transaction and wakes the relay
// after the commit.
func Add(ctx context.Context, tx bun.IDB, n New) error {
	id := n.Tenant
	if t := tenant.From(ctx); t != nil && id.IsNil() {
		id = t.ID
	}
	payload, err := json.Marshal(n.Payload)
	if err != nil {
		return fmt.Errorf("payload of %s: %w", n.Kind, err)
	}
	if n.Payload == nil {
		payload = []byte("{}")
	}
	queue := n.Queue
	if queue == "" {
		queue = Default
	}
	most := n.MaxAttempts
	if most == 0 {
		most = 12
	}
	var key *string
	if n.Key != "" {
		key = &n.Key
	}
	var runAt *time.Time
	parent := observe.Parent(ctx)
	if !n.RunAt.IsZero() {
		runAt = &n.RunAt
		// What comes much later, or again and again, is another story.
		if time.Until(n.RunAt) > 10*time.Minute {
			parent = ""
		}
	}
	_, err = tx.NewRaw(`INSERT INTO tasks AS t (tenant_id, id, kind, queue, key, version, payload, run_at, max_attempts, trace)
		VALUES (?, ?, ?, ?, ?, ?, ?::jsonb, coalesce(?::timestamptz, now()), ?, ?)
		ON CONFLICT (tenant_id, kind, key) WHERE key IS NOT NULL AND handover = 0
		DO UPDATE SET payload = excluded.payload, version = excluded.version, run_at = least(t.run_at, excluded.run_at), trace = coalesce(nullif(excluded.trace, ''), t.trace)`,
		id, tenant.NewRowID(), n.Kind, queue, key, max(1, n.Version), string(payload), runAt, most, parent).Exec(ctx)
	if err != nil {
		return fmt.Errorf("adding task %s: %w", n.Kind, err)
	}
	tenant.Wake(ctx)
	return nil
}

// Schedule keeps one platform row that comes back by itself every so often.
// Calling it again changes the interval only.
func Schedule(ctx context.Context, p *tenant.Platform, kind string, every time.Duration, queue string) error {
	return p.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		// The id follows from the kind, so that replicas starting together make one row.
		id := uuid.NewSHA1(uuid.Nil, []byte("schedule "+kind))
		_, err := tx.NewRaw(`INSERT INTO tasks (tenant_id, id, kind, queue, every, max_attempts)
			VALUES (?, ?, ?, ?, make_interval(secs => ?), 1000000)
			ON CONFLICT (tenant_id, id) DO UPDATE SET every = excluded.every WHERE tasks.every <> excluded.every`,
			tenant.Nil, id, kind, queue, every.Seconds()).Exec(ctx)
		return err
	})
}

// Handler does the work. The context has the task's board, if any. Its error
// is kept in the row, without secrets, and shown to staff.
type Handler func(ctx context.Context, t *Task) error

// Mux maps kinds, which are frozen names, to handlers.
type Mux struct{ handlers map[string]Handler }

// NewMux makes an empty mux.
func NewMux() *Mux { return &Mux{handlers: map[string]Handler{}} }

// Handle registers the handler of a kind. A second one for a kind is a
// programming error and panics at start.
func (m *Mux) Handle(kind string, h Handler) {
	if _, twice := m.handlers[kind]; twice {
		panic("tasks: two handlers for " + kind)
	}
	m.handlers[kind] = h
}

// Failed lists tasks that gave up, newest first, across boards.
func Failed(ctx context.Context, tx bun.IDB, limit int) ([]Task, error) {
	var ts []Task
	err := tx.NewRaw(`SELECT `+columns+` FROM tasks
		WHERE failed_at IS NOT NULL ORDER BY failed_at DESC LIMIT ?`, limit).Scan(ctx, &ts)
	return ts, err
}

// Retry makes a failed task due again at once. Runs in a platform transaction.
// Kind: fault.NotFound.
func Retry(ctx context.Context, tx bun.IDB, board tenant.ID, id uuid.UUID) error {
	res, err := tx.NewRaw(`UPDATE tasks SET failed_at = NULL, attempts = 0, lease_until = NULL, run_at = now()
		WHERE tenant_id = ? AND id = ? AND failed_at IS NOT NULL`, board, id).Exec(ctx)
	if err := tenant.Touched(res, err, "failed task"); err != nil {
		return err
	}
	tenant.Wake(ctx)
	return nil
}

// Discard deletes a failed task for good. Kind: fault.NotFound.
func Discard(ctx context.Context, tx bun.IDB, board tenant.ID, id uuid.UUID) error {
	res, err := tx.NewRaw(`DELETE FROM tasks WHERE tenant_id = ? AND id = ? AND failed_at IS NOT NULL`, board, id).Exec(ctx)
	return tenant.Touched(res, err, "failed task")
}

// Run calls a kind's handler in this goroutine, for tests of handlers: the
// context has the board already, and the row, if any, is the handler's.
func (m *Mux) Run(ctx context.Context, t *Task) error { return m.handlers[t.Kind](ctx, t) }
