package mail

import (
	"fmt"
	"strconv"
	"strings"
)

// Kind is a mail whose words a board may write.
type Kind struct {
	Name string
	// For is who reads it: "seekers", "applicants", "employers" or "all".
	For string
	// Fields are what the form asks for, in order.
	Fields []string
	Names  []Name
}

// Name is a placeholder of a kind.
type Name struct {
	Name string
	// Required ones must be in the body: without them the mail does not do its work.
	Required bool
	// data is the message's key that the value comes from.
	data string
	// block stands in a paragraph of its own as something larger; only then if only.
	block, only bool
}

// Block tells whether the placeholder may stand alone as a part of the layout.
func (n Name) Block() bool { return n.block }

func itoa(n int) string { return strconv.Itoa(n) }

// Footer is the name of the words under every mail.
const Footer = "mail-footer"

var (
	board      = Name{Name: "board", data: "Board"}
	listing    = Name{Name: "listing", data: "Title"}
	company    = Name{Name: "company", data: "Company"}
	applicant  = Name{Name: "applicant", data: "Name"}
	cv         = Name{Name: "cv", data: "File"}
	ends       = Name{Name: "ends", data: "Ends"}
	days       = Name{Name: "days", data: "Days"}
	minutes    = Name{Name: "minutes", data: "Minutes"}
	order      = Name{Name: "order", data: "Number"}
	product    = Name{Name: "product", data: "Product"}
	amount     = Name{Name: "amount", data: "Amount"}
	invoice    = Name{Name: "invoice", data: "Invoice"}
	button     = Name{Name: "button", block: true, only: true}
	details    = Name{Name: "details", block: true, only: true}
	note       = Name{Name: "message", block: true, only: true}
	needButton = Name{Name: "button", Required: true, block: true, only: true}
	needNote   = Name{Name: "message", Required: true, block: true, only: true}

	plain  = []string{"subject", "preview", "body", "button"}
	tabled = []string{"subject", "preview", "body", "button", "details"}
)

// kinds are the mails to seekers, applicants and employers. Those to the
// board's own team and to the platform's operators are the platform's.
var kinds = []*Kind{
	{Name: "person-sign-in", For: "all", Fields: plain, Names: []Name{board, minutes, {Name: "code", Required: true, data: "Code", block: true}, needButton}},
	{Name: "form-held", For: "all", Fields: plain, Names: []Name{board, {Name: "what", data: "What"}, {Name: "hours", data: "Hours"}, needButton}},
	{Name: "alert-confirm", For: "seekers", Fields: plain, Names: []Name{board, {Name: "search", data: "Search"}, needButton}},
	{Name: "alert-digest", For: "seekers", Fields: plain, Names: []Name{board, {Name: "new_jobs"}, {Name: "search", data: "Query"}, {Name: "jobs", Required: true, block: true, only: true}, button}},
	{Name: "access-invite", For: "seekers", Fields: plain, Names: []Name{board, days, needButton}},
	{Name: "access-link", For: "seekers", Fields: plain, Names: []Name{board, minutes, needButton}},
	{Name: "data-link", For: "all", Fields: plain, Names: []Name{board, minutes, needButton}},
	{Name: "data-erasure-asked", For: "all", Fields: plain, Names: []Name{board, days, needButton}},
	{Name: "data-erased", For: "all", Fields: []string{"subject", "preview", "body"}, Names: []Name{board}},
	{Name: "application-sent", For: "applicants", Fields: tabled, Names: []Name{board, listing, company, applicant, cv, details, needButton}},
	{Name: "application-reply", For: "applicants", Fields: []string{"subject", "preview", "body"}, Names: []Name{board, listing, company, applicant, needNote}},
	{Name: "application-received", For: "employers", Fields: tabled, Names: []Name{board, listing, applicant, cv, note, details, needButton}},
	{Name: "applications-waiting", For: "employers", Fields: plain, Names: []Name{board, button}},
	{Name: "application-withdrawn", For: "employers", Fields: plain, Names: []Name{board, listing, button}},
	{Name: "listing-in-review", For: "employers", Fields: plain, Names: []Name{board, listing, button}},
	{Name: "listing-live", For: "employers", Fields: plain, Names: []Name{board, listing, ends, button}},
	{Name: "listing-sent-back", For: "employers", Fields: plain, Names: []Name{board, listing, needNote, button}},
	{Name: "listing-rejected", For: "employers", Fields: plain, Names: []Name{board, listing, needNote, button}},
	{Name: "listing-ends-soon", For: "employers", Fields: plain, Names: []Name{board, listing, ends, button}},
	{Name: "listing-expired", For: "employers", Fields: plain, Names: []Name{board, listing, button}},
	{Name: "receipt", For: "employers", Fields: []string{"subject", "preview", "body", "button", "invoice_link", "details"},
		Names: []Name{board, listing, order, product, amount, invoice, days, details, needButton, {Name: "invoice_link", Required: true, block: true, only: true}}},
	{Name: "payment-failed", For: "employers", Fields: tabled, Names: []Name{board, listing, order, product, amount, details, needButton}},
	{Name: "refund", For: "employers", Fields: tabled, Names: []Name{board, listing, order, product, amount, details, button}},
	{Name: "duplicate-refunded", For: "employers", Fields: tabled, Names: []Name{board, listing, order, product, amount, details, button}},
	{Name: Footer, For: "all", Fields: []string{"why", "stop", "fallback"}, Names: []Name{board}},
}

