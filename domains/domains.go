// Package domains owns a board's hosts: proving them by DNS, watching them,
// choosing the one where the public pages live. It never serves a page and
// never makes a certificate. Start at Service and Domain, then check.go for
// what is looked up and apply.go for what follows from it.
package domains

import (
	"context"
	"net/netip"
	"time"

	"github.com/uptrace/bun"

	"shingle/internal/dns"
	"shingle/internal/fault"
	"shingle/internal/links"
	"shingle/tenant"
)

// State of a board's host.
type State string

// The states of a host: waiting for the ownership record, proven (it is the
// board's), live (and leads here), given up, removed but still reserved.
const (
	Checking State = "checking"
	Proven   State = "proven"
	Live     State = "live"
	Stuck    State = "stuck"
	Removed  State = "removed"
)

const (
	// holdFor is how long a removed host stays reserved for its board.
	holdFor = 30 * 24 * time.Hour
	// giveUpAfter ends the polling of a host that does not get ready.
	giveUpAfter = 14 * 24 * time.Hour
	// flagAfter is how long a proven host's ownership record may be gone before
	// people are told; it is never dropped for it.
	flagAfter = 7 * 24 * time.Hour
	// firstPoll doubles up to lastPoll; a live host is looked at every watchEvery.
	firstPoll, lastPoll, watchEvery = 30 * time.Second, time.Hour, 6 * time.Hour
	// maxWaiting bounds a board's hosts that are not proven; proven ones have no limit.
	maxWaiting = 100
)

// Domain is a host that a board wants or has.
type Domain struct {
	bun.BaseModel `bun:"table:domains,alias:d"`
	tenant.Scoped
	Host         string     `bun:"host,pk"`
	Token        string     `bun:"token"`
	State        State      `bun:"state"`
	WantsPrimary bool       `bun:"wants_primary"`
	Report       Report     `bun:"report,type:jsonb"`
	Attempts     int        `bun:"attempts"`
	CreatedAt    time.Time  `bun:"created_at"`
	Since        time.Time  `bun:"since"`
	CheckedAt    *time.Time `bun:"checked_at"`
	NextCheckAt  *time.Time `bun:"next_check_at"`
	ProvenAt     *time.Time `bun:"proven_at"`
	ReadyAt      *time.Time `bun:"ready_at"`
	LiveAt       *time.Time `bun:"live_at"`
	MissingSince *time.Time `bun:"missing_since"`
	FlaggedAt    *time.Time `bun:"flagged_at"`
	RemovedAt    *time.Time `bun:"removed_at"`
	HeldUntil    *time.Time `bun:"held_until"`
}

// Human is the host as people write it.
func (d *Domain) Human() string { return human(d.Host) }

// Mixed reports a name that mixes scripts.
func (d *Domain) Mixed() bool { return mixed(human(d.Host)) }

// Trouble reports what somebody has to look at.
func (d *Domain) Trouble() bool {
	return d.State == Stuck || d.FlaggedAt != nil || d.State == Live && !d.Report.Points
}

// CertState is what is known of a host's certificate.
type CertState struct {
	State    string // none, ordering, issued, failed
	Issuer   string
	NotAfter time.Time
	Error    string
}

// Lookup is what checks ask of the domain name system.
type Lookup interface {
	TXT(ctx context.Context, name string) ([]string, error)
	Addresses(ctx context.Context, name string) (dns.Trace, error)
	CAA(ctx context.Context, name string) (at string, permits []dns.Permit, err error)
}

// Service is everything about boards' hosts. The board is always the context's.
type Service struct {
	DB       *tenant.DB
	Platform *tenant.Platform
	Notifier *tenant.Notifier
	Links    links.Links
	// DNS answers without a cache.
	DNS Lookup
	// Resolvers, when there are several, are asked each: until they agree, a
	// record does not count.
	Resolvers []Lookup
	// EdgeHost is what hosts are pointed at; a board's platform address when empty.
	EdgeHost string
	// FilesHost serves uploads: no board has it.
	FilesHost string
	// EdgeAddresses are for zones' own names, where DNS knows no CNAME.
	EdgeAddresses []netip.Addr
	// CAs are the authorities' names in CAA records, ours by preference first. It
	// may ask the authorities. Nil, or none: CAA is not checked.
	CAs func(ctx context.Context) []string
	// Probe asks whether a host's plain HTTP ends here, for hosts behind somebody
	// else's proxy; nil means that such hosts are taken at their word.
	Probe func(ctx context.Context, host string) error
	// ProbeBase asks whether an address on the owner's site ends at a host of ours.
	ProbeBase func(ctx context.Context, address, host string) error
	Now       func() time.Time

	// What follows from a host's life where TLS is served here; nil elsewhere.
	// Verified is called in the transaction that finds a host proven and leading
	// here, Removed in the one that removes it.
	Verified func(ctx context.Context, tx bun.IDB, host string) error
	Removed  func(ctx context.Context, tx bun.IDB, host string) error
	// Certificates tells the state of hosts' certificates.
	Certificates func(ctx context.Context, hosts ...string) map[string]CertState
	// Bring takes an owner's own certificate.
	Bring func(ctx context.Context, tx bun.IDB, host, chainPEM, keyPEM string) error
}

// Target is the name that a board's hosts are pointed at.
func (s *Service) Target(t *tenant.Tenant) string {
	if s.EdgeHost != "" {
		return s.EdgeHost
	}
	return t.PlatformHost
}

// List reads the board's hosts but those removed, the oldest first.
func (s *Service) List(ctx context.Context, tx bun.IDB) ([]Domain, error) {
	var out []Domain
	err := tx.NewSelect().Model(&out).Where("d.state <> ?", Removed).Order("d.created_at", "d.host").Scan(ctx)
	return out, err
}

// ByHost reads one of the board's hosts. Kind: fault.NotFound.
func (s *Service) ByHost(ctx context.Context, tx bun.IDB, host string) (*Domain, error) {
	d := new(Domain)
	return d, tenant.One(ctx, tx.NewSelect().Model(d).Where("d.host = ?", host).Where("d.state <> ?", Removed), "host")
}

// Trouble counts the board's hosts that somebody has to look at: stuck, without
// their DNS records, or with a certificate that fails or runs out. It opens
// transactions of its own.
func (s *Service) Trouble(ctx context.Context) (n int, err error) {
	var list []Domain
	err = s.DB.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		list, err = s.List(ctx, tx)
		return err
	})
	if err != nil || len(list) == 0 {
		return 0, err
	}
	var certs map[string]CertState
	if s.Certificates != nil {
		hosts := make([]string, len(list))
		for i := range list {
			hosts[i] = list[i].Host
		}
		certs = s.Certificates(ctx, hosts...)
	}
	for i := range list {
		c := certs[list[i].Host]
		if list[i].Trouble() || c.State == "failed" || c.Error != "" {
			n++
		}
	}
	return n, nil
}

// Certificate is a host's certificate; ok is false where TLS is not served here.
func (s *Service) Certificate(ctx context.Context, host string) (c CertState, ok bool) {
	if s.Certificates == nil {
		return CertState{}, false
	}
	c = s.Certificates(ctx, host)[host]
	if c.State == "" {
		c.State = "none"
	}
	return c, true
}

var errNotHere = fault.New(fault.NotFound, "host not found")
