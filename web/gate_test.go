package web_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/domains/access"
	"shingle/listings"
	"shingle/tenant"
)

// private closes a board.
func (h *house) private(t *testing.T, b *tenant.Tenant, in access.Change) {
	t.Helper()
	err := h.DB.Write(h.Ctx(t, b), func(ctx context.Context, tx bun.IDB) error { return h.parts.Site.Access.Save(ctx, tx, in) })
	if err != nil {
		t.Fatal(err)
	}
}

// visit asks as a browser with a pass, or without one.
func (h *house) visit(t *testing.T, host, method, path, form, pass string) *http.Response {
	t.Helper()
	if method == http.MethodPost {
		form += h.proof(t, host, path)
	}
	r := httptest.NewRequestWithContext(t.Context(), method, "http://"+host+":8080"+path, strings.NewReader(form))
	r.Header.Set("Accept", "text/html")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if pass != "" {
		r.AddCookie(&http.Cookie{Name: "__Host-board_pass", Value: pass})
	}
	rec := httptest.NewRecorder()
	h.handler.ServeHTTP(rec, r)
	return rec.Result()
}

func passOf(res *http.Response) string {
	for _, c := range res.Cookies() {
		if c.Name == "__Host-board_pass" {
			return c.Value
		}
	}
	return ""
}

