package stripesim

import (
	"cmp"
	"slices"
	"time"
)

type balanceTxn struct {
	head
	Amount            int64       `json:"amount"`
	AvailableOn       int64       `json:"available_on"`
	Currency          string      `json:"currency"`
	Description       *string     `json:"description"`
	ExchangeRate      *float64    `json:"exchange_rate"`
	Fee               int64       `json:"fee"`
	FeeDetails        []feeDetail `json:"fee_details"`
	Net               int64       `json:"net"`
	ReportingCategory string      `json:"reporting_category"`
	Source            *string     `json:"source"`
	Status            string      `json:"status"`
	Type              string      `json:"type"`
}

type feeDetail struct {
	Amount      int64   `json:"amount"`
	Application *string `json:"application"`
	Currency    string  `json:"currency"`
	Description *string `json:"description"`
	Type        string  `json:"type"`
}

type applicationFee struct {
	head
	Account                string          `json:"account"`
	Amount                 int64           `json:"amount"`
	AmountRefunded         int64           `json:"amount_refunded"`
	Application            string          `json:"application"`
	BalanceTransaction     string          `json:"balance_transaction"`
	Charge                 string          `json:"charge"`
	Currency               string          `json:"currency"`
	OriginatingTransaction *string         `json:"originating_transaction"`
	Refunded               bool            `json:"refunded"`
	Refunds                list[feeRefund] `json:"refunds"`
}

type feeRefund struct {
	head
	Amount             int64  `json:"amount"`
	BalanceTransaction string `json:"balance_transaction"`
	Currency           string `json:"currency"`
	Fee                string `json:"fee"`
	Metadata           meta   `json:"metadata"`
}

type transfer struct {
	head
	Amount             int64          `json:"amount"`
	AmountReversed     int64          `json:"amount_reversed"`
	BalanceTransaction string         `json:"balance_transaction"`
	Currency           string         `json:"currency"`
	Description        *string        `json:"description"`
	Destination        string         `json:"destination"`
	DestinationPayment string         `json:"destination_payment"`
	Metadata           meta           `json:"metadata"`
	Reversals          list[reversal] `json:"reversals"`
	Reversed           bool           `json:"reversed"`
	SourceTransaction  *string        `json:"source_transaction"`
	SourceType         string         `json:"source_type"`
	TransferGroup      *string        `json:"transfer_group"`
}

type reversal struct {
	head
	Amount                   int64   `json:"amount"`
	BalanceTransaction       string  `json:"balance_transaction"`
	Currency                 string  `json:"currency"`
	DestinationPaymentRefund string  `json:"destination_payment_refund"`
	Metadata                 meta    `json:"metadata"`
	SourceRefund             *string `json:"source_refund"`
	Transfer                 string  `json:"transfer"`
}

// book writes one movement of an account's balance: fees are taken off amount.
func (t *tx) book(account, kind, category, source, currency string, amount int64, fees ...feeDetail) string {
	b := &balanceTxn{head: t.head(kTxn), Amount: amount, AvailableOn: t.now.Unix(), Currency: currency, FeeDetails: []feeDetail{}, ReportingCategory: category,
		Source: &source, Status: "available", Type: kind}
	for _, f := range fees {
		if f.Amount != 0 {
			b.Fee += f.Amount
			b.FeeDetails = append(b.FeeDetails, f)
		}
	}
	b.Net = amount - b.Fee
	if kind == "charge" {
		b.AvailableOn, b.Status = t.now.Add(48*time.Hour).Unix(), "pending"
	}
	t.put(account, b)
	return b.ID
}

func (t *tx) stripeFee(amount int64, currency string) feeDetail {
	return feeDetail{Amount: stripeFee(amount), Currency: currency, Description: str("Stripe processing fees"), Type: "stripe_fee"}
}

func (t *tx) applicationFee(amount int64, currency string) feeDetail {
	return feeDetail{Amount: amount, Application: str(clientID(t)), Currency: currency, Description: str(t.merchant("") + " application fee"), Type: "application_fee"}
}

