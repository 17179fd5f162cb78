package themes

// PostForm is "/post". Fields: title, company_name, company_website,
// company_logo (file), category, employment_type, workplace, city, country,
// city_2, country_2, city_3, country_3, salary_min, salary_max,
// salary_currency, salary_period, description (HTML from the editor, plain
// text without JavaScript: then description_format is "text"), tags,
// apply_method ("board", "link", "email"), apply_url, apply_email, email.
type PostForm struct {
	Layout
	Form
	Editing    bool // an employer edits a listing: no prices, no address
	Categories []Option
	Types      []Option
	Workplaces []Option
	Countries  []Option
	Currencies []Option
	Periods    []Option
	Methods    []Option
	Products   []Product
	Preview    Card
	LogoLimit  string // "PNG, JPEG or WebP, up to 1 MB"
	CancelURL  string
}

// Product is one thing that an employer can buy.
type Product struct {
	ID       string
	Name     string
	Line     string
	Price    string // "$199", "Free"
	Free     bool   // taking it publishes, or asks for review, without paying
	Was      string
	Tax      string // "plus VAT"
	Includes []string
	Featured bool // the one to look at first
	Selected bool
	Blocked  string // why it can't be bought now; empty: it can
}

// PostProducts is the choice before paying. Fields: product, terms.
type PostProducts struct {
	Layout
	Form
	Card     Card
	Products []Product
	TermsURL string
	BackURL  string
	Blocked  string // why this board can't sell yet; free products still work
	Reviewed bool   // the board looks at listings before they go live
	HasFree  bool   // what can be taken now is free, must be paid, or both
	HasPaid  bool
}

// PostReturn is where checkout comes back to. State: "live", "review",
// "scheduled", "pending", "declined", "cancelled".
type PostReturn struct {
	Layout
	State    string
	Card     Card
	Order    []Fact
	Email    string
	RetryURL string
	DeskURL  string
	URL      string // the live listing
}

// Employers is "/employers": the board, offered to those who hire.
type Employers struct {
	Layout
	Title, Text string
	Figures     []Figure
	Products    []Product
	Points      []Point
	Companies   []CompanyCard
	Questions   []Point
	SignIn      SignInBox
}

// Figure is a number with its meaning.
type Figure struct{ N, Text string }

// Point is a heading and a sentence.
type Point struct{ Title, Text string }

// SignInBox asks for a magic link. Fields: email.
type SignInBox struct {
	Form
}
