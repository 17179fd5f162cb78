package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"shingle/internal/mailbox"
	"shingle/internal/testkit"
)

// ownWorld is `shingle dev` as a process of the test's own, on a database of its
// own: for what moves the simulator's clock, which all boards of a world share.
func ownWorld(t *testing.T) *devWorldT {
	t.Helper()
	inFull(t)
	t.Parallel()
	db := testkit.Postgres(t)
	w := &devWorldT{port: freePort(), dir: t.TempDir(), logs: new(testkit.Logs), read: map[string]mailbox.Message{}, taken: map[string]bool{}}
	w.platform = "http://platform.localhost:" + w.port
	w.table = &readyWhen{words: "Settings for other commands", ready: make(chan struct{})}
	var errs bytes.Buffer
	running := exec.Command(os.Args[0], "dev") // outlives the test's context: it is told to end
	running.Env = append(bareEnv(), "SHINGLE_LISTEN=127.0.0.1:"+w.port, "SHINGLE_OPS_LISTEN=127.0.0.1:"+freePort(), "SHINGLE_DATA_DIR="+w.dir,
		"SHINGLE_DATABASE_URL="+db.App, "SHINGLE_PLATFORM_DATABASE_URL="+db.Platform, "SHINGLE_MIGRATE_DATABASE_URL="+db.Owner)
	running.Stdout, running.Stderr = w.table, &errs
	ended := background(t, running, &errs)
	w.chromium = testkit.StartBrowser(t)
	select {
	case <-w.table.ready:
	case err := <-ended:
		ended <- err
		t.Fatalf("the program ended while starting: %v\n%s", err, errs.String())
	case <-time.After(2 * time.Minute):
		t.Fatal("the program did not get ready within two minutes")
	}
	var err error
	if w.box, err = mailbox.Open(filepath.Join(w.dir, "mail"), time.Now); err != nil {
		t.Fatal(err)
	}
	return w
}

// TestJourneySubscribing takes a board from its trial to a paid plan, to a larger
// one, to a card that fails and a console that is read-only, and back by paying.
func TestJourneySubscribing(t *testing.T) {
	w := ownWorld(t)
	const slug, name, email = "quarry", "Quarry Jobs", "paula@quarry.example"
	ctx := w.browser(t)
	agrees(t, ctx, "")
	w.ownBoard(t, ctx, slug, name, email, "en")
	admin := w.board(slug) + "/admin"
	secondFactor(t, w, ctx)
	plan := func(words ...string) {
		t.Helper()
		testkit.Eventually(t, patience, func() error {
			visit(t, ctx, admin+"/plan", 200)
			text := strings.ToLower(body(t, ctx))
			for _, word := range words {
				if !strings.Contains(text, strings.ToLower(word)) {
					return missing{word, text}
				}
			}
			return nil
		})
	}
	plan("Everything is free until", "Choose Growth", "No invoices yet")
	w.page(t, ctx, "plan-trial")

	// Subscribing leads to Stripe and back.
	mark(t, ctx, `form[action="/admin/plan/subscribe"] button`, "Choose Starter")
	press(t, ctx, `[data-walk]`, 200)
	if !strings.Contains(where(ctx), "/checkout/") {
		t.Fatalf("choosing a plan leads to %s:\n%s", where(ctx), body(t, ctx))
	}
	w.page(t, ctx, "plan-checkout")
	choose(t, ctx, "card", "4242424242424242")
	typeIn(t, ctx, "name", "Paula Post")
	choose(t, ctx, "country", "DE")
	if truth(t, ctx, `!!document.querySelector("[name=line1]")`) {
		typeIn(t, ctx, "line1", "Steinbruch 1")
		typeIn(t, ctx, "city", "Solnhofen")
	}
	typeIn(t, ctx, "postcode", "91807")
	if truth(t, ctx, `!!document.querySelector("[name=terms]")`) {
		choose(t, ctx, "terms", "yes")
	}
	press(t, ctx, `main form button[type="submit"]`, 200)
	if !strings.HasPrefix(where(ctx), admin+"/plan") {
		t.Fatalf("paying leads to %s:\n%s", where(ctx), body(t, ctx))
	}
	plan("Starter", "29.00", "Cards and invoices", "Change to Growth")
	w.page(t, ctx, "plan-subscribed")

	// A larger plan shows what it costs before it does.
	mark(t, ctx, `a[href^="/admin/plan/change"]`, "Change to Growth")
	press(t, ctx, `[data-walk]`, 200)
	says(t, ctx, "After that", "99.00")
	w.page(t, ctx, "plan-change")
	press(t, ctx, `form[action="/admin/plan/change"] button`, 200)
	plan("Growth", "99.00", "Change to Starter")
	w.mail(t, email, name+" is on Growth now")

	// The card fails when the month is over.
	press(t, ctx, `form[action="/admin/plan/portal"] button`, 200)
	w.page(t, ctx, "plan-portal")
	choose(t, ctx, "card", "4000000000000002")
	press(t, ctx, `main form button[type="submit"]`, 200)
	w.moves(t, "month")
	plan("Pay ", "is open", "What happens while the plan is not paid")
	w.page(t, ctx, "plan-unpaid")
	w.mail(t, email, "The payment for "+name+" did not go through")
	plan("so this console is read-only")
	w.mail(t, email, "The console of "+name+" is read-only now")
	visit(t, ctx, admin, 200)
	w.page(t, ctx, "plan-read-only")

	// Paying undoes all of it.
	plan("Pay ")
	mark(t, ctx, `a.btn-primary`, "Pay ")
	press(t, ctx, `[data-walk]`, 200)
	w.page(t, ctx, "plan-invoice")
	choose(t, ctx, "card", "4242424242424242")
	press(t, ctx, `main form button[type="submit"]`, 200)
	w.mail(t, email, "All is settled for "+name)
	plan("Growth", "Paid")
	if text := body(t, ctx); strings.Contains(text, "read-only") {
		t.Errorf("after paying the page still says:\n%s", text)
	}
	w.page(t, ctx, "plan-paid")
}

// missing is a word that a page lacks.
type missing struct{ word, text string }

func (m missing) Error() string { return "the page lacks " + m.word + ":\n" + m.text }

// moves moves the simulator's clock by a "day", "week" or "month".
func (w *devWorldT) moves(t *testing.T, by string) {
	t.Helper()
	ctx := w.browser(t)
	visit(t, ctx, "http://stripe.localhost:"+w.port+"/", 200)
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := chromedp.RunResponse(wait, chromedp.Click(`form[action$="/act/advance/`+by+`"] button`)); err != nil {
		t.Fatal(err)
	}
}
