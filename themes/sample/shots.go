package sample

import "shingle/themes"

// Shots is every page in every state, in one language.
func Shots(locale string) []Shot {
	b := newBoard(locale)
	var out []Shot
	out = append(out, b.seek()...)
	out = append(out, b.small()...)
	return append(out, b.post()...)
}

func (b board) seek() []Shot {
	s := b.say
	home := themes.Home{Layout: b.layout(""), Title: b.heroTitle, Text: b.heroText, Search: b.search(), Total: b.total, Categories: b.counts(),
		Featured: b.featured(3), Latest: b.cards[2:], AllURL: "/jobs", Companies: b.companies(), Alert: b.alert(),
		About:     []string{s("We list jobs that we would take ourselves.", "Wir zeigen Stellen, die wir selbst annehmen würden."), s("Questions? Write to us.", "Fragen? Schreiben Sie uns.")},
		Employers: &themes.Link{Text: s("Post a job from $199", "Stelle ab 249 € ausschreiben"), URL: "/employers"}}
	empty := themes.Home{Layout: b.layout(""), Title: b.heroTitle, Search: b.search()}
	facet := func(key, label string, open bool, values ...string) themes.Facet {
		f := themes.Facet{Key: key, Label: label, Open: open}
		for i, v := range values {
			fv := themes.FacetValue{Text: v, N: []string{"132", "64", "18", "7", "3", "1", "1"}[i], URL: "/jobs?x=1", Selected: i == 0 && key != "category"}
			if i < 5 {
				f.Values = append(f.Values, fv)
			} else {
				f.More = append(f.More, fv)
			}
		}
		return f
	}
	results := themes.Results{Layout: b.layout(s("Remote jobs", "Stellen in Leipzig")), Heading: s("Remote engineering jobs", "Pflegestellen in Leipzig"),
		Crumbs: []themes.Link{{Text: s("Jobs", "Stellen"), URL: "/jobs"}, {Text: b.cats[0]}},
		Search: themes.SearchBox{Action: "/jobs", Query: s("engineer", "pflege"), Hidden: []themes.Hidden{{Name: "type", Value: "full-time"}}}, Total: b.jobs,
		Active: []themes.Chip{{Text: s("Full-time", "Vollzeit"), URL: "/jobs"}, {Text: s("Remote", "Homeoffice"), URL: "/jobs"}}, ClearURL: "/jobs",
		Facets: []themes.Facet{
			facet("workplace", s("Workplace", "Arbeitsort"), true, s("Remote", "Vor Ort"), s("Hybrid", "Hybrid"), s("On site", "Homeoffice")),
			facet("type", s("Employment type", "Anstellungsart"), true, s("Full-time", "Vollzeit"), s("Part-time", "Teilzeit"), s("Contract", "Befristet"), s("Internship", "Ausbildung")),
			facet("category", s("Category", "Bereich"), true, b.cats[:7]...),
			facet("company", s("Company", "Unternehmen"), false, b.cards[0].Company, b.cards[1].Company),
		},
		Salary: &themes.SalaryFilter{Action: "/jobs", Options: []themes.Option{{Value: "", Text: s("Any", "Egal")}, {Value: "50000", Text: s("$50,000", "36.000 €"), Selected: true}}},
		Sort:   []themes.Link{{Text: s("Best match", "Relevanz"), URL: "/jobs", Current: true}, {Text: s("Newest", "Neueste"), URL: "/jobs?sort=new"}},
		Cards:  append(b.featured(1), b.cards[1:]...),
		Pages: themes.Pagination{Prev: "/jobs", Next: "/jobs?page=3", Text: s("Page 2 of 14", "Seite 2 von 14"),
			Pages: []themes.PageLink{{Text: "1", URL: "/jobs"}, {Text: "2", Current: true}, {Text: "3", URL: "/jobs?page=3"}, {Text: "…"}, {Text: "14", URL: "/jobs?page=14"}}},
		Alert: b.alert(), Related: b.counts()[:5],
	}
	none := themes.Results{Layout: b.layout(s("Jobs", "Stellen")), Heading: s("Jobs for “flintknapper”", "Stellen für „Feuersteinschläger“"), Search: themes.SearchBox{Action: "/jobs", Query: "flintknapper"}, Total: s("0 jobs", "0 Stellen"),
		Suggestion: &themes.Link{Text: "tinkerer", URL: "/jobs?q=tinkerer"},
		Empty:      &themes.Empty{Title: s("Nothing found", "Nichts gefunden"), Text: s("Try fewer words, or have new matches sent to you.", "Versuchen Sie es mit weniger Wörtern, oder lassen Sie sich neue Treffer schicken."), Links: []themes.Link{{Text: s("Show all jobs", "Alle Stellen zeigen"), URL: "/jobs"}}},
		Alert:      b.alert()}
	out := []Shot{{"home", "home", home}, {"home-empty", "home", empty}, {"results", "results", results}, {"results-none", "results", none}}
	for _, state := range []themes.ListingState{themes.Live, themes.Paused, themes.Filled, themes.Expired, themes.Removed} {
		out = append(out, Shot{"listing-" + string(state), "listing", b.listing(state)})
	}
	preview := b.listing(themes.Live)
	preview.Preview = &themes.PreviewBar{BackURL: "/post?draft=x", NextURL: "/post/products", Products: s("from $199", "ab 249 €")}
	bare := themes.ListingPage{Layout: b.layout("x"), State: themes.Live, Title: b.cards[0].Title, Company: themes.CompanyCard{Name: "Solo"}, Description: "<p>Short.</p>"}
	out = append(out, Shot{"listing-preview", "listing", preview}, Shot{"listing-bare", "listing", bare},
		Shot{"company", "company", themes.CompanyPage{Layout: b.layout(b.cards[0].Company), Company: b.companies()[0], About: themes.Prose("<p>" + b.cards[0].Excerpt + "</p>"), Cards: b.cards[:3], Openings: s("3 open jobs", "3 offene Stellen"), Crumbs: []themes.Link{{Text: s("Companies", "Unternehmen"), URL: "/companies"}, {Text: b.cards[0].Company}}, Alert: b.alert()}},
		Shot{"company-empty", "company", themes.CompanyPage{Layout: b.layout("Solo"), Company: themes.CompanyCard{Name: "Solo"}}},
		Shot{"companies", "companies", themes.CompaniesPage{Layout: b.layout("x"), Companies: b.companies()}},
		Shot{"companies-empty", "companies", themes.CompaniesPage{Layout: b.layout("x"), Empty: &themes.Empty{Title: s("No companies yet", "Noch keine Unternehmen")}}})
	return out
}

