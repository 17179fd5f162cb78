package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"shingle/internal/testkit"
)

func TestJourneyStaff(t *testing.T) {
	w := world(t)
	ctx := w.browser(t)
	const slug = "harbourside"
	agrees(t, ctx, slug)
	visit(t, ctx, w.platform+"/staff", 200)
	if at := where(ctx); !strings.HasPrefix(at, w.platform+"/sign-in") {
		t.Fatalf("the staff's console sends a stranger to %s", at)
	}
	w.page(t, ctx, "sign-in")
	signIn(t, ctx, "staff@shingle.example")
	arrives(t, ctx, w.platform+"/staff")
	w.page(t, ctx, "staff-home")
	visit(t, ctx, w.platform+"/staff/boards", 200)
	says(t, ctx, "Orbit Remote", "Pflegewerk", "Tidal Jobs")
	w.page(t, ctx, "staff-boards")

	// A new board, with an owner who gets the way in by mail.
	const owner = "owner@harbourside.example"
	visit(t, ctx, w.platform+"/staff/boards/new", 200)
	w.page(t, ctx, "staff-board-new")
	fill(t, ctx, "name", "Harbourside Jobs", "slug", "orbit", "owner", owner)
	press(t, ctx, `form[action="/staff/boards"] button.btn-primary`, 422)
	w.page(t, ctx, "staff-board-taken")
	fill(t, ctx, "slug", slug)
	press(t, ctx, `form[action="/staff/boards"] button.btn-primary`, 200)
	says(t, ctx, "Harbourside Jobs")
	w.page(t, ctx, "staff-board")
	page := where(ctx)
	if i := strings.IndexByte(page, '?'); i > 0 {
		page = page[:i]
	}
	w.mail(t, owner, "Harbourside")
	visit(t, ctx, w.board(slug)+"/", 200)

	// The owner signs in by the mailed link, since they have no password.
	boss := w.browser(t)
	byMailAtConsole(t, boss, w, slug, owner)

	// The fee rule.
	visit(t, ctx, page, 200)
	fill(t, ctx, "percent", "140")
	press(t, ctx, `form[action$="/fee"] button`, 422)
	w.page(t, ctx, "staff-fee-error")
	fill(t, ctx, "percent", "12.5", "fixed", "1", "cap", "20")
	press(t, ctx, `form[action$="/fee"] button`, 200)
	// 12.5 % of 199.00 and 1.00 more pass the cap.
	says(t, ctx, "$20.00", "$179.00")

	// Suspended: the site is away, the console is not.
	visit(t, ctx, page, 200)
	fill(t, ctx, "reason", "Postings that break the rules")
	press(t, ctx, `form[action$="/suspend"] button`, 200)
	says(t, ctx, "Postings that break the rules")
	w.page(t, ctx, "staff-board-suspended")
	testkit.Eventually(t, patience, func() error {
		res, err := chromedp.RunResponse(ctx, chromedp.Navigate(w.board(slug)+"/"))
		if err != nil {
			return err
		}
		if res.Status != 503 {
			return fmt.Errorf("the suspended site answers %d", res.Status)
		}
		return nil
	})
	w.page(t, ctx, "suspended")
	if strings.Contains(body(t, ctx), "rules") {
		t.Errorf("the neutral page tells the reason")
	}
	visit(t, boss, w.board(slug)+"/admin", 200)
	says(t, boss, "Postings that break the rules")
	w.page(t, boss, "admin-suspended")
	again := w.browser(t)
	visit(t, again, w.board(slug)+"/admin", 200)
	if at := where(again); !strings.HasPrefix(at, w.platform+"/sign-in") {
		t.Errorf("a suspended board's console sends to %s", at)
	}
	byMailAtConsole(t, again, w, slug, owner)
	says(t, again, "Postings that break the rules")

	visit(t, ctx, page, 200)
	press(t, ctx, `form[action$="/resume"] button`, 200)
	testkit.Eventually(t, patience, func() error {
		res, err := chromedp.RunResponse(ctx, chromedp.Navigate(w.board(slug)+"/"))
		if err != nil {
			return err
		}
		if res.Status != 200 {
			return fmt.Errorf("the resumed site answers %d", res.Status)
		}
		return nil
	})

	// An operator's mailbox sent the platform's mail back; now it works again.
	w.sql(t, `INSERT INTO mail_suppressions (tenant_id, address, reason, note) VALUES ('00000000-0000-0000-0000-000000000000', $1, 'bounce', 'mailbox full')`, "full@harbourside.example")
	visit(t, ctx, w.platform+"/staff/mail", 200)
	w.page(t, ctx, "staff-mail")
	visit(t, ctx, w.platform+"/staff/mail/suppressed", 200)
	says(t, ctx, "full@harbourside.example", "mailbox full")
	w.page(t, ctx, "staff-mail-suppressed")
	press(t, ctx, `form[action$="/lift"] button`, 200)
	says(t, ctx, "The platform writes to this address again.", "Everybody can be written to")
	w.page(t, ctx, "staff-mail-suppressed-none")

	// A task gave up while mail was away; retried, it is done and gone.
	w.sql(t, `INSERT INTO tasks (tenant_id, id, kind, queue, attempts, last_error, failed_at)
		SELECT id, gen_random_uuid(), 'candidates.digests', 'bulk', 12, 'mail server: connection refused', now() FROM boards WHERE slug = $1`, slug)
	visit(t, ctx, w.platform+"/staff/tasks", 200)
	says(t, ctx, "candidates.digests", "Harbourside Jobs", "connection refused")
	w.page(t, ctx, "staff-failed-task")
	press(t, ctx, `button[formaction$="/retry"]`, 200)
	testkit.Eventually(t, patience, func() error {
		var left int
		err := w.db.QueryRowContext(t.Context(), `SELECT count(*) FROM tasks WHERE last_error LIKE 'mail server%'`).Scan(&left)
		if err == nil && left > 0 {
			err = errors.New("the retried task is still there")
		}
		return err
	})
	visit(t, ctx, w.platform+"/staff/tasks", 200)
	if strings.Contains(body(t, ctx), "connection refused") {
		t.Errorf("a task that was retried and done is still shown")
	}

	// Every act stands in the log, for the staff and for the board.
	visit(t, ctx, w.platform+"/staff/audit", 200)
	says(t, ctx, "Board: suspended", "Postings that break the rules", "Board: fee changed")
	w.page(t, ctx, "staff-audit")
	visit(t, boss, w.board(slug)+"/admin/audit", 200)
	says(t, boss, "Board: created")
	w.page(t, boss, "admin-audit")
	visit(t, boss, w.board(slug)+"/admin/audit?actor=nobody@at.all.example", 200)
	w.page(t, boss, "admin-audit-none")

	// Announced, and read at the top of the board's console.
	visit(t, ctx, w.platform+"/staff/announcements", 200)
	fill(t, ctx, "text_en", "Payments pause tonight.", "text_de", "Zahlungen ruhen heute Nacht.", "level", "warning", "audience", "boards", "boards", slug)
	press(t, ctx, `form[action="/staff/announcements"] button.btn-primary`, 200)
	w.page(t, ctx, "staff-announcements")
	visit(t, boss, w.board(slug)+"/admin", 200)
	says(t, boss, "Payments pause tonight.")
	w.page(t, boss, "announced")

	// Staff looks at the owner's console, under a banner, and goes out again.
	visit(t, ctx, page, 200)
	fill(t, ctx, "note", "Called twice about their logo.")
	press(t, ctx, `form[action$="/notes"] button`, 200)
	says(t, ctx, "Called twice about their logo.")
	w.page(t, ctx, "staff-board-whole")
	fill(t, ctx, "acting_reason", "Their listing is missing")
	press(t, ctx, `form[action$="/act-as"] button`, 200)
	arrives(t, ctx, w.board(slug)+"/admin")
	says(t, ctx, "acts as", "Looking only.", "minutes left")
	w.page(t, ctx, "acting")
	visit(t, ctx, w.board(slug)+"/admin/listings", 200)
	says(t, ctx, "acts as")
	press(t, ctx, `form[action="/admin/acting/end"] button`, 200)
	says(t, ctx, "Harbourside Jobs", "It has ended.")
	visit(t, boss, w.board(slug)+"/admin/support", 200)
	says(t, boss, "Their listing is missing")
	w.page(t, boss, "support-access")

	visit(t, ctx, page+"/timeline", 200)
	says(t, ctx, "impersonation.began", "Called twice")
	w.page(t, ctx, "staff-timeline")
	visit(t, ctx, w.platform+"/staff/search?find=harbour", 200)
	w.page(t, ctx, "staff-search")
	for _, p := range []string{"figures", "flags"} {
		visit(t, ctx, w.platform+"/staff/"+p, 200)
		w.page(t, ctx, "staff-"+p)
	}
	w.sql(t, `INSERT INTO stripe_events (id, type, api_version, payload, state, note, created_at) VALUES ('evt_journey', 'checkout.session.completed', '2023-10-16',
		'{"id":"evt_journey","data":{"object":{"id":"cs_test_1","customer_email":"ada@people.example"}}}', 'ignored', 'no board has this account', now()) ON CONFLICT DO NOTHING`)
	visit(t, ctx, w.platform+"/staff/events/evt_journey", 200)
	if strings.Contains(body(t, ctx), "ada@people.example") {
		t.Error("the payload shows an address")
	}
	w.page(t, ctx, "staff-event")

	for _, p := range []string{"orders", "tasks", "events"} {
		visit(t, ctx, w.platform+"/staff/"+p, 200)
		w.page(t, ctx, "staff-"+p)
	}
	visit(t, ctx, w.platform+"/boards", 200)
	w.page(t, ctx, "staff-my-boards")
	visit(t, ctx, w.platform+"/account", 200)
	w.page(t, ctx, "account")

	// An owner of a board is nobody here.
	visit(t, boss, w.platform+"/staff", 403)
	w.page(t, boss, "staff-forbidden")
}
