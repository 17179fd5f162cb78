package listings

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tenant"
)

// cardSelect is the statement behind every list. Raw SQL carries the tenant
// itself; each join names it in both columns.
const cardSelect = `SELECT l.id, l.public_id, l.slug, l.state, l.title, l.employment_type, l.workplace, l.seniority, l.salary_min, l.salary_max,
	l.salary_currency, l.salary_period, l.tags, l.applicant_countries, l.featured, l.published_at, l.ends_at, l.updated_at, l.created_at,
	l.source, l.person_id, l.review_note, l.company_id, c.name AS company_name, c.slug AS company_slug, c.logo_key AS company_logo,
	coalesce(cat.name, '') AS category_name, coalesce(cat.slug, '') AS category_slug, ` + placesOf + ` AS places`

const cardFrom = `
	FROM listings AS l
	JOIN companies AS c ON c.tenant_id = l.tenant_id AND c.id = l.company_id
	LEFT JOIN categories AS cat ON cat.tenant_id = l.tenant_id AND cat.id = l.category_id
	WHERE l.tenant_id = ? `

// isOpen leaves out what has ended and waits for the sweep.
const isOpen = ` AND l.state = 'live' AND (l.ends_at IS NULL OR l.ends_at > ?) `

func (s *Store) cards(ctx context.Context, tx bun.IDB, where string, args ...any) ([]Card, error) {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, err
	}
	cards := []Card{}
	err = tx.NewRaw(cardSelect+cardFrom+where, append([]any{board}, args...)...).Scan(ctx, &cards)
	return cards, err
}

// Front is what a board's home shows.
type Front struct {
	Total      int // live listings
	Featured   []Card
	Latest     []Card
	Categories []Category // with counts
	Companies  []Company  // with most open listings first, with counts
}

// frontFeatured is how many featured listings stand apart on the home.
const frontFeatured = 6

// onFront picks the newest featured listings and the newest of all in one
// statement: planning it costs more than running it.
const onFront = ` AND l.id = ANY (
	ARRAY(SELECT f.id FROM listings AS f WHERE f.tenant_id = ? AND f.state = 'live' AND (f.ends_at IS NULL OR f.ends_at > ?) AND f.featured
		ORDER BY f.featured DESC, f.published_at DESC, f.id LIMIT ?)
	|| ARRAY(SELECT f.id FROM listings AS f WHERE f.tenant_id = ? AND f.state = 'live' AND (f.ends_at IS NULL OR f.ends_at > ?)
		ORDER BY f.published_at DESC, f.id LIMIT ?)) ORDER BY l.published_at DESC, l.id`

// Front reads the home page: up to 6 featured listings, the n latest of the
// rest, categories and companies with their counts.
func (s *Store) Front(ctx context.Context, tx bun.IDB, n int) (*Front, error) {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, err
	}
	now := s.now()
	f := new(Front)
	cards, err := s.cards(ctx, tx, onFront, board, now, frontFeatured, board, now, n+frontFeatured)
	if err != nil {
		return nil, err
	}
	for _, c := range cards {
		switch {
		case c.Featured && len(f.Featured) < frontFeatured:
			f.Featured = append(f.Featured, c)
		case len(f.Latest) < n:
			f.Latest = append(f.Latest, c)
		}
	}
	if f.Categories, f.Total, err = s.categoryCounts(ctx, tx); err != nil {
		return nil, err
	}
	err = tx.NewRaw(`SELECT c.id, c.slug, c.name, c.tagline, c.industry, c.location, c.logo_key, x.live
		FROM (SELECT company_id, count(*) AS live FROM listings WHERE tenant_id = ? AND state = 'live'
			GROUP BY company_id ORDER BY live DESC, company_id LIMIT 12) AS x
		JOIN companies AS c ON c.tenant_id = ? AND c.id = x.company_id ORDER BY x.live DESC, c.name`, board, board).Scan(ctx, &f.Companies)
	return f, err
}

