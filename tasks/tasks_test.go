package tasks_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/testkit"
	"shingle/tasks"
	"shingle/tenant"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// bench is a worker on a world of its own.
type bench struct {
	*testkit.World
	mux    *tasks.Mux
	runner *tasks.Runner
	redis  *redis.Client
	board  *tenant.Tenant
	ctx    context.Context
}

func newBench(t *testing.T) *bench {
	t.Helper()
	w := testkit.NewWorld(t)
	opts, err := redis.ParseURL(testkit.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{World: w, mux: tasks.NewMux(), redis: redis.NewClient(opts), board: w.Board(t, "acme")}
	t.Cleanup(func() { _ = b.redis.Close() })
	b.runner = tasks.NewRunner(w.Platform, w.Boards, b.mux, b.redis, slog.New(slog.DiscardHandler))
	w.Notifier.OnTask(b.runner.Wake)
	b.ctx = w.Ctx(t, b.board)
	return b
}

// run works until the test ends.
func (b *bench) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = b.runner.Run(ctx, 4) })
	t.Cleanup(func() { cancel(); wg.Wait() })
}

func (b *bench) add(t *testing.T, n tasks.New) {
	t.Helper()
	if err := b.DB.Write(b.ctx, func(ctx context.Context, tx bun.IDB) error { return tasks.Add(ctx, tx, n) }); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) rows(t *testing.T) (n int) {
	t.Helper()
	err := b.DB.Read(b.ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT count(*) FROM tasks`).Scan(ctx, &n)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTaskRunsOnceAndQuickly(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var runs atomic.Int32
	var at atomic.Int64
	b.mux.Handle("t.once", func(ctx context.Context, task *tasks.Task) error {
		var p struct {
			N int `json:"n"`
		}
		if err := task.Decode(&p); err != nil || p.N != 7 || tenant.From(ctx).ID != b.board.ID {
			t.Errorf("payload %+v of %v: %v", p, tenant.From(ctx), err)
		}
		runs.Add(1)
		at.Store(time.Now().UnixNano())
		return nil
	})
	b.run(t)
	b.add(t, tasks.New{Kind: "t.once", Payload: map[string]int{"n": 7}})
	testkit.Eventually(t, 10*time.Second, func() bool { return b.rows(t) == 0 })
	if runs.Load() != 1 {
		t.Errorf("ran %d times", runs.Load())
	}
}

func TestKeysCoalesceWhatNobodyHasBegun(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for n := range 5 {
		b.add(t, tasks.New{Kind: "t.key", Key: "listing-1", Payload: map[string]int{"n": n}})
	}
	b.add(t, tasks.New{Kind: "t.key", Key: "listing-2"})
	if n := b.rows(t); n != 2 {
		t.Fatalf("%d rows, want 2", n)
	}
	got := make(chan int, 8)
	b.mux.Handle("t.key", func(_ context.Context, task *tasks.Task) error {
		var p struct {
			N int `json:"n"`
		}
		err := task.Decode(&p)
		got <- p.N
		return err
	})
	b.run(t)
	testkit.Eventually(t, 10*time.Second, func() bool { return b.rows(t) == 0 })
	close(got)
	sum := 0
	for n := range got {
		sum += n
	}
	if sum != 4 {
		t.Errorf("sum of payloads %d: the newest must win", sum)
	}
}

func TestFailureIsKeptAndTriedAgainAndGivenUp(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var runs atomic.Int32
	b.mux.Handle("t.fail", func(context.Context, *tasks.Task) error {
		if runs.Add(1) < 3 {
			return errors.New("the other side is away")
		}
		return nil
	})
	b.mux.Handle("t.panic", func(context.Context, *tasks.Task) error { panic("boom") })
	b.run(t)
	b.add(t, tasks.New{Kind: "t.fail"})
	b.add(t, tasks.New{Kind: "t.panic", MaxAttempts: 1})
	testkit.Eventually(t, 20*time.Second, func() bool { return runs.Load() == 3 && b.rows(t) == 1 })

	var failed []tasks.Task
	read := func() {
		if err := b.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
			failed, err = tasks.Failed(ctx, tx, 10)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	read()
	if len(failed) != 1 || failed[0].Kind != "t.panic" || !strings.Contains(failed[0].LastError, "panic") {
		t.Fatalf("failed: %+v", failed)
	}
	one := func(fn func(context.Context, bun.IDB, tenant.ID, uuid.UUID) error) error {
		return b.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error { return fn(ctx, tx, b.board.ID, failed[0].ID) })
	}
	if err := one(tasks.Retry); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, 10*time.Second, func() bool { read(); return len(failed) == 1 })
	if err := one(tasks.Discard); err != nil {
		t.Fatal(err)
	}
	if err := one(tasks.Discard); !fault.Is(err, fault.NotFound) {
		t.Errorf("discarding twice: %v", err)
	}
}

func TestRedisMayLoseEverything(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const n = 40
	var mu sync.Mutex
	seen := map[int]int{}
	b.mux.Handle("t.flush", func(ctx context.Context, task *tasks.Task) error {
		var p struct {
			N int `json:"n"`
		}
		if err := task.Decode(&p); err != nil {
			return err
		}
		// The effect's transaction begins with the row: no row, no effect.
		return b.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
			if err := task.Finish(ctx, tx); err != nil {
				return err
			}
			tenant.AfterCommit(ctx, func() {
				mu.Lock()
				seen[p.N]++
				mu.Unlock()
			})
			return nil
		})
	})
	for i := range n {
		b.add(t, tasks.New{Kind: "t.flush", Payload: map[string]int{"n": i}})
	}
	b.run(t)
	testkit.Eventually(t, 10*time.Second, func() bool { mu.Lock(); defer mu.Unlock(); return len(seen) > 3 })
	if err := b.redis.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	// What was on its way is handed over again when its lease of 15 s has run out.
	testkit.Eventually(t, 40*time.Second, func() bool { return b.rows(t) == 0 })
	mu.Lock()
	defer mu.Unlock()
	for i := range n {
		if seen[i] != 1 {
			t.Errorf("task %d had its effect %d times", i, seen[i])
		}
	}
}

func TestARivalCannotSeeOrFinishATask(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.add(t, tasks.New{Kind: "t.rival", Key: "same"})
	var id uuid.UUID
	if err := b.DB.Read(b.ctx, func(ctx context.Context, tx bun.IDB) error { return tx.NewRaw(`SELECT id FROM tasks`).Scan(ctx, &id) }); err != nil {
		t.Fatal(err)
	}
	testkit.EachWall(t, b.World, b.board, b.Board(t, "rival"), func(t *testing.T, r *testkit.Rival) {
		r.Try(t, "finish", func(ctx context.Context, tx bun.IDB) error {
			return (&tasks.Task{TenantID: b.board.ID, ID: id}).Finish(ctx, tx)
		}, fault.Gone)
		// Work of the same kind and key is the rival's own, or refused: it changes no row of the owner's.
		err := r.DB.Write(r.Ctx, func(ctx context.Context, tx bun.IDB) error {
			if err := tasks.Add(ctx, tx, tasks.New{Kind: "t.rival", Key: "same", Payload: map[string]string{"a": "b"}}); err != nil {
				return err
			}
			return fault.New(fault.NotFound, "added as the rival's own: undone")
		})
		r.Refused(t, "add", err)
	})
	if b.rows(t) != 1 {
		t.Errorf("%d rows left", b.rows(t))
	}
}

func TestScheduleComesBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var runs atomic.Int32
	b.mux.Handle("t.every", func(_ context.Context, task *tasks.Task) error {
		if !task.TenantID.IsNil() {
			return fmt.Errorf("a board's: %s", task.TenantID)
		}
		runs.Add(1)
		return nil
	})
	for range 3 { // replicas starting together make one row
		if err := tasks.Schedule(t.Context(), b.Platform, "t.every", time.Second, tasks.Bulk); err != nil {
			t.Fatal(err)
		}
	}
	b.run(t)
	testkit.Eventually(t, 15*time.Second, func() bool { return runs.Load() >= 3 })
}

func (b *bench) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	if err := b.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(query, args...).Exec(ctx)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// failed are the kinds that were given up, with their errors.
func (b *bench) failed(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	if err := b.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		list, err := tasks.Failed(ctx, tx, 10)
		for _, f := range list {
			out[f.Kind] = f.LastError
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// A task that takes its worker down, or never ends, comes back from no attempt:
// its attempts count all the same, or it would do so for ever.
func TestATaskThatNobodyComesBackFromIsGivenUp(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	begun, end := make(chan struct{}, 10), make(chan struct{})
	b.mux.Handle("t.endless", func(context.Context, *tasks.Task) error {
		begun <- struct{}{}
		<-end // deaf to its context
		return nil
	})
	var others atomic.Int32
	b.mux.Handle("t.other", func(context.Context, *tasks.Task) error { others.Add(1); return nil })
	b.run(t)
	t.Cleanup(func() { close(end) })
	b.add(t, tasks.New{Kind: "t.endless", MaxAttempts: 2})
	for range 2 {
		<-begun
		// As when its worker is gone: nobody renews the lease.
		b.exec(t, `UPDATE tasks SET lease_until = now() - interval '1 second' WHERE kind = 't.endless'`)
	}
	testkit.Eventually(t, 20*time.Second, func() bool { return b.failed(t)["t.endless"] != "" })
	if got := b.failed(t)["t.endless"]; !strings.Contains(got, "died or hung") {
		t.Errorf("its error is %q", got)
	}
	b.add(t, tasks.New{Kind: "t.other"})
	testkit.Eventually(t, 20*time.Second, func() bool { return others.Load() == 1 })
	if len(begun) > 0 {
		t.Error("it was begun a third time")
	}
}

// When the database's clock is set back, what was due under the old one is due
// still, and what was meant for later stays so.
func TestWorkThatTheClockLeftInTheFutureIsDone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var mu sync.Mutex
	ran := map[string]int{}
	for _, kind := range []string{"t.new", "t.tried", "t.leased", "t.every", "t.later"} {
		b.mux.Handle(kind, func(context.Context, *tasks.Task) error {
			mu.Lock()
			defer mu.Unlock()
			ran[kind]++
			return nil
		})
	}
	insert := func(kind, columns, values string) {
		b.exec(t, `INSERT INTO tasks (tenant_id, id, kind, `+columns+`) VALUES (?, gen_random_uuid(), ?, `+values+`)`, b.board.ID, kind)
	}
	insert("t.new", "created_at, run_at", "now() + interval '1 hour', now() + interval '1 hour'")
	insert("t.tried", "attempts, run_at", "1, now() + interval '1 hour'")
	insert("t.leased", "lease_until", "now() + interval '1 hour'")
	insert("t.every", "every, max_attempts, run_at", "interval '1 second', 1000000, now() + interval '1 hour'")
	insert("t.later", "run_at", "now() + interval '1 hour'")
	b.run(t)
	testkit.Eventually(t, 20*time.Second, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return ran["t.new"] == 1 && ran["t.tried"] == 1 && ran["t.leased"] == 1 && ran["t.every"] >= 1
	})
	mu.Lock()
	defer mu.Unlock()
	if ran["t.later"] > 0 {
		t.Error("what is for later was done now")
	}
}

// A transaction that began before the step comes to light after it, and a clock
// that goes forth and back between two looks is not seen at all.
func TestWorkFromAStepOfTheClockIsMended(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var c tasks.Clock
	look := func(later time.Duration) {
		t.Helper()
		if err := c.Look(b.ctx, b.Platform, later); err != nil {
			t.Fatal(err)
		}
	}
	waits := func() (n int) {
		t.Helper()
		if err := b.DB.Read(b.ctx, func(ctx context.Context, tx bun.IDB) error {
			return tx.NewRaw(`SELECT count(*) FROM tasks WHERE run_at > clock_timestamp() + interval '1 minute'`).Scan(ctx, &n)
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	insert := func() {
		b.exec(t, `INSERT INTO tasks (tenant_id, id, kind, created_at, run_at)
			VALUES (?, gen_random_uuid(), 't.new', now() + interval '1 hour', now() + interval '1 hour')`, b.board.ID)
	}
	look(0)
	insert()
	if look(2 * time.Second); waits() != 1 {
		t.Fatal("work was moved though the clock was not")
	}
	c.SetBack(time.Hour)
	if look(2 * time.Second); waits() != 0 {
		t.Error("work of before the step waits")
	}
	insert()
	if look(10 * time.Second); waits() != 0 {
		t.Error("work that was committed after the step waits")
	}
	look(2 * time.Minute)
	insert()
	if look(2 * time.Second); waits() != 1 {
		t.Error("the clock was long right, and work is moved all the same")
	}
	if look(15 * time.Minute); waits() != 0 {
		t.Error("work from a step that nobody saw waits for ever")
	}
}
