package web_test

import (
	"bytes"
	"context"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/internal/testkit"
	"shingle/listings"
	"shingle/tenant"
)

// send posts a form as somebody's browser would; token "" is nobody.
func (h *house) send(t *testing.T, host, path, token string, form url.Values) (int, string, http.Header) {
	t.Helper()
	return h.sendBody(t, host, path, token, "application/x-www-form-urlencoded", form.Encode()+h.proof(t, host, path))
}

// proof is what a browser adds to a form: its proof of work, encoded, or nothing
// where none is asked for.
func (h *house) proof(t testing.TB, host, path string) string {
	t.Helper()
	answer := testkit.Proof(t, path, func(path string) []byte { return h.get(t, host, path).Body.Bytes() })
	if answer == "" {
		return ""
	}
	return "&proof=" + url.QueryEscape(answer)
}

func (h *house) sendBody(t *testing.T, host, path, token, kind, body string) (int, string, http.Header) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+host+":8080"+path, strings.NewReader(body))
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Content-Type", kind)
	if token != "" {
		r.AddCookie(&http.Cookie{Name: accounts.CookieName(accounts.OperatorCookie, accounts.Secured("http", host)), Value: token})
	}
	rec := httptest.NewRecorder()
	h.handler.ServeHTTP(rec, r)
	return rec.Code, rec.Body.String(), rec.Header()
}

func lacks(t *testing.T, what, body string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(body, w) {
			t.Errorf("%s lacks %q: %.600s", what, w, body)
		}
	}
}

// A slug that was free when it was asked for and taken when it was confirmed:
// the form comes back filled in, and the same link makes the board.
func TestASlugTakenMeanwhileComesBackAsAForm(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	form := url.Values{"name": {"Harbour & Jobs"}, "slug": {"harbour"}, "email": {"owner@new.example"}, "person": {"Ann"}, "locale": {"de"}, "currency": {"EUR"}, "time_zone": {"Europe/Berlin"}}
	if code, body, _ := h.send(t, platformHost, "/sign-up", "", form); code != http.StatusOK {
		t.Fatalf("sign-up: %d %.300s", code, body)
	}
	var link, code string
	err := h.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT payload->>'url', payload->'data'->>'Code' FROM mails WHERE kind = 'operator-sign-up'`).Scan(ctx, &link, &code)
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Board(t, "harbour") // somebody was quicker
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	token := u.Query().Get("token")
	status, body, _ := h.send(t, platformHost, accounts.PathSignUp, "", url.Values{"token": {token}})
	if status != http.StatusConflict {
		t.Errorf("taken meanwhile: %d, want 409", status)
	}
	lacks(t, "the form", body, `value="Harbour &amp; Jobs"`, `value="harbour"`, `id="e-slug"`, `value="`+token+`"`, `owner@new.example`, `value="de" selected`, `value="EUR" selected`, `value="Europe/Berlin" selected`)
	again := url.Values{"again": {"1"}, "token": {token}, "name": {"Harbour & Jobs"}, "slug": {"Not A Slug"}, "locale": {"de"}, "currency": {"EUR"}, "time_zone": {"Europe/Berlin"}}
	status, body, _ = h.send(t, platformHost, accounts.PathSignUp, "", again)
	if status != http.StatusUnprocessableEntity {
		t.Errorf("a bad slug: %d, want 422", status)
	}
	lacks(t, "the form", body, `value="not a slug"`, `id="e-slug"`)
	again.Set("slug", "harbour-two")
	status, body, head := h.send(t, platformHost, accounts.PathSignUp, "", again)
	if status != http.StatusSeeOther || !strings.HasPrefix(head.Get("Location"), "/go?board=") {
		t.Fatalf("another slug: %d to %q: %.300s", status, head.Get("Location"), body)
	}
	board, err := h.Boards.BySlug(t.Context(), "harbour-two")
	if err != nil || board.Name != "Harbour & Jobs" || board.ContactEmail != "owner@new.example" {
		t.Errorf("made %+v, %v", board, err)
	}
	// The link is spent.
	if status, _, _ = h.send(t, platformHost, accounts.PathSignUp, "", again); status != http.StatusGone {
		t.Errorf("the link works twice: %d", status)
	}
}

// With the code in place of the link, as often as the form needs.
func TestACodeIsNoGuessWhenItIsRight(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.Board(t, "taken")
	ticket, err := h.operators.RequestSignUp(t.Context(), accounts.SignUp{Email: "owner@new.example", Locale: "en",
		Data: map[string]string{"name": "Taken", "slug": "taken", "locale": "en", "currency": "USD", "time_zone": "UTC"}}, accounts.Client{Address: "192.0.2.7"})
	if err != nil {
		t.Fatal(err)
	}
	var code string
	err = h.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT payload->'data'->>'Code' FROM mails WHERE kind = 'operator-sign-up'`).Scan(ctx, &code)
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 8 {
		status, body, _ := h.send(t, platformHost, accounts.PathSignUp, "", url.Values{"ticket": {ticket}, "code": {code}, "email": {"owner@new.example"}})
		if status != http.StatusConflict {
			t.Fatalf("try %d: %d, want the form: %.300s", n+1, status, body)
		}
		lacks(t, "the form", body, `name="ticket" value="`+ticket+`"`, `name="code" value="`+code+`"`)
	}
}

