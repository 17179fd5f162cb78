package accounts

import (
	"bytes"
	"context"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"image/png"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
)

// Codes of an authenticator app (RFC 6238): six digits, 30 seconds, SHA-1, as
// every app knows them. A code counts in its own step and the one before and
// after; a step's code is taken once.
const totpStep = 30

// TOTPSetup is an authenticator app about to be set up. Nothing is stored until
// a code proves that the app has the secret: until then it travels in the form,
// sealed for its operator.
type TOTPSetup struct {
	// Sealed goes into the form and comes back with the first code.
	Sealed string
	// Secret is for typing, in groups of four.
	Secret string
	// QR is a PNG as base64: otpauth://…
	QR string
}

func setupContext(operator uuid.UUID) []byte { return []byte("totp setup/" + operator.String()) }
func totpContext(operator uuid.UUID) []byte  { return []byte("totp/" + operator.String()) }

// NewTOTP makes the secret of an authenticator app. Kinds: fault.StepUp,
// fault.Unavailable.
func (s *Operators) NewTOTP(in *OperatorSession) (*TOTPSetup, error) {
	if err := s.mayChange(in); err != nil {
		return nil, err
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: "Shingle", AccountName: in.Operator.Email, SecretSize: 20})
	if err != nil {
		return nil, fmt.Errorf("a one-time secret: %w", err)
	}
	if s.sealer == nil {
		return nil, errNoKey
	}
	sealed, err := s.sealer.Seal([]byte(key.String()), setupContext(in.Operator.ID))
	if err != nil {
		return nil, err
	}
	return setupOf(key, base64.RawURLEncoding.EncodeToString(sealed))
}

// TOTPAgain is the set-up of a form that came back with a wrong code. Kind:
// fault.Gone for what was not made for this operator.
func (s *Operators) TOTPAgain(in *OperatorSession, sealed string) (*TOTPSetup, error) {
	key, err := s.setupKey(in, sealed)
	if err != nil {
		return nil, err
	}
	return setupOf(key, sealed)
}

func (s *Operators) setupKey(in *OperatorSession, sealed string) (*otp.Key, error) {
	if s.sealer == nil {
		return nil, errNoKey
	}
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return nil, errOver
	}
	plain, err := s.sealer.Open(raw, setupContext(in.Operator.ID))
	if err != nil {
		return nil, errOver
	}
	key, err := otp.NewKeyFromURL(string(plain))
	if err != nil {
		return nil, errOver
	}
	return key, nil
}

func setupOf(key *otp.Key, sealed string) (*TOTPSetup, error) {
	img, err := key.Image(220, 220)
	if err != nil {
		return nil, fmt.Errorf("a QR code: %w", err)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return nil, fmt.Errorf("a QR code: %w", err)
	}
	var groups []string
	for text := key.Secret(); text != ""; {
		n := min(4, len(text))
		groups, text = append(groups, text[:n]), text[n:]
	}
	return &TOTPSetup{Sealed: sealed, Secret: strings.Join(groups, " "), QR: base64.StdEncoding.EncodeToString(b.Bytes())}, nil
}

