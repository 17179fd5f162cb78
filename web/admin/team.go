package admin

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/authz"
	"shingle/billing/plans"
	"shingle/internal/fault"
	"shingle/tenant"
	"shingle/web/console"
	"shingle/web/route"
)

// teamMember is a member with what may be done about them.
type teamMember struct {
	authz.Member
	Role    string // the one that is offered for a change
	Names   []string
	You     bool
	Managed bool
	Options []console.Option
}

func (a *Admin) roleLabel(c *gin.Context, role string) string {
	if key := authz.RoleWords(tenant.From(c.Request.Context()).ID, role); key != "" {
		return a.t(c, key)
	}
	return authz.RoleName(role)
}

// teamRoutes are the pages of who runs the board, and under which roles.
func (a *Admin) teamRoutes() []route.Route {
	const GET, POST = route.GET, route.POST
	can := authz.Can
	return []route.Route{
		{Method: GET, Path: "/admin/team", Handle: a.team, Can: can("team", "read"), StepUp: true},
		{Method: POST, Path: "/admin/team/invite", Handle: a.invite, Can: can("team", "manage"), StepUp: true},
		{Method: POST, Path: "/admin/team/resend", Handle: a.resendInvitation, Can: can("team", "manage"), StepUp: true},
		{Method: POST, Path: "/admin/team/withdraw", Handle: a.withdrawInvitation, Can: can("team", "manage"), StepUp: true},
		{Method: POST, Path: "/admin/members/:id/role", Handle: a.changeRole, Can: can("team", "manage"), StepUp: true},
		{Method: POST, Path: "/admin/members/:id/remove", Handle: a.removeMember, Can: can("team", "manage"), StepUp: true},
		{Method: POST, Path: "/admin/members/:id/restore", Handle: a.restoreMember, Can: can("team", "manage"), StepUp: true},
		{Method: POST, Path: "/admin/team/leave", Handle: a.leaveTeam, Can: authz.SignedIn},
		{Method: POST, Path: "/admin/team/offer", Handle: a.offerOwnership, Can: can("team", "manage"), StepUp: true},
		{Method: POST, Path: "/admin/team/offer/withdraw", Handle: a.withdrawOwnership, Can: can("team", "manage"), StepUp: true},

		{Method: GET, Path: "/admin/team/roles", Handle: a.roles, Can: can("team", "read"), StepUp: true},
		{Method: GET, Path: "/admin/team/roles/new", Handle: a.newRole, Can: can("team", "manage"), StepUp: true},
		{Method: POST, Path: "/admin/team/roles", Handle: a.createRole, Can: can("team", "manage"), StepUp: true},
		{Method: GET, Path: "/admin/team/roles/edit", Handle: a.role, Can: can("team", "read"), StepUp: true},
		{Method: POST, Path: "/admin/team/roles/edit", Handle: a.editRole, Can: can("team", "manage"), StepUp: true},
		{Method: POST, Path: "/admin/team/roles/delete", Handle: a.deleteRole, Can: can("team", "manage"), StepUp: true},
	}
}

// crew is the team as its pages need it.
type crew struct {
	members []authz.Member
	roles   []authz.Role
	invited []accounts.Invitation
	offer   *accounts.OwnershipOffer
}

func (a *Admin) readCrew(c *gin.Context) (*crew, error) {
	t, w := tenant.From(c.Request.Context()), new(crew)
	err := a.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		if w.members, err = authz.Members(ctx, tx, t.ID); err != nil {
			return err
		}
		if w.roles, err = authz.Roles(ctx, tx, t.ID); err != nil {
			return err
		}
		if w.offer, err = a.Operators.Ownership(ctx, tx, t.ID); err != nil {
			return err
		}
		w.invited, err = a.Operators.Invitations(ctx, tx, t.ID)
		return err
	})
	return w, err
}

// offers are the roles that whoever asks may give.
func (a *Admin) offers(c *gin.Context, roles []authz.Role) (out []console.Option) {
	by := a.permissions(c)
	for _, r := range roles {
		if by.Covers(r.Set) {
			out = append(out, console.Option{Value: r.Name, Label: a.roleLabel(c, r.Name)})
		}
	}
	return out
}

// teamForm is what was typed into one of the team's forms.
type teamForm struct{ Email, Role, To, Then string }

func (a *Admin) team(c *gin.Context) error {
	return a.showTeam(c, http.StatusOK, teamForm{}, nil)
}

