package listings

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"shingle/internal/address"
	"shingle/internal/fault"
)

// Content is what an employer says of a job. Its JSON is what revisions keep.
type Content struct {
	Title          string  `json:"title"`
	Company        string  `json:"company"`
	Website        string  `json:"website,omitempty"`
	Category       string  `json:"category,omitempty"` // slug
	EmploymentType string  `json:"employment_type"`
	Workplace      string  `json:"workplace"`
	Seniority      string  `json:"seniority,omitempty"`
	Places         []Place `json:"places,omitempty"`
	// Countries is where applicants may live when the work is remote.
	Countries      []string `json:"countries,omitempty"`
	SalaryMin      *int64   `json:"salary_min,omitempty"` // minor units
	SalaryMax      *int64   `json:"salary_max,omitempty"`
	SalaryCurrency string   `json:"salary_currency,omitempty"`
	SalaryPeriod   string   `json:"salary_period,omitempty"`
	Description    string   `json:"description"` // sanitised HTML
	Tags           []string `json:"tags,omitempty"`
	ApplyMethod    string   `json:"apply_method"`
	ApplyTarget    string   `json:"apply_target,omitempty"`
	Reference      string   `json:"reference,omitempty"`
	// Logo is the blob of a new logo for the company, see StoreLogo; "" keeps
	// what there is. It is never read from a form or a file.
	Logo string `json:"logo,omitempty"`
	// Email is the guest's own address; it is no part of the listing.
	Email string `json:"-"`
}

// Rules are what the board adds to the reading of a form.
type Rules struct {
	Locale   string // how amounts and countries are written
	Currency string // the salary's when none is given
	Country  string // the country of a place that names none
	// NeedEmail asks for the guest's address.
	NeedEmail bool
}

// Field names of the form, which are also the names in fault.Fields.
const (
	FieldTitle, FieldCompany, FieldWebsite, FieldCategory  = "title", "company", "website", "category"
	FieldEmployment, FieldWorkplace, FieldSeniority        = "employment_type", "workplace", "seniority"
	FieldPlaces, FieldCountries, FieldTags                 = "places", "countries", "tags"
	FieldSalaryMin, FieldSalaryMax                         = "salary_min", "salary_max"
	FieldSalaryCurrency, FieldSalaryPeriod                 = "salary_currency", "salary_period"
	FieldDescription, FieldApplyMethod, FieldApplyTarget   = "description", "apply_method", "apply_target"
	FieldReference, FieldEmail, maxTitle, maxText, maxTags = "reference", "email", 100, 20_000, 10
	FieldLogo                                              = "logo"
)

// say makes a message: a word key, and at most one argument after a bar. The
// pages translate it; see Message.
func say(key string, arg ...string) string {
	if len(arg) > 0 {
		return key + "|" + arg[0]
	}
	return key
}

// Message splits a field's message into its word key and its argument.
func Message(s string) (key, arg string) {
	key, arg, _ = strings.Cut(s, "|")
	return key, arg
}

// MessageKeys are all word keys that this package puts into fault.Fields; {{.}}
// stands for the argument where there is one.
func MessageKeys() []string {
	return []string{
		"field.required", "field.long", "field.choice", "field.email", "field.url",
		"field.title.required", "field.title.short", "field.title.long", "field.title.shouting", "field.title.link", "field.title.symbols",
		"field.company.required", "field.company.link",
		"field.category.required", "field.category.unknown", "field.category.none", "field.category.taken",
		"field.places.required", "field.places.country", "field.places.many",
		"field.countries.required", "field.countries.unknown",
		"field.salary.amount", "field.salary.order", "field.salary.currency", "field.salary.period",
		"field.description.required", "field.description.short", "field.description.long",
		"field.tags.many", "field.tags.long",
		"field.apply.link", "field.apply.email",
		"field.logo.type", "field.logo.large", "field.logo.broken",
		"field.csv.columns", "field.csv.many", "field.csv.broken", "field.csv.duplicate", "field.csv.known", "field.csv.column",
	}
}

