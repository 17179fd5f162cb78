package themes

import (
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"shingle/internal/fault"
)

// Look is everything that an owner decides about how a board looks. It is kept
// as JSON, drafted, previewed, published and rolled back by its callers.
type Look struct {
	Pack      string    `json:"pack"`
	Preset    string    `json:"preset"`
	Tokens    Tokens    `json:"tokens"` // what differs from the preset
	LogoKey   string    `json:"logo_key,omitempty"`
	IconKey   string    `json:"icon_key,omitempty"`
	ShareKey  string    `json:"share_key,omitempty"`
	Words     LookWords `json:"words"`
	Nav       []NavItem `json:"nav,omitempty"`
	Links     []NavItem `json:"links,omitempty"` // in the footer
	CustomCSS string    `json:"custom_css,omitempty"`
}

// LookWords are the owner's own words; empty ones fall back to the catalogue.
type LookWords struct {
	Tagline        string `json:"tagline,omitempty"`
	HeroTitle      string `json:"hero_title,omitempty"`
	HeroText       string `json:"hero_text,omitempty"`
	Footer         string `json:"footer,omitempty"`
	About          string `json:"about,omitempty"`
	EmployersTitle string `json:"employers_title,omitempty"`
	EmployersText  string `json:"employers_text,omitempty"`
}

// NavItem is an owner's link: a path of the board, or an https address.
type NavItem struct {
	Text string `json:"text"`
	URL  string `json:"url"`
}

// Check says what of a look must change. Kind: fault.Invalid, by field.
func (l Look) Check(p *Packs) error {
	bad := fault.Fields{}
	if _, ok := p.packs[l.Pack]; !ok {
		bad["pack"] = "Choose one of the packs"
	}
	for name, w := range map[string]struct {
		text string
		max  int
	}{
		"tagline": {l.Words.Tagline, 120}, "hero_title": {l.Words.HeroTitle, 90}, "hero_text": {l.Words.HeroText, 240},
		"footer": {l.Words.Footer, 400}, "about": {l.Words.About, 4000},
		"employers_title": {l.Words.EmployersTitle, 90}, "employers_text": {l.Words.EmployersText, 300},
	} {
		if utf8.RuneCountInString(w.text) > w.max {
			bad[name] = "Keep it under " + strconv.Itoa(w.max) + " characters"
		}
	}
	for name, items := range map[string][]NavItem{"nav": l.Nav, "links": l.Links} {
		if len(items) > 8 {
			bad[name] = "Eight links at most"
		}
		for _, it := range items {
			if strings.TrimSpace(it.Text) == "" || utf8.RuneCountInString(it.Text) > 30 || !safeLink(it.URL) {
				bad[name] = "Each link needs a short text and a path such as /about, or an https address"
			}
		}
	}
	if len(l.CustomCSS) > maxCustomCSS {
		bad["custom_css"] = "Keep it under 40 kB"
	}
	if err := l.Tokens.Check(); err != nil {
		for f, text := range fault.FieldsOf(err) {
			bad["tokens."+f] = text
		}
	}
	return fault.Invalids(bad)
}

func safeLink(s string) bool {
	if strings.HasPrefix(s, "/") {
		return !strings.HasPrefix(s, "//") && !strings.ContainsAny(s, "\\\n\r\t ")
	}
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" && u.Host != "" || u.Scheme == "mailto")
}

// Resolve fills the look's tokens from its preset.
func (l Look) Resolve(p *Packs) Tokens {
	return l.Tokens.DefaultsFrom(p.Get(l.Pack).Preset(l.Preset).Tokens)
}

// Stylesheet is the body and hash of /theme.<hash>.css.
func (l Look) Stylesheet(p *Packs) (css []byte, hash string) {
	css = l.Resolve(p).CSS()
	return css, Hash(css)
}

// Custom is the body and hash of the board's own CSS after confinement; both
// are empty when there is none.
func (l Look) Custom() (css []byte, hash string) {
	css, _ = Confine(l.CustomCSS)
	if len(css) == 0 {
		return nil, ""
	}
	return css, Hash(css)
}
