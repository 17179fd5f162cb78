package stripesim_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"

	"shingle/billing/stripesim"
)

func TestADirectChargePaysBoardAndPlatform(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	acct := b.account("standard", "Harbour Board")
	before := len(b.sim.Events())
	s := b.session(checkout(acct, "eur", 19900, 1990, func(p *stripe.CheckoutSessionParams) {
		p.Metadata = map[string]string{"order": "o1"}
		p.PaymentIntentData.Metadata = map[string]string{"order": "o1"}
		p.CustomerEmail = stripe.String("ada@example.test")
		p.BillingAddressCollection = stripe.String("required")
		p.TaxIDCollection = &stripe.CheckoutSessionTaxIDCollectionParams{Enabled: stripe.Bool(true)}
		p.InvoiceCreation = &stripe.CheckoutSessionInvoiceCreationParams{Enabled: stripe.Bool(true)}
		p.ConsentCollection = &stripe.CheckoutSessionConsentCollectionParams{TermsOfService: stripe.String("required")}
		p.Locale = stripe.String("de")
	}))
	if s.URL == "" || s.PaymentIntent != nil || s.Status != "open" || s.PaymentStatus != "unpaid" || s.AmountTotal != 19900 || s.Currency != "eur" {
		t.Errorf("new session: %+v", s)
	}
	must(t, b.sim.PayAs(s.ID, stripesim.CardOK, stripesim.Payer{Name: "Ada GmbH", Line1: "Allee 1", City: "Bonn", PostalCode: "53111", Country: "DE", TaxID: "DE123456789", Terms: true}))
	s = b.fetch(acct, s.ID)

	equal(t, "status", s.Status, stripe.CheckoutSessionStatusComplete)
	equal(t, "payment status", s.PaymentStatus, stripe.CheckoutSessionPaymentStatusPaid)
	equal(t, "e-mail", s.CustomerDetails.Email, "ada@example.test")
	equal(t, "address", s.CustomerDetails.Address.PostalCode+s.CustomerDetails.Address.Country, "53111DE")
	equal(t, "tax id", string(s.CustomerDetails.TaxIDs[0].Type)+s.CustomerDetails.TaxIDs[0].Value, "eu_vatDE123456789")
	equal(t, "consent", s.Consent.TermsOfService, stripe.CheckoutSessionConsentTermsOfServiceAccepted)
	equal(t, "metadata", s.PaymentIntent.Metadata["order"]+s.Metadata["order"], "o1o1")
	equal(t, "invoice", s.Invoice.Status, stripe.InvoiceStatusPaid)
	equal(t, "invoice total", s.Invoice.Total, 19900)
	if s.Invoice.HostedInvoiceURL == "" || s.Invoice.InvoicePDF == "" || len(s.Invoice.Lines.Data) != 1 {
		t.Errorf("invoice: %+v", s.Invoice)
	}
	ch := s.PaymentIntent.LatestCharge
	fee := int64(577 + 30) // 2.9 % of 199.00 is 5.771
	equal(t, "fees", ch.BalanceTransaction.Fee, fee+1990)
	equal(t, "net", ch.BalanceTransaction.Net, 19900-fee-1990)
	equal(t, "fee kinds", ch.BalanceTransaction.FeeDetails[0].Type+ch.BalanceTransaction.FeeDetails[1].Type, "stripe_feeapplication_fee")
	equal(t, "card", ch.PaymentMethodDetails.Card.Last4, "4242")

	f, err := b.api.ApplicationFees.Get(ch.ApplicationFee.ID, nil)
	must(t, err)
	if f.Amount != 1990 || f.Account.ID != acct || f.Charge.ID != ch.ID {
		t.Errorf("application fee: %+v", f)
	}
	want := []string{"payment_intent.created", "customer.created", "charge.succeeded", "payment_intent.succeeded", "checkout.session.completed", "application_fee.created", "invoice.created", "invoice.finalized", "invoice.paid", "invoice.payment_succeeded"}
	if got := b.kinds()[before:]; !slices.Equal(got, want) {
		t.Errorf("events: want %v, got %v", want, got)
	}
	for _, e := range b.sim.Events()[before:] {
		if platform := e.Type == "application_fee.created"; platform != (e.Account == "") {
			t.Errorf("%s has account %q", e.Type, e.Account)
		}
	}
	bp := &stripe.BalanceParams{}
	bp.SetStripeAccount(acct)
	bal, err := b.api.Balance.Get(bp)
	must(t, err)
	equal(t, "pending", bal.Pending[0].Amount, 19900-fee-1990)
	b.clock.add(49 * time.Hour)
	bal, err = b.api.Balance.Get(bp)
	must(t, err)
	equal(t, "available two days on", bal.Available[0].Amount, 19900-fee-1990)
}