// bookCharge moves the money of a charge: on the connected account less both
// fees (direct), or on the platform with a transfer onward (destination). The
// returned function tells of the fee and the transfer.
func (t *tx) bookCharge(owner string, pi *intent, ch *charge) func() {
	fee := int64(0)
	if pi.ApplicationFeeAmount != nil {
		fee = *pi.ApplicationFeeAmount
	}
	if owner != "" {
		id := t.book(owner, "charge", "charge", ch.ID, ch.Currency, ch.Amount, t.stripeFee(ch.Amount, ch.Currency), t.applicationFee(fee, ch.Currency))
		ch.BalanceTransaction = &id
		if fee == 0 {
			return func() {}
		}
		f := t.newFee(owner, ch.ID, nil, ch.Currency, fee)
		ch.ApplicationFee = &f.ID
		return func() { t.emit("", "application_fee.created", f, nil) }
	}
	id := t.book("", "charge", "charge", ch.ID, ch.Currency, ch.Amount, t.stripeFee(ch.Amount, ch.Currency))
	ch.BalanceTransaction = &id
	if pi.TransferData == nil {
		return func() {}
	}
	amount := ch.Amount
	if pi.TransferData.Amount != nil {
		amount = *pi.TransferData.Amount
	}
	tr, payment := t.newTransfer(pi.TransferData.Destination, ch.Currency, amount, fee, &ch.ID, ch.TransferGroup)
	ch.Transfer = &tr.ID
	var f *applicationFee
	if fee > 0 {
		f = t.newFee(tr.Destination, payment.ID, &ch.ID, ch.Currency, fee)
		ch.ApplicationFee = &f.ID
		payment.ApplicationFee = &f.ID
		t.put(tr.Destination, payment)
	}
	return func() {
		if f != nil {
			t.emit("", "application_fee.created", f, nil)
		}
		t.emit("", "transfer.created", tr, nil)
		t.emit(tr.Destination, "payment.created", payment, nil)
	}
}

func (t *tx) newFee(account, chargeID string, origin *string, currency string, amount int64) *applicationFee {
	f := &applicationFee{head: t.head(kFee), Account: account, Amount: amount, Application: clientID(t), Charge: chargeID, Currency: currency, OriginatingTransaction: origin}
	f.Refunds = newList[feeRefund]("/v1/application_fees/" + f.ID + "/refunds")
	f.BalanceTransaction = t.book("", "application_fee", "platform_earning", f.ID, currency, amount)
	t.put("", f)
	return f
}

// newTransfer moves money from the platform to an account, where it arrives as
// a payment, less the application fee when one goes back.
func (t *tx) newTransfer(to, currency string, amount, fee int64, source, group *string) (*transfer, *charge) {
	tr := &transfer{head: t.head(kTransfer), Amount: amount, Currency: currency, Destination: to, Metadata: meta{}, SourceTransaction: source, SourceType: "card", TransferGroup: group}
	tr.Reversals = newList[reversal]("/v1/transfers/" + tr.ID + "/reversals")
	tr.BalanceTransaction = t.book("", "transfer", "transfer", tr.ID, currency, -amount)
	py := &charge{head: t.head(kCharge), Amount: amount, AmountCaptured: amount, Captured: true, Paid: true, Currency: currency, Metadata: meta{}, SourceTransfer: &tr.ID, Status: "succeeded"}
	py.ID = newID("py_")
	if fee > 0 {
		py.ApplicationFeeAmount = &fee
	}
	id := t.book(to, "payment", "charge", py.ID, currency, amount, t.applicationFee(fee, currency))
	py.BalanceTransaction = &id
	tr.DestinationPayment = py.ID
	t.put("", tr)
	t.put(to, py)
	return tr, py
}

// refundFee gives part of an application fee back. inTxn says that the account's
// side is booked with its refund already.
func (t *tx) refundFee(f *applicationFee, amount int64, m meta, inTxn bool) *feeRefund {
	r := &feeRefund{head: t.head(kFeeRefund), Amount: amount, Currency: f.Currency, Fee: f.ID, Metadata: m}
	r.BalanceTransaction = t.book("", "application_fee_refund", "platform_earning_refund", r.ID, f.Currency, -amount)
	if !inTxn {
		t.book(f.Account, "adjustment", "other_adjustment", f.Charge, f.Currency, amount)
	}
	f.AmountRefunded += amount
	f.Refunded = f.AmountRefunded == f.Amount
	f.Refunds.Data = append([]feeRefund{*r}, f.Refunds.Data...)
	t.put("", r)
	t.put("", f)
	return r
}

