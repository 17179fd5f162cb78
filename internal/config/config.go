// Package config reads the settings from the environment, checks them whole and
// prints them without secrets. It owns names, defaults and rules of settings;
// it never opens anything. Start at Config.
package config

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// Config is every setting. Each also has a _FILE twin that names a file to
// read the value from, for secrets.
type Config struct {
	Listen       string `env:"SHINGLE_LISTEN" envDefault:":8080"`
	OpsListen    string `env:"SHINGLE_OPS_LISTEN"`
	DataDir      string `env:"SHINGLE_DATA_DIR" envDefault:".shingle"`
	PlatformHost string `env:"SHINGLE_PLATFORM_HOST" envDefault:"platform.localhost"`
	BoardDomain  string `env:"SHINGLE_BOARD_DOMAIN"`
	PublicURL    string `env:"SHINGLE_PUBLIC_URL"`

	DatabaseURL         string `env:"SHINGLE_DATABASE_URL" secret:"url"`
	PlatformDatabaseURL string `env:"SHINGLE_PLATFORM_DATABASE_URL" secret:"url"`
	ListenDatabaseURL   string `env:"SHINGLE_LISTEN_DATABASE_URL" secret:"url"`
	MigrateDatabaseURL  string `env:"SHINGLE_MIGRATE_DATABASE_URL" secret:"url"`
	DatabaseConns       int    `env:"SHINGLE_DATABASE_CONNECTIONS" envDefault:"16"`

	// TLSListen switches TLS on: serve listens there, worker orders certificates.
	TLSListen    string `env:"SHINGLE_TLS_LISTEN"`
	HTTP3        bool   `env:"SHINGLE_HTTP3"`
	ACMEDir      string `env:"SHINGLE_ACME_DIRECTORY" envDefault:"https://acme-v02.api.letsencrypt.org/directory"`
	ACMEEmail    string `env:"SHINGLE_ACME_EMAIL"`
	ACMERoot     string `env:"SHINGLE_ACME_CA_ROOT"`
	ACMEFallback string `env:"SHINGLE_ACME_FALLBACK_DIRECTORY"`
	// ACMEFallbackEAB is "<key id>:<key>", where the authority binds accounts.
	ACMEFallbackEAB string `env:"SHINGLE_ACME_FALLBACK_EAB" secret:"all"`
	ACMEDNS         string `env:"SHINGLE_ACME_DNS" secret:"url"`

	RedisURL     string `env:"SHINGLE_REDIS_URL" secret:"url"`
	TypesenseURL string `env:"SHINGLE_TYPESENSE_URL"`
	TypesenseKey string `env:"SHINGLE_TYPESENSE_KEY" secret:"all"`

	StripeKey            string   `env:"SHINGLE_STRIPE_KEY" secret:"all"`
	StripeAPIBase        string   `env:"SHINGLE_STRIPE_API_BASE"`
	StripeWebhookSecrets []string `env:"SHINGLE_STRIPE_WEBHOOK_SECRET" secret:"all"`

	SMTPURL  string `env:"SHINGLE_SMTP_URL" secret:"url"`
	MailFrom string `env:"SHINGLE_MAIL_FROM"`
	// MailReturnDomain takes bounces and complaints; what arrives there is posted
	// to /webhooks/mail with MailReturnSecret.
	MailReturnDomain string `env:"SHINGLE_MAIL_RETURN_DOMAIN"`
	MailReturnSecret string `env:"SHINGLE_MAIL_RETURN_SECRET" secret:"all"`
	// MailSPF are the mechanisms that let the mail server send for a domain.
	MailSPF   string `env:"SHINGLE_MAIL_SPF"`
	SecretKey string `env:"SHINGLE_SECRET_KEY" secret:"all"`
	BlobURL   string `env:"SHINGLE_BLOB_URL" secret:"url"`
	// BackupKey holds age keys: public ones for backup, a private one for restore.
	BackupKey string `env:"SHINGLE_BACKUP_KEY" secret:"all"`
	// FilesHost serves what people upload, and nothing else.
	FilesHost string `env:"SHINGLE_FILES_HOST"`

	// OIDC is the provider that operators may sign in at, besides the platform's
	// own ways.
	OIDCIssuer       string `env:"SHINGLE_OIDC_ISSUER"`
	OIDCClientID     string `env:"SHINGLE_OIDC_CLIENT_ID"`
	OIDCClientSecret string `env:"SHINGLE_OIDC_CLIENT_SECRET" secret:"all"`
	OIDCName         string `env:"SHINGLE_OIDC_NAME"`

	// TrustedProxies may say X-Forwarded-For and -Proto (CIDR).
	TrustedProxies []string `env:"SHINGLE_TRUSTED_PROXIES"`
	// EdgeHost is what boards' own hosts are pointed at; EdgeAddresses are for
	// hosts where DNS knows no CNAME.
	EdgeHost      string   `env:"SHINGLE_EDGE_HOST"`
	EdgeAddresses []string `env:"SHINGLE_EDGE_ADDRESSES"`
	DNSServers    []string `env:"SHINGLE_DNS_SERVERS"`
	Concurrency   int      `env:"SHINGLE_WORKERS" envDefault:"10"`
	CacheBytes    int64    `env:"SHINGLE_CACHE_BYTES" envDefault:"67108864"`
	// DrainDelay is how long serve goes on after it was told to end, saying that it
	// is not ready, until balancers have noticed.
	DrainDelay time.Duration `env:"SHINGLE_DRAIN_DELAY" envDefault:"2s"`
	// SentryDSN is where errors are reported, in Sentry's protocol; empty: nowhere.
	SentryDSN string `env:"SHINGLE_SENTRY_DSN" secret:"all"`
	// PageCache off is for measuring.
	PageCache bool `env:"SHINGLE_PAGE_CACHE" envDefault:"true"`
}

