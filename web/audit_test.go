package web_test

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/authz"
	"shingle/authz/chain"
	"shingle/internal/testkit"
	"shingle/tenant"
)

// console asks as an operator in a language and gives status and body.
func (h *house) console(t *testing.T, host, path, token, language string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+":8080"+path, http.NoBody)
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Accept-Language", language)
	r.AddCookie(&http.Cookie{Name: accounts.CookieName(accounts.OperatorCookie, accounts.Secured("http", host)), Value: token})
	rec := httptest.NewRecorder()
	h.handler.ServeHTTP(rec, r)
	body, err := io.ReadAll(rec.Body)
	if err != nil {
		t.Fatal(err)
	}
	return rec.Code, string(body)
}

func has(t *testing.T, body string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(body, w) {
			t.Errorf("the page lacks %q", w)
		}
	}
}

var olderLink = regexp.MustCompile(`rel="next" href="([^"]+)"`)

func TestAuditPages(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board, rival := h.Board(t, "orbit"), h.Board(t, "rival")
	owner := h.handedOver(t, h.signedIn(t, board.ID, authz.Owner), board)
	status, body := h.console(t, board.PlatformHost, "/admin/audit", owner, "en")
	if status != http.StatusOK {
		t.Fatalf("got %d", status)
	}
	has(t, body, "Nothing has happened yet", "Nothing is sealed yet", "Not verified yet")

	staffID, actorID := tenant.NewRowID(), tenant.NewRowID()
	act := func(b *tenant.Tenant, a authz.Act, as tenant.Actor) {
		t.Helper()
		err := h.DB.Write(tenant.WithActor(h.Ctx(t, b), as), func(ctx context.Context, tx bun.IDB) error { return authz.Record(ctx, tx, a) })
		if err != nil {
			t.Fatal(err)
		}
	}
	ada := tenant.Actor{Kind: tenant.Operator, ID: actorID, Label: "=Ada"}
	for i := range 120 {
		act(board, authz.Act{Act: "listing.approved", ObjectKind: "listing", ObjectID: fmt.Sprintf("job-%03d", i), Detail: map[string]any{"days": 30, "featured": true}}, ada)
	}
	kim := ada
	kim.Impersonator, kim.ImpersonatorLabel = staffID, "Kim of staff"
	act(board, authz.Act{Act: "order.refund", ObjectKind: "order", ObjectID: "o-1", Detail: map[string]any{"reason": "<b>twice</b>"}}, kim)
	act(board, authz.Act{Act: "odd.thing_done"}, tenant.Actor{Kind: tenant.System})
	act(rival, authz.Act{Act: "listing.rejected", ObjectID: "rival-job"}, ada)

	// All lines are met once, newest first, page by page.
	seen := map[string]int{}
	pages := 0
	for at := "/admin/audit"; at != ""; pages++ {
		status, body := h.console(t, board.PlatformHost, at, owner, "en")
		if status != http.StatusOK || strings.Contains(body, "rival-job") || strings.Contains(body, "⟦") {
			t.Fatalf("%s: got %d\n%.2000s", at, status, body)
		}
		for _, m := range regexp.MustCompile(`object=(job-\d+)"`).FindAllStringSubmatch(body, -1) {
			seen[m[1]]++
		}
		at = ""
		if m := olderLink.FindStringSubmatch(body); m != nil {
			at = strings.ReplaceAll(m[1], "&amp;", "&")
		}
	}
	if len(seen) != 120 || pages != 3 {
		t.Errorf("%d lines on %d pages", len(seen), pages)
	}
	for job, n := range seen {
		if n != 1 {
			t.Errorf("%s stands %d times", job, n)
		}
	}

	_, body = h.console(t, board.PlatformHost, "/admin/audit", owner, "en")
	has(t, body, "Order: refunded", "Kim of staff", "=Ada", "&lt;b&gt;twice&lt;/b&gt;", "Reason:", "odd: thing done", "Shingle itself", "122 more wait for their seal", ">waits<")
	sealer := &chain.Sealer{Platform: h.Platform, Log: slog.New(slog.DiscardHandler)}
	if _, err := sealer.SealAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := sealer.VerifyAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, body = h.console(t, board.PlatformHost, "/admin/audit", owner, "en")
	has(t, body, "Sealed up to line 122.", "Verified up to line 122")

	for query, want := range map[string]int{"act=order.refund": 1, "kind=order": 1, "kind=order&act=listing.approved": 0, "object=job-007": 1, "actor=" + staffID.String(): 1, "actor=" + actorID.String() + "&act=order.refund": 1,
		"actor=nobody@at.all.example": 0, "from=2001-01-01&to=2001-12-31": 0, "object=rival-job": 0, "act=order.refund&object=o-1&from=2020-01-01": 1} {
		_, body := h.console(t, board.PlatformHost, "/admin/audit?"+query, owner, "en")
		if n := strings.Count(body, "<td class=\"text-nowrap\">"); n != want {
			t.Errorf("%s shows %d lines, want %d", query, n, want)
		}
		if want == 0 {
			has(t, body, "No act fits")
		}
	}
	status, body = h.console(t, board.PlatformHost, "/admin/audit?from=soon", owner, "en")
	if status != http.StatusUnprocessableEntity {
		t.Errorf("a bad date: %d", status)
	}
	has(t, body, "Enter a date such as", `value="soon"`)

	// The export: the filter's lines, all of them, no formula.
	_, body = h.console(t, board.PlatformHost, "/admin/audit.csv?act=listing.approved", owner, "en")
	rows, err := csv.NewReader(strings.NewReader(body)).ReadAll()
	if err != nil || len(rows) != 121 {
		t.Fatalf("%d rows: %v", len(rows), err)
	}
	if rows[1][3] != "'=Ada" || rows[1][2] == "" || !strings.Contains(rows[1][12], "Days: 30") {
		t.Errorf("the first row is %q", rows[1])
	}

	// Staff: the platform's own, a board's, all, and a board that is none.
	super := h.signedIn(t, tenant.Nil, authz.Superadmin)
	status, body = h.console(t, platformHost, "/staff/audit?board=orbit&act=order.refund", super, "de")
	if status != http.StatusOK || strings.Contains(body, "⟦") {
		t.Errorf("got %d", status)
	}
	has(t, body, "Bestellung: erstattet", "Kim of staff", "Versiegelt bis Zeile 122.", "Protokoll")
	_, body = h.console(t, platformHost, "/staff/audit?scope=all", super, "en")
	has(t, body, "rival jobs", "orbit jobs", "rival-job")
	_, body = h.console(t, platformHost, "/staff/audit", super, "en")
	if strings.Contains(body, "rival-job") {
		t.Error("the platform's own log has a board's line")
	}
	status, body = h.console(t, platformHost, "/staff/audit?board=none", super, "en")
	if status != http.StatusUnprocessableEntity || strings.Contains(body, "rival-job") {
		t.Errorf("an unknown board: %d", status)
	}
	has(t, body, "There is no board with this address.")
	_, body = h.console(t, platformHost, "/staff/audit.csv?scope=all&"+url.Values{"object": {"rival-job"}}.Encode(), super, "en")
	if rows, err := csv.NewReader(strings.NewReader(body)).ReadAll(); err != nil || len(rows) != 2 || rows[1][1] != "rival jobs" {
		t.Errorf("got %q, %v", rows, err)
	}

	// What does not hold is told.
	if _, err := h.PG.Open(t, h.PG.Superuser, 1).ExecContext(t.Context(), `UPDATE audit_log SET act = 'x.y' WHERE object_id = 'job-007'`); err != nil {
		t.Fatal(err)
	}
	if err := sealer.VerifyAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, body = h.console(t, board.PlatformHost, "/admin/audit", owner, "en")
	has(t, body, "The chain is not what was sealed.", "link 8, of")
}

