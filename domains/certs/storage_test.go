package certs_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shingle/domains/certs"
	"shingle/internal/pg"
	"shingle/internal/testkit"
	"shingle/tenant"
)

func TestMain(m *testing.M) {
	if url := os.Getenv("SHINGLE_TEST_HOLD_LOCK"); url != "" {
		holdForEver(url)
	}
	// These tests wait for an authority and for clocks more than they compute.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	// certmagic keeps one throttle per authority and account for the process's life.
	testkit.Main(m, goleak.IgnoreAnyFunction("github.com/maypok86/otter/v2.periodicCleanUp[...]"),
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.(*RingBufferRateLimiter).loop"))
}

var secret = bytes.Repeat([]byte{0x5a}, 32)

func newStorage(t testing.TB, p *tenant.Platform) *certs.Storage {
	t.Helper()
	s, err := certs.NewStorage(p, secret, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestStorageConforms holds what certmagic's Storage promises.
func TestStorageConforms(t *testing.T) {
	t.Parallel()
	w := testkit.NewWorld(t)
	ctx := t.Context()
	s := newStorage(t, w.Platform)
	if _, err := s.Load(ctx, "a/b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("loading what is absent: %v", err)
	}
	if _, err := s.Stat(ctx, "a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stat of what is absent: %v", err)
	}
	if _, err := s.List(ctx, "a", true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("listing what is absent: %v", err)
	}
	if err := s.Delete(ctx, "a"); err != nil {
		t.Errorf("deleting what is absent: %v", err)
	}
	// A prefix is a path, not letters; LIKE's letters are ordinary ones.
	for _, k := range []string{"a/b/one.crt", "a/b/two_%.key", "a/top", "ab/c", "a-b", "a/b2"} {
		if err := s.Store(ctx, k, []byte("value of "+k)); err != nil {
			t.Fatal(err)
		}
	}
	if v, err := s.Load(ctx, "a/b/two_%.key"); err != nil || string(v) != "value of a/b/two_%.key" {
		t.Errorf("loaded %q: %v", v, err)
	}
	if err := s.Store(ctx, "a/top", []byte("newer")); err != nil {
		t.Fatal(err)
	}
	if v, err := s.Load(ctx, "a/top"); err != nil || string(v) != "newer" {
		t.Errorf("after overwriting: %q, %v", v, err)
	}
	for key, want := range map[string]bool{"a": true, "a/b": true, "a/top": true, "a/to": false, "b": false} {
		if got := s.Exists(ctx, key); got != want {
			t.Errorf("Exists(%q) = %v", key, got)
		}
	}
	info, err := s.Stat(ctx, "a/top")
	if err != nil || !info.IsTerminal || info.Size != 5 || info.Key != "a/top" || time.Since(info.Modified) > time.Minute {
		t.Errorf("stat of a file: %+v, %v", info, err)
	}
	if info, err = s.Stat(ctx, "a/b"); err != nil || info.IsTerminal || info.Key != "a/b" {
		t.Errorf("stat of a folder: %+v, %v", info, err)
	}
	list := func(path string, recursive bool, want ...string) {
		t.Helper()
		got, err := s.List(ctx, path, recursive)
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("List(%q, %v) = %q, %v; want %q", path, recursive, got, err, want)
		}
	}
	list("a", false, "a/b", "a/b2", "a/top")
	list("a", true, "a/b", "a/b/one.crt", "a/b/two_%.key", "a/b2", "a/top")
	list("", false, "a", "a-b", "ab")
	if err := s.Delete(ctx, "a/b"); err != nil {
		t.Fatal(err)
	}
	list("a", true, "a/b2", "a/top")
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.Load(cancelled, "a/top"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a cancelled look-up: %v", err)
	}
}

func TestNothingIsReadableAtRest(t *testing.T) {
	t.Parallel()
	w := testkit.NewWorld(t)
	ctx := t.Context()
	s := newStorage(t, w.Platform)
	if err := s.Store(ctx, "certificates/ca/a.example/a.example.key", []byte("-----BEGIN EC PRIVATE KEY-----")); err != nil {
		t.Fatal(err)
	}
	var hits int
	super := w.PG.Open(t, w.PG.Superuser, 1)
	if err := super.QueryRowContext(ctx, `SELECT count(*) FROM acme_objects WHERE position('PRIVATE'::bytea in sealed) > 0`).Scan(&hits); err != nil || hits != 0 {
		t.Errorf("%d keys can be read in the table: %v", hits, err)
	}
	// Moved to another name, a key does not open.
	if _, err := super.ExecContext(ctx, `UPDATE acme_objects SET key = 'certificates/ca/b.example/b.example.key'`); err != nil {
		t.Fatal(err)
	}
	if v, err := s.Load(ctx, "certificates/ca/b.example/b.example.key"); err == nil {
		t.Errorf("a key moved to another host opens: %q", v)
	}
	// With another secret it is as if there were none, so that it is asked for anew.
	other, err := certs.NewStorage(w.Platform, bytes.Repeat([]byte{1}, 32), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Load(ctx, "certificates/ca/b.example/b.example.key"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("with another secret: %v", err)
	}
	if other.Exists(ctx, "certificates") {
		t.Error("with another secret, the folder is still there")
	}
	// The app's login has no business here.
	app := w.PG.Open(t, w.PG.App, 1)
	for _, table := range []string{"acme_objects", "acme_locks", "acme_orders", "certificates"} {
		if _, err := app.ExecContext(ctx, "SELECT * FROM "+table); pg.Code(err) != "42501" {
			t.Errorf("the app's login reads %s: %v", table, err)
		}
	}
}

func TestLockIsHeldByOne(t *testing.T) {
	t.Parallel()
	w := testkit.NewWorld(t)
	ctx := t.Context()
	replicas := []*certs.Storage{newStorage(t, w.Platform), newStorage(t, w.Platform)}
	var inside, most atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			s := replicas[i%2]
			if err := s.Lock(ctx, "issue_cert_a.example"); err != nil {
				t.Error(err)
				return
			}
			if n := inside.Add(1); n > most.Load() {
				most.Store(n)
			}
			inside.Add(-1)
			if err := s.Unlock(ctx, "issue_cert_a.example"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if most.Load() != 1 {
		t.Errorf("%d held the lock at once", most.Load())
	}
	a, b := replicas[0], replicas[1]
	if err := a.Lock(ctx, "x"); err != nil {
		t.Fatal(err)
	}
	if got, err := b.TryLock(ctx, "x"); err != nil || got {
		t.Errorf("a held lock was taken: %v, %v", got, err)
	}
	if got, err := b.TryLock(ctx, "y"); err != nil || !got {
		t.Errorf("another name is not free: %v, %v", got, err)
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := b.Lock(short, "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting with a deadline: %v", err)
	}
	if err := b.Unlock(ctx, "x"); err == nil {
		t.Error("a stranger's lock was given back")
	}
	if err := errors.Join(a.Unlock(ctx, "x"), b.Unlock(ctx, "y")); err != nil {
		t.Error(err)
	}
	// No connection is held by a lock: more locks than the pool has connections.
	for i := range 20 {
		if got, err := a.TryLock(ctx, fmt.Sprint("many", i)); err != nil || !got {
			t.Fatalf("lock %d: %v, %v", i, got, err)
		}
	}
	for i := range 20 {
		if err := a.Unlock(ctx, fmt.Sprint("many", i)); err != nil {
			t.Error(err)
		}
	}
}

// TestLockOfAKilledProcess holds that a lock whose holder was killed is free
// when its lease has run out, and not before.
func TestLockOfAKilledProcess(t *testing.T) {
	t.Parallel()
	w := testkit.NewWorld(t)
	ctx := t.Context()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "SHINGLE_TEST_HOLD_LOCK="+w.PG.Platform)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "held" {
		t.Fatalf("the other process says %q: %v", line, err)
	}
	s := newStorage(t, w.Platform)
	held := time.Now()
	// It renews: longer than its lease, the lock stands.
	look := time.NewTicker(25 * time.Millisecond)
	defer look.Stop()
	for time.Since(held) < 2*testLease {
		<-look.C
		if got, err := s.TryLock(ctx, "theirs"); err != nil || got {
			t.Fatalf("taken from a living process: %v, %v", got, err)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	killed := time.Now()
	if err := s.Lock(ctx, "theirs"); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(killed); took < testLease/4 || took > testLease+20*time.Second {
		t.Errorf("free %s after the kill, with a lease of %s", took, testLease)
	}
	if err := s.Unlock(ctx, "theirs"); err != nil {
		t.Error(err)
	}
}

const testLease = 600 * time.Millisecond

// holdForEver is the other process: it takes a lock and keeps it.
func holdForEver(url string) {
	db, err := pg.Open(url, 2)
	if err != nil {
		os.Exit(3)
	}
	s, err := certs.NewStorage(tenant.NewPlatform(db, nil), secret, slog.New(slog.DiscardHandler))
	if err != nil {
		os.Exit(3)
	}
	s.SetLease(testLease)
	if err := s.Lock(context.Background(), "theirs"); err != nil {
		os.Exit(3)
	}
	fmt.Println("held")
	select {}
}
