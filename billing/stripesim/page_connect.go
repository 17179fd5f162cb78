package stripesim

type onboardingPage struct {
	Base, Page string
	Account    *account
}

// openLink spends an onboarding link: the second visit, and a late one, go to
// refresh_url, where the platform makes a new link.
func (s *Sim) openLink(v *visit) error {
	return s.update(func(t *tx) error {
		r := t.row(v.id)
		if r == nil || r.Kind != kAccountLink {
			return missing(kAccountLink, v.id, "account_link")
		}
		l := decode[accountLink](r)
		if l.Page != "" || l.ExpiresAt <= t.now.Unix() {
			return v.redirect(l.RefreshURL)
		}
		l.Page = "page_" + secret(24)
		t.put("", l)
		t.put("", &onboarding{head: head{ID: l.Page, Object: kOnboarding, Created: t.now.Unix()}, Link: l.ID})
		return v.redirect(t.sim.prefix + "/connect/onboarding/" + l.Page)
	})
}

const kOnboarding = "sim.onboarding"

// onboarding is the page that a link was exchanged for.
type onboarding struct {
	head
	Link string `json:"link"`
}

func (t *tx) onboarding(id string) (*accountLink, *account, error) {
	r := t.row(id)
	if r == nil || r.Kind != kOnboarding {
		return nil, nil, missing(kOnboarding, id, "onboarding")
	}
	l := known[accountLink](t, decode[onboarding](r).Link)
	return l, known[account](t, l.Account), nil
}

func (s *Sim) showOnboarding(v *visit) error {
	return s.read(func(t *tx) error {
		l, a, err := t.onboarding(v.id)
		if err != nil {
			return err
		}
		if l.Finished {
			return v.show("message", "You're all done here", message{Text: "This form has been sent.", Link: l.ReturnURL, Label: "Return to the platform"})
		}
		return v.show("onboarding", "Test onboarding", onboardingPage{Base: s.prefix, Page: v.id, Account: a})
	})
}

func (s *Sim) answerOnboarding(v *visit) error {
	answer, name := v.PostFormValue("answer"), v.PostFormValue("name")
	return s.update(func(t *tx) error {
		l, a, err := t.onboarding(v.id)
		if err != nil {
			return err
		}
		if l.Finished {
			return v.redirect(l.ReturnURL)
		}
		if len(name) > 0 && len(name) <= 200 {
			a.BusinessProfile.Name = &name
		}
		switch answer {
		case "complete":
			a.verified()
		case "checking":
			a.checking()
		case "later":
			l.Finished = true
			t.put("", l)
			return v.redirect(l.ReturnURL)
		default:
			return invalid("", "answer", "Choose one of the buttons.")
		}
		l.Finished = true
		t.put("", l)
		t.saveAccount(a)
		return v.redirect(l.ReturnURL)
	})
}

// showExpress is the small dashboard of an express account, by a login link
// that works once.
func (s *Sim) showExpress(v *visit) error {
	return s.update(func(t *tx) error {
		r := t.row(v.id)
		if r == nil || r.Kind != kLoginLink {
			return missing(kLoginLink, v.id, "login_link")
		}
		l := decode[loginLink](r)
		if l.Used {
			return v.show("message", "This link has been used", message{Text: "Ask the platform for a new one."})
		}
		l.Used = true
		t.put("", l)
		payments := newest(t, kCharge, 50, func(owner string, _ *charge) bool { return owner == l.Account })
		return v.show("express", "Test dashboard", map[string]any{"Account": known[account](t, l.Account), "Payments": payments})
	})
}
