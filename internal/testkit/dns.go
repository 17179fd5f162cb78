package testkit

import (
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// DNS is a name server that tests fill: it answers like a resolver for what it
// holds, aliases followed, and NXDOMAIN for the rest.
type DNS struct {
	// Addr is where it listens, for UDP and TCP.
	Addr string

	mu     sync.Mutex
	rrs    map[string][]dns.RR // by lower-case name with its dot
	codes  map[string]int
	asked  map[string]int
	silent bool
	held   chan struct{}
}

// NewDNS starts a server on this machine for the test.
func NewDNS(t testing.TB) *DNS {
	t.Helper()
	d := &DNS{rrs: map[string][]dns.RR{}, codes: map[string]int{}, asked: map[string]int{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.Addr = l.Addr().String()
	pc, err := net.ListenPacket("udp", d.Addr)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait) // after the servers were told to stop
	for _, s := range []*dns.Server{{Listener: l, Handler: d}, {PacketConn: pc, Handler: d}} {
		up := make(chan struct{})
		s.NotifyStartedFunc = func() { close(up) }
		wg.Go(func() { _ = s.ActivateAndServe() })
		<-up
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	return d
}

// Set gives a name its records of one type, as in a zone file: Set(t,
// "jobs.acme.test", "CNAME", "edge.boards.test."). Those before are gone; no
// values removes them.
func (d *DNS) Set(t testing.TB, name, kind string, values ...string) {
	t.Helper()
	name = strings.ToLower(dns.Fqdn(name))
	var fresh []dns.RR
	for _, v := range values {
		if kind == "TXT" && !strings.HasPrefix(v, `"`) {
			v = `"` + v + `"`
		}
		rr, err := dns.NewRR(name + " 60 IN " + kind + " " + v)
		if err != nil {
			t.Fatalf("record %s %s %s: %v", name, kind, v, err)
		}
		fresh = append(fresh, rr)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, rr := range d.rrs[name] {
		if rr.Header().Rrtype != dns.StringToType[kind] {
			fresh = append(fresh, rr)
		}
	}
	if d.rrs[name] = fresh; len(fresh) == 0 {
		delete(d.rrs, name)
	}
}

// Fail makes a name answer with a code, e.g. dns.RcodeServerFailure; 0 ends it.
func (d *DNS) Fail(name string, code int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.codes[strings.ToLower(dns.Fqdn(name))] = code
}

// Silence makes the server answer nothing at all, as one that is down.
func (d *DNS) Silence(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.silent = on
}

// Hold makes answers wait until release is called: a slow server.
func (d *DNS) Hold() (release func()) {
	held := make(chan struct{})
	d.mu.Lock()
	d.held = held
	d.mu.Unlock()
	return sync.OnceFunc(func() {
		d.mu.Lock()
		d.held = nil
		d.mu.Unlock()
		close(held)
	})
}

// Asked is how often a name was asked for a type.
func (d *DNS) Asked(name, kind string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[strings.ToLower(dns.Fqdn(name))+kind]
}

// ServeDNS implements dns.Handler.
func (d *DNS) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	d.mu.Lock()
	silent, held := d.silent, d.held
	d.mu.Unlock()
	if silent {
		return
	}
	if held != nil {
		<-held
	}
	_ = w.WriteMsg(d.answer(q))
}

func (d *DNS) answer(q *dns.Msg) *dns.Msg {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := new(dns.Msg)
	m.SetReply(q)
	m.Authoritative, m.RecursionAvailable = true, true
	asked := q.Question[0]
	name := strings.ToLower(asked.Name)
	d.asked[name+dns.TypeToString[asked.Qtype]]++
	if code := d.codes[name]; code != 0 {
		m.Rcode = code
		return m
	}
	for range 12 {
		alias := ""
		for _, rr := range d.rrs[name] {
			switch {
			case rr.Header().Rrtype == asked.Qtype:
				m.Answer = append(m.Answer, rr)
			case rr.Header().Rrtype == dns.TypeCNAME:
				m.Answer = append(m.Answer, rr)
				alias = strings.ToLower(rr.(*dns.CNAME).Target)
			}
		}
		if alias == "" {
			break
		}
		name = alias
	}
	if len(m.Answer) == 0 && !d.below(name) {
		m.Rcode = dns.RcodeNameError
	}
	return m
}

// below tells whether a name or one under it exists.
func (d *DNS) below(name string) bool {
	for n := range d.rrs {
		if n == name || strings.HasSuffix(n, "."+name) {
			return true
		}
	}
	return false
}
