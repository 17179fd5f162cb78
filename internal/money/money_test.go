package money_test

import (
	"testing"

	"shingle/internal/money"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, code, locale string
		want               int64
		bad                bool
	}{
		{"85,000", "USD", "en", 8500000, false},
		{"85.000", "EUR", "de", 8500000, false},
		{"85.000", "USD", "en", 8500000, false},
		{"85.000,50", "EUR", "de", 8500050, false},
		{"85,000.50", "USD", "en", 8500050, false},
		{"12.5", "USD", "en", 1250, false},
		{"12,5", "EUR", "de", 1250, false},
		{"$85k", "USD", "en", 8500000, false},
		{"85.5k", "USD", "en", 8550000, false},
		{"€ 1.200", "EUR", "de", 120000, false},
		{"1 200 EUR", "EUR", "de", 120000, false},
		{"5000", "JPY", "en", 5000, false},
		{"5000.5", "JPY", "en", 0, true},
		{"0.125", "USD", "en", 0, true},
		{"1,23,456", "USD", "en", 0, true},
		{"", "USD", "en", 0, true},
		{"abc", "USD", "en", 0, true},
		{"-5", "USD", "en", 0, true},
		{"99999999999999999999", "USD", "en", 0, true},
	} {
		got, err := money.Parse(c.text, c.code, c.locale)
		if (err != nil) != c.bad || got != c.want {
			t.Errorf("Parse(%q, %s, %s) = %d, %v; want %d, error %v", c.text, c.code, c.locale, got, err, c.want, c.bad)
		}
	}
}

func TestFormat(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ got, want string }{
		{money.Format(129900, "USD", "en"), "$1,299.00"},
		{money.Format(129900, "EUR", "de"), "1.299,00\u00a0€"},
		{money.Format(5000, "JPY", "en"), "¥5,000"},
		{money.Format(-1250, "GBP", "en"), "−£12.50"},
		{money.Format(19900, "CHF", "en"), "CHF\u00a0199.00"},
		{money.Short(19900, "USD", "en"), "$199"},
		{money.Short(1250, "USD", "en"), "$12.50"},
		{money.Range(4800000, 6000000, "EUR", "de"), "48.000 – 60.000\u00a0€"},
		{money.Range(9000000, 12000000, "USD", "en"), "$90,000 – $120,000"},
		{money.Plain(8500000, "USD"), "85000"},
		{money.Plain(1250, "USD"), "12.5"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
