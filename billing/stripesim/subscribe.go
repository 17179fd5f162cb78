package stripesim

import "fmt"

// planOrder is what a checkout of mode subscription begins.
type planOrder struct {
	Price    planPrice `json:"price"`
	TrialEnd *int64    `json:"trial_end"`
	Metadata meta      `json:"metadata"`
}

// subscriptionPlan reads the one recurring price and subscription_data.
func (c *call) subscriptionPlan(s *session, o *order) {
	items := c.each("line_items")
	if len(items) != 1 {
		c.fail(invalid("", "line_items", "This simulator sells subscriptions of exactly one line item."))
		return
	}
	id := c.need(items[0] + "[price]")
	c.positive(items[0] + "[quantity]")
	if c.params.err != nil {
		return
	}
	p, err := find[planPrice](c.tx, kPrice, c.account, id, "line_items[0][price]")
	if err != nil {
		c.params.err = err
		return
	}
	o.Plan = &planOrder{Price: *p, Metadata: c.dict("subscription_data[metadata]"), TrialEnd: c.int("subscription_data[trial_end]")}
	var clock *string // the customer's
	if s.Customer != nil {
		clock = known[customer](c.tx, *s.Customer).TestClock
	}
	if end := o.Plan.TrialEnd; end != nil && *end < c.clock(clock)+2*daySeconds-60 {
		c.fail(invalid("", "subscription_data[trial_end]", "The `trial_end` date has to be at least 2 days in the future."))
	}
	if n := c.positive("subscription_data[trial_period_days]"); n != nil {
		end := c.clock(clock) + *n*daySeconds
		o.Plan.TrialEnd = &end
	}
	s.Currency, s.AmountTotal, s.PaymentMethodCollection = p.Currency, p.UnitAmount, "always"
	text := c.productName(p)
	if o.Plan.TrialEnd != nil {
		s.AmountTotal, s.PaymentStatus = 0, "no_payment_required"
		text += ", free until its trial ends"
	}
	s.AmountSubtotal = s.AmountTotal
	o.Lines = []lineItem{{ID: "li_" + secret(24), Object: "item", AmountSubtotal: s.AmountTotal, AmountTotal: s.AmountTotal, Currency: p.Currency, Description: text,
		Detail: fmt.Sprintf("%s, until cancelled", p.label()), Price: p.asLine(), Quantity: 1}}
}

// subscribe completes a checkout of mode subscription with a card that works.
// One that asks the bank has been approved here; later invoices ask again, and
// fail without their owner.
func (t *tx) subscribe(owner string, s *session, o *order, who Payer, c *card) {
	s.Status, s.URL = "complete", nil
	s.CustomerDetails = &customerDetails{Address: who.address(), Email: str(who.Email), Name: str(who.Name), Phone: str(who.Phone), TaxExempt: "none", TaxIDs: []taxID{}}
	if id := who.taxID(); id != nil {
		s.CustomerDetails.TaxIDs = append(s.CustomerDetails.TaxIDs, *id)
	}
	var cus *customer
	if s.Customer != nil {
		cus = known[customer](t, *s.Customer)
		cus.Address, cus.Name = who.address(), str(who.Name)
	} else {
		cus = &customer{head: t.head(kCustomer), Address: who.address(), Email: str(who.Email), Name: str(who.Name), Metadata: meta{}, TaxExempt: "none"}
		s.Customer = &cus.ID
	}
	currency := o.Plan.Price.Currency
	cus.Currency = &currency
	t.put(owner, cus)
	t.setCard(owner, cus.ID, CardOK)
	sub := t.newSubscription(owner, cus, &o.Plan.Price, o.Plan.Metadata, o.Plan.TrialEnd)
	name := t.productName(sub.price())
	line := periodLine(sub, sub.price(), name)
	if sub.Status == "trialing" {
		line.text, line.amount = "Trial period for "+name, 0
	}
	in := t.newBill(owner, sub, "subscription_create", []billLine{line})
	_ = t.collectBill(owner, sub, in, false) // CardOK is never refused
	t.setCard(owner, cus.ID, c.Number)
	s.Subscription, s.Invoice = &sub.ID, &in.ID
	if sub.Status != "trialing" {
		s.PaymentStatus = "paid"
	}
	t.put(owner, sub)
	t.put(owner, s)
	t.emit(owner, "customer.subscription.created", sub, nil)
	t.emit(owner, "checkout.session.completed", s, nil)
}
