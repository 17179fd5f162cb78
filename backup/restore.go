package backup

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"gocloud.dev/blob"

	"shingle/internal/fault"
	"shingle/internal/pg"
	"shingle/migrations"
)

// lockWait is how long a restore waits for a table that somebody uses.
const lockWait = "10s"

// generationStep is how far a restore moves boards' generations: beyond all that
// a cache in front may hold of the time that was lost.
const generationStep = 1 << 20

// Target is where a backup goes.
type Target struct {
	// OwnerURL signs in as the database's owner; the other two are made when missing.
	OwnerURL, AppURL, PlatformURL string
	Files                         *blob.Bucket
	Keys                          *Keys
	// Replace erases what is there, once the backup is in.
	Replace bool
	// By is who restores, for the line in the audit log; "" names nobody.
	By string
	// Rebuild is the kind of task that makes a board's search index anew.
	Rebuild  string
	Progress func(what string, n int64)
}

// Restored is what Restore did.
type Restored struct {
	Header   *Header
	Manifest *Manifest
	// Upgraded are the migrations that came after the backup.
	Upgraded []string
}

// Restore makes an installation of a backup, in one transaction: schema of its
// time, rows, newer migrations. It is there whole or not at all. Files come
// before the commit; nothing refers to them until then. Kinds: fault.Invalid for
// a backup that is not taken, fault.Conflict for a database or a file store that
// holds something, or is in use.
func (t *Target) Restore(ctx context.Context, in io.Reader) (*Restored, error) {
	if err := migrations.Prepare(ctx, t.OwnerURL, t.AppURL, t.PlatformURL); err != nil {
		return nil, err
	}
	conn, err := pg.Connect(ctx, t.OwnerURL)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := plainText(ctx, conn); err != nil {
		return nil, err
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if err := t.free(ctx, tx); err != nil {
		return nil, err
	}
	store, err := newStore(ctx, t.Files, t.Replace)
	if err != nil {
		return nil, err
	}
	r, err := t.load(ctx, tx, store, in)
	if err != nil {
		// Rolled back before the files go: rows must not wait for files that are gone.
		_ = tx.Rollback(context.WithoutCancel(ctx))
		return nil, errors.Join(err, store.giveUp(context.WithoutCancel(ctx)))
	}
	if err := tx.Commit(ctx); err != nil {
		return nil, fmt.Errorf("the connection ended at the commit: look whether the boards are there, and restore again with --replace if not: %w", err)
	}
	if err := store.finish(ctx); err != nil {
		return r, fmt.Errorf("all is restored; files of before could not be deleted: %w", err)
	}
	_, err = conn.Exec(ctx, "ANALYZE")
	return r, err
}

// free locks everybody out and refuses a database that is used or holds boards.
func (t *Target) free(ctx context.Context, tx pgx.Tx) error {
	var alone bool
	if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1::bigint)`, int64(migrations.LockKey)).Scan(&alone); err != nil {
		return err
	}
	if !alone {
		return fault.New(fault.Conflict, "another restore or migration is under way on this database: wait for its end")
	}
	rows, err := tx.Query(ctx, `SELECT DISTINCT coalesce(nullif(application_name, ''), usename::text) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()
			AND usename <> current_user AND NOT (SELECT rolsuper FROM pg_roles WHERE oid = usesysid)
			AND (pg_has_role(usesysid, 'shingle_app', 'MEMBER') OR pg_has_role(usesysid, 'shingle_platform', 'MEMBER')) ORDER BY 1`)
	if err != nil {
		return err
	}
	users, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	if len(users) > 0 {
		return fault.New(fault.Conflict, "somebody is connected to this database (%s): stop serve and worker first", strings.Join(users, ", "))
	}
	if _, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '`+lockWait+`'`); err != nil {
		return err
	}
	if t.Replace {
		return nil
	}
	for _, table := range []string{"boards", "operators"} {
		var there, filled bool
		if err := tx.QueryRow(ctx, `SELECT to_regclass('public.' || $1::text) IS NOT NULL`, table).Scan(&there); err != nil {
			return err
		}
		if !there {
			continue
		}
		// The owner sees no rows behind a forced policy; the table is dropped anyway.
		if _, err := tx.Exec(ctx, `ALTER TABLE `+table+` NO FORCE ROW LEVEL SECURITY`); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+table+`)`).Scan(&filled); err != nil {
			return err
		}
		if filled {
			return fault.New(fault.Conflict, "this database holds %s already: restore into an empty one, or say --replace to erase what is there", table)
		}
	}
	return nil
}

