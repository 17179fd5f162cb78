package candidates

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/address"
	"shingle/internal/fault"
	"shingle/listings"
	sendmail "shingle/mail"
	"shingle/tasks"
	"shingle/tenant"
)

// Form is what an applicant sends. Field names of errors: name, email, cv,
// note, consent.
type Form struct {
	Name, Email, Note string
	CVName            string
	CV                []byte
	Consent           bool
	// ConsentText is the line that stood beside the box.
	ConsentText string
}

// again is how long a rejected address cannot apply for the listing once more.
const again = 24 * time.Hour

// Check names what must change about the form, by field; nil when all is well.
func (f *Form) Check() error {
	_, err := f.check()
	return err
}

func (f *Form) check() (kind string, err error) {
	f.Name, f.Note = strings.TrimSpace(f.Name), strings.TrimSpace(f.Note)
	bad := fault.Fields{}
	if f.Name == "" {
		bad["name"] = "apply.name.required"
	} else if len([]rune(f.Name)) > 120 {
		bad["name"] = "apply.name.long"
	}
	email, ok := foldAddress(f.Email)
	if !ok {
		bad["email"] = "apply.email.invalid"
	} else {
		f.Email = email
	}
	if len([]rune(f.Note)) > 5000 {
		bad["note"] = "apply.note.long"
	}
	if !f.Consent {
		bad["consent"] = "apply.consent.required"
	}
	name, kind, cvErr := checkCV(f.CVName, f.CV)
	if cvErr != nil {
		bad["cv"] = fault.FieldsOf(cvErr)["cv"]
	} else {
		f.CVName = name
	}
	return kind, fault.Invalids(bad)
}

// foldAddress is the address as it is stored and compared.
func foldAddress(s string) (string, bool) {
	folded, wrong := address.Fold(s)
	return folded, wrong == address.Fine
}

// Apply stores an application for a live listing that takes them on the board,
// and writes to both sides. It opens its own transactions, with the upload
// between them.
//
// Kinds: fault.Invalid by field, fault.NotFound, fault.Gone when the listing
// takes no more applications, fault.Conflict when an application of the same
// address is open in this posting.
func (s *Service) Apply(ctx context.Context, listing uuid.UUID, f Form) (*Application, error) {
	kind, err := f.check()
	if err != nil {
		return nil, err
	}
	t := tenant.From(ctx)
	if err := s.DB.Read(ctx, func(ctx context.Context, tx bun.IDB) error { return s.mayApply(ctx, tx, listing, f.Email) }); err != nil {
		return nil, err
	}
	a := &Application{ID: tenant.NewRowID(), ListingID: listing, Name: f.Name, Email: f.Email, Note: f.Note, CVName: f.CVName, CVType: kind,
		CVSize: int64(len(f.CV)), Status: New, ConsentText: f.ConsentText, ConsentedAt: s.Now(), CreatedAt: s.Now(), UpdatedAt: s.Now()}
	a.CVKey = cvKey(t.ID, a.ID, f.CVName)
	if err := s.putCV(ctx, a.CVKey, kind, f.CV); err != nil {
		return nil, err
	}
	token, hash := newToken()
	a.WithdrawHash = hash
	err = s.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		// Two posts of one address at the same moment: the second waits, then meets the first.
		if _, err := tx.NewRaw(`SELECT pg_advisory_xact_lock(hashtextextended(?, 0))`, t.ID.String()+" "+f.Email).Exec(ctx); err != nil {
			return err
		}
		if err := s.mayApply(ctx, tx, listing, f.Email); err != nil {
			return err
		}
		if _, err := tx.NewInsert().Model(a).Exec(ctx); err != nil {
			return err
		}
		return s.tellBoth(ctx, tx, t, a, token)
	})
	if err != nil {
		// A file without its row is found by the nightly sweep too, should this fail.
		_ = s.eraseCV(context.WithoutCancel(ctx), a.CVKey)
		return nil, err
	}
	return a, nil
}

func (s *Service) mayApply(ctx context.Context, tx bun.IDB, listing uuid.UUID, email string) error {
	l, err := s.Listings.ByID(ctx, tx, listing)
	if err != nil {
		return err
	}
	if l.ApplyMethod != listings.ApplyBoard {
		return fault.New(fault.NotFound, "this employer takes applications elsewhere")
	}
	if !l.Open(s.Now()) {
		return fault.New(fault.Gone, "apply.closed")
	}
	since := s.Now().Add(-again)
	posting := since
	if l.PublishedAt != nil {
		posting = *l.PublishedAt
	}
	twice, err := tenant.Exists(ctx, tx.NewSelect().Model((*Application)(nil)).
		Where("a.listing_id = ?", listing).Where("a.email = ?", email).Where("a.withdrawn_at IS NULL").
		Where("(a.created_at > ? OR a.created_at >= ? AND a.status <> ?)", since, posting, Rejected))
	if err != nil {
		return err
	}
	if twice {
		return fault.New(fault.Conflict, "apply.twice")
	}
	n, err := tenant.Count(ctx, tx.NewSelect().Model((*Application)(nil)).Where("a.email = ?", email).Where("a.created_at > ?", s.Now().Add(-24*time.Hour)))
	if err == nil && n >= applicationsPerDay {
		err = fault.Invalids(fault.Fields{"email": "apply.many"})
	}
	return err
}

