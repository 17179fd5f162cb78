package web_test

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/tenant"
	"shingle/web/route"
)

// who is the operator behind a session.
func (h *house) who(t *testing.T, token string, board *tenant.ID) uuid.UUID {
	t.Helper()
	s, err := h.operators.SessionByToken(t.Context(), token, board)
	if err != nil {
		t.Fatal(err)
	}
	return s.Operator.ID
}

func (h *house) rolesOf(t *testing.T, domain tenant.ID, who uuid.UUID) string {
	t.Helper()
	var out []string
	err := h.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		out, err = authz.RolesOf(ctx, tx, domain, who)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, " ")
}

// goes posts a form that must be done, and gives where it leads.
func (h *house) goes(t *testing.T, host, path, token string, form url.Values) string {
	t.Helper()
	status, body, head := h.send(t, host, path, token, form)
	if status != http.StatusSeeOther {
		t.Fatalf("%s answers %d: %.1500s", path, status, body)
	}
	return head.Get("Location")
}

// TestWhoIsRemovedIsToldSo: the console answers with a page that leads on, and
// with no redirect, whichever page is asked for.
func TestWhoIsRemovedIsToldSo(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "orbit")
	owner := h.handedOver(t, h.signedIn(t, board.ID, authz.Owner), board)
	front := h.signedIn(t, board.ID, authz.Editor)
	editor := h.handedOver(t, front, board)
	id := h.who(t, editor, &board.ID)
	undo := h.goes(t, board.PlatformHost, "/admin/members/"+id.String()+"/remove", owner, nil)
	for _, path := range []string{"/admin", "/admin/listings", "/admin/team"} {
		res := h.call(t, board.PlatformHost, route.GET, path, editor)
		body := read(t, res)
		if res.StatusCode != http.StatusForbidden || strings.Contains(body, `href="/admin`) {
			t.Errorf("%s answers %d, with a link back into itself: %v", path, res.StatusCode, strings.Contains(body, `href="/admin`))
		}
		lacks(t, path, body, "You are not in this team", "/boards?stay=1", "/admin/sign-out")
	}
	// Nor does the front door send them round: from their boards, by the hand-over.
	if res := h.call(t, platformHost, route.GET, "/boards", front); res.StatusCode != http.StatusOK {
		t.Errorf("their boards answer %d", res.StatusCode)
	}
	again := h.handedOver(t, front, board)
	if res := h.call(t, board.PlatformHost, route.GET, "/admin", again); res.StatusCode != http.StatusForbidden {
		t.Errorf("a fresh session answers %d", res.StatusCode)
	}

	// Undone, they are back at once under the role they had; a second time is too late.
	if h.rolesOf(t, board.ID, id) != "" {
		t.Fatal("they still hold a role")
	}
	u, err := url.Parse(undo)
	if err != nil {
		t.Fatal(err)
	}
	page := read(t, h.call(t, board.PlatformHost, route.GET, undo, owner))
	lacks(t, "the notice", page, u.Query().Get("undo"))
	h.goes(t, board.PlatformHost, u.Query().Get("undo"), owner, nil)
	if got := h.rolesOf(t, board.ID, id); got != authz.Editor {
		t.Errorf("restored as %q", got)
	}
	if res := h.call(t, board.PlatformHost, route.GET, "/admin/listings", editor); res.StatusCode != http.StatusOK {
		t.Errorf("restored, they get %d", res.StatusCode)
	}
	if status, _, _ := h.send(t, board.PlatformHost, u.Query().Get("undo"), owner, nil); status != http.StatusGone {
		t.Errorf("undone twice: %d", status)
	}
	if status, _, _ := h.send(t, board.PlatformHost, "/admin/members/"+uuid.NewString()+"/restore", owner, nil); status != http.StatusGone {
		t.Errorf("restoring who was never removed: %d", status)
	}
}

