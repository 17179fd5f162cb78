package admin

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/billing"
	"shingle/internal/fault"
	"shingle/internal/money"
	"shingle/tenant"
	"shingle/web/console"
)

// productLine is a product of the list with how its price is divided.
type productLine struct {
	billing.Product
	Preview billing.Preview
	First   bool
}

func (a *Admin) products(c *gin.Context) error {
	var list []billing.Product
	var rule billing.FeeRule
	var sell billing.Sell
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		if list, err = a.Billing.Products(ctx, tx); err != nil {
			return err
		}
		if rule, err = a.Billing.FeeRule(ctx, tx); err != nil {
			return err
		}
		sell, err = a.Billing.CanSell(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	lines, paid := make([]productLine, len(list)), false
	for i := range list {
		lines[i] = productLine{list[i], billing.PreviewOf(&list[i], rule, a.locale(c)), i == 0 || list[i-1].Active != list[i].Active}
		paid = paid || list[i].Active && !list[i].Free()
	}
	var actions []console.Link
	if a.may(c, "product", "write") {
		actions = append(actions, console.Link{Label: a.t(c, "product.new"), URL: "/admin/products/new", Icon: "plus"})
	}
	return a.render(c, http.StatusOK, "products", a.t(c, "admin.nav.products"), map[string]any{"Products": lines, "Sell": sell, "Paid": paid,
		"Rule": billing.Describe(rule, tenant.From(c.Request.Context()).Currency, a.locale(c)), "CanWrite": a.may(c, "product", "write"),
		"CanOnboard": a.may(c, "payout", "read")}, actions...)
}

// productForm reads the form: the price as people type it. A price that cannot
// be read is an error beside the others.
func (a *Admin) productForm(c *gin.Context, v url.Values, p *billing.Product) error {
	p.Name, p.Description = v.Get("name"), v.Get("description")
	if p.Currency == "" {
		p.Currency = tenant.From(c.Request.Context()).Currency
	}
	if cur := v.Get("currency"); cur != "" {
		p.Currency = cur
	}
	p.Active = v.Get("active") != ""
	bad := fault.Fields{}
	var err error
	if text := strings.TrimSpace(v.Get("price")); text == "" {
		bad["price"] = "product.price.required"
	} else if p.Price, err = money.Parse(text, p.Currency, a.locale(c)); err != nil || p.Price < 0 {
		p.Price, bad["price"] = 0, "product.price.form"
		if money.Exponent(p.Currency) == 0 {
			bad["price"] = "product.price.whole|" + p.Currency
		}
	}
	p.DurationDays, p.FeaturedDays = wholeDays(v.Get("duration_days")), wholeDays(v.Get("featured_days"))
	for name, text := range fault.FieldsOf(p.Validate()) {
		if text == "product.price.minimum" {
			text += "|" + money.Short(money.Minimum(p.Currency), p.Currency, a.locale(c))
		}
		if bad[name] == "" {
			bad[name] = text
		}
	}
	return fault.Invalids(bad)
}

// wholeDays reads a number of days; nothing is none, and what is no number is
// refused by the product's own check.
func wholeDays(s string) int {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}

// productValues are a product as its form shows it, in the operator's language.
func (a *Admin) productValues(c *gin.Context, p *billing.Product) url.Values {
	price := money.Plain(p.Price, p.Currency)
	if a.locale(c) == "de" {
		price = strings.ReplaceAll(price, ".", ",")
	}
	v := url.Values{"name": {p.Name}, "description": {p.Description}, "currency": {p.Currency}, "price": {price},
		"duration_days": {strconv.Itoa(p.DurationDays)}, "featured_days": {strconv.Itoa(p.FeaturedDays)}}
	if p.Active {
		v.Set("active", "1")
	}
	return v
}

// showProduct is the form of a product, new when id is Nil, beside what the
// buyer sees and how the price is divided.
func (a *Admin) showProduct(c *gin.Context, status int, id uuid.UUID, p *billing.Product, typed url.Values, errs map[string]string) error {
	var rule billing.FeeRule
	err := a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		rule, err = a.Billing.FeeRule(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	title, action := a.t(c, "product.new"), "/admin/products"
	if id != uuid.Nil {
		title, action = p.Name, "/admin/products/"+id.String()
		if strings.TrimSpace(title) == "" {
			title = a.t(c, "admin.nav.products")
		}
	}
	return a.renderUnder(c, status, "product", title, console.Link{Label: a.t(c, "admin.nav.products"), URL: "/admin/products"}, map[string]any{
		"P": p, "New": id == uuid.Nil, "Action": action, "Typed": typed, "Errors": errs, "CanWrite": a.may(c, "product", "write"),
		"Currencies": withOption(console.CurrencyOptions(), typed.Get("currency")), "Preview": billing.PreviewOf(p, rule, a.locale(c)), "NoPrice": errs["price"] != "" || c.GetBool(noPrice) || id == uuid.Nil && typed.Get("price") == ""})
}

// noPrice says that the price being typed is none: it is not free.
const noPrice = "product_no_price"

// withOption adds the value in use to a list that lacks it.
func withOption(options []console.Option, value string) []console.Option {
	for _, o := range options {
		if o.Value == value {
			return options
		}
	}
	if value == "" {
		return options
	}
	return append(options, console.Option{Value: value, Label: value})
}

func (a *Admin) newProduct(c *gin.Context) error {
	p := &billing.Product{Currency: tenant.From(c.Request.Context()).Currency, DurationDays: 30, Active: true}
	typed := a.productValues(c, p)
	typed.Set("price", "")
	return a.showProduct(c, http.StatusOK, uuid.Nil, p, typed, nil)
}

// previewProduct shows the division of a price that is being typed.
func (a *Admin) previewProduct(c *gin.Context) error {
	p := new(billing.Product)
	bad := fault.FieldsOf(a.productForm(c, c.Request.URL.Query(), p))
	if bad["price"] != "" {
		c.Set(noPrice, true)
	}
	p.Price, p.DurationDays, p.FeaturedDays = max(0, p.Price), max(0, p.DurationDays), max(0, p.FeaturedDays)
	return a.showProduct(c, http.StatusOK, uuid.Nil, p, c.Request.URL.Query(), nil)
}

func (a *Admin) createProduct(c *gin.Context) error {
	p := new(billing.Product)
	_ = c.PostForm("name") // reads the form
	err := a.productForm(c, c.Request.PostForm, p)
	if err == nil {
		err = a.act(c, authz.Act{Act: "product.created", ObjectKind: "product", Detail: map[string]any{"name": p.Name, "price": p.Price, "currency": p.Currency}},
			func(ctx context.Context, tx bun.IDB) error { return a.Billing.CreateProduct(ctx, tx, p) })
	}
	if refused(err) {
		return a.showProduct(c, statusOf(err), uuid.Nil, p, c.Request.PostForm, a.errors(c, err))
	}
	if err != nil {
		return err
	}
	return a.back(c, "/admin/products", "product.created")
}

func (a *Admin) readProduct(c *gin.Context) (*billing.Product, error) {
	id, err := pathID(c)
	if err != nil {
		return nil, err
	}
	var p *billing.Product
	err = a.read(c, func(ctx context.Context, tx bun.IDB) (err error) {
		p, err = a.Billing.Product(ctx, tx, id)
		return err
	})
	return p, err
}

func (a *Admin) product(c *gin.Context) error {
	p, err := a.readProduct(c)
	if err != nil {
		return err
	}
	return a.showProduct(c, http.StatusOK, p.ID, p, a.productValues(c, p), nil)
}

func (a *Admin) saveProduct(c *gin.Context) error {
	p, err := a.readProduct(c)
	if err != nil {
		return err
	}
	before := p.Price
	_ = c.PostForm("name")
	err = a.productForm(c, c.Request.PostForm, p)
	if err == nil {
		err = a.act(c, authz.Act{Act: "product.saved", ObjectKind: "product", ObjectID: p.ID.String(),
			Detail: map[string]any{"name": p.Name, "price": p.Price, "price_before": before, "currency": p.Currency, "active": p.Active}},
			func(ctx context.Context, tx bun.IDB) error { return a.Billing.SaveProduct(ctx, tx, p) })
	}
	if refused(err) {
		return a.showProduct(c, statusOf(err), p.ID, p, c.Request.PostForm, a.errors(c, err))
	}
	if err != nil {
		return err
	}
	return a.back(c, "/admin/products", "product.saved")
}

// raiseProduct moves a product one place up in the order that buyers see.
func (a *Admin) raiseProduct(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	err = a.act(c, authz.Act{Act: "product.ordered", ObjectKind: "product", ObjectID: id.String()}, func(ctx context.Context, tx bun.IDB) error {
		list, err := a.Billing.Products(ctx, tx)
		if err != nil {
			return err
		}
		ids, found := make([]uuid.UUID, len(list)), false
		for i := range list {
			ids[i] = list[i].ID
			if ids[i] == id {
				found = true
				if i > 0 {
					ids[i-1], ids[i] = ids[i], ids[i-1]
				}
			}
		}
		if !found {
			return fault.New(fault.NotFound, "no such product")
		}
		return a.Billing.OrderProducts(ctx, tx, ids)
	})
	if err != nil {
		return err
	}
	return a.back(c, "/admin/products", "product.ordered")
}

func (a *Admin) sellProduct(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	active, name := c.PostForm("active") != "", "product.archived"
	if active {
		name = "product.on_sale"
	}
	err = a.act(c, authz.Act{Act: name, ObjectKind: "product", ObjectID: id.String()}, func(ctx context.Context, tx bun.IDB) error {
		return a.Billing.SetProductActive(ctx, tx, id, active)
	})
	if err != nil {
		return err
	}
	return a.back(c, "/admin/products", name)
}

func (a *Admin) deleteProduct(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	archived := false
	err = a.act(c, authz.Act{Act: "product.deleted", ObjectKind: "product", ObjectID: id.String()}, func(ctx context.Context, tx bun.IDB) (err error) {
		archived, err = a.Billing.DeleteProduct(ctx, tx, id)
		return err
	})
	if err != nil {
		return err
	}
	if archived {
		return a.back(c, "/admin/products", "product.archived")
	}
	return a.back(c, "/admin/products", "product.deleted")
}
