package admin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/domains/redirects"
	"shingle/internal/fault"
	"shingle/tenant"
	"shingle/web/console"
	"shingle/web/route"
)

// redirectRoutes are the pages of the board's old addresses.
func (a *Admin) redirectRoutes() []route.Route {
	const GET, POST = route.GET, route.POST
	can := authz.Can
	return []route.Route{
		{Method: GET, Path: "/admin/redirects", Handle: a.redirects, Can: can("redirect", "read")},
		{Method: POST, Path: "/admin/redirects", Handle: a.saveRedirect, Can: can("redirect", "write")},
		{Method: POST, Path: "/admin/redirects/check", Handle: a.checkRedirects, Can: can("redirect", "write"), Body: 3*redirects.MaxCSV + 1<<20},
		{Method: POST, Path: "/admin/redirects/import", Handle: a.importRedirects, Can: can("redirect", "write"), Body: 3*redirects.MaxCSV + 1<<20},
		{Method: GET, Path: "/admin/redirects/:id", Handle: a.redirect, Can: can("redirect", "read")},
		{Method: POST, Path: "/admin/redirects/:id", Handle: a.saveRedirect, Can: can("redirect", "write")},
		{Method: POST, Path: "/admin/redirects/:id/delete", Handle: a.deleteRedirect, Can: can("redirect", "write")},
		{Method: POST, Path: "/admin/redirects/:id/restore", Handle: a.restoreRedirect, Can: can("redirect", "write")},
	}
}

const redirectsPerPage = 50

// redirectForm is what was typed.
type redirectForm struct{ ID, Source, Target, Status string }

func (a *Admin) redirects(c *gin.Context) error {
	return a.showRedirects(c, redirectForm{Status: "301"}, "", nil)
}

func (a *Admin) showRedirects(c *gin.Context, f redirectForm, text string, cause error) error {
	var list []redirects.Redirect
	total, page := 0, route.Page(c)
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		list, total, err = a.Redirects.List(ctx, tx, c.Query("q"), page, redirectsPerPage)
		return err
	})
	if err != nil {
		return err
	}
	return a.render(c, statusOf(cause), "redirects", a.t(c, "redirect.title"), map[string]any{"List": list, "Q": c.Query("q"), "F": f, "Text": text, "Errors": a.errors(c, cause),
		"Statuses": a.statusOptions(c), "Total": total, "CanWrite": a.may(c, "redirect", "write"), "Pager": console.Pager(page, redirectsPerPage, total, c.Request.URL.Query())})
}

func (a *Admin) statusOptions(c *gin.Context) []console.Option {
	return []console.Option{{Value: "301", Label: a.t(c, "redirect.status.301")}, {Value: "302", Label: a.t(c, "redirect.status.302")}, {Value: "410", Label: a.t(c, "redirect.status.410")}}
}

func (a *Admin) redirect(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	var r *redirects.Redirect
	err = a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		r, err = a.Redirects.ByID(ctx, tx, id)
		return err
	})
	if err != nil {
		return err
	}
	return a.showRedirect(c, redirectForm{ID: id.String(), Source: r.From(), Target: r.Target, Status: strconv.Itoa(r.Status)}, nil)
}

func (a *Admin) showRedirect(c *gin.Context, f redirectForm, cause error) error {
	return a.renderUnder(c, statusOf(cause), "redirect", f.Source, console.Link{Label: a.t(c, "redirect.title"), URL: "/admin/redirects"},
		map[string]any{"F": f, "Errors": a.errors(c, cause), "Statuses": a.statusOptions(c), "CanWrite": a.may(c, "redirect", "write")})
}

// ownHosts are the board's hosts, whose URLs are the board's own paths.
func (a *Admin) ownHosts(ctx context.Context, tx bun.IDB) (hosts []string, err error) {
	t := tenant.From(ctx)
	err = tx.NewRaw(`SELECT host FROM hosts WHERE board_id = ? AND verified_at IS NOT NULL`, t.ID).Scan(ctx, &hosts)
	return hosts, err
}

func (a *Admin) saveRedirect(c *gin.Context) error {
	f := redirectForm{ID: c.Param("id"), Source: c.PostForm("source"), Target: c.PostForm("target"), Status: c.PostForm("status")}
	var id uuid.UUID
	if f.ID != "" {
		var err error
		if id, err = pathID(c); err != nil {
			return err
		}
	}
	status, err := strconv.Atoi(f.Status)
	if err != nil {
		status = -1
	}
	external := false
	err = a.act(c, authz.Act{Act: "redirect.saved", ObjectKind: "redirect", ObjectID: strings.TrimSpace(f.Source), Detail: map[string]any{"status": status}}, func(ctx context.Context, tx bun.IDB) error {
		hosts, err := a.ownHosts(ctx, tx)
		if err != nil {
			return err
		}
		r, err := redirects.Parse(f.Source, f.Target, status, hosts)
		if err != nil {
			return err
		}
		r.ID, external = id, r.External()
		return a.Redirects.Save(ctx, tx, r)
	})
	switch {
	case refused(err) && f.ID != "":
		return a.showRedirect(c, f, err)
	case refused(err):
		return a.showRedirects(c, f, "", err)
	case err != nil:
		return err
	case external:
		return a.back(c, "/admin/redirects", "redirect.saved_external")
	}
	return a.back(c, "/admin/redirects", "redirect.saved")
}

