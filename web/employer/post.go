package employer

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"golang.org/x/text/collate"
	"golang.org/x/text/language"

	"shingle/accounts"
	"shingle/billing"
	"shingle/billing/plans"
	"shingle/internal/fault"
	"shingle/internal/money"
	"shingle/listings"
	"shingle/tenant"
	"shingle/themes"
	"shingle/themes/looks"
	"shingle/web/console"
	"shingle/web/proof"
	"shingle/web/route"
	"shingle/web/site"
)

// showPost shows the form, filled in as it was typed.
func (e *Employer) showPost(c *gin.Context, status int, action string, v map[string]string, editing bool, cause error) error {
	view, err := e.Site.View(c.Request.Context())
	if err != nil {
		return err
	}
	t := view.T
	var cats []listings.Category
	var products []themes.Product
	err = e.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		if cats, err = e.Listings.Categories(ctx, tx); err != nil {
			return err
		}
		products, _, err = e.onSale(ctx, tx, view, uuid.Nil)
		return err
	})
	if err != nil {
		return err
	}
	p := themes.PostForm{Layout: e.Site.Layout(view, view.Say("post.title")), Form: e.Site.Form(view, action, v, cause), Editing: editing, Products: products,
		LogoLimit: view.Say("post.logo_limit"), CancelURL: "/employers"}
	p.Canonical = e.Links.Board(t, "/post")
	if !editing {
		p.Proof = proof.Post
	}
	if v["workplace"] == "" {
		v["workplace"], v["employment_type"], v["apply_method"], v["salary_period"] = listings.OnSite, listings.FullTime, listings.ApplyBoard, "year"
		v["salary_currency"], v["country"] = t.Currency, t.Country
	}
	p.Categories = []themes.Option{{Value: "", Text: view.Say("post.no_category"), Selected: v["category"] == ""}}
	for _, cat := range cats {
		p.Categories = append(p.Categories, themes.Option{Value: cat.Slug, Text: cat.Name, Selected: v["category"] == cat.Slug})
	}
	options := func(prefix string, values []string, chosen string) (out []themes.Option) {
		for _, value := range values {
			out = append(out, themes.Option{Value: value, Text: view.Say(prefix + value), Selected: value == chosen})
		}
		return out
	}
	p.Types = options("type.", listings.EmploymentTypes(), v["employment_type"])
	p.Workplaces = options("workplace.", listings.Workplaces(), v["workplace"])
	p.Periods = options("period.", listings.Periods(), v["salary_period"])
	p.Methods = options("apply_method.", listings.ApplyMethods(), v["apply_method"])
	for _, code := range listings.CountryCodes() {
		p.Countries = append(p.Countries, themes.Option{Value: code, Text: listings.CountryName(code, t.Locale), Selected: code == v["country"]})
	}
	order := collate.New(language.Make(t.Locale))
	slices.SortFunc(p.Countries, func(a, b themes.Option) int { return order.CompareString(a.Text, b.Text) })
	// The other places are typed: the list of countries stands on the page once.
	for _, suffix := range suffixes[1:] {
		if code := listings.CountryCode(v["country"+suffix]); code != "" {
			v["country"+suffix] = listings.CountryName(code, t.Locale)
		}
	}
	for _, o := range console.CurrencyOptions() {
		p.Currencies = append(p.Currencies, themes.Option{Value: o.Value, Text: o.Label, Selected: o.Value == v["salary_currency"]})
	}
	p.Preview = previewCard(view, v)
	c.Header("Cache-Control", "no-store")
	route.WithEditor(c.Writer.Header())
	return e.Site.Render(c, view, status, "post", p)
}

// previewCard is the card beside the form, before anything is typed.
func previewCard(view *site.View, v map[string]string) themes.Card {
	card := themes.Card{Title: v["title"], Company: v["company_name"], Place: v["city"], Type: view.Say("type." + v["employment_type"]), Workplace: view.Workplace(v["workplace"])}
	if card.Title == "" {
		card.Title = view.Say("post.sample_title")
	}
	if card.Company == "" {
		card.Company = view.Say("post.sample_company")
	}
	card.Logo = view.Logo(card.Company, listings.Slugify(card.Company, "company"), "")
	card.Age = view.When(view.Now)
	return card
}

