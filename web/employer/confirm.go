package employer

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"shingle/internal/fault"
	"shingle/web/proof"
	"shingle/web/route"
)

// confirmForm shows the button of a form that waited for its link.
func (e *Employer) confirmForm(c *gin.Context) error {
	token := c.Query("token")
	_, err := e.Site.Proof.Waiting(c.Request.Context(), token)
	return e.heldPage(c, token, err)
}

// confirm does what the form asked for, and answers as it would have.
func (e *Employer) confirm(c *gin.Context) error {
	token := c.Request.PostFormValue("token") // not through gin, which would keep this form for the other
	err := e.Site.Proof.Confirm(c, token, map[string]route.Handler{proof.Apply: e.Site.Apply, proof.Report: e.Site.Report, proof.Post: e.post})
	if (fault.Is(err, fault.Gone) || fault.Is(err, fault.Conflict)) && !c.Writer.Written() {
		return e.heldPage(c, token, err)
	}
	return err
}

func (e *Employer) heldPage(c *gin.Context, token string, err error) error {
	view, verr := e.Site.View(c.Request.Context())
	if verr != nil {
		return verr
	}
	switch {
	case err == nil:
		return e.Site.HeldStep(c, view, http.StatusOK, "confirm", "", token, nil)
	case fault.Is(err, fault.Conflict):
		return e.Site.HeldStep(c, view, http.StatusConflict, "confirm", "", token, err)
	case fault.Is(err, fault.Gone):
		return e.Site.HeldStep(c, view, http.StatusGone, "over", "", token, nil)
	}
	return err
}
