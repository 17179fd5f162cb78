package typesensedouble_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"shingle/search/searchtest/typesensedouble"
)

type exchange struct {
	Name    string `json:"name"`
	Request struct {
		Method, Path, Key string
		Body              json.RawMessage
	} `json:"request"`
	Response struct {
		Status      int             `json:"status"`
		ContentType string          `json:"content_type"`
		Body        json.RawMessage `json:"body"`
	} `json:"response"`
}

// TestReplay sends what was once sent to a real 0.24.1 server, in order, and
// compares status, content type and body but for scores, times and keys.
func TestReplay(t *testing.T) {
	// A test runs in the folder of its package.
	raw, err := os.ReadFile("../../../../shared/reference/typesense/exchanges.json")
	if err != nil {
		t.Skip("SKIPPED: no recorded exchanges beside this checkout: the double was not compared with a real server")
	}
	var all []exchange
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(typesensedouble.New("admin"))
	defer srv.Close()
	searchKey, scopedKey := "", ""
	send := func(e exchange, key string) (*http.Response, []byte) {
		body := []byte(e.Request.Body)
		var text string
		if json.Unmarshal(body, &text) == nil { // lines of JSON
			body = []byte(text)
		}
		req, err := http.NewRequestWithContext(t.Context(), e.Request.Method, srv.URL+strings.ReplaceAll(e.Request.Path, " ", "%20"), bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if key != "" {
			req.Header.Set("X-Typesense-Api-Key", key)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		got, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res, got
	}
	// The record begins with a key made before it.
	first := exchange{}
	first.Request.Method, first.Request.Path = "POST", "/keys"
	first.Request.Body = json.RawMessage(`{"description":"search only t1","actions":["documents:search"],"collections":["listings_t1","listings_t1_.*"]}`)
	send(first, "admin")

	for _, e := range all {
		key := map[string]string{"<admin key>": "admin", "<none>": "", "<other key>": searchKey}[e.Request.Key]
		if strings.HasPrefix(e.Name, "scoped key") {
			key = scopedKey
		}
		if e.Name == "wrong key" {
			key = "wrong"
		}
		res, got := send(e, key)
		if e.Name == "create search-only key for one board" {
			var k struct{ Value string }
			if err := json.Unmarshal(got, &k); err != nil {
				t.Fatal(err)
			}
			searchKey = k.Value
			scopedKey = typesensedouble.ScopedKey(searchKey, `{"filter_by":"company:=Acme && featured:=1"}`)
		}
		if res.StatusCode != e.Response.Status {
			t.Errorf("%s: status %d, want %d: %s", e.Name, res.StatusCode, e.Response.Status, got)
			continue
		}
		if ct := res.Header.Get("Content-Type"); ct != e.Response.ContentType {
			t.Errorf("%s: content type %q, want %q", e.Name, ct, e.Response.ContentType)
		}
		if e.Name == "stats" || e.Name == "metrics" {
			continue // figures of the server's own
		}
		if diff := cmp.Diff(comparable(t, e.Response.Body), comparable(t, got)); diff != "" {
			t.Errorf("%s: (-real +double)\n%s", e.Name, diff)
		}
	}
}

// comparable is a body without what differs from run to run. Lines of JSON
// come recorded as one string.
func comparable(t *testing.T, raw []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err == nil {
		if text, ok := v.(string); ok {
			return lines(text)
		}
		return scrub(v)
	}
	return lines(string(raw))
}

func lines(text string) []any {
	var out []any
	for line := range strings.SplitSeq(text, "\n") {
		var v any
		_ = json.Unmarshal([]byte(line), &v)
		out = append(out, scrub(v))
	}
	return out
}

func scrub(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range []string{"text_match", "text_match_info", "search_time_ms", "created_at", "value_prefix", "highlight", "highlights"} {
			delete(v, name)
		}
		if _, key := v["actions"]; key {
			delete(v, "value")
		}
		for k := range v {
			v[k] = scrub(v[k])
		}
	case []any:
		for i := range v {
			v[i] = scrub(v[i])
		}
	}
	return v
}
