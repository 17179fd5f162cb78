package main

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"shingle/billing/plans"
	"shingle/search"
	"shingle/themes"
	"shingle/web"
	"shingle/web/admin"
	"shingle/web/api"
	"shingle/web/console"
	"shingle/web/employer"
	"shingle/web/hooks"
	"shingle/web/platform"
	"shingle/web/proof"
	"shingle/web/site"
	"shingle/web/staff"
)

func serveCmd() *cobra.Command {
	return &cobra.Command{
		Use: "serve", Short: "Answer requests (one of production's two processes)", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			a, err := openProcess(ctx, "serve")
			if err != nil {
				return err
			}
			defer a.close()
			h, err := a.handler(nil)
			if err != nil {
				return err
			}
			d := &drain{delay: a.cfg.DrainDelay}
			listeners, err := a.listeners(ctx, d.handler(h))
			if err != nil {
				return err
			}
			return together(d.after(ctx), append(listeners, a.background,
				func(ctx context.Context) error {
					return listenAndServe(ctx, "SHINGLE_OPS_LISTEN", a.cfg.OpsListen, opsHandler(a.registry, d.ready(a.ready)))
				})...)
		},
	}
}

func workerCmd() *cobra.Command {
	return &cobra.Command{
		Use: "worker", Short: "Do the work that requests leave behind (the other process)", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			a, err := openProcess(ctx, "worker")
			if err != nil {
				return err
			}
			defer a.close()
			if err := a.registerTasks(ctx); err != nil {
				return err
			}
			return together(ctx, a.background, a.work, func(ctx context.Context) error {
				return listenAndServe(ctx, "SHINGLE_OPS_LISTEN", a.cfg.OpsListen, opsHandler(a.registry, a.ready))
			})
		},
	}
}

// ready answers whether requests can be served now.
func (a *app) ready(ctx context.Context) error { return ping(ctx, a.appPool) }

// formTargets are Stripe's pages, which a form's redirect may lead to.
const stripeTargets = "https://checkout.stripe.com https://connect.stripe.com https://dashboard.stripe.com https://billing.stripe.com"

// handler puts the audiences together. dev adds what only a developer's machine has.
func (a *app) handler(dev *devLinks) (http.Handler, error) {
	assets, err := console.LoadAssets()
	if err != nil {
		return nil, err
	}
	cache, err := themes.NewCache(a.cfg.CacheBytes, time.Now)
	if err != nil {
		return nil, err
	}
	key := a.cfg.Secret()
	proofs, err := proof.New(key, a.db, a.limits, a.links, time.Now)
	if err != nil {
		return nil, err
	}
	pages := &site.Site{DB: a.db, Links: a.links, Listings: a.listings, Search: a.search, Candidates: a.candidates, Packs: a.packs, Looks: a.looks,
		Cache: cache, Files: a.files, Access: a.access, Privacy: a.privacy, Limits: a.limits, Proof: proofs, Meter: a.meter, Now: time.Now, CacheOn: a.cfg.PageCache}
	parts := web.Parts{Boards: a.boards, Site: pages, Assets: assets, Log: a.log, Registry: a.registry, Tracing: a.tracing, PlatformHosts: []string{a.cfg.PlatformHost},
		FormTargets: stripeTargets, SignIn: a.consoleTargets(), BoardTargets: a.links.Scheme + "://*." + a.cfg.BoardDomain + a.links.Port, TrustedProxies: a.cfg.TrustedProxies,
		ProbeKey: key, Redirects: a.redirects, Hits: a.hits,
		Employer: &employer.Employer{DB: a.db, Links: a.links, Site: pages, Listings: a.listings, Billing: a.billing, Plans: a.plans, Candidates: a.candidates, People: a.people, Limits: a.limits, Key: key, Now: time.Now},
		Admin: &admin.Admin{DB: a.db, Archive: a.archive, Privacy: a.privacy, Platform: a.platform, Boards: a.boards, Notifier: a.notifier, Links: a.links, Site: pages, Listings: a.listings, Billing: a.billing,
			Candidates: a.candidates, Limits: a.limits, Domains: a.domains, Redirects: a.redirects, Access: a.access, Operators: a.operators, Gate: a.gate, Packs: a.packs, Looks: a.looks, Files: a.files, Mail: a.identities, Letters: a.sender, Plans: a.plans, MailFrom: a.cfg.MailFrom, Now: time.Now},
		Platform: &platform.Platform{Proof: proofs, Platform: a.platform, Operators: a.operators, Gate: a.gate, Links: a.links, Launcher: a.launcher, Plans: a.plans},
		API:      &api.API{DB: a.db, Links: a.links, Listings: a.listings, Search: a.search, Site: pages, Limits: a.limits, Meter: a.meter, Calls: plans.NewCalls(a.plans), Log: a.log, Now: time.Now},
		Hooks:    &hooks.Hooks{Limits: a.limits, Inbox: a.billing, Returns: a.returns, ReturnSecret: a.cfg.MailReturnSecret},
	}
	parts.Staff = &staff.Staff{Limits: a.limits, Platform: a.platform, Boards: a.boards, Notifier: a.notifier, Domains: a.domains, Plans: a.plans, Links: a.links, Launch: a.launcher.Launch, Release: a.billing.Release, Allowed: parts.Platform.Allowed, Permissions: parts.Platform.Permissions, Operators: a.operators}
	parts.Staff.Session, parts.Staff.Release = platform.Session, a.billing.Replay
	if a.cfg.FilesHost != "" {
		parts.FilesHost = a.cfg.FilesHost
		parts.FilesOrigin = strings.TrimSuffix(a.links.Host(a.cfg.FilesHost, ""), "/")
		pages.FilesOrigin = parts.FilesOrigin
	}
	if dev != nil {
		parts.PlatformHosts = append(parts.PlatformHosts, "localhost", "127.0.0.1")
		parts.FormTargets += " " + dev.stripe
		parts.Platform.Dev = dev.links
	}
	// Words and templates of the audiences, side by side: nobody answers before all are read.
	var loads errgroup.Group
	for _, load := range []func() error{pages.Load, parts.API.Load, func() error { return parts.Employer.Load(assets) }, func() error { return parts.Admin.Load(assets) },
		func() error { return parts.Platform.Load(assets) }, func() error { return parts.Staff.Load(assets) }} {
		loads.Go(load)
	}
	if err := loads.Wait(); err != nil {
		return nil, err
	}
	a.registry.MustRegister(a.search.Metrics())
	return web.New(parts)
}

// consoleTargets lets a console's form answer with a redirect to the platform's
// host, for an operator whose session has ended.
func (a *app) consoleTargets() string {
	return a.links.Scheme + "://" + a.cfg.PlatformHost + a.links.Port
}

func hitIDs(r *search.Result) []uuid.UUID {
	ids := make([]uuid.UUID, len(r.Hits))
	for i, h := range r.Hits {
		ids[i] = h.ListingID
	}
	return ids
}
