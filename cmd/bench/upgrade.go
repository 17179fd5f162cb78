package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"

	"shingle/migrations"
)

// fixture is a change of the schema as docs/operations/upgrade.md asks for it:
// expand, backfill in batches, contract. Nothing of the product knows its column.
//
//go:embed fixture/*.sql
var fixture embed.FS

// upgrades are what happens when a version takes the place of another.
var upgrades = []fault{
	{name: "upgraded from another revision, gone back on the new schema, and upgraded again", promise: "no failed request, at either revision, on the schema of the newer", during: upgrade, cannot: func(c *chaos) string {
		if c.w.o.before == "" {
			return "the program of another revision could not be built: make chaos FROM=<revision>, in a clone that has it"
		}
		return ""
	}},
	{name: "a migration under load: expand, backfill in batches, contract", promise: "no failed request, though a long transaction holds the table meanwhile", during: migration},
}

func upgrade(ctx context.Context, c *chaos) error {
	defer func() { c.w.binary = c.w.o.binary }()
	if err := c.w.migrateBy(ctx, c.w.o.binary); err != nil {
		return err
	}
	turns := []string{c.w.o.binary, c.w.o.before, c.w.o.binary}
	if c.w.binary == c.w.o.binary { // once more, later in a long run
		turns = turns[1:]
	} else if c.w.o.chaos == 0 {
		turns = turns[:2] // in a short run, what comes next rolls to the newer again
	}
	for _, c.w.binary = range turns {
		if err := c.roll(ctx); err != nil {
			return fmt.Errorf("rolling to %s: %w", c.w.binary, err)
		}
		if status := c.uncached(ctx); status != 200 {
			return fmt.Errorf("a page that nobody asked for before answers %d from %s", status, c.w.binary)
		}
	}
	return nil
}

// batch is how many rows a backfill changes in one transaction.
const batch = 200

func migration(ctx context.Context, c *chaos) (err error) {
	apply := func(upTo string) error {
		files := only{fixture, upTo}
		sub, err := fs.Sub(files, "fixture")
		if err != nil {
			return err
		}
		return migrations.ApplyFiles(ctx, c.w.pg.MigrateURL, sub, "fixture_migrations")
	}
	// Somebody's report reads the table for as long as this takes: whatever needs
	// the whole table has to wait for it, and nobody may wait behind that.
	report, err := pgx.Connect(ctx, c.w.pg.Cluster.SuperuserURL("shingle"))
	if err != nil {
		return err
	}
	defer func() { _ = report.Close(context.WithoutCancel(ctx)) }()
	if _, err := report.Exec(ctx, `BEGIN; SELECT count(*) FROM listings; SELECT count(*) FROM applications`); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- apply("1_expand") }()
	if err := wait(ctx, 5*time.Second); err != nil {
		return errors.Join(err, <-done)
	}
	select {
	case err := <-done:
		return errors.Join(errors.New("the table was changed beside a transaction that reads it"), err)
	default:
	}
	if _, err := report.Exec(ctx, `ROLLBACK`); err != nil {
		return errors.Join(err, <-done)
	}
	if err := <-done; err != nil {
		return fmt.Errorf("expand: %w", err)
	}
	if err := backfill(ctx, c); err != nil {
		return fmt.Errorf("backfill: %w", err)
	}
	if err := apply("2_check"); err != nil {
		return fmt.Errorf("check: %w", err)
	}
	var missing int
	if err := c.w.super.QueryRow(ctx, `SELECT count(*) FROM listings WHERE fixture_length <> length(title)`).Scan(&missing); err != nil {
		return err
	}
	if missing > 0 {
		err = fmt.Errorf("%d rows lack their new column", missing)
	}
	if cerr := apply("9_contract"); cerr != nil {
		return errors.Join(err, fmt.Errorf("contract: %w", cerr))
	}
	_, derr := c.w.super.Exec(ctx, `DROP TABLE fixture_migrations`)
	return errors.Join(err, derr)
}

// only is the fixture up to one of its files, by name.
type only struct {
	embed.FS
	last string
}

func (o only) ReadDir(name string) ([]fs.DirEntry, error) {
	all, err := o.FS.ReadDir(name)
	var out []fs.DirEntry
	for _, e := range all {
		if e.Name() < "2026113000600"+o.last+"~" {
			out = append(out, e)
		}
	}
	return out, err
}

// backfill fills the column as the platform's role, which every policy lets
// through, a batch in each transaction, so that no row is locked for long.
func backfill(ctx context.Context, c *chaos) error {
	conn, err := pgx.Connect(ctx, c.w.pg.PlatformURL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	board, id := "00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000000"
	for {
		var n int
		var nextBoard, next *string
		err := conn.QueryRow(ctx, `WITH part AS (
				SELECT tenant_id, id FROM listings WHERE (tenant_id, id) > ($1::uuid, $2::uuid) ORDER BY tenant_id, id LIMIT $3 FOR UPDATE
			), filled AS (
				UPDATE listings l SET fixture_length = length(l.title) FROM part s
				WHERE l.tenant_id = s.tenant_id AND l.id = s.id AND l.fixture_length IS NULL RETURNING 1
			) SELECT (SELECT count(*) FROM filled), (SELECT tenant_id::text FROM part ORDER BY tenant_id DESC, id DESC LIMIT 1), (SELECT id::text FROM part ORDER BY tenant_id DESC, id DESC LIMIT 1)`,
			board, id, batch).Scan(&n, &nextBoard, &next)
		if err != nil {
			return err
		}
		if next == nil {
			return nil
		}
		board, id = *nextBoard, *next
	}
}
