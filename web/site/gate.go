package site

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"

	"shingle/accounts"
	"shingle/authz"
	"shingle/billing/plans"
	"shingle/domains/access"
	"shingle/internal/fault"
	"shingle/tenant"
	"shingle/themes"
	"shingle/web/proof"
	"shingle/web/route"
)

// gateRoutes are the ways into a private board; on others they lead home.
func (s *Site) gateRoutes() []route.Route {
	pub := authz.Public
	return []route.Route{
		{Method: route.GET, Path: "/enter", Handle: s.gateForm, Can: pub},
		{Method: route.POST, Path: "/enter", Handle: s.enter, Can: pub},
		{Method: route.GET, Path: "/enter/link", Handle: s.gateLinkForm, Can: pub},
		{Method: route.POST, Path: "/enter/link", Handle: s.enterLink, Can: pub},
		{Method: route.GET, Path: "/enter/start", Handle: s.startOIDC, Can: pub},
		{Method: route.GET, Path: access.Callback, Handle: s.finishOIDC, Can: pub},
	}
}

// Gate stands before the public pages, feeds and API of a private board: who
// has no pass sees its door and nothing else.
func (s *Site) Gate(c *gin.Context) {
	t := tenant.From(c.Request.Context())
	if t != nil && t.PlanStep != "" && plans.Step(t.PlanStep).At(plans.NoIndex) && !s.forgotten(c) {
		return
	}
	if t == nil || !t.Private() {
		return
	}
	h, path := c.Writer.Header(), c.Request.URL.Path
	h["X-Robots-Tag"] = []string{"noindex, nofollow"}
	h["Cache-Control"] = []string{"private, no-cache"}
	switch {
	case path == "/robots.txt":
		c.String(http.StatusOK, "User-agent: *\nDisallow: /\n")
		c.Abort()
		return
	case s.shows(c, t, path), s.Access != nil && s.Access.Admits(t, s.pass().Token(c.Request)):
		return
	}
	c.Abort()
	if route.WantsJSON(c.Request) || strings.HasPrefix(path, "/api/") || path == "/suggest" {
		route.Problem(c, http.StatusUnauthorized, fault.New(fault.SignIn, "this board is private"))
		return
	}
	next := "/"
	if c.Request.Method == http.MethodGet {
		next = c.Request.URL.RequestURI()
	}
	if err := s.gate(c, http.StatusUnauthorized, next, "", nil); err != nil {
		c.Data(http.StatusUnauthorized, "text/plain; charset=utf-8", []byte("This board is private.\n"))
	}
}

// forgotten asks search engines to forget a board whose plan is not paid: its
// pages say so, and its sitemaps are closed. robots.txt lets them in, or they
// would never read it. It answers false when it has answered the request.
func (s *Site) forgotten(c *gin.Context) bool {
	c.Writer.Header()["X-Robots-Tag"] = []string{"noindex, nofollow"}
	path := c.Request.URL.Path
	switch {
	case path == "/robots.txt":
		c.String(http.StatusOK, "User-agent: *\nDisallow: /admin\n")
	case path == "/sitemap.xml", strings.HasPrefix(path, "/sitemaps/"):
		c.String(http.StatusNotFound, "There is no sitemap at this moment.\n")
	default:
		return true
	}
	c.Header("Cache-Control", "no-store")
	c.Abort()
	return false
}

