package web_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/billing"
	"shingle/billing/meter"
	"shingle/billing/plans"
	"shingle/listings"
	"shingle/tenant"
	"shingle/web"
	"shingle/web/admin"
	"shingle/web/route"
)

// sold puts a plan on the shelf and a board on it.
func (h *house) sold(t testing.TB, board *tenant.Tenant, l plans.Limits, features ...string) *plans.Plan {
	t.Helper()
	p := &plans.Plan{Name: "Harbour", Tagline: map[string]string{"en": "For small crews."}, Limits: l, Features: features, TrialDays: 14, Listed: true,
		Prices: []plans.Price{{Every: plans.Month, Currency: "USD", Amount: 2900, Current: true}, {Every: plans.Year, Currency: "USD", Amount: 29000, Current: true}}}
	if err := h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error { return h.plans.Save(ctx, tx, p) }); err != nil {
		t.Fatal(err)
	}
	if err := h.plans.Assign(t.Context(), board.ID, p.ID); err != nil {
		t.Fatal(err)
	}
	return p
}

// step puts a board on a step of the ladder, as the daily task would.
func (h *house) step(t *testing.T, board *tenant.Tenant, to plans.Step) {
	t.Helper()
	err := h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		state, since := "ended", "now() - interval '5 hours'"
		if to == plans.Paid {
			state, since = "active", "NULL"
		}
		if _, err := tx.NewRaw(`UPDATE board_plans SET step = ?, state = ?, unpaid_since = `+since+` WHERE tenant_id = ?`, string(to), state, board.ID).Exec(ctx); err != nil {
			return err
		}
		_, err := tx.NewRaw(`UPDATE boards SET plan_step = ? WHERE id = ?`, string(to), board.ID).Exec(ctx)
		tenant.ChangedBoard(ctx, board.ID)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Each step of the ladder takes what it says and leaves the rest; paying opens
// everything at once, whatever the page cache holds.
func TestTheStepsOfTheLadder(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.caching(t, 8<<20)
	board := h.Board(t, "acme")
	from := demoBoards(t)[0]
	st := h.fill(t, board, &from, 5)
	job := listings.Path(st.listings[0].Slug, st.listings[0].PublicID)
	h.sold(t, board, plans.Limits{})
	owner := h.handedOver(t, h.signedIn(t, board.ID, authz.Owner), board)
	const host = "acme.localhost"
	save := "name=Acme&locale=en&currency=USD&time_zone=UTC&contact_email=a%40acme.example"
	for _, c := range []struct {
		step                           plans.Step
		public, sitemap, settings, get int
		noindex                        bool
		banner                         string
	}{
		{plans.Paid, 200, 200, 303, 200, false, ""},
		{plans.Grace, 200, 200, 303, 200, false, "is not paid"},
		{plans.ReadOnly, 200, 200, 403, 200, false, "this console is read-only"},
		{plans.NoIndex, 200, 404, 403, 200, true, "forget the board"},
		{plans.Suspended, 503, 503, 403, 200, true, "closed to visitors"},
		{plans.Export, 503, 503, 403, 200, true, "Take your data"},
		{plans.Deletable, 503, 503, 403, 200, true, "may delete this board"},
		{plans.Paid, 200, 200, 303, 200, false, ""},
	} {
		h.step(t, board, c.step)
		for _, path := range []string{"/", "/jobs", job} {
			res := h.visit(t, host, "GET", path, "", "")
			if res.StatusCode != c.public || (res.Header.Get("X-Robots-Tag") != "") != c.noindex {
				t.Errorf("%q: %s is %d with robots %q", c.step, path, res.StatusCode, res.Header.Get("X-Robots-Tag"))
			}
			if c.public == 503 && res.Header.Get("Retry-After") == "" {
				t.Errorf("%q: %s does not say when to come back", c.step, path)
			}
		}
		if got := h.visit(t, host, "GET", "/sitemap.xml", "", "").StatusCode; got != c.sitemap {
			t.Errorf("%q: the sitemap is %d, want %d", c.step, got, c.sitemap)
		}
		robots := read(t, h.visit(t, host, "GET", "/robots.txt", "", ""))
		if named := strings.Contains(robots, "Sitemap:"); named != (c.sitemap == 200) {
			t.Errorf("%q: robots.txt is %q", c.step, robots)
		}
		res := h.post(t, host, "/admin/settings", owner, save)
		body := read(t, res)
		if res.StatusCode != c.settings {
			t.Errorf("%q: saving settings is %d, want %d: %.300s", c.step, res.StatusCode, c.settings, body)
		}
		if c.settings == 403 && (!strings.Contains(body, "Nothing was saved") || !strings.Contains(body, `href="/admin/plan"`)) {
			t.Errorf("%q: the refusal does not say why, or how to pay: %s", c.step, body)
		}
		for _, path := range []string{"/admin", "/admin/plan", "/admin/orders.csv"} {
			res := h.call(t, host, "GET", path, owner)
			body := read(t, res)
			if res.StatusCode != c.get {
				t.Errorf("%q: %s is %d", c.step, path, res.StatusCode)
			}
			if path == "/admin" && c.banner != "" && !strings.Contains(body, c.banner) || path == "/admin" && c.banner == "" && strings.Contains(body, "console-banner") {
				t.Errorf("%q: the banner of %s is not the step's", c.step, path)
			}
		}
		if res := h.visit(t, host, "POST", job+"/apply", "name=x", ""); c.public == 200 && res.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%q: applying is %d, want the form's own refusal", c.step, res.StatusCode)
		}
	}
}

