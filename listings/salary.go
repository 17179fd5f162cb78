package listings

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"golang.org/x/text/currency"
	"golang.org/x/text/language"
)

// maxAmount keeps yearly amounts far from overflow: 10^13 minor units.
const maxAmount = 10_000_000_000_000

// YearlyAmount is an amount per year, for comparing and filtering: an hour
// counts 2,080 times (52 weeks of 40 hours), a day 260, a week 52, a month 12.
func YearlyAmount(amount int64, period string) int64 {
	switch period {
	case "hour":
		return amount * 2080
	case "day":
		return amount * 260
	case "week":
		return amount * 52
	case "month":
		return amount * 12
	}
	return amount
}

func yearly(amount *int64, period string) *int64 {
	if amount == nil {
		return nil
	}
	y := YearlyAmount(*amount, period)
	return &y
}

// ValidCurrency reports an ISO 4217 code in use.
func ValidCurrency(code string) bool {
	if len(code) != 3 || code != strings.ToUpper(code) || code == "XXX" || code == "XTS" {
		return false
	}
	_, err := currency.ParseISO(code)
	return err == nil
}

// Exponent is the number of decimals of a currency: 2 for EUR, 0 for JPY, 3 for KWD.
func Exponent(code string) int {
	u, err := currency.ParseISO(code)
	if err != nil {
		return 2
	}
	scale, _ := currency.Standard.Rounding(u)
	return scale
}

var errAmount = errors.New("not an amount")

// ParseAmount reads what a person typed as minor units of the currency:
// "85,000", "85.000,50", "85 000", "85k", "€ 85.000". A lone separator before
// exactly three digits groups, whatever the language; otherwise it is decimal.
func ParseAmount(s, locale, code string) (int64, error) {
	s = strings.ToLower(strings.TrimSpace(s))
	s = strings.Map(func(r rune) rune {
		switch r {
		case ' ', '\u00a0', '\u202f', '\'', '’', '€', '$', '£', '¥':
			return -1
		}
		return r
	}, s)
	s = strings.TrimSuffix(strings.TrimPrefix(s, strings.ToLower(code)), strings.ToLower(code))
	s = strings.TrimSuffix(strings.TrimSuffix(s, ",-"), ".-")
	thousand := strings.HasSuffix(s, "k")
	s = strings.TrimSuffix(s, "k")
	if s == "" {
		return 0, errAmount
	}
	whole, frac, ok := cutDecimal(s, locale, thousand)
	if !ok {
		return 0, errAmount
	}
	exp := Exponent(code)
	if thousand {
		exp += 3
	}
	if len(strings.TrimRight(frac, "0")) > exp {
		return 0, errAmount
	}
	frac = strings.TrimRight(frac, "0")
	frac += strings.Repeat("0", exp-len(frac))
	var n int64
	for _, c := range whole + frac {
		if c < '0' || c > '9' {
			return 0, errAmount
		}
		if n > (math.MaxInt64-9)/10 {
			return 0, errAmount
		}
		n = n*10 + int64(c-'0')
	}
	if n > maxAmount {
		return 0, errAmount
	}
	return n, nil
}

// FormatAmount writes minor units the plain way that ParseAmount reads back and
// CSV files hold: "85000", "12.50". Pages format amounts for their readers.
func FormatAmount(n int64, code string) string {
	exp := Exponent(code)
	s := strconv.FormatInt(n, 10)
	if exp == 0 {
		return s
	}
	if len(s) <= exp {
		s = strings.Repeat("0", exp-len(s)+1) + s
	}
	whole, frac := s[:len(s)-exp], s[len(s)-exp:]
	if strings.Trim(frac, "0") == "" {
		return whole
	}
	return whole + "." + frac
}

// cutDecimal takes the groups apart and finds the decimal separator.
func cutDecimal(s, locale string, thousand bool) (whole, frac string, ok bool) {
	last := strings.LastIndexAny(s, ".,")
	if last < 0 {
		return s, "", true
	}
	sep, other := s[last:last+1], ","
	if sep == "," {
		other = "."
	}
	tail := s[last+1:]
	decimal := len(tail) != 3 || strings.Contains(s[:last], other) || thousand && sep == decimalOf(locale)
	if strings.Count(s, sep) > 1 {
		if !groups(s, sep) {
			return "", "", false
		}
		return strings.ReplaceAll(s, sep, ""), "", !strings.Contains(s, other)
	}
	if !decimal {
		return s[:last] + tail, "", last > 0 && last <= 3
	}
	head := s[:last]
	if strings.Contains(head, other) {
		if !groups(head, other) {
			return "", "", false
		}
		head = strings.ReplaceAll(head, other, "")
	}
	return head, tail, head != "" && tail != ""
}

// groups reports thousands in threes: 1.234.567.
func groups(s, sep string) bool {
	parts := strings.Split(s, sep)
	for i, p := range parts {
		if i == 0 && (len(p) == 0 || len(p) > 3) || i > 0 && len(p) != 3 {
			return false
		}
	}
	return true
}

// decimalOf is the decimal separator of a language.
func decimalOf(locale string) string {
	base, _ := language.Make(locale).Base()
	switch base.String() {
	case "de", "fr", "es", "it", "nl", "pt", "pl", "da", "sv", "nb", "fi", "cs", "tr":
		return ","
	}
	return "."
}
