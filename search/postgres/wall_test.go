package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

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
		`SELECT * FROM shingle_search('{"must":[],"some":[],"narrow":[],"rank":[],"like":[],"type":[],"workplace":[],"category":[],"company":[],"seniority":[],"country":[],"limit":9,"offset":0,"counts":true}')`,
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
	// The tests' server commits without waiting for its log, and no page counts as
	// visible to all before the log is out: one commit that waits brings all out.
	if _, err := conn.ExecContext(t.Context(), "SET synchronous_commit = on; SELECT pg_logical_emit_message(true, 'test', '')"); err != nil {
		t.Fatal(err)
	}
	// What autovacuum does: without it no index stands for its rows. It leaves out
	// pages that somebody holds or whose rows some transaction may not see yet.
	testkit.Eventually(t, 30*time.Second, func() (all bool) {
		if _, err := conn.ExecContext(t.Context(), "VACUUM ANALYZE search_documents"); err != nil {
			t.Fatal(err)
		}
		if err := conn.QueryRowContext(t.Context(), "SELECT relpages > 0 AND relallvisible = relpages FROM pg_class WHERE oid = 'search_documents'::regclass").Scan(&all); err != nil {
			t.Fatal(err)
		}
		return all
	})
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
		"search_documents_recent":                     `shingle_search_where('` + id + `', '{}', '[]', 0, NULL)`,
		"search_documents_front":                      `shingle_search_where('` + id + `', '{}', '[]', 0, NULL) || ' AND d.featured'`,
	} {
		p := explain("SELECT d.id FROM search_documents d WHERE " + one(where) + " ORDER BY d.published_at DESC, d.id LIMIT 20")
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
