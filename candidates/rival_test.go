package candidates_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/testkit"
	"shingle/tenant"
)

// TestRivalBoard tries everything from another board, with the true ids and
// tokens in hand and each wall alone: not found, and the owner's rows untouched.
func TestRivalBoard(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	a, err := d.s.Apply(d.ctx, d.listing, form())
	if err != nil {
		t.Fatal(err)
	}
	received := d.token(t, d.ctx, "application-received")
	var alert, report uuid.UUID
	d.write(t, d.ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := d.s.AskAlert(ctx, tx, "r@seeker.example", "q=lock", "lock"); err != nil {
			return err
		}
		if err := d.s.ReportListing(ctx, tx, d.listing, "scam", "", ""); err != nil {
			return err
		}
		return tx.NewRaw(`SELECT a.id, r.id FROM alerts a, reports r`).Scan(ctx, &alert, &report)
	})
	back, confirm := d.token(t, d.ctx, "application-sent"), d.token(t, d.ctx, "alert-confirm")
	testkit.EachWall(t, d.World, d.board, d.Board(t, "rival"), func(t *testing.T, r *testkit.Rival) {
		s := *d.s
		s.DB = r.DB
		for name, fn := range map[string]tenant.Fn{
			"own listing": func(ctx context.Context, tx bun.IDB) error {
				_, err := s.OwnListing(ctx, tx, d.person, d.listing)
				return err
			},
			"applicants": func(ctx context.Context, tx bun.IDB) error {
				_, err := s.Applicants(ctx, tx, d.person, d.listing, "")
				return err
			},
			"application": func(ctx context.Context, tx bun.IDB) error {
				_, _, _, err := s.Application(ctx, tx, d.person, a.ID)
				return err
			},
			"status":      func(ctx context.Context, tx bun.IDB) error { return s.SetStatus(ctx, tx, d.person, a.ID, "hired") },
			"answer":      func(ctx context.Context, tx bun.IDB) error { return s.Answer(ctx, tx, d.person, a.ID, "hello") },
			"withdrawing": func(ctx context.Context, tx bun.IDB) error { _, err := s.ByWithdrawToken(ctx, tx, back); return err },
			"withdraw":    func(ctx context.Context, tx bun.IDB) error { _, err := s.Withdraw(ctx, tx, back); return err },
			"consent": func(ctx context.Context, tx bun.IDB) error {
				_, err := s.AlertByConfirmToken(ctx, tx, confirm)
				return err
			},
			"confirm": func(ctx context.Context, tx bun.IDB) error { _, err := s.ConfirmAlert(ctx, tx, confirm); return err },
			"stopping": func(ctx context.Context, tx bun.IDB) error {
				_, err := s.AlertByStopToken(ctx, tx, alert, s.StopToken(d.board.ID, alert))
				return err
			},
			"stop": func(ctx context.Context, tx bun.IDB) error {
				_, err := s.StopAlert(ctx, tx, alert, s.StopToken(d.board.ID, alert))
				return err
			},
			"report": func(ctx context.Context, tx bun.IDB) error {
				return s.ReportListing(ctx, tx, d.listing, "scam", "", "")
			},
			"decide": func(ctx context.Context, tx bun.IDB) error {
				_, err := s.DecideReport(ctx, tx, report, "upheld")
				return err
			},
		} {
			r.Try(t, name, fn, fault.NotFound, fault.Gone)
		}
		_, err := s.Apply(r.Ctx, d.listing, form())
		r.Refused(t, "applying", err)
		_, _, err = s.CV(r.Ctx, d.person, a.ID, "")
		r.Refused(t, "the CV", err)
		_, _, err = s.CV(r.Ctx, d.person, a.ID, received)
		r.Refused(t, "the CV by its link", err)
		r.Nothing(t, "counts", func(ctx context.Context, tx bun.IDB) (int, error) {
			all, fresh, err := s.Counts(ctx, tx, []uuid.UUID{d.listing})
			return all[d.listing] + fresh[d.listing], err
		})
		r.Nothing(t, "reports", func(ctx context.Context, tx bun.IDB) (int, error) {
			list, n, err := s.Reports(ctx, tx, "", 1, 9)
			return len(list) + n, err
		})
	})
}
