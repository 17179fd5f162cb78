package staff

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
	"shingle/internal/fault"
	"shingle/tenant"
	"shingle/web/console"
	"shingle/web/route"
)

// teamRoutes are the platform's own team.
func (s *Staff) teamRoutes() []route.Route {
	const GET, POST = route.GET, route.POST
	read, manage := authz.Can("staff", "read"), authz.Can("staff", "manage")
	return []route.Route{
		{Method: GET, Path: "/staff/team", Handle: s.team, Can: read},
		{Method: GET, Path: "/staff/team.csv", Handle: route.Download(s.Limits, s.teamCSV), Can: read, StepUp: true},
		{Method: POST, Path: "/staff/team/invite", Handle: s.invite, Can: manage, StepUp: true},
		{Method: POST, Path: "/staff/team/resend", Handle: s.resendInvitation, Can: manage, StepUp: true},
		{Method: POST, Path: "/staff/team/withdraw", Handle: s.withdrawInvitation, Can: manage, StepUp: true},
		{Method: POST, Path: "/staff/team/leave", Handle: s.leaveTeam, Can: read},
		{Method: POST, Path: "/staff/team/:id/role", Handle: s.changeRole, Can: manage, StepUp: true},
		{Method: POST, Path: "/staff/team/:id/remove", Handle: s.removeMember, Can: manage, StepUp: true},
		{Method: POST, Path: "/staff/team/:id/restore", Handle: s.restoreMember, Can: manage, StepUp: true},
	}
}

// colleague is a member of the staff with what may be done about them.
type colleague struct {
	authz.Member
	Names        []string
	You, Managed bool
	Options      []console.Option
}

func (s *Staff) roleLabel(c *gin.Context, role string) string {
	if key := authz.RoleWords(tenant.Nil, role); key != "" {
		return s.t(c, key)
	}
	return authz.RoleName(role)
}

func (s *Staff) team(c *gin.Context) error { return s.showTeam(c, http.StatusOK, "", "", nil) }

func (s *Staff) showTeam(c *gin.Context, status int, email, role string, errs map[string]string) error {
	var members []authz.Member
	var roles []authz.Role
	var open []accounts.Invitation
	err := s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		if members, err = authz.Members(ctx, tx, tenant.Nil); err != nil {
			return err
		}
		if roles, err = authz.Roles(ctx, tx, tenant.Nil); err != nil {
			return err
		}
		open, err = s.Operators.Invitations(ctx, tx, tenant.Nil)
		return err
	})
	if err != nil {
		return err
	}
	by, manages := s.Permissions(c), s.Allowed(c, authz.Can("staff", "manage"))
	sets := map[string]authz.Set{}
	var offer []console.Option
	var shown []struct {
		Label string
		Can   []string
	}
	for _, r := range roles {
		sets[r.Name] = r.Set
		line := struct {
			Label string
			Can   []string
		}{Label: s.roleLabel(c, r.Name)}
		for _, p := range r.Set.List() {
			if e, ok := p.Entry(); ok {
				line.Can = append(line.Can, s.t(c, "staff."+e.Words()))
			}
		}
		shown = append(shown, line)
		if by.Covers(r.Set) {
			offer = append(offer, console.Option{Value: r.Name, Label: line.Label})
		}
	}
	you, tops, top := tenant.ActorFrom(c.Request.Context()).ID, 0, false
	list := make([]colleague, len(members))
	for i, m := range members {
		list[i] = colleague{Member: m, You: m.Operator == you, Managed: manages}
		for _, r := range m.Roles {
			list[i].Names = append(list[i].Names, s.roleLabel(c, r))
			list[i].Managed = list[i].Managed && by.Covers(sets[r])
		}
		if slices.Contains(m.Roles, authz.Superadmin) {
			tops++
			top = top || list[i].You
		}
		for _, o := range offer {
			o.Selected = o.Value == m.Roles[0]
			list[i].Options = append(list[i].Options, o)
		}
	}
	invited := make([]struct {
		accounts.Invitation
		Label string
	}, len(open))
	for i := range open {
		invited[i].Invitation, invited[i].Label = open[i], s.roleLabel(c, open[i].Role)
	}
	if role == "" {
		role = authz.Support
	}
	return s.render(c, status, "team", s.t(c, "staff.nav.team"), map[string]any{"Members": list, "Invitations": invited, "Roles": shown, "Offer": offer,
		"Email": email, "Role": role, "Errors": errs, "CanManage": manages, "Last": top && tops == 1}, s.csvLink(c, "/staff/team.csv"))
}

