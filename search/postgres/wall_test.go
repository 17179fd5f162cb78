package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"shingle/internal/fault"
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
	a := board(t, w, "en")
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
}

// A rival neither finds nor changes a board's documents, with each wall alone.
func TestARivalFindsNothing(t *testing.T) {
	t.Parallel()
	w := testkit.NewWorld(t)
	owner, rival := board(t, w, "en"), board(t, w, "en")
	doc := searchtest.Doc(1, "Glassblower")
	if err := postgres.New(w.DB).Upsert(owner(), doc); err != nil {
		t.Fatal(err)
	}
	undone := fault.New(fault.NotFound, "written as the rival's own: undone")
	testkit.EachWall(t, w, tenant.From(owner()), tenant.From(rival()), func(t *testing.T, r *testkit.Rival) {
		e := postgres.New(r.DB)
		for name, q := range map[string]search.Query{"a word": {Text: "glassblower"}, "a slip of the pen": {Text: "glasblower"}, "everything": {}} {
			if found, err := e.Search(r.Ctx, q); err != nil || found.Total+len(found.Hits) != 0 || len(found.Facets[search.FacetCompany]) != 0 {
				t.Errorf("%s: the rival finds %+v, %v", name, found, err)
			}
		}
		if list, err := e.Suggest(r.Ctx, "glass", 9); err != nil || len(list) != 0 {
			t.Errorf("suggested: %+v, %v", list, err)
		}
		if v, err := e.Versions(r.Ctx); err != nil || len(v) != 0 {
			t.Errorf("versions: %v, %v", v, err)
		}
		r.Try(t, "upsert", func(ctx context.Context, tx bun.IDB) error {
			d := doc
			d.Version, d.Title = 99, "Mine"
			return errors.Join(e.UpsertIn(ctx, tx, d), undone)
		})
		r.Try(t, "delete", func(ctx context.Context, tx bun.IDB) error {
			return errors.Join(e.DeleteIn(ctx, tx, search.Ref{ID: doc.ID, Version: 99}), undone)
		})
		if err := e.Rebuild(r.Ctx, func(func([]search.Document, error) bool) {}); err != nil {
			r.Refused(t, "rebuild", err)
		}
	})
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