func TestFormsKeepWhatWasTyped(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "acme")
	staff := h.signedIn(t, tenant.Nil, "superadmin")
	owner := h.handedOver(t, h.signedIn(t, board.ID, "owner"), board)

	// The staff's new board.
	form := url.Values{"name": {"Second Acme"}, "slug": {"acme"}, "owner": {"owner@new.example"}, "locale": {"de"}, "currency": {"CHF"}, "time_zone": {"Europe/Berlin"}}
	_, body, _ := h.send(t, platformHost, "/staff/boards", staff, form)
	lacks(t, "the new board", body, `value="Second Acme"`, `value="acme"`, `value="owner@new.example"`, `id="e-slug"`, `value="CHF" selected`)
	// Two of the staff at once.
	at := "/staff/boards/" + board.ID.String() + "/suspend"
	if code, body, _ := h.send(t, platformHost, at, staff, url.Values{"reason": {"unpaid"}}); code != http.StatusSeeOther {
		t.Fatalf("suspend: %d %.300s", code, body)
	}
	code, body, _ := h.send(t, platformHost, at, staff, url.Values{"reason": {"unpaid"}})
	if code != http.StatusConflict {
		t.Errorf("suspended twice: %d, want 409", code)
	}
	lacks(t, "the board's page", body, "Somebody else has changed this meanwhile", "/resume")
	h.send(t, platformHost, "/staff/boards/"+board.ID.String()+"/resume", staff, nil)

	// The board's console.
	host := board.PlatformHost
	h.send(t, host, "/admin/categories", owner, url.Values{"name": {"Trade"}})
	var id string
	if err := h.DB.Read(h.Ctx(t, board), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT id FROM categories WHERE name = 'Trade'`).Scan(ctx, &id)
	}); err != nil {
		t.Fatal(err)
	}
	code, body, _ = h.send(t, host, "/admin/categories/"+id, owner, url.Values{"name": {strings.Repeat("x", 90)}, "position": {"77"}})
	if code != http.StatusUnprocessableEntity {
		t.Errorf("an endless name: %d", code)
	}
	lacks(t, "the categories", body, `value="77"`)
	// A new address that is none.
	session := h.signedIn(t, board.ID, "editor")
	code, body, _ = h.send(t, platformHost, "/security/address", session, url.Values{"email": {"ann at home"}})
	if code != http.StatusUnprocessableEntity {
		t.Errorf("an address that is none: %d", code)
	}
	lacks(t, "the security page", body, `value="ann at home"`, "This is no e-mail address.")
	// A look with a picture that is too large: refused at the field, and the look stays.
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	_ = m.WriteField("preset", "harbor/")
	part, _ := m.CreateFormFile("logo", "logo.png")
	_, _ = part.Write(make([]byte, listings.MaxLogo+2<<20))
	_ = m.Close()
	code, body, _ = h.sendBody(t, host, "/admin/look", owner, m.FormDataContentType(), b.String())
	if code != http.StatusUnprocessableEntity {
		t.Errorf("a large logo: %d", code)
	}
	lacks(t, "the look", body, "too large")
	// A visitor's alert.
	code, body, _ = h.send(t, host, "/alerts", "", url.Values{"query": {"q=lock"}, "email": {"no address"}})
	if code != http.StatusUnprocessableEntity {
		t.Errorf("an alert for no address: %d", code)
	}
	lacks(t, "the alert", body, `value="no address"`, `name="query" value="q=lock"`, `action="/alerts"`)
}

// Drafts that name one address end after a while, from however many networks.
func TestDraftsForOneAddressAreBounded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "acme")
	post := func(n int, email string) int {
		form := url.Values{"title": {"Crane driver"}, "company_name": {"Harbour"}, "employment_type": {"full_time"}, "workplace": {"on_site"}, "city": {"Berlin"}, "country": {"DE"},
			"description": {"Build cranes with us, day after day, at the harbour."}, "apply_method": {"board"}, "email": {email}}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+board.PlatformHost+"/post", strings.NewReader(form.Encode()+h.proof(t, board.PlatformHost, "/post")))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.RemoteAddr = fmt.Sprintf("198.51.100.%d:4000", n)
		rec := httptest.NewRecorder()
		h.handler.ServeHTTP(rec, r)
		return rec.Code
	}
	for n := range 20 {
		if code := post(n, "victim@x.example"); code != http.StatusSeeOther {
			t.Fatalf("draft %d: %d", n+1, code)
		}
	}
	if code := post(21, "Victim@x.example"); code != http.StatusTooManyRequests {
		t.Errorf("draft 21 for one address: %d, want 429", code)
	}
	if code := post(22, "other@x.example"); code != http.StatusSeeOther {
		t.Errorf("another address: %d", code)
	}
}
