package accounts

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/links"
	"shingle/internal/seal"
	"shingle/tenant"
)

// Operator is a member of a board's team or of the platform's staff. Operators
// are platform-wide; what they may do where is authz's.
type Operator struct {
	ID          uuid.UUID    `bun:"id"`
	Email       string       `bun:"email"`
	Name        string       `bun:"name"`
	Locale      string       `bun:"locale"`
	HasPassword bool         `bun:"has_password"`
	CreatedAt   time.Time    `bun:"created_at"`
	SignedInAt  bun.NullTime `bun:"signed_in_at"`
}

// Label is how an operator is shown: the name, else the address.
func (o *Operator) Label() string {
	if o.Name != "" {
		return o.Name
	}
	return o.Email
}

// Actor is the operator as the context carries who acts: staff on the
// platform's own pages, operator on a board's.
func (o *Operator) Actor(kind tenant.ActorKind) tenant.Actor {
	return tenant.Actor{Kind: kind, ID: o.ID, Label: o.Label()}
}

// Operators is everything about operators' accounts. All of it goes through the
// platform's door.
type Operators struct {
	platform  *tenant.Platform
	limit     *Limiter
	links     links.Links
	now       func() time.Time
	passwords *passwords

	// Set by UseFactors and UseOIDC; nil where only sessions are asked for.
	sealer *seal.Sealer
	rp     *webauthn.WebAuthn
	oidc   *OIDC
	exempt map[string]bool
}

// NewOperators makes the service.
func NewOperators(p *tenant.Platform, l *Limiter, ln links.Links, now func() time.Time) *Operators {
	return &Operators{platform: p, limit: l, links: ln, now: now, passwords: newPasswords()}
}

const operatorColumns = `id, email, name, locale, password_hash <> '' AS has_password, created_at, signed_in_at`

// ByID finds an operator in a platform transaction. Kind: fault.NotFound.
func (s *Operators) ByID(ctx context.Context, tx bun.IDB, id uuid.UUID) (*Operator, error) {
	return oneOperator(ctx, tx, `SELECT `+operatorColumns+` FROM operators WHERE id = ?`, id)
}

// ByEmail finds an operator by address. Kinds: fault.Invalid, fault.NotFound:
// never tell the difference to somebody who has not signed in.
func (s *Operators) ByEmail(ctx context.Context, tx bun.IDB, email string) (*Operator, error) {
	email, err := Fold(email)
	if err != nil {
		return nil, err
	}
	return oneOperator(ctx, tx, `SELECT `+operatorColumns+` FROM operators WHERE email = ?`, email)
}

// FindOrCreate finds the operator of an address or makes one, in a platform
// transaction. Name and locale are used for a new one only. Kind: fault.Invalid.
func (s *Operators) FindOrCreate(ctx context.Context, tx bun.IDB, email, name, locale string) (*Operator, error) {
	email, err := Fold(email)
	if err != nil {
		return nil, err
	}
	if locale == "" {
		locale = "en"
	}
	_, err = tx.NewRaw(`INSERT INTO operators (id, email, name, locale) VALUES (?, ?, ?, ?) ON CONFLICT (email) DO NOTHING`,
		tenant.NewRowID(), email, cleanName(name), locale).Exec(ctx)
	if err != nil {
		return nil, err
	}
	return oneOperator(ctx, tx, `SELECT `+operatorColumns+` FROM operators WHERE email = ?`, email)
}

// Update sets an operator's own name and language.
func (s *Operators) Update(ctx context.Context, tx bun.IDB, id uuid.UUID, name, locale string) error {
	res, err := tx.NewRaw(`UPDATE operators SET name = ?, locale = ? WHERE id = ?`, cleanName(name), locale, id).Exec(ctx)
	return tenant.Touched(res, err, "operator")
}

// SetPassword opens a transaction of its own: hashing takes a while. Other
// sessions stay; see EndSessions. Kinds: fault.Invalid (field "password"),
// fault.NotFound.
func (s *Operators) SetPassword(ctx context.Context, id uuid.UUID, password string) error {
	var email string
	err := s.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		o, err := s.ByID(ctx, tx, id)
		if err == nil {
			email = o.Email
		}
		return err
	})
	if err != nil {
		return err
	}
	hash, err := s.passwords.hash(ctx, password, email)
	if err != nil {
		return err
	}
	return s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		return setPassword(ctx, tx, id, hash)
	})
}

func setPassword(ctx context.Context, tx bun.IDB, id uuid.UUID, hash string) error {
	res, err := tx.NewRaw(`UPDATE operators SET password_hash = ? WHERE id = ?`, hash, id).Exec(ctx)
	return tenant.Touched(res, err, "operator")
}

func oneOperator(ctx context.Context, tx bun.IDB, q string, args ...any) (*Operator, error) {
	o := new(Operator)
	err := tx.NewRaw(q, args...).Scan(ctx, o)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.New(fault.NotFound, "operator not found")
	}
	if err != nil {
		return nil, err
	}
	return o, nil
}

// cleanName keeps a name one line of at most 100 characters.
func cleanName(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "")), " ")
	if r := []rune(s); len(r) > 100 {
		s = string(r[:100])
	}
	return s
}
