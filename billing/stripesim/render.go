package stripesim

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// render writes v as the API's answer, with the asked ids replaced by objects.
func (t *tx) render(v any, expand []string) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil || len(expand) == 0 {
		return body, err
	}
	tree, err := parse(body)
	if err != nil {
		return nil, err
	}
	for _, path := range expand {
		if strings.Count(path, ".") > 4 {
			return nil, invalid("", "expand", "You cannot expand more than 4 levels of a property (%s).", path)
		}
		if err := t.expand(tree, path, path); err != nil {
			return nil, err
		}
	}
	return json.Marshal(tree)
}

func parse(body []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	err := dec.Decode(&v)
	return v, err
}

// derived are lists that an object shows only when they are asked for.
var derived = map[string]func(*tx, string) any{
	kSession + ".line_items": func(t *tx, id string) any { return t.lineItems(id) },
	kCharge + ".refunds":     func(t *tx, id string) any { return t.refundsOf(id) },
}

func (t *tx) expand(node any, path, whole string) error {
	if items, ok := node.([]any); ok {
		for _, item := range items {
			if err := t.expand(item, path, whole); err != nil {
				return err
			}
		}
		return nil
	}
	object, ok := node.(map[string]any)
	if !ok {
		return nil // null on the way: nothing to expand
	}
	name, rest, deeper := strings.Cut(path, ".")
	value, present := object[name]
	if id, isID := value.(string); isID {
		r := t.row(id)
		if r == nil || strings.HasPrefix(r.Kind, "sim.") {
			return notExpandable(whole)
		}
		child, err := parse(r.Body)
		if err != nil {
			return err
		}
		object[name] = child
	} else if value == nil {
		kind, _ := object["object"].(string)
		id, _ := object["id"].(string)
		if make := derived[kind+"."+name]; make != nil {
			body, err := json.Marshal(make(t, id))
			if err != nil {
				return err
			}
			if object[name], err = parse(body); err != nil {
				return err
			}
		} else if !present {
			return notExpandable(whole)
		}
	}
	if !deeper {
		return nil
	}
	return t.expand(object[name], rest, whole)
}

func notExpandable(path string) error {
	return invalid("", "expand", "This property cannot be expanded (%s).", path)
}

// page answers a list request over rows of a kind that belong to the caller's
// account: newest first, limit, starting_after, ending_before and created.
func page[T any](c *call, kind string, keep func(*T) bool) (any, error) {
	limit, after, before := c.cursor()
	from, to := c.createdRange()
	if c.params.err != nil {
		return nil, c.params.err
	}
	for name, id := range map[string]string{"starting_after": after, "ending_before": before} {
		if id == "" {
			continue
		}
		if r := c.row(id); r == nil || r.Kind != kind || r.Account != c.account {
			return nil, missing(kind, id, name)
		}
	}
	out := newList[*T](c.path)
	var newer []*T // between the top and ending_before
	started := after == ""
	c.scan(kind, func(r *row) bool {
		if r.Account != c.account {
			return true
		}
		if !started {
			started = r.ID == after
			return true
		}
		if r.ID == before {
			return false
		}
		if r.Created < from || r.Created > to {
			return true
		}
		v := decode[T](r)
		if keep != nil && !keep(v) {
			return true
		}
		if before != "" {
			newer = append(newer, v)
			return true
		}
		if len(out.Data) == limit {
			out.HasMore = true
			return false
		}
		out.Data = append(out.Data, v)
		return true
	})
	if before != "" {
		out.HasMore = len(newer) > limit
		out.Data = append(out.Data, newer[max(0, len(newer)-limit):]...)
	}
	return out, nil
}

func (p *params) cursor() (limit int, after, before string) {
	limit = 10
	if n := p.int("limit"); n != nil {
		if *n < 1 || *n > 100 {
			p.fail(invalid("parameter_invalid_integer", "limit", "This value must be between 1 and 100."))
		}
		limit = int(*n)
	}
	return limit, p.str("starting_after"), p.str("ending_before")
}

func (p *params) createdRange() (from, to int64) {
	from, to = 0, 1<<62
	if n := p.int("created"); n != nil {
		return *n, *n
	}
	for _, bound := range []struct {
		op   string
		set  *int64
		move int64
		up   bool
	}{{"gt", &from, 1, true}, {"gte", &from, 0, true}, {"lt", &to, -1, false}, {"lte", &to, 0, false}} {
		n := p.int("created[" + bound.op + "]")
		if n == nil {
			continue
		}
		if v := *n + bound.move; bound.up {
			*bound.set = max(*bound.set, v)
		} else {
			*bound.set = min(*bound.set, v)
		}
	}
	return from, to
}

// slicePage answers a list request over things that are not rows; id says what
// to call each. Oldest first, as given.
func slicePage[T any](c *call, all []T, id func(T) string) (any, error) {
	limit, after, before := c.cursor()
	if before != "" {
		return nil, unsupported("ending_before")
	}
	if after != "" {
		i := slices.IndexFunc(all, func(v T) bool { return id(v) == after })
		if i < 0 {
			return nil, invalid("resource_missing", "starting_after", "No such object: '%s'", after)
		}
		all = all[i+1:]
	}
	out := newList[T](c.path)
	out.HasMore = len(all) > limit
	out.Data = append(out.Data, all[:min(limit, len(all))]...)
	return out, nil
}

// newest collects up to n objects of a kind with their owners, for the pages.
func newest[T any](t *tx, kind string, n int, keep func(account string, v *T) bool) []owned[T] {
	var out []owned[T]
	t.scan(kind, func(r *row) bool {
		if v := decode[T](r); keep == nil || keep(r.Account, v) {
			out = append(out, owned[T]{Account: r.Account, V: v, Seq: r.Seq})
		}
		return len(out) < n
	})
	slices.SortFunc(out, func(a, b owned[T]) int { return cmp.Compare(b.Seq, a.Seq) })
	return out
}

type owned[T any] struct {
	Account string
	V       *T
	Seq     int64
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

func mustJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Errorf("render: %w", err))
	}
	return b
}
