package postgres_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"shingle/internal/testkit"
	"shingle/search/postgres"
	"shingle/search/searchtest"
	"shingle/tenant"
)

var serial atomic.Int64

// board makes a board and gives its context with the newest generation.
func board(t testing.TB, w *testkit.World, locale string) searchtest.Board {
	t.Helper()
	n := serial.Add(1)
	b := w.BoardOf(t, tenant.NewBoard{Slug: fmt.Sprintf("search-%d", n), Name: "Search", Locale: locale, Currency: "EUR",
		TimeZone: "UTC", ContactEmail: "desk@search.example"})
	return func() context.Context {
		now, err := w.Boards.ByID(t.Context(), b.ID)
		if err != nil {
			t.Error(err)
			now = b
		}
		return tenant.With(t.Context(), now)
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	w := testkit.NewWorld(t)
	searchtest.Run(t, searchtest.Setup{
		Engine: postgres.New(w.DB),
		Board:  func(t *testing.T, locale string) searchtest.Board { return board(t, w, locale) },
	})
}
