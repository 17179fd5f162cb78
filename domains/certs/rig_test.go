package certs_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/redis/go-redis/v9"
	"github.com/uptrace/bun"

	"shingle/domains/certs"
	"shingle/internal/pg"
	"shingle/internal/testkit"
	"shingle/tasks"
	"shingle/tenant"
)

const boardDomain = "boards.example"

var serial atomic.Int64

// rig is a small internet: a DNS, an authority behind a gate, and replicas of
// the product, each with pools and a notifier of its own.
type rig struct {
	t     testing.TB
	w     *testkit.World
	board *tenant.Tenant
	dns   *nameserver
	ca    *testkit.CA
	gate  *gate
	// front is where the authority finds every host.
	fronts   sync.RWMutex
	replicas []*replica
	turn     atomic.Int64
	o        certs.Options
	// eab is the account's key and MAC that the authority wants.
	eab [2]string
}

// replica is one process: it serves, and works off tasks when asked to.
type replica struct {
	certs    *certs.Certs
	platform *tenant.Platform
	notifier *tenant.Notifier
	boards   *tenant.Resolver
	plain    http.Handler
	tlsAddr  string
	queries  queries // statements of its platform login
}

func newRig(t testing.TB, change ...func(*rig)) *rig {
	t.Helper()
	r := &rig{t: t, w: testkit.NewWorld(t), dns: newNameserver(t)}
	for _, f := range change { // what the authority needs to know at its start
		f(r)
	}
	r.board = r.w.Board(t, "acme")
	plain, secure := listen(t), listen(t)
	serve(t, plain, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { r.next().plain.ServeHTTP(w, q) }), nil)
	serve(t, secure, http.NotFoundHandler(), &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return r.next().certs.TLSConfig(), nil
	}})
	r.ca = testkit.Pebble(t, testkit.CAOptions{HTTPPort: port(plain), TLSPort: port(secure), DNS: r.dns.addr, EABKey: r.eab[0], EABMAC: r.eab[1]})
	r.gate = newGate(t, r.ca)
	// certmagic keeps challenges by name for the whole process: no two tests may
	// order for the same host at once.
	r.o = certs.Options{PlatformHost: fmt.Sprintf("platform.shingle%d.example", serial.Add(1)), BoardDomain: boardDomain, Authorities: []certs.Authority{{Directory: r.gate.directory}}, Email: "tls@shingle.example",
		Roots: r.gate.roots, Secret: secret, Log: slog.New(slog.DiscardHandler), Retry: func(int) time.Duration { return 100 * time.Millisecond }, Patience: 20 * time.Second}
	for _, f := range change {
		f(r)
	}
	return r
}

func (r *rig) next() *replica {
	r.fronts.RLock()
	defer r.fronts.RUnlock()
	return r.replicas[int(r.turn.Add(1))%len(r.replicas)]
}

// replica starts one more process.
func (r *rig) replica() *replica {
	t := r.t
	t.Helper()
	db, err := pg.Open(r.w.PG.Platform, 16)
	if err != nil {
		t.Fatal(err)
	}
	n := tenant.NewNotifier(r.w.PG.App, slog.New(slog.DiscardHandler))
	p := &replica{notifier: n, platform: tenant.NewPlatform(db, n)}
	p.platform.Bun().AddQueryHook(&p.queries) //nolint:staticcheck // the door keeps its pool: WithQueryHook makes another
	p.boards = tenant.NewResolver(p.platform, slog.New(slog.DiscardHandler), time.Now)
	p.boards.Attach(n)
	linked := make(chan struct{}, 8)
	n.OnLink(func(bool) { linked <- struct{}{} })
	o := r.o
	o.Platform, o.Notifier = p.platform, n
	if p.certs, err = certs.New(o); err != nil {
		t.Fatal(err)
	}
	n.OnHost(func(h string) { p.boards.Forget(h); p.certs.Changed(h) })
	page := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { fmt.Fprintf(w, "%s over %s", q.Host, q.Proto) })
	p.plain = p.certs.Plain(page, "", nil)
	if err := p.certs.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() { n.Run(ctx) })
	wg.Go(func() { p.certs.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait(); p.certs.Close(); _ = db.Close() })
	<-linked
	l := listen(t)
	serve(t, l, certs.Secure(page), p.certs.TLSConfig())
	p.tlsAddr = l.Addr().String()
	r.fronts.Lock()
	r.replicas = append(r.replicas, p)
	r.fronts.Unlock()
	return p
}

