// Package address knows the one form in which e-mail addresses are stored and
// compared, so that whoever asks for what an address left finds all of it.
package address

import (
	"net/mail"
	"strings"

	"golang.org/x/net/idna"
)

// What can be wrong with an address; Fine: nothing.
const (
	Fine    = ""
	Missing = "missing"
	Shape   = "shape"
	Letters = "letters" // before the @, beyond ASCII: most servers refuse them
	Long    = "long"
)

// Fold is an address bare, in lower case, its domain in punycode; or what is
// wrong with it.
func Fold(s string) (folded, wrong string) {
	s = strings.TrimSpace(s)
	if s == "" {
		return "", Missing
	}
	if len(s) > 320 || strings.ContainsAny(s, "<>\"(),;:\\ \t\r\n") {
		return "", Shape
	}
	if a, err := mail.ParseAddress(s); err != nil || a.Name != "" {
		return "", Shape
	}
	at := strings.LastIndexByte(s, '@')
	local, domain := s[:at], s[at+1:]
	for i := range len(local) {
		if local[i] <= ' ' || local[i] >= 0x7f {
			return "", Letters
		}
	}
	ascii, err := idna.Lookup.ToASCII(domain)
	if err != nil || !strings.Contains(ascii, ".") || strings.HasPrefix(ascii, ".") || strings.HasSuffix(ascii, ".") {
		return "", Shape
	}
	folded = strings.ToLower(local) + "@" + strings.ToLower(ascii)
	if len(local) > 64 || len(folded) > 254 {
		return "", Long
	}
	return folded, Fine
}
