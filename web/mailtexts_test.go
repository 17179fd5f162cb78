package web_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"shingle/mail"
	"shingle/tenant"
)

// The form of a mail's words, from the first change to its restoring, for who
// may write and who may only read, and never for another board.
func TestMailTextsForm(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board, rival := h.Board(t, "acme"), h.Board(t, "rival")
	owner := h.handedOver(t, h.signedIn(t, board.ID, "owner"), board)
	enemy := h.handedOver(t, h.signedIn(t, rival.ID, "owner"), rival)
	editor := h.handedOver(t, h.signedIn(t, board.ID, "editor"), board)
	host, page := board.PlatformHost, "/admin/mail/texts/listing-live?language=en"
	good := url.Values{"base": {"0"}, "subject": {"Hurray, {{listing}} is out"}, "preview": {""}, "body": {"It is <b>out</b>.\r\n\r\n{{button}}"}, "button": {"Look"}}
	with := func(field, value string) url.Values {
		v := url.Values{}
		for k, s := range good {
			v[k] = s
		}
		v.Set(field, value)
		return v
	}

	code, body, _ := h.send(t, host, page, owner, with("subject", "{{lisitng}} <i>"))
	if code != http.StatusUnprocessableEntity {
		t.Errorf("an unknown name: %d", code)
	}
	lacks(t, "the form", body, "{{lisitng}} is not known here", `value="{{lisitng}} &lt;i&gt;"`, "It is &lt;b&gt;out&lt;/b&gt;.", `value="Look"`, `id="e-subject"`)
	for _, act := range []string{"", "/test", "/restore"} {
		at := strings.Replace(page, "?", act+"?", 1)
		if code, _, _ := h.send(t, host, at, editor, with("n", "0")); code != http.StatusForbidden {
			t.Errorf("an editor posts to %s: %d", at, code)
		}
		if code, _, _ := h.send(t, host, at, enemy, with("n", "0")); code != http.StatusSeeOther {
			t.Errorf("the rival posts to %s: %d", at, code)
		}
	}
	if code, body, head := h.send(t, host, page, owner, good); code != http.StatusSeeOther || !strings.HasSuffix(head.Get("Location"), "&ok=mail.text_saved") {
		t.Fatalf("saved: %d %s %.300s", code, head.Get("Location"), body)
	}
	code, body, _ = h.send(t, host, page, owner, with("subject", "Too late"))
	if code != http.StatusConflict {
		t.Errorf("on what somebody else has changed: %d", code)
	}
	lacks(t, "the outdated form", body, "Somebody else has changed these words", `value="Too late"`, `name="base" value="0"`)

	// The frame: what was typed, in both parts, with nothing that could run.
	frame := "/admin/mail/texts/listing-live/preview?language=en"
	for part, want := range map[string]string{"html": "It is &lt;b&gt;nearly&lt;/b&gt;.", "text": "It is &lt;b&gt;nearly&lt;/b&gt;."} {
		v := with("body", "It is <b>nearly</b>.\n\n{{button}}")
		v.Set("part", part)
		code, body, head := h.send(t, host, frame, owner, v)
		if csp := head.Get("Content-Security-Policy"); code != http.StatusOK || !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "sandbox") || strings.Contains(csp, "script-src") {
			t.Errorf("the frame, %s: %d, %q", part, code, csp)
		}
		lacks(t, "the frame, "+part, body, want, "Look", "Night nurse")
	}
	code, body, _ = h.send(t, host, frame, owner, with("body", "See {{button}} here"))
	if code != http.StatusUnprocessableEntity {
		t.Errorf("the frame of a bad text: %d", code)
	}
	lacks(t, "the frame of a bad text", body, "{{button}} must be a paragraph of its own")

	// A test goes to the operator alone, in the words as typed.
	code, body, _ = h.send(t, host, "/admin/mail/texts/listing-live/test?language=en", owner, with("subject", "Trial of {{listing}}"))
	if code != http.StatusOK {
		t.Errorf("a test: %d %.300s", code, body)
	}
	var queued []struct {
		To    string `bun:"recipient"`
		Words string `bun:"words"`
	}
	var acts []string
	err := h.DB.Read(h.Ctx(t, board), func(ctx context.Context, tx bun.IDB) error {
		if err := tx.NewRaw(`SELECT recipient, payload->'words'->'listing-live'->>'subject' AS words FROM mails WHERE kind = 'listing-live'`).Scan(ctx, &queued); err != nil {
			return err
		}
		return tx.NewRaw(`SELECT act FROM audit_log WHERE act LIKE 'mail.text%' ORDER BY act`).Scan(ctx, &acts)
	})
	if err != nil || len(queued) != 1 || queued[0].Words != "Trial of {{listing}}" || !strings.Contains(body, queued[0].To) {
		t.Errorf("queued %+v, %v", queued, err)
	}
	if strings.Join(acts, " ") != "mail.text_saved mail.text_tested" {
		t.Errorf("the audit log holds %q", acts)
	}

	restore := "/admin/mail/texts/listing-live/restore?language=en"
	if code, _, _ := h.send(t, host, restore, owner, url.Values{"n": {"0"}, "base": {"0"}}); code != http.StatusConflict {
		t.Errorf("restored on an old page: %d", code)
	}
	if code, _, _ := h.send(t, host, restore, owner, url.Values{"n": {"7"}, "base": {"1"}}); code != http.StatusNotFound {
		t.Errorf("restored what never was: %d", code)
	}
	if code, _, _ := h.send(t, host, restore, owner, url.Values{"n": {"0"}, "base": {"1"}}); code != http.StatusSeeOther {
		t.Errorf("back to our words: %d", code)
	}
	for _, kind := range []string{"operator-sign-in", "review-waiting", "x"} {
		if code, _, _ := h.send(t, host, "/admin/mail/texts/"+kind, owner, good); code != http.StatusNotFound {
			t.Errorf("%s, which is not the board's: %d", kind, code)
		}
	}
}

