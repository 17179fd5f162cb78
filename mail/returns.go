package mail

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/base32"
	"encoding/json"
	"errors"
	"io"
	"net/textproto"
	"strings"
	"time"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset" // other charsets than UTF-8
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tasks"
	"shingle/tenant"
)

// Returns takes what mail servers send back: bounces and complaints.
type Returns struct {
	Platform *tenant.Platform
	// Key proves that a reference is ours; Refs makes and reads them.
	Refs Refs
	Now  func() time.Time
}

// Refs makes the references that stand in envelopes and come back in reports.
// Without our proof anybody could keep a reader's mail away by writing a
// bounce of it.
type Refs struct{ Key []byte }

var refCode = base32.StdEncoding.WithPadding(base32.NoPadding)

const refMAC = 6

// Of is the reference of a mail: 36 letters and digits.
func (r Refs) Of(mail uuid.UUID) string {
	return strings.ToLower(refCode.EncodeToString(append(mail[:], r.mac(mail)...)))
}

func (r Refs) mac(mail uuid.UUID) []byte {
	h := hmac.New(sha256.New, r.Key)
	h.Write([]byte("mail return\x00"))
	h.Write(mail[:])
	return h.Sum(nil)[:refMAC]
}

// Read finds the mail of a reference; false for what is not ours.
func (r Refs) Read(ref string) (uuid.UUID, bool) {
	raw, err := refCode.DecodeString(strings.ToUpper(ref))
	if err != nil || len(raw) != 16+refMAC {
		return uuid.Nil, false
	}
	id := uuid.UUID(raw[:16])
	if !hmac.Equal(raw[16:], r.mac(id)) {
		return uuid.Nil, false
	}
	return id, true
}

// fromAddress reads the reference of "r<ref>@domain", as Return makes it.
func (r Refs) fromAddress(address string) (uuid.UUID, bool) {
	local, _, _ := strings.Cut(strings.Trim(strings.TrimSpace(address), "<>"), "@")
	ref, ok := strings.CutPrefix(strings.ToLower(local), "r")
	if !ok {
		return uuid.Nil, false
	}
	return r.Read(ref)
}

// Address is where what becomes of a mail is sent to: its envelope's sender.
func (r Refs) Address(mail uuid.UUID, domain string) string { return "r" + r.Of(mail) + "@" + domain }

// RefHeader carries the reference where a report quotes headers alone.
const RefHeader = "X-Mail-Ref"

const taskReturn = "mail.return"

type returnPayload struct {
	ID uuid.UUID `json:"id"`
}

// maxReturn bounds what is kept of a report, in bytes.
const maxReturn = 1 << 20

// Receive stores what came back and answers: a task makes sense of it.
// Recipient is the envelope's, "" when the mail server did not say.
func (s *Returns) Receive(ctx context.Context, recipient, contentType string, raw []byte) error {
	if len(raw) == 0 || len(raw) > maxReturn {
		return fault.New(fault.Invalid, "the body must be the returned message, 1 byte to 1 MiB")
	}
	id := tenant.NewRowID()
	return s.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`INSERT INTO mail_returns (id, recipient, content_type, raw) VALUES (?, ?, ?, ?)`, id, recipient, contentType, raw).Exec(ctx)
		if err != nil {
			return err
		}
		return tasks.Add(ctx, tx, tasks.New{Kind: taskReturn, Queue: tasks.Mail, Payload: returnPayload{id}})
	})
}

// Register takes over the applying task.
func (s *Returns) Register(m *tasks.Mux) { m.Handle(taskReturn, s.apply) }

// softLimit failures of an address within softSpan stop mail to it.
const (
	softLimit = 3
	softSpan  = 30 * 24 * time.Hour
)

func (s *Returns) apply(ctx context.Context, t *tasks.Task) error {
	var p returnPayload
	if err := t.Decode(&p); err != nil {
		return err
	}
	return s.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := t.Finish(ctx, tx); err != nil {
			return err
		}
		var r struct {
			Recipient   string `bun:"recipient"`
			ContentType string `bun:"content_type"`
			Raw         []byte `bun:"raw"`
		}
		err := tx.NewRaw(`SELECT recipient, content_type, raw FROM mail_returns WHERE id = ? AND state = 'received' FOR UPDATE`, p.ID).Scan(ctx, &r)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		note, err := s.settle(ctx, tx, s.Refs.read(r.Recipient, r.ContentType, r.Raw))
		if err != nil {
			return err
		}
		state := "applied"
		if note != "" {
			state = "ignored"
		}
		// A report quotes the mail: it is not kept once understood.
		_, err = tx.NewRaw(`UPDATE mail_returns SET state = ?, note = ?, raw = '', recipient = '' WHERE id = ?`, state, note, p.ID).Exec(ctx)
		return err
	})
}

