package typesense

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	ts "github.com/typesense/typesense-go/v3/typesense"
	"github.com/typesense/typesense-go/v3/typesense/api"

	"shingle/internal/fault"
	"shingle/search"
	"shingle/tenant"
)

// maxShown is how many values of a facet are shown, besides the chosen ones;
// more are asked for, so that a chosen one has its count.
const maxShown, maxFacetValues = 30, 250

// What is asked of the fields, in this order: weights by where a word says
// most; typos and prefixes in short fields alone, for the long text costs.
const (
	queryBy = "title,company_name,tags,place,text"
	weights = "8,4,4,2,1"
	typos   = "2,2,2,2,0"
	prefix  = "true,true,true,true,false"
)

// searcher is the client with the board's own key. renew throws a refused key away.
func (e *Engine) searcher(ctx context.Context, board tenant.ID, renew bool) (*ts.Client, error) {
	if !renew {
		if c, ok := e.clients.GetIfPresent(board); ok {
			return c, nil
		}
		key, err := e.storedKey(ctx, board)
		if err != nil {
			return nil, err
		}
		if key != "" {
			c := e.client(key)
			e.clients.Set(board, c)
			return c, nil
		}
	}
	key, err := e.newKey(ctx, board)
	if err != nil {
		return nil, err
	}
	c := e.client(key)
	e.clients.Set(board, c)
	return c, nil
}

// perform sends searches with the board's key, and once more with a new one
// when the server refuses it (401: it was wiped, or the key deleted).
func (e *Engine) perform(ctx context.Context, board tenant.ID, searches []api.MultiSearchCollectionParameters) ([]api.MultiSearchResultItem, error) {
	alias := aliasOf(board)
	for i := range searches {
		searches[i].Collection = &alias
	}
	for try := 0; ; try++ {
		c, err := e.searcher(ctx, board, try > 0)
		if err != nil {
			return nil, err
		}
		r, err := c.MultiSearch.Perform(ctx, &api.MultiSearchParams{}, api.MultiSearchSearchesParameter{Searches: searches})
		if status(err) == http.StatusUnauthorized && try == 0 {
			continue
		}
		if err != nil {
			return nil, fail(err, "searching")
		}
		if len(r.Results) != len(searches) {
			return nil, fault.New(fault.Unavailable, "typesense: %d answers to %d searches", len(r.Results), len(searches))
		}
		for _, item := range r.Results {
			// A search that fails does so inside the 200.
			if item.Error != nil {
				code := 0
				if item.Code != nil {
					code = int(*item.Code)
				}
				return nil, failed(code, *item.Error, "searching")
			}
		}
		return r.Results, nil
	}
}

// Search answers a page: one request, with a search more for each facet that
// has a choice, since counts include the effect of every filter.
func (e *Engine) Search(ctx context.Context, q search.Query) (*search.Result, error) {
	begun := time.Now()
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, err
	}
	q = q.Bounded()
	res, err := e.page(ctx, board, q)
	if err != nil {
		return nil, err
	}
	if res.Total == 0 && q.Location != "" {
		// Filters forgive no typos: ask the places what was meant.
		if location, err := e.nearPlace(ctx, board, q.Location); err != nil {
			return nil, err
		} else if location != "" {
			q.Location = location
			again, err := e.page(ctx, board, q)
			if err != nil {
				return nil, err
			}
			if again.Total > 0 {
				res, res.CorrectedLocation = again, location
			}
		}
	}
	res.Took = time.Since(begun)
	return res, nil
}

