// Package certs gives every proven host a certificate and speaks TLS for it.
// Orders are tasks; certificates, locks and the count of orders are rows, so
// that all replicas share them; a handshake asks nobody but Postgres, and for a
// host that is not ours not even that. It never decides whom a host belongs to.
// Start at Certs, then order.go for how one is got and serve.go for how it is used.
package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/maypok86/otter/v2"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tasks"
	"shingle/tenant"
)

// Authority is one certificate authority.
type Authority struct {
	// Directory is its ACME directory's URL.
	Directory string
	// EABKey and EABMAC bind our account to one that the authority knows, where
	// it asks for that.
	EABKey, EABMAC string
}

// Options are what certificates need. Without authorities TLS is off: nothing
// is ordered and nothing is served.
type Options struct {
	Platform                  *tenant.Platform
	Notifier                  *tenant.Notifier
	PlatformHost, BoardDomain string
	// FilesHost serves uploads; "" for none. It gets a certificate as the platform's
	// host does.
	FilesHost string
	// Authorities are asked in order; the next stands in for one that is away or
	// whose limit is reached.
	Authorities []Authority
	Email       string
	// Roots is whom to trust for the authorities' own HTTPS; nil for the system's.
	Roots *x509.CertPool
	// DNS answers dns-01 for the boards' domain, which then gets one wildcard; nil without.
	DNS acmez.Solver
	// HTTP reaches OCSP responders, whose addresses stand in certificates that
	// people bring: public ones only. Nil staples nothing.
	HTTP   *http.Client
	Secret []byte
	Log    *slog.Logger
	Limits Limits
	// Retry is the wait after so many failures in a row; Patience is how long one
	// order may take.
	Retry    func(failures int) time.Duration
	Patience time.Duration
}

// Certs orders, keeps and serves certificates.
type Certs struct {
	// StillProven, when set, looks at a host's proof again before an order; kind
	// fault.Forbidden when it is gone. Set it before tasks run.
	StillProven func(ctx context.Context, host string) error

	o       Options
	storage *Storage
	known   *known
	// hot is what handshakes use: by the name a certificate is stored under, and
	// which of its versions.
	hot    *otter.Cache[hotKey, *tls.Certificate]
	magic  *certmagic.Cache
	config *certmagic.Config
	cas    []authority
	wanted chan string
	ids    identities
	figures

	// nobody stands where certmagic would open a port of its own to answer
	// challenges: those are answered by the replicas of serve, from Postgres.
	nobody net.Listener
	done   sync.WaitGroup
}

type authority struct {
	name         string // as its orders are counted
	direct, zone *certmagic.ACMEIssuer
}

// maxHot bounds the certificates in memory, keepHot how long one is used
// without a look at its row (and at its OCSP answer).
const maxHot, keepHot = 10_000, time.Hour

// throttle is set once: certmagic's own is ten orders in ten seconds.
var throttle = sync.OnceFunc(func() { certmagic.RateLimitEvents, certmagic.RateLimitEventsWindow = 20, time.Second })

// New makes the service. Close it; Run it where TLS is served; Register it
// where tasks run.
func New(o Options) (*Certs, error) {
	throttle()
	if o.Retry == nil {
		o.Retry = retryAfter
	}
	if o.Patience == 0 {
		o.Patience = 90 * time.Second
	}
	if o.Limits == (Limits{}) {
		o.Limits = LetsEncrypt
	}
	storage, err := NewStorage(o.Platform, o.Secret, o.Log)
	if err != nil {
		return nil, err
	}
	c := &Certs{o: o, storage: storage, known: newKnown(), wanted: make(chan string, 64), figures: newFigures()}
	c.hot = otter.Must(&otter.Options[hotKey, *tls.Certificate]{MaximumSize: maxHot, ExpiryCalculator: otter.ExpiryWriting[hotKey, *tls.Certificate](keepHot)})
	if len(o.Authorities) == 0 {
		return c, nil
	}
	if c.nobody, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	c.done.Go(func() { turnAway(c.nobody) })
	log := zapTo(o.Log)
	c.magic = certmagic.NewCache(certmagic.CacheOptions{GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return c.config, nil }, Logger: log})
	// It would ask responders within handshakes: staple.go asks before them.
	c.config = certmagic.New(c.magic, certmagic.Config{Storage: storage, LoadFirstUsableCert: true, DisableStorageCheck: true, Logger: log, OnEvent: noteEvent, OCSP: certmagic.OCSPConfig{DisableStapling: true}, Issuers: []certmagic.Issuer{}})
	for _, a := range o.Authorities {
		c.cas = append(c.cas, c.authority(a))
		c.config.Issuers = append(c.config.Issuers, c.cas[len(c.cas)-1].direct)
	}
	return c, nil
}

