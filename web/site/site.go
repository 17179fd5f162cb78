// Package site is a board's public face: home, search, listings, companies,
// feeds, and what a seeker can do without an account. It never shows what is
// not published and sets no cookie. Start at Routes.
package site

import (
	"context"
	"embed"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"
	"gocloud.dev/blob"

	"shingle/accounts"
	"shingle/authz"
	"shingle/billing/meter"
	"shingle/candidates"
	"shingle/domains/access"
	"shingle/internal/fault"
	"shingle/internal/links"
	"shingle/listings"
	"shingle/privacy"
	"shingle/search"
	"shingle/tenant"
	"shingle/themes"
	"shingle/themes/looks"
	"shingle/web/console"
	"shingle/web/proof"
	"shingle/web/route"
)

//go:embed words/*.toml
var wordFiles embed.FS

// Site serves a board's public pages.
type Site struct {
	DB         *tenant.DB
	Links      links.Links
	Listings   *listings.Store
	Search     *search.Service
	Candidates *candidates.Service
	Packs      *themes.Packs
	Looks      *looks.Store
	Cache      *themes.Cache
	Files      *blob.Bucket
	// FilesOrigin is where uploads are served from, a host of their own; "" for
	// the board's.
	FilesOrigin string
	Access      *access.Service
	Privacy     *privacy.Service
	Limits      *accounts.Limiter
	// Proof judges what strangers send.
	Proof *proof.Service
	// Meter counts the pages that visitors are shown; nil counts nothing.
	Meter *meter.Meter
	Now   func() time.Time
	// CacheOn answers anonymous pages from memory; off only for measuring.
	CacheOn bool

	words *console.Words
	// detached is what pages are made on that no request waits for alone.
	detached *gin.Engine
}

// WordFiles is the catalogue, for tests.
func WordFiles() fs.FS { return wordFiles }

// Load reads the words.
func (s *Site) Load() (err error) {
	s.detached = gin.New()
	s.words, err = console.LoadWords(wordFiles)
	return err
}

// Routes is every public URL of a board.
func (s *Site) Routes() []route.Route {
	const GET, POST = route.GET, route.POST
	pub := authz.Public
	return append(append(s.gateRoutes(), s.dataRoutes()...), []route.Route{
		{Method: GET, Path: "/", Handle: s.viewed(s.cached(s.home)), Can: pub},
		{Method: GET, Path: "/jobs", Handle: s.viewed(s.cached(s.jobs)), Can: pub},
		{Method: GET, Path: "/jobs/:listing", Handle: s.viewed(s.cached(s.listing)), Can: pub},
		{Method: GET, Path: "/jobs/:listing/apply", Handle: s.applyForm, Can: pub},
		{Method: POST, Path: "/jobs/:listing/apply", Handle: s.apply, Can: pub, Body: 25 << 20},
		{Method: GET, Path: "/jobs/:listing/report", Handle: s.reportForm, Can: pub},
		{Method: POST, Path: "/jobs/:listing/report", Handle: s.report, Can: pub},
		{Method: GET, Path: "/applications/withdraw", Handle: s.withdrawForm, Can: pub},
		{Method: POST, Path: "/applications/withdraw", Handle: s.withdraw, Can: pub},
		{Method: GET, Path: "/companies", Handle: s.viewed(s.cached(s.companies)), Can: pub},
		{Method: GET, Path: "/companies/:company", Handle: s.viewed(s.cached(s.company)), Can: pub},
		{Method: GET, Path: "/categories/:category", Handle: s.viewed(s.cached(s.category)), Can: pub},
		{Method: POST, Path: "/alerts", Handle: s.askAlert, Can: pub},
		{Method: GET, Path: "/alerts/confirm", Handle: s.confirmAlertForm, Can: pub},
		{Method: POST, Path: "/alerts/confirm", Handle: s.confirmAlert, Can: pub},
		{Method: GET, Path: "/alerts/stop", Handle: s.stopAlertForm, Can: pub},
		{Method: POST, Path: "/alerts/stop", Handle: s.stopAlert, Can: pub},
		{Method: GET, Path: "/suggest", Handle: route.Limited(s.Limits, accounts.Typing, s.suggest), Can: pub},
		{Method: GET, Path: proof.Path + ":form", Handle: s.Proof.Challenge(proof.Apply, proof.Post, proof.Report, proof.Alert, proof.SignIn, proof.Enter, proof.Data), Can: pub},
		{Method: GET, Path: "/pages/:page", Handle: s.viewed(s.cached(s.page)), Can: pub},
		{Method: GET, Path: "/feed.rss", Handle: s.cached(s.rss), Can: pub},
		{Method: GET, Path: "/feed.json", Handle: s.cached(s.jsonFeed), Can: pub},
		{Method: GET, Path: "/sitemap.xml", Handle: s.cached(s.sitemapIndex), Can: pub},
		{Method: GET, Path: "/sitemaps/:part", Handle: s.cached(s.sitemapPart), Can: pub},
		{Method: GET, Path: "/robots.txt", Handle: s.cached(s.robots), Can: pub},
		{Method: GET, Path: "/x/*file", Handle: s.file, Can: pub},
		{Method: GET, Path: "/files/*file", Handle: s.file, Can: pub}, // as it was called before
		{Method: GET, Path: "/:theme", Handle: s.themeFile, Can: pub},
		{Method: GET, Path: "/assets/:file", Handle: s.asset, Can: pub},
		{Method: GET, Path: "/favicon.ico", Handle: s.favicon, Can: pub},
	}...)
}

