package accounts

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/mail"
	"shingle/tenant"
)

// Limits of what strangers can start. An address has few, a network more, since
// an office shares one.
var (
	mailsPerAddress = Limit{6, time.Hour}
	mailsPerNetwork = Limit{60, time.Hour}
	// One address hears so often a day from one board, and from all of them.
	mailsPerDay         = Limit{20, 24 * time.Hour}
	mailsAnywhere       = Limit{60, 24 * time.Hour}
	passwordsPerAddress = Limit{10, 15 * time.Minute}
	passwordsPerNetwork = Limit{60, 15 * time.Minute}
	codesPerNetwork     = Limit{60, 15 * time.Minute}
)

// RequestSignIn mails a link and a code to the operator of an address, and to
// an address without one a note that says so: the answer and the work are the
// same. The ticket stays with the page, whose form takes the code. It opens a
// transaction. Kinds: fault.Invalid, fault.TooMany.
func (s *Operators) RequestSignIn(ctx context.Context, email, next, locale string, c Client) (ticket string, err error) {
	return s.mailSecret(ctx, kindSignIn, "operator-sign-in", PathOperatorLink, email, locale, signInFor, notes{Next: LocalPath(next, "")}, c)
}

// RequestReset mails a link that sets a new password, as RequestSignIn does.
func (s *Operators) RequestReset(ctx context.Context, email, locale string, c Client) (ticket string, err error) {
	return s.mailSecret(ctx, kindReset, "operator-reset", PathReset, email, locale, resetFor, notes{}, c)
}

func (s *Operators) mailSecret(ctx context.Context, kind, words, path, email, locale string, lives time.Duration, n notes, c Client) (string, error) {
	email, err := Fold(email)
	if err != nil {
		return "", err
	}
	if err := s.limit.mails(ctx, tenant.Nil, email, c); err != nil {
		return "", err
	}
	var ticket string
	// The platform's own mail, whatever host the page is on.
	ctx = tenant.With(ctx, nil)
	err = s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		var id *uuid.UUID
		to := locale
		o, err := oneOperator(ctx, tx, `SELECT `+operatorColumns+` FROM operators WHERE email = ?`, email)
		switch {
		case err == nil:
			id, to = &o.ID, o.Locale
		case !fault.Is(err, fault.NotFound):
			return err
		}
		i, err := s.issueToken(ctx, tx, newToken{kind: kind, email: email, operator: id, notes: n, lives: lives, withCode: true})
		if err != nil {
			return err
		}
		ticket = i.Ticket
		m := mail.Message{Kind: words, Key: i.key(), To: email, Locale: to, URL: s.links.Platform(withToken(path, i.Token)),
			Data: mail.Data{"Code": i.Code, "Minutes": int(lives.Minutes())}}
		if id == nil {
			// Nobody holds this token's secret: the mail has neither link nor code.
			m = mail.Message{Kind: "operator-unknown", Key: i.key(), To: email, Locale: to, URL: s.links.Platform(PathJoin)}
		}
		return mail.Queue(ctx, tx, m)
	})
	return ticket, err
}

// SignIn spends what came by mail and starts a session on the platform's host.
// It opens its transactions. Kinds: fault.Gone for a link or ticket that is
// unknown, spent or too old; fault.Invalid (field "code") for a wrong code;
// fault.TooMany.
func (s *Operators) SignIn(ctx context.Context, p Proof, c Client) (*SignedIn, error) {
	hash, err := s.tokenHash(ctx, kindSignIn, p, c)
	if err != nil {
		return nil, err
	}
	var in *SignedIn
	err = s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		t, err := s.spendToken(ctx, tx, kindSignIn, hash)
		if err != nil {
			return err
		}
		if t.OperatorID == nil {
			return errOver
		}
		o, err := s.ByID(ctx, tx, *t.OperatorID)
		if err != nil {
			return err
		}
		n, err := t.notes()
		if err != nil {
			return err
		}
		if in, err = s.startSession(ctx, tx, o, nil, nil, c); err != nil {
			return err
		}
		in.Next = n.Next
		return nil
	})
	return in, err
}

// SignInWithPassword starts a session on the platform's host. An unknown
// address, one without a password and a wrong password take the same work and
// get the same answer: fault.Invalid (field "password"). Also fault.TooMany.
func (s *Operators) SignInWithPassword(ctx context.Context, email, password string, c Client) (*SignedIn, error) {
	email, err := Fold(email)
	if err != nil {
		return nil, err
	}
	if err := s.limit.both(ctx, tenant.Nil, "password", email, c, passwordsPerAddress, passwordsPerNetwork); err != nil {
		return nil, err
	}
	var rows []struct {
		ID   uuid.UUID `bun:"id"`
		Hash string    `bun:"password_hash"`
	}
	err = s.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		rows = nil
		return tx.NewRaw(`SELECT id, password_hash FROM operators WHERE email = ?`, email).Scan(ctx, &rows)
	})
	if err != nil {
		return nil, err
	}
	hash := ""
	if len(rows) == 1 {
		hash = rows[0].Hash
	}
	ok, err := s.passwords.matches(ctx, password, hash)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errPassword
	}
	var in *SignedIn
	err = s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		o, err := s.ByID(ctx, tx, rows[0].ID)
		if err != nil {
			return err
		}
		in, err = s.startSession(ctx, tx, o, nil, nil, c)
		return err
	})
	return in, err
}

