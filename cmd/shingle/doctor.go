package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"
	"github.com/uptrace/bun"

	"shingle/domains/certs"
	"shingle/internal/config"
	"shingle/internal/pg"
	"shingle/migrations"
	"shingle/tenant"
)

func doctorCmd() *cobra.Command {
	var settings bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "Say what is right, what is not, and what to do", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load("doctor")
			if err != nil {
				return err
			}
			if settings {
				for _, line := range cfg.Redacted() {
					fmt.Fprintln(cmd.OutOrStdout(), line)
				}
			}
			return examine(cmd.Context(), cfg, cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&settings, "settings", false, "print the settings too, without secrets")
	return cmd
}

// finding is one line of the doctor's table.
type finding struct {
	what string
	err  error
	todo string
}

func examine(ctx context.Context, cfg *config.Config, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	found := []finding{
		{"Postgres, the app's login", checkLogin(ctx, cfg.DatabaseURL), "check SHINGLE_DATABASE_URL; shingle migrate up makes the login"},
		{"Postgres, the platform's login", checkLogin(ctx, cfg.PlatformDatabaseURL), "check SHINGLE_PLATFORM_DATABASE_URL"},
		{"Row level security on every board's table", checkWalls(ctx, cfg.DatabaseURL), "run shingle migrate up; never switch row level security off by hand"},
	}
	if cfg.MigrateDatabaseURL != "" {
		found = append(found, finding{"Schema up to date", checkSchema(ctx, cfg.MigrateDatabaseURL), "run shingle migrate up"})
	}
	if cfg.RedisURL != "" {
		found = append(found, finding{"Redis", checkRedis(ctx, cfg.RedisURL), "check SHINGLE_REDIS_URL; without Redis no background work runs"})
	}
	if cfg.SMTPURL != "" {
		found = append(found, finding{"Mail server", checkDial(ctx, cfg.SMTPURL, "25"), "check SHINGLE_SMTP_URL"})
	}
	if cfg.TypesenseURL != "" {
		found = append(found, finding{"Typesense", checkDial(ctx, cfg.TypesenseURL, "8108"), "check SHINGLE_TYPESENSE_URL; searches go to Postgres meanwhile"})
	}
	if cfg.TLSListen != "" {
		found = append(found, finding{"Certificates", checkCertificates(ctx, cfg.PlatformDatabaseURL), "see docs/operations.md, Certificates"})
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	bad := 0
	for _, f := range found {
		if f.err == nil {
			fmt.Fprintf(t, "ok\t%s\t\n", f.what)
			continue
		}
		bad++
		fmt.Fprintf(t, "NO\t%s\t%v; %s\n", f.what, f.err, f.todo)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if bad > 0 {
		return exitCode(1)
	}
	return nil
}

// checkLogin holds that a serving login can sign in and cannot see through the walls.
func checkLogin(ctx context.Context, rawURL string) error {
	db, err := pg.Open(rawURL, 1)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	var super, bypass bool
	if err := db.QueryRowContext(ctx, `SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user`).Scan(&super, &bypass); err != nil {
		return fmt.Errorf("cannot sign in (%s)", orDash(pg.Code(err)))
	}
	if super || bypass {
		return fmt.Errorf("this login sees through row level security")
	}
	return nil
}

// checkWalls counts, as the app's role, tables of boards without a forced policy.
func checkWalls(ctx context.Context, rawURL string) error {
	db, err := pg.Open(rawURL, 1)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	var open, all int
	err = db.QueryRowContext(ctx, `SELECT count(*) FILTER (WHERE NOT (c.relrowsecurity AND c.relforcerowsecurity)), count(*)
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
		WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace`).Scan(&open, &all)
	if err != nil {
		return fmt.Errorf("cannot be read (%s)", orDash(pg.Code(err)))
	}
	if all == 0 {
		return fmt.Errorf("there are no tables yet")
	}
	if open > 0 {
		return fmt.Errorf("%d tables stand open", open)
	}
	return nil
}

// checkCertificates names the hosts whose certificate should have been renewed
// by now, soonest end first.
func checkCertificates(ctx context.Context, rawURL string) error {
	db, err := pg.Open(rawURL, 1)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	var late []certs.Status
	err = tenant.NewPlatform(db, nil).Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		late, err = certs.Late(ctx, tx)
		return err
	})
	if err != nil {
		return fmt.Errorf("cannot be read (%s)", orDash(pg.Code(err)))
	}
	if len(late) == 0 {
		return nil
	}
	var b strings.Builder
	for i, s := range late {
		if i == 3 {
			fmt.Fprintf(&b, ", and %d more", len(late)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s until %s", s.Host, s.NotAfter.UTC().Format("2 January"))
		if s.Error != "" {
			b.WriteString(" (" + strings.TrimSuffix(s.Error, ".") + ")")
		}
	}
	return fmt.Errorf("%d run out soon: %s", len(late), b.String())
}

func checkSchema(ctx context.Context, rawURL string) error {
	pending, err := migrations.Pending(ctx, rawURL)
	if err != nil {
		return fmt.Errorf("cannot be read (%s)", orDash(pg.Code(err)))
	}
	if len(pending) > 0 {
		return fmt.Errorf("%d migrations are waiting", len(pending))
	}
	return nil
}

func checkRedis(ctx context.Context, rawURL string) error {
	opts, err := redis.ParseURL(rawURL)
	if err != nil {
		return fmt.Errorf("the address cannot be read")
	}
	c := redis.NewClient(opts)
	defer func() { _ = c.Close() }()
	if err := c.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("does not answer")
	}
	return nil
}

func checkDial(ctx context.Context, rawURL, port string) error {
	u, err := url.Parse(rawURL)
	if err != nil {
		return fmt.Errorf("the address cannot be read")
	}
	if p := u.Port(); p != "" {
		port = p
	}
	c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return fmt.Errorf("does not answer")
	}
	return c.Close()
}

func orDash(s string) string {
	if s == "" {
		return "no answer"
	}
	return s
}
