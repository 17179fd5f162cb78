package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"shingle/internal/mailbox"
	"shingle/internal/testkit"
)

// TestJourneyMailUnderItsOwnName: a German board gets a sender of its own by the
// wizard, with a mistake on the way, and writes a mail in its own words.
func TestJourneyMailUnderItsOwnName(t *testing.T) {
	w := world(t)
	ctx := w.browser(t)
	agrees(t, ctx, "")
	const owner = "post@postamt.example"
	w.ownBoard(t, ctx, "postamt", "Postamt Stellen", owner, "de")
	speaks := func(locale string) {
		t.Helper()
		if _, err := w.db.ExecContext(t.Context(), `UPDATE operators SET locale = $1 WHERE email = $2`, locale, owner); err != nil {
			t.Fatal(err)
		}
	}
	speaks("de")
	admin := w.board("postamt") + "/admin/mail"
	samples := map[string]mailbox.Message{}

	t.Run("sender", func(t *testing.T) {
		visit(t, ctx, admin, 200)
		says(t, ctx, "Standardadresse")
		w.page(t, ctx, "mail-sender-none-de")
		fill(t, ctx, "domain", "co.uk", "local_part", "hallo", "footer", "Postamt Stellen, Telefon 0431 555", "postal_address", "Alte Post 1\n24103 Kiel")
		press(t, ctx, `form[action="/admin/mail"] .save-bar button`, 422)
		if got := valueOf(t, ctx, "postal_address"); !strings.Contains(got, "24103 Kiel") {
			t.Errorf("the refused form lost the address: %q", got)
		}
		w.page(t, ctx, "mail-sender-refused-de")
		fill(t, ctx, "domain", "Postamt.test")
		press(t, ctx, `form[action="/admin/mail"] .save-bar button`, 200)
		says(t, ctx, "Wartet auf die Einträge", "_domainkey.postamt.test")
		w.page(t, ctx, "mail-sender-waiting-de")

		// What the copy button takes is what belongs into the DNS.
		name := copies(t, ctx, `[data-copy$="_domainkey.postamt.test"]`)
		value := copies(t, ctx, `[data-copy^="v=DKIM1"]`)
		if !strings.HasSuffix(name, "._domainkey.postamt.test") || !strings.HasPrefix(value, "v=DKIM1") || len(value) < 350 {
			t.Fatalf("copied %q and %q", name, value)
		}
		w.dns.Set(t, name, "TXT", value[:len(value)/2])
		press(t, ctx, `form[action="/admin/mail/check"] button`, 200)
		says(t, ctx, "Wartet auf die Einträge", "Muss geändert werden", "Gefunden")
		w.page(t, ctx, "mail-sender-wrong-de")

		w.dns.Set(t, name, "TXT", fmt.Sprintf("%q %q", value[:200], value[200:])) // as providers keep long ones
		w.dns.Set(t, "_dmarc.postamt.test", "TXT", "v=DMARC1; p=none")
		press(t, ctx, `form[action="/admin/mail/check"] button`, 200)
		says(t, ctx, "Eigene Adresse", "hallo@postamt.test")
		w.page(t, ctx, "mail-sender-verified-de")

		press(t, ctx, `form[action="/admin/mail/test"] button`, 200)
		says(t, ctx, owner)
		m := w.mail(t, owner, "Testnachricht")
		signed := false
		for _, f := range m.Header {
			signed = signed || f.Name == "Dkim-Signature" && strings.Contains(f.Value, "d=postamt.test") || f.Name == "DKIM-Signature" && strings.Contains(f.Value, "d=postamt.test")
		}
		if !strings.Contains(m.From, "hallo@postamt.test") || !signed {
			t.Errorf("the test comes from %s, signed: %v", m.From, signed)
		}
		for _, want := range []string{"Telefon 0431 555", "Alte Post 1", "24103 Kiel"} {
			if !strings.Contains(m.Text, want) || !strings.Contains(m.HTML, want) {
				t.Errorf("the test lacks %q: %s", want, m.Text)
			}
		}
		visit(t, ctx, admin+"/log", 200)
		w.page(t, ctx, "mail-log-de")
		visit(t, ctx, admin+"/suppressed", 200)
		w.page(t, ctx, "mail-suppressed-de")
	})

	t.Run("texts", func(t *testing.T) {
		visit(t, ctx, admin+"/texts", 200)
		says(t, ctx, "Anmeldelink", "Unter jeder E-Mail", "Unsere Worte")
		w.page(t, ctx, "mail-texts-de")
		press(t, ctx, `a[href^="/admin/mail/texts/person-sign-in"]`, 200)
		w.page(t, ctx, "mail-text-de")
		shipped := valueOf(t, ctx, "body")
		fill(t, ctx, "subject", "Moin! Hier geht es zu {{bord}}")
		press(t, ctx, `#words .save-bar button`, 422)
		says(t, ctx, "{{bord}} ist hier nicht bekannt")
		fill(t, ctx, "subject", "Moin! Hier geht es zu {{board}}", "body", "Schön, dass Sie da sind.\n\n{{code}}")
		press(t, ctx, `#words .save-bar button`, 422)
		says(t, ctx, "{{button}} fehlt")
		if got := valueOf(t, ctx, "body"); !strings.HasPrefix(got, "Schön, dass") {
			t.Errorf("the refused form lost the text: %q", got)
		}
		w.page(t, ctx, "mail-text-refused-de")

		fill(t, ctx, "body", "Schön, dass Sie da sind.\n\n{{code}}\n\n{{button}}\n\nGilt {{minutes}} Minuten.", "button", "Reinkommen")
		do(t, ctx, chromedp.Click(`[form=words][value=html]`))
		w.page(t, ctx, "mail-text-preview-de")
		do(t, ctx, chromedp.Click(`[form=words][formaction*="/test"]`))
		trial := w.mail(t, owner, "Moin! Hier geht es zu Postamt Stellen")
		if !strings.Contains(trial.Text, "482913") || !strings.Contains(trial.Text, "Reinkommen:") {
			t.Errorf("the test says %s", trial.Text)
		}
		if got := valueOf(t, ctx, "button"); got != "Reinkommen" {
			t.Errorf("the form lost what was typed: %q", got)
		}
		press(t, ctx, `#words .save-bar button`, 200)
		says(t, ctx, "Ihre Worte", "Fassung 1", "Das steht ab jetzt in den E-Mails.")
		w.page(t, ctx, "mail-text-saved-de")

		// The next mail says it.
		person := w.browser(t)
		visit(t, person, w.board("postamt")+"/sign-in", 200)
		fill(t, person, "email", "boss@werft.example")
		send(t, person, "/sign-in", 200)
		m := w.mail(t, "boss@werft.example", "Moin! Hier geht es zu Postamt Stellen")
		if !strings.Contains(m.Text, "Gilt 20 Minuten.") || !strings.Contains(m.From, "hallo@postamt.test") {
			t.Errorf("the mail comes from %s and says %s", m.From, m.Text)
		}
		visit(t, person, link(t, m, "token="), 200)

		// Back to our words; what was written stays among the versions.
		press(t, ctx, `form[action*="/restore"] button`, 200)
		says(t, ctx, "Unsere Worte", "Fassung 2")
		if got := valueOf(t, ctx, "body"); got != shipped {
			t.Errorf("our words read %q, want %q", got, shipped)
		}
		visit(t, ctx, admin+"/texts/person-sign-in", 200)
		press(t, ctx, `form[action*="/restore"] button`, 200) // version 1
		if got := valueOf(t, ctx, "button"); got != "Reinkommen" {
			t.Errorf("version 1 has the button %q", got)
		}
		w.page(t, ctx, "mail-text-versions-de")
		visit(t, ctx, admin+"/texts/receipt", 200)
		w.page(t, ctx, "mail-text-receipt-de")
		for kind, subject := range map[string]string{"receipt": "Zahlungsbeleg", "alert-digest": "neue Stellen", "application-reply": "geantwortet"} {
			visit(t, ctx, admin+"/texts/"+kind, 200)
			do(t, ctx, chromedp.Click(`[form=words][formaction*="/test"]`))
			samples["mail-"+kind] = w.mail(t, owner, subject)
		}
	})

	// In English, for the same pages' other words.
	t.Run("english", func(t *testing.T) {
		speaks("en")
		for name, path := range map[string]string{"mail-sender": "", "mail-texts": "/texts", "mail-text": "/texts/person-sign-in", "mail-text-footer": "/texts/mail-footer?language=en"} {
			visit(t, ctx, admin+path, 200)
			w.page(t, ctx, name)
		}
		says(t, ctx, "Mail")
	})

	t.Run("in a mail program", func(t *testing.T) {
		if len(samples) == 0 {
			t.Error("no mail came")
		}
		for name, m := range samples {
			w.readMail(t, ctx, name, m)
		}
	})
}

