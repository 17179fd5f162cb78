package plans

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/entitle"
	"shingle/internal/fault"
	"shingle/tenant"
)

// State is how a board stands with its plan.
type State string

// The states of a board's plan.
const (
	Trial   State = "trial"    // nothing is paid yet, and nothing is owed
	Active  State = "active"   // paid
	PastDue State = "past_due" // an invoice could not be collected
	Ended   State = "ended"    // the trial is over or the subscription cancelled
	Comped  State = "comped"   // staff's gift
)

// Board is what one board is on. Only the platform writes it.
type Board struct {
	TenantID    tenant.ID  `bun:"tenant_id"`
	PlanID      uuid.UUID  `bun:"plan_id"`
	State       State      `bun:"state"`
	TrialEndsAt *time.Time `bun:"trial_ends_at"`
	CompReason  string     `bun:"comp_reason"`
	CompUntil   *time.Time `bun:"comp_until"`

	Customer     string     `bun:"customer"`
	Subscription string     `bun:"subscription"` // the one that lives; "" when none does
	Item         string     `bun:"item"`
	PriceID      *uuid.UUID `bun:"price_id"`
	Every        string     `bun:"every"`
	// Amount is what is paid each time, in minor units of Currency.
	Amount            int64      `bun:"amount"`
	Currency          string     `bun:"currency"`
	PeriodStart       *time.Time `bun:"period_start"`
	PeriodEnd         *time.Time `bun:"period_end"`
	CancelAtPeriodEnd bool       `bun:"cancel_at_period_end"`
	// NextPriceID is the change that comes at the period's end; Schedule is what
	// holds it at Stripe, and the subscription too until it is released.
	Schedule    string     `bun:"schedule"`
	NextPriceID *uuid.UUID `bun:"next_price_id"`

	UnpaidSince *time.Time `bun:"unpaid_since"`
	Step        Step       `bun:"step"`
	Revision    int64      `bun:"revision"`
	Attempt     int        `bun:"attempt"`
	Checkout    string     `bun:"checkout"`
	CreatedAt   time.Time  `bun:"created_at"`
}

// Subscribed reports a subscription that lives at Stripe.
func (b *Board) Subscribed() bool { return b.Subscription != "" }

// TrialDaysLeft is how many days of a trial remain, a begun one counted whole.
func (b *Board) TrialDaysLeft(now time.Time) int {
	if b.State != Trial || b.TrialEndsAt == nil || !b.TrialEndsAt.After(now) {
		return 0
	}
	return int((b.TrialEndsAt.Sub(now) + 24*time.Hour - 1) / (24 * time.Hour))
}

const boardColumns = `tenant_id, plan_id, state, trial_ends_at, comp_reason, comp_until, customer, subscription, item, price_id, every, amount, currency,
	period_start, period_end, cancel_at_period_end, schedule, next_price_id, unpaid_since, step, revision, attempt, checkout, created_at`

// BoardOf reads what a board is on: in the board's own transaction or a platform
// one. Kind: fault.NotFound for a board without a plan.
func (s *Service) BoardOf(ctx context.Context, tx bun.IDB, board tenant.ID) (*Board, error) {
	return readBoard(ctx, tx, board, "")
}

func readBoard(ctx context.Context, tx bun.IDB, board tenant.ID, lock string) (*Board, error) {
	b := new(Board)
	err := tx.NewRaw(`SELECT `+boardColumns+` FROM board_plans WHERE tenant_id = ? `+lock, board).Scan(ctx, b)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.New(fault.NotFound, "the board has no plan")
	}
	return b, err
}

