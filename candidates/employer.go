package candidates

import (
	"context"
	"encoding/csv"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/listings"
	sendmail "shingle/mail"
	"shingle/tenant"
)

// owned reads an application whose listing is on the person's desk: theirs, or
// of a company that they belong to. Kind: fault.NotFound for anybody else.
func (s *Service) owned(ctx context.Context, tx bun.IDB, person, application uuid.UUID) (*Application, *listings.Listing, error) {
	a := new(Application)
	if err := tenant.One(ctx, tx.NewSelect().Model(a).Where("a.id = ?", application), "application"); err != nil {
		return nil, nil, err
	}
	l, err := s.OwnListing(ctx, tx, person, a.ListingID)
	if err != nil {
		return nil, nil, fault.New(fault.NotFound, "application not found")
	}
	return a, l, nil
}

// OwnListing reads a listing on the person's desk. Kind: fault.NotFound.
func (s *Service) OwnListing(ctx context.Context, tx bun.IDB, person, listing uuid.UUID) (*listings.Listing, error) {
	return s.Listings.Owned(ctx, tx, listing, person)
}

// Applicants lists a listing's applications, newest first; status "" is all.
// Kind: fault.NotFound when the listing is not on the person's desk.
func (s *Service) Applicants(ctx context.Context, tx bun.IDB, person, listing uuid.UUID, status string) ([]Application, error) {
	if _, err := s.OwnListing(ctx, tx, person, listing); err != nil {
		return nil, err
	}
	var out []Application
	q := tx.NewSelect().Model(&out).Where("a.listing_id = ?", listing).OrderExpr("a.created_at DESC").Limit(1000)
	if status != "" {
		q.Where("a.status = ?", status)
	}
	return out, q.Scan(ctx)
}

// Application reads one application with its replies. Kind: fault.NotFound.
func (s *Service) Application(ctx context.Context, tx bun.IDB, person, id uuid.UUID) (*Application, *listings.Listing, []Reply, error) {
	a, l, err := s.owned(ctx, tx, person, id)
	if err != nil {
		return nil, nil, nil, err
	}
	var replies []Reply
	err = tx.NewSelect().Model(&replies).Where("r.application_id = ?", id).OrderExpr("r.at").Scan(ctx)
	return a, l, replies, err
}

// SetStatus moves an application through the hiring. Kinds: fault.NotFound,
// fault.Invalid for an unknown status, fault.Conflict once withdrawn.
func (s *Service) SetStatus(ctx context.Context, tx bun.IDB, person, id uuid.UUID, status string) error {
	known := false
	for _, k := range Statuses() {
		known = known || k == status
	}
	if !known {
		return fault.Invalids(fault.Fields{"status": "application.status.unknown"})
	}
	a, _, err := s.owned(ctx, tx, person, id)
	if err != nil {
		return err
	}
	if a.WithdrawnAt != nil {
		return fault.New(fault.Conflict, "application.withdrawn")
	}
	res, err := tx.NewUpdate().Model((*Application)(nil)).Where("a.id = ?", id).Set("status = ?", status).Set("updated_at = ?", s.Now()).Exec(ctx)
	return tenant.Touched(res, err, "application")
}

// Answer keeps a reply and mails it to the applicant; an answer comes back to
// the employer's own address. Kinds: fault.NotFound, fault.Invalid (field
// "body"), fault.Conflict once withdrawn.
func (s *Service) Answer(ctx context.Context, tx bun.IDB, person, id uuid.UUID, body string) error {
	body = strings.TrimSpace(body)
	if body == "" {
		return fault.Invalids(fault.Fields{"body": "application.reply.required"})
	}
	if len([]rune(body)) > 5000 {
		return fault.Invalids(fault.Fields{"body": "application.reply.long"})
	}
	a, l, err := s.owned(ctx, tx, person, id)
	if err != nil {
		return err
	}
	if a.WithdrawnAt != nil {
		return fault.New(fault.Conflict, "application.withdrawn")
	}
	n, err := tenant.Count(ctx, tx.NewSelect().Model((*Reply)(nil)).Where("r.application_id = ?", id).Where("r.at > ?", s.Now().Add(-24*time.Hour)))
	if err != nil {
		return err
	}
	if n >= repliesPerDay {
		return fault.Invalids(fault.Fields{"body": "application.reply.many"})
	}
	r := &Reply{ID: tenant.NewRowID(), ApplicationID: id, PersonID: &person, Body: body, At: s.Now()}
	if _, err := tx.NewInsert().Model(r).Exec(ctx); err != nil {
		return err
	}
	co, err := s.Listings.CompanyByID(ctx, tx, l.CompanyID)
	if err != nil {
		return err
	}
	back, err := s.employerAddress(ctx, tx, l)
	if err != nil {
		return err
	}
	return sendmail.Queue(ctx, tx, sendmail.Message{Kind: "application-reply", Key: r.ID.String(), To: a.Email, ReplyTo: back, Quote: body,
		Data: sendmail.Data{"Title": l.Title, "Company": co.Name, "Name": a.Name}})
}

