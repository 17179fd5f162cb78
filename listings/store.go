package listings

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tenant"
)

// Owner says whose a new listing is.
type Owner struct {
	// PersonID is the employer's; nil when the board posts.
	PersonID *uuid.UUID
	// CompanyID takes an existing company in place of the content's name.
	CompanyID *uuid.UUID
	// Source is FromEmployer when empty and there is a person, else FromBoard.
	Source string
	// WantedProductID is what the employer chose before paying.
	WantedProductID *uuid.UUID
	// PublishAt holds publication back until then.
	PublishAt *time.Time
}

// Create writes a draft. The content must have been checked.
// Kinds: fault.Invalid (fields), fault.NotFound for an unknown company.
func (s *Store) Create(ctx context.Context, tx bun.IDB, c Content, o Owner) (*Listing, error) {
	now := s.now()
	l := &Listing{ID: tenant.NewRowID(), PublicID: NewPublicID(), State: Draft, PersonID: o.PersonID, Source: o.Source,
		WantedProductID: o.WantedProductID, PublishAt: o.PublishAt, Version: 1, CreatedAt: now, UpdatedAt: now}
	if l.Source == "" {
		l.Source = FromBoard
		if o.PersonID != nil {
			l.Source = FromEmployer
		}
	}
	company, err := s.ownCompany(ctx, tx, c, o)
	if err != nil {
		return nil, err
	}
	l.CompanyID, l.Company = company.ID, company
	if err := s.fill(ctx, tx, l, c); err != nil {
		return nil, err
	}
	if err := s.changeLogo(ctx, tx, l, c.Logo); err != nil {
		return nil, err
	}
	if _, err := tx.NewInsert().Model(l).Exec(ctx); err != nil {
		return nil, err
	}
	if err := s.writePlaces(ctx, tx, l.ID, c.Places, false); err != nil {
		return nil, err
	}
	l.Places = c.Places
	return l, s.record(ctx, tx, l, "", Draft, "")
}

func (s *Store) ownCompany(ctx context.Context, tx bun.IDB, c Content, o Owner) (*Company, error) {
	if o.CompanyID != nil {
		return s.CompanyByID(ctx, tx, *o.CompanyID)
	}
	return s.FindOrCreateCompany(ctx, tx, c.Company, c.Website, o.PersonID)
}

// fill copies content into the row.
func (s *Store) fill(ctx context.Context, tx bun.IDB, l *Listing, c Content) error {
	category, err := s.categoryBySlug(ctx, tx, c.Category)
	if err != nil {
		return err
	}
	l.CategoryID = category
	l.Title, l.Slug = c.Title, Slugify(c.Title, "job")
	l.EmploymentType, l.Workplace, l.Seniority = c.EmploymentType, c.Workplace, c.Seniority
	l.SalaryMin, l.SalaryMax, l.SalaryCurrency, l.SalaryPeriod = c.SalaryMin, c.SalaryMax, c.SalaryCurrency, c.SalaryPeriod
	l.SalaryYearMin, l.SalaryYearMax = yearly(c.SalaryMin, c.SalaryPeriod), yearly(c.SalaryMax, c.SalaryPeriod)
	l.Description = Sanitise(c.Description)
	l.Tags, l.ApplicantCountries = orEmpty(c.Tags), orEmpty(c.Countries)
	l.ApplyMethod, l.ApplyTarget, l.Reference = c.ApplyMethod, c.ApplyTarget, c.Reference
	return nil
}

func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

func (s *Store) writePlaces(ctx context.Context, tx bun.IDB, id uuid.UUID, places []Place, replace bool) error {
	if replace {
		if _, err := tx.NewDelete().Model((*placeRow)(nil)).Where("lp.listing_id = ?", id).Exec(ctx); err != nil {
			return err
		}
	}
	if len(places) == 0 {
		return nil
	}
	rows := make([]placeRow, len(places))
	for i, p := range places {
		rows[i] = placeRow{ListingID: id, N: i + 1, Country: p.Country, Region: p.Region, City: p.City, PostalCode: p.PostalCode, Lat: p.Lat, Lon: p.Lon}
	}
	_, err := tx.NewInsert().Model(&rows).Exec(ctx)
	return err
}

