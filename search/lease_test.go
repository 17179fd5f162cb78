package search_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/search"
	"shingle/search/postgres"
	"shingle/tenant"
)

// slow is a remote engine whose rebuild waits until it is let go.
type slow struct {
	remote
	begun, goOn chan struct{}
}

func (s *slow) Rebuild(ctx context.Context, _ search.Documents) error {
	s.begun <- struct{}{}
	select {
	case <-s.goOn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestOneRebuildOfABoardAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	far := &slow{remote: remote{held: map[uuid.UUID]int64{}}, begun: make(chan struct{}), goOn: make(chan struct{})}
	// Two processes over one database.
	first := search.NewService(search.Options{DB: w.DB, Platform: w.Platform, Local: postgres.New(w.DB), Remote: far})
	second := search.NewService(search.Options{DB: w.DB, Platform: w.Platform, Local: postgres.New(w.DB), Remote: far})
	done := make(chan error, 1)
	go func() { done <- first.Rebuild(w.ctx) }()
	<-far.begun
	if err := second.Rebuild(w.ctx); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second rebuild: %v, want conflict", err)
	}
	// Another board is not in the way, and cannot take this one's lease.
	rival := w.Ctx(t, w.Board(t, "rival"))
	other := make(chan error, 1)
	go func() { other <- second.Rebuild(rival) }()
	<-far.begun
	far.goOn <- struct{}{}
	far.goOn <- struct{}{}
	for _, c := range []chan error{done, other} {
		if err := <-c; err != nil {
			t.Error(err)
		}
	}
	leases := func() (n int) {
		err := w.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
			return tx.NewRaw(`SELECT count(*) FROM search_rebuilds`).Scan(ctx, &n)
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := leases(); n != 0 {
		t.Errorf("%d leases are left", n)
	}
	// A holder that died: its lease holds until it runs out, and no longer.
	for _, c := range []struct {
		until string
		want  fault.Kind
	}{{"1 minute", fault.Conflict}, {"-1 second", 0}} {
		w.exec(t, `INSERT INTO search_rebuilds (tenant_id, holder, lease_until) VALUES (?, ?, now() + ?::interval)
			ON CONFLICT (tenant_id) DO UPDATE SET lease_until = excluded.lease_until`, w.board.ID, uuid.New(), c.until)
		go func() { done <- second.Rebuild(w.ctx) }()
		if c.want == 0 {
			<-far.begun
			far.goOn <- struct{}{}
		}
		if err := <-done; c.want == 0 && err != nil || c.want != 0 && !fault.Is(err, c.want) {
			t.Errorf("a lease that ends in %s: %v", c.until, err)
		}
	}
	if err := second.Rebuild(tenant.With(t.Context(), nil)); err == nil {
		t.Error("rebuilt without a board")
	}
}