// load does all but the commit.
func (t *Target) load(ctx context.Context, tx pgx.Tx, store *store, in io.Reader) (*Restored, error) {
	r := new(Restored)
	l := &loader{tx: tx, progress: t.Progress}
	var err error
	r.Header, r.Manifest, err = walk(in, t.Keys, visit{
		header: func(h *Header) error { return l.begin(ctx, h) },
		part:   func(table string, rows io.Reader) error { return l.part(ctx, table, rows) },
		file: func(name string, about *tar.Header, data io.Reader) error {
			if t.Progress != nil {
				t.Progress("files", store.n)
			}
			return store.write(ctx, name, about, data)
		},
	})
	if err = errors.Join(err, l.endTable(err)); err != nil {
		return nil, err
	}
	if err := l.end(ctx, r.Manifest); err != nil {
		return nil, err
	}
	for _, name := range migrations.Names() {
		if !slices.Contains(r.Header.Schema, name) {
			r.Upgraded = append(r.Upgraded, name)
		}
	}
	if err := errors.Join(migrations.Apply(ctx, tx, r.Upgraded), ctx.Err()); err != nil {
		return nil, fmt.Errorf("bringing the restored schema up to date: %w", err)
	}
	if err := migrations.Mark(ctx, tx, r.Upgraded); err != nil {
		return nil, err
	}
	return r, t.after(ctx, tx, r)
}

// after makes caches and search begin anew, and writes down what happened.
func (t *Target) after(ctx context.Context, tx pgx.Tx, r *Restored) error {
	return unforced(ctx, tx, []string{"boards", "generations", "tasks", "audit_log"}, func() error {
		for _, q := range []struct {
			sql  string
			args []any
		}{
			{`UPDATE generations SET generation = generation + $1::bigint, changed_at = now()`, []any{int64(generationStep)}},
			{`INSERT INTO tasks (tenant_id, id, kind, queue, key) SELECT id, gen_random_uuid(), $1::text, 'bulk', 'rebuild' FROM boards WHERE $1::text <> '' AND state <> 'closed'
				ON CONFLICT (tenant_id, kind, key) WHERE key IS NOT NULL AND handover = 0 DO NOTHING`, []any{t.Rebuild}},
			{`INSERT INTO audit_log (tenant_id, id, actor_kind, act, object_kind, detail, personal)
				VALUES ('00000000-0000-0000-0000-000000000000', gen_random_uuid(), 'system', 'installation.restored', 'installation', jsonb_build_object('by', 'command', 'at', $1::text), jsonb_strip_nulls(jsonb_build_object('actor', nullif($2::text, ''))))`,
				[]any{r.Header.At.Format(time.RFC3339), t.By}},
		} {
			if _, err := tx.Exec(ctx, q.sql, q.args...); err != nil {
				return err
			}
		}
		return nil
	})
}

// unforced lets the owner see and write rows of those tables while fn runs, in a
// transaction that holds them alone.
func unforced(ctx context.Context, tx pgx.Tx, tables []string, fn func() error) error {
	force := func(how string) error {
		for _, name := range tables {
			if _, err := tx.Exec(ctx, "ALTER TABLE "+pgx.Identifier{"public", name}.Sanitize()+" "+how+" ROW LEVEL SECURITY"); err != nil {
				return err
			}
		}
		return nil
	}
	if err := force("NO FORCE"); err != nil {
		return err
	}
	if err := fn(); err != nil {
		return err
	}
	return force("FORCE")
}
