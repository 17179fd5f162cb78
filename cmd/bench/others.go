package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"shingle/billing/stripesim"
	"shingle/search/searchtest/typesensedouble"
)

// mailFaults befall the mail server.
var mailFaults = []fault{
	{name: "the mail server away for 4 s", promise: "no failed request; mail goes out later, once", during: func(ctx context.Context, c *chaos) error {
		return c.cut("smtp", func() error { return wait(ctx, 4*time.Second) })
	}},
	{name: "the mail server slow (2 s)", promise: "no failed request", during: func(ctx context.Context, c *chaos) error {
		return c.slow(ctx, "smtp", 2*time.Second, func() error { return wait(ctx, 4*time.Second) })
	}},
	{name: "the mail server greylists for 5 s (451 to who is new)", promise: "no failed request; every mail goes out, once", during: func(ctx context.Context, c *chaos) error {
		var mu sync.Mutex
		seen := map[string]bool{}
		c.w.box.Judge(func(to string) error {
			mu.Lock()
			defer mu.Unlock()
			if seen[to] {
				return nil
			}
			seen[to] = true
			return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "Greylisted, come back later"}
		})
		defer c.w.box.Judge(nil)
		return errors.Join(wait(ctx, 5*time.Second), c.until(ctx, "somebody is told to come back", func() (bool, error) {
			mu.Lock()
			defer mu.Unlock()
			return len(seen) > 0, nil
		}))
	}},
	{name: "the mail server refuses one address (550)", promise: "that mail is refused, with the reason on record, and not tried again; all others go out", during: func(ctx context.Context, c *chaos) error {
		var asked atomic.Int64
		nobody := fmt.Sprintf("nobody-%d@example.org", people.Add(1))
		c.w.box.Judge(func(to string) error {
			if to != nobody {
				return nil
			}
			asked.Add(1)
			return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No such user here"}
		})
		defer c.w.box.Judge(nil)
		d := c.w.draw(len(c.w.boards))
		d.caller = 97 << 12
		if status, _, err := c.w.ask(ctx, applyAs(d, nobody)); err != nil || status >= 400 {
			return fmt.Errorf("applying answers %d %w", status, err)
		}
		var queued, refused, explained int
		err := c.until(ctx, "the mail to "+nobody+" is refused", func() (bool, error) {
			err := c.w.super.QueryRow(ctx, `SELECT count(*) FILTER (WHERE state = 'queued'), count(*) FILTER (WHERE state = 'refused'), count(*) FILTER (WHERE error <> '') FROM mails WHERE recipient = $1`, nobody).
				Scan(&queued, &refused, &explained)
			return queued == 0 && refused > 0 && explained > 0, err
		})
		if err == nil && asked.Load() != 1 {
			err = fmt.Errorf("the address was asked for %d times", asked.Load())
		}
		return err
	}},
}

// unruly carries Stripe's deliveries; when it is on, every other one is lost on
// its way, so that it comes after those that followed it, and the rest arrive twice.
type unruly struct {
	next http.RoundTripper
	on   atomic.Bool
	n    atomic.Int64
	lost atomic.Int64
}

func (u *unruly) RoundTrip(r *http.Request) (*http.Response, error) {
	if !u.on.Load() {
		return u.next.RoundTrip(r)
	}
	if u.n.Add(1)%2 == 1 {
		u.lost.Add(1)
		return nil, errors.New("lost on its way")
	}
	twin := r.Clone(r.Context())
	body, err := r.GetBody()
	if err != nil {
		return nil, err
	}
	twin.Body = body
	if res, err := u.next.RoundTrip(twin); err == nil {
		_, _ = drain(res)
	}
	return u.next.RoundTrip(r)
}

