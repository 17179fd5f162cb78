package admin

import (
	"context"
	"io"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/billing"
	"shingle/candidates"
	"shingle/internal/links"
	"shingle/internal/testkit"
	"shingle/listings"
	"shingle/tenant"
	"shingle/themes"
	"shingle/themes/looks"
	"shingle/web/console"
	"shingle/web/route"
	"shingle/web/site"
)

func TestWorkRoutes(t *testing.T) {
	for _, locale := range []string{"en", "de"} {
		t.Run(locale, func(t *testing.T) { smoke(t, locale) })
	}
}

func smoke(t *testing.T, locale string) {
	w := testkit.NewWorld(t)
	b := w.BoardOf(t, tenant.NewBoard{Slug: "acme", Name: "Acme", Locale: locale, Currency: "EUR", TimeZone: "Europe/Berlin", Country: "DE", ContactEmail: "a@b.example"})
	l := links.Links{Scheme: "http", Port: ":8080"}
	store := listings.NewStore(l)
	packs, err := themes.Load()
	if err != nil {
		t.Fatal(err)
	}
	lk := &looks.Store{DB: w.DB, Packs: packs, Default: themes.Look{Pack: "harbor"}}
	cand := &candidates.Service{DB: w.DB, Platform: w.Platform, Listings: store, Links: l, Now: time.Now, Key: []byte("k")}
	s := &site.Site{DB: w.DB, Links: l, Listings: store, Candidates: cand, Packs: packs, Looks: lk, Now: time.Now}
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	bill := billing.New(billing.Options{DB: w.DB, Platform: w.Platform, Listings: store, Links: l})
	a := &Admin{DB: w.DB, Platform: w.Platform, Boards: w.Boards, Notifier: w.Notifier, Links: l, Site: s, Listings: store, Billing: bill, Candidates: cand, Packs: packs, Looks: lk, Mail: testIdentities(t, w), MailFrom: "boards@platform.example", Now: time.Now}
	assets, err := console.LoadAssets()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Load(assets); err != nil {
		t.Fatal(err)
	}
	gin.SetMode(gin.TestMode)
	e := gin.New()
	e.Use(route.ConsoleHeaders("", ""))
	e.GET(console.AssetPath, assets.Serve)
	op := uuid.New()
	guard := func(c *gin.Context, p authz.Permission) error {
		c.Set(setKey, authz.SetOf(authz.All(authz.OnBoard)...))
		ctx := tenant.WithActor(tenant.With(c.Request.Context(), b), tenant.Actor{Kind: tenant.Operator, ID: op, Label: "op"})
		c.Request = c.Request.WithContext(ctx)
		return nil
	}
	log := slog.New(slog.NewTextHandler(testw{t}, nil))
	pub := func(c *gin.Context, p authz.Permission) error {
		c.Request = c.Request.WithContext(tenant.With(c.Request.Context(), b))
		return nil
	}
	for _, r := range s.Routes() {
		if r.Path == "/assets/:file" || r.Path == "/:theme" {
			route.Mount(e, []route.Route{r}, pub, func(c *gin.Context, status int, err error) { c.String(status, "ERR %v", err) }, slog.New(slog.DiscardHandler))
		}
	}
	route.Mount(e, a.Routes(), guard, func(c *gin.Context, status int, err error) { c.String(status, "ERR %v", err) }, log)
	bad := regexp.MustCompile(`⟦[^⟧]*⟧|ZgotmplZ|&lt;nil&gt;|%!`)
	do := func(method, path string, form url.Values, want int) (string, string) {
		t.Helper()
		var body io.Reader
		if form != nil {
			body = strings.NewReader(form.Encode())
		}
		r := httptest.NewRequest(method, path, body)
		if form != nil {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		rec := httptest.NewRecorder()
		e.ServeHTTP(rec, r)
		out := rec.Body.String()
		if rec.Code != want {
			t.Errorf("%s %s: %d, want %d: %.600s", method, path, rec.Code, want, out)
		}
		if m := bad.FindAllString(out, -1); m != nil {
			t.Errorf("%s %s: %v", method, path, m)
		}
		return out, rec.Header().Get("Location")
	}
	get := func(path string) string { t.Helper(); o, _ := do("GET", path, nil, 200); return o }
	post := func(path string, v url.Values, want int) string {
		t.Helper()
		_, loc := do("POST", path, v, want)
		return loc
	}
	must := func(s, sub string) {
		t.Helper()
		if !strings.Contains(s, sub) {
			t.Errorf("no %q in %.300s", sub, s)
		}
	}

	var ctxb context.Context
	var srv *httptest.Server
	if locale == "en" {
		ctxb = testkit.Chromium(t)
		srv = httptest.NewServer(e)
		t.Cleanup(srv.Close)
	}
	look := func(name, path string) {
		t.Helper()
		if srv == nil {
			return
		}
		if err := chromedp.Do(ctxb, chromedp.Navigate(srv.URL+path)); err != nil {
			t.Fatal(err)
		}
		testkit.Axe(t, ctxb)
		t.Log(testkit.Screenshot(t, ctxb, name, 1280))
		if strings.HasPrefix(name, "w-list") || strings.HasPrefix(name, "w-rev") || name == "w-dash" {
			testkit.Screenshot(t, ctxb, name, 390)
		}
	}
	for _, p := range []string{"/admin", "/admin?chart=applications", "/admin/review", "/admin/listings", "/admin/listings?q=x&state=live&sort=-ends", "/admin/listings/new", "/admin/imports", "/admin/imports/template.csv", "/admin/reports", "/admin/companies", "/admin/categories", "/admin/listings.csv"} {
		get(p)
	}
	post("/admin/categories", url.Values{"name": {"Care"}}, 303)
	post("/admin/categories", url.Values{"name": {"Care"}}, 409)
	post("/admin/categories", url.Values{"name": {""}}, 422)
	f := url.Values{"title": {"Night nurse"}, "company": {"Klinik"}, "website": {"klinik.example"}, "category": {"care"}, "employment_type": {"full_time"}, "workplace": {"on_site"},
		"places": {"Berlin, DE\r\nHamburg, DE"}, "salary_min": {"40000"}, "salary_max": {"50000"}, "salary_currency": {"EUR"}, "salary_period": {"year"},
		"description": {"We look for a nurse who likes nights.\n\n- one\n- two"}, "apply_method": {"board"}, "days": {"30"}, "featured": {"1"}}
	for i := 0; i < 1; i++ {
		bad := url.Values{"title": {""}, "days": {"0"}}
		do("POST", "/admin/listings", bad, 422)
	}
	loc := post("/admin/listings", f, 303)
	id := strings.TrimSuffix(strings.TrimPrefix(loc, "/admin/listings/"), "?ok=listing.published")
	out := get(loc)
	must(out, "Night nurse")
	must(get("/admin/listings/"+id+"/edit"), "- one\n- two")
	get("/admin/listings/" + id + "/preview")
	f.Set("title", "Night nurse in charge")
	get(post("/admin/listings/"+id+"/edit", f, 303))
	must(get("/admin/listings"), "Night nurse in charge")
	for _, sort := range []string{"", "updated", "title", "-title", "company", "-company", "published", "-published", "ends", "-ends", "applications", "-applications"} {
		for _, filter := range []string{"", "&state=live", "&q=nurse", "&source=board", "&q=nurse&category=care&source=board"} {
			must(get("/admin/listings?sort="+sort+filter), "Night nurse in charge")
		}
	}
	loc = post("/admin/listings/bulk", url.Values{"act": {"pause"}, "id": {id}, "back": {"/admin/listings?state=live"}}, 303)
	must(loc, "n=1")
	u, _ := url.Parse(loc)
	get(loc)
	post(u.Query().Get("undo"), url.Values{}, 303)
	post("/admin/listings/"+id+"/act", url.Values{"act": {"pause"}, "reason": {strings.Repeat("x", 501)}}, 422)
	for _, act := range []string{"pause", "resume"} {
		must(get(post("/admin/listings/"+id+"/act", url.Values{"act": {act}, "reason": {"asked by phone"}}, 303)), "asked by phone")
	}
	post("/admin/listings/"+id+"/act", url.Values{"act": {"extend"}, "days": {"10"}}, 303)
	post("/admin/listings/"+id+"/act", url.Values{"act": {"extend"}, "days": {"x"}}, 422)
	post("/admin/listings/"+id+"/act", url.Values{"act": {"resume"}}, 303)
	loc = post("/admin/listings/bulk", url.Values{"act": {"remove"}, "id": {id}}, 303)
	u, _ = url.Parse(loc)
	get("/admin/listings?state=removed")
	get("/admin/listings/" + id)
	loc = post(u.Query().Get("undo"), url.Values{}, 303)
	must(loc, "n=1")
	loc = post("/admin/listings/"+id+"/remove", url.Values{}, 303)
	u, _ = url.Parse(loc)
	get(loc)
	get(post(u.Query().Get("undo"), url.Values{}, 303))
	get(post("/admin/listings/"+id+"/act", url.Values{"act": {"fill"}}, 303))
	get(post("/admin/listings/"+id+"/act", url.Values{"act": {"resume"}}, 303))
	// Review: an employer's listing and an edit.
	ctx := tenant.With(t.Context(), b)
	mod := *b
	mod.Moderated = true
	person := uuid.New()
	pctx := tenant.WithActor(tenant.With(ctx, &mod), tenant.Actor{Kind: tenant.Person, ID: person})
	c := listings.Content{Title: "Sea captain", Company: "Ships", EmploymentType: "full_time", Workplace: "remote", Countries: []string{"DE"}, Description: "<p>Steer ships for us, far and wide, each day.</p>", ApplyMethod: "board"}
	var ids []string
	err = w.DB.Write(pctx, func(ctx context.Context, tx bun.IDB) error {
		if _, err := tx.NewRaw(`INSERT INTO people (tenant_id, id, email) VALUES (?, ?, 'p@x.example')`, b.ID, person).Exec(ctx); err != nil {
			return err
		}
		for range 4 {
			l, err := store.Create(ctx, tx, c, listings.Owner{PersonID: &person})
			if err != nil {
				return err
			}
			ids = append(ids, l.ID.String())
			if err := store.Grant(ctx, tx, listings.Entitlement{ListingID: l.ID, Kind: listings.Posting, Days: 30}); err != nil {
				return err
			}
			if _, err := store.Submit(ctx, tx, l.ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	must(get("/admin/review"), "Sea captain")
	out = get("/admin/review/" + ids[0])
	must(out, "iframe")
	look("w-dash", "/admin")
	look("w-listings", "/admin/listings")
	look("w-listing", "/admin/listings/"+ids[0])
	look("w-listing2", "/admin/listings/"+id)
	look("w-review", "/admin/review")
	look("w-reviewitem", "/admin/review/"+ids[0])
	look("w-post", "/admin/listings/new")
	look("w-import", "/admin/imports")
	look("w-companies", "/admin/companies")
	look("w-categories", "/admin/categories")
	post("/admin/review/"+ids[0]+"/send-back", url.Values{"note": {""}}, 422)
	get(post("/admin/review/"+ids[0]+"/send-back", url.Values{"note": {"more please"}}, 303))
	// What is approved is what the form showed; else the page comes back with what there is now.
	shown := func() string {
		t.Helper()
		return regexp.MustCompile(`name="version" value="(\d+)"`).FindStringSubmatch(get("/admin/review/" + ids[1]))[1]
	}
	old := shown()
	c.Title = "Sea captain, new"
	err = w.DB.Write(pctx, func(ctx context.Context, tx bun.IDB) error {
		_, err := store.Edit(ctx, tx, uuid.MustParse(ids[1]), c)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	out, _ = do("POST", "/admin/review/"+ids[1]+"/approve", url.Values{"version": {old}}, 409)
	must(out, "Sea captain, new")
	must(out, a.shell.T(locale, "work.review.changed"))
	must(out, `name="version" value="`+shown()+`"`)
	post("/admin/review/"+ids[1]+"/approve", url.Values{}, 409)
	get(post("/admin/review/"+ids[1]+"/approve", url.Values{"version": {shown()}}, 303))
	get(post("/admin/review/"+ids[2]+"/reject", url.Values{"note": {"no"}}, 303))
	get("/admin/listings/" + ids[2])
	post("/admin/review/"+ids[0]+"/approve", url.Values{}, 303)
	post("/admin/review/"+ids[1]+"/reject", url.Values{"note": {""}, "from": {"listing"}}, 422)
	c.Title, c.Workplace, c.Places = "Sea captain, senior", "hybrid", []listings.Place{{Country: "DE", City: "Kiel"}}
	c.Description = "<p>Steer ships for us, far and <strong>wide</strong>, each night.</p>"
	err = w.DB.Write(pctx, func(ctx context.Context, tx bun.IDB) error {
		_, err := store.Edit(ctx, tx, uuid.MustParse(ids[1]), c)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	must(get("/admin/listings/"+ids[1]), "/admin/review/")
	out = get("/admin/review/" + ids[1])
	must(out, "Kiel")
	look("w-revision", "/admin/review/"+ids[1])
	rev := regexp.MustCompile(`revision=([0-9a-f-]+)`).FindStringSubmatch(out)[1]
	must(get("/admin/listings/"+ids[1]+"/preview?revision="+rev), "Kiel")
	post("/admin/revisions/"+rev+"/refuse", url.Values{"listing": {ids[1]}, "note": {""}}, 422)
	c.Title, c.Logo = "Sea captain, chief", b.ID.String()+"/logos/"+uuid.NewString()+".png"
	err = w.DB.Write(pctx, func(ctx context.Context, tx bun.IDB) error { // takes the place of the one that is shown
		_, err := store.Edit(ctx, tx, uuid.MustParse(ids[1]), c)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	out, _ = do("POST", "/admin/revisions/"+rev+"/approve", url.Values{"listing": {ids[1]}}, 409)
	must(out, "Sea captain, chief")
	must(out, a.shell.T(locale, "work.review.changed"))
	must(out, `src="`+site.FileURL(c.Logo)+`"`)
	rev = regexp.MustCompile(`revision=([0-9a-f-]+)`).FindStringSubmatch(out)[1]
	must(get("/admin/listings/"+ids[1]+"/preview?revision="+rev), site.FileURL(c.Logo))
	get(post("/admin/revisions/"+rev+"/approve", url.Values{"listing": {ids[1]}}, 303))
	get("/admin/listings/" + ids[1])
	// Reports.
	_ = w.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		for range 2 {
			if err := cand.ReportListing(ctx, tx, uuid.MustParse(ids[1]), "scam", "bad", "r@x.example"); err != nil {
				t.Fatal(err)
			}
		}
		return nil
	})
	out = get("/admin/reports")
	look("w-reports", "/admin/reports")
	rs := regexp.MustCompile(`/admin/reports/([0-9a-f-]+)/dismiss`).FindAllStringSubmatch(out, -1)
	post("/admin/reports/"+rs[0][1]+"/dismiss", url.Values{}, 303)
	post("/admin/reports/"+rs[1][1]+"/uphold", url.Values{"note": {""}}, 422)
	loc = post("/admin/reports/"+rs[1][1]+"/uphold", url.Values{"note": {"scam"}}, 303)
	get(loc)
	get("/admin")
	// Imports.
	loc = post("/admin/imports", url.Values{"text": {"title;company;places;description;shoe;reference\nCook;Inn;Berlin, DE;You cook for our guests every evening, with two colleagues.;x;1\n;Inn;;short;y;2\n"}}, 303)
	get(loc)
	im := strings.TrimPrefix(strings.TrimSuffix(loc, "?ok=import.checked"), "/admin/imports/")
	get("/admin/imports/" + im + "?show=bad")
	look("w-report", "/admin/imports/"+im)
	post("/admin/imports", url.Values{"text": {""}}, 422)
	post("/admin/imports", url.Values{"text": {"a,b\n1,2\n"}}, 422)
	get(post("/admin/imports/"+im+"/run", url.Values{"days": {"20"}}, 303))
	get("/admin/imports")
	loc = post("/admin/imports", url.Values{"text": {"title,description\nx,y\n"}}, 303)
	im2 := strings.TrimPrefix(strings.TrimSuffix(loc, "?ok=import.checked"), "/admin/imports/")
	get("/admin/imports/" + im2)
	post("/admin/imports/"+im2+"/run", url.Values{"days": {"20"}}, 409)
	post("/admin/imports/"+im2+"/discard", url.Values{}, 303)
	// Companies.
	out = get("/admin/companies?q=klin")
	co := regexp.MustCompile(`/admin/companies/([0-9a-f-]{36})`).FindStringSubmatch(out)[1]
	get("/admin/companies/" + co)
	look("w-company", "/admin/companies/"+co)
	post("/admin/companies/"+co, url.Values{"name": {""}}, 422)
	get(post("/admin/companies/"+co, url.Values{"name": {"Klinik am See"}, "about": {"Good"}}, 303))
	out = get("/admin/categories")
	cat := regexp.MustCompile(`/admin/categories/([0-9a-f-]{36})`).FindStringSubmatch(out)[1]
	post("/admin/categories/"+cat, url.Values{"name": {"Care 2"}, "position": {"3"}}, 303)
	post("/admin/categories/"+cat, url.Values{"name": {"Care 2"}, "position": {"x"}}, 422)
	post("/admin/categories/"+cat+"/delete", url.Values{}, 303)
	must(get("/admin/listings.csv"), "Night nurse")
	do("GET", "/admin/listings/"+uuid.NewString(), nil, 404)
	do("GET", "/admin/listings/x", nil, 404)
	var n int
	_ = w.DB.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT count(*) FROM audit_log WHERE tenant_id = ?`, b.ID).Scan(ctx, &n)
	})
	t.Log("audit lines", n)
}

type testw struct{ t *testing.T }

func (w testw) Write(b []byte) (int, error) { w.t.Log(string(b)); return len(b), nil }
