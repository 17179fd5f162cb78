package accounts_test

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
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/internal/fault"
)

// provider is an OpenID provider in this process: discovery, an authorisation
// that hands codes out, codes that are good once and for their PKCE challenge,
// signed ID tokens.
type provider struct {
	*httptest.Server
	key, foreign *rsa.PrivateKey
	now          func() time.Time

	mu    sync.Mutex
	codes map[string]url.Values // what each code was asked with
	// claims change what the ID token says; sign uses another key.
	claims map[string]any
	forged bool
}

func newProvider(t *testing.T, now func() time.Time) *provider {
	t.Helper()
	p := &provider{codes: map[string]url.Values{}, now: now}
	var err error
	for _, key := range []**rsa.PrivateKey{&p.key, &p.foreign} {
		if *key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			t.Fatal(err)
		}
	}
	b64 := base64.RawURLEncoding.EncodeToString
	answer := func(w http.ResponseWriter, status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256"}})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{"keys": []any{map[string]any{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1", "n": b64(p.key.N.Bytes()), "e": b64(big.NewInt(int64(p.key.E)).Bytes())}}})
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		asked := p.codes[r.PostFormValue("code")]
		delete(p.codes, r.PostFormValue("code"))
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		id, secret, _ := r.BasicAuth()
		if asked == nil || asked.Get("code_challenge") != b64(sum[:]) || asked.Get("redirect_uri") != r.PostFormValue("redirect_uri") || id != "shingle" || secret != "s3cret" {
			answer(w, 400, map[string]any{"error": "invalid_grant"})
			return
		}
		claims := map[string]any{"iss": p.URL, "aud": "shingle", "sub": "person-1", "nonce": asked.Get("nonce"), "iat": p.now().Unix(), "exp": p.now().Add(time.Hour).Unix(),
			"email": "ann@x.example", "email_verified": true}
		for k, v := range p.claims {
			claims[k] = v
		}
		payload, _ := json.Marshal(claims)
		signed := b64([]byte(`{"alg":"RS256","kid":"1"}`)) + "." + b64(payload)
		digest := sha256.Sum256([]byte(signed))
		key := p.key
		if p.forged {
			key = p.foreign
		}
		sig, _ := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
		answer(w, 200, map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": signed + "." + b64(sig)})
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

// authorize is the provider's page: whoever is there agrees.
func (p *provider) authorize(t *testing.T, address string) (state, code string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if u.Path != "/authorize" || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || q.Get("nonce") == "" || q.Get("response_mode") != "" {
		t.Fatalf("asked with %s", u)
	}
	code = "code-" + q.Get("nonce")
	p.mu.Lock()
	p.codes[code] = q
	p.mu.Unlock()
	return q.Get("state"), code
}

// with sets what the next ID token says.
func (p *provider) with(claims map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claims = claims
}

func TestSignInAtAProvider(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	p := newProvider(t, d.clock.Now)
	if d.ops.OIDCName() != "" {
		t.Error("a provider before one is set")
	}
	_, _, err := d.ops.StartOIDC(t.Context(), "", "en", here)
	is(t, "without a provider", err, fault.NotFound)
	d.ops.UseOIDC(accounts.OIDC{Issuer: p.URL, ClientID: "shingle", ClientSecret: "s3cret", Name: "Acme"})
	d.operator(t, "ann@x.example", "")
	operators := func() (n int) {
		d.platform(t, func(ctx context.Context, tx bun.IDB) error {
			return tx.NewRaw(`SELECT count(*) FROM operators`).Scan(ctx, &n)
		})
		return n
	}
	begin := func() accounts.OIDCAnswer {
		t.Helper()
		address, browser, err := d.ops.StartOIDC(t.Context(), "/go?board=x", "en", here)
		if err != nil {
			t.Fatal(err)
		}
		state, code := p.authorize(t, address)
		return accounts.OIDCAnswer{State: state, Code: code, Browser: browser}
	}

	for _, c := range []struct {
		name   string
		claims map[string]any
		forged bool
		change func(*accounts.OIDCAnswer)
		kind   fault.Kind
	}{
		{name: "another nonce", claims: map[string]any{"nonce": "other"}, kind: fault.Forbidden},
		{name: "no nonce", claims: map[string]any{"nonce": ""}, kind: fault.Forbidden},
		{name: "another issuer", claims: map[string]any{"iss": "https://elsewhere.example"}, kind: fault.Forbidden},
		{name: "another audience", claims: map[string]any{"aud": "other"}, kind: fault.Forbidden},
		{name: "an old token", claims: map[string]any{"exp": d.clock.Now().Add(-time.Minute).Unix()}, kind: fault.Forbidden},
		{name: "nobody", claims: map[string]any{"sub": ""}, kind: fault.Forbidden},
		{name: "another signer", forged: true, kind: fault.Forbidden},
		{name: "an unverified address", claims: map[string]any{"email_verified": false}, kind: fault.Forbidden},
		{name: "no word of verifying", claims: map[string]any{"email_verified": nil}, kind: fault.Forbidden},
		{name: "no address", claims: map[string]any{"email": ""}, kind: fault.Forbidden},
		{name: "an answer of another issuer", change: func(a *accounts.OIDCAnswer) { a.Issuer = "https://elsewhere.example" }, kind: fault.Forbidden},
		{name: "no code", change: func(a *accounts.OIDCAnswer) { a.Code = "" }, kind: fault.Forbidden},
		{name: "another browser", change: func(a *accounts.OIDCAnswer) { a.Browser = begin().Browser }, kind: fault.Gone},
		{name: "no browser", change: func(a *accounts.OIDCAnswer) { a.Browser = "" }, kind: fault.Gone},
		{name: "a made-up state", change: func(a *accounts.OIDCAnswer) { a.State = a.Browser }, kind: fault.Gone},
		{name: "a code of another visit", change: func(a *accounts.OIDCAnswer) { a.Code = begin().Code }, kind: fault.Forbidden},
	} {
		p.mu.Lock()
		p.claims, p.forged = c.claims, c.forged
		p.mu.Unlock()
		a := begin()
		if c.change != nil {
			c.change(&a)
		}
		in, err := d.ops.FinishOIDC(t.Context(), a, here)
		is(t, c.name, err, c.kind)
		if in != nil {
			t.Errorf("%s: signed in", c.name)
		}
		in, err = d.ops.FinishOIDC(t.Context(), a, here)
		if !fault.Is(err, fault.Gone) || in != nil {
			t.Errorf("%s, a second time: %v", c.name, err)
		}
	}
	p.forged = false
	d.clock.Advance(2 * time.Hour) // the limits begin anew

	// A verified address that is nobody's: no operator is made, the answer is the same.
	p.with(map[string]any{"email": "eve@x.example", "sub": "person-9"})
	if in, err := d.ops.FinishOIDC(t.Context(), begin(), here); in != nil || err != nil {
		t.Errorf("nobody's address: %v %v", in, err)
	}
	if m := d.mailTo(t, "eve@x.example"); m.Kind != "operator-unknown" || operators() != 1 {
		t.Errorf("mailed %q; %d operators", m.Kind, operators())
	}

	// An operator's: linked once the mail is pressed, not before.
	p.with(nil)
	for range 2 {
		if in, err := d.ops.FinishOIDC(t.Context(), begin(), here); in != nil || err != nil {
			t.Fatalf("before it is linked: %v %v", in, err)
		}
	}
	m := d.mailTo(t, "ann@x.example")
	if m.Kind != "operator-oidc-link" {
		t.Fatalf("mailed %q", m.Kind)
	}
	in, err := d.ops.LinkIdentity(t.Context(), m.token(t), here)
	if err != nil || in.Next != "/go?board=x" {
		t.Fatalf("linking: %v, on to %q", err, in.Next)
	}
	_, err = d.ops.LinkIdentity(t.Context(), m.token(t), here)
	is(t, "the link a second time", err, fault.Gone)
	if m := d.mailTo(t, "ann@x.example"); m.Kind != "operator-security" {
		t.Errorf("told by %q", m.Kind)
	}

	// From now on the subject counts, whatever the address says.
	p.with(map[string]any{"email": "moved@x.example", "email_verified": false})
	a := begin()
	in, err = d.ops.FinishOIDC(t.Context(), a, here)
	if err != nil || in == nil || in.Operator.Email != "ann@x.example" || in.Next != "/go?board=x" {
		t.Fatalf("linked: %+v %v", in, err)
	}
	_, err = d.ops.FinishOIDC(t.Context(), a, here)
	is(t, "a replayed answer", err, fault.Gone)
	b := begin()
	b.Code = a.Code
	_, err = d.ops.FinishOIDC(t.Context(), b, here)
	is(t, "a replayed code", err, fault.Forbidden)

	// It is a first factor alone.
	d.app(t, in)
	in, err = d.ops.FinishOIDC(t.Context(), begin(), here)
	if err != nil {
		t.Fatal(err)
	}
	is(t, "the second factor", d.ops.Check(d.sessionOf(t, in), false, false), fault.StepUp)
	is(t, "unlinking in a half session", d.ops.UnlinkIdentity(t.Context(), d.sessionOf(t, in), p.URL, "person-1"), fault.StepUp)

	eve := d.operator(t, "eve@x.example", "correct horse battery")
	_ = eve
	is(t, "unlinking somebody else's", d.ops.UnlinkIdentity(t.Context(), d.sessionOf(t, d.password(t, "eve@x.example")), p.URL, "person-1"), fault.NotFound)

	late := begin()
	d.clock.Advance(11 * time.Minute)
	_, err = d.ops.FinishOIDC(t.Context(), late, here)
	is(t, "an answer too late", err, fault.Gone)
	p.Close()
	_, _, err = d.ops.StartOIDC(t.Context(), "", "en", here)
	is(t, "the provider away", err, fault.Unavailable)
}