// stripeFaults befall what payments need.
var stripeFaults = []fault{
	{name: "Stripe away for 4 s", promise: "reads and applications unharmed; checkouts fail in words and can be tried again", during: func(ctx context.Context, c *chaos) error {
		return c.cut("stripe", func() error { return wait(ctx, 4*time.Second) })
	}},
	{name: "Stripe answers 500 for 4 s", promise: "reads and applications unharmed; checkouts fail in words and can be tried again", during: func(ctx context.Context, c *chaos) error {
		c.w.sim.Fail(10_000, stripesim.Failure{Status: 500})
		defer c.w.sim.Heal()
		return wait(ctx, 4*time.Second)
	}},
	{name: "Stripe hangs for 4 s", promise: "reads and applications unharmed; checkouts wait or fail in words", during: func(ctx context.Context, c *chaos) error {
		return c.stall(ctx, "stripe", func() error { return wait(ctx, 4*time.Second) })
	}},
	{name: "Stripe's answers are lost after they took effect, for 4 s", promise: "nothing is bought or paid twice", during: func(ctx context.Context, c *chaos) error {
		// Every second one: stripe-go itself tries again, with the same key.
		until := time.Now().Add(4 * time.Second)
		defer c.w.sim.Heal()
		for time.Now().Before(until) {
			c.w.sim.Fail(1, stripesim.Failure{Drop: true, AfterEffect: true, Method: http.MethodPost})
			if err := wait(ctx, 300*time.Millisecond); err != nil {
				return err
			}
		}
		return nil
	}},
	{name: "Stripe's events doubled and out of order for 6 s, then all told again, backwards", promise: "each is applied once", during: func(ctx context.Context, c *chaos) error {
		from := len(c.w.sim.Events())
		c.w.hooks.on.Store(true)
		err := wait(ctx, 6*time.Second)
		err = errors.Join(err, c.until(ctx, "an event is late", func() (bool, error) { return c.w.hooks.lost.Load() > 1, nil }))
		c.w.hooks.on.Store(false)
		events := c.w.sim.Events()[from:]
		slices.Reverse(events)
		for _, e := range events[:min(60, len(events))] {
			err = errors.Join(err, c.w.sim.Redeliver(e.ID))
		}
		return err
	}},
}

// finder is Typesense: a server when the environment names one, else the double
// that the tests use. It can be made to answer wrongly.
type finder struct {
	addr, key string
	double    *typesensedouble.Server
	lying     atomic.Bool
	lies      atomic.Int64
}

func (w *world) startFinder() {
	f := &finder{key: "admin"}
	var real http.Handler
	if at := os.Getenv("SHINGLE_TEST_TYPESENSE_URL"); at != "" {
		to, err := url.Parse(at)
		if err != nil {
			fmt.Fprintln(os.Stderr, "*** SHINGLE_TEST_TYPESENSE_URL cannot be read: the double stands in ***")
		} else {
			real, f.key = httputil.NewSingleHostReverseProxy(to), os.Getenv("SHINGLE_TEST_TYPESENSE_KEY") //nolint:gosec // who runs the benchmark names it
		}
	}
	if real == nil {
		fmt.Fprintln(os.Stderr, "*** no real Typesense (SHINGLE_TEST_TYPESENSE_URL, SHINGLE_TEST_TYPESENSE_KEY): the double of the tests stands in ***")
		f.double = typesensedouble.New(f.key)
		real = f.double
	}
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if f.lying.Load() {
			f.lie(rw, r)
			return
		}
		real.ServeHTTP(rw, r)
	}))
	f.addr = srv.Listener.Addr().String()
	w.find = f
	w.cleanups = append(w.cleanups, srv.Close)
	w.env = append(w.env, "SHINGLE_TYPESENSE_URL=http://"+f.addr, "SHINGLE_TYPESENSE_KEY="+f.key)
}

// lie answers each kind of nonsense in turn: no JSON, JSON without what was
// asked for, listings that are nobody's, an error.
func (f *finder) lie(rw http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	rw.Header().Set("Content-Type", "application/json; charset=utf-8")
	switch f.lies.Add(1) % 4 {
	case 0:
		_, _ = io.WriteString(rw, `<html>hello</html>`)
	case 1:
		_, _ = io.WriteString(rw, `{"results":[{},{},{},{},{},{}],"found":null}`)
	case 2:
		_, _ = fmt.Fprintf(rw, `{"results":[{"found":2,"page":1,"out_of":2,"hits":[{"document":{"id":%q}},{"document":{"id":"1' OR 1=1"}}],"facet_counts":[]}]}`, uuid.NewString())
	default:
		rw.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(rw, `{"message":"out of memory"}`)
	}
}

