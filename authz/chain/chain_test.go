package chain_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/authz/chain"
	"shingle/internal/pg"
	"shingle/internal/testkit"
	"shingle/tasks"
	"shingle/tenant"
)

type bench struct {
	*testkit.World
	sealer *chain.Sealer
	log    *bytes.Buffer
	board  *tenant.Tenant
	super  *sql.DB
}

func newBench(t testing.TB) *bench {
	t.Helper()
	w := testkit.NewWorld(t)
	b := &bench{World: w, log: new(bytes.Buffer), board: w.Board(t, "orbit"), super: w.PG.Open(t, w.PG.Superuser, 2)}
	b.sealer = &chain.Sealer{Platform: w.Platform, Log: slog.New(slog.NewTextHandler(b.log, nil))}
	return b
}

var somebody = tenant.Actor{Kind: tenant.Operator, ID: uuid.MustParse("01999999-0000-7000-8000-000000000001"), Label: "Ada Äther", //nolint:misspell // a name
	Impersonator: uuid.MustParse("01999999-0000-7000-8000-000000000002"), ImpersonatorLabel: "Kim of staff"}

// acts writes so many lines into the board's log, each in its own transaction.
func (b *bench) acts(t testing.TB, n int) {
	t.Helper()
	for i := range n {
		err := b.DB.Write(tenant.WithRequestID(tenant.WithActor(b.Ctx(t, b.board), somebody), "r-1"), func(ctx context.Context, tx bun.IDB) error {
			return authz.Record(ctx, tx, authz.Act{Act: "listing.approved", ObjectKind: "listing", ObjectID: fmt.Sprint(i), Detail: map[string]any{"b": 1.5, "a": "ü", "n": nil},
				Personal: map[string]any{"member": "x@y.example"}})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (b *bench) seal(t testing.TB) int {
	t.Helper()
	n, err := b.sealer.SealAll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (b *bench) verify(t testing.TB, given ...chain.Head) *chain.Report {
	t.Helper()
	r, err := chain.Verify(t.Context(), b.Platform, b.board.ID, given...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (b *bench) hand(t testing.TB, q string, args ...any) {
	t.Helper()
	res, err := b.super.ExecContext(t.Context(), q, args...)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		t.Fatalf("%s touched nothing: %v", q, err)
	}
}

// lineAt is the id of the line of a link.
func (b *bench) lineAt(t testing.TB, seq int) uuid.UUID {
	t.Helper()
	var id uuid.UUID
	if err := b.super.QueryRowContext(t.Context(), `SELECT id FROM audit_chain WHERE tenant_id = $1 AND seq = $2`, b.board.ID.String(), seq).Scan(&id); err != nil {
		t.Fatal(err)
	}
	return id
}

func wantClean(t testing.TB, r *chain.Report, lines int64) {
	t.Helper()
	if r.Wrong != 0 || r.Lines != lines || r.Head.Seq != lines {
		t.Fatalf("%d lines, head %s, want %d without a problem: %v", r.Lines, r.Head, lines, r.Problems)
	}
}

// wantOnly wants problems of these kinds and no others.
func wantOnly(t testing.TB, r *chain.Report, kinds ...string) {
	t.Helper()
	var got []string
	for _, p := range r.Problems {
		got = append(got, p.Kind)
	}
	slices.Sort(got)
	slices.Sort(kinds)
	if !slices.Equal(got, kinds) {
		t.Fatalf("got %v, want %v: %v", got, kinds, r.Problems)
	}
}

func TestSealedLinesVerify(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.acts(t, 3)
	err := b.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error { // one with nobody behind it, on the platform's chain
		return authz.Record(ctx, tx, authz.Act{Act: "task.retry"})
	})
	if err != nil {
		t.Fatal(err)
	}
	if r := b.verify(t); r.Waiting != 3 || r.Lines != 0 || r.Wrong != 0 || r.WaitingSince == nil {
		t.Errorf("before sealing: %+v", r)
	}
	if n := b.seal(t); n != 4 {
		t.Fatalf("%d lines sealed, want 4", n)
	}
	if n := b.seal(t); n != 0 {
		t.Fatalf("%d lines sealed twice", n)
	}
	wantClean(t, b.verify(t), 3)
	r, err := chain.Verify(t.Context(), b.Platform, tenant.Nil)
	if err != nil {
		t.Fatal(err)
	}
	wantClean(t, r, 1)
	all, err := chain.All(t.Context(), b.Platform)
	if err != nil || !slices.Contains(all, b.board.ID) || !slices.Contains(all, tenant.Nil) {
		t.Errorf("chains: %v, %v", all, err)
	}
}

// Lines of before the chain are adopted by the migration; a batch's end is no end.
func TestManyLinesInOrder(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.hand(t, `INSERT INTO audit_log (tenant_id, id, at, actor_kind, act) SELECT $1, gen_random_uuid(), now() - (i || ' minutes')::interval, 'system', 'x.y' FROM generate_series(1, 4500) AS i`, b.board.ID.String())
	if n := b.seal(t); n != 4500 {
		t.Fatalf("%d sealed", n)
	}
	r := b.verify(t)
	wantClean(t, r, 4500)
	if r.Late < 3000 {
		t.Errorf("%d lines are dated long before they were sealed", r.Late)
	}
	var disorder int
	err := b.super.QueryRowContext(t.Context(), `SELECT count(*) FROM (SELECT l.at < lag(l.at) OVER (ORDER BY c.seq) AS back FROM audit_chain AS c JOIN audit_log AS l USING (tenant_id, id)) AS x WHERE back`).Scan(&disorder)
	if err != nil || disorder != 0 {
		t.Errorf("%d links out of order: %v", disorder, err)
	}
}

// A transaction that began early and commits late gets a later link; nothing forks.
func TestLateCommitAndManySealers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	slow, err := b.super.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := slow.ExecContext(t.Context(), `INSERT INTO audit_log (tenant_id, id, actor_kind, act) VALUES ($1, gen_random_uuid(), 'system', 'late.come')`, b.board.ID.String()); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { b.acts(t, 15) })
		wg.Go(func() {
			for range 15 {
				if _, err := b.sealer.Seal(t.Context(), b.board.ID); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.seal(t)
	wantClean(t, b.verify(t), 60)
	if err := slow.Commit(); err != nil {
		t.Fatal(err)
	}
	b.seal(t)
	wantClean(t, b.verify(t), 61)
	var act string
	if err := b.super.QueryRowContext(t.Context(), `SELECT act FROM audit_log WHERE id = $1`, b.lineAt(t, 61)).Scan(&act); err != nil || act != "late.come" {
		t.Errorf("the last link is %q: %v", act, err)
	}
}

func TestACrashLeavesNothingHalf(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.acts(t, 1)
	b.seal(t) // the chain exists: else a second sealer waits for its first row
	b.acts(t, 5)
	boom := errors.New("killed")
	err := b.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		var n int
		if err := tx.NewRaw(`SELECT shingle_audit_seal(?, 3)`, b.board.ID).Scan(ctx, &n); err != nil || n != 3 {
			t.Errorf("sealed %d: %v", n, err)
		}
		// Another sealer does not wait for this one, and links nothing.
		if n, err := b.sealer.Seal(context.WithoutCancel(t.Context()), b.board.ID); err != nil || n != 0 {
			t.Errorf("a second sealer linked %d: %v", n, err)
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatal(err)
	}
	if n := b.seal(t); n != 5 {
		t.Errorf("%d sealed after the crash", n)
	}
	wantClean(t, b.verify(t), 6)
}

func TestFindsWhatWasDoneByHand(t *testing.T) {
	t.Parallel()
	for name, alter := range map[string]string{
		"act": `act = 'listing.rejected'`, "time": `at = at + interval '1 microsecond'`, "actor": `actor_id = gen_random_uuid()`, "actor's kind": `actor_kind = 'staff'`,
		"impersonator": `impersonator_id = NULL`, "object": `object_id = '9'`, "object's kind": `object_kind = 'order'`, "detail": `detail = '{}'`, "request": `request_id = ''`,
		"personal part": `personal = '{"actor": "Eve"}'`, "salt": `salt = gen_random_uuid()`, "personal part without salt": `salt = NULL`,
	} {
		t.Run("altered "+name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.acts(t, 5)
			b.seal(t)
			id := b.lineAt(t, 3)
			b.hand(t, `UPDATE audit_log SET `+alter+` WHERE id = $1`, id)
			r := b.verify(t)
			wantOnly(t, r, chain.Altered)
			if p := r.Problems[0]; p.Seq != 3 || p.Line != id || !strings.Contains(p.Text, id.String()) {
				t.Errorf("the problem is %+v, want link 3", p)
			}
		})
	}
	t.Run("altered, with its link made anew", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.acts(t, 5)
		b.seal(t)
		b.hand(t, `UPDATE audit_log SET act = 'x.y' WHERE id = $1`, b.lineAt(t, 3))
		b.hand(t, `UPDATE audit_chain AS c SET hash = shingle_audit_hash(p.hash, c.seq, l, c.personal_digest, c.sealed_at)
			FROM audit_log AS l, audit_chain AS p WHERE l.id = c.id AND c.seq = 3 AND p.seq = 2 AND p.tenant_id = c.tenant_id`)
		r := b.verify(t)
		wantOnly(t, r, chain.Altered)
		if r.Problems[0].Seq != 4 {
			t.Errorf("the problem is %+v, want the link after it", r.Problems[0])
		}
	})
	t.Run("deleted in the middle", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.acts(t, 5)
		b.seal(t)
		id := b.lineAt(t, 3)
		b.hand(t, `DELETE FROM audit_log WHERE id = $1`, id)
		r := b.verify(t)
		wantOnly(t, r, chain.Deleted)
		if p := r.Problems[0]; p.Seq != 3 || p.Line != id {
			t.Errorf("the problem is %+v", p)
		}
		b.hand(t, `DELETE FROM audit_chain WHERE id = $1`, id)
		r = b.verify(t)
		wantOnly(t, r, chain.Missing)
		if p := r.Problems[0]; p.Seq != 3 || p.Text != "links 3 to 3 are missing" {
			t.Errorf("the problem is %+v", p)
		}
	})
	t.Run("deleted before it was sealed", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.acts(t, 2)
		b.hand(t, `DELETE FROM audit_log WHERE object_id = '1'`)
		b.seal(t)
		wantOnly(t, b.verify(t), chain.Deleted)
	})
	t.Run("inserted", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.acts(t, 5)
		b.seal(t)
		id := uuid.New()
		b.hand(t, `ALTER TABLE audit_log DISABLE TRIGGER audit_queue; INSERT INTO audit_log (tenant_id, id, actor_kind, act) VALUES ('`+b.board.ID.String()+`', '`+id.String()+`', 'system', 'x.y')`)
		b.seal(t)
		r := b.verify(t)
		wantOnly(t, r, chain.Inserted)
		if r.Problems[0].Line != id {
			t.Errorf("the problem is %+v", r.Problems[0])
		}
	})
	t.Run("cut, and the cut's traces with it", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.acts(t, 5)
		b.seal(t)
		if err := b.sealer.LogHeads(t.Context()); err != nil {
			t.Fatal(err)
		}
		outside := b.verify(t).Head
		if !strings.Contains(b.log.String(), "head="+outside.String()) {
			t.Errorf("the log lacks the head %s: %s", outside, b.log)
		}
		b.hand(t, `DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_chain WHERE seq > 3)`)
		b.hand(t, `DELETE FROM audit_chain WHERE seq > 3`)
		wantOnly(t, b.verify(t), chain.Cut, chain.Cut) // the chain's own head, and the logged one
		if _, err := b.sealer.Seal(t.Context(), b.board.ID); pg.Code(err) != "XX001" {
			t.Errorf("a cut chain is continued: %v", err)
		}
		b.hand(t, `UPDATE audit_chains AS c SET seq = 3, hash = l.hash FROM audit_chain AS l WHERE l.seq = 3 AND l.tenant_id = c.tenant_id`)
		r := b.verify(t)
		wantOnly(t, r, chain.Cut)
		if p := r.Problems[0]; p.Seq != 4 || !strings.Contains(p.Text, "5 was the head logged at") {
			t.Errorf("the problem is %+v", p)
		}
		// With the table of heads cut as well, what was logged outside is left.
		b.hand(t, `DELETE FROM audit_heads`)
		wantClean(t, b.verify(t), 3)
		wantOnly(t, b.verify(t, outside), chain.Cut)
		// Grown again, it is another chain than the one that was logged.
		b.acts(t, 3)
		b.seal(t)
		wantClean(t, b.verify(t), 6)
		r = b.verify(t, outside)
		wantOnly(t, r, chain.Forked)
		if r.Problems[0].Seq != 5 {
			t.Errorf("the problem is %+v", r.Problems[0])
		}
	})
}

