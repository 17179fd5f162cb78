package platform

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/internal/fault"
	"shingle/tenant"
	"shingle/web/proof"
	"shingle/web/route"
)

func (p *Platform) signInPage(c *gin.Context, email, next string, err error) error {
	return p.form(c, "sign_in", p.t(c, "sign_in.title"), map[string]any{"Email": email, "Next": next, "Provider": p.Operators.OIDCName()}, err)
}

func (p *Platform) signInForm(c *gin.Context) error {
	next := accounts.LocalPath(c.Query("next"), "/boards")
	if Session(c) != nil {
		return route.SeeOther(c, next)
	}
	return p.signInPage(c, "", next, nil)
}

// signIn takes address and password.
func (p *Platform) signIn(c *gin.Context) error {
	email, next := c.PostForm("email"), accounts.LocalPath(c.PostForm("next"), "/boards")
	way, err := p.Proof.Of(c, proof.SignIn)
	if err == nil && way == proof.Unproven {
		return p.mailLink(c) // a link by mail takes the password's place
	}
	if err != nil {
		return p.signInPage(c, email, next, err)
	}
	in, err := p.Operators.SignInWithPassword(c.Request.Context(), email, c.PostForm("password"), client(c))
	if err != nil {
		return p.signInPage(c, email, next, err)
	}
	p.cookies.Set(c.Writer, c.Request.Host, in.Token, in.Expires)
	return route.SeeOther(c, next)
}

// mailLink mails a link and a code; the answer is the same for every address.
func (p *Platform) mailLink(c *gin.Context) error {
	email, next := c.PostForm("email"), accounts.LocalPath(c.PostForm("next"), "/boards")
	ticket, err := "", p.Proof.Mails(c, proof.SignIn)
	if err == nil {
		ticket, err = p.Operators.RequestSignIn(c.Request.Context(), email, next, p.locale(c), client(c))
	}
	if err != nil {
		return p.signInPage(c, email, next, err)
	}
	return p.render(c, http.StatusOK, "sent", p.t(c, "sent.title"), map[string]any{"Email": email, "Ticket": ticket, "Action": "/sign-in/code", "Instead": c.Request.URL.Path == "/sign-in"})
}

func (p *Platform) code(c *gin.Context) error { return p.spend(c, "/sign-in/code") }

func (p *Platform) linkForm(c *gin.Context) error {
	return p.tokenPage(c, "sign-in", accounts.PathOperatorLink, "link.title", "link.text", "link.button")
}

func (p *Platform) link(c *gin.Context) error { return p.spend(c, accounts.PathOperatorLink) }

func (p *Platform) spend(c *gin.Context, action string) error {
	in, err := p.Operators.SignIn(c.Request.Context(), typedProof(c), client(c))
	if err != nil {
		return p.badProof(c, action, err)
	}
	p.cookies.Set(c.Writer, c.Request.Host, in.Token, in.Expires)
	return route.SeeOther(c, accounts.LocalPath(in.Next, "/boards"))
}

func (p *Platform) askResetForm(c *gin.Context) error {
	return p.form(c, "reset_ask", p.t(c, "reset.ask_title"), map[string]any{"Email": c.Query("email")}, nil)
}

func (p *Platform) askReset(c *gin.Context) error {
	email := c.PostForm("email")
	err := p.Proof.Mails(c, proof.Reset)
	if err == nil {
		_, err = p.Operators.RequestReset(c.Request.Context(), email, p.locale(c), client(c))
	}
	data := map[string]any{"Email": email}
	if err != nil {
		return p.form(c, "reset_ask", p.t(c, "reset.ask_title"), data, err)
	}
	data["Sent"] = true
	return p.render(c, http.StatusOK, "reset_ask", p.t(c, "sent.title"), data)
}

func (p *Platform) resetForm(c *gin.Context) error {
	token := c.Query("token")
	if _, err := p.Operators.Peek(c.Request.Context(), "reset", token); err != nil {
		return err
	}
	c.Header("Referrer-Policy", "no-referrer")
	return p.render(c, http.StatusOK, "reset", p.t(c, "reset.title"), map[string]any{"Token": token})
}

func (p *Platform) reset(c *gin.Context) error {
	in, err := p.Operators.Reset(c.Request.Context(), typedProof(c), c.PostForm("password"), client(c))
	if err != nil {
		if fault.Is(err, fault.Invalid) {
			return p.form(c, "reset", p.t(c, "reset.title"), map[string]any{"Token": c.PostForm("token")}, err)
		}
		return err
	}
	p.cookies.Set(c.Writer, c.Request.Host, in.Token, in.Expires)
	return route.SeeOther(c, "/boards")
}

func (p *Platform) invitationForm(c *gin.Context) error {
	return p.tokenPage(c, "invite", accounts.PathInvitation, "invite.title", "invite.text", "invite.button")
}

func (p *Platform) invitation(c *gin.Context) error {
	in, err := p.Operators.Accept(c.Request.Context(), c.PostForm("token"), c.PostForm("name"), client(c))
	if err != nil {
		return err
	}
	p.cookies.Set(c.Writer, c.Request.Host, in.Token, in.Expires)
	if in.Board.IsNil() {
		return route.SeeOther(c, "/staff")
	}
	return route.SeeOther(c, "/go?board="+in.Board.String())
}

func (p *Platform) signOut(c *gin.Context) error {
	if token := p.cookies.Token(c.Request); token != "" {
		if err := p.Operators.SignOut(c.Request.Context(), token); err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
	}
	p.cookies.Clear(c.Writer, c.Request.Host)
	return route.SeeOther(c, "/sign-in")
}

// account is the operator's own page: name and language; how they sign in has a
// page of its own.
func (p *Platform) account(c *gin.Context) error { return p.accountPage(c, nil) }

func (p *Platform) accountPage(c *gin.Context, err error) error {
	s := Session(c)
	name, locale := s.Operator.Name, s.Operator.Locale
	if err != nil {
		name, locale = c.PostForm("name"), c.PostForm("locale")
	}
	return p.form(c, "account", p.t(c, "account.title"), map[string]any{"S": s, "Name": name, "Language": locale, "Saved": c.Query("saved") != ""}, err)
}

func (p *Platform) saveAccount(c *gin.Context) error {
	s := Session(c)
	err := p.Platform.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		return p.Operators.Update(ctx, tx, s.Operator.ID, c.PostForm("name"), consoleLocale(c.PostForm("locale")))
	})
	if err != nil {
		return p.accountPage(c, err)
	}
	return route.SeeOther(c, "/account?saved=1")
}

func consoleLocale(l string) string {
	for _, known := range tenant.Languages {
		if l == known {
			return l
		}
	}
	return "en"
}
