package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
)

// oldestMajor is the first Postgres with everything that the schema uses.
const oldestMajor = 14

// binaries is one installed Postgres.
type binaries struct {
	dir   string
	major int
}

var versionText = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// findBinaries returns the newest Postgres of at least oldestMajor, or the one
// of exactly the wanted major version when want is not 0.
func findBinaries(ctx context.Context, want int) (binaries, bool) {
	var dirs []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin",
		"/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin",
	} {
		found, _ := filepath.Glob(pattern)
		dirs = append(dirs, found...)
	}
	if p, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(p); err == nil {
			dirs = append(dirs, filepath.Dir(real))
		}
	}
	var best binaries
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
			continue
		}
		out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
		if err != nil {
			continue
		}
		m := versionText.FindSubmatch(out)
		if m == nil {
			continue
		}
		major, _ := strconv.Atoi(string(m[1]))
		if want != 0 && major != want {
			continue
		}
		if major >= oldestMajor && major > best.major {
			best = binaries{dir: dir, major: major}
		}
	}
	return best, best.major != 0
}

// needBinaries finds Postgres, or installs Debian's where that is possible.
func needBinaries(ctx context.Context, want int, say Say) (binaries, error) {
	if b, ok := findBinaries(ctx, want); ok {
		return b, nil
	}
	if want != 0 {
		return binaries{}, fmt.Errorf("this data directory was made by Postgres %d, which is not installed here: install it, or start afresh with `make reset`", want)
	}
	if err := installPostgres(ctx, say); err != nil {
		return binaries{}, fmt.Errorf("no Postgres %d or newer was found (%w): install the postgresql package, or set SHINGLE_DATABASE_URL and its three companions", oldestMajor, err)
	}
	if b, ok := findBinaries(ctx, 0); ok {
		return b, nil
	}
	return binaries{}, fmt.Errorf("the postgresql package of this system is older than %d: install a newer one, or set SHINGLE_DATABASE_URL and its three companions", oldestMajor)
}

// installPostgres runs apt-get as root, directly or through sudo without a question.
func installPostgres(ctx context.Context, say Say) error {
	if runtime.GOOS != "linux" {
		return errors.New("it can be installed by itself on Debian and Ubuntu only")
	}
	apt, err := exec.LookPath("apt-get")
	if err != nil {
		return errors.New("it can be installed by itself on Debian and Ubuntu only")
	}
	argv := []string{"env", "DEBIAN_FRONTEND=noninteractive", apt}
	if os.Geteuid() != 0 {
		if err := exec.CommandContext(ctx, "sudo", "-n", "true").Run(); err != nil {
			return errors.New("installing it needs root: run `sudo apt-get install postgresql`")
		}
		argv = append([]string{"sudo", "-n"}, argv...)
	}
	run := func(args ...string) error {
		all := append(append([]string{}, argv...), args...)
		out, err := exec.CommandContext(ctx, all[0], all[1:]...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, tail(out, 800))
		}
		return nil
	}
	say("Postgres is not installed: installing Debian's package")
	if run("install", "-y", "--no-install-recommends", "postgresql") == nil {
		return nil
	}
	// A fresh machine has no package lists yet.
	if err := run("update"); err != nil {
		return err
	}
	return run("install", "-y", "--no-install-recommends", "postgresql")
}

func tail(b []byte, n int) string {
	if len(b) > n {
		b = b[len(b)-n:]
	}
	return string(b)
}
