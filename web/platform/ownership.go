package platform

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/internal/fault"
	"shingle/tenant"
	"shingle/web/route"
)

// ownershipForm shows the offered owner what they are about to take over; the
// button's POST spends the link. Whoever is not signed in comes back here.
func (p *Platform) ownershipForm(c *gin.Context) error {
	board, err := tenant.ParseID(c.Query("board"))
	if err != nil {
		return fault.New(fault.NotFound, "no such offer")
	}
	var f *accounts.OwnershipOffer
	err = p.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		f, err = p.Operators.SeeOwnership(ctx, tx, board, c.Query("token"), Session(c).Operator.ID)
		return err
	})
	if err != nil {
		return err
	}
	c.Header("Referrer-Policy", "no-referrer")
	return p.render(c, http.StatusOK, "ownership", p.t(c, "ownership.title", f.BoardName), map[string]any{"Offer": f, "Token": c.Query("token"), "Board": board.String()})
}

func (p *Platform) ownership(c *gin.Context) error {
	board, err := tenant.ParseID(c.PostForm("board"))
	if err != nil {
		return fault.New(fault.NotFound, "no such offer")
	}
	token, who := c.PostForm("token"), &Session(c).Operator
	if c.PostForm("decline") != "" {
		if err := p.Operators.DeclineOwnership(c.Request.Context(), board, token, who); err != nil {
			return err
		}
		return route.SeeOther(c, "/boards?stay=1&ok=ownership.declined")
	}
	if err := p.Operators.AcceptOwnership(c.Request.Context(), board, token, who); err != nil {
		return err
	}
	return route.SeeOther(c, "/go?board="+board.String()+"&next=/admin/team")
}
