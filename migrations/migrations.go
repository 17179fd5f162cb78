// Package migrations holds the schema as SQL files, in order, and applies them.
// It owns roles, tables, policies and functions; it never moves a tenant's rows
// (a data migration runs as the platform role). Start at Up.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/migrate"

	"shingle/internal/pg"
)

// FS holds the migration files, for whoever needs a hash of the schema.
//
//go:embed *.sql
var FS embed.FS

// lockKey is the session advisory lock that all migrators of a database share.
const lockKey = 0x5348494e474c45 // "SHINGLE"

// Up makes the roles that the two URLs name when they are missing, then
// applies every migration that the database lacks, each in one transaction.
//
// ownerURL connects as the owner of the database, who needs CREATEROLE. It is
// safe to run from several processes: one works, the others wait.
func Up(ctx context.Context, ownerURL, appURL, platformURL string) error {
	return run(ctx, ownerURL, func(conn *sql.Conn, m *migrate.Migrator) error {
		if err := ensureRoles(ctx, conn, appURL, platformURL); err != nil {
			return err
		}
		if err := m.Init(ctx); err != nil {
			return fmt.Errorf("migrations table: %w", err)
		}
		return migrateAll(ctx, m)
	})
}

// ApplyFiles applies the files of another folder, kept in a table of another name,
// under the same lock and by the same rules. It is for measuring and trying.
func ApplyFiles(ctx context.Context, ownerURL string, files fs.FS, table string) error {
	return with(ctx, ownerURL, files, table, func(_ *sql.Conn, m *migrate.Migrator) error {
		if err := m.Init(ctx); err != nil {
			return err
		}
		return migrateAll(ctx, m)
	})
}

const (
	// settings of a migration's connection. A statement that waits for a lock
	// makes everything behind it wait, too: it gives up soon, and comes again.
	settings = `SET lock_timeout = '2s'; SET statement_timeout = '15min'; SET idle_in_transaction_session_timeout = '1min'`
	// lockTries times two seconds of waiting and one of letting others by.
	lockTries = 60
)

