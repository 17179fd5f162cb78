package billing

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stripe/stripe-go/v76"
	"github.com/uptrace/bun"

	"shingle/internal/testkit"
	"shingle/tasks"
)

// grow copies a sold order, with all that hangs on it, until the tables are
// large enough for the planner to care: 4,000 orders of 400 buyers, and twice as
// many on other boards (whose listings nothing here asks for).
const grow = `
SET session_replication_role = replica;
INSERT INTO people (tenant_id, id, email) SELECT tenant_id, md5('person' || n)::uuid, 'p' || n || '@x.example' FROM orders o, generate_series(1, 400) n WHERE o.id = $1;
INSERT INTO listings SELECT r.* FROM orders o JOIN listings l ON l.tenant_id = o.tenant_id AND l.id = o.listing_id, generate_series(1, 4000) n,
	jsonb_populate_record(l, jsonb_build_object('id', md5('listing' || n)::uuid, 'public_id', 'x' || translate(n::text, '0', 'a'), 'person_id', md5('person' || n % 400 + 1)::uuid)) r WHERE o.id = $1;
INSERT INTO orders SELECT r.* FROM orders o, generate_series(1, 4000) n, jsonb_populate_record(o, jsonb_build_object('id', md5('order' || n)::uuid, 'number', 2000 + n,
	'listing_id', md5('listing' || n)::uuid, 'person_id', md5('person' || n % 400 + 1)::uuid, 'payment_intent', 'pi_' || n, 'created_at', now() - n * interval '1 hour', 'paid_at', now() - n * interval '1 hour')) r WHERE o.id = $1;
INSERT INTO orders SELECT r.* FROM orders o, generate_series(1, 8000) n, jsonb_populate_record(o, jsonb_build_object('id', md5('other' || n)::uuid, 'tenant_id', md5('board' || n % 40 + 1)::uuid, 'number', 2000 + n, 'person_id', NULL, 'listing_id', md5('else' || n)::uuid,
	'payment_intent', 'po_' || n, 'created_at', now() - n * interval '20 minutes', 'paid_at', now() - n * interval '20 minutes')) r WHERE o.id = $1;
INSERT INTO checkout_sessions SELECT r.* FROM checkout_sessions s, generate_series(1, 4000) n, jsonb_populate_record(s, jsonb_build_object('id', 'cs_' || n, 'order_id', md5('order' || n)::uuid, 'payment_intent', 'pi_' || n)) r WHERE s.order_id = $1;
INSERT INTO ledger_entries SELECT r.* FROM ledger_entries e, generate_series(1, 4000) n, jsonb_populate_record(e, jsonb_build_object('txn', e.txn || n, 'order_id', md5('order' || n)::uuid, 'at', now() - n * interval '1 hour')) r WHERE e.order_id = $1;
INSERT INTO entitlements SELECT r.* FROM entitlements e, generate_series(1, 4000) n, jsonb_populate_record(e, jsonb_build_object('id', gen_random_uuid(), 'order_id', md5('order' || n)::uuid, 'listing_id', md5('listing' || n)::uuid)) r WHERE e.order_id = $1;
INSERT INTO stripe_events (id, type, api_version, payload, state, created_at, received_at) SELECT 'evt_' || n, 'x', '1', '{}', 'applied', now(), now() - n * interval '1 minute' FROM generate_series(1, 4000) n;
INSERT INTO boards SELECT r.* FROM orders o JOIN boards b ON b.id = o.tenant_id, generate_series(1, 1000) n, jsonb_populate_record(b, jsonb_build_object('id', md5('board' || n)::uuid, 'slug', 'b' || n)) r WHERE o.id = $1;
INSERT INTO stripe_accounts SELECT r.* FROM orders o JOIN stripe_accounts a ON a.tenant_id = o.tenant_id, generate_series(1, 1000) n, jsonb_populate_record(a, jsonb_build_object('tenant_id', md5('board' || n)::uuid, 'account', 'acct_' || n)) r WHERE o.id = $1;
INSERT INTO refunds (tenant_id, id, order_id, amount, currency, stripe_id) SELECT tenant_id, md5('refund' || n)::uuid, md5('order' || n)::uuid, 100, 'USD', 're_' || n FROM orders o, generate_series(1, 2000) n WHERE o.id = $1;
`

