package billing

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/money"
	"shingle/tenant"
)

// Product is what a board sells: a posting of so many days, featured for the
// first of them.
type Product struct {
	bun.BaseModel `bun:"table:products,alias:p"`
	tenant.Scoped

	ID          uuid.UUID `bun:"id,pk,type:uuid"`
	Name        string    `bun:"name"`
	Description string    `bun:"description"`
	// Price is in minor units; 0 is free.
	Price        int64  `bun:"price"`
	Currency     string `bun:"currency"`
	DurationDays int    `bun:"duration_days"`
	FeaturedDays int    `bun:"featured_days"`
	// Active products are on sale; the others are kept for their orders.
	Active    bool      `bun:"active"`
	Position  int       `bun:"position"`
	CreatedAt time.Time `bun:"created_at"`
	UpdatedAt time.Time `bun:"updated_at"`
}

// Free reports a product that needs no payment.
func (p *Product) Free() bool { return p.Price == 0 }

// maxPrice is Stripe's largest charge: eight digits.
const maxPrice = 99_999_999

// thousandths are currencies that Stripe counts in thousandths: not sold here.
const thousandths = "BHD JOD KWD OMR TND"

// Validate trims the texts and names what must change, by field: name,
// description, price, currency, duration_days, featured_days. Kind: fault.Invalid.
func (p *Product) Validate() error {
	f := fault.Fields{}
	p.Name, p.Description = strings.TrimSpace(p.Name), strings.TrimSpace(p.Description)
	p.Currency = strings.ToUpper(strings.TrimSpace(p.Currency))
	switch n := len([]rune(p.Name)); {
	case n == 0:
		f["name"] = "product.name.required"
	case n > 80:
		f["name"] = "product.name.long"
	}
	if len([]rune(p.Description)) > 500 {
		f["description"] = "product.description.long"
	}
	switch {
	case !money.Valid(p.Currency), strings.Contains(thousandths, p.Currency):
		f["currency"] = "product.currency.unknown"
	case p.Price < 0:
		f["price"] = "product.price.form"
	case p.Price > 0 && p.Price < money.Minimum(p.Currency):
		f["price"] = "product.price.minimum"
	case p.Price > maxPrice:
		f["price"] = "product.price.large"
	}
	if p.DurationDays < 1 || p.DurationDays > 366 {
		f["duration_days"] = "product.duration.range"
	}
	if p.FeaturedDays < 0 || p.FeaturedDays > 366 || p.FeaturedDays > p.DurationDays {
		f["featured_days"] = "product.featured.range"
	}
	return fault.Invalids(f)
}

// Products lists all products in their order, active or not.
func (s *Service) Products(ctx context.Context, tx bun.IDB) ([]Product, error) {
	var out []Product
	err := tx.NewSelect().Model(&out).Order("p.active DESC", "p.position", "p.created_at").Scan(ctx)
	return out, err
}

// ProductsOnSale lists what an employer may pick, in order.
func (s *Service) ProductsOnSale(ctx context.Context, tx bun.IDB) ([]Product, error) {
	var out []Product
	err := tx.NewSelect().Model(&out).Where("p.active").Order("p.position", "p.created_at").Scan(ctx)
	return out, err
}

// Product reads one. Kind: fault.NotFound.
func (s *Service) Product(ctx context.Context, tx bun.IDB, id uuid.UUID) (*Product, error) {
	p := new(Product)
	return p, tenant.One(ctx, tx.NewSelect().Model(p).Where("p.id = ?", id), "product")
}

// CreateProduct adds a product at the end of the list; an empty currency is
// the board's. Kind: fault.Invalid by field.
func (s *Service) CreateProduct(ctx context.Context, tx bun.IDB, p *Product) error {
	if p.Currency == "" {
		p.Currency = tenant.From(ctx).Currency
	}
	if err := p.Validate(); err != nil {
		return err
	}
	if p.Position == 0 {
		err := tx.NewSelect().Model((*Product)(nil)).ColumnExpr("coalesce(max(p.position), 0) + 1").Scan(ctx, &p.Position)
		if err != nil {
			return err
		}
	}
	p.ID, p.CreatedAt, p.UpdatedAt = tenant.NewRowID(), s.now(), s.now()
	if _, err := tx.NewInsert().Model(p).Exec(ctx); err != nil {
		return err
	}
	tenant.Changed(ctx)
	return nil
}

