package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// chaos keeps two serves and two workers under steady load, with every server
// that they need behind a proxy, lets one thing go wrong at a time and looks
// whether what docs/operations promises for it holds.
type chaos struct {
	w     *world
	load  *steady
	links map[string]*toxiproxy.Proxy
	lines []string
	fails int
}

// fault is one thing that goes wrong, and what is promised meanwhile.
type fault struct {
	name    string
	promise string
	// during breaks something and mends it again; it returns what it saw broken.
	during func(ctx context.Context, c *chaos) error
	// away says that reads may answer 503 while it lasts.
	away bool
	// broken says that requests under way may be lost with a killed process.
	broken int64
}

// runChaos answers an error when a promise was not kept.
func runChaos(ctx context.Context, o options, long time.Duration) error {
	w, err := newWorld(ctx, o)
	if err != nil {
		return err
	}
	defer w.close()
	c := &chaos{w: w, links: map[string]*toxiproxy.Proxy{}}
	if err := c.proxies(); err != nil {
		return err
	}
	defer func() {
		for _, p := range c.links {
			p.Stop()
		}
	}()
	if err := w.shop(ctx); err != nil {
		return err
	}
	if err := w.start(ctx, true, 2); err != nil {
		return err
	}
	second, err := w.launch(ctx, "worker", "127.0.0.1:"+freePort(), true)
	if err != nil {
		return err
	}
	w.workers = append(w.workers, second)
	w.warm(ctx)
	c.load = newSteady(w)
	stop := c.load.run(ctx)
	begun := time.Now()
	for round := 1; ; round++ {
		for _, f := range faults {
			if err := c.one(ctx, f); err != nil {
				stop()
				return err
			}
		}
		if time.Since(begun) > long || ctx.Err() != nil {
			break
		}
		fmt.Fprintf(os.Stderr, "round %d done after %s\n", round, time.Since(begun).Round(time.Second))
	}
	stop()
	if err := c.end(ctx); err != nil {
		return err
	}
	fmt.Printf("\n| fault | promise | kept |\n|---|---|---|\n%s\n", strings.Join(c.lines, "\n"))
	if c.fails > 0 {
		return fmt.Errorf("%d promises were not kept", c.fails)
	}
	return nil
}

// proxies puts a toxiproxy before Postgres, Redis, the mail server and Stripe.
func (c *chaos) proxies() error {
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	for name, at := range c.w.upstreams() {
		p := toxiproxy.NewProxy(api, name, "127.0.0.1:0", at)
		if err := p.Start(); err != nil {
			return err
		}
		c.links[name] = p
		for i, v := range c.w.env {
			c.w.env[i] = strings.ReplaceAll(v, at, p.Listen)
		}
	}
	return nil
}

// cut refuses and breaks connections for as long as fn runs.
func (c *chaos) cut(name string, fn func() error) error {
	p := c.links[name]
	p.Stop()
	err := fn()
	if again := p.Start(); again != nil && err == nil {
		err = again
	}
	return err
}

// stall lets nothing through, without closing anything, for as long as fn runs.
func (c *chaos) stall(ctx context.Context, name string, fn func() error) error {
	for _, stream := range []string{"upstream", "downstream"} {
		if _, err := c.links[name].Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(`{"name":"stall-%s","type":"timeout","stream":%q,"toxicity":1,"attributes":{"timeout":0}}`, stream, stream))); err != nil {
			return err
		}
	}
	err := fn()
	c.links[name].Toxics.ResetToxics(ctx)
	return err
}

func (c *chaos) slow(ctx context.Context, name string, by time.Duration, fn func() error) error {
	if _, err := c.links[name].Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(`{"name":"slow","type":"latency","stream":"downstream","toxicity":1,"attributes":{"latency":%d}}`, by.Milliseconds()))); err != nil {
		return err
	}
	err := fn()
	return errJoin(err, c.links[name].Toxics.RemoveToxic(ctx, "slow"))
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

