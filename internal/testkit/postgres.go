package testkit

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"shingle/internal/devstack"
	"shingle/internal/pg"
	"shingle/migrations"
)

// DB is a migrated, empty database of one test's own, dropped at its end.
type DB struct {
	Name string
	// App signs in as the role that serves requests: row level security holds.
	App string
	// Platform signs in as the platform's role; Owner as the one that migrates.
	Platform string
	Owner    string
	// Superuser sees through row level security: never test a wall with it.
	Superuser string
}

// Open makes a pool of a URL and closes it at the test's end, before the
// database is dropped.
func (d *DB) Open(t testing.TB, url string, max int) *sql.DB {
	t.Helper()
	db, err := pg.Open(url, max)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// Postgres clones the migrated template into a database of the test's own.
//
// The server is SHINGLE_TEST_DATABASE_URL (a superuser's URL) when that is set,
// else a private cluster that all test processes of this checkout share: the
// first one starts it, and it stays until StopShared, which `make test` calls.
func Postgres(t testing.TB) *DB {
	t.Helper()
	ctx := t.Context()
	s, err := server(ctx)
	if err != nil {
		t.Fatalf("test Postgres: %v", err)
	}
	name := fmt.Sprintf("test_%d_%d", os.Getpid(), serial.Add(1))
	if err := s.clone(ctx, name); err != nil {
		t.Fatalf("test database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if _, err := s.super.ExecContext(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("dropping the test database: %v", err)
		}
	})
	return &DB{
		Name:      name,
		App:       s.url(devstack.AppRole, name),
		Platform:  s.url(devstack.PlatformRole, name),
		Owner:     s.url(devstack.OwnerRole, name),
		Superuser: s.url("", name),
	}
}

// EmptyPostgres is a database that nothing was migrated into, for tests of the
// migrations themselves.
func EmptyPostgres(t testing.TB) *DB {
	t.Helper()
	ctx := t.Context()
	s, err := server(ctx)
	if err != nil {
		t.Fatalf("test Postgres: %v", err)
	}
	d := Postgres(t) // its name and clean-up; the content is replaced
	conn, err := pg.Connect(ctx, s.superURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, "DROP DATABASE "+d.Name+" WITH (FORCE)"); err != nil {
		t.Fatal(err)
	}
	if err := devstack.EnsureDatabase(ctx, conn, d.Name); err != nil {
		t.Fatal(err)
	}
	return d
}

