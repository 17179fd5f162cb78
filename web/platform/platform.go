// Package platform is the platform's own front: what it offers, sign-up of new
// boards, the operators' sign-in and the way from there into a board's console.
// Of boards it shows only the demo's. Start at Routes.
package platform

import (
	"context"
	"embed"
	"encoding/json"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/authz"
	"shingle/billing/plans"
	"shingle/internal/fault"
	"shingle/internal/links"
	"shingle/tenant"
	"shingle/themes"
	"shingle/web/console"
	"shingle/web/proof"
	"shingle/web/route"
)

//go:embed all:pages words
var files embed.FS

// Platform serves the platform's host but for /staff.
type Platform struct {
	// Proof judges what strangers send.
	Proof     *proof.Service
	Platform  *tenant.Platform
	Operators *accounts.Operators
	Gate      *authz.Gate
	Links     links.Links
	Launcher  *Launcher
	// Plans are shown on the landing page; nil shows none.
	Plans *plans.Service
	// Dev adds links to the demo's mail and Stripe pages to the landing page.
	Dev []console.Link

	cookies accounts.Cookies
	shell   *console.Shell
	assets  *console.Assets
}

// Words are the catalogue files, for tests.
func Words() fs.FS { return files }

// Load parses pages and words.
func (p *Platform) Load(assets *console.Assets) (err error) {
	p.cookies = accounts.Cookies{Name: accounts.OperatorCookie, Scheme: p.Links.Scheme}
	p.assets = assets
	p.shell, err = console.NewShell(files, "pages", files, assets)
	return err
}

// Routes is every URL of the audience.
func (p *Platform) Routes() []route.Route {
	const GET, POST = route.GET, route.POST
	pub, in := authz.Public, authz.SignedIn
	own := []route.Route{
		{Method: GET, Path: "/", Handle: p.home, Can: pub},
		{Method: GET, Path: "/sign-up", Handle: p.signUpForm, Can: pub},
		{Method: POST, Path: "/sign-up", Handle: p.signUp, Can: pub},
		{Method: GET, Path: accounts.PathSignUp, Handle: p.confirmForm, Can: pub},
		{Method: POST, Path: accounts.PathSignUp, Handle: p.confirm, Can: pub},
		{Method: GET, Path: "/sign-in", Handle: p.signInForm, Can: pub},
		{Method: POST, Path: "/sign-in", Handle: p.signIn, Can: pub},
		{Method: GET, Path: proof.Path + ":form", Handle: p.Proof.Challenge(proof.SignIn, proof.SignUp, proof.Reset), Can: authz.Public},
		{Method: POST, Path: "/sign-in/mail", Handle: p.mailLink, Can: pub},
		{Method: POST, Path: "/sign-in/code", Handle: p.code, Can: pub},
		{Method: GET, Path: accounts.PathOperatorLink, Handle: p.linkForm, Can: pub},
		{Method: POST, Path: accounts.PathOperatorLink, Handle: p.link, Can: pub},
		{Method: GET, Path: "/reset/ask", Handle: p.askResetForm, Can: pub},
		{Method: POST, Path: "/reset/ask", Handle: p.askReset, Can: pub},
		{Method: GET, Path: accounts.PathReset, Handle: p.resetForm, Can: pub},
		{Method: POST, Path: accounts.PathReset, Handle: p.reset, Can: pub},
		{Method: GET, Path: accounts.PathInvitation, Handle: p.invitationForm, Can: pub},
		{Method: POST, Path: accounts.PathInvitation, Handle: p.invitation, Can: pub},
		{Method: GET, Path: accounts.PathOwnership, Handle: p.ownershipForm, Can: in, StepUp: true},
		{Method: POST, Path: accounts.PathOwnership, Handle: p.ownership, Can: in, StepUp: true},
		{Method: POST, Path: "/sign-out", Handle: p.signOut, Can: pub},
		{Method: GET, Path: "/boards", Handle: p.boards, Can: in},
		{Method: GET, Path: "/go", Handle: p.enter, Can: in},
		{Method: GET, Path: "/account", Handle: p.account, Can: in},
		{Method: POST, Path: "/account", Handle: p.saveAccount, Can: in},
	}
	return append(own, p.factorRoutes()...)
}

