package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/domains/access"
	"shingle/internal/pow"
	"shingle/internal/testkit"
	"shingle/tenant"
	"shingle/web"
	"shingle/web/proof"
)

// from posts a form from an address, as it stands: nothing is added.
func (h *house) from(t *testing.T, address, host, path, kind, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
	r.Host, r.RemoteAddr = host, address+":4000"
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Content-Type", kind)
	rec := httptest.NewRecorder()
	h.handler.ServeHTTP(rec, r)
	return rec
}

const encoded = "application/x-www-form-urlencoded"

// challenge asks for one, and solves it.
func (h *house) challenge(t *testing.T, host, form string) (pow.Challenge, string) {
	t.Helper()
	var c pow.Challenge
	rec := h.get(t, host, proof.Path+form)
	if err := json.Unmarshal(rec.Body.Bytes(), &c); err != nil || rec.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("the challenge of %s: %d %s, %v", form, rec.Code, rec.Body, err)
	}
	answer, ok := pow.Solve(c)
	if !ok {
		t.Fatal("no answer")
	}
	return c, answer
}

func (h *house) count(t *testing.T, query string) (n int) {
	t.Helper()
	err := h.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error { return tx.NewRaw(query).Scan(ctx, &n) })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func draftOf(email string) url.Values {
	return url.Values{"title": {"Crane driver"}, "company_name": {"Harbour"}, "employment_type": {"full_time"}, "workplace": {"on_site"}, "city": {"Berlin"}, "country": {"DE"},
		"description": {"Build cranes with us, day after day, at the harbour."}, "apply_method": {"board"}, "email": {email}}
}

// application is a form with a CV.
func application(email, answer string) (kind, body string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for name, value := range map[string]string{"name": "Ada Näher", "email": email, "note": "I like cranes.", "consent": "yes", "proof": answer} {
		_ = w.WriteField(name, value)
	}
	part, _ := w.CreateFormFile("cv", "ada.pdf")
	_, _ = part.Write([]byte("%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"))
	_ = w.Close()
	return w.FormDataContentType(), b.String()
}

// job is a live listing that takes applications on the board.
func (h *house) job(t *testing.T, board *tenant.Tenant) string {
	t.Helper()
	from := demoBoards(t)[0]
	for i := range from.Listings {
		from.Listings[i].ApplyMethod, from.Listings[i].ApplyTarget = "board", ""
	}
	st := h.fill(t, board, &from, 1)
	for _, p := range st.paths {
		if strings.HasPrefix(p, "/jobs/") {
			return p
		}
	}
	t.Fatal("no listing")
	return ""
}

func TestAProofIsSpentOnceOnItsBoardAndForm(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board, rival := h.Board(t, "acme"), h.Board(t, "rival")
	send := func(host, answer string) int {
		return h.from(t, "198.51.100.1", host, "/post", encoded, draftOf("boss@x.example").Encode()+"&proof="+url.QueryEscape(answer)).Code
	}
	_, answer := h.challenge(t, board.PlatformHost, proof.Post)
	if code := send(rival.PlatformHost, answer); code != http.StatusConflict {
		t.Errorf("another board's proof: %d, want 409", code)
	}
	_, other := h.challenge(t, board.PlatformHost, proof.Alert)
	if code := send(board.PlatformHost, other); code != http.StatusConflict {
		t.Errorf("another form's proof: %d, want 409", code)
	}
	for n, want := range []int{http.StatusSeeOther, http.StatusConflict} {
		if code := send(board.PlatformHost, answer); code != want {
			t.Errorf("time %d: %d, want %d", n+1, code, want)
		}
	}
	// What must change about a form does not spend its proof.
	_, answer = h.challenge(t, board.PlatformHost, proof.Post)
	bad := draftOf("boss@x.example")
	bad.Del("title")
	if rec := h.from(t, "198.51.100.1", board.PlatformHost, "/post", encoded, bad.Encode()+"&proof="+url.QueryEscape(answer)); rec.Code != http.StatusUnprocessableEntity {
		t.Errorf("a form without a title: %d", rec.Code)
	}
	if code := send(board.PlatformHost, answer); code != http.StatusSeeOther {
		t.Errorf("the form put right: %d", code)
	}
	if n := h.count(t, `SELECT count(*) FROM held_forms`); n != 0 {
		t.Errorf("%d forms wait", n)
	}
	if rec := h.get(t, board.PlatformHost, proof.Path+"none"); rec.Code != http.StatusNotFound {
		t.Errorf("a form that is none has a challenge: %d", rec.Code)
	}
}

