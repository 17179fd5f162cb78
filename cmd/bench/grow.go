package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

// rate is that of rows whose latency is compared over sizes, in requests a second,
// and busy the share of the time, at most, that one after the other would take: low,
// so that nothing waits for anything but itself.
const rate, busy = 40, 0.4

// small is how many listings each of the many boards has.
const small = 10

// moreBoards visits ever more boards of one size, up to -grow, with the page cache
// off, and notes what a board costs in memory once its home and list were seen.
func (w *world) moreBoards(ctx context.Context, t *table) error {
	most := w.o.grow
	if _, err := w.seedMore(ctx, w.o.boards+most, small); err != nil {
		return err
	}
	if _, err := w.super.Exec(ctx, "VACUUM ANALYZE"); err != nil {
		return err
	}
	if err := w.read(ctx); err != nil {
		return err
	}
	alike := w.boards[len(w.boards)-most:]
	if err := w.start(ctx, false, 1); err != nil {
		return err
	}
	defer w.stop()
	before, err := w.heap()
	if err != nil {
		return err
	}
	// Each is as warm as the other: what one row keeps of ten boards, it keeps of all.
	for i := range alike {
		for _, path := range []string{"/", "/jobs"} {
			if _, err := w.fetch(ctx, request{method: http.MethodGet, host: alike[i].host, path: path}); err != nil {
				return err
			}
		}
	}
	after, err := w.heap()
	if err != nil {
		return err
	}
	t.notes = append(t.notes, fmt.Sprintf("memory of a board that was visited: %.1f kB (%d boards, the heap after collection; bar 20)", (after-before)/float64(most)/1024, most))
	for _, r := range w.rows()[:3] {
		g := growth{what: "boards visited, cache off, " + r.name}
		for n := 10; n <= most; n *= 10 {
			d := w.drawFrom(alike[:n])
			if err := g.add(ctx, w, n, func() request { return r.next(d) }); err != nil {
				return err
			}
		}
		t.notes = append(t.notes, g.String())
	}
	return nil
}

// heap is what the first serve's heap holds, in bytes.
func (w *world) heap() (float64, error) {
	res, err := http.Get("http://" + w.serves[0].ops + "/debug/pprof/heap?gc=1") //nolint:noctx // our own process
	if err != nil {
		return 0, err
	}
	if _, err := drain(res); err != nil {
		return 0, err
	}
	return w.counter("go_memstats_heap_alloc_bytes")
}

// moreListings searches boards of 1,000 listings, ten times as many and so on, up
// to -deep: 100,000, with BENCH=full a million.
func (w *world) moreListings(ctx context.Context, t *table) error {
	var sizes []int
	for n := 1_000; n <= w.o.deep; n *= 10 {
		sizes = append(sizes, n)
	}
	// The first boards grow, the largest last: seed-1 is the largest.
	for i, n := range sizes {
		if _, err := w.seedMore(ctx, len(sizes)-i, n); err != nil {
			return err
		}
	}
	if _, err := w.super.Exec(ctx, "VACUUM ANALYZE"); err != nil {
		return err
	}
	if err := w.read(ctx); err != nil {
		return err
	}
	all := w.boards
	if w.large != nil {
		all = append([]board{*w.large}, all...)
	}
	if err := w.start(ctx, false, 1); err != nil {
		return err
	}
	defer w.stop()
	for _, r := range w.rows()[1:4] {
		g := growth{what: "listings of the board, cache off, " + r.name}
		for i, n := range sizes {
			d := w.drawFrom(all[len(sizes)-i-1 : len(sizes)-i])
			if err := g.add(ctx, w, n, func() request { return r.next(d) }); err != nil {
				return err
			}
		}
		t.notes = append(t.notes, g.String())
	}
	return nil
}

// growth is how a latency grows with a size.
type growth struct {
	what, text string
	sizes, p50 []float64
}

