package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/maypok86/otter/v2"
	"github.com/uptrace/bun"

	"shingle/search"
	"shingle/tenant"
)

// maxWords bounds the words of one description that are indexed.
const maxWords = 4000

// minWords is the length to which a row's keys are filled up.
const minWords = 252

// maxRows is how many documents one statement writes.
const maxRows = 500

// maxTexts bounds, in bytes, the descriptions whose stems are remembered.
const maxTexts = 8 << 20

// texts remembers the stems of descriptions: one that comes again, on another
// board or in a rebuild, is not read again.
type texts struct {
	stems *otter.Cache[textKey, []string]
}

type textKey struct {
	lang *stemmer
	text string
}

func newTexts() texts {
	const perStem = 24
	return texts{otter.Must(&otter.Options[textKey, []string]{MaximumWeight: maxTexts,
		Weigher: func(k textKey, stems []string) uint32 { return uint32(2*len(k.text) + perStem*len(stems)) }})}
}

// of is the stems of a description, each once, without stop words.
func (t texts) of(lang language, text string) []string {
	k := textKey{lang.stemmer, text}
	if stems, ok := t.stems.GetIfPresent(k); ok {
		return stems
	}
	tokens := search.Tokens(text)
	stems := tokens[:0]
	for _, w := range tokens[:min(maxWords, len(tokens))] {
		// Stop words count in a title alone ("IT manager").
		if !lang.stop[w] {
			stems = append(stems, lang.of(w))
		}
	}
	slices.Sort(stems)
	stems = slices.Clone(slices.Compact(stems))
	t.stems.Set(k, stems)
	return stems
}

// wordSet is a sorted set of keys under construction.
type wordSet []int64

func (w *wordSet) add(k int64) { *w = append(*w, k) }

func (w *wordSet) done() []int64 {
	slices.Sort(*w)
	*w = slices.Compact(*w)
	return *w
}

// lists is a column of arrays: all elements in a row, and where each array
// ends. unnest would flatten an array of arrays.
type lists[E any] struct {
	all  []E
	ends []int64
}

func (l *lists[E]) add(list []E) {
	l.all = append(l.all, list...)
	l.ends = append(l.ends, int64(len(l.all)))
}

// elements is never nil, which would be NULL.
func (l *lists[E]) elements() []E {
	if l.all == nil {
		return []E{}
	}
	return l.all
}

// begins are the places before each array's first element.
func (l *lists[E]) begins() []int64 {
	out := make([]int64, len(l.ends))
	copy(out[min(1, len(out)):], l.ends)
	return out
}

// columns are documents as the table holds them, a column at a time.
type columns struct {
	id                                            []pgtype.UUID
	version, salary                               []int64
	featured                                      []bool
	published, ends                               []pgtype.Timestamptz
	kind, workplace, category, company, seniority []string

	countries          lists[string]
	title, head, words lists[int64]
}

// analyser turns documents of one board into rows; what their heads say goes
// to terms.
type analyser struct {
	lang  language
	seeds seeds
	texts texts
	terms *vocabulary

	// Used again for each document.
	tokens           []string
	title, head, all wordSet
}

func (a *analyser) text(s string, sets ...*wordSet) {
	a.tokens = search.AppendTokens(a.tokens[:0], s)
	for _, w := range a.tokens {
		k := a.seeds.text.key(a.lang.of(w))
		for _, set := range sets {
			set.add(k)
		}
		a.terms.word("word", w, k)
	}
}

func (a *analyser) place(s string) {
	a.tokens = search.AppendTokens(a.tokens[:0], s)
	for _, w := range a.tokens {
		k := a.seeds.place.key(w)
		a.all.add(k)
		a.all.add(a.seeds.text.key(a.lang.of(w)))
		a.terms.word("place", w, k)
	}
}

// add appends a document's row.
func (c *columns) add(d *search.Document, a *analyser) {
	a.title, a.head, a.all = a.title[:0], a.head[:0], a.all[:0]
	a.text(d.Title, &a.title, &a.head, &a.all)
	a.terms.phrase("title", d.Title)
	a.text(d.Company, &a.head, &a.all)
	a.terms.phrase("company", d.Company)
	for _, t := range d.Tags {
		a.text(t, &a.head, &a.all)
	}
	a.text(d.Category, &a.head, &a.all)
	for _, p := range d.Places {
		a.place(p.City)
		a.place(p.Region)
	}
	for _, country := range d.Countries {
		a.all.add(a.seeds.country.key(country))
		for _, name := range search.CountryNames(country) {
			a.place(name)
		}
	}
	if d.Workplace == "remote" {
		a.place("remote")
	}
	if d.Category != "" {
		a.all.add(a.seeds.category.key(d.Category))
	}
	a.all.add(a.seeds.company.key(d.CompanySlug))
	for _, stem := range a.texts.of(a.lang, d.Text) {
		a.all.add(a.seeds.text.key(stem))
	}
	words := a.all.done()
	// Out of line, so that a search reads narrow rows: Postgres moves a value out
	// of a row of 2 kB or more. A key that comes twice is indexed once.
	for len(words) < minWords {
		words = append(words, words[len(words)-1])
	}
	a.all = words

	ends := pgtype.Timestamptz{Valid: true, InfinityModifier: pgtype.Infinity}
	if !d.EndsAt.IsZero() {
		ends = pgtype.Timestamptz{Valid: true, Time: d.EndsAt}
	}
	c.id = append(c.id, pgtype.UUID{Bytes: d.ID, Valid: true})
	c.version = append(c.version, d.Version)
	c.featured = append(c.featured, d.Featured)
	c.published = append(c.published, pgtype.Timestamptz{Time: d.PublishedAt, Valid: true})
	c.ends = append(c.ends, ends)
	c.salary = append(c.salary, max(d.SalaryMin, d.SalaryMax))
	c.kind = append(c.kind, d.Type)
	c.workplace = append(c.workplace, d.Workplace)
	c.category = append(c.category, d.Category)
	c.company = append(c.company, d.CompanySlug)
	c.seniority = append(c.seniority, d.Seniority)
	c.countries.add(slices.Sorted(slices.Values(d.Countries)))
	c.title.add(a.title.done())
	c.head.add(a.head.done())
	c.words.add(words)
}