// CV opens an application's CV for the employer. A mailed link's token is
// checked too; "" comes from the desk. The caller closes the reader. It opens
// its own transaction. Kinds: fault.NotFound, fault.Gone.
func (s *Service) CV(ctx context.Context, person, id uuid.UUID, token string) (*Application, io.ReadCloser, error) {
	var a *Application
	err := s.DB.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		var l *listings.Listing
		if a, l, err = s.owned(ctx, tx, person, id); err != nil {
			return err
		}
		if token != "" {
			return s.checkCVToken(tenant.From(ctx).ID, l.ID, a.ID, token)
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	if a.CVKey == "" {
		return nil, nil, fault.New(fault.Gone, "cv.erased")
	}
	r, err := s.openCV(ctx, a.CVKey)
	return a, r, err
}

// linkFor is how long the link of CVLink lives: the way from one host to another.
const linkFor = time.Minute

// CVLink signs the way to a CV on the host of uploads, where no session is known.
func (s *Service) CVLink(board tenant.ID, listing, application uuid.UUID) string {
	return s.cvToken("cv file v1", board, listing, application, s.Now().Add(linkFor))
}

// LinkedCV opens the CV of a link that CVLink made for this board. The caller
// closes the reader. It opens its own transaction. Kinds: fault.NotFound, fault.Gone.
func (s *Service) LinkedCV(ctx context.Context, id uuid.UUID, token string) (*Application, io.ReadCloser, error) {
	a := new(Application)
	err := s.DB.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := tenant.One(ctx, tx.NewSelect().Model(a).Where("a.id = ?", id), "application"); err != nil {
			return err
		}
		return s.checkToken("cv file v1", tenant.From(ctx).ID, a.ListingID, a.ID, token)
	})
	if err != nil {
		return nil, nil, err
	}
	if a.CVKey == "" {
		return nil, nil, fault.New(fault.Gone, "cv.erased")
	}
	r, err := s.openCV(ctx, a.CVKey)
	return a, r, err
}

// WriteCSV writes applications for a spreadsheet. Cells that a spreadsheet
// would take for a formula are set off with an apostrophe.
func WriteCSV(w io.Writer, rows []Application) error {
	c := csv.NewWriter(w)
	_ = c.Write([]string{"received", "name", "email", "status", "cv", "note"})
	for i := range rows {
		a := &rows[i]
		_ = c.Write([]string{a.CreatedAt.UTC().Format(time.RFC3339), listings.CSVCell(a.Name), listings.CSVCell(a.Email), a.Status, listings.CSVCell(a.CVName), listings.CSVCell(a.Note)})
	}
	c.Flush()
	return c.Error()
}

// Counts is how many applications each of the listings has, and how many are new.
func (s *Service) Counts(ctx context.Context, tx bun.IDB, ids []uuid.UUID) (all, fresh map[uuid.UUID]int, err error) {
	all, fresh = map[uuid.UUID]int{}, map[uuid.UUID]int{}
	if len(ids) == 0 {
		return all, fresh, nil
	}
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, nil, err
	}
	var rows []struct {
		ListingID uuid.UUID `bun:"listing_id"`
		N         int       `bun:"n"`
		Fresh     int       `bun:"fresh"`
	}
	err = tx.NewRaw(`SELECT listing_id, count(*) AS n, count(*) FILTER (WHERE status = 'new') AS fresh FROM applications
		WHERE tenant_id = ? AND listing_id IN (?) AND withdrawn_at IS NULL GROUP BY listing_id`, board, bun.In(ids)).Scan(ctx, &rows)
	for _, r := range rows {
		all[r.ListingID], fresh[r.ListingID] = r.N, r.Fresh
	}
	return all, fresh, err
}
