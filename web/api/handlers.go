package api

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/money"
	"shingle/listings"
	"shingle/search"
	"shingle/tenant"
)

// register is every operation of the API, in the order of the reference.
func (a *API) register(h huma.API) {
	get := func(path, id, tag, summary, text string, errors ...int) huma.Operation {
		return huma.Operation{Method: http.MethodGet, Path: path, OperationID: id, Tags: []string{tag}, Summary: summary, Description: text,
			Errors: append(errors, http.StatusTooManyRequests, http.StatusServiceUnavailable)}
	}
	huma.Register(h, get("/board", "getBoard", "Board", "The board itself",
		"Name, language, currency and figures of the board. Read it once to write prices and dates as the board does."), a.board)
	huma.Register(h, get("/jobs", "listJobs", "Jobs", "Search jobs",
		"A page of open jobs that match all parameters; without any, all open jobs. A parameter that is given more than once matches any of its values. "+
			"The answer also counts the choices that would narrow the search (facets), for filters beside a list.", http.StatusUnprocessableEntity), a.jobs)
	huma.Register(h, get("/jobs/{id}", "getJob", "Jobs", "One job",
		"An open job with its description. A job that is over answers 410, so that copies of it can be dropped; an id that the board does not have answers 404.",
		http.StatusNotFound, http.StatusGone, http.StatusUnprocessableEntity), a.job)
	huma.Register(h, get("/companies", "listCompanies", "Companies", "Companies with open jobs",
		"A page of the companies that have open jobs, by name.", http.StatusUnprocessableEntity), a.companies)
	huma.Register(h, get("/companies/{slug}", "getCompany", "Companies", "One company",
		"A company with what it says about itself. Its open jobs are at jobs_url.", http.StatusNotFound), a.company)
	huma.Register(h, get("/categories", "listCategories", "Categories", "All categories",
		"All categories of the board with the number of their open jobs."), a.categories)
	huma.Register(h, get("/suggest", "suggest", "Search", "Complete a search",
		"What a search box offers while somebody types: titles, companies and tags of open jobs. Wait for a pause in typing before asking.",
		http.StatusUnprocessableEntity), a.suggest)
}

func (a *API) board(ctx context.Context, _ *struct{}) (*answer[Board], error) {
	t := tenant.From(ctx)
	at := a.at(t)
	b := Board{Name: t.Name, Tagline: t.Tagline, URL: at("/"), Locale: t.Locale, Currency: t.Currency, Country: t.Country,
		TimeZone: t.TimeZone, PostURL: at("/post"), FeedURL: at("/feed.rss")}
	err := a.read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		if b.Counts.Jobs, err = a.Listings.CountLive(ctx, tx); err != nil {
			return err
		}
		if _, b.Counts.Companies, err = a.Listings.Companies(ctx, tx, 1, 1); err != nil {
			return err
		}
		cats, err := a.Listings.Categories(ctx, tx)
		b.Counts.Categories = len(cats)
		return err
	})
	if err != nil {
		return nil, err
	}
	if a.Site.Looks != nil {
		brand, err := a.Site.Brand(ctx)
		if err != nil {
			return nil, a.problem(ctx, err)
		}
		if brand.Logo != "" {
			b.LogoURL = at(brand.Logo)
		}
	}
	return reply(a, ctx, b), nil
}

// Paging is the parameters of every list.
type Paging struct {
	Page  int `query:"page" minimum:"1" maximum:"500" default:"1" doc:"Which page, from 1. A page after the last one is empty." example:"2"`
	Limit int `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"How many a page holds at most, 1 to 100." example:"20"`

	url url.Values
}

// Resolve keeps the query for the links to other pages.
func (p *Paging) Resolve(ctx huma.Context) []error {
	u := ctx.URL()
	p.url = u.Query()
	return nil
}

// links are the addresses around this page, with the parameters as they came.
func (p *Paging) links(at func(string) string, path string, pages int) PageLinks {
	to := func(n int) string {
		v := url.Values{}
		for name, values := range p.url {
			v[name] = values
		}
		v.Del("page")
		if n > 1 {
			v.Set("page", strconv.Itoa(n))
		}
		if enc := v.Encode(); enc != "" {
			return at(Base + path + "?" + enc)
		}
		return at(Base + path)
	}
	l := PageLinks{Self: to(p.Page)}
	if p.Page < min(pages, search.MaxPage) {
		l.Next = to(p.Page + 1)
	}
	if p.Page > 1 {
		l.Prev = to(min(p.Page-1, pages))
	}
	return l
}

