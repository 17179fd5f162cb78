package billing

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/stripe/stripe-go/v76"

	"shingle/internal/fault"
)

// facts is what Stripe says of one checkout session now: the session, its
// payment and everything that happened to the money since. Events are only the
// reason to ask; whatever their order, the facts are the same.
type facts struct {
	Account string // whose objects these are; "" is the platform
	Board   string
	Order   uuid.UUID
	Attempt int

	Session       string
	Status        string // open, complete, expired
	PaymentStatus string // unpaid, paid, no_payment_required
	ExpiresAt     time.Time

	Intent       string
	IntentStatus string

	Charge         string
	Paid           bool
	Amount         int64
	AmountRefunded int64
	Currency       string
	At             time.Time
	Fee            int64  // application fee taken
	FeeID          string // application fee object
	Transfer       string // destination charges: the owner's part
	Cost           cost   // what Stripe kept of the charge

	Refunds    []refundFact
	FeeRefunds []moved
	Reversals  []moved

	Invoice, InvoiceNumber, InvoiceURL string
	Buyer                              Buyer
}

// moved is one further movement, named by its Stripe id.
type moved struct {
	ID     string
	Amount int64
	At     time.Time
}

// cost is Stripe's own fee, named by the balance transaction that took it.
type cost struct {
	Txn    string
	Amount int64
}

type refundFact struct {
	moved
	Status string
	Reason string
	// Ours is the row that asked for it; Nil for one made on Stripe's dashboard.
	Ours uuid.UUID
}

// full reports that the whole payment has gone back.
func (f *facts) full() bool { return f.Paid && f.Amount > 0 && f.AmountRefunded >= f.Amount }

// feeBack is how much of the application fee has been returned.
func (f *facts) feeBack() (sum int64) {
	for _, r := range f.FeeRefunds {
		sum += r.Amount
	}
	return sum
}

// reversed is how much of the transfer has been taken back.
func (f *facts) reversed() (sum int64) {
	for _, r := range f.Reversals {
		sum += r.Amount
	}
	return sum
}

// fetchSession asks Stripe for a session's facts. Never inside a transaction.
// Kinds: fault.NotFound, fault.Unavailable.
func (s *Service) fetchSession(ctx context.Context, account, id string) (*facts, error) {
	p := &stripe.CheckoutSessionParams{Params: params(ctx, account, "")}
	p.AddExpand("payment_intent.latest_charge.balance_transaction")
	p.AddExpand("payment_intent.latest_charge.refunds")
	p.AddExpand("invoice")
	cs, err := s.stripe.CheckoutSessions.Get(id, p)
	if err != nil {
		return nil, stripeFault(err, "asking for the checkout")
	}
	f := &facts{Account: account, Board: cs.Metadata["board"], Session: cs.ID, Status: string(cs.Status), PaymentStatus: string(cs.PaymentStatus),
		ExpiresAt: time.Unix(cs.ExpiresAt, 0).UTC(), Amount: cs.AmountTotal, Currency: strings.ToUpper(string(cs.Currency))}
	if f.Order, err = uuid.Parse(cs.Metadata["order"]); err != nil {
		return nil, fault.New(fault.NotFound, "the checkout is none of ours")
	}
	f.Attempt, _ = strconv.Atoi(cs.Metadata["attempt"])
	f.readBuyer(cs)
	if in := cs.Invoice; in != nil {
		f.Invoice, f.InvoiceNumber, f.InvoiceURL = in.ID, in.Number, in.HostedInvoiceURL
	}
	pi := cs.PaymentIntent
	if pi == nil {
		return f, nil
	}
	f.Intent, f.IntentStatus = pi.ID, string(pi.Status)
	if ch := pi.LatestCharge; ch != nil {
		f.readCharge(ch)
		if f.AmountRefunded > 0 || len(f.Refunds) > 0 {
			return f, s.fetchReturned(ctx, f)
		}
	}
	return f, nil
}

