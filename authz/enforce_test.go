package authz

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/testkit"
	"shingle/tenant"
)

// The set that requests check says what casbin's Enforce says, for everybody,
// everything and every role, in every domain.
func TestSetAgreesWithEnforce(t *testing.T) {
	t.Parallel()
	w := testkit.NewWorld(t)
	g, err := NewGate(w.Platform)
	if err != nil {
		t.Fatal(err)
	}
	boards := []tenant.ID{w.Board(t, "alder").ID, w.Board(t, "birch").ID, tenant.Nil}
	var ops []uuid.UUID
	for range 12 {
		ops = append(ops, tenant.NewRowID())
	}
	rnd := rand.New(rand.NewPCG(7, 11))
	err = w.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		for _, board := range boards {
			names := BuiltinRoles(board)
			for i := range 3 {
				all := All(scopeOf(board))
				rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
				name, err := DefineRole(ctx, tx, board, fmt.Sprintf("Role %d", i), all[:1+rnd.IntN(6)]...)
				if err != nil {
					return err
				}
				names = append(names, name)
			}
			for i, op := range ops[1:] { // the first has no role anywhere
				for range 1 + i%2 {
					if err := Grant(ctx, tx, board, op, names[rnd.IntN(len(names))]); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	allowed, denied := 0, 0
	for _, board := range boards {
		err := w.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
			e, err := newEnforcer(ctx, tx, g.model, Filter{Board: board})
			if err != nil {
				return err
			}
			for _, op := range ops {
				set, err := g.resolve(t.Context(), op, board)
				if err != nil {
					return err
				}
				for _, c := range Catalogue {
					want, err := e.Enforce(op.String(), domain(board), c.Object, c.Action)
					if err != nil {
						return err
					}
					if got := set.Can(c.Object, c.Action); got != want {
						t.Errorf("%s in %s: %s.%s is %v in the set, %v for Enforce", op, domain(board), c.Object, c.Action, got, want)
					}
					if want {
						allowed++
					} else {
						denied++
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if allowed < 50 || denied < 50 {
		t.Errorf("%d allowed and %d denied prove little", allowed, denied)
	}
}

// crowd makes 100,000 grants and 1,000 custom roles over the boards, a tenth of
// the grants on the first board alone.
func crowd(b *testing.B, w *testkit.World) (keys []setKey) {
	b.Helper()
	var boards []tenant.ID
	for i := range 200 {
		boards = append(boards, w.Board(b, fmt.Sprintf("board-%d", i)).ID)
	}
	perms := All(OnBoard)
	err := w.Platform.Write(b.Context(), func(ctx context.Context, tx bun.IDB) error {
		for i, board := range boards {
			for r := range 5 {
				if _, err := DefineRole(ctx, tx, board, fmt.Sprintf("Role %d", r), perms[(i+r)%20], perms[(i+r+5)%20], perms[(i+r+9)%20]); err != nil {
					return err
				}
			}
		}
		var rows []string
		for i := range 100_000 {
			board := boards[i%len(boards)]
			if i%10 == 0 {
				board = boards[0]
			}
			role := fmt.Sprintf("custom:Role %d", i%5)
			if i%2 == 0 {
				role = []string{Viewer, Editor, Finance, Admin}[i/2%4]
			}
			op := tenant.NewRowID()
			keys = append(keys, setKey{op, board})
			rows = append(rows, fmt.Sprintf("('%s','%s','g','%s','%s','%s')", board, tenant.NewRowID(), op, role, board))
			if len(rows) == 5000 {
				q := "INSERT INTO casbin_rules (tenant_id, id, ptype, v0, v1, v2) VALUES " + strings.Join(rows, ",")
				if _, err := tx.NewRaw(q).Exec(ctx); err != nil {
					return err
				}
				rows = rows[:0]
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return keys
}

// BenchmarkPermission checks random permissions of random operators, about half
// of them denied. The bar: 5 µs warm, 5 ms cold.
func BenchmarkPermission(b *testing.B) {
	w := testkit.NewWorld(b)
	g, err := NewGate(w.Platform)
	if err != nil {
		b.Fatal(err)
	}
	keys, perms, ctx := crowd(b, w), All(OnBoard), context.Background()
	b.Run("cold", func(b *testing.B) {
		for i := range b.N {
			k := keys[rand.IntN(len(keys))]
			if i%8 == 0 {
				k = keys[rand.IntN(len(keys)/10)*10] // the crowded board
			}
			// A version that nobody has seen: always resolved.
			if _, err := g.Permissions(ctx, k.operator, k.board, int64(i)+1000); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("warm", func(b *testing.B) {
		warm := keys[:5000]
		for _, k := range warm {
			if _, err := g.Permissions(ctx, k.operator, k.board, 1); err != nil {
				b.Fatal(err)
			}
		}
		denied := 0
		b.ResetTimer()
		for range b.N {
			k := warm[rand.IntN(len(warm))]
			if g.Check(ctx, k.operator, k.board, 1, perms[rand.IntN(len(perms))]) != nil {
				denied++
			}
		}
		b.ReportMetric(float64(denied)/float64(b.N), "denied/op")
	})
}
