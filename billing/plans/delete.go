package plans

import (
	"context"
	"strings"

	"github.com/stripe/stripe-go/v76"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/billing"
	"shingle/internal/fault"
	"shingle/tasks"
	"shingle/tenant"
)

// TaskErase removes what a deleted board has outside the database: a frozen name.
const TaskErase = "plans.erase"

type erasePayload struct {
	Board tenant.ID `json:"board"`
}

// Delete ends a board at the foot of the ladder for good: its rows go in one
// transaction, with its certificates; its files and its search by a task after it.
// The audit log stays, as proof, and
// says who did it. typed is the board's slug as staff typed it. Nothing calls
// this but somebody's confirmation.
//
// It calls Stripe first, to end a subscription that still lives. Kinds:
// fault.NotFound, fault.Conflict for a board that is not at the foot of the
// ladder (by then it may have paid), fault.Invalid for another slug,
// fault.Unavailable.
func (s *Service) Delete(ctx context.Context, board tenant.ID, typed string) error {
	ctx = tenant.With(ctx, nil)
	if err := s.deletable(ctx, board, typed); err != nil {
		return err
	}
	b, err := s.Sync(ctx, board) // it may have paid, and nobody told us yet
	if err != nil {
		return err
	}
	if b.Subscribed() && b.Step == Deletable {
		_, err := s.stripe.Subscriptions.Cancel(b.Subscription, &stripe.SubscriptionCancelParams{Params: billing.Call(ctx, "")})
		if err = billing.StripeFault(err, "ending the subscription"); err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		if _, err := s.Sync(ctx, board); err != nil {
			return err
		}
	}
	return s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		b, err := readBoard(ctx, tx, board, "FOR UPDATE")
		if err != nil {
			return err
		}
		if b.Step != Deletable {
			return fault.New(fault.Conflict, "plan.not_deletable")
		}
		if err := authz.Record(ctx, tx, authz.Act{Act: "board.deleted", ObjectKind: "board", ObjectID: board.String(), Detail: map[string]any{"slug": typed}}); err != nil {
			return err
		}
		if s.leave != nil {
			if err := s.leave(ctx, tx, board); err != nil {
				return err
			}
		}
		// These have no key to the board, since the platform has rows in them too.
		for _, table := range []string{"casbin_rules", "feature_flags", "mails", "mail_suppressions", "tasks"} {
			if _, err := tx.NewRaw(`DELETE FROM ? WHERE tenant_id = ?`, bun.Ident(table), board).Exec(ctx); err != nil {
				return err
			}
		}
		res, err := tx.NewRaw(`DELETE FROM boards WHERE id = ?`, board).Exec(ctx)
		if err := tenant.Touched(res, err, "board"); err != nil {
			return err
		}
		return tasks.Add(ctx, tx, tasks.New{Kind: TaskErase, Queue: tasks.Bulk, Key: board.String(), Payload: erasePayload{board}})
	})
}

func (s *Service) deletable(ctx context.Context, board tenant.ID, typed string) error {
	return s.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		info, err := s.info(ctx, tx, board)
		if err != nil {
			return err
		}
		b, err := s.BoardOf(ctx, tx, board)
		if fault.Is(err, fault.NotFound) || err == nil && (b.Step != Deletable || info.Demo) {
			return fault.New(fault.Conflict, "plan.not_deletable")
		}
		if err == nil && strings.TrimSpace(typed) != info.Slug {
			return fault.Invalids(fault.Fields{"slug": "plan.delete.slug"})
		}
		return err
	})
}

// eraseTask does what the deletion's transaction could not; done again it finds
// nothing.
func (s *Service) eraseTask(ctx context.Context, t *tasks.Task) error {
	var p erasePayload
	if err := t.Decode(&p); err != nil {
		return err
	}
	if s.erase != nil {
		if err := s.erase(ctx, p.Board); err != nil {
			return err
		}
	}
	return s.platform.Write(ctx, t.Finish)
}
