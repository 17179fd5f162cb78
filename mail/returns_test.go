package mail_test

import (
	"bytes"
	"context"
	"fmt"
	netmail "net/mail"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/mail"
	"shingle/tasks"
)

const bounceOf = `From: MAILER-DAEMON@mx.example
To: %s
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

I'm sorry to have to inform you.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; reader@example.org
Action: %s
Status: %s
Diagnostic-Code: smtp; 550 no such user

--b
Content-Type: text/rfc822-headers

Subject: hello
%s

--b--
`

const complaintOf = `From: feedback@mx.example
To: abuse@returns.example
Subject: FW: hello
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: text/plain

This is an abuse report.

--b
Content-Type: message/feedback-report

Feedback-Type: %s
User-Agent: SomeGenerator/1.0
Version: 1

--b
Content-Type: message/rfc822

Return-Path: <bounces@elsewhere.example>
Subject: hello
X-Mail-Ref: %s

body

--b--
`

// returns is a post that takes what comes back.
type returns struct {
	*own
	r *mail.Returns
}

func newReturns(t *testing.T) *returns {
	t.Helper()
	r := &returns{own: newOwn(t)}
	r.r = &mail.Returns{Platform: r.Platform, Refs: refs, Now: time.Now}
	r.r.Register(r.mux)
	return r
}

// sent sends a mail and returns its id and its envelope's sender.
func (r *returns) sent(t *testing.T, key string) (uuid.UUID, string) {
	t.Helper()
	r.queue(t, mail.Message{Kind: "alert-confirm", Key: key, To: "reader@example.org", Data: mail.Data{"Search": "x"}, URL: "http://acme.localhost/x"})
	r.send(t)
	m, err := netmail.ReadMessage(bytes.NewReader(r.raw(t)))
	if err != nil {
		t.Fatal(err)
	}
	id, ok := refs.Read(m.Header.Get(mail.RefHeader))
	if !ok {
		t.Fatalf("the mail's reference %q cannot be read", m.Header.Get(mail.RefHeader))
	}
	return id, refs.Address(id, "returns.example")
}

// back gives a message to the intake and runs its task.
func (r *returns) back(t *testing.T, recipient, kind, body string) {
	t.Helper()
	if err := r.r.Receive(t.Context(), recipient, kind, []byte(strings.ReplaceAll(body, "\n", "\r\n"))); err != nil {
		t.Fatal(err)
	}
	var due []tasks.Task
	err := r.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT tenant_id, id, kind, payload::text AS payload, handover FROM tasks WHERE kind = 'mail.return'`).Scan(ctx, &due)
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range due {
		if err := r.mux.Run(t.Context(), &due[i]); err != nil {
			t.Fatal(err)
		}
	}
}

func (r *returns) result(t *testing.T, id uuid.UUID) (state string, listed []mail.Suppression) {
	t.Helper()
	err := r.DB.Read(r.ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		if err := tx.NewRaw(`SELECT state FROM mails WHERE id = ?`, id).Scan(ctx, &state); err != nil {
			return err
		}
		listed, _, err = mail.Suppressions(ctx, tx, 1, 10)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return state, listed
}

func TestABounceStopsMailToADeadAddress(t *testing.T) {
	t.Parallel()
	r := newReturns(t)
	id, envelope := r.sent(t, "1")
	r.back(t, "", "message/rfc822", fmt.Sprintf(bounceOf, envelope, "failed", "5.1.1", ""))
	state, listed := r.result(t, id)
	if state != "bounced" || len(listed) != 1 || listed[0].Reason != "bounce" || listed[0].Address != "reader@example.org" {
		t.Fatalf("the mail is %s, the list %+v", state, listed)
	}
	r.queue(t, mail.Message{Kind: "alert-confirm", Key: "2", To: "Reader@Example.org", Data: mail.Data{"Search": "x"}, URL: "http://acme.localhost/x"})
	before := len(r.boxed(t))
	r.send(t)
	if len(r.boxed(t)) != before {
		t.Error("a mail went to a suppressed address")
	}
	var raw int
	if err := r.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT count(*) FROM mail_returns WHERE length(raw) > 0 OR recipient <> ''`).Scan(ctx, &raw)
	}); err != nil || raw != 0 {
		t.Errorf("%d returns keep what they quoted: %v", raw, err)
	}
	r.write(t, func(ctx context.Context, tx bun.IDB) error { return mail.Lift(ctx, tx, "READER@example.org") })
	r.queue(t, mail.Message{Kind: "alert-confirm", Key: "3", To: "reader@example.org", Data: mail.Data{"Search": "x"}, URL: "http://acme.localhost/x"})
	r.send(t)
	if len(r.boxed(t)) != before+1 {
		t.Error("a lifted address gets no mail")
	}
}

func (r *returns) boxed(t *testing.T) []string {
	t.Helper()
	list, err := r.box.List(100, "")
	if err != nil {
		t.Fatal(err)
	}
	out := make([]string, len(list))
	for i, m := range list {
		out[i] = m.ID
	}
	return out
}