// Guard finds the session on the platform's host and holds the route's
// permission against what its operator may do on the platform.
func (p *Platform) Guard(c *gin.Context, can authz.Permission) error {
	token := p.cookies.Token(c.Request)
	if token == "" {
		if can == authz.Public {
			return nil
		}
		return fault.New(fault.SignIn, "sign in first")
	}
	s, err := p.Operators.SessionByToken(c.Request.Context(), token, nil)
	if err != nil {
		if can == authz.Public && !fault.Is(err, fault.Unavailable) {
			return nil
		}
		return err
	}
	c.Set(sessionKey, s)
	kind := tenant.Operator
	if strings.HasPrefix(c.Request.URL.Path, "/staff") {
		kind = tenant.Staff
	}
	c.Request = c.Request.WithContext(tenant.WithActor(c.Request.Context(), s.Operator.Actor(kind)))
	need := route.NeedOf(c)
	if can == authz.Public || need.Half && can == authz.SignedIn {
		return nil
	}
	held, err := p.Gate.Permissions(c.Request.Context(), s.Operator.ID, tenant.Nil, s.PolicyVersion)
	if err != nil {
		return err
	}
	// Who works for the platform always has a second factor.
	staff := !held.Empty()
	if err := p.Operators.Check(s, staff, false); err != nil {
		return err
	}
	if can != authz.SignedIn && !held.Has(can) {
		return fault.New(fault.Forbidden, "you may not do this")
	}
	return p.Operators.Check(s, staff, need.StepUp)
}

const sessionKey = "operator_session"

// Session is the request's sign-in on the platform's host, or nil.
func Session(c *gin.Context) *accounts.OperatorSession {
	s, _ := c.Get(sessionKey)
	out, _ := s.(*accounts.OperatorSession)
	return out
}

// Allowed tells whether the signed-in operator has a permission on the platform.
func (p *Platform) Allowed(c *gin.Context, can authz.Permission) bool {
	s := Session(c)
	return s != nil && p.Gate.Check(c.Request.Context(), s.Operator.ID, tenant.Nil, s.PolicyVersion, can) == nil
}

// Permissions is all that the signed-in operator may do on the platform.
func (p *Platform) Permissions(c *gin.Context) authz.Set {
	s := Session(c)
	if s == nil {
		return authz.Set{}
	}
	set, err := p.Gate.Permissions(c.Request.Context(), s.Operator.ID, tenant.Nil, s.PolicyVersion)
	if err != nil {
		return authz.Set{}
	}
	return set
}

func client(c *gin.Context) accounts.Client {
	return accounts.Client{Address: c.ClientIP(), UserAgent: c.Request.UserAgent()}
}

func (p *Platform) locale(c *gin.Context) string {
	if s := Session(c); s != nil {
		return console.Locale(s.Operator.Locale, route.AcceptLanguage(c.Request))
	}
	return console.Locale(route.AcceptLanguage(c.Request))
}

func (p *Platform) t(c *gin.Context, key string, args ...any) string {
	return p.shell.T(p.locale(c), key, args...)
}

func (p *Platform) render(c *gin.Context, status int, page, title string, data any) error {
	return p.shell.Render(c, status, page, console.Page{Title: title, Locale: p.locale(c), Bare: true, Wide: wide[page], Brand: console.Brand{Name: "Shingle", URL: "/"}}, data)
}

// wide are the pages that need more room than a form does.
var wide = map[string]bool{"security": true, "set_up": true}

// form shows a page again with what was typed and what must change.
func (p *Platform) form(c *gin.Context, page, title string, data map[string]any, err error) error {
	status := http.StatusOK
	if err != nil {
		switch fault.KindOf(err) {
		case fault.Invalid, fault.Conflict, fault.TooMany, fault.Gone:
		default:
			return err
		}
		status = route.Status(err)
		route.RetryAfter(c, err)
		fields := p.shell.Explain(p.locale(c), err)
		if len(fields) == 0 {
			data["Problem"] = p.problem(c, err)
		}
		data["Errors"] = fields
	}
	return p.render(c, status, page, title, data)
}

