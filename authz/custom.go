package authz

import (
	"context"
	"regexp"
	"strings"

	"github.com/uptrace/bun"
	"golang.org/x/text/unicode/norm"

	"shingle/internal/fault"
	"shingle/tenant"
)

// maxRoles bounds a domain's own roles: casbin walks their lines.
const maxRoles = 50

// Role is a role that a domain offers.
type Role struct {
	// Name is what Grant takes.
	Name    string
	Builtin bool
	Set     Set
}

// Roles lists a domain's roles, built-in ones first.
func Roles(ctx context.Context, tx bun.IDB, board tenant.ID) ([]Role, error) {
	var out []Role
	for _, name := range BuiltinRoles(board) {
		set, _ := BuiltinSet(board, name)
		out = append(out, Role{name, true, set})
	}
	custom, err := customRoles(ctx, tx, board, "")
	return append(out, custom...), err
}

func customRoles(ctx context.Context, tx bun.IDB, board tenant.ID, only string) ([]Role, error) {
	var rules []rule
	err := tx.NewRaw(`SELECT v0, v2, v3 FROM casbin_rules WHERE tenant_id = ? AND ptype = 'p' AND v1 = ? AND (? = '' OR v0 = ?) ORDER BY v0`,
		board, domain(board), only, only).Scan(ctx, &rules)
	if err != nil {
		return nil, err
	}
	var out []Role
	for _, r := range rules {
		if len(out) == 0 || out[len(out)-1].Name != r.V0 {
			out = append(out, Role{Name: r.V0})
		}
		if p, ok := Find(r.V2, r.V3); ok {
			out[len(out)-1].Set.add(p)
		}
	}
	return out, nil
}

// roleSet is what a role may do; fault.Invalid when the domain has no such role.
func roleSet(ctx context.Context, tx bun.IDB, board tenant.ID, role string) (Set, error) {
	if set, ok := BuiltinSet(board, role); ok {
		return set, nil
	}
	if RoleName(role) != role {
		roles, err := customRoles(ctx, tx, board, role)
		if err != nil {
			return Set{}, err
		}
		if len(roles) == 1 {
			return roles[0].Set, nil
		}
	}
	return Set{}, fault.Invalids(fault.Fields{"role": "account.role.unknown"})
}

var roleNames = regexp.MustCompile(`^[\pL\pN][\pL\pN _-]{0,38}[\pL\pN]$`)

// DefineRole makes or replaces a board's own role and returns its name as
// Grant takes it. Kinds: fault.Invalid for a name or a permission that the
// domain cannot have.
func DefineRole(ctx context.Context, tx bun.IDB, board tenant.ID, name string, ps ...Permission) (string, error) {
	if !roleNames.MatchString(name) {
		return "", fault.Invalids(fault.Fields{"name": "account.role.name"})
	}
	if len(ps) == 0 {
		return "", fault.Invalids(fault.Fields{"permissions": "account.role.empty"})
	}
	if err := bump(ctx, tx, board); err != nil {
		return "", err
	}
	role, a := customPrefix+name, NewAdapter(ctx, tx, board)
	if err := clearRole(ctx, tx, board, role); err != nil {
		return "", err
	}
	for _, p := range ps {
		e, ok := p.Entry()
		if !ok || e.Scope&scopeOf(board) == 0 {
			return "", fault.Invalids(fault.Fields{"permissions": "account.role.permission"})
		}
		if err := a.insert("p", [4]string{role, domain(board), e.Object, e.Action}); err != nil {
			return "", err
		}
	}
	return role, nil
}

// DropRole removes a board's own role. Kinds: fault.NotFound; fault.Conflict
// while somebody holds it.
func DropRole(ctx context.Context, tx bun.IDB, board tenant.ID, role string) error {
	if err := bump(ctx, tx, board); err != nil {
		return err
	}
	var held bool
	err := tx.NewRaw(`SELECT EXISTS (SELECT FROM casbin_rules WHERE tenant_id = ? AND ptype = 'g' AND v1 = ?)`, board, role).Scan(ctx, &held)
	if err != nil {
		return err
	}
	if held {
		return fault.New(fault.Conflict, "somebody still has this role")
	}
	res, err := tx.NewRaw(`DELETE FROM casbin_rules WHERE tenant_id = ? AND ptype = 'p' AND v0 = ?`, board, role).Exec(ctx)
	return tenant.Touched(res, err, "role")
}

func clearRole(ctx context.Context, tx bun.IDB, board tenant.ID, role string) error {
	_, err := tx.NewRaw(`DELETE FROM casbin_rules WHERE tenant_id = ? AND ptype = 'p' AND v0 = ?`, board, role).Exec(ctx)
	return err
}

// WithReads adds what a set cannot be used without in a scope: whoever changes
// a thing sees it, and everybody opens the console.
func (s Set) WithReads(scope Scope) Set {
	add := func(object string) {
		if p, ok := Find(object, "read"); ok {
			if e, _ := p.Entry(); e.Scope&scope != 0 {
				s.add(p)
			}
		}
	}
	for _, p := range s.List() {
		e, _ := p.Entry()
		add(e.Object)
	}
	add("board")
	return s
}

// CleanRoleName is a role's name as it is kept: one line, composed letters.
func CleanRoleName(s string) string {
	return norm.NFC.String(strings.Join(strings.Fields(strings.ToValidUTF8(s, "")), " "))
}

