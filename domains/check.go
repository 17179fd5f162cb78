package domains

import (
	"context"
	"crypto/subtle"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"shingle/internal/dns"
	"shingle/internal/fault"
	"shingle/tenant"
)

// What a finding says of one part of a host's way here.
const (
	OK      = "ok"
	Missing = "missing"
	Wrong   = "wrong"
	Warning = "warning"
	Unknown = "unknown" // nobody answered
)

// Finding is what one look-up found. Text is a catalogue key with its arguments
// after "|".
type Finding struct {
	State string   `json:"state,omitempty"`
	Text  string   `json:"text,omitempty"`
	Found []string `json:"found,omitempty"`
}

// Report is what one check found.
type Report struct {
	At        time.Time `json:"at,omitzero"`
	Owner     Finding   `json:"owner,omitzero"`
	Address   Finding   `json:"address,omitzero"`
	Authority Finding   `json:"authority,omitzero"`
	// AuthorityAt is the name whose CAA records hold for the host.
	AuthorityAt string `json:"authority_at,omitempty"`
	// AuthorityName is what CAA records call our authority.
	AuthorityName string  `json:"authority_name,omitempty"`
	Elsewhere     Finding `json:"elsewhere,omitzero"`
	// Proved and Points are what follows: the record is right, requests come here.
	Proved bool `json:"proved,omitempty"`
	Points bool `json:"points,omitempty"`
	// Vanished is true when DNS answered and the ownership record is not there.
	Vanished bool `json:"vanished,omitempty"`
}

// examineFor bounds all look-ups of a check.
const examineFor = 12 * time.Second

// examine asks DNS about a host, everything at once. It opens no transaction.
func (s *Service) examine(ctx context.Context, t *tenant.Tenant, d *Domain) Report {
	ctx, cancel := context.WithTimeout(ctx, examineFor)
	defer cancel()
	r := Report{At: s.Now()}
	var wg sync.WaitGroup
	wg.Go(func() { r.Owner, r.Proved, r.Vanished = s.owner(ctx, d) })
	wg.Go(func() { r.Address, r.Points = s.address(ctx, t, d) })
	if s.Certificates != nil && s.CAs != nil {
		wg.Go(func() {
			if names := s.CAs(ctx); len(names) > 0 {
				r.AuthorityName = names[0]
				r.Authority, r.AuthorityAt = s.authority(ctx, d, names)
			}
		})
	}
	wg.Wait()
	return r
}

// owner looks for the ownership record. It counts, and is gone, only when all
// resolvers that answer agree.
func (s *Service) owner(ctx context.Context, d *Domain) (f Finding, proved, vanished bool) {
	f, proved, vanished = s.zoneOwner(ctx, d)
	if f.State == Unknown {
		return f, proved, vanished
	}
	if v, differs := s.differing(proved, func(r Lookup) (voice, bool) { return holdsOwner(ctx, r, OwnerRecord(d)) }); differs {
		return partly(v.seen), false, false
	}
	return f, proved, vanished
}

// zoneOwner looks for the ownership record, compared in constant time.
func (s *Service) zoneOwner(ctx context.Context, d *Domain) (f Finding, proved, vanished bool) {
	want := OwnerRecord(d)
	texts, err := s.DNS.TXT(ctx, want.Name)
	switch {
	case fault.Is(err, fault.NotFound):
		// A form that adds the zone itself doubles a name that was pasted whole.
		if zone := Zone(d.Host); s.holds(ctx, want.Name+"."+zone, want.Value) {
			return Finding{Wrong, "domain.found.doubled|" + want.Name + "." + zone, nil}, false, true
		}
		if s.holds(ctx, d.Host, want.Value) {
			return Finding{Wrong, "domain.found.misplaced|" + d.Host, nil}, false, true
		}
		return Finding{Missing, "domain.found.no_owner", nil}, false, true
	case err != nil:
		return Finding{Unknown, "domain.found.no_answer", nil}, false, false
	}
	for _, text := range texts {
		if matches(text, want.Value) {
			return Finding{OK, "domain.found.owner", []string{want.Value}}, true, false
		}
	}
	return Finding{Wrong, "domain.found.other_owner", first(texts, 5)}, false, true
}

func (s *Service) holds(ctx context.Context, name, value string) bool {
	texts, err := s.DNS.TXT(ctx, name)
	return err == nil && slices.ContainsFunc(texts, func(text string) bool { return matches(text, value) })
}

func matches(text, value string) bool {
	text = strings.Trim(strings.TrimSpace(text), `"`)
	return subtle.ConstantTimeCompare([]byte(text), []byte(value)) == 1
}

// address looks where the host leads; it leads here only when all resolvers
// that answer agree.
func (s *Service) address(ctx context.Context, t *tenant.Tenant, d *Domain) (f Finding, points bool) {
	edge := append([]netip.Addr(nil), s.EdgeAddresses...)
	if own, err := s.DNS.Addresses(ctx, s.Target(t)); err == nil {
		edge = append(edge, own.Addresses...)
	}
	trace, err := s.DNS.Addresses(ctx, d.Host)
	if !fault.Is(err, fault.Unavailable) {
		if v, differs := s.differing(s.here(t, trace, err, edge), func(r Lookup) (voice, bool) { return s.leadsHere(ctx, r, t, d.Host, edge) }); differs {
			return partly(v.seen), false
		}
	}
	return s.judge(ctx, t, d, trace, err, edge)
}