// ByID loads the bare row. Kind: fault.NotFound.
func (s *Store) ByID(ctx context.Context, tx bun.IDB, id uuid.UUID) (*Listing, error) {
	l := new(Listing)
	return l, tenant.One(ctx, tx.NewSelect().Model(l).Where("l.id = ?", id), "listing")
}

// Lock loads the row and keeps others from changing it until the commit.
// Kind: fault.NotFound.
func (s *Store) Lock(ctx context.Context, tx bun.IDB, id uuid.UUID) (*Listing, error) {
	l := new(Listing)
	return l, tenant.One(ctx, tx.NewSelect().Model(l).Where("l.id = ?", id).For("UPDATE"), "listing")
}

// Full loads a listing with company, category and places, in any state.
// Kind: fault.NotFound.
func (s *Store) Full(ctx context.Context, tx bun.IDB, id uuid.UUID) (*Listing, error) {
	l, err := s.ByID(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	return l, s.complete(ctx, tx, l)
}

// ByPublicID loads the listing of a page with company, category and places, in
// any state: State.Public says what visitors may see. Kind: fault.NotFound.
func (s *Store) ByPublicID(ctx context.Context, tx bun.IDB, publicID string) (*Listing, error) {
	l := new(Listing)
	if !ValidPublicID(publicID) {
		return nil, fault.New(fault.NotFound, "listing not found")
	}
	if err := tenant.One(ctx, tx.NewSelect().Model(l).Where("l.public_id = ?", publicID), "listing"); err != nil {
		return nil, err
	}
	return l, s.complete(ctx, tx, l)
}

// complete loads what belongs to a listing, in one statement.
func (s *Store) complete(ctx context.Context, tx bun.IDB, l *Listing) error {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return err
	}
	var row struct {
		Company  Company   `bun:"company,type:jsonb"`
		Category *Category `bun:"category,type:jsonb"`
		Places   []Place   `bun:"places,type:jsonb"`
	}
	// The company's and category's own columns, renamed to the fields' names.
	err = tx.NewRaw(`SELECT
		json_build_object('ID', c.id, 'Slug', c.slug, 'Name', c.name, 'Website', c.website, 'Tagline', c.tagline, 'About', c.about,
			'Industry', c.industry, 'Size', c.size, 'Location', c.location, 'LogoKey', c.logo_key,
			'CreatedAt', c.created_at, 'UpdatedAt', c.updated_at) AS company,
		(SELECT json_build_object('ID', cat.id, 'Slug', cat.slug, 'Name', cat.name, 'Position', cat.position)
			FROM categories AS cat WHERE cat.tenant_id = c.tenant_id AND cat.id = ?) AS category,
		`+placesOf+` AS places
		FROM companies AS c, (SELECT ?::uuid AS tenant_id, ?::uuid AS id) AS l WHERE c.tenant_id = ? AND c.id = ?`,
		l.CategoryID, board, l.ID, board, l.CompanyID).Scan(ctx, &row)
	if err != nil {
		return err
	}
	l.Company, l.Category, l.Places = &row.Company, row.Category, row.Places
	return nil
}

// placesOf is the JSON of a listing's places, for the listing aliased l.
const placesOf = `(SELECT coalesce(json_agg(json_build_object('country', lp.country, 'region', lp.region, 'city', lp.city,
		'postal_code', lp.postal_code, 'lat', lp.lat, 'lon', lp.lon) ORDER BY lp.n), '[]')
	FROM listing_places AS lp WHERE lp.tenant_id = l.tenant_id AND lp.listing_id = l.id)`

