package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/uptrace/bun"
	"gocloud.dev/blob"
	_ "gocloud.dev/blob/fileblob" // file:// for SHINGLE_BLOB_URL
	_ "gocloud.dev/blob/memblob"  // mem:// for trying things out
	_ "gocloud.dev/blob/s3blob"   // s3:// for several replicas; credentials come as for AWS' own programs

	"shingle/accounts"
	"shingle/archive"
	"shingle/authz"
	"shingle/authz/chain"
	"shingle/billing"
	"shingle/billing/meter"
	"shingle/billing/plans"
	"shingle/candidates"
	"shingle/domains"
	"shingle/domains/access"
	"shingle/domains/certs"
	"shingle/domains/redirects"
	"shingle/internal/config"
	"shingle/internal/dns"
	"shingle/internal/fault"
	"shingle/internal/links"
	"shingle/internal/observe"
	"shingle/internal/pg"
	"shingle/internal/seal"
	"shingle/listings"
	"shingle/mail"
	"shingle/privacy"
	"shingle/search"
	"shingle/search/postgres"
	"shingle/search/typesense"
	"shingle/tasks"
	"shingle/tenant"
	"shingle/themes"
	"shingle/themes/looks"
	"shingle/web/platform"
	"shingle/web/staff"
)

// app is every part, put together once. Commands use what they need of it.
type app struct {
	cfg      *config.Config
	log      *slog.Logger
	links    links.Links
	registry *prometheus.Registry
	// tracing and reports are nil where nothing asks for them.
	tracing *observe.Tracing
	reports *observe.Reports

	appPool, platformPool *sql.DB
	notifier              *tenant.Notifier
	db                    *tenant.DB
	platform              *tenant.Platform
	boards                *tenant.Resolver
	redis                 redis.UniversalClient
	files                 *blob.Bucket

	mux        *tasks.Mux
	runner     *tasks.Runner
	packs      *themes.Packs
	looks      *looks.Store
	limits     *accounts.Limiter
	operators  *accounts.Operators
	people     *accounts.People
	sweeper    *accounts.Sweeper
	gate       *authz.Gate
	listings   *listings.Store
	search     *search.Service
	billing    *billing.Service
	candidates *candidates.Service
	archive    *archive.Service
	privacy    *privacy.Service
	domains    *domains.Service
	redirects  *redirects.Store
	hits       *redirects.Hits
	access     *access.Service
	launcher   *platform.Launcher
	plans      *plans.Service
	meter      *meter.Meter
	certs      *certs.Certs
	sender     *mail.Sender
	identities *mail.Identities
	returns    *mail.Returns
	dns        *dns.Client
	// planNow is the time that plans live in: the machine's, and dev's the
	// simulator's, which its page moves ahead.
	planNow func() time.Time
	// demoOnboard finishes an account at the simulator; nil elsewhere.
	demoOnboard func(account string) error
}

// build opens what the settings name. Nothing is asked of a server yet but
// Postgres and, when set, nothing else: a part that is away must not stop us.
func build(ctx context.Context, cfg *config.Config, log *slog.Logger, planNow func() time.Time) (*app, error) {
	gin.SetMode(gin.ReleaseMode)
	a := &app{cfg: cfg, log: log, registry: newRegistry(), planNow: planNow}
	var err error
	if a.links, err = links.New(cfg.PublicURL, cfg.PlatformHost, cfg.BoardDomain); err != nil {
		return nil, err
	}
	if err = a.openDatabase(ctx); err != nil {
		return nil, err
	}
	if cfg.RedisURL != "" {
		opts, err := redis.ParseURL(cfg.RedisURL)
		if err != nil {
			return nil, errors.New("SHINGLE_REDIS_URL cannot be read: redis://:password@host:6379/0")
		}
		client := redis.NewClient(opts)
		client.AddHook(observe.Redis{})
		a.redis = client
	}
	if a.files, err = blob.OpenBucket(ctx, cfg.BlobURL); err != nil {
		return nil, fmt.Errorf("opening the file store: %w", err)
	}
	return a, a.services()
}

