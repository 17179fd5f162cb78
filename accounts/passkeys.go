package accounts

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tenant"
)

// Passkeys are bound to the platform's host, discoverable, and always verify
// their person (by finger, face or PIN): one is both factors at once. What a
// key is to sign is a single-use token's payload; the page holds its ticket, so
// nobody has a cookie before they are in.

const maxPasskeys = 20

// Passkey is one of an operator's passkeys, as their page lists it.
type Passkey struct {
	CredentialID []byte       `bun:"credential_id"`
	Name         string       `bun:"name"`
	CreatedAt    time.Time    `bun:"created_at"`
	UsedAt       bun.NullTime `bun:"used_at"`
}

// ID names the passkey in forms; it opens nothing.
func (p Passkey) ID() string { return publicID(p.CredentialID) }

// Prompt is what the browser asks a passkey: Options for the credentials API, and
// the ticket that comes back with the answer.
type Prompt struct {
	Options any    `json:"options"`
	Ticket  string `json:"ticket"`
}

// keyHolder is an operator as the library sees one.
type keyHolder struct {
	o    *Operator
	keys []webauthn.Credential
}

func (h *keyHolder) WebAuthnID() []byte                         { return h.o.ID[:] }
func (h *keyHolder) WebAuthnName() string                       { return h.o.Email }
func (h *keyHolder) WebAuthnDisplayName() string                { return h.o.Label() }
func (h *keyHolder) WebAuthnCredentials() []webauthn.Credential { return h.keys }

func (s *Operators) holder(ctx context.Context, tx bun.IDB, operator uuid.UUID) (*keyHolder, error) {
	o, err := s.ByID(ctx, tx, operator)
	if err != nil {
		return nil, err
	}
	h := &keyHolder{o: o}
	var rows []json.RawMessage
	if err := tx.NewRaw(`SELECT credential FROM operator_passkeys WHERE operator_id = ? ORDER BY created_at`, operator).Scan(ctx, &rows); err != nil {
		return nil, err
	}
	for _, raw := range rows {
		var c webauthn.Credential
		if err := json.Unmarshal(raw, &c); err != nil {
			return nil, fault.Wrap(err, fault.Internal, "a passkey's record")
		}
		h.keys = append(h.keys, c)
	}
	return h, nil
}

// prompt keeps what is to be signed and gives the page its ticket.
func (s *Operators) prompt(ctx context.Context, tx bun.IDB, kind string, operator *uuid.UUID, options any, data *webauthn.SessionData) (*Prompt, error) {
	raw, err := json.Marshal(data)
	if err != nil {
		return nil, err
	}
	i, err := s.issueToken(ctx, tx, newToken{kind: kind, operator: operator, lives: ceremonyIn, notes: notes{Data: raw}})
	return &Prompt{Options: options, Ticket: i.Token}, err
}

// answered spends a prompt's ticket. It is spent also when the answer is then
// refused: in a transaction of its own.
func (s *Operators) answered(ctx context.Context, kind, ticket string, operator *uuid.UUID) (*webauthn.SessionData, error) {
	hash := hashOf(ticket)
	if hash == nil {
		return nil, errOver
	}
	var data webauthn.SessionData
	err := s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		t, err := s.spendToken(ctx, tx, kind, hash)
		if err != nil {
			return err
		}
		if operator != nil && (t.OperatorID == nil || *t.OperatorID != *operator) {
			return errOver
		}
		n, err := t.notes()
		if err != nil {
			return err
		}
		return json.Unmarshal(n.Data, &data)
	})
	return &data, err
}

// AskNewPasskey begins the making of a passkey. It opens a transaction. Kinds:
// fault.StepUp, fault.Conflict for too many, fault.Unavailable.
func (s *Operators) AskNewPasskey(ctx context.Context, in *OperatorSession) (p *Prompt, err error) {
	if err := s.mayChange(in); err != nil {
		return nil, err
	}
	if s.rp == nil {
		return nil, errNoKey
	}
	err = s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		h, err := s.holder(ctx, tx, in.Operator.ID)
		if err != nil {
			return err
		}
		if len(h.keys) >= maxPasskeys {
			return fault.New(fault.Conflict, "account.passkey.many")
		}
		known := make([]protocol.CredentialDescriptor, len(h.keys))
		for i := range h.keys {
			known[i] = h.keys[i].Descriptor()
		}
		options, data, err := s.rp.BeginRegistration(h, webauthn.WithExclusions(known))
		if err != nil {
			return fault.Wrap(err, fault.Internal, "beginning a passkey")
		}
		p, err = s.prompt(ctx, tx, kindPasskeyNew, &in.Operator.ID, options, data)
		return err
	})
	return p, err
}

