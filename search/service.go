package search

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/sony/gobreaker/v2"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tenant"
)

// Local is the engine in the same database as the listings: always kept, and
// the one that answers while the other is away.
type Local interface {
	Engine
	// SearchIn, UpsertIn and DeleteIn work in the caller's transaction.
	SearchIn(ctx context.Context, tx bun.IDB, q Query) (*Result, error)
	UpsertIn(ctx context.Context, tx bun.IDB, docs ...Document) error
	// Prepare analyses listings that are new to the index.
	Prepare(ctx context.Context, docs ...Document) (Write, error)
	DeleteIn(ctx context.Context, tx bun.IDB, refs ...Ref) error
}

// Write writes what was prepared, in a transaction on the same board.
type Write func(ctx context.Context, tx bun.IDB) error

// Options are what a service stands on.
type Options struct {
	DB       *tenant.DB
	Platform *tenant.Platform
	Local    Local
	// Remote answers first when it is there; nil without a Typesense.
	Remote  Engine
	Log     *slog.Logger
	Metrics *Metrics // made when nil
}

const (
	// remotePatience bounds one search of the remote engine: a seeker waits this
	// long at most before Postgres is asked.
	remotePatience = 1500 * time.Millisecond
	// tripAfter failures in a row open the breaker; it lets one search try
	// again after openFor.
	tripAfter = 3
	openFor   = 5 * time.Second
)

// Service is search as the rest of the product uses it.
type Service struct {
	db       *tenant.DB
	platform *tenant.Platform
	local    Local
	remote   Engine
	log      *slog.Logger
	metrics  *Metrics
	breaker  *gobreaker.CircuitBreaker[any]
	labels   *otter.Cache[string, map[string]string]
}

// NewService puts the engines together.
func NewService(o Options) *Service {
	s := &Service{db: o.DB, platform: o.Platform, local: o.Local, remote: o.Remote, log: o.Log, metrics: o.Metrics,
		labels: otter.Must(&otter.Options[string, map[string]string]{MaximumSize: 4000,
			ExpiryCalculator: otter.ExpiryWriting[string, map[string]string](10 * time.Minute)})}
	if s.metrics == nil {
		s.metrics = NewMetrics()
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.breaker = gobreaker.NewCircuitBreaker[any](gobreaker.Settings{
		Name:        "search",
		MaxRequests: 1,
		Timeout:     openFor,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= tripAfter },
		// Only an engine that does not answer counts: a missing index is one
		// board's matter, and a seeker who left is nobody's.
		IsSuccessful: func(err error) bool { return err == nil || !isAway(err) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			open := 0.0
			if to == gobreaker.StateOpen {
				open = 1
			}
			s.metrics.open.Set(open)
			s.log.Warn("search breaker", "from", from.String(), "to", to.String())
		},
	})
	return s
}

// Metrics is the service's collector, for registration.
func (s *Service) Metrics() *Metrics { return s.metrics }

func isAway(err error) bool {
	return !errors.Is(err, context.Canceled) && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Invalid)
}

// Search answers a page, from Postgres when the first engine is away. It opens
// transactions: never call it inside one.
func (s *Service) Search(ctx context.Context, q Query) (*Result, error) {
	r, err := s.ask(ctx, q)
	if r == nil && err == nil {
		r, err = s.local.Search(ctx, q)
		if r != nil {
			r.Fallback = s.remote != nil
		}
	}
	if err != nil {
		return nil, err
	}
	s.metrics.searched(r.Engine, r.Took)
	return r, s.label(ctx, r, func(fn tenant.Fn) error { return s.db.Read(ctx, fn) })
}

// Page is Search and what a page reads beside it, in one transaction: where
// Postgres answers, a page takes a round trip for each thing that it reads and
// no more. Nothing in fn may change the board. It opens the transaction.
func (s *Service) Page(ctx context.Context, q Query, fn func(ctx context.Context, tx bun.IDB, r *Result) error) error {
	far, err := s.ask(ctx, q)
	if err != nil {
		return err
	}
	return s.db.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		r := far
		if r == nil {
			var err error
			if r, err = s.local.SearchIn(ctx, tx, q); err != nil {
				return err
			}
			r.Fallback = s.remote != nil
		}
		s.metrics.searched(r.Engine, r.Took)
		if err := s.label(ctx, r, func(fn tenant.Fn) error { return fn(ctx, tx) }); err != nil {
			return err
		}
		return fn(ctx, tx, r)
	})
}

