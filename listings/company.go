package listings

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tasks"
	"shingle/tenant"
)

// Company is an employer on a board.
type Company struct {
	bun.BaseModel `bun:"table:companies,alias:c"`
	tenant.Scoped

	ID       uuid.UUID `bun:"id,pk,type:uuid"`
	Slug     string    `bun:"slug"`
	Name     string    `bun:"name"`
	Website  string    `bun:"website"`
	Tagline  string    `bun:"tagline"`
	About    string    `bun:"about"` // sanitised HTML
	Industry string    `bun:"industry"`
	Size     string    `bun:"size"`
	Location string    `bun:"location"`
	// LogoKey is the blob of the logo, served at /x/<key>; "" for none.
	LogoKey   string    `bun:"logo_key"`
	CreatedAt time.Time `bun:"created_at"`
	UpdatedAt time.Time `bun:"updated_at"`

	// Live counts its live listings, where a function says so.
	Live int `bun:"live,scanonly"`
}

// Path is the company's page on its board.
func (c *Company) Path() string { return "/companies/" + c.Slug }

// Profile is what may be said of a company. Field names are form names.
type Profile struct {
	Name, Website, Tagline, About, Industry, Size, Location string
}

// check tidies and validates.
func (p *Profile) check() error {
	f := fault.Fields{}
	p.Name = tidy(p.Name)
	checkCompany(f, "name", p.Name)
	p.Website = checkWebsite(f, "website", p.Website)
	p.Tagline, p.Industry, p.Size, p.Location = tidy(p.Tagline), tidy(p.Industry), tidy(p.Size), tidy(p.Location)
	for name, v := range map[string]string{"tagline": p.Tagline, "industry": p.Industry, "size": p.Size, "location": p.Location} {
		if runes(v) > 140 {
			f[name] = say("field.long", "140")
		}
	}
	p.About = Sanitise(p.About)
	if runes(p.About) > 10_000 {
		f["about"] = say("field.long", "10000")
	}
	return fault.Invalids(f)
}

// FindOrCreateCompany finds the company of that name that the person signed in
// belongs to, or makes one with them as its member. With no person (the board
// posts) a company of that name without members is found. A guest never gets
// into an existing company by typing its name. Kinds: fault.Invalid.
func (s *Store) FindOrCreateCompany(ctx context.Context, tx bun.IDB, name, website string, person *uuid.UUID) (*Company, error) {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, err
	}
	name = tidy(name)
	if err := lockSlug(ctx, tx, Slugify(name, "company")); err != nil {
		return nil, err
	}
	c := new(Company)
	switch actor := tenant.ActorFrom(ctx); {
	case person == nil:
		// A guest may have made a company by typing this name: who belongs to it
		// would get the board's listing. The board finds those without members.
		err = tx.NewSelect().Model(c).Where("c.name = ?", name).
			Where("NOT EXISTS (SELECT 1 FROM company_members AS cm WHERE cm.tenant_id = ? AND cm.company_id = c.id)", board).
			OrderExpr("c.created_at, c.id").Limit(1).Scan(ctx)
	case actor.Kind == tenant.Person && actor.ID == *person:
		err = tx.NewSelect().Model(c).Where("c.name = ?", name).
			Where("EXISTS (SELECT 1 FROM company_members AS cm WHERE cm.tenant_id = ? AND cm.company_id = c.id AND cm.person_id = ?)", board, *person).
			OrderExpr("c.created_at, c.id").Limit(1).Scan(ctx)
	default:
		err = sql.ErrNoRows
	}
	if err == nil {
		return c, nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	p := Profile{Name: name, Website: website}
	if err := p.check(); err != nil {
		return nil, err
	}
	return s.createCompany(ctx, tx, p, person)
}

