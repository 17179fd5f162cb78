package doctor

import (
	"context"
	"database/sql"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stripe/stripe-go/v76"

	"shingle/billing"
	"shingle/internal/fault"
	"shingle/mail"
)

func (d *Doctor) redis(ctx context.Context, l *list) {
	const what = "Redis"
	if d.Config.RedisURL == "" {
		l.bad(what, "set SHINGLE_REDIS_URL", "not set: no background work runs")
		return
	}
	opts, err := redis.ParseURL(d.Config.RedisURL)
	if err != nil {
		l.bad(what, "check SHINGLE_REDIS_URL: redis://:password@host:6379/0", "the address cannot be read")
		return
	}
	c := redis.NewClient(opts)
	defer func() { _ = c.Close() }()
	if err := c.Ping(ctx).Err(); err != nil {
		l.bad(what, "check SHINGLE_REDIS_URL; without Redis no background work runs", "does not answer")
		return
	}
	l.ok(what, "answers")
	// What Redis throws away is handed over again, later than it need be.
	if v, err := c.ConfigGet(ctx, "maxmemory-policy").Result(); err == nil && v["maxmemory-policy"] != "" && v["maxmemory-policy"] != "noeviction" {
		l.warn("Memory", "set maxmemory-policy noeviction", "it throws keys away when it is full (%s)", v["maxmemory-policy"])
	}
}

func (d *Doctor) search(ctx context.Context, l *list) {
	const what = "Search engine"
	if d.Config.TypesenseURL == "" {
		l.ok(what, "Postgres searches")
		return
	}
	const todo = "check SHINGLE_TYPESENSE_URL and _KEY; searches go to Postgres meanwhile"
	base := strings.TrimSuffix(d.Config.TypesenseURL, "/")
	var health struct{ OK bool }
	if status, err := ask(ctx, base+"/health", "", &health); err != nil || !health.OK {
		l.bad(what, todo, "Typesense is not well (status %d)", status)
		return
	}
	var list []struct{ Name string }
	if status, err := ask(ctx, base+"/collections?exclude_fields=fields", d.Config.TypesenseKey, &list); err != nil {
		l.bad(what, todo, "Typesense refuses the key (status %d)", status)
		return
	}
	l.ok(what, "Typesense, with %d collections", len(list))
}

// ask reads JSON; the status is 0 when nobody answers.
func ask(ctx context.Context, to, key string, into any) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to, http.NoBody)
	if err != nil {
		return 0, err
	}
	if key != "" {
		req.Header.Set("X-Typesense-Api-Key", key)
	}
	c := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return res.StatusCode, fault.New(fault.Unavailable, "status %d", res.StatusCode)
	}
	return res.StatusCode, json.NewDecoder(io.LimitReader(res.Body, 64<<20)).Decode(into)
}

// local reports an installation on a developer's machine.
func (d *Doctor) local() bool {
	return d.Config.PlatformHost == "localhost" || strings.HasSuffix(d.Config.PlatformHost, ".localhost")
}

func (d *Doctor) stripe(ctx context.Context, l *list) {
	key := d.Config.StripeKey
	if key == "" {
		l.bad("Key", "set SHINGLE_STRIPE_KEY", "not set: nothing can be sold")
		return
	}
	live := strings.HasPrefix(key, "sk_live_") || strings.HasPrefix(key, "rk_live_")
	test := strings.HasPrefix(key, "sk_test_") || strings.HasPrefix(key, "rk_test_")
	simulated := d.Config.StripeAPIBase != "" && !d.real
	api := billing.NewStripe(key, d.Config.StripeAPIBase, nil)
	if _, err := api.Accounts.Get(); err != nil && d.refused(l, err) {
		return
	}
	switch {
	case simulated:
		l.ok("Key", "the API is at SHINGLE_STRIPE_API_BASE: no money moves")
	case live && d.local():
		l.warn("Key", "use a test key on a developer's machine", "a live key on %s", d.Config.PlatformHost)
	case test && !d.local():
		l.warn("Key", "use the live key once boards shall earn", "a test key: no money moves")
	case !live && !test:
		l.warn("Key", "use the secret key (sk_…) from Stripe's dashboard", "the key is neither a test nor a live one")
	default:
		l.ok("Key", "Stripe knows it")
	}
	if simulated {
		return
	}
	list := &stripe.WebhookEndpointListParams{}
	list.ListParams.Context, list.Limit = ctx, stripe.Int64(100)
	const what, todo = "Webhook endpoints", "run `shingle stripe webhooks`"
	good, off, version := 0, 0, ""
	it := api.WebhookEndpoints.List(list)
	for it.Next() {
		e := it.WebhookEndpoint()
		u, err := url.Parse(e.URL)
		if err != nil || u.Hostname() != d.Config.PlatformHost || u.Path != billing.WebhookPath {
			continue
		}
		switch {
		case e.APIVersion != billing.APIVersion:
			version = e.APIVersion
		case e.Status != "enabled":
			off++
		default:
			good++
		}
	}
	switch {
	case it.Err() != nil:
		l.bad(what, "check the key's rights", "Stripe does not list them")
	case version != "":
		l.bad(what, "delete it on Stripe's dashboard, then "+todo, "one is pinned to API version %q, Shingle speaks %s", version, billing.APIVersion)
	case off > 0:
		l.bad(what, "enable it on Stripe's dashboard", "%d are disabled", off)
	case good < 2:
		l.bad(what, todo, "%d of 2 lead to %s", good, d.Config.PlatformHost)
	case len(d.Config.StripeWebhookSecrets) < 2:
		l.warn(what, "set both secrets in SHINGLE_STRIPE_WEBHOOK_SECRET", "2 endpoints, %d secrets", len(d.Config.StripeWebhookSecrets))
	default:
		l.ok(what, "both, pinned to %s", billing.APIVersion)
	}
}