// Without a script the form waits for its link: nothing is done before, nothing
// is lost, and it is done once.
func TestAFormWithoutAProofWaitsForItsLink(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board, rival := h.Board(t, "acme"), h.Board(t, "rival")
	job := h.job(t, board)
	link := func() string {
		t.Helper()
		return h.linkTo(t, "form-held")
	}
	press := func(host, token string) *httptest.ResponseRecorder {
		return h.from(t, "203.0.113.5", host, proof.ConfirmPath, encoded, url.Values{"token": {token}}.Encode())
	}
	for _, c := range []struct {
		what, path, kind, body, count string
		done                          int
	}{
		{"apply", job + "/apply", "", "", `SELECT count(*) FROM applications WHERE email = 'ada@x.example' AND cv_key <> ''`, http.StatusOK},
		{"post", "/post", encoded, draftOf("boss@x.example").Encode(), `SELECT count(*) FROM listings WHERE title = 'Crane driver'`, http.StatusSeeOther},
		{"report", job + "/report", encoded, url.Values{"reason": {"scam"}, "text": {"They want money."}, "email": {"eve@x.example"}}.Encode(), `SELECT count(*) FROM reports WHERE body = 'They want money.'`, http.StatusOK},
	} {
		if c.kind == "" {
			c.kind, c.body = application("ada@x.example", "")
		}
		rec := h.from(t, "198.51.100.9", board.PlatformHost, c.path, c.kind, c.body)
		if rec.Code != http.StatusAccepted {
			t.Fatalf("%s: %d %.400s", c.what, rec.Code, rec.Body)
		}
		lacks(t, c.what, rec.Body.String(), "look at your mail", "within 24 hours")
		if n := h.count(t, c.count); n != 0 {
			t.Errorf("%s is done before its link: %d", c.what, n)
		}
		token := link()
		// What waits is sealed.
		if n := h.count(t, `SELECT count(*) FROM held_forms WHERE position('Ada' in encode(sealed, 'escape')) + position('Crane' in encode(sealed, 'escape')) + position('money' in encode(sealed, 'escape')) > 0`); n != 0 {
			t.Errorf("%s: what waits can be read", c.what)
		}
		if rec := press(rival.PlatformHost, token); rec.Code != http.StatusGone {
			t.Errorf("%s: on another board its link answers %d, want 410", c.what, rec.Code)
		}
		// Following the link, as scanners do, changes nothing.
		for range 2 {
			page := h.get(t, board.PlatformHost, proof.ConfirmPath+"?token="+token)
			if page.Code != http.StatusOK || page.Header().Get("Referrer-Policy") != "no-referrer" {
				t.Fatalf("%s: its link shows %d", c.what, page.Code)
			}
			lacks(t, c.what, page.Body.String(), "Send it now?", `name="token" value="`+token+`"`)
		}
		// Pressed twice at once, it is done once.
		var wg sync.WaitGroup
		codes := make([]int, 3)
		for i := range codes {
			wg.Go(func() { codes[i] = press(board.PlatformHost, token).Code })
		}
		wg.Wait()
		if !slices.Contains(codes, c.done) {
			t.Errorf("%s: pressing answers %v, want a %d", c.what, codes, c.done)
		}
		if n := h.count(t, c.count); n != 1 {
			t.Errorf("%s is done %d times", c.what, n)
		}
		if rec := press(board.PlatformHost, token); rec.Code != http.StatusGone {
			t.Errorf("%s: a spent link answers %d, want 410", c.what, rec.Code)
		}
		if n := h.count(t, `SELECT count(*) FROM held_forms`); n != 0 {
			t.Errorf("%s: %d forms still wait", c.what, n)
		}
	}
	if rec := h.from(t, "198.51.100.9", board.PlatformHost, job+"/report", encoded, "reason=scam"); rec.Code != http.StatusUnprocessableEntity || !strings.Contains(rec.Body.String(), "we need an address") {
		t.Errorf("a report without script and address: %d", rec.Code)
	}
}