func (s *Store) createCompany(ctx context.Context, tx bun.IDB, p Profile, person *uuid.UUID) (*Company, error) {
	slug, err := s.freeSlug(ctx, tx, Slugify(p.Name, "company"), uuid.Nil)
	if err != nil {
		return nil, err
	}
	now := s.now()
	c := &Company{ID: tenant.NewRowID(), Slug: slug, Name: p.Name, Website: p.Website, Tagline: p.Tagline, About: p.About,
		Industry: p.Industry, Size: p.Size, Location: p.Location, CreatedAt: now, UpdatedAt: now}
	if _, err := tx.NewInsert().Model(c).Exec(ctx); err != nil {
		return nil, err
	}
	if person != nil {
		if err := s.AddMember(ctx, tx, c.ID, *person); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// lockSlug lets one transaction at a time look for a company of a name and make
// it: of two at once the second would look before the first is there.
func lockSlug(ctx context.Context, tx bun.IDB, slug string) error {
	board, err := tenant.IDFrom(ctx)
	if err == nil {
		_, err = tx.NewRaw(`SELECT pg_advisory_xact_lock(hashtextextended('shingle company ' || ?, 0))`, board.String()+" "+slug).Exec(ctx)
	}
	return err
}

// freeSlug finds a company slug that nobody has: acme, acme-2, acme-3 …
func (s *Store) freeSlug(ctx context.Context, tx bun.IDB, slug string, but uuid.UUID) (string, error) {
	if err := lockSlug(ctx, tx, slug); err != nil {
		return "", err
	}
	try := slug
	for n := 2; ; n++ {
		taken, err := tenant.Exists(ctx, tx.NewSelect().Model((*Company)(nil)).Where("c.slug = ?", try).Where("c.id <> ?", but))
		if err != nil || !taken {
			return try, err
		}
		if n > 20 {
			// Many of one name: a random tail ends the search.
			try = slug + "-" + strings.ToLower(NewPublicID())
			continue
		}
		try = slug + "-" + strconv.Itoa(n)
	}
}

// AddMember lets a person act for a company. Twice is a no-op.
func (s *Store) AddMember(ctx context.Context, tx bun.IDB, company, person uuid.UUID) error {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return err
	}
	_, err = tx.NewRaw(`INSERT INTO company_members (tenant_id, company_id, person_id, created_at) VALUES (?, ?, ?, ?)
		ON CONFLICT DO NOTHING`, board, company, person, s.now()).Exec(ctx)
	return err
}

// IsMember reports whether the person may act for the company.
func (s *Store) IsMember(ctx context.Context, tx bun.IDB, company, person uuid.UUID) (bool, error) {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return false, err
	}
	var ok bool
	err = tx.NewRaw(`SELECT EXISTS (SELECT 1 FROM company_members WHERE tenant_id = ? AND company_id = ? AND person_id = ?)`,
		board, company, person).Scan(ctx, &ok)
	return ok, err
}

// CompanyByID loads a company. Kind: fault.NotFound.
func (s *Store) CompanyByID(ctx context.Context, tx bun.IDB, id uuid.UUID) (*Company, error) {
	c := new(Company)
	return c, tenant.One(ctx, tx.NewSelect().Model(c).Where("c.id = ?", id), "company")
}

// CompanyBySlug loads a company. Kind: fault.NotFound.
func (s *Store) CompanyBySlug(ctx context.Context, tx bun.IDB, slug string) (*Company, error) {
	c := new(Company)
	return c, tenant.One(ctx, tx.NewSelect().Model(c).Where("c.slug = ?", slug), "company")
}

// CompaniesOf lists the companies that a person acts for, by name.
func (s *Store) CompaniesOf(ctx context.Context, tx bun.IDB, person uuid.UUID) ([]Company, error) {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, err
	}
	var cs []Company
	err = tx.NewSelect().Model(&cs).
		Where("c.id IN (SELECT cm.company_id FROM company_members AS cm WHERE cm.tenant_id = ? AND cm.person_id = ?)", board, person).
		OrderExpr("c.name, c.id").Scan(ctx)
	return cs, err
}

// EditCompany changes a company's profile; its address stays. Its listings are
// indexed again when the name changed. Kinds: fault.Invalid, fault.NotFound.
func (s *Store) EditCompany(ctx context.Context, tx bun.IDB, id uuid.UUID, p Profile) (*Company, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	c := new(Company)
	if err := tenant.One(ctx, tx.NewSelect().Model(c).Where("c.id = ?", id).For("UPDATE"), "company"); err != nil {
		return nil, err
	}
	renamed := c.Name != p.Name
	c.Name, c.Website, c.Tagline, c.About, c.Industry, c.Size, c.Location = p.Name, p.Website, p.Tagline, p.About, p.Industry, p.Size, p.Location
	c.UpdatedAt = s.now()
	res, err := tx.NewUpdate().Model(c).Column("name", "website", "tagline", "about", "industry", "size", "location", "updated_at").
		Where("c.id = ?", id).Exec(ctx)
	if err := tenant.Touched(res, err, "company"); err != nil {
		return nil, err
	}
	if renamed {
		if err := s.reindexCompany(ctx, tx, id); err != nil {
			return nil, err
		}
	}
	tenant.Changed(ctx)
	return c, nil
}

// reindexCompany moves the versions of a company's public listings.
func (s *Store) reindexCompany(ctx context.Context, tx bun.IDB, id uuid.UUID) error {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return err
	}
	var changed []IndexPayload
	err = tx.NewRaw(`UPDATE listings SET version = version + 1 WHERE tenant_id = ? AND company_id = ? AND state = 'live'
		RETURNING id AS listing_id, version`, board, id).Scan(ctx, &changed)
	if err != nil {
		return err
	}
	for _, p := range changed {
		if err := addIndex(ctx, tx, p); err != nil {
			return err
		}
	}
	return nil
}

func addIndex(ctx context.Context, tx bun.IDB, p IndexPayload) error {
	return tasks.Add(ctx, tx, tasks.New{Kind: TaskIndex, Queue: tasks.Index, Key: p.ListingID.String(), Payload: p})
}
