package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"shingle/internal/testkit"
)

// byMailAtConsole signs an operator in who has no password, by the mailed link.
func byMailAtConsole(t *testing.T, ctx context.Context, w *devWorldT, slug, email string) { //nolint:revive // t first, as in testkit
	t.Helper()
	visit(t, ctx, w.board(slug)+"/admin", 200)
	fill(t, ctx, "email", email)
	press(t, ctx, `button[formaction="/sign-in/mail"]`, 200)
	visit(t, ctx, link(t, w.mail(t, email, "sign in"), "/sign-in/link"), 200)
	do(t, ctx, chromedp.Click(`form[action="/sign-in/link"] button`))
	arrives(t, ctx, w.board(slug)+"/admin")
}

// atDesk signs an employer in by the mailed link and ends on the desk.
func atDesk(t *testing.T, ctx context.Context, w *devWorldT, slug, email, subject string) { //nolint:revive // t first, as in testkit
	t.Helper()
	visit(t, ctx, w.board(slug)+"/sign-in", 200)
	typeIn(t, ctx, "email", email)
	send(t, ctx, "/sign-in", 200)
	visit(t, ctx, link(t, w.mail(t, email, subject), "token="), 200)
	press(t, ctx, `main form button`, 200)
}

// mark finds the first element whose text holds the words and names it, for
// clicks; it fails when there is none.
func mark(t *testing.T, ctx context.Context, sel, words string) string { //nolint:revive // t first, as in testkit
	t.Helper()
	if !truth(t, ctx, fmt.Sprintf(`(() => {
		document.querySelectorAll("[data-walk]").forEach(e => e.removeAttribute("data-walk"));
		const el = [...document.querySelectorAll(%q)].find(e => e.textContent.includes(%q));
		if (el) el.dataset.walk = "1";
		return !!el;
	})()`, sel, words)) {
		t.Fatalf("%s has no %s with %q:\n%s", where(ctx), sel, words, body(t, ctx))
	}
	return `[data-walk]`
}

// TestJourneySelling opens a board from the command line, in a currency without
// decimals: what can be sold before Stripe is connected, connecting it, a card
// that the bank asks about, a refund, and moderation turned on.
func TestJourneySelling(t *testing.T) {
	w := world(t)
	const slug, owner = "sakura", "owner@sakura.example"
	host := out(t, w.shell(t, `exec "$1" board create --slug sakura --name "Sakura Jobs" --owner owner@sakura.example --currency jpy --locale en`))
	if host != slug+".localhost\n" {
		t.Fatalf("the command prints %q, want the board's host", host)
	}
	boss := w.browser(t)
	agrees(t, boss, "")
	visit(t, boss, link(t, w.mail(t, owner, "Sakura Jobs is ready"), "://"), 200)
	byMailAtConsole(t, boss, w, slug, owner)
	sellFirst(t, w, boss, slug)
	guest := w.browser(t)
	postFree(t, w, guest, slug)
	connectStripe(t, w, boss, slug)

	p := post{title: "Keeper of the Tea House", company: "Matsu Tea", email: "hana@matsu.example", city: "Kyoto", country: "JP", min: "4200000", max: "5100000",
		text: "You open the house at six, choose the cups for the season and know every guest by the second visit. We close on Tuesdays and in the rain."}
	toProducts(t, w, guest, slug, p)
	w.page(t, guest, "selling-products")
	buyAtBank(t, w, guest, p)
	says(t, guest, "Your listing is live", "¥30,000")
	press(t, guest, `main a.btn.primary`, 200)
	public := where(guest)
	receipt := w.mail(t, p.email, "Receipt: ¥30,000")
	if !strings.Contains(receipt.Text, "¥30,000") {
		t.Errorf("the receipt says:\n%s", receipt.Text)
	}
	refundOrder(t, w, boss, slug, p, public)
	moderate(t, w, boss, guest, slug)
}

// sellFirst makes a paid and a free product on a board without a Stripe account.
func sellFirst(t *testing.T, w *devWorldT, boss context.Context, slug string) { //nolint:revive // t first, as in testkit
	t.Helper()
	admin := w.board(slug) + "/admin"
	visit(t, boss, admin+"/products", 200)
	w.page(t, boss, "selling-first-products")
	visit(t, boss, admin+"/products/new", 200)
	fill(t, boss, "name", "Spring offer", "price", "30000.50")
	press(t, boss, `form[data-dirty] button.btn-primary`, http.StatusUnprocessableEntity)
	says(t, boss, "JPY has no decimals", "30000")
	w.page(t, boss, "selling-price-error")
	if got := valueOf(t, boss, "price"); got != "30000.50" {
		t.Errorf("the refused price shows as %q", got)
	}
	fill(t, boss, "price", "10") // less than Stripe takes in yen
	press(t, boss, `form[data-dirty] button.btn-primary`, http.StatusUnprocessableEntity)
	says(t, boss, "Stripe charges ¥50 or more")
	fill(t, boss, "price", "30000")
	press(t, boss, `form[data-dirty] button.btn-primary`, 200)
	says(t, boss, "¥30,000", "¥3,000", "¥27,000")
	visit(t, boss, admin+"/products/new", 200)
	fill(t, boss, "name", "Notice board", "price", "0", "duration_days", "7")
	press(t, boss, `form[data-dirty] button.btn-primary`, 200)
	says(t, boss, "Notice board", "Free")
	w.page(t, boss, "selling-products-admin")
}

