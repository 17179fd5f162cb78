// Package sample holds believable views of every public page in every state,
// in English and German, full and empty. It reads nothing and is used by the
// storybook and by tests alone. Start at Shots.
package sample

import (
	"encoding/json"

	"shingle/themes"
)

// Shot is one page in one state.
type Shot struct {
	Name string // "listing-filled"
	Page string
	Data any
}

// board is what differs between the two languages.
type board struct {
	locale, name, tagline, heroTitle, heroText string
	cards                                      []themes.Card
	cats                                       []string
	total, jobs                                string
	say                                        func(en, de string) string
}

func newBoard(locale string) board {
	b := board{locale: locale, say: func(en, _ string) string { return en }}
	if locale == "de" {
		b.say = func(_, de string) string { return de }
	}
	s := b.say
	b.name = s("Halyard", "Pflegeblatt")
	b.tagline = s("Remote software jobs with the pay written down", "Stellen in Pflege und Betreuung, mit Gehalt und Dienstplan")
	b.heroTitle = s("Remote software jobs, pay included", "Gute Stellen in Pflege und Betreuung")
	b.heroText = s("Every listing names its salary, its time zones and a person you can write to.", "Jede Anzeige nennt Gehalt, Schichten und einen Menschen, den Sie fragen können.")
	b.total, b.jobs = s("1,204 open jobs", "1.204 offene Stellen"), s("214 jobs", "214 Stellen")
	if locale == "de" {
		b.cats = []string{"Altenpflege", "Intensivpflege", "Ambulante Pflege", "Kinderkrankenpflege", "Betreuung", "Leitung", "Ausbildung", "Therapie"}
	} else {
		b.cats = []string{"Engineering", "Design", "Product", "Data", "Infrastructure", "Security", "Support", "Marketing"}
	}
	type row struct{ title, co, place, work, pay, typ, age, tags, excerpt string }
	rows := []row{
		{"Staff Engineer, Payments", "Northlight Ledger", "Europe", "Remote", "€95,000 – €120,000", "Full-time", "2 hours", "Go|PostgreSQL|Kafka", "Own the service that moves forty thousand invoices a day, and decide with three peers what it becomes next."},
		{"Product Designer", "Fieldnote", "Lisbon, Portugal", "Hybrid", "€58,000 – €70,000", "Full-time", "5 hours", "Figma|Prototyping", "A small team makes software for people who work outdoors. You would draw, test and ship with them."},
		{"Senior Backend Developer", "Tern & Tide", "Worldwide", "Remote", "$140,000 – $165,000", "Full-time", "1 day", "Rust|gRPC|AWS", "Weather routing for cargo ships: hard numbers, patient users, and results that you can see from space."},
		{"Data Analyst", "Orchard Health", "Manchester, UK", "Hybrid", "£42,000 – £50,000", "Full-time", "1 day", "SQL|dbt", "Help forty clinics see which visits could be shorter and which must not be."},
		{"Site Reliability Engineer", "Kestrel Cloud", "Americas", "Remote", "$150,000 – $180,000", "Full-time", "2 days", "Kubernetes|Terraform|Linux", "Quiet on-call, loud post-mortems, four weeks between turns."},
		{"Support Engineer, part-time", "Plainsong", "3 places", "Remote", "£28 – £34 / hour", "Part-time", "3 days", "SaaS|Writing", "Answer musicians and their teachers, in sentences you would want to read."},
		{"Engineering Manager, Platform", "Brasswork", "Berlin, Germany", "", "€100,000 – €125,000", "Full-time", "4 days", "Leadership|Go", "Nine engineers, two time zones, one internal platform that people like."},
		{"Technical Writer", "Open Harbour Project", "Worldwide", "Remote", "$85,000 – $98,000", "Contract", "6 days", "Docs|Markdown", "Write the manual that a tired operator reads at three in the morning."},
	}
	if locale == "de" {
		rows = []row{
			{"Pflegefachkraft Intensivstation (m/w/d)", "Klinikum Lindenau", "Leipzig", "", "3.850 – 4.400 € / Monat", "Vollzeit", "2 Std.", "Intensivpflege|Beatmung", "Zwölf Betten, feste Teams, ein Dienstplan, der acht Wochen im Voraus steht und auch gilt."},
			{"Praxisanleitung Altenpflege", "Haus am Deich", "Husum", "", "3.600 – 4.050 € / Monat", "Vollzeit", "5 Std.", "Anleitung|TVöD", "Sie begleiten sechs Auszubildende und haben dafür zwei freie Tage in der Woche."},
			{"Ambulante Pflegefachkraft", "Pflegedienst Rosengarten", "Hamburg-Eimsbüttel", "", "22,50 – 25,80 € / Stunde", "Teilzeit", "1 Tag", "Führerschein B", "Kurze Wege mit dem E-Bike und genug Zeit bei jedem Besuch."},
			{"Kinderkrankenschwester Neonatologie", "St. Elisabeth Kinderklinik", "Regensburg", "", "3.900 – 4.500 € / Monat", "Vollzeit", "1 Tag", "Neonatologie", "Level-1-Zentrum mit eigener Elternberatung und Supervision."},
			{"Wohnbereichsleitung", "Stiftung Morgenrot", "Kassel", "", "4.200 – 4.700 € / Monat", "Vollzeit", "2 Tage", "Leitung|Dokumentation", "Ein Wohnbereich mit 28 Menschen und ein Team, das bleibt."},
			{"Pflegeberatung am Telefon", "Beratungsnetz Nord", "Deutschland", "Homeoffice", "3.300 – 3.700 € / Monat", "Teilzeit", "3 Tage", "§ 7a SGB XI", "Sie beraten Familien in ganz Deutschland, von zu Hause aus."},
			{"Betreuungskraft nach § 43b", "Seniorenhof Talblick", "Freudenstadt", "", "2.650 – 2.900 € / Monat", "Teilzeit", "4 Tage", "Demenz", "Garten, Werkstatt, Chor: Sie bringen Leben in die Nachmittage."},
			{"Auszubildende Pflegefachfrau / Pflegefachmann", "Klinikum Lindenau", "Leipzig", "", "1.340 € / Monat", "Ausbildung", "6 Tage", "Start im April", "Drei Jahre, fünf Einsatzorte, ein fester Mensch, der fragt, wie es läuft."},
		}
	}
	for i, r := range rows {
		initials, tone := themes.Monogram(r.co)
		c := themes.Card{URL: "/jobs/sample-7Kx2mQ", Title: r.title, Company: r.co, Place: r.place, Workplace: r.work, Pay: r.pay, Type: r.typ, Excerpt: r.excerpt,
			Logo: themes.Logo{Initials: initials, Tone: tone}, Age: themes.When{Text: r.age, ISO: "2026-11-20T08:00:00Z", Title: s("20 November 2026", "20. November 2026")},
			Tags: split(r.tags), New: i == 2}
		b.cards = append(b.cards, c)
	}
	return b
}

