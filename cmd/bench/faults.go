package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"shingle/internal/pg"
)

// processFaults befall the program's own processes.
var processFaults = []fault{
	{name: "both serves and workers rolled, one by one", promise: "no failed request", during: func(ctx context.Context, c *chaos) error {
		return c.roll(ctx)
	}},
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
	{name: "serve and worker stopped for 5 s (a stalled machine)", promise: "leases pass on; no work doubled", away: true, during: func(ctx context.Context, c *chaos) error {
		for _, p := range []*process{c.w.serves[1], c.w.workers[1]} {
			_ = p.cmd.Process.Signal(syscall.SIGSTOP)
			defer func() { _ = p.cmd.Process.Signal(syscall.SIGCONT) }()
		}
		return wait(ctx, 5*time.Second)
	}},
}

// roll replaces every process by one of the program as it is now: a serve and a
// worker, then the others.
func (c *chaos) roll(ctx context.Context) error {
	for i := range c.w.serves {
		var serve, worker error
		var both sync.WaitGroup
		both.Go(func() { c.w.serves[i].end(); serve = c.w.relaunch(ctx, "serve", i) })
		both.Go(func() { c.w.workers[i].end(); worker = c.w.relaunch(ctx, "worker", i) })
		both.Wait()
		if err := errors.Join(serve, worker); err != nil {
			return err
		}
	}
	return nil
}

// startsSoon tries how long a serve takes from nothing to its first page, once
// the load is over. The bar is 500 ms; a machine that is busy with others' work
// is no reason to fail.
func (w *world) startsSoon(ctx context.Context) (what string, wrong []string) {
	took, err := w.coldStarts(ctx, "127.0.0.1:"+freePort(), 10)
	if err != nil {
		return "a serve starts", []string{err.Error()}
	}
	median := of(took).p50
	if median > 5*time.Second {
		wrong = []string{"ten times the bar"}
	}
	return fmt.Sprintf("from nothing to the first page in %.0f ms (median of %d, the slowest %.0f; the bar is 500 on a machine that does nothing else)", ms(median), len(took), ms(took[len(took)-1])), wrong
}

