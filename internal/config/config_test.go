package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shingle/internal/config"
)

// good is what `serve` needs.
func good() map[string]string {
	return map[string]string{
		"SHINGLE_DATABASE_URL": "postgres://app:pw@db/shingle", "SHINGLE_PLATFORM_DATABASE_URL": "postgres://platform:pw@db/shingle",
		"SHINGLE_REDIS_URL": "redis://redis:6379/0", "SHINGLE_SECRET_KEY": strings.Repeat("0f", 32), "SHINGLE_STRIPE_KEY": "sk_test_settings",
		"SHINGLE_STRIPE_WEBHOOK_SECRET": "whsec_a,whsec_b", "SHINGLE_SMTP_URL": "smtp://mail:587", "SHINGLE_BOARD_DOMAIN": "boards.example",
		"SHINGLE_PLATFORM_HOST": "platform.example",
	}
}

func environ(vars map[string]string) []string {
	var out []string
	for name, v := range vars {
		out = append(out, name+"="+v)
	}
	return out
}

func TestGoodSettings(t *testing.T) {
	t.Parallel()
	c, err := config.Load("serve", environ(good()))
	if err != nil {
		t.Fatal(err)
	}
	if c.PublicURL != "https://platform.example" || len(c.StripeWebhookSecrets) != 2 || len(c.Secret()) != 32 || c.ListenDatabaseURL != c.DatabaseURL {
		t.Errorf("%q, %d webhook secrets, %d bytes of key, listens at %q", c.PublicURL, len(c.StripeWebhookSecrets), len(c.Secret()), c.ListenDatabaseURL)
	}
	for _, line := range c.Redacted() {
		for _, secret := range []string{"pw", "sk_test_settings", "whsec_", "0f0f"} {
			if strings.Contains(line, secret) {
				t.Errorf("a secret shows: %s", line)
			}
		}
	}
	if _, err := config.Load("dev", nil); err != nil {
		t.Errorf("dev with nothing set: %v", err)
	}
}

// TestAllProblemsAtOnce: whoever sets this up reads one list, not one line a try.
func TestAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	const typo = "hunter2-typo"
	vars := map[string]string{
		"SHINGLE_LISTEN": typo, "SHINGLE_PUBLIC_URL": typo, "SHINGLE_PLATFORM_DATABASE_URL": "mysql://x:" + typo + "@db/x",
		"SHINGLE_DATABASE_CONNECTIONS": typo, "SHINGLE_WORKERS": "0", "SHINGLE_SECRET_KEY": typo, "SHINGLE_REDIS_URL": "memcached://" + typo,
		"SHINGLE_TYPESENSE_URL": "http://typesense:8108", "SHINGLE_TRUSTED_PROXIES": typo, "SHINGLE_STRIPE_KEY_FILE": "/no/such/file",
		"SHINGLE_BLOB_URL": "ftp://" + typo, "SHINGLE_PLATFORM_HOST": "platform.example", "SHINGLE_PAGE_CACHE": typo,
	}
	_, err := config.Load("serve", environ(vars))
	var problems config.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("%v, want a list of problems", err)
	}
	text := err.Error()
	for _, name := range []string{"SHINGLE_LISTEN ", "SHINGLE_PUBLIC_URL", "SHINGLE_PLATFORM_DATABASE_URL", "SHINGLE_DATABASE_URL is missing", "SHINGLE_DATABASE_CONNECTIONS",
		"SHINGLE_WORKERS", "SHINGLE_SECRET_KEY", "SHINGLE_REDIS_URL", "SHINGLE_TYPESENSE_KEY", "SHINGLE_TRUSTED_PROXIES", "SHINGLE_STRIPE_KEY_FILE", "SHINGLE_STRIPE_KEY is missing",
		"SHINGLE_STRIPE_WEBHOOK_SECRET is missing", "SHINGLE_SMTP_URL is missing", "SHINGLE_BOARD_DOMAIN is missing", "SHINGLE_BLOB_URL", "SHINGLE_PAGE_CACHE"} {
		if n := strings.Count(text, name); n == 0 {
			t.Errorf("the list lacks %s", name)
		}
	}
	seen := map[string]bool{}
	for _, p := range problems {
		if seen[p] || strings.Contains(p, "\n") {
			t.Errorf("twice, or more than a line: %q", p)
		}
		seen[p] = true
	}
	if strings.Contains(text, typo) {
		t.Error("a value shows: it may be a secret in the wrong place")
	}
}

