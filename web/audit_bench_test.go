package web_test

import (
	"bytes"
	"context"
	"crypto/md5" // #nosec G501 -- as Postgres makes ids of a test's rows
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/authz"
	"shingle/authz/chain"
	"shingle/tenant"
)

var auditLines = flag.Int("audit.lines", 1_000_000, "lines of the audit log in BenchmarkAuditLog")

// longLog gives a board a long log of two years, sealed as the sealer does: of
// forty acts one is rare, of two hundred people one acts seldom, and one kind of
// object comes once in a thousand lines.
func (h *house) longLog(b *testing.B, board *tenant.Tenant, n int) {
	b.Helper()
	super := h.PG.Open(b, h.PG.Superuser, 1)
	begun := time.Now()
	const step = 100_000
	for from := 1; from <= n; from += step {
		_, err := super.ExecContext(b.Context(), `INSERT INTO audit_log (tenant_id, id, at, actor_kind, actor_id, act, object_kind, object_id, detail, personal, request_id)
			SELECT $1, gen_random_uuid(), now() - i * interval '1 minute', 'operator', md5((i % 200)::text)::uuid, CASE WHEN i % 5000 = 0 THEN 'member.removed' ELSE 'listing.act' || i % 39 END,
				CASE WHEN i % 1000 = 0 THEN 'member' ELSE 'listing' END, md5((i % 50000)::text)::uuid::text, '{"days": 30, "from": "live", "to": "paused"}', '{"actor": "Ada Brand"}', gen_random_uuid()::text
			FROM generate_series($2::bigint, $3::bigint) AS i`, board.ID.String(), from, min(from+step-1, n))
		if err != nil {
			b.Fatal(err)
		}
	}
	filled := time.Now()
	sealer := &chain.Sealer{Platform: h.Platform, Log: slog.New(slog.DiscardHandler)}
	sealed, err := sealer.Seal(b.Context(), board.ID)
	if err != nil || sealed < n {
		b.Fatalf("%d lines are sealed: %v", sealed, err)
	}
	b.Logf("%d lines written in %s and sealed in %s", n, filled.Sub(begun).Round(time.Millisecond), time.Since(filled).Round(time.Millisecond))
	if _, err := super.ExecContext(b.Context(), `VACUUM ANALYZE audit_log, audit_chain, audit_unsealed`); err != nil {
		b.Fatal(err)
	}
}

// md5Of is Postgres' md5(text)::uuid.
func md5Of(text string) uuid.UUID { return md5.Sum([]byte(text)) } // #nosec G401 -- an id of a test's row

// into counts an answer and watches the heap while it is written.
type into struct {
	head   http.Header
	status int
	bytes  int64
	lines  int
	writes int
	peak   uint64
}

func (w *into) Header() http.Header { return w.head }
func (w *into) WriteHeader(s int)   { w.status = s }
func (w *into) Write(p []byte) (int, error) {
	w.bytes += int64(len(p))
	w.lines += bytes.Count(p, []byte("\n"))
	if w.writes++; w.writes%500 == 0 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		w.peak = max(w.peak, m.HeapInuse)
	}
	return len(p), nil
}

// BenchmarkAuditLog is the log's pages over a million lines of one board, their
// export, and a whole look at the chain. Run it once: go test ./web -run '^$'
// -bench AuditLog -benchtime 20x -timeout 30m
func BenchmarkAuditLog(b *testing.B) {
	h := newHouse(b)
	board := h.Board(b, "acme")
	h.longLog(b, board, *auditLines)
	owner := h.handedOver(b, h.signedIn(b, board.ID, authz.Owner), board)
	super := h.signedIn(b, tenant.Nil, authz.Superadmin)
	ask := func(b *testing.B, host, path, token string) *into {
		b.Helper()
		r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "http://"+host+":8080"+path, http.NoBody)
		r.Header.Set("Accept", "text/html")
		r.AddCookie(&http.Cookie{Name: accounts.CookieName(accounts.OperatorCookie, accounts.Secured("http", host)), Value: token})
		w := &into{head: http.Header{}, status: http.StatusOK}
		h.handler.ServeHTTP(w, r)
		if w.status != http.StatusOK {
			b.Fatalf("%s: %d", path, w.status)
		}
		return w
	}
	var deep struct {
		At time.Time `bun:"at"`
		ID uuid.UUID `bun:"id"`
	}
	if err := h.Platform.Read(b.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT at, id FROM audit_log WHERE tenant_id = ? ORDER BY at DESC, id DESC OFFSET ? LIMIT 1`, board.ID, *auditLines*9/10).Scan(ctx, &deep)
	}); err != nil {
		b.Fatal(err)
	}
	person := md5Of("7")
	before := fmt.Sprintf("before=%d_%s", deep.At.UnixMicro(), deep.ID)
	for _, q := range []struct{ name, query string }{{"first page", ""}, {"a common act", "act=listing.act7"}, {"a rare act", "act=member.removed"}, {"a person", "actor=" + person.String()},
		{"a person's rare act", "actor=" + md5Of("0").String() + "&act=member.removed"}, {"a kind", "kind=listing"}, {"a rare kind", "kind=member"}, {"nobody", "actor=" + uuid.NewString()}, {"no such kind", "kind=none"}, {"an object", "object=" + md5Of("9").String()},
		{"deep", before}, {"deep and a rare kind", before + "&kind=member"}} {
		b.Run("admin/"+q.name, func(b *testing.B) {
			for b.Loop() {
				ask(b, board.PlatformHost, "/admin/audit?"+q.query, owner)
			}
		})
		b.Run("staff/"+q.name, func(b *testing.B) {
			for b.Loop() {
				ask(b, platformHost, "/staff/audit?board=acme&"+q.query, super)
			}
		})
		b.Run("all logs/"+q.name, func(b *testing.B) {
			for b.Loop() {
				ask(b, platformHost, "/staff/audit?scope=all&"+q.query, super)
			}
		})
	}
	b.Run("export", func(b *testing.B) {
		begun := time.Now()
		w := ask(b, board.PlatformHost, "/admin/audit.csv", owner)
		if w.lines < *auditLines {
			b.Fatalf("%d lines", w.lines)
		}
		b.ReportMetric(time.Since(begun).Seconds(), "s")
		b.ReportMetric(float64(w.peak)/1e6, "MB-heap")
		b.ReportMetric(float64(w.bytes)/1e6, "MB")
	})
	b.Run("verify", func(b *testing.B) {
		begun := time.Now()
		r, err := chain.Verify(b.Context(), h.Platform, board.ID)
		if err != nil || len(r.Problems) > 0 || r.Head.Seq < int64(*auditLines) {
			b.Fatalf("%+v: %v", r, err)
		}
		b.ReportMetric(time.Since(begun).Seconds(), "s")
	})
}