func TestEverybodyMayLeaveButTheLastOwner(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "orbit")
	owner := h.handedOver(t, h.signedIn(t, board.ID, authz.Owner), board)
	status, body, _ := h.send(t, board.PlatformHost, "/admin/team/leave", owner, nil)
	if status != http.StatusConflict {
		t.Errorf("the last owner leaves: %d", status)
	}
	lacks(t, "the refusal", body, "at least one owner")
	lacks(t, "the page", read(t, h.call(t, board.PlatformHost, route.GET, "/admin/team", owner)), "You are the only owner")
	outsider := h.handedOver(t, h.signedIn(t, h.Board(t, "rival").ID, authz.Owner), board)
	for token, want := range map[string]int{"": http.StatusSeeOther, outsider: http.StatusForbidden} { // the first to the sign-in
		if status, _, head := h.send(t, board.PlatformHost, "/admin/team/leave", token, nil); status != want || strings.Contains(head.Get("Location"), "team.left") {
			t.Errorf("leaving from outside: %d to %s", status, head.Get("Location"))
		}
	}
	// Also who can't even open the page of the team.
	err := h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		_, err := authz.DefineRole(ctx, tx, board.ID, "Bare", authz.Can("board", "read"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	bare := h.handedOver(t, h.signedIn(t, board.ID, "custom:Bare"), board)
	to := h.goes(t, board.PlatformHost, "/admin/team/leave", bare, nil)
	if !strings.Contains(to, platformHost) || !strings.HasSuffix(to, "/boards?stay=1&ok=team.left") {
		t.Errorf("leaving leads to %s", to)
	}
	if res := h.call(t, board.PlatformHost, route.GET, "/admin", bare); res.StatusCode != http.StatusForbidden {
		t.Errorf("who left gets %d", res.StatusCode)
	}
	if status, _, _ := h.send(t, board.PlatformHost, "/admin/team/leave", bare, nil); status != http.StatusForbidden {
		t.Errorf("leaving twice: %d", status)
	}
}

func TestRolesAreBuiltInTheConsole(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board, rival := h.Board(t, "orbit"), h.Board(t, "rival")
	owner := h.handedOver(t, h.signedIn(t, board.ID, authz.Owner), board)
	admin := h.handedOver(t, h.signedIn(t, board.ID, authz.Admin), board)
	host := board.PlatformHost
	page := read(t, h.call(t, host, route.GET, "/admin/team/roles/new?from=editor", admin))
	lacks(t, "the form", page, `value="Editor copy"`, `value="listing.moderate" data-needs="listing.read" checked`, `value="payout.onboard" data-needs="payout.read" disabled`)

	// A bad form comes back filled in.
	status, body, _ := h.send(t, host, "/admin/team/roles", admin, url.Values{"name": {"Redaktion"}, "can": {"report.write", "no.such"}})
	if status != http.StatusConflict {
		t.Errorf("a built-in role's name in another language: %d", status)
	}
	lacks(t, "the refused form", body, `value="Redaktion"`, "a role of this name", `value="report.write" data-needs="report.read" checked`)
	if status, _, _ := h.send(t, host, "/admin/team/roles", admin, url.Values{"name": {"Bank"}, "can": {"payout.onboard"}}); status != http.StatusForbidden {
		t.Errorf("an admin gives what they do not hold: %d", status)
	}
	h.goes(t, host, "/admin/team/roles", admin, url.Values{"name": {"Night desk"}, "can": {"report.write"}})

	desk := h.handedOver(t, h.signedIn(t, board.ID, "custom:Night desk"), board)
	gets := func(path string, want int) {
		t.Helper()
		if res := h.call(t, host, route.GET, path, desk); res.StatusCode != want {
			t.Errorf("%s answers %d, want %d", path, res.StatusCode, want)
		}
	}
	gets("/admin/reports", 200)
	gets("/admin", 200)
	gets("/admin/orders", 403)
	h.goes(t, host, "/admin/team/roles/edit", admin, url.Values{"role": {"custom:Night desk"}, "name": {"Tagdienst"}, "can": {"order.refund"}})
	gets("/admin/reports", 403)
	gets("/admin/orders", 200)
	lacks(t, "the list", read(t, h.call(t, host, route.GET, "/admin/team/roles", owner)), "Tagdienst", "Held by custom:Night desk", "/admin/team/roles/edit?role=custom%3aTagdienst")

	// Another board's role is nobody's here, and untouched from there.
	theirs := h.handedOver(t, h.signedIn(t, rival.ID, authz.Owner), rival)
	for path, form := range map[string]url.Values{
		"/admin/team/roles/edit":   {"role": {"custom:Tagdienst"}, "name": {"Mine"}, "can": {"order.refund"}},
		"/admin/team/roles/delete": {"role": {"custom:Tagdienst"}, "to": {"viewer"}},
	} {
		if status, _, _ := h.send(t, rival.PlatformHost, path, theirs, form); status != http.StatusNotFound {
			t.Errorf("a rival's %s: %d", path, status)
		}
	}
	status, body, _ = h.send(t, host, "/admin/team/roles/delete", admin, url.Values{"role": {"custom:Tagdienst"}})
	if status != http.StatusConflict {
		t.Errorf("deleting a role in use: %d", status)
	}
	lacks(t, "the refusal", body, "Choose what they get instead")
	if status, _, _ := h.send(t, host, "/admin/team/roles/delete", admin, url.Values{"role": {"custom:Tagdienst"}, "to": {"owner"}}); status != http.StatusForbidden {
		t.Errorf("an admin makes owners by deleting a role: %d", status)
	}
	h.goes(t, host, "/admin/team/roles/delete", admin, url.Values{"role": {"custom:Tagdienst"}, "to": {"viewer"}})
	gets("/admin/orders", 403)
	gets("/admin/listings", 200)
	// What is built in stays.
	if status, _, _ := h.send(t, host, "/admin/team/roles/delete", owner, url.Values{"role": {"viewer"}, "to": {"admin"}}); status != http.StatusNotFound {
		t.Errorf("deleting a built-in role: %d", status)
	}
	var acts []string
	err := h.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		lines, err := authz.Log(ctx, tx, authz.LogFilter{Board: board.ID, ObjectKind: "role"})
		for _, l := range lines {
			acts = append(acts, l.Act)
		}
		return err
	})
	if err != nil || strings.Join(acts, " ") != "role.deleted role.changed role.created" {
		t.Errorf("the log: %v, %v", acts, err)
	}
}

