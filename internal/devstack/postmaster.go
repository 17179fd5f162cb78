package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	startPatience = 60 * time.Second
	stopPatience  = 30 * time.Second
	pollEvery     = 20 * time.Millisecond
)

// pidFile is what postmaster.pid says: process, port and how far it is.
type pidFile struct {
	pid, port int
	status    string
}

func (c *Cluster) pidPath() string { return filepath.Join(c.data(), "postmaster.pid") }

func (c *Cluster) readPID() (pidFile, bool) {
	b, err := os.ReadFile(c.pidPath())
	if err != nil {
		return pidFile{}, false
	}
	lines := strings.Split(string(b), "\n")
	at := func(i int) string {
		if i < len(lines) {
			return strings.TrimSpace(lines[i])
		}
		return ""
	}
	pid, err := strconv.Atoi(at(0))
	if err != nil || pid <= 1 {
		return pidFile{}, false
	}
	port, _ := strconv.Atoi(at(3))
	return pidFile{pid: pid, port: port, status: at(7)}, true
}

// adopt takes over a postmaster that outlived the process which started it.
// A pid file whose process is gone, or is something else by now, is removed:
// Postgres itself would refuse to start beside it.
func (c *Cluster) adopt(ctx context.Context) bool {
	f, ok := c.readPID()
	if !ok {
		return false
	}
	if !isPostgres(f.pid) {
		_ = os.Remove(c.pidPath())
		return false
	}
	// It may be starting, recovering or on its way down.
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for isPostgres(f.pid) {
		if f, ok = c.readPID(); !ok {
			return false
		}
		if f.status == "ready" {
			c.port, c.pid = f.port, f.pid
			if c.answers(ctx) == nil {
				c.Adopted = true
				return true
			}
		}
		if !pause(ctx) {
			return false
		}
	}
	return false
}

// start runs the postmaster and returns when it answers. Obstacles that pass are
// waited for: a port taken between looking and binding, shared memory that the
// children of a killed postmaster still hold.
func (c *Cluster) start(ctx context.Context, bin binaries, settings map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	sockets := c.SocketDir()
	if err := os.MkdirAll(sockets, 0o700); err != nil {
		return err
	}
	if err := c.as.own(sockets); err != nil {
		return err
	}
	for {
		// Nobody lives behind these: a postmaster that does was adopted.
		if old, err := filepath.Glob(filepath.Join(sockets, ".s.PGSQL.*")); err == nil {
			for _, f := range old {
				_ = os.Remove(f)
			}
		}
		port, err := freePort(ctx, c.state.Port)
		if err != nil {
			return err
		}
		if c.port = port; port != c.state.Port {
			c.state.Port = port
			if err := c.save(); err != nil {
				return err
			}
		}
		args := append([]string{"-D", c.data(), "-c", "listen_addresses=127.0.0.1", "-c", "port=" + strconv.Itoa(c.port),
			"-c", "unix_socket_directories=" + sockets, "-c", "timezone=UTC", "-c", "log_timezone=UTC",
			"-c", "log_line_prefix=%m [%p] %d "}, settingArgs(settings)...)
		err = c.launch(ctx, filepath.Join(bin.dir, "postgres"), args)
		if err == nil || !passing.MatchString(err.Error()) {
			return err
		}
		for range 10 {
			if !pause(ctx) {
				return err
			}
		}
	}
}

// passing is what Postgres says about obstacles that go away by themselves.
var passing = regexp.MustCompile(`already in use|pre-existing shared memory|lock file .* already exists`)

func (c *Cluster) launch(ctx context.Context, postgres string, args []string) error {
	log, err := os.OpenFile(c.LogFile(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	// The postmaster outlives this call's context: only Stop ends it.
	cmd := c.as.command(context.WithoutCancel(ctx), postgres, args...)
	cmd.Env = append(cmd.Env, c.env...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	// No goroutine waits for it: it may outlive this process, and reaped() asks.
	c.pid, c.child = cmd.Process.Pid, true
	_ = cmd.Process.Release()
	for {
		if f, ok := c.readPID(); ok && f.pid == c.pid && f.status == "ready" {
			if err = c.answers(ctx); err == nil {
				return nil
			}
		}
		if !c.alive() {
			said, _ := os.ReadFile(c.LogFile())
			return fmt.Errorf("Postgres did not start; it said:\n%s", tail(said, 1500))
		}
		if !pause(ctx) {
			_ = syscall.Kill(c.pid, syscall.SIGQUIT)
			return fmt.Errorf("Postgres did not answer within %s; see %s", startPatience, c.LogFile())
		}
	}
}

// Stop asks for a fast shutdown (sessions are ended, files left clean) and
// waits for its end; a postmaster that hangs is ended at once and recovers at
// its next start. Stopping a stopped cluster is a no-op.
func (c *Cluster) Stop(ctx context.Context) error {
	if !c.alive() {
		return nil
	}
	if err := syscall.Kill(c.pid, syscall.SIGINT); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stopping Postgres: %w", err)
	}
	wait, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	for c.alive() {
		if !pause(wait) {
			_ = syscall.Kill(c.pid, syscall.SIGQUIT)
			return errors.New("Postgres did not stop in time and was ended; it recovers at its next start")
		}
	}
	return nil
}

// Remove stops the cluster and deletes its files.
func (c *Cluster) Remove(ctx context.Context) error {
	if err := c.Stop(ctx); err != nil {
		return err
	}
	err := os.RemoveAll(c.Home)
	if dir := c.SocketDir(); !strings.HasPrefix(dir, c.Home) {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

func (c *Cluster) alive() bool {
	return c.pid > 1 && !c.reaped() && isPostgres(c.pid)
}

// reaped collects our own child's end; an adopted postmaster has another parent.
func (c *Cluster) reaped() bool {
	if !c.child {
		return false
	}
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(c.pid, &status, syscall.WNOHANG, nil)
	if pid == c.pid || errors.Is(err, syscall.ECHILD) {
		c.pid, c.child = 0, false
		return true
	}
	return false
}

// isPostgres guards against a process number that the system has given to
// somebody else since.
func isPostgres(pid int) bool {
	if err := syscall.Kill(pid, 0); err != nil && !errors.Is(err, syscall.EPERM) {
		return false
	}
	// The name in stat stands in brackets; a zombie (Z) is as good as gone.
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil {
		s := string(b)
		end := strings.LastIndexByte(s, ')')
		return end > 0 && strings.Contains(s[:end], "(postgres") && !strings.HasPrefix(s[end:], ") Z")
	}
	if _, err := os.Stat("/proc/self"); err == nil {
		return false
	}
	out, err := exec.Command("ps", "-o", "comm=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(out), "postgres")
}

// pause waits one polling step; false when ctx has ended.
func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(pollEvery):
		return true
	}
}

// StopCluster stops the cluster of a data directory, if there is one and it runs.
func StopCluster(ctx context.Context, dataDir string) error {
	b, err := os.ReadFile(filepath.Join(dataDir, "postgres.home"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	c := &Cluster{Home: strings.TrimSpace(string(b))}
	if f, ok := c.readPID(); ok {
		c.pid = f.pid
	}
	return c.Stop(ctx)
}
