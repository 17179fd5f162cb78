package stripesim_test

import (
	"strings"
	"testing"

	"github.com/stripe/stripe-go/v76"
)

func TestARefundGivesBackTheFeeOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	acct := b.account("standard", "Board")
	refund := func(id string, amount int64, fee bool) (*stripe.Refund, error) {
		p := &stripe.RefundParams{PaymentIntent: &id, Reason: stripe.String("requested_by_customer")}
		if amount > 0 {
			p.Amount = &amount
		}
		if fee {
			p.RefundApplicationFee = stripe.Bool(true)
		}
		p.AddExpand("balance_transaction")
		p.SetStripeAccount(acct)
		return b.api.Refunds.New(p)
	}
	kept := b.paid(acct, 10000, 1000)
	r, err := refund(kept.PaymentIntent.ID, 0, false)
	must(t, err)
	equal(t, "net of a plain refund", r.BalanceTransaction.Net, -10000)
	f, err := b.api.ApplicationFees.Get(kept.PaymentIntent.LatestCharge.ApplicationFee.ID, nil)
	must(t, err)
	equal(t, "fee refunded", f.AmountRefunded, 0)

	back := b.paid(acct, 10000, 999)
	r, err = refund(back.PaymentIntent.ID, 3333, true)
	must(t, err)
	equal(t, "net of a third", r.BalanceTransaction.Net, -3333+332)
	r, err = refund(back.PaymentIntent.ID, 0, true)
	must(t, err)
	equal(t, "the rest", r.Amount, 6667)
	f, err = b.api.ApplicationFees.Get(back.PaymentIntent.LatestCharge.ApplicationFee.ID, nil)
	must(t, err)
	if f.AmountRefunded != 999 || !f.Refunded || len(f.Refunds.Data) != 2 {
		t.Errorf("fee: %+v", f)
	}
	_, err = refund(back.PaymentIntent.ID, 0, true)
	wantError(t, err, 400, invalidRequest, "charge_already_refunded", "charge")
	part := b.paid(acct, 10000, 0)
	_, err = refund(part.PaymentIntent.ID, 10001, false)
	wantError(t, err, 400, invalidRequest, "", "amount")
	_, err = refund(part.PaymentIntent.ID, 0, true)
	wantError(t, err, 400, invalidRequest, "", "refund_application_fee")

	kinds := strings.Join(b.kinds(), " ")
	equal(t, "told of refund and fee", strings.Count(kinds, "charge.refunded refund.created charge.refund.updated application_fee.refunded"), 2)
}

func TestARefundFromTheDashboardKeepsTheFee(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	acct := b.account("standard", "Board")
	s := b.paid(acct, 10000, 1000)
	must(t, b.sim.RefundFromDashboard(s.PaymentIntent.LatestCharge.ID, 0))
	p := &stripe.ChargeParams{}
	p.AddExpand("refunds")
	p.AddExpand("application_fee")
	p.SetStripeAccount(acct)
	ch, err := b.api.Charges.Get(s.PaymentIntent.LatestCharge.ID, p)
	must(t, err)
	if !ch.Refunded || len(ch.Refunds.Data) != 1 || ch.ApplicationFee.AmountRefunded != 0 {
		t.Errorf("charge: %+v", ch)
	}
	events := b.sim.Events()
	if last := events[len(events)-1]; last.Account != acct {
		t.Errorf("the refund is told as %s of %q", last.Type, last.Account)
	}
}

func TestAFeeIsRefundedOnItsOwn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	acct := b.account("standard", "Board")
	s := b.paid(acct, 10000, 1000)
	fee := s.PaymentIntent.LatestCharge.ApplicationFee.ID
	r, err := b.api.FeeRefunds.New(&stripe.FeeRefundParams{ID: &fee, Amount: stripe.Int64(400)})
	must(t, err)
	equal(t, "amount", r.Amount, 400)
	_, err = b.api.FeeRefunds.New(&stripe.FeeRefundParams{ID: &fee, Amount: stripe.Int64(601)})
	wantError(t, err, 400, invalidRequest, "", "amount")
}

func TestADisputeTakesTheMoneyAndMayGiveItBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	acct := b.account("standard", "Board")
	s := b.paid(acct, 10000, 1000)
	id := s.PaymentIntent.LatestCharge.ID
	must(t, b.sim.OpenDispute(id))
	p := &stripe.RefundParams{Charge: &id}
	p.SetStripeAccount(acct)
	_, err := b.api.Refunds.New(p)
	wantError(t, err, 400, invalidRequest, "charge_disputed", "charge")
	must(t, b.sim.CloseDispute(id, true))
	l := &stripe.DisputeListParams{Charge: &id}
	l.SetStripeAccount(acct)
	it := b.api.Disputes.List(l)
	if !it.Next() || it.Dispute().Status != "won" || len(it.Dispute().BalanceTransactions) != 2 {
		t.Errorf("dispute: %v %+v", it.Err(), it.Dispute())
	}
	kinds := strings.Join(b.kinds(), " ")
	for _, k := range []string{"charge.dispute.created", "charge.dispute.funds_withdrawn", "charge.dispute.funds_reinstated", "charge.dispute.closed"} {
		equal(t, k, strings.Count(kinds, k), 1)
	}
}

func TestSeparateTransfersAndReversals(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	acct := b.account("express", "Board")
	s := b.session(checkout("", "eur", 10000, 0))
	must(t, b.sim.Pay(s.ID, "4242424242424242"))
	ch := b.fetch("", s.ID).PaymentIntent.LatestCharge.ID
	send := func(amount int64) (*stripe.Transfer, error) {
		return b.api.Transfers.New(&stripe.TransferParams{Amount: &amount, Currency: stripe.String("eur"), Destination: &acct, SourceTransaction: &ch})
	}
	tr, err := send(9000)
	must(t, err)
	_, err = send(1001)
	wantError(t, err, 400, invalidRequest, "", "amount")
	_, err = b.api.TransferReversals.New(&stripe.TransferReversalParams{ID: &tr.ID, Amount: stripe.Int64(4000)})
	must(t, err)
	tr, err = b.api.Transfers.Get(tr.ID, nil)
	must(t, err)
	equal(t, "reversed", tr.AmountReversed, 4000)
}