// searchFaults befall Typesense.
var searchFaults = []fault{
	{name: "Typesense away for 4 s", promise: "no failed request: Postgres answers; the index catches up", during: func(ctx context.Context, c *chaos) error {
		return c.cut("typesense", func() error { return c.searches(ctx, 4*time.Second) })
	}},
	{name: "Typesense slow (5 s an answer) for 6 s", promise: "no failed request: Postgres answers", during: func(ctx context.Context, c *chaos) error {
		return c.slow(ctx, "typesense", 5*time.Second, func() error { return c.searches(ctx, 6*time.Second) })
	}},
	{name: "Typesense answers nonsense for 4 s", promise: "no failed request", during: func(ctx context.Context, c *chaos) error {
		c.w.find.lying.Store(true)
		defer c.w.find.lying.Store(false)
		return c.searches(ctx, 4*time.Second)
	}},
	{name: "Typesense loses its disk", promise: "no failed request; the nightly check makes the index anew", during: func(ctx context.Context, c *chaos) error {
		// What is published meanwhile is always a moment behind: what was there must
		// come back.
		there, err := c.w.documents(ctx)
		if err != nil {
			return err
		}
		c.w.find.double.Wipe()
		if err := c.searches(ctx, 2*time.Second); err != nil {
			return err
		}
		// The night comes at once.
		if _, err := c.w.super.Exec(ctx, `UPDATE tasks SET run_at = now() WHERE kind = 'search.check' AND every IS NOT NULL`); err != nil {
			return err
		}
		return c.until(ctx, "the index is as before", func() (bool, error) {
			_, wrong := c.w.sameIndex(ctx, there)
			return len(wrong) == 0, nil
		})
	}, cannot: func(c *chaos) string {
		if c.w.find.double == nil {
			return "a real server is not ours to wipe"
		}
		return ""
	}},
}

// searches asks for pages that no cache has.
func (c *chaos) searches(ctx context.Context, d time.Duration) error {
	for begun := time.Now(); time.Since(begun) < d; {
		if status := c.uncached(ctx); status != 200 {
			return fmt.Errorf("a search answers %d", status)
		}
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// documents are the ids of all that can be found, of all boards.
func (w *world) documents(ctx context.Context) (map[string]bool, error) {
	rows, err := w.super.Query(ctx, `SELECT id::text FROM search_documents WHERE NOT gone`)
	if err != nil {
		return nil, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	all := map[string]bool{}
	for _, id := range ids {
		all[id] = true
	}
	return all, err
}

// sameIndex holds Typesense's documents against Postgres' own: all, or those among
// these.
func (w *world) sameIndex(ctx context.Context, among map[string]bool) (what string, wrong []string) {
	what = "Typesense finds what Postgres finds"
	total := 0
	for _, b := range w.boards {
		want := map[string]bool{}
		rows, err := w.super.Query(ctx, `SELECT id::text FROM search_documents WHERE tenant_id = $1 AND NOT gone`, b.id)
		if err != nil {
			return what, []string{err.Error()}
		}
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return what, []string{err.Error()}
			}
			want[id] = true
		}
		if err := rows.Err(); err != nil {
			return what, []string{err.Error()}
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.find.addr+"/collections/listings_"+strings.ReplaceAll(b.id, "-", "")+"/documents/export?include_fields=id", http.NoBody)
		if err != nil {
			return what, []string{err.Error()}
		}
		req.Header.Set("X-Typesense-Api-Key", w.find.key)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return what, []string{err.Error()}
		}
		got := map[string]bool{}
		for in := bufio.NewScanner(io.LimitReader(res.Body, 1<<28)); in.Scan(); {
			var doc struct {
				ID   string `json:"id"`
				Gone bool   `json:"gone"`
			}
			if json.Unmarshal(in.Bytes(), &doc) == nil && doc.ID != "" && !doc.Gone {
				got[doc.ID] = true
			}
		}
		_ = res.Body.Close()
		for id := range want {
			if !got[id] && (among == nil || among[id]) {
				wrong = append(wrong, b.host+" lacks "+id)
			}
		}
		for id := range got {
			if !want[id] && (among == nil || among[id]) {
				wrong = append(wrong, b.host+" has "+id+" too many")
			}
		}
		total += len(want)
	}
	return fmt.Sprintf("%s: %d listings", what, total), wrong
}