// settle writes down what a return means. The note says why nothing was done.
func (s *Returns) settle(ctx context.Context, tx bun.IDB, r returned) (note string, err error) {
	if r.mail == uuid.Nil {
		return "no reference of ours in it", nil
	}
	if r.kind == "" {
		return "neither a bounce nor a complaint", nil
	}
	var m struct {
		TenantID  tenant.ID `bun:"tenant_id"`
		Recipient string    `bun:"recipient"`
	}
	err = tx.NewRaw(`SELECT tenant_id, recipient FROM mails WHERE id = ?`, r.mail).Scan(ctx, &m)
	if errors.Is(err, sql.ErrNoRows) {
		return "the mail is not known any more", nil
	}
	if err != nil {
		return "", err
	}
	state, text := "bounced", strings.TrimSpace("returned "+r.status)
	if r.kind == "complaint" {
		state, text = "complained", "the reader marked it as unwanted"
	}
	_, err = tx.NewRaw(`UPDATE mails SET state = ?, error = ?, returned_at = ? WHERE tenant_id = ? AND id = ? AND state IN ('sent', 'queued', 'bounced')`,
		state, text, s.Now(), m.TenantID, r.mail).Exec(ctx)
	if err != nil {
		return "", err
	}
	stop := r.kind == "complaint" || permanent(r.status)
	if !stop {
		var n int
		err = tx.NewRaw(`SELECT count(*) FROM mails WHERE tenant_id = ? AND recipient = ? AND state = 'bounced' AND returned_at > ?`,
			m.TenantID, m.Recipient, s.Now().Add(-softSpan)).Scan(ctx, &n)
		if err != nil {
			return "", err
		}
		stop = n >= softLimit
	}
	if !stop {
		return "", nil
	}
	reason := "bounce"
	if r.kind == "complaint" {
		reason = "complaint"
	}
	return "", suppressFor(ctx, tx, m.TenantID, m.Recipient, reason, text)
}

// permanent reports statuses (RFC 3463) that say the address itself is no
// good. A full mailbox (5.2.2), a refused content or policy (5.6, 5.7) and
// trouble of the system (5.3) pass.
func permanent(status string) bool {
	if !strings.HasPrefix(status, "5.") {
		return false
	}
	switch {
	case status == "5.2.2", status == "5.2.3", strings.HasPrefix(status, "5.3."), strings.HasPrefix(status, "5.6."), strings.HasPrefix(status, "5.7."):
		return false
	}
	return true
}

// returned is what a report says.
type returned struct {
	mail   uuid.UUID
	kind   string // bounce, complaint or ""
	status string // RFC 3463, of a bounce
}

// read understands a delivery status notification (RFC 3464), a feedback
// report (RFC 5965), or JSON {"type", "ref" or "return_path", "status"}.
func (r Refs) read(recipient, contentType string, raw []byte) (out returned) {
	if strings.HasPrefix(contentType, "application/json") {
		return r.readJSON(raw)
	}
	out.mail, _ = r.fromAddress(recipient)
	e, err := message.Read(bytes.NewReader(raw))
	if err != nil && !message.IsUnknownCharset(err) && !message.IsUnknownEncoding(err) {
		return out
	}
	found := func(id uuid.UUID, ok bool) {
		if ok && out.mail == uuid.Nil {
			out.mail = id
		}
	}
	for _, name := range []string{"X-Original-To", "Delivered-To", "To"} {
		found(r.fromAddress(e.Header.Get(name)))
	}
	_ = e.Walk(func(_ []int, part *message.Entity, err error) error {
		if err != nil {
			return nil //nolint:nilerr // a part that cannot be read says nothing
		}
		kind, _, _ := part.Header.ContentType()
		switch kind {
		case "message/delivery-status":
			out.delivery(part.Body)
		case "message/feedback-report":
			if head, err := headOf(part.Body); err == nil {
				// not-spam takes a complaint back; fraud and virus are no reader's wish.
				if t := strings.ToLower(head.Get("Feedback-Type")); t == "abuse" || t == "opt-out" {
					out.kind = "complaint"
				}
				found(r.fromAddress(head.Get("Original-Mail-From")))
			}
		case "message/rfc822", "text/rfc822-headers", "message/rfc822-headers":
			if head, err := headOf(part.Body); err == nil {
				found(r.Read(strings.TrimSpace(head.Get(RefHeader))))
				found(r.fromAddress(head.Get("Return-Path")))
			}
		}
		return nil
	})
	return out
}

func headOf(body io.Reader) (textproto.MIMEHeader, error) {
	head, err := textproto.NewReader(bufio.NewReader(io.LimitReader(body, maxReturn))).ReadMIMEHeader()
	if errors.Is(err, io.EOF) && len(head) > 0 {
		err = nil
	}
	return head, err
}

// delivery reads the groups of fields of a status: one of the message, then
// one for each recipient. Only a final failure is a bounce.
func (out *returned) delivery(body io.Reader) {
	rd := textproto.NewReader(bufio.NewReader(io.LimitReader(body, maxReturn)))
	for {
		group, err := rd.ReadMIMEHeader()
		if strings.EqualFold(strings.TrimSpace(group.Get("Action")), "failed") {
			out.kind = "bounce"
			status, _, _ := strings.Cut(strings.TrimSpace(group.Get("Status")), " ")
			if out.status == "" || permanent(status) {
				out.status = status
			}
		}
		if err != nil {
			return
		}
	}
}

// readJSON is for mail providers that report by a call: their intake is
// authenticated, and the reference still has to be ours.
func (r Refs) readJSON(raw []byte) (out returned) {
	var in struct {
		Type       string `json:"type"`
		Ref        string `json:"ref"`
		ReturnPath string `json:"return_path"`
		Status     string `json:"status"`
	}
	if json.Unmarshal(raw, &in) != nil {
		return out
	}
	id, ok := r.Read(in.Ref)
	if !ok {
		id, ok = r.fromAddress(in.ReturnPath)
	}
	if !ok {
		return out
	}
	out.mail, out.status = id, in.Status
	if in.Type == "bounce" || in.Type == "complaint" {
		out.kind = in.Type
	}
	return out
}
