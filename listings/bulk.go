package listings

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tenant"
)

// bulkRows is how many rows one statement inserts.
const bulkRows = 500

// BulkInsert writes listings that are true as they stand: seeds, demo boards,
// imports. Missing ids, public ids, slugs, yearly salaries and times are
// filled in; Places are written with them. Live ones get an entitlement for
// the time they have left, and a move that says where they came from. The
// caller makes the search index anew when done (index false), or each listing
// gets its task.
//
// Descriptions must be sanitised already. Kind: fault.Invalid for a listing
// without title or company.
func (s *Store) BulkInsert(ctx context.Context, tx bun.IDB, ls []Listing, index bool) error {
	now := s.now()
	actor := tenant.ActorFrom(ctx)
	for len(ls) > 0 {
		part := ls[:min(bulkRows, len(ls))]
		ls = ls[len(part):]
		places := make([]placeRow, 0, 2*len(part))
		grants := make([]Entitlement, 0, len(part))
		steps := make([]Move, 0, len(part))
		for i := range part {
			l := &part[i]
			if l.Title == "" || l.CompanyID == uuid.Nil {
				return fault.New(fault.Invalid, "a listing needs a title and a company")
			}
			if l.ID == uuid.Nil {
				l.ID = tenant.NewRowID()
			}
			l.defaults(now)
			for n, p := range l.Places {
				places = append(places, placeRow{ListingID: l.ID, N: n + 1, Country: p.Country, Region: p.Region, City: p.City, PostalCode: p.PostalCode, Lat: p.Lat, Lon: p.Lon})
			}
			if l.State.Public() && l.PublishedAt != nil && l.EndsAt != nil {
				days := max(1, int(l.EndsAt.Sub(*l.PublishedAt).Hours()/24))
				e := Entitlement{ID: tenant.NewRowID(), ListingID: l.ID, Kind: Posting, Days: days, StartsAt: l.PublishedAt, EndsAt: l.EndsAt, Reason: l.Source, CreatedAt: now}
				grants = append(grants, e)
				if l.Featured {
					e.ID, e.Kind = tenant.NewRowID(), Feature
					grants = append(grants, e)
				}
			}
			steps = append(steps, Move{ID: tenant.NewRowID(), ListingID: l.ID, To: l.State, ActorKind: actor.Kind, ActorID: actor.NullID(), Reason: l.Source, At: now})
		}
		if err := tenant.InsertAll(ctx, tx, part); err != nil {
			return err
		}
		if err := tenant.InsertAll(ctx, tx, places); err != nil {
			return err
		}
		if err := tenant.InsertAll(ctx, tx, grants); err != nil {
			return err
		}
		if err := tenant.InsertAll(ctx, tx, steps); err != nil {
			return err
		}
		for i := range part {
			if !index {
				break
			}
			if err := addIndex(ctx, tx, IndexPayload{part[i].ID, part[i].Version}); err != nil {
				return err
			}
		}
	}
	tenant.Changed(ctx)
	return nil
}

func (l *Listing) defaults(now time.Time) {
	set := func(v *string, to string) {
		if *v == "" {
			*v = to
		}
	}
	set(&l.PublicID, NewPublicID())
	set(&l.Slug, Slugify(l.Title, "job"))
	set(&l.EmploymentType, FullTime)
	set(&l.Workplace, OnSite)
	set(&l.ApplyMethod, ApplyBoard)
	set(&l.Source, FromSeed)
	if l.State == "" {
		l.State = Live
	}
	l.Tags, l.ApplicantCountries = orEmpty(l.Tags), orEmpty(l.ApplicantCountries)
	if l.SalaryYearMin == nil && l.SalaryYearMax == nil {
		l.SalaryYearMin, l.SalaryYearMax = yearly(l.SalaryMin, l.SalaryPeriod), yearly(l.SalaryMax, l.SalaryPeriod)
	}
	if l.State.Public() {
		if l.PublishedAt == nil {
			l.PublishedAt = &now
		}
		if l.EndsAt == nil {
			ends := now.AddDate(0, 0, 30)
			l.EndsAt = &ends
		}
	}
	l.Version = max(1, l.Version)
	if l.CreatedAt.IsZero() {
		l.CreatedAt = now
	}
	if l.UpdatedAt.IsZero() {
		l.UpdatedAt = l.CreatedAt
	}
}

// BulkCompanies writes companies, with ids and free slugs filled in, for seeds
// and demo boards: the board must not have companies of these slugs yet.
func (s *Store) BulkCompanies(ctx context.Context, tx bun.IDB, cs []Company) error {
	now := s.now()
	taken := map[string]bool{}
	for i := range cs {
		c := &cs[i]
		if c.ID == uuid.Nil {
			c.ID = tenant.NewRowID()
		}
		if c.Slug == "" {
			c.Slug = Slugify(c.Name, "company")
		}
		if taken[c.Slug] {
			c.Slug += "-" + strings.ToLower(NewPublicID())
		}
		taken[c.Slug] = true
		if c.CreatedAt.IsZero() {
			c.CreatedAt = now
		}
		if c.UpdatedAt.IsZero() {
			c.UpdatedAt = now
		}
	}
	for len(cs) > 0 {
		part := cs[:min(bulkRows, len(cs))]
		cs = cs[len(part):]
		if err := tenant.InsertAll(ctx, tx, part); err != nil {
			return err
		}
	}
	tenant.Changed(ctx)
	return nil
}
