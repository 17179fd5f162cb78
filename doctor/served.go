package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"golang.org/x/sync/errgroup"

	"shingle/domains"
)

const (
	// servedHosts bounds how many hosts one run looks at; each run draws others.
	servedHosts = 60
	// servedAtOnce and servedWait bound what a run costs the listener, and how
	// long a host that does not answer holds it up.
	servedAtOnce = 20
	servedWait   = 2 * time.Second
	// servedShown is how many faulty hosts are named one by one.
	servedShown = 5
	// servedSoon is how near an end is said to be near.
	servedSoon = 7 * 24 * time.Hour
)

// served is what one host answered.
type served struct {
	host, found, todo string
	level             Level
	until             time.Time
}

// served looks at the certificates that visitors are shown: it asks the listener,
// by each host's name, and holds the answer against name, dates and authorities.
// What is stored is looked at by certificates.
func (d *Doctor) served(ctx context.Context, l *list) {
	const what = "Certificates as served"
	switch {
	case d.Config.TLSListen == "":
		l.ok(what, "not looked at: TLS ends before Shingle, whose certificates are the proxy's matter")
		return
	case d.local():
		l.ok(what, "not looked at: a developer's hosts have none")
		return
	}
	roots, err := d.roots()
	if err != nil {
		l.bad(what, "check SHINGLE_ACME_CA_ROOT", "%v", err)
		return
	}
	hosts := []string{d.Config.PlatformHost}
	all := 1
	if !d.platform(ctx, l, what, func(ctx context.Context, tx bun.IDB) error {
		// A host that was just proven may wait for its first certificate still.
		const active = `FROM hosts AS h JOIN boards AS b ON b.id = h.board_id WHERE b.state = 'active' AND h.verified_at < now() - interval '1 hour'`
		if err := tx.NewRaw(`SELECT count(*) `+active).Scan(ctx, &all); err != nil {
			return err
		}
		all++
		return tx.NewRaw(`SELECT h.host `+active+` ORDER BY h.kind = 'custom' DESC, random() LIMIT ?`, servedHosts-1).Scan(ctx, &hosts)
	}) {
		return
	}
	if !slices.Contains(hosts, d.Config.PlatformHost) {
		hosts = append([]string{d.Config.PlatformHost}, hosts...)
	}
	if d.Config.FilesHost != "" {
		all++
		hosts = append([]string{d.Config.FilesHost}, hosts...)
	}
	at := d.listener(ctx)
	results := make([]served, len(hosts))
	var g errgroup.Group
	g.SetLimit(servedAtOnce)
	for i, host := range hosts {
		g.Go(func() error { results[i] = d.look(ctx, at, host, roots); return nil })
	}
	_ = g.Wait()
	where := "on this machine"
	if at == "" {
		where = "at their addresses"
	}
	good, named, first := 0, 0, served{}
	for _, r := range results {
		switch {
		case r.level == OK:
			if good++; first.host == "" || r.until.Before(first.until) {
				first = r
			}
		case named == servedShown:
		case r.level == Warn:
			named++
			l.warn(what, r.todo, "%s %s", r.host, r.found)
		default:
			named++
			l.bad(what, r.todo, "%s %s", r.host, r.found)
		}
	}
	if faulty := len(results) - good; faulty > named {
		l.bad(what, "mend those above first", "%d more hosts are not well", faulty-named)
	}
	if good > 0 {
		l.ok(what, "%d of %d hosts asked %s, of %d: good, the first until %s (%s)", good, len(results), where, all, first.until.UTC().Format("2 January 2006"), first.host)
	}
}

// listener is serve's own address when it answers on this machine, else "": then
// hosts are asked where their names lead.
func (d *Doctor) listener(ctx context.Context) string {
	host, port, err := net.SplitHostPort(d.Config.TLSListen)
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	at := net.JoinHostPort(host, port)
	ctx, cancel := context.WithTimeout(ctx, servedWait)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", at)
	if err != nil {
		return ""
	}
	_ = c.Close()
	return at
}