// TestAuditLogGoesByItsKeys: each filter has an index that gives its order.
func TestAuditLogGoesByItsKeys(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "orbit")
	super := h.PG.Open(t, h.PG.Superuser, 1)
	_, err := super.ExecContext(t.Context(), `INSERT INTO audit_log (tenant_id, id, at, actor_kind, actor_id, impersonator_id, act, object_kind, object_id)
		SELECT $1, gen_random_uuid(), now() - i * interval '1 minute', 'operator', md5((i % 500)::text)::uuid, CASE WHEN i % 1000 = 0 THEN md5('staff')::uuid END, CASE WHEN i % 5000 = 0 THEN 'rare.act' ELSE 'a.b' || i % 40 END, CASE WHEN i % 5000 = 0 THEN 'rare' ELSE 'k' || i % 11 END, 'o' || i % 5000
		FROM generate_series(1, 20000) AS i`, board.ID.String())
	if err != nil {
		t.Fatal(err)
	}
	h.Analyze(t)
	var from authz.Line
	if err := super.QueryRowContext(t.Context(), `SELECT id, at, actor_id FROM audit_log ORDER BY at DESC OFFSET 15000 LIMIT 1`).Scan(&from.ID, &from.At, &from.ActorID); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]authz.LogFilter{"no filter": {}, "deep": {Before: from.At, BeforeID: from.ID}, "act": {Act: "a.b7"}, "kind": {ObjectKind: "k9", Before: from.At, BeforeID: from.ID}, "object": {ObjectID: "o9", Before: from.At, BeforeID: from.ID},
		"actor": {ActorID: *from.ActorID}, "dates": {From: from.At.AddDate(0, 0, -1), To: from.At}} {
		for _, p := range h.Plans(t, func(w *testkit.World) {
			err := w.DB.Read(w.Ctx(t, board), func(ctx context.Context, tx bun.IDB) error {
				_, err := authz.Log(ctx, tx, f)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}) {
			if strings.Contains(p.Plan, "Seq Scan on audit_log") || !strings.Contains(p.Plan, "Index Scan using audit_log_") {
				t.Errorf("%s:\n%s", name, p.Plan)
			}
			if name == "kind" && !strings.Contains(p.Plan, "_kind on audit_log") {
				t.Errorf("%s:\n%s", name, p.Plan)
			}
		}
	}
	// All logs at once: what is rare has an index that no board stands before.
	for index, f := range map[string]authz.LogFilter{"audit_log_all_act": {Act: "rare.act"}, "audit_log_all_kind": {ObjectKind: "rare"}, "audit_log_all_object": {ObjectID: "o9"},
		"audit_log_all_actor": {ActorID: *from.ActorID}, "audit_log_all_behind": {ActorID: *from.ActorID}} {
		f.Everywhere = true
		for _, p := range h.Plans(t, func(w *testkit.World) {
			err := w.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
				_, err := authz.Log(ctx, tx, f)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}) {
			if strings.Contains(p.Plan, "Seq Scan on audit_log") || !strings.Contains(p.Plan, index+" ") {
				t.Errorf("all logs do not go by %s:\n%s", index, p.Plan)
			}
		}
	}
	for _, p := range h.Plans(t, func(w *testkit.World) {
		err := w.DB.Read(w.Ctx(t, board), func(ctx context.Context, tx bun.IDB) error {
			kinds, err := authz.Kinds(ctx, tx, tenant.Nil)
			if len(kinds) != 12 {
				t.Errorf("kinds %q", kinds)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}) {
		if strings.Contains(p.Plan, "Seq Scan on audit_log") || !strings.Contains(p.Plan, "_kind on audit_log") {
			t.Errorf("the choice of kinds:\n%s", p.Plan)
		}
	}
}
