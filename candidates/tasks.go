package candidates

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"gocloud.dev/blob"

	"shingle/internal/fault"
	"shingle/tasks"
	"shingle/tenant"
)

// Task kinds, frozen.
const (
	taskEraseCV = "candidates.erase_cv"
	taskSpread  = "candidates.spread_digests"
	taskDigests = "candidates.digests"
	taskSweep   = "candidates.sweep_files"
)

type erasePayload struct {
	Key string `json:"key"`
}

// Register takes over the package's tasks.
func (s *Service) Register(m *tasks.Mux) {
	m.Handle(taskEraseCV, s.erase)
	m.Handle(taskSpread, s.spread)
	m.Handle(taskDigests, s.digests)
	m.Handle(taskSweep, s.sweep)
}

// Schedule keeps the rows that come back by themselves.
func (s *Service) Schedule(ctx context.Context) error {
	return errors.Join(tasks.Schedule(ctx, s.Platform, taskSpread, 5*time.Minute, tasks.Bulk),
		tasks.Schedule(ctx, s.Platform, taskSweep, 24*time.Hour, tasks.Bulk))
}

// erase deletes a withdrawn CV: deleting twice is the same as once.
func (s *Service) erase(ctx context.Context, t *tasks.Task) error {
	var p erasePayload
	if err := t.Decode(&p); err != nil {
		return err
	}
	if !strings.HasPrefix(p.Key, t.TenantID.String()+"/cv/") {
		return fault.New(fault.Internal, "a CV of another board")
	}
	return s.eraseCV(ctx, p.Key)
}

// orphanAfter spares uploads whose row is being written at this moment.
const orphanAfter = time.Hour

// sweep erases CVs without an application: of uploads that died before their
// row, and of listings and boards that were deleted.
func (s *Service) sweep(ctx context.Context, _ *tasks.Task) error {
	it := s.Files.List(nil)
	var keys []string
	flush := func() error {
		if len(keys) == 0 {
			return nil
		}
		defer func() { keys = keys[:0] }()
		return s.dropOrphans(ctx, keys)
	}
	for {
		o, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			return flush()
		}
		if err != nil {
			return err
		}
		if isCV(o) && s.Now().Sub(o.ModTime) > orphanAfter {
			keys = append(keys, o.Key)
		}
		if len(keys) == 500 {
			if err := flush(); err != nil {
				return err
			}
		}
	}
}

func isCV(o *blob.ListObject) bool {
	parts := strings.Split(o.Key, "/")
	return len(parts) == 3 && parts[1] == "cv"
}

func (s *Service) dropOrphans(ctx context.Context, keys []string) error {
	var kept []string
	err := s.Platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT cv_key FROM applications WHERE cv_key IN (?)`, bun.In(keys)).Scan(ctx, &kept)
	})
	if err != nil {
		return err
	}
	has := map[string]bool{}
	for _, k := range kept {
		has[k] = true
	}
	for _, k := range keys {
		if !has[k] {
			err = errors.Join(err, s.eraseCV(ctx, k))
		}
	}
	return err
}

// stopToken is in every digest of an alert. It is made from the key, so that it
// need not be kept in a form that could be mailed again.
func (s *Service) stopToken(board tenant.ID, alert uuid.UUID) string {
	m := hmac.New(sha256.New, s.Key)
	m.Write([]byte("alert stop v1"))
	m.Write(board[:])
	m.Write(alert[:])
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil)[:20])
}

func (s *Service) isStopToken(board tenant.ID, alert uuid.UUID, token string) bool {
	return hmac.Equal([]byte(s.stopToken(board, alert)), []byte(token))
}
