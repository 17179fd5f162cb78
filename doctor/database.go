package doctor

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"shingle/backup"
	"shingle/domains/certs"
	"shingle/internal/pg"
	"shingle/migrations"
	"shingle/tenant"
)

// with opens a login for one check.
func with(rawURL string, fn func(db *sql.DB) error) error {
	db, err := pg.Open(rawURL, 1)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	if err := fn(db); err != nil {
		if c := pg.Code(err); c != "" {
			return fmt.Errorf("cannot be read (%s)", c)
		}
		var own plainError
		if errors.As(err, &own) {
			return err
		}
		return errors.New("does not answer")
	}
	return nil
}

// plainError is one of ours, whose words may be shown.
type plainError string

func (e plainError) Error() string { return string(e) }

func (d *Doctor) postgres(ctx context.Context, l *list) {
	d.login(ctx, l, "The app's login", "SHINGLE_DATABASE_URL", d.Config.DatabaseURL, "shingle_app", "shingle_platform", "shingle_search", "shingle_audit")
	d.login(ctx, l, "The platform's login", "SHINGLE_PLATFORM_DATABASE_URL", d.Config.PlatformDatabaseURL, "shingle_platform", "shingle_search", "shingle_audit")
	d.walls(ctx, l)
}

// login holds that a serving login can sign in, has its group and no way around the walls.
func (d *Doctor) login(ctx context.Context, l *list, what, setting, rawURL, group string, never ...string) {
	var name, version string
	var super, bypass, create, member bool
	var owned int
	var too []string
	err := with(rawURL, func(db *sql.DB) error {
		err := db.QueryRowContext(ctx, `SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, current_setting('server_version'),
			coalesce((SELECT pg_has_role(current_user, oid, 'USAGE') FROM pg_roles WHERE rolname = $1), false),
			(SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND pg_has_role(current_user, relowner, 'MEMBER'))
			FROM pg_roles WHERE rolname = current_user`, group).Scan(&name, &super, &bypass, &create, &version, &member, &owned)
		if err != nil {
			return err
		}
		for _, g := range never {
			var in bool
			if err := db.QueryRowContext(ctx, `SELECT coalesce((SELECT pg_has_role(current_user, oid, 'MEMBER') FROM pg_roles WHERE rolname = $1), false)`, g).Scan(&in); err != nil {
				return err
			}
			if in {
				too = append(too, g)
			}
		}
		return nil
	})
	switch {
	case err != nil:
		l.bad(what, "check "+setting+"; `shingle migrate up` makes the login", "%v", err)
	case super || bypass:
		l.bad(what, "give Shingle a login that is neither a superuser nor BYPASSRLS", "%s sees through row level security", name)
	case len(too) > 0:
		l.bad(what, "REVOKE "+strings.Join(too, ", ")+" FROM "+name, "%s is a member of %s, whose policies let everything through", name, strings.Join(too, ", "))
	case owned > 0:
		l.bad(what, "give the tables to the login that migrates: REASSIGN OWNED", "%s owns %d relations and could switch their walls off", name, owned)
	case create:
		l.bad(what, "ALTER ROLE "+name+" NOCREATEROLE", "%s may make roles, and grant itself the platform's", name)
	case !member:
		l.bad(what, "`shingle migrate up` grants it", "%s is no member of %s", name, group)
	default:
		l.ok(what, "%s, on Postgres %s", name, version)
	}
}

