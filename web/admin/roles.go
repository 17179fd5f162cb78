package admin

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/internal/fault"
	"shingle/tenant"
	"shingle/web/console"
)

// roleLine is a role in the list, with who holds it.
type roleLine struct {
	Name, Label string
	Builtin     bool
	// Managed roles do no more than whoever looks.
	Managed bool
	Can     []string
	Holders []string
	Invited int
}

// roleGroup is an object's permissions in the form of a role.
type roleGroup struct {
	Label string
	Boxes []roleBox
}

type roleBox struct {
	Value, Label string
	// Needs is the box that is ticked with this one, or "".
	Needs         string
	Ticked, Taken bool
	// Always: no role is without it.
	Always bool
}

// roleForm is the form of a role as typed.
type roleForm struct {
	// Role is the one that is changed; "" for a new one.
	Role, Name string
	Set        authz.Set
}

func readRoleForm(c *gin.Context) roleForm {
	f := roleForm{Role: c.PostForm("role"), Name: c.PostForm("name")}
	var ps []authz.Permission
	for _, v := range c.PostFormArray("can") {
		object, action, _ := strings.Cut(v, ".")
		if p, ok := authz.Find(object, action); ok {
			ps = append(ps, p)
		}
	}
	f.Set = authz.SetOf(ps...)
	return f
}

func (a *Admin) roles(c *gin.Context) error {
	w, err := a.readCrew(c)
	if err != nil {
		return err
	}
	by := a.permissions(c)
	var own, builtin []roleLine
	for _, r := range w.roles {
		l := roleLine{Name: r.Name, Label: a.roleLabel(c, r.Name), Builtin: r.Builtin, Managed: by.Covers(r.Set)}
		for _, p := range r.Set.List() {
			if e, ok := p.Entry(); ok {
				l.Can = append(l.Can, a.t(c, e.Words()))
			}
		}
		l.Holders, l.Invited = w.holders(r.Name)
		if r.Builtin {
			builtin = append(builtin, l)
		} else {
			own = append(own, l)
		}
	}
	var actions []console.Link
	if a.may(c, "team", "manage") {
		actions = append(actions, console.Link{Label: a.t(c, "roles.new"), URL: "/admin/team/roles/new", Icon: "plus"})
	}
	p := a.page(c, a.t(c, "roles.title"), actions...)
	p.Crumbs = []console.Link{{Label: a.t(c, "admin.nav.team"), URL: "/admin/team"}}
	return a.shell.Render(c, http.StatusOK, "roles", p, map[string]any{"Own": own, "Builtin": builtin, "CanManage": a.may(c, "team", "manage")})
}

// holders are the names of a role's members, and how many are invited to it.
func (w *crew) holders(role string) (names []string, invited int) {
	for _, m := range w.members {
		if slices.Contains(m.Roles, role) {
			name := m.Name
			if name == "" {
				name = m.Email
			}
			names = append(names, name)
		}
	}
	for _, i := range w.invited {
		if i.Role == role {
			invited++
		}
	}
	return names, invited
}

func (w *crew) role(name string) (authz.Role, bool) {
	for _, r := range w.roles {
		if r.Name == name {
			return r, true
		}
	}
	return authz.Role{}, false
}

// newRole begins from a role that is there: a built-in one, or one's own.
func (a *Admin) newRole(c *gin.Context) error {
	w, err := a.readCrew(c)
	if err != nil {
		return err
	}
	from := c.Query("from")
	r, ok := w.role(from)
	if !ok {
		from = authz.Viewer
		r, _ = w.role(from)
	}
	f := roleForm{Set: r.Set}
	if c.Query("from") != "" {
		f.Name = a.t(c, "roles.copy_of", a.roleLabel(c, from))
		if n := []rune(f.Name); len(n) > 40 {
			f.Name = strings.TrimSpace(string(n[:40]))
		}
	}
	return a.showRole(c, http.StatusOK, w, f, from, nil)
}

