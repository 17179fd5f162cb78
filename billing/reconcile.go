package billing

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/stripe/stripe-go/v76"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tasks"
	"shingle/tenant"
)

// Problems that a reconciliation finds.
const (
	MissingHere   = "missing_here"   // Stripe has it, the ledger lacks it
	MissingStripe = "missing_stripe" // the ledger has it, Stripe does not
	Differs       = "differs"        // both have it, with other amounts
)

// Difference is one movement on which the ledger and Stripe disagree. Ours and
// Theirs are the change of the owner's balance, in minor units.
type Difference struct {
	StripeID string    `json:"stripe_id"`
	Problem  string    `json:"problem"`
	Ours     int64     `json:"ours"`
	Theirs   int64     `json:"theirs"`
	Currency string    `json:"currency"`
	OrderID  uuid.UUID `json:"order_id"`
}

// Reconciliation is one comparison of the board's ledger with Stripe.
type Reconciliation struct {
	bun.BaseModel `bun:"table:reconciliations,alias:rc"`
	tenant.Scoped

	ID          uuid.UUID    `bun:"id,pk,type:uuid"`
	Since       time.Time    `bun:"since"`
	Until       time.Time    `bun:"until"`
	Matched     int          `bun:"matched"`
	Differences []Difference `bun:"differences,type:jsonb"`
	At          time.Time    `bun:"at"`
}

// Reconciliations lists the board's comparisons, newest first.
func (s *Service) Reconciliations(ctx context.Context, tx bun.IDB, limit int) ([]Reconciliation, error) {
	var out []Reconciliation
	err := tx.NewSelect().Model(&out).Order("rc.at DESC").Limit(min(max(int64(limit), 1), 200)).Scan(ctx)
	return out, err
}

// lookBack is how far a nightly comparison goes; the last hour is left out,
// since its events may still be on their way.
const lookBack = 8 * 24 * time.Hour

// reconcileTask gives every board that has an account its comparison.
func (s *Service) reconcileTask(ctx context.Context, t *tasks.Task) error {
	return s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := t.Finish(ctx, tx); err != nil {
			return err
		}
		var boards []tenant.ID
		if err := tx.NewRaw(`SELECT tenant_id FROM stripe_accounts ORDER BY tenant_id`).Scan(ctx, &boards); err != nil {
			return err
		}
		for _, b := range boards {
			if err := tasks.Add(ctx, tx, tasks.New{Tenant: b, Kind: TaskReconcileBoard, Queue: tasks.Bulk, Key: "nightly"}); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Service) reconcileBoardTask(ctx context.Context, t *tasks.Task) error {
	until := s.now().Add(-time.Hour)
	r, err := s.compare(ctx, until.Add(-lookBack), until)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := t.Finish(ctx, tx); err != nil {
			return err
		}
		_, err := tx.NewInsert().Model(r).Exec(ctx)
		return err
	})
}

// Reconcile compares the board's ledger over [since, until) with Stripe and
// keeps what it found. It opens transactions of its own. Kinds: fault.NotFound
// without an account, fault.Unavailable.
func (s *Service) Reconcile(ctx context.Context, since, until time.Time) (*Reconciliation, error) {
	r, err := s.compare(ctx, since, until)
	if err != nil {
		return nil, err
	}
	return r, s.db.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewInsert().Model(r).Exec(ctx)
		return err
	})
}

// side is one movement as one of the two sides has it.
type side struct {
	amount   int64
	currency string
	order    uuid.UUID
}