func TestADestinationChargeTransfersLessTheFee(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	acct := b.account("express", "Gazette")
	s := b.session(checkout("", "usd", 10000, 1000, func(p *stripe.CheckoutSessionParams) {
		p.PaymentIntentData.TransferData = &stripe.CheckoutSessionPaymentIntentDataTransferDataParams{Destination: &acct}
	}))
	must(t, b.sim.Pay(s.ID, stripesim.CardOK))
	s = b.fetch("", s.ID)
	ch := s.PaymentIntent.LatestCharge
	tr, err := b.api.Transfers.Get(ch.Transfer.ID, nil)
	must(t, err)
	if tr.Amount != 10000 || tr.Destination.ID != acct || tr.SourceTransaction.ID != ch.ID {
		t.Errorf("transfer: %+v", tr)
	}
	platform := func() (sum int64) {
		bal, err := b.api.Balance.Get(nil)
		must(t, err)
		for _, a := range append(bal.Available, bal.Pending...) {
			sum += a.Amount
		}
		return sum
	}
	owner := func() (sum int64) {
		p := &stripe.BalanceParams{}
		p.SetStripeAccount(acct)
		bal, err := b.api.Balance.Get(p)
		must(t, err)
		for _, a := range append(bal.Available, bal.Pending...) {
			sum += a.Amount
		}
		return sum
	}
	equal(t, "platform", platform(), 1000-320)
	equal(t, "owner", owner(), 9000)
	_, err = b.api.Refunds.New(&stripe.RefundParams{Charge: &ch.ID, ReverseTransfer: stripe.Bool(true), RefundApplicationFee: stripe.Bool(true)})
	must(t, err)
	equal(t, "platform after the refund", platform(), -320)
	equal(t, "owner after the refund", owner(), 0)
}

