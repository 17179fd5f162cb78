package search

import (
	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
)

// CountryNames are the words under which a country (ISO 3166-1 alpha-2) is
// looked for: its English and its German name. Empty for what is no country.
func CountryNames(code string) []string {
	r, err := language.ParseRegion(code)
	if err != nil || !r.IsCountry() {
		return nil
	}
	en, de := display.English.Regions().Name(r), display.German.Regions().Name(r)
	if en == de {
		return []string{en}
	}
	return []string{en, de}
}
