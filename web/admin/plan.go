package admin

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/billing/plans"
	"shingle/internal/fault"
	"shingle/tenant"
	"shingle/web/console"
	"shingle/web/route"
)

// planRoutes are what the board itself pays the platform.
func (a *Admin) planRoutes() []route.Route {
	const GET, POST = route.GET, route.POST
	read, manage := authz.Can("plan", "read"), authz.Can("plan", "manage")
	return []route.Route{
		{Method: GET, Path: "/admin/plan", Handle: a.plan, Can: read},
		{Method: GET, Path: "/admin/plan/change", Handle: a.previewPlan, Can: manage},
		{Method: POST, Path: "/admin/plan/subscribe", Handle: a.subscribe, Can: manage, StepUp: true},
		{Method: POST, Path: "/admin/plan/change", Handle: a.changePlan, Can: manage, StepUp: true},
		{Method: POST, Path: "/admin/plan/cancel", Handle: a.cancelPlan, Can: manage, StepUp: true},
		{Method: POST, Path: "/admin/plan/keep", Handle: a.keepPlan, Can: manage, StepUp: true},
		{Method: POST, Path: "/admin/plan/portal", Handle: a.planPortal, Can: manage, StepUp: true},
	}
}

// stillOpen are the writes that a read-only console goes on taking: paying, and
// what is owed to others: employers who have paid get their review or their
// money back, and reports of a listing are acted on. The board's data can be taken along,
// and who lets support in may need it most now.
var stillOpen = []authz.Permission{authz.SignedIn, authz.Can("plan", "manage"), authz.Can("listing", "moderate"), authz.Can("report", "write"), authz.Can("order", "refund"), authz.Can("board", "export"), authz.Can("support", "manage")}

// readOnly refuses a write on a board that is so far down the ladder.
func readOnly(c *gin.Context, can authz.Permission) error {
	t := tenant.From(c.Request.Context())
	if t.PlanStep == "" || c.Request.Method == http.MethodGet || c.Request.Method == http.MethodHead || !plans.Step(t.PlanStep).At(plans.ReadOnly) || slices.Contains(stillOpen, can) {
		return nil
	}
	return fault.New(fault.Forbidden, "plan.read_only")
}

// planBanner is what stands above every page of a board that owes, or whose
// trial ends within a week.
func (a *Admin) planBanner(c *gin.Context, b *plans.Board) string {
	if b == nil {
		return ""
	}
	locale := a.locale(c)
	if b.Step != plans.Paid {
		text := a.t(c, "plan.banner."+string(b.Step))
		for _, next := range a.Plans.Ahead(b) {
			return text + " " + a.t(c, "plan.next."+string(next.Step), console.Date(locale, &next.DueAt))
		}
		return text
	}
	if left := b.TrialDaysLeft(a.Plans.Now()); left > 0 && left <= 7 && !b.Subscribed() {
		return a.t(c, "plan.banner.trial", left)
	}
	return ""
}

// planCard is an offered plan as this board sees it.
type planCard struct {
	*plans.Plan
	Price   *plans.Price
	Line    string
	Limits  []string
	Present bool // what the board pays now, or tries
	Same    bool // the very price that it pays
	Next    bool
	Act     string // the button's words; "" for none
}

func (a *Admin) plan(c *gin.Context) error {
	ctx := c.Request.Context()
	if c.Query("back") != "" { // from a page of Stripe's
		done := "plan.refreshed"
		if _, err := a.Plans.Sync(ctx, tenant.From(ctx).ID); fault.Is(err, fault.Unavailable) {
			done = "plan.later"
		} else if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		return a.back(c, "/admin/plan", done)
	}
	return a.showPlan(c, http.StatusOK, "")
}

