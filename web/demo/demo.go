// Package demo is what a public demo shows beside the product: the page on which
// a visitor takes a part with one click, a banner on every page, and a page for
// the minute in which all is made anew. It signs in nobody but the demo's own
// people, and is wired by `shingle demo` alone. Start at Demo.
package demo

import (
	"bytes"
	"context"
	"embed"
	"html/template"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"golang.org/x/text/language"

	"shingle/accounts"
	"shingle/internal/links"
	"shingle/tenant"
	"shingle/web/console"
	"shingle/web/route"
)

//go:embed words pages
var files embed.FS

// Words are the pages' words.
func Words() fs.FS { return files }

// Parts that a visitor can take.
const (
	Seeker    = "seeker"
	Employer  = "employer"
	Owner     = "owner"
	Moderator = "moderator"
	Staff     = "staff"
)

// Parts, in the order of the page.
var Parts = []string{Seeker, Employer, Owner, Moderator, Staff}

const (
	// Path is the page of parts, on the platform's host.
	Path = "/demo"
	// under is where the demo's own addresses are, on every host.
	under     = "/.demo/"
	enterPath = under + "enter"
	cssPath   = under + "demo.css"
	// ticketFor is how long the step from one host to the other may take.
	ticketFor = time.Minute
)

// Person is who takes a part: an address, and the board it is on.
type Person struct {
	Email string
	Board *tenant.Tenant
}

// Demo stands in front of the product.
type Demo struct {
	DB        *tenant.DB
	Platform  *tenant.Platform
	Boards    *tenant.Resolver
	Operators *accounts.Operators
	People    *accounts.People
	Links     links.Links
	// Ensure finds who takes a part on the board of a language, and puts right
	// what an earlier visitor broke of it.
	Ensure func(ctx context.Context, part, locale string) (*Person, error)
	// Next is when all is made anew; Mail and Stripe are pages for everybody.
	Next         time.Time
	Mail, Stripe string
	// Targets are where the page's forms may lead: the boards.
	Targets string
	Now     func() time.Time

	words *console.Words
	pages *template.Template
	css   []byte
	cross *http.CrossOriginProtection
}

// Load reads words and pages.
func (d *Demo) Load() (err error) {
	d.words, d.pages, d.css, err = load()
	d.cross = http.NewCrossOriginProtection()
	return err
}

func load() (*console.Words, *template.Template, []byte, error) {
	words, err := console.LoadWords(files)
	if err != nil {
		return nil, nil, nil, err
	}
	pages, err := template.New("").Funcs(template.FuncMap{"t": words.T}).ParseFS(files, "pages/*.html")
	if err != nil {
		return nil, nil, nil, err
	}
	css, err := files.ReadFile("pages/demo.css")
	return words, pages, css, err
}

// Handler puts the demo in front of the product.
func (d *Demo) Handler(next http.Handler) http.Handler {
	inner := d.banner(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route.Baseline(w.Header())
		w.Header().Set("X-Robots-Tag", "noindex, nofollow")
		home := string(tenant.NormaliseHost(nil, r.Host)) == d.Links.PlatformHost
		switch part, taking := strings.CutPrefix(r.URL.Path, Path+"/as/"); {
		case r.URL.Path == cssPath:
			serveCSS(w, d.css)
		case r.URL.Path == enterPath && r.Method == http.MethodGet:
			d.enter(w, r)
		case home && r.URL.Path == Path && (r.Method == http.MethodGet || r.Method == http.MethodHead):
			d.page(w, r, http.StatusOK, "")
		case home && taking && r.Method == http.MethodPost:
			if err := d.cross.Check(r); err != nil {
				d.page(w, r, http.StatusForbidden, "demo.failed")
				return
			}
			d.take(w, r, part)
		case r.URL.Path == "/robots.txt":
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = w.Write([]byte("User-agent: *\nDisallow: /\n"))
		default:
			inner.ServeHTTP(w, r)
		}
	})
}

func serveCSS(w http.ResponseWriter, css []byte) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "max-age=300")
	_, _ = w.Write(css)
}

var matcher = language.NewMatcher([]language.Tag{language.English, language.German})

// locale is the language that a browser asks for.
func locale(r *http.Request) string {
	if _, i := language.MatchStrings(matcher, r.Header.Get("Accept-Language")); i == 1 {
		return "de"
	}
	return "en"
}

type partView struct{ Key, Title, Text, Button string }

