package site

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/candidates"
	"shingle/internal/fault"
	"shingle/listings"
	"shingle/search"
	"shingle/tenant"
	"shingle/themes"
	"shingle/web/proof"
	"shingle/web/route"
)

// limit refuses a network that does one thing too often on this board.
func (s *Site) limit(c *gin.Context, class accounts.Class) error {
	err := class.Allow(c.Request.Context(), s.Limits, tenant.From(c.Request.Context()).ID, accounts.Client{Address: c.ClientIP()}.Network())
	route.RetryAfter(c, err)
	return err
}

// anywhere counts a mail that a stranger has sent to an address, over all boards.
func (s *Site) anywhere(c *gin.Context, email string) error {
	address, err := accounts.Fold(email)
	if err != nil {
		return nil //nolint:nilerr // whoever takes the address says what is wrong with it
	}
	err = accounts.Anywhere.Allow(c.Request.Context(), s.Limits, tenant.Nil, address)
	route.RetryAfter(c, err)
	return err
}

// form is what was typed, with what must change about it, in the page's words.
func (s *Site) form(v *view, action string, values map[string]string, err error) themes.Form {
	f := themes.Form{Action: action, Values: values}
	fields := fault.FieldsOf(err)
	for name, text := range fields {
		f.Errors = append(f.Errors, themes.FieldError{Field: name, Text: s.words.Text(v.locale(), text)})
	}
	if err != nil && len(fields) == 0 {
		f.Problem = s.words.Text(v.locale(), fault.TextOf(err))
		if fault.Is(err, fault.TooMany) {
			f.Problem = v.Say("form.too_many")
		}
	}
	return f
}

// retryable reports errors that a form comes back with; others become a page.
func retryable(err error) bool {
	return fault.Is(err, fault.Invalid) || fault.Is(err, fault.Conflict) || fault.Is(err, fault.TooMany) || fault.Is(err, fault.TooLarge)
}

func cardOf(v *view, l *listings.Listing) themes.Card {
	c := listings.Card{PublicID: l.PublicID, Slug: l.Slug, State: l.State, Title: l.Title, EmploymentType: l.EmploymentType, Workplace: l.Workplace,
		SalaryMin: l.SalaryMin, SalaryMax: l.SalaryMax, SalaryCurrency: l.SalaryCurrency, SalaryPeriod: l.SalaryPeriod, Tags: l.Tags,
		ApplicantCountries: l.ApplicantCountries, PublishedAt: l.PublishedAt, Places: l.Places,
		CompanyName: l.Company.Name, CompanySlug: l.Company.Slug, CompanyLogo: l.Company.LogoKey}
	return v.Card(&c)
}

// open loads a listing that still takes applications on the board.
func (s *Site) open(c *gin.Context) (*view, *listings.Listing, error) {
	l, _, moved, err := s.load(c, false)
	if err != nil {
		return nil, nil, err
	}
	if moved != "" || !l.State.Public() {
		return nil, nil, fault.New(fault.NotFound, "no such listing")
	}
	v, err := s.view(c.Request.Context())
	return v, l, err
}

func (s *Site) applyForm(c *gin.Context) error {
	v, l, err := s.open(c)
	if err != nil {
		return err
	}
	if !l.Open(s.Now()) || l.ApplyMethod != listings.ApplyBoard {
		return route.SeeOther(c, l.Path())
	}
	return s.showApply(c, v, l, http.StatusOK, nil, nil)
}

func (s *Site) showApply(c *gin.Context, v *view, l *listings.Listing, status int, values map[string]string, err error) error {
	p := themes.ApplyPage{Layout: s.layout(v, v.Say("apply.title", l.Title)), Form: proven(s.form(v, l.Path()+"/apply", values, err), proof.Apply), Card: cardOf(v, l),
		Consent: s.consent(v, l), PrivacyURL: s.privacyURL(v), Accept: candidates.CVAccept, Limit: v.Say("apply.limit"), BackURL: l.Path()}
	p.Robots = "noindex"
	return s.render(c, v, status, "apply", p)
}

// consent is the privacy line that an applicant agrees to; it is kept with the
// application word for word.
func (s *Site) consent(v *view, l *listings.Listing) string {
	return v.Say("apply.consent", l.Company.Name, v.T.Name)
}