// ask asks the first engine. Nothing without an error means: ask Postgres.
func (s *Service) ask(ctx context.Context, q Query) (r *Result, err error) {
	answered, err := s.first(ctx, "search", func(ctx context.Context, e Engine) (err error) {
		r, err = e.Search(ctx, q.Bounded())
		return err
	})
	if !answered {
		return nil, err
	}
	return r, err
}

// Suggest completes what is typed, from Postgres when the first engine is away.
func (s *Service) Suggest(ctx context.Context, typed string, limit int) ([]Suggestion, error) {
	var out []Suggestion
	answered, err := s.first(ctx, "suggest", func(ctx context.Context, e Engine) (err error) {
		out, err = e.Suggest(ctx, typed, limit)
		return err
	})
	if !answered && err == nil {
		return s.local.Suggest(ctx, typed, limit)
	}
	return out, err
}

// first asks the remote engine through the breaker. Not answered without an
// error means: ask Postgres.
func (s *Service) first(ctx context.Context, what string, ask func(context.Context, Engine) error) (answered bool, err error) {
	if s.remote == nil {
		return false, nil
	}
	if _, err := tenant.IDFrom(ctx); err != nil {
		return false, err
	}
	_, err = s.breaker.Execute(func() (any, error) {
		ctx, cancel := context.WithTimeout(ctx, remotePatience)
		defer cancel()
		return nil, ask(ctx, s.remote)
	})
	if err == nil {
		return true, nil
	}
	if ctx.Err() != nil {
		return false, fault.Wrap(ctx.Err(), fault.Unavailable, "the search was given up")
	}
	reason := "error"
	switch {
	case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
		reason = "open"
	case fault.Is(err, fault.NotFound):
		reason = "no index"
	}
	s.metrics.fallbacks.WithLabelValues(reason).Inc()
	if reason != "open" {
		s.log.WarnContext(ctx, "search falls back to Postgres", "what", what, "engine", s.remote.Name(), "reason", reason, "board", tenant.From(ctx).ID, "error", err)
	}
	return false, nil
}

// label gives companies and categories their names in a copy of the facets; it
// reads them by read when they are not known.
func (s *Service) label(ctx context.Context, r *Result, read func(tenant.Fn) error) error {
	t := tenant.From(ctx)
	var companies, categories []string
	for _, v := range r.Facets[FacetCompany] {
		companies = append(companies, v.Value)
	}
	for _, v := range r.Facets[FacetCategory] {
		categories = append(categories, v.Value)
	}
	if len(companies)+len(categories) == 0 {
		return nil
	}
	slices.Sort(companies)
	slices.Sort(categories)
	key := t.ID.String() + "|" + strconv.FormatInt(t.Generation, 36) + "|" + strings.Join(companies, ",") + "|" + strings.Join(categories, ",")
	names, ok := s.labels.GetIfPresent(key)
	if !ok {
		var rows []struct {
			Key  string `bun:"key"`
			Name string `bun:"name"`
		}
		err := read(func(ctx context.Context, tx bun.IDB) error {
			return tx.NewRaw(`SELECT 'company ' || slug AS key, name FROM companies WHERE tenant_id = ? AND slug IN (?)
				UNION ALL SELECT 'category ' || slug, name FROM categories WHERE tenant_id = ? AND slug IN (?)`,
				t.ID, bun.In(append(companies, "")), t.ID, bun.In(append(categories, ""))).Scan(ctx, &rows)
		})
		if err != nil {
			return err
		}
		names = make(map[string]string, len(rows))
		for _, r := range rows {
			names[r.Key] = r.Name
		}
		s.labels.Set(key, names)
	}
	// The engine may keep its lists for others: change copies.
	r.Facets = maps.Clone(r.Facets)
	for _, f := range []string{FacetCompany, FacetCategory} {
		list := slices.Clone(r.Facets[f])
		for i := range list {
			list[i].Label = names[f+" "+list[i].Value]
		}
		r.Facets[f] = list
	}
	return nil
}

// Drop removes a board that is no more from every engine. Again it is a no-op.
func (s *Service) Drop(ctx context.Context, board tenant.ID) error {
	ctx = tenant.With(ctx, &tenant.Tenant{ID: board})
	if err := s.local.Drop(ctx); err != nil {
		return err
	}
	if s.remote == nil {
		return nil
	}
	return s.remote.Drop(ctx)
}

// Health is nil when searches can be answered: by Postgres, at the least.
func (s *Service) Health(ctx context.Context) error { return s.local.Health(ctx) }
