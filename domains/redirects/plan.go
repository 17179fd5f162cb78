package redirects

import (
	"iter"
	"strings"
)

// plan is a board's map while it changes: it refuses circles and makes chains
// one hop long.
type plan struct {
	exact   map[string]*Redirect
	wild    map[string]*Redirect
	changed []*Redirect
}

func newPlan(list []*Redirect) *plan {
	p := &plan{exact: map[string]*Redirect{}, wild: map[string]*Redirect{}}
	for _, r := range list {
		p.put(r)
	}
	return p
}

func (p *plan) put(r *Redirect) {
	if r.Wildcard {
		p.wild[r.Source] = r
	} else {
		p.exact[r.Source] = r
	}
}

// at is the redirect of a path of the board.
func (p *plan) at(path string) *Redirect {
	path = Clean(path)
	if r := p.exact[path]; r != nil {
		return r
	}
	for i := len(path); i > 0; i-- {
		if r := p.wild[path[:i]]; r != nil {
			return r
		}
	}
	return nil
}

// add puts a redirect into the map, led to its end at once. The result is a
// catalogue key when it is refused: a circle must hold the newest redirect, or
// go through its wildcard.
func (p *plan) add(r *Redirect) string {
	group := p.exact
	if r.Wildcard {
		group = p.wild
	}
	if group[r.Source] != nil {
		return "redirect.source.taken|" + r.From()
	}
	group[r.Source] = r
	key := p.follow(r)
	if key == "" && r.Wildcard {
		for other := range p.leadingTo(r) {
			probe := *other
			if key = p.follow(&probe); key != "" {
				break
			}
		}
	}
	if key != "" {
		delete(group, r.Source)
	}
	return key
}

// leadingTo is who leads to an address of r.
func (p *plan) leadingTo(r *Redirect) iter.Seq[*Redirect] {
	return func(yield func(*Redirect) bool) {
		for _, group := range []map[string]*Redirect{p.exact, p.wild} {
			for _, other := range group {
				if other != r && other.Target != "" && !other.External() && !strings.HasSuffix(other.Target, "*") && p.at(pathOf(other.Target)) == r && !yield(other) {
					return
				}
			}
		}
	}
}

// settle makes every chain one hop: who led to an address that leads on goes
// to the end.
func (p *plan) settle() {
	for _, group := range []map[string]*Redirect{p.exact, p.wild} {
		for _, r := range group {
			before := r.Target
			passed, key := p.walk(r)
			if key != "" {
				r.Target = before
			}
			if r.Target == before {
				continue
			}
			p.changed = append(p.changed, r)
			// Those on the way have the same end: nobody walks it again.
			for _, on := range passed {
				if !on.Wildcard && on.Target != r.Target && !strings.ContainsAny(on.Target, "?#") {
					on.Target = r.Target
					p.changed = append(p.changed, on)
				}
			}
		}
	}
}

// follow leads a redirect to its end; a circle gives a key.
func (p *plan) follow(r *Redirect) string {
	_, key := p.walk(r)
	return key
}

func (p *plan) walk(r *Redirect) (passed []*Redirect, key string) {
	typed := r.Target
	loop := func() ([]*Redirect, string) {
		r.Target = typed
		return nil, "redirect.loop|" + r.From() + "|" + typed
	}
	if r.Wildcard && within(r) {
		return loop()
	}
	for range Max {
		if r.Target == "" || r.External() {
			return passed, ""
		}
		if strings.HasSuffix(r.Target, "*") {
			return passed, p.followWild(r)
		}
		next := p.at(pathOf(r.Target))
		if next == nil {
			return passed, ""
		}
		if next == r {
			return loop()
		}
		if next.Gone() || strings.ContainsAny(r.Target, "?#") {
			return passed, ""
		}
		passed = append(passed, next)
		r.Target = next.Leads(pathOf(r.Target), "")
	}
	return loop()
}

// followWild refuses a wildcard whose targets are sources again: where the rest
// of a path leads can't be known for all paths.
func (p *plan) followWild(r *Redirect) string {
	base := Clean(strings.TrimSuffix(pathOf(r.Target), "*"))
	if next := p.at(base); next != nil && next.Wildcard {
		return "redirect.chain|" + r.Target + "|" + next.From()
	}
	return ""
}

// within reports a wildcard that leads into itself.
func within(r *Redirect) bool {
	return !r.External() && r.Target != "" && strings.HasPrefix(Clean(strings.TrimSuffix(pathOf(r.Target), "*")), strings.TrimSuffix(r.Source, "/"))
}

func pathOf(target string) string {
	if i := strings.IndexAny(target, "?#"); i >= 0 {
		return target[:i]
	}
	return target
}
