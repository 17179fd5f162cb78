package stripesim

type refund struct {
	head
	Amount                 int64   `json:"amount"`
	BalanceTransaction     *string `json:"balance_transaction"`
	Charge                 string  `json:"charge"`
	Currency               string  `json:"currency"`
	Metadata               meta    `json:"metadata"`
	PaymentIntent          *string `json:"payment_intent"`
	Reason                 *string `json:"reason"`
	ReceiptNumber          *string `json:"receipt_number"`
	SourceTransferReversal *string `json:"source_transfer_reversal"`
	Status                 string  `json:"status"`
	TransferReversal       *string `json:"transfer_reversal"`
}

type dispute struct {
	head
	Amount              int64    `json:"amount"`
	BalanceTransactions []any    `json:"balance_transactions"`
	Charge              string   `json:"charge"`
	Currency            string   `json:"currency"`
	Evidence            struct{} `json:"evidence"`
	EvidenceDetails     struct {
		DueBy           int64 `json:"due_by"`
		HasEvidence     bool  `json:"has_evidence"`
		PastDue         bool  `json:"past_due"`
		SubmissionCount int64 `json:"submission_count"`
	} `json:"evidence_details"`
	IsChargeRefundable bool    `json:"is_charge_refundable"`
	Metadata           meta    `json:"metadata"`
	PaymentIntent      *string `json:"payment_intent"`
	Reason             string  `json:"reason"`
	Status             string  `json:"status"`
}

// refundOptions are what the maker of a refund may ask besides the amount.
type refundOptions struct {
	fee, reverse bool
	reason       *string
	meta         meta
}

// refund gives amount of a charge back to the buyer; 0 is all that is left.
// Stripe keeps its own fee, and the application fee unless asked otherwise.
func (t *tx) refund(owner string, ch *charge, amount int64, o refundOptions) (*refund, error) {
	left := ch.Amount - ch.AmountRefunded
	if amount == 0 {
		amount = left
	}
	switch {
	case ch.Status != "succeeded":
		return nil, invalid("charge_not_refundable", "charge", "Charge %s is not refundable: its status is %s.", ch.ID, ch.Status)
	case ch.SourceTransfer != nil:
		return nil, invalid("", "charge", "Payment %s came from a transfer: reverse the transfer.", ch.ID)
	case ch.Disputed:
		return nil, invalid("charge_disputed", "charge", "Charge %s has been charged back; cannot issue a refund.", ch.ID)
	case left == 0:
		return nil, invalid("charge_already_refunded", "charge", "Charge %s has already been refunded.", ch.ID)
	case amount > left:
		return nil, invalid("", "amount", "Refund amount (%s) is greater than unrefunded amount on charge (%s)", formatMoney(amount, ch.Currency), formatMoney(left, ch.Currency))
	case o.fee && ch.ApplicationFee == nil:
		return nil, invalid("", "refund_application_fee", "Charge %s has no application fee, so its application fee can't be refunded.", ch.ID)
	case o.reverse && ch.Transfer == nil:
		return nil, invalid("", "reverse_transfer", "Charge %s has no transfer, so its transfer can't be reversed.", ch.ID)
	}
	re := &refund{head: t.head(kRefund), Amount: amount, Charge: ch.ID, Currency: ch.Currency, Metadata: o.meta, PaymentIntent: ch.PaymentIntent, Reason: o.reason, Status: "succeeded"}
	ch.AmountRefunded += amount
	ch.Refunded = ch.AmountRefunded == ch.Amount

	var fee *applicationFee
	feeBack := int64(0)
	if o.fee {
		fee = known[applicationFee](t, *ch.ApplicationFee)
		feeBack = max(0, min(fee.Amount-fee.AmountRefunded, share(fee.Amount, ch.AmountRefunded, ch.Amount)-fee.AmountRefunded))
	}
	onRefund := int64(0) // the fee comes back to the account that paid it
	if owner != "" {
		onRefund = feeBack
	}
	id := t.book(owner, "refund", "refund", re.ID, ch.Currency, -amount, t.applicationFee(-onRefund, ch.Currency))
	re.BalanceTransaction = &id
	var tr *transfer
	if o.reverse {
		tr = known[transfer](t, *ch.Transfer)
		if back := share(tr.Amount, ch.AmountRefunded, ch.Amount) - tr.AmountReversed; back > 0 {
			r := t.reverse(tr, min(back, tr.Amount-tr.AmountReversed), feeBack, &re.ID, meta{})
			re.TransferReversal = &r.ID
		}
	}
	if feeBack > 0 {
		t.refundFee(fee, feeBack, meta{}, owner != "" || re.TransferReversal != nil)
	}
	t.put(owner, re)
	t.put(owner, ch)
	t.emit(owner, "charge.refunded", ch, map[string]any{"amount_refunded": ch.AmountRefunded - amount, "refunded": false})
	t.emit(owner, "refund.created", re, nil)
	t.emit(owner, "charge.refund.updated", re, nil)
	if feeBack > 0 {
		t.emit("", "application_fee.refunded", fee, nil)
	}
	if re.TransferReversal != nil {
		t.emit("", "transfer.reversed", tr, nil)
	}
	return re, nil
}

