package tenant

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"golang.org/x/text/currency"
	"golang.org/x/text/language"

	"shingle/internal/fault"
	"shingle/internal/pg"
)

// NewBoard is what a board needs to begin.
type NewBoard struct {
	// ID is for a board that comes back as itself; a new one when nil.
	ID                         ID
	Slug, Name, Tagline        string
	Locale, Currency, TimeZone string
	Country, ContactEmail      string
	Moderated, Demo            bool
	FeeRule                    json.RawMessage // the platform's standard when nil
}

var slugForm = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$`)

// reserved slugs would look like the platform itself or a service of its domain.
var reserved = map[string]bool{"www": true, "platform": true, "admin": true, "staff": true, "api": true, "mail": true,
	"smtp": true, "imap": true, "ftp": true, "ns1": true, "ns2": true, "status": true, "support": true, "help": true,
	"billing": true, "login": true, "account": true, "accounts": true, "app": true, "assets": true, "static": true,
	"cdn": true, "files": true, "localhost": true, "stripe": true, "webhooks": true, "autoconfig": true, "autodiscover": true,
	"wpad": true, "isatap": true, "security": true, "abuse": true, "postmaster": true, "root": true}

// Validate names what must change, by field; nil when all is well.
func (n *NewBoard) Validate() error {
	f := fault.Fields{}
	n.Slug = strings.ToLower(strings.TrimSpace(n.Slug))
	n.Name = strings.TrimSpace(n.Name)
	switch {
	case n.Slug == "":
		f["slug"] = "board.slug.required"
	case !slugForm.MatchString(n.Slug) || strings.HasPrefix(n.Slug, "xn--"):
		f["slug"] = "board.slug.form"
	case reserved[n.Slug]:
		f["slug"] = "board.slug.reserved"
	}
	if n.Name == "" {
		f["name"] = "board.name.required"
	} else if len([]rune(n.Name)) > 60 {
		f["name"] = "board.name.long"
	}
	checkSettings(f, n.Locale, n.Currency, n.TimeZone, n.Country)
	return fault.Invalids(f)
}

// Languages that boards can speak.
var Languages = []string{"en", "de"}

func checkSettings(f fault.Fields, locale, code, zone, country string) {
	lang, _, _ := strings.Cut(locale, "-")
	known := false
	for _, l := range Languages {
		known = known || l == lang
	}
	if _, err := language.Parse(locale); err != nil || !known {
		f["locale"] = "board.locale.unknown"
	}
	if _, err := currency.ParseISO(code); err != nil || code != strings.ToUpper(code) {
		f["currency"] = "board.currency.unknown"
	}
	if _, err := time.LoadLocation(zone); err != nil || zone == "" || zone == "Local" {
		f["time_zone"] = "board.time_zone.unknown"
	}
	if country != "" {
		if r, err := language.ParseRegion(country); err != nil || !r.IsCountry() {
			f["country"] = "board.country.unknown"
		}
	}
}

// CreateBoard makes a board with its platform address <slug>.<domain>, in a
// platform transaction. Kinds: fault.Invalid by field, fault.Conflict when the
// slug or its host is taken.
func CreateBoard(ctx context.Context, tx bun.IDB, n NewBoard, domain string) (*Tenant, error) {
	if n.TimeZone == "" {
		n.TimeZone = "UTC"
	}
	if err := n.Validate(); err != nil {
		return nil, err
	}
	id, host := n.ID, n.Slug+"."+domain
	if id.IsNil() {
		id = NewID()
	}
	var rule any
	if n.FeeRule != nil {
		rule = string(n.FeeRule)
	}
	_, err := tx.NewRaw(`INSERT INTO boards (id, slug, name, tagline, locale, currency, time_zone, country, contact_email, moderated, demo, fee_rule)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, coalesce(?::jsonb, '{"percent_bp": 1000}'))`,
		id, n.Slug, n.Name, n.Tagline, n.Locale, n.Currency, n.TimeZone, strings.ToUpper(n.Country), n.ContactEmail, n.Moderated, n.Demo, rule).Exec(ctx)
	if pg.Unique(err, "") {
		return nil, &fault.Error{Kind: fault.Conflict, Text: "the address " + n.Slug + " is taken", Fields: fault.Fields{"slug": "board.slug.taken"}, Cause: err}
	}
	if err != nil {
		return nil, err
	}
	_, err = tx.NewRaw(`INSERT INTO hosts (host, board_id, kind, canonical, verified_at) VALUES (?, ?, 'platform', true, now())`, host, id).Exec(ctx)
	if pg.Unique(err, "") {
		return nil, &fault.Error{Kind: fault.Conflict, Text: "the address " + host + " is taken", Fields: fault.Fields{"slug": "board.slug.taken"}, Cause: err}
	}
	if err != nil {
		return nil, err
	}
	if _, err := tx.NewRaw(`INSERT INTO generations (tenant_id) VALUES (?)`, id).Exec(ctx); err != nil {
		return nil, err
	}
	if _, err := tx.NewRaw(`INSERT INTO order_numbers (tenant_id) VALUES (?)`, id).Exec(ctx); err != nil {
		return nil, err
	}
	t := new(Tenant)
	if err := tx.NewRaw(`SELECT * FROM boards WHERE id = ?`, id).Scan(ctx, t); err != nil {
		return nil, err
	}
	t.CanonicalHost, t.PlatformHost, t.Generation = host, host, 1
	t.settle()
	return t, nil
}

// SetState suspends, closes or resumes a board in a platform transaction. The
// reason is for staff and the board's admins, never for visitors. Kinds:
// fault.NotFound, fault.Conflict when it is in that state already,
// fault.Invalid without a reason to suspend.
func SetState(ctx context.Context, tx bun.IDB, id ID, to State, reason string) error {
	reason = strings.TrimSpace(reason)
	if to != Active && reason == "" {
		return fault.Invalids(fault.Fields{"reason": "board.reason.required"})
	}
	var now State
	if err := tx.NewRaw(`SELECT state FROM boards WHERE id = ? FOR UPDATE`, id).Scan(ctx, &now); err != nil {
		return fault.Wrap(err, fault.NotFound, "board not found")
	}
	if now == to {
		return fault.New(fault.Conflict, "the board is %s already", to)
	}
	_, err := tx.NewRaw(`UPDATE boards SET state = ?, state_reason = ?, state_since = now() WHERE id = ?`, to, reason, id).Exec(ctx)
	if err != nil {
		return err
	}
	ChangedBoard(ctx, id)
	return nil
}

// SetFeeRule changes the platform's share of future sales of a board, in a
// platform transaction. Kind: fault.NotFound.
func SetFeeRule(ctx context.Context, tx bun.IDB, id ID, rule json.RawMessage) error {
	res, err := tx.NewRaw(`UPDATE boards SET fee_rule = ?::jsonb WHERE id = ?`, string(rule), id).Exec(ctx)
	if err := Touched(res, err, "board"); err != nil {
		return err
	}
	ChangedBoard(ctx, id)
	return nil
}

// Settings is what a board decides about itself.
type Settings struct {
	Name, Tagline, Locale, Currency, TimeZone, Country, ContactEmail string
	Moderated                                                        bool
}

// SaveSettings changes the context's board, in its own transaction. Kind:
// fault.Invalid by field. The currency of existing products stays as it is.
func SaveSettings(ctx context.Context, tx bun.IDB, s Settings) error {
	f := fault.Fields{}
	s.Name = strings.TrimSpace(s.Name)
	if s.Name == "" {
		f["name"] = "board.name.required"
	} else if len([]rune(s.Name)) > 60 {
		f["name"] = "board.name.long"
	}
	if len([]rune(s.Tagline)) > 140 {
		f["tagline"] = "board.tagline.long"
	}
	checkSettings(f, s.Locale, s.Currency, s.TimeZone, s.Country)
	if err := fault.Invalids(f); err != nil {
		return err
	}
	id, err := IDFrom(ctx)
	if err != nil {
		return err
	}
	res, err := tx.NewRaw(`UPDATE boards SET name = ?, tagline = ?, locale = ?, currency = ?, time_zone = ?, country = ?, contact_email = ?, moderated = ?
		WHERE id = ?`, s.Name, strings.TrimSpace(s.Tagline), s.Locale, s.Currency, s.TimeZone, strings.ToUpper(s.Country), s.ContactEmail, s.Moderated, id).Exec(ctx)
	if err := Touched(res, err, "board"); err != nil {
		return err
	}
	Changed(ctx)
	return nil
}

// SaveSupport says whether the platform's staff must ask before they come into
// the console of the context's board, in its own transaction.
func SaveSupport(ctx context.Context, tx bun.IDB, ask bool) error {
	id, err := IDFrom(ctx)
	if err != nil {
		return err
	}
	res, err := tx.NewRaw(`UPDATE boards SET settings = jsonb_set(settings, '{support}', jsonb_build_object('ask', ?::bool)) WHERE id = ?`, ask, id).Exec(ctx)
	if err := Touched(res, err, "board"); err != nil {
		return err
	}
	Changed(ctx)
	return nil
}
