package billing

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
	"github.com/stripe/stripe-go/v76"
	"github.com/uptrace/bun"
	"golang.org/x/text/unicode/norm"

	"shingle/internal/fault"
	"shingle/internal/observe"
	"shingle/internal/pg"
	"shingle/tenant"
)

// openFor is how long a checkout can be paid; Stripe allows 30 minutes to 24 hours.
const openFor = 2 * time.Hour

// Checkout opens Stripe's page for an order and returns its address. It opens
// transactions of its own and calls Stripe between them.
//
// An order has one open session: an older one is expired first, and when it
// turns out to be paid it is applied instead (fault.Conflict). success and
// cancel are absolute URLs; success gets "session_id" added to its query. Kinds:
// fault.NotFound, fault.Conflict when the order is not open or the board cannot
// sell, fault.Unavailable when Stripe does not answer.
func (s *Service) Checkout(ctx context.Context, orderID uuid.UUID, success, cancel string) (string, error) {
	var o *Order
	var older []Session
	err := s.db.Write(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		if o, err = lockOrder(ctx, tx, orderID); err != nil {
			return err
		}
		if o.State != Open {
			return fault.New(fault.Conflict, "order %d is %s", o.Number, o.State)
		}
		sell, err := s.CanSell(ctx, tx)
		if err != nil {
			return err
		}
		if !sell.OK || sell.Account.Account != o.StripeAccount {
			return fault.New(fault.Conflict, "this board cannot take payments yet")
		}
		if older, err = openSessions(ctx, tx, o.ID); err != nil {
			return err
		}
		// The attempt is part of the idempotency key: it moves before Stripe hears of it.
		o.Attempt++
		_, err = tx.NewUpdate().Model(o).Column("attempt").Where("id = ?", o.ID).Exec(ctx)
		return err
	})
	if err != nil {
		return "", err
	}
	s.between(ctx, "checkout.claimed")
	for _, old := range older {
		paid, err := s.expireSession(ctx, o.account(), old.ID)
		if err != nil {
			return "", err
		}
		if paid {
			return "", fault.New(fault.Conflict, "order %d is paid already", o.Number)
		}
	}
	s.between(ctx, "checkout.expired")
	made, err := s.stripe.CheckoutSessions.New(s.sessionParams(ctx, o, success, cancel))
	if err != nil {
		return "", stripeFault(err, "opening the checkout")
	}
	s.between(ctx, "checkout.opened")
	expires := time.Unix(made.ExpiresAt, 0).UTC()
	row := &Session{ID: made.ID, OrderID: o.ID, Attempt: o.Attempt, State: string(made.Status), URL: made.URL, CreatedAt: s.now(), ExpiresAt: &expires, Trace: observe.Parent(ctx)}
	late := false
	err = s.db.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		late = false
		now, err := lockOrder(ctx, tx, o.ID)
		if err != nil {
			return err
		}
		if now.Attempt != o.Attempt || now.State != Open {
			late = true
			return nil
		}
		_, err = tx.NewInsert().Model(row).On("CONFLICT (tenant_id, id) DO NOTHING").Exec(ctx)
		return err
	})
	if err != nil && !pg.Unique(err, "") {
		return "", err
	}
	if late || err != nil {
		// Another window was faster, or the order was paid meanwhile.
		if _, err := s.expireSession(ctx, o.account(), made.ID); err != nil {
			return "", err
		}
		return "", fault.New(fault.Conflict, "order %d has another checkout open", o.Number)
	}
	return made.URL, nil
}

// sessionParams is what Stripe's page is to ask and do. The same order and
// attempt give the same parameters, but for the two URLs' and the clock's part.
func (s *Service) sessionParams(ctx context.Context, o *Order, success, cancel string) *stripe.CheckoutSessionParams {
	board := tenant.From(ctx)
	meta := map[string]string{"board": board.ID.String(), "order": o.ID.String(), "attempt": strconv.Itoa(o.Attempt)}
	text := fmt.Sprintf("%s, order %d", board.Name, o.Number)
	key := fmt.Sprintf("order:%s:checkout:%d", o.ID, o.Attempt)
	p := &stripe.CheckoutSessionParams{
		Params:                   params(ctx, o.account(), key),
		Mode:                     stripe.String(string(stripe.CheckoutSessionModePayment)),
		ClientReferenceID:        stripe.String(o.ID.String()),
		CustomerEmail:            stripe.String(o.Email),
		Locale:                   stripe.String(checkoutLocale(board.Locale)),
		BillingAddressCollection: stripe.String("required"),
		TaxIDCollection:          &stripe.CheckoutSessionTaxIDCollectionParams{Enabled: stripe.Bool(true)},
		CustomerCreation:         stripe.String("always"), // an invoice and a tax id need a customer
		InvoiceCreation: &stripe.CheckoutSessionInvoiceCreationParams{Enabled: stripe.Bool(true),
			InvoiceData: &stripe.CheckoutSessionInvoiceCreationInvoiceDataParams{Description: stripe.String(text), Metadata: meta}},
		LineItems: []*stripe.CheckoutSessionLineItemParams{{Quantity: stripe.Int64(1), PriceData: &stripe.CheckoutSessionLineItemPriceDataParams{
			Currency: stripe.String(strings.ToLower(o.Currency)), UnitAmount: stripe.Int64(o.Amount),
			ProductData: &stripe.CheckoutSessionLineItemPriceDataProductDataParams{Name: stripe.String(o.Product.Name)}}}},
		PaymentIntentData: &stripe.CheckoutSessionPaymentIntentDataParams{Description: stripe.String(text), Metadata: meta},
		SuccessURL:        stripe.String(withSession(success)),
		CancelURL:         stripe.String(cancel),
		ExpiresAt:         stripe.Int64(s.now().Add(openFor).Unix()),
		Metadata:          meta,
	}
	if o.Fee > 0 {
		p.PaymentIntentData.ApplicationFeeAmount = stripe.Int64(o.Fee)
	}
	if o.ChargeMode == Destination {
		p.PaymentIntentData.TransferData = &stripe.CheckoutSessionPaymentIntentDataTransferDataParams{Destination: stripe.String(o.StripeAccount)}
		// The platform is the merchant, so the bank's line begins with its name:
		// the buyer knows the board's. A direct charge has the owner's own line.
		if suffix := statementSuffix(board.Name); suffix != "" {
			p.PaymentIntentData.StatementDescriptorSuffix = stripe.String(suffix)
		}
	}
	return p
}