// ContentOf is the listing as its form shows it. The listing must be complete
// (Full, ByPublicID).
func ContentOf(l *Listing) Content {
	c := Content{Title: l.Title, EmploymentType: l.EmploymentType, Workplace: l.Workplace, Seniority: l.Seniority, Places: l.Places,
		Countries: l.ApplicantCountries, SalaryMin: l.SalaryMin, SalaryMax: l.SalaryMax, SalaryCurrency: l.SalaryCurrency,
		SalaryPeriod: l.SalaryPeriod, Description: l.Description, Tags: l.Tags, ApplyMethod: l.ApplyMethod, ApplyTarget: l.ApplyTarget,
		Reference: l.Reference}
	if l.Company != nil {
		c.Company, c.Website = l.Company.Name, l.Company.Website
		if l.NextWebsite != "" {
			c.Website = l.NextWebsite
		}
	}
	if l.Category != nil {
		c.Category = l.Category.Slug
	}
	return c
}

// Moves is a listing's history, newest first.
func (s *Store) Moves(ctx context.Context, tx bun.IDB, id uuid.UUID) ([]Move, error) {
	var ms []Move
	err := tx.NewSelect().Model(&ms).Where("m.listing_id = ?", id).OrderExpr("m.at DESC, m.id DESC").Scan(ctx)
	return ms, err
}

// Owns reports whether a person may act for a listing: it is on their desk, or
// they are a member of its company. An unknown listing is nobody's.
func (s *Store) Owns(ctx context.Context, tx bun.IDB, id, person uuid.UUID) (bool, error) {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return false, err
	}
	var ok bool
	err = tx.NewRaw(`SELECT EXISTS (SELECT 1 FROM listings AS l WHERE l.tenant_id = ? AND l.id = ? AND (l.person_id = ?
		OR EXISTS (SELECT 1 FROM company_members AS cm WHERE cm.tenant_id = l.tenant_id AND cm.company_id = l.company_id AND cm.person_id = ?)
		OR `+takesApplications+`))`,
		board, id, person, person, person).Scan(ctx, &ok)
	return ok, err
}

// takesApplications: a listing that the board posted or imported is also on the
// desk of whoever its applications go to, once that address is proven.
const takesApplications = `(l.person_id IS NULL AND l.apply_method = 'board' AND EXISTS (SELECT 1 FROM people AS p
	JOIN boards AS b ON b.id = p.tenant_id
	WHERE p.tenant_id = l.tenant_id AND p.id = ? AND p.confirmed_at IS NOT NULL
		AND p.email = coalesce(nullif(l.apply_target, ''), lower(b.contact_email))))`

// Owned is ByID for the employer's desk. Kind: fault.NotFound for a listing
// that is not the person's, which says no more than an unknown one would.
func (s *Store) Owned(ctx context.Context, tx bun.IDB, id, person uuid.UUID) (*Listing, error) {
	ok, err := s.Owns(ctx, tx, id, person)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fault.New(fault.NotFound, "listing not found")
	}
	return s.Full(ctx, tx, id)
}

// Contact is the address that is told about a listing, in the reader's
// language: the person's; "" when the board posted it.
func (s *Store) Contact(ctx context.Context, tx bun.IDB, l *Listing) (email, locale string, err error) {
	if l.PersonID == nil {
		return "", "", nil
	}
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return "", "", err
	}
	err = tx.NewRaw(`SELECT coalesce(max(email), ''), coalesce(max(locale), '') FROM people WHERE tenant_id = ? AND id = ?`, board, *l.PersonID).Scan(ctx, &email, &locale)
	return email, locale, err
}

// SetWanted keeps what the employer chose and when it shall appear.
// Kind: fault.NotFound.
func (s *Store) SetWanted(ctx context.Context, tx bun.IDB, id uuid.UUID, product *uuid.UUID, publishAt *time.Time) error {
	res, err := tx.NewUpdate().Model((*Listing)(nil)).Set("wanted_product_id = ?", product).Set("publish_at = ?", publishAt).
		Where("l.id = ?", id).Exec(ctx)
	return tenant.Touched(res, err, "listing")
}
