package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/internal/testkit"
	"shingle/tenant"
)

// unlogged are the commands that leave no line in the audit log, each with its
// reason.
var unlogged = map[string]string{
	"serve":            "a program that runs; what it does leaves lines of its own",
	"worker":           "a program that runs; what it does leaves lines of its own",
	"dev":              "a program that runs, on a developer's machine",
	"demo":             "a program that runs",
	"demo reset":       "asks the running demo to make everything anew, the log with it",
	"migrate up":       "changes the schema, the log's own table with it; bun_migrations says what and when",
	"migrate down":     "changes the schema; bun_migrations says what is left",
	"migrate status":   "reads",
	"board list":       "reads",
	"domain list":      "reads",
	"domain check":     "asks the DNS; what it finds is nobody's decision, and leaves its line in the board's log",
	"search rebuild":   "makes the index anew of the same rows; nothing that anybody decided changes",
	"stripe webhooks":  "makes endpoints at Stripe, which keeps its own log; it opens no database",
	"backup key":       "prints a key and keeps nothing",
	"doctor":           "reads",
	"doctor audit":     "reads",
	"doctor isolation": "tries, and leaves nothing",
	// TestRestoreDrill holds these two, with the installation that they need.
	"backup":  "",
	"restore": "",
}

// Every command that changes something leaves a line in the platform's log,
// with the login that it ran under, and in the board's where it is about one.
func TestCommandsLeaveLines(t *testing.T) {
	w, ns := testkit.NewWorld(t), testkit.NewDNS(t)
	dir := t.TempDir()
	for k, v := range map[string]string{"SHINGLE_DATABASE_URL": w.PG.App, "SHINGLE_PLATFORM_DATABASE_URL": w.PG.Platform, "SHINGLE_LISTEN_DATABASE_URL": w.PG.App, "SHINGLE_BOARD_DOMAIN": "boards.test",
		"SHINGLE_PLATFORM_HOST": "console.test", "SHINGLE_DNS_SERVERS": ns.Addr, "SHINGLE_EDGE_HOST": "edge.hosting.test", "SHINGLE_SECRET_KEY": strings.Repeat("0f", 32), "SHINGLE_DATA_DIR": dir} {
		t.Setenv(k, v)
	}
	lines := func(log string, act string) (n int, by string) {
		t.Helper()
		q := `SELECT count(*) AS n, coalesce(min(l.personal->>'actor'), '') AS by FROM audit_log AS l LEFT JOIN boards AS b ON b.id = l.tenant_id WHERE l.act = ? AND coalesce(b.slug, '') = ?`
		if err := w.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error { return tx.NewRaw(q, act, log).Scan(ctx, &n, &by) }); err != nil {
			t.Fatal(err)
		}
		return n, by
	}
	tried := map[string]bool{}
	run := func(act, board, command string, args ...string) {
		t.Helper()
		tried[command] = true
		before, _ := lines("", act)
		own, _ := lines(board, act)
		var out bytes.Buffer
		cmd := root()
		cmd.SetArgs(append(strings.Fields(command), args...))
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out.String())
		}
		if n, by := lines("", act); n != before+1 || by != login() {
			t.Errorf("%s leaves %d lines %s of %q in the platform's log, want one of %q", command, n-before, act, by, login())
		}
		if n, by := lines(board, act); board != "" && (n != own+1 || by != "") {
			t.Errorf("%s leaves %d lines %s in the board's log, of %q; want one that names nobody of the platform's", command, n-own, act, by)
		}
	}
	archive, person := filepath.Join(dir, "acme.tar.gz"), filepath.Join(dir, "ada.zip")
	run("board.created", "acme", "board create", "--slug", "acme", "--name", "Acme", "--owner", "boss@acme.example")
	if err := w.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`INSERT INTO people (tenant_id, id, email) SELECT id, gen_random_uuid(), 'ada@seeker.example' FROM boards`).Exec(ctx)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	run("member.joined", "acme", "board owner", "--slug", "acme", "--email", "second@acme.example")
	run("domain.added", "acme", "domain add", "--board", "acme", "--host", "jobs.acme.test")
	run("domain.removed", "acme", "domain remove", "--board", "acme", "--host", "jobs.acme.test")
	run("domain.primary", "acme", "domain primary", "--board", "acme", "--host", "acme.boards.test")
	run("board.exported", "acme", "board export", "--slug", "acme", "--out", archive)
	run("person.exported", "acme", "board export", "--slug", "acme", "--out", person, "--person", "ada@seeker.example")
	run("board.restored", "again", "board restore", "--in", archive, "--slug", "again")
	run("member.joined", "", "staff create", "--email", "chief@platform.example", "--role", authz.Superadmin)
	run("operator.factors_forgotten", "", "staff forget-factors", "--email", "chief@platform.example")
	run("board.created", "seed-1", "seed", "--boards", "1", "--listings", "1")

	// A person's address stands in the board's log, where erasure finds it, and nowhere else.
	var named int
	if err := w.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT count(*) FROM audit_log WHERE tenant_id = ? AND personal::text || detail::text LIKE '%ada@%'`, tenant.Nil).Scan(ctx, &named)
	}); err != nil || named != 0 {
		t.Errorf("%d lines of the platform's log name the person: %v", named, err)
	}

	seen := map[string]bool{}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		name := strings.TrimPrefix(strings.TrimPrefix(c.CommandPath(), "shingle"), " ")
		if c.RunE != nil || c.Run != nil {
			seen[name] = true
			if _, listed := unlogged[name]; listed == tried[name] {
				t.Errorf("`shingle %s` must leave a line, or stand on the list with its reason: tried %v, listed %v", name, tried[name], listed)
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root())
	for name := range unlogged {
		if !seen[name] {
			t.Errorf("the list names %q, which is no command", name)
		}
	}
}
