package candidates_test

import (
	"bytes"
	"context"
	"io"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"gocloud.dev/blob/memblob"

	"shingle/accounts"
	"shingle/candidates"
	"shingle/internal/demo"
	"shingle/internal/fault"
	"shingle/internal/links"
	"shingle/internal/testkit"
	"shingle/listings"
	"shingle/tasks"
	"shingle/tenant"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// desk is a board with an employer and a live listing that takes applications.
type desk struct {
	*testkit.World
	s       *candidates.Service
	board   *tenant.Tenant
	ctx     context.Context
	person  uuid.UUID
	listing uuid.UUID
	clock   *testkit.Clock
	cards   []listings.Card
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	w := testkit.NewWorld(t)
	d := &desk{World: w, board: w.Board(t, "acme"), clock: testkit.NewClock(time.Now().UTC().Truncate(time.Second))}
	d.ctx = w.Ctx(t, d.board)
	ln, err := links.New("http://localhost:8080", "platform.localhost", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	store := listings.NewStore(ln)
	store.Now = d.clock.Now
	bucket := memblob.OpenBucket(nil)
	t.Cleanup(func() { _ = bucket.Close() })
	d.s = &candidates.Service{DB: w.DB, Platform: w.Platform, Listings: store, Files: bucket, Links: ln, Key: []byte("0123456789abcdef0123456789abcdef"), Now: d.clock.Now,
		Find: func(context.Context, url.Values, time.Time) ([]listings.Card, error) { return d.cards, nil }}
	people := accounts.NewPeople(w.DB, accounts.NewLimiter(nil, d.clock.Now), ln, d.clock.Now)
	d.write(t, d.ctx, func(ctx context.Context, tx bun.IDB) error {
		p, err := people.FindOrCreate(ctx, tx, "boss@hirer.example", "Bo")
		if err != nil {
			return err
		}
		co, err := store.FindOrCreateCompany(ctx, tx, "Hirer", "", &p.ID)
		if err != nil {
			return err
		}
		rows := []listings.Listing{{CompanyID: co.ID, PersonID: &p.ID, Title: "Lock keeper", Description: "<p>Keep the lock.</p>", State: listings.Live, ApplyMethod: listings.ApplyBoard}}
		if err := store.BulkInsert(ctx, tx, rows, false); err != nil {
			return err
		}
		d.person, d.listing = p.ID, rows[0].ID
		return nil
	})
	return d
}

func (d *desk) write(t *testing.T, ctx context.Context, fn tenant.Fn) {
	t.Helper()
	if err := d.DB.Write(ctx, fn); err != nil {
		t.Fatal(err)
	}
}

func form() candidates.Form {
	return candidates.Form{Name: "Ada Reed", Email: "Ada@Seeker.example", Note: "I like locks.", CVName: "Ada Reed.pdf", CV: demo.CV("Ada Reed", []string{"Ten years at the weir"}), Consent: true, ConsentText: "Hirer may read this."}
}

// token digs a link's token out of the queued mail of a kind.
func (d *desk) token(t *testing.T, ctx context.Context, kind string) string {
	t.Helper()
	var link string
	err := d.DB.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT payload->>'url' FROM mails WHERE kind = ? ORDER BY created_at DESC, id DESC LIMIT 1`, kind).Scan(ctx, &link)
	})
	if err != nil {
		t.Fatalf("mail %s: %v", kind, err)
	}
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("token")
}

func TestApplyOpenWithdraw(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	a, err := d.s.Apply(d.ctx, d.listing, form())
	if err != nil {
		t.Fatal(err)
	}
	if a.Email != "ada@seeker.example" || a.ConsentText != "Hirer may read this." {
		t.Errorf("stored %q, %q", a.Email, a.ConsentText)
	}
	if _, err := d.s.Apply(d.ctx, d.listing, form()); !fault.Is(err, fault.Conflict) {
		t.Errorf("applying twice: %v, want conflict", err)
	}

	// The employer's link is bound to the listing and expires; it opens for the desk's owner alone.
	token := d.token(t, d.ctx, "application-received")
	_, r, err := d.s.CV(d.ctx, d.person, a.ID, token)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(r)
	_ = r.Close()
	if !bytes.HasPrefix(body, []byte("%PDF")) {
		t.Error("the CV is not what was sent")
	}
	if _, _, err := d.s.CV(d.ctx, uuid.New(), a.ID, token); !fault.Is(err, fault.NotFound) {
		t.Errorf("a stranger with the link: %v, want not found", err)
	}
	if _, _, err := d.s.CV(d.ctx, d.person, a.ID, token[:len(token)-2]+"AA"); !fault.Is(err, fault.NotFound) {
		t.Errorf("a forged link: %v, want not found", err)
	}
	d.clock.Advance(8 * 24 * time.Hour)
	if _, _, err := d.s.CV(d.ctx, d.person, a.ID, token); !fault.Is(err, fault.Gone) {
		t.Errorf("an old link: %v, want gone", err)
	}

	// Withdrawing empties the row at once and erases the file by a task.
	back := d.token(t, d.ctx, "application-sent")
	d.write(t, d.ctx, func(ctx context.Context, tx bun.IDB) error { _, err := d.s.Withdraw(ctx, tx, back); return err })
	if err := d.DB.Write(d.ctx, func(ctx context.Context, tx bun.IDB) error { _, err := d.s.Withdraw(ctx, tx, back); return err }); !fault.Is(err, fault.Gone) {
		t.Errorf("withdrawing twice: %v, want gone", err)
	}
	var left string
	var n int
	err = d.DB.Read(d.ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := tx.NewRaw(`SELECT name || email || note || cv_name FROM applications WHERE id = ?`, a.ID).Scan(ctx, &left); err != nil {
			return err
		}
		return tx.NewRaw(`SELECT count(*) FROM tasks WHERE kind = 'candidates.erase_cv'`).Scan(ctx, &n)
	})
	if err != nil || left != "" || n != 1 {
		t.Errorf("left %q, %d erasing tasks: %v", left, n, err)
	}
	if _, _, err := d.s.CV(d.ctx, d.person, a.ID, ""); !fault.Is(err, fault.Gone) {
		t.Errorf("the CV after the withdrawal: %v, want gone", err)
	}
}

func TestApplyRefusesWithTheFieldsName(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for name, c := range map[string]struct {
		change func(*candidates.Form)
		field  string
	}{
		"no name":            {func(f *candidates.Form) { f.Name = " " }, "name"},
		"bad address":        {func(f *candidates.Form) { f.Email = "ada@nowhere" }, "email"},
		"no consent":         {func(f *candidates.Form) { f.Consent = false }, "consent"},
		"empty file":         {func(f *candidates.Form) { f.CV = nil }, "cv"},
		"large file":         {func(f *candidates.Form) { f.CV = append(f.CV, make([]byte, candidates.MaxCV)...) }, "cv"},
		"picture called pdf": {func(f *candidates.Form) { f.CV = []byte("\x89PNG\r\n\x1a\n0000") }, "cv"},
		"program":            {func(f *candidates.Form) { f.CVName, f.CV = "cv.exe", []byte("MZ") }, "cv"},
		"page called text":   {func(f *candidates.Form) { f.CVName, f.CV = "cv.txt", []byte("<html><script>1</script></html>") }, "cv"},
		"endless note":       {func(f *candidates.Form) { f.Note = strings.Repeat("x", 5001) }, "note"},
	} {
		f := form()
		c.change(&f)
		_, err := d.s.Apply(d.ctx, d.listing, f)
		if fault.FieldsOf(err)[c.field] == "" {
			t.Errorf("%s: %v, want field %s", name, err, c.field)
		}
	}
	ok := form()
	ok.CVName, ok.CV = "über mich.txt", []byte("Ten years at the weir.\n")
	if _, err := d.s.Apply(d.ctx, d.listing, ok); err != nil {
		t.Errorf("a text file: %v", err)
	}
}

func TestOnlyOneOfManyPostsLands(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	landed := 0
	for range 8 {
		wg.Go(func() {
			if _, err := d.s.Apply(d.ctx, d.listing, form()); err == nil {
				mu.Lock()
				landed++
				mu.Unlock()
			} else if !fault.Is(err, fault.Conflict) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if landed != 1 {
		t.Errorf("%d applications landed", landed)
	}
}

func TestAlert(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ask := func() {
		d.write(t, d.ctx, func(ctx context.Context, tx bun.IDB) error {
			return d.s.AskAlert(ctx, tx, "R@Seeker.example", "q=lock", "lock jobs")
		})
	}
	ask()
	ask() // a moment later: no second mail
	var mails int
	count := func(kind string) int {
		if err := d.DB.Read(d.ctx, func(ctx context.Context, tx bun.IDB) error {
			return tx.NewRaw(`SELECT count(*) FROM mails WHERE kind = ?`, kind).Scan(ctx, &mails)
		}); err != nil {
			t.Fatal(err)
		}
		return mails
	}
	if count("alert-confirm") != 1 {
		t.Fatalf("%d confirmation mails", mails)
	}
	token := d.token(t, d.ctx, "alert-confirm")
	mux := tasks.NewMux()
	d.s.Register(mux)
	digests := func() {
		t.Helper()
		if err := mux.Run(d.ctx, &tasks.Task{Kind: "candidates.digests", TenantID: d.board.ID}); err != nil {
			t.Fatal(err)
		}
	}
	d.cards = []listings.Card{{PublicID: "abc", Slug: "lock-keeper", Title: "Lock keeper", CompanyName: "Hirer"}}
	d.clock.Advance(48 * time.Hour)
	digests()
	if count("alert-digest") != 0 {
		t.Error("an unconfirmed address was written to")
	}
	var a *candidates.Alert
	d.write(t, d.ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		a, err = d.s.ConfirmAlert(ctx, tx, token)
		return err
	})
	confirmed := d.clock.Now()
	digests()
	if count("alert-digest") != 0 {
		t.Error("the first mail came before its morning")
	}
	d.clock.Advance(25 * time.Hour)
	// The month's mails are used up: nothing is written, for however many days,
	// and the first mail afterwards begins where the alert stood.
	var room int64
	var since time.Time
	d.s.BulkMails = func(context.Context) (int64, error) { return room, nil }
	d.s.Find = func(_ context.Context, _ url.Values, from time.Time) ([]listings.Card, error) {
		since = from
		return d.cards, nil
	}
	for range 2 {
		digests()
		d.clock.Advance(25 * time.Hour)
	}
	if count("alert-digest") != 0 || !since.IsZero() {
		t.Error("a held digest was written")
	}
	room = 10
	digests()
	digests()
	if count("alert-digest") != 1 {
		t.Errorf("%d digests for one day", mails)
	}
	if !since.Equal(confirmed) {
		t.Errorf("the digest begins at %s, want where the alert stood, %s", since, confirmed)
	}
	var stop string
	if err := d.DB.Read(d.ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT payload->>'stop_url' FROM mails WHERE kind = 'alert-digest'`).Scan(ctx, &stop)
	}); err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(stop)
	d.write(t, d.ctx, func(ctx context.Context, tx bun.IDB) error {
		_, err := d.s.StopAlert(ctx, tx, a.ID, u.Query().Get("token"))
		return err
	})
	d.clock.Advance(25 * time.Hour)
	digests()
	if count("alert-digest") != 1 {
		t.Error("a stopped alert wrote again")
	}
}

