// Package redirects owns a board's old addresses: where each one leads now. It
// never answers for a page that exists. Start at Redirect and Store, then plan.go
// for how loops are refused and chains shortened.
package redirects

import (
	"context"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/pg"
	"shingle/tenant"
)

// Limits of a board's map and of one address in it.
const (
	Max    = 20_000
	maxLen = 1_000
)

// Redirect is one old address. Source is a path; a wildcard stands for all that
// begins with it, and a "*" at the end of its target for the rest of the path.
type Redirect struct {
	bun.BaseModel `bun:"table:redirects,alias:r"`
	tenant.Scoped
	ID        uuid.UUID  `bun:"id,pk,type:uuid"`
	Source    string     `bun:"source"`
	Wildcard  bool       `bun:"wildcard"`
	Target    string     `bun:"target"`
	Status    int        `bun:"status"`
	CreatedBy *uuid.UUID `bun:"created_by,type:uuid"`
	CreatedAt time.Time  `bun:"created_at"`
	UpdatedAt time.Time  `bun:"updated_at"`
	DeletedAt *time.Time `bun:"deleted_at"`
	Hits      int64      `bun:"hits"`
	HitAt     *time.Time `bun:"hit_at"`
}

// From is the source as people write it, with its wildcard.
func (r *Redirect) From() string {
	if r.Wildcard {
		return r.Source + "*"
	}
	return r.Source
}

// Gone reports an address that leads nowhere on purpose.
func (r *Redirect) Gone() bool { return r.Status == http.StatusGone }

// External reports a target on another site.
func (r *Redirect) External() bool { return r.Target != "" && !strings.HasPrefix(r.Target, "/") }

// Store reads and changes redirects; the board is always the context's.
type Store struct{ Now func() time.Time }

// reserved paths are answered before any redirect could be.
var reserved = []string{"/admin", "/assets", "/api", "/files", "/x", "/sign-in", "/.well-known"}

// standing pages exist on every board: a redirect of one would never be used.
var standing = []string{"/jobs", "/companies", "/employers", "/post", "/feed.rss", "/feed.json", "/sitemap.xml", "/robots.txt", "/suggest", "/alerts", "/favicon.ico", "/enter"}

// Parse reads a line as people write it. hosts are the board's own: their URLs
// become paths. Kind: fault.Invalid by field (source, target, status).
func Parse(source, target string, status int, hosts []string) (*Redirect, error) {
	bad := fault.Fields{}
	r := &Redirect{Status: status}
	if r.Status == 0 {
		r.Status = http.StatusMovedPermanently
	}
	source, r.Wildcard = strings.CutSuffix(strings.TrimSpace(source), "*")
	switch p, ok := ownPath(source, hosts); {
	case source == "" && !r.Wildcard:
		bad["source"] = "redirect.source.required"
	case !ok || strings.ContainsAny(p, "*?#") || len(p) > maxLen:
		bad["source"] = "redirect.source.form"
	case p == "/" || slices.ContainsFunc(reserved, func(own string) bool { return p == own || strings.HasPrefix(p, own+"/") }):
		bad["source"] = "redirect.source.reserved|" + p
	case !r.Wildcard && slices.Contains(standing, p):
		bad["source"] = "redirect.source.page|" + p
	default:
		r.Source = p
	}
	target = strings.TrimSpace(target)
	switch {
	case !slices.Contains([]int{http.StatusMovedPermanently, http.StatusFound, http.StatusGone}, r.Status):
		bad["status"] = "redirect.status.unknown"
	case r.Gone():
		if target != "" {
			bad["target"] = "redirect.target.gone"
		}
	case target == "":
		bad["target"] = "redirect.target.required"
	default:
		if r.Target = cleanTarget(target, r.Wildcard, hosts); r.Target == "" || len(r.Target) > maxLen {
			bad["target"] = "redirect.target.form"
		}
	}
	return r, fault.Invalids(bad)
}

// ownPath is the path of a source: a path, or a URL on one of the hosts.
func ownPath(source string, hosts []string) (string, bool) {
	if strings.Contains(source, "://") {
		u, err := url.Parse(source)
		if err != nil || !slices.Contains(hosts, strings.ToLower(u.Hostname())) || u.RawQuery != "" {
			return "", false
		}
		source = u.Path
	}
	if !strings.HasPrefix(source, "/") || strings.HasPrefix(source, "//") {
		return "", false
	}
	return Clean(source), true
}

