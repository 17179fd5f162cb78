package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"shingle/accounts"
	"shingle/authz"
	"shingle/tenant"
	"shingle/web"
)

// Who plants a cookie before the sign-in knows no session after it.
func TestASignInGivesASecretOfItsOwn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "orbit")
	owner := h.signedIn(t, board.ID, authz.Owner)
	s, err := h.operators.SessionByToken(t.Context(), owner, nil)
	if err != nil {
		t.Fatal(err)
	}
	attacker := h.signedIn(t, tenant.Nil, "")
	name := accounts.CookieName(accounts.OperatorCookie, accounts.Secured("http", platformHost))
	seen := map[string]bool{}
	for _, planted := range []string{strings.Repeat("p", 43), attacker, owner} {
		form := url.Values{"email": {s.Operator.Email}, "password": {"a long enough phrase"}}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+platformHost+":8080/sign-in", strings.NewReader(form.Encode()+h.proof(t, platformHost, "/sign-in")))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.AddCookie(&http.Cookie{Name: name, Value: planted})
		rec := httptest.NewRecorder()
		h.handler.ServeHTTP(rec, r)
		got := ""
		for _, c := range rec.Result().Cookies() {
			if c.Name == name {
				got = c.Value
				if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode && c.SameSite != http.SameSiteStrictMode || c.Domain != "" || c.Path != "/" {
					t.Errorf("the cookie is %+v", c)
				}
			}
		}
		if rec.Code != http.StatusSeeOther || len(got) != 43 || got == planted || seen[got] {
			t.Errorf("with a planted cookie: %d, cookie %q", rec.Code, got)
		}
		seen[got] = true
		if in, err := h.operators.SessionByToken(t.Context(), got, nil); err != nil || in.Operator.ID != s.Operator.ID {
			t.Errorf("the new session: %v", err)
		}
	}
	if _, err := h.operators.SessionByToken(t.Context(), strings.Repeat("p", 43), nil); err == nil {
		t.Error("the planted secret opens a session")
	}
	if in, err := h.operators.SessionByToken(t.Context(), attacker, nil); err == nil && in.Operator.ID == s.Operator.ID {
		t.Error("the attacker's session is the victim's now")
	}
}

func posts(all gin.RoutesInfo) (paths []string) {
	for _, r := range all {
		if r.Method == http.MethodPost {
			paths = append(paths, r.Path)
		}
	}
	return paths
}

// Every route that writes, on every host, is closed to another site's page.
func TestAWriteFromAnotherSiteIsRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "orbit")
	owner := h.signedIn(t, board.ID, authz.Owner)
	platformEngine, boardEngine, err := web.Engines(h.parts)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, on := range []struct {
		host, token string
		routes      []string
	}{
		{board.PlatformHost, h.handedOver(t, owner, board), posts(boardEngine.Routes())},
		{platformHost, owner, posts(platformEngine.Routes())},
	} {
		for _, path := range on.routes {
			if strings.HasPrefix(path, "/webhooks/") { // servers send these, by a signature
				continue
			}
			for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+on.host+":8080"+address(path), strings.NewReader("a=b"))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set("Accept", "application/json")
				r.Header.Set(name, value)
				r.AddCookie(&http.Cookie{Name: accounts.CookieName(accounts.OperatorCookie, true), Value: on.token})
				rec := httptest.NewRecorder()
				h.handler.ServeHTTP(rec, r)
				n++
				if rec.Code != http.StatusForbidden || !strings.Contains(rec.Body.String(), "another site") {
					t.Errorf("POST %s with %s: %d %.200s", path, name, rec.Code, rec.Body)
				}
			}
		}
	}
	if n < 200 {
		t.Errorf("asked %d times", n)
	}
}
