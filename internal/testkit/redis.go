package testkit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
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

// redisWarden ends the server when its standard input closes, which the kernel
// does for a test process that dies: no server is left behind.
const redisWarden = `"$@" >/dev/null 2>&1 & r=$!; cat >/dev/null; kill -9 "$r"; wait "$r" 2>/dev/null`

func startRedis(ctx context.Context, bin string) (string, func(), error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	addr := l.Addr().(*net.TCPAddr)
	if err := l.Close(); err != nil {
		return "", nil, err
	}
	password := rand.Text()
	//nolint:gosec // our own words only
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "/bin/sh", "-c", redisWarden, "sh", bin,
		"--bind", "127.0.0.1", "--port", strconv.Itoa(addr.Port), "--requirepass", password,
		"--save", "", "--appendonly", "no", "--databases", "16", "--daemonize", "no", "--loglevel", "warning")
	cmd.Dir = "/"
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop := func() {
		_ = in.Close()
		_ = cmd.Wait()
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
