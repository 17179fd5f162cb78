package sample

import "shingle/themes"

func (b board) small() []Shot {
	s := b.say
	card := b.cards[0]
	form := func(errs ...themes.FieldError) themes.Form {
		return themes.Form{Action: "/x", Hidden: []themes.Hidden{{Name: "token", Value: "t"}}, Values: map[string]string{"name": "Mira Okafor", "email": "mira@example.com"}, Errors: errs}
	}
	bad := themes.FieldError{Field: "cv", Text: s("Attach your CV as PDF, DOCX, ODT or TXT", "Hängen Sie Ihren Lebenslauf als PDF, DOCX, ODT oder TXT an")}
	badMail := themes.FieldError{Field: "email", Text: s("Enter an address such as you@example.com", "Geben Sie eine Adresse wie sie@beispiel.de ein")}
	apply := themes.ApplyPage{Layout: b.layout("x"), Form: form(), Card: card, Consent: s("I agree that this board passes my data to the employer.", "Ich bin einverstanden, dass meine Daten an das Unternehmen gehen."), PrivacyURL: "/privacy", Accept: ".pdf,.docx,.odt,.txt", Limit: s("PDF, DOCX, ODT or TXT, up to 5 MB", "PDF, DOCX, ODT oder TXT, bis 5 MB"), BackURL: "/jobs/x"}
	wrong := apply
	wrong.Form = form(bad, badMail)
	reasons := []themes.Option{{Value: "scam", Text: s("It looks like a scam", "Es wirkt wie Betrug"), Selected: true}, {Value: "gone", Text: s("The job is gone", "Die Stelle gibt es nicht mehr")}, {Value: "discrimination", Text: s("It discriminates", "Sie diskriminiert"), Hint: s("By age, origin, sex, disability or belief", "Nach Alter, Herkunft, Geschlecht, Behinderung oder Glauben")}}
	out := []Shot{
		{"apply", "apply", apply}, {"apply-errors", "apply", wrong},
		{"applied", "applied", themes.ApplyDone{Layout: b.layout("x"), Card: card, Email: "mira@example.com", Similar: b.cards[2:4], Alert: b.alert()}},
		{"withdraw", "withdraw", themes.Withdraw{Layout: b.layout("x"), Form: form(), Card: card}},
		{"withdraw-done", "withdraw", themes.Withdraw{Layout: b.layout("x"), Card: card, Done: true, HomeURL: "/"}},
		{"report", "report", themes.Report{Layout: b.layout("x"), Form: form(), Card: card, Reasons: reasons}},
		{"report-done", "report", themes.Report{Layout: b.layout("x"), Done: true, BackURL: "/"}},
		{"text", "text", themes.TextPage{Layout: b.layout("x"), Heading: s("Privacy", "Datenschutz"), Body: "<h2>1.</h2><p>…</p>", Updated: &themes.When{Text: s("1 November 2026", "1. November 2026"), ISO: "2026-11-01"}, More: &themes.Link{Text: s("Your data", "Ihre Daten"), URL: "/your-data"}}},
	}
	for _, step := range []string{"request", "requested", "confirm", "confirmed", "stop", "stopped"} {
		out = append(out, Shot{"alert-" + step, "alert", themes.AlertPage{Layout: b.layout("x"), Form: form(), Step: step, Search: b.cats[0], Email: "mira@example.com", JobURL: "/jobs"}})
	}
	for _, step := range []string{"request", "sent", "over", "open", "held", "asked", "keep", "kept"} {
		d := themes.YourData{Layout: b.layout("x"), Form: form(), Step: step, Email: "mira@example.com", DownloadTo: "/x", Days: 3, PrivacyURL: "/privacy",
			Held: []themes.Held{{Text: s("Applications", "Bewerbungen"), Count: "2"}, {Text: s("Job alerts", "Suchaufträge"), Count: "1"}}}
		if step == "asked" {
			d.Day = s("4 November 2026", "4. November 2026")
		}
		out = append(out, Shot{"data-" + step, "yourdata", d})
	}
	for _, step := range []string{"sent", "confirm", "over"} {
		out = append(out, Shot{"held-" + step, "held", themes.HeldPage{Layout: b.layout("x"), Form: form(), Step: step, Email: "mira@example.com", Hours: 24, HomeURL: "/jobs"}})
	}
	for _, step := range []string{"request", "over", "sent", "confirm"} {
		out = append(out, Shot{"gate-" + step, "gate", themes.Gate{Layout: b.layout("x"), Form: form(), Heading: b.layout("x").Board.Name, Text: "…", Field: "password", Label: "…", Type: "password", Button: "…"}})
		out = append(out, Shot{"signin-" + step, "signin", themes.SignIn{Layout: b.layout("x"), Form: form(), Step: step, Audience: "employer", Email: "mira@example.com", ResendTo: "/signin"}})
	}
	search := b.search()
	for _, status := range []int{403, 404, 410, 413, 429, 500, 503} {
		out = append(out, Shot{"error-" + string(rune('0'+status/100)) + string(rune('0'+status/10%10)) + string(rune('0'+status%10)), "error", themes.ErrorPage{Layout: b.layout("x"), Status: status, Search: &search, RequestID: "7f3a91", Links: []themes.Link{{Text: s("All jobs", "Alle Stellen"), URL: "/jobs"}}}})
	}
	return append(out, Shot{"error-bare", "error", themes.ErrorPage{Layout: themes.Layout{Locale: b.locale, Board: themes.Board{Name: b.name}}, Status: 503}})
}