// CreateRole makes a role of a domain's own for whoever holds by there, and
// returns its name as Grant takes it. What the set needs to be of use is added
// (see WithReads).
//
// Kinds: fault.Invalid by field (name, permissions); fault.Conflict when there
// is one of that name, or too many; fault.Forbidden for more than by holds.
func CreateRole(ctx context.Context, tx bun.IDB, board tenant.ID, by Set, name string, want Set) (string, error) {
	if err := bump(ctx, tx, board); err != nil {
		return "", err
	}
	roles, err := customRoles(ctx, tx, board, "")
	if err != nil {
		return "", err
	}
	if len(roles) >= maxRoles {
		return "", &fault.Error{Kind: fault.Conflict, Text: "too many roles", Fields: fault.Fields{"name": "account.role.many"}}
	}
	return writeRole(ctx, tx, board, by, roles, "", name, want)
}

// EditRole changes what a role of the domain's own is called and may do, for
// everybody who holds it. Kinds as for CreateRole, and fault.NotFound;
// fault.Forbidden also when the role already does more than by holds.
func EditRole(ctx context.Context, tx bun.IDB, board tenant.ID, by Set, role, name string, want Set) (string, error) {
	if err := bump(ctx, tx, board); err != nil {
		return "", err
	}
	roles, err := customRoles(ctx, tx, board, "")
	if err != nil {
		return "", err
	}
	now, err := named(roles, role)
	if err != nil {
		return "", err
	}
	if !by.Covers(now.Set) {
		return "", fault.New(fault.Forbidden, "%s can do more than you can", RoleName(role))
	}
	to, err := writeRole(ctx, tx, board, by, roles, role, name, want)
	if err != nil || to == role {
		return to, err
	}
	if err := clearRole(ctx, tx, board, role); err != nil {
		return "", err
	}
	_, err = tx.NewRaw(`UPDATE casbin_rules SET v1 = ? WHERE tenant_id = ? AND ptype = 'g' AND v1 = ?`, to, board, role).Exec(ctx)
	return to, err
}

func named(roles []Role, role string) (*Role, error) {
	for i := range roles {
		if roles[i].Name == role {
			return &roles[i], nil
		}
	}
	return nil, fault.New(fault.NotFound, "role not found")
}

// writeRole checks a role's form against the domain's other roles and writes it.
func writeRole(ctx context.Context, tx bun.IDB, board tenant.ID, by Set, roles []Role, self, name string, want Set) (string, error) {
	name = CleanRoleName(name)
	bad := fault.Fields{}
	if !roleNames.MatchString(name) {
		bad["name"] = "account.role.name"
	}
	if want.Empty() {
		bad["permissions"] = "account.role.empty"
	}
	for _, p := range want.List() {
		if e, _ := p.Entry(); e.Scope&scopeOf(board) == 0 {
			bad["permissions"] = "account.role.permission"
		}
	}
	if err := fault.Invalids(bad); err != nil {
		return "", err
	}
	for _, b := range builtins {
		if strings.EqualFold(b.name, name) {
			return "", errRoleTaken
		}
	}
	for _, r := range roles {
		if r.Name != self && strings.EqualFold(RoleName(r.Name), name) {
			return "", errRoleTaken
		}
	}
	want = want.WithReads(scopeOf(board))
	if !by.Covers(want) {
		return "", fault.New(fault.Forbidden, "nobody gives more than they hold")
	}
	return DefineRole(ctx, tx, board, name, want.List()...)
}

var errRoleTaken = &fault.Error{Kind: fault.Conflict, Text: "a role of this name is there", Fields: fault.Fields{"name": "account.role.taken"}}

// DeleteRole removes a role of the domain's own; whoever holds it gets to
// instead, which may be empty when nobody does. It returns who was moved.
//
// Kinds: fault.NotFound; fault.Forbidden when the role, or the one moved to,
// does more than by holds; fault.Conflict (field "to") while it is held and no
// other role is named; fault.Invalid for a role that is not there.
func DeleteRole(ctx context.Context, tx bun.IDB, board tenant.ID, by Set, role, to string) ([]string, error) {
	if err := bump(ctx, tx, board); err != nil {
		return nil, err
	}
	roles, err := customRoles(ctx, tx, board, "")
	if err != nil {
		return nil, err
	}
	now, err := named(roles, role)
	if err != nil {
		return nil, err
	}
	if !by.Covers(now.Set) {
		return nil, fault.New(fault.Forbidden, "%s can do more than you can", RoleName(role))
	}
	var held []string
	err = tx.NewRaw(`SELECT v0 FROM casbin_rules WHERE tenant_id = ? AND ptype = 'g' AND v1 = ? ORDER BY v0`, board, role).Scan(ctx, &held)
	if err != nil {
		return nil, err
	}
	if to == role || to == "" && len(held) > 0 {
		return nil, &fault.Error{Kind: fault.Conflict, Text: "somebody still has this role", Fields: fault.Fields{"to": "account.role.held"}}
	}
	if to != "" {
		if err := MayGive(ctx, tx, by, board, to); err != nil {
			return nil, err
		}
		a := NewAdapter(ctx, tx, board)
		for _, operator := range held {
			if err := a.insert("g", [4]string{operator, to, domain(board)}); err != nil {
				return nil, err
			}
		}
	}
	_, err = tx.NewRaw(`DELETE FROM casbin_rules WHERE tenant_id = ? AND (ptype = 'p' AND v0 = ? OR ptype = 'g' AND v1 = ?)`, board, role, role).Exec(ctx)
	return held, err
}
