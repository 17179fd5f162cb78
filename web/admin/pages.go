package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/internal/fault"
	"shingle/listings"
	"shingle/tenant"
	"shingle/themes/looks"
	"shingle/web/console"
)

// publisherFields are the form's names with what they fill.
func publisherFields(p *looks.Publisher) map[string]*string {
	return map[string]*string{"name": &p.Name, "street": &p.Street, "postal_code": &p.PostalCode, "city": &p.City, "country": &p.Country,
		"represented": &p.Represented, "register": &p.Register, "tax_id": &p.TaxID, "phone": &p.Phone, "email": &p.Email, "responsible": &p.Responsible}
}

// readPublisher is who runs the board, as last typed.
func readPublisher(ctx context.Context, tx bun.IDB) (looks.Publisher, error) {
	var p looks.Publisher
	var raw []byte
	err := tx.NewRaw(`SELECT coalesce(settings->'publisher', '{}'::jsonb) FROM boards WHERE id = ?`, tenant.From(ctx).ID).Scan(ctx, &raw)
	if err != nil {
		return p, err
	}
	return p, json.Unmarshal(raw, &p)
}

func writePublisher(ctx context.Context, tx bun.IDB, p looks.Publisher) error {
	raw, err := json.Marshal(p)
	if err != nil {
		return err
	}
	res, err := tx.NewRaw(`UPDATE boards SET settings = coalesce(settings, '{}'::jsonb) || jsonb_build_object('publisher', ?::jsonb) WHERE id = ?`,
		string(raw), tenant.From(ctx).ID).Exec(ctx)
	return tenant.Touched(res, err, "board")
}

func (a *Admin) pages(c *gin.Context) error { return a.showPages(c, http.StatusOK, nil, nil) }

func (a *Admin) showPages(c *gin.Context, status int, typed *looks.Publisher, errs map[string]string) error {
	t := tenant.From(c.Request.Context())
	var list []looks.Page
	var p looks.Publisher
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		if list, err = looks.ReadPages(ctx, tx); err != nil {
			return err
		}
		p, err = readPublisher(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	if p.Email == "" {
		p.Email = t.ContactEmail
	}
	if typed != nil {
		p = *typed
	}
	var actions []console.Link
	if a.may(c, "page", "write") {
		actions = append(actions, console.Link{Label: a.t(c, "page.new"), URL: "/admin/pages/new", Icon: "plus"})
	}
	return a.render(c, status, "legal", a.t(c, "admin.nav.pages"), map[string]any{"Pages": list, "P": p, "Errors": errs,
		"Site": strings.TrimSuffix(a.Links.Board(t, "/"), "/"), "CanWrite": a.may(c, "page", "write")}, actions...)
}

// generatePages writes the legal pages from their templates: those that are
// missing, and the others only when asked.
func (a *Admin) generatePages(c *gin.Context) error {
	t := tenant.From(c.Request.Context())
	var p looks.Publisher
	bad := fault.Fields{}
	for name, to := range publisherFields(&p) {
		*to = strings.TrimSpace(c.PostForm(name))
		if len([]rune(*to)) > 200 {
			bad[name] = "page.publisher.long"
		}
	}
	for name, v := range map[string]string{"name": p.Name, "street": p.Street, "city": p.City, "country": p.Country, "email": p.Email} {
		if v == "" {
			bad[name] = "page.publisher." + name + "_required"
		}
	}
	replace, written := c.PostForm("replace") != "", []string{}
	err := fault.Invalids(bad)
	if err == nil {
		detail := map[string]any{}
		err = a.act(c, authz.Act{Act: "page.generated", ObjectKind: "board", ObjectID: t.ID.String(), Detail: detail}, func(ctx context.Context, tx bun.IDB) error {
			if err := writePublisher(ctx, tx, p); err != nil {
				return err
			}
			for _, page := range looks.Templates(t, p) {
				_, err := looks.ReadPage(ctx, tx, page.Slug)
				if err == nil && !replace {
					continue
				}
				if err != nil && !fault.Is(err, fault.NotFound) {
					return err
				}
				page.Body = listings.Sanitise(page.Body)
				if err := looks.SavePage(ctx, tx, page); err != nil {
					return err
				}
				written = append(written, page.Slug)
			}
			detail["pages"] = written
			return nil
		})
	}
	if refused(err) {
		return a.showPages(c, statusOf(err), &p, a.errors(c, err))
	}
	if err != nil {
		return err
	}
	if len(written) == 0 {
		return a.back(c, "/admin/pages", "page.kept")
	}
	return a.back(c, "/admin/pages", "page.generated")
}

func (a *Admin) showLegalPage(c *gin.Context, status int, isNew bool, p looks.Page, errs map[string]string) error {
	t := tenant.From(c.Request.Context())
	title := p.Title
	if isNew {
		title = a.t(c, "page.new")
	}
	return a.renderUnder(c, status, "legal_page", title, console.Link{Label: a.t(c, "admin.nav.pages"), URL: "/admin/pages"}, map[string]any{
		"P": &p, "New": isNew, "Errors": errs, "CanWrite": a.may(c, "page", "write"), "URL": a.Links.Board(t, p.Path()), "Safe": listings.Sanitise(p.Body)})
}

func (a *Admin) newPage(c *gin.Context) error {
	return a.showLegalPage(c, http.StatusOK, true, looks.Page{Kind: "page", Published: true}, nil)
}

func (a *Admin) createPage(c *gin.Context) error {
	typed := c.PostForm("body")
	p := looks.Page{Slug: strings.TrimSpace(c.PostForm("slug")), Kind: "page", Title: strings.TrimSpace(c.PostForm("title")), Body: listings.FromInput(typed), Published: c.PostForm("published") != ""}
	switch p.Slug {
	case "privacy", "terms", "impressum":
		p.Kind = p.Slug
	}
	err := a.act(c, authz.Act{Act: "page.created", ObjectKind: "page", ObjectID: p.Slug, Detail: map[string]any{"title": p.Title}}, func(ctx context.Context, tx bun.IDB) error {
		_, err := looks.ReadPage(ctx, tx, p.Slug)
		if err == nil {
			return fault.Invalids(fault.Fields{"slug": "page.slug.taken"})
		}
		if !fault.Is(err, fault.NotFound) {
			return err
		}
		return looks.SavePage(ctx, tx, p)
	})
	if refused(err) {
		p.Body = typed
		return a.showLegalPage(c, statusOf(err), true, p, a.errors(c, err))
	}
	if err != nil {
		return err
	}
	return a.back(c, "/admin/pages", "page.saved")
}

func (a *Admin) readLegalPage(c *gin.Context) (*looks.Page, error) {
	var p *looks.Page
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		p, err = looks.ReadPage(ctx, tx, c.Param("slug"))
		return err
	})
	return p, err
}