func split(s string) []string {
	var out []string
	for len(s) > 0 {
		i := 0
		for i < len(s) && s[i] != '|' {
			i++
		}
		out = append(out, s[:i])
		s = s[min(i+1, len(s)):]
	}
	return out
}

func (b board) layout(title string) themes.Layout {
	s := b.say
	return themes.Layout{
		Locale: b.locale, Title: title, Canonical: "https://jobs.example.com/", Description: b.tagline,
		Board: themes.Board{Name: b.name, Tagline: b.tagline, HomeURL: "/"}, ThemeCSS: "/theme.css", FeedURL: "/feed.rss",
		Share: themes.Share{ImageURL: "https://jobs.example.com/share.png"}, JSONLD: []json.RawMessage{json.RawMessage(`{"@type":"WebSite","name":"a</script>b"}`)},
		Nav:     []themes.Link{{Text: s("Jobs", "Stellen"), URL: "/jobs"}, {Text: s("Companies", "Unternehmen"), URL: "/companies"}, {Text: s("For employers", "Für Arbeitgeber"), URL: "/employers"}},
		PostURL: "/post", SearchURL: "/jobs",
		Footer: themes.Footer{Links: []themes.Link{{Text: s("All jobs", "Alle Stellen"), URL: "/jobs"}, {Text: s("Companies", "Unternehmen"), URL: "/companies"}},
			Legal: []themes.Link{{Text: s("Privacy", "Datenschutz"), URL: "/privacy"}, {Text: s("Terms", "AGB"), URL: "/terms"}, {Text: s("Legal notice", "Impressum"), URL: "/imprint"}}},
	}
}

func (b board) search() themes.SearchBox { return themes.SearchBox{Action: "/jobs"} }

func (b board) featured(n int) []themes.Card {
	var out []themes.Card
	for _, c := range b.cards[:n] {
		c.Featured = true
		out = append(out, c)
	}
	return out
}

func (b board) counts() []themes.Count {
	n := []string{"412", "96", "88", "74", "61", "40", "33", "21"}
	var out []themes.Count
	for i, c := range b.cats {
		count := themes.Count{Text: c, URL: "/jobs?category=x", N: n[i]}
		if i < 3 {
			count.Tops = b.cards[i+2 : i+5]
		}
		out = append(out, count)
	}
	return out
}

func (b board) companies() []themes.CompanyCard {
	var out []themes.CompanyCard
	n := []string{"12", "4", "7", "2", "9", "3"}
	for i, c := range b.cards[:6] {
		out = append(out, themes.CompanyCard{Name: c.Company, URL: "/companies/x", Logo: c.Logo, Openings: n[i] + b.say(" open jobs", " offene Stellen"), Line: c.Excerpt})
	}
	return out
}

func (b board) alert() *themes.AlertForm {
	return &themes.AlertForm{Form: themes.Form{Action: "/alerts"}, Search: b.cats[0],
		Frequencies: []themes.Option{{Value: "daily", Text: b.say("Daily", "Täglich"), Selected: true}, {Value: "weekly", Text: b.say("Weekly", "Wöchentlich")}}}
}