func TestTheRulesOfConnectHold(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	standard, express := b.account("standard", "S"), b.account("express", "E")
	fresh, err := b.api.Accounts.New(&stripe.AccountParams{Type: stripe.String("standard")})
	must(t, err)
	to := func(id string) func(*stripe.CheckoutSessionParams) {
		return func(p *stripe.CheckoutSessionParams) {
			p.PaymentIntentData.TransferData = &stripe.CheckoutSessionPaymentIntentDataTransferDataParams{Destination: &id}
		}
	}
	for name, c := range map[string]struct {
		p           *stripe.CheckoutSessionParams
		code, param string
	}{
		"direct on express":       {checkout(express, "eur", 1000, 100), "", ""},
		"direct before go-live":   {checkout(fresh.ID, "eur", 1000, 100), "account_invalid", ""},
		"destination to standard": {checkout("", "eur", 1000, 100, to(standard)), "", "payment_intent_data[transfer_data][destination]"},
		"destination to nobody":   {checkout("", "eur", 1000, 100, to("acct_nobody")), "resource_missing", "payment_intent_data[transfer_data][destination]"},
		"direct and destination":  {checkout(standard, "eur", 1000, 100, to(express)), "", "payment_intent_data[transfer_data]"},
		"fee over amount":         {checkout(standard, "eur", 1000, 1001), "", "payment_intent_data[application_fee_amount]"},
		"fee without a merchant":  {checkout("", "eur", 1000, 100), "", "payment_intent_data[application_fee_amount]"},
		"too small in EUR":        {checkout(standard, "eur", 49, 0), "amount_too_small", ""},
		"too small in GBP":        {checkout(standard, "gbp", 29, 0), "amount_too_small", ""},
		"too small in JPY":        {checkout(standard, "jpy", 49, 0), "amount_too_small", ""},
		"unknown currency":        {checkout(standard, "xxx", 1000, 0), "", "line_items[0][price_data][currency]"},
		"too large":               {checkout(standard, "eur", 100000000, 0), "amount_too_large", "line_items[0][price_data][unit_amount]"},
		"no success URL":          {checkout(standard, "eur", 1000, 0, func(p *stripe.CheckoutSessionParams) { p.SuccessURL = nil }), "parameter_missing", "success_url"},
		"bad e-mail":              {checkout(standard, "eur", 1000, 0, func(p *stripe.CheckoutSessionParams) { p.CustomerEmail = stripe.String("nobody") }), "email_invalid", "customer_email"},
		"expires too soon": {checkout(standard, "eur", 1000, 0, func(p *stripe.CheckoutSessionParams) {
			p.ExpiresAt = stripe.Int64(b.clock.Now().Add(20 * time.Minute).Unix())
		}), "", "expires_at"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.api.CheckoutSessions.New(c.p)
			wantError(t, err, 400, invalidRequest, stripe.ErrorCode(c.code), c.param)
		})
	}
}

func TestJapaneseYenHasNoMinorUnit(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	acct := b.account("standard", "Board")
	s := b.session(checkout(acct, "jpy", 50, 5))
	must(t, b.sim.Pay(s.ID, stripesim.CardOK))
	equal(t, "amount", b.fetch(acct, s.ID).AmountTotal, 50)
}

func TestADeclinedCardLeavesTheSessionOpen(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	acct := b.account("standard", "Board")
	s := b.session(checkout(acct, "eur", 1000, 100))
	for number, code := range map[string]string{stripesim.CardDeclined: "generic_decline", stripesim.CardInsufficient: "insufficient_funds"} {
		var e *stripesim.Error
		if err := b.sim.Pay(s.ID, number); !errors.As(err, &e) || e.Type != "card_error" || e.DeclineCode != code {
			t.Errorf("want %s, got %v", code, err)
		}
		equal(t, "status", b.fetch(acct, s.ID).Status, stripe.CheckoutSessionStatusOpen)
	}
	must(t, b.sim.Pay(s.ID, stripesim.CardOK))
	equal(t, "paid", b.fetch(acct, s.ID).PaymentStatus, stripe.CheckoutSessionPaymentStatusPaid)
	kinds := strings.Join(b.kinds(), " ")
	equal(t, "intents made", strings.Count(kinds, "payment_intent.created"), 1)
	equal(t, "failures told", strings.Count(kinds, "charge.failed payment_intent.payment_failed"), 2)
	if err := b.sim.Pay(s.ID, stripesim.CardOK); err == nil {
		t.Error("a session can't be paid twice")
	}
}

func TestTheBankMayRefuseOrApprove(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	acct := b.account("standard", "Board")
	s := b.session(checkout(acct, "eur", 1000, 100))
	must(t, b.sim.Pay(s.ID, stripesim.CardAskBank))
	equal(t, "intent", b.fetch(acct, s.ID).PaymentIntent.Status, stripe.PaymentIntentStatusRequiresAction)
	var e *stripesim.Error
	if err := b.sim.Authenticate(s.ID, false); !errors.As(err, &e) || e.Code != "payment_intent_authentication_failure" {
		t.Errorf("got %v", err)
	}
	must(t, b.sim.Pay(s.ID, stripesim.CardAskBank))
	must(t, b.sim.Authenticate(s.ID, true))
	got := b.fetch(acct, s.ID)
	equal(t, "paid", got.PaymentStatus, stripe.CheckoutSessionPaymentStatusPaid)
	equal(t, "card", got.PaymentIntent.LatestCharge.PaymentMethodDetails.Card.Last4, "3155")
}