func (a *Admin) legalPage(c *gin.Context) error {
	p, err := a.readLegalPage(c)
	if err != nil {
		return err
	}
	return a.showLegalPage(c, http.StatusOK, false, *p, nil)
}

// savePage keeps a new version; the earlier ones stay for the orders that
// name them.
func (a *Admin) savePage(c *gin.Context) error {
	p, err := a.readLegalPage(c)
	if err != nil {
		return err
	}
	typed := c.PostForm("body")
	p.Title, p.Body, p.Published = strings.TrimSpace(c.PostForm("title")), listings.FromInput(typed), c.PostForm("published") != ""
	err = a.act(c, authz.Act{Act: "page.saved", ObjectKind: "page", ObjectID: p.Slug, Detail: map[string]any{"title": p.Title, "published": p.Published}},
		func(ctx context.Context, tx bun.IDB) error { return looks.SavePage(ctx, tx, *p) })
	if refused(err) {
		p.Body = typed
		return a.showLegalPage(c, statusOf(err), false, *p, a.errors(c, err))
	}
	if err != nil {
		return err
	}
	return a.back(c, "/admin/pages/edit/"+p.Slug, "page.saved")
}

// showPage publishes or hides a page.
func (a *Admin) showPage(c *gin.Context) error {
	shown, done := c.PostForm("published") != "", "page.hidden"
	if shown {
		done = "page.published"
	}
	err := a.act(c, authz.Act{Act: done, ObjectKind: "page", ObjectID: c.Param("slug")}, func(ctx context.Context, tx bun.IDB) error {
		p, err := looks.ReadPage(ctx, tx, c.Param("slug"))
		if err != nil || p.Published == shown {
			return err
		}
		p.Published = shown
		return looks.SavePage(ctx, tx, *p)
	})
	if err != nil {
		return err
	}
	return a.back(c, "/admin/pages", done)
}
