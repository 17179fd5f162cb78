package typesensedouble

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"shingle/search"
)

type params map[string]string

func (p params) number(name string, otherwise int) int {
	if n, err := strconv.ParseFloat(p[name], 64); err == nil {
		return int(n)
	}
	return otherwise
}

// at is a comma-separated parameter's value for the i-th field; a single value
// is for all.
func (p params) at(name string, i int, otherwise string) string {
	if p[name] == "" {
		return otherwise
	}
	values := strings.Split(p[name], ",")
	return strings.TrimSpace(values[min(i, len(values)-1)])
}

// tokens splits as the collection's schema says: symbols stay in words,
// separators part them, what else is no letter is dropped.
func (c *collection) tokens(s string) []string {
	var out []string
	var b strings.Builder
	flush := func() {
		if b.Len() > 0 {
			out = append(out, b.String())
			b.Reset()
		}
	}
	for _, r := range strings.ToLower(s) {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(c.symbols, r):
			b.WriteRune(r)
		case unicode.IsSpace(r) || strings.ContainsRune(c.separators, r):
			flush()
		}
	}
	flush()
	return out
}

// filter reads a filter expression: clauses joined by &&.
func (c *collection) filter(expr string) (keep func(object) bool, status int, complaint string) {
	if strings.TrimSpace(expr) == "" {
		return func(object) bool { return true }, 0, ""
	}
	var clauses []func(object) bool
	for _, part := range splitOutside(expr, "&&") {
		part = strings.TrimSpace(part)
		if part == "" {
			return nil, 400, "Could not parse the filter query: unbalanced `&&` operands."
		}
		name, value, ok := strings.Cut(part, ":")
		if !ok || strings.TrimSpace(value) == "" {
			return nil, 400, "Could not parse the filter query."
		}
		f, status, complaint := c.clause(strings.TrimSpace(name), strings.TrimSpace(value))
		if complaint != "" {
			return nil, status, complaint
		}
		clauses = append(clauses, f)
	}
	return func(d object) bool {
		for _, f := range clauses {
			if !f(d) {
				return false
			}
		}
		return true
	}, 0, ""
}

func (c *collection) clause(name, value string) (func(object) bool, int, string) {
	values := func(s string) []string {
		s = strings.TrimSpace(s)
		if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
			s = s[1 : len(s)-1]
		}
		var out []string
		for _, v := range splitOutside(s, ",") {
			out = append(out, strings.Trim(strings.TrimSpace(v), "`"))
		}
		return out
	}
	if name == "id" {
		ids := values(strings.TrimPrefix(value, "="))
		return func(d object) bool { return slices.Contains(ids, str(d, "id")) }, 0, ""
	}
	f := c.field(name)
	if f == nil {
		return nil, 404, "Could not find a filter field named `" + name + "` in the schema."
	}
	switch typ := str(f, "type"); {
	case strings.HasPrefix(typ, "geopoint"):
		parts := strings.Split(strings.Trim(value, "()"), ",")
		if len(parts) != 3 {
			return nil, 400, "Value of filter field `" + name + "`: must be in the `(-44.50, 170.29, 0.75 km)` format."
		}
		lat, _ := strconv.ParseFloat(strings.TrimSpace(parts[0]), 64)
		lon, _ := strconv.ParseFloat(strings.TrimSpace(parts[1]), 64)
		km, _ := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(parts[2]), "km")), 64)
		return func(d object) bool { return nearest(d[name], lat, lon) <= km }, 0, ""
	case strings.HasPrefix(typ, "string"):
		exact := strings.HasPrefix(value, "=")
		wanted := values(strings.TrimPrefix(value, "="))
		return func(d object) bool {
			for _, have := range texts(d[name]) {
				h := c.tokens(have)
				for _, want := range wanted {
					w := c.tokens(want)
					if exact && slices.Equal(h, w) && len(w) > 0 {
						return true
					}
					if !exact && len(w) > 0 && !slices.ContainsFunc(w, func(t string) bool { return !slices.Contains(h, t) }) {
						return true
					}
				}
			}
			return false
		}, 0, ""
	}
	op := "="
	for _, o := range []string{">=", "<=", "!=", ">", "<", "="} {
		if strings.HasPrefix(value, o) {
			op, value = o, strings.TrimPrefix(value, o)
			break
		}
	}
	var wanted []float64
	for _, v := range values(value) {
		n, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		if err != nil {
			return nil, 400, "Error with filter field `" + name + "`: Not an " + str(f, "type") + "."
		}
		wanted = append(wanted, n)
	}
	return func(d object) bool {
		have, ok := d[name].(float64)
		if !ok {
			return false
		}
		for _, n := range wanted {
			if op == "=" && have == n || op == "!=" && have != n || op == ">" && have > n || op == "<" && have < n ||
				op == ">=" && have >= n || op == "<=" && have <= n {
				return true
			}
		}
		return false
	}, 0, ""
}

