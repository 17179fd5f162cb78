package testkit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"shingle/internal/devstack"
)

// Redis is the URL of a Redis of the test's own, gone at its end: a real
// redis-server when the machine has one, else miniredis.
func Redis(t testing.TB) string {
	t.Helper()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		url, stop, err := devstack.Redis(t.Context())
		if err != nil {
			t.Fatalf("test Redis: %v", err)
		}
		t.Cleanup(stop)
		return url
	}
	// The port can be taken between the look and the start: then again.
	for range 5 {
		var url string
		var stop func()
		if url, stop, err = startRedis(t.Context(), bin); err == nil {
			t.Cleanup(stop)
			return url
		}
	}
	t.Fatalf("test Redis: %v", err)
	return ""
}

// warden ends the server when its standard input closes, which the kernel does
// for a test process that dies: no server is left behind.
const warden = `"$@" >/dev/null 2>&1 & r=$!; cat >/dev/null; kill -9 "$r"; wait "$r" 2>/dev/null`

// guarded runs a server until stop is called or this process ends.
func guarded(ctx context.Context, bin string, args ...string) (stop func(), err error) {
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "/bin/sh", append([]string{"-c", warden, "sh", bin}, args...)...)
	cmd.Dir = "/"
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() {
		_ = in.Close()
		_ = cmd.Wait()
	}, nil
}

func startRedis(ctx context.Context, bin string) (string, func(), error) {
	addr, err := freeAddr(ctx)
	if err != nil {
		return "", nil, err
	}
	password := rand.Text()
	stop, err := guarded(ctx, bin,
		"--bind", "127.0.0.1", "--port", strconv.Itoa(addr.Port), "--requirepass", password,
		"--save", "", "--appendonly", "no", "--databases", "16", "--daemonize", "no", "--loglevel", "warning")
	if err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c := redis.NewClient(&redis.Options{Addr: addr.String(), Password: password, MaxRetries: -1})
	defer func() { _ = c.Close() }()
	for {
		err := c.Ping(ctx).Err()
		if err == nil {
			return "redis://:" + password + "@" + addr.String() + "/0", stop, nil
		}
		var refused redis.Error
		if errors.As(err, &refused) || ctx.Err() != nil { // somebody else's Redis, or none
			stop()
			return "", nil, fmt.Errorf("redis-server on %s: %w", addr, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(3 * time.Millisecond):
		}
	}
}
