package plans

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

func itoa(n int) string { return strconv.Itoa(n) }

// names are the metered things as mails say them.
var names = map[string][2]string{
	Listings: {"live listings", "Anzeigen zugleich"}, Seats: {"seats", "Plätze im Team"}, Domains: {"domains", "Domains"}, Mails: {"mails this month", "Mails in diesem Monat"},
	Views: {"page views this month", "Seitenaufrufe in diesem Monat"}, Storage: {"storage", "Speicherplatz"}, APICalls: {"API calls this month", "API-Aufrufe in diesem Monat"},
}

// Name is what something is called, in the middle of a sentence.
func Name(what, locale string) string {
	n := names[what]
	if strings.HasPrefix(locale, "de") {
		return n[1]
	}
	return n[0]
}

// Amount is an amount of something as people read it: bytes in MB or GB.
func Amount(what string, n int64, locale string) string {
	p := message.NewPrinter(language.English)
	if strings.HasPrefix(locale, "de") {
		p = message.NewPrinter(language.German)
	}
	if what != Storage {
		return p.Sprintf("%d", n)
	}
	const mb, gb = 1 << 20, 1 << 30
	if n >= gb {
		return trimZero(p.Sprintf("%.1f", float64(n)/gb)) + " GB"
	}
	return fmt.Sprint(p.Sprintf("%d", (n+mb-1)/mb), " MB")
}

func trimZero(s string) string {
	return strings.TrimSuffix(strings.TrimSuffix(s, ".0"), ",0")
}