// refused tells why the account could not be read; a restricted key that may
// not read it is no fault.
func (d *Doctor) refused(l *list, err error) bool {
	se, ok := err.(*stripe.Error)
	switch {
	case ok && se.HTTPStatusCode == http.StatusUnauthorized:
		l.bad("Key", "set SHINGLE_STRIPE_KEY to the platform's secret key", "Stripe does not know it")
	case ok && se.HTTPStatusCode == http.StatusForbidden:
		return false
	case ok && se.HTTPStatusCode != 0:
		l.bad("Key", "see Stripe's dashboard", "Stripe answers %d", se.HTTPStatusCode)
	default:
		l.bad("Key", "is the way out open? Stripe must be reached over HTTPS", "Stripe does not answer")
	}
	return true
}

func (d *Doctor) mail(ctx context.Context, l *list) {
	const what, todo = "Mail server", "check SHINGLE_SMTP_URL: smtp://user:password@host:587" //nolint:gosec // a pattern
	if d.Config.SMTPURL == "" {
		l.bad(what, "set SHINGLE_SMTP_URL", "not set: nobody gets a mail, and nobody can sign in by one")
		return
	}
	s, err := mail.NewSMTP(d.Config.SMTPURL)
	if err == nil {
		err = s.Check(ctx)
	}
	if err != nil {
		l.bad(what, todo, "%v", err)
		return
	}
	l.ok(what, "takes our sign-in")
}

// names asks for the platform's own names and a board's that nobody has.
func (d *Doctor) names(ctx context.Context, l *list) {
	if d.local() {
		l.ok("Names", "*.localhost needs no DNS")
		return
	}
	at := map[string][]netip.Addr{}
	for _, n := range []struct{ what, name, setting string }{
		{"The platform's host", d.Config.PlatformHost, "SHINGLE_PLATFORM_HOST"},
		{"A board's address", "shingle-doctor-probe." + d.Config.BoardDomain, "SHINGLE_BOARD_DOMAIN: *." + d.Config.BoardDomain},
		{"What own hosts are pointed at", d.Config.EdgeHost, "SHINGLE_EDGE_HOST"},
	} {
		if n.name == "" || strings.HasSuffix(n.name, ".") {
			continue
		}
		t, err := d.DNS.Addresses(ctx, n.name)
		switch {
		case fault.Is(err, fault.NotFound):
			l.bad(n.what, "add the record for "+n.setting, "%s has no address", n.name)
		case err != nil:
			l.bad(n.what, "check the DNS, or SHINGLE_DNS_SERVERS", "%s cannot be asked for", n.name)
		default:
			at[n.what] = t.Addresses
			l.ok(n.what, "%s is at %s", n.name, t.Addresses[0])
		}
	}
	_, from, _ := strings.Cut(strings.Trim(d.Config.MailFrom, "<> "), "@")
	if from = strings.TrimRight(from, ">"); from == "" {
		return
	}
	texts, err := d.DNS.TXT(ctx, from)
	if err != nil && !fault.Is(err, fault.NotFound) {
		l.warn("The sender's domain", "check the DNS", "%s cannot be asked for", from)
		return
	}
	for _, t := range texts {
		if strings.HasPrefix(strings.ToLower(t), "v=spf1") {
			l.ok("The sender's domain", "%s says who may send for it", from)
			return
		}
	}
	l.warn("The sender's domain", "publish an SPF record for it", "%s does not say who may send for it", from)
}

const clockOff, clockWrong = 2 * time.Second, 30 * time.Second

// clock holds the servers' clocks against this machine's: signatures, codes and
// leases go by them.
func (d *Doctor) clock(ctx context.Context, l *list) {
	against := func(what string, read func() (time.Time, error), slack time.Duration) {
		before := time.Now()
		at, err := read()
		if err != nil || at.IsZero() {
			l.warn(what, "see above", "not known")
			return
		}
		took := time.Since(before)
		off := at.Sub(d.Now().Add(-took / 2)).Abs()
		const todo = "keep the machines' clocks by NTP"
		switch {
		case off > clockWrong+slack+took:
			l.bad(what, todo, "%s from this machine's", off.Round(100*time.Millisecond))
		case off > clockOff+slack+took:
			l.warn(what, todo, "%s from this machine's", off.Round(100*time.Millisecond))
		default:
			l.ok(what, "as this machine's")
		}
	}
	against("Postgres' clock", func() (at time.Time, err error) {
		err = with(d.Config.PlatformDatabaseURL, func(db *sql.DB) error {
			return db.QueryRowContext(ctx, `SELECT clock_timestamp()`).Scan(&at)
		})
		return at, err
	}, 0)
	if opts, err := redis.ParseURL(d.Config.RedisURL); err == nil && d.Config.RedisURL != "" {
		against("Redis' clock", func() (time.Time, error) {
			c := redis.NewClient(opts)
			defer func() { _ = c.Close() }()
			return c.Time(ctx).Result()
		}, 0)
	}
	if d.Config.StripeKey != "" {
		// The header counts whole seconds; every answer has it, a refusal too.
		against("Stripe's clock", func() (time.Time, error) {
			base := d.Config.StripeAPIBase
			if base == "" {
				base = stripe.APIURL
			}
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+"/v1/account", http.NoBody)
			if err != nil {
				return time.Time{}, err
			}
			c := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
			res, err := c.Do(req)
			if err != nil {
				return time.Time{}, err
			}
			_ = res.Body.Close()
			return http.ParseTime(res.Header.Get("Date"))
		}, time.Second)
	}
}