// maxSuffix leaves room for the account's prefix: Stripe prints 22 characters in all.
const maxSuffix = 12

// statementSuffix is a board's name as banks print it: Latin capitals, digits,
// dots, hyphens and blanks, with at least one letter; "" when nothing fits.
func statementSuffix(name string) string {
	var b strings.Builder
	for _, r := range norm.NFD.String(name) {
		switch {
		case 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z':
			b.WriteRune(r)
		case '0' <= r && r <= '9' || r == '.' || r == '-':
			b.WriteRune(r)
		case r == 'ß':
			b.WriteString("ss")
		case !unicode.Is(unicode.Mn, r):
			b.WriteByte(' ')
		}
	}
	s := strings.ToUpper(strings.Join(strings.Fields(b.String()), " "))
	if len(s) > maxSuffix {
		s = strings.TrimSpace(s[:maxSuffix])
	}
	if !strings.ContainsFunc(s, unicode.IsLetter) {
		return ""
	}
	return s
}

// withSession adds the place that Stripe fills with the session's id; its
// braces must stay as they are.
func withSession(u string) string {
	sep := "?"
	if strings.Contains(u, "?") {
		sep = "&"
	}
	return u + sep + "session_id={CHECKOUT_SESSION_ID}"
}

// checkoutLocale is the board's language as Stripe's page knows it.
func checkoutLocale(locale string) string {
	lang, _, _ := strings.Cut(locale, "-")
	if lang == "" {
		return "auto"
	}
	return lang
}

// expireSession closes a session at Stripe and applies what Stripe says of it:
// it may have been paid in that very moment. It opens a transaction.
func (s *Service) expireSession(ctx context.Context, account, id string) (paid bool, err error) {
	_, err = s.stripe.CheckoutSessions.Expire(id, &stripe.CheckoutSessionExpireParams{Params: params(ctx, account, "session:"+id+":expire")})
	if err != nil && !refused(err) {
		return false, stripeFault(err, "closing the older checkout")
	}
	f, err := s.fetchSession(ctx, account, id)
	if err != nil {
		return false, err
	}
	err = s.db.Write(ctx, func(ctx context.Context, tx bun.IDB) error { return s.apply(ctx, tx, f) })
	return f.Status == "complete", err
}

// Return applies what became of a checkout when the buyer comes back from it,
// by the same path as a webhook, so that nobody waits for one. It opens a
// transaction of its own. Kinds: fault.NotFound for a session of another board
// or order, fault.Unavailable when Stripe does not answer.
func (s *Service) Return(ctx context.Context, sessionID string) (*Order, error) {
	if !strings.HasPrefix(sessionID, "cs_") || len(sessionID) > 200 || url.PathEscape(sessionID) != sessionID {
		return nil, fault.New(fault.NotFound, "checkout not found")
	}
	var o *Order
	err := s.db.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		o, err = orderOfSession(ctx, tx, sessionID)
		return err
	})
	if err != nil {
		return nil, err
	}
	f, err := s.fetchSession(ctx, o.account(), sessionID)
	if err != nil {
		return nil, err
	}
	s.between(ctx, "return.fetched")
	err = s.db.Write(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		if err = s.apply(ctx, tx, f); err != nil {
			return err
		}
		o, err = s.Order(ctx, tx, o.ID)
		return err
	})
	return o, err
}

func orderOfSession(ctx context.Context, tx bun.IDB, sessionID string) (*Order, error) {
	cs := new(Session)
	if err := tenant.One(ctx, tx.NewSelect().Model(cs).Where("cs.id = ?", sessionID), "checkout"); err != nil {
		return nil, err
	}
	o := new(Order)
	return o, tenant.One(ctx, tx.NewSelect().Model(o).Where("o.id = ?", cs.OrderID), "order")
}

// refused reports that Stripe understood and said no, so that a repeat would
// hear the same.
func refused(err error) bool {
	var e *stripe.Error
	return errors.As(err, &e) && e.HTTPStatusCode >= 400 && e.HTTPStatusCode < 500 && e.HTTPStatusCode != 409 && e.HTTPStatusCode != 429
}

// stripeFault gives an answer of Stripe a kind, without the buyer's data that
// its text may quote.
func stripeFault(err error, doing string) error {
	if err == nil {
		return nil
	}
	var e *stripe.Error
	if !errors.As(err, &e) {
		return fault.Wrap(err, fault.Unavailable, "%s: Stripe does not answer", doing)
	}
	said := fmt.Errorf("stripe %d %s %s %s (%s)", e.HTTPStatusCode, e.Type, e.Code, e.Param, e.RequestID)
	switch {
	case e.HTTPStatusCode == 404:
		return fault.Wrap(said, fault.NotFound, "%s: Stripe does not know it", doing)
	case refused(err):
		return fault.Wrap(said, fault.Conflict, "%s: Stripe refused", doing)
	}
	return fault.Wrap(said, fault.Unavailable, "%s: Stripe does not answer", doing)
}
