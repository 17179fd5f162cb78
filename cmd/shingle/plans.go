package main

import (
	"context"
	"errors"
	"io"

	"github.com/uptrace/bun"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"shingle/billing"
	"shingle/billing/plans"
	"shingle/internal/fault"
	"shingle/tenant"
)

// stored is how many bytes a board's files take.
func (a *app) stored(ctx context.Context, board tenant.ID) (sum int64, err error) {
	it := a.files.List(&blob.ListOptions{Prefix: board.String() + "/"})
	for {
		o, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			return sum, nil
		}
		if err != nil {
			return 0, err
		}
		sum += o.Size
	}
}

// leave drops the certificates of a board that is being deleted, and has every
// process forget its hosts and so the board: what is cached of its pages is not
// found without one.
func (a *app) leave(ctx context.Context, tx bun.IDB, board tenant.ID) error {
	var hosts []string
	if err := tx.NewRaw(`SELECT host FROM hosts WHERE board_id = ? ORDER BY host`, board).Scan(ctx, &hosts); err != nil {
		return err
	}
	for _, host := range hosts {
		if err := a.certs.Drop(ctx, tx, host); err != nil {
			return err
		}
		tenant.AfterCommit(ctx, func() { a.notifier.HostChanged(host) })
	}
	return nil
}

// erase removes the files and the search index of a board that is no more.
func (a *app) erase(ctx context.Context, board tenant.ID) error {
	if err := a.eraseFiles(ctx, board); err != nil {
		return err
	}
	return a.search.Drop(ctx, board)
}

func (a *app) eraseFiles(ctx context.Context, board tenant.ID) error {
	it := a.files.List(&blob.ListOptions{Prefix: board.String() + "/"})
	for {
		o, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = a.files.Delete(ctx, o.Key)
		}
		if err != nil && gcerrors.Code(err) != gcerrors.NotFound {
			return err
		}
	}
}

// liveDay does for every board's plan what a day's events and tasks do, at once:
// Stripe is asked how its customers stand, the step that is due is taken, and
// the day's figures are noted.
func (a *app) liveDay(ctx context.Context) error {
	var boards []tenant.ID
	err := a.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT tenant_id FROM board_plans WHERE customer <> '' ORDER BY tenant_id`).Scan(ctx, &boards)
	})
	if err != nil {
		return err
	}
	for _, id := range boards {
		if _, err := a.plans.Sync(ctx, id); err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
	}
	return errors.Join(a.plans.WalkLadder(ctx), a.plans.Measure(ctx))
}

// demoPlans are what the demo's platform sells.
func demoPlans() []plans.Plan {
	both := func(month, year int64) []plans.Price {
		var out []plans.Price
		for _, code := range []string{"USD", "EUR", "GBP"} {
			out = append(out, plans.Price{Every: plans.Month, Currency: code, Amount: month, Current: true}, plans.Price{Every: plans.Year, Currency: code, Amount: year, Current: true})
		}
		return out
	}
	const gb = 1 << 30
	return []plans.Plan{
		{Name: "Starter", Position: 1, TrialDays: 14, Listed: true, Prices: both(2900, 29000), FeeRule: billing.FeeRule{PercentBP: 1200},
			Tagline:  map[string]string{"en": "For a community that begins to hire.", "de": "Für eine Gemeinschaft, die zu vermitteln beginnt."},
			Limits:   plans.Limits{plans.Listings: 50, plans.Seats: 2, plans.Domains: 1, plans.Mails: 2000, plans.Storage: gb, plans.APICalls: 50_000},
			Features: []string{plans.CustomDomain}},
		{Name: "Growth", Position: 2, TrialDays: 14, Listed: true, Prices: both(9900, 99000), FeeRule: billing.FeeRule{PercentBP: 1000},
			Tagline:  map[string]string{"en": "For a board that lives from its postings.", "de": "Für eine Jobbörse, die von ihren Anzeigen lebt."},
			Limits:   plans.Limits{plans.Listings: 500, plans.Seats: 10, plans.Domains: 5, plans.Mails: 20_000, plans.Storage: 10 * gb, plans.APICalls: 500_000},
			Features: []string{plans.CustomDomain, plans.OwnMail}},
		{Name: "Scale", Position: 3, TrialDays: 14, Listed: true, Prices: both(29900, 299000), FeeRule: billing.FeeRule{PercentBP: 600},
			Tagline:  map[string]string{"en": "For associations, media and large networks.", "de": "Für Verbände, Medien und große Netzwerke."},
			Limits:   plans.Limits{plans.Seats: 50, plans.Mails: 200_000, plans.Storage: 100 * gb},
			Features: []string{plans.CustomDomain, plans.OwnMail, plans.PrivateBoard, plans.Priority}},
	}
}

// seedPlans makes the demo's plans once, and puts its boards on the middle one.
func (a *app) seedPlans(ctx context.Context) error {
	var middle *plans.Plan
	var boards []tenant.ID
	err := a.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		all, err := a.plans.All(ctx, tx)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			made := demoPlans()
			for i := range made {
				if err := a.plans.Save(ctx, tx, &made[i]); err != nil {
					return err
				}
			}
			all = made
		}
		middle = &all[len(all)/2]
		return tx.NewRaw(`SELECT id FROM boards AS b WHERE demo AND NOT EXISTS (SELECT FROM board_plans WHERE tenant_id = b.id) ORDER BY created_at`).Scan(ctx, &boards)
	})
	if err != nil {
		return err
	}
	for _, id := range boards {
		if err := a.plans.Assign(ctx, id, middle.ID); err != nil && !fault.Is(err, fault.Conflict) {
			return err
		}
	}
	return a.plans.Measure(ctx)
}