func (b board) listing(state themes.ListingState) themes.ListingPage {
	s := b.say
	c := b.cards[0]
	l := themes.ListingPage{Layout: b.layout(c.Title), State: state, Title: c.Title, Company: b.companies()[0], Place: c.Place, Workplace: c.Workplace, Pay: c.Pay, Type: c.Type, Posted: c.Age, Featured: true,
		Crumbs: []themes.Link{{Text: s("Jobs", "Stellen"), URL: "/jobs"}, {Text: b.cats[0], URL: "/jobs?category=x"}, {Text: c.Title}},
		Facts:  []themes.Fact{{Label: s("Category", "Bereich"), Value: b.cats[0], URL: "/jobs"}, {Label: s("Workplace", "Arbeitsort"), Value: s("Remote, Europe", "Vor Ort")}, {Label: s("Posted", "Online seit"), Value: s("20 Nov", "20. Nov."), ISO: "2026-11-20", Title: s("20 November 2026", "20. November 2026")}, {Label: s("Reference", "Kennziffer"), Value: "NL-204"}},
		Description: themes.Prose(s(
			"<p>Our ledger moves forty thousand invoices a day for eleven thousand small firms. It is honest, fast and a little too clever in places. We are looking for somebody to make it plainer.</p><h2>What you will do</h2><ul><li>Own the payment service with three peers, from design to the pager.</li><li>Replace two queues with one, without a day of downtime.</li><li>Write down decisions so that the next person does not have to ask.</li></ul><h2>What we look for</h2><p>Years matter less than judgement. You have run something that moved money, and you have stories about the day it did not. You write well.</p><ul><li>Fluent in Go or a close relative, at home in PostgreSQL.</li><li>Calm when the numbers disagree.</li></ul><h2>What you get</h2><p>Thirty days of leave, a four-day week every other week, equipment of your choice, and a team that closes the laptop at five.</p>",
			"<p>Unsere Intensivstation hat zwölf Betten, feste Teams und einen Dienstplan, der acht Wochen im Voraus steht und auch gilt. Wir suchen eine Pflegefachkraft, die bleiben möchte.</p><h2>Ihre Aufgaben</h2><ul><li>Sie betreuen zwei Menschen je Schicht, mit Beatmung und Monitoring.</li><li>Sie arbeiten mit Ärztinnen und Therapeuten auf Augenhöhe.</li><li>Sie leiten auf Wunsch neue Kolleginnen und Kollegen an.</li></ul><h2>Das bringen Sie mit</h2><p>Ein Examen in der Pflege und Ruhe, wenn es laut wird. Die Fachweiterbildung bezahlen wir.</p><h2>Das bekommen Sie</h2><p>TVöD mit Zulagen, 31 Tage Urlaub, Jobticket, Kita-Platz im Haus und jedes zweite Wochenende frei.</p>")),
		Tags: []themes.Count{{Text: c.Tags[0], URL: "/jobs?tag=go"}, {Text: c.Tags[1]}}, ReportURL: "/jobs/x/report", Similar: b.cards[2:5], SearchURL: "/jobs", Alert: b.alert()}
	l.Company.Website = &themes.Link{Text: "northlight.example", URL: "https://northlight.example"}
	switch state {
	case themes.Live:
		l.Apply = &themes.ApplyLink{URL: "/jobs/x/apply", Kind: "board"}
		l.Closes = &themes.When{Text: s("in 24 days", "in 24 Tagen"), ISO: "2026-12-20"}
	case themes.Removed:
		return themes.ListingPage{Layout: b.layout(s("Removed", "Entfernt")), State: state, SearchURL: "/jobs"}
	}
	return l
}
