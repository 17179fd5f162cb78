package billing

import (
	"encoding/json"
	"math"
	"testing"

	"pgregory.net/rapid"
)

func rules() *rapid.Generator[FeeRule] {
	amount := rapid.OneOf(rapid.Int64Range(0, 100_000), rapid.Int64Range(0, math.MaxInt64))
	return rapid.Custom(func(t *rapid.T) FeeRule {
		r := FeeRule{PercentBP: rapid.Int64Range(0, maxPercentBP).Draw(t, "percent"), Fixed: amount.Draw(t, "fixed"),
			Min: amount.Draw(t, "min"), Cap: amount.Draw(t, "cap"), Currency: rapid.SampledFrom([]string{"", "USD", "JPY"}).Draw(t, "currency")}
		last := int64(0)
		for range rapid.IntRange(0, 3).Draw(t, "tiers") {
			last += rapid.Int64Range(1, 50_000).Draw(t, "step")
			r.Tiers = append(r.Tiers, FeeTier{last, rapid.Int64Range(0, maxPercentBP).Draw(t, "tier percent"), amount.Draw(t, "tier fixed")})
		}
		return r
	})
}

func TestSplitNeverLosesOrInventsMoney(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := rules().Draw(t, "rule")
		amount := rapid.OneOf(rapid.Int64Range(0, 100_000), rapid.Int64Range(0, math.MaxInt64)).Draw(t, "amount")
		fee, owner := Split(amount, "USD", r)
		if fee < 0 || owner < 0 || fee > amount || fee+owner != amount {
			t.Fatalf("%d by %+v: %d + %d", amount, r, fee, owner)
		}
		if fee2, owner2 := Split(amount, "USD", r); fee2 != fee || owner2 != owner {
			t.Fatal("the same sale was split in two ways")
		}
		ours := r.Currency == "" || r.Currency == "USD"
		if ours && r.Cap > 0 && fee > r.Cap {
			t.Fatalf("fee %d over the cap %d", fee, r.Cap)
		}
		if ours && r.Min <= amount && (r.Cap == 0 || r.Min <= r.Cap) && fee < r.Min {
			t.Fatalf("fee %d under the floor %d", fee, r.Min)
		}
	})
}

func TestSplitGrowsWithThePrice(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := rules().Draw(t, "rule")
		r.Tiers = nil // a tier may be cheaper than the one before it
		a := rapid.Int64Range(0, math.MaxInt64-1).Draw(t, "amount")
		less, _ := Split(a, "USD", r)
		more, _ := Split(a+1, "USD", r)
		if more < less || more > less+1 && r.Fixed < a && r.Min < a {
			t.Fatalf("%d: %d, one more: %d, by %+v", a, less, more, r)
		}
	})
}

func TestSplitByExample(t *testing.T) {
	t.Parallel()
	tiers := []FeeTier{{10_000, 2000, 0}, {50_000, 1000, 100}}
	for name, c := range map[string]struct {
		amount int64
		rule   FeeRule
		fee    int64
	}{
		"ten percent":            {19900, FeeRule{PercentBP: 1000}, 1990},
		"half rounds up":         {5, FeeRule{PercentBP: 1000}, 1},
		"under half rounds down": {4, FeeRule{PercentBP: 1000}, 0},
		"percent and fixed":      {10000, FeeRule{PercentBP: 290, Fixed: 30}, 320},
		"floor":                  {10000, FeeRule{PercentBP: 100, Min: 500}, 500},
		"cap":                    {1_000_000, FeeRule{PercentBP: 1000, Cap: 5000}, 5000},
		"never over the price":   {300, FeeRule{Min: 500}, 300},
		"nothing of nothing":     {0, FeeRule{Fixed: 500}, 0},
		"first tier":             {10_000, FeeRule{PercentBP: 500, Tiers: tiers}, 2000},
		"second tier":            {10_001, FeeRule{PercentBP: 500, Tiers: tiers}, 1100},
		"above the tiers":        {50_010, FeeRule{PercentBP: 500, Tiers: tiers}, 2501},
		"another currency":       {10_000, FeeRule{PercentBP: 500, Fixed: 99, Min: 5000, Currency: "JPY"}, 500},
	} {
		if fee, owner := Split(c.amount, "USD", c.rule); fee != c.fee || owner != c.amount-c.fee {
			t.Errorf("%s: fee %d, want %d", name, fee, c.fee)
		}
	}
}

func TestRulesAreSaidAndRead(t *testing.T) {
	t.Parallel()
	r, err := ParseFeeRule(json.RawMessage(`{"percent_bp": 1250, "fixed": 50, "min": 500, "cap": 10000}`))
	if err != nil {
		t.Fatal(err)
	}
	for locale, want := range map[string]string{
		"en": "12.5% + $0.50, at least $5.00, at most $100.00",
		"de": "12,5\u00a0% + 0,50\u00a0$, mindestens 5,00\u00a0$, höchstens 100,00\u00a0$",
	} {
		if got := Describe(r, "USD", locale); got != want {
			t.Errorf("%s: %q, want %q", locale, got, want)
		}
	}
	for _, bad := range []string{`{"percent_bp": 10001}`, `{"percent_bp": -1}`, `{"fixed": -1}`, `{"min": 2, "cap": 1}`, `{"tiers": [{"up_to": 5}, {"up_to": 5}]}`, `[`} {
		if _, err := ParseFeeRule(json.RawMessage(bad)); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}
