package stripesim

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Cards that the checkout page offers, and the method that settles later.
const (
	CardOK           = "4242424242424242"
	CardDeclined     = "4000000000000002"
	CardAskBank      = "4000002500003155" // the bank asks the buyer to approve
	CardInsufficient = "4000000000009995"
	CardDisputed     = "4000000000000259" // succeeds and is disputed at once
	BankDebit        = "bank_debit"
)

// Payer is what a buyer types on the checkout page. Empty fields that the
// session does not ask for stay empty.
type Payer struct {
	Email      string
	Name       string
	Line1      string
	City       string
	PostalCode string
	Country    string // ISO 3166-1 alpha-2
	TaxID      string
	Phone      string
	Terms      bool // agreed to the terms of service
}

type card struct {
	Number, brand, Label string
	decline              *Error
	asksBank, disputed   bool
}

func declined(code, reason, message string) *Error {
	return &Error{Status: 402, Type: "card_error", Code: code, DeclineCode: reason, Message: message}
}

var cards = []card{
	{Number: CardOK, brand: "visa", Label: "The payment succeeds"},
	{Number: CardDeclined, brand: "visa", Label: "The card is declined", decline: declined("card_declined", "generic_decline", "Your card was declined.")},
	{Number: CardAskBank, brand: "visa", Label: "The bank asks you to approve", asksBank: true},
	{Number: CardInsufficient, brand: "visa", Label: "Insufficient funds", decline: declined("card_declined", "insufficient_funds", "Your card has insufficient funds.")},
	{Number: CardDisputed, brand: "visa", Label: "The payment succeeds and is disputed", disputed: true},
	{Number: "5555555555554444", brand: "mastercard", Label: "The payment succeeds"},
}

// offered is how many of cards the page shows as choices.
const offered = 4

func cardOf(number string) (card, bool) {
	number = strings.ReplaceAll(number, " ", "")
	i := slices.IndexFunc(cards, func(c card) bool { return c.Number == number })
	if i < 0 {
		return card{}, false
	}
	return cards[i], true
}

// delayed is the session's method that settles later, or "".
func (s *session) delayed() string {
	i := slices.IndexFunc(s.PaymentMethodTypes, func(m string) bool { return slices.Contains(delayedMethods, m) })
	if i < 0 {
		return ""
	}
	return s.PaymentMethodTypes[i]
}

func (s *session) takesCards() bool { return slices.Contains(s.PaymentMethodTypes, "card") }

// attempt is one press of the pay button. A decline is a *Error of type
// card_error inside result, so that the failed attempt is kept; err means that
// nothing happened. needsBank means that the buyer must approve first.
func (t *tx) attempt(owner string, s *session, o *order, method string, who Payer) (needsBank bool, decline *Error, err error) {
	if s.Status != "open" {
		return false, nil, invalid("checkout_session_"+s.Status, "", "This Checkout Session is %s.", s.Status)
	}
	if method == BankDebit {
		if o.Plan != nil {
			return false, nil, invalid("", "payment_method", "This simulator collects subscriptions from cards only.")
		}
		if s.delayed() == "" {
			return false, nil, invalid("", "payment_method", "This Checkout Session takes no bank debit.")
		}
		pi := t.intentOf(owner, s, o)
		t.complete(owner, s, o, pi, who, s.delayed(), nil)
		return false, nil, nil
	}
	c, ok := cardOf(method)
	if !ok || !s.takesCards() {
		return false, nil, declined("incorrect_number", "", "Your card number is incorrect.")
	}
	if o.Plan != nil {
		if c.decline != nil {
			return false, c.decline, nil
		}
		t.subscribe(owner, s, o, who, &c)
		return false, nil, nil
	}
	pi := t.intentOf(owner, s, o)
	if o.Card != "" { // no longer what the bank was asked about
		o.Card = ""
		t.put(owner, o)
	}
	switch {
	case c.decline != nil:
		t.refuse(owner, s, o, pi, who, &c, c.decline)
		return false, c.decline, nil
	case c.asksBank:
		o.Buyer, o.Card = &who, c.Number
		pi.Status = "requires_action"
		back := t.sim.link("/checkout/" + s.ID + "/bank")
		pi.NextAction = mustJSON(map[string]any{"type": "redirect_to_url", "redirect_to_url": map[string]any{"url": back, "return_url": t.sim.link("/checkout/" + s.ID)}})
		t.put(owner, o)
		t.put(owner, pi)
		t.put(owner, s)
		t.emit(owner, "payment_intent.requires_action", pi, nil)
		return true, nil, nil
	}
	t.complete(owner, s, o, pi, who, "card", &c)
	return false, nil, nil
}

