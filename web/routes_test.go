package web_test

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/uptrace/bun"
	"go.uber.org/goleak"
	"gocloud.dev/blob/memblob"

	"shingle/accounts"
	"shingle/archive"
	"shingle/authz"
	"shingle/billing"
	"shingle/billing/plans"
	"shingle/candidates"
	"shingle/domains"
	"shingle/domains/access"
	"shingle/domains/redirects"
	"shingle/internal/dns"
	"shingle/internal/links"
	"shingle/internal/seal"
	"shingle/internal/testkit"
	"shingle/listings"
	"shingle/mail"
	"shingle/privacy"
	"shingle/search"
	"shingle/search/postgres"
	"shingle/tenant"
	"shingle/themes"
	"shingle/themes/looks"
	"shingle/web"
	"shingle/web/admin"
	"shingle/web/api"
	"shingle/web/console"
	"shingle/web/employer"
	"shingle/web/hooks"
	"shingle/web/platform"
	"shingle/web/proof"
	"shingle/web/route"
	"shingle/web/site"
	"shingle/web/staff"
)

func TestMain(m *testing.M) {
	// The gate's and the parts' caches end with the process.
	testkit.Main(m, goleak.IgnoreAnyFunction("github.com/maypok86/otter/v2.periodicCleanUp[...]"))
}

const platformHost = "platform.localhost"

// house is the whole of web over a database of the test's own. Nothing answers
// for Stripe: what a permitted request then gets is not this test's matter.
type house struct {
	*testkit.World
	parts     web.Parts
	handler   http.Handler
	links     links.Links
	operators *accounts.Operators
	domains   *domains.Service
	dns       *testkit.DNS
	plans     *plans.Service
	privacy   *privacy.Service
}

// What no house changes is read once.
var (
	loadPacks  = sync.OnceValues(func() (*themes.Packs, error) { return themes.Load() })
	loadAssets = sync.OnceValues(console.LoadAssets)
)

