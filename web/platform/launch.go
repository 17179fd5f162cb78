package platform

import (
	"context"

	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/authz"
	"shingle/billing/plans"
	"shingle/internal/fault"
	"shingle/internal/links"
	"shingle/internal/money"
	"shingle/mail"
	"shingle/tenant"
)

// Launcher makes new boards, with an owner and enough on them to begin: the
// same for the sign-up, the staff's form and the command line.
type Launcher struct {
	Platform  *tenant.Platform
	Operators *accounts.Operators
	Notifier  *tenant.Notifier
	Links     links.Links
	// Plans begins a new board's trial; nil has no plans.
	Plans *plans.Service
	// Order, when set, asks for the certificate of a board's platform address, in
	// the transaction that makes the board.
	Order func(ctx context.Context, tx bun.IDB, host string) error
}

// Launch makes a board for an address and mails it the way in. It opens a
// transaction. Kinds: fault.Invalid by field (owner among them), fault.Conflict.
func (l *Launcher) Launch(ctx context.Context, n tenant.NewBoard, owner string) (*tenant.Tenant, error) {
	if err := l.Check(ctx, n, "owner", owner); err != nil {
		return nil, err
	}
	var t *tenant.Tenant
	err := l.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		o, err := l.Operators.FindOrCreate(ctx, tx, owner, "", n.Locale)
		if err != nil {
			return ownerField(err)
		}
		if n.ContactEmail == "" {
			n.ContactEmail = o.Email
		}
		if t, err = l.Make(ctx, tx, n, o); err != nil {
			return err
		}
		return mail.Queue(ctx, tx, mail.Message{Kind: "board-ready", Key: t.ID.String(), To: o.Email, Locale: n.Locale,
			Data: mail.Data{"Name": t.Name, "Address": t.PlatformHost}, URL: l.Links.Platform("/go?board=" + t.ID.String())})
	})
	if err != nil {
		return nil, err
	}
	l.Made(t)
	return t, nil
}

// Check names all that is wrong with a new board at once, the taken address and
// the owner's, under that field's name, included. Kind: fault.Invalid by field.
func (l *Launcher) Check(ctx context.Context, n tenant.NewBoard, field, owner string) error {
	f := fault.FieldsOf(n.Validate())
	if f == nil {
		f = fault.Fields{}
	}
	if _, err := accounts.Fold(owner); err != nil {
		f[field] = "field.email.invalid"
	}
	if f["slug"] == "" {
		var taken bool
		err := l.Platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
			return tx.NewRaw(`SELECT EXISTS (SELECT FROM boards WHERE slug = ?)`, n.Slug).Scan(ctx, &taken)
		})
		if err != nil {
			return err
		}
		if taken {
			f["slug"] = "board.slug.taken"
		}
	}
	return fault.Invalids(f)
}

// Make writes a board, its owner's grant and what it begins with, in a platform
// transaction. Call Made after the commit.
func (l *Launcher) Make(ctx context.Context, tx bun.IDB, n tenant.NewBoard, owner *accounts.Operator) (*tenant.Tenant, error) {
	t, err := tenant.CreateBoard(ctx, tx, n, l.Links.BoardDomain)
	if err != nil {
		return nil, err
	}
	if err := authz.Grant(ctx, tx, t.ID, owner.ID, "owner"); err != nil {
		return nil, err
	}
	for i, c := range starters[consoleLocale(n.Locale)] {
		_, err := tx.NewRaw(`INSERT INTO categories (tenant_id, id, slug, name, position) VALUES (?, ?, ?, ?, ?)`, t.ID, tenant.NewRowID(), c[0], c[1], i).Exec(ctx)
		if err != nil {
			return nil, err
		}
	}
	if err := firstProducts(ctx, tx, t); err != nil {
		return nil, err
	}
	if l.Plans != nil {
		if err := l.Plans.Begin(ctx, tx, t.ID); err != nil {
			return nil, err
		}
	}
	if l.Order != nil {
		if err := l.Order(ctx, tx, t.PlatformHost); err != nil {
			return nil, err
		}
	}
	err = authz.Record(ctx, tx, authz.Act{Act: "board.created", ObjectKind: "board", ObjectID: t.ID.String(), Board: t.ID, Detail: map[string]any{"slug": t.Slug}})
	return t, err
}

// Made tells every process of a new host.
func (l *Launcher) Made(t *tenant.Tenant) {
	if t != nil {
		l.Notifier.HostChanged(t.PlatformHost)
	}
}

// starters are the categories of a new board; its owner changes them.
var starters = map[string][][2]string{
	"en": {{"engineering", "Engineering"}, {"design", "Design"}, {"marketing", "Marketing"}, {"sales", "Sales"}, {"operations", "Operations"}, {"other", "Other"}},
	"de": {{"technik", "Technik"}, {"gestaltung", "Gestaltung"}, {"marketing", "Marketing"}, {"vertrieb", "Vertrieb"}, {"verwaltung", "Verwaltung"}, {"sonstiges", "Sonstiges"}},
}

// firstProducts gives a new board a price list that works at once: a free
// posting needs no Stripe account, the paid one waits for it.
func firstProducts(ctx context.Context, tx bun.IDB, t *tenant.Tenant) error {
	free, paid, free2, paid2 := "Free posting", "Standard posting", "Two weeks on the board.", "Thirty days on the board, the first seven of them featured."
	if consoleLocale(t.Locale) == "de" {
		free, paid, free2, paid2 = "Kostenlose Anzeige", "Standardanzeige", "Zwei Wochen auf der Jobbörse.", "Dreißig Tage auf der Jobbörse, davon die ersten sieben hervorgehoben."
	}
	price := int64(99)
	for range money.Exponent(t.Currency) {
		price *= 10
	}
	if money.Exponent(t.Currency) == 0 {
		price *= 100
	}
	price = max(price, money.Minimum(t.Currency))
	for i, p := range []struct {
		name, text     string
		price          int64
		days, featured int
	}{{free, free2, 0, 14, 0}, {paid, paid2, price, 30, 7}} {
		_, err := tx.NewRaw(`INSERT INTO products (tenant_id, id, name, description, price, currency, duration_days, featured_days, position)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, t.ID, tenant.NewRowID(), p.name, p.text, p.price, t.Currency, p.days, p.featured, i).Exec(ctx)
		if err != nil {
			return err
		}
	}
	return nil
}

// ownerField moves a refused address to the form field that it came from.
func ownerField(err error) error {
	if fault.FieldsOf(err) != nil {
		return fault.Invalids(fault.Fields{"owner": "field.email.invalid"})
	}
	return err
}