// reverse takes part of a transfer back. feeBack is the application fee that the
// account gets back in the same movement.
func (t *tx) reverse(tr *transfer, amount, feeBack int64, refundID *string, m meta) *reversal {
	r := &reversal{head: t.head(kReversal), Amount: amount, Currency: tr.Currency, Metadata: m, SourceRefund: refundID, Transfer: tr.ID, DestinationPaymentRefund: newID("pyr_")}
	r.BalanceTransaction = t.book("", "transfer_refund", "transfer_reversal", r.ID, tr.Currency, amount)
	t.book(tr.Destination, "payment_refund", "refund", r.DestinationPaymentRefund, tr.Currency, -amount, t.applicationFee(-feeBack, tr.Currency))
	tr.AmountReversed += amount
	tr.Reversed = tr.AmountReversed == tr.Amount
	tr.Reversals.Data = append([]reversal{*r}, tr.Reversals.Data...)
	t.put("", r)
	t.put("", tr)
	return r
}

func createTransfer(c *call) (any, error) {
	amount, currency, to := c.positive("amount"), c.need("currency"), c.need("destination")
	if amount == nil {
		c.need("amount")
	}
	source, group, description, m := str(c.str("source_transaction")), str(c.str("transfer_group")), str(c.str("description")), c.dict("metadata")
	c.choice("source_type", "bank_account", "card", "fpx")
	if err := c.done(); err != nil {
		return nil, err
	}
	if c.account != "" {
		return nil, invalid("", "", "Transfers are made by the platform, without the Stripe-Account header.")
	}
	r := c.row(to)
	if r == nil || r.Kind != kAccount {
		return nil, &Error{Status: 400, Type: "invalid_request_error", Code: "resource_missing", Param: "destination", Message: "No such destination: '" + to + "'"}
	}
	if decode[account](r).Capabilities["transfers"] != "active" {
		return nil, invalid("insufficient_capabilities_for_transfer", "destination", "Your destination account needs to have at least one of the following capabilities enabled: transfers, crypto_transfers, legacy_payments")
	}
	if source != nil {
		ch, err := find[charge](c.tx, kCharge, "", *source, "source_transaction")
		if err != nil {
			return nil, err
		}
		sent := *amount
		c.scan(kTransfer, func(r *row) bool {
			if v := decode[transfer](r); text(v.SourceTransaction) == ch.ID {
				sent += v.Amount
			}
			return true
		})
		if sent > ch.Amount {
			return nil, invalid("", "amount", "The transfers of charge %s would be more than its amount of %s.", ch.ID, formatMoney(ch.Amount, ch.Currency))
		}
	}
	tr, payment := c.newTransfer(to, currency, *amount, 0, source, group)
	tr.Description, tr.Metadata = description, m
	c.put("", tr)
	c.emit("", "transfer.created", tr, nil)
	c.emit(to, "payment.created", payment, nil)
	return tr, nil
}

func createReversal(c *call) (any, error) {
	tr, err := find[transfer](c.tx, kTransfer, c.account, c.id, "id")
	if err != nil {
		return nil, err
	}
	left := tr.Amount - tr.AmountReversed
	amount := left
	if n := c.positive("amount"); n != nil {
		amount = *n
	}
	feeToo, m := c.flag("refund_application_fee"), c.dict("metadata")
	c.accept("description")
	if err := c.done(); err != nil {
		return nil, err
	}
	if left == 0 || amount > left {
		return nil, invalid("", "amount", "Reversal amount (%s) is greater than unreversed amount on transfer (%s)", formatMoney(amount, tr.Currency), formatMoney(left, tr.Currency))
	}
	feeBack := int64(0)
	var f *applicationFee
	if id := known[charge](c.tx, tr.DestinationPayment).ApplicationFee; feeToo && id != nil {
		f = known[applicationFee](c.tx, *id)
		feeBack = max(0, min(f.Amount-f.AmountRefunded, share(f.Amount, tr.AmountReversed+amount, tr.Amount)-f.AmountRefunded))
	}
	r := c.reverse(tr, amount, feeBack, nil, m)
	c.emit("", "transfer.reversed", tr, nil)
	if feeBack > 0 {
		c.refundFee(f, feeBack, meta{}, true)
		c.emit("", "application_fee.refunded", f, nil)
	}
	return r, nil
}

