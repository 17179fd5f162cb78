// Package access owns who may enter a private board: by password, by an address
// of the company's mail domain, by invitation, or by a claim of the company's
// own sign-in (OIDC). It knows visitors by a signed pass alone and keeps no
// session. Start at Service and Config; oidc.go is the provider's way.
package access

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/links"
	"shingle/mail"
	"shingle/tenant"
)

// The ways into a board; Open is none at all.
const (
	Open     = ""
	Password = "password"
	Email    = "email"
	Invite   = "invite"
	OIDC     = "oidc"
)

// Modes lists them, for forms.
var Modes = []string{Open, Password, Email, Invite, OIDC}

const (
	// Cookie is the pass's cookie, without prefix.
	Cookie    = "board_pass"
	passFor   = 30 * 24 * time.Hour
	linkFor   = 20 * time.Minute
	inviteFor = 14 * 24 * time.Hour
	stateFor  = 10 * time.Minute
)

// Config is how a board is entered. Secrets are kept as hash or sealed.
type Config struct {
	Mode    string `json:"mode"`
	Version int64  `json:"version"`
	// Hash is of the password (argon2id).
	Hash    string   `json:"hash,omitempty"`
	Domains []string `json:"domains,omitempty"`
	// The company's sign-in: a claim that must have one of the values.
	Issuer   string   `json:"issuer,omitempty"`
	ClientID string   `json:"client_id,omitempty"`
	Secret   string   `json:"secret,omitempty"`
	Claim    string   `json:"claim,omitempty"`
	Values   []string `json:"values,omitempty"`
}

// Change is what a form says; empty secrets keep those before.
type Change struct {
	Mode, Password, Domains, Issuer, ClientID, Secret, Claim, Values string
}

// Service opens private boards; the board is always the context's.
type Service struct {
	DB    *tenant.DB
	Links links.Links
	Key   []byte
	Now   func() time.Time
	// HTTP reaches providers, whose addresses owners type; nil reaches public ones only.
	HTTP *http.Client
}

// Read is the board's configuration.
func (s *Service) Read(ctx context.Context, tx bun.IDB) (*Config, error) {
	c, raw := new(Config), []byte(nil)
	if err := tx.NewRaw(`SELECT coalesce(settings->'access', '{}'::jsonb) FROM boards WHERE id = ?`, tenant.From(ctx).ID).Scan(ctx, &raw); err != nil {
		return nil, err
	}
	return c, json.Unmarshal(raw, c)
}

func (s *Service) config(ctx context.Context) (c *Config, err error) {
	err = s.DB.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		c, err = s.Read(ctx, tx)
		return err
	})
	return c, err
}

