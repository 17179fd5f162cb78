package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/search"
	"shingle/tenant"
)

const (
	// maxQueryWords bounds what a search may ask for at once.
	maxQueryWords = 12
	// patience bounds one search.
	patience = 5 * time.Second
	// compoundFrom is the length from which a word is looked for in compounds.
	compoundFrom = 5
)

// asked is the argument of shingle_search.
type asked struct {
	Must      []int64   `json:"must"`
	Some      [][]int64 `json:"some"`
	Narrow    [][]int64 `json:"narrow"`
	Rank      [][]int64 `json:"rank"`
	Like      []like    `json:"like"`
	Salary    int64     `json:"salary"`
	Since     *string   `json:"since"`
	Type      []string  `json:"type"`
	Workplace []string  `json:"workplace"`
	Category  []string  `json:"category"`
	Company   []string  `json:"company"`
	Seniority []string  `json:"seniority"`
	Country   []string  `json:"country"`
	Sort      string    `json:"sort"`
	Limit     int       `json:"limit"`
	Offset    int       `json:"offset"`
	Counts    bool      `json:"counts"`
}

type like struct {
	Term string `json:"term"`
	Key  int64  `json:"key"`
}

type answer struct {
	IDs    []uuid.UUID         `json:"ids"`
	Counts [][]json.RawMessage `json:"counts"`
}

// counted is what a generation keeps of a search, whatever its page and order.
type counted struct {
	total  int
	facets map[string][]search.FacetValue
	// The search that was run instead, when nothing matched the one asked.
	text, location string
	corrected      bool
}

// Search answers a page in one round trip, two more when nothing matched and
// a typo may be repaired. It opens a transaction.
func (e *Engine) Search(ctx context.Context, q search.Query) (*search.Result, error) {
	begun := time.Now()
	t := tenant.From(ctx)
	if t == nil {
		return nil, fault.New(fault.Internal, "no board in the context")
	}
	q = q.Bounded()
	counts := countsKey(t, q)
	page := counts + "|" + q.Sort + "|" + strconv.Itoa(q.Page) + "|" + strconv.Itoa(q.PerPage)
	// One of many who ask the same at once works; a caller that leaves must not
	// take the others' answer along.
	v, err, _ := e.flight.Do(page, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		return e.search(ctx, t, q, counts)
	})
	if err != nil {
		return nil, err
	}
	r := *v.(*search.Result)
	r.Took = time.Since(begun)
	return &r, nil
}

// countsKey names a search's counts: board, generation, normalised query.
func countsKey(t *tenant.Tenant, q search.Query) string {
	q.Page, q.Sort = 1, ""
	since := ""
	if !q.Since.IsZero() {
		since = strconv.FormatInt(q.Since.UnixMicro(), 36)
	}
	return t.ID.String() + "|" + strconv.FormatInt(t.Generation, 36) + "|" + t.Locale + "|" + since + "|" + q.Values().Encode() + "|" + strconv.FormatInt(q.SalaryMin, 10)
}

func (e *Engine) search(ctx context.Context, t *tenant.Tenant, q search.Query, cacheKey string) (*search.Result, error) {
	res := &search.Result{Page: q.Page, Engine: e.Name()}
	known, _ := e.facets.GetIfPresent(cacheKey)
	var ids []uuid.UUID
	err := e.db.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		run := q
		if known != nil && known.corrected {
			run.Text, run.Location = known.text, known.location
		}
		a, err := e.ask(ctx, tx, t, run, known == nil)
		if err != nil {
			return err
		}
		if known == nil {
			if known, err = count(run, a.Counts); err != nil {
				return err
			}
			if known.total == 0 && q.Text+q.Location != "" {
				repaired, changed, err := e.repair(ctx, tx, t, q)
				if err != nil {
					return err
				}
				if changed {
					again, err := e.ask(ctx, tx, t, repaired, true)
					if err != nil {
						return err
					}
					c, err := count(repaired, again.Counts)
					if err != nil {
						return err
					}
					if c.total > 0 {
						a, known = again, c
						known.corrected, known.text, known.location = true, repaired.Text, repaired.Location
					}
				}
			}
		}
		ids = a.IDs
		return nil
	})
	if err != nil {
		return nil, err
	}
	e.facets.Set(cacheKey, known)
	res.Total, res.Facets = known.total, known.facets
	res.Pages = max(1, (known.total+q.PerPage-1)/q.PerPage)
	if known.corrected {
		if known.text != search.Fold(q.Text) {
			res.Corrected = known.text
		}
		if known.location != search.Fold(q.Location) {
			res.CorrectedLocation = known.location
		}
	}
	res.Hits = make([]search.Hit, len(ids))
	for i, id := range ids {
		res.Hits[i].ListingID = id
	}
	return res, nil
}

