package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/png"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/billing/plans"
	"shingle/internal/testkit"
	"shingle/listings"
	"shingle/tenant"
	"shingle/web"
	"shingle/web/route"
)

// reads is a board's page as its operators read it in a language.
func (h *house) reads(t *testing.T, board *tenant.Tenant, path, token, language string) string {
	t.Helper()
	if err := h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`UPDATE operators SET locale = ?`, language).Exec(ctx)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return read(t, h.call(t, board.PlatformHost, route.GET, path, token))
}

// limited is two boards on a plan with these limits, one each.
func (h *house) limited(t *testing.T, l plans.Limits) (board, rival *tenant.Tenant) {
	t.Helper()
	board, rival = h.Board(t, "acme"), h.Board(t, "rival")
	p := h.sold(t, board, l)
	if err := h.plans.Assign(t.Context(), rival.ID, p.ID); err != nil {
		t.Fatal(err)
	}
	return board, rival
}

// grow puts a board on a plan without limits.
func (h *house) grow(t *testing.T, board *tenant.Tenant) {
	t.Helper()
	p := &plans.Plan{Name: "Ocean", Tagline: map[string]string{"en": "All."}, TrialDays: 14}
	if err := h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error { return h.plans.Save(ctx, tx, p) }); err != nil {
		t.Fatal(err)
	}
	if err := h.plans.Assign(t.Context(), board.ID, p.ID); err != nil {
		t.Fatal(err)
	}
}

func TestTheAPIStopsAtThePlan(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board, rival := h.limited(t, plans.Limits{plans.APICalls: 2})
	h.parts.API.Calls, h.parts.Registry = plans.NewCalls(h.plans), prometheus.NewRegistry()
	var err error
	if h.handler, err = web.New(h.parts); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if rec := h.get(t, board.PlatformHost, "/api/v1/jobs"); rec.Code != http.StatusOK {
			t.Fatalf("within the limit: %d", rec.Code)
		}
	}
	rec := h.get(t, board.PlatformHost, "/api/v1/jobs")
	wait, _ := strconv.Atoi(rec.Header().Get("Retry-After"))
	left := time.Until(plans.NextMonth(time.Now()))
	if rec.Code != http.StatusTooManyRequests || rec.Header().Get("Content-Type") != "application/problem+json" || time.Duration(wait)*time.Second < left || time.Duration(wait)*time.Second > left+10*time.Second {
		t.Errorf("over the limit: %d %q, again in %d s", rec.Code, rec.Header().Get("Content-Type"), wait)
	}
	var problem struct{ Detail string }
	if err := json.Unmarshal(rec.Body.Bytes(), &problem); err != nil || !strings.Contains(problem.Detail, "2 API calls") || !strings.Contains(problem.Detail, "larger plan") {
		t.Errorf("the words: %q, %v", problem.Detail, err)
	}
	if rec := h.get(t, board.PlatformHost, "/"); rec.Code != http.StatusOK {
		t.Errorf("the board's page: %d", rec.Code)
	}
	if rec := h.get(t, rival.PlatformHost, "/api/v1/jobs"); rec.Code != http.StatusOK {
		t.Errorf("the neighbour: %d", rec.Code)
	}
	owner := h.handedOver(t, h.signedIn(t, board.ID, authz.Owner), board)
	if err := h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`INSERT INTO usage_days (tenant_id, day, what, amount) VALUES (?, ?::date, 'api_calls', 2)`, board.ID, time.Now().UTC().Format(time.DateOnly)).Exec(ctx)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for language, want := range map[string]string{"en": "the API answers 429 until", "de": "Die API antwortet bis zum"} {
		if !strings.Contains(h.reads(t, board, "/admin/plan", owner, language), want) {
			t.Errorf("the plan's page in %s does not say %q", language, want)
		}
	}
	h.grow(t, board)
	if rec := h.get(t, board.PlatformHost, "/api/v1/jobs"); rec.Code != http.StatusOK {
		t.Errorf("on a larger plan: %d %s", rec.Code, rec.Body)
	}
}

func TestThePlanPageSaysWhatIsHeld(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board, rival := h.limited(t, plans.Limits{plans.Mails: 0})
	ctx := h.Ctx(t, board)
	if err := h.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`INSERT INTO alerts (tenant_id, id, email, locale, query, state, confirm_hash, stop_hash, created_at, seen_until, next_at)
			VALUES (?, gen_random_uuid(), 'a@x.example', 'en', 'q=x', 'active', 'a', 'b', now(), now(), now() - interval '1 hour')`, board.ID).Exec(ctx)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if n, err := h.plans.BulkMails(ctx); err != nil || n != 0 {
		t.Fatalf("room for %d: %v", n, err)
	}
	here, there := h.handedOver(t, h.signedIn(t, board.ID, authz.Owner), board), h.handedOver(t, h.signedIn(t, rival.ID, authz.Owner), rival)
	for language, want := range map[string]string{"en": "One alert digest is held since", "de": "Ein Suchauftrag wartet seit"} {
		if !strings.Contains(h.reads(t, board, "/admin/plan", here, language), want) {
			t.Errorf("the page in %s does not say %q", language, want)
		}
		if strings.Contains(h.reads(t, rival, "/admin/plan", there, language), want) {
			t.Errorf("the neighbour reads in %s that mails are held", language)
		}
	}
}