// without drops the cards that are shown elsewhere on the page.
func without(cards, shown []Card, n int) []Card {
	out := cards[:0]
	for _, c := range cards {
		again := false
		for i := range shown {
			again = again || shown[i].ID == c.ID
		}
		if !again && len(out) < n {
			out = append(out, c)
		}
	}
	return out
}

// categoryCounts is the categories with their live listings, and the total of
// all live listings, by one walk over them.
func (s *Store) categoryCounts(ctx context.Context, tx bun.IDB) ([]Category, int, error) {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, 0, err
	}
	var rows []struct {
		Category `bun:",extend"`
		Live     int `bun:"live"`
		Total    int `bun:"total"`
	}
	// What has no category is a row of its own, for the total.
	err = tx.NewRaw(`WITH n AS (SELECT category_id, count(*) AS live FROM listings WHERE tenant_id = ? AND state = 'live' GROUP BY category_id)
		SELECT cat.id, cat.slug, cat.name, cat.position, coalesce(n.live, 0) AS live, coalesce(sum(n.live) OVER (), 0)::bigint AS total
		FROM (SELECT id, slug, name, position FROM categories WHERE tenant_id = ?) AS cat FULL JOIN n ON n.category_id = cat.id
		ORDER BY cat.position, cat.name`, board, board).Scan(ctx, &rows)
	cats, total := make([]Category, 0, len(rows)), 0
	for i := range rows {
		total = rows[i].Total
		if rows[i].ID != uuid.Nil {
			rows[i].Category.Live = rows[i].Live
			cats = append(cats, rows[i].Category)
		}
	}
	return cats, total, err
}

// CategoriesLive lists the categories with the counts of their live listings.
func (s *Store) CategoriesLive(ctx context.Context, tx bun.IDB) ([]Category, error) {
	cats, _, err := s.categoryCounts(ctx, tx)
	return cats, err
}

// Recent is the cards of the n latest live listings.
func (s *Store) Recent(ctx context.Context, tx bun.IDB, n int) ([]Card, error) {
	return s.cards(ctx, tx, isOpen+`ORDER BY l.published_at DESC, l.id LIMIT ?`, s.now(), n)
}

// CountLive counts the board's live listings.
func (s *Store) CountLive(ctx context.Context, tx bun.IDB) (int, error) {
	return tenant.Count(ctx, tx.NewSelect().Model((*Listing)(nil)).Where("l.state = ?", Live))
}

// ByIDs is the cards of search hits, in the order of the ids. What is not live
// any more is left out.
func (s *Store) ByIDs(ctx context.Context, tx bun.IDB, ids []uuid.UUID) ([]Card, error) {
	if len(ids) == 0 {
		return []Card{}, nil
	}
	found, err := s.cards(ctx, tx, `AND l.id IN (?) AND l.state = 'live'`, bun.In(ids))
	if err != nil {
		return nil, err
	}
	at := make(map[uuid.UUID]int, len(found))
	for i := range found {
		at[found[i].ID] = i
	}
	out := make([]Card, 0, len(found))
	for _, id := range ids {
		if i, ok := at[id]; ok {
			out = append(out, found[i])
			delete(at, id)
		}
	}
	return out, nil
}

// Similar is up to n open listings of the same category, else the latest.
func (s *Store) Similar(ctx context.Context, tx bun.IDB, l *Listing, n int) ([]Card, error) {
	now := s.now()
	var out []Card
	if l.CategoryID != nil {
		var err error
		out, err = s.cards(ctx, tx, isOpen+`AND l.category_id = ? AND l.id <> ? ORDER BY l.published_at DESC, l.id LIMIT ?`, now, *l.CategoryID, l.ID, n)
		if err != nil || len(out) == n {
			return out, err
		}
	}
	more, err := s.cards(ctx, tx, isOpen+`AND l.id <> ? ORDER BY l.published_at DESC, l.id LIMIT ?`, now, l.ID, 2*n)
	if err != nil {
		return nil, err
	}
	return append(out, without(more, out, n-len(out))...), nil
}

