package search

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"golang.org/x/net/html"

	"shingle/listings"
	"shingle/tenant"
)

// loadBatch is how many listings are read at once.
const loadBatch = 500

// loaded is a listing's row with all that a document needs.
type loaded struct {
	ID        uuid.UUID       `bun:"id"`
	Version   int64           `bun:"version"`
	Live      bool            `bun:"live"`
	Title     string          `bun:"title"`
	Company   string          `bun:"company"`
	Slug      string          `bun:"company_slug"`
	Category  string          `bun:"category"`
	Tags      []string        `bun:"tags,array"`
	Type      string          `bun:"employment_type"`
	Workplace string          `bun:"workplace"`
	Seniority string          `bun:"seniority"`
	Places    json.RawMessage `bun:"places"`
	Anywhere  []string        `bun:"applicant_countries,array"`
	Low       int64           `bun:"salary_low"`
	High      int64           `bun:"salary_high"`
	Featured  bool            `bun:"featured"`
	Published time.Time       `bun:"published_at"`
	Ends      time.Time       `bun:"ends_at"`
	Text      string          `bun:"description"`
}

// The order of the condition follows; every table names the board itself.
const loadSQL = `SELECT l.id, l.version, l.state = 'live' AND coalesce(l.ends_at, 'infinity') > now() AS live, l.title,
		c.name AS company, c.slug AS company_slug, coalesce(g.slug, '') AS category, l.tags, l.employment_type, l.workplace, l.seniority,
		coalesce(p.places, '[]') AS places, l.applicant_countries,
		coalesce(l.salary_year_min, 0) AS salary_low, coalesce(l.salary_year_max, 0) AS salary_high, l.featured,
		coalesce(l.published_at, l.created_at) AS published_at, l.ends_at, l.description
	FROM listings AS l
	JOIN companies AS c ON c.tenant_id = l.tenant_id AND c.id = l.company_id
	LEFT JOIN categories AS g ON g.tenant_id = l.tenant_id AND g.id = l.category_id
	LEFT JOIN LATERAL (SELECT json_agg(json_build_object('Country', country, 'Region', region, 'City', city) ORDER BY n) AS places
		FROM listing_places AS lp WHERE lp.tenant_id = l.tenant_id AND lp.listing_id = l.id) AS p ON true
	WHERE l.tenant_id = ? AND `

// load reads listings in the caller's transaction, those that are not live too.
func load(ctx context.Context, tx bun.IDB, ids ...uuid.UUID) ([]loaded, error) {
	board, err := tenant.IDFrom(ctx)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	var rows []loaded
	if err := tx.NewRaw(loadSQL+`l.id IN (?)`, board, bun.In(ids)).Scan(ctx, &rows); err != nil {
		return nil, fmt.Errorf("reading listings for search: %w", err)
	}
	return rows, nil
}

// Live yields the documents of all live listings of the context's board, a
// transaction per batch, the next batch being read while one is used.
func Live(ctx context.Context, db *tenant.DB) Documents {
	return func(yield func([]Document, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		type batch struct {
			docs []Document
			err  error
		}
		next := make(chan batch)
		go func() {
			defer close(next)
			last := uuid.Nil
			for {
				rows, err := livePage(ctx, db, last)
				if len(rows) > 0 || err != nil {
					docs := make([]Document, 0, len(rows))
					for i := range rows {
						docs = append(docs, rows[i].document())
					}
					select {
					case next <- batch{docs, err}:
					case <-ctx.Done():
						return
					}
				}
				if err != nil || len(rows) < loadBatch {
					return
				}
				last = rows[len(rows)-1].ID
			}
		}()
		defer func() {
			cancel()
			for range next { // until the reader has ended
			}
		}()
		for b := range next {
			if !yield(b.docs, b.err) || b.err != nil {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(nil, err)
		}
	}
}

func livePage(ctx context.Context, db *tenant.DB, after uuid.UUID) ([]loaded, error) {
	var rows []loaded
	err := db.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		board, err := tenant.IDFrom(ctx)
		if err != nil {
			return err
		}
		return tx.NewRaw(loadSQL+`l.id > ? AND l.state = 'live' AND (l.ends_at IS NULL OR l.ends_at > now()) ORDER BY l.id LIMIT ?`,
			board, after, loadBatch).Scan(ctx, &rows)
	})
	return rows, err
}

func (l *loaded) document() Document {
	d := Document{ID: l.ID, Version: l.Version, Title: l.Title, Company: l.Company, CompanySlug: l.Slug, Category: l.Category,
		Tags: l.Tags, Type: l.Type, Workplace: l.Workplace, Seniority: l.Seniority, SalaryMin: l.Low, SalaryMax: l.High,
		Featured: l.Featured, PublishedAt: l.Published, EndsAt: l.Ends, Text: PlainText(l.Text)}
	_ = json.Unmarshal(l.Places, &d.Places) // our own json_build_object
	d.Countries = countries(d.Places, l.Anywhere)
	return d
}

// countries are where the job is or may be done from, each once.
func countries(places []Place, anywhere []string) []string {
	var out []string
	country := func(c string) {
		if isCountry(c) && !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	for _, p := range places {
		country(p.Country)
	}
	for _, c := range anywhere {
		country(c)
	}
	return out
}

// NewDocument is the document of a listing whose company, category and places
// are loaded, with its description as plain text.
func NewDocument(l *listings.Listing, text string) Document {
	d := Document{ID: l.ID, Version: l.Version, Title: l.Title, Company: l.Company.Name, CompanySlug: l.Company.Slug,
		Tags: l.Tags, Type: l.EmploymentType, Workplace: l.Workplace, Seniority: l.Seniority, Featured: l.Featured, PublishedAt: l.CreatedAt, Text: text}
	if l.Category != nil {
		d.Category = l.Category.Slug
	}
	for _, p := range l.Places {
		d.Places = append(d.Places, Place{Country: p.Country, Region: p.Region, City: p.City})
	}
	d.Countries = countries(d.Places, l.ApplicantCountries)
	if l.SalaryYearMin != nil {
		d.SalaryMin = *l.SalaryYearMin
	}
	if l.SalaryYearMax != nil {
		d.SalaryMax = *l.SalaryYearMax
	}
	if l.PublishedAt != nil {
		d.PublishedAt = *l.PublishedAt
	}
	if l.EndsAt != nil {
		d.EndsAt = *l.EndsAt
	}
	return d
}

// PlainText is HTML without its markup; elements part words.
func PlainText(h string) string {
	if !strings.ContainsAny(h, "<&") {
		return h
	}
	var b strings.Builder
	b.Grow(len(h))
	z := html.NewTokenizer(strings.NewReader(h))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return b.String()
		case html.TextToken:
			b.Write(z.Text())
		case html.StartTagToken, html.EndTagToken, html.SelfClosingTagToken:
			b.WriteByte(' ')
		}
	}
}
