package admin

import (
	"context"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/billing/plans"
	"shingle/domains"
	"shingle/tenant"
	"shingle/web/console"
	"shingle/web/route"
)

// domainRoutes are the pages of the board's addresses.
func (a *Admin) domainRoutes() []route.Route {
	const GET, POST = route.GET, route.POST
	can := authz.Can
	return []route.Route{
		{Method: GET, Path: "/admin/domains", Handle: a.domains, Can: can("domain", "read"), StepUp: true},
		{Method: POST, Path: "/admin/domains", Handle: a.addDomain, Can: can("domain", "write"), StepUp: true},
		{Method: POST, Path: "/admin/domains/platform", Handle: a.platformPrimary, Can: can("domain", "write"), StepUp: true},
		{Method: POST, Path: "/admin/domains/base", Handle: a.saveBase, Can: can("domain", "write"), StepUp: true},
		{Method: POST, Path: "/admin/domains/base/check", Handle: a.checkBase, Can: can("domain", "write"), StepUp: true},
		{Method: GET, Path: "/admin/domains/:host", Handle: a.domain, Can: can("domain", "read"), StepUp: true},
		{Method: POST, Path: "/admin/domains/:host/check", Handle: a.checkDomain, Can: can("domain", "write"), StepUp: true},
		{Method: POST, Path: "/admin/domains/:host/primary", Handle: a.primaryDomain, Can: can("domain", "write"), StepUp: true},
		{Method: POST, Path: "/admin/domains/:host/remove", Handle: a.removeDomain, Can: can("domain", "write"), StepUp: true},
		{Method: POST, Path: "/admin/domains/:host/certificate", Handle: a.bringCertificate, Can: can("domain", "write"), StepUp: true},
	}
}

func (a *Admin) domains(c *gin.Context) error { return a.showDomains(c, "", nil) }

