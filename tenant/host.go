package tenant

import (
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
)

// maxHost is the longest host name in DNS, without the trailing dot.
const maxHost = 253

// NormaliseHost turns a Host header into the form that hosts are stored in:
// lower case, punycode, without port and trailing dot. The result uses buf
// when the host is plain ASCII, so that a look-up need not allocate. It is nil
// for anything that cannot be a host.
func NormaliseHost(buf []byte, host string) []byte {
	if host == "" || len(host) > maxHost+7 {
		return nil
	}
	if host[0] == '[' { // an IPv6 literal
		end := strings.IndexByte(host, ']')
		if end < 0 || !validPort(host[end+1:]) {
			return nil
		}
		addr, err := netip.ParseAddr(host[1:end])
		if err != nil || !addr.Is6() || addr.Zone() != "" {
			return nil
		}
		return append(buf, addr.String()...)
	}
	if i := strings.IndexByte(host, ':'); i >= 0 {
		if !validPort(host[i:]) {
			return nil
		}
		host = host[:i]
	}
	host = strings.TrimSuffix(host, ".")
	if host == "" || len(host) > maxHost {
		return nil
	}
	out, foreign := plain(buf, host)
	if !foreign {
		return out
	}
	ascii, err := idna.Lookup.ToASCII(host)
	if err != nil || len(ascii) > maxHost {
		return nil
	}
	out, foreign = plain(make([]byte, 0, len(ascii)), ascii)
	if foreign {
		return nil
	}
	return out
}

// plain checks and folds an ASCII name; foreign says that it holds other letters.
func plain(buf []byte, host string) (out []byte, foreign bool) {
	if host == "" {
		return nil, false
	}
	label := 0
	for i := range len(host) {
		c := host[i]
		switch {
		case c >= 'A' && c <= 'Z':
			buf = append(buf, c+'a'-'A')
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '_':
			buf = append(buf, c)
		case c == '-':
			if label == 0 {
				return nil, false
			}
			buf = append(buf, c)
		case c == '.':
			if label == 0 || host[i-1] == '-' {
				return nil, false
			}
			buf, label = append(buf, c), -1
		case c >= 0x80:
			return nil, true
		default:
			return nil, false
		}
		if label++; label > 63 {
			return nil, false
		}
	}
	if last := host[len(host)-1]; last == '-' || last == '.' {
		return nil, false
	}
	return buf, false
}

func validPort(s string) bool {
	if s == "" {
		return true
	}
	if s[0] != ':' || len(s) > 6 {
		return false
	}
	for _, c := range s[1:] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
