package accounts

import (
	"net/http"
	"strings"
	"time"
)

// The cookies' names without prefix; they stand on boards' hosts, so they name
// nobody's program. An operator and a person may be signed in on one host.
const (
	OperatorCookie = "operator"
	PersonCookie   = "person"
)

// Secured reports whether a host can keep __Host- cookies: over https, or on
// localhost and its subdomains, which browsers trust over http too. On plain
// http elsewhere the cookie has no prefix and is not Secure, which protects
// nobody from who can write to the wire.
func Secured(scheme, host string) bool {
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	return scheme == "https" || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// CookieName is the name as the browser sees it.
func CookieName(base string, secure bool) string {
	if secure {
		return "__Host-" + base
	}
	return base
}

// Cookies sets, reads and clears session cookies of one name.
type Cookies struct {
	Name   string
	Scheme string // http or https, as the browser sees it
}

// Set keeps the token until expires.
func (c Cookies) Set(w http.ResponseWriter, host, token string, expires time.Time) {
	http.SetCookie(w, c.cookie(host, token, expires))
}

// Clear removes the cookie.
func (c Cookies) Clear(w http.ResponseWriter, host string) {
	k := c.cookie(host, "", time.Unix(1, 0)) //nolint:gosec // the same attributes, or it would not be cleared
	k.MaxAge = -1
	http.SetCookie(w, k)
}

// Token is the cookie's token, or "".
func (c Cookies) Token(r *http.Request) string {
	k, err := r.Cookie(CookieName(c.Name, Secured(c.Scheme, r.Host)))
	if err != nil {
		return ""
	}
	return k.Value
}

func (c Cookies) cookie(host, value string, expires time.Time) *http.Cookie {
	secure := Secured(c.Scheme, host)
	return &http.Cookie{ //nolint:gosec // Secure wherever a browser keeps it: see Secured
		Name: CookieName(c.Name, secure), Value: value, Path: "/", Expires: expires,
		HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode,
	}
}
