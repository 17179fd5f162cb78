package accounts

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/internal/fault"
	"shingle/internal/seal"
	"shingle/tenant"
)

// A second factor is a passkey or an authenticator app's code; a recovery code
// stands in for either, once. A session notes when it proved one last. Whoever
// has a factor proves it at each sign-in, staff must have one, and routes marked
// StepUp want a fresh proof.

const (
	// StepUpFor is how long a proof counts as fresh.
	StepUpFor = 15 * time.Minute
	// ceremonyIn bounds how long a passkey's prompt may stay open.
	ceremonyIn = 5 * time.Minute
)

// Limits of guessing a second factor, by operator and by network.
var (
	factorsPerOperator = Limit{6, 15 * time.Minute}
	factorsPerNetwork  = Limit{60, 15 * time.Minute}
	promptsPerNetwork  = Limit{120, 15 * time.Minute}
)

var (
	errFactor   = fault.New(fault.StepUp, "account.step_up")
	errTOTP     = fault.Invalids(fault.Fields{"code": "account.totp.wrong"})
	errRecovery = fault.Invalids(fault.Fields{"recovery": "account.recovery.wrong"})
	errPrompt   = fault.New(fault.Forbidden, "account.passkey.refused")
	errNoKey    = fault.New(fault.Unavailable, "second factors need SHINGLE_SECRET_KEY")
)

// UseFactors gives the service what second factors need: the key that seals
// their secrets, and the host that passkeys are bound to.
func (s *Operators) UseFactors(sealer *seal.Sealer) error {
	rp, err := webauthn.New(&webauthn.Config{RPID: s.links.PlatformHost, RPDisplayName: "Shingle", RPOrigins: []string{originOf(s.links.Platform("/"))},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{ResidentKey: protocol.ResidentKeyRequirementRequired,
			RequireResidentKey: protocol.ResidentKeyRequired(), UserVerification: protocol.VerificationRequired}})
	if err != nil {
		return fmt.Errorf("passkeys on %s: %w", s.links.PlatformHost, err)
	}
	s.rp, s.sealer = rp, sealer
	return nil
}

func originOf(home string) string { return home[:len(home)-1] }

// ExemptForDevelopment lets these addresses do without a second factor until
// they set one up. It is for the demo's operators on a developer's machine, whose
// password is printed on the screen; no other command may call it.
func (s *Operators) ExemptForDevelopment(log *slog.Logger, emails ...string) {
	s.exempt = map[string]bool{}
	for _, e := range emails {
		s.exempt[e] = true
	}
	log.Warn("the demo's operators need no second factor on this machine", "operators", len(emails))
}

// Proven reports whether the session has passed all that its operator has set up.
func (s *OperatorSession) Proven() bool { return s.exempt || !s.HasFactor || !s.FactorAt.IsZero() }

// Fresh reports a second factor proven within StepUpFor.
func (s *OperatorSession) Fresh(now time.Time) bool {
	return s.exempt || !s.FactorAt.IsZero() && now.Sub(s.FactorAt) < StepUpFor
}

// Exempt reports a demo operator on a developer's machine.
func (s *OperatorSession) Exempt() bool { return s.exempt }

// Check holds a session against what a route needs of its second factor. staff
// tells that the operator works for the platform, who always need one. Kind:
// fault.StepUp.
func (s *Operators) Check(in *OperatorSession, staff, stepUp bool) error {
	switch {
	case in.exempt:
		return nil
	case !in.Proven(), staff && !in.HasFactor, stepUp && !in.Fresh(s.now()):
		return errFactor
	}
	return nil
}

// Now is the service's clock.
func (s *Operators) Now() time.Time { return s.now() }

// Factors is what an operator has set up, for their own page.
type Factors struct {
	Passkeys []Passkey
	// TOTPSince is when the authenticator app was set up; zero for none.
	TOTPSince time.Time
	// CodesLeft is how many recovery codes are unspent.
	CodesLeft  int
	Identities []Identity
	// Change is a change of address that waits, or nil.
	Change *AddressChange
}

// HasTOTP reports an authenticator app.
func (f *Factors) HasTOTP() bool { return !f.TOTPSince.IsZero() }

// Any reports whether there is a second factor.
func (f *Factors) Any() bool { return f.HasTOTP() || len(f.Passkeys) > 0 }

