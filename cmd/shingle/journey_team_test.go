package main

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// TestJourneyTeam: a role of one's own, an invitation, the offer of the board
// and its confirmation from the new owner's own sign-in, in two languages.
func TestJourneyTeam(t *testing.T) {
	w := world(t)
	staff := w.browser(t)
	visit(t, staff, w.platform+"/staff/boards/new", 200)
	signIn(t, staff, "staff@shingle.example")
	arrives(t, staff, w.platform+"/staff/boards/new")
	visit(t, staff, w.platform+"/staff/team", 200)
	w.page(t, staff, "staff-team")

	const slug, founder, heir = "guilds", "founder@guilds.example", "heir@guilds.example"
	visit(t, staff, w.platform+"/staff/boards/new", 200)
	fill(t, staff, "name", "Guild Jobs", "slug", slug, "owner", founder)
	press(t, staff, `form[action="/staff/boards"] button.btn-primary`, 200)
	boss := w.browser(t)
	agrees(t, boss, "")
	byMailAtConsole(t, boss, w, slug, founder)
	admin := w.board(slug) + "/admin"

	secondFactor(t, w, boss)
	visit(t, boss, admin+"/team", 200)
	arrives(t, boss, admin+"/team") // by the hand-over
	says(t, boss, "You are the only owner", "nobody else in the team yet")
	w.page(t, boss, "team-alone")
	visit(t, boss, admin+"/team/roles", 200)
	w.page(t, boss, "team-roles-none")
	press(t, boss, `.empty-action a`, 200)
	// What is changed is also seen: the box that another needs is ticked with it.
	fill(t, boss, "name", "Night desk")
	tick := func(box string) {
		t.Helper()
		inView(t, boss, `input[value="`+box+`"]`)
		do(t, boss, chromedp.Click(`input[value="`+box+`"]`))
	}
	tick("order.refund")
	if !truth(t, boss, `document.querySelector('input[value="order.read"]').checked`) {
		t.Error("refunding does not tick seeing orders")
	}
	tick("order.read")
	if truth(t, boss, `document.querySelector('input[value="order.refund"]').checked`) {
		t.Error("orders that can't be seen can be refunded")
	}
	tick("order.refund")
	if !truth(t, boss, `document.querySelector('input[value="order.refund"]').checked && document.querySelector('input[value="order.read"]').checked`) {
		t.Error("the box can't be ticked again")
	}
	w.page(t, boss, "team-role-new")
	press(t, boss, `form[action="/admin/team/roles"] button.btn-primary`, 200)
	says(t, boss, "Night desk", "Nobody has this role")
	w.page(t, boss, "team-roles")
	press(t, boss, `a[href^="/admin/team/roles/edit?role=custom"]`, 200)
	w.page(t, boss, "team-role")

	visit(t, boss, admin+"/team", 200)
	fill(t, boss, "email", heir)
	do(t, boss, chromedp.SetValue(`form[action="/admin/team/invite"] select[name=role]`, "custom:Night desk"))
	press(t, boss, `form[action="/admin/team/invite"] button`, 200)
	w.mail(t, heir, "invites you") // its link is over once it is sent again
	press(t, boss, `form[action="/admin/team/resend"] button`, 200)
	w.page(t, boss, "team-invited")
	next := w.browser(t)
	visit(t, next, link(t, w.mail(t, heir, "invites you"), "/invitation"), 200)
	fill(t, next, "name", "Hanna Erb")
	do(t, next, chromedp.Click(`form[action="/invitation"] button`))
	arrives(t, next, admin)
	secondFactor(t, w, next)
	visit(t, next, admin+"/orders", 200)
	arrives(t, next, admin+"/orders")
	visit(t, next, admin+"/payouts", 403)

	visit(t, boss, admin+"/team", 200)
	w.page(t, boss, "team-two")
	press(t, boss, `form[action="/admin/team/offer"] button`, 200)
	says(t, boss, "until it is confirmed", "Withdraw the offer")
	w.page(t, boss, "team-offered")
	visit(t, next, link(t, w.mail(t, heir, "hand Guild Jobs over"), "/ownership"), 200)
	says(t, next, "Guild Jobs", "stays as an admin")
	w.page(t, next, "ownership")
	do(t, next, chromedp.Click(`form[action="/ownership"] button.btn-primary`))
	arrives(t, next, admin+"/team")
	w.mail(t, founder, "Hanna Erb owns Guild Jobs")

	// The founder is an admin now and leaves by themselves.
	visit(t, boss, admin+"/payouts", 200)
	visit(t, boss, admin+"/team", 200)
	press(t, boss, `form[action="/admin/team/leave"] button`, 200)
	says(t, boss, "no longer in the team")
	w.page(t, boss, "team-left")
	visit(t, boss, admin, 403)
	says(t, boss, "You are not in this team")
	w.page(t, boss, "team-stranger")

	// The same in German.
	visit(t, next, w.platform+"/account", 200)
	do(t, next, chromedp.SetValue(`select[name=locale]`, "de"))
	press(t, next, `form[action="/account"] button`, 200)
	for name, path := range map[string]string{"team": "/team", "roles": "/team/roles", "role": "/team/roles/edit?role=custom%3ANight+desk", "dashboard": ""} {
		visit(t, next, admin+path, 200)
		w.page(t, next, "team-de-"+name)
	}
	visit(t, next, admin+"/look", 200)
	fill(t, next, "light.primary", "#ffe94d", "light.primary-foreground", "#ffffff")
	press(t, next, `form[action="/admin/look"] .save-bar button`, 200)
	press(t, next, `form[action="/admin/look/publish"] button`, 409)
	says(t, next, "schwer zu lesen", "Anpassen und veröffentlichen")
	w.page(t, next, "look-repair-de")
	press(t, next, `button[value="repair"]`, 200)
	says(t, next, "angepasst und veröffentlicht")
	visit(t, next, w.board(slug)+"/", 200)
}