// view is one request's board, look and writer.
type view struct {
	*Writer
	ctx  context.Context
	look *looks.Ready
	// still is for previews in a frame, which run no script.
	still bool
}

func (s *Site) view(ctx context.Context) (*view, error) {
	t := tenant.From(ctx)
	if t == nil {
		return nil, fault.New(fault.Internal, "no board")
	}
	look, err := s.Looks.Of(ctx, t)
	if err != nil {
		return nil, err
	}
	return &view{Writer: &Writer{T: t, Now: s.Now(), Words: s.words}, ctx: ctx, look: look}, nil
}

// Writer is the texts of a board for other audiences that show its listings.
func (s *Site) Writer(t *tenant.Tenant) *Writer { return &Writer{T: t, Now: s.Now(), Words: s.words} }

// render writes a page of the board's pack.
func (s *Site) render(c *gin.Context, v *view, status int, page string, data any) error {
	return route.HTML(c, status, func(w io.Writer) error { return s.Packs.Render(v.ctx, w, v.look.Pack, page, data) })
}

// read runs fn in one bound transaction: all reads of a page.
func (s *Site) read(c *gin.Context, fn tenant.Fn) error { return s.DB.Read(c.Request.Context(), fn) }

// ErrorPage is an error in the board's look and words.
func (s *Site) ErrorPage(c *gin.Context, status int, err error) {
	v, verr := s.view(c.Request.Context())
	if verr != nil {
		c.Data(status, "text/plain; charset=utf-8", []byte(http.StatusText(status)+"\n"))
		return
	}
	known := map[int]int{400: 404, 401: 403, 405: 404, 409: 403, 422: 404, 502: 500, 504: 503}
	shown := status
	if k, ok := known[status]; ok {
		shown = k
	}
	text := ""
	if status < 500 {
		// Only what the catalogue knows is said: other texts are for the log.
		text = s.words.Text(v.locale(), fault.TextOf(err))
		if text == fault.TextOf(err) || status == http.StatusNotFound {
			text = ""
		}
	}
	box := s.searchBox(v, search.Query{})
	p := themes.ErrorPage{Layout: s.layout(v, v.Say("error.title")), Status: shown, Text: text,
		RequestID: tenant.RequestIDFrom(c.Request.Context()), Search: &box,
		Links: []themes.Link{{Text: v.Say("nav.jobs"), URL: "/jobs"}, {Text: v.Say("nav.home"), URL: "/"}}}
	p.Robots = "noindex"
	if rerr := s.render(c, v, status, "error", p); rerr != nil {
		c.Data(status, "text/plain; charset=utf-8", []byte(http.StatusText(status)+"\n"))
	}
}

