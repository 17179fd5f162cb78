package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"shingle/billing"
	"shingle/billing/stripesim"
	"shingle/internal/config"
	"shingle/internal/demo"
	"shingle/internal/devstack"
	"shingle/internal/mailbox"
	"shingle/migrations"
	"shingle/tenant"
	"shingle/web/console"
	"shingle/web/staff"
)

func devCmd() *cobra.Command {
	return &cobra.Command{
		Use: "dev", Short: "Run everything on this machine, with three demo boards", Args: cobra.NoArgs,
		Long: "Provides each server that the environment does not name: a private Postgres, Redis, a mail catcher and a Stripe simulator.\n" +
			"What it uses is written to $SHINGLE_DATA_DIR/env, for psql, redis-cli and the other commands.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDev(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
}

// devLinks are what only a developer's machine has.
type devLinks struct {
	stripe string // origin of the simulator's pages
	links  []console.Link
}

// devWorld is the servers that dev provides.
type devWorld struct {
	cfg    *config.Config
	sim    *stripesim.Sim
	box    *mailbox.Box
	parts  []func(context.Context) error
	closes []func()
	pages  map[string]http.Handler // by host
	dev    devLinks
	demo   *demoRound // nil in dev
	logs   io.Writer
	app    atomic.Pointer[app] // once it is built
}

func runDev(ctx context.Context, out, logs io.Writer) (err error) {
	begun := time.Now()
	cfg, err := load("dev")
	if err != nil {
		return err
	}
	lock, err := devstack.Hold(cfg.DataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	return (&devWorld{cfg: cfg, logs: logs}).run(ctx, out, begun, func(h http.Handler) (func(context.Context) error, error) {
		l, err := net.Listen("tcp", cfg.Listen)
		if err != nil {
			return nil, fmt.Errorf("SHINGLE_LISTEN: %w", err)
		}
		return func(ctx context.Context) error { return serveOn(ctx, l, h) }, nil
	})
}

// run provides the servers and lives between them until ctx ends. serve is given
// the handler once there is one.
func (w *devWorld) run(ctx context.Context, out io.Writer, begun time.Time, serve func(http.Handler) (func(context.Context) error, error)) (err error) {
	cfg := w.cfg
	w.pages = map[string]http.Handler{}
	defer func() {
		for i := len(w.closes) - 1; i >= 0; i-- {
			w.closes[i]()
		}
	}()
	if err := w.provide(ctx); err != nil {
		return err
	}
	if w.demo != nil {
		if err := w.demo.clear(ctx, cfg); err != nil {
			return err
		}
	}
	if err := migrations.Up(ctx, cfg.MigrateDatabaseURL, cfg.DatabaseURL, cfg.PlatformDatabaseURL); err != nil {
		return fmt.Errorf("bringing the schema up to date: %w", err)
	}
	if err := devstack.WriteEnv(cfg.DataDir, w.settings()); err != nil {
		return err
	}
	a, err := watched(ctx, "dev", cfg, w.logs, w.planNow())
	if err != nil {
		return err
	}
	defer a.close()
	w.app.Store(a)
	if err := a.exemptDemo(); err != nil {
		return err
	}
	if w.sim != nil {
		a.demoOnboard = w.sim.CompleteOnboarding
	}
	if w.demo != nil {
		a.stayInside()
	}
	if err := a.registerTasks(ctx); err != nil {
		return err
	}
	h, err := a.handler(&w.dev)
	if err != nil {
		return err
	}
	h = w.route(h)
	if w.demo != nil {
		if h, err = w.demo.wrap(a, w, h); err != nil {
			return err
		}
	}
	serving, err := serve(h)
	if err != nil {
		return err
	}
	parts := append(w.parts, a.background, a.work, serving,
		func(ctx context.Context) error {
			return listenAndServe(ctx, "SHINGLE_OPS_LISTEN", cfg.OpsListen, opsHandler(a.registry, a.ready))
		},
		func(ctx context.Context) error {
			if err := a.seedDemo(ctx, stderr); err != nil {
				return err
			}
			// The staff's list shows the demo's figures from the first look on.
			if err := a.platform.Write(ctx, staff.Count); err != nil {
				return err
			}
			if w.demo != nil {
				w.demo.seeded()
				return w.demo.say(out, a, time.Since(begun))
			}
			return w.table(out, a, time.Since(begun))
		})
	if w.demo != nil {
		parts = append(parts, w.demo.wait)
	}
	return together(ctx, parts...)
}

// provide starts what the environment does not name.
func (w *devWorld) provide(ctx context.Context) error {
	c := w.cfg
	if c.DatabaseURL == "" {
		s, err := devstack.Postgres(ctx, c.DataDir, stderr)
		if err != nil {
			return err
		}
		w.closes = append(w.closes, func() { _ = s.Stop(context.WithoutCancel(ctx)) })
		c.DatabaseURL, c.PlatformDatabaseURL, c.MigrateDatabaseURL = s.DatabaseURL, s.PlatformURL, s.MigrateURL
		c.ListenDatabaseURL = s.ListenURL
	} else if c.ListenDatabaseURL == "" {
		c.ListenDatabaseURL = c.DatabaseURL
	}
	if c.RedisURL == "" {
		url, stop, err := devstack.Redis(ctx)
		if err != nil {
			return err
		}
		c.RedisURL = url
		w.closes = append(w.closes, stop)
	}
	if c.SecretKey == "" {
		key, err := keep(filepath.Join(c.DataDir, "secret"))
		if err != nil {
			return err
		}
		c.SecretKey = key
	}
	if err := w.mail(); err != nil {
		return err
	}
	return w.stripe()
}

// keep reads a random secret from the data directory, made the first time.
func keep(file string) (string, error) {
	if b, err := os.ReadFile(file); err == nil && len(b) >= 64 { // #nosec G304 -- under our data directory
		return strings.TrimSpace(string(b)), nil
	}
	raw := make([]byte, 32)
	_, _ = rand.Read(raw)
	text := hex.EncodeToString(raw)
	return text, os.WriteFile(file, []byte(text+"\n"), 0o600)
}

// mail catches what is sent, unless a real server is named.
func (w *devWorld) mail() error {
	if w.cfg.SMTPURL != "" {
		return nil
	}
	box, err := mailbox.Open(filepath.Join(w.cfg.DataDir, "mail"), time.Now)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	w.cfg.SMTPURL = "smtp://" + l.Addr().String()
	w.parts = append(w.parts, func(ctx context.Context) error { return box.Serve(ctx, l) })
	w.box = box
	w.pages[w.host("mail")] = box.Page("/mail")
	w.dev.links = append(w.dev.links, console.Link{Label: "Mail: every message sent on this machine", URL: w.url("mail", "/mail")})
	return nil
}

// stripe plays Stripe, unless a key is given.
func (w *devWorld) stripe() error {
	c := w.cfg
	if c.StripeKey != "" {
		return nil
	}
	secret, err := keep(filepath.Join(c.DataDir, "webhook-secret"))
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return err
	}
	// The simulator calls this process by number: *.localhost is a browser's word.
	hook := "http://127.0.0.1:" + port + billing.WebhookPath
	w.sim = stripesim.New(stripesim.Options{BaseURL: strings.TrimSuffix(w.url("stripe", "/"), "/"), StatePath: filepath.Join(c.DataDir, "stripe.json"), Name: "Shingle", Now: time.Now,
		Log: slog.New(slog.DiscardHandler), Advanced: w.liveDay, ClockNote: "This program's plans follow it: trials, periods, failed cards and the ladder of a board that does not pay, " +
			"with the mails of each step. Sign a board up, move the clock, and look at its page Plan; the pages of the demo's boards pay nothing and change nothing.",
		Endpoints: []stripesim.Endpoint{{URL: hook, Secret: "whsec_" + secret}, {URL: hook, Secret: "whsec_" + secret, Connect: true}}})
	c.StripeKey, c.StripeAPIBase, c.StripeWebhookSecrets = "sk_test_shingle_dev", "http://"+l.Addr().String(), []string{"whsec_" + secret}
	w.parts = append(w.parts, func(ctx context.Context) error { return serveOn(ctx, l, w.sim.Handler()) }, w.sim.Run)
	w.closes = append(w.closes, func() { _ = w.sim.Close() })
	w.pages[w.host("stripe")] = w.sim.Handler()
	w.dev.stripe = strings.TrimSuffix(w.url("stripe", "/"), "/")
	w.dev.links = append(w.dev.links, console.Link{Label: "Stripe simulator: accounts, payments, events, and a clock that walks a board through its year", URL: w.url("stripe", "/")})
	return nil
}

// planNow is the time that plans live in: the simulator's own, where there is one.
func (w *devWorld) planNow() func() time.Time {
	if w.sim == nil {
		return time.Now
	}
	return w.sim.Clock
}

// liveDay follows the simulator's clock through one more day.
func (w *devWorld) liveDay(ctx context.Context) error {
	if a := w.app.Load(); a != nil {
		return a.liveDay(ctx)
	}
	return nil
}

// host is the name of a page of dev alone: a demo's are for the world.
func (w *devWorld) host(name string) string {
	if w.demo != nil {
		return name + "." + w.cfg.BoardDomain
	}
	return name + ".localhost"
}

// url is the address of a page of dev alone.
func (w *devWorld) url(name, path string) string {
	if w.demo != nil {
		if u, err := url.Parse(w.cfg.PublicURL); err == nil {
			u.Host = w.host(name) + strings.TrimPrefix(u.Host, u.Hostname())
			return u.Scheme + "://" + u.Host + path
		}
	}
	_, port, _ := net.SplitHostPort(w.cfg.Listen)
	return "http://" + w.host(name) + ":" + port + path
}

// route gives dev's own hosts their pages, and all others the product.
func (w *devWorld) route(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		// Every sign-in link is on the mail page: it is for this machine alone, but in
		// a demo, where everybody is let in anyway.
		if page := w.pages[string(tenant.NormaliseHost(nil, r.Host))]; page != nil && (w.demo != nil || fromHere(r)) {
			if r.URL.Path == "/" && strings.HasPrefix(r.Host, "mail.") {
				http.Redirect(rw, r, "/mail", http.StatusFound)
				return
			}
			page.ServeHTTP(rw, r)
			return
		}
		next.ServeHTTP(rw, r)
	})
}

