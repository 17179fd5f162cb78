package postgres_test

import (
	"context"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"shingle/internal/pg"
	"shingle/internal/testkit"
	"shingle/search"
	"shingle/search/postgres"
	"shingle/search/searchtest"
	"shingle/tenant"
)

// The functions see every row: they must answer for the bound board alone, and
// not at all without one.
func TestFunctionsAnswerForTheBoundBoardAlone(t *testing.T) {
	t.Parallel()
	w := testkit.NewWorld(t)
	e := postgres.New(w.DB)
	a, b := board(t, w, "en"), board(t, w, "en")
	if err := e.Upsert(a(), searchtest.Doc(1, "Glassblower")); err != nil {
		t.Fatal(err)
	}
	if r, err := e.Search(a(), search.Query{Text: "glassblower"}); err != nil || r.Total != 1 {
		t.Fatalf("the owner finds %+v, %v", r, err)
	}
	app := w.PG.Open(t, w.PG.App, 1)
	// The function alone, unbound.
	for _, q := range []string{
		`SELECT * FROM shingle_search('{"must":[],"some":[],"narrow":[],"rank":[],"like":[],"type":[],"workplace":[],"category":[],"company":[],"seniority":[],"country":[],"limit":9,"offset":0,"counts":true}')`,
		`SELECT * FROM shingle_search_near('{word}', '{glasblower}', '{1}')`,
	} {
		if _, err := app.ExecContext(t.Context(), q); pg.Code(err) != "42501" {
			t.Errorf("without a board: %v, want insufficient privilege", err)
		}
	}
	// Row level security alone: plain SQL bound to the rival.
	err := w.DB.Read(b(), func(ctx context.Context, tx bun.IDB) error {
		for _, table := range []string{"search_documents", "search_terms", "search_keys"} {
			var n int
			if err := tx.NewRaw("SELECT count(*) FROM "+table).Scan(ctx, &n); err != nil || n != 0 {
				t.Errorf("the rival sees %d rows of %s, %v", n, table, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// The rival cannot write over the owner's row either.
	if err := e.Delete(b(), search.Ref{ID: searchtest.ID(1), Version: 99}); err != nil {
		t.Fatal(err)
	}
	got, err := e.Versions(a())
	if err != nil || got[searchtest.ID(1)] != 1 {
		t.Errorf("the owner's row is %v, %v", got, err)
	}
}

// The hot query, as the functions' role plans it, reads the index of words.
func TestHotQueryUsesTheIndex(t *testing.T) {
	t.Parallel()
	w := testkit.NewWorld(t)
	e := postgres.New(w.DB)
	b := board(t, w, "en")
	if err := e.Rebuild(b(), searchtest.Corpus(1, 2000)); err != nil {
		t.Fatal(err)
	}
	super := w.PG.Open(t, w.PG.Superuser, 1)
	conn, err := super.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	// What autovacuum does: without it no index stands for its rows.
	if _, err := conn.ExecContext(t.Context(), "VACUUM ANALYZE search_documents"); err != nil {
		t.Fatal(err)
	}
	id := tenant.From(b()).ID.String()
	if _, err := conn.ExecContext(t.Context(), "SET enable_seqscan = off; SET ROLE shingle_search"); err != nil {
		t.Fatal(err)
	}
	explain := func(statement string) string {
		t.Helper()
		rows, err := conn.QueryContext(t.Context(), "EXPLAIN "+statement)
		if err != nil {
			t.Fatal(err)
		}
		var plan strings.Builder
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			plan.WriteString(line + "\n")
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return plan.String()
	}
	one := func(expression string) (value string) {
		t.Helper()
		if err := conn.QueryRowContext(t.Context(), "SELECT "+expression).Scan(&value); err != nil {
			t.Fatal(err)
		}
		return value
	}
	for want, where := range map[string]string{
		"Bitmap Index Scan on search_documents_words": `shingle_search_where('` + id + `', ARRAY[42]::bigint[], '[]', 0, NULL)`,
		"search_documents_front":                      `shingle_search_where('` + id + `', '{}', '[]', 0, NULL)`,
	} {
		p := explain("SELECT d.id FROM search_documents d WHERE " + one(where) + " ORDER BY d.featured DESC, d.published_at DESC, d.id LIMIT 20")
		if strings.Contains(p, "Seq Scan") || !strings.Contains(p, want) {
			t.Errorf("want %s and no Seq Scan:\n%s", want, p)
		}
	}
	// Counts of a whole board fetch no row, in one pass, small facets in the
	// index's order; counts of a word read the words' index once.
	for where, wants := range map[string][]string{
		`'{}', '[]', 6000000, NULL`:          {"MixedAggregate", "Hash Key: d.company", "Group Key: d.facets", "Index Only Scan using search_documents_counts"},
		`ARRAY[42]::bigint[], '[]', 0, NULL`: {"Bitmap Index Scan on search_documents_words"},
	} {
		p := explain(one(`shingle_search_counts(shingle_search_where('` + id + `', ` + where + `), 'd.company = ANY (''{employer-1}'')',
			'd.type = ANY (''{contract}'') AND d.countries && ''{DE}''', '{employer-1}', 30)`))
		for _, want := range wants {
			if strings.Count(p, want) != 1 || strings.Contains(p, "Seq Scan") {
				t.Errorf("want %s once and no Seq Scan:\n%s", want, p)
			}
		}
	}
}
