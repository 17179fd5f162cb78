// Package typesensedouble is an in-memory Typesense for tests: the requests
// that the adapter makes, answered with the status codes and bodies of a real
// 0.24.1 server. It ranks by rules of its own, simpler than the real ones.
// Start at New.
package typesensedouble

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
)

type object = map[string]any

// Server answers as Typesense does.
type Server struct {
	mux *http.ServeMux

	mu          sync.Mutex
	admin       string
	ready       bool
	down        bool
	collections map[string]*collection
	aliases     map[string]string
	keys        []*key
	nextKey     int
	requests    int
}

type collection struct {
	name       string
	schema     object
	fields     []object
	separators string
	symbols    string
	docs       map[string]object
	order      map[string]int // insertion
	serial     int
	synonyms   map[string]object
}

type key struct {
	id          int
	value       string
	actions     []string
	collections []string
	description string
}

// New makes an empty server with that admin key.
func New(admin string) *Server {
	s := &Server{mux: http.NewServeMux(), admin: admin, ready: true, collections: map[string]*collection{}, aliases: map[string]string{}}
	for pattern, h := range map[string]func(http.ResponseWriter, *http.Request){
		"GET /debug":                             s.debug,
		"GET /collections":                       s.listCollections,
		"POST /collections":                      s.createCollection,
		"GET /collections/{c}":                   s.getCollection,
		"PATCH /collections/{c}":                 s.alterCollection,
		"DELETE /collections/{c}":                s.deleteCollection,
		"POST /collections/{c}/documents":        s.writeDocument,
		"DELETE /collections/{c}/documents":      s.deleteByFilter,
		"POST /collections/{c}/documents/import": s.importDocuments,
		"GET /collections/{c}/documents/export":  s.export,
		"GET /collections/{c}/documents/search":  s.searchOne,
		"GET /collections/{c}/documents/{id}":    s.getDocument,
		"DELETE /collections/{c}/documents/{id}": s.deleteDocument,
		"PATCH /collections/{c}/documents/{id}":  s.patchDocument,
		"GET /collections/{c}/synonyms":          s.listSynonyms,
		"PUT /collections/{c}/synonyms/{id}":     s.putSynonym,
		"DELETE /collections/{c}/synonyms/{id}":  s.deleteSynonym,
		"GET /aliases":                           s.listAliases,
		"PUT /aliases/{a}":                       s.putAlias,
		"GET /aliases/{a}":                       s.getAlias,
		"DELETE /aliases/{a}":                    s.deleteAlias,
		"POST /multi_search":                     s.multiSearch,
		"GET /keys":                              s.listKeys,
		"POST /keys":                             s.createKey,
		"DELETE /keys/{id}":                      s.deleteKey,
		"GET /stats.json":                        s.figures("search_latency_ms"),
		"GET /metrics.json":                      s.figures("typesense_memory_active_bytes"),
	} {
		s.mux.HandleFunc(pattern, h)
	}
	return s
}

// SetReady makes /health answer {"ok": false}, as for some seconds after a start.
func (s *Server) SetReady(ready bool) { s.with(func() { s.ready = ready }) }

// SetDown makes every request fail with 503.
func (s *Server) SetDown(down bool) { s.with(func() { s.down = down }) }

// Requests counts what was asked.
func (s *Server) Requests() (n int) { s.with(func() { n = s.requests }); return n }

// Collections lists the names of what is there.
func (s *Server) Collections() (names []string) {
	s.with(func() { names = slices.Sorted(maps.Keys(s.collections)) })
	return names
}

// Aliases lists the names of the aliases.
func (s *Server) Aliases() (names []string) {
	s.with(func() { names = slices.Sorted(maps.Keys(s.aliases)) })
	return names
}

// Keys lists what the keys are for, oldest first.
func (s *Server) Keys() (descriptions []string) {
	s.with(func() {
		for _, k := range s.keys {
			descriptions = append(descriptions, k.description)
		}
	})
	return descriptions
}

