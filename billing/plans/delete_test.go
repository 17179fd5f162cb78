package plans

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tasks"
	"shingle/tenant"
)

// Only a board at the foot of the ladder is deleted, by its slug; then nothing
// of it is left but the log, and its neighbour has lost nothing.
func TestDeletingABoardLeavesTheLogAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.newBoard(t, "bolt")
	w.live(t, 2)
	w.staff(t, func(ctx context.Context, tx bun.IDB) error {
		off := false
		return errors.Join(tenant.SetFlag(ctx, tx, w.board.ID, tenant.FlagAPI, &off, uuid.Nil), tenant.SetFlag(ctx, tx, other.ID, tenant.FlagAPI, &off, uuid.Nil))
	})
	wantKind(t, w.s.Delete(t.Context(), w.board.ID, "acme"), fault.Conflict)
	w.pass(t, 110)
	w.want(t, "unpaid for long", Ended, Deletable, w.middle)
	wantKind(t, w.s.Delete(t.Context(), w.board.ID, "bolt"), fault.Invalid)
	before := w.rows(t, other.ID)
	if err := w.s.Delete(t.Context(), w.board.ID, "acme"); err != nil {
		t.Fatal(err)
	}
	if left := w.rows(t, w.board.ID); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if after := w.rows(t, other.ID); len(after) != len(before) || after["board_plans"] != 1 || after["feature_flags"] != 1 {
		t.Errorf("the neighbour has %v, had %v", after, before)
	}
	var logged int
	w.staff(t, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT count(*) FROM audit_log WHERE act = 'board.deleted' AND object_id = ?`, w.board.ID).Scan(ctx, &logged)
	})
	if logged != 1 {
		t.Errorf("%d lines in the log", logged)
	}
	// The files follow by a task.
	var erased tenant.ID
	w.s.erase = func(_ context.Context, id tenant.ID) error { erased = id; return nil }
	task := new(tasks.Task)
	w.staff(t, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`UPDATE tasks SET handover = handover + 1 WHERE kind = ? RETURNING tenant_id, id, kind, payload, handover`, TaskErase).Scan(ctx, task)
	})
	if err := w.s.eraseTask(t.Context(), task); err != nil || erased != w.board.ID {
		t.Errorf("erased the files of %s: %v", erased, err)
	}
	wantKind(t, w.s.Delete(t.Context(), w.board.ID, "acme"), fault.NotFound)
}

// rows counts a board's rows by table, but for the log.
func (w *world) rows(t *testing.T, board tenant.ID) map[string]int {
	t.Helper()
	super := w.PG.Open(t, w.PG.Superuser, 1)
	rows, err := super.QueryContext(t.Context(), `SELECT c.relname, (xpath('//n/text()', query_to_xml(format('SELECT count(*) AS n FROM %I WHERE tenant_id = %L', c.relname, $1::text), true, false, '')))[1]::text::int
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname <> 'audit_log'`, board.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	out := map[string]int{}
	for rows.Next() {
		var table string
		var n int
		if err := rows.Scan(&table, &n); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			out[table] = n
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
