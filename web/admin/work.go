package admin

import (
	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"strings"

	"shingle/accounts"
	"shingle/authz"
	"shingle/internal/fault"
	"shingle/listings"
	"shingle/web/console"
	"shingle/web/route"
)

// pageSize is how many rows a list shows.
const pageSize = 50

// workRoutes are the pages of the daily work: what is on the board and what
// somebody must decide.
func (a *Admin) workRoutes() []route.Route {
	const GET, POST = route.GET, route.POST
	can := authz.Can
	return []route.Route{
		{Method: GET, Path: "/admin", Handle: a.dashboard, Can: can("board", "read")},
		{Method: POST, Path: "/admin/launch/dismiss", Handle: a.dismissLaunch, Can: can("settings", "write")},

		{Method: GET, Path: "/admin/review", Handle: a.reviewQueue, Can: can("listing", "moderate")},
		{Method: GET, Path: "/admin/review/:id", Handle: a.reviewItem, Can: can("listing", "moderate")},
		{Method: POST, Path: "/admin/review/:id/approve", Handle: a.approve, Can: can("listing", "moderate")},
		{Method: POST, Path: "/admin/review/:id/send-back", Handle: a.sendBack, Can: can("listing", "moderate")},
		{Method: POST, Path: "/admin/review/:id/reject", Handle: a.reject, Can: can("listing", "moderate")},
		{Method: POST, Path: "/admin/revisions/:id/approve", Handle: a.approveRevision, Can: can("listing", "moderate")},
		{Method: POST, Path: "/admin/revisions/:id/refuse", Handle: a.refuseRevision, Can: can("listing", "moderate")},

		{Method: GET, Path: "/admin/listings", Handle: a.listings, Can: can("listing", "read")},
		{Method: GET, Path: "/admin/listings.csv", Handle: route.Download(a.Limits, a.listingsCSV), Can: can("listing", "read"), StepUp: true},
		{Method: POST, Path: "/admin/listings/bulk", Handle: a.bulk, Can: can("listing", "write")},
		{Method: GET, Path: "/admin/listings/new", Handle: a.newListing, Can: can("listing", "write")},
		{Method: POST, Path: "/admin/listings", Handle: a.createListing, Can: can("listing", "write")},
		{Method: GET, Path: "/admin/listings/:id", Handle: a.listing, Can: can("listing", "read")},
		{Method: GET, Path: "/admin/listings/:id/preview", Handle: a.previewListing, Can: can("listing", "read")},
		{Method: GET, Path: "/admin/listings/:id/edit", Handle: a.editListing, Can: can("listing", "write")},
		{Method: POST, Path: "/admin/listings/:id/edit", Handle: a.saveListing, Can: can("listing", "write")},
		{Method: POST, Path: "/admin/listings/:id/act", Handle: a.actOnListing, Can: can("listing", "write")},
		{Method: POST, Path: "/admin/listings/:id/remove", Handle: a.removeListing, Can: can("listing", "delete")},
		{Method: POST, Path: "/admin/listings/:id/restore", Handle: a.restoreListing, Can: can("listing", "delete")},

		{Method: GET, Path: "/admin/imports", Handle: a.imports, Can: can("import", "read")},
		{Method: GET, Path: "/admin/imports/template.csv", Handle: route.Download(a.Limits, a.importTemplate), Can: can("import", "read")},
		{Method: POST, Path: "/admin/imports", Handle: a.checkImport, Can: can("import", "write"), Body: listings.MaxImportBytes + 1<<20},
		{Method: GET, Path: "/admin/imports/:id", Handle: a.importReport, Can: can("import", "read")},
		{Method: POST, Path: "/admin/imports/:id/run", Handle: a.runImport, Can: can("import", "write")},
		{Method: POST, Path: "/admin/imports/:id/discard", Handle: a.discardImport, Can: can("import", "write")},

		{Method: GET, Path: "/admin/reports", Handle: a.reports, Can: can("report", "read")},
		{Method: POST, Path: "/admin/reports/:id/uphold", Handle: a.upholdReport, Can: can("report", "write")},
		{Method: POST, Path: "/admin/reports/:id/dismiss", Handle: a.dismissReport, Can: can("report", "write")},

		{Method: GET, Path: "/admin/companies", Handle: a.companies, Can: can("company", "read")},
		{Method: GET, Path: "/admin/companies/:id", Handle: a.company, Can: can("company", "read")},
		{Method: POST, Path: "/admin/companies/:id", Handle: a.saveCompany, Can: can("company", "write"), Body: listings.MaxLogo + 1<<20},

		{Method: GET, Path: "/admin/categories", Handle: a.categories, Can: can("category", "read")},
		{Method: POST, Path: "/admin/categories", Handle: a.createCategory, Can: can("category", "write")},
		{Method: POST, Path: "/admin/categories/:id", Handle: a.renameCategory, Can: can("category", "write")},
		{Method: POST, Path: "/admin/categories/:id/delete", Handle: a.deleteCategory, Can: can("category", "write")},
	}
}

// pathID is the id of the address; anything else is nothing that we have.
func pathID(c *gin.Context) (uuid.UUID, error) {
	id, err := uuid.Parse(c.Param("id"))
	if err != nil {
		return uuid.Nil, fault.New(fault.NotFound, "no such page")
	}
	return id, nil
}

// formBack is where a form was, or the fallback.
func formBack(c *gin.Context, fallback string) string {
	return accounts.LocalPath(c.PostForm("back"), fallback)
}

// choices are the options of a select, with their words.
func (a *Admin) choices(c *gin.Context, prefix string, values []string) []console.Option {
	out := make([]console.Option, len(values))
	for i, v := range values {
		out[i] = console.Option{Value: v, Label: a.t(c, prefix+v)}
	}
	return out
}

// fieldErrors are a refused form's texts in the console's words.
func (a *Admin) fieldErrors(c *gin.Context, err error) map[string]string {
	out := a.errors(c, err)
	if fault.Is(err, fault.Conflict) && len(fault.FieldsOf(err)) == 0 && !strings.HasPrefix(fault.TextOf(err), "plan.") {
		key := "work.conflict"
		if fault.TextOf(err) == listings.MsgChanged {
			key = "work.review.changed"
		}
		out["form"] = a.t(c, key)
	}
	return out
}