func (e *Engine) page(ctx context.Context, board tenant.ID, q search.Query) (*search.Result, error) {
	now := e.options.Now()
	ask := func(without, facets string) api.MultiSearchCollectionParameters {
		p := api.MultiSearchCollectionParameters{
			Q: ptr("*"), QueryBy: ptr(queryBy), FilterBy: ptr(filterOf(q, without, now)), FacetBy: ptr(facets),
			MaxFacetValues: ptr(maxFacetValues), IncludeFields: ptr("id"), Page: ptr(1), PerPage: ptr(0),
		}
		if t := search.Fold(q.Text); t != "" {
			p.Q, p.QueryByWeights, p.NumTypos, p.Prefix = &t, ptr(weights), ptr(typos), ptr(prefix)
			// All words count, and a typo is looked for when nothing is found.
			p.DropTokensThreshold, p.TypoTokensThreshold = ptr(0), ptr(1)
			// Highlights are not shown: the shortest field costs least.
			p.HighlightFields = ptr("title")
		}
		return p
	}
	var free []string
	for _, f := range search.FacetNames {
		if len(q.Chosen(f)) == 0 {
			free = append(free, f)
		}
	}
	first := ask("", strings.Join(free, ","))
	if len(free) == 0 {
		first.FacetBy = nil
	}
	words, best := *first.Q != "*", q.Sort == search.SortBest
	first.Page, first.PerPage = ptr(q.Page), ptr(q.PerPage)
	first.SortBy = ptr(sortBy(q, words))
	if best { // only what leads; the rest is a search of its own, see merge.go
		first.Page, first.PerPage, first.IncludeFields = ptr(1), ptr(leading(q)), ptr(leadFields)
	}
	searches := []api.MultiSearchCollectionParameters{first}
	for _, f := range search.FacetNames {
		if len(q.Chosen(f)) > 0 {
			searches = append(searches, ask(f, f))
		}
	}
	if best {
		rest := ask("", "")
		rest.FacetBy, rest.Page = nil, nil
		rest.Offset, rest.PerPage, rest.IncludeFields = ptr(restFrom(q)), ptr(q.PerPage+leading(q)), ptr(leadFields)
		rest.SortBy = ptr(ordinary(words))
		searches = append(searches, rest)
	}
	items, err := e.perform(ctx, board, searches)
	if err != nil {
		return nil, err
	}
	counts := map[string]map[string]int{}
	for i := range items {
		facetCounts(&items[i], counts)
	}
	res := &search.Result{Page: q.Page, Engine: e.Name(), Facets: search.FacetLists(q, counts, maxShown)}
	if items[0].Found != nil {
		res.Total = *items[0].Found
	}
	res.Pages = max(1, (res.Total+q.PerPage-1)/q.PerPage)
	ids := idsOf(&items[0])
	if best {
		ids = merge(q, placed(&items[0]), placed(&items[len(items)-1]))
	}
	for _, id := range ids {
		id, err := uuid.Parse(id)
		if err != nil {
			return nil, fault.Wrap(err, fault.Internal, "typesense: a document's id")
		}
		res.Hits = append(res.Hits, search.Hit{ListingID: id})
	}
	return res, nil
}

// sortBy has three keys at most: that is the server's limit.
func sortBy(q search.Query, words bool) string {
	switch {
	case q.Sort == search.SortRecent:
		return "published_at:desc"
	case q.Sort == search.SortSalary:
		return "salary_top:desc,published_at:desc"
	case words:
		return "featured:desc,_text_match:desc,published_at:desc"
	}
	return "featured:desc,published_at:desc"
}

// ordinary is the best order without featured.
func ordinary(words bool) string {
	if words {
		return "_text_match:desc,published_at:desc"
	}
	return "published_at:desc"
}

func facetCounts(item *api.MultiSearchResultItem, into map[string]map[string]int) {
	if item.FacetCounts == nil {
		return
	}
	for _, f := range *item.FacetCounts {
		if f.FieldName == nil || f.Counts == nil {
			continue
		}
		m := map[string]int{}
		for _, c := range *f.Counts {
			if c.Value != nil && c.Count != nil {
				m[*c.Value] = *c.Count
			}
		}
		into[*f.FieldName] = m
	}
}

