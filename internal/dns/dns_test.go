package dns

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	mdns "github.com/miekg/dns"

	"shingle/internal/fault"
	"shingle/internal/testkit"
)

func newClient(t *testing.T, servers ...string) *Client {
	t.Helper()
	c := New(servers)
	c.timeout = 200 * time.Millisecond
	return c
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	d := testkit.NewDNS(t)
	c := newClient(t, d.Addr)
	ctx := t.Context()
	d.Set(t, "acme.test", "TXT", `"v=spf1 " "-all"`, "other")
	d.Set(t, "acme.test", "MX", "20 b.mail.test.", "10 a.mail.test.")
	d.Set(t, "acme.test", "NS", "ns1.acme.test.")
	d.Set(t, "acme.test", "CAA", `0 issue "ca.test"`)
	d.Set(t, "jobs.acme.test", "CNAME", "Edge.Boards.test.")
	d.Set(t, "edge.boards.test", "A", "198.51.100.7")
	d.Set(t, "edge.boards.test", "AAAA", "2001:db8::7")

	d.Set(t, "esc.test", "TXT", `"a\;b \"c\" \195\188"`)
	if esc, err := c.TXT(ctx, "esc.test"); err != nil || esc[0] != `a;b "c" ü` {
		t.Errorf("an escaped text: %q, %v", esc, err)
	}
	txt, err := c.TXT(ctx, "ACME.test.")
	if diff := cmp.Diff([]string{"v=spf1 -all", "other"}, txt); diff != "" || err != nil {
		t.Errorf("TXT %v: %s", err, diff)
	}
	mx, err := c.MX(ctx, "acme.test")
	if diff := cmp.Diff([]Exchange{{10, "a.mail.test"}, {20, "b.mail.test"}}, mx); diff != "" || err != nil {
		t.Errorf("MX %v: %s", err, diff)
	}
	if ns, err := c.NS(ctx, "acme.test"); err != nil || len(ns) != 1 || ns[0] != "ns1.acme.test" {
		t.Errorf("NS %v, %v", ns, err)
	}
	at, permits, err := c.CAA(ctx, "jobs.acme.test")
	if err != nil || at != "acme.test" || len(permits) != 1 || permits[0].String() != `0 issue "ca.test"` {
		t.Errorf("CAA %q %v, %v", at, permits, err)
	}
	trace, err := c.Addresses(ctx, "jobs.acme.test")
	if err != nil || fmt.Sprint(trace.Aliases) != "[edge.boards.test]" || len(trace.Addresses) != 2 {
		t.Errorf("Addresses %+v, %v", trace, err)
	}
	if _, err := c.TXT(ctx, "nobody.test"); !fault.Is(err, fault.NotFound) {
		t.Errorf("a name that does not exist: %v", err)
	}
	if _, err := c.TXT(ctx, "edge.boards.test"); !fault.Is(err, fault.NotFound) {
		t.Errorf("a name without the record: %v", err)
	}
	if _, err := c.TXT(ctx, ""); !fault.Is(err, fault.Invalid) {
		t.Errorf("no name: %v", err)
	}
}

func TestChains(t *testing.T) {
	t.Parallel()
	d := testkit.NewDNS(t)
	c := newClient(t, d.Addr).Fresh()
	for i := range 12 {
		d.Set(t, fmt.Sprintf("c%d.test", i), "CNAME", fmt.Sprintf("c%d.test.", i+1))
	}
	d.Set(t, "c12.test", "A", "198.51.100.7")
	if tr, err := c.Addresses(t.Context(), "c5.test"); err != nil || len(tr.Aliases) != 7 {
		t.Errorf("seven aliases: %+v, %v", tr, err)
	}
	if _, err := c.Addresses(t.Context(), "c0.test"); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "more than") {
		t.Errorf("twelve aliases: %v", err)
	}
	d.Set(t, "a.test", "CNAME", "b.test.")
	d.Set(t, "b.test", "CNAME", "a.test.")
	if tr, err := c.Addresses(t.Context(), "a.test"); !fault.Is(err, fault.Invalid) || len(tr.Aliases) != 2 {
		t.Errorf("a circle: %+v, %v", tr, err)
	}
	d.Set(t, "dangling.test", "CNAME", "gone.test.")
	if tr, err := c.Addresses(t.Context(), "dangling.test"); !fault.Is(err, fault.NotFound) || fmt.Sprint(tr.Aliases) != "[gone.test]" {
		t.Errorf("a dangling alias: %+v, %v", tr, err)
	}
}

