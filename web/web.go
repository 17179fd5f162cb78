// Package web puts the audiences together: which host gets which engine, what
// stands before every route, and who answers errors. It holds no page. Start
// at New.
package web

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"shingle/domains"
	"shingle/domains/redirects"
	"shingle/internal/fault"
	"shingle/internal/observe"
	"shingle/internal/proxies"
	"shingle/tenant"
	"shingle/web/admin"
	"shingle/web/api"
	"shingle/web/console"
	"shingle/web/employer"
	"shingle/web/hooks"
	"shingle/web/platform"
	"shingle/web/route"
	"shingle/web/site"
	"shingle/web/staff"
)

// Parts are the audiences, loaded, and what stands around them.
type Parts struct {
	Boards   *tenant.Resolver
	Site     *site.Site
	Employer *employer.Employer
	Admin    *admin.Admin
	Staff    *staff.Staff
	Platform *platform.Platform
	API      *api.API
	Hooks    *hooks.Hooks
	Assets   *console.Assets
	Log      *slog.Logger
	Registry *prometheus.Registry
	// Tracing gives every request a span; nil traces nothing.
	Tracing *observe.Tracing
	// PlatformHosts get the platform's routes; all other hosts are boards'.
	PlatformHosts []string
	// FormTargets are where a form may lead besides its own host: Stripe's pages.
	FormTargets string
	// SignIn is the platform's host, where a console's form leads whose session
	// has ended. Public pages do not name it: a board is its owner's.
	SignIn string
	// BoardTargets are the boards' platform addresses, where the sign-in's form
	// ends: it hands an operator over to a board's console.
	BoardTargets string
	// FilesHost serves uploads and nothing else; "" leaves them on the boards' hosts.
	FilesHost string
	// FilesOrigin is where pictures come from besides a page's own host; "" for nowhere.
	FilesOrigin string
	// Redirects are boards' old addresses; Hits counts their uses.
	Redirects *redirects.Store
	Hits      *redirects.Hits
	// ProbeKey signs what domains.ProbePath answers; empty switches it off.
	ProbeKey []byte
	// TrustedProxies may say X-Forwarded-For and -Proto.
	TrustedProxies []string
}

// New builds the handler.
func New(p Parts) (http.Handler, error) {
	watch := measured(p.Registry, p.Tracing, p.Log)
	platformEngine, err := p.platformEngine(watch)
	if err != nil {
		return nil, err
	}
	boardEngine, err := p.boardEngine(watch)
	if err != nil {
		return nil, err
	}
	board, err := newBasePath(boardEngine, p.Boards, p.TrustedProxies)
	if err != nil {
		return nil, err
	}
	trusted, err := proxies.Parse(p.TrustedProxies)
	if err != nil {
		return nil, err
	}
	h := &byHost{platformHosts: map[string]bool{}, platform: platformEngine, board: board, trusted: trusted}
	if p.FilesHost != "" {
		if h.files, err = p.filesEngine(watch); err != nil {
			return nil, err
		}
		h.filesHost = string(tenant.NormaliseHost(nil, p.FilesHost))
	}
	for _, host := range p.PlatformHosts {
		h.platformHosts[string(tenant.NormaliseHost(nil, host))] = true
	}
	return h, nil
}

func (p *Parts) engine(watch gin.HandlerFunc) (*gin.Engine, error) {
	e := gin.New()
	e.HandleMethodNotAllowed = false
	e.RedirectTrailingSlash = false
	e.ContextWithFallback = true
	if err := e.SetTrustedProxies(p.TrustedProxies); err != nil {
		return nil, err
	}
	e.Use(watch)
	return e, nil
}

func (p *Parts) platformEngine(watch gin.HandlerFunc) (*gin.Engine, error) {
	e, err := p.engine(watch)
	if err != nil {
		return nil, err
	}
	page := func(c *gin.Context, status int, err error) {
		if strings.HasPrefix(c.Request.URL.Path, "/staff") && platform.Session(c) != nil && !fault.Is(err, fault.StepUp) {
			p.Staff.ErrorPage(c, status, err)
			return
		}
		p.Platform.ErrorPage(c, status, err)
	}
	// Stripe's servers send no Origin and need no session.
	route.Mount(e.Group("", route.RequestID, route.Recover(page, p.Log)), p.Hooks.Routes(), p.Hooks.Guard, page, p.Log)
	e.GET(console.AssetPath, p.Assets.Serve)
	g := e.Group("", route.RequestID, route.ConsoleHeaders(p.FilesOrigin, strings.Join([]string{p.FormTargets, p.SignIn, p.BoardTargets}, " ")), route.Recover(page, p.Log), route.CrossOrigin(page, p.Log))
	route.Mount(g, p.Platform.Routes(), p.Platform.Guard, page, p.Log)
	route.Mount(g, p.Staff.Routes(), p.Platform.Guard, page, p.Log)
	e.NoRoute(route.RequestID, route.ConsoleHeaders(p.FilesOrigin, ""), func(c *gin.Context) { route.Fail(c, errNoPage, page, p.Log) })
	return e, nil
}

