// Package postgres is the search engine on the database that is there anyway:
// a row of word keys per listing, a vocabulary per board for typos and
// suggestions, and two functions that may use the indexes behind row level
// security. It never reads a listing's own row. Start at Engine, then keys.go
// for what a word becomes and query.go for how it is asked.
package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/maypok86/otter/v2"
	"github.com/uptrace/bun"
	"golang.org/x/sync/singleflight"

	"shingle/internal/fault"
	"shingle/search"
	"shingle/tenant"
)

// keepFacets is how long counts of a generation are kept: time ends listings
// without a change that would move the generation.
const keepFacets = 10 * time.Minute

// maxFacets bounds how many searches' counts are kept; each is a few kB.
const maxFacets = 4000

// Engine implements search.Engine.
type Engine struct {
	db     *tenant.DB
	langs  map[string]language
	texts  texts
	facets *otter.Cache[string, *counted]
	flight singleflight.Group
}

var _ search.Engine = (*Engine)(nil)

// New makes the engine on the app's door.
func New(db *tenant.DB) *Engine {
	return &Engine{db: db, langs: languages(), texts: newTexts(), facets: otter.Must(&otter.Options[string, *counted]{
		MaximumSize: maxFacets, ExpiryCalculator: otter.ExpiryWriting[string, *counted](keepFacets)})}
}

// Name is "postgres".
func (e *Engine) Name() string { return "postgres" }

// Ensure has nothing to make: the tables came with the migrations.
func (e *Engine) Ensure(ctx context.Context) error {
	_, err := tenant.IDFrom(ctx)
	return err
}

