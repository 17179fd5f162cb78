package billing

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/tasks"
	"shingle/tenant"
)

// Kinds of billing's tasks: frozen names.
const (
	TaskEvent          = "billing.event"           // applies one event of Stripe's
	TaskExpire         = "billing.expire"          // closes the checkouts of a cancelled order
	TaskRefund         = "billing.refund"          // carries a refund out
	TaskFeeBack        = "billing.fee_back"        // returns the fee after a refund on the dashboard
	TaskSweep          = "billing.sweep"           // platform: looks after checkouts that should have ended
	TaskSettle         = "billing.settle"          // asks Stripe what became of one checkout
	TaskReconcile      = "billing.reconcile"       // platform: nightly, one TaskReconcileBoard per board
	TaskReconcileBoard = "billing.reconcile_board" // compares one board's ledger with Stripe
)

type eventPayload struct {
	Event string `json:"event"`
}

type expirePayload struct {
	OrderID uuid.UUID `json:"order_id"`
}

type refundPayload struct {
	RefundID uuid.UUID `json:"refund_id"`
}

type feeBackPayload struct {
	Session string `json:"session"`
	Account string `json:"account"`
}

type settlePayload struct {
	Session string `json:"session"`
}

func addTask(ctx context.Context, tx bun.IDB, kind, key string, payload any) error {
	return tasks.Add(ctx, tx, tasks.New{Kind: kind, Queue: tasks.Critical, Key: key, Payload: payload, MaxAttempts: 20})
}

// Register puts billing's handlers into a worker's mux.
func (s *Service) Register(m *tasks.Mux) {
	m.Handle(TaskEvent, s.eventTask)
	m.Handle(TaskExpire, s.expireTask)
	m.Handle(TaskRefund, s.refundTask)
	m.Handle(TaskFeeBack, s.feeBackTask)
	m.Handle(TaskSweep, s.sweepTask)
	m.Handle(TaskSettle, s.settleTask)
	m.Handle(TaskReconcile, s.reconcileTask)
	m.Handle(TaskReconcileBoard, s.reconcileBoardTask)
}

// Schedule keeps billing's recurring rows: the sweep every quarter of an hour,
// the reconciliation once a day.
func (s *Service) Schedule(ctx context.Context) error {
	if err := tasks.Schedule(ctx, s.platform, TaskSweep, 15*time.Minute, tasks.Critical); err != nil {
		return err
	}
	return tasks.Schedule(ctx, s.platform, TaskReconcile, 24*time.Hour, tasks.Bulk)
}

// expireTask closes what is open of a cancelled order.
func (s *Service) expireTask(ctx context.Context, t *tasks.Task) error {
	var p expirePayload
	if err := t.Decode(&p); err != nil {
		return err
	}
	var o *Order
	var open []Session
	err := s.db.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		if o, err = s.Order(ctx, tx, p.OrderID); err != nil {
			return err
		}
		open, err = openSessions(ctx, tx, o.ID)
		return err
	})
	if err != nil {
		return err
	}
	for _, cs := range open {
		if _, err := s.expireSession(ctx, o.account(), cs.ID); err != nil {
			return err
		}
	}
	return s.db.Write(ctx, t.Finish)
}

// settleTask asks what became of one checkout and applies it.
func (s *Service) settleTask(ctx context.Context, t *tasks.Task) error {
	var p settlePayload
	if err := t.Decode(&p); err != nil {
		return err
	}
	var o *Order
	err := s.db.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		o, err = orderOfSession(ctx, tx, p.Session)
		return err
	})
	if err != nil {
		return err
	}
	f, err := s.fetchSession(ctx, o.account(), p.Session)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := t.Finish(ctx, tx); err != nil {
			return err
		}
		return s.apply(ctx, tx, f)
	})
}

// keepEvents is how long applied events stay; Stripe repeats them for days.
const keepEvents = 90 * 24 * time.Hour

// sweepTask is the net under webhooks that never came: it looks at checkouts
// whose time is over while we know of no end, and at delayed payments after a
// day. It also forgets events, which name buyers, long after they were applied.
func (s *Service) sweepTask(ctx context.Context, t *tasks.Task) error {
	return s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := t.Finish(ctx, tx); err != nil {
			return err
		}
		_, err := tx.NewRaw(`DELETE FROM stripe_events WHERE state IN ('applied', 'ignored') AND received_at < ?`, s.now().Add(-keepEvents)).Exec(ctx)
		if err != nil {
			return err
		}
		var overdue []struct {
			TenantID tenant.ID `bun:"tenant_id"`
			ID       string    `bun:"id"`
		}
		err = tx.NewRaw(`SELECT tenant_id, id FROM checkout_sessions WHERE state = 'open' AND expires_at < ?
			UNION ALL SELECT cs.tenant_id, cs.id FROM checkout_sessions cs JOIN orders o ON o.tenant_id = cs.tenant_id AND o.id = cs.order_id
			WHERE o.state = 'processing' AND cs.state = 'complete' AND cs.payment_status = 'unpaid' AND cs.created_at < ?
			LIMIT 1000`, s.now().Add(-5*time.Minute), s.now().Add(-24*time.Hour)).Scan(ctx, &overdue)
		if err != nil {
			return err
		}
		for _, cs := range overdue {
			err := tasks.Add(ctx, tx, tasks.New{Tenant: cs.TenantID, Kind: TaskSettle, Queue: tasks.Critical, Key: cs.ID, Payload: settlePayload{cs.ID}})
			if err != nil {
				return err
			}
		}
		return nil
	})
}