func (e *Engine) ask(ctx context.Context, tx bun.IDB, t *tenant.Tenant, q search.Query, counts bool) (*answer, error) {
	data, err := json.Marshal(e.question(t, q, counts))
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	var out string
	if err := tx.NewRaw("SELECT shingle_search(?::jsonb)", string(data)).Scan(ctx, &out); err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	a := new(answer)
	if err := json.Unmarshal([]byte(out), a); err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	return a, nil
}

// words is a query's text without what says nothing.
func words(lang language, text string) []string {
	var out, all []string
	for _, w := range search.Tokens(text) {
		if slices.Contains(all, w) || len(all) == maxQueryWords {
			continue
		}
		all = append(all, w)
		if !lang.stop[w] {
			out = append(out, w)
		}
	}
	if len(out) == 0 {
		return all
	}
	return out
}

func (e *Engine) question(t *tenant.Tenant, q search.Query, counts bool) *asked {
	lang := e.language(t.Locale)
	a := &asked{Must: []int64{}, Some: [][]int64{}, Narrow: [][]int64{}, Rank: [][]int64{}, Like: []like{}, Salary: q.SalaryMin,
		Type: list(q.Types), Workplace: list(q.Workplaces), Category: list(q.Categories), Company: list(q.Companies),
		Seniority: list(q.Seniority), Country: list(q.Countries),
		Sort: q.Sort, Limit: q.PerPage, Offset: (q.Page - 1) * q.PerPage, Counts: counts}
	if !q.Since.IsZero() {
		s := q.Since.UTC().Format(timeFormat)
		a.Since = &s
	}
	for _, w := range words(lang, q.Text) {
		k := key(t.ID, fieldText, lang.of(w))
		if lang.compounds && len(w) >= compoundFrom {
			a.Like = append(a.Like, like{w, k})
			continue
		}
		a.Must = append(a.Must, k)
		a.Rank = append(a.Rank, []int64{k})
	}
	for i, w := range search.Tokens(q.Location) {
		if i == maxQueryWords {
			break
		}
		a.Must = append(a.Must, key(t.ID, fieldPlace, w))
	}
	// Choices that leave few listings narrow the hits by their keys. Counts of
	// the facet itself must see what that leaves out.
	narrow := func(field byte, values []string) {
		keys := make([]int64, len(values))
		for i, v := range values {
			keys[i] = key(t.ID, field, v)
		}
		if len(keys) > 0 {
			a.Narrow = append(a.Narrow, keys)
		}
	}
	narrow(fieldCompany, q.Companies)
	narrow(fieldCountry, q.Countries)
	return a
}

// list is a JSON array, never null, without what jsonb refuses.
func list(values []string) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = strings.ReplaceAll(v, "\x00", "\uFFFD")
	}
	return out
}

// maxShown is how many values of a facet are shown, besides the chosen ones.
const maxShown = 30

// count reads the one pass over all facets: see shingle_search.
func count(q search.Query, rows [][]json.RawMessage) (*counted, error) {
	c := &counted{}
	n := map[string]map[string]int{}
	for _, f := range search.FacetNames {
		n[f] = map[string]int{}
	}
	cube := []string{search.FacetType, search.FacetWorkplace, search.FacetCategory, search.FacetSeniority}
	for _, r := range rows {
		var set, k int
		if len(r) != 8 || json.Unmarshal(r[0], &set) != nil || json.Unmarshal(r[7], &k) != nil {
			return nil, fault.New(fault.Internal, "search counts cannot be read")
		}
		switch set {
		case setCube:
			var values [4]string
			misses, missed := 0, 0
			for i, f := range cube {
				if err := json.Unmarshal(r[1+i], &values[i]); err != nil {
					return nil, fmt.Errorf("search counts: %w", err)
				}
				if chosen := q.Chosen(f); len(chosen) > 0 && !slices.Contains(chosen, values[i]) {
					misses, missed = misses+1, i
				}
			}
			if misses == 0 {
				c.total += k
			}
			for i, f := range cube {
				// A facet's counts ignore its own filter and no other.
				if misses == 0 || misses == 1 && missed == i {
					n[f][values[i]] += k
				}
			}
		case setCompany:
			var v string
			if err := json.Unmarshal(r[5], &v); err != nil {
				return nil, fmt.Errorf("search counts: %w", err)
			}
			n[search.FacetCompany][v] += k
		case setCountries:
			var vs []string
			if err := json.Unmarshal(r[6], &vs); err != nil {
				return nil, fmt.Errorf("search counts: %w", err)
			}
			for _, v := range vs {
				n[search.FacetCountry][v] += k
			}
		}
	}
	c.facets = search.FacetLists(q, n, maxShown)
	return c, nil
}

