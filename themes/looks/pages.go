package looks

import (
	"context"
	"database/sql"
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/pg"
	"shingle/tenant"
	"shingle/themes"
)

// Page is a standing page: legal texts and the board's own. Every save is a
// new version, so that an order can name the terms that its buyer accepted.
type Page struct {
	Slug      string    `bun:"slug"`
	Version   int       `bun:"version"`
	Kind      string    `bun:"kind"`
	Title     string    `bun:"title"`
	Body      string    `bun:"body"` // sanitised HTML
	Published bool      `bun:"published"`
	CreatedAt time.Time `bun:"created_at"`
}

// Path is the page's address.
func (p *Page) Path() string { return "/pages/" + p.Slug }

var pageSlug = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?$`)

// ReadPage is the current version of a page. Kind: fault.NotFound.
func ReadPage(ctx context.Context, tx bun.IDB, slug string) (*Page, error) {
	id, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, err
	}
	p := new(Page)
	err = tx.NewRaw(`SELECT slug, version, kind, title, body, published, created_at FROM pages
		WHERE tenant_id = ? AND slug = ? AND current`, id, slug).Scan(ctx, p)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.Wrap(err, fault.NotFound, "no such page")
	}
	return p, err
}

// ReadPages lists the board's pages, legal ones first.
func ReadPages(ctx context.Context, tx bun.IDB) ([]Page, error) {
	id, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, err
	}
	var out []Page
	err = tx.NewRaw(`SELECT slug, version, kind, title, body, published, created_at FROM pages
		WHERE tenant_id = ? AND current ORDER BY kind = 'page', kind, slug`, id).Scan(ctx, &out)
	return out, err
}

// TermsVersion names the terms in force, e.g. "terms@3"; "" when the board has none.
func TermsVersion(ctx context.Context, tx bun.IDB) (string, error) {
	id, err := tenant.IDFrom(ctx)
	if err != nil {
		return "", err
	}
	var v string
	err = tx.NewRaw(`SELECT slug || '@' || version FROM pages WHERE tenant_id = ? AND kind = 'terms' AND current AND published ORDER BY slug LIMIT 1`, id).Scan(ctx, &v)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return v, err
}

// SavePage keeps a new version of a page; its body must be sanitised. Kind:
// fault.Invalid by field.
func SavePage(ctx context.Context, tx bun.IDB, p Page) error {
	f := fault.Fields{}
	p.Slug, p.Title = strings.TrimSpace(p.Slug), strings.TrimSpace(p.Title)
	if !pageSlug.MatchString(p.Slug) {
		f["slug"] = "page.slug.form"
	}
	if p.Title == "" {
		f["title"] = "page.title.required"
	}
	if strings.TrimSpace(p.Body) == "" {
		f["body"] = "page.body.required"
	} else if len(p.Body) > 200_000 {
		f["body"] = "page.body.long"
	}
	if err := fault.Invalids(f); err != nil {
		return err
	}
	id, err := tenant.IDFrom(ctx)
	if err != nil {
		return err
	}
	if _, err := tx.NewRaw(`UPDATE pages SET current = false WHERE tenant_id = ? AND slug = ? AND current`, id, p.Slug).Exec(ctx); err != nil {
		return err
	}
	_, err = tx.NewRaw(`INSERT INTO pages (tenant_id, slug, version, kind, title, body, published, created_by)
		VALUES (?, ?, (SELECT coalesce(max(version), 0) + 1 FROM pages WHERE tenant_id = ? AND slug = ?), ?, ?, ?, ?, ?)`,
		id, p.Slug, id, p.Slug, p.Kind, p.Title, p.Body, p.Published, tenant.ActorFrom(ctx).NullID()).Exec(ctx)
	if pg.Unique(err, "") {
		return fault.New(fault.Conflict, "somebody else saved this page at the same moment; load it again")
	}
	if err != nil {
		return err
	}
	tenant.Changed(ctx)
	return nil
}

// footer links the published pages.
func footer(ctx context.Context, tx bun.IDB) ([]themes.Link, error) {
	pages, err := ReadPages(ctx, tx)
	var out []themes.Link
	for i := range pages {
		if pages[i].Published {
			out = append(out, themes.Link{Text: pages[i].Title, URL: pages[i].Path()})
		}
	}
	return out, err
}
