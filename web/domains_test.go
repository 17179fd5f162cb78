package web_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/authz"
	"shingle/domains"
	"shingle/internal/fault"
	"shingle/tenant"
	"shingle/web"
)

// ownHost gives a board a live host of its own, through DNS; the first is its
// main address.
func (h *house) ownHost(t *testing.T, b *tenant.Tenant, host string) {
	t.Helper()
	h.dns.Set(t, "edge.hosting.test", "A", "198.51.100.7")
	ctx := h.Ctx(t, b)
	d, err := h.domains.Add(ctx, host, true)
	if err != nil {
		t.Fatal(err)
	}
	h.dns.Set(t, domains.OwnerRecord(d).Name, "TXT", domains.OwnerRecord(d).Value)
	h.dns.Set(t, host, "A", "198.51.100.7")
	if d, err = h.domains.Check(ctx, host); err != nil || d.State != domains.Live {
		t.Fatalf("%s: %+v, %v", host, d, err)
	}
}

func TestABoardOnItsOwnHost(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "orbit")
	token := h.handedOver(t, h.signedIn(t, board.ID, authz.Owner), board)
	to := func(host, method, path string) (int, string) {
		t.Helper()
		res := h.call(t, host, method, path, "")
		_ = res.Body.Close()
		return res.StatusCode, res.Header.Get("Location")
	}
	if status, _ := to("orbit.localhost", http.MethodGet, "/jobs"); status != http.StatusOK {
		t.Fatalf("before: %d", status)
	}
	h.ownHost(t, board, "jobs.acme.test")
	h.ownHost(t, board, "www.acme.test")
	const main = "http://jobs.acme.test:8080"
	for _, c := range []struct {
		host, method, path string
		status             int
		location           string
	}{
		{"jobs.acme.test", "GET", "/jobs?q=x&page=2", 200, ""},
		{"www.acme.test", "GET", "/jobs?q=x&page=2", 301, main + "/jobs?q=x&page=2"},
		{"orbit.localhost", "GET", "/jobs?q=x&page=2", 301, main + "/jobs?q=x&page=2"},
		{"orbit.localhost", "GET", "//evil.test/x", 301, main + "//evil.test/x"},
		{"orbit.localhost", "POST", "/alerts", 308, main + "/alerts"},
		{"orbit.localhost", "GET", "/administration", 301, main + "/administration"},
		{"jobs.acme.test", "GET", "/admin/settings?x=1", 303, "http://orbit.localhost:8080/admin/settings?x=1"},
		{"www.acme.test", "GET", "/admin", 303, "http://orbit.localhost:8080/admin"},
	} {
		if status, location := to(c.host, c.method, c.path); status != c.status || location != c.location {
			t.Errorf("%s %s%s: %d to %q, want %d to %q", c.method, c.host, c.path, status, location, c.status, c.location)
		}
	}
	rec := h.get(t, "jobs.acme.test", "/jobs")
	if !strings.Contains(rec.Body.String(), main+"/jobs") {
		t.Error("the canonical address is not the board's own host")
	}

	t.Run("the platform address answers with the domain's DNS gone", func(t *testing.T) {
		for _, host := range []string{"jobs.acme.test", "www.acme.test", "_board-verify.jobs.acme.test", "_board-verify.www.acme.test"} {
			h.dns.Set(t, host, "A")
			h.dns.Set(t, host, "TXT")
		}
		if _, err := h.domains.Check(h.Ctx(t, board), "jobs.acme.test"); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/admin", "/admin/domains", "/admin/domains/jobs.acme.test", "/admin/look"} {
			if res := h.call(t, "orbit.localhost", http.MethodGet, path, token); res.StatusCode != http.StatusOK {
				t.Errorf("%s: %d to %q", path, res.StatusCode, res.Header.Get("Location"))
			}
		}
		if status, _ := to("orbit.localhost", http.MethodGet, "/sign-in"); status != http.StatusOK {
			t.Errorf("sign-in: %d", status)
		}
		if status, location := to("orbit.localhost", http.MethodGet, "/employers/desk"); strings.Contains(location, "acme.test") {
			t.Errorf("the desk: %d to %q", status, location)
		}
		sheet := themeLink.FindString(rec.Body.String())
		if status, location := to("orbit.localhost", http.MethodGet, sheet); status != http.StatusOK {
			t.Errorf("the style sheet %q: %d to %q", sheet, status, location)
		}
		if res := h.post(t, "orbit.localhost", "/admin/domains/platform", token, ""); res.StatusCode != http.StatusSeeOther {
			t.Errorf("back to the platform address: %d", res.StatusCode)
		}
		if status, _ := to("orbit.localhost", http.MethodGet, "/jobs"); status != http.StatusOK {
			t.Errorf("afterwards: %d", status)
		}
		if status, location := to("jobs.acme.test", http.MethodGet, "/jobs"); status != 301 || location != "http://orbit.localhost:8080/jobs" {
			t.Errorf("the former main address: %d to %q", status, location)
		}
	})
	t.Run("removed through the console", func(t *testing.T) {
		if res := h.post(t, "orbit.localhost", "/admin/domains/jobs.acme.test/remove", token, ""); res.StatusCode != http.StatusSeeOther {
			t.Fatalf("got %d", res.StatusCode)
		}
		if status, _ := to("jobs.acme.test", http.MethodGet, "/jobs"); status != http.StatusNotFound {
			t.Errorf("a removed host: %d", status)
		}
		if _, err := h.Boards.Resolve(t.Context(), "jobs.acme.test"); !fault.Is(err, fault.NotFound) {
			t.Errorf("resolved: %v", err)
		}
	})
	t.Run("refused words are on the page", func(t *testing.T) {
		res := h.post(t, "orbit.localhost", "/admin/domains", token, "host=co.uk")
		if body := read(t, res); res.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, "Nobody owns co.uk alone") {
			t.Errorf("%d: %.300s", res.StatusCode, body)
		}
	})
}

