package backup

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"shingle/internal/fault"
)

// markName is written first and deleted at the end: by its time, as the store
// says it, files of before a restore are told from those of the restore.
const markName = ".shingle-restore"

// store is the file store that a restore writes to.
type store struct {
	files   *blob.Bucket
	replace bool
	begun   time.Time
	n       int64
}

func newStore(ctx context.Context, files *blob.Bucket, replace bool) (*store, error) {
	s := &store{files: files, replace: replace}
	list := files.List(nil)
	for {
		o, err := list.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("listing the files: %w", err)
		}
		if o.Key != markName && !replace {
			return nil, fault.New(fault.Conflict, "the file store of SHINGLE_BLOB_URL holds files already: restore into an empty one, or say --replace to erase what is there")
		}
		if o.Key != markName {
			break
		}
	}
	if err := files.WriteAll(ctx, markName, []byte("a restore is under way\n"), nil); err != nil {
		return nil, fmt.Errorf("the file store of SHINGLE_BLOB_URL takes no files: %w", err)
	}
	about, err := files.Attributes(ctx, markName)
	if err != nil {
		return nil, err
	}
	s.begun = about.ModTime
	return s, nil
}

func (s *store) write(ctx context.Context, name string, about *tar.Header, data io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := s.files.NewWriter(ctx, name, &blob.WriterOptions{ContentType: about.PAXRecords[typeKey], ContentDisposition: about.PAXRecords[dispositionKey], MaxConcurrency: 1})
	if err != nil {
		return fmt.Errorf("writing the file %s: %w", name, err)
	}
	if _, err := io.Copy(w, data); err != nil {
		cancel() // what is half written is not kept
		_ = w.Close()
		return fmt.Errorf("writing the file %s: %w", name, err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("writing the file %s: %w", name, err)
	}
	s.n++
	return nil
}

// giveUp takes the files back that were written into an empty store. Beside files
// of before they stay: one may have been there, and keys are never used twice.
func (s *store) giveUp(ctx context.Context) error {
	if s.replace {
		return s.remove(ctx, func(key string, _ time.Time) bool { return key == markName })
	}
	return s.remove(ctx, func(string, time.Time) bool { return true })
}

// finish deletes what was there before.
func (s *store) finish(ctx context.Context) error {
	return s.remove(ctx, func(key string, at time.Time) bool { return key == markName || at.Before(s.begun) })
}

func (s *store) remove(ctx context.Context, which func(key string, at time.Time) bool) error {
	list := s.files.List(nil)
	for {
		o, err := list.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if which(o.Key, o.ModTime) {
			if err := s.files.Delete(ctx, o.Key); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
				return err
			}
		}
	}
}
