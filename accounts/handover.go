package accounts

import (
	"context"
	"database/sql"
	"errors"

	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tenant"
)

// HandOver is a one-minute, single-use ticket from the platform's host to a
// board's console.
type HandOver struct {
	Code string
	// Host is the board's platform address, the only one that takes the code.
	Host string
}

// HandOver makes a code for the operator of a session on the platform's host.
// It opens a transaction. Whether they have business on that board is the
// gate's to say, on every request there.
//
// Kinds: fault.NotFound for a board without a platform address; fault.SignIn
// when the session is a board's own.
func (s *Operators) HandOver(ctx context.Context, from *OperatorSession, board tenant.ID, next string) (*HandOver, error) {
	if from.Board != nil {
		return nil, errSignIn
	}
	h := new(HandOver)
	err := s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		err := tx.NewRaw(`SELECT host FROM hosts WHERE board_id = ? AND kind = 'platform' ORDER BY created_at LIMIT 1`, board).Scan(ctx, &h.Host)
		if errors.Is(err, sql.ErrNoRows) {
			return fault.New(fault.NotFound, "board not found")
		}
		if err != nil {
			return err
		}
		i, err := s.issueToken(ctx, tx, newToken{kind: kindHandOver, email: from.Operator.Email, operator: &from.Operator.ID, board: &board, host: h.Host,
			lives: handOverIn, notes: notes{Next: LocalPath(next, ""), Parent: from.hash}})
		h.Code = i.Token
		return err
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// Exchange spends a hand-over's code on the board's platform address, by POST,
// and starts the board's session as a child of the one that it came from: the
// child ends when the parent does.
//
// Kinds: fault.Gone for a code that is unknown here (also one for another host
// or board, which stays unspent), spent or too old; fault.SignIn when the
// parent has ended meanwhile.
func (s *Operators) Exchange(ctx context.Context, board tenant.ID, host, code string, c Client) (*SignedIn, error) {
	hash, at := hashOf(code), tenant.NormaliseHost(nil, host)
	if hash == nil || at == nil {
		return nil, errOver
	}
	var in *SignedIn
	err := s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		t, err := scanToken(ctx, tx.NewRaw(`UPDATE operator_tokens SET spent_at = ?
			WHERE hash = ? AND kind = ? AND board_id = ? AND host = ? AND spent_at IS NULL AND expires_at > ? RETURNING `+tokenColumns,
			s.now(), hash, kindHandOver, board, string(at), s.now()))
		if err != nil {
			return err
		}
		n, err := t.notes()
		if err != nil {
			return err
		}
		// A parent that ends right after this still ends the child: sessions are
		// read together with their parents.
		var alive bool
		err = tx.NewRaw(`SELECT true FROM operator_sessions WHERE token_hash = ? AND operator_id = ? AND board_id IS NULL
			AND revoked_at IS NULL AND expires_at > ?`, n.Parent, t.OperatorID, s.now()).Scan(ctx, &alive)
		if errors.Is(err, sql.ErrNoRows) {
			return errSignIn
		}
		if err != nil {
			return err
		}
		if n.Impersonation != "" {
			if in, err = s.begin(ctx, tx, board, *t.OperatorID, n.Parent, n.Impersonation, c); err == nil {
				in.Next = n.Next
			}
			return err
		}
		o, err := s.ByID(ctx, tx, *t.OperatorID)
		if err != nil {
			return err
		}
		if in, err = s.startSession(ctx, tx, o, &board, n.Parent, c); err != nil {
			return err
		}
		in.Next = n.Next
		return nil
	})
	if err != nil {
		return nil, err
	}
	return in, nil
}
