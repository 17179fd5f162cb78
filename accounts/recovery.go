package accounts

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base32"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/tenant"
)

// Recovery codes: ten, each good once in place of a second factor. A code is 80
// random bits, so that its plain hash in the row gives nothing away.
const codesMade = 10

var codeLetters = base32.NewEncoding("abcdefghjkmnpqrstuvwxyz023456789").WithPadding(base32.NoPadding)

func recoveryHash(operator uuid.UUID, code string) []byte {
	code = strings.ToLower(digits(code))
	if len(code) != 16 {
		return nil
	}
	h := sha256.Sum256([]byte("recovery/" + operator.String() + "/" + code))
	return h[:]
}

// newCodes replaces an operator's recovery codes.
func (s *Operators) newCodes(ctx context.Context, tx bun.IDB, operator uuid.UUID) ([]string, error) {
	if _, err := tx.NewRaw(`DELETE FROM operator_recovery_codes WHERE operator_id = ?`, operator).Exec(ctx); err != nil {
		return nil, err
	}
	codes := make([]string, codesMade)
	for i := range codes {
		var raw [10]byte
		_, _ = rand.Read(raw[:]) // never fails since Go 1.24
		c := codeLetters.EncodeToString(raw[:])
		codes[i] = c[:4] + "-" + c[4:8] + "-" + c[8:12] + "-" + c[12:]
		_, err := tx.NewRaw(`INSERT INTO operator_recovery_codes (operator_id, hash) VALUES (?, ?)`, operator, recoveryHash(operator, codes[i])).Exec(ctx)
		if err != nil {
			return nil, err
		}
	}
	return codes, nil
}

// NewRecoveryCodes makes ten new codes; the old ones are void. They are shown
// once: the rows hold hashes. It opens a transaction. Kinds: fault.StepUp, also
// for who has no second factor to recover.
func (s *Operators) NewRecoveryCodes(ctx context.Context, in *OperatorSession) (codes []string, err error) {
	if err := s.mayChange(in); err != nil {
		return nil, err
	}
	if !in.HasFactor {
		return nil, errFactor
	}
	err = s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		if codes, err = s.newCodes(ctx, tx, in.Operator.ID); err != nil {
			return err
		}
		return s.changed(ctx, tx, &in.Operator, "codes_made", in.Operator.Email)
	})
	return codes, err
}

// ProveByRecovery spends a recovery code as the session's second factor, and
// tells the operator. It opens a transaction. Kinds: fault.Invalid (field
// "recovery"), fault.TooMany.
func (s *Operators) ProveByRecovery(ctx context.Context, in *OperatorSession, code string, c Client) error {
	if in.Board != nil {
		return errSignIn
	}
	if err := s.guessing(ctx, in, c); err != nil {
		return err
	}
	hash := recoveryHash(in.Operator.ID, code)
	if hash == nil {
		return errRecovery
	}
	return s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		res, err := tx.NewRaw(`UPDATE operator_recovery_codes SET spent_at = ? WHERE operator_id = ? AND hash = ? AND spent_at IS NULL`, s.now(), in.Operator.ID, hash).Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil {
			return err
		} else if n == 0 {
			return errRecovery
		}
		if err := s.prove(ctx, tx, in.hash); err != nil {
			return err
		}
		return s.changed(ctx, tx, &in.Operator, "code_spent", in.Operator.Email)
	})
}

func touched(res sql.Result, err error) error { return tenant.Touched(res, err, "factor") }