// Problems is everything that is wrong with the settings, one line each.
type Problems []string

func (p Problems) Error() string {
	return "the settings need work:\n  - " + strings.Join(p, "\n  - ")
}

// Load reads the environment. Mode is the command: "dev" fills what it can
// provide by itself, so missing servers are no problem there.
func Load(mode string, environ []string) (*Config, error) {
	vars := env.ToMap(environ)
	var problems Problems
	for _, name := range Names() {
		file, ok := vars[name+"_FILE"]
		if !ok {
			continue
		}
		if _, both := vars[name]; both && vars[name] != "" {
			problems = append(problems, name+" and "+name+"_FILE are both set: keep one")
			continue
		}
		b, err := os.ReadFile(file) // #nosec G304 G703 -- the operator's own setting
		if err != nil {
			problems = append(problems, name+"_FILE cannot be read: "+file)
			continue
		}
		vars[name] = strings.TrimSpace(string(b))
	}
	c := new(Config)
	if err := env.ParseWithOptions(c, env.Options{Environment: vars}); err != nil {
		if agg, ok := err.(env.AggregateError); ok {
			for _, e := range agg.Errors {
				problems = append(problems, plain(e))
			}
		} else {
			problems = append(problems, plain(err))
		}
	}
	c.defaults(mode)
	problems = append(problems, c.check(mode, problems)...)
	if len(problems) > 0 {
		sort.Strings(problems)
		return nil, problems
	}
	return c, nil
}

// plain drops the library's type names; values never appear, they may be secret.
func plain(err error) string {
	if pe, ok := err.(env.ParseError); ok {
		for i := range reflect.TypeFor[Config]().NumField() {
			f := reflect.TypeFor[Config]().Field(i)
			if f.Name == pe.Name {
				return f.Tag.Get("env") + " is not " + kinds[pe.Type.Kind()]
			}
		}
	}
	return "a setting cannot be read"
}

// kinds are the settings' types in words.
var kinds = map[reflect.Kind]string{reflect.Int: "a whole number", reflect.Int64: "a whole number, or a time such as 5s", reflect.Bool: "true or false", reflect.Slice: "a list, with commas between",
	reflect.String: "a text"}

