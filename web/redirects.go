package web

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/domains/redirects"
	"shingle/tenant"
	"shingle/web/route"
)

// redirecting answers what would be a 404 with the board's redirect of the
// address, if it has one: pages that exist never ask.
func (p *Parts) redirecting(page route.ErrorPage) route.ErrorPage {
	return func(c *gin.Context, status int, err error) {
		t := tenant.From(c.Request.Context())
		read := c.Request.Method == http.MethodGet || c.Request.Method == http.MethodHead
		if status != http.StatusNotFound || !read || t == nil || p.Redirects == nil || t.State != tenant.Active {
			page(c, status, err)
			return
		}
		var r *redirects.Redirect
		ferr := p.Site.DB.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
			r, err = p.Redirects.Find(ctx, tx, c.Request.URL.Path)
			return err
		})
		if ferr != nil { // none, or no answer: the page says 404 either way
			page(c, status, err)
			return
		}
		p.Hits.Add(t.ID, r.ID)
		if r.Gone() {
			page(c, http.StatusGone, err)
			return
		}
		// Browsers would keep a 301 for ever, and the owner may change their mind.
		c.Header("Cache-Control", "max-age=600")
		c.Redirect(r.Status, r.Leads(c.Request.URL.Path, c.Request.URL.RawQuery))
	}
}
