package themes

// LatestAboveSections is how many of Home.Latest a page shows when its
// categories have listings of their own under it.
const LatestAboveSections = 6

// Home is "/".
type Home struct {
	Layout
	Title, Text string // the hero's words
	Search      SearchBox
	Total       string // "1,204 open jobs"
	Categories  []Count
	Featured    []Card
	Latest      []Card
	AllURL      string
	Companies   []CompanyCard
	Alert       *AlertForm
	Employers   *Link // the quiet line to employers
	// About is what the owner says of the board, a paragraph each.
	About []string
}

// SearchBox is the search form. Fields: q, location.
type SearchBox struct {
	Action   string
	Query    string
	Location string
	Hidden   []Hidden // the rest of the state, kept on a new search
}

// Results is "/jobs" and each category's or place's landing page.
type Results struct {
	Layout
	Heading    string // "Remote engineering jobs"
	Intro      Prose  // a landing page's own copy
	Crumbs     []Link
	Search     SearchBox
	Total      string // "214 jobs"
	Active     []Chip
	ClearURL   string
	Facets     []Facet
	Salary     *SalaryFilter
	Sort       []Link
	Cards      []Card
	Pages      Pagination
	Suggestion *Link // "Did you mean …"
	Empty      *Empty
	Alert      *AlertForm
	Related    []Count
}

// Chip is a filter in force; its URL takes it away.
type Chip struct{ Text, URL string }

// Facet is a group of filters, each a link that toggles it.
type Facet struct {
	Key    string
	Label  string
	Values []FacetValue
	More   []FacetValue // folded away
	Open   bool
}

// FacetValue is one filter with its count.
type FacetValue struct {
	Text     string
	N        string
	URL      string
	Selected bool
}

// SalaryFilter is a form with one select, salary_min.
type SalaryFilter struct {
	Action  string
	Hidden  []Hidden
	Options []Option
}

// Empty says that nothing was found and what to do now.
type Empty struct {
	Title string
	Text  string
	Links []Link
}

// AlertForm takes an address for an alert. Fields: email, frequency (when
// Frequencies are given).
type AlertForm struct {
	Form
	Search      string // "remote engineering", what the alert is about
	Frequencies []Option
}

// ListingState decides what a listing's page says first.
type ListingState string

// The states that have a page.
const (
	Live    ListingState = "live"
	Paused  ListingState = "paused"
	Filled  ListingState = "filled"
	Expired ListingState = "expired"
	Removed ListingState = "removed"
)

// ListingPage is "/jobs/<slug>-<id>".
type ListingPage struct {
	Layout
	State       ListingState
	Title       string
	Company     CompanyCard
	Place       string
	Workplace   string
	Pay         string
	Type        string
	Posted      When
	Closes      *When
	Featured    bool
	Tags        []Count
	Facts       []Fact
	Description Prose
	Apply       *ApplyLink // nil: nobody can apply now
	ReportURL   string
	Crumbs      []Link
	Similar     []Card
	Alert       *AlertForm
	SearchURL   string
	Preview     *PreviewBar // set on the exact preview of a posting
}

// ApplyLink leads to the form on the board, away, or to a mail program.
type ApplyLink struct {
	URL  string // empty on a preview: the button leads nowhere
	Kind string // "board", "link", "email"
	Host string // where a link leads: "careers.example.com"
}

// PreviewBar frames a listing that nobody else sees yet.
type PreviewBar struct {
	Text     string // empty: the catalogue's words
	BackURL  string
	NextURL  string
	Products string // "from $199"
}

// CompanyPage is "/companies/<slug>".
type CompanyPage struct {
	Layout
	Company  CompanyCard
	About    Prose
	Cards    []Card
	Openings string
	Crumbs   []Link
	Alert    *AlertForm
}

// CompaniesPage is "/companies".
type CompaniesPage struct {
	Layout
	Heading   string
	Companies []CompanyCard
	Pages     Pagination
	Empty     *Empty
}

// ApplyPage is the form on the board. Fields: name, email, cv (file), note,
// consent.
type ApplyPage struct {
	Layout
	Form
	Card       Card
	Consent    string // the privacy line
	PrivacyURL string
	Accept     string // the file input's accept
	Limit      string // "PDF, DOCX, ODT or TXT, up to 5 MB"
	BackURL    string
}

// ApplyDone confirms an application.
type ApplyDone struct {
	Layout
	Card    Card
	Email   string
	Similar []Card
	Alert   *AlertForm
}

// Withdraw asks, then confirms. Fields: hidden only.
type Withdraw struct {
	Layout
	Form
	Card    Card
	Done    bool
	HomeURL string
}

// Report takes a complaint about a listing. Fields: reason (radio), text,
// email.
type Report struct {
	Layout
	Form
	Card    Card
	Reasons []Option
	Done    bool
	BackURL string
}

// AlertPage is every step of an alert. Step: "request" (field email, refused),
// "requested", "confirm",
// "confirmed", "stop", "stopped".
type AlertPage struct {
	Layout
	Form
	Step   string
	Search string
	Email  string
	JobURL string // back to the jobs
}

// SignIn is every step of a magic link. Step: "request" (field email), "over"
// (the same, after a link that is spent or too old), "sent" (field code), "confirm" (hidden only). Audience: "employer", "seeker".
type SignIn struct {
	Layout
	Form
	Step     string
	Audience string
	Email    string
	ResendTo string // action that asks for another link
}

// Gate is the door of a private board: a field to fill in, a button to press or
// a link to follow, or words alone.
type Gate struct {
	Layout
	Form
	Heading, Text                string
	Field, Label, Type, Complete string // of the one field, if any
	Button                       string
	Link                         *Link
}

// YourData is what somebody may ask about their own data. Step: "request",
// "sent", "over" (a dead link), "open" (the link's button), "held" (what there
// is, with both acts), "asked" (the erasure waits), "keep" and "kept" (it is
// taken back). Fields: email; confirm at "held".
type YourData struct {
	Layout
	Form
	Step string
	// Email was proven, or is where the link goes.
	Email string
	Held  []Held
	// DownloadTo is the action that sends the file.
	DownloadTo string
	// Day is when the erasure begins; empty at "held" when none waits.
	Day string
	// Days is how long an erasure can be taken back.
	Days       int
	PrivacyURL string
}

// Held is how much there is of one kind.
type Held struct{ Text, Count string }

// TextPage is legal and other standing text.
type TextPage struct {
	Layout
	Heading string
	Body    Prose
	Updated *When
	// More is where to go on, if anywhere.
	More *Link
}

// ErrorPage answers a request that went wrong. Status: 403, 404, 410, 413,
// 429, 500 or 503.
type ErrorPage struct {
	Layout
	Status    int
	Text      string // empty: the catalogue's words
	RequestID string
	Search    *SearchBox
	Links     []Link
}

// HeldPage is a form that waits for a link by mail. Step is "sent", "confirm" or
// "over".
type HeldPage struct {
	Layout
	Form
	Step, Email string
	Hours       int
	HomeURL     string
}
