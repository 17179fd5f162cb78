// Package listen is how every listener of the program bounds its callers: how
// long a header, a body, an answer and a pause may take, how large a header may
// be, how many connections there are, and how many requests on one of them. It
// never looks at a request. Start at Public.
package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Limits bound what callers can hold of a server. The largest body is each
// route's own (route.Route.Body).
type Limits struct {
	Header, Body, Write, Idle time.Duration
	HeaderBytes               int
	// Conns is how many connections there may be at once. One more costs the one
	// that has been idle for longest; where none is, it is refused.
	Conns int
	// PerCaller is how many of them one caller may have, unless Exempt has it: an
	// address, of IPv6 a /64, which is one customer's.
	PerCaller int
	// Streams is how many requests one HTTP/2 or HTTP/3 connection has at once.
	Streams int
}

// Public is for listeners that the world reaches; Private for those of the
// machine's own network (health, metrics, dev's pages).
var (
	Public  = Limits{Header: 10 * time.Second, Body: 60 * time.Second, Write: 90 * time.Second, Idle: 120 * time.Second, HeaderBytes: 32 << 10, Conns: 16_384, PerCaller: 1024, Streams: 100}
	Private = Limits{Header: 10 * time.Second, Body: 60 * time.Second, Write: 90 * time.Second, Idle: 120 * time.Second, HeaderBytes: 32 << 10, Conns: 512, PerCaller: 512, Streams: 100}
)

// Server is a server with its bounds. Serve it on what Bound returns.
type Server struct {
	*http.Server
	limits Limits
	// Exempt are callers that stand for many: proxies in front of us.
	Exempt func(netip.Addr) bool

	mu    sync.Mutex
	conns map[net.Conn]*state
	by    map[netip.Addr]int
}

type state struct {
	caller netip.Addr
	idle   time.Time // zero while it works
}

// New makes a server.
func New(h http.Handler, l Limits) *Server {
	s := &Server{limits: l, conns: map[net.Conn]*state{}, by: map[netip.Addr]int{}}
	s.Server = &http.Server{Handler: h, ReadHeaderTimeout: l.Header, ReadTimeout: l.Body, WriteTimeout: l.Write, IdleTimeout: l.Idle, MaxHeaderBytes: l.HeaderBytes,
		ConnState: s.moved,
		// net/http ends a connection that opens and resets streams faster than their
		// handlers end (CVE-2023-44487) by this bound.
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: l.Streams, SendPingTimeout: l.Idle / 4, PingTimeout: 15 * time.Second, WriteByteTimeout: l.Write / 3, MaxReadFrameSize: 64 << 10}}
	return s
}

// TCP listens; the system itself finds callers that have vanished.
func TCP(ctx context.Context, addr string) (net.Listener, error) {
	c := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3}}
	return c.Listen(ctx, "tcp", addr)
}

// Bound bounds the connections of l.
func (s *Server) Bound(l net.Listener) net.Listener { return &bounded{Listener: l, s: s} }

type bounded struct {
	net.Listener
	s *Server
}

func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if b.s.admit(c) {
			return c, nil
		}
		_ = c.Close() // refused: it has nothing to say about that
	}
}

func addressOf(a net.Addr) netip.Addr {
	p, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return p.Addr().Unmap().WithZone("")
}

// networkOf is whom an address counts for.
func networkOf(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return a
	}
	p, _ := a.Prefix(64) // fails for more bits than there are
	return p.Addr()
}

// admit counts a new connection in, or reports that there is no room for it.
func (s *Server) admit(c net.Conn) bool {
	from := addressOf(c.RemoteAddr())
	caller := networkOf(from)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by[caller] >= s.limits.PerCaller && (s.Exempt == nil || !s.Exempt(from)) && !s.evict(caller) {
		return false
	}
	if len(s.conns) >= s.limits.Conns && !s.evict(netip.Addr{}) {
		return false
	}
	s.conns[c] = &state{caller: caller, idle: time.Now()} // nothing asked yet
	s.by[caller]++
	return true
}

// evict closes the connection that has been idle for longest, of one caller if
// that is given.
func (s *Server) evict(caller netip.Addr) bool {
	var oldest net.Conn
	var since time.Time
	for c, st := range s.conns {
		if !st.idle.IsZero() && (!caller.IsValid() || st.caller == caller) && (oldest == nil || st.idle.Before(since)) {
			oldest, since = c, st.idle
		}
	}
	if oldest == nil {
		return false
	}
	s.forget(oldest)
	_ = oldest.Close() // its reader sees the end
	return true
}

func (s *Server) forget(c net.Conn) {
	st := s.conns[c]
	if st == nil {
		return
	}
	delete(s.conns, c)
	if s.by[st.caller]--; s.by[st.caller] <= 0 {
		delete(s.by, st.caller)
	}
}

// moved follows net/http's connections.
func (s *Server) moved(c net.Conn, to http.ConnState) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch st := s.conns[c]; {
	case st == nil:
	case to == http.StateClosed || to == http.StateHijacked:
		s.forget(c)
	case to == http.StateIdle || to == http.StateNew:
		st.idle = time.Now()
	default:
		st.idle = time.Time{}
	}
}

// Conns is how many connections there are now.
func (s *Server) Conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Until serves l until ctx ends, then lets requests under way finish. With a
// TLS configuration it speaks TLS.
func (s *Server) Until(ctx context.Context, l net.Listener) error {
	l = s.Bound(l)
	return Until(ctx, s.Server, func() error {
		if s.TLSConfig != nil {
			return s.ServeTLS(l, "", "")
		}
		return s.Serve(l)
	})
}

// Until serves until ctx ends, then lets requests under way finish.
func Until(ctx context.Context, srv interface{ Shutdown(context.Context) error }, serve func() error) error {
	done := make(chan error, 1)
	go func() {
		<-ctx.Done()
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
		defer cancel()
		done <- srv.Shutdown(drain)
	}()
	if err := serve(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-done
}

// Count bounds the connections of a server that net/http does not count: HTTP/3's.
type Count struct {
	limits Limits
	exempt func(netip.Addr) bool

	mu  sync.Mutex
	all int
	by  map[netip.Addr]int
}

// NewCount makes one; exempt may be nil.
func NewCount(l Limits, exempt func(netip.Addr) bool) *Count {
	return &Count{limits: l, exempt: exempt, by: map[netip.Addr]int{}}
}

// In counts a connection in, and out again when ctx, its own, ends; false: there
// is no room for it.
func (n *Count) In(ctx context.Context, remote net.Addr) bool {
	from := addressOf(remote)
	caller := networkOf(from)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all >= n.limits.Conns || n.by[caller] >= n.limits.PerCaller && (n.exempt == nil || !n.exempt(from)) {
		return false
	}
	n.all++
	n.by[caller]++
	context.AfterFunc(ctx, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.all--
		if n.by[caller]--; n.by[caller] == 0 {
			delete(n.by, caller)
		}
	})
	return true
}

// Timed gives requests of HTTP/3, whose server has no such bounds, the times
// that others have.
func Timed(l Limits, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, now := http.NewResponseController(w), time.Now()
		_ = c.SetReadDeadline(now.Add(l.Body)) // a writer that cannot is none of quic-go's
		_ = c.SetWriteDeadline(now.Add(l.Write))
		next.ServeHTTP(w, r)
	})
}