// pending is how much of the index of words may wait to be merged into it:
// every search reads what waits, and a merge of more costs less for each row.
type pending string

const (
	shortPending pending = "SET LOCAL gin_pending_list_limit = '512kB'"
	bulkPending  pending = "SET LOCAL gin_pending_list_limit = '32MB'; SET LOCAL work_mem = '32MB'"
)

// writeRows upserts documents. Older versions than those held change nothing.
func writeRows(ctx context.Context, tx bun.IDB, parts []*columns, limit pending) error {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, string(limit)); err != nil {
		return fmt.Errorf("writing search documents: %w", err)
	}
	for _, c := range parts {
		if err := c.write(ctx, tx, board); err != nil {
			return fmt.Errorf("writing search documents: %w", err)
		}
	}
	return nil
}

func (c *columns) write(ctx context.Context, tx bun.IDB, board tenant.ID) error {
	_, err := tenant.ExecColumns(ctx, tx, `INSERT INTO search_documents AS d (tenant_id, id, version, gone, indexed_at, featured, published_at, ends_at,
			salary_top, type, workplace, category, company, seniority, countries, title_words, head_words, words)
		SELECT $1::uuid, id, version, false, clock_timestamp(), featured, published_at, ends_at,
			salary_top, type, workplace, category, company, seniority, ($13::text[])[c0 + 1:c1], ($16::bigint[])[t0 + 1:t1], ($19::bigint[])[h0 + 1:h1], ($22::bigint[])[w0 + 1:w1]
		FROM unnest($2::uuid[], $3::bigint[], $4::bool[], $5::timestamptz[], $6::timestamptz[], $7::bigint[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[],
				$14::bigint[], $15::bigint[], $17::bigint[], $18::bigint[], $20::bigint[], $21::bigint[], $23::bigint[], $24::bigint[])
			AS x (id, version, featured, published_at, ends_at, salary_top, type, workplace, category, company, seniority, c0, c1, t0, t1, h0, h1, w0, w1)
		ON CONFLICT (tenant_id, id) DO UPDATE SET version = excluded.version, gone = false, indexed_at = excluded.indexed_at,
			featured = excluded.featured, published_at = excluded.published_at, ends_at = excluded.ends_at,
			salary_top = excluded.salary_top, type = excluded.type, workplace = excluded.workplace, category = excluded.category,
			company = excluded.company, seniority = excluded.seniority, countries = excluded.countries,
			title_words = excluded.title_words, head_words = excluded.head_words, words = excluded.words
		WHERE d.version <= excluded.version`,
		board.String(), c.id, c.version, c.featured, c.published, c.ends, c.salary, c.kind, c.workplace, c.category, c.company, c.seniority,
		c.countries.elements(), c.countries.begins(), c.countries.ends, c.title.elements(), c.title.begins(), c.title.ends,
		c.head.elements(), c.head.begins(), c.head.ends, c.words.elements(), c.words.begins(), c.words.ends)
	return err
}

// counting says what becomes of the number that a known term has.
type counting string

const (
	keepCounts counting = `DO NOTHING`
	addCounts  counting = `DO UPDATE SET n = t.n + excluded.n`
	setCounts  counting = `DO UPDATE SET n = excluded.n, label = excluded.label, key = excluded.key, seen_at = excluded.seen_at`
)

// writeTerms adds terms to the board's vocabulary.
func writeTerms(ctx context.Context, tx bun.IDB, terms []*term, known counting) error {
	id, err := tenant.IDFrom(ctx)
	if err != nil || len(terms) == 0 {
		return err
	}
	n := len(terms)
	kind, text, label, keys, counts := make([]string, n), make([]string, n), make([]string, n), make([]int64, n), make([]int64, n)
	for i, t := range terms {
		kind[i], text[i], label[i], keys[i], counts[i] = t.Kind, t.Term, t.Label, t.Key, int64(t.N)
	}
	_, err = tenant.ExecColumns(ctx, tx, `INSERT INTO search_terms AS t (tenant_id, kind, term, label, key, n)
		SELECT $1::uuid, x.* FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::int[]) AS x
		ON CONFLICT (tenant_id, kind, term) `+string(known), id.String(), kind, text, label, keys, counts)
	if err != nil {
		return fmt.Errorf("writing search terms: %w", err)
	}
	return nil
}
