package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"shingle/internal/pg"
	"shingle/internal/testkit"
)

// TestDemo walks the demo as a visitor does, breaks it, and sees it mended.
func TestDemo(t *testing.T) {
	t.Parallel()
	inFull(t)
	dir, err := os.MkdirTemp("", "shingle-demo-") // Postgres' account must pass through
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // see above
		t.Fatal(err)
	}
	port := freePort()
	env := append(bareEnv(), "SHINGLE_DATA_DIR="+filepath.Join(dir, "data"), "SHINGLE_LISTEN=127.0.0.1:"+port, "SHINGLE_OPS_LISTEN=127.0.0.1:"+freePort())
	command := func(more []string, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
		cmd.Env = append(append([]string{}, env...), more...)
		return cmd
	}
	for setting, words := range map[string]string{"SHINGLE_SMTP_URL=smtp://mail.example": "SHINGLE_SMTP_URL is set: a demo brings its own servers", "SHINGLE_BLOB_URL=s3://bucket": "SHINGLE_BLOB_URL is set"} {
		if said := refusal(t, command([]string{setting}, "demo"), 2); !strings.Contains(said, words) {
			t.Errorf("with %s: %s", setting, said)
		}
	}
	if said := refusal(t, command([]string{"SHINGLE_DATA_DIR=" + dir + "/.."}, "demo"), 1); !strings.Contains(said, "is not a demo's") {
		t.Errorf("in somebody's folder: %s", said)
	}
	var said, errs bytes.Buffer
	running := exec.Command(os.Args[0], "demo") // outlives the test's context: it is told to end
	running.Env = env
	running.Stdout, running.Stderr = &said, &errs
	ended := background(t, running, &errs)
	at := func(host, path string) string { return "http://" + host + ".localhost:" + port + path }
	answers := func(host, path string, want int) {
		t.Helper()
		testkit.Eventually(t, atMost, func() error {
			select {
			case err := <-ended:
				ended <- err
				t.Fatalf("the demo ended: %v %s%s", err, said.String(), errs.String())
			default:
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+port+path, http.NoBody)
			if err != nil {
				return err
			}
			r.Host = host + ".localhost"
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				return err
			}
			_ = res.Body.Close()
			if res.StatusCode != want {
				return fmt.Errorf("%s%s says %s", host, path, res.Status)
			}
			return nil
		})
	}
	answers("platform", "/demo", http.StatusOK)
	ctx := testkit.Chromium(t)
	banners := func(ctx context.Context) int {
		n, err := chromedp.Run(ctx, chromedp.Evaluate[int](`document.querySelectorAll(".shingle-demo").length`))
		if err != nil {
			t.Error(err)
		}
		return n
	}
	take := func(part, path string) {
		t.Helper()
		visit(t, ctx, at("platform", "/demo"), http.StatusOK)
		press(t, ctx, `form[action="/demo/as/`+part+`"] button`, http.StatusOK)
		if got := where(ctx); !strings.HasSuffix(got, path) || banners(ctx) != 1 {
			t.Errorf("%s ends at %s with %d banners, want %s:\n%.300s", part, got, banners(ctx), path, body(t, ctx))
		}
		testkit.Page(t, ctx, "demo-"+part, 1280, 390)
	}
	visit(t, ctx, at("platform", "/demo"), http.StatusOK)
	testkit.Page(t, ctx, "demo", 1280, 390)
	take("seeker", ".localhost:"+port+"/")
	take("employer", "/employers/desk")
	take("owner", "/admin")
	take("moderator", "/admin/review")
	take("staff", "/staff")
	for u, status := range map[string]int{at("mail", "/mail"): http.StatusOK, at("stripe", "/"): http.StatusOK, at("platform", "/"): http.StatusOK, at("orbit", "/no-such-page"): http.StatusNotFound} {
		visit(t, ctx, u, status)
		if n := banners(ctx); n != 1 {
			t.Errorf("%s has %d banners", u, n)
		}
	}

	// A visitor breaks what they can.
	db := demoDatabase(t, filepath.Join(dir, "data", "env"))
	if _, err := db.ExecContext(t.Context(), `UPDATE boards SET name = 'Broken', state = 'suspended' WHERE demo; DELETE FROM casbin_rules WHERE ptype = 'g';
		UPDATE operators SET email = 'gone-' || email; DELETE FROM applications`); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data", "files", "left"), []byte("behind"), 0o600); err != nil {
		t.Fatal(err)
	}
	take("owner", "/admin") // mended at once
	if said := out(t, command(nil, "demo", "reset")); !strings.Contains(said, "made anew") {
		t.Errorf("reset says %q", said)
	}
	var boards, applications, operators int
	if err := db.QueryRowContext(t.Context(), `SELECT (SELECT count(*) FROM boards WHERE demo AND state = 'active' AND name <> 'Broken'), (SELECT count(*) FROM applications), (SELECT count(*) FROM operators WHERE email LIKE 'gone-%')`).
		Scan(&boards, &applications, &operators); err != nil || boards != 3 || applications == 0 || operators != 0 {
		t.Errorf("after the reset: %d boards, %d applications, %d broken operators, %v", boards, applications, operators, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "data", "files", "left")); err == nil {
		t.Error("a file of before the reset is there")
	}
	answers("platform", "/demo", http.StatusOK)
	take("staff", "/staff")
}

// demoDatabase signs in as the platform, by what the program wrote down.
func demoDatabase(t *testing.T, env string) *sql.DB {
	t.Helper()
	text, err := exec.CommandContext(context.WithoutCancel(t.Context()), "sh", "-c", `. "$0"; printf %s "$SHINGLE_PLATFORM_DATABASE_URL"`, env).Output() // #nosec G204 -- our own file
	if err != nil {
		t.Fatal(err)
	}
	db, err := pg.Open(string(text), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}