func (p *Platform) problem(c *gin.Context, err error) string {
	if fault.Is(err, fault.TooMany) {
		return p.t(c, "platform.too_many")
	}
	if fault.Is(err, fault.Gone) {
		return p.t(c, "platform.over")
	}
	return p.shell.Text(p.locale(c), fault.TextOf(err))
}

// ErrorPage renders an error; without a session it leads to the sign-in.
func (p *Platform) ErrorPage(c *gin.Context, status int, err error) {
	if fault.Is(err, fault.StepUp) && c.Request.Method == http.MethodGet {
		c.Redirect(http.StatusSeeOther, "/verify?next="+url.QueryEscape(c.Request.URL.RequestURI()))
		return
	}
	if status == http.StatusUnauthorized && c.Request.Method == http.MethodGet {
		c.Redirect(http.StatusSeeOther, "/sign-in?next="+url.QueryEscape(c.Request.URL.RequestURI()))
		return
	}
	if fault.Is(err, fault.StepUp) { // and a form was sent
		kept := console.Keep(c, "/verify?"+url.Values{"next": {PathConfirmed}}.Encode())
		_ = p.render(c, http.StatusForbidden, "step_up", p.t(c, "kept.title"), kept)
		return
	}
	text := p.problem(c, err)
	if text == "" || status >= 500 || status == http.StatusNotFound {
		key := "platform.error.500"
		if status == http.StatusNotFound {
			key = "platform.error.404"
		}
		text = p.t(c, key)
	}
	_ = p.render(c, status, "error", p.t(c, "platform.error.title"), map[string]any{"Text": text, "Request": tenant.RequestIDFrom(c.Request.Context())})
}

// showcase is a board on the landing page.
// showcase is a demo board in small: its colours, its type and three of its
// listings.
type showcase struct {
	Name    string      `bun:"name"`
	Tagline string      `bun:"tagline"`
	Host    string      `bun:"host"`
	Locale  string      `bun:"locale"`
	Live    int         `bun:"live"`
	Look    themes.Look `bun:"look,type:jsonb"`
	Jobs    []showJob   `bun:"jobs,type:jsonb"`
	URL     string      `bun:"-"`
	// Style is the board's custom properties.
	Style template.CSS `bun:"-"`
}

type showJob struct {
	Title   string `json:"title"`
	Company string `json:"company"`
}

