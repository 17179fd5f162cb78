// Package links makes absolute URLs of the installation. It owns scheme, port
// and the platform's host; it never knows a page. Start at Links.
package links

import (
	"net/url"
	"strings"

	"shingle/tenant"
)

// Links makes absolute URLs from what SHINGLE_PUBLIC_URL says of scheme and
// port: the hosts themselves are the platform's and the boards'.
type Links struct {
	Scheme       string // http or https
	Port         string // "" for the scheme's own, else ":8080"
	PlatformHost string
	BoardDomain  string
}

// New reads scheme and port from the public URL, e.g. http://localhost:8080.
func New(publicURL, platformHost, boardDomain string) (Links, error) {
	u, err := url.Parse(publicURL)
	if err != nil {
		return Links{}, err
	}
	l := Links{Scheme: u.Scheme, PlatformHost: platformHost, BoardDomain: boardDomain}
	if p := u.Port(); p != "" {
		l.Port = ":" + p
	}
	return l, nil
}

// Board is a public page of a board: under the owner's own site when it lives
// there, else on its canonical host.
func (l Links) Board(t *tenant.Tenant, path string) string {
	if !t.Based() {
		return l.Host(t.CanonicalHost, path)
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return t.Base.Origin + t.Base.Path + path
}

// Console is a page on a board's platform address, which always answers.
func (l Links) Console(t *tenant.Tenant, path string) string { return l.Host(t.PlatformHost, path) }

// Platform is a page on the platform's own host.
func (l Links) Platform(path string) string { return l.Host(l.PlatformHost, path) }

// Host is a page on a given host.
func (l Links) Host(host, path string) string {
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return l.Scheme + "://" + host + l.Port + path
}

// Secure reports whether the site is served over TLS.
func (l Links) Secure() bool { return l.Scheme == "https" }
