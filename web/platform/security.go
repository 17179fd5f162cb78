package platform

import (
	"context"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/authz"
	"shingle/internal/fault"
	"shingle/web/route"
)

// PathConfirmed is where a proof in a tab of its own ends.
const PathConfirmed = accounts.PathSecurity + "?ok=confirmed"

// factorRoutes are the second factors: proving one, setting one up, changing
// how an operator signs in. Those that lead to a factor are Half: a session
// that lacks one may call them, and the accounts refuse what would weaken one.
func (p *Platform) factorRoutes() []route.Route {
	const GET, POST = route.GET, route.POST
	pub, in := authz.Public, authz.SignedIn
	return []route.Route{
		{Method: POST, Path: "/sign-in/passkey/ask", Handle: p.askPasskey, Can: pub},
		{Method: POST, Path: "/sign-in/passkey", Handle: p.signInWithPasskey, Can: pub},
		{Method: GET, Path: "/sign-in/oidc", Handle: p.startOIDC, Can: pub},
		{Method: GET, Path: accounts.PathOIDCBack, Handle: p.finishOIDC, Can: pub},
		{Method: GET, Path: accounts.PathOIDCLink, Handle: p.linkOIDCForm, Can: pub},
		{Method: POST, Path: accounts.PathOIDCLink, Handle: p.linkOIDC, Can: pub},
		{Method: GET, Path: "/verify", Handle: p.verifyForm, Can: in, Half: true},
		{Method: POST, Path: "/verify", Handle: p.verifyCode, Can: in, Half: true},
		{Method: POST, Path: "/verify/recovery", Handle: p.verifyRecovery, Can: in, Half: true},
		{Method: POST, Path: "/verify/passkey/ask", Handle: p.askVerify, Can: in, Half: true},
		{Method: POST, Path: "/verify/passkey", Handle: p.verifyPasskey, Can: in, Half: true},
		{Method: GET, Path: "/security/set-up", Handle: p.setUp, Can: in, Half: true},
		{Method: GET, Path: "/security/app", Handle: p.appForm, Can: in, Half: true},
		{Method: POST, Path: "/security/app", Handle: p.addApp, Can: in, Half: true},
		{Method: POST, Path: "/security/passkeys/ask", Handle: p.askNewPasskey, Can: in, Half: true},
		{Method: POST, Path: "/security/passkeys", Handle: p.addPasskey, Can: in, Half: true},
		{Method: GET, Path: accounts.PathSecurity, Handle: p.security, Can: in},
		{Method: POST, Path: "/security/app/remove", Handle: p.removeApp, Can: in},
		{Method: POST, Path: "/security/passkeys/:id/name", Handle: p.namePasskey, Can: in},
		{Method: POST, Path: "/security/passkeys/:id/remove", Handle: p.removePasskey, Can: in},
		{Method: POST, Path: "/security/codes", Handle: p.newCodes, Can: in},
		{Method: POST, Path: "/security/password", Handle: p.changePassword, Can: in},
		{Method: POST, Path: "/security/address", Handle: p.changeAddress, Can: in},
		{Method: POST, Path: "/security/address/cancel", Handle: p.cancelAddress, Can: in},
		{Method: GET, Path: accounts.PathAddress, Handle: p.confirmAddressForm, Can: pub},
		{Method: POST, Path: accounts.PathAddress, Handle: p.confirmAddress, Can: pub},
		{Method: POST, Path: "/security/identities/remove", Handle: p.unlinkIdentity, Can: in},
		{Method: POST, Path: "/security/sessions/:id/end", Handle: p.endSession, Can: in},
		{Method: POST, Path: "/security/sessions/end-others", Handle: p.endOtherSessions, Can: in},
	}
}

func (p *Platform) factors(c *gin.Context) (f *accounts.Factors, err error) {
	err = p.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		f, err = p.Operators.FactorsOf(ctx, tx, Session(c).Operator.ID)
		return err
	})
	return f, err
}

func (p *Platform) security(c *gin.Context) error { return p.securityPage(c, nil) }

func (p *Platform) securityPage(c *gin.Context, cause error) error {
	s := Session(c)
	var f *accounts.Factors
	var all []*accounts.OperatorSession
	err := p.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		if f, err = p.Operators.FactorsOf(ctx, tx, s.Operator.ID); err != nil {
			return err
		}
		all, err = p.Operators.Sessions(ctx, tx, s.Operator.ID)
		return err
	})
	if err != nil {
		return err
	}
	// A board's session is the child of one here, and ends with it.
	var sessions []*accounts.OperatorSession
	for _, one := range all {
		if one.Board == nil {
			sessions = append(sessions, one)
		}
	}
	email := ""
	if cause != nil {
		email = c.PostForm("email")
	}
	return p.form(c, "security", p.t(c, "security.title"), map[string]any{"S": s, "F": f, "Sessions": sessions, "Email": email,
		"Ask": s.Operator.HasPassword && !s.HasFactor, "Provider": p.Operators.OIDCName()}, cause)
}

