package web_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/domains/access"
	"shingle/tenant"
	"shingle/web"
	"shingle/web/demo"
	"shingle/web/route"
)

// safe checks what every answer says about itself, whatever its status.
func safe(t *testing.T, what string, rec *httptest.ResponseRecorder) {
	t.Helper()
	h := rec.Header()
	csp := h.Get("Content-Security-Policy")
	// A mail's styles are in its tags, as mail programs want them: its preview runs
	// no script and is sandboxed.
	mail := strings.Contains(what, "/admin/mail/texts/") && strings.Contains(csp, "sandbox") && !strings.Contains(csp, "script-src")
	if !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe-inline") && !mail || strings.Contains(csp, "unsafe-eval") || !strings.Contains(csp, "frame-ancestors") && !strings.Contains(csp, "sandbox") {
		t.Errorf("%s (%d): the policy is %q", what, rec.Code, csp)
	}
	if strings.Contains(csp, "script-src") && !strings.Contains(csp, "require-trusted-types-for 'script'; trusted-types forms") {
		t.Errorf("%s (%d): scripts without trusted types: %q", what, rec.Code, csp)
	}
	if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") == "" || h.Get("Permissions-Policy") == "" || h.Get("Cross-Origin-Opener-Policy") != "same-origin" {
		t.Errorf("%s (%d): headers %v", what, rec.Code, h)
	}
	if p := h.Get("Cross-Origin-Resource-Policy"); p != "same-origin" && (p != "cross-origin" || !strings.Contains(what, "/api/") && !strings.Contains(what, "/files/") && !strings.Contains(what, "/x/")) {
		t.Errorf("%s (%d): Cross-Origin-Resource-Policy %q", what, rec.Code, p)
	}
	if h.Get("Strict-Transport-Security") != "" {
		t.Errorf("%s (%d): HSTS over plain HTTP", what, rec.Code)
	}
}

// Every route of every host, as nobody and as who may see it all.
func TestEveryAnswerHasItsSecurityHeaders(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.caching(t, 8<<20)
	from := demoBoards(t)[0]
	board := h.Board(t, "orbit")
	st := h.fill(t, board, &from, 3)
	staff := h.signedIn(t, tenant.Nil, authz.Superadmin)
	owner := h.handedOver(t, h.signedIn(t, board.ID, authz.Owner), board)
	hosts := []struct {
		host, token string
		tables      []route.Route
	}{
		{board.PlatformHost, "", slices.Concat(h.parts.Site.Routes(), h.parts.Employer.PublicRoutes(), h.parts.Employer.DeskRoutes())},
		{board.PlatformHost, owner, h.parts.Admin.Routes()},
		{platformHost, staff, slices.Concat(h.parts.Platform.Routes(), h.parts.Staff.Routes(), h.parts.Hooks.Routes())},
	}
	seen := map[int]int{}
	ask := func(host, method, path, token string) {
		for _, as := range []string{"", token} {
			rec := h.as(t, method, host, path, as)
			safe(t, method+" "+host+path, rec)
			seen[rec.Code]++
			if token == "" {
				return
			}
		}
	}
	n := 0
	for _, on := range hosts {
		for _, r := range on.tables {
			// Signing out would make the rest of the walk nobody's.
			if strings.Contains(r.Path, "sign-out") || strings.HasSuffix(r.Path, "/leave") {
				ask(on.host, r.Method, address(r.Path), "")
				continue
			}
			ask(on.host, r.Method, address(r.Path), on.token)
			n++
		}
	}
	for _, path := range st.paths {
		ask(board.PlatformHost, http.MethodGet, path, "")
		ask(board.PlatformHost, http.MethodGet, path, "") // from the cache
	}
	for _, path := range []string{"/api", "/api/docs.css", "/api/v1/board", "/api/v1/jobs", "/api/v1/jobs/none", "/api/v1/openapi.json", "/api/v1/none", "/assets/none", "/assets/console/none",
		"/.well-known/shingle-probe", "/no/such/page", "/files/logos/none"} {
		ask(board.PlatformHost, http.MethodGet, path, "")
		ask(platformHost, http.MethodGet, path, "")
	}
	ask("nobody.localhost", http.MethodGet, "/", "")
	ask("a b.localhost", http.MethodGet, "/", "")
	for range 12 { // over the limit of reports
		h.send(t, board.PlatformHost, st.paths[len(st.paths)-2]+"/report", "", nil)
	}
	// A private board, a suspended one, and one that fails.
	closed := h.Board(t, "closed")
	h.private(t, closed, access.Change{Mode: access.Password, Password: "open sesame 42"})
	for _, path := range []string{"/", "/jobs", "/api/v1/jobs", "/suggest", "/robots.txt", "/none"} {
		ask(closed.PlatformHost, http.MethodGet, path, "")
	}
	shut := h.Board(t, "shut")
	if err := h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tenant.SetState(ctx, tx, shut.ID, tenant.Suspended, "unpaid")
	}); err != nil {
		t.Fatal(err)
	}
	h.Notifier.HostChanged(shut.PlatformHost)
	ask(shut.PlatformHost, http.MethodGet, "/", "")
	ask(shut.PlatformHost, http.MethodPost, "/post", "")
	h.parts.Site.Search, h.parts.API.Search, h.parts.Hooks.Inbox, h.parts.Site.CacheOn = nil, nil, nil, false // whoever asks for them panics
	for _, path := range []string{"/jobs?q=x", "/suggest?q=xyz", "/api/v1/jobs?q=x"} {
		ask(board.PlatformHost, http.MethodGet, path, "")
	}
	ask(platformHost, http.MethodPost, "/webhooks/stripe", "")
	// The demo in front of it all, its parts taken with one click, and its pause.
	demonstrated, pause := h.demo(t, board)
	for _, h.handler = range []http.Handler{demonstrated, pause} {
		for _, path := range []string{demo.Path, "/.demo/demo.css", "/.demo/enter", "/robots.txt", "/", "/none"} {
			ask(platformHost, http.MethodGet, path, "")
			ask(board.PlatformHost, http.MethodGet, path, "")
		}
		for _, part := range append(demo.Parts, "none") {
			ask(platformHost, http.MethodPost, demo.Path+"/as/"+part, "")
		}
	}
	if n < 250 {
		t.Errorf("%d routes: the walk saw too little", n)
	}
	for _, status := range []int{200, 303, 401, 404, 422, 500, 503} {
		if seen[status] == 0 {
			t.Errorf("no answer was %d: %v", status, seen)
		}
	}
}

