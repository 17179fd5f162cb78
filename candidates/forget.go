package candidates

import (
	"context"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Forgotten counts what an erasure took.
type Forgotten struct {
	Applications, Alerts, Reports int64
}

// Forget erases what an address left on the board: its applications as a
// withdrawal does, here and for the employers, who are told; its alerts; and the
// address on reports, whose words are about a listing. The address is folded.
func (s *Service) Forget(ctx context.Context, tx bun.IDB, email string) (out Forgotten, err error) {
	var open []Application
	if err := tx.NewSelect().Model(&open).Where("a.email = ?", email).OrderExpr("a.id").For("UPDATE").Scan(ctx); err != nil {
		return out, err
	}
	for i := range open {
		if err := s.withdraw(ctx, tx, &open[i]); err != nil {
			return out, err
		}
	}
	out.Applications = int64(len(open))
	res, err := tx.NewDelete().Model((*Alert)(nil)).Where("al.email = ?", email).Exec(ctx)
	if err != nil {
		return out, err
	}
	if out.Alerts, err = res.RowsAffected(); err != nil {
		return out, err
	}
	res, err = tx.NewUpdate().Model((*Report)(nil)).Set("email = ''").Where("lower(rp.email) = ?", email).Exec(ctx)
	if err != nil {
		return out, err
	}
	out.Reports, err = res.RowsAffected()
	return out, err
}

// ForgetListing erases the applications that a listing got, when nobody is left
// who may read them. It tells how many.
func (s *Service) ForgetListing(ctx context.Context, tx bun.IDB, listing uuid.UUID) (int, error) {
	var got []Application
	err := tx.NewSelect().Model(&got).Where("a.listing_id = ?", listing).Where("a.withdrawn_at IS NULL").OrderExpr("a.id").For("UPDATE").Scan(ctx)
	if err != nil {
		return 0, err
	}
	for i := range got {
		if err := s.empty(ctx, tx, &got[i]); err != nil {
			return 0, err
		}
	}
	return len(got), nil
}