func TestErasureKeepsTheChain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.acts(t, 3)
	b.seal(t)
	b.acts(t, 1) // one that is erased before it is sealed
	erase := func() (n int64) {
		t.Helper()
		err := b.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
			n, err = chain.Erase(ctx, tx, b.board.ID, chain.Subject{Kind: "operator", ID: somebody.ID})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := erase(); n != 4 {
		t.Fatalf("%d lines erased", n)
	}
	b.seal(t)
	r := b.verify(t)
	wantClean(t, r, 5)
	if r.Erased != 4 {
		t.Errorf("%d lines erased", r.Erased)
	}
	var left int
	if err := b.super.QueryRowContext(t.Context(), `SELECT count(*) FROM audit_log WHERE personal::text LIKE '%Ada%' OR personal::text LIKE '%x@y%'`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d lines still have the name: %v", left, err)
	}
	if n := erase(); n != 1 { // the line of the erasure, which is about them
		t.Errorf("%d lines erased again", n)
	}
}

// Nobody who serves requests can touch what was sealed, or seal something else.
func TestTheServingRolesCannotWriteTheChain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.acts(t, 2)
	b.seal(t)
	if err := b.sealer.LogHeads(t.Context()); err != nil {
		t.Fatal(err)
	}
	id := b.board.ID.String()
	statements := []string{
		`UPDATE audit_log SET act = 'x.y'`, `UPDATE audit_log SET personal = '{}'`, `DELETE FROM audit_log`, `TRUNCATE audit_log`, `TRUNCATE audit_chain`,
		`INSERT INTO audit_chain VALUES ('` + id + `', 9, gen_random_uuid(), '', '', now())`, `UPDATE audit_chain SET hash = ''`, `DELETE FROM audit_chain`,
		`INSERT INTO audit_chains VALUES ('` + id + `')`, `UPDATE audit_chains SET seq = 0`, `DELETE FROM audit_chains`,
		`INSERT INTO audit_heads VALUES ('` + id + `', 9, '')`, `UPDATE audit_heads SET hash = ''`, `DELETE FROM audit_heads`,
		`INSERT INTO audit_unsealed VALUES ('` + id + `', now(), gen_random_uuid())`, `DELETE FROM audit_unsealed`, `ALTER TABLE audit_log DISABLE TRIGGER ALL`,
		`SET ROLE shingle_audit`, `SELECT shingle_audit_queue()`,
	}
	for login, url := range map[string]string{"app": b.PG.App, "platform": b.PG.Platform} {
		db := b.PG.Open(t, url, 1)
		for _, q := range statements {
			if _, err := db.ExecContext(t.Context(), `BEGIN; SELECT set_config('app.tenant_id', '`+id+`', true); `+q); pg.Code(err) != "42501" && pg.Code(err) != "0A000" {
				t.Errorf("%s as the %s's login: %v, want it refused", q, login, err)
			}
			_, _ = db.ExecContext(t.Context(), `ROLLBACK`)
		}
	}
	app := b.PG.Open(t, b.PG.App, 1)
	for _, q := range []string{`shingle_audit_seal('` + id + `', 1)`, `shingle_audit_log_head('` + id + `')`, `shingle_audit_verified('` + id + `', 1, '')`, `shingle_audit_erase('` + id + `', gen_random_uuid())`} {
		if _, err := app.ExecContext(t.Context(), `SELECT `+q); pg.Code(err) != "42501" {
			t.Errorf("%s as the app's login: %v, want it refused", q, err)
		}
	}
	wantClean(t, b.verify(t), 2)
}

