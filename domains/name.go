package domains

import (
	"net/netip"
	"net/url"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"shingle/internal/fault"
)

// Name is a host as it is stored and as people write it.
type Name struct {
	ASCII string // punycode, lower case
	Human string // as people write it
	// Mixed is true when a label mixes scripts, as impostors' names do.
	Mixed bool
}

// profile is the look-up profile with the checks of a registration: what it
// refuses, no registry would have sold.
var profile = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(true), idna.ValidateLabels(true), idna.CheckHyphens(true), idna.CheckJoiners(true), idna.VerifyDNSLength(true), idna.Transitional(false))

// ParseName reads what somebody typed or pasted, e.g. "https://Jobs.Acme.com/".
// Kind: fault.Invalid, field "host": what cannot be a host that a company owns.
func ParseName(typed string) (Name, error) {
	refuse := func(key string, args ...string) (Name, error) {
		return Name{}, fault.Invalids(fault.Fields{"host": strings.Join(append([]string{key}, args...), "|")})
	}
	s := strings.TrimSpace(typed)
	if s == "" {
		return refuse("domain.host.required")
	}
	if strings.Contains(s, "://") {
		u, err := url.Parse(s)
		if err != nil || u.Host == "" {
			return refuse("domain.host.form")
		}
		s = u.Host
	}
	s, _, _ = strings.Cut(s, "/")
	if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return refuse("domain.host.address")
	}
	if host, port, ok := strings.Cut(s, ":"); ok {
		if port != "80" && port != "443" && port != "" {
			return refuse("domain.host.port")
		}
		s = host
	}
	s = strings.TrimSuffix(s, ".")
	switch {
	case strings.Contains(s, "@"):
		return refuse("domain.host.mail")
	case strings.HasPrefix(s, "*"):
		return refuse("domain.host.wildcard")
	}
	ascii, err := profile.ToASCII(s)
	if err != nil || len(ascii) > 253 || strings.ContainsAny(ascii, "_ %") {
		return refuse("domain.host.form")
	}
	if _, err := netip.ParseAddr(ascii); err == nil {
		return refuse("domain.host.address")
	}
	if !strings.Contains(ascii, ".") {
		return refuse("domain.host.single", s)
	}
	if suffix, _ := publicsuffix.PublicSuffix(ascii); suffix == ascii {
		return refuse("domain.host.suffix", human(ascii))
	}
	return Name{ASCII: ascii, Human: human(ascii), Mixed: mixed(human(ascii))}, nil
}

// human is a stored host as people write it. A name that mixes scripts stays in
// punycode, as browsers show it.
func human(ascii string) string {
	u, err := idna.Display.ToUnicode(ascii)
	if err != nil {
		return ascii
	}
	return u
}

// Human is a stored host as people write it.
func Human(host string) string { return human(host) }

// scripts that honest names hold; Japanese and Korean mix theirs by nature.
var scripts = map[string]*unicode.RangeTable{"latin": unicode.Latin, "cyrillic": unicode.Cyrillic, "greek": unicode.Greek, "armenian": unicode.Armenian,
	"hebrew": unicode.Hebrew, "arabic": unicode.Arabic, "cherokee": unicode.Cherokee}

// mixed reports a label with letters of more than one script of the list.
func mixed(host string) bool {
	for label := range strings.SplitSeq(host, ".") {
		seen := map[string]bool{}
		for _, r := range label {
			for name, table := range scripts {
				if unicode.Is(table, r) {
					seen[name] = true
				}
			}
		}
		if len(seen) > 1 {
			return true
		}
	}
	return false
}

// Zone is the registrable domain that a host's records are in.
func Zone(host string) string {
	zone, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return host
	}
	return zone
}

// Apex reports a host that is its zone itself, where DNS knows no CNAME.
func Apex(host string) bool { return Zone(host) == host }

// Twin is the host that people try as well: www for an apex, the apex for a
// www; "" for other hosts.
func Twin(host string) string {
	if Apex(host) {
		return "www." + host
	}
	if rest, ok := strings.CutPrefix(host, "www."); ok && Apex(rest) {
		return rest
	}
	return ""
}

// relative is a record's name as most providers' forms want it: without the zone.
func relative(name, zone string) string {
	if name == zone {
		return "@"
	}
	return strings.TrimSuffix(name, "."+zone)
}
