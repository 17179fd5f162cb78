package admin

import (
	"context"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/authz"
	"shingle/billing/plans"
	"shingle/domains/access"
	"shingle/tenant"
	"shingle/web/console"
	"shingle/web/route"
)

// accessRoutes are the page of who may enter the board.
func (a *Admin) accessRoutes() []route.Route {
	can := authz.Can
	return []route.Route{
		{Method: route.GET, Path: "/admin/access", Handle: a.access, Can: can("domain", "read"), StepUp: true},
		{Method: route.POST, Path: "/admin/access", Handle: a.saveAccess, Can: can("domain", "write"), StepUp: true},
		{Method: route.POST, Path: "/admin/access/invite", Handle: a.inviteVisitor, Can: can("domain", "write"), StepUp: true},
	}
}

func (a *Admin) access(c *gin.Context) error { return a.showAccess(c, nil, "", nil) }

func (a *Admin) showAccess(c *gin.Context, typed *access.Change, email string, cause error) error {
	var conf *access.Config
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		conf, err = a.Access.Read(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	if typed == nil {
		typed = &access.Change{Mode: conf.Mode, Domains: strings.Join(conf.Domains, ", "), Issuer: conf.Issuer, ClientID: conf.ClientID, Claim: conf.Claim, Values: strings.Join(conf.Values, ", ")}
	}
	var modes []console.Option
	for _, m := range access.Modes {
		key := m
		if key == "" {
			key = "open"
		}
		modes = append(modes, console.Option{Value: m, Label: a.t(c, "access.mode."+key)})
	}
	p := a.page(c, a.t(c, "access.title"))
	p.Narrow = true
	return a.shell.Render(c, statusOf(cause), "access", p, map[string]any{"C": conf, "F": typed, "Modes": modes, "Email": email, "Errors": a.errors(c, cause),
		"Callback": a.Links.Board(tenant.From(c.Request.Context()), access.Callback), "CanWrite": a.may(c, "domain", "write")})
}

func (a *Admin) saveAccess(c *gin.Context) error {
	in := access.Change{Mode: c.PostForm("mode"), Password: c.PostForm("password"), Domains: c.PostForm("domains"), Issuer: c.PostForm("issuer"),
		ClientID: c.PostForm("client_id"), Secret: c.PostForm("secret"), Claim: c.PostForm("claim"), Values: c.PostForm("values")}
	err := a.act(c, authz.Act{Act: "access.saved", ObjectKind: "board", ObjectID: tenant.From(c.Request.Context()).ID.String(), Detail: map[string]any{"mode": in.Mode}},
		func(ctx context.Context, tx bun.IDB) error {
			if in.Mode != "" && !tenant.From(ctx).Private() {
				if err := a.Plans.Feature(ctx, tx, plans.PrivateBoard); err != nil {
					return err
				}
			}
			return a.Access.Save(ctx, tx, in)
		})
	if refused(err) {
		return a.showAccess(c, &in, "", err)
	}
	if err != nil {
		return err
	}
	return a.back(c, "/admin/access", "access.saved")
}

func (a *Admin) inviteVisitor(c *gin.Context) error {
	email := c.PostForm("email")
	named := email
	if folded, err := accounts.Fold(email); err == nil {
		named = folded // as an erasure looks for it
	}
	err := a.act(c, authz.Act{Act: "access.invited", ObjectKind: "board", ObjectID: tenant.From(c.Request.Context()).ID.String(), Personal: map[string]any{"email": named}},
		func(ctx context.Context, tx bun.IDB) error { return a.Access.Invite(ctx, tx, email) })
	if refused(err) {
		return a.showAccess(c, nil, email, err)
	}
	if err != nil {
		return err
	}
	return a.back(c, "/admin/access", "access.invited")
}