// A rival sees no link, no head, and cannot ask for another's state.
func TestARivalSeesNoChain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.acts(t, 2)
	b.seal(t)
	if err := b.sealer.LogHeads(t.Context()); err != nil {
		t.Fatal(err)
	}
	rival := b.Board(t, "rival")
	testkit.EachWall(t, b.World, b.board, rival, func(t *testing.T, r *testkit.Rival) {
		r.Nothing(t, "the state of the chain", func(ctx context.Context, tx bun.IDB) (int, error) {
			s, err := chain.Read(ctx, tx, tenant.Nil)
			if err != nil {
				return 0, err
			}
			return int(s.Seq) + s.Waiting, nil
		})
	})
}

func TestTheDailyTask(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.acts(t, 3)
	m := tasks.NewMux()
	b.sealer.Register(m)
	if err := b.sealer.Schedule(t.Context()); err != nil {
		t.Fatal(err)
	}
	every := 60.0
	run := func(kind string) {
		t.Helper()
		task := &tasks.Task{Kind: kind, Every: &every}
		err := b.super.QueryRowContext(t.Context(), `UPDATE tasks SET lease_until = now() + interval '1 minute', handover = handover + 1 WHERE kind = $1 RETURNING id, handover`, kind).Scan(&task.ID, &task.Handover)
		if err == nil {
			err = m.Run(t.Context(), task)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	read := func() (s *chain.State) {
		t.Helper()
		err := b.DB.Read(b.Ctx(t, b.board), func(ctx context.Context, tx bun.IDB) (err error) {
			s, err = chain.Read(ctx, tx, tenant.Nil)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := read(); s.Waiting != 3 || s.SealedAt != nil || s.VerifiedAt != nil {
		t.Errorf("before: %+v", s)
	}
	run(chain.TaskSeal)
	if s := read(); s.Seq != 3 || s.Waiting != 0 || s.SealedAt == nil || s.VerifiedAt != nil {
		t.Errorf("sealed: %+v", s)
	}
	run(chain.TaskDaily)
	s := read()
	if s.VerifiedSeq != 3 || s.VerifiedAt == nil || time.Since(*s.VerifiedAt) > time.Minute || s.Problem != "" {
		t.Errorf("verified: %+v", s)
	}
	b.hand(t, `UPDATE audit_log SET act = 'x.y' WHERE object_id = '1'`)
	run(chain.TaskDaily)
	if s := read(); !strings.Contains(s.Problem, "link 2") || !strings.Contains(b.log.String(), "audit chain is not what was sealed") {
		t.Errorf("altered: %+v, log %s", s, b.log)
	}
}

func TestParseHead(t *testing.T) {
	t.Parallel()
	h, err := chain.ParseHead("12:" + strings.Repeat("ab", 32))
	if err != nil || h.Seq != 12 || h.String() != "12:"+strings.Repeat("ab", 32) {
		t.Errorf("got %s, %v", h, err)
	}
	for _, s := range []string{"", "12", "x:ab", "12:zz", "0:" + strings.Repeat("ab", 32), "12:abcd"} {
		if _, err := chain.ParseHead(s); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
}