// AddPasskey keeps a new passkey under a name. The recovery codes are those made
// along with a first factor, else nil. It opens its transactions. Kinds:
// fault.Gone for a ticket that is over, fault.Forbidden for an answer that does
// not hold, fault.StepUp.
func (s *Operators) AddPasskey(ctx context.Context, in *OperatorSession, ticket, answer, name string) (codes []string, err error) {
	if err := s.mayChange(in); err != nil {
		return nil, err
	}
	if s.rp == nil {
		return nil, errNoKey
	}
	data, err := s.answered(ctx, kindPasskeyNew, ticket, &in.Operator.ID)
	if err != nil {
		return nil, err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes([]byte(answer))
	if err != nil {
		return nil, errPrompt
	}
	if name = cleanName(name); name == "" {
		name = "Passkey"
	}
	err = s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		h, err := s.holder(ctx, tx, in.Operator.ID)
		if err != nil {
			return err
		}
		made, err := s.rp.CreateCredential(h, *data, parsed)
		if err != nil {
			return fault.Wrap(err, fault.Forbidden, "account.passkey.refused")
		}
		raw, err := json.Marshal(made)
		if err != nil {
			return err
		}
		res, err := tx.NewRaw(`INSERT INTO operator_passkeys (credential_id, operator_id, name, credential, created_at) VALUES (?, ?, ?, ?::jsonb, ?)
			ON CONFLICT (credential_id) DO NOTHING`, made.ID, in.Operator.ID, name, string(raw), s.now()).Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(errPrompt, err)
		}
		if codes, err = s.first(ctx, tx, in); err != nil {
			return err
		}
		return s.changed(ctx, tx, &in.Operator, "passkey_added", in.Operator.Email)
	})
	return codes, err
}

// NamePasskey renames one. Kind: fault.NotFound, also for another operator's.
func (s *Operators) NamePasskey(ctx context.Context, tx bun.IDB, in *OperatorSession, id, name string) error {
	if name = cleanName(name); name == "" {
		return fault.Invalids(fault.Fields{"name": "account.passkey.name"})
	}
	res, err := tx.NewRaw(`UPDATE operator_passkeys SET name = ? WHERE credential_id = ? AND operator_id = ?`, name, credentialID(id), in.Operator.ID).Exec(ctx)
	return touched(res, err)
}

// RemovePasskey takes one away. It opens a transaction. Kinds: fault.NotFound,
// also for another operator's; fault.StepUp.
func (s *Operators) RemovePasskey(ctx context.Context, in *OperatorSession, id string) error {
	if err := s.mayChange(in); err != nil {
		return err
	}
	return s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		res, err := tx.NewRaw(`DELETE FROM operator_passkeys WHERE credential_id = ? AND operator_id = ?`, credentialID(id), in.Operator.ID).Exec(ctx)
		if err := touched(res, err); err != nil {
			return err
		}
		if err := s.last(ctx, tx, in.Operator.ID); err != nil {
			return err
		}
		return s.changed(ctx, tx, &in.Operator, "passkey_removed", in.Operator.Email)
	})
}

// AskPasskey begins a sign-in with whatever passkey the browser has for this
// host: no address is asked, so none can be tried out. It opens a transaction.
// Kinds: fault.TooMany, fault.Unavailable.
func (s *Operators) AskPasskey(ctx context.Context, c Client) (p *Prompt, err error) {
	if s.rp == nil {
		return nil, errNoKey
	}
	if err := s.limit.Allow(ctx, LimitKey(tenant.Nil, "prompt/ip", c.Network()), promptsPerNetwork); err != nil {
		return nil, err
	}
	options, data, err := s.rp.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "beginning a sign-in")
	}
	err = s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		p, err = s.prompt(ctx, tx, kindPasskeyIn, nil, options, data)
		return err
	})
	return p, err
}

