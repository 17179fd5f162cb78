package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"shingle/internal/testkit"
)

// TestJourneyReview is the German board, which looks at listings first: its
// queue, a paid listing that is sent back for changes and stays paid, and its
// legal pages.
func TestJourneyReview(t *testing.T) {
	w := world(t)
	boss := w.browser(t)
	agrees(t, boss, "")
	atConsole(t, boss, w, "pflege", "owner@pflege.example")
	w.page(t, boss, "admin-dashboard-de")
	approveFirst(t, w, boss)

	guest := w.browser(t)
	p := post{title: "Pflegefachkraft für die Nachtwache", company: "Haus Lindenblick", email: "team@lindenblick.example", city: "Kassel", country: "DE", min: "3.200", max: "3.900",
		text: "Sie begleiten zwölf Menschen durch die Nacht, zu zweit und mit Zeit. Wir zahlen nach Tarif und geben den Dienstplan sechs Wochen vorher heraus."}
	visit(t, guest, w.board("pflege")+"/post", 200)
	w.page(t, guest, "employer-post-de")
	typePost(t, guest, p)
	choose(t, guest, "salary_period", "month")
	send(t, guest, "/post", 200)
	press(t, guest, `a.btn.primary[href$="/products"]`, 200)
	products := strings.TrimPrefix(where(guest), w.board("pflege"))
	w.page(t, guest, "employer-products-de")
	choose(t, guest, "terms", "yes")
	send(t, guest, products, 200)
	typeBuyer(t, guest, "4242424242424242")
	press(t, guest, `main form button`, 200)
	says(t, guest, "Ihre Anzeige wird geprüft")
	w.page(t, guest, "employer-in-review-de")
	w.mail(t, p.email, "wird geprüft")
	sentBack(t, w, boss, guest, p)
	legalPages(t, w, boss, guest)
}

// queued counts what waits on the German board.
func queued(t *testing.T, w *devWorldT, boss context.Context) int { //nolint:revive // t first, as in testkit
	t.Helper()
	visit(t, boss, w.board("pflege")+"/admin/review", 200)
	n, err := chromedp.Run(boss, chromedp.Evaluate[int](`document.querySelectorAll("a.row-link").length`))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// approveFirst publishes what has waited longest.
func approveFirst(t *testing.T, w *devWorldT, boss context.Context) { //nolint:revive // t first, as in testkit
	t.Helper()
	n := queued(t, w, boss)
	if n == 0 {
		t.Fatal("nothing waits for review")
	}
	w.page(t, boss, "admin-review-de")
	press(t, boss, `a.row-link`, 200)
	w.page(t, boss, "admin-review-item")
	title, err := chromedp.Run(boss, chromedp.Evaluate[string](`document.querySelector("h1").innerText`))
	if err != nil {
		t.Fatal(err)
	}
	press(t, boss, `form[action$="/approve"] button`, 200)
	if got := queued(t, w, boss); got != n-1 {
		t.Errorf("after approving %d wait, want %d", got, n-1)
	}
	isFound(t, w, boss, "pflege", title)
}

// isFound waits until the board's search shows a listing of that title.
func isFound(t *testing.T, w *devWorldT, ctx context.Context, slug, title string) { //nolint:revive // t first, as in testkit
	t.Helper()
	testkit.Eventually(t, patience, func() error {
		visit(t, ctx, w.board(slug)+"/jobs?q="+url.QueryEscape(title), 200)
		if !truth(t, ctx, fmt.Sprintf(`[...document.querySelectorAll("main h3")].some(e => e.textContent.includes(%q))`, title)) {
			return fmt.Errorf("the listing %q is not found", title)
		}
		return nil
	})
}

// sentBack asks for changes; the employer makes them from the mailed link and
// hands the listing in again without paying again.
func sentBack(t *testing.T, w *devWorldT, boss, guest context.Context, p post) { //nolint:revive // t first, as in testkit
	t.Helper()
	queued(t, w, boss)
	press(t, boss, mark(t, boss, `a.row-link`, p.title), 200)
	do(t, boss, chromedp.Click(`details[data-key=s] summary`), chromedp.SetValue(`#note-back`, "Bitte nennen Sie die Schichtzeiten."))
	w.page(t, boss, "admin-review-send-back-de")
	press(t, boss, `form[action$="/send-back"] button`, 200)

	asked := w.mail(t, p.email, "ändern")
	if !strings.Contains(asked.Text, "Schichtzeiten") {
		t.Errorf("the mail does not say what to change:\n%s", asked.Text)
	}
	visit(t, guest, link(t, asked, "/employers/"), 200)
	if at := where(guest); !strings.Contains(at, "/sign-in?next=") {
		t.Fatalf("the mailed link leads a stranger to %s", at)
	}
	typeIn(t, guest, "email", p.email)
	send(t, guest, "/sign-in", 200)
	visit(t, guest, link(t, w.mail(t, p.email, "anmelden"), "token="), 200)
	press(t, guest, `main form button`, 200)
	says(t, guest, "Die Jobbörse bittet um Änderungen", "Bitte nennen Sie die Schichtzeiten.", "Bezahlt")
	if truth(t, guest, `!!document.querySelector('a[href$="/products"]')`) {
		t.Errorf("a listing that is paid is to be paid again")
	}
	w.page(t, guest, "employer-sent-back-de")
	typeIn(t, guest, "title", p.title+", 20 bis 6 Uhr")
	press(t, guest, `button[name=resubmit]`, 200)
	says(t, guest, "Ihre Stelle ist neu eingereicht.", "Die Jobbörse prüft Ihre Stelle")

	queued(t, w, boss)
	press(t, boss, mark(t, boss, `a.row-link`, p.title+", 20 bis 6 Uhr"), 200)
	press(t, boss, `form[action$="/approve"] button`, 200)
	w.mail(t, p.email, "ist online")
	isFound(t, w, guest, "pflege", p.title+", 20 bis 6 Uhr")
}

// legalPages writes them anew from the templates; the Impressum is what German
// law asks for, and every page of the site leads to it.
func legalPages(t *testing.T, w *devWorldT, boss, guest context.Context) { //nolint:revive // t first, as in testkit
	t.Helper()
	visit(t, boss, w.board("pflege")+"/admin/pages", 200)
	fill(t, boss, "name", "Pflegewerk Nord GmbH", "street", "Deichweg 9", "postal_code", "24103", "city", "Kiel", "country", "Deutschland",
		"email", "post@pflegewerk.example", "represented", "Inga Petersen", "register", "Amtsgericht Kiel, HRB 4711", "tax_id", "DE123456789", "responsible", "Inga Petersen")
	choose(t, boss, "replace", "1")
	w.page(t, boss, "admin-legal-de")
	press(t, boss, `form[action="/admin/pages/generate"] button`, 200)
	w.page(t, boss, "admin-legal-written-de")
	visit(t, guest, w.board("pflege")+"/", 200)
	press(t, guest, `footer a[href="/pages/impressum"]`, 200)
	says(t, guest, "Impressum", "Pflegewerk Nord GmbH", "Deichweg 9", "HRB 4711", "Inga Petersen")
	w.page(t, guest, "impressum")
}
