package themes

import (
	"bytes"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/css"

	"shingle/internal/fault"
)

const (
	maxCustomCSS = 40 << 10
	maxBroken    = 50 // errors of syntax, after which the rest is left out
	scope        = ".board-custom"
)

// Confine rewrites an owner's CSS so that it can only style the board's own
// content: every selector lies under .board-custom, nothing is fetched from
// elsewhere, nothing is pinned over the page. What was left out is listed, one
// line each. Confining twice changes nothing more.
//
// It is a list of what may pass: rules and @media with plain selectors, and
// declarations made of known kinds of token and known functions. Anything with
// a backslash goes, since escapes can spell what the list forbids.
func Confine(source string) (out []byte, dropped []string) {
	if len(source) > maxCustomCSS {
		return nil, []string{"everything: over 40 kB"}
	}
	c := confiner{}
	p := css.NewParser(parse.NewInputString(source), false)
	// depth counts open blocks; skip is the depth below which all is left out.
	var selectors []string
	depth, skip, broken := 0, 0, 0
	var open []bool // whether each open block was printed
	for {
		kind, _, data := p.Next()
		switch kind {
		case css.ErrorGrammar:
			// After an error the parser reads on from near by: what is broken all over
			// would take the square of its length.
			if broken++; broken > maxBroken {
				c.drop("the rest: too much before it is no CSS")
			}
			if p.Err() == io.EOF || p.Err() == nil || len(data) == 0 || broken > maxBroken {
				for i := len(open) - 1; i >= 0; i-- {
					if open[i] {
						c.out.WriteString("}\n")
					}
				}
				return emptyRules.ReplaceAll(c.out.Bytes(), nil), c.dropped
			}
			c.drop(string(data))
		case css.AtRuleGrammar:
			c.drop(string(data))
		case css.BeginAtRuleGrammar:
			depth++
			prelude, ok := mediaPrelude(p.Values())
			if skip == 0 && ok && strings.EqualFold(string(data), "@media") && depth == 1 {
				c.out.WriteString("@media " + prelude + "{\n")
				open = append(open, true)
				continue
			}
			c.drop(string(data))
			open = append(open, false)
			if skip == 0 {
				skip = depth
			}
		case css.QualifiedRuleGrammar:
			selectors = append(selectors, join(p.Values()))
		case css.BeginRulesetGrammar:
			depth++
			selectors = append(selectors, join(p.Values()))
			var kept []string
			for _, s := range selectors {
				if k, ok := scoped(s); ok {
					kept = append(kept, k)
				} else {
					c.drop(s)
				}
			}
			selectors = selectors[:0]
			nested := depth > 2 || depth == 2 && !slices.Contains(open, true) || c.inRule
			if skip == 0 && len(kept) > 0 && !nested {
				c.out.WriteString(strings.Join(kept, ",") + "{")
				open = append(open, true)
				c.inRule = true
				continue
			}
			open = append(open, false)
			if skip == 0 {
				skip = depth
			}
		case css.DeclarationGrammar, css.CustomPropertyGrammar:
			if skip > 0 || !c.inRule {
				continue
			}
			if d, ok := declaration(string(data), join(p.Values())); ok {
				c.out.WriteString(d)
			} else {
				c.drop(string(data) + ": " + join(p.Values()))
			}
		case css.EndRulesetGrammar, css.EndAtRuleGrammar:
			if len(open) == 0 {
				continue
			}
			if open[len(open)-1] {
				c.out.WriteString("}\n")
			}
			open = open[:len(open)-1]
			if skip == depth {
				skip = 0
			}
			depth--
			if kind == css.EndRulesetGrammar {
				c.inRule = false
			}
			selectors = selectors[:0]
		}
	}
}

var emptyRules = regexp.MustCompile(`[^{}\n]+\{\}\n`)

type confiner struct {
	out     bytes.Buffer
	dropped []string
	inRule  bool
}

func (c *confiner) drop(what string) {
	if what = strings.TrimSpace(what); what != "" && len(c.dropped) < 50 {
		c.dropped = append(c.dropped, clip(what, 80))
	}
}

func join(tokens []css.Token) string {
	var b strings.Builder
	for _, t := range tokens {
		b.Write(t.Data)
	}
	return strings.TrimSpace(b.String())
}

