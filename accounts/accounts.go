// Package accounts is who somebody is: operators, who are platform-wide, and
// each board's own people; their sign-in, sessions and single-use secrets. It
// never decides what they may do (authz does) and renders no page. Start at
// Operators and People, then secret.go for how secrets are kept.
package accounts

import (
	"net/netip"
	"net/url"
	"strings"
	"time"

	"shingle/internal/fault"
)

// Where mailed links lead; the token is the query's "token". A GET there shows
// a button, and the button's POST spends: mail scanners follow links.
const (
	// On the platform's host.
	PathOperatorLink = "/sign-in/link"
	PathReset        = "/reset"
	PathSignUp       = "/sign-up/confirm"
	PathInvitation   = "/invitation"
	// PathJoin is where an address without an operator is invited to sign up.
	PathJoin = "/sign-up"
	// PathPersonLink is on the board's host.
	PathPersonLink = "/sign-in/link"
)

// How long things live.
const (
	signInFor = 20 * time.Minute
	// deskLinkFor is longer: a receipt is read when there is time for it.
	deskLinkFor = 7 * 24 * time.Hour
	resetFor    = time.Hour
	signUpFor   = 24 * time.Hour
	inviteFor   = 7 * 24 * time.Hour
	handOverIn  = time.Minute

	operatorIdle, operatorMax = 7 * 24 * time.Hour, 30 * 24 * time.Hour
	personIdle, personMax     = 30 * 24 * time.Hour, 180 * 24 * time.Hour
	// touchEvery bounds how often a session's row is written by being used.
	touchEvery = 10 * time.Minute

	// maxTries is how often the code of one mail may be tried.
	maxTries = 5
)

// Client is the other end of a request, for limits and the list of sessions.
type Client struct {
	// Address is the IP address, already cleared of proxies.
	Address   string
	UserAgent string
}

func (c Client) agent() string {
	s := strings.ToValidUTF8(c.UserAgent, "")
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "")
	}
	return strings.ReplaceAll(s, "\x00", "")
}

// Network is the address for limits: an IPv6 host has a whole /64 to itself.
func (c Client) Network() string {
	ip, err := netip.ParseAddr(c.Address)
	if err != nil {
		return "unknown"
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		p, _ := ip.Prefix(64)
		return p.String()
	}
	return ip.String()
}

// Proof is what came by mail: the link's token, or the ticket of the page that
// asked together with the six-digit code.
type Proof struct {
	Token        string
	Ticket, Code string
}

// What a caller is told. Known and unknown addresses get the same words.
var (
	errOver     = fault.New(fault.Gone, "this link or code has been used or is too old; ask for a new one")
	errCode     = fault.Invalids(fault.Fields{"code": "account.code.wrong"})
	errPassword = fault.Invalids(fault.Fields{"password": "account.password.wrong"})
	errSignIn   = fault.New(fault.SignIn, "sign in first")
)

// LocalPath keeps a "next" parameter on this host: an absolute path with its
// query, or fallback.
func LocalPath(next, fallback string) string {
	if len(next) > 2000 || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\") {
		return fallback
	}
	for _, c := range next {
		if c < 0x20 || c == 0x7f {
			return fallback
		}
	}
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil {
		return fallback
	}
	return next
}

func withToken(path, token string) string { return path + "?token=" + url.QueryEscape(token) }
