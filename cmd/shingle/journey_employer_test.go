package main

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"shingle/internal/demo"
	"shingle/internal/testkit"
)

// post is what an employer types into the form.
type post struct {
	title, company, email, text, city, country, min, max string
}

// TestJourneyEmployer posts a job as a guest, is declined, pays, and then runs
// the listing from the desk behind the mailed link.
func TestJourneyEmployer(t *testing.T) {
	w := world(t)
	ctx := w.browser(t)
	base := w.board("orbit")
	p := post{title: "Lighthouse Keeper of Queues", company: "Beacon & Daughters", email: "jo@beacon.example", city: "Portland", country: "US", min: "120000", max: "140000",
		text: "You keep forty queues lit through the night. We look for patience, some Go and a liking for weather. We pay well and answer within a week."}

	visit(t, ctx, base+"/employers", 200)
	w.page(t, ctx, "employer-landing")
	visit(t, ctx, base+"/post", 200)
	w.page(t, ctx, "employer-post")
	typePost(t, ctx, p)
	typeIn(t, ctx, "salary_min", "150000") // more than the upper end
	send(t, ctx, "/post", http.StatusUnprocessableEntity)
	w.page(t, ctx, "employer-post-error")
	if valueOf(t, ctx, "title") != p.title || valueOf(t, ctx, "salary_min") != "150000" || valueOf(t, ctx, "email") != p.email || !strings.Contains(described(t, ctx), "forty queues") {
		t.Errorf("what was typed is lost after the error: %q %q %q %q", valueOf(t, ctx, "title"), valueOf(t, ctx, "salary_min"), valueOf(t, ctx, "email"), described(t, ctx))
	}
	typeIn(t, ctx, "salary_min", p.min)
	send(t, ctx, "/post", 200)
	says(t, ctx, "Preview", p.title, p.company, "forty queues")
	w.page(t, ctx, "employer-preview")
	press(t, ctx, `a.btn.primary[href$="/products"]`, 200)
	w.page(t, ctx, "employer-products")
	products := strings.TrimPrefix(where(ctx), base)

	choose(t, ctx, "terms", "yes")
	send(t, ctx, products, 200)
	if !strings.HasPrefix(where(ctx), w.board("stripe")+"/") {
		t.Fatalf("paying leads to %s, want the checkout page", where(ctx))
	}
	typeBuyer(t, ctx, "4000000000000002")
	press(t, ctx, `main form button`, http.StatusPaymentRequired)
	says(t, ctx, "declined", "Go back without paying")
	testkit.Screenshot(t, ctx, "employer-declined", 1280)
	press(t, ctx, `main p:last-child > a`, 200)
	if !strings.Contains(where(ctx), "/products") {
		t.Fatalf("the way back leads to %s, want the products", where(ctx))
	}
	w.page(t, ctx, "employer-came-back")
	choose(t, ctx, "terms", "yes")
	send(t, ctx, products, 200)
	typeBuyer(t, ctx, "4242424242424242")
	press(t, ctx, `main form button`, 200)
	says(t, ctx, "Your listing is live", p.title, p.email)
	w.page(t, ctx, "employer-live")
	press(t, ctx, `main a.btn.primary`, 200)
	says(t, ctx, p.title)
	listing := where(ctx)
	w.mail(t, p.email, "Receipt")
	w.mail(t, p.email, "is live")

	applyTo(t, w, listing, "Nils Ferro", "nils.ferro@seekers.example")
	visit(t, ctx, base+"/sign-in", 200)
	typeIn(t, ctx, "email", p.email)
	send(t, ctx, "/sign-in", 200)
	w.signInByMail(t, ctx, p.email)
	says(t, ctx, p.title, "Live")
	w.page(t, ctx, "employer-desk")
	runDesk(t, w, ctx, p)
}

