// Package listings owns jobs, companies and categories of a board: what an
// employer may say, the life of a listing and what has been paid for it. It
// never knows prices, search engines or applicants. Start at Listing and
// Content, then lifecycle.go and store.go.
package listings

import (
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/links"
	"shingle/tenant"
)

// Kinds of employment, as stored and as used in URLs.
const (
	FullTime       = "full_time"
	PartTime       = "part_time"
	Contract       = "contract"
	Temporary      = "temporary"
	Internship     = "internship"
	Apprenticeship = "apprenticeship"
	Volunteer      = "volunteer"
)

// Workplaces.
const (
	OnSite = "on_site"
	Hybrid = "hybrid"
	Remote = "remote"
)

// Ways to apply.
const (
	ApplyBoard = "board" // a form on the board
	ApplyLink  = "link"  // the employer's own page
	ApplyEmail = "email" // an address
)

// Sources of a listing.
const (
	FromEmployer = "employer"
	FromBoard    = "board"
	FromImport   = "import"
	FromSeed     = "seed"
)

// EmploymentTypes, Workplaces, Seniorities, Periods and ApplyMethods are the
// allowed values in the order that forms show them.
func EmploymentTypes() []string {
	return []string{FullTime, PartTime, Contract, Temporary, Internship, Apprenticeship, Volunteer}
}

// Workplaces are the allowed values in the order that forms show them.
func Workplaces() []string { return []string{OnSite, Hybrid, Remote} }

// Seniorities are the allowed values; "" (not said) is allowed too.
func Seniorities() []string {
	return []string{"intern", "junior", "mid", "senior", "lead", "executive"}
}

// Periods are the spans a salary may be for.
func Periods() []string { return []string{"year", "month", "week", "day", "hour"} }

// ApplyMethods are the allowed values in the order that forms show them.
func ApplyMethods() []string { return []string{ApplyBoard, ApplyLink, ApplyEmail} }

// Listing is a job on a board.
type Listing struct {
	bun.BaseModel `bun:"table:listings,alias:l"`
	tenant.Scoped

	ID         uuid.UUID  `bun:"id,pk,type:uuid"`
	PublicID   string     `bun:"public_id"`
	Slug       string     `bun:"slug"`
	CompanyID  uuid.UUID  `bun:"company_id,type:uuid"`
	CategoryID *uuid.UUID `bun:"category_id,type:uuid"`
	// PersonID is whose desk it is on; nil when the board posted it.
	PersonID       *uuid.UUID `bun:"person_id,type:uuid"`
	State          State      `bun:"state"`
	Title          string     `bun:"title"`
	EmploymentType string     `bun:"employment_type"`
	Workplace      string     `bun:"workplace"`
	Seniority      string     `bun:"seniority"`
	// Salary as written, in minor units; nil bounds were not given.
	SalaryMin      *int64 `bun:"salary_min"`
	SalaryMax      *int64 `bun:"salary_max"`
	SalaryCurrency string `bun:"salary_currency"`
	SalaryPeriod   string `bun:"salary_period"`
	// The same per year; see YearlyAmount.
	SalaryYearMin *int64 `bun:"salary_year_min"`
	SalaryYearMax *int64 `bun:"salary_year_max"`
	// Description is sanitised HTML.
	Description string   `bun:"description"`
	Tags        []string `bun:"tags,array"`
	// ApplicantCountries says where applicants for remote work may live: ISO
	// 3166-1 alpha-2, or Anywhere alone.
	ApplicantCountries []string `bun:"applicant_countries,array"`
	ApplyMethod        string   `bun:"apply_method"`
	// ApplyTarget is the link or the address. For ApplyBoard it may hold an
	// address that is told of applications in place of the person's.
	ApplyTarget     string     `bun:"apply_target"`
	Reference       string     `bun:"reference"`
	Source          string     `bun:"source"`
	Featured        bool       `bun:"featured"`
	WantedProductID *uuid.UUID `bun:"wanted_product_id,type:uuid"`
	PublishAt       *time.Time `bun:"publish_at"`
	// PublishedAt is when it first went live in this posting; edits never move it.
	PublishedAt *time.Time `bun:"published_at"`
	EndsAt      *time.Time `bun:"ends_at"`
	ClosedAt    *time.Time `bun:"closed_at"`
	ReviewNote  string     `bun:"review_note"`
	// NextLogo (a blob) and NextWebsite become the company's when the listing
	// goes out; until then they are this listing's alone.
	NextLogo    string `bun:"next_logo"`
	NextWebsite string `bun:"next_website"`
	// Version moves with every change; the index keeps the highest.
	Version   int64     `bun:"version"`
	CreatedAt time.Time `bun:"created_at"`
	UpdatedAt time.Time `bun:"updated_at"`

	// Loaded by the query functions that say so.
	Company  *Company  `bun:"-"`
	Category *Category `bun:"-"`
	Places   []Place   `bun:"-"`
}