// authenticate is the bank's answer to a payment that waits for it.
func (t *tx) authenticate(owner string, s *session, o *order, approved bool) (decline *Error, err error) {
	if s.Status != "open" || s.PaymentIntent == nil || o.Card == "" {
		return nil, invalid("payment_intent_unexpected_state", "", "No payment of this Checkout Session waits for a bank.")
	}
	c, _ := cardOf(o.Card)
	who := *o.Buyer
	pi := t.intentOf(owner, s, o)
	o.Card = "" // the buyer stays: he may try another card
	t.put(owner, o)
	if !approved {
		e := declined("payment_intent_authentication_failure", "", "We are unable to authenticate your payment method. Please choose a different payment method and try again.")
		t.refuse(owner, s, o, pi, who, nil, e)
		return e, nil
	}
	t.complete(owner, s, o, pi, who, "card", &c)
	return nil, nil
}

// intentOf is the session's payment intent, made at its first attempt.
func (t *tx) intentOf(owner string, s *session, o *order) *intent {
	if s.PaymentIntent != nil {
		return known[intent](t, *s.PaymentIntent)
	}
	p := o.Payment
	pi := &intent{head: t.head(kIntent), Amount: s.AmountTotal, ApplicationFeeAmount: p.Fee, CaptureMethod: "automatic", ConfirmationMethod: "automatic", Currency: s.Currency,
		Customer: s.Customer, Description: p.Description, Metadata: p.Metadata, OnBehalfOf: p.OnBehalfOf, PaymentMethodTypes: s.PaymentMethodTypes, ReceiptEmail: p.ReceiptEmail,
		SetupFutureUsage: p.SetupFutureUsage, StatementDescriptor: p.StatementDescriptor, StatementDescriptorSuffix: p.StatementSuffix, Status: "requires_payment_method",
		TransferData: p.TransferData, TransferGroup: p.TransferGroup}
	pi.ClientSecret = pi.ID + "_secret_" + secret(25)
	if owner != "" {
		pi.Application = str(clientID(t))
	}
	s.PaymentIntent = &pi.ID
	t.put(owner, pi)
	t.put(owner, s)
	t.emit(owner, "payment_intent.created", pi, nil)
	return pi
}

// newCharge fills in what every charge of a session has; it is not yet kept.
func (t *tx) newCharge(owner string, s *session, o *order, pi *intent, who Payer, method string, c *card) *charge {
	ch := &charge{head: t.head(kCharge), Amount: pi.Amount, Application: pi.Application, ApplicationFeeAmount: pi.ApplicationFeeAmount, Currency: pi.Currency, Customer: s.Customer,
		Description: pi.Description, Metadata: pi.Metadata, OnBehalfOf: pi.OnBehalfOf, PaymentIntent: &pi.ID, ReceiptEmail: pi.ReceiptEmail, TransferData: pi.TransferData,
		TransferGroup: pi.TransferGroup, StatementDescriptor: pi.StatementDescriptor, StatementDescriptorSuffix: pi.StatementDescriptorSuffix}
	ch.BillingDetails = billing{Address: *who.address(), Email: str(who.Email), Name: str(who.Name), Phone: str(who.Phone)}
	ch.CalculatedStatementDescriptor = str(strings.ToUpper(t.merchant(owner)))
	ch.PaymentMethod = str("pm_" + secret(24))
	if pi.TransferData != nil {
		ch.Destination = &pi.TransferData.Destination
		if ch.TransferGroup == nil {
			ch.TransferGroup = str("group_" + pi.ID)
		}
	}
	if method == "card" {
		if c == nil {
			c = &cards[0]
		}
		ch.PaymentMethodDetails = mustJSON(map[string]any{"type": "card", "card": map[string]any{"brand": c.brand, "last4": c.Number[12:], "exp_month": 12, "exp_year": t.now.Year() + 3,
			"country": "US", "funding": "credit", "network": c.brand, "fingerprint": "sim" + c.Number[8:], "checks": map[string]any{"cvc_check": "pass", "address_line1_check": nil, "address_postal_code_check": nil}}})
	} else {
		ch.PaymentMethodDetails = mustJSON(map[string]any{"type": method, method: map[string]any{"last4": "3000", "country": "DE", "bank_code": "37040044", "fingerprint": "simbank"}})
	}
	return ch
}