// judge says where the host leads.
func (s *Service) judge(ctx context.Context, t *tenant.Tenant, d *Domain, trace dns.Trace, err error, edge []netip.Addr) (f Finding, points bool) {
	target, found, ours := s.Target(t), seen(trace), s.ours(t, trace)
	switch {
	case fault.Is(err, fault.Invalid):
		return Finding{Wrong, "domain.found.circle", found}, false
	case fault.Is(err, fault.NotFound) && ours:
		return Finding{OK, "domain.found.alias|" + target, found}, true
	case fault.Is(err, fault.NotFound) && len(trace.Aliases) > 0:
		return Finding{Wrong, "domain.found.dangling|" + trace.Aliases[len(trace.Aliases)-1], found}, false
	case fault.Is(err, fault.NotFound):
		return Finding{Missing, "domain.found.no_address", nil}, false
	case err != nil:
		return Finding{Unknown, "domain.found.no_answer", nil}, false
	case ours:
		return Finding{OK, "domain.found.alias|" + target, found}, true
	}
	var here, other []string
	proxied := true
	for _, a := range trace.Addresses {
		if slices.Contains(edge, a) {
			here = append(here, a.String())
			proxied = false
			continue
		}
		other = append(other, a.String())
		proxied = proxied && cloudflare(a)
	}
	switch {
	case len(other) == 0:
		return Finding{OK, "domain.found.addresses", found}, true
	case len(here) > 0:
		return Finding{Wrong, "domain.found.mixed|" + strings.Join(other, ", "), found}, false
	}
	return s.throughProxy(ctx, d, found, proxied)
}

// throughProxy decides about a host that leads to somebody else's machine,
// which may pass requests on to us.
func (s *Service) throughProxy(ctx context.Context, d *Domain, found []string, known bool) (Finding, bool) {
	if s.Probe == nil {
		if known {
			return Finding{Warning, "domain.found.proxied", found}, true
		}
		return Finding{Wrong, "domain.found.elsewhere", found}, false
	}
	err := s.Probe(ctx, d.Host)
	switch {
	case err == nil && known:
		return Finding{OK, "domain.found.proxy_cloudflare", found}, true
	case err == nil:
		return Finding{OK, "domain.found.proxy", found}, true
	case known && d.ProvenAt == nil:
		// We answer for no host before it is proven, so there is nothing to see yet.
		return Finding{Warning, "domain.found.proxied", found}, false
	case known:
		return Finding{Wrong, "domain.found.proxy_elsewhere", found}, false
	}
	return Finding{Wrong, "domain.found.elsewhere", found}, false
}

// authority looks whether CAA records let our authority issue.
func (s *Service) authority(ctx context.Context, d *Domain, names []string) (Finding, string) {
	at, permits, err := s.DNS.CAA(ctx, d.Host)
	if err != nil {
		return Finding{Unknown, "domain.found.no_answer", nil}, ""
	}
	var found []string
	issuers := 0
	for _, p := range permits {
		found = append(found, p.String())
		if p.Tag != "issue" {
			continue
		}
		issuers++
		name, _, _ := strings.Cut(p.Value, ";")
		if slices.Contains(names, strings.TrimSpace(name)) {
			return Finding{OK, "domain.found.caa_permits|" + strings.TrimSpace(name), first(found, 8)}, at
		}
	}
	if issuers == 0 {
		return Finding{OK, "domain.found.caa_none", found}, ""
	}
	return Finding{Wrong, "domain.found.caa_refuses|" + at + "|" + names[0], first(found, 8)}, at
}

func first(list []string, n int) []string {
	if len(list) > n {
		return append(list[:n:n], "…")
	}
	return list
}

// cloudflareNets is where Cloudflare's proxy answers (cloudflare.com/ips).
var cloudflareNets = prefixes("173.245.48.0/20", "103.21.244.0/22", "103.22.200.0/22", "103.31.4.0/22", "141.101.64.0/18", "108.162.192.0/18",
	"190.93.240.0/20", "188.114.96.0/20", "197.234.240.0/22", "198.41.128.0/17", "162.158.0.0/15", "104.16.0.0/13", "104.24.0.0/14", "172.64.0.0/13",
	"131.0.72.0/22", "2400:cb00::/32", "2606:4700::/32", "2803:f800::/32", "2405:b500::/32", "2405:8100::/32", "2a06:98c0::/29", "2c0f:f248::/32")

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, p := range list {
		out[i] = netip.MustParsePrefix(p)
	}
	return out
}

func cloudflare(a netip.Addr) bool {
	return slices.ContainsFunc(cloudflareNets, func(p netip.Prefix) bool { return p.Contains(a) })
}

var _ Lookup = (*dns.Client)(nil)