func (a *Admin) deleteRedirect(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	err = a.act(c, authz.Act{Act: "redirect.deleted", ObjectKind: "redirect", ObjectID: id.String()}, func(ctx context.Context, tx bun.IDB) error { return a.Redirects.Delete(ctx, tx, id) })
	if err != nil {
		return err
	}
	return a.back(c, "/admin/redirects?undo=/admin/redirects/"+id.String()+"/restore", "redirect.deleted")
}

func (a *Admin) restoreRedirect(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	err = a.act(c, authz.Act{Act: "redirect.restored", ObjectKind: "redirect", ObjectID: id.String()}, func(ctx context.Context, tx bun.IDB) error { return a.Redirects.Restore(ctx, tx, id) })
	if refused(err) {
		return a.showRedirects(c, redirectForm{Status: "301"}, "", err)
	}
	if err != nil {
		return err
	}
	return a.back(c, "/admin/redirects", "redirect.restored")
}

// redirectMap is the uploaded file, or else the pasted text.
func redirectMap(c *gin.Context) (string, error) {
	if err := c.Request.ParseMultipartForm(1 << 20); err != nil && !errors.Is(err, http.ErrNotMultipart) {
		return "", fault.Invalids(fault.Fields{"file": "redirect.csv.large"})
	}
	if f, _, err := c.Request.FormFile("file"); err == nil {
		defer func() { _ = f.Close() }()
		raw, err := io.ReadAll(io.LimitReader(f, redirects.MaxCSV+1))
		if err != nil {
			return "", err
		}
		if bytes.IndexByte(raw, 0) >= 0 {
			return "", fault.Invalids(fault.Fields{"file": "redirect.csv.binary"})
		}
		if len(bytes.TrimSpace(raw)) > 0 {
			return strings.ToValidUTF8(string(raw), "�"), nil
		}
	}
	text := strings.ReplaceAll(c.PostForm("text"), "\x00", "")
	if strings.TrimSpace(text) == "" {
		return "", fault.Invalids(fault.Fields{"file": "redirect.csv.none"})
	}
	return text, nil
}

// checkRedirects is the dry run: it shows line by line what would happen.
func (a *Admin) checkRedirects(c *gin.Context) error {
	text, err := redirectMap(c)
	var rep *redirects.Report
	if err == nil {
		err = a.DB.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
			hosts, err := a.ownHosts(ctx, tx)
			if err != nil {
				return err
			}
			rep, err = a.Redirects.Check(ctx, tx, text, hosts)
			return err
		})
	}
	if refused(err) {
		return a.showRedirects(c, redirectForm{Status: "301"}, c.PostForm("text"), err)
	}
	if err != nil {
		return err
	}
	shown, more := rep.Lines, 0
	if len(shown) > 500 { // those with something to say first
		shown = nil
		for _, l := range rep.Lines {
			if l.State == "bad" && len(shown) < 500 {
				shown = append(shown, l)
			}
		}
		for _, l := range rep.Lines {
			if l.State != "bad" && len(shown) < 500 {
				shown = append(shown, l)
			}
		}
		more = len(rep.Lines) - len(shown)
	}
	return a.renderUnder(c, http.StatusOK, "redirect_report", a.t(c, "redirect.csv.report"), console.Link{Label: a.t(c, "redirect.title"), URL: "/admin/redirects"},
		map[string]any{"R": rep, "Lines": shown, "More": more, "Text": text})
}

func (a *Admin) importRedirects(c *gin.Context) error {
	text, err := redirectMap(c)
	var rep *redirects.Report
	if err == nil {
		detail := map[string]any{}
		err = a.act(c, authz.Act{Act: "redirect.imported", ObjectKind: "board", ObjectID: tenant.From(c.Request.Context()).ID.String(), Detail: detail}, func(ctx context.Context, tx bun.IDB) error {
			hosts, err := a.ownHosts(ctx, tx)
			if err != nil {
				return err
			}
			if rep, err = a.Redirects.Import(ctx, tx, text, hosts); err == nil {
				detail["good"], detail["bad"] = rep.Good, rep.Bad
			}
			return err
		})
	}
	if refused(err) {
		return a.showRedirects(c, redirectForm{Status: "301"}, c.PostForm("text"), err)
	}
	if err != nil {
		return err
	}
	return a.back(c, "/admin/redirects?n="+strconv.Itoa(rep.Good), "redirect.imported")
}
