package typesense_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"shingle/internal/fault"
	"shingle/internal/testkit"
	"shingle/search"
	"shingle/search/searchtest"
	"shingle/search/searchtest/typesensedouble"
	"shingle/search/typesense"
	"shingle/tenant"
)

var serial atomic.Int64

func board(t testing.TB, w *testkit.World, locale string) searchtest.Board {
	t.Helper()
	b := w.BoardOf(t, tenant.NewBoard{Slug: fmt.Sprintf("ts-%d", serial.Add(1)), Name: "Search", Locale: locale, Currency: "EUR",
		TimeZone: "UTC", ContactEmail: "desk@search.example"})
	return func() context.Context { return tenant.With(t.Context(), b) }
}

func engine(t testing.TB, w *testkit.World, url, key string) *typesense.Engine {
	t.Helper()
	sealer, err := typesense.NewSealer([]byte("a secret of the tests, long enough"))
	if err != nil {
		t.Fatal(err)
	}
	return typesense.New(typesense.Options{URL: url, Key: key, DB: w.DB, Sealer: sealer, Timeout: 10 * time.Second})
}

func double(t testing.TB) (*typesensedouble.Server, string) {
	t.Helper()
	d := typesensedouble.New("admin")
	srv := httptest.NewServer(d)
	t.Cleanup(srv.Close)
	return d, srv.URL
}

func conformance(t *testing.T, w *testkit.World, e *typesense.Engine) {
	searchtest.Run(t, searchtest.Setup{Engine: e, Board: func(t *testing.T, locale string) searchtest.Board {
		b := board(t, w, locale)
		if err := e.Ensure(b()); err != nil {
			t.Fatalf("ensure: %v", err)
		}
		return b
	}})
}

func TestConformance(t *testing.T) {
	t.Parallel()
	w := testkit.NewWorld(t)
	_, url := double(t)
	conformance(t, w, engine(t, w, url, "admin"))
}

func TestConformanceLive(t *testing.T) {
	t.Parallel()
	url, key := os.Getenv("SHINGLE_TEST_TYPESENSE_URL"), os.Getenv("SHINGLE_TEST_TYPESENSE_KEY")
	if url == "" || key == "" {
		t.Skip("SKIPPED: no live Typesense (SHINGLE_TEST_TYPESENSE_URL, SHINGLE_TEST_TYPESENSE_KEY): only the double was tested")
	}
	w := testkit.NewWorld(t)
	e := engine(t, w, url, key)
	// A server that has just started is not ready for some seconds.
	testkit.Eventually(t, 20*time.Second, func() error { return e.Health(t.Context()) })
	conformance(t, w, e)
}

func TestHealthReadsTheBody(t *testing.T) {
	t.Parallel()
	w := testkit.NewWorld(t)
	d, url := double(t)
	e := engine(t, w, url, "admin")
	d.SetReady(false)
	if err := e.Health(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("200 with ok:false: %v, want unavailable", err)
	}
	d.SetReady(true)
	if err := e.Health(t.Context()); err != nil {
		t.Errorf("ready: %v", err)
	}
	d.SetDown(true)
	if err := e.Health(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("down: %v, want unavailable", err)
	}
}

func TestRefusedKeyIsMadeAnew(t *testing.T) {
	t.Parallel()
	w := testkit.NewWorld(t)
	d, url := double(t)
	e := engine(t, w, url, "admin")
	b := board(t, w, "en")
	if err := e.Upsert(b(), searchtest.Doc(1, "Baker")); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Search(b(), search.Query{}); err != nil {
		t.Fatal(err)
	}
	// Another process has the key from the row.
	if r, err := engine(t, w, url, "admin").Search(b(), search.Query{}); err != nil || r.Total != 1 {
		t.Errorf("a second process: %v, %v", r, err)
	}
	d.Wipe()
	if _, err := e.Search(b(), search.Query{}); !fault.Is(err, fault.NotFound) {
		t.Errorf("after the server lost everything: %v, want not found", err)
	}
	if err := e.Upsert(b(), searchtest.Doc(1, "Baker")); err != nil {
		t.Fatal(err)
	}
	if r, err := e.Search(b(), search.Query{}); err != nil || r.Total != 1 {
		t.Errorf("after writing again: %v, %v", r, err)
	}
}

// alias is the name of a board's alias.
func alias(ctx context.Context) string {
	return "listings_" + strings.ReplaceAll(tenant.From(ctx).ID.String(), "-", "")
}

