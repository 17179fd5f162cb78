package archive

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"shingle/internal/fault"
	"shingle/internal/pg"
	"shingle/listings"
	"shingle/mail"
	"shingle/tasks"
	"shingle/tenant"
)

// Frozen task kinds.
const (
	taskExport = "archive.export" // makes the archive that somebody asked for
	taskSweep  = "archive.sweep"  // platform: ends those whose week is over
)

const (
	// KeepDays is how long an archive waits to be fetched.
	KeepDays = 7
	// linkFor is how long a mailed link lives.
	linkFor = 24 * time.Hour
	// LinkHours is linkFor for words.
	LinkHours = int(linkFor / time.Hour)
	// keepRows is how long the list shows what was.
	keepRows = 90 * 24 * time.Hour
	// tries is how often the work is begun before it counts as failed.
	tries = 4
)

// Request is an archive that somebody of the team asked for: without
// applications, which the team does not read.
type Request struct {
	bun.BaseModel `bun:"table:board_exports,alias:be"`
	tenant.Scoped

	ID        uuid.UUID  `bun:"id,pk,type:uuid"`
	State     string     `bun:"state"`
	AskedBy   uuid.UUID  `bun:"asked_by,type:uuid"`
	Email     string     `bun:"email"`
	Locale    string     `bun:"locale"`
	FileKey   string     `bun:"file_key"`
	Size      int64      `bun:"size"`
	SHA256    string     `bun:"sha256"`
	LinkHash  []byte     `bun:"link_hash"`
	LinkUntil *time.Time `bun:"link_until"`
	FetchedAt *time.Time `bun:"fetched_at"`
	CreatedAt time.Time  `bun:"created_at"`
	ReadyAt   *time.Time `bun:"ready_at"`
	DeleteAt  *time.Time `bun:"delete_at"`
}

// The states of a request.
const (
	Asked   = "asked"
	Ready   = "ready"
	Failed  = "failed"
	Deleted = "deleted"
)

type exportPayload struct {
	ID uuid.UUID `json:"id"`
}

// Register takes over the package's tasks.
func (s *Service) Register(m *tasks.Mux) {
	m.Handle(taskExport, s.export)
	m.Handle(taskSweep, s.sweep)
}

// Schedule keeps the hourly sweep coming back.
func (s *Service) Schedule(ctx context.Context) error {
	return tasks.Schedule(ctx, s.Platform, taskSweep, time.Hour, tasks.Bulk)
}

// Ask begins an archive of the context's board in the caller's transaction; who
// asks is mailed a link when it is there. Kind: fault.Conflict while one is
// under way.
func (s *Service) Ask(ctx context.Context, tx bun.IDB, by uuid.UUID, email, locale string) (uuid.UUID, error) {
	r := &Request{ID: tenant.NewRowID(), State: Asked, AskedBy: by, Email: email, Locale: locale, CreatedAt: s.Now()}
	_, err := tx.NewInsert().Model(r).Exec(ctx)
	if pg.Unique(err, "board_exports_asked") {
		return uuid.Nil, fault.Wrap(err, fault.Conflict, "export.under_way")
	}
	if err != nil {
		return uuid.Nil, err
	}
	return r.ID, tasks.Add(ctx, tx, tasks.New{Kind: taskExport, Queue: tasks.Bulk, MaxAttempts: tries, Payload: exportPayload{r.ID}})
}

// Requests lists the board's archives, newest first.
func (s *Service) Requests(ctx context.Context, tx bun.IDB) ([]Request, error) {
	var out []Request
	err := tx.NewSelect().Model(&out).Order("be.created_at DESC", "be.id").Limit(50).Scan(ctx)
	return out, err
}

// Link mails who asked another link to their archive; the one before ends.
// Kinds: fault.NotFound for what is not there or is somebody else's.
func (s *Service) Link(ctx context.Context, tx bun.IDB, id, by uuid.UUID) error {
	r := new(Request)
	q := tx.NewSelect().Model(r).Where("be.id = ?", id).Where("be.asked_by = ?", by).Where("be.state = ?", Ready).For("UPDATE")
	if err := tenant.One(ctx, q, "archive"); err != nil {
		return err
	}
	return s.mailLink(ctx, tx, r)
}