func (s *Site) privacyURL(v *view) string {
	for _, p := range v.look.Legal {
		if p.URL == "/pages/privacy" {
			return p.URL
		}
	}
	return ""
}

func (s *Site) apply(c *gin.Context) error {
	v, l, err := s.open(c)
	if err != nil {
		return err
	}
	values, f, err := readApplication(c)
	if err == nil {
		f.ConsentText = s.consent(v, l)
		err = f.Check()
	}
	way := proof.Unproven
	if err == nil {
		way, err = s.Proof.Of(c, proof.Apply)
	}
	if err == nil && way == proof.Unproven {
		if err = s.Proof.Hold(c, proof.Apply, f.Email, v.Say("held.apply", l.Title), "cv"); err == nil {
			return s.Held(c, v, f.Email)
		}
	}
	if err == nil {
		if err = s.limit(c, accounts.Applying); err == nil {
			_, err = s.Candidates.Apply(c.Request.Context(), l.ID, f)
		}
	}
	if err != nil {
		if fault.Is(err, fault.Gone) {
			return route.SeeOther(c, l.Path())
		}
		if !retryable(err) {
			s.Proof.GiveBack(c)
			return err
		}
		return s.showApply(c, v, l, route.Status(err), values, err)
	}
	var similar []listings.Card
	if err := s.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		similar, err = s.Listings.Similar(ctx, tx, l, 3)
		return err
	}); err != nil {
		return err
	}
	done := themes.ApplyDone{Layout: s.layout(v, v.Say("applied.title")), Card: cardOf(v, l), Email: values["email"], Similar: v.Cards(similar), Alert: s.alertForm(v, likeThis(l))}
	done.Robots = "noindex"
	// The answer to the post itself: reloading it sends the same application,
	// which is refused as a second one.
	return s.render(c, v, http.StatusOK, "applied", done)
}

// readApplication reads the form. Values come back as typed, whatever is wrong.
func readApplication(c *gin.Context) (map[string]string, candidates.Form, error) {
	err := c.Request.ParseMultipartForm(1 << 20)
	values := map[string]string{"name": c.PostForm("name"), "email": c.PostForm("email"), "note": c.PostForm("note"), "consent": c.PostForm("consent")}
	f := candidates.Form{Name: values["name"], Email: values["email"], Note: values["note"], Consent: values["consent"] != ""}
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &big):
		return values, f, fault.Invalids(fault.Fields{"cv": "apply.cv.large"})
	case err != nil:
		return values, f, fault.New(fault.Invalid, "form.unreadable")
	}
	file, header, err := c.Request.FormFile("cv")
	if errors.Is(err, http.ErrMissingFile) {
		f.CVName = "none"
		return values, f, requireCV(&f)
	}
	if err != nil {
		return values, f, fault.New(fault.Invalid, "form.unreadable")
	}
	defer func() { _ = file.Close() }()
	f.CVName = header.Filename
	f.CV, err = io.ReadAll(io.LimitReader(file, candidates.MaxCV+1))
	return values, f, err
}

// requireCV names the missing file together with whatever else is wrong, so
// that nobody has to send the form twice.
func requireCV(f *candidates.Form) error {
	fields := fault.FieldsOf(f.Check())
	if fields == nil {
		fields = fault.Fields{}
	}
	fields["cv"] = "apply.cv.required"
	return fault.Invalids(fields)
}

func (s *Site) withdrawForm(c *gin.Context) error { return s.showWithdraw(c, c.Query("token"), false) }

func (s *Site) withdraw(c *gin.Context) error {
	return s.showWithdraw(c, c.PostForm("token"), true)
}

