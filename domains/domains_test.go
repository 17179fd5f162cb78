package domains

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/uptrace/bun"

	"shingle/internal/dns"
	"shingle/internal/fault"
	"shingle/internal/links"
	"shingle/internal/testkit"
	"shingle/tasks"
	"shingle/tenant"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// yard is a board and a rival with a name server of the test's own.
type yard struct {
	*testkit.World
	dns          *testkit.DNS
	s            *Service
	clock        *testkit.Clock
	board, rival *tenant.Tenant
}

const edge = "edge.hosting.test"

func newYard(t *testing.T) *yard {
	t.Helper()
	y := &yard{World: testkit.NewWorld(t), dns: testkit.NewDNS(t), clock: testkit.NewClock(time.Now())}
	client := dns.New([]string{y.dns.Addr})
	y.dns.Set(t, edge, "A", "198.51.100.7")
	y.dns.Set(t, edge, "AAAA", "2001:db8::7")
	y.s = &Service{DB: y.DB, Platform: y.Platform, Notifier: y.Notifier, Links: links.Links{Scheme: "https", PlatformHost: "console.hosting.test", BoardDomain: "boards.test"},
		DNS: client.Fresh(), EdgeHost: edge, EdgeAddresses: []netip.Addr{netip.MustParseAddr("198.51.100.7")}, Now: y.clock.Now}
	y.board, y.rival = y.Board(t, "acme"), y.Board(t, "rival")
	return y
}

