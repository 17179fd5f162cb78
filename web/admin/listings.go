package admin

import (
	"bytes"
	"context"
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
	"shingle/billing"
	"shingle/billing/plans"
	"shingle/internal/fault"
	"shingle/listings"
	"shingle/tenant"
	"shingle/web/console"
	"shingle/web/route"
)

// listFilterOf reads a list's address.
func listFilterOf(c *gin.Context) listFilter {
	f := listFilter{Query: strings.TrimSpace(c.Query("q")), State: c.Query("state"), Category: c.Query("category"), Source: c.Query("source"),
		Sort: c.Query("sort"), Page: route.Page(c)}
	if !listings.State(f.State).Valid() {
		f.State = ""
	}
	return f
}

// sources are where listings come from, as the filter shows them.
func sources() []string {
	return []string{listings.FromEmployer, listings.FromBoard, listings.FromImport}
}

// listings is all of the board's listings.
func (a *Admin) listings(c *gin.Context) error {
	f := listFilterOf(c)
	var rows []listingRow
	var total int
	var counts map[listings.State]int
	var cats []listings.Category
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		if counts, err = a.Listings.Counts(ctx, tx); err != nil {
			return err
		}
		if rows, total, err = readListings(ctx, tx, f, counts); err != nil {
			return err
		}
		cats, err = a.Listings.Categories(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	states := []console.Option{{Value: "", Label: a.t(c, "work.listings.any_state"), Selected: f.State == ""}}
	for _, s := range listings.States() {
		if counts[s] > 0 || string(s) == f.State {
			states = append(states, console.Option{Value: string(s), Label: a.t(c, "work.state."+string(s)) + " (" + strconv.Itoa(counts[s]) + ")", Selected: string(s) == f.State})
		}
	}
	categories := append([]console.Option{{Label: a.t(c, "work.listings.any_category")}}, categoryChoices(cats)...)
	for i := range categories {
		categories[i].Selected = categories[i].Value == f.Category
	}
	from := append([]console.Option{{Label: a.t(c, "work.listings.any_source")}}, a.choices(c, "work.source.", sources())...)
	for i := range from {
		from[i].Selected = from[i].Value == f.Source
	}
	q := c.Request.URL.Query()
	export := "/admin/listings.csv"
	if raw := clean(q).Encode(); raw != "" {
		export += "?" + raw
	}
	actions := []console.Link{{Label: a.t(c, "shell.csv"), URL: export, Icon: "download"}}
	if a.may(c, "listing", "write") {
		actions = slices.Insert(actions, 0, console.Link{Label: a.t(c, "work.listings.new"), URL: "/admin/listings/new", Icon: "plus"})
	}
	return a.render(c, http.StatusOK, "listings", a.t(c, "admin.nav.listings"), map[string]any{"Rows": rows, "F": f, "States": states, "Categories": categories,
		"Sources": from, "Query": q, "Back": "/admin/listings?" + clean(q).Encode(), "Filtered": f.Query != "" || f.State != "" || f.Category != "" || f.Source != "",
		"Pager": console.Pager(f.Page, pageSize, total, q), "Heads": a.heads(c, f.Sort, q), "CanWrite": a.may(c, "listing", "write"), "CanDelete": a.may(c, "listing", "delete")}, actions...)
}

// clean is an address's query without notices.
func clean(q url.Values) url.Values {
	out := url.Values{}
	for k, v := range q {
		if k != "ok" && k != "undo" && k != "n" && len(v) > 0 && v[0] != "" {
			out[k] = v
		}
	}
	return out
}

// head is a column's head that sorts by it.
type head struct {
	Label, URL, Aria string // Aria is the aria-sort value
	Num, Hide        bool
}

func (a *Admin) heads(c *gin.Context, sort string, q url.Values) []head {
	var out []head
	for _, col := range []struct {
		key, first string
		num, hide  bool
	}{{"title", "title", false, false}, {"company", "company", false, true}, {"state", "", false, false}, {"applications", "-applications", true, true},
		{"published", "-published", false, true}, {"ends", "ends", false, false}} {
		h := head{Label: a.t(c, "work.listings.col_"+col.key), Num: col.num, Hide: col.hide}
		if col.first != "" {
			next := col.first
			switch sort {
			case col.key:
				h.Aria, next = "ascending", "-"+col.key
			case "-" + col.key:
				h.Aria, next = "descending", col.key
			}
			v := clean(q)
			v.Del("page")
			v.Set("sort", next)
			h.URL = "/admin/listings?" + v.Encode()
		}
		out = append(out, h)
	}
	return out
}

// listingsCSV is the list as a file that the import reads again.
func (a *Admin) listingsCSV(c *gin.Context) error {
	f := listFilterOf(c)
	var b bytes.Buffer
	err := a.read(c, func(ctx context.Context, tx bun.IDB) error {
		return a.Listings.ExportCSV(ctx, tx, &b, listings.Filter{State: listings.State(f.State), Query: f.Query, Category: f.Category, Source: f.Source})
	})
	if err != nil {
		return err
	}
	name := tenant.From(c.Request.Context()).Slug + "-listings-" + a.Now().Format(time.DateOnly) + ".csv"
	c.Header("Content-Disposition", `attachment; filename="`+name+`"`)
	c.Data(http.StatusOK, "text/csv; charset=utf-8", b.Bytes())
	return nil
}

// bulkActs are what may be done with many listings at once, each with the act
// that undoes it.
var bulkActs = map[string]struct {
	undo, act string
	from      []listings.State // nil: any but the end
}{
	"pause":   {"resume", "listing.paused", []listings.State{listings.Live}},
	"resume":  {"pause", "listing.resumed", []listings.State{listings.Paused}},
	"remove":  {"restore", "listing.removed", nil},
	"restore": {"", "listing.restored", []listings.State{listings.Removed}},
	"feature": {"", "listing.featured", []listings.State{listings.Live, listings.Paused}},
}

// bulkFeatureDays is how long a bulk act features listings.
const bulkFeatureDays = 30

// bulk acts on the ticked listings. Those whose state does not allow it are
// left as they are; the notice says how many were changed. What it undoes, it
// gets by its address, so the form's values are read from both.
func (a *Admin) bulk(c *gin.Context) error {
	if err := c.Request.ParseForm(); err != nil {
		return fault.Wrap(err, fault.Invalid, "the form could not be read")
	}
	name := c.Request.Form.Get("act")
	how, ok := bulkActs[name]
	if !ok {
		return fault.New(fault.Invalid, "no such act")
	}
	if (name == "remove" || name == "restore") && !a.may(c, "listing", "delete") {
		return fault.New(fault.Forbidden, "admin.forbidden")
	}
	var ids []uuid.UUID
	for _, s := range c.Request.Form["id"] {
		if id, err := uuid.Parse(s); err == nil && len(ids) < 200 && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	var done []uuid.UUID
	full := false // the plan had no room for some
	err := a.DB.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		done, full = nil, false
		for _, id := range ids {
			l, err := a.Listings.ByID(ctx, tx, id)
			if fault.Is(err, fault.NotFound) {
				continue
			}
			if err != nil {
				return err
			}
			if how.from != nil && !slices.Contains(how.from, l.State) || name == "remove" && l.State == listings.Removed || name == "feature" && l.Featured {
				continue
			}
			err = a.move(ctx, tx, name, "", id)
			if strings.HasPrefix(fault.TextOf(err), "plan.limit.") {
				full = true // nothing was changed: the next may need no room
				continue
			}
			if fault.Is(err, fault.Conflict) {
				continue
			}
			if err != nil {
				return err
			}
			done = append(done, id)
			if err := authz.Record(ctx, tx, authz.Act{Act: how.act, ObjectKind: "listing", ObjectID: id.String(), Detail: map[string]any{"bulk": len(ids)}}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	to, _ := url.Parse(formBack(c, "/admin/listings"))
	q := url.Values{}
	if to != nil {
		q = clean(to.Query())
	}
	q.Set("n", strconv.Itoa(len(done)))
	if how.undo != "" && len(done) > 0 {
		undo := url.Values{"act": {how.undo}}
		for _, id := range done {
			undo.Add("id", id.String())
		}
		q.Set("undo", "/admin/listings/bulk?"+undo.Encode())
	}
	notice := "listings." + name
	if full {
		notice += "_full"
	}
	return a.back(c, "/admin/listings?"+q.Encode(), notice)
}

// move does one act by its name, in the caller's transaction.
func (a *Admin) move(ctx context.Context, tx bun.IDB, name, reason string, id uuid.UUID) (err error) {
	switch name {
	case "pause":
		_, err = a.Listings.Pause(ctx, tx, id, reason)
	case "resume":
		_, err = a.Listings.Resume(ctx, tx, id)
	case "fill":
		_, err = a.Listings.MarkFilled(ctx, tx, id)
	case "remove":
		_, err = a.Listings.Remove(ctx, tx, id, "")
	case "restore":
		err = a.restore(ctx, tx, id)
	case "feature":
		err = a.Listings.Grant(ctx, tx, listings.Entitlement{ListingID: id, Kind: listings.Feature, Days: bulkFeatureDays, Reason: "granted by the board"})
	default:
		err = fault.New(fault.Invalid, "no such act")
	}
	return err
}

// restore undoes a removal, when the plan has room for what comes back.
func (a *Admin) restore(ctx context.Context, tx bun.IDB, id uuid.UUID) error {
	to, err := a.Listings.RestoresTo(ctx, tx, id)
	if err != nil {
		return err
	}
	if slices.Contains(plans.Occupying, to) {
		if err := a.Plans.Room(ctx, tx, plans.Listings, 1); err != nil {
			return err
		}
	}
	_, err = a.Listings.Restore(ctx, tx, id)
	return err
}

// event is one line of a listing's history.
type event struct {
	At                time.Time
	Text, Who, Reason string
}

// actsOf are what the team may do with a listing in each state.
var actsOf = map[listings.State][]string{
	listings.Draft: {"publish"}, listings.AwaitingPayment: {"publish"},
	listings.Live:   {"pause", "fill", "extend", "feature"},
	listings.Paused: {"resume", "fill", "extend"},
	listings.Filled: {"resume"}, listings.Expired: {"publish"},
}

func (a *Admin) listing(c *gin.Context) error { return a.showListing(c, nil) }

// showListing is everything that the team may know of one listing. It counts
// applications and shows none.
func (a *Admin) showListing(c *gin.Context, cause error) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	var l *listings.Listing
	var moves []listings.Move
	var edits []listings.Revision
	var grants []listings.Entitlement
	var orders []billing.Line
	var email string
	applications, fresh := map[uuid.UUID]int{}, map[uuid.UUID]int{}
	err = a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		if l, err = a.Listings.Full(ctx, tx, id); err != nil {
			return err
		}
		if moves, err = a.Listings.Moves(ctx, tx, id); err != nil {
			return err
		}
		if edits, err = a.Listings.Revisions(ctx, tx, id); err != nil {
			return err
		}
		if grants, err = a.Listings.Entitlements(ctx, tx, id); err != nil {
			return err
		}
		if email, _, err = a.Listings.Contact(ctx, tx, l); err != nil {
			return err
		}
		if a.may(c, "order", "read") {
			if orders, _, err = a.Billing.Orders(ctx, tx, billing.Filter{Listing: id}); err != nil {
				return err
			}
		}
		applications, fresh, err = a.Candidates.Counts(ctx, tx, []uuid.UUID{id})
		return err
	})
	if err != nil {
		return err
	}
	t := tenant.From(c.Request.Context())
	pending := slices.ContainsFunc(edits, func(r listings.Revision) bool { return r.State == listings.Pending })
	ended := l.EndsAt == nil || !l.EndsAt.After(a.Now())
	acts := slices.DeleteFunc(slices.Clone(actsOf[l.State]), func(s string) bool {
		return s == "feature" && l.Featured || s == "resume" && l.State == listings.Filled && ended
	})
	data := map[string]any{"L": l, "Acts": acts, "Events": a.events(c, moves, edits), "Grants": grants, "Orders": orders, "Email": email,
		"Applications": applications[id], "Fresh": fresh[id], "URL": a.Links.Board(t, l.Path()), "Public": l.State.Public(), "Pending": pending,
		"Errors": a.fieldErrors(c, cause), "Days": c.DefaultPostForm("days", "30"), "Note": c.PostForm("note"), "Reason": c.PostForm("reason"),
		"CanWrite": a.may(c, "listing", "write"), "CanDelete": a.may(c, "listing", "delete"), "CanModerate": a.may(c, "listing", "moderate"), "CanOrders": a.may(c, "order", "read"),
		"CanReject": listings.MayMove(l.State, listings.Rejected) && l.State != listings.InReview && l.State != listings.Removed && l.State != listings.Draft && l.PersonID != nil,
		"Pay":       a.Site.Writer(t).Pay(l.SalaryMin, l.SalaryMax, l.SalaryCurrency, l.SalaryPeriod), "Locale": a.locale(c), "Places": placesText(l, a.locale(c))}
	p := a.page(c, l.Title)
	p.Crumbs = []console.Link{{Label: a.t(c, "admin.nav.listings"), URL: "/admin/listings"}}
	if a.may(c, "listing", "write") && l.State != listings.Removed {
		p.Actions = append(p.Actions, console.Link{Label: a.t(c, "work.listing.edit"), URL: "/admin/listings/" + id.String() + "/edit", Icon: "pencil"})
	}
	p.Actions = append(p.Actions, console.Link{Label: a.t(c, "work.listing.preview"), URL: "/admin/listings/" + id.String() + "/preview", Icon: "eye"})
	return a.shell.Render(c, statusOf(cause), "listing", p, data)
}

func placesText(l *listings.Listing, locale string) string {
	out := make([]string, len(l.Places))
	for i, p := range l.Places {
		out[i] = p.Label(locale)
	}
	return strings.Join(out, "; ")
}

// events is a listing's moves and edits as one history, newest first.
func (a *Admin) events(c *gin.Context, moves []listings.Move, edits []listings.Revision) []event {
	where := tenant.From(c.Request.Context()).Location()
	var out []event
	for _, m := range moves {
		key := "work.moved." + string(m.To)
		if m.From == "" && m.To == listings.Draft {
			key = "work.moved.created"
		}
		out = append(out, event{At: m.At.In(where), Text: a.t(c, key), Who: a.t(c, "work.actor."+string(m.ActorKind)), Reason: a.reason(c, m.Reason)})
	}
	for _, r := range edits {
		out = append(out, event{At: r.CreatedAt.In(where), Text: a.t(c, "work.edited."+r.State), Who: a.t(c, "work.actor."+string(r.AuthorKind)), Reason: r.Note})
	}
	slices.SortStableFunc(out, func(x, y event) int { return y.At.Compare(x.At) })
	return out
}

// reason translates the reasons that the rules write themselves.
func (a *Admin) reason(c *gin.Context, s string) string {
	key := "work.reason." + strings.ReplaceAll(s, " ", "_")
	if text := a.shell.Text(a.locale(c), key); text != key {
		return text
	}
	return s
}

// actOnListing runs one of the page's acts.
func (a *Admin) actOnListing(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	name := c.PostForm("act")
	self := "/admin/listings/" + id.String()
	past := map[string]string{"pause": "listing.paused", "resume": "listing.resumed", "fill": "listing.filled", "publish": "listing.published",
		"extend": "listing.extended", "feature": "listing.featured"}[name]
	if past == "" {
		return fault.New(fault.Invalid, "no such act")
	}
	n := 0
	if name == "publish" || name == "extend" || name == "feature" {
		if n, err = days(c); err != nil {
			return a.showListing(c, err)
		}
	}
	detail := map[string]any{}
	if n > 0 {
		detail["days"] = n
	}
	err = a.act(c, authz.Act{Act: past, ObjectKind: "listing", ObjectID: id.String(), Detail: detail}, func(ctx context.Context, tx bun.IDB) error {
		if n == 0 {
			return a.move(ctx, tx, name, c.PostForm("reason"), id)
		}
		kind := listings.Posting
		if name == "feature" {
			kind = listings.Feature
		}
		if name == "publish" {
			if err := a.Plans.Room(ctx, tx, plans.Listings, 1); err != nil {
				return err
			}
		}
		if err := a.Listings.Grant(ctx, tx, listings.Entitlement{ListingID: id, Kind: kind, Days: n, Reason: "granted by the board"}); err != nil || name != "publish" {
			return err
		}
		_, err := a.Listings.Submit(ctx, tx, id)
		return err
	})
	if refused(err) {
		return a.showListing(c, err)
	}
	if err != nil {
		return err
	}
	return a.back(c, self, past)
}

// removeListing takes a listing away; the notice offers to undo it.
func (a *Admin) removeListing(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	self := "/admin/listings/" + id.String()
	err = a.act(c, authz.Act{Act: "listing.removed", ObjectKind: "listing", ObjectID: id.String()}, func(ctx context.Context, tx bun.IDB) error {
		_, err := a.Listings.Remove(ctx, tx, id, strings.TrimSpace(c.PostForm("note")))
		return err
	})
	if refused(err) {
		return a.showListing(c, err)
	}
	if err != nil {
		return err
	}
	return a.back(c, self+"?undo="+url.QueryEscape(self+"/restore"), "listing.removed")
}

func (a *Admin) restoreListing(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	err = a.act(c, authz.Act{Act: "listing.restored", ObjectKind: "listing", ObjectID: id.String()}, func(ctx context.Context, tx bun.IDB) error {
		return a.restore(ctx, tx, id)
	})
	if refused(err) {
		return a.showListing(c, err)
	}
	if err != nil {
		return err
	}
	return a.back(c, "/admin/listings/"+id.String(), "listing.restored")
}