// FactorsOf reads an operator's factors in a platform transaction.
func (s *Operators) FactorsOf(ctx context.Context, tx bun.IDB, operator uuid.UUID) (*Factors, error) {
	f := new(Factors)
	err := tx.NewRaw(`SELECT credential_id, name, created_at, used_at FROM operator_passkeys WHERE operator_id = ? ORDER BY created_at`, operator).Scan(ctx, &f.Passkeys)
	if err != nil {
		return nil, err
	}
	var row struct {
		Since bun.NullTime `bun:"since"`
		Left  int          `bun:"left_over"`
	}
	err = tx.NewRaw(`SELECT (SELECT created_at FROM operator_totp WHERE operator_id = ?) AS since,
		(SELECT count(*) FROM operator_recovery_codes WHERE operator_id = ? AND spent_at IS NULL) AS left_over`, operator, operator).Scan(ctx, &row)
	if err != nil {
		return nil, err
	}
	f.TOTPSince, f.CodesLeft = row.Since.Time, row.Left
	if err := tx.NewRaw(`SELECT issuer, subject, email, created_at, used_at FROM operator_identities WHERE operator_id = ? ORDER BY created_at`, operator).Scan(ctx, &f.Identities); err != nil {
		return nil, err
	}
	f.Change, err = s.addressChange(ctx, tx, operator)
	return f, err
}

// prove notes a second factor on the session.
func (s *Operators) prove(ctx context.Context, tx bun.IDB, hash []byte) error {
	res, err := tx.NewRaw(`UPDATE operator_sessions SET factor_at = ? WHERE token_hash = ? AND board_id IS NULL AND revoked_at IS NULL`, s.now(), hash).Exec(ctx)
	return tenant.Touched(res, err, "session")
}

// mayChange refuses changes of an operator's sign-in without a fresh proof of
// what is set up already.
func (s *Operators) mayChange(in *OperatorSession) error {
	if in.Board != nil {
		return errSignIn
	}
	if in.HasFactor && !in.Fresh(s.now()) {
		return errFactor
	}
	return nil
}

// guessing counts a try of a second factor.
func (s *Operators) guessing(ctx context.Context, in *OperatorSession, c Client) error {
	return s.limit.both(ctx, tenant.Nil, "factor", in.Operator.ID.String(), c, factorsPerOperator, factorsPerNetwork)
}

// first finishes setting a factor up: the session has proven it, and the first
// one brings recovery codes along.
func (s *Operators) first(ctx context.Context, tx bun.IDB, in *OperatorSession) (codes []string, err error) {
	if err := s.prove(ctx, tx, in.hash); err != nil {
		return nil, err
	}
	var have bool
	err = tx.NewRaw(`SELECT EXISTS (SELECT FROM operator_recovery_codes WHERE operator_id = ? AND spent_at IS NULL)`, in.Operator.ID).Scan(ctx, &have)
	if err != nil || have {
		return nil, err
	}
	return s.newCodes(ctx, tx, in.Operator.ID)
}

// last removes the recovery codes of who has no factor any more.
func (s *Operators) last(ctx context.Context, tx bun.IDB, operator uuid.UUID) error {
	_, err := tx.NewRaw(`DELETE FROM operator_recovery_codes WHERE operator_id = ?
		AND NOT EXISTS (SELECT FROM operator_totp WHERE operator_id = ?) AND NOT EXISTS (SELECT FROM operator_passkeys WHERE operator_id = ?)`,
		operator, operator, operator).Exec(ctx)
	return err
}

// ForgetFactors removes every second factor of an operator who has lost them
// all, ends their sessions and tells them. For the terminal: whoever asks has
// proven to a person who they are. Kind: fault.NotFound.
func (s *Operators) ForgetFactors(ctx context.Context, tx bun.IDB, o *Operator) error {
	for _, q := range []string{`DELETE FROM operator_totp WHERE operator_id = ?`, `DELETE FROM operator_passkeys WHERE operator_id = ?`, `DELETE FROM operator_recovery_codes WHERE operator_id = ?`} {
		if _, err := tx.NewRaw(q, o.ID).Exec(ctx); err != nil {
			return err
		}
	}
	if err := s.EndSessions(ctx, tx, o.ID, nil); err != nil {
		return err
	}
	return s.changed(ctx, tx, o, "factors_forgotten", o.Email)
}

// changed tells an operator that their sign-in was changed, and writes it into
// the platform's audit log.
func (s *Operators) changed(ctx context.Context, tx bun.IDB, o *Operator, what string, to ...string) error {
	for i, address := range to {
		if err := s.notice(ctx, tx, o, what, address, i); err != nil {
			return err
		}
	}
	return authz.Record(tenant.With(ctx, nil), tx, authz.Act{Act: "operator." + what, ObjectKind: "operator", ObjectID: o.ID.String()})
}
