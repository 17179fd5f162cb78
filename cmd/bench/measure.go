package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/jackc/pgx/v5"
)

// warm asks each board for its home and a search once: what follows is a
// process that has been up for a while.
func (w *world) warm(ctx context.Context) {
	for i := range w.boards {
		for _, path := range []string{"/", "/jobs?q=manager"} {
			if _, err := w.fetch(ctx, request{method: http.MethodGet, host: w.boards[i].host, path: path}); err != nil {
				return
			}
		}
	}
}

// fetch asks once.
func (w *world) fetch(ctx context.Context, r request) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, "http://"+w.addr+r.path, strings.NewReader(string(r.body)))
	if err != nil {
		return nil, err
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	req.Host = r.host
	req.Header.Set("Accept-Encoding", "gzip")
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	return drain(res)
}

// measure runs a row: the most that gets through, then latency at half of it,
// then what it is compared with.
func (w *world) measure(ctx context.Context, r row, cached bool) (l line, err error) {
	l = line{name: r.name, cached: cached}
	d := w.draw(len(w.boards))
	next := func() request { return r.next(d) }
	if cached {
		// Fills the cache with what is drawn most.
		if _, _, err := saturation(ctx, w.addr, 2*w.o.seconds, next, r.good); err != nil {
			return l, err
		}
	}
	before, err := w.counter("go_memstats_mallocs_total")
	if err != nil {
		return l, err
	}
	begun := time.Now()
	most, size, err := saturation(ctx, w.addr, w.o.seconds, next, r.good)
	if err != nil {
		return l, err
	}
	n := most * time.Since(begun).Seconds()
	after, err := w.counter("go_memstats_mallocs_total")
	if err != nil {
		return l, err
	}
	l.most, l.bytes, l.allocs = most, size, (after-before)/n
	profiled, err := w.profile(l)
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, profiled()) }()
	if l.half, err = open(ctx, w.addr, most/2, w.o.seconds, next, r.good); err != nil {
		return l, err
	}
	switch {
	case cached && !r.mixed:
		l.beside = "bare Gin"
		l.ratio, err = w.bare(ctx, r, most)
	case !r.uncached && !cached && !r.mixed, r.name == "API list":
		l.beside = "its SQL, p50"
		l.ratio, err = w.bareSQL(ctx, r, l.half.p50)
	}
	return l, err
}

// profile starts serve's CPU profile for the row's second half, where profiles
// are asked for; done waits for it and adds the heap's.
func (w *world) profile(l line) (done func() error, err error) {
	if w.o.profiles == "" {
		return func() error { return nil }, nil
	}
	if err := os.MkdirAll(w.o.profiles, 0o750); err != nil {
		return nil, err
	}
	keep := func(kind, query string) error {
		res, err := http.Get("http://" + w.serves[0].ops + "/debug/pprof/" + kind + query) //nolint:noctx // our own process
		if err != nil {
			return err
		}
		body, err := drain(res)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("%s cached=%v.%s.pprof", l.name, l.cached, kind)
		return os.WriteFile(filepath.Join(w.o.profiles, strings.NewReplacer(" ", "-", ":", "", "/", "").Replace(name)), body, 0o600)
	}
	cpu := make(chan error, 1)
	go func() { cpu <- keep("profile", fmt.Sprintf("?seconds=%d", max(1, int(w.o.seconds.Seconds())))) }()
	return func() error { return errors.Join(<-cpu, keep("heap", "?gc=1")) }, nil
}

// bare serves the same bytes and headers of one page from a Gin handler in a
// process of its own, under the same load.
func (w *world) bare(ctx context.Context, r row, most float64) (float64, error) {
	d := w.draw(len(w.boards))
	one := r.next(d)
	req, err := http.NewRequestWithContext(ctx, one.method, "http://"+w.addr+one.path, nil)
	if err != nil {
		return 0, err
	}
	req.Host = one.host
	req.Header.Set("Accept-Encoding", "gzip")
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	head := res.Header
	body, err := drain(res)
	if err != nil {
		return 0, err
	}
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.NoRoute(func(c *gin.Context) {
		for name, values := range head {
			c.Writer.Header()[name] = values
		}
		c.Status(http.StatusOK)
		_, _ = c.Writer.Write(body)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	srv := &http.Server{Handler: engine, ReadHeaderTimeout: time.Minute}
	go func() { _ = srv.Serve(l) }()
	defer func() { _ = srv.Close() }()
	gins, _, err := saturation(ctx, l.Addr().String(), w.o.seconds, func() request { return r.next(d) }, ok)
	return most / gins, err
}

// statement finds what a connection was told, in Postgres' log.
var statement = regexp.MustCompile(`(?s)\[(\d+)\] \S+ LOG:  statement: (.*?)\n\d{4}-\d\d-\d\d `)

// pageOf is the statements of a page in a piece of the log: of the connection
// that was bound to a board first, from there to its last COMMIT.
func pageOf(log string) (page []string) {
	pid, whole := "", 0
	for _, m := range statement.FindAllStringSubmatch(log+"0000-00-00 ", -1) {
		if pid == "" && strings.HasPrefix(m[2], "BEGIN") && strings.Contains(m[2], "app.tenant_id") {
			pid = m[1]
		}
		if m[1] != pid {
			continue // of the worker, or a poll
		}
		page = append(page, m[2])
		if m[2] == "COMMIT" {
			whole = len(page)
		}
	}
	return page[:whole]
}

// bareSQL learns the statements of some pages from Postgres' own log and runs
// them through pgx alone: a page's p50 is given in times of its SQL's.
func (w *world) bareSQL(ctx context.Context, r row, p50 time.Duration) (float64, error) {
	if err := w.logStatements(ctx, "all"); err != nil {
		return 0, err
	}
	d := w.draw(len(w.boards))
	var pages [][]string
	for range 20 {
		before, err := os.Stat(w.pg.Cluster.LogFile())
		if err != nil {
			return 0, err
		}
		if _, err := w.fetch(ctx, r.next(d)); err != nil {
			return 0, err
		}
		time.Sleep(20 * time.Millisecond)
		raw, err := os.ReadFile(w.pg.Cluster.LogFile())
		if err != nil {
			return 0, err
		}
		if page := pageOf(string(raw[before.Size():])); len(page) > 0 {
			pages = append(pages, page)
		}
	}
	if err := w.logStatements(ctx, "none"); err != nil {
		return 0, err
	}
	if len(pages) == 0 {
		return 0, nil // a page that asks nothing
	}
	cfg, err := pgx.ParseConfig(w.pg.DatabaseURL)
	if err != nil {
		return 0, err
	}
	cfg.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var took []time.Duration
	for i := range 15 * len(pages) {
		begun := time.Now()
		for _, s := range pages[i%len(pages)] {
			if _, err := conn.Exec(ctx, s); err != nil {
				return 0, fmt.Errorf("%w: %.200s", err, s)
			}
		}
		if i >= len(pages) { // the first round warms
			took = append(took, time.Since(begun))
		}
	}
	sql := of(took).p50
	fmt.Fprintf(os.Stderr, "its SQL: %.2f ms in %d statements\n", ms(sql), len(pages[0]))
	return float64(p50) / float64(sql), nil
}

// logStatements tells the app's role what to log; connections that are open
// learn it when they are opened anew.
func (w *world) logStatements(ctx context.Context, what string) error {
	_, err := w.super.Exec(ctx, "ALTER SYSTEM SET log_statement = '"+what+"'")
	if err == nil {
		_, err = w.super.Exec(ctx, "SELECT pg_reload_conf()")
	}
	time.Sleep(100 * time.Millisecond)
	return err
}
