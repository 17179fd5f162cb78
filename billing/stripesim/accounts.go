package stripesim

import (
	"cmp"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"
)

// platformRow is the fixed row that says which account is the platform's own.
const platformRow = "sim_platform"

type platformMark struct {
	head
	Account string `json:"account"`
}

// ensurePlatform makes the platform's own account once.
func ensurePlatform(t *tx) error {
	if t.row(platformRow) != nil {
		return nil
	}
	a := newAccount(t, "standard", "US")
	a.BusinessProfile.Name = str(t.sim.opt.Name)
	a.Capabilities = map[string]string{"card_payments": "active", "transfers": "active"}
	a.verified()
	t.put("", a)
	t.put("", &platformMark{head: head{ID: platformRow, Object: "sim.platform", Created: t.now.Unix()}, Account: a.ID})
	return nil
}

func platformID(t *tx) string { return known[platformMark](t, platformRow).Account }

// clientID is the platform's OAuth application, named by what it makes on connected accounts.
func clientID(t *tx) string { return "ca_" + strings.TrimPrefix(platformID(t), "acct_") }

var countryCurrency = map[string]string{
	"GB": "gbp", "JP": "jpy", "CH": "chf", "CA": "cad", "AU": "aud", "NZ": "nzd", "SE": "sek", "NO": "nok", "DK": "dkk", "PL": "pln", "CZ": "czk",
	"DE": "eur", "FR": "eur", "AT": "eur", "NL": "eur", "BE": "eur", "ES": "eur", "IT": "eur", "IE": "eur", "PT": "eur", "FI": "eur", "LU": "eur", "GR": "eur",
}

func newAccount(t *tx, kind, country string) *account {
	a := &account{head: t.head(kAccount), Type: kind, Country: country, Metadata: meta{}, Capabilities: map[string]string{}}
	a.DefaultCurrency = cmp.Or(countryCurrency[country], "usd")
	a.Settings = json.RawMessage(`{"dashboard":{"display_name":null,"timezone":"Etc/UTC"},"payments":{"statement_descriptor":null},"payouts":{"debit_negative_balances":true,"schedule":{"delay_days":2,"interval":"daily"},"statement_descriptor":null}}`)
	a.unfinished()
	return a
}

// unfinished is an account that has yet to fill in Stripe's form.
func (a *account) unfinished() {
	due := []string{"business_profile.url", "external_account", "tos_acceptance.date", "tos_acceptance.ip"}
	a.ChargesEnabled, a.PayoutsEnabled, a.DetailsSubmitted = false, false, false
	a.Requirements = requirements{Alternatives: []string{}, CurrentlyDue: due, EventuallyDue: due, PastDue: due, Errors: []string{}, PendingVerification: []string{}, DisabledReason: str("requirements.past_due")}
	a.capabilities("inactive")
}

// checking is an account whose form is complete and which Stripe still looks at.
func (a *account) checking() {
	a.ChargesEnabled, a.PayoutsEnabled, a.DetailsSubmitted = false, false, true
	a.Requirements = requirements{Alternatives: []string{}, CurrentlyDue: []string{}, EventuallyDue: []string{}, PastDue: []string{}, Errors: []string{}, PendingVerification: []string{"company.verification.document"}, DisabledReason: str("requirements.pending_verification")}
	a.capabilities("pending")
}

// verified is an account that can take and receive money.
func (a *account) verified() {
	a.DetailsSubmitted, a.PayoutsEnabled = true, true
	a.Requirements = requirements{Alternatives: []string{}, CurrentlyDue: []string{}, EventuallyDue: []string{}, PastDue: []string{}, Errors: []string{}, PendingVerification: []string{}}
	a.capabilities("active")
	a.ChargesEnabled = a.Capabilities["card_payments"] == "active"
}

func (a *account) capabilities(status string) {
	for name := range a.Capabilities {
		a.Capabilities[name] = status
	}
}

var countryCodes = func() map[string]bool {
	known := map[string]bool{}
	for _, c := range countries {
		known[c.Code] = true
	}
	return known
}()

func createAccount(c *call) (any, error) {
	if c.account != "" {
		return nil, invalid("", "", "Accounts can only be created by a platform, without the Stripe-Account header.")
	}
	if !c.has("type") {
		c.need("type")
	}
	kind := c.choice("type", "standard", "express")
	country := cmp.Or(c.str("country"), "US")
	if !countryCodes[country] {
		c.fail(invalid("country_unsupported", "country", "Country '%s' is unknown. Try using a 2-character alphanumeric country code instead, such as 'US', 'EG', or 'GB'.", country))
	}
	a := newAccount(c.tx, kind, country)
	if kind == "standard" {
		a.Capabilities["card_payments"], a.Capabilities["transfers"] = "inactive", "inactive"
	}
	c.accountFields(a)
	if currency := c.str("default_currency"); currency != "" {
		if !currencyKnown(currency) {
			c.fail(invalid("", "default_currency", "Invalid currency: %s", currency))
		}
		a.DefaultCurrency = currency
	}
	if c.params.err == nil && len(a.Capabilities) == 0 {
		c.fail(invalid("", "capabilities", "You must request at least one capability for an express account: transfers, or card_payments with transfers."))
	}
	if a.Capabilities["card_payments"] != "" && a.Capabilities["transfers"] == "" {
		c.fail(invalid("", "capabilities", "The `card_payments` capability can't be requested without `transfers`."))
	}
	if err := c.done(); err != nil {
		return nil, err
	}
	c.put("", a)
	return a, nil
}

