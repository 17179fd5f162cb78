package demo

import (
	"html"
	"strings"
)

// voice is how a company lays out what it has to say: its headings and their
// order. Companies of one board share a handful of voices.
type voice struct {
	// Order lists the parts: company, role, do, bring, offer, hire, note.
	Order []string
	// Heads are the headings by part; a part without one follows on.
	Heads map[string]string
}

// stock says how much of a role's stock goes into one description. German says
// the same in fewer, longer words, so its board takes more.
type stock struct{ About, Do, Bring int }

// describe assembles a description from the listing's own lead, the company's
// words and the role's stock. Which duties and demands are taken depends on
// company and title alone, so it never changes between runs.
func describe(v voice, s stock, c companyFile, role roleFile, f listingFile) string {
	n := seed(f.At, f.Title, f.Where)
	var out strings.Builder
	paragraph(&out, f.Lead)
	for _, part := range v.Order {
		var body strings.Builder
		switch part {
		case "company":
			paragraph(&body, c.About)
		case "role":
			paragraph(&body, pick(role.About, n, s.About)...)
		case "do":
			list(&body, pick(role.Do, n/3, s.Do))
		case "bring":
			list(&body, pick(role.Bring, n/7, s.Bring))
		case "offer":
			list(&body, c.Offer)
		case "hire":
			paragraph(&body, strings.Join(append(pick(role.Hire, n/11, 1), c.Hire), " "))
		case "note":
			label, text, ok := strings.Cut(f.Note, "|")
			if !ok {
				continue
			}
			body.WriteString("<p><strong>" + html.EscapeString(label) + "</strong> " + html.EscapeString(text) + "</p>\n")
		}
		if body.Len() == 0 {
			continue
		}
		if h := v.Heads[part]; h != "" {
			out.WriteString("<h3>" + html.EscapeString(strings.ReplaceAll(h, "%s", c.Name)) + "</h3>\n")
		}
		out.WriteString(body.String())
	}
	return strings.TrimSpace(out.String())
}

// pick takes up to k of the stock, beginning at n and keeping the stock's
// order; with most of it taken, what is left out moves with n.
func pick(stock []string, n, k int) []string {
	if len(stock) <= k {
		return append([]string(nil), stock...)
	}
	taken := make([]bool, len(stock))
	// A stride that is coprime with the length visits every item once.
	stride := 1 + n%(len(stock)-1)
	for gcd(stride, len(stock)) != 1 {
		stride++
	}
	at := n % len(stock)
	for range k {
		taken[at] = true
		at = (at + stride) % len(stock)
	}
	out := make([]string, 0, k)
	for i, t := range taken {
		if t {
			out = append(out, stock[i])
		}
	}
	return out
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func paragraph(out *strings.Builder, texts ...string) {
	for _, t := range texts {
		if t = strings.TrimSpace(t); t != "" {
			out.WriteString("<p>" + html.EscapeString(t) + "</p>\n")
		}
	}
}

func list(out *strings.Builder, items []string) {
	if len(items) == 0 {
		return
	}
	out.WriteString("<ul>\n")
	for _, it := range items {
		out.WriteString("<li>" + html.EscapeString(it) + "</li>\n")
	}
	out.WriteString("</ul>\n")
}
