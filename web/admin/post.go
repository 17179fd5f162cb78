package admin

import (
	"context"
	"html"
	"maps"
	"regexp"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/billing/plans"
	"shingle/internal/fault"
	"shingle/listings"
	"shingle/tenant"
	"shingle/web/console"
)

// typedListing is what was posted, by the rules' own field names; days and
// featured are the board's.
func typedListing(c *gin.Context) map[string]string {
	v := map[string]string{"days": c.PostForm("days"), "featured": c.PostForm("featured")}
	for _, name := range listings.Columns() {
		v[name] = strings.Join(c.PostFormArray(name), "\n")
	}
	return v
}

// contentOf reads the form by the rules that employers' forms are read by.
func contentOf(c *gin.Context) (listings.Content, error) {
	if err := c.Request.ParseForm(); err != nil {
		return listings.Content{}, err
	}
	t := tenant.From(c.Request.Context())
	return listings.ContentFromForm(c.Request.PostForm, listings.Rules{Locale: t.Locale, Currency: t.Currency, Country: t.Country})
}

// valuesOf fills the form from a stored listing.
func valuesOf(l *listings.Listing) map[string]string {
	r := listings.ContentOf(l)
	v := map[string]string{listings.FieldTitle: r.Title, listings.FieldCompany: r.Company, listings.FieldWebsite: r.Website, listings.FieldCategory: r.Category,
		listings.FieldEmployment: r.EmploymentType, listings.FieldWorkplace: r.Workplace, listings.FieldSeniority: r.Seniority,
		listings.FieldCountries: strings.Join(r.Countries, ", "), listings.FieldSalaryCurrency: r.SalaryCurrency, listings.FieldSalaryPeriod: r.SalaryPeriod,
		listings.FieldDescription: editable(r.Description), listings.FieldTags: strings.Join(r.Tags, ", "), listings.FieldApplyMethod: r.ApplyMethod,
		listings.FieldApplyTarget: r.ApplyTarget, listings.FieldReference: r.Reference}
	places := make([]string, len(r.Places))
	for i, p := range r.Places {
		places[i] = p.Text()
	}
	v[listings.FieldPlaces] = strings.Join(places, "\n")
	for name, n := range map[string]*int64{listings.FieldSalaryMin: r.SalaryMin, listings.FieldSalaryMax: r.SalaryMax} {
		if n != nil {
			v[name] = listings.FormatAmount(*n, r.SalaryCurrency)
		}
	}
	return v
}

var (
	plainTags = regexp.MustCompile(`</?(p|br|ul|li)\s*/?>`)
	anyMarkup = regexp.MustCompile(`<[^>]*>`)
	manyLines = regexp.MustCompile(`\n{3,}`)
)

// editable is a description as a person edits it: plain text where that says
// all of it, HTML otherwise. The rules make the same HTML of the text again.
func editable(description string) string {
	if anyMarkup.MatchString(plainTags.ReplaceAllString(description, "")) {
		return description
	}
	text := strings.NewReplacer("<p>", "", "</p>", "\n\n", "<ul>", "", "</ul>", "\n", "<li>", "- ", "</li>", "\n", "<br/>", "\n", "<br>", "\n").Replace(description)
	text = strings.TrimSpace(manyLines.ReplaceAllString(html.UnescapeString(text), "\n\n"))
	if strings.Contains(text, "<") {
		return description
	}
	return text
}

func categoryChoices(cats []listings.Category) []console.Option {
	out := make([]console.Option, len(cats))
	for i, cat := range cats {
		out[i] = console.Option{Value: cat.Slug, Label: cat.Name}
	}
	return out
}

