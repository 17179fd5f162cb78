package route

import (
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"shingle/internal/fault"
	"shingle/tenant"
)

// Public pages hold no inline script or style, so that they can be cached.
const publicCSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
	"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; manifest-src 'self'"

// PublicHeaders are the security headers of pages that the cache may keep. A
// checkout or sign-in answers with a redirect, so form-action names where forms
// may lead besides this host.
func PublicHeaders(formTargets string) gin.HandlerFunc {
	csp := publicCSP
	if formTargets != "" {
		csp = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
			"connect-src 'self'; form-action 'self' " + formTargets + "; base-uri 'none'; frame-ancestors 'none'; manifest-src 'self'"
	}
	policy := []string{csp} // one for all answers: none allocates it
	return func(c *gin.Context) {
		h := c.Writer.Header()
		h["Content-Security-Policy"] = policy
		common(h)
	}
}

// ConsoleHeaders are those of consoles, which are never cached.
func ConsoleHeaders(formTargets string) gin.HandlerFunc {
	return func(c *gin.Context) {
		n := Nonce(c)
		h := c.Writer.Header()
		h["Content-Security-Policy"] = []string{"default-src 'none'; script-src 'self' 'nonce-" + n + "'; style-src 'self' 'nonce-" + n +
			"'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; frame-src 'self'; form-action 'self' " + formTargets +
			"; base-uri 'none'; frame-ancestors 'self'; manifest-src 'self'"}
		common(h)
		h["Cache-Control"] = []string{"no-store"}
		h["X-Robots-Tag"] = []string{"noindex, nofollow"}
	}
}

func common(h http.Header) {
	h["X-Content-Type-Options"] = valueNosniff
	h["Referrer-Policy"] = valueReferrer
	h["Cross-Origin-Opener-Policy"] = valueOpener
	h["Permissions-Policy"] = valuePermissions
}

// Shared, so that a page from the cache allocates none of them.
var (
	valueNosniff     = []string{"nosniff"}
	valueReferrer    = []string{"strict-origin-when-cross-origin"}
	valueOpener      = []string{"same-origin"}
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
