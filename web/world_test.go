package web_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"shingle/internal/demo"
	"shingle/listings"
	"shingle/tenant"
	"shingle/themes"
	"shingle/themes/looks"
)

// stock is what a filled board can be asked for.
type stock struct {
	listings []listings.Listing
	paths    []string // of public pages, the home first
}

// caching turns the page cache on, with room for so many bytes.
func (h *house) caching(t testing.TB, bytes int64) {
	t.Helper()
	cache, err := themes.NewCache(bytes, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cache.Close)
	h.parts.Site.Cache, h.parts.Site.CacheOn = cache, true
}

// fill gives a board the look, the legal pages and up to n live listings of a
// demo board.
func (h *house) fill(t testing.TB, board *tenant.Tenant, from *demo.Board, n int) *stock {
	t.Helper()
	now := time.Now().UTC()
	out := &stock{paths: []string{"/", "/jobs", "/companies"}}
	err := h.DB.Write(h.Ctx(t, board), func(ctx context.Context, tx bun.IDB) error {
		if err := h.parts.Admin.Looks.SaveDraft(ctx, tx, themes.Look{Pack: from.Pack, Words: themes.LookWords{Tagline: from.Tagline, HeroTitle: from.Tagline, HeroText: "What people look for here.", Footer: from.Name}}); err != nil {
			return err
		}
		if err := h.parts.Admin.Looks.Publish(ctx, tx); err != nil {
			return err
		}
		for _, p := range looks.Templates(board, looks.Publisher{Name: from.Name, Street: "Kai 1", PostalCode: "20457", City: "Hamburg", Country: "Germany"}) {
			if err := looks.SavePage(ctx, tx, p); err != nil {
				return err
			}
			out.paths = append(out.paths, p.Path())
		}
		categories := map[string]*listings.Category{}
		for _, c := range from.Categories {
			made, err := h.parts.Site.Listings.CreateCategory(ctx, tx, c.Name)
			if err != nil {
				return err
			}
			categories[c.Slug] = made
			out.paths = append(out.paths, "/categories/"+made.Slug)
		}
		companies, at := make([]listings.Company, len(from.Companies)), map[string]int{}
		for i, c := range from.Companies {
			companies[i] = listings.Company{ID: tenant.NewRowID(), Slug: c.Slug, Name: c.Name, Website: c.Website, Tagline: c.Tagline, About: "<p>" + c.About + "</p>", Industry: c.Industry, Size: c.Size, Location: c.City}
			at[c.Slug] = i
		}
		if err := h.parts.Site.Listings.BulkCompanies(ctx, tx, companies); err != nil {
			return err
		}
		for i := range from.Listings {
			d := &from.Listings[i]
			if d.State != "live" || len(out.listings) == n {
				continue
			}
			published, ends := now.Add(-d.Age), now.Add(24*time.Hour+d.EndsIn)
			l := listings.Listing{CompanyID: companies[at[d.Company]].ID, State: listings.Live, Title: d.Title, EmploymentType: d.EmploymentType, Workplace: d.Workplace, Seniority: d.Seniority,
				Description: listings.Sanitise(d.Description), Tags: d.Tags, ApplicantCountries: d.Countries, ApplyMethod: d.ApplyMethod, ApplyTarget: d.ApplyTarget, Source: listings.FromSeed,
				Featured: d.Featured, PublishedAt: &published, EndsAt: &ends}
			if c := categories[d.Category]; c != nil {
				l.CategoryID = &c.ID
			}
			if d.SalaryMin > 0 && d.SalaryMax > 0 {
				l.SalaryMin, l.SalaryMax, l.SalaryCurrency, l.SalaryPeriod = &d.SalaryMin, &d.SalaryMax, d.SalaryCurrency, d.SalaryPeriod
			}
			for _, p := range d.Places {
				l.Places = append(l.Places, listings.Place{Country: p.Country, Region: p.Region, City: p.City})
			}
			out.listings = append(out.listings, l)
		}
		return h.parts.Site.Listings.BulkInsert(ctx, tx, out.listings, false)
	})
	if err == nil {
		err = h.parts.Site.Search.IndexAll(h.Ctx(t, board))
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range out.listings {
		out.paths = append(out.paths, listings.Path(out.listings[i].Slug, out.listings[i].PublicID))
	}
	if len(from.Companies) > 0 {
		out.paths = append(out.paths, "/companies/"+from.Companies[0].Slug)
	}
	return out
}

// get asks as a browser without a session would, with any Host header.
func (h *house) get(t testing.TB, host, path string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
	r.Host = host
	r.Header.Set("Accept", "text/html")
	rec := httptest.NewRecorder()
	h.handler.ServeHTTP(rec, r)
	return rec
}

// demoBoards are the texts that boards are filled with.
func demoBoards(t testing.TB) []demo.Board {
	t.Helper()
	boards, err := demo.Boards()
	if err != nil {
		t.Fatal(err)
	}
	return boards
}
