// Package staff is the platform's console: boards, their money, failed tasks,
// the webhook inbox. It crosses boards through tenant.Platform and changes no
// listing. Start at Routes.
package staff

import (
	"context"
	"embed"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/authz"
	"shingle/billing"
	"shingle/billing/plans"
	"shingle/domains"
	"shingle/internal/fault"
	"shingle/internal/links"
	"shingle/internal/money"
	"shingle/tasks"
	"shingle/tenant"
	"shingle/web/console"
	"shingle/web/route"
)

//go:embed all:pages words
var files embed.FS

// Staff serves /staff on the platform's host.
type Staff struct {
	// Limits bounds downloads; nil bounds nothing.
	Limits   *accounts.Limiter
	Platform *tenant.Platform
	Boards   *tenant.Resolver
	Notifier *tenant.Notifier
	Domains  *domains.Service
	Plans    *plans.Service
	Links    links.Links
	// Launch makes a board with its owner; see platform.Launcher.
	Launch func(ctx context.Context, n tenant.NewBoard, owner string) (*tenant.Tenant, error)
	// Release has a stored event of Stripe applied again; see billing.Service.Replay.
	Release func(ctx context.Context, tx bun.IDB, event string) error
	// Session is the signed-in operator's, on the platform's host.
	Session func(c *gin.Context) *accounts.OperatorSession
	// Allowed tells what the signed-in operator may do on the platform.
	Allowed func(c *gin.Context, p authz.Permission) bool
	// Permissions are all of these.
	Permissions func(c *gin.Context) authz.Set
	Operators   *accounts.Operators

	shell *console.Shell
}

// Words are the console's catalogue files, for tests.
func Words() fs.FS { return files }

// Load parses pages and words.
func (s *Staff) Load(assets *console.Assets) (err error) {
	s.shell, err = console.NewShell(files, "pages", files, assets)
	return err
}

