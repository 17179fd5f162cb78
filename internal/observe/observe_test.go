package observe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"github.com/uptrace/bun/dialect/pgdialect"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"pgregory.net/rapid"

	"shingle/internal/proxies"
)

func TestScrubKeepsShapesAlone(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{
		`SELECT id FROM "people" AS "p" WHERE (email = 'ada@example.org') AND (n = -12.5e+3)`: `SELECT id FROM "people" AS "p" WHERE (email = ?) AND (n = -?)`,
		`SELECT 1 WHERE a IN ('x', 'it''s', 3) LIMIT 20`:                                      `SELECT ? WHERE a IN (?) LIMIT ?`,
		"-- Bob's listings\nSELECT * FROM listings2 WHERE t = 'secret'":                       ` SELECT * FROM listings2 WHERE t = ?`,
		`/* it's */ SELECT E'a\'b' , $tag$ hidden $tag$, $1 FROM t_1`:                         ` SELECT E? , ?, $1 FROM t_1`,
		"SELECT\n\t  x::text[] FROM y WHERE z = '{\"a\"}'":                                    `SELECT x::text[] FROM y WHERE z = ?`,
		`SELECT 'never closed`: `SELECT ?`,
	} {
		if got := Scrub(sql); strings.TrimSpace(got) != strings.TrimSpace(want) {
			t.Errorf("%s\n got %s\nwant %s", sql, got, want)
		}
	}
	for text, want := range map[string]string{`SELECT a FROM "listings" AS l`: "SELECT listings", "INSERT INTO tasks AS t (x)": "INSERT tasks", "UPDATE orders SET": "UPDATE orders", "BEGIN READ ONLY; SELECT": "BEGIN", "": "SQL", "COMMIT": "COMMIT", "SELECT": "SELECT"} {
		if got := summary(text); got != want {
			t.Errorf("%q is called %q, want %q", text, got, want)
		}
	}
}

// Whatever a value is, the kept text is that of any other value.
func TestScrubLosesEveryValue(t *testing.T) {
	t.Parallel()
	dialect := pgdialect.New()
	rapid.Check(t, func(t *rapid.T) {
		text := strings.ReplaceAll(rapid.String().Draw(t, "text"), "\x00", "") // Bun refuses it
		raw := rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		whole := rapid.Uint32().Draw(t, "number")
		statement := func(s string, b []byte, n uint32) string {
			out := append([]byte(`UPDATE "t" SET a = `), dialect.AppendString(nil, s)...)
			out = append(out, ", b = "...)
			out = dialect.AppendBytes(out, b)
			return Scrub(string(out) + fmt.Sprintf(" WHERE c = %d AND d = 'end'", n))
		}
		if got, want := statement(text, raw, whole), statement("", nil, 0); got != want {
			// NULL for no bytes is a word of SQL.
			if want = strings.Replace(want, "NULL", "?", 1); got != want {
				t.Fatalf("got %s\nwant %s", got, want)
			}
		}
	})
}

// Off must be free: not one allocation on any way that every request takes.
func TestOffAllocatesNothing(t *testing.T) {
	ctx := t.Context()
	q := pgx.TraceQueryStartData{SQL: `SELECT * FROM listings WHERE id = 'x'`}
	sql := SQL{Code: func(error) string { return "" }}
	process := Redis{}.ProcessHook(func(context.Context, redis.Cmder) error { return nil })
	answer := &http.Response{StatusCode: http.StatusOK}
	send := Transport(roundTrip(func(*http.Request) (*http.Response, error) { return answer, nil }), "stripe")
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://api.example/v1/x", http.NoBody)
	var off *Tracing
	for name, f := range map[string]func(){
		"SQL":   func() { sql.TraceQueryEnd(sql.TraceQueryStart(ctx, nil, q), nil, pgx.TraceQueryEndData{}) },
		"Redis": func() { _ = process(ctx, nil) },
		"HTTP":  func() { _, _ = send.RoundTrip(r) }, //nolint:bodyclose // there is none
		"task": func() {
			_, span := off.Task(ctx, "t.kind", "", 1, "")
			Ended(span, nil, nil)
		},
		"parent": func() {
			if Parent(ctx) != "" || Kept(ctx) != "" {
				panic("a parent")
			}
		},
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %.0f times while nothing is traced", name, n)
		}
	}
}