// Boards whose mails are held are left aside, and the others are not.
func TestHeldBoardsAreLeftAside(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	other := d.Board(t, "rival")
	mux := tasks.NewMux()
	d.s.Register(mux)
	err := d.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		for _, q := range []string{
			`INSERT INTO plans (id, name, tagline, fee_rule, limits, features, trial_days, position, listed, created_at) VALUES (md5('p')::uuid, 'P', '{}', '{}', '{}', '{}', 0, 1, true, now())`,
			`INSERT INTO board_plans (tenant_id, plan_id, state, created_at, updated_at) SELECT b, md5('p')::uuid, 'active', now(), now() FROM unnest(ARRAY[?0, ?1]::uuid[]) AS b`,
			`INSERT INTO alerts (tenant_id, id, email, locale, query, state, confirm_hash, stop_hash, created_at, seen_until, next_at)
				SELECT b, gen_random_uuid(), 'a@x.example', 'en', 'q=x', 'active', 'a', 'b', now(), now(), now() - interval '1 hour' FROM unnest(ARRAY[?0, ?1]::uuid[]) AS b`,
			`UPDATE board_plans SET mails_held_since = now() WHERE tenant_id = ?0`,
		} {
			if _, err := tx.NewRaw(q, d.board.ID, other.ID).Exec(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	due := func() (boards []tenant.ID) {
		t.Helper()
		err := d.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
			if _, err := tx.NewRaw(`DELETE FROM tasks WHERE kind IN ('candidates.digests', 'candidates.spread_digests')`).Exec(ctx); err != nil {
				return err
			}
			return tasks.Add(ctx, tx, tasks.New{Kind: "candidates.spread_digests", Queue: tasks.Bulk})
		})
		if err != nil {
			t.Fatal(err)
		}
		var task tasks.Task
		err = d.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
			return tx.NewRaw(`SELECT tenant_id, id, kind, queue, version, payload, handover FROM tasks WHERE kind = 'candidates.spread_digests'`).Scan(ctx, &task)
		})
		if err == nil {
			err = mux.Run(t.Context(), &task)
		}
		if err == nil {
			err = d.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
				return tx.NewRaw(`SELECT tenant_id FROM tasks WHERE kind = 'candidates.digests' ORDER BY 1`).Scan(ctx, &boards)
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		return boards
	}
	if got := due(); len(got) != 1 || got[0] != other.ID {
		t.Errorf("work for %v, want for %s alone", got, other.ID)
	}
	if err := d.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`UPDATE board_plans SET mails_held_since = NULL`).Exec(ctx)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if got := due(); len(got) != 2 {
		t.Errorf("work for %v, want for both", got)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	err := d.DB.Write(d.ctx, func(ctx context.Context, tx bun.IDB) error {
		return d.s.ReportListing(ctx, tx, d.listing, "other", "", "x")
	})
	if f := fault.FieldsOf(err); f["text"] == "" || f["email"] == "" {
		t.Errorf("got %v", err)
	}
	d.write(t, d.ctx, func(ctx context.Context, tx bun.IDB) error {
		return d.s.ReportListing(ctx, tx, d.listing, "scam", "They ask for money.", "")
	})
	d.write(t, d.ctx, func(ctx context.Context, tx bun.IDB) error {
		open, n, err := d.s.Reports(ctx, tx, "open", 1, 10)
		if err != nil || n != 1 || open[0].Title != "Lock keeper" {
			t.Errorf("reports %+v, %d, %v", open, n, err)
		}
		if _, err := d.s.DecideReport(ctx, tx, open[0].ID, "upheld"); err != nil {
			return err
		}
		_, err = d.s.DecideReport(ctx, tx, open[0].ID, "dismissed")
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("deciding twice: %v", err)
		}
		return nil
	})
}

