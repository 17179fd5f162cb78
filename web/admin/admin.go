// Package admin is the board's console: what its team does with listings,
// prices, looks and money. It reads no application: the employer is their
// controller. Start at Routes.
package admin

import (
	"context"
	"embed"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"
	"gocloud.dev/blob"

	"shingle/accounts"
	"shingle/archive"
	"shingle/authz"
	"shingle/billing"
	"shingle/billing/plans"
	"shingle/candidates"
	"shingle/domains"
	"shingle/domains/access"
	"shingle/domains/redirects"
	"shingle/internal/fault"
	"shingle/internal/links"
	"shingle/listings"
	"shingle/mail"
	"shingle/privacy"
	"shingle/tenant"
	"shingle/themes"
	"shingle/themes/looks"
	"shingle/web/console"
	"shingle/web/route"
	"shingle/web/site"
)

//go:embed all:pages words
var files embed.FS

// Admin serves /admin on a board's platform address.
type Admin struct {
	// Limits bounds downloads; nil bounds nothing.
	Limits     *accounts.Limiter
	DB         *tenant.DB
	Platform   *tenant.Platform
	Boards     *tenant.Resolver
	Notifier   *tenant.Notifier
	Links      links.Links
	Site       *site.Site
	Listings   *listings.Store
	Billing    *billing.Service
	Candidates *candidates.Service
	Domains    *domains.Service
	Redirects  *redirects.Store
	Access     *access.Service
	Archive    *archive.Service
	Privacy    *privacy.Service
	Operators  *accounts.Operators
	Gate       *authz.Gate
	Packs      *themes.Packs
	Looks      *looks.Store
	Files      *blob.Bucket
	Mail       *mail.Identities
	Plans      *plans.Service
	// Letters knows what mails say and how they look.
	Letters *mail.Sender
	// MailFrom is the address of boards without one of their own.
	MailFrom string
	Now      func() time.Time

	cookies accounts.Cookies
	shell   *console.Shell
}

// Words are the catalogue files, for tests.
func Words() fs.FS { return files }

// Load parses pages and words.
func (a *Admin) Load(assets *console.Assets) (err error) {
	a.cookies = accounts.Cookies{Name: accounts.OperatorCookie, Scheme: a.Links.Scheme}
	a.shell, err = console.NewShell(files, "pages", files, assets)
	return err
}

// Routes is every URL of the audience.
func (a *Admin) Routes() []route.Route {
	own := []route.Route{
		{Method: route.GET, Path: "/admin/enter", Handle: a.enterForm, Can: authz.Public},
		{Method: route.POST, Path: "/admin/enter", Handle: a.enter, Can: authz.Public},
		{Method: route.POST, Path: "/admin/sign-out", Handle: a.signOut, Can: authz.SignedIn},
	}
	return slices.Concat(own, a.workRoutes(), a.boardRoutes(), a.teamRoutes(), a.mailRoutes(), a.domainRoutes(), a.redirectRoutes(), a.accessRoutes(), a.planRoutes(), a.auditRoutes(), a.exportRoutes(), a.privacyRoutes(), a.supportRoutes())
}

const (
	sessionKey = "operator_session"
	setKey     = "operator_permissions"
)

func session(c *gin.Context) *accounts.OperatorSession {
	v, _ := c.Get(sessionKey)
	s, _ := v.(*accounts.OperatorSession)
	return s
}

// Guard finds the board's session of an operator, with the version of the
// board's roles, and holds the route's permission against them.
func (a *Admin) Guard(c *gin.Context, can authz.Permission) error {
	if can == authz.Public {
		return nil
	}
	t := tenant.From(c.Request.Context())
	token := a.cookies.Token(c.Request)
	if token == "" {
		return fault.New(fault.SignIn, "sign in first")
	}
	s, err := a.Operators.SessionByToken(c.Request.Context(), token, &t.ID)
	if err != nil {
		return err
	}
	set, err := a.Gate.Permissions(c.Request.Context(), s.Operator.ID, t.ID, s.PolicyVersion)
	if err != nil {
		return err
	}
	if s.Acting != nil {
		if err := a.stillStaff(c.Request.Context(), s.Acting); err != nil {
			return err
		}
		set = set.Without(notActing...)
	}
	c.Set(sessionKey, s)
	c.Set(setKey, set)
	c.Request = c.Request.WithContext(tenant.WithActor(c.Request.Context(), s.Actor(tenant.Operator)))
	if s.Acting != nil {
		if err := actingMay(c, s.Acting); err != nil {
			return err
		}
	} else if err := a.Operators.Check(s, false, false); err != nil {
		return err
	}
	if can != authz.SignedIn && !set.Has(can) {
		return fault.New(fault.Forbidden, "admin.forbidden")
	}
	// Whoever acts as the operator has proven a factor of their own at the start.
	if s.Acting == nil {
		if err := a.Operators.Check(s, false, route.NeedOf(c).StepUp); err != nil {
			return err
		}
	}
	return readOnly(c, can)
}

