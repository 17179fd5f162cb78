package admin

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/billing/plans"
	"shingle/internal/fault"
	"shingle/listings"
	"shingle/tenant"
	"shingle/web/console"
)

func (a *Admin) imports(c *gin.Context) error { return a.showImports(c, nil) }

// showImports is the form of a new import and the ones before.
func (a *Admin) showImports(c *gin.Context, cause error) error {
	var rows []importRow
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		rows, err = readImports(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	return a.render(c, statusOf(cause), "import", a.t(c, "work.import.title"), map[string]any{"Rows": rows, "Errors": a.fieldErrors(c, cause), "Text": c.PostForm("text"),
		"Columns": listings.Columns(), "Max": number(a.locale(c), listings.MaxImport), "CanWrite": a.may(c, "import", "write")})
}

// importTemplate is a file with the columns and one line to begin from.
func (a *Admin) importTemplate(c *gin.Context) error {
	t := tenant.From(c.Request.Context())
	sample := map[string]string{listings.FieldTitle: a.t(c, "work.import.sample_title"), listings.FieldCompany: a.t(c, "work.import.sample_company"),
		listings.FieldEmployment: listings.FullTime, listings.FieldWorkplace: listings.OnSite, listings.FieldPlaces: a.t(c, "work.import.sample_place"),
		listings.FieldSalaryMin: "48000", listings.FieldSalaryMax: "56000", listings.FieldSalaryCurrency: t.Currency, listings.FieldSalaryPeriod: "year",
		listings.FieldDescription: a.t(c, "work.import.sample_description"), listings.FieldApplyMethod: listings.ApplyBoard, listings.FieldReference: "REF-1"}
	row := make([]string, 0, len(listings.Columns()))
	for _, name := range listings.Columns() {
		row = append(row, sample[name])
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	if err := w.WriteAll([][]string{listings.Columns(), row}); err != nil {
		return err
	}
	c.Header("Content-Disposition", `attachment; filename="listings.csv"`)
	c.Data(http.StatusOK, "text/csv; charset=utf-8", b.Bytes())
	return nil
}

// importFile is what was uploaded, or else pasted.
func importFile(c *gin.Context) (name, content string, err error) {
	if err := c.Request.ParseMultipartForm(1 << 20); err != nil && !errors.Is(err, http.ErrNotMultipart) {
		var big *http.MaxBytesError
		if errors.As(err, &big) {
			return "", "", fault.Invalids(fault.Fields{"file": "work.import.large"})
		}
		return "", "", fault.Wrap(err, fault.Invalid, "the form could not be read")
	}
	if f, head, err := c.Request.FormFile("file"); err == nil {
		defer func() { _ = f.Close() }()
		raw, err := io.ReadAll(io.LimitReader(f, listings.MaxImportBytes+1))
		if err != nil {
			return "", "", err
		}
		if len(raw) > listings.MaxImportBytes {
			return "", "", fault.Invalids(fault.Fields{"file": "work.import.large"})
		}
		if bytes.IndexByte(raw, 0) >= 0 {
			return "", "", fault.Invalids(fault.Fields{"file": "work.import.binary"})
		}
		if len(bytes.TrimSpace(raw)) > 0 {
			return head.Filename, string(raw), nil
		}
	}
	text := c.PostForm("text")
	if strings.TrimSpace(text) == "" {
		return "", "", fault.Invalids(fault.Fields{"file": "work.import.none"})
	}
	return "", strings.ReplaceAll(text, "\x00", ""), nil
}

// checkImport is the dry run: it keeps the file with what is wrong in it and
// makes no listing.
func (a *Admin) checkImport(c *gin.Context) error {
	name, content, err := importFile(c)
	if name == "" {
		name = a.t(c, "work.import.pasted")
	}
	var im *listings.Import
	if err == nil {
		err = storageAt("file", a.Plans.Stow(c.Request.Context(), int64(len(content))))
	}
	if err == nil {
		t := tenant.From(c.Request.Context())
		err = a.DB.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
			im, err = a.Listings.StartImport(ctx, tx, name, content, listings.Rules{Locale: t.Locale, Currency: t.Currency, Country: t.Country})
			if err != nil {
				return err
			}
			return authz.Record(ctx, tx, authz.Act{Act: "import.checked", ObjectKind: "import", ObjectID: im.ID.String(),
				Detail: map[string]any{"good": im.Report.Good, "bad": im.Report.Bad}})
		})
	}
	if refused(err) {
		return a.showImports(c, err)
	}
	if err != nil {
		return err
	}
	return a.back(c, "/admin/imports/"+im.ID.String(), "import.checked")
}

