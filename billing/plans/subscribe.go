package plans

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/stripe/stripe-go/v76"
	"github.com/uptrace/bun"

	"shingle/billing"
	"shingle/internal/fault"
	"shingle/tenant"
)

// boardMeta names the board in what we make at Stripe; planMeta marks checkouts
// of plans among those of listings.
const boardMeta, purposeMeta, purpose = "board", "purpose", "plan"

// minTrial is the shortest trial that a checkout may still grant, Stripe's rule.
const minTrial = 48 * time.Hour

// Subscribe opens Stripe's page where a board's owner begins to pay. What is
// left of its trial stays free, when Stripe allows so short a one. An earlier
// page of the board's is closed first, so that nobody pays twice.
//
// It opens transactions and calls Stripe. Kinds: fault.NotFound for the price or
// a board without a plan, fault.Conflict when it pays already or the plan is not
// offered to it, fault.Unavailable.
func (s *Service) Subscribe(ctx context.Context, board tenant.ID, priceID uuid.UUID, success, cancel string) (string, error) {
	ctx = tenant.With(ctx, nil)
	b, q, err := s.choice(ctx, board, priceID)
	if err != nil {
		return "", err
	}
	if b.Subscribed() {
		return "", fault.New(fault.Conflict, "plan.subscribed")
	}
	if b.Checkout != "" {
		if err := s.closeCheckout(ctx, b); err != nil {
			return "", err
		}
	}
	customer, err := s.customer(ctx, b)
	if err != nil {
		return "", err
	}
	at, err := s.stripePrice(ctx, q)
	if err != nil {
		return "", err
	}
	attempt := b.Attempt + 1
	p := &stripe.CheckoutSessionParams{Mode: stripe.String("subscription"), Customer: stripe.String(customer), SuccessURL: stripe.String(success), CancelURL: stripe.String(cancel),
		LineItems:                []*stripe.CheckoutSessionLineItemParams{{Price: stripe.String(at), Quantity: stripe.Int64(1)}},
		Metadata:                 map[string]string{boardMeta: board.String(), purposeMeta: purpose},
		BillingAddressCollection: stripe.String("required"),
		CustomerUpdate:           &stripe.CheckoutSessionCustomerUpdateParams{Name: stripe.String("auto"), Address: stripe.String("auto")},
		TaxIDCollection:          &stripe.CheckoutSessionTaxIDCollectionParams{Enabled: stripe.Bool(true)},
		SubscriptionData:         &stripe.CheckoutSessionSubscriptionDataParams{Metadata: map[string]string{boardMeta: board.String()}}}
	if b.State == Trial && b.TrialEndsAt != nil && b.TrialEndsAt.Sub(s.now()) > minTrial {
		p.SubscriptionData.TrialEnd = stripe.Int64(b.TrialEndsAt.Unix())
	}
	sum := sha256.Sum256([]byte(success + "\x00" + cancel + "\x00" + at))
	p.Params = billing.Call(ctx, fmt.Sprintf("board:%s:plan:%s:%d:%s", board, q.ID, attempt, hex.EncodeToString(sum[:6])))
	made, err := s.stripe.CheckoutSessions.New(p)
	if err != nil {
		return "", billing.StripeFault(err, "opening the checkout")
	}
	err = s.change(ctx, board, func(_ context.Context, _ bun.IDB, b *Board) error {
		b.Attempt, b.Checkout = attempt, made.ID
		return nil
	})
	return made.URL, err
}

// choice reads the board's row and the price that its owner chose: one of an
// offered plan, or of the plan that the board is on.
func (s *Service) choice(ctx context.Context, board tenant.ID, priceID uuid.UUID) (*Board, *Price, error) {
	var b *Board
	var q *Price
	err := s.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		if b, err = s.BoardOf(ctx, tx, board); err != nil {
			return err
		}
		if q, err = price(ctx, tx, "id = ?", priceID); err != nil {
			return err
		}
		p, err := s.Plan(ctx, tx, q.PlanID)
		if err != nil {
			return err
		}
		if !q.Current || (!p.Listed || p.ArchivedAt != nil) && p.ID != b.PlanID {
			return fault.New(fault.Conflict, "plan.not_offered")
		}
		return nil
	})
	return b, q, err
}

// change locks the board's row, runs fn and saves it.
func (s *Service) change(ctx context.Context, board tenant.ID, fn func(ctx context.Context, tx bun.IDB, b *Board) error) error {
	return s.platform.Write(tenant.With(ctx, nil), func(ctx context.Context, tx bun.IDB) error {
		b, err := readBoard(ctx, tx, board, "FOR UPDATE")
		if err != nil {
			return err
		}
		if err := fn(ctx, tx, b); err != nil {
			return err
		}
		return b.save(ctx, tx, s.now())
	})
}