func (a *Admin) showPlan(c *gin.Context, status int, problem string) error {
	ctx, locale := c.Request.Context(), a.locale(c)
	t := tenant.From(ctx)
	var st *plans.Standing
	var use []plans.Use
	var bills []plans.Invoice
	var steps []plans.Taken
	var views []plans.Day
	var held *plans.Held
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		if st, err = a.Plans.Standing(ctx, tx); err != nil {
			return err
		}
		if use, err = a.Plans.Usage(ctx, tx, t.ID); err != nil {
			return err
		}
		if bills, err = a.Plans.Invoices(ctx, tx, t.ID, 24); err != nil {
			return err
		}
		if views, err = a.Plans.Days(ctx, tx, t.ID, plans.Views, 30); err != nil {
			return err
		}
		if held, err = a.Plans.HeldMails(ctx, tx, t.ID); err != nil {
			return err
		}
		steps, err = a.Plans.Steps(ctx, tx, t.ID)
		slices.Reverse(steps) // on the page they lead to those still ahead
		return err
	})
	if err != nil {
		return err
	}
	offered, err := a.Plans.Offered(ctx)
	if err != nil {
		return err
	}
	every := c.Query("every")
	if every != plans.Month && every != plans.Year {
		every = plans.Month
		if st.Board != nil && st.Board.Every == plans.Year {
			every = plans.Year
		}
	}
	labels, values := make([]string, len(views)), make([]int64, len(views))
	for i, d := range views {
		labels[i], values[i] = console.Date(locale, &d.Day), d.Amount
	}
	var open *plans.Invoice
	for i := range bills {
		if bills[i].Open() && bills[i].URL != "" {
			open = &bills[i]
		}
	}
	return a.render(c, status, "plan", a.t(c, "admin.nav.plan"), map[string]any{"St": st, "Use": a.shell.Uses(locale, use), "Bills": bills, "Steps": steps, "Ahead": a.Plans.Ahead(st.Board),
		"Cards": a.planCards(c, st, offered, every), "Every": every, "Labels": labels, "Values": values, "Open": open, "Problem": problem,
		"Held": held, "Again": plans.NextMonth(a.Plans.Now()), "Demo": t.Demo, "Left": trialLeft(st.Board, a.Plans.Now()), "CanManage": a.may(c, "plan", "manage")})
}

func trialLeft(b *plans.Board, now time.Time) int {
	if b == nil {
		return 0
	}
	return b.TrialDaysLeft(now)
}

// planCards are the plans to choose from, with what each button would do.
func (a *Admin) planCards(c *gin.Context, st *plans.Standing, offered []plans.Plan, every string) []planCard {
	t, locale := tenant.From(c.Request.Context()), a.locale(c)
	currency := t.Currency
	b := st.Board
	if b != nil && b.Subscribed() && b.Currency != "" {
		currency = b.Currency
	}
	var out []planCard
	for i := range offered {
		p := &offered[i]
		card := planCard{Plan: p, Price: p.Price(every, currency), Line: p.Line(locale), Limits: a.shell.PlanLines(locale, p)}
		if card.Price == nil {
			continue
		}
		if b != nil {
			card.Present = p.ID == b.PlanID
			card.Same = b.PriceID != nil && *b.PriceID == card.Price.ID
			card.Next = b.NextPriceID != nil && *b.NextPriceID == card.Price.ID
			switch {
			case t.Demo || b.State == plans.Comped:
			case !b.Subscribed():
				card.Act = "subscribe"
			case !card.Same && !card.Next && card.Price.Currency == b.Currency && b.State != plans.PastDue:
				card.Act = "change"
			}
		}
		out = append(out, card)
	}
	return out
}

