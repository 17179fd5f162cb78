package admin

import (
	"context"
	"io"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/archive"
	"shingle/authz"
	"shingle/internal/fault"
	"shingle/tenant"
	"shingle/web/route"
)

// exportRoutes are the pages of the board's archives.
func (a *Admin) exportRoutes() []route.Route {
	const GET, POST = route.GET, route.POST
	can := authz.Can("board", "export")
	return []route.Route{
		{Method: GET, Path: "/admin/export", Handle: a.exports, Can: can, StepUp: true},
		{Method: POST, Path: "/admin/export", Handle: a.askExport, Can: can, StepUp: true},
		{Method: GET, Path: "/admin/export/download", Handle: a.downloadForm, Can: can, StepUp: true},
		{Method: POST, Path: "/admin/export/download", Handle: route.Download(a.Limits, a.download), Can: can, StepUp: true},
		{Method: POST, Path: "/admin/export/:id/link", Handle: a.exportLink, Can: can, StepUp: true},
		{Method: POST, Path: "/admin/export/:id/delete", Handle: a.deleteExport, Can: can, StepUp: true},
	}
}

// exportRow is an archive in the list.
type exportRow struct {
	archive.Request
	Megabytes string
	// Mine: only who asked is mailed a link.
	Mine bool
}

func (a *Admin) exports(c *gin.Context) error { return a.showExports(c, nil) }

func (a *Admin) showExports(c *gin.Context, cause error) error {
	var list []archive.Request
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		list, err = a.Archive.Requests(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	underWay := false
	rows := make([]exportRow, len(list))
	for i, r := range list {
		rows[i] = exportRow{r, megabytes(r.Size), r.AskedBy == session(c).Operator.ID}
		underWay = underWay || r.State == archive.Asked
	}
	return a.render(c, statusOf(cause), "export", a.t(c, "admin.nav.export"), map[string]any{"List": rows, "UnderWay": underWay, "Problem": a.errors(c, cause)["form"],
		"You": session(c).Operator.Email, "Days": archive.KeepDays, "Hours": archive.LinkHours})
}

// megabytes is a size with one digit, at least 0.1.
func megabytes(n int64) string {
	return strconv.FormatFloat(max(0.1, float64(n)/1e6), 'f', 1, 64)
}

func (a *Admin) askExport(c *gin.Context) error {
	o := session(c).Operator
	err := a.act(c, authz.Act{Act: "board.export_asked", ObjectKind: "board", ObjectID: tenant.From(c.Request.Context()).ID.String()}, func(ctx context.Context, tx bun.IDB) error {
		_, err := a.Archive.Ask(ctx, tx, o.ID, o.Email, o.Locale)
		return err
	})
	if refused(err) {
		return a.showExports(c, err)
	}
	if err != nil {
		return err
	}
	return a.back(c, "/admin/export", "export.asked")
}

func (a *Admin) exportLink(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	err = a.act(c, authz.Act{Act: "board.export_link", ObjectKind: "export", ObjectID: id.String()}, func(ctx context.Context, tx bun.IDB) error {
		return a.Archive.Link(ctx, tx, id, session(c).Operator.ID)
	})
	if err != nil {
		return err
	}
	return a.back(c, "/admin/export", "export.link")
}

func (a *Admin) deleteExport(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	err = a.act(c, authz.Act{Act: "board.export_deleted", ObjectKind: "export", ObjectID: id.String()}, func(ctx context.Context, tx bun.IDB) error {
		return a.Archive.Drop(ctx, tx, id)
	})
	if err != nil {
		return err
	}
	return a.back(c, "/admin/export", "export.deleted")
}

// downloadForm shows what the mailed link leads to; the button spends it.
func (a *Admin) downloadForm(c *gin.Context) error {
	var r *archive.Request
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		r, err = a.Archive.Peek(ctx, tx, c.Query("token"), session(c).Operator.ID)
		return err
	})
	if err != nil {
		return a.linkOver(c, err)
	}
	c.Header("Referrer-Policy", "no-referrer")
	return a.render(c, http.StatusOK, "export_download", a.t(c, "export.download"), map[string]any{"Token": c.Query("token"), "Row": exportRow{*r, megabytes(r.Size), true}})
}

// download spends the link and sends the archive; a fetch that broke off asks
// for another link.
func (a *Admin) download(c *gin.Context) error {
	ctx := c.Request.Context()
	t := tenant.From(ctx)
	var r *archive.Request
	err := a.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		if r, err = a.Archive.Spend(ctx, tx, c.PostForm("token"), session(c).Operator.ID); err != nil {
			return err
		}
		return authz.Record(ctx, tx, authz.Act{Act: "board.exported", ObjectKind: "export", ObjectID: r.ID.String(), Detail: map[string]any{"size": r.Size, "sha256": r.SHA256}})
	})
	if err != nil {
		return a.linkOver(c, err)
	}
	f, err := a.Archive.Open(ctx, r)
	if err != nil {
		return a.linkOver(c, err)
	}
	defer func() { _ = f.Close() }()
	h := c.Writer.Header()
	h.Set("Content-Type", "application/gzip")
	h.Set("Content-Disposition", `attachment; filename="`+t.Slug+"-"+r.CreatedAt.UTC().Format("2006-01-02")+`.tar.gz"`)
	h.Set("Content-Length", strconv.FormatInt(f.Size(), 10))
	h.Set("Cache-Control", "no-store")
	c.Status(http.StatusOK)
	_, _ = io.Copy(c.Writer, f) // who hung up asks for another link
	return nil
}

// linkOver leads who has a dead link to where they get another.
func (a *Admin) linkOver(c *gin.Context, err error) error {
	if !fault.Is(err, fault.Gone) {
		return err
	}
	return a.showExports(c, err)
}
