package looks_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/testkit"
	"shingle/tenant"
	"shingle/themes"
	"shingle/themes/looks"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// desk is a board that has published twice and works on a third look, with
// terms and a page.
type desk struct {
	*testkit.World
	packs *themes.Packs
	s     *looks.Store
	board *tenant.Tenant
	first uuid.UUID
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	w := testkit.NewWorld(t)
	packs, err := themes.Load()
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{World: w, packs: packs, board: w.Board(t, "acme")}
	d.s = d.over(w.DB)
	err = w.DB.Write(w.Ctx(t, d.board), func(ctx context.Context, tx bun.IDB) error {
		for range 2 {
			if err := errors.Join(d.s.SaveDraft(ctx, tx, themes.Look{Pack: "harbor"}), d.s.Publish(ctx, tx)); err != nil {
				return err
			}
			if d.first == uuid.Nil {
				v, err := d.s.Published(ctx, tx)
				if err != nil {
					return err
				}
				d.first = v.ID
			}
		}
		return errors.Join(d.s.SaveDraft(ctx, tx, themes.Look{Pack: "harbor"}),
			looks.SavePage(ctx, tx, looks.Page{Slug: "terms", Kind: "terms", Title: "Terms", Body: "<p>Ours</p>", Published: true}))
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *desk) over(db *tenant.DB) *looks.Store {
	return &looks.Store{DB: db, Packs: d.packs, Default: themes.Look{Pack: "default"}}
}

// A board's looks and pages are its own, with each wall alone.
func TestARivalFindsNoLook(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	testkit.EachWall(t, d.World, d.board, d.Board(t, "rival"), func(t *testing.T, r *testkit.Rival) {
		s := d.over(r.DB)
		for name, fn := range map[string]tenant.Fn{
			"published": func(ctx context.Context, tx bun.IDB) error { _, err := s.Published(ctx, tx); return err },
			"draft":     func(ctx context.Context, tx bun.IDB) error { _, err := s.Draft(ctx, tx); return err },
			"publish":   func(ctx context.Context, tx bun.IDB) error { return s.Publish(ctx, tx) },
			"roll back": func(ctx context.Context, tx bun.IDB) error { return s.RollBack(ctx, tx, d.first) },
			"page":      func(ctx context.Context, tx bun.IDB) error { _, err := looks.ReadPage(ctx, tx, "terms"); return err },
		} {
			r.Try(t, name, fn)
		}
		for name, list := range map[string]func(ctx context.Context, tx bun.IDB) (int, error){
			"history": func(ctx context.Context, tx bun.IDB) (int, error) { v, err := s.History(ctx, tx); return len(v), err },
			"pages": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, err := looks.ReadPages(ctx, tx)
				return len(v), err
			},
			"terms": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, err := looks.TermsVersion(ctx, tx)
				return len(v), err
			},
			"drop draft": func(ctx context.Context, tx bun.IDB) (int, error) { return 0, s.DropDraft(ctx, tx) },
			"current": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, err := s.Current(ctx, tx)
				if err == nil && v.Look.Pack != "default" {
					return 1, nil
				}
				return 0, err
			},
		} {
			r.Nothing(t, name, list)
		}
		// What pages show: the house look and an empty footer.
		if ready, err := s.Of(r.Ctx, tenant.From(r.Ctx)); err != nil || ready.Pack != "default" || len(ready.Legal) != 0 {
			t.Errorf("the rival's pages look like %+v: %v", ready, err)
		}
		// A page and a draft of the same name are the rival's own, or refused.
		for name, save := range map[string]tenant.Fn{
			"save page": func(ctx context.Context, tx bun.IDB) error {
				return looks.SavePage(ctx, tx, looks.Page{Slug: "terms", Kind: "terms", Title: "Mine", Body: "<p>Mine</p>"})
			},
			"save draft": func(ctx context.Context, tx bun.IDB) error { return s.SaveDraft(ctx, tx, themes.Look{Pack: "harbor"}) },
		} {
			err := r.DB.Write(r.Ctx, func(ctx context.Context, tx bun.IDB) error {
				if err := save(ctx, tx); err != nil {
					return err
				}
				return fault.New(fault.NotFound, "saved as the rival's own: undone")
			})
			r.Refused(t, name, err)
		}
	})
}