// SaveProduct changes a product; orders keep what was bought. Kinds:
// fault.NotFound, fault.Invalid by field.
func (s *Service) SaveProduct(ctx context.Context, tx bun.IDB, p *Product) error {
	if err := p.Validate(); err != nil {
		return err
	}
	p.UpdatedAt = s.now()
	res, err := tx.NewUpdate().Model(p).Column("name", "description", "price", "currency", "duration_days", "featured_days", "active", "position", "updated_at").
		Where("id = ?", p.ID).Exec(ctx)
	if err := tenant.Touched(res, err, "product"); err != nil {
		return err
	}
	tenant.Changed(ctx)
	return nil
}

// SetProductActive puts a product on sale or takes it off. Kind: fault.NotFound.
func (s *Service) SetProductActive(ctx context.Context, tx bun.IDB, id uuid.UUID, active bool) error {
	res, err := tx.NewUpdate().Model((*Product)(nil)).Set("active = ?", active).Set("updated_at = ?", s.now()).Where("id = ?", id).Exec(ctx)
	if err := tenant.Touched(res, err, "product"); err != nil {
		return err
	}
	tenant.Changed(ctx)
	return nil
}

// OrderProducts puts the products in the order of ids.
func (s *Service) OrderProducts(ctx context.Context, tx bun.IDB, ids []uuid.UUID) error {
	for i, id := range ids {
		res, err := tx.NewUpdate().Model((*Product)(nil)).Set("position = ?", i+1).Where("id = ?", id).Exec(ctx)
		if err := tenant.Touched(res, err, "product"); err != nil {
			return err
		}
	}
	tenant.Changed(ctx)
	return nil
}

// DeleteProduct deletes a product that was never ordered and takes any other
// off sale; archived says which. Kind: fault.NotFound.
func (s *Service) DeleteProduct(ctx context.Context, tx bun.IDB, id uuid.UUID) (archived bool, err error) {
	ordered, err := tenant.Exists(ctx, tx.NewSelect().Model((*Order)(nil)).Where("o.product_id = ?", id))
	if err != nil {
		return false, err
	}
	if ordered {
		return true, s.SetProductActive(ctx, tx, id, false)
	}
	res, err := tx.NewDelete().Model((*Product)(nil)).Where("id = ?", id).Exec(ctx)
	if err := tenant.Touched(res, err, "product"); err != nil {
		return false, err
	}
	tenant.Changed(ctx)
	return false, nil
}

// Preview is a product as the buyer sees it, and how its price is divided.
type Preview struct {
	Price        string // "$199.00"; empty when free
	DurationDays int
	FeaturedDays int
	// Fee and Owner are minor units; the texts are formatted.
	Fee, Owner         int64
	FeeText, OwnerText string
	// Rule says where the fee comes from: "10%, at least $5.00".
	Rule string
}

// PreviewOf shows the product in the locale under the board's fee rule. What
// Stripe keeps is not part of it: it is known after the sale.
func PreviewOf(p *Product, r FeeRule, locale string) Preview {
	fee, owner := Split(p.Price, p.Currency, r)
	v := Preview{DurationDays: p.DurationDays, FeaturedDays: p.FeaturedDays, Fee: fee, Owner: owner,
		FeeText: money.Format(fee, p.Currency, locale), OwnerText: money.Format(owner, p.Currency, locale),
		Rule: Describe(r, p.Currency, locale)}
	if !p.Free() {
		v.Price = money.Format(p.Price, p.Currency, locale)
	}
	return v
}

// FeeRule reads the context's board's rule, for previews.
func (s *Service) FeeRule(ctx context.Context, tx bun.IDB) (FeeRule, error) {
	r, _, err := s.terms(ctx, tx)
	return r, err
}