func (b board) products() []themes.Product {
	s := b.say
	return []themes.Product{
		{ID: "basic", Name: s("Standard", "Standard"), Price: s("$199", "249 €"), Tax: s("plus tax", "zzgl. MwSt."), Line: s("One listing, 30 days", "Eine Anzeige, 30 Tage"), Includes: []string{s("30 days on the board", "30 Tage online"), s("Sent to everyone with a matching alert", "An alle passenden Suchaufträge"), s("Applicants on one page, with CVs", "Bewerbungen auf einer Seite")}},
		{ID: "featured", Name: s("Featured", "Hervorgehoben"), Price: s("$349", "399 €"), Tax: s("plus tax", "zzgl. MwSt."), Line: s("Seen first for 14 days", "14 Tage ganz vorn"), Featured: true, Selected: true, Includes: []string{s("Everything in Standard", "Alles aus Standard"), s("On the front page for 14 days", "14 Tage auf der Startseite"), s("45 days on the board", "45 Tage online")}},
		{ID: "free", Name: s("Community", "Gemeinnützig"), Price: s("Free", "Kostenlos"), Free: true, Line: s("For charities and open source", "Für gemeinnützige Träger"), Includes: []string{s("14 days on the board", "14 Tage online"), s("One at a time", "Eine zur Zeit")}},
	}
}