// What was refused on the way stays, and so does its link.
// A form that waits is kept with the file that it has, and with no other.
func TestAHeldFormKeepsWhatItsPageAsks(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "acme")
	kind, body := application("ada@x.example", "")
	_, boundary, _ := strings.Cut(kind, "boundary=")
	end := strings.LastIndex(body, "--"+boundary+"--")
	body = body[:end] + "--" + boundary + "\r\nContent-Disposition: form-data; name=\"junk\"; filename=\"x\"\r\n\r\n" + strings.Repeat("x", 1<<20) + "\r\n" + body[end:]
	if rec := h.from(t, "198.51.100.9", board.PlatformHost, h.job(t, board)+"/apply", kind, body); rec.Code != http.StatusAccepted {
		t.Fatalf("%d %.300s", rec.Code, rec.Body)
	}
	if n := h.count(t, `SELECT max(octet_length(sealed)) FROM held_forms`); n == 0 || n > 100_000 {
		t.Errorf("%d bytes are kept", n)
	}
	if n := h.count(t, `SELECT count(*) FROM mails WHERE kind = 'form-held' AND recipient = 'ada@x.example'`); n != 1 {
		t.Errorf("%d mails", n)
	}
}

func TestAHeldFormThatIsRefusedStays(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "acme")
	job := h.job(t, board)
	kind, body := application("ada@x.example", "")
	if rec := h.from(t, "198.51.100.9", board.PlatformHost, job+"/apply", kind, body); rec.Code != http.StatusAccepted {
		t.Fatalf("%d", rec.Code)
	}
	token := h.linkTo(t, "form-held")
	for range accounts.Applying.Limit.N { // somebody in the same house applies a lot
		_ = accounts.Applying.Allow(t.Context(), h.parts.Site.Limits, board.ID, accounts.Client{Address: "203.0.113.5"}.Network())
	}
	press := func(from string) int {
		return h.from(t, from, board.PlatformHost, proof.ConfirmPath, encoded, "token="+token).Code
	}
	if code := press("203.0.113.5"); code != http.StatusTooManyRequests {
		t.Errorf("over the limit: %d, want 429", code)
	}
	if code := press("203.0.113.77"); code != http.StatusOK {
		t.Errorf("later: %d, want 200", code)
	}
	// A day later it is over.
	now := time.Now()
	h.parts.Site.Proof.Now = func() time.Time { return now }
	if rec := h.from(t, "198.51.100.9", board.PlatformHost, "/post", encoded, draftOf("boss@x.example").Encode()); rec.Code != http.StatusAccepted {
		t.Fatalf("%d", rec.Code)
	}
	token = h.linkTo(t, "form-held")
	now = now.Add(proof.HeldFor + time.Second)
	if rec := h.get(t, board.PlatformHost, proof.ConfirmPath+"?token="+token); rec.Code != http.StatusGone || !strings.Contains(rec.Body.String(), "This link is over") {
		t.Errorf("a day later: %d", rec.Code)
	}
}

// A field that people do not see: who fills it in is asked by mail, too.
func TestTheTrap(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "acme")
	_, answer := h.challenge(t, board.PlatformHost, proof.Post)
	form := draftOf("boss@x.example")
	form.Set("proof", answer)
	form.Set("homepage", "https://spam.example")
	if rec := h.from(t, "198.51.100.1", board.PlatformHost, "/post", encoded, form.Encode()); rec.Code != http.StatusAccepted {
		t.Errorf("a filled trap: %d, want 202", rec.Code)
	}
	for _, path := range []string{"/post", "/sign-in", "/your-data"} {
		page := h.get(t, board.PlatformHost, path).Body.String()
		lacks(t, path, page, `name="homepage" tabindex="-1" autocomplete="off"`, `aria-hidden="true"`, "<noscript>", `data-proof="/proof/`)
	}
}

