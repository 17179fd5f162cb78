// Package looks keeps each board's look and standing pages as rows: drafts,
// what is published, what was. It never renders. Start at Store.
package looks

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tenant"
	"shingle/themes"
)

// Version is one state of a board's look.
type Version struct {
	ID          uuid.UUID  `bun:"id"`
	N           int        `bun:"n"`
	State       string     `bun:"state"`
	CreatedAt   time.Time  `bun:"created_at"`
	PublishedAt *time.Time `bun:"published_at"`
	Look        themes.Look
}

// Store reads and changes looks in the caller's transaction.
type Store struct {
	DB *tenant.DB
	// Packs give presets their tokens.
	Packs *themes.Packs
	// Default is the look of a board that has published none.
	Default themes.Look

	mu    sync.Mutex
	known map[tenant.ID]*known
}

// known is what a board's pages need of its look, kept for one generation.
type known struct {
	generation int64
	look       *Ready
}

// maxKnown bounds how many boards' looks are kept in memory.
const maxKnown = 5000

// Ready is a published look with its style sheets made.
type Ready struct {
	themes.Look
	// CSS is the token sheet, Custom the confined CSS; each with its address.
	CSS, Custom       []byte
	CSSURL, CustomURL string
	// Legal are the published standing pages, for the footer.
	Legal []themes.Link
}

