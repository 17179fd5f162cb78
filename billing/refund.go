package billing

import (
	"context"
	"errors"
	"strings"

	"github.com/google/uuid"
	"github.com/stripe/stripe-go/v76"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tasks"
	"shingle/tenant"
)

// AskRefund gives the whole payment of an order back, or what is left of it,
// with the platform's fee.
// It writes the wish in the caller's transaction, so that a rejection and its
// refund are one; a task carries it out, and the listing ends when Stripe has
// confirmed it. Kinds: fault.NotFound, fault.Conflict when the order is not
// paid, free, or on its way back already.
func (s *Service) AskRefund(ctx context.Context, tx bun.IDB, orderID uuid.UUID, reason string) (*Refund, error) {
	o, err := lockOrder(ctx, tx, orderID)
	if err != nil {
		return nil, err
	}
	if !o.Refundable() {
		return nil, fault.New(fault.Conflict, "order %d cannot be refunded: it is %s", o.Number, o.State)
	}
	pending, err := tenant.Exists(ctx, tx.NewSelect().Model((*Refund)(nil)).
		Where("r.order_id = ? AND r.kind = 'order' AND r.state IN ('asked', 'pending')", o.ID))
	if err != nil {
		return nil, err
	}
	if pending {
		return nil, fault.New(fault.Conflict, "order %d is being refunded", o.Number)
	}
	actor := tenant.ActorFrom(ctx)
	r := &Refund{ID: tenant.NewRowID(), OrderID: o.ID, PaymentIntent: o.PaymentIntent, Amount: o.Amount - o.RefundedAmount, Currency: o.Currency, FeeAmount: o.Fee,
		Reason: strings.TrimSpace(reason), Kind: "order", State: "asked", ActorKind: actor.Kind, ActorID: actor.NullID(), CreatedAt: s.now()}
	if _, err := tx.NewInsert().Model(r).Exec(ctx); err != nil {
		return nil, err
	}
	return r, addTask(ctx, tx, TaskRefund, r.ID.String(), refundPayload{RefundID: r.ID})
}

// RefundListing gives back what the listing's current posting cost, if anything
// was paid: false means that there was nothing to refund. It runs in the
// caller's transaction, with the rejection.
func (s *Service) RefundListing(ctx context.Context, tx bun.IDB, listing uuid.UUID, reason string) (bool, error) {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return false, err
	}
	// What is open is not paid any more; what was paid is the sale whose posting
	// is still in force, whichever order came last.
	if err := s.cancelOpen(ctx, tx, listing); err != nil {
		return false, err
	}
	var paid []uuid.UUID
	err = tx.NewRaw(`SELECT o.id FROM orders AS o JOIN entitlements AS e ON e.tenant_id = o.tenant_id AND e.order_id = o.id AND e.kind = 'posting'
		WHERE o.tenant_id = ? AND o.listing_id = ? AND o.state = 'paid' AND o.amount > 0 AND o.refunded_amount = 0
			AND e.revoked_at IS NULL AND (e.ends_at IS NULL OR e.ends_at > ?) ORDER BY o.created_at`, board, listing, s.now()).Scan(ctx, &paid)
	if err != nil {
		return false, err
	}
	for _, id := range paid {
		if _, err := s.AskRefund(ctx, tx, id, reason); err != nil {
			return false, err
		}
	}
	return len(paid) > 0, nil
}

