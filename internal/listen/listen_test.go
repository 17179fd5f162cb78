package listen_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"shingle/internal/listen"
)

// short are the limits of the tests: as the program's, in less time.
var short = listen.Limits{Header: 300 * time.Millisecond, Body: 600 * time.Millisecond, Write: 600 * time.Millisecond, Idle: 300 * time.Millisecond, HeaderBytes: 8 << 10, Conns: 8, PerCaller: 100, Streams: 5}

// patience is how long a test waits for what must happen at once.
const patience = 10 * time.Second

type rig struct {
	*listen.Server
	addr string
}

func start(t *testing.T, l listen.Limits, h http.Handler, change func(*listen.Server)) *rig {
	t.Helper()
	s := listen.New(h, l)
	if change != nil {
		change(s)
	}
	on, err := listen.TCP(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Until(ctx, on) }()
	t.Cleanup(func() {
		_ = s.Close()
		cancel()
		<-done
	})
	return &rig{s, on.Addr().String()}
}

func (r *rig) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// cut waits until the server has ended a connection, and returns what it said.
func cut(t *testing.T, what string, c net.Conn) string {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	said, err := io.ReadAll(c)
	var slow net.Error
	if errors.As(err, &slow) && slow.Timeout() {
		t.Fatalf("%s: still there after %s", what, patience)
	}
	return string(said)
}

func ok(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 1<<20)); err != nil {
		http.Error(w, "the body: "+err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	_, _ = io.WriteString(w, "ok")
}

func TestSlowCallersAreCut(t *testing.T) {
	t.Parallel()
	r := start(t, short, http.HandlerFunc(ok), nil)
	drip := func(c net.Conn, text string) {
		for _, b := range []byte(text) {
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond) // a slow caller is what this is about
		}
	}
	for name, say := range map[string]func(c net.Conn){
		"a caller who says nothing": func(net.Conn) {},
		"a slow header (slowloris)": func(c net.Conn) {
			drip(c, "GET / HTTP/1.1\r\nHost: a\r\n"+strings.Repeat("X-A: b\r\n", 1000))
		},
		"a slow body": func(c net.Conn) {
			_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
			drip(c, strings.Repeat("x", 1000))
		},
		"a body that stops": func(c net.Conn) {
			_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nxx")
		},
		"a pause between requests": func(c net.Conn) { _, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := r.dial(t)
			begun := time.Now()
			go say(c)
			cut(t, name, c)
			t.Logf("cut after %s", time.Since(begun).Round(time.Millisecond))
		})
	}
}

// Whoever takes an answer without reading it does not hold its handler for ever.
func TestASlowReaderIsCut(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	r := start(t, short, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var err error
		for block := make([]byte, 1<<20); err == nil; {
			_, err = w.Write(block)
		}
		ended <- err
	}), nil)
	c := r.dial(t)
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("the handler still writes")
	}
}

func TestLargeHeadersAndBodiesAreRefused(t *testing.T) {
	t.Parallel()
	r := start(t, short, http.HandlerFunc(ok), nil)
	c := r.dial(t)
	go func() {
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nX-Much: "+strings.Repeat("x", 1<<20)+"\r\n\r\n")
	}()
	if said := cut(t, "a huge header", c); said != "" && !strings.HasPrefix(said, "HTTP/1.1 431") {
		t.Errorf("a huge header gets %.60q, want 431", said)
	}
	c = r.dial(t)
	go func() {
		_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
		block := bytes.Repeat([]byte("x"), 64<<10)
		for {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	}()
	if said := cut(t, "a huge body", c); said != "" && !strings.HasPrefix(said, "HTTP/1.1 413") {
		t.Errorf("a huge body gets %.60q, want 413", said)
	}
}

// ask makes one request on a connection of its own and leaves it open.
func (r *rig) ask(t *testing.T) (net.Conn, error) {
	t.Helper()
	c := r.dial(t)
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		return c, err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err == nil {
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			err = fmt.Errorf("answered %s", res.Status)
		}
	}
	return c, err
}

// Many idle connections cost the oldest of them, and nobody new is refused.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	t.Parallel()
	l := short
	l.Idle, l.Header = time.Minute, time.Minute
	r := start(t, l, http.HandlerFunc(ok), nil)
	var silent []net.Conn
	for range l.Conns {
		silent = append(silent, r.dial(t))
	}
	for n := range 3 * l.Conns {
		if _, err := r.ask(t); err != nil {
			t.Fatalf("caller %d: %v", n, err)
		}
		if got := r.Conns(); got > l.Conns {
			t.Fatalf("%d connections, want at most %d", got, l.Conns)
		}
	}
	for _, c := range silent {
		cut(t, "a silent connection", c)
	}
}

// Working connections are nobody's to take: who comes then is refused, and
// accepted once there is room.
func TestWorkIsNotCutForNewcomers(t *testing.T) {
	t.Parallel()
	l := short
	l.Body, l.Write, l.Conns = time.Minute, time.Minute, 2
	begun, end := make(chan bool, 2), make(chan bool)
	r := start(t, l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		begun <- true
		<-end
		w.WriteHeader(http.StatusNoContent)
	}), nil)
	var busy []net.Conn
	for range 2 {
		c := r.dial(t)
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		<-begun
		busy = append(busy, c)
	}
	cut(t, "one too many", r.dial(t))
	close(end)
	for _, c := range busy {
		if said := cut(t, "a request under way", c); !strings.HasPrefix(said, "HTTP/1.1 204") {
			t.Errorf("a request under way got %.60q", said)
		}
	}
}