// BoardKinds are the mails whose words a board may write, in the order of its page.
func BoardKinds() []*Kind { return kinds }

// KindOf is a mail that boards write, nil for any other.
func KindOf(name string) *Kind {
	for _, k := range kinds {
		if k.Name == name {
			return k
		}
	}
	return nil
}

func (k *Kind) name(name string) *Name {
	for i := range k.Names {
		if k.Names[i].Name == name {
			return &k.Names[i]
		}
	}
	return nil
}

// values are what the kind's names stand for in a message.
func (k *Kind) values(data Data, locale string) values {
	v := values{}
	for _, n := range k.Names {
		if d, ok := data[n.data]; ok && n.data != "" && d != nil {
			v[n.Name] = oneLine(fmt.Sprint(d))
		}
	}
	if k.name("new_jobs") != nil {
		v["new_jobs"] = newJobs(data["Count"], locale)
	}
	return v
}

// newJobs is a number with its noun. A number that went through JSON is a float.
func newJobs(count any, locale string) string {
	n := strings.TrimSuffix(fmt.Sprint(count), ".0")
	one, many := " new job", " new jobs"
	if languageOf(locale) == "de" {
		one, many = " neue Stelle", " neue Stellen"
	}
	if n == "1" {
		return n + one
	}
	return n + many
}

// languageOf is the language of a locale, as the words' files have it.
func languageOf(locale string) string {
	lang, _, _ := strings.Cut(locale, "-")
	return lang
}

// Languages are those that mails are written in.
var Languages = []string{"en", "de"}

// sampleData are values that could be real, for previews and test messages.
func sampleData(locale string) Data {
	if languageOf(locale) == "de" {
		return Data{"Title": "Pflegefachkraft Nachtdienst (m/w/d)", "Company": "Haus am Deich", "Name": "Ada Brandt", "File": "lebenslauf-brandt.pdf", "Search": "Pflege, Hamburg", "Query": "Pflege",
			"Count": len(sampleItems["de"]), "Ends": "2027-01-24", "Days": 7, "Minutes": 20, "Hours": 24, "What": "Ihre Bewerbung auf „Pflegefachkraft Nachtdienst“", "Number": 1042, "Product": "Anzeige, 30 Tage", "Amount": "199,00 €", "Invoice": "R-1042", "Code": "482913"}
	}
	return Data{"Title": "Night nurse", "Company": "Harbour House", "Name": "Ada Brand", "File": "cv-brand.pdf", "Search": "nurse, Leeds", "Query": "nurse",
		"Count": len(sampleItems["en"]), "Ends": "2027-01-24", "Days": 7, "Minutes": 20, "Hours": 24, "What": "your application for “Night nurse”", "Number": 1042, "Product": "Listing, 30 days", "Amount": "£199.00", "Invoice": "R-1042", "Code": "482913"}
}

var sampleQuote = map[string]string{
	"en": "Thank you for your note.\nWould Thursday at ten suit you?",
	"de": "Vielen Dank für Ihre Nachricht.\nPasst Ihnen Donnerstag um zehn Uhr?",
}

var sampleItems = map[string][]Item{
	"en": {{Title: "Night nurse", Text: "Harbour House, Leeds"}, {Title: "Ward sister", Text: "St Anne's, York"}, {Title: "Care assistant, part time", Text: "Elm Court, Leeds"}},
	"de": {{Title: "Pflegefachkraft Nachtdienst (m/w/d)", Text: "Haus am Deich, Hamburg"}, {Title: "Stationsleitung", Text: "Klinik Elbufer, Wedel"}, {Title: "Pflegehilfskraft in Teilzeit", Text: "Lindenhof, Hamburg"}},
}

// Sample is a message of a kind as it could be, to one reader. Its links lead
// to url and grant nothing.
func Sample(kind, locale, to, url string) Message {
	lang := languageOf(locale)
	if sampleItems[lang] == nil {
		lang = "en"
	}
	m := Message{Kind: kind, To: to, Locale: locale, Data: sampleData(locale)}
	k := KindOf(kind)
	if k == nil || kind == Footer {
		k, m.Kind = KindOf("alert-digest"), "alert-digest" // shows all of what stands under mails
	}
	if k.name("button") != nil {
		m.URL = url
	}
	if k.name("invoice_link") != nil {
		m.LinkURL = url
	}
	if k.name("message") != nil {
		m.Quote = sampleQuote[lang]
	}
	if k.name("code") == nil {
		delete(m.Data, "Code")
	}
	if k.name("jobs") != nil {
		m.StopURL = url
		for _, i := range sampleItems[lang] {
			i.URL = url
			m.Items = append(m.Items, i)
		}
	}
	return m
}
