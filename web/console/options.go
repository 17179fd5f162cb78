package console

import (
	"net/url"
	"time"

	"golang.org/x/text/currency"
)

// PagerData is what the "pager" part shows.
type PagerData struct {
	Page, Pages, Total int
	Query              url.Values
}

// Pager makes the data of the "pager" part.
func Pager(page, size, total int, q url.Values) PagerData {
	return PagerData{Page: page, Pages: max(1, (total+size-1)/size), Total: total, Query: q}
}

// LocaleOptions are the languages a board can speak, in their own words.
func LocaleOptions() []Option {
	return []Option{{Value: "en", Label: "English"}, {Value: "de", Label: "Deutsch"}}
}

// currencies that boards sell in: those Stripe settles for many, common first.
var currencies = []string{"USD", "EUR", "GBP", "CHF", "CAD", "AUD", "NZD", "SEK", "NOK", "DKK", "PLN", "CZK", "JPY", "SGD", "HKD", "INR", "BRL", "MXN", "ZAR"}

// CurrencyOptions are the currencies offered for a board.
func CurrencyOptions() []Option {
	out := make([]Option, 0, len(currencies))
	for _, c := range currencies {
		if _, err := currency.ParseISO(c); err == nil {
			out = append(out, Option{Value: c, Label: c})
		}
	}
	return out
}

// zones are the time zones offered; others can be set by their IANA name.
var zones = []string{"UTC", "Europe/London", "Europe/Dublin", "Europe/Lisbon", "Europe/Berlin", "Europe/Vienna", "Europe/Zurich",
	"Europe/Paris", "Europe/Madrid", "Europe/Rome", "Europe/Amsterdam", "Europe/Brussels", "Europe/Copenhagen", "Europe/Stockholm",
	"Europe/Oslo", "Europe/Helsinki", "Europe/Warsaw", "Europe/Prague", "Europe/Athens", "Europe/Istanbul", "America/New_York",
	"America/Chicago", "America/Denver", "America/Los_Angeles", "America/Toronto", "America/Vancouver", "America/Mexico_City",
	"America/Sao_Paulo", "Africa/Johannesburg", "Africa/Lagos", "Africa/Nairobi", "Asia/Dubai", "Asia/Kolkata", "Asia/Singapore",
	"Asia/Hong_Kong", "Asia/Tokyo", "Australia/Perth", "Australia/Sydney", "Pacific/Auckland"}

// ZoneOptions are the time zones offered for a board.
func ZoneOptions() []Option {
	out := make([]Option, 0, len(zones))
	for _, z := range zones {
		if _, err := time.LoadLocation(z); err == nil {
			out = append(out, Option{Value: z, Label: z})
		}
	}
	return out
}
