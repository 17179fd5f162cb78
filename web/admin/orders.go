package admin

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/billing"
	"shingle/internal/fault"
	"shingle/internal/money"
	"shingle/tenant"
	"shingle/web/console"
	"shingle/web/route"
)

var orderStates = []string{string(billing.Open), string(billing.Processing), string(billing.Paid), string(billing.Refunded), string(billing.Cancelled)}

func orderFilter(c *gin.Context) billing.Filter {
	return billing.Filter{Text: strings.TrimSpace(c.Query("q")), State: billing.OrderState(c.Query("state")), Page: route.Page(c), PerPage: pageSize}
}

func (a *Admin) orders(c *gin.Context) error {
	f := orderFilter(c)
	var rows []billing.Line
	total := 0
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		rows, total, err = a.Billing.Orders(ctx, tx, f)
		return err
	})
	if err != nil {
		return err
	}
	var actions []console.Link
	if total > 0 {
		actions = append(actions, console.Link{Label: a.t(c, "shell.csv"), URL: "/admin/orders.csv?" + c.Request.URL.RawQuery, Icon: "download"})
	}
	return a.render(c, http.StatusOK, "orders", a.t(c, "admin.nav.orders"), map[string]any{"Rows": rows, "Q": f.Text, "State": string(f.State),
		"States": orderStates, "Pager": console.Pager(f.Page, pageSize, total, c.Request.URL.Query())}, actions...)
}

// maxExport is how many orders one file holds.
const maxExport = 20_000

func (a *Admin) ordersCSV(c *gin.Context) error {
	f := orderFilter(c)
	f.PerPage = 200
	zone := tenant.From(c.Request.Context()).Location()
	out := [][]string{{"number", "placed", "paid", "state", "listing", "company", "email", "product", "currency", "amount", "platform_fee", "owner", "refunded", "invoice", "stripe_payment"}}
	err := a.read(c, func(ctx context.Context, tx bun.IDB) error {
		for f.Page = 1; len(out) <= maxExport; f.Page++ {
			rows, _, err := a.Billing.Orders(ctx, tx, f)
			if err != nil || len(rows) == 0 {
				return err
			}
			for i := range rows {
				o := &rows[i]
				out = append(out, []string{strconv.FormatInt(o.Number, 10), stamp(&o.CreatedAt, zone), stamp(o.PaidAt, zone), string(o.State), o.ListingTitle, o.CompanyName,
					o.Email, o.Product.Name, o.Currency, money.Plain(o.Amount, o.Currency), money.Plain(o.Fee, o.Currency), money.Plain(o.Owner(), o.Currency),
					money.Plain(o.RefundedAmount, o.Currency), o.InvoiceNumber, o.PaymentIntent})
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return download(c, "orders", out)
}

func stamp(t *time.Time, zone *time.Location) string {
	if t == nil {
		return ""
	}
	return t.In(zone).Format("2006-01-02 15:04")
}

func (a *Admin) order(c *gin.Context) error { return a.showOrder(c, http.StatusOK, "", nil) }

func (a *Admin) showOrder(c *gin.Context, status int, reason string, errs map[string]string) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	var d *billing.Detail
	err = a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		d, err = a.Billing.OrderDetail(ctx, tx, id)
		return err
	})
	if err != nil {
		return err
	}
	t := tenant.From(c.Request.Context())
	for i := range d.Timeline {
		d.Timeline[i].At = d.Timeline[i].At.In(t.Location())
	}
	waits := false
	for _, r := range d.Refunds {
		waits = waits || r.Kind == "order" && (r.State == "asked" || r.State == "pending")
	}
	return a.renderUnder(c, status, "order", a.t(c, "order.title", strconv.FormatInt(d.Number, 10)), console.Link{Label: a.t(c, "admin.nav.orders"), URL: "/admin/orders"}, map[string]any{
		"O": d, "Rule": billing.Describe(d.FeeRule, d.Currency, a.locale(c)), "Errors": errs, "Reason": reason, "Left": d.Amount - d.RefundedAmount,
		"CanRefund": d.Refundable() && !waits && a.may(c, "order", "refund"), "Waits": waits})
}

// refundOrder asks for the whole payment back, with the platform's fee.
func (a *Admin) refundOrder(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	reason := strings.TrimSpace(c.PostForm("reason"))
	switch {
	case reason == "":
		err = fault.Invalids(fault.Fields{"reason": "order.refund.reason_required"})
	case len([]rune(reason)) > 300:
		err = fault.Invalids(fault.Fields{"reason": "order.refund.reason_long"})
	default:
		err = a.act(c, authz.Act{Act: "order.refund", ObjectKind: "order", ObjectID: id.String(), Detail: map[string]any{"reason": reason}},
			func(ctx context.Context, tx bun.IDB) error {
				_, err := a.Billing.AskRefund(ctx, tx, id, reason)
				return err
			})
	}
	if fault.Is(err, fault.Conflict) {
		return a.showOrder(c, statusOf(err), reason, map[string]string{"form": a.t(c, "order.refund.not")})
	}
	if refused(err) {
		return a.showOrder(c, statusOf(err), reason, a.errors(c, err))
	}
	if err != nil {
		return err
	}
	return a.back(c, "/admin/orders/"+id.String(), "order.refund_asked")
}
