package typesense

import (
	"cmp"

	"github.com/typesense/typesense-go/v3/typesense/api"

	"shingle/search"
)

// At most search.FeaturedLead featured listings lead. The server knows no such
// order, so one request asks twice: for the first few with featured on top, and
// for a window of the ordinary order in which those may stand too. Which of
// them stand before the window follows from what it is sorted by.

const leadFields = "id,featured,published_at"

// leading is how many may lead a page of the query's length.
func leading(q search.Query) int { return min(search.FeaturedLead, q.PerPage) }

// restFrom is where the window begins in the ordinary order: what leads may
// have been taken out before it.
func restFrom(q search.Query) int { return max(0, (q.Page-1)*q.PerPage-leading(q)) }

// place is a hit with what the ordinary order sorts by.
type place struct {
	id        string
	featured  bool
	match     int64
	published float64
}

func (p place) before(o place) int {
	return cmp.Or(cmp.Compare(o.match, p.match), cmp.Compare(o.published, p.published))
}

func placed(item *api.MultiSearchResultItem) (out []place) {
	if item.Hits == nil {
		return nil
	}
	for _, h := range *item.Hits {
		if h.Document == nil {
			continue
		}
		d := *h.Document
		p := place{id: text(d, "id")}
		featured, _ := d["featured"].(float64)
		p.featured = featured > 0
		p.published, _ = d["published_at"].(float64)
		if h.TextMatch != nil {
			p.match = *h.TextMatch
		}
		out = append(out, p)
	}
	return out
}

// merge is a page: first (the top of the order with featured first) gives what
// leads, window the rest.
func merge(q search.Query, first, window []place) []string {
	lead := map[string]bool{}
	var out []string
	for _, p := range first {
		if p.featured {
			lead[p.id] = true
			if q.Page == 1 {
				out = append(out, p.id)
			}
		}
	}
	skip := 0
	if q.Page > 1 {
		skip = leading(q) - len(lead)
		inside := map[string]bool{}
		for _, p := range window {
			inside[p.id] = true
		}
		for _, p := range first {
			// A tie that is not in the window itself was before it.
			if p.featured && !inside[p.id] && len(window) > 0 && p.before(window[0]) <= 0 {
				skip++
			}
		}
	}
	for _, p := range window {
		switch {
		case lead[p.id]:
		case skip > 0:
			skip--
		case len(out) < q.PerPage:
			out = append(out, p.id)
		}
	}
	return out
}

func idsOf(item *api.MultiSearchResultItem) (out []string) {
	for _, h := range hits(item) {
		out = append(out, text(h, "id"))
	}
	return out
}
