package chain_test

import (
	"log/slog"
	"testing"

	"shingle/authz/chain"
	"shingle/internal/testkit"
	"shingle/migrations"
	"shingle/tenant"
)

// Lines that were written before there was a chain are queued by the migration,
// although its owner sees no row; the way down takes the chain away again.
func TestLinesOfBeforeAreAdopted(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t)
	super := db.Open(t, db.Superuser, 1)
	run := func(q string) {
		t.Helper()
		if _, err := super.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	// The migration alone is the last group, and goes down by itself.
	run(`UPDATE bun_migrations SET group_id = group_id + 1 WHERE name = '20261125001300'`)
	if err := migrations.Down(t.Context(), db.Owner); err != nil {
		t.Fatal(err)
	}
	run(`INSERT INTO audit_log (tenant_id, id, actor_kind, act) SELECT '00000000-0000-0000-0000-000000000000', gen_random_uuid(), 'system', 'x.y' FROM generate_series(1, 7)`)
	if err := migrations.Up(t.Context(), db.Owner, db.App, db.Platform); err != nil {
		t.Fatal(err)
	}
	p := tenant.NewPlatform(db.Open(t, db.Platform, 2), nil)
	s := &chain.Sealer{Platform: p, Log: slog.New(slog.DiscardHandler)}
	if n, err := s.SealAll(t.Context()); err != nil || n != 7 {
		t.Fatalf("%d lines of before sealed: %v", n, err)
	}
	r, err := chain.Verify(t.Context(), p, tenant.Nil)
	if err != nil || r.Wrong != 0 || r.Lines != 7 || r.Erased != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}