// AddTOTP sets an authenticator app up whose first code proves that it works,
// in place of an earlier one. The recovery codes are those made along with a
// first factor, else nil. It opens a transaction. Kinds: fault.Invalid (field
// "code"), fault.Gone, fault.StepUp, fault.TooMany.
func (s *Operators) AddTOTP(ctx context.Context, in *OperatorSession, sealed, code string, c Client) (codes []string, err error) {
	if err := s.mayChange(in); err != nil {
		return nil, err
	}
	key, err := s.setupKey(in, sealed)
	if err != nil {
		return nil, err
	}
	if err := s.guessing(ctx, in, c); err != nil {
		return nil, err
	}
	step := s.stepOf(key.Secret(), code)
	if step == 0 {
		return nil, errTOTP
	}
	hidden, err := s.sealer.Seal([]byte(key.Secret()), totpContext(in.Operator.ID))
	if err != nil {
		return nil, err
	}
	err = s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		// The form's secret is no older than the session: a step taken of the app
		// before says nothing about this one.
		_, err := tx.NewRaw(`INSERT INTO operator_totp (operator_id, sealed, sealed_with, last_step, created_at) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (operator_id) DO UPDATE SET sealed = excluded.sealed, sealed_with = excluded.sealed_with, last_step = excluded.last_step, created_at = excluded.created_at`,
			in.Operator.ID, hidden, s.sealer.ID(), step, s.now()).Exec(ctx)
		if err != nil {
			return err
		}
		if codes, err = s.first(ctx, tx, in); err != nil {
			return err
		}
		return s.changed(ctx, tx, &in.Operator, "totp_added", in.Operator.Email)
	})
	return codes, err
}

// RemoveTOTP takes the authenticator app away. It opens a transaction. Kinds:
// fault.NotFound, fault.StepUp.
func (s *Operators) RemoveTOTP(ctx context.Context, in *OperatorSession) error {
	if err := s.mayChange(in); err != nil {
		return err
	}
	return s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		res, err := tx.NewRaw(`DELETE FROM operator_totp WHERE operator_id = ?`, in.Operator.ID).Exec(ctx)
		if err := touched(res, err); err != nil {
			return err
		}
		if err := s.last(ctx, tx, in.Operator.ID); err != nil {
			return err
		}
		return s.changed(ctx, tx, &in.Operator, "totp_removed", in.Operator.Email)
	})
}

// ProveByCode takes a code of the authenticator app as the session's second
// factor. It opens its transactions. Kinds: fault.Invalid (field "code"), also
// for a code that was taken before; fault.TooMany.
func (s *Operators) ProveByCode(ctx context.Context, in *OperatorSession, code string, c Client) error {
	if in.Board != nil {
		return errSignIn
	}
	if err := s.guessing(ctx, in, c); err != nil {
		return err
	}
	return s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		var sealed []byte
		err := tx.NewRaw(`SELECT sealed FROM operator_totp WHERE operator_id = ?`, in.Operator.ID).Scan(ctx, &sealed)
		if errors.Is(err, sql.ErrNoRows) {
			return errTOTP
		}
		if err != nil {
			return err
		}
		if s.sealer == nil {
			return errNoKey
		}
		secret, err := s.sealer.Open(sealed, totpContext(in.Operator.ID))
		if err != nil {
			// Another SHINGLE_SECRET_KEY: no code can be right. Recovery codes still are.
			return fault.Wrap(err, fault.Unavailable, "account.totp.unreadable")
		}
		step := s.stepOf(string(secret), code)
		if step == 0 {
			return errTOTP
		}
		res, err := tx.NewRaw(`UPDATE operator_totp SET last_step = ? WHERE operator_id = ? AND last_step < ?`, step, in.Operator.ID, step).Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(errTOTP, err)
		}
		return s.prove(ctx, tx, in.hash)
	})
}

// stepOf is the step that a code is right for, now or one to either side; 0 for
// none.
func (s *Operators) stepOf(secret, code string) int64 {
	code = digits(code)
	if len(code) != 6 {
		return 0
	}
	now := s.now().Unix() / totpStep
	var found int64
	for step := now - 1; step <= now+1; step++ {
		want, err := hotp.GenerateCodeCustom(secret, uint64(step), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1}) // #nosec G115 -- after 1970
		if err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			found = step
		}
	}
	return found
}

// digits drops the blanks that people group digits by.
func digits(code string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' {
			return -1
		}
		return r
	}, strings.TrimSpace(code))
}

// CodeAt is what an authenticator app with that secret shows at a moment.
func CodeAt(secret string, at time.Time) (string, error) {
	return totp.GenerateCode(strings.ReplaceAll(secret, " ", ""), at)
}
