package plans

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/money"
	"shingle/mail"
	"shingle/tenant"
)

// owner is who pays: a board's operator in the role of its owner.
type owner struct {
	Email  string `bun:"email"`
	Locale string `bun:"locale"`
}

// boardInfo is what mails and customers need of a board.
type boardInfo struct {
	Name     string `bun:"name"`
	Slug     string `bun:"slug"`
	Demo     bool   `bun:"demo"`
	Currency string `bun:"currency"`
	Host     string `bun:"host"`
	Owners   []owner
}

// info reads a board with its owners, the first one first, in a platform
// transaction. Kind: fault.NotFound.
func (s *Service) info(ctx context.Context, tx bun.IDB, board tenant.ID) (*boardInfo, error) {
	i := new(boardInfo)
	err := tx.NewRaw(`SELECT b.name, b.slug, b.demo, b.currency, coalesce((SELECT host FROM hosts WHERE board_id = b.id AND kind = 'platform' ORDER BY created_at LIMIT 1), '') AS host
		FROM boards AS b WHERE b.id = ?`, board).Scan(ctx, i)
	if err != nil {
		return nil, fault.Wrap(err, fault.NotFound, "board not found")
	}
	err = tx.NewRaw(`SELECT o.email, o.locale FROM casbin_rules AS r JOIN operators AS o ON o.id::text = r.v0
		WHERE r.tenant_id = ? AND r.ptype = 'g' AND r.v1 = 'owner' ORDER BY o.created_at, o.id`, board).Scan(ctx, &i.Owners)
	return i, err
}

// tell writes to every owner, in the platform's name: whoever is unpaid is the
// platform's customer, not the board's. key makes the mail single per owner.
func (s *Service) tell(ctx context.Context, tx bun.IDB, board tenant.ID, info *boardInfo, kind, key string, data func(locale string) mail.Data) error {
	for _, o := range info.Owners {
		d := data(o.Locale)
		d["Board"] = info.Name
		err := mail.Queue(ctx, tx, mail.Message{Kind: kind, Key: board.String() + " " + key + " " + o.Email, To: o.Email, Locale: o.Locale, Data: d,
			URL: s.links.Host(info.Host, "/admin/plan")})
		if err != nil {
			return err
		}
	}
	return nil
}

// date is a day as mails write it.
func date(t time.Time, locale string) string {
	if t.IsZero() {
		return ""
	}
	t = t.UTC()
	if locale == "de" {
		return fmt.Sprintf("%d. %s %d", t.Day(), germanMonths[t.Month()-1], t.Year())
	}
	return t.Format("2 January 2006")
}

var germanMonths = [...]string{"Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November", "Dezember"}

// tellStep says which step was taken and what comes next, and when.
func (s *Service) tellStep(ctx context.Context, tx bun.IDB, b *Board, info *boardInfo) error {
	since := *b.UnpaidSince
	next := ""
	var when time.Time
	if r, ok := s.schedule.Next(b.Step); ok {
		next, when = string(r.Step), since.Add(r.After)
	}
	why := "unpaid"
	if b.State == Ended {
		why = "ended"
		if b.TrialEndsAt != nil && b.TrialEndsAt.Equal(since) {
			why = "trial"
		}
	}
	return s.tell(ctx, tx, b.TenantID, info, "plan-step", string(b.Step)+" "+since.Format(time.RFC3339), func(locale string) mail.Data {
		return mail.Data{"Step": string(b.Step), "Why": why, "Since": date(since, locale), "Next": next, "When": date(when, locale)}
	})
}

func (s *Service) tellRestored(ctx context.Context, tx bun.IDB, b *Board, info *boardInfo, from Step) error {
	if !from.At(Grace) {
		return nil
	}
	return s.tell(ctx, tx, b.TenantID, info, "plan-restored", fmt.Sprint(b.Revision), func(string) mail.Data {
		d := mail.Data{"Closed": "", "Paid": ""}
		if from.At(ReadOnly) {
			d["Closed"] = "yes"
		}
		if b.State == Active {
			d["Paid"] = "yes"
		}
		return d
	})
}