// onTeam runs a change of the staff; the page comes back with what is refused.
func (s *Staff) onTeam(c *gin.Context, to, email, role string, fn func(ctx context.Context, tx bun.IDB) error) error {
	err := s.Platform.Write(c.Request.Context(), fn)
	text := func(field, key string) error {
		return s.showTeam(c, route.Status(err), email, role, map[string]string{field: s.t(c, key)})
	}
	switch {
	case err == nil:
		return route.SeeOther(c, to)
	case len(fault.FieldsOf(err)) > 0:
		return s.showTeam(c, route.Status(err), email, role, s.shell.Explain(s.locale(c), err))
	case fault.Is(err, fault.Conflict):
		return text("form", "staff.team.last")
	case fault.Is(err, fault.TooMany):
		return text("email", "staff.team.too_many")
	case fault.Is(err, fault.Forbidden):
		return text("form", "staff.team.too_much")
	case fault.Is(err, fault.Gone):
		return text("form", "staff.team.over")
	}
	return err
}

func (s *Staff) invite(c *gin.Context) error {
	email, role := strings.TrimSpace(c.PostForm("email")), c.PostForm("role")
	return s.onTeam(c, "/staff/team?ok=staff.invited", email, role, func(ctx context.Context, tx bun.IDB) error {
		return s.Operators.Invite(ctx, tx, accounts.Invite{Board: tenant.Nil, Email: email, Role: role, Locale: s.locale(c), By: s.Permissions(c)})
	})
}

func (s *Staff) resendInvitation(c *gin.Context) error {
	return s.onTeam(c, "/staff/team?ok=staff.invited", "", "", func(ctx context.Context, tx bun.IDB) error {
		return s.Operators.Resend(ctx, tx, tenant.Nil, c.PostForm("invitation"), s.Permissions(c))
	})
}

func (s *Staff) withdrawInvitation(c *gin.Context) error {
	return s.onTeam(c, "/staff/team?ok=staff.withdrawn", "", "", func(ctx context.Context, tx bun.IDB) error {
		return s.Operators.Uninvite(ctx, tx, tenant.Nil, c.PostForm("invitation"))
	})
}

// member runs a change of one colleague, who can do no more than the one who
// makes it, and writes it into the log with what they held before.
func (s *Staff) member(c *gin.Context, act, to, role string, fn func(ctx context.Context, tx bun.IDB, id uuid.UUID) error) error {
	id, err := uuid.Parse(c.Param("id"))
	if err != nil {
		return fault.New(fault.NotFound, "member not found")
	}
	return s.onTeam(c, strings.ReplaceAll(to, ":id", id.String()), "", "", func(ctx context.Context, tx bun.IDB) error {
		if err := authz.MayManage(ctx, tx, s.Permissions(c), tenant.Nil, id, role); err != nil {
			return err
		}
		before, err := authz.RolesOf(ctx, tx, tenant.Nil, id)
		if err != nil {
			return err
		}
		if err := fn(ctx, tx, id); err != nil {
			return err
		}
		detail := map[string]any{"before": before}
		if role != "" {
			detail["role"] = role
		}
		return authz.Record(ctx, tx, authz.Act{Act: act, ObjectKind: "operator", ObjectID: id.String(), Detail: detail})
	})
}

func (s *Staff) changeRole(c *gin.Context) error {
	role := c.PostForm("role")
	return s.member(c, "member.changed", "/staff/team?ok=staff.changed", role, func(ctx context.Context, tx bun.IDB, id uuid.UUID) error {
		return authz.Change(ctx, tx, tenant.Nil, id, role)
	})
}

func (s *Staff) removeMember(c *gin.Context) error {
	return s.member(c, "member.removed", "/staff/team?ok=staff.removed&undo=/staff/team/:id/restore", "", func(ctx context.Context, tx bun.IDB, id uuid.UUID) error {
		return authz.Remove(ctx, tx, tenant.Nil, id)
	})
}

// undoFor is how long a removal can be undone.
const undoFor = time.Hour

func (s *Staff) restoreMember(c *gin.Context) error {
	return s.member(c, "member.restored", "/staff/team?ok=staff.restored", "", func(ctx context.Context, tx bun.IDB, id uuid.UUID) error {
		return authz.Restore(ctx, tx, tenant.Nil, s.Permissions(c), id, time.Now().Add(-undoFor))
	})
}

func (s *Staff) leaveTeam(c *gin.Context) error {
	who := tenant.ActorFrom(c.Request.Context())
	return s.onTeam(c, "/boards?stay=1&ok=team.left", "", "", func(ctx context.Context, tx bun.IDB) error {
		before, err := authz.RolesOf(ctx, tx, tenant.Nil, who.ID)
		if err != nil {
			return err
		}
		if err := authz.Remove(ctx, tx, tenant.Nil, who.ID); err != nil {
			return err
		}
		return authz.Record(ctx, tx, authz.Act{Act: "member.left", ObjectKind: "operator", ObjectID: who.ID.String(), Detail: map[string]any{"before": before}})
	})
}
