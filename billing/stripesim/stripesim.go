// Package stripesim is Stripe for a machine with no network: the part of
// Stripe's HTTP API (version 2023-10-16) that Shingle uses, with its pages, its
// state and its signed webhooks, so that development and tests run the real
// stripe-go client over real HTTP. It never talks to Stripe, never moves money
// and knows nothing of boards or orders. Start at Sim, then api.go for the
// routes, store.go for how state is kept and payments.go for what a payment does.
package stripesim

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// APIVersion is the only version of Stripe's API spoken here: stripe-go v76's.
const APIVersion = "2023-10-16"

// Options say where the simulator lives and whom it tells.
type Options struct {
	// BaseURL is the public URL of its pages, without a trailing slash. It may
	// have a path, when the handler is mounted behind http.StripPrefix.
	BaseURL string
	// StatePath is the journal file; empty keeps everything in memory.
	StatePath string
	// Name is the platform's own business name, shown on its checkout pages.
	Name string
	// Now is the clock of everything that is dated or expires; nil is time.Now.
	Now func() time.Time
	// Log may be nil.
	Log *slog.Logger
	// HTTP delivers webhooks; nil is a client with a 10 s timeout that follows
	// no redirects, as Stripe does.
	HTTP *http.Client
	// Endpoints are told of events besides those made through the API.
	Endpoints []Endpoint
	// Advanced is called after each day by which a button of the page moves the
	// clock of subscriptions; the page waits for it. It may call the API.
	Advanced func(ctx context.Context) error
	// ClockNote says on the page, in plain words, what else follows that clock.
	ClockNote string
	// Backoff is the wait before each further try of a failed delivery; after
	// the last one the delivery has failed. Nil is 1 s growing to 1 h, 12 tries.
	Backoff []time.Duration
}

// Endpoint is a webhook receiver. Connect endpoints hear of connected
// accounts' events, the others of the platform's own.
type Endpoint struct {
	URL     string
	Secret  string
	Connect bool
}

// Sim is one simulated Stripe. It is safe for concurrent use.
type Sim struct {
	opt    Options
	prefix string // path of BaseURL
	now    func() time.Time
	log    *slog.Logger
	http   *http.Client
	pages  *pages
	routes http.Handler

	mu      sync.Mutex
	broken  error // the state file can't be read or written: every request answers 500
	db      *store
	faults  []*planned
	changed chan struct{} // closed and replaced after each commit
	wake    chan struct{}
}

// New opens a simulator. A state file that can't be read is reported by Run and
// by every request (500), so that nothing is silently begun anew.
func New(o Options) *Sim {
	o.BaseURL = strings.TrimRight(o.BaseURL, "/")
	if o.Name == "" {
		o.Name = "Test platform"
	}
	if o.Backoff == nil {
		o.Backoff = []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second,
			time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, time.Hour}
	}
	s := &Sim{opt: o, now: o.Now, log: o.Log, http: o.HTTP, changed: make(chan struct{}), wake: make(chan struct{}, 1)}
	if u, err := url.Parse(o.BaseURL); err == nil {
		s.prefix = u.Path
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if s.http == nil {
		s.http = &http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	s.pages = newPages()
	s.db, s.broken = openStore(o.StatePath, s.now())
	if s.broken == nil {
		s.broken = s.update(ensurePlatform)
	}
	if s.broken != nil {
		s.log.Error("stripe simulator: state file", "error", s.broken)
	}
	s.routes = s.routeTable()
	return s
}

// Handler serves the API under /v1/ and the pages everywhere else.
func (s *Sim) Handler() http.Handler { return s.routes }

// Run delivers webhooks and expires sessions until ctx ends, then waits for the
// deliveries under way. It returns an error at once when the state is unusable.
func (s *Sim) Run(ctx context.Context) error {
	s.mu.Lock()
	err := s.broken
	s.mu.Unlock()
	if err != nil {
		return err
	}
	s.deliver(ctx)
	return nil
}

// Close releases the state file. Requests after it answer 500.
func (s *Sim) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.broken = errClosed
	}
	return s.db.close()
}

// link is an absolute URL of one of the simulator's pages.
func (s *Sim) link(path string) string { return s.opt.BaseURL + path }

// update runs fn as one transaction: all that it put is in the journal before
// update returns nil, or nothing of it is anywhere.
func (s *Sim) update(fn func(*tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.locked(fn)
}

// locked is update for a caller that holds the lock.
func (s *Sim) locked(fn func(*tx) error) error {
	if s.broken != nil {
		return s.broken
	}
	t := &tx{sim: s, db: s.db, now: s.now(), staged: map[string]*row{}}
	if err := fn(t); err != nil {
		return err
	}
	if len(t.order) == 0 {
		return nil
	}
	if err := s.db.commit(t); err != nil {
		s.broken = err
		s.log.Error("stripe simulator: state file", "error", err)
		return err
	}
	close(s.changed)
	s.changed = make(chan struct{})
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}
