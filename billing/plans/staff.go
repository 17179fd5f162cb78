package plans

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/stripe/stripe-go/v76"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/billing"
	"shingle/internal/fault"
	"shingle/tenant"
)

// act changes a board's row for staff, takes what follows from it at once, and
// writes the line of the audit log in the same transaction.
func (s *Service) act(ctx context.Context, board tenant.ID, name string, detail map[string]any, fn func(ctx context.Context, tx bun.IDB, b *Board) error) error {
	return s.change(ctx, board, func(ctx context.Context, tx bun.IDB, b *Board) error {
		if err := fn(ctx, tx, b); err != nil {
			return err
		}
		if err := s.settle(ctx, tx, b, s.now()); err != nil {
			return err
		}
		return authz.RecordOnBoard(ctx, tx, board, authz.Act{Act: name, ObjectKind: "board", ObjectID: board.String(), Detail: detail})
	})
}

// Assign puts a board without a subscription on a plan, or begins its trial when
// it has none. It opens a transaction. Kinds: fault.NotFound, fault.Conflict for
// a board that pays: its price is changed by Change.
func (s *Service) Assign(ctx context.Context, board tenant.ID, plan uuid.UUID) error {
	err := s.act(ctx, board, "plan.assigned", map[string]any{"plan": plan.String()}, func(ctx context.Context, tx bun.IDB, b *Board) error {
		if b.Subscribed() {
			return fault.New(fault.Conflict, "plan.subscribed")
		}
		p, err := s.Plan(ctx, tx, plan)
		if err != nil {
			return err
		}
		b.PlanID = p.ID
		return setFee(ctx, tx, board, p)
	})
	if !fault.Is(err, fault.NotFound) {
		return err
	}
	return s.platform.Write(tenant.With(ctx, nil), func(ctx context.Context, tx bun.IDB) error {
		p, err := s.Plan(ctx, tx, plan)
		if err != nil {
			return err
		}
		if err := s.begin(ctx, tx, board, p); err != nil {
			return err
		}
		return authz.RecordOnBoard(ctx, tx, board, authz.Act{Act: "plan.assigned", ObjectKind: "board", ObjectID: board.String(), Detail: map[string]any{"plan": plan.String()}})
	})
}

// Comp gives a board its plan for nothing, until a day or for good: it leaves the
// ladder at once. A subscription that lives ends with what is paid. It opens
// transactions and may call Stripe. Kinds: fault.Invalid by field, fault.NotFound,
// fault.Unavailable.
func (s *Service) Comp(ctx context.Context, board tenant.ID, reason string, until *time.Time) error {
	f := fault.Fields{}
	if reason = strings.TrimSpace(reason); reason == "" {
		f["comp_reason"] = "plan.comp.reason"
	}
	if until != nil && !until.After(s.now()) {
		f["comp_until"] = "plan.comp.past"
	}
	if err := fault.Invalids(f); err != nil {
		return err
	}
	b, err := s.subscribed(tenant.With(ctx, nil), board)
	if err == nil && !b.CancelAtPeriodEnd {
		_, err = s.Cancel(ctx, board)
	}
	if err != nil && !fault.Is(err, fault.Conflict) {
		return err
	}
	return s.act(ctx, board, "plan.comped", map[string]any{"until": until}, func(_ context.Context, _ bun.IDB, b *Board) error {
		b.State, b.CompReason, b.CompUntil, b.UnpaidSince = Comped, reason, until, nil
		return nil
	})
}

// EndComp takes the gift back: the board has its ladder's first days to choose a
// plan. Kinds: fault.NotFound, fault.Conflict for a board that is not comped.
func (s *Service) EndComp(ctx context.Context, board tenant.ID) error {
	err := s.act(ctx, board, "plan.comp_ended", nil, func(_ context.Context, _ bun.IDB, b *Board) error {
		if b.State != Comped {
			return fault.New(fault.Conflict, "plan.not_comped")
		}
		now := s.now()
		b.State, b.CompReason, b.CompUntil, b.UnpaidSince = Ended, "", nil, &now
		return nil
	})
	if err != nil {
		return err
	}
	_, err = s.Sync(ctx, board) // a subscription that still lives counts again
	return err
}

// maxTrial is the longest that a trial may last from now.
const maxTrial = 366 * day

