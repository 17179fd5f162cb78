// Package plans owns what a board pays the platform: the plans that staff sell,
// the board's subscription on the platform's own Stripe account, the ladder that
// an unpaid board goes down, and what a board uses against its limits. It never
// sells a listing and never shows a page. Start at Plan, then board.go for what a
// board is on, sync.go for how Stripe's word becomes ours, and ladder.go.
package plans

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/stripe/stripe-go/v76/client"
	"github.com/uptrace/bun"

	"shingle/billing"
	"shingle/internal/entitle"
	"shingle/internal/fault"
	"shingle/internal/links"
	"shingle/internal/money"
	"shingle/tenant"
)

// What is metered and may have a limit. Listings, seats, domains and storage
// are levels; the others are counted by calendar month in UTC.
const (
	Listings = "listings"
	Seats    = "seats"
	Domains  = "domains"
	Mails    = "mails"
	Views    = "views"
	Storage  = "storage" // bytes
	APICalls = "api_calls"
)

// Whats are all that is metered, in the order of pages.
var Whats = []string{Listings, Seats, Domains, Mails, Views, Storage, APICalls}

// Limited are those that a plan can limit: views are shown and never limited.
var Limited = []string{Listings, Seats, Domains, Mails, Storage, APICalls}

// Level reports what is a level, not a count of the month.
func Level(what string) bool {
	return what == Listings || what == Seats || what == Domains || what == Storage
}

// Features that a plan can hold, as frozen names. What a board has already it
// keeps when its plan lacks the feature; it cannot begin it.
const (
	CustomDomain = "custom_domain"
	OwnMail      = "own_mail"
	PrivateBoard = "private_board"
	Priority     = "priority_support"
)

// Features are all of them, in the order of pages.
var Features = []string{CustomDomain, OwnMail, PrivateBoard, Priority}

// Month and Year are how often a plan is paid.
const (
	Month = "month"
	Year  = "year"
)

// Limits is the most of each thing; what is missing has no limit.
type Limits map[string]int64

// Grants are the limits as grants from a time on.
func (l Limits) Grants(from time.Time) []entitle.Grant {
	out := make([]entitle.Grant, 0, len(Whats))
	for _, w := range Whats {
		n, ok := l[w]
		if !ok {
			n = entitle.Unlimited
		}
		out = append(out, entitle.Grant{What: w, From: from, Amount: n})
	}
	return out
}

// Plan is what the platform sells to boards.
type Plan struct {
	ID   uuid.UUID `bun:"id"`
	Name string    `bun:"name"`
	// Tagline is one line by language.
	Tagline  map[string]string `bun:"tagline,type:jsonb"`
	FeeRule  billing.FeeRule   `bun:"fee_rule,type:jsonb"`
	Limits   Limits            `bun:"limits,type:jsonb"`
	Features []string          `bun:"features,array"`
	// TrialDays is how long a new board may try it.
	TrialDays int `bun:"trial_days"`
	Position  int `bun:"position"`
	// Listed plans are offered to everybody; others are given by staff.
	Listed        bool       `bun:"listed"`
	StripeProduct string     `bun:"stripe_product"`
	CreatedAt     time.Time  `bun:"created_at"`
	ArchivedAt    *time.Time `bun:"archived_at"`

	Prices []Price `bun:"-"`
	// Boards is how many are on it, where a list was asked for.
	Boards int `bun:"boards"`
}

// Price is what a plan costs, in minor units. It never changes; a new one takes
// its place, and who pays the old one goes on paying it.
type Price struct {
	ID          uuid.UUID `bun:"id"`
	PlanID      uuid.UUID `bun:"plan_id"`
	Every       string    `bun:"every"`
	Currency    string    `bun:"currency"`
	Amount      int64     `bun:"amount"`
	StripePrice string    `bun:"stripe_price"`
	Current     bool      `bun:"current"`
}

// Monthly is the price of a month, rounded down.
func (p Price) Monthly() int64 {
	if p.Every == Year {
		return p.Amount / 12
	}
	return p.Amount
}

// Line is the tagline in a language, else in English.
func (p *Plan) Line(locale string) string {
	lang, _, _ := strings.Cut(locale, "-")
	if s := p.Tagline[lang]; s != "" {
		return s
	}
	return p.Tagline["en"]
}

// Has reports a feature.
func (p *Plan) Has(feature string) bool { return slices.Contains(p.Features, feature) }

