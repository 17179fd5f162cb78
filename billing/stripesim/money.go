package stripesim

import (
	"fmt"
	"strconv"
	"strings"
)

// minimums are the smallest charges Stripe takes, in minor units; other
// currencies have none here. https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts
var minimums = map[string]int64{
	"usd": 50, "aed": 200, "aud": 50, "bgn": 100, "brl": 50, "cad": 50, "chf": 50, "czk": 1500, "dkk": 250, "eur": 50,
	"gbp": 30, "hkd": 400, "huf": 17500, "inr": 50, "jpy": 50, "mxn": 1000, "myr": 200, "nok": 300, "nzd": 50, "pln": 200,
	"ron": 200, "sek": 300, "sgd": 50, "thb": 1000,
}

// others are the currencies without a minimum in the list above.
const others = " all amd ars bam bdt bob clp cop crc dop egp fjd gel gtq hrk idr ils isk jmd kes kgs khr krw kzt lkr mad mdl mkd mnt mur ngn pen php pkr pyg qar rsd rub rwf sar try twd tzs uah ugx uyu uzs vnd xaf xof xpf zar bif djf gnf kmf mga vuv bhd jod kwd omr tnd "

const zeroDecimal = " bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf "
const threeDecimal = " bhd jod kwd omr tnd "

const maxAmount = 99999999

func currencyKnown(c string) bool {
	_, ok := minimums[c]
	return len(c) == 3 && (ok || strings.Contains(others, " "+c+" "))
}

var symbols = map[string]string{"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}

// formatMoney writes minor units for people: $199.00, ¥500, CHF 12.50.
func formatMoney(amount int64, currency string) string {
	sign := ""
	if amount < 0 {
		sign, amount = "-", -amount
	}
	unit, ok := symbols[currency]
	if !ok {
		unit = strings.ToUpper(currency) + " "
	}
	in := " " + currency + " "
	switch {
	case strings.Contains(zeroDecimal, in):
		return sign + unit + thousands(amount)
	case strings.Contains(threeDecimal, in):
		return fmt.Sprintf("%s%s%s.%03d", sign, unit, thousands(amount/1000), amount%1000)
	}
	return fmt.Sprintf("%s%s%s.%02d", sign, unit, thousands(amount/100), amount%100)
}

// thousands puts a comma between groups of three digits.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// stripeFee is what Stripe keeps of a charge: 2.9 % rounded half up, and 30
// minor units, never more than the charge.
func stripeFee(amount int64) int64 { return min(amount, (amount*29+500)/1000+30) }

// share is the part of whole that belongs to the first done of amount, rounded
// down, so that the shares of successive parts add up to whole.
func share(whole, done, amount int64) int64 {
	if amount == 0 {
		return 0
	}
	return whole * done / amount
}

func checkAmount(amount int64, currency, param string) error {
	if least := minimums[currency]; amount < least {
		return &Error{Status: 400, Type: "invalid_request_error", Code: "amount_too_small", Param: param,
			Message: fmt.Sprintf("The Checkout Session's total amount due must add up to at least %s %s", formatMoney(least, currency), currency)}
	}
	if amount > maxAmount {
		return &Error{Status: 400, Type: "invalid_request_error", Code: "amount_too_large", Param: param,
			Message: fmt.Sprintf("The Checkout Session's total amount due must be no more than %s %s", formatMoney(maxAmount, currency), currency)}
	}
	return nil
}
