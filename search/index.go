package search

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/listings"
	"shingle/tasks"
	"shingle/tenant"
)

// Task kinds, frozen. Listings add listings.TaskIndex with each change that
// search must know; it is handled here.
const (
	// TaskRebuild makes the index of one board anew.
	TaskRebuild = "search.rebuild"
	// TaskCheck compares index and table and repairs: as a platform's task it
	// adds one for each board.
	TaskCheck = "search.check"
)

const (
	// settles bounds how often one task follows a listing that keeps changing.
	settles    = 5
	checkEvery = 24 * time.Hour
)

// Register adds the handlers of search's tasks.
func (s *Service) Register(m *tasks.Mux) {
	m.Handle(listings.TaskIndex, s.handleIndex)
	m.Handle(TaskRebuild, func(ctx context.Context, _ *tasks.Task) error { return s.Rebuild(ctx) })
	m.Handle(TaskCheck, s.handleCheck)
}

// Schedule keeps the nightly check coming back.
func (s *Service) Schedule(ctx context.Context) error {
	return tasks.Schedule(ctx, s.platform, TaskCheck, checkEvery, tasks.Bulk)
}

func (s *Service) handleIndex(ctx context.Context, t *tasks.Task) error {
	var p listings.IndexPayload
	if err := t.Decode(&p); err != nil {
		return err
	}
	return s.index(ctx, Ref{ID: p.ListingID, Version: p.Version}, t.Finish)
}

// Index brings one listing's state into the index, at its newest version. It
// opens transactions.
func (s *Service) Index(ctx context.Context, r Ref) error {
	return s.index(ctx, r, func(context.Context, bun.IDB) error { return nil })
}

// index writes Postgres in one transaction with finish. A remote engine cannot
// refuse an older write, so the listing is read again after each write to it:
// whoever writes last sees a newer version, if there is one, and writes again.
func (s *Service) index(ctx context.Context, r Ref, finish func(context.Context, bun.IDB) error) error {
	var wrote state
	err := s.db.Write(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		if s.remote == nil {
			if err := finish(ctx, tx); err != nil {
				return err
			}
		}
		wrote, err = s.localWrite(ctx, tx, r)
		return err
	})
	s.metrics.wrote(s.local.Name(), err)
	if err != nil || s.remote == nil {
		return err
	}
	for range settles {
		if wrote.live {
			err = s.remote.Upsert(ctx, wrote.doc)
		} else {
			err = s.remote.Delete(ctx, wrote.ref)
		}
		s.metrics.wrote(s.remote.Name(), err)
		if err != nil {
			return err
		}
		var now state
		err = s.db.Write(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
			if now, err = read(ctx, tx, r); err != nil {
				return err
			}
			if now.ref != wrote.ref || now.live != wrote.live {
				return nil
			}
			// Pages made between the two writes did not show it.
			tenant.Changed(ctx)
			return finish(ctx, tx)
		})
		if err != nil || now.ref == wrote.ref && now.live == wrote.live {
			return err
		}
		wrote = now
	}
	return fault.New(fault.Conflict, "the listing keeps changing")
}

// state is a listing as the index should have it.
type state struct {
	ref  Ref
	live bool
	doc  Document
}

func read(ctx context.Context, tx bun.IDB, r Ref) (state, error) {
	rows, err := load(ctx, tx, r.ID)
	if err != nil || len(rows) == 0 {
		return state{ref: r}, err // deleted: the version that the task knew
	}
	l := rows[0]
	return state{ref: Ref{ID: l.ID, Version: l.Version}, live: l.Live, doc: l.document()}, nil
}

func (s *Service) localWrite(ctx context.Context, tx bun.IDB, r Ref) (state, error) {
	st, err := read(ctx, tx, r)
	if err != nil {
		return st, err
	}
	if st.live {
		return st, s.local.UpsertIn(ctx, tx, st.doc)
	}
	return st, s.local.DeleteIn(ctx, tx, st.ref)
}

// Rebuild makes the index of the context's board anew in both engines, with no
// moment in which a search finds less. It opens transactions. Some thousand
// listings a second. Kind: fault.Conflict while another rebuild of the board in
// the remote engine is under way.
func (s *Service) Rebuild(ctx context.Context) error {
	if err := s.IndexAll(ctx); err != nil || s.remote == nil {
		return err
	}
	return s.alone(ctx, s.rebuildRemote)
}

func (s *Service) rebuildRemote(ctx context.Context) error {
	if err := s.remote.Ensure(ctx); err != nil {
		return err
	}
	if err := s.remote.Rebuild(ctx, Live(ctx, s.db)); err != nil {
		return err
	}
	err := s.db.Write(ctx, func(ctx context.Context, _ bun.IDB) error {
		tenant.Changed(ctx)
		return nil
	})
	if err != nil {
		return err
	}
	// The remote engine keeps no mark of what was deleted: a batch read before a
	// delete may have brought the listing back.
	_, err = s.Check(ctx)
	return err
}

