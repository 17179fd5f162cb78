package authz

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/tenant"
)

// Act is something that an operator, staff or a person did.
type Act struct {
	// Act is a frozen name, "<object>.<past>" as in "listing.approved".
	Act        string
	ObjectKind string
	ObjectID   string
	// Detail says what changed; never a name, an address or a secret.
	Detail map[string]any
	// Personal holds names and addresses, which erasure may empty.
	Personal map[string]any
	// Board names the board in a platform transaction whose context has none.
	Board tenant.ID
}

// Record writes the act into the audit log in the caller's transaction, so that
// there is no act without its line and no line without its act. The log is the
// context's board's, else the platform's; who acted and the request's id come
// from the context.
func Record(ctx context.Context, tx bun.IDB, a Act) error {
	board := a.Board
	if t := tenant.From(ctx); t != nil && board.IsNil() {
		board = t.ID
	}
	actor := tenant.ActorFrom(ctx)
	personal := maps.Clone(a.Personal)
	for name, label := range map[string]string{"actor": actor.Label, "impersonator": actor.ImpersonatorLabel} {
		if label == "" {
			continue
		}
		if personal == nil {
			personal = map[string]any{}
		}
		personal[name] = label
	}
	detail, err := object(a.Detail)
	if err != nil {
		return fmt.Errorf("audit %s: %w", a.Act, err)
	}
	private, err := object(personal)
	if err != nil {
		return fmt.Errorf("audit %s: %w", a.Act, err)
	}
	_, err = tx.NewRaw(`INSERT INTO audit_log (tenant_id, id, actor_kind, actor_id, impersonator_id, act, object_kind, object_id, detail, personal, request_id)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?::jsonb, ?::jsonb, ?)`,
		board, tenant.NewRowID(), string(actor.Kind), actor.NullID(), actor.NullImpersonator(), a.Act, a.ObjectKind, a.ObjectID, detail, private,
		tenant.RequestIDFrom(ctx)).Exec(ctx)
	if err != nil {
		return fmt.Errorf("audit %s: %w", a.Act, err)
	}
	return nil
}

func object(m map[string]any) (string, error) {
	if len(m) == 0 {
		return "{}", nil
	}
	raw, err := json.Marshal(m)
	return string(raw), err
}

// Line is one line of the audit log.
type Line struct {
	TenantID   tenant.ID        `bun:"tenant_id"`
	ID         uuid.UUID        `bun:"id"`
	At         time.Time        `bun:"at"`
	ActorKind  tenant.ActorKind `bun:"actor_kind"`
	ActorID    *uuid.UUID       `bun:"actor_id"`
	Act        string           `bun:"act"`
	ObjectKind string           `bun:"object_kind"`
	ObjectID   string           `bun:"object_id"`
	Detail     map[string]any   `bun:"detail,type:jsonb"`
	Personal   map[string]any   `bun:"personal,type:jsonb"`
	RequestID  string           `bun:"request_id"`
}

// Actor is the name to show: the personal part's, or "" after erasure.
func (l *Line) Actor() string {
	s, _ := l.Personal["actor"].(string)
	return s
}

// LogFilter narrows the audit log. Zero fields do not.
type LogFilter struct {
	// Board is whose log; the context's board when nil, else the platform's.
	Board      tenant.ID
	Act        string
	ObjectKind string
	ObjectID   string
	ActorID    uuid.UUID
	// Before continues a list: the last line's time and id.
	Before   time.Time
	BeforeID uuid.UUID
	// Limit is 50 when zero, 500 at most.
	Limit int
}

// Log lists the audit log of one domain, newest first.
func Log(ctx context.Context, tx bun.IDB, f LogFilter) ([]Line, error) {
	board := f.Board
	if t := tenant.From(ctx); t != nil && board.IsNil() {
		board = t.ID
	}
	limit := f.Limit
	if limit <= 0 {
		limit = 50
	}
	q, args := `SELECT tenant_id, id, at, actor_kind, actor_id, act, object_kind, object_id, detail, personal, request_id
		FROM audit_log WHERE tenant_id = ?`, []any{board}
	where := func(cond string, set bool, vs ...any) {
		if set {
			q += " AND " + cond
			args = append(args, vs...)
		}
	}
	where("act = ?", f.Act != "", f.Act)
	where("object_kind = ?", f.ObjectKind != "", f.ObjectKind)
	where("object_id = ?", f.ObjectID != "", f.ObjectID)
	where("actor_id = ?", f.ActorID != uuid.Nil, f.ActorID)
	where("at <= ? AND (at < ? OR id < ?)", !f.Before.IsZero(), f.Before, f.Before, f.BeforeID)
	args = append(args, min(limit, 500))
	var out []Line
	if err := tx.NewRaw(q+` ORDER BY at DESC, id DESC LIMIT ?`, args...).Scan(ctx, &out); err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	return out, nil
}
