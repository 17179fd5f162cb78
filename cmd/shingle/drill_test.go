package main

import (
	"bytes"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"shingle/backup"
	"shingle/internal/demo"
	"shingle/internal/testkit"
	"shingle/tenant"
)

// TestRestoreDrill is a whole installation lost and got back, by the commands
// that an operator types: every row, every file, the doctor content, a page served.
func TestRestoreDrill(t *testing.T) {
	t.Parallel()
	lost := newCrashWorld(t, "drill")
	boards, err := demo.Boards()
	if err != nil {
		t.Fatal(err)
	}
	b, err := lost.app.makeDemo(t.Context(), &boards[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := lost.app.fillDemo(tenant.With(t.Context(), b), &boards[0], b); err != nil {
		t.Fatal(err)
	}
	private, public, err := backup.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, keyFile := filepath.Join(dir, "night.backup"), filepath.Join(dir, "key")
	if err := os.WriteFile(keyFile, []byte("# the drill's\n"+private+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	command := func(w *crashWorld, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
		cmd.Env = append([]string{}, w.env...)
		if w == lost {
			cmd.Env = append(cmd.Env, "SHINGLE_BACKUP_KEY="+public)
		} else {
			cmd.Env = append(cmd.Env, "SHINGLE_BACKUP_KEY_FILE="+keyFile)
		}
		return cmd
	}
	want := testkit.Rows(t, lost.super)

	// The server has the public key alone.
	said := out(t, command(lost, "backup", "--out", file))
	if !strings.Contains(said, " rows, ") || strings.Contains(said, private) {
		t.Errorf("backup says %q", said)
	}
	if about, err := os.Stat(file); err != nil || about.Mode().Perm() != 0o600 {
		t.Errorf("the backup's file: %v %v", about.Mode(), err)
	}
	for _, c := range []struct {
		words string
		args  []string
	}{
		{"--verify needs the private key", []string{"backup", "--out", file + "2", "--verify"}},
		{"a pipe cannot be read again", []string{"backup", "--out", "-", "--verify"}},
		{"is a public key", []string{"restore", "--check", "--in", file}},
		{"--keep is for a folder", []string{"backup", "--out", file, "--keep", "3"}},
	} {
		if said := refusal(t, command(lost, c.args...), 1); !strings.Contains(said, c.words) || strings.Contains(said, public) {
			t.Errorf("%v says %q", c.args, said)
		}
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = full.Close() }()
	var errs bytes.Buffer
	pipe := command(lost, "backup", "--out", "-")
	pipe.Stdout, pipe.Stderr = full, &errs
	if err := pipe.Run(); code(err) != 1 || !strings.Contains(errs.String(), "no space left") {
		t.Errorf("on a full disk: %v %s", err, errs.String())
	}

	// A folder keeps the newest; each is named after its time.
	folder := "file://" + dir + "/nights?create_dir=1&no_tmp_dir=1"
	out(t, command(lost, "backup", "--out", folder))
	nights := func() []string {
		names, err := filepath.Glob(filepath.Join(dir, "nights", "*.backup"))
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	if n := nights(); len(n) != 1 {
		t.Fatalf("backups in the folder: %v", n)
	}
	if err := os.Rename(nights()[0], filepath.Join(dir, "nights", "shingle-20200101T000000Z.backup")); err != nil {
		t.Fatal(err)
	}
	out(t, command(lost, "backup", "--out", folder, "--keep", "1"))
	if n := nights(); len(n) != 1 || strings.Contains(n[0], "2020") {
		t.Errorf("--keep 1 leaves %v", n)
	}

	// Another machine: an empty database, an empty file store.
	db := testkit.EmptyPostgres(t)
	found := &crashWorld{addr: "127.0.0.1:" + freePort(), super: db.Open(t, db.Superuser, 2)}
	data := t.TempDir()
	for _, v := range lost.env {
		switch name, _, _ := strings.Cut(v, "="); name {
		case "SHINGLE_DATABASE_URL":
			v = name + "=" + db.App
		case "SHINGLE_PLATFORM_DATABASE_URL":
			v = name + "=" + db.Platform
		case "SHINGLE_DATA_DIR":
			v = name + "=" + data
		case "SHINGLE_LISTEN":
			v = name + "=" + found.addr
		}
		found.env = append(found.env, v)
	}
	found.env = append(found.env, "SHINGLE_MIGRATE_DATABASE_URL="+db.Owner)
	if said := out(t, command(found, "restore", "--check", "--in", file)); !strings.HasPrefix(said, "whole: ") {
		t.Errorf("--check says %q", said)
	}

	// Killed in the middle: nothing is there.
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	killed := command(found, "restore", "--in", "-")
	in, err := killed.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(raw[:len(raw)*9/10]); err != nil {
		t.Fatal(err)
	}
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait()
	testkit.Eventually(t, atMost, func() bool {
		var n int
		err := found.super.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`).Scan(&n)
		return err == nil && n == 0
	})
	for table := range testkit.Rows(t, found.super) {
		if !strings.HasPrefix(table, "bun_") {
			t.Fatalf("a killed restore leaves the table %s", table)
		}
	}

	said = out(t, command(found, "restore", "--in", folder, "--replace"))
	if !strings.Contains(said, "restored ") || strings.Contains(said, "SHINGLE_SECRET_KEY") {
		t.Errorf("restore says %q", said)
	}
	var noted int
	if err := found.super.QueryRowContext(t.Context(), `SELECT count(*) FROM audit_log WHERE act = 'installation.restored' AND personal->>'actor' = $1`, login()).Scan(&noted); err != nil || noted != 1 {
		t.Errorf("%d lines of the restore in the audit log: %v", noted, err)
	}
	got := testkit.Rows(t, found.super)
	// The search index is made anew and the log goes on; all else is row by row the same.
	for _, name := range []string{"generations", "tasks", "audit_log", "audit_unsealed", "bun_migrations"} {
		delete(want, name)
		delete(got, name)
	}
	for name, rows := range want {
		if got[name] != rows {
			t.Errorf("%s has %q, want %q", name, got[name], rows)
		}
	}
	if len(got) != len(want) || want["applications"][:1] == "0" || want["listings"][:1] == "0" {
		t.Errorf("%d tables, want %d; %q %q", len(got), len(want), want["applications"], want["listings"])
	}
	sameFiles(t, filepath.Join(lost.app.cfg.DataDir, "files"), filepath.Join(data, "files"))

	if said := out(t, command(found, "doctor", "audit")); strings.Contains(said, "NO") {
		t.Errorf("doctor audit says %s", said)
	}
	doctor := command(found, "doctor")
	if text, err := doctor.CombinedOutput(); code(err) != 0 {
		t.Errorf("doctor ends with %d:\n%s", code(err), text)
	}
	serve := &process{w: found, name: "serve"}
	t.Cleanup(func() { serve.kill(t) })
	serve.start(t)
	serve.ready(t)
	res := served(t, found.addr, boards[0].Slug+".localhost", "/")
	if !strings.Contains(res, boards[0].Name) || !regexp.MustCompile(`href="/jobs/`).MatchString(res) {
		t.Errorf("the restored board's home:\n%.600s", res)
	}
	// Somebody is connected now.
	if said := refusal(t, command(found, "restore", "--in", file, "--replace"), 1); !strings.Contains(said, "stop serve and worker first") {
		t.Errorf("beside serve, restore says %q", said)
	}
}

func served(t *testing.T, addr, host, path string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s%s: %s %v", host, path, res.Status, err)
	}
	return string(text)
}

// sameFiles compares two folders, names and bytes.
func sameFiles(t *testing.T, a, b string) {
	t.Helper()
	read := func(root string) map[string]string {
		files := map[string]string{}
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, ".attrs") {
				return err
			}
			data, err := os.ReadFile(path)
			name, _ := filepath.Rel(root, path)
			files[name] = string(data)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	want, got := read(a), read(b)
	if len(want) < 3 || len(want) != len(got) {
		t.Errorf("%d files, want %d", len(got), len(want))
	}
	for name, data := range want {
		if got[name] != data {
			t.Errorf("the file %s differs: %d bytes, want %d", name, len(got[name]), len(data))
		}
	}
}