func TestWhatComesBackIsUnderstood(t *testing.T) {
	t.Parallel()
	r := newReturns(t)
	for i, c := range []struct {
		what              string
		recipient, kind   string
		body              func(envelope, ref string) string
		state, suppressed string
	}{
		{"a full mailbox", "", "message/rfc822", func(e, _ string) string { return fmt.Sprintf(bounceOf, e, "failed", "5.2.2", "") }, "bounced", ""},
		{"a refused content", "", "message/rfc822", func(e, _ string) string { return fmt.Sprintf(bounceOf, e, "failed", "5.7.1 (policy)", "") }, "bounced", ""},
		{"a delay", "", "message/rfc822", func(e, _ string) string { return fmt.Sprintf(bounceOf, e, "delayed", "4.4.1", "") }, "sent", ""},
		{"a forged reference", "", "message/rfc822", func(e, _ string) string {
			return fmt.Sprintf(bounceOf, strings.Replace(e, "@", "a@", 1), "failed", "5.1.1", "X-Mail-Ref: "+strings.Repeat("a", 36))
		}, "sent", ""},
		{"a forged envelope", "r" + strings.Repeat("2", 36) + "@returns.example", "message/rfc822", func(string, string) string {
			return fmt.Sprintf(bounceOf, "postmaster@returns.example", "failed", "5.1.1", "")
		}, "sent", ""},
		{"a holiday note", "", "message/rfc822", func(e, _ string) string { return "To: " + e + "\nSubject: away\n\nI am away.\n" }, "sent", ""},
		{"no mail at all", "", "message/rfc822", func(string, string) string { return "\x00\xff garbage" }, "sent", ""},
		{"a reader who takes it back", "", "message/rfc822", func(_, ref string) string { return fmt.Sprintf(complaintOf, "not-spam", ref) }, "sent", ""},
		{"a bounce by its envelope alone", "envelope", "message/rfc822", func(string, string) string {
			return fmt.Sprintf(bounceOf, "postmaster@returns.example", "failed", "5.1.10", "")
		}, "bounced", "bounce"},
		{"a complaint", "", "message/rfc822", func(_, ref string) string { return fmt.Sprintf(complaintOf, "abuse", ref) }, "complained", "complaint"},
		{"a provider's call", "", "application/json", func(e, _ string) string { return `{"type":"bounce","return_path":"` + e + `","status":"5.1.1"}` }, "bounced", "bounce"},
		{"a provider's forged call", "", "application/json", func(string, string) string { return `{"type":"bounce","ref":"aaaa","status":"5.1.1"}` }, "sent", ""},
	} {
		id, envelope := r.sent(t, fmt.Sprint("case ", i))
		recipient := c.recipient
		if recipient == "envelope" {
			recipient = envelope
		}
		r.back(t, recipient, c.kind, c.body(envelope, refs.Of(id)))
		state, listed := r.result(t, id)
		reason := ""
		if len(listed) > 0 {
			reason = listed[0].Reason
		}
		if state != c.state || reason != c.suppressed {
			t.Errorf("%s: the mail is %s, the address %q; want %s, %q", c.what, state, reason, c.state, c.suppressed)
		}
		// The next case starts with a clean list and no failures behind it.
		r.write(t, func(ctx context.Context, tx bun.IDB) error {
			if _, err := tx.NewRaw(`DELETE FROM mail_suppressions`).Exec(ctx); err != nil {
				return err
			}
			_, err := tx.NewRaw(`UPDATE mails SET state = 'sent'`).Exec(ctx)
			return err
		})
	}
}

func TestThreePassingFailuresAreEnough(t *testing.T) {
	t.Parallel()
	r := newReturns(t)
	for i := range 3 {
		id, envelope := r.sent(t, fmt.Sprint(i))
		r.back(t, "", "message/rfc822", fmt.Sprintf(bounceOf, envelope, "failed", "5.2.2", ""))
		if _, listed := r.result(t, id); (len(listed) == 1) != (i == 2) {
			t.Errorf("after %d failures the list is %+v", i+1, listed)
		}
	}
}

func FuzzReturn(f *testing.F) {
	id := uuid.MustParse("01890000-0000-7000-8000-000000000001")
	f.Add("", "message/rfc822", fmt.Sprintf(bounceOf, refs.Address(id, "r.example"), "failed", "5.1.1", ""))
	f.Add(refs.Address(id, "r.example"), "message/rfc822", fmt.Sprintf(complaintOf, "abuse", "x"))
	f.Add("", "application/json", `{"type":"bounce","ref":"x"}`)
	f.Fuzz(func(t *testing.T, recipient, kind, body string) {
		found, what := mail.ReadReturn(refs, recipient, kind, []byte(body))
		if found == uuid.Nil {
			return
		}
		// Whatever a stranger writes, a mail is named by a proof of ours only.
		// (The last letter has bits that say nothing.)
		if all := strings.ToLower(recipient + body); !strings.Contains(all, refs.Of(found)[:35]) {
			t.Errorf("a mail was named without its proof: %s, %q", found, what)
		}
	})
}
