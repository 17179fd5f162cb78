package web_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"shingle/accounts"
	"shingle/authz"
	"shingle/internal/fault"
	"shingle/tenant"
	"shingle/web/admin"
	"shingle/web/platform"
	"shingle/web/route"
	"shingle/web/staff"
)

// steppedUp are the routes that ask for a fresh second factor, written out: a
// new one is a line here.
var steppedUp = []string{
	"GET /admin/access", "GET /admin/audit.csv", "GET /admin/domains", "GET /admin/domains/:host", "GET /admin/export", "GET /admin/export/download", "GET /admin/listings.csv",
	"GET /admin/mail/log.csv", "GET /admin/orders.csv", "GET /admin/payouts", "GET /admin/payouts/statement.csv", "GET /admin/team", "GET /admin/team/roles", "GET /admin/team/roles/edit",
	"GET /admin/team/roles/new", "GET /ownership", "GET /staff/announcements.csv", "GET /staff/audit.csv", "GET /staff/boards.csv", "GET /staff/boards/:id/timeline.csv",
	"GET /staff/domains.csv", "GET /staff/events.csv", "GET /staff/figures.csv", "GET /staff/flags.csv", "GET /staff/mail/log.csv", "GET /staff/mail/suppressed.csv", "GET /staff/orders.csv",
	"GET /staff/plans.csv", "GET /staff/tasks.csv", "GET /staff/team.csv", "POST /admin/access", "POST /admin/access/invite", "POST /admin/domains", "POST /admin/domains/:host/certificate",
	"POST /admin/domains/:host/check", "POST /admin/domains/:host/primary", "POST /admin/domains/:host/remove", "POST /admin/domains/base", "POST /admin/domains/base/check",
	"POST /admin/domains/platform", "POST /admin/export", "POST /admin/export/:id/delete", "POST /admin/export/:id/link", "POST /admin/export/download", "POST /admin/members/:id/remove",
	"POST /admin/members/:id/restore", "POST /admin/members/:id/role", "POST /admin/orders/:id/refund", "POST /admin/payouts/dashboard", "POST /admin/payouts/onboard",
	"POST /admin/payouts/reconcile", "POST /admin/plan/cancel", "POST /admin/plan/change", "POST /admin/plan/keep", "POST /admin/plan/portal", "POST /admin/plan/subscribe",
	"POST /admin/team/invite", "POST /admin/team/offer", "POST /admin/team/offer/withdraw", "POST /admin/team/resend", "POST /admin/team/roles", "POST /admin/team/roles/delete",
	"POST /admin/team/roles/edit", "POST /admin/team/withdraw", "POST /ownership", "POST /staff/boards/:id/act-as", "POST /staff/boards/:id/act-as/:visit/enter", "POST /staff/boards/:id/comp",
	"POST /staff/boards/:id/comp-end", "POST /staff/boards/:id/credit", "POST /staff/boards/:id/delete", "POST /staff/boards/:id/fee", "POST /staff/boards/:id/plan",
	"POST /staff/boards/:id/resume", "POST /staff/boards/:id/suspend", "POST /staff/boards/:id/trial", "POST /staff/plans", "POST /staff/plans/edit/:id", "POST /staff/plans/edit/:id/archive",
	"POST /staff/team/:id/remove", "POST /staff/team/:id/restore", "POST /staff/team/:id/role", "POST /staff/team/invite", "POST /staff/team/resend", "POST /staff/team/withdraw",
}