func newHouse(t testing.TB) *house {
	t.Helper()
	gin.SetMode(gin.ReleaseMode)
	w := testkit.NewWorld(t)
	log := testkit.Log(t) // what any request made anybody log is checked at the end
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	h := &house{World: w}
	var err error
	h.links, err = links.New("http://localhost:8080", platformHost, "localhost")
	must(err)
	files := memblob.OpenBucket(nil)
	t.Cleanup(func() { _ = files.Close() })
	packs, err := loadPacks()
	must(err)
	cache, err := themes.NewCache(1<<20, time.Now)
	must(err)
	t.Cleanup(cache.Close)
	assets, err := loadAssets()
	must(err)
	limits := accounts.NewLimiter(nil, time.Now)
	h.operators = accounts.NewOperators(w.Platform, limits, h.links, time.Now)
	sealer, err := seal.New("second factors", bytes.Repeat([]byte{7}, 32))
	must(err)
	must(h.operators.UseFactors(sealer))
	people := accounts.NewPeople(w.DB, limits, h.links, time.Now)
	gate, err := authz.NewGate(w.Platform)
	must(err)
	store := listings.NewStore(h.links)
	found := search.NewService(search.Options{DB: w.DB, Platform: w.Platform, Local: postgres.New(w.DB), Log: log})
	h.plans = plans.New(plans.Options{DB: w.DB, Platform: w.Platform, Links: h.links, Stripe: billing.NewStripe("sk_test_none", "http://127.0.0.1:1", log), Now: time.Now, Log: log})
	money := billing.New(billing.Options{DB: w.DB, Platform: w.Platform, Listings: store, Links: h.links,
		Stripe: billing.NewStripe("sk_test_none", "http://127.0.0.1:1", log), Secrets: []string{"whsec_none"}, Now: time.Now, Log: log})
	key := make([]byte, 32)
	proofs, err := proof.New(key, w.DB, limits, h.links, time.Now)
	must(err)
	h.dns = testkit.NewDNS(t)
	asks := dns.New([]string{h.dns.Addr})
	h.domains = &domains.Service{DB: w.DB, Platform: w.Platform, Notifier: w.Notifier, Links: h.links, DNS: asks.Fresh(), EdgeHost: "edge.hosting.test", Now: time.Now}
	applied := &candidates.Service{DB: w.DB, Platform: w.Platform, Listings: store, Files: files, Links: h.links, Key: key, Now: time.Now}
	look := &looks.Store{DB: w.DB, Packs: packs, Default: themes.Look{Pack: "harbor"}}
	launcher := &platform.Launcher{Platform: w.Platform, Operators: h.operators, Notifier: w.Notifier, Links: h.links, Plans: h.plans}
	door := &access.Service{DB: w.DB, Links: h.links, Key: key, Now: time.Now, HTTP: http.DefaultClient}
	archives := &archive.Service{DB: w.DB, Platform: w.Platform, Files: files, Links: h.links, Packs: packs, Operators: h.operators, Now: time.Now}
	h.privacy = &privacy.Service{DB: w.DB, Platform: w.Platform, People: people, Archive: archives, Candidates: applied, Listings: store, Links: h.links, Key: key, Now: time.Now}
	pages := &site.Site{Access: door, Privacy: h.privacy, DB: w.DB, Links: h.links, Listings: store, Search: found, Candidates: applied, Packs: packs, Looks: look,
		Cache: cache, Files: files, Limits: limits, Proof: proofs, Now: time.Now}
	letters := &mail.Sender{DB: w.DB, Platform: w.Platform, From: "boards@platform.example", PlatformName: "Shingle"}
	must(letters.Load())
	h.parts = web.Parts{Boards: w.Boards, Site: pages, Assets: assets, Log: log, Registry: prometheus.NewRegistry(), PlatformHosts: []string{platformHost}, ProbeKey: key,
		Redirects: &redirects.Store{Now: time.Now}, Hits: &redirects.Hits{Platform: w.Platform, Log: log},
		Employer: &employer.Employer{DB: w.DB, Links: h.links, Site: pages, Listings: store, Billing: money, Plans: h.plans, Candidates: applied, People: people, Limits: limits, Key: key, Now: time.Now},
		Admin: &admin.Admin{DB: w.DB, Archive: archives, Privacy: h.privacy, Platform: w.Platform, Boards: w.Boards, Notifier: w.Notifier, Links: h.links, Site: pages, Listings: store, Billing: money,
			Candidates: applied, Limits: limits, Domains: h.domains, Redirects: &redirects.Store{Now: time.Now}, Access: door, Operators: h.operators, Gate: gate, Packs: packs, Looks: look, Files: files, Mail: &mail.Identities{DB: w.DB, Platform: w.Platform, Now: time.Now}, Letters: letters, Plans: h.plans, Now: time.Now},
		Platform: &platform.Platform{Proof: proofs, Platform: w.Platform, Operators: h.operators, Gate: gate, Links: h.links, Launcher: launcher, Plans: h.plans},
		API:      &api.API{DB: w.DB, Links: h.links, Listings: store, Search: found, Site: pages, Now: time.Now},
		Hooks:    &hooks.Hooks{Limits: limits, Inbox: money},
	}
	h.parts.Staff = &staff.Staff{Limits: limits, Platform: w.Platform, Boards: w.Boards, Notifier: w.Notifier, Domains: h.domains, Plans: h.plans, Links: h.links, Launch: launcher.Launch, Release: money.Release, Allowed: h.parts.Platform.Allowed, Permissions: h.parts.Platform.Permissions, Operators: h.operators}
	h.parts.Staff.Session, h.parts.Staff.Release = platform.Session, money.Replay
	must(pages.Load())
	must(h.parts.API.Load())
	must(h.parts.Employer.Load(assets))
	must(h.parts.Admin.Load(assets))
	must(h.parts.Platform.Load(assets))
	must(h.parts.Staff.Load(assets))
	h.handler, err = web.New(h.parts)
	must(err)
	return h
}

// signedIn makes an operator with a role (or none) in a domain and signs them
// in on the platform's host.
func (h *house) signedIn(t testing.TB, domain tenant.ID, role string) (token string) {
	t.Helper()
	email := strings.NewReplacer(":", "-", " ", "-").Replace(role) + "-" + uuid.NewString()[:8] + "@people.example"
	const password = "a long enough phrase"
	var id uuid.UUID
	err := h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		o, err := h.operators.FindOrCreate(ctx, tx, email, role, "en")
		if err != nil {
			return err
		}
		id = o.ID
		if role == "" {
			return nil
		}
		return authz.Grant(ctx, tx, domain, o.ID, role)
	})
	if err == nil {
		err = h.operators.SetPassword(t.Context(), id, password)
	}
	if err != nil {
		t.Fatal(err)
	}
	in, err := h.operators.SignInWithPassword(t.Context(), email, password, accounts.Client{Address: "192.0.2.1"})
	if err != nil {
		t.Fatal(err)
	}
	h.StepUp(t, in.Token)
	return in.Token
}

