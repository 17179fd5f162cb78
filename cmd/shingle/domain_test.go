package main

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"shingle/internal/testkit"
	"shingle/tenant"
)

// TestDomainCommands takes an internationalised host from its first command to
// its last, as an operator without a browser does.
func TestDomainCommands(t *testing.T) {
	w, ns := testkit.NewWorld(t), testkit.NewDNS(t)
	for k, v := range map[string]string{"SHINGLE_DATABASE_URL": w.PG.App, "SHINGLE_PLATFORM_DATABASE_URL": w.PG.Platform, "SHINGLE_LISTEN_DATABASE_URL": w.PG.App, "SHINGLE_BOARD_DOMAIN": "boards.test",
		"SHINGLE_PLATFORM_HOST": "console.test", "SHINGLE_DNS_SERVERS": ns.Addr, "SHINGLE_EDGE_HOST": "edge.hosting.test", "SHINGLE_SECRET_KEY": strings.Repeat("0f", 32), "SHINGLE_DATA_DIR": t.TempDir()} {
		t.Setenv(k, v)
	}
	for _, slug := range []string{"acme", "rival"} {
		if err := w.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
			_, err := tenant.CreateBoard(ctx, tx, tenant.NewBoard{Slug: slug, Name: slug, Locale: "en", Currency: "EUR"}, "boards.test")
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	run := func(board, verb string, host ...string) (string, error) {
		t.Helper()
		args := []string{"domain", verb, "--board", board}
		if len(host) > 0 {
			args = append(args, "--host", host[0])
		}
		var out bytes.Buffer
		cmd := root()
		cmd.SetArgs(args)
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		err := cmd.ExecuteContext(t.Context())
		return out.String(), err
	}
	says := func(want string, out string, err error) {
		t.Helper()
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("got %v and %q, want %q", err, out, want)
		}
	}
	refuses := func(want string, out string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(out+err.Error(), want) {
			t.Errorf("got %v and %q, want a refusal with %q", err, out, want)
		}
	}
	lines := func(out string) string { return regexp.MustCompile(` +`).ReplaceAllString(out, " ") }
	const host, ascii = "stellen.münster.test", "stellen.xn--mnster-3ya.test"

	out, err := run("acme", "add", "Stellen.MÜNSTER.test")
	says(host+": Waiting for DNS", out, err)
	says(ascii, out, err)
	token := regexp.MustCompile(`board-verify=\S+`).FindString(out)
	if token == "" {
		t.Fatalf("no record to make in %q", out)
	}
	out, err = run("acme", "list")
	says(host+" checking", lines(out), err)
	says("acme.boards.test platform main address", lines(out), err)
	out, err = run("acme", "primary", host)
	refuses("live", out, err)
	out, err = run("acme", "check", host)
	refuses("There is no TXT record", out, err) // and ends with 1
	ns.Set(t, "_board-verify."+ascii, "TXT", token)
	ns.Set(t, ascii, "CNAME", "edge.hosting.test.")
	ns.Set(t, "edge.hosting.test", "A", "198.51.100.7")
	out, err = run("rival", "check", host)
	refuses("not found", out, err)
	out, err = run("acme", "check", ascii) // as it is stored will do too
	says(host+": Live", out, err)
	// It became the main address by itself, having been the first.
	out, err = run("acme", "list")
	says(host+" live main address", lines(out), err)
	out, err = run("acme", "primary", "Acme.Boards.test")
	says("the main address is acme.boards.test", out, err)
	out, err = run("acme", "primary", "STELLEN.münster.test")
	says("the main address is "+host, out, err)
	if b, err := w.Boards.BySlug(t.Context(), "acme"); err != nil || b.CanonicalHost != ascii {
		t.Errorf("stored as %q, %v", b.CanonicalHost, err)
	}
	out, err = run("rival", "remove", host)
	refuses("not found", out, err)
	out, err = run("acme", "remove", host)
	says(host+" is removed", out, err)
	if out, err = run("acme", "list"); err != nil || strings.Contains(out, host) || !strings.Contains(lines(out), "acme.boards.test platform main address") {
		t.Errorf("after the removal: %v, %q", err, out)
	}
	out, err = run("nobody", "list")
	refuses("there is no board", out, err)
	out, err = run("acme", "add", "co.uk")
	refuses("Nobody owns co.uk alone", out, err)
}
