package employer

import (
	"context"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/billing"
	"shingle/candidates"
	"shingle/internal/fault"
	"shingle/listings"
	"shingle/tenant"
	"shingle/web/console"
	"shingle/web/route"
	"shingle/web/site"
)

// deskRow is a listing on the desk with its applicants.
type deskRow struct {
	listings.Card
	Applicants, Fresh int
}

// desk lists the person's listings, what needs them first.
func (e *Employer) desk(c *gin.Context) error {
	var rows []deskRow
	err := e.read(c, func(ctx context.Context, tx bun.IDB) error {
		cards, err := e.Listings.DeskList(ctx, tx, session(c).Person.ID)
		if err != nil {
			return err
		}
		ids := make([]uuid.UUID, len(cards))
		for i := range cards {
			ids[i] = cards[i].ID
		}
		all, fresh, err := e.Candidates.Counts(ctx, tx, ids)
		for i := range cards {
			rows = append(rows, deskRow{Card: cards[i], Applicants: all[cards[i].ID], Fresh: fresh[cards[i].ID]})
		}
		return err
	})
	if err != nil {
		return err
	}
	return e.render(c, http.StatusOK, "desk", e.t(c, "desk.nav.listings"), map[string]any{"Rows": rows}, console.Link{Label: e.t(c, "desk.nav.post"), URL: "/post", Icon: "plus"})
}

// own loads the listing of the address when it is on the person's desk.
func (e *Employer) own(ctx context.Context, c *gin.Context, tx bun.IDB) (*listings.Listing, error) {
	id, err := uuid.Parse(c.Param("id"))
	if err != nil {
		return nil, fault.New(fault.NotFound, "no such listing")
	}
	return e.Listings.Owned(ctx, tx, id, session(c).Person.ID)
}

// acts are what the employer may do with a listing in each state.
var acts = map[listings.State][]string{
	listings.Live:    {"pause", "fill"},
	listings.Paused:  {"resume", "fill"},
	listings.Filled:  {"relist", "remove"},
	listings.Expired: {"relist", "remove"},
	listings.Draft:   {"remove"}, listings.AwaitingPayment: {"remove"}, listings.Rejected: {"remove"},
}

func (e *Employer) showListing(c *gin.Context) error { return e.listingPage(c, nil, nil) }

func (e *Employer) listingPage(c *gin.Context, typedIn map[string]string, cause error) error {
	var l *listings.Listing
	var cats []listings.Category
	var orders []billing.Line
	var pending *listings.Revision
	var hold *listings.Move
	paid := false
	err := e.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		if l, err = e.own(ctx, c, tx); err != nil {
			return err
		}
		if cats, err = e.Listings.Categories(ctx, tx); err != nil {
			return err
		}
		if pending, err = e.Listings.PendingRevision(ctx, tx, l.ID); err != nil {
			return err
		}
		if hold, err = e.Listings.Hold(ctx, tx, l.ID); err != nil {
			return err
		}
		if paid, err = e.Listings.Paid(ctx, tx, l.ID); err != nil {
			return err
		}
		orders, _, err = e.Billing.Orders(ctx, tx, billing.Filter{Listing: l.ID})
		return err
	})
	if err != nil {
		return err
	}
	t := tenant.From(c.Request.Context())
	v := typedIn
	if v == nil {
		// An edit goes on from the one that waits, not from what visitors see.
		content := listings.ContentOf(l)
		if pending != nil {
			content = pending.Content
		}
		v = valuesOf(content, t.Locale)
	}
	may := acts[l.State]
	if hold != nil {
		// The board's own pause: only the board lifts it.
		may = slices.DeleteFunc(slices.Clone(may), func(act string) bool { return act == "resume" || act == "relist" })
	}
	data := map[string]any{"L": l, "V": v, "Acts": may, "Hold": hold, "Ask": t.ContactEmail, "Orders": orders, "Pending": pending, "Errors": e.shell.Explain(e.locale(c), cause),
		"Categories": categoryOptions(cats), "Types": e.options(c, "type.", listings.EmploymentTypes()), "Workplaces": e.options(c, "workplace.", listings.Workplaces()),
		"Seniorities": append([]console.Option{{Value: "", Label: "–"}}, e.options(c, "seniority.", listings.Seniorities())...),
		"Periods":     e.options(c, "period.", listings.Periods()), "Methods": e.options(c, "apply_method.", listings.ApplyMethods()), "Currencies": console.CurrencyOptions(),
		"Countries": countryOptions(t.Locale), "URL": e.Links.Board(t, l.Path()), "Public": l.State.Public(), "Editable": l.State != listings.Removed && l.State != listings.Filled && l.State != listings.Rejected,
		"Moderated": t.Moderated}
	if (l.State == listings.Draft || l.State == listings.AwaitingPayment) && !paid {
		data["Pay"] = "/post/" + e.draftToken(t.ID, l.ID) + "/products"
	}
	if l.State == listings.Draft && paid {
		data["Resubmit"] = true
	}
	status := http.StatusOK
	if cause != nil {
		status = route.Status(cause)
	}
	return e.render(c, status, "listing", l.Title, data)
}

