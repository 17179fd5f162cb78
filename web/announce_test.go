package web_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/billing/plans"
	"shingle/tenant"
	"shingle/web/route"
)

// What is announced to plans is read on the boards that are on them, and on no other.
func TestAnnouncementsByPlan(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board, other, none := h.Board(t, "orbit"), h.Board(t, "other"), h.Board(t, "none")
	p := h.sold(t, board, plans.Limits{})
	h.grow(t, other)
	super := h.signedIn(t, tenant.Nil, authz.Superadmin)
	form := url.Values{"text_en": {"Your plan grows"}, "text_de": {"Ihr Tarif wächst"}, "level": {"info"}, "audience": {"plans"}}
	if res := h.submit(t, platformHost, "/staff/announcements", super, form); res.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("for no plan: %d", res.StatusCode)
	} else if body := text(t, res); !strings.Contains(body, "Choose at least one plan.") || !strings.Contains(body, `value="plans" selected`) || !strings.Contains(body, ">Harbour<") {
		t.Errorf("the form comes back as %.3000s", body)
	}
	form.Set("plan", "0190a0a0-0000-7000-8000-000000000000")
	if res := h.submit(t, platformHost, "/staff/announcements", super, form); res.StatusCode != http.StatusNotFound {
		t.Errorf("for a plan that does not exist: %d", res.StatusCode)
	}
	form.Set("plan", p.ID.String())
	if res := h.submit(t, platformHost, "/staff/announcements", super, form); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("announcing: %d %.800s", res.StatusCode, text(t, res))
	}
	for language, want := range map[string]string{"en": "Boards on Harbour", "de": "Boards mit Harbour"} {
		if _, body := h.console(t, platformHost, "/staff/announcements", super, language); !strings.Contains(body, want) {
			t.Errorf("the list in %s does not say %q", language, want)
		}
	}
	if body := text(t, h.call(t, platformHost, route.GET, "/staff/announcements.csv", super)); !strings.Contains(body, "plans") || !strings.Contains(body, "Harbour") {
		t.Errorf("the file: %s", body)
	}
	reads := func(b *tenant.Tenant) bool {
		t.Helper()
		token := h.handedOver(t, h.signedIn(t, b.ID, authz.Viewer), b)
		return strings.Contains(text(t, h.call(t, b.PlatformHost, route.GET, "/admin", token)), "Your plan grows")
	}
	if !reads(board) || reads(other) || reads(none) {
		t.Errorf("read on its plan %v, on another %v, without one %v", reads(board), reads(other), reads(none))
	}
	var id string
	if err := h.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT id FROM announcements`).Scan(ctx, &id)
	}); err != nil {
		t.Fatal(err)
	}
	there := h.handedOver(t, h.signedIn(t, other.ID, authz.Viewer), other)
	if res := h.submit(t, other.PlatformHost, "/admin/notices/"+id+"/dismiss", there, nil); res.StatusCode != http.StatusNotFound {
		t.Errorf("another plan puts it away: %d", res.StatusCode)
	}
	// Who comes to the plan reads it, who leaves it does not.
	if err := h.plans.Assign(t.Context(), other.ID, p.ID); err != nil {
		t.Fatal(err)
	}
	h.grow(t, board)
	if reads(board) || !reads(other) {
		t.Errorf("after a change of plans: read by who left %v, by who came %v", reads(board), reads(other))
	}
}