// Reset spends a reset link, sets the password, ends every session and other
// reset link of the operator, and starts a session. Kinds as for SignIn, and
// fault.Invalid (field "password"), which spends nothing.
func (s *Operators) Reset(ctx context.Context, p Proof, password string, c Client) (*SignedIn, error) {
	hash, err := s.tokenHash(ctx, kindReset, p, c)
	if err != nil {
		return nil, err
	}
	var email string
	err = s.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		t, err := scanToken(ctx, tx.NewRaw(`SELECT `+tokenColumns+` FROM operator_tokens
			WHERE hash = ? AND kind = ? AND spent_at IS NULL AND expires_at > ? AND operator_id IS NOT NULL`, hash, kindReset, s.now()))
		if err == nil {
			email = t.Email
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	hashed, err := s.passwords.hash(ctx, password, email)
	if err != nil {
		return nil, err
	}
	var in *SignedIn
	err = s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		t, err := s.spendToken(ctx, tx, kindReset, hash)
		if err != nil {
			return err
		}
		id := *t.OperatorID
		if err := setPassword(ctx, tx, id, hashed); err != nil {
			return err
		}
		if err := s.EndSessions(ctx, tx, id, nil); err != nil {
			return err
		}
		_, err = tx.NewRaw(`UPDATE operator_tokens SET spent_at = ? WHERE email = ? AND kind = ? AND spent_at IS NULL`, s.now(), t.Email, kindReset).Exec(ctx)
		if err != nil {
			return err
		}
		o, err := s.ByID(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := s.changed(tenant.WithActor(ctx, o.Actor(tenant.Operator)), tx, o, "password_changed", o.Email); err != nil {
			return err
		}
		in, err = s.startSession(ctx, tx, o, nil, nil, c)
		return err
	})
	return in, err
}

// SignUp is what a new company asks for; Data is the caller's own form, kept
// until the address is confirmed.
type SignUp struct {
	Email, Name, Locale string
	Data                any
}

// RequestSignUp mails a link and a code that confirm the address. Nothing is
// made before that, and an address that has an operator already gets the same
// mail: one operator may have many boards. Kinds: fault.Invalid, fault.TooMany.
func (s *Operators) RequestSignUp(ctx context.Context, n SignUp, c Client) (ticket string, err error) {
	email, err := Fold(n.Email)
	if err != nil {
		return "", err
	}
	data, err := json.Marshal(n.Data)
	if err != nil {
		return "", fmt.Errorf("sign-up: %w", err)
	}
	if err := s.limit.mails(ctx, tenant.Nil, email, c); err != nil {
		return "", err
	}
	ctx = tenant.With(ctx, nil)
	err = s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		i, err := s.issueToken(ctx, tx, newToken{kind: kindSignUp, email: email, lives: signUpFor, withCode: true,
			notes: notes{Name: cleanName(n.Name), Locale: n.Locale, Data: data}})
		if err != nil {
			return err
		}
		ticket = i.Ticket
		return mail.Queue(ctx, tx, mail.Message{Kind: "operator-sign-up", Key: i.key(), To: email, Locale: n.Locale,
			URL: s.links.Platform(withToken(PathSignUp, i.Token)), Data: mail.Data{"Code": i.Code, "Hours": int(signUpFor.Hours())}})
	})
	return ticket, err
}

// ConfirmSignUp spends the proof, finds or makes the operator, runs make in the
// same transaction (the board, the owner's grant) and starts a session. What
// make refuses leaves the proof unspent, so that another slug can be tried.
func (s *Operators) ConfirmSignUp(ctx context.Context, p Proof, c Client,
	make func(ctx context.Context, tx bun.IDB, o *Operator, data json.RawMessage) error) (*SignedIn, error) {
	hash, err := s.tokenHash(ctx, kindSignUp, p, c)
	if err != nil {
		return nil, err
	}
	var in *SignedIn
	err = s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		t, err := s.spendToken(ctx, tx, kindSignUp, hash)
		if err != nil {
			return err
		}
		n, err := t.notes()
		if err != nil {
			return err
		}
		o, err := s.FindOrCreate(ctx, tx, t.Email, n.Name, n.Locale)
		if err != nil {
			return err
		}
		ctx = tenant.WithActor(ctx, o.Actor(tenant.Operator))
		if err := make(ctx, tx, o, n.Data); err != nil {
			return err
		}
		in, err = s.startSession(ctx, tx, o, nil, nil, c)
		return err
	})
	return in, err
}
