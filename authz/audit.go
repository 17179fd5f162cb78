package authz

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
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
	_, err := record(ctx, tx, a)
	return err
}

func record(ctx context.Context, tx bun.IDB, a Act) (uuid.UUID, error) {
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
		return uuid.Nil, fmt.Errorf("audit %s: %w", a.Act, err)
	}
	private, err := object(personal)
	if err != nil {
		return uuid.Nil, fmt.Errorf("audit %s: %w", a.Act, err)
	}
	id := tenant.NewRowID()
	_, err = tx.NewRaw(`INSERT INTO audit_log (tenant_id, id, actor_kind, actor_id, impersonator_id, act, object_kind, object_id, detail, personal, request_id)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?::jsonb, ?::jsonb, ?)`,
		board, id, string(actor.Kind), actor.NullID(), actor.NullImpersonator(), a.Act, a.ObjectKind, a.ObjectID, detail, private,
		tenant.RequestIDFrom(ctx)).Exec(ctx)
	if err != nil {
		return id, fmt.Errorf("audit %s: %w", a.Act, err)
	}
	return id, nil
}

// RecordOnBoard writes what the platform's staff did to a board into both logs,
// in a platform transaction: the board's own, where its admins see it as the
// platform's act, and the platform's, which names the board and the other line.
func RecordOnBoard(ctx context.Context, tx bun.IDB, board tenant.ID, a Act) error {
	ctx = tenant.With(ctx, nil)
	a.Board = board
	line, err := record(ctx, tx, a)
	if err != nil {
		return err
	}
	a.Board, a.Detail = tenant.Nil, maps.Clone(a.Detail)
	if a.Detail == nil {
		a.Detail = map[string]any{}
	}
	a.Detail["board"], a.Detail[BoardLine] = board.String(), line.String()
	return Record(ctx, tx, a)
}

// BoardLine is the detail by which a line of the platform's log names its twin
// in a board's.
const BoardLine = "board_line"

func object(m map[string]any) (string, error) {
	if len(m) == 0 {
		return "{}", nil
	}
	raw, err := json.Marshal(m)
	return string(raw), err
}

// Line is one line of the audit log.
type Line struct {
	TenantID       tenant.ID        `bun:"tenant_id"`
	ID             uuid.UUID        `bun:"id"`
	At             time.Time        `bun:"at"`
	ActorKind      tenant.ActorKind `bun:"actor_kind"`
	ActorID        *uuid.UUID       `bun:"actor_id"`
	ImpersonatorID *uuid.UUID       `bun:"impersonator_id"`
	Act            string           `bun:"act"`
	ObjectKind     string           `bun:"object_kind"`
	ObjectID       string           `bun:"object_id"`
	Detail         map[string]any   `bun:"detail,type:jsonb"`
	Personal       map[string]any   `bun:"personal,type:jsonb"`
	RequestID      string           `bun:"request_id"`
	// Erased: the personal part was emptied.
	Erased bool `bun:"erased"`
	// Seq is the line's link in the chain; nil until it is sealed.
	Seq      *int64     `bun:"seq"`
	SealedAt *time.Time `bun:"sealed_at"`
}

// Actor is the name to show: the personal part's, or "" after erasure.
func (l *Line) Actor() string {
	s, _ := l.Personal["actor"].(string)
	return s
}

// Impersonator is the name of the staff member who acted as the actor, or "".
func (l *Line) Impersonator() string {
	s, _ := l.Personal["impersonator"].(string)
	return s
}

// LogFilter narrows the audit log. Zero fields do not.
type LogFilter struct {
	// Board is whose log; the context's board when nil, else the platform's.
	Board tenant.ID
	// Everywhere reads all logs, in a platform transaction.
	Everywhere bool
	Act        string
	ObjectKind string
	ObjectID   string
	// ActorID is who acted, as themselves or as somebody else.
	ActorID uuid.UUID
	// From and To bound the time: From <= at < To.
	From, To time.Time
	// Before continues a list: the last line's time and id.
	Before   time.Time
	BeforeID uuid.UUID
	// Limit is 50 when zero, 1000 at most.
	Limit int
}

