package stripesim

import (
	"crypto/rand"
	"encoding/json"
)

// Kinds of rows: Stripe's `object` names, and our own with the prefix "sim.".
const (
	kAccount      = "account"
	kSession      = "checkout.session"
	kIntent       = "payment_intent"
	kCharge       = "charge"
	kRefund       = "refund"
	kFee          = "application_fee"
	kFeeRefund    = "fee_refund"
	kTransfer     = "transfer"
	kReversal     = "transfer_reversal"
	kTxn          = "balance_transaction"
	kCustomer     = "customer"
	kInvoice      = "invoice"
	kDispute      = "dispute"
	kEvent        = "event"
	kEndpoint     = "webhook_endpoint"
	kProduct      = "product"
	kPrice        = "price"
	kSubscription = "subscription"
	kSchedule     = "subscription_schedule"
	kCustomerTxn  = "customer_balance_transaction"
	kPortal       = "billing_portal.session"
	kTestClock    = "test_helpers.test_clock"
	kWallet       = "sim.wallet"
	kClock        = "sim.clock"
	kAccountLink  = "sim.account_link"
	kLoginLink    = "sim.login_link"
	kOrder        = "sim.order"
	kDelivery     = "sim.delivery"
	kKey          = "sim.idempotency_key"
)

var prefixes = map[string]string{
	kAccount: "acct_", kSession: "cs_test_", kIntent: "pi_", kCharge: "ch_", kRefund: "re_", kFee: "fee_", kFeeRefund: "fr_",
	kTransfer: "tr_", kReversal: "trr_", kTxn: "txn_", kCustomer: "cus_", kInvoice: "in_", kDispute: "du_", kEvent: "evt_",
	kProduct: "prod_", kPrice: "price_", kSubscription: "sub_", kSchedule: "sub_sched_", kTestClock: "clock_", kCustomerTxn: "cbtxn_", kPortal: "bps_", kEndpoint: "we_", kAccountLink: "link_", kLoginLink: "login_", kDelivery: "dlv_",
}

// newID makes an identifier that can't be guessed, of Stripe's shape.
func newID(prefix string) string {
	n := 24
	if prefix == prefixes[kSession] {
		n = 58
	}
	if prefix == prefixes[kAccount] {
		n = 16
	}
	return prefix + secret(n)
}

func secret(n int) string {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	out := make([]byte, 0, n)
	var buf [64]byte
	for len(out) < n {
		_, _ = rand.Read(buf[:]) // never fails
		for _, b := range buf {
			if b < 248 && len(out) < n { // 4 × 62: every letter as likely
				out = append(out, alphabet[b%62])
			}
		}
	}
	return string(out)
}

type meta = map[string]string

type list[T any] struct {
	Object  string `json:"object"`
	Data    []T    `json:"data"`
	HasMore bool   `json:"has_more"`
	URL     string `json:"url"`
}

func newList[T any](url string) list[T] { return list[T]{Object: "list", Data: []T{}, URL: url} }

type address struct {
	City       *string `json:"city"`
	Country    *string `json:"country"`
	Line1      *string `json:"line1"`
	Line2      *string `json:"line2"`
	PostalCode *string `json:"postal_code"`
	State      *string `json:"state"`
}

type taxID struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

type account struct {
	head
	BusinessProfile  businessProfile   `json:"business_profile"`
	BusinessType     *string           `json:"business_type"`
	Capabilities     map[string]string `json:"capabilities"`
	ChargesEnabled   bool              `json:"charges_enabled"`
	Country          string            `json:"country"`
	DefaultCurrency  string            `json:"default_currency"`
	DetailsSubmitted bool              `json:"details_submitted"`
	Email            *string           `json:"email"`
	Metadata         meta              `json:"metadata"`
	PayoutsEnabled   bool              `json:"payouts_enabled"`
	Requirements     requirements      `json:"requirements"`
	Settings         json.RawMessage   `json:"settings"`
	Type             string            `json:"type"`
}

type businessProfile struct {
	MCC                *string `json:"mcc"`
	Name               *string `json:"name"`
	ProductDescription *string `json:"product_description"`
	SupportEmail       *string `json:"support_email"`
	SupportPhone       *string `json:"support_phone"`
	SupportURL         *string `json:"support_url"`
	URL                *string `json:"url"`
}

type requirements struct {
	Alternatives        []string `json:"alternatives"`
	CurrentDeadline     *int64   `json:"current_deadline"`
	CurrentlyDue        []string `json:"currently_due"`
	DisabledReason      *string  `json:"disabled_reason"`
	Errors              []string `json:"errors"`
	EventuallyDue       []string `json:"eventually_due"`
	PastDue             []string `json:"past_due"`
	PendingVerification []string `json:"pending_verification"`
}

// name is what buyers see.
func (a *account) name() string {
	switch {
	case a.BusinessProfile.Name != nil:
		return *a.BusinessProfile.Name
	case a.Email != nil:
		return *a.Email
	}
	return a.ID
}

// accountLink is an onboarding link; Page is the page it was exchanged for.
type accountLink struct {
	head
	Account    string `json:"account"`
	RefreshURL string `json:"refresh_url"`
	ReturnURL  string `json:"return_url"`
	ExpiresAt  int64  `json:"expires_at"`
	Page       string `json:"page"`
	Finished   bool   `json:"finished"`
}

