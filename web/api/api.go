// Package api is the public read API of a board: what its site shows, as JSON,
// with an OpenAPI description and a reference page made from the same handlers.
// It never writes, knows no session, and shows nothing that the site hides.
// Start at API, then the shapes in shapes.go.
package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/authz"
	"shingle/billing/meter"
	"shingle/billing/plans"
	"shingle/internal/fault"
	"shingle/internal/links"
	"shingle/listings"
	"shingle/search"
	"shingle/tenant"
	"shingle/web/route"
	"shingle/web/site"
)

// Base is where the API lives on a board; the reference page is at DocsPath.
const (
	Base     = "/api/v1"
	DocsPath = "/api"
)

// API serves the boards' public data. Load comes before Mount.
type API struct {
	DB       *tenant.DB
	Links    links.Links
	Listings *listings.Store
	Search   *search.Service
	// Site writes the texts of a board; its words must be loaded.
	Site *site.Site
	// Limits counts requests by address; nil for no limit.
	Limits *accounts.Limiter
	// Meter counts answers by board; nil counts nothing.
	Meter *meter.Meter
	// Calls stops at the limit of the board's plan; nil for no limit.
	Calls *plans.Calls
	// Log hears of answers of 500 and more; nil for none.
	Log *slog.Logger
	Now func() time.Time

	doc        *huma.OpenAPI
	operations *operations
	specJSON   []byte
	specYAML   []byte
	shape      string // names the shape of answers, for entity tags
	page       *docsPage
}

// operations collects what is registered, so that the description is made once
// and before there is a router.
type operations struct {
	list []operation
}

type operation struct {
	op     *huma.Operation
	handle func(huma.Context)
}

func (o *operations) Handle(op *huma.Operation, handle func(huma.Context)) {
	o.list = append(o.list, operation{op, handle})
}

// ServeHTTP is of huma's adapter; requests come through gin.
func (o *operations) ServeHTTP(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }

// Load registers the handlers and makes the description and the reference page.
func (a *API) Load() error {
	if a.DB == nil || a.Listings == nil || a.Search == nil || a.Site == nil || a.Now == nil {
		return fault.New(fault.Internal, "the API needs database, listings, search, site and clock")
	}
	if a.Log == nil {
		a.Log = slog.New(slog.DiscardHandler)
	}
	a.operations = &operations{}
	config := huma.Config{OpenAPI: describe(), Formats: map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat: "application/json", RejectUnknownQueryParameters: true, Transformers: []huma.Transformer{nameRequest}}
	// A new property is no breaking change, so schemas do not forbid any.
	config.AllowAdditionalPropertiesByDefault = true
	h := huma.NewAPI(config, a.operations)
	a.register(h)
	a.doc = h.OpenAPI()
	if err := addExamples(a.doc); err != nil {
		return err
	}
	var compact []byte
	compact, err := json.Marshal(a.doc)
	if err != nil {
		return err
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, compact, "", "  "); err != nil {
		return err
	}
	a.specJSON = pretty.Bytes()
	if a.specYAML, err = a.doc.YAML(); err != nil {
		return err
	}
	sum := sha256.Sum256(compact)
	a.shape = base64.RawURLEncoding.EncodeToString(sum[:6])
	a.page, err = newDocsPage(a.doc)
	return err
}

// Mount puts the API on a group that has the board in the request's context.
func (a *API) Mount(g *gin.RouterGroup) {
	g = g.Group("", route.Recover(a.errorPage, a.Log))
	const GET = route.GET
	table := []route.Route{
		{Method: GET, Path: DocsPath, Handle: a.docs, Can: authz.Public},
		{Method: GET, Path: DocsPath + "/docs.css", Handle: a.docsStyle, Can: authz.Public},
		{Method: GET, Path: Base + "/openapi.json", Handle: a.spec("application/json; charset=utf-8", a.specJSON), Can: authz.Public},
		{Method: GET, Path: Base + "/openapi.yaml", Handle: a.spec("application/yaml; charset=utf-8", a.specYAML), Can: authz.Public},
		{Method: http.MethodOptions, Path: Base + "/*path", Handle: preflight, Can: authz.Public},
	}
	for _, o := range a.operations.list {
		path := strings.NewReplacer("{", ":", "}", "").Replace(o.op.Path)
		table = append(table, route.Route{Method: o.op.Method, Path: Base + path, Handle: a.answer(o), Can: authz.Public})
	}
	route.Mount(g, table, everybody, a.errorPage, a.Log)
}

func everybody(c *gin.Context, p authz.Permission) error {
	if p != authz.Public {
		return fault.New(fault.Forbidden, "not for visitors")
	}
	if t := tenant.From(c.Request.Context()); t != nil && !t.Has(tenant.FlagAPI) {
		return fault.New(fault.NotFound, "this board has no API")
	}
	return nil
}

