package main

import (
	"context"
	"database/sql"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"shingle/internal/config"
	"shingle/internal/testkit"
	"shingle/search"
	"shingle/tenant"
)

const seedLines = `{"title": "Glassblower", "country": "DE", "region": "", "city": "Jena", "department": "Craft", "employment_type": "Full-time", "description": "You blow \"glass\" {and} vases, with care."}
{"title": "Lamplighter", "country": "GB", "region": "", "city": "Leeds", "department": "", "employment_type": "Contract", "description": "You light the lamps of the town.", "benefits": "A ladder."}
`

// A seeded board is a board like any other as soon as the command ends: found by
// words and facets, with time granted, its pages made anew.
func TestSeed(t *testing.T) {
	t.Parallel()
	pg := testkit.Postgres(t)
	dir := t.TempDir()
	cfg, err := config.Load("seed", []string{"SHINGLE_DATABASE_URL=" + pg.App, "SHINGLE_PLATFORM_DATABASE_URL=" + pg.Platform, "SHINGLE_MIGRATE_DATABASE_URL=" + pg.Owner,
		"SHINGLE_LISTEN_DATABASE_URL=" + pg.App, "SHINGLE_DATA_DIR=" + dir, "SHINGLE_PUBLIC_URL=http://localhost:8080", "SHINGLE_BOARD_DOMAIN=localhost"})
	if err != nil {
		t.Fatal(err)
	}
	a, err := build(t.Context(), cfg, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.close)
	file := filepath.Join(dir, "ads.jsonl")
	if err := os.WriteFile(file, []byte(seedLines), 0o600); err != nil {
		t.Fatal(err)
	}
	super := pg.Open(t, pg.Superuser, 2)
	seed := func(boards, listings int) {
		t.Helper()
		if err := a.seed(t.Context(), boards, listings, file); err != nil {
			t.Fatal(err)
		}
	}

	// Stopped after ten of forty, then gone on with; the last call has nothing to do.
	seed(2, 10)
	at := boardOf(t, a, "seed-2")
	seed(2, 40)
	now := boardOf(t, a, "seed-2")
	if now.Generation == at.Generation {
		t.Error("the board's pages are still those of before")
	}
	seed(2, 40)
	if again := boardOf(t, a, "seed-2"); again.Generation != now.Generation {
		t.Error("a seed with nothing to do changed the board")
	}
	ctx := tenant.With(t.Context(), now)
	for what, q := range map[string]search.Query{"a title": {Text: "glassblower"}, "a word of the text": {Text: "vase"}, "a slip of the pen": {Text: "glasblower"}} {
		r, err := a.search.Search(ctx, q)
		if err != nil || r.Total != 20 {
			t.Errorf("%s: %+v, %v, want 20", what, r, err)
		}
	}
	r, err := a.search.Search(ctx, search.Query{})
	if err != nil || r.Total != 40 {
		t.Fatalf("everything: %+v, %v, want 40", r, err)
	}
	for _, f := range []string{search.FacetType, search.FacetCategory, search.FacetCompany, search.FacetCountry} {
		if len(r.Facets[f]) == 0 {
			t.Errorf("no facet %s", f)
		}
	}
	// What a rebuild from the table would say is there already.
	before := indexOf(t, super, now.ID)
	if err := a.search.IndexAll(ctx); err != nil {
		t.Fatal(err)
	}
	after := indexOf(t, super, now.ID)
	if len(before) < 40 || len(before) != len(after) {
		t.Fatalf("the index holds %d rows, a rebuild makes %d", len(before), len(after))
	}
	for k, v := range after {
		if before[k] != v {
			t.Errorf("%s: the seed wrote\n%s\na rebuild writes\n%s", k, before[k], v)
		}
	}
	// Time is granted as long as it runs, and the story begins with the seed.
	for q, want := range map[string]int{
		`SELECT count(*) FROM listings WHERE state = 'live' AND source = 'seed'`: 80,
		`SELECT count(*) FROM listings l JOIN entitlements e ON e.tenant_id = l.tenant_id AND e.listing_id = l.id AND e.kind = 'posting'
			AND e.starts_at = l.published_at AND e.ends_at = l.ends_at AND e.revoked_at IS NULL`: 80,
		`SELECT count(*) FROM listings l WHERE l.featured <> EXISTS (SELECT FROM entitlements e WHERE e.tenant_id = l.tenant_id AND e.listing_id = l.id AND e.kind = 'feature')`: 0,
		`SELECT count(*) FROM listings l JOIN listing_moves m ON m.tenant_id = l.tenant_id AND m.listing_id = l.id AND m.to_state = 'live' AND m.reason = 'seed'`:                80,
		`SELECT count(*) FROM listing_places`: 80,
		`SELECT count(*) FROM listings WHERE description LIKE '%"glass" {and} vases%' OR description LIKE '%&#34;glass&#34; {and} vases%'`: 40,
		`SELECT count(*) FROM tasks WHERE kind = 'listing.index'`:                                                                          0,
	} {
		var n int
		if err := super.QueryRowContext(t.Context(), q).Scan(&n); err != nil || n != want {
			t.Errorf("%s: %d, %v, want %d", q, n, err, want)
		}
	}
}

func boardOf(t *testing.T, a *app, slug string) *tenant.Tenant {
	t.Helper()
	var b tenant.Tenant
	err := a.platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT b.*, g.generation FROM boards AS b JOIN generations AS g ON g.tenant_id = b.id WHERE b.slug = ?`, slug).Scan(ctx, &b)
	})
	if err != nil {
		t.Fatal(err)
	}
	return &b
}

// indexOf is all that the index holds of a board, but for when it was written.
func indexOf(t *testing.T, super *sql.DB, board tenant.ID) map[string]string {
	t.Helper()
	rows, err := super.QueryContext(t.Context(), `SELECT d.id::text, (to_jsonb(d) - 'indexed_at')::text FROM search_documents d WHERE tenant_id = $1
		UNION ALL SELECT kind || ' ' || term, (to_jsonb(s) - 'seen_at')::text FROM search_terms s WHERE tenant_id = $1`, board.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	out := map[string]string{}
	for rows.Next() {
		var k, v string
		if err := rows.Scan(&k, &v); err != nil {
			t.Fatal(err)
		}
		out[k] = v
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