func TestTheProbeAnswersForServedHostsOnly(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.Board(t, "orbit")
	if rec := h.get(t, "orbit.localhost", domains.ProbePath); rec.Code != http.StatusOK || rec.Body.String() != domains.ProbeAnswer(h.parts.ProbeKey, "orbit.localhost") {
		t.Errorf("got %d %q", rec.Code, rec.Body)
	}
	if rec := h.get(t, "nobody.localhost", domains.ProbePath); rec.Code != http.StatusNotFound {
		t.Errorf("an unknown host: %d", rec.Code)
	}
}

// post sends a form as a session's browser would.
func (h *house) post(t *testing.T, host, path, token, form string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+host+":8080"+path, strings.NewReader(form))
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if token != "" {
		r.AddCookie(&http.Cookie{Name: "__Host-" + accounts.OperatorCookie, Value: token})
	}
	rec := httptest.NewRecorder()
	h.handler.ServeHTTP(rec, r)
	return rec.Result()
}

func read(t *testing.T, res *http.Response) string {
	t.Helper()
	defer func() { _ = res.Body.Close() }()
	var b strings.Builder
	buf := make([]byte, 32<<10)
	for {
		n, err := res.Body.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return b.String()
		}
	}
}

var themeLink = regexp.MustCompile(`/theme\.[0-9a-f]+\.css`)

