package listings

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/entitle"
	"shingle/internal/fault"
	"shingle/tenant"
)

// Kinds of entitlement.
const (
	Posting = "posting"
	Feature = "feature"
)

// Entitlement is what was paid for: so many days of being live or featured.
// Its days begin when the listing first goes live.
type Entitlement struct {
	bun.BaseModel `bun:"table:entitlements,alias:e"`
	tenant.Scoped

	ID        uuid.UUID  `bun:"id,pk,type:uuid"`
	ListingID uuid.UUID  `bun:"listing_id,type:uuid"`
	OrderID   *uuid.UUID `bun:"order_id,type:uuid"`
	Kind      string     `bun:"kind"`
	Days      int        `bun:"days"`
	StartsAt  *time.Time `bun:"starts_at"`
	EndsAt    *time.Time `bun:"ends_at"`
	RevokedAt *time.Time `bun:"revoked_at"`
	Reason    string     `bun:"reason"`
	CreatedAt time.Time  `bun:"created_at"`
}

// grant is the entitlement as the arithmetic of grants sees it.
func (e *Entitlement) grant() entitle.Grant {
	g := entitle.Grant{What: e.Kind, Amount: 1, Revoked: e.RevokedAt != nil}
	if e.StartsAt != nil {
		g.From = *e.StartsAt
	}
	if e.EndsAt != nil {
		g.To = *e.EndsAt
	}
	return g
}

func grants(es []Entitlement) []entitle.Grant {
	out := make([]entitle.Grant, len(es))
	for i := range es {
		out[i] = es[i].grant()
	}
	return out
}

// live reports an entitlement that counts now or will.
func (e *Entitlement) live(now time.Time) bool { return e.grant().Open(now) }

// begin gives the entitlements that have not begun their days: one after the
// other, none before now. It answers which changed, when the posting ends
// (zero: nothing paid) and whether it is featured now.
func begin(now time.Time, es []Entitlement) (begun []int, ends time.Time, featured bool) {
	gs := grants(es)
	for i := range es {
		e := &es[i]
		if e.RevokedAt != nil || e.StartsAt != nil {
			continue
		}
		from, to := entitle.Next(now, gs, e.Kind, time.Duration(e.Days)*24*time.Hour)
		e.StartsAt, e.EndsAt = &from, &to
		gs[i] = e.grant()
		begun = append(begun, i)
	}
	ends, featured = window(now, es)
	return begun, ends, featured
}

// window is what the entitlements that have begun amount to.
func window(now time.Time, es []Entitlement) (ends time.Time, featured bool) {
	gs := grants(es)
	return entitle.End(gs, Posting), entitle.Allowed(now, gs, Feature) > 0
}

// Entitlements lists what a listing has been granted, oldest first.
func (s *Store) Entitlements(ctx context.Context, tx bun.IDB, listing uuid.UUID) ([]Entitlement, error) {
	var es []Entitlement
	err := tx.NewSelect().Model(&es).Where("e.listing_id = ?", listing).OrderExpr("e.created_at, e.id").Scan(ctx)
	return es, err
}

// Grant records what was paid for. Only ListingID, OrderID, Kind, Days and
// Reason of e are used. The same order and kind twice is a no-op. On a live
// listing the days are added at once; otherwise they begin when it goes live:
// call Submit or Publish after it.
//
// Kinds: fault.NotFound for the listing, fault.Invalid for days below one.
func (s *Store) Grant(ctx context.Context, tx bun.IDB, e Entitlement) error {
	if e.Days < 1 || e.Days > 3660 || e.Kind != Posting && e.Kind != Feature {
		return fault.New(fault.Invalid, "an entitlement of %d days of %q", e.Days, e.Kind)
	}
	l, err := s.Lock(ctx, tx, e.ListingID)
	if err != nil {
		return err
	}
	row := &Entitlement{ID: tenant.NewRowID(), ListingID: e.ListingID, OrderID: e.OrderID, Kind: e.Kind, Days: e.Days, Reason: e.Reason, CreatedAt: s.now()}
	res, err := tx.NewInsert().Model(row).On("CONFLICT DO NOTHING").Exec(ctx)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	if l.State != Live && l.State != Paused {
		return nil
	}
	if err := s.begin(ctx, tx, l, s.now()); err != nil {
		return err
	}
	return s.save(ctx, tx, l)
}

// Revoke takes back what an order granted. A listing without any paid posting
// time left expires, or waits for payment when it has not been live; it is
// rejected or removed already when that is why. Twice is a no-op. No
// entitlement of that order is no error: a refund may come before the grant.
func (s *Store) Revoke(ctx context.Context, tx bun.IDB, order uuid.UUID, reason string) error {
	var es []Entitlement
	err := tx.NewSelect().Model(&es).Where("e.order_id = ?", order).Where("e.revoked_at IS NULL").Scan(ctx)
	if err != nil || len(es) == 0 {
		return err
	}
	l, err := s.Lock(ctx, tx, es[0].ListingID)
	if err != nil {
		return err
	}
	now := s.now()
	if _, err := tx.NewUpdate().Model((*Entitlement)(nil)).Set("revoked_at = ?, reason = ?", now, reason).
		Where("e.order_id = ?", order).Where("e.revoked_at IS NULL").Exec(ctx); err != nil {
		return err
	}
	all, err := s.Entitlements(ctx, tx, l.ID)
	if err != nil {
		return err
	}
	ends, featured := window(now, all)
	paid := false
	for i := range all {
		paid = paid || all[i].Kind == Posting && all[i].live(now)
	}
	l.Featured = featured
	if l.PublishedAt != nil {
		l.EndsAt = &ends
		if ends.IsZero() {
			l.EndsAt = &now
		}
	}
	to := l.State
	if !paid {
		switch l.State {
		case Live, Paused:
			to = Expired
		case InReview, Scheduled:
			to = AwaitingPayment
		}
	}
	if to == l.State {
		return s.save(ctx, tx, l)
	}
	return s.move(ctx, tx, l, to, reason)
}

// begin starts what was granted and sets the listing's end and featured flag.
func (s *Store) begin(ctx context.Context, tx bun.IDB, l *Listing, now time.Time) error {
	es, err := s.Entitlements(ctx, tx, l.ID)
	if err != nil {
		return err
	}
	begun, ends, featured := begin(now, es)
	for _, i := range begun {
		if _, err := tx.NewUpdate().Model(&es[i]).Column("starts_at", "ends_at").Where("e.id = ?", es[i].ID).Exec(ctx); err != nil {
			return err
		}
	}
	l.Featured = featured
	if ends.IsZero() {
		l.EndsAt = nil
	} else {
		l.EndsAt = &ends
	}
	return nil
}

// paid reports whether a posting entitlement counts now or has yet to begin.
func (s *Store) paid(ctx context.Context, tx bun.IDB, l *Listing) (bool, error) {
	es, err := s.Entitlements(ctx, tx, l.ID)
	if err != nil {
		return false, err
	}
	now := s.now()
	for i := range es {
		if es[i].Kind == Posting && es[i].live(now) {
			return true, nil
		}
	}
	return false, nil
}

// Paid reports whether the listing has posting time, used or waiting.
// Kind: fault.NotFound.
func (s *Store) Paid(ctx context.Context, tx bun.IDB, id uuid.UUID) (bool, error) {
	l, err := s.ByID(ctx, tx, id)
	if err != nil {
		return false, err
	}
	return s.paid(ctx, tx, l)
}
