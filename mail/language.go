package mail

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"shingle/internal/fault"
)

// What a board may write in its mails is plain text with two signs: {{name}}
// stands for a value, and [[…]] is left out when a value in it is empty. Names
// are a fixed list for each kind of mail. There are no conditions, loops or
// calls, and a value is never read again as text of the language.

// Text is a mail's words by field: "subject", "body", "button" and so on.
type Text map[string]string

// piece is a stretch of text, a value or an optional stretch.
type piece struct {
	text string
	name string
	part []piece
}

// values are what names stand for.
type values map[string]string

// parse reads a text. The error is a key with its argument, for a form.
func parse(text string, known func(name string) bool) (out []piece, problem string) {
	for text != "" {
		i := strings.IndexAny(text, "{[]}")
		if i < 0 {
			return append(out, piece{text: text}), ""
		}
		if i > 0 {
			out, text = append(out, piece{text: text[:i]}), text[i:]
		}
		switch {
		case strings.HasPrefix(text, "{{"):
			inner, rest, ok := strings.Cut(text[2:], "}}")
			name := strings.TrimSpace(inner)
			if !ok || strings.ContainsAny(name, "{\n") {
				return nil, "mail.text.open|" + argument(text)
			}
			if !known(name) {
				return nil, "mail.text.unknown|" + argument("{{"+name+"}}")
			}
			out, text = append(out, piece{name: name}), rest
		case strings.HasPrefix(text, "[["):
			inner, rest, ok := strings.Cut(text[2:], "]]")
			if !ok || strings.Contains(inner, "[[") {
				return nil, "mail.text.open|" + argument(text)
			}
			part, problem := parse(inner, known)
			if problem != "" {
				return nil, problem
			}
			named := false
			for _, p := range part {
				named = named || p.name != ""
			}
			if !named {
				return nil, "mail.text.part|" + argument("[["+inner+"]]")
			}
			out, text = append(out, piece{part: part}), rest
		case strings.HasPrefix(text, "}}"), strings.HasPrefix(text, "]]"):
			return nil, "mail.text.closed|" + text[:2]
		default:
			out, text = append(out, piece{text: text[:1]}), text[1:]
		}
	}
	return out, ""
}

// argument makes a part of a text fit for a form's message.
func argument(s string) string {
	s = oneLine(strings.ReplaceAll(s, "|", " "))
	if utf8.RuneCountInString(s) > 40 {
		s = string([]rune(s)[:40]) + "…"
	}
	return s
}

// say puts values into a text that was parsed.
func say(pieces []piece, v values) string {
	var b strings.Builder
	for _, p := range pieces {
		switch {
		case p.name != "":
			b.WriteString(v[p.name])
		case p.part != nil:
			if whole(p.part, v) {
				b.WriteString(say(p.part, v))
			}
		default:
			b.WriteString(p.text)
		}
	}
	return b.String()
}

// whole tells whether every value of an optional stretch is there.
func whole(pieces []piece, v values) bool {
	for _, p := range pieces {
		if p.name != "" && v[p.name] == "" {
			return false
		}
	}
	return true
}

// paragraphs parts a body at its empty lines.
func paragraphs(body string) (out []string) {
	var now []string
	flush := func() {
		if len(now) > 0 {
			out, now = append(out, strings.Join(now, "\n")), nil
		}
	}
	for line := range strings.Lines(strings.ReplaceAll(body, "\r\n", "\n") + "\n") {
		if line = strings.TrimSpace(line); line == "" {
			flush()
			continue
		}
		now = append(now, line)
	}
	flush()
	return out
}

// alone is the name that a paragraph consists of, "" for any other paragraph.
func alone(paragraph string) string {
	inner, ok := strings.CutPrefix(paragraph, "{{")
	if !ok {
		return ""
	}
	inner, ok = strings.CutSuffix(inner, "}}")
	if !ok || strings.ContainsAny(inner, "{}") {
		return ""
	}
	return strings.TrimSpace(inner)
}

// limits are how long a field may be, in characters.
var limits = map[string]int{"subject": 150, "preview": 150, "body": 5000, "button": 40, "invoice_link": 60, "details": 600, "why": 400, "stop": 80, "fallback": 150}

// optional are the fields that may be empty.
var optional = map[string]bool{"preview": true, "details": true, "invoice_link": true, "button": true}

