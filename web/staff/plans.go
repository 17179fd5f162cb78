package staff

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/billing/plans"
	"shingle/internal/fault"
	"shingle/internal/money"
	"shingle/tenant"
	"shingle/web/console"
	"shingle/web/route"
)

// planRoutes are the plans that are sold, and what staff do with a board's.
func (s *Staff) planRoutes() []route.Route {
	const GET, POST = route.GET, route.POST
	read, write := authz.Can("plan", "read"), authz.Can("plan", "write")
	return []route.Route{
		{Method: GET, Path: "/staff/plans", Handle: s.plans, Can: read},
		{Method: GET, Path: "/staff/plans.csv", Handle: route.Download(s.Limits, s.plansCSV), Can: read, StepUp: true},
		{Method: GET, Path: "/staff/plans/new", Handle: s.newPlan, Can: write},
		{Method: POST, Path: "/staff/plans", Handle: s.savePlan, Can: write, StepUp: true},
		{Method: GET, Path: "/staff/plans/edit/:id", Handle: s.editPlan, Can: read},
		{Method: POST, Path: "/staff/plans/edit/:id", Handle: s.savePlan, Can: write, StepUp: true},
		{Method: POST, Path: "/staff/plans/edit/:id/archive", Handle: s.archivePlan, Can: write, StepUp: true},
		{Method: POST, Path: "/staff/boards/:id/plan", Handle: s.assignPlan, Can: write, StepUp: true},
		{Method: POST, Path: "/staff/boards/:id/comp", Handle: s.compBoard, Can: write, StepUp: true},
		{Method: POST, Path: "/staff/boards/:id/comp-end", Handle: s.endComp, Can: write, StepUp: true},
		{Method: POST, Path: "/staff/boards/:id/trial", Handle: s.extendTrial, Can: write, StepUp: true},
		{Method: POST, Path: "/staff/boards/:id/credit", Handle: s.creditBoard, Can: write, StepUp: true},
		{Method: POST, Path: "/staff/boards/:id/delete", Handle: s.deleteBoard, Can: authz.Can("board", "delete"), StepUp: true},
	}
}

// planCurrencies are offered for prices, besides those that a plan has.
var planCurrencies = []string{"USD", "EUR", "GBP"}

type planRow struct {
	plans.Plan
	Lines []string
}

func (s *Staff) plans(c *gin.Context) error {
	var list []plans.Plan
	var worth []plans.Worth
	err := s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		if list, err = s.Plans.All(ctx, tx); err != nil {
			return err
		}
		worth, err = s.Plans.MRR(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	rows := make([]planRow, len(list))
	for i := range list {
		rows[i] = planRow{list[i], s.shell.PlanLines(s.locale(c), &list[i])}
	}
	actions := []console.Link{s.csvLink(c, "/staff/plans.csv")}
	if s.Allowed(c, authz.Can("plan", "write")) {
		actions = append(actions, console.Link{Label: s.t(c, "staff.plans.new"), URL: "/staff/plans/new", Icon: "plus"})
	}
	return s.render(c, http.StatusOK, "plans", s.t(c, "staff.nav.plans"), map[string]any{"Rows": rows, "Worth": worth}, actions...)
}

func (s *Staff) newPlan(c *gin.Context) error {
	return s.planForm(c, http.StatusOK, nil, url.Values{"trial_days": {"14"}, "percent": {"10"}, "listed": {"1"}}, nil)
}

func (s *Staff) editPlan(c *gin.Context) error {
	p, err := s.planOf(c)
	if err != nil {
		return err
	}
	return s.planForm(c, http.StatusOK, p, s.planValues(p, s.locale(c)), nil)
}

func (s *Staff) planOf(c *gin.Context) (*plans.Plan, error) {
	id, err := uuid.Parse(c.Param("id"))
	if err != nil {
		return nil, fault.New(fault.NotFound, "plan not found")
	}
	var p *plans.Plan
	err = s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		p, err = s.Plans.Plan(ctx, tx, id)
		return err
	})
	return p, err
}