var postForm = regexp.MustCompile(`(?s)<form [^>]*>.*?</form>`)

// No page has a form of strangers that its script knows nothing of.
func TestEveryFormOfStrangersBringsItsProof(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board, closed := h.Board(t, "acme"), h.Board(t, "closed")
	h.private(t, closed, access.Change{Mode: access.Password, Password: "open sesame 42"})
	job := h.job(t, board)
	seen := map[string]bool{}
	for host, paths := range map[string][]string{
		board.PlatformHost:  {"/", "/jobs", "/jobs?q=x", job, job + "/apply", job + "/report", "/post", "/employers", "/sign-in", "/sign-in?over=1", "/your-data", "/your-data/open?token=none"},
		closed.PlatformHost: {"/", "/enter"},
		platformHost:        {"/", "/sign-in", "/sign-up", "/reset/ask", "/sign-in/link?token=none", "/reset?token=none"},
	} {
		for _, path := range paths {
			for _, form := range postForm.FindAllString(h.get(t, host, path).Body.String(), -1) {
				for _, m := range formAction.FindAllStringSubmatch(form, -1) {
					if testkit.Proof(t, m[1], func(path string) []byte { return h.get(t, host, path).Body.Bytes() }) == "" {
						continue
					}
					seen[strings.TrimPrefix(m[1], job)] = true
					if strings.Count(form, "data-proof=") != 1 || strings.Count(form, `name="homepage"`) != 1 {
						t.Errorf("%s%s: the form to %s brings no proof: %.300s", host, path, m[1], form)
					}
				}
			}
		}
	}
	for _, to := range []string{"/apply", "/report", "/post", "/alerts", "/sign-in", "/sign-in/mail", "/enter", "/your-data", "/sign-up", "/reset/ask"} {
		if !seen[to] {
			t.Errorf("no page has the form to %s", to)
		}
	}
}

var formAction = regexp.MustCompile(`action="?([^"\s>]+)`)

// Forms that send a mail anyway are sent without a proof, less often.
func TestMailsWithoutAProofAreFew(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "acme")
	for _, c := range []struct{ host, path, body, proven string }{
		{board.PlatformHost, "/alerts", "query=q%3Dlock&email=a%d@x.example", "/alerts"},
		{board.PlatformHost, "/sign-in", "email=b%d@x.example", "/sign-in"},
		{board.PlatformHost, "/your-data", "email=e%d@x.example", "/your-data"},
		{platformHost, "/sign-in/mail", "email=c%d@x.example", "/sign-in/mail"},
		{platformHost, "/sign-in", "email=d%d@x.example&password=whatever+it+is", ""},
	} {
		code, from := 0, fmt.Sprintf("198.51.100.%d", 10+len(c.path)+len(c.proven))
		ask := func(n int) *httptest.ResponseRecorder {
			return h.from(t, from, c.host, c.path, encoded, strings.Replace(c.body, "%d", strconv.Itoa(n), 1))
		}
		n := 0
		var last *httptest.ResponseRecorder
		for ; n < accounts.Unproven.Limit.N+1 && code != http.StatusTooManyRequests; n++ {
			last = ask(n)
			code = last.Code
		}
		if code != http.StatusTooManyRequests || last.Header().Get("Retry-After") == "" || n > accounts.Unproven.Limit.N+1 {
			t.Errorf("%s: %d after %d", c.path, code, n)
		}
		if !strings.Contains(last.Body.String(), `@x.example"`) {
			t.Errorf("%s: what was typed is gone", c.path)
		}
	}
	// A password is not even looked at.
	if n := h.count(t, `SELECT count(*) FROM mails WHERE kind LIKE 'operator-%'`); n == 0 {
		t.Error("no link took the password's place")
	}
}

