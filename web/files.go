package web

import (
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"shingle/internal/fault"
	"shingle/tenant"
	"shingle/web/route"
	"shingle/web/site"
)

// filesEngine is the host of uploads, SHINGLE_FILES_HOST: it knows no session, sets
// no cookie and has no page, so that a file in which something hides can reach
// nothing from there. The board is named in the path.
func (p *Parts) filesEngine(watch gin.HandlerFunc) (http.Handler, error) {
	e, err := p.engine(watch)
	if err != nil {
		return nil, err
	}
	page := func(c *gin.Context, status int, _ error) { c.String(status, http.StatusText(status)+"\n") }
	g := e.Group("", route.RequestID, route.Recover(page, p.Log), func(c *gin.Context) {
		c.Header("X-Robots-Tag", "noindex")
		id, err := uuid.Parse(c.Param("board"))
		if err != nil {
			route.Fail(c, errNoPage, page, p.Log)
			c.Abort()
			return
		}
		t, err := p.Boards.ByID(c.Request.Context(), tenant.ID(id))
		if err == nil && !open(t) {
			err = fault.New(fault.NotFound, "no such file")
		}
		if err != nil {
			route.Fail(c, err, page, p.Log)
			c.Abort()
			return
		}
		c.Request = c.Request.WithContext(tenant.With(c.Request.Context(), t))
	})
	route.Mount(g, p.Site.FileRoutes(), site.Guard, page, p.Log)
	e.NoRoute(route.RequestID, func(c *gin.Context) { route.Fail(c, errNoPage, page, p.Log) })
	return e, nil
}
