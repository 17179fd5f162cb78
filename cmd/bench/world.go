package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"shingle/billing"
	"shingle/billing/stripesim"
	"shingle/internal/devstack"
	"shingle/internal/mailbox"
	"shingle/migrations"
)

// world is what a run needs: servers that stay, and processes of the program.
type world struct {
	o        options
	dir      string
	pg       *devstack.Server
	super    *pgx.Conn // sees through row level security
	redis    string
	env      []string
	serves   []*process
	workers  []*process
	balancer net.Listener
	addr     string // where load goes
	sim      *stripesim.Sim
	stripe   string // its address
	smtp     string
	box      *mailbox.Box
	key      string // of the board's product
	secret   string
	seeding  string
	boards   []board
	client   http.RoundTripper
	mu       sync.Mutex // of serves, while they are replaced
	large    *board
	token    string // of the large board's owner
	cleanups []func()

	// binary is the program as started now; an upgrade changes it.
	binary   string
	pgEnv    []string  // of Postgres' own process
	clock    string    // the file that moves its clock; empty: none can
	redisCmd *exec.Cmd // nil when Redis runs in this process
	hooks    *unruly   // Stripe's deliveries
	find     *finder   // Typesense; nil when nobody asked for it
}

// board is what requests of a board are drawn from; the most visited first.
type board struct {
	host      string
	id        string
	listings  []string // paths
	companies []string
}

func settings() string {
	return "the settings of `make run` (256 MB shared buffers)"
}

func newWorld(ctx context.Context, o options) (w *world, err error) {
	w = &world{o: o, dir: o.keep, binary: o.binary, client: &http.Transport{MaxIdleConnsPerHost: 32}}
	if o.before != "" {
		w.binary = o.before
	}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.dir == "" {
		if w.dir, err = os.MkdirTemp("", "shingle-bench-"); err != nil {
			return nil, err
		}
		w.cleanups = append(w.cleanups, func() { _ = os.RemoveAll(w.dir) })
	}
	if w.dir, err = filepath.Abs(w.dir); err != nil {
		return nil, err
	}
	if err = os.MkdirAll(w.dir, 0o750); err != nil {
		return nil, err
	}
	if o.chaos >= 0 {
		if err = w.movableClock(); err != nil {
			return nil, err
		}
	}
	w.cleanups = append(w.cleanups, func() {
		if w.pg != nil {
			_ = w.pg.Stop(context.WithoutCancel(ctx))
		}
	})
	w.cleanups = append(w.cleanups, func() {
		if w.super != nil {
			_ = w.super.Close(context.WithoutCancel(ctx))
		}
	})
	if err = w.startPostgres(ctx); err != nil {
		return nil, err
	}
	if err = w.startRedis(ctx); err != nil {
		return nil, err
	}
	if err = w.startOthers(ctx); err != nil {
		return nil, err
	}
	if o.chaos >= 0 {
		w.startFinder()
	}
	if err = w.migrate(ctx); err != nil {
		return nil, err
	}
	if err = w.seed(ctx); err != nil {
		return nil, err
	}
	if err = w.read(ctx); err != nil {
		return nil, err
	}
	w.token, err = w.operator(ctx)
	return w, err
}

func (w *world) close() {
	w.stop()
	for i := len(w.cleanups) - 1; i >= 0; i-- {
		w.cleanups[i]()
	}
}

// startRedis prefers a real server.
func (w *world) startRedis(ctx context.Context) error {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		url, stop, err := devstack.Redis(ctx)
		w.redis, w.cleanups = url, append(w.cleanups, stop)
		return err
	}
	port := freePort()
	w.redis = "redis://127.0.0.1:" + port + "/0"
	w.cleanups = append(w.cleanups, w.killRedis)
	return w.launchRedis(ctx, path, port)
}