func (e *Employer) postForm(c *gin.Context) error {
	v := map[string]string{}
	if s := session(c); s != nil {
		v["email"] = s.Person.Email
	}
	return e.showPost(c, http.StatusOK, "/post", v, false, nil)
}

// post stores the draft and leads to its preview. Nobody has paid or signed in.
func (e *Employer) post(c *gin.Context) error {
	t := tenant.From(c.Request.Context())
	perr := parse(c)
	v := typed(c)
	content, err := readPost(v, t, true)
	if perr != nil {
		err = perr
	}
	way := proof.Unproven
	if err == nil {
		way, err = e.Site.Proof.Of(c, proof.Post)
	}
	if err == nil && way == proof.Unproven {
		view, verr := e.Site.View(c.Request.Context())
		if verr != nil {
			return verr
		}
		// Not its title: the mail may go to anybody, and must not carry a stranger's words.
		if err = e.Site.Proof.Hold(c, proof.Post, content.Email, view.Say("held.post"), "company_logo"); err == nil {
			return e.Site.Held(c, view, content.Email)
		}
	}
	if err == nil {
		err = accounts.Posting.Allow(c.Request.Context(), e.Limits, t.ID, client(c).Network())
	}
	if err == nil { // it is written to about each, and whoever types it need not own it
		err = accounts.PostingFor.Allow(c.Request.Context(), e.Limits, t.ID, strings.ToLower(content.Email))
	}
	if err == nil {
		content.Logo, err = e.storeLogo(c)
	}
	var id uuid.UUID
	if err == nil {
		err = e.write(c, func(ctx context.Context, tx bun.IDB) error {
			person, err := e.People.FindOrCreate(ctx, tx, content.Email, "")
			if err != nil {
				return err
			}
			l, err := e.Listings.Create(ctx, tx, content, listings.Owner{PersonID: &person.ID, Source: listings.FromEmployer})
			if err != nil {
				return err
			}
			id = l.ID
			return nil
		})
	}
	if err != nil {
		if fault.Is(err, fault.Invalid) || fault.Is(err, fault.TooMany) || fault.Is(err, fault.Conflict) {
			route.RetryAfter(c, err)
			return e.showPost(c, route.Status(err), "/post", v, false, err)
		}
		e.Site.Proof.GiveBack(c)
		return err
	}
	return route.SeeOther(c, "/post/"+e.draftToken(t.ID, id)+"/preview")
}

// unpaid loads a draft that is still before its payment. One that is further
// leads to the desk.
func (e *Employer) unpaid(c *gin.Context) (*listings.Listing, string, bool, error) {
	l, token, err := e.draft(c)
	if err != nil {
		return nil, "", false, err
	}
	return l, token, l.State == listings.Draft || l.State == listings.AwaitingPayment, nil
}

func (e *Employer) editDraftForm(c *gin.Context) error {
	l, token, ok, err := e.unpaid(c)
	if err != nil {
		return err
	}
	if !ok {
		return route.SeeOther(c, "/employers/listings/"+l.ID.String())
	}
	v := valuesOf(listings.ContentOf(l), tenant.From(c.Request.Context()).Locale)
	return e.showPost(c, http.StatusOK, "/post/"+token, v, true, nil)
}

func (e *Employer) editDraft(c *gin.Context) error {
	l, token, ok, err := e.unpaid(c)
	if err != nil {
		return err
	}
	if !ok {
		return route.SeeOther(c, "/employers/listings/"+l.ID.String())
	}
	perr := parse(c)
	v := typed(c)
	content, err := readPost(v, tenant.From(c.Request.Context()), false)
	if perr != nil {
		err = perr
	}
	if err == nil {
		content.Logo, err = e.storeLogo(c)
	}
	if err == nil {
		err = e.write(c, func(ctx context.Context, tx bun.IDB) error {
			_, err := e.Listings.Edit(ctx, tx, l.ID, content)
			return err
		})
	}
	if err != nil {
		if fault.Is(err, fault.Invalid) {
			return e.showPost(c, route.Status(err), "/post/"+token, v, true, err)
		}
		return err
	}
	return route.SeeOther(c, "/post/"+token+"/preview")
}

