package site

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/listings"
	"shingle/search"
	"shingle/themes"
	"shingle/web/route"
)

// shortAfter is when a closed listing keeps only a short page.
const shortAfter = 30 * 24 * time.Hour

// load reads the listing of the path, its company, category and places. A slug
// that is not the listing's own is answered with where it lives.
func (s *Site) load(c *gin.Context, withSimilar bool) (l *listings.Listing, similar []listings.Card, moved string, err error) {
	slug, id, ok := listings.ParsePath(c.Param("listing"))
	if !ok {
		return nil, nil, "", fault.New(fault.NotFound, "no such listing")
	}
	err = s.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		if l, err = s.Listings.ByPublicID(ctx, tx, id); err != nil {
			return err
		}
		if withSimilar && l.State.Public() {
			similar, err = s.Listings.Similar(ctx, tx, l, 4)
		}
		return err
	})
	if err == nil && slug != l.Slug {
		moved = l.Path()
	}
	return l, similar, moved, err
}

// listing is a listing's page: in full while live, as a closed notice after.
func (s *Site) listing(c *gin.Context) error {
	l, similar, moved, err := s.load(c, true)
	if err != nil {
		return err
	}
	now := s.Now()
	switch {
	case l.State == listings.Removed, l.State == listings.Rejected && l.PublishedAt != nil:
		return fault.New(fault.Gone, "this listing was removed")
	case !l.State.Public():
		return fault.New(fault.NotFound, "no such listing")
	case moved != "":
		c.Redirect(http.StatusPermanentRedirect, moved)
		return nil
	}
	v, err := s.view(c.Request.Context())
	if err != nil {
		return err
	}
	p := s.ListingView(v, l)
	p.Similar, p.SearchURL = v.Cards(similar), "/jobs"
	p.Alert = s.alertForm(v, likeThis(l))
	status := http.StatusOK
	if !l.Open(now) {
		p.Robots = "noindex"
	}
	closed := now
	if l.ClosedAt != nil {
		closed = *l.ClosedAt
	} else if l.EndsAt != nil {
		closed = *l.EndsAt
	}
	old := (l.State == listings.Expired || l.State == listings.Filled) && now.Sub(closed) > shortAfter
	if l.State == listings.Expired || old || l.State == listings.Live && !l.Open(now) {
		status, p.State = http.StatusGone, themes.Expired
	}
	if old {
		p.Description, p.Facts, p.Tags = "", nil, nil
	}
	return s.render(c, v, status, "listing", p)
}

// likeThis is the search that an alert beside a listing is about.
func likeThis(l *listings.Listing) search.Query {
	q := search.Query{}
	if l.Category != nil {
		q.Categories = []string{l.Category.Slug}
	}
	if l.Workplace == listings.Remote {
		q.Workplaces = []string{listings.Remote}
	}
	return q
}

// ListingView is a listing's page, for visitors and for the exact preview.
func (s *Site) ListingView(v *view, l *listings.Listing) themes.ListingPage {
	path := l.Path()
	p := themes.ListingPage{
		Layout: s.layout(v, l.Title+", "+l.Company.Name), State: themes.ListingState(l.State), Title: l.Title,
		Company: v.companyCard(l.Company), Place: v.Place(l.Places, l.Workplace, l.ApplicantCountries), Workplace: v.Workplace(l.Workplace),
		Pay:  v.Pay(l.SalaryMin, l.SalaryMax, l.SalaryCurrency, l.SalaryPeriod),
		Type: v.Say("type." + l.EmploymentType), Featured: l.Featured, Description: route.SafeHTML(l.Description),
		ReportURL: path + "/report",
		Crumbs:    []themes.Link{{Text: v.Say("nav.home"), URL: "/"}, {Text: v.Say("nav.jobs"), URL: "/jobs"}},
	}
	p.Canonical = s.canonical(v, path)
	p.Layout.Description = v.summary(l)
	if l.Category != nil {
		p.Crumbs = append(p.Crumbs, themes.Link{Text: l.Category.Name, URL: "/categories/" + l.Category.Slug})
	}
	if l.PublishedAt != nil {
		p.Posted = v.When(*l.PublishedAt)
	} else {
		p.Posted = v.When(v.Now)
	}
	if l.EndsAt != nil {
		w := v.Day(*l.EndsAt)
		p.Closes = &w
		p.Robots = "index, unavailable_after: " + l.EndsAt.UTC().Format(time.RFC3339)
	}
	for _, tag := range l.Tags {
		p.Tags = append(p.Tags, themes.Count{Text: tag, URL: "/jobs?q=" + url.QueryEscape(tag)})
	}
	p.Facts = v.facts(l)
	if l.Open(v.Now) || l.State == listings.Draft || l.State == listings.AwaitingPayment || l.State == listings.InReview {
		p.Apply = applyLink(l)
	}
	if l.Open(v.Now) {
		logo := ""
		if p.Company.Logo.URL != "" {
			logo = s.canonical(v, p.Company.Logo.URL)
		}
		// A private board's jobs are not for search engines.
		if ld := JobPosting(v.T, l, p.Canonical, logo); ld != nil {
			p.JSONLD = append(p.JSONLD, ld)
		}
	}
	return p
}

func applyLink(l *listings.Listing) *themes.ApplyLink {
	switch l.ApplyMethod {
	case listings.ApplyLink:
		a := &themes.ApplyLink{URL: l.ApplyTarget, Kind: "link"}
		if u, err := url.Parse(l.ApplyTarget); err == nil {
			a.Host = strings.TrimPrefix(u.Hostname(), "www.")
		}
		return a
	case listings.ApplyEmail:
		return &themes.ApplyLink{URL: "mailto:" + url.PathEscape(l.ApplyTarget) + "?subject=" + url.PathEscape(l.Title), Kind: "email", Host: l.ApplyTarget}
	}
	return &themes.ApplyLink{URL: l.Path() + "/apply", Kind: "board"}
}

