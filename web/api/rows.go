package api

import (
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"shingle/internal/money"
	"shingle/listings"
	"shingle/search"
	"shingle/tenant"
	"shingle/web/site"
)

// writer turns rows into the API's shapes, with the texts that the board's own
// pages use.
type writer struct {
	*site.Writer
	at func(path string) string
}

func (a *API) writer(t *tenant.Tenant) *writer { return &writer{Writer: a.Site.Writer(t), at: a.at(t)} }

// at makes absolute addresses on the board's canonical host.
func (a *API) at(t *tenant.Tenant) func(string) string {
	return func(path string) string { return a.Links.Board(t, path) }
}

func (w *writer) job(l *listings.Listing) Job {
	page := w.at(l.Path())
	j := Job{ID: l.PublicID, URL: page, Title: l.Title, Type: l.EmploymentType, TypeText: w.Say("type." + l.EmploymentType),
		Workplace: l.Workplace, WorkplaceText: w.Say("workplace." + l.Workplace), Seniority: l.Seniority,
		Places: []Place{}, PlaceText: w.Place(l.Places, l.Workplace, l.ApplicantCountries), ApplicantCountries: []Country{},
		Salary: w.salary(l), Tags: l.Tags, Featured: l.Featured, EndsAt: utc(l.EndsAt), UpdatedAt: seconds(l.UpdatedAt), Reference: l.Reference,
		DescriptionHTML: l.Description, DescriptionText: listings.Text(l.Description)}
	if l.PublishedAt != nil {
		j.PublishedAt = seconds(*l.PublishedAt)
	}
	if l.Company != nil {
		j.Company = w.companyRef(l.Company)
	}
	if l.Category != nil {
		ref := w.category(l.Category)
		j.Category = &ref
	}
	if l.Seniority != "" {
		j.SeniorityText = w.Say("seniority." + l.Seniority)
	}
	if j.Tags == nil {
		j.Tags = []string{}
	}
	for _, p := range l.Places {
		j.Places = append(j.Places, Place{City: p.City, Region: p.Region, PostalCode: p.PostalCode,
			Country: Country{Code: p.Country, Name: w.Country(p.Country)}, Lat: p.Lat, Lon: p.Lon, Text: w.OnePlace(p)})
	}
	for _, code := range l.ApplicantCountries {
		if code == listings.Anywhere {
			j.Anywhere = true
			continue
		}
		j.ApplicantCountries = append(j.ApplicantCountries, Country{Code: code, Name: w.Country(code)})
	}
	j.Apply = Apply{Method: l.ApplyMethod, URL: page}
	switch l.ApplyMethod {
	case listings.ApplyBoard:
		j.Apply.URL = page + "/apply"
	case listings.ApplyLink:
		j.Apply.URL = l.ApplyTarget
	}
	// An address for mails stays on the job's page: here it would only be harvested.
	return j
}

func (w *writer) salary(l *listings.Listing) *Salary {
	text := w.Pay(l.SalaryMin, l.SalaryMax, l.SalaryCurrency, l.SalaryPeriod)
	if text == "" {
		return nil
	}
	return &Salary{Min: w.money(l.SalaryMin, l.SalaryCurrency), Max: w.money(l.SalaryMax, l.SalaryCurrency), Period: l.SalaryPeriod, Text: text}
}

func (w *writer) money(amount *int64, code string) *Money {
	if amount == nil {
		return nil
	}
	return &Money{Amount: *amount, Currency: strings.ToUpper(code), Decimals: money.Exponent(code), Text: money.Short(*amount, code, w.T.Locale)}
}

func (w *writer) companyRef(co *listings.Company) CompanyRef {
	ref := CompanyRef{Slug: co.Slug, Name: co.Name, URL: w.at(co.Path()), Website: co.Website}
	if co.LogoKey != "" {
		ref.LogoURL = w.at(site.FileURL(co.LogoKey))
	}
	return ref
}

func (w *writer) company(co *listings.Company) Company {
	return Company{CompanyRef: w.companyRef(co), Tagline: co.Tagline, Industry: co.Industry, Size: co.Size, Location: co.Location,
		OpenJobs: co.Live, JobsURL: w.at(Base + "/jobs?company=" + url.QueryEscape(co.Slug))}
}

func (w *writer) category(c *listings.Category) CategoryRef {
	return CategoryRef{Slug: c.Slug, Name: c.Name, URL: w.at("/categories/" + c.Slug)}
}

func (w *writer) facets(found map[string][]search.FacetValue, cats []listings.Category) Facets {
	names := map[string]string{}
	for _, c := range cats {
		names[c.Slug] = c.Name
	}
	list := func(facet string) []FacetValue {
		out := []FacetValue{}
		for _, v := range found[facet] {
			text := v.Label
			switch {
			case text != "":
			case facet == search.FacetCategory:
				text = names[v.Value]
			case facet == search.FacetCountry:
				text = w.Country(v.Value)
			case facet != search.FacetCompany:
				text = w.Say(facet + "." + v.Value)
			}
			if text == "" {
				text = v.Value
			}
			out = append(out, FacetValue{Value: v.Value, Text: text, Count: v.Count, On: v.Selected})
		}
		return out
	}
	return Facets{Type: list(search.FacetType), Workplace: list(search.FacetWorkplace), Category: list(search.FacetCategory),
		Seniority: list(search.FacetSeniority), Country: list(search.FacetCountry), Company: list(search.FacetCompany)}
}

func seconds(at time.Time) time.Time { return at.UTC().Truncate(time.Second) }

func utc(at *time.Time) *time.Time {
	if at == nil {
		return nil
	}
	u := seconds(*at)
	return &u
}

// jobFields are the names that fields may hold, in the order of the type.
func jobFields() []string {
	var out []string
	t := reflect.TypeFor[Job]()
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "" {
			out = append(out, name)
		}
	}
	return out
}

func without(all, some []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(some, s) })
}

func unique(values []string) map[string]bool {
	out := map[string]bool{}
	for _, v := range values {
		out[strings.ToLower(v)] = true
	}
	return out
}
