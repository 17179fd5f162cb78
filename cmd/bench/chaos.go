package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
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
	staff string // a session of the platform's staff
	tally map[string]*tally
}

// tally is what came of one fault in all its turns.
type tally struct {
	fault
	turns, kept         int
	asked, busy, failed int64
	slowest             time.Duration
	wrong, skipped      string
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
	// cannot says why the fault can't be produced here; nil or "": it can.
	cannot func(c *chaos) string
}

// faults are all, in the order of a short run.
func faults() []fault {
	return slices.Concat(upgrades[:1], processFaults, upgrades[1:], postgresFaults, redisFaults, workFaults, mailFaults, stripeFaults, searchFaults)
}

// runChaos answers an error when a promise was not kept.
func runChaos(ctx context.Context, o options, long time.Duration) error {
	started := time.Now()
	w, err := newWorld(ctx, o)
	if err != nil {
		return err
	}
	defer w.close()
	c := &chaos{w: w, links: map[string]*toxiproxy.Proxy{}, tally: map[string]*tally{}}
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
	if err := c.prepare(ctx); err != nil {
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
	if err := c.turns(ctx, long); err != nil {
		stop()
		return err
	}
	stop()
	if err := c.end(ctx); err != nil {
		return err
	}
	fmt.Printf("\n| fault | promise | kept |\n|---|---|---|\n%s\n", strings.Join(c.lines, "\n"))
	fmt.Printf("\n%d faults in %s, with start and end\n", len(faults()), time.Since(started).Round(time.Second))
	if c.fails > 0 {
		return fmt.Errorf("%d promises were not kept", c.fails)
	}
	return nil
}

// turns lets every fault happen once; in a long run, after that, any of them in
// an order that the seed draws.
func (c *chaos) turns(ctx context.Context, long time.Duration) error {
	begun := time.Now()
	all := faults()
	for _, f := range all {
		if err := c.one(ctx, f); err != nil {
			return err
		}
	}
	if long > 0 {
		fmt.Fprintf(os.Stderr, "from here on by chance: -seed %d (make chaos CHAOS=long SEED=%d draws the same)\n", c.w.o.seed, c.w.o.seed)
	}
	chance := rand.New(rand.NewPCG(uint64(c.w.o.seed), 0)) //nolint:gosec // a seed that can be said again
	for time.Since(begun) < long {
		if err := c.one(ctx, all[chance.IntN(len(all))]); err != nil {
			return err
		}
		if err := wait(ctx, time.Duration(chance.IntN(2000))*time.Millisecond); err != nil {
			return err
		}
	}
	for _, f := range all {
		c.lines = append(c.lines, c.tally[f.name].String())
	}
	if long > 0 {
		c.lines = append(c.lines, fmt.Sprintf("| by chance, seed %d | %s long | yes |", c.w.o.seed, time.Since(begun).Round(time.Second)))
	}
	return nil
}

func (t *tally) String() string {
	if t.skipped != "" {
		return fmt.Sprintf("| %s | %s | NOT TRIED: %s |", t.name, t.promise, t.skipped)
	}
	verdict := fmt.Sprintf("yes: %d requests, %d told to wait, well %s after", t.asked, t.busy, t.slowest.Round(10*time.Millisecond))
	if t.failed > 0 {
		verdict += fmt.Sprintf(", %d lost with what was killed", t.failed)
	}
	if t.kept < t.turns {
		verdict = "NO: " + t.wrong
	}
	if t.turns > 1 {
		verdict = fmt.Sprintf("%d of %d times; ", t.kept, t.turns) + verdict
	}
	return fmt.Sprintf("| %s | %s | %s |", t.name, t.promise, verdict)
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

// one lets a fault happen under load and waits until all is well again.
func (c *chaos) one(ctx context.Context, f fault) error {
	t := c.tally[f.name]
	if t == nil {
		t = &tally{fault: f}
		c.tally[f.name] = t
	}
	if f.cannot != nil {
		if t.skipped = f.cannot(c); t.skipped != "" {
			if t.turns++; t.turns == 1 {
				fmt.Fprintf(os.Stderr, "\n*** NOT TRIED: %s: %s ***\n\n", f.name, t.skipped)
			}
			return nil
		}
	}
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
		wrong = append(wrong, fmt.Sprintf("not well again within %s", patience))
	}
	t.turns++
	t.asked, t.busy, t.failed, t.slowest = t.asked+after.asked-before.asked, t.busy+busy, t.failed+failed, max(t.slowest, recovered)
	said := "kept"
	if len(wrong) == 0 {
		t.kept++
	} else {
		c.fails++
		t.wrong = strings.Join(wrong, "; ")
		said = "NO: " + t.wrong
	}
	fmt.Fprintf(os.Stderr, "%-70s %s: %d requests, %d told to wait, %d failed, took %s, well %s after\n", f.name, said, after.asked-before.asked, busy, failed, broke.Round(time.Millisecond), recovered.Round(10*time.Millisecond))
	return nil
}

// patience is how long a slow machine may take where nothing but being done at
// last is promised.
const patience = 2 * time.Minute

// well waits until reads, an uncached page and the queue are as before; -1 when
// that does not come.
func (c *chaos) well(ctx context.Context) time.Duration {
	begun := time.Now()
	for good := 0; time.Since(begun) < patience && ctx.Err() == nil; {
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
			if took := time.Since(begun); err != nil || status != 200 || took > 15*time.Second {
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
	faultLines := len(c.lines)
	// Requests whose callers have just ended are still answered, and leave work.
	quiet := begun
	for {
		var left int
		if err := c.w.super.QueryRow(ctx, `SELECT count(*) FROM tasks WHERE failed_at IS NULL AND every IS NULL AND kind NOT LIKE '%.at' AND (run_at < now() + interval '2 minutes')`).Scan(&left); err != nil {
			return err
		}
		if left > 0 {
			quiet = time.Now()
		}
		if time.Since(quiet) > 3*time.Second || time.Since(begun) > 2*patience {
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
	if c.w.find != nil {
		say(c.w.sameIndex(ctx, nil))
	}
	say(c.w.startsSoon(ctx))
	slices.Sort(c.lines[faultLines:])
	return nil
}

// invariants are queries that find nothing when all is well.
var invariants = map[string]string{
	"no task failed for good":                       `SELECT kind || ': ' || last_error FROM tasks WHERE failed_at IS NOT NULL`,
	"no task is left behind":                        `SELECT kind || ' since ' || run_at FROM tasks WHERE failed_at IS NULL AND every IS NULL AND run_at < now() - interval '1 minute'`,
	"no task is from the future":                    `SELECT kind || ' made ' || created_at FROM tasks WHERE created_at > now() + interval '1 minute'`,
	"every ledger transaction sums to zero":         `SELECT txn::text FROM ledger_entries GROUP BY tenant_id, txn, currency HAVING sum(amount) <> 0`,
	"every paid order has one listing that is live": `SELECT o.id::text || ' ' || l.state FROM orders o JOIN listings l ON l.tenant_id = o.tenant_id AND l.id = o.listing_id WHERE o.state = 'paid' AND l.state <> 'live'`,
	"every paid order has one entitlement":          `SELECT o.id::text FROM orders o LEFT JOIN entitlements e ON e.tenant_id = o.tenant_id AND e.order_id = o.id AND e.kind = 'posting' WHERE o.state = 'paid' GROUP BY o.tenant_id, o.id HAVING count(e.id) <> 1`,
	"every mail of ours was sent":                   `SELECT kind || ' to ' || recipient || ' ' || state || ' ' || error FROM mails WHERE state <> 'sent' AND recipient NOT LIKE 'nobody-%'`,
	"nothing else is found":                         `SELECT d.id::text FROM search_documents d LEFT JOIN listings l ON l.tenant_id = d.tenant_id AND l.id = d.id AND l.state = 'live' WHERE NOT d.gone AND l.id IS NULL`,
	"every payment is in the ledger once":           `SELECT o.id::text FROM orders o LEFT JOIN ledger_entries e ON e.tenant_id = o.tenant_id AND e.order_id = o.id WHERE o.state = 'paid' AND o.email LIKE 'buyer-%' GROUP BY o.tenant_id, o.id HAVING count(*) FILTER (WHERE e.account = 'buyer') <> 1`,
	"every event of Stripe's was applied":           `SELECT id || ' ' || type || ' ' || state FROM stripe_events WHERE state IN ('received', 'held')`,
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
