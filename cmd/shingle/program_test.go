package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"shingle/internal/testkit"
)

// code is how a command ended.
func code(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

// refusal runs a command that must fail with that code and returns its words.
func refusal(t *testing.T, cmd *exec.Cmd, want int) string {
	t.Helper()
	text, err := cmd.CombinedOutput()
	if got := code(err); got != want {
		t.Errorf("%q ends with %d, want %d:\n%s", cmd.Args, got, want, text)
	}
	return string(text)
}

func TestSettingsAreRefusedInOneList(t *testing.T) {
	t.Parallel()
	run := func(mode string, env ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), os.Args[0], mode)
		cmd.Env = append(bareEnv(), env...)
		return refusal(t, cmd, 2)
	}
	said := run("serve")
	for _, name := range []string{"SHINGLE_DATABASE_URL", "SHINGLE_PLATFORM_DATABASE_URL", "SHINGLE_REDIS_URL", "SHINGLE_SECRET_KEY", "SHINGLE_STRIPE_KEY",
		"SHINGLE_STRIPE_WEBHOOK_SECRET", "SHINGLE_SMTP_URL"} {
		if !strings.Contains(said, "  - "+name+" is missing: ") {
			t.Errorf("the list lacks %s:\n%s", name, said)
		}
	}
	said = run("dev", "SHINGLE_LISTEN=here", "SHINGLE_WORKERS=many", "SHINGLE_SECRET_KEY=short", "SHINGLE_DATA_DIR="+t.TempDir())
	for _, line := range []string{"SHINGLE_LISTEN is not an address", "SHINGLE_WORKERS is not a whole number", "SHINGLE_SECRET_KEY is too short"} {
		if strings.Count(said, line) != 1 {
			t.Errorf("want %q once in:\n%s", line, said)
		}
	}
	if n := strings.Count(said, "\n  - "); n != 3 {
		t.Errorf("%d lines for three mistakes:\n%s", n, said)
	}
}

// TestContract walks the other commands in the world that dev wrote down, as
// processes of their own.
func TestContract(t *testing.T) {
	w := world(t)
	if got := out(t, w.shell(t, `psql -Atc 'SELECT current_user'`)); got != "shingle_app\n" {
		t.Errorf("psql is %q", got)
	}
	if _, err := exec.LookPath("redis-cli"); err == nil {
		// Read twice, as in a shell that lives long.
		if got := out(t, w.shell(t, `. "$0"; redis-cli ping`)); got != "PONG\n" {
			t.Errorf("redis-cli says %q", got)
		}
	}
	list := out(t, w.shell(t, `exec "$1" board list`))
	for _, host := range []string{"orbit.localhost", "pflege.localhost", "tidal.localhost"} {
		if !strings.Contains(list, host) {
			t.Errorf("the list of boards lacks %s:\n%s", host, list)
		}
	}
	said := refusal(t, w.shell(t, `exec "$1" board create --slug orbit --name "" --owner nobody --currency XX --locale fr`), 1)
	for _, line := range []string{"--slug this address is taken", "--name is missing", "--owner is no e-mail address", "--currency is no ISO 4217 currency", "--locale must be en or de"} {
		if !strings.Contains(said, line) {
			t.Errorf("want %q in:\n%s", line, said)
		}
	}
	if got := out(t, w.shell(t, `exec "$1" staff create --email kim@staff.example --role support`)); got != "kim@staff.example is support; sign in at "+w.platform+"/sign-in\n" {
		t.Errorf("staff create says %q", got)
	}
	if said := refusal(t, w.shell(t, `exec "$1" staff create --email kim@staff.example --role king`), 1); !strings.Contains(said, "--role must be one of superadmin, support, billing") {
		t.Errorf("an unknown role is refused with %q", said)
	}
	if got := out(t, w.shell(t, `exec "$1" search rebuild --board tidal`)); got != "tidal: rebuilt\n" {
		t.Errorf("search rebuild says %q", got)
	}
	if got := out(t, w.shell(t, `exec "$1" doctor`)); strings.Contains(got, "NO  ") || !strings.Contains(got, "Row level security") {
		t.Errorf("doctor says:\n%s", got)
	}
	if got := out(t, w.shell(t, `exec "$1" doctor isolation`)); strings.Contains(got, "CROSSED  ") || !strings.Contains(got, ", 0 unknown, 0 CROSSED\n") {
		t.Errorf("doctor isolation says:\n%s", got)
	}
	if got := out(t, w.shell(t, `exec "$1" doctor audit --board orbit`)); !strings.HasPrefix(got, "ok  orbit: ") {
		t.Errorf("doctor audit says:\n%s", got)
	}
	if said := refusal(t, w.shell(t, `exec "$1" doctor audit --board orbit --head 9999999:`+strings.Repeat("ab", 32)), 1); !strings.Contains(said, "NO  orbit: ") || !strings.Contains(said, "the tail was cut") {
		t.Errorf("a cut tail: doctor audit says:\n%s", said)
	}
	if got := out(t, w.shell(t, `exec "$1" migrate status`)); got != "up to date\n" {
		t.Errorf("migrate status says %q", got)
	}
	out(t, w.shell(t, `exec "$1" seed --boards 1 --listings 20`))
	testkit.Eventually(t, patience, func() error { return answers(t.Context(), w.port, "/jobs", "seed-1.localhost") })

	// serve and worker beside dev, on ports of their own.
	port, ops, workerOps := freePort(), freePort(), freePort()
	serve := begin(t, w.shell(t, `SHINGLE_LISTEN=127.0.0.1:`+port+` SHINGLE_OPS_LISTEN=127.0.0.1:`+ops+` exec "$1" serve`))
	worker := begin(t, w.shell(t, `SHINGLE_OPS_LISTEN=127.0.0.1:`+workerOps+` exec "$1" worker`))
	for _, at := range []string{ops, workerOps} {
		testkit.Eventually(t, patience, func() error { return answers(t.Context(), at, "/readyz", "") })
	}
	if err := answers(t.Context(), port, "/jobs", "orbit.localhost"); err != nil {
		t.Error(err)
	}
	for name, p := range map[string]*running{"serve": serve, "worker": worker} {
		if err := p.end(); err != nil {
			t.Errorf("%s ends with %v:\n%s", name, err, p.said.String())
		}
	}
}

// running is a command under way.
type running struct {
	cmd  *exec.Cmd
	said bytes.Buffer
	done chan error
}

func begin(t *testing.T, cmd *exec.Cmd) *running {
	t.Helper()
	p := &running{cmd: cmd, done: make(chan error, 1)}
	cmd.Stdout, cmd.Stderr = &p.said, &p.said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- cmd.Wait() }()
	return p
}

// end asks the process to stop, as a supervisor does, and waits.
func (p *running) end() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return <-p.done
}

// answers asks for a page on a port of this machine.
func answers(ctx context.Context, port, path, host string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+port+path, nil)
	if err != nil {
		return err
	}
	if host != "" {
		req.Host = host
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err == nil && res.StatusCode != http.StatusOK {
		err = errors.New(path + " answers " + res.Status + ": " + string(text))
	}
	return err
}
