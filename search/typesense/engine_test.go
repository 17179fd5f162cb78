package typesense_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
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
