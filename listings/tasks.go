package listings

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"gocloud.dev/blob"

	"shingle/internal/fault"
	"shingle/tasks"
	"shingle/tenant"
)

// Task kinds are frozen names. The sweeps cross boards and only hand out work;
// each listing is then changed within its own board.
const (
	taskSweep   = "listing.sweep"
	taskSoon    = "listing.sweep-soon"
	taskExpire  = "listing.expire"
	taskPublish = "listing.publish"
	taskFeature = "listing.feature-end"
	taskEndSoon = "listing.ends-soon"
)

const (
	// sweepEvery is how late an ending may be; pages hide what has ended by themselves.
	sweepEvery = 30 * time.Second
	soonEvery  = time.Hour
	// soonBefore is when the "ends soon" mail goes out.
	soonBefore = 3 * 24 * time.Hour
	sweepBatch = 1000
)

type listingPayload struct {
	ListingID uuid.UUID `json:"listing_id"`
}

// Worker runs the listings' tasks.
type Worker struct {
	Store    *Store
	DB       *tenant.DB
	Platform *tenant.Platform
	Bucket   *blob.Bucket
	// BulkMails is how many more reminders the context's board may write; at none
	// they are held. Nil sets no limit.
	BulkMails func(ctx context.Context) (int64, error)
}

// Register names the handlers.
func (w *Worker) Register(m *tasks.Mux) {
	m.Handle(taskSweep, w.sweep)
	m.Handle(taskSoon, w.sweepSoon)
	m.Handle(taskExpire, w.each(w.Store.expire))
	m.Handle(taskPublish, w.each(w.Store.publishDue))
	m.Handle(taskFeature, w.each(w.Store.endFeature))
	m.Handle(taskEndSoon, w.endsSoon)
	m.Handle(TaskImport, w.runImport)
	m.Handle(TaskBlobDelete, func(ctx context.Context, t *tasks.Task) error { return deleteBlob(ctx, w.Bucket, t) })
}

// Schedule keeps the sweeps coming back.
func (w *Worker) Schedule(ctx context.Context) error {
	if err := tasks.Schedule(ctx, w.Platform, taskSweep, sweepEvery, tasks.Default); err != nil {
		return err
	}
	return tasks.Schedule(ctx, w.Platform, taskSoon, soonEvery, tasks.Bulk)
}

// due is a listing of some board that a sweep found.
type due struct {
	TenantID tenant.ID `bun:"tenant_id"`
	ID       uuid.UUID `bun:"id"`
}

func (w *Worker) sweep(ctx context.Context, t *tasks.Task) error {
	now := w.Store.now()
	return w.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := t.Finish(ctx, tx); err != nil {
			return err
		}
		if err := handOut(ctx, tx, taskExpire, `SELECT tenant_id, id FROM listings
			WHERE state IN ('live', 'paused') AND ends_at <= ? ORDER BY ends_at LIMIT ?`, now, sweepBatch); err != nil {
			return err
		}
		if err := handOut(ctx, tx, taskPublish, `SELECT tenant_id, id FROM listings
			WHERE state = 'scheduled' AND publish_at <= ? ORDER BY publish_at LIMIT ?`, now, sweepBatch); err != nil {
			return err
		}
		// Ended within the last two days: longer ago means handled, or ended with the listing.
		return handOut(ctx, tx, taskFeature, `SELECT DISTINCT e.tenant_id, e.listing_id AS id FROM entitlements AS e
			JOIN listings AS l ON l.tenant_id = e.tenant_id AND l.id = e.listing_id
			WHERE e.revoked_at IS NULL AND e.kind = 'feature' AND e.ends_at <= ? AND e.ends_at > ? AND l.featured
				AND NOT EXISTS (SELECT 1 FROM entitlements AS o WHERE o.tenant_id = e.tenant_id AND o.listing_id = e.listing_id
					AND o.kind = 'feature' AND o.revoked_at IS NULL AND o.starts_at <= ? AND o.ends_at > ?)
			LIMIT ?`, now, now.Add(-48*time.Hour), now, now, sweepBatch)
	})
}