// linkTo is the token of the newest mail of a kind.
func (h *house) linkTo(t *testing.T, kind string) string {
	t.Helper()
	var raw []byte
	err := h.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT payload FROM mails WHERE kind = ? ORDER BY created_at DESC, id DESC LIMIT 1`, kind).Scan(ctx, &raw)
	})
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		URL string `json:"url"`
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("token")
}

func TestAPrivateBoardIsClosed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.caching(t, 8<<20)
	from := demoBoards(t)[0]
	board := h.BoardOf(t, tenant.NewBoard{Slug: "orbit", Name: "Orbit", Locale: "en", Currency: "USD", TimeZone: "UTC"})
	rival := h.Board(t, "rival")
	st := h.fill(t, board, &from, 12)
	job, title := listings.Path(st.listings[0].Slug, st.listings[0].PublicID), st.listings[0].Title
	const host = "orbit.localhost"
	open := append([]string{"/feed.rss", "/feed.json", "/sitemap.xml", "/sitemaps/jobs-1.xml", "/suggest?q=en", "/api/v1/jobs", "/employers", "/post", job + "/apply"}, st.paths...)
	for _, path := range open { // the page cache is warm with the open board's pages
		if res := h.visit(t, host, "GET", path, "", ""); res.StatusCode != http.StatusOK {
			t.Fatalf("%s is %d while the board is public", path, res.StatusCode)
		}
	}
	if body := read(t, h.visit(t, host, "GET", job, "", "")); !strings.Contains(body, "JobPosting") {
		t.Log("the demo listing has no JobPosting to lose")
	}
	token := h.handedOver(t, h.signedIn(t, board.ID, authz.Owner), board)
	if res := h.post(t, host, "/admin/access", token, "mode=password&password=short"); res.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("a short password: %d", res.StatusCode)
	}
	if res := h.post(t, host, "/admin/access", token, "mode=password&password=open+sesame+42"); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("closing: %d %.400s", res.StatusCode, read(t, res))
	}
	closed := func(t *testing.T, pass string) {
		t.Helper()
		for _, path := range append(open, "/no/such/page") {
			if strings.HasPrefix(path, "/pages/") {
				continue
			}
			res := h.visit(t, host, "GET", path, "", pass)
			body := read(t, res)
			if res.StatusCode != http.StatusUnauthorized || strings.Contains(body, title) || len(res.Cookies()) > 0 || !strings.Contains(res.Header.Get("X-Robots-Tag"), "noindex") {
				t.Errorf("%s: %d, %d cookies, robots %q", path, res.StatusCode, len(res.Cookies()), res.Header.Get("X-Robots-Tag"))
			}
		}
	}
	closed(t, "")
	if body := read(t, h.visit(t, host, "GET", "/robots.txt", "", "")); body != "User-agent: *\nDisallow: /\n" {
		t.Errorf("robots.txt reads %q", body)
	}
	if res := h.visit(t, host, "GET", "/files/logos/somebody.png", "", ""); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("a company's picture: %d", res.StatusCode)
	}
	if res := h.visit(t, host, "GET", "/pages/privacy", "", ""); res.StatusCode != http.StatusOK {
		t.Errorf("the legal page: %d", res.StatusCode)
	}
	door := read(t, h.visit(t, host, "GET", job, "", ""))
	if sheet := themeLink.FindString(door); sheet == "" || h.visit(t, host, "GET", sheet, "", "").StatusCode != http.StatusOK {
		t.Errorf("the door's style sheet %q is closed", sheet)
	}
	res := h.visit(t, host, "POST", "/enter", "password=wrong", "")
	if body := read(t, res); res.StatusCode != 422 || passOf(res) != "" || !strings.Contains(body, "That is not the password.") {
		t.Errorf("a wrong password: %d", res.StatusCode)
	}
	res = h.visit(t, host, "POST", "/enter", "password=open+sesame+42&next="+url.QueryEscape(job), "")
	pass := passOf(res)
	if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != job || pass == "" {
		t.Fatalf("the password: %d to %q, pass %q", res.StatusCode, res.Header.Get("Location"), pass)
	}
	res = h.visit(t, host, "GET", job, "", pass)
	body := read(t, res)
	if res.StatusCode != http.StatusOK || !strings.Contains(body, title) || strings.Contains(body, "JobPosting") || !strings.Contains(res.Header.Get("X-Robots-Tag"), "noindex") || !strings.HasPrefix(res.Header.Get("Cache-Control"), "private") {
		t.Errorf("inside: %d, cache %q, JobPosting %v", res.StatusCode, res.Header.Get("Cache-Control"), strings.Contains(body, "JobPosting"))
	}
	if res := h.visit(t, host, "GET", "/api/v1/jobs", "", pass); res.StatusCode != http.StatusOK {
		t.Errorf("the API inside: %d", res.StatusCode)
	}
	t.Run("a pass is one board's", func(t *testing.T) {
		h.private(t, rival, access.Change{Mode: access.Password, Password: "open sesame 42"})
		if res := h.visit(t, "rival.localhost", "GET", "/jobs", "", pass); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("at a rival's: %d", res.StatusCode)
		}
		for _, forged := range []string{"x", pass + "x", "zzzzzz." + strings.SplitN(pass, ".", 2)[1]} {
			if res := h.visit(t, host, "GET", "/jobs", "", forged); res.StatusCode != http.StatusUnauthorized {
				t.Errorf("a forged pass: %d", res.StatusCode)
			}
		}
	})
	t.Run("a change ends the passes", func(t *testing.T) {
		h.private(t, board, access.Change{Mode: access.Password, Password: "another phrase 7"})
		closed(t, pass)
	})
	t.Run("a link to the company's addresses", func(t *testing.T) {
		h.private(t, board, access.Change{Mode: access.Email, Domains: "acme.test, @Acme.de"})
		for _, email := range []string{"ann@elsewhere.test", "ann@acme.test.evil.test", "ann@evil.test, bob@acme.test", "@acme.test", ""} {
			if res := h.visit(t, host, "POST", "/enter", url.Values{"email": {email}}.Encode(), ""); res.StatusCode != 422 {
				t.Errorf("%q: %d", email, res.StatusCode)
			}
		}
		res := h.visit(t, host, "POST", "/enter", url.Values{"email": {"Ann@Acme.DE"}, "next": {job}}.Encode(), "")
		if body := read(t, res); res.StatusCode != http.StatusOK || passOf(res) != "" || !strings.Contains(body, "Look in your mailbox") {
			t.Errorf("asking: %d", res.StatusCode)
		}
		token := h.linkTo(t, "access-link")
		if res := h.visit(t, host, "GET", "/enter/link?token="+token, "", ""); res.StatusCode != http.StatusOK || passOf(res) != "" {
			t.Errorf("a scanner that follows the link: %d", res.StatusCode)
		}
		if res := h.visit(t, "rival.localhost", "POST", "/enter/link", "token="+token, ""); res.StatusCode != http.StatusGone {
			t.Errorf("at a rival's: %d", res.StatusCode)
		}
		res = h.visit(t, host, "POST", "/enter/link", "token="+token, "")
		if res.Header.Get("Location") != job || h.visit(t, host, "GET", job, "", passOf(res)).StatusCode != http.StatusOK {
			t.Errorf("pressing: %d to %q", res.StatusCode, res.Header.Get("Location"))
		}
		if res := h.visit(t, host, "POST", "/enter/link", "token="+token, ""); res.StatusCode != http.StatusGone || passOf(res) != "" {
			t.Errorf("a second time: %d", res.StatusCode)
		}
	})
	t.Run("an invitation", func(t *testing.T) {
		h.private(t, board, access.Change{Mode: access.Invite})
		if res := h.visit(t, host, "POST", "/enter", "password=", ""); res.StatusCode != 422 || passOf(res) != "" {
			t.Errorf("without one: %d", res.StatusCode)
		}
		if res := h.post(t, host, "/admin/access/invite", token, "email=bob@elsewhere.test"); res.StatusCode != http.StatusSeeOther {
			t.Fatalf("inviting: %d", res.StatusCode)
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		in, link := 0, h.linkTo(t, "access-invite")
		for range 6 { // one link, one pass, whoever presses at the same moment
			wg.Go(func() {
				if res := h.visit(t, host, "POST", "/enter/link", "token="+link, ""); passOf(res) != "" {
					mu.Lock()
					in++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if in != 1 {
			t.Errorf("%d passes for one invitation", in)
		}
	})
	t.Run("public again", func(t *testing.T) {
		h.private(t, board, access.Change{Mode: access.Open})
		if res := h.visit(t, host, "GET", job, "", ""); res.StatusCode != http.StatusOK || res.Header.Get("X-Robots-Tag") != "" {
			t.Errorf("got %d, robots %q", res.StatusCode, res.Header.Get("X-Robots-Tag"))
		}
	})
}

// idp is a small OpenID provider: what it says of who signs in is the test's.
type idp struct {
	*httptest.Server
	key    *rsa.PrivateKey
	claims map[string]any
	nonce  string
	// challenge is the last authorisation's, held against the verifier.
	challenge string
}

func newIDP(t *testing.T) *idp {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &idp{key: key}
	b64 := base64.RawURLEncoding.EncodeToString
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256"}})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"keys": []any{map[string]any{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1", "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes())}}})
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		id, secret, _ := r.BasicAuth()
		if r.PostFormValue("code") != "good" || b64(sum[:]) != p.challenge || id != "board" || secret != "s3cret" {
			w.WriteHeader(http.StatusBadRequest)
			answer(w, map[string]any{"error": "invalid_grant"})
			return
		}
		claims := map[string]any{"iss": p.URL, "aud": "board", "sub": "ann", "nonce": p.nonce, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
		for k, v := range p.claims {
			claims[k] = v
		}
		payload, _ := json.Marshal(claims)
		signed := b64([]byte(`{"alg":"RS256","kid":"1"}`)) + "." + b64(payload)
		digest := sha256.Sum256([]byte(signed))
		sig, _ := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
		answer(w, map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": signed + "." + b64(sig)})
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func TestAPrivateBoardOfACompanysSignIn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	p := newIDP(t)
	board := h.Board(t, "orbit")
	const host = "orbit.localhost"
	h.private(t, board, access.Change{Mode: access.OIDC, Issuer: p.URL, ClientID: "board", Secret: "s3cret", Claim: "groups", Values: "staff, council"})
	var kept string
	_ = h.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT settings::text FROM boards WHERE id = ?`, board.ID).Scan(ctx, &kept)
	})
	if strings.Contains(kept, "s3cret") {
		t.Error("the client secret is kept in the clear")
	}
	begin := func() (state string) {
		t.Helper()
		res := h.visit(t, host, "GET", "/enter/start?next=/companies", "", "")
		u, err := url.Parse(res.Header.Get("Location"))
		if err != nil || !strings.HasPrefix(u.String(), p.URL+"/authorize?") || len(res.Cookies()) > 0 {
			t.Fatalf("starting: %d to %q", res.StatusCode, u)
		}
		q := u.Query()
		if q.Get("redirect_uri") != "http://orbit.localhost:8080/enter/oidc" || q.Get("code_challenge_method") != "S256" {
			t.Errorf("asks with %v", q)
		}
		p.nonce, p.challenge = q.Get("nonce"), q.Get("code_challenge")
		return q.Get("state")
	}
	back := func(state, code string) *http.Response {
		return h.visit(t, host, "GET", "/enter/oidc?"+url.Values{"state": {state}, "code": {code}}.Encode(), "", "")
	}
	for _, c := range []struct {
		name   string
		claims map[string]any
		code   string
		status int
	}{
		{"a member", map[string]any{"groups": []string{"all", "council"}}, "good", http.StatusSeeOther},
		{"one group as a text", map[string]any{"groups": "staff"}, "good", http.StatusSeeOther},
		{"no member", map[string]any{"groups": []string{"guests"}}, "good", http.StatusForbidden},
		{"no claim", nil, "good", http.StatusForbidden},
		{"a wrong code", map[string]any{"groups": "staff"}, "bad", http.StatusForbidden},
		{"another audience", map[string]any{"groups": "staff", "aud": "other"}, "good", http.StatusForbidden},
		{"another nonce", map[string]any{"groups": "staff", "nonce": "other"}, "good", http.StatusForbidden},
		{"an old token", map[string]any{"groups": "staff", "exp": time.Now().Add(-time.Hour).Unix()}, "good", http.StatusForbidden},
	} {
		p.claims = c.claims
		state := begin()
		res := back(state, c.code)
		if res.StatusCode != c.status || (passOf(res) != "") != (c.status == http.StatusSeeOther) {
			t.Errorf("%s: %d, pass %q", c.name, res.StatusCode, passOf(res))
		}
		if c.status == http.StatusSeeOther && (res.Header.Get("Location") != "/companies" || h.visit(t, host, "GET", "/companies", "", passOf(res)).StatusCode != http.StatusOK) {
			t.Errorf("%s goes to %q", c.name, res.Header.Get("Location"))
		}
		if res := back(state, c.code); res.StatusCode != http.StatusGone || passOf(res) != "" {
			t.Errorf("%s, a second time: %d", c.name, res.StatusCode)
		}
	}
	p.Close()
	if res := h.visit(t, host, "GET", "/enter/start", "", ""); res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(read(t, res), "does not answer") {
		t.Errorf("with the provider away: %d", res.StatusCode)
	}
}

