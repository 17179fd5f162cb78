package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// runAs is the account that Postgres' processes run under: nil for our own.
// Postgres refuses root, so root lends it another account.
type runAs struct {
	uid, gid uint32
	name     string
}

func pickAccount(ctx context.Context) (*runAs, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "shingle"} {
		if a, err := account(name); err == nil {
			return a, nil
		}
	}
	if useradd, err := exec.LookPath("useradd"); err == nil {
		if exec.CommandContext(ctx, useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", "shingle").Run() == nil {
			return account("shingle")
		}
	}
	if a, err := account("nobody"); err == nil {
		return a, nil
	}
	return nil, errors.New("Postgres cannot run as root and there is no account to run it under: make a user named shingle")
}

func account(name string) (*runAs, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &runAs{uid: uint32(uid), gid: uint32(gid), name: name}, nil
}

// command builds a process of that account, in a session of its own, so that
// Ctrl-C in the terminal reaches us alone and we stop it in order.
func (a *runAs) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if a != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return cmd
}

// reaches asks the kernel, as that account, whether it may enter dir.
func (a *runAs) reaches(ctx context.Context, dir string) bool {
	if a == nil {
		return true
	}
	return a.command(ctx, "/bin/sh", "-c", `cd -- "$1"`, "sh", dir).Run() == nil
}

// own hands a file or folder over to the account.
func (a *runAs) own(path string) error {
	if a == nil {
		return nil
	}
	return os.Chown(path, int(a.uid), int(a.gid))
}

// ownerOf is the account that a cluster was made under: Postgres insists on it,
// and the machine may have got a better one since.
func ownerOf(data string, now *runAs) (*runAs, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(data, &st); err != nil {
		return nil, err
	}
	if now == nil {
		if int(st.Uid) != os.Geteuid() {
			return nil, fmt.Errorf("the cluster in %s belongs to user %d: run as root or that user, or start afresh with `make reset`", data, st.Uid)
		}
		return nil, nil
	}
	if st.Uid == 0 {
		return nil, fmt.Errorf("the cluster in %s belongs to root, whom Postgres refuses: start afresh with `make reset`", data)
	}
	return &runAs{uid: st.Uid, gid: st.Gid, name: "user " + strconv.Itoa(int(st.Uid))}, nil
}