// may tells whether the operator has a permission on this board.
func (a *Admin) may(c *gin.Context, object, action string) bool {
	set, _ := c.Get(setKey)
	s, ok := set.(authz.Set)
	return ok && s.Has(authz.Can(object, action))
}

func (a *Admin) permissions(c *gin.Context) authz.Set {
	set, _ := c.Get(setKey)
	s, _ := set.(authz.Set)
	return s
}

func (a *Admin) locale(c *gin.Context) string {
	if s := session(c); s != nil {
		return console.Locale(s.Operator.Locale)
	}
	return console.Locale(tenant.From(c.Request.Context()).Locale)
}

func (a *Admin) t(c *gin.Context, key string, args ...any) string {
	return a.shell.T(a.locale(c), key, args...)
}

// nav is the console's menu; an entry shows when its page may be opened.
var nav = []struct{ key, url, icon, object, action string }{
	{"admin.nav.dashboard", "/admin", "layout-dashboard", "board", "read"},
	{"admin.nav.review", "/admin/review", "checklist", "listing", "moderate"},
	{"admin.nav.listings", "/admin/listings", "briefcase", "listing", "read"},
	{"admin.nav.import", "/admin/imports", "file-import", "import", "read"},
	{"admin.nav.companies", "/admin/companies", "building", "company", "read"},
	{"admin.nav.categories", "/admin/categories", "list-check", "category", "read"},
	{"admin.nav.reports", "/admin/reports", "flag", "report", "read"},
	{"admin.nav.products", "/admin/products", "package", "product", "read"},
	{"admin.nav.orders", "/admin/orders", "receipt", "order", "read"},
	{"admin.nav.payouts", "/admin/payouts", "credit-card", "payout", "read"},
	{"admin.nav.plan", "/admin/plan", "gauge", "plan", "read"},
	{"admin.nav.look", "/admin/look", "palette", "look", "read"},
	{"admin.nav.pages", "/admin/pages", "scale", "page", "read"},
	{"admin.nav.domains", "/admin/domains", "world", "domain", "read"},
	{"admin.nav.access", "/admin/access", "lock", "domain", "read"},
	{"admin.nav.redirects", "/admin/redirects", "arrow-back-up", "redirect", "read"},
	{"admin.nav.mail", "/admin/mail", "mail", "mail", "read"},
	{"admin.nav.team", "/admin/team", "users", "team", "read"},
	{"admin.nav.privacy", "/admin/privacy", "users", "privacy", "read"},
	{"admin.nav.audit", "/admin/audit", "list-check", "audit", "read"},
	{"admin.nav.support", "/admin/support", "users", "support", "read"},
	{"admin.nav.settings", "/admin/settings", "settings", "settings", "read"},
	{"admin.nav.export", "/admin/export", "download", "board", "export"},
}

// waiting is what needs somebody, shown as badges.
type waiting struct {
	Review  int `bun:"review"`
	Reports int `bun:"reports"`
}

func (a *Admin) waiting(ctx context.Context) (w waiting, plan *plans.Board) {
	t := tenant.From(ctx)
	_ = a.DB.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		plan, _ = a.Plans.BoardOf(ctx, tx, t.ID) // none is no error
		return tx.NewRaw(`SELECT (SELECT count(*) FROM listings WHERE tenant_id = ? AND state = 'in_review')
			+ (SELECT count(*) FROM listing_revisions WHERE tenant_id = ? AND state = 'pending') AS review,
			(SELECT count(*) FROM reports WHERE tenant_id = ? AND state = 'open') AS reports`, t.ID, t.ID, t.ID).Scan(ctx, &w)
	})
	return w, plan
}