// postgresFaults befall the database.
var postgresFaults = []fault{
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
	{name: "Postgres restarted", promise: "cached pages served, the rest 503 with Retry-After; recovers by itself", away: true, broken: 32, during: func(ctx context.Context, c *chaos) error {
		_ = c.w.super.Close(ctx)
		err := c.w.pg.Stop(ctx)
		return errors.Join(err, c.cached(ctx), c.unavailable(ctx), c.w.startPostgres(ctx))
	}},
	{name: "Postgres out of connections (53300) for 4 s", promise: "cached pages served, the rest 503 with Retry-After; recovers by itself", away: true, during: func(ctx context.Context, c *chaos) error {
		// As if others held them all: none is given, and those that are there break.
		limit := func(n int) error {
			_, err := c.w.super.Exec(ctx, fmt.Sprintf(`ALTER ROLE shingle_app CONNECTION LIMIT %d; ALTER ROLE shingle_platform CONNECTION LIMIT %d`, n, n))
			return err
		}
		if err := limit(0); err != nil {
			return err
		}
		_, err := c.w.super.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename IN ('shingle_app', 'shingle_platform')`)
		_, refused := pg.Connect(ctx, c.w.pg.DatabaseURL)
		if pg.Code(refused) != "53300" {
			err = errors.Join(err, fmt.Errorf("a connection is not refused for want of them: %w", refused))
		}
		return errors.Join(err, wait(ctx, 2*time.Second), c.cached(ctx), c.unavailable(ctx), wait(ctx, 2*time.Second), c.cached(ctx), limit(-1))
	}},
	{name: "Postgres read-only for 4 s", promise: "pages are read, what writes is told 503 with Retry-After; recovers by itself", away: true, during: func(ctx context.Context, c *chaos) error {
		only := func(setting string) error {
			_, err := c.w.super.Exec(ctx, "ALTER SYSTEM "+setting)
			if err == nil {
				_, err = c.w.super.Exec(ctx, "SELECT pg_reload_conf()")
			}
			return err
		}
		if err := only("SET default_transaction_read_only = on"); err != nil {
			return err
		}
		err := errors.Join(wait(ctx, 2*time.Second), c.cached(ctx))
		if status := c.uncached(ctx); status != 200 {
			err = errors.Join(err, fmt.Errorf("an uncached page answers %d while the database can be read", status))
		}
		return errors.Join(err, c.refusesWrites(ctx), wait(ctx, 2*time.Second), only("RESET default_transaction_read_only"))
	}},
	{name: "Postgres' disk full (53100) for applications", promise: "pages are read, what writes is told 503 with Retry-After; recovers by itself", away: true, during: diskFull, cannot: func(c *chaos) string {
		if os.Geteuid() != 0 {
			return "a small disk needs root, to mount it"
		}
		dir, err := os.MkdirTemp("", "shingle-mount-")
		if err != nil {
			return err.Error()
		}
		defer func() { _ = os.Remove(dir) }()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
			return "a small disk cannot be mounted here: " + err.Error()
		}
		_ = syscall.Unmount(dir, syscall.MNT_DETACH)
		return ""
	}},
	{name: "the database's clock an hour ahead, then right again", promise: "no failed request; no work lost, doubled or left waiting", during: clockStep("+3600"), cannot: noClock},
	{name: "the database's clock an hour behind, then right again", promise: "no failed request; no work lost, doubled or left waiting", during: clockStep("-3600"), cannot: noClock},
}

// refusesWrites looks whether an application that cannot be kept is refused as
// it should be.
func (c *chaos) refusesWrites(ctx context.Context) error {
	d := c.w.draw(len(c.w.boards))
	d.caller = 99 << 12
	status, head, err := c.w.ask(ctx, applyAs(d, fmt.Sprintf("late-%d@example.org", people.Add(1))))
	if err != nil {
		return err
	}
	if status != 503 || head.Get("Retry-After") == "" {
		return fmt.Errorf("an application that cannot be kept answers %d, Retry-After %q", status, head.Get("Retry-After"))
	}
	return nil
}

// diskFull moves the applications to a disk of their own and fills that.
func diskFull(ctx context.Context, c *chaos) (err error) {
	w := c.w
	small := filepath.Join(w.pg.Cluster.Home, "small")
	if err := os.MkdirAll(small, 0o755); err != nil { //nolint:gosec // Postgres' account passes through
		return err
	}
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=16m"); err != nil {
		return err
	}
	unmount := func() { _ = syscall.Unmount(small, syscall.MNT_DETACH); _ = os.Remove(small) }
	defer unmount()
	space := filepath.Join(small, "space")
	var st syscall.Stat_t
	if err := errors.Join(os.Mkdir(space, 0o700), syscall.Stat(filepath.Join(w.pg.Cluster.Home, "data"), &st)); err != nil {
		return err
	}
	if err := os.Chown(space, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	run := func(q string) error {
		// Behind readers, never before them.
		for {
			_, err := w.super.Exec(ctx, q)
			if pg.Code(err) != "55P03" {
				return err
			}
		}
	}
	if _, err := w.super.Exec(ctx, "SET lock_timeout = '1s'"); err != nil {
		return err
	}
	if _, err := w.super.Exec(ctx, "CREATE TABLESPACE small LOCATION '"+space+"'"); err != nil {
		return err
	}
	// Few rows fill a page, so that the next ones need room.
	if err := run("ALTER TABLE applications SET (fillfactor = 10); ALTER TABLE applications SET TABLESPACE small"); err != nil {
		return err
	}
	fill := filepath.Join(small, "fill")
	f, err := os.Create(fill) // #nosec G304 -- under our folder
	if err != nil {
		return err
	}
	for block := make([]byte, 64<<10); err == nil; {
		_, err = f.Write(block)
		if err != nil && len(block) > 512 {
			block, err = block[:len(block)/2], nil
		}
	}
	_ = f.Close()
	if !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	var refused error
	for begun := time.Now(); ; {
		refused = c.refusesWrites(ctx)
		if refused == nil || time.Since(begun) > patience {
			break
		}
		if err := wait(ctx, 50*time.Millisecond); err != nil { // a page had room
			return err
		}
	}
	err = errors.Join(refused, c.cached(ctx), wait(ctx, 2*time.Second))
	if status := c.uncached(ctx); status != 200 {
		err = errors.Join(err, fmt.Errorf("an uncached page answers %d while the database can be read", status))
	}
	return errors.Join(err, os.Remove(fill), wait(ctx, time.Second),
		run("ALTER TABLE applications RESET (fillfactor); ALTER TABLE applications SET TABLESPACE pg_default"), run("DROP TABLESPACE small"))
}

// movableClock lets Postgres run on a clock that a file moves, where libfaketime
// is at hand. Every time that work waits for is the database's.
func (w *world) movableClock() error {
	found, _ := filepath.Glob("/usr/lib/*/faketime/libfaketime.so.1")
	if len(found) == 0 {
		return nil
	}
	dir, err := os.MkdirTemp("/var/tmp", "shingle-clock-")
	if err != nil {
		return err
	}
	w.cleanups = append(w.cleanups, func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // Postgres' account reads it
		return err
	}
	w.clock = filepath.Join(dir, "offset")
	w.pgEnv = []string{"LD_PRELOAD=" + found[0], "FAKETIME_TIMESTAMP_FILE=" + w.clock, "FAKETIME_CACHE_DURATION=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1", "FAKETIME_DISABLE_SHM=1"}
	return w.setClock("+0")
}

func (w *world) setClock(offset string) error {
	if err := os.WriteFile(w.clock+".new", []byte(offset+"\n"), 0o644); err != nil { //nolint:gosec // Postgres' account reads it
		return err
	}
	return os.Rename(w.clock+".new", w.clock)
}

func noClock(c *chaos) string {
	if c.w.clock == "" {
		return "libfaketime is not installed (apt-get install faketime), and no other clock can be moved without moving everybody's"
	}
	return ""
}

func clockStep(offset string) func(context.Context, *chaos) error {
	return func(ctx context.Context, c *chaos) error {
		for _, to := range []string{offset, "+0"} {
			if err := c.w.setClock(to); err != nil {
				return err
			}
			want, _ := time.ParseDuration(to + "s")
			for begun := time.Now(); ; {
				var at time.Time
				if err := c.w.super.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&at); err != nil {
					return err
				}
				if off := time.Until(at) - want; off.Abs() < time.Minute {
					break
				}
				if time.Since(begun) > patience {
					return fmt.Errorf("the database's clock does not follow to %s", to)
				}
				if err := wait(ctx, 100*time.Millisecond); err != nil {
					return err
				}
			}
			if err := wait(ctx, 4*time.Second); err != nil {
				return err
			}
		}
		return nil
	}
}

func realRedis(c *chaos) string {
	if c.w.redisCmd == nil {
		return "there is no redis-server on this machine: the one in this process can be neither killed nor full"
	}
	return ""
}

// redisFaults befall what may lose everything.
var redisFaults = []fault{
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
	{name: "Redis killed, and back empty 2 s later", promise: "no failed request; no work lost or doubled", cannot: realRedis, during: func(ctx context.Context, c *chaos) error {
		c.w.killRedis()
		path, args := c.w.redisCmd.Path, c.w.redisCmd.Args
		err := wait(ctx, 2*time.Second)
		c.w.redisCmd = exec.CommandContext(context.WithoutCancel(ctx), path, args[1:]...) // #nosec G204 -- as it was started before
		return errors.Join(err, c.w.redisCmd.Start())
	}},
	{name: "Redis full (maxmemory, noeviction) for 4 s", promise: "no failed request; work waits in Postgres", cannot: realRedis, during: func(ctx context.Context, c *chaos) error {
		full := func(memory string) error {
			return c.w.onRedis(func(r *redis.Client) error {
				return errors.Join(r.ConfigSet(ctx, "maxmemory-policy", "noeviction").Err(), r.ConfigSet(ctx, "maxmemory", memory).Err())
			})
		}
		if err := full("1"); err != nil {
			return err
		}
		err := c.w.onRedis(func(r *redis.Client) error { return r.Set(ctx, "chaos", "1", time.Second).Err() })
		if err == nil || !strings.Contains(err.Error(), "OOM") {
			return errors.Join(fmt.Errorf("a write to a full Redis answers %w", err), full("0"))
		}
		return errors.Join(wait(ctx, 4*time.Second), full("0"))
	}},
}

// workFaults are tasks that harm.
var workFaults = []fault{
	{name: "a poison task, and one that takes its worker down", promise: "both are given up after their tries and shown to staff; others go on; retry works", during: poison},
}

// prepare makes what faults are looked at with.
func (c *chaos) prepare(ctx context.Context) error {
	cmd := c.w.command(ctx, "staff", "create", "--email", "chaos@example.org", "--role", "superadmin")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("staff create: %w: %s", err, said)
	}
	var hash []byte
	c.staff, hash = newToken()
	// The staff's pages ask for a second factor, which this session has shown.
	_, err := c.w.super.Exec(ctx, `INSERT INTO operator_totp (operator_id, sealed, sealed_with, last_step, created_at) SELECT id, '', '', 0, now() FROM operators WHERE email = 'chaos@example.org'`)
	if err != nil {
		return err
	}
	_, err = c.w.super.Exec(ctx, `INSERT INTO operator_sessions (token_hash, operator_id, expires_at, factor_at)
		SELECT $1, id, now() + interval '1 day', now() FROM operators WHERE email = 'chaos@example.org'`, hash)
	if err != nil || c.w.find == nil {
		return err
	}
	if said, err := c.w.command(ctx, "search", "rebuild").CombinedOutput(); err != nil {
		return fmt.Errorf("search rebuild: %w: %s", err, said)
	}
	return nil
}

func poison(ctx context.Context, c *chaos) error {
	// The second has begun its last attempt, and nobody came back from it.
	rows, err := c.w.super.Query(ctx, `INSERT INTO tasks (tenant_id, id, kind, max_attempts, attempts, lease_until) VALUES
		($1, gen_random_uuid(), 'chaos.poison', 3, 0, NULL), ($1, gen_random_uuid(), 'chaos.deadly', 3, 3, now() - interval '1 second') RETURNING id::text`, c.w.boards[0].id)
	if err != nil {
		return err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	failed := func() error {
		return c.until(ctx, "both tasks are given up", func() (bool, error) {
			var n int
			err := c.w.super.QueryRow(ctx, `SELECT count(*) FROM tasks WHERE id::text = ANY($1) AND failed_at IS NOT NULL AND attempts >= 3 AND last_error <> ''`, ids).Scan(&n)
			return n == 2, err
		})
	}
	if err := failed(); err != nil {
		return err
	}
	page, err := c.onStaff(ctx, "GET", "/staff/tasks", 200)
	for _, kind := range []string{"chaos.poison", "chaos.deadly"} {
		if !strings.Contains(page, kind) {
			err = errors.Join(err, fmt.Errorf("/staff/tasks does not show %s", kind))
		}
	}
	for _, id := range ids {
		_, rerr := c.onStaff(ctx, "POST", "/staff/tasks/"+c.w.boards[0].id+"/"+id+"/retry", 303)
		err = errors.Join(err, rerr)
	}
	if err != nil {
		return err
	}
	var again int
	if err := c.w.super.QueryRow(ctx, `SELECT count(*) FROM tasks WHERE id::text = ANY($1) AND failed_at IS NULL`, ids).Scan(&again); err != nil {
		return err
	}
	if err := failed(); err != nil { // no handler has learnt them meanwhile
		return fmt.Errorf("after retry: %w", err)
	}
	for _, id := range ids {
		_, derr := c.onStaff(ctx, "POST", "/staff/tasks/"+c.w.boards[0].id+"/"+id+"/discard", 303)
		err = errors.Join(err, derr)
	}
	if again == 0 {
		err = errors.Join(err, errors.New("retry brought no task back"))
	}
	return err
}

// onStaff asks a page of the platform's staff.
func (c *chaos) onStaff(ctx context.Context, method, path string, want int) (string, error) {
	d := c.w.draw(1)
	d.caller = 98 << 12
	h := d.header()
	h.Set("Cookie", "__Host-operator="+c.staff)
	r := request{method: method, host: "platform.localhost", path: path, header: h}
	status, _, body, err := c.w.answer(ctx, c.w.addr, r)
	if err == nil && status != want {
		err = fmt.Errorf("%s %s answers %d, want %d", method, path, status, want)
	}
	return string(body), err
}

// until waits for something that is promised without a time.
func (c *chaos) until(ctx context.Context, what string, ok func() (bool, error)) error {
	for begun := time.Now(); ; {
		done, err := ok()
		if err != nil || done {
			return err
		}
		if time.Since(begun) > patience {
			return fmt.Errorf("not within %s: %s", patience, what)
		}
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}