func BenchmarkOff(b *testing.B) {
	ctx, sql := b.Context(), SQL{}
	q := pgx.TraceQueryStartData{SQL: `SELECT * FROM listings WHERE id = 'x'`}
	b.ReportAllocs()
	for b.Loop() {
		sql.TraceQueryEnd(sql.TraceQueryStart(ctx, nil, q), nil, pgx.TraceQueryEndData{})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// recorded traces into memory.
func recorded(t *testing.T, trusted proxies.List, opts ...sdktrace.TracerProviderOption) (*Tracing, *tracetest.SpanRecorder) {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	tr := NewTracing(sdktrace.NewTracerProvider(append(opts, sdktrace.WithSpanProcessor(spans))...), trusted)
	t.Cleanup(tr.Close)
	return tr, spans
}

func TestTraceCrossesTheTask(t *testing.T) {
	t.Parallel()
	tr, spans := recorded(t, nil)
	ctx, request := tr.Request(httptest.NewRequestWithContext(t.Context(), "BREW", "/jobs?token=geheim", http.NoBody), "/jobs")
	sql := SQL{Code: func(error) string { return "23505" }}
	inner := sql.TraceQueryStart(ctx, nil, pgx.TraceQueryStartData{SQL: "INSERT INTO tasks VALUES ('geheim')"})
	sql.TraceQueryEnd(inner, nil, pgx.TraceQueryEndData{Err: errors.New("duplicate key (email)=(geheim)")})
	parent := Parent(ctx)
	Answered(request, http.StatusServiceUnavailable, "board-1", "request-1")

	ctx, task := tr.Task(t.Context(), "mail.send", parent, 2, "board-1")
	res, err := Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("Traceparent") != "" {
			t.Error("the trace is told to a third party")
		}
		return &http.Response{StatusCode: http.StatusPaymentRequired, Body: http.NoBody}, nil
	}), "stripe").RoundTrip(httptest.NewRequestWithContext(ctx, http.MethodPost, "https://api.example/v1/accounts/acct_1geheim/refunds?key=geheim", http.NoBody))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	_ = Redis{}.ProcessHook(func(context.Context, redis.Cmder) error { return redis.Nil })(ctx, redis.NewCmd(ctx, "get", "geheim"))
	_ = Step(ctx, "smtp send", func(error) string { return "invalid" }, func(context.Context) error { return errors.New("geheim") })
	Ended(task, nil, nil)

	got := map[string]sdktrace.ReadOnlySpan{}
	for _, s := range spans.Ended() {
		got[s.Name()] = s
		said := fmt.Sprint(s.Name(), s.Attributes(), s.Events(), s.Status())
		if strings.Contains(said, "geheim") {
			t.Errorf("a span tells a value: %s", said)
		}
		if s.SpanContext().TraceID() != request.SpanContext().TraceID() {
			t.Errorf("%s stands in a trace of its own", s.Name())
		}
	}
	for child, parent := range map[string]string{"INSERT tasks": "_OTHER /jobs", "task mail.send": "_OTHER /jobs", "stripe POST /v1/accounts/:id/refunds": "task mail.send", "redis get": "task mail.send", "smtp send": "task mail.send"} {
		if got[child] == nil || got[parent] == nil || got[child].Parent().SpanID() != got[parent].SpanContext().SpanID() {
			t.Errorf("%q is no child of %q; there are %v", child, parent, keys(got))
		}
	}
	for name, want := range map[string]attribute.KeyValue{"_OTHER /jobs": Board("board-1"), "INSERT tasks": attribute.String("error.type", "23505"), "task mail.send": attribute.Int("task.attempt", 2), "smtp send": attribute.String("error.type", "invalid")} {
		if s := got[name]; s == nil || !strings.Contains(fmt.Sprint(s.Attributes()), fmt.Sprint(want)) {
			t.Errorf("%s lacks %v", name, want)
		}
	}
	if s := got["redis get"]; s != nil && len(s.Attributes()) != 1 {
		t.Errorf("a key that is not there counts as an error: %v", s.Attributes())
	}
}

