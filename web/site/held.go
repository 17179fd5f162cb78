package site

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"shingle/themes"
	"shingle/web/proof"
)

// proven asks a form for its proof of work.
func proven(f themes.Form, form string) themes.Form {
	f.Proof = form
	return f
}

// Held says that a form waits for the link that was just mailed.
func (s *Site) Held(c *gin.Context, v *View, email string) error {
	return s.HeldStep(c, v, http.StatusAccepted, "sent", email, "", nil)
}

// HeldStep shows a form that waits: "sent", "confirm" or "over".
func (s *Site) HeldStep(c *gin.Context, v *View, status int, step, email, token string, err error) error {
	p := themes.HeldPage{Layout: s.layout(v, v.Say("held.title")), Form: s.form(v, proof.ConfirmPath, nil, err), Step: step, Email: email, Hours: int(proof.HeldFor.Hours()), HomeURL: "/jobs"}
	p.Hidden, p.Robots = []themes.Hidden{{Name: "token", Value: token}}, "noindex"
	c.Header("Referrer-Policy", "no-referrer")
	c.Header("Cache-Control", "no-store")
	return s.render(c, v, status, "held", p)
}

// Apply and Report do what a form asks for that has waited for its link.
func (s *Site) Apply(c *gin.Context) error { return s.apply(c) }

// Report is as Apply.
func (s *Site) Report(c *gin.Context) error { return s.report(c) }
