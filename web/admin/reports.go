package admin

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/candidates"
	"shingle/internal/fault"
	"shingle/listings"
	"shingle/web/console"
	"shingle/web/route"
)

// reportStates in the order of the filter.
func reportStates() []string { return []string{"open", "upheld", "dismissed"} }

func (a *Admin) reports(c *gin.Context) error { return a.showReports(c, nil) }

// showReports lists complaints, open ones first.
func (a *Admin) showReports(c *gin.Context, cause error) error {
	page, state := route.Page(c), c.Query("state")
	if !slices.Contains(reportStates(), state) {
		state = ""
	}
	var rows []candidates.Report
	var total int
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		rows, total, err = a.Candidates.Reports(ctx, tx, state, page, pageSize)
		return err
	})
	if err != nil {
		return err
	}
	states := append([]console.Option{{Label: a.t(c, "work.reports.any_state")}}, a.choices(c, "work.report_state.", reportStates())...)
	for i := range states {
		states[i].Selected = states[i].Value == state
	}
	return a.render(c, statusOf(cause), "reports", a.t(c, "admin.nav.reports"), map[string]any{"Rows": rows, "States": states, "State": state, "Errors": a.fieldErrors(c, cause),
		"Tried": c.GetString(triedKey), "Note": c.PostForm("note"), "CanWrite": a.may(c, "report", "write"), "Pager": console.Pager(page, pageSize, total, c.Request.URL.Query())})
}

// upholdReport takes the listing away that the complaint is about, in the same
// transaction.
func (a *Admin) upholdReport(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	note := strings.TrimSpace(c.PostForm("note"))
	if note == "" || len([]rune(note)) > 2000 {
		c.Set(triedKey, id.String())
		return a.showReports(c, fault.Invalids(fault.Fields{"note": "work.reports.note"}))
	}
	listing := uuid.Nil
	err = a.act(c, authz.Act{Act: "report.upheld", ObjectKind: "report", ObjectID: id.String()}, func(ctx context.Context, tx bun.IDB) error {
		r, err := a.Candidates.DecideReport(ctx, tx, id, "upheld")
		if err != nil {
			return err
		}
		l, err := a.Listings.ByID(ctx, tx, r.ListingID)
		if err != nil || l.State == listings.Removed {
			return err
		}
		listing = l.ID
		if _, err = a.Listings.Remove(ctx, tx, l.ID, note); err != nil {
			return err
		}
		return authz.Record(ctx, tx, authz.Act{Act: "listing.removed", ObjectKind: "listing", ObjectID: l.ID.String(), Detail: map[string]any{"report": id.String()}})
	})
	if err != nil {
		return err
	}
	to := "/admin/reports"
	if listing != uuid.Nil && a.may(c, "listing", "delete") {
		to += "?undo=" + url.QueryEscape("/admin/listings/"+listing.String()+"/restore")
	}
	return a.back(c, to, "report.upheld")
}

func (a *Admin) dismissReport(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	err = a.act(c, authz.Act{Act: "report.dismissed", ObjectKind: "report", ObjectID: id.String()}, func(ctx context.Context, tx bun.IDB) error {
		_, err := a.Candidates.DecideReport(ctx, tx, id, "dismissed")
		return err
	})
	if err != nil {
		return err
	}
	return a.back(c, "/admin/reports", "report.dismissed")
}