func (y *yard) add(t *testing.T, b *tenant.Tenant, host string) *Domain {
	t.Helper()
	d, err := y.s.Add(y.Ctx(t, b), host, true)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (y *yard) check(t *testing.T, b *tenant.Tenant, host string) *Domain {
	t.Helper()
	d, err := y.s.Check(y.Ctx(t, b), host)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// publish puts the records that the board was told to make.
func (y *yard) publish(t *testing.T, d *Domain) {
	t.Helper()
	r := OwnerRecord(d)
	y.dns.Set(t, r.Name, r.Type, r.Value)
	for _, r := range y.s.AddressRecords(y.board, d) {
		if r.Type != "ALIAS" {
			y.dns.Set(t, r.Name, r.Type, r.Value)
		}
	}
}

func (y *yard) live(t *testing.T, b *tenant.Tenant, host string) *Domain {
	t.Helper()
	d := y.add(t, b, host)
	y.publish(t, d)
	if d = y.check(t, b, host); d.State != Live {
		t.Fatalf("%s is %s: %+v", host, d.State, d.Report)
	}
	return d
}

func (y *yard) one(t *testing.T, q string, args ...any) (n int) {
	t.Helper()
	err := y.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error { return tx.NewRaw(q, args...).Scan(ctx, &n) })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (y *yard) host(t *testing.T, host string) string {
	t.Helper()
	b, err := y.Boards.Resolve(t.Context(), host)
	if fault.Is(err, fault.NotFound) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Slug
}

func TestAHostGoesLive(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	d := y.add(t, y.board, "https://Jobs.Acme.test/")
	if d.Host != "jobs.acme.test" || d.State != Checking {
		t.Fatalf("added %+v", d)
	}
	if r := OwnerRecord(d); r.Name != "_board-verify.jobs.acme.test" || r.Short != "_board-verify.jobs" || strings.Contains(r.Name+r.Value, "hingle") {
		t.Errorf("the record is %+v", r)
	}
	d = y.check(t, y.board, d.Host)
	if d.State != Checking || d.Report.Owner.State != Missing || d.Report.Address.State != Missing {
		t.Errorf("with no record: %s %+v", d.State, d.Report)
	}
	if y.host(t, d.Host) != "" {
		t.Error("an unproven host is served")
	}
	y.publish(t, d)
	d = y.check(t, y.board, d.Host)
	if d.State != Live || d.Report.Owner.State != OK || d.Report.Address.State != OK {
		t.Fatalf("with its records: %s %+v", d.State, d.Report)
	}
	if got := y.host(t, "jobs.acme.test"); got != "acme" {
		t.Errorf("the host leads to %q", got)
	}
	b, err := y.Boards.Resolve(t.Context(), y.board.PlatformHost)
	if err != nil || b.CanonicalHost != "jobs.acme.test" || b.PlatformHost != "acme.localhost" {
		t.Errorf("main address %q, platform %q, %v", b.CanonicalHost, b.PlatformHost, err)
	}
	if n := y.one(t, `SELECT count(*) FROM mails WHERE kind = 'domain-live' AND recipient = ?`, y.board.ContactEmail); n != 1 {
		t.Errorf("%d mails say that it is live, want 1", n)
	}
	y.check(t, y.board, d.Host)
	if n := y.one(t, `SELECT count(*) FROM mails WHERE kind = 'domain-live'`); n != 1 {
		t.Errorf("%d mails after another check, want 1", n)
	}
	t.Run("the second host does not take over", func(t *testing.T) {
		y.live(t, y.board, "acme.test")
		if b, _ := y.Boards.Resolve(t.Context(), "acme.test"); b.CanonicalHost != "jobs.acme.test" {
			t.Errorf("main address %s", b.CanonicalHost)
		}
	})
	t.Run("the owner chooses", func(t *testing.T) {
		for _, host := range []string{"acme.test", y.board.PlatformHost, "jobs.acme.test"} {
			if err := y.s.Primary(y.Ctx(t, y.board), host); err != nil {
				t.Fatal(err)
			}
			if b, _ := y.Boards.Resolve(t.Context(), y.board.PlatformHost); b.CanonicalHost != host {
				t.Errorf("main address %s, want %s", b.CanonicalHost, host)
			}
		}
		y.add(t, y.board, "new.acme.test")
		if err := y.s.Primary(y.Ctx(t, y.board), "new.acme.test"); !fault.Is(err, fault.Conflict) {
			t.Errorf("a host that is not live: %v", err)
		}
	})
	t.Run("removing the main address brings the platform address back", func(t *testing.T) {
		if err := y.s.Remove(y.Ctx(t, y.board), "jobs.acme.test"); err != nil {
			t.Fatal(err)
		}
		if b, _ := y.Boards.Resolve(t.Context(), y.board.PlatformHost); b.CanonicalHost != y.board.PlatformHost {
			t.Errorf("main address %s", b.CanonicalHost)
		}
		if y.host(t, "jobs.acme.test") != "" {
			t.Error("still served")
		}
	})
}

func TestHostsThatAreRefused(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	ctx := y.Ctx(t, y.board)
	for host, want := range map[string]string{"console.hosting.test": "platform", "x.hosting.test": "platform", "hosting.test": "platform", "other.boards.test": "platform", "boards.test": "platform",
		edge: "platform", "rival.localhost": "platform", "test": "single"} {
		if _, err := y.s.Add(ctx, host, false); !strings.HasPrefix(fault.FieldsOf(err)["host"], "domain.host."+want) {
			t.Errorf("Add(%s): %v, want %s", host, err, want)
		}
	}
	y.add(t, y.board, "jobs.acme.test")
	if _, err := y.s.Add(ctx, "JOBS.acme.test.", false); !fault.Is(err, fault.Conflict) || !strings.HasPrefix(fault.FieldsOf(err)["host"], "domain.host.added") {
		t.Errorf("twice: %v", err)
	}
}

func TestWhatChecksFind(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.s.Certificates = func(context.Context, ...string) map[string]CertState { return nil }
	y.s.CAs = func(context.Context) []string { return []string{"ca.test", "second.test"} }
	d := y.add(t, y.board, "jobs.acme.test")
	apex := y.add(t, y.board, "acme.test")
	name, value := OwnerRecord(d).Name, OwnerRecord(d).Value
	ctx := y.Ctx(t, y.board)
	look := func(d *Domain) Report { return y.s.examine(ctx, y.board, d) }
	expect := func(what string, f Finding, state, text string) {
		t.Helper()
		if f.State != state || !strings.HasPrefix(f.Text+"|", "domain.found."+text+"|") {
			t.Errorf("%s: %+v, want %s %s", what, f, state, text)
		}
	}
	y.dns.Set(t, name, "TXT", "board-verify=somebody-elses", "v=spf1")
	expect("another token", look(d).Owner, Wrong, "other_owner")
	y.dns.Set(t, name, "TXT", "x", value)
	expect("the token among others", look(d).Owner, OK, "owner")
	y.dns.Set(t, name, "TXT", `"\"`+value+`\""`)
	expect("the token in quotes", look(d).Owner, OK, "owner")
	y.dns.Set(t, name, "TXT", value+"x")
	expect("a longer text", look(d).Owner, Wrong, "other_owner")
	y.dns.Set(t, name, "TXT")
	y.dns.Set(t, name+".acme.test", "TXT", value)
	expect("a doubled name", look(d).Owner, Wrong, "doubled")
	y.dns.Set(t, name+".acme.test", "TXT")
	y.dns.Set(t, d.Host, "TXT", value)
	expect("at the host itself", look(d).Owner, Wrong, "misplaced")
	y.dns.Set(t, d.Host, "TXT")
	y.dns.Set(t, name, "CNAME", "proof.acme.test.")
	y.dns.Set(t, "proof.acme.test", "TXT", value)
	expect("through an alias", look(d).Owner, OK, "owner")

	y.dns.Set(t, d.Host, "CNAME", "a.acme.test.")
	y.dns.Set(t, "a.acme.test", "CNAME", edge+".")
	expect("a chain to us", look(d).Address, OK, "alias")
	y.dns.Set(t, "a.acme.test", "CNAME", "old.vendor.test.")
	expect("an alias to nothing", look(d).Address, Wrong, "dangling")
	y.dns.Set(t, "old.vendor.test", "A", "203.0.113.9")
	expect("another vendor", look(d).Address, Wrong, "elsewhere")
	y.dns.Set(t, "old.vendor.test", "A", "104.16.1.1")
	expect("a known proxy", look(d).Address, Warning, "proxied")
	y.dns.Set(t, "a.acme.test", "CNAME", d.Host+".")
	expect("a circle", look(d).Address, Wrong, "circle")

	y.dns.Set(t, apex.Host, "A", "198.51.100.7")
	expect("our address", look(apex).Address, OK, "addresses")
	y.dns.Set(t, apex.Host, "AAAA", "2001:db8::7")
	expect("both of the edge's", look(apex).Address, OK, "addresses")
	y.dns.Set(t, apex.Host, "AAAA", "2001:db8::dead")
	if f := look(apex).Address; f.State != Wrong || f.Text != "domain.found.mixed|2001:db8::dead" {
		t.Errorf("an old AAAA: %+v", f)
	}

	expect("no CAA", look(d).Authority, OK, "caa_none")
	y.dns.Set(t, "acme.test", "CAA", `0 issue "other.test"`)
	if r := look(d); r.Authority.State != Wrong || r.AuthorityAt != "acme.test" || y.s.AuthorityRecord(&Domain{Host: d.Host, Report: r}).Value != `0 issue "ca.test"` {
		t.Errorf("another authority: %+v", r.Authority)
	}
	y.dns.Set(t, "acme.test", "CAA", `0 issue "other.test"`, `0 issue "ca.test; validationmethods=http-01"`)
	expect("both", look(d).Authority, OK, "caa_permits")
	y.dns.Set(t, "acme.test", "CAA", `0 issue "second.test"`)
	expect("the one that stands in", look(d).Authority, OK, "caa_permits")
	y.dns.Set(t, "acme.test", "CAA", `0 issue ";"`)
	expect("nobody", look(d).Authority, Wrong, "caa_refuses")
	y.dns.Set(t, "acme.test", "CAA", `0 iodef "mailto:x@acme.test"`)
	expect("a report address alone", look(d).Authority, OK, "caa_none")

	y.dns.Fail(name, mdns.RcodeServerFailure)
	r := look(d)
	expect("SERVFAIL", r.Owner, Unknown, "no_answer")
	if r.Vanished || r.Proved {
		t.Errorf("no answer counts as one: %+v", r)
	}
}

func TestDeadAndSlowDNSLeaveThingsAsTheyAre(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	d := y.live(t, y.board, "jobs.acme.test")
	y.dns.Silence(true)
	d = y.check(t, y.board, d.Host)
	if d.State != Live || d.MissingSince != nil || d.Report.Owner.State != Unknown || y.host(t, d.Host) != "acme" {
		t.Errorf("with DNS dead: %s %+v", d.State, d.Report)
	}
}

func TestProxiedHostsAreProbed(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	reached := false
	y.s.Probe = func(context.Context, string) error {
		if reached {
			return nil
		}
		return fault.New(fault.Unavailable, "somebody else answers")
	}
	d := y.add(t, y.board, "jobs.acme.test")
	y.dns.Set(t, OwnerRecord(d).Name, "TXT", OwnerRecord(d).Value)
	y.dns.Set(t, d.Host, "A", "104.16.1.1")
	if d = y.check(t, y.board, d.Host); d.State != Proven || d.Report.Address.State != Warning {
		t.Fatalf("behind a proxy: %s %+v", d.State, d.Report)
	}
	if d = y.check(t, y.board, d.Host); d.State != Proven || d.Report.Address.State != Wrong {
		t.Fatalf("behind a proxy that leads elsewhere: %s %+v", d.State, d.Report)
	}
	reached = true
	if d = y.check(t, y.board, d.Host); d.State != Live || d.Report.Address.Text != "domain.found.proxy_cloudflare" {
		t.Errorf("through the proxy: %s %+v", d.State, d.Report)
	}
}

func TestAHostIsOneBoards(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	d := y.live(t, y.board, "jobs.acme.test")
	rival := y.Ctx(t, y.rival)
	if _, err := y.s.Add(rival, d.Host, true); !fault.Is(err, fault.Conflict) {
		t.Errorf("a rival adds it: %v", err)
	}
	t.Run("a rival reaches none of it", func(t *testing.T) {
		for what, err := range map[string]error{"remove": y.s.Remove(rival, d.Host), "primary": y.s.Primary(rival, d.Host), "check": second(y.s.Check(rival, d.Host))} {
			if !fault.Is(err, fault.NotFound) {
				t.Errorf("%s: %v", what, err)
			}
		}
		_ = y.DB.Read(rival, func(ctx context.Context, tx bun.IDB) error {
			if _, err := y.s.ByHost(ctx, tx, d.Host); !fault.Is(err, fault.NotFound) {
				t.Errorf("ByHost: %v", err)
			}
			if list, err := y.s.List(ctx, tx); err != nil || len(list) != 0 {
				t.Errorf("List: %v, %v", list, err)
			}
			return nil
		})
		if n := y.one(t, `SELECT count(*) FROM domains WHERE host = ? AND state = 'live'`, d.Host); n != 1 || y.host(t, d.Host) != "acme" {
			t.Error("the owner's row changed")
		}
	})
	t.Run("the board's own login cannot make itself an owner", func(t *testing.T) {
		for _, q := range []string{`UPDATE domains SET state = 'live', proven_at = now() WHERE tenant_id = ?`, `DELETE FROM domains WHERE tenant_id = ?`} {
			err := y.DB.Write(y.Ctx(t, y.board), func(ctx context.Context, tx bun.IDB) error {
				_, err := tx.NewRaw(q, y.board.ID).Exec(ctx)
				return err
			})
			if err == nil {
				t.Errorf("%s was let through", q)
			}
		}
	})
	t.Run("a removed host is held for its board", func(t *testing.T) {
		if err := y.s.Remove(y.Ctx(t, y.board), d.Host); err != nil {
			t.Fatal(err)
		}
		y.clock.Advance(29 * 24 * time.Hour)
		if _, err := y.s.Add(rival, d.Host, true); !fault.Is(err, fault.Conflict) {
			t.Errorf("a rival adds it on the 29th day: %v", err)
		}
		back := y.add(t, y.board, d.Host)
		if back.Token != d.Token {
			t.Error("the board's own token is another now")
		}
		if back = y.check(t, y.board, d.Host); back.State != Live {
			t.Errorf("its own board gets it back: %s", back.State)
		}
		if err := y.s.Remove(y.Ctx(t, y.board), d.Host); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a dangling record is no way in", func(t *testing.T) {
		// The company forgot its CNAME and its ownership record; the hold is over.
		y.clock.Advance(31 * 24 * time.Hour)
		stolen := y.add(t, y.rival, d.Host)
		if stolen.Token == d.Token {
			t.Fatal("the token is the former board's")
		}
		for range 3 {
			stolen = y.check(t, y.rival, d.Host)
		}
		if stolen.State != Checking || stolen.Report.Address.State != OK || stolen.Report.Owner.State != Wrong || y.host(t, d.Host) != "" {
			t.Errorf("a rival has %s: %+v", stolen.State, stolen.Report)
		}
	})
}

func second[T any](_ T, err error) error { return err }

// TestTwoBoardsProveAtOnce: both have published their records; one wins, for good.
func TestTwoBoardsProveAtOnce(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	for round := range 5 {
		host := string(rune('a'+round)) + ".acme.test"
		a, b := y.add(t, y.board, host), y.add(t, y.rival, host)
		y.dns.Set(t, OwnerRecord(a).Name, "TXT", OwnerRecord(a).Value, OwnerRecord(b).Value)
		y.dns.Set(t, host, "CNAME", edge+".")
		var wg sync.WaitGroup
		start := make(chan struct{})
		for range 4 {
			for _, board := range []*tenant.Tenant{y.board, y.rival} {
				wg.Go(func() {
					<-start
					if _, err := y.s.Check(y.Ctx(t, board), host); err != nil {
						t.Errorf("%s: %v", board.Slug, err)
					}
				})
			}
		}
		close(start)
		wg.Wait()
		if n := y.one(t, `SELECT count(*) FROM hosts WHERE host = ?`, host); n != 1 {
			t.Errorf("%s has %d owners", host, n)
		}
		if n := y.one(t, `SELECT count(*) FROM domains WHERE host = ? AND proven_at IS NOT NULL`, host); n != 1 {
			t.Errorf("%s is proven %d times", host, n)
		}
	}
}

func TestPollingBacksOffAndGivesUp(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	d := y.add(t, y.board, "jobs.acme.test")
	mux := tasks.NewMux()
	y.s.Register(mux)
	due := func() *tasks.Task {
		t.Helper()
		task := new(tasks.Task)
		err := y.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
			return tx.NewRaw(`UPDATE tasks SET handover = handover + 1 WHERE kind = 'domain.check' RETURNING tenant_id, id, kind, payload, handover, run_at`).Scan(ctx, task)
		})
		if err != nil {
			t.Fatalf("no poll waits: %v", err)
		}
		return task
	}
	want := []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 32 * time.Minute, time.Hour, time.Hour}
	for i, w := range want {
		if err := mux.Run(y.Ctx(t, y.board), due()); err != nil {
			t.Fatal(err)
		}
		task := due()
		if got := task.RunAt.Sub(y.clock.Now()).Round(time.Second); got != w {
			t.Errorf("poll %d waits %s, want %s", i+1, got, w)
		}
		_ = y.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
			_, err := tx.NewRaw(`UPDATE tasks SET handover = 0 WHERE kind = 'domain.check'`).Exec(ctx)
			return err
		})
		y.clock.Advance(w)
	}
	y.clock.Advance(giveUpAfter)
	if err := mux.Run(y.Ctx(t, y.board), due()); err != nil {
		t.Fatal(err)
	}
	if n := y.one(t, `SELECT count(*) FROM domains WHERE state = 'stuck'`); n != 1 {
		t.Error("not given up")
	}
	if n := y.one(t, `SELECT count(*) FROM mails WHERE kind = 'domain-stuck'`); n != 1 {
		t.Errorf("%d mails say so", n)
	}
	if n := y.one(t, `SELECT count(*) FROM tasks WHERE kind = 'domain.check'`); n != 0 {
		t.Errorf("%d polls wait still", n)
	}
	y.publish(t, d)
	if d = y.check(t, y.board, d.Host); d.State != Live {
		t.Errorf("asked again: %s", d.State)
	}
	if got := d.NextCheckAt.Sub(y.clock.Now()); got != watchEvery {
		t.Errorf("a live host is looked at in %s", got)
	}
	t.Run("a lost poll is found", func(t *testing.T) {
		y.clock.Advance(watchEvery + time.Hour)
		err := y.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
			_, err := tx.NewRaw(`DELETE FROM tasks`).Exec(ctx)
			return err
		})
		if err == nil {
			err = y.s.Schedule(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		task := new(tasks.Task)
		err = y.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
			return tx.NewRaw(`UPDATE tasks SET handover = 1, lease_until = now() WHERE kind = 'domain.sweep' RETURNING tenant_id, id, kind, handover, extract(epoch FROM every)::float8 AS every_seconds`).Scan(ctx, task)
		})
		if err == nil {
			err = mux.Run(t.Context(), task)
		}
		if err != nil {
			t.Fatal(err)
		}
		due()
	})
}