// answer is an operation behind the limit and the entity tag.
func (a *API) answer(o operation) route.Handler {
	return func(c *gin.Context) error {
		open(c.Writer.Header())
		t := tenant.From(c.Request.Context())
		if t == nil {
			return fault.New(fault.Internal, "no board")
		}
		if a.Limits != nil {
			err := accounts.Reading.Allow(c.Request.Context(), a.Limits, t.ID, accounts.Client{Address: c.ClientIP()}.Network())
			if err != nil {
				a.fail(c, err)
				return nil
			}
		}
		if err := a.Calls.Allow(c.Request.Context(), t); err != nil {
			a.fail(c, err)
			return nil
		}
		a.Meter.Call(t.ID)
		if tag := a.etag(t); matches(c.GetHeader("If-None-Match"), tag) {
			c.Header("ETag", tag)
			c.Header("Cache-Control", fresh)
			c.Status(http.StatusNotModified)
			c.Writer.WriteHeaderNow()
			return nil
		}
		o.handle(humagin.NewContext(o.op, c))
		return nil
	}
}

// fresh is how long an answer may be shown without asking again.
const fresh = "public, max-age=60"

// open are the headers of every answer: any page may read it, no browser may
// take it for anything but data, and errors are not kept.
func open(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "ETag, Retry-After, X-Request-Id")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Robots-Tag", "noindex")
	h.Set("Cache-Control", "no-store")
}

// preflight answers a browser that asks before it sends If-None-Match.
func preflight(c *gin.Context) error {
	open(c.Writer.Header())
	c.Header("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
	c.Header("Access-Control-Allow-Headers", "Accept, Content-Type, If-None-Match")
	c.Header("Access-Control-Max-Age", "86400")
	c.Status(http.StatusNoContent)
	c.Writer.WriteHeaderNow()
	return nil
}

func (a *API) spec(kind string, body []byte) route.Handler {
	return func(c *gin.Context) error {
		open(c.Writer.Header())
		tag := `W/"` + a.shape + `"`
		c.Header("ETag", tag)
		c.Header("Cache-Control", fresh)
		if matches(c.GetHeader("If-None-Match"), tag) {
			c.Status(http.StatusNotModified)
			c.Writer.WriteHeaderNow()
			return nil
		}
		c.Data(http.StatusOK, kind, body)
		return nil
	}
}

// etag names what the board's visitors see now: it moves with every change of
// the board, and with every change of the API's shapes.
func (a *API) etag(t *tenant.Tenant) string {
	return `W/"` + a.shape + "-" + strconv.FormatInt(t.Generation, 36) + `"`
}

// matches reports whether If-None-Match names the tag, by weak comparison. A
// star is not taken: it would say that a missing job is there.
func matches(header, tag string) bool {
	want := strings.TrimPrefix(tag, "W/")
	for part := range strings.SplitSeq(header, ",") {
		if strings.TrimPrefix(strings.TrimSpace(part), "W/") == want {
			return true
		}
	}
	return false
}

// answer is a good answer with the headers that let it be kept.
type answer[T any] struct {
	ETag         string `header:"ETag" doc:"Names this state of the board. Send it back in If-None-Match and get 304 without a body while nothing has changed." example:"W/\"q8kT1x2b-3f\""`
	CacheControl string `header:"Cache-Control" doc:"How long the answer may be shown without asking again." example:"public, max-age=60"`
	Body         T
}

// reply wraps a body for the board of the context.
func reply[T any](a *API, ctx context.Context, body T) *answer[T] {
	return &answer[T]{ETag: a.etag(tenant.From(ctx)), CacheControl: fresh, Body: body}
}

// read runs fn in one transaction of the board and turns its error into an answer.
func (a *API) read(ctx context.Context, fn func(ctx context.Context, tx bun.IDB) error) error {
	return a.problem(ctx, a.DB.Read(ctx, fn))
}

// problem is the answer to an error; nil stays nil.
func (a *API) problem(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	m := a.model(ctx, err)
	if m.Status == http.StatusServiceUnavailable {
		return huma.ErrorWithHeaders(m, http.Header{"Retry-After": {"10"}})
	}
	return m
}

func (a *API) model(ctx context.Context, err error) *huma.ErrorModel {
	status := route.Status(err)
	m := &huma.ErrorModel{Title: http.StatusText(status), Status: status}
	if status >= 500 {
		a.Log.ErrorContext(ctx, "request failed", "status", status, "request", tenant.RequestIDFrom(ctx), "error", err)
	} else {
		m.Detail = fault.TextOf(err)
	}
	return m
}

// nameRequest puts the request's id into problems, so that a report of one can
// be found in the log.
func nameRequest(ctx huma.Context, _ string, v any) (any, error) {
	if m, ok := v.(*huma.ErrorModel); ok {
		finish(ctx.Context(), m)
	}
	return v, nil
}

func finish(ctx context.Context, m *huma.ErrorModel) {
	m.Type = "about:blank"
	if id := tenant.RequestIDFrom(ctx); id != "" {
		m.Instance = "urn:uuid:" + id
	}
}

// fail writes a problem outside of huma, in the same shape.
func (a *API) fail(c *gin.Context, err error) {
	m := a.model(c.Request.Context(), err)
	finish(c.Request.Context(), m)
	wait := accounts.RetryAfter(err)
	if over := new(plans.OverCalls); errors.As(err, &over) {
		wait = max(over.Until.Sub(a.Now()), 0) + time.Second // never a moment too early
	}
	if wait > 0 {
		c.Header("Retry-After", strconv.Itoa(int(wait.Seconds())))
	}
	raw, _ := json.Marshal(m)
	c.Data(m.Status, "application/problem+json", raw)
}

// errorPage answers what went wrong around a handler.
func (a *API) errorPage(c *gin.Context, _ int, err error) {
	open(c.Writer.Header())
	a.fail(c, err)
}