func (w *world) launchRedis(ctx context.Context, path, port string) error {
	w.redisCmd = exec.CommandContext(context.WithoutCancel(ctx), path, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", w.dir) // #nosec G204 -- found on the path
	return w.redisCmd.Start()
}

func (w *world) killRedis() { _ = w.redisCmd.Process.Kill(); _ = w.redisCmd.Wait() }

func (w *world) startPostgres(ctx context.Context) (err error) {
	if w.pg, err = devstack.Postgres(ctx, w.dir, func(f string, a ...any) { fmt.Fprintf(os.Stderr, f+"\n", a...) }, w.pgEnv...); err != nil {
		return err
	}
	w.super, err = pgx.Connect(ctx, w.pg.Cluster.SuperuserURL(devstack.Database))
	return err
}

// migrate brings the schema to where the program that starts wants it.
func (w *world) migrate(ctx context.Context) error {
	if w.o.before == "" {
		return migrations.Up(ctx, w.pg.MigrateURL, w.pg.DatabaseURL, w.pg.PlatformURL)
	}
	return w.migrateBy(ctx, w.binary)
}

func (w *world) migrateBy(ctx context.Context, binary string) error {
	cmd := exec.CommandContext(ctx, binary, "migrate", "up") // #nosec G204 -- the program under test
	cmd.Env = append(slices.Clone(w.env), "SHINGLE_MIGRATE_DATABASE_URL="+w.pg.MigrateURL)
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s migrate up: %w: %s", binary, err, said)
	}
	return nil
}

// startOthers plays Stripe and the mail server, and says how to reach all.
func (w *world) startOthers(ctx context.Context) error {
	w.secret = "whsec_bench"
	w.addr = "127.0.0.1:" + freePort()
	srv := httptest.NewUnstartedServer(nil)
	w.hooks = &unruly{next: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		// The platform's name means the load's address here.
		return new(net.Dialer).DialContext(ctx, network, w.addr)
	}}}
	w.sim = stripesim.New(stripesim.Options{BaseURL: "http://" + srv.Listener.Addr().String(), Log: slog.New(slog.DiscardHandler),
		HTTP:      &http.Client{Timeout: 10 * time.Second, Transport: w.hooks},
		Backoff:   slices.Repeat([]time.Duration{500 * time.Millisecond}, 400),
		Endpoints: []stripesim.Endpoint{{URL: "http://platform.localhost" + billing.WebhookPath, Secret: w.secret}, {URL: "http://platform.localhost" + billing.WebhookPath, Secret: w.secret, Connect: true}}})
	srv.Config.Handler = w.sim.Handler()
	srv.Start()
	w.stripe = srv.Listener.Addr().String()
	w.cleanups = append(w.cleanups, srv.Close)
	box, err := mailbox.Open(filepath.Join(w.dir, "mail"), time.Now)
	if err != nil {
		return err
	}
	w.box = box
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	bg, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w.smtp = l.Addr().String()
	running.Go(func() { _ = box.Serve(bg, l) })
	running.Go(func() { _ = w.sim.Run(bg) })
	w.cleanups = append(w.cleanups, func() { cancel(); running.Wait() })
	w.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, "SHINGLE_DATA_DIR=" + w.dir, "SHINGLE_DATABASE_URL=" + w.pg.DatabaseURL, "SHINGLE_PLATFORM_DATABASE_URL=" + w.pg.PlatformURL,
		"SHINGLE_REDIS_URL=" + w.redis, "SHINGLE_BOARD_DOMAIN=localhost", "SHINGLE_PUBLIC_URL=http://localhost:8080", "SHINGLE_STRIPE_KEY=sk_test_bench", "SHINGLE_STRIPE_API_BASE=" + srv.URL,
		"SHINGLE_STRIPE_WEBHOOK_SECRET=" + w.secret, "SHINGLE_SMTP_URL=smtp://" + l.Addr().String(), "SHINGLE_SECRET_KEY=" + hex.EncodeToString(secretKey),
		// Each request says another caller, so that limits stand where they are.
		"SHINGLE_TRUSTED_PROXIES=127.0.0.1"}
	w.env = append(w.env, strings.Fields(w.o.env)...)
	return nil
}