func TestOldAddressesLeadOn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.caching(t, 4<<20)
	board, rival := h.Board(t, "orbit"), h.Board(t, "rival")
	token := h.handedOver(t, h.signedIn(t, board.ID, authz.Editor), board)
	add := func(source, target, status string) {
		t.Helper()
		res := h.post(t, board.PlatformHost, "/admin/redirects", token, url.Values{"source": {source}, "target": {target}, "status": {status}}.Encode())
		if res.StatusCode != http.StatusSeeOther {
			t.Fatalf("adding %s: %d %.500s", source, res.StatusCode, read(t, res))
		}
	}
	add("/karriere/*", "/jobs/*", "301")
	if res := h.post(t, board.PlatformHost, "/admin/redirects", token, "source=/jobs&target=/companies&status=301"); res.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("a redirect of a standing page: %d", res.StatusCode)
	}
	add("/over", "", "410")
	add("/jobs/no-such-job-x", "/jobs", "302")
	for _, c := range []struct {
		board  *tenant.Tenant
		path   string
		status int
		to     string
	}{
		{board, "/karriere/42?utm=x", 301, "/jobs/42?utm=x"}, {board, "/over", 410, ""}, {board, "/jobs", 200, ""}, {board, "/jobs/no-such-job-x", 302, "/jobs"},
		{board, "/nothing", 404, ""}, {rival, "/over", 404, ""}, {rival, "/karriere/42", 404, ""},
	} {
		rec := h.get(t, c.board.PlatformHost, c.path)
		if rec.Code != c.status || rec.Header().Get("Location") != c.to {
			t.Errorf("%s%s: %d to %q, want %d to %q", c.board.Slug, c.path, rec.Code, rec.Header().Get("Location"), c.status, c.to)
		}
	}
	if err := h.parts.Hits.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	res := h.call(t, board.PlatformHost, http.MethodGet, "/admin/redirects?q=karriere", token)
	if body := read(t, res); !strings.Contains(body, `<td class="num">1</td>`) {
		t.Errorf("the use is not counted: %.300s", body)
	}
	form := url.Values{"text": {"/a,/b\n/b,/a\n/c,https://elsewhere.test/"}}.Encode()
	if body := read(t, h.post(t, board.PlatformHost, "/admin/redirects/check", token, form)); !strings.Contains(body, "leads in a circle") || !strings.Contains(body, "Leads to another site.") {
		t.Errorf("the trial says %.600s", body)
	}
	if rec := h.get(t, board.PlatformHost, "/a"); rec.Code != 404 {
		t.Errorf("the trial kept something: %d", rec.Code)
	}
	if res := h.post(t, board.PlatformHost, "/admin/redirects/import", token, form); !strings.Contains(res.Header.Get("Location"), "n=2") {
		t.Errorf("the import: %d to %q", res.StatusCode, res.Header.Get("Location"))
	}
	if rec := h.get(t, board.PlatformHost, "/a"); rec.Code != 301 {
		t.Errorf("after the import: %d", rec.Code)
	}
}