// problem is what is wrong in one column of a line.
type problem struct{ Column, Text string }

// line is a line of the report in words.
type line struct {
	N        int
	Title    string
	State    string // good, bad, known
	Problems []problem
}

// reportLines is how many lines of one kind a report shows.
const reportLines = 200

func (a *Admin) importReport(c *gin.Context) error { return a.showReport(c, nil) }

func (a *Admin) showReport(c *gin.Context, cause error) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	var im *listings.Import
	err = a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		im, err = a.Listings.ImportByID(ctx, tx, id)
		return err
	})
	if err != nil {
		return err
	}
	show := c.Query("show")
	if !slices.Contains([]string{"good", "bad", "known"}, show) {
		show = ""
	}
	var lines []line
	more := 0
	for i := range im.Report.Lines {
		l := a.line(c, &im.Report.Lines[i])
		if show != "" && l.State != show {
			continue
		}
		if len(lines) == reportLines {
			more++
			continue
		}
		lines = append(lines, l)
	}
	p := a.page(c, im.Name)
	p.Crumbs = []console.Link{{Label: a.t(c, "work.import.title"), URL: "/admin/imports"}}
	data := map[string]any{"I": im, "Lines": lines, "More": more, "Show": show, "Query": c.Request.URL.Query(), "Errors": a.fieldErrors(c, cause),
		"Days": c.DefaultPostForm("days", "30"), "Unknown": strings.Join(im.Report.Unknown, ", "), "CanWrite": a.may(c, "import", "write")}
	return a.shell.Render(c, statusOf(cause), "import_report", p, data)
}

// line puts a line's problems into words, in the file's order of columns.
func (a *Admin) line(c *gin.Context, in *listings.Line) line {
	out := line{N: in.N, Title: in.Title, State: "good"}
	if in.Known {
		out.State = "known"
	}
	if len(in.Problems) == 0 {
		return out
	}
	out.State = "bad"
	texts := a.fieldErrors(c, fault.Invalids(in.Problems))
	for _, name := range append([]string{"line"}, listings.Columns()...) {
		if text := texts[name]; text != "" {
			out.Problems = append(out.Problems, problem{name, text})
		}
	}
	return out
}

// runImport hands the good lines to a task; the report says when it is done.
func (a *Admin) runImport(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	n, err := days(c)
	if err == nil {
		err = a.act(c, authz.Act{Act: "import.run", ObjectKind: "import", ObjectID: id.String(), Detail: map[string]any{"days": n}}, func(ctx context.Context, tx bun.IDB) error {
			im, err := a.Listings.ImportByID(ctx, tx, id)
			if err == nil && im.State == "checked" {
				err = a.Plans.Room(ctx, tx, plans.Listings, int64(im.Report.Good))
			}
			if err != nil {
				return err
			}
			return a.Listings.RunImport(ctx, tx, id, n)
		})
	}
	if refused(err) {
		return a.showReport(c, err)
	}
	if err != nil {
		return err
	}
	return a.back(c, "/admin/imports/"+id.String(), "import.running")
}

// discardImport forgets a file that was checked only.
func (a *Admin) discardImport(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	err = a.act(c, authz.Act{Act: "import.discarded", ObjectKind: "import", ObjectID: id.String()}, func(ctx context.Context, tx bun.IDB) error {
		res, err := tx.NewDelete().Model((*listings.Import)(nil)).Where("i.id = ?", id).Where("i.state = 'checked'").Exec(ctx)
		return tenant.Touched(res, err, "import")
	})
	if err != nil {
		return err
	}
	return a.back(c, "/admin/imports", "import.discarded")
}
