// Package search is what seekers find: the query in a URL, the Engine that
// answers it, the indexer that follows a listing's versions, and the breaker
// that falls back to Postgres. It never decides whether a listing is live and
// holds no row that cannot be made again from listings. Start at Engine, then
// Query (query.go) and Service (service.go).
package search

import (
	"context"
	"iter"
	"time"

	"github.com/google/uuid"
)

// Engine answers searches of the board in the context. Two are real: postgres
// and typesense; one conformance suite (searchtest) holds for both.
//
// Kinds of all methods: fault.Unavailable when the engine does not answer,
// fault.Internal without a board in the context.
type Engine interface {
	// Name is "postgres" or "typesense", for logs and metrics.
	Name() string
	// Ensure makes what the board's index needs before the first document.
	Ensure(ctx context.Context) error
	// Upsert writes documents. One that is older (Version) than what the index
	// holds changes nothing. Visible to searches when it returns.
	Upsert(ctx context.Context, docs ...Document) error
	// Delete removes listings from the index. A missing one is fine.
	Delete(ctx context.Context, refs ...Ref) error
	// Search answers one page.
	Search(ctx context.Context, q Query) (*Result, error)
	// Suggest completes what somebody is typing, best first.
	Suggest(ctx context.Context, typed string, limit int) ([]Suggestion, error)
	// Rebuild makes the index anew from all documents, without a moment in which
	// a search finds less. Writes that arrive meanwhile are kept.
	Rebuild(ctx context.Context, all Documents) error
	// Drop removes all that the engine keeps of the board, keys too. The board's
	// own row may be gone by then; what is gone already is fine.
	Drop(ctx context.Context) error
	// Versions is what the index holds: listing id to version.
	Versions(ctx context.Context) (map[uuid.UUID]int64, error)
	// Health is nil when the engine can answer.
	Health(ctx context.Context) error
}

// Documents yields every document that should be findable, in batches. It may
// be ranged over more than once and reads anew each time.
type Documents = iter.Seq2[[]Document, error]

// Ref names a listing at a version.
type Ref struct {
	ID      uuid.UUID
	Version int64
}

// Place is where a job is.
type Place struct {
	Country string // ISO 3166-1 alpha-2
	Region  string
	City    string
}

// Document is a live listing as an engine sees it.
type Document struct {
	ID      uuid.UUID
	Version int64

	Title       string
	Company     string // name
	CompanySlug string
	Category    string // slug; "" for none
	Tags        []string
	Type        string // employment type, e.g. full_time
	Workplace   string // on_site, hybrid, remote
	Seniority   string // "" when not said
	Places      []Place
	// Countries are where the job is or may be done from.
	Countries []string
	// Yearly salary in minor units of the board's listing; 0 when not said.
	SalaryMin, SalaryMax int64
	Featured             bool
	PublishedAt          time.Time
	EndsAt               time.Time // zero: no end
	// Text is the description without markup.
	Text string
}

// Result is one page of hits.
type Result struct {
	Hits []Hit
	// Total counts all hits, not those of the page.
	Total int
	// Facets by name (FacetNames); counts ignore the facet's own filter.
	Facets map[string][]FacetValue
	Page   int
	// Pages is how many pages there are, at least 1.
	Pages int
	// Corrected is what was searched instead, when nothing matched what was
	// typed: "showing results for …".
	Corrected string
	// CorrectedLocation is the same for the location box.
	CorrectedLocation string
	Took              time.Duration
	Engine            string
	// Fallback says that the first engine was away.
	Fallback bool
}

// Hit is one listing found; its row is read from listings.
type Hit struct {
	ListingID uuid.UUID
}

// FacetValue is one choice of a facet.
type FacetValue struct {
	// Value goes into the URL.
	Value string
	// Label is what to show, when it differs from a catalogue's word for Value
	// (companies carry their name).
	Label    string
	Count    int
	Selected bool
}

// Suggestion completes a query.
type Suggestion struct {
	// Text replaces what was typed.
	Text string
	// Count is about how many listings have it; 0 when unknown.
	Count int
}
