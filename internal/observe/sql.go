package observe

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// SQL is pgx's tracer: a span for each statement, whose text has a question mark
// for every value.
type SQL struct {
	// Code is the short name of an error, such as its SQLSTATE.
	Code func(error) string
}

type sqlKey struct{}

// TraceQueryStart is pgx.QueryTracer's.
func (SQL) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if !traced(ctx) {
		return ctx
	}
	text := Scrub(q.SQL)
	ctx, span := child(ctx, summary(text), attribute.String("db.system.name", "postgresql"), attribute.String("db.query.text", text))
	return context.WithValue(ctx, sqlKey{}, span)
}

// TraceQueryEnd is pgx.QueryTracer's.
func (s SQL) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryEndData) {
	if !traced(ctx) {
		return
	}
	if span, ok := ctx.Value(sqlKey{}).(trace.Span); ok {
		Ended(span, q.Err, s.Code)
	}
}

// longest is how much of a statement is kept, in bytes.
const longest = 2000

// Scrub puts a question mark for every value of a statement: strings, numbers
// and what stands between dollars. Bun writes values into its texts. A list of
// values is one mark, so that texts differ by shape alone.
func Scrub(sql string) string {
	var b strings.Builder
	b.Grow(min(len(sql), longest) + 8)
	for i := 0; i < len(sql) && b.Len() < longest; {
		c := sql[i]
		switch {
		case strings.HasPrefix(sql[i:], "--"): // a comment's apostrophe begins no string
			end := strings.IndexByte(sql[i:], '\n')
			if end < 0 {
				end = len(sql) - i
			}
			i += end
		case strings.HasPrefix(sql[i:], "/*"):
			end := strings.Index(sql[i:], "*/")
			if end < 0 {
				return b.String() + "…"
			}
			i += end + 2
		case c == '\'':
			i = quoted(sql, i, i > 0 && (sql[i-1] == 'E' || sql[i-1] == 'e') && (i < 2 || !wordy(sql[i-2])))
			value(&b)
		case c == '"': // a name
			end := strings.IndexByte(sql[i+1:], '"')
			if end < 0 {
				return b.String() + "…"
			}
			b.WriteString(sql[i : i+end+2])
			i += end + 2
		case c == '$' && i+1 < len(sql) && !digit(sql[i+1]):
			tag := strings.IndexByte(sql[i+1:], '$')
			if tag < 0 {
				return b.String() + "…"
			}
			mark := sql[i : i+tag+2]
			end := strings.Index(sql[i+len(mark):], mark)
			if end < 0 {
				return b.String() + "…"
			}
			i += end + 2*len(mark)
			value(&b)
		case digit(c):
			for i < len(sql) && (wordy(sql[i]) || sql[i] == '.' || (sql[i] == '-' || sql[i] == '+') && (sql[i-1] == 'e' || sql[i-1] == 'E')) {
				i++
			}
			value(&b)
		case wordy(c) || c == '$':
			start := i
			for i < len(sql) && (wordy(sql[i]) || sql[i] == '$') {
				i++
			}
			b.WriteString(sql[start:i])
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			for i < len(sql) && (sql[i] == ' ' || sql[i] == '\t' || sql[i] == '\n' || sql[i] == '\r') {
				i++
			}
			b.WriteByte(' ')
		default:
			b.WriteByte(c)
			i++
		}
	}
	text := b.String()
	if len(text) > longest {
		text = text[:longest]
	}
	return strings.ToValidUTF8(text, "")
}

// value writes a mark, unless it would stand in a list of marks.
func value(b *strings.Builder) {
	so := b.String()
	if strings.HasSuffix(so, "?, ") || strings.HasSuffix(so, "?,") {
		cut := strings.TrimSuffix(strings.TrimSuffix(so, " "), ",")
		b.Reset()
		b.WriteString(cut)
		return
	}
	b.WriteByte('?')
}

// quoted is where the string that begins at i has ended.
func quoted(sql string, i int, escapes bool) int {
	for i++; i < len(sql); i++ {
		switch {
		case escapes && sql[i] == '\\':
			i++
		case sql[i] == '\'' && i+1 < len(sql) && sql[i+1] == '\'':
			i++
		case sql[i] == '\'':
			return i + 1
		}
	}
	return len(sql)
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func wordy(c byte) bool {
	return c == '_' || digit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf
}

// summary names a scrubbed statement by what it does to which table.
func summary(text string) string {
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '(' || r == ')' || r == ',' || r == ';' })
	if len(words) == 0 {
		return "SQL"
	}
	verb, after := strings.ToUpper(words[0]), ""
	switch verb {
	case "SELECT", "DELETE", "WITH":
		after = "FROM"
	case "INSERT":
		after = "INTO"
	case "UPDATE":
		after = "UPDATE"
	default:
		return verb
	}
	for i, w := range words[:len(words)-1] {
		if strings.EqualFold(w, after) {
			return verb + " " + strings.Trim(words[i+1], `"`)
		}
	}
	return verb
}