// fromHere reports whether a request comes from this machine.
func fromHere(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	ip := net.ParseIP(host)
	return err == nil && ip != nil && ip.IsLoopback()
}

// settings are what other commands need to live in the same world.
func (w *devWorld) settings() map[string]string {
	c := w.cfg
	s := devstack.ClientEnv(c.DatabaseURL, c.RedisURL)
	for k, v := range map[string]string{
		"SHINGLE_LISTEN": c.Listen, "SHINGLE_OPS_LISTEN": c.OpsListen, "SHINGLE_DATA_DIR": c.DataDir, "SHINGLE_PLATFORM_HOST": c.PlatformHost,
		"SHINGLE_BOARD_DOMAIN": c.BoardDomain, "SHINGLE_PUBLIC_URL": c.PublicURL, "SHINGLE_DATABASE_URL": c.DatabaseURL,
		"SHINGLE_PLATFORM_DATABASE_URL": c.PlatformDatabaseURL, "SHINGLE_LISTEN_DATABASE_URL": c.ListenDatabaseURL, "SHINGLE_MIGRATE_DATABASE_URL": c.MigrateDatabaseURL,
		"SHINGLE_REDIS_URL": c.RedisURL, "SHINGLE_TYPESENSE_URL": c.TypesenseURL, "SHINGLE_TYPESENSE_KEY": c.TypesenseKey, "SHINGLE_STRIPE_KEY": c.StripeKey,
		"SHINGLE_STRIPE_API_BASE": c.StripeAPIBase, "SHINGLE_STRIPE_WEBHOOK_SECRET": strings.Join(c.StripeWebhookSecrets, ","), "SHINGLE_SMTP_URL": c.SMTPURL,
		"SHINGLE_EDGE_HOST": c.EdgeHost, "SHINGLE_FILES_HOST": c.FilesHost, "SHINGLE_EDGE_ADDRESSES": strings.Join(c.EdgeAddresses, ","), "SHINGLE_DNS_SERVERS": strings.Join(c.DNSServers, ","),
		"SHINGLE_SECRET_KEY": c.SecretKey, "SHINGLE_BLOB_URL": c.BlobURL,
	} {
		if v != "" {
			s[k] = v
		}
	}
	return s
}