// Routes is every URL of the audience.
func (s *Staff) Routes() []route.Route {
	const (
		GET, POST = route.GET, route.POST
	)
	return slices.Concat(s.planRoutes(), []route.Route{
		{Method: GET, Path: "/staff", Handle: s.home, Can: authz.Can("board", "read")},
		{Method: GET, Path: "/staff/boards", Handle: s.boards, Can: authz.Can("board", "read")},
		{Method: GET, Path: "/staff/boards.csv", Handle: route.Download(s.Limits, s.boardsCSV), Can: authz.Can("board", "read"), StepUp: true},
		{Method: GET, Path: "/staff/boards/new", Handle: s.newBoard, Can: authz.Can("board", "create")},
		{Method: POST, Path: "/staff/boards", Handle: s.createBoard, Can: authz.Can("board", "create")},
		{Method: GET, Path: "/staff/boards/:id", Handle: s.board, Can: authz.Can("board", "read")},
		{Method: POST, Path: "/staff/boards/:id/suspend", Handle: s.suspend, Can: authz.Can("board", "suspend"), StepUp: true},
		{Method: POST, Path: "/staff/boards/:id/resume", Handle: s.resume, Can: authz.Can("board", "suspend"), StepUp: true},
		{Method: POST, Path: "/staff/boards/:id/fee", Handle: s.fee, Can: authz.Can("board", "fee"), StepUp: true},
		{Method: GET, Path: "/staff/boards/:id/timeline", Handle: s.timeline, Can: authz.Can("audit", "read")},
		{Method: GET, Path: "/staff/boards/:id/timeline.csv", Handle: route.Download(s.Limits, s.timelineCSV), Can: authz.Can("audit", "read"), StepUp: true},
		{Method: POST, Path: "/staff/boards/:id/notes", Handle: s.note, Can: authz.Can("board", "note")},
		{Method: POST, Path: "/staff/boards/:id/act-as", Handle: s.impersonate, Can: authz.Can("board", "impersonate"), StepUp: true},
		{Method: POST, Path: "/staff/boards/:id/act-as/:visit/enter", Handle: s.enterAs, Can: authz.Can("board", "impersonate"), StepUp: true},
		{Method: POST, Path: "/staff/boards/:id/act-as/:visit/end", Handle: s.leaveAs, Can: authz.Can("board", "impersonate")},
		{Method: GET, Path: "/staff/search", Handle: s.find, Can: authz.Can("board", "read")},
		{Method: GET, Path: "/staff/figures", Handle: s.figures, Can: authz.Can("board", "read")},
		{Method: GET, Path: "/staff/figures.csv", Handle: route.Download(s.Limits, s.figuresCSV), Can: authz.Can("board", "read"), StepUp: true},
		{Method: GET, Path: "/staff/flags", Handle: s.flags, Can: authz.Can("flag", "read")},
		{Method: GET, Path: "/staff/flags.csv", Handle: route.Download(s.Limits, s.flagsCSV), Can: authz.Can("flag", "read"), StepUp: true},
		{Method: POST, Path: "/staff/flags", Handle: s.setFlag, Can: authz.Can("flag", "write")},
		{Method: GET, Path: "/staff/announcements", Handle: s.announcements, Can: authz.Can("announcement", "read")},
		{Method: GET, Path: "/staff/announcements.csv", Handle: route.Download(s.Limits, s.announcementsCSV), Can: authz.Can("announcement", "read"), StepUp: true},
		{Method: POST, Path: "/staff/announcements", Handle: s.announce, Can: authz.Can("announcement", "write")},
		{Method: POST, Path: "/staff/announcements/:id/withdraw", Handle: s.withdraw, Can: authz.Can("announcement", "write")},
		{Method: GET, Path: "/staff/domains.csv", Handle: route.Download(s.Limits, s.domainsCSV), Can: authz.Can("domain", "read"), StepUp: true},
		{Method: GET, Path: "/staff/domains", Handle: s.domains, Can: authz.Can("domain", "read")},
		{Method: POST, Path: "/staff/boards/:id/release-host", Handle: s.releaseDomain, Can: authz.Can("domain", "write")},
		{Method: GET, Path: "/staff/orders", Handle: s.orders, Can: authz.Can("order", "read")},
		{Method: GET, Path: "/staff/orders.csv", Handle: route.Download(s.Limits, s.ordersCSV), Can: authz.Can("order", "read"), StepUp: true},
		{Method: GET, Path: "/staff/tasks.csv", Handle: route.Download(s.Limits, s.tasksCSV), Can: authz.Can("task", "read"), StepUp: true},
		{Method: POST, Path: "/staff/tasks/bulk", Handle: s.bulkTasks, Can: authz.Can("task", "retry")},
		{Method: GET, Path: "/staff/tasks", Handle: s.tasks, Can: authz.Can("task", "read")},
		{Method: POST, Path: "/staff/tasks/:board/:id/retry", Handle: s.retry, Can: authz.Can("task", "retry")},
		{Method: POST, Path: "/staff/tasks/:board/:id/discard", Handle: s.discard, Can: authz.Can("task", "retry")},
		{Method: GET, Path: "/staff/events", Handle: s.events, Can: authz.Can("event", "read")},
		{Method: GET, Path: "/staff/events.csv", Handle: route.Download(s.Limits, s.eventsCSV), Can: authz.Can("event", "read"), StepUp: true},
		{Method: GET, Path: "/staff/events/:id", Handle: s.event, Can: authz.Can("event", "read")},
		{Method: POST, Path: "/staff/events/:id/apply", Handle: s.applyEvent, Can: authz.Can("event", "apply")},
		{Method: GET, Path: "/staff/mail", Handle: s.mail, Can: authz.Can("mail", "read")},
		{Method: GET, Path: "/staff/mail/log.csv", Handle: route.Download(s.Limits, s.mailCSV), Can: authz.Can("mail", "read"), StepUp: true},
		{Method: GET, Path: "/staff/mail/suppressed.csv", Handle: route.Download(s.Limits, s.suppressedCSV), Can: authz.Can("mail", "read"), StepUp: true},
		{Method: GET, Path: "/staff/mail/suppressed", Handle: s.suppressed, Can: authz.Can("mail", "read")},
		{Method: POST, Path: "/staff/mail/suppressed/lift", Handle: s.liftSuppression, Can: authz.Can("mail", "write")},
	}, s.teamRoutes(), s.auditRoutes())
}

// render shows a page in the staff shell.
func (s *Staff) render(c *gin.Context, status int, page, title string, data any, actions ...console.Link) error {
	p := s.page(c, title)
	p.Actions = actions
	return s.shell.Render(c, status, page, p, data)
}

