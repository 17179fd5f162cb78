package admin

import (
	"context"
	"net/http"
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

// supportRoutes are the page of who of the platform's staff may come in, and
// the way out for whoever did.
func (a *Admin) supportRoutes() []route.Route {
	can := authz.Can
	return []route.Route{
		{Method: route.GET, Path: "/admin/support", Handle: a.support, Can: can("support", "read")},
		{Method: route.POST, Path: "/admin/support", Handle: a.saveSupport, Can: can("support", "manage")},
		{Method: route.POST, Path: "/admin/support/:id/decide", Handle: a.decideSupport, Can: can("support", "manage")},
		{Method: route.POST, Path: "/admin/support/:id/end", Handle: a.endSupport, Can: can("support", "manage")},
		{Method: route.POST, Path: "/admin/notices/:id/dismiss", Handle: a.dismiss, Can: authz.SignedIn},
		{Method: route.POST, Path: endActing, Handle: a.endActing, Can: authz.SignedIn},
	}
}

const endActing = "/admin/acting/end"

// notActing is what nobody does in somebody else's name: the bank account, the
// plan, the team and its roles, and letting staff in.
var notActing = []authz.Permission{authz.Can("payout", "onboard"), authz.Can("team", "manage"), authz.Can("plan", "manage"), authz.Can("support", "manage")}

// actingMay holds a request of an impersonated session against what such a
// session never does. The permissions of notActing are gone from its set
// already. Kind: fault.Forbidden.
func actingMay(c *gin.Context, s *accounts.Acting) error {
	path, reads := c.FullPath(), c.Request.Method == http.MethodGet || c.Request.Method == http.MethodHead
	switch {
	case path == endActing || path == "/admin/sign-out":
		return nil
	// A file leaves the house; only who is on the team takes the board's data out.
	case strings.HasSuffix(path, ".csv") && path != "/admin/imports/template.csv", strings.Contains(path, "/export"):
		return fault.New(fault.Forbidden, "acting.no_export")
	case reads:
		return nil
	case strings.HasPrefix(path, "/admin/team"), strings.HasPrefix(path, "/admin/members"), strings.HasPrefix(path, "/admin/payouts"):
		return fault.New(fault.Forbidden, "acting.barred")
	case !s.Writes:
		return fault.New(fault.Forbidden, "acting.read_only")
	}
	return nil
}

// stillStaff holds an impersonated session against the platform's roles: who
// loses the right is out with the next request. Kind: fault.SignIn.
func (a *Admin) stillStaff(ctx context.Context, s *accounts.Acting) error {
	set, err := a.Gate.Permissions(ctx, s.Staff, tenant.Nil, s.PlatformVersion)
	if err != nil {
		return err
	}
	if !set.Has(authz.Can("board", "impersonate")) {
		return fault.New(fault.SignIn, "sign in first")
	}
	return nil
}

// acting is the banner of an impersonated session, on every page.
func (a *Admin) acting(c *gin.Context) *console.Acting {
	s := session(c)
	if s == nil || s.Acting == nil {
		return nil
	}
	left := max(int(time.Until(s.ExpireAt)/time.Minute)+1, 1)
	mode := "acting.banner.read"
	if s.Acting.Writes {
		mode = "acting.banner.write"
	}
	return &console.Acting{Text: a.t(c, "acting.banner", s.Acting.StaffLabel, s.Operator.Label()), Mode: a.t(c, mode), Left: a.t(c, "acting.left", left), Until: s.ExpireAt, End: endActing}
}

// endActing leaves an impersonated session, and goes back to the board's page
// in the staff's console.
func (a *Admin) endActing(c *gin.Context) error {
	s, t := session(c), tenant.From(c.Request.Context())
	if s == nil || s.Acting == nil {
		return fault.New(fault.NotFound, "nobody acts as you here")
	}
	err := a.Platform.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		return a.Operators.EndImpersonation(ctx, tx, t.ID, s.Acting.Impersonation, "staff")
	})
	if err != nil {
		return err
	}
	a.cookies.Clear(c.Writer, c.Request.Host)
	return route.SeeOther(c, a.Links.Platform("/staff/boards/"+t.ID.String()+"?ok=impersonation.ended"))
}

// supportRow is one of the staff's visits as the board sees it.
type supportRow struct {
	accounts.Impersonation
	Now string
}