// showPost shows the form of a new listing (l nil) or of one that there is.
func (a *Admin) showPost(c *gin.Context, l *listings.Listing, v map[string]string, cause error) error {
	var cats []listings.Category
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		cats, err = a.Listings.Categories(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	none := func(key string, opts []console.Option) []console.Option {
		return append([]console.Option{{Label: a.t(c, key)}}, opts...)
	}
	currencies := console.CurrencyOptions()
	if cur := v[listings.FieldSalaryCurrency]; listings.ValidCurrency(cur) && !hasOption(currencies, cur) {
		currencies = append(currencies, console.Option{Value: cur, Label: cur})
	}
	title, action, cancel := a.t(c, "work.listings.new"), "/admin/listings", "/admin/listings"
	crumbs := []console.Link{{Label: a.t(c, "admin.nav.listings"), URL: "/admin/listings"}}
	if l != nil {
		cancel = "/admin/listings/" + l.ID.String()
		title, action = a.t(c, "work.listing.edit"), cancel+"/edit"
		crumbs = append(crumbs, console.Link{Label: l.Title, URL: cancel})
	}
	p := a.page(c, title)
	p.Narrow, p.Crumbs = true, crumbs
	return a.shell.Render(c, statusOf(cause), "post", p, map[string]any{"L": l, "V": v, "Errors": a.fieldErrors(c, cause), "Action": action, "Cancel": cancel,
		"Categories": none("work.post.no_category", categoryChoices(cats)), "Types": a.choices(c, "work.type.", listings.EmploymentTypes()),
		"Workplaces": a.choices(c, "work.workplace.", listings.Workplaces()), "Seniorities": none("work.post.no_seniority", a.choices(c, "work.seniority.", listings.Seniorities())),
		"Periods": a.choices(c, "work.period.", listings.Periods()), "Methods": a.choices(c, "work.apply.", listings.ApplyMethods()), "Currencies": currencies})
}

func hasOption(opts []console.Option, value string) bool {
	for _, o := range opts {
		if o.Value == value {
			return true
		}
	}
	return false
}

func (a *Admin) newListing(c *gin.Context) error {
	t := tenant.From(c.Request.Context())
	return a.showPost(c, nil, map[string]string{"days": "30", listings.FieldEmployment: listings.FullTime, listings.FieldWorkplace: listings.OnSite,
		listings.FieldApplyMethod: listings.ApplyBoard, listings.FieldSalaryPeriod: "year", listings.FieldSalaryCurrency: t.Currency}, nil)
}

// createListing posts a listing that nobody pays for: live at once, for the
// days that the team chose.
func (a *Admin) createListing(c *gin.Context) error {
	v := typedListing(c)
	content, err := contentOf(c)
	n, derr := days(c)
	if derr != nil {
		fields := maps.Clone(fault.FieldsOf(err))
		if fields == nil {
			fields = fault.Fields{}
		}
		maps.Copy(fields, fault.FieldsOf(derr))
		err = fault.Invalids(fields)
	}
	id := uuid.Nil
	if err == nil {
		err = a.DB.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
			if err := a.Plans.Room(ctx, tx, plans.Listings, 1); err != nil {
				return err
			}
			l, err := a.Listings.Create(ctx, tx, content, listings.Owner{Source: listings.FromBoard})
			if err != nil {
				return err
			}
			id = l.ID
			kinds := []string{listings.Posting}
			if v["featured"] != "" {
				kinds = append(kinds, listings.Feature)
			}
			for _, kind := range kinds {
				if err := a.Listings.Grant(ctx, tx, listings.Entitlement{ListingID: id, Kind: kind, Days: n, Reason: "posted by the board"}); err != nil {
					return err
				}
			}
			if _, err := a.Listings.Submit(ctx, tx, id); err != nil {
				return err
			}
			return authz.Record(ctx, tx, authz.Act{Act: "listing.posted", ObjectKind: "listing", ObjectID: id.String(), Detail: map[string]any{"days": n, "featured": v["featured"] != ""}})
		})
	}
	if refused(err) {
		return a.showPost(c, nil, v, err)
	}
	if err != nil {
		return err
	}
	return a.back(c, "/admin/listings/"+id.String(), "listing.published")
}

// toEdit loads the listing of the address.
func (a *Admin) toEdit(c *gin.Context) (*listings.Listing, error) {
	id, err := pathID(c)
	if err != nil {
		return nil, err
	}
	var l *listings.Listing
	err = a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		l, err = a.Listings.Full(ctx, tx, id)
		return err
	})
	return l, err
}

func (a *Admin) editListing(c *gin.Context) error {
	l, err := a.toEdit(c)
	if err != nil {
		return err
	}
	v := valuesOf(l)
	if v[listings.FieldSalaryCurrency] == "" {
		v[listings.FieldSalaryCurrency], v[listings.FieldSalaryPeriod] = tenant.From(c.Request.Context()).Currency, "year"
	}
	return a.showPost(c, l, v, nil)
}

// saveListing changes a listing at once: the team's edits need no review.
func (a *Admin) saveListing(c *gin.Context) error {
	l, err := a.toEdit(c)
	if err != nil {
		return err
	}
	v := typedListing(c)
	content, err := contentOf(c)
	if err == nil {
		err = a.act(c, authz.Act{Act: "listing.edited", ObjectKind: "listing", ObjectID: l.ID.String()}, func(ctx context.Context, tx bun.IDB) error {
			_, err := a.Listings.Edit(ctx, tx, l.ID, content)
			return err
		})
	}
	if refused(err) {
		return a.showPost(c, l, v, err)
	}
	if err != nil {
		return err
	}
	return a.back(c, "/admin/listings/"+l.ID.String(), "listing.saved")
}
