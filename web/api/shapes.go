package api

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Money is an amount of a currency.
type Money struct {
	Amount   int64  `json:"amount" doc:"The amount as a whole number of minor units, e.g. cents: 9000000 is $90,000. Divide by 10 to the power of decimals." example:"9000000"`
	Currency string `json:"currency" doc:"ISO 4217 code in capitals." example:"USD"`
	Decimals int    `json:"decimals" doc:"How many digits the minor unit has: 2 for USD and EUR, 0 for JPY." example:"2"`
	Text     string `json:"text" doc:"The amount written in the board's language." example:"$90,000"`
}

// Salary is what the employer says it pays.
type Salary struct {
	Min    *Money `json:"min,omitempty" doc:"Lower bound. Left out when the employer gave none."`
	Max    *Money `json:"max,omitempty" doc:"Upper bound. Left out when the employer gave none; equal to min for one fixed amount."`
	Period string `json:"period,omitempty" enum:"year,month,week,day,hour" doc:"The span that the amounts are for." example:"year"`
	Text   string `json:"text" doc:"The whole salary in one line, in the board's language; may hold no-break spaces." example:"$90,000 – $120,000 a year"`
}

// Country is a country with its name.
type Country struct {
	Code string `json:"code" doc:"ISO 3166-1 alpha-2 code in capitals." example:"PT"`
	Name string `json:"name" doc:"The country's name in the board's language." example:"Portugal"`
}

// Place is where a job is.
type Place struct {
	City       string   `json:"city,omitempty" doc:"City or town." example:"Lisbon"`
	Region     string   `json:"region,omitempty" doc:"State, province or region." example:"Lisboa"`
	PostalCode string   `json:"postal_code,omitempty" doc:"Postal code." example:"1100-148"`
	Country    Country  `json:"country" doc:"The country."`
	Lat        *float64 `json:"lat,omitempty" doc:"Latitude in degrees (WGS 84). Left out when unknown." example:"38.7223"`
	Lon        *float64 `json:"lon,omitempty" doc:"Longitude in degrees (WGS 84). Left out when unknown." example:"-9.1393"`
	Text       string   `json:"text" doc:"The place in one line; the board's own country goes without saying." example:"Lisbon, Portugal"`
}

// CompanyRef names the employer of a job.
type CompanyRef struct {
	Slug    string `json:"slug" doc:"Names the company in /companies/{slug} and in the parameter company." example:"tidewater-labs"`
	Name    string `json:"name" doc:"The company's name." example:"Tidewater Labs"`
	URL     string `json:"url" format:"uri" doc:"The company's page on the board." example:"https://jobs.example/companies/tidewater-labs"`
	Website string `json:"website,omitempty" format:"uri" doc:"The company's own site." example:"https://tidewater.example"`
	LogoURL string `json:"logo_url,omitempty" format:"uri" doc:"The company's logo. Left out when it has none: show its initials." example:"https://jobs.example/x/logos/tidewater.png"`
}

// CategoryRef names the category of a job.
type CategoryRef struct {
	Slug string `json:"slug" doc:"Names the category in the parameter category." example:"engineering"`
	Name string `json:"name" doc:"The category's name." example:"Engineering"`
	URL  string `json:"url" format:"uri" doc:"The category's page on the board." example:"https://jobs.example/categories/engineering"`
}

// Apply is how to apply.
type Apply struct {
	Method string `json:"method" enum:"board,link,email" doc:"board: by a form on the board. link: on the employer's own site. email: by mail to the address on the job's page." example:"board"`
	URL    string `json:"url" format:"uri" doc:"Where to send the applicant: the board's form, the employer's page, or the job's page when the employer takes mails." example:"https://jobs.example/jobs/backend-engineer-7Hq2mX9kPz4/apply"`
}

