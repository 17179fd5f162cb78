package main

import (
	"net/http"
	"slices"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"shingle/internal/demo"
)

// TestJourneyWithoutScripts applies in a browser that runs no script: the form
// waits for the link that its mail brings, and then goes out as it was typed.
func TestJourneyWithoutScripts(t *testing.T) {
	w := world(t)
	ctx := w.browser(t)
	board, base := w.demo(t, "orbit"), w.board("orbit")
	scripts := func(on bool) {
		t.Helper()
		if _, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on}); err != nil {
			t.Fatal(err)
		}
	}
	look := func(name string) { // which runs scripts of its own in the page that is there
		t.Helper()
		scripts(true)
		w.page(t, ctx, name)
		scripts(false)
	}
	scripts(false)
	visit(t, ctx, base+"/jobs", 200)
	cards := slices.DeleteFunc(jobLinks(t, ctx), func(card [2]string) bool { // the remote ones are another journey's
		return slices.ContainsFunc(board.Listings, func(l demo.Listing) bool { return l.Title == card[0] && l.Workplace == "remote" })
	})
	job, path := appliesHere(t, board, cards)
	visit(t, ctx, base+path+"/apply", 200)
	says(t, ctx, "Your browser runs no scripts here.")
	const name, email = "Tove Linde", "tove.linde@seekers.example"
	typeIn(t, ctx, "name", name)
	typeIn(t, ctx, "email", email)
	choose(t, ctx, "consent", "yes")
	attach(t, ctx, "cv", "Tove Linde.pdf", demo.CV(name, []string{"Six years of ledgers."}))
	look("scriptless-apply")
	send(t, ctx, path+"/apply", http.StatusAccepted)
	says(t, ctx, "One more step", email, "24 hours")
	look("scriptless-sent")
	var n int
	sent := `SELECT count(*) FROM applications WHERE email = $1 AND cv_key <> ''`
	if err := w.db.QueryRowContext(t.Context(), sent, email).Scan(&n); err != nil || n != 0 {
		t.Fatalf("%d applications before the link (%v)", n, err)
	}
	visit(t, ctx, link(t, w.mail(t, email, "One press"), "/confirm?token="), 200)
	says(t, ctx, "Send it now?")
	look("scriptless-confirm")
	send(t, ctx, "/confirm", 200)
	says(t, ctx, "Application sent", email)
	if err := w.db.QueryRowContext(t.Context(), sent, email).Scan(&n); err != nil || n != 1 {
		t.Fatalf("%d applications after the link (%v)", n, err)
	}
	w.mail(t, companyOf(t, board, job).Email, "New application for "+job.Title)
}