// table is what a newcomer sees: where everything is and how to sign in.
func (w *devWorld) table(out io.Writer, a *app, took time.Duration) error {
	boards, err := demo.Boards()
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	row := func(cells ...string) { fmt.Fprintln(t, "  "+strings.Join(cells, "\t")) }
	fmt.Fprintf(t, "\nShingle is ready (%s). Stop it with Ctrl-C.\n\n", took.Round(100*time.Millisecond))
	for _, b := range boards {
		row(b.Name, a.links.Host(b.Slug+"."+a.cfg.BoardDomain, "/"), b.Currency+", "+b.Locale)
	}
	row("Platform", a.links.Platform("/"), "boards, sign-up")
	row("Platform staff", a.links.Platform("/staff"), "staff@shingle.example")
	for _, l := range w.dev.links {
		name, _, _ := strings.Cut(l.Label, ":")
		row(name, l.URL, "")
	}
	fmt.Fprintf(t, "\nSign in as (password %s):\n", demoPassword)
	for _, b := range boards {
		row(b.Owner.Email, a.links.Host(b.Slug+"."+a.cfg.BoardDomain, "/admin"), "owner of "+b.Name)
	}
	row("staff@shingle.example", a.links.Platform("/staff"), "platform staff")
	row(boards[0].Companies[0].Email, a.links.Host(boards[0].Slug+"."+a.cfg.BoardDomain, "/employers/desk"), "employer, by the link in the mail")
	fmt.Fprintf(t, "\nSettings for other commands: . %s\n", filepath.Join(a.cfg.DataDir, "env"))
	return t.Flush()
}
