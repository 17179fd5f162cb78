package accounts

import (
	"net/mail"
	"strings"

	"golang.org/x/net/idna"

	"shingle/internal/fault"
)

// Fold turns an e-mail address into the one form that it is stored and looked
// up in: bare, lower case, the domain in punycode. Kind: fault.Invalid (field
// "email") for what mail could not be sent to; its texts are keys of words.
func Fold(address string) (string, error) {
	bad := func(key string) (string, error) {
		return "", fault.Invalids(fault.Fields{"email": key})
	}
	address = strings.TrimSpace(address)
	if address == "" {
		return bad("account.email.missing")
	}
	const shape = "account.email.shape"
	if len(address) > 320 || strings.ContainsAny(address, "<>\"(),;:\\ \t\r\n") {
		return bad(shape)
	}
	if a, err := mail.ParseAddress(address); err != nil || a.Name != "" {
		return bad(shape)
	}
	at := strings.LastIndexByte(address, '@')
	local, domain := address[:at], address[at+1:]
	for i := range len(local) {
		if local[i] <= ' ' || local[i] >= 0x7f {
			return bad("account.email.letters")
		}
	}
	ascii, err := idna.Lookup.ToASCII(domain)
	if err != nil || !strings.Contains(ascii, ".") || strings.HasPrefix(ascii, ".") || strings.HasSuffix(ascii, ".") {
		return bad(shape)
	}
	folded := strings.ToLower(local) + "@" + strings.ToLower(ascii)
	if len(local) > 64 || len(folded) > 254 {
		return bad("account.email.long")
	}
	return folded, nil
}