func (a *Admin) showTeam(c *gin.Context, status int, f teamForm, errs map[string]string) error {
	by := a.permissions(c)
	w, err := a.readCrew(c)
	if err != nil {
		return err
	}
	manages := a.may(c, "team", "manage")
	sets := map[string]authz.Set{}
	for _, r := range w.roles {
		sets[r.Name] = r.Set
	}
	offer := a.offers(c, w.roles)
	var you uuid.UUID
	if s := session(c); s != nil {
		you = s.Operator.ID
	}
	owners, owner, member := 0, false, false
	var heirs []console.Option
	list := make([]teamMember, len(w.members))
	for i, m := range w.members {
		list[i] = teamMember{Member: m, You: m.Operator == you, Managed: manages, Role: m.Roles[0]}
		for _, r := range m.Roles {
			list[i].Names = append(list[i].Names, a.roleLabel(c, r))
			list[i].Managed = list[i].Managed && by.Covers(sets[r])
		}
		member = member || m.Operator == you
		if slices.Contains(m.Roles, authz.Owner) {
			owners++
			owner = owner || m.Operator == you
		} else {
			heirs = append(heirs, console.Option{Value: m.Operator.String(), Label: nameOf(m)})
		}
		for _, o := range offer {
			o.Selected = o.Value == list[i].Role
			list[i].Options = append(list[i].Options, o)
		}
	}
	invited := make([]struct {
		accounts.Invitation
		Label   string
		Managed bool
	}, len(w.invited))
	for i, n := range w.invited {
		invited[i].Invitation, invited[i].Label, invited[i].Managed = n, a.roleLabel(c, n.Role), manages && by.Covers(sets[n.Role])
	}
	if f.Role == "" {
		f.Role = authz.Editor
	}
	if f.Then == "" {
		f.Then = accounts.ThenAdmin
	}
	then := []console.Option{{Value: accounts.ThenAdmin, Label: a.t(c, "team.offer.then_admin")}, {Value: accounts.ThenLeave, Label: a.t(c, "team.offer.then_leave")}}
	return a.render(c, status, "team", a.t(c, "admin.nav.team"), map[string]any{"Members": list, "Invitations": invited, "Offer": offer, "F": f,
		"Errors": errs, "CanManage": manages, "Owner": owner, "LastOwner": owner && owners == 1, "Member": member,
		"Open": w.offer, "Heirs": heirs, "Then": then}, console.Link{Label: a.t(c, "team.roles"), URL: "/admin/team/roles", Icon: "lock"})
}

func nameOf(m authz.Member) string {
	if m.Name != "" {
		return m.Name + " (" + m.Email + ")"
	}
	return m.Email
}

// manage runs a change of the team in a platform transaction, as operators are
// the platform's. The page comes back with what is refused.
func (a *Admin) manage(c *gin.Context, done string, f teamForm, fn func(ctx context.Context, tx bun.IDB, t *tenant.Tenant) error) error {
	t := tenant.From(c.Request.Context())
	err := a.Platform.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error { return fn(ctx, tx, t) })
	switch {
	case err == nil:
		return a.back(c, "/admin/team", done)
	case fault.Is(err, fault.Gone):
		return a.showTeam(c, statusOf(err), f, map[string]string{"form": a.t(c, "team.over")})
	case fault.Is(err, fault.Conflict) && len(fault.FieldsOf(err)) == 0:
		return a.showTeam(c, statusOf(err), f, map[string]string{"form": a.t(c, "team.last_owner")})
	case refused(err):
		return a.showTeam(c, statusOf(err), f, a.errors(c, err))
	case fault.Is(err, fault.TooMany):
		return a.showTeam(c, statusOf(err), f, map[string]string{"email": a.t(c, "team.too_many")})
	case fault.Is(err, fault.Forbidden):
		return a.showTeam(c, statusOf(err), f, map[string]string{"form": a.t(c, "team.too_much")})
	}
	return err
}

func (a *Admin) invite(c *gin.Context) error {
	email, role := strings.TrimSpace(c.PostForm("email")), c.PostForm("role")
	return a.manage(c, "team.invited", teamForm{Email: email, Role: role}, func(ctx context.Context, tx bun.IDB, t *tenant.Tenant) error {
		if err := a.roomForSeat(ctx, tx, t); err != nil {
			return err
		}
		// Invite writes its own line of the audit log.
		return a.Operators.Invite(ctx, tx, accounts.Invite{Board: t.ID, Email: email, Role: role, Locale: console.Locale(t.Locale), By: a.permissions(c)})
	})
}

func (a *Admin) resendInvitation(c *gin.Context) error {
	return a.manage(c, "team.resent", teamForm{}, func(ctx context.Context, tx bun.IDB, t *tenant.Tenant) error {
		return a.Operators.Resend(ctx, tx, t.ID, c.PostForm("invitation"), a.permissions(c))
	})
}

// roomForSeat holds the members and those already invited against the plan.
func (a *Admin) roomForSeat(ctx context.Context, tx bun.IDB, t *tenant.Tenant) error {
	open, err := a.Operators.Invitations(ctx, tx, t.ID)
	if err != nil {
		return err
	}
	err = a.Plans.RoomOn(ctx, tx, t.ID, plans.Seats, int64(len(open)+1))
	if fault.Is(err, fault.Conflict) { // said at the field
		return fault.Invalids(fault.Fields{"email": fault.TextOf(err)})
	}
	return err
}

func (a *Admin) withdrawInvitation(c *gin.Context) error {
	return a.manage(c, "team.withdrawn", teamForm{}, func(ctx context.Context, tx bun.IDB, t *tenant.Tenant) error {
		return a.Operators.Uninvite(ctx, tx, t.ID, c.PostForm("invitation"))
	})
}

