// Package route is what the five audiences share of HTTP: a route table with a
// permission beside each URL, handlers that return errors, and the one adapter
// that renders them. It never knows a page. Start at Route and Mount.
package route

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html/template"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"shingle/accounts"
	"shingle/authz"
	"shingle/internal/fault"
	"shingle/tenant"
)

// Handler answers a request or returns why not; it writes nothing before it
// knows that it can answer.
type Handler func(c *gin.Context) error

// Route is one URL of an audience.
type Route struct {
	Method string
	Path   string
	Handle Handler
	// Can is who may call it; the zero value is refused at start.
	Can authz.Permission
	// StepUp asks for a second factor within the last minutes: money, domains,
	// roles, exports.
	StepUp bool
	// Half lets a session call it that has passed its first factor alone: what
	// leads to the second.
	Half bool
	// Body is the largest request body in bytes; 1 MiB when zero.
	Body int64
}

// The methods, so that a table reads in columns.
const (
	GET    = http.MethodGet
	POST   = http.MethodPost
	PUT    = http.MethodPut
	DELETE = http.MethodDelete
)

// Guard decides about a permission before the handler runs: fault.SignIn,
// fault.Forbidden, or nil. It may put the actor into the request's context.
type Guard func(c *gin.Context, p authz.Permission) error

// Need is what a route asks of a session besides its permission; a guard finds
// it by NeedOf.
type Need struct{ StepUp, Half bool }

const needKey = "route_need"

// NeedOf is the need of the route that is being served.
func NeedOf(c *gin.Context) Need {
	v, _ := c.Get(needKey)
	n, _ := v.(Need)
	return n
}

// ErrorPage renders an error for people: the board's words, the console's shell.
type ErrorPage func(c *gin.Context, status int, err error)

// Mount puts a table on an engine. A route without a permission panics at
// start: nothing is open by forgetting.
func Mount(e gin.IRoutes, table []Route, guard Guard, page ErrorPage, log *slog.Logger) {
	for _, r := range table {
		if r.Can == (authz.Permission{}) {
			panic("route without a permission: " + r.Method + " " + r.Path)
		}
		e.Handle(r.Method, r.Path, adapt(r, guard, page, log))
		if r.Method == GET {
			e.Handle(http.MethodHead, r.Path, adapt(r, guard, page, log))
		}
	}
}

func adapt(r Route, guard Guard, page ErrorPage, log *slog.Logger) gin.HandlerFunc {
	limit := r.Body
	if limit == 0 {
		limit = 1 << 20
	}
	return func(c *gin.Context) {
		if c.Request.Body != nil && c.Request.Body != http.NoBody {
			c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, limit)
		}
		// net/http removes the files of its own request only, and ours is a copy.
		defer func() {
			if f := c.Request.MultipartForm; f != nil {
				_ = f.RemoveAll()
			}
		}()
		c.Set(needKey, Need{StepUp: r.StepUp, Half: r.Half})
		err := guard(c, r.Can)
		if err == nil {
			err = r.Handle(c)
		}
		if err != nil {
			Fail(c, err, page, log)
		}
	}
}

// PathOf is the matched route's pattern, for logs and metrics.
func PathOf(c *gin.Context) string { return c.FullPath() }

// statuses is the one table from kind to status.
var statuses = map[fault.Kind]int{
	fault.Internal:    http.StatusInternalServerError,
	fault.Invalid:     http.StatusUnprocessableEntity,
	fault.NotFound:    http.StatusNotFound,
	fault.Gone:        http.StatusGone,
	fault.Conflict:    http.StatusConflict,
	fault.SignIn:      http.StatusUnauthorized,
	fault.Forbidden:   http.StatusForbidden,
	fault.TooMany:     http.StatusTooManyRequests,
	fault.TooLarge:    http.StatusRequestEntityTooLarge,
	fault.Unavailable: http.StatusServiceUnavailable,
	fault.StepUp:      http.StatusUnauthorized,
}

// Status is the HTTP status of an error.
func Status(err error) int {
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		return http.StatusRequestEntityTooLarge
	}
	return statuses[fault.KindOf(err)]
}

// gone is the status, never sent, of a request whose caller hung up (nginx's 499):
// it is nobody's failure.
const gone = 499

