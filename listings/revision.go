package listings

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tenant"
)

// States of a revision.
const (
	Pending    = "pending"
	Approved   = "approved"
	Refused    = "rejected"
	Superseded = "superseded"
)

// Revision is an edit of a listing that visitors can see.
type Revision struct {
	bun.BaseModel `bun:"table:listing_revisions,alias:r"`
	tenant.Scoped

	ID         uuid.UUID        `bun:"id,pk,type:uuid"`
	ListingID  uuid.UUID        `bun:"listing_id,type:uuid"`
	State      string           `bun:"state"`
	Content    Content          `bun:"content,type:jsonb"`
	Note       string           `bun:"note"`
	AuthorKind tenant.ActorKind `bun:"author_kind"`
	AuthorID   *uuid.UUID       `bun:"author_id,type:uuid"`
	CreatedAt  time.Time        `bun:"created_at"`
	DecidedAt  *time.Time       `bun:"decided_at"`
	DecidedBy  *uuid.UUID       `bun:"decided_by,type:uuid"`
}

// Edited says what became of an edit.
type Edited struct {
	Listing *Listing
	// Pending: the edit waits for approval, the old version keeps serving.
	Pending bool
}

// Edit changes a listing; the content must have been checked. One that
// visitors can see never goes down for it: where the board moderates, an
// employer's edit waits as a pending revision (a newer one takes its place),
// otherwise it is applied at once. datePosted never moves.
//
// Kinds: fault.NotFound, fault.Conflict (removed), fault.Invalid.
func (s *Store) Edit(ctx context.Context, tx bun.IDB, id uuid.UUID, c Content) (*Edited, error) {
	l, err := s.Lock(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	if l.State == Removed {
		return nil, fault.New(fault.Conflict, "the listing has been removed")
	}
	if !l.State.Public() && l.State != Scheduled {
		return &Edited{Listing: l}, s.apply(ctx, tx, l, c)
	}
	now := s.now()
	a := tenant.ActorFrom(ctx)
	pending := s.moderated(ctx)
	before, err := s.PendingRevision(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	if before != nil && before.Content.Logo != "" {
		if pending && c.Logo == "" {
			c.Logo = before.Content.Logo // the newer edit goes on from it
		} else if err := dropBlob(ctx, tx, before.Content.Logo); err != nil {
			return nil, err
		}
	}
	r := &Revision{ID: tenant.NewRowID(), ListingID: id, State: Pending, Content: c, AuthorKind: a.Kind, AuthorID: a.NullID(), CreatedAt: now}
	if _, err := tx.NewUpdate().Model((*Revision)(nil)).Set("state = ?, decided_at = ?", Superseded, now).
		Where("r.listing_id = ?", id).Where("r.state = ?", Pending).Exec(ctx); err != nil {
		return nil, err
	}
	if pending {
		if _, err := s.categoryBySlug(ctx, tx, c.Category); err != nil {
			return nil, err
		}
	} else {
		r.State, r.DecidedAt, r.DecidedBy = Approved, &now, a.NullID()
		if err := s.apply(ctx, tx, l, c); err != nil {
			return nil, err
		}
	}
	if _, err := tx.NewInsert().Model(r).Exec(ctx); err != nil {
		return nil, err
	}
	if pending {
		if err := s.tellReviewers(ctx, tx, l); err != nil {
			return nil, err
		}
	}
	return &Edited{Listing: l, Pending: pending}, nil
}

// apply writes content into the listing.
func (s *Store) apply(ctx context.Context, tx bun.IDB, l *Listing, c Content) error {
	if err := s.fill(ctx, tx, l, c); err != nil {
		return err
	}
	if err := s.changeCompany(ctx, tx, l, c); err != nil {
		return err
	}
	if err := s.changeLogo(ctx, tx, l, c.Logo); err != nil {
		return err
	}
	if err := s.writePlaces(ctx, tx, l.ID, c.Places, true); err != nil {
		return err
	}
	l.Places = c.Places
	l.UpdatedAt = s.now()
	return s.save(ctx, tx, l)
}

// changeCompany follows the company's name in an edit: a company that only
// this draft uses is renamed, otherwise the listing moves to another one.
func (s *Store) changeCompany(ctx context.Context, tx bun.IDB, l *Listing, c Content) error {
	company, err := s.CompanyByID(ctx, tx, l.CompanyID)
	if err != nil {
		return err
	}
	l.Company, l.NextWebsite = company, ""
	name := tidy(c.Company)
	if name == company.Name && (c.Website == "" || c.Website == company.Website) {
		return nil
	}
	others, err := tenant.Exists(ctx, tx.NewSelect().Model((*Listing)(nil)).Where("l.company_id = ?", company.ID).Where("l.id <> ?", l.ID))
	if err != nil {
		return err
	}
	if name == company.Name {
		// A second listing may complete the website, never replace it.
		if others && company.Website != "" {
			return nil
		}
		if !l.State.Public() && (others || l.PublishedAt != nil) {
			l.NextWebsite = c.Website // visitors may see the company: it waits
			return nil
		}
	} else if others || l.PublishedAt != nil {
		l.Company, err = s.FindOrCreateCompany(ctx, tx, name, c.Website, l.PersonID)
		if err == nil {
			l.CompanyID = l.Company.ID
		}
		return err
	} else if company.Slug, err = s.freeSlug(ctx, tx, Slugify(name, "company"), company.ID); err != nil {
		return err
	}
	company.Name, company.UpdatedAt = name, s.now()
	if c.Website != "" {
		company.Website = c.Website
	}
	res, err := tx.NewUpdate().Model(company).Column("name", "slug", "website", "updated_at").Where("c.id = ?", company.ID).Exec(ctx)
	return tenant.Touched(res, err, "company")
}

// changeLogo takes over a new logo: at once where visitors see the listing (the
// edit has passed whatever review there is), else when the listing goes out.
func (s *Store) changeLogo(ctx context.Context, tx bun.IDB, l *Listing, key string) error {
	if key == "" || key == l.NextLogo {
		return nil
	}
	if l.State.Public() {
		return s.SetLogo(ctx, tx, l.CompanyID, key)
	}
	if err := ownKey(ctx, key); err != nil {
		return err
	}
	before := l.NextLogo
	l.NextLogo = key
	return dropBlob(ctx, tx, before)
}

// bringOut gives the company what came with a listing that goes out now.
func (s *Store) bringOut(ctx context.Context, tx bun.IDB, l *Listing) error {
	logo, website := l.NextLogo, l.NextWebsite
	l.NextLogo, l.NextWebsite = "", ""
	if logo != "" {
		if err := s.SetLogo(ctx, tx, l.CompanyID, logo); err != nil {
			return err
		}
	}
	if website == "" {
		return nil
	}
	others, err := tenant.Exists(ctx, tx.NewSelect().Model((*Listing)(nil)).Where("l.company_id = ?", l.CompanyID).Where("l.id <> ?", l.ID))
	if err != nil {
		return err
	}
	q := tx.NewUpdate().Model((*Company)(nil)).Set("website = ?, updated_at = ?", website, s.now()).Where("c.id = ?", l.CompanyID)
	if others {
		q.Where("c.website = ''") // another listing has completed it meanwhile
	}
	_, err = q.Exec(ctx)
	return err
}

// PendingRevision is the edit of a listing that waits, or nil.
func (s *Store) PendingRevision(ctx context.Context, tx bun.IDB, listing uuid.UUID) (*Revision, error) {
	r := new(Revision)
	err := tenant.One(ctx, tx.NewSelect().Model(r).Where("r.listing_id = ?", listing).Where("r.state = ?", Pending), "revision")
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	return r, err
}

// Revisions is a listing's history of edits, newest first.
func (s *Store) Revisions(ctx context.Context, tx bun.IDB, listing uuid.UUID) ([]Revision, error) {
	var rs []Revision
	err := tx.NewSelect().Model(&rs).Where("r.listing_id = ?", listing).OrderExpr("r.created_at DESC, r.id DESC").Limit(100).Scan(ctx)
	return rs, err
}

// MsgChanged is the word key of a decision about what is not what was shown.
const MsgChanged = "review.changed"

// pendingFor locks the listing, then its revision.
func (s *Store) pendingFor(ctx context.Context, tx bun.IDB, revision uuid.UUID) (*Listing, *Revision, error) {
	r := new(Revision)
	if err := tenant.One(ctx, tx.NewSelect().Model(r).Where("r.id = ?", revision), "revision"); err != nil {
		return nil, nil, err
	}
	l, err := s.Lock(ctx, tx, r.ListingID)
	if err != nil {
		return nil, nil, err
	}
	// Read again under the lock: another reviewer may have decided.
	if err := tenant.One(ctx, tx.NewSelect().Model(r).Where("r.id = ?", revision), "revision"); err != nil {
		return nil, nil, err
	}
	if r.State != Pending {
		return nil, nil, fault.New(fault.Conflict, MsgChanged)
	}
	return l, r, nil
}

// ApproveRevision puts a pending edit in the live listing's place.
// Kinds: fault.NotFound, fault.Conflict when it is decided already.
func (s *Store) ApproveRevision(ctx context.Context, tx bun.IDB, revision uuid.UUID) (*Listing, error) {
	l, r, err := s.pendingFor(ctx, tx, revision)
	if err != nil {
		return nil, err
	}
	err = s.apply(ctx, tx, l, r.Content)
	if fault.Is(err, fault.Invalid) { // its category is gone meanwhile
		r.Content.Category = ""
		err = s.apply(ctx, tx, l, r.Content)
	}
	if err != nil {
		return nil, err
	}
	return l, s.decide(ctx, tx, r, Approved, "")
}

// RejectRevision refuses a pending edit; the live listing stays as it is.
// Kinds: fault.NotFound, fault.Conflict, fault.Invalid (note).
func (s *Store) RejectRevision(ctx context.Context, tx bun.IDB, revision uuid.UUID, note string) (*Listing, error) {
	note, err := needNote(note)
	if err != nil {
		return nil, err
	}
	l, r, err := s.pendingFor(ctx, tx, revision)
	if err != nil {
		return nil, err
	}
	if err := s.decide(ctx, tx, r, Refused, note); err != nil {
		return nil, err
	}
	if err := dropBlob(ctx, tx, r.Content.Logo); err != nil {
		return nil, err
	}
	return l, s.tellOwner(ctx, tx, l, "listing-sent-back", note, r.ID.String())
}

func (s *Store) decide(ctx context.Context, tx bun.IDB, r *Revision, state, note string) error {
	res, err := tx.NewUpdate().Model((*Revision)(nil)).Set("state = ?, note = ?, decided_at = ?, decided_by = ?", state, note, s.now(),
		tenant.ActorFrom(ctx).NullID()).Where("r.id = ?", r.ID).Where("r.state = ?", Pending).Exec(ctx)
	return tenant.Touched(res, err, "pending edit")
}

// Change is a field that an edit changes. HTML is set for descriptions.
type Change struct {
	Field    string
	Old, New string
	HTML     bool
}

// Diff lists the fields in which two contents differ, in the form's order.
func Diff(old, new Content, locale string) []Change {
	places := func(ps []Place) string {
		var out []string
		for _, p := range ps {
			out = append(out, p.Label(locale))
		}
		return strings.Join(out, "; ")
	}
	countries := func(cs []string) string {
		var out []string
		for _, c := range cs {
			out = append(out, CountryName(c, locale))
		}
		slices.Sort(out)
		return strings.Join(out, ", ")
	}
	amount := func(n *int64, currency string) string {
		if n == nil {
			return ""
		}
		return FormatAmount(*n, currency)
	}
	all := []Change{
		{FieldTitle, old.Title, new.Title, false},
		{FieldCompany, old.Company, new.Company, false},
		{FieldWebsite, old.Website, new.Website, false},
		{FieldLogo, "", new.Logo, false},
		{FieldCategory, old.Category, new.Category, false},
		{FieldEmployment, old.EmploymentType, new.EmploymentType, false},
		{FieldWorkplace, old.Workplace, new.Workplace, false},
		{FieldSeniority, old.Seniority, new.Seniority, false},
		{FieldPlaces, places(old.Places), places(new.Places), false},
		{FieldCountries, countries(old.Countries), countries(new.Countries), false},
		{FieldSalaryMin, amount(old.SalaryMin, old.SalaryCurrency), amount(new.SalaryMin, new.SalaryCurrency), false},
		{FieldSalaryMax, amount(old.SalaryMax, old.SalaryCurrency), amount(new.SalaryMax, new.SalaryCurrency), false},
		{FieldSalaryCurrency, old.SalaryCurrency, new.SalaryCurrency, false},
		{FieldSalaryPeriod, old.SalaryPeriod, new.SalaryPeriod, false},
		{FieldDescription, old.Description, new.Description, true},
		{FieldTags, strings.Join(old.Tags, ", "), strings.Join(new.Tags, ", "), false},
		{FieldApplyMethod, old.ApplyMethod, new.ApplyMethod, false},
		{FieldApplyTarget, old.ApplyTarget, new.ApplyTarget, false},
		{FieldReference, old.Reference, new.Reference, false},
	}
	return slices.DeleteFunc(all, func(c Change) bool { return c.Old == c.New })
}