func (c *call) accountFields(a *account) {
	if email := c.str("email"); email != "" {
		if !looksLikeEmail(email) {
			c.fail(invalid("email_invalid", "email", "Invalid email address: %s", email))
		}
		a.Email = &email
	}
	if s := c.choice("business_type", "company", "individual", "non_profit", "government_entity"); s != "" {
		a.BusinessType = &s
	}
	b := &a.BusinessProfile
	for name, field := range map[string]**string{"mcc": &b.MCC, "name": &b.Name, "product_description": &b.ProductDescription,
		"support_email": &b.SupportEmail, "support_phone": &b.SupportPhone, "support_url": &b.SupportURL, "url": &b.URL} {
		if s := c.str("business_profile[" + name + "]"); s != "" {
			*field = &s
		}
	}
	for _, name := range []string{"card_payments", "transfers"} {
		if c.flag("capabilities["+name+"][requested]") && a.Capabilities[name] == "" {
			a.Capabilities[name] = "inactive"
			if a.DetailsSubmitted {
				a.Capabilities[name] = "active"
			}
		}
	}
	c.accept("settings", "company", "individual")
	a.Metadata = c.mergeMeta(a.Metadata)
}

func looksLikeEmail(s string) bool {
	at := strings.LastIndexByte(s, '@')
	return at > 0 && strings.Contains(s[at:], ".") && !strings.ContainsAny(s, " \t\r\n")
}

// ownAccount is GET /v1/account: whoever the request acts for.
func ownAccount(c *call) (any, error) {
	return known[account](c.tx, cmp.Or(c.account, platformID(c.tx))), nil
}

// reach reads an account that the caller may name: itself, or any of the
// platform's when the caller is the platform.
func (c *call) reach(id, param string) (*account, error) {
	r := c.row(id)
	if r == nil || r.Kind != kAccount || (c.account != "" && c.account != id) {
		e := noAccess(id)
		e.Param = param
		return nil, e
	}
	return decode[account](r), nil
}

func getAccount(c *call) (any, error) { return c.reach(c.id, "account") }

func updateAccount(c *call) (any, error) {
	a, err := c.reach(c.id, "account")
	if err != nil {
		return nil, err
	}
	c.accountFields(a)
	if err := c.done(); err != nil {
		return nil, err
	}
	c.saveAccount(a)
	return a, nil
}

func (t *tx) saveAccount(a *account) {
	t.put("", a)
	if a.ID == platformID(t) {
		t.emit("", "account.updated", a, nil)
		return
	}
	t.emit(a.ID, "account.updated", a, nil)
}

func listAccounts(c *call) (any, error) {
	if c.account != "" {
		return nil, invalid("", "", "Connected accounts have no accounts of their own.")
	}
	own := platformID(c.tx)
	return page(c, kAccount, func(a *account) bool { return a.ID != own })
}

func createAccountLink(c *call) (any, error) {
	kind := c.choice("type", "account_onboarding", "account_update")
	if kind == "" {
		c.need("type")
	}
	l := &accountLink{head: c.tx.head(kAccountLink), Account: c.need("account"), RefreshURL: c.needLink("refresh_url"), ReturnURL: c.needLink("return_url")}
	c.choice("collect", "currently_due", "eventually_due")
	c.accept("collection_options")
	if err := c.done(); err != nil {
		return nil, err
	}
	a, err := c.reach(l.Account, "account")
	if err != nil {
		return nil, err
	}
	if kind == "account_update" && a.Type == "standard" {
		return nil, invalid("", "type", "You cannot create `account_update` type Account Links for this account: it is a standard account.")
	}
	l.ExpiresAt = c.now.Add(5 * time.Minute).Unix()
	c.put("", l)
	return map[string]any{"object": "account_link", "created": l.Created, "expires_at": l.ExpiresAt, "url": c.sim.link("/connect/setup/" + url.PathEscape(l.ID))}, nil
}

func createLoginLink(c *call) (any, error) {
	a, err := c.reach(c.id, "account")
	if err != nil {
		return nil, err
	}
	if a.Type != "express" {
		return nil, invalid("", "account", "Cannot create a login link for an account that is not an Express account.")
	}
	if !a.DetailsSubmitted {
		return nil, invalid("", "account", "Cannot create a login link for an account that has not completed onboarding.")
	}
	l := &loginLink{head: c.tx.head(kLoginLink), Account: a.ID}
	c.put("", l)
	return map[string]any{"object": "login_link", "created": l.Created, "url": c.sim.link("/express/" + l.ID)}, nil
}

