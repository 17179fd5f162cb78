package accounts

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tenant"
)

// NewToken is a secret to be mailed to somebody on the board: a sign-in, a CV's
// link, a withdrawal, an alert to confirm.
type NewToken struct {
	// Kind is a frozen name; a token is good for its kind only.
	Kind string
	// Email is whom it is for; folded here.
	Email string
	// Payload says where it leads, a struct with JSON tags.
	Payload any
	Lives   time.Duration
	// WithCode adds a six-digit code, and the ticket that it goes with.
	WithCode bool
}

// Token is what a row says of a secret.
type Token struct {
	Kind      string          `bun:"kind"`
	Email     string          `bun:"email"`
	Payload   json.RawMessage `bun:"payload"`
	CreatedAt time.Time       `bun:"created_at"`
	ExpiresAt time.Time       `bun:"expires_at"`
}

// Decode reads the payload into v.
func (t *Token) Decode(v any) error {
	if err := json.Unmarshal(t.Payload, v); err != nil {
		return fault.Wrap(err, fault.Internal, "a token's payload")
	}
	return nil
}

// Issue makes a token in the caller's transaction. Kind: fault.Invalid for an
// address that is none.
func (s *People) Issue(ctx context.Context, tx bun.IDB, n NewToken) (Issued, error) {
	if n.Kind == "" || n.Lives <= 0 {
		return Issued{}, errNoKind
	}
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return Issued{}, err
	}
	email := n.Email
	if email != "" {
		if email, err = Fold(email); err != nil {
			return Issued{}, err
		}
	}
	payload, err := jsonText(n.Payload)
	if err != nil {
		return Issued{}, err
	}
	now := s.now()
	i := issue(now.Add(n.Lives), n.WithCode)
	_, err = tx.NewRaw(`INSERT INTO person_tokens (tenant_id, hash, kind, email, payload, code_hash, ticket_hash, created_at, expires_at)
		VALUES (?, ?, ?, ?, ?::jsonb, ?, ?, ?, ?)`, board, i.hash, n.Kind, email, payload, i.codeHash, i.ticketHash, now, i.Expires).Exec(ctx)
	return i, err
}

// MayMail counts a mail with a secret against who asks and who gets it: known
// and unknown addresses alike. The address is folded. Kind: fault.TooMany.
func (s *People) MayMail(ctx context.Context, email string, c Client) error {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return err
	}
	return s.limit.mails(ctx, board, email, c)
}

// Peek reads a token without spending it: for the page with the button, and for
// links that may be opened more than once until they expire. Kind: fault.Gone
// for a token that is unknown here, spent or too old: they are not told apart.
func (s *People) Peek(ctx context.Context, tx bun.IDB, kind, token string) (*Token, error) {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, err
	}
	return scanPersonToken(ctx, tx.NewRaw(`SELECT kind, email, payload, created_at, expires_at FROM person_tokens
		WHERE tenant_id = ? AND hash = ? AND kind = ? AND spent_at IS NULL AND expires_at > ?`, board, hashOf(token), kind, s.now()))
}

// PeekSignIn is Peek for the sign-in page, in a transaction of its own.
func (s *People) PeekSignIn(ctx context.Context, token string) (*Token, error) {
	var t *Token
	err := s.db.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		t, err = s.Peek(ctx, tx, KindSignIn, token)
		return err
	})
	return t, err
}

// Spend spends a token exactly once, whoever else tries at the same moment, in
// the transaction of its effect. Only a POST may call it: mail scanners follow
// links. Kind: fault.Gone as for Peek.
func (s *People) Spend(ctx context.Context, tx bun.IDB, kind, token string) (*Token, error) {
	return s.spend(ctx, tx, kind, hashOf(token))
}

func (s *People) spend(ctx context.Context, tx bun.IDB, kind string, hash []byte) (*Token, error) {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, err
	}
	return scanPersonToken(ctx, tx.NewRaw(`UPDATE person_tokens SET spent_at = ?
		WHERE tenant_id = ? AND hash = ? AND kind = ? AND spent_at IS NULL AND expires_at > ?
		RETURNING kind, email, payload, created_at, expires_at`, s.now(), board, hash, kind, s.now()))
}

func scanPersonToken(ctx context.Context, q *bun.RawQuery) (*Token, error) {
	t := new(Token)
	err := q.Scan(ctx, t)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errOver
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// tokenHash is the hash that a proof leads to; see the operators' twin.
func (s *People) tokenHash(ctx context.Context, kind string, p Proof, c Client) ([]byte, error) {
	if p.Ticket == "" {
		if h := hashOf(p.Token); h != nil {
			return h, nil
		}
		return nil, errOver
	}
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.limit.Allow(ctx, LimitKey(board, "code/ip", c.Network()), codesPerNetwork); err != nil {
		return nil, err
	}
	ticket, code := hashOf(p.Ticket), codeHash(p.Ticket, p.Code)
	if ticket == nil {
		return nil, errOver
	}
	if code == nil {
		return nil, errCode
	}
	var row struct {
		Hash    []byte `bun:"hash"`
		Matches bool   `bun:"matches"`
	}
	err = s.db.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`UPDATE person_tokens SET tries = tries + 1
			WHERE tenant_id = ? AND ticket_hash = ? AND kind = ? AND spent_at IS NULL AND expires_at > ? AND tries < ?
			RETURNING hash, code_hash = ? AS matches`, board, ticket, kind, s.now(), maxTries, code).Scan(ctx, &row)
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, errOver
	case err != nil:
		return nil, err
	case !row.Matches:
		return nil, errCode
	}
	return row.Hash, nil
}