// Clean is a request's path as sources are stored: unescaped, without doubled
// slashes and without one at the end.
func Clean(p string) string {
	if u, err := url.PathUnescape(p); err == nil && strings.ContainsRune(p, '%') {
		p = u
	}
	if strings.ContainsFunc(p, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '\\' }) {
		return "/"
	}
	return path.Clean("/" + p)
}

// cleanTarget is a path of the board or an absolute https URL; "" for others.
func cleanTarget(target string, wildcard bool, hosts []string) string {
	rest := strings.HasSuffix(target, "*")
	if rest && !wildcard || strings.Count(target, "*") > 1 || strings.ContainsAny(target, "\\ \t\r\n\"<>") {
		return ""
	}
	if strings.Contains(target, "*") && !rest {
		return ""
	}
	u, err := url.Parse(target)
	if err != nil || u.User != nil || u.Opaque != "" {
		return ""
	}
	switch {
	case u.Scheme == "" && u.Host == "" && strings.HasPrefix(target, "/"):
		return target
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return ""
	case slices.Contains(hosts, strings.ToLower(u.Hostname())):
		if u.Path == "" {
			u.Path = "/"
		}
		u.Scheme, u.Host = "", ""
		return u.String()
	case u.Scheme != "https":
		return ""
	}
	return target
}

// Find is the redirect of a path: an exact one before the longest wildcard.
// Kind: fault.NotFound.
func (s *Store) Find(ctx context.Context, tx bun.IDB, requested string) (*Redirect, error) {
	p := Clean(requested)
	if len(p) > maxLen || p == "/" {
		return nil, fault.New(fault.NotFound, "no redirect")
	}
	// A wildcard's source is a prefix of the path: all prefixes are asked for by
	// equality, which the index answers behind the wall.
	prefixes := []string{p}
	for i := 1; i < len(p) && len(prefixes) < 200; i++ {
		prefixes = append(prefixes, p[:i])
	}
	r := new(Redirect)
	err := tenant.One(ctx, tx.NewSelect().Model(r).Where("r.deleted_at IS NULL").
		Where("(r.source = ? AND NOT r.wildcard OR r.source IN (?) AND r.wildcard)", p, bun.In(prefixes)).
		OrderExpr("r.wildcard, length(r.source) DESC").Limit(1), "redirect")
	return r, err
}

// Leads is where a request goes: the target with the rest of the path and the
// request's query, unless the target has a query of its own.
func (r *Redirect) Leads(requested, query string) string {
	target := r.Target
	if before, rest := strings.CutSuffix(target, "*"); rest {
		tail := (&url.URL{Path: strings.TrimPrefix(Clean(requested), r.Source)}).EscapedPath()
		if strings.HasSuffix(before, "/") {
			tail = strings.TrimPrefix(tail, "/")
		}
		target = before + tail
		// "/*" to "/*" must never become "//host".
		for strings.HasPrefix(target, "//") {
			target = target[1:]
		}
	}
	if query != "" && !strings.ContainsAny(target, "?#") {
		target += "?" + query
	}
	return target
}

// List reads redirects that hold text, the newest first, and how many there are.
func (s *Store) List(ctx context.Context, tx bun.IDB, text string, page, size int) ([]Redirect, int, error) {
	var out []Redirect
	like := "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(strings.TrimSpace(text)) + "%"
	where := func(q *bun.SelectQuery) *bun.SelectQuery {
		q = q.Where("r.deleted_at IS NULL")
		if like != "%%" {
			q = q.Where("(r.source ILIKE ? OR r.target ILIKE ?)", like, like)
		}
		return q
	}
	err := where(tx.NewSelect().Model(&out)).Order("r.created_at DESC", "r.id").Limit(int64(size)).Offset(int64((page - 1) * size)).Scan(ctx)
	if err != nil {
		return nil, 0, err
	}
	n, err := tenant.Count(ctx, where(tx.NewSelect().Model((*Redirect)(nil))))
	return out, n, err
}

// ByID reads one. Kind: fault.NotFound.
func (s *Store) ByID(ctx context.Context, tx bun.IDB, id uuid.UUID) (*Redirect, error) {
	r := new(Redirect)
	return r, tenant.One(ctx, tx.NewSelect().Model(r).Where("r.id = ?", id).Where("r.deleted_at IS NULL"), "redirect")
}