func listTransfers(c *call) (any, error) {
	to, group := c.str("destination"), c.str("transfer_group")
	return page(c, kTransfer, func(v *transfer) bool {
		return (to == "" || v.Destination == to) && (group == "" || text(v.TransferGroup) == group)
	})
}

func listReversals(c *call) (any, error) {
	tr, err := find[transfer](c.tx, kTransfer, c.account, c.id, "id")
	if err != nil {
		return nil, err
	}
	return slicePage(c, tr.Reversals.Data, func(r reversal) string { return r.ID })
}

func listFees(c *call) (any, error) {
	chargeID := c.str("charge")
	return page(c, kFee, func(v *applicationFee) bool {
		return chargeID == "" || v.Charge == chargeID || text(v.OriginatingTransaction) == chargeID
	})
}

func createFeeRefund(c *call) (any, error) {
	f, err := find[applicationFee](c.tx, kFee, c.account, c.id, "id")
	if err != nil {
		return nil, err
	}
	left := f.Amount - f.AmountRefunded
	amount := left
	if n := c.positive("amount"); n != nil {
		amount = *n
	}
	m := c.dict("metadata")
	if err := c.done(); err != nil {
		return nil, err
	}
	if left == 0 || amount > left {
		return nil, invalid("", "amount", "Refund amount (%s) is greater than unrefunded amount on fee (%s)", formatMoney(amount, f.Currency), formatMoney(left, f.Currency))
	}
	r := c.refundFee(f, amount, m, false)
	c.emit("", "application_fee.refunded", f, nil)
	return r, nil
}

func listFeeRefunds(c *call) (any, error) {
	f, err := find[applicationFee](c.tx, kFee, c.account, c.id, "id")
	if err != nil {
		return nil, err
	}
	return slicePage(c, f.Refunds.Data, func(r feeRefund) string { return r.ID })
}

func listTxns(c *call) (any, error) {
	kind, source, currency := c.str("type"), c.str("source"), c.str("currency")
	c.accept("payout")
	return page(c, kTxn, func(b *balanceTxn) bool {
		return (kind == "" || b.Type == kind) && (source == "" || text(b.Source) == source) && (currency == "" || b.Currency == currency)
	})
}

type balanceAmount struct {
	Amount      int64            `json:"amount"`
	Currency    string           `json:"currency"`
	SourceTypes map[string]int64 `json:"source_types"`
}

func getBalance(c *call) (any, error) {
	available, pending := map[string]int64{}, map[string]int64{}
	c.scan(kTxn, func(r *row) bool {
		if r.Account != c.account {
			return true
		}
		b := decode[balanceTxn](r)
		if b.AvailableOn <= c.now.Unix() {
			available[b.Currency] += b.Net
		} else {
			pending[b.Currency] += b.Net
		}
		return true
	})
	for currency := range available { // Stripe shows a currency in both
		pending[currency] += 0
	}
	for currency := range pending {
		available[currency] += 0
	}
	return map[string]any{"object": "balance", "livemode": false, "available": amounts(available), "pending": amounts(pending)}, nil
}

func amounts(m map[string]int64) []balanceAmount {
	out := make([]balanceAmount, 0, len(m))
	for currency, n := range m {
		out = append(out, balanceAmount{Amount: n, Currency: currency, SourceTypes: map[string]int64{"card": n}})
	}
	slices.SortFunc(out, func(a, b balanceAmount) int { return cmp.Compare(a.Currency, b.Currency) })
	return out
}
