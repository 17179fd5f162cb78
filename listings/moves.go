package listings

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tenant"
)

// Submit hands a listing in: without a posting entitlement it awaits payment;
// with one it goes to review where the board moderates, else live (or waits
// for its date). Paid stays paid: a listing that was sent back goes straight
// on. Handing in twice is a no-op. Operators' own listings skip the review.
//
// Kinds: fault.NotFound, fault.Conflict.
func (s *Store) Submit(ctx context.Context, tx bun.IDB, id uuid.UUID) (*Listing, error) {
	l, err := s.Lock(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	switch l.State {
	case InReview, Scheduled, Live, Paused:
		return l, nil
	case Removed, Filled, Rejected:
		return nil, conflict(l, AwaitingPayment)
	}
	paid, err := s.paid(ctx, tx, l)
	if err != nil {
		return nil, err
	}
	switch {
	case !paid && l.State == AwaitingPayment:
		return l, nil
	case !paid:
		return l, s.move(ctx, tx, l, AwaitingPayment, "")
	case s.moderated(ctx):
		if err := s.move(ctx, tx, l, InReview, ""); err != nil {
			return nil, err
		}
		if err := s.tellReviewers(ctx, tx, l); err != nil {
			return nil, err
		}
		return l, s.tellOwner(ctx, tx, l, "listing-in-review", "", "")
	}
	return l, s.publish(ctx, tx, l, "")
}

// moderated reports whether what the actor sends goes through the review.
func (s *Store) moderated(ctx context.Context) bool {
	t := tenant.From(ctx)
	k := tenant.ActorFrom(ctx).Kind
	return t != nil && t.Moderated && k != tenant.Operator && k != tenant.Staff
}

// Publish makes a listing live, or scheduled when its date is ahead. Its paid
// days begin now: review has not eaten any. Publishing twice is a no-op.
//
// Kinds: fault.NotFound, fault.Conflict when its state does not allow it or no
// posting entitlement is left.
func (s *Store) Publish(ctx context.Context, tx bun.IDB, id uuid.UUID) (*Listing, error) {
	l, err := s.Lock(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	return l, s.publish(ctx, tx, l, "")
}

func (s *Store) publish(ctx context.Context, tx bun.IDB, l *Listing, reason string) error {
	now := s.now()
	if l.State == Live {
		return nil
	}
	if l.PublishAt != nil && l.PublishAt.After(now) && l.PublishedAt == nil {
		if l.State == Scheduled {
			return nil
		}
		paid, err := s.paid(ctx, tx, l)
		if err != nil {
			return err
		}
		if !paid {
			return unpaid(l)
		}
		return s.move(ctx, tx, l, Scheduled, reason)
	}
	if !MayMove(l.State, Live) {
		return conflict(l, Live)
	}
	// A posting that had ended and is paid anew is a new posting; an undone
	// pause, removal or rejection is not.
	if err := s.notHeld(ctx, tx, l); err != nil {
		return err
	}
	again := l.PublishedAt == nil || l.EndsAt == nil || !l.EndsAt.After(now)
	if err := s.begin(ctx, tx, l, now); err != nil {
		return err
	}
	if l.EndsAt == nil || !l.EndsAt.After(now) {
		return unpaid(l)
	}
	if again {
		l.PublishedAt = &now
	}
	l.ReviewNote = ""
	if err := s.bringOut(ctx, tx, l); err != nil {
		return err
	}
	if err := s.move(ctx, tx, l, Live, reason); err != nil {
		return err
	}
	if !again {
		return nil
	}
	return s.tellOwner(ctx, tx, l, "listing-live", "", l.PublishedAt.Format(time.RFC3339))
}

// Approve publishes a listing after its review; version is the one that was
// reviewed. Kinds as for Publish; fault.Conflict with MsgChanged when the
// listing has been changed since.
func (s *Store) Approve(ctx context.Context, tx bun.IDB, id uuid.UUID, version int64) (*Listing, error) {
	l, err := s.Lock(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	if l.State != InReview && l.State != Live && l.State != Scheduled {
		return nil, conflict(l, Live)
	}
	if l.State == InReview && l.Version != version {
		return nil, fault.New(fault.Conflict, MsgChanged)
	}
	return l, s.publish(ctx, tx, l, "")
}

// SendBack returns a listing in review to its employer with a note. What was
// paid stays paid. Kinds: fault.NotFound, fault.Conflict, fault.Invalid (note).
func (s *Store) SendBack(ctx context.Context, tx bun.IDB, id uuid.UUID, note string) (*Listing, error) {
	note, err := needNote(note)
	if err != nil {
		return nil, err
	}
	l, err := s.Lock(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	if l.State != InReview {
		return nil, conflict(l, Draft)
	}
	l.ReviewNote = note
	if err := s.move(ctx, tx, l, Draft, note); err != nil {
		return nil, err
	}
	return l, s.tellOwner(ctx, tx, l, "listing-sent-back", note, l.UpdatedAt.Format(time.RFC3339Nano))
}

// Reject refuses a listing for good, from any state but removed. Refunding is
// the caller's. Kinds: fault.NotFound, fault.Conflict, fault.Invalid (note).
func (s *Store) Reject(ctx context.Context, tx bun.IDB, id uuid.UUID, note string) (*Listing, error) {
	note, err := needNote(note)
	if err != nil {
		return nil, err
	}
	l, err := s.Lock(ctx, tx, id)
	if err != nil || l.State == Rejected {
		return l, err
	}
	l.ReviewNote = note
	if err := s.move(ctx, tx, l, Rejected, note); err != nil {
		return nil, err
	}
	return l, s.tellOwner(ctx, tx, l, "listing-rejected", note, l.UpdatedAt.Format(time.RFC3339Nano))
}

func needNote(note string) (string, error) {
	note = strings.TrimSpace(note)
	if note == "" {
		return "", fault.Invalids(fault.Fields{"note": say("field.required")})
	}
	if runes(note) > 2000 {
		return "", fault.Invalids(fault.Fields{"note": say("field.long", "2000")})
	}
	return note, nil
}

// Pause takes a live listing out of sight; its paid time runs on.
// The board's pause is a hold, see Hold; its reason is for the employer.
// Kinds: fault.NotFound, fault.Conflict, fault.Invalid (field "reason").
func (s *Store) Pause(ctx context.Context, tx bun.IDB, id uuid.UUID, reason string) (*Listing, error) {
	reason = strings.TrimSpace(reason)
	if runes(reason) > 500 {
		return nil, fault.Invalids(fault.Fields{"reason": say("field.long", "500")})
	}
	return s.Move(ctx, tx, id, Paused, reason)
}

// MsgHeld is the word key of a fault.Conflict: the board's own pause stands.
const MsgHeld = "listing.held"

// Hold is the board's pause that stands over a listing, or nil: only the board
// brings such a listing back, whatever the employer does with it meanwhile.
func (s *Store) Hold(ctx context.Context, tx bun.IDB, id uuid.UUID) (*Move, error) {
	last := new(Move)
	// What an undo did to the state says nothing about who paused.
	err := tenant.One(ctx, tx.NewSelect().Model(last).Where("m.listing_id = ?", id).Where("m.to_state IN (?, ?)", Paused, Live).
		Where("m.from_state NOT IN (?, ?)", Removed, Rejected).OrderExpr("m.at DESC, m.id DESC").Limit(1), "move")
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil || last.To != Paused || last.ActorKind != tenant.Operator && last.ActorKind != tenant.Staff {
		return nil, err
	}
	return last, nil
}

// notHeld refuses an employer what only the board may do.
func (s *Store) notHeld(ctx context.Context, tx bun.IDB, l *Listing) error {
	if tenant.ActorFrom(ctx).Kind != tenant.Person || l.PublishedAt == nil {
		return nil
	}
	hold, err := s.Hold(ctx, tx, l.ID)
	if err == nil && hold != nil {
		err = fault.New(fault.Conflict, MsgHeld)
	}
	return err
}

// Resume shows a paused listing again, or a filled one whose time runs still.
// Kinds: fault.NotFound, fault.Conflict (with MsgHeld for an employer whose
// listing the board paused).
func (s *Store) Resume(ctx context.Context, tx bun.IDB, id uuid.UUID) (*Listing, error) {
	l, err := s.Lock(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	if l.State != Paused && l.State != Filled && l.State != Live {
		return nil, conflict(l, Live)
	}
	return l, s.publish(ctx, tx, l, "")
}

// MarkFilled ends a listing because somebody was hired.
// Kinds: fault.NotFound, fault.Conflict.
func (s *Store) MarkFilled(ctx context.Context, tx bun.IDB, id uuid.UUID) (*Listing, error) {
	return s.Move(ctx, tx, id, Filled, "")
}

// Relist makes an ended listing ready for a new payment; with an entitlement
// left it goes on as Submit says. Kinds: fault.NotFound, fault.Conflict.
func (s *Store) Relist(ctx context.Context, tx bun.IDB, id uuid.UUID) (*Listing, error) {
	l, err := s.Lock(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	switch l.State {
	case Expired, Filled:
	case AwaitingPayment:
		return l, nil
	default:
		return nil, conflict(l, AwaitingPayment)
	}
	// Nobody shall pay for what the board holds back.
	if err := s.notHeld(ctx, tx, l); err != nil {
		return nil, err
	}
	if err := s.move(ctx, tx, l, AwaitingPayment, "relisted"); err != nil {
		return nil, err
	}
	return s.Submit(ctx, tx, id)
}

// Remove takes a listing away for good, from any state; see Restore.
// Removing twice is a no-op. Kind: fault.NotFound.
func (s *Store) Remove(ctx context.Context, tx bun.IDB, id uuid.UUID, reason string) (*Listing, error) {
	return s.Move(ctx, tx, id, Removed, reason)
}

// Restore undoes the last removal, or the last rejection: back to the state before. A
// listing whose time has run out meanwhile is expired.
// Kinds: fault.NotFound, fault.Conflict when it is neither removed nor rejected.
func (s *Store) Restore(ctx context.Context, tx bun.IDB, id uuid.UUID) (*Listing, error) {
	l, to, err := s.restores(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	return l, s.move(ctx, tx, l, to, "undone")
}

// RestoresTo is the state that Restore would bring a listing back to; its row is
// locked. Kinds as of Restore.
func (s *Store) RestoresTo(ctx context.Context, tx bun.IDB, id uuid.UUID) (State, error) {
	_, to, err := s.restores(ctx, tx, id)
	return to, err
}

func (s *Store) restores(ctx context.Context, tx bun.IDB, id uuid.UUID) (*Listing, State, error) {
	l, err := s.Lock(ctx, tx, id)
	if err != nil {
		return nil, "", err
	}
	if l.State != Removed && l.State != Rejected {
		return nil, "", fault.New(fault.Conflict, "the listing is %s: there is nothing to undo", l.State)
	}
	last := new(Move)
	err = tenant.One(ctx, tx.NewSelect().Model(last).Where("m.listing_id = ?", id).Where("m.to_state = ?", l.State).
		OrderExpr("m.at DESC, m.id DESC").Limit(1), "move")
	if err != nil {
		return nil, "", err
	}
	to := last.From
	if to.Running() && to != Scheduled && (l.EndsAt == nil || !l.EndsAt.After(s.now())) {
		to = Expired
	}
	return l, to, nil
}

// Move takes a listing to a state by hand, as the table allows; already there
// is a no-op. Going live needs a posting entitlement (see Publish).
//
// Kinds: fault.NotFound, fault.Conflict.
func (s *Store) Move(ctx context.Context, tx bun.IDB, id uuid.UUID, to State, reason string) (*Listing, error) {
	l, err := s.Lock(ctx, tx, id)
	if err != nil || l.State == to {
		return l, err
	}
	if to == Live {
		return l, s.publish(ctx, tx, l, reason)
	}
	return l, s.move(ctx, tx, l, to, reason)
}

// move is the one place where a state changes: table, row, history, index,
// pages.
func (s *Store) move(ctx context.Context, tx bun.IDB, l *Listing, to State, reason string) error {
	if !MayMove(l.State, to) {
		return conflict(l, to)
	}
	from := l.State
	now := s.now()
	l.State, l.UpdatedAt = to, now
	switch to {
	case Filled, Expired, Rejected, Removed:
		if l.ClosedAt == nil {
			l.ClosedAt = &now
		}
	default:
		l.ClosedAt = nil
	}
	if err := s.save(ctx, tx, l); err != nil {
		return err
	}
	return s.record(ctx, tx, l, from, to, reason)
}

// save writes what rules change and tells search and pages of it.
func (s *Store) save(ctx context.Context, tx bun.IDB, l *Listing) error {
	l.Version++
	res, err := tx.NewUpdate().Model(l).Column("slug", "company_id", "category_id", "state", "title", "employment_type", "workplace", "seniority",
		"salary_min", "salary_max", "salary_currency", "salary_period", "salary_year_min", "salary_year_max", "description", "tags",
		"applicant_countries", "apply_method", "apply_target", "reference", "featured", "publish_at", "published_at", "ends_at", "closed_at",
		"review_note", "next_logo", "next_website", "version", "updated_at").Where("l.id = ?", l.ID).Exec(ctx)
	if err := tenant.Touched(res, err, "listing"); err != nil {
		return err
	}
	tenant.Changed(ctx)
	return addIndex(ctx, tx, IndexPayload{l.ID, l.Version})
}

func (s *Store) record(ctx context.Context, tx bun.IDB, l *Listing, from, to State, reason string) error {
	a := tenant.ActorFrom(ctx)
	m := &Move{ID: tenant.NewRowID(), ListingID: l.ID, From: from, To: to, ActorKind: a.Kind, ActorID: a.NullID(), Reason: reason, At: s.now()}
	_, err := tx.NewInsert().Model(m).Exec(ctx)
	return err
}

func conflict(l *Listing, to State) error {
	return fault.New(fault.Conflict, "a listing that is %s cannot become %s", l.State, to)
}

func unpaid(l *Listing) error {
	return fault.New(fault.Conflict, "the listing has no paid time left; it is %s", l.State)
}
