package web_test

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/authz"
	"shingle/internal/testkit"
	"shingle/tasks"
	"shingle/tenant"
	"shingle/web/route"
	"shingle/web/staff"
)

// submit posts a form as a session's browser would.
func (h *house) submit(t *testing.T, host, path, token string, form url.Values) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+host+":8080"+path, strings.NewReader(form.Encode()+h.proof(t, host, path)))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "text/html")
	if token != "" {
		r.AddCookie(&http.Cookie{Name: accounts.CookieName(accounts.OperatorCookie, accounts.Secured("http", host)), Value: token})
	}
	rec := httptest.NewRecorder()
	h.handler.ServeHTTP(rec, r)
	return rec.Result()
}

func text(t *testing.T, res *http.Response) string {
	t.Helper()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// operatorOf is who sits in a session on a board or, for nil, on the platform.
func (h *house) operatorOf(t *testing.T, token string) *accounts.OperatorSession {
	t.Helper()
	s, err := h.operators.SessionByToken(t.Context(), token, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// actAs goes the whole way of an impersonation by HTTP: the form, the code, its
// button. The board must not ask for consent.
func (h *house) actAs(t *testing.T, staffToken string, board *tenant.Tenant, target uuid.UUID, more url.Values) (token string) {
	t.Helper()
	form := url.Values{"operator": {target.String()}, "acting_reason": {"They cannot find their listing"}, "minutes": {"30"}}
	for k, v := range more {
		form[k] = v
	}
	res := h.submit(t, platformHost, "/staff/boards/"+board.ID.String()+"/act-as", staffToken, form)
	return h.through(t, res, board)
}

func (h *house) through(t *testing.T, res *http.Response, board *tenant.Tenant) string {
	t.Helper()
	to, err := url.Parse(res.Header.Get("Location"))
	if err != nil || res.StatusCode != http.StatusSeeOther || to.Path != "/admin/enter" {
		t.Fatalf("%d to %q, want the door: %.2000s", res.StatusCode, res.Header.Get("Location"), text(t, res))
	}
	in := h.submit(t, board.PlatformHost, "/admin/enter", "", url.Values{"code": {to.Query().Get("code")}})
	for _, c := range in.Cookies() {
		if c.Value != "" {
			return c.Value
		}
	}
	t.Fatalf("the door did not open: %d to %s", in.StatusCode, in.Header.Get("Location"))
	return ""
}

// lines are the acts of a log, newest first.
func (h *house) lines(t *testing.T, board tenant.ID, prefix string) (out []authz.Line) {
	t.Helper()
	err := h.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		all, err := authz.Log(ctx, tx, authz.LogFilter{Board: board, Limit: 100})
		for _, l := range all {
			if strings.HasPrefix(l.Act, prefix) {
				out = append(out, l)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// mailsOf is where each mail of a kind leads, by whom it is to.
func (h *house) mailsOf(t *testing.T, kind string) map[string]string {
	t.Helper()
	var rows []struct {
		To  string `bun:"recipient"`
		URL string `bun:"url"`
	}
	err := h.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT recipient, payload->>'url' AS url FROM mails WHERE kind = ?`, kind).Scan(ctx, &rows)
	})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, r := range rows {
		u, err := url.Parse(r.URL)
		if err != nil {
			t.Fatal(err)
		}
		out[r.To] = u.Hostname() + u.Path
	}
	return out
}

func TestStaffActsAsAMember(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board, rival := h.Board(t, "orbit"), h.Board(t, "rival")
	owner := h.operatorOf(t, h.signedIn(t, board.ID, authz.Owner)).Operator
	support := h.signedIn(t, tenant.Nil, authz.Support)
	who := h.operatorOf(t, support).Operator

	token := h.actAs(t, support, board, owner.ID, nil)
	page := text(t, h.call(t, board.PlatformHost, route.GET, "/admin/settings", token))
	for _, want := range []string{who.Label() + " acts as " + owner.Label(), "Looking only", "30 minutes left", `action="/admin/acting/end"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if missing := h.call(t, board.PlatformHost, route.GET, "/admin/listings/"+uuid.NewString(), token); !strings.Contains(text(t, missing), "acts as") {
		t.Error("the error page has no banner")
	}
	if res := h.call(t, rival.PlatformHost, route.GET, "/admin", token); res.StatusCode != http.StatusSeeOther {
		t.Errorf("the session opens another board: %d", res.StatusCode)
	}

	// Out again: the session ends, the staff member's own does not.
	res := h.submit(t, board.PlatformHost, "/admin/acting/end", token, nil)
	if want := h.links.Platform("/staff/boards/" + board.ID.String() + "?ok=impersonation.ended"); res.Header.Get("Location") != want {
		t.Errorf("ending leads to %q, want %q", res.Header.Get("Location"), want)
	}
	if res := h.call(t, board.PlatformHost, route.GET, "/admin", token); res.StatusCode != http.StatusSeeOther {
		t.Errorf("after the end: %d, want the way to sign in", res.StatusCode)
	}
	if res := h.call(t, platformHost, route.GET, "/staff", support); res.StatusCode != http.StatusOK {
		t.Errorf("the staff's own session: %d, want 200", res.StatusCode)
	}
	for _, log := range []tenant.ID{board.ID, tenant.Nil} {
		var acts []string
		for _, l := range h.lines(t, log, "impersonation.") {
			acts = append(acts, l.Act)
			if l.Detail["reason"] != "They cannot find their listing" || l.ObjectID != owner.ID.String() {
				t.Errorf("%s says %v", l.Act, l.Detail)
			}
		}
		slices.Sort(acts)
		if want := []string{"impersonation.asked", "impersonation.began", "impersonation.ended"}; !slices.Equal(acts, want) {
			t.Errorf("the log of %s has %v, want %v", log, acts, want)
		}
	}
}

// TestActingIsLoggedUnderBothNames: whatever is done carries the member's name
// and the staff member's.
func TestActingIsLoggedUnderBothNames(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "orbit")
	owner := h.operatorOf(t, h.signedIn(t, board.ID, authz.Owner)).Operator
	super := h.signedIn(t, tenant.Nil, authz.Superadmin)
	token := h.actAs(t, super, board, owner.ID, url.Values{"writes": {"1"}})
	res := h.submit(t, board.PlatformHost, "/admin/settings", token, url.Values{"name": {"Orbit by staff"}, "locale": {"en"}, "currency": {"USD"}, "time_zone": {"UTC"}})
	if res.StatusCode != http.StatusSeeOther {
		t.Fatalf("saving: %d %.500s", res.StatusCode, text(t, res))
	}
	got := h.lines(t, board.ID, "settings.saved")
	if len(got) != 1 || got[0].ActorID == nil || *got[0].ActorID != owner.ID || got[0].Actor() != owner.Label() || got[0].Impersonator() != h.operatorOf(t, super).Operator.Label() {
		t.Errorf("the log has %+v", got)
	}
}

// TestActingNeverDoesWhatIsTheirs walks the whole table as an impersonated
// owner, once with writing and once without.
func TestActingNeverDoesWhatIsTheirs(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "orbit")
	owner := h.operatorOf(t, h.signedIn(t, board.ID, authz.Owner)).Operator
	super := h.signedIn(t, tenant.Nil, authz.Superadmin)
	never := []authz.Permission{authz.Can("payout", "onboard"), authz.Can("team", "manage"), authz.Can("plan", "manage"), authz.Can("support", "manage")}
	for _, writes := range []bool{false, true} {
		more := url.Values{}
		if writes {
			more.Set("writes", "1")
		}
		token := h.actAs(t, super, board, owner.ID, more)
		barred, opened := 0, 0
		for _, r := range h.parts.Admin.Routes() {
			if r.Can == authz.Public || r.Path == "/admin/sign-out" || r.Path == "/admin/acting/end" {
				continue
			}
			res := h.call(t, board.PlatformHost, r.Method, address(r.Path), token)
			export := strings.HasPrefix(r.Path, "/admin/export") || strings.HasSuffix(r.Path, ".csv") && r.Path != "/admin/imports/template.csv"
			if slices.Contains(never, r.Can) || export || r.Method != route.GET && (strings.HasPrefix(r.Path, "/admin/payouts") || strings.HasPrefix(r.Path, "/admin/team")) || r.Method != route.GET && !writes {
				barred++
				if res.StatusCode != http.StatusForbidden {
					t.Errorf("writes %v: %s %s answers %d, want 403", writes, r.Method, r.Path, res.StatusCode)
				}
				continue
			}
			opened++
			if res.StatusCode == http.StatusForbidden || res.StatusCode == http.StatusInternalServerError {
				t.Errorf("writes %v: %s %s answers %d", writes, r.Method, r.Path, res.StatusCode)
			}
		}
		if barred < 8 || opened < 20 {
			t.Errorf("writes %v: %d barred, %d open: the walk saw too little", writes, barred, opened)
		}
		// The platform's own pages, with sign-in factors and other boards, know the session not at all.
		for _, path := range []string{"/account", "/staff", "/boards"} {
			if res := h.call(t, platformHost, route.GET, path, token); res.StatusCode != http.StatusSeeOther || !strings.Contains(res.Header.Get("Location"), "/sign-in") {
				t.Errorf("%s answers %d to %q", path, res.StatusCode, res.Header.Get("Location"))
			}
		}
		s, err := h.operators.SessionByToken(t.Context(), token, &board.ID)
		if err != nil {
			t.Fatal(err)
		}
		err = h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
			_, err := h.operators.AskImpersonation(ctx, tx, s, accounts.NewImpersonation{Board: board.ID, Operator: owner.ID, Reason: "further"})
			return err
		})
		if err == nil {
			t.Error("an impersonated session impersonates further")
		}
		if res := h.submit(t, board.PlatformHost, "/admin/sign-out", token, nil); !strings.Contains(res.Header.Get("Location"), "/staff/boards/") {
			t.Errorf("signing out leads to %q", res.Header.Get("Location"))
		}
	}
}

func TestActingIsRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "orbit")
	owner := h.operatorOf(t, h.signedIn(t, board.ID, authz.Owner)).Operator
	support, billing := h.signedIn(t, tenant.Nil, authz.Support), h.signedIn(t, tenant.Nil, authz.Billing)
	at := "/staff/boards/" + board.ID.String() + "/act-as"
	good := url.Values{"operator": {owner.ID.String()}, "acting_reason": {"a reason"}, "minutes": {"30"}}
	with := func(k, v string) url.Values {
		out := url.Values{}
		for name, vs := range good {
			out[name] = vs
		}
		out.Set(k, v)
		return out
	}
	for _, c := range []struct {
		name, token string
		form        url.Values
		want        int
	}{
		{"the role lacks it", billing, good, http.StatusForbidden},
		{"no reason", support, with("acting_reason", "  "), http.StatusUnprocessableEntity},
		{"longer than two hours", support, with("minutes", "121"), http.StatusUnprocessableEntity},
		{"no minutes that make sense", support, with("minutes", "x"), http.StatusUnprocessableEntity},
		{"nobody of this board", support, with("operator", uuid.NewString()), http.StatusUnprocessableEntity},
	} {
		res := h.submit(t, platformHost, at, c.token, c.form)
		if body := text(t, res); res.StatusCode != c.want {
			t.Errorf("%s: %d, want %d: %.300s", c.name, res.StatusCode, c.want, body)
		} else if c.want == http.StatusUnprocessableEntity && c.name != "no reason" && !strings.Contains(body, `value="a reason"`) {
			t.Errorf("%s: the form comes back empty", c.name)
		}
	}
	// Who loses the right is out with the next request.
	token := h.actAs(t, support, board, owner.ID, nil)
	err := h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return authz.Revoke(ctx, tx, tenant.Nil, h.operatorOf(t, support).Operator.ID, authz.Support)
	})
	if err != nil {
		t.Fatal(err)
	}
	if res := h.call(t, board.PlatformHost, route.GET, "/admin", token); res.StatusCode != http.StatusSeeOther {
		t.Errorf("without the right: %d, want the way to sign in", res.StatusCode)
	}
}