func (p *Parts) boardEngine(watch gin.HandlerFunc) (*gin.Engine, error) {
	e, err := p.engine(watch)
	if err != nil {
		return nil, err
	}
	e.GET(console.AssetPath, p.Assets.Serve)
	at := p.resolve(p.Boards)
	e.GET(domains.ProbePath, at, p.probe)
	sitePage := p.redirecting(p.Site.ErrorPage)
	public := e.Group("", at, route.PublicHeaders(p.FilesOrigin, p.FormTargets), route.Recover(sitePage, p.Log), p.Site.Gate, route.CrossOrigin(sitePage, p.Log))
	route.Mount(public, p.Site.Routes(), site.Guard, sitePage, p.Log)

	// Pages of the employer's way to a listing look like the board; the desk is a console.
	route.Mount(public.Group("", route.RequestID), p.Employer.PublicRoutes(), p.Employer.Guard, p.Employer.ErrorPage, p.Log)
	desk := e.Group("", at, route.RequestID, route.ConsoleHeaders(p.FilesOrigin, p.FormTargets), route.Recover(p.Employer.ErrorPage, p.Log), route.CrossOrigin(p.Employer.ErrorPage, p.Log))
	route.Mount(desk, p.Employer.DeskRoutes(), p.Employer.Guard, p.Employer.ErrorPage, p.Log)

	adminPage := p.Admin.ErrorPage
	adm := e.Group("", at, route.RequestID, route.ConsoleHeaders(p.FilesOrigin, strings.TrimSpace(p.FormTargets+" "+p.SignIn)), route.Recover(adminPage, p.Log), route.CrossOrigin(adminPage, p.Log))
	route.Mount(adm, p.Admin.Routes(), p.Admin.Guard, adminPage, p.Log)

	p.API.Mount(e.Group("", at, route.RequestID, route.Recover(sitePage, p.Log), p.Site.Gate))
	e.NoRoute(at, route.RequestID, route.PublicHeaders(p.FilesOrigin, ""), p.Site.Gate, func(c *gin.Context) { route.Fail(c, errNoPage, sitePage, p.Log) })
	return e, nil
}

// probe tells a check that a host's requests arrive here.
func (p *Parts) probe(c *gin.Context) {
	host := tenant.NormaliseHost(nil, c.Request.Host)
	if len(p.ProbeKey) == 0 || host == nil {
		c.Status(http.StatusNotFound)
		return
	}
	c.Header("Cache-Control", "no-store")
	c.String(http.StatusOK, domains.ProbeAnswer(p.ProbeKey, string(host)))
}

// slow is from when on a request's time names its board, traced or not.
const slow = 250 * time.Millisecond

// measured counts, times and traces requests by route, and logs those that failed.
func measured(reg *prometheus.Registry, tracing *observe.Tracing, log *slog.Logger) gin.HandlerFunc {
	took := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "shingle_http_seconds", Help: "Time of an answer by route and status class.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}}, []string{"route", "status"})
	reg.MustRegister(took)
	// Routes are few: each finds its histogram without hashing labels.
	var mu sync.RWMutex
	known := map[series]prometheus.Observer{}
	return func(c *gin.Context) {
		begun := time.Now()
		path := route.PathOf(c)
		if path == "" {
			path = "none"
		}
		var span trace.Span
		if tracing != nil {
			var ctx context.Context
			ctx, span = tracing.Request(c.Request, path)
			c.Request = c.Request.WithContext(ctx)
			// A panic that no audience caught ends the span, too.
			status := http.StatusInternalServerError
			defer func() {
				ctx := c.Request.Context()
				observe.Answered(span, status, boardOf(ctx), tenant.RequestIDFrom(ctx))
			}()
			c.Next()
			status = c.Writer.Status()
		} else {
			c.Next()
		}
		d, status := time.Since(begun), c.Writer.Status()
		at := series{path, min(max(status/100, 1), 5)}
		mu.RLock()
		o := known[at]
		mu.RUnlock()
		if o == nil {
			o = took.WithLabelValues(path, classes[at.class])
			mu.Lock()
			known[at] = o
			mu.Unlock()
		}
		seen(c.Request.Context(), o, d, status, span != nil)
		if status >= 500 {
			ctx := c.Request.Context()
			log.WarnContext(ctx, "answered an error", "route", path, "status", status, "board", boardOf(ctx), "request", tenant.RequestIDFrom(ctx), "ms", d.Milliseconds())
		}
	}
}

// seen puts a request into its histogram. Those that somebody will ask about, kept
// in a trace, slow or failed, name board and trace as an exemplar: a label would
// make a series of every board.
func seen(ctx context.Context, o prometheus.Observer, d time.Duration, status int, traced bool) {
	kept := ""
	if traced {
		kept = observe.Kept(ctx)
	}
	if kept == "" && d < slow && status < 500 {
		o.Observe(d.Seconds())
		return
	}
	labels := prometheus.Labels{}
	if kept != "" {
		labels["trace_id"] = kept
	}
	if id := boardOf(ctx); id != "" {
		labels["tenant"] = id
	}
	if e, ok := o.(prometheus.ExemplarObserver); ok && len(labels) > 0 {
		e.ObserveWithExemplar(d.Seconds(), labels)
		return
	}
	o.Observe(d.Seconds())
}

// boardOf is the id of the context's board, or "".
func boardOf(ctx context.Context) string {
	if t := tenant.From(ctx); t != nil {
		return t.ID.String()
	}
	return ""
}

// series is one histogram: a route and a class of its answers.
type series struct {
	path  string
	class int
}

var classes = [...]string{"", "1xx", "2xx", "3xx", "4xx", "5xx"}