// Save changes how the board is entered; passes given before end. Kind:
// fault.Invalid by field.
func (s *Service) Save(ctx context.Context, tx bun.IDB, in Change) error {
	old, err := s.Read(ctx, tx)
	if err != nil {
		return err
	}
	c, bad := Config{Mode: in.Mode, Version: old.Version + 1}, fault.Fields{}
	switch in.Mode {
	case Open, Invite:
	case Password:
		switch n := len([]rune(in.Password)); {
		case n == 0 && old.Hash != "":
			c.Hash = old.Hash
		case n < 8 || n > 200:
			bad["password"] = "access.password.short"
		default:
			if c.Hash, err = argon2id.CreateHash(in.Password, argon2id.DefaultParams); err != nil {
				return err
			}
		}
	case Email:
		for _, d := range words(in.Domains) {
			d = strings.TrimPrefix(strings.ToLower(d), "@")
			if !strings.Contains(d, ".") || strings.ContainsAny(d, "@/: ") {
				bad["domains"] = "access.domains.form|" + d
			}
			c.Domains = append(c.Domains, d)
		}
		if len(c.Domains) == 0 {
			bad["domains"] = "access.domains.required"
		}
	case OIDC:
		c.Issuer, c.ClientID, c.Claim, c.Values, c.Secret = strings.TrimSpace(in.Issuer), strings.TrimSpace(in.ClientID), strings.TrimSpace(in.Claim), words(in.Values), old.Secret
		if !strings.HasPrefix(c.Issuer, "https://") && !(strings.HasPrefix(c.Issuer, "http://") && !s.Links.Secure()) {
			bad["issuer"] = "access.issuer.form"
		}
		if c.ClientID == "" {
			bad["client_id"] = "access.client_id.required"
		}
		if c.Claim == "" || len(c.Values) == 0 {
			bad["values"] = "access.values.required"
		}
		if in.Secret != "" {
			if c.Secret, err = s.seal(ctx, in.Secret); err != nil {
				return err
			}
		}
		if c.Secret == "" {
			bad["secret"] = "access.secret.required"
		}
	default:
		bad["mode"] = "access.mode.unknown"
	}
	if err := fault.Invalids(bad); err != nil {
		return err
	}
	raw, err := json.Marshal(c) // #nosec G117 -- the secret in it is sealed
	if err != nil {
		return err
	}
	res, err := tx.NewRaw(`UPDATE boards SET settings = coalesce(settings, '{}'::jsonb) || jsonb_build_object('access', ?::jsonb) WHERE id = ?`, string(raw), tenant.From(ctx).ID).Exec(ctx)
	tenant.Changed(ctx)
	return tenant.Touched(res, err, "board")
}

func words(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" ,;\n\r\t", r) })
}

// Pass is a fresh pass for the board's cookie, and when it ends.
func (s *Service) Pass(t *tenant.Tenant) (token string, expires time.Time) {
	expires = s.Now().Add(passFor)
	at := strconv.FormatInt(expires.Unix(), 36)
	return at + "." + s.sign(t, at), expires
}

// Admits reports a pass of this board, of its present configuration, that has
// not ended.
func (s *Service) Admits(t *tenant.Tenant, token string) bool {
	at, sum, ok := strings.Cut(token, ".")
	if !ok || !hmac.Equal([]byte(sum), []byte(s.sign(t, at))) {
		return false
	}
	unix, err := strconv.ParseInt(at, 36, 64)
	return err == nil && s.Now().Unix() < unix
}

func (s *Service) sign(t *tenant.Tenant, at string) string {
	m := hmac.New(sha256.New, s.Key)
	m.Write([]byte("board pass\x00" + t.ID.String() + "\x00" + t.Access.Mode + "\x00" + strconv.FormatInt(t.Access.Version, 10) + "\x00" + at))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// EnterPassword holds a password against the board's. Kind: fault.Invalid.
func (s *Service) EnterPassword(ctx context.Context, password string) error {
	c, err := s.config(ctx)
	if err != nil {
		return err
	}
	if c.Mode == Password && len(password) <= 1000 {
		if ok, err := argon2id.ComparePasswordAndHash(password, c.Hash); err == nil && ok {
			return nil
		}
	}
	return fault.Invalids(fault.Fields{"password": "gate.password.wrong"})
}

// AskMail mails a link to an address of the board's mail domains. Every address
// of another domain is told so: the domains are no secret. It opens a
// transaction. Kind: fault.Invalid (field "email").
func (s *Service) AskMail(ctx context.Context, email, next string) error {
	c, err := s.config(ctx)
	if err != nil {
		return err
	}
	email = strings.ToLower(strings.TrimSpace(email))
	at := strings.LastIndexByte(email, '@')
	if c.Mode != Email || at < 1 || strings.ContainsAny(email, " \r\n<>,;\"") || !slices.Contains(c.Domains, email[at+1:]) {
		return fault.Invalids(fault.Fields{"email": "gate.email.domain"})
	}
	return s.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		return s.send(ctx, tx, "link", "access-link", email, next, linkFor)
	})
}