func (a *Admin) showDomains(c *gin.Context, typed string, cause error) error {
	t := tenant.From(c.Request.Context())
	var list []domains.Domain
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		list, err = a.Domains.List(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	has, custom := map[string]bool{}, false
	for i := range list {
		has[list[i].Host] = true
		custom = custom || list[i].Host == t.CanonicalHost
	}
	// The other of apex and www, for the first host that lacks it.
	var twin, of string
	for i := range list {
		if other := domains.Twin(list[i].Host); other != "" && !has[other] && twin == "" {
			twin, of = domains.Human(other), list[i].Human()
		}
	}
	return a.render(c, statusOf(cause), "domains", a.t(c, "domain.title"), map[string]any{"Domains": list, "T": t, "Typed": typed, "Errors": a.errors(c, cause),
		"Custom": custom, "Base": baseText(c, t), "Twin": twin, "TwinOf": of, "CanWrite": a.may(c, "domain", "write")})
}

// saveBase keeps the place on the owner's own site.
func (a *Admin) saveBase(c *gin.Context) error {
	b, err := a.Domains.ParseBase(tenant.From(c.Request.Context()), c.PostForm("base"))
	if err == nil {
		err = a.act(c, authz.Act{Act: "base.saved", ObjectKind: "board", ObjectID: tenant.From(c.Request.Context()).ID.String()}, func(ctx context.Context, tx bun.IDB) error { return a.Domains.SaveBase(ctx, tx, b) })
	}
	if refused(err) {
		return a.showDomains(c, "", err)
	}
	if err != nil {
		return err
	}
	return a.back(c, "/admin/domains", "base.saved")
}

func (a *Admin) checkBase(c *gin.Context) error {
	err := a.Domains.CheckBase(c.Request.Context())
	if refused(err) {
		return a.showDomains(c, "", err)
	}
	if err != nil {
		return err
	}
	return a.back(c, "/admin/domains", "base.active")
}

func (a *Admin) addDomain(c *gin.Context) error {
	err := a.read(c, func(ctx context.Context, tx bun.IDB) error {
		if err := a.Plans.Feature(ctx, tx, plans.CustomDomain); err != nil {
			return err
		}
		return a.Plans.Room(ctx, tx, plans.Domains, 1)
	})
	var d *domains.Domain
	if err == nil {
		d, err = a.Domains.Add(c.Request.Context(), c.PostForm("host"), c.PostForm("primary") != "")
	}
	if refused(err) {
		return a.showDomains(c, c.PostForm("host"), err)
	}
	if err != nil {
		return err
	}
	return a.back(c, "/admin/domains/"+d.Host, "domain.added")
}

// baseText is the place on the owner's site as typed or kept.
func baseText(c *gin.Context, t *tenant.Tenant) string {
	if typed, ok := c.GetPostForm("base"); ok {
		return typed
	}
	if t.Base == nil {
		return ""
	}
	return t.Base.Origin + t.Base.Path
}

// domainStep is one part of the way with its records and what was found.
type domainStep struct {
	Title, Text string
	Records     []domains.Record
	Finding     domains.Finding
}

// Done reports a step that needs nothing more.
func (s domainStep) Done() bool { return s.Finding.State == domains.OK }

func (a *Admin) domain(c *gin.Context) error { return a.showDomain(c, nil) }

func (a *Admin) showDomain(c *gin.Context, cause error) error {
	ctx := c.Request.Context()
	t := tenant.From(ctx)
	var d *domains.Domain
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		d, err = a.Domains.ByHost(ctx, tx, c.Param("host"))
		return err
	})
	if err != nil {
		return err
	}
	owner := domainStep{Title: a.t(c, "domain.step.owner"), Text: a.t(c, "domain.step.owner_text"), Records: []domains.Record{domains.OwnerRecord(d)}, Finding: d.Report.Owner}
	if d.FlaggedAt != nil {
		owner.Finding.Text = "domain.found.flagged|" + console.Date(a.locale(c), d.MissingSince)
	}
	address := domainStep{Title: a.t(c, "domain.step.address"), Text: a.t(c, "domain.step.address_text"), Records: a.Domains.AddressRecords(t, d), Finding: d.Report.Address}
	if domains.Apex(d.Host) {
		address.Text = a.t(c, "domain.step.apex_text", d.Human())
	}
	steps := []domainStep{owner, address}
	if d.Report.Authority.State == domains.Wrong {
		steps = append(steps, domainStep{Title: a.t(c, "domain.step.authority"), Text: a.t(c, "domain.step.authority_text"),
			Records: []domains.Record{a.Domains.AuthorityRecord(d)}, Finding: d.Report.Authority})
	}
	data := map[string]any{"D": d, "T": t, "Steps": steps, "Main": d.Host == t.CanonicalHost, "CanWrite": a.may(c, "domain", "write"), "Errors": a.errors(c, cause),
		"Chain": c.PostForm("chain"), "CanBring": a.Domains.Bring != nil && d.ProvenAt != nil}
	if cert, ok := a.Domains.Certificate(ctx, d.Host); ok {
		data["Cert"] = &cert
		data["CertUntil"] = console.Date(a.locale(c), cert.NotAfter)
	}
	p := a.page(c, d.Human())
	p.Narrow = true
	p.Crumbs = []console.Link{{Label: a.t(c, "domain.title"), URL: "/admin/domains"}}
	return a.shell.Render(c, statusOf(cause), "domain", p, data)
}

func (a *Admin) checkDomain(c *gin.Context) error {
	if _, err := a.Domains.Check(c.Request.Context(), c.Param("host")); err != nil {
		return err
	}
	return a.back(c, "/admin/domains/"+c.Param("host"), "domain.checked")
}

func (a *Admin) primaryDomain(c *gin.Context) error {
	err := a.Domains.Primary(c.Request.Context(), c.Param("host"))
	if refused(err) {
		return a.showDomain(c, err)
	}
	if err != nil {
		return err
	}
	return a.back(c, "/admin/domains/"+c.Param("host"), "domain.primary")
}

func (a *Admin) platformPrimary(c *gin.Context) error {
	if err := a.Domains.Primary(c.Request.Context(), tenant.From(c.Request.Context()).PlatformHost); err != nil {
		return err
	}
	return a.back(c, "/admin/domains", "domain.primary")
}

func (a *Admin) removeDomain(c *gin.Context) error {
	if err := a.Domains.Remove(c.Request.Context(), c.Param("host")); err != nil {
		return err
	}
	return a.back(c, "/admin/domains", "domain.removed")
}

func (a *Admin) bringCertificate(c *gin.Context) error {
	err := a.Domains.BringCertificate(c.Request.Context(), c.Param("host"), strings.TrimSpace(c.PostForm("chain")), strings.TrimSpace(c.PostForm("key")))
	if refused(err) {
		return a.showDomain(c, err)
	}
	if err != nil {
		return err
	}
	return a.back(c, "/admin/domains/"+c.Param("host"), "domain.certificate")
}
