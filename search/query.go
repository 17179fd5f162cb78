package search

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Facet names, which are also URL parameters.
const (
	FacetType      = "type"
	FacetWorkplace = "workplace"
	FacetCategory  = "category"
	FacetCompany   = "company"
	FacetSeniority = "seniority"
	FacetCountry   = "country"
)

// FacetNames lists the facets in the order that pages show them.
var FacetNames = []string{FacetType, FacetWorkplace, FacetCategory, FacetSeniority, FacetCountry, FacetCompany}

// FeaturedLead is how many featured listings lead the results in the best
// order; the others keep their place, so that the first page is not theirs alone.
const FeaturedLead = 3

// Sort orders.
const (
	SortBest   = ""       // FeaturedLead featured, then relevance, then recency
	SortRecent = "recent" // newest first, featured or not
	SortSalary = "salary" // highest first
)

// Bounds of what a URL may ask.
const (
	DefaultPerPage = 20
	MaxPerPage     = 100
	// MaxPage bounds how deep anybody may page; nobody reads there, robots do.
	MaxPage   = 500
	maxText   = 200 // bytes
	maxChosen = 20  // values of one facet
	maxSalary = int64(1_000_000_000_00)
)

var (
	// Types are the employment types a query may name.
	Types = []string{"full_time", "part_time", "contract", "temporary", "internship", "apprenticeship", "volunteer"}
	// Workplaces are the workplaces a query may name.
	Workplaces = []string{"on_site", "hybrid", "remote"}
	// Seniorities are the levels a query may name.
	Seniorities = []string{"intern", "junior", "mid", "senior", "lead", "executive"}
)

// Query is one search. The URL holds all of it but PerPage and Since.
type Query struct {
	Text     string
	Location string

	Types      []string
	Workplaces []string
	Categories []string // slugs
	Companies  []string // slugs
	Seniority  []string
	Countries  []string // ISO 3166-1 alpha-2, upper case

	// SalaryMin is per year in minor units of the board's currency; 0 for any.
	SalaryMin int64
	// Since leaves only what was published after it; zero for any.
	Since time.Time

	Sort string
	// Page begins at 1.
	Page    int
	PerPage int
}

// ParseQuery reads a URL's parameters. Nothing in a URL is an error: what is
// unknown or out of bounds is dropped, so that every URL has one normal form
// (Values). salary_min is in whole units of the currency, per year.
func ParseQuery(v url.Values) Query {
	q := Query{
		Text:       cleanText(v.Get("q")),
		Location:   cleanText(v.Get("location")),
		Types:      chosen(v["type"], func(s string) bool { return slices.Contains(Types, s) }),
		Workplaces: chosen(v["workplace"], func(s string) bool { return slices.Contains(Workplaces, s) }),
		Categories: chosen(v["category"], isSlug),
		Companies:  chosen(v["company"], isSlug),
		Seniority:  chosen(v["seniority"], func(s string) bool { return slices.Contains(Seniorities, s) }),
		Page:       1,
		PerPage:    DefaultPerPage,
	}
	upper := make([]string, 0, len(v["country"]))
	for _, c := range v["country"] {
		upper = append(upper, strings.ToUpper(c))
	}
	q.Countries = chosen(upper, isCountry)
	if n, err := strconv.ParseInt(strings.TrimSpace(v.Get("salary_min")), 10, 64); err == nil && n > 0 && n <= maxSalary/100 {
		q.SalaryMin = n * 100
	}
	if s := v.Get("sort"); s == SortRecent || s == SortSalary {
		q.Sort = s
	}
	if n, err := strconv.Atoi(v.Get("page")); err == nil && n > 1 {
		q.Page = min(n, MaxPage)
	}
	return q
}

// Values is the query's normal form: sorted values, nothing that is default.
func (q Query) Values() url.Values {
	v := url.Values{}
	set := func(name, s string) {
		if s != "" {
			v.Set(name, s)
		}
	}
	set("q", q.Text)
	set("location", q.Location)
	for _, name := range FacetNames {
		if c := q.Chosen(name); len(c) > 0 {
			c = slices.Clone(c)
			slices.Sort(c)
			v[name] = slices.Compact(c)
		}
	}
	if q.SalaryMin > 0 {
		v.Set("salary_min", strconv.FormatInt(q.SalaryMin/100, 10))
	}
	set("sort", q.Sort)
	if q.Page > 1 {
		v.Set("page", strconv.Itoa(q.Page))
	}
	return v
}

// Chosen is what is selected in a facet.
func (q Query) Chosen(facet string) []string {
	if p := (&q).facet(facet); p != nil {
		return *p
	}
	return nil
}

// Toggle is the query with a facet's value added or taken away, on page 1.
func (q Query) Toggle(facet, value string) Query {
	p := (&q).facet(facet)
	if p == nil {
		return q
	}
	c := slices.Clone(*p)
	if i := slices.Index(c, value); i >= 0 {
		c = slices.Delete(c, i, i+1)
	} else {
		c = append(c, value)
	}
	slices.Sort(c)
	*p, q.Page = c, 1
	return q
}

// Without is the query with a facet's choice dropped, on page 1.
func (q Query) Without(facet string) Query {
	if p := (&q).facet(facet); p != nil {
		*p = nil
	}
	q.Page = 1
	return q
}

// AtPage is the query on another page.
func (q Query) AtPage(n int) Query {
	q.Page = min(max(n, 1), MaxPage)
	return q
}

// Filtered reports whether anything narrows the board's listings.
func (q Query) Filtered() bool {
	q.Page, q.Sort = 1, ""
	return len(q.Values()) > 0 || !q.Since.IsZero()
}

// Bounded is the query as engines may run it: page and size within bounds.
func (q Query) Bounded() Query {
	if q.PerPage <= 0 {
		q.PerPage = DefaultPerPage
	}
	q.PerPage = min(q.PerPage, MaxPerPage)
	q.Text, q.Location = cleanText(q.Text), cleanText(q.Location)
	q.Page = min(max(q.Page, 1), MaxPage)
	return q
}

func (q *Query) facet(name string) *[]string {
	switch name {
	case FacetType:
		return &q.Types
	case FacetWorkplace:
		return &q.Workplaces
	case FacetCategory:
		return &q.Categories
	case FacetCompany:
		return &q.Companies
	case FacetSeniority:
		return &q.Seniority
	case FacetCountry:
		return &q.Countries
	}
	return nil
}

// cleanText drops control characters, folds white space and bounds the length
// without cutting a letter in two.
func cleanText(s string) string {
	s = strings.ToValidUTF8(s, "")
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	for len(s) > maxText {
		_, n := utf8.DecodeLastRuneInString(s[:maxText+1])
		s = strings.TrimSpace(s[:maxText+1-n])
	}
	return s
}

func chosen(values []string, ok func(string) bool) []string {
	var out []string
	for _, s := range values {
		if ok(s) && !slices.Contains(out, s) && len(out) < maxChosen {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}

func isSlug(s string) bool {
	if s == "" || len(s) > 120 {
		return false
	}
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

func isCountry(s string) bool {
	return len(s) == 2 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z'
}
