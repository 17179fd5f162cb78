package accounts

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tenant"
)

// The kinds of operators' tokens, as the table checks them.
const (
	kindSignIn   = "sign-in"
	kindHandOver = "hand-over"
	kindInvite   = "invite"
	kindReset    = "reset"
	kindSignUp   = "sign-up"
	// What a passkey is to sign, for a new one, a sign-in, a check.
	kindPasskeyNew, kindPasskeyIn, kindPasskeyCheck = "passkey-new", "passkey-in", "passkey-check"
	// A sign-in at another provider under way, and one that waits to be linked.
	kindOIDC, kindOIDCLink = "oidc", "oidc-link"
	// A change of address: the one token goes to each.
	kindAddressOld, kindAddressNew = "address-old", "address-new"
)

// operatorToken is a single-use secret of an operator.
type operatorToken struct {
	Hash       []byte          `bun:"hash"`
	Kind       string          `bun:"kind"`
	Email      string          `bun:"email"`
	OperatorID *uuid.UUID      `bun:"operator_id"`
	BoardID    *tenant.ID      `bun:"board_id"`
	Host       string          `bun:"host"`
	Payload    json.RawMessage `bun:"payload"`
	CreatedAt  time.Time       `bun:"created_at"`
	ExpiresAt  time.Time       `bun:"expires_at"`
}

const tokenColumns = `hash, kind, email, operator_id, board_id, host, payload, created_at, expires_at` //nolint:gosec // columns

// notes is a token's payload.
type notes struct {
	Next   string `json:"next,omitempty"`
	Name   string `json:"name,omitempty"`
	Locale string `json:"locale,omitempty"`
	Role   string `json:"role,omitempty"`
	By     string `json:"by,omitempty"`
	Parent []byte `json:"parent,omitempty"`
	// Impersonation is whose door a hand-over opens when it is not the operator's own.
	Impersonation string          `json:"impersonation,omitempty"`
	Data          json.RawMessage `json:"data,omitempty"`
}

func (t *operatorToken) notes() (n notes, err error) {
	err = json.Unmarshal(t.Payload, &n)
	return n, err
}

// newToken is what issueToken needs to know.
type newToken struct {
	kind     string
	email    string
	operator *uuid.UUID
	board    *tenant.ID
	host     string
	notes    notes
	lives    time.Duration
	withCode bool
}

func (s *Operators) issueToken(ctx context.Context, tx bun.IDB, n newToken) (Issued, error) {
	now := s.now()
	i := issue(now.Add(n.lives), n.withCode)
	payload, err := jsonText(n.notes)
	if err != nil {
		return i, err
	}
	_, err = tx.NewRaw(`INSERT INTO operator_tokens (hash, kind, email, operator_id, board_id, host, payload, code_hash, ticket_hash, created_at, expires_at)
		VALUES (?, ?, ?, ?, ?, ?, ?::jsonb, ?, ?, ?, ?)`,
		i.hash, n.kind, n.email, n.operator, n.board, n.host, payload, i.codeHash, i.ticketHash, now, i.Expires).Exec(ctx)
	return i, err
}

// tokenHash is the hash that a proof leads to. A wrong code is counted in a
// transaction of its own, so that it cannot be rolled back; the right one is no
// guess, and may come again with a form that was refused.
// Kinds: fault.Invalid for a wrong code, fault.Gone after too many.
func (s *Operators) tokenHash(ctx context.Context, kind string, p Proof, c Client) ([]byte, error) {
	if p.Ticket == "" {
		if h := hashOf(p.Token); h != nil {
			return h, nil
		}
		return nil, errOver
	}
	if err := s.limit.Allow(ctx, LimitKey(tenant.Nil, "code/ip", c.Network()), codesPerNetwork); err != nil {
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
	err := s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`UPDATE operator_tokens SET tries = tries + CASE WHEN code_hash = ? THEN 0 ELSE 1 END
			WHERE ticket_hash = ? AND kind = ? AND spent_at IS NULL AND expires_at > ? AND tries < ?
			RETURNING hash, code_hash = ? AS matches`, code, ticket, kind, s.now(), maxTries, code).Scan(ctx, &row)
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

// spendToken spends a token exactly once, whoever else tries at the same
// moment. Kind: fault.Gone for a token that is unknown, spent or too old: the
// three are not told apart.
func (s *Operators) spendToken(ctx context.Context, tx bun.IDB, kind string, hash []byte) (*operatorToken, error) {
	return scanToken(ctx, tx.NewRaw(`UPDATE operator_tokens SET spent_at = ?
		WHERE hash = ? AND kind = ? AND spent_at IS NULL AND expires_at > ? RETURNING `+tokenColumns, s.now(), hash, kind, s.now()))
}

func scanToken(ctx context.Context, q *bun.RawQuery) (*operatorToken, error) {
	t := new(operatorToken)
	err := q.Scan(ctx, t)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errOver
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Peeked is what a page may show before its button spends the token.
type Peeked struct {
	Email   string
	Expires time.Time
	// Board and Role are those of an invitation; Board also of a hand-over.
	Board     tenant.ID
	BoardName string
	Role      string
	// By is who invited.
	By string
}

// Peek looks at a mailed token without spending it: "sign-in", "reset",
// "sign-up", "invite" or "hand-over". It opens a transaction. Kind: fault.Gone.
func (s *Operators) Peek(ctx context.Context, kind, token string) (*Peeked, error) {
	hash := hashOf(token)
	if hash == nil {
		return nil, errOver
	}
	var row struct {
		Email     string          `bun:"email"`
		ExpiresAt time.Time       `bun:"expires_at"`
		BoardID   tenant.ID       `bun:"board_id"`
		BoardName string          `bun:"board_name"`
		Payload   json.RawMessage `bun:"payload"`
	}
	err := s.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT t.email, t.expires_at, t.board_id, coalesce(b.name, '') AS board_name, t.payload
			FROM operator_tokens AS t LEFT JOIN boards AS b ON b.id = t.board_id
			WHERE t.hash = ? AND t.kind = ? AND t.spent_at IS NULL AND t.expires_at > ?`, hash, kind, s.now()).Scan(ctx, &row)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errOver
	}
	if err != nil {
		return nil, err
	}
	var n notes
	if err := json.Unmarshal(row.Payload, &n); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "a token's payload")
	}
	return &Peeked{Email: row.Email, Expires: row.ExpiresAt, Board: row.BoardID, BoardName: row.BoardName, Role: n.Role, By: n.By}, nil
}