// runDesk edits, pauses, resumes, reads applicants and orders, and fills the job.
func runDesk(t *testing.T, w *devWorldT, ctx context.Context, p post) { //nolint:revive // t first, as in testkit
	t.Helper()
	press(t, ctx, `a.row-link`, 200)
	own := strings.TrimPrefix(where(ctx), w.board("orbit"))
	w.page(t, ctx, "employer-listing")
	typeIn(t, ctx, "title", p.title+", Nights")
	send(t, ctx, own, 200)
	says(t, ctx, "Your changes are saved.", p.title+", Nights")
	act := func(name, said string) {
		t.Helper()
		do(t, ctx, sure)
		press(t, ctx, `form:has(input[value="`+name+`"]) button`, 200)
		says(t, ctx, said)
	}
	act("pause", "The listing is paused.")
	w.page(t, ctx, "employer-paused")
	act("resume", "The listing is online again.")

	visit(t, ctx, w.board("orbit")+own+"/applicants", 200)
	says(t, ctx, "Nils Ferro")
	w.page(t, ctx, "employer-applicants")
	if truth(t, ctx, `!document.querySelector('a[href$="/applicants.csv"]')`) {
		t.Error("no link to the applicants as CSV")
	}
	status, csv := fetch(t, ctx, own+"/applicants.csv")
	if status != 200 || !strings.Contains(csv, "nils.ferro@seekers.example") {
		t.Errorf("the CSV answers %d:\n%s", status, csv)
	}
	press(t, ctx, `a.row-link`, 200)
	w.page(t, ctx, "employer-application")
	choose(t, ctx, "status", "interview")
	press(t, ctx, `form[action$="/status"] button`, 200)
	says(t, ctx, "The status is saved.")
	typeIn(t, ctx, "body", "Come on Tuesday at ten.")
	press(t, ctx, `form[action$="/reply"] button`, 200)
	says(t, ctx, "Your reply is on its way.", "Come on Tuesday at ten.")
	if m := w.mail(t, "nils.ferro@seekers.example", "answered your application"); !strings.Contains(m.Text, "Come on Tuesday at ten.") {
		t.Errorf("the reply's mail says:\n%s", m.Text)
	}
	visit(t, ctx, w.board("orbit")+"/employers/orders", 200)
	says(t, ctx, "Paid", "$199")
	w.page(t, ctx, "employer-orders")
	visit(t, ctx, href(t, ctx, `td a[href*="/invoices/"]`), 200)
	says(t, ctx, "$199", p.email)

	// Time runs out, and the listing is bought again.
	w.sql(t, `UPDATE listings SET ends_at = now() - interval '1 minute' WHERE id = $1`, own[strings.LastIndexByte(own, '/')+1:])
	w.sql(t, `UPDATE entitlements SET ends_at = now() - interval '1 minute' WHERE listing_id = $1`, own[strings.LastIndexByte(own, '/')+1:])
	w.soon(t, "listing.sweep")
	w.mail(t, p.email, "has ended")
	visit(t, ctx, w.board("orbit")+own, 200)
	says(t, ctx, "Expired")
	w.page(t, ctx, "employer-expired")
	press(t, ctx, `form[action$="/relist"] button`, 200)
	w.page(t, ctx, "employer-relist")
	choose(t, ctx, "terms", "yes")
	press(t, ctx, `main form button`, 200)
	typeBuyer(t, ctx, "4242424242424242")
	press(t, ctx, `main form button`, 200)
	says(t, ctx, "Your listing is live")
	visit(t, ctx, w.board("orbit")+own, 200)
	act("fill", "The listing is marked as filled.")
	w.page(t, ctx, "employer-filled")
}

// sure answers the page's questions with yes.
var sure = chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
	_, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`(window.confirm = () => true, true)`))
	return err
})

func typePost(t *testing.T, ctx context.Context, p post) { //nolint:revive // t first, as in testkit
	t.Helper()
	typeIn(t, ctx, "title", p.title)
	typeIn(t, ctx, "city", p.city)
	choose(t, ctx, "country", p.country)
	typeIn(t, ctx, "salary_min", p.min)
	typeIn(t, ctx, "salary_max", p.max)
	typeIn(t, ctx, "company_name", p.company)
	typeIn(t, ctx, "email", p.email)
	do(t, ctx, chromedp.Click(chromedp.CSS(`trix-editor`)), chromedp.SendKeys(chromedp.CSS(`trix-editor`), p.text))
	// The editor paints what was typed at its own time and takes the caret back as
	// it does: what is typed elsewhere meanwhile would end up in it.
	testkit.Eventually(t, patience, func() bool {
		return truth(t, ctx, `new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r(document.querySelector("[name=description]").value.includes(`+strconv.Quote(p.text[len(p.text)-20:])+`)))))`)
	})
}

// described is what the editor holds.
func described(t *testing.T, ctx context.Context) string { //nolint:revive // t first, as in testkit
	t.Helper()
	text, err := chromedp.Run(ctx, chromedp.TextContent(chromedp.CSS(`trix-editor`)))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// typeBuyer fills in the checkout page with that test card.
func typeBuyer(t *testing.T, ctx context.Context, card string) { //nolint:revive // t first, as in testkit
	t.Helper()
	choose(t, ctx, "card", card)
	typeIn(t, ctx, "name", "Jo Beacon")
	choose(t, ctx, "country", "US")
	typeIn(t, ctx, "line1", "1 Cape Road")
	typeIn(t, ctx, "city", "Portland")
	typeIn(t, ctx, "postcode", "04101")
}

// applyTo applies for a listing in a browser of its own.
func applyTo(t *testing.T, w *devWorldT, listing, name, email string) {
	t.Helper()
	ctx := w.browser(t)
	visit(t, ctx, listing+"/apply", 200)
	typeIn(t, ctx, "name", name)
	typeIn(t, ctx, "email", email)
	choose(t, ctx, "consent", "yes")
	attach(t, ctx, "cv", "cv.pdf", demo.CV(name, []string{"Kept lights."}))
	press(t, ctx, `main form[action$="/apply"] button`, 200)
}
