package listings

import (
	"context"
	"strconv"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/pg"
	"shingle/tenant"
)

// Category groups a board's listings.
type Category struct {
	bun.BaseModel `bun:"table:categories,alias:cat"`
	tenant.Scoped

	ID       uuid.UUID `bun:"id,pk,type:uuid"`
	Slug     string    `bun:"slug"`
	Name     string    `bun:"name"`
	Position int       `bun:"position"`

	// Live counts its live listings, where a function says so.
	Live int `bun:"-"`
}

// Categories lists the board's categories in their order.
func (s *Store) Categories(ctx context.Context, tx bun.IDB) ([]Category, error) {
	var cs []Category
	err := tx.NewSelect().Model(&cs).OrderExpr("cat.position, cat.name").Scan(ctx)
	return cs, err
}

// CreateCategory adds one at the end. Kinds: fault.Invalid (name), fault.Conflict
// when its address is taken.
func (s *Store) CreateCategory(ctx context.Context, tx bun.IDB, name string) (*Category, error) {
	if err := checkCategory(&name); err != nil {
		return nil, err
	}
	n, err := tenant.Count(ctx, tx.NewSelect().Model((*Category)(nil)))
	if err != nil {
		return nil, err
	}
	c := &Category{ID: tenant.NewRowID(), Slug: Slugify(name, "category-"+strconv.Itoa(n+1)), Name: name, Position: n + 1}
	// ON CONFLICT rather than an error: an error would end the caller's transaction.
	res, err := tx.NewInsert().Model(c).On("CONFLICT DO NOTHING").Exec(ctx)
	if err != nil {
		return nil, err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return nil, &fault.Error{Kind: fault.Conflict, Text: "there is a category of that name", Fields: fault.Fields{"name": say("field.category.taken")}}
	}
	tenant.Changed(ctx)
	return c, nil
}

// RenameCategory changes the name; the address stays, so that links hold.
// Kinds: fault.Invalid, fault.NotFound.
func (s *Store) RenameCategory(ctx context.Context, tx bun.IDB, id uuid.UUID, name string, position int) error {
	if err := checkCategory(&name); err != nil {
		return err
	}
	res, err := tx.NewUpdate().Model((*Category)(nil)).Set("name = ?, position = ?", name, position).Where("cat.id = ?", id).Exec(ctx)
	tenant.Changed(ctx)
	return tenant.Touched(res, err, "category")
}

// DeleteCategory removes a category; its listings stay, without one.
// Kind: fault.NotFound.
func (s *Store) DeleteCategory(ctx context.Context, tx bun.IDB, id uuid.UUID) error {
	res, err := tx.NewDelete().Model((*Category)(nil)).Where("cat.id = ?", id).Exec(ctx)
	if pg.Code(err) == "23503" {
		return fault.Wrap(err, fault.Conflict, "the category is in use")
	}
	tenant.Changed(ctx)
	return tenant.Touched(res, err, "category")
}

// categoryBySlug finds a category by slug; nil for "".
func (s *Store) categoryBySlug(ctx context.Context, tx bun.IDB, slug string) (*uuid.UUID, error) {
	if slug == "" {
		return nil, nil
	}
	c := new(Category)
	err := tenant.One(ctx, tx.NewSelect().Model(c).Where("cat.slug = ?", slug), "category")
	if fault.Is(err, fault.NotFound) {
		return nil, fault.Invalids(fault.Fields{"category": say("field.category.unknown")})
	}
	if err != nil {
		return nil, err
	}
	return &c.ID, nil
}

func checkCategory(name *string) error {
	*name = tidy(*name)
	f := fault.Fields{}
	if *name == "" {
		f["name"] = say("field.category.required")
	} else if runes(*name) > 60 {
		f["name"] = say("field.long", "60")
	}
	return fault.Invalids(f)
}