func nearest(v any, lat, lon float64) float64 {
	best := math.Inf(1)
	points, _ := v.([]any)
	for _, p := range points {
		pair, ok := p.([]any)
		if !ok || len(pair) != 2 {
			continue
		}
		a, _ := pair[0].(float64)
		b, _ := pair[1].(float64)
		const rad = math.Pi / 180
		h := math.Pow(math.Sin((a-lat)*rad/2), 2) + math.Cos(a*rad)*math.Cos(lat*rad)*math.Pow(math.Sin((b-lon)*rad/2), 2)
		best = min(best, 2*6371*math.Asin(math.Sqrt(h)))
	}
	return best
}

// splitOutside splits at a separator that stands in no backticks, brackets or parentheses.
func splitOutside(s, sep string) []string {
	var out []string
	depth, quoted, start := 0, false, 0
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '`':
			quoted = !quoted
		case quoted:
		case s[i] == '[' || s[i] == '(':
			depth++
		case s[i] == ']' || s[i] == ')':
			depth--
		case depth == 0 && strings.HasPrefix(s[i:], sep):
			out = append(out, s[start:i])
			i += len(sep) - 1
			start = i + 1
		}
	}
	return append(out, s[start:])
}

type hit struct {
	doc     object
	score   int64
	matched map[string][]string // field: the words that matched, as written
}

func (s *Server) search(name string, p params) (object, int, string) {
	c := s.find(name)
	if c == nil {
		return nil, 404, "Not found."
	}
	var by []string
	for f := range strings.SplitSeq(p["query_by"], ",") {
		f = strings.TrimSpace(f)
		if f == "" {
			continue
		}
		if c.field(f) == nil {
			return nil, 404, "Could not find a field named `" + f + "` in the schema."
		}
		by = append(by, f)
	}
	keep, status, complaint := c.filter(p["filter_by"])
	if complaint != "" {
		return nil, status, complaint
	}
	perPage, page := p.number("per_page", 10), max(1, p.number("page", 1))
	if perPage > 250 {
		return nil, 422, "Only upto 250 hits can be fetched per page."
	}
	order, status, complaint := c.sorting(p["sort_by"])
	if complaint != "" {
		return nil, status, complaint
	}
	var facets []string
	for f := range strings.SplitSeq(p["facet_by"], ",") {
		if f = strings.TrimSpace(f); f == "" {
			continue
		}
		if fo := c.field(f); fo == nil || !truth(fo, "facet") {
			return nil, 404, "Could not find a facet field named `" + f + "` in the schema."
		}
		facets = append(facets, f)
	}

	hits := c.match(p, by, keep)
	slices.SortStableFunc(hits, order)
	shown := []object{}
	from := (page - 1) * perPage
	if p["page"] == "" { // with a page, an offset is not read
		from = p.number("offset", from)
	}
	for _, h := range hits[min(from, len(hits)):min(from+perPage, len(hits))] {
		shown = append(shown, c.show(h, p))
	}
	counts := []object{}
	for _, f := range facets {
		counts = append(counts, count(hits, f, p))
	}
	return object{"facet_counts": counts, "found": len(hits), "hits": shown, "out_of": len(c.docs), "page": page,
		"request_params": object{"collection_name": c.name, "per_page": perPage, "q": p["q"]},
		"search_cutoff":  false, "search_time_ms": 0}, 0, ""
}