// page is the shell around a page of this request.
func (a *Admin) page(c *gin.Context, title string, actions ...console.Link) console.Page {
	ctx, path := c.Request.Context(), c.Request.URL.Path
	t := tenant.From(ctx)
	p := console.Page{Title: title, Locale: a.locale(c), SignOut: "/admin/sign-out", Actions: actions,
		Brand: console.Brand{Name: t.Name, URL: "/admin", Site: a.Links.Board(t, "/")}}
	if brand, err := a.Site.Brand(ctx); err == nil {
		p.Brand.Logo, p.Brand.Accent, p.Brand.AccentText = brand.Logo, brand.Accent, brand.AccentText
	}
	if s := session(c); s != nil {
		p.User = s.Operator.Label()
		p.Acting = a.acting(c)
		if s.Acting == nil { // those pages are the staff member's own
			p.Menu = []console.Link{{Label: a.t(c, "admin.all_boards"), URL: a.Links.Platform("/boards?stay=1"), Icon: "world"}, {Label: a.t(c, "admin.account"), URL: a.Links.Platform("/account"), Icon: "user"}}
		}
	}
	w, plan := a.waiting(ctx)
	if t.State != tenant.Active && !a.permissions(c).Empty() {
		p.Banner = a.t(c, "admin.suspended", t.StateReason)
	} else if !a.permissions(c).Empty() && !t.Demo {
		p.Banner = a.planBanner(c, plan)
		if p.Banner != "" && a.may(c, "plan", "read") && path != "/admin/plan" {
			p.BannerLink = &console.Link{Label: a.t(c, "plan.pay"), URL: "/admin/plan"}
		}
	}
	asks := a.notices(c, &p)
	for _, n := range nav {
		if !a.may(c, n.object, n.action) {
			continue
		}
		item := console.NavItem{Label: a.t(c, n.key), URL: n.url, Icon: n.icon, Active: path == n.url || n.url != "/admin" && strings.HasPrefix(path, n.url+"/")}
		switch n.url {
		case "/admin/review":
			item.Count = w.Review
		case "/admin/reports":
			item.Count = w.Reports
		case "/admin/support":
			item.Count = asks
		}
		p.Nav = append(p.Nav, item)
	}
	return p
}

// render shows a page in the shell.
func (a *Admin) render(c *gin.Context, status int, page, title string, data any, actions ...console.Link) error {
	return a.shell.Render(c, status, page, a.page(c, title, actions...), data)
}

// read runs fn in one bound transaction.
func (a *Admin) read(c *gin.Context, fn tenant.Fn) error { return a.DB.Read(c.Request.Context(), fn) }

// act runs a change together with its line in the audit log.
func (a *Admin) act(c *gin.Context, act authz.Act, fn tenant.Fn) error {
	return a.DB.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		if err := fn(ctx, tx); err != nil {
			return err
		}
		return authz.Record(ctx, tx, act)
	})
}

// back is the redirect after an act, with its notice.
func (a *Admin) back(c *gin.Context, path, done string) error {
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	return route.SeeOther(c, path+sep+"ok="+url.QueryEscape(done))
}

// refused reports errors that a form comes back with.
func refused(err error) bool { return fault.Is(err, fault.Invalid) || fault.Is(err, fault.Conflict) }

// errors are a refused form's texts by field; an error of the whole form is
// under "form". Where it is the plan that refuses, the way to it comes along,
// under its address.
func (a *Admin) errors(c *gin.Context, err error) map[string]string {
	if err == nil {
		return nil
	}
	out := a.shell.Explain(a.locale(c), err)
	if len(out) == 0 {
		out["form"] = a.shell.Text(a.locale(c), fault.TextOf(err))
	}
	texts := append(slices.Collect(maps.Values(fault.FieldsOf(err))), fault.TextOf(err))
	if slices.ContainsFunc(texts, ofPlan) && a.may(c, "plan", "read") {
		out["/admin/plan"] = a.t(c, "admin.nav.plan")
	}
	return out
}

// ofPlan tells a text about the plan's limits and features.
func ofPlan(text string) bool {
	return strings.HasPrefix(text, "plan.limit.") || strings.HasPrefix(text, "plan.lacks.")
}

func statusOf(err error) int {
	if err == nil {
		return http.StatusOK
	}
	return route.Status(err)
}