// Job is an open listing. Its JSON holds all of it, or the fields asked for.
type Job struct {
	ID                 string       `json:"id" doc:"The job's public id, which never changes. It is the last part of the job's URL and names the job in /jobs/{id}." example:"7Hq2mX9kPz4"`
	URL                string       `json:"url" format:"uri" doc:"The job's page on the board." example:"https://jobs.example/jobs/backend-engineer-7Hq2mX9kPz4"`
	Title              string       `json:"title" doc:"The job's title." example:"Backend engineer"`
	Company            CompanyRef   `json:"company" doc:"The employer."`
	Category           *CategoryRef `json:"category,omitempty" doc:"The category. Left out when the job has none."`
	Type               string       `json:"type" enum:"full_time,part_time,contract,temporary,internship,apprenticeship,volunteer" doc:"The type of employment." example:"full_time"`
	TypeText           string       `json:"type_text" doc:"The type in the board's language." example:"Full-time"`
	Workplace          string       `json:"workplace" enum:"on_site,hybrid,remote" doc:"Where the work is done." example:"hybrid"`
	WorkplaceText      string       `json:"workplace_text" doc:"The workplace in the board's language." example:"Hybrid"`
	Seniority          string       `json:"seniority,omitempty" enum:"intern,junior,mid,senior,lead,executive" doc:"The level. Left out when the employer said none." example:"senior"`
	SeniorityText      string       `json:"seniority_text,omitempty" doc:"The level in the board's language." example:"Senior"`
	Places             []Place      `json:"places" nullable:"false" doc:"Where the job is; the first is the main one. Empty for remote work without an office."`
	PlaceText          string       `json:"place_text" doc:"The one line about where that the board shows on a card; for remote work, where applicants may live." example:"Lisbon, Portugal"`
	ApplicantCountries []Country    `json:"applicant_countries" nullable:"false" doc:"For remote work: the countries in which applicants may live. Empty when there is no such list."`
	Anywhere           bool         `json:"anywhere" doc:"For remote work: applicants may live anywhere in the world." example:"false"`
	Salary             *Salary      `json:"salary,omitempty" doc:"The salary. Left out when the employer gave none."`
	Tags               []string     `json:"tags" nullable:"false" doc:"Short words about the job, at most ten." example:"[\"Go\",\"Postgres\"]"`
	Featured           bool         `json:"featured" doc:"The employer pays for a better place: show it first, and say that it is featured." example:"true"`
	PublishedAt        time.Time    `json:"published_at" doc:"When the job went live, RFC 3339 in UTC. Later edits do not move it." example:"2026-11-02T09:30:00Z"`
	EndsAt             *time.Time   `json:"ends_at,omitempty" doc:"When the job closes, RFC 3339 in UTC. Left out when it has no end." example:"2026-12-02T09:30:00Z"`
	UpdatedAt          time.Time    `json:"updated_at" doc:"When the job was last changed, RFC 3339 in UTC." example:"2026-11-05T14:00:00Z"`
	Reference          string       `json:"reference,omitempty" doc:"The employer's own number for the role." example:"ENG-204"`
	Apply              Apply        `json:"apply" doc:"How to apply."`
	DescriptionHTML    string       `json:"description_html,omitempty" doc:"The description as HTML, cleaned: headings, paragraphs, lists, links and emphasis, no scripts, styles or images. Always in /jobs/{id}; in lists only when fields names it." example:"<p>You will run the services that boards stand on.</p>"`
	DescriptionText    string       `json:"description_text,omitempty" doc:"The description as plain text. Always in /jobs/{id}; in lists only when fields names it." example:"You will run the services that boards stand on."`

	only []string
}

// inLists is what a job in a list leaves out unless asked for.
var inLists = []string{"description_html", "description_text"}