// migrateAll applies what is missing; a file that did not get its lock left
// nothing and is tried again.
func migrateAll(ctx context.Context, m *migrate.Migrator) error {
	for try := 1; ; try++ {
		_, err := m.Migrate(ctx)
		if pg.Code(err) != "55P03" && !pg.Retryable(err) {
			return err
		}
		if try == lockTries {
			return fmt.Errorf("a table was in use for %d s on end, so nothing of this migration was done: end what holds it (docs/operations/upgrade.md says how to find it) and try again: %w", 3*lockTries, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// Down rolls the last group of migrations back.
func Down(ctx context.Context, ownerURL string) error {
	return run(ctx, ownerURL, func(_ *sql.Conn, m *migrate.Migrator) error {
		if err := m.Init(ctx); err != nil {
			return err
		}
		_, err := m.Rollback(ctx)
		return err
	})
}

// Pending lists the names of migrations that the database lacks.
func Pending(ctx context.Context, ownerURL string) ([]string, error) {
	var names []string
	err := run(ctx, ownerURL, func(_ *sql.Conn, m *migrate.Migrator) error {
		if err := m.Init(ctx); err != nil {
			return err
		}
		all, err := m.MigrationsWithStatus(ctx)
		if err != nil {
			return err
		}
		for _, mi := range all.Unapplied() {
			names = append(names, mi.Name+"_"+mi.Comment)
		}
		return nil
	})
	return names, err
}

func run(ctx context.Context, ownerURL string, fn func(*sql.Conn, *migrate.Migrator) error) error {
	return with(ctx, ownerURL, FS, "bun_migrations", fn)
}

func with(ctx context.Context, ownerURL string, files fs.FS, table string, fn func(*sql.Conn, *migrate.Migrator) error) error {
	sqldb, err := pg.OpenSet(ownerURL, 4, settings)
	if err != nil {
		return err
	}
	defer func() { _ = sqldb.Close() }()
	conn, err := sqldb.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connecting as the owner: %w", err)
	}
	defer func() { _ = conn.Close() }()
	// A session lock, not bun's lock row: the row survives a killed migrator.
	// Others may be at work for long: this one wait has no end.
	if _, err := conn.ExecContext(ctx, fmt.Sprintf("SET lock_timeout = 0; SET statement_timeout = 0; SELECT pg_advisory_lock(%d); ", lockKey)+settings); err != nil {
		return err
	}
	defer func() {
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), fmt.Sprintf("SELECT pg_advisory_unlock(%d)", lockKey))
	}()
	found := migrate.NewMigrations()
	if err := found.Discover(files); err != nil {
		return err
	}
	db := bun.NewDB(sqldb, pgdialect.New())
	return fn(conn, migrate.NewMigrator(db, found, migrate.WithMarkAppliedOnSuccess(true), migrate.WithTableName(table)))
}

// ensureRoles makes the group roles that policies name, and the logins.
// The roles of search and audit own SECURITY DEFINER functions and can never sign in.
func ensureRoles(ctx context.Context, conn *sql.Conn, appURL, platformURL string) error {
	for _, r := range []string{"shingle_app", "shingle_platform", "shingle_search", "shingle_audit"} {
		if err := createRole(ctx, conn, r, "NOLOGIN"); err != nil {
			return err
		}
	}
	// To hand functions over to them the owner must be a member.
	if err := exec(ctx, conn, `GRANT shingle_search, shingle_audit TO CURRENT_USER`); err != nil {
		return err
	}
	for group, u := range map[string]string{"shingle_app": appURL, "shingle_platform": platformURL} {
		if u == "" {
			continue
		}
		if err := ensureLogin(ctx, conn, group, u); err != nil {
			return err
		}
	}
	return nil
}

func ensureLogin(ctx context.Context, conn *sql.Conn, group, rawURL string) error {
	cfg, err := pgconn.ParseConfig(rawURL)
	if err != nil {
		return errors.New("a database URL cannot be read; see shingle doctor")
	}
	if _, err := url.Parse(rawURL); err != nil || cfg.User == "" {
		return fmt.Errorf("the database URL for %s names no user", group)
	}
	var canLogin, super, bypass bool
	err = conn.QueryRowContext(ctx, `SELECT rolcanlogin, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = $1`, cfg.User).
		Scan(&canLogin, &super, &bypass)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if super || bypass {
		return fmt.Errorf("role %s sees through row level security; give Shingle a login that is neither a superuser nor BYPASSRLS", cfg.User)
	}
	if errors.Is(err, sql.ErrNoRows) {
		if err := createRole(ctx, conn, cfg.User, "NOLOGIN"); err != nil {
			return err
		}
	}
	if !canLogin {
		set := "ALTER ROLE " + ident(cfg.User) + " LOGIN"
		if cfg.Password != "" {
			set += " PASSWORD " + literal(cfg.Password)
		}
		if err := exec(ctx, conn, set); err != nil {
			return fmt.Errorf("making the login %s: %w", cfg.User, hide(err, cfg.Password))
		}
	}
	if cfg.User != group {
		return exec(ctx, conn, "GRANT "+ident(group)+" TO "+ident(cfg.User))
	}
	return nil
}

// createRole tolerates a role that another database of the cluster just made.
func createRole(ctx context.Context, conn *sql.Conn, name, options string) error {
	var there bool
	if err := conn.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)`, name).Scan(&there); err != nil {
		return err
	}
	if there {
		return nil
	}
	err := exec(ctx, conn, "CREATE ROLE "+ident(name)+" "+options)
	var pe *pgconn.PgError
	if errors.As(err, &pe) && (pe.Code == "42710" || pe.Code == "23505") {
		return nil
	}
	return err
}

func exec(ctx context.Context, conn *sql.Conn, q string) error {
	_, err := conn.ExecContext(ctx, q)
	return err
}

func hide(err error, secret string) error {
	if secret == "" {
		return err
	}
	return errors.New(strings.ReplaceAll(err.Error(), secret, "…"))
}

func ident(s string) string   { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
func literal(s string) string { return `'` + strings.ReplaceAll(s, `'`, `''`) + `'` }
