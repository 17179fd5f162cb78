package site

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/money"
	"shingle/listings"
	"shingle/search"
	"shingle/tenant"
	"shingle/themes"
)

const perPage = 20

// home is "/": search, categories, featured, latest.
func (s *Site) home(c *gin.Context) error {
	v, err := s.view(c.Request.Context())
	if err != nil {
		return err
	}
	return s.homeIn(c, v)
}

// homeIn is the home in a look of the caller's.
func (s *Site) homeIn(c *gin.Context, v *view) error {
	var front *listings.Front
	err := s.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		front, err = s.Listings.Front(ctx, tx, 36)
		return err
	})
	if err != nil {
		return err
	}
	words := v.look.Words
	latest := v.Cards(front.Latest)
	p := themes.Home{Layout: s.layout(v, v.T.Name), Title: words.HeroTitle, Text: words.HeroText, Search: s.searchBox(v, search.Query{}),
		Total: v.Say("jobs.total", front.Total), Featured: v.Cards(front.Featured), Latest: latest, AllURL: "/jobs",
		Alert: s.alertForm(v, search.Query{}), Employers: &themes.Link{Text: v.Say("home.employers"), URL: "/post"}}
	if p.Title == "" {
		p.Title = p.Board.Tagline
	}
	if p.Title == "" {
		p.Title = v.Say("home.title", v.T.Name)
	}
	p.Layout.Title, p.Canonical = p.Title, s.canonical(v, "/")
	if p.Description = words.HeroText; p.Description == "" {
		p.Description = p.Board.Tagline
	}
	for part := range strings.SplitSeq(strings.ReplaceAll(words.About, "\r\n", "\n"), "\n\n") {
		if part = strings.TrimSpace(part); part != "" {
			p.About = append(p.About, part)
		}
	}
	p.SearchURL = ""
	// A section shows what the list of the latest above it does not.
	tops := map[string][]themes.Card{}
	for i := min(themes.LatestAboveSections, len(front.Latest)); i < len(front.Latest); i++ {
		slug := front.Latest[i].CategorySlug
		if len(tops[slug]) < 3 {
			tops[slug] = append(tops[slug], latest[i])
		}
	}
	for _, cat := range front.Categories {
		if cat.Live > 0 {
			p.Categories = append(p.Categories, themes.Count{Text: cat.Name, URL: "/categories/" + cat.Slug, N: v.Number(cat.Live), Tops: tops[cat.Slug]})
		}
	}
	for i := range front.Companies {
		p.Companies = append(p.Companies, v.companyCard(&front.Companies[i]))
	}
	return s.render(c, v, http.StatusOK, "home", p)
}

// jobs is "/jobs": the query in the URL is the whole state.
func (s *Site) jobs(c *gin.Context) error {
	return s.results(c, search.ParseQuery(c.Request.URL.Query()), nil)
}