func (d *Demo) page(w http.ResponseWriter, r *http.Request, status int, said string) {
	at := locale(r)
	parts := make([]partView, 0, len(Parts))
	for _, p := range Parts {
		parts = append(parts, partView{p, d.words.T(at, "demo."+p), d.words.T(at, "demo."+p+"_text"), d.words.T(at, "demo."+p+"_go")})
	}
	if said != "" {
		said = d.words.T(at, said)
	}
	show(w, d.pages, "page.html", status, "form-action 'self' "+d.Targets, map[string]any{"Locale": at, "Parts": parts, "Said": said, "Mail": d.Mail, "Stripe": d.Stripe,
		"Banner": d.bannerHTML(at), "Home": d.Links.Platform("/")})
}

func show(w http.ResponseWriter, pages *template.Template, name string, status int, formAction string, data any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, "this page cannot be shown", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; "+formAction+"; base-uri 'none'; frame-ancestors 'none'")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// take signs the visitor in as the part's person and leads them to their first
// page. On a board's host the session begins there, by a ticket that is spent once.
func (d *Demo) take(w http.ResponseWriter, r *http.Request, part string) {
	to, err := d.begin(w, r, part)
	if err != nil {
		d.page(w, r, http.StatusInternalServerError, "demo.failed")
		return
	}
	if to == "" {
		d.page(w, r, http.StatusNotFound, "demo.unknown")
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther) //nolint:gosec // begin makes the link itself
}

func (d *Demo) begin(w http.ResponseWriter, r *http.Request, part string) (to string, err error) {
	ctx := r.Context()
	known := false
	for _, p := range Parts {
		known = known || p == part
	}
	if !known {
		return "", nil
	}
	who, err := d.Ensure(ctx, part, locale(r))
	if err != nil {
		return "", err
	}
	switch part {
	case Seeker:
		return d.Links.Board(who.Board, "/"), nil
	case Employer:
		var i accounts.Issued
		on := tenant.With(ctx, who.Board)
		err := d.DB.Write(on, func(ctx context.Context, tx bun.IDB) (err error) {
			i, err = d.People.Issue(ctx, tx, accounts.NewToken{Kind: accounts.KindSignIn, Email: who.Email, Payload: struct{}{}, Lives: ticketFor})
			return err
		})
		return d.Links.Console(who.Board, enterPath+"?"+url.Values{"person": {i.Token}}.Encode()), err
	}
	in, err := d.Operators.EnterDemo(ctx, who.Email, client(r))
	if err != nil {
		return "", err
	}
	d.cookies(accounts.OperatorCookie).Set(w, r.Host, in.Token, in.Expires)
	if part == Staff {
		return d.Links.Platform("/staff"), nil
	}
	session, err := d.Operators.SessionByToken(ctx, in.Token, nil)
	if err != nil {
		return "", err
	}
	next := "/admin"
	if part == Moderator {
		next = "/admin/review"
	}
	h, err := d.Operators.HandOver(ctx, session, who.Board.ID, next)
	if err != nil {
		return "", err
	}
	return d.Links.Host(h.Host, enterPath+"?"+url.Values{"operator": {h.Code}}.Encode()), nil
}

// enter spends a ticket on the board's own host.
func (d *Demo) enter(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Cache-Control", "no-store")
	to, err := d.arrive(w, r)
	if err != nil {
		to = d.Links.Platform(Path) // a ticket of before: the page gives another
	}
	http.Redirect(w, r, to, http.StatusSeeOther) //nolint:gosec // a path that HandOver was given, or one of ours
}

func (d *Demo) arrive(w http.ResponseWriter, r *http.Request) (string, error) {
	board, err := d.Boards.Resolve(r.Context(), string(tenant.NormaliseHost(nil, r.Host)))
	if err != nil {
		return "", err
	}
	if code := r.URL.Query().Get("operator"); code != "" {
		in, err := d.Operators.Exchange(r.Context(), board.ID, r.Host, code, client(r))
		if err != nil {
			return "", err
		}
		d.cookies(accounts.OperatorCookie).Set(w, r.Host, in.Token, in.Expires)
		if in.Next == "" {
			in.Next = "/admin"
		}
		return in.Next, nil
	}
	in, err := d.People.SignIn(tenant.With(r.Context(), board), accounts.Proof{Token: r.URL.Query().Get("person")}, client(r))
	if err != nil {
		return "", err
	}
	d.cookies(accounts.PersonCookie).Set(w, r.Host, in.Token, in.Expires)
	return "/employers/desk", nil
}

func (d *Demo) cookies(name string) accounts.Cookies {
	return accounts.Cookies{Name: name, Scheme: d.Links.Scheme}
}

func client(r *http.Request) accounts.Client {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	return accounts.Client{Address: host, UserAgent: r.UserAgent()}
}
