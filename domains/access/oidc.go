package access

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/uptrace/bun"
	"golang.org/x/oauth2"

	"shingle/domains"
	"shingle/internal/fault"
	"shingle/tenant"
)

// Callback is where providers send people back to, on the board's own host.
const Callback = "/enter/oidc"

func (s *Service) provider(ctx context.Context, c *Config) (*oidc.Provider, *oauth2.Config, error) {
	secret, err := s.open(ctx, c.Secret)
	if err != nil {
		return nil, nil, err
	}
	p, err := oidc.NewProvider(ctx, c.Issuer)
	if err != nil {
		return nil, nil, fault.Wrap(err, fault.Unavailable, "the sign-in of the company does not answer")
	}
	return p, &oauth2.Config{ClientID: c.ClientID, ClientSecret: secret, Endpoint: p.Endpoint(), Scopes: []string{oidc.ScopeOpenID, "email", "profile"},
		RedirectURL: s.Links.Board(tenant.From(ctx), Callback)}, nil
}

func (s *Service) outbound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	client := s.HTTP
	if client == nil {
		client = domains.PublicClient()
	}
	return oidc.ClientContext(ctx, client), cancel
}

// Start begins the sign-in at the company's provider and gives the address to
// go to. What belongs to it is kept here, so that nobody needs a cookie before
// they are in. Kinds: fault.NotFound, fault.Unavailable.
func (s *Service) Start(ctx context.Context, next string) (string, error) {
	c, err := s.config(ctx)
	if err != nil {
		return "", err
	}
	if c.Mode != OIDC {
		return "", fault.New(fault.NotFound, "no sign-in")
	}
	out, cancel := s.outbound(ctx)
	defer cancel()
	_, conf, err := s.provider(out, c)
	if err != nil {
		return "", err
	}
	n := notes{Next: next, Verifier: oauth2.GenerateVerifier(), Nonce: oauth2.GenerateVerifier()}
	var state string
	err = s.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		state, err = s.issue(ctx, tx, "oidc", "", n, stateFor)
		return err
	})
	if err != nil {
		return "", err
	}
	return conf.AuthCodeURL(state, oidc.Nonce(n.Nonce), oauth2.S256ChallengeOption(n.Verifier)), nil
}

// Finish takes the provider's answer. Kinds: fault.Gone for a state that is
// unknown or spent, fault.Forbidden when the claim does not let them in,
// fault.Unavailable.
func (s *Service) Finish(ctx context.Context, state, code string) (next string, err error) {
	var n notes
	err = s.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		n, err = s.spend(ctx, tx, state, "oidc")
		return err
	})
	if err != nil {
		return "", err
	}
	c, err := s.config(ctx)
	if err != nil {
		return "", err
	}
	out, cancel := s.outbound(ctx)
	defer cancel()
	p, conf, err := s.provider(out, c)
	if err != nil {
		return "", err
	}
	token, err := conf.Exchange(out, code, oauth2.VerifierOption(n.Verifier))
	if err != nil {
		// The library's text holds the provider's answer: not for a log.
		return "", fault.New(fault.Forbidden, "gate.oidc.refused")
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := p.Verifier(&oidc.Config{ClientID: c.ClientID, Now: s.Now}).Verify(out, raw)
	if err != nil || id.Nonce != n.Nonce {
		return "", fault.New(fault.Forbidden, "gate.oidc.refused")
	}
	claims := map[string]any{}
	if err := id.Claims(&claims); err != nil {
		return "", fault.New(fault.Forbidden, "gate.oidc.refused")
	}
	if !has(claims[c.Claim], c.Values) {
		return "", fault.New(fault.Forbidden, "gate.oidc.not_member")
	}
	return n.Next, nil
}

// has reports a claim that is, or lists, one of the values.
func has(claim any, values []string) bool {
	switch v := claim.(type) {
	case []any:
		return slices.ContainsFunc(v, func(one any) bool { return has(one, values) })
	case string:
		return slices.Contains(values, v)
	case bool, float64, json.Number:
		return slices.Contains(values, fmt.Sprint(v))
	}
	return false
}

// The client secret is sealed for its board.

func (s *Service) aead() (cipher.AEAD, error) {
	key := sha256.Sum256(append([]byte("shingle access secrets\x00"), s.Key...))
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (s *Service) seal(ctx context.Context, plain string) (string, error) {
	a, err := s.aead()
	if err != nil {
		return "", err
	}
	nonce := make([]byte, a.NonceSize())
	_, _ = rand.Read(nonce) // never fails since Go 1.24
	return base64.RawStdEncoding.EncodeToString(a.Seal(nonce, nonce, []byte(plain), []byte(tenant.From(ctx).ID.String()))), nil
}

func (s *Service) open(ctx context.Context, sealed string) (string, error) {
	raw, err := base64.RawStdEncoding.DecodeString(sealed)
	a, aerr := s.aead()
	if err != nil || aerr != nil || len(raw) < a.NonceSize() {
		return "", errors.New("a sealed secret cannot be read")
	}
	plain, err := a.Open(nil, raw[:a.NonceSize()], raw[a.NonceSize():], []byte(tenant.From(ctx).ID.String()))
	if err != nil {
		return "", errors.New("a sealed secret cannot be read")
	}
	return string(plain), nil
}