// roots are the authorities that visitors know, and the installation's own.
func (d *Doctor) roots() (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if d.Config.ACMERoot == "" {
		return pool, nil
	}
	raw, err := os.ReadFile(d.Config.ACMERoot)
	if err != nil {
		return nil, errors.New("its file cannot be read")
	}
	if !pool.AppendCertsFromPEM(raw) {
		return nil, errors.New("its file holds no certificate")
	}
	return pool, nil
}

// look asks for one host. The handshake takes any certificate, so that what is
// wrong with it can be said.
func (d *Doctor) look(ctx context.Context, at, host string, roots *x509.CertPool) served {
	out := served{host: host, level: Bad}
	by := new(net.Dialer) // to ourselves
	if at == "" {
		at, by = net.JoinHostPort(host, "443"), domains.PublicDialer()
	}
	ctx, cancel := context.WithTimeout(ctx, servedWait)
	defer cancel()
	dialer := &tls.Dialer{NetDialer: by, Config: &tls.Config{ServerName: host, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}} // #nosec G402 -- held below, one fault at a time
	c, err := dialer.DialContext(ctx, "tcp", at)
	if err != nil {
		if errors.Is(err, domains.ErrInner) {
			out.level, out.found, out.todo = Warn, "leads into an inner network, where nobody is asked", "run the doctor where serve runs: then serve is asked itself"
			return out
		}
		out.found, out.todo = "is answered without a certificate", "look at the host's certificate on /staff/domains: is it ordered, and does a worker run?"
		if op := new(net.OpError); errors.As(err, &op) && op.Op == "dial" || errors.Is(err, context.DeadlineExceeded) {
			out.found, out.todo = "does not answer on port "+port(at), "is serve running, and does the host's name lead to it?"
		}
		return out
	}
	defer func() { _ = c.Close() }()
	chain := c.(*tls.Conn).ConnectionState().PeerCertificates
	leaf, now := chain[0], d.Now()
	out.until = leaf.NotAfter
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	// Held at a time when the leaf was good: its dates are a matter of their own.
	when := now
	if when.After(leaf.NotAfter) || when.Before(leaf.NotBefore) {
		when = leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2)
	}
	_, unknown := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: when})
	const anew = "does a worker run? It orders anew; a certificate that was brought along must be brought anew, on the host's page"
	switch {
	case leaf.VerifyHostname(host) != nil:
		out.found, out.todo = "is answered with the certificate of "+names(leaf), "what answers there is not Shingle, or has no certificate for the host: look at the DNS and at /staff/domains"
	case now.After(leaf.NotAfter):
		out.found, out.todo = "serves a certificate that ran out on "+leaf.NotAfter.UTC().Format("2 January 2006"), anew
	case now.Before(leaf.NotBefore):
		out.found, out.todo = "serves a certificate that begins on "+leaf.NotBefore.UTC().Format("2 January 2006"), "look at this machine's clock"
	case unknown != nil:
		out.found, out.todo = fmt.Sprintf("serves a certificate that browsers do not trust, signed by %q", issuer(leaf)), "serve the chain up to a public authority; one for trying out, as SHINGLE_ACME_DIRECTORY may name, is not trusted"
	case leaf.NotAfter.Sub(now) < servedSoon:
		out.level = Warn
		out.found, out.todo = "serves a certificate that runs out on "+leaf.NotAfter.UTC().Format("2 January 2006"), anew
	default:
		out.level = OK
	}
	return out
}

func port(at string) string {
	_, p, _ := net.SplitHostPort(at)
	return p
}

// names are whom a certificate is for.
func names(leaf *x509.Certificate) string {
	all := leaf.DNSNames
	if len(all) == 0 {
		return "nobody by name"
	}
	if len(all) > 2 {
		return strings.Join(all[:2], ", ") + " …"
	}
	return strings.Join(all, ", ")
}

func issuer(leaf *x509.Certificate) string {
	if len(leaf.Issuer.Organization) > 0 {
		return leaf.Issuer.Organization[0]
	}
	return leaf.Issuer.CommonName
}
