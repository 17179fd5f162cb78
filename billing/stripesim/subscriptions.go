package stripesim

import (
	"slices"
	"strings"
)

type product struct {
	head
	Active      bool    `json:"active"`
	Description *string `json:"description"`
	Metadata    meta    `json:"metadata"`
	Name        string  `json:"name"`
	Type        string  `json:"type"`
	Updated     int64   `json:"updated"`
}

type recurring struct {
	AggregateUsage *string `json:"aggregate_usage"`
	Interval       string  `json:"interval"`
	IntervalCount  int64   `json:"interval_count"`
	UsageType      string  `json:"usage_type"`
}

// planPrice is a recurring price: the same object as price, kept as a row.
type planPrice struct {
	head
	Active            bool       `json:"active"`
	BillingScheme     string     `json:"billing_scheme"`
	Currency          string     `json:"currency"`
	Metadata          meta       `json:"metadata"`
	Product           string     `json:"product"`
	Recurring         *recurring `json:"recurring"`
	TaxBehavior       string     `json:"tax_behavior"`
	Type              string     `json:"type"`
	UnitAmount        int64      `json:"unit_amount"`
	UnitAmountDecimal string     `json:"unit_amount_decimal"`
}

// asLine is the price as a line of a session or an invoice shows it.
func (p *planPrice) asLine() price {
	return price{ID: p.ID, Object: "price", Active: p.Active, BillingScheme: p.BillingScheme, Created: p.Created, Currency: p.Currency, Metadata: p.Metadata,
		Product: p.Product, Recurring: p.Recurring, TaxBehavior: p.TaxBehavior, Type: p.Type, UnitAmount: p.UnitAmount, UnitAmountDecimal: p.UnitAmountDecimal}
}

type subscription struct {
	head
	BillingCycleAnchor   int64         `json:"billing_cycle_anchor"`
	CancelAt             *int64        `json:"cancel_at"`
	CancelAtPeriodEnd    bool          `json:"cancel_at_period_end"`
	CanceledAt           *int64        `json:"canceled_at"`
	CollectionMethod     string        `json:"collection_method"`
	Currency             string        `json:"currency"`
	CurrentPeriodEnd     int64         `json:"current_period_end"`
	CurrentPeriodStart   int64         `json:"current_period_start"`
	Customer             string        `json:"customer"`
	DefaultPaymentMethod *string       `json:"default_payment_method"`
	EndedAt              *int64        `json:"ended_at"`
	Items                list[subItem] `json:"items"`
	LatestInvoice        *string       `json:"latest_invoice"`
	Metadata             meta          `json:"metadata"`
	Schedule             *string       `json:"schedule"`
	StartDate            int64         `json:"start_date"`
	Status               string        `json:"status"`
	TestClock            *string       `json:"test_clock"`
	TrialEnd             *int64        `json:"trial_end"`
	TrialStart           *int64        `json:"trial_start"`

	Warned bool `json:"sim_warned,omitempty"` // of the trial's end
}

type subItem struct {
	ID           string    `json:"id"`
	Object       string    `json:"object"`
	Created      int64     `json:"created"`
	Metadata     meta      `json:"metadata"`
	Price        planPrice `json:"price"`
	Quantity     int64     `json:"quantity"`
	Subscription string    `json:"subscription"`
}

func (s *subscription) price() *planPrice { return &s.Items.Data[0].Price }

func (s *subscription) live() bool {
	return s.Status != "canceled" && s.Status != "incomplete_expired"
}

func createProduct(c *call) (any, error) {
	p := &product{head: c.tx.head(kProduct), Active: true, Name: c.need("name"), Description: str(c.str("description")), Metadata: c.dict("metadata"), Type: "service"}
	p.Updated = p.Created
	if err := c.done(); err != nil {
		return nil, err
	}
	c.put(c.account, p)
	c.emit(c.account, "product.created", p, nil)
	return p, nil
}

func listProducts(c *call) (any, error) { return page[product](c, kProduct, nil) }

