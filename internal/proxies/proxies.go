// Package proxies knows which peers may say how a request reached them.
package proxies

import (
	"net/http"
	"net/netip"
	"strings"

	"shingle/internal/fault"
)

// List is the networks whose forwarded headers count. What a browser says about
// itself there never does.
type List []netip.Prefix

// Parse reads addresses and CIDRs. Kind: fault.Invalid.
func Parse(list []string) (List, error) {
	var out List
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
func (l List) Trusts(r *http.Request) bool {
	if len(l) == 0 {
		return false
	}
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	return l.Has(at.Addr())
}

// Has reports whether an address is one of them.
func (l List) Has(a netip.Addr) bool {
	peer := a.Unmap().WithZone("")
	for _, n := range l {
		if n.Contains(peer) {
			return true
		}
	}
	return false
}
