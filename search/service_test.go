package search_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/testkit"
	"shingle/search"
	"shingle/search/postgres"
	"shingle/tenant"
)

// remote is a first engine that can be away; it stands on a Postgres engine of
// its own board-wise, so that answers are real.
type remote struct {
	search.Engine
	away   atomic.Bool
	calls  atomic.Int64
	before func(docs []search.Document)
	held   map[uuid.UUID]int64
}

var errAway = fault.New(fault.Unavailable, "away")

func (r *remote) Name() string { return "remote" }

func (r *remote) Search(context.Context, search.Query) (*search.Result, error) {
	r.calls.Add(1)
	if r.away.Load() {
		return nil, errAway
	}
	return &search.Result{Engine: "remote"}, nil
}

func (r *remote) Upsert(_ context.Context, docs ...search.Document) error {
	if r.away.Load() {
		return errAway
	}
	if f := r.before; f != nil {
		r.before = nil
		f(docs)
	}
	for _, d := range docs {
		r.held[d.ID] = d.Version // whatever was there: no guard
	}
	return nil
}

func (r *remote) Delete(_ context.Context, refs ...search.Ref) error {
	for _, ref := range refs {
		delete(r.held, ref.ID)
	}
	return nil
}

func (r *remote) Ensure(context.Context) error { return nil }

func (r *remote) Versions(context.Context) (map[uuid.UUID]int64, error) { return r.held, nil }

type world struct {
	*testkit.World
	board *tenant.Tenant
	ctx   context.Context
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{World: testkit.NewWorld(t)}
	w.board = w.Board(t, "jobs")
	w.ctx = w.Ctx(t, w.board)
	w.exec(t, `INSERT INTO companies (tenant_id, id, slug, name) VALUES (?, ?, 'acme', 'Acme & Sons')`, w.board.ID, company)
	return w
}

var company = uuid.MustParse("00000000-0000-0000-0000-0000000000c1")