func TestRoutesThatAskForAFreshSecondFactor(t *testing.T) {
	t.Parallel()
	var got []string
	for _, r := range slices.Concat((&admin.Admin{}).Routes(), (&staff.Staff{}).Routes(), (&platform.Platform{}).Routes()) {
		e, ok := r.Can.Entry()
		if r.StepUp {
			got = append(got, r.Method+" "+r.Path)
		} else if ok {
			// Whatever is about these has the mark, however it is called. Staff have
			// proven a factor when they signed in, and do it again for what costs.
			board := strings.HasPrefix(r.Path, "/admin")
			// What moves money or ends a board, too, on either console.
			if o := e.Object; r.Method == route.POST && (e.Object == "plan" || o == "order" && e.Action == "refund" || o == "staff" && e.Action == "manage" ||
				o == "board" && (e.Action == "suspend" || e.Action == "delete" || e.Action == "fee")) {
				t.Errorf("%s %s (%s) asks for no fresh second factor", r.Method, r.Path, e.Action)
			}
			if o := e.Object; board && (o == "payout" || o == "domain" || o == "team" || o == "role") || board && strings.HasPrefix(r.Path, "/admin/export") || strings.HasSuffix(r.Path, ".csv") && o != "import" {
				t.Errorf("%s %s (%s) asks for no fresh second factor", r.Method, r.Path, e.Action)
			}
		}
		if r.Half && (r.StepUp || r.Can != authz.SignedIn) {
			t.Errorf("%s %s is for half sessions and for more", r.Method, r.Path)
		}
	}
	sort.Strings(got)
	if !slices.Equal(got, steppedUp) {
		t.Errorf("the routes with StepUp are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(steppedUp, "\n"))
	}
}

// passwordOnly signs an operator in who has no second factor.
func (h *house) passwordOnly(t *testing.T, domain tenant.ID, role string) (token, email string) {
	t.Helper()
	full := h.signedIn(t, domain, role)
	s, err := h.operators.SessionByToken(t.Context(), full, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.operators.RemoveTOTP(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	in, err := h.operators.SignInWithPassword(t.Context(), s.Operator.Email, "a long enough phrase", accounts.Client{Address: "192.0.2.1"})
	if err != nil {
		t.Fatal(err)
	}
	return in.Token, s.Operator.Email
}

func TestStaffSetASecondFactorUpBeforeAnythingElse(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	token, _ := h.passwordOnly(t, tenant.Nil, authz.Superadmin)
	for _, path := range []string{"/staff", "/staff/boards", "/boards", "/account", "/security", "/go?board=" + uuid.NewString()} {
		res := h.call(t, platformHost, route.GET, path, token)
		if to := res.Header.Get("Location"); res.StatusCode != http.StatusSeeOther || to != "/verify?next="+url.QueryEscape(path) {
			t.Errorf("%s: %d to %q", path, res.StatusCode, to)
		}
	}
	res := h.call(t, platformHost, route.GET, "/verify?next=/staff", token)
	if to := res.Header.Get("Location"); to != "/security/set-up?next=%2Fstaff" {
		t.Errorf("without a factor the proof leads to %q", to)
	}
	page := read(t, h.call(t, platformHost, route.GET, "/security/set-up?next=/staff", token))
	if !strings.Contains(page, `href="/security/app?next=%2fstaff"`) {
		t.Errorf("the set-up forgets where to go: %s", page)
	}
	page = read(t, h.call(t, platformHost, route.GET, "/security/app?next=/staff", token))
	field := func(name string) string {
		m := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(page)
		if m == nil {
			t.Fatalf("no field %s: %s", name, page)
		}
		return m[1]
	}
	secret := regexp.MustCompile(`id="secret">([A-Z2-7 ]+)<`).FindStringSubmatch(page)[1]
	form := url.Values{"setup": {field("setup")}, "next": {field("next")}, "code": {"000000"}}
	res = h.post(t, platformHost, "/security/app", token, form.Encode())
	if body := read(t, res); res.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, secret) || !strings.Contains(body, "This code is not right") {
		t.Errorf("a wrong code: %d", res.StatusCode)
	}
	code, err := accounts.CodeAt(secret, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	form.Set("code", code)
	res = h.post(t, platformHost, "/security/app", token, form.Encode())
	body := read(t, res)
	if n := strings.Count(body, "<li><code>"); res.StatusCode != http.StatusOK || n != 10 || !strings.Contains(body, `href="/staff"`) || !strings.Contains(body, `download="shingle-recovery-codes.txt"`) {
		t.Fatalf("set up: %d with %d codes: %s", res.StatusCode, n, body)
	}
	if res := h.call(t, platformHost, route.GET, "/staff", token); res.StatusCode != http.StatusOK {
		t.Errorf("then /staff is %d", res.StatusCode)
	}
}

func TestAFormThatComesTooLateIsKept(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "orbit")
	token, _ := h.passwordOnly(t, board.ID, authz.Owner)
	at := h.handedOver(t, token, board)
	// A page: through the platform's host and back by a hand-over.
	res := h.call(t, board.PlatformHost, route.GET, "/admin/payouts?page=2", at)
	u, err := url.Parse(res.Header.Get("Location"))
	if err != nil || res.StatusCode != http.StatusSeeOther || u.Host != platformHost+":8080" || u.Path != "/verify" {
		t.Fatalf("payouts: %d to %v", res.StatusCode, u)
	}
	back, err := url.Parse(u.Query().Get("next"))
	if err != nil || back.Path != "/go" || back.Query().Get("board") != board.ID.String() || back.Query().Get("next") != "/admin/payouts?page=2" {
		t.Errorf("back by %v", back)
	}
	// A form: nothing is done, everything is on the page, the same button sends it on.
	form := url.Values{"email": {"<b>new@people.example"}, "role": {"editor"}}
	res = h.post(t, board.PlatformHost, "/admin/team/invite", at, form.Encode())
	body := read(t, res)
	for _, want := range []string{`action="/admin/team/invite"`, `name="email" value="&lt;b&gt;new@people.example"`, `name="role" value="editor"`, "Nothing has been done yet", `target="_blank"`, "/verify?next="} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q: %s", want, body)
		}
	}
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("answers %d", res.StatusCode)
	}
	// Who may not do it at all is told so first.
	viewer, _ := h.passwordOnly(t, board.ID, authz.Viewer)
	if res := h.post(t, board.PlatformHost, "/admin/team/invite", h.handedOver(t, viewer, board), form.Encode()); res.StatusCode != http.StatusForbidden || strings.Contains(read(t, res), "kept") {
		t.Errorf("a viewer: %d", res.StatusCode)
	}
	// Proven, and handed over anew.
	h.StepUp(t, token)
	if res := h.call(t, platformHost, route.GET, "/verify?next="+url.QueryEscape(u.Query().Get("next")), token); res.Header.Get("Location") != u.Query().Get("next") {
		t.Errorf("a proven session is sent to %q", res.Header.Get("Location"))
	}
	at = h.handedOver(t, token, board)
	if res := h.call(t, board.PlatformHost, route.GET, "/admin/payouts", at); res.StatusCode != http.StatusOK {
		t.Errorf("payouts then: %d", res.StatusCode)
	}
	form.Set("email", "new@people.example")
	if res := h.post(t, board.PlatformHost, "/admin/team/invite", at, form.Encode()); res.StatusCode != http.StatusSeeOther {
		t.Errorf("the invitation then: %d", res.StatusCode)
	}
}