func TestABoardAsksToBeAsked(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "orbit")
	ownerSign := h.signedIn(t, board.ID, authz.Owner)
	owner, boss := h.operatorOf(t, ownerSign).Operator, h.handedOver(t, ownerSign, board)
	admin := h.handedOver(t, h.signedIn(t, board.ID, authz.Admin), board)
	support, other := h.signedIn(t, tenant.Nil, authz.Support), h.signedIn(t, tenant.Nil, authz.Superadmin)
	if res := h.submit(t, board.PlatformHost, "/admin/support", boss, url.Values{"ask": {"1"}}); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("the setting: %d", res.StatusCode)
	}
	ask := func() string {
		t.Helper()
		res := h.submit(t, platformHost, "/staff/boards/"+board.ID.String()+"/act-as", support, url.Values{"operator": {owner.ID.String()}, "acting_reason": {"a look"}})
		if want := "/staff/boards/" + board.ID.String() + "?ok=impersonation.asked"; res.Header.Get("Location") != want {
			t.Fatalf("asking leads to %q: %.500s", res.Header.Get("Location"), text(t, res))
		}
		page := text(t, h.call(t, board.PlatformHost, route.GET, "/admin/support", boss))
		id := regexp.MustCompile(`/admin/support/([0-9a-f-]{36})/decide`).FindStringSubmatch(page)
		if id == nil {
			t.Fatalf("nothing to decide: %s", page)
		}
		return id[1]
	}
	enter := func(id, as string) *http.Response {
		return h.submit(t, platformHost, "/staff/boards/"+board.ID.String()+"/act-as/"+id+"/enter", as, nil)
	}
	id := ask()
	// The owners hear of it by mail, and nobody else does.
	if got := h.mailsOf(t, "support-asks"); len(got) != 1 || got[owner.Email] != board.PlatformHost+"/admin/support" {
		t.Errorf("asked, and the mails are %v", got)
	}
	if page := text(t, h.call(t, board.PlatformHost, route.GET, "/admin", boss)); !strings.Contains(page, "asks to come in") {
		t.Error("the owner is not told")
	}
	if res := enter(id, support); res.StatusCode != http.StatusConflict {
		t.Errorf("before the answer: %d, want 409", res.StatusCode)
	}
	if res := h.submit(t, board.PlatformHost, "/admin/support/"+id+"/decide", admin, url.Values{"answer": {"grant"}}); res.StatusCode != http.StatusForbidden {
		t.Errorf("an admin decides: %d, want 403", res.StatusCode)
	}
	if res := h.submit(t, board.PlatformHost, "/admin/support/"+id+"/decide", boss, url.Values{"answer": {"refuse"}}); res.StatusCode != http.StatusSeeOther {
		t.Errorf("refusing: %d", res.StatusCode)
	}
	if res := enter(id, support); res.StatusCode != http.StatusConflict {
		t.Errorf("refused: %d, want 409", res.StatusCode)
	}
	id = ask()
	if res := h.submit(t, board.PlatformHost, "/admin/support/"+id+"/decide", boss, url.Values{"answer": {"grant"}}); res.StatusCode != http.StatusSeeOther {
		t.Errorf("granting: %d", res.StatusCode)
	}
	if res := h.submit(t, board.PlatformHost, "/admin/support/"+id+"/decide", boss, url.Values{"answer": {"grant"}}); res.StatusCode != http.StatusConflict {
		t.Errorf("granting twice: %d, want 409", res.StatusCode)
	}
	if res := enter(id, other); res.StatusCode != http.StatusNotFound {
		t.Errorf("a colleague uses the grant: %d, want 404", res.StatusCode)
	}
	// Two codes of one grant: the second finds it used.
	first, second := enter(id, support), enter(id, support)
	token := h.through(t, first, board)
	to, _ := url.Parse(second.Header.Get("Location"))
	if again := h.submit(t, board.PlatformHost, "/admin/enter", "", url.Values{"code": {to.Query().Get("code")}}); len(again.Cookies()) > 0 {
		t.Error("one grant makes two sessions")
	}
	if got := h.mailsOf(t, "support-came"); len(got) != 1 || got[owner.Email] != board.PlatformHost+"/admin/support" {
		t.Errorf("support came, and the mails are %v", got)
	}
	// The owner throws them out.
	if res := h.submit(t, board.PlatformHost, "/admin/support/"+id+"/end", boss, nil); res.StatusCode != http.StatusSeeOther {
		t.Errorf("ending: %d", res.StatusCode)
	}
	if res := h.call(t, board.PlatformHost, route.GET, "/admin", token); res.StatusCode != http.StatusSeeOther {
		t.Errorf("after the owner's end: %d", res.StatusCode)
	}
}