// preview is the listing's page exactly as it will be, in a frame that says so.
func (e *Employer) preview(c *gin.Context) error {
	l, token, ok, err := e.unpaid(c)
	if err != nil {
		return err
	}
	if !ok {
		return route.SeeOther(c, "/employers/listings/"+l.ID.String())
	}
	v, err := e.Site.View(c.Request.Context())
	if err != nil {
		return err
	}
	p := e.Site.ListingView(v, l.AsOut())
	p.State, p.Robots, p.JSONLD, p.Canonical = themes.Live, "noindex", nil, ""
	p.Preview = &themes.PreviewBar{BackURL: "/post/" + token, NextURL: "/post/" + token + "/products"}
	p.ReportURL = ""
	c.Header("Cache-Control", "no-store")
	return e.Site.Render(c, v, http.StatusOK, "listing", p)
}

// onSale lists the products as a buyer sees them; those that the board cannot
// sell yet say why.
func (e *Employer) onSale(ctx context.Context, tx bun.IDB, v *site.View, chosen uuid.UUID) ([]themes.Product, string, error) {
	found, err := e.Billing.ProductsOnSale(ctx, tx)
	if err != nil {
		return nil, "", err
	}
	sell, err := e.Billing.CanSell(ctx, tx)
	if err != nil {
		return nil, "", err
	}
	blocked := ""
	if !sell.OK {
		blocked = v.Say("product.blocked")
	}
	var out []themes.Product
	advised := false
	for _, p := range found {
		item := themes.Product{ID: p.ID.String(), Name: p.Name, Line: p.Description, Featured: p.FeaturedDays > 0 && !advised, Selected: p.ID == chosen}
		advised = advised || item.Featured
		item.Includes = append(item.Includes, v.Say("product.days", p.DurationDays))
		if p.FeaturedDays > 0 {
			item.Includes = append(item.Includes, v.Say("product.featured", p.FeaturedDays))
		}
		item.Includes = append(item.Includes, v.Say("product.applicants"))
		if p.Free() {
			item.Price, item.Free = v.Say("product.free"), true
		} else {
			item.Price, item.Tax = money.Short(p.Price, p.Currency, v.T.Locale), v.Say("product.tax")
			item.Blocked = blocked
		}
		out = append(out, item)
	}
	if len(out) > 0 && chosen == uuid.Nil {
		for i := range out {
			if out[i].Blocked == "" {
				out[i].Selected = true
				break
			}
		}
	}
	return out, blocked, nil
}

func (e *Employer) products(c *gin.Context) error {
	l, token, ok, err := e.unpaid(c)
	if err != nil {
		return err
	}
	if !ok {
		return route.SeeOther(c, "/employers/listings/"+l.ID.String())
	}
	var cause error
	if c.Query("cancelled") != "" {
		cause = fault.New(fault.Conflict, "post.cancelled")
	}
	return e.showProducts(c, http.StatusOK, l, "/post/"+token+"/products", "/post/"+token+"/preview", uuid.Nil, cause)
}

func (e *Employer) showProducts(c *gin.Context, status int, l *listings.Listing, action, back string, chosen uuid.UUID, cause error) error {
	v, err := e.Site.View(c.Request.Context())
	if err != nil {
		return err
	}
	p := themes.PostProducts{Layout: e.Site.Layout(v, v.Say("products.title")), Form: e.Site.Form(v, action, map[string]string{"product": chosen.String()}, cause),
		Card: e.Site.CardOf(v, l), BackURL: back, TermsURL: e.Site.TermsURL(v), Reviewed: tenant.From(c.Request.Context()).Moderated}
	err = e.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		if p.Products, p.Blocked, err = e.onSale(ctx, tx, v, chosen); p.Blocked != "" {
			p.Blocked = v.Say("products.blocked")
		}
		for _, x := range p.Products {
			p.HasFree = p.HasFree || x.Free && x.Blocked == ""
			p.HasPaid = p.HasPaid || !x.Free && x.Blocked == ""
		}
		return err
	})
	if err != nil {
		return err
	}
	p.Robots = "noindex"
	c.Header("Cache-Control", "no-store")
	return e.Site.Render(c, v, status, "products", p)
}