// A half session, on either host, opens nothing but the second factor.
func TestAHalfSessionOpensNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "orbit")
	full := h.signedIn(t, board.ID, authz.Owner)
	s, err := h.operators.SessionByToken(t.Context(), full, nil)
	if err != nil {
		t.Fatal(err)
	}
	in, err := h.operators.SignInWithPassword(t.Context(), s.Operator.Email, "a long enough phrase", accounts.Client{Address: "192.0.2.1"})
	if err != nil {
		t.Fatal(err)
	}
	at := h.handedOver(t, in.Token, board) // as if it had got that far
	for _, r := range h.parts.Admin.Routes() {
		if r.Can == authz.Public {
			continue
		}
		res := h.call(t, board.PlatformHost, r.Method, address(r.Path), at)
		switch {
		case r.Method == route.GET && strings.HasPrefix(res.Header.Get("Location"), h.links.Platform("/verify?")):
		case r.Method == route.POST && res.StatusCode == http.StatusForbidden:
		default:
			t.Errorf("%s %s: %d to %q", r.Method, r.Path, res.StatusCode, res.Header.Get("Location"))
		}
	}
	for _, r := range slices.Concat(h.parts.Platform.Routes(), h.parts.Staff.Routes()) {
		if r.Can == authz.Public || r.Half {
			continue
		}
		res := h.call(t, platformHost, r.Method, address(r.Path), in.Token)
		switch {
		case r.Method == route.GET && strings.HasPrefix(res.Header.Get("Location"), "/verify?"):
		case r.Method == route.POST && res.StatusCode == http.StatusForbidden:
		default:
			t.Errorf("%s %s: %d to %q", r.Method, r.Path, res.StatusCode, res.Header.Get("Location"))
		}
	}
	// What leads to the factor weakens none that is there.
	for _, path := range []string{"/security/app", "/security/passkeys/ask", "/security/passkeys"} {
		if res := h.post(t, platformHost, path, in.Token, "setup=x&code=000000&ticket=x&answer=x"); res.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	if res := h.call(t, platformHost, route.GET, "/security/app", in.Token); !strings.HasPrefix(res.Header.Get("Location"), "/verify?") {
		t.Errorf("another app: %d", res.StatusCode)
	}
	if res := h.call(t, platformHost, route.GET, "/verify", in.Token); res.StatusCode != http.StatusOK {
		t.Errorf("the proof: %d", res.StatusCode)
	}
}