func (e *Employer) options(c *gin.Context, prefix string, values []string) (out []console.Option) {
	for _, v := range values {
		out = append(out, console.Option{Value: v, Label: e.t(c, prefix+v)})
	}
	return out
}

func categoryOptions(cats []listings.Category) []console.Option {
	out := []console.Option{{Value: "", Label: "–"}}
	for _, cat := range cats {
		out = append(out, console.Option{Value: cat.Slug, Label: cat.Name})
	}
	return out
}

func countryOptions(locale string) []console.Option {
	out := []console.Option{{Value: "", Label: "–"}}
	for _, code := range listings.CountryCodes() {
		out = append(out, console.Option{Value: code, Label: listings.CountryName(code, locale)})
	}
	return out
}

// saveListing edits: a live listing keeps serving its old version until a
// moderated board approves the new one.
func (e *Employer) saveListing(c *gin.Context) error {
	perr := parse(c)
	if perr != nil && !fault.Is(perr, fault.Invalid) {
		return perr
	}
	v := typed(c)
	content, err := readPost(v, tenant.From(c.Request.Context()), false)
	if perr != nil {
		err = perr
	}
	var done string
	if err == nil {
		// Whose listing it is comes before anything is stored.
		err = e.read(c, func(ctx context.Context, tx bun.IDB) error { _, err := e.own(ctx, c, tx); return err })
	}
	if err == nil {
		content.Logo, err = e.storeLogo(c)
	}
	if err == nil {
		err = e.write(c, func(ctx context.Context, tx bun.IDB) error {
			l, err := e.own(ctx, c, tx)
			if err != nil {
				return err
			}
			// What the form does not show stays.
			content.Reference = l.Reference
			if content.ApplyMethod == listings.ApplyBoard && l.ApplyMethod == listings.ApplyBoard {
				content.ApplyTarget = l.ApplyTarget
			}
			if len(l.Places) > len(suffixes) && len(content.Places) == len(suffixes) {
				content.Places = append(content.Places, l.Places[len(suffixes):]...)
			}
			edited, err := e.Listings.Edit(ctx, tx, l.ID, content)
			if err != nil {
				return err
			}
			done = "desk.saved"
			if edited.Pending {
				done = "desk.waiting"
			}
			if c.PostForm("resubmit") != "" {
				_, err = e.Listings.Submit(ctx, tx, l.ID)
				done = "desk.resubmitted"
			}
			return err
		})
	}
	if fault.Is(err, fault.Invalid) {
		return e.listingPage(c, v, err)
	}
	if fault.Is(err, fault.Conflict) { // removed meanwhile
		return route.SeeOther(c, "/employers/listings/"+c.Param("id")+"?ok=desk.stale")
	}
	if err != nil {
		return err
	}
	return route.SeeOther(c, "/employers/listings/"+c.Param("id")+"?ok="+done)
}

// move pauses, resumes, fills or removes.
func (e *Employer) move(c *gin.Context) error {
	act := c.PostForm("act")
	err := e.write(c, func(ctx context.Context, tx bun.IDB) error {
		l, err := e.own(ctx, c, tx)
		if err != nil {
			return err
		}
		switch act {
		case "pause":
			_, err = e.Listings.Pause(ctx, tx, l.ID, "")
		case "resume":
			_, err = e.Listings.Resume(ctx, tx, l.ID)
		case "fill":
			_, err = e.Listings.MarkFilled(ctx, tx, l.ID)
		case "remove":
			_, err = e.Listings.Remove(ctx, tx, l.ID, "by the employer")
		default:
			err = fault.New(fault.Invalid, "unknown act")
		}
		return err
	})
	if fault.Is(err, fault.Conflict) { // somebody else was quicker
		return route.SeeOther(c, "/employers/listings/"+c.Param("id")+"?ok=desk.stale")
	}
	if err != nil {
		return err
	}
	if act == "remove" {
		return route.SeeOther(c, "/employers/desk?ok=desk.remove")
	}
	return route.SeeOther(c, "/employers/listings/"+c.Param("id")+"?ok=desk."+act)
}

// relist puts a closed listing back: it needs a new posting, so it goes to the
// products.
func (e *Employer) relist(c *gin.Context) error {
	var l *listings.Listing
	err := e.write(c, func(ctx context.Context, tx bun.IDB) (err error) {
		if l, err = e.own(ctx, c, tx); err != nil {
			return err
		}
		l, err = e.Listings.Relist(ctx, tx, l.ID)
		return err
	})
	if fault.Is(err, fault.Conflict) {
		return route.SeeOther(c, "/employers/listings/"+c.Param("id")+"?ok=desk.stale")
	}
	if err != nil {
		return err
	}
	if l.State == listings.AwaitingPayment {
		return route.SeeOther(c, "/post/"+e.draftToken(tenant.From(c.Request.Context()).ID, l.ID)+"/products")
	}
	return route.SeeOther(c, "/employers/listings/"+l.ID.String()+"?ok=desk.relisted")
}