func (b board) post() []Shot {
	s := b.say
	opts := func(vs ...string) []themes.Option {
		var out []themes.Option
		for i, v := range vs {
			out = append(out, themes.Option{Value: []string{"board", "link", "email", "d"}[i], Text: v, Selected: i == 0})
		}
		return out
	}
	form := themes.Form{Action: "/post", Values: map[string]string{}}
	post := themes.PostForm{Layout: b.layout("x"), Form: form, Categories: opts(b.cats[:4]...), Types: opts(s("Full-time", "Vollzeit"), s("Part-time", "Teilzeit"), s("Contract", "Befristet")),
		Workplaces: opts(s("On site", "Vor Ort"), s("Hybrid", "Hybrid"), s("Remote", "Homeoffice")), Countries: opts(s("Germany", "Deutschland"), s("Austria", "Österreich")), Currencies: []themes.Option{{Value: "EUR", Text: "EUR"}, {Value: "USD", Text: "USD"}}, Periods: []themes.Option{{Value: "year", Text: s("Year", "Jahr")}, {Value: "month", Text: s("Month", "Monat")}},
		Methods:  []themes.Option{{Value: "board", Text: s("Here on the board", "Hier auf der Seite"), Hint: s("Applications arrive by e-mail and on your desk", "Bewerbungen kommen per E-Mail und auf Ihre Seite"), Selected: true}, {Value: "link", Text: s("On your own site", "Auf Ihrer eigenen Seite")}, {Value: "email", Text: s("By e-mail", "Per E-Mail")}},
		Products: b.products(), LogoLimit: s("PNG, JPEG or WebP, up to 1 MB", "PNG, JPEG oder WebP, bis 1 MB"), Preview: themes.Card{Logo: themes.Logo{Initials: "?", Tone: 8}}}
	wrong := post
	wrong.Preview = b.cards[0]
	wrong.Form = themes.Form{Action: "/post", Problem: s("Your draft is kept.", "Ihr Entwurf ist gesichert."), Values: map[string]string{"title": b.cards[0].Title, "company_name": b.cards[0].Company, "salary_min": "95000", "salary_max": "12000", "city_2": "Porto", "description": "<div>Text</div>", "description_format": "html"},
		Errors: []themes.FieldError{{Field: "salary_max", Text: s("Must be above the lower figure", "Muss über dem unteren Wert liegen")}, {Field: "email", Text: s("Enter your e-mail", "Geben Sie Ihre E-Mail an")}, {Field: "country", Text: s("Choose a country", "Wählen Sie ein Land")}, {Field: "description", Text: s("Write at least 100 characters", "Schreiben Sie mindestens 100 Zeichen")}, {Field: "apply_url", Text: s("Enter an address that starts with https://", "Geben Sie eine Adresse mit https:// an")}}}
	edit := wrong
	edit.Editing, edit.Products, edit.CancelURL = true, nil, "/employers"
	edit.Form.Errors, edit.Form.Problem = nil, ""
	products := themes.PostProducts{Layout: b.layout("x"), Form: form, Card: b.cards[0], Products: b.products(), TermsURL: "/terms", BackURL: "/post/preview", HasFree: true, HasPaid: true}
	blocked := products
	blocked.Products = b.products()
	blocked.Products[0].Blocked = s("Not on sale yet", "Noch nicht im Verkauf")
	blocked.Blocked = s("This board can't take payments yet. Free listings can be posted today.", "Hier kann noch nicht bezahlt werden. Kostenlose Anzeigen gehen schon.")
	blocked.Form = themes.Form{Action: "/x", Errors: []themes.FieldError{{Field: "terms", Text: s("Agree to the terms to go on", "Stimmen Sie den Bedingungen zu")}, {Field: "product", Text: s("Choose a product", "Wählen Sie ein Produkt")}}}
	out := []Shot{{"post", "post", post}, {"post-errors", "post", wrong}, {"post-edit", "post", edit}, {"products", "products", products}, {"products-blocked", "products", blocked}}
	for _, state := range []string{"live", "review", "scheduled", "pending", "declined", "cancelled"} {
		r := themes.PostReturn{Layout: b.layout("x"), State: state, Card: b.cards[0], Email: "mira@example.com"}
		switch state {
		case "live":
			r.URL, r.DeskURL = "/jobs/x", "/employers/desk"
			r.Order = []themes.Fact{{Label: s("Featured", "Hervorgehoben"), Value: s("$349.00", "399,00 €")}, {Label: s("Live until", "Online bis"), Value: s("7 Jan 2027", "7. Jan. 2027"), ISO: "2027-01-07"}}
		case "declined", "cancelled":
			r.RetryURL = "/post/products"
		}
		out = append(out, Shot{"return-" + state, "return", r})
	}
	sell := themes.Employers{Layout: b.layout(s("For employers", "Für Arbeitgeber")), Title: s("Hire developers who read the salary first", "Finden Sie Menschen, die pflegen wollen"), Text: s("Halyard reaches 48,000 engineers who left the big job sites for one that respects their time.", "Das Pflegeblatt erreicht 31.000 Fachkräfte in ganz Deutschland, jede Woche."),
		Figures:  []themes.Figure{{N: s("48,000", "31.000"), Text: s("readers a month", "Leserinnen und Leser im Monat")}, {N: "37", Text: s("applications per listing", "Bewerbungen je Anzeige")}, {N: s("9 days", "9 Tage"), Text: s("to first interview", "bis zum ersten Gespräch")}},
		Products: b.products(), Companies: b.companies(),
		Points:    []themes.Point{{Title: s("Live in minutes", "In Minuten online"), Text: s("One page, no account. Pay by card and the listing is up.", "Eine Seite, kein Konto. Bezahlt per Karte, schon online.")}, {Title: s("Found by search engines", "Von Suchmaschinen gefunden"), Text: s("Each listing carries the data that job search asks for.", "Jede Anzeige trägt die Daten, die die Jobsuche verlangt.")}, {Title: s("Applicants in one place", "Bewerbungen an einem Ort"), Text: s("CVs, notes and replies on one page for your team.", "Lebensläufe, Notizen und Antworten auf einer Seite.")}},
		Questions: []themes.Point{{Title: s("Can I change a listing later?", "Kann ich die Anzeige ändern?"), Text: s("Yes, as often as you like.", "Ja, so oft Sie möchten.")}, {Title: s("Do you send an invoice?", "Bekomme ich eine Rechnung?"), Text: s("With every payment, with your tax number.", "Zu jeder Zahlung, mit Ihrer USt-IdNr.")}},
		SignIn:    themes.SignInBox{Form: themes.Form{Action: "/employers/signin"}}}
	return append(out, Shot{"employers", "employers", sell}, Shot{"employers-empty", "employers", themes.Employers{Layout: b.layout("x"), Title: "x"}})
}
