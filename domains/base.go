package domains

import (
	"context"
	"net/url"
	"regexp"
	"strings"

	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tenant"
)

var basePath = regexp.MustCompile(`^(/[a-z0-9][a-z0-9-]*){1,4}$`)

// ParseBase reads where on the owner's site a board is to live, e.g.
// "https://www.acme.com/careers"; nil for nothing. Kind: fault.Invalid, field "base".
func (s *Service) ParseBase(t *tenant.Tenant, typed string) (*tenant.Base, error) {
	typed = strings.TrimSpace(typed)
	if typed == "" {
		return nil, nil
	}
	refuse := func(key string) (*tenant.Base, error) { return nil, fault.Invalids(fault.Fields{"base": key}) }
	u, err := url.Parse(typed)
	if err != nil || u.Scheme != "https" && !(u.Scheme == "http" && !s.Links.Secure()) || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return refuse("domain.base.form")
	}
	name, err := ParseName(u.Hostname())
	if err != nil || s.refused(t, name.ASCII) {
		return refuse("domain.base.host")
	}
	path := strings.TrimSuffix(u.Path, "/")
	if !basePath.MatchString(path) {
		return refuse("domain.base.path")
	}
	origin := u.Scheme + "://" + name.ASCII
	if p := u.Port(); p != "" {
		origin += ":" + p
	}
	return &tenant.Base{Origin: origin, Path: path}, nil
}

// SaveBase keeps where the board is to live, in the board's own transaction. It
// is not used for links before CheckBase has seen a request come through.
func (s *Service) SaveBase(ctx context.Context, tx bun.IDB, b *tenant.Base) error {
	t := tenant.From(ctx)
	if b != nil && t.Base != nil && b.Origin == t.Base.Origin && b.Path == t.Base.Path {
		return nil
	}
	return saveBase(ctx, tx, b)
}

func saveBase(ctx context.Context, tx bun.IDB, b *tenant.Base) error {
	q, args := `UPDATE boards SET settings = coalesce(settings, '{}'::jsonb) - 'base' WHERE id = ?`, []any{tenant.From(ctx).ID}
	if b != nil {
		q = `UPDATE boards SET settings = coalesce(settings, '{}'::jsonb) || jsonb_build_object('base', ?::jsonb) WHERE id = ?`
		args = []any{asJSON(b), tenant.From(ctx).ID}
	}
	res, err := tx.NewRaw(q, args...).Exec(ctx)
	if err := tenant.Touched(res, err, "board"); err != nil {
		return err
	}
	tenant.Changed(ctx)
	return nil
}

// CheckBase asks the owner's site whether requests come through, and lets links
// lead there when they do. It opens a transaction. Kinds: fault.Conflict when
// they do not, fault.NotFound without a base.
func (s *Service) CheckBase(ctx context.Context) error {
	t := tenant.From(ctx)
	if t.Base == nil {
		return fault.New(fault.NotFound, "no base path")
	}
	through := false
	for _, host := range []string{t.PlatformHost, t.CanonicalHost} {
		through = through || s.ProbeBase != nil && s.ProbeBase(ctx, t.Base.Origin+t.Base.Path, host) == nil
	}
	if !through {
		return &fault.Error{Kind: fault.Conflict, Text: "domain.base.not_through", Fields: fault.Fields{"base": "domain.base.not_through"}}
	}
	b := *t.Base
	b.Active = true
	return s.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) error { return saveBase(ctx, tx, &b) })
}