func (s *Site) showWithdraw(c *gin.Context, token string, do bool) error {
	v, err := s.view(c.Request.Context())
	if err != nil {
		return err
	}
	var l *listings.Listing
	find := func(ctx context.Context, tx bun.IDB) error {
		var a *candidates.Application
		var err error
		if do {
			a, err = s.Candidates.Withdraw(ctx, tx, token)
		} else {
			a, err = s.Candidates.ByWithdrawToken(ctx, tx, token)
		}
		if err != nil {
			return err
		}
		l, err = s.Listings.Full(ctx, tx, a.ListingID)
		return err
	}
	if do {
		err = s.DB.Write(c.Request.Context(), find)
	} else {
		err = s.read(c, find)
	}
	if err != nil {
		return err
	}
	p := themes.Withdraw{Layout: s.layout(v, v.Say("withdraw.title")), Form: s.form(v, "/applications/withdraw", nil, nil), Card: cardOf(v, l), Done: do, HomeURL: "/"}
	p.Hidden = []themes.Hidden{{Name: "token", Value: token}}
	p.Robots = "noindex"
	c.Header("Referrer-Policy", "no-referrer")
	return s.render(c, v, http.StatusOK, "withdraw", p)
}

func (s *Site) reportForm(c *gin.Context) error {
	v, l, err := s.open(c)
	if err != nil {
		return err
	}
	return s.showReport(c, v, l, http.StatusOK, nil, nil, false)
}

func (s *Site) showReport(c *gin.Context, v *view, l *listings.Listing, status int, values map[string]string, err error, done bool) error {
	p := themes.Report{Layout: s.layout(v, v.Say("report.title")), Form: proven(s.form(v, l.Path()+"/report", values, err), proof.Report), Card: cardOf(v, l), Done: done, BackURL: l.Path()}
	p.Robots = "noindex"
	for _, r := range candidates.Reasons() {
		p.Reasons = append(p.Reasons, themes.Option{Value: r, Text: v.Say("report.reason." + r), Selected: values["reason"] == r})
	}
	return s.render(c, v, status, "report", p)
}

func (s *Site) report(c *gin.Context) error {
	v, l, err := s.open(c)
	if err != nil {
		return err
	}
	values := map[string]string{"reason": c.PostForm("reason"), "text": c.PostForm("text"), "email": c.PostForm("email")}
	way := proof.Unproven
	if err = candidates.CheckReport(values["reason"], values["text"], values["email"]); err == nil {
		way, err = s.Proof.Of(c, proof.Report)
	}
	if err == nil && way == proof.Unproven {
		if values["email"] == "" {
			err = fault.Invalids(fault.Fields{"email": "report.email.needed"})
		}
		if err == nil {
			if err = s.Proof.Hold(c, proof.Report, values["email"], v.Say("held.report", l.Title), ""); err == nil {
				return s.Held(c, v, values["email"])
			}
		}
	}
	if err == nil {
		err = s.limit(c, accounts.Reporting)
	}
	if err == nil {
		err = s.DB.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
			return s.Candidates.ReportListing(ctx, tx, l.ID, values["reason"], values["text"], values["email"])
		})
	}
	if err != nil && !retryable(err) {
		s.Proof.GiveBack(c)
		return err
	}
	return s.showReport(c, v, l, statusOf(err), values, err, err == nil)
}

func statusOf(err error) int {
	if err == nil {
		return http.StatusOK
	}
	return route.Status(err)
}

// alertForm offers a daily mail about a search; it is nil where the board takes no new alerts.
func (s *Site) alertForm(v *view, q search.Query) *themes.AlertForm {
	if !tenant.From(v.ctx).Has(tenant.FlagAlerts) {
		return nil
	}
	q = q.AtPage(1)
	q.Sort = ""
	f := &themes.AlertForm{}
	if q.Text != "" || q.Location != "" || q.Filtered() {
		f.Search = v.about(q)
	}
	f.Action = "/alerts"
	if !v.still { // whose frame runs no script, and sends no form
		f.Proof = proof.Alert
	}
	f.Hidden = []themes.Hidden{{Name: "query", Value: q.Values().Encode()}}
	return f
}

// about names a search in words: what an alert is about.
func (v *view) about(q search.Query) string {
	return v.heading(q, nil, nil)
}

