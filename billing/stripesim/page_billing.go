package stripesim

import "net/http"

// portal is a visit to the page where a customer looks after its subscriptions.
type portal struct {
	head
	Configuration string  `json:"configuration"`
	Customer      string  `json:"customer"`
	Locale        *string `json:"locale"`
	ReturnURL     *string `json:"return_url"`
	URL           string  `json:"url"`
}

func createPortal(c *call) (any, error) {
	p := &portal{head: c.tx.head(kPortal), Configuration: "bpc_default", Customer: c.need("customer"), ReturnURL: str(c.link("return_url")), Locale: str(c.str("locale"))}
	if err := c.done(); err != nil {
		return nil, err
	}
	if _, err := find[customer](c.tx, kCustomer, c.account, p.Customer, "customer"); err != nil {
		return nil, err
	}
	p.URL = c.sim.link("/portal/" + p.ID)
	c.put(c.account, p)
	return p, nil
}

type portalPage struct {
	Base, ID      string
	Customer      *customer
	Card          string
	Cards         []card
	Subscriptions []*subscription
	Invoices      []*invoice
	Return        string
	Problem       string
}

// portalOf reads what the page of a portal session shows.
func (s *Sim) portalOf(id string) (p *portalPage, err error) {
	err = s.read(func(t *tx) error {
		r := t.row(id)
		if r == nil || r.Kind != kPortal {
			return missing(kPortal, id, "session")
		}
		v := decode[portal](r)
		p = &portalPage{Base: s.prefix, ID: id, Customer: known[customer](t, v.Customer), Cards: cards[:offered], Return: text(v.ReturnURL)}
		if c := t.card(v.Customer); c.Number != "" {
			p.Card = c.Number[12:]
		}
		for _, sub := range newest(t, kSubscription, shown, func(_ string, sub *subscription) bool { return sub.Customer == v.Customer }) {
			p.Subscriptions = append(p.Subscriptions, sub.V)
		}
		for _, in := range newest(t, kInvoice, shown, func(_ string, in *invoice) bool { return text(in.Customer) == v.Customer }) {
			p.Invoices = append(p.Invoices, in.V)
		}
		return nil
	})
	return p, err
}

func (s *Sim) showPortal(v *visit) error {
	p, err := s.portalOf(v.id)
	if err != nil {
		return err
	}
	return v.show("portal", "Test billing page", p)
}

// answerPortal changes the card.
func (s *Sim) answerPortal(v *visit) error {
	p, err := s.portalOf(v.id)
	if err != nil {
		return err
	}
	if err := s.SetCard(p.Customer.ID, v.PostFormValue("card")); err != nil {
		v.status, p.Problem = http.StatusPaymentRequired, err.Error()
		return v.show("portal", "Test billing page", p)
	}
	return v.redirect(s.prefix + "/portal/" + v.id)
}

// payInvoicePage is the button of an open invoice's page: it is paid with the
// card that is chosen there, which is kept for the next ones.
func (s *Sim) payInvoicePage(v *visit) error {
	var customerID string
	err := s.read(func(t *tx) error {
		r := t.row(v.id)
		if r == nil || r.Kind != kInvoice {
			return missing(kInvoice, v.id, "invoice")
		}
		customerID = text(decode[invoice](r).Customer)
		return nil
	})
	if err == nil {
		err = s.SetCard(customerID, v.PostFormValue("card"))
	}
	if err == nil {
		err = s.PayInvoice(v.id)
	}
	if e, ok := err.(*Error); ok && e.Type == "card_error" {
		v.status = http.StatusPaymentRequired
		return s.invoicePage(v, e.Message+" Try another card.")
	}
	if err != nil {
		return err
	}
	return v.redirect(s.prefix + "/invoices/" + v.id)
}