// Names lists every setting's name.
func Names() []string {
	var names []string
	for i := range reflect.TypeFor[Config]().NumField() {
		names = append(names, reflect.TypeFor[Config]().Field(i).Tag.Get("env"))
	}
	return names
}

func (c *Config) defaults(mode string) {
	if mode == "demo" {
		if c.DataDir == ".shingle" {
			c.DataDir = ".shingle-demo" // what dev keeps is not deleted every night
		}
		mode = "dev"
	}
	if c.OpsListen == "" {
		c.OpsListen = "127.0.0.1:9090"
		if mode == "worker" {
			c.OpsListen = "127.0.0.1:9091"
		}
	}
	if mode == "dev" {
		c.TLSListen, c.HTTP3 = "", false // a developer's hosts end in localhost
	}
	if abs, err := filepath.Abs(c.DataDir); err == nil {
		c.DataDir = abs
	}
	c.PlatformHost = strings.ToLower(strings.TrimSuffix(c.PlatformHost, "."))
	c.BoardDomain = strings.ToLower(strings.Trim(c.BoardDomain, "."))
	c.EdgeHost = strings.ToLower(strings.Trim(c.EdgeHost, "."))
	c.FilesHost = strings.ToLower(strings.Trim(c.FilesHost, "."))
	_, port, _ := net.SplitHostPort(c.Listen)
	if mode == "dev" || c.PlatformHost == "platform.localhost" {
		if c.BoardDomain == "" {
			c.BoardDomain = "localhost"
		}
		if c.PublicURL == "" {
			c.PublicURL = "http://localhost:" + port
		}
	}
	if c.PublicURL == "" {
		c.PublicURL = "https://" + c.PlatformHost
	}
	if c.MailFrom == "" {
		c.MailFrom = "boards@" + c.PlatformHost
	}
	c.MailReturnDomain = strings.ToLower(strings.Trim(c.MailReturnDomain, "."))
	if c.ListenDatabaseURL == "" {
		c.ListenDatabaseURL = c.DatabaseURL
	}
	if c.BlobURL == "" {
		c.BlobURL = "file://" + filepath.ToSlash(filepath.Join(c.DataDir, "files")) + "?create_dir=1&no_tmp_dir=1"
	}
}