// lex splits s, refusing what no allowed value or selector needs.
func lex(s string) ([]css.Token, bool) {
	if len(s) > 2000 || strings.ContainsAny(s, "\\<{}@\x00") || strings.Contains(s, "/*") {
		return nil, false
	}
	var out []css.Token
	l := css.NewLexer(parse.NewInputString(s))
	level := 0
	for {
		kind, data := l.Next()
		switch kind {
		case css.ErrorToken:
			return out, level == 0 && l.Err() == io.EOF
		case css.StringToken:
			// At the end of the input the lexer lets a string go unclosed.
			if n := len(data); n < 2 || data[n-1] != data[0] {
				return nil, false
			}
		case css.URLToken:
			if data[len(data)-1] != ')' {
				return nil, false
			}
		case css.BadStringToken, css.BadURLToken, css.CDOToken, css.CDCToken, css.AtKeywordToken, css.CommentToken, css.UnicodeRangeToken:
			return nil, false
		case css.FunctionToken, css.LeftParenthesisToken, css.LeftBracketToken:
			level++
		case css.RightParenthesisToken, css.RightBracketToken:
			if level--; level < 0 {
				return nil, false
			}
		}
		out = append(out, css.Token{TokenType: kind, Data: bytes.Clone(data)})
	}
}

var (
	roots           = regexp.MustCompile(`(?i)^(html|body|:root)([\s.:\[>+~#]|$)`)
	selectorPseudos = []string{"not(", "is(", "where(", "nth-child(", "nth-of-type(", "nth-last-child("}
)

// commas splits a selector list at its outer commas.
func commas(tokens []css.Token) [][]css.Token {
	var out [][]css.Token
	level, start := 0, 0
	for i, t := range tokens {
		switch t.TokenType {
		case css.FunctionToken, css.LeftParenthesisToken, css.LeftBracketToken:
			level++
		case css.RightParenthesisToken, css.RightBracketToken:
			level--
		case css.CommaToken:
			if level == 0 {
				out, start = append(out, tokens[start:i]), i+1
			}
		}
	}
	return append(out, tokens[start:])
}

// scoped puts each selector of a list under the board's own class. One bad
// selector spoils its list, as it does in CSS.
func scoped(s string) (string, bool) {
	tokens, ok := lex(s)
	if !ok {
		return "", false
	}
	var out []string
	for _, one := range commas(tokens) {
		k, ok := scopedOne(one)
		if !ok {
			return "", false
		}
		out = append(out, k)
	}
	return strings.Join(out, ","), true
}

func scopedOne(tokens []css.Token) (string, bool) {
	var b strings.Builder
	for _, t := range tokens {
		switch t.TokenType {
		case css.IdentToken, css.HashToken, css.ColonToken, css.LeftBracketToken, css.RightBracketToken,
			css.RightParenthesisToken, css.CommaToken, css.NumberToken, css.DimensionToken,
			css.PrefixMatchToken, css.SuffixMatchToken, css.SubstringMatchToken, css.IncludeMatchToken, css.DashMatchToken:
		case css.StringToken:
			if bytes.ContainsAny(t.Data, "\n\r") {
				return "", false
			}
		case css.FunctionToken:
			if !slices.Contains(selectorPseudos, strings.ToLower(string(t.Data))) {
				return "", false
			}
		case css.WhitespaceToken:
			b.WriteByte(' ')
			continue
		case css.DelimToken:
			if !strings.Contains(".>+~*=-", string(t.Data)) {
				return "", false
			}
		default:
			return "", false
		}
		b.Write(t.Data)
	}
	s := strings.TrimSpace(b.String())
	if s == "" || strings.ContainsAny(s[:1], ">+~,=-") {
		return "", false
	}
	if m := roots.FindStringSubmatch(s); m != nil {
		s = scope + s[len(m[1]):]
	}
	rest, under := strings.CutPrefix(s, scope)
	if under && (rest == "" || strings.ContainsAny(rest[:1], " .:[>#")) {
		// A sibling of the body would be outside; there is none, and + and ~
		// directly after the scope say nothing useful.
		return s, !strings.HasPrefix(strings.TrimSpace(rest), "+") && !strings.HasPrefix(strings.TrimSpace(rest), "~")
	}
	return scope + " " + s, true
}

