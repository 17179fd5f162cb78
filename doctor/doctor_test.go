package doctor_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"shingle/billing"
	"shingle/doctor"
	"shingle/internal/config"
	"shingle/internal/dns"
	"shingle/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// ward is an installation in which all is well.
type ward struct {
	*testkit.World
	d *doctor.Doctor
	// what the fakes answer
	endpoints string
	stripe    int
	date      time.Time
	healthy   bool
}

func newWard(t *testing.T) *ward {
	t.Helper()
	w := &ward{World: testkit.NewWorld(t), stripe: http.StatusOK, healthy: true}
	api := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !w.date.IsZero() {
			rw.Header().Set("Date", w.date.UTC().Format(http.TimeFormat))
		}
		if w.stripe != http.StatusOK {
			rw.WriteHeader(w.stripe)
			_, _ = fmt.Fprint(rw, `{"error": {"message": "no"}}`)
			return
		}
		if r.URL.Path == "/v1/webhook_endpoints" {
			_, _ = fmt.Fprintf(rw, `{"object": "list", "has_more": false, "data": [%s]}`, w.endpoints)
			return
		}
		_, _ = fmt.Fprint(rw, `{"id": "acct_1", "object": "account"}`)
	}))
	t.Cleanup(api.Close)
	engine := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/health":
			_, _ = fmt.Fprintf(rw, `{"ok": %v}`, w.healthy)
		case r.Header.Get("X-Typesense-Api-Key") != "right":
			rw.WriteHeader(http.StatusUnauthorized)
		default:
			_, _ = fmt.Fprint(rw, `[]`)
		}
	}))
	t.Cleanup(engine.Close)
	w.d = &doctor.Doctor{Now: time.Now, DNS: dns.New([]string{"127.0.0.1:1"}), Room: func(string) (uint64, uint64, error) { return 50, 100, nil }, Config: &config.Config{
		PlatformHost: "platform.localhost", BoardDomain: "localhost", DatabaseURL: w.PG.App, PlatformDatabaseURL: w.PG.Platform, MigrateDatabaseURL: w.PG.Owner,
		RedisURL: testkit.Redis(t), SMTPURL: "smtp://" + smtpServer(t), StripeKey: "sk_test_x", StripeAPIBase: api.URL, TypesenseURL: engine.URL, TypesenseKey: "right", DataDir: t.TempDir()}}
	return w
}

// smtpServer greets and says goodbye.
func smtpServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		done.Wait()
	})
	done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(ctx, func() { _ = c.Close() }) // whoever asks may not say goodbye
			_, _ = fmt.Fprint(c, "220 mail.example ESMTP\r\n")
			for in := bufio.NewScanner(c); in.Scan(); {
				_, _ = fmt.Fprint(c, "250 mail.example\r\n")
				if strings.HasPrefix(in.Text(), "QUIT") {
					break
				}
			}
			stop()
			_ = c.Close()
		}
	})
	return l.Addr().String()
}

// says wants a finding of that level whose line has the words.
func (w *ward) says(t *testing.T, level doctor.Level, words string) {
	t.Helper()
	among(t, w.d.Examine(t.Context()), level, words)
}

func among(t *testing.T, found []doctor.Finding, level doctor.Level, words string) {
	t.Helper()
	var all []string
	for _, f := range found {
		line := fmt.Sprintf("%s %s: %s: %s; %s", f.Level, f.Area, f.What, f.Found, f.Todo)
		all = append(all, line)
		if f.Level == level && strings.Contains(line, words) {
			if level != doctor.OK && f.Todo == "" {
				t.Errorf("%s says nothing of what to do", line)
			}
			return
		}
	}
	t.Errorf("want %s with %q among\n%s", level, words, strings.Join(all, "\n"))
}

func (w *ward) sql(t *testing.T, q string) {
	t.Helper()
	if _, err := w.PG.Open(t, w.PG.Superuser, 1).ExecContext(t.Context(), q); err != nil {
		t.Fatal(err)
	}
}

