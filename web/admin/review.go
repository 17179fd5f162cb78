package admin

import (
	"context"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/billing"
	"shingle/internal/fault"
	"shingle/listings"
	"shingle/tenant"
	"shingle/themes"
	"shingle/web/console"
	"shingle/web/site"
)

// reviewQueue lists what waits for a decision, oldest first.
func (a *Admin) reviewQueue(c *gin.Context) error {
	var items []listings.ReviewItem
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		items, err = a.Listings.ReviewQueue(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	return a.render(c, http.StatusOK, "review", a.t(c, "admin.nav.review"), map[string]any{"Items": items,
		"Moderated": tenant.From(c.Request.Context()).Moderated, "CanSettings": a.may(c, "settings", "write")})
}

// change is a field of an edit, with words in place of values.
type change struct {
	Label, Old, New string
	HTML, Image     bool
}

// reviewed is one thing under review with what is known of it.
type reviewed struct {
	listings.ReviewItem
	N, Of      int
	Prev, Next string
	Changes    []change
	Email      string
	Orders     []billing.Line
	Refundable bool
}

func (a *Admin) reviewItem(c *gin.Context) error { return a.showReview(c, nil) }

// showReview shows one item beside its exact preview; cause is why a decision
// was refused.
func (a *Admin) showReview(c *gin.Context, cause error) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	var it *reviewed
	err = a.read(c, func(ctx context.Context, tx bun.IDB) error {
		items, err := a.Listings.ReviewQueue(ctx, tx)
		if err != nil {
			return err
		}
		for i := range items {
			if items[i].Listing.ID != id {
				continue
			}
			it = &reviewed{ReviewItem: items[i], N: i + 1, Of: len(items)}
			if i > 0 {
				it.Prev = reviewPath(items[i-1].Listing.ID)
			}
			if i+1 < len(items) {
				it.Next = reviewPath(items[i+1].Listing.ID)
			}
			break
		}
		if it == nil {
			return nil
		}
		if it.Email, _, err = a.Listings.Contact(ctx, tx, it.Listing); err != nil {
			return err
		}
		it.Orders, _, err = a.Billing.Orders(ctx, tx, billing.Filter{Listing: id, PerPage: 5})
		return err
	})
	if err != nil {
		return err
	}
	if it == nil {
		// Somebody else has decided it.
		return a.back(c, "/admin/review", "review.decided")
	}
	for i := range it.Orders {
		it.Refundable = it.Refundable || it.Orders[i].Refundable()
	}
	it.Listing = it.Listing.AsOut()
	it.Changes = a.changes(c, it.Listing, it.ReviewItem.Changes)
	preview := "/admin/listings/" + id.String() + "/preview"
	if it.Revision != nil {
		preview += "?revision=" + it.Revision.ID.String()
	}
	p := a.page(c, it.Listing.Title)
	p.Crumbs = []console.Link{{Label: a.t(c, "admin.nav.review"), URL: "/admin/review"}}
	return a.shell.Render(c, statusOf(cause), "review_item", p, map[string]any{"R": it, "Preview": preview, "Errors": a.fieldErrors(c, cause), "Note": c.PostForm("note"),
		"Tried": c.GetString(triedKey), "CanOrders": a.may(c, "order", "read"), "Type": a.t(c, "work.type."+it.Listing.EmploymentType),
		"Workplace": a.t(c, "work.workplace."+it.Listing.Workplace)})
}

// triedKey remembers which form was refused, so that it opens again.
const triedKey = "review_tried"

func reviewPath(id uuid.UUID) string { return "/admin/review/" + id.String() }

