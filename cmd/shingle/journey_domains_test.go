package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"shingle/internal/testkit"
)

// TestJourneyABoardGetsItsOwnHost: the wizard from the first page to live, with
// a mistake on the way; the terminal sees the same.
func TestJourneyABoardGetsItsOwnHost(t *testing.T) {
	w := world(t)
	ctx := w.browser(t)
	atConsole(t, ctx, w, "tidal", "owner@tidal.example")
	visit(t, ctx, w.board("tidal")+"/admin/domains", 200)
	w.page(t, ctx, "domains-empty")
	fill(t, ctx, "host", "co.uk")
	press(t, ctx, `form[action="/admin/domains"] .btn-primary`, 422)
	says(t, ctx, "Nobody owns co.uk alone")
	fill(t, ctx, "host", "https://Jobs.Tidewerk.test/")
	do(t, ctx, chromedp.Click(`[name=primary]`)) // stays at the platform address: other journeys look there
	press(t, ctx, `form[action="/admin/domains"] .btn-primary`, 200)
	arrives(t, ctx, w.board("tidal")+"/admin/domains/jobs.tidewerk.test")
	says(t, ctx, "Waiting for DNS", "_board-verify.jobs.tidewerk.test", "edge.hosting.test.")
	value, err := chromedp.Run(ctx, chromedp.Evaluate[string](`[...document.querySelectorAll(".dns-record code")].map(c => c.textContent).find(t => t.startsWith("board-verify="))`))
	if err != nil || len(value) < 40 {
		t.Fatalf("the value to paste is %q, %v", value, err)
	}
	testkit.Eventually(t, 20*time.Second, func() bool { return strings.Contains(body(t, ctx), "There is no TXT record") })
	w.page(t, ctx, "domain-waiting")

	w.dns.Set(t, "_board-verify.jobs.tidewerk.test.tidewerk.test", "TXT", value)
	w.dns.Set(t, "jobs.tidewerk.test", "CNAME", "boards.somebody-else.test.")
	w.dns.Set(t, "boards.somebody-else.test", "A", "203.0.113.80")
	press(t, ctx, `form[action$="/check"] button`, 200)
	says(t, ctx, "your provider added the domain a second time", "leads somewhere else", "boards.somebody-else.test")
	w.page(t, ctx, "domain-wrong")

	w.dns.Set(t, "_board-verify.jobs.tidewerk.test", "TXT", value)
	w.dns.Set(t, "jobs.tidewerk.test", "CNAME", "edge.hosting.test.")
	w.dns.Set(t, "edge.hosting.test", "A", "198.51.100.7")
	press(t, ctx, `form[action$="/check"] button`, 200)
	says(t, ctx, "Live", "The record is there.", "The host leads to edge.hosting.test.")
	w.page(t, ctx, "domain-live")
	if m := w.mail(t, w.demo(t, "tidal").ContactEmail, "jobs.tidewerk.test is live"); m.Subject == "" {
		t.Error("no mail says that it is live")
	}

	run := func(args ...string) string {
		t.Helper()
		var out bytes.Buffer
		cmd := root()
		cmd.SetArgs(args)
		cmd.SetOut(&out)
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			t.Errorf("shingle %s: %v", strings.Join(args, " "), err)
		}
		return out.String()
	}
	if out := run("domain", "list", "--board", "tidal"); !strings.Contains(out, "jobs.tidewerk.test  live") || !strings.Contains(out, "tidal.localhost") {
		t.Errorf("the list reads %q", out)
	}
	if out := run("domain", "check", "--board", "tidal", "--host", "Jobs.Tidewerk.test"); !strings.Contains(out, "jobs.tidewerk.test: Live") {
		t.Errorf("the check reads %q", out)
	}
	if out := run("domain", "add", "--board", "tidal", "--host", "stellen.münster.test"); !strings.Contains(out, "stellen.münster.test: Waiting for DNS") || !strings.Contains(out, "_board-verify.stellen.xn--mnster-3ya.test  TXT  board-verify=") {
		t.Errorf("adding reads %q", out)
	}
	run("domain", "remove", "--board", "tidal", "--host", "stellen.münster.test")
	visit(t, ctx, w.board("tidal")+"/admin/domains", 200)
	says(t, ctx, "jobs.tidewerk.test", "Leads to the main address")
	w.page(t, ctx, "domains")

	visit(t, ctx, w.board("tidal")+"/admin/redirects", 200)
	fill(t, ctx, "text", "/old-jobs,/jobs\n/a,/b\n/b,/a\n/blog,https://blog.tidewerk.test/")
	press(t, ctx, `form[action="/admin/redirects/check"] .btn-primary`, 200)
	says(t, ctx, "leads in a circle", "Leads to another site")
	w.page(t, ctx, "redirect-trial")
	press(t, ctx, `form[action="/admin/redirects/import"] .btn-primary`, 200)
	says(t, ctx, "3 redirects are added")
	w.page(t, ctx, "redirects")
	visit(t, ctx, w.board("tidal")+"/admin/access", 200)
	w.page(t, ctx, "access")

	visit(t, ctx, w.board("tidal")+"/admin/domains/jobs.tidewerk.test", 200)
	agrees(t, ctx, "")
	press(t, ctx, `form[action$="/remove"] button`, 200)
	arrives(t, ctx, w.board("tidal")+"/admin/domains")
	says(t, ctx, "stays reserved for you for 30 days")
}
