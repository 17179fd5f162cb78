package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"shingle/accounts"
	"shingle/authz"
	"shingle/tenant"
)

// away is a browser on its way back from the operators' provider.
type away struct {
	state  string
	cookie *http.Cookie
}

// leave presses "Sign in with …".
func (h *house) leave(t *testing.T, p *idp) away {
	t.Helper()
	res := h.oidc(t, "/sign-in/oidc?next=/account", nil)
	u, err := url.Parse(res.Header.Get("Location"))
	if err != nil || !strings.HasPrefix(u.String(), p.URL+"/authorize?") || u.Query().Get("code_challenge_method") != "S256" {
		t.Fatalf("starting: %d to %q", res.StatusCode, res.Header.Get("Location"))
	}
	p.nonce, p.challenge = u.Query().Get("nonce"), u.Query().Get("code_challenge")
	a := away{state: u.Query().Get("state")}
	for _, c := range res.Cookies() {
		if strings.HasSuffix(c.Name, "operator_visit") {
			a.cookie = c
		}
	}
	if a.cookie == nil || !a.cookie.HttpOnly {
		t.Fatalf("the visit's cookie is %v", a.cookie)
	}
	return a
}

func (h *house) oidc(t *testing.T, path string, cookie *http.Cookie) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+platformHost+":8080"+path, http.NoBody)
	r.Header.Set("Accept", "text/html")
	if cookie != nil {
		r.AddCookie(&http.Cookie{Name: cookie.Name, Value: cookie.Value})
	}
	rec := httptest.NewRecorder()
	h.handler.ServeHTTP(rec, r)
	return rec.Result()
}

func (h *house) comeBack(t *testing.T, a away, answer url.Values) *http.Response {
	t.Helper()
	return h.oidc(t, accounts.PathOIDCBack+"?"+answer.Encode(), a.cookie)
}

// session is the sign-in that an answer set, or "".
func session(res *http.Response) string {
	for _, c := range res.Cookies() {
		if c.Value != "" && !strings.HasSuffix(c.Name, "operator_visit") {
			return c.Value
		}
	}
	return ""
}

func newOIDCHouse(t *testing.T) (*house, *idp) {
	t.Helper()
	h, p := newHouse(t), newIDP(t)
	h.operators.UseOIDC(accounts.OIDC{Issuer: p.URL, ClientID: "board", ClientSecret: "s3cret", Name: "Harbour ID"})
	return h, p
}

// connect signs somebody in at the provider for the first time: the address
// confirms it by mail.
func (h *house) connect(t *testing.T, p *idp) string {
	t.Helper()
	a := h.leave(t, p)
	res := h.comeBack(t, a, url.Values{"state": {a.state}, "code": {"good"}})
	if body := read(t, res); res.StatusCode != http.StatusOK || session(res) != "" || !strings.Contains(body, "a mail with a link is on its way") {
		t.Fatalf("the first time: %d, signed in %v: %.600s", res.StatusCode, session(res) != "", body)
	}
	token := h.linkTo(t, "operator-oidc-link")
	if page := read(t, h.oidc(t, accounts.PathOIDCLink+"?token="+token, nil)); !strings.Contains(page, "<form") {
		t.Errorf("the link shows no button: %.400s", page)
	}
	in := h.submit(t, platformHost, accounts.PathOIDCLink, "", url.Values{"token": {token}})
	if in.StatusCode != http.StatusSeeOther || in.Header.Get("Location") != "/account" || session(in) == "" {
		t.Fatalf("pressing: %d to %q", in.StatusCode, in.Header.Get("Location"))
	}
	if again := h.submit(t, platformHost, accounts.PathOIDCLink, "", url.Values{"token": {token}}); session(again) != "" {
		t.Error("a link signs in twice")
	}
	return session(in)
}

func TestSigningInAtTheProvider(t *testing.T) {
	t.Parallel()
	h, p := newOIDCHouse(t)
	board := h.Board(t, "orbit")
	_, email := h.passwordOnly(t, board.ID, authz.Owner)
	p.claims = map[string]any{"email": email, "email_verified": true}
	h.connect(t, p)
	// From now on straight in, once for each visit.
	a := h.leave(t, p)
	answer := url.Values{"state": {a.state}, "code": {"good"}, "iss": {p.URL}}
	res := h.comeBack(t, a, answer)
	token := session(res)
	if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/account" || token == "" || res.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Fatalf("linked: %d to %q", res.StatusCode, res.Header.Get("Location"))
	}
	if got := h.operatorOf(t, token).Operator.Email; got != email {
		t.Errorf("signed in as %s", got)
	}
	if res := h.comeBack(t, a, answer); res.StatusCode != http.StatusGone || session(res) != "" {
		t.Errorf("the same answer again: %d", res.StatusCode)
	}
	// The link is to the person, not to the address: it may change there.
	p.claims = map[string]any{"email": "new@elsewhere.example", "email_verified": false}
	a = h.leave(t, p)
	if res := h.comeBack(t, a, url.Values{"state": {a.state}, "code": {"good"}}); session(res) == "" {
		t.Errorf("with another address there: %d", res.StatusCode)
	}
}

