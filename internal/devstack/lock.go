package devstack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Lock keeps a data directory for one process. The kernel lets it go when the
// process ends, however it ends.
type Lock struct{ f *os.File }

// Hold takes the lock of dataDir, making the directory when it is missing. A
// second `shingle dev` there gets an error that names the first one's process.
func Hold(dataDir string) (*Lock, error) {
	if err := os.MkdirAll(dataDir, 0o755); err != nil { //nolint:gosec // Postgres' account must pass through; each secret file is 0600
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dataDir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(f, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer func() { _ = f.Close() }()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
		}
		buf := make([]byte, 32)
		n, _ := f.ReadAt(buf, 0)
		return nil, fmt.Errorf("another shingle (process %s) is using %s: stop it, or give this one a SHINGLE_DATA_DIR and SHINGLE_LISTEN of its own",
			strings.TrimSpace(string(buf[:n])), dataDir)
	}
	if err := f.Truncate(0); err != nil {
		return nil, err
	}
	_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return &Lock{f}, err
}

// Release gives the directory back.
func (l *Lock) Release() error { return l.f.Close() }

func flock(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how) //nolint:gosec // a descriptor fits an int
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