func TestAVanishedRecordIsFlaggedAndNotDropped(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	d := y.live(t, y.board, "jobs.acme.test")
	y.dns.Set(t, OwnerRecord(d).Name, "TXT")
	d = y.check(t, y.board, d.Host)
	if d.State != Live || d.MissingSince == nil || d.FlaggedAt != nil {
		t.Errorf("the first day: %+v", d)
	}
	if err := y.s.MayOrder(t.Context(), d.Host); err != nil {
		t.Errorf("an order on the first day: %v", err)
	}
	y.clock.Advance(flagAfter + time.Hour)
	d = y.check(t, y.board, d.Host)
	if d.State != Live || d.FlaggedAt == nil || y.host(t, d.Host) != "acme" || !d.Trouble() {
		t.Errorf("after a week: %+v", d)
	}
	y.check(t, y.board, d.Host)
	if n := y.one(t, `SELECT count(*) FROM mails WHERE kind = 'domain-flagged'`); n != 1 {
		t.Errorf("%d mails say so", n)
	}
	if err := y.s.MayOrder(t.Context(), d.Host); !fault.Is(err, fault.Forbidden) {
		t.Errorf("an order after a week: %v", err)
	}
	y.dns.Set(t, OwnerRecord(d).Name, "TXT", OwnerRecord(d).Value)
	if err := y.s.MayOrder(t.Context(), d.Host); err != nil {
		t.Errorf("an order with the record back: %v", err)
	}
	if d = y.check(t, y.board, d.Host); d.MissingSince != nil || d.FlaggedAt != nil {
		t.Errorf("with the record back: %+v", d)
	}
	if err := y.s.MayOrder(t.Context(), "nobody.test"); !fault.Is(err, fault.NotFound) {
		t.Errorf("an order for nobody's host: %v", err)
	}
}

