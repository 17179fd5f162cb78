package admin

import (
	"context"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/billing"
	"shingle/internal/fault"
	"shingle/tenant"
)

// launchSteps is what a board has of what it needs, read from its own rows.
type launchSteps struct {
	Logo      bool `bun:"logo"`
	Look      bool `bun:"look"`
	Privacy   bool `bun:"privacy"`
	Terms     bool `bun:"terms"`
	Impressum bool `bun:"impressum"`
	Published bool `bun:"published"`
	Product   bool `bun:"product"`
	Domain    bool `bun:"domain"`
	Mail      bool `bun:"mail"`
	Dismissed bool `bun:"dismissed"`
}

func readLaunchSteps(ctx context.Context, tx bun.IDB) (*launchSteps, error) {
	id := tenant.From(ctx).ID
	s := new(launchSteps)
	err := tx.NewRaw(`SELECT EXISTS (SELECT FROM looks WHERE tenant_id = ? AND state = 'published') AS look,
		EXISTS (SELECT FROM looks WHERE tenant_id = ? AND state = 'published' AND coalesce(look->>'logo_key', '') <> '') AS logo,
		EXISTS (SELECT FROM pages WHERE tenant_id = ? AND current AND published AND kind = 'privacy') AS privacy,
		EXISTS (SELECT FROM pages WHERE tenant_id = ? AND current AND published AND kind = 'terms') AS terms,
		EXISTS (SELECT FROM pages WHERE tenant_id = ? AND current AND published AND kind = 'impressum') AS impressum,
		EXISTS (SELECT FROM listings WHERE tenant_id = ? AND published_at IS NOT NULL) AS published,
		EXISTS (SELECT FROM products WHERE tenant_id = ? AND active) AS product,
		EXISTS (SELECT FROM hosts WHERE board_id = ? AND kind = 'custom' AND verified_at IS NOT NULL) AS domain,
		EXISTS (SELECT FROM mail_identities WHERE tenant_id = ? AND state = 'verified') AS mail,
		EXISTS (SELECT FROM launch_checklists WHERE tenant_id = ?) AS dismissed`,
		id, id, id, id, id, id, id, id, id, id).Scan(ctx, s)
	return s, err
}

// step is one line of the launch checklist.
type step struct {
	Key, Title, Text, URL, Do string
	Done                      bool
	// Optional steps count, but the list is complete without them.
	Optional bool
}

// launchList is the checklist with its score.
type launchList struct {
	Steps         []step
	Done, Percent int
	// Ready: nothing that a board needs is missing.
	Ready bool
}

// checklist leads a new board to its first live listing. Nothing is ticked by
// hand: each step asks the board's rows.
func (a *Admin) checklist(c *gin.Context, s *launchSteps, paid bool, sell billing.Sell) launchList {
	l := launchList{Ready: true}
	for _, x := range []struct {
		key, url       string
		done, optional bool
		object, action string
	}{
		{"logo", "/admin/look", s.Logo, false, "look", "write"},
		{"colors", "/admin/look", s.Look, false, "look", "write"},
		{"product", "/admin/products", s.Product, false, "product", "write"},
		{"stripe", "/admin/payouts", sell.OK, false, "payout", "onboard"},
		{"legal", "/admin/pages", s.Privacy && s.Terms && (s.Impressum || tenant.From(c.Request.Context()).Locale != "de"), false, "page", "write"},
		{"listing", "/admin/listings/new", s.Published, false, "listing", "write"},
		{"domain", "/admin/domains", s.Domain, true, "domain", "write"},
		{"mail", "/admin/mail", s.Mail, true, "mail", "write"},
	} {
		if x.key == "stripe" && !paid {
			continue // a board of free postings needs no account
		}
		st := step{Key: x.key, Title: a.t(c, "work.launch."+x.key), Text: a.t(c, "work.launch."+x.key+"_text"), Do: a.t(c, "work.launch."+x.key+"_do"),
			Done: x.done, Optional: x.optional}
		if a.may(c, x.object, x.action) {
			st.URL = x.url
		}
		if x.done {
			l.Done++
		} else if !x.optional {
			l.Ready = false
		}
		l.Steps = append(l.Steps, st)
	}
	l.Percent = 100 * l.Done / len(l.Steps)
	return l
}

// dismissLaunch puts the checklist away for the whole team, once nothing that
// the board needs is missing.
func (a *Admin) dismissLaunch(c *gin.Context) error {
	err := a.act(c, authz.Act{Act: "launch.dismissed", ObjectKind: "board", ObjectID: tenant.From(c.Request.Context()).ID.String()}, func(ctx context.Context, tx bun.IDB) error {
		s, err := readLaunchSteps(ctx, tx)
		if err != nil {
			return err
		}
		f, err := readFigures(ctx, tx, a.Now())
		if err != nil {
			return err
		}
		sell, err := a.Billing.CanSell(ctx, tx)
		if err != nil {
			return err
		}
		if !a.checklist(c, s, f.PaidProducts > 0, sell).Ready {
			return fault.New(fault.Conflict, "work.launch.not_yet")
		}
		_, err = tx.NewRaw(`INSERT INTO launch_checklists (tenant_id, dismissed_at) VALUES (?, ?) ON CONFLICT (tenant_id) DO NOTHING`,
			tenant.From(ctx).ID, a.Now()).Exec(ctx)
		return err
	})
	if err != nil {
		return err
	}
	return a.back(c, "/admin", "launch.dismissed")
}