// toProducts posts as a guest up to the choice of a product.
func toProducts(t *testing.T, w *devWorldT, guest context.Context, slug string, p post) { //nolint:revive // t first, as in testkit
	t.Helper()
	visit(t, guest, w.board(slug)+"/post", 200)
	typePost(t, guest, p)
	send(t, guest, "/post", 200)
	says(t, guest, "Preview", p.title)
	press(t, guest, `a.btn.primary[href$="/products"]`, 200)
}

// postFree posts with a link to apply while the board cannot take payments.
func postFree(t *testing.T, w *devWorldT, guest context.Context, slug string) { //nolint:revive // t first, as in testkit
	t.Helper()
	p := post{title: "Gardener for One Spring", company: "Moss & Stone", email: "ken@moss.example", city: "Nara", country: "JP", min: "300000", max: "320000",
		text: "From March to June you keep four hundred years of moss green. A rake, a rain coat and a lunch under the old pine are yours."}
	visit(t, guest, w.board(slug)+"/post", 200)
	typePost(t, guest, p)
	choose(t, guest, "salary_period", "month")
	choose(t, guest, "apply_method", "link")
	typeIn(t, guest, "apply_url", "https://moss.example/spring")
	send(t, guest, "/post", 200)
	press(t, guest, `a.btn.primary[href$="/products"]`, 200)
	says(t, guest, "This board can't take payments yet: its owner is still setting them up", "I order this for my company", "¥30,000", "Free")
	w.page(t, guest, "selling-blocked")
	if !truth(t, guest, `[...document.querySelectorAll("label.pickone")].every(l => l.querySelector("input").disabled === l.textContent.includes("¥"))`) {
		t.Errorf("want the paid products off and the free ones on")
	}
	do(t, guest, chromedp.Click(mark(t, guest, `label.pickone`, "Notice board")))
	choose(t, guest, "terms", "yes")
	send(t, guest, strings.TrimPrefix(where(guest), w.board(slug)), 200)
	says(t, guest, "Your listing is live")
	w.page(t, guest, "selling-free-live")
	press(t, guest, `main a.btn.primary`, 200)
	if to := href(t, guest, `main a.btn.primary`); !strings.HasPrefix(to, "https://moss.example/spring") {
		t.Errorf("applying leads to %s", to)
	}
}

// connectStripe goes to Stripe's form and back: left, sent for checking, done.
func connectStripe(t *testing.T, w *devWorldT, boss context.Context, slug string) { //nolint:revive // t first, as in testkit
	t.Helper()
	payouts := w.board(slug) + "/admin/payouts"
	secondFactor(t, w, boss)
	visit(t, boss, payouts, 200)
	arrives(t, boss, payouts) // by the hand-over
	says(t, boss, "Not ready to sell", "No Stripe account is connected yet.")
	w.page(t, boss, "selling-payouts-none")
	for _, step := range []struct{ answer, said string }{
		{"later", "Stripe's form is not filled in completely."},
		{"checking", "Stripe holds payments back until it has what it asks for."},
		{"complete", "Ready to sell"},
	} {
		press(t, boss, `form[action="/admin/payouts/onboard"] button`, 200)
		if at := where(boss); !strings.HasPrefix(at, w.board("stripe")+"/connect/") {
			t.Fatalf("connecting leads to %s, want Stripe's form", at)
		}
		if step.answer == "later" {
			w.page(t, boss, "stripe-onboarding")
		}
		press(t, boss, `button[value="`+step.answer+`"]`, 200)
		if at := where(boss); !strings.HasPrefix(at, payouts) {
			t.Fatalf("Stripe's form leads back to %s", at)
		}
		says(t, boss, step.said)
		w.page(t, boss, "selling-payouts-"+step.answer)
	}
}

// buyAtBank pays with a card that the bank asks about: refused first, then approved.
func buyAtBank(t *testing.T, w *devWorldT, guest context.Context, p post) { //nolint:revive // t first, as in testkit
	t.Helper()
	paid := mark(t, guest, `label.pickone`, "Spring offer")
	do(t, guest, chromedp.Click(paid))
	choose(t, guest, "terms", "yes")
	press(t, guest, `main form button`, 200)
	says(t, guest, "¥30,000")
	typeBuyer(t, guest, "4000002500003155")
	press(t, guest, `main form button`, 200)
	says(t, guest, "Do you approve this payment?", "¥30,000")
	w.page(t, guest, "stripe-bank")
	press(t, guest, `button[value="fail"]`, 200)
	says(t, guest, "did not approve the payment", "Go back without paying")
	w.page(t, guest, "stripe-bank-refused")
	choose(t, guest, "card", "4000002500003155")
	press(t, guest, `main form button`, 200)
	press(t, guest, `button[value="approve"]`, 200)
}

