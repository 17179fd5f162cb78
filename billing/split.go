package billing

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"shingle/internal/fault"
	"shingle/internal/money"
)

// FeeRule is the platform's share of a sale: a percentage and a fixed amount,
// not under Min, not over Cap (0: none). All amounts are minor units.
//
// With Tiers the first tier that holds the price gives percentage and fixed
// amount for the whole price; the rule's own apply above the last tier.
type FeeRule struct {
	PercentBP int64     `json:"percent_bp"` // hundredths of a percent: 1000 is 10 %
	Fixed     int64     `json:"fixed,omitempty"`
	Min       int64     `json:"min,omitempty"`
	Cap       int64     `json:"cap,omitempty"`
	Tiers     []FeeTier `json:"tiers,omitempty"`
	// Currency is what the amounts are in; the sale's when empty. In a sale of
	// another currency the amounts and tiers mean nothing: PercentBP alone applies.
	Currency string `json:"currency,omitempty"`
}

// FeeTier is the share of prices up to and including UpTo.
type FeeTier struct {
	UpTo      int64 `json:"up_to"`
	PercentBP int64 `json:"percent_bp"`
	Fixed     int64 `json:"fixed,omitempty"`
}

// maxPercentBP is 100 %.
const maxPercentBP = 10_000

// ParseFeeRule reads a rule as it is stored. Kind: fault.Invalid.
func ParseFeeRule(raw json.RawMessage) (FeeRule, error) {
	var r FeeRule
	if len(raw) == 0 {
		return r, nil
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return r, fault.Wrap(err, fault.Invalid, "the fee rule cannot be read")
	}
	return r, r.Validate()
}

// Validate names what is wrong with a rule, by field. Kind: fault.Invalid.
func (r FeeRule) Validate() error {
	f := fault.Fields{}
	if r.PercentBP < 0 || r.PercentBP > maxPercentBP {
		f["percent"] = "billing.fee.percent"
	}
	for name, v := range map[string]int64{"fixed": r.Fixed, "min": r.Min, "cap": r.Cap} {
		if v < 0 {
			f[name] = "billing.fee.amount"
		}
	}
	if r.Cap > 0 && r.Min > r.Cap {
		f["cap"] = "billing.fee.cap"
	}
	last := int64(0)
	for _, t := range r.Tiers {
		if t.UpTo <= last || t.PercentBP < 0 || t.PercentBP > maxPercentBP || t.Fixed < 0 {
			f["tiers"] = "billing.fee.tiers"
		}
		last = t.UpTo
	}
	if r.Currency != "" && !money.Valid(r.Currency) {
		f["currency"] = "billing.fee.currency"
	}
	return fault.Invalids(f)
}

// Split divides a price between the platform (fee) and the board's owner, in
// minor units. The percentage is rounded half up to the minor unit, then the
// fixed amount is added, then Min and Cap are applied; the fee is never
// negative and never more than the amount, and fee + owner is the amount.
func Split(amount int64, currency string, r FeeRule) (fee, owner int64) {
	if amount <= 0 {
		return 0, max(0, amount)
	}
	percent, fixed, least, most := r.PercentBP, r.Fixed, r.Min, r.Cap
	if r.Currency != "" && !strings.EqualFold(r.Currency, currency) {
		fixed, least, most = 0, 0, 0
	} else {
		for _, t := range r.Tiers {
			if amount <= t.UpTo {
				percent, fixed = t.PercentBP, t.Fixed
				break
			}
		}
	}
	percent = min(max(percent, 0), maxPercentBP)
	// In two parts, so that no amount overflows.
	fee = amount/maxPercentBP*percent + (amount%maxPercentBP*percent+maxPercentBP/2)/maxPercentBP
	if fixed = max(fixed, 0); fixed > math.MaxInt64-fee {
		fee = math.MaxInt64
	} else {
		fee += fixed
	}
	fee = max(fee, least)
	if most > 0 {
		fee = min(fee, most)
	}
	fee = min(max(fee, 0), amount)
	return fee, amount - fee
}

// feeWords are the phrases of Describe by language.
var feeWords = map[string]struct{ none, and, least, most, upTo, above string }{
	"en": {"no fee", " + ", "at least ", "at most ", "up to ", "above"},
	"de": {"keine Gebühr", " + ", "mindestens ", "höchstens ", "bis ", "darüber"},
}

// Describe says a rule in a short line: "10 % + $0.50, at least $5.00". Rule
// amounts are shown in currency, the board's.
func Describe(r FeeRule, currency, locale string) string {
	lang, _, _ := strings.Cut(locale, "-")
	w, ok := feeWords[lang]
	if !ok {
		w = feeWords["en"]
	}
	if r.Currency != "" {
		currency = r.Currency
	}
	part := func(bp, fixed int64) string {
		var parts []string
		if bp > 0 {
			parts = append(parts, percent(bp, lang))
		}
		if fixed > 0 {
			parts = append(parts, money.Format(fixed, currency, locale))
		}
		if len(parts) == 0 {
			return w.none
		}
		return strings.Join(parts, w.and)
	}
	var out []string
	for _, t := range r.Tiers {
		out = append(out, w.upTo+money.Short(t.UpTo, currency, locale)+": "+part(t.PercentBP, t.Fixed))
	}
	base := part(r.PercentBP, r.Fixed)
	if len(r.Tiers) > 0 {
		base = w.above + ": " + base
	}
	out = append(out, base)
	if r.Min > 0 {
		out = append(out, w.least+money.Format(r.Min, currency, locale))
	}
	if r.Cap > 0 {
		out = append(out, w.most+money.Format(r.Cap, currency, locale))
	}
	return strings.Join(out, ", ")
}

func percent(bp int64, lang string) string {
	s := strconv.FormatFloat(float64(bp)/100, 'f', -1, 64)
	if lang == "de" {
		return strings.ReplaceAll(s, ".", ",") + "\u00a0%"
	}
	return s + "%"
}
