package search

import (
	"cmp"
	"slices"
	"strings"
)

// FacetLists turns counts by facet and value into what a page shows: the most
// frequent values first, at most so many of each facet besides the chosen ones,
// which are listed even when nothing has them. Values "" are left out.
func FacetLists(q Query, counts map[string]map[string]int, most int) map[string][]FacetValue {
	out := make(map[string][]FacetValue, len(FacetNames))
	for _, f := range FacetNames {
		chosen := q.Chosen(f)
		list := make([]FacetValue, 0, len(counts[f])+len(chosen))
		for v, n := range counts[f] {
			if v != "" && n > 0 && !slices.Contains(chosen, v) {
				list = append(list, FacetValue{Value: v, Count: n})
			}
		}
		for _, v := range chosen {
			list = append(list, FacetValue{Value: v, Count: counts[f][v], Selected: true})
		}
		slices.SortFunc(list, func(a, b FacetValue) int {
			return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Value, b.Value))
		})
		kept := list[:0]
		for i, v := range list {
			if i < most || v.Selected {
				kept = append(kept, v)
			}
		}
		out[f] = kept
	}
	return out
}