func (s *Service) mailLink(ctx context.Context, tx bun.IDB, r *Request) error {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails since Go 1.24
	token := base64.RawURLEncoding.EncodeToString(raw[:])
	until := s.Now().Add(linkFor)
	res, err := tx.NewUpdate().Model((*Request)(nil)).Set("link_hash = ?", hashOf(token)).Set("link_until = ?", until).Where("be.id = ?", r.ID).Exec(ctx)
	if err := tenant.Touched(res, err, "archive"); err != nil {
		return err
	}
	t := tenant.From(ctx)
	return mail.Queue(ctx, tx, mail.Message{Kind: "board-export", Key: hex.EncodeToString(hashOf(token)[:12]), To: r.Email, Locale: r.Locale,
		Data: mail.Data{"Name": t.Name, "Hours": LinkHours, "Days": KeepDays}, URL: s.Links.Console(t, "/admin/export/download?token="+token)})
}

func hashOf(token string) []byte {
	h := sha256.Sum256([]byte(token))
	return h[:]
}

// Peek finds what a link leads to and leaves it unspent. Kind: fault.Gone for a
// link that is unknown here, spent, too old, or another operator's: they are not
// told apart.
func (s *Service) Peek(ctx context.Context, tx bun.IDB, token string, by uuid.UUID) (*Request, error) {
	r := new(Request)
	q := tx.NewSelect().Model(r).Where("be.link_hash = ?", hashOf(token)).Where("be.asked_by = ?", by).Where("be.state = ?", Ready).Where("be.link_until > ?", s.Now())
	if err := tenant.One(ctx, q, "link"); err != nil {
		if fault.Is(err, fault.NotFound) {
			err = fault.Wrap(err, fault.Gone, "export.link_over")
		}
		return nil, err
	}
	return r, nil
}

// Spend is Peek that spends the link, once, whoever else tries at the same
// moment. Only a POST may call it.
func (s *Service) Spend(ctx context.Context, tx bun.IDB, token string, by uuid.UUID) (*Request, error) {
	r, err := s.Peek(ctx, tx, token, by)
	if err != nil {
		return nil, err
	}
	res, err := tx.NewUpdate().Model((*Request)(nil)).Set("link_hash = NULL").Set("link_until = NULL").Set("fetched_at = ?", s.Now()).
		Where("be.id = ?", r.ID).Where("be.link_hash = ?", r.LinkHash).Exec(ctx)
	if err := tenant.Touched(res, err, "link"); err != nil {
		return nil, fault.Wrap(err, fault.Gone, "export.link_over")
	}
	return r, nil
}

// Open reads a ready archive. It is a network call: outside a transaction. The
// caller closes it. Kinds: fault.Gone, fault.Unavailable.
func (s *Service) Open(ctx context.Context, r *Request) (*blob.Reader, error) {
	f, err := s.Files.NewReader(ctx, r.FileKey, nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, fault.Wrap(err, fault.Gone, "export.link_over")
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "the archive cannot be read now")
	}
	return f, nil
}

// Drop deletes an archive before its time. Kind: fault.NotFound.
func (s *Service) Drop(ctx context.Context, tx bun.IDB, id uuid.UUID) error {
	r := new(Request)
	if err := tenant.One(ctx, tx.NewSelect().Model(r).Where("be.id = ?", id).Where("be.state = ?", Ready).For("UPDATE"), "archive"); err != nil {
		return err
	}
	res, err := tx.NewUpdate().Model((*Request)(nil)).Set("state = ?", Deleted).Set("link_hash = NULL").Set("link_until = NULL").Set("delete_at = ?", s.Now()).Where("be.id = ?", id).Exec(ctx)
	if err := tenant.Touched(res, err, "archive"); err != nil {
		return err
	}
	return dropBlob(ctx, tx, tenant.Nil, r.FileKey)
}

func dropBlob(ctx context.Context, tx bun.IDB, board tenant.ID, key string) error {
	return tasks.Add(ctx, tx, tasks.New{Kind: listings.TaskBlobDelete, Queue: tasks.Bulk, Tenant: board, Payload: listings.BlobPayload{Key: key}})
}

