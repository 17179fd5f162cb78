package platform

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"shingle/accounts"
	"shingle/internal/fault"
	"shingle/web/route"
)

// Ways to sign in besides password and mail: a passkey, and the platform's own
// provider.

func (p *Platform) askPasskey(c *gin.Context) error {
	prompt, err := p.Operators.AskPasskey(c.Request.Context(), client(c))
	return p.prompt(c, prompt, err)
}

func (p *Platform) signInWithPasskey(c *gin.Context) error {
	to := accounts.LocalPath(c.PostForm("next"), "/boards")
	in, err := p.Operators.SignInWithPasskey(c.Request.Context(), c.PostForm("ticket"), c.PostForm("answer"), client(c))
	if fault.Is(err, fault.Forbidden) {
		err = fault.Wrap(err, fault.Conflict, "%s", fault.TextOf(err))
	}
	if err != nil {
		return p.signInPage(c, "", to, err)
	}
	p.cookies.Set(c.Writer, c.Request.Host, in.Token, in.Expires)
	return route.SeeOther(c, to)
}

// visitCookie binds a visit to the provider to the browser that began it, for
// ten minutes: without it somebody could sign a stranger in as themselves. It is
// the one cookie before a sign-in, and stands only on the platform's host, once
// the button was pressed.
const visitCookie = "operator_visit"

func (p *Platform) visit() accounts.Cookies {
	return accounts.Cookies{Name: visitCookie, Scheme: p.Links.Scheme}
}

func (p *Platform) startOIDC(c *gin.Context) error {
	to := accounts.LocalPath(c.Query("next"), "/boards")
	address, browser, err := p.Operators.StartOIDC(c.Request.Context(), to, p.locale(c), client(c))
	if fault.Is(err, fault.Unavailable) {
		return p.problemPage(c, err, http.StatusServiceUnavailable)
	}
	if err != nil {
		return err
	}
	p.visit().Set(c.Writer, c.Request.Host, browser, p.Operators.Now().Add(10*time.Minute))
	return route.SeeOther(c, address)
}

func (p *Platform) finishOIDC(c *gin.Context) error {
	c.Header("Referrer-Policy", "no-referrer")
	in, err := p.Operators.FinishOIDC(c.Request.Context(), accounts.OIDCAnswer{State: c.Query("state"), Code: c.Query("code"), Issuer: c.Query("iss"),
		Browser: p.visit().Token(c.Request)}, client(c))
	p.visit().Clear(c.Writer, c.Request.Host)
	switch {
	case fault.Is(err, fault.Forbidden), fault.Is(err, fault.Unavailable), fault.Is(err, fault.Gone), fault.Is(err, fault.TooMany):
		return p.problemPage(c, err, route.Status(err))
	case err != nil:
		return err
	case in == nil:
		return p.render(c, http.StatusOK, "said", p.t(c, "sent.title"), map[string]any{"Text": p.t(c, "oidc.sent", p.Operators.OIDCName()), "URL": "/sign-in", "Label": p.t(c, "reset.back")})
	}
	p.cookies.Set(c.Writer, c.Request.Host, in.Token, in.Expires)
	return route.SeeOther(c, accounts.LocalPath(in.Next, "/boards"))
}

// problemPage says what went wrong and leads back to the sign-in.
func (p *Platform) problemPage(c *gin.Context, err error, status int) error {
	return p.render(c, status, "said", p.t(c, "platform.error.title"), map[string]any{"Text": p.problem(c, err), "URL": "/sign-in", "Label": p.t(c, "reset.back")})
}

func (p *Platform) linkOIDCForm(c *gin.Context) error {
	return p.anyTokenPage(c, []string{"oidc-link"}, accounts.PathOIDCLink, "oidc.title", "oidc.text", "oidc.button")
}

func (p *Platform) linkOIDC(c *gin.Context) error {
	in, err := p.Operators.LinkIdentity(c.Request.Context(), c.PostForm("token"), client(c))
	if err != nil {
		return err
	}
	p.cookies.Set(c.Writer, c.Request.Host, in.Token, in.Expires)
	return route.SeeOther(c, accounts.LocalPath(in.Next, "/boards"))
}
