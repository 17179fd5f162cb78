package listings

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/testkit"
	"shingle/tenant"
)

// owned is a board with one of everything that listings keeps.
type owned struct {
	*Listing
	revision, importID, category, order uuid.UUID
}

func (w *world) owned() (o owned) {
	w.t.Helper()
	c := content("Crane driver")
	var cat *Category
	var im *Import
	w.write(w.admin, func(ctx context.Context, tx bun.IDB) (err error) {
		cat, err = w.s.CreateCategory(ctx, tx, "Cranes")
		return err
	})
	c.Category = cat.Slug
	w.write(w.desk, func(ctx context.Context, tx bun.IDB) error {
		l, err := w.s.Create(ctx, tx, c, Owner{PersonID: &w.person})
		o.Listing = l
		return err
	})
	w.grant(w.ctx, o.Listing, Posting, 30)
	w.write(w.admin, func(ctx context.Context, tx bun.IDB) (err error) {
		if _, err = w.s.Publish(ctx, tx, o.ID); err == nil {
			im, err = w.s.StartImport(ctx, tx, "jobs.csv", "Title;Company;Description\nA;B;C\n", Rules{Locale: "en", Currency: "EUR"})
		}
		return err
	})
	w.write(w.desk, func(ctx context.Context, tx bun.IDB) error {
		c.Title = "Crane chief"
		e, err := w.s.Edit(ctx, tx, o.ID, c)
		if err != nil || !e.Pending {
			return errors.Join(err, errors.New("the edit does not wait"))
		}
		r, err := w.s.PendingRevision(ctx, tx, o.ID)
		o.revision = r.ID
		return err
	})
	o.Listing, o.importID, o.category, o.order = w.get(o.Listing), im.ID, cat.ID, uuid.New()
	// As if an order had paid for it; orders are billing's.
	super := w.PG.Open(w.t, w.PG.Superuser, 1)
	for _, q := range []string{`SET session_replication_role = replica`, `UPDATE entitlements SET order_id = '` + o.order.String() + `'`} {
		if _, err := super.ExecContext(w.t.Context(), q); err != nil {
			w.t.Fatal(err)
		}
	}
	return o
}

// errUndo ends a transaction whose effect nobody wants.
var errUndo = errors.New("undo")