type jobsInput struct {
	Q         string    `query:"q" maxLength:"200" doc:"Words to look for in title, company, tags and description. Small typing mistakes are forgiven." example:"engineer"`
	Location  string    `query:"location" maxLength:"200" doc:"A city, region or country." example:"Lisbon"`
	Type      []string  `query:"type,explode" enum:"full_time,part_time,contract,temporary,internship,apprenticeship,volunteer" maxItems:"20" doc:"Type of employment. May be given more than once." example:"[\"full_time\"]"`
	Workplace []string  `query:"workplace,explode" enum:"on_site,hybrid,remote" maxItems:"20" doc:"Where the work is done. May be given more than once." example:"[\"remote\",\"hybrid\"]"`
	Category  []string  `query:"category,explode" maxItems:"20" doc:"Slug of a category, from /categories. May be given more than once." example:"[\"engineering\"]"`
	Company   []string  `query:"company,explode" maxItems:"20" doc:"Slug of a company, from /companies. May be given more than once." example:"[\"tidewater-labs\"]"`
	Seniority []string  `query:"seniority,explode" enum:"intern,junior,mid,senior,lead,executive" maxItems:"20" doc:"Level. May be given more than once." example:"[\"senior\"]"`
	Country   []string  `query:"country,explode" maxItems:"20" doc:"Country where the job is or may be done from, ISO 3166-1 alpha-2. May be given more than once." example:"[\"PT\"]"`
	SalaryMin int64     `query:"salary_min" minimum:"0" maximum:"1000000000" doc:"Least salary per year, in whole units of the board's currency: 60000 is $60,000. Salaries by the hour, day, week or month count as per year. Jobs that name no salary are left out." example:"60000"`
	Since     time.Time `query:"since" doc:"Only jobs published after this moment, RFC 3339. For keeping a copy up to date." example:"2026-11-01T00:00:00Z"`
	Sort      string    `query:"sort" enum:"best,recent,salary" default:"best" doc:"best: featured first, then by how well a job matches, then by date. recent: newest first, featured or not. salary: highest first." example:"recent"`
	Paging
	Fields []string `query:"fields" enum:"id,url,title,company,category,type,type_text,workplace,workplace_text,seniority,seniority_text,places,place_text,applicant_countries,anywhere,salary,tags,featured,published_at,ends_at,updated_at,reference,apply,description_html,description_text" doc:"The fields of a job to answer, separated by commas; id is always among them. What is not named is left out, required or not. Without it: all but the descriptions." example:"[\"id\",\"title\",\"company\",\"place_text\",\"url\"]"`
}

func (in *jobsInput) query(t *tenant.Tenant) search.Query {
	// The same reading as the board's own addresses: what is no slug or country matches nothing.
	q := search.ParseQuery(url.Values{"category": in.Category, "company": in.Company, "country": in.Country})
	q.Text, q.Location = in.Q, in.Location
	q.Types, q.Workplaces, q.Seniority = in.Type, in.Workplace, in.Seniority
	q.SalaryMin = in.SalaryMin
	for range money.Exponent(t.Currency) {
		q.SalaryMin *= 10
	}
	q.Since, q.Page, q.PerPage = in.Since, in.Page, in.Limit
	if in.Sort != "best" {
		q.Sort = in.Sort
	}
	return q
}

func (a *API) jobs(ctx context.Context, in *jobsInput) (*answer[JobList], error) {
	t := tenant.From(ctx)
	q := in.query(t)
	if len(q.Categories) < len(unique(in.Category)) || len(q.Companies) < len(unique(in.Company)) || len(q.Countries) < len(unique(in.Country)) {
		return nil, badChoice(in, q)
	}
	res, err := a.Search.Search(ctx, q)
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	ids := make([]uuid.UUID, len(res.Hits))
	for i, h := range res.Hits {
		ids[i] = h.ListingID
	}
	var found []listings.Listing
	var cats []listings.Category
	err = a.read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		if len(ids) > 0 {
			if found, err = a.Listings.Feed(ctx, tx, len(ids), ids); err != nil {
				return err
			}
		}
		cats, err = a.Listings.Categories(ctx, tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	w := a.writer(t)
	only := in.Fields
	if len(only) > 0 {
		only = append(slices.Clone(only), "id")
	} else {
		only = without(jobFields(), inLists)
	}
	slices.SortFunc(found, func(x, y listings.Listing) int { return slices.Index(ids, x.ID) - slices.Index(ids, y.ID) })
	body := JobList{Jobs: []Job{}, Total: res.Total, Page: in.Page, Pages: max(res.Pages, 1), Limit: in.Limit,
		Corrected: res.Corrected, CorrectedLocation: res.CorrectedLocation, Facets: w.facets(res.Facets, cats)}
	for i := range found {
		// Between the end of a listing and the next sweep the index still has it.
		if found[i].Open(a.Now()) {
			j := w.job(&found[i])
			j.only = only
			body.Jobs = append(body.Jobs, j)
		}
	}
	body.Links = in.links(a.at(t), "/jobs", body.Pages)
	return reply(a, ctx, body), nil
}

// badChoice names the first value that can be no slug or country at all.
func badChoice(in *jobsInput, q search.Query) error {
	m := &huma.ErrorModel{Title: http.StatusText(http.StatusUnprocessableEntity), Status: http.StatusUnprocessableEntity, Detail: "validation failed"}
	add := func(name, want string, given, taken []string) {
		for _, v := range given {
			if !slices.ContainsFunc(taken, func(s string) bool { return strings.EqualFold(s, v) }) {
				m.Errors = append(m.Errors, &huma.ErrorDetail{Message: "expected " + want, Location: "query." + name, Value: v})
			}
		}
	}
	add("category", "a category's slug", in.Category, q.Categories)
	add("company", "a company's slug", in.Company, q.Companies)
	add("country", "a country's two-letter code", in.Country, q.Countries)
	return m
}

type jobInput struct {
	ID     string   `path:"id" maxLength:"40" doc:"The job's public id: the last part of its URL." example:"7Hq2mX9kPz4"`
	Fields []string `query:"fields" enum:"id,url,title,company,category,type,type_text,workplace,workplace_text,seniority,seniority_text,places,place_text,applicant_countries,anywhere,salary,tags,featured,published_at,ends_at,updated_at,reference,apply,description_html,description_text" doc:"The fields to answer, separated by commas; id is always among them. What is not named is left out, required or not. Without it: all." example:"[\"title\",\"description_text\"]"`
}

func (a *API) job(ctx context.Context, in *jobInput) (*answer[Job], error) {
	var l *listings.Listing
	err := a.read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		l, err = a.Listings.ByPublicID(ctx, tx, in.ID)
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case l.Open(a.Now()) && l.PublishedAt != nil:
	case l.PublishedAt != nil && slices.Contains([]listings.State{listings.Live, listings.Filled, listings.Expired, listings.Removed, listings.Rejected}, l.State):
		return nil, a.problem(ctx, fault.New(fault.Gone, "this job is over"))
	default:
		return nil, a.problem(ctx, fault.New(fault.NotFound, "listing not found"))
	}
	j := a.writer(tenant.From(ctx)).job(l)
	if len(in.Fields) > 0 {
		j.only = append(slices.Clone(in.Fields), "id")
	}
	return reply(a, ctx, j), nil
}

