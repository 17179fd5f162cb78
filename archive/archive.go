// Package archive takes a whole board, or all that it holds of one person, out
// into one file and brings a board back from one. It owns the file's format and
// which table goes along; it never decides who may ask. Start at Tables, then
// Export and Restore.
package archive

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"regexp"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"gocloud.dev/blob"

	"shingle/accounts"
	"shingle/internal/links"
	"shingle/tenant"
	"shingle/themes"
)

// Format is the version of what Export writes. Restore takes it and no other:
// an older program cannot know what a newer one means.
const Format = 1

// Service moves boards.
type Service struct {
	DB        *tenant.DB
	Platform  *tenant.Platform
	Files     *blob.Bucket
	Links     links.Links
	Packs     *themes.Packs
	Operators *accounts.Operators
	// Rebuild is the task kind that makes a restored board's search index.
	Rebuild string
	// Begin puts a restored board on the platform's plan; nil has no plans.
	Begin func(ctx context.Context, tx bun.IDB, board tenant.ID) error
	Now   func() time.Time
}

// Header opens an archive: what a reader must know before the rows.
type Header struct {
	Format  int       `json:"format"`
	At      time.Time `json:"at"`
	Board   Board     `json:"board"`
	Tables  []Columns `json:"tables"`
	Without []string  `json:"without,omitempty"`
	Roles   []Role    `json:"roles,omitempty"`
	Team    []Member  `json:"team,omitempty"`
	// Hosts, MailDomain and Base must be proven again where the board goes.
	Hosts      []string `json:"hosts,omitempty"`
	MailDomain string   `json:"mail_domain,omitempty"`
	Base       bool     `json:"base,omitempty"`
}

// Board is what an archive says of the board itself. What the platform decides
// (state, fee, plan, how it charges) is not in it.
type Board struct {
	ID           tenant.ID       `json:"id"`
	Slug         string          `json:"slug"`
	Host         string          `json:"host"`
	Name         string          `json:"name"`
	Tagline      string          `json:"tagline"`
	Locale       string          `json:"locale"`
	Currency     string          `json:"currency"`
	TimeZone     string          `json:"time_zone"`
	Country      string          `json:"country"`
	ContactEmail string          `json:"contact_email"`
	Moderated    bool            `json:"moderated"`
	Settings     json.RawMessage `json:"settings"`
}

// Columns are a table's columns as its rows name them.
type Columns struct {
	Table   string   `json:"table"`
	Columns []string `json:"columns"`
}

// Role is a role of the board's own, with permissions as "object.action".
type Role struct {
	Name        string   `json:"name"`
	Permissions []string `json:"permissions"`
}

// Member is somebody of the team: an address and roles, never a grant.
type Member struct {
	ID    uuid.UUID `json:"id"`
	Email string    `json:"email"`
	Name  string    `json:"name,omitempty"`
	Roles []string  `json:"roles"`
}

// Manifest closes an archive: without it the file was cut short. A table's sum
// is of the bytes of its parts in order; the files' is of one line for each,
// "<sha256> <size> <name>".
type Manifest struct {
	Tables map[string]Sum `json:"tables"`
	Files  Sum            `json:"files"`
	// Missing are files that rows name and the store no longer has.
	Missing int64 `json:"missing,omitempty"`
}

// Sum is how much there is of something: rows or files, bytes and their SHA-256.
type Sum struct {
	Count  int64  `json:"count"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

var uuids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// remap gives an id its successor on another board. It is a function of both,
// so that every reference finds it again without a table of ids in memory. The
// time in it stays, and with it the order.
func remap(board tenant.ID, old uuid.UUID) uuid.UUID {
	m := hmac.New(sha256.New, board[:])
	m.Write(old[:])
	sum := m.Sum(nil)
	out := old
	copy(out[8:], sum)
	out[6], out[7] = out[6]&0xf0|sum[8]&0x0f, sum[9]
	out[8] = out[8]&0x3f | 0x80
	return out
}