// Of is the board's published look, from memory while its generation stands.
// It opens a transaction of its own when it has to read.
func (s *Store) Of(ctx context.Context, t *tenant.Tenant) (*Ready, error) {
	s.mu.Lock()
	k := s.known[t.ID]
	s.mu.Unlock()
	if k != nil && k.generation == t.Generation {
		return k.look, nil
	}
	var r *Ready
	err := s.DB.Read(tenant.With(ctx, t), func(ctx context.Context, tx bun.IDB) (err error) {
		look := s.Default
		v, err := s.Published(ctx, tx)
		if err == nil {
			look = v.Look
		} else if !fault.Is(err, fault.NotFound) {
			return err
		}
		if r, err = s.Prepare(look); err != nil {
			return err
		}
		r.Legal, err = footer(ctx, tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil || len(s.known) >= maxKnown {
		s.known = map[tenant.ID]*known{}
	}
	s.known[t.ID] = &known{t.Generation, r}
	return r, nil
}

// Prepare makes the style sheets of a look.
func (s *Store) Prepare(look themes.Look) (*Ready, error) {
	r := &Ready{Look: look}
	r.Tokens = look.Resolve(s.Packs)
	css, hash := look.Stylesheet(s.Packs)
	r.CSS, r.CSSURL = css, "/theme."+hash+".css"
	if css, hash := look.Custom(); hash != "" {
		r.Custom, r.CustomURL = css, "/theme."+hash+".css"
	}
	return r, nil
}

// File is the style sheet behind one of the addresses, or nil.
func (r *Ready) File(path string) []byte {
	switch path {
	case r.CSSURL:
		return r.CSS
	case r.CustomURL:
		return r.Custom
	}
	return nil
}

const columns = `id, n, state, created_at, published_at, look`

func scan(ctx context.Context, tx bun.IDB, where string, args ...any) (*Version, error) {
	id, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, err
	}
	var v Version
	var raw []byte
	err = tx.NewRaw(`SELECT `+columns+` FROM looks WHERE tenant_id = ? AND `+where, append([]any{id}, args...)...).
		Scan(ctx, &v.ID, &v.N, &v.State, &v.CreatedAt, &v.PublishedAt, &raw)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.Wrap(err, fault.NotFound, "no such look")
	}
	if err != nil {
		return nil, err
	}
	return &v, json.NewDecoder(bytes.NewReader(raw)).Decode(&v.Look)
}

// Published is the look that visitors see. Kind: fault.NotFound before the first.
func (s *Store) Published(ctx context.Context, tx bun.IDB) (*Version, error) {
	return scan(ctx, tx, "state = 'published'")
}

// Draft is the look being worked on. Kind: fault.NotFound when there is none.
func (s *Store) Draft(ctx context.Context, tx bun.IDB) (*Version, error) {
	return scan(ctx, tx, "state = 'draft'")
}

// Current is the draft, or what is published, or the default.
func (s *Store) Current(ctx context.Context, tx bun.IDB) (*Version, error) {
	v, err := s.Draft(ctx, tx)
	if fault.Is(err, fault.NotFound) {
		v, err = s.Published(ctx, tx)
	}
	if fault.Is(err, fault.NotFound) {
		return &Version{State: "default", Look: s.Default}, nil
	}
	return v, err
}

// SaveDraft keeps the look as the board's one draft.
func (s *Store) SaveDraft(ctx context.Context, tx bun.IDB, look themes.Look) error {
	if err := look.Check(s.Packs); err != nil {
		return err
	}
	raw, err := json.Marshal(look)
	if err != nil {
		return fmt.Errorf("look: %w", err)
	}
	id, err := tenant.IDFrom(ctx)
	if err != nil {
		return err
	}
	actor := tenant.ActorFrom(ctx)
	_, err = tx.NewRaw(`INSERT INTO looks (tenant_id, id, n, state, look, created_by)
		VALUES (?, ?, (SELECT coalesce(max(n), 0) + 1 FROM looks WHERE tenant_id = ?), 'draft', ?::jsonb, ?)
		ON CONFLICT (tenant_id) WHERE state = 'draft' DO UPDATE SET look = excluded.look, created_by = excluded.created_by, created_at = now()`,
		id, tenant.NewRowID(), id, string(raw), actor.NullID()).Exec(ctx)
	return err
}

// DropDraft throws the draft away.
func (s *Store) DropDraft(ctx context.Context, tx bun.IDB) error {
	id, err := tenant.IDFrom(ctx)
	if err != nil {
		return err
	}
	_, err = tx.NewRaw(`DELETE FROM looks WHERE tenant_id = ? AND state = 'draft'`, id).Exec(ctx)
	return err
}

// Publish makes the draft what visitors see; what they saw is kept. Kind:
// fault.NotFound without a draft.
func (s *Store) Publish(ctx context.Context, tx bun.IDB) error {
	d, err := s.Draft(ctx, tx)
	if err != nil {
		return err
	}
	return publish(ctx, tx, d.ID)
}

// RollBack publishes an earlier look again. Kind: fault.NotFound.
func (s *Store) RollBack(ctx context.Context, tx bun.IDB, version uuid.UUID) error {
	if _, err := scan(ctx, tx, "state = 'past' AND id = ?", version); err != nil {
		return err
	}
	return publish(ctx, tx, version)
}

func publish(ctx context.Context, tx bun.IDB, version uuid.UUID) error {
	id, err := tenant.IDFrom(ctx)
	if err != nil {
		return err
	}
	if _, err := tx.NewRaw(`UPDATE looks SET state = 'past' WHERE tenant_id = ? AND state = 'published'`, id).Exec(ctx); err != nil {
		return err
	}
	res, err := tx.NewRaw(`UPDATE looks SET state = 'published', published_at = now() WHERE tenant_id = ? AND id = ?`, id, version).Exec(ctx)
	if err := tenant.Touched(res, err, "look"); err != nil {
		return err
	}
	tenant.Changed(ctx)
	return nil
}

// History lists published and past looks, newest first, without their content.
func (s *Store) History(ctx context.Context, tx bun.IDB) ([]Version, error) {
	id, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, err
	}
	var out []Version
	err = tx.NewRaw(`SELECT id, n, state, created_at, published_at FROM looks WHERE tenant_id = ? AND state <> 'draft'
		ORDER BY published_at DESC LIMIT 30`, id).Scan(ctx, &out)
	return out, err
}

// Accent is the look's primary colour and what is readable on it, as hex; ""
// when it cannot be read.
func (r *Ready) Accent() (accent, on string) {
	return r.Tokens.Accent()
}

// DarkAccent is the primary colour as it reads on a mail's dark ground, as hex.
func (r *Ready) DarkAccent() string { return r.Tokens.DarkAccent() }