func createRefund(c *call) (any, error) {
	chargeID, intentID := c.str("charge"), c.str("payment_intent")
	o := refundOptions{fee: c.flag("refund_application_fee"), reverse: c.flag("reverse_transfer"), meta: c.dict("metadata"),
		reason: str(c.choice("reason", "duplicate", "fraudulent", "requested_by_customer"))}
	amount := c.positive("amount")
	if err := c.done(); err != nil {
		return nil, err
	}
	switch {
	case chargeID == "" && intentID == "":
		return nil, invalid("parameter_missing", "", "One of the following params should be provided for this request: payment_intent or charge.")
	case intentID != "":
		pi, err := find[intent](c.tx, kIntent, c.account, intentID, "payment_intent")
		if err != nil {
			return nil, err
		}
		if pi.LatestCharge == nil {
			return nil, invalid("payment_intent_unexpected_state", "payment_intent", "This PaymentIntent (%s) does not have a successful charge to refund.", intentID)
		}
		if chargeID != "" && chargeID != *pi.LatestCharge {
			return nil, invalid("", "charge", "The charge does not belong to the payment intent.")
		}
		chargeID = *pi.LatestCharge
	}
	ch, err := find[charge](c.tx, kCharge, c.account, chargeID, "charge")
	if err != nil {
		return nil, err
	}
	n := int64(0)
	if amount != nil {
		n = *amount
	}
	re, err := c.refund(c.account, ch, n, o)
	if err != nil {
		return nil, err
	}
	return re, nil
}

func listRefunds(c *call) (any, error) {
	chargeID, intentID := c.str("charge"), c.str("payment_intent")
	return page(c, kRefund, func(v *refund) bool {
		return (chargeID == "" || v.Charge == chargeID) && (intentID == "" || text(v.PaymentIntent) == intentID)
	})
}

// refundsOf is a charge's list of refunds, newest first.
func (t *tx) refundsOf(chargeID string) list[*refund] {
	l := newList[*refund]("/v1/charges/" + chargeID + "/refunds")
	t.scan(kRefund, func(r *row) bool {
		if v := decode[refund](r); v.Charge == chargeID {
			l.Data = append(l.Data, v)
		}
		return true
	})
	return l
}

// disputeFee is what Stripe takes for a dispute, in minor units.
const disputeFee = 1500

// dispute takes a charge's money back as the buyer's bank does.
func (t *tx) dispute(owner string, ch *charge) (*dispute, error) {
	if ch.Status != "succeeded" || ch.Disputed || ch.Refunded {
		return nil, invalid("", "charge", "Charge %s can't be disputed.", ch.ID)
	}
	d := &dispute{head: t.head(kDispute), Amount: ch.Amount - ch.AmountRefunded, Charge: ch.ID, Currency: ch.Currency, Metadata: meta{}, PaymentIntent: ch.PaymentIntent,
		Reason: "fraudulent", Status: "needs_response"}
	d.EvidenceDetails.DueBy = t.now.AddDate(0, 0, 8).Unix()
	id := t.book(owner, "adjustment", "dispute", d.ID, d.Currency, -d.Amount, feeDetail{Amount: disputeFee, Currency: d.Currency, Description: str("Dispute fee"), Type: "stripe_fee"})
	d.BalanceTransactions = []any{known[balanceTxn](t, id)}
	ch.Disputed, ch.Dispute = true, &d.ID
	t.put(owner, d)
	t.put(owner, ch)
	t.emit(owner, "charge.dispute.created", d, nil)
	t.emit(owner, "charge.dispute.funds_withdrawn", d, nil)
	return d, nil
}

// closeDispute ends a dispute; a won one gives the money and the fee back.
func (t *tx) closeDispute(owner string, d *dispute, won bool) error {
	if d.Status != "needs_response" {
		return invalid("", "dispute", "This dispute is %s.", d.Status)
	}
	d.Status = "lost"
	if won {
		d.Status = "won"
		id := t.book(owner, "adjustment", "dispute_reversal", d.ID, d.Currency, d.Amount, feeDetail{Amount: -disputeFee, Currency: d.Currency, Description: str("Dispute fee"), Type: "stripe_fee"})
		d.BalanceTransactions = append(d.BalanceTransactions, known[balanceTxn](t, id))
	}
	t.put(owner, d)
	if won {
		t.emit(owner, "charge.dispute.funds_reinstated", d, nil)
	}
	t.emit(owner, "charge.dispute.closed", d, nil)
	return nil
}

func listDisputes(c *call) (any, error) {
	chargeID, intentID := c.str("charge"), c.str("payment_intent")
	return page(c, kDispute, func(v *dispute) bool {
		return (chargeID == "" || v.Charge == chargeID) && (intentID == "" || text(v.PaymentIntent) == intentID)
	})
}