// Staff see whom the platform's mail does not reach, lift it once, and leave a
// line; the file of the log is complete and harmless to a spreadsheet.
func TestStaffMail(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	board := h.Board(t, "acme")
	super, support, billing := h.signedIn(t, tenant.Nil, "superadmin"), h.signedIn(t, tenant.Nil, "support"), h.signedIn(t, tenant.Nil, "billing")
	err := h.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		if err := mail.Suppress(ctx, tx, "owner@gone.example", "bounce", "no such mailbox"); err != nil {
			return err
		}
		return mail.Queue(ctx, tx, mail.Message{Kind: "operator-unknown", Key: "1", To: "=cmd@evil.example"})
	})
	if err == nil {
		err = h.DB.Write(h.Ctx(t, board), func(ctx context.Context, tx bun.IDB) error {
			if err := mail.Queue(ctx, tx, mail.Message{Kind: "alert-confirm", Key: "1", To: "reader@x.example"}); err != nil {
				return err
			}
			return mail.Suppress(ctx, tx, "reader@x.example", "bounce", "")
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	page := func(path, token string) (int, string) {
		res := h.call(t, platformHost, http.MethodGet, path, token)
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
	code, body := page("/staff/mail/suppressed", support)
	if code != http.StatusOK || strings.Contains(body, "reader@x.example") {
		t.Errorf("the list: %d, or it holds a board's address", code)
	}
	lacks(t, "the list", body, "owner@gone.example", "no such mailbox", `data-confirm="Write to owner@gone.example again?`)
	if code, _ := page("/staff/mail/suppressed", billing); code != http.StatusForbidden {
		t.Errorf("the list, for billing: %d", code)
	}
	code, body = page("/staff/mail/log.csv?address=", super)
	if code != http.StatusOK || !strings.Contains(body, "written,sent,returned,board,to,kind,state,note\n") || !strings.Contains(body, ",acme jobs,reader@x.example,alert-confirm,queued,") || !strings.Contains(body, ",'=cmd@evil.example,operator-unknown,queued,") {
		t.Errorf("the file: %d %s", code, body)
	}
	if _, body := page("/staff/mail/log.csv?address=reader@x.example", super); strings.Contains(body, "evil") {
		t.Errorf("the narrowed file: %s", body)
	}
	lift := func(token, address string) int {
		code, _, _ := h.send(t, platformHost, "/staff/mail/suppressed/lift", token, url.Values{"address": {address}})
		return code
	}
	if code := lift(billing, "owner@gone.example"); code != http.StatusForbidden {
		t.Errorf("billing lifts: %d", code)
	}
	for range 2 { // a colleague was faster: no error, and no second line
		if code := lift(support, "Owner@gone.example"); code != http.StatusSeeOther {
			t.Errorf("support lifts: %d", code)
		}
	}
	lift(super, "reader@x.example") // a board's own list stays the board's
	var left []string
	var lines int
	err = h.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		if err := tx.NewRaw(`SELECT address FROM mail_suppressions`).Scan(ctx, &left); err != nil {
			return err
		}
		return tx.NewRaw(`SELECT count(*) FROM audit_log WHERE act = 'mail.suppression_lifted'`).Scan(ctx, &lines)
	})
	if err != nil || len(left) != 1 || left[0] != "reader@x.example" || lines != 1 {
		t.Errorf("left %q, %d audit lines, %v", left, lines, err)
	}
}