func (a *app) openDatabase(ctx context.Context) (err error) {
	if a.appPool, err = pg.Open(a.cfg.DatabaseURL, a.cfg.DatabaseConns); err != nil {
		return fmt.Errorf("SHINGLE_DATABASE_URL: %w", err)
	}
	if a.platformPool, err = pg.Open(a.cfg.PlatformDatabaseURL, a.cfg.DatabaseConns); err != nil {
		return fmt.Errorf("SHINGLE_PLATFORM_DATABASE_URL: %w", err)
	}
	wait, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := pg.Wait(wait, a.platformPool); err != nil {
		return fmt.Errorf("the platform's login: %w", err)
	}
	watchPools(a.registry, a.appPool, a.platformPool)
	a.notifier = tenant.NewNotifier(a.cfg.ListenDatabaseURL, a.log)
	a.db = tenant.NewDB(a.appPool, a.notifier)
	a.platform = tenant.NewPlatform(a.platformPool, a.notifier)
	a.boards = tenant.NewResolver(a.platform, a.log, time.Now)
	a.boards.Attach(a.notifier)
	return nil
}

func (a *app) services() (err error) {
	a.mux = tasks.NewMux()
	if a.redis != nil {
		a.runner = tasks.NewRunner(a.platform, a.boards, a.mux, a.redis, a.log)
		a.notifier.OnTask(a.runner.Wake)
	}
	if a.packs, err = themes.Load(); err != nil {
		return err
	}
	a.looks = &looks.Store{DB: a.db, Packs: a.packs, Default: themes.Look{Pack: "harbor"}}
	a.limits = accounts.NewLimiter(a.redis, time.Now)
	a.operators = accounts.NewOperators(a.platform, a.limits, a.links, time.Now)
	if err := a.operatorFactors(); err != nil {
		return err
	}
	a.people = accounts.NewPeople(a.db, a.limits, a.links, time.Now)
	a.sweeper = accounts.NewSweeper(a.platform, time.Now)
	if a.gate, err = authz.NewGate(a.platform); err != nil {
		return err
	}
	a.listings = listings.NewStore(a.links)
	if a.search, err = a.newSearch(); err != nil {
		return err
	}
	stripe := billing.NewStripe(a.cfg.StripeKey, a.cfg.StripeAPIBase, a.log)
	a.plans = plans.New(plans.Options{DB: a.db, Platform: a.platform, Links: a.links, Stripe: stripe, Storage: a.stored, Leave: a.leave, Erase: a.erase, Now: a.planNow, Log: a.log})
	a.meter = meter.New(a.platform, a.log, a.planNow)
	a.billing = billing.New(billing.Options{DB: a.db, Platform: a.platform, Listings: a.listings, Links: a.links, DeskLink: a.people.DeskLink,
		Stripe: stripe, Secrets: a.cfg.StripeWebhookSecrets, Plans: a.plans.Hook(), Now: time.Now, Log: a.log})
	a.candidates = &candidates.Service{DB: a.db, Platform: a.platform, Listings: a.listings, Files: a.files, Links: a.links, Find: a.find, BulkMails: a.plans.BulkMails, Key: a.cfg.Secret(), Now: time.Now}
	a.archive = &archive.Service{DB: a.db, Platform: a.platform, Files: a.files, Links: a.links, Packs: a.packs, Operators: a.operators, Rebuild: search.TaskRebuild, Begin: a.plans.Begin, Now: time.Now}
	a.privacy = &privacy.Service{DB: a.db, Platform: a.platform, People: a.people, Archive: a.archive, Candidates: a.candidates, Listings: a.listings, Links: a.links, Key: a.cfg.Secret(), Now: time.Now}
	a.redirects, a.hits = &redirects.Store{Now: time.Now}, &redirects.Hits{Platform: a.platform, Log: a.log}
	a.access = &access.Service{DB: a.db, Links: a.links, Key: a.cfg.Secret(), Now: time.Now, HTTP: domains.PublicClient()}
	a.dns = dns.New(a.cfg.DNSServers)
	if err := a.mailParts(); err != nil {
		return err
	}
	if a.certs, err = a.newCerts(); err != nil {
		return err
	}
	if a.domains, err = a.newDomains(); err != nil {
		return err
	}
	a.launcher = &platform.Launcher{Platform: a.platform, Operators: a.operators, Notifier: a.notifier, Links: a.links, Plans: a.plans, Order: a.certs.OrderBoard}
	return nil
}

