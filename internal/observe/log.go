package observe

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// Log makes lines fit to be kept and passed on: each says its trace, and what
// looks like an address of a person, a key, a token or a password is left out,
// whoever wrote it. It is the second line of defence: callers log ids and kinds.
func Log(next slog.Handler) slog.Handler { return &logs{next} }

type logs struct{ next slog.Handler }

func (l *logs) Enabled(ctx context.Context, level slog.Level) bool { return l.next.Enabled(ctx, level) }
func (l *logs) WithGroup(name string) slog.Handler                 { return &logs{l.next.WithGroup(name)} }

func (l *logs) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = cleaned(a)
	}
	return &logs{l.next.WithAttrs(clean)}
}

func (l *logs) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, r.Level, Redact(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(cleaned(a))
		return true
	})
	if c := trace.SpanContextFromContext(ctx); c.IsValid() {
		out.AddAttrs(slog.String("trace_id", c.TraceID().String()))
	}
	return l.next.Handle(ctx, out)
}

const hidden = "(hidden)"

// secretNames are attributes whose value never stands in a log.
var secretNames = regexp.MustCompile(`(?i)^(.*_)?(password|passwd|secret|token|cookie|authorization|api_?key|e?mail|recipient|cv|body|payload)$`)

func cleaned(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	if secretNames.MatchString(a.Key) {
		return slog.String(a.Key, hidden)
	}
	switch v.Kind() {
	case slog.KindString:
		// The heads of the audit log's chains are there to be copied.
		if a.Key == "hash" || a.Key == "head" {
			return a
		}
		return slog.String(a.Key, Redact(v.String()))
	case slog.KindGroup:
		group := make([]slog.Attr, 0, len(v.Group()))
		for _, g := range v.Group() {
			group = append(group, cleaned(g))
		}
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(group...)}
	case slog.KindAny:
		switch x := v.Any().(type) {
		case error:
			return slog.String(a.Key, Redact(x.Error()))
		case fmt.Stringer:
			return slog.String(a.Key, Redact(x.String()))
		default:
			return slog.String(a.Key, Redact(fmt.Sprint(x)))
		}
	default:
		return slog.Attr{Key: a.Key, Value: v}
	}
}

var (
	mailAddress = regexp.MustCompile(`[A-Za-z0-9._%+\-]+(?:@|%40)[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)*\.[A-Za-z]{2,}`)
	userInURL   = regexp.MustCompile(`(://)[^/@\s"']+@`)
	serviceKeys = regexp.MustCompile(`\b(?:(?:sk|rk|pk)_(?:test|live)_|whsec_)\w+|\b\w+_secret_\w+`)
	named       = regexp.MustCompile(`(?i)\b([a-z_\-]*(?:token|password|passwd|secret|api[_\-]?key|signature|session_id|authorization|cookie)["']?\s*[=:]\s*["']?)[^&\s"',;)]+`)
	bearer      = regexp.MustCompile(`(?i)\b(bearer|basic) [A-Za-z0-9+/=._\-]+`)
	// What the product signs or draws by lot: 16 bytes and more in base64 or hex.
	drawn = regexp.MustCompile(`[A-Za-z0-9_\-]{22,}`)
	// Stripe's names of things, which open nothing; a checkout's is named session_id.
	stripeID = regexp.MustCompile(`^(?:acct|ch|cus|dp|evt|fr|in|pi|po|pm|pyr|re|req|si|sub|tr|txn|we)_[A-Za-z0-9]+$`)
)

// Redact leaves out of a text what looks like a person's address, a key, a token
// or a password.
func Redact(s string) string {
	if strings.ContainsAny(s, "@%") {
		s = userInURL.ReplaceAllString(s, "${1}"+hidden+"@")
		s = mailAddress.ReplaceAllString(s, hidden)
	}
	if strings.ContainsRune(s, '_') {
		s = serviceKeys.ReplaceAllString(s, hidden)
	}
	if strings.ContainsRune(s, ' ') {
		s = bearer.ReplaceAllString(s, "${1} "+hidden)
	}
	if strings.ContainsAny(s, "=:") {
		s = named.ReplaceAllString(s, "${1}"+hidden)
	}
	if len(s) < 22 {
		return s
	}
	return drawn.ReplaceAllStringFunc(s, func(word string) string {
		mixed := strings.ToLower(word) != word && strings.ToUpper(word) != word
		if !strings.ContainsAny(word, "0123456789") || len(word) < 40 && !mixed || uuidLike.MatchString(word) || stripeID.MatchString(word) || name.MatchString(word) {
			return word
		}
		return hidden
	})
}

// name is a table's, an index's, a constraint's.
var name = regexp.MustCompile(`^[a-z]+(?:_(?:[a-z]+|\d{1,3}))+$`)

// uuidLike are words that hold ids of ours alone, with or without a number behind.
var uuidLike = regexp.MustCompile(`^(?:[a-z_]*[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}[\-_]?\d*)+$`)
