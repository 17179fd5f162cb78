package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"shingle/internal/testkit"
	"shingle/tenant"
)

// spans is a collector of OpenTelemetry's in this process.
type spans struct {
	mu  sync.Mutex
	all []*otlp.Span
	srv *httptest.Server
}

func startCollector(t *testing.T) *spans {
	t.Helper()
	c := new(spans)
	c.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		req := new(collector.ExportTraceServiceRequest)
		if err == nil {
			err = proto.Unmarshal(raw, req)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			http.Error(w, "no spans", http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, rs := range req.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				c.all = append(c.all, ss.Spans...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(c.srv.Close)
	return c
}

// traces are the spans by trace.
func (c *spans) traces() map[string][]*otlp.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string][]*otlp.Span{}
	for _, s := range c.all {
		out[string(s.TraceId)] = append(out[string(s.TraceId)], s)
	}
	return out
}

// holding is a trace that has spans of all these names, and no span whose parent is missing.
func (c *spans) holding(names ...string) ([]*otlp.Span, error) {
	var near string
	for _, trace := range c.traces() {
		have, ids, roots := map[string]bool{}, map[string]bool{}, 0
		for _, s := range trace {
			have[s.Name], ids[string(s.SpanId)] = true, true
		}
		missing := ""
		for _, n := range names {
			if !have[n] {
				missing += " " + n
			}
		}
		for _, s := range trace {
			switch {
			case len(s.ParentSpanId) == 0:
				roots++
			case !ids[string(s.ParentSpanId)]:
				missing += " the parent of " + s.Name
			}
		}
		if missing == "" && roots == 1 {
			return trace, nil
		}
		if have[names[0]] {
			near = fmt.Sprintf("%d roots, without%s", roots, missing)
		}
	}
	return nil, fmt.Errorf("no whole trace from %q to %q: %s", names[0], names[len(names)-1], near)
}

// TestASaleIsSeen sells one posting with serve and worker traced, and looks at
// what they tell of it: traces, figures, and what the dashboard asks for.
func TestASaleIsSeen(t *testing.T) {
	t.Parallel()
	w, c := newCrashWorld(t, "seen"), startCollector(t)
	w.env = append(w.env, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.srv.URL, "OTEL_BSP_SCHEDULE_DELAY=100")
	w.up(t)
	s := w.buy(t)
	w.pay(t, s)
	w.liveOnce(t, s)
	board := tenant.From(w.ctx)

	t.Run("in traces", func(t *testing.T) {
		var bought, applied []*otlp.Span
		testkit.Eventually(t, atMost, func() (err error) {
			if bought, err = c.holding("POST /post/:draft/products", "INSERT orders", "stripe POST /v1/checkout/sessions", "COMMIT"); err != nil {
				return err
			}
			applied, err = c.holding("POST /webhooks/stripe", "INSERT stripe_events", "task billing.event", "stripe GET /v1/checkout/sessions/:id", "task search.index", "task mail.send", "smtp send")
			return err
		})
		linked := false
		for _, a := range applied {
			for _, l := range a.Links {
				linked = linked || string(l.TraceId) == string(bought[0].TraceId)
			}
			if a.Name == "task billing.event" || a.Name == "task mail.send" {
				if !strings.Contains(fmt.Sprint(a.Attributes), board.ID.String()) {
					t.Errorf("%s does not name its board: %v", a.Name, a.Attributes)
				}
			}
		}
		if !linked {
			t.Error("the payment's trace is not tied to the buyer's request")
		}
		redis := false
		for _, trace := range c.traces() {
			for _, sp := range trace {
				redis = redis || strings.HasPrefix(sp.Name, "redis ")
				said := fmt.Sprint(sp.Name, " ", sp.Attributes, sp.Events, sp.Status)
				logs := new(testkit.Logs) // knows what a secret looks like
				for what, text := range map[string]string{"a literal": s.word, "what a listing says": "bake bread", "an address": "@crash.example", "a company": "Bread & Sons", "a session": s.session,
					"a draft's token": strings.TrimPrefix(s.path, "/post/"), "an order": s.order.String(), "a listing": s.listing.String()} {
					logs.Forbid(what, text)
				}
				_, _ = fmt.Fprintln(logs, said)
				logs.Check(t)
				for _, a := range sp.Attributes {
					if a.Key == "db.query.text" && strings.Contains(a.Value.GetStringValue(), "'") {
						t.Errorf("a statement with a literal: %s", said)
					}
				}
			}
		}
		if !redis {
			t.Error("no span of Redis")
		}
	})
	t.Run("in figures without boards", func(t *testing.T) {
		for _, path := range []string{"/", "/jobs?q=baker&city=Bremen", "/jobs?page=2", "/companies", "/no/such/page", "/sitemap.xml", "/feed.xml", "/api/v1/jobs", "/robots.txt", "/jobs/" + s.word + "-1234567890"} {
			res, err := w.client.Get("http://" + board.CanonicalHost + path)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
		}
		for _, host := range []string{"nobody.example", "other.localhost", "platform.localhost"} {
			res, err := w.client.Get("http://" + host + "/staff")
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
		}
		for _, p := range []*process{w.serve, w.worker} {
			figures := metrics(t, p.ops)
			for _, wrong := range unboundedSeries(figures, board.Slug, board.ID.String(), board.CanonicalHost) {
				t.Errorf("%s: %s", p.name, wrong)
			}
			if p == w.serve && !regexp.MustCompile(`shingle_http_seconds_bucket\{.* # \{[^}]*trace_id="[0-9a-f]{32}"[^}]*\}`).MatchString(figures) {
				t.Error("no exemplar names a trace")
			}
			if p == w.serve && !strings.Contains(figures, `tenant="`+board.ID.String()+`"`) {
				t.Error("no exemplar names the board")
			}
		}
		// The check itself must be able to fail.
		for _, line := range []string{`x_total{tenant="a"} 1`, `x_total{host="a.example"} 1`, `x_total{route="/jobs/` + board.ID.String() + `"} 1`, `x_total{kind="ada@example.org"} 1`} {
			if len(unboundedSeries(line, board.Slug)) == 0 {
				t.Errorf("%s counts as bounded", line)
			}
		}
	})
	t.Run("on the dashboard and in alerts", func(t *testing.T) {
		if _, err := w.app.handler(nil); err != nil {
			t.Fatal(err)
		}
		if err := w.app.registerTasks(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := noteBackup(t.Context(), w.app.cfg); err != nil { // without one it has no age
			t.Fatal(err)
		}
		known := collected(w.app.registry)
		if len(known) < 60 || known["shingle_http_seconds_bucket"] == nil {
			t.Fatalf("only %d series are known", len(known))
		}
		exprs := expressions(t)
		for where, expr := range exprs {
			if wrong := strange(expr, known); wrong != "" {
				t.Errorf("%s: %s\n%s", where, wrong, expr)
			}
		}
		for _, expr := range []string{`sum(rate(shingle_http_second_count[5m]))`, `sum by (tenant) (shingle_tasks_due)`, `shingle_http_seconds_count{board="x"}`, `max(shingle_http_seconds)`} {
			if strange(expr, known) == "" {
				t.Errorf("%s counts as known", expr)
			}
		}
	})
}

// metrics are what a process tells Prometheus, exemplars among it.
func metrics(t *testing.T, addr string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("/metrics answers %s, %v", res.Status, err)
	}
	return string(raw)
}

var (
	seriesLine = regexp.MustCompile(`^([a-zA-Z_:][\w:]*)\{(.*)\} \S+`)
	labelPair  = regexp.MustCompile(`([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"`)
	idLike     = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}|@|\d{6}`)
	// The labels there are; a new one is looked at before it stands here.
	labelNames = []string{"route", "status", "kind", "result", "engine", "outcome", "reason", "state", "ca", "db_name", "le", "quantile", "version"}
)

// unboundedSeries are the labels that grow with boards, hosts and people.
func unboundedSeries(figures string, never ...string) (wrong []string) {
	count := map[string]int{}
	for line := range strings.Lines(figures) {
		line, _, _ = strings.Cut(line, " # ") // an exemplar may name a board
		m := seriesLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		count[m[1]]++
		for _, l := range labelPair.FindAllStringSubmatch(m[2], -1) {
			name, value := l[1], l[2]
			switch {
			case !slices.Contains(labelNames, name):
				wrong = append(wrong, fmt.Sprintf("%s has a label %s=%q: is it bounded?", m[1], name, value))
			case name != "le" && name != "version" && idLike.MatchString(value),
				slices.ContainsFunc(never, func(s string) bool { return strings.Contains(value, s) }):
				wrong = append(wrong, fmt.Sprintf("%s names one thing: %s=%q", m[1], name, value))
			case name == "route" && value != "none" && !strings.HasPrefix(value, "/"):
				wrong = append(wrong, fmt.Sprintf("%s: %q is no route", m[1], value))
			}
		}
	}
	for name, n := range count {
		if n > 5000 {
			wrong = append(wrong, fmt.Sprintf("%s has %d series", name, n))
		}
	}
	return wrong
}

var descText = regexp.MustCompile(`fqName: "([^"]+)".*constLabels: \{(.*?)\}, variableLabels: \{(.*?)\}`)