func TestOneProblem(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("sk_test_from_a_file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		set  map[string]string
		want string // empty: it is fine
	}{
		"a secret from a file":       {map[string]string{"SHINGLE_STRIPE_KEY": "", "SHINGLE_STRIPE_KEY_FILE": file}, ""},
		"a setting and its file":     {map[string]string{"SHINGLE_STRIPE_KEY_FILE": file}, "both set"},
		"one login for both doors":   {map[string]string{"SHINGLE_PLATFORM_DATABASE_URL": "postgres://app:pw@db/shingle"}, "the same login"},
		"boards under the platform":  {map[string]string{"SHINGLE_PLATFORM_HOST": "app.boards.example"}, "the platform's own host"},
		"Typesense without its key":  {map[string]string{"SHINGLE_TYPESENSE_URL": "http://typesense:8108"}, "go together"},
		"a key that is too short":    {map[string]string{"SHINGLE_SECRET_KEY": "abc"}, "too short"},
		"one connection":             {map[string]string{"SHINGLE_DATABASE_CONNECTIONS": "1"}, "2 or more"},
		"TLS":                        {map[string]string{"SHINGLE_TLS_LISTEN": ":443", "SHINGLE_ACME_EMAIL": "tls@platform.example", "SHINGLE_HTTP3": "true"}, ""},
		"TLS on no address":          {map[string]string{"SHINGLE_TLS_LISTEN": "443", "SHINGLE_ACME_EMAIL": "tls@platform.example"}, "not an address to listen on"},
		"TLS without an address":     {map[string]string{"SHINGLE_TLS_LISTEN": ":443"}, "SHINGLE_ACME_EMAIL is missing"},
		"TLS and plain links":        {map[string]string{"SHINGLE_TLS_LISTEN": ":443", "SHINGLE_ACME_EMAIL": "tls@platform.example", "SHINGLE_PUBLIC_URL": "http://platform.example"}, "write https://"},
		"an authority without TLS":   {map[string]string{"SHINGLE_TLS_LISTEN": ":443", "SHINGLE_ACME_EMAIL": "tls@platform.example", "SHINGLE_ACME_DIRECTORY": "http://ca.example/dir"}, "not a certificate authority's directory"},
		"a fallback on itself":       {map[string]string{"SHINGLE_TLS_LISTEN": ":443", "SHINGLE_ACME_EMAIL": "tls@platform.example", "SHINGLE_ACME_DIRECTORY": "https://ca.example/dir", "SHINGLE_ACME_FALLBACK_DIRECTORY": "https://ca.example/dir"}, "name another"},
		"a binding without its key":  {map[string]string{"SHINGLE_TLS_LISTEN": ":443", "SHINGLE_ACME_EMAIL": "tls@platform.example", "SHINGLE_ACME_FALLBACK_DIRECTORY": "https://ca.example/dir", "SHINGLE_ACME_FALLBACK_EAB": "id"}, "<key id>:<key>"},
		"DNS of another kind":        {map[string]string{"SHINGLE_TLS_LISTEN": ":443", "SHINGLE_ACME_EMAIL": "tls@platform.example", "SHINGLE_ACME_DNS": "https://dns.example"}, "rfc2136://"},
		"HTTP/3 without TLS":         {map[string]string{"SHINGLE_HTTP3": "true"}, "needs SHINGLE_TLS_LISTEN"},
		"files on a host beside TLS": {map[string]string{"SHINGLE_FILES_HOST": "Files.example.", "SHINGLE_TLS_LISTEN": ":443", "SHINGLE_ACME_EMAIL": "tls@platform.example"}, ""},
		"files among the boards":     {map[string]string{"SHINGLE_FILES_HOST": "files.boards.example"}, "SHINGLE_FILES_HOST is a host of its own"},
		"files at an address":        {map[string]string{"SHINGLE_FILES_HOST": "https://files.example"}, "SHINGLE_FILES_HOST is a host of its own"},
		"a proxy that is no address": {map[string]string{"SHINGLE_TRUSTED_PROXIES": "10.0.0.0/8,proxy"}, "not an address"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vars := good()
			for k, v := range c.set {
				vars[k] = v
			}
			_, err := config.Load("serve", environ(vars))
			var problems config.Problems
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (!errors.As(err, &problems) || len(problems) != 1 || !strings.Contains(problems[0], c.want)):
				t.Errorf("%v, want one problem: %s", err, c.want)
			}
		})
	}
}