// TestActingEndsInTime: using it does not prolong it, and the log says so.
func TestActingEndsInTime(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "orbit")
	clock := testkit.NewClock(time.Now())
	ops := accounts.NewOperators(h.Platform, accounts.NewLimiter(nil, clock.Now), h.links, clock.Now)
	owner := h.operatorOf(t, h.signedIn(t, board.ID, authz.Owner)).Operator
	by := h.operatorOf(t, h.signedIn(t, tenant.Nil, authz.Support))
	var i *accounts.Impersonation
	err := h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		i, err = ops.AskImpersonation(ctx, tx, by, accounts.NewImpersonation{Board: board.ID, Operator: owner.ID, Reason: "a look"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if i.Minutes != 30 || i.Writes {
		t.Errorf("left open it is %d minutes, writes %v", i.Minutes, i.Writes)
	}
	over, err := ops.HandOverAs(t.Context(), by, board.ID, i.ID)
	if err != nil {
		t.Fatal(err)
	}
	in, err := ops.Exchange(t.Context(), board.ID, over.Host, over.Code, accounts.Client{})
	if err != nil {
		t.Fatal(err)
	}
	clock.Advance(29 * time.Minute)
	if _, err := ops.SessionByToken(t.Context(), in.Token, &board.ID); err != nil {
		t.Errorf("after 29 minutes: %v", err)
	}
	clock.Advance(2 * time.Minute)
	if _, err := ops.SessionByToken(t.Context(), in.Token, &board.ID); err == nil {
		t.Error("it goes on after 31 minutes, prolonged by its use")
	}
	mux := tasks.NewMux()
	ops.Register(mux)
	var row tasks.Task
	err = h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`UPDATE tasks SET lease_until = now() WHERE kind = ? RETURNING tenant_id, id, kind, version, payload, handover, run_at`, accounts.TaskEndImpersonation).Scan(ctx, &row)
	})
	if err != nil || row.RunAt.Sub(in.Expires).Abs() > time.Second {
		t.Fatalf("the task is due at %v, want %v: %v", row.RunAt, in.Expires, err)
	}
	if err := mux.Run(h.Ctx(t, board), &row); err != nil {
		t.Fatal(err)
	}
	for _, log := range []tenant.ID{board.ID, tenant.Nil} {
		if l := h.lines(t, log, "impersonation.ended"); len(l) != 1 || l[0].Detail["by"] != "time" || l[0].ActorKind != tenant.System {
			t.Errorf("the log of %s has %+v", log, l)
		}
	}
}

func TestARivalDecidesNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board, rival := h.Board(t, "orbit"), h.Board(t, "rival")
	owner := h.operatorOf(t, h.signedIn(t, board.ID, authz.Owner)).Operator
	sign := h.signedIn(t, rival.ID, authz.Owner)
	boss := h.handedOver(t, sign, rival)
	by := h.operatorOf(t, h.signedIn(t, tenant.Nil, authz.Support))
	var i *accounts.Impersonation
	err := h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		if _, err = tx.NewRaw(`UPDATE boards SET settings = '{"support":{"ask":true}}' WHERE id = ?`, board.ID).Exec(ctx); err != nil {
			return err
		}
		i, err = h.operators.AskImpersonation(ctx, tx, by, accounts.NewImpersonation{Board: board.ID, Operator: owner.ID, Reason: "a look"})
		return err
	})
	if err != nil || i.State != "asked" {
		t.Fatal(i, err)
	}
	for _, act := range []string{"decide", "end"} {
		if res := h.submit(t, rival.PlatformHost, "/admin/support/"+i.ID.String()+"/"+act, boss, url.Values{"answer": {"grant"}}); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s answers a rival %d, want 404", act, res.StatusCode)
		}
	}
	if page := text(t, h.call(t, rival.PlatformHost, route.GET, "/admin/support", boss)); strings.Contains(page, "a look") {
		t.Error("a rival sees the request")
	}
	// The app's own login reads its own board's rows and writes none.
	for ctx, want := range map[context.Context]int{h.Ctx(t, board): 1, h.Ctx(t, rival): 0} {
		n := -1
		if err := h.DB.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
			return tx.NewRaw(`SELECT count(*) FROM impersonations`).Scan(ctx, &n)
		}); err != nil || n != want {
			t.Errorf("%d rows, want %d: %v", n, want, err)
		}
	}
	for _, q := range []string{`UPDATE impersonations SET state = 'granted'`, `DELETE FROM impersonations`, `SELECT * FROM board_notes`, `SELECT * FROM board_summaries`, `SELECT * FROM feature_flags`, `SELECT * FROM announcements`} {
		if err := h.DB.Write(h.Ctx(t, board), func(ctx context.Context, tx bun.IDB) error { _, err := tx.NewRaw(q).Exec(ctx); return err }); err == nil {
			t.Errorf("the app's login may %s", q)
		}
	}
}

