package certs

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/seal"
	"shingle/tenant"
)

// Storage is certmagic's storage and locker over Postgres, so that every
// replica has the same certificates. Values are sealed under their key; what
// was sealed with another secret counts as absent.
type Storage struct {
	platform *tenant.Platform
	sealer   *seal.Sealer
	log      *slog.Logger
	// lease is how long a lock outlives its holder.
	lease time.Duration

	mu   sync.Mutex
	held map[string]*hold
}

var (
	_ certmagic.Storage   = (*Storage)(nil)
	_ certmagic.TryLocker = (*Storage)(nil)
)

// NewStorage makes a storage with its keys sealed under the program's secret.
func NewStorage(p *tenant.Platform, secret []byte, log *slog.Logger) (*Storage, error) {
	sealer, err := seal.New("shingle certificates", secret)
	if err != nil {
		return nil, err
	}
	return &Storage{platform: p, sealer: sealer, log: log, lease: lockLease, held: map[string]*hold{}}, nil
}

// Store puts value at key.
func (s *Storage) Store(ctx context.Context, key string, value []byte) error {
	return s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error { return s.store(ctx, tx, key, value) })
}

func (s *Storage) store(ctx context.Context, tx bun.IDB, key string, value []byte) error {
	sealed, err := s.sealer.Seal(value, []byte(key))
	if err != nil {
		return err
	}
	_, err = tx.NewRaw(`INSERT INTO acme_objects (key, sealed, sealed_with, size) VALUES (?, ?, ?, ?)
		ON CONFLICT (key) DO UPDATE SET sealed = excluded.sealed, sealed_with = excluded.sealed_with, size = excluded.size, modified_at = clock_timestamp()`,
		key, sealed, s.sealer.ID(), len(value)).Exec(ctx)
	return err
}

// Load gets the value at key; fs.ErrNotExist without one.
func (s *Storage) Load(ctx context.Context, key string) ([]byte, error) {
	var sealed []byte
	err := s.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT sealed FROM acme_objects WHERE key = ? AND sealed_with = ?`, key, s.sealer.ID()).Scan(ctx, &sealed)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fs.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	return s.sealer.Open(sealed, []byte(key))
}

// Delete removes a key, or a folder with all its keys. What is absent is no error.
func (s *Storage) Delete(ctx context.Context, key string) error {
	return s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		from, to := folder(key)
		_, err := tx.NewRaw(`DELETE FROM acme_objects WHERE key = ? OR (key >= ? AND key < ?)`, key, from, to).Exec(ctx)
		return err
	})
}

// folder is the range of the keys under a path.
func folder(path string) (from, to string) {
	if path = strings.Trim(path, "/"); path == "" {
		return "", "\U0010FFFF"
	}
	return path + "/", path + "0" // "0" follows "/"
}

// Exists reports a key or a folder.
func (s *Storage) Exists(ctx context.Context, key string) bool {
	_, err := s.Stat(ctx, key)
	return err == nil
}

// Stat describes a key, or a folder; fs.ErrNotExist for neither.
func (s *Storage) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	var row struct {
		Key        string    `bun:"key"`
		Size       int64     `bun:"size"`
		ModifiedAt time.Time `bun:"modified_at"`
	}
	err := s.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		from, to := folder(key)
		return tx.NewRaw(`SELECT key, size, modified_at FROM acme_objects
			WHERE (key = ? OR (key >= ? AND key < ?)) AND sealed_with = ? ORDER BY key LIMIT 1`, key, from, to, s.sealer.ID()).Scan(ctx, &row)
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return certmagic.KeyInfo{}, fs.ErrNotExist
	case err != nil:
		return certmagic.KeyInfo{}, err
	case row.Key != key:
		return certmagic.KeyInfo{Key: key}, nil
	}
	return certmagic.KeyInfo{Key: key, Modified: row.ModifiedAt, Size: row.Size, IsTerminal: true}, nil
}

// List names what is in a folder, with folders in it; with recursive, all that
// is below it too. fs.ErrNotExist for a folder without keys.
func (s *Storage) List(ctx context.Context, path string, recursive bool) ([]string, error) {
	from, to := folder(path)
	var keys []string
	err := s.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT key FROM acme_objects WHERE key >= ? AND key < ? AND sealed_with = ? ORDER BY key`, from, to, s.sealer.ID()).Scan(ctx, &keys)
	})
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, fs.ErrNotExist
	}
	var out []string
	seen := map[string]bool{}
	for _, k := range keys {
		rest := k[len(from):]
		for i := 0; i <= len(rest); i++ {
			if i < len(rest) && rest[i] != '/' {
				continue
			}
			if name := from + rest[:i]; !seen[name] {
				seen[name] = true
				out = append(out, name)
			}
			if !recursive {
				break
			}
		}
	}
	return out, nil
}

// lockLease is how long a lock stands after its holder was last heard of; the
// holder says so three times in it. pollMost bounds the wait between two looks.
const (
	lockLease = 30 * time.Second
	pollMost  = time.Second
)

// hold is a lock that this process has, and what renews it.
type hold struct {
	owner uuid.UUID
	stop  context.CancelFunc
	done  chan struct{}
}

// Lock waits until the name is free, its lease has run out, or ctx ends.
func (s *Storage) Lock(ctx context.Context, name string) error {
	wait := 20 * time.Millisecond
	for {
		got, err := s.TryLock(ctx, name)
		if err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil || got {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait = min(2*wait, pollMost)
	}
}

// TryLock takes the lock if it is free now. No connection is held meanwhile:
// the row has a lease, which this process renews.
func (s *Storage) TryLock(ctx context.Context, name string) (bool, error) {
	owner := uuid.New()
	taken := false
	err := s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		res, err := tx.NewRaw(`INSERT INTO acme_locks AS l (name, owner, lease_until) VALUES (?, ?, clock_timestamp() + make_interval(secs => ?))
			ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, lease_until = excluded.lease_until WHERE l.lease_until < clock_timestamp()`,
			name, owner, s.lease.Seconds()).Exec(ctx)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		taken = n == 1
		return err
	})
	if err != nil || !taken {
		return false, err
	}
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	h := &hold{owner: owner, stop: stop, done: make(chan struct{})}
	s.mu.Lock()
	old := s.held[name] // its lease ran out under us
	s.held[name] = h
	s.mu.Unlock()
	if old != nil {
		old.stop()
	}
	go s.renew(renewing, name, h)
	return true, nil
}

func (s *Storage) renew(ctx context.Context, name string, h *hold) {
	defer close(h.done)
	tick := time.NewTicker(s.lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		kept := false
		err := s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
			res, err := tx.NewRaw(`UPDATE acme_locks SET lease_until = clock_timestamp() + make_interval(secs => ?) WHERE name = ? AND owner = ?`,
				s.lease.Seconds(), name, h.owner).Exec(ctx)
			if err != nil {
				return err
			}
			n, err := res.RowsAffected()
			kept = n == 1
			return err
		})
		if err == nil && !kept {
			s.log.Warn("a lock's lease ran out under its holder", "lock", name)
			return
		}
	}
}

// Unlock gives back what Lock or TryLock took.
func (s *Storage) Unlock(ctx context.Context, name string) error {
	s.mu.Lock()
	h := s.held[name]
	delete(s.held, name)
	s.mu.Unlock()
	if h == nil {
		return errors.New("this process does not hold the lock " + name)
	}
	h.stop()
	<-h.done
	return s.platform.Write(context.WithoutCancel(ctx), func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`DELETE FROM acme_locks WHERE name = ? AND owner = ?`, name, h.owner).Exec(ctx)
		return err
	})
}
