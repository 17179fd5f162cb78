package looks

import (
	"bytes"
	"embed"
	"html/template"
	"strings"

	"shingle/tenant"
)

//go:embed legal/*.html
var legalFiles embed.FS

// Publisher is who runs a board, as its legal pages name them.
type Publisher struct {
	Name, Street, PostalCode, City, Country                 string
	Represented, Register, TaxID, Phone, Email, Responsible string
}

// Templates fills the legal pages of a board's language with its publisher:
// privacy and terms, and for a German board the Impressum that § 5 DDG asks
// for. They are a start, not advice: the page says so to the admin.
func Templates(t *tenant.Tenant, p Publisher) []Page {
	lang, _, _ := strings.Cut(t.Locale, "-")
	if lang != "de" {
		lang = "en"
	}
	if p.Email == "" {
		p.Email = t.ContactEmail
	}
	titles := map[string][3]string{"en": {"Privacy", "Terms", "Imprint"}, "de": {"Datenschutz", "AGB", "Impressum"}}[lang]
	pages := []Page{{Slug: "privacy", Kind: "privacy", Title: titles[0]}, {Slug: "terms", Kind: "terms", Title: titles[1]}}
	if lang == "de" || t.Country == "DE" || t.Country == "AT" || t.Country == "CH" {
		pages = append(pages, Page{Slug: "impressum", Kind: "impressum", Title: titles[2]})
	}
	all := template.Must(template.ParseFS(legalFiles, "legal/*.html"))
	for i := range pages {
		var b bytes.Buffer
		// The templates are embedded and take these two values: they cannot fail.
		_ = all.ExecuteTemplate(&b, pages[i].Kind+"."+lang+".html", map[string]any{"Board": t, "P": p})
		pages[i].Body, pages[i].Published = b.String(), true
	}
	return pages
}