// refundTask carries a refund out: the wish is committed, Stripe does it under
// the row's key, and what Stripe then says is applied.
func (s *Service) refundTask(ctx context.Context, t *tasks.Task) error {
	var p refundPayload
	if err := t.Decode(&p); err != nil {
		return err
	}
	r, o := new(Refund), (*Order)(nil)
	session := ""
	err := s.db.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		if err = tenant.One(ctx, tx.NewSelect().Model(r).Where("r.id = ?", p.RefundID), "refund"); err != nil {
			return err
		}
		if o, err = s.Order(ctx, tx, r.OrderID); err != nil {
			return err
		}
		cs := new(Session)
		err = tenant.One(ctx, tx.NewSelect().Model(cs).Where("cs.payment_intent = ?", r.PaymentIntent).Limit(1), "checkout")
		session = cs.ID
		return err
	})
	if err != nil {
		return err
	}
	if r.State == "asked" {
		ask := &stripe.RefundParams{Params: params(ctx, o.account(), "refund:"+r.ID.String()), PaymentIntent: stripe.String(r.PaymentIntent),
			Metadata: map[string]string{"board": tenant.From(ctx).ID.String(), "order": o.ID.String(), "refund": r.ID.String()}}
		if r.Kind == "duplicate" {
			ask.Reason = stripe.String("duplicate")
		} else {
			ask.Reason = stripe.String("requested_by_customer")
		}
		if r.FeeAmount > 0 {
			ask.RefundApplicationFee = stripe.Bool(true)
		}
		if o.ChargeMode == Destination {
			ask.ReverseTransfer = stripe.Bool(true)
		}
		_, err = s.stripe.Refunds.New(ask)
	}
	s.between(ctx, "refund.made")
	var e *stripe.Error
	if errors.As(err, &e) && e.Code == stripe.ErrorCodeChargeAlreadyRefunded {
		err = nil // somebody was faster on the dashboard: what is there is applied
	}
	if refused(err) && !(e.Code == "balance_insufficient" || e.Code == "insufficient_funds") {
		// Stripe will not do it, today or tomorrow (a disputed charge): say so.
		said := stripeFault(err, "refunding")
		return s.db.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
			if err := t.Finish(ctx, tx); err != nil {
				return err
			}
			_, err := tx.NewUpdate().Model((*Refund)(nil)).Set("state = 'failed'").Set("done_at = ?", s.now()).
				Set("reason = left(reason || ' — ' || ?, 500)", said.Error()).Where("id = ? AND state = 'asked'", r.ID).Exec(ctx)
			return err
		})
	}
	if err != nil {
		return stripeFault(err, "refunding")
	}
	f, err := s.fetchSession(ctx, o.account(), session)
	if err != nil {
		return err
	}
	s.between(ctx, "refund.fetched")
	return s.db.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := t.Finish(ctx, tx); err != nil {
			return err
		}
		if err := s.apply(ctx, tx, f); err != nil {
			return err
		}
		// Done by another refund of the same payment: ours has nothing left to do.
		_, err := tx.NewUpdate().Model((*Refund)(nil)).Set("state = 'failed'").Set("done_at = ?", s.now()).
			Set("reason = left(reason || ' — refunded on Stripe''s dashboard', 500)").
			Where("id = ? AND state = 'asked' AND stripe_id = ''", r.ID).Exec(ctx)
		return err
	})
}

// feeBackTask returns the platform's fee, and on a destination charge takes the
// owner's part back, after a refund that was made on Stripe's dashboard.
func (s *Service) feeBackTask(ctx context.Context, t *tasks.Task) error {
	var p feeBackPayload
	if err := t.Decode(&p); err != nil {
		return err
	}
	f, err := s.fetchSession(ctx, p.Account, p.Session)
	if err != nil {
		return err
	}
	back := stripe.Bool(true)
	switch {
	case !f.full():
	case f.Transfer != "" && f.reversed() < f.Amount:
		rp := &stripe.TransferReversalParams{Params: params(ctx, "", "charge:"+f.Charge+":reversal"), ID: stripe.String(f.Transfer)}
		if f.FeeID != "" {
			rp.RefundApplicationFee = back
		}
		_, err = s.stripe.TransferReversals.New(rp)
	case f.FeeID != "" && f.feeBack() < f.Fee:
		_, err = s.stripe.FeeRefunds.New(&stripe.FeeRefundParams{Params: params(ctx, "", "charge:"+f.Charge+":fee_refund"), ID: stripe.String(f.FeeID)})
	}
	if err != nil {
		return stripeFault(err, "returning the fee")
	}
	s.between(ctx, "fee_back.made")
	if f, err = s.fetchSession(ctx, p.Account, p.Session); err != nil {
		return err
	}
	return s.db.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := t.Finish(ctx, tx); err != nil {
			return err
		}
		return s.apply(ctx, tx, f)
	})
}
