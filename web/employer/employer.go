// Package employer is the way from "Post a job" to a live listing, and the desk
// behind the magic link: listings, applicants, orders. Nothing here needs an
// account before paying. Start at PublicRoutes and DeskRoutes.
package employer

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/authz"
	"shingle/billing"
	"shingle/billing/plans"
	"shingle/candidates"
	"shingle/internal/fault"
	"shingle/internal/links"
	"shingle/listings"
	"shingle/tenant"
	"shingle/web/console"
	"shingle/web/proof"
	"shingle/web/route"
	"shingle/web/site"
)

//go:embed all:pages words
var files embed.FS

// Employer serves posting and the desk.
type Employer struct {
	DB         *tenant.DB
	Links      links.Links
	Site       *site.Site
	Listings   *listings.Store
	Plans      *plans.Service
	Billing    *billing.Service
	Candidates *candidates.Service
	People     *accounts.People
	Limits     *accounts.Limiter
	// Key signs the links of drafts that nobody has signed in for.
	Key []byte
	Now func() time.Time

	cookies accounts.Cookies
	shell   *console.Shell
}

// Words are the catalogue files, for tests.
func Words() fs.FS { return files }

// Load parses pages and words.
func (e *Employer) Load(assets *console.Assets) (err error) {
	e.cookies = accounts.Cookies{Name: accounts.PersonCookie, Scheme: e.Links.Scheme}
	e.shell, err = console.NewShell(files, "pages", files, assets)
	return err
}

// PublicRoutes are the pages in the board's look.
func (e *Employer) PublicRoutes() []route.Route {
	const GET, POST = route.GET, route.POST
	pub := authz.Public
	return []route.Route{
		{Method: GET, Path: "/employers", Handle: e.landing, Can: pub},
		{Method: GET, Path: "/post", Handle: e.postForm, Can: pub},
		{Method: POST, Path: "/post", Handle: e.post, Can: pub, Body: 25 << 20},
		{Method: GET, Path: "/post/:draft", Handle: e.editDraftForm, Can: pub},
		{Method: POST, Path: "/post/:draft", Handle: e.editDraft, Can: pub, Body: 25 << 20},
		{Method: GET, Path: "/post/:draft/preview", Handle: e.preview, Can: pub},
		{Method: GET, Path: "/post/:draft/products", Handle: e.products, Can: pub},
		{Method: POST, Path: "/post/:draft/products", Handle: e.buy, Can: pub},
		{Method: GET, Path: "/post/:draft/return", Handle: e.paid, Can: pub},
		{Method: GET, Path: proof.ConfirmPath, Handle: e.confirmForm, Can: pub},
		{Method: POST, Path: proof.ConfirmPath, Handle: e.confirm, Can: pub},
		{Method: GET, Path: "/sign-in", Handle: e.signInForm, Can: pub},
		{Method: POST, Path: "/sign-in", Handle: e.signIn, Can: pub},
		{Method: POST, Path: "/sign-in/code", Handle: e.code, Can: pub},
		{Method: GET, Path: accounts.PathPersonLink, Handle: e.linkForm, Can: pub},
		{Method: POST, Path: accounts.PathPersonLink, Handle: e.link, Can: pub},
	}
}

// DeskRoutes are the pages behind the sign-in.
func (e *Employer) DeskRoutes() []route.Route {
	const GET, POST = route.GET, route.POST
	in := authz.SignedIn
	return []route.Route{
		{Method: GET, Path: "/employers/desk", Handle: e.desk, Can: in},
		{Method: GET, Path: "/employers/listings/:id", Handle: e.showListing, Can: in},
		{Method: POST, Path: "/employers/listings/:id", Handle: e.saveListing, Can: in, Body: 25 << 20},
		{Method: POST, Path: "/employers/listings/:id/move", Handle: e.move, Can: in},
		{Method: POST, Path: "/employers/listings/:id/relist", Handle: e.relist, Can: in},
		{Method: GET, Path: "/employers/listings/:id/applicants", Handle: e.applicants, Can: in},
		{Method: GET, Path: "/employers/listings/:id/applicants.csv", Handle: route.Download(e.Limits, e.applicantsCSV), Can: in},
		{Method: GET, Path: "/employers/applications/:id", Handle: e.application, Can: in},
		{Method: POST, Path: "/employers/applications/:id/status", Handle: e.setStatus, Can: in},
		{Method: POST, Path: "/employers/applications/:id/reply", Handle: e.reply, Can: in},
		{Method: GET, Path: "/employers/applications/:id/cv", Handle: route.Download(e.Limits, e.cv), Can: in},
		{Method: GET, Path: "/employers/orders", Handle: e.orders, Can: in},
		{Method: POST, Path: "/employers/sign-out", Handle: e.signOut, Can: in},
	}
}

const sessionKey = "person_session"

func session(c *gin.Context) *accounts.PersonSession {
	v, _ := c.Get(sessionKey)
	s, _ := v.(*accounts.PersonSession)
	return s
}

