package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"iter"
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
	Most      int       `json:"most"`
}

type like struct {
	Term string `json:"term"`
	Key  int64  `json:"key"`
}

// answer is what shingle_search gives; the two texts are NULL when nothing was
// counted.
type answer struct {
	IDs          string         `bun:"ids"`
	Combinations sql.NullString `bun:"combinations"`
	Companies    sql.NullString `bun:"companies"`
}

// hits are the ids of an answer.
func (a *answer) hits() ([]search.Hit, error) {
	list := strings.Trim(a.IDs, "{}")
	if list == "" {
		return []search.Hit{}, nil
	}
	hits := make([]search.Hit, 0, strings.Count(list, ",")+1)
	for s := range strings.SplitSeq(list, ",") {
		id, err := uuid.Parse(s)
		if err != nil {
			return nil, fmt.Errorf("search: %w", err)
		}
		hits = append(hits, search.Hit{ListingID: id})
	}
	return hits, nil
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

// SearchIn is Search in the caller's transaction, for a page that reads more
// than its search. It does not wait for others who ask the same.
func (e *Engine) SearchIn(ctx context.Context, tx bun.IDB, q search.Query) (*search.Result, error) {
	begun := time.Now()
	t := tenant.From(ctx)
	if t == nil {
		return nil, fault.New(fault.Internal, "no board in the context")
	}
	q = q.Bounded()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := e.searchIn(ctx, tx, t, q, countsKey(t, q))
	if err == nil {
		r.Took = time.Since(begun)
	}
	return r, err
}

func (e *Engine) search(ctx context.Context, t *tenant.Tenant, q search.Query, cacheKey string) (r *search.Result, err error) {
	err = e.db.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		r, err = e.searchIn(ctx, tx, t, q, cacheKey)
		return err
	})
	return r, err
}

func (e *Engine) searchIn(ctx context.Context, tx bun.IDB, t *tenant.Tenant, q search.Query, cacheKey string) (*search.Result, error) {
	known, _ := e.facets.GetIfPresent(cacheKey)
	run := q
	if known != nil && known.corrected {
		run.Text, run.Location = known.text, known.location
	}
	a, err := e.ask(ctx, tx, t, run, known == nil)
	if err != nil {
		return nil, err
	}
	if known == nil {
		if known, err = count(run, a); err != nil {
			return nil, err
		}
		if known.total == 0 && q.Text+q.Location != "" {
			repaired, changed, err := e.repair(ctx, tx, t, q)
			if err != nil {
				return nil, err
			}
			if changed {
				again, err := e.ask(ctx, tx, t, repaired, true)
				if err != nil {
					return nil, err
				}
				c, err := count(repaired, again)
				if err != nil {
					return nil, err
				}
				if c.total > 0 {
					a, known = again, c
					known.corrected, known.text, known.location = true, repaired.Text, repaired.Location
				}
			}
		}
		e.facets.Set(cacheKey, known)
	}
	res := &search.Result{Page: q.Page, Engine: e.Name(), Total: known.total, Facets: known.facets,
		Pages: max(1, (known.total+q.PerPage-1)/q.PerPage)}
	if known.corrected {
		if known.text != search.Fold(q.Text) {
			res.Corrected = known.text
		}
		if known.location != search.Fold(q.Location) {
			res.CorrectedLocation = known.location
		}
	}
	res.Hits, err = a.hits()
	return res, err
}

func (e *Engine) ask(ctx context.Context, tx bun.IDB, t *tenant.Tenant, q search.Query, counts bool) (*answer, error) {
	data, err := json.Marshal(e.question(t, q, counts))
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	a := new(answer)
	if err := tx.NewRaw("SELECT ids::text, combinations, companies FROM shingle_search(?::jsonb)", string(data)).Scan(ctx, a); err != nil {
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
		Sort: q.Sort, Limit: q.PerPage, Offset: (q.Page - 1) * q.PerPage, Counts: counts, Most: maxShown}
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

// count reads what shingle_search_counts gives.
func count(q search.Query, a *answer) (*counted, error) {
	c := &counted{}
	n := make(map[string]map[string]int, len(search.FacetNames))
	for _, f := range search.FacetNames {
		n[f] = map[string]int{}
	}
	small := [...]string{search.FacetType, search.FacetWorkplace, search.FacetCategory, search.FacetSeniority, search.FacetCountry}
	var chosen [len(small)][]string
	var of [len(small)]map[string]int
	for i, f := range small {
		chosen[i], of[i] = q.Chosen(f), n[f]
	}
	const country = len(small) - 1
	for entry := range entries(a.Combinations.String) {
		var values [len(small)]string
		rest := entry
		for i := range values {
			var more bool
			if values[i], rest, more = strings.Cut(rest, valueEnd); !more {
				return nil, fault.New(fault.Internal, "search counts cannot be read")
			}
		}
		k, err := strconv.Atoi(rest)
		if err != nil {
			return nil, fmt.Errorf("search counts: %w", err)
		}
		misses, missed := 0, 0
		for i, v := range values {
			if len(chosen[i]) == 0 {
				continue
			}
			meets := slices.Contains(chosen[i], v)
			if i == country {
				meets = containsAny(chosen[i], v)
			}
			if !meets {
				misses, missed = misses+1, i
			}
		}
		if misses > 1 {
			continue
		}
		if misses == 0 {
			c.total += k
		}
		// A facet's counts ignore its own filter and no other.
		for i, v := range values {
			switch {
			case misses == 1 && missed != i:
			case i == country:
				for code := range strings.SplitSeq(v, ",") {
					of[i][code] += k
				}
			default:
				of[i][v] += k
			}
		}
	}
	for entry := range entries(a.Companies.String) {
		slug, number, _ := strings.Cut(entry, valueEnd)
		k, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("search counts: %w", err)
		}
		n[search.FacetCompany][slug] += k
	}
	c.facets = search.FacetLists(q, n, maxShown)
	for _, list := range c.facets {
		for i := range list {
			// Kept for long: without the whole answer that it is a part of.
			list[i].Value = strings.Clone(list[i].Value)
		}
	}
	return c, nil
}

// What parts values and entries in counts.
const valueEnd, entryEnd = "\x1f", "\x1e"

func entries(s string) iter.Seq[string] {
	if s == "" {
		return func(func(string) bool) {}
	}
	return strings.SplitSeq(s, entryEnd)
}

// containsAny reports whether one of the codes in a list with commas is chosen.
func containsAny(chosen []string, codes string) bool {
	for code := range strings.SplitSeq(codes, ",") {
		if slices.Contains(chosen, code) {
			return true
		}
	}
	return false
}

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