// TestEveryStaffListHasItsFile: each list page links a CSV that opens, is safe in
// a spreadsheet and writes times as ISO 8601.
func TestEveryStaffListHasItsFile(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.BoardOf(t, tenant.NewBoard{Slug: "evil", Name: "=HYPERLINK(\"x\")", Locale: "en", Currency: "USD", TimeZone: "UTC"})
	super := h.signedIn(t, tenant.Nil, authz.Superadmin)
	id := board.ID.String()
	exec := func(q string, args ...any) {
		t.Helper()
		if err := h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error { _, err := tx.NewRaw(q, args...).Exec(ctx); return err }); err != nil {
			t.Fatal(err)
		}
	}
	exec(`INSERT INTO tasks (tenant_id, id, kind, last_error, failed_at) VALUES (?, ?, 'some.kind', '+cmd|calc', now())`, board.ID, uuid.New())
	exec(`INSERT INTO mails (tenant_id, id, kind, key, recipient, message_id, error) VALUES (?, ?, 'k', 'k', 'ada@people.example', 'm', '@SUM(1)')`, board.ID, uuid.New())
	exec(`INSERT INTO stripe_events (id, account, type, payload, note, created_at) VALUES ('evt_1', '-2+3', 'x', '{}', '=1', now())`)
	exec(`INSERT INTO feature_flags (tenant_id, name, value) VALUES (?, 'api', false)`, board.ID)
	exec(`INSERT INTO domains (tenant_id, host, token) VALUES (?, 'jobs.evil.example', 'x')`, board.ID)
	exec(`INSERT INTO mail_suppressions (tenant_id, address, reason, note) VALUES (?, 'gone@people.example', 'bounce', '=cmd')`, uuid.Nil)
	exec(`INSERT INTO announcements (id, text_en, text_de, starts_at, created_by) VALUES (?, '=1+1', '@x', now(), ?)`, uuid.New(), uuid.New())
	if res := h.submit(t, platformHost, "/staff/boards/"+id+"/notes", super, url.Values{"note": {"-1 is what they pay"}}); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("a note: %d", res.StatusCode)
	}
	iso := regexp.MustCompile(`^\d{4}-\d\d(-\d\d(T\d\d:\d\d:\d\dZ)?)?$`)
	for path, rows := range map[string]int{"/staff/boards": 1, "/staff/boards/" + id + "/timeline": 4, "/staff/orders": 0, "/staff/tasks": 1, "/staff/events": 1, "/staff/mail": 1,
		"/staff/domains": 1, "/staff/flags": 3, "/staff/announcements": 1, "/staff/figures": 30, "/staff/plans": 0, "/staff/team": 1, "/staff/mail/suppressed": 1} {
		page, at := h.call(t, platformHost, route.GET, path, super), path+".csv"
		if path == "/staff/mail" {
			at = path + "/log.csv"
		}
		if body := text(t, page); page.StatusCode != http.StatusOK || !strings.Contains(body, `href="`+at) {
			t.Errorf("%s: %d, links no file", path, page.StatusCode)
		}
		res := h.call(t, platformHost, route.GET, at, super)
		if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/csv") || !strings.Contains(res.Header.Get("Content-Disposition"), "attachment") {
			t.Errorf("%s.csv: %d %v", path, res.StatusCode, res.Header)
			continue
		}
		all, err := csv.NewReader(res.Body).ReadAll()
		if err != nil || len(all) != rows+1 {
			t.Errorf("%s.csv has %d rows, want %d and the head: %v %v", path, len(all), rows, all, err)
			continue
		}
		for _, row := range all[1:] {
			for i, cell := range row {
				if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r") {
					t.Errorf("%s.csv has the cell %q", path, cell)
				}
				if all[0][i] == "to" && path == "/staff/mail" {
					continue // an address
				}
				if slices.Contains([]string{"at", "created", "received", "failed", "from", "to", "day", "placed", "paid", "checked", "written"}, all[0][i]) && cell != "" && !iso.MatchString(cell) {
					t.Errorf("%s.csv: %s is %q", path, all[0][i], cell)
				}
			}
		}
	}
	if got := len(h.parts.Staff.Routes()); got < 30 {
		t.Errorf("only %d staff routes", got)
	}
}