// Save adds a redirect, or changes the one of its ID, with the board's other
// redirects straightened: see Plan. Kinds: fault.Invalid by field,
// fault.NotFound.
func (s *Store) Save(ctx context.Context, tx bun.IDB, r *Redirect) error {
	known, err := s.all(ctx, tx)
	if err != nil {
		return err
	}
	isNew := r.ID == uuid.Nil
	if isNew && len(known) >= Max {
		return fault.Invalids(fault.Fields{"source": "redirect.many"})
	}
	if !isNew {
		if _, err := s.ByID(ctx, tx, r.ID); err != nil {
			return err
		}
		known = slices.DeleteFunc(known, func(k *Redirect) bool { return k.ID == r.ID })
	}
	p := newPlan(known)
	if key := p.add(r); key != "" {
		return fault.Invalids(fault.Fields{"source": key})
	}
	p.settle()
	if isNew {
		err = s.insert(ctx, tx, []*Redirect{r})
	} else {
		r.UpdatedAt = s.Now()
		res, uerr := tx.NewUpdate().Model((*Redirect)(nil)).Set("source = ?, wildcard = ?, target = ?, status = ?, updated_at = ?", r.Source, r.Wildcard, r.Target, r.Status, r.UpdatedAt).
			Where("r.id = ?", r.ID).Exec(ctx)
		err = tenant.Touched(res, uerr, "redirect")
	}
	if pg.Unique(err, "redirects_source") {
		return fault.Invalids(fault.Fields{"source": "redirect.source.taken|" + r.From()})
	}
	if err != nil {
		return err
	}
	tenant.Changed(ctx)
	return s.straighten(ctx, tx, p)
}

// all reads the board's redirects and keeps others from changing them meanwhile.
func (s *Store) all(ctx context.Context, tx bun.IDB) ([]*Redirect, error) {
	if _, err := tx.NewRaw(`SELECT pg_advisory_xact_lock(hashtextextended('shingle redirects ' || ?, 0))`, tenant.From(ctx).ID.String()).Exec(ctx); err != nil {
		return nil, err
	}
	var out []*Redirect
	return out, tx.NewSelect().Model(&out).Where("r.deleted_at IS NULL").Scan(ctx)
}

func (s *Store) insert(ctx context.Context, tx bun.IDB, list []*Redirect) error {
	now, by := s.Now(), tenant.ActorFrom(ctx).NullID()
	for chunk := range slices.Chunk(list, 500) {
		for _, r := range chunk {
			r.ID, r.CreatedAt, r.UpdatedAt, r.CreatedBy = tenant.NewRowID(), now, now, by
		}
		if _, err := tx.NewInsert().Model(&chunk).Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}

// straighten writes the targets that a plan shortened.
func (s *Store) straighten(ctx context.Context, tx bun.IDB, p *plan) error {
	for _, r := range p.changed {
		if r.ID == uuid.Nil {
			continue
		}
		_, err := tx.NewUpdate().Model((*Redirect)(nil)).Set("target = ?", r.Target).Set("updated_at = ?", s.Now()).Where("r.id = ?", r.ID).Exec(ctx)
		if err != nil {
			return err
		}
	}
	return nil
}

// Delete takes a redirect away; Restore brings it back. Kind: fault.NotFound.
func (s *Store) Delete(ctx context.Context, tx bun.IDB, id uuid.UUID) error {
	res, err := tx.NewUpdate().Model((*Redirect)(nil)).Set("deleted_at = ?", s.Now()).Where("r.id = ?", id).Where("r.deleted_at IS NULL").Exec(ctx)
	if err := tenant.Touched(res, err, "redirect"); err != nil {
		return err
	}
	tenant.Changed(ctx)
	return nil
}

// Restore undoes Delete, unless its address has another redirect by now or it
// would lead in a circle. Kinds: fault.NotFound, fault.Conflict.
func (s *Store) Restore(ctx context.Context, tx bun.IDB, id uuid.UUID) error {
	known, err := s.all(ctx, tx)
	if err != nil {
		return err
	}
	r := new(Redirect)
	if err := tenant.One(ctx, tx.NewSelect().Model(r).Where("r.id = ?", id).Where("r.deleted_at IS NOT NULL"), "redirect"); err != nil {
		return err
	}
	p := newPlan(known)
	if key := p.add(r); key != "" {
		return fault.New(fault.Conflict, "%s", key)
	}
	p.settle()
	if _, err := tx.NewUpdate().Model((*Redirect)(nil)).Set("deleted_at = NULL").Set("target = ?", r.Target).Where("r.id = ?", id).Exec(ctx); err != nil {
		return err
	}
	tenant.Changed(ctx)
	return s.straighten(ctx, tx, p)
}