func (a *Admin) changeRole(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	role := c.PostForm("role")
	return a.manage(c, "team.changed", teamForm{}, func(ctx context.Context, tx bun.IDB, t *tenant.Tenant) error {
		before, err := a.manageable(ctx, tx, c, t, id, role)
		if err != nil {
			return err
		}
		if err := authz.Change(ctx, tx, t.ID, id, role); err != nil {
			return err
		}
		return authz.Record(ctx, tx, authz.Act{Act: "member.changed", ObjectKind: "operator", ObjectID: id.String(), Board: t.ID,
			Detail: map[string]any{"role": role, "before": before}})
	})
}

func (a *Admin) removeMember(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	t := tenant.From(c.Request.Context())
	err = a.Platform.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		before, err := a.manageable(ctx, tx, c, t, id, "")
		if err != nil {
			return err
		}
		if err := authz.Remove(ctx, tx, t.ID, id); err != nil {
			return err
		}
		return authz.Record(ctx, tx, authz.Act{Act: "member.removed", ObjectKind: "operator", ObjectID: id.String(), Board: t.ID,
			Detail: map[string]any{"before": before}})
	})
	if err != nil {
		return a.manage(c, "", teamForm{}, func(context.Context, bun.IDB, *tenant.Tenant) error { return err })
	}
	return a.back(c, "/admin/team?undo=/admin/members/"+id.String()+"/restore", "team.removed")
}

// undoFor is how long a removal can be undone.
const undoFor = time.Hour

// restoreMember undoes a removal: what was held then is what the log says.
func (a *Admin) restoreMember(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	return a.manage(c, "team.restored", teamForm{}, func(ctx context.Context, tx bun.IDB, t *tenant.Tenant) error {
		if err := authz.Restore(ctx, tx, t.ID, a.permissions(c), id, a.Now().Add(-undoFor)); err != nil {
			return err
		}
		return authz.Record(ctx, tx, authz.Act{Act: "member.restored", ObjectKind: "operator", ObjectID: id.String(), Board: t.ID})
	})
}

// leaveTeam is open to everybody: nobody is kept against their will, but for
// the last owner.
func (a *Admin) leaveTeam(c *gin.Context) error {
	t, actor := tenant.From(c.Request.Context()), tenant.ActorFrom(c.Request.Context())
	err := a.Platform.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		before, err := authz.RolesOf(ctx, tx, t.ID, actor.ID)
		if err != nil {
			return err
		}
		if err := authz.Remove(ctx, tx, t.ID, actor.ID); err != nil {
			return err
		}
		return authz.Record(ctx, tx, authz.Act{Act: "member.left", ObjectKind: "operator", ObjectID: actor.ID.String(), Board: t.ID,
			Detail: map[string]any{"before": before}})
	})
	if err != nil {
		if fault.Is(err, fault.NotFound) {
			return fault.New(fault.Forbidden, "admin.forbidden")
		}
		if !a.may(c, "team", "read") {
			return err
		}
		return a.manage(c, "", teamForm{}, func(context.Context, bun.IDB, *tenant.Tenant) error { return err })
	}
	return route.SeeOther(c, a.Links.Platform("/boards?stay=1&ok=team.left"))
}

func (a *Admin) offerOwnership(c *gin.Context) error {
	f := teamForm{To: c.PostForm("to"), Then: c.PostForm("then")}
	to, err := uuid.Parse(f.To)
	if err != nil {
		to = uuid.Nil
	}
	return a.manage(c, "team.offered", f, func(ctx context.Context, tx bun.IDB, t *tenant.Tenant) error {
		return a.Operators.OfferOwnership(ctx, tx, t, to, f.Then)
	})
}

func (a *Admin) withdrawOwnership(c *gin.Context) error {
	return a.manage(c, "team.offer_withdrawn", teamForm{}, func(ctx context.Context, tx bun.IDB, t *tenant.Tenant) error {
		offer, err := a.Operators.Ownership(ctx, tx, t.ID)
		if err != nil {
			return err
		}
		held, err := authz.RolesOf(ctx, tx, t.ID, tenant.ActorFrom(ctx).ID)
		if err != nil {
			return err
		}
		if offer != nil && !slices.Contains(held, authz.Owner) {
			return fault.New(fault.Forbidden, "an owner's offer is an owner's to withdraw")
		}
		return a.Operators.WithdrawOwnership(ctx, tx, t.ID)
	})
}

// manageable refuses touching who can do more than the one who asks, and gives
// the roles held before.
func (a *Admin) manageable(ctx context.Context, tx bun.IDB, c *gin.Context, t *tenant.Tenant, id uuid.UUID, role string) ([]string, error) {
	if err := authz.MayManage(ctx, tx, a.permissions(c), t.ID, id, role); err != nil {
		return nil, err
	}
	return authz.RolesOf(ctx, tx, t.ID, id)
}
