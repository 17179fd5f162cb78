package stripesim

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// params are a request's form values under Stripe's bracketed names. The first
// wrong one is remembered in err; what nobody read is unknown, and refused.
type params struct {
	v    url.Values
	read map[string]bool
	err  error
}

func newParams(v url.Values) *params { return &params{v: v, read: map[string]bool{}} }

func (p *params) fail(e *Error) {
	if p.err == nil {
		p.err = e
	}
}

// done reports the first problem, unknown parameters last.
func (p *params) done() error {
	if p.err != nil {
		return p.err
	}
	var rest []string
	for name := range p.v {
		if !p.read[name] {
			rest = append(rest, name)
		}
	}
	if len(rest) == 0 {
		return nil
	}
	return unsupported(slices.Min(rest))
}

// str is a value or "", which in Stripe's encoding means unset.
func (p *params) str(name string) string {
	p.read[name] = true
	return p.v.Get(name)
}

func (p *params) has(name string) bool { return p.v.Get(name) != "" }

// under says whether anything begins with prefix[.
func (p *params) under(prefix string) bool {
	for name := range p.v {
		if strings.HasPrefix(name, prefix+"[") {
			return true
		}
	}
	return false
}

func (p *params) need(name string) string {
	s := p.str(name)
	if s == "" {
		p.fail(invalid("parameter_missing", name, "Missing required param: %s.", name))
	}
	return s
}

func (p *params) max(name string, n int) string {
	s := p.str(name)
	if len([]rune(s)) > n {
		p.fail(invalid("parameter_invalid_string", name, "Invalid string: %s…; must be at most %d characters", string([]rune(s)[:10]), n))
	}
	return s
}

// int is nil when the value is unset.
func (p *params) int(name string) *int64 {
	s := p.str(name)
	if s == "" {
		return nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		p.fail(invalid("parameter_invalid_integer", name, "Invalid integer: %s", s))
		return nil
	}
	return &n
}

// positive is int for what must be at least one.
func (p *params) positive(name string) *int64 {
	n := p.int(name)
	if n != nil && *n < 1 {
		p.fail(invalid("parameter_invalid_integer", name, "This value must be greater than or equal to 1."))
	}
	return n
}

func (p *params) flag(name string) bool {
	switch s := p.str(name); s {
	case "", "false":
		return false
	case "true":
		return true
	default:
		p.fail(invalid("", name, "Invalid boolean: %s", s))
		return false
	}
}

func (p *params) choice(name string, allowed ...string) string {
	s := p.str(name)
	if s != "" && !slices.Contains(allowed, s) {
		p.fail(invalid("", name, "Invalid %s: must be one of %s", name, strings.Join(allowed, ", ")))
	}
	return s
}

func (p *params) link(name string) string {
	s := p.str(name)
	if s == "" {
		return ""
	}
	u, err := url.Parse(strings.ReplaceAll(s, sessionMark, "x"))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		p.fail(invalid("url_invalid", name, "Not a valid URL"))
	}
	return s
}

func (p *params) needLink(name string) string {
	p.need(name)
	return p.link(name)
}

// dict reads prefix[key]=value pairs and holds them to metadata's limits.
func (p *params) dict(prefix string) meta {
	out := meta{}
	for name := range p.v {
		key, ok := strings.CutPrefix(name, prefix+"[")
		if !ok || !strings.HasSuffix(key, "]") {
			continue
		}
		p.read[name] = true
		key = strings.TrimSuffix(key, "]")
		value := p.v.Get(name)
		switch {
		case len([]rune(key)) > 40:
			p.fail(invalid("", prefix, "Metadata keys can have up to 40 characters."))
		case len([]rune(value)) > 500:
			p.fail(invalid("", name, "Metadata values can have up to 500 characters, but you passed in a value that is %d characters.", len([]rune(value))))
		}
		if value != "" {
			out[key] = value
		}
	}
	if len(out) > 50 {
		p.fail(invalid("", prefix, "Metadata can have up to 50 keys."))
	}
	return out
}

// mergeMeta reads metadata of an update: an empty value removes its key.
func (p *params) mergeMeta(old meta) meta {
	for name := range p.v {
		if key, ok := strings.CutPrefix(name, "metadata["); ok && p.v.Get(name) == "" {
			delete(old, strings.TrimSuffix(key, "]"))
		}
	}
	for k, v := range p.dict("metadata") {
		if old == nil {
			old = meta{}
		}
		old[k] = v
	}
	return old
}

// each names the elements of an array: line_items[0], line_items[1] …
func (p *params) each(prefix string) []string {
	seen := map[int]bool{}
	for name := range p.v {
		rest, ok := strings.CutPrefix(name, prefix+"[")
		if !ok {
			continue
		}
		index, _, _ := strings.Cut(rest, "]")
		if n, err := strconv.Atoi(index); err == nil && n >= 0 {
			seen[n] = true
		}
	}
	var out []string
	for _, n := range sortedKeys(seen) {
		out = append(out, prefix+"["+strconv.Itoa(n)+"]")
	}
	return out
}

// list reads an array of strings, as prefix[0]= or prefix[]=.
func (p *params) list(prefix string) []string {
	p.read[prefix+"[]"] = true
	out := slices.Clone(p.v[prefix+"[]"])
	for _, name := range p.each(prefix) {
		out = append(out, p.str(name))
	}
	return out
}

// accept marks parameters that change nothing here.
func (p *params) accept(prefixes ...string) {
	for name := range p.v {
		for _, prefix := range prefixes {
			if name == prefix || strings.HasPrefix(name, prefix+"[") {
				p.read[name] = true
			}
		}
	}
}

func sortedKeys(m map[int]bool) []int {
	out := make([]int, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
