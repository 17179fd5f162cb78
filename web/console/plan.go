package console

import (
	"strconv"
	"strings"

	"shingle/billing"
	"shingle/billing/plans"
	"shingle/internal/money"
)

// PlanLines are a plan's limits, features and fee as lines of its card.
func (s *Shell) PlanLines(locale string, p *plans.Plan) []string {
	var out []string
	for _, w := range plans.Limited {
		n, ok := p.Limit(w)
		switch {
		case ok:
			out = append(out, s.T(locale, "plan.upto."+w, n, plans.Amount(w, n, locale)))
		case w == plans.Listings:
			out = append(out, s.T(locale, "plan.unlimited."+w))
		}
	}
	for _, f := range plans.Features {
		if p.Has(f) {
			out = append(out, s.T(locale, "plan.feature."+f))
		}
	}
	return append(out, s.T(locale, "plan.fee_line", FeeLine(p.FeeRule, locale)))
}

// FeeLine is the platform's share in a word: its percentage, and what is fixed.
func FeeLine(r billing.FeeRule, locale string) string {
	text := strconv.FormatFloat(float64(r.PercentBP)/100, 'f', -1, 64)
	if Locale(locale) == "de" {
		text = strings.ReplaceAll(text, ".", ",")
	}
	text += " %"
	if r.Fixed > 0 && r.Currency != "" {
		text += " + " + money.Format(r.Fixed, r.Currency, locale)
	}
	return text
}

// UseRow is a line of what a board uses.
type UseRow struct {
	plans.Use
	Label string
	// Amount and Most are Used and Limit as people read them.
	Amount, Most string
	// Bar is the used part in percent, 100 at most.
	Bar int
	// Class says how full it is: "", "near" from 80, "full" at the limit.
	Class string
}

// Uses are what a board uses, for pages.
func (s *Shell) Uses(locale string, use []plans.Use) []UseRow {
	out := make([]UseRow, len(use))
	for i, u := range use {
		out[i] = UseRow{Use: u, Label: s.T(locale, "plan.what."+u.What), Amount: plans.Amount(u.What, u.Used, locale), Bar: min(u.Percent(), 100)}
		if u.Limited {
			out[i].Most = plans.Amount(u.What, u.Limit, locale)
		}
		if u.Percent() >= 100 {
			out[i].Class = "full"
		} else if u.Percent() >= 80 {
			out[i].Class = "near"
		}
	}
	return out
}
