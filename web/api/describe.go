package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// conventions is what holds for every operation, in Markdown.
const conventions = `Read what a board shows: its open jobs, companies and categories. The data is public: there is no key and nothing to sign up for.

**Requests.** Only GET, HEAD and OPTIONS. Any web page may call the API from the browser (CORS is open), without cookies. A parameter that does not exist, or a value out of bounds, is answered with 422 and the name of the parameter, so that a typing mistake is never silent.

**Answers.** JSON in UTF-8. What is not known is left out; a list is always there, empty if need be. Addresses are absolute. Times are RFC 3339 in UTC. Properties whose name ends in ` + "`text`" + ` are ready to show, in the board's language. New properties may appear at any time: ignore those that you do not know. Anything that would break you gets a new version beside this one.

**Money** is a whole number of minor units with its currency: 9000000 and USD with 2 decimals is $90,000.00. Only the parameter ` + "`salary_min`" + ` is in whole units, as people type it.

**Pages.** Lists answer ` + "`total`" + `, ` + "`pages`" + ` and ` + "`links`" + `: follow ` + "`links.next`" + ` until it is missing.

**Fields.** ` + "`fields=id,title,url`" + ` answers jobs with these fields alone.

**Caching.** An answer is good for a minute. It carries an ` + "`ETag`" + `: send it back in ` + "`If-None-Match`" + ` and get 304 without a body while nothing has changed on the board.

**Limit.** 600 requests a minute from one address. Above it the answer is 429 with ` + "`Retry-After`" + ` in seconds.

**Errors** are problem details (RFC 9457, ` + "`application/problem+json`" + `): ` + "`status`" + `, ` + "`title`" + `, ` + "`detail`" + `, for 422 the ` + "`errors`" + ` with the ` + "`location`" + ` of each, and in ` + "`instance`" + ` the request's id, which the board's keeper can find again.`

// describe is what stands around the operations in the OpenAPI description.
func describe() *huma.OpenAPI {
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info:    &huma.Info{Title: "Job board API", Version: "1.0.0", Description: conventions},
		Servers: []*huma.Server{{URL: Base, Description: "This board"}},
		Components: &huma.Components{
			Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
		},
		Tags: []*huma.Tag{
			{Name: "Board", Description: "The board itself."},
			{Name: "Jobs", Description: "Open jobs."},
			{Name: "Companies", Description: "Employers with open jobs."},
			{Name: "Categories", Description: "How the board groups its jobs."},
			{Name: "Search", Description: "Help for a search box."},
		},
	}
}

// meanings says what an answer of a status is about.
func meanings() map[string]string {
	return map[string]string{
		"200": "OK",
		"304": "Nothing has changed since the answer whose ETag was sent in If-None-Match. No body.",
		"404": "The board has no such thing.",
		"410": "It was here and is over for good: drop your copy.",
		"422": "A parameter is unknown or out of bounds; errors names it.",
		"429": "Too many requests from this address, or more in this month than the board's plan allows: detail says which. Wait as long as Retry-After says.",
		"500": "A mistake on our side. The instance names the request.",
		"503": "A part of the board is away for a moment. Try again after Retry-After.",
	}
}

// addExamples completes what the types cannot say: an example of each answer,
// the 304, and the header that leads to it.
func addExamples(doc *huma.OpenAPI) error {
	good, about := exampleAnswers(), meanings()
	for path, item := range doc.Paths {
		op := item.Get
		example, ok := good[op.OperationID]
		if !ok {
			return fmt.Errorf("no example for %s", path)
		}
		// As written JSON, which keeps the order of the type.
		var raw bytes.Buffer
		enc := json.NewEncoder(&raw)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(example); err != nil {
			return err
		}
		op.Responses["200"].Content["application/json"].Example = json.RawMessage(raw.Bytes())
		op.Responses["304"] = &huma.Response{}
		// The types say it in the schema; most readers of OpenAPI look beside it.
		for _, p := range op.Parameters {
			if p.Example == nil && len(p.Schema.Examples) > 0 {
				p.Example = p.Schema.Examples[0]
			}
		}
		for _, h := range op.Responses["200"].Headers {
			h.Description = h.Schema.Description
		}
		op.Parameters = append(op.Parameters, &huma.Param{Name: "If-None-Match", In: "header", Example: `W/"q8kT1x2b-3f"`,
			Description: "The ETag of the answer you have. 304 when it still holds.", Schema: &huma.Schema{Type: "string"}})
		for status, r := range op.Responses {
			if m := about[status]; m != "" {
				r.Description = m
			}
			if status == "429" || status == "503" {
				r.Headers = map[string]*huma.Header{"Retry-After": {Description: "How many seconds to wait.", Example: 10,
					Schema: &huma.Schema{Type: "integer", Minimum: ptr(0.0)}}}
			}
		}
	}
	return nil
}

