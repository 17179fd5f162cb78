package route

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"
)

func request(peer string, proto ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "http://board.example/", nil)
	r.RemoteAddr = peer
	for _, p := range proto {
		r.Header.Add("X-Forwarded-Proto", p)
	}
	return r
}

func TestForwardedSchemeCountsFromProxiesAlone(t *testing.T) {
	t.Parallel()
	p, err := ParseProxies([]string{"10.0.0.0/8", "192.0.2.7", "2001:db8::/32"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		r    *http.Request
		want string
	}{
		"a stranger":                {request("203.0.113.9:4000", "https"), "http"},
		"a proxy":                   {request("10.1.2.3:4000", "https"), "https"},
		"a proxy by address":        {request("192.0.2.7:4000", "HTTPS"), "https"},
		"its neighbour":             {request("192.0.2.8:4000", "https"), "http"},
		"IPv4 in IPv6":              {request("[::ffff:10.1.2.3]:4000", "https"), "https"},
		"IPv6":                      {request("[2001:db8::1]:4000", "https"), "https"},
		"a stranger behind a proxy": {request("10.1.2.3:4000", "https, http"), "http"},
		"two headers":               {request("10.1.2.3:4000", "http", "https"), "https"},
		"nonsense":                  {request("10.1.2.3:4000", "javascript"), "http"},
		"nothing":                   {request("10.1.2.3:4000"), "http"},
		"no peer":                   {request("", "https"), "http"},
	} {
		if got := p.Scheme(c.r); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if got := Proxies(nil).Scheme(request("10.1.2.3:4000", "https")); got != "http" {
		t.Errorf("without proxies: %s", got)
	}
	direct := request("203.0.113.9:4000")
	direct.TLS = &tls.ConnectionState{}
	if got := Proxies(nil).Scheme(direct); got != "https" {
		t.Errorf("over TLS: %s", got)
	}
	if _, err := ParseProxies([]string{"ten"}); err == nil {
		t.Error("a proxy without an address")
	}
}

func FuzzScheme(f *testing.F) {
	for _, s := range [][2]string{{"203.0.113.9:1", "https"}, {"10.0.0.1:1", "https,http"}, {"[fe80::1%eth0]:80", "https"}, {"x", "\x00"}} {
		f.Add(s[0], s[1])
	}
	p, err := ParseProxies([]string{"10.0.0.0/8", "fe80::/10"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, peer, proto string) {
		r := request(peer, proto)
		got := p.Scheme(r)
		if got != "http" && got != "https" {
			t.Fatalf("a scheme %q", got)
		}
		if got == "https" && !p.Trusts(r) {
			t.Fatalf("believed %q", peer)
		}
		if Proxies(nil).Scheme(r) != "http" {
			t.Fatal("believed without proxies")
		}
	})
}
