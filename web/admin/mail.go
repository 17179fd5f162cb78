package admin

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/billing/plans"
	"shingle/internal/fault"
	"shingle/mail"
	"shingle/tenant"
	"shingle/web/console"
	"shingle/web/route"
)

// mailRoutes are the pages of the board's mail: whose name it carries, what it
// says, what became of it, and who must not be written to.
func (a *Admin) mailRoutes() []route.Route {
	const GET, POST = route.GET, route.POST
	can := authz.Can
	return []route.Route{
		{Method: GET, Path: "/admin/mail", Handle: a.mail, Can: can("mail", "read")},
		{Method: POST, Path: "/admin/mail", Handle: a.saveMail, Can: can("mail", "write")},
		{Method: POST, Path: "/admin/mail/check", Handle: a.checkMail, Can: can("mail", "write")},
		{Method: POST, Path: "/admin/mail/rotate", Handle: a.rotateMailKey, Can: can("mail", "write")},
		{Method: POST, Path: "/admin/mail/test", Handle: a.testMail, Can: can("mail", "write")},
		{Method: GET, Path: "/admin/mail/texts", Handle: a.mailTexts, Can: can("mail", "read")},
		{Method: GET, Path: "/admin/mail/texts/:kind", Handle: a.mailText, Can: can("mail", "read")},
		{Method: POST, Path: "/admin/mail/texts/:kind", Handle: a.saveMailText, Can: can("mail", "write")},
		{Method: GET, Path: "/admin/mail/texts/:kind/preview", Handle: a.previewMailText, Can: can("mail", "read")},
		{Method: POST, Path: "/admin/mail/texts/:kind/preview", Handle: a.previewMailText, Can: can("mail", "read")},
		{Method: POST, Path: "/admin/mail/texts/:kind/test", Handle: a.testMailText, Can: can("mail", "write")},
		{Method: POST, Path: "/admin/mail/texts/:kind/restore", Handle: a.restoreMailText, Can: can("mail", "write")},
		{Method: GET, Path: "/admin/mail/log", Handle: a.mailLog, Can: can("mail", "read")},
		{Method: GET, Path: "/admin/mail/log.csv", Handle: route.Download(a.Limits, a.mailLogCSV), Can: can("mail", "read"), StepUp: true},
		{Method: GET, Path: "/admin/mail/suppressed", Handle: a.suppressed, Can: can("mail", "read")},
		{Method: POST, Path: "/admin/mail/suppressed", Handle: a.suppress, Can: can("mail", "write")},
		{Method: POST, Path: "/admin/mail/suppressed/lift", Handle: a.liftSuppression, Can: can("mail", "write")},
	}
}

func (a *Admin) mail(c *gin.Context) error {
	var i *mail.Identity
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		i, err = mail.IdentityOf(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	return a.showMail(c, http.StatusOK, mail.IdentityForm{Domain: i.Shown(), LocalPart: i.LocalPart, Footer: i.Footer, Postal: i.Postal}, nil)
}

func (a *Admin) showMail(c *gin.Context, status int, f mail.IdentityForm, errs map[string]string) error {
	var i *mail.Identity
	var checks []mail.Check
	waiting := false
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		if i, err = mail.IdentityOf(ctx, tx); err != nil {
			return err
		}
		checks, waiting, err = a.Mail.Records(ctx, tx, i)
		return err
	})
	if err != nil {
		return err
	}
	t := tenant.From(c.Request.Context())
	sender := i.Address()
	if sender == "" {
		sender = a.MailFrom
	}
	return a.render(c, status, "mail", a.t(c, "admin.nav.mail"), map[string]any{"I": i, "F": f, "Errors": errs, "Checks": checks, "Rotating": waiting,
		"CanWrite": a.may(c, "mail", "write"), "Sender": sender, "Name": t.Name, "ReplyTo": t.ContactEmail, "You": session(c).Operator.Email})
}

func (a *Admin) saveMail(c *gin.Context) error {
	f := mail.IdentityForm{Domain: c.PostForm("domain"), LocalPart: c.PostForm("local_part"), Footer: c.PostForm("footer"), Postal: c.PostForm("postal_address")}
	err := a.act(c, authz.Act{Act: "mail.saved", ObjectKind: "board", Detail: map[string]any{"domain": f.Domain}}, func(ctx context.Context, tx bun.IDB) error {
		var kept bool
		if err := tx.NewRaw(`SELECT EXISTS (SELECT FROM mail_identities WHERE tenant_id = ? AND domain <> '')`, tenant.From(ctx).ID).Scan(ctx, &kept); err != nil {
			return err
		}
		if f.Domain != "" && !kept {
			if err := a.Plans.Feature(ctx, tx, plans.OwnMail); err != nil {
				return err
			}
		}
		return a.Mail.Save(ctx, tx, f)
	})
	if refused(err) {
		return a.showMail(c, statusOf(err), f, a.errors(c, err))
	}
	if err != nil {
		return err
	}
	return a.back(c, "/admin/mail", "mail.saved")
}

// checkMail looks at the DNS while the reader waits, and polls on from there.
func (a *Admin) checkMail(c *gin.Context) error {
	err := a.DB.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error { return a.Mail.LookAgain(ctx, tx) })
	if err != nil {
		return err
	}
	if _, err := a.Mail.Look(c.Request.Context()); err != nil {
		return err
	}
	return a.back(c, "/admin/mail", "mail.checked")
}