// work runs tasks in a replica until the test ends.
func (r *rig) work(p *replica, concurrency int) {
	t := r.t
	t.Helper()
	opts, err := redis.ParseURL(testkit.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(opts)
	mux := tasks.NewMux()
	p.certs.Register(mux)
	runner := tasks.NewRunner(p.platform, p.boards, mux, rdb, slog.New(slog.DiscardHandler))
	p.notifier.OnTask(runner.Wake)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- runner.Run(ctx, concurrency) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = rdb.Close()
	})
}

// verified proves a host for a board, as the domains do, and orders in the same
// transaction.
func (r *rig) verified(p *replica, hosts ...string) {
	r.t.Helper()
	err := p.platform.Write(r.t.Context(), func(ctx context.Context, tx bun.IDB) error {
		for _, h := range hosts {
			if _, err := tx.NewRaw(`INSERT INTO hosts (host, board_id, kind, verified_at) VALUES (?, ?, 'custom', now())`, h, r.board.ID).Exec(ctx); err != nil {
				return err
			}
			if err := p.certs.Order(ctx, tx, h); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// status is a host's, as its admin sees it.
func (r *rig) status(p *replica, host string) certs.Status {
	r.t.Helper()
	s, err := p.certs.Status(r.t.Context(), host)
	if err != nil {
		r.t.Fatal(err)
	}
	return s[0]
}

// get asks a replica for a host's page over TLS, with a new connection.
func (r *rig) get(p *replica, host string) (*http.Response, string, error) {
	return getFrom(r.t, p.tlsAddr, host, r.ca.Issued)
}

func getFrom(t testing.TB, addr, host string, roots *x509.CertPool) (*http.Response, string, error) {
	tr := &http.Transport{ForceAttemptHTTP2: true, DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		}}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+host+"/jobs?q=1", nil)
	if err != nil {
		return nil, "", err
	}
	res, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res, string(body), err
}

// served waits until a host's page comes over TLS from every replica.
func (r *rig) served(host string, within time.Duration) {
	r.t.Helper()
	for _, p := range r.replicas {
		testkit.Eventually(r.t, within, func() error { _, _, err := r.get(p, host); return err })
	}
}

// orders counts what was asked of authorities for a host, or for all with "".
func (r *rig) orders(host, outcome string) (n int) {
	r.t.Helper()
	err := r.w.Platform.Read(r.t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT count(*) FROM acme_orders WHERE (host = ? OR ? = '') AND (outcome = ? OR ? = '')`, host, host, outcome, outcome).Scan(ctx, &n)
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func port(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

func serve(t testing.TB, l net.Listener, h http.Handler, c *tls.Config) {
	srv := &http.Server{Handler: h, TLSConfig: c, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if c == nil {
			_ = srv.Serve(l)
		} else {
			_ = srv.ServeTLS(l, "", "")
		}
	}()
	t.Cleanup(func() { _ = srv.Close(); <-done })
}

// gate stands before the authority: it counts new orders, and can be shut,
// slow, or refuse.
type gate struct {
	directory string
	cert      *x509.Certificate
	roots     *x509.CertPool
	asked     atomic.Int64 // requests of any kind
	ordered   atomic.Int64
	mood      atomic.Value // of type mood
}

type mood string

const (
	open     mood = ""
	down     mood = "down"
	slow     mood = "slow"
	refusing mood = "refusing" // 500 to everything
	limiting mood = "limiting" // 429 to new orders
)

func newGate(t testing.TB, ca *testkit.CA) *gate {
	t.Helper()
	g := &gate{roots: x509.NewCertPool()}
	g.mood.Store(open)
	target, err := url.Parse(ca.Directory)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool, MinVersion: tls.VersionTLS12}}
	t.Cleanup(tr.CloseIdleConnections)
	made := func(res *http.Response) error {
		// Not every request is one: a nonce may be refused.
		if strings.Contains(res.Request.URL.Path, "order-plz") && res.StatusCode == http.StatusCreated {
			g.ordered.Add(1)
		}
		return nil
	}
	proxy := &httputil.ReverseProxy{Transport: tr, ModifyResponse: made, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host
		r.Out.Host = r.In.Host // its URLs lead back here
	}}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.asked.Add(1)
		ordering := strings.Contains(r.URL.Path, "order-plz")
		problem := func(status int, kind, detail string) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"type":"urn:ietf:params:acme:error:%s","detail":%q,"status":%d}`, kind, detail, status)
		}
		switch m := g.mood.Load().(mood); {
		case m == down:
			panic(http.ErrAbortHandler)
		case m == slow:
			<-r.Context().Done()
		case m == refusing:
			problem(http.StatusInternalServerError, "serverInternal", "The service is down for maintenance")
		case m == limiting && ordering:
			problem(http.StatusTooManyRequests, "rateLimited", "too many new orders recently, retry after "+time.Now().UTC().Add(2*time.Hour).Format("2006-01-02 15:04:05 MST"))
		default:
			proxy.ServeHTTP(w, r)
		}
	}))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	srv.StartTLS()
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
	g.cert = srv.Certificate()
	g.roots.AddCert(g.cert)
	g.directory = srv.URL + target.Path
	return g
}

