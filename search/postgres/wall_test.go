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
		`SELECT shingle_search('{"must":[],"some":[],"narrow":[],"rank":[],"like":[],"type":[],"workplace":[],"category":[],"company":[],"seniority":[],"country":[],"limit":9,"offset":0,"counts":true}')`,
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
	if _, err := conn.ExecContext(t.Context(), "ANALYZE search_documents"); err != nil {
		t.Fatal(err)
	}
	id := tenant.From(b()).ID.String()
	if _, err := conn.ExecContext(t.Context(), "SET enable_seqscan = off; SET ROLE shingle_search"); err != nil {
		t.Fatal(err)
	}
	for want, where := range map[string]string{
		"Bitmap Index Scan on search_documents_words": `shingle_search_where('` + id + `', ARRAY[42]::bigint[], '[]', 0, NULL)`,
		"search_documents_front":                      `shingle_search_where('` + id + `', '{}', '[]', 0, NULL)`,
	} {
		var cond string
		if err := conn.QueryRowContext(t.Context(), "SELECT "+where).Scan(&cond); err != nil {
			t.Fatal(err)
		}
		rows, err := conn.QueryContext(t.Context(), "EXPLAIN SELECT d.id FROM search_documents d WHERE "+cond+" ORDER BY d.featured DESC, d.published_at DESC, d.id LIMIT 20")
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
		if p := plan.String(); strings.Contains(p, "Seq Scan") || !strings.Contains(p, want) {
			t.Errorf("want %s and no Seq Scan:\n%s", want, p)
		}
	}
}
