package stripesim

import (
	"cmp"
	"net/http"
	"strings"
)

type checkoutPage struct {
	ID, Base   string
	Merchant   string
	Session    *session
	Lines      []lineItem
	Cards      []card
	Delayed    string
	TakesCards bool
	Countries  []country
	Payer      Payer
	Choice     string
	Wrong      map[string]string
	Problem    string
	Terms      string
	AskTerms   bool
	AskAddress bool
	AtBank     bool
}

// openSession reads a session and its order; ok is false when the visit has
// been answered already because the session is over.
func (s *Sim) openSession(v *visit) (p *checkoutPage, ok bool, err error) {
	p = &checkoutPage{ID: v.id, Base: s.prefix}
	err = s.read(func(t *tx) error {
		r := t.row(v.id)
		if r == nil || r.Kind != kSession {
			return missing(kSession, v.id, "session")
		}
		o := known[order](t, orderID(v.id))
		p.Session = decode[session](r)
		p.Merchant, p.Lines, p.Terms = t.merchant(cmp.Or(r.Account, text(o.Payment.OnBehalfOf))), o.Lines, o.Terms
		p.AtBank = o.Card != ""
		if p.Session.Customer != nil { // Stripe fills in what it knows of one
			p.Payer.Email = text(known[customer](t, *p.Session.Customer).Email)
		}
		if o.Buyer != nil {
			p.Payer = *o.Buyer
		}
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	switch p.Session.Status {
	case "complete":
		return p, false, v.show("message", "You're all done here", message{Text: "This payment has been made.", Link: p.Session.successURL(), Label: "Go on to " + p.Merchant})
	case "expired":
		return p, false, v.show("message", "This page has expired", message{Text: "Nothing was charged. Go back and start the payment again.", Link: text(p.Session.CancelURL), Label: "Back to " + p.Merchant})
	}
	p.Cards, p.Delayed, p.TakesCards, p.Countries = cards[:offered], p.Session.delayed(), p.Session.takesCards(), countries
	p.AskTerms, p.AskAddress = p.Session.ConsentCollection["terms_of_service"] == "required", p.Session.addressRequired()
	p.Terms = cmp.Or(p.Terms, "I agree to "+p.Merchant+"'s terms of service.")
	return p, true, nil
}

func (s *Sim) showCheckout(v *visit) error {
	p, ok, err := s.openSession(v)
	if err != nil || !ok {
		return err
	}
	p.Payer.Email = cmp.Or(text(p.Session.CustomerEmail), p.Payer.Email)
	p.Choice = CardOK
	if !p.TakesCards {
		p.Choice = BankDebit
	}
	if v.URL.Query().Get("bank") == "refused" {
		p.Problem = "Your bank did not approve the payment. Try another card, or go back."
	}
	return v.show("checkout", "Test checkout", p)
}

func (s *Sim) payCheckout(v *visit) error {
	if err := v.ParseForm(); err != nil {
		return invalid("", "", "The form can't be read.")
	}
	p, ok, err := s.openSession(v)
	if err != nil || !ok {
		return err
	}
	field := func(name string) string { return strings.TrimSpace(v.PostForm.Get(name)) }
	p.Payer = Payer{Email: field("email"), Name: field("name"), Line1: field("line1"), City: field("city"), PostalCode: field("postcode"), Country: field("country"), Phone: field("phone"), Terms: field("terms") != ""}
	if p.Session.TaxIDCollection.Enabled {
		p.Payer.TaxID = field("tax_id")
	}
	p.Choice = field("card")
	if p.Wrong = p.Payer.check(p.Session); len(p.Wrong) > 0 {
		v.status = http.StatusUnprocessableEntity
		return v.show("checkout", "Test checkout", p)
	}
	var needsBank bool
	var over bool
	err = s.onSession(v.id, func(t *tx, owner string, cs *session, o *order) (refused *Error, err error) {
		if over = cs.Status != "open"; over {
			return nil, nil
		}
		needsBank, refused, err = t.attempt(owner, cs, o, p.Choice, p.Payer)
		return refused, err
	})
	if e, ok := err.(*Error); ok && e.Type == "card_error" {
		v.status = http.StatusPaymentRequired
		p.Problem = e.Message + " Try another card, or go back."
		return v.show("checkout", "Test checkout", p)
	}
	switch {
	case err != nil:
		return err
	case over:
		return v.redirect(s.prefix + "/checkout/" + v.id)
	case needsBank:
		return v.redirect(s.prefix + "/checkout/" + v.id + "/bank")
	}
	return v.redirect(p.Session.successURL())
}

func (s *Sim) showBank(v *visit) error {
	p, ok, err := s.openSession(v)
	if err != nil || !ok {
		return err
	}
	if !p.AtBank {
		return v.redirect(s.prefix + "/checkout/" + v.id)
	}
	return v.show("bank", "Test bank", p)
}

func (s *Sim) answerBank(v *visit) error {
	p, ok, err := s.openSession(v)
	if err != nil || !ok {
		return err
	}
	approved := v.PostFormValue("answer") == "approve"
	err = s.Authenticate(v.id, approved)
	if e, ok := err.(*Error); ok && e.Type == "card_error" {
		return v.redirect(s.prefix + "/checkout/" + v.id + "?bank=refused")
	}
	if err != nil {
		return err
	}
	return v.redirect(p.Session.successURL())
}

func (s *Sim) showInvoice(v *visit) error { return s.invoicePage(v, "") }

func (s *Sim) invoicePage(v *visit, problem string) error {
	return s.read(func(t *tx) error {
		r := t.row(v.id)
		if r == nil || r.Kind != kInvoice {
			return missing(kInvoice, v.id, "invoice")
		}
		in := decode[invoice](r)
		refunded := int64(0)
		if in.Charge != "" {
			refunded = known[charge](t, in.Charge).AmountRefunded
		}
		return v.show("invoice", "Invoice "+in.Number, map[string]any{"In": in, "Refunded": refunded, "Base": s.prefix, "Problem": problem, "Cards": cards[:offered],
			"Payable": in.Status == "open" && in.Subscription != nil})
	})
}

func (s *Sim) showReceipt(v *visit) error {
	return s.read(func(t *tx) error {
		r := t.row(v.id)
		if r == nil || r.Kind != kCharge {
			return missing(kCharge, v.id, "charge")
		}
		ch := decode[charge](r)
		return v.show("message", "Receipt", message{Text: "Paid to " + t.merchant(r.Account) + ": " + formatMoney(ch.Amount, ch.Currency) + ". Refunded: " + formatMoney(ch.AmountRefunded, ch.Currency) + "."})
	})
}