// match finds documents that hold every word, in any of the fields; with typos
// only when there would be too few without.
func (c *collection) match(p params, by []string, keep func(object) bool) []*hit {
	var wanted, without []string
	var phrases [][]string
	text := p["q"]
	for i, quoted := range strings.Split(text, `"`) {
		if i%2 == 1 {
			phrases = append(phrases, c.tokens(quoted))
			continue
		}
		for w := range strings.FieldsSeq(quoted) {
			if strings.HasPrefix(w, "-") && len(w) > 1 {
				without = append(without, c.tokens(w)...)
			} else {
				wanted = append(wanted, c.tokens(w)...)
			}
		}
	}
	try := func(typos bool) []*hit {
		var hits []*hit
		for _, id := range slices.Sorted(maps.Keys(c.docs)) {
			d := c.docs[id]
			if !keep(d) {
				continue
			}
			h := &hit{doc: d, matched: map[string][]string{}}
			if text == "*" || c.words(h, p, by, wanted, without, phrases, typos) {
				hits = append(hits, h)
			}
		}
		return hits
	}
	hits := try(false)
	if len(hits) < p.number("typo_tokens_threshold", 1) || len(hits) == 0 {
		if more := try(true); len(more) > len(hits) {
			hits = more
		}
	}
	return hits
}

func (c *collection) words(h *hit, p params, by, wanted, without []string, phrases [][]string, typos bool) bool {
	have := make([][]string, len(by))
	for i, f := range by {
		for _, t := range texts(h.doc[f]) {
			have[i] = append(have[i], c.tokens(t)...)
		}
		for _, w := range without {
			if slices.Contains(have[i], w) {
				return false
			}
		}
	}
	for _, phrase := range phrases {
		if !slices.ContainsFunc(have, func(words []string) bool {
			return strings.Contains(" "+strings.Join(words, " ")+" ", " "+strings.Join(phrase, " ")+" ")
		}) {
			return false
		}
	}
	if len(wanted) == 0 {
		return len(phrases) > 0 || len(without) > 0
	}
	for n, w := range wanted {
		found := false
		for i, f := range by {
			weight, _ := strconv.Atoi(p.at("query_by_weights", i, strconv.Itoa(len(by)-i)))
			prefix := n == len(wanted)-1 && p.at("prefix", i, "true") == "true"
			most, _ := strconv.Atoi(p.at("num_typos", i, "2"))
			most = min(most, search.Typos(w))
			if !typos {
				most = 0
			}
			for _, x := range have[i] {
				d := search.Distance(w, x, most)
				if prefix && strings.HasPrefix(x, w) {
					d = 0
				}
				if d <= most || c.synonymous(w, x) {
					found = true
					h.score = max(h.score, int64(weight*10-d))
					h.matched[f] = append(h.matched[f], x)
					break
				}
			}
		}
		if !found {
			return false
		}
	}
	return true
}

func (c *collection) synonymous(a, b string) bool {
	for _, s := range c.synonyms {
		if list := texts(s["synonyms"]); slices.Contains(list, a) && slices.Contains(list, b) {
			return true
		}
	}
	return false
}

