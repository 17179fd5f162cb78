// Package testkit is the ground that tests stand on: a migrated Postgres of
// their own, a Redis, a browser, a clock and patience with a deadline. It is
// imported by tests alone and knows no rule of the product. Start at Postgres.
package testkit

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"
)

// Eventually polls cond every 5 ms until it holds, and fails the test when that
// takes longer than timeout. cond returns a bool, or an error that is nil when
// it holds; the last error is shown.
func Eventually[C func() bool | func() error](t testing.TB, timeout time.Duration, cond C) {
	t.Helper()
	deadline := time.Now().Add(timeout)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var err error
		switch f := any(cond).(type) {
		case func() bool:
			if !f() {
				err = errNotYet
			}
		case func() error:
			err = f()
		}
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %v", timeout, err)
		}
		<-tick.C
	}
}

var errNotYet = fmt.Errorf("the condition does not hold yet")

// Clock is a time that tests set; pass its Now where the code takes a clock.
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// NewClock starts at that moment, or at a fixed Monday noon (UTC) for the zero time.
func NewClock(at time.Time) *Clock {
	if at.IsZero() {
		at = time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)
	}
	return &Clock{at: at}
}

// Now is the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Set moves the clock to a moment.
func (c *Clock) Set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

// Advance moves the clock forward.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// Artifacts is the folder for what a test leaves behind to be looked at:
// SHINGLE_ARTIFACTS, or shingle-artifacts in the system's place for such files.
func Artifacts(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("SHINGLE_ARTIFACTS")
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "shingle-artifacts")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // made to be looked at
		t.Fatalf("making %s: %v", dir, err)
	}
	return dir
}

// repoRoot is the folder of go.mod, found from this file's own place.
func repoRoot() string {
	_, file, _, _ := runtime.Caller(0)
	dir := filepath.Dir(file)
	if !filepath.IsAbs(dir) { // built with -trimpath
		dir, _ = os.Getwd()
	}
	for d := dir; d != filepath.Dir(d); d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
			return d
		}
	}
	return dir
}
