package admin

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/authz"
	"shingle/internal/fault"
	"shingle/listings"
	"shingle/tenant"
	"shingle/web/console"
)

func (a *Admin) settings(c *gin.Context) error {
	t := tenant.From(c.Request.Context())
	return a.showSettings(c, http.StatusOK, tenant.Settings{Name: t.Name, Tagline: t.Tagline, Locale: t.Locale, Currency: t.Currency, TimeZone: t.TimeZone,
		Country: t.Country, ContactEmail: t.ContactEmail, Moderated: t.Moderated}, nil)
}

func (a *Admin) showSettings(c *gin.Context, status int, s tenant.Settings, errs map[string]string) error {
	t := tenant.From(c.Request.Context())
	return a.render(c, status, "settings", a.t(c, "admin.nav.settings"), map[string]any{"S": s, "Errors": errs, "CanWrite": a.may(c, "settings", "write"),
		"Locales": withOption(console.LocaleOptions(), s.Locale), "Currencies": withOption(console.CurrencyOptions(), s.Currency),
		"Zones": withOption(console.ZoneOptions(), s.TimeZone), "Countries": countryOptions(a.locale(c)),
		"Address": a.Links.Board(t, "/"), "Console": a.Links.Console(t, "/admin")})
}

// countryOptions are all countries by their names, with none first.
func countryOptions(locale string) []console.Option {
	codes := listings.CountryCodes()
	out := make([]console.Option, len(codes))
	for i, code := range codes {
		out[i] = console.Option{Value: code, Label: listings.CountryName(code, locale)}
	}
	slices.SortFunc(out, func(x, y console.Option) int { return strings.Compare(x.Label, y.Label) })
	return append([]console.Option{{Label: "–"}}, out...)
}

func (a *Admin) saveSettings(c *gin.Context) error {
	t := tenant.From(c.Request.Context())
	s := tenant.Settings{Name: c.PostForm("name"), Tagline: c.PostForm("tagline"), Locale: c.PostForm("locale"), Currency: c.PostForm("currency"),
		TimeZone: c.PostForm("time_zone"), Country: c.PostForm("country"), ContactEmail: strings.TrimSpace(c.PostForm("contact_email")), Moderated: c.PostForm("moderated") != ""}
	bad := fault.Fields{}
	if s.ContactEmail != "" {
		if folded, err := accounts.Fold(s.ContactEmail); err != nil {
			bad["contact_email"] = fault.FieldsOf(err)["email"]
		} else {
			s.ContactEmail = folded
		}
	}
	err := a.act(c, authz.Act{Act: "settings.saved", ObjectKind: "board", ObjectID: t.ID.String(), Detail: map[string]any{"name": s.Name, "locale": s.Locale,
		"currency": s.Currency, "time_zone": s.TimeZone, "country": s.Country, "moderated": s.Moderated}}, func(ctx context.Context, tx bun.IDB) error {
		if err := tenant.SaveSettings(ctx, tx, s); err != nil && len(fault.FieldsOf(err)) == 0 {
			return err
		} else if err != nil {
			for name, text := range fault.FieldsOf(err) {
				bad[name] = text
			}
		}
		return fault.Invalids(bad)
	})
	if refused(err) {
		return a.showSettings(c, statusOf(err), s, a.errors(c, err))
	}
	if err != nil {
		return err
	}
	// Every process reads the board's row anew.
	a.Notifier.HostChanged(t.PlatformHost)
	if t.CanonicalHost != t.PlatformHost {
		a.Notifier.HostChanged(t.CanonicalHost)
	}
	return a.back(c, "/admin/settings", "settings.saved")
}
