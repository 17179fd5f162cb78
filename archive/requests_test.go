package archive_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/archive"
	"shingle/internal/fault"
	"shingle/internal/testkit"
	"shingle/tasks"
	"shingle/tenant"
)

// asked makes an archive as the console does, and reads its mailed link.
func (p *place) asked(t *testing.T, b *tenant.Tenant, by uuid.UUID) (id uuid.UUID, token string) {
	t.Helper()
	ctx := p.ctx(t, b)
	err := p.World.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		id, err = p.Ask(ctx, tx, by, "owner@acme.example", "en")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := tasks.NewMux()
	p.Register(mux)
	if err := mux.Run(ctx, p.task(t, b)); err != nil {
		t.Fatal(err)
	}
	return id, p.link(t, b)
}

func (p *place) task(t *testing.T, b *tenant.Tenant) *tasks.Task {
	t.Helper()
	task := new(tasks.Task)
	err := p.World.DB.Read(p.ctx(t, b), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT tenant_id, id, kind, handover, attempts, max_attempts, payload FROM tasks WHERE kind = 'archive.export'`).Scan(ctx, task)
	})
	if err != nil {
		t.Fatal(err)
	}
	return task
}

func (p *place) link(t *testing.T, b *tenant.Tenant) string {
	t.Helper()
	var raw []byte
	err := p.World.DB.Read(p.ctx(t, b), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT payload FROM mails WHERE kind = 'board-export' ORDER BY id DESC LIMIT 1`).Scan(ctx, &raw)
	})
	var m struct{ URL string }
	if err == nil {
		err = json.Unmarshal(raw, &m)
	}
	u, perr := url.Parse(m.URL)
	if err := errors.Join(err, perr); err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("token")
}