func (e *Employer) applicants(c *gin.Context) error {
	var l *listings.Listing
	var rows []candidates.Application
	err := e.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		if l, err = e.own(ctx, c, tx); err != nil {
			return err
		}
		rows, err = e.Candidates.Applicants(ctx, tx, session(c).Person.ID, l.ID, c.Query("status"))
		return err
	})
	if err != nil {
		return err
	}
	return e.render(c, http.StatusOK, "applicants", e.t(c, "applicants.title", l.Title), map[string]any{"L": l, "Rows": rows, "Status": c.Query("status"), "Statuses": append(candidates.Statuses(), candidates.Withdrawn)},
		console.Link{Label: e.t(c, "shell.csv"), URL: "/employers/listings/" + l.ID.String() + "/applicants.csv", Icon: "download"})
}

func (e *Employer) applicantsCSV(c *gin.Context) error {
	var l *listings.Listing
	var rows []candidates.Application
	err := e.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		if l, err = e.own(ctx, c, tx); err != nil {
			return err
		}
		rows, err = e.Candidates.Applicants(ctx, tx, session(c).Person.ID, l.ID, "")
		return err
	})
	if err != nil {
		return err
	}
	var b strings.Builder
	if err := candidates.WriteCSV(&b, rows); err != nil {
		return err
	}
	c.Header("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": "applicants-" + l.Slug + ".csv"}))
	c.Data(http.StatusOK, "text/csv; charset=utf-8", []byte(b.String()))
	return nil
}

func (e *Employer) applicationID(c *gin.Context) (uuid.UUID, error) {
	id, err := uuid.Parse(c.Param("id"))
	if err != nil {
		return id, fault.New(fault.NotFound, "no such application")
	}
	return id, nil
}

func (e *Employer) application(c *gin.Context) error { return e.applicationPage(c, "", nil) }

func (e *Employer) applicationPage(c *gin.Context, body string, cause error) error {
	id, err := e.applicationID(c)
	if err != nil {
		return err
	}
	var a *candidates.Application
	var l *listings.Listing
	var replies []candidates.Reply
	err = e.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		a, l, replies, err = e.Candidates.Application(ctx, tx, session(c).Person.ID, id)
		return err
	})
	if err != nil {
		return err
	}
	title := a.Name
	if a.WithdrawnAt != nil {
		title = e.t(c, "application.withdrawn_title")
	}
	status := http.StatusOK
	if cause != nil {
		status = route.Status(cause)
	}
	return e.render(c, status, "application", title, map[string]any{"A": a, "L": l, "Replies": replies, "Body": body, "Errors": e.shell.Explain(e.locale(c), cause),
		"Statuses": e.options(c, "status.", candidates.Statuses())})
}

func (e *Employer) setStatus(c *gin.Context) error {
	id, err := e.applicationID(c)
	if err != nil {
		return err
	}
	err = e.write(c, func(ctx context.Context, tx bun.IDB) error {
		return e.Candidates.SetStatus(ctx, tx, session(c).Person.ID, id, c.PostForm("status"))
	})
	if fault.Is(err, fault.Conflict) {
		return route.SeeOther(c, "/employers/applications/"+id.String())
	}
	if err != nil {
		return err
	}
	return route.SeeOther(c, "/employers/applications/"+id.String()+"?ok=application.status")
}

func (e *Employer) reply(c *gin.Context) error {
	id, err := e.applicationID(c)
	if err != nil {
		return err
	}
	err = e.write(c, func(ctx context.Context, tx bun.IDB) error {
		return e.Candidates.Answer(ctx, tx, session(c).Person.ID, id, c.PostForm("body"))
	})
	if fault.Is(err, fault.Invalid) {
		return e.applicationPage(c, c.PostForm("body"), err)
	}
	if fault.Is(err, fault.Conflict) { // withdrawn meanwhile: the page says so
		return route.SeeOther(c, "/employers/applications/"+id.String())
	}
	if err != nil {
		return err
	}
	return route.SeeOther(c, "/employers/applications/"+id.String()+"?ok=application.replied")
}

// cv sends the file, or leads to it where uploads have a host of their own.
func (e *Employer) cv(c *gin.Context) error {
	id, err := e.applicationID(c)
	if err != nil {
		return err
	}
	a, r, err := e.Candidates.CV(c.Request.Context(), session(c).Person.ID, id, c.Query("token"))
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	if origin := e.Site.FilesOrigin; origin != "" {
		t := tenant.From(c.Request.Context())
		c.Header("Referrer-Policy", "no-referrer")
		return route.SeeOther(c, origin+"/x/"+t.ID.String()+"/cv/"+a.ID.String()+"/"+e.Candidates.CVLink(t.ID, a.ListingID, a.ID))
	}
	site.SendCV(c, a, r)
	return nil
}

func (e *Employer) orders(c *gin.Context) error {
	var rows []billing.Line
	err := e.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		rows, err = e.Billing.OrdersOf(ctx, tx, session(c).Person.ID)
		return err
	})
	if err != nil {
		return err
	}
	return e.render(c, http.StatusOK, "orders", e.t(c, "desk.nav.orders"), map[string]any{"Orders": rows})
}
