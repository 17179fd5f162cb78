package web_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/tenant"
)

// An event that Stripe sent in another version of its API waits until somebody
// of the staff who may has it applied, once, and the log says who did.
func TestStaffApplyAHeldEvent(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "orbit")
	err := h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`INSERT INTO stripe_accounts (tenant_id, account, kind) VALUES (?, 'acct_1', 'standard');
			INSERT INTO stripe_events (id, account, type, api_version, payload, state, note, created_at)
			SELECT 'evt_' || n, CASE n WHEN 2 THEN 'acct_2' ELSE 'acct_1' END, 'checkout.session.completed', '2026-01-01',
				jsonb_build_object('id', 'evt_' || n, 'type', 'checkout.session.completed', 'account', CASE n WHEN 2 THEN 'acct_2' ELSE 'acct_1' END,
					'data', jsonb_build_object('object', jsonb_build_object('id', 'cs_1', 'object', 'checkout.session'))),
				CASE n WHEN 3 THEN 'applied' ELSE 'held' END, 'sent with another version', now() FROM generate_series(1, 3) n`, board.ID).Exec(ctx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	boss, support := h.signedIn(t, tenant.Nil, authz.Billing), h.signedIn(t, tenant.Nil, authz.Support)
	const act = "/staff/events/evt_1/apply"
	page := func(path, token string) string {
		res := h.call(t, platformHost, http.MethodGet, path, token)
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s: %v", path, res.Status, err)
		}
		return string(body)
	}
	for _, id := range []string{"evt_1", "evt_2", "evt_3"} {
		if !strings.Contains(page("/staff/events", boss), `href="/staff/events/`+id) {
			t.Errorf("the list does not lead to %s", id)
		}
	}
	if p := page("/staff/events/evt_1", boss); !strings.Contains(p, act) || !strings.Contains(p, "data-confirm=") {
		t.Errorf("the held event is not offered to be applied:\n%s", p)
	}
	if strings.Contains(page("/staff/events/evt_1", support), "/apply\"") {
		t.Error("the page offers support what it may not do")
	}
	for _, try := range []struct {
		who, path string
		status    int
	}{
		{support, act, http.StatusForbidden},
		{boss, "/staff/events/evt_2/apply", http.StatusConflict}, // no board has its account
		{boss, "/staff/events/evt_3/apply", http.StatusSeeOther}, // again: the end state is the same
		{boss, act, http.StatusSeeOther},
		{boss, act, http.StatusConflict}, // it is on its way
	} {
		if res := h.call(t, platformHost, http.MethodPost, try.path, try.who); res.StatusCode != try.status {
			t.Errorf("%s answers %s, want %d", try.path, res.Status, try.status)
		}
	}
	err = h.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		var state string
		var work, log int
		err := tx.NewRaw(`SELECT (SELECT state FROM stripe_events WHERE id = 'evt_1'),
			(SELECT count(*) FROM tasks WHERE tenant_id = ? AND kind = 'billing.event' AND key = 'evt_1'),
			(SELECT count(*) FROM audit_log WHERE act = 'event.apply' AND object_id = 'evt_1' AND actor_id IS NOT NULL)`, board.ID).Scan(ctx, &state, &work, &log)
		if state != "received" || work != 1 || log != 1 {
			t.Errorf("the event is %s, with %d tasks and %d lines in the log", state, work, log)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
