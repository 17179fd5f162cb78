package themes

import (
	"net/url"
	"sort"
	"strconv"
	"strings"

	"shingle/tenant"
)

// Key names a cached page. Everything that can change a page is in it; a
// change of the board moves its generation.
type Key struct {
	Tenant     tenant.ID
	Generation int64
	Path       string
	Query      string // from NormalQuery
	Locale     string
}

// Encoding is how a body is compressed.
type Encoding uint8

// The encodings that a page is kept in.
const (
	Identity Encoding = iota
	Gzip
	Brotli
)

// PickEncoding reads an Accept-Encoding header without allocating. An encoding
// with q=0 is refused.
func PickEncoding(accept string) Encoding {
	best := Identity
	for accept != "" {
		var item string
		item, accept, _ = strings.Cut(accept, ",")
		name, params, _ := strings.Cut(strings.TrimSpace(item), ";")
		if q, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok && strings.Trim(q, "0.") == "" {
			continue
		}
		switch strings.TrimSpace(name) {
		case "br":
			best = Brotli
		case "gzip", "*":
			if best == Identity {
				best = Gzip
			}
		}
	}
	return best
}

// maxQuery bounds what a cached page's query may be; longer ones are rendered
// and not kept.
const maxQuery = 512

// NormalQuery keeps the known parameters of a raw query, trims and sorts them,
// and drops empty and repeated values, so that junk does not grow the cache.
// ok is false when the query can't be read or is too long to keep.
func NormalQuery(raw string, known ...string) (query string, ok bool) {
	if raw == "" {
		return "", true
	}
	if len(raw) > 4<<10 {
		return "", false
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return "", false
	}
	var pairs []string
	for _, name := range known {
		for _, v := range values[name] {
			v = strings.Join(strings.Fields(v), " ")
			if v == "" || (name == "page" && v == "1") {
				continue
			}
			pairs = append(pairs, url.QueryEscape(name)+"="+url.QueryEscape(v))
		}
	}
	sort.Strings(pairs)
	out := pairs[:0]
	for i, pair := range pairs {
		if i == 0 || pair != pairs[i-1] {
			out = append(out, pair)
		}
	}
	query = strings.Join(out, "&")
	return query, len(query) <= maxQuery
}

func itoa(n int) string { return strconv.Itoa(n) }

// matches reads If-None-Match: a list of tags, weak or not, or "*".
func matches(header, tag string) bool {
	for header != "" {
		var one string
		one, header, _ = strings.Cut(header, ",")
		one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
		if one == tag || one == "*" {
			return true
		}
	}
	return false
}