// planValues are a plan as its form shows it. Amounts of storage are in MB.
func (s *Staff) planValues(p *plans.Plan, locale string) url.Values {
	v := url.Values{}
	v.Set("name", p.Name)
	v.Set("tagline_en", p.Tagline["en"])
	v.Set("tagline_de", p.Tagline["de"])
	v.Set("trial_days", strconv.Itoa(p.TrialDays))
	v.Set("position", strconv.Itoa(p.Position))
	v.Set("percent", strconv.FormatFloat(float64(p.FeeRule.PercentBP)/100, 'f', -1, 64))
	if p.FeeRule.Currency != "" {
		v.Set("fee_currency", p.FeeRule.Currency)
		for name, n := range map[string]int64{"fixed": p.FeeRule.Fixed, "min": p.FeeRule.Min, "cap": p.FeeRule.Cap} {
			if n != 0 {
				v.Set(name, money.Plain(n, p.FeeRule.Currency))
			}
		}
	}
	if p.Listed {
		v.Set("listed", "1")
	}
	for what, n := range p.Limits {
		if what == plans.Storage {
			n >>= 20
		}
		v.Set("limit_"+what, strconv.FormatInt(n, 10))
	}
	for _, f := range p.Features {
		v.Set("feature_"+f, "1")
	}
	for _, q := range p.Prices {
		if q.Current {
			v.Set("price_"+q.Every+"_"+q.Currency, money.Plain(q.Amount, q.Currency))
		}
	}
	return v
}

func (s *Staff) planForm(c *gin.Context, status int, p *plans.Plan, v url.Values, errs map[string]string) error {
	title, currencies := s.t(c, "staff.plans.new"), slices.Clone(planCurrencies)
	if p != nil {
		title = p.Name
		for _, code := range p.Currencies() {
			if !slices.Contains(currencies, code) {
				currencies = append(currencies, code)
			}
		}
	}
	feeCurrencies := []console.Option{}
	for _, code := range currencies {
		feeCurrencies = append(feeCurrencies, console.Option{Value: code, Label: code, Selected: v.Get("fee_currency") == code})
	}
	return s.render(c, status, "plan", title, map[string]any{"P": p, "V": v, "Errors": errs, "Currencies": currencies, "FeeCurrencies": feeCurrencies, "Limits": plans.Limited, "Features": plans.Features,
		"CanWrite": s.Allowed(c, authz.Can("plan", "write"))})
}

// typedPlan reads the form. What cannot be read is named by its field.
func (s *Staff) typedPlan(c *gin.Context, p *plans.Plan) error {
	locale, f := s.locale(c), fault.Fields{}
	form := c.Request.PostForm
	p.Name, p.Listed = form.Get("name"), form.Get("listed") != ""
	p.Tagline = map[string]string{"en": strings.TrimSpace(form.Get("tagline_en")), "de": strings.TrimSpace(form.Get("tagline_de"))}
	whole := func(name, problem string) int64 {
		text := strings.TrimSpace(form.Get(name))
		if text == "" {
			return 0
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 || n > 1<<40 {
			f[name] = problem
		}
		return n
	}
	p.TrialDays, p.Position = int(whole("trial_days", "plan.trial.form")), int(whole("position", "plan.limit.form"))
	p.Limits, p.Features = plans.Limits{}, []string{}
	for _, what := range plans.Limited {
		if strings.TrimSpace(form.Get("limit_"+what)) == "" {
			continue
		}
		n := whole("limit_"+what, "plan.limit.form")
		if what == plans.Storage {
			n <<= 20
		}
		p.Limits[what] = n
	}
	for _, name := range plans.Features {
		if form.Get("feature_"+name) != "" {
			p.Features = append(p.Features, name)
		}
	}
	p.Prices = nil
	for name := range form {
		rest, ok := strings.CutPrefix(name, "price_")
		every, currency, _ := strings.Cut(rest, "_")
		if text := strings.TrimSpace(form.Get(name)); ok && text != "" {
			n, err := money.Parse(text, currency, locale)
			if err != nil {
				f[name] = "plan.price.form"
			}
			p.Prices = append(p.Prices, plans.Price{Every: every, Currency: currency, Amount: n, Current: true})
		}
	}
	slices.SortFunc(p.Prices, func(a, b plans.Price) int { return strings.Compare(a.Currency+a.Every, b.Currency+b.Every) })
	currency := form.Get("fee_currency")
	if !money.Valid(currency) {
		currency = "USD"
	}
	raw, err := feeRule(c, currency, locale)
	for name, text := range fault.FieldsOf(err) {
		f[name] = text
	}
	if err == nil {
		if err := json.Unmarshal(raw, &p.FeeRule); err != nil {
			return err
		}
		p.FeeRule.Currency = ""
		if p.FeeRule.Fixed != 0 || p.FeeRule.Min != 0 || p.FeeRule.Cap != 0 {
			p.FeeRule.Currency = currency
		}
	}
	for name, text := range fault.FieldsOf(p.Validate()) {
		if f[name] == "" {
			f[name] = text
		}
	}
	return fault.Invalids(f)
}

func (s *Staff) savePlan(c *gin.Context) error {
	p := &plans.Plan{}
	var old *plans.Plan
	if c.Param("id") != "" {
		var err error
		if old, err = s.planOf(c); err != nil {
			return err
		}
		p.ID = old.ID
	}
	if err := c.Request.ParseForm(); err != nil {
		return fault.Wrap(err, fault.Invalid, "the form could not be read")
	}
	err := s.typedPlan(c, p)
	if err == nil {
		act := "plan.created"
		if old != nil {
			act = "plan.edited"
		}
		err = s.Platform.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
			if err := s.Plans.Save(ctx, tx, p); err != nil {
				return err
			}
			return authz.Record(ctx, tx, authz.Act{Act: act, ObjectKind: "plan", ObjectID: p.ID.String(), Detail: map[string]any{"limits": p.Limits, "features": p.Features, "fee": p.FeeRule, "prices": p.Prices}})
		})
	}
	if fields := s.shell.Explain(s.locale(c), err); len(fields) > 0 {
		return s.planForm(c, http.StatusUnprocessableEntity, old, c.Request.PostForm, fields)
	}
	if err != nil {
		return err
	}
	return route.SeeOther(c, "/staff/plans?ok=plan.saved")
}