// TestTheListOfTenThousandBoards: every way to ask it answers within its bar,
// and by keyset it comes to each board once.
func TestTheListOfTenThousandBoards(t *testing.T) { //nolint:paralleltest // it holds times against a bar
	h := newHouse(t)
	super := h.signedIn(t, tenant.Nil, authz.Superadmin)
	must := func(q string, args ...any) {
		t.Helper()
		if err := h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error { _, err := tx.NewRaw(q, args...).Exec(ctx); return err }); err != nil {
			t.Fatal(err)
		}
	}
	must(`INSERT INTO boards (id, slug, name, created_at, state) SELECT md5('b' || n)::uuid, 'board-' || n, 'Board number ' || n, now() - n * interval '1 minute', CASE WHEN n % 50 = 0 THEN 'suspended' ELSE 'active' END FROM generate_series(1, 10000) AS n`)
	must(`INSERT INTO hosts (host, board_id, kind, canonical) SELECT slug || '.localhost', id, 'platform', true FROM boards`)
	must(`INSERT INTO generations (tenant_id) SELECT id FROM boards`)
	must(`INSERT INTO operators (id, email) SELECT md5('o' || n)::uuid, 'owner-' || n || '@people.example' FROM generate_series(1, 10000) AS n`)
	must(`INSERT INTO casbin_rules (tenant_id, id, ptype, v0, v1, v2) SELECT md5('b' || n)::uuid, md5('r' || n)::uuid, 'g', md5('o' || n)::uuid::text, 'owner', md5('b' || n)::uuid::text FROM generate_series(1, 10000) AS n`)
	must(`INSERT INTO tasks (tenant_id, id, kind, failed_at) SELECT md5('b' || n)::uuid, md5('t' || n)::uuid, 'k', now() FROM generate_series(1, 10000, 100) AS n`)
	must(`INSERT INTO audit_log (tenant_id, id, actor_kind, act, at) SELECT md5('b' || n)::uuid, md5('a' || n)::uuid, 'system', 'x', now() - n * interval '1 hour' FROM generate_series(1, 5000) AS n`)
	begun := time.Now()
	if err := h.Platform.Write(t.Context(), staff.Count); err != nil {
		t.Fatal(err)
	}
	t.Logf("counting all: %v", time.Since(begun).Round(time.Millisecond))
	super2 := h.PG.Open(t, h.PG.Superuser, 1)
	if _, err := super2.ExecContext(t.Context(), `ANALYZE boards, hosts, operators, casbin_rules, board_summaries, generations`); err != nil {
		t.Fatal(err)
	}
	ask := func(q string) (string, time.Duration) {
		t.Helper()
		best := time.Hour
		var body string
		for range 5 {
			begun := time.Now()
			res := h.call(t, platformHost, route.GET, "/staff/boards"+q, super)
			best = min(best, time.Since(begun))
			if body = text(t, res); res.StatusCode != http.StatusOK {
				t.Fatalf("%s: %d %.300s", q, res.StatusCode, body)
			}
		}
		return body, best
	}
	row := regexp.MustCompile(`class="row-link" href="/staff/boards/([0-9a-f-]{36})"`)
	for q, want := range map[string]int{"": 50, "?q=number+77": 50, "?q=board-1234": 1, "?q=owner-4321%40people": 1, "?q=nothing-like-it": 0, "?state=suspended": 50, "?health=trouble": 50,
		"?health=stripe&sort=live": 50, "?activity=quiet&sort=active": 50, "?activity=never": 50, "?sort=active&before=2020-01-01T00:00:00Z_ffffffff-ffff-ffff-ffff-ffffffffffff": 50} {
		body, took := ask(q)
		t.Logf("%-50s %v", q, took.Round(100*time.Microsecond))
		if took > 100*time.Millisecond {
			t.Errorf("%s takes %v, want under 100 ms", q, took)
		}
		if n := len(row.FindAllString(body, -1)); n != want {
			t.Errorf("%s shows %d boards, want %d", q, n, want)
		}
	}
	for _, sort := range []string{"newest", "active", "live"} {
		seen := map[string]bool{}
		next := "?state=suspended&sort=" + sort
		for pages := 0; next != ""; pages++ {
			res := h.call(t, platformHost, route.GET, "/staff/boards"+next, super)
			body := text(t, res)
			for _, m := range row.FindAllStringSubmatch(body, -1) {
				if seen[m[1]] {
					t.Fatalf("by %s, %s comes twice", sort, m[1])
				}
				seen[m[1]] = true
			}
			next = ""
			if m := regexp.MustCompile(`rel="next" href="([^"]+)"`).FindStringSubmatch(body); m != nil {
				next = strings.ReplaceAll(m[1], "&amp;", "&")
			}
			if pages > 10 {
				t.Fatal("no end")
			}
		}
		if len(seen) != 200 {
			t.Errorf("by %s the pages show %d boards, want 200", sort, len(seen))
		}
	}
	// The first page reads as much as it shows, whatever the number of boards.
	plan := ""
	err := h.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		var lines []string
		q, args := staff.FirstPage()
		err := tx.NewRaw(`EXPLAIN (COSTS OFF) `+q, args...).Scan(ctx, &lines)
		plan = strings.Join(lines, "\n")
		return err
	})
	if err != nil || !strings.Contains(plan, "boards_newest") || strings.Contains(plan, "Seq Scan on boards") || strings.Contains(plan, "Seq Scan on board_summaries") {
		t.Errorf("the first page does not read its index: %v\n%s", err, plan)
	}
}

