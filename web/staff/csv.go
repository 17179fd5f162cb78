package staff

import (
	"context"
	"encoding/csv"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/authz"
	"shingle/billing/plans"
	"shingle/listings"
	"shingle/mail"
	"shingle/tenant"
	"shingle/web/console"
)

// maxExport bounds a file: who wants more narrows the list.
const maxExport = 50_000

// file is a list as a table, for its CSV: cells are made safe for spreadsheets
// when they are written.
type file struct {
	name string
	rows [][]string
}

func newFile(name string, header ...string) *file { return &file{name, [][]string{header}} }

func (f *file) add(cells ...string) { f.rows = append(f.rows, cells) }

// send answers the table as a download.
func (f *file) send(c *gin.Context) error {
	c.Header("Content-Disposition", `attachment; filename="`+f.name+`.csv"`)
	c.Header("Content-Type", "text/csv; charset=utf-8")
	c.Status(http.StatusOK)
	w := csv.NewWriter(c.Writer)
	for _, row := range f.rows {
		for i, cell := range row {
			row[i] = listings.CSVCell(cell)
		}
		if err := w.Write(row); err != nil {
			return nil // the reader is gone; the answer has begun
		}
	}
	w.Flush()
	return nil
}

// stamp is a time in a file: UTC, ISO 8601; "" for none.
func stamp(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// csvLink is the list's button: the same filter as a file.
func (s *Staff) csvLink(c *gin.Context, path string) console.Link {
	q := c.Request.URL.Query()
	for _, k := range []string{"page", "before", "ok", "n"} {
		q.Del(k)
	}
	if e := q.Encode(); e != "" {
		path += "?" + e
	}
	return console.Link{Label: s.t(c, "shell.csv"), URL: path, Icon: "download"}
}

func (s *Staff) plansCSV(c *gin.Context) error {
	var list []plans.Plan
	err := s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		list, err = s.Plans.All(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	out := newFile("plans", "id", "name", "listed", "archived", "trial_days", "boards", "every", "currency", "amount_minor")
	for i := range list {
		p := &list[i]
		line := []string{p.ID.String(), p.Name, strconv.FormatBool(p.Listed), stamp(p.ArchivedAt), strconv.Itoa(p.TrialDays), strconv.Itoa(p.Boards)}
		for _, q := range p.Prices {
			out.add(append(slices.Clone(line), q.Every, q.Currency, strconv.FormatInt(q.Amount, 10))...)
		}
		if len(p.Prices) == 0 {
			out.add(append(line, "", "", "")...)
		}
	}
	return out.send(c)
}

func (s *Staff) teamCSV(c *gin.Context) error {
	var members []authz.Member
	var open []accounts.Invitation
	err := s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		if members, err = authz.Members(ctx, tx, tenant.Nil); err != nil {
			return err
		}
		open, err = s.Operators.Invitations(ctx, tx, tenant.Nil)
		return err
	})
	if err != nil {
		return err
	}
	out := newFile("staff", "address", "name", "roles", "signed_in", "invited_until")
	for i := range members {
		m := &members[i]
		out.add(m.Email, m.Name, strings.Join(m.Roles, " "), stamp(&m.SignedInAt.Time), "")
	}
	for i := range open {
		out.add(open[i].Email, "", open[i].Role, "", stamp(&open[i].Expires))
	}
	return out.send(c)
}

func (s *Staff) suppressedCSV(c *gin.Context) error {
	var rows []mail.Suppression
	err := s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		rows, _, err = mail.Suppressions(ctx, tx, 1, maxExport)
		return err
	})
	if err != nil {
		return err
	}
	out := newFile("suppressed", "address", "reason", "note", "since")
	for i := range rows {
		out.add(rows[i].Address, rows[i].Reason, rows[i].Note, stamp(&rows[i].Created))
	}
	return out.send(c)
}
