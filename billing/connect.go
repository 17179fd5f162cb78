package billing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/stripe/stripe-go/v76"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tenant"
)

// Reasons why a board cannot sell; the empty one is that it can.
const (
	NoAccount       = "no_account" // nobody began to connect Stripe
	Unfinished      = "unfinished" // Stripe's form is not filled in
	ChargesDisabled = "disabled"   // Stripe holds payments back
)

// Sell says whether the board can take money, and why not.
type Sell struct {
	OK      bool
	Reason  string
	Account *Account // nil without one
}

// CanSell tells whether paid products can be bought now. Free ones always can.
func (s *Service) CanSell(ctx context.Context, tx bun.IDB) (Sell, error) {
	a, err := s.Account(ctx, tx)
	switch {
	case fault.Is(err, fault.NotFound):
		return Sell{Reason: NoAccount}, nil
	case err != nil:
		return Sell{}, err
	case a.ChargesEnabled:
		return Sell{OK: true, Account: a}, nil
	case !a.DetailsSubmitted:
		return Sell{Reason: Unfinished, Account: a}, nil
	}
	return Sell{Reason: ChargesDisabled, Account: a}, nil
}

// Account is the board's connected account. Kind: fault.NotFound.
func (s *Service) Account(ctx context.Context, tx bun.IDB) (*Account, error) {
	a := new(Account)
	return a, tenant.One(ctx, tx.NewSelect().Model(a), "stripe account")
}

// Onboard returns the address of Stripe's form for the board's owner. The first
// call makes the account: standard for direct charges, express for destination
// charges, which fixes the board's way to charge. The address works once and
// for minutes; Stripe sends to refresh when it is spent and to back when the
// owner is done. It opens transactions of its own. Kind: fault.Unavailable when
// Stripe does not answer.
func (s *Service) Onboard(ctx context.Context, back, refresh string) (string, error) {
	var a *Account
	mode := ""
	err := s.db.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		if _, mode, err = s.terms(ctx, tx); err != nil {
			return err
		}
		a, err = s.Account(ctx, tx)
		if fault.Is(err, fault.NotFound) {
			a, err = nil, nil
		}
		return err
	})
	if err != nil {
		return "", err
	}
	if a == nil {
		if a, err = s.connect(ctx, mode); err != nil {
			return "", err
		}
	}
	link, err := s.stripe.AccountLinks.New(&stripe.AccountLinkParams{Params: params(ctx, "", ""), Account: stripe.String(a.Account),
		Type: stripe.String("account_onboarding"), ReturnURL: stripe.String(back), RefreshURL: stripe.String(refresh)})
	if err != nil {
		return "", stripeFault(err, "asking Stripe for the form")
	}
	return link.URL, nil
}

func (s *Service) connect(ctx context.Context, mode string) (*Account, error) {
	board := tenant.From(ctx)
	kind := "standard"
	p := &stripe.AccountParams{Metadata: map[string]string{"board": board.ID.String()},
		BusinessProfile: &stripe.AccountBusinessProfileParams{Name: stripe.String(board.Name)}}
	if board.Country != "" {
		p.Country = stripe.String(board.Country)
	}
	if board.ContactEmail != "" {
		p.Email = stripe.String(board.ContactEmail)
	}
	if mode == Destination {
		kind = "express"
		p.Capabilities = &stripe.AccountCapabilitiesParams{Transfers: &stripe.AccountCapabilitiesTransfersParams{Requested: stripe.Bool(true)}}
	}
	p.Type = stripe.String(kind)
	// What the board says of itself may change between two tries: it is in the key.
	said := sha256.Sum256([]byte(board.Name + "\x00" + board.Country + "\x00" + board.ContactEmail))
	p.Params = params(ctx, "", fmt.Sprintf("board:%s:account:%s:%s", board.ID, kind, hex.EncodeToString(said[:6])))
	made, err := s.stripe.Accounts.New(p)
	if err != nil {
		return nil, stripeFault(err, "making the account")
	}
	s.between(ctx, "connect.made")
	a := &Account{Account: made.ID, Kind: kind, CreatedAt: s.now()}
	a.read(made, s)
	err = s.db.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if _, err := tx.NewInsert().Model(a).On("CONFLICT (tenant_id) DO NOTHING").Exec(ctx); err != nil {
			return err
		}
		a, err = s.Account(ctx, tx) // two windows: the first one's stands
		return err
	})
	return a, err
}

