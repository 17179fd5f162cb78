package stripesim

import (
	"encoding/json"
	"fmt"
	"time"
)

// retryAfter is the wait before each further try to collect an invoice, in days;
// after the last one the subscription is unpaid and waits for its owner.
var retryAfter = []int64{3, 5, 7}

const daySeconds = 24 * 60 * 60

// addInterval is the end of a period, at a month's last day when it has no such day.
func addInterval(at int64, r *recurring) int64 {
	from := time.Unix(at, 0).UTC()
	n := int(r.IntervalCount)
	switch r.Interval {
	case "day":
		return from.AddDate(0, 0, n).Unix()
	case "week":
		return from.AddDate(0, 0, 7*n).Unix()
	case "year":
		n *= 12
	}
	first := time.Date(from.Year(), from.Month()+time.Month(n), 1, from.Hour(), from.Minute(), from.Second(), 0, time.UTC)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(from.Day(), last)-1).Unix()
}

// billLine is a line of an invoice before it is one.
type billLine struct {
	text       string
	amount     int64
	price      *planPrice
	proration  bool
	start, end int64
}

func periodLine(s *subscription, p *planPrice, name string) billLine {
	return billLine{text: fmt.Sprintf("1 × %s (at %s / %s)", name, formatMoney(p.UnitAmount, p.Currency), p.Recurring.Interval), amount: p.UnitAmount, price: p,
		start: s.CurrentPeriodStart, end: s.CurrentPeriodEnd}
}

// prorate is the credit for what is left of the old price and the cost of the
// new one. fresh: the interval differs, so that a new period begins.
func prorate(s *subscription, old, to *planPrice, at int64) (lines []billLine, fresh bool) {
	left, whole := s.CurrentPeriodEnd-at, s.CurrentPeriodEnd-s.CurrentPeriodStart
	part := func(amount int64) int64 { return (amount*left*2 + whole) / (whole * 2) } // half up
	day := time.Unix(at, 0).UTC().Format("2 Jan 2006")
	lines = []billLine{{text: "Unused time on " + old.label() + " after " + day, amount: -part(old.UnitAmount), price: old, proration: true, start: at, end: s.CurrentPeriodEnd}}
	if old.Recurring.Interval != to.Recurring.Interval {
		return append(lines, billLine{text: "1 × " + to.label(), amount: to.UnitAmount, price: to, start: at, end: addInterval(at, to.Recurring)}), true
	}
	return append(lines, billLine{text: "Remaining time on " + to.label() + " after " + day, amount: part(to.UnitAmount), price: to, proration: true, start: at, end: s.CurrentPeriodEnd}), false
}

// label is the price without its product's name, which lines add where they can.
func (p *planPrice) label() string {
	return formatMoney(p.UnitAmount, p.Currency) + " / " + p.Recurring.Interval
}

func (t *tx) productName(p *planPrice) string {
	if r := t.row(p.Product); r != nil {
		return decode[product](r).Name
	}
	return "Plan"
}

// newBill makes an open invoice of a subscription; nothing is collected yet.
func (t *tx) newBill(owner string, s *subscription, reason string, lines []billLine) *invoice {
	in := t.draftBill(owner, s, reason, lines)
	number := 1
	t.scan(kInvoice, func(r *row) bool {
		if r.Account == owner && text(decode[invoice](r).Customer) == s.Customer {
			number++
		}
		return true
	})
	in.Number = fmt.Sprintf("%s-%04d", s.Customer[len(s.Customer)-8:], number)
	in.HostedInvoiceURL, in.InvoicePDF = t.sim.link("/invoices/"+in.ID), t.sim.link("/invoices/"+in.ID+"/pdf")
	now := in.Created
	in.StatusTransitions.FinalizedAt = &now
	s.LatestInvoice = &in.ID
	return in
}

