package route

import (
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"shingle/internal/fault"
	"shingle/tenant"
)

// Trusted types (W3C) let no text become code in a page but through a policy
// that our scripts name: "forms". The editor of a long text and the consoles'
// htmx write HTML by themselves: there a default policy takes out what runs.
const (
	typesPublic = "; require-trusted-types-for 'script'; trusted-types forms"
	typesNonce  = typesPublic + " default"
)

// publicCSP is the policy of pages that hold no inline script or style, so that
// they can be cached. Sources are the hosts that pictures come from and forms
// lead to besides this one.
func publicCSP(pictures, targets string) string {
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:" + before(pictures) + "; font-src 'self'; connect-src 'self'; worker-src 'self'; form-action 'self'" +
		before(targets) + "; base-uri 'none'; frame-ancestors 'none'; manifest-src 'self'"
}

func before(sources string) string {
	if sources = strings.TrimSpace(sources); sources != "" {
		return " " + sources
	}
	return ""
}

// PublicHeaders are the security headers of pages that the cache may keep. A
// checkout or sign-in answers with a redirect, so form-action names where forms
// may lead besides this host; pictures may come from the host of files.
func PublicHeaders(pictures, formTargets string) gin.HandlerFunc {
	csp := publicCSP(pictures, formTargets)
	policy := []string{csp + typesPublic} // one for all answers: none allocates it
	return func(c *gin.Context) { c.Writer.Header()["Content-Security-Policy"] = policy }
}

// WithEditor lets a page of PublicHeaders have the editor of long texts.
func WithEditor(h http.Header) {
	if csp := h.Get("Content-Security-Policy"); strings.HasSuffix(csp, typesPublic) {
		h.Set("Content-Security-Policy", csp+" default dompurify")
	}
}

// ConsoleHeaders are those of consoles, which are never cached.
func ConsoleHeaders(pictures, formTargets string) gin.HandlerFunc {
	rest := "'; img-src 'self' data: blob:" + before(pictures) + "; font-src 'self' data:; connect-src 'self'; worker-src 'self'; frame-src 'self'; form-action 'self'" + before(formTargets) +
		"; base-uri 'none'; frame-ancestors 'self'; manifest-src 'self'" + typesNonce
	return func(c *gin.Context) {
		n := Nonce(c)
		h := c.Writer.Header()
		h["Content-Security-Policy"] = []string{"default-src 'none'; script-src 'self' 'nonce-" + n + "'; style-src 'self' 'nonce-" + n + rest}
		h["Cache-Control"] = []string{"no-store"}
		h["X-Robots-Tag"] = []string{"noindex, nofollow"}
	}
}

// Baseline are the headers of every answer, whoever gives it: nothing may be
// read into it, run from it or framed. Handlers that show a page say what it needs.
func Baseline(h http.Header) {
	h["Content-Security-Policy"] = valueNothing
	h["X-Content-Type-Options"] = valueNosniff
	h["Referrer-Policy"] = valueReferrer
	h["Cross-Origin-Opener-Policy"] = valueOpener
	h["Cross-Origin-Resource-Policy"] = valueResource
	h["Permissions-Policy"] = valuePermissions
}

// Shared, so that a page from the cache allocates none of them.
var (
	valueNothing     = []string{"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"}
	valueNosniff     = []string{"nosniff"}
	valueReferrer    = []string{"strict-origin-when-cross-origin"}
	valueOpener      = []string{"same-origin"}
	valueResource    = []string{"same-origin"}
	valuePermissions = []string{"camera=(), geolocation=(), microphone=(), payment=(), usb=(), interest-cohort=()"}
)

// RequestID gives every request an id, in the context and the answer.
func RequestID(c *gin.Context) {
	id := uuid.NewString()
	c.Writer.Header()["X-Request-Id"] = []string{id}
	c.Request = c.Request.WithContext(tenant.WithRequestID(c.Request.Context(), id))
}

// Recover turns a panic into a 500 and a log line with its stack.
func Recover(page ErrorPage, log *slog.Logger) gin.HandlerFunc {
	return func(c *gin.Context) {
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				log.ErrorContext(c.Request.Context(), "panic in a handler", "panic", p, "route", PathOf(c), "stack", string(debug.Stack()))
				Fail(c, fault.New(fault.Internal, "panic"), page, log)
			}
		}()
		c.Next()
	}
}

// CrossOrigin refuses writes that another site's page started.
func CrossOrigin(page ErrorPage, log *slog.Logger) gin.HandlerFunc {
	p := http.NewCrossOriginProtection()
	return func(c *gin.Context) {
		if err := p.Check(c.Request); err != nil {
			Fail(c, fault.Wrap(err, fault.Forbidden, "this request came from another site"), page, log)
			c.Abort()
		}
	}
}