func (s *Staff) page(c *gin.Context, title string) console.Page {
	path := c.Request.URL.Path
	item := func(key, url, icon string, can authz.Permission) console.NavItem {
		return console.NavItem{Label: s.t(c, key), URL: url, Icon: icon,
			Active: path == url || (url != "/staff" && strings.HasPrefix(path, url+"/"))}
	}
	p := console.Page{Title: title, Locale: s.locale(c), User: tenant.ActorFrom(c.Request.Context()).Label, SignOut: "/sign-out",
		Menu:  []console.Link{{Label: s.t(c, "shell.security"), URL: "/security", Icon: "lock"}},
		Brand: console.Brand{Name: "Shingle", URL: "/staff", Site: "/", SiteName: s.t(c, "staff.site")}}
	for _, n := range []struct {
		key, url, icon string
		can            authz.Permission
	}{
		{"staff.nav.home", "/staff", "layout-dashboard", authz.Can("board", "read")},
		{"staff.nav.boards", "/staff/boards", "world", authz.Can("board", "read")},
		{"staff.nav.domains", "/staff/domains", "external-link", authz.Can("domain", "read")},
		{"staff.nav.plans", "/staff/plans", "package", authz.Can("plan", "read")},
		{"staff.nav.orders", "/staff/orders", "receipt", authz.Can("order", "read")},
		{"staff.nav.tasks", "/staff/tasks", "list-check", authz.Can("task", "read")},
		{"staff.nav.events", "/staff/events", "inbox", authz.Can("event", "read")},
		{"staff.nav.mail", "/staff/mail", "mail", authz.Can("mail", "read")},
		{"staff.nav.figures", "/staff/figures", "chart-bar", authz.Can("board", "read")},
		{"staff.nav.announcements", "/staff/announcements", "send", authz.Can("announcement", "read")},
		{"staff.nav.flags", "/staff/flags", "flag", authz.Can("flag", "read")},
		{"staff.nav.team", "/staff/team", "users", authz.Can("staff", "read")},
		{"staff.nav.audit", "/staff/audit", "list-check", authz.Can("audit", "read")},
	} {
		if s.Allowed(c, n.can) {
			p.Nav = append(p.Nav, item(n.key, n.url, n.icon, n.can))
		}
	}
	if s.Allowed(c, authz.Can("board", "read")) {
		p.Search = &console.SearchBox{URL: "/staff/search", Label: s.t(c, "staff.find.label"), Query: c.Query("find")}
	}
	return p
}

func (s *Staff) locale(c *gin.Context) string {
	return console.Locale(route.AcceptLanguage(c.Request))
}

func (s *Staff) t(c *gin.Context, key string, args ...any) string {
	return s.shell.T(s.locale(c), key, args...)
}

// ErrorPage renders an error inside the shell.
func (s *Staff) ErrorPage(c *gin.Context, status int, err error) {
	p := s.page(c, s.t(c, "staff.error.title"))
	text := fault.TextOf(err)
	if status >= 500 || text == "" {
		text = s.t(c, "staff.error."+strconv.Itoa(min(status, 500)/100*100))
	}
	_ = s.shell.Render(c, status, "error", p, map[string]any{"Text": text, "Request": tenant.RequestIDFrom(c.Request.Context())})
}