// Path is the listing's page on its board.
func (l *Listing) Path() string { return Path(l.Slug, l.PublicID) }

// AsOut is the complete listing as visitors will get it once it is out: with
// what its company becomes by it.
func (l *Listing) AsOut() *Listing {
	out := *l
	if l.Company == nil || l.NextLogo == "" && l.NextWebsite == "" {
		return &out
	}
	company := *l.Company
	if l.NextLogo != "" {
		company.LogoKey = l.NextLogo
	}
	if l.NextWebsite != "" {
		company.Website = l.NextWebsite
	}
	out.Company = &company
	return &out
}

// Open reports whether seekers may apply now.
func (l *Listing) Open(now time.Time) bool {
	return l.State == Live && (l.EndsAt == nil || l.EndsAt.After(now))
}

// Card is a listing as lists show it.
type Card struct {
	ID                 uuid.UUID  `bun:"id"`
	PublicID           string     `bun:"public_id"`
	Slug               string     `bun:"slug"`
	State              State      `bun:"state"`
	Title              string     `bun:"title"`
	EmploymentType     string     `bun:"employment_type"`
	Workplace          string     `bun:"workplace"`
	Seniority          string     `bun:"seniority"`
	SalaryMin          *int64     `bun:"salary_min"`
	SalaryMax          *int64     `bun:"salary_max"`
	SalaryCurrency     string     `bun:"salary_currency"`
	SalaryPeriod       string     `bun:"salary_period"`
	Tags               []string   `bun:"tags,array"`
	ApplicantCountries []string   `bun:"applicant_countries,array"`
	Featured           bool       `bun:"featured"`
	PublishedAt        *time.Time `bun:"published_at"`
	EndsAt             *time.Time `bun:"ends_at"`
	UpdatedAt          time.Time  `bun:"updated_at"`
	CreatedAt          time.Time  `bun:"created_at"`
	Source             string     `bun:"source"`
	PersonID           *uuid.UUID `bun:"person_id"`
	ReviewNote         string     `bun:"review_note"`
	// Pending: an edit waits for approval; set by the lists of desk and admin.
	Pending bool `bun:"pending"`

	CompanyID    uuid.UUID `bun:"company_id"`
	CompanyName  string    `bun:"company_name"`
	CompanySlug  string    `bun:"company_slug"`
	CompanyLogo  string    `bun:"company_logo"`
	CategoryName string    `bun:"category_name"`
	CategorySlug string    `bun:"category_slug"`
	Places       []Place   `bun:"places,type:jsonb"`
}

// Path is the listing's page on its board.
func (c *Card) Path() string { return Path(c.Slug, c.PublicID) }

// Move is one step in a listing's life.
type Move struct {
	bun.BaseModel `bun:"table:listing_moves,alias:m"`
	tenant.Scoped

	ID        uuid.UUID        `bun:"id,pk,type:uuid"`
	ListingID uuid.UUID        `bun:"listing_id,type:uuid"`
	From      State            `bun:"from_state"`
	To        State            `bun:"to_state"`
	ActorKind tenant.ActorKind `bun:"actor_kind"`
	ActorID   *uuid.UUID       `bun:"actor_id,type:uuid"`
	Reason    string           `bun:"reason"`
	At        time.Time        `bun:"at"`
}

// Store is the listings' rules over their rows. Its functions take the
// caller's transaction, bound to one board, and never open one.
//
// Every change that search must know adds a task of kind TaskIndex in the
// same transaction, moves the listing's version and marks the board changed.
type Store struct {
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Links makes the addresses in mails.
	Links links.Links
}

// NewStore makes a store on the real clock.
func NewStore(l links.Links) *Store { return &Store{Now: time.Now, Links: l} }

func (s *Store) now() time.Time {
	if s.Now == nil {
		return time.Now().UTC()
	}
	return s.Now().UTC()
}

// TaskIndex is the task that tells search of a changed listing. Frozen name;
// coalesced by listing, so the newest version is the one that is indexed.
const TaskIndex = "search.index"

// IndexPayload is what TaskIndex carries.
type IndexPayload struct {
	ListingID uuid.UUID `json:"listing_id"`
	Version   int64     `json:"version"`
}