// merchant is the name on the checkout page: whoever owns the charge.
func (t *tx) merchant(owner string) string {
	return known[account](t, cmp.Or(owner, platformID(t))).name()
}

func createCustomer(c *call) (any, error) {
	v := &customer{head: c.tx.head(kCustomer), Metadata: meta{}, TaxExempt: "none"}
	c.customerFields(v)
	c.bindCustomer(v)
	if err := c.done(); err != nil {
		return nil, err
	}
	c.put(c.account, v)
	c.emit(c.account, "customer.created", v, nil)
	return v, nil
}

func updateCustomer(c *call) (any, error) {
	v, err := find[customer](c.tx, kCustomer, c.account, c.id, "id")
	if err != nil {
		return nil, err
	}
	c.customerFields(v)
	if err := c.done(); err != nil {
		return nil, err
	}
	c.put(c.account, v)
	c.emit(c.account, "customer.updated", v, nil)
	return v, nil
}

func (c *call) customerFields(v *customer) {
	for name, field := range map[string]**string{"email": &v.Email, "name": &v.Name, "phone": &v.Phone, "description": &v.Description} {
		if s := c.str(name); s != "" {
			*field = &s
		}
	}
	if c.under("address") {
		a := &address{}
		for name, field := range map[string]**string{"city": &a.City, "country": &a.Country, "line1": &a.Line1, "line2": &a.Line2, "postal_code": &a.PostalCode, "state": &a.State} {
			*field = str(c.str("address[" + name + "]"))
		}
		v.Address = a
	}
	c.accept("preferred_locales")
	v.Metadata = c.mergeMeta(v.Metadata)
}

func listCustomers(c *call) (any, error) {
	email, clock := c.str("email"), c.str("test_clock")
	return page(c, kCustomer, func(v *customer) bool { return (email == "" || text(v.Email) == email) && text(v.TestClock) == clock })
}

// countries are those that the checkout page offers, with the kind of tax id
// that Stripe collects there ("" where it collects none).
var countries = slices.SortedFunc(slices.Values([]country{
	{"AT", "Austria", "eu_vat"}, {"AU", "Australia", "au_abn"}, {"BE", "Belgium", "eu_vat"}, {"BG", "Bulgaria", "eu_vat"}, {"BR", "Brazil", "br_cnpj"},
	{"CA", "Canada", "ca_bn"}, {"CH", "Switzerland", "ch_vat"}, {"CL", "Chile", "cl_tin"}, {"CY", "Cyprus", "eu_vat"}, {"CZ", "Czechia", "eu_vat"},
	{"DE", "Germany", "eu_vat"}, {"DK", "Denmark", "eu_vat"}, {"EE", "Estonia", "eu_vat"}, {"ES", "Spain", "eu_vat"}, {"FI", "Finland", "eu_vat"},
	{"FR", "France", "eu_vat"}, {"GB", "United Kingdom", "gb_vat"}, {"GR", "Greece", "eu_vat"}, {"HK", "Hong Kong", ""}, {"HR", "Croatia", "eu_vat"},
	{"HU", "Hungary", "eu_vat"}, {"IE", "Ireland", "eu_vat"}, {"IL", "Israel", "il_vat"}, {"IN", "India", "in_gst"}, {"IS", "Iceland", "is_vat"},
	{"IT", "Italy", "eu_vat"}, {"JP", "Japan", "jp_trn"}, {"KE", "Kenya", "ke_pin"}, {"KR", "South Korea", "kr_brn"}, {"LI", "Liechtenstein", "li_uid"},
	{"LT", "Lithuania", "eu_vat"}, {"LU", "Luxembourg", "eu_vat"}, {"LV", "Latvia", "eu_vat"}, {"MT", "Malta", "eu_vat"}, {"MX", "Mexico", "mx_rfc"},
	{"MY", "Malaysia", ""}, {"NG", "Nigeria", ""}, {"NL", "Netherlands", "eu_vat"}, {"NO", "Norway", "no_vat"}, {"NZ", "New Zealand", "nz_gst"},
	{"PH", "Philippines", ""}, {"PL", "Poland", "eu_vat"}, {"PT", "Portugal", "eu_vat"}, {"RO", "Romania", "eu_vat"}, {"SE", "Sweden", "eu_vat"},
	{"SG", "Singapore", "sg_gst"}, {"SI", "Slovenia", "eu_vat"}, {"SK", "Slovakia", "eu_vat"}, {"TH", "Thailand", "th_vat"}, {"TR", "Türkiye", "tr_tin"},
	{"TW", "Taiwan", "tw_vat"}, {"UA", "Ukraine", "ua_vat"}, {"US", "United States", "us_ein"}, {"VN", "Vietnam", ""}, {"ZA", "South Africa", "za_vat"},
}), func(a, b country) int { return strings.Compare(a.Name, b.Name) })

type country struct{ Code, Name, TaxID string }

func countryOf(code string) (country, bool) {
	i := slices.IndexFunc(countries, func(c country) bool { return c.Code == code })
	if i < 0 {
		return country{}, false
	}
	return countries[i], true
}
