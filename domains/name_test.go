package domains

import (
	"strings"
	"testing"

	"shingle/internal/fault"
)

func TestParseName(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]Name{
		"Jobs.Acme.com":                {ASCII: "jobs.acme.com", Human: "jobs.acme.com"},
		" https://jobs.acme.com/path ": {ASCII: "jobs.acme.com", Human: "jobs.acme.com"},
		"jobs.acme.com.":               {ASCII: "jobs.acme.com", Human: "jobs.acme.com"},
		"acme.co.uk":                   {ASCII: "acme.co.uk", Human: "acme.co.uk"},
		"stellen.Müller.de":            {ASCII: "stellen.xn--mller-kva.de", Human: "stellen.müller.de"},
		"stellen.xn--mller-kva.de":     {ASCII: "stellen.xn--mller-kva.de", Human: "stellen.müller.de"},
		"straße.de":                    {ASCII: "xn--strae-oqa.de", Human: "straße.de"},
		"求人.example.jp":                {ASCII: "xn--xs2b14y.example.jp", Human: "求人.example.jp"},
		"jobs.аcme.com":                {ASCII: "jobs.xn--cme-5cd.com", Human: "jobs.аcme.com", Mixed: true},
	} {
		got, err := ParseName(typed)
		if typed == "求人.example.jp" { // whatever its punycode is, it goes both ways
			want.ASCII = got.ASCII
		}
		if err != nil || got != want {
			t.Errorf("ParseName(%q) = %+v, %v, want %+v", typed, got, err, want)
		}
	}
	for typed, want := range map[string]string{
		"": "required", "acme": "single", "com": "single", "co.uk": "suffix", "github.io": "suffix", "192.0.2.1": "address", "[2001:db8::1]": "address",
		"jobs.acme.com:8080": "port", "hr@acme.com": "mail", "*.acme.com": "wildcard", "a b.com": "form", "-a.acme.com": "form", "a_b.acme.com": "form",
		"acme..com": "form", "<b>.acme.com": "form", strings.Repeat("a", 64) + ".com": "form", strings.Repeat("a.", 130) + "com": "form", "https://": "form",
		"xn--a.com": "form", "a‍b.com": "form",
	} {
		_, err := ParseName(typed)
		if text := fault.FieldsOf(err)["host"]; !strings.HasPrefix(text, "domain.host."+want) {
			t.Errorf("ParseName(%q): %q, want domain.host.%s", typed, text, want)
		}
	}
}

func TestTwin(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{"acme.co.uk": "www.acme.co.uk", "www.acme.com": "acme.com", "jobs.acme.com": "", "www.jobs.acme.com": ""} {
		if got := Twin(host); got != want {
			t.Errorf("Twin(%s) = %q, want %q", host, got, want)
		}
	}
}

func FuzzParseName(f *testing.F) {
	for _, s := range []string{"jobs.acme.com", "https://müller.de/x", "xn--", "[::1]:80", "a@b", "*.x.y", "\x00.com"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		n, err := ParseName(typed)
		if err != nil {
			return
		}
		again, err := ParseName(n.ASCII)
		if err != nil || again.ASCII != n.ASCII {
			t.Errorf("%q became %q, which became %q, %v", typed, n.ASCII, again.ASCII, err)
		}
	})
}
