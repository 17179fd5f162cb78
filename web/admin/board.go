package admin

import (
	"encoding/csv"
	"net/http"

	"github.com/gin-gonic/gin"

	"shingle/authz"
	"shingle/listings"
	"shingle/tenant"
	"shingle/web/console"
	"shingle/web/route"
)

// boardRoutes are the pages of the board itself: what it sells, its money, its
// look, its legal pages and its settings.
func (a *Admin) boardRoutes() []route.Route {
	const GET, POST = route.GET, route.POST
	can := authz.Can
	return []route.Route{
		{Method: GET, Path: "/admin/products", Handle: a.products, Can: can("product", "read")},
		{Method: GET, Path: "/admin/products/new", Handle: a.newProduct, Can: can("product", "write")},
		{Method: GET, Path: "/admin/products/preview", Handle: a.previewProduct, Can: can("product", "read")},
		{Method: POST, Path: "/admin/products", Handle: a.createProduct, Can: can("product", "write")},
		{Method: GET, Path: "/admin/products/:id", Handle: a.product, Can: can("product", "read")},
		{Method: POST, Path: "/admin/products/:id", Handle: a.saveProduct, Can: can("product", "write")},
		{Method: POST, Path: "/admin/products/:id/up", Handle: a.raiseProduct, Can: can("product", "write")},
		{Method: POST, Path: "/admin/products/:id/sale", Handle: a.sellProduct, Can: can("product", "write")},
		{Method: POST, Path: "/admin/products/:id/delete", Handle: a.deleteProduct, Can: can("product", "write")},

		{Method: GET, Path: "/admin/orders", Handle: a.orders, Can: can("order", "read")},
		{Method: GET, Path: "/admin/orders.csv", Handle: route.Download(a.Limits, a.ordersCSV), Can: can("order", "read"), StepUp: true},
		{Method: GET, Path: "/admin/orders/:id", Handle: a.order, Can: can("order", "read")},
		{Method: POST, Path: "/admin/orders/:id/refund", Handle: a.refundOrder, Can: can("order", "refund"), StepUp: true},

		{Method: GET, Path: "/admin/payouts", Handle: a.payouts, Can: can("payout", "read"), StepUp: true},
		{Method: GET, Path: "/admin/payouts/statement.csv", Handle: route.Download(a.Limits, a.statementCSV), Can: can("payout", "read"), StepUp: true},
		{Method: POST, Path: "/admin/payouts/onboard", Handle: a.onboard, Can: can("payout", "onboard"), StepUp: true},
		{Method: POST, Path: "/admin/payouts/dashboard", Handle: a.stripeDashboard, Can: can("payout", "onboard"), StepUp: true},
		{Method: POST, Path: "/admin/payouts/reconcile", Handle: a.reconcile, Can: can("payout", "read"), StepUp: true},

		{Method: GET, Path: "/admin/look", Handle: a.look, Can: can("look", "read")},
		{Method: POST, Path: "/admin/look", Handle: a.saveLook, Can: can("look", "write"), Body: listings.MaxLogo + 1<<20},
		{Method: GET, Path: "/admin/look/preview", Handle: a.previewLook, Can: can("look", "read")},
		{Method: GET, Path: "/admin/look/:sheet", Handle: a.lookSheet, Can: can("look", "read")},
		{Method: POST, Path: "/admin/look/contrast", Handle: a.fixContrast, Can: can("look", "write")},
		{Method: POST, Path: "/admin/look/discard", Handle: a.discardLook, Can: can("look", "write")},
		{Method: POST, Path: "/admin/look/publish", Handle: a.publishLook, Can: can("look", "publish")},
		{Method: POST, Path: "/admin/looks/:id/roll-back", Handle: a.rollBackLook, Can: can("look", "publish")},

		{Method: GET, Path: "/admin/pages", Handle: a.pages, Can: can("page", "read")},
		{Method: POST, Path: "/admin/pages", Handle: a.createPage, Can: can("page", "write")},
		{Method: POST, Path: "/admin/pages/generate", Handle: a.generatePages, Can: can("page", "write")},
		{Method: GET, Path: "/admin/pages/new", Handle: a.newPage, Can: can("page", "write")},
		{Method: GET, Path: "/admin/pages/edit/:slug", Handle: a.legalPage, Can: can("page", "read")},
		{Method: POST, Path: "/admin/pages/edit/:slug", Handle: a.savePage, Can: can("page", "write")},
		{Method: POST, Path: "/admin/pages/edit/:slug/show", Handle: a.showPage, Can: can("page", "write")},

		{Method: GET, Path: "/admin/settings", Handle: a.settings, Can: can("settings", "read")},
		{Method: POST, Path: "/admin/settings", Handle: a.saveSettings, Can: can("settings", "write")},
	}
}

// renderUnder shows a page that belongs to a list, with the way back to it.
func (a *Admin) renderUnder(c *gin.Context, status int, page, title string, parent console.Link, data any) error {
	p := a.page(c, title)
	p.Crumbs = []console.Link{parent}
	return a.shell.Render(c, status, page, p, data)
}

// download answers rows as a CSV file.
func download(c *gin.Context, name string, rows [][]string) error {
	c.Header("Content-Disposition", `attachment; filename="`+tenant.From(c.Request.Context()).Slug+"-"+name+`.csv"`)
	c.Header("Content-Type", "text/csv; charset=utf-8")
	c.Status(http.StatusOK)
	w := csv.NewWriter(c.Writer)
	for _, row := range rows {
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
