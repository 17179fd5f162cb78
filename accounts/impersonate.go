package accounts

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/internal/fault"
	"shingle/mail"
	"shingle/tasks"
	"shingle/tenant"
)

// How long staff may act as somebody, in minutes, and how long a request waits
// for the board's answer or a grant for its use.
const (
	ImpersonateMinutes, ImpersonateMost = 30, 120
	impersonationLapses                 = 24 * time.Hour
)

// TaskEndImpersonation writes down that an impersonation's time was over.
const TaskEndImpersonation = "impersonation.end"

// Impersonation is one time that staff acts, or asks to act, as a member of a
// board's team.
type Impersonation struct {
	TenantID   tenant.ID  `bun:"tenant_id"`
	ID         uuid.UUID  `bun:"id"`
	StaffID    uuid.UUID  `bun:"staff_id"`
	OperatorID uuid.UUID  `bun:"operator_id"`
	Reason     string     `bun:"reason"`
	Minutes    int        `bun:"minutes"`
	Writes     bool       `bun:"writes"`
	State      string     `bun:"state"` // asked, granted, refused, active, ended
	AskedAt    time.Time  `bun:"asked_at"`
	LapsesAt   time.Time  `bun:"lapses_at"`
	DecidedAt  *time.Time `bun:"decided_at"`
	DecidedBy  *uuid.UUID `bun:"decided_by"`
	BeganAt    *time.Time `bun:"began_at"`
	EndsAt     *time.Time `bun:"ends_at"`
	EndedAt    *time.Time `bun:"ended_at"`
	EndedBy    string     `bun:"ended_by"` // staff, board, time
	// Staff and Operator are the two names.
	Staff    string `bun:"staff"`
	Operator string `bun:"operator"`
}

// Status is the state at an instant: what nobody answered or used in time has
// lapsed, what has run out has ended.
func (i *Impersonation) Status(now time.Time) string {
	switch {
	case (i.State == "asked" || i.State == "granted") && !now.Before(i.LapsesAt):
		return "lapsed"
	case i.State == "active" && i.EndsAt != nil && !now.Before(*i.EndsAt):
		return "ended"
	}
	return i.State
}

// Acting is the part of a session that says that it is not its operator who
// sits there.
type Acting struct {
	Impersonation uuid.UUID
	Staff         uuid.UUID
	StaffLabel    string
	// Writes is false where only looking is allowed.
	Writes bool
	// PlatformVersion is the platform's policy version, read with the session: the
	// right to impersonate is held against it on each request.
	PlatformVersion int64
}

// NewImpersonation is what staff asks for.
type NewImpersonation struct {
	Board    tenant.ID
	Operator uuid.UUID
	Reason   string
	Minutes  int
	Writes   bool
}

const impersonationQuery = `SELECT i.*, coalesce(nullif(s.name, ''), s.email, '') AS staff, coalesce(nullif(o.name, ''), o.email, '') AS operator
	FROM impersonations AS i LEFT JOIN operators AS s ON s.id = i.staff_id LEFT JOIN operators AS o ON o.id = i.operator_id `

// Impersonations lists a board's, newest first, in a platform transaction.
func (s *Operators) Impersonations(ctx context.Context, tx bun.IDB, board tenant.ID, limit int) ([]Impersonation, error) {
	var out []Impersonation
	err := tx.NewRaw(impersonationQuery+`WHERE i.tenant_id = ? ORDER BY i.asked_at DESC, i.id DESC LIMIT ?`, board, limit).Scan(ctx, &out)
	return out, err
}

func (s *Operators) lockImpersonation(ctx context.Context, tx bun.IDB, board tenant.ID, id uuid.UUID) (*Impersonation, error) {
	i := new(Impersonation)
	err := tx.NewRaw(impersonationQuery+`WHERE i.tenant_id = ? AND i.id = ? FOR UPDATE OF i`, board, id).Scan(ctx, i)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.New(fault.NotFound, "impersonation not found")
	}
	if err != nil {
		return nil, err
	}
	return i, nil
}