// Prepare analyses listings that are new, for the Postgres index: the bulk path
// for seeds, whose transaction inserts them and then calls what it returns.
func (s *Service) Prepare(ctx context.Context, docs ...Document) (Write, error) {
	write, err := s.local.Prepare(ctx, docs...)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, tx bun.IDB) error {
		err := write(ctx, tx)
		s.metrics.wrote(s.local.Name(), err)
		return err
	}, nil
}

// IndexAll makes the Postgres index of the context's board anew: for boards
// whose listings came without their tasks.
func (s *Service) IndexAll(ctx context.Context) error {
	if err := s.local.Ensure(ctx); err != nil {
		return err
	}
	return s.local.Rebuild(ctx, Live(ctx, s.db))
}

// RebuildAll rebuilds every board, or the one of that slug, and tells of each.
// Kind: fault.NotFound for an unknown slug.
func (s *Service) RebuildAll(ctx context.Context, slug string, done func(*tenant.Tenant, error)) error {
	boards, err := s.boards(ctx, slug)
	if err != nil {
		return err
	}
	if slug != "" && len(boards) == 0 {
		return fault.New(fault.NotFound, "no board has the slug %q", slug)
	}
	var first error
	for i := range boards {
		err := s.Rebuild(tenant.With(ctx, &boards[i]))
		if err != nil && first == nil {
			first = err
		}
		done(&boards[i], err)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return first
}

func (s *Service) boards(ctx context.Context, slug string) ([]tenant.Tenant, error) {
	var boards []tenant.Tenant
	err := s.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT b.*, g.generation FROM boards AS b JOIN generations AS g ON g.tenant_id = b.id
			WHERE b.state <> 'closed' AND (? = '' OR b.slug = ?) ORDER BY b.slug`, slug, slug).Scan(ctx, &boards)
	})
	return boards, err
}

func (s *Service) handleCheck(ctx context.Context, t *tasks.Task) error {
	if tenant.From(ctx) != nil {
		_, err := s.Check(ctx)
		return err
	}
	boards, err := s.boards(ctx, "")
	if err != nil {
		return err
	}
	return s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := t.Finish(ctx, tx); err != nil {
			return err
		}
		for i := range boards {
			err := tasks.Add(ctx, tx, tasks.New{Kind: TaskCheck, Queue: tasks.Bulk, Key: "nightly", Tenant: boards[i].ID})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Checked is what a check found and repaired, by engine.
type Checked struct {
	Engine string
	// Missing were live and not found, Stale older than the table, Extra no
	// longer live.
	Missing, Stale, Extra int
}

// Check compares the index of the context's board with its listings and brings
// in what differs. It opens transactions.
func (s *Service) Check(ctx context.Context) ([]Checked, error) {
	engines := []Engine{s.local}
	if s.remote != nil {
		if err := s.remote.Ensure(ctx); err != nil {
			return nil, err
		}
		engines = append(engines, s.remote)
	}
	var out []Checked
	for _, e := range engines {
		// The index first: what is published meanwhile is then merely missing,
		// and written twice.
		have, err := e.Versions(ctx)
		if err != nil {
			return nil, err
		}
		want, err := s.versions(ctx)
		if err != nil {
			return nil, err
		}
		c := Checked{Engine: e.Name()}
		var differ []Ref
		for id, v := range want {
			got, ok := have[id]
			switch {
			case !ok:
				c.Missing++
			case got < v:
				c.Stale++
			default:
				continue
			}
			differ = append(differ, Ref{ID: id, Version: v})
		}
		for id, v := range have {
			if _, ok := want[id]; !ok {
				c.Extra++
				differ = append(differ, Ref{ID: id, Version: v})
			}
		}
		for _, r := range differ {
			if err := s.Index(ctx, r); err != nil {
				return nil, err
			}
		}
		s.metrics.repairs.Add(float64(len(differ)))
		if len(differ) > 0 {
			s.log.Warn("search index repaired", "engine", c.Engine, "board", tenant.From(ctx).ID, "missing", c.Missing, "stale", c.Stale, "extra", c.Extra)
		}
		out = append(out, c)
	}
	return out, nil
}

// versions are the live listings of the context's board.
func (s *Service) versions(ctx context.Context) (map[uuid.UUID]int64, error) {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, err
	}
	var rows []Ref
	err = s.db.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT id, version FROM listings WHERE tenant_id = ? AND state = 'live' AND (ends_at IS NULL OR ends_at > now())`, board).Scan(ctx, &rows)
	})
	out := make(map[uuid.UUID]int64, len(rows))
	for _, r := range rows {
		out[r.ID] = r.Version
	}
	return out, err
}
