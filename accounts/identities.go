package accounts

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/uptrace/bun"
	"golang.org/x/oauth2"

	"shingle/internal/fault"
	"shingle/mail"
	"shingle/tenant"
)

// Sign-in at another provider (OpenID Connect: discovery, code flow, PKCE, nonce
// and state, answered in the query). It makes no operator: a provider's person
// is linked to the operator whose address the provider has verified, once that
// address has confirmed it by mail. It is a first factor.

// Where the provider sends people back to, and where the mailed link leads.
const (
	PathOIDCBack = "/sign-in/oidc/back"
	PathOIDCLink = "/sign-in/oidc/link"
)

const oidcFor = 10 * time.Minute

// OIDC is the platform's provider, as the settings name it.
type OIDC struct {
	Issuer, ClientID, ClientSecret string
	// Name is on the button: "Sign in with <Name>".
	Name string
	// HTTP asks the provider; http.DefaultClient when nil. The address is the
	// operator's own setting, so it may be an inner one.
	HTTP *http.Client
}

// UseOIDC switches the sign-in at a provider on.
func (s *Operators) UseOIDC(o OIDC) {
	if o.Name == "" {
		o.Name = "OpenID Connect"
	}
	s.oidc = &o
}

// OIDCName is the provider's name for the button; "" when there is none.
func (s *Operators) OIDCName() string {
	if s.oidc == nil {
		return ""
	}
	return s.oidc.Name
}

// Identity is a person at the provider that an operator is linked with.
type Identity struct {
	Issuer    string       `bun:"issuer"`
	Subject   string       `bun:"subject"`
	Email     string       `bun:"email"`
	CreatedAt time.Time    `bun:"created_at"`
	UsedAt    bun.NullTime `bun:"used_at"`
}

// oidcNotes belong to one visit to the provider; Browser is the hash of what the
// browser's cookie holds, so that nobody is signed in by somebody else's link.
type oidcNotes struct {
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
	Browser  []byte `json:"browser"`
	Locale   string `json:"locale"`
}

// linkNotes are a provider's person who waits to be linked.
type linkNotes struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
	Email   string `json:"email"`
}

var errProvider = fault.New(fault.Forbidden, "account.oidc.refused")

func (s *Operators) provider(ctx context.Context) (context.Context, context.CancelFunc, *oidc.Provider, *oauth2.Config, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	client := s.oidc.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	ctx = oidc.ClientContext(ctx, client)
	p, err := oidc.NewProvider(ctx, s.oidc.Issuer)
	if err != nil {
		cancel()
		return nil, nil, nil, nil, fault.Wrap(err, fault.Unavailable, "account.oidc.away")
	}
	return ctx, cancel, p, &oauth2.Config{ClientID: s.oidc.ClientID, ClientSecret: s.oidc.ClientSecret, Endpoint: p.Endpoint(),
		Scopes: []string{oidc.ScopeOpenID, "email", "profile"}, RedirectURL: s.links.Platform(PathOIDCBack)}, nil
}

// StartOIDC gives the provider's address to go to, and what the browser keeps in
// a cookie until it comes back. It opens a transaction. Kinds: fault.NotFound
// without a provider, fault.Unavailable, fault.TooMany.
func (s *Operators) StartOIDC(ctx context.Context, next, locale string, c Client) (address, browser string, err error) {
	if s.oidc == nil {
		return "", "", fault.New(fault.NotFound, "no provider")
	}
	if err := s.limit.Allow(ctx, LimitKey(tenant.Nil, "oidc/ip", c.Network()), promptsPerNetwork); err != nil {
		return "", "", err
	}
	_, cancel, _, conf, err := s.provider(ctx)
	if err != nil {
		return "", "", err
	}
	defer cancel()
	n := oidcNotes{Nonce: oauth2.GenerateVerifier(), Verifier: oauth2.GenerateVerifier(), Locale: locale}
	browser, n.Browser = secret()
	raw, err := json.Marshal(n)
	if err != nil {
		return "", "", err
	}
	var i Issued
	err = s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		i, err = s.issueToken(ctx, tx, newToken{kind: kindOIDC, lives: oidcFor, notes: notes{Next: LocalPath(next, ""), Data: raw}})
		return err
	})
	if err != nil {
		return "", "", err
	}
	return conf.AuthCodeURL(i.Token, oidc.Nonce(n.Nonce), oauth2.S256ChallengeOption(n.Verifier)), browser, nil
}

