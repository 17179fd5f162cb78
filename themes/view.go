package themes

import (
	"encoding/json"
	"html/template"
)

// Layout is what every page has around its content. Every page's view embeds
// it, and Render picks the language by its Locale.
//
// All texts are final (money and dates formatted, words in the page's
// language); all URLs are ready to print. Views carry no methods, so that a
// pack's template can print and never act.
type Layout struct {
	Locale    string // "en", "de": a catalogue of words, and the html lang
	Dir       string // "ltr" (also when empty) or "rtl"
	Board     Board
	Title     string // of the document, without the board's name
	Canonical string // absolute
	Robots    string // empty: index
	// Description is the meta description; Share repeats it when it has none.
	Description string
	Share       Share
	// JSONLD is printed as data blocks, one script element each.
	JSONLD     []json.RawMessage
	Alternates []Alternate
	FeedURL    string
	ThemeCSS   string // /theme.<hash>.css
	CustomCSS  string // URL of the confined custom CSS; empty: none
	Nav        []Link
	PostURL    string // "Post a job"; empty hides the button
	SearchURL  string // where the header's search box goes: /jobs
	Query      string // what the header's search box shows
	Location   string
	Footer     Footer
	Notice     *Notice
	// Still leaves the scripts out: a preview in a frame that may run none.
	Still bool
}

// Board is the board as its pages name it.
type Board struct {
	Name    string
	Tagline string
	HomeURL string
	LogoURL string // empty: the name is set in type
	IconURL string // favicon
}

// Share is what a link to the page looks like elsewhere.
type Share struct {
	Type        string // "website" when empty
	Title       string // the document's title when empty
	Description string
	ImageURL    string // absolute
}

// Alternate is the same page in another language.
type Alternate struct{ Locale, URL string }

// Link is a text that leads somewhere.
type Link struct {
	Text    string
	URL     string
	Current bool
}

// Footer closes every page.
type Footer struct {
	Text  string
	Links []Link
	Legal []Link
}

// Notice is one line above the content. Kind: "info", "good", "bad".
type Notice struct {
	Kind string
	Text string
	Link *Link
}

// When is a moment: Text is relative or short, Title is exact.
type When struct{ Text, ISO, Title string }

// Logo is a company's picture, or its monogram in one of the Tones.
type Logo struct {
	URL      string
	Initials string
	Tone     int // 0 to Tones-1
}

// Card is a listing in a list.
type Card struct {
	URL       string
	Title     string
	Company   string
	Logo      Logo
	Place     string // "Leeds, UK", "3 places"; empty when fully remote
	Workplace string // "Remote", "Hybrid"; empty on site
	Pay       string
	Type      string
	Age       When
	Tags      []string
	Featured  bool
	New       bool
	Excerpt   string // one or two sentences of plain text, for lead stories
	Closed    string // a word such as "Filled"; empty while open
}

// Count is a link with a number behind it: a category, a place.
type Count struct {
	Text    string
	URL     string
	N       string // formatted
	Current bool
	Tops    []Card // a few newest of it, where the page shows sections
}

// CompanyCard is a company in a list, or beside a listing.
type CompanyCard struct {
	Name     string
	URL      string
	Logo     Logo
	Line     string // what they do, in a sentence
	Openings string // "4 open jobs"
	Website  *Link
	Facts    []Fact
}

// Fact is a labelled value.
type Fact struct {
	Label string
	Value string
	URL   string
	ISO   string // a date's machine form
	Title string // a date's exact form
}

// Option is one choice of a select, a radio group or a set of checkboxes.
type Option struct {
	Value    string
	Text     string
	Hint     string
	Selected bool
}

// Hidden is a field that carries state.
type Hidden struct{ Name, Value string }

// Form is what was typed and what must change about it. Field names are listed
// at each view; templates read values with `val` and errors with `bad`.
type Form struct {
	Action string
	Hidden []Hidden
	Values map[string]string
	Errors []FieldError
	// Problem is an error of the whole form, such as a refused payment.
	Problem string
	// Proof is the form's name where it brings a proof of work; "" where not.
	Proof string
}

// FieldError says what to change, and where.
type FieldError struct{ Field, Text string }

// Prose is HTML that has passed the sanitiser.
type Prose = template.HTML

// Pagination leads through a list.
type Pagination struct {
	Prev, Next string // URLs; empty at the ends
	Pages      []PageLink
	Text       string // "Page 2 of 14"
}

// PageLink is one number, or a gap when URL and Current are empty.
type PageLink struct {
	Text    string
	URL     string
	Current bool
}
