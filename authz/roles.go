package authz

import (
	"slices"
	"strings"

	"shingle/tenant"
)

// The built-in roles of a board.
const (
	Owner   = "owner"
	Admin   = "admin"
	Editor  = "editor"
	Finance = "finance"
	Viewer  = "viewer"
)

// The built-in roles of the platform's staff.
const (
	Superadmin = "superadmin"
	Support    = "support"
	Billing    = "billing"
)

// customPrefix keeps a board's own roles from ever being taken for a built-in
// one, or for an operator.
const customPrefix = "custom:"

// builtin is one built-in role: its objects, each with its actions.
type builtin struct {
	name   string
	scope  Scope
	all    bool
	except []string
	can    []string
}

// builtins is the one policy shared by all boards, and the platform's.
// "listing: read write" gives two permissions.
var builtins = [...]builtin{
	{name: Owner, scope: OnBoard, all: true},
	// The bank account, the plan and letting the platform's staff in are the owner's
	// alone; so an admin cannot make owners either.
	{name: Admin, scope: OnBoard, all: true, except: []string{"payout.onboard", "plan.manage", "support.manage"}},
	{name: Editor, scope: OnBoard, can: []string{
		"board: read", "listing: read write moderate delete", "company: read write", "category: read write",
		"import: read write", "report: read write", "product: read", "look: read write", "page: read write",
		"redirect: read write", "domain: read",
		"settings: read", "team: read",
	}},
	{name: Finance, scope: OnBoard, can: []string{
		"board: read", "listing: read", "company: read", "product: read write", "order: read refund",
		"payout: read", "plan: read", "settings: read", "team: read",
	}},
	{name: Viewer, scope: OnBoard, can: []string{
		"board: read", "listing: read", "company: read", "category: read", "import: read", "report: read",
		"product: read", "look: read", "page: read", "redirect: read", "domain: read", "settings: read", "team: read",
	}},
	{name: Superadmin, scope: OnPlatform, all: true},
	{name: Support, scope: OnPlatform, can: []string{
		"board: read create suspend impersonate note", "flag: read", "announcement: read write", "domain: read write", "order: read", "task: read retry", "event: read", "mail: read write", "audit: read", "staff: read", "plan: read",
	}},
	{name: Billing, scope: OnPlatform, can: []string{
		"board: read fee note", "flag: read", "announcement: read", "order: read", "event: read apply", "audit: read", "task: read", "staff: read", "plan: read write",
	}},
}

// scopeOf is the kind of a domain: the nil ID is the platform.
func scopeOf(board tenant.ID) Scope {
	if board.IsNil() {
		return OnPlatform
	}
	return OnBoard
}

// domain is the casbin domain of a board, or of the platform.
func domain(board tenant.ID) string {
	if board.IsNil() {
		return "platform"
	}
	return board.String()
}

// BuiltinRoles lists the built-in roles of a board, or of the platform for
// tenant.Nil, most powerful first.
func BuiltinRoles(board tenant.ID) []string {
	var out []string
	for _, b := range builtins {
		if b.scope == scopeOf(board) {
			out = append(out, b.name)
		}
	}
	return out
}

// BuiltinSet is what a built-in role may do; false for any other role.
func BuiltinSet(board tenant.ID, role string) (Set, bool) {
	for _, b := range builtins {
		if b.name == role && b.scope == scopeOf(board) {
			return b.set(), true
		}
	}
	return Set{}, false
}

func (b builtin) set() Set {
	var s Set
	if b.all {
		for _, p := range All(b.scope) {
			if !slices.Contains(b.except, p.String()) {
				s.add(p)
			}
		}
		return s
	}
	for _, line := range b.can {
		object, actions, _ := strings.Cut(line, ": ")
		for a := range strings.FieldsSeq(actions) {
			s.add(Can(object, a))
		}
	}
	return s
}

// RoleWords is the key of a built-in role's human name, e.g. "role.board.owner";
// a board's own role has the name that the board gave it, and an empty key.
func RoleWords(board tenant.ID, role string) string {
	if _, ok := BuiltinSet(board, role); !ok {
		return ""
	}
	if board.IsNil() {
		return "role.platform." + role
	}
	return "role.board." + role
}

// RoleName is how a board's own role is shown: without its prefix.
func RoleName(role string) string { return strings.TrimPrefix(role, customPrefix) }