// Rows tells of each table how many rows it has and a digest of them, whatever
// their order, as somebody sees it who sees through row level security.
func Rows(t testing.TB, super *sql.DB) map[string]string {
	t.Helper()
	rows, err := super.QueryContext(t.Context(), `SELECT c.relname, (xpath('/row/d/text()', query_to_xml(format(
			'SELECT count(*) || '' '' || md5(coalesce(string_agg(md5(t::text), '''' ORDER BY md5(t::text)), '''')) AS d FROM %I t', c.relname), false, true, '')))[1]::text
		FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	out := map[string]string{}
	for rows.Next() {
		var table, digest string
		if err := rows.Scan(&table, &digest); err != nil {
			t.Fatal(err)
		}
		out[table] = digest
	}
	if err := rows.Err(); err != nil || len(out) == 0 {
		t.Fatalf("%d tables: %v", len(out), err)
	}
	return out
}

var serial atomic.Int64

// opened is the pool that clones databases, for Main to close.
var opened atomic.Pointer[sql.DB]

// testServer is where this process's test databases are.
type testServer struct {
	superURL string
	super    *sql.DB
	secrets  map[string]string // role → password
	template string
	strategy string // of CREATE DATABASE, where the server knows one
	// private is the shared cluster's folder; empty for a given server.
	private string
}

// server is set up once per process; a failure is remembered too.
var server = func() func(context.Context) (*testServer, error) {
	var once sync.Once
	var s *testServer
	var err error
	return func(ctx context.Context) (*testServer, error) {
		once.Do(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Minute)
			defer cancel()
			s, err = setUp(ctx)
		})
		return s, err
	}
}()

func setUp(ctx context.Context) (*testServer, error) {
	s := &testServer{superURL: os.Getenv("SHINGLE_TEST_DATABASE_URL")}
	unlock := func() error { return nil }
	if s.superURL == "" {
		dir, err := sharedDir("postgres")
		if err != nil {
			return nil, err
		}
		s.private = dir
		if unlock, err = joinShared(dir); err != nil {
			return nil, err
		}
		c, err := startShared(ctx, dir)
		if err != nil {
			return nil, errors.Join(err, unlock())
		}
		s.superURL = c.SuperuserURL("postgres")
		s.secrets = map[string]string{}
		for _, r := range []string{devstack.OwnerRole, devstack.AppRole, devstack.PlatformRole} {
			s.secrets[r] = c.Secret(r)
		}
	} else {
		// A given server is for tests: its roles get passwords that every process derives alike.
		u, err := url.Parse(s.superURL)
		if err != nil {
			return nil, errors.New("SHINGLE_TEST_DATABASE_URL cannot be read")
		}
		password, _ := u.User.Password()
		s.secrets = map[string]string{}
		for _, r := range []string{devstack.OwnerRole, devstack.AppRole, devstack.PlatformRole} {
			sum := sha256.Sum256([]byte("shingle test " + r + password))
			s.secrets[r] = hex.EncodeToString(sum[:12])
		}
	}
	var err error
	if s.super, err = pg.Open(s.superURL, 4); err == nil {
		opened.Store(s.super)
		s.template, err = schemaHash()
	}
	if err == nil {
		s.strategy, err = cloneStrategy(ctx, s.super)
	}
	if err == nil {
		err = s.ensureTemplate(ctx)
	}
	if err == nil && s.private != "" {
		err = s.sweep(ctx)
	}
	return s, errors.Join(err, unlock())
}

// cloneStrategy copies files instead of logging each page: twice as fast with
// fsync off, and it takes the template's cache of its catalogue along. Before
// Postgres 15 there was no other way.
func cloneStrategy(ctx context.Context, super *sql.DB) (string, error) {
	var version int
	err := super.QueryRowContext(ctx, "SELECT current_setting('server_version_num')::int").Scan(&version)
	if err != nil || version < 150000 {
		return "", err
	}
	return " STRATEGY file_copy", nil
}

// url connects as a role, or as the server's superuser for "".
func (s *testServer) url(role, database string) string {
	u, err := url.Parse(s.superURL)
	if err != nil {
		return ""
	}
	if role != "" {
		u.User = url.UserPassword(role, s.secrets[role])
	}
	u.Path = "/" + database
	return u.String()
}

// schemaHash names the template after the migrations' content.
func schemaHash() (string, error) {
	h := sha256.New()
	err := fs.WalkDir(migrations.FS, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(migrations.FS, path)
		_, _ = fmt.Fprintf(h, "%s %d\n", path, len(b))
		_, _ = h.Write(b)
		return err
	})
	return "template_" + hex.EncodeToString(h.Sum(nil)[:8]), err
}

// templateLock is the advisory lock that processes hold while they make a template.
const templateLock = 0x7465737473

// ensureTemplate migrates a database once per content of the migrations. It is
// made under another name and renamed, so that a template is never half made.
func (s *testServer) ensureTemplate(ctx context.Context) error {
	conn, err := pg.Connect(ctx, s.superURL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	// The session's end gives the lock back.
	if _, err := conn.Exec(ctx, fmt.Sprintf("SELECT pg_advisory_lock(%d)", templateLock)); err != nil {
		return err
	}
	var there bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", s.template).Scan(&there); err != nil || there {
		return err
	}
	if err := devstack.EnsureOwner(ctx, conn, s.secrets[devstack.OwnerRole]); err != nil {
		return err
	}
	making := "making_" + s.template
	if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+making+" WITH (FORCE)"); err != nil {
		return err
	}
	if err := devstack.EnsureDatabase(ctx, conn, making); err != nil {
		return err
	}
	if err := s.alignPasswords(ctx, conn); err != nil {
		return err
	}
	if err := migrations.Up(ctx, s.url(devstack.OwnerRole, making),
		s.url(devstack.AppRole, making), s.url(devstack.PlatformRole, making)); err != nil {
		return fmt.Errorf("migrating the template: %w", err)
	}
	// Its first session after the migrations writes the cache that clones start with.
	first, err := pg.Connect(ctx, s.url("", making))
	if err != nil {
		return err
	}
	if err := first.Close(ctx); err != nil {
		return err
	}
	// Nobody connects to a template again, so that it can be cloned at any time.
	for _, q := range []string{
		"ALTER DATABASE " + making + " RENAME TO " + s.template,
		"ALTER DATABASE " + s.template + " ALLOW_CONNECTIONS false",
	} {
		if err := untilUnused(ctx, func() error { _, err := conn.Exec(ctx, q); return err }); err != nil {
			return err
		}
	}
	return s.dropOldTemplates(ctx, conn)
}

// alignPasswords is for a server that was given: earlier users of it may have
// made the logins with other passwords.
func (s *testServer) alignPasswords(ctx context.Context, conn *pgx.Conn) error {
	for _, r := range []string{devstack.AppRole, devstack.PlatformRole} {
		_, err := conn.Exec(ctx, "ALTER ROLE "+r+" PASSWORD '"+s.secrets[r]+"'")
		if err != nil && pg.Code(err) != "42704" { // not made yet
			return err
		}
	}
	return nil
}

// dropOldTemplates keeps the newest three: somebody may be testing an older
// build beside us, and makes its template again if it was wrong.
func (s *testServer) dropOldTemplates(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `SELECT datname FROM pg_database WHERE datname LIKE 'template\_%' AND length(datname) = 25 ORDER BY oid DESC OFFSET 3`)
	if err != nil {
		return err
	}
	old, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range old {
		if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			return err
		}
	}
	return nil
}

// clone copies the template.
func (s *testServer) clone(ctx context.Context, name string) error {
	q := "CREATE DATABASE " + name + " TEMPLATE " + s.template + " OWNER " + devstack.OwnerRole + s.strategy
	err := untilUnused(ctx, func() error { _, err := s.super.ExecContext(ctx, q); return err })
	if pg.Code(err) == "3D000" { // swept away by a newer build's tests
		if err := s.ensureTemplate(ctx); err != nil {
			return err
		}
		return untilUnused(ctx, func() error { _, err := s.super.ExecContext(ctx, q); return err })
	}
	return err
}

// untilUnused tries again while a session is still leaving the database.
func untilUnused(ctx context.Context, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		err := do()
		if pg.Code(err) != "55006" {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// sweep drops the databases of test processes that ended without their clean-up.
func (s *testServer) sweep(ctx context.Context) error {
	conn, err := pg.Connect(ctx, s.superURL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	rows, err := conn.Query(ctx, `SELECT datname FROM pg_database WHERE datname LIKE 'test\_%'`)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, n := range names {
		pid, err := strconv.Atoi(strings.Split(n, "_")[1])
		if err != nil || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{n}.Sanitize()+" WITH (FORCE)"); err != nil {
				return err
			}
		}
	}
	return nil
}
