package plans

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/uptrace/bun"

	"shingle/billing"
	"shingle/internal/fault"
	"shingle/tenant"
)

// facts are what Stripe says of a board's customer at one moment.
type facts struct {
	sub      *stripe.Subscription // the one that counts; nil when there never was one
	invoices []*stripe.Invoice
}

// maxSync bounds how often Stripe is asked again because somebody else wrote
// meanwhile.
const maxSync = 6

// Sync asks Stripe how the board's subscription and invoices stand and brings
// the board's row to it. Every event, every return from a page of Stripe's and
// every act ends here, so that neither their order nor their number matters: a
// row that moved since Stripe was asked makes it ask again.
//
// It opens transactions. Kinds: fault.NotFound without a plan, fault.Unavailable.
func (s *Service) Sync(ctx context.Context, board tenant.ID) (*Board, error) {
	ctx = tenant.With(ctx, nil)
	for range maxSync {
		var b *Board
		err := s.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
			b, err = s.BoardOf(ctx, tx, board)
			return err
		})
		if err != nil || b.Customer == "" {
			return b, err
		}
		f, err := s.fetch(ctx, b.Customer)
		if err != nil {
			return nil, err
		}
		stale := false
		var out *Board
		err = s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
			if out, err = readBoard(ctx, tx, board, "FOR UPDATE"); err != nil {
				return err
			}
			if stale = out.Revision != b.Revision; stale {
				return nil
			}
			return s.apply(ctx, tx, out, f)
		})
		if err != nil || !stale {
			return out, err
		}
	}
	return nil, fault.New(fault.Unavailable, "the plan of this board changes too often at this moment")
}

func (s *Service) fetch(ctx context.Context, customer string) (*facts, error) {
	f := &facts{}
	subs := &stripe.SubscriptionListParams{Customer: stripe.String(customer), Status: stripe.String("all")}
	subs.Context, subs.Limit, subs.Single = ctx, stripe.Int64(20), true
	subs.AddExpand("data.schedule")
	it := s.stripe.Subscriptions.List(subs)
	for it.Next() {
		if sub := it.Subscription(); f.sub == nil || rank(sub) > rank(f.sub) { // newest first
			f.sub = sub
		}
	}
	if err := it.Err(); err != nil {
		return nil, billing.StripeFault(err, "asking for the subscription")
	}
	list := &stripe.InvoiceListParams{Customer: stripe.String(customer)}
	list.Context, list.Limit, list.Single = ctx, stripe.Int64(50), true
	ins := s.stripe.Invoices.List(list)
	for ins.Next() {
		f.invoices = append(f.invoices, ins.Invoice())
	}
	return f, billing.StripeFault(ins.Err(), "asking for the invoices")
}

// rank puts a subscription that lives before one that never began or is over.
func rank(sub *stripe.Subscription) int {
	switch sub.Status {
	case stripe.SubscriptionStatusIncompleteExpired:
		return 0
	case stripe.SubscriptionStatusIncomplete:
		return 1
	case stripe.SubscriptionStatusCanceled:
		return 2
	}
	return 3
}

func unix(sec int64) *time.Time {
	if sec == 0 {
		return nil
	}
	t := time.Unix(sec, 0).UTC()
	return &t
}

// apply brings a locked row to the facts. Again with the same facts it changes
// nothing and mails nothing.
func (s *Service) apply(ctx context.Context, tx bun.IDB, b *Board, f *facts) error {
	now, before := s.now(), *b
	failed, err := s.applyInvoices(ctx, tx, b, f.invoices)
	if err != nil {
		return err
	}
	if f.sub != nil && rank(f.sub) > 1 {
		if err := s.applySubscription(ctx, tx, b, f); err != nil {
			return err
		}
	}
	if err := s.settle(ctx, tx, b, now); err != nil {
		return err
	}
	if err := s.tellFailed(ctx, tx, b, failed); err != nil {
		return err
	}
	// Saved even when nothing changed: who asked Stripe before us must ask again.
	unchanged := same(&before, b)
	if err := b.save(ctx, tx, now); err != nil || unchanged {
		return err
	}
	return s.tellChange(ctx, tx, &before, b)
}

// same compares two rows by what they say, not by where their times are kept.
func same(a, b *Board) bool { return mustJSON(a) == mustJSON(b) }

