package authz

import (
	"context"
	"fmt"

	"github.com/casbin/casbin/v2"
	"github.com/casbin/casbin/v2/model"
	"github.com/casbin/casbin/v2/persist"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tenant"
)

// modelText is RBAC with domains: a grant (g) gives a subject a role in one
// domain, a policy line (p) gives a role one act on one object there.
const modelText = `
[request_definition]
r = sub, dom, obj, act
[policy_definition]
p = sub, dom, obj, act
[role_definition]
g = _, _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.dom == p.dom && g(r.sub, p.sub, r.dom) && r.obj == p.obj && r.act == p.act
`

// Filter says which rules to load: those of one domain and, unless Operator is
// nil, only the grants of that operator and the roles that they name.
type Filter struct {
	Board    tenant.ID
	Operator uuid.UUID
}

// Adapter is casbin's view of casbin_rules through one transaction, for one
// domain. It lives as long as the transaction: casbin's interface has no room
// for a context.
//
// Built-in roles are not rows: they are added to what is loaded.
type Adapter struct {
	ctx   context.Context
	tx    bun.IDB
	board tenant.ID
}

var _ persist.FilteredAdapter = (*Adapter)(nil)

// NewAdapter reads and writes the rules of a board, or of the platform for
// tenant.Nil, in the caller's transaction.
func NewAdapter(ctx context.Context, tx bun.IDB, board tenant.ID) *Adapter {
	return &Adapter{ctx: ctx, tx: tx, board: board}
}

// IsFiltered keeps casbin from ever loading or saving everything.
func (a *Adapter) IsFiltered() bool { return true }

// LoadPolicy loads the adapter's domain whole.
func (a *Adapter) LoadPolicy(m model.Model) error {
	return a.LoadFilteredPolicy(m, Filter{Board: a.board})
}

// SavePolicy is refused: rules are added and removed one by one.
func (a *Adapter) SavePolicy(model.Model) error {
	return fault.New(fault.Internal, "a policy is never saved whole")
}

type rule struct {
	Ptype string `bun:"ptype"`
	V0    string `bun:"v0"`
	V1    string `bun:"v1"`
	V2    string `bun:"v2"`
	V3    string `bun:"v3"`
}

