package site

import (
	"hash/fnv"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
	"golang.org/x/text/message"
	"golang.org/x/text/number"

	"shingle/internal/money"
	"shingle/listings"
	"shingle/tenant"
	"shingle/themes"
	"shingle/web/console"
)

// Writer turns a board's rows into the texts and links of its pages, in the
// board's language and time zone.
type Writer struct {
	T     *tenant.Tenant
	Now   time.Time
	Words *console.Words
}

// Say is a word of the site's catalogue.
func (w *Writer) Say(key string, args ...any) string { return w.Words.T(w.T.Locale, key, args...) }

// Number is n with the language's separators.
func (w *Writer) Number(n int) string {
	if n >= 0 && n < 1000 {
		return strconv.Itoa(n) // nothing to separate
	}
	return message.NewPrinter(language.Make(w.T.Locale)).Sprint(number.Decimal(n))
}

// Card is a listing for a list.
func (w *Writer) Card(c *listings.Card) themes.Card {
	out := themes.Card{
		URL: c.Path(), Title: c.Title, Company: c.CompanyName, Logo: w.Logo(c.CompanyName, c.CompanySlug, c.CompanyLogo),
		Place: w.Place(c.Places, c.Workplace, c.ApplicantCountries), Workplace: w.Workplace(c.Workplace),
		Pay: w.Pay(c.SalaryMin, c.SalaryMax, c.SalaryCurrency, c.SalaryPeriod), Type: w.Say("type." + c.EmploymentType),
		Tags: c.Tags[:min(len(c.Tags), 3)], Featured: c.Featured,
	}
	if c.PublishedAt != nil {
		out.Age = w.When(*c.PublishedAt)
		out.New = w.Now.Sub(*c.PublishedAt) < 24*time.Hour
	}
	if c.State.Public() && c.State != listings.Live {
		out.Closed = w.Say("state." + string(c.State))
	}
	return out
}

// Cards is Card for a list.
func (w *Writer) Cards(cs []listings.Card) []themes.Card {
	out := make([]themes.Card, len(cs))
	for i := range cs {
		out[i] = w.Card(&cs[i])
	}
	return out
}

// Workplace is the word on a card; nothing for work on site.
func (w *Writer) Workplace(v string) string {
	if v == listings.OnSite {
		return ""
	}
	return w.Say("workplace." + v)
}

// Place is the one line about where: a place, the number of places, or for
// remote work where applicants may live.
func (w *Writer) Place(places []listings.Place, workplace string, countries []string) string {
	if workplace == listings.Remote {
		return w.remoteFrom(countries)
	}
	switch len(places) {
	case 0:
		return ""
	case 1:
		return w.OnePlace(places[0])
	case 2:
		return shortPlace(places[0], w) + " · " + shortPlace(places[1], w)
	}
	return w.Say("places", shortPlace(places[0], w), len(places)-1)
}

func shortPlace(p listings.Place, w *Writer) string {
	if p.City != "" {
		return p.City
	}
	return w.OnePlace(p)
}

func (w *Writer) remoteFrom(countries []string) string {
	switch {
	case len(countries) == 0:
		return ""
	case len(countries) == 1 && countries[0] == listings.Anywhere:
		return w.Say("remote.anywhere")
	case len(countries) == 1:
		return w.Country(countries[0])
	case len(countries) <= 3:
		names := make([]string, len(countries))
		for i, c := range countries {
			names[i] = w.Country(c)
		}
		return strings.Join(names, ", ")
	}
	return w.Say("remote.countries", len(countries))
}

// OnePlace is a place written out; the board's own country goes without saying.
func (w *Writer) OnePlace(p listings.Place) string {
	parts := make([]string, 0, 3)
	if p.City != "" {
		parts = append(parts, p.City)
	}
	if p.Region != "" && p.Region != p.City && (p.Country == "US" || p.Country == "CA" || p.City == "") {
		parts = append(parts, p.Region)
	}
	if p.Country != "" && (p.Country != w.T.Country || len(parts) == 0) {
		parts = append(parts, w.Country(p.Country))
	}
	return strings.Join(parts, ", ")
}

// Country is a country's name in the board's language.
func (w *Writer) Country(code string) string {
	r, err := language.ParseRegion(code)
	if err != nil {
		return code
	}
	namer := display.Regions(language.Make(w.T.Locale))
	if namer == nil {
		namer = display.Regions(language.English)
	}
	return namer.Name(r)
}

// Pay is the salary as one text: "$90,000 – $120,000 a year".
func (w *Writer) Pay(lo, hi *int64, currency, period string) string {
	if currency == "" || lo == nil && hi == nil {
		return ""
	}
	var amount string
	switch {
	case lo != nil && hi != nil && *lo != *hi:
		amount = money.Range(*lo, *hi, currency, w.T.Locale)
	case lo != nil && hi == nil:
		amount = w.Say("pay.from", money.Short(*lo, currency, w.T.Locale))
	case lo == nil:
		amount = w.Say("pay.to", money.Short(*hi, currency, w.T.Locale))
	default:
		amount = money.Short(*lo, currency, w.T.Locale)
	}
	if period == "" {
		return amount
	}
	return w.Say("pay."+period, amount)
}

// Logo is the company's picture or its monogram.
func (w *Writer) Logo(name, slug, key string) themes.Logo {
	l := themes.Logo{Initials: Initials(name)}
	if key != "" {
		l.URL = FileURL(key)
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(slug))
	l.Tone = int(h.Sum32() % themes.Tones)
	return l
}

// FileURL is where a board's public file is served: its key without the board.
func FileURL(key string) string {
	if _, rest, ok := strings.Cut(key, "/"); ok {
		key = rest
	}
	return "/x/" + (&url.URL{Path: key}).EscapedPath()
}

// Initials are the first letters of the first two words.
func Initials(name string) string {
	var out []rune
	for word := range strings.FieldsSeq(name) {
		r, _ := utf8.DecodeRuneInString(strings.TrimLeft(word, "\"'(&-"))
		if r != utf8.RuneError && len(out) < 2 {
			out = append(out, r)
		}
	}
	return strings.ToUpper(string(out))
}

// minute is as exact as a page needs, without a plus sign to escape.
const minute = "2006-01-02T15:04Z"

// When is an age in words: "2 days"; a date after a month.
func (w *Writer) When(at time.Time) themes.When {
	local := at.In(w.T.Location())
	out := themes.When{ISO: at.UTC().Format(minute), Title: console.DateTime(w.T.Locale, local)}
	switch d := w.Now.Sub(at); {
	case d < time.Hour:
		out.Text = w.Say("age.new")
	case d < 24*time.Hour:
		out.Text = w.Say("age.hours", int(d.Hours()))
	case d < 31*24*time.Hour:
		out.Text = w.Say("age.days", int(d.Hours()/24))
	default:
		out.Text = console.Date(w.T.Locale, local)
	}
	return out
}

// Day is a date written out in the board's zone.
func (w *Writer) Day(at time.Time) themes.When {
	local := at.In(w.T.Location())
	return themes.When{Text: console.Date(w.T.Locale, local), ISO: local.Format(time.RFC3339), Title: console.DateTime(w.T.Locale, local)}
}