// Invite mails a way in to one address. Kinds: fault.Invalid (field "email"),
// fault.Conflict when the board is not entered by invitation.
func (s *Service) Invite(ctx context.Context, tx bun.IDB, email string) error {
	c, err := s.Read(ctx, tx)
	if err != nil {
		return err
	}
	if c.Mode != Invite {
		return fault.New(fault.Conflict, "access.not_by_invite")
	}
	email = strings.ToLower(strings.TrimSpace(email))
	if at := strings.LastIndexByte(email, '@'); at < 1 || !strings.Contains(email[at:], ".") || strings.ContainsAny(email, " \r\n<>,;\"") {
		return fault.Invalids(fault.Fields{"email": "access.email.form"})
	}
	return s.send(ctx, tx, "invite", "access-invite", email, "/", inviteFor)
}

type notes struct {
	Next     string `json:"next,omitempty"`
	Version  int64  `json:"version"`
	Verifier string `json:"verifier,omitempty"`
	Nonce    string `json:"nonce,omitempty"`
}

func (s *Service) send(ctx context.Context, tx bun.IDB, kind, words, email, next string, lives time.Duration) error {
	t := tenant.From(ctx)
	token, err := s.issue(ctx, tx, kind, email, notes{Next: next}, lives)
	if err != nil {
		return err
	}
	return mail.Queue(ctx, tx, mail.Message{Kind: words, Key: publicID(token), To: email, URL: s.Links.Board(t, "/enter/link?token="+token),
		Data: mail.Data{"Minutes": int(linkFor.Minutes()), "Days": int(inviteFor.Hours() / 24)}})
}

func publicID(token string) string {
	sum := sha256.Sum256([]byte("mail " + token))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

func (s *Service) issue(ctx context.Context, tx bun.IDB, kind, email string, n notes, lives time.Duration) (string, error) {
	t, raw := tenant.From(ctx), make([]byte, 24)
	_, _ = rand.Read(raw) // never fails since Go 1.24
	token := base64.RawURLEncoding.EncodeToString(raw)
	n.Version = t.Access.Version
	payload, err := json.Marshal(n)
	if err != nil {
		return "", err
	}
	hash := sha256.Sum256([]byte(token))
	_, err = tx.NewRaw(`INSERT INTO access_passes (tenant_id, hash, kind, email, payload, created_at, expires_at) VALUES (?, ?, ?, ?, ?::jsonb, ?, ?)`,
		t.ID, hash[:], kind, email, string(payload), s.Now(), s.Now().Add(lives)).Exec(ctx)
	return token, err
}

// spend uses a token up, once. Kind: fault.Gone.
func (s *Service) spend(ctx context.Context, tx bun.IDB, token string, kinds ...string) (notes, error) {
	t, hash := tenant.From(ctx), sha256.Sum256([]byte(token))
	var payload []byte
	var n notes
	err := tx.NewRaw(`UPDATE access_passes SET spent_at = ? WHERE tenant_id = ? AND hash = ? AND kind IN (?) AND spent_at IS NULL AND expires_at > ? RETURNING payload`,
		s.Now(), t.ID, hash[:], bun.In(kinds), s.Now()).Scan(ctx, &payload)
	if errors.Is(err, sql.ErrNoRows) {
		return n, fault.New(fault.Gone, "gate.link.over")
	}
	if err != nil {
		return n, err
	}
	if err := json.Unmarshal(payload, &n); err != nil {
		return n, err
	}
	if n.Version != t.Access.Version {
		return n, fault.New(fault.Gone, "gate.link.over")
	}
	return n, nil
}

// SpendLink lets in who presses the button of a mailed link; next is where they
// were going. It opens a transaction. Kind: fault.Gone.
func (s *Service) SpendLink(ctx context.Context, token string) (next string, err error) {
	err = s.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		n, err := s.spend(ctx, tx, token, "link", "invite")
		next = n.Next
		return err
	})
	return next, err
}
