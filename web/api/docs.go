package api

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"
	"github.com/yuin/goldmark"

	"shingle/internal/fault"
	"shingle/tenant"
	"shingle/web/route"
)

//go:embed docs/page.html
var pageHTML string

//go:embed docs/docs.css
var pageCSS []byte

// docsPage is the reference, made once from the description; a request adds
// the board's name and address.
type docsPage struct {
	template *template.Template
	Intro    template.HTML
	Groups   []docsGroup
	Shapes   []docsShape
	Paths    string
}

type docsGroup struct {
	Name, Text string
	Operations []docsOperation
}

type docsOperation struct {
	ID, Method, Path, Summary, Text string
	Parameters                      []docsField
	// Call is path and query of the example.
	Call    string
	Example string
	// Shape is the schema of a good answer.
	Shape   string
	Answers []docsAnswer
}

type docsAnswer struct{ Status, Text string }

// docsField is a parameter or a property.
type docsField struct {
	Name, In, Type, Text, Default, Example string
	Required                               bool
	Values                                 []string
	// Shape links to the schema of an object.
	Shape string
}

type docsShape struct {
	Name   string
	Fields []docsField
}

func newDocsPage(doc *huma.OpenAPI) (*docsPage, error) {
	p := &docsPage{}
	var err error
	if p.template, err = template.New("docs").Parse(pageHTML); err != nil {
		return nil, err
	}
	var intro bytes.Buffer
	if err := goldmark.Convert([]byte(doc.Info.Description), &intro); err != nil {
		return nil, err
	}
	p.Intro = route.SafeHTML(intro.String())
	schemas := doc.Components.Schemas.Map()
	for _, tag := range doc.Tags {
		g := docsGroup{Name: tag.Name, Text: tag.Description}
		for path, item := range doc.Paths {
			if slices.Contains(item.Get.Tags, tag.Name) {
				op, err := describeOperation(path, item.Get)
				if err != nil {
					return nil, err
				}
				g.Operations = append(g.Operations, op)
			}
		}
		slices.SortFunc(g.Operations, func(a, b docsOperation) int { return cmp.Compare(a.Path, b.Path) })
		p.Groups = append(p.Groups, g)
	}
	for name, s := range schemas {
		shape := docsShape{Name: name}
		for property, v := range s.Properties {
			f := field(v)
			f.Name, f.Required = property, slices.Contains(s.Required, property)
			shape.Fields = append(shape.Fields, f)
		}
		slices.SortFunc(shape.Fields, func(a, b docsField) int { return cmp.Compare(a.Name, b.Name) })
		p.Shapes = append(p.Shapes, shape)
	}
	slices.SortFunc(p.Shapes, func(a, b docsShape) int { return cmp.Compare(a.Name, b.Name) })
	return p, p.write(io.Discard, "", "")
}

func describeOperation(path string, op *huma.Operation) (docsOperation, error) {
	out := docsOperation{ID: op.OperationID, Method: "GET", Path: Base + path, Summary: op.Summary, Text: op.Description}
	call, query := Base+path, url.Values{}
	for _, p := range op.Parameters {
		f := field(p.Schema)
		f.Name, f.In, f.Text, f.Required = p.Name, p.In, cmp.Or(p.Description, f.Text), p.Required
		if p.Example != nil {
			f.Example = text(p.Example)
		}
		out.Parameters = append(out.Parameters, f)
		switch {
		case p.In == "path":
			call = strings.ReplaceAll(call, "{"+p.Name+"}", f.Example)
		case p.In == "query" && (p.Required || slices.Contains([]string{"q", "workplace", "page"}, p.Name)):
			for v := range strings.SplitSeq(f.Example, ", ") {
				query.Add(p.Name, v)
			}
		}
	}
	out.Call = call
	if len(query) > 0 {
		out.Call += "?" + query.Encode()
	}
	good := op.Responses["200"].Content["application/json"]
	out.Shape = shapeOf(good.Schema)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(good.Example); err != nil {
		return out, err
	}
	out.Example = strings.TrimSpace(b.String())
	for status, r := range op.Responses {
		if status != "200" {
			out.Answers = append(out.Answers, docsAnswer{status, r.Description})
		}
	}
	slices.SortFunc(out.Answers, func(a, b docsAnswer) int { return cmp.Compare(a.Status, b.Status) })
	return out, nil
}

// field describes a schema in a line.
func field(s *huma.Schema) docsField {
	f := docsField{Text: s.Description, Shape: shapeOf(s)}
	kind, item := s.Type, s
	if s.Type == "array" && s.Items != nil {
		item = s.Items
		f.Shape = shapeOf(item)
		kind = "list of " + cmp.Or(f.Shape, item.Type)
	} else if f.Shape != "" {
		kind = f.Shape
	}
	if item.Format != "" && !strings.HasPrefix(item.Format, "int") && item.Format != "double" {
		kind += " (" + item.Format + ")"
	}
	f.Type = kind
	for _, v := range item.Enum {
		f.Values = append(f.Values, fmt.Sprint(v))
	}
	if s.Default != nil {
		f.Default = text(s.Default)
	}
	if len(s.Examples) > 0 {
		f.Example = text(s.Examples[0])
	}
	return f
}

func shapeOf(s *huma.Schema) string { return strings.TrimPrefix(s.Ref, "#/components/schemas/") }

// text writes an example's value as it goes into an address.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []string:
		return strings.Join(v, ", ")
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = text(v[i])
		}
		return strings.Join(parts, ", ")
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return strings.Trim(string(raw), `"`)
}

func (p *docsPage) write(w io.Writer, board, home string) error {
	return p.template.Execute(w, struct {
		*docsPage
		Board, Home string
	}{p, board, strings.TrimSuffix(home, "/")})
}

// docsCSP lets the page have its own stylesheet and nothing else.
const docsCSP = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func (a *API) docs(c *gin.Context) error {
	t := tenant.From(c.Request.Context())
	if t == nil {
		return fault.New(fault.Internal, "no board")
	}
	h := c.Writer.Header()
	h.Set("Content-Security-Policy", docsCSP)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "strict-origin-when-cross-origin")
	h.Set("Cache-Control", fresh)
	return route.HTML(c, http.StatusOK, func(w io.Writer) error { return a.page.write(w, t.Name, a.Links.Board(t, "/")) })
}

func (a *API) docsStyle(c *gin.Context) error {
	c.Header("X-Content-Type-Options", "nosniff")
	c.Header("Cache-Control", fresh)
	c.Data(http.StatusOK, "text/css; charset=utf-8", pageCSS)
	return nil
}