// walls holds the catalogue against the rule of the walls.
func (d *Doctor) walls(ctx context.Context, l *list) {
	const what, todo = "Row level security on every board's table", "never switch row level security off by hand; `shingle migrate up` on a fresh copy shows how it must be"
	var all int
	open := map[string]string{}
	err := with(d.Config.DatabaseURL, func(db *sql.DB) error {
		rows, err := db.QueryContext(ctx, `SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity,
				(SELECT count(*) FROM pg_policies AS p WHERE p.schemaname = 'public' AND p.tablename = c.relname AND 'shingle_app' = ANY (p.roles)
					AND coalesce(p.qual, '') LIKE '%app.tenant_id%' AND coalesce(p.with_check, p.qual, '') LIKE '%app.tenant_id%'),
				(SELECT count(*) FROM pg_policies AS p WHERE p.schemaname = 'public' AND p.tablename = c.relname AND p.roles && ARRAY['public', 'shingle_app', current_user]::name[]
					AND NOT coalesce(coalesce(p.qual, p.with_check) LIKE '%app.tenant_id%', false))
			FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
			WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace ORDER BY 1`)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var name string
			var on, forced bool
			var good, odd int
			if err := rows.Scan(&name, &on, &forced, &good, &odd); err != nil {
				return err
			}
			all++
			switch {
			case !on:
				open[name] = "is switched off"
			case !forced:
				open[name] = "is not forced on its owner"
			case good == 0:
				open[name] = "has no policy of the board's"
			case odd > 0:
				open[name] = "has a policy that asks for no board"
			}
		}
		return rows.Err()
	})
	switch {
	case err != nil:
		l.bad(what, "check SHINGLE_DATABASE_URL", "%v", err)
	case all == 0:
		l.bad(what, "run `shingle migrate up`", "there are no tables yet")
	case len(open) > 0:
		for name, why := range open {
			l.bad(what, todo, "row level security of %s %s", name, why)
		}
	default:
		l.ok(what, "%d tables; `shingle doctor isolation` tries to cross them", all)
	}
}

func (d *Doctor) schema(ctx context.Context, l *list) {
	const what = "Migrations"
	if d.Config.MigrateDatabaseURL == "" {
		l.warn(what, "set SHINGLE_MIGRATE_DATABASE_URL for the doctor to know", "not looked at: only the owner's login can tell")
		return
	}
	pending, err := migrations.Pending(ctx, d.Config.MigrateDatabaseURL)
	switch {
	case err != nil:
		l.bad(what, "check SHINGLE_MIGRATE_DATABASE_URL", "the owner's login cannot read them")
	case len(pending) > 0:
		l.bad(what, "run `shingle migrate up`", "%d are waiting, the first is %s", len(pending), pending[0])
	default:
		l.ok(what, "up to date")
	}
}

// platform runs fn as the platform's login.
func (d *Doctor) platform(ctx context.Context, l *list, what string, fn tenant.Fn) bool {
	err := with(d.Config.PlatformDatabaseURL, func(db *sql.DB) error { return tenant.NewPlatform(db, nil).Read(ctx, fn) })
	if err != nil {
		l.bad(what, "check SHINGLE_PLATFORM_DATABASE_URL and the migrations", "%v", err)
	}
	return err == nil
}

const sealLate = 10 * time.Minute