func (s *Service) applySubscription(ctx context.Context, tx bun.IDB, b *Board, f *facts) error {
	sub := f.sub
	live := rank(sub) == 3
	b.Subscription, b.Item, b.CancelAtPeriodEnd, b.Schedule, b.NextPriceID = "", "", false, "", nil
	b.PeriodStart, b.PeriodEnd = unix(sub.CurrentPeriodStart), unix(sub.CurrentPeriodEnd)
	if live {
		b.Subscription, b.CancelAtPeriodEnd, b.Checkout = sub.ID, sub.CancelAtPeriodEnd, ""
	}
	if sub.Items != nil && len(sub.Items.Data) > 0 && live {
		item := sub.Items.Data[0]
		b.Item = item.ID
		q, err := price(ctx, tx, "stripe_price = ?", item.Price.ID)
		if fault.Is(err, fault.NotFound) {
			// Made on Stripe's dashboard: what is paid is true, the plan stays.
			b.PriceID, b.Every, b.Amount, b.Currency = nil, "", item.Price.UnitAmount, upper(string(item.Price.Currency))
			if item.Price.Recurring != nil {
				b.Every = every(string(item.Price.Recurring.Interval))
			}
		} else if err != nil {
			return err
		} else if err := s.applyPrice(ctx, tx, b, q); err != nil {
			return err
		}
	}
	if !live {
		b.PriceID, b.Every, b.Amount = nil, "", 0
	}
	if sc := sub.Schedule; live && sc != nil && sc.ReleasedAt == 0 && sc.CanceledAt == 0 && sc.CompletedAt == 0 {
		b.Schedule = sc.ID // it holds the subscription until it is released
		if next := nextPrice(sc, s.now()); next != "" {
			q, err := price(ctx, tx, "stripe_price = ?", next)
			if err != nil && !fault.Is(err, fault.NotFound) {
				return err
			}
			if err == nil && (b.PriceID == nil || q.ID != *b.PriceID) {
				b.NextPriceID = &q.ID
			}
		}
	}
	if b.State == Comped {
		return nil // staff's gift stands whatever Stripe collects
	}
	b.UnpaidSince = nil
	switch sub.Status {
	case stripe.SubscriptionStatusTrialing:
		b.State, b.TrialEndsAt = Trial, unix(sub.TrialEnd)
	case stripe.SubscriptionStatusActive:
		b.State = Active
	case stripe.SubscriptionStatusCanceled:
		if b.TrialEndsAt != nil && b.TrialEndsAt.After(s.now()) && before(b.TrialEndsAt, sub.EndedAt) {
			b.State = Trial // what was promised at sign-up stays
			break
		}
		b.State, b.UnpaidSince = Ended, unix(sub.EndedAt)
		if since := owedSince(f.invoices); since != nil && since.Before(*b.UnpaidSince) {
			b.UnpaidSince = since // cancelled because it was not paid
		}
	default: // past_due, unpaid, paused
		b.State, b.UnpaidSince = PastDue, owedSince(f.invoices)
		if b.UnpaidSince == nil {
			b.UnpaidSince = b.PeriodStart
		}
	}
	return nil
}

func before(t *time.Time, sec int64) bool { return sec != 0 && t.After(time.Unix(sec, 0)) }

// applyPrice is the plan by what is paid for: a new plan brings its fee rule.
func (s *Service) applyPrice(ctx context.Context, tx bun.IDB, b *Board, q *Price) error {
	b.PriceID, b.Every, b.Amount, b.Currency = &q.ID, q.Every, q.Amount, q.Currency
	if q.PlanID == b.PlanID {
		return nil
	}
	p, err := s.Plan(ctx, tx, q.PlanID)
	if err != nil {
		return err
	}
	b.PlanID = p.ID
	return setFee(ctx, tx, b.TenantID, p)
}

func every(interval string) string {
	if interval == Month || interval == Year {
		return interval
	}
	return ""
}

// nextPrice is the price of the phase after the present one.
func nextPrice(sc *stripe.SubscriptionSchedule, now time.Time) string {
	for _, ph := range sc.Phases {
		if ph.StartDate > now.Unix() && len(ph.Items) > 0 && ph.Items[0].Price != nil {
			return ph.Items[0].Price.ID
		}
	}
	return ""
}

// owedSince is when the oldest invoice that could not be collected was made.
func owedSince(invoices []*stripe.Invoice) *time.Time {
	var since *time.Time
	for _, in := range invoices {
		if owed(in) {
			if t := unix(in.Created); since == nil || t.Before(*since) {
				since = t
			}
		}
	}
	return since
}

func owed(in *stripe.Invoice) bool {
	return in.Status == stripe.InvoiceStatusOpen && in.Attempted && in.AmountRemaining > 0
}