// CheckText reads what a form brought for a kind and returns it as it is kept.
// Kinds: fault.NotFound for a kind that boards don't write, fault.Invalid by field.
func CheckText(kind string, typed Text) (Text, error) {
	k := KindOf(kind)
	if k == nil {
		return nil, fault.New(fault.NotFound, "no such kind of mail")
	}
	bad := fault.Fields{}
	out := Text{}
	for _, field := range k.Fields {
		s := strings.TrimSpace(clean(typed[field]))
		if field != "body" && field != "details" {
			s = oneLine(s)
		}
		out[field] = s
		switch {
		case s == "" && !optional[field]:
			bad[field] = "mail.text.empty"
		case utf8.RuneCountInString(s) > limits[field]:
			bad[field] = "mail.text.long|" + itoa(limits[field])
		default:
			if problem := k.problem(field, s, out); problem != "" {
				bad[field] = problem
			}
		}
	}
	return out, fault.Invalids(bad)
}

// clean takes out what no form should bring and Postgres would not keep.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(strings.ReplaceAll(s, "\t", " "), ""))
}

// problem is what a form says about one field, "" when it may stay.
func (k *Kind) problem(field, s string, all Text) string {
	switch field {
	case "body":
		return k.bodyProblem(s)
	case "details":
		for line := range strings.Lines(s) {
			if line = strings.TrimSpace(line); line != "" && !strings.Contains(line, ": ") {
				return "mail.text.label|" + argument(line)
			}
		}
	case "button", "invoice_link":
		// A block without its words would not be seen.
		if s == "" && strings.Contains(strings.Join(strings.Fields(all["body"]), ""), "{{"+field+"}}") {
			return "mail.text.empty"
		}
	}
	return k.inline(s)
}

// inline is the problem of a text that stands in a line.
func (k *Kind) inline(s string) string {
	block := ""
	_, problem := parse(s, func(name string) bool {
		n := k.name(name)
		if n != nil && n.only && block == "" {
			block = name
		}
		return n != nil
	})
	if problem == "" && block != "" {
		return "mail.text.alone|{{" + block + "}}"
	}
	return problem
}

func (k *Kind) bodyProblem(body string) string {
	seen, text := map[string]bool{}, false
	for _, p := range paragraphs(body) {
		if n := k.name(alone(p)); n != nil && n.block {
			if seen[n.Name] {
				return "mail.text.twice|{{" + n.Name + "}}"
			}
			seen[n.Name] = true
			continue
		}
		if problem := k.inline(p); problem != "" {
			return problem
		}
		text = true
	}
	for _, n := range k.Names {
		if n.Required && !seen[n.Name] {
			return "mail.text.missing|{{" + n.Name + "}}"
		}
	}
	if !text {
		return "mail.text.words"
	}
	return ""
}

// compose puts values into a kind's text. Text that this release does not
// understand is an error: the caller falls back to the shipped words.
func (k *Kind) compose(t Text, v values) (*filled, error) {
	line := func(field string) (string, error) {
		pieces, problem := parse(t[field], func(name string) bool { return k.name(name) != nil })
		if problem != "" {
			return "", fault.New(fault.Invalid, "mail %s, %s: %s", k.Name, field, problem)
		}
		return oneLine(say(pieces, v)), nil
	}
	f := &filled{}
	var err error
	for field, to := range map[string]*string{"subject": &f.Subject, "preview": &f.Preheader, "button": &f.Button, "invoice_link": &f.Link} {
		if *to, err = line(field); err != nil {
			return nil, err
		}
	}
	parts := paragraphs(t["body"])
	last := -1 // the last block: what follows it is small print
	for i, p := range parts {
		if n := k.name(alone(p)); n != nil && n.block {
			last = i
		}
	}
	for i, p := range parts {
		if n := k.name(alone(p)); n != nil && n.block {
			f.Blocks = append(f.Blocks, block{Kind: n.Name})
			continue
		}
		pieces, problem := parse(p, func(name string) bool { return k.name(name) != nil })
		if problem != "" {
			return nil, fault.New(fault.Invalid, "mail %s, body: %s", k.Name, problem)
		}
		b := block{Kind: "text"}
		for l := range strings.Lines(say(pieces, v)) {
			if l = oneLine(l); l != "" {
				b.Lines = append(b.Lines, l)
			}
		}
		if len(b.Lines) == 0 {
			continue
		}
		if len(f.Blocks) == 0 {
			b.Kind = "head"
		} else if last >= 0 && i > last {
			b.Kind = "small"
		}
		f.Blocks = append(f.Blocks, b)
	}
	for row := range strings.Lines(t["details"]) {
		label, value, _ := strings.Cut(strings.TrimSpace(row), ": ")
		cell := func(s string) string {
			pieces, _ := parse(s, func(name string) bool { return k.name(name) != nil })
			return oneLine(say(pieces, v))
		}
		if label, value = cell(label), cell(value); value != "" {
			f.Facts = append(f.Facts, [2]string{label, value})
		}
	}
	return f, nil
}
