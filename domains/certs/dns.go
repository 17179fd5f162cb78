package certs

import (
	"net"
	"net/url"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/libdns/rfc2136"
	"github.com/mholt/acmez/v3"

	"shingle/internal/fault"
)

// NewDNS reads SHINGLE_ACME_DNS: a server that takes dynamic updates (RFC 2136)
// signed with a key (TSIG), for dns-01:
//
//	rfc2136://<key name>:<key, base64, percent-encoded>@ns1.example.org:53?algorithm=hmac-sha256&wait=30s
//
// Wait is for servers that copy the zone from this one. Kind: fault.Invalid.
func NewDNS(raw string) (acmez.Solver, error) {
	if raw == "" {
		return nil, nil
	}
	bad := fault.New(fault.Invalid, "SHINGLE_ACME_DNS cannot be read: rfc2136://<key name>:<key>@<server>:53?algorithm=hmac-sha256")
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "rfc2136" || u.User == nil || u.Hostname() == "" {
		return nil, bad
	}
	key, _ := u.User.Password()
	port := u.Port()
	if port == "" {
		port = "53"
	}
	server := net.JoinHostPort(u.Hostname(), port)
	q := u.Query()
	algorithm := q.Get("algorithm")
	if algorithm == "" {
		algorithm = "hmac-sha256"
	}
	var delay time.Duration
	if w := q.Get("wait"); w != "" {
		if delay, err = time.ParseDuration(w); err != nil {
			return nil, bad
		}
	}
	return &certmagic.DNS01Solver{DNSManager: certmagic.DNSManager{
		DNSProvider: &rfc2136.Provider{KeyName: u.User.Username(), Key: key, KeyAlg: algorithm, Server: server},
		TTL:         time.Minute, PropagationDelay: delay,
		// The server that takes the record is asked for the zone and for the record.
		Resolvers: []string{server},
	}}, nil
}
