package admin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
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
	"shingle/web/route"
	"shingle/web/site"
)

// companies lists the employers on the board.
func (a *Admin) companies(c *gin.Context) error {
	page, q := route.Page(c), strings.TrimSpace(c.Query("q"))
	var rows []companyRow
	var total int
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		rows, total, err = readCompanies(ctx, tx, q, page)
		return err
	})
	if err != nil {
		return err
	}
	return a.render(c, http.StatusOK, "companies", a.t(c, "admin.nav.companies"), map[string]any{"Rows": rows, "Q": q,
		"Pager": console.Pager(page, pageSize, total, c.Request.URL.Query())})
}

func (a *Admin) company(c *gin.Context) error { return a.showCompany(c, nil) }

func (a *Admin) showCompany(c *gin.Context, cause error) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	var co *listings.Company
	var cards []listings.Card
	total := 0
	err = a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		if co, err = a.Listings.CompanyByID(ctx, tx, id); err != nil {
			return err
		}
		cards, total, err = a.Listings.AdminList(ctx, tx, listings.Filter{Company: id, Size: 20})
		return err
	})
	if err != nil {
		return err
	}
	v := map[string]string{"name": co.Name, "website": co.Website, "tagline": co.Tagline, "about": editable(co.About), "industry": co.Industry, "size": co.Size, "location": co.Location}
	if cause != nil {
		for name := range v {
			v[name] = c.PostForm(name)
		}
	}
	logo := ""
	if co.LogoKey != "" {
		logo = site.FileURL(co.LogoKey)
	}
	p := a.page(c, co.Name)
	p.Crumbs = []console.Link{{Label: a.t(c, "admin.nav.companies"), URL: "/admin/companies"}}
	p.Actions = []console.Link{{Label: a.t(c, "work.companies.view"), URL: a.Links.Board(tenant.From(c.Request.Context()), co.Path()), Icon: "external-link"}}
	return a.shell.Render(c, statusOf(cause), "company", p, map[string]any{"C": co, "V": v, "Logo": logo, "Listings": cards, "Total": total,
		"Errors": a.fieldErrors(c, cause), "CanWrite": a.may(c, "company", "write"), "CanListings": a.may(c, "listing", "read")})
}

// newLogo stores the picture that came with the form; "" when none did.
func (a *Admin) newLogo(c *gin.Context) (string, error) {
	err := c.Request.ParseMultipartForm(1 << 20)
	var big *http.MaxBytesError
	switch {
	case errors.Is(err, http.ErrNotMultipart):
		return "", nil
	case errors.As(err, &big):
		return "", fault.Invalids(fault.Fields{"logo": "field.logo.large|1"})
	case err != nil:
		return "", fault.Wrap(err, fault.Invalid, "the form could not be read")
	}
	f, _, err := c.Request.FormFile("logo")
	if err != nil {
		return "", nil // none was chosen
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, listings.MaxLogo+1))
	if err != nil || len(raw) == 0 {
		return "", err
	}
	return a.storeLogo(c, raw)
}

// storeLogo keeps an uploaded picture, if the plan's storage has room for it.
func (a *Admin) storeLogo(c *gin.Context, data []byte) (string, error) {
	key, err := listings.StoreLogo(c.Request.Context(), a.Files, data, a.Plans.Stow)
	return key, storageAt("logo", err)
}

// storageAt says at a form's field that the plan's storage is full.
func storageAt(field string, err error) error {
	if fault.Is(err, fault.Conflict) && fault.TextOf(err) == plans.MsgStorage {
		return fault.Invalids(fault.Fields{field: plans.MsgStorage})
	}
	return err
}

// saveCompany changes a company's profile and logo.
func (a *Admin) saveCompany(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	key, err := a.newLogo(c)
	if err == nil {
		profile := listings.Profile{Name: c.PostForm("name"), Website: c.PostForm("website"), Tagline: c.PostForm("tagline"), About: listings.FromInput(c.PostForm("about")),
			Industry: c.PostForm("industry"), Size: c.PostForm("size"), Location: c.PostForm("location")}
		err = a.act(c, authz.Act{Act: "company.edited", ObjectKind: "company", ObjectID: id.String()}, func(ctx context.Context, tx bun.IDB) error {
			if _, err := a.Listings.EditCompany(ctx, tx, id, profile); err != nil {
				return err
			}
			if key != "" || c.PostForm("no_logo") != "" {
				return a.Listings.SetLogo(ctx, tx, id, key)
			}
			return nil
		})
	}
	if refused(err) {
		return a.showCompany(c, err)
	}
	if err != nil {
		return err
	}
	return a.back(c, "/admin/companies/"+id.String(), "company.saved")
}

func (a *Admin) categories(c *gin.Context) error { return a.showCategories(c, uuid.Nil, nil) }

// showCategories lists the categories, each with its form; cause is about one of
// them, or about the new one.
func (a *Admin) showCategories(c *gin.Context, about uuid.UUID, cause error) error {
	var rows []listings.Category
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		rows, err = a.Listings.CategoriesLive(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	data := map[string]any{"Rows": rows, "About": about, "Name": c.PostForm("name"), "Position": c.PostForm("position"), "Errors": a.fieldErrors(c, cause), "CanWrite": a.may(c, "category", "write"),
		"New": false, "NewName": "", "NewErrors": map[string]string(nil)}
	if cause != nil && about == uuid.Nil {
		data["New"], data["NewName"], data["NewErrors"] = true, c.PostForm("name"), data["Errors"]
	}
	return a.render(c, statusOf(cause), "categories", a.t(c, "admin.nav.categories"), data)
}

// onCategory runs a change of categories; a refusal comes back to the page.
func (a *Admin) onCategory(c *gin.Context, about uuid.UUID, done string, detail map[string]any, fn tenant.Fn) error {
	object := ""
	if about != uuid.Nil {
		object = about.String()
	}
	err := a.act(c, authz.Act{Act: done, ObjectKind: "category", ObjectID: object, Detail: detail}, fn)
	if refused(err) {
		return a.showCategories(c, about, err)
	}
	if err != nil {
		return err
	}
	return a.back(c, "/admin/categories", done)
}

func (a *Admin) createCategory(c *gin.Context) error {
	detail := map[string]any{}
	return a.onCategory(c, uuid.Nil, "category.created", detail, func(ctx context.Context, tx bun.IDB) error {
		cat, err := a.Listings.CreateCategory(ctx, tx, c.PostForm("name"))
		if err == nil {
			detail["id"], detail["slug"] = cat.ID.String(), cat.Slug
		}
		return err
	})
}

func (a *Admin) renameCategory(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	position, err := strconv.Atoi(c.PostForm("position"))
	if err != nil || position < 0 || position > 10_000 {
		return a.showCategories(c, id, fault.Invalids(fault.Fields{"position": "work.categories.position_range"}))
	}
	return a.onCategory(c, id, "category.saved", nil, func(ctx context.Context, tx bun.IDB) error {
		return a.Listings.RenameCategory(ctx, tx, id, c.PostForm("name"), position)
	})
}

func (a *Admin) deleteCategory(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	return a.onCategory(c, id, "category.deleted", nil, func(ctx context.Context, tx bun.IDB) error {
		return a.Listings.DeleteCategory(ctx, tx, id)
	})
}