// closeCheckout expires an earlier page; one that was paid meanwhile is applied.
func (s *Service) closeCheckout(ctx context.Context, b *Board) error {
	_, err := s.stripe.CheckoutSessions.Expire(b.Checkout, &stripe.CheckoutSessionExpireParams{Params: billing.Call(ctx, "")})
	err = billing.StripeFault(err, "closing the earlier checkout")
	if err == nil || fault.Is(err, fault.NotFound) {
		return nil
	}
	if !fault.Is(err, fault.Conflict) {
		return err
	}
	// Over already: expired, or paid a moment ago.
	now, err := s.Sync(ctx, b.TenantID)
	if err == nil && now.Subscribed() {
		return fault.New(fault.Conflict, "plan.subscribed")
	}
	return err
}

// customer is the board as Stripe's customer, made the first time.
func (s *Service) customer(ctx context.Context, b *Board) (string, error) {
	if b.Customer != "" {
		return b.Customer, nil
	}
	var info *boardInfo
	err := s.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		info, err = s.info(ctx, tx, b.TenantID)
		return err
	})
	if err != nil {
		return "", err
	}
	p := &stripe.CustomerParams{Name: stripe.String(info.Name), Metadata: map[string]string{boardMeta: b.TenantID.String()}}
	if len(info.Owners) > 0 {
		p.Email = stripe.String(info.Owners[0].Email)
	}
	// The address may change between two tries: it is in the key.
	sum := sha256.Sum256([]byte(info.Name + "\x00" + stripe.StringValue(p.Email)))
	p.Params = billing.Call(ctx, "board:"+b.TenantID.String()+":customer:"+hex.EncodeToString(sum[:6]))
	made, err := s.stripe.Customers.New(p)
	if err != nil {
		return "", billing.StripeFault(err, "making the customer")
	}
	id := made.ID
	err = s.change(ctx, b.TenantID, func(_ context.Context, _ bun.IDB, b *Board) error {
		if b.Customer == "" {
			b.Customer = made.ID
		}
		id = b.Customer // two windows: the first one's stands
		return nil
	})
	return id, err
}

// stripePrice is the price at Stripe, made with its product the first time that
// somebody wants it.
func (s *Service) stripePrice(ctx context.Context, q *Price) (string, error) {
	if q.StripePrice != "" {
		return q.StripePrice, nil
	}
	var p *Plan
	err := s.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		p, err = s.Plan(ctx, tx, q.PlanID)
		return err
	})
	if err != nil {
		return "", err
	}
	if p.StripeProduct == "" {
		made, err := s.stripe.Products.New(&stripe.ProductParams{Params: billing.Call(ctx, "plan:"+p.ID.String()+":product:"+short(p.Name)), Name: stripe.String(p.Name),
			Metadata: map[string]string{"plan": p.ID.String()}})
		if err != nil {
			return "", billing.StripeFault(err, "making the product")
		}
		p.StripeProduct = made.ID
	}
	made, err := s.stripe.Prices.New(&stripe.PriceParams{Params: billing.Call(ctx, "price:"+q.ID.String()+":"+p.StripeProduct), Product: stripe.String(p.StripeProduct),
		Currency: stripe.String(lower(q.Currency)), UnitAmount: stripe.Int64(q.Amount), Recurring: &stripe.PriceRecurringParams{Interval: stripe.String(q.Every)},
		Metadata: map[string]string{"price": q.ID.String()}})
	if err != nil {
		return "", billing.StripeFault(err, "making the price")
	}
	err = s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if _, err := tx.NewRaw(`UPDATE plans SET stripe_product = ? WHERE id = ? AND stripe_product = ''`, p.StripeProduct, p.ID).Exec(ctx); err != nil {
			return err
		}
		_, err := tx.NewRaw(`UPDATE plan_prices SET stripe_price = ? WHERE id = ? AND stripe_price = ''`, made.ID, q.ID).Exec(ctx)
		return err
	})
	q.StripePrice = made.ID
	return made.ID, err
}

// Portal is Stripe's page for cards, invoices and addresses. Kinds:
// fault.NotFound, fault.Conflict before there is anything to manage,
// fault.Unavailable.
func (s *Service) Portal(ctx context.Context, board tenant.ID, back string) (string, error) {
	ctx = tenant.With(ctx, nil)
	var b *Board
	err := s.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		b, err = s.BoardOf(ctx, tx, board)
		return err
	})
	if err != nil {
		return "", err
	}
	if b.Customer == "" {
		return "", fault.New(fault.Conflict, "plan.no_portal")
	}
	made, err := s.stripe.BillingPortalSessions.New(&stripe.BillingPortalSessionParams{Params: billing.Call(ctx, ""), Customer: stripe.String(b.Customer), ReturnURL: stripe.String(back)})
	if err != nil {
		return "", billing.StripeFault(err, "opening the billing page")
	}
	return made.URL, nil
}

func short(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:6])
}
