// Command bench measures Shingle as users meet it: the release binary as serve
// and worker processes beside a Postgres of its own, filled by `shingle seed`,
// asked over TCP. It prints one table and writes it to bench/results. What it
// measures against stands in the same run: a bare Gin handler for pages from the
// cache, the page's own SQL through pgx for all others. Start at run.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

type options struct {
	binary       string
	boards, each int
	large        int
	grow, deep   int
	data         string
	seconds      time.Duration
	rows         *regexp.Regexp
	scaling      bool
	out          string
	keep         string
	env          string
	profiles     string
	chaos        time.Duration
	before       string
	seed         int64
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o := flags()
	do := run
	if o.chaos >= 0 {
		do = func(ctx context.Context, o options) error { return runChaos(ctx, o, o.chaos) }
	}
	if err := do(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench: "+err.Error())
		os.Exit(1)
	}
}

func flags() options {
	o := options{boards: 200, each: 500, large: 20_000, deep: 100_000}
	if os.Getenv("BENCH") == "full" {
		o.boards, o.each, o.large, o.deep = 1000, 1000, 100_000, 1_000_000
	}
	flag.StringVar(&o.binary, "binary", "bin/shingle", "the program")
	flag.IntVar(&o.boards, "boards", o.boards, "how many boards")
	flag.IntVar(&o.each, "listings", o.each, "live listings of each")
	flag.IntVar(&o.large, "large", o.large, "live listings of one more board; 0: none")
	flag.IntVar(&o.grow, "grow", 10_000, "how many boards, of few listings, pages are compared on")
	flag.IntVar(&o.deep, "deep", o.deep, "how many listings of one board searches are compared on")
	flag.StringVar(&o.data, "data", os.Getenv("BENCH_DATA"), "JSON Lines to take texts from")
	flag.DurationVar(&o.seconds, "for", 6*time.Second, "how long each row is measured, at most and again at half")
	rows := flag.String("rows", "", "measure the rows alone that match")
	flag.BoolVar(&o.scaling, "scaling", true, "measure more boards, more replicas and more listings, too")
	flag.StringVar(&o.out, "out", "bench/results", "where the table is kept")
	chaos := flag.Bool("chaos", false, "let things go wrong under load instead of measuring")
	long := flag.Duration("long", 0, "repeat the faults for so long")
	flag.StringVar(&o.before, "before", "", "with -chaos: the program of another revision, upgraded from and gone back to")
	flag.Int64Var(&o.seed, "seed", time.Now().UnixNano()%1_000_000, "with -long: draws the same faults again")
	flag.StringVar(&o.env, "env", "", "settings of the processes, separated by spaces: GOGC=50 SHINGLE_DATABASE_CONNECTIONS=8")
	flag.StringVar(&o.keep, "world", "", "keep the data set here and use it again")
	flag.StringVar(&o.profiles, "profiles", "", "keep serve's CPU and heap profile of each row in this folder")
	flag.Parse()
	o.chaos = -1
	if *chaos {
		o.chaos = *long
	}
	o.rows = regexp.MustCompile(*rows)
	return o
}

// run makes the world, measures every row and prints the table.
func run(ctx context.Context, o options) error {
	w, err := newWorld(ctx, o)
	if err != nil {
		return err
	}
	defer w.close()
	t := &table{begun: time.Now(), options: o, seeding: w.seeding}
	for _, cached := range []bool{true, false} {
		if err := w.start(ctx, cached, 1); err != nil {
			return err
		}
		w.warm(ctx)
		for _, r := range w.rows() {
			if !o.rows.MatchString(r.name) || r.uncached && cached {
				continue
			}
			line, err := w.measure(ctx, r, cached)
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			t.add(line)
		}
		t.memory(cached, w)
		w.stop()
	}
	if err := t.keep(); err != nil {
		return err
	}
	if o.scaling {
		if err := w.scale(ctx, t); err != nil {
			return err
		}
		if err := t.benchmarks(ctx); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	fmt.Print("\n" + t.String())
	fmt.Fprintln(os.Stderr, "written to "+t.file())
	return t.keep()
}

// table is what is printed.
type table struct {
	begun   time.Time
	options options
	seeding string
	lines   []line
	notes   []string
	parts   []string // lines of the Go benchmarks
}

// line is one measured row.
type line struct {
	name   string
	cached bool
	most   float64 // requests a second at saturation
	half   quantiles
	bytes  int     // of a body as sent
	allocs float64 // of the process, per request
	beside string  // what it is compared with
	ratio  float64
}

func (t *table) file() string {
	return filepath.Join(t.options.out, t.begun.Format(time.DateOnly)+".md")
}

// keep writes what is known so far: a long run that is cut short was not for nothing.
func (t *table) keep() error {
	if err := os.MkdirAll(t.options.out, 0o750); err != nil {
		return err
	}
	return os.WriteFile(t.file(), []byte(t.String()), 0o600)
}

func (t *table) add(l line) {
	t.lines = append(t.lines, l)
	fmt.Fprintln(os.Stderr, l)
}

func (l line) String() string {
	cache := "off"
	if l.cached {
		cache = "on"
	}
	ratio := "–"
	if l.ratio > 0 {
		ratio = fmt.Sprintf("%.2f of %s", l.ratio, l.beside)
	}
	return fmt.Sprintf("| %s | %s | %.0f | %.2f | %.2f | %d | %.0f | %s |", l.name, cache, l.most, ms(l.half.p50), ms(l.half.p99), l.bytes, l.allocs, ratio)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (t *table) memory(cached bool, w *world) {
	where := "on"
	if !cached {
		where = "off"
	}
	t.notes = append(t.notes, fmt.Sprintf("resident after the rows with the cache %s: %s, Postgres %d MB (its own memory, shared buffers once)", where, w.ownResident(), w.postgresResident()>>20))
}

func (t *table) String() string {
	var b strings.Builder
	o := t.options
	fmt.Fprintf(&b, "# Shingle, measured on %s\n\n", t.begun.Format(time.DateOnly))
	fmt.Fprintf(&b, "%d boards × %d listings and one of %d; %d cores shared by everything, this tool included; %s; Postgres: %s.\n", o.boards, o.each, o.large, runtime.NumCPU(), runtime.Version(), settings())
	fmt.Fprintf(&b, "Boards, listings (50 of a board) and words are drawn by Zipf's law. Most: closed loop, %d connections. Quantiles: open loop at half of that, from the moment a request was due.\n", connections)
	if o.env != "" {
		fmt.Fprintf(&b, "Settings: %s.\n", o.env)
	}
	fmt.Fprintf(&b, "Rows with the cache off are those of a page that nobody asked for before.\n\n")
	fmt.Fprintln(&b, t.seeding)
	fmt.Fprint(&b, "\n| row | page cache | most, requests/s | p50 at half, ms | p99 at half, ms | bytes | allocations | beside |\n|---|---|---|---|---|---|---|---|\n")
	for _, l := range t.lines {
		fmt.Fprintln(&b, l)
	}
	fmt.Fprintln(&b)
	for _, n := range t.notes {
		fmt.Fprintln(&b, "- "+n)
	}
	if len(t.parts) > 0 {
		fmt.Fprintf(&b, "\nParts by themselves (`go test -bench`):\n\n```\n%s\n```\n", strings.Join(t.parts, "\n"))
	}
	return b.String()
}
