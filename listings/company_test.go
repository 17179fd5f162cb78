package listings

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/uptrace/bun"
)

// TestManyPostForOneNameAtOnce: the board finds one company, guests get one each;
// nobody fails for having been quick.
func TestManyPostForOneNameAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	guest := w.addPerson("guest@employer.example")
	const n = 8
	var all sync.WaitGroup
	var board, guests [n]string
	for i := range n {
		all.Go(func() {
			if err := w.DB.Write(w.admin, func(ctx context.Context, tx bun.IDB) error {
				c, err := w.s.FindOrCreateCompany(ctx, tx, "Bread & Sons", "", nil)
				if err == nil {
					board[i] = c.Slug
				}
				return err
			}); err != nil {
				t.Errorf("the board: %v", err)
			}
		})
		all.Go(func() {
			if err := w.DB.Write(w.ctx, func(ctx context.Context, tx bun.IDB) error {
				c, err := w.s.FindOrCreateCompany(ctx, tx, "Bread & Sons", "", &guest)
				if err == nil {
					guests[i] = c.Slug
				}
				return err
			}); err != nil {
				t.Errorf("a guest: %v", err)
			}
		})
	}
	all.Wait()
	if len(slices.Compact(slices.Sorted(slices.Values(board[:])))) != 1 {
		t.Errorf("the board's companies: %v, want one", board)
	}
	if got := slices.Compact(slices.Sorted(slices.Values(guests[:]))); len(got) != n || slices.Contains(got, board[0]) {
		t.Errorf("the guests' companies: %v, want %d of their own", fmt.Sprint(got), n)
	}
}