// CompanyPage is a company by its slug with its open listings, latest first,
// 200 at most. Kind: fault.NotFound, also for a company whose listings have
// never been out: nobody has looked at it yet.
func (s *Store) CompanyPage(ctx context.Context, tx bun.IDB, slug string) (*Company, []Card, error) {
	c, err := s.CompanyBySlug(ctx, tx, slug)
	if err != nil {
		return nil, nil, err
	}
	cards, err := s.cards(ctx, tx, isOpen+`AND l.company_id = ? ORDER BY l.published_at DESC, l.id LIMIT 200`, s.now(), c.ID)
	if c.Live = len(cards); err != nil || c.Live > 0 {
		return c, cards, err
	}
	out, err := tenant.Exists(ctx, tx.NewSelect().Model((*Listing)(nil)).Where("l.company_id = ?", c.ID).Where("l.published_at IS NOT NULL"))
	if err == nil && !out {
		err = fault.New(fault.NotFound, "company not found")
	}
	return c, cards, err
}

// Companies is a page (from 1) of the companies with live listings, by name,
// with counts, and how many there are.
func (s *Store) Companies(ctx context.Context, tx bun.IDB, page, size int) ([]Company, int, error) {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, 0, err
	}
	var rows []struct {
		Company `bun:",extend"`
		Total   int `bun:"total"`
	}
	err = tx.NewRaw(`SELECT c.id, c.slug, c.name, c.website, c.tagline, c.industry, c.size, c.location, c.logo_key, c.updated_at, x.live, count(*) OVER () AS total
		FROM (SELECT company_id, count(*) AS live FROM listings WHERE tenant_id = ? AND state = 'live' GROUP BY company_id) AS x
		JOIN companies AS c ON c.tenant_id = ? AND c.id = x.company_id ORDER BY c.name, c.id LIMIT ? OFFSET ?`,
		board, board, size, (max(page, 1)-1)*size).Scan(ctx, &rows)
	cs, total := make([]Company, len(rows)), 0
	for i := range rows {
		cs[i], total = rows[i].Company, rows[i].Total
	}
	return cs, total, err
}

// SitemapEntry is a line of a sitemap.
type SitemapEntry struct {
	PublicID  string    `bun:"public_id"`
	Slug      string    `bun:"slug"`
	UpdatedAt time.Time `bun:"updated_at"`
}

// Path is the listing's page.
func (e *SitemapEntry) Path() string { return Path(e.Slug, e.PublicID) }

// Sitemap is a stretch of the board's live listings, oldest first, so that a
// part changes only where listings do.
func (s *Store) Sitemap(ctx context.Context, tx bun.IDB, offset, limit int) ([]SitemapEntry, error) {
	var es []SitemapEntry
	err := tx.NewSelect().Model((*Listing)(nil)).Column("l.public_id", "l.slug", "l.updated_at").Where("l.state = ?", Live).
		OrderExpr("l.published_at, l.id DESC").Offset(int64(offset)).Limit(int64(limit)).Scan(ctx, &es)
	return es, err
}

// Feed is the n newest live listings whole, with company, category and places;
// of the given ids alone when there are any.
func (s *Store) Feed(ctx context.Context, tx bun.IDB, n int, ids []uuid.UUID) ([]Listing, error) {
	var ls []Listing
	q := tx.NewSelect().Model(&ls).Where("l.state = ?", Live).OrderExpr("l.published_at DESC, l.id").Limit(int64(n))
	if len(ids) > 0 {
		q = q.Where("l.id IN (?)", bun.In(ids))
	}
	if err := q.Scan(ctx); err != nil {
		return nil, err
	}
	return ls, s.Complete(ctx, tx, ls)
}

