package testkit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// StripeMock is the base URL of Stripe's own stripe-mock, which says whether
// Stripe's OpenAPI accepts a request. It keeps no state: its answers are of no
// use. SHINGLE_TEST_STRIPE_MOCK is a URL or the program's path; without it the
// one that `make tools` builds is run for the test's time.
func StripeMock(t testing.TB) string {
	t.Helper()
	at := os.Getenv("SHINGLE_TEST_STRIPE_MOCK")
	if strings.HasPrefix(at, "http://") || strings.HasPrefix(at, "https://") {
		return strings.TrimSuffix(at, "/")
	}
	if at == "" {
		at = filepath.Join(repoRoot(), "bin", "tools", "stripe-mock")
	}
	if !exists(at) {
		t.Fatalf("stripe-mock is missing at %s: run `make tools`", at)
	}
	var err error
	// The port can be taken between the look and the start: then again.
	for range 5 {
		var url string
		var stop func()
		if url, stop, err = startStripeMock(t.Context(), at); err == nil {
			t.Cleanup(stop)
			return url
		}
	}
	t.Fatalf("stripe-mock: %v", err)
	return ""
}

func startStripeMock(ctx context.Context, bin string) (string, func(), error) {
	addr, err := freeAddr(ctx)
	if err != nil {
		return "", nil, err
	}
	// It listens for TLS too, on one port for all, unless told otherwise: two
	// packages' mocks would stop each other.
	stop, err := guarded(ctx, bin, "-http-addr", addr.String(), "-https-addr", "127.0.0.1:")
	if err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	url := "http://" + addr.String()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/charges", nil)
		if err != nil {
			stop()
			return "", nil, err
		}
		res, err := client.Do(req)
		if err == nil {
			_ = res.Body.Close()
			if res.Header.Get("Stripe-Mock-Version") != "" {
				return url, stop, nil
			}
			err = errors.New("somebody else answers")
		} else if ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Millisecond):
			}
			continue
		}
		stop()
		return "", nil, fmt.Errorf("on %s: %w", addr, err)
	}
}

// freeAddr is a port of 127.0.0.1 that nobody had a moment ago.
func freeAddr(ctx context.Context) (*net.TCPAddr, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(0)))
	if err != nil {
		return nil, err
	}
	return l.Addr().(*net.TCPAddr), l.Close()
}
