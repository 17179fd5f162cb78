package authz

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tenant"
)

// top is the role that a domain never loses its last holder of.
func top(board tenant.ID) string {
	if board.IsNil() {
		return Superadmin
	}
	return Owner
}

// Grant gives an operator a role on a board, or on the platform for
// tenant.Nil, in the caller's transaction; the domain's policy version moves in
// it too. Granting twice is a no-op. It does not ask who grants: see MayGive.
//
// Kinds: fault.Invalid for a role that the domain does not have,
// fault.NotFound for a board that is not there.
func Grant(ctx context.Context, tx bun.IDB, board tenant.ID, operator uuid.UUID, role string) error {
	if _, err := roleSet(ctx, tx, board, role); err != nil {
		return err
	}
	return NewAdapter(ctx, tx, board).AddPolicy("g", "g", []string{operator.String(), role, domain(board)})
}

// Revoke takes a role from an operator. Kinds: fault.NotFound when they do not
// hold it; fault.Conflict for the last owner of a board, or the last superadmin
// of the platform.
func Revoke(ctx context.Context, tx bun.IDB, board tenant.ID, operator uuid.UUID, role string) error {
	// The version moves first: its lock makes two owners who remove each other
	// at one moment wait for one another.
	if err := bump(ctx, tx, board); err != nil {
		return err
	}
	res, err := tx.NewRaw(`DELETE FROM casbin_rules WHERE tenant_id = ? AND ptype = 'g' AND v0 = ? AND v1 = ?`,
		board, operator.String(), role).Exec(ctx)
	if err := tenant.Touched(res, err, "role"); err != nil {
		return err
	}
	if role != top(board) {
		return nil
	}
	return lastOwner(ctx, tx, board)
}

// Change makes role the only one that an operator holds; they must be a member
// already. Kinds as for Grant and Revoke.
func Change(ctx context.Context, tx bun.IDB, board tenant.ID, operator uuid.UUID, role string) error {
	if _, err := roleSet(ctx, tx, board, role); err != nil {
		return err
	}
	held, err := removeAll(ctx, tx, board, operator)
	if err != nil {
		return err
	}
	if err := NewAdapter(ctx, tx, board).AddPolicy("g", "g", []string{operator.String(), role, domain(board)}); err != nil {
		return err
	}
	if slices.Contains(held, top(board)) {
		return lastOwner(ctx, tx, board)
	}
	return nil
}

// Remove takes every role on the board from an operator. Kinds: fault.NotFound
// for who is no member; fault.Conflict for the last owner.
func Remove(ctx context.Context, tx bun.IDB, board tenant.ID, operator uuid.UUID) error {
	held, err := removeAll(ctx, tx, board, operator)
	if err != nil {
		return err
	}
	if slices.Contains(held, top(board)) {
		return lastOwner(ctx, tx, board)
	}
	return nil
}

// Restore undoes a removal that happened after since: what was held then is
// what the audit log's line says. Kinds: fault.Gone when it is too late, or they
// are in the team again; fault.Forbidden for more than by holds.
func Restore(ctx context.Context, tx bun.IDB, board tenant.ID, by Set, operator uuid.UUID, since time.Time) error {
	if err := bump(ctx, tx, board); err != nil {
		return err
	}
	held, err := RolesOf(ctx, tx, board, operator)
	if err != nil {
		return err
	}
	lines, err := Log(ctx, tx, LogFilter{Board: board, Act: "member.removed", ObjectKind: "operator", ObjectID: operator.String(), Limit: 1})
	if err != nil {
		return err
	}
	if len(held) > 0 || len(lines) == 0 || lines[0].At.Before(since) {
		return fault.New(fault.Gone, "it is too late to undo this")
	}
	before, _ := lines[0].Detail["before"].([]any)
	for _, r := range before {
		role, _ := r.(string)
		if err := MayGive(ctx, tx, by, board, role); err != nil {
			return err
		}
		if err := Grant(ctx, tx, board, operator, role); err != nil {
			return err
		}
	}
	return nil
}

func removeAll(ctx context.Context, tx bun.IDB, board tenant.ID, operator uuid.UUID) ([]string, error) {
	if err := bump(ctx, tx, board); err != nil {
		return nil, err
	}
	var held []string
	err := tx.NewRaw(`DELETE FROM casbin_rules WHERE tenant_id = ? AND ptype = 'g' AND v0 = ? RETURNING v1`,
		board, operator.String()).Scan(ctx, &held)
	if err != nil {
		return nil, err
	}
	if len(held) == 0 {
		return nil, fault.New(fault.NotFound, "member not found")
	}
	return held, nil
}

// lastOwner refuses a change that left a domain without its highest role.
func lastOwner(ctx context.Context, tx bun.IDB, board tenant.ID) error {
	var n int
	err := tx.NewRaw(`SELECT count(*) FROM casbin_rules WHERE tenant_id = ? AND ptype = 'g' AND v1 = ?`, board, top(board)).Scan(ctx, &n)
	if err != nil {
		return err
	}
	if n == 0 {
		return fault.New(fault.Conflict, "there must be at least one %s", top(board))
	}
	return nil
}