// ExtendTrial gives a board more time to try: from its trial's end, or from now
// when that is over, which takes it off the ladder. It opens transactions and
// may call Stripe. Kinds: fault.Invalid by field, fault.Conflict for a board
// that pays, fault.NotFound, fault.Unavailable.
func (s *Service) ExtendTrial(ctx context.Context, board tenant.ID, days int) error {
	if days < 1 || days > 365 {
		return fault.Invalids(fault.Fields{"days": "plan.days.form"})
	}
	ctx = tenant.With(ctx, nil)
	var b *Board
	err := s.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		b, err = s.BoardOf(ctx, tx, board)
		return err
	})
	if err != nil {
		return err
	}
	until := s.now()
	if b.State == Trial && b.TrialEndsAt != nil && b.TrialEndsAt.After(until) {
		until = *b.TrialEndsAt
	}
	until = until.Add(time.Duration(days) * day).Truncate(time.Second)
	switch {
	case until.Sub(s.now()) > maxTrial:
		return fault.Invalids(fault.Fields{"days": "plan.days.form"})
	case b.Subscribed() && b.State == Trial:
		_, err := s.stripe.Subscriptions.Update(b.Subscription, &stripe.SubscriptionParams{Params: billing.Call(ctx, "board:"+board.String()+":trial:"+until.Format(time.RFC3339)),
			TrialEnd: stripe.Int64(until.Unix()), ProrationBehavior: stripe.String("none")})
		if err != nil {
			return billing.StripeFault(err, "extending the trial")
		}
	case b.State != Trial && b.State != Ended:
		return fault.New(fault.Conflict, "plan.no_trial")
	}
	err = s.act(ctx, board, "plan.trial_extended", map[string]any{"days": days, "until": until.Format(time.DateOnly)}, func(_ context.Context, _ bun.IDB, b *Board) error {
		b.State, b.TrialEndsAt, b.UnpaidSince = Trial, &until, nil
		return nil
	})
	return err
}

// Credit gives a board money towards its next invoices: amount is in minor units
// of the plan's currency. once makes a form that is sent twice one credit. It
// opens transactions and calls Stripe. Kinds: fault.Invalid by field,
// fault.NotFound, fault.Unavailable.
func (s *Service) Credit(ctx context.Context, board tenant.ID, amount int64, currency, reason string, once uuid.UUID) error {
	f := fault.Fields{}
	if amount < 1 || amount > 99_999_999 {
		f["credit"] = "plan.credit.form"
	}
	if reason = strings.TrimSpace(reason); reason == "" {
		f["credit_reason"] = "plan.comp.reason"
	}
	if once == uuid.Nil {
		f["form"] = "plan.credit.form"
	}
	if err := fault.Invalids(f); err != nil {
		return err
	}
	ctx = tenant.With(ctx, nil)
	var b *Board
	err := s.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		b, err = s.BoardOf(ctx, tx, board)
		return err
	})
	if err != nil {
		return err
	}
	customer, err := s.customer(ctx, b)
	if err != nil {
		return err
	}
	// Stripe's balance is what a customer owes: a credit is negative.
	_, err = s.stripe.CustomerBalanceTransactions.New(&stripe.CustomerBalanceTransactionParams{Params: billing.Call(ctx, "board:"+board.String()+":credit:"+once.String()),
		Customer: stripe.String(customer), Amount: stripe.Int64(-amount), Currency: stripe.String(lower(currency)), Description: stripe.String(reason)})
	if err != nil {
		return billing.StripeFault(err, "giving the credit")
	}
	return s.act(ctx, board, "plan.credited", map[string]any{"amount": amount, "currency": currency, "once": once.String()}, func(context.Context, bun.IDB, *Board) error { return nil })
}

// ChangeTo moves a board that pays to another plan for staff: at the price of
// that plan in the board's currency and rhythm, by Change. Kinds as of Change.
func (s *Service) ChangeTo(ctx context.Context, board tenant.ID, plan uuid.UUID) error {
	var q *Price
	err := s.platform.Read(tenant.With(ctx, nil), func(ctx context.Context, tx bun.IDB) error {
		b, err := s.BoardOf(ctx, tx, board)
		if err != nil {
			return err
		}
		p, err := s.Plan(ctx, tx, plan)
		if err != nil {
			return err
		}
		if q = p.Price(b.Every, b.Currency); q == nil {
			return fault.New(fault.Conflict, "plan.not_offered")
		}
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := s.Change(ctx, board, q.ID, time.Time{}); err != nil {
		return err
	}
	return s.platform.Write(tenant.With(ctx, nil), func(ctx context.Context, tx bun.IDB) error {
		return authz.RecordOnBoard(ctx, tx, board, authz.Act{Act: "plan.changed", ObjectKind: "board", ObjectID: board.String(), Detail: map[string]any{"plan": plan.String()}})
	})
}