func TestOneCallerHasAShare(t *testing.T) {
	t.Parallel()
	l := short
	l.Body, l.Write, l.Conns, l.PerCaller = time.Minute, time.Minute, 100, 2
	begun, end := make(chan bool, 3), make(chan bool)
	h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		begun <- true
		<-end
	})
	defer close(end)
	busy := func(r *rig, n int) {
		for range n {
			c := r.dial(t)
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			<-begun
		}
	}
	r := start(t, l, h, nil)
	busy(r, 2)
	cut(t, "the third of one caller", r.dial(t))
	busy(start(t, l, h, func(s *listen.Server) { s.Exempt = netip.Addr.IsLoopback }), 3)
}

// HTTP/3's connections are counted by their own contexts; of IPv6 a /64 is one.
func TestConnectionsOfHTTP3AreCounted(t *testing.T) {
	t.Parallel()
	n := listen.NewCount(listen.Limits{Conns: 4, PerCaller: 2}, func(a netip.Addr) bool { return a == netip.MustParseAddr("2001:db8::9") })
	ctx, cancel := context.WithCancel(t.Context())
	in := func(ctx context.Context, from string) bool {
		return n.In(ctx, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(from)))
	}
	for _, c := range []struct {
		from string
		want bool
	}{{"[2001:db8::1]:1", true}, {"[2001:db8::2]:1", true}, {"[2001:db8::3]:1", false}, {"[2001:db8::9]:1", true}, {"192.0.2.1:1", true}, {"192.0.2.2:1", false}} {
		if got := in(ctx, c.from); got != c.want {
			t.Errorf("%s: %v, want %v", c.from, got, c.want)
		}
	}
	cancel()
	for deadline := time.Now().Add(patience); !in(t.Context(), "[2001:db8::3]:1"); {
		if time.Now().After(deadline) {
			t.Fatal("connections that ended are still counted")
		}
		time.Sleep(time.Millisecond)
	}
}

// framer is an HTTP/2 connection by hand.
func framer(t *testing.T, addr string) (*http2.Framer, net.Conn) {
	t.Helper()
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}) // #nosec G402 -- a test's own certificate
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_, _ = io.WriteString(c, http2.ClientPreface)
	f := http2.NewFramer(c, c)
	if err := f.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return f, c
}

func headers(path string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for _, h := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "a"}, {":path", path}} {
		_ = e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	return b.Bytes()
}

// secure serves HTTP/2 with httptest's certificate.
func secure(s *listen.Server) {
	with := httptest.NewUnstartedServer(nil)
	with.StartTLS()
	s.TLSConfig = &tls.Config{Certificates: with.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS12}
	with.Close()
}

// HTTP/2's rapid reset (CVE-2023-44487): streams that are opened and given up at
// once hold no more handlers than the bound, and the connection ends.
func TestRapidResetEndsTheConnection(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int32
	end := make(chan bool)
	l := short
	l.Body, l.Write, l.Idle = time.Minute, time.Minute, time.Minute
	r := start(t, l, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-end
		now.Add(-1)
	}), secure)
	defer close(end)
	f, c := framer(t, r.addr)
	go func() {
		for id := uint32(1); id < 20_000; id += 2 {
			if f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: headers("/"), EndStream: true, EndHeaders: true}) != nil || f.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
				return
			}
		}
	}()
	cut(t, "rapid reset", c)
	if got := most.Load(); int(got) > l.Streams {
		t.Errorf("%d handlers at once, want at most %d", got, l.Streams)
	}
}

func TestTooManyStreamsAreRefused(t *testing.T) {
	t.Parallel()
	end := make(chan bool)
	l := short
	l.Body, l.Write, l.Idle = time.Minute, time.Minute, time.Minute
	r := start(t, l, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-end }), secure)
	defer close(end)
	f, c := framer(t, r.addr)
	for n := range l.Streams + 3 {
		if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*n + 1), BlockFragment: headers("/"), EndStream: true, EndHeaders: true}); err != nil { // #nosec G115 -- a handful
			t.Fatal(err)
		}
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			t.Fatalf("no stream is refused: %v", err)
		}
		if s, is := frame.(*http2.SettingsFrame); is {
			if v, set := s.Value(http2.SettingMaxConcurrentStreams); set && int(v) != l.Streams {
				t.Errorf("%d streams are allowed, want %d", v, l.Streams)
			}
		}
		if reset, is := frame.(*http2.RSTStreamFrame); is {
			if id := int(reset.StreamID); id <= 2*l.Streams-1 {
				t.Errorf("stream %d is refused", id)
			}
			return
		}
	}
}

// The program's own limits: what is documented in docs/rate-limits.md.
func TestLimitsOfTheProgram(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]listen.Limits{"public": listen.Public, "private": listen.Private} {
		if l.Header > 10*time.Second || l.Body > time.Minute || l.Write > 90*time.Second || l.Idle > 2*time.Minute || l.HeaderBytes > 32<<10 || l.Conns <= 0 || l.PerCaller > l.Conns || l.Streams > 100 {
			t.Errorf("%s: %+v", name, l)
		}
	}
}
