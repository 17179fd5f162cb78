package candidates_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"shingle/candidates"
	"shingle/internal/fault"
	"shingle/listings"
)

func (d *desk) count(t *testing.T, query string, args ...any) (n int) {
	t.Helper()
	if err := d.DB.Read(d.ctx, func(ctx context.Context, tx bun.IDB) error { return tx.NewRaw(query, args...).Scan(ctx, &n) }); err != nil {
		t.Fatal(err)
	}
	return n
}

// From however many networks somebody asks, one address is written to a few
// times a day, and nobody learns how often it has been asked.
func TestAnAddressIsNotFloodedWithConfirmations(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for i := range 12 {
		d.write(t, d.ctx, func(ctx context.Context, tx bun.IDB) error {
			return d.s.AskAlert(ctx, tx, "Victim@seeker.example", fmt.Sprintf("q=%d", i), "jobs")
		})
	}
	if n := d.count(t, `SELECT count(*) FROM mails WHERE kind = 'alert-confirm' AND recipient = 'victim@seeker.example'`); n != 5 {
		t.Errorf("%d confirmations for one address, want 5", n)
	}
	if n := d.count(t, `SELECT count(*) FROM alerts WHERE email = 'victim@seeker.example'`); n != 5 {
		t.Errorf("%d alerts kept, want 5", n)
	}
	d.write(t, d.ctx, func(ctx context.Context, tx bun.IDB) error {
		return d.s.AskAlert(ctx, tx, "other@seeker.example", "q=1", "jobs")
	})
	if n := d.count(t, `SELECT count(*) FROM mails WHERE kind = 'alert-confirm' AND recipient = 'other@seeker.example'`); n != 1 {
		t.Error("another address pays for it")
	}
}

func TestOneOpenApplicationAPosting(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	a, err := d.s.Apply(d.ctx, d.listing, form())
	if err != nil {
		t.Fatal(err)
	}
	d.clock.Advance(5 * 24 * time.Hour)
	if _, err := d.s.Apply(d.ctx, d.listing, form()); !fault.Is(err, fault.Conflict) {
		t.Fatalf("a second one five days later: %v, want conflict", err)
	}
	d.write(t, d.ctx, func(ctx context.Context, tx bun.IDB) error {
		return d.s.SetStatus(ctx, tx, d.person, a.ID, candidates.Rejected)
	})
	if _, err := d.s.Apply(d.ctx, d.listing, form()); err != nil {
		t.Errorf("after a rejection: %v", err)
	}
	// Posted anew, a year later: a new posting.
	d.clock.Advance(365 * 24 * time.Hour)
	d.write(t, d.ctx, func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`UPDATE listings SET published_at = ?, ends_at = ? WHERE tenant_id = ? AND id = ?`, d.clock.Now(), d.clock.Now().Add(time.Hour), d.board.ID, d.listing).Exec(ctx)
		return err
	})
	if _, err := d.s.Apply(d.ctx, d.listing, form()); err != nil {
		t.Errorf("in a new posting: %v", err)
	}
}