// Fail renders an error: problem+json for who asked for JSON, a page else.
func Fail(c *gin.Context, err error, page ErrorPage, log *slog.Logger) {
	if errors.Is(c.Request.Context().Err(), context.Canceled) && !c.Writer.Written() {
		c.Status(gone)
		return
	}
	status := Status(err)
	if status >= 500 {
		log.ErrorContext(c.Request.Context(), "request failed", "status", status, "route", PathOf(c),
			"request", tenant.RequestIDFrom(c.Request.Context()), "error", err)
	}
	if c.Writer.Written() {
		return
	}
	c.Header("Cache-Control", "no-store")
	if status == http.StatusServiceUnavailable {
		c.Header("Retry-After", "10")
	}
	RetryAfter(c, err)
	if WantsJSON(c.Request) {
		Problem(c, status, err)
		return
	}
	page(c, status, err)
}

// RetryAfter says in the answer to a fault.TooMany how long to wait, for whoever
// shows it in a page of their own.
func RetryAfter(c *gin.Context, err error) {
	if fault.Is(err, fault.TooMany) {
		wait := max(accounts.RetryAfter(err), 10*time.Second)
		c.Header("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	}
}

// Limited lets a network do something only so often on a board; without a
// limiter as often as it likes.
func Limited(l *accounts.Limiter, class accounts.Class, h Handler) Handler {
	if l == nil {
		return h
	}
	return func(c *gin.Context) error {
		board := tenant.Nil
		if t := tenant.From(c.Request.Context()); t != nil {
			board = t.ID
		}
		if err := class.Allow(c.Request.Context(), l, board, accounts.Client{Address: c.ClientIP()}.Network()); err != nil {
			return err
		}
		return h(c)
	}
}

// WantsJSON reports whether the caller prefers JSON over a page.
func WantsJSON(r *http.Request) bool {
	a := r.Header.Get("Accept")
	return strings.Contains(a, "application/json") || strings.Contains(a, "application/problem+json")
}

// Problem writes RFC 9457 problem details.
func Problem(c *gin.Context, status int, err error) {
	body := map[string]any{"type": "about:blank", "title": http.StatusText(status), "status": status}
	if text := fault.TextOf(err); text != "" && status < 500 {
		body["detail"] = text
	}
	if f := fault.FieldsOf(err); len(f) > 0 {
		body["errors"] = f
	}
	if id := tenant.RequestIDFrom(c.Request.Context()); id != "" {
		body["request_id"] = id
	}
	raw, _ := json.Marshal(body)
	c.Data(status, "application/problem+json", raw)
}

// HTML writes a rendered page: rendered whole before the first byte.
func HTML(c *gin.Context, status int, render func(w io.Writer) error) error {
	var b bytes.Buffer
	if err := render(&b); err != nil {
		return err
	}
	c.Header("Content-Length", strconv.Itoa(b.Len()))
	c.Data(status, "text/html; charset=utf-8", b.Bytes())
	return nil
}

// SeeOther is the redirect after a post. Only local paths and URLs that the
// product made itself may be given.
func SeeOther(c *gin.Context, to string) error {
	c.Redirect(http.StatusSeeOther, to)
	return nil
}

// nonceKey holds the request's CSP nonce for consoles.
const nonceKey = "nonce"

// Nonce is the CSP nonce of this request, made when first asked.
func Nonce(c *gin.Context) string {
	if n := c.GetString(nonceKey); n != "" {
		return n
	}
	raw := make([]byte, 16)
	_, _ = rand.Read(raw) // never fails since Go 1.24
	n := base64.RawURLEncoding.EncodeToString(raw)
	c.Set(nonceKey, n)
	return n
}

// SafeHTML marks HTML that our own sanitiser or renderer made.
func SafeHTML(s string) template.HTML { return template.HTML(s) } // #nosec G203 -- callers pass sanitised text only

// Page is the page number of the address, from 1 to 10,000.
func Page(c *gin.Context) int {
	n, err := strconv.Atoi(c.Query("page"))
	if err != nil || n < 1 {
		return 1
	}
	return min(n, 10_000)
}

// AcceptLanguage is the first language that the browser asks for.
func AcceptLanguage(r *http.Request) string {
	first, _, _ := strings.Cut(r.Header.Get("Accept-Language"), ",")
	first, _, _ = strings.Cut(first, ";")
	return strings.TrimSpace(first)
}

// Values reads a query string; what cannot be read is dropped.
func Values(raw string) url.Values {
	v, err := url.ParseQuery(raw)
	if err != nil {
		return url.Values{}
	}
	return v
}