// The queries that every sale, desk and console runs read by index, as the role
// that runs them plans them: behind row level security a wrong operator or a
// missing index reads the whole table.
func TestHotQueriesUseTheirIndexes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sell(t)
	o := w.sale(t)
	super := w.PG.Open(t, w.PG.Superuser, 1)
	for _, q := range strings.Split(strings.TrimSpace(grow), ";\n") {
		if strings.TrimSpace(q) == "" {
			continue
		}
		args := []any{o.ID}
		if !strings.Contains(q, "$1") {
			args = nil
		}
		if _, err := super.ExecContext(t.Context(), q, args...); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	w.Analyze(t)
	var person, order uuid.UUID
	w.read(t, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT md5('person7')::uuid, md5('order7')::uuid`).Scan(ctx, &person, &order)
	})
	read := func(fn func(ctx context.Context, tx bun.IDB, s *Service) error) func(*testkit.World, *Service) error {
		return func(w2 *testkit.World, s *Service) error {
			return w2.DB.Write(w.ctx, func(ctx context.Context, tx bun.IDB) error { return fn(ctx, tx, s) })
		}
	}
	staff := func(fn func(ctx context.Context, tx bun.IDB, s *Service) error) func(*testkit.World, *Service) error {
		return func(w2 *testkit.World, s *Service) error {
			return w2.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error { return fn(ctx, tx, s) })
		}
	}
	week := time.Now().Add(-7 * 24 * time.Hour)
	for name, c := range map[string]struct {
		run   func(*testkit.World, *Service) error
		index string // of the first statement that names it; all others must not read whole tables
		// whole are tables that the statement reads by nature, such as to count.
		whole string
	}{
		"an employer's orders": {run: read(func(ctx context.Context, tx bun.IDB, s *Service) error {
			_, err := s.OrdersOf(ctx, tx, person)
			return err
		}), index: "orders_person"},
		"the board's orders": {run: read(func(ctx context.Context, tx bun.IDB, s *Service) error {
			_, _, err := s.Orders(ctx, tx, Filter{})
			return err
		}), index: "orders_created", whole: "count"},
		"open orders": {run: read(func(ctx context.Context, tx bun.IDB, s *Service) error {
			_, _, err := s.Orders(ctx, tx, Filter{State: Open})
			return err
		}), index: "orders_state"},
		"an order by number": {run: read(func(ctx context.Context, tx bun.IDB, s *Service) error {
			_, err := s.OrderByNumber(ctx, tx, "2007")
			return err
		}), index: "orders_tenant_id_number_key"},
		"an order whole": {run: read(func(ctx context.Context, tx bun.IDB, s *Service) error {
			_, err := s.OrderDetail(ctx, tx, order)
			return err
		}), index: "ledger_entries_order"},
		"a listing's order": {run: read(func(ctx context.Context, tx bun.IDB, s *Service) error {
			_, err := s.LatestOrder(ctx, tx, o.ListingID)
			return err
		}), index: "orders_listing"},
		"the order of a webhook's session": {run: read(func(ctx context.Context, tx bun.IDB, _ *Service) error {
			_, err := orderOfSession(ctx, tx, "cs_7")
			return err
		}), index: "checkout_sessions_id"},
		"applying an order": {run: func(w2 *testkit.World, s *Service) error {
			var session string
			w.read(t, func(ctx context.Context, tx bun.IDB) error {
				return tx.NewRaw(`SELECT id FROM checkout_sessions WHERE order_id = ?`, o.ID).Scan(ctx, &session)
			})
			f, err := w.s.fetchSession(w.ctx, o.account(), session)
			if err != nil {
				return err
			}
			return w2.DB.Write(w.ctx, func(ctx context.Context, tx bun.IDB) error { return s.apply(ctx, tx, f) })
		}, index: "orders_pkey"},
		"a listing's entitlements": {run: read(func(ctx context.Context, tx bun.IDB, s *Service) error {
			_, err := s.listings.Entitlements(ctx, tx, o.ListingID)
			return err
		}), index: "entitlements_listing"},
		"ending an order's entitlements": {run: read(func(ctx context.Context, tx bun.IDB, s *Service) error {
			return s.listings.Revoke(ctx, tx, order, "refunded")
		}), index: "entitlements_order"},
		"a week's balances": {run: read(func(ctx context.Context, tx bun.IDB, s *Service) error {
			_, err := s.Balances(ctx, tx, week, time.Time{})
			return err
		}), index: "ledger_entries_at"},
		"a week's revenue": {run: read(func(ctx context.Context, tx bun.IDB, s *Service) error {
			_, err := s.Revenue(ctx, tx, week, time.Time{})
			return err
		}), index: "orders_paid"},
		"the board of an account": {run: staff(func(ctx context.Context, tx bun.IDB, s *Service) error {
			_, _, err := s.boardOf(ctx, tx, &stripe.Event{Type: "checkout.session.completed", Account: "acct_7", Data: &stripe.EventData{}})
			return err
		}), index: "stripe_accounts_account"},
		"events of a state": {run: staff(func(ctx context.Context, tx bun.IDB, s *Service) error {
			_, err := s.Events(ctx, tx, "held", 50)
			return err
		}), index: "stripe_events_state"},
		"the newest events": {run: staff(func(ctx context.Context, tx bun.IDB, s *Service) error {
			_, err := s.Events(ctx, tx, "", 50)
			return err
		}), index: "stripe_events_received"},
		"orders across boards": {run: staff(func(ctx context.Context, tx bun.IDB, s *Service) error {
			_, err := s.BoardOrders(ctx, tx, [16]byte{}, "", 1, 50)
			return err
		}), index: "orders_newest"},
		"the sweep": {run: func(_ *testkit.World, s *Service) error {
			err := s.Schedule(t.Context())
			if err == nil {
				err = s.sweepTask(t.Context(), w.scheduled(t, TaskSweep))
			}
			return err
		}, index: "checkout_sessions_overdue"},
	} {
		t.Run(name, func(t *testing.T) {
			plans := w.Plans(t, func(w2 *testkit.World) {
				s := *w.s
				s.db, s.platform = w2.DB, w2.Platform
				if err := c.run(w2, &s); err != nil {
					t.Fatal(err)
				}
			})
			used := false
			for _, p := range plans {
				used = used || strings.Contains(p.Plan, " "+c.index+" ")
				for line := range strings.Lines(p.Plan) {
					_, table, seq := strings.Cut(line, "Seq Scan on ")
					if table, _, _ = strings.Cut(table, " "); seq && big[table] && !(c.whole != "" && strings.Contains(p.Query, c.whole)) {
						t.Errorf("%s is read whole:\n%s\n%s", table, p.Query, p.Plan)
					}
				}
			}
			if !used {
				t.Errorf("nothing uses %s:\n%+v", c.index, plans)
			}
		})
	}
}

// big are the tables that grow without end.
var big = map[string]bool{"orders": true, "listings": true, "checkout_sessions": true, "ledger_entries": true, "entitlements": true, "stripe_events": true,
	"stripe_accounts": true, "people": true, "refunds": true}

// scheduled is a schedule's row, handed over.
func (w *world) scheduled(t *testing.T, kind string) *tasks.Task {
	t.Helper()
	out := new(tasks.Task)
	err := w.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`UPDATE tasks SET handover = handover + 1, lease_until = now() + interval '15 seconds' WHERE kind = ?
			RETURNING tenant_id, id, kind, queue, version, payload, handover, extract(epoch FROM every)::float8 AS every_seconds`, kind).Scan(ctx, out)
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
