package domains

import (
	"context"
	"slices"
	"testing"

	mdns "github.com/miekg/dns"
	"github.com/uptrace/bun"

	"shingle/internal/dns"
	"shingle/internal/testkit"
)

// TestResolversHaveToAgree has two resolvers, of which one keeps the old
// records for a while.
func TestResolversHaveToAgree(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	late := testkit.NewDNS(t)
	client := dns.New([]string{y.dns.Addr, late.Addr})
	y.s.DNS = client.Fresh()
	for _, r := range client.Each() {
		y.s.Resolvers = append(y.s.Resolvers, r)
	}
	if len(y.s.Resolvers) != 2 || dns.New([]string{y.dns.Addr}).Each() != nil || dns.New(nil).Each() != nil {
		t.Fatalf("%d resolvers", len(y.s.Resolvers))
	}
	ordered := 0
	y.s.Verified = func(context.Context, bun.IDB, string) error { ordered++; return nil }
	d := y.add(t, y.board, "jobs.acme.test")
	late.Set(t, d.Host, "A", "203.0.113.9") // the vendor before
	y.publish(t, d)
	isPartly := func(what string, f Finding, seen ...string) {
		t.Helper()
		if f.State != Warning || f.Text != "domain.found.partly" || !slices.Equal(f.Found, seen) {
			t.Errorf("%s: %+v, want the old record %q", what, f, seen)
		}
	}
	if d = y.check(t, y.board, d.Host); d.State != Checking || y.host(t, d.Host) != "" {
		t.Errorf("proven while a resolver has no record: %s", d.State)
	}
	isPartly("the record", d.Report.Owner)
	isPartly("the address", d.Report.Address, "203.0.113.9")
	owner := OwnerRecord(d)
	late.Set(t, owner.Name, "TXT", "board-verify=old")
	isPartly("another record", y.check(t, y.board, d.Host).Report.Owner, "board-verify=old")
	late.Set(t, owner.Name, "TXT", owner.Value)
	if d = y.check(t, y.board, d.Host); d.State != Proven || ordered != 0 {
		t.Errorf("all have the record: %s, %d certificates asked for", d.State, ordered)
	}
	// An old address beside ours is no agreement; one resolver without an answer is no voice.
	late.Set(t, d.Host, "A", "203.0.113.9", "198.51.100.7")
	isPartly("an old address beside ours", y.check(t, y.board, d.Host).Report.Address, "203.0.113.9", "198.51.100.7")
	late.Set(t, d.Host, "A")
	late.Fail(d.Host, mdns.RcodeServerFailure)
	if d = y.check(t, y.board, d.Host); d.State != Live || ordered != 1 {
		t.Errorf("with the other one silent: %s %+v", d.State, d.Report)
	}
	late.Fail(d.Host, mdns.RcodeSuccess)
	late.Set(t, d.Host, "CNAME", edge+".")
	late.Set(t, edge, "A", "198.51.100.7")
	if d = y.check(t, y.board, d.Host); d.Report.Address.State != OK || d.Report.Owner.State != OK {
		t.Errorf("when all agree: %+v", d.Report)
	}
	// A record that one of them still has is not gone.
	y.dns.Set(t, owner.Name, "TXT")
	d = y.check(t, y.board, d.Host)
	isPartly("gone for some", d.Report.Owner, owner.Value)
	if d.MissingSince != nil {
		t.Error("the record counts as gone while a resolver has it")
	}
	late.Set(t, owner.Name, "TXT")
	if d = y.check(t, y.board, d.Host); d.MissingSince == nil || d.Report.Owner.State != Missing {
		t.Errorf("gone for all: %+v", d.Report.Owner)
	}
}