// refuse records an attempt that was refused; the session stays open.
func (t *tx) refuse(owner string, s *session, o *order, pi *intent, who Payer, c *card, e *Error) {
	pi.Status, pi.NextAction = "requires_payment_method", nil
	pi.LastPaymentError = mustJSON(e)
	if c != nil {
		ch := t.newCharge(owner, s, o, pi, who, "card", c)
		ch.Status, ch.FailureCode, ch.FailureMessage = "failed", str(e.Code), str(e.Message)
		ch.Outcome = &outcome{NetworkStatus: "declined_by_network", Reason: str(e.DeclineCode), RiskLevel: "normal", SellerMessage: "The bank did not return any further details with this decline.", Type: "issuer_declined"}
		pi.LatestCharge = &ch.ID
		t.put(owner, ch)
		t.emit(owner, "charge.failed", ch, nil)
	}
	t.put(owner, pi)
	t.put(owner, s)
	t.emit(owner, "payment_intent.payment_failed", pi, nil)
}

// complete ends the session: paid at once by card, or processing by bank debit.
func (t *tx) complete(owner string, s *session, o *order, pi *intent, who Payer, method string, c *card) {
	s.Status, s.URL = "complete", nil
	s.CustomerDetails = &customerDetails{Address: who.address(), Email: str(who.Email), Name: str(who.Name), Phone: str(who.Phone), TaxExempt: "none", TaxIDs: []taxID{}}
	if id := who.taxID(); id != nil {
		s.CustomerDetails.TaxIDs = append(s.CustomerDetails.TaxIDs, *id)
	}
	if s.ConsentCollection["terms_of_service"] == "required" {
		s.Consent = map[string]string{"terms_of_service": "accepted"}
	}
	if s.Customer == nil && (s.InvoiceCreation.Enabled || s.CustomerCreation == "always") {
		cus := &customer{head: t.head(kCustomer), Address: who.address(), Email: str(who.Email), Name: str(who.Name), Phone: str(who.Phone), Currency: nil, Metadata: meta{}, TaxExempt: "none"}
		t.put(owner, cus)
		t.emit(owner, "customer.created", cus, nil)
		s.Customer, pi.Customer = &cus.ID, &cus.ID
	}
	ch := t.newCharge(owner, s, o, pi, who, method, c)
	pi.LatestCharge, pi.PaymentMethod, pi.NextAction, pi.LastPaymentError = &ch.ID, ch.PaymentMethod, nil, nil
	if method != "card" {
		ch.Status = "pending"
		pi.Status = "processing"
		t.put(owner, ch)
		t.put(owner, pi)
		t.put(owner, s)
		t.emit(owner, "charge.pending", ch, nil)
		t.emit(owner, "payment_intent.processing", pi, nil)
		t.emit(owner, "checkout.session.completed", s, nil)
		return
	}
	t.collect(owner, s, o, pi, ch, "checkout.session.completed")
	if c != nil && c.disputed {
		_, _ = t.dispute(owner, ch) // can't fail: the charge is new
	}
}

// collect books a charge that succeeded and tells of it in Stripe's order.
func (t *tx) collect(owner string, s *session, o *order, pi *intent, ch *charge, sessionEvent string) {
	ch.Status, ch.Paid, ch.Captured, ch.AmountCaptured = "succeeded", true, true, ch.Amount
	ch.Outcome = &outcome{NetworkStatus: "approved_by_network", RiskLevel: "normal", SellerMessage: "Payment complete.", Type: "authorized"}
	ch.ReceiptURL = str(t.sim.link("/receipts/" + ch.ID))
	pi.Status, pi.AmountReceived = "succeeded", pi.Amount
	s.PaymentStatus = "paid"
	var in *invoice
	if s.InvoiceCreation.Enabled {
		in = t.newInvoice(owner, s, o, pi, ch)
		s.Invoice, pi.Invoice, ch.Invoice = &in.ID, &in.ID, &in.ID
	}
	later := t.bookCharge(owner, pi, ch)
	t.put(owner, ch)
	t.put(owner, pi)
	t.put(owner, s)
	t.emit(owner, "charge.succeeded", ch, nil)
	t.emit(owner, "payment_intent.succeeded", pi, nil)
	t.emit(owner, sessionEvent, s, nil)
	later()
	if in != nil {
		t.put(owner, in)
		for _, kind := range []string{"invoice.created", "invoice.finalized", "invoice.paid", "invoice.payment_succeeded"} {
			t.emit(owner, kind, in, nil)
		}
	}
}