var faults = []fault{
	{name: "serve killed", promise: "no failed request but those under way on it", broken: 16, during: func(ctx context.Context, c *chaos) error {
		c.w.serves[0].kill()
		if err := wait(ctx, 2*time.Second); err != nil {
			return err
		}
		return c.w.relaunch(ctx, "serve", 0)
	}},
	{name: "worker killed", promise: "no work lost or doubled", during: func(ctx context.Context, c *chaos) error {
		c.w.workers[0].kill()
		if err := wait(ctx, 2*time.Second); err != nil {
			return err
		}
		return c.w.relaunch(ctx, "worker", 0)
	}},
	{name: "both serves and workers rolled, one by one", promise: "no failed request", during: func(ctx context.Context, c *chaos) error {
		for i := range c.w.serves {
			c.w.serves[i].end()
			if err := c.w.relaunch(ctx, "serve", i); err != nil {
				return err
			}
		}
		for i := range c.w.workers {
			c.w.workers[i].end()
			if err := c.w.relaunch(ctx, "worker", i); err != nil {
				return err
			}
		}
		return nil
	}},
	{name: "Postgres away for 4 s", promise: "cached pages served, the rest 503 with Retry-After; recovers by itself", away: true, during: func(ctx context.Context, c *chaos) error {
		return c.cut("postgres", func() error {
			return errJoin(c.cached(ctx), wait(ctx, 4*time.Second), c.cached(ctx), c.unavailable(ctx))
		})
	}},
	{name: "Postgres stopped in its tracks for 10 s", promise: "cached pages served; recovers by itself", away: true, during: func(ctx context.Context, c *chaos) error {
		return c.stall(ctx, "postgres", func() error { return errJoin(wait(ctx, 10*time.Second), c.cached(ctx)) })
	}},
	{name: "Postgres' connections broken all at once", promise: "at most the requests under way fail", away: true, broken: 32, during: func(ctx context.Context, c *chaos) error {
		return errJoin(c.cut("postgres", func() error { return nil }), wait(ctx, time.Second))
	}},
	{name: "Redis away for 4 s", promise: "no failed request; work waits in Postgres", during: func(ctx context.Context, c *chaos) error {
		return c.cut("redis", func() error { return wait(ctx, 4*time.Second) })
	}},
	{name: "Redis flushed, five times", promise: "no work lost or doubled", during: func(ctx context.Context, c *chaos) error {
		for range 5 {
			if err := c.w.flushRedis(ctx); err != nil {
				return err
			}
			if err := wait(ctx, 400*time.Millisecond); err != nil {
				return err
			}
		}
		return nil
	}},
	{name: "the mail server away for 4 s", promise: "no failed request; mail goes out later, once", during: func(ctx context.Context, c *chaos) error {
		return c.cut("smtp", func() error { return wait(ctx, 4*time.Second) })
	}},
	{name: "the mail server slow (2 s)", promise: "no failed request", during: func(ctx context.Context, c *chaos) error {
		return c.slow(ctx, "smtp", 2*time.Second, func() error { return wait(ctx, 4*time.Second) })
	}},
	{name: "Stripe away for 4 s", promise: "reads and applications unharmed; checkouts fail in words and can be tried again", during: func(ctx context.Context, c *chaos) error {
		return c.cut("stripe", func() error { return wait(ctx, 4*time.Second) })
	}},
	{name: "serve and worker stopped for 5 s (a stalled machine)", promise: "leases pass on; no work doubled", away: true, during: func(ctx context.Context, c *chaos) error {
		for _, p := range []*process{c.w.serves[1], c.w.workers[1]} {
			_ = p.cmd.Process.Signal(syscall.SIGSTOP)
			defer func() { _ = p.cmd.Process.Signal(syscall.SIGCONT) }()
		}
		return wait(ctx, 5*time.Second)
	}},
}

// one lets a fault happen under load and waits until all is well again.
func (c *chaos) one(ctx context.Context, f fault) error {
	if err := c.cached(ctx); err != nil {
		return fmt.Errorf("before %s: %w", f.name, err)
	}
	before := c.load.figures()
	begun := time.Now()
	err := f.during(ctx, c)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	broke := time.Since(begun)
	recovered := c.well(ctx)
	after := c.load.figures()
	var wrong []string
	if err != nil {
		wrong = append(wrong, err.Error())
	}
	failed, busy := after.failed-before.failed, after.busy-before.busy
	if failed > f.broken {
		wrong = append(wrong, fmt.Sprintf("%d requests failed (%s)", failed, after.last))
	}
	if busy > 0 && !f.away {
		wrong = append(wrong, fmt.Sprintf("%d requests were told 503", busy))
	}
	if recovered < 0 {
		wrong = append(wrong, "not well again within a minute")
	}
	verdict := fmt.Sprintf("yes: %d requests, %d told to wait, well %s after", after.asked-before.asked, busy, recovered.Round(10*time.Millisecond))
	if failed > 0 {
		verdict += fmt.Sprintf(", %d lost with what was killed", failed)
	}
	if len(wrong) > 0 {
		c.fails++
		verdict = "NO: " + strings.Join(wrong, "; ")
	}
	line := fmt.Sprintf("| %s | %s | %s |", f.name, f.promise, verdict)
	c.lines = append(c.lines, line)
	fmt.Fprintln(os.Stderr, line, "took", broke.Round(time.Millisecond))
	return nil
}

// well waits until reads, an uncached page and the queue are as before; -1 when
// that does not come.
func (c *chaos) well(ctx context.Context) time.Duration {
	begun := time.Now()
	for good := 0; time.Since(begun) < time.Minute && ctx.Err() == nil; {
		before := c.load.figures()
		time.Sleep(200 * time.Millisecond)
		after := c.load.figures()
		if after.failed == before.failed && after.busy == before.busy && after.asked > before.asked && c.uncached(ctx) == 200 {
			if good++; good == 3 {
				return time.Since(begun)
			}
			continue
		}
		good = 0
	}
	return -1
}

