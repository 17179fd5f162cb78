package migrations_test

import (
	"context"
	"database/sql"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"shingle/internal/testkit"
	"shingle/migrations"
)

// schemaQuery is all that migrations make, one line a thing: columns, keys,
// indexes, walls and policies, functions, triggers, rights but the owner's own.
const schemaQuery = `SELECT 'column ' || c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
	FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
UNION ALL SELECT 'right ' || c.relname || coalesce('.' || a.attname, '') || ' ' || r::text FROM pg_class AS c LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attacl IS NOT NULL CROSS JOIN LATERAL unnest(coalesce(a.attacl, c.relacl)) AS r WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S') AND NOT starts_with(r::text, pg_get_userbyid(c.relowner) || '=')
UNION ALL SELECT 'right ' || c.relname || ' ' || r::text FROM pg_class AS c CROSS JOIN LATERAL unnest(c.relacl) AS r WHERE c.relnamespace = 'public'::regnamespace AND NOT starts_with(r::text, pg_get_userbyid(c.relowner) || '=')
UNION ALL SELECT 'table ' || relname || ' rls ' || relrowsecurity || relforcerowsecurity || coalesce(' ' || array_to_string(reloptions, ','), '') || ' of ' || pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
UNION ALL SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT 'index ' || pg_get_indexdef(i.indexrelid) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid WHERE c.relnamespace = 'public'::regnamespace
UNION ALL SELECT 'policy ' || tablename || ' ' || policyname || ' ' || roles::text || ' ' || cmd || coalesce(' ' || qual, '') || coalesce(' ' || with_check, '') FROM pg_policies WHERE schemaname = 'public'
UNION ALL SELECT 'trigger ' || pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'function ' || pg_get_functiondef(p.oid) || ' of ' || pg_get_userbyid(p.proowner) || coalesce(' ' || (SELECT string_agg(r::text, ' ' ORDER BY r::text) FROM unnest(p.proacl) AS r), '') FROM pg_proc AS p
	WHERE p.pronamespace = 'public'::regnamespace AND p.prokind = 'f' AND NOT EXISTS (SELECT FROM pg_depend AS x WHERE x.objid = p.oid AND x.deptype = 'e')
UNION ALL SELECT 'schema ' || r::text FROM pg_namespace AS n CROSS JOIN LATERAL unnest(n.nspacl) AS r WHERE n.nspname = 'public'
ORDER BY 1`

func schema(t *testing.T, db *sql.DB) string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), schemaQuery)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var lines []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		// A rule that a way down restores for new rows alone: the owner sees no row to
		// bring under it.
		lines = append(lines, strings.TrimSuffix(s, " NOT VALID"))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// apply runs a file as bun/migrate does: whole, in one transaction.
func apply(ctx context.Context, t *testing.T, db *sql.DB, name string) {
	t.Helper()
	raw, err := fs.ReadFile(migrations.FS, name)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err == nil {
		if _, err = tx.ExecContext(ctx, string(raw)); err == nil {
			err = tx.Commit()
		} else {
			_ = tx.Rollback()
		}
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// Each migration's way down leads to where its way up began, and up again to
// the same place: alone, and all of them in a row.
func TestEveryMigrationGoesDownAndUpAgain(t *testing.T) {
	t.Parallel()
	pg := testkit.EmptyPostgres(t)
	db := pg.Open(t, pg.Owner, 2)
	ups, err := fs.Glob(migrations.FS, "*.tx.up.sql")
	if err != nil || len(ups) < 24 {
		t.Fatalf("%d migrations: %v", len(ups), err)
	}
	if _, err := migrations.Pending(t.Context(), pg.Owner); err != nil { // makes bun's own tables, which a migration may name
		t.Fatal(err)
	}
	down := func(up string) string { return strings.TrimSuffix(up, ".up.sql") + ".down.sql" }
	before := make([]string, len(ups))
	for i, up := range ups {
		before[i] = schema(t, db)
		apply(t.Context(), t, db, up)
		after := schema(t, db)
		apply(t.Context(), t, db, down(up))
		if d := cmp.Diff(lines(before[i]), lines(schema(t, db))); d != "" {
			t.Fatalf("%s does not lead back (-before +after):\n%s", down(up), d)
		}
		apply(t.Context(), t, db, up)
		if d := cmp.Diff(lines(after), lines(schema(t, db))); d != "" {
			t.Fatalf("%s the second time (-first +second):\n%s", up, d)
		}
	}
	whole := schema(t, db)
	if strings.Count(whole, "\n") < 500 {
		t.Errorf("the schema has %d lines only", strings.Count(whole, "\n"))
	}
	for i := len(ups) - 1; i >= 0; i-- {
		apply(t.Context(), t, db, down(ups[i]))
		if d := cmp.Diff(lines(before[i]), lines(schema(t, db))); d != "" {
			t.Fatalf("all the way down, %s (-before +after):\n%s", down(ups[i]), d)
		}
	}
	if err := migrations.Up(t.Context(), pg.Owner, pg.App, pg.Platform); err != nil {
		t.Fatal(err)
	}
	// bun drops a file's empty lines.
	full := func(s string) []string {
		return slices.DeleteFunc(lines(s), func(l string) bool { return l == "" })
	}
	if d := cmp.Diff(full(whole), full(schema(t, db))); d != "" {
		t.Errorf("up again (-first +second):\n%s", d)
	}
}

func lines(s string) []string { return strings.Split(s, "\n") }
