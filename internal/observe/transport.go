package observe

import (
	"context"
	"net"
	"net/http"
	"strings"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
)

// Transport gives every request to a named service a span: its method, and its
// path without the parts that name one thing. Query, headers and bodies are
// never kept, and nothing of the trace is told to the other side. next is
// http.DefaultTransport when nil.
func Transport(next http.RoundTripper, service string) http.RoundTripper {
	if next == nil {
		next = http.DefaultTransport
	}
	return &transport{next: next, service: service}
}

type transport struct {
	next    http.RoundTripper
	service string
}

// RoundTrip is http.RoundTripper's.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if !traced(r.Context()) {
		return t.next.RoundTrip(r)
	}
	template := shape(r.URL.Path)
	ctx, span := child(r.Context(), t.service+" "+r.Method+" "+template,
		attribute.String("peer.service", t.service), attribute.String("http.request.method", r.Method), attribute.String("url.template", template))
	defer span.End()
	res, err := t.next.RoundTrip(r.WithContext(ctx))
	switch {
	case err != nil:
		span.SetAttributes(attribute.String("error.type", "no answer"))
		span.SetStatus(codes.Error, "")
	default:
		span.SetAttributes(attribute.Int("http.response.status_code", res.StatusCode))
		if res.StatusCode >= 400 {
			span.SetStatus(codes.Error, "")
		}
	}
	return res, err
}

// shape is a path whose parts with a digit, and long ones, are one word: they
// are ids. Versions of an API stay.
func shape(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if version := len(p) <= 3 && strings.HasPrefix(p, "v"); !version && (len(p) > 32 || strings.ContainsAny(p, "0123456789@%")) {
			parts[i] = ":id"
		}
	}
	return strings.Join(parts, "/")
}

// Redis is a hook that gives every command of a traced request or task a span
// with its name and none of its arguments.
type Redis struct{}

// DialHook is redis.Hook's.
func (Redis) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook is redis.Hook's.
func (Redis) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if !traced(ctx) {
			return next(ctx, cmd)
		}
		ctx, span := child(ctx, "redis "+cmd.FullName(), attribute.String("db.system.name", "redis"))
		err := next(ctx, cmd)
		failed := err
		if err == redis.Nil { //nolint:errorlint // go-redis returns it bare: there is no such key
			failed = nil
		}
		Ended(span, failed, func(error) string { return "redis" })
		return err
	}
}

// ProcessPipelineHook is redis.Hook's.
func (Redis) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if !traced(ctx) {
			return next(ctx, cmds)
		}
		ctx, span := child(ctx, "redis pipeline", attribute.String("db.system.name", "redis"), attribute.Int("db.operation.batch.size", len(cmds)))
		err := next(ctx, cmds)
		Ended(span, err, func(error) string { return "redis" })
		return err
	}
}
