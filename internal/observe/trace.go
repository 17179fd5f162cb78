// Package observe shows what the program does and how long it takes, and never
// for whom: traces in OpenTelemetry's form, log lines and error reports without
// addresses, secrets and values. It knows no rule of the product. Start at
// Traces, then log.go and report.go.
package observe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"shingle/internal/proxies"
)

// scope names the instrumentation in every span.
const scope = "shingle"

// Tracing begins the spans that have no parent in this process: requests and
// tasks. All others are children of the span in their context, so where nothing
// is traced they cost a look into it. Nil traces nothing.
type Tracing struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	// proxies are the peers whose traceparent counts: a stranger's would choose
	// what is kept.
	proxies proxies.List
}

// Traces reads OpenTelemetry's own settings (OTEL_EXPORTER_OTLP_ENDPOINT and its
// kin, OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES …) and is nil where they name
// no endpoint. Spans are sent by OTLP over HTTP, in the background, and dropped
// while nobody takes them.
func Traces(ctx context.Context, service, version string, trusted proxies.List, log *slog.Logger) (*Tracing, error) {
	on, err := wanted(os.Getenv)
	if err != nil || !on {
		return nil, err
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, errors.New("OTEL_EXPORTER_OTLP_… settings cannot be used: write OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318")
	}
	// What the operator's OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say wins.
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(),
		resource.WithAttributes(attribute.String("service.name", service), attribute.String("service.version", version)), resource.WithFromEnv())
	if err != nil {
		return nil, errors.New("OTEL_RESOURCE_ATTRIBUTES cannot be read: write name=value,name=value")
	}
	return NewTracing(sdktrace.NewTracerProvider(sdktrace.WithBatcher(&patient{SpanExporter: exporter, log: log}), sdktrace.WithResource(about)), trusted), nil
}

// NewTracing traces with a provider of the caller's.
func NewTracing(p *sdktrace.TracerProvider, trusted proxies.List) *Tracing {
	return &Tracing{provider: p, tracer: p.Tracer(scope), proxies: trusted}
}

// wanted reports whether the environment names somewhere to send traces to.
func wanted(get func(string) string) (bool, error) {
	if get("OTEL_SDK_DISABLED") == "true" || get("OTEL_TRACES_EXPORTER") == "none" {
		return false, nil
	}
	if get("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		return false, nil
	}
	if e := get("OTEL_TRACES_EXPORTER"); e != "" && e != "otlp" {
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER is %q: only otlp and none are known here", e)
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if p := get(name); p != "" {
			if p != "http/protobuf" {
				return false, fmt.Errorf("%s is %q: only http/protobuf is spoken here (port 4318 of a collector)", name, p)
			}
			break
		}
	}
	return true, nil
}

// Close sends what waits, for a few seconds at most.
func (t *Tracing) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // what could not be sent is lost, as while running
}

// Flush sends what waits.
func (t *Tracing) Flush(ctx context.Context) error { return t.provider.ForceFlush(ctx) }

// methods are those that a span's name may hold: the caller's words are not.
var methods = map[string]string{http.MethodGet: "GET", http.MethodHead: "HEAD", http.MethodPost: "POST", http.MethodPut: "PUT", http.MethodDelete: "DELETE", http.MethodOptions: "OPTIONS", http.MethodPatch: "PATCH"}

// Request begins the span of a request to a route's pattern. Never call it on nil.
func (t *Tracing) Request(r *http.Request, route string) (context.Context, trace.Span) {
	ctx := r.Context()
	if r.Header.Get("Traceparent") != "" && t.proxies.Trusts(r) {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
	}
	method := methods[r.Method]
	if method == "" {
		method = "_OTHER"
	}
	return t.tracer.Start(ctx, method+" "+route, trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("http.request.method", method), attribute.String("http.route", route)))
}

// Answered ends the span of a request. board and request are ids, or "".
func Answered(span trace.Span, status int, board, request string) {
	if span.IsRecording() {
		span.SetAttributes(attribute.Int("http.response.status_code", status))
		if board != "" {
			span.SetAttributes(Board(board))
		}
		if request != "" {
			span.SetAttributes(attribute.String("request.id", request))
		}
		if status >= 500 {
			span.SetStatus(codes.Error, "")
		}
	}
	span.End()
}

// Board is the attribute that names the board by its id.
func Board(id string) attribute.KeyValue { return attribute.String("tenant.id", id) }

// Task begins the span of one attempt of a task, in the trace of what asked for
// it when parent (of Parent) names one.
func (t *Tracing) Task(ctx context.Context, kind, parent string, attempt int, board string) (context.Context, trace.Span) {
	if t == nil {
		return ctx, trace.SpanFromContext(nil) //nolint:staticcheck // the span that does nothing
	}
	if parent != "" {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": parent})
	}
	ctx, span := t.tracer.Start(ctx, "task "+kind, trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(attribute.String("task.kind", kind), attribute.Int("task.attempt", attempt)))
	if board != "" {
		span.SetAttributes(Board(board))
	}
	return ctx, span
}

// Parent names the span in the context for another process, or is "".
func Parent(ctx context.Context) string {
	c := trace.SpanContextFromContext(ctx)
	if !c.IsValid() {
		return ""
	}
	return "00-" + c.TraceID().String() + "-" + c.SpanID().String() + "-" + c.TraceFlags().String()
}

// Link ties the context's span to the one that parent (of Parent) names: another
// trace, whose work goes on here after somebody else's.
func Link(ctx context.Context, parent string) {
	if parent == "" || !traced(ctx) {
		return
	}
	from := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": parent}))
	if from.IsValid() {
		trace.SpanFromContext(ctx).AddLink(trace.Link{SpanContext: from})
	}
}

// Kept is the id of the context's trace, or "" when it is not recorded.
func Kept(ctx context.Context) string {
	c := trace.SpanContextFromContext(ctx)
	if !c.IsSampled() {
		return ""
	}
	return c.TraceID().String()
}

// traced reports whether children of the context's span are recorded.
func traced(ctx context.Context) bool { return trace.SpanFromContext(ctx).IsRecording() }

// child begins a span under the context's own, which must be traced.
func child(ctx context.Context, name string, attributes ...attribute.KeyValue) (context.Context, trace.Span) {
	return trace.SpanFromContext(ctx).TracerProvider().Tracer(scope).Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...))
}

// Step runs fn as a span of its own where the context is traced. why gives an
// error a short name; its text, which may quote anything, is not kept.
func Step(ctx context.Context, name string, why func(error) string, fn func(context.Context) error) error {
	if !traced(ctx) {
		return fn(ctx)
	}
	ctx, span := child(ctx, name)
	err := fn(ctx)
	Ended(span, err, why)
	return err
}

// Ended ends a span with the short name of its error.
func Ended(span trace.Span, err error, why func(error) string) {
	if err != nil && span.IsRecording() {
		span.SetAttributes(attribute.String("error.type", why(err)))
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

// patient tells the log, once a minute at most, that nobody takes the spans; they
// are dropped.
type patient struct {
	sdktrace.SpanExporter
	log  *slog.Logger
	said atomic.Int64
}

// ExportSpans is sdktrace.SpanExporter's.
func (p *patient) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := p.SpanExporter.ExportSpans(ctx, spans)
	if err == nil {
		return nil
	}
	now, last := time.Now().Unix(), p.said.Load()
	if now-last >= 60 && p.said.CompareAndSwap(last, now) {
		p.log.Warn("traces cannot be delivered", "spans", len(spans), "error", err)
	}
	return nil
}
