package admin

import (
	"context"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/authz"
	"shingle/billing/plans"
	"shingle/internal/fault"
	"shingle/tenant"
	"shingle/web/console"
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

// teamRole is a role with the words of what it may do.
type teamRole struct {
	Name, Label string
	Can         []string
}

func (a *Admin) roleLabel(c *gin.Context, role string) string {
	if key := authz.RoleWords(tenant.From(c.Request.Context()).ID, role); key != "" {
		return a.t(c, key)
	}
	return authz.RoleName(role)
}

func (a *Admin) team(c *gin.Context) error { return a.showTeam(c, http.StatusOK, "", "", nil) }

func (a *Admin) showTeam(c *gin.Context, status int, email, role string, errs map[string]string) error {
	t, by := tenant.From(c.Request.Context()), a.permissions(c)
	var members []authz.Member
	var roles []authz.Role
	var open []accounts.Invitation
	err := a.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		if members, err = authz.Members(ctx, tx, t.ID); err != nil {
			return err
		}
		if roles, err = authz.Roles(ctx, tx, t.ID); err != nil {
			return err
		}
		open, err = a.Operators.Invitations(ctx, tx, t.ID)
		return err
	})
	if err != nil {
		return err
	}
	manages := a.may(c, "team", "manage")
	sets := map[string]authz.Set{}
	var offer []console.Option
	shown := make([]teamRole, len(roles))
	for i, r := range roles {
		sets[r.Name] = r.Set
		shown[i] = teamRole{Name: r.Name, Label: a.roleLabel(c, r.Name)}
		for _, p := range r.Set.List() {
			if e, ok := p.Entry(); ok {
				shown[i].Can = append(shown[i].Can, a.t(c, e.Words()))
			}
		}
		if by.Covers(r.Set) {
			offer = append(offer, console.Option{Value: r.Name, Label: shown[i].Label})
		}
	}
	you := session(c).Operator.ID
	list := make([]teamMember, len(members))
	for i, m := range members {
		list[i] = teamMember{Member: m, You: m.Operator == you, Managed: manages, Role: m.Roles[0]}
		for _, r := range m.Roles {
			list[i].Names = append(list[i].Names, a.roleLabel(c, r))
			list[i].Managed = list[i].Managed && by.Covers(sets[r])
		}
		for _, o := range offer {
			o.Selected = o.Value == list[i].Role
			list[i].Options = append(list[i].Options, o)
		}
	}
	invited := make([]struct {
		accounts.Invitation
		Label string
	}, len(open))
	for i := range open {
		invited[i].Invitation, invited[i].Label = open[i], a.roleLabel(c, open[i].Role)
	}
	if role == "" {
		role = authz.Editor
	}
	return a.render(c, status, "team", a.t(c, "admin.nav.team"), map[string]any{"Members": list, "Invitations": invited, "Roles": shown, "Offer": offer,
		"Email": email, "Role": role, "Errors": errs, "CanManage": manages})
}

// manage runs a change of the team in a platform transaction, as operators are
// the platform's. The page comes back with what is refused.
func (a *Admin) manage(c *gin.Context, done, email, role string, fn func(ctx context.Context, tx bun.IDB, t *tenant.Tenant) error) error {
	t := tenant.From(c.Request.Context())
	err := a.Platform.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error { return fn(ctx, tx, t) })
	switch {
	case err == nil:
		return a.back(c, "/admin/team", done)
	case fault.Is(err, fault.Conflict) && len(fault.FieldsOf(err)) == 0:
		return a.showTeam(c, statusOf(err), email, role, map[string]string{"form": a.t(c, "team.last_owner")})
	case refused(err):
		return a.showTeam(c, statusOf(err), email, role, a.errors(c, err))
	case fault.Is(err, fault.TooMany):
		return a.showTeam(c, statusOf(err), email, role, map[string]string{"email": a.t(c, "team.too_many")})
	case fault.Is(err, fault.Forbidden):
		return a.showTeam(c, statusOf(err), email, role, map[string]string{"form": a.t(c, "team.too_much")})
	}
	return err
}

func (a *Admin) invite(c *gin.Context) error {
	email, role := strings.TrimSpace(c.PostForm("email")), c.PostForm("role")
	return a.manage(c, "team.invited", email, role, func(ctx context.Context, tx bun.IDB, t *tenant.Tenant) error {
		if err := a.roomForSeat(ctx, tx, t); err != nil {
			return err
		}
		// Invite writes its own line of the audit log.
		return a.Operators.Invite(ctx, tx, accounts.Invite{Board: t.ID, Email: email, Role: role, Locale: console.Locale(t.Locale), By: a.permissions(c)})
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
	return a.manage(c, "team.withdrawn", "", "", func(ctx context.Context, tx bun.IDB, t *tenant.Tenant) error {
		return a.Operators.Uninvite(ctx, tx, t.ID, c.PostForm("invitation"))
	})
}

func (a *Admin) changeRole(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	role := c.PostForm("role")
	return a.manage(c, "team.changed", "", "", func(ctx context.Context, tx bun.IDB, t *tenant.Tenant) error {
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
	return a.manage(c, "team.removed", "", "", func(ctx context.Context, tx bun.IDB, t *tenant.Tenant) error {
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
}

// manageable refuses touching who can do more than the one who asks, and gives
// the roles held before.
func (a *Admin) manageable(ctx context.Context, tx bun.IDB, c *gin.Context, t *tenant.Tenant, id uuid.UUID, role string) ([]string, error) {
	if err := authz.MayManage(ctx, tx, a.permissions(c), t.ID, id, role); err != nil {
		return nil, err
	}
	return authz.RolesOf(ctx, tx, t.ID, id)
}
