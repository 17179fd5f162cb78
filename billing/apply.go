package billing

import (
	"context"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/money"
	"shingle/internal/observe"
	"shingle/internal/pg"
	"shingle/mail"
	"shingle/tenant"
)

// apply brings the board's rows to what Stripe says of a session. Webhooks, the
// return page, sweeps and our own refunds all come through here. It runs in the
// caller's transaction, holds the order's lock from the start, and applying the
// same facts again, or older ones after newer ones, changes nothing.
//
// Kind: fault.NotFound when the session is no order of this board.
func (s *Service) apply(ctx context.Context, tx bun.IDB, f *facts) error {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return err
	}
	if f.Board != board.String() {
		return fault.New(fault.NotFound, "the checkout is none of this board's")
	}
	o, err := lockOrder(ctx, tx, f.Order)
	if err != nil {
		return err
	}
	if f.Account != o.account() {
		return fault.New(fault.NotFound, "the checkout is on another account than order %d", o.Number)
	}
	failed, err := s.keepSession(ctx, tx, o, f)
	if err != nil {
		return err
	}
	switch {
	case f.Paid:
		return s.applyPaid(ctx, tx, o, f)
	case failed:
		return s.applyFailed(ctx, tx, o, f)
	case f.Status == "complete" && o.State == Open:
		// A delayed method: the money is on its way.
		o.State = Processing
		_, err = tx.NewUpdate().Model(o).Column("state").Where("id = ?", o.ID).Exec(ctx)
	}
	return err
}

// keepSession keeps what is known of the session. It reports a delayed payment
// that failed, by these facts or by newer ones applied before.
func (s *Service) keepSession(ctx context.Context, tx bun.IDB, o *Order, f *facts) (failed bool, err error) {
	status := f.PaymentStatus
	failed = f.Status == "complete" && !f.Paid && (f.IntentStatus == "requires_payment_method" || f.IntentStatus == "canceled")
	if failed {
		status = "failed"
	}
	if f.Paid {
		status = "paid"
	}
	row := &Session{ID: f.Session, OrderID: o.ID, Attempt: f.Attempt, State: f.Status, PaymentStatus: status, PaymentIntent: f.Intent, CreatedAt: s.now(), ExpiresAt: &f.ExpiresAt}
	if ended := s.now(); f.Status != "open" {
		row.EndedAt = &ended
	}
	// A session that is over stays over; paid and failed are final.
	_, err = tx.NewInsert().Model(row).On("CONFLICT (tenant_id, id) DO UPDATE").
		Set("ended_at = CASE WHEN cs.payment_status IN ('paid', 'failed') OR cs.state = 'expired' THEN cs.ended_at ELSE EXCLUDED.ended_at END").
		Set("state = CASE WHEN cs.state = 'open' THEN EXCLUDED.state ELSE cs.state END").
		Set("payment_status = CASE WHEN cs.payment_status IN ('paid', 'failed') THEN cs.payment_status ELSE EXCLUDED.payment_status END").
		Set("payment_intent = CASE WHEN EXCLUDED.payment_intent = '' THEN cs.payment_intent ELSE EXCLUDED.payment_intent END").
		Returning("payment_status, trace").Exec(ctx)
	if pg.Unique(err, "") {
		return false, fault.Wrap(err, fault.Conflict, "two checkouts of order %d claim attempt %d", o.Number, f.Attempt)
	}
	observe.Link(ctx, row.Trace) // from Stripe's event back to the buyer's request
	return row.PaymentStatus == "failed", err
}

// applyPaid: the money is here, and some of it may have gone back since.
func (s *Service) applyPaid(ctx context.Context, tx bun.IDB, o *Order, f *facts) error {
	second := o.PaymentIntent != "" && o.PaymentIntent != f.Intent
	if !second && o.State == Cancelled {
		// Paid in the moment it was given up: it counts, unless the listing is
		// paid for by the order that took its place.
		replaced, err := tenant.Exists(ctx, tx.NewSelect().Model((*Order)(nil)).
			Where("o.listing_id = ? AND o.number > ? AND o.state IN (?)", o.ListingID, o.Number, bun.List([]OrderState{Processing, Paid})))
		if err != nil {
			return err
		}
		second = replaced
	}
	if second {
		if err := s.sendBack(ctx, tx, o, f); err != nil {
			return err
		}
	} else if o.State == Open || o.State == Processing || o.State == Cancelled {
		if err := s.markPaid(ctx, tx, o, f); err != nil {
			return err
		}
	} else if f.InvoiceURL != o.InvoiceURL || f.InvoiceNumber != o.InvoiceNumber {
		o.Invoice, o.InvoiceNumber, o.InvoiceURL = f.Invoice, f.InvoiceNumber, f.InvoiceURL
		if _, err := tx.NewUpdate().Model(o).Column("invoice", "invoice_number", "invoice_url").Where("id = ?", o.ID).Exec(ctx); err != nil {
			return err
		}
	}
	if err := s.record(ctx, tx, o, f); err != nil {
		return err
	}
	return s.applyRefunds(ctx, tx, o, f, second)
}