// read takes over what Stripe says of the account.
func (a *Account) read(made *stripe.Account, s *Service) {
	a.PayoutsEnabled, a.DetailsSubmitted, a.UpdatedAt = made.PayoutsEnabled, made.DetailsSubmitted, s.now()
	a.ChargesEnabled = made.ChargesEnabled
	if a.Kind == "express" {
		a.ChargesEnabled = made.Capabilities != nil && made.Capabilities.Transfers == stripe.AccountCapabilityStatusActive
	}
	due := []string{}
	if made.Requirements != nil {
		due = append(due, made.Requirements.CurrentlyDue...)
	}
	a.Requirements, _ = json.Marshal(due)
}

// Due lists what Stripe still asks of the owner, in Stripe's field names.
func (a *Account) Due() []string {
	var due []string
	_ = json.Unmarshal(a.Requirements, &due)
	return due
}

// RefreshAccount asks Stripe how the account stands: when the owner comes back
// from its form, or when Stripe says that something changed. It opens
// transactions of its own. Kinds: fault.NotFound without an account,
// fault.Unavailable.
func (s *Service) RefreshAccount(ctx context.Context) (*Account, error) {
	var a *Account
	err := s.db.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		a, err = s.Account(ctx, tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	made, err := s.stripe.Accounts.GetByID(a.Account, &stripe.AccountParams{Params: params(ctx, "", "")})
	if err != nil {
		return nil, stripeFault(err, "asking for the account")
	}
	a.read(made, s)
	return a, s.db.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		res, err := tx.NewUpdate().Model(a).Column("charges_enabled", "payouts_enabled", "details_submitted", "requirements", "updated_at").
			Where("account = ?", a.Account).Exec(ctx)
		if err := tenant.Touched(res, err, "stripe account"); err != nil {
			return err
		}
		tenant.Changed(ctx) // the page that sells says whether it can
		return nil
	})
}

// Dashboard is where the owner sees the money: Stripe's own dashboard for a
// standard account, a link that works once for an express one. Kinds:
// fault.NotFound, fault.Conflict before the form is filled in, fault.Unavailable.
func (s *Service) Dashboard(ctx context.Context) (string, error) {
	var a *Account
	err := s.db.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		a, err = s.Account(ctx, tx)
		return err
	})
	if err != nil || a.Kind == "standard" {
		return "https://dashboard.stripe.com/", err
	}
	l, err := s.stripe.LoginLinks.New(&stripe.LoginLinkParams{Params: params(ctx, "", ""), Account: stripe.String(a.Account)})
	if err != nil {
		return "", stripeFault(err, "asking for a sign-in to Stripe")
	}
	return l.URL, nil
}

// SetChargeMode chooses direct or destination charges for a board, in a
// platform transaction. Kinds: fault.Invalid, fault.Conflict once the board has
// a Stripe account, whose type fixes the mode.
func SetChargeMode(ctx context.Context, tx bun.IDB, board tenant.ID, mode string) error {
	if mode != Direct && mode != Destination {
		return fault.Invalids(fault.Fields{"charge_mode": "billing.mode.unknown"})
	}
	res, err := tx.NewRaw(`UPDATE boards SET charge_mode = ? WHERE id = ?
		AND NOT EXISTS (SELECT FROM stripe_accounts WHERE tenant_id = ?)`, mode, board, board).Exec(ctx)
	if fault.Is(tenant.Touched(res, err, "board"), fault.NotFound) {
		return fault.New(fault.Conflict, "the board's Stripe account fixes how it charges")
	}
	return err
}
