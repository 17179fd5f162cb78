package plans

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tenant"
)

const planColumns = `p.id, p.name, p.tagline, p.fee_rule, p.limits, p.features, p.trial_days, p.position, p.listed, p.stripe_product, p.created_at, p.archived_at`

// Offered lists the plans that everybody may take, cheapest place first, with
// their current prices. It opens a platform transaction.
func (s *Service) Offered(ctx context.Context) ([]Plan, error) {
	var out []Plan
	err := s.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		out, err = list(ctx, tx, `WHERE p.listed AND p.archived_at IS NULL`)
		return err
	})
	return out, err
}

// All lists every plan with the number of its boards, archived ones last, in a
// platform transaction.
func (s *Service) All(ctx context.Context, tx bun.IDB) ([]Plan, error) {
	return list(ctx, tx, ``)
}

func list(ctx context.Context, tx bun.IDB, where string, args ...any) ([]Plan, error) {
	var out []Plan
	err := tx.NewRaw(`SELECT `+planColumns+`, (SELECT count(*) FROM board_plans WHERE plan_id = p.id) AS boards
		FROM plans AS p `+where+` ORDER BY p.archived_at IS NOT NULL, p.position, p.created_at`, args...).Scan(ctx, &out)
	if err != nil || len(out) == 0 {
		return out, err
	}
	ids := make([]uuid.UUID, len(out))
	for i := range out {
		ids[i] = out[i].ID
	}
	var prices []Price
	err = tx.NewRaw(`SELECT id, plan_id, every, currency, amount, stripe_price, current FROM plan_prices
		WHERE plan_id IN (?) AND current ORDER BY created_at, currency`, bun.In(ids)).Scan(ctx, &prices)
	for _, q := range prices {
		i := slices.IndexFunc(out, func(p Plan) bool { return p.ID == q.PlanID })
		out[i].Prices = append(out[i].Prices, q)
	}
	return out, err
}

// Plan is one plan with its prices, in a platform transaction. Kind: fault.NotFound.
func (s *Service) Plan(ctx context.Context, tx bun.IDB, id uuid.UUID) (*Plan, error) {
	out, err := list(ctx, tx, `WHERE p.id = ?`, id)
	if err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, fault.New(fault.NotFound, "plan not found")
	}
	return &out[0], nil
}

// Save makes a plan (its ID is nil) or changes one, in a platform transaction.
// Limits and features hold at once for every board on it. A changed price is for
// new subscriptions, a changed fee rule for boards that come to the plan: those
// that are on it keep what they agreed to.
//
// Kinds: fault.Invalid by field, fault.NotFound.
func (s *Service) Save(ctx context.Context, tx bun.IDB, p *Plan) error {
	if err := p.Validate(); err != nil {
		return err
	}
	if p.Features == nil {
		p.Features = []string{}
	}
	if p.ID == uuid.Nil {
		p.ID = tenant.NewRowID()
		_, err := tx.NewRaw(`INSERT INTO plans (id, name, tagline, fee_rule, limits, features, trial_days, position, listed, created_at)
			VALUES (?, ?, ?::jsonb, ?::jsonb, ?::jsonb, (SELECT coalesce(array_agg(f), '{}') FROM jsonb_array_elements_text(?::jsonb) AS f), ?, ?, ?, ?)`,
			p.ID, p.Name, mustJSON(p.Tagline), mustJSON(p.FeeRule), mustJSON(p.Limits), mustJSON(p.Features), p.TrialDays, p.Position, p.Listed, s.now()).Exec(ctx)
		if err != nil {
			return err
		}
	} else {
		res, err := tx.NewRaw(`UPDATE plans SET name = ?, tagline = ?::jsonb, fee_rule = ?::jsonb, limits = ?::jsonb,
			features = (SELECT coalesce(array_agg(f), '{}') FROM jsonb_array_elements_text(?::jsonb) AS f), trial_days = ?, position = ?, listed = ? WHERE id = ?`,
			p.Name, mustJSON(p.Tagline), mustJSON(p.FeeRule), mustJSON(p.Limits), mustJSON(p.Features), p.TrialDays, p.Position, p.Listed, p.ID).Exec(ctx)
		if err := tenant.Touched(res, err, "plan"); err != nil {
			return err
		}
	}
	return s.savePrices(ctx, tx, p)
}

func (s *Service) savePrices(ctx context.Context, tx bun.IDB, p *Plan) error {
	var old []Price
	err := tx.NewRaw(`SELECT id, plan_id, every, currency, amount, stripe_price, current FROM plan_prices WHERE plan_id = ? AND current FOR UPDATE`, p.ID).Scan(ctx, &old)
	if err != nil {
		return err
	}
	same := func(a, b Price) bool { return a.Every == b.Every && a.Currency == b.Currency && a.Amount == b.Amount }
	for _, o := range old {
		if slices.ContainsFunc(p.Prices, func(q Price) bool { return q.Current && same(o, q) }) {
			continue
		}
		if _, err := tx.NewRaw(`UPDATE plan_prices SET current = false WHERE id = ?`, o.ID).Exec(ctx); err != nil {
			return err
		}
	}
	for i := range p.Prices {
		q := &p.Prices[i]
		if at := slices.IndexFunc(old, func(o Price) bool { return same(o, *q) }); at >= 0 {
			*q = old[at]
			continue
		}
		if !q.Current {
			continue
		}
		q.ID, q.PlanID = tenant.NewRowID(), p.ID
		if _, err := tx.NewRaw(`INSERT INTO plan_prices (id, plan_id, every, currency, amount, created_at) VALUES (?, ?, ?, ?, ?, ?)`,
			q.ID, q.PlanID, q.Every, q.Currency, q.Amount, s.now()).Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Archive takes a plan off the shelf, or puts it back. Boards that are on it
// stay on it. In a platform transaction. Kind: fault.NotFound.
func (s *Service) Archive(ctx context.Context, tx bun.IDB, id uuid.UUID, archived bool) error {
	at := s.now()
	res, err := tx.NewRaw(`UPDATE plans SET archived_at = CASE WHEN ? THEN coalesce(archived_at, ?::timestamptz) END WHERE id = ?`, archived, at, id).Exec(ctx)
	return tenant.Touched(res, err, "plan")
}

// price reads a price of any age. Kind: fault.NotFound.
func price(ctx context.Context, tx bun.IDB, where string, arg any) (*Price, error) {
	q := new(Price)
	err := tx.NewRaw(`SELECT id, plan_id, every, currency, amount, stripe_price, current FROM plan_prices WHERE `+where, arg).Scan(ctx, q)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.New(fault.NotFound, "price not found")
	}
	return q, err
}