func keys[V any](m map[string]V) (out []string) {
	for k := range m {
		out = append(out, k)
	}
	return out
}

// A stranger must not choose what is kept, nor whose trace it lands in.
func TestTraceparentOfTrustedProxiesAlone(t *testing.T) {
	t.Parallel()
	const theirs = "0af7651916cd43dd8448eb211c80319c"
	for _, trusted := range []bool{false, true} {
		var list proxies.List
		if trusted {
			list = proxies.List{netip.MustParsePrefix("192.0.2.0/24")} // httptest's peer
		}
		tr, _ := recorded(t, list, sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample())))
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		r.Header.Set("Traceparent", "00-"+theirs+"-b7ad6b7169203331-01")
		ctx, span := tr.Request(r, "/")
		if same := span.SpanContext().TraceID().String() == theirs; same != trusted || (Kept(ctx) != "") != trusted {
			t.Errorf("trusted %v: trace %s, kept %q", trusted, span.SpanContext().TraceID(), Kept(ctx))
		}
		Answered(span, 200, "", "")
	}
}

func TestSettingsOfTraces(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]struct {
		env   map[string]string
		on    bool
		wrong string
	}{
		"nothing set":     {env: map[string]string{}},
		"an endpoint":     {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, on: true},
		"one for traces":  {env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, on: true},
		"disabled":        {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}},
		"no exporter":     {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}},
		"gRPC":            {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, wrong: "http/protobuf"},
		"another's":       {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_TRACES_EXPORTER": "zipkin"}, wrong: "otlp"},
		"said in so many": {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, on: true},
	} {
		on, err := wanted(func(n string) string { return at.env[n] })
		if on != at.on || (err != nil) != (at.wrong != "") || err != nil && !strings.Contains(err.Error(), at.wrong) {
			t.Errorf("%s: %v, %v", name, on, err)
		}
	}
}

func TestLogLinesHoldNoSecret(t *testing.T) {
	t.Parallel()
	tr, _ := recorded(t, nil)
	var out bytes.Buffer
	ctx, span := tr.Request(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody), "/")
	log := slog.New(Log(slog.NewJSONHandler(&out, nil))).With("to", "ada@example.org")
	secrets := []string{"ada@example.org", "ada%40example.org", "hunter2", "sk_test_4eC39HqLyjWDarjtT1zdp7dc", "whsec_abc", "pi_3_secret_xyz", "Zm9vYmFyMTIzNDU2Nzg5MEFC", "s3cr3t", strings.Repeat("0f", 32), "cs_test_a1B2"}
	log.ErrorContext(ctx, "mail to ada@example.org", "error", errors.New("550 <ada@example.org> refused"), "url", "https://x.example/sign-in?email=ada%40example.org&token=Zm9vYmFyMTIzNDU2Nzg5MEFC",
		"db", "postgres://shingle:hunter2@db:5432/x", "key", "sk_test_4eC39HqLyjWDarjtT1zdp7dc and whsec_abc", "intent", "pi_3_secret_xyz", "path", "/previews/Zm9vYmFyMTIzNDU2Nzg5MEFC",
		"password", "s3cr3t", slog.Group("g", "token", "s3cr3t", "header", "Authorization: Bearer s3cr3t"), "any", []string{"ada@example.org"}, "sealed", strings.Repeat("0f", 32), "back", "/return?session_id=cs_test_a1B2")
	line := out.String()
	for _, s := range secrets {
		if strings.Contains(line, s) {
			t.Errorf("the line tells %q:\n%s", s, line)
		}
	}
	out.Reset()
	const id, head = "0193f1c2-7d1e-7c3a-9a53-0c8b1f0a2b3c", "1234:5f2d1c0b9a8f7e6d5c4b3a29181706f5e4d3c2b1a0f9e8d7c6b5a49382716051"
	log.InfoContext(ctx, "audit head", "board", id, "head", head, "event", "evt_1PqRsTuVwXyZaBcDeFgHiJk", "stack", "/root/go/pkg/mod/github.com/gin-gonic/gin@v1.12.0/context.go:192", "error", "pq: relation listings_search_documents_by_generation_2 is away")
	for _, kept := range []string{id, head, "evt_1PqRsTuVwXyZaBcDeFgHiJk", "gin@v1.12.0/context.go", "listings_search_documents_by_generation_2", span.SpanContext().TraceID().String()} {
		if !strings.Contains(out.String(), kept) {
			t.Errorf("the line lost %q, which is no secret:\n%s", kept, out.String())
		}
	}
	span.End()
}

