package plans

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/stripe/stripe-go/v76"
	"github.com/uptrace/bun"

	"shingle/billing"
	"shingle/internal/fault"
	"shingle/tenant"
)

func lower(s string) string { return strings.ToLower(s) }

func upper(s string) string { return strings.ToUpper(s) }

// Preview is what a change of plan would do.
type Preview struct {
	From, To *Price
	// Now is true for an upgrade, which holds at once; else At is when it comes.
	Now bool
	At  time.Time
	// Lines are the proration of an upgrade; Due is what is collected at once,
	// in minor units of Currency (negative: it stays as credit).
	Lines    []Line
	Due      int64
	Currency string
	// When is the moment the proration was computed for; Change must be given it.
	When time.Time
}

// Line is a line of an invoice, in minor units.
type Line struct {
	Text      string `json:"text"`
	Amount    int64  `json:"amount"`
	Proration bool   `json:"proration,omitempty"`
}

// upgrade: paying more by the month, or the same plan by the year for the first
// time, holds at once; everything else waits for the end of what is paid.
func upgrade(from, to *Price) bool {
	if from.PlanID == to.PlanID {
		return from.Every == Month && to.Every == Year
	}
	return to.Monthly() > from.Monthly()
}

// Preview says what a change to a price would cost, asked of Stripe. Kinds:
// fault.NotFound, fault.Conflict without a subscription, for the price that it
// has, in another currency, or for a plan that is not offered; fault.Unavailable.
func (s *Service) Preview(ctx context.Context, board tenant.ID, priceID uuid.UUID) (*Preview, error) {
	ctx = tenant.With(ctx, nil)
	b, to, from, err := s.changing(ctx, board, priceID)
	if err != nil {
		return nil, err
	}
	// Stripe counts in seconds.
	v := &Preview{From: from, To: to, Now: upgrade(from, to) || b.State == Trial, Currency: to.Currency, When: s.now().Truncate(time.Second)}
	if !v.Now {
		if b.PeriodEnd != nil {
			v.At = *b.PeriodEnd
		}
		return v, nil
	}
	at, err := s.stripePrice(ctx, to)
	if err != nil {
		return nil, err
	}
	p := &stripe.InvoiceUpcomingParams{Params: billing.Call(ctx, ""), Customer: stripe.String(b.Customer), Subscription: stripe.String(b.Subscription),
		SubscriptionItems:             []*stripe.SubscriptionItemsParams{{ID: stripe.String(b.Item), Price: stripe.String(at)}},
		SubscriptionProrationBehavior: stripe.String("always_invoice"), SubscriptionProrationDate: stripe.Int64(v.When.Unix())}
	if b.State == Trial {
		p.SubscriptionProrationDate, p.SubscriptionProrationBehavior = nil, stripe.String("none")
	}
	in, err := s.stripe.Invoices.Upcoming(p)
	if err != nil {
		return nil, billing.StripeFault(err, "asking what the change costs")
	}
	if b.State == Trial { // nothing is paid before its end
		if b.TrialEndsAt != nil {
			v.At = *b.TrialEndsAt
		}
		return v, nil
	}
	v.Due = in.AmountDue
	for _, l := range in.Lines.Data {
		v.Lines = append(v.Lines, Line{Text: l.Description, Amount: l.Amount, Proration: l.Proration})
	}
	return v, nil
}

func (s *Service) changing(ctx context.Context, board tenant.ID, priceID uuid.UUID) (b *Board, to, from *Price, err error) {
	if b, to, err = s.choice(ctx, board, priceID); err != nil {
		return nil, nil, nil, err
	}
	if !b.Subscribed() || b.PriceID == nil {
		return nil, nil, nil, fault.New(fault.Conflict, "plan.not_subscribed")
	}
	err = s.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		from, err = price(ctx, tx, "id = ?", *b.PriceID)
		return err
	})
	switch {
	case err != nil:
	case from.ID == to.ID:
		err = fault.New(fault.Conflict, "plan.same")
	case from.Currency != to.Currency:
		err = fault.New(fault.Conflict, "plan.currency")
	case b.State == PastDue:
		err = fault.New(fault.Conflict, "plan.pay_first")
	}
	return b, to, from, err
}

