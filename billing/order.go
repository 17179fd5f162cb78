package billing

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/money"
	"shingle/tenant"
)

// OrderState is where an order stands.
type OrderState string

// The states of an order.
const (
	Open       OrderState = "open"       // nobody has paid yet
	Processing OrderState = "processing" // a delayed method is on its way
	Paid       OrderState = "paid"
	Refunded   OrderState = "refunded" // in full
	Cancelled  OrderState = "cancelled"
)

// Bought is the product as it was bought.
type Bought struct {
	Name         string `json:"name"`
	DurationDays int    `json:"duration_days"`
	FeaturedDays int    `json:"featured_days"`
}

// Buyer is what Stripe's checkout collected for the invoice.
type Buyer struct {
	Name       string   `json:"name,omitempty"`
	Line1      string   `json:"line1,omitempty"`
	Line2      string   `json:"line2,omitempty"`
	City       string   `json:"city,omitempty"`
	PostalCode string   `json:"postal_code,omitempty"`
	Region     string   `json:"region,omitempty"`
	Country    string   `json:"country,omitempty"`
	TaxIDs     []string `json:"tax_ids,omitempty"`
}

// Order is one sale of a product for a listing. Amounts are minor units.
type Order struct {
	bun.BaseModel `bun:"table:orders,alias:o"`
	tenant.Scoped

	ID        uuid.UUID  `bun:"id,pk,type:uuid"`
	Number    int64      `bun:"number"` // per board, from 1001
	ListingID uuid.UUID  `bun:"listing_id,type:uuid"`
	PersonID  *uuid.UUID `bun:"person_id,type:uuid"`
	ProductID uuid.UUID  `bun:"product_id,type:uuid"`
	Product   Bought     `bun:"product,type:jsonb"`
	Email     string     `bun:"email"`
	State     OrderState `bun:"state"`
	Amount    int64      `bun:"amount"`
	Currency  string     `bun:"currency"`
	// Fee is the platform's part of Amount, by FeeRule as it was.
	Fee           int64   `bun:"fee"`
	FeeRule       FeeRule `bun:"fee_rule,type:jsonb"`
	ChargeMode    string  `bun:"charge_mode"`
	StripeAccount string  `bun:"stripe_account"`
	// Attempt counts the checkouts opened.
	Attempt       int    `bun:"attempt"`
	PaymentIntent string `bun:"payment_intent"`
	Charge        string `bun:"charge"`
	Invoice       string `bun:"invoice"`
	InvoiceNumber string `bun:"invoice_number"`
	// InvoiceURL is Stripe's hosted invoice.
	InvoiceURL     string `bun:"invoice_url"`
	Billing        Buyer  `bun:"billing,type:jsonb"`
	RefundedAmount int64  `bun:"refunded_amount"`
	// The terms that the buyer accepted: which, when, from where.
	TermsVersion    string     `bun:"terms_version"`
	TermsAcceptedAt *time.Time `bun:"terms_accepted_at"`
	TermsAddress    string     `bun:"terms_address"`
	CreatedAt       time.Time  `bun:"created_at"`
	PaidAt          *time.Time `bun:"paid_at"`
	RefundedAt      *time.Time `bun:"refunded_at"`
	CancelledAt     *time.Time `bun:"cancelled_at"`
}

// Owner is the part of the amount that is the board owner's, before what
// Stripe keeps.
func (o *Order) Owner() int64 { return o.Amount - o.Fee }

// Price is the amount as people read it.
func (o *Order) Price(locale string) string { return money.Format(o.Amount, o.Currency, locale) }

// Free reports an order that needed no payment.
func (o *Order) Free() bool { return o.Amount == 0 }

// Refundable reports whether money can be given back.
func (o *Order) Refundable() bool { return o.State == Paid && o.RefundedAmount < o.Amount }

// account is whose Stripe account holds the charge: the owner's, or "" for the
// platform's.
func (o *Order) account() string {
	if o.ChargeMode == Direct {
		return o.StripeAccount
	}
	return ""
}

// NewOrder is what the buyer decided.
type NewOrder struct {
	ListingID, ProductID uuid.UUID
	PersonID             *uuid.UUID
	// Email gets the receipt.
	Email string
	// TermsVersion and TermsAddress (IP) are kept as proof; the time is now.
	TermsVersion, TermsAddress string
}

// Session is one Stripe checkout session of an order.
type Session struct {
	bun.BaseModel `bun:"table:checkout_sessions,alias:cs"`
	tenant.Scoped

	ID            string     `bun:"id,pk"`
	OrderID       uuid.UUID  `bun:"order_id,type:uuid"`
	Attempt       int        `bun:"attempt"`
	State         string     `bun:"state"`          // open, complete, expired
	PaymentStatus string     `bun:"payment_status"` // "", unpaid, paid, failed
	PaymentIntent string     `bun:"payment_intent"`
	URL           string     `bun:"url"`
	CreatedAt     time.Time  `bun:"created_at"`
	ExpiresAt     *time.Time `bun:"expires_at"`
	// EndedAt is when it was completed, its payment failed, or it expired.
	EndedAt *time.Time `bun:"ended_at"`
	// Trace names the span of the buyer's request, or is "".
	Trace string `bun:"trace"`
}

// Refund is money on its way back. Kind "duplicate" is a second payment of one
// order, sent back by itself.
type Refund struct {
	bun.BaseModel `bun:"table:refunds,alias:r"`
	tenant.Scoped

	ID            uuid.UUID `bun:"id,pk,type:uuid"`
	OrderID       uuid.UUID `bun:"order_id,type:uuid"`
	StripeID      string    `bun:"stripe_id"`
	PaymentIntent string    `bun:"payment_intent"`
	Amount        int64     `bun:"amount"`
	Currency      string    `bun:"currency"`
	// FeeAmount is the platform's fee that goes back to the owner with it.
	FeeAmount int64            `bun:"fee_amount"`
	Reason    string           `bun:"reason"`
	Kind      string           `bun:"kind"`
	State     string           `bun:"state"` // asked, pending, succeeded, failed
	ActorKind tenant.ActorKind `bun:"actor_kind"`
	ActorID   *uuid.UUID       `bun:"actor_id,type:uuid"`
	CreatedAt time.Time        `bun:"created_at"`
	DoneAt    *time.Time       `bun:"done_at"`
}

// Account is the board's connected Stripe account.
type Account struct {
	bun.BaseModel `bun:"table:stripe_accounts,alias:sa"`
	tenant.Scoped

	Account string `bun:"account"`
	Kind    string `bun:"kind"` // standard, express
	// ChargesEnabled is that sales can go through it: card payments on a
	// standard account, transfers to an express one.
	ChargesEnabled   bool            `bun:"charges_enabled"`
	PayoutsEnabled   bool            `bun:"payouts_enabled"`
	DetailsSubmitted bool            `bun:"details_submitted"`
	Requirements     json.RawMessage `bun:"requirements,type:jsonb"`
	CreatedAt        time.Time       `bun:"created_at"`
	UpdatedAt        time.Time       `bun:"updated_at"`
}

// Mode is how sales of the account are charged.
func (a *Account) Mode() string {
	if a.Kind == "express" {
		return Destination
	}
	return Direct
}
