// Package authz decides who may do what: the catalogue of permissions, the
// built-in roles, grants in Postgres as casbin rules, and the audit log. It
// never knows a URL or how somebody signed in. Start at Catalogue and Gate.
package authz

import "math/bits"

// Scope says in which domains a permission can be held.
type Scope uint8

// The two kinds of domain; a permission may exist in both.
const (
	OnBoard Scope = 1 << iota
	OnPlatform
)

// Entry is one line of the catalogue.
type Entry struct {
	Object, Action string
	Scope          Scope
}

// Words is the key of the permission's human words, e.g. "permission.listing.read".
func (e Entry) Words() string { return "permission." + e.Object + "." + e.Action }

// Catalogue is every permission that a route may ask for. The order is the
// order of a role editor's page; nothing stored depends on it.
//
// Applications are not here: the employer is their controller, and a board's
// team does not read them.
var Catalogue = [...]Entry{
	{"board", "read", OnBoard | OnPlatform},
	{"listing", "read", OnBoard},
	{"listing", "write", OnBoard},
	{"listing", "moderate", OnBoard},
	{"listing", "delete", OnBoard},
	{"company", "read", OnBoard},
	{"company", "write", OnBoard},
	{"category", "read", OnBoard},
	{"category", "write", OnBoard},
	{"import", "read", OnBoard},
	{"import", "write", OnBoard},
	{"report", "read", OnBoard},
	{"report", "write", OnBoard},
	{"product", "read", OnBoard},
	{"product", "write", OnBoard},
	{"order", "read", OnBoard | OnPlatform},
	{"order", "refund", OnBoard},
	{"payout", "read", OnBoard},
	{"payout", "onboard", OnBoard},
	{"look", "read", OnBoard},
	{"look", "write", OnBoard},
	{"look", "publish", OnBoard},
	{"page", "read", OnBoard},
	{"page", "write", OnBoard},
	{"team", "read", OnBoard},
	{"team", "manage", OnBoard},
	{"settings", "read", OnBoard},
	{"settings", "write", OnBoard},
	{"domain", "read", OnBoard | OnPlatform},
	{"domain", "write", OnBoard | OnPlatform},
	{"redirect", "read", OnBoard},
	{"redirect", "write", OnBoard},
	{"mail", "read", OnBoard | OnPlatform},
	{"mail", "write", OnBoard | OnPlatform},
	{"audit", "read", OnBoard | OnPlatform},
	{"plan", "read", OnBoard | OnPlatform},
	{"plan", "manage", OnBoard},
	{"plan", "write", OnPlatform},
	{"board", "export", OnBoard},
	{"privacy", "read", OnBoard},
	{"support", "read", OnBoard},
	{"support", "manage", OnBoard},
	{"board", "create", OnPlatform},
	{"board", "suspend", OnPlatform},
	{"board", "fee", OnPlatform},
	{"board", "delete", OnPlatform},
	{"board", "impersonate", OnPlatform},
	{"board", "note", OnPlatform},
	{"task", "read", OnPlatform},
	{"task", "retry", OnPlatform},
	{"event", "read", OnPlatform},
	{"event", "apply", OnPlatform},
	{"flag", "read", OnPlatform},
	{"flag", "write", OnPlatform},
	{"announcement", "read", OnPlatform},
	{"announcement", "write", OnPlatform},
	{"staff", "read", OnPlatform},
	{"staff", "manage", OnPlatform},
}

// Permission is what a route asks for. The zero value is none, and refused.
type Permission struct{ n uint8 }

// first is the number of the catalogue's first entry.
const first = 3

var (
	// Public is for everybody.
	Public = Permission{1}
	// SignedIn is for whoever has a session of the route's audience.
	SignedIn = Permission{2}
)

// Can is the permission to do action on object. A pair that is not in the
// Catalogue panics: route tables are built at start, so it cannot ship.
func Can(object, action string) Permission {
	p, ok := Find(object, action)
	if !ok {
		panic("no permission " + object + "." + action + " in the catalogue")
	}
	return p
}

// Find is Can for pairs that come from a form or a row.
func Find(object, action string) (Permission, bool) {
	for i, e := range Catalogue {
		if e.Object == object && e.Action == action {
			return Permission{uint8(i + first)}, true
		}
	}
	return Permission{}, false
}

// Entry is the catalogue's line; false for Public, SignedIn and the zero value.
func (p Permission) Entry() (Entry, bool) {
	i := int(p.n) - first
	if i < 0 || i >= len(Catalogue) {
		return Entry{}, false
	}
	return Catalogue[i], true
}

func (p Permission) String() string {
	if e, ok := p.Entry(); ok {
		return e.Object + "." + e.Action
	}
	switch p {
	case Public:
		return "public"
	case SignedIn:
		return "signed in"
	}
	return "none"
}

// All lists the permissions that exist in a scope, in the catalogue's order.
func All(s Scope) []Permission {
	var out []Permission
	for i, e := range Catalogue {
		if e.Scope&s != 0 {
			out = append(out, Permission{uint8(i + first)})
		}
	}
	return out
}

// Set is the permissions of somebody in one domain. The zero value is none.
type Set struct{ bits [2]uint64 }

// SetOf makes a set.
func SetOf(ps ...Permission) Set {
	var s Set
	for _, p := range ps {
		s.add(p)
	}
	return s
}

func (s *Set) add(p Permission) { s.bits[p.n>>6&1] |= 1 << (p.n & 63) }

// Has reports whether the set allows p. Public and SignedIn are always
// allowed: whoever has a set is signed in. The zero Permission never is.
func (s Set) Has(p Permission) bool {
	if p == Public || p == SignedIn {
		return true
	}
	return p.n >= first && s.bits[p.n>>6&1]&(1<<(p.n&63)) != 0
}

// Can is Has by name, for templates; an unknown pair is never allowed.
func (s Set) Can(object, action string) bool {
	p, ok := Find(object, action)
	return ok && s.Has(p)
}

// Without is the set less some permissions.
func (s Set) Without(ps ...Permission) Set {
	for _, p := range ps {
		s.bits[p.n>>6&1] &^= 1 << (p.n & 63)
	}
	return s
}

// Covers reports whether everything in other is in s.
func (s Set) Covers(other Set) bool {
	return other.bits[0]&^s.bits[0] == 0 && other.bits[1]&^s.bits[1] == 0
}

// Empty reports a set that allows nothing.
func (s Set) Empty() bool { return s == Set{} }

// Len is how many permissions the set holds.
func (s Set) Len() int { return bits.OnesCount64(s.bits[0]) + bits.OnesCount64(s.bits[1]) }

// List is the set's permissions in the catalogue's order.
func (s Set) List() []Permission {
	var out []Permission
	for i := range Catalogue {
		if p := (Permission{uint8(i + first)}); s.Has(p) {
			out = append(out, p)
		}
	}
	return out
}