// markPaid ends the sale: order, entitlements, listing, receipt. f is nil for
// a free order.
func (s *Service) markPaid(ctx context.Context, tx bun.IDB, o *Order, f *facts) error {
	at := s.now()
	o.State, o.PaidAt = Paid, &at
	if f != nil {
		if f.Currency != o.Currency || f.Amount != o.Amount {
			// Our own session asked for the order's price: anything else is a mix-up to look at.
			return fault.New(fault.Internal, "order %d costs %d %s and %d %s was paid", o.Number, o.Amount, o.Currency, f.Amount, f.Currency)
		}
		o.PaymentIntent, o.Charge, o.Billing = f.Intent, f.Charge, f.Buyer
		o.Invoice, o.InvoiceNumber, o.InvoiceURL = f.Invoice, f.InvoiceNumber, f.InvoiceURL
	}
	_, err := tx.NewUpdate().Model(o).Column("state", "paid_at", "payment_intent", "charge", "billing", "invoice", "invoice_number", "invoice_url").
		Where("id = ?", o.ID).Exec(ctx)
	if err != nil {
		return err
	}
	if err := s.fulfil(ctx, tx, o); err != nil {
		return err
	}
	if f == nil {
		return nil
	}
	return s.write(ctx, tx, o, "receipt", o.ID.String(), o.Amount)
}

// applyFailed: a delayed payment did not come. The order can be paid again.
func (s *Service) applyFailed(ctx context.Context, tx bun.IDB, o *Order, f *facts) error {
	if o.State != Open && o.State != Processing {
		return nil
	}
	if o.State == Processing {
		// Another session of the order may still be on its way.
		other, err := tenant.Exists(ctx, tx.NewSelect().Model((*Session)(nil)).
			Where("cs.order_id = ? AND cs.id <> ? AND cs.state = 'complete' AND cs.payment_status = 'unpaid'", o.ID, f.Session))
		if err != nil || other {
			return err
		}
		o.State = Open
		if _, err := tx.NewUpdate().Model(o).Column("state").Where("id = ?", o.ID).Exec(ctx); err != nil {
			return err
		}
	}
	return s.write(ctx, tx, o, "payment-failed", f.Session, o.Amount)
}

// sendBack has a second payment of one order refunded by itself, once.
func (s *Service) sendBack(ctx context.Context, tx bun.IDB, o *Order, f *facts) error {
	r := &Refund{ID: tenant.NewRowID(), OrderID: o.ID, PaymentIntent: f.Intent, Amount: f.Amount, Currency: f.Currency, FeeAmount: f.Fee,
		Reason: "second payment", Kind: "duplicate", State: "asked", ActorKind: tenant.System, CreatedAt: s.now()}
	res, err := tx.NewInsert().Model(r).On("CONFLICT (tenant_id, payment_intent) WHERE kind = 'duplicate' DO NOTHING").Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	return addTask(ctx, tx, TaskRefund, r.ID.String(), refundPayload{RefundID: r.ID})
}

