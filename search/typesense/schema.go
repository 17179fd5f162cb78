package typesense

import (
	"strings"
	"time"
	"unicode"

	"github.com/typesense/typesense-go/v3/typesense/api"

	"shingle/search"
	"shingle/tenant"
)

// forever stands for "no end", in the milliseconds of a document's times.
const forever = int64(253402300799000)

// aliasOf is the name that a board's searches use; collections are numbered
// behind it.
func aliasOf(board tenant.ID) string {
	return "listings_" + strings.ReplaceAll(board.String(), "-", "")
}

func ptr[T any](v T) *T { return &v }

// schema is what 0.24 understands: no stemming, no per-field symbols.
//
// Text is folded before it is sent (search.Fold), so that both engines agree on
// what a word is; the symbols are named for whoever searches by hand.
func schema(name string) *api.CollectionSchema {
	text := func(n string) api.Field { return api.Field{Name: n, Type: "string"} }
	facet := func(n, typ string) api.Field {
		return api.Field{Name: n, Type: typ, Facet: ptr(true), Optional: ptr(true)}
	}
	number := func(n, typ string) api.Field { return api.Field{Name: n, Type: typ} }
	return &api.CollectionSchema{
		Name:                name,
		DefaultSortingField: ptr("published_at"),
		TokenSeparators:     ptr([]string{"-", "/"}),
		SymbolsToIndex:      ptr([]string{"#", "+"}),
		Fields: []api.Field{
			text("title"), text("company_name"),
			{Name: "tags", Type: "string[]", Optional: ptr(true)},
			{Name: "place", Type: "string[]", Optional: ptr(true)},
			text("text"),
			facet("type", "string"), facet("workplace", "string"), facet("category", "string"), facet("company", "string"),
			facet("seniority", "string"), facet("country", "string[]"),
			number("salary_top", "int64"), number("featured", "int32"), number("published_at", "int64"),
			number("ends_at", "int64"), number("version", "int64"),
		},
	}
}

// document is what a collection holds. title_label and company_label are
// stored beside the schema, for suggestions.
type document struct {
	ID           string   `json:"id"`
	Title        string   `json:"title"`
	CompanyName  string   `json:"company_name"`
	Tags         []string `json:"tags,omitempty"`
	Place        []string `json:"place,omitempty"`
	Text         string   `json:"text"`
	Type         string   `json:"type,omitempty"`
	Workplace    string   `json:"workplace,omitempty"`
	Category     string   `json:"category,omitempty"`
	Company      string   `json:"company,omitempty"`
	Seniority    string   `json:"seniority,omitempty"`
	Country      []string `json:"country,omitempty"`
	SalaryTop    int64    `json:"salary_top"`
	Featured     int32    `json:"featured"`
	PublishedAt  int64    `json:"published_at"`
	EndsAt       int64    `json:"ends_at"`
	Version      int64    `json:"version"`
	TitleLabel   string   `json:"title_label"`
	CompanyLabel string   `json:"company_label"`
}

func documentOf(d *search.Document) document {
	out := document{ID: d.ID.String(), Title: search.Fold(d.Title), CompanyName: search.Fold(d.Company), Text: search.Fold(d.Text),
		Type: d.Type, Workplace: d.Workplace, Category: d.Category, Company: d.CompanySlug, Seniority: d.Seniority, Country: d.Countries,
		SalaryTop: max(d.SalaryMin, d.SalaryMax), PublishedAt: d.PublishedAt.UnixMilli(), EndsAt: forever, Version: d.Version,
		TitleLabel: d.Title, CompanyLabel: d.Company}
	if d.Featured {
		out.Featured = 1
	}
	if !d.EndsAt.IsZero() {
		out.EndsAt = d.EndsAt.UnixMilli()
	}
	for _, t := range append([]string{d.Category}, d.Tags...) {
		if f := search.Fold(t); f != "" {
			out.Tags = append(out.Tags, f)
		}
	}
	place := func(s string) {
		if f := search.Fold(s); f != "" {
			out.Place = append(out.Place, f)
		}
	}
	for _, p := range d.Places {
		place(p.City)
		place(p.Region)
	}
	for _, c := range d.Countries {
		for _, name := range search.CountryNames(c) {
			place(name)
		}
	}
	if d.Workplace == "remote" {
		place("remote")
	}
	return out
}

// nothing is a filter value that no document has.
const nothing = "nosuchvalue00"

// quoted makes a value safe inside a filter. Backticks let commas, brackets
// and operators through as text; nothing escapes a backtick itself, and a value
// without a letter is no token, so both stand for a value that nothing has.
func quoted(value string) string {
	letters := false
	for _, r := range value {
		if r == '`' || unicode.IsControl(r) || r == unicode.ReplacementChar {
			return "`" + nothing + "`"
		}
		letters = letters || r < 128 && (unicode.IsLetter(r) || unicode.IsDigit(r))
	}
	if !letters || len(value) > 200 {
		return "`" + nothing + "`"
	}
	return "`" + value + "`"
}

// filterOf is the query's filter, without the one of a facet.
func filterOf(q search.Query, without string, now time.Time) string {
	parts := []string{"ends_at:>" + itoa(now.UnixMilli())}
	for _, f := range search.FacetNames {
		chosen := q.Chosen(f)
		if f == without || len(chosen) == 0 {
			continue
		}
		values := make([]string, len(chosen))
		for i, v := range chosen {
			values[i] = quoted(v)
		}
		parts = append(parts, f+":=["+strings.Join(values, ",")+"]")
	}
	for _, w := range search.Tokens(q.Location) {
		parts = append(parts, "place:"+quoted(w))
	}
	if q.SalaryMin > 0 {
		parts = append(parts, "salary_top:>="+itoa(q.SalaryMin))
	}
	if !q.Since.IsZero() {
		parts = append(parts, "published_at:>"+itoa(q.Since.UnixMilli()))
	}
	return strings.Join(parts, " && ")
}