func TestFloodsOfApplicationsEnd(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	// One applicant's address over many listings.
	rows := make([]listings.Listing, 21)
	d.write(t, d.ctx, func(ctx context.Context, tx bun.IDB) error {
		l, err := d.s.Listings.ByID(ctx, tx, d.listing)
		if err != nil {
			return err
		}
		for i := range rows {
			rows[i] = listings.Listing{CompanyID: l.CompanyID, PersonID: l.PersonID, Title: "Lock keeper", Description: "<p>x</p>", State: listings.Live, ApplyMethod: listings.ApplyBoard}
		}
		return d.s.Listings.BulkInsert(ctx, tx, rows, false)
	})
	for i := range rows {
		_, err := d.s.Apply(d.ctx, rows[i].ID, form())
		if i < 20 && err != nil {
			t.Fatal(err)
		}
		if i == 20 && fault.FieldsOf(err)["email"] != "apply.many" {
			t.Errorf("application %d of a day: %v", i+1, err)
		}
	}
	// Many addresses, one employer: all arrive, and the mails end.
	for i := range 30 {
		f := form()
		f.Email = fmt.Sprintf("a%d@seeker.example", i)
		if _, err := d.s.Apply(d.ctx, d.listing, f); err != nil {
			t.Fatal(err)
		}
	}
	if n := d.count(t, `SELECT count(*) FROM mails WHERE kind = 'application-received'`); n != 40 {
		t.Errorf("%d mails to one employer within an hour, want 40", n)
	}
	if n := d.count(t, `SELECT count(*) FROM mails WHERE kind = 'applications-waiting' AND recipient = 'boss@hirer.example'`); n != 1 {
		t.Errorf("%d mails say that more are waiting, want 1", n)
	}
	if n := d.count(t, `SELECT count(*) FROM applications`); n != 50 {
		t.Errorf("%d applications kept, want 50", n)
	}
	// One employer, one applicant.
	app, err := d.s.Apply(d.ctx, d.listing, candidates.Form{Name: "Eve", Email: "eve@seeker.example", CVName: "cv.txt", CV: []byte("Ten years.\n"), Consent: true, ConsentText: "x"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 21 {
		err := d.DB.Write(d.ctx, func(ctx context.Context, tx bun.IDB) error { return d.s.Answer(ctx, tx, d.person, app.ID, "Hello") })
		if i < 20 && err != nil || i == 20 && fault.FieldsOf(err)["body"] != "application.reply.many" {
			t.Fatalf("reply %d: %v", i+1, err)
		}
	}
	for i := range 45 {
		d.write(t, d.ctx, func(ctx context.Context, tx bun.IDB) error {
			return d.s.ReportListing(ctx, tx, d.listing, "scam", fmt.Sprint(i), "")
		})
	}
	if n := d.count(t, `SELECT count(*) FROM mails WHERE kind = 'report-received'`); n > 40 {
		t.Errorf("%d mails about reports within an hour", n)
	}
}

// After a withdrawal no row of the mail log knows the applicant.
func TestWithdrawingEmptiesTheMailLog(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	a, err := d.s.Apply(d.ctx, d.listing, form())
	if err != nil {
		t.Fatal(err)
	}
	back := d.token(t, d.ctx, "application-sent")
	answer := func() {
		d.write(t, d.ctx, func(ctx context.Context, tx bun.IDB) error {
			return d.s.Answer(ctx, tx, d.person, a.ID, "Dear Ada Reed")
		})
	}
	answer()
	d.write(t, d.ctx, func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`UPDATE mails SET state = CASE kind WHEN 'application-reply' THEN 'refused' ELSE 'sent' END, payload = '{}' WHERE kind LIKE 'application-%'`).Exec(ctx)
		return err
	})
	answer() // this one waits still
	other := form()
	other.Email = "bob@seeker.example"
	if _, err := d.s.Apply(d.ctx, d.listing, other); err != nil {
		t.Fatal(err)
	}
	rival := d.Ctx(t, d.Board(t, "rival"))
	if err := d.DB.Write(rival, func(ctx context.Context, tx bun.IDB) error { _, err := d.s.Withdraw(ctx, tx, back); return err }); !fault.Is(err, fault.Gone) {
		t.Fatalf("from a rival board: %v", err)
	}
	d.write(t, d.ctx, func(ctx context.Context, tx bun.IDB) error { _, err := d.s.Withdraw(ctx, tx, back); return err })
	if n := d.count(t, `SELECT count(*) FROM mails WHERE recipient = 'ada@seeker.example' OR key LIKE ? AND payload::text LIKE '%Ada Reed%' OR kind = 'application-reply' AND payload::text LIKE '%Ada%'`, a.ID.String()+"%"); n != 0 {
		t.Errorf("%d mails still know the applicant", n)
	}
	if n := d.count(t, `SELECT count(*) FROM mails WHERE recipient = 'bob@seeker.example'`); n != 1 {
		t.Errorf("%d mails to another applicant, want 1", n)
	}
	if n := d.count(t, `SELECT count(*) FROM mails WHERE kind = 'application-received' AND recipient = 'boss@hirer.example'`); n != 2 {
		t.Errorf("%d mails to the employer, want 2", n)
	}
	// Nothing else of the board keeps the address.
	for _, table := range []string{"tasks", "audit_log", "application_replies", "applications"} {
		if n := d.count(t, `SELECT count(*) FROM `+table+` AS x WHERE x::text ILIKE '%ada@seeker.example%'`); n != 0 {
			t.Errorf("%d rows of %s keep the address", n, table)
		}
	}
}