// buy places the order and leads to Stripe's page, or straight to the end for a
// free product.
func (e *Employer) buy(c *gin.Context) error {
	l, token, ok, err := e.unpaid(c)
	if err != nil {
		return err
	}
	if !ok {
		return route.SeeOther(c, "/employers/listings/"+l.ID.String())
	}
	base := "/post/" + token
	return e.checkout(c, l, base+"/products", base+"/return", base+"/products?cancelled=1", base+"/preview")
}

// checkout is buying, for a new listing and for relisting: action is the form's
// own address, success and cancel where Stripe's page comes back to.
func (e *Employer) checkout(c *gin.Context, l *listings.Listing, action, success, cancel, back string) error {
	t := tenant.From(c.Request.Context())
	product, perr := uuid.Parse(c.PostForm("product"))
	fields := fault.Fields{}
	if perr != nil {
		fields["product"] = "products.choose"
	}
	if c.PostForm("terms") == "" {
		fields["terms"] = "products.terms"
	}
	err := fault.Invalids(fields)
	var order *billing.Order
	if err == nil {
		err = e.write(c, func(ctx context.Context, tx bun.IDB) error {
			version, err := looks.TermsVersion(ctx, tx)
			if err != nil {
				return err
			}
			if version == "" {
				version = "none@0" // the board has published no terms of its own
			}
			// Paid already, or a payment under way: nobody pays twice for one posting.
			if paid, err := e.Listings.Paid(ctx, tx, l.ID); err != nil || paid {
				return errors.Join(err, alreadyPaid(paid))
			}
			if o, err := e.Billing.LatestOrder(ctx, tx, l.ID); err == nil && o.State == billing.Processing {
				return alreadyPaid(true)
			}
			if l.PersonID == nil {
				return fault.New(fault.Conflict, "products.changed")
			}
			person, err := e.People.ByID(ctx, tx, *l.PersonID)
			if err != nil {
				return err
			}
			// Before the payment, never after it.
			if err := e.Plans.Room(ctx, tx, plans.Listings, 1); err != nil {
				return err
			}
			// Handed in first: what a free product fulfils at once must be waiting for it.
			if _, err := e.Listings.Submit(ctx, tx, l.ID); err != nil {
				return err
			}
			order, err = e.Billing.PlaceOrder(ctx, tx, billing.NewOrder{ListingID: l.ID, ProductID: product, PersonID: l.PersonID, Email: person.Email,
				TermsVersion: version, TermsAddress: c.ClientIP()})
			return err
		})
	}
	if err == nil && order.Free() {
		return route.SeeOther(c, success+"?order="+order.ID.String())
	}
	if err == nil {
		var to string
		to, err = e.Billing.Checkout(c.Request.Context(), order.ID, e.Links.Board(t, success), e.Links.Board(t, cancel))
		if err == nil {
			return route.SeeOther(c, to)
		}
	}
	if fault.Is(err, fault.Invalid) || fault.Is(err, fault.Conflict) || fault.Is(err, fault.Unavailable) {
		status := route.Status(err)
		switch { // what billing says is for the log, not for buyers
		case strings.HasPrefix(fault.TextOf(err), "plan.limit."):
			if terr := e.Plans.Refused(c.Request.Context(), t.ID); terr != nil {
				return terr
			}
			err = fault.Wrap(err, fault.Conflict, "products.full")
		case fault.Is(err, fault.Conflict):
			err = fault.Wrap(err, fault.Conflict, "products.changed")
		case fault.Is(err, fault.Unavailable):
			err = fault.Wrap(err, fault.Unavailable, "products.unavailable")
		}
		return e.showProducts(c, status, l, action, back, product, err)
	}
	return err
}

