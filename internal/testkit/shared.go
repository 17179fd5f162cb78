package testkit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"shingle/internal/devstack"
)

// sharedDir is where the test processes of one user and checkout meet.
func sharedDir(what string) (string, error) {
	sum := sha256.Sum256([]byte(repoRoot()))
	root := os.TempDir()
	if inMemory() {
		root = memory
	}
	dir := filepath.Join(root, fmt.Sprintf("shingle-test-%d-%s", os.Geteuid(), hex.EncodeToString(sum[:5])), what)
	// Postgres' account must pass through; what is secret in it is 0600.
	return dir, os.MkdirAll(dir, 0o755) //nolint:gosec // see above
}

// memory is where Linux keeps files in memory. A clone of the template is a
// thousand small files, which a disk's journal takes several times as long for.
const memory = "/dev/shm"

// inMemory tells whether there is room for test databases in memory: by the size
// alone, so that all processes of a run answer alike. Some containers have 64 MB.
func inMemory() bool {
	var fs syscall.Statfs_t
	if runtime.GOOS != "linux" || syscall.Statfs(memory, &fs) != nil {
		return false
	}
	const tmpfs, enough = 0x01021994, 4 << 30
	return int64(fs.Type) == tmpfs && int64(fs.Blocks)*int64(fs.Bsize) >= enough //nolint:unconvert,gosec // other systems' types differ
}

// joinShared marks this process as a user of the shared server until it ends,
// and takes the right to start it, which the returned function gives back.
func joinShared(dir string) (unlock func() error, err error) {
	starting, err := lockFile(filepath.Join(dir, "starting.lock"), syscall.LOCK_EX)
	if err != nil {
		return nil, err
	}
	users, err := lockFile(filepath.Join(dir, "users.lock"), syscall.LOCK_SH)
	if err != nil {
		return nil, errors.Join(err, starting.Close())
	}
	inUse = append(inUse, users)
	return starting.Close, nil
}

// inUse keeps the shared locks from being collected; the kernel ends them with us.
var inUse []*os.File

func lockFile(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), how) //nolint:gosec // a descriptor fits an int
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(err, f.Close())
		}
	}
}

func startShared(ctx context.Context, dir string) (*devstack.Cluster, error) {
	return devstack.StartCluster(ctx, devstack.ClusterOptions{
		DataDir: dir,
		Settings: map[string]string{
			// A crash loses the cluster, and nobody minds: tests make it again.
			"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off",
			"wal_level": "minimal", "max_wal_senders": "0", "max_wal_size": "512MB",
			"checkpoint_timeout": "1h",
			// Plans must not depend on when a background job came by.
			"autovacuum": "off", "jit": "off", "random_page_cost": "1.1",
			"shared_buffers": "128MB", "max_connections": "400",
		},
	})
}

// StopShared ends the shared Postgres of this checkout, unless tests still use
// it. Its files stay, unless they are in memory: the next run starts in a moment.
func StopShared() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	dir, err := sharedDir("postgres")
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, "postgres.home")); err != nil {
		return nil // never started
	}
	starting, err := lockFile(filepath.Join(dir, "starting.lock"), syscall.LOCK_EX)
	if err != nil {
		return err
	}
	defer func() { _ = starting.Close() }()
	users, err := lockFile(filepath.Join(dir, "users.lock"), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = users.Close() }()
	if err := devstack.StopCluster(ctx, dir); err != nil || !inMemory() {
		return err
	}
	files, err := os.ReadDir(dir)
	for _, f := range files {
		if filepath.Ext(f.Name()) != ".lock" { // somebody may be waiting for those
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, f.Name())))
		}
	}
	return err
}
