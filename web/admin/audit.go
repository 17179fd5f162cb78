package admin

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/authz/chain"
	"shingle/tenant"
	"shingle/web/console"
	"shingle/web/route"
)

// auditRoutes are the pages of the board's log of acts.
func (a *Admin) auditRoutes() []route.Route {
	return []route.Route{
		{Method: route.GET, Path: "/admin/audit", Handle: a.audit, Can: authz.Can("audit", "read")},
		{Method: route.GET, Path: "/admin/audit.csv", Handle: route.Download(a.Limits, a.auditCSV), Can: authz.Can("audit", "read"), StepUp: true},
	}
}

// auditPage is how many lines a page shows.
const auditPage = 50

// auditFilter reads the filter. An address that nobody has finds as little as
// one that never acted here.
func (a *Admin) auditFilter(c *gin.Context) (console.AuditForm, authz.LogFilter, map[string]string, error) {
	t := tenant.From(c.Request.Context())
	return a.shell.ReadAuditForm(c, a.locale(c), t.Location(), func(email string) (id uuid.UUID, err error) {
		err = a.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
			return tx.NewRaw(`SELECT coalesce((SELECT id FROM operators WHERE email = ?), gen_random_uuid())`, email).Scan(ctx, &id)
		})
		return id, err
	})
}

func (a *Admin) audit(c *gin.Context) error {
	form, f, errs, err := a.auditFilter(c)
	if err != nil {
		return err
	}
	p := &console.AuditPage{Path: "/admin/audit", CSV: "/admin/audit.csv", Form: form, Errors: errs}
	f.Limit = auditPage
	var lines []authz.Line
	var acts, kinds []string
	err = a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		if lines, err = authz.Log(ctx, tx, f); err != nil {
			return err
		}
		if acts, err = authz.Acts(ctx, tx, tenant.Nil); err != nil {
			return err
		}
		if kinds, err = authz.Kinds(ctx, tx, tenant.Nil); err != nil {
			return err
		}
		p.State, err = chain.Read(ctx, tx, tenant.Nil)
		return err
	})
	if err != nil {
		return err
	}
	q := c.Request.URL.Query()
	p.Acts = a.shell.AuditActs(a.locale(c), form.Act, acts)
	p.Kinds = a.shell.AuditKinds(a.locale(c), form.Kind, kinds)
	p.Lines = a.shell.AuditLines(a.locale(c), lines, q, tenant.From(c.Request.Context()).Location(), nil)
	p.Pages(lines, auditPage, q)
	status := http.StatusOK
	if len(errs) > 0 {
		status = http.StatusUnprocessableEntity
	}
	return a.render(c, status, "audit", a.t(c, "admin.nav.audit"), p)
}

func (a *Admin) auditCSV(c *gin.Context) error {
	_, f, _, err := a.auditFilter(c)
	if err != nil {
		return err
	}
	slug := tenant.From(c.Request.Context()).Slug
	return a.shell.AuditCSV(c, a.locale(c), slug+"-audit", f, nil, func(f authz.LogFilter) (lines []authz.Line, err error) {
		err = a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
			lines, err = authz.Log(ctx, tx, f)
			return err
		})
		return lines, err
	})
}