// A network that asks for much pays more; a board under attack asks a little
// more of all.
func TestWorkRisesUnderAttack(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "acme")
	ask := func(from string) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, proof.Path+"alert", http.NoBody)
		r.Host, r.RemoteAddr = board.PlatformHost, from+":1"
		rec := httptest.NewRecorder()
		h.handler.ServeHTTP(rec, r)
		var c pow.Challenge
		if err := json.Unmarshal(rec.Body.Bytes(), &c); err != nil {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		return c.Max
	}
	first := ask("198.51.100.1")
	if first > 20_000 { // an eighth of a second of a phone that does 150,000 a second
		t.Errorf("at first %d hashes", first)
	}
	last := 0
	for range 100 {
		last = ask("198.51.100.1")
	}
	if last < 4*first {
		t.Errorf("after a hundred: %d hashes, at first %d", last, first)
	}
	if other := ask("203.0.113.1"); other != first {
		t.Errorf("a neighbour pays for it: %d", other)
	}
	for n := range 400 {
		last = ask(fmt.Sprintf("10.%d.%d.1", n/200, n%200))
	}
	if last < 2*first || last > 4*first {
		t.Errorf("under attack anybody pays %d hashes, at first %d", last, first)
	}
}

// Every class of the table is documented, and refuses by its own figure.
func TestRateLimitsAreDocumented(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../docs/rate-limits.md")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, c := range accounts.Classes() {
		if names[c.Name] {
			t.Errorf("two classes are called %s", c.Name)
		}
		names[c.Name] = true
		line := fmt.Sprintf("| `%s` | %s | %s | %d in %s |", c.Name, c.What, c.By, c.Limit.N, period(c.Limit.Period))
		if !strings.Contains(string(raw), line) {
			t.Errorf("docs/rate-limits.md lacks\n%s", line)
		}
	}
}

func period(d time.Duration) string {
	for _, u := range []struct {
		of   time.Duration
		name string
	}{{24 * time.Hour, "a day"}, {time.Hour, "an hour"}, {time.Minute, "a minute"}} {
		if d == u.of {
			return u.name
		}
	}
	return fmt.Sprintf("%d minutes", int(d.Minutes()))
}

