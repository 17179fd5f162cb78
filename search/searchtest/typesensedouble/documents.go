package typesensedouble

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// put checks a document against the schema and stores it. The text is the
// server's complaint.
func (c *collection) put(d object) string {
	if by := str(c.schema, "default_sorting_field"); by != "" {
		if _, ok := d[by]; !ok {
			return "Field `" + by + "` has been declared as a default sorting field, but is not found in the document."
		}
	}
	for _, f := range c.fields {
		name, typ := str(f, "name"), str(f, "type")
		v, ok := d[name]
		if strings.Contains(name, "*") {
			continue
		}
		if !ok {
			if !truth(f, "optional") {
				return "Field `" + name + "` has been declared in the schema, but is not found in the document."
			}
			continue
		}
		fits := true
		switch typ {
		case "string":
			_, fits = v.(string)
		case "string[]":
			_, fits = v.([]any)
		case "int32", "int64", "float":
			_, fits = v.(float64)
		}
		if !fits {
			article := "a "
			if strings.HasPrefix(typ, "int") {
				article = "an "
			}
			return "Field `" + name + "` must be " + article + typ + "."
		}
	}
	c.addFields(d)
	id := str(d, "id")
	if id == "" {
		id = strconv.Itoa(c.serial)
		d["id"] = id
	}
	if _, there := c.docs[id]; !there {
		c.serial++
		c.order[id] = c.serial
	}
	c.docs[id] = d
	return ""
}

// addFields makes fields for names that a pattern of the schema takes.
func (c *collection) addFields(d object) {
	for _, name := range slices.Sorted(maps.Keys(d)) {
		if name == "id" || c.field(name) != nil {
			continue
		}
		for _, f := range c.fields {
			pattern := str(f, "name")
			if !strings.Contains(pattern, "*") {
				continue
			}
			if ok, _ := regexp.MatchString("^"+pattern+"$", name); ok {
				n := maps.Clone(f)
				n["name"], n["type"] = name, "string"
				c.fields = append(c.fields, n)
				break
			}
		}
	}
}

func (s *Server) writeDocument(w http.ResponseWriter, r *http.Request) {
	c := s.find(r.PathValue("c"))
	if c == nil {
		message(w, 404, "Not found.")
		return
	}
	d := body(r)
	if _, there := c.docs[str(d, "id")]; there && r.URL.Query().Get("action") != "upsert" {
		message(w, 409, "A document with id %s already exists.", str(d, "id"))
		return
	}
	if complaint := c.put(d); complaint != "" {
		message(w, 400, "%s", complaint)
		return
	}
	answer(w, 201, d)
}

func (s *Server) importDocuments(w http.ResponseWriter, r *http.Request) {
	c := s.find(r.PathValue("c"))
	if c == nil {
		message(w, 404, "Not found.")
		return
	}
	var lines []string
	sc := bufio.NewScanner(r.Body)
	sc.Buffer(nil, 16<<20)
	for sc.Scan() {
		line := sc.Text()
		if strings.TrimSpace(line) == "" {
			continue
		}
		complaint := ""
		var d object
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			complaint = badJSON(line)
		} else {
			complaint = c.put(d)
		}
		out := object{"success": complaint == ""}
		if complaint != "" {
			out["code"], out["document"], out["error"] = 400, line, complaint
		} else if r.URL.Query().Get("return_id") == "true" {
			out["id"] = d["id"]
		}
		b, _ := json.Marshal(out)
		lines = append(lines, string(b))
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf8")
	_, _ = io.WriteString(w, strings.Join(lines, "\n"))
}

func badJSON(line string) string {
	return "Bad JSON: [json.exception.parse_error.101] parse error at line 1, column 2: syntax error while parsing value - invalid literal; last read: '" + line[:min(2, len(line))] + "'"
}

func (s *Server) getDocument(w http.ResponseWriter, r *http.Request) {
	s.one(w, r, func(*collection, string) {})
}

func (s *Server) deleteDocument(w http.ResponseWriter, r *http.Request) {
	s.one(w, r, func(c *collection, id string) { delete(c.docs, id) })
}

func (s *Server) patchDocument(w http.ResponseWriter, r *http.Request) {
	c := s.find(r.PathValue("c"))
	if c == nil || c.docs[r.PathValue("id")] == nil {
		message(w, 404, "Could not find a document with id: %s", r.PathValue("id"))
		return
	}
	maps.Copy(c.docs[r.PathValue("id")], body(r))
	answer(w, 201, c.docs[r.PathValue("id")])
}

func (s *Server) one(w http.ResponseWriter, r *http.Request, then func(*collection, string)) {
	c := s.find(r.PathValue("c"))
	if c == nil {
		message(w, 404, "Not found.")
		return
	}
	id := r.PathValue("id")
	d, ok := c.docs[id]
	if !ok {
		message(w, 404, "Could not find a document with id: %s", id)
		return
	}
	then(c, id)
	answer(w, 200, d)
}

func (s *Server) deleteByFilter(w http.ResponseWriter, r *http.Request) {
	c := s.find(r.PathValue("c"))
	if c == nil {
		message(w, 404, "Not found.")
		return
	}
	keep, status, complaint := c.filter(r.URL.Query().Get("filter_by"))
	if complaint != "" {
		message(w, status, "%s", complaint)
		return
	}
	n := 0
	for id, d := range c.docs {
		if keep(d) {
			delete(c.docs, id)
			n++
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(object{"num_deleted": n})
}

func (s *Server) export(w http.ResponseWriter, r *http.Request) {
	c := s.find(r.PathValue("c"))
	if c == nil {
		message(w, 404, "Not found.")
		return
	}
	var buf bytes.Buffer
	for i, id := range slices.SortedFunc(maps.Keys(c.docs), func(a, b string) int { return c.order[a] - c.order[b] }) {
		if i > 0 {
			buf.WriteByte('\n')
		}
		b, _ := json.Marshal(include(c.docs[id], r.URL.Query().Get("include_fields")))
		buf.Write(b)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(buf.Bytes())
}

func include(d object, fields string) object {
	if fields == "" {
		return d
	}
	out := object{}
	for f := range strings.SplitSeq(fields, ",") {
		if v, ok := d[strings.TrimSpace(f)]; ok {
			out[strings.TrimSpace(f)] = v
		}
	}
	return out
}