func (c *Certs) authority(a Authority) authority {
	port := c.nobody.Addr().(*net.TCPAddr).Port
	t := certmagic.ACMEIssuer{CA: a.Directory, Email: c.o.Email, Agreed: true, TrustedRoots: c.o.Roots, CertObtainTimeout: c.o.Patience,
		ListenHost: "127.0.0.1", AltHTTPPort: port, AltTLSALPNPort: port, Logger: c.config.Logger}
	// Empty means "the default", which for Let's Encrypt is its test directory:
	// asked first after a failure, and of no use where the task's row decides.
	t.TestCA = a.Directory
	if a.EABKey != "" {
		t.ExternalAccount = &acme.EAB{KeyID: a.EABKey, MACKey: a.EABMAC}
	}
	out := authority{direct: certmagic.NewACMEIssuer(c.config, t)}
	out.name = out.direct.IssuerKey()
	if c.o.DNS != nil {
		t.DNS01Solver = c.o.DNS
		out.zone = certmagic.NewACMEIssuer(c.config, t)
	}
	return out
}

// turnAway closes what comes in: nobody has business there.
func turnAway(l net.Listener) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			_ = conn.Close()
		}
	}
}

// Close ends what New began.
func (c *Certs) Close() {
	if c.On() {
		c.magic.Stop()
		_ = c.nobody.Close()
		c.done.Wait()
	}
	c.hot.StopAllGoroutines()
}

// On reports whether TLS is served at all.
func (c *Certs) On() bool { return len(c.cas) > 0 }

// kindOrder and kindWatch are frozen names of tasks.
const (
	kindOrder = "domains.certificate"
	kindWatch = "domains.certificates.watch"
)

type order struct {
	Host string `json:"host"`
}

// Order asks for a host's certificate, in the caller's platform transaction:
// at once, whatever a failure before said about waiting. It is a no-op while
// TLS is off.
func (c *Certs) Order(ctx context.Context, tx bun.IDB, host string) error {
	if !c.On() {
		return nil
	}
	name := c.nameFor(host)
	_, err := tx.NewRaw(`INSERT INTO certificates AS c (host, state) VALUES (?, 'ordering')
		ON CONFLICT (host) DO UPDATE SET state = 'ordering', problem = '', detail = '', failures = 0, next_try = NULL, updated_at = clock_timestamp()
		WHERE c.state IN ('failed', 'dropped')`, name).Exec(ctx)
	if err != nil {
		return err
	}
	return add(ctx, tx, name, time.Time{})
}

// OrderBoard asks for the certificate of a new board's platform address, in the
// transaction that makes the board, so that its first visitor finds it. It is a
// no-op where one wildcard serves all of them. Orders that would pass the
// authority's limits wait for their turn.
func (c *Certs) OrderBoard(ctx context.Context, tx bun.IDB, host string) error {
	if c.nameFor(host) != host {
		return nil
	}
	return c.Order(ctx, tx, host)
}

// add writes the task; a row of the same host that waits for a later time comes forward.
func add(ctx context.Context, tx bun.IDB, name string, at time.Time) error {
	return tasks.Add(tenant.With(ctx, nil), tx, tasks.New{Kind: kindOrder, Key: name, Payload: order{Host: name}, RunAt: at})
}

// Drop forgets a host's certificate, in the caller's platform transaction:
// after the commit every replica stops serving it.
func (c *Certs) Drop(ctx context.Context, tx bun.IDB, host string) error {
	if c.nameFor(host) != host {
		return nil // its neighbours use the wildcard too; the host itself goes with its row
	}
	if err := c.forget(ctx, tx, host); err != nil {
		return err
	}
	tenant.AfterCommit(ctx, func() { c.o.Notifier.HostChanged(host) })
	return nil
}

func (c *Certs) forget(ctx context.Context, tx bun.IDB, host string) error {
	safe := certmagic.StorageKeys.Safe(host)
	for _, q := range []string{
		`DELETE FROM acme_objects WHERE key >= 'certificates/' AND key < 'certificates0' AND split_part(key, '/', 3) = ?`,
		`DELETE FROM acme_objects WHERE key >= 'ocsp/' AND key < 'ocsp0' AND regexp_replace(key, '^ocsp/(.*)-[^-]*$', '\1') = ?`,
	} {
		if _, err := tx.NewRaw(q, safe).Exec(ctx); err != nil {
			return err
		}
	}
	_, err := tx.NewRaw(`UPDATE certificates SET state = 'dropped', source = 'acme', issuer = '', not_before = NULL, not_after = NULL, renew_at = NULL,
		ocsp_at = NULL, ocsp_until = NULL, ocsp_failures = 0, revoked_at = NULL, first_issued_at = NULL, problem = '', detail = '', failures = 0, next_try = NULL, updated_at = clock_timestamp() WHERE host = ?`, host).Exec(ctx)
	return err
}