func createPrice(c *call) (any, error) {
	p := &planPrice{head: c.tx.head(kPrice), Active: true, BillingScheme: "per_unit", Currency: strings.ToLower(c.need("currency")), Metadata: c.dict("metadata"),
		Product: c.need("product"), TaxBehavior: "unspecified", Type: "recurring"}
	if !currencyKnown(p.Currency) {
		c.fail(invalid("", "currency", "Invalid currency: %s. Stripe currently supports these currencies: usd, eur, gbp …", p.Currency))
	}
	if n := c.int("unit_amount"); n == nil {
		c.need("unit_amount")
	} else if *n < 0 {
		c.fail(invalid("parameter_invalid_integer", "unit_amount", "This value must be greater than or equal to 0."))
	} else {
		p.UnitAmount, p.UnitAmountDecimal = *n, number(*n)
	}
	every := c.choice("recurring[interval]", "day", "week", "month", "year")
	if every == "" {
		c.need("recurring[interval]")
	}
	p.Recurring = &recurring{Interval: every, IntervalCount: 1, UsageType: "licensed"}
	if n := c.positive("recurring[interval_count]"); n != nil {
		p.Recurring.IntervalCount = *n
	}
	if c.params.err == nil {
		if _, err := find[product](c.tx, kProduct, c.account, p.Product, "product"); err != nil {
			return nil, err
		}
	}
	if err := c.done(); err != nil {
		return nil, err
	}
	c.put(c.account, p)
	c.emit(c.account, "price.created", p, nil)
	return p, nil
}

func listPrices(c *call) (any, error) {
	product := c.str("product")
	return page(c, kPrice, func(p *planPrice) bool { return product == "" || p.Product == product })
}

func listSubscriptions(c *call) (any, error) {
	customer, clock, status := c.str("customer"), c.str("test_clock"), c.choice("status", "all", "active", "trialing", "past_due", "unpaid", "canceled", "incomplete", "incomplete_expired", "ended", "paused")
	return page(c, kSubscription, func(s *subscription) bool {
		switch {
		case customer != "" && s.Customer != customer, clock != text(s.TestClock) && (clock != "" || customer == ""):
			return false
		case status == "":
			return s.live()
		case status == "all":
			return true
		case status == "ended":
			return !s.live()
		}
		return s.Status == status
	})
}

// newSubscription begins one for a customer whose checkout is complete: in a
// trial, or with a first invoice that the caller has paid for.
func (t *tx) newSubscription(owner string, cus *customer, p *planPrice, data meta, trialEnd *int64) *subscription {
	now := t.clock(cus.TestClock)
	s := &subscription{head: t.head(kSubscription), CollectionMethod: "charge_automatically", Currency: p.Currency, Customer: cus.ID, TestClock: cus.TestClock, Metadata: data, StartDate: now, Status: "active"}
	s.Created = now
	s.Items = newList[subItem]("/v1/subscription_items?subscription=" + s.ID)
	s.Items.Data = []subItem{{ID: "si_" + secret(14), Object: "subscription_item", Created: now, Metadata: meta{}, Price: *p, Quantity: 1, Subscription: s.ID}}
	s.CurrentPeriodStart, s.CurrentPeriodEnd = now, addInterval(now, p.Recurring)
	if trialEnd != nil && *trialEnd > now {
		s.Status, s.TrialStart, s.TrialEnd, s.CurrentPeriodEnd = "trialing", &now, trialEnd, *trialEnd
	}
	s.BillingCycleAnchor = s.CurrentPeriodEnd
	if s.Status == "active" {
		s.BillingCycleAnchor = now
	}
	t.put(owner, s)
	return s
}

