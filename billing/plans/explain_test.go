package plans

import (
	"context"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"shingle/internal/testkit"
)

// grow makes the tables large enough for the planner to care: a thousand boards
// on plans, with months of use, bills and mails.
const grow = `
SET session_replication_role = replica;
INSERT INTO boards SELECT r.* FROM boards b, generate_series(1, 1000) n, jsonb_populate_record(b, jsonb_build_object('id', md5('board' || n)::uuid, 'slug', 'b' || n)) r WHERE b.id = $1;
INSERT INTO board_plans SELECT r.* FROM board_plans b, generate_series(1, 1000) n, jsonb_populate_record(b, jsonb_build_object('tenant_id', md5('board' || n)::uuid, 'customer', 'cus_' || n, 'state', 'active')) r WHERE b.tenant_id = $1;
INSERT INTO usage_days SELECT md5('board' || b)::uuid, current_date - d, w, 7 FROM generate_series(1, 300) b, generate_series(0, 60) d, unnest(ARRAY['listings', 'mails', 'views', 'storage']) w;
INSERT INTO usage_days SELECT $1, current_date - d, w, 7 FROM generate_series(0, 60) d, unnest(ARRAY['listings', 'mails', 'views', 'storage']) w;
INSERT INTO plan_invoices (tenant_id, id, state, amount, paid, currency, created_at) SELECT md5('board' || b)::uuid, 'in_' || b || '_' || n, 'paid', 1, 1, 'USD', now() - n * interval '30 days' FROM generate_series(1, 1000) b, generate_series(1, 12) n;
INSERT INTO plan_steps SELECT md5('board' || b)::uuid, now() - n * interval '90 days', 'grace', now(), now(), now() FROM generate_series(1, 1000) b, generate_series(1, 4) n;
INSERT INTO mails (tenant_id, id, kind, key, recipient, message_id, created_at) SELECT md5('board' || b)::uuid, gen_random_uuid(), 'x', n::text, 'x@x.example', 'x', now() - n * interval '1 day' FROM generate_series(1, 300) b, generate_series(1, 40) n;
INSERT INTO listings SELECT r.* FROM listings l, generate_series(1, 200) b, generate_series(1, 40) n,
	jsonb_populate_record(l, jsonb_build_object('id', md5('listing' || b || '.' || n)::uuid, 'tenant_id', md5('board' || b)::uuid, 'public_id', 'x' || translate(n::text, '0', 'a'))) r WHERE l.tenant_id = $1;
INSERT INTO usage_batches SELECT md5('process' || p)::uuid, n FROM generate_series(1, 20) p, generate_series(1, 400) n;
`

// What a console, a checkout and a webhook ask reads an index, as the role that
// asks plans it.
func TestHotQueriesUseTheirIndexes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live(t, 1)
	super := w.PG.Open(t, w.PG.Superuser, 1)
	for _, q := range strings.Split(strings.TrimSpace(grow), ";\n") {
		var args []any
		if strings.Contains(q, "$1") {
			args = []any{w.board.ID.String()}
		}
		if _, err := super.ExecContext(t.Context(), strings.TrimSuffix(q, ";"), args...); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	w.Analyze(t)
	read := func(fn func(ctx context.Context, tx bun.IDB) error) func(w2 *testkit.World) error {
		return func(w2 *testkit.World) error { return w2.DB.Read(w.ctx, fn) }
	}
	staff := func(fn func(ctx context.Context, tx bun.IDB) error) func(w2 *testkit.World) error {
		return func(w2 *testkit.World) error { return w2.Platform.Write(t.Context(), fn) }
	}
	big := map[string]bool{"boards": true, "board_plans": true, "usage_days": true, "plan_invoices": true, "plan_steps": true, "mails": true, "usage_batches": true, "listings": true}
	for name, c := range map[string]struct {
		run   func(w2 *testkit.World) error
		index string
	}{
		"a board's plan": {read(func(ctx context.Context, tx bun.IDB) error { _, err := w.s.BoardOf(ctx, tx, w.board.ID); return err }), "board_plans_pkey"},
		"what it may":    {read(func(ctx context.Context, tx bun.IDB) error { _, err := w.s.Standing(ctx, tx); return err }), "board_plans_pkey"},
		"what it uses":   {read(func(ctx context.Context, tx bun.IDB) error { _, err := w.s.Usage(ctx, tx, w.board.ID); return err }), "usage_days_pkey"},
		"its mails": {read(func(ctx context.Context, tx bun.IDB) error {
			_, err := w.s.used(ctx, tx, w.board.ID, Mails)
			return err
		}), "mails_created"},
		"room for one": {read(func(ctx context.Context, tx bun.IDB) error { return w.s.Room(ctx, tx, Listings, 1) }), "board_plans_pkey"},
		"its bills": {read(func(ctx context.Context, tx bun.IDB) error {
			_, err := w.s.Invoices(ctx, tx, w.board.ID, 24)
			return err
		}), "plan_invoices_created"},
		"its days": {read(func(ctx context.Context, tx bun.IDB) error {
			_, err := w.s.Days(ctx, tx, w.board.ID, Views, 30)
			return err
		}), "usage_days_pkey"},
		"its steps": {read(func(ctx context.Context, tx bun.IDB) error { _, err := w.s.Steps(ctx, tx, w.board.ID); return err }), "plan_steps_pkey"},
		"the board of a customer": {staff(func(ctx context.Context, tx bun.IDB) error {
			_, err := w.s.Hook().Board(ctx, tx, "cus_7")
			return err
		}), "board_plans_customer"},
		"who owes": {staff(func(ctx context.Context, tx bun.IDB) error {
			_, err := owing(ctx, tx)
			return err
		}), "board_plans_owing"},
	} {
		t.Run(name, func(t *testing.T) {
			plans := w.Plans(t, func(w2 *testkit.World) {
				if err := c.run(w2); err != nil {
					t.Fatal(err)
				}
			})
			used := false
			for _, p := range plans {
				used = used || strings.Contains(p.Plan, " "+c.index+" ")
				for line := range strings.Lines(p.Plan) {
					_, table, seq := strings.Cut(line, "Seq Scan on ")
					if table, _, _ = strings.Cut(table, " "); seq && big[table] {
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
