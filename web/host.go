package web

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"shingle/billing/plans"
	"shingle/domains"
	"shingle/internal/fault"
	"shingle/internal/proxies"
	"shingle/tenant"
	"shingle/web/console"
	"shingle/web/route"
)

// byHost picks the engine: the platform's own hosts get the platform's routes,
// all else is a board's.
type byHost struct {
	platformHosts map[string]bool
	platform      http.Handler
	board         http.Handler
	trusted       proxies.List
	filesHost     string // "" for none
	files         http.Handler
}

func (h *byHost) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	route.Baseline(w.Header())
	// What the program itself serves over TLS says so there already.
	if len(r.Header["X-Forwarded-Proto"]) > 0 && r.Header.Get("X-Forwarded-Proto") == "https" && h.trusted.Trusts(r) {
		w.Header()["Strict-Transport-Security"] = valueHSTS
	}
	var space [256]byte
	host := tenant.NormaliseHost(space[:0], r.Host)
	if h.platformHosts[string(host)] {
		h.platform.ServeHTTP(w, r)
		return
	}
	if h.filesHost != "" && string(host) == h.filesHost {
		h.files.ServeHTTP(w, r)
		return
	}
	h.board.ServeHTTP(w, r)
}

// valueHSTS is certs.Secure's: a year, and subdomains are not ours to decide.
var valueHSTS = []string{"max-age=31536000"}

// resolve puts the board of the Host header into the request, or answers what a
// host without a living board gets. Public pages live at one address: other
// hosts lead there.
func (p *Parts) resolve(boards *tenant.Resolver) gin.HandlerFunc {
	return func(c *gin.Context) {
		t, err := boards.Resolve(c.Request.Context(), c.Request.Host)
		if err != nil {
			noBoard(c, err)
			return
		}
		c.Request = c.Request.WithContext(tenant.With(c.Request.Context(), t))
		path := c.Request.URL.Path
		console := under(path, "/admin") || under(path, "/assets")
		if !open(t) && !console {
			closed(c, t)
			return
		}
		p.toRightHost(c, t)
	}
}

// open says that a board shows visitors anything: staff and its plan let it.
func open(t *tenant.Tenant) bool {
	return t.State == tenant.Active && (t.PlanStep == "" || !plans.Step(t.PlanStep).At(plans.Suspended))
}

// toRightHost sends public pages to their one address for good. The admin stays
// at the platform address, which answers it, sign-in, the desk and previews
// whatever a custom domain does.
func (p *Parts) toRightHost(c *gin.Context, t *tenant.Tenant) {
	var space [256]byte
	host, path := tenant.NormaliseHost(space[:0], c.Request.Host), c.Request.URL.Path
	atPlatform := string(host) == t.PlatformHost
	admin := under(path, "/admin")
	switch {
	case based(c) && !admin, admin && atPlatform && !based(c), !admin && !t.Based() && string(host) == t.CanonicalHost, atPlatform && staysThere(path), under(path, "/assets"), path == domains.ProbePath:
		return
	case admin:
		c.Redirect(http.StatusSeeOther, p.Site.Links.Console(t, c.Request.URL.RequestURI()))
	default:
		status := http.StatusMovedPermanently
		if c.Request.Method != http.MethodGet && c.Request.Method != http.MethodHead {
			status = http.StatusPermanentRedirect // keeps the form
		}
		// Browsers would keep it for ever, and the main address may change again.
		c.Header("Cache-Control", "max-age=600")
		c.Redirect(status, p.Site.Links.Board(t, c.Request.URL.RequestURI()))
	}
	c.Abort()
}

// staysThere reports what the platform address answers itself: sign-in, the
// desk behind it, previews, and the files that they are drawn with.
func staysThere(path string) bool {
	for _, base := range []string{"/sign-in", "/preview", "/employers/desk", "/employers/listings", "/employers/applications", "/employers/orders", "/employers/sign-out", "/files", "/x", "/proof", "/confirm"} {
		if under(path, base) {
			return true
		}
	}
	return strings.HasPrefix(path, "/theme.") || path == "/favicon.ico"
}

// under reports a path that is base or lies below it.
func under(path, base string) bool {
	return strings.HasPrefix(path, base) && (len(path) == len(base) || path[len(base)] == '/')
}

func noBoard(c *gin.Context, err error) {
	defer c.Abort()
	switch fault.KindOf(err) {
	case fault.NotFound:
		neutral(c, http.StatusNotFound, "There is no job board at this address", "Check the spelling of the address, or ask whoever gave it to you.")
	case fault.Invalid:
		neutral(c, http.StatusBadRequest, "This address cannot be read", "The host name of the request is not a valid one.")
	default:
		c.Header("Retry-After", "10")
		neutral(c, http.StatusServiceUnavailable, "Back in a moment", "The site is restarting. Please try again in a few seconds.")
	}
}

// closed answers for a board that is suspended, by staff or by its plan: neutral, and no hint about why.
func closed(c *gin.Context, t *tenant.Tenant) {
	defer c.Abort()
	title, text := "This job board is taking a break", "It is not available at the moment. Please come back later."
	if console.Locale(t.Locale) == "de" {
		title, text = "Diese Jobbörse macht eine Pause", "Sie ist zurzeit nicht erreichbar. Bitte kommen Sie später wieder."
	}
	c.Header("Retry-After", "86400")
	neutral(c, http.StatusServiceUnavailable, title, text)
}

// neutral is a page without anybody's brand.
func neutral(c *gin.Context, status int, title, text string) {
	n := route.Nonce(c)
	h := c.Writer.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+n+"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Robots-Tag", "noindex")
	h.Set("Cache-Control", "no-store")
	if route.WantsJSON(c.Request) {
		route.Problem(c, status, fault.New(fault.NotFound, "%s", title))
		return
	}
	c.Data(status, "text/html; charset=utf-8", fmt.Appendf(nil, `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">
<title>%s</title>
<style nonce="%s">body{margin:0;min-height:100vh;display:grid;place-items:center;background:#f6f7f9;color:#1c2024;font:17px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}main{max-width:30rem;padding:2rem;text-align:center}h1{font-size:1.5rem;line-height:1.25;margin:0 0 .6rem}p{margin:0;color:#4b525b}</style>
</head><body><main><h1>%s</h1><p>%s</p></main></body></html>
`, html.EscapeString(title), n, html.EscapeString(title), html.EscapeString(text)))
}

var errNoPage = fault.New(fault.NotFound, "there is no such page")

func withBased(ctx context.Context) context.Context { return context.WithValue(ctx, basedKey{}, true) }

// based reports a request that came through the owner's own site.
func based(c *gin.Context) bool { return c.Request.Context().Value(basedKey{}) != nil }