func TestFlagsDoSomething(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board, other := h.Board(t, "orbit"), h.Board(t, "other")
	super, support := h.signedIn(t, tenant.Nil, authz.Superadmin), h.signedIn(t, tenant.Nil, authz.Support)
	set := func(who string, form url.Values, want int) {
		t.Helper()
		if res := h.submit(t, platformHost, "/staff/flags", who, form); res.StatusCode != want {
			t.Fatalf("%v: %d, want %d: %.300s", form, res.StatusCode, want, text(t, res))
		}
	}
	api := func(b *tenant.Tenant) int { return h.call(t, b.PlatformHost, route.GET, "/api", "").StatusCode }
	offers := func(b *tenant.Tenant) bool {
		return strings.Contains(text(t, h.call(t, b.PlatformHost, route.GET, "/jobs", "")), `action="/alerts"`)
	}
	if api(board) != 200 || !offers(board) {
		t.Fatalf("at first: api %d, alerts %v", api(board), offers(board))
	}
	set(support, url.Values{"flag": {"api"}, "scope": {"platform"}, "value": {"off"}}, http.StatusForbidden)
	set(super, url.Values{"flag": {"no-such"}, "scope": {"platform"}, "value": {"off"}}, http.StatusNotFound)
	set(super, url.Values{"flag": {"api"}, "scope": {"board"}, "slug": {"nobody"}, "value": {"off"}}, http.StatusUnprocessableEntity)
	set(super, url.Values{"flag": {"api"}, "scope": {"board"}, "slug": {"orbit"}, "value": {"off"}}, http.StatusSeeOther)
	set(super, url.Values{"flag": {"alerts"}, "scope": {"board"}, "slug": {"orbit"}, "value": {"off"}}, http.StatusSeeOther)
	if api(board) != 404 || api(other) != 200 || offers(board) || !offers(other) {
		t.Errorf("off for one: api %d and %d, alerts %v and %v", api(board), api(other), offers(board), offers(other))
	}
	if res := h.submit(t, board.PlatformHost, "/alerts", "", url.Values{"email": {"a@people.example"}}); res.StatusCode != http.StatusNotFound {
		t.Errorf("asking for an alert all the same: %d", res.StatusCode)
	}
	if len(h.lines(t, board.ID, "flag.set")) != 2 || len(h.lines(t, tenant.Nil, "flag.set")) != 2 {
		t.Error("the logs lack the flags")
	}
	// All off, one on: the board's own goes before the platform's.
	set(super, url.Values{"flag": {"api"}, "scope": {"platform"}, "value": {"off"}}, http.StatusSeeOther)
	set(super, url.Values{"flag": {"api"}, "scope": {"board"}, "slug": {"orbit"}, "value": {"on"}}, http.StatusSeeOther)
	for _, b := range []*tenant.Tenant{board, other} {
		h.Notifier.HostChanged(b.PlatformHost) // what the poll would hear within a second
	}
	if api(board) != 200 || api(other) != 404 {
		t.Errorf("off for all but one: %d and %d", api(board), api(other))
	}
	set(super, url.Values{"flag": {"api"}, "scope": {"board"}, "slug": {"orbit"}, "value": {"follow"}}, http.StatusSeeOther)
	if api(board) != 404 {
		t.Errorf("following: %d, want 404", api(board))
	}
}

func TestAnnouncementsReachTheirReaders(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board, other := h.Board(t, "orbit"), h.Board(t, "other")
	super, billing := h.signedIn(t, tenant.Nil, authz.Superadmin), h.signedIn(t, tenant.Nil, authz.Billing)
	here, there := h.handedOver(t, h.signedIn(t, board.ID, authz.Viewer), board), h.handedOver(t, h.signedIn(t, other.ID, authz.Viewer), other)
	form := url.Values{"text_en": {"We move <b>tonight</b>"}, "text_de": {"Wir ziehen um"}, "level": {"warning"}, "audience": {"boards"}, "boards": {"orbit"}, "link": {"javascript:alert(1)"}}
	if res := h.submit(t, platformHost, "/staff/announcements", billing, form); res.StatusCode != http.StatusForbidden {
		t.Errorf("without the right: %d", res.StatusCode)
	}
	if res := h.submit(t, platformHost, "/staff/announcements", super, form); res.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(text(t, res), "We move &lt;b&gt;tonight") {
		t.Errorf("a link of another kind: %d, or the form is empty", res.StatusCode)
	}
	form.Set("link", "https://status.example/tonight")
	if res := h.submit(t, platformHost, "/staff/announcements", super, form); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("announcing: %d %.800s", res.StatusCode, text(t, res))
	}
	page := text(t, h.call(t, board.PlatformHost, route.GET, "/admin", here))
	dismiss := regexp.MustCompile(`/admin/notices/[0-9a-f-]{36}/dismiss`).FindString(page)
	if !strings.Contains(page, "We move &lt;b&gt;tonight") || dismiss == "" {
		t.Fatalf("the board does not read it: %.300s", page)
	}
	if strings.Contains(text(t, h.call(t, other.PlatformHost, route.GET, "/admin", there)), "We move") {
		t.Error("another board reads it")
	}
	if res := h.submit(t, other.PlatformHost, dismiss, there, nil); res.StatusCode != http.StatusNotFound {
		t.Errorf("another board puts it away: %d", res.StatusCode)
	}
	if res := h.submit(t, board.PlatformHost, dismiss, here, nil); res.StatusCode != http.StatusSeeOther {
		t.Errorf("putting it away: %d", res.StatusCode)
	}
	if strings.Contains(text(t, h.call(t, board.PlatformHost, route.GET, "/admin", here)), "We move") {
		t.Error("it stays after it was put away")
	}
}