// collected are the names that a registry can answer, with their labels. A
// histogram's are those of its parts.
func collected(reg *prometheus.Registry) map[string][]string {
	types := map[string]string{}
	if families, err := reg.Gather(); err == nil {
		for _, f := range families {
			types[f.GetName()] = f.GetType().String()
		}
	}
	out := map[string][]string{}
	ch := make(chan *prometheus.Desc)
	go func() { reg.Describe(ch); close(ch) }()
	for d := range ch {
		m := descText.FindStringSubmatch(d.String())
		if m == nil {
			continue
		}
		labels := []string{"instance", "job"}
		for _, l := range strings.Split(m[2]+","+m[3], ",") {
			if name, _, _ := strings.Cut(strings.TrimSpace(l), "="); name != "" {
				labels = append(labels, name)
			}
		}
		kind := types[m[1]]
		if kind == "" && strings.HasSuffix(m[1], "_seconds") { // a histogram that nothing was put into
			kind = "HISTOGRAM"
		}
		if kind == "HISTOGRAM" || kind == "SUMMARY" {
			out[m[1]+"_count"], out[m[1]+"_sum"] = labels, labels
			if kind == "HISTOGRAM" {
				out[m[1]+"_bucket"] = append(labels[:len(labels):len(labels)], "le")
			}
			continue
		}
		out[m[1]] = append(out[m[1]], labels...)
	}
	return out
}