func (s *Site) askAlert(c *gin.Context) error {
	v, err := s.view(c.Request.Context())
	if err != nil {
		return err
	}
	if !tenant.From(v.ctx).Has(tenant.FlagAlerts) {
		return fault.New(fault.NotFound, "no alerts here")
	}
	q := search.ParseQuery(route.Values(c.PostForm("query"))).AtPage(1)
	q.Sort = ""
	about := v.about(q)
	email := c.PostForm("email")
	if err = s.Proof.Mails(c, proof.Alert); err == nil {
		err = s.limit(c, accounts.Alerting)
	}
	if err == nil {
		err = s.anywhere(c, email)
	}
	if err == nil {
		err = s.DB.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
			return s.Candidates.AskAlert(ctx, tx, email, q.Values().Encode(), about)
		})
	}
	if err != nil && !retryable(err) {
		return err
	}
	p := themes.AlertPage{Layout: s.layout(v, v.Say("alert.title")), Form: proven(s.form(v, "/alerts", map[string]string{"email": email}, err), proof.Alert), Step: "requested", Search: about, Email: email, JobURL: jobsURL(q)}
	if err != nil {
		p.Step = "request"
		p.Hidden = []themes.Hidden{{Name: "query", Value: q.Values().Encode()}}
	}
	p.Robots = "noindex"
	return s.render(c, v, statusOf(err), "alert", p)
}

// alertStep shows a step of an alert found by its link.
func (s *Site) alertStep(c *gin.Context, step, action string, write bool, find func(ctx context.Context, tx bun.IDB) (*candidates.Alert, error), hidden ...themes.Hidden) error {
	v, err := s.view(c.Request.Context())
	if err != nil {
		return err
	}
	var a *candidates.Alert
	fn := func(ctx context.Context, tx bun.IDB) (err error) {
		a, err = find(ctx, tx)
		return err
	}
	if write {
		err = s.DB.Write(c.Request.Context(), fn)
	} else {
		err = s.read(c, fn)
	}
	if err != nil {
		return err
	}
	q := search.ParseQuery(route.Values(a.Query))
	p := themes.AlertPage{Layout: s.layout(v, v.Say("alert.title")), Form: s.form(v, action, nil, nil), Step: step, Search: v.about(q), Email: a.Email, JobURL: jobsURL(q)}
	p.Hidden, p.Robots = hidden, "noindex"
	c.Header("Referrer-Policy", "no-referrer")
	return s.render(c, v, http.StatusOK, "alert", p)
}

func (s *Site) confirmAlertForm(c *gin.Context) error {
	token := c.Query("token")
	return s.alertStep(c, "confirm", "/alerts/confirm", false, func(ctx context.Context, tx bun.IDB) (*candidates.Alert, error) {
		return s.Candidates.AlertByConfirmToken(ctx, tx, token)
	}, themes.Hidden{Name: "token", Value: token})
}

func (s *Site) confirmAlert(c *gin.Context) error {
	token := c.PostForm("token")
	return s.alertStep(c, "confirmed", "", true, func(ctx context.Context, tx bun.IDB) (*candidates.Alert, error) {
		return s.Candidates.ConfirmAlert(ctx, tx, token)
	})
}

func (s *Site) stopAlertForm(c *gin.Context) error {
	id, token := c.Query("id"), c.Query("token")
	return s.alertStep(c, "stop", "/alerts/stop", false, func(ctx context.Context, tx bun.IDB) (*candidates.Alert, error) {
		return s.Candidates.AlertByStopToken(ctx, tx, parseID(id), token)
	}, themes.Hidden{Name: "id", Value: id}, themes.Hidden{Name: "token", Value: token})
}

// stopAlert answers the page's button and a mail program's one click (RFC 8058),
// whose parameters are in the address.
func (s *Site) stopAlert(c *gin.Context) error {
	id, token := c.PostForm("id"), c.PostForm("token")
	if id == "" {
		id, token = c.Query("id"), c.Query("token")
	}
	return s.alertStep(c, "stopped", "", true, func(ctx context.Context, tx bun.IDB) (*candidates.Alert, error) {
		return s.Candidates.StopAlert(ctx, tx, parseID(id), token)
	})
}

// parseID is the nil uuid for what is none, which no row has.
func parseID(s string) uuid.UUID {
	id, err := uuid.Parse(s)
	if err != nil {
		return uuid.Nil
	}
	return id
}

// TermsURL is where the board's terms are, or "".
func (s *Site) TermsURL(v *View) string {
	for _, p := range v.look.Legal {
		if p.URL == "/pages/terms" || p.URL == "/pages/agb" {
			return p.URL
		}
	}
	return ""
}