func (d *Doctor) audit(ctx context.Context, l *list) {
	var x struct {
		Problems int        `bun:"problems"`
		First    string     `bun:"first"`
		Waiting  int        `bun:"waiting"`
		Since    *time.Time `bun:"since"`
		Chains   int        `bun:"chains"`
		Looked   *time.Time `bun:"looked"`
	}
	if !d.platform(ctx, l, "Chains", func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT (SELECT count(*) FROM audit_chains WHERE problem <> '') AS problems, coalesce((SELECT min(problem) FROM audit_chains WHERE problem <> ''), '') AS first,
			(SELECT count(*) FROM (SELECT FROM audit_unsealed LIMIT 10000) AS u) AS waiting, (SELECT min(at) FROM (SELECT at FROM audit_unsealed LIMIT 10000) AS u) AS since,
			(SELECT count(*) FROM audit_chains) AS chains, (SELECT min(verified_at) FROM audit_chains WHERE seq > 0) AS looked`).Scan(ctx, &x)
	}) {
		return
	}
	if x.Problems > 0 {
		l.bad("Chains", "run `shingle doctor audit`, and keep the database's log", "%d are not what was sealed: %s", x.Problems, x.First)
	} else {
		l.ok("Chains", "%d, without a problem at the last look; `shingle doctor audit` looks now", x.Chains)
	}
	if x.Since != nil && d.Now().Sub(*x.Since) > sealLate {
		l.bad("Sealing", "is a worker running? look for audit.seal among the failed tasks", "%d lines wait for their link, the oldest since %s", x.Waiting, x.Since.UTC().Format(time.DateTime))
	} else {
		l.ok("Sealing", "%d lines wait", x.Waiting)
	}
}

const relaySlow, relayStuck = 30 * time.Second, 5 * time.Minute

func (d *Doctor) work(ctx context.Context, l *list) {
	var x struct {
		Failed   int      `bun:"failed"`
		Critical int      `bun:"critical"`
		Lag      *float64 `bun:"lag"`
		Held     int      `bun:"held"`
		Stale    int      `bun:"stale"`
	}
	if !d.platform(ctx, l, "Failed tasks", func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT count(*) FILTER (WHERE failed_at IS NOT NULL) AS failed, count(*) FILTER (WHERE failed_at IS NOT NULL AND queue = 'critical') AS critical,
			extract(epoch FROM clock_timestamp() - min(run_at) FILTER (WHERE failed_at IS NULL AND run_at <= now() AND (lease_until IS NULL OR lease_until < now())))::float8 AS lag,
			(SELECT count(*) FROM stripe_events WHERE state = 'held') AS held,
			(SELECT count(*) FROM stripe_events WHERE state = 'received' AND received_at < now() - interval '10 minutes') AS stale FROM tasks`).Scan(ctx, &x)
	}) {
		return
	}
	const todo = "see /staff/tasks: retry or discard them"
	switch {
	case x.Critical > 0:
		l.bad("Failed tasks", todo, "%d gave up, %d of them are about money", x.Failed, x.Critical)
	case x.Failed > 0:
		l.warn("Failed tasks", todo, "%d gave up", x.Failed)
	default:
		l.ok("Failed tasks", "none")
	}
	lag := time.Duration(0)
	if x.Lag != nil {
		lag = time.Duration(*x.Lag * float64(time.Second)).Round(time.Second)
	}
	switch {
	case lag > relayStuck:
		l.bad("Work that is due", "is a worker running, and does it reach Redis?", "the oldest waits for %s", lag)
	case lag > relaySlow:
		l.warn("Work that is due", "a worker may be missing, or too few: SHINGLE_WORKERS", "the oldest waits for %s", lag)
	default:
		l.ok("Work that is due", "the oldest waits for %s", lag)
	}
	switch {
	case x.Stale > 0:
		l.bad("Stripe's events", "is a worker running? see /staff/events", "%d wait for over ten minutes", x.Stale)
	case x.Held > 0:
		l.warn("Stripe's events", "see /staff/events: apply them", "%d are held, as Stripe sent them in another version", x.Held)
	default:
		l.ok("Stripe's events", "all applied")
	}
}

// backupLate is longer than from one night to the next, and shorter than two.
const backupLate = 36 * time.Hour

// backups says how old the last one is that this program wrote.
func (d *Doctor) backups(ctx context.Context, l *list) {
	var hours *float64
	if !d.platform(ctx, l, "Backups", func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT extract(epoch FROM now() - max(at))::float8 / 3600 FROM audit_log WHERE act = ?`, backup.Noted).Scan(ctx, &hours)
	}) {
		return
	}
	switch {
	case hours == nil:
		l.ok("Backups", "none by `shingle backup`: is another one made of Postgres and of the files?")
	case *hours > backupLate.Hours():
		l.warn("Backups", "run `shingle backup`, and see why the nightly one does not: docs/operations/incidents/backup-late.md", "the last one is %.0f hours old", *hours)
	default:
		l.ok("Backups", "the last one is %.0f hours old", *hours)
	}
}

// certificates names the hosts whose certificate should have been renewed by now.
func (d *Doctor) certificates(ctx context.Context, l *list) {
	if d.Config.TLSListen == "" {
		l.ok("Certificates", "TLS ends before Shingle: SHINGLE_TLS_LISTEN is not set")
		return
	}
	var late []certs.Status
	if !d.platform(ctx, l, "Certificates", func(ctx context.Context, tx bun.IDB) (err error) {
		late, err = certs.Late(ctx, tx)
		return err
	}) {
		return
	}
	if len(late) == 0 {
		l.ok("Certificates", "none runs out soon")
		return
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
	l.bad("Certificates", "see docs/operations.md, Certificates", "%d run out soon: %s", len(late), b.String())
}