// settle ends a delayed payment, days after its session was completed.
func (t *tx) settle(owner string, s *session, o *order, paid bool) error {
	if s.PaymentIntent == nil || known[intent](t, *s.PaymentIntent).Status != "processing" {
		return invalid("payment_intent_unexpected_state", "", "No payment of this Checkout Session waits to settle.")
	}
	pi := known[intent](t, *s.PaymentIntent)
	ch := known[charge](t, *pi.LatestCharge)
	if paid {
		t.collect(owner, s, o, pi, ch, "checkout.session.async_payment_succeeded")
		return nil
	}
	e := declined("payment_method_provider_decline", "", "The customer's bank has declined the debit.")
	ch.Status, ch.FailureCode, ch.FailureMessage = "failed", str(e.Code), str(e.Message)
	pi.Status, pi.LastPaymentError = "requires_payment_method", mustJSON(e)
	t.put(owner, ch)
	t.put(owner, pi)
	t.emit(owner, "charge.failed", ch, nil)
	t.emit(owner, "payment_intent.payment_failed", pi, nil)
	t.emit(owner, "checkout.session.async_payment_failed", s, nil)
	return nil
}

func (p Payer) address() *address {
	return &address{City: str(p.City), Country: str(p.Country), Line1: str(p.Line1), PostalCode: str(p.PostalCode)}
}

func (p Payer) taxID() *taxID {
	c, ok := countryOf(p.Country)
	if p.TaxID == "" || !ok || c.TaxID == "" {
		return nil
	}
	return &taxID{Type: c.TaxID, Value: p.TaxID}
}

// check says which fields of the checkout page must change, by their names.
func (p *Payer) check(s *session) map[string]string {
	wrong := map[string]string{}
	p.Email = cmp.Or(text(s.CustomerEmail), p.Email)
	if !looksLikeEmail(p.Email) {
		wrong["email"] = "Enter an e-mail address."
	}
	if p.Name == "" {
		wrong["name"] = "Enter the name on the card."
	}
	c, ok := countryOf(p.Country)
	if !ok {
		wrong["country"] = "Choose a country."
	}
	if s.addressRequired() {
		if p.Line1 == "" {
			wrong["line1"] = "Enter the street and number."
		}
		if p.City == "" {
			wrong["city"] = "Enter the city."
		}
	}
	if p.PostalCode == "" && ok && c.Code != "HK" {
		wrong["postcode"] = "Enter the postcode."
	}
	if p.TaxID = strings.ToUpper(strings.ReplaceAll(p.TaxID, " ", "")); p.TaxID != "" && ok {
		switch {
		case c.TaxID == "":
			wrong["tax_id"] = "No tax id is collected in " + c.Name + ". Leave this empty."
		case c.TaxID == "eu_vat" && !euVAT(c.Code, p.TaxID):
			wrong["tax_id"] = fmt.Sprintf("Enter a VAT number of %s, such as %s123456789.", c.Name, vatPrefix(c.Code))
		case c.TaxID == "gb_vat" && !strings.HasPrefix(p.TaxID, "GB"):
			wrong["tax_id"] = "Enter a VAT number such as GB123456789."
		}
	}
	if s.ConsentCollection["terms_of_service"] == "required" && !p.Terms {
		wrong["terms"] = "Agree to the terms to go on."
	}
	return wrong
}

func (s *session) addressRequired() bool { return text(s.BillingAddressCollection) == "required" }

func vatPrefix(country string) string {
	if country == "GR" {
		return "EL"
	}
	return country
}

func euVAT(country, id string) bool {
	return strings.HasPrefix(id, vatPrefix(country)) && len(id) >= 8 && len(id) <= 14
}

// successURL is where the buyer goes after paying.
func (s *session) successURL() string {
	return strings.ReplaceAll(s.SuccessURL, sessionMark, url.QueryEscape(s.ID))
}

func listIntents(c *call) (any, error) {
	customerID := c.str("customer")
	return page(c, kIntent, func(v *intent) bool { return customerID == "" || text(v.Customer) == customerID })
}

func listCharges(c *call) (any, error) {
	customerID, intentID, group := c.str("customer"), c.str("payment_intent"), c.str("transfer_group")
	return page(c, kCharge, func(v *charge) bool {
		return (customerID == "" || text(v.Customer) == customerID) && (intentID == "" || text(v.PaymentIntent) == intentID) && (group == "" || text(v.TransferGroup) == group)
	})
}