// TestABoardUnderItsOwnersSite: a real proxy in front, once cutting the path
// off and once passing it whole.
func TestABoardUnderItsOwnersSite(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.parts.TrustedProxies, h.parts.Registry = []string{"127.0.0.1"}, prometheus.NewRegistry()
	h.caching(t, 4<<20)
	var err error
	if h.handler, err = web.New(h.parts); err != nil {
		t.Fatal(err)
	}
	board := h.BoardOf(t, tenant.NewBoard{Slug: "orbit", Name: "Orbit", Locale: "en", Currency: "USD", TimeZone: "UTC"})
	st := h.fill(t, board, &demoBoards(t)[0], 5)
	origin := httptest.NewServer(h.handler)
	t.Cleanup(origin.Close)
	strip := true
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at, _ := url.Parse(origin.URL)
		(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(at)
			p.Out.Host = board.PlatformHost + ":8080"
			p.Out.Header.Set("X-Forwarded-Host", "www.acme.test")
			if strip {
				p.Out.URL.Path = strings.TrimPrefix(p.Out.URL.Path, "/jobs")
				p.Out.Header.Set("X-Forwarded-Prefix", "/jobs")
			}
		}}).ServeHTTP(w, r)
	}))
	t.Cleanup(proxy.Close)
	h.domains.ProbeBase = func(ctx context.Context, address, host string) error {
		if strings.HasPrefix(address, "http://www.acme.test/jobs") {
			address = proxy.URL + strings.TrimPrefix(address, "http://www.acme.test")
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, address+domains.ProbePath, http.NoBody)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		if body := read(t, res); body != domains.ProbeAnswer(h.parts.ProbeKey, host) {
			return fmt.Errorf("got %.80q", body)
		}
		return nil
	}
	token := h.handedOver(t, h.signedIn(t, board.ID, authz.Owner), board)
	if res := h.post(t, board.PlatformHost, "/admin/domains/base", token, "base=http://www.acme.test/jobs/"); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("saving: %d %.500s", res.StatusCode, read(t, res))
	}
	if rec := h.get(t, board.PlatformHost, "/jobs"); rec.Code != http.StatusOK {
		t.Errorf("before it is checked the board answers at home: %d", rec.Code)
	}
	if res := h.post(t, board.PlatformHost, "/admin/domains/base/check", token, ""); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("checking: %d", res.StatusCode)
	}
	if rec := h.get(t, board.PlatformHost, "/jobs?q=x"); rec.Code != 301 || rec.Header().Get("Location") != "http://www.acme.test/jobs/jobs?q=x" {
		t.Errorf("at home: %d to %q", rec.Code, rec.Header().Get("Location"))
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	get := func(path string) (*http.Response, string) {
		t.Helper()
		res, err := client.Get(proxy.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		return res, read(t, res)
	}
	absolute := regexp.MustCompile(`(?:href|src|action|content)="?(/[^"\s>]*)`)
	for _, strip = range []bool{true, false} {
		for _, path := range append([]string{"/jobs?page=1", "/employers", "/post", "/sign-in", st.paths[4]}, st.paths...) {
			res, body := get("/jobs" + path)
			if res.StatusCode != http.StatusOK {
				t.Errorf("%s (cut off: %v): %d", path, strip, res.StatusCode)
				continue
			}
			for _, m := range absolute.FindAllStringSubmatch(body, -1) {
				if !strings.HasPrefix(m[1], "/jobs/") {
					t.Errorf("%s leads out of the base: %s", path, m[0])
				}
			}
			if strings.Contains(body, "orbit.localhost") {
				t.Errorf("%s names the platform address: %.200s", path, body[max(0, strings.Index(body, "orbit.localhost")-100):])
			}
		}
		if _, body := get("/jobs/jobs"); !strings.Contains(body, `href="http://www.acme.test/jobs/jobs"`) && !strings.Contains(body, `href=http://www.acme.test/jobs/jobs`) {
			t.Error("the canonical address is another")
		}
		if _, body := get("/jobs/sitemap.xml"); !strings.Contains(body, "<loc>http://www.acme.test/jobs/sitemaps/pages.xml</loc>") {
			t.Errorf("the sitemap reads %s", body)
		}
		if res, _ := get("/jobs/employers/desk"); res.StatusCode != http.StatusSeeOther || !strings.HasPrefix(res.Header.Get("Location"), "/jobs/sign-in") {
			t.Errorf("the desk: %d to %q", res.StatusCode, res.Header.Get("Location"))
		}
		if res, _ := get("/jobs/admin"); !strings.HasPrefix(res.Header.Get("Location"), "http://orbit.localhost:8080/admin") {
			t.Errorf("the console: %d to %q", res.StatusCode, res.Header.Get("Location"))
		}
		if sheet := themeLink.FindString(func() string { _, b := get("/jobs/"); return b }()); sheet != "" {
			if res, _ := get("/jobs" + sheet); res.StatusCode != http.StatusOK {
				t.Errorf("the style sheet: %d", res.StatusCode)
			}
		}
	}
	t.Run("a session under the path", func(t *testing.T) {
		var in *accounts.PersonSignedIn
		err := h.DB.Write(h.Ctx(t, board), func(ctx context.Context, tx bun.IDB) error {
			p, err := h.parts.Employer.People.FindOrCreate(ctx, tx, "ann@acme.test", "Ann")
			if err == nil {
				in, err = h.parts.Employer.People.StartSession(ctx, tx, p, accounts.Client{})
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, proxy.URL+"/jobs/employers/sign-out", strings.NewReader(""))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "http://www.acme.test")
		r.Header.Set("Cookie", "__Secure-"+accounts.PersonCookie+"="+in.Token)
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		set := res.Header.Get("Set-Cookie")
		if body := read(t, res); res.StatusCode != http.StatusSeeOther || !strings.HasPrefix(set, "__Secure-"+accounts.PersonCookie+"=") || !strings.Contains(set, "Path=/jobs;") {
			t.Errorf("%d, cookie %q, %.200s", res.StatusCode, set, body)
		}
	})
	t.Run("only from a trusted proxy, and only for the board's own origin", func(t *testing.T) {
		ask := func(remote, forwarded string) *httptest.ResponseRecorder {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/jobs/jobs", http.NoBody)
			r.Host, r.RemoteAddr = board.PlatformHost, remote
			r.Header.Set("X-Forwarded-Host", forwarded)
			rec := httptest.NewRecorder()
			h.handler.ServeHTTP(rec, r)
			return rec
		}
		if rec := ask("192.0.2.9:1", "www.acme.test"); rec.Code != http.StatusMisdirectedRequest {
			t.Errorf("a stranger's header: %d", rec.Code)
		}
		if rec := ask("127.0.0.1:1", "evil.test"); rec.Code != 301 || strings.Contains(rec.Header().Get("Location"), "evil") {
			t.Errorf("another origin: %d to %q", rec.Code, rec.Header().Get("Location"))
		}
	})
}

// What is wrong with a host shows on the first screen of who can mend it.
func TestHostsInTroubleAreShown(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board, rival := h.Board(t, "orbit"), h.Board(t, "rival")
	owner := h.handedOver(t, h.signedIn(t, board.ID, authz.Owner), board)
	other := h.handedOver(t, h.signedIn(t, rival.ID, authz.Owner), rival)
	staff := h.signedIn(t, tenant.Nil, authz.Support)
	problems := map[string]string{}
	h.domains.Certificates = func(_ context.Context, hosts ...string) map[string]domains.CertState {
		out := map[string]domains.CertState{}
		for _, host := range hosts {
			out[host] = domains.CertState{State: "issued", Error: problems[host]}
		}
		return out
	}
	page := func(host, path, token string) string {
		t.Helper()
		res := h.call(t, host, http.MethodGet, path, token)
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s%s: %d, %v", host, path, res.StatusCode, err)
		}
		return string(body)
	}
	exec := func(q string) {
		t.Helper()
		err := h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
			_, err := tx.NewRaw(q).Exec(ctx)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	const one = "1 host has a problem"
	shown := func(what string, want bool) {
		t.Helper()
		for where, body := range map[string]string{"admin": page("orbit.localhost", "/admin", owner), "staff": page(platformHost, "/staff", staff)} {
			if got := strings.Contains(body, one); got != want {
				t.Errorf("%s: the %s's first screen says so: %v, want %v", what, where, got, want)
			}
		}
		if got := strings.Contains(page(platformHost, "/staff/domains?state=trouble", staff), "jobs.acme.test"); got != want {
			t.Errorf("%s: in the staff's list: %v, want %v", what, got, want)
		}
		if strings.Contains(page("rival.localhost", "/admin", other), one) {
			t.Errorf("%s: another board is told", what)
		}
	}
	h.ownHost(t, board, "jobs.acme.test")
	shown("live", false)
	exec(`INSERT INTO certificates (host, state, problem) VALUES ('jobs.acme.test', 'failed', 'caa')`)
	problems["jobs.acme.test"] = "A CAA record of this domain does not allow our certificate authority."
	shown("no certificate", true)
	if !strings.Contains(page(platformHost, "/staff/domains", staff), "A CAA record of this domain") {
		t.Error("the staff's list does not say what is wrong with the certificate")
	}
	exec(`UPDATE certificates SET state = 'issued', problem = ''`)
	delete(problems, "jobs.acme.test")
	exec(`UPDATE domains SET report = report || '{"points": false}'`)
	shown("lost DNS", true)
	if strings.Contains(page(platformHost, "/staff", h.signedIn(t, tenant.Nil, authz.Billing)), one) {
		t.Error("who may not open the list is sent there")
	}
	exec(`UPDATE domains SET report = report || '{"points": true}', state = 'stuck'`)
	shown("stuck", true)
	exec(`UPDATE domains SET state = 'removed', flagged_at = now()`)
	shown("removed", false)
}

// Who was removed from a board is told so once, with a way on that does not
// lead back.
func TestARemovedMemberIsLedAway(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "orbit")
	h.signedIn(t, board.ID, authz.Owner) // somebody must be left
	parent := h.signedIn(t, board.ID, authz.Editor)
	token := h.handedOver(t, parent, board)
	s, err := h.operators.SessionByToken(t.Context(), token, &board.ID)
	if err != nil {
		t.Fatal(err)
	}
	err = h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return authz.Remove(ctx, tx, board.ID, s.Operator.ID)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/admin", "/admin/listings", "/admin/nothing"} {
		res := h.call(t, "orbit.localhost", http.MethodGet, path, token)
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusForbidden && res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d to %q", path, res.StatusCode, res.Header.Get("Location"))
		}
		if res.StatusCode == http.StatusForbidden && (strings.Contains(string(body), `href="/admin"`) || !strings.Contains(string(body), `/boards?stay=1"`)) {
			t.Errorf("%s leads back to itself: %.3000s", path, body)
		}
	}
	// The way on ends on the platform, whatever the answer's address.
	for at, hops := "/boards", 0; ; hops++ {
		res := h.call(t, platformHost, http.MethodGet, at, parent)
		_ = res.Body.Close()
		if res.StatusCode == http.StatusOK {
			break
		}
		if at = res.Header.Get("Location"); hops == 3 || !strings.HasPrefix(at, "/") {
			t.Fatalf("after %d hops: %d to %q", hops, res.StatusCode, at)
		}
	}
}