func (a *Admin) rotateMailKey(c *gin.Context) error {
	err := a.act(c, authz.Act{Act: "mail.key_rotated", ObjectKind: "board"}, func(ctx context.Context, tx bun.IDB) error { return a.Mail.Rotate(ctx, tx) })
	if fault.Is(err, fault.Conflict) {
		return a.mailProblem(c, err)
	}
	if err != nil {
		return err
	}
	return a.back(c, "/admin/mail", "mail.rotated")
}

// mailProblem shows the page with what kept an act from being done.
func (a *Admin) mailProblem(c *gin.Context, cause error) error {
	var i *mail.Identity
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		i, err = mail.IdentityOf(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	return a.showMail(c, statusOf(cause), mail.IdentityForm{Domain: i.Shown(), LocalPart: i.LocalPart, Footer: i.Footer, Postal: i.Postal}, a.errors(c, cause))
}

// testMail writes to the operator's own address, so that nobody else's can be flooded.
func (a *Admin) testMail(c *gin.Context) error {
	err := a.act(c, authz.Act{Act: "mail.tested", ObjectKind: "board"}, func(ctx context.Context, tx bun.IDB) error {
		i, err := mail.IdentityOf(ctx, tx)
		if err != nil {
			return err
		}
		from := i.Address()
		if from == "" {
			from = a.MailFrom
		}
		// One a minute: a button pressed twice is one message.
		return mail.Queue(ctx, tx, mail.Message{Kind: "mail-test", Key: session(c).Operator.ID.String() + a.Now().UTC().Format(" 2006-01-02 15:04"), To: session(c).Operator.Email,
			Locale: a.locale(c), Data: mail.Data{"Address": from}})
	})
	if err != nil {
		return err
	}
	return a.back(c, "/admin/mail?"+url.Values{"n": {session(c).Operator.Email}}.Encode(), "mail.tested")
}

func (a *Admin) mailFilter(c *gin.Context) mail.LogFilter {
	f := mail.LogFilter{State: c.Query("state"), Kind: c.Query("kind"), Address: strings.TrimSpace(c.Query("address")), Page: route.Page(c), Size: pageSize}
	if !slices.Contains(mail.States, f.State) {
		f.State = ""
	}
	return f
}

func (a *Admin) mailLog(c *gin.Context) error {
	f := a.mailFilter(c)
	var rows []mail.Entry
	var more bool
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		rows, more, err = mail.Log(ctx, tx, f)
		return err
	})
	if err != nil {
		return err
	}
	states := append([]console.Option{{Label: a.t(c, "mail.log.any_state")}}, a.choices(c, "mail.state.", mail.States)...)
	for i := range states {
		states[i].Selected = states[i].Value == f.State
	}
	return a.renderUnder(c, http.StatusOK, "mail_log", a.t(c, "mail.log"), console.Link{Label: a.t(c, "admin.nav.mail"), URL: "/admin/mail"},
		map[string]any{"Rows": rows, "F": f, "States": states, "Query": c.Request.URL.Query(), "Page": f.Page, "More": more})
}

func (a *Admin) mailLogCSV(c *gin.Context) error {
	f := a.mailFilter(c)
	f.Page, f.Size = 1, 50_000
	var rows []mail.Entry
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		rows, _, err = mail.Log(ctx, tx, f)
		return err
	})
	if err != nil {
		return err
	}
	out := [][]string{{"written", "sent", "to", "kind", "state", "note"}}
	for _, r := range rows {
		sent := ""
		if r.Sent != nil {
			sent = r.Sent.UTC().Format("2006-01-02T15:04:05Z")
		}
		out = append(out, []string{r.Created.UTC().Format("2006-01-02T15:04:05Z"), sent, r.Recipient, r.Kind, r.State, r.Error})
	}
	return download(c, "mail", out)
}

func (a *Admin) suppressed(c *gin.Context) error {
	return a.showSuppressed(c, http.StatusOK, "", nil)
}

func (a *Admin) showSuppressed(c *gin.Context, status int, typed string, errs map[string]string) error {
	page := route.Page(c)
	var rows []mail.Suppression
	var total int
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		rows, total, err = mail.Suppressions(ctx, tx, page, pageSize)
		return err
	})
	if err != nil {
		return err
	}
	return a.renderUnder(c, status, "mail_suppressed", a.t(c, "mail.suppressed"), console.Link{Label: a.t(c, "admin.nav.mail"), URL: "/admin/mail"},
		map[string]any{"Rows": rows, "Typed": typed, "Errors": errs, "CanWrite": a.may(c, "mail", "write"), "Pager": console.Pager(page, pageSize, total, c.Request.URL.Query())})
}

func (a *Admin) suppress(c *gin.Context) error {
	address, err := mail.Fold(c.PostForm("address"))
	if err == nil {
		err = a.act(c, authz.Act{Act: "mail.suppressed", ObjectKind: "address", Personal: map[string]any{"address": address}}, func(ctx context.Context, tx bun.IDB) error {
			return mail.Suppress(ctx, tx, address, "manual", "")
		})
	}
	if refused(err) {
		return a.showSuppressed(c, statusOf(err), c.PostForm("address"), a.errors(c, err))
	}
	if err != nil {
		return err
	}
	return a.back(c, "/admin/mail/suppressed", "mail.suppressed")
}

func (a *Admin) liftSuppression(c *gin.Context) error {
	address := strings.ToLower(c.PostForm("address")) // as it stands in the list, and as an erasure looks for it
	err := a.act(c, authz.Act{Act: "mail.suppression_lifted", ObjectKind: "address", Personal: map[string]any{"address": address}}, func(ctx context.Context, tx bun.IDB) error {
		return mail.Lift(ctx, tx, address)
	})
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	return a.back(c, "/admin/mail/suppressed", "mail.lifted")
}
