package admin

import (
	"context"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/billing"
	"shingle/internal/money"
	"shingle/listings"
	"shingle/tenant"
	"shingle/web/console"
)

// window is what the figures of the dashboard are about.
const window = 30

// figure is a number with its change against the window before.
type figure struct {
	Label, URL, Value, Note string
}

// need is something that waits for somebody.
type need struct {
	Text, URL, Icon string
}

// dashboard shows what needs somebody first, then how the board does.
func (a *Admin) dashboard(c *gin.Context) error {
	ctx := c.Request.Context()
	t, now := tenant.From(ctx), a.Now()
	chart := c.Query("chart")
	if chart != "applications" {
		chart = "listings"
	}
	var f *figures
	var steps *launchSteps
	var days []dayCount
	var sell billing.Sell
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		if f, err = readFigures(ctx, tx, now); err != nil {
			return err
		}
		if days, err = readDays(ctx, tx, chart, now); err != nil {
			return err
		}
		if sell, err = a.Billing.CanSell(ctx, tx); err != nil {
			return err
		}
		steps, err = readLaunchSteps(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	if a.Domains != nil && a.may(c, "domain", "read") {
		if f.Domains, err = a.Domains.Trouble(ctx); err != nil {
			return err
		}
	}
	labels, values := make([]string, len(days)), make([]int, len(days))
	for i, d := range days {
		labels[i], values[i] = console.ShortDay(a.locale(c), d.Day), d.Count
	}
	list := a.checklist(c, steps, f.PaidProducts > 0, sell)
	data := map[string]any{"Needs": a.needs(c, f, sell), "Figures": a.figures(c, t, f), "Chart": chart, "Labels": labels, "Values": values,
		"Launch": list, "ShowLaunch": !steps.Dismissed, "CanDismiss": list.Ready && a.may(c, "settings", "write")}
	var actions []console.Link
	if a.may(c, "listing", "write") {
		actions = append(actions, console.Link{Label: a.t(c, "work.listings.new"), URL: "/admin/listings/new", Icon: "plus"})
	}
	return a.render(c, http.StatusOK, "dashboard", a.t(c, "admin.nav.dashboard"), data, actions...)
}

// number is a count with its thousands set apart.
func number(locale string, n int64) string {
	sep := ","
	if locale == "de" {
		sep = "."
	}
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + sep + s[i:]
	}
	return s
}

// percent is part of whole, rounded.
func percent(locale string, part, whole int64) string {
	n := strconv.FormatInt((200*part+whole)/(2*whole), 10)
	if locale == "de" {
		return n + " %"
	}
	return n + "%"
}

func (a *Admin) needs(c *gin.Context, f *figures, sell billing.Sell) (out []need) {
	add := func(when bool, object, action, text, url, icon string) {
		if when && a.may(c, object, action) {
			out = append(out, need{text, url, icon})
		}
	}
	add(f.Review > 0, "listing", "moderate", a.t(c, "work.need.review", f.Review), "/admin/review", "checklist")
	add(f.Reports > 0, "report", "read", a.t(c, "work.need.reports", f.Reports), "/admin/reports", "flag")
	add(f.FailedPayments > 0, "order", "read", a.t(c, "work.need.payments", f.FailedPayments), "/admin/orders?state=open", "credit-card")
	add(f.FailedRefunds > 0, "order", "read", a.t(c, "work.need.refunds", f.FailedRefunds), "/admin/orders?state=paid", "receipt")
	add(f.Domains > 0, "domain", "read", a.t(c, "work.need.domains", f.Domains), "/admin/domains", "world")
	add(!sell.OK && f.PaidProducts > 0, "payout", "read", a.t(c, "work.need.stripe."+sell.Reason), "/admin/payouts", "coin")
	return out
}

// figures are the numbers as cards; money only for who may see orders.
func (a *Admin) figures(c *gin.Context, t *tenant.Tenant, f *figures) []figure {
	locale := a.locale(c)
	change := func(n, before int64) string {
		switch {
		case before == 0 && n == 0:
			return a.t(c, "work.change.none")
		case before == 0:
			return a.t(c, "work.change.first")
		case n == before:
			return a.t(c, "work.change.same")
		case n >= 10*before:
			return a.t(c, "work.change.tenfold")
		case n > before:
			return a.t(c, "work.change.up", percent(locale, n-before, before))
		}
		return a.t(c, "work.change.down", percent(locale, before-n, before))
	}
	out := []figure{
		{a.t(c, "work.figure.live"), "/admin/listings?state=" + string(listings.Live), number(locale, f.Live), change(f.Live, f.LiveBefore)},
		{a.t(c, "work.figure.applications"), "/admin/listings?sort=-applications", number(locale, f.Applications), change(f.Applications, f.ApplicationsBefore)},
	}
	if a.may(c, "order", "read") {
		out = append(out,
			figure{a.t(c, "work.figure.orders"), "/admin/orders", number(locale, f.Orders), change(f.Orders, f.OrdersBefore)},
			figure{a.t(c, "work.figure.revenue", t.Currency), "/admin/orders?state=paid", money.Format(f.Revenue, t.Currency, locale), change(f.Revenue, f.RevenueBefore)})
	}
	return out
}