func TestWhatTheProviderMayNotSay(t *testing.T) {
	t.Parallel()
	h, p := newOIDCHouse(t)
	board := h.Board(t, "orbit")
	_, email := h.passwordOnly(t, board.ID, authz.Owner)
	claims := func(more ...any) map[string]any {
		out := map[string]any{"email": email, "email_verified": true}
		for i := 0; i < len(more); i += 2 {
			out[more[i].(string)] = more[i+1]
		}
		return out
	}
	p.claims = claims()
	h.connect(t, p) // so that whoever is let through has a session
	const refused, over = "The sign-in was not accepted", ""
	for _, c := range []struct {
		name   string
		claims map[string]any
		change func(a *away, q url.Values)
		status int
		says   string
	}{
		{"a state of nobody's", claims(), func(_ *away, q url.Values) { q.Set("state", strings.Repeat("x", 43)) }, http.StatusGone, over},
		{"no state", claims(), func(_ *away, q url.Values) { q.Del("state") }, http.StatusGone, over},
		{"another browser", claims(), func(a *away, _ url.Values) {
			a.cookie = &http.Cookie{Name: a.cookie.Name, Value: strings.Repeat("y", 43)}
		}, http.StatusGone, over},
		{"no browser", claims(), func(a *away, _ url.Values) { a.cookie = nil }, http.StatusGone, over},
		{"a code of nobody's", claims(), func(_ *away, q url.Values) { q.Set("code", "bad") }, http.StatusForbidden, refused},
		{"another nonce", claims("nonce", "other"), nil, http.StatusForbidden, refused},
		{"another audience", claims("aud", "other"), nil, http.StatusForbidden, refused},
		{"another issuer's answer", claims(), func(_ *away, q url.Values) { q.Set("iss", "https://evil.example") }, http.StatusForbidden, refused},
		{"the provider's own error", claims(), func(_ *away, q url.Values) {
			q.Del("code")
			q.Set("error", "access_denied")
			q.Set("error_description", "<script>x</script>")
		}, http.StatusForbidden, refused},
		{"an address that is not verified", claims("sub", "mallory", "email_verified", false), nil, http.StatusForbidden, "does not say that your address is verified"},
		{"no address", map[string]any{"sub": "mallory"}, nil, http.StatusForbidden, "does not say that your address is verified"},
	} {
		p.claims = c.claims
		a := h.leave(t, p)
		q := url.Values{"state": {a.state}, "code": {"good"}}
		if c.change != nil {
			c.change(&a, q)
		}
		res := h.comeBack(t, a, q)
		body := read(t, res)
		if res.StatusCode != c.status || session(res) != "" || !strings.Contains(body, c.says) || strings.Contains(body, "<script>x") || !strings.Contains(body, `href="/sign-in"`) {
			t.Errorf("%s: %d, signed in %v: %.300s", c.name, res.StatusCode, session(res) != "", body)
		}
	}
	// Verified, of nobody here or of somebody: one answer.
	page := func(sub, address string) string {
		p.claims = claims("sub", sub, "email", address)
		a := h.leave(t, p)
		res := h.comeBack(t, a, url.Values{"state": {a.state}, "code": {"good"}})
		if res.StatusCode != http.StatusOK || session(res) != "" {
			t.Errorf("%s: %d", address, res.StatusCode)
		}
		return regexp.MustCompile(`nonce="[^"]+"`).ReplaceAllString(read(t, res), "") // of each answer's own
	}
	if known, unknown := page("another", email), page("stranger", "nobody@x.example"); known != unknown {
		t.Error("the page tells whose address has an account")
	}
	if to := h.mailsOf(t, "operator-unknown"); len(to) != 1 || to["nobody@x.example"] == "" {
		t.Errorf("the stranger is written to: %v", to)
	}
	p.claims = claims()
	a := h.leave(t, p)
	p.Close()
	if res := h.comeBack(t, a, url.Values{"state": {a.state}, "code": {"good"}}); res.StatusCode != http.StatusServiceUnavailable || session(res) != "" || !strings.Contains(read(t, res), "does not answer") {
		t.Errorf("away on the way back: %d", res.StatusCode)
	}
	if res := h.oidc(t, "/sign-in/oidc", nil); res.StatusCode != http.StatusServiceUnavailable || len(res.Cookies()) != 0 {
		t.Errorf("away at the start: %d", res.StatusCode)
	}
}

// The provider is a first factor: staff still prove a second one.
func TestTheProviderIsNoSecondFactor(t *testing.T) {
	t.Parallel()
	h, p := newOIDCHouse(t)
	_, email := h.passwordOnly(t, tenant.Nil, authz.Superadmin)
	p.claims = map[string]any{"email": email, "email_verified": true}
	first := h.connect(t, p)
	a := h.leave(t, p)
	for _, token := range []string{first, session(h.comeBack(t, a, url.Values{"state": {a.state}, "code": {"good"}}))} {
		for _, path := range []string{"/staff", "/account"} {
			if res := h.call(t, platformHost, http.MethodGet, path, token); res.StatusCode != http.StatusSeeOther || !strings.HasPrefix(res.Header.Get("Location"), "/verify?") {
				t.Errorf("%s: %d to %q", path, res.StatusCode, res.Header.Get("Location"))
			}
		}
	}
}

func TestWithoutAProviderThereIsNoWay(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if res := h.oidc(t, "/sign-in/oidc", nil); res.StatusCode != http.StatusNotFound {
		t.Errorf("starting: %d", res.StatusCode)
	}
	if res := h.oidc(t, accounts.PathOIDCBack+"?state=x&code=y", nil); res.StatusCode != http.StatusGone || session(res) != "" {
		t.Errorf("coming back: %d", res.StatusCode)
	}
}
