package accounts

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/mail"
	"shingle/tenant"
)

// An operator's address changes when both addresses have agreed: the old one
// keeps a thief of a session out, the new one keeps typing errors out.

// PathAddress is where both mailed links of a change lead, on the platform's host.
const PathAddress = "/security/address/confirm"

const addressFor = 24 * time.Hour

// AddressChange is a change of address that waits.
type AddressChange struct {
	Email        string       `bun:"email"`
	OldConfirmed bun.NullTime `bun:"old_confirmed_at"`
	NewConfirmed bun.NullTime `bun:"new_confirmed_at"`
	ExpiresAt    time.Time    `bun:"expires_at"`
}

func (s *Operators) addressChange(ctx context.Context, tx bun.IDB, operator uuid.UUID) (*AddressChange, error) {
	c := new(AddressChange)
	err := tx.NewRaw(`SELECT email, old_confirmed_at, new_confirmed_at, expires_at FROM operator_address_changes WHERE operator_id = ? AND expires_at > ?`, operator, s.now()).Scan(ctx, c)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return c, err
}

// RequestAddress begins a change of address: a link goes to the old address and
// one to the new, and both must be pressed. An address that somebody else has is
// not told from a free one here. It opens a transaction. Kinds: fault.Invalid
// (fields "email", "current"), fault.StepUp, fault.TooMany.
func (s *Operators) RequestAddress(ctx context.Context, in *OperatorSession, email, current string, c Client) error {
	email, err := Fold(email)
	if err != nil {
		return err
	}
	if email == in.Operator.Email {
		return fault.Invalids(fault.Fields{"email": "account.address.same"})
	}
	if err := s.mayChangeSecret(ctx, in, current, c); err != nil {
		return err
	}
	if err := s.limit.mails(ctx, tenant.Nil, email, c); err != nil {
		return err
	}
	id, now := in.Operator.ID, s.now()
	return s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`INSERT INTO operator_address_changes (operator_id, email, created_at, expires_at) VALUES (?, ?, ?, ?)
			ON CONFLICT (operator_id) DO UPDATE SET email = excluded.email, old_confirmed_at = NULL, new_confirmed_at = NULL, created_at = excluded.created_at, expires_at = excluded.expires_at`,
			id, email, now, now.Add(addressFor)).Exec(ctx)
		if err != nil {
			return err
		}
		if err := s.endAddressTokens(ctx, tx, id); err != nil {
			return err
		}
		for kind, to := range map[string]string{kindAddressOld: in.Operator.Email, kindAddressNew: email} {
			i, err := s.issueToken(ctx, tx, newToken{kind: kind, email: email, operator: &id, lives: addressFor})
			if err != nil {
				return err
			}
			err = mail.Queue(ctx, tx, mail.Message{Kind: "operator-" + kind, Key: i.key(), To: to, Locale: in.Operator.Locale,
				URL: s.links.Platform(withToken(PathAddress, i.Token)), Data: mail.Data{"Old": in.Operator.Email, "New": email, "Hours": int(addressFor.Hours())}})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Operators) endAddressTokens(ctx context.Context, tx bun.IDB, operator uuid.UUID) error {
	_, err := tx.NewRaw(`UPDATE operator_tokens SET spent_at = ? WHERE operator_id = ? AND kind IN (?, ?) AND spent_at IS NULL`, s.now(), operator, kindAddressOld, kindAddressNew).Exec(ctx)
	return err
}

// CancelAddress ends a change that waits. Kind: fault.NotFound.
func (s *Operators) CancelAddress(ctx context.Context, tx bun.IDB, in *OperatorSession) error {
	res, err := tx.NewRaw(`DELETE FROM operator_address_changes WHERE operator_id = ?`, in.Operator.ID).Exec(ctx)
	if err := touched(res, err); err != nil {
		return err
	}
	return s.endAddressTokens(ctx, tx, in.Operator.ID)
}