// onPlan answers an act with its page of Stripe's, the notice, or the reason why not.
func (a *Admin) onPlan(c *gin.Context, act string, detail map[string]any, to string, err error) error {
	t := tenant.From(c.Request.Context())
	if err == nil && act != "" {
		err = a.act(c, authz.Act{Act: act, ObjectKind: "board", ObjectID: t.ID.String(), Detail: detail}, func(context.Context, bun.IDB) error { return nil })
	}
	if fault.Is(err, fault.Unavailable) {
		return a.showPlan(c, http.StatusServiceUnavailable, a.t(c, "plan.unavailable"))
	}
	if refused(err) {
		text := a.shell.Text(a.locale(c), fault.TextOf(err))
		if text == fault.TextOf(err) { // what billing says is for the log
			text = a.t(c, "plan.refused")
		}
		return a.showPlan(c, route.Status(err), text)
	}
	if err != nil {
		return err
	}
	return route.SeeOther(c, to)
}

func priceID(c *gin.Context, text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil {
		return id, fault.New(fault.NotFound, "price not found")
	}
	return id, nil
}

// subscribe sends the owner to Stripe's page.
func (a *Admin) subscribe(c *gin.Context) error {
	t := tenant.From(c.Request.Context())
	id, err := priceID(c, c.PostForm("price"))
	if err != nil {
		return err
	}
	if t.Demo {
		return fault.New(fault.Forbidden, "plan.demo")
	}
	to, err := a.Plans.Subscribe(c.Request.Context(), t.ID, id, a.Links.Console(t, "/admin/plan?back=1"), a.Links.Console(t, "/admin/plan"))
	return a.onPlan(c, "plan.checkout", map[string]any{"price": id.String()}, to, err)
}

// previewPlan shows what a change costs before anything is charged.
func (a *Admin) previewPlan(c *gin.Context) error {
	ctx := c.Request.Context()
	id, err := priceID(c, c.Query("price"))
	if err != nil {
		return err
	}
	v, err := a.Plans.Preview(ctx, tenant.From(ctx).ID, id)
	if err != nil {
		return a.onPlan(c, "", nil, "", err)
	}
	offered, err := a.Plans.Offered(ctx)
	if err != nil {
		return err
	}
	var st *plans.Standing
	if err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) { st, err = a.Plans.Standing(ctx, tx); return err }); err != nil {
		return err
	}
	name := ""
	for i := range offered {
		if offered[i].ID == v.To.PlanID {
			name = offered[i].Name
		}
	}
	if name == "" && st.Plan != nil && st.Plan.ID == v.To.PlanID {
		name = st.Plan.Name
	}
	return a.render(c, http.StatusOK, "plan_change", a.t(c, "plan.change.title", name), map[string]any{"V": v, "Name": name, "From": st.Plan.Name, "When": v.When.Unix()})
}

func (a *Admin) changePlan(c *gin.Context) error {
	ctx := c.Request.Context()
	id, err := priceID(c, c.PostForm("price"))
	if err != nil {
		return err
	}
	var when time.Time
	if sec, perr := strconv.ParseInt(c.PostForm("when"), 10, 64); perr == nil {
		when = time.Unix(sec, 0)
	}
	_, err = a.Plans.Change(ctx, tenant.From(ctx).ID, id, when)
	return a.onPlan(c, "plan.changed", map[string]any{"price": id.String()}, "/admin/plan?ok=plan.changed", err)
}

func (a *Admin) cancelPlan(c *gin.Context) error {
	_, err := a.Plans.Cancel(c.Request.Context(), tenant.From(c.Request.Context()).ID)
	return a.onPlan(c, "plan.cancelled", nil, "/admin/plan?ok=plan.cancelled", err)
}

func (a *Admin) keepPlan(c *gin.Context) error {
	_, err := a.Plans.Undo(c.Request.Context(), tenant.From(c.Request.Context()).ID)
	return a.onPlan(c, "plan.kept", nil, "/admin/plan?ok=plan.kept", err)
}

func (a *Admin) planPortal(c *gin.Context) error {
	t := tenant.From(c.Request.Context())
	to, err := a.Plans.Portal(c.Request.Context(), t.ID, a.Links.Console(t, "/admin/plan?back=1"))
	return a.onPlan(c, "", nil, to, err)
}