// changes puts words in the place of stored values.
func (a *Admin) changes(c *gin.Context, l *listings.Listing, in []listings.Change) []change {
	words := map[string]string{listings.FieldEmployment: "work.type.", listings.FieldWorkplace: "work.workplace.", listings.FieldSeniority: "work.seniority.",
		listings.FieldSalaryPeriod: "work.period.", listings.FieldApplyMethod: "work.apply."}
	out := make([]change, len(in))
	for i, ch := range in {
		out[i] = change{Label: a.t(c, "work.field."+ch.Field), Old: ch.Old, New: ch.New, HTML: ch.HTML}
		if ch.Field == listings.FieldLogo {
			out[i].New, out[i].Image = site.FileURL(ch.New), true
			if l.Company.LogoKey != "" {
				out[i].Old = site.FileURL(l.Company.LogoKey)
			}
		}
		if prefix := words[ch.Field]; prefix != "" {
			for _, v := range []*string{&out[i].Old, &out[i].New} {
				if *v != "" {
					*v = a.t(c, prefix+*v)
				}
			}
		}
	}
	return out
}

// decide runs a decision and leads to what waits next; a refusal comes back to
// the item.
func (a *Admin) decide(c *gin.Context, id uuid.UUID, form, done string, act authz.Act, fn tenant.Fn) error {
	next := "/admin/review"
	err := a.act(c, act, func(ctx context.Context, tx bun.IDB) error {
		if err := fn(ctx, tx); err != nil {
			return err
		}
		items, err := a.Listings.ReviewQueue(ctx, tx)
		for i := range items {
			if items[i].Listing.ID != id {
				next = reviewPath(items[i].Listing.ID)
				break
			}
		}
		return err
	})
	listing := c.PostForm("from") == "listing" // decided on the listing's own page
	switch {
	case refused(err) && listing:
		return a.showListing(c, err)
	case refused(err):
		c.Set(triedKey, form)
		return a.showReview(c, err)
	case err != nil:
		return err
	case listing:
		next = "/admin/listings/" + id.String()
	}
	return a.back(c, next, done)
}

func (a *Admin) approve(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	return a.decide(c, id, "approve", "review.approved", authz.Act{Act: "listing.approved", ObjectKind: "listing", ObjectID: id.String()},
		func(ctx context.Context, tx bun.IDB) error {
			// What is published is what was looked at: the form says which version it showed.
			version, _ := strconv.ParseInt(c.PostForm("version"), 10, 64)
			_, err := a.Listings.Approve(ctx, tx, id, version)
			return err
		})
}

// sendBack asks for changes; what was paid stays paid.
func (a *Admin) sendBack(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	return a.decide(c, id, "send-back", "review.sent_back", authz.Act{Act: "listing.sent_back", ObjectKind: "listing", ObjectID: id.String()},
		func(ctx context.Context, tx bun.IDB) error {
			_, err := a.Listings.SendBack(ctx, tx, id, c.PostForm("note"))
			return err
		})
}

// reject refuses a listing for good and gives back what it cost, in one
// transaction: no rejection keeps the money.
func (a *Admin) reject(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	detail := map[string]any{}
	return a.decide(c, id, "reject", "review.rejected", authz.Act{Act: "listing.rejected", ObjectKind: "listing", ObjectID: id.String(), Detail: detail},
		func(ctx context.Context, tx bun.IDB) error {
			refund, err := a.rejectAndRefund(ctx, tx, id, c.PostForm("note"))
			detail["refund"] = refund
			return err
		})
}

// rejectAndRefund runs in the caller's transaction.
func (a *Admin) rejectAndRefund(ctx context.Context, tx bun.IDB, id uuid.UUID, note string) (bool, error) {
	if _, err := a.Listings.Reject(ctx, tx, id, note); err != nil {
		return false, err
	}
	refund, err := a.Billing.RefundListing(ctx, tx, id, note)
	if fault.Is(err, fault.Conflict) {
		return true, nil // on its way back already
	}
	return refund, err
}

