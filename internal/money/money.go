// Package money writes and reads amounts: integers of a currency's minor units
// with an ISO 4217 code. It never rounds a price and knows no exchange rate.
// Start at Format and Parse.
package money

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"golang.org/x/text/currency"
)

// stripeZero are the currencies that Stripe counts in whole units, by
// docs.stripe.com/currencies#zero-decimal; the rest of ours have two digits.
var stripeZero = map[string]bool{"BIF": true, "CLP": true, "DJF": true, "GNF": true, "JPY": true, "KMF": true, "KRW": true, "MGA": true,
	"PYG": true, "RWF": true, "UGX": true, "VND": true, "VUV": true, "XAF": true, "XOF": true, "XPF": true}

// Exponent is how many digits the minor unit has: 2 for USD, 0 for JPY.
func Exponent(code string) int {
	if stripeZero[strings.ToUpper(code)] {
		return 0
	}
	return 2
}

// minimums is Stripe's smallest charge per currency, in minor units, by
// docs.stripe.com/currencies#minimum-and-maximum-charge-amounts.
var minimums = map[string]int64{"USD": 50, "AED": 200, "AUD": 50, "BGN": 100, "BRL": 50, "CAD": 50, "CHF": 50, "CZK": 1500, "DKK": 250,
	"EUR": 50, "GBP": 30, "HKD": 400, "HUF": 17500, "INR": 50, "JPY": 50, "MXN": 1000, "MYR": 200, "NOK": 300, "NZD": 50, "PLN": 200,
	"RON": 200, "SEK": 300, "SGD": 50, "THB": 1000}

// Minimum is the smallest amount that Stripe charges in the currency; where
// Stripe names none, 50 minor units.
func Minimum(code string) int64 {
	if m, ok := minimums[strings.ToUpper(code)]; ok {
		return m
	}
	return 50
}

var symbols = map[string]string{"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹", "BRL": "R$", "CAD": "CA$", "AUD": "A$", "NZD": "NZ$", "MXN": "MX$"}

func german(locale string) bool { return strings.HasPrefix(locale, "de") }

// Symbol is what people write for the currency: its sign, or its code.
func Symbol(code string) string {
	code = strings.ToUpper(code)
	if s := symbols[code]; s != "" {
		return s
	}
	return code
}

// digits writes the amount with separators of the language. Whole amounts leave
// the minor digits out when short.
func digits(amount int64, code, locale string, short bool) string {
	exp := Exponent(code)
	unit := int64(math.Pow10(exp))
	neg := amount < 0
	whole, rest := amount/unit, amount%unit
	if neg {
		whole, rest = -whole, -rest
	}
	group, point := ",", "."
	if german(locale) {
		group, point = ".", ","
	}
	s := strconv.FormatInt(whole, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + group + s[i:]
	}
	if exp > 0 && (!short || rest != 0) {
		frac := strconv.FormatInt(rest, 10)
		s += point + strings.Repeat("0", exp-len(frac)) + frac
	}
	if neg {
		s = "−" + s
	}
	return s
}

func withSymbol(number, code, locale string) string {
	sym := Symbol(code)
	switch {
	case german(locale):
		return number + "\u00a0" + sym
	case len(sym) > 2 && sym == strings.ToUpper(code):
		return sym + "\u00a0" + number
	case strings.HasPrefix(number, "−"):
		return "−" + sym + strings.TrimPrefix(number, "−")
	}
	return sym + number
}

// Format writes an amount in full: "$1,299.00", "1.299,00 €".
func Format(amount int64, code, locale string) string {
	return withSymbol(digits(amount, code, locale, false), code, locale)
}

// Short leaves out minor digits that are zero: "$1,299", "$12.50".
func Short(amount int64, code, locale string) string {
	return withSymbol(digits(amount, code, locale, true), code, locale)
}

// Range writes a span with one currency: "$90,000 – $120,000", "48.000 – 60.000 €".
func Range(lo, hi int64, code, locale string) string {
	if german(locale) {
		return digits(lo, code, locale, true) + " – " + Short(hi, code, locale)
	}
	return Short(lo, code, locale) + " – " + Short(hi, code, locale)
}

// Plain is the amount as a decimal number with a point, without zeros that say
// nothing: "85000", "12.5". For JSON and form fields.
func Plain(amount int64, code string) string {
	exp := Exponent(code)
	if exp == 0 {
		return strconv.FormatInt(amount, 10)
	}
	s := strconv.FormatFloat(float64(amount)/math.Pow10(exp), 'f', exp, 64)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// ErrAmount says that a text is no amount.
var ErrAmount = errors.New("not an amount")

// Parse reads what people type: "85,000", "85.000,50", "85 000", "$85k", "€ 1.200".
// A lone separator followed by three digits groups thousands; otherwise the
// language's decimal sign decides.
func Parse(text, code, locale string) (int64, error) {
	s := strings.TrimSpace(text)
	s = strings.TrimSpace(strings.TrimPrefix(strings.TrimSuffix(s, Symbol(code)), Symbol(code)))
	if len(s) >= 3 && strings.EqualFold(s[:3], code) {
		s = strings.TrimSpace(s[3:])
	} else if len(s) >= 3 && strings.EqualFold(s[len(s)-3:], code) {
		s = strings.TrimSpace(s[:len(s)-3])
	}
	thousand := strings.HasSuffix(strings.ToLower(s), "k")
	if thousand {
		s = strings.TrimSpace(s[:len(s)-1])
	}
	s = strings.NewReplacer(" ", "", "\u00a0", "", "\u202f", "", "'", "", "’", "").Replace(s)
	if s == "" || strings.Trim(s, "0123456789.,") != "" {
		return 0, ErrAmount
	}
	whole, frac, err := split(s, locale)
	if err != nil {
		return 0, err
	}
	exp := Exponent(code)
	if thousand {
		exp += 3
	}
	frac = strings.TrimRight(frac, "0")
	if len(frac) > exp {
		return 0, ErrAmount
	}
	n, err := strconv.ParseInt(whole+frac+strings.Repeat("0", exp-len(frac)), 10, 64)
	if err != nil {
		return 0, ErrAmount
	}
	return n, nil
}

// split finds the decimal sign, if any.
func split(s, locale string) (whole, frac string, err error) {
	dot, comma := strings.LastIndexByte(s, '.'), strings.LastIndexByte(s, ',')
	mark := max(dot, comma)
	if mark < 0 {
		return s, "", nil
	}
	sep := s[mark : mark+1]
	other := "."
	if sep == "." {
		other = ","
	}
	tail := s[mark+1:]
	both := strings.Contains(s, other)
	switch {
	case both && strings.Count(s, sep) > 1: // 1.234,567,890: no such thing
		return "", "", ErrAmount
	case both:
		whole, frac = strings.ReplaceAll(s[:mark], other, ""), tail
	case strings.Count(s, sep) > 1, len(tail) == 3 && !(sep == decimalOf(locale) && mark == 1 && s[0] == '0'):
		for i, g := range strings.Split(s, sep) {
			if i > 0 && len(g) != 3 {
				return "", "", ErrAmount
			}
		}
		return strings.ReplaceAll(s, sep, ""), "", nil
	default:
		whole, frac = s[:mark], tail
	}
	if whole == "" {
		whole = "0"
	}
	return whole, frac, nil
}

func decimalOf(locale string) string {
	if german(locale) {
		return ","
	}
	return "."
}

// Valid reports whether code is an ISO 4217 currency in capitals.
func Valid(code string) bool {
	if len(code) != 3 || code != strings.ToUpper(code) {
		return false
	}
	_, err := currency.ParseISO(code)
	return err == nil
}