func TestADelayedMethodSettlesLater(t *testing.T) {
	t.Parallel()
	for _, ok := range []bool{true, false} {
		b := newBench(t)
		acct := b.account("standard", "Board")
		s := b.session(checkout(acct, "eur", 10000, 1000, func(p *stripe.CheckoutSessionParams) {
			p.PaymentMethodTypes = stripe.StringSlice([]string{"card", "sepa_debit"})
			p.InvoiceCreation = &stripe.CheckoutSessionInvoiceCreationParams{Enabled: stripe.Bool(true)}
		}))
		must(t, b.sim.Pay(s.ID, stripesim.BankDebit))
		got := b.fetch(acct, s.ID)
		equal(t, "status", got.Status, stripe.CheckoutSessionStatusComplete)
		equal(t, "payment status", got.PaymentStatus, stripe.CheckoutSessionPaymentStatusUnpaid)
		equal(t, "intent", got.PaymentIntent.Status, stripe.PaymentIntentStatusProcessing)
		must(t, b.sim.SettleDelayed(s.ID, ok))
		got = b.fetch(acct, s.ID)
		want, event := stripe.CheckoutSessionPaymentStatusUnpaid, "checkout.session.async_payment_failed"
		if ok {
			want, event = stripe.CheckoutSessionPaymentStatusPaid, "checkout.session.async_payment_succeeded"
			equal(t, "invoice", got.Invoice.Paid, true)
			equal(t, "fee", got.PaymentIntent.LatestCharge.ApplicationFeeAmount, 1000)
		}
		equal(t, "payment status", got.PaymentStatus, want)
		if !slices.Contains(b.kinds(), event) {
			t.Errorf("no %s in %v", event, b.kinds())
		}
		if err := b.sim.SettleDelayed(s.ID, true); err == nil {
			t.Error("a payment settles once")
		}
	}
}

func TestSessionsExpireByCallAndByTime(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	acct := b.account("standard", "Board")
	one, two, paid := b.session(checkout(acct, "eur", 1000, 0)), b.session(checkout(acct, "eur", 1000, 0)), b.paid(acct, 1000, 0)
	p := &stripe.CheckoutSessionExpireParams{}
	p.SetStripeAccount(acct)
	got, err := b.api.CheckoutSessions.Expire(one.ID, p)
	must(t, err)
	if got.Status != "expired" || got.URL != "" {
		t.Errorf("expired session: %+v", got)
	}
	for _, id := range []string{one.ID, paid.ID} {
		_, err = b.api.CheckoutSessions.Expire(id, p)
		wantError(t, err, 400, invalidRequest, "", "")
	}
	b.clock.add(24*time.Hour + time.Second)
	equal(t, "by time", b.fetch(acct, two.ID).Status, stripe.CheckoutSessionStatusExpired)
	equal(t, "events", strings.Count(strings.Join(b.kinds(), " "), "checkout.session.expired"), 2)
	if err := b.sim.Pay(two.ID, stripesim.CardOK); err == nil {
		t.Error("an expired session was paid")
	}
}

func TestLineItemsAreListedAndExpanded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.session(checkout("", "usd", 1000, 0, func(p *stripe.CheckoutSessionParams) {
		p.LineItems[0].Quantity = stripe.Int64(3)
		p.AddExpand("line_items")
	}))
	equal(t, "expanded", s.LineItems.Data[0].AmountTotal, 3000)
	it := b.api.CheckoutSessions.ListLineItems(&stripe.CheckoutSessionListLineItemsParams{Session: &s.ID})
	if !it.Next() || it.LineItem().Description != "30-day listing" || it.LineItem().Price.UnitAmount != 1000 {
		t.Errorf("line items: %v", it.Err())
	}
}