type companiesInput struct{ Paging }

func (a *API) companies(ctx context.Context, in *companiesInput) (*answer[CompanyList], error) {
	t := tenant.From(ctx)
	var found []listings.Company
	var total int
	err := a.read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		if found, total, err = a.Listings.Companies(ctx, tx, in.Page, in.Limit); err != nil || len(found) > 0 || in.Page == 1 {
			return err
		}
		// Rows carry the total; a page after the last has none.
		_, total, err = a.Listings.Companies(ctx, tx, 1, 1)
		return err
	})
	if err != nil {
		return nil, err
	}
	w := a.writer(t)
	body := CompanyList{Companies: []Company{}, Total: total, Page: in.Page, Pages: max((total+in.Limit-1)/in.Limit, 1), Limit: in.Limit}
	for i := range found {
		body.Companies = append(body.Companies, w.company(&found[i]))
	}
	body.Links = in.links(a.at(t), "/companies", body.Pages)
	return reply(a, ctx, body), nil
}

type companyInput struct {
	Slug string `path:"slug" doc:"The company's slug, from /companies or a job." example:"tidewater-labs"`
}

func (a *API) company(ctx context.Context, in *companyInput) (*answer[Company], error) {
	var co *listings.Company
	err := a.read(ctx, func(ctx context.Context, tx bun.IDB) error {
		found, cards, err := a.Listings.CompanyPage(ctx, tx, in.Slug)
		if err == nil {
			co = found
			co.Live = len(cards)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	body := a.writer(tenant.From(ctx)).company(co)
	body.AboutHTML, body.AboutText = co.About, listings.Text(co.About)
	return reply(a, ctx, body), nil
}

func (a *API) categories(ctx context.Context, _ *struct{}) (*answer[CategoryList], error) {
	t := tenant.From(ctx)
	var cats []listings.Category
	err := a.read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		cats, err = a.Listings.CategoriesLive(ctx, tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	w := a.writer(t)
	body := CategoryList{Categories: []Category{}}
	for i := range cats {
		body.Categories = append(body.Categories, Category{CategoryRef: w.category(&cats[i]), OpenJobs: cats[i].Live,
			JobsURL: w.at(Base + "/jobs?category=" + url.QueryEscape(cats[i].Slug))})
	}
	return reply(a, ctx, body), nil
}

type suggestInput struct {
	Q     string `query:"q" required:"true" minLength:"1" maxLength:"200" doc:"What has been typed so far." example:"engin"`
	Limit int    `query:"limit" minimum:"1" maximum:"20" default:"8" doc:"How many suggestions at most, 1 to 20." example:"8"`
}

func (a *API) suggest(ctx context.Context, in *suggestInput) (*answer[SuggestionList], error) {
	found, err := a.Search.Suggest(ctx, in.Q, in.Limit)
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	body := SuggestionList{Suggestions: []Suggestion{}}
	for _, s := range found {
		body.Suggestions = append(body.Suggestions, Suggestion{Text: s.Text, Jobs: s.Count})
	}
	return reply(a, ctx, body), nil
}