func ptr[T any](v T) *T { return &v }

// exampleAnswers has a good answer of every operation by its id.
func exampleAnswers() map[string]any {
	const home = "https://jobs.example"
	published, updated := time.Date(2026, 11, 2, 9, 30, 0, 0, time.UTC), time.Date(2026, 11, 5, 14, 0, 0, 0, time.UTC)
	ref := CompanyRef{Slug: "tidewater-labs", Name: "Tidewater Labs", URL: home + "/companies/tidewater-labs",
		Website: "https://tidewater.example", LogoURL: home + "/x/logos/tidewater.png"}
	usd := func(n int64, text string) *Money { return &Money{Amount: n, Currency: "USD", Decimals: 2, Text: text} }
	category := CategoryRef{Slug: "engineering", Name: "Engineering", URL: home + "/categories/engineering"}
	job := Job{ID: "7Hq2mX9kPz4", URL: home + "/jobs/backend-engineer-7Hq2mX9kPz4", Title: "Backend engineer", Company: ref, Category: &category,
		Type: "full_time", TypeText: "Full-time", Workplace: "hybrid", WorkplaceText: "Hybrid", Seniority: "senior", SeniorityText: "Senior",
		Places:    []Place{{City: "Lisbon", Country: Country{Code: "PT", Name: "Portugal"}, Lat: ptr(38.7223), Lon: ptr(-9.1393), Text: "Lisbon, Portugal"}},
		PlaceText: "Lisbon, Portugal", ApplicantCountries: []Country{},
		Salary: &Salary{Min: usd(9_000_000, "$90,000"), Max: usd(12_000_000, "$120,000"), Period: "year", Text: "$90,000 – $120,000 a year"},
		Tags:   []string{"Go", "Postgres"}, Featured: true, PublishedAt: published, EndsAt: ptr(published.AddDate(0, 0, 30)), UpdatedAt: updated,
		Reference: "ENG-204", Apply: Apply{Method: "board", URL: home + "/jobs/backend-engineer-7Hq2mX9kPz4/apply"},
		DescriptionHTML: "<p>You will run the services that harbours stand on.</p>", DescriptionText: "You will run the services that harbours stand on."}
	listed := job
	listed.only = without(jobFields(), inLists)
	company := Company{CompanyRef: ref, Tagline: "Tools for harbours", Industry: "Software", Size: "11–50", Location: "Lisbon", OpenJobs: 4,
		JobsURL: home + Base + "/jobs?company=tidewater-labs"}
	whole := company
	whole.AboutHTML, whole.AboutText = "<p>We build tools for harbours.</p>", "We build tools for harbours."
	values := func(vs ...FacetValue) []FacetValue { return append([]FacetValue{}, vs...) }
	return map[string]any{
		"getBoard": Board{Name: "Harbor Jobs", Tagline: "Work by the water", URL: home + "/", LogoURL: home + "/x/logo.svg", Locale: "en", Currency: "USD",
			Country: "US", TimeZone: "Europe/Lisbon", PostURL: home + "/post", FeedURL: home + "/feed.rss", Counts: Counts{Jobs: 128, Companies: 31, Categories: 9}},
		"listJobs": JobList{Jobs: []Job{listed}, Total: 42, Page: 2, Pages: 3, Limit: 20,
			Links: PageLinks{Self: home + Base + "/jobs?page=2&q=engineer", Next: home + Base + "/jobs?page=3&q=engineer", Prev: home + Base + "/jobs?q=engineer"},
			Facets: Facets{Type: values(FacetValue{"full_time", "Full-time", 40, false}), Workplace: values(FacetValue{"hybrid", "Hybrid", 25, false}),
				Category:  values(FacetValue{"engineering", "Engineering", 42, false}),
				Seniority: values(FacetValue{"senior", "Senior", 18, false}), Country: values(FacetValue{"PT", "Portugal", 11, false}),
				Company: values(FacetValue{"tidewater-labs", "Tidewater Labs", 4, false})}},
		"getJob": job,
		"listCompanies": CompanyList{Companies: []Company{company}, Total: 31, Page: 1, Pages: 2, Limit: 20,
			Links: PageLinks{Self: home + Base + "/companies", Next: home + Base + "/companies?page=2"}},
		"getCompany":     whole,
		"listCategories": CategoryList{Categories: []Category{{CategoryRef: category, OpenJobs: 12, JobsURL: home + Base + "/jobs?category=engineering"}}},
		"suggest":        SuggestionList{Suggestions: []Suggestion{{Text: "engineer", Jobs: 42}, {Text: "engineering manager", Jobs: 3}}},
	}
}