func (s *Staff) home(c *gin.Context) error {
	var f *figures
	var days []dayCount
	err := s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		if f, err = readFigures(ctx, tx); err != nil {
			return err
		}
		days, err = readDays(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	if !s.Allowed(c, authz.Can("domain", "read")) {
		f.Domains = 0
	}
	labels, values := make([]string, len(days)), make([]int, len(days))
	for i, d := range days {
		labels[i], values[i] = console.ShortDay(s.locale(c), d.Day), d.Count
	}
	return s.render(c, http.StatusOK, "home", s.t(c, "staff.nav.home"), map[string]any{"F": f, "Labels": labels, "Values": values})
}

// boardForm is the form of a new board, kept as typed.
type boardForm struct {
	Slug, Name, Owner, Locale, Currency, TimeZone string
}

func (s *Staff) newBoard(c *gin.Context) error {
	return s.boardForm(c, http.StatusOK, boardForm{Locale: "en", Currency: "USD", TimeZone: "UTC"}, nil)
}

func (s *Staff) boardForm(c *gin.Context, status int, f boardForm, errs map[string]string) error {
	return s.render(c, status, "board_new", s.t(c, "staff.boards.new"), map[string]any{"F": f, "Errors": errs,
		"Locales": console.LocaleOptions(), "Currencies": console.CurrencyOptions(), "Zones": console.ZoneOptions(), "Domain": s.Links.BoardDomain})
}

func (s *Staff) createBoard(c *gin.Context) error {
	f := boardForm{Slug: strings.TrimSpace(c.PostForm("slug")), Name: c.PostForm("name"), Owner: strings.TrimSpace(c.PostForm("owner")),
		Locale: c.PostForm("locale"), Currency: c.PostForm("currency"), TimeZone: c.PostForm("time_zone")}
	t, err := s.Launch(c.Request.Context(), tenant.NewBoard{Slug: f.Slug, Name: f.Name, Locale: f.Locale, Currency: f.Currency,
		TimeZone: f.TimeZone, ContactEmail: f.Owner}, f.Owner)
	if fields := s.shell.Explain(s.locale(c), err); len(fields) > 0 {
		return s.boardForm(c, http.StatusUnprocessableEntity, f, fields)
	}
	if err != nil {
		return err
	}
	return route.SeeOther(c, "/staff/boards/"+t.ID.String()+"?ok=board.created")
}

func (s *Staff) board(c *gin.Context) error { return s.showBoard(c, http.StatusOK, nil, nil) }

func (s *Staff) showBoard(c *gin.Context, status int, errs map[string]string, typed url.Values) error {
	id, err := tenant.ParseID(c.Param("id"))
	if err != nil {
		return fault.New(fault.NotFound, "board not found")
	}
	var p *boardPage
	var orders []orderRow
	var plan *boardPlan
	var moments []moment
	var acting *actingCard
	mayLog := s.Allowed(c, authz.Can("audit", "read"))
	err = s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		if p, err = readBoard(ctx, tx, id); err != nil {
			return err
		}
		if plan, err = s.readPlan(ctx, tx, p, s.locale(c)); err != nil {
			return err
		}
		if mayLog {
			if moments, err = readTimeline(ctx, tx, id, "", cursor{}, 12); err != nil {
				return err
			}
		}
		if acting, err = s.readActing(c, ctx, tx, p); err != nil {
			return err
		}
		orders, err = readOrders(ctx, tx, id, "", cursor{}, 20)
		return err
	})
	if err != nil {
		return err
	}
	rule, err := billing.ParseFeeRule(p.FeeRule)
	if err != nil {
		return err
	}
	if typed == nil || typed.Get("percent") == "" {
		typed = clone(typed)
		typed.Set("percent", strconv.FormatFloat(float64(rule.PercentBP)/100, 'f', -1, 64))
		for name, v := range map[string]int64{"fixed": rule.Fixed, "min": rule.Min, "cap": rule.Cap} {
			if v != 0 {
				typed.Set(name, money.Plain(v, p.Currency))
			}
		}
	}
	sample := int64(199)
	for range money.Exponent(p.Currency) {
		sample *= 10
	}
	fee, owner := billing.Split(sample, p.Currency, rule)
	return s.render(c, status, "board", p.Name, map[string]any{"B": p, "Orders": orders, "Errors": errs, "Typed": typed,
		"Rule": rule, "Sample": sample, "SampleFee": fee, "SampleOwner": owner,
		"URL": s.Links.Host(p.Host, "/"), "AdminURL": s.Links.Host(p.PlatformHost, "/admin"),
		"CanSuspend": s.Allowed(c, authz.Can("board", "suspend")), "CanFee": s.Allowed(c, authz.Can("board", "fee")),
		"Moments": moments, "MayLog": mayLog, "CanNote": s.Allowed(c, authz.Can("board", "note")), "Acting": acting,
		"Plan": plan, "ID": p.ID, "CanDelete": s.Allowed(c, authz.Can("board", "delete")), "CanPlan": s.Allowed(c, authz.Can("plan", "write"))})
}

// clone is a form that may be added to.
func clone(v url.Values) url.Values {
	out := url.Values{}
	maps.Copy(out, v)
	return out
}

// act runs a change of one board with its line in the audit log, and comes back to its page.
func (s *Staff) act(c *gin.Context, name, done string, detail map[string]any, fn func(ctx context.Context, tx bun.IDB, id tenant.ID) error) error {
	id, err := tenant.ParseID(c.Param("id"))
	if err != nil {
		return fault.New(fault.NotFound, "board not found")
	}
	err = s.Platform.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		if err := fn(ctx, tx, id); err != nil {
			return err
		}
		return authz.RecordOnBoard(ctx, tx, id, authz.Act{Act: name, ObjectKind: "board", ObjectID: id.String(), Detail: detail})
	})
	if err != nil {
		if fields := s.shell.Explain(s.locale(c), err); len(fields) > 0 {
			return s.showBoard(c, http.StatusUnprocessableEntity, fields, c.Request.PostForm)
		}
		if fault.Is(err, fault.Conflict) { // a colleague was quicker
			return s.showBoard(c, http.StatusConflict, map[string]string{"form": s.t(c, "staff.stale")}, nil)
		}
		return err
	}
	s.forget(c.Request.Context(), id)
	return route.SeeOther(c, "/staff/boards/"+id.String()+"?ok="+done)
}

