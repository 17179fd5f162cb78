package migrations_test

import (
	"context"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"shingle/internal/testkit"
	"shingle/migrations"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// A migration that waits for a table must not keep readers of it waiting behind
// itself: it gives up, lets them by, and comes again.
func TestAMigrationThatWaitsForALockLetsOthersBy(t *testing.T) {
	t.Parallel()
	d := testkit.Postgres(t)
	connect := func() *pgx.Conn {
		c, err := pgx.Connect(t.Context(), d.Superuser)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close(context.Background()) })
		return c
	}
	report, reader := connect(), connect()
	if _, err := report.Exec(t.Context(), `BEGIN; SELECT count(*) FROM boards`); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		done <- migrations.ApplyFiles(t.Context(), d.Owner, fstest.MapFS{
			"20300101000001_column.tx.up.sql": {Data: []byte(`ALTER TABLE boards ADD COLUMN tried int`)},
		}, "tried_migrations")
	}()
	testkit.Eventually(t, 30*time.Second, func() bool {
		var waiting int
		err := reader.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%tried int%'`).Scan(&waiting)
		return err == nil && waiting == 1
	})
	// Queued behind the migration, which is behind the report.
	read, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := reader.Exec(read, `SELECT count(*) FROM boards`); err != nil {
		t.Fatalf("a reader behind the migration: %v", err)
	}
	select {
	case err := <-done:
		t.Fatalf("the migration ended beside a transaction that reads its table: %v", err)
	default:
	}
	if _, err := report.Exec(t.Context(), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Exec(t.Context(), `SELECT tried FROM boards`); err != nil {
		t.Errorf("the column is not there: %v", err)
	}
}
