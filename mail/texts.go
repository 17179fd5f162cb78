package mail

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tenant"
)

// TextVersion is a board's words for a kind of mail in one language, as they
// were written once. The highest number is in force.
type TextVersion struct {
	Kind     string    `bun:"kind"`
	Language string    `bun:"language"`
	N        int       `bun:"n"`
	Text     Text      `bun:"texts,type:jsonb"`
	By       string    `bun:"written_by"`
	At       time.Time `bun:"written_at"`
}

// Shipped tells that the version stands for our own words.
func (v *TextVersion) Shipped() bool { return v == nil || len(v.Text) == 0 }

const textColumns = `kind, language, n, texts, written_by, written_at`

// TextNow is the version in force, nil when the board has never written any.
func TextNow(ctx context.Context, tx bun.IDB, kind, language string) (*TextVersion, error) {
	return oneText(ctx, tx, `kind = ? AND language = ? ORDER BY n DESC LIMIT 1`, kind, language)
}

// TextAt is one version. Kind: fault.NotFound.
func TextAt(ctx context.Context, tx bun.IDB, kind, language string, n int) (*TextVersion, error) {
	v, err := oneText(ctx, tx, `kind = ? AND language = ? AND n = ?`, kind, language, n)
	if err == nil && v == nil {
		return nil, fault.New(fault.NotFound, "no such version")
	}
	return v, err
}

func oneText(ctx context.Context, tx bun.IDB, where string, args ...any) (*TextVersion, error) {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, err
	}
	v := new(TextVersion)
	err = tx.NewRaw(`SELECT `+textColumns+` FROM mail_texts WHERE tenant_id = ? AND `+where, append([]any{board}, args...)...).Scan(ctx, v)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// TextsNow are the versions in force of every kind in a language, by kind.
func TextsNow(ctx context.Context, tx bun.IDB, language string) (map[string]*TextVersion, error) {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, err
	}
	var rows []*TextVersion
	err = tx.NewRaw(`SELECT DISTINCT ON (kind) `+textColumns+` FROM mail_texts WHERE tenant_id = ? AND language = ? ORDER BY kind, n DESC`, board, language).Scan(ctx, &rows)
	out := map[string]*TextVersion{}
	for _, v := range rows {
		out[v.Kind] = v
	}
	return out, err
}

// maxHistory bounds the list of versions that a page shows.
const maxHistory = 30

// TextHistory are a text's versions, the newest first.
func TextHistory(ctx context.Context, tx bun.IDB, kind, language string) (rows []TextVersion, err error) {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, err
	}
	err = tx.NewRaw(`SELECT `+textColumns+` FROM mail_texts WHERE tenant_id = ? AND kind = ? AND language = ? ORDER BY n DESC LIMIT ?`, board, kind, language, maxHistory).Scan(ctx, &rows)
	return rows, err
}

// SaveText puts a board's own words in force. base is the number of the version
// that the writer started from, 0 for none. Kinds: fault.NotFound for a kind or
// language that boards don't write, fault.Invalid by field, fault.Conflict when
// somebody else wrote meanwhile.
func SaveText(ctx context.Context, tx bun.IDB, kind, language string, base int, typed Text) error {
	t, err := CheckText(kind, typed)
	if err != nil {
		return err
	}
	return addText(ctx, tx, kind, language, base, t)
}

// RestoreText puts an earlier version in force again, the shipped words for n = 0.
// base is as in SaveText. Kinds: fault.NotFound, fault.Conflict, and fault.Invalid
// when this release no longer understands that version.
func RestoreText(ctx context.Context, tx bun.IDB, kind, language string, base, n int) error {
	t := Text{}
	if n > 0 {
		v, err := TextAt(ctx, tx, kind, language, n)
		if err != nil {
			return err
		}
		if !v.Shipped() {
			if t, err = CheckText(kind, v.Text); err != nil {
				return err
			}
		}
	}
	return addText(ctx, tx, kind, language, base, t)
}

func addText(ctx context.Context, tx bun.IDB, kind, language string, base int, t Text) error {
	if KindOf(kind) == nil || !slices.Contains(Languages, language) {
		return fault.New(fault.NotFound, "no such kind of mail")
	}
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(t)
	if err != nil {
		return err
	}
	res, err := tx.NewRaw(`INSERT INTO mail_texts (tenant_id, kind, language, n, texts, written_by)
		SELECT ?0, ?1, ?2, ?3 + 1, ?4::jsonb, ?5 WHERE ?3 = (SELECT coalesce(max(n), 0) FROM mail_texts WHERE tenant_id = ?0 AND kind = ?1 AND language = ?2)
		ON CONFLICT DO NOTHING`, board, kind, language, base, string(raw), tenant.ActorFrom(ctx).Label).Exec(ctx)
	err = tenant.Touched(res, err, "text")
	if fault.Is(err, fault.NotFound) {
		return fault.New(fault.Conflict, "mail.text.meanwhile")
	}
	return err
}

// wordsFor are the context's board's own words for a kind and for what stands
// under every mail, by kind; none for the platform's mails.
func wordsFor(ctx context.Context, tx bun.IDB, kind, locale string) (map[string]Text, error) {
	t := tenant.From(ctx)
	if t == nil {
		return nil, nil
	}
	var rows []TextVersion
	err := tx.NewRaw(`SELECT DISTINCT ON (kind) `+textColumns+` FROM mail_texts WHERE tenant_id = ? AND kind IN (?, ?) AND language = ? ORDER BY kind, n DESC`,
		t.ID, kind, Footer, languageOf(locale)).Scan(ctx, &rows)
	out := map[string]Text{}
	for _, v := range rows {
		if !v.Shipped() {
			out[v.Kind] = v.Text
		}
	}
	return out, err
}

// Shown is a mail as its reader would see it.
type Shown struct{ Subject, HTML, Text string }

// Shipped are our own words of a kind that boards may write.
func (s *Sender) Shipped(kind, locale string) Text { return s.words.Shipped(kind, locale) }

// Preview fills a message as the sender would, without queueing or signing it.
func (s *Sender) Preview(ctx context.Context, tx bun.IDB, m Message) (*Shown, error) {
	from := &origin{}
	var err error
	if from.identity, err = IdentityOf(ctx, tx); err != nil {
		return nil, err
	}
	if from.words, err = wordsFor(ctx, tx, m.Kind, m.Locale); err != nil {
		return nil, err
	}
	t := tenant.From(ctx)
	if t == nil {
		return nil, fault.New(fault.Invalid, "only a board's mails can be looked at")
	}
	p := m.payload()
	v, err := s.view(ctx, &row{ID: uuid.Nil, Kind: m.Kind, Locale: m.Locale}, &p, t.Name, from)
	if err != nil {
		return nil, err
	}
	html, text, err := s.parts(v)
	return &Shown{v.Subject, html, text}, err
}
