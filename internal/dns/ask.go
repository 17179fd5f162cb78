package dns

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	mdns "github.com/miekg/dns"

	"shingle/internal/fault"
)

// ask finds the records of a name: from the cache, the zone's own servers, or
// the configured ones. Records of the answer's aliases are left in.
func (c *Client) ask(ctx context.Context, name string, kind uint16) ([]mdns.RR, error) {
	name = Name(name)
	if _, ok := mdns.IsDomainName(name); !ok || name == "" {
		return nil, fault.New(fault.Invalid, "%q is not a name", name)
	}
	if rrs, err, ok := c.cache.get(name, kind); ok {
		return rrs, err
	}
	var m *mdns.Msg
	err := error(fault.New(fault.Unavailable, "no DNS server answered for %s", name))
	if c.direct {
		if own := c.authorities(ctx, name); len(own) > 0 {
			m, err = c.exchange(ctx, own, name, kind, false)
		}
		// Another zone may be the alias's: only the configured servers follow it.
		if m != nil && !m.Authoritative {
			m = nil
		}
	}
	if m == nil {
		m, err = c.exchange(ctx, c.servers, name, kind, true)
	}
	if m == nil {
		return nil, err
	}
	if m.Rcode == mdns.RcodeNameError || len(m.Answer) == 0 {
		err = fault.New(fault.NotFound, "%s has no such record", name)
		c.cache.put(name, kind, nil, err, negativeTTL(m))
		return nil, err
	}
	c.cache.put(name, kind, m.Answer, nil, positiveTTL(m))
	return m.Answer, nil
}

// exchange asks servers in turn until one gives a usable answer.
func (c *Client) exchange(ctx context.Context, servers []string, name string, kind uint16, recurse bool) (*mdns.Msg, error) {
	q := new(mdns.Msg)
	q.SetQuestion(mdns.Fqdn(name), kind)
	q.RecursionDesired = recurse
	q.SetEdns0(1232, false)
	var last error
	for _, server := range servers {
		m, err := c.once(ctx, q, server, "udp")
		if err == nil && m.Truncated {
			m, err = c.once(ctx, q, server, "tcp")
		}
		if err == nil && (m.Rcode == mdns.RcodeSuccess || m.Rcode == mdns.RcodeNameError) {
			return m, nil
		}
		if last = err; err == nil {
			last = fault.New(fault.Unavailable, "%s answered %s for %s", server, mdns.RcodeToString[m.Rcode], name)
		}
		if ctx.Err() != nil {
			break
		}
	}
	if last == nil {
		return nil, fault.New(fault.Unavailable, "no DNS server is set")
	}
	return nil, fault.Wrap(last, fault.Unavailable, "no DNS server answered for %s", name)
}

func (c *Client) once(ctx context.Context, q *mdns.Msg, server, network string) (*mdns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	q = q.Copy()
	q.Id = mdns.Id()
	client := &mdns.Client{Net: network, Timeout: c.timeout, UDPSize: 1232}
	m, _, err := client.ExchangeContext(ctx, q, server)
	return m, err
}

// authorities are the addresses of the zone's own servers, in random order, or
// none when they can't be found: then the configured servers have to do.
func (c *Client) authorities(ctx context.Context, name string) []string {
	for zone := name; strings.Contains(zone, "."); _, zone, _ = strings.Cut(zone, ".") {
		m, err := c.exchange(ctx, c.servers, zone, mdns.TypeNS, true)
		if err != nil {
			return nil
		}
		var out []string
		for _, rr := range m.Answer {
			ns, ok := rr.(*mdns.NS)
			if !ok || Name(ns.Hdr.Name) != zone || len(out) >= 4 {
				continue
			}
			a, err := c.exchange(ctx, c.servers, Name(ns.Ns), mdns.TypeA, true)
			if err != nil {
				continue
			}
			for _, rr := range a.Answer {
				if r, ok := rr.(*mdns.A); ok && c.mayAsk(r.A) {
					out = append(out, net.JoinHostPort(r.A.String(), c.port))
				}
			}
		}
		if len(out) > 0 {
			rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] }) // #nosec G404 -- an order of asking, no secret
			return out[:min(2, len(out))]
		}
	}
	return nil
}

// mayAsk keeps questions off this machine and its network: who owns a zone
// says where its servers are.
func (c *Client) mayAsk(ip net.IP) bool {
	a, ok := netip.AddrFromSlice(ip)
	return ok && (c.private || Public(a.Unmap()))
}

// Public reports whether an address is one of the open internet: IANA's special
// registries (RFC 6890 and after) are not, nor what carries an IPv4 address
// through a translator, which would reach one that is not.
func Public(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

var special = func() (out []netip.Prefix) {
	for _, p := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10",
	} {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}()

// maxTTL bounds what a publisher may make us keep.
const maxTTL = time.Hour

func positiveTTL(m *mdns.Msg) time.Duration {
	ttl := uint32(maxTTL / time.Second)
	for _, rr := range m.Answer {
		ttl = min(ttl, rr.Header().Ttl)
	}
	return time.Duration(ttl) * time.Second
}

// negativeTTL is the zone's own (RFC 2308), or a short one.
func negativeTTL(m *mdns.Msg) time.Duration {
	for _, rr := range m.Ns {
		if soa, ok := rr.(*mdns.SOA); ok {
			return min(time.Duration(min(soa.Minttl, soa.Hdr.Ttl))*time.Second, maxTTL)
		}
	}
	return 5 * time.Second
}
