package route

import (
	"net/http"
	"net/netip"
	"strings"

	"shingle/internal/fault"
)

// Proxies are the networks whose forwarded headers count. What a browser says
// about itself there never does. Client addresses are gin's to find, from the
// same list; this is all else that is forwarded.
type Proxies []netip.Prefix

// ParseProxies reads addresses and CIDRs. Kind: fault.Invalid.
func ParseProxies(list []string) (Proxies, error) {
	var out Proxies
	for _, s := range list {
		s = strings.TrimSpace(s)
		p, err := netip.ParsePrefix(s)
		if err != nil {
			a, aerr := netip.ParseAddr(s)
			if aerr != nil {
				return nil, fault.Wrap(aerr, fault.Invalid, "a trusted proxy is neither an address nor a CIDR")
			}
			a = a.Unmap()
			p = netip.PrefixFrom(a, a.BitLen())
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// Trusts reports whether the request's own peer is one of them.
func (p Proxies) Trusts(r *http.Request) bool {
	if len(p) == 0 {
		return false
	}
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	peer := at.Addr().Unmap().WithZone("")
	for _, n := range p {
		if n.Contains(peer) {
			return true
		}
	}
	return false
}

// Scheme is how the browser reached us: "http" or "https". Of several proxies
// the last one's word counts.
func (p Proxies) Scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	said := r.Header.Values("X-Forwarded-Proto")
	if len(said) == 0 || !p.Trusts(r) {
		return "http"
	}
	last := said[len(said)-1]
	last = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
	if strings.EqualFold(last, "https") {
		return "https"
	}
	return "http"
}
