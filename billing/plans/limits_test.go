package plans

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/pg"
	"shingle/tenant"
)

// tiny puts two boards on a small plan, each of which has its own month.
func (w *world) tiny(t *testing.T) (p *Plan, neighbour *tenant.Tenant) {
	t.Helper()
	p = w.plan(t, "Tiny", 900, 9000, Limits{APICalls: 3, Mails: 2, Storage: 100})
	neighbour = w.newBoard(t, "rival")
	for _, b := range []*tenant.Tenant{w.board, neighbour} {
		if err := w.s.Assign(t.Context(), b.ID, p.ID); err != nil {
			t.Fatal(err)
		}
	}
	return p, neighbour
}

// at sets the world's clock.
func (w *world) at(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = now
}

func (w *world) wait(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// asIs is a board as requests see it now.
func (w *world) asIs(t *testing.T, id tenant.ID) *tenant.Tenant {
	t.Helper()
	b, err := w.Boards.ByID(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCallsStopAtTheLimitAndGoOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.at(time.Date(2031, 5, 20, 12, 0, 0, 0, time.UTC))
	p, neighbour := w.tiny(t)
	calls := NewCalls(w.s)
	call := func(b tenant.ID) error { return calls.Allow(t.Context(), w.asIs(t, b)) }
	count := func(n int) {
		t.Helper()
		w.staff(t, func(ctx context.Context, tx bun.IDB) error {
			_, err := tx.NewRaw(`INSERT INTO usage_days AS u (tenant_id, day, what, amount) VALUES (?, ?::date, 'api_calls', ?)
				ON CONFLICT (tenant_id, what, day) DO UPDATE SET amount = u.amount + excluded.amount`, w.board.ID, w.clock().Format(time.DateOnly), n).Exec(ctx)
			return err
		})
	}
	for range 3 {
		if err := call(w.board.ID); err != nil {
			t.Fatalf("within the limit: %v", err)
		}
	}
	err := call(w.board.ID)
	wantKind(t, err, fault.TooMany)
	over := new(OverCalls)
	if !errors.As(err, &over) || over.Limit != 3 || !over.Until.Equal(time.Date(2031, 6, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("the stop says %+v", over)
	}
	if err := call(neighbour.ID); err != nil {
		t.Errorf("the neighbour is stopped: %v", err)
	}
	// The count of the database holds for every process, and for the next look.
	count(3)
	w.wait(CallsFresh)
	wantKind(t, call(w.board.ID), fault.TooMany)
	wantKind(t, NewCalls(w.s).Allow(t.Context(), w.asIs(t, w.board.ID)), fault.TooMany)
	// Staff raise the limit: it holds within the ten seconds.
	p.Limits[APICalls] = 4
	w.staff(t, func(ctx context.Context, tx bun.IDB) error { return w.s.Save(ctx, tx, p) })
	w.wait(CallsFresh)
	if err := call(w.board.ID); err != nil {
		t.Errorf("after the limit was raised: %v", err)
	}
	wantKind(t, call(w.board.ID), fault.TooMany)
	// A larger plan holds for the next call.
	if err := w.s.Assign(t.Context(), w.board.ID, w.large.ID); err != nil {
		t.Fatal(err)
	}
	if err := call(w.board.ID); err != nil {
		t.Errorf("on a larger plan: %v", err)
	}
	if err := w.s.Assign(t.Context(), w.board.ID, p.ID); err != nil {
		t.Fatal(err)
	}
	count(100)
	w.wait(CallsFresh)
	wantKind(t, call(w.board.ID), fault.TooMany)
	// The month turns within the ten seconds.
	w.at(time.Date(2031, 5, 31, 23, 59, 58, 0, time.UTC))
	wantKind(t, call(w.board.ID), fault.TooMany)
	w.wait(2 * time.Second)
	if err := call(w.board.ID); err != nil {
		t.Errorf("in the new month: %v", err)
	}
	if err := calls.Allow(t.Context(), &tenant.Tenant{ID: w.board.ID, Demo: true}); err != nil {
		t.Errorf("a demo board: %v", err)
	}
}

// Nobody is stopped because the database is away, and who was stopped stays so.
func TestCallsWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.tiny(t)
	away, err := pg.Open("postgres://nobody@127.0.0.1:1/none", 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = away.Close() })
	calls := NewCalls(w.s)
	b := w.asIs(t, w.board.ID)
	for range 3 {
		if err := calls.Allow(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	calls.s = New(Options{DB: w.DB, Platform: tenant.NewPlatform(away, nil), Now: w.clock})
	w.wait(CallsFresh)
	wantKind(t, calls.Allow(t.Context(), b), fault.TooMany)
	fresh := NewCalls(calls.s)
	for range 5 {
		if err := fresh.Allow(t.Context(), b); err != nil {
			t.Errorf("a board that nothing is known of: %v", err)
		}
	}
}

// BenchmarkCalls is what the limit adds to a call of the API.
func BenchmarkCalls(b *testing.B) {
	gate := NewCalls(New(Options{}))
	t := &tenant.Tenant{ID: tenant.ID(uuid.New())}
	k := &known{at: time.Now().Add(time.Hour), ends: time.Now().Add(time.Hour), limit: math.MaxInt64}
	k.left.Store(math.MaxInt64)
	c := new(calls)
	c.known.Store(k)
	gate.boards.Store(t.ID, c)
	for b.Loop() {
		if gate.Allow(b.Context(), t) != nil {
			b.Fatal("stopped")
		}
	}
}

func TestBulkMailsAreHeldAndGoOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.at(time.Date(2031, 5, 20, 12, 0, 0, 0, time.UTC))
	p, neighbour := w.tiny(t)
	room := func(b *tenant.Tenant) int64 {
		t.Helper()
		n, err := w.s.BulkMails(tenant.With(t.Context(), b))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	held := func() *Held {
		t.Helper()
		var h *Held
		if err := w.DB.Read(w.ctx, func(ctx context.Context, tx bun.IDB) (err error) {
			h, err = w.s.HeldMails(ctx, tx, w.board.ID)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return h
	}
	post := func() {
		t.Helper()
		w.staff(t, func(ctx context.Context, tx bun.IDB) error {
			_, err := tx.NewRaw(`INSERT INTO mails (tenant_id, id, kind, key, recipient, message_id, created_at) VALUES (?, gen_random_uuid(), 'x', gen_random_uuid()::text, 'x@x.example', 'x', ?)`, w.board.ID, w.clock()).Exec(ctx)
			return err
		})
	}
	lift := func() {
		t.Helper()
		if err := w.s.Lift(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	post()
	if n := room(w.board); n != 1 || held() != nil {
		t.Errorf("room for %d, held %v; want one and nothing", n, held())
	}
	post()
	w.staff(t, func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`INSERT INTO alerts (tenant_id, id, email, locale, query, state, confirm_hash, stop_hash, created_at, seen_until, next_at)
			VALUES (?, gen_random_uuid(), 'a@x.example', 'en', 'q=x', 'active', 'a', 'b', ?, ?, ?)`, w.board.ID, w.clock(), w.clock(), w.clock().Add(-time.Hour)).Exec(ctx)
		return err
	})
	since := w.clock()
	for range 2 {
		if n := room(w.board); n != 0 {
			t.Errorf("over the limit: room for %d", n)
		}
		w.wait(time.Minute)
	}
	if h := held(); h == nil || !h.Since.Equal(since) || h.Alerts != 1 || !h.Until.Equal(time.Date(2031, 6, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("held: %+v", h)
	}
	if n := room(neighbour); n != 2 {
		t.Errorf("the neighbour has room for %d", n)
	}
	if lift(); held() == nil {
		t.Error("mails go on without room")
	}
	// A larger plan lets them go at once; so does a limit that staff raise, and the next month.
	if err := w.s.Assign(t.Context(), w.board.ID, w.large.ID); err != nil {
		t.Fatal(err)
	}
	if n := room(w.board); n != math.MaxInt64 || held() != nil {
		t.Errorf("on a larger plan: room for %d, held %v", n, held())
	}
	if err := w.s.Assign(t.Context(), w.board.ID, p.ID); err != nil {
		t.Fatal(err)
	}
	room(w.board)
	p.Limits[Mails] = 5
	w.staff(t, func(ctx context.Context, tx bun.IDB) error { return w.s.Save(ctx, tx, p) })
	if lift(); held() != nil {
		t.Error("a raised limit does not let them go")
	}
	for range 3 {
		post()
	}
	if room(w.board); held() == nil {
		t.Error("nothing is held")
	}
	w.at(time.Date(2031, 6, 1, 0, 0, 1, 0, time.UTC))
	if lift(); held() != nil || room(w.board) != 5 {
		t.Error("the new month does not let them go")
	}
	if n := room(&tenant.Tenant{ID: w.board.ID, Demo: true}); n != math.MaxInt64 {
		t.Errorf("a demo board has room for %d", n)
	}
}

func TestStorageIsTakenOnceAndMeasuredBeforeItIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, neighbour := w.tiny(t)
	files, measured := int64(0), 0
	w.s.storage = func(_ context.Context, board tenant.ID) (int64, error) {
		if board == w.board.ID {
			measured++
			return files, nil
		}
		return 0, nil
	}
	stow := func(n int64) error { return w.s.Stow(w.ctx, n) }
	if err := stow(60); err != nil {
		t.Fatal(err)
	}
	if u := w.use(t)[Storage]; u.Used != 60 || measured != 0 {
		t.Errorf("an upload of 60: %+v, measured %d times", u, measured)
	}
	// What was uploaded is gone again: it is counted before anybody is refused.
	files = 10
	if err := stow(60); err != nil || measured != 1 {
		t.Errorf("with room after all: %v, measured %d times", err, measured)
	}
	if u := w.use(t)[Storage]; u.Used != 70 {
		t.Errorf("10 and 60: %+v", u)
	}
	files = 70
	for range 3 {
		err := stow(60)
		wantKind(t, err, fault.Conflict)
		if fault.TextOf(err) != MsgStorage || measured != 1 {
			t.Errorf("refused with %q, measured %d times within a minute", fault.TextOf(err), measured)
		}
	}
	if err := w.s.Stow(tenant.With(t.Context(), neighbour), 60); err != nil {
		t.Errorf("the neighbour is refused: %v", err)
	}
	w.wait(remeasure)
	if wantKind(t, stow(60), fault.Conflict); measured != 2 {
		t.Errorf("measured %d times, want twice", measured)
	}
	if err := stow(30); err != nil {
		t.Errorf("what fits exactly: %v", err)
	}
	// Kept imports are files too.
	w.staff(t, func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`INSERT INTO imports (tenant_id, id, name, content) VALUES (?, gen_random_uuid(), 'x', 'twelve bytes')`, w.board.ID).Exec(ctx)
		return err
	})
	w.wait(day)
	if err := w.s.Measure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if u := w.use(t)[Storage]; u.Used != 82 {
		t.Errorf("measured %d, want 70 and an import of 12", u.Used)
	}
	// A larger plan takes the next upload.
	wantKind(t, stow(60), fault.Conflict)
	if err := w.s.Assign(t.Context(), w.board.ID, w.large.ID); err != nil {
		t.Fatal(err)
	}
	if err := stow(1 << 40); err != nil {
		t.Errorf("without a limit: %v", err)
	}
}

func TestTwoUploadsDoNotTakeTheSameRoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.tiny(t)
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { errs[i] = w.s.Stow(w.ctx, 60) })
	}
	wg.Wait()
	taken := 0
	for _, err := range errs {
		if err == nil {
			taken++
		} else {
			wantKind(t, err, fault.Conflict)
		}
	}
	if taken != 1 {
		t.Errorf("%d of 8 uploads of 60 bytes fit into 100", taken)
	}
}

// The alarm of the hundred rings for what was uploaded since the measurement.
func TestTheAlarmKnowsUploads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.tiny(t)
	w.s.storage = func(context.Context, tenant.ID) (int64, error) { return 1, nil }
	if err := w.s.Measure(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.mails(t)
	if err := w.s.Stow(w.ctx, 99); err != nil {
		t.Fatal(err)
	}
	if err := w.s.Measure(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.wantMails(t, "after an upload", "usage storage")
}