func (a *Admin) role(c *gin.Context) error {
	w, err := a.readCrew(c)
	if err != nil {
		return err
	}
	r, ok := w.role(c.Query("role"))
	if !ok {
		return fault.New(fault.NotFound, "role not found")
	}
	return a.showRole(c, http.StatusOK, w, roleForm{Role: r.Name, Name: a.roleLabel(c, r.Name), Set: r.Set}, "", nil)
}

func (a *Admin) showRole(c *gin.Context, status int, w *crew, f roleForm, from string, errs map[string]string) error {
	by := a.permissions(c)
	now, known := w.role(f.Role)
	// What is built in can be looked at, and what can do more than the one who looks.
	fixed := known && (now.Builtin || !by.Covers(now.Set)) || !a.may(c, "team", "manage")
	var groups []roleGroup
	for _, p := range authz.All(authz.OnBoard) {
		e, _ := p.Entry()
		label := a.t(c, "object."+e.Object)
		if len(groups) == 0 || groups[len(groups)-1].Label != label {
			groups = append(groups, roleGroup{Label: label})
		}
		box := roleBox{Value: p.String(), Label: a.t(c, e.Words()), Ticked: f.Set.Has(p), Taken: !by.Has(p), Always: p == authz.Can("board", "read")}
		if read, ok := authz.Find(e.Object, "read"); ok && read != p {
			if r, _ := read.Entry(); r.Scope&authz.OnBoard != 0 {
				box.Needs = read.String()
			}
		}
		// A template's permission that one does not hold oneself is left out.
		box.Ticked = box.Ticked && (fixed || !box.Taken)
		g := &groups[len(groups)-1]
		g.Boxes = append(g.Boxes, box)
	}
	holders, invited := w.holders(f.Role)
	var to, templates []console.Option
	for _, r := range w.roles {
		o := console.Option{Value: r.Name, Label: a.roleLabel(c, r.Name)}
		if by.Covers(r.Set) && r.Name != f.Role {
			to = append(to, o)
		}
		o.Selected = o.Value == from
		templates = append(templates, o)
	}
	title := a.t(c, "roles.new")
	if f.Role != "" {
		title = a.roleLabel(c, f.Role)
	}
	p := a.page(c, title)
	p.Crumbs = []console.Link{{Label: a.t(c, "admin.nav.team"), URL: "/admin/team"}, {Label: a.t(c, "roles.title"), URL: "/admin/team/roles"}}
	return a.shell.Render(c, status, "role", p, map[string]any{"F": f, "Fixed": fixed, "Builtin": now.Builtin, "Groups": groups, "Holders": holders, "Invited": invited,
		"To": to, "Templates": templates, "From": from, "Errors": errs, "CanManage": a.may(c, "team", "manage")})
}

// onRole runs a change of a role in a platform transaction, beside the
// invitations to it, which are the platform's. The form comes back with what is
// refused.
func (a *Admin) onRole(c *gin.Context, f roleForm, fn func(ctx context.Context, tx bun.IDB, t *tenant.Tenant) error) (refusedPage bool, err error) {
	t := tenant.From(c.Request.Context())
	err = a.Platform.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error { return fn(ctx, tx, t) })
	if err == nil {
		return false, nil
	}
	var errs map[string]string
	switch {
	case refused(err):
		errs = a.errors(c, err)
	case fault.Is(err, fault.Forbidden):
		errs = map[string]string{"form": a.t(c, "roles.too_much")}
	default:
		return false, err
	}
	w, err2 := a.readCrew(c)
	if err2 != nil {
		return false, err2
	}
	return true, a.showRole(c, statusOf(err), w, f, "", errs)
}

// spoken refuses the names that built-in roles are shown under.
func (a *Admin) spoken(t *tenant.Tenant, name string) error {
	for _, r := range authz.BuiltinRoles(t.ID) {
		for _, l := range console.Locales {
			if strings.EqualFold(authz.CleanRoleName(name), a.shell.T(l, authz.RoleWords(t.ID, r))) {
				return &fault.Error{Kind: fault.Conflict, Text: "a role of this name is there", Fields: fault.Fields{"name": "account.role.taken"}}
			}
		}
	}
	return nil
}

