package listings

import (
	"regexp"
	"strings"
	"sync"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"golang.org/x/text/language"
	"golang.org/x/text/language/display"

	"shingle/tenant"
)

// Place is where a job is. Country is ISO 3166-1 alpha-2.
type Place struct {
	Country    string   `json:"country"`
	Region     string   `json:"region,omitempty"`
	City       string   `json:"city,omitempty"`
	PostalCode string   `json:"postal_code,omitempty"`
	Lat        *float64 `json:"lat,omitempty"`
	Lon        *float64 `json:"lon,omitempty"`
}

// placeRow is a Place as stored.
type placeRow struct {
	bun.BaseModel `bun:"table:listing_places,alias:lp"`
	tenant.Scoped

	ListingID  uuid.UUID `bun:"listing_id,pk,type:uuid"`
	N          int       `bun:"n,pk"`
	Country    string    `bun:"country"`
	Region     string    `bun:"region"`
	City       string    `bun:"city"`
	PostalCode string    `bun:"postal_code"`
	Lat        *float64  `bun:"lat"`
	Lon        *float64  `bun:"lon"`
}

// Text is the place as a form shows it and ParsePlace reads it: "Berlin, DE",
// "Austin, TX, US".
func (p Place) Text() string {
	return joinPlace(p, p.Country)
}

// Label is the place for readers of a language: "Berlin, Germany".
func (p Place) Label(locale string) string {
	return joinPlace(p, CountryName(p.Country, locale))
}

func joinPlace(p Place, country string) string {
	parts := make([]string, 0, 3)
	city := p.City
	if p.PostalCode != "" && city != "" {
		city = p.PostalCode + " " + city
	}
	for _, s := range []string{city, p.Region, country} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ", ")
}

// Anywhere stands alone in a list of countries: no limit on where applicants live.
const Anywhere = "*"

var postal = regexp.MustCompile(`^([0-9]{4,6}) +(.+)$`)

// ParsePlace reads "Berlin, DE", "10115 Berlin", "Austin, TX, US" or
// "Deutschland". A place that names no country is in the given one; without
// one it is refused. On a board in the US a state counts before a country, so
// that "San Francisco, CA" is in California.
func ParsePlace(s, country string) (Place, bool) {
	parts := split([]string{s}, ",")
	if len(parts) == 0 || len(parts) > 4 || runes(s) > 120 {
		return Place{}, false
	}
	p := Place{}
	last := parts[len(parts)-1]
	switch code := CountryCode(last); {
	case country == "US" && len(parts) == 2 && usStates[strings.ToUpper(last)]:
		p.Country = "US"
		parts[1] = strings.ToUpper(last)
	case code != "" && code != Anywhere:
		p.Country = code
		parts = parts[:len(parts)-1]
	case len(parts) >= 2 && usStates[strings.ToUpper(last)] && country == "":
		p.Country = "US"
		parts[len(parts)-1] = strings.ToUpper(last)
	case CountryCode(country) != "":
		p.Country = CountryCode(country)
	default:
		return Place{}, false
	}
	if len(parts) > 0 {
		p.City = parts[0]
		if m := postal.FindStringSubmatch(p.City); m != nil {
			p.PostalCode, p.City = m[1], m[2]
		}
	}
	if len(parts) > 1 {
		p.Region = strings.Join(parts[1:], ", ")
	}
	return p, true
}

// countryNames maps folded names in English and German to ISO codes, made on
// first use from Unicode's data.
var countryNames = sync.OnceValue(func() map[string]string {
	names := map[string]string{"usa": "US", "u.s.": "US", "u.s.a.": "US", "united states of america": "US", "uk": "GB", "england": "GB",
		"scotland": "GB", "wales": "GB", "great britain": "GB", "großbritannien": "GB", "holland": "NL", "czech republic": "CZ", "tschechische republik": "CZ",
		"turkey": "TR", "*": Anywhere, "anywhere": Anywhere, "worldwide": Anywhere, "weltweit": Anywhere, "überall": Anywhere}
	for _, code := range countryCodes() {
		r := language.MustParseRegion(code)
		names[strings.ToLower(code)] = code
		for _, tag := range []language.Tag{language.English, language.German} {
			if n := display.Regions(tag).Name(r); n != "" {
				names[strings.ToLower(n)] = code
			}
		}
	}
	return names
})

// notCountries are reserved or former codes that Unicode's data still knows.
const notCountries = "AC AN CP CQ CS DG EA EZ FQ IC NT PC SU TA UN YU"

// countryCodes are the ISO 3166-1 countries, and Kosovo.
var countryCodes = sync.OnceValue(func() []string {
	var codes []string
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			code := string([]rune{a, b})
			r, err := language.ParseRegion(code)
			if err != nil || r.String() != code || r.Canonicalize() != r || !r.IsCountry() || a == 'X' && code != "XK" || strings.Contains(notCountries, code) {
				continue
			}
			codes = append(codes, code)
		}
	}
	return codes
})

// CountryCodes are the ISO 3166-1 alpha-2 codes, in alphabetical order.
func CountryCodes() []string { return append([]string(nil), countryCodes()...) }

// CountryCode finds a country by its code or its English or German name; ""
// when there is none. "anywhere" and "worldwide" are Anywhere.
func CountryCode(s string) string { return countryNames()[strings.ToLower(strings.TrimSpace(s))] }

// CountryName is the country's name in a language; the code when unknown.
func CountryName(code, locale string) string {
	german := strings.HasPrefix(locale, "de")
	if code == Anywhere {
		if german {
			return "Weltweit"
		}
		return "Anywhere"
	}
	r, err := language.ParseRegion(code)
	if err != nil {
		return code
	}
	tag := language.English
	if german {
		tag = language.German
	}
	if n := display.Regions(tag).Name(r); n != "" {
		return n
	}
	return code
}

var usStates = func() map[string]bool {
	m := map[string]bool{}
	for s := range strings.FieldsSeq("AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY DC") {
		m[s] = true
	}
	return m
}()