// nameserver answers every name with this machine, unless told otherwise, and
// takes signed updates.
type nameserver struct {
	addr string
	mu   sync.Mutex
	// wrong names lead to where nobody listens; "" is no such name.
	wrong map[string]string
	txt   map[string][]string
	caa   map[string]string
}

const tsigKey = "shingle-test."

var tsigSecret = base64.StdEncoding.EncodeToString(secret)

func newNameserver(t testing.TB) *nameserver {
	t.Helper()
	n := &nameserver{wrong: map[string]string{}, txt: map[string][]string{}, caa: map[string]string{}}
	l := listen(t)
	n.addr = l.Addr().String()
	pc, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", n.addr)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{Listener: l}, {PacketConn: pc}} {
		started, done := make(chan struct{}), make(chan struct{})
		s.Handler, s.TsigSecret = n, map[string]string{tsigKey: tsigSecret}
		s.NotifyStartedFunc = func() { close(started) }
		s.MsgAcceptFunc = func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept } // updates too
		go func() { defer close(done); _ = s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = s.Shutdown(); <-done })
	}
	return n
}

func (n *nameserver) set(host, addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wrong[host+"."] = addr
}

func (n *nameserver) right(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.wrong, host+".")
}

func (n *nameserver) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := new(dns.Msg)
	m.SetReply(q)
	m.Authoritative = true
	defer func() {
		if t := q.IsTsig(); t != nil {
			m.SetTsig(t.Hdr.Name, t.Algorithm, 300, time.Now().Unix())
		}
		_ = w.WriteMsg(m)
	}()
	if q.Opcode == dns.OpcodeUpdate {
		if q.IsTsig() == nil || w.TsigStatus() != nil {
			m.Rcode = dns.RcodeRefused
			return
		}
		for _, rr := range q.Ns {
			txt, ok := rr.(*dns.TXT)
			if !ok {
				continue
			}
			name := strings.ToLower(txt.Hdr.Name)
			if txt.Hdr.Class == dns.ClassNONE {
				n.txt[name] = nil
			} else {
				n.txt[name] = append(n.txt[name], strings.Join(txt.Txt, ""))
			}
		}
		return
	}
	name := strings.ToLower(q.Question[0].Name)
	hdr := dns.RR_Header{Name: q.Question[0].Name, Rrtype: q.Question[0].Qtype, Class: dns.ClassINET, Ttl: 0}
	addr, wrong := n.wrong[name]
	switch q.Question[0].Qtype {
	case dns.TypeA:
		if !wrong {
			addr = "127.0.0.1"
		}
		if addr == "" {
			m.Rcode = dns.RcodeNameError
			return
		}
		m.Answer = append(m.Answer, &dns.A{Hdr: hdr, A: net.ParseIP(addr)})
	case dns.TypeTXT:
		for _, v := range n.txt[name] {
			m.Answer = append(m.Answer, &dns.TXT{Hdr: hdr, Txt: []string{v}})
		}
	case dns.TypeSOA:
		if name == boardDomain+"." {
			m.Answer = append(m.Answer, &dns.SOA{Hdr: hdr, Ns: "ns." + name, Mbox: "root." + name, Serial: 1, Refresh: 60, Retry: 60, Expire: 60, Minttl: 1})
		}
	case dns.TypeCAA:
		if v := n.caa[name]; v != "" {
			m.Answer = append(m.Answer, &dns.CAA{Hdr: hdr, Tag: "issue", Value: v})
		}
	}
}

// manyHosts are names of as many registered domains, four each.
func manyHosts(t testing.TB) []string {
	n := 24
	if v := os.Getenv("SHINGLE_TEST_HOSTS"); v != "" {
		var err error
		if n, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	}
	hosts := make([]string, n)
	for i := range hosts {
		hosts[i] = fmt.Sprintf("jobs%d.company-%d.example", i%4, i/4)
	}
	return hosts
}
