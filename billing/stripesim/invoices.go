package stripesim

import (
	"encoding/json"
	"fmt"
)

type invoice struct {
	head
	AccountCountry       string            `json:"account_country"`
	AccountName          string            `json:"account_name"`
	AmountDue            int64             `json:"amount_due"`
	AmountPaid           int64             `json:"amount_paid"`
	AmountRemaining      int64             `json:"amount_remaining"`
	AmountShipping       int64             `json:"amount_shipping"`
	ApplicationFeeAmount *int64            `json:"application_fee_amount"`
	AttemptCount         int64             `json:"attempt_count"`
	Attempted            bool              `json:"attempted"`
	AutoAdvance          bool              `json:"auto_advance"`
	BillingReason        string            `json:"billing_reason"`
	Charge               string            `json:"charge"`
	CollectionMethod     string            `json:"collection_method"`
	Currency             string            `json:"currency"`
	Customer             *string           `json:"customer"`
	CustomerAddress      *address          `json:"customer_address"`
	CustomerEmail        *string           `json:"customer_email"`
	CustomerName         *string           `json:"customer_name"`
	CustomerPhone        *string           `json:"customer_phone"`
	CustomerTaxExempt    string            `json:"customer_tax_exempt"`
	CustomerTaxIDs       []taxID           `json:"customer_tax_ids"`
	CustomFields         []invoiceField    `json:"custom_fields"`
	Description          *string           `json:"description"`
	Footer               *string           `json:"footer"`
	HostedInvoiceURL     string            `json:"hosted_invoice_url"`
	InvoicePDF           string            `json:"invoice_pdf"`
	Lines                list[invoiceLine] `json:"lines"`
	Metadata             meta              `json:"metadata"`
	Number               string            `json:"number"`
	Paid                 bool              `json:"paid"`
	PaymentIntent        string            `json:"payment_intent"`
	PeriodEnd            int64             `json:"period_end"`
	PeriodStart          int64             `json:"period_start"`
	Status               string            `json:"status"`
	StatusTransitions    struct {
		FinalizedAt         *int64 `json:"finalized_at"`
		MarkedUncollectible *int64 `json:"marked_uncollectible_at"`
		PaidAt              *int64 `json:"paid_at"`
		VoidedAt            *int64 `json:"voided_at"`
	} `json:"status_transitions"`
	Subtotal             int64                `json:"subtotal"`
	SubtotalExcludingTax int64                `json:"subtotal_excluding_tax"`
	Tax                  *int64               `json:"tax"`
	StartingBalance      int64                `json:"starting_balance"`
	EndingBalance        *int64               `json:"ending_balance"`
	NextPaymentAttempt   *int64               `json:"next_payment_attempt"`
	Subscription         *string              `json:"subscription"`
	SubscriptionDetails  *subscriptionDetails `json:"subscription_details"`
	TestClock            *string              `json:"test_clock"`
	Total                int64                `json:"total"`
	TotalExcludingTax    int64                `json:"total_excluding_tax"`
	TotalTaxAmounts      []string             `json:"total_tax_amounts"`
	AutomaticTax         json.RawMessage      `json:"automatic_tax"`
}

type subscriptionDetails struct {
	Metadata meta `json:"metadata"`
}

type period struct {
	Start int64 `json:"start"`
	End   int64 `json:"end"`
}

type invoiceLine struct {
	ID           string  `json:"id"`
	Object       string  `json:"object"`
	Amount       int64   `json:"amount"`
	Currency     string  `json:"currency"`
	Description  string  `json:"description"`
	Livemode     bool    `json:"livemode"`
	Metadata     meta    `json:"metadata"`
	Period       *period `json:"period"`
	Price        price   `json:"price"`
	Proration    bool    `json:"proration"`
	Quantity     int64   `json:"quantity"`
	Subscription *string `json:"subscription"`
	Type         string  `json:"type"`
}

// newInvoice makes the paid invoice of a session whose payment succeeded; the
// caller keeps it.
func (t *tx) newInvoice(owner string, s *session, o *order, pi *intent, ch *charge) *invoice {
	merchant := known[account](t, orPlatform(t, owner))
	data, now := s.InvoiceCreation.InvoiceData, t.now.Unix()
	in := &invoice{head: t.head(kInvoice), AccountCountry: merchant.Country, AccountName: merchant.name(), AmountDue: s.AmountTotal, AmountPaid: s.AmountTotal,
		ApplicationFeeAmount: pi.ApplicationFeeAmount, AttemptCount: 1, Attempted: true, BillingReason: "manual", Charge: ch.ID, CollectionMethod: "charge_automatically",
		Currency: s.Currency, Customer: s.Customer, CustomerTaxExempt: "none", CustomerTaxIDs: []taxID{}, CustomFields: data.CustomFields, Description: data.Description,
		Footer: data.Footer, Metadata: data.Metadata, Paid: true, PaymentIntent: pi.ID, PeriodEnd: now, PeriodStart: now, Status: "paid", Subtotal: s.AmountSubtotal,
		SubtotalExcludingTax: s.AmountSubtotal, Total: s.AmountTotal, TotalExcludingTax: s.AmountTotal, TotalTaxAmounts: []string{},
		AutomaticTax: json.RawMessage(`{"enabled":false,"liability":null,"status":null}`)}
	in.StatusTransitions.FinalizedAt, in.StatusTransitions.PaidAt = &now, &now
	if d := s.CustomerDetails; d != nil {
		in.CustomerAddress, in.CustomerEmail, in.CustomerName, in.CustomerPhone, in.CustomerTaxIDs = d.Address, d.Email, d.Name, d.Phone, d.TaxIDs
	}
	in.Lines = newList[invoiceLine]("/v1/invoices/" + in.ID + "/lines")
	for _, l := range o.Lines {
		in.Lines.Data = append(in.Lines.Data, invoiceLine{ID: "il_" + secret(24), Object: "line_item", Amount: l.AmountTotal, Currency: l.Currency, Description: l.Description,
			Metadata: meta{}, Price: l.Price, Quantity: l.Quantity, Type: "invoiceitem"})
	}
	number := 1
	t.scan(kInvoice, func(r *row) bool {
		if r.Account == owner {
			number++
		}
		return true
	})
	in.Number = fmt.Sprintf("%s-%04d", merchant.ID[len(merchant.ID)-8:], number)
	in.HostedInvoiceURL, in.InvoicePDF = t.sim.link("/invoices/"+in.ID), t.sim.link("/invoices/"+in.ID+"/pdf")
	return in
}

func orPlatform(t *tx, owner string) string {
	if owner == "" {
		return platformID(t)
	}
	return owner
}

func listInvoices(c *call) (any, error) {
	customerID, status := c.str("customer"), c.str("status")
	return page(c, kInvoice, func(v *invoice) bool {
		return (customerID == "" || text(v.Customer) == customerID) && (status == "" || v.Status == status)
	})
}
