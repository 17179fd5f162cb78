package domains

import (
	"context"
	"net/netip"
	"slices"
	"sync"

	"shingle/internal/dns"
	"shingle/internal/fault"
	"shingle/tenant"
)

// partly is what is found when resolvers do not agree yet: a record was changed,
// and some of the world keeps the old one for as long as it may. Seen is what
// those see who differ from the zone.
func partly(seen []string) Finding { return Finding{Warning, "domain.found.partly", seen} }

// voice is what one resolver says of a question: whether it is as it should be,
// and what it sees instead.
type voice struct {
	yes  bool
	seen []string
}

// differing asks every resolver and returns the first that answers otherwise
// than has been heard. One that does not answer has no voice.
func (s *Service) differing(heard bool, ask func(Lookup) (v voice, answered bool)) (voice, bool) {
	voices := make([]*voice, len(s.Resolvers))
	var wg sync.WaitGroup
	for i, r := range s.Resolvers {
		wg.Go(func() {
			if v, answered := ask(r); answered {
				voices[i] = &v
			}
		})
	}
	wg.Wait()
	for _, v := range voices {
		if v != nil && v.yes != heard {
			return *v, true
		}
	}
	return voice{}, false
}

// holdsOwner is a resolver's voice about the ownership record.
func holdsOwner(ctx context.Context, r Lookup, want Record) (voice, bool) {
	texts, err := r.TXT(ctx, want.Name)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return voice{}, false
	}
	yes := slices.ContainsFunc(texts, func(text string) bool { return matches(text, want.Value) })
	return voice{yes, first(texts, 5)}, true
}

// leadsHere is a resolver's voice about where a host leads. A host behind
// somebody else's machine leads there, whatever that machine does.
func (s *Service) leadsHere(ctx context.Context, r Lookup, t *tenant.Tenant, host string, edge []netip.Addr) (voice, bool) {
	trace, err := r.Addresses(ctx, host)
	if fault.Is(err, fault.Unavailable) {
		return voice{}, false
	}
	return voice{s.here(t, trace, err, edge), seen(trace)}, true
}

// here reports a host whose alias is ours, or whose addresses all are.
func (s *Service) here(t *tenant.Tenant, trace dns.Trace, err error, edge []netip.Addr) bool {
	return s.ours(t, trace) || err == nil && !slices.ContainsFunc(trace.Addresses, func(a netip.Addr) bool { return !slices.Contains(edge, a) })
}

// ours reports aliases that lead to the board's target, or its platform address.
func (s *Service) ours(t *tenant.Tenant, trace dns.Trace) bool {
	return slices.Contains(trace.Aliases, s.Target(t)) || slices.Contains(trace.Aliases, t.PlatformHost)
}

func seen(trace dns.Trace) []string {
	out := append([]string(nil), trace.Aliases...)
	for _, a := range trace.Addresses {
		out = append(out, a.String())
	}
	return first(out, 8)
}