func (s *Staff) archivePlan(c *gin.Context) error {
	id, err := uuid.Parse(c.Param("id"))
	if err != nil {
		return fault.New(fault.NotFound, "plan not found")
	}
	archived := c.PostForm("archived") != ""
	act, done := "plan.archived", "plan.archived"
	if !archived {
		act, done = "plan.restored", "plan.restored"
	}
	err = s.Platform.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		if err := s.Plans.Archive(ctx, tx, id, archived); err != nil {
			return err
		}
		return authz.Record(ctx, tx, authz.Act{Act: act, ObjectKind: "plan", ObjectID: id.String()})
	})
	if err != nil {
		return err
	}
	return route.SeeOther(c, "/staff/plans?ok="+done)
}

// boardPlan is a board's plan on its page.
type boardPlan struct {
	St     *plans.Standing
	Use    []console.UseRow
	Steps  []plans.Taken
	Ahead  []plans.Taken
	Bills  []plans.Invoice
	Plans  []console.Option
	Once   string
	Credit string // the currency that a credit is in
}

func (s *Staff) readPlan(ctx context.Context, tx bun.IDB, b *boardPage, locale string) (*boardPlan, error) {
	var err error
	v := &boardPlan{Once: uuid.NewString(), Credit: b.Currency}
	if v.St, err = s.Plans.StandingOf(ctx, tx, b.ID); err != nil {
		return nil, err
	}
	use, err := s.Plans.Usage(ctx, tx, b.ID)
	if err != nil {
		return nil, err
	}
	v.Use = s.shell.Uses(locale, use)
	if v.Steps, err = s.Plans.Steps(ctx, tx, b.ID); err != nil {
		return nil, err
	}
	if v.Bills, err = s.Plans.Invoices(ctx, tx, b.ID, 6); err != nil {
		return nil, err
	}
	v.Ahead = s.Plans.Ahead(v.St.Board)
	all, err := s.Plans.All(ctx, tx)
	for _, p := range all {
		if p.ArchivedAt == nil || v.St.Plan != nil && v.St.Plan.ID == p.ID {
			v.Plans = append(v.Plans, console.Option{Value: p.ID.String(), Label: p.Name, Selected: v.St.Plan != nil && v.St.Plan.ID == p.ID})
		}
	}
	if v.St.Board != nil && v.St.Board.Currency != "" {
		v.Credit = v.St.Board.Currency
	}
	return v, err
}

