package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun/migrate"
)

var blankLines = regexp.MustCompile(`\n\s*\n`)

// LockKey is the advisory lock that all who change a database's schema share.
const LockKey = lockKey

// Names lists the migrations that this program knows, in order.
func Names() []string {
	files, err := fs.Glob(FS, "*.up.sql")
	if err != nil {
		panic(err) // a constant pattern
	}
	names := make([]string, 0, len(files))
	for _, f := range files {
		name, _, _ := strings.Cut(f, "_")
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Prepare makes the roles and the migrations' own tables where they are missing,
// and applies nothing.
func Prepare(ctx context.Context, ownerURL, appURL, platformURL string) error {
	return run(ctx, ownerURL, func(conn *sql.Conn, m *migrate.Migrator) error {
		if err := ensureRoles(ctx, conn, appURL, platformURL); err != nil {
			return err
		}
		return m.Init(ctx)
	})
}

// Clear drops everything in the schema but extensions and the migrations' own
// tables, whose rows go. It runs in the owner's transaction.
func Clear(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `DO $$
		DECLARE o record;
		BEGIN
			FOR o IN SELECT c.oid::regclass AS name, c.relkind FROM pg_class c
				WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') AND c.relname NOT IN ('bun_migrations', 'bun_migration_locks')
					AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
			LOOP
				EXECUTE format('DROP %s IF EXISTS %s CASCADE', CASE o.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END, o.name);
			END LOOP;
			FOR o IN SELECT p.oid::regprocedure AS name, p.prokind FROM pg_proc p
				WHERE p.pronamespace = 'public'::regnamespace
					AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
			LOOP
				EXECUTE format('DROP %s IF EXISTS %s CASCADE', CASE o.prokind WHEN 'a' THEN 'AGGREGATE' WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, o.name);
			END LOOP;
			FOR o IN SELECT t.oid::regtype AS name FROM pg_type t
				WHERE t.typnamespace = 'public'::regnamespace AND t.typtype IN ('e', 'd') AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
			LOOP
				EXECUTE format('DROP TYPE IF EXISTS %s CASCADE', o.name);
			END LOOP;
		END $$;
		DELETE FROM bun_migrations`)
	return err
}

// Apply runs those migrations in the owner's transaction, without writing down
// that they were: see Mark.
func Apply(ctx context.Context, tx pgx.Tx, names []string) error {
	for _, name := range names {
		files, err := fs.Glob(FS, name+"_*.tx.up.sql")
		if err != nil || len(files) != 1 {
			return fmt.Errorf("migration %s is unknown", name)
		}
		text, err := fs.ReadFile(FS, files[0])
		if err != nil {
			return err
		}
		// Without empty lines, as bun runs them: a function's text is the same then.
		if _, err := tx.Exec(ctx, blankLines.ReplaceAllString(string(text), "\n")); err != nil {
			return fmt.Errorf("migration %s: %w", name, err)
		}
	}
	return nil
}

// Mark writes down that those migrations were applied, as one group.
func Mark(ctx context.Context, tx pgx.Tx, names []string) error {
	_, err := tx.Exec(ctx, `INSERT INTO bun_migrations (name, group_id, migrated_at)
		SELECT unnest($1::text[]), (SELECT coalesce(max(group_id), 0) + 1 FROM bun_migrations), now()`, names)
	return err
}