// The values of grouping(type, company, countries) for the three sets.
const setCube, setCompany, setCountries = 3, 5, 6

// repair replaces the words that no listing holds by words of the board that
// are written alike.
func (e *Engine) repair(ctx context.Context, tx bun.IDB, t *tenant.Tenant, q search.Query) (search.Query, bool, error) {
	lang := e.language(t.Locale)
	var kinds, terms, keys []string
	add := func(kind string, field byte, words []string, stem func(string) string) {
		for i, w := range words {
			if i < maxQueryWords && search.Typos(w) > 0 {
				kinds, terms = append(kinds, kind), append(terms, w)
				keys = append(keys, strconv.FormatInt(key(t.ID, field, stem(w)), 10))
			}
		}
	}
	text, location := words(lang, q.Text), search.Tokens(q.Location)
	add("word", fieldText, text, lang.of)
	add("place", fieldPlace, location, func(s string) string { return s })
	if len(terms) == 0 {
		return q, false, nil
	}
	var near []struct {
		Typed string `bun:"typed"`
		Term  string `bun:"term"`
		N     int    `bun:"n"`
	}
	array := func(s []string) string { return "{" + strings.Join(s, ",") + "}" } // words are letters and digits
	err := tx.NewRaw(`SELECT typed, term, n FROM shingle_search_near(?::text[], ?::text[], ?::bigint[])`,
		array(kinds), array(terms), array(keys)).Scan(ctx, &near)
	if err != nil {
		return q, false, fmt.Errorf("search repair: %w", err)
	}
	best := map[string]string{}
	score := map[string][2]int{}
	for _, c := range near {
		most := search.Typos(c.Typed)
		d := search.Distance(c.Typed, c.Term, most)
		if d > most {
			continue
		}
		if s, ok := score[c.Typed]; !ok || d < s[0] || d == s[0] && c.N > s[1] {
			best[c.Typed], score[c.Typed] = c.Term, [2]int{d, c.N}
		}
	}
	swap := func(words []string) string {
		out := slices.Clone(words)
		for i, w := range out {
			if b, ok := best[w]; ok {
				out[i] = b
			}
		}
		return strings.Join(out, " ")
	}
	q.Text, q.Location = swap(text), swap(location)
	return q, len(best) > 0, nil
}

// Suggest completes the whole text from the board's titles and companies, and
// its last word from the board's words. It opens a transaction.
func (e *Engine) Suggest(ctx context.Context, typed string, limit int) ([]search.Suggestion, error) {
	id, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, err
	}
	if len(typed) > 200 {
		return nil, nil
	}
	folded, open := search.FoldSpaced(typed)
	limit = min(max(limit, 1), 20)
	if len(folded) < 2 {
		return nil, nil
	}
	head, last := "", folded
	if i := strings.LastIndexByte(folded, ' '); i >= 0 {
		head, last = folded[:i+1], folded[i+1:]
	}
	if !open {
		folded += " "
		last = ""
	}
	var found []term
	err = e.db.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		// "\U0010FFFF" is after every letter in the C collation.
		return tx.NewRaw(`(SELECT kind, term, label, n FROM search_terms WHERE tenant_id = ? AND kind = 'title' AND term >= ? AND term < ? ORDER BY n DESC, term LIMIT ?)
			UNION ALL (SELECT kind, term, label, n FROM search_terms WHERE tenant_id = ? AND kind = 'company' AND term >= ? AND term < ? ORDER BY n DESC, term LIMIT ?)
			UNION ALL (SELECT kind, term, label, n FROM search_terms WHERE tenant_id = ? AND kind = 'word' AND term >= ? AND term < ? AND ? <> '' ORDER BY n DESC, term LIMIT ?)`,
			id, folded, folded+"\U0010FFFF", limit, id, folded, folded+"\U0010FFFF", limit,
			id, last, last+"\U0010FFFF", last, limit).Scan(ctx, &found)
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(found, func(a, b term) int { return b.N - a.N })
	var out []search.Suggestion
	seen := map[string]bool{}
	for _, f := range found {
		s := search.Suggestion{Text: f.Label, Count: f.N}
		if f.Kind == "word" {
			s.Text = head + f.Term
			if head != "" {
				s.Count = 0 // that many have the word, not both
			}
		}
		if k := search.Fold(s.Text); !seen[k] && len(out) < limit {
			seen[k] = true
			out = append(out, s)
		}
	}
	return out, nil
}
