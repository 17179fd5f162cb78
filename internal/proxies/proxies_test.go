package proxies

import (
	"net/http"
	"testing"
)

func TestTrustsProxiesAlone(t *testing.T) {
	t.Parallel()
	l, err := Parse([]string{"10.0.0.0/8", " 192.0.2.7", "2001:db8::/32", "::ffff:198.51.100.1", "fe80::/10"})
	if err != nil {
		t.Fatal(err)
	}
	for peer, want := range map[string]bool{
		"203.0.113.9:4000": false, "10.1.2.3:4000": true, "192.0.2.7:4000": true, "192.0.2.8:4000": false, "[::ffff:10.1.2.3]:4000": true,
		"[2001:db8::9]:1": true, "[2001:db9::9]:1": false, "198.51.100.1:1": true, "[fe80::1%eth0]:80": true, "": false, "10.1.2.3": false,
	} {
		r := &http.Request{RemoteAddr: peer}
		if got := l.Trusts(r); got != want {
			t.Errorf("%q: %v, want %v", peer, got, want)
		}
		if List(nil).Trusts(r) {
			t.Errorf("%q is trusted by nobody's list", peer)
		}
	}
	for _, bad := range []string{"ten", "10.0.0.0/33", ""} {
		if _, err := Parse([]string{bad}); err == nil {
			t.Errorf("%q is taken for an address", bad)
		}
	}
}