// paid is where the buyer comes back to: the session is fetched and applied by
// the same path as the webhook, so nobody waits for one.
func (e *Employer) paid(c *gin.Context) error {
	l, token, err := e.draft(c)
	if err != nil {
		return err
	}
	return e.showPaid(c, l.ID, "/post/"+token+"/products")
}

func (e *Employer) showPaid(c *gin.Context, listing uuid.UUID, retry string) error {
	if id := c.Query("session_id"); id != "" {
		if _, err := e.Billing.Return(c.Request.Context(), id); err != nil && !fault.Is(err, fault.Unavailable) {
			return err
		}
	}
	v, err := e.Site.View(c.Request.Context())
	if err != nil {
		return err
	}
	var l *listings.Listing
	var o *billing.Order
	err = e.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		if l, err = e.Listings.Full(ctx, tx, listing); err != nil {
			return err
		}
		o, err = e.Billing.LatestOrder(ctx, tx, listing)
		return err
	})
	if err != nil {
		return err
	}
	p := themes.PostReturn{Layout: e.Site.Layout(v, v.Say("return.title")), Card: e.Site.CardOf(v, l), Email: o.Email, DeskURL: "/employers/desk"}
	switch {
	case o.State == billing.Processing:
		p.State = "pending"
	case o.State != billing.Paid:
		p.State, p.RetryURL = "declined", retry
	case l.State == listings.Live:
		p.State, p.URL = "live", l.Path()
	case l.State == listings.Scheduled:
		p.State = "scheduled"
	default:
		p.State = "review"
	}
	p.Order = []themes.Fact{{Label: v.Say("order.number"), Value: strconv.FormatInt(o.Number, 10)}, {Label: v.Say("order.product"), Value: o.Product.Name}, {Label: v.Say("order.amount"), Value: o.Price(v.T.Locale)}}
	p.Robots = "noindex"
	c.Header("Cache-Control", "no-store")
	return e.Site.Render(c, v, http.StatusOK, "return", p)
}

// landing is "/employers": what the board offers those who hire.
func (e *Employer) landing(c *gin.Context) error {
	v, err := e.Site.View(c.Request.Context())
	if err != nil {
		return err
	}
	p := themes.Employers{Layout: e.Site.Layout(v, v.Say("employers.title", v.T.Name)), Title: v.Say("employers.title", v.T.Name), Text: v.Say("employers.text")}
	title, text := e.Site.EmployerWords(v)
	if title != "" {
		p.Title = title
	}
	if text != "" {
		p.Text = text
	}
	var front *listings.Front
	err = e.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		if p.Products, _, err = e.onSale(ctx, tx, v, uuid.Nil); err != nil {
			return err
		}
		front, err = e.Listings.Front(ctx, tx, 1)
		return err
	})
	if err != nil {
		return err
	}
	fields := 0
	for _, cat := range front.Categories {
		fields += min(cat.Live, 1)
	}
	if front.Total > 0 && fields > 1 {
		p.Figures = []themes.Figure{{N: v.Number(front.Total), Text: v.Say("employers.live", front.Total)}, {N: v.Number(fields), Text: v.Say("employers.fields", fields)}}
	}
	for i := range front.Companies {
		p.Companies = append(p.Companies, e.Site.CompanyCard(v, &front.Companies[i]))
	}
	for _, key := range []string{"fast", "own", "fair"} {
		p.Points = append(p.Points, themes.Point{Title: v.Say("employers." + key), Text: v.Say("employers." + key + "_text")})
	}
	for _, key := range []string{"account", "edit", "refund"} {
		p.Questions = append(p.Questions, themes.Point{Title: v.Say("employers.q_" + key), Text: v.Say("employers.a_" + key)})
	}
	p.SignIn = themes.SignInBox{Form: e.Site.Form(v, "/sign-in", nil, nil)}
	p.SignIn.Proof = proof.SignIn
	p.Canonical = e.Links.Board(v.T, "/employers")
	return e.Site.Render(c, v, http.StatusOK, "employers", p)
}

// alreadyPaid refuses a second sale of one posting.
func alreadyPaid(paid bool) error {
	if !paid {
		return nil
	}
	return fault.New(fault.Conflict, "products.changed")
}