// onBoard writes an act into the log of the board that it touched too, if any.
func onBoard(ctx context.Context, tx bun.IDB, board tenant.ID, a authz.Act) error {
	if board.IsNil() {
		return authz.Record(ctx, tx, a)
	}
	return authz.RecordOnBoard(ctx, tx, board, a)
}

// forget makes every process read the board's row anew.
func (s *Staff) forget(ctx context.Context, id tenant.ID) {
	if t, err := s.Boards.ByID(ctx, id); err == nil {
		s.Notifier.HostChanged(t.PlatformHost)
		s.Notifier.HostChanged(t.CanonicalHost)
	}
}

func (s *Staff) suspend(c *gin.Context) error {
	reason := c.PostForm("reason")
	return s.act(c, "board.suspend", "board.suspended", map[string]any{"reason": reason}, func(ctx context.Context, tx bun.IDB, id tenant.ID) error {
		return tenant.SetState(ctx, tx, id, tenant.Suspended, reason)
	})
}

func (s *Staff) resume(c *gin.Context) error {
	return s.act(c, "board.resume", "board.resumed", nil, func(ctx context.Context, tx bun.IDB, id tenant.ID) error {
		return tenant.SetState(ctx, tx, id, tenant.Active, "")
	})
}

func (s *Staff) fee(c *gin.Context) error {
	return s.act(c, "board.fee", "board.fee", map[string]any{"percent": c.PostForm("percent"), "fixed": c.PostForm("fixed")},
		func(ctx context.Context, tx bun.IDB, id tenant.ID) error {
			p, err := readBoard(ctx, tx, id)
			if err != nil {
				return err
			}
			raw, err := feeRule(c, p.Currency, s.locale(c))
			if err != nil {
				return err
			}
			return tenant.SetFeeRule(ctx, tx, id, raw)
		})
}

func (s *Staff) onTask(c *gin.Context, name, done string, fn func(context.Context, bun.IDB, tenant.ID, uuid.UUID) error) error {
	board, err := tenant.ParseID(c.Param("board"))
	id, err2 := uuid.Parse(c.Param("id"))
	if err != nil || err2 != nil {
		return fault.New(fault.NotFound, "task not found")
	}
	err = s.Platform.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		if err := fn(ctx, tx, board, id); err != nil {
			return err
		}
		return onBoard(ctx, tx, board, authz.Act{Act: name, ObjectKind: "task", ObjectID: id.String()})
	})
	if err != nil {
		return err
	}
	return route.SeeOther(c, "/staff/tasks?ok="+done)
}

func (s *Staff) retry(c *gin.Context) error {
	return s.onTask(c, "task.retry", "task.retried", tasks.Retry)
}
func (s *Staff) discard(c *gin.Context) error {
	return s.onTask(c, "task.discard", "task.discarded", tasks.Discard)
}

func (s *Staff) orders(c *gin.Context) error {
	var rows []orderRow
	err := s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		rows, err = readOrders(ctx, tx, tenant.Nil, c.Query("state"), parseCursor(c.Query("before")), pageSize+1)
		return err
	})
	if err != nil {
		return err
	}
	next := ""
	if len(rows) > pageSize {
		rows = rows[:pageSize]
		next = cursor{rows[len(rows)-1].CreatedAt, rows[len(rows)-1].ID}.String()
	}
	return s.render(c, http.StatusOK, "orders", s.t(c, "staff.nav.orders"), map[string]any{"Orders": rows, "State": c.Query("state"), "Next": next, "Query": c.Request.URL.Query()},
		s.csvLink(c, "/staff/orders.csv"))
}

func (s *Staff) ordersCSV(c *gin.Context) error {
	out := newFile("orders", "board", "number", "state", "listing", "currency", "amount", "platform_fee", "owner", "placed", "paid")
	err := s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		rows, err := readOrders(ctx, tx, tenant.Nil, c.Query("state"), cursor{}, maxExport)
		for i := range rows {
			o := &rows[i]
			out.add(o.Board, strconv.FormatInt(o.Number, 10), o.State, o.Title, o.Currency, money.Plain(o.Amount, o.Currency), money.Plain(o.Fee, o.Currency), money.Plain(o.Owner(), o.Currency), stamp(&o.CreatedAt), stamp(o.PaidAt))
		}
		return err
	})
	if err != nil {
		return err
	}
	return out.send(c)
}