// tellFailed writes of each try to collect an invoice that was refused.
func (s *Service) tellFailed(ctx context.Context, tx bun.IDB, b *Board, failed []Invoice) error {
	if len(failed) == 0 {
		return nil
	}
	info, err := s.info(ctx, tx, b.TenantID)
	if err != nil {
		return err
	}
	for _, in := range failed {
		err := s.tell(ctx, tx, b.TenantID, info, "plan-failed", fmt.Sprintf("%s %d", in.ID, in.Attempts), func(locale string) mail.Data {
			d := mail.Data{"Number": in.Number, "Amount": money.Format(in.Amount-in.Paid, in.Currency, locale), "Again": "", "ReadOnly": ""}
			if in.NextAttempt != nil {
				d["Again"] = date(*in.NextAttempt, locale)
			}
			if b.UnpaidSince != nil {
				d["ReadOnly"] = date(s.schedule.When(*b.UnpaidSince, ReadOnly), locale)
			}
			return d
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// tellChange confirms what the owner did: began to pay, changed, cancelled, took
// it back, or came to the end of it.
func (s *Service) tellChange(ctx context.Context, tx bun.IDB, was, b *Board) error {
	did := ""
	var when time.Time
	switch {
	case b.Subscribed() && !was.Subscribed():
		did = "subscribed"
	case b.Subscribed() && !sameID(b.PriceID, was.PriceID):
		did = "changed"
	case b.CancelAtPeriodEnd && !was.CancelAtPeriodEnd && b.PeriodEnd != nil:
		did, when = "cancelled", *b.PeriodEnd
	case b.NextPriceID != nil && !sameID(b.NextPriceID, was.NextPriceID) && b.PeriodEnd != nil:
		did, when = "planned", *b.PeriodEnd
	case b.Subscribed() && (was.CancelAtPeriodEnd && !b.CancelAtPeriodEnd || was.NextPriceID != nil && b.NextPriceID == nil):
		did = "kept"
	default:
		return nil
	}
	info, err := s.info(ctx, tx, b.TenantID)
	if err != nil {
		return err
	}
	name := func(id *uuid.UUID) (plan string, q *Price, err error) {
		at := b.PlanID
		if id != nil {
			if q, err = price(ctx, tx, "id = ?", *id); err != nil {
				return "", nil, err
			}
			at = q.PlanID
		}
		err = tx.NewRaw(`SELECT name FROM plans WHERE id = ?`, at).Scan(ctx, &plan)
		return plan, q, err
	}
	plan, q, err := name(b.PriceID)
	if err != nil {
		return err
	}
	next := ""
	if did == "planned" {
		if next, q, err = name(b.NextPriceID); err != nil {
			return err
		}
	}
	return s.tell(ctx, tx, b.TenantID, info, "plan-changed", fmt.Sprint(b.Revision), func(locale string) mail.Data {
		d := mail.Data{"Did": did, "Plan": plan, "Next": next, "When": date(when, locale), "Price": "", "Every": "", "Trial": ""}
		if q != nil {
			d["Price"], d["Every"] = money.Format(q.Amount, q.Currency, locale), q.Every
		}
		if b.State == Trial && b.TrialEndsAt != nil {
			d["Trial"] = date(*b.TrialEndsAt, locale)
		}
		return d
	})
}

func sameID(a, b *uuid.UUID) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// warnTrial is how long before a trial's end the owner is told.
const warnTrial = 3 * day

// tellTrial reminds of a trial that ends soon, once for each end.
func (s *Service) tellTrial(ctx context.Context, tx bun.IDB, b *Board) error {
	now := s.now()
	if b.State != Trial || b.Subscribed() || b.TrialEndsAt == nil || b.TrialEndsAt.Sub(now) > warnTrial || !b.TrialEndsAt.After(now) {
		return nil
	}
	info, err := s.info(ctx, tx, b.TenantID)
	if err != nil || info.Demo {
		return err
	}
	ends := *b.TrialEndsAt
	return s.tell(ctx, tx, b.TenantID, info, "plan-trial", ends.Format(time.RFC3339), func(locale string) mail.Data {
		return mail.Data{"Ends": date(ends, locale)}
	})
}
