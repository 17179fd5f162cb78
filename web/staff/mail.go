package staff

import (
	"context"
	"encoding/csv"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/internal/fault"
	"shingle/listings"
	"shingle/mail"
	"shingle/web/console"
	"shingle/web/route"
)

func mailFilter(c *gin.Context) mail.LogFilter {
	f := mail.LogFilter{State: c.Query("state"), Address: strings.TrimSpace(c.Query("address")), Page: route.Page(c), Size: pageSize}
	if !slices.Contains(mail.States, f.State) {
		f.State = ""
	}
	return f
}

// mail is the mail log of all boards and of the platform itself: to whom, what
// kind, when and what became of it; never what it said.
func (s *Staff) mail(c *gin.Context) error {
	f := mailFilter(c)
	rows, more, err := s.mailRows(c, f)
	if err != nil {
		return err
	}
	states := []console.Option{{Label: s.t(c, "staff.boards.any_state")}}
	for _, state := range mail.States {
		states = append(states, console.Option{Value: state, Label: s.t(c, "mail.state."+state), Selected: state == f.State})
	}
	return s.render(c, http.StatusOK, "mail", s.t(c, "staff.nav.mail"), map[string]any{"Rows": rows, "F": f, "States": states, "Query": c.Request.URL.Query(), "More": more})
}

func (s *Staff) mailRows(c *gin.Context, f mail.LogFilter) (rows []mail.Entry, more bool, err error) {
	err = s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		rows, more, err = mail.LogOfAll(ctx, tx, f)
		return err
	})
	return rows, more, err
}

func (s *Staff) mailCSV(c *gin.Context) error {
	f := mailFilter(c)
	f.Page, f.Size = 1, maxExport
	rows, _, err := s.mailRows(c, f)
	if err != nil {
		return err
	}
	c.Header("Content-Disposition", `attachment; filename="mail.csv"`)
	c.Header("Content-Type", "text/csv; charset=utf-8")
	c.Status(http.StatusOK)
	w := csv.NewWriter(c.Writer)
	stamp := func(t *time.Time) string {
		if t == nil {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	_ = w.Write([]string{"written", "sent", "returned", "board", "to", "kind", "state", "note"})
	for i := range rows {
		r := &rows[i]
		line := []string{stamp(&r.Created), stamp(r.Sent), stamp(r.Returned), r.Board, r.Recipient, r.Kind, r.State, r.Error}
		for j := range line {
			line[j] = listings.CSVCell(line[j])
		}
		if err := w.Write(line); err != nil {
			return nil // the reader is gone; the answer has begun
		}
	}
	w.Flush()
	return nil
}

// suppressed lists whom the platform's own mail does not reach any more:
// operators whose mailbox sent it back, or who called it unwanted.
func (s *Staff) suppressed(c *gin.Context) error {
	page := route.Page(c)
	var rows []mail.Suppression
	var total int
	err := s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		rows, total, err = mail.Suppressions(ctx, tx, page, pageSize)
		return err
	})
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, "mail_suppressed", s.t(c, "staff.mail.suppressed"), map[string]any{"Rows": rows,
		"CanLift": s.Allowed(c, authz.Can("mail", "write")), "Pager": console.Pager(page, pageSize, total, c.Request.URL.Query())}, s.csvLink(c, "/staff/mail/suppressed.csv"))
}

func (s *Staff) liftSuppression(c *gin.Context) error {
	address := c.PostForm("address")
	err := s.Platform.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		if err := mail.Lift(ctx, tx, address); err != nil {
			return err
		}
		return authz.Record(ctx, tx, authz.Act{Act: "mail.suppression_lifted", ObjectKind: "address", Personal: map[string]any{"address": strings.ToLower(address)}})
	})
	if err != nil && !fault.Is(err, fault.NotFound) { // lifted by a colleague meanwhile
		return err
	}
	return route.SeeOther(c, "/staff/mail/suppressed?ok=mail.lifted")
}