// Wipe forgets everything, keys too, as a server that lost its disk.
func (s *Server) Wipe() {
	s.with(func() {
		s.collections, s.aliases, s.keys = map[string]*collection{}, map[string]string{}, nil
	})
}

func (s *Server) with(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// ServeHTTP checks the key and answers. One request at a time: a double.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	if s.down {
		message(w, 503, "Not Ready or Lagging")
		return
	}
	if r.URL.Path == "/health" {
		answer(w, 200, object{"ok": s.ready})
		return
	}
	if r.URL.Path != "/multi_search" { // checks each of its searches
		filter, ok := s.allowed(r.Header.Get("X-Typesense-Api-Key"), r)
		if !ok {
			refuse(w)
			return
		}
		if filter != "" {
			q := r.URL.Query()
			q.Set("filter_by", both(q.Get("filter_by"), filter))
			r.URL.RawQuery = q.Encode()
		}
	}
	s.mux.ServeHTTP(w, r)
}

func refuse(w http.ResponseWriter) {
	message(w, 401, "Forbidden - a valid `x-typesense-api-key` header must be sent.")
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func message(w http.ResponseWriter, status int, format string, args ...any) {
	answer(w, status, object{"message": fmt.Sprintf(format, args...)})
}

// allowed says whether the key may do that, and the filter it carries.
func (s *Server) allowed(value string, r *http.Request) (filter string, ok bool) {
	if value == s.admin {
		return "", true
	}
	parts := strings.Split(r.URL.Path, "/")
	if len(parts) < 5 || parts[1] != "collections" || parts[4] != "search" {
		return "", false
	}
	return s.maySearch(value, parts[2])
}

// maySearch holds a search-only key, or one scoped by HMAC, against a name as
// it was asked for, alias or collection.
func (s *Server) maySearch(value, name string) (filter string, ok bool) {
	if value == s.admin {
		return "", true
	}
	for _, k := range s.keys {
		granted := k.value == value
		if !granted {
			filter, granted = scoped(k.value, value)
		}
		if !granted || !slices.Contains(k.actions, "documents:search") {
			continue
		}
		for _, pattern := range k.collections {
			if m, err := regexp.MatchString("^(?:"+pattern+")$", name); err == nil && m {
				return filter, true
			}
		}
	}
	return "", false
}

// scoped reads base64(hmac + first four letters of the key + parameters).
func scoped(parent, value string) (filter string, ok bool) {
	raw, err := base64.StdEncoding.DecodeString(value)
	if err != nil || len(raw) < 48 || len(parent) < 4 || string(raw[44:48]) != parent[:4] {
		return "", false
	}
	mac := hmac.New(sha256.New, []byte(parent))
	mac.Write(raw[48:])
	if base64.StdEncoding.EncodeToString(mac.Sum(nil)) != string(raw[:44]) {
		return "", false
	}
	var p struct {
		FilterBy string `json:"filter_by"`
	}
	return p.FilterBy, json.Unmarshal(raw[48:], &p) == nil
}

func both(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + " && " + b
}

func (s *Server) debug(w http.ResponseWriter, _ *http.Request) {
	answer(w, 200, object{"state": 1, "version": "0.24.1"})
}

func (s *Server) figures(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, object{name: 0}) }
}

// find resolves an alias or a name.
func (s *Server) find(name string) *collection {
	if target, ok := s.aliases[name]; ok {
		name = target
	}
	return s.collections[name]
}

func body(r *http.Request) object {
	var o object
	_ = json.NewDecoder(r.Body).Decode(&o)
	return o
}

func str(o object, name string) string { v, _ := o[name].(string); return v }

func truth(o object, name string) bool { v, _ := o[name].(bool); return v }

func texts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, e := range v {
			if t, ok := e.(string); ok {
				out = append(out, t)
			}
		}
		return out
	}
	return nil
}