func (c *Config) check(mode string, before Problems) Problems {
	var p Problems
	bad := func(format string, args ...any) { p = append(p, fmt.Sprintf(format, args...)) }
	for name, addr := range map[string]string{"SHINGLE_LISTEN": c.Listen, "SHINGLE_OPS_LISTEN": c.OpsListen} {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			bad("%s is not an address to listen on: write host:port or :port", name)
		}
	}
	if u, err := url.Parse(c.PublicURL); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		bad("SHINGLE_PUBLIC_URL is not a URL: write https://example.org or http://localhost:8080")
	}
	for name, raw := range map[string]string{"SHINGLE_DATABASE_URL": c.DatabaseURL, "SHINGLE_PLATFORM_DATABASE_URL": c.PlatformDatabaseURL,
		"SHINGLE_LISTEN_DATABASE_URL": c.ListenDatabaseURL, "SHINGLE_MIGRATE_DATABASE_URL": c.MigrateDatabaseURL} {
		if raw == "" {
			continue
		}
		if u, err := url.Parse(raw); err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
			bad("%s is not a database URL: write postgres://user:password@host:5432/database", name)
		}
	}
	if c.DatabaseURL != "" && c.DatabaseURL == c.PlatformDatabaseURL {
		bad("SHINGLE_PLATFORM_DATABASE_URL is the same login as SHINGLE_DATABASE_URL: the wall between boards needs two")
	}
	checkURL := func(name, raw string, schemes ...string) {
		if raw == "" {
			return
		}
		u, err := url.Parse(raw)
		if err == nil {
			for _, s := range schemes {
				if u.Scheme == s {
					return
				}
			}
		}
		bad("%s is not a URL of a kind that works here (%s://…)", name, strings.Join(schemes, ":// or "))
	}
	checkURL("SHINGLE_REDIS_URL", c.RedisURL, "redis", "rediss", "unix")
	checkURL("SHINGLE_TYPESENSE_URL", c.TypesenseURL, "http", "https")
	checkURL("SHINGLE_STRIPE_API_BASE", c.StripeAPIBase, "http", "https")
	checkURL("SHINGLE_OIDC_ISSUER", c.OIDCIssuer, "https", "http")
	if (c.OIDCIssuer == "") != (c.OIDCClientID == "") {
		bad("SHINGLE_OIDC_ISSUER and SHINGLE_OIDC_CLIENT_ID go together: set both or neither")
	}
	checkURL("SHINGLE_SMTP_URL", c.SMTPURL, "smtp", "smtps")
	checkURL("SHINGLE_BLOB_URL", c.BlobURL, "file", "mem", "s3")
	if (c.TypesenseURL == "") != (c.TypesenseKey == "") {
		bad("SHINGLE_TYPESENSE_URL and SHINGLE_TYPESENSE_KEY go together: set both or neither")
	}
	if c.SecretKey != "" && len(c.secret()) < 32 {
		bad("SHINGLE_SECRET_KEY is too short: 32 random bytes, as hex or base64 (openssl rand -hex 32)")
	}
	if c.MailReturnDomain != "" && strings.ContainsAny(c.MailReturnDomain, "@/: ") {
		bad("SHINGLE_MAIL_RETURN_DOMAIN is not a domain: write bounces.example.net")
	}
	if (c.MailReturnDomain == "") != (c.MailReturnSecret == "") {
		bad("SHINGLE_MAIL_RETURN_DOMAIN and SHINGLE_MAIL_RETURN_SECRET go together: set both or neither")
	} else if c.MailReturnSecret != "" && len(c.MailReturnSecret) < 16 {
		bad("SHINGLE_MAIL_RETURN_SECRET is too short: 16 characters or more (openssl rand -hex 16)")
	}
	for m := range strings.FieldsSeq(c.MailSPF) {
		if !strings.Contains(m, ":") && m != "a" && m != "mx" {
			bad("SHINGLE_MAIL_SPF holds something that is no SPF mechanism: write include:spf.example.net or ip4:192.0.2.1")
			break
		}
	}
	// One that could not be read is 0 here and has its line already.
	unread := func(name string) bool {
		return slices.ContainsFunc(before, func(line string) bool { return strings.HasPrefix(line, name+" ") })
	}
	if c.DatabaseConns < 2 && !unread("SHINGLE_DATABASE_CONNECTIONS") {
		bad("SHINGLE_DATABASE_CONNECTIONS must be 2 or more")
	}
	if c.Concurrency < 1 && !unread("SHINGLE_WORKERS") {
		bad("SHINGLE_WORKERS must be 1 or more")
	}
	if c.DrainDelay < 0 || c.DrainDelay > time.Minute {
		bad("SHINGLE_DRAIN_DELAY must be between 0s and 1m")
	}
	c.checkTLS(mode, bad)
	for _, t := range c.TrustedProxies {
		if _, _, err := net.ParseCIDR(t); err != nil && net.ParseIP(t) == nil {
			bad("SHINGLE_TRUSTED_PROXIES holds something that is not an address or CIDR")
		}
	}
	for _, a := range c.EdgeAddresses {
		if net.ParseIP(a) == nil {
			bad("SHINGLE_EDGE_ADDRESSES holds something that is not an IP address")
		}
	}
	for _, a := range c.DNSServers {
		host, _, err := net.SplitHostPort(a)
		if err != nil {
			host = a
		}
		if net.ParseIP(host) == nil {
			bad("SHINGLE_DNS_SERVERS holds something that is not an address: write 192.0.2.53 or 192.0.2.53:5353")
		}
	}
	if u, err := url.Parse(c.SentryDSN); c.SentryDSN != "" && (err != nil || u.User == nil || u.Host == "" || strings.Trim(u.Path, "/") == "" || u.Scheme != "https" && u.Scheme != "http") {
		bad("SHINGLE_SENTRY_DSN is not a Sentry DSN: write https://<key>@<host>/<project>")
	}
	need := func(name, v, what string) {
		if v == "" {
			bad("%s is missing: %s", name, what)
		}
	}
	if mode == "demo" {
		for _, v := range []struct{ name, value string }{{"SHINGLE_DATABASE_URL", c.DatabaseURL}, {"SHINGLE_PLATFORM_DATABASE_URL", c.PlatformDatabaseURL}, {"SHINGLE_MIGRATE_DATABASE_URL", c.MigrateDatabaseURL},
			{"SHINGLE_REDIS_URL", c.RedisURL}, {"SHINGLE_TYPESENSE_URL", c.TypesenseURL}, {"SHINGLE_STRIPE_KEY", c.StripeKey}, {"SHINGLE_SMTP_URL", c.SMTPURL}, {"SHINGLE_OIDC_ISSUER", c.OIDCIssuer}} {
			if v.value != "" {
				bad("%s is set: a demo brings its own servers, lets nothing leave and deletes everything once a day. Unset it", v.name)
			}
		}
		if !strings.HasPrefix(c.BlobURL, "file://"+filepath.ToSlash(c.DataDir)+"/") {
			bad("SHINGLE_BLOB_URL is set: a demo deletes its files once a day and keeps them under SHINGLE_DATA_DIR. Unset it")
		}
	}
	switch mode {
	case "serve", "worker":
		need("SHINGLE_REDIS_URL", c.RedisURL, "redis://host:6379/0")
		need("SHINGLE_SECRET_KEY", c.SecretKey, "32 random bytes, as hex or base64 (openssl rand -hex 32)")
		need("SHINGLE_STRIPE_KEY", c.StripeKey, "the platform's secret key from Stripe's dashboard")
		if mode == "serve" && len(c.StripeWebhookSecrets) == 0 {
			bad("SHINGLE_STRIPE_WEBHOOK_SECRET is missing: `shingle stripe webhooks` makes the endpoints and prints it")
		}
		need("SHINGLE_SMTP_URL", c.SMTPURL, "smtp://user:password@host:587")
		fallthrough
	case "board":
		need("SHINGLE_BOARD_DOMAIN", c.BoardDomain, "boards live at <slug>.<it>")
		fallthrough
	case "staff", "seed", "search", "doctor":
		need("SHINGLE_DATABASE_URL", c.DatabaseURL, "the app's login")
		need("SHINGLE_PLATFORM_DATABASE_URL", c.PlatformDatabaseURL, "the platform's login")
	case "backup":
		need("SHINGLE_PLATFORM_DATABASE_URL", c.PlatformDatabaseURL, "the platform's login")
		fallthrough
	case "restore-check":
		need("SHINGLE_BACKUP_KEY", c.BackupKey, "`shingle backup key` makes one")
	case "restore":
		need("SHINGLE_BACKUP_KEY", c.BackupKey, "the private key of the backup, AGE-SECRET-KEY-1…")
		fallthrough
	case "migrate":
		need("SHINGLE_MIGRATE_DATABASE_URL", c.MigrateDatabaseURL, "the owner's login")
		need("SHINGLE_DATABASE_URL", c.DatabaseURL, "the app's login, made when missing")
		need("SHINGLE_PLATFORM_DATABASE_URL", c.PlatformDatabaseURL, "the platform's login, made when missing")
	case "stripe":
		need("SHINGLE_STRIPE_KEY", c.StripeKey, "the platform's secret key from Stripe's dashboard")
	case "dev":
		n := 0
		for _, u := range []string{c.DatabaseURL, c.PlatformDatabaseURL, c.MigrateDatabaseURL} {
			if u != "" {
				n++
			}
		}
		if n != 0 && n != 3 {
			bad("set SHINGLE_DATABASE_URL, SHINGLE_PLATFORM_DATABASE_URL and SHINGLE_MIGRATE_DATABASE_URL together, or none of them")
		}
	}
	local := c.BoardDomain == "localhost" || strings.HasSuffix(c.BoardDomain, ".localhost")
	if mode == "serve" && !local && (c.PlatformHost == c.BoardDomain || strings.HasSuffix(c.PlatformHost, "."+c.BoardDomain)) {
		bad("SHINGLE_BOARD_DOMAIN holds the platform's own host: boards need another registrable domain, or their pages could set cookies for the platform")
	}
	if h := c.FilesHost; h != "" {
		if h == c.PlatformHost || h == c.BoardDomain || strings.HasSuffix(h, "."+c.BoardDomain) && !local || strings.ContainsAny(h, ":/") {
			bad("SHINGLE_FILES_HOST is a host of its own, without scheme and port: neither the platform's, nor under SHINGLE_BOARD_DOMAIN")
		}
	}
	return p
}