// State of a host's certificate.
type State string

// The states of a host's certificate. A certificate whose renewal fails stays
// Issued, with a problem.
const (
	None     State = "none"
	Ordering State = "ordering"
	Issued   State = "issued"
	Failed   State = "failed"
)

// Status is what a host's admins and the staff may know of its certificate.
type Status struct {
	Host  string
	State State
	// Own is a certificate that was brought, not ordered.
	Own      bool
	Issuer   string
	NotAfter time.Time
	// Problem is what went wrong last, a code of Problems; Error says it in plain
	// words and Detail in the authority's.
	Problem, Error, Detail string
	NextTry                time.Time
}

// Status is what each host has now, in the order asked.
func (c *Certs) Status(ctx context.Context, hosts ...string) ([]Status, error) {
	if len(hosts) == 0 {
		return nil, nil
	}
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = c.nameFor(h)
	}
	var rows []certificate
	err := c.o.Platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT host, state, source, issuer, not_after, problem, detail, next_try FROM certificates
			WHERE host IN (?) AND state <> 'dropped'`, bun.In(names)).Scan(ctx, &rows)
	})
	if err != nil {
		return nil, err
	}
	byName := map[string]*certificate{}
	for i := range rows {
		byName[rows[i].Host] = &rows[i]
	}
	out := make([]Status, len(hosts))
	for i, h := range hosts {
		out[i] = Status{Host: h, State: None}
		if r := byName[names[i]]; r != nil {
			out[i] = Status{Host: h, State: State(r.State), Own: r.Source == "own", Issuer: r.Issuer, NotAfter: r.NotAfter,
				Problem: r.Problem, Error: sentence(r.Problem), Detail: r.Detail, NextTry: r.NextTry}
		}
	}
	return out, nil
}

// certificate is a row.
type certificate struct {
	Host     string    `bun:"host"`
	State    string    `bun:"state"`
	Source   string    `bun:"source"`
	Issuer   string    `bun:"issuer"`
	NotAfter time.Time `bun:"not_after"`
	Problem  string    `bun:"problem"`
	Detail   string    `bun:"detail"`
	Failures int       `bun:"failures"`
	NextTry  time.Time `bun:"next_try"`
}

// nameFor is the name that a host's certificate is stored under: the boards'
// own addresses share a wildcard where DNS can be written.
func (c *Certs) nameFor(host string) string {
	if c.o.DNS != nil && c.onBoardDomain(host) {
		return c.wildcard()
	}
	return host
}

func (c *Certs) wildcard() string { return "*." + c.o.BoardDomain }

// onBoardDomain reports a direct child of the boards' domain, or its wildcard.
func (c *Certs) onBoardDomain(host string) bool {
	slug, found := strings.CutSuffix(host, "."+c.o.BoardDomain)
	return found && slug != "" && !strings.Contains(slug, ".")
}

// platformHosts are the hosts that are the platform's by its settings, no row's.
func (c *Certs) platformHosts() []string {
	if c.o.FilesHost == "" {
		return []string{c.o.PlatformHost}
	}
	return []string{c.o.PlatformHost, c.o.FilesHost}
}

// named are the names that have a certificate without a row in hosts.
func (c *Certs) named() []string { return append(c.platformHosts(), c.wildcard()) }

// ours reports whether a name may have a certificate: one of the platform's own, a
// board's platform address, a proven custom host.
func (c *Certs) ours(ctx context.Context, tx bun.IDB, name string) (bool, error) {
	if slices.Contains(c.platformHosts(), name) || (c.o.DNS != nil && name == c.wildcard()) {
		return true, nil
	}
	var ours bool
	err := tx.NewRaw(`SELECT EXISTS (SELECT FROM hosts WHERE host = ? AND (kind = 'platform' OR verified_at IS NOT NULL))`, name).Scan(ctx, &ours)
	return ours, err
}

// Metrics are what a watcher reads; register them once.
func (c *Certs) Metrics() []prometheus.Collector {
	return []prometheus.Collector{c.orders, c.state, c.soonest, c.late, c.refused, c.loads, c.staples}
}

var errOff = fault.New(fault.Conflict, "TLS is off: set SHINGLE_TLS_LISTEN")
