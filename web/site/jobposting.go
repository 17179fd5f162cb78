package site

import (
	"encoding/json"
	"strings"
	"time"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"

	"shingle/internal/money"
	"shingle/listings"
	"shingle/tenant"
)

// employment maps our types to the engines' values. An apprenticeship is paid
// work towards a qualification: the closest they know is INTERN.
var employment = map[string]string{
	listings.FullTime: "FULL_TIME", listings.PartTime: "PART_TIME", listings.Contract: "CONTRACTOR",
	listings.Temporary: "TEMPORARY", listings.Internship: "INTERN", listings.Apprenticeship: "INTERN", listings.Volunteer: "VOLUNTEER",
}

var unitText = map[string]string{"hour": "HOUR", "day": "DAY", "week": "WEEK", "month": "MONTH", "year": "YEAR"}

// JobPosting is schema.org's JobPosting of a live listing as search engines
// want it, or nil when the listing cannot be marked up truthfully: for fully
// remote work that names no country, Google drops the job.
//
// Rules: developers.google.com/search/docs/appearance/structured-data/job-posting.
func JobPosting(t *tenant.Tenant, l *listings.Listing, url, logoURL string) json.RawMessage {
	if t.Private() || l.State != listings.Live || l.PublishedAt == nil || l.Company == nil {
		return nil
	}
	org := map[string]any{"@type": "Organization", "name": l.Company.Name}
	if l.Company.Website != "" {
		org["sameAs"] = l.Company.Website
	}
	if logoURL != "" {
		org["logo"] = logoURL
	}
	out := map[string]any{
		"@context":           "https://schema.org/",
		"@type":              "JobPosting",
		"title":              l.Title,
		"description":        l.Description,
		"datePosted":         l.PublishedAt.In(t.Location()).Format(time.RFC3339),
		"hiringOrganization": org,
		"employmentType":     employment[l.EmploymentType],
		"directApply":        l.ApplyMethod == listings.ApplyBoard,
		"url":                url,
	}
	if l.EndsAt != nil {
		out["validThrough"] = l.EndsAt.In(t.Location()).Format(time.RFC3339)
	}
	// The number is the employer's own; ours would say nothing about the role.
	if l.Reference != "" {
		out["identifier"] = map[string]any{"@type": "PropertyValue", "name": l.Company.Name, "value": l.Reference}
	}
	if places := jobLocations(l); len(places) == 1 {
		out["jobLocation"] = places[0]
	} else if len(places) > 1 {
		out["jobLocation"] = places
	}
	if l.Workplace == listings.Remote {
		where := applicantCountries(l)
		if len(where) == 0 {
			return nil
		}
		out["jobLocationType"] = "TELECOMMUTE"
		out["applicantLocationRequirements"] = where
	} else if out["jobLocation"] == nil {
		return nil
	}
	if s := baseSalary(l); s != nil {
		out["baseSalary"] = s
	}
	raw, err := json.Marshal(out) // escapes <, > and &: safe inside a script element
	if err != nil {
		return nil
	}
	return raw
}

func jobLocations(l *listings.Listing) []map[string]any {
	var out []map[string]any
	for _, p := range l.Places {
		if p.Country == "" {
			continue
		}
		a := map[string]any{"@type": "PostalAddress", "addressCountry": p.Country}
		if p.City != "" {
			a["addressLocality"] = p.City
		}
		if p.Region != "" {
			a["addressRegion"] = p.Region
		}
		if p.PostalCode != "" {
			a["postalCode"] = p.PostalCode
		}
		out = append(out, map[string]any{"@type": "Place", "address": a})
	}
	return out
}

// anywhere is what a listing open to the whole world names: engines want
// countries, so the larger labour markets stand for it.
var anywhere = []string{"US", "CA", "GB", "IE", "DE", "AT", "CH", "FR", "ES", "PT", "IT", "NL", "BE", "DK", "SE", "NO", "FI", "PL", "CZ", "GR",
	"RO", "BG", "HU", "HR", "UA", "TR", "IL", "IN", "PK", "BD", "LK", "PH", "ID", "MY", "SG", "TH", "VN", "JP", "KR", "AU", "NZ", "ZA", "NG",
	"KE", "GH", "EG", "MA", "BR", "AR", "CL", "CO", "PE", "MX", "CR", "UY"}

func applicantCountries(l *listings.Listing) []map[string]any {
	names := display.Regions(language.English)
	codes := l.ApplicantCountries
	if len(codes) == 1 && codes[0] == listings.Anywhere {
		codes = anywhere
	}
	if len(codes) == 0 {
		for _, p := range l.Places {
			codes = append(codes, p.Country)
		}
	}
	var out []map[string]any
	seen := map[string]bool{}
	for _, c := range codes {
		r, err := language.ParseRegion(c)
		if err != nil || !r.IsCountry() || seen[c] {
			continue
		}
		seen[c] = true
		out = append(out, map[string]any{"@type": "Country", "name": names.Name(r)})
	}
	return out
}

// baseSalary is the employer's own figure; a bound that was not given is not invented.
func baseSalary(l *listings.Listing) map[string]any {
	if l.SalaryMin == nil && l.SalaryMax == nil || l.SalaryCurrency == "" || unitText[l.SalaryPeriod] == "" {
		return nil
	}
	v := map[string]any{"@type": "QuantitativeValue", "unitText": unitText[l.SalaryPeriod]}
	amount := func(n int64) json.Number { return json.Number(money.Plain(n, l.SalaryCurrency)) }
	switch {
	case l.SalaryMin != nil && l.SalaryMax != nil && *l.SalaryMin == *l.SalaryMax:
		v["value"] = amount(*l.SalaryMin)
	case l.SalaryMin != nil && l.SalaryMax != nil:
		v["minValue"], v["maxValue"] = amount(*l.SalaryMin), amount(*l.SalaryMax)
	case l.SalaryMin != nil:
		v["minValue"] = amount(*l.SalaryMin)
	default:
		v["maxValue"] = amount(*l.SalaryMax)
	}
	return map[string]any{"@type": "MonetaryAmount", "currency": strings.ToUpper(l.SalaryCurrency), "value": v}
}
