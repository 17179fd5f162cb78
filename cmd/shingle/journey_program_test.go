package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// shell is a command line in the world's shell: `. .shingle/env` first, as a
// newcomer would, and nothing else set.
func (w *devWorldT) shell(t *testing.T, script string, extra ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `. "$0"; `+script, w.dir+"/env", os.Args[0])
	cmd.Env = append(bareEnv(), extra...)
	return cmd
}

// bareEnv is this process's environment without settings of any world.
func bareEnv() []string {
	env := []string{asProgram + "=1"}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "SHINGLE_") && !strings.HasPrefix(v, "PG") && !strings.HasPrefix(v, "REDIS") {
			env = append(env, v)
		}
	}
	return env
}

// background starts the program and tells it to end with the test, which wants it
// to end well. The channel has its end, should that come before.
func background(t *testing.T, running *exec.Cmd, errs *bytes.Buffer) chan error {
	t.Helper()
	if err := running.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- running.Wait() }()
	t.Cleanup(func() {
		_ = running.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			t.Errorf("the program ends with %v: %s", err, errs.String())
		}
	})
	return ended
}

// out runs the command and wants it to succeed.
func out(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var errs strings.Builder
	cmd.Stderr = &errs
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", cmd.Args[2], err, text, errs.String())
	}
	return string(text)
}

// sql changes what only time changes, as the database's owner of everything.
func (w *devWorldT) sql(t *testing.T, query string, args ...any) {
	t.Helper()
	res, err := w.db.ExecContext(t.Context(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		t.Fatalf("%s: changed nothing (%v)", query, err)
	}
}

// soon makes a schedule of the platform due at once.
func (w *devWorldT) soon(t *testing.T, kind string) {
	t.Helper()
	w.sql(t, `UPDATE tasks SET run_at = now() WHERE kind = $1 AND every IS NOT NULL`, kind)
}
