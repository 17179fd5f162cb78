package mail

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"shingle/internal/fault"
	"shingle/tenant"
)

// Identity is whose name a board's mails carry. While its domain is not
// verified they come from the platform's address under the board's name.
type Identity struct {
	bun.BaseModel `bun:"table:mail_identities,alias:mi"`
	tenant.Scoped
	// Domain is the board's own, in the form of the DNS; "" for none.
	Domain    string          `bun:"domain"`
	LocalPart string          `bun:"local_part"`
	State     IdentityState   `bun:"state"`
	OwnReturn bool            `bun:"own_return"`
	Footer    string          `bun:"footer"`
	Postal    string          `bun:"postal_address"`
	Found     json.RawMessage `bun:"checks,type:jsonb"`
	// Misses counts the daily looks in a row that did not find the key.
	Misses     int        `bun:"misses"`
	CheckedAt  *time.Time `bun:"checked_at"`
	VerifiedAt *time.Time `bun:"verified_at"`
	// AskedAt is when somebody last asked for a look: polling slows down from then.
	AskedAt   time.Time `bun:"asked_at"`
	ToldStuck bool      `bun:"told_stuck"`
}

// IdentityState is how far a domain is.
type IdentityState string

// The states of an identity. A broken one was verified once; its record is gone.
const (
	NoDomain IdentityState = "none"
	Pending  IdentityState = "pending"
	Verified IdentityState = "verified"
	Broken   IdentityState = "broken"
)

// Address is the sender's own address, "" until the domain is verified.
func (i *Identity) Address() string {
	if i == nil || i.State != Verified {
		return ""
	}
	return i.LocalPart + "@" + i.Domain
}

// Shown is the domain as people write it.
func (i *Identity) Shown() string {
	if u, err := idna.Display.ToUnicode(i.Domain); err == nil {
		return u
	}
	return i.Domain
}

// Checks are what the last look found.
func (i *Identity) Checks() []Check {
	var out []Check
	_ = json.Unmarshal(i.Found, &out) // our own
	return out
}

// IdentityOf reads the board's identity; one without a domain when none is stored.
func IdentityOf(ctx context.Context, tx bun.IDB) (*Identity, error) {
	i := new(Identity)
	err := tx.NewSelect().Model(i).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return &Identity{LocalPart: "jobs", State: NoDomain, Found: json.RawMessage("[]")}, nil
	}
	return i, err
}

// IdentityForm is what a board's team decides.
type IdentityForm struct{ Domain, LocalPart, Footer, Postal string }

var localForm = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9._-]{0,38}[a-z0-9])?$`)

// domain reads a domain as people write it. "" with no error is none.
func (s *Identities) domain(typed string) (ascii, problem string) {
	typed = strings.Trim(strings.ToLower(strings.TrimSpace(typed)), ".")
	if typed == "" {
		return "", ""
	}
	if at := strings.LastIndexByte(typed, '@'); at >= 0 {
		typed = typed[at+1:]
	}
	ascii, err := idna.Lookup.ToASCII(typed)
	switch {
	case err != nil || !strings.Contains(ascii, ".") || len(ascii) > 200:
		return "", "mail.domain.form"
	case func() bool { _, err := publicsuffix.EffectiveTLDPlusOne(ascii); return err != nil }():
		return "", "mail.domain.public"
	}
	for _, own := range s.Reserved {
		if ascii == own || strings.HasSuffix(ascii, "."+own) {
			return "", "mail.domain.ours"
		}
	}
	return ascii, ""
}

// Save stores what the team decided, in its transaction. Another domain starts
// anew: it gets a key of its own, and the old ones go. Kind: fault.Invalid by field.
func (s *Identities) Save(ctx context.Context, tx bun.IDB, f IdentityForm) error {
	bad := fault.Fields{}
	domain, problem := s.domain(f.Domain)
	if problem != "" {
		bad["domain"] = problem
	}
	local := strings.ToLower(strings.TrimSpace(f.LocalPart))
	if local == "" {
		local = "jobs"
	}
	if !localForm.MatchString(local) || strings.Contains(local, "..") {
		bad["local_part"] = "mail.local.form"
	}
	footer, postal := strings.TrimSpace(f.Footer), strings.TrimSpace(f.Postal)
	if len([]rune(footer)) > 500 {
		bad["footer"] = "mail.footer.long"
	}
	if len([]rune(postal)) > 300 {
		bad["postal_address"] = "mail.footer.long"
	}
	if err := fault.Invalids(bad); err != nil {
		return err
	}
	old, err := IdentityOf(ctx, tx)
	if err != nil {
		return err
	}
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return err
	}
	state := old.State
	if domain != old.Domain {
		state = Pending
		if domain == "" {
			state = NoDomain
		}
		if _, err := tx.NewRaw(`DELETE FROM dkim_keys WHERE tenant_id = ?`, board).Exec(ctx); err != nil {
			return err
		}
	}
	_, err = tx.NewRaw(`INSERT INTO mail_identities AS i (tenant_id, domain, local_part, state, footer, postal_address) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (tenant_id) DO UPDATE SET domain = excluded.domain, local_part = excluded.local_part, state = excluded.state,
			footer = excluded.footer, postal_address = excluded.postal_address`, board, domain, local, state, footer, postal).Exec(ctx)
	if err != nil || domain == old.Domain {
		return err
	}
	_, err = tx.NewRaw(`UPDATE mail_identities SET checks = '[]', misses = 0, checked_at = NULL, verified_at = NULL, own_return = false,
		asked_at = now(), told_stuck = false WHERE tenant_id = ?`, board).Exec(ctx)
	if err != nil || domain == "" {
		return err
	}
	if err := s.newKey(ctx, tx); err != nil {
		return err
	}
	return s.askAgain(ctx, tx)
}

// Rotate adds a second key beside the active one. It signs once its record is
// found; the old record must stay for a week after that, for mails under way.
// Kind: fault.Conflict while another new key waits or without a verified domain.
func (s *Identities) Rotate(ctx context.Context, tx bun.IDB) error {
	i, err := IdentityOf(ctx, tx)
	if err != nil {
		return err
	}
	keys, err := Keys(ctx, tx)
	if err != nil {
		return err
	}
	if i.State != Verified {
		return fault.New(fault.Conflict, "mail.rotate.unverified")
	}
	for _, k := range keys {
		if k.State == NewKey {
			return fault.New(fault.Conflict, "mail.rotate.waiting")
		}
	}
	if err := s.newKey(ctx, tx); err != nil {
		return err
	}
	return s.askAgain(ctx, tx)
}

// LookAgain asks for a look at the DNS now, and polls from now on as at first.
func (s *Identities) LookAgain(ctx context.Context, tx bun.IDB) error {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return err
	}
	_, err = tx.NewRaw(`UPDATE mail_identities SET asked_at = now(), told_stuck = false WHERE tenant_id = ?`, board).Exec(ctx)
	if err != nil {
		return err
	}
	return s.askAgain(ctx, tx)
}