// Complete loads company, category and places of many listings in three
// statements.
func (s *Store) Complete(ctx context.Context, tx bun.IDB, ls []Listing) error {
	if len(ls) == 0 {
		return nil
	}
	ids, companyIDs := make([]uuid.UUID, len(ls)), make([]uuid.UUID, len(ls))
	for i := range ls {
		ids[i], companyIDs[i] = ls[i].ID, ls[i].CompanyID
	}
	var companies []Company
	if err := tx.NewSelect().Model(&companies).Where("c.id IN (?)", bun.In(companyIDs)).Scan(ctx); err != nil {
		return err
	}
	categories, err := s.Categories(ctx, tx)
	if err != nil {
		return err
	}
	var places []placeRow
	if err := tx.NewSelect().Model(&places).Where("lp.listing_id IN (?)", bun.In(ids)).OrderExpr("lp.listing_id, lp.n").Scan(ctx); err != nil {
		return err
	}
	company, category := map[uuid.UUID]*Company{}, map[uuid.UUID]*Category{}
	for i := range companies {
		company[companies[i].ID] = &companies[i]
	}
	for i := range categories {
		category[categories[i].ID] = &categories[i]
	}
	of := map[uuid.UUID][]Place{}
	for _, p := range places {
		of[p.ListingID] = append(of[p.ListingID], Place{p.Country, p.Region, p.City, p.PostalCode, p.Lat, p.Lon})
	}
	for i := range ls {
		l := &ls[i]
		l.Company, l.Places = company[l.CompanyID], of[l.ID]
		if l.CategoryID != nil {
			l.Category = category[*l.CategoryID]
		}
	}
	return nil
}

// Filter narrows the admin's list. Zero fields do not.
type Filter struct {
	State    State
	Query    string // words of the title or company, or a public id
	Category string // slug
	Company  uuid.UUID
	Source   string
	Person   uuid.UUID
	// Page counts from 1; Size is 50 when zero.
	Page, Size int
}

// where writes the filter as conditions after cardFrom.
func (f Filter) where() (string, []any) {
	var b strings.Builder
	var args []any
	add := func(cond string, vs ...any) {
		b.WriteString(" AND " + cond)
		args = append(args, vs...)
	}
	if f.State != "" {
		add("l.state = ?", f.State)
	} else {
		add("l.state <> ?", Removed)
	}
	if f.Category != "" {
		add("cat.slug = ?", f.Category)
	}
	if f.Company != uuid.Nil {
		add("l.company_id = ?", f.Company)
	}
	if f.Person != uuid.Nil {
		add("l.person_id = ?", f.Person)
	}
	if f.Source != "" {
		add("l.source = ?", f.Source)
	}
	if q := strings.TrimSpace(f.Query); ValidPublicID(q) && len(q) >= 9 && !strings.Contains(q, " ") {
		add("(l.public_id = ? OR l.title ILIKE ? OR c.name ILIKE ?)", q, like(q), like(q))
	} else if q != "" {
		for w := range strings.FieldsSeq(q) {
			add("(l.title ILIKE ? OR c.name ILIKE ?)", like(w), like(w))
		}
	}
	return b.String(), args
}

var likeEscape = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

func like(s string) string { return "%" + likeEscape.Replace(s) + "%" }

const pendingColumn = `, EXISTS (SELECT 1 FROM listing_revisions AS r WHERE r.tenant_id = l.tenant_id AND r.listing_id = l.id AND r.state = 'pending') AS pending`

// AdminList is a page of all listings, last changed first, and how many match.
// Removed ones show only when asked for by state.
func (s *Store) AdminList(ctx context.Context, tx bun.IDB, f Filter) ([]Card, int, error) {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, 0, err
	}
	if f.Size <= 0 || f.Size > 500 {
		f.Size = 50
	}
	where, args := f.where()
	args = append([]any{board}, args...)
	var total int
	if err := tx.NewRaw(`SELECT count(*) `+cardFrom+where, args...).Scan(ctx, &total); err != nil {
		return nil, 0, err
	}
	cards := []Card{}
	err = tx.NewRaw(cardSelect+pendingColumn+cardFrom+where+` ORDER BY l.updated_at DESC, l.id LIMIT ? OFFSET ?`,
		append(args, f.Size, (max(f.Page, 1)-1)*f.Size)...).Scan(ctx, &cards)
	return cards, total, err
}