// cached looks whether pages that every serve has shown before are still answered.
func (c *chaos) cached(ctx context.Context) error {
	var bad []string
	for i := range min(5, len(c.w.boards)) {
		for _, p := range c.w.serves {
			begun := time.Now()
			status, _, err := c.w.askAt(ctx, p.listen, request{method: "GET", host: c.w.boards[i].host, path: "/"})
			if took := time.Since(begun); err != nil || status != 200 || took > 5*time.Second {
				bad = append(bad, fmt.Sprintf("%s answers %d %v after %s", c.w.boards[i].host, status, err, took.Round(time.Millisecond)))
			}
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("cached pages: %s", strings.Join(bad, ", "))
	}
	return nil
}

var nobodyAsked int

func (c *chaos) uncached(ctx context.Context) int {
	nobodyAsked++
	status, _, _ := c.w.ask(ctx, request{method: "GET", host: c.w.boards[0].host, path: fmt.Sprintf("/jobs?q=manager&salary_min=%d", nobodyAsked)})
	return status
}

// unavailable looks whether what cannot be answered is refused as it should be.
func (c *chaos) unavailable(ctx context.Context) error {
	nobodyAsked++
	status, head, err := c.w.ask(ctx, request{method: "GET", host: c.w.boards[0].host, path: fmt.Sprintf("/jobs?q=manager&salary_min=%d", nobodyAsked)})
	if err != nil {
		return err
	}
	if status != 503 || head.Get("Retry-After") == "" {
		return fmt.Errorf("an uncached page without Postgres answers %d, Retry-After %q", status, head.Get("Retry-After"))
	}
	return nil
}

// end waits for the work that is left and counts: nothing lost, nothing doubled.
func (c *chaos) end(ctx context.Context) error {
	begun := time.Now()
	for {
		var left int
		if err := c.w.super.QueryRow(ctx, `SELECT count(*) FROM tasks WHERE failed_at IS NULL AND every IS NULL AND kind NOT LIKE '%.at' AND (run_at < now() + interval '2 minutes')`).Scan(&left); err != nil {
			return err
		}
		if left == 0 || time.Since(begun) > 3*time.Minute {
			break
		}
		time.Sleep(250 * time.Millisecond)
	}
	say := func(what string, wrong []string) {
		verdict := "yes"
		if len(wrong) > 0 {
			c.fails++
			verdict = "NO: " + strings.Join(wrong[:min(4, len(wrong))], "; ")
		}
		c.lines = append(c.lines, fmt.Sprintf("| in the end (%s later) | %s | %s |", time.Since(begun).Round(time.Second), what, verdict))
	}
	for what, query := range invariants {
		rows, err := c.w.super.Query(ctx, query)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		var wrong []string
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				return err
			}
			wrong = append(wrong, line)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		say(what, wrong)
	}
	say(c.load.acknowledged(ctx))
	say(c.w.onTheWire(ctx))
	slices.Sort(c.lines[len(faults):])
	return nil
}

// invariants are queries that find nothing when all is well.
var invariants = map[string]string{
	"no task failed for good":                       `SELECT kind || ': ' || last_error FROM tasks WHERE failed_at IS NOT NULL`,
	"no task is left behind":                        `SELECT kind || ' since ' || run_at FROM tasks WHERE failed_at IS NULL AND every IS NULL AND run_at < now() - interval '1 minute'`,
	"every ledger transaction sums to zero":         `SELECT txn::text FROM ledger_entries GROUP BY tenant_id, txn, currency HAVING sum(amount) <> 0`,
	"every paid order has one listing that is live": `SELECT o.id::text || ' ' || l.state FROM orders o JOIN listings l ON l.tenant_id = o.tenant_id AND l.id = o.listing_id WHERE o.state = 'paid' AND l.state <> 'live'`,
	"every paid order has one entitlement":          `SELECT o.id::text FROM orders o LEFT JOIN entitlements e ON e.tenant_id = o.tenant_id AND e.order_id = o.id AND e.kind = 'posting' WHERE o.state = 'paid' GROUP BY o.tenant_id, o.id HAVING count(e.id) <> 1`,
	"every mail of ours was sent":                   `SELECT kind || ' to ' || recipient || ' ' || state || ' ' || error FROM mails WHERE state <> 'sent'`,
	"every live listing is found":                   `SELECT l.id::text FROM listings l LEFT JOIN search_documents d ON d.tenant_id = l.tenant_id AND d.id = l.id AND NOT d.gone WHERE l.state = 'live' AND d.id IS NULL`,
}

func errJoin(errs ...error) error {
	var all []string
	for _, err := range errs {
		if err != nil {
			all = append(all, err.Error())
		}
	}
	if len(all) == 0 {
		return nil
	}
	return fmt.Errorf("%s", strings.Join(all, "; "))
}