// MarshalJSON writes the fields that were asked for, in the order of the type.
func (j Job) MarshalJSON() ([]byte, error) {
	type plain Job
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if j.only == nil {
		err := enc.Encode(plain(j))
		return b.Bytes(), err
	}
	v := reflect.ValueOf(j)
	b.WriteByte('{')
	for i := range v.NumField() {
		name, opts, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if !slices.Contains(j.only, name) || opts == "omitempty" && v.Field(i).IsZero() {
			continue
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.WriteString(`"` + name + `":`)
		if err := enc.Encode(v.Field(i).Interface()); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// FacetValue is one choice that narrows a search.
type FacetValue struct {
	Value string `json:"value" doc:"What to send in the parameter of the facet's name." example:"full_time"`
	Text  string `json:"text" doc:"What to show, in the board's language." example:"Full-time"`
	Count int    `json:"count" doc:"How many jobs of this search have it; the facet's own choice does not narrow the count." example:"18"`
	On    bool   `json:"on" doc:"Whether this search is narrowed by it." example:"false"`
}

// Facets are the choices that narrow a search, most frequent first.
type Facets struct {
	Type      []FacetValue `json:"type" nullable:"false" doc:"Types of employment."`
	Workplace []FacetValue `json:"workplace" nullable:"false" doc:"Where the work is done."`
	Category  []FacetValue `json:"category" nullable:"false" doc:"Categories, by slug."`
	Seniority []FacetValue `json:"seniority" nullable:"false" doc:"Levels."`
	Country   []FacetValue `json:"country" nullable:"false" doc:"Countries, by ISO 3166-1 alpha-2 code."`
	Company   []FacetValue `json:"company" nullable:"false" doc:"Companies, by slug."`
}

// PageLinks are the addresses around a page of a list.
type PageLinks struct {
	Self string `json:"self" format:"uri" doc:"This page." example:"https://jobs.example/api/v1/jobs?q=engineer&page=2"`
	Next string `json:"next,omitempty" format:"uri" doc:"The next page. Left out on the last." example:"https://jobs.example/api/v1/jobs?q=engineer&page=3"`
	Prev string `json:"prev,omitempty" format:"uri" doc:"The page before. Left out on the first." example:"https://jobs.example/api/v1/jobs?page=1&q=engineer"`
}

// JobList is a page of jobs.
type JobList struct {
	Jobs              []Job     `json:"jobs" nullable:"false" doc:"The jobs of this page, in the order of sort. Without fields, they leave out their descriptions."`
	Total             int       `json:"total" doc:"How many jobs match, on all pages." example:"42"`
	Page              int       `json:"page" doc:"This page, from 1." example:"2"`
	Pages             int       `json:"pages" doc:"How many pages there are, at least 1." example:"3"`
	Limit             int       `json:"limit" doc:"How many jobs a page holds at most." example:"20"`
	Links             PageLinks `json:"links" doc:"Addresses of this page and its neighbours."`
	Facets            Facets    `json:"facets" doc:"Choices that narrow the search, with counts."`
	Corrected         string    `json:"corrected,omitempty" doc:"What was searched in place of q, when nothing matched q as typed: show it as “results for …”." example:"engineer"`
	CorrectedLocation string    `json:"corrected_location,omitempty" doc:"The same for location." example:"Lisbon"`
}

// Company is an employer.
type Company struct {
	CompanyRef
	Tagline  string `json:"tagline,omitempty" doc:"One line about the company." example:"Tools for harbours"`
	Industry string `json:"industry,omitempty" doc:"What it does." example:"Software"`
	Size     string `json:"size,omitempty" doc:"How many people work there, as the company says it." example:"11–50"`
	Location string `json:"location,omitempty" doc:"Where it is, as the company says it." example:"Lisbon"`
	OpenJobs int    `json:"open_jobs" doc:"How many open jobs it has on the board." example:"4"`
	JobsURL  string `json:"jobs_url" format:"uri" doc:"Its open jobs in this API." example:"https://jobs.example/api/v1/jobs?company=tidewater-labs"`

	AboutHTML string `json:"about_html,omitempty" doc:"About the company as HTML, cleaned like descriptions. In /companies/{slug} only." example:"<p>We build tools for harbours.</p>"`
	AboutText string `json:"about_text,omitempty" doc:"The same as plain text. In /companies/{slug} only." example:"We build tools for harbours."`
}

// CompanyList is a page of companies.
type CompanyList struct {
	Companies []Company `json:"companies" nullable:"false" doc:"Companies with open jobs, by name."`
	Total     int       `json:"total" doc:"How many there are, on all pages." example:"31"`
	Page      int       `json:"page" doc:"This page, from 1." example:"1"`
	Pages     int       `json:"pages" doc:"How many pages there are, at least 1." example:"2"`
	Limit     int       `json:"limit" doc:"How many companies a page holds at most." example:"20"`
	Links     PageLinks `json:"links" doc:"Addresses of this page and its neighbours."`
}

// Category groups a board's jobs.
type Category struct {
	CategoryRef
	OpenJobs int    `json:"open_jobs" doc:"How many open jobs it has; may be 0." example:"12"`
	JobsURL  string `json:"jobs_url" format:"uri" doc:"Its open jobs in this API." example:"https://jobs.example/api/v1/jobs?category=engineering"`
}

// CategoryList is all categories of a board.
type CategoryList struct {
	Categories []Category `json:"categories" nullable:"false" doc:"All categories, in the board's order."`
}

// Suggestion completes what is typed.
type Suggestion struct {
	Text string `json:"text" doc:"What to put in place of what was typed." example:"engineering manager"`
	Jobs int    `json:"jobs" doc:"About how many jobs have it; 0 when unknown." example:"3"`
}

// SuggestionList is what a search box offers.
type SuggestionList struct {
	Suggestions []Suggestion `json:"suggestions" nullable:"false" doc:"Best first; may be empty."`
}

// Counts are a board's figures.
type Counts struct {
	Jobs       int `json:"jobs" doc:"Open jobs." example:"128"`
	Companies  int `json:"companies" doc:"Companies with open jobs." example:"31"`
	Categories int `json:"categories" doc:"Categories, empty ones included." example:"9"`
}

// Board is what the board says of itself.
type Board struct {
	Name     string `json:"name" doc:"The board's name." example:"Harbor Jobs"`
	Tagline  string `json:"tagline,omitempty" doc:"One line about the board." example:"Work by the water"`
	URL      string `json:"url" format:"uri" doc:"The board's home." example:"https://jobs.example/"`
	LogoURL  string `json:"logo_url,omitempty" format:"uri" doc:"The board's logo. Left out when it has none." example:"https://jobs.example/x/logo.svg"`
	Locale   string `json:"locale" doc:"The language of all texts (BCP 47)." example:"en"`
	Currency string `json:"currency" doc:"The currency of salary_min and of sorting by salary (ISO 4217)." example:"USD"`
	Country  string `json:"country,omitempty" doc:"The board's own country (ISO 3166-1 alpha-2). Left out when it has none." example:"US"`
	TimeZone string `json:"time_zone" doc:"The board's time zone (IANA)." example:"Europe/Lisbon"`
	PostURL  string `json:"post_url" format:"uri" doc:"Where an employer posts a job." example:"https://jobs.example/post"`
	FeedURL  string `json:"feed_url" format:"uri" doc:"The newest jobs as RSS." example:"https://jobs.example/feed.rss"`
	Counts   Counts `json:"counts" doc:"How much there is."`
}
