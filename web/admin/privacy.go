package admin

import (
	"context"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/privacy"
	"shingle/tenant"
	"shingle/web/console"
	"shingle/web/route"
)

// privacyRoutes are the page of who asked for their data or its erasure.
func (a *Admin) privacyRoutes() []route.Route {
	can := authz.Can("privacy", "read")
	return []route.Route{
		{Method: route.GET, Path: "/admin/privacy", Handle: a.privacyRequests, Can: can},
		{Method: route.POST, Path: "/admin/privacy", Handle: a.checkErased, Can: can},
	}
}

// privacyRow is a request in the list.
type privacyRow struct {
	privacy.Request
	Late bool
	// Kept is how many orders stay, as a number in words.
	Kept string
}

// erasedCheck is the answer to a question about an address.
type erasedCheck struct {
	Email string
	Asked bool
	At    *time.Time
}

func (a *Admin) privacyRequests(c *gin.Context) error { return a.showPrivacy(c, erasedCheck{}, nil) }

// checkErased tells whether an address was erased. It is a POST so that the
// address stands in no log of addresses.
func (a *Admin) checkErased(c *gin.Context) error {
	check := erasedCheck{Email: c.PostForm("email")}
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		check.At, err = a.Privacy.Erased(ctx, tx, check.Email)
		return err
	})
	if err != nil && !refused(err) {
		return err
	}
	check.Asked = err == nil
	return a.showPrivacy(c, check, err)
}

func (a *Admin) showPrivacy(c *gin.Context, check erasedCheck, cause error) error {
	page := route.Page(c)
	var list []privacy.Request
	var total int
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		list, total, err = a.Privacy.Requests(ctx, tx, page, pageSize)
		return err
	})
	if err != nil {
		return err
	}
	rows := make([]privacyRow, len(list))
	for i := range list {
		rows[i] = privacyRow{Request: list[i], Late: list[i].Late(a.Now())}
		if n := list[i].Counts["orders_kept"]; n > 0 {
			rows[i].Kept = strconv.FormatInt(n, 10)
		}
	}
	return a.render(c, statusOf(cause), "privacy", a.t(c, "admin.nav.privacy"), map[string]any{"Rows": rows, "Check": check, "Errors": a.errors(c, cause),
		"Page": a.Links.Board(tenant.From(c.Request.Context()), "/your-data"), "Pager": console.Pager(page, pageSize, total, c.Request.URL.Query())})
}