// handedOver turns a session on the platform's host into one on a board.
func (h *house) handedOver(t testing.TB, token string, board *tenant.Tenant) string {
	t.Helper()
	s, err := h.operators.SessionByToken(t.Context(), token, nil)
	if err != nil {
		t.Fatal(err)
	}
	over, err := h.operators.HandOver(t.Context(), s, board.ID, "/admin")
	if err != nil {
		t.Fatal(err)
	}
	in, err := h.operators.Exchange(t.Context(), board.ID, over.Host, over.Code, accounts.Client{Address: "192.0.2.1"})
	if err != nil {
		t.Fatal(err)
	}
	return in.Token
}

// as asks for a route as a session, as somebody's browser would.
func (h *house) as(t *testing.T, method, host, path, token string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody)
	r.Host = host + ":8080" // which some tests make one that no address could have
	r.Header.Set("Accept", "text/html")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if token != "" {
		r.AddCookie(&http.Cookie{Name: accounts.CookieName(accounts.OperatorCookie, accounts.Secured("http", host)), Value: token})
	}
	rec := httptest.NewRecorder()
	h.handler.ServeHTTP(rec, r)
	return rec
}

// call is as, for who reads the answer as a client does.
func (h *house) call(t *testing.T, host, method, path, token string) *http.Response {
	t.Helper()
	return h.as(t, method, host, path, token).Result()
}

var placeholder = regexp.MustCompile(`[:*][a-z_]+`)

// address fills a pattern in with ids that nothing has.
func address(pattern string) string {
	return placeholder.ReplaceAllStringFunc(pattern, func(string) string { return uuid.NewString() })
}

// somebody is a session that walks a table.
type somebody struct {
	name, token string
	// may is what the session's operator holds in the table's domain.
	may authz.Set
	// known is false where the session counts for nothing.
	known bool
}

// walk calls every route as everybody and holds the answer against what they may.
func (h *house) walk(t *testing.T, host string, table []route.Route, all []somebody, refused func(r route.Route, res *http.Response) bool) {
	for _, r := range table {
		if r.Path == "/admin/enter" || r.Path == "/admin/sign-out" || r.Path == "/admin/acting/end" || strings.HasSuffix(r.Path, "/team/leave") { // have tests of their own
			continue
		}
		for _, s := range all {
			t.Run(r.Method+" "+r.Path+" as "+s.name, func(t *testing.T) {
				res := h.call(t, host, r.Method, address(r.Path), s.token)
				defer func() { _ = res.Body.Close() }()
				if res.StatusCode == http.StatusInternalServerError {
					body, _ := io.ReadAll(res.Body)
					t.Errorf("answers 500: %.400s", body)
				}
				switch {
				case !s.known:
					if !refused(r, res) {
						t.Errorf("got %d to %q, want the way to sign in", res.StatusCode, res.Header.Get("Location"))
					}
				case s.may.Has(r.Can):
					if res.StatusCode == http.StatusForbidden || refused(r, res) {
						t.Errorf("got %d to %q, but the role has %s", res.StatusCode, res.Header.Get("Location"), r.Can)
					}
				case res.StatusCode != http.StatusForbidden:
					t.Errorf("got %d, want 403: the role lacks %s", res.StatusCode, r.Can)
				}
			})
		}
	}
}

func TestEveryAdminRouteForEveryRole(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board, rival := h.Board(t, "orbit"), h.Board(t, "rival")
	var all []somebody
	for _, role := range authz.BuiltinRoles(board.ID) {
		may, ok := authz.BuiltinSet(board.ID, role)
		if !ok {
			t.Fatalf("no role %s", role)
		}
		all = append(all, somebody{name: role, token: h.handedOver(t, h.signedIn(t, board.ID, role), board), may: may, known: true})
	}
	owner := h.signedIn(t, rival.ID, authz.Owner)
	super := h.signedIn(t, tenant.Nil, authz.Superadmin)
	all = append(all,
		somebody{name: "nobody"},
		somebody{name: "a made-up session", token: strings.Repeat("x", 43)},
		// Handed over with nothing granted here: a session without a permission.
		somebody{name: "a rival board's owner", token: h.handedOver(t, owner, board), known: true},
		somebody{name: "platform staff", token: h.handedOver(t, super, board), known: true},
		// Sessions of other hosts do not count on this one.
		somebody{name: "a rival board's session", token: h.handedOver(t, owner, rival)},
		somebody{name: "the platform's session", token: super},
	)
	h.walk(t, board.PlatformHost, h.parts.Admin.Routes(), all, func(_ route.Route, res *http.Response) bool {
		return res.StatusCode == http.StatusSeeOther && strings.HasPrefix(res.Header.Get("Location"), h.links.Platform("/go?"))
	})
}