// refundOrder gives the money back from the board's orders; the listing ends.
func refundOrder(t *testing.T, w *devWorldT, boss context.Context, slug string, p post, public string) { //nolint:revive // t first, as in testkit
	t.Helper()
	visit(t, boss, w.board(slug)+"/admin/orders", 200)
	says(t, boss, p.title, "¥30,000", "¥3,000", "¥27,000", "Paid")
	w.page(t, boss, "selling-orders")
	visit(t, boss, href(t, boss, mark(t, boss, `tr:has(a.row-link)`, p.title)+` a.row-link`), 200)
	order := where(boss)
	says(t, boss, "¥27,000", "Refund ¥30,000")
	w.page(t, boss, "selling-order")
	visit(t, boss, href(t, boss, `a[href*="/invoices/"]`), 200)
	says(t, boss, "¥30,000", "Sakura")
	w.page(t, boss, "stripe-invoice")

	visit(t, boss, order, 200)
	fill(t, boss, "reason", "The tea house has burnt down.")
	press(t, boss, `form[action$="/refund"] button`, 200)
	says(t, boss, "The refund is on its way.")
	testkit.Eventually(t, patience, func() error {
		visit(t, boss, order, 200)
		if text := body(t, boss); !strings.Contains(text, "Refunded") || strings.Contains(text, "A refund is on its way.") {
			return fmt.Errorf("the refund is not done:\n%s", text)
		}
		return nil
	})
	w.page(t, boss, "selling-order-refunded")
	w.mail(t, p.email, "Refund: ¥30,000")
	desk := w.browser(t)
	atDesk(t, desk, w, slug, p.email, "sign in")
	visit(t, desk, w.board(slug)+"/employers/orders", 200)
	says(t, desk, "Refunded", "¥30,000")
	w.page(t, desk, "employer-orders-refunded")
	visit(t, desk, public, http.StatusGone)
	says(t, desk, "This listing has ended.")
	if truth(t, desk, `!!document.querySelector('a[href$="/apply"]')`) {
		t.Errorf("the refunded listing still takes applications:\n%s", body(t, desk))
	}
	w.page(t, desk, "listing-refunded")
}

// moderate turns moderation on: the next paid listing waits, is refused, and its
// money goes back.
func moderate(t *testing.T, w *devWorldT, boss, guest context.Context, slug string) { //nolint:revive // t first, as in testkit
	t.Helper()
	admin := w.board(slug) + "/admin"
	visit(t, boss, admin+"/settings", 200)
	choose(t, boss, "moderated", "1")
	fill(t, boss, "time_zone", "Asia/Tokyo")
	press(t, boss, `.save-bar button.btn-primary`, 200)
	if !truth(t, boss, `document.querySelector("[name=moderated]").checked && document.querySelector("[name=time_zone]").value === "Asia/Tokyo"`) {
		t.Fatalf("the settings were not kept:\n%s", body(t, boss))
	}
	p := post{title: "Teller of Ghost Stories", company: "Lantern Walks", email: "yuki@lantern.example", city: "Osaka", country: "JP", min: "3000000", max: "3600000",
		text: "Every night at nine you lead twelve people through the old quarter. They pay to be afraid. You have at least three stories that are true."}
	toProducts(t, w, guest, slug, p)
	buyAtBank(t, w, guest, p)
	says(t, guest, "in review")
	w.page(t, guest, "selling-in-review")
	w.mail(t, p.email, "is in review")

	visit(t, boss, admin+"/review", 200)
	press(t, boss, mark(t, boss, `a.row-link`, p.title), 200)
	says(t, boss, "¥30,000", "Reject and refund")
	do(t, boss, chromedp.Click(`details[data-key=r] summary`), chromedp.SetValue(`#note-reject`, "We list no ghosts."))
	w.page(t, boss, "selling-review")
	press(t, boss, `form[action$="/reject"] button`, 200)
	says(t, boss, "what was paid goes back")
	w.page(t, boss, "selling-review-empty")
	w.mail(t, p.email, "was not accepted")
	w.mail(t, p.email, "Refund: ¥30,000")
	desk := w.browser(t)
	atDesk(t, desk, w, slug, p.email, "sign in")
	press(t, desk, mark(t, desk, `a.row-link`, p.title), 200)
	says(t, desk, "The board has refused this listing", "We list no ghosts.", "What was paid goes back.", "Refunded")
	w.page(t, desk, "employer-refused")
}