func (s *Service) tellBoth(ctx context.Context, tx bun.IDB, t *tenant.Tenant, a *Application, token string) error {
	l, err := s.Listings.ByID(ctx, tx, a.ListingID)
	if err != nil {
		return err
	}
	co, err := s.Listings.CompanyByID(ctx, tx, l.CompanyID)
	if err != nil {
		return err
	}
	err = sendmail.Queue(ctx, tx, sendmail.Message{Kind: "application-sent", Key: a.ID.String(), To: a.Email,
		Data: sendmail.Data{"Title": l.Title, "Company": co.Name, "Name": a.Name, "File": a.CVName},
		URL:  s.Links.Board(t, "/applications/withdraw?token="+token)})
	if err != nil {
		return err
	}
	to, err := s.employerAddress(ctx, tx, l)
	if err != nil || to == "" {
		return err
	}
	cv := s.CVToken(t.ID, l.ID, a.ID, s.Now().Add(cvLinkFor))
	return s.notify(ctx, tx, sendmail.Message{Kind: "application-received", Key: a.ID.String(), To: to, Quote: a.Note,
		Data: sendmail.Data{"Title": l.Title, "Name": a.Name, "File": a.CVName},
		URL:  s.Links.Board(t, "/employers/applications/"+a.ID.String()+"/cv?token="+cv)}, "applications-waiting")
}

// employerAddress is who hears of applications: the address set on the listing,
// the person who posted it, or the board when it posted the listing itself.
func (s *Service) employerAddress(ctx context.Context, tx bun.IDB, l *listings.Listing) (string, error) {
	if l.ApplyTarget != "" && l.ApplyMethod == listings.ApplyBoard {
		return l.ApplyTarget, nil
	}
	t := tenant.From(ctx)
	if l.PersonID == nil {
		return t.ContactEmail, nil
	}
	var to string
	err := tx.NewRaw(`SELECT email FROM people WHERE tenant_id = ? AND id = ?`, t.ID, *l.PersonID).Scan(ctx, &to)
	if errors.Is(err, sql.ErrNoRows) {
		return t.ContactEmail, nil
	}
	return to, err
}

// ByWithdrawToken finds the application that a withdrawal link is for. It
// changes nothing: mail scanners follow links. Kind: fault.Gone.
func (s *Service) ByWithdrawToken(ctx context.Context, tx bun.IDB, token string) (*Application, error) {
	a := new(Application)
	err := tenant.One(ctx, tx.NewSelect().Model(a).Where("a.withdraw_hash = ?", hashOf(token)).Where("a.withdrawn_at IS NULL"), "application")
	if fault.Is(err, fault.NotFound) {
		return nil, fault.New(fault.Gone, "withdraw.gone")
	}
	return a, err
}

// Withdraw takes an application back: what the applicant said is emptied in the
// same transaction, the CV is erased by a task that cannot be lost, and the
// employer is told. Kind: fault.Gone when it was withdrawn before.
func (s *Service) Withdraw(ctx context.Context, tx bun.IDB, token string) (*Application, error) {
	a, err := s.ByWithdrawToken(ctx, tx, token)
	if err != nil {
		return nil, err
	}
	return a, s.withdraw(ctx, tx, a)
}

// withdraw empties an application and tells the employer.
func (s *Service) withdraw(ctx context.Context, tx bun.IDB, a *Application) error {
	if err := s.empty(ctx, tx, a); err != nil {
		return err
	}
	l, err := s.Listings.ByID(ctx, tx, a.ListingID)
	if err != nil {
		return err
	}
	to, err := s.employerAddress(ctx, tx, l)
	if err != nil || to == "" {
		return err
	}
	t := tenant.From(ctx)
	return sendmail.Queue(ctx, tx, sendmail.Message{Kind: "application-withdrawn", Key: a.ID.String(), To: to,
		Data: sendmail.Data{"Title": l.Title}, URL: s.Links.Board(t, "/employers/listings/"+l.ID.String()+"/applicants")})
}

// empty takes out of an application all that says whose it was.
func (s *Service) empty(ctx context.Context, tx bun.IDB, a *Application) error {
	res, err := tx.NewUpdate().Model((*Application)(nil)).Where("a.id = ?", a.ID).Where("a.withdrawn_at IS NULL").
		Set("status = ?", Withdrawn).Set("withdrawn_at = ?", s.Now()).Set("updated_at = ?", s.Now()).Set("name = ''").Set("email = ''").
		Set("note = ''").Set("cv_key = ''").Set("cv_name = ''").Set("cv_size = 0").Set("withdraw_hash = NULL").Exec(ctx)
	if err := tenant.Touched(res, err, "application"); err != nil {
		return fault.Wrap(err, fault.Gone, "withdraw.gone")
	}
	if err := s.forgetMails(ctx, tx, a.ID); err != nil {
		return err
	}
	if _, err := tx.NewDelete().Model((*Reply)(nil)).Where("r.application_id = ?", a.ID).Exec(ctx); err != nil {
		return err
	}
	if a.CVKey == "" {
		return nil
	}
	return tasks.Add(ctx, tx, tasks.New{Kind: taskEraseCV, Payload: erasePayload{a.CVKey}})
}

// forgetMails empties the mail log of an application: addresses, and what was
// said where it has not been sent. Mails that wait are not sent any more. What
// is on the wire at this moment finds its row emptied. Runs before the replies go.
func (s *Service) forgetMails(ctx context.Context, tx bun.IDB, application uuid.UUID) error {
	board := tenant.From(ctx).ID
	const about = ` WHERE tenant_id = ? AND (key = ? AND kind IN ('application-sent', 'application-received')
		OR kind = 'application-reply' AND key IN (SELECT id::text FROM application_replies WHERE tenant_id = ? AND application_id = ?))`
	if _, err := tx.NewRaw(`DELETE FROM mails`+about+` AND state = 'queued'`, board, application.String(), board, application).Exec(ctx); err != nil {
		return err
	}
	_, err := tx.NewRaw(`UPDATE mails SET recipient = '', payload = '{}', error = ''`+about+` AND kind <> 'application-received'`,
		board, application.String(), board, application).Exec(ctx)
	return err
}