func (w *world) exec(t *testing.T, q string, args ...any) {
	t.Helper()
	err := w.DB.Write(w.ctx, func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(q, args...).Exec(ctx)
		tenant.Changed(ctx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	now, err := w.Boards.ByID(t.Context(), w.board.ID)
	if err != nil {
		t.Fatal(err)
	}
	w.ctx = tenant.With(t.Context(), now)
}

func (w *world) listing(t *testing.T, n int, title string) uuid.UUID {
	t.Helper()
	id := uuid.NewSHA1(uuid.Nil, fmt.Append(nil, n))
	w.exec(t, `INSERT INTO listings (tenant_id, id, public_id, slug, company_id, state, title, description, published_at)
		VALUES (?, ?, ?, 'x', ?, 'live', ?, '<p>Fine<b>work</b></p>', now())`, w.board.ID, id, fmt.Sprintf("abc%d", n+1), company, title)
	return id
}

func TestIndexFollowsTheListing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := search.NewService(search.Options{DB: w.DB, Platform: w.Platform, Local: postgres.New(w.DB)})
	id := w.listing(t, 1, "Baker")
	if err := s.Index(w.ctx, search.Ref{ID: id, Version: 1}); err != nil {
		t.Fatal(err)
	}
	r, err := s.Search(w.fresh(t), search.Query{Text: "baker"})
	if err != nil || r.Total != 1 || r.Hits[0].ListingID != id || r.Fallback {
		t.Fatalf("published: %+v, %v", r, err)
	}
	if got := r.Facets[search.FacetCompany]; len(got) != 1 || got[0].Label != "Acme & Sons" {
		t.Errorf("the company facet is %+v", got)
	}
	w.exec(t, `UPDATE listings SET state = 'paused', version = 2 WHERE tenant_id = ? AND id = ?`, w.board.ID, id)
	if err := s.Index(w.ctx, search.Ref{ID: id, Version: 2}); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Search(w.fresh(t), search.Query{}); err != nil || r.Total != 0 {
		t.Errorf("paused: %+v, %v", r, err)
	}
	// A rival's task for the same listing changes nothing here, with each wall alone.
	testkit.EachWall(t, w.World, w.board, w.Board(t, "rival"), func(t *testing.T, r *testkit.Rival) {
		theirs := search.NewService(search.Options{DB: r.DB, Platform: r.Platform, Local: postgres.New(r.DB)})
		if err := theirs.Index(r.Ctx, search.Ref{ID: id, Version: 99}); err != nil {
			r.Refused(t, "index", err)
		}
		if found, err := theirs.Search(r.Ctx, search.Query{}); err != nil || found.Total != 0 {
			t.Errorf("the rival finds %+v, %v", found, err)
		}
		if checked, err := theirs.Check(r.Ctx); err != nil {
			r.Refused(t, "check", err)
		} else if checked[0].Missing != 0 {
			t.Errorf("the rival's check: %+v", checked)
		}
	})
	w.exec(t, `UPDATE listings SET state = 'live', version = 3 WHERE tenant_id = ? AND id = ?`, w.board.ID, id)
	checked, err := s.Check(w.ctx)
	if err != nil || checked[0].Missing != 1 {
		t.Errorf("check: %+v, %v; want one missing", checked, err)
	}
	if r, err := s.Search(w.fresh(t), search.Query{Text: "baker"}); err != nil || r.Total != 1 {
		t.Errorf("after the check: %+v, %v", r, err)
	}
	if err := s.RebuildAll(t.Context(), "nobody", func(*tenant.Tenant, error) {}); !fault.Is(err, fault.NotFound) {
		t.Errorf("an unknown slug: %v", err)
	}
	n := 0
	if err := s.RebuildAll(t.Context(), "", func(*tenant.Tenant, error) { n++ }); err != nil || n != 2 {
		t.Errorf("rebuilt %d boards, %v", n, err)
	}
}

// fresh is the board as the next request has it.
func (w *world) fresh(t *testing.T) context.Context {
	t.Helper()
	b, err := w.Boards.ByID(t.Context(), w.board.ID)
	if err != nil {
		t.Fatal(err)
	}
	return tenant.With(t.Context(), b)
}

func TestAwayFallsBackToPostgres(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	far := &remote{held: map[uuid.UUID]int64{}}
	s := search.NewService(search.Options{DB: w.DB, Platform: w.Platform, Local: postgres.New(w.DB), Remote: far})
	id := w.listing(t, 1, "Baker")
	if err := s.Index(w.ctx, search.Ref{ID: id, Version: 1}); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Search(w.fresh(t), search.Query{}); err != nil || r.Engine != "remote" || r.Fallback {
		t.Errorf("while it is there: %+v, %v", r, err)
	}
	far.away.Store(true)
	for range 10 {
		r, err := s.Search(w.fresh(t), search.Query{Text: "baker"})
		if err != nil || r.Engine != "postgres" || !r.Fallback || r.Total != 1 {
			t.Fatalf("while it is away: %+v, %v", r, err)
		}
	}
	if n := far.calls.Load(); n > 5 {
		t.Errorf("the breaker let %d searches through to an engine that is away", n)
	}
	// The write stays a task, and Postgres has it all the same.
	id2 := w.listing(t, 2, "Cook")
	if err := s.Index(w.ctx, search.Ref{ID: id2, Version: 1}); !errors.Is(err, errAway) {
		t.Errorf("indexing while it is away: %v", err)
	}
	if r, err := s.Search(w.fresh(t), search.Query{Text: "cook"}); err != nil || r.Total != 1 {
		t.Errorf("published while it was away: %+v, %v", r, err)
	}
	far.away.Store(false)
	if checked, err := s.Check(w.ctx); err != nil || checked[1].Missing != 1 || far.held[id2] != 1 {
		t.Errorf("the check brings %+v, %v, %v", checked, err, far.held)
	}
}

// A slow writer of an old version must not have the last word at an engine
// that cannot refuse it.
func TestTheNewestVersionHasTheLastWord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	far := &remote{held: map[uuid.UUID]int64{}}
	s := search.NewService(search.Options{DB: w.DB, Platform: w.Platform, Local: postgres.New(w.DB), Remote: far})
	id := w.listing(t, 1, "Baker")
	far.before = func([]search.Document) {
		// Between reading and writing, the listing leaves and its task is done.
		w.exec(t, `UPDATE listings SET state = 'filled', version = 2 WHERE tenant_id = ? AND id = ?`, w.board.ID, id)
		if err := s.Index(w.ctx, search.Ref{ID: id, Version: 2}); err != nil {
			t.Error(err)
		}
	}
	if err := s.Index(w.ctx, search.Ref{ID: id, Version: 1}); err != nil {
		t.Fatal(err)
	}
	if v, ok := far.held[id]; ok {
		t.Errorf("a filled listing is back at version %d", v)
	}
	if r, err := postgres.New(w.DB).Search(w.fresh(t), search.Query{}); err != nil || r.Total != 0 {
		t.Errorf("Postgres has %+v, %v", r, err)
	}
}