// ownBoard signs a company up and ends on its console.
func (w *devWorldT) ownBoard(t *testing.T, ctx context.Context, slug, name, email, locale string) { //nolint:revive // t first, as in testkit
	t.Helper()
	visit(t, ctx, w.platform+"/sign-up", 200)
	fill(t, ctx, "name", name, "slug", slug, "email", email, "person", "Paula Post")
	choose(t, ctx, "locale", locale)
	press(t, ctx, `form[action="/sign-up"] button`, 200)
	visit(t, ctx, link(t, w.mail(t, email, ""), "/sign-up/confirm"), 200)
	do(t, ctx, chromedp.Click(`form[action="/sign-up/confirm"] button`))
	arrives(t, ctx, w.board(slug)+"/admin")
}

// copies presses a copy button and returns what the clipboard got.
func copies(t *testing.T, ctx context.Context, button string) string { //nolint:revive // t first, as in testkit
	t.Helper()
	got, err := chromedp.Run(ctx, chromedp.Evaluate[string](fmt.Sprintf(`(async () => {
		let got = "";
		navigator.clipboard.writeText = async (text) => { got = text };
		const b = document.querySelector(%q);
		b.click();
		await new Promise(r => setTimeout(r, 20));
		return b.textContent === b.dataset.copied ? got : "the button says " + b.textContent;
	})()`, button), chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// readMail shows a mail's HTML as a mail program would, wide and narrow, on a
// light and a dark ground, and has axe look at its contrast.
func (w *devWorldT) readMail(t *testing.T, ctx context.Context, name string, m mailbox.Message) { //nolint:revive // t first, as in testkit
	t.Helper()
	program := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = rw.Write([]byte(m.HTML))
	}))
	defer program.Close()
	for _, scheme := range []string{"light", "dark"} {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		if err != nil {
			t.Fatal(err)
		}
		visit(t, ctx, program.URL, 200)
		testkit.Page(t, ctx, name+"-"+scheme, 390, 600)
		dark := truth(t, ctx, `getComputedStyle(document.querySelector(".m-card")).backgroundColor === "rgb(28, 31, 36)"`)
		if dark != (scheme == "dark") {
			t.Errorf("%s in %s has the other ground", name, scheme)
		}
	}
}
