package api_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/goccy/go-yaml"
	"golang.org/x/net/html"

	"shingle/internal/testkit"
)

type schema struct {
	Type        any
	Description string
	Examples    []any
	Example     any
	Properties  map[string]schema
	Required    []string
	Items       *schema
	Ref         string `json:"$ref"`
	Additional  any    `json:"additionalProperties"`
}

type spec struct {
	OpenAPI string
	Servers []struct{ URL string }
	Paths   map[string]map[string]struct {
		OperationID          string
		Summary, Description string
		Tags                 []string
		Parameters           []struct {
			Name, In, Description string
			Example               any
			Schema                schema
		}
		Responses map[string]struct {
			Description string
			Content     map[string]struct {
				Example any
				Schema  schema
			}
			Headers map[string]struct{ Description string }
		}
	}
	Components struct{ Schemas map[string]schema }
}

func TestEverythingIsDescribed(t *testing.T) {
	t.Parallel()
	b := start(t)
	board := b.Board(t, "harbor")
	rec := b.get(t, board, "/api/v1/openapi.json")
	doc := decode[spec](t, rec, http.StatusOK)
	if doc.OpenAPI != "3.1.0" || len(doc.Servers) != 1 || doc.Servers[0].URL != "/api/v1" {
		t.Errorf("version %s, servers %v", doc.OpenAPI, doc.Servers)
	}
	want := []string{"/board", "/categories", "/companies", "/companies/{slug}", "/jobs", "/jobs/{id}", "/suggest"}
	var got []string
	for path, methods := range doc.Paths {
		got = append(got, path)
		for method, op := range methods {
			if method != "get" || op.OperationID == "" || op.Summary == "" || op.Description == "" || len(op.Tags) != 1 {
				t.Errorf("%s %s: %+v", method, path, op)
			}
			for _, p := range op.Parameters {
				if p.Description == "" || p.Example == nil {
					t.Errorf("%s: parameter %s has description %q and example %v", path, p.Name, p.Description, p.Example)
				}
			}
			for status, r := range op.Responses {
				if r.Description == "" {
					t.Errorf("%s: answer %s says nothing", path, status)
				}
			}
			good := op.Responses["200"]
			if good.Headers["ETag"].Description == "" || good.Content["application/json"].Example == nil {
				t.Errorf("%s: a good answer lacks its ETag or example: %+v", path, good)
			}
			fits(t, doc, path, good.Content["application/json"].Schema, good.Content["application/json"].Example)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("paths %v, want %v", got, want)
	}
	for name, s := range doc.Components.Schemas {
		for property, p := range s.Properties {
			if p.Description == "" {
				t.Errorf("%s.%s has no description", name, property)
			}
		}
		if s.Additional == false {
			t.Errorf("%s forbids new properties", name)
		}
	}

	var fromYAML any
	y := b.get(t, board, "/api/v1/openapi.yaml")
	if err := yaml.Unmarshal(y.Body.Bytes(), &fromYAML); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(fromYAML)
	if err != nil {
		t.Fatal(err)
	}
	var one, other any
	if json.Unmarshal(raw, &one) != nil || json.Unmarshal(rec.Body.Bytes(), &other) != nil {
		t.Fatal("not JSON")
	}
	x, _ := json.Marshal(one)
	z, _ := json.Marshal(other)
	if !bytes.Equal(x, z) {
		t.Error("YAML and JSON differ")
	}
}

// fits checks that an example has what its schema promises, and nothing else.
func fits(t *testing.T, doc spec, at string, s schema, v any) {
	t.Helper()
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		s = doc.Components.Schemas[name]
	}
	switch v := v.(type) {
	case map[string]any:
		for _, name := range s.Required {
			if _, ok := v[name]; !ok {
				t.Errorf("%s: the example lacks %s", at, name)
			}
		}
		for name, inner := range v {
			p, ok := s.Properties[name]
			if !ok {
				t.Errorf("%s: the example has %s, the schema has not", at, name)
				continue
			}
			fits(t, doc, at+"."+name, p, inner)
		}
	case []any:
		for _, inner := range v {
			if s.Items != nil {
				fits(t, doc, at+"[]", *s.Items, inner)
			}
		}
	}
}