func TestCertificatesAreAskedForOnce(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	var asked, removed []string
	state := "ordering"
	y.s.Verified = func(_ context.Context, _ bun.IDB, host string) error { asked = append(asked, host); return nil }
	y.s.Removed = func(_ context.Context, _ bun.IDB, host string) error { removed = append(removed, host); return nil }
	y.s.Certificates = func(_ context.Context, hosts ...string) map[string]CertState {
		return map[string]CertState{hosts[0]: {State: state}}
	}
	d := y.add(t, y.board, "jobs.acme.test")
	y.dns.Set(t, OwnerRecord(d).Name, "TXT", OwnerRecord(d).Value)
	if d = y.check(t, y.board, d.Host); d.State != Proven || len(asked) != 0 {
		t.Errorf("before it leads here: %s, asked %v", d.State, asked)
	}
	y.publish(t, d)
	for range 3 {
		d = y.check(t, y.board, d.Host)
	}
	if d.State != Proven || len(asked) != 1 {
		t.Errorf("while it is ordered: %s, asked %v", d.State, asked)
	}
	if b, _ := y.Boards.Resolve(t.Context(), d.Host); b == nil || b.CanonicalHost == d.Host {
		t.Error("the main address before it has a certificate")
	}
	state = "issued"
	if d = y.check(t, y.board, d.Host); d.State != Live || len(asked) != 1 {
		t.Errorf("with its certificate: %s, asked %v", d.State, asked)
	}
	if err := y.s.Remove(y.Ctx(t, y.board), d.Host); err != nil || len(removed) != 1 {
		t.Errorf("removed %v, %v", removed, err)
	}
}