// Nobody learns from the sign-in who has an account: the same status, the same
// words, and about the same time.
func TestTheSignInTellsNobodyWhoHasAnAccount(t *testing.T) {
	h := newHouse(t)
	h.signedIn(t, tenant.Nil, authz.Superadmin)
	id := regexp.MustCompile(`name="ticket" value="[^"]*"|nonce="[^"]*"|'nonce-[^']*'`)
	ask := func(path, email string, from int, more url.Values) (status int, body string, took time.Duration) {
		t.Helper()
		form := url.Values{"email": {email}}
		for k, v := range more {
			form[k] = v
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+platformHost+":8080"+path, strings.NewReader(form.Encode()+h.proof(t, platformHost, path)))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Accept", "text/html")
		r.RemoteAddr = "198.51.100." + string(rune('0'+from%10)) + ":1"
		rec := httptest.NewRecorder()
		begun := time.Now()
		h.handler.ServeHTTP(rec, r)
		took = time.Since(begun)
		raw, _ := io.ReadAll(rec.Body)
		if len(rec.Result().Cookies()) > 0 {
			t.Errorf("%s sets a cookie", path)
		}
		return rec.Code, strings.ReplaceAll(id.ReplaceAllString(string(raw), ""), email, "<address>"), took
	}
	for _, c := range []struct {
		path string
		more url.Values
	}{
		{"/sign-in", url.Values{"password": {"not this phrase"}}},
		{"/sign-in/mail", nil},
		{"/reset/ask", nil},
		{"/sign-up", url.Values{"name": {"Another"}, "slug": {"another"}, "locale": {"en"}, "currency": {"USD"}, "time_zone": {"UTC"}}},
	} {
		slug := "known" + strings.ReplaceAll(c.path, "/", "-")
		known, nobody := slug+"@people.example", "no"+slug+"@people.example" // mails to one address are limited
		if _, err := h.parts.Platform.Launcher.Launch(t.Context(), tenant.NewBoard{Slug: slug, Name: "Known", Locale: "en", Currency: "USD", TimeZone: "UTC"}, known); err != nil {
			t.Fatal(err)
		}
		var times [2][]time.Duration
		for n := range 5 {
			var status [2]int
			var body [2]string
			for i, email := range []string{known, nobody} {
				var took time.Duration
				status[i], body[i], took = ask(c.path, email, n, c.more)
				times[i] = append(times[i], took)
			}
			if status[0] != status[1] || body[0] != body[1] {
				t.Errorf("%s: %d and %d\n%s\n%s", c.path, status[0], status[1], body[0], body[1])
			}
			if status[0] >= 500 || status[0] == http.StatusTooManyRequests {
				t.Fatalf("%s answers %d", c.path, status[0])
			}
		}
		for i := range times {
			slices.Sort(times[i])
		}
		a, b := times[0][2], times[1][2]
		// Loosely: the machine has other work. A missing hash would be a factor of ten.
		if a > 4*b+10*time.Millisecond || b > 4*a+10*time.Millisecond {
			t.Errorf("%s takes %s for a known address and %s for an unknown one", c.path, a, b)
		}
	}
}

func TestKindsHaveAStatus(t *testing.T) {
	t.Parallel()
	if got := route.Status(fault.New(fault.StepUp, "")); got != http.StatusUnauthorized {
		t.Errorf("a missing second factor answers %d", got)
	}
}

// Only dev lets anybody do without a second factor.
func TestTheExemptionIsDevsAlone(t *testing.T) {
	t.Parallel()
	var callers []string
	for _, pattern := range []string{"../*/*.go", "../*/*/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			raw, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, call := range []string{".ExemptForDevelopment(", ".exemptDemo("} {
				if !strings.HasSuffix(f, "_test.go") && strings.Contains(string(raw), call) {
					callers = append(callers, f+" "+call)
				}
			}
		}
	}
	sort.Strings(callers)
	if want := []string{"../cmd/shingle/demo.go .ExemptForDevelopment(", "../cmd/shingle/dev.go .exemptDemo("}; !slices.Equal(callers, want) {
		t.Errorf("called by %q, want %q", callers, want)
	}
}
