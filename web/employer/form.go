package employer

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"

	"shingle/internal/fault"
	"shingle/internal/money"
	"shingle/listings"
	"shingle/tenant"
	"shingle/web/console"
)

// postFields are the form's fields as themes.PostForm names them.
var postFields = []string{"title", "company_name", "company_website", "category", "employment_type", "workplace", "seniority", "city", "country", "city_2", "country_2",
	"city_3", "country_3", "countries", "salary_min", "salary_max", "salary_currency", "salary_period", "description", "description_format", "tags",
	"apply_method", "apply_url", "apply_email", "reference", "email"}

// typed is what was posted, one value a field; repeated values keep their commas.
func typed(c *gin.Context) map[string]string {
	out := map[string]string{}
	for _, name := range postFields {
		out[name] = strings.Join(c.PostFormArray(name), ", ")
	}
	return out
}

// formNames maps the rules' field names to the form's controls.
var formNames = map[string]string{listings.FieldCompany: "company_name", listings.FieldWebsite: "company_website", listings.FieldPlaces: "city"}

// readPost turns the typed form into a listing's content; errors carry the form's
// own field names.
func readPost(v map[string]string, t *tenant.Tenant, needEmail bool) (listings.Content, error) {
	in := url.Values{}
	for _, name := range []string{"title", "category", "employment_type", "workplace", "seniority", "salary_min", "salary_max", "salary_currency", "salary_period",
		"tags", "countries", "apply_method", "reference", "email"} {
		in.Set(name, v[name])
	}
	in.Set(listings.FieldCompany, v["company_name"])
	in.Set(listings.FieldWebsite, v["company_website"])
	in.Set(listings.FieldDescription, v["description"])
	switch v["apply_method"] {
	case listings.ApplyLink:
		in.Set(listings.FieldApplyTarget, v["apply_url"])
	case listings.ApplyEmail:
		in.Set(listings.FieldApplyTarget, v["apply_email"])
	}
	if v["workplace"] == listings.Remote {
		// The countries of the place fields say where applicants may live.
		if in.Get("countries") == "" {
			in.Set("countries", strings.Join(places(v, true), ","))
		}
		for _, suffix := range suffixes {
			if v["city"+suffix] != "" {
				in.Add(listings.FieldPlaces, place(v, suffix))
			}
		}
	} else {
		in[listings.FieldPlaces] = places(v, false)
	}
	c, err := listings.ContentFromForm(in, listings.Rules{Locale: t.Locale, Currency: t.Currency, Country: t.Country, NeedEmail: needEmail})
	fields := fault.FieldsOf(err)
	if fields == nil {
		return c, err
	}
	out := fault.Fields{}
	for name, text := range fields {
		switch {
		case name == listings.FieldApplyTarget && v["apply_method"] == listings.ApplyEmail:
			name = "apply_email"
		case name == listings.FieldApplyTarget:
			name = "apply_url"
		case name == listings.FieldCountries:
			name = "country"
		case formNames[name] != "":
			name = formNames[name]
		}
		out[name] = text
	}
	return c, fault.Invalids(out)
}

var suffixes = []string{"", "_2", "_3"}

func place(v map[string]string, suffix string) string {
	city, country := strings.TrimSpace(v["city"+suffix]), strings.TrimSpace(v["country"+suffix])
	if city != "" && country != "" {
		return city + ", " + country
	}
	return city + country
}

func places(v map[string]string, countriesOnly bool) (out []string) {
	for _, suffix := range suffixes {
		p := place(v, suffix)
		if countriesOnly {
			p = strings.TrimSpace(v["country"+suffix])
		}
		if p != "" {
			out = append(out, p)
		}
	}
	return out
}

// valuesOf fills the form from a listing's content.
func valuesOf(l listings.Content, locale string) map[string]string {
	v := map[string]string{"title": l.Title, "company_name": l.Company, "company_website": l.Website, "category": l.Category, "employment_type": l.EmploymentType,
		"workplace": l.Workplace, "seniority": l.Seniority, "salary_currency": l.SalaryCurrency, "salary_period": l.SalaryPeriod, "description": l.Description,
		"tags": strings.Join(l.Tags, ", "), "apply_method": l.ApplyMethod, "reference": l.Reference, "countries": strings.Join(l.Countries, ", ")}
	switch l.ApplyMethod {
	case listings.ApplyLink:
		v["apply_url"] = l.ApplyTarget
	case listings.ApplyEmail:
		v["apply_email"] = l.ApplyTarget
	}
	amount := func(name string, n *int64) {
		if n != nil {
			v[name] = money.Plain(*n, l.SalaryCurrency)
			if console.Locale(locale) == "de" {
				v[name] = strings.Replace(v[name], ".", ",", 1)
			}
		}
	}
	amount("salary_min", l.SalaryMin)
	amount("salary_max", l.SalaryMax)
	for i, p := range l.Places {
		if i < len(suffixes) {
			v["city"+suffixes[i]], v["country"+suffixes[i]] = p.City, p.Country
		}
	}
	for i, code := range l.Countries {
		if l.Workplace == listings.Remote && len(l.Places) == 0 && i < len(suffixes) {
			v["country"+suffixes[i]] = code
		}
	}
	return v
}

// parse reads a posted form, which may carry a logo.
func parse(c *gin.Context) error {
	err := c.Request.ParseMultipartForm(1 << 20)
	if errors.Is(err, http.ErrNotMultipart) {
		err = c.Request.ParseForm()
	}
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		return fault.Invalids(fault.Fields{"company_logo": "field.logo.large|1"})
	}
	return err
}

// storeLogo stores the picture that came with the form; "" when none was
// chosen. It is a network call: before the transaction. Kinds: fault.Invalid,
// fault.Unavailable.
func (e *Employer) storeLogo(c *gin.Context) (string, error) {
	file, _, err := c.Request.FormFile("company_logo")
	if err != nil {
		return "", nil // none was chosen
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, listings.MaxLogo+1))
	if err != nil || len(data) == 0 {
		return "", err
	}
	key, err := listings.StoreLogo(c.Request.Context(), e.Site.Files, data, e.Plans.Stow)
	if fault.Is(err, fault.Conflict) {
		err = fault.Invalids(fault.Fields{"company_logo": "field.logo.room"}) // an employer has no plan to change
	}
	for _, text := range fault.FieldsOf(err) {
		err = fault.Invalids(fault.Fields{"company_logo": text})
	}
	return key, err
}