// home is the landing page. It links the demo's boards; real ones are their
// owners' business.
func (p *Platform) home(c *gin.Context) error {
	var boards []showcase
	err := p.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT b.name, b.tagline, b.locale, h.host, coalesce(k.look, '{}') AS look,
				(SELECT count(*) FROM listings AS l WHERE l.tenant_id = b.id AND l.state = 'live') AS live,
				(SELECT coalesce(json_agg(json_build_object('title', j.title, 'company', j.name)), '[]') FROM (
					SELECT l.title, c.name FROM listings AS l JOIN companies AS c ON c.tenant_id = l.tenant_id AND c.id = l.company_id
					WHERE l.tenant_id = b.id AND l.state = 'live' ORDER BY l.featured DESC, l.published_at DESC, l.id LIMIT 3) AS j) AS jobs
			FROM boards AS b JOIN hosts AS h ON h.board_id = b.id AND h.canonical LEFT JOIN looks AS k ON k.tenant_id = b.id AND k.state = 'published'
			WHERE b.demo AND b.state = 'active' ORDER BY b.created_at LIMIT 6`).Scan(ctx, &boards)
	})
	if err != nil {
		return err
	}
	for i := range boards {
		boards[i].URL = p.Links.Host(boards[i].Host, "/")
		boards[i].Style = template.CSS(boards[i].Look.Tokens.Inline()) // #nosec G203 -- printed by our own types
	}
	offer, err := p.offer(c)
	if err != nil {
		return err
	}
	c.Writer.Header().Del("X-Robots-Tag") // the one page here that wants to be found
	return p.shell.Render(c, http.StatusOK, "home", console.Page{Title: p.t(c, "home.title"), Locale: p.locale(c), Bare: true, Public: true,
		Brand: console.Brand{Name: "Shingle", URL: p.Links.Platform("/")}}, map[string]any{
		"Boards": boards, "Plans": offer, "Dev": p.Dev, "Session": Session(c), "SignIn": p.Links.Platform("/sign-in"), "SignUp": p.Links.Platform("/sign-up"), "Mine": p.Links.Platform("/boards")})
}

// planOffer is a plan on the landing page.
type planOffer struct {
	Name, Line  string
	Lines       []string
	Trial       int
	Month, Year *plans.Price
	Loud        bool // the one in the middle
}

// offer are the plans with their prices, in euros for readers of German.
func (p *Platform) offer(c *gin.Context) ([]planOffer, error) {
	if p.Plans == nil {
		return nil, nil
	}
	all, err := p.Plans.Offered(c.Request.Context())
	if err != nil {
		return nil, err
	}
	locale, currency := p.locale(c), "USD"
	if locale == "de" {
		currency = "EUR"
	}
	out := make([]planOffer, len(all))
	for i := range all {
		q := &all[i]
		out[i] = planOffer{Name: q.Name, Line: q.Line(locale), Lines: p.shell.PlanLines(locale, q), Trial: q.TrialDays, Month: q.Price(plans.Month, currency), Year: q.Price(plans.Year, currency),
			Loud: len(all) > 1 && i == (len(all)-1)/2}
	}
	return out, nil
}

// boards lists the boards that the operator works on.
func (p *Platform) boards(c *gin.Context) error {
	s := Session(c)
	var mine []authz.Membership
	err := p.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		mine, err = authz.BoardsOf(ctx, tx, s.Operator.ID)
		return err
	})
	if err != nil {
		return err
	}
	staff := p.Allowed(c, authz.Can("board", "read"))
	if len(mine) == 1 && !staff && c.Query("stay") == "" {
		return route.SeeOther(c, "/go?board="+mine[0].Board.String())
	}
	return p.render(c, http.StatusOK, "boards", p.t(c, "boards.title"), map[string]any{"Mine": mine, "Staff": staff, "Email": s.Operator.Email})
}

// enter hands the operator over to a board's console with a single-use code.
func (p *Platform) enter(c *gin.Context) error {
	id, err := tenant.ParseID(c.Query("board"))
	if err != nil {
		return fault.New(fault.NotFound, "board not found")
	}
	h, err := p.Operators.HandOver(c.Request.Context(), Session(c), id, accounts.LocalPath(c.Query("next"), "/admin"))
	if err != nil {
		return err
	}
	c.Header("Referrer-Policy", "no-referrer")
	return route.SeeOther(c, p.Links.Host(h.Host, "/admin/enter?code="+url.QueryEscape(h.Code)))
}

// signUpData is the form of a new company, kept until its address is confirmed.
type signUpData struct {
	Name     string `json:"name"`
	Slug     string `json:"slug"`
	Locale   string `json:"locale"`
	Currency string `json:"currency"`
	TimeZone string `json:"time_zone"`
}

func (d signUpData) board(email string) tenant.NewBoard {
	return tenant.NewBoard{Slug: d.Slug, Name: d.Name, Locale: d.Locale, Currency: d.Currency, TimeZone: d.TimeZone, ContactEmail: email}
}

func (p *Platform) signUpPage(c *gin.Context, d signUpData, email, person string, err error) error {
	return p.form(c, "sign_up", p.t(c, "sign_up.title"), map[string]any{"D": d, "Email": email, "Person": person, "Locales": console.LocaleOptions(),
		"Currencies": console.CurrencyOptions(), "Zones": console.ZoneOptions(), "Domain": p.Links.BoardDomain}, err)
}

func (p *Platform) signUpForm(c *gin.Context) error {
	d := signUpData{Locale: p.locale(c), Currency: "USD", TimeZone: "UTC"}
	if d.Locale == "de" {
		d.Currency, d.TimeZone = "EUR", "Europe/Berlin"
	}
	return p.signUpPage(c, d, "", "", nil)
}

func signUpTyped(c *gin.Context) signUpData {
	return signUpData{Name: strings.TrimSpace(c.PostForm("name")), Slug: strings.ToLower(strings.TrimSpace(c.PostForm("slug"))),
		Locale: c.PostForm("locale"), Currency: c.PostForm("currency"), TimeZone: c.PostForm("time_zone")}
}

func (p *Platform) signUp(c *gin.Context) error {
	d := signUpTyped(c)
	email, person := strings.TrimSpace(c.PostForm("email")), c.PostForm("person")
	err := p.Launcher.Check(c.Request.Context(), d.board(email), "email", email)
	var ticket string
	if err == nil {
		err = p.Proof.Mails(c, proof.SignUp)
	}
	if err == nil {
		ticket, err = p.Operators.RequestSignUp(c.Request.Context(), accounts.SignUp{Email: email, Name: person, Locale: p.locale(c), Data: d}, client(c))
	}
	if err != nil {
		return p.signUpPage(c, d, email, person, err)
	}
	return p.render(c, http.StatusOK, "sent", p.t(c, "sent.title"), map[string]any{"Email": email, "Ticket": ticket, "Action": accounts.PathSignUp})
}

func (p *Platform) confirmForm(c *gin.Context) error {
	return p.tokenPage(c, "sign-up", accounts.PathSignUp, "confirm.title", "confirm.text", "confirm.button")
}

// tokenPage shows a mailed link's button: the button's POST spends the token.
func (p *Platform) tokenPage(c *gin.Context, kind, action, title, text, button string) error {
	return p.anyTokenPage(c, []string{kind}, action, title, text, button)
}

// anyTokenPage is tokenPage for a link of one of several kinds.
func (p *Platform) anyTokenPage(c *gin.Context, kinds []string, action, title, text, button string) error {
	token, kind := c.Query("token"), ""
	var seen *accounts.Peeked
	var err error
	for _, kind = range kinds {
		if seen, err = p.Operators.Peek(c.Request.Context(), kind, token); err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	c.Header("Referrer-Policy", "no-referrer")
	return p.render(c, http.StatusOK, "token", p.t(c, title), map[string]any{"Token": token, "Action": action, "Text": p.t(c, text, seen.Email, seen.BoardName),
		"Button": p.t(c, button, seen.BoardName), "AskName": kind == "invite"})
}

// confirm makes the board of a confirmed address. What is refused by then (its
// slug was taken meanwhile) comes back as the form, which the same proof opens.
func (p *Platform) confirm(c *gin.Context) error {
	var made *tenant.Tenant
	var asked *signUpData
	email := ""
	in, err := p.Operators.ConfirmSignUp(c.Request.Context(), typedProof(c), client(c), func(ctx context.Context, tx bun.IDB, o *accounts.Operator, data json.RawMessage) error {
		var d signUpData
		if err := json.Unmarshal(data, &d); err != nil {
			return err
		}
		if c.PostForm("again") != "" {
			d = signUpTyped(c)
		}
		asked, email = &d, o.Email
		t, err := p.Launcher.Make(ctx, tx, d.board(o.Email), o)
		made = t
		return err
	})
	if err != nil && asked != nil && len(fault.FieldsOf(err)) > 0 {
		c.Header("Referrer-Policy", "no-referrer")
		return p.form(c, "sign_up_again", p.t(c, "sign_up.again"), map[string]any{"D": *asked, "Email": email, "Proof": typedProof(c), "Action": accounts.PathSignUp,
			"Locales": console.LocaleOptions(), "Currencies": console.CurrencyOptions(), "Zones": console.ZoneOptions(), "Domain": p.Links.BoardDomain}, err)
	}
	if err != nil {
		return p.badProof(c, accounts.PathSignUp, err)
	}
	p.Launcher.Made(made)
	p.cookies.Set(c.Writer, c.Request.Host, in.Token, in.Expires)
	return route.SeeOther(c, "/go?board="+made.ID.String())
}

func typedProof(c *gin.Context) accounts.Proof {
	return accounts.Proof{Token: c.PostForm("token"), Ticket: c.PostForm("ticket"), Code: strings.Join(strings.Fields(c.PostForm("code")), "")}
}

// badProof comes back to the code's form, or says that the link is over.
func (p *Platform) badProof(c *gin.Context, action string, err error) error {
	if ticket := c.PostForm("ticket"); ticket != "" && (fault.Is(err, fault.Invalid) || fault.Is(err, fault.TooMany)) {
		return p.form(c, "sent", p.t(c, "sent.title"), map[string]any{"Email": c.PostForm("email"), "Ticket": ticket, "Action": action}, err)
	}
	return err
}