// sorting reads sort_by; ties go to the later document, as in the real server.
func (c *collection) sorting(spec string) (func(a, b *hit) int, int, string) {
	type key struct {
		field string
		desc  bool
		geo   []float64
	}
	var keys []key
	for _, part := range splitOutside(spec, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, dir, _ := strings.Cut(part, ":")
		k := key{field: name, desc: dir != "asc"}
		if f, rest, ok := strings.Cut(name, "("); ok {
			k.field = f
			for n := range strings.SplitSeq(strings.TrimSuffix(rest, ")"), ",") {
				x, _ := strconv.ParseFloat(strings.TrimSpace(n), 64)
				k.geo = append(k.geo, x)
			}
		}
		if f := c.field(k.field); k.field != "_text_match" && (f == nil || !truth(f, "sort")) {
			return nil, 404, "Could not find a field named `" + k.field + "` in the schema for sorting."
		}
		keys = append(keys, k)
	}
	if len(keys) > 3 {
		return nil, 422, "Only upto 3 sort_by fields can be specified."
	}
	if len(keys) == 0 {
		keys = []key{{field: "_text_match", desc: true}, {field: str(c.schema, "default_sorting_field"), desc: true}}
	}
	return func(a, b *hit) int {
		for _, k := range keys {
			var n int
			switch {
			case k.field == "_text_match":
				n = cmp.Compare(a.score, b.score)
			case len(k.geo) == 2:
				n = cmp.Compare(nearest(a.doc[k.field], k.geo[0], k.geo[1]), nearest(b.doc[k.field], k.geo[0], k.geo[1]))
			default:
				x, _ := a.doc[k.field].(float64)
				y, _ := b.doc[k.field].(float64)
				n = cmp.Compare(x, y)
			}
			if k.desc {
				n = -n
			}
			if n != 0 {
				return n
			}
		}
		return c.order[str(b.doc, "id")] - c.order[str(a.doc, "id")]
	}, 0, ""
}

func (c *collection) show(h *hit, p params) object {
	out := object{"document": include(h.doc, p["include_fields"]), "highlight": object{}, "highlights": []any{}}
	if p["q"] != "*" {
		out["text_match"] = h.score
		out["text_match_info"] = object{"score": fmt.Sprint(h.score), "fields_matched": len(h.matched), "tokens_matched": 1,
			"best_field_score": "0", "best_field_weight": 15}
	}
	if strings.Contains(p["sort_by"], "(") {
		out["geo_distance_meters"] = object{"points": 0}
	}
	highlight, highlights := object{}, []any{}
	for _, f := range []string{"title"} {
		words := h.matched[f]
		value := str(h.doc, f)
		if len(words) == 0 || value == "" {
			continue
		}
		var marked, found []string
		for w := range strings.FieldsSeq(value) {
			if t := c.tokens(w); len(t) == 1 && slices.Contains(words, t[0]) {
				found = append(found, w)
				w = "<mark>" + w + "</mark>"
			}
			marked = append(marked, w)
		}
		o := object{"matched_tokens": found, "snippet": strings.Join(marked, " ")}
		if p["highlight_full_fields"] == f {
			o["value"] = o["snippet"]
		}
		highlight[f] = o
		old := maps.Clone(o)
		old["field"] = f
		highlights = append(highlights, old)
	}
	out["highlight"], out["highlights"] = highlight, highlights
	return out
}

func count(hits []*hit, f string, p params) object {
	n := map[string]int{}
	for _, h := range hits {
		for _, v := range texts(h.doc[f]) {
			n[v]++
		}
	}
	typed, only := strings.CutPrefix(p["facet_query"], f+":")
	counts := []object{}
	for _, v := range slices.SortedFunc(maps.Keys(n), func(a, b string) int { return cmp.Or(n[b]-n[a], strings.Compare(a, b)) }) {
		shown := v
		if only {
			if len(v) < len(typed) || !strings.EqualFold(v[:len(typed)], typed) {
				continue
			}
			shown = "<mark>" + v[:len(typed)] + "</mark>" + v[len(typed):]
		}
		if len(counts) < p.number("max_facet_values", 10) {
			counts = append(counts, object{"value": v, "count": n[v], "highlighted": shown})
		}
	}
	return object{"field_name": f, "counts": counts, "stats": object{"total_values": len(counts)}}
}
