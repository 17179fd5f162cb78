package typesensedouble

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
)

func (s *Server) putAlias(w http.ResponseWriter, r *http.Request) {
	name, target := r.PathValue("a"), str(body(r), "collection_name")
	s.aliases[name] = target // it need not exist
	answer(w, 200, object{"name": name, "collection_name": target})
}

func (s *Server) getAlias(w http.ResponseWriter, r *http.Request) { s.alias(w, r, false) }

func (s *Server) deleteAlias(w http.ResponseWriter, r *http.Request) { s.alias(w, r, true) }

func (s *Server) alias(w http.ResponseWriter, r *http.Request, drop bool) {
	name := r.PathValue("a")
	target, ok := s.aliases[name]
	if !ok {
		message(w, 404, "Not Found")
		return
	}
	if drop {
		delete(s.aliases, name)
	}
	answer(w, 200, object{"name": name, "collection_name": target})
}

func (s *Server) listAliases(w http.ResponseWriter, _ *http.Request) {
	out := []object{}
	for _, name := range slices.Sorted(maps.Keys(s.aliases)) {
		out = append(out, object{"name": name, "collection_name": s.aliases[name]})
	}
	answer(w, 200, object{"aliases": out})
}

func (s *Server) createKey(w http.ResponseWriter, r *http.Request) {
	o := body(r)
	raw := make([]byte, 16)
	_, _ = rand.Read(raw)
	k := &key{id: s.nextKey, value: hex.EncodeToString(raw), actions: texts(o["actions"]), collections: texts(o["collections"]), description: str(o, "description")}
	s.nextKey++
	s.keys = append(s.keys, k)
	out := k.shown()
	out["value"] = k.value
	delete(out, "value_prefix")
	answer(w, 201, out)
}

func (k *key) shown() object {
	return object{"id": k.id, "actions": k.actions, "collections": k.collections, "description": k.description,
		"expires_at": int64(64723363199), "value_prefix": k.value[:4]}
}

func (s *Server) listKeys(w http.ResponseWriter, _ *http.Request) {
	out := []object{}
	for _, k := range s.keys {
		out = append(out, k.shown())
	}
	answer(w, 200, object{"keys": out})
}

func (s *Server) deleteKey(w http.ResponseWriter, r *http.Request) {
	id, _ := strconv.Atoi(r.PathValue("id"))
	n := len(s.keys)
	s.keys = slices.DeleteFunc(s.keys, func(k *key) bool { return k.id == id })
	if len(s.keys) == n {
		message(w, 404, "Not found.")
		return
	}
	answer(w, 200, object{"id": id})
}

func (s *Server) putSynonym(w http.ResponseWriter, r *http.Request) {
	if c := s.find(r.PathValue("c")); c != nil {
		o := body(r)
		o["id"] = r.PathValue("id")
		c.synonyms[r.PathValue("id")] = o
		answer(w, 200, o)
		return
	}
	message(w, 404, "Not found.")
}

func (s *Server) listSynonyms(w http.ResponseWriter, r *http.Request) {
	out := []object{}
	if c := s.find(r.PathValue("c")); c != nil {
		for _, o := range c.synonyms {
			shown := maps.Clone(o)
			shown["root"] = str(o, "root")
			out = append(out, shown)
		}
	}
	answer(w, 200, object{"synonyms": out})
}

func (s *Server) deleteSynonym(w http.ResponseWriter, r *http.Request) {
	if c := s.find(r.PathValue("c")); c != nil {
		delete(c.synonyms, r.PathValue("id"))
	}
	answer(w, 200, object{"id": r.PathValue("id")})
}

func (s *Server) searchOne(w http.ResponseWriter, r *http.Request) {
	p := params{}
	for name, v := range r.URL.Query() {
		p[name] = v[0]
	}
	result, status, complaint := s.search(r.PathValue("c"), p)
	if complaint != "" {
		message(w, status, "%s", complaint)
		return
	}
	answer(w, 200, result)
}

func (s *Server) multiSearch(w http.ResponseWriter, r *http.Request) {
	searches, _ := body(r)["searches"].([]any)
	key := r.Header.Get("X-Typesense-Api-Key")
	results := []object{}
	for _, one := range searches {
		o, _ := one.(object)
		filter, ok := s.maySearch(key, str(o, "collection"))
		if !ok {
			refuse(w)
			return
		}
		p := params{}
		for name, v := range r.URL.Query() {
			p[name] = v[0]
		}
		for name, v := range o {
			p[name] = fmt.Sprint(v)
		}
		p["filter_by"] = both(p["filter_by"], filter)
		result, status, complaint := s.search(str(o, "collection"), p)
		if complaint != "" {
			result = object{"code": status, "error": complaint}
		}
		results = append(results, result)
	}
	answer(w, 200, object{"results": results})
}

// ScopedKey derives a key that carries parameters, as clients do it.
func ScopedKey(parent, parameters string) string {
	mac := hmac.New(sha256.New, []byte(parent))
	mac.Write([]byte(parameters))
	return base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString(mac.Sum(nil)) + parent[:4] + parameters))
}