func (g *growth) add(ctx context.Context, w *world, size int, next ask) error {
	// The first seconds learn what a process that has been up for a while knows.
	n, begun := 0, time.Now()
	for ; n < rate && time.Since(begun) < w.o.seconds/2; n++ {
		if _, err := w.fetch(ctx, next()); err != nil {
			return err
		}
	}
	calm := min(rate, busy*float64(n)/time.Since(begun).Seconds())
	if _, err := open(ctx, w.addr, calm, w.o.seconds/2, next, ok); err != nil {
		return err
	}
	q, err := open(ctx, w.addr, calm, w.o.seconds, next, ok)
	if err != nil {
		return err
	}
	g.sizes, g.p50 = append(g.sizes, float64(size)), append(g.p50, ms(q.p50))
	g.text += fmt.Sprintf("%d: p50 %.2f, p99 %.2f ms; ", size, ms(q.p50), ms(q.p99))
	return nil
}

// The exponent is the slope of log(p50) over log(size): 0 when nothing grows.
func (g *growth) String() string {
	return fmt.Sprintf("%s: %sexponent %.3f", g.what, g.text, exponent(g.sizes, g.p50))
}

// work measures the relay, the indexer and a rebuild.
func (w *world) work(ctx context.Context, t *table) error {
	if err := w.start(ctx, true, 1); err != nil {
		return err
	}
	defer w.stop()
	b := w.busiest()
	begun := time.Now()
	done, err := w.super.Exec(ctx, `INSERT INTO tasks (tenant_id, id, kind, queue, key, version, payload)
		SELECT tenant_id, gen_random_uuid(), 'search.index', 'index', id::text, 1, jsonb_build_object('listing_id', id, 'version', version)
		FROM listings WHERE tenant_id = $1 AND state = 'live' LIMIT 5000`, b.id)
	if err != nil {
		return err
	}
	for n := 1; n > 0; {
		if err := w.super.QueryRow(ctx, `SELECT count(*) FROM tasks WHERE kind = 'search.index'`).Scan(&n); err != nil {
			return err
		}
		if time.Since(begun) > patience {
			return errors.New("the indexer does not come to an end")
		}
		time.Sleep(20 * time.Millisecond)
	}
	took := time.Since(begun)
	t.notes = append(t.notes, fmt.Sprintf("relay and indexer: %d listings in %s, %.0f a second, one task and one transaction each", done.RowsAffected(), took.Round(time.Millisecond), float64(done.RowsAffected())/took.Seconds()))
	var live int
	if err := w.super.QueryRow(ctx, `SELECT count(*) FROM listings WHERE tenant_id = $1 AND state = 'live'`, b.id).Scan(&live); err != nil {
		return err
	}
	begun = time.Now()
	if said, err := w.command(ctx, "search", "rebuild", "--board", strings.TrimSuffix(b.host, ".localhost")).CombinedOutput(); err != nil {
		return fmt.Errorf("search rebuild: %w: %s", err, said)
	}
	took = time.Since(begun)
	t.notes = append(t.notes, fmt.Sprintf("rebuild of a search index: %d listings in %s, %.0f a second", live, took.Round(time.Millisecond), float64(live)/took.Seconds()))
	return nil
}

// benchmarks runs those of the parts that have bars of their own.
func (t *table) benchmarks(ctx context.Context) error {
	for _, b := range [][]string{{"Resolve|Wall", "./tenant"}, {"Permission", "./authz"}, {"PageCache/over", "./web"}, {"Findable", "./web", "-benchtime", "100x"}, {"PaidToLive", "./cmd/shingle", "-benchtime", "100x"}, {"Mix", "./search/postgres", "-benchtime", "2000x"}} {
		cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-run", "^$", "-benchmem", "-timeout", "30m", "-bench", b[0]}, b[1:]...)...) // #nosec G204 -- our own tests
		cmd.Stderr = os.Stderr
		said, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("go test -bench %s: %w: %s", b[0], err, said)
		}
		for line := range strings.SplitSeq(string(said), "\n") {
			if strings.HasPrefix(line, "Benchmark") {
				t.parts = append(t.parts, line)
				fmt.Fprintln(os.Stderr, line)
			}
		}
	}
	return nil
}