// Invoice is one bill of the platform to a board, in minor units.
type Invoice struct {
	ID          string     `bun:"id"`
	Number      string     `bun:"number"`
	State       string     `bun:"state"` // Stripe's: draft, open, paid, uncollectible, void
	Amount      int64      `bun:"amount"`
	Paid        int64      `bun:"paid"`
	Currency    string     `bun:"currency"`
	Lines       []Line     `bun:"lines,type:jsonb"`
	URL         string     `bun:"url"` // Stripe's page, where an open one is paid
	PDF         string     `bun:"pdf"`
	Attempts    int        `bun:"attempts"`
	NextAttempt *time.Time `bun:"next_attempt"`
	CreatedAt   time.Time  `bun:"created_at"`
	PaidAt      *time.Time `bun:"paid_at"`
}

// Open reports an invoice that waits to be paid.
func (in *Invoice) Open() bool { return in.State == "open" }

// Invoices lists a board's bills, newest first, in the board's own transaction
// or a platform one.
func (s *Service) Invoices(ctx context.Context, tx bun.IDB, board tenant.ID, limit int) ([]Invoice, error) {
	var out []Invoice
	err := tx.NewRaw(`SELECT id, number, state, amount, paid, currency, lines, url, pdf, attempts, next_attempt, created_at, paid_at FROM plan_invoices
		WHERE tenant_id = ? ORDER BY created_at DESC, id LIMIT ?`, board, limit).Scan(ctx, &out)
	return out, err
}

// applyInvoices keeps the bills, and says which failed since they were last seen.
func (s *Service) applyInvoices(ctx context.Context, tx bun.IDB, b *Board, invoices []*stripe.Invoice) (failed []Invoice, err error) {
	for _, in := range invoices {
		if in.Status == stripe.InvoiceStatusDraft {
			continue
		}
		v := Invoice{ID: in.ID, Number: in.Number, State: string(in.Status), Amount: in.Total, Paid: in.AmountPaid, Currency: upper(string(in.Currency)), Lines: []Line{},
			URL: in.HostedInvoiceURL, PDF: in.InvoicePDF, Attempts: int(in.AttemptCount), NextAttempt: unix(in.NextPaymentAttempt), CreatedAt: time.Unix(in.Created, 0).UTC()}
		if in.StatusTransitions != nil {
			v.PaidAt = unix(in.StatusTransitions.PaidAt)
		}
		if in.Lines != nil {
			for _, l := range in.Lines.Data {
				v.Lines = append(v.Lines, Line{Text: l.Description, Amount: l.Amount, Proration: l.Proration})
			}
		}
		seen := -1
		err := tx.NewRaw(`SELECT attempts FROM plan_invoices WHERE tenant_id = ? AND id = ?`, b.TenantID, v.ID).Scan(ctx, &seen)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, err
		}
		if owed(in) && v.Attempts > max(seen, 0) {
			failed = append(failed, v)
		}
		_, err = tx.NewRaw(`INSERT INTO plan_invoices AS i (tenant_id, id, number, state, amount, paid, currency, lines, url, pdf, attempts, next_attempt, created_at, paid_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?::jsonb, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (tenant_id, id) DO UPDATE SET number = excluded.number, state = excluded.state, amount = excluded.amount, paid = excluded.paid, lines = excluded.lines,
				url = excluded.url, pdf = excluded.pdf, attempts = excluded.attempts, next_attempt = excluded.next_attempt, paid_at = excluded.paid_at`,
			b.TenantID, v.ID, v.Number, v.State, v.Amount, v.Paid, v.Currency, mustJSON(v.Lines), v.URL, v.PDF, v.Attempts, v.NextAttempt, v.CreatedAt, v.PaidAt).Exec(ctx)
		if err != nil {
			return nil, err
		}
	}
	return failed, nil
}

// Hook is how billing's inbox hands over the events that are about plans.
func (s *Service) Hook() *billing.PlanHook {
	return &billing.PlanHook{
		Board: func(ctx context.Context, tx bun.IDB, customer string) (tenant.ID, error) {
			var ids []tenant.ID
			if err := tx.NewRaw(`SELECT tenant_id FROM board_plans WHERE customer = ?`, customer).Scan(ctx, &ids); err != nil || len(ids) == 0 {
				return tenant.Nil, err
			}
			return ids[0], nil
		},
		Apply: func(ctx context.Context) error {
			id, err := tenant.IDFrom(ctx)
			if err != nil {
				return err
			}
			_, err = s.Sync(ctx, id)
			return err
		},
	}
}