// Each limit holds at its own figure, on its own route: in words, with the time
// to wait, and with what was typed.
func TestEveryLimitHoldsOnItsRoute(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "acme")
	job := h.job(t, board)
	fill := func(c accounts.Class, on tenant.ID, about string, limits *accounts.Limiter) {
		for range c.Limit.N {
			_ = c.Allow(t.Context(), limits, on, about)
		}
	}
	now := time.Now() // stands still: no limit recovers meanwhile
	limits := accounts.NewLimiter(nil, func() time.Time { return now })
	h.parts.Site.Limits, h.parts.Employer.Limits, h.parts.API.Limits, h.parts.Hooks.Limits, h.parts.Admin.Limits, h.parts.Staff.Limits = limits, limits, limits, limits, limits, limits
	h.parts.Site.Proof.Limits, h.parts.Registry = limits, prometheus.NewRegistry()
	var err error
	if h.handler, err = web.New(h.parts); err != nil {
		t.Fatal(err)
	}
	const from = "198.51.100.77"
	network := accounts.Client{Address: from}.Network()
	proven := func(path string) string {
		return url.QueryEscape(testkit.Proof(t, path, func(p string) []byte { return h.get(t, board.PlatformHost, p).Body.Bytes() }))
	}
	kind, cv := application("ada@x.example", testkit.Proof(t, job+"/apply", func(p string) []byte { return h.get(t, board.PlatformHost, p).Body.Bytes() }))
	for _, c := range []struct {
		class                    accounts.Class
		on                       tenant.ID
		host, method, path, kind string
		body, keeps              string
	}{
		{accounts.Applying, board.ID, board.PlatformHost, "POST", job + "/apply", kind, cv, "ada@x.example"},
		{accounts.Posting, board.ID, board.PlatformHost, "POST", "/post", encoded, draftOf("boss@x.example").Encode() + "&proof=" + proven("/post"), "Crane driver"},
		{accounts.Alerting, board.ID, board.PlatformHost, "POST", "/alerts", encoded, "query=q%3Dlock&email=ada@x.example&proof=" + proven("/alerts"), "ada@x.example"},
		{accounts.AskingData, board.ID, board.PlatformHost, "POST", "/your-data", encoded, "email=ada@x.example&proof=" + proven("/your-data"), "ada@x.example"},
		{accounts.Downloads, board.ID, board.PlatformHost, "POST", "/your-data/download", encoded, "ticket=none", ""},
		{accounts.Reporting, board.ID, board.PlatformHost, "POST", job + "/report", encoded, "reason=scam&text=They+want+money.&proof=" + proven(job+"/report"), "They want money."},
		{accounts.Typing, board.ID, board.PlatformHost, "GET", "/suggest?q=cra", "", "", ""},
		{accounts.Reading, board.ID, board.PlatformHost, "GET", "/api/v1/board", "", "", ""},
		{accounts.Challenges, board.ID, board.PlatformHost, "GET", "/proof/alert", "", "", ""},
		{accounts.Webhooks, tenant.Nil, platformHost, "POST", "/webhooks/stripe", "application/json", "{}", ""},
		{accounts.Webhooks, tenant.Nil, platformHost, "POST", "/webhooks/mail", "application/json", "{}", ""},
	} {
		fill(c.class, c.on, network, limits)
		r := httptest.NewRequestWithContext(t.Context(), c.method, c.path, strings.NewReader(c.body))
		r.Host, r.RemoteAddr = c.host, from+":4000"
		r.Header.Set("Accept", "text/html")
		if c.kind != "" {
			r.Header.Set("Content-Type", c.kind)
		}
		rec := httptest.NewRecorder()
		h.handler.ServeHTTP(rec, r)
		wait, _ := strconv.Atoi(rec.Header().Get("Retry-After"))
		if rec.Code != http.StatusTooManyRequests || wait <= 0 {
			t.Errorf("%s at %s: %d, Retry-After %d", c.class.Name, c.path, rec.Code, wait)
		}
		if !strings.Contains(rec.Body.String(), c.keeps) {
			t.Errorf("%s: what was typed is gone: %.300s", c.class.Name, rec.Body)
		}
	}
	// Downloads, of who may have them.
	owner := h.handedOver(t, h.signedIn(t, board.ID, "owner"), board)
	staff := h.signedIn(t, tenant.Nil, "superadmin")
	fill(accounts.Downloads, board.ID, accounts.Client{Address: "192.0.2.1"}.Network(), limits)
	fill(accounts.Downloads, tenant.Nil, accounts.Client{Address: "192.0.2.1"}.Network(), limits)
	for _, r := range h.parts.Admin.Routes() {
		if strings.HasSuffix(r.Path, ".csv") {
			if rec := h.as(t, r.Method, board.PlatformHost, r.Path, owner); rec.Code != http.StatusTooManyRequests || rec.Header().Get("Retry-After") == "" {
				t.Errorf("%s: %d, want 429", r.Path, rec.Code)
			}
		}
	}
	for _, r := range h.parts.Staff.Routes() {
		if strings.HasSuffix(r.Path, ".csv") {
			if rec := h.as(t, r.Method, platformHost, address(r.Path), staff); rec.Code != http.StatusTooManyRequests {
				t.Errorf("%s: %d, want 429", r.Path, rec.Code)
			}
		}
	}
}

// applied is the one application that there is.
func (h *house) applied(t *testing.T) (id, listing uuid.UUID) {
	t.Helper()
	err := h.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT id, listing_id FROM applications`).Scan(ctx, &id, &listing)
	})
	if err != nil {
		t.Fatal(err)
	}
	return id, listing
}