// LoadFilteredPolicy loads what a Filter names, and the built-in roles of the
// domain. Rules that name another domain, or a permission that this domain
// cannot hold, are passed over: they can grant nothing.
func (a *Adapter) LoadFilteredPolicy(m model.Model, filter any) error {
	f, ok := filter.(Filter)
	if !ok || f.Board != a.board {
		return fault.New(fault.Internal, "the filter is not of this adapter's domain")
	}
	var rules []rule
	q, args := `SELECT ptype, v0, v1, v2, v3 FROM casbin_rules WHERE tenant_id = ?`, []any{f.Board}
	if f.Operator != uuid.Nil {
		op := f.Operator.String()
		q += ` AND (v0 = ? OR ptype = 'p' AND v0 IN (SELECT v1 FROM casbin_rules WHERE tenant_id = ? AND ptype = 'g' AND v0 = ?))`
		args = append(args, op, f.Board, op)
	}
	if err := a.tx.NewRaw(q, args...).Scan(a.ctx, &rules); err != nil {
		return fmt.Errorf("loading rules: %w", err)
	}
	dom, scope := domain(f.Board), scopeOf(f.Board)
	held := map[string]bool{}
	for _, r := range rules {
		switch {
		case r.Ptype == "g" && r.V2 == dom:
			held[r.V1] = true
			if err := persist.LoadPolicyArray([]string{"g", r.V0, r.V1, dom}, m); err != nil {
				return err
			}
		case r.Ptype == "p" && r.V1 == dom:
			p, ok := Find(r.V2, r.V3)
			if e, _ := p.Entry(); !ok || e.Scope&scope == 0 {
				continue
			}
			if err := persist.LoadPolicyArray([]string{"p", r.V0, dom, r.V2, r.V3}, m); err != nil {
				return err
			}
		}
	}
	for _, b := range builtins {
		if b.scope != scope || !held[b.name] {
			continue
		}
		for _, p := range b.set().List() {
			e, _ := p.Entry()
			if err := persist.LoadPolicyArray([]string{"p", b.name, dom, e.Object, e.Action}, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// AddPolicy adds a rule and moves the domain's policy version. Adding what is
// there is a no-op.
func (a *Adapter) AddPolicy(_ string, ptype string, values []string) error {
	v, err := a.values(ptype, values)
	if err != nil {
		return err
	}
	if err := bump(a.ctx, a.tx, a.board); err != nil {
		return err
	}
	return a.insert(ptype, v)
}

// insert adds a rule of this domain whose version has moved already.
func (a *Adapter) insert(ptype string, v [4]string) error {
	_, err := a.tx.NewRaw(`INSERT INTO casbin_rules (tenant_id, id, ptype, v0, v1, v2, v3) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (tenant_id, ptype, v0, v1, v2, v3) DO NOTHING`,
		a.board, tenant.NewRowID(), ptype, v[0], v[1], v[2], v[3]).Exec(a.ctx)
	return err
}

// RemovePolicy removes a rule and moves the domain's policy version.
func (a *Adapter) RemovePolicy(_ string, ptype string, values []string) error {
	v, err := a.values(ptype, values)
	if err != nil {
		return err
	}
	if err := bump(a.ctx, a.tx, a.board); err != nil {
		return err
	}
	_, err = a.tx.NewRaw(`DELETE FROM casbin_rules WHERE tenant_id = ? AND ptype = ? AND v0 = ? AND v1 = ? AND v2 = ? AND v3 = ?`,
		a.board, ptype, v[0], v[1], v[2], v[3]).Exec(a.ctx)
	return err
}

// RemoveFilteredPolicy removes the domain's rules whose values match from
// fieldIndex on; an empty value matches anything.
func (a *Adapter) RemoveFilteredPolicy(_ string, ptype string, fieldIndex int, values ...string) error {
	if fieldIndex < 0 || fieldIndex+len(values) > 4 {
		return fault.New(fault.Internal, "a rule has four values")
	}
	if err := bump(a.ctx, a.tx, a.board); err != nil {
		return err
	}
	q, args := `DELETE FROM casbin_rules WHERE tenant_id = ? AND ptype = ?`, []any{a.board, ptype}
	for i, v := range values {
		if v != "" {
			q += [...]string{" AND v0 = ?", " AND v1 = ?", " AND v2 = ?", " AND v3 = ?"}[fieldIndex+i]
			args = append(args, v)
		}
	}
	_, err := a.tx.NewRaw(q, args...).Exec(a.ctx)
	return err
}

// values checks that a rule is one of this domain.
func (a *Adapter) values(ptype string, in []string) (v [4]string, err error) {
	at := map[string]int{"g": 2, "p": 1}[ptype]
	if at == 0 || len(in) <= at || len(in) > 4 || in[at] != domain(a.board) {
		return v, fault.New(fault.Internal, "a rule of another domain")
	}
	copy(v[:], in)
	return v, nil
}

// bump moves the policy version of a domain: sessions carry it, so that every
// process resolves permissions anew from the next request on. It locks the
// domain's row, which puts changes of one domain in a row: the check for a last
// owner counts on it.
func bump(ctx context.Context, tx bun.IDB, board tenant.ID) error {
	q, args := `UPDATE boards SET policy_version = policy_version + 1 WHERE id = ?`, []any{board}
	if board.IsNil() {
		q, args = `UPDATE platform_policy SET version = version + 1`, nil
	}
	res, err := tx.NewRaw(q, args...).Exec(ctx)
	return tenant.Touched(res, err, "board")
}

// newEnforcer makes an enforcer with the rules that a filter names.
func newEnforcer(ctx context.Context, tx bun.IDB, m model.Model, f Filter) (*casbin.Enforcer, error) {
	e, err := casbin.NewEnforcer(m.Copy(), NewAdapter(ctx, tx, f.Board))
	if err != nil {
		return nil, err
	}
	if err := e.LoadFilteredPolicy(f); err != nil {
		return nil, err
	}
	return e, nil
}