func updateSubscription(c *call) (any, error) {
	s, err := find[subscription](c.tx, kSubscription, c.account, c.id, "subscription")
	if err != nil {
		return nil, err
	}
	if !s.live() {
		return nil, missing(kSubscription, c.id, "subscription")
	}
	s.Metadata = c.mergeMeta(s.Metadata)
	if c.has("cancel_at_period_end") {
		if s.Schedule != nil {
			return nil, invalid("", "cancel_at_period_end", "The subscription is managed by the subscription schedule `%s`, and updating any cancelation behavior directly is not allowed. Please update the schedule instead.", *s.Schedule)
		}
		s.CancelAtPeriodEnd, s.CanceledAt, s.CancelAt = c.flag("cancel_at_period_end"), nil, nil
		if s.CancelAtPeriodEnd {
			now, end := c.clock(s.TestClock), s.CurrentPeriodEnd
			s.CanceledAt, s.CancelAt = &now, &end
		}
	}
	if end := c.int("trial_end"); end != nil {
		if s.Status != "trialing" {
			return nil, invalid("", "trial_end", "This simulator moves the end of a running trial only.")
		}
		if *end <= c.clock(s.TestClock) {
			return nil, invalid("", "trial_end", "Invalid timestamp: must be an integer Unix timestamp in the future.")
		}
		s.TrialEnd, s.CurrentPeriodEnd, s.BillingCycleAnchor, s.Warned = end, *end, *end, false
	}
	behavior := c.choice("proration_behavior", "always_invoice", "create_prorations", "none")
	payment := c.choice("payment_behavior", "allow_incomplete", "default_incomplete", "error_if_incomplete", "pending_if_incomplete")
	at := c.clock(s.TestClock)
	if d := c.int("proration_date"); d != nil {
		if *d < s.CurrentPeriodStart || *d > s.CurrentPeriodEnd {
			return nil, invalid("", "proration_date", "Cannot specify a proration date outside of the current billing period.")
		}
		at = *d
	}
	p, err := c.newItemPrice("items", s)
	if err == nil {
		err = c.done()
	}
	if err != nil {
		return nil, err
	}
	if p != nil && p.ID != s.price().ID {
		if err := c.switchPrice(c.account, s, p, at, behavior, payment); err != nil {
			return nil, err
		}
	}
	c.put(c.account, s)
	c.emit(c.account, "customer.subscription.updated", s, nil)
	return s, nil
}

// newItemPrice reads the price that the one item is to have; nil when it stays.
func (c *call) newItemPrice(prefix string, s *subscription) (*planPrice, error) {
	items := c.each(prefix)
	if len(items) == 0 {
		return nil, nil
	}
	if len(items) > 1 {
		return nil, invalid("", prefix, "This simulator keeps subscriptions of one item.")
	}
	id, to := c.str(items[0]+"[id]"), c.need(items[0]+"[price]")
	c.positive(items[0] + "[quantity]")
	if id != s.Items.Data[0].ID {
		return nil, missing("subscription_item", id, prefix+"[0][id]")
	}
	p, err := find[planPrice](c.tx, kPrice, c.account, to, prefix+"[0][price]")
	if err != nil {
		return nil, err
	}
	if p.Currency != s.Currency {
		return nil, invalid("", prefix, "The price specified only supports `%s`. This doesn't match the expected currency: `%s`.", p.Currency, s.Currency)
	}
	return p, nil
}

// switchPrice changes what is paid. Another interval begins a new period.
func (t *tx) switchPrice(owner string, s *subscription, p *planPrice, at int64, behavior, payment string) error {
	old := *s.price()
	if s.Status == "trialing" || behavior == "none" {
		s.Items.Data[0].Price = *p
		return nil
	}
	lines, fresh := prorate(s, &old, p, at)
	if behavior != "always_invoice" && !fresh {
		return invalid("", "proration_behavior", "This simulator invoices prorations at once (always_invoice) or not at all (none).")
	}
	before := *s
	before.Items.Data = slices.Clone(s.Items.Data)
	s.Items.Data[0].Price = *p
	if fresh {
		s.CurrentPeriodStart, s.CurrentPeriodEnd, s.BillingCycleAnchor = at, addInterval(at, p.Recurring), at
	}
	in := t.newBill(owner, s, "subscription_update", lines)
	if refused := t.collectBill(owner, s, in, payment == "error_if_incomplete"); refused != nil && payment == "error_if_incomplete" {
		*s = before
		t.drop(in.ID)
		return refused
	}
	return nil
}

func cancelSubscription(c *call) (any, error) {
	s, err := find[subscription](c.tx, kSubscription, c.account, c.id, "subscription")
	if err != nil {
		return nil, err
	}
	if !s.live() {
		return nil, missing(kSubscription, c.id, "subscription")
	}
	c.flag("prorate")
	c.flag("invoice_now")
	if err := c.done(); err != nil {
		return nil, err
	}
	c.endSubscription(c.account, s)
	return s, nil
}

func (t *tx) endSubscription(owner string, s *subscription) {
	now := t.clock(s.TestClock)
	s.Status, s.EndedAt = "canceled", &now
	if s.CanceledAt == nil {
		s.CanceledAt = &now
	}
	t.put(owner, s)
	t.emit(owner, "customer.subscription.deleted", s, nil)
}