// ConfirmAddress spends one of the two links. With the second one the address
// changes, the operator's other sign-ins and open links end, and both addresses
// are told. It opens a transaction. Kinds: fault.Gone, fault.Conflict for an
// address that somebody has by now.
func (s *Operators) ConfirmAddress(ctx context.Context, token string) (done bool, err error) {
	hash := hashOf(token)
	if hash == nil {
		return false, errOver
	}
	err = s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		t, err := scanToken(ctx, tx.NewRaw(`UPDATE operator_tokens SET spent_at = ? WHERE hash = ? AND kind IN (?, ?) AND spent_at IS NULL AND expires_at > ? RETURNING `+tokenColumns,
			s.now(), hash, kindAddressOld, kindAddressNew, s.now()))
		if err != nil {
			return err
		}
		side := "old_confirmed_at"
		if t.Kind == kindAddressNew {
			side = "new_confirmed_at"
		}
		var both bool
		err = tx.NewRaw(`UPDATE operator_address_changes SET ? = ? WHERE operator_id = ? AND email = ? AND expires_at > ?
			RETURNING old_confirmed_at IS NOT NULL AND new_confirmed_at IS NOT NULL`, bun.Ident(side), s.now(), *t.OperatorID, t.Email, s.now()).Scan(ctx, &both)
		if errors.Is(err, sql.ErrNoRows) {
			return errOver
		}
		if err != nil || !both {
			return err
		}
		done = true
		return s.changeAddress(ctx, tx, *t.OperatorID, t.Email)
	})
	return done && err == nil, err
}

func (s *Operators) changeAddress(ctx context.Context, tx bun.IDB, id uuid.UUID, email string) error {
	before, err := s.ByID(ctx, tx, id)
	if err != nil {
		return err
	}
	var taken bool
	if err := tx.NewRaw(`SELECT EXISTS (SELECT FROM operators WHERE email = ?)`, email).Scan(ctx, &taken); err != nil {
		return err
	}
	if taken { // both have read their mail: it is the holder's own address
		return fault.New(fault.Conflict, "account.address.taken")
	}
	if _, err := tx.NewRaw(`UPDATE operators SET email = ? WHERE id = ?`, email, id).Exec(ctx); err != nil {
		return err
	}
	if _, err := tx.NewRaw(`DELETE FROM operator_address_changes WHERE operator_id = ?`, id).Exec(ctx); err != nil {
		return err
	}
	// A link in the old mailbox signs nobody in any more.
	if _, err := tx.NewRaw(`UPDATE operator_tokens SET spent_at = ? WHERE (operator_id = ? OR email = ?) AND kind IN (?, ?) AND spent_at IS NULL`, s.now(), id, before.Email, kindSignIn, kindReset).Exec(ctx); err != nil {
		return err
	}
	if err := s.EndSessions(ctx, tx, id, nil); err != nil {
		return err
	}
	return s.changed(ctx, tx, before, "address_changed", before.Email, email)
}

// mayChangeSecret wants a fresh second factor of who has one, else the current
// password of who has one.
func (s *Operators) mayChangeSecret(ctx context.Context, in *OperatorSession, current string, c Client) error {
	if err := s.mayChange(in); err != nil || in.HasFactor || !in.Operator.HasPassword {
		return err
	}
	if err := s.limit.both(ctx, tenant.Nil, "password", in.Operator.Email, c, passwordsPerAddress, passwordsPerNetwork); err != nil {
		return err
	}
	var hash string
	err := s.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT password_hash FROM operators WHERE id = ?`, in.Operator.ID).Scan(ctx, &hash)
	})
	if err != nil {
		return err
	}
	ok, err := s.passwords.matches(ctx, current, hash)
	if err == nil && !ok {
		err = fault.Invalids(fault.Fields{"current": "account.password.current"})
	}
	return err
}

// ChangePassword sets a new password from the operator's own page, ends their
// other sign-ins and tells them. It opens its transactions. Kinds: fault.Invalid
// (fields "password", "current"), fault.StepUp, fault.TooMany.
func (s *Operators) ChangePassword(ctx context.Context, in *OperatorSession, current, password string, c Client) error {
	if err := s.mayChangeSecret(ctx, in, current, c); err != nil {
		return err
	}
	hash, err := s.passwords.hash(ctx, password, in.Operator.Email)
	if err != nil {
		return err
	}
	return s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := setPassword(ctx, tx, in.Operator.ID, hash); err != nil {
			return err
		}
		if err := s.EndSessions(ctx, tx, in.Operator.ID, in); err != nil {
			return err
		}
		return s.changed(ctx, tx, &in.Operator, "password_changed", in.Operator.Email)
	})
}
