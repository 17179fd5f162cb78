package listings

import (
	"bytes"
	"context"
	"errors"
	"image"
	_ "image/jpeg" // decoders of what a person may upload
	"image/png"
	"path"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp" // as above
	"golang.org/x/sync/semaphore"

	"shingle/internal/fault"
	"shingle/tasks"
	"shingle/tenant"
)

const (
	// MaxLogo is the largest upload in bytes; see StoreLogo.
	MaxLogo = 1 << 20
	// maxPixels refuses a small file that unfolds into gigabytes.
	maxPixels = 16_000_000
	// logoSide is the longest side of a stored logo, in pixels.
	logoSide = 512
)

// TaskBlobDelete erases a file that no row names any more. Frozen name.
const TaskBlobDelete = "listing.blob-delete"

// BlobPayload is what TaskBlobDelete carries.
type BlobPayload struct {
	Key string `json:"key"`
}

// unfolding are the pixels that this process may hold decoded at a time: one
// picture of the largest size, or many of a usual one. A pixel is up to 16 bytes
// while a progressive JPEG is read.
var unfolding = semaphore.NewWeighted(maxPixels)

// EncodeLogo makes a PNG of a PNG, JPEG or WebP of at most MaxLogo bytes: what
// else the file held (metadata, scripts) is gone. SVG is refused: it can run
// scripts. The size in pixels is read before anything is unfolded, and pictures
// wait for each other's memory. Kinds: fault.Invalid with field "logo",
// fault.Unavailable when ctx ends first.
func EncodeLogo(ctx context.Context, data []byte) ([]byte, error) {
	bad := func(key, arg string) error {
		m := say(key)
		if arg != "" {
			m = say(key, arg)
		}
		return fault.Invalids(fault.Fields{"logo": m})
	}
	if len(data) > MaxLogo {
		return nil, bad("field.logo.large", "1")
	}
	cfg, format, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil || format != "png" && format != "jpeg" && format != "webp" {
		return nil, bad("field.logo.type", "")
	}
	if cfg.Width < 1 || cfg.Height < 1 || cfg.Width*cfg.Height > maxPixels {
		return nil, bad("field.logo.large", "1")
	}
	pixels := int64(cfg.Width) * int64(cfg.Height)
	if err := unfolding.Acquire(ctx, pixels); err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "other pictures are being read")
	}
	defer unfolding.Release(pixels)
	img, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, bad("field.logo.broken", "")
	}
	if w, h := cfg.Width, cfg.Height; max(w, h) > logoSide {
		nw, nh := max(1, w*logoSide/max(w, h)), max(1, h*logoSide/max(w, h))
		small := image.NewNRGBA(image.Rect(0, 0, nw, nh))
		draw.CatmullRom.Scale(small, small.Bounds(), img, img.Bounds(), draw.Src, nil)
		img = small
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		return nil, bad("field.logo.broken", "")
	}
	return out.Bytes(), nil
}

// StoreLogo encodes an uploaded image and puts it under a new key that begins
// with the board's id. It is a network call: outside a transaction, before
// SetLogo. room takes the storage for what is kept of it, in bytes, or refuses.
// Kinds: fault.Invalid with field "logo", fault.Unavailable, and those of room.
func StoreLogo(ctx context.Context, bucket *blob.Bucket, data []byte, room func(ctx context.Context, n int64) error) (key string, err error) {
	out, err := EncodeLogo(ctx, data)
	if err != nil {
		return "", err
	}
	if err := room(ctx, int64(len(out))); err != nil {
		return "", err
	}
	return putLogo(ctx, bucket, out, ".png", "image/png")
}

// StoreTrustedSVG keeps an SVG that the product itself has drawn. Never give
// it what somebody uploaded.
func StoreTrustedSVG(ctx context.Context, bucket *blob.Bucket, svg []byte) (key string, err error) {
	return putLogo(ctx, bucket, svg, ".svg", "image/svg+xml")
}

func putLogo(ctx context.Context, bucket *blob.Bucket, data []byte, ext, kind string) (string, error) {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return "", err
	}
	key := path.Join(board.String(), "logos", tenant.NewRowID().String()+ext)
	if err := bucket.WriteAll(ctx, key, data, &blob.WriterOptions{ContentType: kind}); err != nil {
		return "", fault.Wrap(err, fault.Unavailable, "the logo could not be stored")
	}
	return key, nil
}

// SetLogo names a stored file as the company's logo ("" for none); the one
// before is erased after the commit. Kinds: fault.NotFound, fault.Invalid for a
// key of another board.
func (s *Store) SetLogo(ctx context.Context, tx bun.IDB, company uuid.UUID, key string) error {
	if key != "" {
		if err := ownKey(ctx, key); err != nil {
			return err
		}
	}
	c := new(Company)
	if err := tenant.One(ctx, tx.NewSelect().Model(c).Where("c.id = ?", company).For("UPDATE"), "company"); err != nil {
		return err
	}
	res, err := tx.NewUpdate().Model((*Company)(nil)).Set("logo_key = ?, updated_at = ?", key, s.now()).Where("c.id = ?", company).Exec(ctx)
	if err := tenant.Touched(res, err, "company"); err != nil {
		return err
	}
	tenant.Changed(ctx)
	if c.LogoKey == "" || c.LogoKey == key {
		return nil
	}
	return dropBlob(ctx, tx, c.LogoKey)
}

// ownKey refuses a file of another board: fault.Invalid.
func ownKey(ctx context.Context, key string) error {
	board, err := tenant.IDFrom(ctx)
	if err == nil && path.Dir(path.Dir(key)) != board.String() {
		err = fault.New(fault.Invalid, "a file of another board")
	}
	return err
}

// dropBlob erases a file after the commit; "" is none.
func dropBlob(ctx context.Context, tx bun.IDB, key string) error {
	if key == "" {
		return nil
	}
	return tasks.Add(ctx, tx, tasks.New{Kind: TaskBlobDelete, Queue: tasks.Bulk, Payload: BlobPayload{key}})
}

// deleteBlob erases a file of the task's board; gone already is done.
func deleteBlob(ctx context.Context, bucket *blob.Bucket, t *tasks.Task) error {
	var p BlobPayload
	if err := t.Decode(&p); err != nil {
		return err
	}
	if path.Dir(path.Dir(p.Key)) != t.TenantID.String() {
		return fault.New(fault.Internal, "a file of another board")
	}
	if err := bucket.Delete(ctx, p.Key); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return errors.Join(fault.New(fault.Unavailable, "the file could not be erased"), err)
	}
	return nil
}