type loginLink struct {
	head
	Account string `json:"account"`
	Used    bool   `json:"used"`
}

type customer struct {
	head
	Address     *address `json:"address"`
	Balance     int64    `json:"balance"`
	Currency    *string  `json:"currency"`
	Description *string  `json:"description"`
	Email       *string  `json:"email"`
	Metadata    meta     `json:"metadata"`
	Name        *string  `json:"name"`
	Phone       *string  `json:"phone"`
	TaxExempt   string   `json:"tax_exempt"`
	TestClock   *string  `json:"test_clock"`
}

type charge struct {
	head
	Amount                        int64           `json:"amount"`
	AmountCaptured                int64           `json:"amount_captured"`
	AmountRefunded                int64           `json:"amount_refunded"`
	Application                   *string         `json:"application"`
	ApplicationFee                *string         `json:"application_fee"`
	ApplicationFeeAmount          *int64          `json:"application_fee_amount"`
	BalanceTransaction            *string         `json:"balance_transaction"`
	BillingDetails                billing         `json:"billing_details"`
	CalculatedStatementDescriptor *string         `json:"calculated_statement_descriptor"`
	Captured                      bool            `json:"captured"`
	Currency                      string          `json:"currency"`
	Customer                      *string         `json:"customer"`
	Description                   *string         `json:"description"`
	Destination                   *string         `json:"destination"`
	Dispute                       *string         `json:"dispute"`
	Disputed                      bool            `json:"disputed"`
	FailureCode                   *string         `json:"failure_code"`
	FailureMessage                *string         `json:"failure_message"`
	FraudDetails                  struct{}        `json:"fraud_details"`
	Invoice                       *string         `json:"invoice"`
	Metadata                      meta            `json:"metadata"`
	OnBehalfOf                    *string         `json:"on_behalf_of"`
	Outcome                       *outcome        `json:"outcome"`
	Paid                          bool            `json:"paid"`
	PaymentIntent                 *string         `json:"payment_intent"`
	PaymentMethod                 *string         `json:"payment_method"`
	PaymentMethodDetails          json.RawMessage `json:"payment_method_details"`
	ReceiptEmail                  *string         `json:"receipt_email"`
	ReceiptNumber                 *string         `json:"receipt_number"`
	ReceiptURL                    *string         `json:"receipt_url"`
	Refunded                      bool            `json:"refunded"`
	SourceTransfer                *string         `json:"source_transfer"`
	StatementDescriptor           *string         `json:"statement_descriptor"`
	StatementDescriptorSuffix     *string         `json:"statement_descriptor_suffix"`
	Status                        string          `json:"status"`
	Transfer                      *string         `json:"transfer"`
	TransferData                  *transferData   `json:"transfer_data"`
	TransferGroup                 *string         `json:"transfer_group"`
}

type billing struct {
	Address address `json:"address"`
	Email   *string `json:"email"`
	Name    *string `json:"name"`
	Phone   *string `json:"phone"`
}

type outcome struct {
	NetworkStatus string  `json:"network_status"`
	Reason        *string `json:"reason"`
	RiskLevel     string  `json:"risk_level"`
	SellerMessage string  `json:"seller_message"`
	Type          string  `json:"type"`
}

type transferData struct {
	Amount      *int64 `json:"amount"`
	Destination string `json:"destination"`
}

type intent struct {
	head
	Amount                    int64           `json:"amount"`
	AmountCapturable          int64           `json:"amount_capturable"`
	AmountReceived            int64           `json:"amount_received"`
	Application               *string         `json:"application"`
	ApplicationFeeAmount      *int64          `json:"application_fee_amount"`
	CanceledAt                *int64          `json:"canceled_at"`
	CancellationReason        *string         `json:"cancellation_reason"`
	CaptureMethod             string          `json:"capture_method"`
	ClientSecret              string          `json:"client_secret"`
	ConfirmationMethod        string          `json:"confirmation_method"`
	Currency                  string          `json:"currency"`
	Customer                  *string         `json:"customer"`
	Description               *string         `json:"description"`
	Invoice                   *string         `json:"invoice"`
	LastPaymentError          json.RawMessage `json:"last_payment_error"`
	LatestCharge              *string         `json:"latest_charge"`
	Metadata                  meta            `json:"metadata"`
	NextAction                json.RawMessage `json:"next_action"`
	OnBehalfOf                *string         `json:"on_behalf_of"`
	PaymentMethod             *string         `json:"payment_method"`
	PaymentMethodOptions      struct{}        `json:"payment_method_options"`
	PaymentMethodTypes        []string        `json:"payment_method_types"`
	ReceiptEmail              *string         `json:"receipt_email"`
	SetupFutureUsage          *string         `json:"setup_future_usage"`
	StatementDescriptor       *string         `json:"statement_descriptor"`
	StatementDescriptorSuffix *string         `json:"statement_descriptor_suffix"`
	Status                    string          `json:"status"`
	TransferData              *transferData   `json:"transfer_data"`
	TransferGroup             *string         `json:"transfer_group"`
}

// str makes the null of Stripe's JSON out of an empty string.
func str(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
