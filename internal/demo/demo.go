// Package demo owns the three boards that a fresh installation shows: their
// owners, looks, prices, companies, listings and applicants, all invented. It
// never touches a database and never reads a clock: ages are durations that the
// caller subtracts from its own now. Start reading at Boards; the prose is in
// data/, the code only loads, assembles and checks it.
package demo

import "time"

// Board is one board and everything that hangs on it.
type Board struct {
	Slug         string
	Name         string
	Tagline      string
	Pack         string // theme pack: "harbor", "gazette" or "slate"
	Currency     string // ISO 4217
	Locale       string // "en" or "de"
	TimeZone     string // IANA name
	Country      string // ISO 3166-1 alpha-2
	ContactEmail string
	Moderated    bool

	Owner        Member
	Team         []Member // without the owner; one of each other role
	Intro        string   // plain text under the board's heading
	About        string   // HTML of p, h3, ul, li, strong
	Footer       string   // plain text at the foot of every page
	PrivacyNote  string   // the line that an applicant consents to
	Look         Look
	Legal        Legal
	Categories   []Category
	Products     []Product
	Companies    []Company
	Listings     []Listing
	Applications []Application

	mark   string
	colour string
}

// Look is the published look of a board: CSS custom properties by name, with
// the leading "--". Shared holds those that are the same in both modes.
type Look struct {
	Light  map[string]string
	Dark   map[string]string
	Shared map[string]string
}

// Legal is what a board must say about who runs it.
type Legal struct {
	Entity      string // registered name
	Street      string
	PostalCode  string
	City        string
	Country     string // ISO 3166-1 alpha-2
	Represented string // who acts for the entity
	Register    string // court or registrar with the number
	TaxID       string
	Phone       string
	Email       string
	Responsible string // answerable for editorial content
}

// Member is somebody of the team that runs a board.
type Member struct {
	Name  string
	Email string
	Role  string // owner, admin, editor, finance, viewer
}

// Category is a field of work on a board, in the board's order.
type Category struct {
	Slug string
	Name string
}

// Product is what an employer buys.
type Product struct {
	Slug        string
	Name        string
	Description string
	Price       int64 // minor units of the board's currency; 0 is free
	Days        int   // how long the listing runs
	Featured    bool
}

// Company is an employer.
type Company struct {
	Slug     string
	Name     string
	Website  string // https, on a .example host
	Email    string // who signs in for the company
	Contact  string // that person's name
	Tagline  string
	About    string // plain text, two to four sentences
	Industry string
	Size     string // "11-50"
	City     string
	Country  string // ISO 3166-1 alpha-2
	Colour   string // "#rrggbb"

	mark string
}

// Place is where the work is done.
type Place struct {
	Country string // ISO 3166-1 alpha-2
	Region  string
	City    string
	Lat     float64
	Lon     float64
}

// Listing is one job. Amounts are minor units; zero means not given.
type Listing struct {
	Key            string // unique on the board, same on every run
	State          string // live, draft, awaiting_payment, in_review, paused, filled, expired
	Title          string
	Company        string // slug
	Category       string // slug
	EmploymentType string
	Workplace      string // on_site, hybrid, remote
	Seniority      string
	Places         []Place  // empty only when remote
	Countries      []string // where applicants may live, when remote
	SalaryMin      int64
	SalaryMax      int64
	SalaryCurrency string
	SalaryPeriod   string // hour, day, week, month, year
	Tags           []string
	Description    string // HTML of p, h3, ul, li, strong
	ApplyMethod    string // board, link, email
	ApplyTarget    string // URL or address; empty for board
	Reference      string // the employer's own number
	Featured       bool
	Product        string        // slug of the product it was bought with
	Age            time.Duration // since publication, or since it was begun for a draft
	EndsIn         time.Duration // negative when expired; zero when it never went live
}

// Application is somebody who applied to a live listing with ApplyMethod board.
type Application struct {
	Listing string // key
	Name    string
	Email   string
	Note    string
	Status  string // new, reviewing, interview, offer, rejected
	Age     time.Duration
	CVName  string   // file name
	CVLines []string // what the CV says
}

// CV is the applicant's CV as a PDF.
func (a Application) CV() []byte { return CV(a.Name, a.CVLines) }

// Boards returns the three demo boards, the same on every call. An error means
// that the embedded data is broken and carries fault.Internal.
func Boards() ([]Board, error) {
	boards := make([]Board, 0, 3)
	for _, slug := range []string{"orbit", "pflege", "tidal"} {
		b, err := load(slug)
		if err != nil {
			return nil, err
		}
		boards = append(boards, b)
	}
	return boards, nil
}