// Change moves a subscription to another price: an upgrade at once, with what it
// costs collected now, everything else at the end of what is paid. A card that
// is refused leaves the subscription as it was. when is the moment of the
// Preview that was agreed to; zero is now.
//
// Kinds as of Preview; fault.Conflict "plan.declined" for a refused card.
func (s *Service) Change(ctx context.Context, board tenant.ID, priceID uuid.UUID, when time.Time) (*Board, error) {
	ctx = tenant.With(ctx, nil)
	b, to, from, err := s.changing(ctx, board, priceID)
	if err != nil {
		return nil, err
	}
	at, err := s.stripePrice(ctx, to)
	if err != nil {
		return nil, err
	}
	if b.Schedule != "" || b.CancelAtPeriodEnd {
		if b, err = s.Undo(ctx, board); err != nil {
			return nil, err
		}
	}
	if !upgrade(from, to) && b.State != Trial {
		return s.changeLater(ctx, b, from, at)
	}
	p := &stripe.SubscriptionParams{Items: []*stripe.SubscriptionItemsParams{{ID: stripe.String(b.Item), Price: stripe.String(at)}},
		ProrationBehavior: stripe.String("always_invoice"), PaymentBehavior: stripe.String("error_if_incomplete")}
	if b.State == Trial {
		p.ProrationBehavior = stripe.String("none")
	} else if d := s.now().Sub(when); !when.IsZero() && d >= 0 && d < time.Hour {
		p.ProrationDate = stripe.Int64(when.Unix())
	}
	p.Params = billing.Call(ctx, fmt.Sprintf("board:%s:change:%s:%d:%d", board, to.ID, b.Revision, stripe.Int64Value(p.ProrationDate)))
	if _, err := s.stripe.Subscriptions.Update(b.Subscription, p); err != nil {
		err = billing.StripeFault(err, "changing the subscription")
		if fault.Is(err, fault.Conflict) {
			err = fault.Wrap(err, fault.Conflict, "plan.declined")
		}
		return nil, err
	}
	return s.Sync(ctx, board)
}

// changeLater puts the change behind the paid period, by a schedule of two phases.
func (s *Service) changeLater(ctx context.Context, b *Board, from *Price, to string) (*Board, error) {
	key := fmt.Sprintf("board:%s:schedule:%d", b.TenantID, b.Revision)
	made, err := s.stripe.SubscriptionSchedules.New(&stripe.SubscriptionScheduleParams{Params: billing.Call(ctx, key), FromSubscription: stripe.String(b.Subscription)})
	if err != nil {
		return nil, billing.StripeFault(err, "planning the change")
	}
	_, err = s.stripe.SubscriptionSchedules.Update(made.ID, &stripe.SubscriptionScheduleParams{Params: billing.Call(ctx, key+":"+to), EndBehavior: stripe.String("release"),
		Phases: []*stripe.SubscriptionSchedulePhaseParams{
			{Items: []*stripe.SubscriptionSchedulePhaseItemParams{{Price: stripe.String(from.StripePrice), Quantity: stripe.Int64(1)}},
				StartDate: stripe.Int64(b.PeriodStart.Unix()), EndDate: stripe.Int64(b.PeriodEnd.Unix()), ProrationBehavior: stripe.String("none")},
			{Items: []*stripe.SubscriptionSchedulePhaseItemParams{{Price: stripe.String(to), Quantity: stripe.Int64(1)}}, Iterations: stripe.Int64(1), ProrationBehavior: stripe.String("none")},
		}})
	if err != nil {
		// Half a plan would hold the subscription: let go of it.
		_, _ = s.stripe.SubscriptionSchedules.Release(made.ID, &stripe.SubscriptionScheduleReleaseParams{Params: billing.Call(ctx, "")})
		return nil, billing.StripeFault(err, "planning the change")
	}
	return s.Sync(ctx, b.TenantID)
}

// Cancel ends the subscription with the period that is paid. Kinds:
// fault.Conflict without a subscription, fault.NotFound, fault.Unavailable.
func (s *Service) Cancel(ctx context.Context, board tenant.ID) (*Board, error) {
	ctx = tenant.With(ctx, nil)
	b, err := s.subscribed(ctx, board)
	if err != nil {
		return nil, err
	}
	if b.Schedule != "" {
		if b, err = s.Undo(ctx, board); err != nil {
			return nil, err
		}
	}
	return s.cancelAtEnd(ctx, b, true)
}

// Undo takes back what was planned for the period's end: a change or the
// cancellation. Nothing planned is no error.
func (s *Service) Undo(ctx context.Context, board tenant.ID) (*Board, error) {
	ctx = tenant.With(ctx, nil)
	b, err := s.subscribed(ctx, board)
	if err != nil {
		return nil, err
	}
	if b.Schedule != "" {
		_, err := s.stripe.SubscriptionSchedules.Release(b.Schedule, &stripe.SubscriptionScheduleReleaseParams{Params: billing.Call(ctx, "")})
		if err = billing.StripeFault(err, "taking the change back"); err != nil && !fault.Is(err, fault.Conflict) {
			return nil, err
		}
	}
	if b.CancelAtPeriodEnd {
		return s.cancelAtEnd(ctx, b, false)
	}
	return s.Sync(ctx, board)
}

func (s *Service) cancelAtEnd(ctx context.Context, b *Board, yes bool) (*Board, error) {
	_, err := s.stripe.Subscriptions.Update(b.Subscription, &stripe.SubscriptionParams{Params: billing.Call(ctx, fmt.Sprintf("board:%s:cancel:%t:%d", b.TenantID, yes, b.Revision)), CancelAtPeriodEnd: stripe.Bool(yes)})
	if err != nil {
		return nil, billing.StripeFault(err, "cancelling the subscription")
	}
	return s.Sync(ctx, b.TenantID)
}

func (s *Service) subscribed(ctx context.Context, board tenant.ID) (*Board, error) {
	var b *Board
	err := s.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		b, err = s.BoardOf(ctx, tx, board)
		return err
	})
	if err == nil && !b.Subscribed() {
		err = fault.New(fault.Conflict, "plan.not_subscribed")
	}
	return b, err
}