// onRevision decides about an edit of a listing that is out.
func (a *Admin) onRevision(c *gin.Context, form, done, act string, fn func(ctx context.Context, tx bun.IDB, revision uuid.UUID) error) error {
	revision, err := pathID(c)
	if err != nil {
		return err
	}
	listing, err := uuid.Parse(c.PostForm("listing"))
	if err != nil {
		return fault.New(fault.NotFound, "no such listing")
	}
	c.Params = gin.Params{{Key: "id", Value: listing.String()}} // the page to come back to
	return a.decide(c, listing, form, done, authz.Act{Act: act, ObjectKind: "listing", ObjectID: listing.String(), Detail: map[string]any{"revision": revision.String()}},
		func(ctx context.Context, tx bun.IDB) error { return fn(ctx, tx, revision) })
}

func (a *Admin) approveRevision(c *gin.Context) error {
	return a.onRevision(c, "approve", "review.edit_approved", "revision.approved", func(ctx context.Context, tx bun.IDB, id uuid.UUID) error {
		_, err := a.Listings.ApproveRevision(ctx, tx, id)
		return err
	})
}

func (a *Admin) refuseRevision(c *gin.Context) error {
	return a.onRevision(c, "refuse", "review.edit_refused", "revision.rejected", func(ctx context.Context, tx bun.IDB, id uuid.UUID) error {
		_, err := a.Listings.RejectRevision(ctx, tx, id, c.PostForm("note"))
		return err
	})
}

// previewListing is the listing's page exactly as visitors get it; with
// ?revision= as it would be after the edit.
func (a *Admin) previewListing(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	var l *listings.Listing
	err = a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		if l, err = a.Listings.Full(ctx, tx, id); err != nil || c.Query("revision") == "" {
			return err
		}
		r, err := a.Listings.PendingRevision(ctx, tx, id)
		if err != nil {
			return err
		}
		if r == nil || r.ID.String() != c.Query("revision") {
			return fault.New(fault.NotFound, "no such edit")
		}
		cats, err := a.Listings.Categories(ctx, tx)
		withContent(l, r.Content, cats)
		return err
	})
	if err != nil {
		return err
	}
	v, err := a.Site.View(c.Request.Context())
	if err != nil {
		return err
	}
	p := a.Site.ListingView(v, l.AsOut())
	p.State, p.Robots, p.JSONLD, p.Canonical, p.ReportURL = themes.Live, "noindex", nil, "", ""
	return a.Site.Render(c, v, http.StatusOK, "listing", p)
}

// withContent shows a listing as an edit would leave it.
func withContent(l *listings.Listing, r listings.Content, cats []listings.Category) {
	l.Title, l.EmploymentType, l.Workplace, l.Seniority = r.Title, r.EmploymentType, r.Workplace, r.Seniority
	l.SalaryMin, l.SalaryMax, l.SalaryCurrency, l.SalaryPeriod = r.SalaryMin, r.SalaryMax, r.SalaryCurrency, r.SalaryPeriod
	l.Description, l.Tags, l.ApplicantCountries, l.Places = listings.Sanitise(r.Description), r.Tags, r.Countries, r.Places
	l.ApplyMethod, l.ApplyTarget, l.Reference = r.ApplyMethod, r.ApplyTarget, r.Reference
	company := *l.Company
	if company.Name != r.Company {
		company.Name, company.LogoKey, company.Website = r.Company, "", "" // it moves to another company
	}
	if r.Logo != "" {
		company.LogoKey = r.Logo
	}
	if r.Website != "" {
		company.Website = r.Website
	}
	l.Company, l.Category = &company, nil
	for i := range cats {
		if cats[i].Slug == r.Category {
			l.Category = &cats[i]
		}
	}
}

// days reads a number of days from a form; kind fault.Invalid under "days".
func days(c *gin.Context) (int, error) {
	n, err := strconv.Atoi(c.PostForm("days"))
	if err != nil || n < 1 || n > 366 {
		return 0, fault.Invalids(fault.Fields{"days": "work.days.range"})
	}
	return n, nil
}