func TestOwnershipIsConfirmedFromTheNewOwnersSignIn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "orbit")
	front := h.signedIn(t, board.ID, authz.Owner)
	owner := h.handedOver(t, front, board)
	heir := h.signedIn(t, board.ID, authz.Admin)
	heirID, ownerID := h.who(t, heir, nil), h.who(t, front, nil)
	offer := url.Values{"to": {heirID.String()}, "then": {"admin"}}
	if status, _, _ := h.send(t, board.PlatformHost, "/admin/team/offer", h.handedOver(t, heir, board), url.Values{"to": {ownerID.String()}, "then": {"admin"}}); status != http.StatusForbidden {
		t.Errorf("an admin offers the board: %d", status)
	}
	h.goes(t, board.PlatformHost, "/admin/team/offer", owner, offer)
	lacks(t, "the team's page", read(t, h.call(t, board.PlatformHost, route.GET, "/admin/team", owner)), "offered admin the ownership", "/admin/team/offer/withdraw")
	link := "/ownership?token=" + url.QueryEscape(h.linkTo(t, "ownership-offered")) + "&board=" + board.ID.String()
	token := h.linkTo(t, "ownership-offered")

	res := h.call(t, platformHost, route.GET, link, "")
	if to := res.Header.Get("Location"); res.StatusCode != http.StatusSeeOther && res.StatusCode != http.StatusFound || !strings.HasPrefix(to, "/sign-in?next=%2Fownership") {
		t.Errorf("a stranger: %d to %s", res.StatusCode, to)
	}
	res = h.call(t, platformHost, route.GET, link, front)
	if body := read(t, res); res.StatusCode != http.StatusForbidden || !strings.Contains(body, "somebody else") {
		t.Errorf("the old owner opens the link: %d", res.StatusCode)
	}
	res = h.call(t, platformHost, route.GET, link, heir)
	body := read(t, res)
	if res.StatusCode != http.StatusOK || res.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("the new owner opens the link: %d", res.StatusCode)
	}
	lacks(t, "the page", body, "Become the owner", "Decline", "stays as an admin")
	if got := h.rolesOf(t, board.ID, heirID); got != authz.Admin {
		t.Errorf("looking made them %q", got)
	}
	form := url.Values{"token": {token}, "board": {board.ID.String()}}
	if status, _, _ := h.send(t, platformHost, "/ownership", front, form); status != http.StatusForbidden {
		t.Errorf("the old owner confirms: %d", status)
	}
	h.goes(t, platformHost, "/ownership", heir, form)
	if a, b := h.rolesOf(t, board.ID, heirID), h.rolesOf(t, board.ID, ownerID); a != authz.Owner || b != authz.Admin {
		t.Errorf("they are %q and %q", a, b)
	}
	if res := h.call(t, board.PlatformHost, route.POST, "/admin/payouts/onboard", owner); res.StatusCode != http.StatusForbidden {
		t.Errorf("the old owner still reaches the bank account: %d", res.StatusCode)
	}
	if status, _, _ := h.send(t, platformHost, "/ownership", heir, form); status != http.StatusGone {
		t.Errorf("the link works twice: %d", status)
	}
}

