package stripesim

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// sessionMark is replaced by the session's id in success_url.
const sessionMark = "{CHECKOUT_SESSION_ID}"

type session struct {
	head
	AfterExpiration          *string           `json:"after_expiration"`
	AllowPromotionCodes      *bool             `json:"allow_promotion_codes"`
	AmountSubtotal           int64             `json:"amount_subtotal"`
	AmountTotal              int64             `json:"amount_total"`
	AutomaticTax             json.RawMessage   `json:"automatic_tax"`
	BillingAddressCollection *string           `json:"billing_address_collection"`
	CancelURL                *string           `json:"cancel_url"`
	ClientReferenceID        *string           `json:"client_reference_id"`
	Consent                  map[string]string `json:"consent"`
	ConsentCollection        map[string]string `json:"consent_collection"`
	Currency                 string            `json:"currency"`
	Customer                 *string           `json:"customer"`
	CustomerCreation         string            `json:"customer_creation"`
	CustomerDetails          *customerDetails  `json:"customer_details"`
	CustomerEmail            *string           `json:"customer_email"`
	CustomFields             []string          `json:"custom_fields"`
	CustomText               json.RawMessage   `json:"custom_text"`
	ExpiresAt                int64             `json:"expires_at"`
	Invoice                  *string           `json:"invoice"`
	InvoiceCreation          invoiceCreation   `json:"invoice_creation"`
	Locale                   *string           `json:"locale"`
	Metadata                 meta              `json:"metadata"`
	Mode                     string            `json:"mode"`
	PaymentIntent            *string           `json:"payment_intent"`
	PaymentLink              *string           `json:"payment_link"`
	PaymentMethodCollection  string            `json:"payment_method_collection"`
	PaymentMethodOptions     struct{}          `json:"payment_method_options"`
	PaymentMethodTypes       []string          `json:"payment_method_types"`
	PaymentStatus            string            `json:"payment_status"`
	PhoneNumberCollection    enabled           `json:"phone_number_collection"`
	SetupIntent              *string           `json:"setup_intent"`
	Status                   string            `json:"status"`
	SubmitType               *string           `json:"submit_type"`
	Subscription             *string           `json:"subscription"`
	SuccessURL               string            `json:"success_url"`
	TaxIDCollection          enabled           `json:"tax_id_collection"`
	TotalDetails             json.RawMessage   `json:"total_details"`
	UIMode                   string            `json:"ui_mode"`
	URL                      *string           `json:"url"`
}

type enabled struct {
	Enabled bool `json:"enabled"`
}

type customerDetails struct {
	Address   *address `json:"address"`
	Email     *string  `json:"email"`
	Name      *string  `json:"name"`
	Phone     *string  `json:"phone"`
	TaxExempt string   `json:"tax_exempt"`
	TaxIDs    []taxID  `json:"tax_ids"`
}

type invoiceCreation struct {
	Enabled     bool        `json:"enabled"`
	InvoiceData invoiceData `json:"invoice_data"`
}

type invoiceData struct {
	AccountTaxIDs    []string           `json:"account_tax_ids"`
	CustomFields     []invoiceField     `json:"custom_fields"`
	Description      *string            `json:"description"`
	Footer           *string            `json:"footer"`
	Metadata         meta               `json:"metadata"`
	RenderingOptions *map[string]string `json:"rendering_options"`
}

type invoiceField struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// order is what a session is for and Stripe does not show in it: its lines, the
// payment to make, and the buyer while a bank asks him.
type order struct {
	head
	Lines   []lineItem  `json:"lines"`
	Payment paymentPlan `json:"payment"`
	Terms   string      `json:"terms,omitempty"` // custom text of the consent
	Buyer   *Payer      `json:"buyer,omitempty"`
	Card    string      `json:"card,omitempty"`
	Plan    *planOrder  `json:"plan,omitempty"` // what a session of a subscription begins
}

type paymentPlan struct {
	Fee                 *int64        `json:"fee"`
	Description         *string       `json:"description"`
	Metadata            meta          `json:"metadata"`
	OnBehalfOf          *string       `json:"on_behalf_of"`
	ReceiptEmail        *string       `json:"receipt_email"`
	StatementDescriptor *string       `json:"statement_descriptor"`
	StatementSuffix     *string       `json:"statement_suffix"`
	TransferData        *transferData `json:"transfer_data"`
	TransferGroup       *string       `json:"transfer_group"`
	SetupFutureUsage    *string       `json:"setup_future_usage"`
}