func mediaPrelude(values []css.Token) (string, bool) {
	s := join(values)
	tokens, ok := lex(s)
	if !ok || len(tokens) == 0 {
		return "", false
	}
	var b strings.Builder
	for _, t := range tokens {
		switch t.TokenType {
		case css.WhitespaceToken:
			b.WriteByte(' ')
			continue
		case css.IdentToken, css.NumberToken, css.DimensionToken, css.PercentageToken, css.LeftParenthesisToken,
			css.RightParenthesisToken, css.ColonToken, css.CommaToken:
		default:
			return "", false
		}
		b.Write(t.Data)
	}
	return b.String(), true
}

var (
	property  = regexp.MustCompile(`^(--[a-z][a-z0-9-]{0,60}|-?[a-z][a-z-]{1,40})$`)
	barred    = []string{"behavior", "-moz-binding", "src", "-webkit-user-modify"}
	positions = []string{"static", "relative", "absolute"}
	functions = []string{
		"calc(", "min(", "max(", "clamp(", "var(", "rgb(", "rgba(", "hsl(", "hsla(", "oklch(", "oklab(", "lab(", "lch(", "color-mix(",
		"linear-gradient(", "radial-gradient(", "conic-gradient(", "repeating-linear-gradient(", "repeating-radial-gradient(",
		"translate(", "translatex(", "translatey(", "scale(", "scalex(", "scaley(", "rotate(", "skew(", "matrix(",
		"blur(", "brightness(", "contrast(", "grayscale(", "saturate(", "sepia(", "opacity(", "drop-shadow(", "invert(",
		"repeat(", "minmax(", "fit-content(", "cubic-bezier(", "steps(", "inset(", "circle(", "ellipse(", "polygon(", "light-dark(",
	}
	ownURL = regexp.MustCompile(`^(data:image/(png|jpeg|gif|webp|avif);base64,[A-Za-z0-9+/=]*|/(assets|media)/[A-Za-z0-9._/-]*)$`)
)

func declaration(name, value string) (string, bool) {
	name = strings.ToLower(strings.TrimSpace(name))
	if !property.MatchString(name) || slices.Contains(barred, name) {
		return "", false
	}
	tokens, ok := lex(value)
	if !ok || len(tokens) == 0 {
		return "", false
	}
	var b strings.Builder
	for _, t := range tokens {
		switch t.TokenType {
		case css.IdentToken, css.HashToken, css.NumberToken, css.DimensionToken, css.PercentageToken,
			css.CommaToken, css.RightParenthesisToken, css.LeftParenthesisToken:
		case css.StringToken:
			// Strings name fonts and fill content; they never fetch, as no
			// function that fetches is on the list.
			if bytes.ContainsAny(t.Data, "\n\r") {
				return "", false
			}
		case css.FunctionToken:
			if !slices.Contains(functions, strings.ToLower(string(t.Data))) {
				return "", false
			}
		case css.URLToken:
			inner := strings.TrimSpace(string(t.Data[len("url(") : len(t.Data)-1]))
			inner = strings.Trim(inner, `"' `)
			if !strings.EqualFold(string(t.Data[:4]), "url(") || !ownURL.MatchString(inner) || strings.Contains(inner, "..") || strings.Contains(inner, "//") && !strings.HasPrefix(inner, "data:") {
				return "", false
			}
			b.WriteString(`url("` + inner + `")`)
			continue
		case css.WhitespaceToken:
			b.WriteByte(' ')
			continue
		case css.DelimToken:
			if !strings.Contains("/*+-!%.", string(t.Data)) {
				return "", false
			}
		default:
			return "", false
		}
		b.Write(t.Data)
	}
	v := strings.TrimSpace(b.String())
	if name == "position" && !slices.Contains(positions, strings.ToLower(strings.TrimSpace(strings.TrimSuffix(v, "!important")))) {
		return "", false
	}
	if strings.Contains(v, "/*") {
		return "", false
	}
	return name + ":" + v + ";", true
}

// ConfineCSS is Confine for who serves the result: what was left out is not
// told. Kind: fault.Invalid over 40 kB.
func ConfineCSS(source string) ([]byte, error) {
	if len(source) > maxCustomCSS {
		return nil, fault.New(fault.Invalid, "Custom CSS must stay under 40 kB")
	}
	out, _ := Confine(source)
	return out, nil
}
