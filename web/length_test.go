package web_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"shingle/accounts"
	"shingle/domains"
	"shingle/domains/redirects"
	"shingle/listings"
	"shingle/mail"
	"shingle/search"
	"shingle/tenant"
	"shingle/themes"
)

// TestLongInputsTakeTheirLengthInTime gives every parser of ours what would make
// a careless one look at it again and again: eight times the length takes about
// eight times as long, and never the square of it.
func TestLongInputsTakeTheirLengthInTime(t *testing.T) {
	parsers := map[string]func(s string){
		"a listing's text":   func(s string) { _ = listings.Text(listings.Sanitise(s)) },
		"a look's CSS":       func(s string) { _, _ = themes.Confine(s) },
		"a pasted theme":     func(s string) { _, _, _ = themes.ParseShadcn(s) },
		"a color":            func(s string) { _, _ = themes.ParseColor(s) },
		"a query":            func(s string) { _ = search.ParseQuery(url.Values{"q": {s}, "location": {s}, "type": {s}}) },
		"words":              func(s string) { _ = search.Tokens(s) },
		"a page's query":     func(s string) { _, _ = themes.NormalQuery(s, "q", "page") },
		"a host":             func(s string) { _ = tenant.NormaliseHost(nil, s) },
		"a domain":           func(s string) { _, _ = domains.ParseName(s) },
		"a redirect":         func(s string) { _, _ = redirects.Parse("/"+s, "/"+s, 301, nil) },
		"an address":         func(s string) { _, _ = accounts.Fold(s) },
		"a path to go on to": func(s string) { _ = accounts.LocalPath("/"+s, "/") },
		"an amount":          func(s string) { _, _ = listings.ParseAmount(s, "de", "EUR") },
		"a place":            func(s string) { _, _ = listings.ParsePlace(s, "DE") },
		"a listing's path":   func(s string) { _, _, _ = listings.ParsePath(s) },
		"a mail's words":     func(s string) { _, _ = mail.CheckText("listing-live", mail.Text{"subject": s, "body": s}) },
	}
	unit := map[string]string{"letters": "a", "blanks": " ", "dots": "a.", "open tags": "<div>", "bold": "<b><i>", "links": "<a href=x>", "tags that never end": "<a ", "comments": "<!--", "entities": "&amp", "tables": "<table><tr>",
		"blocks": "a{", "brackets": "[[{{", "quotes": "\"", "at": "@", "slashes": "/", "percents": "%25", "ampersands": "q=a&", "stars": "*", "dashes": "-", "combining": "a\u0301", "commas": "1,", "selectors": "a,b ", "imports": "@import x;", "url": "url(", "lines": "a: b\n", "parts": "--x\n\n", "escapes": "\\", "numbers": "9"}
	const short = 4 << 10
	for name, parse := range parsers {
		t.Run(name, func(t *testing.T) {
			for what, u := range unit {
				took := func(n int) time.Duration {
					s, best := strings.Repeat(u, n/len(u)), time.Hour
					for range 3 { // the machine has other work
						begun := time.Now()
						parse(s)
						best = min(best, time.Since(begun))
					}
					return best
				}
				// The machine's other work makes one look slow, never all of ten.
				var a, b time.Duration
				for range 10 {
					if a, b = took(short), took(8*short); b <= 30*a+20*time.Millisecond {
						break
					}
				}
				if b > 30*a+20*time.Millisecond {
					t.Errorf("%s: %s for %d bytes, %s for eight times as many", what, a, short, b)
				}
			}
		})
	}
}