// compare looks at both sides. Direct: the balance transactions of the owner's
// account, leaving out what he sells elsewhere. Destination: each sale of the
// span is asked for, since the platform's balance holds every board's.
func (s *Service) compare(ctx context.Context, since, until time.Time) (*Reconciliation, error) {
	r := &Reconciliation{ID: tenant.NewRowID(), Since: since, Until: until, Differences: []Difference{}, At: s.now()}
	var a *Account
	ours := map[string]side{}
	sales := map[string]string{} // charge to session
	err := s.db.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		if a, err = s.Account(ctx, tx); err != nil {
			return err
		}
		if ours, err = s.ownerSide(ctx, tx, since, until); err != nil {
			return err
		}
		var rows []struct {
			Charge  string `bun:"charge"`
			Session string `bun:"session"`
		}
		err = tx.NewSelect().Model((*Order)(nil)).ColumnExpr("o.charge, cs.id AS session").
			Join("JOIN checkout_sessions AS cs ON cs.tenant_id = o.tenant_id AND cs.order_id = o.id AND cs.payment_intent = o.payment_intent").
			Where("o.charge <> ''").Where("o.charge_mode = ?", a.Mode()).Where("o.paid_at >= ?", since).Where("o.paid_at < ?", until).Scan(ctx, &rows)
		for _, row := range rows {
			sales[row.Charge] = row.Session
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var theirs map[string]side
	if a.Mode() == Direct {
		theirs, err = s.balanceSide(ctx, a.Account, since, until)
	} else {
		theirs, err = s.salesSide(ctx, sales, since, until)
	}
	if err != nil {
		return nil, err
	}
	for id, t := range theirs {
		o, known := ours[id]
		switch {
		case !known:
			r.Differences = append(r.Differences, Difference{StripeID: id, Problem: MissingHere, Theirs: t.amount, Currency: t.currency, OrderID: t.order})
		case o.amount != t.amount || o.currency != t.currency:
			r.Differences = append(r.Differences, Difference{StripeID: id, Problem: Differs, Ours: o.amount, Theirs: t.amount, Currency: o.currency, OrderID: o.order})
		default:
			r.Matched++
		}
	}
	for id, o := range ours {
		if _, known := theirs[id]; !known {
			r.Differences = append(r.Differences, Difference{StripeID: id, Problem: MissingStripe, Ours: o.amount, Currency: o.currency, OrderID: o.order})
		}
	}
	return r, nil
}

// ownerSide is what the ledger says of the owner's balance, by Stripe id of
// charge or refund. Stripe books its own fee with the charge, and a returned
// application fee with the refund: so the orders' lines are summed by object.
func (s *Service) ownerSide(ctx context.Context, tx bun.IDB, since, until time.Time) (map[string]side, error) {
	var rows []Entry
	err := within(tx.NewSelect().Model(&rows), "le.at", since, until).Where("le.account = ?", AccountOwner).Scan(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]side{}
	for _, e := range rows {
		v := side{amount: e.Amount, currency: e.Currency}
		if e.OrderID != nil {
			v.order = *e.OrderID
		}
		out[e.Txn] = v
	}
	return out, nil
}

// balanceSide reads the owner's account: each charge, Stripe's fee on it, each
// refund and each returned application fee as a movement of its own.
func (s *Service) balanceSide(ctx context.Context, account string, since, until time.Time) (map[string]side, error) {
	p := &stripe.BalanceTransactionListParams{CreatedRange: &stripe.RangeQueryParams{GreaterThanOrEqual: since.Unix(), LesserThan: until.Unix()}}
	p.ListParams.Context = ctx
	p.Limit = stripe.Int64(100)
	p.SetStripeAccount(account)
	p.AddExpand("data.source")
	out := map[string]side{}
	intents := map[string]bool{}
	board := tenant.From(ctx).ID.String()
	it := s.stripe.BalanceTransactions.List(p)
	for it.Next() {
		if intent := intentBehind(it.BalanceTransaction(), board); intent != "" {
			intents[intent] = true
		}
	}
	if err := it.Err(); err != nil {
		return nil, stripeFault(err, "asking for the balance")
	}
	for intent := range intents {
		session, err := s.sessionOf(ctx, account, intent)
		if err != nil {
			return nil, err
		}
		if session == "" {
			continue
		}
		f, err := s.fetchSession(ctx, account, session)
		if fault.Is(err, fault.NotFound) {
			continue // a checkout that the owner made elsewhere
		}
		if err != nil {
			return nil, err
		}
		if f.Board == board {
			f.ownerMovements(out, since, until)
		}
	}
	return out, nil
}

// intentBehind is the payment that a movement belongs to; "" for payouts and
// for charges that the owner made elsewhere. A refund does not say whose it is.
func intentBehind(bt *stripe.BalanceTransaction, board string) string {
	if bt.Source == nil {
		return ""
	}
	if ch := bt.Source.Charge; ch != nil && ch.PaymentIntent != nil && ch.Metadata["board"] == board {
		return ch.PaymentIntent.ID
	}
	if re := bt.Source.Refund; re != nil && re.PaymentIntent != nil {
		return re.PaymentIntent.ID
	}
	return ""
}

func (s *Service) salesSide(ctx context.Context, sales map[string]string, since, until time.Time) (map[string]side, error) {
	out := map[string]side{}
	for _, session := range sales {
		f, err := s.fetchSession(ctx, "", session)
		if err != nil {
			return nil, err
		}
		f.ownerMovements(out, since, until)
	}
	return out, nil
}

func (f *facts) ownerMovements(out map[string]side, since, until time.Time) {
	for _, m := range f.movements() {
		if amount, ok := m.Lines[AccountOwner]; ok && amount != 0 && !m.At.Before(since) && m.At.Before(until) {
			out[m.Txn] = side{amount, f.Currency, f.Order}
		}
	}
}
