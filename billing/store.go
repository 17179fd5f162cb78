package billing

import (
	"context"
	"strconv"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/pg"
	"shingle/tenant"
)

// PlaceOrder sells a product for a listing: product, price, split and accepted
// terms are kept as they are now. An open order of the same listing is
// cancelled, since the buyer changed his mind. A free product is fulfilled at
// once, without Stripe.
//
// Kinds: fault.NotFound for the product or listing, fault.Conflict when the
// product is off sale or the board cannot sell yet (see CanSell),
// fault.Invalid without an address or accepted terms.
func (s *Service) PlaceOrder(ctx context.Context, tx bun.IDB, n NewOrder) (*Order, error) {
	f := fault.Fields{}
	if n.Email == "" {
		f["email"] = "order.email.required"
	}
	if n.TermsVersion == "" {
		f["terms"] = "order.terms.required"
	}
	if err := fault.Invalids(f); err != nil {
		return nil, err
	}
	p, err := s.Product(ctx, tx, n.ProductID)
	if err != nil {
		return nil, err
	}
	if !p.Active {
		return nil, fault.New(fault.Conflict, "%s is no longer on sale", p.Name)
	}
	rule, mode, err := s.terms(ctx, tx)
	if err != nil {
		return nil, err
	}
	account := ""
	if !p.Free() {
		sell, err := s.CanSell(ctx, tx)
		if err != nil {
			return nil, err
		}
		if !sell.OK {
			return nil, fault.New(fault.Conflict, "this board cannot take payments yet")
		}
		account, mode = sell.Account.Account, sell.Account.Mode()
	}
	if err := s.cancelOpen(ctx, tx, n.ListingID); err != nil {
		return nil, err
	}
	at := s.now()
	o := &Order{ID: tenant.NewRowID(), ListingID: n.ListingID, PersonID: n.PersonID, ProductID: p.ID,
		Product: Bought{Name: p.Name, DurationDays: p.DurationDays, FeaturedDays: p.FeaturedDays},
		Email:   n.Email, State: Open, Amount: p.Price, Currency: p.Currency, FeeRule: rule, ChargeMode: mode, StripeAccount: account,
		TermsVersion: n.TermsVersion, TermsAcceptedAt: &at, TermsAddress: n.TermsAddress, CreatedAt: at}
	o.Fee, _ = Split(o.Amount, o.Currency, rule)
	if o.Number, err = nextNumber(ctx, tx); err != nil {
		return nil, err
	}
	if _, err := tx.NewInsert().Model(o).Exec(ctx); err != nil {
		if pg.Code(err) == "23503" { // another board's listing, or none
			return nil, fault.Wrap(err, fault.NotFound, "listing not found")
		}
		return nil, err
	}
	if o.Free() {
		return o, s.markPaid(ctx, tx, o, nil)
	}
	return o, nil
}

// nextNumber counts the board's orders; the row's lock keeps it without gaps.
func nextNumber(ctx context.Context, tx bun.IDB) (int64, error) {
	id, err := tenant.IDFrom(ctx)
	if err != nil {
		return 0, err
	}
	var n int64
	err = tx.NewRaw(`INSERT INTO order_numbers (tenant_id, last) VALUES (?, 1001)
		ON CONFLICT (tenant_id) DO UPDATE SET last = order_numbers.last + 1 RETURNING last`, id).Scan(ctx, &n)
	return n, err
}

// cancelOpen cancels the listing's open orders and has their checkouts closed.
func (s *Service) cancelOpen(ctx context.Context, tx bun.IDB, listing uuid.UUID) error {
	var open []Order
	if err := tx.NewSelect().Model(&open).Where("o.listing_id = ? AND o.state = ?", listing, Open).Order("o.id").For("UPDATE").Scan(ctx); err != nil {
		return err
	}
	for i := range open {
		if err := s.cancel(ctx, tx, &open[i]); err != nil {
			return err
		}
	}
	return nil
}

// Cancel gives an unpaid order up. Its open checkout is closed at Stripe by a
// task; a payment that comes in all the same counts. Kinds: fault.NotFound,
// fault.Conflict when the order is not open.
func (s *Service) Cancel(ctx context.Context, tx bun.IDB, id uuid.UUID) error {
	o, err := lockOrder(ctx, tx, id)
	if err != nil {
		return err
	}
	if o.State != Open {
		return fault.New(fault.Conflict, "order %d is %s", o.Number, o.State)
	}
	return s.cancel(ctx, tx, o)
}

func (s *Service) cancel(ctx context.Context, tx bun.IDB, o *Order) error {
	at := s.now()
	o.State, o.CancelledAt = Cancelled, &at
	if _, err := tx.NewUpdate().Model(o).Column("state", "cancelled_at").Where("id = ?", o.ID).Exec(ctx); err != nil {
		return err
	}
	return addTask(ctx, tx, TaskExpire, o.ID.String(), expirePayload{OrderID: o.ID})
}

// Order reads one. Kind: fault.NotFound.
func (s *Service) Order(ctx context.Context, tx bun.IDB, id uuid.UUID) (*Order, error) {
	o := new(Order)
	return o, tenant.One(ctx, tx.NewSelect().Model(o).Where("o.id = ?", id), "order")
}

// OrderByNumber reads one by the number that people see. Kind: fault.NotFound.
func (s *Service) OrderByNumber(ctx context.Context, tx bun.IDB, number string) (*Order, error) {
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return nil, fault.New(fault.NotFound, "order not found")
	}
	o := new(Order)
	return o, tenant.One(ctx, tx.NewSelect().Model(o).Where("o.number = ?", n), "order")
}

// LatestOrder is the listing's newest order that was not cancelled. Kind: fault.NotFound.
func (s *Service) LatestOrder(ctx context.Context, tx bun.IDB, listing uuid.UUID) (*Order, error) {
	o := new(Order)
	return o, tenant.One(ctx, tx.NewSelect().Model(o).Where("o.listing_id = ? AND o.state <> ?", listing, Cancelled).Order("o.number DESC").Limit(1), "order")
}

func lockOrder(ctx context.Context, tx bun.IDB, id uuid.UUID) (*Order, error) {
	o := new(Order)
	return o, tenant.One(ctx, tx.NewSelect().Model(o).Where("o.id = ?", id).For("UPDATE"), "order")
}

// openSessions are the checkouts of an order that can still be paid.
func openSessions(ctx context.Context, tx bun.IDB, order uuid.UUID) ([]Session, error) {
	var out []Session
	err := tx.NewSelect().Model(&out).Where("cs.order_id = ? AND cs.state = 'open'", order).Order("cs.attempt").Scan(ctx)
	return out, err
}
