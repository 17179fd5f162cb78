package main

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"gocloud.dev/blob"

	"shingle/billing/plans"
	"shingle/internal/config"
	"shingle/internal/fault"
	"shingle/internal/testkit"
	"shingle/search/searchtest/typesensedouble"
	"shingle/tasks"
	"shingle/tenant"
)

// A board that staff deleted is nowhere: not in the database, the file store,
// either search engine, the certificates or this process's memory. Its neighbour
// keeps all of its own.
func TestADeletedBoardIsNowhere(t *testing.T) {
	t.Parallel()
	db := testkit.Postgres(t)
	double := typesensedouble.New("admin")
	srv := httptest.NewServer(double)
	t.Cleanup(srv.Close)
	cfg, err := config.Load("serve", []string{"SHINGLE_DATABASE_URL=" + db.App, "SHINGLE_PLATFORM_DATABASE_URL=" + db.Platform, "SHINGLE_REDIS_URL=redis://127.0.0.1:1/0",
		"SHINGLE_SECRET_KEY=" + strings.Repeat("0f", 32), "SHINGLE_STRIPE_KEY=sk_test_x", "SHINGLE_STRIPE_WEBHOOK_SECRET=whsec_x", "SHINGLE_SMTP_URL=smtp://127.0.0.1:1",
		"SHINGLE_TYPESENSE_URL=" + srv.URL, "SHINGLE_TYPESENSE_KEY=admin", "SHINGLE_BLOB_URL=mem://", "SHINGLE_DATA_DIR=" + t.TempDir(), "SHINGLE_BOARD_DOMAIN=localhost"})
	if err != nil {
		t.Fatal(err)
	}
	a, err := build(t.Context(), cfg, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.close)
	ctx := t.Context()
	plan := demoPlans()[1]
	if err := a.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error { return a.plans.Save(ctx, tx, &plan) }); err != nil {
		t.Fatal(err)
	}
	ids := map[string]tenant.ID{}
	for _, slug := range []string{"leaves", "stays"} {
		err := a.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
			b, err := tenant.CreateBoard(ctx, tx, tenant.NewBoard{Slug: slug, Name: slug, Locale: "en", Currency: "EUR", TimeZone: "UTC"}, "localhost")
			if err != nil {
				return err
			}
			ids[slug] = b.ID
			own := "jobs." + slug + ".example"
			for _, q := range []string{
				`INSERT INTO hosts (host, board_id, kind, verified_at) VALUES ('` + own + `', ?, 'custom', now())`,
				`INSERT INTO certificates (host, state, not_before, not_after) SELECT '` + own + `', 'issued', now(), now() + interval '60 days' WHERE ? IS NOT NULL`,
				`INSERT INTO acme_objects (key, sealed, sealed_with, size) SELECT 'certificates/ca/` + own + `/` + own + `.key', 'x', 'k', 1 WHERE ? IS NOT NULL`,
			} {
				if _, err := tx.NewRaw(q, b.ID.String()).Exec(ctx); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil {
			err = a.plans.Assign(ctx, ids[slug], plan.ID)
		}
		if err == nil {
			err = a.files.WriteAll(ctx, ids[slug].String()+"/cv/"+uuid.NewString(), []byte("%PDF"), nil)
		}
		var board *tenant.Tenant
		if err == nil {
			board, err = a.boards.ByID(ctx, ids[slug])
		}
		if err == nil {
			err = a.search.Rebuild(tenant.With(ctx, board)) // makes its collection and key
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range []string{slug + ".localhost", "jobs." + slug + ".example"} {
			if _, err := a.boards.Resolve(ctx, host); err != nil {
				t.Fatalf("%s: %v", host, err)
			}
		}
	}
	gone, stays := ids["leaves"], ids["stays"]
	super := db.Open(t, db.Superuser, 1)
	if _, err := super.ExecContext(ctx, `UPDATE board_plans SET state = 'ended', step = $2, unpaid_since = now() - interval '100 days' WHERE tenant_id = $1`, gone, string(plans.Deletable)); err != nil {
		t.Fatal(err)
	}
	if err := a.plans.Delete(ctx, gone, "leaves"); err != nil {
		t.Fatal(err)
	}
	// This process had both hosts cached, and knows at once.
	for _, host := range []string{"leaves.localhost", "jobs.leaves.example"} {
		if b, err := a.boards.Resolve(ctx, host); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s still leads to %v, %v", host, b, err)
		}
		if _, err := a.boards.ByID(ctx, gone); !fault.Is(err, fault.NotFound) {
			t.Errorf("the board is still known: %v", err)
		}
	}
	// What lies elsewhere goes by a task, which a server that is away only delays.
	a.plans.Register(a.mux)
	run := func() error {
		task := new(tasks.Task)
		err := super.QueryRowContext(ctx, `UPDATE tasks SET handover = handover + 1, lease_until = now() + interval '1 minute' WHERE kind = $1 RETURNING tenant_id, id, kind, queue, version, payload, handover`,
			plans.TaskErase).Scan(&task.TenantID, &task.ID, &task.Kind, &task.Queue, &task.Version, &task.Payload, &task.Handover)
		if err != nil {
			t.Fatal(err)
		}
		return a.mux.Run(ctx, task)
	}
	double.SetDown(true)
	if err := run(); !fault.Is(err, fault.Unavailable) {
		t.Errorf("while the search is away the task ends with %v", err)
	}
	double.SetDown(false)
	if err := run(); err != nil {
		t.Fatal(err)
	}
	if got := double.Collections(); len(got) != 1 || !strings.Contains(got[0], strings.ReplaceAll(stays.String(), "-", "")) {
		t.Errorf("collections left: %v", got)
	}
	if got := double.Keys(); len(got) != 1 || !strings.Contains(got[0], stays.String()) {
		t.Errorf("search keys left: %v", got)
	}
	var files []string
	for it := a.files.List(&blob.ListOptions{}); ; {
		o, err := it.Next(ctx)
		if err != nil {
			break
		}
		files = append(files, o.Key)
	}
	if len(files) != 1 || !strings.HasPrefix(files[0], stays.String()+"/") {
		t.Errorf("files left: %v", files)
	}
	for what, q := range map[string]string{
		"certificates": `SELECT host FROM certificates WHERE state <> 'dropped'`, "keys of certificates": `SELECT key FROM acme_objects`, "hosts": `SELECT DISTINCT board_id::text FROM hosts`,
		"search keys": `SELECT tenant_id::text FROM search_keys`,
	} {
		var n int
		var left string
		if err := super.QueryRowContext(ctx, `SELECT count(*), coalesce(string_agg(value, ' '), '') FROM (`+q+`) AS t (value)`).Scan(&n, &left); err != nil {
			t.Fatal(err)
		}
		if n != 1 || !strings.Contains(left, "stays") && left != stays.String() {
			t.Errorf("%s left: %s", what, left)
		}
	}
}