// DeskList is the listings that a person may act for, last changed first, 500
// at most; removed ones are left out.
func (s *Store) DeskList(ctx context.Context, tx bun.IDB, person uuid.UUID) ([]Card, error) {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, err
	}
	cards := []Card{}
	err = tx.NewRaw(cardSelect+pendingColumn+cardFrom+` AND l.state <> 'removed' AND l.id IN (
		SELECT d.id FROM listings AS d WHERE d.tenant_id = ? AND d.person_id = ?
		UNION SELECT d.id FROM company_members AS cm JOIN listings AS d ON d.tenant_id = cm.tenant_id AND d.company_id = cm.company_id
			WHERE cm.tenant_id = ? AND cm.person_id = ?
		UNION SELECT l.id FROM listings AS l WHERE l.tenant_id = ? AND `+takesApplications+`)
		ORDER BY l.updated_at DESC, l.id LIMIT 500`, board, board, person, board, person, board, person).Scan(ctx, &cards)
	return cards, err
}

// Counts is how many listings the board has in each state.
func (s *Store) Counts(ctx context.Context, tx bun.IDB) (map[State]int, error) {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, err
	}
	var rows []struct {
		State State `bun:"state"`
		N     int   `bun:"n"`
	}
	err = tx.NewRaw(`SELECT state, count(*) AS n FROM listings WHERE tenant_id = ? GROUP BY state`, board).Scan(ctx, &rows)
	out := make(map[State]int, len(rows))
	for _, r := range rows {
		out[r.State] = r.N
	}
	return out, err
}

// ReviewItem is something that waits for a decision: a new listing, or an edit
// of one that is out.
type ReviewItem struct {
	Listing *Listing // complete
	// Revision is nil for a new listing.
	Revision *Revision
	Changes  []Change
	Since    time.Time
}

// ReviewQueue is what waits, oldest first, 100 of each kind at most.
func (s *Store) ReviewQueue(ctx context.Context, tx bun.IDB) ([]ReviewItem, error) {
	t := tenant.From(ctx)
	if t == nil {
		return nil, fault.New(fault.Internal, "no board in the context")
	}
	var fresh []Listing
	if err := tx.NewSelect().Model(&fresh).Where("l.state = ?", InReview).OrderExpr("l.updated_at, l.id").Limit(100).Scan(ctx); err != nil {
		return nil, err
	}
	var revisions []Revision
	if err := tx.NewSelect().Model(&revisions).Where("r.state = ?", Pending).OrderExpr("r.created_at, r.id").Limit(100).Scan(ctx); err != nil {
		return nil, err
	}
	var edited []Listing
	if len(revisions) > 0 {
		ids := make([]uuid.UUID, len(revisions))
		for i := range revisions {
			ids[i] = revisions[i].ListingID
		}
		if err := tx.NewSelect().Model(&edited).Where("l.id IN (?)", bun.In(ids)).Where("l.state <> ?", Removed).Scan(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.Complete(ctx, tx, fresh); err != nil {
		return nil, err
	}
	if err := s.Complete(ctx, tx, edited); err != nil {
		return nil, err
	}
	items := []ReviewItem{}
	for i := range fresh {
		items = append(items, ReviewItem{Listing: &fresh[i], Since: fresh[i].UpdatedAt})
	}
	for i := range revisions {
		for j := range edited {
			if edited[j].ID == revisions[i].ListingID {
				r := &revisions[i]
				items = append(items, ReviewItem{&edited[j], r, Diff(ContentOf(&edited[j]), r.Content, t.Locale), r.CreatedAt})
			}
		}
	}
	return items, nil
}