// Log lists the audit log of one domain, newest first. It goes by key, so that
// the last page of a million lines costs what the first does.
func Log(ctx context.Context, tx bun.IDB, f LogFilter) ([]Line, error) {
	board := f.Board
	if t := tenant.From(ctx); t != nil && board.IsNil() {
		board = t.ID
	}
	limit := f.Limit
	if limit <= 0 {
		limit = 50
	}
	limit = min(limit, 1000)
	cond, args := `true`, []any{}
	where := func(c string, set bool, vs ...any) {
		if set {
			cond += " AND " + c
			args = append(args, vs...)
		}
	}
	where("tenant_id = ?", !f.Everywhere, board)
	where("act = ?", f.Act != "", f.Act)
	where("object_kind = ?", f.ObjectKind != "", f.ObjectKind)
	where("object_id = ?", f.ObjectID != "", f.ObjectID)
	where("at >= ?", !f.From.IsZero(), f.From)
	where("at < ?", !f.To.IsZero(), f.To)
	where("(at, id) < (?, ?)", !f.Before.IsZero(), f.Before, f.BeforeID)
	page := func(more string) string {
		return `SELECT * FROM audit_log WHERE ` + cond + more + ` ORDER BY at DESC, id DESC LIMIT ?`
	}
	q, all := page(""), append(slices.Clone(args), limit)
	if f.ActorID != uuid.Nil {
		// Two arms, each with an index of its own: an OR has none in this order.
		q = `SELECT * FROM ((` + page(" AND actor_id = ?") + `) UNION ALL (` + page(" AND impersonator_id = ? AND actor_id IS DISTINCT FROM ?") + `)) AS x ORDER BY at DESC, id DESC LIMIT ?`
		all = slices.Concat(args, []any{f.ActorID, limit}, args, []any{f.ActorID, f.ActorID, limit, limit})
	}
	var out []Line
	err := tx.NewRaw(`SELECT l.tenant_id, l.id, l.at, l.actor_kind, l.actor_id, l.impersonator_id, l.act, l.object_kind, l.object_id, l.detail, l.personal, l.request_id,
			l.salt IS NULL AS erased, c.seq, c.sealed_at
		FROM (`+q+`) AS l LEFT JOIN audit_chain AS c ON c.tenant_id = l.tenant_id AND c.id = l.id ORDER BY l.at DESC, l.id DESC`, all...).Scan(ctx, &out)
	if err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	return out, nil
}

// Acts lists the acts that stand in one log, by name.
func Acts(ctx context.Context, tx bun.IDB, board tenant.ID) ([]string, error) {
	return distinct(ctx, tx, board, "act")
}

// Kinds lists what the lines of one log are about: their object kinds, by name.
func Kinds(ctx context.Context, tx bun.IDB, board tenant.ID) ([]string, error) {
	return distinct(ctx, tx, board, "object_kind")
}

// distinct jumps from one value to the next by the column's index, however many
// lines there are.
func distinct(ctx context.Context, tx bun.IDB, board tenant.ID, column string) ([]string, error) {
	if t := tenant.From(ctx); t != nil && board.IsNil() {
		board = t.ID
	}
	var out []string
	err := tx.NewRaw(`WITH RECURSIVE x AS (
			(SELECT ?0 AS v FROM audit_log WHERE tenant_id = ?1 ORDER BY ?0 LIMIT 1)
			UNION ALL
			SELECT (SELECT l.?0 FROM audit_log AS l WHERE l.tenant_id = ?1 AND l.?0 > x.v ORDER BY l.?0 LIMIT 1) FROM x WHERE x.v IS NOT NULL)
		SELECT v FROM x WHERE v IS NOT NULL AND v <> '' LIMIT 500`, bun.Ident(column), board).Scan(ctx, &out)
	return out, err
}