func TestAnArchiveOnRequestEndsAfterAWeek(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	clock := testkit.NewClock(time.Now())
	p.Now = clock.Now
	b := p.fill(t, "acme")
	by, other := uuid.New(), uuid.New()
	id, token := p.asked(t, b, by)
	ctx := p.ctx(t, b)
	in := func(fn tenant.Fn) error { return p.World.DB.Write(ctx, fn) }

	// The link is for who asked, and there is one archive under way at a time.
	if err := in(func(ctx context.Context, tx bun.IDB) error { _, err := p.Peek(ctx, tx, token, other); return err }); !fault.Is(err, fault.Gone) {
		t.Errorf("somebody else's link: %v", err)
	}
	if err := in(func(ctx context.Context, tx bun.IDB) error { return p.Link(ctx, tx, id, other) }); !fault.Is(err, fault.NotFound) {
		t.Errorf("a link for somebody else: %v", err)
	}
	var r *archive.Request
	if err := in(func(ctx context.Context, tx bun.IDB) (err error) { r, err = p.Peek(ctx, tx, token, by); return err }); err != nil {
		t.Fatal(err)
	}
	f, err := p.Open(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	var raw bytes.Buffer
	if _, err := raw.ReadFrom(f); err != nil || int64(raw.Len()) != r.Size {
		t.Errorf("%d bytes of %d: %v", raw.Len(), r.Size, err)
	}
	_ = f.Close()
	if _, _, rows := content(t, raw.Bytes()); len(rows["listings"]) != 1 || len(rows["applications"]) != 0 {
		t.Errorf("%d listings, %d applications: a team reads none", len(rows["listings"]), len(rows["applications"]))
	}
	// An archive is no part of the next.
	if again, _ := p.export(t, b, archive.Options{}); len(unpack(t, again)) == 0 || bytes.Contains(join(again, t), []byte("exports/")) {
		t.Error("an archive holds an archive")
	}

	clock.Advance(25 * time.Hour)
	if err := in(func(ctx context.Context, tx bun.IDB) error { _, err := p.Spend(ctx, tx, token, by); return err }); !fault.Is(err, fault.Gone) {
		t.Errorf("a link of yesterday: %v", err)
	}
	if err := in(func(ctx context.Context, tx bun.IDB) error { return p.Link(ctx, tx, id, by) }); err != nil {
		t.Fatal(err)
	}
	token = p.link(t, b)
	spend := func(ctx context.Context, tx bun.IDB) error { _, err := p.Spend(ctx, tx, token, by); return err }
	if err := in(spend); err != nil {
		t.Fatal(err)
	}
	if err := in(spend); !fault.Is(err, fault.Gone) {
		t.Errorf("spent twice: %v", err)
	}

	sweep := func() (blobs int, state string) {
		t.Helper()
		if err := p.World.Platform.Write(t.Context(), p.Sweep); err != nil {
			t.Fatal(err)
		}
		_ = in(func(ctx context.Context, tx bun.IDB) error {
			return tx.NewRaw(`SELECT (SELECT count(*) FROM tasks WHERE kind = 'listing.blob-delete' AND payload->>'key' LIKE '%/exports/%'), coalesce((SELECT state FROM board_exports), '')`).Scan(ctx, &blobs, &state)
		})
		return blobs, state
	}
	if n, state := sweep(); n != 0 || state != archive.Ready {
		t.Errorf("on the second day: %d, %s", n, state)
	}
	clock.Advance(6 * 24 * time.Hour)
	if n, state := sweep(); n != 1 || state != archive.Deleted {
		t.Errorf("after a week: %d, %s", n, state)
	}
	clock.Advance(91 * 24 * time.Hour)
	if n, state := sweep(); n != 1 || state != "" {
		t.Errorf("after three months: %d, %q", n, state)
	}
}

// TestAnArchiveThatCannotBeMadeSaysSo, and leaves room for the next.
func TestAnArchiveThatCannotBeMadeSaysSo(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	b := p.Board(t, "acme")
	ctx := p.ctx(t, b)
	ask := func(ctx context.Context, tx bun.IDB) error {
		_, err := p.Ask(ctx, tx, uuid.New(), "owner@acme.example", "en")
		return err
	}
	if err := p.World.DB.Write(ctx, ask); err != nil {
		t.Fatal(err)
	}
	if err := p.World.DB.Write(ctx, ask); !fault.Is(err, fault.Conflict) {
		t.Errorf("two at a time: %v", err)
	}
	_ = p.files.Close() // the store is away
	mux := tasks.NewMux()
	p.Register(mux)
	task := p.task(t, b)
	state := func() (s string) {
		_ = p.World.DB.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
			return tx.NewRaw(`SELECT state FROM board_exports`).Scan(ctx, &s)
		})
		return s
	}
	if err := mux.Run(ctx, task); err == nil || state() != archive.Asked {
		t.Errorf("the first try: %v, %s", err, state())
	}
	task.Attempts = task.MaxAttempts
	if err := mux.Run(ctx, task); err == nil || state() != archive.Failed {
		t.Errorf("the last try: %v, %s", err, state())
	}
	if err := p.World.DB.Write(ctx, ask); err != nil {
		t.Errorf("asked again: %v", err)
	}
	// Its workers die each time: the row of the task is given up without a word.
	sweep := func(given string) string {
		t.Helper()
		err := p.World.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
			if _, err := tx.NewRaw(`UPDATE board_exports SET created_at = created_at - interval '2 hours' WHERE state = 'asked'; UPDATE tasks SET failed_at = ` + given + ` WHERE kind = 'archive.export'`).Exec(ctx); err != nil {
				return err
			}
			return p.Sweep(ctx, tx)
		})
		if err != nil {
			t.Fatal(err)
		}
		var s string
		_ = p.World.DB.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
			return tx.NewRaw(`SELECT state FROM board_exports ORDER BY id DESC LIMIT 1`).Scan(ctx, &s)
		})
		return s
	}
	if s := sweep("NULL"); s != archive.Asked {
		t.Errorf("one whose task waits is %s", s)
	}
	if s := sweep("now()"); s != archive.Failed {
		t.Errorf("one whose task was given up is %s", s)
	}
}

func TestARivalReachesNoArchive(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	b := p.fill(t, "acme")
	by := uuid.New()
	id, token := p.asked(t, b, by)
	testkit.EachWall(t, p.World, b, p.Board(t, "rival"), func(t *testing.T, r *testkit.Rival) {
		s := *p.Service
		s.DB = r.DB
		for name, fn := range map[string]tenant.Fn{
			"peek":  func(ctx context.Context, tx bun.IDB) error { _, err := s.Peek(ctx, tx, token, by); return err },
			"spend": func(ctx context.Context, tx bun.IDB) error { _, err := s.Spend(ctx, tx, token, by); return err },
			"link":  func(ctx context.Context, tx bun.IDB) error { return s.Link(ctx, tx, id, by) },
			"drop":  func(ctx context.Context, tx bun.IDB) error { return s.Drop(ctx, tx, id) },
		} {
			r.Try(t, name, fn, fault.NotFound, fault.Gone)
		}
		r.Nothing(t, "list", func(ctx context.Context, tx bun.IDB) (int, error) {
			list, err := s.Requests(ctx, tx)
			return len(list), err
		})
		_, err := s.Person(r.Ctx, &bytes.Buffer{}, seeker)
		r.Refused(t, "a person's file", err)
	})
}