// export makes the archive: into a file of the worker's own, from there into
// the store under a key that is the same every time, then the row and the mail.
func (s *Service) export(ctx context.Context, t *tasks.Task) error {
	err := s.make(ctx, t)
	if err == nil || t.Attempts < t.MaxAttempts || ctx.Err() != nil {
		return err
	}
	failed := s.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		var p exportPayload
		if err := t.Decode(&p); err != nil {
			return err
		}
		_, err := tx.NewUpdate().Model((*Request)(nil)).Set("state = ?", Failed).Where("be.id = ?", p.ID).Where("be.state = ?", Asked).Exec(ctx)
		return err
	})
	return errors.Join(err, failed)
}

func (s *Service) make(ctx context.Context, t *tasks.Task) (err error) {
	var p exportPayload
	if err := t.Decode(&p); err != nil {
		return err
	}
	r := new(Request)
	err = s.DB.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tenant.One(ctx, tx.NewSelect().Model(r).Where("be.id = ?", p.ID), "archive")
	})
	if fault.Is(err, fault.NotFound) || err == nil && r.State != Asked && r.State != Failed {
		return s.DB.Write(ctx, t.Finish) // done, or its row is gone
	}
	if err != nil {
		return err
	}
	f, err := os.CreateTemp("", "shingle-export-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	sum := sha256.New()
	if _, err := s.Export(ctx, io.MultiWriter(f, sum), Options{WithoutApplications: true}); err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return err
	}
	key := r.TenantID.String() + "/exports/" + r.ID.String() + ".tar.gz"
	if err := s.Files.Upload(ctx, key, f, &blob.WriterOptions{ContentType: "application/gzip", ContentDisposition: "attachment"}); err != nil {
		return fault.Wrap(err, fault.Unavailable, "the archive could not be stored")
	}
	return s.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := t.Finish(ctx, tx); err != nil {
			return err
		}
		now := s.Now()
		res, err := tx.NewUpdate().Model((*Request)(nil)).Set("state = ?", Ready).Set("file_key = ?", key).Set("size = ?", size).Set("sha256 = ?", hex.EncodeToString(sum.Sum(nil))).
			Set("ready_at = ?", now).Set("delete_at = ?", now.AddDate(0, 0, KeepDays)).Where("be.id = ?", r.ID).Exec(ctx)
		if err := tenant.Touched(res, err, "archive"); err != nil {
			return err
		}
		return s.mailLink(ctx, tx, r)
	})
}

// sweep ends archives whose week is over, and forgets what is long past.
func (s *Service) sweep(ctx context.Context, t *tasks.Task) error {
	return s.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := t.Finish(ctx, tx); err != nil {
			return err
		}
		return s.Sweep(ctx, tx)
	})
}

// Sweep is the sweep's work in a platform transaction. An archive whose task is
// gone or was given up, as when each try took its worker down, will not come.
func (s *Service) Sweep(ctx context.Context, tx bun.IDB) error {
	var over []struct {
		TenantID tenant.ID `bun:"tenant_id"`
		Key      string    `bun:"file_key"`
	}
	err := tx.NewRaw(`UPDATE board_exports SET state = 'deleted', link_hash = NULL, link_until = NULL WHERE state = 'ready' AND delete_at <= ? RETURNING tenant_id, file_key`, s.Now()).Scan(ctx, &over)
	if err != nil {
		return err
	}
	for _, o := range over {
		if err := dropBlob(ctx, tx, o.TenantID, o.Key); err != nil {
			return err
		}
	}
	_, err = tx.NewRaw(`UPDATE board_exports AS be SET state = 'failed' WHERE be.state = 'asked' AND be.created_at < ? AND NOT EXISTS (
		SELECT FROM tasks AS t WHERE t.tenant_id = be.tenant_id AND t.kind = ? AND t.failed_at IS NULL AND t.payload->>'id' = be.id::text)`, s.Now().Add(-time.Hour), taskExport).Exec(ctx)
	if err != nil {
		return err
	}
	_, err = tx.NewRaw(`DELETE FROM board_exports WHERE state IN ('deleted', 'failed') AND created_at < ?`, s.Now().Add(-keepRows)).Exec(ctx)
	return err
}
