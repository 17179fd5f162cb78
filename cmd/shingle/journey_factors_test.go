package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"shingle/accounts"
)

// secondFactor sets an authenticator app up in that browser, which is signed in,
// and gives its secret.
func secondFactor(t *testing.T, w *devWorldT, ctx context.Context) string { //nolint:revive // t first, as in testkit
	t.Helper()
	visit(t, ctx, w.platform+"/security/app", 200)
	secret, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.getElementById("secret").textContent`))
	if err != nil {
		t.Fatal(err)
	}
	typeIn(t, ctx, "code", appCode(t, secret))
	press(t, ctx, `main form[action="/security/app"] button`, 200)
	return secret
}

func appCode(t *testing.T, secret string) string {
	t.Helper()
	code, err := accounts.CodeAt(secret, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// passkeyDevice gives the browser's tab a device that holds passkeys and agrees
// to everything.
func passkeyDevice(t *testing.T, ctx context.Context) webauthn.AuthenticatorID { //nolint:revive // t first, as in testkit
	t.Helper()
	_, err := chromedp.Call(ctx, webauthn.Enable, webauthn.EnableParams{})
	if err != nil {
		t.Fatal(err)
	}
	made, err := chromedp.Call(ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal, HasResidentKey: true, HasUserVerification: true,
		AutomaticPresenceSimulation: true, IsUserVerified: true}})
	if err != nil {
		t.Fatal(err)
	}
	return made.AuthenticatorID
}

// stale lets an operator's last second factor be sixteen minutes ago.
func (w *devWorldT) stale(t *testing.T, email string) {
	t.Helper()
	w.sql(t, `UPDATE operator_sessions SET factor_at = factor_at - interval '16 minutes' WHERE operator_id = (SELECT id FROM operators WHERE email = $1)`, email)
}

// TestJourneyFactors: an owner is led to a second factor, makes a passkey and an
// app, signs in with the passkey, and is asked again for what needs it.
func TestJourneyFactors(t *testing.T) {
	w := world(t)
	ctx := w.browser(t)
	agrees(t, ctx, "")
	const slug, owner = "locksmiths", "owner@locksmiths.example"
	out(t, w.shell(t, `exec "$1" board create --slug locksmiths --name "Locksmith Jobs" --owner owner@locksmiths.example --currency eur --locale en`))
	byMailAtConsole(t, ctx, w, slug, owner)
	payouts := w.board(slug) + "/admin/payouts"
	visit(t, ctx, payouts, 200)
	arrives(t, ctx, w.platform+"/security/set-up")
	device := passkeyDevice(t, ctx)
	w.page(t, ctx, "factors-set-up")

	// A device that knows nobody makes no passkey, and the page says so.
	verified := func(yes bool) {
		t.Helper()
		_, err := chromedp.Call(ctx, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: device, IsUserVerified: yes})
		if err != nil {
			t.Fatal(err)
		}
	}
	verified(false)
	do(t, ctx, chromedp.Click(`form[action="/security/passkeys"] button`), chromedp.WaitVisible(`[data-passkey-failed]`))
	verified(true)
	do(t, ctx, chromedp.SetValue(`form[action="/security/passkeys"] [name=name]`, "Desk computer"), chromedp.Click(`form[action="/security/passkeys"] button`))
	do(t, ctx, chromedp.WaitVisible(`.recovery-codes`))
	w.page(t, ctx, "factors-codes")
	if !truth(t, ctx, `document.querySelectorAll(".recovery-codes li").length === 10 && decodeURIComponent(document.querySelector("a[download]").href).includes(document.querySelector(".recovery-codes code").textContent)`) {
		t.Error("not ten codes, or the file lacks them")
	}
	recovery, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.querySelector(".recovery-codes code").textContent`))
	if err != nil {
		t.Fatal(err)
	}
	w.mail(t, owner, "sign-in")
	do(t, ctx, chromedp.Click(`main a.btn-primary`))
	arrives(t, ctx, payouts)

	// An app beside it; both on one page, in both languages.
	visit(t, ctx, w.platform+"/security/app", 200)
	w.page(t, ctx, "factors-app")
	secret := secondFactor(t, w, ctx)
	arrives(t, ctx, w.platform+"/security")
	says(t, ctx, "The authenticator app is set up.", "Chrome · Linux", "10 unused codes")
	if got := valueOf(t, ctx, "name"); got != "Desk computer" {
		t.Errorf("the passkey is called %q", got)
	}
	w.page(t, ctx, "factors-security")
	do(t, ctx, chromedp.SetValue(`.factor-name [name=name]`, "Front desk"))
	press(t, ctx, `.factor-name button`, 200)
	if got := valueOf(t, ctx, "name"); got != "Front desk" {
		t.Errorf("renamed, the passkey is called %q", got)
	}
	visit(t, ctx, w.platform+"/account", 200)
	w.page(t, ctx, "factors-account")
	choose(t, ctx, "locale", "de")
	press(t, ctx, `form[action="/account"] button`, 200)
	visit(t, ctx, w.platform+"/security", 200)
	says(t, ctx, "Anmeldung und Sicherheit")
	w.page(t, ctx, "factors-security-de")
	visit(t, ctx, w.platform+"/account", 200)
	choose(t, ctx, "locale", "en")
	press(t, ctx, `form[action="/account"] button`, 200)

	// A form that comes sixteen minutes later is kept; another tab proves it.
	team := w.board(slug) + "/admin/team"
	visit(t, ctx, team, 200)
	fill(t, ctx, "email", "colleague@people.example")
	w.stale(t, owner)
	press(t, ctx, `form[action="/admin/team/invite"] button.btn-primary`, 403)
	says(t, ctx, "Nothing has been done yet")
	w.page(t, ctx, "factors-kept")
	confirm := href(t, ctx, `a[target=_blank]`)
	tab, closeTab := chromedp.NewContext(ctx)
	if err := chromedp.Do(tab, chromedp.EmulateViewport(1280, 900)); err != nil { // the tab lives as long as what it is first asked in
		t.Fatal(err)
	}
	if _, err := chromedp.Call(tab, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}); err != nil {
		t.Fatal(err) // it lies over the other one
	}
	visit(t, tab, confirm, 200)
	arrives(t, tab, w.platform+"/verify")
	w.page(t, tab, "factors-verify")
	typeIn(t, tab, "code", "000000")
	press(t, tab, `form[action="/verify"] button`, 422)
	w.page(t, tab, "factors-verify-wrong")
	w.sql(t, `UPDATE operator_totp SET last_step = 0 WHERE operator_id = (SELECT id FROM operators WHERE email = $1)`, owner) // half a minute goes by
	typeIn(t, tab, "code", appCode(t, secret))
	do(t, tab, chromedp.Click(`form[action="/verify"] button`))
	arrives(t, tab, w.board(slug)+"/admin")
	says(t, tab, "Go back to the other tab")
	closeTab()
	press(t, ctx, `form[action="/admin/team/invite"] button`, 200)
	says(t, ctx, "colleague@people.example")

	// A page that is asked for too late comes after the proof, by the passkey.
	w.stale(t, owner)
	visit(t, ctx, w.board(slug)+"/admin/domains", 200)
	arrives(t, ctx, w.platform+"/verify")
	do(t, ctx, chromedp.Click(`form[action="/verify/passkey"] button`))
	arrives(t, ctx, w.board(slug)+"/admin/domains")

	// Signed out, the passkey alone signs in: both factors at once.
	visit(t, ctx, w.platform+"/boards?stay=1", 200)
	press(t, ctx, `form[action="/sign-out"] button`, 200)
	w.page(t, ctx, "factors-sign-in")
	do(t, ctx, chromedp.Click(`form[action="/sign-in/passkey"] button`))
	arrives(t, ctx, w.board(slug)+"/admin")
	visit(t, ctx, payouts, 200)
	says(t, ctx, "Stripe")

	// By mail it is half: a recovery code does, once.
	lost := w.browser(t)
	visit(t, lost, w.platform+"/sign-in", 200)
	fill(t, lost, "email", owner)
	press(t, lost, `button[formaction="/sign-in/mail"]`, 200)
	visit(t, lost, link(t, w.mail(t, owner, "sign in"), "/sign-in/link"), 200)
	do(t, lost, chromedp.Click(`form[action="/sign-in/link"] button`))
	arrives(t, lost, w.platform+"/verify")
	do(t, lost, chromedp.Click(`details summary`))
	typeIn(t, lost, "recovery", strings.ToUpper(recovery))
	do(t, lost, chromedp.Click(`form[action="/verify/recovery"] button`))
	arrives(t, lost, w.board(slug)+"/admin")
	visit(t, lost, w.platform+"/security", 200)
	says(t, lost, "9 unused codes")
	press(t, lost, `form[action="/security/sessions/end-others"] button`, 200)
	visit(t, ctx, w.platform+"/security", 200)
	if at := where(ctx); !strings.HasPrefix(at, w.platform+"/sign-in") {
		t.Errorf("signed out from elsewhere, the page is %s", at)
	}
}