var (
	quotedText  = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	matchers    = regexp.MustCompile(`([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}`)
	matcherName = regexp.MustCompile(`([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)`)
	grouping    = regexp.MustCompile(`\b(?:by|without|on|ignoring)\s*\(([^)]*)\)`)
	ranges      = regexp.MustCompile(`\[[^\]]*\]`)
	word        = regexp.MustCompile(`[a-zA-Z_:][\w:]*\s*\(?`)
)

// strange says what in an expression no process answers.
func strange(expr string, known map[string][]string) string {
	expr = ranges.ReplaceAllString(quotedText.ReplaceAllString(expr, `""`), "")
	var grouped []string
	for _, g := range grouping.FindAllStringSubmatch(expr, -1) {
		for _, l := range strings.Split(g[1], ",") {
			grouped = append(grouped, strings.TrimSpace(l))
		}
	}
	for _, m := range matchers.FindAllStringSubmatch(expr, -1) {
		for _, l := range matcherName.FindAllStringSubmatch(m[2], -1) {
			if known[m[1]] != nil && !slices.Contains(known[m[1]], l[1]) {
				return m[1] + " has no label " + l[1]
			}
		}
	}
	expr = grouping.ReplaceAllString(matchers.ReplaceAllString(expr, "$1"), "")
	names := 0
	for _, w := range word.FindAllString(expr, -1) {
		if strings.HasSuffix(w, "(") || slices.Contains([]string{"by", "and", "or", "unless", "bool", "offset", "e6"}, strings.TrimSpace(w)) {
			continue
		}
		name := strings.TrimSpace(w)
		labels := known[name]
		if labels == nil {
			return "nobody answers " + name
		}
		names++
		for _, g := range grouped {
			if !slices.Contains(labels, g) && g != "le" {
				return name + " has no label " + g
			}
		}
	}
	if names == 0 {
		return "no series in it"
	}
	return ""
}

// expressions are those of every dashboard and rule in deploy, by where they stand.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	files, err := filepath.Glob("../../deploy/helm/grafana/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dashboard: %v", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d struct {
			Panels []struct {
				Title   string
				Type    string
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal(raw, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, p := range d.Panels {
			if p.Type != "row" && len(p.Targets) == 0 {
				t.Errorf("%s: the panel %q asks for nothing", file, p.Title)
			}
			for i, target := range p.Targets {
				out[fmt.Sprintf("%s: %s, %d", filepath.Base(file), p.Title, i)] = target.Expr
			}
		}
	}
	dashboard := len(out)
	raw, err := os.ReadFile("../../deploy/helm/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal(raw, &rules); err != nil {
		t.Fatal(err)
	}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			out["alert "+r.Alert] = r.Expr
		}
	}
	if dashboard < 25 || len(out)-dashboard < 8 {
		t.Errorf("%d expressions of dashboards and %d of alerts were found", dashboard, len(out)-dashboard)
	}
	return out
}

// A collector that is away, or hangs, is nobody's problem but its own.
func TestTracesNeverHoldAnythingUp(t *testing.T) {
	t.Parallel()
	w := newCrashWorld(t, "untraced")
	hold := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold }))
	t.Cleanup(srv.Close)
	t.Cleanup(func() { close(hold) })
	w.env = append(w.env, "OTEL_EXPORTER_OTLP_ENDPOINT="+srv.URL, "OTEL_BSP_SCHEDULE_DELAY=10", "OTEL_BSP_MAX_QUEUE_SIZE=64", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=16",
		"SHINGLE_SENTRY_DSN="+strings.Replace(srv.URL, "://", "://public@", 1)+"/1")
	w.up(t)
	s := w.buy(t)
	w.pay(t, s)
	w.liveOnce(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), atMost)
	defer cancel()
	if err := w.sim.Drained(ctx); err != nil {
		t.Error(err)
	}
}
