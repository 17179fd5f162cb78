package employer

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"shingle/accounts"
	"shingle/internal/fault"
	"shingle/themes"
	"shingle/web/proof"
	"shingle/web/route"
)

// signInPage is a step of the magic link, in the board's look.
func (e *Employer) signInPage(c *gin.Context, status int, step, action, email string, hidden []themes.Hidden, err error) error {
	v, verr := e.Site.View(c.Request.Context())
	if verr != nil {
		return verr
	}
	p := themes.SignIn{Layout: e.Site.Layout(v, v.Say("sign_in.title")), Form: e.Site.Form(v, action, map[string]string{"email": email}, err),
		Step: step, Audience: "employer", Email: email, ResendTo: "/sign-in"}
	p.Hidden, p.Robots = hidden, "noindex"
	if step != "confirm" {
		p.Proof = proof.SignIn
	}
	route.RetryAfter(c, err)
	c.Header("Referrer-Policy", "no-referrer")
	c.Header("Cache-Control", "no-store")
	return e.Site.Render(c, v, status, "signin", p)
}

func (e *Employer) signInForm(c *gin.Context) error {
	next := accounts.LocalPath(c.Query("next"), "/employers/desk")
	if session(c) != nil {
		return route.SeeOther(c, next)
	}
	step := "request"
	if c.Query("over") != "" {
		step = "over"
	}
	return e.signInPage(c, http.StatusOK, step, "/sign-in", c.Query("email"), []themes.Hidden{{Name: "next", Value: next}}, nil)
}

// signIn mails a link and a code; known and unknown addresses get the same answer.
func (e *Employer) signIn(c *gin.Context) error {
	email, next := c.PostForm("email"), accounts.LocalPath(c.PostForm("next"), "/employers/desk")
	err := e.Site.Proof.Mails(c, proof.SignIn)
	ticket := ""
	if err == nil {
		ticket, err = e.People.RequestSignIn(c.Request.Context(), email, next, client(c))
	}
	if err != nil {
		if !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.TooMany) && !fault.Is(err, fault.Conflict) {
			return err
		}
		return e.signInPage(c, route.Status(err), "request", "/sign-in", email, []themes.Hidden{{Name: "next", Value: next}}, err)
	}
	return e.signInPage(c, http.StatusOK, "sent", "/sign-in/code", email, []themes.Hidden{{Name: "ticket", Value: ticket}, {Name: "email", Value: email}, {Name: "next", Value: next}}, nil)
}

func (e *Employer) code(c *gin.Context) error {
	in, err := e.People.SignIn(c.Request.Context(), accounts.Proof{Ticket: c.PostForm("ticket"), Code: c.PostForm("code")}, client(c))
	if err != nil {
		if !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.TooMany) {
			return err
		}
		email := c.PostForm("email")
		return e.signInPage(c, route.Status(err), "sent", "/sign-in/code", email,
			[]themes.Hidden{{Name: "ticket", Value: c.PostForm("ticket")}, {Name: "email", Value: email}, {Name: "next", Value: c.PostForm("next")}}, err)
	}
	return e.enter(c, in)
}

// linkOver is where a link leads that is spent or too old: the page that mails
// a new one, or the desk of somebody signed in.
const linkOver = "/sign-in?over=1"

// linkForm shows a mailed link's button: scanners follow links, people press.
func (e *Employer) linkForm(c *gin.Context) error {
	token := c.Query("token")
	seen, err := e.People.PeekSignIn(c.Request.Context(), token)
	if fault.Is(err, fault.Gone) {
		return route.SeeOther(c, linkOver)
	}
	if err != nil {
		return err
	}
	return e.signInPage(c, http.StatusOK, "confirm", accounts.PathPersonLink, seen.Email, []themes.Hidden{{Name: "token", Value: token}}, nil)
}

func (e *Employer) link(c *gin.Context) error {
	in, err := e.People.SignIn(c.Request.Context(), accounts.Proof{Token: c.PostForm("token")}, client(c))
	if fault.Is(err, fault.Gone) {
		return route.SeeOther(c, linkOver)
	}
	if err != nil {
		return err
	}
	return e.enter(c, in)
}

func (e *Employer) enter(c *gin.Context, in *accounts.PersonSignedIn) error {
	e.cookies.Set(c.Writer, c.Request.Host, in.Token, in.Expires)
	return route.SeeOther(c, accounts.LocalPath(in.Next, "/employers/desk"))
}

func (e *Employer) signOut(c *gin.Context) error {
	if token := e.cookies.Token(c.Request); token != "" {
		if err := e.People.SignOut(c.Request.Context(), token); err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
	}
	e.cookies.Clear(c.Writer, c.Request.Host)
	return route.SeeOther(c, "/employers")
}