// TestTheAddressThatHearsOfApplicationsOpensThem: a listing that the board
// posted has no employer; whoever its applications go to reads them, once the
// address is proven.
func TestTheAddressThatHearsOfApplicationsOpensThem(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ln, err := links.New("http://localhost:8080", "platform.localhost", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	people := accounts.NewPeople(d.DB, accounts.NewLimiter(nil, d.clock.Now), ln, d.clock.Now)
	var hr, other *accounts.Person
	var id uuid.UUID
	d.write(t, d.ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		co, err := d.s.Listings.FindOrCreateCompany(ctx, tx, "Weir Trust", "", nil)
		if err != nil {
			return err
		}
		rows := []listings.Listing{{CompanyID: co.ID, Title: "Weir warden", Description: "<p>Mind the weir.</p>", State: listings.Live, ApplyMethod: listings.ApplyBoard, ApplyTarget: "hr@weir.example"}}
		if err := d.s.Listings.BulkInsert(ctx, tx, rows, false); err != nil {
			return err
		}
		id = rows[0].ID
		if hr, err = people.FindOrCreate(ctx, tx, "hr@weir.example", ""); err != nil {
			return err
		}
		if other, err = people.FindOrCreate(ctx, tx, "other@weir.example", ""); err != nil {
			return err
		}
		return people.Confirm(ctx, tx, other)
	})
	a, err := d.s.Apply(d.ctx, id, form())
	if err != nil {
		t.Fatal(err)
	}
	open := func(person uuid.UUID) error {
		_, r, err := d.s.CV(d.ctx, person, a.ID, "")
		if err == nil {
			_ = r.Close()
		}
		return err
	}
	if err := open(hr.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("before the address is proven: %v", err)
	}
	d.write(t, d.ctx, func(ctx context.Context, tx bun.IDB) error { return people.Confirm(ctx, tx, hr) })
	if err := open(hr.ID); err != nil {
		t.Errorf("the address that hears of it: %v", err)
	}
	if err := open(other.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("another address: %v", err)
	}
}
