package mail

import (
	"context"
	"database/sql"
	"errors"
	netmail "net/mail"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/address"
	"shingle/internal/fault"
	"shingle/tenant"
)

// Suppression is an address that a board must not write to.
type Suppression struct {
	Address string    `bun:"address"`
	Reason  string    `bun:"reason"` // bounce, complaint or manual
	Note    string    `bun:"note"`
	Created time.Time `bun:"created_at"`
}

// Fold is an address as lists keep it: bare, in the form of address.Fold. Kind:
// fault.Invalid.
func Fold(typed string) (string, error) {
	bad := fault.Invalids(fault.Fields{"address": "mail.address.form"})
	a, err := netmail.ParseAddress(strings.TrimSpace(typed))
	if err != nil {
		return "", bad
	}
	folded, wrong := address.Fold(a.Address)
	if wrong != address.Fine {
		return "", bad
	}
	return folded, nil
}

// boardOf is the context's board, or the platform's own nil id.
func boardOf(ctx context.Context) tenant.ID {
	if t := tenant.From(ctx); t != nil {
		return t.ID
	}
	return tenant.Nil
}

// suppressed is why an address must not be written to, "" when it may be.
func suppressed(ctx context.Context, tx bun.IDB, address string) (reason string, err error) {
	err = tx.NewRaw(`SELECT reason FROM mail_suppressions WHERE tenant_id = ? AND address = ?`, boardOf(ctx), strings.ToLower(address)).Scan(ctx, &reason)
	return reason, ignoreNone(err)
}

func ignoreNone(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

// Suppress puts an address on the list of the context's board, or of the
// platform without one. A complaint outweighs a bounce.
func Suppress(ctx context.Context, tx bun.IDB, address, reason, note string) error {
	return suppressFor(ctx, tx, boardOf(ctx), address, reason, note)
}

func suppressFor(ctx context.Context, tx bun.IDB, board tenant.ID, address, reason, note string) error {
	_, err := tx.NewRaw(`INSERT INTO mail_suppressions AS s (tenant_id, address, reason, note) VALUES (?, ?, ?, ?)
		ON CONFLICT (tenant_id, address) DO UPDATE SET reason = excluded.reason, note = excluded.note WHERE s.reason = 'bounce'`,
		board, strings.ToLower(address), reason, note).Exec(ctx)
	return err
}

// Lift takes an address off the board's list. Kind: fault.NotFound.
func Lift(ctx context.Context, tx bun.IDB, address string) error {
	res, err := tx.NewRaw(`DELETE FROM mail_suppressions WHERE tenant_id = ? AND address = ?`, boardOf(ctx), strings.ToLower(address)).Exec(ctx)
	return tenant.Touched(res, err, "address")
}

// Suppressions lists the board's addresses, the newest first, and how many there are.
func Suppressions(ctx context.Context, tx bun.IDB, page, size int) (rows []Suppression, total int, err error) {
	board := boardOf(ctx)
	if err = tx.NewRaw(`SELECT count(*) FROM mail_suppressions WHERE tenant_id = ?`, board).Scan(ctx, &total); err != nil {
		return nil, 0, err
	}
	err = tx.NewRaw(`SELECT address, reason, note, created_at FROM mail_suppressions WHERE tenant_id = ? ORDER BY created_at DESC, address LIMIT ? OFFSET ?`,
		board, size, (page-1)*size).Scan(ctx, &rows)
	return rows, total, err
}

// States are what can become of a mail.
var States = []string{"queued", "sent", "refused", "suppressed", "bounced", "complained"}

// Entry is a line of the mail log: never a body.
type Entry struct {
	TenantID  tenant.ID  `bun:"tenant_id"`
	Board     string     `bun:"board"`
	ID        uuid.UUID  `bun:"id"`
	Kind      string     `bun:"kind"`
	Recipient string     `bun:"recipient"`
	State     string     `bun:"state"`
	Error     string     `bun:"error"`
	Created   time.Time  `bun:"created_at"`
	Sent      *time.Time `bun:"sent_at"`
	Returned  *time.Time `bun:"returned_at"`
}

// LogFilter narrows the log. Address is exact: the log is for "did they get it?".
type LogFilter struct {
	State, Kind, Address string
	Page, Size           int
}

// Log lists the board's mails, the newest first. more tells whether a next page exists.
func Log(ctx context.Context, tx bun.IDB, f LogFilter) (rows []Entry, more bool, err error) {
	id, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, false, err
	}
	return log(ctx, tx, `m.tenant_id = ?`, []any{id}, f)
}

// LogOfAll is the log across boards, in a platform transaction.
func LogOfAll(ctx context.Context, tx bun.IDB, f LogFilter) (rows []Entry, more bool, err error) {
	return log(ctx, tx, `true`, nil, f)
}

func log(ctx context.Context, tx bun.IDB, where string, args []any, f LogFilter) (rows []Entry, more bool, err error) {
	if f.State != "" {
		where, args = where+` AND m.state = ?`, append(args, f.State)
	}
	if f.Kind != "" {
		where, args = where+` AND m.kind = ?`, append(args, f.Kind)
	}
	if f.Address != "" {
		where, args = where+` AND m.recipient = ?`, append(args, strings.ToLower(strings.TrimSpace(f.Address)))
	}
	// Ids are ordered by time; both doors have an index on them.
	args = append(args, f.Size+1, (f.Page-1)*f.Size)
	err = tx.NewRaw(`SELECT m.tenant_id, coalesce(b.name, '') AS board, m.id, m.kind, m.recipient, m.state, m.error, m.created_at, m.sent_at, m.returned_at
		FROM mails AS m LEFT JOIN boards AS b ON b.id = m.tenant_id WHERE `+where+` ORDER BY m.id DESC LIMIT ? OFFSET ?`, args...).Scan(ctx, &rows)
	if len(rows) > f.Size {
		rows, more = rows[:f.Size], true
	}
	return rows, more, err
}
