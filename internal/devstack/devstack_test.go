package devstack

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"shingle/internal/pg"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dataDir is a 0700 folder, as /root and mktemp -d make them: root's Postgres
// account cannot enter it.
func dataDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), ".shingle")
	if err := os.Chmod(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func start(t *testing.T, dir string) *Server {
	t.Helper()
	var said []string
	s, err := Postgres(t.Context(), dir, func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Cluster.Remove(context.Background()); err != nil {
			t.Errorf("removing the cluster: %v", err)
		}
	})
	if outside := !strings.HasPrefix(s.Cluster.Home, dir); outside && !s.Cluster.Adopted && len(said) > 1 {
		t.Errorf("said %q, want one line about the place at most", said)
	}
	return s
}

func ask(t *testing.T, url, query string) string {
	t.Helper()
	conn, err := pg.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var got string
	if err := conn.QueryRow(t.Context(), query).Scan(&got); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestPostgresStartsUnderAClosedFolderAndOutlivesItsParent(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	first := start(t, dir)
	if got := ask(t, first.MigrateURL, "SELECT current_user || ' ' || rolsuper || ' ' || rolcreaterole FROM pg_roles WHERE rolname = current_user"); got != "shingle_owner false true" {
		t.Errorf("the owner is %q, want no superuser who may make roles", got)
	}
	// The owner can do what migrations need: make the trusted extension, tables and roles.
	if got := ask(t, first.MigrateURL, "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"); got != OwnerRole {
		t.Errorf("the database is owned by %s, want %s", got, OwnerRole)
	}
	conn, err := pg.Connect(t.Context(), first.MigrateURL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "CREATE EXTENSION pg_trgm; CREATE TABLE kept (n int); CREATE ROLE some_group NOLOGIN"); err != nil {
		t.Errorf("as the owner: %v", err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := pg.Connect(t.Context(), first.Cluster.URL(superuser, "wrong", "postgres")); err == nil {
		t.Error("a wrong password was let in")
	}

	// What a second `dev` finds after kill -9 of the first: a running postmaster.
	second := start(t, dir)
	if !second.Cluster.Adopted || second.MigrateURL != first.MigrateURL {
		t.Errorf("adopted %v at another address, want the running one", second.Cluster.Adopted)
	}
	if err := second.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := second.Stop(t.Context()); err != nil {
		t.Errorf("stopping twice: %v", err)
	}

	third := start(t, dir)
	if third.Cluster.Adopted {
		t.Error("adopted a stopped cluster")
	}
	if got := ask(t, third.MigrateURL, "SELECT count(*)::text FROM pg_tables WHERE tablename = 'kept'"); got != "1" {
		t.Error("the table is gone after a restart")
	}
	if third.DatabaseURL != first.DatabaseURL {
		t.Error("the app's URL moved over a restart")
	}
}

func TestPostgresRecoversFromAStalePIDFile(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	s := start(t, dir)
	left, err := os.ReadFile(s.Cluster.pidPath())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Our own process number stands for one that the system gave to somebody else.
	_, rest, _ := bytes.Cut(left, []byte("\n"))
	stale := append([]byte(fmt.Sprintf("%d\n", os.Getpid())), rest...)
	if err := os.WriteFile(s.Cluster.pidPath(), stale, 0o600); err != nil {
		t.Fatal(err)
	}
	again := start(t, dir)
	if again.Cluster.Adopted {
		t.Error("adopted a process that is no Postgres")
	}
	if got := ask(t, again.MigrateURL, "SELECT 'up'"); got != "up" {
		t.Errorf("got %q", got)
	}
	if err := StopCluster(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if again.Cluster.alive() {
		t.Error("still running after StopCluster")
	}
}

func TestPostgresStartsAfterItWasKilled(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	s := start(t, dir)
	if err := syscall.Kill(s.Cluster.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	again := start(t, dir)
	if again.Cluster.Adopted {
		t.Error("adopted a killed postmaster")
	}
	if got := ask(t, again.MigrateURL, "SELECT 'up'"); got != "up" {
		t.Errorf("got %q", got)
	}
}

func TestSocketPathsStayShort(t *testing.T) {
	t.Parallel()
	c := &Cluster{Home: "/" + strings.Repeat("long/", 40)}
	if p := c.SocketDir() + "/.s.PGSQL.65535.lock"; len(p) >= 108 {
		t.Errorf("%s has %d bytes", p, len(p))
	}
}

func TestHoldRefusesASecondProcess(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	l, err := Hold(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Hold(dir); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("got %v, want the name of the process that has it", err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	again, err := Hold(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestEnvFileGivesAShellTheSameWorld(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "it's here")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"SHINGLE_A": `pla in 'quoted' "twice" $HOME $(id) ` + "`id` \\ end", "SHINGLE_B": "two\nlines", "SHINGLE_C": "", "SHINGLE_D": "ß€",
	}
	for n, v := range ClientEnv("postgres://app:p%40ss@127.0.0.1:15555/shingle?sslmode=disable", "redis://:word@127.0.0.1:1/0") {
		want[n] = v
	}
	if err := WriteEnv(dir, want); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "env"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o, want 600", info.Mode().Perm())
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", `. "$1"; env -0`, "sh", filepath.Join(dir, "env")).Output()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, line := range strings.Split(string(out), "\x00") {
		if n, v, ok := strings.Cut(line, "="); ok {
			got[n] = v
		}
	}
	for n, v := range want {
		if got[n] != v {
			t.Errorf("%s: got %q, want %q", n, got[n], v)
		}
	}
	if got["PGPASSWORD"] != "p@ss" || got["PGDATABASE"] != "shingle" || got["PGPORT"] != "15555" {
		t.Errorf("psql would go to %s at %s", got["PGDATABASE"], got["PGPORT"])
	}
	if err := WriteEnv(dir, map[string]string{"A B": "x"}); err == nil {
		t.Error("took a name that no shell takes")
	}
}

func TestRedisExpiresKeys(t *testing.T) {
	t.Parallel()
	url, stop, err := Redis(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	defer func() { _ = c.Close() }()
	if err := c.Set(t.Context(), "k", "v", 150*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for c.Exists(t.Context(), "k").Val() != 0 {
		if time.Now().After(deadline) {
			t.Fatal("the key is still there")
		}
	}
}
