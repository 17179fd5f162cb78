// Package mail is what the product writes to people: rows in Postgres, words
// from catalogues, one layout in text and HTML, sent over SMTP. It never
// decides when to write. Start at Message and Queue.
package mail

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/tasks"
	"shingle/tenant"
)

// Data fills a mail's words: strings and integers, already formatted.
type Data map[string]any

// Message is one mail to one reader.
type Message struct {
	// Kind picks the words: mail/words/<kind>.<locale>.toml.
	Kind string
	// Key makes it single: the same board, kind and key are never queued twice.
	Key string
	// To is the bare address.
	To string
	// Locale is the reader's; the board's when empty.
	Locale string
	// ReplyTo is a bare address; the board's contact address when empty.
	ReplyTo string
	Data    Data
	// URL is where the one button leads, absolute.
	URL string
	// LinkURL is a second address, less than the button: a line of text.
	LinkURL string
	// Quote is text that a person wrote, shown set off, escaped.
	Quote string
	// Items is a list of links, for digests.
	Items []Item
	// StopURL is the one-click unsubscribe address (RFC 8058), for mails that
	// somebody subscribed to.
	StopURL string
	// Words stand in for the board's, by kind, for a test of words that are not
	// saved. They have passed CheckText.
	Words map[string]Text
}

// Item is a line of a digest.
type Item struct {
	Title string `json:"title"`
	Text  string `json:"text"`
	URL   string `json:"url"`
}

// taskSend is a frozen task kind.
const taskSend = "mail.send"

type payload struct {
	Data    Data   `json:"data,omitempty"`
	URL     string `json:"url,omitempty"`
	LinkURL string `json:"link_url,omitempty"`
	ReplyTo string `json:"reply_to,omitempty"`
	Quote   string `json:"quote,omitempty"`
	Items   []Item `json:"items,omitempty"`
	StopURL string `json:"stop_url,omitempty"`

	Words map[string]Text `json:"words,omitempty"`
}

func (m *Message) payload() payload {
	return payload{m.Data, m.URL, m.LinkURL, m.ReplyTo, m.Quote, m.Items, m.StopURL, m.Words}
}

type sendPayload struct {
	MailID uuid.UUID `json:"mail_id"`
}

// Queue writes the mail in the caller's transaction, of a board or of the
// platform; it is sent after the commit. A second one of the same kind and key
// is a no-op.
func Queue(ctx context.Context, tx bun.IDB, m Message) error {
	id := tenant.Nil
	locale := m.Locale
	if t := tenant.From(ctx); t != nil {
		id = t.ID
		if locale == "" {
			locale = t.Locale
		}
	}
	if locale == "" {
		locale = "en"
	}
	raw, err := json.Marshal(m.payload())
	if err != nil {
		return fmt.Errorf("mail %s: %w", m.Kind, err)
	}
	row := tenant.NewRowID()
	// The Message-ID is fixed here: a mail that goes over the wire twice after a
	// crash is the same mail to whoever reads it.
	res, err := tx.NewRaw(`INSERT INTO mails (tenant_id, id, kind, key, recipient, locale, payload, message_id)
		VALUES (?, ?, ?, ?, ?, ?, ?::jsonb, ?) ON CONFLICT (tenant_id, kind, key) DO NOTHING`,
		id, row, m.Kind, m.Key, m.To, locale, string(raw), row.String()).Exec(ctx)
	if err != nil {
		return fmt.Errorf("queueing mail %s: %w", m.Kind, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	return tasks.Add(ctx, tx, tasks.New{Kind: taskSend, Queue: tasks.Mail, Payload: sendPayload{row}})
}

// row is a queued mail as the sender reads it.
type row struct {
	TenantID  tenant.ID       `bun:"tenant_id"`
	ID        uuid.UUID       `bun:"id"`
	Kind      string          `bun:"kind"`
	Key       string          `bun:"key"`
	Recipient string          `bun:"recipient"`
	Locale    string          `bun:"locale"`
	Payload   json.RawMessage `bun:"payload"`
	State     string          `bun:"state"`
	MessageID string          `bun:"message_id"`
	CreatedAt time.Time       `bun:"created_at"`
}