// While the console is read-only it takes the writes that are owed to others,
// the payment, and the export, and no other.
func TestWhatAReadOnlyConsoleTakes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "acme")
	h.sold(t, board, plans.Limits{})
	h.step(t, board, plans.ReadOnly)
	owner := h.handedOver(t, h.signedIn(t, board.ID, authz.Owner), board)
	// Who is signed in may leave, whatever the board owes.
	open := map[authz.Permission]bool{authz.Can("support", "manage"): true, authz.SignedIn: true, authz.Can("plan", "manage"): true, authz.Can("listing", "moderate"): true, authz.Can("report", "write"): true, authz.Can("order", "refund"): true, authz.Can("board", "export"): true}
	refused := 0
	for _, r := range (&admin.Admin{}).Routes() {
		if r.Method != route.POST || r.Path == "/admin/enter" || r.Path == "/admin/sign-out" {
			continue
		}
		res := h.call(t, "acme.localhost", r.Method, address(r.Path), owner)
		body := read(t, res)
		closed := res.StatusCode == http.StatusForbidden && strings.Contains(body, "read-only")
		if closed == open[r.Can] {
			t.Errorf("%s with %s: %d, closed: %v", r.Path, r.Can, res.StatusCode, closed)
		}
		if closed {
			refused++
		}
	}
	if refused < 30 {
		t.Errorf("only %d routes were refused", refused)
	}
	// Signing out is nobody's plan.
	if res := h.call(t, "acme.localhost", "POST", "/admin/sign-out", owner); res.StatusCode != http.StatusSeeOther {
		t.Errorf("signing out is %d", res.StatusCode)
	}
}

// What does not fit the plan is refused in words that say what to do.
func TestThePlanLimitsAtTheForms(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "acme")
	h.sold(t, board, plans.Limits{plans.Listings: 0, plans.Seats: 1, plans.Domains: 0})
	owner := h.handedOver(t, h.signedIn(t, board.ID, authz.Owner), board)
	listing := url.Values{"title": {"Crane driver"}, "company": {"Harbour"}, "employment_type": {"full_time"}, "workplace": {"remote"}, "countries": {"DE"},
		"description": {"Build cranes with us, day after day, at the harbour."}, "apply_method": {"board"}, "days": {"30"}}
	for path, c := range map[string]struct{ form, want string }{
		"/admin/listings":    {listing.Encode(), "allows 0 live listings"},
		"/admin/team/invite": {"email=new%40acme.example&role=editor", "allows 1 seats"},
		"/admin/domains":     {"host=jobs.acme.example", "no domain of your own"},
		"/admin/access":      {"mode=password&password=open+sesame+42", "no private board"},
		"/admin/mail":        {"domain=acme.example&local_part=jobs", "no mail from your own address"},
	} {
		res := h.post(t, "acme.localhost", path, owner, c.form)
		if body := read(t, res); res.StatusCode < 400 || !strings.Contains(body, c.want) {
			t.Errorf("%s is %d and does not say %q: %s", path, res.StatusCode, c.want, body)
		}
	}
}

