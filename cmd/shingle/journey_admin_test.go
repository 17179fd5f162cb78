package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"shingle/internal/testkit"
)

// atConsole signs an operator in on the platform's host, as somebody does who
// asked for the board's console first, and ends on its dashboard.
func atConsole(t *testing.T, ctx context.Context, w *devWorldT, slug, email string) { //nolint:revive // t first, as in testkit
	t.Helper()
	visit(t, ctx, w.board(slug)+"/admin", 200)
	if at := where(ctx); !strings.HasPrefix(at, w.platform+"/sign-in") {
		t.Fatalf("the console sends a stranger to %s", at)
	}
	signIn(t, ctx, email)
	arrives(t, ctx, w.board(slug)+"/admin")
}

// signIn fills in the sign-in page on show.
func signIn(t *testing.T, ctx context.Context, email string) { //nolint:revive // t first, as in testkit
	t.Helper()
	fill(t, ctx, "email", email, "password", demoPassword)
	do(t, ctx, chromedp.Click(`form[action="/sign-in"] button.btn-primary`))
}

// arrives waits until the browser shows that address, whatever its query.
func arrives(t *testing.T, ctx context.Context, address string) { //nolint:revive // t first, as in testkit
	t.Helper()
	testkit.Eventually(t, patience, func() error {
		state, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.readyState + " " + location.origin + location.pathname`))
		if err != nil {
			return err
		}
		if state != "complete "+address {
			return fmt.Errorf("at %q, want %q", state, address)
		}
		return nil
	})
}

// fill writes values into the fields of that name: name, value, name, value.
func fill(t *testing.T, ctx context.Context, pairs ...string) { //nolint:revive // t first, as in testkit
	t.Helper()
	for i := 0; i+1 < len(pairs); i += 2 {
		sel := fmt.Sprintf(`[name=%q]`, pairs[i])
		do(t, ctx, chromedp.SetValue(sel, pairs[i+1]))
	}
}

// agrees answers the page's questions with yes, and with the word where one is
// to be typed.
func agrees(t *testing.T, ctx context.Context, word string) { //nolint:revive // t first, as in testkit
	t.Helper()
	err := chromedp.Listen(ctx, func(ev any) {
		if _, ok := ev.(*page.EventJavascriptDialogOpening); !ok {
			return
		}
		go func() {
			_, _ = chromedp.Call(ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true, PromptText: word})
		}()
	})
	if err != nil {
		t.Fatal(err)
	}
}

// href is the address of the first link that matches.
func href(t *testing.T, ctx context.Context, sel string) string { //nolint:revive // t first, as in testkit
	t.Helper()
	to, err := chromedp.Run(ctx, chromedp.Evaluate[string](fmt.Sprintf(`(document.querySelector(%q) || {}).href || ""`, sel)))
	if err != nil {
		t.Fatal(err)
	}
	if to == "" {
		t.Fatalf("no link %s on %s:\n%s", sel, where(ctx), body(t, ctx))
	}
	return to
}

// truth evaluates a condition in the page.
func truth(t *testing.T, ctx context.Context, js string) bool { //nolint:revive // t first, as in testkit
	t.Helper()
	ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](js, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestJourneyAdminDesk(t *testing.T) {
	w := world(t)
	ctx := w.browser(t)
	agrees(t, ctx, "")
	atConsole(t, ctx, w, "tidal", "owner@tidal.example")
	w.page(t, ctx, "admin-dashboard")
	admin := w.board("tidal") + "/admin"

	t.Run("listings", func(t *testing.T) {
		visit(t, ctx, admin+"/listings", 200)
		w.page(t, ctx, "admin-listings")
		visit(t, ctx, admin+"/listings?state=live&q=engineer", 200) // few rows are quicker to look at
		do(t, ctx, chromedp.Click(`tbody tr:nth-child(1) input[name=id]`), chromedp.Click(`tbody tr:nth-child(2) input[name=id]`))
		if !truth(t, ctx, `document.querySelector("[data-bulk-count]").textContent === "2"`) {
			t.Errorf("the bar does not count two")
		}
		press(t, ctx, `button[name=act][value=pause]`, 200)
		says(t, ctx, "2")
		w.page(t, ctx, "admin-listings-bulk")
		press(t, ctx, `.console-notice form button`, 200)
		visit(t, ctx, admin+"/listings?q="+url.QueryEscape("engineer"), 200)
		says(t, ctx, "engineer")
		visit(t, ctx, admin+"/listings?q=zzzzqqq", 200)
		w.page(t, ctx, "admin-listings-none")
	})

	t.Run("post without paying", func(t *testing.T) {
		visit(t, ctx, admin+"/listings/new", 200)
		w.page(t, ctx, "admin-post")
		fill(t, ctx, "title", "Ground Station Planner", "company", "Quiet Antenna", "places", "Lisbon, PT", "days", "20",
			"description", "Plan which dish listens to which satellite, tell the teams, and keep the calendar honest.\n\n- Calm nights\n- Good tea")
		do(t, ctx, chromedp.Evaluate[chromedp.Void](`(() => {
			const pick = (name, i) => { const s = document.querySelector("select[name=" + name + "]"); if (s && !s.value) s.value = s.options[i].value };
			pick("category", 1); pick("employment_type", 1); pick("workplace", 1); pick("apply_method", 0);
		})()`))
		press(t, ctx, `form[action="/admin/listings"] button.btn-primary`, 200)
		says(t, ctx, "Ground Station Planner", "Live")
		w.page(t, ctx, "admin-listing")
		public := href(t, ctx, `dd a[href*="/jobs/"]`)
		visit(t, ctx, public, 200)
		says(t, ctx, "Ground Station Planner", "Quiet Antenna")
	})

	t.Run("import", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "jobs.csv")
		category := w.demo(t, "tidal").Categories[0].Name
		content := "title,company,category,employment_type,workplace,places,description,reference\n" +
			`Dish Painter,Quiet Antenna,"` + category + `",full_time,on_site,"Lisbon, PT","Keep the dishes white and the bolts tight, in all weathers and seasons.",QA-1` + "\n" +
			`,Quiet Antenna,"` + category + `",full_time,on_site,"Lisbon, PT","A line without a title, which the report must name with its column.",QA-2` + "\n" +
			`Dish Polisher,Quiet Antenna,Polishing,full_time,on_site,"Lisbon, PT","Polish what the painter has painted, once it is dry and not a day before.",QA-3` + "\n"
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		visit(t, ctx, admin+"/imports", 200)
		w.page(t, ctx, "admin-imports")
		do(t, ctx, chromedp.SetUploadFiles(`input[name=file]`, []string{file}))
		press(t, ctx, `form[action="/admin/imports"] button.btn-primary`, 200)
		says(t, ctx, "Dish Painter", "title", "Give the job a title.", "This board has no category “Polishing”.")
		w.page(t, ctx, "admin-import-report")
		press(t, ctx, `form[action$="/run"] button`, 200)
		report := where(ctx)
		testkit.Eventually(t, patience, func() bool {
			return truth(t, ctx, `!!document.querySelector("#import-state .alert-success")`)
		})
		visit(t, ctx, report, 200)
		visit(t, ctx, admin+"/listings?q="+url.QueryEscape("Dish Painter"), 200)
		says(t, ctx, "Dish Painter")
	})

	t.Run("products", func(t *testing.T) {
		visit(t, ctx, admin+"/products", 200)
		w.page(t, ctx, "admin-products")
		visit(t, ctx, admin+"/products/new", 200)
		do(t, ctx, chromedp.SendKeys(`[name=name]`, "Weekend posting"))
		fill(t, ctx, "duration_days", "3", "featured_days", "1")
		fill(t, ctx, "price", "59.50")
		do(t, ctx, chromedp.SendKeys(`[name=description]`, "For jobs that begin on Monday."))
		testkit.Eventually(t, patience, func() bool {
			return truth(t, ctx, `document.querySelector("#preview").innerText.includes("59.50")`)
		})
		w.page(t, ctx, "admin-product-new")
		press(t, ctx, `form[data-dirty] button.btn-primary`, 200)
		visit(t, ctx, admin+"/products", 200)
		says(t, ctx, "Weekend posting", "59.50")
		do(t, ctx, chromedp.Evaluate[chromedp.Void](`[...document.querySelectorAll("a.row-link")].find(a => a.textContent === "Weekend posting").dataset.it = "1"`))
		press(t, ctx, `a[data-it]`, 200)
		fill(t, ctx, "price", "0.10")
		press(t, ctx, `form[data-dirty] button.btn-primary`, 422)
		says(t, ctx, "Stripe charges £0.30 or more")
		w.page(t, ctx, "admin-product-error")
		fill(t, ctx, "price", "61")
		press(t, ctx, `form[data-dirty] button.btn-primary`, 200)
		says(t, ctx, "61")
	})

	t.Run("orders and payouts", func(t *testing.T) {
		visit(t, ctx, admin+"/orders", 200)
		w.page(t, ctx, "admin-orders")
		visit(t, ctx, admin+"/payouts", 200)
		w.page(t, ctx, "admin-payouts")
	})

	t.Run("legal pages and settings", func(t *testing.T) {
		visit(t, ctx, admin+"/pages", 200)
		w.page(t, ctx, "admin-pages")
		press(t, ctx, `a.row-link[href*="privacy"]`, 200)
		w.page(t, ctx, "admin-page-edit")
		do(t, ctx, chromedp.SetValue(`[name=body]`, "<h2>Privacy</h2><p>We keep what you send for ninety nights.</p>"))
		press(t, ctx, `.save-bar button.btn-primary`, 200)
		visit(t, ctx, w.board("tidal")+"/pages/privacy", 200)
		says(t, ctx, "ninety nights")
		visit(t, ctx, admin+"/settings", 200)
		w.page(t, ctx, "admin-settings")
		fill(t, ctx, "tagline", "Work above the clouds")
		press(t, ctx, `.save-bar button.btn-primary`, 200)
		if !truth(t, ctx, `document.querySelector("[name=tagline]").value === "Work above the clouds"`) {
			t.Errorf("the tagline was not kept")
		}
	})

	for _, p := range []string{"companies", "categories", "reports", "review", "team"} {
		t.Run(p, func(t *testing.T) {
			visit(t, ctx, admin+"/"+p, 200)
			w.page(t, ctx, "admin-"+p)
		})
	}
}

// TestJourneyAdminLook: draft, preview, publish, roll back.
func TestJourneyAdminLook(t *testing.T) {
	w := world(t)
	ctx := w.browser(t)
	agrees(t, ctx, "")
	atConsole(t, ctx, w, "tidal", "owner@tidal.example")
	look := w.board("tidal") + "/admin/look"
	primary := func() string {
		t.Helper()
		visit(t, ctx, w.board("tidal")+"/", 200)
		c, err := chromedp.Run(ctx, chromedp.Evaluate[string](`getComputedStyle(document.documentElement).getPropertyValue("--primary").trim()`))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	before := primary()
	sheet := packOf(t, ctx)
	visit(t, ctx, look, 200)
	w.page(t, ctx, "admin-look")
	fill(t, ctx, "light.primary", "#f2a7d8", "hero_title", "Jobs where the tide comes in")
	other, err := chromedp.Run(ctx, chromedp.Evaluate[string](`(() => { const s = document.querySelector("[name=preset]"), pack = v => v.split("/")[0]; return [...s.options].find(o => pack(o.value) !== pack(s.value)).value })()`))
	if err != nil {
		t.Fatal(err)
	}
	choose(t, ctx, "preset", other)
	logo := filepath.Join(t.TempDir(), "wave.png")
	wave := image.NewPaletted(image.Rect(0, 0, 40, 40), color.Palette{color.White, color.RGBA{0x7a, 0x1f, 0x5c, 0xff}})
	draw.Draw(wave, image.Rect(0, 20, 40, 40), image.NewUniform(wave.Palette[1]), image.Point{}, draw.Src)
	var drawn bytes.Buffer
	if err := png.Encode(&drawn, wave); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(logo, drawn.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	do(t, ctx, chromedp.SetUploadFiles(`input[name=logo]`, []string{logo}))
	press(t, ctx, `form[action="/admin/look"] .save-bar button`, 200)
	w.page(t, ctx, "admin-look-draft")
	frame := `document.querySelector('iframe[src="/admin/look/preview"]').contentDocument.body.innerText.includes("Jobs where the tide comes in")`
	testkit.Eventually(t, patience, func() bool { return truth(t, ctx, frame) })
	if got := primary(); got != before {
		t.Errorf("visitors see a draft: %q, was %q", got, before)
	}
	visit(t, ctx, look+"/preview", 200)
	says(t, ctx, "Jobs where the tide comes in")
	visit(t, ctx, look, 200)
	press(t, ctx, `form[action="/admin/look/publish"] button`, 200)
	after := primary()
	if after == before {
		t.Errorf("after publishing the colour is still %q", after)
	}
	says(t, ctx, "Jobs where the tide comes in")
	if !truth(t, ctx, `[...document.images].some(i => i.naturalWidth === 40 && i.complete)`) {
		t.Error("the new logo is not on the page")
	}
	if got := packOf(t, ctx); got == sheet {
		t.Errorf("after publishing another pack the page still wears %q", got)
	}
	w.page(t, ctx, "admin-look-published")
	visit(t, ctx, look, 200)
	press(t, ctx, `form[action*="/roll-back"] button`, 200)
	if got := primary(); got != before {
		t.Errorf("after rolling back the colour is %q, want %q", got, before)
	}
	if got := packOf(t, ctx); got != sheet {
		t.Errorf("after rolling back the page wears %q, want %q", got, sheet)
	}
}

// packOf names the style sheets that the page wears, without their versions.
func packOf(t *testing.T, ctx context.Context) string { //nolint:revive // t first, as in testkit
	t.Helper()
	names, err := chromedp.Run(ctx, chromedp.Evaluate[string](`[...document.querySelectorAll("link[rel=stylesheet]")].map(l => l.pathname || new URL(l.href).pathname).filter(p => p.includes("/assets/")).map(p => p.replace(/[.-][0-9a-f]{6,}/, "")).join(" ")`))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestJourneyAdminTeam: an invitation by mail is accepted by somebody new.
func TestJourneyAdminTeam(t *testing.T) {
	w := world(t)
	ctx := w.browser(t)
	agrees(t, ctx, "")
	atConsole(t, ctx, w, "orbit", "owner@orbit.example")
	team := w.board("orbit") + "/admin/team"
	visit(t, ctx, team, 200)
	const guest = "new.editor@people.example"
	fill(t, ctx, "email", guest)
	do(t, ctx, chromedp.SetValue(`form[action="/admin/team/invite"] select[name=role]`, "editor"))
	press(t, ctx, `form[action="/admin/team/invite"] button.btn-primary`, 200)
	says(t, ctx, guest)
	w.page(t, ctx, "admin-team-invited")

	invited := w.browser(t)
	visit(t, invited, link(t, w.mail(t, guest, ""), "/invitation"), 200)
	w.page(t, invited, "admin-invitation")
	fill(t, invited, "name", "Nell Editor")
	do(t, invited, chromedp.Click(`form[action="/invitation"] button`))
	arrives(t, invited, w.board("orbit")+"/admin")
	visit(t, invited, w.board("orbit")+"/admin/listings/new", 200)
	visit(t, invited, w.board("orbit")+"/admin/orders", 403)
	w.page(t, invited, "admin-forbidden")
	visit(t, ctx, team, 200)
	says(t, ctx, "Nell Editor")

	// As a viewer they see and change nothing, from the next click on.
	do(t, ctx, chromedp.SetValue(mark(t, ctx, `tr:has(select)`, guest)+` select`, "viewer"))
	press(t, ctx, `[data-walk] form[action$="/role"] button`, 200)
	visit(t, invited, w.board("orbit")+"/admin/listings/new", 403)
	visit(t, invited, w.board("orbit")+"/admin/listings?state=live", 200)
	w.page(t, invited, "admin-viewer-listings")
	if truth(t, invited, `!!document.querySelector('button[name=act], a[href="/admin/listings/new"]')`) {
		t.Errorf("a viewer is offered what a viewer may not do:\n%s", body(t, invited))
	}
	visit(t, invited, href(t, invited, `a.row-link`), 200)
	w.page(t, invited, "admin-viewer-listing")
	if status, text := posts(t, invited, "/admin/settings", "name=Mine"); status != 403 {
		t.Errorf("a viewer who posts the settings gets %d:\n%s", status, text)
	}
	visit(t, invited, w.board("orbit")+"/admin/settings", 200)
	if truth(t, invited, `!!document.querySelector("main form[action='/admin/settings'] button")`) {
		t.Error("a viewer is offered to save the settings")
	}
	visit(t, invited, w.board("orbit")+"/admin/orders", 403)

	// Removed, the next page is the sign-in's or a refusal.
	visit(t, ctx, team, 200)
	press(t, ctx, mark(t, ctx, `tr:has(select)`, guest)+` form[action$="/remove"] button`, 200)
	res, err := chromedp.RunResponse(invited, chromedp.Navigate(w.board("orbit")+"/admin"))
	if err != nil {
		t.Fatal(err)
	}
	if res.Status == 200 && strings.HasPrefix(where(invited), w.board("orbit")+"/admin") {
		t.Errorf("who was removed is still let in:\n%s", body(t, invited))
	}
	w.page(t, invited, "admin-removed")
}

// posts sends a form of the page's own origin and returns the answer.
func posts(t *testing.T, ctx context.Context, path, form string) (int, string) { //nolint:revive // t first, as in testkit
	t.Helper()
	got, err := chromedp.Run(ctx, chromedp.Evaluate[[]any](fmt.Sprintf(
		`fetch(%q, {method: "POST", body: new URLSearchParams(%q), redirect: "manual"}).then(async r => [r.status, (await r.text()).slice(0, 2000)])`, path, form), chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	return int(got[0].(float64)), got[1].(string)
}