// Guard finds the person's session on this board. Public pages do without.
func (e *Employer) Guard(c *gin.Context, can authz.Permission) error {
	token := e.cookies.Token(c.Request)
	if token == "" {
		if can == authz.Public {
			return nil
		}
		return fault.New(fault.SignIn, "sign in first")
	}
	s, err := e.People.SessionByToken(c.Request.Context(), token)
	if err != nil {
		if can == authz.Public && !fault.Is(err, fault.Unavailable) {
			return nil
		}
		return err
	}
	if can != authz.Public && can != authz.SignedIn {
		return fault.New(fault.Forbidden, "not for employers")
	}
	c.Set(sessionKey, s)
	c.Request = c.Request.WithContext(tenant.WithActor(c.Request.Context(), s.Person.Actor()))
	return nil
}

// ErrorPage sends who must sign in to the sign-in, and shows the rest in the
// board's look.
func (e *Employer) ErrorPage(c *gin.Context, status int, err error) {
	if status == http.StatusUnauthorized {
		next := "/employers/desk"
		if c.Request.Method == http.MethodGet {
			next = c.Request.URL.RequestURI()
		}
		c.Redirect(http.StatusSeeOther, "/sign-in?next="+url.QueryEscape(next))
		return
	}
	e.Site.ErrorPage(c, status, err)
}

func client(c *gin.Context) accounts.Client {
	return accounts.Client{Address: c.ClientIP(), UserAgent: c.Request.UserAgent()}
}

func (e *Employer) locale(c *gin.Context) string {
	return console.Locale(tenant.From(c.Request.Context()).Locale)
}

func (e *Employer) t(c *gin.Context, key string, args ...any) string {
	return e.shell.T(e.locale(c), key, args...)
}

// render shows a desk page in the console's shell.
func (e *Employer) render(c *gin.Context, status int, page, title string, data map[string]any, actions ...console.Link) error {
	board, path := tenant.From(c.Request.Context()), c.Request.URL.Path
	p := console.Page{Title: title, Locale: board.Locale, User: session(c).Person.Email, SignOut: "/employers/sign-out", Actions: actions,
		Brand: console.Brand{Name: board.Name, URL: "/employers/desk", Site: "/"}}
	if brand, err := e.Site.Brand(c.Request.Context()); err == nil {
		p.Brand.Logo, p.Brand.Accent, p.Brand.AccentText = brand.Logo, brand.Accent, brand.AccentText
	}
	for _, n := range [][3]string{{"desk.nav.listings", "/employers/desk", "briefcase"}, {"desk.nav.orders", "/employers/orders", "receipt"}} {
		p.Nav = append(p.Nav, console.NavItem{Label: e.t(c, n[0]), URL: n[1], Icon: n[2],
			Active: path == n[1] || n[1] == "/employers/desk" && strings.HasPrefix(path, "/employers/listings") || n[1] == "/employers/desk" && strings.HasPrefix(path, "/employers/applications")})
	}
	if l, ok := data["L"].(*listings.Listing); ok {
		own := "/employers/listings/" + l.ID.String()
		crumbs := []console.Link{{Label: e.t(c, "desk.nav.listings"), URL: "/employers/desk"}, {Label: l.Title, URL: own}, {Label: e.t(c, "desk.applicants"), URL: own + "/applicants"}}
		p.Crumbs = crumbs[:map[string]int{"listing": 1, "applicants": 2, "application": 3}[page]]
	}
	p.Nav = append(p.Nav, console.NavItem{Label: e.t(c, "desk.nav.post"), URL: "/post", Icon: "plus"})
	return e.shell.Render(c, status, page, p, data)
}

// read runs fn in one bound transaction.
func (e *Employer) read(c *gin.Context, fn tenant.Fn) error {
	return e.DB.Read(c.Request.Context(), fn)
}

func (e *Employer) write(c *gin.Context, fn tenant.Fn) error {
	return e.DB.Write(c.Request.Context(), fn)
}

// draftToken names a draft to whoever holds the link: the guest who typed it.
func (e *Employer) draftToken(board tenant.ID, listing uuid.UUID) string {
	return base64.RawURLEncoding.EncodeToString(append(listing[:], e.draftMAC(board, listing)...))
}

func (e *Employer) draftMAC(board tenant.ID, listing uuid.UUID) []byte {
	m := hmac.New(sha256.New, e.Key)
	m.Write([]byte("draft link v1"))
	m.Write(board[:])
	m.Write(listing[:])
	return m.Sum(nil)[:16]
}

// draft loads the listing of a draft link. Kind: fault.NotFound for a link that
// we did not make.
func (e *Employer) draft(c *gin.Context) (*listings.Listing, string, error) {
	token := c.Param("draft")
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) != 32 {
		return nil, "", fault.New(fault.NotFound, "no such draft")
	}
	id := uuid.UUID(raw[:16])
	if !hmac.Equal(raw[16:], e.draftMAC(tenant.From(c.Request.Context()).ID, id)) {
		return nil, "", fault.New(fault.NotFound, "no such draft")
	}
	var l *listings.Listing
	err = e.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		l, err = e.Listings.Full(ctx, tx, id)
		return err
	})
	c.Header("Referrer-Policy", "no-referrer")
	return l, token, err
}