// categories reads the board's categories with their live listings.
func (s *Site) categories(ctx context.Context, tx bun.IDB) ([]listings.Category, error) {
	return s.Listings.CategoriesLive(ctx, tx)
}

// layout is what surrounds every page of the board.
func (s *Site) layout(v *view, title string) themes.Layout {
	t := v.T
	tagline := v.look.Words.Tagline
	if tagline == "" {
		tagline = t.Tagline
	}
	l := themes.Layout{
		Locale: console.Locale(t.Locale), Dir: "ltr", Title: title,
		Board:     themes.Board{Name: t.Name, Tagline: tagline, HomeURL: "/", LogoURL: v.logoURL(), IconURL: v.iconURL()},
		SearchURL: "/jobs", PostURL: "/post", FeedURL: "/feed.rss",
		ThemeCSS: v.look.CSSURL, CustomCSS: v.look.CustomURL, Still: v.still,
		Nav: []themes.Link{{Text: v.Say("nav.jobs"), URL: "/jobs"}, {Text: v.Say("nav.companies"), URL: "/companies"}, {Text: v.Say("nav.employers"), URL: "/employers"}},
		Footer: themes.Footer{Text: v.look.Words.Footer,
			Links: []themes.Link{{Text: v.Say("nav.jobs"), URL: "/jobs"}, {Text: v.Say("nav.companies"), URL: "/companies"},
				{Text: v.Say("nav.post"), URL: "/post"}, {Text: v.Say("nav.employers"), URL: "/employers"}},
			Legal: append(slices.Clone(v.look.Legal), themes.Link{Text: v.Say("nav.your_data"), URL: yourData})},
	}
	if t.Private() {
		l.Robots = "noindex, nofollow"
	}
	l.Share = themes.Share{Type: "website", Title: title}
	return l
}

func (v *view) logoURL() string {
	if v.look.LogoKey == "" {
		return ""
	}
	return FileURL(v.look.LogoKey)
}

func (v *view) iconURL() string { return v.logoURL() }

// canonical is a page's one address.
func (s *Site) canonical(v *view, path string) string { return s.Links.Board(v.T, path) }

// Guard lets everybody in: the site's routes are public by their tables.
func Guard(_ *gin.Context, p authz.Permission) error {
	if p != authz.Public {
		return fault.New(fault.Forbidden, "not for visitors")
	}
	return nil
}

// EmployerWords are what the owner says to employers; "" where nothing.
func (s *Site) EmployerWords(v *View) (title, text string) {
	return v.look.Words.EmployersTitle, v.look.Words.EmployersText
}

// View is one request's board, look and words, for the audiences that share
// the board's pages.
type View = view

// View reads the board's look for a request's context.
func (s *Site) View(ctx context.Context) (*View, error) { return s.view(ctx) }

// Layout surrounds a page of the board.
func (s *Site) Layout(v *View, title string) themes.Layout { return s.layout(v, title) }

// Render writes a page of the board's pack.
func (s *Site) Render(c *gin.Context, v *View, status int, page string, data any) error {
	return s.render(c, v, status, page, data)
}

// Form is what was typed, with what must change about it in the board's words.
func (s *Site) Form(v *View, action string, values map[string]string, err error) themes.Form {
	return s.form(v, action, values, err)
}

// CardOf is a listing with its company as a card.
func (s *Site) CardOf(v *View, l *listings.Listing) themes.Card { return cardOf(v, l) }

// CompanyCard is a company for a list.
func (s *Site) CompanyCard(v *View, co *listings.Company) themes.CompanyCard {
	return v.companyCard(co)
}

// Brand is the board's mark for consoles: logo and accent.
func (s *Site) Brand(ctx context.Context) (console.Brand, error) {
	v, err := s.view(ctx)
	if err != nil {
		return console.Brand{}, err
	}
	b := console.Brand{Name: v.T.Name, Logo: v.logoURL()}
	if accent, on := v.look.Accent(); accent != "" {
		b.Accent, b.AccentText = template.CSS(accent), template.CSS(on) // #nosec G203 -- printed by Color.Hex
	}
	return b, nil
}
