// Package billing owns what a board sells and what became of the money:
// products, orders, the split, Stripe and the ledger. It never shows a page and
// never decides what a listing may do: it grants what was paid for. Start at
// Service, then order.go, checkout.go and apply.go, through which every payment goes.
package billing

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"
	"github.com/uptrace/bun"

	"shingle/internal/links"
	"shingle/internal/observe"
	"shingle/listings"
	"shingle/tenant"
)

// APIVersion is the version of Stripe's API that stripe-go v76 speaks and that
// our webhook endpoints are pinned to.
const APIVersion = stripe.APIVersion

// Ways to charge: the board's owner is merchant of record (direct, on a
// standard account), or the platform is (destination, to an express account).
const (
	Direct      = "direct"
	Destination = "destination"
)

// Options are what a Service needs. All but HTTP, Now and Log are required.
type Options struct {
	DB       *tenant.DB
	Platform *tenant.Platform
	Listings *listings.Store
	Links    links.Links
	// DeskLink makes a link that signs the buyer in, for the receipt.
	DeskLink DeskLink
	// Stripe is the client; see NewStripe.
	Stripe *client.API
	// Secrets verify webhooks; any one may fit.
	Secrets []string
	// Plans takes the events of boards' own subscriptions; nil ignores them.
	Plans *PlanHook
	Now   func() time.Time
	Log   *slog.Logger
}

// DeskLink makes, in the caller's transaction, a link that signs the owner of
// an address in, once and within its life, and leads to their desk.
type DeskLink func(ctx context.Context, tx bun.IDB, email string) (url string, lives time.Duration, err error)

// Service is billing's rules. Functions that take a transaction run in it;
// those that do not open their own and may call Stripe.
type Service struct {
	db       *tenant.DB
	platform *tenant.Platform
	listings *listings.Store
	links    links.Links
	desk     DeskLink
	stripe   *client.API
	secrets  []string
	plans    *PlanHook
	clock    func() time.Time
	log      *slog.Logger
	// between is called between two writes, with the gap's name: tests die there.
	between func(ctx context.Context, gap string)
}

// New makes a service.
func New(o Options) *Service {
	s := &Service{db: o.DB, platform: o.Platform, listings: o.Listings, links: o.Links, desk: o.DeskLink, stripe: o.Stripe, secrets: o.Secrets, plans: o.Plans, clock: o.Now, log: o.Log,
		between: func(context.Context, string) {}}
	if s.clock == nil {
		s.clock = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// now is the time in the precision that Postgres keeps.
func (s *Service) now() time.Time { return s.clock().UTC().Truncate(time.Microsecond) }

// NewStripe makes a client for a key. base is the API's address, Stripe's own
// when empty. Nothing global is set, so several clients live side by side.
func NewStripe(key, base string, log *slog.Logger) *client.API {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	backend := func(kind stripe.SupportedBackend) stripe.Backend {
		cfg := &stripe.BackendConfig{
			HTTPClient:        &http.Client{Timeout: 20 * time.Second, Transport: observe.Transport(nil, "stripe")},
			MaxNetworkRetries: stripe.Int64(2),
			LeveledLogger:     stripeLog{log},
			EnableTelemetry:   stripe.Bool(false),
		}
		if base != "" {
			cfg.URL = stripe.String(strings.TrimRight(base, "/"))
		}
		return stripe.GetBackendWithConfig(kind, cfg)
	}
	return client.New(key, &stripe.Backends{API: backend(stripe.APIBackend), Connect: backend(stripe.ConnectBackend), Uploads: backend(stripe.UploadsBackend)})
}

// stripeLog keeps the client's chatter, which quotes answers, out of the logs.
type stripeLog struct{ log *slog.Logger }

func (l stripeLog) Debugf(string, ...any) {}
func (l stripeLog) Infof(string, ...any)  {}
func (l stripeLog) Warnf(string, ...any)  { l.log.Debug("stripe client warns") }
func (l stripeLog) Errorf(string, ...any) { l.log.Debug("stripe answered an error") }

// params are the parts that every call has: whose account, and the key that
// makes a repeat the same call. account is empty for the platform's own.
func params(ctx context.Context, account, key string) stripe.Params {
	p := stripe.Params{Context: ctx}
	if account != "" {
		p.SetStripeAccount(account)
	}
	if key != "" {
		p.SetIdempotencyKey(key)
	}
	return p
}

// terms reads the board's fee rule and way to charge as they are now, not as a
// cached board says.
func (s *Service) terms(ctx context.Context, tx bun.IDB) (FeeRule, string, error) {
	id, err := tenant.IDFrom(ctx)
	if err != nil {
		return FeeRule{}, "", err
	}
	var raw, mode string
	if err := tx.NewRaw(`SELECT fee_rule, charge_mode FROM boards WHERE id = ?`, id).Scan(ctx, &raw, &mode); err != nil {
		return FeeRule{}, "", err
	}
	r, err := ParseFeeRule(json.RawMessage(raw))
	return r, mode, err
}
