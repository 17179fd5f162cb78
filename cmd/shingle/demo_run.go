package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/internal/config"
	demodata "shingle/internal/demo"
	"shingle/internal/devstack"
	"shingle/internal/listen"
	"shingle/internal/pg"
	"shingle/internal/proxies"
	"shingle/migrations"
	"shingle/tenant"
	"shingle/web/demo"
)

func demoCmd() *cobra.Command {
	hour := 3
	cmd := &cobra.Command{
		Use: "demo", Short: "Run a demo for the world: parts to take with one click, a banner, all made anew each night", Args: cobra.NoArgs,
		Long: "Like dev, with its own Postgres, Redis, mail and Stripe, in a data directory of its own (.shingle-demo). Nothing leaves the machine: mail is caught and shown to everybody,\n" +
			"money is simulated, no host outside is asked. Once a day, and on `shingle demo reset`, everything is deleted and made anew.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if hour < 0 || hour > 23 {
				return errors.New("--reset-hour is an hour of the day in UTC: 0 to 23")
			}
			return runDemo(cmd.Context(), cmd.OutOrStdout(), hour)
		},
	}
	cmd.Flags().IntVar(&hour, "reset-hour", hour, "the hour, in UTC, at which everything is made anew")
	cmd.AddCommand(&cobra.Command{
		Use: "reset", Short: "Make the running demo anew, now", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load("demo")
			if err != nil {
				return err
			}
			return resetDemo(cmd.Context(), cmd.OutOrStdout(), cfg.DataDir)
		},
	})
	return cmd
}

const (
	// demoMark says that a data directory is a demo's: it may be emptied.
	demoMark = "demo"
	// demoAsked is there while somebody waits for a reset.
	demoAsked = "reset-asked"
)

// errReset ends a round of the demo.
var errReset = errors.New("the demo is made anew")

// runDemo lives in rounds: each is a whole world, from its first row to its reset.
func runDemo(ctx context.Context, out io.Writer, hour int) (err error) {
	cfg, err := load("demo")
	if err != nil {
		return err
	}
	if err := markDemo(cfg.DataDir); err != nil {
		return err
	}
	lock, err := devstack.Hold(cfg.DataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	pause, err := demo.Pause()
	if err != nil {
		return err
	}
	l, err := listen.TCP(ctx, cfg.Listen)
	if err != nil {
		return fmt.Errorf("SHINGLE_LISTEN: %w", err)
	}
	trusted, err := proxies.Parse(cfg.TrustedProxies)
	if err != nil {
		return fmt.Errorf("SHINGLE_TRUSTED_PROXIES: %w", err)
	}
	front := &demoFront{pause: pause}
	srv := listen.New(front, listen.Public)
	srv.Exempt = trusted.Has
	return together(ctx, func(ctx context.Context) error { return srv.Until(ctx, l) }, func(ctx context.Context) error {
		asked := filepath.Join(cfg.DataDir, demoAsked)
		for {
			round := &demoRound{asked: asked, hour: hour, front: front, now: time.Now, full: make(chan struct{})}
			_, err := os.Stat(asked)
			round.afresh = err == nil
			c := *cfg
			c.DNSServers = []string{nobodysDNS}
			if round.afresh {
				stderr("making everything anew")
				if err := emptyDemo(cfg.DataDir); err != nil {
					return err
				}
			}
			err = (&devWorld{cfg: &c, demo: round, logs: os.Stderr}).run(ctx, out, time.Now(), round.serve)
			front.to.Store(nil)
			if !errors.Is(err, errReset) || ctx.Err() != nil {
				return err
			}
			if err := os.WriteFile(asked, nil, 0o600); err != nil { // a reset that is cut short goes on at the next start
				return err
			}
		}
	})
}

// markDemo takes a data directory for the demo, unless it is somebody else's.
func markDemo(dir string) error {
	mark := filepath.Join(dir, demoMark)
	if _, err := os.Stat(mark); err == nil {
		return nil
	}
	if there, err := os.ReadDir(dir); err == nil && len(there) > 0 {
		return fmt.Errorf("%s is not a demo's: a demo deletes what it finds once a day. Name another SHINGLE_DATA_DIR, or none", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // Postgres' account must pass through
		return err
	}
	return os.WriteFile(mark, []byte("shingle demo: emptied once a day\n"), 0o600)
}

// emptyDemo deletes what a demo keeps in files.
func emptyDemo(dir string) error {
	var errs []error
	for _, name := range []string{"files", "mail", "stripe.json"} {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, name)))
	}
	return errors.Join(errs...)
}