func (w *Worker) sweepSoon(ctx context.Context, t *tasks.Task) error {
	now := w.Store.now()
	return w.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := t.Finish(ctx, tx); err != nil {
			return err
		}
		// Postings shorter than a week need no warning; the mail's key keeps it single.
		// Boards whose reminders are held do not stand in the way of the others.
		return handOut(ctx, tx, taskEndSoon, `SELECT l.tenant_id, l.id FROM listings AS l
			WHERE l.state IN ('live', 'paused') AND l.ends_at > ? AND l.ends_at <= ? AND l.person_id IS NOT NULL AND l.ends_at - l.published_at > interval '7 days'
				AND NOT EXISTS (SELECT 1 FROM board_plans AS bp WHERE bp.tenant_id = l.tenant_id AND bp.mails_held_since IS NOT NULL)
				AND NOT EXISTS (SELECT 1 FROM mails AS m WHERE m.tenant_id = l.tenant_id AND m.kind = 'listing-ends-soon'
					AND m.key = l.id::text || ' ' || to_char(l.ends_at AT TIME ZONE 'UTC', 'YYYY-MM-DD'))
			ORDER BY l.ends_at LIMIT ?`, now, now.Add(soonBefore), sweepBatch)
	})
}

// handOut adds a task for each row, coalesced by listing.
func handOut(ctx context.Context, tx bun.IDB, kind, query string, args ...any) error {
	var rows []due
	if err := tx.NewRaw(query, args...).Scan(ctx, &rows); err != nil {
		return err
	}
	for _, r := range rows {
		err := tasks.Add(ctx, tx, tasks.New{Kind: kind, Key: r.ID.String(), Payload: listingPayload{r.ID}, Tenant: r.TenantID})
		if err != nil {
			return err
		}
	}
	return nil
}

// each runs fn for the task's listing within its board; a listing that is gone
// is done.
func (w *Worker) each(fn func(ctx context.Context, tx bun.IDB, id uuid.UUID) error) tasks.Handler {
	return func(ctx context.Context, t *tasks.Task) error {
		var p listingPayload
		if err := t.Decode(&p); err != nil {
			return err
		}
		return w.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
			if err := t.Finish(ctx, tx); err != nil {
				return err
			}
			if err := fn(ctx, tx, p.ListingID); err != nil && !fault.Is(err, fault.NotFound) {
				return err
			}
			return nil
		})
	}
}

// expire ends a listing whose time is over; longer time granted meanwhile wins.
func (s *Store) expire(ctx context.Context, tx bun.IDB, id uuid.UUID) error {
	l, err := s.Lock(ctx, tx, id)
	if err != nil || l.State != Live && l.State != Paused || l.EndsAt == nil || l.EndsAt.After(s.now()) {
		return err
	}
	l.Featured = false
	if err := s.move(ctx, tx, l, Expired, "its time is over"); err != nil {
		return err
	}
	return s.tellOwner(ctx, tx, l, "listing-expired", "", l.EndsAt.UTC().Format(time.DateOnly))
}

func (s *Store) publishDue(ctx context.Context, tx bun.IDB, id uuid.UUID) error {
	l, err := s.Lock(ctx, tx, id)
	if err != nil || l.State != Scheduled || l.PublishAt == nil || l.PublishAt.After(s.now()) {
		return err
	}
	return s.publish(ctx, tx, l, "its date has come")
}

func (s *Store) endFeature(ctx context.Context, tx bun.IDB, id uuid.UUID) error {
	l, err := s.Lock(ctx, tx, id)
	if err != nil || !l.Featured {
		return err
	}
	es, err := s.Entitlements(ctx, tx, id)
	if err != nil {
		return err
	}
	if _, l.Featured = window(s.now(), es); l.Featured {
		return nil
	}
	return s.save(ctx, tx, l)
}

// endsSoon reminds an owner, unless the board's mails are used up: then a later
// sweep does, as long as the listing has not ended.
func (w *Worker) endsSoon(ctx context.Context, t *tasks.Task) error {
	if w.BulkMails != nil {
		if n, err := w.BulkMails(ctx); err != nil || n <= 0 {
			return err
		}
	}
	return w.each(w.Store.endsSoon)(ctx, t)
}

func (s *Store) endsSoon(ctx context.Context, tx bun.IDB, id uuid.UUID) error {
	l, err := s.Lock(ctx, tx, id)
	if err != nil || l.State != Live && l.State != Paused || l.EndsAt == nil {
		return err
	}
	return s.tellOwner(ctx, tx, l, "listing-ends-soon", "", l.EndsAt.UTC().Format(time.DateOnly))
}

func (w *Worker) runImport(ctx context.Context, t *tasks.Task) error {
	var p importPayload
	if err := t.Decode(&p); err != nil {
		return err
	}
	return w.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := t.Finish(ctx, tx); err != nil {
			return err
		}
		return w.Store.applyImport(ctx, tx, p)
	})
}
