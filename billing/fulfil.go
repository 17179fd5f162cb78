package billing

import (
	"context"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/listings"
	"shingle/tenant"
)

// fulfil gives the listing what the order paid for and hands it in: live, or to
// review where the board moderates. It runs in the transaction that marks the
// order. A listing that cannot go on (somebody removed it meanwhile) keeps the
// entitlement, for the board to decide: live again, or refunded.
func (s *Service) fulfil(ctx context.Context, tx bun.IDB, o *Order) error {
	// Whoever brings the news, the buyer's page or a webhook, the rules are the same.
	ctx = tenant.WithActor(ctx, tenant.Actor{Kind: tenant.System})
	err := s.listings.Grant(ctx, tx, listings.Entitlement{ListingID: o.ListingID, OrderID: &o.ID, Kind: listings.Posting, Days: o.Product.DurationDays})
	if err != nil {
		return err
	}
	if o.Product.FeaturedDays > 0 {
		err := s.listings.Grant(ctx, tx, listings.Entitlement{ListingID: o.ListingID, OrderID: &o.ID, Kind: listings.Feature, Days: o.Product.FeaturedDays})
		if err != nil {
			return err
		}
	}
	if _, err = s.listings.Submit(ctx, tx, o.ListingID); fault.Is(err, fault.Conflict) {
		s.log.Warn("a paid listing cannot go on", "board", o.TenantID, "order", o.Number, "error", err)
		return nil
	}
	return err
}

// unfulfil ends what the order paid for, which takes the listing down.
func (s *Service) unfulfil(ctx context.Context, tx bun.IDB, o *Order) error {
	return s.listings.Revoke(tenant.WithActor(ctx, tenant.Actor{Kind: tenant.System}), tx, o.ID, "refunded")
}

// readerOf is what a mail about an order needs of its listing: the title, and
// the language of the person whose desk it is on ("" for the board's).
func (s *Service) readerOf(ctx context.Context, tx bun.IDB, listing uuid.UUID) (title, locale string, err error) {
	l, err := s.listings.ByID(ctx, tx, listing)
	if err != nil {
		return "", "", err
	}
	_, locale, err = s.listings.Contact(ctx, tx, l)
	return l.Title, locale, err
}