// What was removed comes back as far as the plan has room, one by one or many at
// once; what does not fit stays as it is, and the notice says why.
func TestRestoringAsksThePlan(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "acme")
	h.sold(t, board, plans.Limits{plans.Listings: 2})
	owner := h.handedOver(t, h.signedIn(t, board.ID, authz.Owner), board)
	post := func(title string) {
		t.Helper()
		res := h.submit(t, "acme.localhost", "/admin/listings", owner, url.Values{"title": {title}, "company": {"Harbour"}, "employment_type": {"full_time"}, "workplace": {"remote"}, "countries": {"DE"},
			"description": {"Build cranes with us, day after day, at the harbour."}, "apply_method": {"board"}, "days": {"30"}})
		if res.StatusCode != http.StatusSeeOther {
			t.Fatalf("posting %s: %d %.800s", title, res.StatusCode, read(t, res))
		}
	}
	ids := func(state listings.State) (out []string) {
		t.Helper()
		err := h.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
			return tx.NewRaw(`SELECT id::text FROM listings WHERE tenant_id = ? AND state = ? ORDER BY id`, board.ID, string(state)).Scan(ctx, &out)
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	bulk := func(act string, ids []string) *url.URL {
		t.Helper()
		res := h.submit(t, "acme.localhost", "/admin/listings/bulk", owner, url.Values{"act": {act}, "id": ids})
		to, err := url.Parse(res.Header.Get("Location"))
		if err != nil || res.StatusCode != http.StatusSeeOther {
			t.Fatalf("%s: %d to %v: %.800s", act, res.StatusCode, to, read(t, res))
		}
		return to
	}
	post("Crane driver")
	post("Harbour pilot")
	both := ids(listings.Live)
	bulk("remove", both)
	post("Diver")
	if q := bulk("restore", both).Query(); q.Get("ok") != "listings.restore_full" || q.Get("n") != "1" {
		t.Errorf("the notice is %v, want one restored and a full plan", q)
	}
	left := ids(listings.Removed)
	if live := ids(listings.Live); len(live) != 2 || len(left) != 1 {
		t.Fatalf("live %v, removed %v; want two and one", live, left)
	}
	res := h.submit(t, "acme.localhost", "/admin/listings/"+left[0]+"/restore", owner, nil)
	if body := read(t, res); res.StatusCode != http.StatusConflict || !strings.Contains(body, "allows 2 live listings") {
		t.Errorf("one by itself: %d %.800s", res.StatusCode, body)
	}
	// Pausing frees no place, so going on needs none.
	live := ids(listings.Live)
	bulk("pause", live)
	if q := bulk("resume", live).Query(); q.Get("ok") != "listings.resume" || q.Get("n") != "2" {
		t.Errorf("going on: %v", q)
	}
	bulk("remove", live[:1])
	if q := bulk("restore", left).Query(); q.Get("ok") != "listings.restore" || q.Get("n") != "1" {
		t.Errorf("with room: %v", q)
	}
}