// Drop deletes the board's documents and words; they go with its row as well.
func (e *Engine) Drop(ctx context.Context) error {
	return e.db.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		board, err := tenant.IDFrom(ctx)
		if err != nil {
			return err
		}
		for _, table := range []string{"search_documents", "search_terms"} {
			if _, err := tx.NewRaw(`DELETE FROM ? WHERE tenant_id = ?`, bun.Ident(table), board).Exec(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// Health asks the database for nothing.
func (e *Engine) Health(ctx context.Context) error {
	return e.db.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.ExecContext(ctx, "SELECT 1")
		return err
	})
}

// Upsert opens a transaction; see UpsertIn.
func (e *Engine) Upsert(ctx context.Context, docs ...search.Document) error {
	return e.db.Write(ctx, func(ctx context.Context, tx bun.IDB) error { return e.UpsertIn(ctx, tx, docs...) })
}

// Delete opens a transaction; see DeleteIn.
func (e *Engine) Delete(ctx context.Context, refs ...search.Ref) error {
	return e.db.Write(ctx, func(ctx context.Context, tx bun.IDB) error { return e.DeleteIn(ctx, tx, refs...) })
}

// UpsertIn writes documents in the caller's transaction and marks it as a
// change that visitors see. An older version than the one held changes nothing.
func (e *Engine) UpsertIn(ctx context.Context, tx bun.IDB, docs ...search.Document) error {
	terms := newVocabulary()
	if err := e.write(ctx, tx, docs, terms); err != nil {
		return err
	}
	if err := writeTerms(ctx, tx, terms.sorted(), keepCounts); err != nil {
		return err
	}
	tenant.Changed(ctx)
	return nil
}

// Prepare analyses listings that are new to the index; what it returns writes
// them as UpsertIn does, and they count in the vocabulary at once. Their words
// wait until the last one is there and are merged into the index together: each
// of the board's words is then looked up once.
func (e *Engine) Prepare(ctx context.Context, docs ...search.Document) (search.Write, error) {
	docs = slices.SortedFunc(slices.Values(docs), func(a, b search.Document) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	terms := newVocabulary()
	last := max(0, len(docs)-1)
	waiting, err := e.analyse(ctx, docs[:last], terms)
	if err != nil {
		return nil, err
	}
	merging, err := e.analyse(ctx, docs[last:], terms)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, tx bun.IDB) error {
		if err := writeRows(ctx, tx, waiting, bulkPending); err != nil {
			return err
		}
		if err := writeRows(ctx, tx, merging, shortPending); err != nil {
			return err
		}
		if err := writeTerms(ctx, tx, terms.sorted(), addCounts); err != nil {
			return err
		}
		tenant.Changed(ctx)
		return nil
	}, nil
}

// write upserts documents, locking rows in one order, and collects their terms.
func (e *Engine) write(ctx context.Context, tx bun.IDB, docs []search.Document, terms *vocabulary) error {
	docs = slices.SortedStableFunc(slices.Values(docs), func(a, b search.Document) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	rows, err := e.analyse(ctx, docs, terms)
	if err != nil {
		return err
	}
	return writeRows(ctx, tx, rows, shortPending)
}

// analyse turns documents into rows, some hundred in each part, and adds what
// their heads say to terms.
func (e *Engine) analyse(ctx context.Context, docs []search.Document, terms *vocabulary) ([]*columns, error) {
	t := tenant.From(ctx)
	if t == nil {
		return nil, fault.New(fault.Internal, "no board in the context")
	}
	// The last of two of one listing wins.
	latest := make(map[uuid.UUID]int, len(docs))
	for i := range docs {
		if j, twice := latest[docs[i].ID]; !twice || docs[j].Version <= docs[i].Version {
			latest[docs[i].ID] = i
		}
	}
	a := analyser{lang: e.language(t.Locale), seeds: seedsOf(t.ID), texts: e.texts, terms: terms}
	var out []*columns
	for part := range slices.Chunk(slices.Sorted(maps.Values(latest)), maxRows) {
		rows := new(columns)
		for _, i := range part {
			rows.add(&docs[i], &a)
		}
		out = append(out, rows)
	}
	return out, nil
}

// DeleteIn takes listings out in the caller's transaction. The row stays as a
// mark of its version, so that an older write that comes late finds it.
func (e *Engine) DeleteIn(ctx context.Context, tx bun.IDB, refs ...search.Ref) error {
	id, err := tenant.IDFrom(ctx)
	if err != nil || len(refs) == 0 {
		return err
	}
	type mark struct {
		ID      string `json:"id"`
		Version int64  `json:"version"`
	}
	marks := make([]mark, 0, len(refs))
	seen := map[uuid.UUID]int{}
	for _, r := range refs {
		if i, twice := seen[r.ID]; twice {
			marks[i].Version = max(marks[i].Version, r.Version)
			continue
		}
		seen[r.ID] = len(marks)
		marks = append(marks, mark{r.ID.String(), r.Version})
	}
	slices.SortFunc(marks, func(a, b mark) int { return compare(a.ID, b.ID) })
	data, err := json.Marshal(marks)
	if err != nil {
		return fmt.Errorf("search documents: %w", err)
	}
	_, err = tx.NewRaw(`INSERT INTO search_documents AS d (tenant_id, id, version, gone)
		SELECT ?::uuid, id, version, true FROM json_to_recordset(?::json) AS x (id uuid, version bigint)
		ON CONFLICT (tenant_id, id) DO UPDATE SET version = excluded.version, gone = true, indexed_at = clock_timestamp(),
			title_words = '{}', head_words = '{}', words = '{}'
		WHERE d.version <= excluded.version`, id, string(data)).Exec(ctx)
	if err != nil {
		return fmt.Errorf("deleting search documents: %w", err)
	}
	tenant.Changed(ctx)
	return nil
}

// keepGone is how long the mark of a listing that left is kept.
const keepGone = 24 * time.Hour

// Rebuild writes every document anew, then takes away what none of them is.
// Searches see the old row or the new one of a listing, never neither. It
// opens a transaction per batch.
func (e *Engine) Rebuild(ctx context.Context, all search.Documents) error {
	id, err := tenant.IDFrom(ctx)
	if err != nil {
		return err
	}
	var begun time.Time
	err = e.db.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw("SELECT clock_timestamp()").Scan(ctx, &begun)
	})
	if err != nil {
		return err
	}
	terms := newVocabulary()
	for docs, err := range all {
		if err != nil {
			return err
		}
		err = e.db.Write(ctx, func(ctx context.Context, tx bun.IDB) error { return e.write(ctx, tx, docs, terms) })
		if err != nil {
			return err
		}
	}
	for batch := range slices.Chunk(terms.sorted(), 2000) {
		err := e.db.Write(ctx, func(ctx context.Context, tx bun.IDB) error { return writeTerms(ctx, tx, batch, setCounts) })
		if err != nil {
			return err
		}
	}
	return e.db.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		// What somebody wrote meanwhile has a later time and stays.
		_, err := tx.NewRaw(`DELETE FROM search_documents WHERE tenant_id = ? AND NOT gone AND indexed_at < ?`, id, begun).Exec(ctx)
		if err != nil {
			return err
		}
		_, err = tx.NewRaw(`DELETE FROM search_documents WHERE tenant_id = ? AND gone AND indexed_at < ?`, id, begun.Add(-keepGone)).Exec(ctx)
		if err != nil {
			return err
		}
		_, err = tx.NewRaw(`DELETE FROM search_terms WHERE tenant_id = ? AND seen_at < ?`, id, begun).Exec(ctx)
		tenant.Changed(ctx)
		return err
	})
}

// Versions lists what the index holds.
func (e *Engine) Versions(ctx context.Context) (map[uuid.UUID]int64, error) {
	id, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, err
	}
	var rows []struct {
		ID      uuid.UUID `bun:"id"`
		Version int64     `bun:"version"`
	}
	err = e.db.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT id, version FROM search_documents WHERE tenant_id = ? AND NOT gone`, id).Scan(ctx, &rows)
	})
	out := make(map[uuid.UUID]int64, len(rows))
	for _, r := range rows {
		out[r.ID] = r.Version
	}
	return out, err
}

func compare(a, b string) int {
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}