// done comes back to the security page with a notice, or with what was refused.
func (p *Platform) done(c *gin.Context, what string, err error) error {
	if err != nil {
		return p.refusedThere(c, err)
	}
	return route.SeeOther(c, accounts.PathSecurity+"?ok="+url.QueryEscape("security."+what))
}

func (p *Platform) refusedThere(c *gin.Context, err error) error {
	if fault.Is(err, fault.StepUp) || fault.Is(err, fault.SignIn) {
		return err
	}
	if fault.Is(err, fault.Forbidden) {
		err = fault.Wrap(err, fault.Conflict, "%s", fault.TextOf(err))
	}
	return p.securityPage(c, err)
}

// next is where the visitor was going before a second factor was asked for.
func next(c *gin.Context) string { return nextOr(c, "/boards") }

func nextOr(c *gin.Context, fallback string) string {
	n := c.Query("next")
	if c.Request.Method == http.MethodPost {
		n = c.PostForm("next")
	}
	return accounts.LocalPath(n, fallback)
}

func (p *Platform) verifyForm(c *gin.Context) error {
	s := Session(c)
	if s.Fresh(p.Operators.Now()) {
		return route.SeeOther(c, next(c))
	}
	return p.verifyPage(c, nil)
}

func (p *Platform) verifyPage(c *gin.Context, cause error) error {
	f, err := p.factors(c)
	if err != nil {
		return err
	}
	if !f.Any() {
		return route.SeeOther(c, "/security/set-up?"+url.Values{"next": {next(c)}}.Encode())
	}
	if fault.Is(cause, fault.Forbidden) {
		cause = fault.Wrap(cause, fault.Conflict, "%s", fault.TextOf(cause))
	}
	return p.form(c, "verify", p.t(c, "verify.title"), map[string]any{"F": f, "Next": next(c), "S": Session(c)}, cause)
}

// proven goes on to where the visitor was going.
func (p *Platform) proven(c *gin.Context, err error) error {
	if err != nil {
		return p.verifyPage(c, err)
	}
	return route.SeeOther(c, next(c))
}

func (p *Platform) verifyCode(c *gin.Context) error {
	return p.proven(c, p.Operators.ProveByCode(c.Request.Context(), Session(c), c.PostForm("code"), client(c)))
}

func (p *Platform) verifyRecovery(c *gin.Context) error {
	return p.proven(c, p.Operators.ProveByRecovery(c.Request.Context(), Session(c), c.PostForm("recovery"), client(c)))
}

func (p *Platform) askVerify(c *gin.Context) error {
	prompt, err := p.Operators.AskPasskeyAgain(c.Request.Context(), Session(c))
	return p.prompt(c, prompt, err)
}

func (p *Platform) verifyPasskey(c *gin.Context) error {
	return p.proven(c, p.Operators.ProveByPasskey(c.Request.Context(), Session(c), c.PostForm("ticket"), c.PostForm("answer"), client(c)))
}

func (p *Platform) prompt(c *gin.Context, prompt *accounts.Prompt, err error) error {
	if err != nil {
		return err
	}
	c.JSON(http.StatusOK, prompt)
	return nil
}

func (p *Platform) setUp(c *gin.Context) error {
	f, err := p.factors(c)
	if err != nil {
		return err
	}
	if f.Any() {
		return route.SeeOther(c, accounts.PathSecurity)
	}
	return p.setUpPage(c, nil)
}

func (p *Platform) setUpPage(c *gin.Context, cause error) error {
	return p.form(c, "set_up", p.t(c, "set_up.title"), map[string]any{"Next": next(c)}, cause)
}

func (p *Platform) appForm(c *gin.Context) error {
	setup, err := p.Operators.NewTOTP(Session(c))
	if err != nil {
		return err
	}
	return p.appPage(c, setup, nil)
}

func (p *Platform) appPage(c *gin.Context, setup *accounts.TOTPSetup, cause error) error {
	return p.form(c, "app", p.t(c, "app.title"), map[string]any{"Setup": setup, "Next": nextOr(c, ""),
		"QR": template.URL("data:image/png;base64," + setup.QR)}, cause) // #nosec G203 -- base64 of our own picture
}

func (p *Platform) addApp(c *gin.Context) error {
	s, sealed := Session(c), c.PostForm("setup")
	codes, err := p.Operators.AddTOTP(c.Request.Context(), s, sealed, c.PostForm("code"), client(c))
	if fault.Is(err, fault.Invalid) || fault.Is(err, fault.TooMany) {
		setup, serr := p.Operators.TOTPAgain(s, sealed)
		if serr != nil {
			return serr
		}
		return p.appPage(c, setup, err)
	}
	return p.added(c, codes, "app_added", err)
}