// shows lists what a private board shows to everybody: its door with what that
// is drawn with, its legal pages, and what links in mails end at.
func (s *Site) shows(c *gin.Context, t *tenant.Tenant, path string) bool {
	for _, p := range []string{"/enter", "/proof", "/confirm", "/assets", "/pages", "/alerts/stop", "/alerts/confirm", "/applications/withdraw", yourData, "/sign-in", "/.well-known"} {
		if rest, ok := strings.CutPrefix(path, p); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	if strings.HasPrefix(path, "/theme.") {
		return true
	}
	if old, ok := strings.CutPrefix(path, "/files/"); ok {
		path = "/x/" + old
	}
	if !strings.HasPrefix(path, "/x/") && path != "/favicon.ico" {
		return false
	}
	look, err := s.Looks.Of(c.Request.Context(), t) // the board's own logo, and no company's
	return err == nil && (path == "/favicon.ico" || look.LogoKey != "" && path == FileURL(look.LogoKey))
}

func (s *Site) pass() accounts.Cookies {
	return accounts.Cookies{Name: access.Cookie, Scheme: s.Links.Scheme}
}

// gate is the door in the board's look, with nothing of what is behind it.
func (s *Site) gate(c *gin.Context, status int, next, step string, err error) error {
	v, verr := s.view(c.Request.Context())
	if verr != nil {
		return verr
	}
	next = accounts.LocalPath(next, "/")
	p := themes.Gate{Layout: s.layout(v, v.Say("gate.title")), Form: s.form(v, "/enter", map[string]string{"email": c.PostForm("email")}, err), Heading: v.Say("gate.heading", v.T.Name)}
	p.Nav, p.Footer.Links, p.SearchURL, p.FeedURL, p.PostURL, p.Robots = nil, nil, "", "", "", "noindex, nofollow"
	p.Hidden = []themes.Hidden{{Name: "next", Value: next}}
	mode := v.T.Access.Mode
	if step == "" {
		p.Proof = proof.Enter
	}
	p.Text = v.Say("gate.text." + mode)
	switch {
	case step == "sent":
		p.Heading, p.Text = v.Say("gate.sent"), v.Say("gate.sent_text", c.PostForm("email"))
	case step == "link":
		p.Action, p.Hidden, p.Button, p.Text = "/enter/link", []themes.Hidden{{Name: "token", Value: c.Query("token")}}, v.Say("gate.enter"), v.Say("gate.link_text")
	case mode == access.Password:
		p.Field, p.Label, p.Type, p.Complete, p.Button = "password", v.Say("gate.password"), "password", "current-password", v.Say("gate.enter")
	case mode == access.Email:
		p.Field, p.Label, p.Type, p.Complete, p.Button = "email", v.Say("gate.email"), "email", "email", v.Say("gate.send")
	case mode == access.OIDC:
		p.Link = &themes.Link{Text: v.Say("gate.sign_in"), URL: "/enter/start?next=" + url.QueryEscape(next)}
	}
	c.Header("Referrer-Policy", "no-referrer")
	c.Header("Cache-Control", "no-store")
	return s.render(c, v, status, "gate", p)
}

func (s *Site) gateForm(c *gin.Context) error {
	if !tenant.From(c.Request.Context()).Private() {
		return route.SeeOther(c, accounts.LocalPath(c.Query("next"), "/"))
	}
	return s.gate(c, http.StatusOK, c.Query("next"), "", nil)
}

// enter takes a password, or an address to mail a link to.
func (s *Site) enter(c *gin.Context) error {
	ctx, next := c.Request.Context(), c.PostForm("next")
	err := s.limit(c, accounts.Entering)
	if err == nil { // a password has no mail that could confirm it: fewer tries
		err = s.Proof.Mails(c, proof.Enter)
	}
	mode := tenant.From(ctx).Access.Mode
	if err == nil && mode == access.Email {
		err = s.anywhere(c, c.PostForm("email"))
	}
	if err == nil && mode == access.Email {
		if err = s.Access.AskMail(ctx, c.PostForm("email"), accounts.LocalPath(next, "/")); err == nil {
			return s.gate(c, http.StatusOK, next, "sent", nil)
		}
	} else if err == nil {
		err = s.Access.EnterPassword(ctx, c.PostForm("password"))
	}
	if err != nil && retryable(err) {
		return s.gate(c, route.Status(err), next, "", err)
	}
	if err != nil {
		return err
	}
	return s.admit(c, next)
}

func (s *Site) admit(c *gin.Context, next string) error {
	token, expires := s.Access.Pass(tenant.From(c.Request.Context()))
	s.pass().Set(c.Writer, c.Request.Host, token, expires)
	return route.SeeOther(c, accounts.LocalPath(next, "/"))
}

// gateLinkForm shows a mailed link's button: scanners follow links.
func (s *Site) gateLinkForm(c *gin.Context) error {
	return s.gate(c, http.StatusOK, "/", "link", nil)
}

func (s *Site) enterLink(c *gin.Context) error {
	next, err := s.Access.SpendLink(c.Request.Context(), c.PostForm("token"))
	if fault.Is(err, fault.Gone) {
		return s.gate(c, http.StatusGone, "/", "", err)
	}
	if err != nil {
		return err
	}
	return s.admit(c, next)
}

// startOIDC sends a visitor to the company's own sign-in.
func (s *Site) startOIDC(c *gin.Context) error {
	if err := s.limit(c, accounts.Entering); err != nil {
		return err
	}
	to, err := s.Access.Start(c.Request.Context(), accounts.LocalPath(c.Query("next"), "/"))
	if fault.Is(err, fault.Unavailable) {
		return s.gate(c, http.StatusServiceUnavailable, c.Query("next"), "", fault.New(fault.Unavailable, "gate.oidc.away"))
	}
	if err != nil {
		return err
	}
	c.Redirect(http.StatusSeeOther, to)
	return nil
}

func (s *Site) finishOIDC(c *gin.Context) error {
	next, err := s.Access.Finish(c.Request.Context(), c.Query("state"), c.Query("code"))
	if fault.Is(err, fault.Gone) || fault.Is(err, fault.Forbidden) {
		return s.gate(c, route.Status(err), "/", "", err)
	}
	if err != nil {
		return err
	}
	return s.admit(c, next)
}