// receiver takes reports in Sentry's protocol.
func receiver(t *testing.T, hold <-chan struct{}) (dsn string, got chan map[string]any, asked *atomic.Int32) {
	t.Helper()
	got, asked = make(chan map[string]any, 1000), new(atomic.Int32)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if hold != nil {
			<-hold
		}
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		for line := range bytes.SplitSeq(raw, []byte("\n")) {
			var v map[string]any
			if json.Unmarshal(line, &v) == nil && v["exception"] != nil {
				got <- v
			}
		}
		_, _ = w.Write([]byte("{}"))
	}))
	t.Cleanup(srv.Close)
	return strings.Replace(srv.URL, "://", "://public@", 1) + "/1", got, asked
}

type boardKey struct{}

func boardIn(ctx context.Context) string { id, _ := ctx.Value(boardKey{}).(string); return id }

func TestErrorsAreReported(t *testing.T) {
	t.Parallel()
	dsn, got, _ := receiver(t, nil)
	reports, err := NewReports(dsn, "v9", "serve", boardIn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reports.Close)
	log := slog.New(Log(reports.Handler(slog.DiscardHandler)))
	log.Warn("not this one")
	func() {
		defer func() {
			log.ErrorContext(context.WithValue(t.Context(), boardKey{}, "board-7"), "panic in a handler", "panic", recover(), "route", "/jobs/:slug", "request", "r-1", "body", "CV of Ada", "cookie", "__Host-x=1", "form", "name=Ada", "stack", "long")
		}()
		var none map[string]string
		none["ada@example.org"] = "" //nolint:staticcheck // the panic that is reported
	}()
	select {
	case e := <-got:
		raw, _ := json.Marshal(e)
		tags, _ := e["tags"].(map[string]any)
		if e["release"] != "v9" || tags["route"] != "/jobs/:slug" || tags["board"] != "board-7" || tags["request"] != "r-1" || e["level"] != "fatal" {
			t.Errorf("the report says %s", raw)
		}
		for _, want := range []string{"assignment to entry in nil map", "TestErrorsAreReported"} {
			if !strings.Contains(string(raw), want) {
				t.Errorf("the report lacks %q: %s", want, raw)
			}
		}
		for _, no := range []string{"Ada", "ada@", "__Host", "cookie", `"request":{`, `"user":{"`, `"modules":{`, "context_line"} {
			if strings.Contains(string(raw), no) {
				t.Errorf("the report tells %q: %s", no, raw)
			}
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no report came")
	}
	if len(got) > 0 {
		t.Errorf("more was reported than errors: %v", <-got)
	}
}

func TestReportsNeverBlock(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	dsn, _, asked := receiver(t, hold)
	t.Cleanup(func() { close(hold) }) // before the receiver closes
	for _, at := range []string{dsn, "http://public@127.0.0.1:1/1"} {
		reports, err := NewReports(at, "v9", "serve", boardIn)
		if err != nil {
			t.Fatal(err)
		}
		log := slog.New(reports.Handler(slog.DiscardHandler))
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 1000 { // ten times what waits
				log.Error("the receiver is away")
			}
		}()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatal("logging waits for the receiver")
		}
	}
	if n := asked.Load(); n > 3 {
		t.Errorf("%d requests at once", n)
	}
}

func TestReportsAreOffByDefault(t *testing.T) {
	t.Parallel()
	reports, err := NewReports("", "v9", "serve", boardIn)
	if err != nil || reports != nil {
		t.Fatalf("%v, %v", reports, err)
	}
	reports.Close()
	if h := reports.Handler(slog.DiscardHandler); h != slog.DiscardHandler {
		t.Error("a handler stands in between")
	}
	if _, err := NewReports("not a DSN", "v9", "serve", boardIn); err == nil || strings.Contains(err.Error(), "not a DSN") {
		t.Errorf("a wrong DSN: %v", err)
	}
}