type lineItem struct {
	ID             string `json:"id"`
	Object         string `json:"object"`
	AmountDiscount int64  `json:"amount_discount"`
	AmountSubtotal int64  `json:"amount_subtotal"`
	AmountTax      int64  `json:"amount_tax"`
	AmountTotal    int64  `json:"amount_total"`
	Currency       string `json:"currency"`
	Description    string `json:"description"`
	Price          price  `json:"price"`
	Quantity       int64  `json:"quantity"`
	Detail         string `json:"sim_detail,omitempty"`
}

type price struct {
	ID                string     `json:"id"`
	Object            string     `json:"object"`
	Active            bool       `json:"active"`
	BillingScheme     string     `json:"billing_scheme"`
	Created           int64      `json:"created"`
	Currency          string     `json:"currency"`
	Livemode          bool       `json:"livemode"`
	Metadata          meta       `json:"metadata"`
	Product           string     `json:"product"`
	Recurring         *recurring `json:"recurring"`
	TaxBehavior       string     `json:"tax_behavior"`
	Type              string     `json:"type"`
	UnitAmount        int64      `json:"unit_amount"`
	UnitAmountDecimal string     `json:"unit_amount_decimal"`
}

func orderID(session string) string { return "order_" + session }

// methods that a session may offer; the second kind settles days later.
var cardMethods = []string{"card", "link"}
var delayedMethods = []string{"sepa_debit", "us_bank_account", "bacs_debit", "customer_balance"}

func createSession(c *call) (any, error) {
	s := &session{head: c.tx.head(kSession), Status: "open", PaymentStatus: "unpaid", UIMode: "hosted", PaymentMethodCollection: "if_required",
		AutomaticTax: json.RawMessage(`{"enabled":false,"liability":null,"status":null}`), CustomFields: []string{}}
	o := &order{head: head{ID: orderID(s.ID), Object: kOrder, Created: s.Created}}
	s.Mode = c.choice("mode", "payment", "subscription")
	if s.Mode == "" {
		c.need("mode")
	}
	c.choice("ui_mode", "hosted")
	s.SuccessURL = c.needLink("success_url")
	s.CancelURL = str(c.link("cancel_url"))
	s.ClientReferenceID = str(c.max("client_reference_id", 200))
	s.BillingAddressCollection = str(c.choice("billing_address_collection", "auto", "required"))
	s.TaxIDCollection.Enabled = c.flag("tax_id_collection[enabled]")
	s.PhoneNumberCollection.Enabled = c.flag("phone_number_collection[enabled]")
	s.Locale = str(c.str("locale"))
	s.SubmitType = str(c.choice("submit_type", "auto", "book", "donate", "pay"))
	s.CustomerCreation = cmp.Or(c.choice("customer_creation", "always", "if_required"), "if_required")
	if c.flag("allow_promotion_codes") {
		yes := true
		s.AllowPromotionCodes = &yes
	}
	if c.flag("automatic_tax[enabled]") {
		c.fail(invalid("", "automatic_tax[enabled]", "This simulator computes no tax."))
	}
	c.accept("payment_method_options", "customer_update")
	s.Metadata = c.dict("metadata")
	c.consent(s, o)
	c.sessionCustomer(s)
	c.sessionMethods(s)
	c.sessionExpiry(s)
	if s.Mode == "subscription" {
		c.subscriptionPlan(s, o)
	} else {
		c.sessionLines(s, o)
		c.sessionInvoice(s)
		c.paymentPlan(s, o)
	}
	if err := c.done(); err != nil {
		return nil, err
	}
	s.URL = str(c.sim.link("/checkout/" + s.ID))
	s.TotalDetails = json.RawMessage(`{"amount_discount":0,"amount_shipping":0,"amount_tax":0}`)
	c.put(c.account, s)
	c.put(c.account, o)
	return s, nil
}

