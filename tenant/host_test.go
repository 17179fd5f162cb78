package tenant_test

import (
	"strings"
	"testing"

	"shingle/tenant"
)

func TestNormaliseHost(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"jobs.example.org":             "jobs.example.org",
		"JOBS.Example.ORG":             "jobs.example.org",
		"jobs.example.org:8080":        "jobs.example.org",
		"jobs.example.org.":            "jobs.example.org",
		"jobs.example.org.:443":        "jobs.example.org",
		"münchen.example":              "xn--mnchen-3ya.example",
		"MÜNCHEN.example:80":           "xn--mnchen-3ya.example",
		"127.0.0.1:80":                 "127.0.0.1",
		"[::1]:8080":                   "::1",
		"a_b.example":                  "a_b.example",
		"":                             "",
		".":                            "",
		"a..b":                         "",
		"-a.example":                   "",
		"a-.example":                   "",
		"a b":                          "",
		"a/b":                          "",
		"a@b":                          "",
		"a:b":                          "",
		"a:123456":                     "",
		"a:80:80":                      "",
		"[::1":                         "",
		"[fe80::1%eth0]":               "",
		"a\x00b":                       "",
		"<script>":                     "",
		strings.Repeat("a", 64) + ".x": "",
		strings.Repeat("a.", 130):      "",
	} {
		if got := string(tenant.NormaliseHost(nil, in)); got != want {
			t.Errorf("NormaliseHost(%q) = %q, want %q", in, got, want)
		}
	}
}

// FuzzNormaliseHost holds that whatever strangers send, the result is empty or
// a stable lower-case name without anything that a URL, a header or a log could
// stumble over.
func FuzzNormaliseHost(f *testing.F) {
	for _, s := range []string{"jobs.example.org:80", "[::1]:1", "münchen.de", "a.", "..", "ẞ.example", "xn--a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got := string(tenant.NormaliseHost(nil, in))
		if got == "" {
			return
		}
		if len(got) > 253 || strings.ToLower(got) != got || strings.ContainsAny(got, " /\\@<>\"'%?#\x00\r\n\t") || strings.HasSuffix(got, ".") {
			t.Fatalf("NormaliseHost(%q) = %q", in, got)
		}
		again := got
		if strings.Contains(got, ":") {
			again = "[" + got + "]"
		}
		if twice := string(tenant.NormaliseHost(nil, again)); twice != got {
			t.Fatalf("not stable: %q, then %q, then %q", in, got, twice)
		}
	})
}
