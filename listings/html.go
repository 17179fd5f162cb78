package listings

import (
	"html"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/microcosm-cc/bluemonday"
	xhtml "golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// policy is the one policy for HTML that somebody typed: simple text, lists,
// small headings and links that pass no reputation on. A policy is built once
// and never changed; it is safe for concurrent use.
var policy = sync.OnceValue(func() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements("p", "br", "ul", "ol", "li", "h3", "h4", "strong", "em", "blockquote", "code", "pre")
	p.AllowAttrs("href").OnElements("a")
	p.AllowURLSchemes("http", "https", "mailto")
	p.RequireParseableURLs(true)
	p.AllowRelativeURLs(false)
	p.RequireNoFollowOnLinks(true)
	p.RequireNoReferrerOnLinks(true)
	return p
})

// renamed maps what editors write to what the policy keeps.
var renamed = map[atom.Atom]atom.Atom{
	atom.Div: atom.P, atom.Section: atom.P, atom.Article: atom.P,
	atom.H1: atom.H3, atom.H2: atom.H3, atom.H5: atom.H4, atom.H6: atom.H4, atom.B: atom.Strong, atom.I: atom.Em,
}

var blocks = []atom.Atom{atom.P, atom.Ul, atom.Ol, atom.Li, atom.H3, atom.H4, atom.Blockquote, atom.Pre,
	atom.Div, atom.Section, atom.Article, atom.H1, atom.H2, atom.H5, atom.H6, atom.Table, atom.Tr}

// maxDepth bounds the nesting that is kept: deeper HTML is taken as text.
const maxDepth = 60

// Sanitise makes typed HTML safe and plain: one policy for all of the product.
// It is idempotent: what does not settle within a few rounds is taken as text.
func Sanitise(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, ""), "\x00", "")
	for range 4 {
		out, ok := clean(s)
		if !ok {
			break
		}
		if out == s {
			return out
		}
		s = out
	}
	return escaped(stripTags.ReplaceAllString(s, " "))
}

// clean puts the HTML in order; the policy comes last, for the promise rests on it.
func clean(s string) (string, bool) {
	if strings.TrimSpace(s) == "" {
		return "", true
	}
	out, ok := normalise(s)
	return strings.TrimSpace(policy().Sanitize(out)), ok
}

// escaped is one paragraph of plain text.
func escaped(s string) string {
	s = strings.Join(strings.Fields(html.UnescapeString(s)), " ")
	if s == "" {
		return ""
	}
	return "<p>" + html.EscapeString(s) + "</p>"
}

var stripTags = regexp.MustCompile(`<[^>]*>?`)

// normalise renames elements, unwraps boxes that hold blocks and drops empty
// paragraphs. It says no to nesting beyond maxDepth.
func normalise(s string) (string, bool) {
	body := &xhtml.Node{Type: xhtml.ElementNode, Data: "body", DataAtom: atom.Body}
	nodes, err := xhtml.ParseFragment(strings.NewReader(s), body)
	if err != nil {
		return "", false
	}
	for _, n := range nodes {
		body.AppendChild(n)
	}
	if !walk(body, 0) {
		return "", false
	}
	var b strings.Builder
	for n := body.FirstChild; n != nil; n = n.NextSibling {
		if err := xhtml.Render(&b, n); err != nil {
			return "", false
		}
	}
	return b.String(), true
}

func walk(n *xhtml.Node, depth int) bool {
	if depth > maxDepth {
		return false
	}
	for c := n.FirstChild; c != nil; {
		next := c.NextSibling
		if c.Type != xhtml.ElementNode && c.Type != xhtml.TextNode {
			n.RemoveChild(c)
			c = next
			continue
		}
		if !walk(c, depth+1) {
			return false
		}
		if to, ok := renamed[c.DataAtom]; ok && c.Type == xhtml.ElementNode {
			if to == atom.P && holdsBlock(c) {
				for k := c.FirstChild; k != nil; k = c.FirstChild {
					c.RemoveChild(k)
					n.InsertBefore(k, c)
				}
				n.RemoveChild(c)
				c = next
				continue
			}
			c.DataAtom, c.Data, c.Attr = to, to.String(), nil
		}
		if c.DataAtom == atom.P && c.FirstChild == nil {
			n.RemoveChild(c)
		}
		c = next
	}
	return true
}