// TestTheDoorIsNotGuessed holds that one network has a few tries at a board's
// door, over all the ways that cost something, and that another's are its own.
func TestTheDoorIsNotGuessed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board, rival := h.Board(t, "orbit"), h.Board(t, "rival")
	for _, b := range []*tenant.Tenant{board, rival} {
		h.private(t, b, access.Change{Mode: access.Password, Password: "open sesame 42"})
	}
	const host = "orbit.localhost"
	codes := map[int]int{}
	var last *http.Response
	for range 25 {
		last = h.visit(t, host, "POST", "/enter", "password=wrong", "")
		codes[last.StatusCode]++
	}
	if codes[422] != 20 || codes[429] != 5 {
		t.Errorf("answers to 25 guesses: %v", codes)
	}
	if body := read(t, last); !strings.Contains(body, "<form") || strings.Contains(body, "That is not the password.") {
		t.Errorf("the page after too many tries: %.600s", body)
	}
	if res := h.visit(t, host, "POST", "/enter", "password=open+sesame+42", ""); res.StatusCode != http.StatusTooManyRequests || passOf(res) != "" {
		t.Errorf("the right one after too many: %d", res.StatusCode)
	}
	if res := h.visit(t, "rival.localhost", "POST", "/enter", "password=open+sesame+42", ""); res.StatusCode != http.StatusSeeOther {
		t.Errorf("at another board's door: %d", res.StatusCode)
	}
}
