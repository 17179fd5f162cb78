package main

import (
	"context"
	"fmt"
	"html"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/authz"
	"shingle/billing"
	"shingle/internal/demo"
	"shingle/listings"
	"shingle/tenant"
	"shingle/themes"
	"shingle/themes/looks"
)

// demoPassword signs every operator of the demo in. It exists on a developer's
// machine only.
const demoPassword = "shingle-demo"

// seedDemo makes the demo's boards that are missing. Each board is whole or not
// there: one that died half-way is made anew.
func (a *app) seedDemo(ctx context.Context, say func(string, ...any)) error {
	foreign := 0
	err := a.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT count(*) FROM boards WHERE NOT demo AND slug NOT LIKE 'seed-%'`).Scan(ctx, &foreign)
	})
	if err != nil {
		return err
	}
	boards, err := demo.Boards()
	if err != nil {
		return err
	}
	if _, err := a.boards.BySlug(ctx, boards[0].Slug); err != nil && foreign > 0 {
		say("this database has boards already: no demo boards, no demo sign-ins")
		return nil
	}
	for i := range boards {
		b := &boards[i]
		t, err := a.boards.BySlug(ctx, b.Slug)
		if err == nil {
			done, err := a.demoDone(ctx, t)
			if err != nil {
				return err
			}
			if done {
				continue
			}
		} else {
			say("making the demo board %s", b.Name)
			if t, err = a.makeDemo(ctx, b); err != nil {
				return fmt.Errorf("demo board %s: %w", b.Slug, err)
			}
		}
		if err := a.fillDemo(tenant.With(ctx, t), b, t); err != nil {
			return fmt.Errorf("demo board %s: %w", b.Slug, err)
		}
	}
	if err := a.seedPlans(ctx); err != nil {
		return err
	}
	return a.demoStaff(ctx)
}

// demoDone reports whether a board has its listings, which are written last.
func (a *app) demoDone(ctx context.Context, t *tenant.Tenant) (done bool, err error) {
	err = a.db.Read(tenant.With(ctx, t), func(ctx context.Context, tx bun.IDB) error {
		n, err := a.listings.CountLive(ctx, tx)
		done = n > 0
		return err
	})
	return done, err
}

// demoStaffEmail is the demo's member of the platform's staff.
const demoStaffEmail = "staff@shingle.example"

// exemptDemo lets the demo's operators in by the password that dev prints, until
// they set up a second factor themselves. Only dev calls it.
func (a *app) exemptDemo() error {
	boards, err := demo.Boards()
	if err != nil {
		return err
	}
	emails := []string{demoStaffEmail}
	for _, b := range boards {
		for _, m := range append([]demo.Member{b.Owner}, b.Team...) {
			emails = append(emails, m.Email)
		}
	}
	a.operators.ExemptForDevelopment(a.log, emails...)
	return nil
}

func (a *app) demoStaff(ctx context.Context) error {
	return a.operator(ctx, demo.Member{Name: "Sam Porter", Email: demoStaffEmail, Role: "superadmin"}, tenant.Nil, "en")
}

// operator makes a member of a team, with the demo's password.
func (a *app) operator(ctx context.Context, m demo.Member, board tenant.ID, locale string) error {
	var o *accounts.Operator
	err := a.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		if o, err = a.operators.FindOrCreate(ctx, tx, m.Email, m.Name, locale); err != nil {
			return err
		}
		return authz.Grant(ctx, tx, board, o.ID, m.Role)
	})
	if err != nil || o.HasPassword {
		return err
	}
	return a.operators.SetPassword(ctx, o.ID, demoPassword)
}

func (a *app) makeDemo(ctx context.Context, b *demo.Board) (*tenant.Tenant, error) {
	var t *tenant.Tenant
	err := a.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		t, err = tenant.CreateBoard(ctx, tx, tenant.NewBoard{Slug: b.Slug, Name: b.Name, Tagline: b.Tagline, Locale: b.Locale, Currency: b.Currency,
			TimeZone: b.TimeZone, Country: b.Country, ContactEmail: b.ContactEmail, Moderated: b.Moderated, Demo: true}, a.cfg.BoardDomain)
		return err
	})
	if err != nil {
		return nil, err
	}
	a.notifier.HostChanged(t.PlatformHost)
	return t, nil
}

// fillDemo gives a board its team, look, prices, companies and listings.
func (a *app) fillDemo(ctx context.Context, b *demo.Board, t *tenant.Tenant) error {
	for _, m := range append([]demo.Member{b.Owner}, b.Team...) {
		if err := a.operator(ctx, m, t.ID, b.Locale); err != nil {
			return err
		}
	}
	if err := a.demoLook(ctx, b); err != nil {
		return err
	}
	if err := a.demoStripe(ctx); err != nil {
		return err
	}
	if err := a.demoRows(ctx, b, t); err != nil {
		return err
	}
	return a.search.IndexAll(ctx)
}

// demoLook publishes the board's look and its legal pages.
func (a *app) demoLook(ctx context.Context, b *demo.Board) error {
	var css strings.Builder
	css.WriteString(":root{")
	for name, v := range b.Look.Light {
		css.WriteString(name + ":" + v + ";")
	}
	for name, v := range b.Look.Shared {
		css.WriteString(name + ":" + v + ";")
	}
	css.WriteString("}.dark{")
	for name, v := range b.Look.Dark {
		css.WriteString(name + ":" + v + ";")
	}
	css.WriteString("}")
	tokens, _, err := themes.ParseShadcn(css.String())
	if err != nil {
		return err
	}
	tokens.FontHeading, tokens.FontBody = demoFont(b.Look.Shared["--font-heading"]), demoFont(b.Look.Shared["--font-body"])
	look := themes.Look{Pack: b.Pack, Tokens: tokens, Words: themes.LookWords{Tagline: b.Tagline, HeroTitle: b.Tagline, HeroText: clipWords(b.Intro, 240), Footer: clipWords(b.Footer, 400)}}
	if look.LogoKey, err = listings.StoreTrustedSVG(ctx, a.files, b.LogoSVG()); err != nil {
		return err
	}
	return a.db.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := a.looks.SaveDraft(ctx, tx, look); err != nil {
			return err
		}
		if err := a.looks.Publish(ctx, tx); err != nil {
			return err
		}
		for _, p := range looks.Templates(tenant.From(ctx), looks.Publisher{Name: b.Legal.Entity, Street: b.Legal.Street, PostalCode: b.Legal.PostalCode, City: b.Legal.City,
			Country: listings.CountryName(b.Legal.Country, b.Locale), Represented: b.Legal.Represented, Register: b.Legal.Register, TaxID: b.Legal.TaxID,
			Phone: b.Legal.Phone, Email: b.Legal.Email, Responsible: b.Legal.Responsible}) {
			if err := looks.SavePage(ctx, tx, p); err != nil {
				return err
			}
		}
		return nil
	})
}

// demoFont keeps serif headings serif; the rest is the pack's.
func demoFont(stack string) themes.Font {
	if strings.Contains(stack, "serif") && !strings.Contains(stack, "sans-serif") {
		return "newsreader"
	}
	return ""
}

func clipWords(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	cut := string(r[:n-1])
	if i := strings.LastIndexByte(cut, ' '); i > 0 {
		cut = cut[:i]
	}
	return cut + "…"
}

// demoStripe gives the board an account that can be paid, at the simulator.
func (a *app) demoStripe(ctx context.Context) error {
	if a.demoOnboard == nil {
		return nil
	}
	var have *billing.Account
	err := a.db.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		have, err = a.billing.Account(ctx, tx)
		return err
	})
	if err == nil && have != nil && have.ChargesEnabled {
		return nil
	}
	if _, err := a.billing.Onboard(ctx, a.links.Console(tenant.From(ctx), "/admin/payouts"), a.links.Console(tenant.From(ctx), "/admin/payouts")); err != nil {
		return err
	}
	err = a.db.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		have, err = a.billing.Account(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	if err := a.demoOnboard(have.Account); err != nil {
		return err
	}
	_, err = a.billing.RefreshAccount(ctx)
	return err
}

// demoRows writes products, companies, people, listings and applications in one
// transaction, so that a board is never half full.
func (a *app) demoRows(ctx context.Context, b *demo.Board, t *tenant.Tenant) error {
	now := time.Now().UTC()
	logos := map[string]string{}
	for _, co := range b.Companies {
		key, err := listings.StoreTrustedSVG(ctx, a.files, co.LogoSVG())
		if err != nil {
			return err
		}
		logos[co.Slug] = key
	}
	return a.db.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		cats := map[string]uuid.UUID{}
		for _, c := range b.Categories {
			made, err := a.listings.CreateCategory(ctx, tx, c.Name)
			if err != nil {
				return err
			}
			cats[c.Slug] = made.ID
		}
		for i, p := range b.Products {
			featured := 0
			if p.Featured {
				featured = min(p.Days, 14)
			}
			err := a.billing.CreateProduct(ctx, tx, &billing.Product{Name: p.Name, Description: p.Description, Price: p.Price, Currency: b.Currency, DurationDays: p.Days, FeaturedDays: featured, Active: true, Position: i})
			if err != nil {
				return err
			}
		}
		cos := make([]listings.Company, 0, len(b.Companies))
		for _, c := range b.Companies {
			cos = append(cos, listings.Company{ID: tenant.NewRowID(), Slug: c.Slug, Name: c.Name, Website: c.Website, Tagline: c.Tagline, About: "<p>" + html.EscapeString(c.About) + "</p>",
				Industry: c.Industry, Size: c.Size, Location: c.City + ", " + listings.CountryName(c.Country, b.Locale), LogoKey: logos[c.Slug]})
		}
		if err := a.listings.BulkCompanies(ctx, tx, cos); err != nil {
			return err
		}
		people, byCompany := map[string]uuid.UUID{}, map[string]uuid.UUID{}
		for i, c := range b.Companies {
			person, err := a.people.FindOrCreate(ctx, tx, c.Email, c.Contact)
			if err != nil {
				return err
			}
			if err := a.listings.AddMember(ctx, tx, cos[i].ID, person.ID); err != nil {
				return err
			}
			people[c.Slug], byCompany[c.Slug] = person.ID, cos[i].ID
		}
		rows, keys := demoListings(b, now, cats, people, byCompany)
		if err := a.listings.BulkInsert(ctx, tx, rows, false); err != nil {
			return err
		}
		ids := map[string]uuid.UUID{}
		for i := range rows {
			ids[keys[i]] = rows[i].ID
			if rows[i].State != listings.InReview {
				continue
			}
			// What waits for review has its time granted, and can be approved.
			if err := a.listings.Grant(ctx, tx, listings.Entitlement{ListingID: rows[i].ID, Kind: listings.Posting, Days: 30, Reason: "demo"}); err != nil {
				return err
			}
		}
		return a.demoApplications(ctx, tx, b, t, now, ids)
	})
}

func demoListings(b *demo.Board, now time.Time, cats, people, companies map[string]uuid.UUID) ([]listings.Listing, []string) {
	var rows []listings.Listing
	var keys []string
	for i := range b.Listings {
		d := &b.Listings[i]
		cat, person := cats[d.Category], people[d.Company]
		l := listings.Listing{CompanyID: companies[d.Company], CategoryID: &cat, PersonID: &person, State: listings.State(d.State), Title: d.Title,
			EmploymentType: d.EmploymentType, Workplace: d.Workplace, Seniority: d.Seniority, SalaryCurrency: d.SalaryCurrency, SalaryPeriod: d.SalaryPeriod,
			Description: listings.Sanitise(d.Description), Tags: d.Tags, ApplicantCountries: d.Countries, ApplyMethod: d.ApplyMethod, ApplyTarget: d.ApplyTarget,
			Reference: d.Reference, Source: listings.FromSeed, Featured: d.Featured, CreatedAt: now.Add(-d.Age)}
		if d.SalaryMin > 0 {
			l.SalaryMin = &d.SalaryMin
		}
		if d.SalaryMax > 0 {
			l.SalaryMax = &d.SalaryMax
		}
		if l.SalaryMin == nil && l.SalaryMax == nil {
			l.SalaryCurrency, l.SalaryPeriod = "", ""
		}
		for _, p := range d.Places {
			lat, lon := p.Lat, p.Lon
			l.Places = append(l.Places, listings.Place{Country: p.Country, Region: p.Region, City: p.City, Lat: &lat, Lon: &lon})
		}
		if l.State.Public() {
			published, ends := now.Add(-d.Age), now.Add(d.EndsIn)
			l.PublishedAt, l.EndsAt = &published, &ends
			if l.State == listings.Filled || l.State == listings.Expired {
				closed := now.Add(min(d.EndsIn, -time.Hour))
				l.ClosedAt = &closed
			}
		}
		rows, keys = append(rows, l), append(keys, d.Key)
	}
	return rows, keys
}

func (a *app) demoApplications(ctx context.Context, tx bun.IDB, b *demo.Board, t *tenant.Tenant, now time.Time, ids map[string]uuid.UUID) error {
	for i := range b.Applications {
		d := &b.Applications[i]
		id := tenant.NewRowID()
		key := t.ID.String() + "/cv/" + id.String() + ".pdf"
		pdf := d.CV()
		if err := a.files.WriteAll(ctx, key, pdf, nil); err != nil {
			return err
		}
		at := now.Add(-d.Age)
		_, err := tx.NewRaw(`INSERT INTO applications (tenant_id, id, listing_id, name, email, note, cv_key, cv_name, cv_type, cv_size, status, consent_text, consented_at, created_at, updated_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'application/pdf', ?, ?, ?, ?, ?, ?)`, t.ID, id, ids[d.Listing], d.Name, strings.ToLower(d.Email), d.Note, key, d.CVName, len(pdf), d.Status, b.PrivacyNote, at, at, at).Exec(ctx)
		if err != nil {
			return err
		}
	}
	return nil
}
