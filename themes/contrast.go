package themes

import "maps"

// Finding is a pair of colours that reads badly, and what would read well.
type Finding struct {
	Scheme string // "light" or "dark"
	Text   ColorName
	On     ColorName
	Ratio  float64 // what it is
	Need   float64 // what WCAG AA asks
	Offer  Color   // the nearest value of Text that passes
}

// pairs are what the packs print on what. Links are not here: they take the
// primary colour's readable neighbour (see Tokens.CSS).
var pairs = []struct {
	text, on ColorName
	need     float64
}{
	{"foreground", "background", 4.5},
	{"card-foreground", "card", 4.5},
	// Links in a card's title, tables and quiet boxes keep the page's colour.
	{"foreground", "card", 4.5},
	{"foreground", "muted", 4.5},
	{"primary-foreground", "primary", 4.5},
	{"secondary-foreground", "secondary", 4.5},
	{"muted-foreground", "background", 4.5},
	{"muted-foreground", "card", 4.5},
	{"muted-foreground", "muted", 4.5},
	{"accent-foreground", "accent", 4.5},
	{"ring", "background", 3},
	{"ring", "card", 3},
	{"primary", "background", 3},
	{"destructive", "background", 4.5},
	{"destructive", "card", 4.5},
}

// CheckContrast measures every pair of text and ground in both schemes.
// Tokens should have been filled by DefaultsFrom.
func (t Tokens) CheckContrast() []Finding {
	var out []Finding
	for _, s := range []struct {
		name string
		p    Palette
	}{{"light", t.Light}, {"dark", t.Dark}} {
		offers := map[ColorName]Color{}
		for _, pair := range pairs {
			text, on := s.p[pair.text], s.p[pair.on]
			if text.IsZero() || on.IsZero() {
				continue
			}
			ratio := text.Contrast(on)
			if ratio >= pair.need {
				continue
			}
			// One offer per token, good on every ground it stands on.
			offer, ok := offers[pair.text]
			if !ok {
				var grounds []Color
				need := 0.0
				for _, other := range pairs {
					if g := s.p[other.on]; other.text == pair.text && !g.IsZero() {
						grounds, need = append(grounds, g), max(need, other.need)
					}
				}
				offer = text.Neighbour(need, grounds...)
				offers[pair.text] = offer
			}
			out = append(out, Finding{s.name, pair.text, pair.on, round(ratio, 2), pair.need, offer})
		}
	}
	return out
}

// maxRepairs bounds Repair: a colour can stand on several grounds, and be the
// ground of another.
const maxRepairs = 4

// Repair takes the offers of CheckContrast until every pair passes, and says
// what still does not: no text reads well on black and on white at once.
func (l Look) Repair(p *Packs) (Look, []Finding) {
	for range maxRepairs {
		found := l.Resolve(p).CheckContrast()
		if len(found) == 0 {
			return l, nil
		}
		light, dark := Palette{}, Palette{}
		maps.Copy(light, l.Tokens.Light)
		maps.Copy(dark, l.Tokens.Dark)
		for _, f := range found {
			if f.Scheme == "dark" {
				dark[f.Text] = f.Offer
			} else {
				light[f.Text] = f.Offer
			}
		}
		l.Tokens.Light, l.Tokens.Dark = light, dark
	}
	return l, l.Resolve(p).CheckContrast()
}