// What staff do to a board stands in its own log as the platform's act, where
// its admins read it, and in the platform's, which names the other line; the
// timeline shows it once.
func TestStaffActsStandInBothLogs(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "acme")
	p := h.sold(t, board, plans.Limits{})
	staffToken := h.signedIn(t, tenant.Nil, authz.Superadmin)
	at := "/staff/boards/" + board.ID.String()
	for path, form := range map[string]url.Values{"/suspend": {"reason": {"spam"}}, "/trial": {"days": {"3"}}, "/plan": {"plan": {p.ID.String()}}} {
		if res := h.submit(t, platformHost, at+path, staffToken, form); res.StatusCode != http.StatusSeeOther {
			t.Fatalf("%s: %d %.800s", path, res.StatusCode, read(t, res))
		}
	}
	for _, act := range []string{"board.suspend", "plan.trial_extended", "plan.assigned"} {
		own, platforms := h.lines(t, board.ID, act), h.lines(t, tenant.Nil, act)
		if len(own) == 0 || len(own) != len(platforms) {
			t.Fatalf("%s: %d lines in the board's log and %d in the platform's", act, len(own), len(platforms))
		}
		l, twin := own[0], platforms[0]
		if act != "plan.assigned" && (l.ActorKind != tenant.Staff || l.Actor() == "") {
			t.Errorf("%s: the board reads of %s %q", act, l.ActorKind, l.Actor())
		}
		if twin.Detail["board"] != board.ID.String() || twin.Detail[authz.BoardLine] != l.ID.String() || l.Detail["board"] != nil {
			t.Errorf("%s: the platform's line says %v, the board's is %s with %v", act, twin.Detail, l.ID, l.Detail)
		}
	}
	if body := read(t, h.call(t, platformHost, route.GET, at+"/timeline.csv?kind=audit", staffToken)); strings.Count(body, "board.suspend") != 1 {
		t.Errorf("the timeline shows the suspension %d times: %s", strings.Count(body, "board.suspend"), body)
	}
	owner := h.handedOver(t, h.signedIn(t, board.ID, authz.Owner), board)
	body := read(t, h.call(t, board.PlatformHost, route.GET, "/admin/audit?act=board.suspend", owner))
	if !strings.Contains(body, "Platform staff") || !strings.Contains(body, "spam") {
		t.Errorf("the board's admin reads: %.3000s", body)
	}
}

// An employer hears that the board is full before paying, in words that are not
// the platform's; the owner is told; room lets the same form through.
func TestAnEmployerMeetsAFullBoard(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "acme")
	p := h.sold(t, board, plans.Limits{plans.Listings: 0})
	_ = h.signedIn(t, board.ID, authz.Owner)
	free := &billing.Product{Name: "Free", Currency: "USD", DurationDays: 10, Active: true}
	err := h.DB.Write(h.Ctx(t, board), func(ctx context.Context, tx bun.IDB) error { return h.parts.Admin.Billing.CreateProduct(ctx, tx, free) })
	if err != nil {
		t.Fatal(err)
	}
	draft := url.Values{"title": {"Crane driver"}, "company_name": {"Harbour"}, "employment_type": {"full_time"}, "workplace": {"on_site"}, "city": {"Berlin"}, "country": {"DE"},
		"description": {"Build cranes with us, day after day, at the harbour."}, "apply_method": {"board"}, "email": {"boss@harbour.example"}}
	res := h.visit(t, "acme.localhost", "POST", "/post", draft.Encode(), "")
	at, err := url.Parse(res.Header.Get("Location"))
	if err != nil || !strings.HasSuffix(at.Path, "/preview") {
		t.Fatalf("the draft: %d to %q", res.StatusCode, res.Header.Get("Location"))
	}
	buy := "product=" + free.ID.String() + "&terms=1"
	for range 2 {
		res = h.visit(t, "acme.localhost", "POST", strings.Replace(at.Path, "/preview", "/products", 1), buy, "")
		if body := read(t, res); res.StatusCode != http.StatusConflict || !strings.Contains(body, "This job board is full") || strings.Contains(body, "plan") {
			t.Errorf("a full board: %d %.2000s", res.StatusCode, body)
		}
	}
	var mails, orders int
	count := func() {
		t.Helper()
		err := h.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
			return tx.NewRaw(`SELECT (SELECT count(*) FROM mails WHERE kind = 'plan-limit'), (SELECT count(*) FROM orders)`).Scan(ctx, &mails, &orders)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if count(); mails != 1 || orders != 0 {
		t.Errorf("%d mails to the owner and %d orders, want 1 and 0", mails, orders)
	}
	p.Limits = plans.Limits{plans.Listings: 1}
	if err := h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error { return h.plans.Save(ctx, tx, p) }); err != nil {
		t.Fatal(err)
	}
	if res = h.visit(t, "acme.localhost", "POST", strings.Replace(at.Path, "/preview", "/products", 1), buy, ""); res.StatusCode != http.StatusSeeOther {
		t.Errorf("with room: %d %.500s", res.StatusCode, read(t, res))
	}
	if count(); orders != 1 {
		t.Errorf("%d orders, want 1", orders)
	}
}