func (c *call) consent(s *session, o *order) {
	terms := c.choice("consent_collection[terms_of_service]", "none", "required")
	promotions := c.choice("consent_collection[promotions]", "none", "auto")
	c.accept("consent_collection[payment_method_reuse_agreement]")
	if terms != "" || promotions != "" {
		s.ConsentCollection = map[string]string{}
		if terms != "" {
			s.ConsentCollection["terms_of_service"] = terms
		}
		if promotions != "" {
			s.ConsentCollection["promotions"] = promotions
		}
	}
	message := func(name string) any {
		if m := c.max("custom_text["+name+"][message]", 1200); m != "" {
			if name == "terms_of_service_acceptance" {
				o.Terms = m
			}
			return map[string]string{"message": m}
		}
		return nil
	}
	s.CustomText = mustJSON(map[string]any{"after_submit": message("after_submit"), "shipping_address": nil, "submit": message("submit"),
		"terms_of_service_acceptance": message("terms_of_service_acceptance")})
}

func (c *call) sessionCustomer(s *session) {
	s.CustomerEmail = str(c.str("customer_email"))
	if s.CustomerEmail != nil && !looksLikeEmail(*s.CustomerEmail) {
		c.fail(invalid("email_invalid", "customer_email", "Invalid email address: %s", *s.CustomerEmail))
	}
	s.Customer = str(c.str("customer"))
	if s.Customer == nil {
		return
	}
	if s.CustomerEmail != nil {
		c.fail(invalid("", "customer", "You may only specify one of these parameters: customer, customer_email."))
	}
	if _, err := find[customer](c.tx, kCustomer, c.account, *s.Customer, "customer"); err != nil && c.params.err == nil {
		c.params.err = err
	}
}

func (c *call) sessionMethods(s *session) {
	s.PaymentMethodTypes = c.list("payment_method_types")
	for i, m := range s.PaymentMethodTypes {
		if !slices.Contains(cardMethods, m) && !slices.Contains(delayedMethods, m) {
			c.fail(invalid("", "payment_method_types["+number(int64(i))+"]", "Invalid payment_method_types[%d]: this simulator knows card, link, sepa_debit, us_bank_account, bacs_debit and customer_balance", i))
		}
	}
	if len(s.PaymentMethodTypes) == 0 {
		s.PaymentMethodTypes = []string{"card"}
	}
}

func (c *call) sessionLines(s *session, o *order) {
	items := c.each("line_items")
	if len(items) == 0 {
		c.fail(invalid("parameter_missing", "line_items", "Missing required param: line_items."))
	}
	if len(items) > 100 {
		c.fail(invalid("", "line_items", "You may only specify up to 100 line items."))
		return
	}
	for _, at := range items {
		if id := c.str(at + "[price]"); id != "" {
			c.fail(&Error{Status: 400, Type: "invalid_request_error", Code: "resource_missing", Param: at + "[price]", Message: "No such price: '" + id + "'"})
			continue
		}
		data := at + "[price_data]"
		currency := strings.ToLower(c.need(data + "[currency]"))
		if currency != "" && !currencyKnown(currency) {
			c.fail(invalid("", data+"[currency]", "Invalid currency: %s. Stripe currently supports these currencies: usd, eur, gbp …", currency))
		}
		if s.Currency == "" {
			s.Currency = currency
		} else if s.Currency != currency {
			c.fail(invalid("", "line_items", "All prices on a Checkout Session must have the same currency (%s and %s were given).", s.Currency, currency))
		}
		amount := c.int(data + "[unit_amount]")
		switch {
		case amount == nil:
			c.need(data + "[unit_amount]")
			amount = new(int64)
		case *amount < 0:
			c.fail(invalid("parameter_invalid_integer", data+"[unit_amount]", "This value must be greater than or equal to 0."))
		case *amount > maxAmount:
			c.fail(invalid("amount_too_large", data+"[unit_amount]", "Amount must be no more than %s", formatMoney(maxAmount, currency)))
			amount = new(int64)
		}
		quantity := c.positive(at + "[quantity]")
		if quantity == nil {
			c.need(at + "[quantity]")
			quantity = new(int64)
		}
		if *quantity > 999999 {
			c.fail(invalid("parameter_invalid_integer", at+"[quantity]", "This value must be less than or equal to 999999."))
		}
		name := c.need(data + "[product_data][name]")
		detail := c.str(data + "[product_data][description]")
		c.accept(data+"[product_data][images]", data+"[product_data][metadata]", data+"[product_data][tax_code]")
		behavior := cmp.Or(c.choice(data+"[tax_behavior]", "exclusive", "inclusive", "unspecified"), "unspecified")
		total := *amount * min(*quantity, 999999)
		s.AmountTotal += total
		o.Lines = append(o.Lines, lineItem{ID: "li_" + secret(24), Object: "item", AmountSubtotal: total, AmountTotal: total, Currency: currency,
			Description: name, Detail: detail, Quantity: *quantity, Price: price{ID: "price_" + secret(24), Object: "price", BillingScheme: "per_unit", Created: s.Created,
				Currency: currency, Metadata: meta{}, Product: "prod_" + secret(14), TaxBehavior: behavior, Type: "one_time", UnitAmount: *amount, UnitAmountDecimal: number(*amount)}})
	}
	s.AmountSubtotal = s.AmountTotal
	if currency := strings.ToLower(c.str("currency")); currency != "" && currency != s.Currency {
		c.fail(invalid("", "currency", "The currency %s differs from that of the line items (%s).", currency, s.Currency))
	}
	if c.params.err == nil {
		if err := checkAmount(s.AmountTotal, s.Currency, ""); err != nil {
			c.params.err = err
		}
	}
}