// category is a category's landing page.
func (s *Site) category(c *gin.Context) error {
	var cat *listings.Category
	err := s.read(c, func(ctx context.Context, tx bun.IDB) error {
		cats, err := s.categories(ctx, tx)
		for i := range cats {
			if cats[i].Slug == c.Param("category") {
				cat = &cats[i]
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	if cat == nil {
		return fault.New(fault.NotFound, "no such category")
	}
	q := search.ParseQuery(c.Request.URL.Query())
	q.Categories = []string{cat.Slug}
	return s.results(c, q, cat)
}

func (s *Site) results(c *gin.Context, q search.Query, landing *listings.Category) error {
	v, err := s.view(c.Request.Context())
	if err != nil {
		return err
	}
	q.PerPage = perPage
	var res *search.Result
	var cards []listings.Card
	err = s.Search.Page(c.Request.Context(), inMinor(v.T, q), func(ctx context.Context, tx bun.IDB, found *search.Result) (err error) {
		res = found
		ids := make([]uuid.UUID, len(res.Hits))
		for i, h := range res.Hits {
			ids[i] = h.ListingID
		}
		cards, err = s.Listings.ByIDs(ctx, tx, ids)
		return err
	})
	if err != nil {
		return err
	}
	// A chosen category is among the facet's values whatever it counts.
	names := map[string]string{}
	for _, value := range res.Facets[search.FacetCategory] {
		names[value.Value] = value.Label
	}
	p := themes.Results{Layout: s.layout(v, ""), Search: s.searchBox(v, q), Total: v.Say("jobs.total", res.Total),
		Cards: v.Cards(cards), Facets: v.facets(q, res, names), Salary: v.salaryFilter(q), Sort: v.sorts(q),
		Active: v.chips(q, names), Pages: v.pages(q, res.Page, res.Pages), Alert: s.alertForm(v, q)}
	p.Heading = v.heading(q, landing, names)
	p.Layout.Title, p.Query, p.Location = p.Heading, q.Text, q.Location
	if len(p.Active) > 0 {
		p.ClearURL = jobsURL(search.Query{Text: q.Text, Location: q.Location})
	}
	if res.Corrected != "" {
		fixed := q.AtPage(1)
		fixed.Text = res.Corrected
		p.Suggestion = &themes.Link{Text: v.Say("jobs.corrected", res.Corrected), URL: jobsURL(fixed)}
	}
	if len(cards) == 0 {
		p.Empty = v.noResults(q, res.Page)
	}
	s.describe(v, &p, q, landing, res)
	return s.render(c, v, http.StatusOK, "results", p)
}

// describe sets what search engines read: sorted, paged and filtered copies
// name the plain search as their canonical address.
func (s *Site) describe(v *view, p *themes.Results, q search.Query, landing *listings.Category, res *search.Result) {
	switch {
	case landing != nil:
		p.Canonical = s.canonical(v, "/categories/"+landing.Slug)
		p.Crumbs = []themes.Link{{Text: v.Say("nav.home"), URL: "/"}, {Text: v.Say("nav.jobs"), URL: "/jobs"}}
		if res.Total < 5 {
			p.Robots = "noindex, follow"
		}
	case q.Text == "" && !q.Filtered() && q.Location == "":
		p.Canonical = s.canonical(v, "/jobs")
	default:
		p.Canonical = s.canonical(v, "/jobs")
		p.Robots = "noindex, follow"
	}
	p.Description = v.Say("jobs.description", res.Total, p.Heading, v.T.Name)
	if q.Text != "" || q.Filtered() {
		p.FeedURL = "/feed.rss?" + q.AtPage(1).Values().Encode()
	}
}

func jobsURL(q search.Query) string {
	if enc := q.Values().Encode(); enc != "" {
		return "/jobs?" + enc
	}
	return "/jobs"
}

func (s *Site) searchBox(_ *view, q search.Query) themes.SearchBox {
	box := themes.SearchBox{Action: "/jobs", Query: q.Text, Location: q.Location}
	rest := q.AtPage(1)
	rest.Text, rest.Location = "", ""
	box.Hidden = hidden(rest.Values())
	return box
}

// hidden are a form's fields in one order: a page's bytes, and so its ETag,
// must not depend on a map's.
func hidden(v url.Values) []themes.Hidden {
	var out []themes.Hidden
	for _, name := range slices.Sorted(maps.Keys(v)) {
		for _, value := range v[name] {
			out = append(out, themes.Hidden{Name: name, Value: value})
		}
	}
	return out
}

// label is a facet value's word.
func (v *view) label(facet, value, given string, categories map[string]string) string {
	switch {
	case given != "":
		return given
	case facet == search.FacetCategory:
		if n := categories[value]; n != "" {
			return n
		}
		return value
	case facet == search.FacetType, facet == search.FacetWorkplace, facet == search.FacetSeniority:
		return v.Say(facet + "." + value)
	}
	return value
}

func (v *view) facets(q search.Query, res *search.Result, categories map[string]string) []themes.Facet {
	var out []themes.Facet
	for _, name := range search.FacetNames {
		values := res.Facets[name]
		if len(values) == 0 {
			continue
		}
		f := themes.Facet{Key: name, Label: v.Say("facet." + name), Open: len(out) < 3}
		for i, fv := range values {
			item := themes.FacetValue{Text: v.label(name, fv.Value, fv.Label, categories), N: v.Number(fv.Count), URL: jobsURL(q.Toggle(name, fv.Value)), Selected: fv.Selected}
			f.Open = f.Open || fv.Selected
			if i < 8 || fv.Selected {
				f.Values = append(f.Values, item)
			} else if len(f.More) < 30 {
				f.More = append(f.More, item)
			}
		}
		out = append(out, f)
	}
	return out
}

func (v *view) chips(q search.Query, categories map[string]string) []themes.Chip {
	var out []themes.Chip
	for _, name := range search.FacetNames {
		for _, value := range q.Chosen(name) {
			out = append(out, themes.Chip{Text: v.label(name, value, "", categories), URL: jobsURL(q.Toggle(name, value))})
		}
	}
	if q.SalaryMin > 0 {
		without := q.AtPage(1)
		without.SalaryMin = 0
		out = append(out, themes.Chip{Text: v.Say("salary.from", v.whole(q.SalaryMin/wholeUnit)), URL: jobsURL(without)})
	}
	return out
}

// salaryFilter offers round yearly amounts of the board's currency.
func (v *view) salaryFilter(q search.Query) *themes.SalaryFilter {
	rest := q.AtPage(1)
	rest.SalaryMin = 0
	f := &themes.SalaryFilter{Action: "/jobs", Hidden: hidden(rest.Values()), Options: []themes.Option{{Value: "", Text: v.Say("salary.any"), Selected: q.SalaryMin == 0}}}
	// Round amounts that people filter by, in whole units of the currency.
	steps, unit := []int64{20, 30, 40, 50, 60, 80, 100, 120, 150}, int64(1000)
	if money.Exponent(v.T.Currency) == 0 {
		unit *= 100
	}
	chosen := q.SalaryMin / wholeUnit
	seen := chosen == 0
	add := func(whole int64) {
		seen = seen || whole == chosen
		f.Options = append(f.Options, themes.Option{Value: strconv.FormatInt(whole, 10), Text: v.Say("salary.from", v.whole(whole)), Selected: whole == chosen})
	}
	for _, n := range steps {
		add(n * unit)
	}
	if !seen {
		add(chosen)
	}
	return f
}

// wholeUnit is how a query counts: hundredths of the currency's whole unit,
// whatever the currency's own minor unit is.
const wholeUnit = 100

// whole writes an amount of whole units.
func (v *view) whole(n int64) string {
	for range money.Exponent(v.T.Currency) {
		n *= 10
	}
	return money.Short(n, v.T.Currency, v.T.Locale)
}

// inMinor is the query with the salary in the minor units of the board's
// currency, as the index has it.
func inMinor(t *tenant.Tenant, q search.Query) search.Query {
	q.SalaryMin /= wholeUnit
	for range money.Exponent(t.Currency) {
		q.SalaryMin *= 10
	}
	return q
}

func (v *view) sorts(q search.Query) []themes.Link {
	var out []themes.Link
	for _, sort := range []string{search.SortBest, search.SortRecent, search.SortSalary} {
		other := q.AtPage(1)
		other.Sort = sort
		key := sort
		if key == "" {
			key = "best"
		}
		out = append(out, themes.Link{Text: v.Say("sort." + key), URL: jobsURL(other), Current: q.Sort == sort})
	}
	return out
}

// heading says what is being looked at: "Remote full-time jobs for “nurse” in Leeds".
func (v *view) heading(q search.Query, landing *listings.Category, categories map[string]string) string {
	switch {
	case landing != nil:
		return v.Say("jobs.in_category", landing.Name)
	case q.Text != "" && q.Location != "":
		return v.Say("jobs.text_place", q.Text, q.Location)
	case q.Text != "":
		return v.Say("jobs.text", q.Text)
	case q.Location != "":
		return v.Say("jobs.place", q.Location)
	case len(q.Categories) == 1 && categories[q.Categories[0]] != "":
		return v.Say("jobs.in_category", categories[q.Categories[0]])
	}
	return v.Say("jobs.all")
}

func (v *view) pages(q search.Query, page, pages int) themes.Pagination {
	if pages <= 1 {
		return themes.Pagination{}
	}
	p := themes.Pagination{Text: v.Say("pages.of", v.Number(page), v.Number(pages))}
	if page > 1 {
		p.Prev = jobsURL(q.AtPage(page - 1))
	}
	if page < pages {
		p.Next = jobsURL(q.AtPage(page + 1))
	}
	last := 0
	for n := 1; n <= pages; n++ {
		if n != 1 && n != pages && (n < page-2 || n > page+2) {
			continue
		}
		if last != 0 && n > last+1 {
			p.Pages = append(p.Pages, themes.PageLink{Text: "…"})
		}
		p.Pages = append(p.Pages, themes.PageLink{Text: v.Number(n), URL: jobsURL(q.AtPage(n)), Current: n == page})
		last = n
	}
	return p
}

func (v *view) noResults(q search.Query, page int) *themes.Empty {
	filters := q
	filters.Text, filters.Location = "", ""
	e := &themes.Empty{Title: v.Say("empty.title"), Text: v.Say("empty.text")}
	switch {
	case page > 1:
		e.Title, e.Text = v.Say("empty.page_title"), v.Say("empty.page_text")
		e.Links = append(e.Links, themes.Link{Text: v.Say("empty.first_page"), URL: jobsURL(q.AtPage(1))})
	case filters.Filtered():
		e.Text = v.Say("empty.filters")
		e.Links = append(e.Links, themes.Link{Text: v.Say("empty.drop_filters"), URL: jobsURL(search.Query{Text: q.Text, Location: q.Location})})
	case strings.TrimSpace(q.Text+q.Location) == "":
		e.Title, e.Text = v.Say("empty.board_title"), v.Say("empty.board_text")
		e.Links = append(e.Links, themes.Link{Text: v.Say("nav.post"), URL: "/post"})
		return e
	}
	e.Links = append(e.Links, themes.Link{Text: v.Say("empty.all"), URL: "/jobs"})
	return e
}