// OIDCAnswer is what the provider's redirect brought.
type OIDCAnswer struct {
	State, Code string
	// Issuer is the answer's "iss" (RFC 9207), or "".
	Issuer string
	// Browser is what StartOIDC's cookie holds.
	Browser string
}

// FinishOIDC takes the provider's answer. A person who is linked gets a session.
// One who is not gets nil: a mail is on its way when their verified address is an
// operator's, and the answer is the same when it is nobody's. It opens its
// transactions. Kinds: fault.Gone for a state that is unknown, spent, too old or
// another browser's; fault.Forbidden; fault.Unavailable; fault.TooMany.
func (s *Operators) FinishOIDC(ctx context.Context, a OIDCAnswer, c Client) (*SignedIn, error) {
	hash, browser := hashOf(a.State), hashOf(a.Browser)
	if s.oidc == nil || hash == nil || browser == nil {
		return nil, errOver
	}
	var n oidcNotes
	var next string
	err := s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		t, err := s.spendToken(ctx, tx, kindOIDC, hash)
		if err != nil {
			return err
		}
		all, err := t.notes()
		if err != nil {
			return err
		}
		next = all.Next
		return json.Unmarshal(all.Data, &n)
	})
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(n.Browser, browser) != 1 {
		return nil, errOver
	}
	who, err := s.askProvider(ctx, a, n)
	if err != nil {
		return nil, err
	}
	var in *SignedIn
	err = s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		o, err := oneOperator(ctx, tx, `SELECT `+operatorColumns+` FROM operators WHERE id = (SELECT operator_id FROM operator_identities WHERE issuer = ? AND subject = ?)`, who.issuer, who.subject)
		if fault.Is(err, fault.NotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := tx.NewRaw(`UPDATE operator_identities SET used_at = ? WHERE issuer = ? AND subject = ?`, s.now(), who.issuer, who.subject).Exec(ctx); err != nil {
			return err
		}
		if in, err = s.startSession(ctx, tx, o, nil, nil, c); err == nil {
			in.Next = next
		}
		return err
	})
	if err != nil || in != nil {
		return in, err
	}
	return nil, s.offerLink(ctx, who, next, n.Locale, c)
}

// stranger is a person as the provider names them.
type stranger struct {
	issuer, subject, email string
	verified               bool
}

// askProvider exchanges the code and holds the ID token against issuer, audience,
// signature, time and nonce.
func (s *Operators) askProvider(ctx context.Context, a OIDCAnswer, n oidcNotes) (who stranger, err error) {
	if a.Code == "" || a.Issuer != "" && a.Issuer != s.oidc.Issuer {
		return who, errProvider
	}
	out, cancel, p, conf, err := s.provider(ctx)
	if err != nil {
		return who, err
	}
	defer cancel()
	token, err := conf.Exchange(out, a.Code, oauth2.VerifierOption(n.Verifier))
	if err != nil {
		return who, errProvider // the library's text holds the provider's answer: not for a log
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := p.Verifier(&oidc.Config{ClientID: s.oidc.ClientID, Now: s.now}).Verify(out, raw)
	if err != nil || id.Subject == "" || subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(n.Nonce)) != 1 {
		return who, errProvider
	}
	var claims struct {
		Email    string `json:"email"`
		Verified any    `json:"email_verified"`
	}
	if err := id.Claims(&claims); err != nil {
		return who, errProvider
	}
	// Some providers write the truth as a text.
	return stranger{issuer: id.Issuer, subject: id.Subject, email: claims.Email, verified: claims.Verified == true || claims.Verified == "true"}, nil
}