// ContentFromForm reads a posted form. Repeated or comma-separated values are
// allowed for tags and countries; places are one a value or one a line. What
// could be read is returned together with fault.Invalid.
func ContentFromForm(v url.Values, r Rules) (Content, error) {
	f := fault.Fields{}
	c := Content{
		Title:          tidy(v.Get(FieldTitle)),
		Company:        tidy(v.Get(FieldCompany)),
		Website:        strings.TrimSpace(v.Get(FieldWebsite)),
		Category:       strings.TrimSpace(v.Get(FieldCategory)),
		EmploymentType: strings.TrimSpace(v.Get(FieldEmployment)),
		Workplace:      strings.TrimSpace(v.Get(FieldWorkplace)),
		Seniority:      strings.TrimSpace(v.Get(FieldSeniority)),
		SalaryPeriod:   strings.TrimSpace(v.Get(FieldSalaryPeriod)),
		SalaryCurrency: strings.ToUpper(strings.TrimSpace(v.Get(FieldSalaryCurrency))),
		Description:    FromInput(v.Get(FieldDescription)),
		ApplyMethod:    strings.TrimSpace(v.Get(FieldApplyMethod)),
		ApplyTarget:    strings.TrimSpace(v.Get(FieldApplyTarget)),
		Reference:      tidy(v.Get(FieldReference)),
		Email:          strings.TrimSpace(v.Get(FieldEmail)),
	}
	for _, t := range split(v[FieldTags], ",\n") {
		if !slices.ContainsFunc(c.Tags, func(o string) bool { return strings.EqualFold(o, t) }) {
			c.Tags = append(c.Tags, t)
		}
	}
	for _, t := range split(v[FieldPlaces], ";\n") {
		p, ok := ParsePlace(t, r.Country)
		if !ok {
			f[FieldPlaces] = say("field.places.country", t)
			continue
		}
		if !slices.Contains(c.Places, p) {
			c.Places = append(c.Places, p)
		}
	}
	for _, t := range split(v[FieldCountries], ",;\n") {
		code := CountryCode(t)
		if code == "" {
			f[FieldCountries] = say("field.countries.unknown", t)
		} else if !slices.Contains(c.Countries, code) {
			c.Countries = append(c.Countries, code)
		}
	}
	lowest, highest := strings.TrimSpace(v.Get(FieldSalaryMin)), strings.TrimSpace(v.Get(FieldSalaryMax))
	if c.SalaryCurrency == "" && lowest+highest != "" {
		c.SalaryCurrency = r.Currency
	}
	amount := func(name, text string) *int64 {
		if text == "" {
			return nil
		}
		n, err := ParseAmount(text, r.Locale, c.SalaryCurrency)
		if err != nil || n <= 0 {
			f[name] = say("field.salary.amount")
			return nil
		}
		return &n
	}
	c.SalaryMin, c.SalaryMax = amount(FieldSalaryMin, lowest), amount(FieldSalaryMax, highest)
	c.check(f, r)
	return c, fault.Invalids(f)
}

// Check validates and tidies content that did not come from a form.
// Kind: fault.Invalid with the form's field names.
func (c *Content) Check(r Rules) error {
	f := fault.Fields{}
	c.Description = Sanitise(c.Description)
	c.check(f, r)
	return fault.Invalids(f)
}

func (c *Content) check(f fault.Fields, r Rules) {
	checkTitle(f, c.Title)
	checkCompany(f, FieldCompany, c.Company)
	c.Website = checkWebsite(f, FieldWebsite, c.Website)
	choice := func(name string, v *string, all []string, fallback string) {
		if *v == "" {
			*v = fallback
		}
		if *v != fallback && !slices.Contains(all, *v) {
			f[name] = say("field.choice")
		}
	}
	choice(FieldEmployment, &c.EmploymentType, EmploymentTypes(), FullTime)
	choice(FieldWorkplace, &c.Workplace, Workplaces(), OnSite)
	choice(FieldSeniority, &c.Seniority, Seniorities(), "")
	choice(FieldApplyMethod, &c.ApplyMethod, ApplyMethods(), ApplyBoard)

	if f[FieldPlaces] == "" {
		if len(c.Places) == 0 && c.Workplace != Remote {
			f[FieldPlaces] = say("field.places.required")
		} else if len(c.Places) > 10 {
			f[FieldPlaces] = say("field.places.many", "10")
		}
	}
	if c.Workplace != Remote {
		c.Countries = nil
		delete(f, FieldCountries)
	} else if len(c.Countries) == 0 && f[FieldCountries] == "" {
		// Search engines drop a remote job that does not say who may apply.
		f[FieldCountries] = say("field.countries.required")
	}
	if slices.Contains(c.Countries, Anywhere) {
		c.Countries = []string{Anywhere}
	}
	c.checkSalary(f)

	switch n := runes(Text(c.Description)); {
	case n == 0:
		f[FieldDescription] = say("field.description.required")
	case n < 30:
		f[FieldDescription] = say("field.description.short", "30")
	case len(c.Description) > maxText:
		f[FieldDescription] = say("field.description.long", "20000")
	}
	if len(c.Tags) > maxTags {
		f[FieldTags] = say("field.tags.many", "10")
	}
	for i, t := range c.Tags {
		if c.Tags[i] = tidy(t); runes(t) > 40 {
			f[FieldTags] = say("field.tags.long", "40")
		}
	}
	switch c.ApplyMethod {
	case ApplyLink:
		if !validLink(c.ApplyTarget) {
			f[FieldApplyTarget] = say("field.apply.link")
		}
	case ApplyEmail:
		if c.ApplyTarget = FoldEmail(c.ApplyTarget); c.ApplyTarget == "" {
			f[FieldApplyTarget] = say("field.apply.email")
		}
	default:
		if c.ApplyTarget != "" {
			if c.ApplyTarget = FoldEmail(c.ApplyTarget); c.ApplyTarget == "" {
				f[FieldApplyTarget] = say("field.apply.email")
			}
		}
	}
	if runes(c.Reference) > 60 {
		f[FieldReference] = say("field.long", "60")
	}
	if r.NeedEmail {
		if e := FoldEmail(c.Email); e != "" {
			c.Email = e
		} else {
			f[FieldEmail] = say("field.email")
		}
	}
}