var invitationID = regexp.MustCompile(`name="invitation" value="([^"]+)"`)

func TestTheStaffsTeam(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	boss := h.signedIn(t, tenant.Nil, authz.Superadmin)
	bossID := h.who(t, boss, nil)
	support := h.signedIn(t, tenant.Nil, authz.Support)
	supportID := h.who(t, support, nil)
	if status, body, _ := h.send(t, platformHost, "/staff/team/leave", boss, nil); status != http.StatusConflict || !strings.Contains(body, "at least one superadmin") {
		t.Errorf("the last superadmin leaves: %d", status)
	}
	if status, _, _ := h.send(t, platformHost, "/staff/team/"+bossID.String()+"/role", boss, url.Values{"role": {authz.Support}}); status != http.StatusConflict {
		t.Errorf("the last superadmin is demoted: %d", status)
	}
	if status, body, _ := h.send(t, platformHost, "/staff/team/invite", boss, url.Values{"email": {"nonsense"}, "role": {"billing"}}); status != 422 || !strings.Contains(body, `value="nonsense"`) {
		t.Errorf("a bad address: %d", status)
	}
	h.goes(t, platformHost, "/staff/team/invite", boss, url.Values{"email": {"new@people.example"}, "role": {"billing"}})
	page := read(t, h.call(t, platformHost, route.GET, "/staff/team", boss))
	lacks(t, "the page", page, "new@people.example", "Superadmin", "Invite and change staff")
	id := invitationID.FindStringSubmatch(page)[1]
	h.goes(t, platformHost, "/staff/team/resend", boss, url.Values{"invitation": {id}})
	page = read(t, h.call(t, platformHost, route.GET, "/staff/team", boss))
	if again := invitationID.FindStringSubmatch(page)[1]; again == id {
		t.Error("sending again left the old link")
	}
	h.goes(t, platformHost, "/staff/team/withdraw", boss, url.Values{"invitation": {invitationID.FindStringSubmatch(page)[1]}})

	h.goes(t, platformHost, "/staff/team/"+supportID.String()+"/role", boss, url.Values{"role": {authz.Billing}})
	if got := h.rolesOf(t, tenant.Nil, supportID); got != authz.Billing {
		t.Errorf("changed to %q", got)
	}
	h.goes(t, platformHost, "/staff/team/"+supportID.String()+"/remove", boss, nil)
	if res := h.call(t, platformHost, route.GET, "/staff", support); res.StatusCode != http.StatusForbidden {
		t.Errorf("removed, they get %d", res.StatusCode)
	}
	h.goes(t, platformHost, "/staff/team/"+supportID.String()+"/restore", boss, nil)
	if got := h.rolesOf(t, tenant.Nil, supportID); got != authz.Billing {
		t.Errorf("restored as %q", got)
	}
	h.goes(t, platformHost, "/staff/team/leave", support, nil)
	if got := h.rolesOf(t, tenant.Nil, supportID); got != "" {
		t.Errorf("who left is still %q", got)
	}
}