// offerLink mails the operator of a verified address a link that links the two.
func (s *Operators) offerLink(ctx context.Context, who stranger, next, locale string, c Client) error {
	if !who.verified {
		return fault.New(fault.Forbidden, "account.oidc.unverified")
	}
	email, err := Fold(who.email)
	if err != nil {
		return fault.New(fault.Forbidden, "account.oidc.unverified")
	}
	if err := s.limit.mails(ctx, tenant.Nil, email, c); err != nil {
		return err
	}
	raw, err := json.Marshal(linkNotes{who.issuer, who.subject, email})
	if err != nil {
		return err
	}
	ctx = tenant.With(ctx, nil)
	return s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		o, err := oneOperator(ctx, tx, `SELECT `+operatorColumns+` FROM operators WHERE email = ?`, email)
		known := err == nil
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		t := newToken{kind: kindOIDCLink, email: email, lives: signInFor, notes: notes{Next: next, Data: raw}}
		if known {
			t.operator, locale = &o.ID, o.Locale
		}
		i, err := s.issueToken(ctx, tx, t)
		if err != nil {
			return err
		}
		m := mail.Message{Kind: "operator-oidc-link", Key: i.key(), To: email, Locale: locale, URL: s.links.Platform(withToken(PathOIDCLink, i.Token)),
			Data: mail.Data{"Provider": s.oidc.Name, "Minutes": int(signInFor.Minutes())}}
		if !known {
			m = mail.Message{Kind: "operator-unknown", Key: i.key(), To: email, Locale: locale, URL: s.links.Platform(PathJoin)}
		}
		return mail.Queue(ctx, tx, m)
	})
}

// LinkIdentity spends the mailed link: the provider's person is the operator's
// from now on, who is signed in by it. It opens a transaction. Kinds: fault.Gone.
func (s *Operators) LinkIdentity(ctx context.Context, token string, c Client) (*SignedIn, error) {
	hash := hashOf(token)
	if hash == nil {
		return nil, errOver
	}
	var in *SignedIn
	err := s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		t, err := s.spendToken(ctx, tx, kindOIDCLink, hash)
		if err != nil {
			return err
		}
		all, err := t.notes()
		if err != nil {
			return err
		}
		var n linkNotes
		if err := json.Unmarshal(all.Data, &n); err != nil {
			return err
		}
		if t.OperatorID == nil {
			return errOver
		}
		o, err := s.ByID(ctx, tx, *t.OperatorID)
		if err != nil {
			return err
		}
		var owner string
		err = tx.NewRaw(`INSERT INTO operator_identities (issuer, subject, operator_id, email, created_at, used_at) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (issuer, subject) DO NOTHING RETURNING operator_id::text`, n.Issuer, n.Subject, o.ID, n.Email, s.now(), s.now()).Scan(ctx, &owner)
		if errors.Is(err, sql.ErrNoRows) {
			return errOver // linked meanwhile, to whomever
		}
		if err != nil {
			return err
		}
		if err := s.changed(ctx, tx, o, "identity_linked", o.Email); err != nil {
			return err
		}
		if in, err = s.startSession(ctx, tx, o, nil, nil, c); err == nil {
			in.Next = all.Next
		}
		return err
	})
	return in, err
}

// UnlinkIdentity ends a link. It opens a transaction. Kinds: fault.NotFound, also
// for another operator's; fault.StepUp.
func (s *Operators) UnlinkIdentity(ctx context.Context, in *OperatorSession, issuer, subject string) error {
	if err := s.mayChange(in); err != nil {
		return err
	}
	return s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		res, err := tx.NewRaw(`DELETE FROM operator_identities WHERE issuer = ? AND subject = ? AND operator_id = ?`, issuer, subject, in.Operator.ID).Exec(ctx)
		if err := touched(res, err); err != nil {
			return err
		}
		return s.changed(ctx, tx, &in.Operator, "identity_removed", in.Operator.Email)
	})
}