func TestTheSearchFindsEverything(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "orbit")
	h.signedIn(t, board.ID, authz.Owner)
	super := h.signedIn(t, tenant.Nil, authz.Superadmin)
	billing := h.signedIn(t, tenant.Nil, authz.Billing)
	err := h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		for _, q := range []string{`INSERT INTO stripe_accounts (tenant_id, account, kind) VALUES (?0, 'acct_1AbC', 'standard')`, `INSERT INTO stripe_events (id, type, payload, created_at) VALUES ('evt_9Xy', 'account.updated', '{}', now())`,
			`INSERT INTO mails (tenant_id, id, kind, key, recipient, message_id) VALUES (?0, gen_random_uuid(), 'k', 'k', 'ada@people.example', 'm')`} {
			if _, err := tx.NewRaw(q, board.ID).Exec(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	page := "/staff/boards/" + board.ID.String()
	for words, want := range map[string]string{"orbit jo": page, "orbit.local": page, "owner-": "@people.example", "acct_1AbC": page, "evt_9Xy": "/staff/events/evt_9Xy",
		"Ada@people.example": "/staff/mail?address=ada%40people.example", board.ID.String(): page, "nothing like it": "Nothing found"} {
		res := h.call(t, platformHost, route.GET, "/staff/search?find="+url.QueryEscape(words), super)
		body := text(t, res)
		if main := body[strings.Index(body, "<main"):]; res.StatusCode != http.StatusOK || !strings.Contains(main, want) && !strings.Contains(main, strings.ReplaceAll(want, "%40", "@")) {
			t.Errorf("%q: %d, %s is not there", words, res.StatusCode, want)
		}
	}
	// A role is not asked what it may not read.
	if body := text(t, h.call(t, platformHost, route.GET, "/staff/search?find=ada%40people.example", billing)); strings.Contains(body, "/staff/mail?address") {
		t.Error("billing finds mails")
	}
	if body := text(t, h.call(t, platformHost, route.GET, "/staff/orders", super)); !strings.Contains(body, `id="console-search"`) {
		t.Error("the header has no search")
	}
}

func TestTasksInBulk(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "orbit")
	super := h.signedIn(t, tenant.Nil, authz.Superadmin)
	var ids []string
	err := h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		for i := range 4 {
			id := uuid.New()
			ids = append(ids, board.ID.String()+"/"+id.String())
			if _, err := tx.NewRaw(`INSERT INTO tasks (tenant_id, id, kind, queue, last_error, failed_at, attempts) VALUES (?, ?, ?, 'bulk', 'broke', now(), 12)`, board.ID, id, fmt.Sprintf("kind.%d", i%2)).Exec(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	count := func(q string) int {
		return strings.Count(text(t, h.call(t, platformHost, route.GET, "/staff/tasks"+q, super)), `name="id"`)
	}
	for q, want := range map[string]int{"": 4, "?kind=kind.0": 2, "?queue=mail": 0, "?queue=bulk&board=orbit": 4, "?board=other": 0} {
		if n := count(q); n != want {
			t.Errorf("%q shows %d, want %d", q, n, want)
		}
	}
	if res := h.submit(t, platformHost, "/staff/tasks/bulk", super, url.Values{"act": {"retry"}, "id": ids[:2]}); !strings.Contains(res.Header.Get("Location"), "n=2") {
		t.Errorf("retry: %d to %q", res.StatusCode, res.Header.Get("Location"))
	}
	if res := h.submit(t, platformHost, "/staff/tasks/bulk", super, url.Values{"act": {"discard"}, "id": ids}); !strings.Contains(res.Header.Get("Location"), "n=2") {
		t.Errorf("discard takes what is still failed: %d to %q", res.StatusCode, res.Header.Get("Location"))
	}
	for act, want := range map[string]int{"task.retry": 2, "task.discard": 2} {
		if n := len(h.lines(t, tenant.Nil, act)); n != want {
			t.Errorf("%s stands %d times in the log, want %d", act, n, want)
		}
	}
}