// AskImpersonation asks to act as a member of a board's team, in a platform
// transaction. Where the board does not want to be asked it is granted at once.
// That the staff member may do so is the route's to say.
//
// Kinds: fault.Invalid by field; fault.NotFound; fault.Conflict while an
// earlier request or grant of the same person there is open; fault.Forbidden
// from a session that is an impersonation itself.
func (s *Operators) AskImpersonation(ctx context.Context, tx bun.IDB, by *OperatorSession, n NewImpersonation) (*Impersonation, error) {
	if by.Board != nil || by.Acting != nil {
		return nil, fault.New(fault.Forbidden, "not from a board's session")
	}
	n.Reason = strings.TrimSpace(n.Reason)
	bad := fault.Fields{}
	switch {
	case n.Reason == "":
		bad["reason"] = "impersonation.reason.required"
	case len([]rune(n.Reason)) > 300:
		bad["reason"] = "impersonation.reason.long"
	}
	if n.Minutes == 0 {
		n.Minutes = ImpersonateMinutes
	}
	if n.Minutes < 1 || n.Minutes > ImpersonateMost {
		bad["minutes"] = "impersonation.minutes"
	}
	var asks bool
	if err := tx.NewRaw(`SELECT coalesce((settings->'support'->>'ask')::bool, false) FROM boards WHERE id = ? FOR UPDATE`, n.Board).Scan(ctx, &asks); err != nil {
		return nil, fault.Wrap(err, fault.NotFound, "board not found")
	}
	if roles, err := authz.RolesOf(ctx, tx, n.Board, n.Operator); err != nil {
		return nil, err
	} else if len(roles) == 0 || n.Operator == by.Operator.ID {
		bad["operator"] = "impersonation.operator"
	}
	if err := fault.Invalids(bad); err != nil {
		return nil, err
	}
	now := s.now()
	var open bool
	err := tx.NewRaw(`SELECT EXISTS (SELECT FROM impersonations WHERE tenant_id = ? AND staff_id = ? AND state IN ('asked', 'granted') AND lapses_at > ?)`,
		n.Board, by.Operator.ID, now).Scan(ctx, &open)
	if err != nil {
		return nil, err
	}
	if open {
		return nil, fault.New(fault.Conflict, "impersonation.open")
	}
	id, state := tenant.NewRowID(), "granted"
	if asks {
		state = "asked"
	}
	_, err = tx.NewRaw(`INSERT INTO impersonations (tenant_id, id, staff_id, operator_id, reason, minutes, writes, state, asked_at, lapses_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, n.Board, id, by.Operator.ID, n.Operator, n.Reason, n.Minutes, n.Writes, state, now, now.Add(impersonationLapses)).Exec(ctx)
	if err != nil {
		return nil, err
	}
	i, err := s.lockImpersonation(ctx, tx, n.Board, id)
	if err != nil {
		return nil, err
	}
	if asks {
		if err := s.tellOwners(ctx, tx, "support-asks", i); err != nil {
			return nil, err
		}
	}
	return i, i.record(ctx, tx, by.Operator.Actor(tenant.Staff), "impersonation.asked", map[string]any{"consent": asks})
}

// tellOwners mails the board's owners, each in their own language, of a request
// that waits for their answer or of a visit that began; the link leads to the
// page where they answer it or end it. It is the platform's mail, wherever the
// request came in.
func (s *Operators) tellOwners(ctx context.Context, tx bun.IDB, kind string, i *Impersonation) error {
	ctx = tenant.With(ctx, nil)
	var board struct {
		Name string `bun:"name"`
		Host string `bun:"host"`
	}
	err := tx.NewRaw(`SELECT b.name, h.host FROM boards AS b JOIN hosts AS h ON h.board_id = b.id AND h.kind = 'platform' WHERE b.id = ? ORDER BY h.created_at LIMIT 1`, i.TenantID).Scan(ctx, &board)
	if err != nil {
		return err
	}
	members, err := authz.Members(ctx, tx, i.TenantID)
	if err != nil {
		return err
	}
	writes := ""
	if i.Writes {
		writes = "1"
	}
	data := mail.Data{"Name": board.Name, "Staff": i.Staff, "As": i.Operator, "Reason": i.Reason, "Minutes": i.Minutes, "Writes": writes, "Hours": int(impersonationLapses.Hours())}
	for _, m := range members {
		if !slices.Contains(m.Roles, authz.Owner) {
			continue
		}
		if err := s.tell(ctx, tx, kind, i.ID, m.Operator, s.links.Host(board.Host, "/admin/support"), data); err != nil {
			return err
		}
	}
	return nil
}

// DecideImpersonation is the board's answer, in a platform transaction. Kinds:
// fault.NotFound, fault.Conflict when there is nothing left to decide,
// fault.Forbidden from an impersonated session.
func (s *Operators) DecideImpersonation(ctx context.Context, tx bun.IDB, by *OperatorSession, id uuid.UUID, grant bool) error {
	if by.Board == nil || by.Acting != nil {
		return fault.New(fault.Forbidden, "only the board's own team decides")
	}
	i, err := s.lockImpersonation(ctx, tx, *by.Board, id)
	if err != nil {
		return err
	}
	now := s.now()
	if i.Status(now) != "asked" {
		return fault.New(fault.Conflict, "impersonation.decided")
	}
	state := "refused"
	if grant {
		state = "granted"
	}
	_, err = tx.NewRaw(`UPDATE impersonations SET state = ?, decided_at = ?, decided_by = ?, lapses_at = ? WHERE tenant_id = ? AND id = ?`,
		state, now, by.Operator.ID, now.Add(impersonationLapses), i.TenantID, i.ID).Exec(ctx)
	if err != nil {
		return err
	}
	return i.record(ctx, tx, by.Operator.Actor(tenant.Operator), "impersonation."+state, nil)
}

// HandOverAs makes a code for a granted impersonation, of the same kind as
// HandOver's: single use, one minute. It opens a transaction. Kinds:
// fault.NotFound, also for another's; fault.Conflict when it is not granted.
func (s *Operators) HandOverAs(ctx context.Context, from *OperatorSession, board tenant.ID, id uuid.UUID) (*HandOver, error) {
	if from.Board != nil {
		return nil, errSignIn
	}
	h := new(HandOver)
	err := s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		i, err := s.lockImpersonation(ctx, tx, board, id)
		if err != nil {
			return err
		}
		if i.StaffID != from.Operator.ID {
			return fault.New(fault.NotFound, "impersonation not found")
		}
		if i.Status(s.now()) != "granted" {
			return fault.New(fault.Conflict, "impersonation.not_granted")
		}
		target, err := s.ByID(ctx, tx, i.OperatorID)
		if err != nil {
			return err
		}
		if err := tx.NewRaw(`SELECT host FROM hosts WHERE board_id = ? AND kind = 'platform' ORDER BY created_at LIMIT 1`, board).Scan(ctx, &h.Host); err != nil {
			return fault.Wrap(err, fault.NotFound, "board not found")
		}
		t, err := s.issueToken(ctx, tx, newToken{kind: kindHandOver, email: target.Email, operator: &from.Operator.ID, board: &board, host: h.Host,
			lives: handOverIn, notes: notes{Next: "/admin", Parent: from.hash, Impersonation: i.ID.String()}})
		h.Code = t.Token
		return err
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// begin starts the impersonated session in the exchange's transaction.
func (s *Operators) begin(ctx context.Context, tx bun.IDB, board tenant.ID, staff uuid.UUID, parent []byte, id string, c Client) (*SignedIn, error) {
	which, err := uuid.Parse(id)
	if err != nil {
		return nil, errOver
	}
	i, err := s.lockImpersonation(ctx, tx, board, which)
	if err != nil {
		return nil, err
	}
	now := s.now()
	// Asked again here: a minute is long enough to be refused or to leave the team.
	roles, err := authz.RolesOf(ctx, tx, board, i.OperatorID)
	if err != nil {
		return nil, err
	}
	if i.Status(now) != "granted" || i.StaffID != staff || len(roles) == 0 {
		return nil, errOver
	}
	target, err := s.ByID(ctx, tx, i.OperatorID)
	if err != nil {
		return nil, err
	}
	in, err := s.startSession(ctx, tx, target, &board, parent, c)
	if err != nil {
		return nil, err
	}
	in.Expires = now.Add(time.Duration(i.Minutes) * time.Minute)
	_, err = tx.NewRaw(`UPDATE operator_sessions SET impersonation_id = ?, impersonator_id = ?, read_only = ?, expires_at = ? WHERE token_hash = ?`,
		i.ID, staff, !i.Writes, in.Expires, hashOf(in.Token)).Exec(ctx)
	if err != nil {
		return nil, err
	}
	_, err = tx.NewRaw(`UPDATE impersonations SET state = 'active', began_at = ?, ends_at = ? WHERE tenant_id = ? AND id = ?`, now, in.Expires, board, i.ID).Exec(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.tellOwners(ctx, tx, "support-came", i); err != nil {
		return nil, err
	}
	err = tasks.Add(ctx, tx, tasks.New{Tenant: board, Kind: TaskEndImpersonation, Key: i.ID.String(), Payload: impersonationPayload{i.ID}, RunAt: in.Expires})
	if err != nil {
		return nil, err
	}
	who, err := s.ByID(ctx, tx, staff)
	if err != nil {
		return nil, err
	}
	return in, i.record(ctx, tx, who.Actor(tenant.Staff), "impersonation.began", map[string]any{"until": in.Expires.UTC().Format(time.RFC3339)})
}

type impersonationPayload struct {
	ID uuid.UUID `json:"id"`
}

// EndImpersonation ends one and its session, in a platform transaction; by is
// "staff", "board" or "time", the actor the context's. One that has ended is no
// error. Kinds: fault.NotFound, fault.Conflict when it has not begun.
func (s *Operators) EndImpersonation(ctx context.Context, tx bun.IDB, board tenant.ID, id uuid.UUID, by string) error {
	i, err := s.lockImpersonation(ctx, tx, board, id)
	if err != nil {
		return err
	}
	now := s.now()
	switch {
	case i.State == "ended":
		return nil
	case i.State != "active" && (by != "staff" || i.Status(now) != "asked" && i.Status(now) != "granted"):
		return fault.New(fault.Conflict, "impersonation.not_begun")
	}
	if i.EndsAt != nil && now.After(*i.EndsAt) {
		now, by = *i.EndsAt, "time"
	}
	if _, err := tx.NewRaw(`UPDATE impersonations SET state = 'ended', ended_at = ?, ended_by = ? WHERE tenant_id = ? AND id = ?`, now, by, board, id).Exec(ctx); err != nil {
		return err
	}
	if _, err := tx.NewRaw(`UPDATE operator_sessions SET revoked_at = ? WHERE impersonation_id = ? AND revoked_at IS NULL`, s.now(), id).Exec(ctx); err != nil {
		return err
	}
	actor := tenant.ActorFrom(ctx)
	if by == "time" {
		actor = tenant.Actor{Kind: tenant.System}
	}
	return i.record(ctx, tx, actor, "impersonation.ended", map[string]any{"by": by})
}

// endInTime is the handler of TaskEndImpersonation.
func (s *Operators) endInTime(ctx context.Context, t *tasks.Task) error {
	var p impersonationPayload
	if err := t.Decode(&p); err != nil {
		return err
	}
	return s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := t.Finish(ctx, tx); err != nil {
			return err
		}
		return s.EndImpersonation(ctx, tx, t.TenantID, p.ID, "time")
	})
}

// record writes the line on the board's log and on the platform's.
func (i *Impersonation) record(ctx context.Context, tx bun.IDB, by tenant.Actor, act string, more map[string]any) error {
	detail := map[string]any{"impersonation": i.ID.String(), "operator": i.OperatorID.String(), "reason": i.Reason, "minutes": i.Minutes, "writes": i.Writes}
	for k, v := range more {
		detail[k] = v
	}
	a := authz.Act{Act: act, ObjectKind: "operator", ObjectID: i.OperatorID.String(), Detail: detail,
		Personal: map[string]any{"operator": i.Operator, "staff": i.Staff}}
	return authz.RecordOnBoard(tenant.WithActor(ctx, by), tx, i.TenantID, a)
}