// operatorFactors are the operators' ways to prove who they are besides mail and
// password.
func (a *app) operatorFactors() error {
	if a.cfg.OIDCIssuer != "" {
		a.operators.UseOIDC(accounts.OIDC{Issuer: a.cfg.OIDCIssuer, ClientID: a.cfg.OIDCClientID, ClientSecret: a.cfg.OIDCClientSecret, Name: a.cfg.OIDCName,
			HTTP: &http.Client{Timeout: 10 * time.Second}})
	}
	secret := a.cfg.Secret()
	if len(secret) == 0 {
		return nil // commands that show no page
	}
	sealer, err := seal.New("shingle second factors", secret)
	if err != nil {
		return err
	}
	return a.operators.UseFactors(sealer)
}

func (a *app) newDomains() (*domains.Service, error) {
	s := &domains.Service{DB: a.db, Platform: a.platform, Notifier: a.notifier, Links: a.links, DNS: a.dns.Fresh(), EdgeHost: a.cfg.EdgeHost, FilesHost: a.cfg.FilesHost,
		Probe: domains.NewProbe(a.cfg.Secret()), ProbeBase: domains.NewBaseProbe(a.cfg.Secret()), Now: time.Now}
	for _, r := range a.dns.Each() {
		s.Resolvers = append(s.Resolvers, r)
	}
	for _, text := range a.cfg.EdgeAddresses {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return nil, errors.New("SHINGLE_EDGE_ADDRESSES holds something that is not an IP address")
		}
		s.EdgeAddresses = append(s.EdgeAddresses, ip.Unmap())
	}
	if a.certs.On() {
		s.CAs = a.certs.Identities
		s.Verified, s.Removed = a.certs.Order, a.certs.Drop
		s.Bring = func(ctx context.Context, tx bun.IDB, host, chain, key string) error {
			return a.certs.Bring(ctx, tx, host, []byte(chain), []byte(key))
		}
		s.Certificates = a.certificates
		a.certs.StillProven = func(ctx context.Context, host string) error {
			if err := s.MayOrder(ctx, host); !fault.Is(err, fault.NotFound) {
				return err
			}
			return nil // an address of the platform's: nobody has to prove it
		}
	}
	return s, nil
}

// certificates is what the pages of a board's hosts show of their certificates.
func (a *app) certificates(ctx context.Context, hosts ...string) map[string]domains.CertState {
	out := map[string]domains.CertState{}
	list, err := a.certs.Status(ctx, hosts...)
	if err != nil {
		a.log.Warn("reading certificates", "error", err)
	}
	for _, st := range list {
		out[st.Host] = domains.CertState{State: string(st.State), Issuer: st.Issuer, NotAfter: st.NotAfter, Error: st.Error}
	}
	return out
}

// mailParts are whose name mail carries and what comes back.
func (a *app) mailParts() error {
	secret := a.cfg.Secret()
	if len(secret) == 0 {
		return nil // commands that send no mail and show no console
	}
	sealer, err := seal.New("shingle mail keys", secret)
	if err != nil {
		return err
	}
	_, own, _ := strings.Cut(a.cfg.MailFrom, "@")
	a.identities = &mail.Identities{DB: a.db, Platform: a.platform, DNS: a.dns.Fresh(), Sealer: sealer, SPF: a.cfg.MailSPF, ReturnDomain: a.cfg.MailReturnDomain,
		Reserved: []string{a.cfg.PlatformHost, a.cfg.BoardDomain, own}, Now: time.Now}
	a.returns = &mail.Returns{Platform: a.platform, Refs: mail.Refs{Key: secret}, Now: time.Now}
	a.sender = &mail.Sender{DB: a.db, Platform: a.platform, From: a.cfg.MailFrom, PlatformName: "Shingle", Brand: a.brand,
		Identities: a.identities, Refs: mail.Refs{Key: secret}, ReturnDomain: a.cfg.MailReturnDomain}
	return a.sender.Load()
}

func (a *app) newSearch() (*search.Service, error) {
	opts := search.Options{DB: a.db, Platform: a.platform, Local: postgres.New(a.db), Log: a.log}
	if a.cfg.TypesenseURL != "" {
		sealer, err := typesense.NewSealer(a.cfg.Secret())
		if err != nil {
			return nil, err
		}
		opts.Remote = typesense.New(typesense.Options{URL: a.cfg.TypesenseURL, Key: a.cfg.TypesenseKey, DB: a.db, Sealer: sealer})
	}
	return search.NewService(opts), nil
}