// draftBill computes an invoice without keeping it.
func (t *tx) draftBill(owner string, s *subscription, reason string, lines []billLine) *invoice {
	merchant, cus := known[account](t, orPlatform(t, owner)), known[customer](t, s.Customer)
	in := &invoice{head: t.head(kInvoice), AccountCountry: merchant.Country, AccountName: merchant.name(), AutoAdvance: true, BillingReason: reason, CollectionMethod: "charge_automatically",
		Currency: s.Currency, Customer: &s.Customer, CustomerAddress: cus.Address, CustomerEmail: cus.Email, CustomerName: cus.Name, CustomerPhone: cus.Phone, CustomerTaxExempt: "none",
		CustomerTaxIDs: []taxID{}, Metadata: meta{}, PeriodStart: s.CurrentPeriodStart, PeriodEnd: s.CurrentPeriodEnd, Status: "open", Subscription: &s.ID, TestClock: s.TestClock, TotalTaxAmounts: []string{},
		SubscriptionDetails: &subscriptionDetails{Metadata: s.Metadata}, AutomaticTax: json.RawMessage(`{"enabled":false,"liability":null,"status":null}`)}
	in.Created = t.clock(s.TestClock)
	in.Lines = newList[invoiceLine]("/v1/invoices/" + in.ID + "/lines")
	for _, l := range lines {
		in.Lines.Data = append(in.Lines.Data, invoiceLine{ID: "il_" + secret(24), Object: "line_item", Amount: l.amount, Currency: s.Currency, Description: l.text, Metadata: meta{},
			Period: &period{l.start, l.end}, Price: l.price.asLine(), Proration: l.proration, Quantity: 1, Subscription: &s.ID, Type: "subscription"})
		in.Subtotal += l.amount
	}
	in.SubtotalExcludingTax, in.Total, in.TotalExcludingTax, in.StartingBalance = in.Subtotal, in.Subtotal, in.Subtotal, cus.Balance
	in.AmountDue = max(0, in.Total+cus.Balance)
	in.AmountRemaining = in.AmountDue
	return in
}

// wallet is the card that a customer's invoices are collected from.
type wallet struct {
	head
	Card string `json:"card"`
}

func walletID(customer string) string { return "wallet_" + customer }

func (t *tx) card(customer string) card {
	if r := t.row(walletID(customer)); r != nil {
		if c, ok := cardOf(decode[wallet](r).Card); ok {
			return c
		}
	}
	return card{decline: declined("card_declined", "generic_decline", "This customer has no attached payment source.")}
}

func (t *tx) setCard(owner, customer, number string) {
	t.put(owner, &wallet{head: head{ID: walletID(customer), Object: kWallet, Created: t.now.Unix()}, Card: number})
}

// collectBill tries to have an invoice paid. quiet leaves no trace of a refusal,
// which the caller takes back.
func (t *tx) collectBill(owner string, s *subscription, in *invoice, quiet bool) *Error {
	cus := known[customer](t, *in.Customer)
	first := in.AttemptCount == 0 && !in.Attempted
	due := in.AmountDue
	c := t.card(cus.ID)
	if refusal := c.decline; due > 0 && refusal != nil || due > 0 && c.asksBank {
		if refusal == nil {
			refusal = declined("authentication_required", "authentication_required", "Your card was declined. This transaction requires authentication.")
		}
		if quiet {
			return refusal
		}
		t.billFailed(owner, s, in, first)
		return refusal
	}
	if due > 0 {
		t.chargeBill(owner, in, &c)
	}
	if in.StartingBalance != 0 || in.Total < 0 {
		used := in.Total - due // what the balance paid, or what is given back to it
		cus.Balance += used
		t.put(owner, cus)
		t.emit(owner, "customer.updated", cus, nil)
	}
	end := cus.Balance
	now := t.clock(s.TestClock)
	in.EndingBalance, in.Status, in.Paid, in.Attempted, in.AmountPaid, in.AmountRemaining, in.NextPaymentAttempt = &end, "paid", true, true, due, 0, nil
	if due > 0 {
		in.AttemptCount++
	}
	in.StatusTransitions.PaidAt = &now
	if first {
		t.emitBill(owner, in, "invoice.created", "invoice.finalized")
	}
	t.put(owner, in)
	t.emitBill(owner, in, "invoice.paid", "invoice.payment_succeeded")
	if s.Status == "past_due" || s.Status == "unpaid" {
		if !t.owes(owner, s.ID, in.ID) {
			s.Status = "active"
		}
	}
	return nil
}

func (t *tx) emitBill(owner string, in *invoice, kinds ...string) {
	for _, kind := range kinds {
		t.emit(owner, kind, in, nil)
	}
}

// owes reports another open invoice of a subscription.
func (t *tx) owes(owner, sub, but string) (yes bool) {
	t.scan(kInvoice, func(r *row) bool {
		in := decode[invoice](r)
		yes = r.Account == owner && text(in.Subscription) == sub && in.Status == "open" && in.ID != but
		return !yes
	})
	return yes
}

func (t *tx) billFailed(owner string, s *subscription, in *invoice, first bool) {
	in.Attempted = true
	in.AttemptCount++
	in.NextPaymentAttempt = nil
	s.Status = "unpaid"
	if n := int(in.AttemptCount); n <= len(retryAfter) {
		next := t.clock(s.TestClock) + retryAfter[n-1]*daySeconds
		in.NextPaymentAttempt, s.Status = &next, "past_due"
	}
	if first {
		t.emitBill(owner, in, "invoice.created", "invoice.finalized")
	}
	t.put(owner, in)
	t.emitBill(owner, in, "invoice.payment_failed")
}