// A board that is no more leaves no collection, alias or key, whatever a rebuild
// or another process left; its neighbour keeps all of its own.
func TestDropLeavesNothingOfABoard(t *testing.T) {
	t.Parallel()
	w := testkit.NewWorld(t)
	d, url := double(t)
	e := engine(t, w, url, "admin")
	gone, stays := board(t, w, "en"), board(t, w, "en")
	for _, b := range []searchtest.Board{gone, stays} {
		if err := e.Upsert(b(), searchtest.Doc(1, "Baker")); err != nil {
			t.Fatal(err)
		}
	}
	err := e.Rebuild(gone(), func(yield func([]search.Document, error) bool) {
		yield([]search.Document{searchtest.Doc(1, "Baker")}, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	// An earlier secret's key, and a collection that a rebuild that died was filling.
	if _, err := w.PG.Open(t, w.PG.Superuser, 1).ExecContext(t.Context(), `UPDATE search_keys SET sealed = 'x' WHERE tenant_id = $1`, tenant.From(gone()).ID); err != nil {
		t.Fatal(err)
	}
	if _, err := engine(t, w, url, "admin").Search(gone(), search.Query{}); err != nil {
		t.Fatal(err)
	}
	left := strings.NewReader(`{"name": "` + alias(gone()) + `_3", "fields": [{"name": "title", "type": "string"}]}`)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/collections", left)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-TYPESENSE-API-KEY", "admin")
	res, err := http.DefaultClient.Do(req)
	if err != nil || res.Body.Close() != nil || res.StatusCode != http.StatusCreated {
		t.Fatalf("a collection of a rebuild that died: %+v, %v", res, err)
	}
	if got, keys := len(d.Collections()), len(d.Keys()); got != 3 || keys != 3 {
		t.Fatalf("before: %v, keys %v", d.Collections(), d.Keys())
	}
	ctx := gone()
	if _, err := w.PG.Open(t, w.PG.Superuser, 1).ExecContext(t.Context(), `DELETE FROM boards WHERE id = $1`, tenant.From(ctx).ID); err != nil {
		t.Fatal(err)
	}
	d.SetDown(true)
	if err := e.Drop(ctx); !fault.Is(err, fault.Unavailable) {
		t.Errorf("while it is away: %v", err)
	}
	d.SetDown(false)
	for range 2 { // again is a no-op
		if err := e.Drop(ctx); err != nil {
			t.Fatal(err)
		}
	}
	own := alias(stays())
	if got := d.Collections(); len(got) != 1 || got[0] != own+"_1" {
		t.Errorf("collections left: %v", got)
	}
	if got := d.Aliases(); len(got) != 1 || got[0] != own {
		t.Errorf("aliases left: %v", got)
	}
	if got := d.Keys(); len(got) != 1 || got[0] != "search of board "+tenant.From(stays()).ID.String() {
		t.Errorf("keys left: %v", got)
	}
	if r, err := e.Search(stays(), search.Query{}); err != nil || r.Total != 1 {
		t.Errorf("the neighbour finds %+v, %v", r, err)
	}
}

func TestRebuildLeavesOneCollection(t *testing.T) {
	t.Parallel()
	w := testkit.NewWorld(t)
	d, url := double(t)
	e := engine(t, w, url, "admin")
	b := board(t, w, "en")
	if err := e.Upsert(b(), searchtest.Doc(1, "Baker")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err := e.Rebuild(b(), func(yield func([]search.Document, error) bool) {
			yield([]search.Document{searchtest.Doc(1, "Baker")}, nil)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := d.Collections(); len(got) != 1 || got[0][len(got[0])-2:] != "_3" {
		t.Errorf("collections %v, want the third alone", got)
	}
	failing := fault.New(fault.Unavailable, "the table is away")
	err := e.Rebuild(b(), func(yield func([]search.Document, error) bool) { yield(nil, failing) })
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("a rebuild whose documents fail: %v", err)
	}
	// Too many that did not arrive: found after filling, and cleaned up as well.
	err = e.Rebuild(b(), func(yield func([]search.Document, error) bool) {
		docs := make([]search.Document, 60)
		for i := range docs {
			docs[i] = searchtest.Doc(i+1, "Baker")
		}
		if yield(docs, nil) {
			for _, doc := range docs {
				if derr := e.Delete(b(), search.Ref{ID: doc.ID, Version: doc.Version}); derr != nil {
					t.Error(derr)
				}
			}
		}
	})
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("a rebuild whose documents did not arrive: %v", err)
	}
	if err := e.Upsert(b(), searchtest.Doc(1, "Baker")); err != nil {
		t.Fatal(err)
	}
	if r, err := e.Search(b(), search.Query{}); err != nil || r.Total != 1 || len(d.Collections()) != 1 {
		t.Errorf("a failed rebuild changed the index: %+v, %v, %v", r, err, d.Collections())
	}
}