func TestAllIsWell(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	found := w.d.Examine(t.Context())
	if doctor.Worst(found) != doctor.OK {
		for _, f := range found {
			if f.Level != doctor.OK {
				t.Errorf("%+v", f)
			}
		}
	}
	if len(found) < 16 {
		t.Errorf("only %d findings", len(found))
	}
	if doctor.Worst([]doctor.Finding{{Level: doctor.OK}, {Level: doctor.Warn}}) != doctor.Warn {
		t.Error("a warning is worse than nothing")
	}
}

func TestEachFailingState(t *testing.T) {
	t.Parallel()
	event := func(state string, age string) string {
		return `INSERT INTO stripe_events (id, type, payload, state, created_at, received_at) VALUES ('evt_1', 'x', '{}', '` + state + `', now(), now() - interval '` + age + `')`
	}
	task := func(more, values string) string {
		return `INSERT INTO tasks (tenant_id, id, kind, ` + more + `) VALUES ('00000000-0000-0000-0000-000000000000', gen_random_uuid(), 'x', ` + values + `)`
	}
	endpoint := func(version, status string) string {
		return fmt.Sprintf(`{"id": "we_1", "object": "webhook_endpoint", "url": "https://jobs.example%s", "api_version": %q, "status": %q}`, billing.WebhookPath, version, status)
	}
	// Stripe's own address is replaced by the fake's through the client's base, so
	// these run with the base set and the branch for the real one tested beside it.
	for name, c := range map[string]struct {
		break_ func(t *testing.T, w *ward)
		level  doctor.Level
		words  string
	}{
		"settings":        {func(_ *testing.T, w *ward) { w.d.Problems = []string{"SHINGLE_SECRET_KEY is missing"} }, doctor.Bad, "SHINGLE_SECRET_KEY is missing"},
		"a superuser":     {func(_ *testing.T, w *ward) { w.d.Config.DatabaseURL = w.PG.Superuser }, doctor.Bad, "sees through row level security"},
		"the owner":       {func(_ *testing.T, w *ward) { w.d.Config.DatabaseURL = w.PG.Owner }, doctor.Bad, "The app's login"},
		"logins mixed up": {func(_ *testing.T, w *ward) { w.d.Config.DatabaseURL = w.PG.Platform }, doctor.Bad, "The app's login: shingle_platform is a member of shingle_platform"},
		"no member":       {func(_ *testing.T, w *ward) { w.d.Config.PlatformDatabaseURL = w.PG.App }, doctor.Bad, "no member of shingle_platform"},
		"Postgres away":   {func(_ *testing.T, w *ward) { w.d.Config.DatabaseURL = "postgres://x:secret@127.0.0.1:1/x" }, doctor.Bad, "does not answer"},
		"wall off":        {func(t *testing.T, w *ward) { w.sql(t, `ALTER TABLE people DISABLE ROW LEVEL SECURITY`) }, doctor.Bad, "row level security of people is switched off"},
		"wall not forced": {func(t *testing.T, w *ward) { w.sql(t, `ALTER TABLE people NO FORCE ROW LEVEL SECURITY`) }, doctor.Bad, "of people is not forced"},
		"no policy":       {func(t *testing.T, w *ward) { w.sql(t, `DROP POLICY board ON people`) }, doctor.Bad, "of people has no policy"},
		"odd policy":      {func(t *testing.T, w *ward) { w.sql(t, `CREATE POLICY all_of_it ON people USING (true)`) }, doctor.Bad, "of people has a policy that asks for no board"},
		"migrations":      {func(t *testing.T, w *ward) { w.sql(t, `DELETE FROM bun_migrations WHERE name = '20261125001300'`) }, doctor.Bad, "1 are waiting, the first is 20261125001300_audit_chain"},
		"owner unknown":   {func(_ *testing.T, w *ward) { w.d.Config.MigrateDatabaseURL = "" }, doctor.Warn, "only the owner's login can tell"},
		"chain broken": {func(t *testing.T, w *ward) {
			w.sql(t, `INSERT INTO audit_chains (tenant_id, problem) VALUES (gen_random_uuid(), 'line x was altered')`)
		}, doctor.Bad, "1 are not what was sealed: line x was altered"},
		"not sealed": {func(t *testing.T, w *ward) {
			w.sql(t, `INSERT INTO audit_log (tenant_id, id, actor_kind, act, at) VALUES (gen_random_uuid(), gen_random_uuid(), 'system', 'x.y', now() - interval '1 hour')`)
		}, doctor.Bad, "1 lines wait for their link"},
		"backup late": {func(t *testing.T, w *ward) {
			w.sql(t, `INSERT INTO audit_log (tenant_id, id, actor_kind, act, at) VALUES ('00000000-0000-0000-0000-000000000000', gen_random_uuid(), 'system', 'installation.backed_up', now() - interval '50 hours')`)
		}, doctor.Warn, "the last one is 50 hours old"},
		"failed task":  {func(t *testing.T, w *ward) { w.sql(t, task("failed_at", "now()")) }, doctor.Warn, "1 gave up"},
		"failed money": {func(t *testing.T, w *ward) { w.sql(t, task("queue, failed_at", "'critical', now()")) }, doctor.Bad, "1 of them are about money"},
		"relay slow":   {func(t *testing.T, w *ward) { w.sql(t, task("run_at", "now() - interval '2 minutes'")) }, doctor.Warn, "the oldest waits for 2m"},
		"relay stuck":  {func(t *testing.T, w *ward) { w.sql(t, task("run_at", "now() - interval '1 hour'")) }, doctor.Bad, "the oldest waits for 1h"},
		"held event":   {func(t *testing.T, w *ward) { w.sql(t, event("held", "1 day")) }, doctor.Warn, "1 are held"},
		"stale event":  {func(t *testing.T, w *ward) { w.sql(t, event("received", "1 day")) }, doctor.Bad, "1 wait for over ten minutes"},
		"Redis away":   {func(_ *testing.T, w *ward) { w.d.Config.RedisURL = "redis://127.0.0.1:1/0" }, doctor.Bad, "Redis: does not answer"},
		"Redis unset":  {func(_ *testing.T, w *ward) { w.d.Config.RedisURL = "" }, doctor.Bad, "no background work runs"},
		"Redis unread": {func(_ *testing.T, w *ward) { w.d.Config.RedisURL = "http://x" }, doctor.Bad, "cannot be read"},
		"engine ill":   {func(_ *testing.T, w *ward) { w.healthy = false }, doctor.Bad, "Typesense is not well"},
		"engine's key": {func(_ *testing.T, w *ward) { w.d.Config.TypesenseKey = "wrong" }, doctor.Bad, "refuses the key (status 401)"},
		"Stripe's key": {func(_ *testing.T, w *ward) { w.stripe = http.StatusUnauthorized }, doctor.Bad, "Stripe does not know it"},
		"no key":       {func(_ *testing.T, w *ward) { w.d.Config.StripeKey = "" }, doctor.Bad, "nothing can be sold"},
		"mail away":    {func(_ *testing.T, w *ward) { w.d.Config.SMTPURL = "smtp://127.0.0.1:1" }, doctor.Bad, "the mail server does not answer"},
		"mail refuses": {func(_ *testing.T, w *ward) {
			w.d.Config.SMTPURL = strings.Replace(w.d.Config.SMTPURL, "//", "//u:secret@", 1)
		}, doctor.Bad, "greeting or signing in failed"},
		"mail unset":     {func(_ *testing.T, w *ward) { w.d.Config.SMTPURL = "" }, doctor.Bad, "nobody gets a mail"},
		"DNS away":       {func(_ *testing.T, w *ward) { w.d.Config.PlatformHost = "jobs.example" }, doctor.Bad, "jobs.example cannot be asked for"},
		"clock off":      {func(_ *testing.T, w *ward) { w.d.Now = func() time.Time { return time.Now().Add(-5 * time.Second) } }, doctor.Warn, "Postgres' clock"},
		"clock wrong":    {func(_ *testing.T, w *ward) { w.d.Now = func() time.Time { return time.Now().Add(time.Hour) } }, doctor.Bad, "Redis' clock"},
		"Stripe's clock": {func(_ *testing.T, w *ward) { w.date = time.Now().Add(-time.Hour) }, doctor.Bad, "Stripe's clock"},
		"little room":    {func(_ *testing.T, w *ward) { w.d.Room = func(string) (uint64, uint64, error) { return 5, 100, nil } }, doctor.Warn, "5 % free"},
		"no room":        {func(_ *testing.T, w *ward) { w.d.Room = func(string) (uint64, uint64, error) { return 1, 100, nil } }, doctor.Bad, "1 % free"},
		"no folder": {func(_ *testing.T, w *ward) {
			w.d.Room = func(string) (uint64, uint64, error) { return 0, 0, os.ErrNotExist }
		}, doctor.OK, "nothing is kept on this machine"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWard(t)
			c.break_(t, w)
			w.says(t, c.level, c.words)
			for _, f := range w.d.Examine(t.Context()) {
				if strings.Contains(f.Found+f.Todo, "secret@") {
					t.Errorf("a password in %+v", f)
				}
			}
		})
	}
	for name, c := range map[string]struct {
		endpoints, words string
		secrets          []string
		level            doctor.Level
	}{
		"none":      {"", "0 of 2 lead to jobs.example", nil, doctor.Bad},
		"version":   {endpoint("2020-08-27", "enabled"), `pinned to API version "2020-08-27"`, nil, doctor.Bad},
		"disabled":  {endpoint(billing.APIVersion, "disabled"), "1 are disabled", nil, doctor.Bad},
		"a secret":  {endpoint(billing.APIVersion, "enabled") + "," + endpoint(billing.APIVersion, "enabled"), "2 endpoints, 1 secrets", []string{"a"}, doctor.Warn},
		"both good": {endpoint(billing.APIVersion, "enabled") + "," + endpoint(billing.APIVersion, "enabled"), "both, pinned to", []string{"a", "b"}, doctor.OK},
	} {
		t.Run("webhook endpoints "+name, func(t *testing.T) {
			t.Parallel()
			w := newWard(t)
			w.endpoints, w.d.Config.StripeWebhookSecrets, w.d.Config.PlatformHost = c.endpoints, c.secrets, "jobs.example"
			w.d.RealStripe()
			w.says(t, c.level, c.words)
			w.says(t, doctor.Warn, "a test key: no money moves")
		})
	}
}

func TestNamesInTheDNS(t *testing.T) {
	t.Parallel()
	w := newWard(t)
	zone := testkit.NewDNS(t)
	w.d.DNS = dns.New([]string{zone.Addr})
	w.d.Config.PlatformHost, w.d.Config.BoardDomain, w.d.Config.MailFrom = "jobs.example", "boards.example", "Jobs <post@jobs.example>"
	w.says(t, doctor.Bad, "jobs.example has no address")
	w.says(t, doctor.Bad, "shingle-doctor-probe.boards.example has no address")
	w.says(t, doctor.Warn, "jobs.example does not say who may send for it")
	zone.Set(t, "jobs.example", "A", "192.0.2.1")
	zone.Set(t, "jobs.example", "TXT", "v=spf1 -all")
	w.d.DNS = dns.New([]string{zone.Addr})
	w.says(t, doctor.OK, "jobs.example is at 192.0.2.1")
	w.says(t, doctor.OK, "jobs.example says who may send for it")
}