// ErrorPage sends who must sign in to the platform's host, and shows the rest
// in the shell.
func (a *Admin) ErrorPage(c *gin.Context, status int, err error) {
	t := tenant.From(c.Request.Context())
	if fault.Is(err, fault.StepUp) {
		a.stepUp(c, t)
		return
	}
	if status == http.StatusUnauthorized {
		next := "/admin"
		if c.Request.Method == http.MethodGet {
			next = c.Request.URL.RequestURI()
		}
		c.Redirect(http.StatusSeeOther, a.Links.Platform("/go?"+url.Values{"board": {t.ID.String()}, "next": {next}}.Encode()))
		return
	}
	text := a.shell.Text(a.locale(c), fault.TextOf(err))
	if status >= 500 || text == "" || status == http.StatusNotFound {
		key := strconv.Itoa(status)
		if status != http.StatusNotFound {
			key = "500"
		}
		text = a.t(c, "admin.error."+key)
	}
	p, boards := a.page(c, a.t(c, "admin.error.title")), ""
	if s := session(c); s == nil {
		p.Bare = true
	} else if status == http.StatusForbidden && a.permissions(c).Empty() {
		// Not in the team, or no longer: nothing here can be opened, so nothing
		// here is offered.
		p.Title, p.Bare, boards = a.t(c, "admin.stranger.title"), true, a.Links.Platform("/boards?stay=1")
		p.Brand.URL = p.Brand.Site
		text = a.t(c, "admin.stranger.text", s.Operator.Email, t.Name)
	}
	_ = a.shell.Render(c, status, "error", p, map[string]any{"Text": text, "Boards": boards, "Request": tenant.RequestIDFrom(c.Request.Context()),
		"Pay": fault.TextOf(err) == "plan.read_only" && a.may(c, "plan", "read")})
}

// stepUp sends to the platform's host for a fresh second factor, which leads back
// by a hand-over. A form that was sent is kept on a page of its own: what was
// typed goes on from there.
func (a *Admin) stepUp(c *gin.Context, t *tenant.Tenant) {
	verify := func(next string) string {
		back := "/go?" + url.Values{"board": {t.ID.String()}, "next": {next}}.Encode()
		return a.Links.Platform("/verify?" + url.Values{"next": {back}}.Encode())
	}
	if c.Request.Method == http.MethodGet {
		to := verify(c.Request.URL.RequestURI())
		if c.GetHeader("HX-Request") == "true" {
			c.Header("HX-Redirect", to)
			c.Status(http.StatusUnauthorized)
			return
		}
		c.Redirect(http.StatusSeeOther, to)
		return
	}
	p := a.page(c, a.t(c, "kept.title"))
	p.Narrow = true
	_ = a.shell.Render(c, http.StatusForbidden, "step_up", p, console.Keep(c, verify("/admin?ok=confirmed")))
}

// enterForm shows whom the hand-over's code signs in; the button spends it.
func (a *Admin) enterForm(c *gin.Context) error {
	code := c.Query("code")
	seen, err := a.Operators.Peek(c.Request.Context(), "hand-over", code)
	if err != nil {
		if fault.Is(err, fault.Gone) {
			return fault.New(fault.SignIn, "sign in first")
		}
		return err
	}
	c.Header("Referrer-Policy", "no-referrer")
	p := a.page(c, a.t(c, "admin.enter.title"))
	p.Bare = true
	return a.shell.Render(c, http.StatusOK, "enter", p, map[string]any{"Code": code, "Email": seen.Email})
}

func (a *Admin) enter(c *gin.Context) error {
	t := tenant.From(c.Request.Context())
	in, err := a.Operators.Exchange(c.Request.Context(), t.ID, c.Request.Host, c.PostForm("code"), accounts.Client{Address: c.ClientIP(), UserAgent: c.Request.UserAgent()})
	if err != nil {
		if fault.Is(err, fault.Gone) || fault.Is(err, fault.SignIn) {
			return route.SeeOther(c, a.Links.Platform("/go?board="+t.ID.String()))
		}
		return err
	}
	a.cookies.Set(c.Writer, c.Request.Host, in.Token, in.Expires)
	return route.SeeOther(c, accounts.LocalPath(in.Next, "/admin"))
}

func (a *Admin) signOut(c *gin.Context) error {
	if s := session(c); s != nil && s.Acting != nil {
		return a.endActing(c) // the staff member's own session is not its operator's to end
	}
	if token := a.cookies.Token(c.Request); token != "" {
		if err := a.Operators.SignOut(c.Request.Context(), token); err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
	}
	a.cookies.Clear(c.Writer, c.Request.Host)
	return route.SeeOther(c, a.Links.Platform("/sign-in"))
}