func permissionNames(s authz.Set) []string {
	var out []string
	for _, p := range s.List() {
		out = append(out, p.String())
	}
	return out
}

func (a *Admin) createRole(c *gin.Context) error {
	f := readRoleForm(c)
	f.Role = ""
	shown, err := a.onRole(c, f, func(ctx context.Context, tx bun.IDB, t *tenant.Tenant) error {
		if err := a.spoken(t, f.Name); err != nil {
			return err
		}
		role, err := authz.CreateRole(ctx, tx, t.ID, a.permissions(c), f.Name, f.Set)
		if err != nil {
			return err
		}
		return authz.Record(ctx, tx, authz.Act{Act: "role.created", ObjectKind: "role", ObjectID: role, Board: t.ID,
			Detail: map[string]any{"can": permissionNames(f.Set.WithReads(authz.OnBoard))}})
	})
	if shown || err != nil {
		return err
	}
	return a.back(c, "/admin/team/roles", "role.created")
}

func (a *Admin) editRole(c *gin.Context) error {
	f := readRoleForm(c)
	shown, err := a.onRole(c, f, func(ctx context.Context, tx bun.IDB, t *tenant.Tenant) error {
		if err := a.spoken(t, f.Name); err != nil {
			return err
		}
		roles, err := authz.Roles(ctx, tx, t.ID)
		if err != nil {
			return err
		}
		before, _ := (&crew{roles: roles}).role(f.Role)
		to, err := authz.EditRole(ctx, tx, t.ID, a.permissions(c), f.Role, f.Name, f.Set)
		if err != nil {
			return err
		}
		if to != f.Role {
			if _, err := a.Operators.MoveInvitations(ctx, tx, t.ID, f.Role, to); err != nil {
				return err
			}
		}
		return authz.Record(ctx, tx, authz.Act{Act: "role.changed", ObjectKind: "role", ObjectID: to, Board: t.ID,
			Detail: map[string]any{"name_before": f.Role, "before": permissionNames(before.Set), "can": permissionNames(f.Set.WithReads(authz.OnBoard))}})
	})
	if shown || err != nil {
		return err
	}
	return a.back(c, "/admin/team/roles", "role.changed")
}

// deleteRole asks for the role that its holders, and who is invited to it, get
// instead.
func (a *Admin) deleteRole(c *gin.Context) error {
	role, to := c.PostForm("role"), c.PostForm("to")
	w, err := a.readCrew(c)
	if err != nil {
		return err
	}
	now, ok := w.role(role)
	if !ok || now.Builtin {
		return fault.New(fault.NotFound, "role not found")
	}
	shown, err := a.onRole(c, roleForm{Role: role, Name: authz.RoleName(role), Set: now.Set}, func(ctx context.Context, tx bun.IDB, t *tenant.Tenant) error {
		invited, err := a.Operators.MoveInvitations(ctx, tx, t.ID, role, "")
		if err != nil {
			return err
		}
		if invited > 0 && (to == "" || to == role) {
			return &fault.Error{Kind: fault.Conflict, Text: "somebody is invited to this role", Fields: fault.Fields{"to": "account.role.held"}}
		}
		moved, err := authz.DeleteRole(ctx, tx, t.ID, a.permissions(c), role, to)
		if err != nil {
			return err
		}
		if invited > 0 {
			if _, err := a.Operators.MoveInvitations(ctx, tx, t.ID, role, to); err != nil {
				return err
			}
		}
		return authz.Record(ctx, tx, authz.Act{Act: "role.deleted", ObjectKind: "role", ObjectID: role, Board: t.ID,
			Detail: map[string]any{"moved": moved, "to": to, "before": permissionNames(now.Set)}})
	})
	if shown || err != nil {
		return err
	}
	return a.back(c, "/admin/team/roles", "role.deleted")
}