func (c *Content) checkSalary(f fault.Fields) {
	if c.SalaryMin == nil && c.SalaryMax == nil {
		if f[FieldSalaryMin] == "" && f[FieldSalaryMax] == "" {
			c.SalaryCurrency, c.SalaryPeriod = "", ""
		}
		return
	}
	if !ValidCurrency(c.SalaryCurrency) {
		f[FieldSalaryCurrency] = say("field.salary.currency")
	}
	if c.SalaryPeriod == "" {
		c.SalaryPeriod = "year"
	}
	if !slices.Contains(Periods(), c.SalaryPeriod) {
		f[FieldSalaryPeriod] = say("field.salary.period")
	}
	if c.SalaryMin != nil && c.SalaryMax != nil && *c.SalaryMin > *c.SalaryMax {
		f[FieldSalaryMax] = say("field.salary.order")
	}
	for name, v := range map[string]*int64{FieldSalaryMin: c.SalaryMin, FieldSalaryMax: c.SalaryMax} {
		if v != nil && (*v <= 0 || *v > maxAmount) {
			f[name] = say("field.salary.amount")
		}
	}
}

var linkish = regexp.MustCompile(`(?i)(https?://|www\.|\S+@\S+\.\S|\b[a-z0-9-]{2,}\.(com|org|net|io|de|co|jobs|dev|app)\b)`)
var symbols = regexp.MustCompile(`[!?*#$~_=|<>]{2,}|[★☆►✔✅🔥🚀❗‼→]|!$`)

func checkTitle(f fault.Fields, t string) {
	upper, letters := 0, 0
	for _, r := range t {
		if unicode.IsLetter(r) {
			letters++
			if unicode.IsUpper(r) {
				upper++
			}
		}
	}
	switch n := runes(t); {
	case n == 0:
		f[FieldTitle] = say("field.title.required")
	case n < 3 || letters == 0:
		f[FieldTitle] = say("field.title.short", "3")
	case n > maxTitle:
		f[FieldTitle] = say("field.title.long", "100")
	case linkish.MatchString(strings.ReplaceAll(strings.ToLower(t), "asp.net", "")):
		f[FieldTitle] = say("field.title.link")
	case symbols.MatchString(t):
		f[FieldTitle] = say("field.title.symbols")
	case letters >= 8 && upper*10 > letters*8:
		f[FieldTitle] = say("field.title.shouting")
	}
}

func checkCompany(f fault.Fields, name, v string) {
	switch {
	case v == "":
		f[name] = say("field.company.required")
	case runes(v) > 100:
		f[name] = say("field.long", "100")
	case strings.Contains(v, "://") || strings.Contains(v, "@"):
		f[name] = say("field.company.link")
	}
}

// checkWebsite completes "acme.com" to https://acme.com.
func checkWebsite(f fault.Fields, name, v string) string {
	v = strings.TrimSpace(v)
	if v == "" {
		return ""
	}
	if !strings.Contains(v, "://") {
		v = "https://" + v
	}
	if !validLink(v) {
		f[name] = say("field.url")
	}
	return v
}

func validLink(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.User == nil && len(s) <= 500 &&
		strings.Contains(u.Hostname(), ".") && !strings.ContainsAny(s, " \t\r\n\"<>")
}

// FoldEmail is the address as it is stored and compared; "" when it is no address.
func FoldEmail(s string) string {
	folded, _ := address.Fold(s)
	return folded
}

// tidy makes a single line of single spaces without control characters.
func tidy(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError || unicode.Is(unicode.Cf, r) && r != '\u200d' && r != '\u00ad' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	return strings.Join(strings.Fields(s), " ")
}

// split cuts values at any of the separators and drops what is empty.
func split(values []string, seps string) (out []string) {
	for _, v := range values {
		for _, part := range strings.FieldsFunc(v, func(r rune) bool { return strings.ContainsRune(seps, r) }) {
			if part = tidy(part); part != "" {
				out = append(out, part)
			}
		}
	}
	return out
}

func runes(s string) int { return utf8.RuneCountInString(s) }