// onBoard answers an act on a board's plan: its page again, or what is wrong.
func (s *Staff) onBoard(c *gin.Context, done string, fn func(ctx context.Context, board tenant.ID) error) error {
	id, err := tenant.ParseID(c.Param("id"))
	if err != nil {
		return fault.New(fault.NotFound, "board not found")
	}
	err = fn(c.Request.Context(), id)
	fields := s.shell.Explain(s.locale(c), err)
	if len(fields) == 0 && (fault.Is(err, fault.Conflict) || fault.Is(err, fault.Unavailable)) {
		text := s.shell.Text(s.locale(c), fault.TextOf(err))
		if fault.Is(err, fault.Unavailable) {
			text = s.t(c, "staff.plan.unavailable")
		}
		fields = map[string]string{"form": text}
	}
	if len(fields) > 0 {
		return s.showBoard(c, route.Status(err), fields, c.Request.PostForm)
	}
	if err != nil {
		return err
	}
	s.forget(c.Request.Context(), id)
	return route.SeeOther(c, "/staff/boards/"+id.String()+"?ok="+done)
}

// assignPlan puts a board on a plan: at once when it does not pay, else by the
// same change that its owner would make.
func (s *Staff) assignPlan(c *gin.Context) error {
	plan, err := uuid.Parse(c.PostForm("plan"))
	if err != nil {
		return fault.New(fault.NotFound, "plan not found")
	}
	return s.onBoard(c, "plan.assigned", func(ctx context.Context, board tenant.ID) error {
		err := s.Plans.Assign(ctx, board, plan)
		if !fault.Is(err, fault.Conflict) {
			return err
		}
		return s.Plans.ChangeTo(ctx, board, plan)
	})
}

func (s *Staff) compBoard(c *gin.Context) error {
	return s.onBoard(c, "plan.comped", func(ctx context.Context, board tenant.ID) error {
		var until *time.Time
		if text := strings.TrimSpace(c.PostForm("comp_until")); text != "" {
			t, err := time.Parse(time.DateOnly, text)
			if err != nil {
				return fault.Invalids(fault.Fields{"comp_until": "plan.comp.past"})
			}
			until = &t
		}
		return s.Plans.Comp(ctx, board, c.PostForm("comp_reason"), until)
	})
}

func (s *Staff) endComp(c *gin.Context) error {
	return s.onBoard(c, "plan.comp_ended", s.Plans.EndComp)
}

func (s *Staff) extendTrial(c *gin.Context) error {
	return s.onBoard(c, "plan.trial_extended", func(ctx context.Context, board tenant.ID) error {
		days, err := strconv.Atoi(strings.TrimSpace(c.PostForm("days")))
		if err != nil {
			return fault.Invalids(fault.Fields{"days": "plan.days.form"})
		}
		return s.Plans.ExtendTrial(ctx, board, days)
	})
}

func (s *Staff) creditBoard(c *gin.Context) error {
	return s.onBoard(c, "plan.credited", func(ctx context.Context, board tenant.ID) error {
		currency := c.PostForm("currency")
		if !money.Valid(currency) {
			return fault.Invalids(fault.Fields{"credit": "plan.credit.form"})
		}
		amount, err := money.Parse(c.PostForm("credit"), currency, s.locale(c))
		if err != nil {
			return fault.Invalids(fault.Fields{"credit": "plan.credit.form"})
		}
		once, err := uuid.Parse(c.PostForm("once"))
		if err != nil {
			return fault.New(fault.Invalid, "the form is incomplete")
		}
		return s.Plans.Credit(ctx, board, amount, currency, c.PostForm("credit_reason"), once)
	})
}

// deleteBoard deletes a board at the foot of the ladder, once staff have typed
// its slug.
func (s *Staff) deleteBoard(c *gin.Context) error {
	id, err := tenant.ParseID(c.Param("id"))
	if err != nil {
		return fault.New(fault.NotFound, "board not found")
	}
	hosts := []string{}
	err = s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT host FROM hosts WHERE board_id = ?`, id).Scan(ctx, &hosts)
	})
	if err != nil {
		return err
	}
	err = s.Plans.Delete(c.Request.Context(), id, c.PostForm("slug"))
	if err == nil {
		for _, host := range hosts {
			s.Notifier.HostChanged(host)
		}
		return route.SeeOther(c, "/staff/boards?ok=board.deleted")
	}
	return s.onBoard(c, "", func(context.Context, tenant.ID) error { return err })
}