func (c *Config) checkTLS(mode string, bad func(string, ...any)) {
	if c.TLSListen == "" {
		if c.HTTP3 {
			bad("SHINGLE_HTTP3 needs SHINGLE_TLS_LISTEN: HTTP/3 is spoken on the same port")
		}
		return
	}
	if _, _, err := net.SplitHostPort(c.TLSListen); err != nil {
		bad("SHINGLE_TLS_LISTEN is not an address to listen on: write host:port or :443")
	}
	if mode != "serve" && mode != "worker" {
		return
	}
	for name, raw := range map[string]string{"SHINGLE_ACME_DIRECTORY": c.ACMEDir, "SHINGLE_ACME_FALLBACK_DIRECTORY": c.ACMEFallback} {
		if u, err := url.Parse(raw); raw != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
			bad("%s is not a certificate authority's directory: write https://acme.example.org/directory", name)
		}
	}
	if c.ACMEFallback == c.ACMEDir {
		bad("SHINGLE_ACME_FALLBACK_DIRECTORY is the same as SHINGLE_ACME_DIRECTORY: name another certificate authority, or none")
	}
	if id, key, found := strings.Cut(c.ACMEFallbackEAB, ":"); c.ACMEFallbackEAB != "" && (!found || id == "" || key == "" || c.ACMEFallback == "") {
		bad("SHINGLE_ACME_FALLBACK_EAB is <key id>:<key>, and needs SHINGLE_ACME_FALLBACK_DIRECTORY")
	}
	if !strings.Contains(c.ACMEEmail, "@") {
		bad("SHINGLE_ACME_EMAIL is missing: the certificate authority writes there when something is wrong with the account")
	}
	if u, err := url.Parse(c.PublicURL); err == nil && u.Scheme != "https" {
		bad("SHINGLE_PUBLIC_URL begins with http:// while SHINGLE_TLS_LISTEN is set: write https://")
	}
	if u, err := url.Parse(c.ACMEDNS); c.ACMEDNS != "" && (err != nil || u.Scheme != "rfc2136" || u.User == nil || u.Host == "") {
		bad("SHINGLE_ACME_DNS is not a DNS server that takes updates: write rfc2136://<key name>:<key, percent-encoded>@ns1.example.org:53")
	}
}

func (c *Config) secret() []byte {
	if b, err := hex.DecodeString(c.SecretKey); err == nil && len(b) >= 32 {
		return b
	}
	if b, err := base64.StdEncoding.DecodeString(c.SecretKey); err == nil && len(b) >= 32 {
		return b
	}
	return []byte(c.SecretKey)
}

// Secret is the key that signs and seals, 32 bytes or more.
func (c *Config) Secret() []byte { return c.secret() }

// Redacted lists the settings as NAME=value lines with secrets hidden.
func (c *Config) Redacted() []string {
	var lines []string
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		text := fmt.Sprint(v.Field(i).Interface())
		if v.Field(i).Kind() == reflect.Slice {
			text = strings.Trim(text, "[]")
		}
		switch {
		case text == "":
		case f.Tag.Get("secret") == "all":
			text = "(set)"
		case f.Tag.Get("secret") == "url":
			if u, err := url.Parse(text); err == nil {
				text = u.Redacted()
			} else {
				text = "(set)"
			}
		}
		lines = append(lines, f.Tag.Get("env")+"="+text)
	}
	return lines
}