// find answers an alert: what was published since, newest first.
func (a *app) find(ctx context.Context, query url.Values, since time.Time) ([]listings.Card, error) {
	q := search.ParseQuery(query)
	q.Since, q.Sort, q.PerPage = since, search.SortRecent, 50
	found, err := a.search.Search(ctx, q)
	if err != nil {
		return nil, err
	}
	ids := hitIDs(found)
	var cards []listings.Card
	err = a.db.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		cards, err = a.listings.ByIDs(ctx, tx, ids)
		return err
	})
	return cards, err
}

// registerTasks gives every kind its handler and keeps the schedules.
func (a *app) registerTasks(ctx context.Context) error {
	transport, err := mail.NewSMTP(a.cfg.SMTPURL)
	if err != nil {
		return err
	}
	a.sender.Transport = tracedMail{transport}
	a.runner.Trace(a.tracing)
	figures := newTaskFigures(a.platform)
	a.runner.Observe(figures.observe)
	a.registry.MustRegister(figures)
	jobs := &listings.Worker{Store: a.listings, DB: a.db, Platform: a.platform, Bucket: a.files, BulkMails: a.plans.BulkMails}
	jobs.Register(a.mux)
	a.sender.Register(a.mux)
	a.identities.Register(a.mux)
	a.returns.Register(a.mux)
	a.sweeper.Register(a.mux)
	a.operators.Register(a.mux)
	counts := &staff.Summaries{Platform: a.platform}
	counts.Register(a.mux)
	a.search.Register(a.mux)
	a.billing.Register(a.mux)
	a.candidates.Register(a.mux)
	a.plans.Register(a.mux)
	a.domains.Register(a.mux)
	a.certs.Register(a.mux)
	sealer := &chain.Sealer{Platform: a.platform, Log: a.log}
	sealer.Register(a.mux)
	a.archive.Register(a.mux)
	a.privacy.Register(a.mux)
	return errors.Join(sealer.Schedule(ctx), a.certs.Schedule(ctx), a.domains.Schedule(ctx), jobs.Schedule(ctx), a.identities.Schedule(ctx), a.sweeper.Schedule(ctx), counts.Schedule(ctx), a.search.Schedule(ctx), a.billing.Schedule(ctx), a.candidates.Schedule(ctx), a.plans.Schedule(ctx), a.archive.Schedule(ctx), a.privacy.Schedule(ctx))
}

// brand is a board's colours for its mails.
func (a *app) brand(ctx context.Context, t *tenant.Tenant) mail.Brand {
	look, err := a.looks.Of(ctx, t)
	if err != nil {
		return mail.Brand{}
	}
	accent, on := look.Accent()
	return mail.Brand{Accent: accent, AccentText: on, DarkAccent: look.DarkAccent()}
}

// together runs parts until ctx ends or one fails, and waits for all.
func together(ctx context.Context, parts ...func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, len(parts))
	for i, part := range parts {
		wg.Go(func() {
			if errs[i] = part(ctx); errs[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// background keeps the process's view of boards true.
func (a *app) background(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { a.notifier.Run(ctx) })
	wg.Go(func() { a.boards.Run(ctx) })
	wg.Go(func() { a.hits.Run(ctx) })
	wg.Go(func() { a.meter.Run(ctx) })
	wg.Wait()
	return nil
}

// work runs tasks until ctx ends.
func (a *app) work(ctx context.Context) error { return a.runner.Run(ctx, a.cfg.Concurrency) }

func (a *app) close() {
	if a.certs != nil {
		a.certs.Close()
	}
	_ = a.files.Close()
	if a.redis != nil {
		_ = a.redis.Close()
	}
	_ = a.appPool.Close()
	_ = a.platformPool.Close()
	a.tracing.Close()
	a.reports.Close()
}

// open reads the settings of a command and builds the app.
func open(ctx context.Context, mode string) (*app, error) {
	cfg, err := load(mode)
	if err != nil {
		return nil, err
	}
	return build(ctx, cfg, newLogger(os.Stderr, nil), time.Now)
}

// plainError is an error for the terminal: field texts name what to change.
func plainError(err error) error {
	if err == nil {
		return nil
	}
	if f := fault.FieldsOf(err); len(f) > 0 {
		return errors.New(explain(f))
	}
	return err
}

func stderr(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