// demo puts the demo in front of the product, and returns what it shows while it
// is made anew, too. Its operators' part is the board's owner.
func (h *house) demo(t *testing.T, board *tenant.Tenant) (in, pause http.Handler) {
	t.Helper()
	const email = "owner@demo.example"
	h.operators.ExemptForDevelopment(h.parts.Log, email)
	err := h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		o, err := h.operators.FindOrCreate(ctx, tx, email, "Owner", "en")
		if err != nil {
			return err
		}
		return authz.Grant(ctx, tx, board.ID, o.ID, authz.Owner)
	})
	d := &demo.Demo{DB: h.DB, Platform: h.Platform, Boards: h.parts.Boards, Operators: h.operators, People: h.parts.Employer.People, Links: h.links, Next: time.Now().Add(time.Hour), Now: time.Now,
		Ensure: func(context.Context, string, string) (*demo.Person, error) {
			return &demo.Person{Email: email, Board: board}, nil
		}}
	if err == nil {
		err = d.Load()
	}
	if err == nil {
		pause, err = demo.Pause()
	}
	if err != nil {
		t.Fatal(err)
	}
	return d.Handler(h.handler), pause
}

// Behind a proxy that ends TLS, browsers hear that the host is TLS's; from
// anybody else the header counts for nothing.
func TestHSTSComesFromTrustedProxiesAlone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "orbit")
	h.parts.TrustedProxies, h.parts.Registry = []string{"192.0.2.0/24"}, prometheus.NewRegistry()
	var err error
	if h.handler, err = web.New(h.parts); err != nil {
		t.Fatal(err)
	}
	for from, want := range map[string]string{"192.0.2.9:1": "max-age=31536000", "203.0.113.9:1": ""} {
		for _, path := range []string{"/", "/none"} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
			r.Host, r.RemoteAddr = board.PlatformHost, from
			r.Header.Set("X-Forwarded-Proto", "https")
			rec := httptest.NewRecorder()
			h.handler.ServeHTTP(rec, r)
			if got := rec.Header().Get("Strict-Transport-Security"); got != want {
				t.Errorf("from %s at %s: HSTS %q, want %q", from, path, got, want)
			}
		}
	}
}