var fieldTypes = []string{"string", "string[]", "int32", "int32[]", "int64", "int64[]", "float", "float[]", "bool", "bool[]",
	"geopoint", "geopoint[]", "auto", "string*", "object", "object[]"}

func field(f object) object {
	typ := str(f, "type")
	sorts := strings.HasPrefix(typ, "int") || strings.HasPrefix(typ, "float") || strings.HasPrefix(typ, "geopoint") || typ == "bool"
	if v, ok := f["sort"].(bool); ok {
		sorts = v
	}
	return object{"name": str(f, "name"), "type": typ, "facet": truth(f, "facet"), "optional": truth(f, "optional"),
		"index": true, "infix": truth(f, "infix"), "locale": str(f, "locale"), "sort": sorts}
}

func (s *Server) createCollection(w http.ResponseWriter, r *http.Request) {
	o := body(r)
	name := str(o, "name")
	if s.collections[name] != nil {
		message(w, 409, "A collection with name `%s` already exists.", name)
		return
	}
	c := &collection{name: name, docs: map[string]object{}, order: map[string]int{}, synonyms: map[string]object{}, schema: o,
		separators: strings.Join(texts(o["token_separators"]), ""), symbols: strings.Join(texts(o["symbols_to_index"]), "")}
	fields, _ := o["fields"].([]any)
	for _, f := range fields {
		fo, _ := f.(object)
		if !slices.Contains(fieldTypes, str(fo, "type")) {
			message(w, 400, "Field `%s` has an invalid data type `%s`, see docs for supported data types.", str(fo, "name"), str(fo, "type"))
			return
		}
		c.fields = append(c.fields, field(fo))
	}
	s.collections[name] = c
	answer(w, 201, c.summary())
}

func list(v any) any {
	if v == nil {
		return []any{}
	}
	return v
}

func (c *collection) summary() object {
	return object{"name": c.name, "num_documents": len(c.docs), "fields": c.fields, "created_at": 1795390879,
		"default_sorting_field": str(c.schema, "default_sorting_field"), "enable_nested_fields": false,
		"symbols_to_index": list(c.schema["symbols_to_index"]), "token_separators": list(c.schema["token_separators"])}
}

func (c *collection) field(name string) object {
	for _, f := range c.fields {
		if f["name"] == name {
			return f
		}
	}
	return nil
}

func (s *Server) listCollections(w http.ResponseWriter, _ *http.Request) {
	out := []object{}
	for _, name := range slices.Sorted(maps.Keys(s.collections)) {
		out = append(out, s.collections[name].summary())
	}
	answer(w, 200, out)
}

func (s *Server) getCollection(w http.ResponseWriter, r *http.Request) {
	if c := s.find(r.PathValue("c")); c != nil {
		answer(w, 200, c.summary())
		return
	}
	message(w, 404, "Not Found")
}

func (s *Server) deleteCollection(w http.ResponseWriter, r *http.Request) {
	c := s.find(r.PathValue("c"))
	if c == nil {
		message(w, 404, "No collection with name `%s` found.", r.PathValue("c"))
		return
	}
	delete(s.collections, c.name)
	answer(w, 200, c.summary())
}

func (s *Server) alterCollection(w http.ResponseWriter, r *http.Request) {
	c := s.find(r.PathValue("c"))
	if c == nil {
		message(w, 404, "Not Found")
		return
	}
	var out []object
	fields, _ := body(r)["fields"].([]any)
	for _, f := range fields {
		fo, _ := f.(object)
		if truth(fo, "drop") {
			c.fields = slices.DeleteFunc(c.fields, func(x object) bool { return x["name"] == fo["name"] })
			out = append(out, fo)
			continue
		}
		n := field(fo)
		c.fields = append(c.fields, n)
		shown := maps.Clone(n)
		maps.Copy(shown, object{"nested": false, "nested_array": 0, "num_dim": 0, "vec_dist": "cosine"})
		out = append(out, shown)
	}
	answer(w, 200, object{"fields": out})
}