// added shows the recovery codes that came with a first factor, or goes on.
func (p *Platform) added(c *gin.Context, codes []string, what string, err error) error {
	if err != nil {
		return err
	}
	to := nextOr(c, "")
	if len(codes) > 0 {
		if to == "" {
			to = accounts.PathSecurity
		}
		return p.codesPage(c, codes, to)
	}
	if to != "" {
		return route.SeeOther(c, to)
	}
	return p.done(c, what, nil)
}

// codesPage shows recovery codes, the only time: the rows hold hashes.
func (p *Platform) codesPage(c *gin.Context, codes []string, next string) error {
	text := "Shingle · " + Session(c).Operator.Email + "\r\n\r\n" + strings.Join(codes, "\r\n") + "\r\n"
	return p.render(c, http.StatusOK, "codes", p.t(c, "codes.title"), map[string]any{"Codes": codes, "Next": next,
		"File": template.URL("data:text/plain;charset=utf-8," + url.PathEscape(text))}) // #nosec G203 -- escaped, our own text
}

func (p *Platform) askNewPasskey(c *gin.Context) error {
	prompt, err := p.Operators.AskNewPasskey(c.Request.Context(), Session(c))
	return p.prompt(c, prompt, err)
}

func (p *Platform) addPasskey(c *gin.Context) error {
	s := Session(c)
	codes, err := p.Operators.AddPasskey(c.Request.Context(), s, c.PostForm("ticket"), c.PostForm("answer"), c.PostForm("name"))
	if err != nil && !fault.Is(err, fault.StepUp) && fault.KindOf(err) != fault.Internal {
		if !s.HasFactor {
			return p.setUpPage(c, fault.Wrap(err, fault.Conflict, "%s", fault.TextOf(err)))
		}
		return p.refusedThere(c, err)
	}
	return p.added(c, codes, "passkey_added", err)
}

func (p *Platform) removeApp(c *gin.Context) error {
	return p.done(c, "app_removed", p.Operators.RemoveTOTP(c.Request.Context(), Session(c)))
}

func (p *Platform) namePasskey(c *gin.Context) error {
	return p.done(c, "passkey_named", p.Platform.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		return p.Operators.NamePasskey(ctx, tx, Session(c), c.Param("id"), c.PostForm("name"))
	}))
}

func (p *Platform) removePasskey(c *gin.Context) error {
	return p.done(c, "passkey_removed", p.Operators.RemovePasskey(c.Request.Context(), Session(c), c.Param("id")))
}

func (p *Platform) newCodes(c *gin.Context) error {
	codes, err := p.Operators.NewRecoveryCodes(c.Request.Context(), Session(c))
	if err != nil {
		return err
	}
	return p.codesPage(c, codes, accounts.PathSecurity)
}

func (p *Platform) changePassword(c *gin.Context) error {
	return p.done(c, "password", p.Operators.ChangePassword(c.Request.Context(), Session(c), c.PostForm("current"), c.PostForm("password"), client(c)))
}

func (p *Platform) changeAddress(c *gin.Context) error {
	err := p.Operators.RequestAddress(c.Request.Context(), Session(c), c.PostForm("email"), c.PostForm("current"), client(c))
	return p.done(c, "address_sent", err)
}

func (p *Platform) cancelAddress(c *gin.Context) error {
	return p.done(c, "address_kept", p.Platform.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		return p.Operators.CancelAddress(ctx, tx, Session(c))
	}))
}

func (p *Platform) confirmAddressForm(c *gin.Context) error {
	return p.anyTokenPage(c, []string{"address-old", "address-new"}, accounts.PathAddress, "address.title", "address.text", "address.button")
}

func (p *Platform) confirmAddress(c *gin.Context) error {
	done, err := p.Operators.ConfirmAddress(c.Request.Context(), c.PostForm("token"))
	if err != nil {
		return err
	}
	text := "address.half"
	if done {
		text = "address.done"
		p.cookies.Clear(c.Writer, c.Request.Host)
	}
	return p.render(c, http.StatusOK, "said", p.t(c, "address.title"), map[string]any{"Text": p.t(c, text), "URL": "/sign-in", "Label": p.t(c, "home.sign_in")})
}

func (p *Platform) unlinkIdentity(c *gin.Context) error {
	return p.done(c, "identity_removed", p.Operators.UnlinkIdentity(c.Request.Context(), Session(c), c.PostForm("issuer"), c.PostForm("subject")))
}

func (p *Platform) endSession(c *gin.Context) error {
	return p.done(c, "session_ended", p.Platform.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		return p.Operators.EndSession(ctx, tx, Session(c).Operator.ID, c.Param("id"))
	}))
}

func (p *Platform) endOtherSessions(c *gin.Context) error {
	s := Session(c)
	return p.done(c, "sessions_ended", p.Platform.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		return p.Operators.EndSessions(ctx, tx, s.Operator.ID, s)
	}))
}
