package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/maypok86/otter/v2"
	"github.com/mholt/acmez/v3"

	"shingle/internal/proxies"
	"shingle/tenant"
)

var (
	errNotOurs = errors.New("no site of this name here")
	errNoCert  = errors.New("this host has no certificate yet")
)

// TLSConfig is what serve listens with: HTTP/2, and the TLS-ALPN-01 challenge.
func (c *Certs) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"h2", "http/1.1", acmez.ACMETLS1Protocol},
		GetConfigForClient: c.admit,
		GetCertificate:     c.certificate,
	}
}

// admit decides, before anything else and for resumed sessions too, whether a
// name is ours: one look in memory. A host that was removed is refused here,
// whatever is still cached.
func (c *Certs) admit(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	var space [256]byte
	if _, _, ours := c.find(tenant.NormaliseHost(space[:0], hello.ServerName)); !ours {
		c.refused.Inc()
		return nil, errNotOurs
	}
	return nil, nil
}

func (c *Certs) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	var space [256]byte
	name, f, ours := c.find(tenant.NormaliseHost(space[:0], hello.ServerName))
	switch {
	case !ours:
		return nil, errNotOurs
	case len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acmez.ACMETLS1Protocol:
		return c.config.GetCertificate(hello)
	case !f.certified:
		c.want(string(tenant.NormaliseHost(space[:0], hello.ServerName)))
		return nil, errNoCert
	}
	key := hotKey{name, f}
	if cert, hot := c.hot.GetIfPresent(key); hot {
		return cert, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(hello.Context()), 10*time.Second)
	defer cancel()
	cert, err := c.hot.Get(ctx, key, otter.LoaderFunc[hotKey, *tls.Certificate](func(ctx context.Context, k hotKey) (*tls.Certificate, error) {
		c.loads.Inc()
		return c.load(ctx, k.name, k.fact.own)
	}))
	if errors.Is(err, fs.ErrNotExist) {
		// Its objects are gone, or were sealed with another secret: no handshake
		// looks again until an order has put it right.
		c.known.mu.Lock()
		if now, there := c.known.hosts[name]; there && now == f {
			c.known.hosts[name] = fact{version: f.version}
		}
		c.known.mu.Unlock()
		c.want(name)
		return nil, errNoCert
	}
	return cert, err
}

// load reads a certificate from Postgres. certmagic's own cache finds by every
// name in a certificate, so that one which a board brought could answer for
// another board's host: ours finds by the name it was stored under.
func (c *Certs) load(ctx context.Context, name string, own bool) (*tls.Certificate, error) {
	if own {
		cert, err := c.loadOwn(ctx, name)
		if err == nil {
			c.attach(ctx, name, cert)
		}
		return cert, err
	}
	cert, err := c.stored(ctx, name)
	if err != nil {
		return nil, err
	}
	if cert.Certificate.Leaf == nil {
		cert.Certificate.Leaf = cert.Leaf
	}
	c.attach(ctx, name, &cert.Certificate)
	return &cert.Certificate, nil
}

// stored is the certificate that an authority issued.
func (c *Certs) stored(ctx context.Context, name string) (certmagic.Certificate, error) {
	cert, err := c.config.CacheManagedCertificate(ctx, name)
	if err == nil {
		c.magic.Remove([]string{cert.Hash()})
	}
	return cert, err
}

const challengePath = "/.well-known/acme-challenge/"

// Plain stands before what SHINGLE_LISTEN serves: it answers HTTP-01 for our
// hosts and sends all else to https where the host has a certificate. Port is
// that of public links, ":8443" or "".
func (c *Certs) Plain(next http.Handler, port string, trusted proxies.List) http.Handler {
	if !c.On() {
		return next
	}
	challenges := c.cas[0].direct // one answers for all: it looks through every authority's tokens
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var space [256]byte
		host := tenant.NormaliseHost(space[:0], r.Host)
		_, f, ours := c.find(host)
		switch {
		case !ours:
			next.ServeHTTP(w, r)
		case strings.HasPrefix(r.URL.Path, challengePath):
			if !challenges.HandleHTTPChallenge(w, r) {
				http.NotFound(w, r)
			}
		case !f.certified || trusted.Trusts(r) && r.Header.Get("X-Forwarded-Proto") == "https":
			next.ServeHTTP(w, r)
		default:
			status := http.StatusPermanentRedirect // keeps a form's body
			if r.Method == http.MethodGet || r.Method == http.MethodHead {
				status = http.StatusMovedPermanently
			}
			w.Header().Set("Cache-Control", "max-age=300")
			// Not RequestURI: "GET x:@evil.example" would go on in the host's name.
			to := url.URL{Scheme: "https", Host: string(host) + port, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
			http.Redirect(w, r, to.String(), status) //nolint:gosec // to the same host, which is ours
		}
	})
}

// Secure stands before what SHINGLE_TLS_LISTEN serves: whoever got here over
// TLS once comes back over TLS for a year. Subdomains are not ours to decide.
func Secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		next.ServeHTTP(w, r)
	})
}