// nearPlace is the location with its words as the board's places write them.
func (e *Engine) nearPlace(ctx context.Context, board tenant.ID, location string) (string, error) {
	typed := search.Tokens(location)
	if len(typed) == 0 {
		return "", nil
	}
	items, err := e.perform(ctx, board, []api.MultiSearchCollectionParameters{{
		Q: ptr(strings.Join(typed, " ")), QueryBy: ptr("place"), NumTypos: ptr("2"), Prefix: ptr("false"), DropTokensThreshold: ptr(0),
		TypoTokensThreshold: ptr(1), IncludeFields: ptr("place"), Page: ptr(1), PerPage: ptr(20)}})
	if err != nil {
		return "", err
	}
	changed := false
	for i, w := range typed {
		best, most := "", search.Typos(w)
		for _, h := range hits(&items[0]) {
			places, _ := h["place"].([]any)
			for _, p := range places {
				s, _ := p.(string)
				for _, candidate := range strings.Fields(s) {
					if d := search.Distance(w, candidate, most); d < most || d == most && best == "" {
						best, most = candidate, d
					}
				}
			}
		}
		if best != "" && best != w {
			typed[i], changed = best, true
		}
	}
	if !changed {
		return "", nil
	}
	return strings.Join(typed, " "), nil
}

// Suggest completes what is typed from titles and companies that hold it.
func (e *Engine) Suggest(ctx context.Context, typed string, limit int) ([]search.Suggestion, error) {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, err
	}
	folded := search.Fold(typed)
	if len(folded) < 2 || len(typed) > 200 {
		return nil, nil
	}
	limit = min(max(limit, 1), 20)
	items, err := e.perform(ctx, board, []api.MultiSearchCollectionParameters{{
		Q: &folded, QueryBy: ptr("title,company_name"), QueryByWeights: ptr("2,1"), NumTypos: ptr("1,1"), Prefix: ptr("true,true"),
		DropTokensThreshold: ptr(0), TypoTokensThreshold: ptr(1), FilterBy: ptr("ends_at:>" + itoa(e.options.Now().UnixMilli())),
		IncludeFields: ptr("title,company_name,title_label,company_label"), Page: ptr(1), PerPage: ptr(100)}})
	if err != nil {
		return nil, err
	}
	words := strings.Fields(folded)
	last := words[len(words)-1]
	var out []search.Suggestion
	seen := map[string]int{}
	add := func(key, label string) {
		if i, ok := seen[key]; ok {
			out[i].Count++
			return
		}
		seen[key] = len(out)
		out = append(out, search.Suggestion{Text: label, Count: 1})
	}
	for _, h := range hits(&items[0]) {
		title, company := text(h, "title"), text(h, "company_name")
		inCompany := strings.Contains(" "+company, " "+last)
		if !inCompany || strings.Contains(" "+title, " "+last) {
			add(title, text(h, "title_label"))
		}
		if inCompany {
			add(company, text(h, "company_label"))
		}
	}
	return out[:min(limit, len(out))], nil
}

// only is the answer of a single search, with its inline error.
func only(r *api.MultiSearchResult) (*api.MultiSearchResultItem, error) {
	if len(r.Results) != 1 {
		return nil, fault.New(fault.Unavailable, "typesense: %d answers to one search", len(r.Results))
	}
	item := &r.Results[0]
	if item.Error != nil {
		code := 0
		if item.Code != nil {
			code = int(*item.Code)
		}
		return nil, failed(code, *item.Error, "searching")
	}
	return item, nil
}

func hits(item *api.MultiSearchResultItem) []map[string]any {
	if item.Hits == nil {
		return nil
	}
	out := make([]map[string]any, 0, len(*item.Hits))
	for _, h := range *item.Hits {
		if h.Document != nil {
			out = append(out, *h.Document)
		}
	}
	return out
}

func text(doc map[string]any, field string) string {
	s, _ := doc[field].(string)
	return s
}