func (v *view) facts(l *listings.Listing) []themes.Fact {
	var out []themes.Fact
	add := func(key, value, link string) {
		if value != "" {
			out = append(out, themes.Fact{Label: v.Say("fact." + key), Value: value, URL: link})
		}
	}
	add("type", v.Say("type."+l.EmploymentType), "/jobs?type="+l.EmploymentType)
	add("workplace", v.Say("workplace."+l.Workplace), "/jobs?workplace="+l.Workplace)
	if l.Seniority != "" {
		add("seniority", v.Say("seniority."+l.Seniority), "/jobs?seniority="+l.Seniority)
	}
	var places []string
	for _, p := range l.Places {
		places = append(places, v.OnePlace(p))
	}
	add("places", strings.Join(places, "; "), "")
	if l.Workplace == listings.Remote {
		add("remote_from", v.remoteFrom(l.ApplicantCountries), "")
	}
	add("pay", v.Pay(l.SalaryMin, l.SalaryMax, l.SalaryCurrency, l.SalaryPeriod), "")
	if l.Category != nil {
		add("category", l.Category.Name, "/categories/"+l.Category.Slug)
	}
	add("reference", l.Reference, "")
	day := func(key string, at *time.Time) {
		if at != nil {
			w := v.Day(*at)
			out = append(out, themes.Fact{Label: v.Say("fact." + key), Value: w.Text, ISO: w.ISO, Title: w.Title})
		}
	}
	day("posted", l.PublishedAt)
	day("closes", l.EndsAt)
	return out
}

// summary is the meta description: the facts first, then the employer's words.
func (v *view) summary(l *listings.Listing) string {
	parts := []string{l.Company.Name}
	for _, p := range []string{v.Place(l.Places, l.Workplace, l.ApplicantCountries), v.Workplace(l.Workplace),
		v.Pay(l.SalaryMin, l.SalaryMax, l.SalaryCurrency, l.SalaryPeriod)} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	text := strings.Join(parts, " · ") + ". " + listings.Text(l.Description)
	if r := []rune(text); len(r) > 160 {
		text = strings.TrimSpace(string(r[:157])) + "…"
	}
	return text
}

func (v *view) companyCard(co *listings.Company) themes.CompanyCard {
	out := themes.CompanyCard{Name: co.Name, URL: co.Path(), Logo: v.Logo(co.Name, co.Slug, co.LogoKey), Line: co.Tagline}
	if co.Live > 0 {
		out.Openings = v.Say("company.openings", co.Live)
	}
	if u, err := url.Parse(co.Website); err == nil && u.Hostname() != "" {
		out.Website = &themes.Link{Text: strings.TrimPrefix(u.Hostname(), "www."), URL: co.Website}
	}
	for _, f := range [][2]string{{"industry", co.Industry}, {"size", co.Size}, {"location", co.Location}} {
		if f[1] != "" {
			out.Facts = append(out.Facts, themes.Fact{Label: v.Say("company." + f[0]), Value: f[1]})
		}
	}
	return out
}

// companies is the index of companies with open listings.
func (s *Site) companies(c *gin.Context) error {
	v, err := s.view(c.Request.Context())
	if err != nil {
		return err
	}
	page := route.Page(c)
	var found []listings.Company
	var total int
	err = s.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		found, total, err = s.Listings.Companies(ctx, tx, page, 48)
		return err
	})
	if err != nil {
		return err
	}
	p := themes.CompaniesPage{Layout: s.layout(v, v.Say("companies.title")), Heading: v.Say("companies.title")}
	p.Canonical = s.canonical(v, "/companies")
	p.Layout.Description = v.Say("companies.description", v.T.Name)
	for i := range found {
		p.Companies = append(p.Companies, v.companyCard(&found[i]))
	}
	if pages := (total + 47) / 48; pages > 1 {
		p.Pages.Text = v.Say("pages.of", v.Number(page), v.Number(pages))
		if page > 1 {
			p.Pages.Prev = "/companies?page=" + strconv.Itoa(page-1)
		}
		if page < pages {
			p.Pages.Next = "/companies?page=" + strconv.Itoa(page+1)
		}
	}
	if len(found) == 0 {
		p.Empty = &themes.Empty{Title: v.Say("companies.none"), Text: v.Say("companies.none_text"), Links: []themes.Link{{Text: v.Say("nav.post"), URL: "/post"}}}
	}
	return s.render(c, v, http.StatusOK, "companies", p)
}

// company is a company's page with its open listings.
func (s *Site) company(c *gin.Context) error {
	v, err := s.view(c.Request.Context())
	if err != nil {
		return err
	}
	var co *listings.Company
	var cards []listings.Card
	err = s.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		co, cards, err = s.Listings.CompanyPage(ctx, tx, c.Param("company"))
		return err
	})
	if err != nil {
		return err
	}
	co.Live = len(cards)
	p := themes.CompanyPage{Layout: s.layout(v, v.Say("company.title", co.Name)), Company: v.companyCard(co), About: route.SafeHTML(co.About),
		Cards: v.Cards(cards), Openings: v.Say("company.openings", len(cards)), Alert: s.alertForm(v, search.Query{Companies: []string{co.Slug}}),
		Crumbs: []themes.Link{{Text: v.Say("nav.home"), URL: "/"}, {Text: v.Say("nav.companies"), URL: "/companies"}}}
	p.Canonical = s.canonical(v, co.Path())
	p.Layout.Description = co.Tagline
	if len(cards) == 0 {
		p.Robots = "noindex, follow"
	}
	return s.render(c, v, http.StatusOK, "company", p)
}