func (c *call) sessionInvoice(s *session) {
	const data = "invoice_creation[invoice_data]"
	s.InvoiceCreation = invoiceCreation{Enabled: c.flag("invoice_creation[enabled]"), InvoiceData: invoiceData{
		Description: str(c.str(data + "[description]")), Footer: str(c.str(data + "[footer]")), Metadata: c.dict(data + "[metadata]")}}
	for _, at := range c.each(data + "[custom_fields]") {
		s.InvoiceCreation.InvoiceData.CustomFields = append(s.InvoiceCreation.InvoiceData.CustomFields,
			invoiceField{Name: c.max(at+"[name]", 40), Value: c.max(at+"[value]", 140)})
	}
	c.accept(data + "[rendering_options]")
}

// sessionExpiry holds expires_at to Stripe's 30 minutes and 24 hours.
func (c *call) sessionExpiry(s *session) {
	s.ExpiresAt = c.now.Add(24 * time.Hour).Unix()
	at := c.int("expires_at")
	if at == nil {
		return
	}
	// A request takes a moment: Stripe forgives one too.
	if *at < c.now.Add(30*time.Minute-10*time.Second).Unix() {
		c.fail(invalid("", "expires_at", "The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation."))
	}
	if *at > c.now.Add(24*time.Hour+10*time.Second).Unix() {
		c.fail(invalid("", "expires_at", "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation."))
	}
	s.ExpiresAt = *at
}

// paymentPlan reads payment_intent_data and holds it to the rules of Connect:
// direct charges on standard accounts, destination charges to express ones.
func (c *call) paymentPlan(s *session, o *order) {
	const data = "payment_intent_data"
	p := &o.Payment
	p.Fee = c.positive(data + "[application_fee_amount]")
	p.Description = str(c.max(data+"[description]", 1000))
	p.Metadata = c.dict(data + "[metadata]")
	p.OnBehalfOf = str(c.str(data + "[on_behalf_of]"))
	p.ReceiptEmail = str(c.str(data + "[receipt_email]"))
	p.StatementDescriptor = str(c.max(data+"[statement_descriptor]", 22))
	p.StatementSuffix = str(c.max(data+"[statement_descriptor_suffix]", 22))
	p.TransferGroup = str(c.str(data + "[transfer_group]"))
	p.SetupFutureUsage = str(c.choice(data+"[setup_future_usage]", "off_session", "on_session"))
	c.choice(data+"[capture_method]", "automatic", "automatic_async")
	if to := c.str(data + "[transfer_data][destination]"); to != "" {
		p.TransferData = &transferData{Destination: to, Amount: c.positive(data + "[transfer_data][amount]")}
	}
	if c.params.err != nil {
		return
	}
	if p.Fee != nil && *p.Fee > s.AmountTotal {
		c.fail(invalid("", data+"[application_fee_amount]", "Your application fee (%s) must be less than or equal to the total amount (%s).", formatMoney(*p.Fee, s.Currency), formatMoney(s.AmountTotal, s.Currency)))
	}
	if c.account != "" {
		c.checkDirect(p)
		return
	}
	if p.TransferData == nil {
		if p.Fee != nil {
			c.fail(invalid("", data+"[application_fee_amount]", "Can only apply an application_fee_amount when the PaymentIntent is attempting a direct payment (using an OAuth key or Stripe-Account header) or destination payment (using `payment_intent_data[transfer_data]`)."))
		}
		return
	}
	c.checkDestination(s, p)
}