// save writes all that may change of a locked row.
func (b *Board) save(ctx context.Context, tx bun.IDB, now time.Time) error {
	b.Revision++
	res, err := tx.NewRaw(`UPDATE board_plans SET plan_id = ?, state = ?, trial_ends_at = ?, comp_reason = ?, comp_until = ?, customer = ?, subscription = ?, item = ?,
		price_id = ?, every = ?, amount = ?, currency = ?, period_start = ?, period_end = ?, cancel_at_period_end = ?, schedule = ?, next_price_id = ?,
		unpaid_since = ?, step = ?, revision = ?, attempt = ?, checkout = ?, updated_at = ? WHERE tenant_id = ?`,
		b.PlanID, string(b.State), b.TrialEndsAt, b.CompReason, b.CompUntil, b.Customer, b.Subscription, b.Item,
		b.PriceID, b.Every, b.Amount, b.Currency, b.PeriodStart, b.PeriodEnd, b.CancelAtPeriodEnd, b.Schedule, b.NextPriceID,
		b.UnpaidSince, string(b.Step), b.Revision, b.Attempt, b.Checkout, now, b.TenantID).Exec(ctx)
	return tenant.Touched(res, err, "board's plan")
}

// Begin puts a new board on the first offered plan's trial, in a platform
// transaction: no card is asked and Stripe is not called. Without an offered
// plan the board has none, and no limits. A board that has a plan keeps it.
func (s *Service) Begin(ctx context.Context, tx bun.IDB, board tenant.ID) error {
	offered, err := list(ctx, tx, `WHERE p.listed AND p.archived_at IS NULL`)
	if err != nil || len(offered) == 0 {
		return err
	}
	// The trial shows what the platform can do: it is of the plan in the middle.
	p := offered[(len(offered)-1)/2]
	return s.begin(ctx, tx, board, &p)
}

func (s *Service) begin(ctx context.Context, tx bun.IDB, board tenant.ID, p *Plan) error {
	ends := s.now().Add(time.Duration(p.TrialDays) * 24 * time.Hour)
	res, err := tx.NewRaw(`INSERT INTO board_plans (tenant_id, plan_id, state, trial_ends_at, created_at, updated_at) VALUES (?, ?, 'trial', ?, ?, ?)
		ON CONFLICT (tenant_id) DO NOTHING`, board, p.ID, ends, s.now(), s.now()).Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	return setFee(ctx, tx, board, p)
}

// setFee makes the plan's fee rule the board's, for future sales. Mails that the
// plan before held back go on.
func setFee(ctx context.Context, tx bun.IDB, board tenant.ID, p *Plan) error {
	if err := release(ctx, tx, board); err != nil {
		return err
	}
	rule := p.FeeRule
	if len(p.Prices) > 0 && rule.Currency == "" && (rule.Fixed != 0 || rule.Min != 0 || rule.Cap != 0 || len(rule.Tiers) > 0) {
		rule.Currency = p.Prices[0].Currency
	}
	return tenant.SetFeeRule(ctx, tx, board, []byte(mustJSON(rule)))
}

// Standing is what a board may have now, in the board's own transaction: the
// grants of its plan. A board without a plan, of the demo or comped beyond any
// plan has no limits.
type Standing struct {
	Board *Board // nil without a plan
	Plan  *Plan
	// Grants are what the plan allows; nil is no limit at all.
	Grants []entitle.Grant
}

// Allowed is the most of something now; ok is false without a limit.
func (st *Standing) Allowed(now time.Time, what string) (n int64, ok bool) {
	if st.Grants == nil {
		return 0, false
	}
	n = entitle.Allowed(now, st.Grants, what)
	return n, n != entitle.Unlimited
}

// Standing reads what the context's board may have, in its transaction.
func (s *Service) Standing(ctx context.Context, tx bun.IDB) (*Standing, error) {
	id, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, err
	}
	return s.standing(ctx, tx, id)
}

// StandingOf is Standing in a platform transaction, which names the board.
func (s *Service) StandingOf(ctx context.Context, tx bun.IDB, board tenant.ID) (*Standing, error) {
	return s.standing(ctx, tx, board)
}

func (s *Service) standing(ctx context.Context, tx bun.IDB, board tenant.ID) (*Standing, error) {
	b, err := s.BoardOf(ctx, tx, board)
	if fault.Is(err, fault.NotFound) {
		return &Standing{}, nil
	}
	if err != nil {
		return nil, err
	}
	p := new(Plan)
	if err := tx.NewRaw(`SELECT `+planColumns+` FROM plans AS p WHERE p.id = ?`, b.PlanID).Scan(ctx, p); err != nil {
		return nil, err
	}
	return &Standing{Board: b, Plan: p, Grants: p.Limits.Grants(b.CreatedAt)}, nil
}
