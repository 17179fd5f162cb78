package themes

// Finding is a pair of colours that reads badly, and what would read well.
type Finding struct {
	Scheme string // "light" or "dark"
	Text   ColorName
	On     ColorName
	Ratio  float64 // what it is
	Need   float64 // what WCAG AA asks
	Offer  Color   // the nearest value of Text that passes
}

var pairs = []struct {
	text, on ColorName
	need     float64
}{
	{"foreground", "background", 4.5},
	{"card-foreground", "card", 4.5},
	{"primary-foreground", "primary", 4.5},
	{"secondary-foreground", "secondary", 4.5},
	{"muted-foreground", "background", 4.5},
	{"muted-foreground", "card", 4.5},
	{"muted-foreground", "muted", 4.5},
	{"accent-foreground", "accent", 4.5},
	{"ring", "background", 3},
	{"primary", "background", 3},
	{"destructive", "background", 4.5},
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
