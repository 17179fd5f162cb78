package staff

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/authz/chain"
	"shingle/tenant"
	"shingle/web/console"
	"shingle/web/route"
)

// auditRoutes are the pages of every log of acts.
func (s *Staff) auditRoutes() []route.Route {
	return []route.Route{
		{Method: route.GET, Path: "/staff/audit", Handle: s.audit, Can: authz.Can("audit", "read")},
		{Method: route.GET, Path: "/staff/audit.csv", Handle: route.Download(s.Limits, s.auditCSV), Can: authz.Can("audit", "read"), StepUp: true},
	}
}

// auditPage is how many lines a page shows.
const auditPage = 50

// auditFilter reads the filter and whose log it is: the platform's own, all, or
// the board's of a slug.
func (s *Staff) auditFilter(c *gin.Context) (console.AuditForm, authz.LogFilter, map[string]string, error) {
	ctx := c.Request.Context()
	form, f, errs, err := s.shell.ReadAuditForm(c, s.locale(c), time.UTC, func(email string) (id uuid.UUID, err error) {
		err = s.Platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
			return tx.NewRaw(`SELECT coalesce((SELECT id FROM operators WHERE email = ?), gen_random_uuid())`, email).Scan(ctx, &id)
		})
		return id, err
	})
	if err != nil {
		return form, f, errs, err
	}
	if form.Board == "" {
		f.Everywhere = form.Scope == "all"
		return form, f, errs, nil
	}
	err = s.Platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT coalesce((SELECT id FROM boards WHERE slug = ? OR id::text = ?), ?::uuid)`, form.Board, form.Board, tenant.Nil).Scan(ctx, &f.Board)
	})
	if err == nil && f.Board.IsNil() {
		errs["board"] = s.t(c, "audit.no_board")
	}
	return form, f, errs, err
}

// auditBoards names the boards of lines.
func auditBoards(ctx context.Context, tx bun.IDB, lines []authz.Line, names map[tenant.ID]string) error {
	var ids []tenant.ID
	for _, l := range lines {
		if _, known := names[l.TenantID]; !known && !l.TenantID.IsNil() {
			ids, names[l.TenantID] = append(ids, l.TenantID), ""
		}
	}
	if len(ids) == 0 {
		return nil
	}
	var rows []struct {
		ID   tenant.ID `bun:"id"`
		Name string    `bun:"name"`
	}
	err := tx.NewRaw(`SELECT id, name FROM boards WHERE id IN (?)`, bun.In(ids)).Scan(ctx, &rows)
	for _, r := range rows {
		names[r.ID] = r.Name
	}
	return err
}

func (s *Staff) audit(c *gin.Context) error {
	form, f, errs, err := s.auditFilter(c)
	if err != nil {
		return err
	}
	p := &console.AuditPage{Path: "/staff/audit", CSV: "/staff/audit.csv", Form: form, Errors: errs, Boards: f.Everywhere}
	f.Limit = auditPage
	var lines []authz.Line
	var acts, kinds []string
	var names map[tenant.ID]string
	if len(errs) == 0 {
		err = s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
			if lines, err = authz.Log(ctx, tx, f); err != nil {
				return err
			}
			if f.Everywhere {
				names = map[tenant.ID]string{}
				return auditBoards(ctx, tx, lines, names)
			}
			if acts, err = authz.Acts(ctx, tx, f.Board); err != nil {
				return err
			}
			if kinds, err = authz.Kinds(ctx, tx, f.Board); err != nil {
				return err
			}
			p.State, err = chain.Read(ctx, tx, f.Board)
			return err
		})
		if err != nil {
			return err
		}
	}
	q := c.Request.URL.Query()
	p.Acts = s.shell.AuditActs(s.locale(c), form.Act, acts)
	p.Kinds = s.shell.AuditKinds(s.locale(c), form.Kind, kinds)
	p.Lines = s.shell.AuditLines(s.locale(c), lines, q, time.UTC, names)
	p.Scope = []console.Option{{Value: "", Label: s.t(c, "audit.platform"), Selected: form.Scope != "all"}, {Value: "all", Label: s.t(c, "audit.all"), Selected: form.Scope == "all"}}
	p.Pages(lines, auditPage, q)
	status := http.StatusOK
	if len(errs) > 0 {
		status = http.StatusUnprocessableEntity
	}
	return s.render(c, status, "audit", s.t(c, "staff.nav.audit"), p)
}

func (s *Staff) auditCSV(c *gin.Context) error {
	_, f, _, err := s.auditFilter(c)
	if err != nil {
		return err
	}
	names := map[tenant.ID]string{}
	return s.shell.AuditCSV(c, s.locale(c), "audit", f, names, func(f authz.LogFilter) (lines []authz.Line, err error) {
		err = s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
			if lines, err = authz.Log(ctx, tx, f); err != nil {
				return err
			}
			return auditBoards(ctx, tx, lines, names)
		})
		return lines, err
	})
}
