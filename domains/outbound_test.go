package domains

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"shingle/internal/dns"
	"shingle/internal/testkit"
)

// server listens on an address of this machine and counts who comes.
func server(t *testing.T, address string, h http.HandlerFunc) (port string, came *atomic.Int64) {
	t.Helper()
	came = new(atomic.Int64)
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address+":0")
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		came.Add(1)
		h(w, r)
	})}}
	s.Start()
	t.Cleanup(s.Close)
	_, port, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port, came
}

func get(t *testing.T, c *http.Client, url string) (string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	res, err := c.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	return string(b), err
}

// Whatever somebody types, this machine and its network are not asked.
func TestTheOutboundClientStaysOutside(t *testing.T) {
	t.Parallel()
	port, came := server(t, "127.0.0.1", func(http.ResponseWriter, *http.Request) {})
	clients := map[string]*http.Client{"PublicClient": PublicClient(), "the probe's": probeClient(dns.Public)}
	for _, host := range []string{"127.0.0.1", "127.1", "2130706433", "0", "0.0.0.0", "localhost", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::7f00:1]", "[64:ff9b::7f00:1]",
		"[2002:7f00:1::]", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "[fe80::1]", "[fd00::1]", "user:pw@127.0.0.1"} {
		for name, c := range clients {
			if _, err := get(t, c, "http://"+host+":"+port+"/"); err == nil {
				t.Errorf("%s reaches %s", name, host)
			}
		}
	}
	if n := came.Load(); n != 0 {
		t.Errorf("%d requests came in", n)
	}
	for _, url := range []string{"file:///etc/passwd", "gopher://127.0.0.1:" + port + "/", "unix:///var/run/x.sock"} {
		if _, err := get(t, PublicClient(), url); err == nil {
			t.Errorf("%s is read", url)
		}
	}
}

// onlyOne lets one address of this machine stand for the open internet.
func onlyOne(a netip.Addr) bool { return a == netip.MustParseAddr("127.0.0.1") }

func TestTheOutboundClientFollowsNobodyInside(t *testing.T) {
	t.Parallel()
	inner, came := server(t, "127.0.0.2", func(http.ResponseWriter, *http.Request) {})
	for _, status := range []int{301, 302, 303, 307, 308} {
		outer, asked := server(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.2:"+inner+"/", status)
		})
		if _, err := get(t, publicClient(onlyOne), "http://127.0.0.1:"+outer+"/"); err == nil || asked.Load() != 1 {
			t.Errorf("%d: %v, with %d requests", status, err, asked.Load())
		}
	}
	if n := came.Load(); n != 0 {
		t.Errorf("%d requests came in", n)
	}
}

// A name is not trusted for what it led to before.
func TestARebindingNameLeadsNowhere(t *testing.T) {
	t.Parallel()
	names := testkit.NewDNS(t)
	dial := guarded(onlyOne)
	dial.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, names.Addr)
	}}
	outer, asked := server(t, "127.0.0.1", func(http.ResponseWriter, *http.Request) {})
	c := &http.Client{Transport: &http.Transport{DialContext: dial.DialContext, DisableKeepAlives: true}}
	names.Set(t, "rebind.example", "A", "127.0.0.1")
	if _, err := get(t, c, "http://rebind.example:"+outer+"/"); err != nil || asked.Load() != 1 {
		t.Fatalf("the first time: %v, %d requests", err, asked.Load())
	}
	for _, inside := range []string{"127.0.0.2", "10.0.0.1", "169.254.169.254"} {
		names.Set(t, "rebind.example", "A", inside)
		if _, err := get(t, c, "http://rebind.example:"+outer+"/"); err == nil || !strings.Contains(err.Error(), "not a public address") {
			t.Errorf("then at %s: %v", inside, err)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("%d requests came in", asked.Load())
	}
}

func TestTheOutboundClientReadsNoFlood(t *testing.T) {
	t.Parallel()
	port, _ := server(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) {
		for range 3 * maxAnswer / 1024 {
			if _, err := w.Write(make([]byte, 1024)); err != nil {
				return
			}
		}
	})
	body, err := get(t, publicClient(onlyOne), "http://127.0.0.1:"+port+"/")
	if err == nil || len(body) > maxAnswer {
		t.Errorf("read %d bytes: %v", len(body), err)
	}
}