// SignInWithPasskey starts a session that has proven its second factor too. It
// opens its transactions. Kinds: fault.Gone, fault.Forbidden, fault.TooMany.
func (s *Operators) SignInWithPasskey(ctx context.Context, ticket, answer string, c Client) (*SignedIn, error) {
	if s.rp == nil {
		return nil, errNoKey
	}
	if err := s.limit.Allow(ctx, LimitKey(tenant.Nil, "factor/ip", c.Network()), factorsPerNetwork); err != nil {
		return nil, err
	}
	data, err := s.answered(ctx, kindPasskeyIn, ticket, nil)
	if err != nil {
		return nil, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes([]byte(answer))
	if err != nil {
		return nil, errPrompt
	}
	var in *SignedIn
	err = s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		used, err := s.rp.ValidateDiscoverableLogin(func(rawID, handle []byte) (webauthn.User, error) {
			var owner uuid.UUID
			err := tx.NewRaw(`SELECT operator_id FROM operator_passkeys WHERE credential_id = ?`, rawID).Scan(ctx, &owner)
			if err != nil {
				return nil, err
			}
			if !bytes.Equal(owner[:], handle) {
				return nil, errPrompt
			}
			return s.holder(ctx, tx, owner)
		}, *data, parsed)
		if err != nil {
			return refusedKey(ctx, err)
		}
		var owner uuid.UUID
		copy(owner[:], parsed.Response.UserHandle)
		if err := s.used(ctx, tx, owner, used); err != nil {
			return err
		}
		o, err := s.ByID(ctx, tx, owner)
		if err != nil {
			return err
		}
		if in, err = s.startSession(ctx, tx, o, nil, nil, c); err != nil {
			return err
		}
		return s.prove(ctx, tx, hashOf(in.Token))
	})
	return in, err
}

// AskPasskeyAgain begins a proof by one of the operator's own passkeys. It opens
// a transaction. Kind: fault.NotFound for who has none.
func (s *Operators) AskPasskeyAgain(ctx context.Context, in *OperatorSession) (p *Prompt, err error) {
	if s.rp == nil {
		return nil, errNoKey
	}
	err = s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		h, err := s.holder(ctx, tx, in.Operator.ID)
		if err != nil {
			return err
		}
		if len(h.keys) == 0 {
			return fault.New(fault.NotFound, "no passkey")
		}
		options, data, err := s.rp.BeginLogin(h, webauthn.WithUserVerification(protocol.VerificationRequired))
		if err != nil {
			return fault.Wrap(err, fault.Internal, "beginning a proof")
		}
		p, err = s.prompt(ctx, tx, kindPasskeyCheck, &in.Operator.ID, options, data)
		return err
	})
	return p, err
}

// ProveByPasskey takes a passkey's answer as the session's second factor. It
// opens its transactions. Kinds: fault.Gone, fault.Forbidden, fault.TooMany.
func (s *Operators) ProveByPasskey(ctx context.Context, in *OperatorSession, ticket, answer string, c Client) error {
	if in.Board != nil || s.rp == nil {
		return errSignIn
	}
	if err := s.guessing(ctx, in, c); err != nil {
		return err
	}
	data, err := s.answered(ctx, kindPasskeyCheck, ticket, &in.Operator.ID)
	if err != nil {
		return err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes([]byte(answer))
	if err != nil {
		return errPrompt
	}
	return s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		h, err := s.holder(ctx, tx, in.Operator.ID)
		if err != nil {
			return err
		}
		used, err := s.rp.ValidateLogin(h, *data, parsed)
		if err != nil {
			return refusedKey(ctx, err)
		}
		if err := s.used(ctx, tx, in.Operator.ID, used); err != nil {
			return err
		}
		return s.prove(ctx, tx, in.hash)
	})
}

// used keeps the passkey's counter. One that runs backwards is a copy of the
// key: refused.
func (s *Operators) used(ctx context.Context, tx bun.IDB, operator uuid.UUID, c *webauthn.Credential) error {
	if c.Authenticator.CloneWarning {
		return errPrompt
	}
	raw, err := json.Marshal(c)
	if err != nil {
		return err
	}
	res, err := tx.NewRaw(`UPDATE operator_passkeys SET credential = ?::jsonb, used_at = ? WHERE credential_id = ? AND operator_id = ?`, string(raw), s.now(), c.ID, operator).Exec(ctx)
	return touched(res, err)
}

// refusedKey keeps the library's reason for the log; the page says the same for all.
func refusedKey(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, sql.ErrNoRows) {
		return errPrompt
	}
	return fault.Wrap(err, fault.Forbidden, "account.passkey.refused")
}

// credentialID reads a passkey's public ID; what is none finds no row.
func credentialID(id string) []byte {
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimSpace(id))
	if err != nil {
		return []byte{}
	}
	return raw
}
