package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/billing"
	"shingle/internal/fault"
	"shingle/internal/money"
	"shingle/tenant"
	"shingle/web/route"
)

// month is the span of a statement: the asked one, else the present.
func (a *Admin) month(c *gin.Context) (from, to time.Time) {
	zone := tenant.From(c.Request.Context()).Location()
	from, err := time.ParseInLocation("2006-01", c.Query("month"), zone)
	if err != nil {
		now := a.Now().In(zone)
		from = time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, zone)
	}
	return from, from.AddDate(0, 1, 0)
}

// months are those since the board began, newest first, a year at most.
func (a *Admin) months(c *gin.Context) []string {
	t := tenant.From(c.Request.Context())
	now := a.Now().In(t.Location())
	at := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, t.Location())
	var out []string
	for range 13 {
		out = append(out, at.Format("2006-01"))
		if at.Before(t.CreatedAt) {
			break
		}
		at = at.AddDate(0, -1, 0)
	}
	return out
}

// payouts shows how the board's Stripe account stands and what its sales
// brought. Who comes back from Stripe's form gets the account's new state.
func (a *Admin) payouts(c *gin.Context) error {
	if c.Query("back") != "" {
		done := "payout.refreshed"
		if _, err := a.Billing.RefreshAccount(c.Request.Context()); fault.Is(err, fault.Unavailable) {
			done = "payout.later"
		} else if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		return a.back(c, "/admin/payouts", done)
	}
	return a.showPayouts(c, http.StatusOK, "")
}

func (a *Admin) showPayouts(c *gin.Context, status int, problem string) error {
	from, to := a.month(c)
	var sell billing.Sell
	var all, span []billing.Balance
	var lines []billing.Entry
	var checks []billing.Reconciliation
	var unbalanced []string
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		if sell, err = a.Billing.CanSell(ctx, tx); err != nil {
			return err
		}
		if all, err = a.Billing.Balances(ctx, tx, time.Time{}, time.Time{}); err != nil {
			return err
		}
		if span, err = a.Billing.Balances(ctx, tx, from, to); err != nil {
			return err
		}
		if lines, err = a.Billing.Statement(ctx, tx, from, to); err != nil {
			return err
		}
		if checks, err = a.Billing.Reconciliations(ctx, tx, 5); err != nil {
			return err
		}
		unbalanced, err = a.Billing.Unbalanced(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	const shown = 500
	more := max(0, len(lines)-shown)
	lines = lines[:min(len(lines), shown)]
	zone := tenant.From(c.Request.Context()).Location()
	for i := range lines {
		lines[i].At = lines[i].At.In(zone)
	}
	return a.render(c, status, "payouts", a.t(c, "admin.nav.payouts"), map[string]any{"Sell": sell, "All": all, "Span": span, "Lines": lines, "More": more,
		"Month": from.Format("2006-01"), "Months": a.months(c), "Checks": checks, "Unbalanced": unbalanced, "Problem": problem,
		"CanOnboard": a.may(c, "payout", "onboard")})
}

func (a *Admin) statementCSV(c *gin.Context) error {
	from, to := a.month(c)
	var lines []billing.Entry
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		lines, err = a.Billing.Statement(ctx, tx, from, to)
		return err
	})
	if err != nil {
		return err
	}
	zone := tenant.From(c.Request.Context()).Location()
	out := [][]string{{"at", "transaction", "account", "currency", "amount", "order"}}
	for _, l := range lines {
		order := ""
		if l.OrderID != nil {
			order = l.OrderID.String()
		}
		out = append(out, []string{stamp(&l.At, zone), l.Txn, l.Account, l.Currency, money.Plain(l.Amount, l.Currency), order})
	}
	return download(c, "statement-"+from.Format("2006-01"), out)
}

// onboard opens Stripe's form; its address works once, so it is made anew each
// time.
func (a *Admin) onboard(c *gin.Context) error {
	t := tenant.From(c.Request.Context())
	to, err := a.Billing.Onboard(c.Request.Context(), a.Links.Console(t, "/admin/payouts?back=1"), a.Links.Console(t, "/admin/payouts?ok=payout.again"))
	if fault.Is(err, fault.Unavailable) || refused(err) {
		return a.showPayouts(c, route.Status(err), a.t(c, "payout.unavailable"))
	}
	if err != nil {
		return err
	}
	err = a.act(c, authz.Act{Act: "payout.onboard", ObjectKind: "board", ObjectID: t.ID.String()}, func(context.Context, bun.IDB) error { return nil })
	if err != nil {
		return err
	}
	c.Redirect(http.StatusSeeOther, to)
	return nil
}

func (a *Admin) stripeDashboard(c *gin.Context) error {
	to, err := a.Billing.Dashboard(c.Request.Context())
	if fault.Is(err, fault.Unavailable) || refused(err) {
		return a.showPayouts(c, route.Status(err), a.t(c, "payout.unavailable"))
	}
	if err != nil {
		return err
	}
	c.Redirect(http.StatusSeeOther, to)
	return nil
}

// reconcile compares the last 30 days with Stripe now; the nightly task does so
// by itself.
func (a *Admin) reconcile(c *gin.Context) error {
	now := a.Now()
	r, err := a.Billing.Reconcile(c.Request.Context(), now.AddDate(0, 0, -30), now)
	if fault.Is(err, fault.Unavailable) {
		return a.showPayouts(c, route.Status(err), a.t(c, "payout.unavailable"))
	}
	if err != nil {
		return err
	}
	err = a.act(c, authz.Act{Act: "payout.reconciled", ObjectKind: "reconciliation", ObjectID: r.ID.String(),
		Detail: map[string]any{"matched": r.Matched, "differences": len(r.Differences)}}, func(context.Context, bun.IDB) error { return nil })
	if err != nil {
		return err
	}
	return a.back(c, "/admin/payouts", "payout.reconciled")
}