// TestEveryReplicaForgetsARemovedHost: two processes serve it; it is gone from
// both in under two seconds, and also when the message is lost.
func TestEveryReplicaForgetsARemovedHost(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	d := y.live(t, y.board, "jobs.acme.test")
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	replica := func(listen bool) *tenant.Resolver {
		log := slog.New(slog.DiscardHandler)
		r := tenant.NewResolver(y.Platform, log, time.Now)
		n := tenant.NewNotifier(y.PG.App, log)
		r.Attach(n)
		if listen {
			up := make(chan struct{})
			n.OnLink(func(ok bool) {
				if ok {
					close(up)
				}
			})
			wg.Go(func() { n.Run(ctx) })
			<-up
		} else {
			wg.Go(func() { r.Run(ctx) }) // the poll alone
		}
		for _, host := range []string{d.Host, y.board.PlatformHost} {
			if _, err := r.Resolve(ctx, host); err != nil {
				t.Fatal(err)
			}
		}
		return r
	}
	all := []*tenant.Resolver{replica(true), replica(true), replica(false)}
	wg.Go(func() { y.Notifier.Run(ctx) }) // this process sends
	begun := time.Now()
	if err := y.s.Remove(y.Ctx(t, y.board), d.Host); err != nil {
		t.Fatal(err)
	}
	for i, r := range all {
		testkit.Eventually(t, 2*time.Second-time.Since(begun), func() bool {
			// The board's other host is asked for first: its answer must not vouch for this one.
			_, _ = r.Resolve(ctx, y.board.PlatformHost)
			_, err := r.Resolve(ctx, d.Host)
			return fault.Is(err, fault.NotFound)
		})
		t.Logf("replica %d forgot after %s", i+1, time.Since(begun).Round(time.Millisecond))
	}
}