func (f *facts) readBuyer(cs *stripe.CheckoutSession) {
	d := cs.CustomerDetails
	if d == nil {
		return
	}
	f.Buyer.Name = d.Name
	if a := d.Address; a != nil {
		f.Buyer.Line1, f.Buyer.Line2, f.Buyer.City, f.Buyer.PostalCode, f.Buyer.Region, f.Buyer.Country = a.Line1, a.Line2, a.City, a.PostalCode, a.State, a.Country
	}
	for _, id := range d.TaxIDs {
		f.Buyer.TaxIDs = append(f.Buyer.TaxIDs, id.Value)
	}
}

func (f *facts) readCharge(ch *stripe.Charge) {
	f.Charge, f.Paid = ch.ID, ch.Paid && ch.Status == stripe.ChargeStatusSucceeded
	f.Amount, f.AmountRefunded, f.Currency, f.At = ch.Amount, ch.AmountRefunded, strings.ToUpper(string(ch.Currency)), time.Unix(ch.Created, 0).UTC()
	f.Fee = ch.ApplicationFeeAmount
	if ch.ApplicationFee != nil {
		f.FeeID = ch.ApplicationFee.ID
	}
	if ch.Transfer != nil {
		f.Transfer = ch.Transfer.ID
	}
	if bt := ch.BalanceTransaction; bt != nil {
		f.Cost.Txn = bt.ID
		for _, d := range bt.FeeDetails {
			if d.Type == "stripe_fee" {
				f.Cost.Amount += d.Amount
			}
		}
	}
	if ch.Refunds == nil {
		return
	}
	for _, r := range ch.Refunds.Data {
		ours, _ := uuid.Parse(r.Metadata["refund"])
		f.Refunds = append(f.Refunds, refundFact{moved{r.ID, r.Amount, time.Unix(r.Created, 0).UTC()}, string(r.Status), string(r.Reason), ours})
	}
}

// fetchReturned asks how much of the platform's fee and of the owner's
// transfer has gone back: objects of the platform's own account.
func (s *Service) fetchReturned(ctx context.Context, f *facts) error {
	if f.FeeID != "" {
		p := &stripe.ApplicationFeeParams{Params: params(ctx, "", "")}
		p.AddExpand("refunds")
		fee, err := s.stripe.ApplicationFees.Get(f.FeeID, p)
		if err != nil {
			return stripeFault(err, "asking for the application fee")
		}
		if fee.Refunds != nil {
			for _, r := range fee.Refunds.Data {
				f.FeeRefunds = append(f.FeeRefunds, moved{r.ID, r.Amount, time.Unix(r.Created, 0).UTC()})
			}
		}
	}
	if f.Transfer != "" {
		tr, err := s.stripe.Transfers.Get(f.Transfer, &stripe.TransferParams{Params: params(ctx, "", "")})
		if err != nil {
			return stripeFault(err, "asking for the transfer")
		}
		if tr.Reversals != nil {
			for _, r := range tr.Reversals.Data {
				f.Reversals = append(f.Reversals, moved{r.ID, r.Amount, time.Unix(r.Created, 0).UTC()})
			}
		}
	}
	return nil
}

// sessionOf finds the checkout session of a payment; "" when it has none, as
// with the owner's own sales on a standard account.
func (s *Service) sessionOf(ctx context.Context, account, intent string) (string, error) {
	p := &stripe.CheckoutSessionListParams{PaymentIntent: stripe.String(intent)}
	p.ListParams.Context = ctx
	p.Limit = stripe.Int64(1)
	p.Single = true
	if account != "" {
		p.SetStripeAccount(account)
	}
	it := s.stripe.CheckoutSessions.List(p)
	if it.Next() {
		return it.CheckoutSession().ID, nil
	}
	return "", stripeFault(it.Err(), "looking for the checkout")
}

// intentOf is the payment that a charge belongs to.
func (s *Service) intentOf(ctx context.Context, account, charge string) (string, error) {
	ch, err := s.stripe.Charges.Get(charge, &stripe.ChargeParams{Params: params(ctx, account, "")})
	if err != nil {
		return "", stripeFault(err, "asking for the charge")
	}
	if ch.PaymentIntent == nil {
		return "", nil
	}
	return ch.PaymentIntent.ID, nil
}