func (a *Admin) support(c *gin.Context) error {
	t := tenant.From(c.Request.Context())
	var rows []accounts.Impersonation
	err := a.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		rows, err = a.Operators.Impersonations(ctx, tx, t.ID, 50)
		return err
	})
	if err != nil {
		return err
	}
	shown := make([]supportRow, len(rows))
	for i := range rows {
		shown[i] = supportRow{rows[i], rows[i].Status(a.Now())}
	}
	p := a.page(c, a.t(c, "admin.nav.support"))
	return a.shell.Render(c, http.StatusOK, "support", p, map[string]any{"Rows": shown, "Asks": t.AsksConsent, "CanManage": a.may(c, "support", "manage")})
}

func (a *Admin) saveSupport(c *gin.Context) error {
	t, ask := tenant.From(c.Request.Context()), c.PostForm("ask") != ""
	err := a.act(c, authz.Act{Act: "support.saved", ObjectKind: "board", ObjectID: t.ID.String(), Detail: map[string]any{"ask": ask}},
		func(ctx context.Context, tx bun.IDB) error { return tenant.SaveSupport(ctx, tx, ask) })
	if err != nil {
		return err
	}
	return a.back(c, "/admin/support", "support.saved")
}

// onSupport runs an owner's act on one visit, in a platform transaction.
func (a *Admin) onSupport(c *gin.Context, done string, fn func(ctx context.Context, tx bun.IDB, id uuid.UUID) error) error {
	id, err := uuid.Parse(c.Param("id"))
	if err != nil {
		return fault.New(fault.NotFound, "not found")
	}
	err = a.Platform.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error { return fn(ctx, tx, id) })
	if err != nil {
		return err
	}
	return a.back(c, "/admin/support", done)
}

func (a *Admin) decideSupport(c *gin.Context) error {
	grant, done := c.PostForm("answer") == "grant", "support.refused"
	if grant {
		done = "support.granted"
	}
	return a.onSupport(c, done, func(ctx context.Context, tx bun.IDB, id uuid.UUID) error {
		return a.Operators.DecideImpersonation(ctx, tx, session(c), id, grant)
	})
}

func (a *Admin) endSupport(c *gin.Context) error {
	return a.onSupport(c, "support.ended", func(ctx context.Context, tx bun.IDB, id uuid.UUID) error {
		return a.Operators.EndImpersonation(ctx, tx, tenant.From(ctx).ID, id, "board")
	})
}

// notices puts what the platform has to say above a page: its announcements,
// and to who may answer that staff asks to come in. It returns how many ask. A
// page does not fail with it.
func (a *Admin) notices(c *gin.Context, p *console.Page) (asks int) {
	s, t := session(c), tenant.From(c.Request.Context())
	if s == nil || a.permissions(c).Empty() {
		return 0
	}
	var list []accounts.Announcement
	_ = a.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		if a.may(c, "support", "read") {
			err = tx.NewRaw(`SELECT count(*) FROM impersonations WHERE tenant_id = ? AND state = 'asked' AND lapses_at > ?`, t.ID, a.Now()).Scan(ctx, &asks)
		}
		if err == nil && s.Acting == nil { // what the operator has yet to read stays theirs to put away
			list, err = a.Operators.NoticesFor(ctx, tx, t.ID, s.Operator.ID)
		}
		return err
	})
	for i := range list {
		n := console.Notice{Level: list[i].Level, Text: list[i].Text(a.locale(c)), Dismiss: "/admin/notices/" + list[i].ID.String() + "/dismiss", Link: list[i].Link}
		if n.Link != "" {
			n.LinkText = a.t(c, "notice.more")
		}
		p.Notices = append(p.Notices, n)
	}
	if asks > 0 && a.may(c, "support", "manage") && p.Banner == "" {
		p.Banner = a.t(c, "admin.support_asks")
	}
	return asks
}

// dismiss puts an announcement away for whoever reads it.
func (a *Admin) dismiss(c *gin.Context) error {
	id, err := uuid.Parse(c.Param("id"))
	if err != nil {
		return fault.New(fault.NotFound, "announcement not found")
	}
	s, t := session(c), tenant.From(c.Request.Context())
	if s.Acting != nil || a.permissions(c).Empty() {
		return fault.New(fault.NotFound, "announcement not found")
	}
	err = a.Platform.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		return a.Operators.Dismiss(ctx, tx, t.ID, s.Operator.ID, id)
	})
	if err != nil {
		return err
	}
	return route.SeeOther(c, "/admin")
}