// MayGive refuses giving, changing or taking a role that can do more than the
// one who gives it: fault.Forbidden. by is their set in the same domain.
func MayGive(ctx context.Context, tx bun.IDB, by Set, board tenant.ID, role string) error {
	set, err := roleSet(ctx, tx, board, role)
	if err != nil {
		return err
	}
	if !by.Covers(set) {
		return fault.New(fault.Forbidden, "%s can do more than you can", RoleName(role))
	}
	return nil
}

// MayManage is MayGive for changing or removing a member: every role that they
// hold, and the new one unless it is empty, must be within what by can do.
func MayManage(ctx context.Context, tx bun.IDB, by Set, board tenant.ID, operator uuid.UUID, role string) error {
	roles, err := RolesOf(ctx, tx, board, operator)
	if err != nil {
		return err
	}
	if role != "" {
		roles = append(roles, role)
	}
	for _, r := range roles {
		if err := MayGive(ctx, tx, by, board, r); err != nil {
			return err
		}
	}
	return nil
}

// Member is an operator with a grant in a domain.
type Member struct {
	Operator   uuid.UUID
	Email      string
	Name       string
	Roles      []string
	SignedInAt bun.NullTime
}

// Members lists who holds a role on a board, or on the platform for
// tenant.Nil. It takes a platform transaction: operators are the platform's.
func Members(ctx context.Context, tx bun.IDB, board tenant.ID) ([]Member, error) {
	var rows []struct {
		ID         uuid.UUID    `bun:"id"`
		Email      string       `bun:"email"`
		Name       string       `bun:"name"`
		Role       string       `bun:"role"`
		SignedInAt bun.NullTime `bun:"signed_in_at"`
	}
	err := tx.NewRaw(`SELECT o.id, o.email, o.name, o.signed_in_at, r.v1 AS role
		FROM casbin_rules AS r JOIN operators AS o ON o.id = r.v0::uuid
		WHERE r.tenant_id = ? AND r.ptype = 'g' ORDER BY o.name, o.email, r.v1`, board).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("members: %w", err)
	}
	var out []Member
	for _, r := range rows {
		if len(out) == 0 || out[len(out)-1].Operator != r.ID {
			out = append(out, Member{Operator: r.ID, Email: r.Email, Name: r.Name, SignedInAt: r.SignedInAt})
		}
		m := &out[len(out)-1]
		m.Roles = append(m.Roles, r.Role)
	}
	return out, nil
}

// Membership is a board that an operator works on.
type Membership struct {
	Board  tenant.ID
	Slug   string
	Name   string
	State  tenant.State
	Locale string
	// Host is the board's platform address, where its console is.
	Host  string
	Roles []string
}

// BoardsOf lists the boards that an operator has a role on, by name. It takes a
// platform transaction.
func BoardsOf(ctx context.Context, tx bun.IDB, operator uuid.UUID) ([]Membership, error) {
	var rows []struct {
		ID     tenant.ID    `bun:"id"`
		Slug   string       `bun:"slug"`
		Name   string       `bun:"name"`
		State  tenant.State `bun:"state"`
		Locale string       `bun:"locale"`
		Host   string       `bun:"host"`
		Role   string       `bun:"role"`
	}
	err := tx.NewRaw(`SELECT b.id, b.slug, b.name, b.state, b.locale, r.v1 AS role,
			coalesce((SELECT host FROM hosts WHERE board_id = b.id AND kind = 'platform' ORDER BY created_at LIMIT 1), '') AS host
		FROM casbin_rules AS r JOIN boards AS b ON b.id = r.tenant_id
		WHERE r.ptype = 'g' AND r.v0 = ? ORDER BY b.name, b.id, r.v1`, operator.String()).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("boards of an operator: %w", err)
	}
	var out []Membership
	for _, r := range rows {
		if len(out) == 0 || out[len(out)-1].Board != r.ID {
			out = append(out, Membership{r.ID, r.Slug, r.Name, r.State, r.Locale, r.Host, nil})
		}
		m := &out[len(out)-1]
		m.Roles = append(m.Roles, r.Role)
	}
	return out, nil
}

// RolesOf lists the roles that an operator holds in one domain.
func RolesOf(ctx context.Context, tx bun.IDB, board tenant.ID, operator uuid.UUID) ([]string, error) {
	var out []string
	err := tx.NewRaw(`SELECT v1 FROM casbin_rules WHERE tenant_id = ? AND ptype = 'g' AND v0 = ? ORDER BY v1`,
		board, operator.String()).Scan(ctx, &out)
	return out, err
}

// PolicyVersion is a domain's policy version, for work that has no session.
func PolicyVersion(ctx context.Context, tx bun.IDB, board tenant.ID) (int64, error) {
	var v int64
	q, args := `SELECT policy_version FROM boards WHERE id = ?`, []any{board}
	if board.IsNil() {
		q, args = `SELECT version FROM platform_policy`, nil
	}
	err := tx.NewRaw(q, args...).Scan(ctx, &v)
	return v, err
}