// The plan's page shows what a board is on, to whom it may pay and without
// Stripe; prices stand on the platform's page.
func TestThePlanIsShown(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "acme")
	p := h.sold(t, board, plans.Limits{plans.Listings: 1500})
	for role, manages := range map[string]bool{authz.Owner: true, authz.Admin: false, authz.Finance: false} {
		body := read(t, h.call(t, "acme.localhost", "GET", "/admin/plan", h.handedOver(t, h.signedIn(t, board.ID, role), board)))
		if !strings.Contains(body, "Harbour") || !strings.Contains(body, "0 of 1,500") || !strings.Contains(body, "$29.00") {
			t.Errorf("as %s: %s", role, body)
		}
		if strings.Contains(body, "/admin/plan/subscribe") != manages {
			t.Errorf("as %s the plan can be chosen: %v, want %v", role, !manages, manages)
		}
	}
	owner := h.handedOver(t, h.signedIn(t, board.ID, authz.Owner), board)
	var price string
	if err := h.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT id FROM plan_prices WHERE plan_id = ? AND every = 'month'`, p.ID).Scan(ctx, &price)
	}); err != nil {
		t.Fatal(err)
	}
	res := h.post(t, "acme.localhost", "/admin/plan/subscribe", owner, "price="+price)
	if body := read(t, res); res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "Stripe does not answer") || !strings.Contains(body, "Harbour") {
		t.Errorf("without Stripe: %d %.500s", res.StatusCode, body)
	}
	if body := h.get(t, platformHost, "/").Body.String(); !strings.Contains(body, "What it costs") || !strings.Contains(body, "1,500 live listings") || !strings.Contains(body, "$290.00") {
		t.Errorf("the landing page has no prices: %s", body)
	}
}

// Staff sell, edit and give plans by their forms.
func TestStaffEditPlans(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "acme")
	money, support := h.signedIn(t, tenant.Nil, authz.Billing), h.signedIn(t, tenant.Nil, authz.Support)
	form := url.Values{"name": {"Quay"}, "tagline_en": {"For crews."}, "percent": {"7.5"}, "fee_currency": {"USD"}, "fixed": {"0.30"}, "trial_days": {"30"}, "position": {"2"}, "listed": {"1"},
		"price_month_USD": {"49"}, "price_year_USD": {"490"}, "price_month_EUR": {"45"}, "limit_listings": {"20"}, "limit_storage": {"500"}, "feature_own_mail": {"1"}}
	bad := url.Values{"name": {""}, "percent": {"x"}, "trial_days": {"9999"}, "listed": {"1"}, "limit_seats": {"many"}, "price_month_USD": {"0.01"}}
	if res := h.post(t, platformHost, "/staff/plans", support, form.Encode()); res.StatusCode != http.StatusForbidden {
		t.Errorf("support makes a plan: %d", res.StatusCode)
	}
	if body := read(t, h.post(t, platformHost, "/staff/plans", money, bad.Encode())); !strings.Contains(body, `value="many"`) || strings.Count(body, "is-invalid") < 5 {
		t.Errorf("a bad form does not come back with its faults: %s", body)
	}
	if res := h.post(t, platformHost, "/staff/plans", money, form.Encode()); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("making a plan: %d %.600s", res.StatusCode, read(t, res))
	}
	offered, err := h.plans.Offered(t.Context())
	if err != nil || len(offered) != 1 {
		t.Fatalf("%d plans: %v", len(offered), err)
	}
	p := offered[0]
	if p.Limits[plans.Storage] != 500<<20 || p.Limits[plans.Listings] != 20 || p.FeeRule.PercentBP != 750 || p.FeeRule.Fixed != 30 || !p.Has(plans.OwnMail) || p.Price(plans.Month, "EUR").Amount != 4500 || p.TrialDays != 30 {
		t.Errorf("the plan is %+v", p)
	}
	edit := "/staff/plans/edit/" + p.ID.String()
	if body := read(t, h.call(t, platformHost, "GET", edit, money)); !strings.Contains(body, `value="7.5"`) || !strings.Contains(body, `value="500"`) || !strings.Contains(body, `value="0.3"`) {
		t.Errorf("the form does not show the plan: %s", body)
	}
	at := "/staff/boards/" + board.ID.String()
	for path, form := range map[string]string{"/plan": "plan=" + p.ID.String()} {
		if res := h.post(t, platformHost, at+path, money, form); res.StatusCode != http.StatusSeeOther {
			t.Errorf("%s: %d %.500s", path, res.StatusCode, read(t, res))
		}
	}
	if res := h.post(t, platformHost, at+"/comp", money, "comp_reason="); res.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("a gift without a reason: %d", res.StatusCode)
	}
	if res := h.post(t, platformHost, at+"/comp", money, "comp_reason=A+partner"); res.StatusCode != http.StatusSeeOther {
		t.Errorf("a gift: %d", res.StatusCode)
	}
	if body := read(t, h.call(t, platformHost, "GET", at, support)); !strings.Contains(body, "A partner") || !strings.Contains(body, "Quay") || strings.Contains(body, at+"/credit") {
		t.Errorf("the board's page for support: %s", body)
	}
	if res := h.post(t, platformHost, at+"/credit", money, "credit=5&currency=USD&credit_reason=x&once="+p.ID.String()); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a credit without Stripe: %d", res.StatusCode)
	}
	if res := h.post(t, platformHost, edit+"/archive", money, "archived=1"); res.StatusCode != http.StatusSeeOther {
		t.Errorf("archiving: %d", res.StatusCode)
	}
	if offered, _ = h.plans.Offered(t.Context()); len(offered) != 0 {
		t.Error("an archived plan is offered")
	}
}

// metered is the house's handler over a meter.
func (h *house) metered(t testing.TB, m *meter.Meter) http.Handler {
	t.Helper()
	h.parts.Site.Meter, h.parts.API.Meter, h.parts.Registry = m, m, prometheus.NewRegistry()
	handler, err := web.New(h.parts)
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

// Pages are counted when they are shown, from memory or not, and once; what is
// no page, or no answer, is not.
func TestViewsAndCallsAreCounted(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.caching(t, 8<<20)
	board := h.Board(t, "acme")
	from := demoBoards(t)[0]
	st := h.fill(t, board, &from, 5)
	m := meter.New(h.Platform, slog.New(slog.DiscardHandler), time.Now)
	h.handler = h.metered(t, m)
	job := listings.Path(st.listings[0].Slug, st.listings[0].PublicID)
	etag := ""
	for range 3 {
		for _, path := range []string{"/", job} {
			etag = h.get(t, "acme.localhost", path).Header().Get("ETag")
		}
	}
	for _, path := range []string{"/feed.rss", "/robots.txt", "/sitemap.xml", "/no-such-page", "/jobs/nothing-here", "/api/v1/jobs", "/api/v1/jobs"} {
		h.get(t, "acme.localhost", path)
	}
	if etag == "" {
		t.Error("pages have no entity tag")
	}
	if err := m.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int64{}
	err := h.DB.Read(h.Ctx(t, board), func(ctx context.Context, tx bun.IDB) error {
		for _, what := range []string{plans.Views, plans.APICalls} {
			days, err := h.plans.Days(ctx, tx, board.ID, what, 2)
			if err != nil {
				return err
			}
			for _, d := range days {
				counts[what] += d.Amount
			}
		}
		return nil
	})
	if err != nil || counts[plans.Views] != 6 || counts[plans.APICalls] != 2 {
		t.Errorf("counted %v: %v; want 6 views and 2 calls", counts, err)
	}
}

// BenchmarkMetering is cached pages with and without the meter; the two take
// turns. "ratio" is the throughput with over that without.
func BenchmarkMetering(b *testing.B) {
	h, all := benchBoards(b)
	requests := make([]*http.Request, len(all))
	for i, a := range all {
		requests[i] = request(a)
	}
	with := h.metered(b, meter.New(h.Platform, slog.New(slog.DiscardHandler), time.Now))
	without := h.metered(b, nil)
	w := &nowhere{head: http.Header{}}
	turns(b, func(which, n int) {
		handler := []http.Handler{with, without}[which]
		for i := range n {
			clear(w.head)
			handler.ServeHTTP(w, requests[i%len(requests)])
		}
	})
}