// Limit is the most of something; ok is false without a limit.
func (p *Plan) Limit(what string) (n int64, ok bool) {
	n, ok = p.Limits[what]
	return n, ok
}

// Price is the current price in a currency, else in the plan's first one; nil
// when the plan is not paid so often.
func (p *Plan) Price(every, currency string) *Price {
	var first *Price
	for i := range p.Prices {
		q := &p.Prices[i]
		if q.Every != every || !q.Current {
			continue
		}
		if q.Currency == currency {
			return q
		}
		if first == nil {
			first = q
		}
	}
	return first
}

// Currencies are those that the plan has prices in.
func (p *Plan) Currencies() []string {
	seen := map[string]bool{}
	for _, q := range p.Prices {
		if q.Current {
			seen[q.Currency] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// Validate names what must change, by field. Kind: fault.Invalid.
func (p *Plan) Validate() error {
	f := fault.Fields{}
	p.Name = strings.TrimSpace(p.Name)
	if p.Name == "" || len([]rune(p.Name)) > 40 {
		f["name"] = "plan.name.form"
	}
	for lang, line := range p.Tagline {
		if len([]rune(line)) > 160 {
			f["tagline_"+lang] = "plan.tagline.long"
		}
	}
	for what, n := range p.Limits {
		if n < 0 || !slices.Contains(Limited, what) {
			f["limit_"+what] = "plan.limit.form"
		}
	}
	for _, name := range p.Features {
		if !slices.Contains(Features, name) {
			f["features"] = "plan.feature.unknown"
		}
	}
	if p.TrialDays < 0 || p.TrialDays > 365 {
		f["trial_days"] = "plan.trial.form"
	}
	current := 0
	for _, q := range p.Prices {
		if !q.Current {
			continue
		}
		current++
		name := "price_" + q.Every + "_" + q.Currency
		if !money.Valid(q.Currency) || q.Every != Month && q.Every != Year {
			f[name] = "plan.price.currency"
		} else if q.Amount != 0 && q.Amount < money.Minimum(q.Currency) || q.Amount < 0 || q.Amount > 99_999_999 {
			f[name] = "plan.price.form"
		}
	}
	if p.Listed && current == 0 {
		f["prices"] = "plan.price.none"
	}
	for name, text := range fault.FieldsOf(p.FeeRule.Validate()) {
		f[name] = text
	}
	return fault.Invalids(f)
}

// Options are what a Service needs. All but Now and Log are required.
type Options struct {
	DB       *tenant.DB
	Platform *tenant.Platform
	Links    links.Links
	Stripe   *client.API
	// Storage says how many bytes a board's files take; nil counts none.
	Storage func(ctx context.Context, board tenant.ID) (int64, error)
	// Leave gives up what a board has outside its own rows, in the transaction
	// that deletes it; nil has nothing.
	Leave func(ctx context.Context, tx bun.IDB, board tenant.ID) error
	// Erase removes what a deleted board has outside the database, files and
	// search: by a task, until it has worked. Nil has nothing.
	Erase func(ctx context.Context, board tenant.ID) error
	// Schedule is when each step of the ladder is taken; DefaultSchedule when nil.
	Schedule Schedule
	Now      func() time.Time
	Log      *slog.Logger
}

// Service is the rules of plans. Functions that take a transaction run in it:
// where they write, a platform transaction; the others open their own and may
// call Stripe.
type Service struct {
	db       *tenant.DB
	platform *tenant.Platform
	links    links.Links
	stripe   *client.API
	storage  func(ctx context.Context, board tenant.ID) (int64, error)
	leave    func(ctx context.Context, tx bun.IDB, board tenant.ID) error
	erase    func(ctx context.Context, board tenant.ID) error
	schedule Schedule
	clock    func() time.Time
	log      *slog.Logger
}

// New makes a service.
func New(o Options) *Service {
	s := &Service{db: o.DB, platform: o.Platform, links: o.Links, stripe: o.Stripe, storage: o.Storage, leave: o.Leave, erase: o.Erase, schedule: o.Schedule, clock: o.Now, log: o.Log}
	if s.schedule == nil {
		s.schedule = DefaultSchedule
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// Now is the time that plans live in: what their dates are shown against.
func (s *Service) Now() time.Time { return s.now() }

// now is the time in the precision that Postgres keeps.
func (s *Service) now() time.Time { return s.clock().UTC().Truncate(time.Microsecond) }

func mustJSON(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own plain structs
	}
	return string(raw)
}
