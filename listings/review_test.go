package listings

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
)

type deed = func(context.Context, bun.IDB, uuid.UUID) (*Listing, error)

// approve publishes the version that l shows.
func (w *world) approve(l *Listing) deed {
	return func(ctx context.Context, tx bun.IDB, id uuid.UUID) (*Listing, error) {
		shown, err := w.s.ByID(ctx, tx, l.ID)
		if err != nil {
			return nil, err
		}
		return w.s.Approve(ctx, tx, id, shown.Version)
	}
}

func (w *world) pause(reason string) deed {
	return func(ctx context.Context, tx bun.IDB, id uuid.UUID) (*Listing, error) {
		return w.s.Pause(ctx, tx, id, reason)
	}
}

func (w *world) edit(ctx context.Context, l *Listing, c Content) {
	w.t.Helper()
	w.write(ctx, func(ctx context.Context, tx bun.IDB) error { _, err := w.s.Edit(ctx, tx, l.ID, c); return err })
}

// logo is a key that the board could have stored.
func (w *world) logo() string { return w.board.ID.String() + "/logos/" + uuid.NewString() + ".png" }

func TestWhatIsApprovedIsWhatWasShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	l := w.draft("Crane driver")
	w.grant(w.ctx, l, Posting, 30)
	shown := w.do(w.desk, w.s.Submit, l)
	w.edit(w.desk, l, content("Crane scam"))
	w.fails(fault.Conflict, w.admin, func(ctx context.Context, tx bun.IDB) error {
		_, err := w.s.Approve(ctx, tx, l.ID, shown.Version)
		if fault.TextOf(err) != MsgChanged {
			t.Errorf("refused with %q", fault.TextOf(err))
		}
		return err
	})
	if got := w.get(l); got.State != InReview {
		t.Fatalf("a later edit went out: %s %q", got.State, got.Title)
	}
	newer := w.get(l).Version
	for range 2 { // twice: the second click finds it done
		w.write(w.admin, func(ctx context.Context, tx bun.IDB) error { _, err := w.s.Approve(ctx, tx, l.ID, newer); return err })
	}
	if got := w.get(l); got.State != Live {
		t.Errorf("approved: %s", got.State)
	}
}

func TestALogoPassesReviewWithItsListing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	first, c := w.logo(), content("Crane driver")
	c.Logo, c.Website = first, "https://harbour.example"
	var l *Listing
	w.write(w.desk, func(ctx context.Context, tx bun.IDB) (err error) {
		l, err = w.s.Create(ctx, tx, c, Owner{PersonID: &w.person})
		return err
	})
	slug := l.Company.Slug
	w.fails(fault.NotFound, w.ctx, func(ctx context.Context, tx bun.IDB) error {
		_, _, err := w.s.CompanyPage(ctx, tx, slug)
		return err
	})
	company := func() *Company { return w.get(l).Company }
	if got := w.get(l); got.Company.LogoKey != "" || got.AsOut().Company.LogoKey != first {
		t.Fatalf("a draft's logo is out: %q, as out %q", got.Company.LogoKey, got.AsOut().Company.LogoKey)
	}
	w.grant(w.ctx, l, Posting, 30)
	w.do(w.desk, w.s.Submit, l)
	w.do(w.admin, w.approve(l), l)
	if got := w.get(l); got.Company.LogoKey != first || got.NextLogo != "" {
		t.Fatalf("approved: logo %q, waiting %q", got.Company.LogoKey, got.NextLogo)
	}
	// An edit of what is out.
	second, third := w.logo(), w.logo()
	c.Logo = second
	w.edit(w.desk, l, c)
	if got := company(); got.LogoKey != first {
		t.Fatal("an unreviewed logo is out")
	}
	c.Logo, c.Title = "", "Crane operator" // a newer edit without a file keeps it
	w.edit(w.desk, l, c)
	w.write(w.admin, func(ctx context.Context, tx bun.IDB) error {
		r, err := w.s.PendingRevision(ctx, tx, l.ID)
		if err != nil {
			return err
		}
		if r.Content.Logo != second {
			t.Errorf("the newer edit lost the logo: %q", r.Content.Logo)
		}
		if ch := Diff(ContentOf(w.get(l)), r.Content, "en"); len(ch) != 2 || ch[1].Field != FieldLogo || ch[1].New != second {
			t.Errorf("shown to the reviewer: %+v", ch)
		}
		_, err = w.s.ApproveRevision(ctx, tx, r.ID)
		return err
	})
	if got := company(); got.LogoKey != second {
		t.Errorf("approved edit: %q", got.LogoKey)
	}
	// A second listing of the company, never approved: neither logo nor website.
	c = content("Second driver")
	c.Logo = third
	var other *Listing
	w.write(w.desk, func(ctx context.Context, tx bun.IDB) (err error) {
		other, err = w.s.Create(ctx, tx, c, Owner{PersonID: &w.person})
		return err
	})
	w.write(w.ctx, func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`UPDATE companies SET website = '' WHERE tenant_id = ? AND id = ?`, w.board.ID, l.CompanyID).Exec(ctx)
		return err
	})
	c.Website = "https://evil.example"
	w.edit(w.desk, other, c)
	if got := company(); got.LogoKey != second || got.Website != "" {
		t.Errorf("a draft changed what visitors see: %q %q", got.LogoKey, got.Website)
	}
	if got := w.get(other).AsOut().Company; got.LogoKey != third || got.Website != "https://evil.example" {
		t.Errorf("the review does not see it: %+v", got)
	}
	w.fails(fault.Invalid, w.desk, func(ctx context.Context, tx bun.IDB) error {
		c.Logo = uuid.NewString() + "/logos/" + uuid.NewString() + ".png"
		_, err := w.s.Edit(ctx, tx, other.ID, c)
		return err
	})
	// A refused edit's file goes.
	c = content("Crane chief")
	c.Logo = w.logo()
	w.edit(w.desk, l, c)
	w.write(w.admin, func(ctx context.Context, tx bun.IDB) error {
		r, err := w.s.PendingRevision(ctx, tx, l.ID)
		if err != nil {
			return err
		}
		_, err = w.s.RejectRevision(ctx, tx, r.ID, "No.")
		return err
	})
	if n := w.count(`SELECT count(*) FROM tasks WHERE kind = ? AND payload->>'key' = ?`, TaskBlobDelete, c.Logo); n != 1 {
		t.Errorf("%d tasks erase the refused logo", n)
	}
}

