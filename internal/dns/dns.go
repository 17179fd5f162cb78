// Package dns asks the domain name system what other people have published:
// owners' records, mail policies, who may issue certificates. It never decides
// what an answer means. Start at Client; Fresh is for checks.
package dns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	mdns "github.com/miekg/dns"

	"shingle/internal/fault"
)

const (
	// askFor bounds one question to one server; a check asks several.
	askFor = 2 * time.Second
	// maxHops is how long a chain of aliases may be.
	maxHops = 8
)

// Client asks the configured servers, keeping answers for their TTL. Names are
// in punycode. Kinds of all errors: fault.NotFound when the name or the record
// does not exist, fault.Unavailable when nobody answered.
type Client struct {
	servers    []string
	configured bool // not the system's
	cache      *cache
	// direct asks the zone's own servers first, past caches that others keep.
	direct bool
	// port and private are for tests: zones' own servers on this machine.
	port    string
	private bool
	timeout time.Duration
}

// New uses the given servers ("192.0.2.53" or "192.0.2.53:5353"), or those of
// the system's resolv.conf when there are none. A machine without either gets
// one that asks itself, as resolv.conf(5) has it: checks then say that nobody
// answers, and all else goes on.
func New(servers []string) *Client {
	c := &Client{cache: newCache(time.Now), port: "53", timeout: askFor}
	for _, s := range servers {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(s); err != nil {
			s = net.JoinHostPort(strings.Trim(s, "[]"), "53")
		}
		c.servers = append(c.servers, s)
	}
	if c.configured = len(c.servers) > 0; c.configured {
		return c
	}
	conf, err := mdns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil || len(conf.Servers) == 0 {
		conf = &mdns.ClientConfig{Servers: []string{"127.0.0.1"}, Port: "53"}
	}
	for _, s := range conf.Servers {
		c.servers = append(c.servers, net.JoinHostPort(s, conf.Port))
	}
	return c
}

// Fresh is a client without a cache that asks a zone's own servers when they
// can be reached, so that a check sees what was published a moment ago.
func (c *Client) Fresh() *Client {
	f := *c
	f.cache, f.direct = nil, true
	return &f
}

// Each is a client without a cache for each of the configured servers, to hear
// whether they agree; none for the system's, and for one alone.
func (c *Client) Each() (out []*Client) {
	if len(c.servers) < 2 || !c.configured {
		return nil
	}
	for _, s := range c.servers {
		one := *c
		one.cache, one.servers, one.direct = nil, []string{s}, false
		out = append(out, &one)
	}
	return out
}

// TXT lists a name's texts, each with its pieces joined.
func (c *Client) TXT(ctx context.Context, name string) ([]string, error) {
	rrs, err := c.ask(ctx, name, mdns.TypeTXT)
	return values(rrs, err, func(r *mdns.TXT) string { return plain(strings.Join(r.Txt, "")) })
}