func TestServersThatFail(t *testing.T) {
	t.Parallel()
	dead, good := testkit.NewDNS(t), testkit.NewDNS(t)
	good.Set(t, "acme.test", "TXT", "yes")
	dead.Silence(true)
	if txt, err := newClient(t, dead.Addr, good.Addr).TXT(t.Context(), "acme.test"); err != nil || txt[0] != "yes" {
		t.Errorf("the second server: %v, %v", txt, err)
	}
	if _, err := newClient(t, dead.Addr).TXT(t.Context(), "acme.test"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a dead server: %v", err)
	}
	good.Fail("acme.test", mdns.RcodeServerFailure)
	if _, err := newClient(t, good.Addr).TXT(t.Context(), "acme.test"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("SERVFAIL: %v", err)
	}
	slow := testkit.NewDNS(t)
	release := slow.Hold()
	defer release()
	begun := time.Now()
	if _, err := newClient(t, slow.Addr).TXT(t.Context(), "acme.test"); !fault.Is(err, fault.Unavailable) || time.Since(begun) > 3*time.Second {
		t.Errorf("a slow server: %v after %s", err, time.Since(begun))
	}
}

func TestCacheKeepsForTheTTL(t *testing.T) {
	t.Parallel()
	d := testkit.NewDNS(t)
	clock := testkit.NewClock(time.Time{})
	c := newClient(t, d.Addr)
	c.cache = newCache(clock.Now)
	d.Set(t, "acme.test", "TXT", "one")
	for range 3 {
		if _, err := c.TXT(t.Context(), "acme.test"); err != nil {
			t.Fatal(err)
		}
	}
	if n := d.Asked("acme.test", "TXT"); n != 1 {
		t.Errorf("asked %d times, want 1", n)
	}
	d.Set(t, "acme.test", "TXT", "two")
	if txt, _ := c.Fresh().TXT(t.Context(), "acme.test"); txt[0] != "two" {
		t.Errorf("a check read %v from a cache", txt)
	}
	clock.Advance(61 * time.Second)
	if txt, _ := c.TXT(t.Context(), "acme.test"); txt[0] != "two" {
		t.Errorf("got %v after the TTL", txt)
	}
	for i := range maxKept + 500 {
		c.cache.put(fmt.Sprint(i), 1, nil, nil, time.Minute)
	}
	if len(c.cache.m) > maxKept {
		t.Errorf("%d answers kept", len(c.cache.m))
	}
}

// TestTheZonesOwnServersAreAsked: a stale answer of a resolver does not fool a check.
func TestTheZonesOwnServersAreAsked(t *testing.T) {
	t.Parallel()
	resolver, own := testkit.NewDNS(t), testkit.NewDNS(t)
	resolver.Set(t, "_board-verify.jobs.acme.test", "TXT", "stale")
	resolver.Set(t, "acme.test", "NS", "ns1.acme.test.")
	resolver.Set(t, "ns1.acme.test", "A", "127.0.0.1")
	own.Set(t, "_board-verify.jobs.acme.test", "TXT", "fresh")
	c := newClient(t, resolver.Addr).Fresh()
	_, c.port, _ = strings.Cut(own.Addr, ":")
	if txt, err := c.TXT(t.Context(), "_board-verify.jobs.acme.test"); err != nil || txt[0] != "stale" {
		t.Errorf("a zone whose server is on this machine was asked: %v, %v", txt, err)
	}
	c.private = true
	if txt, err := c.TXT(t.Context(), "_board-verify.jobs.acme.test"); err != nil || txt[0] != "fresh" {
		t.Errorf("got %v, %v", txt, err)
	}
	own.Silence(true)
	if txt, err := c.TXT(t.Context(), "_board-verify.jobs.acme.test"); err != nil || txt[0] != "stale" {
		t.Errorf("with the zone's server away: %v, %v", txt, err)
	}
}

func TestPublic(t *testing.T) {
	t.Parallel()
	for a, want := range map[string]bool{"8.8.8.8": true, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "0.0.0.0": false, "0.1.2.3": false, "198.51.100.7": false,
		"192.0.0.1": false, "198.18.0.1": false, "224.0.0.1": false, "240.0.0.1": false, "255.255.255.255": false, "::": false, "::7f00:1": false, "fe80::1": false, "fec0::1": false,
		"ff02::1": false, "64:ff9b::7f00:1": false, "64:ff9b:1::a00:1": false, "2002:7f00:1::": false, "2001::1": false, "2001:db8::1": false, "::ffff:169.254.169.254": false, "127.0.0.1": false, "169.254.169.254": false,
		"100.64.0.1": false, "::1": false, "fd00::1": false, "2606:4700::1": true, "::ffff:10.0.0.1": false} {
		if got := Public(netip.MustParseAddr(a)); got != want {
			t.Errorf("Public(%s) = %v", a, got)
		}
	}
}
