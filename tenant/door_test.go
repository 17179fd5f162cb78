package tenant_test

import (
	"context"
	"errors"
	"testing"

	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/testkit"
	"shingle/tenant"
)

type category struct {
	bun.BaseModel `bun:"table:categories,alias:c"`
	tenant.Scoped
	ID   string `bun:"id,pk,type:uuid"`
	Slug string `bun:"slug"`
	Name string `bun:"name"`
}

func TestDoor(t *testing.T) {
	t.Parallel()
	w := testkit.NewWorld(t)
	ours, rival := w.Board(t, "ours"), w.Board(t, "rival")
	id := tenant.NewRowID().String()
	err := w.DB.Write(w.Ctx(t, ours), func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewInsert().Model(&category{ID: id, Slug: "x", Name: "X"}).Exec(ctx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	t.Run("the owner sees the row", func(t *testing.T) {
		err := w.DB.Read(w.Ctx(t, ours), func(ctx context.Context, tx bun.IDB) error {
			var c category
			return tenant.One(ctx, tx.NewSelect().Model(&c).Where("c.id = ?", id), "category")
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a rival sees none of it, with either wall alone", func(t *testing.T) {
		err := w.DB.Read(w.Ctx(t, rival), func(ctx context.Context, tx bun.IDB) error {
			var c category
			return tenant.One(ctx, tx.NewSelect().Model(&c).Where("c.id = ?", id), "category")
		})
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("with both walls: %v, want not found", err)
		}
		// Bun's wall away: plain SQL through the rival's door.
		err = w.DB.Read(w.Ctx(t, rival), func(ctx context.Context, tx bun.IDB) error {
			var n int
			if err := tx.NewRaw(`SELECT count(*) FROM categories`).Scan(ctx, &n); err != nil {
				return err
			}
			if n != 0 {
				t.Errorf("row level security alone let %d rows through", n)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		// Postgres' wall away: the scoped model on a connection that sees through it.
		super := bun.NewDB(w.PG.Open(t, w.PG.Superuser, 2), w.DB.Bun().Dialect())
		var c category
		if err := super.NewSelect().Model(&c).Where("c.id = ?", id).Scan(w.Ctx(t, rival)); err == nil {
			t.Error("Bun's scope alone let the row through")
		}
	})
	t.Run("a rival cannot write it", func(t *testing.T) {
		err := w.DB.Write(w.Ctx(t, rival), func(ctx context.Context, tx bun.IDB) error {
			res, err := tx.NewUpdate().Model(&category{ID: id, Name: "stolen"}).Column("name").Where("c.id = ?", id).Exec(ctx)
			return tenant.Touched(res, err, "category")
		})
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("update: %v, want not found", err)
		}
		err = w.DB.Write(w.Ctx(t, rival), func(ctx context.Context, tx bun.IDB) error {
			_, err := tx.NewRaw(`INSERT INTO categories (tenant_id, id, slug, name) VALUES (?, ?, 'y', 'Y')`, ours.ID, tenant.NewRowID()).Exec(ctx)
			return err
		})
		if err == nil {
			t.Error("a row for another board was taken")
		}
	})
	t.Run("no board is an error, never all", func(t *testing.T) {
		err := w.DB.Read(t.Context(), func(context.Context, bun.IDB) error { return nil })
		if !fault.Is(err, fault.Internal) || err == nil {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no transaction inside another", func(t *testing.T) {
		err := w.DB.Read(w.Ctx(t, ours), func(ctx context.Context, _ bun.IDB) error {
			return w.DB.Read(ctx, func(context.Context, bun.IDB) error { return nil })
		})
		if err == nil {
			t.Error("nesting was allowed")
		}
	})
	t.Run("an error rolls back, a change moves the generation", func(t *testing.T) {
		boom := errors.New("boom")
		err := w.DB.Write(w.Ctx(t, ours), func(ctx context.Context, tx bun.IDB) error {
			tenant.Changed(ctx)
			_, err := tx.NewRaw(`UPDATE categories SET name = 'Z' WHERE id = ?`, id).Exec(ctx)
			return errors.Join(err, boom)
		})
		if !errors.Is(err, boom) {
			t.Fatal(err)
		}
		before, err := w.Boards.ByID(t.Context(), ours.ID)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.DB.Write(w.Ctx(t, ours), func(ctx context.Context, tx bun.IDB) error {
			tenant.Changed(ctx)
			var name string
			if err := tx.NewRaw(`SELECT name FROM categories WHERE id = ?`, id).Scan(ctx, &name); err != nil || name != "X" {
				t.Errorf("name %q after the rollback: %v", name, err)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		after, err := w.Boards.ByID(t.Context(), ours.ID)
		if err != nil || after.Generation != before.Generation+1 {
			t.Errorf("generation %d, then %d: %v", before.Generation, after.Generation, err)
		}
	})
	t.Run("counting keeps to the board", func(t *testing.T) {
		_ = w.DB.Read(w.Ctx(t, rival), func(ctx context.Context, tx bun.IDB) error {
			if n, err := tenant.Count(ctx, tx.NewSelect().Model((*category)(nil))); err != nil || n != 0 {
				t.Errorf("count %d, %v", n, err)
			}
			if ok, err := tenant.Exists(ctx, tx.NewSelect().Model((*category)(nil))); err != nil || ok {
				t.Errorf("exists %v, %v", ok, err)
			}
			return nil
		})
	})
}

// TestCatalogue holds that every table keeps the rule of the walls; those that
// do not stand here with the reason.
func TestCatalogue(t *testing.T) {
	t.Parallel()
	exempt := map[string]string{
		"boards":                   "is the board itself; the app's role sees its own row by policy",
		"hosts":                    "looked up before the board is known, by the platform's role",
		"operators":                "platform-wide people, never the app role's business",
		"operator_sessions":        "sessions of platform-wide people",
		"operator_tokens":          "secrets of platform-wide people",
		"stripe_events":            "stored before the board is known",
		"mail_returns":             "stored before the board is known",
		"acme_objects":             "sealed; certificates are looked up before the board is known",
		"acme_locks":               "leases of the platform's workers; no tenant's data",
		"acme_orders":              "the platform's account with a certificate authority",
		"certificates":             "looked up by host before the board is known",
		"plans":                    "what the platform sells; a board reads the one that it is on by policy",
		"plan_prices":              "what the platform sells, never the app role's business",
		"mrr_days":                 "sums over all boards, for the platform's charts",
		"usage_batches":            "keys of written batches; one holds many boards",
		"platform_policy":          "one row: the version of the platform's own roles",
		"bun_migrations":           "which migrations ran; no tenant's data",
		"bun_migration_locks":      "the migrator's own; no tenant's data",
		"operator_passkeys":        "second factors of platform-wide people",
		"operator_totp":            "second factors of platform-wide people",
		"operator_identities":      "platform-wide people at another provider",
		"operator_recovery_codes":  "second factors of platform-wide people",
		"operator_address_changes": "platform-wide people's own addresses",
		"announcements":            "the platform staff's texts for many boards",
		"announcement_dismissals":  "what platform-wide people have put away",
	}
	w := testkit.NewWorld(t)
	super := w.PG.Open(t, w.PG.Superuser, 2)
	rows, err := super.QueryContext(t.Context(), `SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity,
			EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped),
			coalesce((SELECT string_agg(i.relname, ',') FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
				JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = x.indkey[0]
				WHERE x.indrelid = c.oid AND x.indisunique AND a.attname <> 'tenant_id'), ''),
			coalesce((SELECT string_agg(k.conname, ',') FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1]
				WHERE k.conrelid = c.oid AND k.contype = 'f' AND a.attname <> 'tenant_id'), ''),
			(SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid AND p.polroles = ARRAY[(SELECT oid FROM pg_roles WHERE rolname = 'shingle_app')]) = 1
		FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	seen := 0
	for rows.Next() {
		var table, unique, foreign string
		var forced, scoped, policy bool
		if err := rows.Scan(&table, &forced, &scoped, &unique, &foreign, &policy); err != nil {
			t.Fatal(err)
		}
		seen++
		if exempt[table] != "" {
			continue
		}
		switch {
		case !scoped:
			t.Errorf("%s has no tenant_id and no reason on the list", table)
		case !forced || !policy:
			t.Errorf("%s: forced row level security %v, a policy for the app %v", table, forced, policy)
		case unique != "":
			t.Errorf("%s: unique keys that do not begin with tenant_id: %s", table, unique)
		case foreign != "":
			t.Errorf("%s: foreign keys that do not begin with tenant_id: %s", table, foreign)
		}
	}
	if seen < 30 {
		t.Errorf("only %d tables seen", seen)
	}
	var owned int
	if err := super.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
		WHERE r.rolname IN ('shingle_app', 'shingle_platform')`).Scan(&owned); err != nil || owned != 0 {
		t.Errorf("the serving roles own %d relations: %v", owned, err)
	}
	var member bool
	if err := super.QueryRowContext(t.Context(), `SELECT pg_has_role('shingle_app', 'shingle_platform', 'MEMBER')`).Scan(&member); err != nil || member {
		t.Errorf("the app's role is a member of the platform's: %v", err)
	}
}