// applyRefunds takes over the refunds of a payment, whoever made them. When the
// order's whole payment has gone back, what it paid for ends.
func (s *Service) applyRefunds(ctx context.Context, tx bun.IDB, o *Order, f *facts, second bool) error {
	for _, r := range f.Refunds {
		if err := s.keepRefund(ctx, tx, o, f, r, second); err != nil {
			return err
		}
	}
	if second {
		if f.full() {
			return s.write(ctx, tx, o, "duplicate-refunded", f.Intent, f.Amount)
		}
		return nil
	}
	if f.AmountRefunded > o.RefundedAmount {
		o.RefundedAmount = f.AmountRefunded
		if _, err := tx.NewUpdate().Model(o).Column("refunded_amount").Where("id = ?", o.ID).Exec(ctx); err != nil {
			return err
		}
	}
	if !f.full() {
		return nil
	}
	if o.State == Paid {
		at := s.now()
		o.State, o.RefundedAt = Refunded, &at
		if _, err := tx.NewUpdate().Model(o).Column("state", "refunded_at").Where("id = ?", o.ID).Exec(ctx); err != nil {
			return err
		}
		if err := s.unfulfil(ctx, tx, o); err != nil {
			return err
		}
		if err := s.write(ctx, tx, o, "refund", o.ID.String(), f.Amount); err != nil {
			return err
		}
	}
	// A refund from Stripe's dashboard keeps the platform's fee, and on a
	// destination charge the owner's part: they go back too.
	if f.feeBack() < f.Fee || (f.Transfer != "" && f.reversed() < f.Amount) {
		return addTask(ctx, tx, TaskFeeBack, f.Charge, feeBackPayload{Session: f.Session, Account: f.Account})
	}
	return nil
}

// keepRefund writes one refund of Stripe's into its row: the one that asked for
// it, or one of its own.
func (s *Service) keepRefund(ctx context.Context, tx bun.IDB, o *Order, f *facts, r refundFact, second bool) error {
	state, done := r.Status, s.now()
	switch state {
	case "succeeded", "pending", "failed":
	case "canceled":
		state = "failed"
	default: // requires_action
		state = "pending"
	}
	take := func(where string, args ...any) (bool, error) {
		res, err := tx.NewUpdate().Model((*Refund)(nil)).Set("stripe_id = ?", r.ID).Set("state = ?", state).
			Set("done_at = CASE WHEN ? IN ('succeeded', 'failed') THEN coalesce(done_at, ?) END", state, done).
			Where(where, args...).Where("order_id = ? AND stripe_id IN ('', ?)", o.ID, r.ID).Exec(ctx)
		if err != nil {
			return false, err
		}
		n, err := res.RowsAffected()
		return n > 0, err
	}
	if r.Ours != uuid.Nil {
		if taken, err := take("id = ?", r.Ours); err != nil || taken {
			return err
		}
	}
	if second { // the row that the second payment made: there is one per payment
		if taken, err := take("kind = 'duplicate' AND payment_intent = ?", f.Intent); err != nil || taken {
			return err
		}
	}
	row := &Refund{ID: tenant.NewRowID(), OrderID: o.ID, StripeID: r.ID, PaymentIntent: f.Intent, Amount: r.Amount, Currency: f.Currency,
		Reason: r.Reason, Kind: "order", State: state, ActorKind: tenant.System, CreatedAt: r.At}
	if state != "pending" {
		row.DoneAt = &done
	}
	if row.Reason == "" {
		row.Reason = "made on Stripe's dashboard"
	}
	_, err := tx.NewInsert().Model(row).On("CONFLICT (tenant_id, stripe_id) WHERE stripe_id <> '' DO UPDATE").
		Set("state = EXCLUDED.state").Set("done_at = coalesce(r.done_at, EXCLUDED.done_at)").Exec(ctx)
	return err
}

// write queues a mail about an order to its buyer, once per kind and key.
func (s *Service) write(ctx context.Context, tx bun.IDB, o *Order, kind, key string, amount int64) error {
	board := tenant.From(ctx)
	title, locale, err := s.readerOf(ctx, tx, o.ListingID)
	if err != nil {
		return err
	}
	if locale == "" {
		locale = board.Locale
	}
	data := mail.Data{"Number": o.Number, "Title": title, "Product": o.Product.Name, "Amount": money.Format(amount, o.Currency, locale),
		"Invoice": o.InvoiceNumber}
	m := mail.Message{Kind: kind, Key: key, To: o.Email, Locale: locale, Data: data, URL: s.links.Board(board, "/employers/listings/"+o.ListingID.String())}
	if kind == "receipt" {
		url, lives, err := s.desk(ctx, tx, o.Email)
		if err != nil {
			return err
		}
		m.URL, m.LinkURL, data["Days"] = url, o.InvoiceURL, int(lives.Hours()/24)
	}
	return mail.Queue(ctx, tx, m)
}