// picture is a form with fields and a logo.
func picture(t *testing.T, field string, values url.Values) (kind, body string) {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	for name, all := range values {
		for _, v := range all {
			_ = m.WriteField(name, v)
		}
	}
	part, err := m.CreateFormFile(field, "logo.png")
	if err == nil {
		err = png.Encode(part, image.NewNRGBA(image.Rect(0, 0, 40, 40)))
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = m.Close()
	return m.FormDataContentType(), b.String()
}

// Uploads of the team and of employers are refused at their field, the form as
// it was typed; what a seeker sends is taken; a larger plan takes the same form.
func TestUploadsStopAtThePlansStorage(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board, rival := h.limited(t, plans.Limits{plans.Storage: 10})
	if err := h.plans.Assign(t.Context(), rival.ID, func() (id [16]byte) {
		p := &plans.Plan{Name: "Bay", Tagline: map[string]string{"en": "x"}, Limits: plans.Limits{plans.Storage: 1 << 20}}
		if err := h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error { return h.plans.Save(ctx, tx, p) }); err != nil {
			t.Fatal(err)
		}
		return p.ID
	}()); err != nil {
		t.Fatal(err)
	}
	from := demoBoards(t)[0]
	st := h.fill(t, board, &from, 2)
	var company string
	if err := h.DB.Read(h.Ctx(t, board), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT id FROM companies LIMIT 1`).Scan(ctx, &company)
	}); err != nil {
		t.Fatal(err)
	}
	owner := h.handedOver(t, h.signedIn(t, board.ID, authz.Owner), board)
	rivalOwner := h.handedOver(t, h.signedIn(t, rival.ID, authz.Owner), rival)
	draft := url.Values{"title": {"Crane driver"}, "company_name": {"Harbour"}, "employment_type": {"full_time"}, "workplace": {"on_site"}, "city": {"Berlin"}, "country": {"DE"},
		"description": {"Build cranes with us, day after day, at the harbour."}, "apply_method": {"board"}, "email": {"boss@harbour.example"}}
	profile := url.Values{"name": {"Typed name"}, "tagline": {"Typed line"}}
	look := url.Values{"preset": {"harbor/"}, "hero_title": {"Typed title"}}
	sends := func(path, token, field string, values url.Values) (int, string) {
		t.Helper()
		host := board.PlatformHost
		if token == rivalOwner {
			host = rival.PlatformHost
		}
		values = maps.Clone(values)
		values.Set("proof", testkit.Proof(t, path, func(path string) []byte { return h.get(t, host, path).Body.Bytes() }))
		kind, body := picture(t, field, values)
		code, html, _ := h.sendBody(t, host, path, token, kind, body)
		return code, html
	}
	csv := url.Values{"text": {"title,company\nTyped job,Harbour\n"}}
	const full = "take all the storage"
	for _, c := range []struct {
		path, token, field string
		values             url.Values
		kept               string
	}{
		{"/admin/companies/" + company, owner, "logo", profile, "Typed line"},
		{"/admin/look", owner, "logo", look, "Typed title"},
	} {
		if code, body := sends(c.path, c.token, c.field, c.values); code != http.StatusUnprocessableEntity || !strings.Contains(body, full) || !strings.Contains(body, c.kept) || !strings.Contains(body, `href="/admin/plan" class="alert-link"`) {
			t.Errorf("%s: %d, kept %v, said %v: %.400s", c.path, code, strings.Contains(body, c.kept), strings.Contains(body, full), body)
		}
	}
	code, body, _ := h.send(t, board.PlatformHost, "/admin/imports", owner, csv)
	if code != http.StatusUnprocessableEntity || !strings.Contains(body, full) || !strings.Contains(body, "Typed job") {
		t.Errorf("an import: %d %.400s", code, body)
	}
	if code, body := sends("/post", "", "company_logo", draft); code != http.StatusUnprocessableEntity || !strings.Contains(body, "cannot keep another picture") || !strings.Contains(body, "day after day, at the harbour") || strings.Contains(body, "storage") {
		t.Errorf("an employer: %d %.600s", code, body)
	}
	// Without the picture the employer goes on, and a seeker's CV is taken.
	if code, _, _ := h.send(t, board.PlatformHost, "/post", "", draft); code != http.StatusSeeOther {
		t.Errorf("a draft without a picture: %d", code)
	}
	job := listings.Path(st.listings[0].Slug, st.listings[0].PublicID)
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	proof := testkit.Proof(t, job+"/apply", func(path string) []byte { return h.get(t, board.PlatformHost, path).Body.Bytes() })
	for name, v := range map[string]string{"proof": proof, "name": "Ada Brand", "email": "ada@seeker.example", "consent": "1"} {
		_ = m.WriteField(name, v)
	}
	part, _ := m.CreateFormFile("cv", "cv.pdf")
	_, _ = part.Write([]byte("%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"))
	_ = m.Close()
	if code, body, _ := h.sendBody(t, board.PlatformHost, job+"/apply", "", m.FormDataContentType(), b.String()); code >= 400 {
		t.Errorf("an application: %d %.600s", code, body)
	}
	var cvs int
	if err := h.DB.Read(h.Ctx(t, board), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT count(*) FROM applications WHERE cv_key <> '' AND email = 'ada@seeker.example'`).Scan(ctx, &cvs)
	}); err != nil || cvs != 1 {
		t.Errorf("%d applications with a CV: %v", cvs, err)
	}
	if code, body := sends("/admin/look", rivalOwner, "logo", look); code != http.StatusSeeOther {
		t.Errorf("the neighbour: %d %.400s", code, body)
	}
	h.grow(t, board)
	for path, values := range map[string]url.Values{"/admin/companies/" + company: profile, "/admin/look": look} {
		if code, body := sends(path, owner, "logo", values); code != http.StatusSeeOther {
			t.Errorf("%s on a larger plan: %d %.400s", path, code, body)
		}
	}
	if code, body := sends("/post", "", "company_logo", draft); code != http.StatusSeeOther {
		t.Errorf("an employer on a larger plan: %d %.400s", code, body)
	}
}