func TestOnlyTheBoardLiftsItsPause(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	l := w.live("Crane driver")
	w.pass(time.Minute)
	w.do(w.admin, w.pause("  Looks like a scam. "), l)
	held := func(fn deed) {
		t.Helper()
		w.fails(fault.Conflict, w.desk, func(ctx context.Context, tx bun.IDB) error {
			_, err := fn(ctx, tx, l.ID)
			if fault.TextOf(err) != MsgHeld {
				t.Errorf("refused with %q", fault.TextOf(err))
			}
			return err
		})
	}
	w.write(w.desk, func(ctx context.Context, tx bun.IDB) error {
		hold, err := w.s.Hold(ctx, tx, l.ID)
		if err != nil || hold == nil || hold.Reason != "Looks like a scam." {
			t.Errorf("hold %+v %v", hold, err)
		}
		return err
	})
	held(w.s.Resume)
	w.pass(time.Minute)
	// No way around it: filled, removed and undone, relisted.
	w.do(w.desk, w.s.MarkFilled, l)
	held(w.s.Resume)
	held(w.s.Relist)
	w.pass(time.Minute)
	w.do(w.admin, func(ctx context.Context, tx bun.IDB, id uuid.UUID) (*Listing, error) {
		return w.s.Remove(ctx, tx, id, "")
	}, l)
	w.pass(time.Minute)
	w.do(w.admin, w.s.Restore, l)
	held(w.s.Resume)
	w.pass(time.Minute)
	if got := w.do(w.admin, w.s.Resume, l); got.State != Live {
		t.Fatalf("the board's own resume: %s", got.State)
	}
	w.pass(time.Minute)
	w.do(w.desk, w.pause(""), l)
	w.pass(time.Minute)
	w.do(w.admin, func(ctx context.Context, tx bun.IDB, id uuid.UUID) (*Listing, error) {
		return w.s.Remove(ctx, tx, id, "")
	}, l)
	w.pass(time.Minute)
	w.do(w.admin, w.s.Restore, l) // back to paused by the board's hand: still the employer's pause
	if got := w.do(w.desk, w.s.Resume, l); got.State != Live {
		t.Errorf("the employer's own pause: %s", got.State)
	}
	w.fails(fault.Invalid, w.admin, func(ctx context.Context, tx bun.IDB) error {
		_, err := w.s.Pause(ctx, tx, l.ID, string(make([]byte, 501)))
		return err
	})
}