// Each function, called from another board, finds nothing and changes nothing,
// with each wall alone.
func TestRivalBoardsFindNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	o := w.owned()
	testkit.EachWall(t, w.World, w.board, tenant.From(w.rival), func(t *testing.T, r *testkit.Rival) {
		type one = func(context.Context, bun.IDB, uuid.UUID) (*Listing, error)
		for name, fn := range map[string]one{"by id": w.s.ByID, "lock": w.s.Lock, "full": w.s.Full, "submit": w.s.Submit, "publish": w.s.Publish, "approve": w.approve(o.Listing),
			"pause": w.pause("x"), "resume": w.s.Resume, "filled": w.s.MarkFilled, "relist": w.s.Relist, "restore": w.s.Restore} {
			r.Try(t, name, func(ctx context.Context, tx bun.IDB) error { _, err := fn(ctx, tx, o.ID); return err })
		}
		for name, fn := range map[string]func(context.Context, bun.IDB, uuid.UUID, string) (*Listing, error){"send back": w.s.SendBack, "reject": w.s.Reject, "remove": w.s.Remove} {
			r.Try(t, name, func(ctx context.Context, tx bun.IDB) error { _, err := fn(ctx, tx, o.ID, "no"); return err })
		}
		for name, fn := range map[string]tenant.Fn{
			"move":      func(ctx context.Context, tx bun.IDB) error { _, err := w.s.Move(ctx, tx, o.ID, Paused, ""); return err },
			"expire":    func(ctx context.Context, tx bun.IDB) error { return w.s.expire(ctx, tx, o.ID) },
			"public id": func(ctx context.Context, tx bun.IDB) error { _, err := w.s.ByPublicID(ctx, tx, o.PublicID); return err },
			"owned":     func(ctx context.Context, tx bun.IDB) error { _, err := w.s.Owned(ctx, tx, o.ID, w.person); return err },
			"edit": func(ctx context.Context, tx bun.IDB) error {
				_, err := w.s.Edit(ctx, tx, o.ID, content("Mine"))
				return err
			},
			"paid":   func(ctx context.Context, tx bun.IDB) error { _, err := w.s.Paid(ctx, tx, o.ID); return err },
			"wanted": func(ctx context.Context, tx bun.IDB) error { return w.s.SetWanted(ctx, tx, o.ID, nil, nil) },
			"company": func(ctx context.Context, tx bun.IDB) error {
				_, err := w.s.CompanyByID(ctx, tx, o.CompanyID)
				return err
			},
			"by slug": func(ctx context.Context, tx bun.IDB) error {
				_, err := w.s.CompanyBySlug(ctx, tx, o.Company.Slug)
				return err
			},
			"page": func(ctx context.Context, tx bun.IDB) error {
				_, _, err := w.s.CompanyPage(ctx, tx, o.Company.Slug)
				return err
			},
			"logo":       func(ctx context.Context, tx bun.IDB) error { return w.s.SetLogo(ctx, tx, o.CompanyID, "") },
			"member":     func(ctx context.Context, tx bun.IDB) error { return w.s.AddMember(ctx, tx, o.CompanyID, w.person) },
			"rename":     func(ctx context.Context, tx bun.IDB) error { return w.s.RenameCategory(ctx, tx, o.category, "Mine", 1) },
			"category":   func(ctx context.Context, tx bun.IDB) error { return w.s.DeleteCategory(ctx, tx, o.category) },
			"import":     func(ctx context.Context, tx bun.IDB) error { _, err := w.s.ImportByID(ctx, tx, o.importID); return err },
			"run import": func(ctx context.Context, tx bun.IDB) error { return w.s.RunImport(ctx, tx, o.importID, 30) },
			"approve rev": func(ctx context.Context, tx bun.IDB) error {
				_, err := w.s.ApproveRevision(ctx, tx, o.revision)
				return err
			},
			"reject rev": func(ctx context.Context, tx bun.IDB) error {
				_, err := w.s.RejectRevision(ctx, tx, o.revision, "no")
				return err
			},
			"grant": func(ctx context.Context, tx bun.IDB) error {
				return w.s.Grant(ctx, tx, Entitlement{ListingID: o.ID, Kind: Posting, Days: 9})
			},
			"edit company": func(ctx context.Context, tx bun.IDB) error {
				_, err := w.s.EditCompany(ctx, tx, o.CompanyID, Profile{Name: "Mine"})
				return err
			},
			"their company": func(ctx context.Context, tx bun.IDB) error {
				_, err := w.s.Create(ctx, tx, content("Mine"), Owner{CompanyID: &o.CompanyID})
				return err
			},
		} {
			r.Try(t, name, fn)
		}
		yes := func(ok bool, err error) (int, error) {
			if ok {
				return 1, err
			}
			return 0, err
		}
		for name, fn := range map[string]func(ctx context.Context, tx bun.IDB) (int, error){
			"owns": func(ctx context.Context, tx bun.IDB) (int, error) { return yes(w.s.Owns(ctx, tx, o.ID, w.person)) },
			"is member": func(ctx context.Context, tx bun.IDB) (int, error) {
				return yes(w.s.IsMember(ctx, tx, o.CompanyID, w.person))
			},
			"companies of": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, err := w.s.CompaniesOf(ctx, tx, w.person)
				return len(v), err
			},
			"by ids": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, err := w.s.ByIDs(ctx, tx, []uuid.UUID{o.ID})
				return len(v), err
			},
			"desk": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, err := w.s.DeskList(ctx, tx, w.person)
				return len(v), err
			},
			"admin list": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, n, err := w.s.AdminList(ctx, tx, Filter{})
				return len(v) + n, err
			},
			"entitlements": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, err := w.s.Entitlements(ctx, tx, o.ID)
				return len(v), err
			},
			"moves": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, err := w.s.Moves(ctx, tx, o.ID)
				return len(v), err
			},
			"revisions": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, err := w.s.Revisions(ctx, tx, o.ID)
				return len(v), err
			},
			"categories": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, err := w.s.Categories(ctx, tx)
				return len(v), err
			},
			"live by cat": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, err := w.s.CategoriesLive(ctx, tx)
				return len(v), err
			},
			"recent": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, err := w.s.Recent(ctx, tx, 9)
				return len(v), err
			},
			"count": func(ctx context.Context, tx bun.IDB) (int, error) { return w.s.CountLive(ctx, tx) },
			"similar": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, err := w.s.Similar(ctx, tx, &Listing{CategoryID: &o.category}, 9)
				return len(v), err
			},
			"companies": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, n, err := w.s.Companies(ctx, tx, 1, 9)
				return len(v) + n, err
			},
			"sitemap": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, err := w.s.Sitemap(ctx, tx, 0, 9)
				return len(v), err
			},
			"feed": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, err := w.s.Feed(ctx, tx, 9, []uuid.UUID{o.ID})
				return len(v), err
			},
			"counts": func(ctx context.Context, tx bun.IDB) (int, error) { v, err := w.s.Counts(ctx, tx); return len(v), err },
			"queue": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, err := w.s.ReviewQueue(ctx, tx)
				return len(v), err
			},
			"hold": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, err := w.s.Hold(ctx, tx, o.ID)
				return yes(v != nil, err)
			},
			"revoke": func(ctx context.Context, tx bun.IDB) (int, error) { return 0, w.s.Revoke(ctx, tx, o.order, "mine") },
			"pending": func(ctx context.Context, tx bun.IDB) (int, error) {
				v, err := w.s.PendingRevision(ctx, tx, o.ID)
				return yes(v != nil, err)
			},
			"contact": func(ctx context.Context, tx bun.IDB) (int, error) {
				email, locale, err := w.s.Contact(ctx, tx, o.Listing)
				return len(email) + len(locale), err
			},
			"front": func(ctx context.Context, tx bun.IDB) (int, error) {
				f, err := w.s.Front(ctx, tx, 5)
				if err != nil {
					return 0, err
				}
				return f.Total + len(f.Latest) + len(f.Featured) + len(f.Companies), nil
			},
			"completed": func(ctx context.Context, tx bun.IDB) (int, error) {
				ls := []Listing{{ID: o.ID, CompanyID: o.CompanyID, CategoryID: &o.category}}
				err := w.s.Complete(ctx, tx, ls)
				n, _ := yes(ls[0].Company != nil && ls[0].Company.Name != "" || ls[0].Category != nil, nil)
				return n + len(ls[0].Places), err
			},
			"export": func(ctx context.Context, tx bun.IDB) (int, error) {
				var out counter
				err := w.s.ExportCSV(ctx, tx, &out, Filter{})
				return out.lines - 1, err // but the head
			},
			"company by name": func(ctx context.Context, tx bun.IDB) (int, error) {
				c, err := w.s.FindOrCreateCompany(ctx, tx, o.Company.Name, "", nil)
				if err == nil && c.ID != o.CompanyID {
					err = errUndo // a company of the rival's own
				}
				n, _ := yes(c != nil && c.ID == o.CompanyID, nil)
				return n, err
			},
		} {
			err := r.DB.Write(r.Ctx, func(ctx context.Context, tx bun.IDB) error {
				n, err := fn(ctx, tx)
				if n != 0 {
					t.Errorf("%s: the rival sees %d", name, n)
				}
				return err
			})
			if err != nil && !errors.Is(err, errUndo) {
				r.Refused(t, name, err)
			}
		}
	})
}

// counter counts the lines written to it.
type counter struct{ lines int }

func (c *counter) Write(p []byte) (int, error) {
	for _, b := range p {
		if b == '\n' {
			c.lines++
		}
	}
	return len(p), nil
}
