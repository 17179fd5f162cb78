package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"testing"

	"github.com/uptrace/bun"

	"shingle/archive"
	"shingle/internal/testkit"
	"shingle/tasks"
	"shingle/tenant"
)

// testExport follows an archive that was asked for: made, mailed, looked at,
// fetched once, asked for again, deleted.
func testExport(t *testing.T, w *testkit.World, s *archive.Service, b *tenant.Tenant, do func(method, path string, form url.Values, want int, has ...string) string) {
	t.Helper()
	const G, P = http.MethodGet, http.MethodPost
	mux := tasks.NewMux()
	s.Register(mux)
	work := func() {
		t.Helper()
		task := new(tasks.Task)
		err := w.DB.Read(w.Ctx(t, b), func(ctx context.Context, tx bun.IDB) error {
			return tx.NewRaw(`SELECT tenant_id, id, kind, handover, attempts, max_attempts, payload FROM tasks WHERE kind = 'archive.export'`).Scan(ctx, task)
		})
		if err == nil {
			err = mux.Run(w.Ctx(t, b), task)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	link := func() string {
		t.Helper()
		var raw []byte
		err := w.DB.Read(w.Ctx(t, b), func(ctx context.Context, tx bun.IDB) error {
			return tx.NewRaw(`SELECT payload FROM mails WHERE kind = 'board-export' ORDER BY id DESC LIMIT 1`).Scan(ctx, &raw)
		})
		var p struct{ URL string }
		if err == nil {
			err = json.Unmarshal(raw, &p)
		}
		u, perr := url.Parse(p.URL)
		if err != nil || perr != nil || u.Query().Get("token") == "" {
			t.Fatalf("no link in the mail: %s, %v", raw, err)
		}
		return u.Query().Get("token")
	}
	work()
	page := do(G, "/admin/export", nil, 200, "Fertig", "0.1 MB", "SHA-256")
	id := regexp.MustCompile(`/admin/export/([0-9a-f-]{36})/delete`).FindStringSubmatch(page)
	if id == nil {
		t.Fatal("no archive in the list")
	}
	token := link()
	for range 2 { // scanners follow links: looking spends nothing
		do(G, "/admin/export/download?token="+token, nil, 200, "Herunterladen")
	}
	if body := do(P, "/admin/export/download", url.Values{"token": {token}}, 200); len(body) < 500 || body[:2] != "\x1f\x8b" {
		t.Errorf("fetched %d bytes that are no archive", len(body))
	}
	do(P, "/admin/export/download", url.Values{"token": {token}}, 410)
	do(G, "/admin/export", nil, 200, "Abgeholt")
	do(P, "/admin/export/"+id[1]+"/link", nil, 303, "export.link")
	again := link()
	if again == token {
		t.Error("the same link again")
	}
	do(G, "/admin/export/download?token="+again, nil, 200)
	do(P, "/admin/export/"+id[1]+"/delete", nil, 303, "export.deleted")
	do(G, "/admin/export/download?token="+again, nil, 410)
	do(P, "/admin/export/"+id[1]+"/delete", nil, 404)
	do(P, "/admin/export/"+id[1]+"/link", nil, 404)
	var acts int
	err := w.DB.Read(w.Ctx(t, b), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT count(DISTINCT act) FROM audit_log WHERE act IN ('board.export_asked', 'board.exported', 'board.export_link', 'board.export_deleted')`).Scan(ctx, &acts)
	})
	if err != nil || acts != 4 {
		t.Errorf("%d acts in the log, want 4: %v", acts, err)
	}
}