func (w *world) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, w.binary, args...) // #nosec G204 -- the program under measurement
	cmd.Env = w.env
	return cmd
}

// seedMore brings seed-1 … seed-N to at least so many listings each; it returns
// the command's last line.
func (w *world) seedMore(ctx context.Context, boards, listings int) (string, error) {
	args := []string{"seed", "--boards", strconv.Itoa(boards), "--listings", strconv.Itoa(listings)}
	if w.o.data != "" {
		args = append(args, "--data", w.o.data)
	}
	cmd := w.command(ctx, args...)
	var said bytes.Buffer
	cmd.Stderr = io.MultiWriter(os.Stderr, &said)
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("seeding: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(said.String()), "\n")
	return lines[len(lines)-1], nil
}

// seed fills the boards, the large one last.
func (w *world) seed(ctx context.Context) error {
	said, err := w.seedMore(ctx, w.o.boards, w.o.each)
	if err != nil {
		return err
	}
	w.seeding = "Seeding: " + said + "."
	if w.o.large == 0 {
		return nil
	}
	// The first board grows: seed adds what is missing to it.
	if _, err := w.seedMore(ctx, 1, w.o.large); err != nil {
		return err
	}
	_, err = w.super.Exec(ctx, "VACUUM ANALYZE")
	return err
}

// read learns the hosts and paths to ask for.
func (w *world) read(ctx context.Context) error {
	w.boards = nil
	rows, err := w.super.Query(ctx, `SELECT b.slug, b.id::text,
			ARRAY(SELECT '/jobs/' || l.slug || '-' || l.public_id FROM listings l WHERE l.tenant_id = b.id AND l.state = 'live' ORDER BY l.published_at DESC LIMIT 200),
			ARRAY(SELECT '/companies/' || c.slug FROM companies c WHERE c.tenant_id = b.id ORDER BY c.slug LIMIT 50)
		FROM boards b WHERE b.slug LIKE 'seed-%' ORDER BY length(b.slug), b.slug`)
	if err != nil {
		return err
	}
	for rows.Next() {
		var b board
		var slug string
		if err := rows.Scan(&slug, &b.id, &b.listings, &b.companies); err != nil {
			return err
		}
		b.host = slug + ".localhost"
		w.boards = append(w.boards, b)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if len(w.boards) == 0 {
		return errors.New("no board was seeded")
	}
	if w.o.large > 0 {
		w.large, w.boards = &w.boards[0], w.boards[min(1, len(w.boards)-1):]
	}
	return nil
}

// process is one of the program's.
type process struct {
	cmd         *exec.Cmd
	ops, listen string
	checked     atomic.Int64
	down        atomic.Bool
}

func (w *world) launch(ctx context.Context, role, listen string, cached bool) (*process, error) {
	p := &process{ops: "127.0.0.1:" + freePort()}
	p.cmd = w.command(context.WithoutCancel(ctx), role)
	p.cmd.Env = append(p.cmd.Env, "SHINGLE_OPS_LISTEN="+p.ops, "SHINGLE_LISTEN="+listen, "SHINGLE_PAGE_CACHE="+strconv.FormatBool(cached))
	log, err := os.OpenFile(filepath.Join(w.dir, role+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) // #nosec G304 -- under our folder
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	p.cmd.Stderr, p.cmd.Stdout = log, log
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	for until := time.Now().Add(patience); ; {
		res, err := http.Get("http://" + p.ops + "/readyz") //nolint:noctx // a probe of our own process
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return p, nil
			}
		}
		if time.Now().After(until) || ctx.Err() != nil {
			p.end()
			return nil, fmt.Errorf("%s does not become ready: see %s", role, log.Name())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (p *process) end() {
	if p != nil && p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		_ = p.cmd.Wait()
	}
}

// resident is the process' memory in bytes.
func (p *process) resident() int64 { return resident(p.cmd.Process.Pid, "VmRSS:") }

func resident(pid int, field string) int64 {
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/status") // #nosec G304 -- a process of ours
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	for in := bufio.NewScanner(f); in.Scan(); {
		if rest, ok := strings.CutPrefix(in.Text(), field); ok {
			kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10
		}
	}
	return 0
}

// ownResident says what a serve and a worker take: each by itself, and together
// with the program's file, which both have in memory, counted once.
func (w *world) ownResident() string {
	a, b := w.serves[0], w.workers[0]
	file := func(p *process) int64 { return resident(p.cmd.Process.Pid, "RssFile:") }
	return fmt.Sprintf("serve %d MB, worker %d MB, together %d MB (the program's file, %d MB, once)", a.resident()>>20, b.resident()>>20,
		(a.resident()+b.resident()-min(file(a), file(b)))>>20, max(file(a), file(b))>>20)
}

// postgresResident is every backend's own memory, and what they share once.
func (w *world) postgresResident() int64 {
	var total, shared int64
	dirs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range dirs {
		line, err := os.ReadFile(file) // #nosec G304 -- of the kernel's
		if err != nil || !bytes.Contains(line, []byte("postgres")) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if !bytes.Contains(line, []byte(w.dir)) && !bytes.Contains(line, []byte(":")) {
			continue
		}
		total += resident(pid, "RssAnon:")
		shared = max(shared, resident(pid, "RssShmem:"))
	}
	return total + shared
}

// counter reads one figure of the first serve's.
func (w *world) counter(name string) (float64, error) {
	res, err := http.Get("http://" + w.serves[0].ops + "/metrics") //nolint:noctx // our own process
	if err != nil {
		return 0, err
	}
	body, err := drain(res)
	if err != nil {
		return 0, err
	}
	for line := range strings.SplitSeq(string(body), "\n") {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(rest, 64)
		}
	}
	return 0, fmt.Errorf("no metric %s", name)
}

// start runs so many serves, behind a balancer when there are several, and a worker.
func (w *world) start(ctx context.Context, cached bool, replicas int) (err error) {
	listen := w.addr
	for range replicas {
		if replicas > 1 {
			listen = "127.0.0.1:" + freePort()
		}
		p, err := w.launch(ctx, "serve", listen, cached)
		if err != nil {
			return err
		}
		p.listen = listen
		w.serves = append(w.serves, p)
	}
	if replicas > 1 {
		if err := w.balance(); err != nil {
			return err
		}
	}
	p, err := w.launch(ctx, "worker", "127.0.0.1:"+freePort(), cached)
	w.workers = append(w.workers, p)
	return err
}

func (w *world) stop() {
	if w.balancer != nil {
		_ = w.balancer.Close()
		w.balancer = nil
	}
	for _, p := range append(w.serves, w.workers...) {
		p.end()
	}
	w.serves, w.workers = nil, nil
}

// swap puts a new process in the place of one that ended.
func (w *world) swap(i int, p *process) {
	w.mu.Lock()
	w.serves[i] = p
	w.mu.Unlock()
}

// listening is where the i-th serve takes requests, and whether it was ready a
// moment ago: a balancer's health check.
func (w *world) listening(i int64) (addr string, up bool) {
	w.mu.Lock()
	p := w.serves[int(i)%len(w.serves)]
	w.mu.Unlock()
	if now := time.Now().UnixNano(); now-p.checked.Load() > int64(300*time.Millisecond) {
		p.checked.Store(now)
		p.down.Store(!p.ready())
	}
	return p.listen, !p.down.Load()
}

func (p *process) ready() bool {
	c := http.Client{Timeout: time.Second}
	res, err := c.Get("http://" + p.ops + "/readyz") //nolint:noctx // a probe of our own process
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

func freePort() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "0"
	}
	defer func() { _ = l.Close() }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}