func TestEveryStaffRouteForEveryRole(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "orbit")
	var all []somebody
	for _, role := range authz.BuiltinRoles(tenant.Nil) {
		may, ok := authz.BuiltinSet(tenant.Nil, role)
		if !ok {
			t.Fatalf("no role %s", role)
		}
		all = append(all, somebody{name: role, token: h.signedIn(t, tenant.Nil, role), may: may, known: true})
	}
	owner := h.signedIn(t, board.ID, authz.Owner)
	all = append(all,
		somebody{name: "nobody"},
		somebody{name: "an operator without a role", token: h.signedIn(t, tenant.Nil, ""), known: true},
		somebody{name: "a board's owner", token: owner, known: true},
		somebody{name: "a board's session", token: h.handedOver(t, owner, board)},
	)
	h.walk(t, platformHost, h.parts.Staff.Routes(), all, func(r route.Route, res *http.Response) bool {
		if r.Method == route.GET {
			return res.StatusCode == http.StatusSeeOther && strings.HasPrefix(res.Header.Get("Location"), "/sign-in?")
		}
		return res.StatusCode == http.StatusUnauthorized
	})
}

// TestConsolesAreOpenNowhere: but for the hand-over's way in, no console route
// is for everybody, and only signing out and leaving are for whoever is signed in.
func TestConsolesAreOpenNowhere(t *testing.T) {
	t.Parallel()
	for _, r := range append((&admin.Admin{}).Routes(), (&staff.Staff{}).Routes()...) {
		if _, ok := r.Can.Entry(); ok {
			continue
		}
		if r.Path != "/admin/enter" && (r.Path != "/admin/sign-out" && r.Path != "/admin/team/leave" && r.Path != "/admin/acting/end" && r.Path != "/admin/notices/:id/dismiss" || r.Can != authz.SignedIn) {
			t.Errorf("%s %s is for %s", r.Method, r.Path, r.Can)
		}
	}
}

func TestARouteWithoutAPermissionPanics(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("got no panic")
		}
	}()
	route.Mount(gin.New(), []route.Route{{Method: route.GET, Path: "/open"}}, nil, nil, slog.New(slog.DiscardHandler))
}

// TestSigningOutNeedsASession: the one route for whoever is signed in.
func TestSigningOutNeedsASession(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "orbit")
	token := h.handedOver(t, h.signedIn(t, board.ID, authz.Viewer), board)
	if res := h.call(t, board.PlatformHost, route.GET, "/admin", token); res.StatusCode != http.StatusOK {
		t.Fatalf("got %d before, want 200", res.StatusCode)
	}
	if res := h.call(t, board.PlatformHost, route.POST, "/admin/sign-out", token); res.Header.Get("Location") != h.links.Platform("/sign-in") {
		t.Errorf("got %d to %q", res.StatusCode, res.Header.Get("Location"))
	}
	if res := h.call(t, board.PlatformHost, route.GET, "/admin", token); res.StatusCode != http.StatusSeeOther {
		t.Errorf("got %d after, want the way to sign in", res.StatusCode)
	}
}

// TestAGrantEndsWithTheNextRequest: a session carries the version of its roles.
func TestAGrantEndsWithTheNextRequest(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "orbit")
	h.signedIn(t, board.ID, authz.Owner) // a board keeps its last owner
	token := h.handedOver(t, h.signedIn(t, board.ID, authz.Admin), board)
	if res := h.call(t, board.PlatformHost, route.GET, "/admin/settings", token); res.StatusCode != http.StatusOK {
		t.Fatalf("got %d with the grant, want 200", res.StatusCode)
	}
	s, err := h.operators.SessionByToken(t.Context(), token, &board.ID)
	if err != nil {
		t.Fatal(err)
	}
	err = h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return authz.Revoke(ctx, tx, board.ID, s.Operator.ID, authz.Admin)
	})
	if err != nil {
		t.Fatal(err)
	}
	if res := h.call(t, board.PlatformHost, route.GET, "/admin/settings", token); res.StatusCode != http.StatusForbidden {
		t.Errorf("got %d after, want 403", res.StatusCode)
	}
}

// Pages are parsed when they are first shown: one that does not parse fails here.
func TestEveryConsolePageParses(t *testing.T) {
	t.Parallel()
	assets, err := console.LoadAssets()
	if err != nil {
		t.Fatal(err)
	}
	for name, files := range map[string]fs.FS{"admin": admin.Words(), "employer": employer.Words(), "platform": platform.Words(), "staff": staff.Words()} {
		shell, err := console.NewShell(files, "pages", files, assets)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := shell.Check(); err != nil || len(shell.Pages()) == 0 {
			t.Errorf("%s has %d pages: %v", name, len(shell.Pages()), err)
		}
	}
}