// TestFieldsAreTheJobs keeps the list in the parameter with the type.
func TestFieldsAreTheJobs(t *testing.T) {
	t.Parallel()
	b := start(t)
	board := b.Board(t, "harbor")
	var doc struct {
		Paths map[string]struct {
			Get struct {
				Parameters []struct {
					Name   string
					Schema struct{ Items struct{ Enum []string } }
				}
			}
		}
		Components struct {
			Schemas map[string]struct{ Properties map[string]any }
		}
	}
	if err := json.Unmarshal(b.get(t, board, "/api/v1/openapi.json").Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	var want []string
	for name := range doc.Components.Schemas["Job"].Properties {
		want = append(want, name)
	}
	slices.Sort(want)
	for _, path := range []string{"/jobs", "/jobs/{id}"} {
		for _, p := range doc.Paths[path].Get.Parameters {
			if p.Name == "fields" {
				got := slices.Sorted(slices.Values(p.Schema.Items.Enum))
				if !slices.Equal(got, want) {
					t.Errorf("%s: fields %v, want %v", path, got, want)
				}
			}
		}
	}
}

func TestReferencePage(t *testing.T) {
	t.Parallel()
	b := start(t)
	board := b.Board(t, "harbor")
	rec := b.get(t, board, "/api")
	if rec.Code != http.StatusOK || !strings.HasPrefix(rec.Header().Get("Content-Security-Policy"), "default-src 'none'; style-src 'self'") {
		t.Fatalf("%d %v", rec.Code, rec.Header())
	}
	page := rec.Body.String()
	for _, want := range []string{"harbor jobs", "curl &#39;https://harbor.localhost/api/v1/jobs", `id="getJob"`, "salary_min", "openapi.yaml", `id="shape-Job"`} {
		if !strings.Contains(strings.ReplaceAll(page, "curl '", "curl &#39;"), want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	root, err := html.Parse(rec.Body)
	if err != nil {
		t.Fatal(err)
	}
	ids, targets := map[string]int{}, []string{}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if n.Data == "script" || n.Data == "style" || n.Data == "img" {
			t.Errorf("the page has a %s", n.Data)
		}
		for _, a := range n.Attr {
			switch {
			case a.Key == "style" || strings.HasPrefix(a.Key, "on"):
				t.Errorf("the page has %s=%q", a.Key, a.Val)
			case a.Key == "id":
				ids[a.Val]++
			case a.Key == "href" && strings.HasPrefix(a.Val, "#"):
				targets = append(targets, a.Val[1:])
			case a.Key == "href" && !strings.HasPrefix(a.Val, "/"):
				t.Errorf("the page leads to %s", a.Val)
			}
		}
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("%d elements are called %s", n, id)
		}
	}
	for _, id := range targets {
		if ids[id] == 0 {
			t.Errorf("nothing is called %s", id)
		}
	}
	if css := b.get(t, board, "/api/docs.css"); css.Code != http.StatusOK || !strings.HasPrefix(css.Header().Get("Content-Type"), "text/css") {
		t.Errorf("style: %d %v", css.Code, css.Header())
	}
}

func TestReferenceOnAPhone(t *testing.T) {
	t.Parallel()
	b := start(t)
	srv := httptest.NewServer(b.handler(t, b.Board(t, "harbor")))
	t.Cleanup(srv.Close)
	ctx := testkit.Chromium(t)
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(375, 800), chromedp.Navigate(srv.URL+"/api")); err != nil {
		t.Fatal(err)
	}
	testkit.Axe(t, ctx)
	wide, err := chromedp.Run(ctx, chromedp.Evaluate[int64]("document.documentElement.scrollWidth"))
	if err != nil || wide > 375 {
		t.Errorf("the page is %d wide on a screen of 375 (%v)", wide, err)
	}
	t.Log(testkit.Screenshot(t, ctx, "api reference", 375))
}