// resetDemo asks the running demo and waits until it is there again.
func resetDemo(ctx context.Context, out io.Writer, dir string) error {
	if _, err := os.Stat(filepath.Join(dir, demoMark)); err != nil {
		return fmt.Errorf("there is no demo in %s: set SHINGLE_DATA_DIR as for `shingle demo`", dir)
	}
	asked := filepath.Join(dir, demoAsked)
	if err := os.WriteFile(asked, nil, 0o600); err != nil {
		return err
	}
	if lock, err := devstack.Hold(dir); err == nil {
		fmt.Fprintln(out, "the demo does not run: it is made anew when it starts")
		return lock.Release()
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(3 * time.Minute); ; {
		if _, err := os.Stat(asked); errors.Is(err, os.ErrNotExist) {
			fmt.Fprintln(out, "the demo is made anew")
			return nil
		}
		select {
		case <-tick.C:
		case <-late:
			return errors.New("the demo was not made anew within three minutes: look at what it prints")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// demoFront answers on the demo's address all the time.
type demoFront struct {
	to    atomic.Pointer[http.Handler]
	pause http.Handler
}

func (f *demoFront) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := f.to.Load(); h != nil {
		(*h).ServeHTTP(w, r)
		return
	}
	f.pause.ServeHTTP(w, r)
}

// demoRound is the time from one reset to the next.
type demoRound struct {
	asked  string
	hour   int
	afresh bool
	front  *demoFront
	now    func() time.Time
	until  time.Time
	full   chan struct{} // closed when the boards are there
}

// clear empties the database of a round that begins afresh.
func (d *demoRound) clear(ctx context.Context, cfg *config.Config) error {
	d.until = demo.NextReset(d.now(), d.hour)
	if !d.afresh {
		return nil
	}
	if err := migrations.Prepare(ctx, cfg.MigrateDatabaseURL, cfg.DatabaseURL, cfg.PlatformDatabaseURL); err != nil {
		return err
	}
	conn, err := pg.Connect(ctx, cfg.MigrateDatabaseURL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if err := migrations.Clear(ctx, tx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

func (d *demoRound) wrap(a *app, w *devWorld, next http.Handler) (http.Handler, error) {
	p := &demo.Demo{DB: a.db, Platform: a.platform, Boards: a.boards, Operators: a.operators, People: a.people, Links: a.links, Ensure: a.ensurePart, Next: d.until,
		Mail: w.url("mail", "/mail"), Stripe: w.url("stripe", "/"), Targets: a.links.Scheme + "://*." + a.cfg.BoardDomain + a.links.Port, Now: d.now}
	if err := p.Load(); err != nil {
		return nil, err
	}
	return p.Handler(next), nil
}

// serve shows the product once the boards are there.
func (d *demoRound) serve(h http.Handler) (func(context.Context) error, error) {
	return func(ctx context.Context) error {
		select {
		case <-d.full:
			d.front.to.Store(&h)
			<-ctx.Done()
		case <-ctx.Done():
		}
		return nil
	}, nil
}

func (d *demoRound) seeded() { close(d.full) }

func (d *demoRound) say(out io.Writer, a *app, took time.Duration) error {
	if err := os.Remove(d.asked); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	_, err := fmt.Fprintf(out, "The demo is ready (%s): %s\nIt is made anew at %s, and by `shingle demo reset`. Stop it with Ctrl-C.\n",
		took.Round(100*time.Millisecond), a.links.Platform(demo.Path), d.until.Format("2006-01-02 15:04 MST"))
	return err
}

// wait ends the round at its hour, or when somebody asks.
func (d *demoRound) wait(ctx context.Context) error {
	select {
	case <-d.full:
	case <-ctx.Done():
		return nil
	}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if _, err := os.Stat(d.asked); err == nil || !d.now().Before(d.until) {
			return errReset
		}
	}
}

// nobodysDNS is a port of this machine that nothing listens on: questions about
// hosts that visitors name end there.
const nobodysDNS = "127.0.0.1:1"

var errOutside = errors.New("a demo asks nobody outside")

// stayInside keeps the program from asking hosts that visitors name.
func (a *app) stayInside() {
	a.domains.Probe = func(context.Context, string) error { return errOutside }
	a.domains.ProbeBase = func(context.Context, string, string) error { return errOutside }
	a.access.HTTP = &http.Client{Transport: nobody{}}
}

// nobody is the network of a demo.
type nobody struct{}

func (nobody) RoundTrip(*http.Request) (*http.Response, error) { return nil, errOutside }

// ensurePart finds who takes a part, on the board that speaks the visitor's
// language, and gives back what an earlier visitor took from them: their account,
// their role, the board's doors.
func (a *app) ensurePart(ctx context.Context, part, locale string) (*demo.Person, error) {
	boards, err := demodata.Boards()
	if err != nil {
		return nil, err
	}
	b := &boards[max(0, slices.IndexFunc(boards, func(b demodata.Board) bool { return b.Locale == locale }))]
	if part == demo.Staff {
		return &demo.Person{Email: demoStaffEmail}, a.demoStaff(ctx)
	}
	t, err := a.boards.BySlug(ctx, b.Slug)
	if err != nil {
		return nil, err
	}
	if t.State != tenant.Active {
		err := a.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
			return tenant.SetState(ctx, tx, t.ID, tenant.Active, "")
		})
		if err != nil {
			return nil, err
		}
		a.notifier.HostChanged(t.PlatformHost)
	}
	who := &demo.Person{Board: t}
	switch part {
	case demo.Employer:
		who.Email = b.Companies[0].Email
	case demo.Owner:
		who.Email = b.Owner.Email
		return who, a.operator(ctx, b.Owner, t.ID, b.Locale)
	case demo.Moderator:
		for _, m := range b.Team {
			if m.Role == authz.Editor {
				who.Email = m.Email
				return who, a.operator(ctx, m, t.ID, b.Locale)
			}
		}
		return nil, fmt.Errorf("the demo board %s has no editor", b.Slug)
	}
	return who, nil
}
