package admin

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"gocloud.dev/blob/memblob"

	"shingle/accounts"
	"shingle/archive"
	"shingle/authz"
	"shingle/billing"
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

func TestMain(m *testing.M) { testkit.Main(m) }

func TestBoardRoutes(t *testing.T) {
	ws, err := console.LoadWords(Words())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range ws.Missing() {
		t.Error("missing", m)
	}
	w := testkit.NewWorld(t)
	b := w.BoardOf(t, tenant.NewBoard{Slug: "x", Name: "X jobs", Locale: "de", Currency: "EUR", TimeZone: "Europe/Berlin", Country: "DE"})
	ln, err := links.New("http://platform.localhost:1", "platform.localhost", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	packs, err := themes.Load()
	if err != nil {
		t.Fatal(err)
	}
	store := &looks.Store{DB: w.DB, Packs: packs, Default: themes.Look{Pack: "harbor", Preset: "tide"}}
	ls := listings.NewStore(ln)
	bill := billing.New(billing.Options{DB: w.DB, Platform: w.Platform, Listings: ls, Links: ln, Stripe: billing.NewStripe("sk_test_x", "http://127.0.0.1:1", nil)})
	s := &site.Site{DB: w.DB, Links: ln, Listings: ls, Packs: packs, Looks: store, Now: time.Now, Files: memblob.OpenBucket(nil)}
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	ops := accounts.NewOperators(w.Platform, accounts.NewLimiter(nil, time.Now), ln, time.Now)
	a := &Admin{DB: w.DB, Archive: &archive.Service{DB: w.DB, Platform: w.Platform, Files: s.Files, Links: ln, Packs: packs, Operators: ops, Now: time.Now}, Platform: w.Platform, Boards: w.Boards, Notifier: w.Notifier, Links: ln, Site: s, Listings: ls, Billing: bill, Operators: ops, Packs: packs, Looks: store, Files: s.Files, Mail: testIdentities(t, w), MailFrom: "boards@platform.example", Now: time.Now}
	assets, err := console.LoadAssets()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Load(assets); err != nil {
		t.Fatal(err)
	}
	var o *accounts.Operator
	if err := w.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		if o, err = ops.FindOrCreate(ctx, tx, "o@x.example", "Ow Ner", "de"); err != nil {
			return err
		}
		return authz.Grant(ctx, tx, b.ID, o.ID, authz.Owner)
	}); err != nil {
		t.Fatal(err)
	}
	set, _ := authz.BuiltinSet(b.ID, authz.Owner)
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.Use(func(c *gin.Context) {
		ctx := tenant.With(c.Request.Context(), b)
		c.Request = c.Request.WithContext(tenant.WithActor(ctx, o.Actor(tenant.Operator)))
		c.Set(sessionKey, &accounts.OperatorSession{Operator: *o})
		c.Set(setKey, set)
	})
	route.Mount(e, a.Routes(), func(c *gin.Context, p authz.Permission) error { return nil }, a.ErrorPage, slog.Default())
	do := func(method, path string, form url.Values, want int, has ...string) string {
		t.Helper()
		r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
		if method == "POST" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		rec := httptest.NewRecorder()
		e.ServeHTTP(rec, r)
		body := rec.Body.String()
		if rec.Code != want {
			t.Errorf("%s %s = %d, want %d: %s", method, path, rec.Code, want, regexp.MustCompile(`(?s)^.*<main`).ReplaceAllString(body, ""))
		}
		for _, m := range regexp.MustCompile(`⟦[^⟧]*⟧|ZgotmplZ|&lt;nil&gt;`).FindAllString(body, -1) {
			t.Errorf("%s: %s", path, m)
		}
		for _, h := range has {
			if !strings.Contains(body+rec.Header().Get("Location"), h) {
				t.Errorf("%s %s lacks %q; loc %s", method, path, h, rec.Header().Get("Location"))
			}
		}
		return body
	}
	G := http.MethodGet
	P := http.MethodPost
	for _, p := range []string{"/admin/products", "/admin/products/new", "/admin/products/preview?name=a&price=199&duration_days=30&featured_days=2", "/admin/orders", "/admin/orders?q=x", "/admin/orders.csv", "/admin/payouts", "/admin/payouts/statement.csv", "/admin/look", "/admin/look/preview", "/admin/pages", "/admin/pages/new", "/admin/team", "/admin/settings"} {
		do(G, p, nil, 200)
	}
	do(G, "/admin/export", nil, 200, "Noch keine Archive", "o@x.example")
	do(P, "/admin/export", nil, 303, "export.asked")
	do(G, "/admin/export", nil, 200, "Wird erstellt")
	do(P, "/admin/export", nil, 409, "Ein Archiv wird gerade erstellt")
	do(G, "/admin/export/download?token=nobody", nil, 410, "verbraucht oder zu alt")
	do(P, "/admin/export/download", url.Values{"token": {"nobody"}}, 410, "verbraucht oder zu alt")
	testExport(t, w, a.Archive, b, do)
	do(P, "/admin/products", url.Values{"name": {""}, "price": {"viel"}}, 422, "viel", "199,50")
	do(P, "/admin/products", url.Values{"name": {"Basis"}, "price": {"199,50"}, "duration_days": {"30"}, "featured_days": {"5"}, "active": {"1"}}, 303, "product.created")
	do(P, "/admin/products", url.Values{"name": {"Frei"}, "price": {"0"}, "duration_days": {"30"}, "active": {"1"}}, 303)
	body := do(G, "/admin/products", nil, 200, "199,50", "Stripe")
	ids := regexp.MustCompile(`/admin/products/([0-9a-f-]{36})"`).FindAllStringSubmatch(body, -1)
	do(G, "/admin/products/"+ids[0][1], nil, 200, `value="199,5`)
	do(P, "/admin/products/"+ids[1][1]+"/up", nil, 303)
	do(P, "/admin/products/"+ids[1][1], url.Values{"name": {"Frei 2"}, "price": {"12,5"}, "duration_days": {"x"}}, 422)
	do(P, "/admin/products/"+ids[1][1], url.Values{"name": {"Frei 2"}, "price": {"12,5"}, "duration_days": {"3"}}, 303)
	do(P, "/admin/products/"+ids[1][1]+"/sale", nil, 303, "archived")
	do(P, "/admin/products/"+ids[1][1]+"/delete", nil, 303, "deleted")
	do(P, "/admin/payouts/onboard", nil, 503, "Stripe antwortet")
	do(G, "/admin/payouts?back=1", nil, 303)
	look := url.Values{"preset": {"harbor/tide"}, "light.primary": {"#ffff00"}, "hero_title": {"Hallo"}, "radius": {"4px"}, "density": {"1,1"}, "custom_css": {"@import url(x);.card{color:red}"}}
	do(P, "/admin/look", url.Values{"preset": {"nix/x"}, "light.primary": {"rot"}, "radius": {"dick"}, "density": {"9"}, "hero_title": {strings.Repeat("x", 100)}}, 422, "rot")
	do(P, "/admin/look", url.Values{"preset": {"nix/x"}, "density": {"9"}, "radius": {"99px"}, "hero_title": {strings.Repeat("x", 100)}}, 422, "Wählen Sie eines", "0,8 und 1,3", "90 Zeichen")
	do(P, "/admin/look", url.Values{"preset": {"harbor/tide"}, "paste": {"foo"}}, 422, "Keine Farben")
	do(P, "/admin/look", look, 303, "look.saved")
	do(G, "/admin/look", nil, 200, "#ffff00", "Schwer zu lesen", "import")
	prev := do(G, "/admin/look/preview", nil, 200, "Hallo", "/admin/look/theme.")
	sheet := regexp.MustCompile(`/admin/look/theme\.[0-9a-f]+\.css`).FindString(prev)
	do(G, sheet, nil, 200, "--primary:#ffff00")
	do(P, "/admin/look/contrast", url.Values{"scheme": {"light"}, "color": {"primary"}}, 303)
	// The repaired primary leaves its text behind: publishing asks, and repairs by default.
	do(P, "/admin/look/publish", nil, 409, "schwer zu lesen", "Anpassen und veröffentlichen", "So veröffentlichen")
	do(G, "/admin/look", nil, 200, "look/discard")
	do(P, "/admin/look/publish", url.Values{"contrast": {"repair"}}, 303, "look.repaired")
	if err := w.DB.Read(tenant.With(t.Context(), b), func(ctx context.Context, tx bun.IDB) error {
		v, err := store.Published(ctx, tx)
		if err == nil {
			for _, f := range v.Look.Resolve(packs).CheckContrast() {
				t.Errorf("published with %s on %s at %.2f", f.Text, f.On, f.Ratio)
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	do(P, "/admin/look", look, 303)
	do(P, "/admin/look/publish", url.Values{"contrast": {"keep"}}, 303, "look.published")
	do(P, "/admin/look", url.Values{"preset": {"gazette/x"}, "paste": {":root{--primary:#123456;--card:bogus;}"}}, 303, "look.pasted")
	do(P, "/admin/look/publish", nil, 303)
	body = do(G, "/admin/look", nil, 200, "roll-back", "#123456")
	do(P, regexp.MustCompile(`/admin/looks/[0-9a-f-]+/roll-back`).FindString(body), nil, 303)
	do(P, "/admin/look/discard", nil, 303)
	do(P, "/admin/pages/generate", url.Values{"name": {"X"}}, 422, "Ort")
	do(P, "/admin/pages/generate", url.Values{"name": {"X GmbH & Co"}, "street": {"S 1"}, "city": {"Bonn"}, "country": {"D"}, "email": {"a@b.de"}}, 303, "page.generated")
	do(P, "/admin/pages/generate", url.Values{"name": {"X GmbH"}, "street": {"S 1"}, "city": {"Bonn"}, "country": {"D"}, "email": {"a@b.de"}}, 303, "page.kept")
	do(G, "/admin/pages", nil, 200, "Impressum", "X GmbH")
	do(G, "/admin/pages/edit/impressum", nil, 200, "GmbH &amp; Co")
	do(P, "/admin/pages/edit/impressum", url.Values{"title": {"Imp"}, "body": {"<p>hi<script>x</script></p>"}, "published": {"1"}}, 303)
	do(P, "/admin/pages/edit/impressum", url.Values{"title": {""}, "body": {""}}, 422)
	do(P, "/admin/pages/edit/impressum/show", nil, 303, "hidden")
	do(P, "/admin/pages", url.Values{"title": {"A"}, "slug": {"terms"}, "body": {"x"}}, 422, "gibt es schon")
	do(P, "/admin/pages", url.Values{"title": {"A"}, "slug": {"about"}, "body": {"x"}}, 303)
	do(P, "/admin/team/invite", url.Values{"email": {"quatsch"}, "role": {"editor"}}, 422, "quatsch")
	do(P, "/admin/team/invite", url.Values{"email": {"n@x.example"}, "role": {"editor"}}, 303)
	body = do(G, "/admin/team", nil, 200, "n@x.example", "Redaktion")
	do(P, "/admin/team/withdraw", url.Values{"invitation": {regexp.MustCompile(`name="invitation" value="([^"]+)`).FindStringSubmatch(body)[1]}}, 303)
	do(P, "/admin/members/"+o.ID.String()+"/remove", nil, 409, "mindestens")
	do(P, "/admin/members/"+o.ID.String()+"/role", url.Values{"role": {"viewer"}}, 409, "mindestens")
	do(P, "/admin/members/"+o.ID.String()+"/role", url.Values{"role": {"nix"}}, 422)
	do(P, "/admin/settings", url.Values{"name": {""}, "contact_email": {"x"}, "locale": {"fr"}}, 422)
	do(P, "/admin/settings", url.Values{"name": {"Neu"}, "contact_email": {"A@x.de"}, "locale": {"de"}, "currency": {"EUR"}, "time_zone": {"Europe/Berlin"}, "country": {"DE"}}, 303)
	do(G, "/admin/orders/00000000-0000-7000-8000-000000000000", nil, 404)
	do(P, "/admin/orders/00000000-0000-7000-8000-000000000000/refund", url.Values{"reason": {"x"}}, 404)

	var oid string
	if err := w.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		ctx = tenant.With(ctx, b)
		_, err := tx.NewRaw("INSERT INTO companies (tenant_id, id, slug, name) VALUES (?, ?, 'acme', 'Acme')", b.ID, b.ID).Exec(ctx)
		if err != nil {
			return err
		}
		_, err = tx.NewRaw("INSERT INTO listings (tenant_id, id, public_id, slug, company_id, title, state, source) VALUES (?, ?, 'abcdefghij', 'x', ?, 'Koch', 'live', 'employer')", b.ID, b.ID, b.ID).Exec(ctx)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := w.DB.Write(tenant.With(t.Context(), b), func(ctx context.Context, tx bun.IDB) error {
		list, err := bill.Products(ctx, tx)
		if err != nil {
			return err
		}
		at := time.Now()
		od := &billing.Order{ID: tenant.NewRowID(), Number: 1001, ListingID: uuid.UUID(b.ID), ProductID: list[0].ID, Email: "=e@x.de", State: billing.Paid, Amount: 19950, Fee: 1995, Currency: "EUR", ChargeMode: "direct", StripeAccount: "acct_1", PaymentIntent: "pi_1", CreatedAt: at, PaidAt: &at, FeeRule: billing.FeeRule{PercentBP: 1000}, Product: billing.Bought{Name: "Basis", DurationDays: 30, FeaturedDays: 1}}
		if _, err := tx.NewInsert().Model(od).Exec(ctx); err != nil {
			return err
		}
		oid = od.ID.String()
		e := []billing.Entry{{Txn: "ch_1", Account: "buyer", Amount: -19950, Currency: "EUR", OrderID: &od.ID, StripeID: "ch_1", At: at}, {Txn: "ch_1", Account: "owner", Amount: 17955, Currency: "EUR", OrderID: &od.ID, StripeID: "ch_1", At: at}, {Txn: "ch_1", Account: "platform_fee", Amount: 1995, Currency: "EUR", OrderID: &od.ID, StripeID: "ch_1", At: at}}
		if _, err := tx.NewInsert().Model(&e).Exec(ctx); err != nil {
			return err
		}
		rc := &billing.Reconciliation{ID: tenant.NewRowID(), Since: at, Until: at, Matched: 1, At: at, Differences: []billing.Difference{{StripeID: "x", Problem: billing.Differs, Currency: "EUR", Ours: 1, Theirs: 2}}}
		if _, err := tx.NewInsert().Model(rc).Exec(ctx); err != nil {
			return err
		}
		acc := &billing.Account{Account: "acct_1", Kind: "standard", DetailsSubmitted: true, Requirements: []byte(`["external_account"]`), CreatedAt: at, UpdatedAt: at}
		_, err = tx.NewInsert().Model(acc).Exec(ctx)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	do(G, "/admin/orders", nil, 200, "#1001", "Koch")
	do(G, "/admin/orders.csv", nil, 200, "'=e@x.de", "199.5")
	do(G, "/admin/orders/"+oid, nil, 200, "199,50", "erstatten")
	do(P, "/admin/orders/"+oid+"/refund", url.Values{"reason": {""}}, 422, "warum")
	do(P, "/admin/orders/"+oid+"/refund", url.Values{"reason": {"irrtum"}}, 303)
	do(G, "/admin/orders/"+oid, nil, 200, "irrtum", "unterwegs")
	do(P, "/admin/orders/"+oid+"/refund", url.Values{"reason": {"irrtum"}}, 409, "nicht erstatten")
	do(G, "/admin/payouts", nil, 200, "ch_1", "external_account", "weicht ab")
	do(G, "/admin/payouts/statement.csv", nil, 200, "ch_1")
}