// plain takes a text out of the escapes of a zone file, in which it comes.
func plain(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			if i+3 < len(s) {
				if n, err := strconv.ParseUint(s[i+1:i+4], 10, 8); err == nil {
					b = append(b, byte(n))
					i += 3
					continue
				}
			}
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

// CNAME is the name that an alias leads to, without the trailing dot.
func (c *Client) CNAME(ctx context.Context, name string) (string, error) {
	rrs, err := c.ask(ctx, name, mdns.TypeCNAME)
	names, err := values(rrs, err, func(r *mdns.CNAME) string { return Name(r.Target) })
	if err != nil {
		return "", err
	}
	return names[0], nil
}

// NS lists the servers of a zone.
func (c *Client) NS(ctx context.Context, name string) ([]string, error) {
	rrs, err := c.ask(ctx, name, mdns.TypeNS)
	return values(rrs, err, func(r *mdns.NS) string { return Name(r.Ns) })
}

// Exchange is a mail server of a domain.
type Exchange struct {
	Preference uint16
	Host       string
}

// MX lists a domain's mail servers, the preferred ones first.
func (c *Client) MX(ctx context.Context, name string) ([]Exchange, error) {
	rrs, err := c.ask(ctx, name, mdns.TypeMX)
	out, err := values(rrs, err, func(r *mdns.MX) Exchange { return Exchange{r.Preference, Name(r.Mx)} })
	slices.SortStableFunc(out, func(a, b Exchange) int { return int(a.Preference) - int(b.Preference) })
	return out, err
}

// Permit is one CAA record: who may issue certificates for a name.
type Permit struct {
	Critical   bool
	Tag, Value string
}

func (p Permit) String() string {
	flag := 0
	if p.Critical {
		flag = 128
	}
	return fmt.Sprintf("%d %s %q", flag, p.Tag, p.Value)
}

// CAA lists the records that hold for a name: its own, else those of the
// closest name above it (RFC 8659). at is where they were found; no records
// anywhere is no error.
func (c *Client) CAA(ctx context.Context, name string) (at string, permits []Permit, err error) {
	for at = Name(name); at != ""; _, at, _ = strings.Cut(at, ".") {
		rrs, err := c.ask(ctx, at, mdns.TypeCAA)
		permits, err = values(rrs, err, func(r *mdns.CAA) Permit { return Permit{r.Flag&128 != 0, strings.ToLower(r.Tag), r.Value} })
		if err == nil {
			return at, permits, nil
		}
		if !fault.Is(err, fault.NotFound) {
			return "", nil, err
		}
	}
	return "", nil, nil
}

// Trace is where a name leads: through which aliases, to which addresses.
type Trace struct {
	Aliases   []string
	Addresses []netip.Addr
}

// Addresses follows a name's aliases to its addresses. Kinds: as all, and
// fault.Invalid for a chain that runs in a circle or is longer than eight.
// The trace holds how far it came even when an error is returned.
func (c *Client) Addresses(ctx context.Context, name string) (Trace, error) {
	var t Trace
	at := Name(name)
	for range maxHops + 1 {
		type answer struct {
			rrs []mdns.RR
			err error
		}
		four := make(chan answer, 1)
		go func() {
			rrs, err := c.ask(ctx, at, mdns.TypeA)
			four <- answer{rrs, err}
		}()
		rrs, err := c.ask(ctx, at, mdns.TypeAAAA)
		v4 := <-four
		next, cerr := c.CNAME(ctx, at)
		if cerr == nil {
			if slices.Contains(t.Aliases, next) || next == Name(name) {
				t.Aliases = append(t.Aliases, next)
				return t, fault.New(fault.Invalid, "the aliases of %s run in a circle", name)
			}
			t.Aliases = append(t.Aliases, next)
			at = next
			continue
		}
		for _, a := range []answer{v4, {rrs, err}} {
			if a.err != nil && !fault.Is(a.err, fault.NotFound) {
				return t, a.err
			}
			for _, rr := range a.rrs {
				switch r := rr.(type) {
				case *mdns.A:
					t.add(r.A)
				case *mdns.AAAA:
					t.add(r.AAAA)
				}
			}
		}
		if len(t.Addresses) == 0 {
			return t, fault.New(fault.NotFound, "%s has no address", at)
		}
		return t, nil
	}
	return t, fault.New(fault.Invalid, "%s leads through more than %d aliases", name, maxHops)
}

func (t *Trace) add(ip net.IP) {
	if a, ok := netip.AddrFromSlice(ip); ok && !slices.Contains(t.Addresses, a.Unmap()) {
		t.Addresses = append(t.Addresses, a.Unmap())
	}
}

// Name is a host without its trailing dot, in lower case.
func Name(s string) string { return strings.ToLower(strings.TrimSuffix(s, ".")) }

// values reads the records of one type; none of them is fault.NotFound.
func values[R mdns.RR, V any](rrs []mdns.RR, err error, f func(R) V) ([]V, error) {
	if err != nil {
		return nil, err
	}
	var out []V
	for _, rr := range rrs {
		if r, ok := rr.(R); ok {
			out = append(out, f(r))
		}
	}
	if len(out) == 0 {
		return nil, fault.New(fault.NotFound, "no such record")
	}
	return out, nil
}