// chargeBill moves the money of an invoice.
func (t *tx) chargeBill(owner string, in *invoice, c *card) {
	pi := &intent{head: t.head(kIntent), Amount: in.AmountDue, AmountReceived: in.AmountDue, CaptureMethod: "automatic", ConfirmationMethod: "automatic", Currency: in.Currency, Customer: in.Customer,
		Invoice: &in.ID, Metadata: meta{}, PaymentMethodTypes: []string{"card"}, Status: "succeeded"}
	pi.Created = t.clock(in.TestClock)
	ch := &charge{head: t.head(kCharge), Amount: in.AmountDue, AmountCaptured: in.AmountDue, Captured: true, Currency: in.Currency, Customer: in.Customer, Invoice: &in.ID, Metadata: meta{},
		Paid: true, PaymentIntent: &pi.ID, Status: "succeeded"}
	ch.Created = pi.Created
	ch.PaymentMethodDetails = mustJSON(map[string]any{"type": "card", "card": map[string]any{"brand": c.brand, "last4": c.Number[12:]}})
	pi.LatestCharge = &ch.ID
	t.bookCharge(owner, pi, ch)()
	in.Charge, in.PaymentIntent = ch.ID, pi.ID
	t.put(owner, ch)
	t.put(owner, pi)
	t.emit(owner, "charge.succeeded", ch, nil)
	t.emit(owner, "payment_intent.succeeded", pi, nil)
}

func upcomingInvoice(c *call) (any, error) {
	s, err := find[subscription](c.tx, kSubscription, c.account, c.need("subscription"), "subscription")
	if err != nil {
		return nil, err
	}
	if customer := c.str("customer"); customer != "" && customer != s.Customer || !s.live() {
		return nil, &Error{Status: 404, Type: "invalid_request_error", Code: "invoice_upcoming_none", Message: "No upcoming invoices for customer: '" + s.Customer + "'"}
	}
	behavior, at := c.choice("subscription_proration_behavior", "always_invoice", "create_prorations", "none"), c.clock(s.TestClock)
	if d := c.int("subscription_proration_date"); d != nil {
		at = *d
	}
	p, err := c.newItemPrice("subscription_items", s)
	if err == nil {
		err = c.done()
	}
	if err != nil {
		return nil, err
	}
	now := *s.price()
	if p == nil || behavior != "always_invoice" || s.Status == "trialing" {
		if p == nil {
			p = &now
		}
		next := *s
		next.CurrentPeriodStart, next.CurrentPeriodEnd = s.CurrentPeriodEnd, addInterval(s.CurrentPeriodEnd, p.Recurring)
		in := c.draftBill(c.account, &next, "upcoming", []billLine{periodLine(&next, p, c.productName(p))})
		in.Status = "draft"
		return in, nil
	}
	lines, _ := prorate(s, &now, p, at)
	in := c.draftBill(c.account, s, "upcoming", lines)
	in.Status = "draft"
	return in, nil
}

func createBalanceTxn(c *call) (any, error) {
	cus, err := find[customer](c.tx, kCustomer, c.account, c.id, "customer")
	if err != nil {
		return nil, err
	}
	amount, currency := c.int("amount"), c.need("currency")
	if amount == nil {
		c.need("amount")
		amount = new(int64)
	}
	v := &customerTxn{head: c.tx.head(kCustomerTxn), Amount: *amount, Currency: currency, Customer: cus.ID, Description: str(c.str("description")), Metadata: c.dict("metadata"), Type: "adjustment"}
	if err := c.done(); err != nil {
		return nil, err
	}
	if cus.Currency != nil && *cus.Currency != currency {
		return nil, invalid("", "currency", "You cannot combine currencies on a single customer.")
	}
	cus.Balance += v.Amount
	v.EndingBalance = cus.Balance
	c.put(c.account, cus)
	c.put(c.account, v)
	c.emit(c.account, "customer.updated", cus, nil)
	return v, nil
}

type customerTxn struct {
	head
	Amount        int64   `json:"amount"`
	Currency      string  `json:"currency"`
	Customer      string  `json:"customer"`
	Description   *string `json:"description"`
	EndingBalance int64   `json:"ending_balance"`
	Metadata      meta    `json:"metadata"`
	Type          string  `json:"type"`
}