func (c *call) checkDirect(p *paymentPlan) {
	a := known[account](c.tx, c.account)
	switch {
	case p.TransferData != nil:
		c.fail(invalid("", "payment_intent_data[transfer_data]", "You can't make a destination charge on behalf of a connected account: send it without the Stripe-Account header."))
	case a.Type != "standard":
		c.fail(invalid("", "", "This account is of type %s: Shingle makes direct charges on standard accounts only, and destination charges to express ones.", a.Type))
	case !a.ChargesEnabled:
		c.fail(invalid("account_invalid", "", "Your account cannot currently make charges: it has outstanding requirements."))
	}
}

func (c *call) checkDestination(s *session, p *paymentPlan) {
	const at = "payment_intent_data[transfer_data]"
	r := c.row(p.TransferData.Destination)
	if r == nil || r.Kind != kAccount || r.ID == platformID(c.tx) {
		c.fail(&Error{Status: 400, Type: "invalid_request_error", Code: "resource_missing", Param: at + "[destination]", Message: "No such destination: '" + p.TransferData.Destination + "'"})
		return
	}
	a := decode[account](r)
	switch {
	case a.Type != "express":
		c.fail(invalid("", at+"[destination]", "Destination charges can't be made to accounts with a full dashboard that pay Stripe's fees themselves (type %s); make a direct charge.", a.Type))
	case a.Capabilities["transfers"] != "active":
		c.fail(invalid("insufficient_capabilities_for_transfer", at+"[destination]", "Your destination account needs to have at least one of the following capabilities enabled: transfers, crypto_transfers, legacy_payments"))
	case p.TransferData.Amount != nil && p.Fee != nil:
		c.fail(invalid("", at+"[amount]", "You may only specify one of these parameters: application_fee_amount, transfer_data[amount]."))
	case p.TransferData.Amount != nil && *p.TransferData.Amount > s.AmountTotal:
		c.fail(invalid("", at+"[amount]", "The transfer amount must be less than or equal to the total amount."))
	}
}

func listSessions(c *call) (any, error) {
	intentID, customerID, status, email := c.str("payment_intent"), c.str("customer"), c.choice("status", "open", "complete", "expired"), c.str("customer_details[email]")
	return page(c, kSession, func(s *session) bool {
		return (intentID == "" || text(s.PaymentIntent) == intentID) && (customerID == "" || text(s.Customer) == customerID) &&
			(status == "" || s.Status == status) && (email == "" || (s.CustomerDetails != nil && text(s.CustomerDetails.Email) == email))
	})
}

func (t *tx) lineItems(sessionID string) list[lineItem] {
	l := newList[lineItem]("/v1/checkout/sessions/" + sessionID + "/line_items")
	for _, item := range known[order](t, orderID(sessionID)).Lines {
		item.Detail = ""
		l.Data = append(l.Data, item)
	}
	return l
}

func sessionLineItems(c *call) (any, error) {
	if _, err := find[session](c.tx, kSession, c.account, c.id, "session"); err != nil {
		return nil, err
	}
	return slicePage(c, c.lineItems(c.id).Data, func(l lineItem) string { return l.ID })
}

func expireSession(c *call) (any, error) {
	s, err := find[session](c.tx, kSession, c.account, c.id, "session")
	if err != nil {
		return nil, err
	}
	if s.Status != "open" {
		return nil, invalid("", "", "Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout Session has a status of `%s`.", s.Status)
	}
	c.expireNow(c.account, s)
	return s, nil
}

func (t *tx) expireNow(owner string, s *session) {
	s.Status, s.URL = "expired", nil
	if s.PaymentIntent != nil {
		pi := known[intent](t, *s.PaymentIntent)
		pi.Status, pi.NextAction = "canceled", nil
		pi.CancellationReason = str("automatic")
		at := t.now.Unix()
		pi.CanceledAt = &at
		t.put(owner, pi)
		t.emit(owner, "payment_intent.canceled", pi, nil)
	}
	t.put(owner, s)
	t.emit(owner, "checkout.session.expired", s, nil)
}

// sweep expires sessions whose time has come, and ends periods.
func sweep(t *tx) error {
	now := t.now.Unix()
	for id, at := range t.db.open {
		if at <= now {
			t.expireNow(t.owner(id), known[session](t, id))
		}
	}
	return bill(t)
}