func holdsBlock(n *xhtml.Node) bool {
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		if c.Type == xhtml.ElementNode && slices.Contains(blocks, c.DataAtom) {
			return true
		}
	}
	return false
}

var anyTag = regexp.MustCompile(`(?i)</?(p|br|div|ul|ol|li|h[1-6]|strong|b|em|i|a|blockquote|span|pre|code)\b[^>]*>`)

// FromInput takes what a form or file holds: HTML is sanitised, plain text
// becomes paragraphs and lists.
func FromInput(s string) string {
	if anyTag.MatchString(s) {
		return Sanitise(s)
	}
	return FromText(s)
}

// FromText makes HTML of plain text: a blank line ends a paragraph, lines that
// begin with "-", "*" or "•" are a list.
func FromText(s string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(strings.ToValidUTF8(s, ""), "\r\n", "\n"), "\r", "\n")
	s = strings.ReplaceAll(s, "\x00", "")
	var b strings.Builder
	var para []string
	list := false
	flush := func() {
		if len(para) > 0 {
			b.WriteString("<p>" + strings.Join(para, "<br/>") + "</p>")
			para = nil
		}
		if list {
			b.WriteString("</ul>")
			list = false
		}
	}
	for line := range strings.SplitSeq(s, "\n") {
		line = strings.TrimSpace(line)
		item, isItem := "", false
		for _, bullet := range []string{"- ", "* ", "• ", "•", "– "} {
			if item, isItem = strings.CutPrefix(line, bullet); isItem {
				break
			}
		}
		switch {
		case line == "":
			flush()
		case isItem:
			if !list {
				flush()
				b.WriteString("<ul>")
				list = true
			}
			b.WriteString("<li>" + html.EscapeString(strings.TrimSpace(item)) + "</li>")
		default:
			if list {
				flush()
			}
			para = append(para, html.EscapeString(line))
		}
	}
	flush()
	return Sanitise(b.String())
}

// Text is the readable text of sanitised HTML, a line for each block: for
// search, feeds and summaries.
func Text(s string) string {
	z := xhtml.NewTokenizer(strings.NewReader(s))
	var b strings.Builder
	for {
		switch z.Next() {
		case xhtml.ErrorToken:
			lines := strings.Split(b.String(), "\n")
			out := lines[:0]
			for _, l := range lines {
				if l = strings.Join(strings.Fields(l), " "); l != "" {
					out = append(out, l)
				}
			}
			return strings.Join(out, "\n")
		case xhtml.TextToken:
			b.WriteString(html.UnescapeString(string(z.Raw())))
		case xhtml.StartTagToken, xhtml.EndTagToken, xhtml.SelfClosingTagToken:
			name, _ := z.TagName()
			switch atom.Lookup(name) {
			case atom.P, atom.Br, atom.Ul, atom.Ol, atom.Li, atom.H3, atom.H4, atom.Blockquote, atom.Pre:
				b.WriteByte('\n')
			}
		}
	}
}

// Summary is the first words of sanitised HTML, at most n runes, cut between
// words.
func Summary(s string, n int) string {
	text := strings.ReplaceAll(Text(s), "\n", " ")
	if runes(text) <= n {
		return text
	}
	cut := string([]rune(text)[:n])
	if i := strings.LastIndexByte(cut, ' '); i > n/2 {
		cut = cut[:i]
	}
	return strings.TrimRight(cut, " ,;:.-–") + "…"
}
