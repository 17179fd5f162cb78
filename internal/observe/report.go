package observe

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/getsentry/sentry-go"
)

// Reports sends what is logged as an error, panics among it, to a receiver that
// speaks Sentry's protocol. A report holds the line's words, where it came from,
// the release, and a few ids; no body, header, cookie or address. Nil sends
// nothing.
type Reports struct {
	client *sentry.Client
	// board is the id of the context's board, or "".
	board func(context.Context) string
}

// NewReports makes the sender for a DSN, and none for "". It never blocks: what
// the receiver does not take in time is dropped.
func NewReports(dsn, release, process string, board func(context.Context) string) (*Reports, error) {
	if dsn == "" {
		return nil, nil //nolint:nilnil // nil sends nothing
	}
	transport := sentry.NewHTTPTransport()
	transport.BufferSize, transport.Timeout = 100, 5*time.Second
	client, err := sentry.NewClient(sentry.ClientOptions{Dsn: dsn, Release: release, Transport: transport, Environment: process,
		MaxBreadcrumbs: -1, DisableTelemetryBuffer: true, DisableClientReports: true,
		// The library's own would add the list of modules, and lines of source.
		Integrations: func([]sentry.Integration) []sentry.Integration { return nil }})
	if err != nil {
		return nil, errors.New("SHINGLE_SENTRY_DSN cannot be read: write https://<key>@<host>/<project>")
	}
	return &Reports{client: client, board: board}, nil
}

// Close sends what waits, for two seconds at most.
func (r *Reports) Close() {
	if r == nil {
		return
	}
	r.client.Flush(2 * time.Second)
	r.client.Close()
}

// Handler passes lines on and reports those of level Error. Put it behind Log,
// which has taken out what nobody shall see.
func (r *Reports) Handler(next slog.Handler) slog.Handler {
	if r == nil {
		return next
	}
	return &reporting{next: next, reports: r}
}

type reporting struct {
	next    slog.Handler
	reports *Reports
	attrs   []slog.Attr
}

func (h *reporting) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelError || h.next.Enabled(ctx, level)
}

func (h *reporting) WithGroup(name string) slog.Handler {
	return &reporting{next: h.next.WithGroup(name), reports: h.reports, attrs: h.attrs}
}

func (h *reporting) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &reporting{next: h.next.WithAttrs(attrs), reports: h.reports, attrs: append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)}
}

func (h *reporting) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		h.reports.send(ctx, &r, h.attrs)
	}
	if !h.next.Enabled(ctx, r.Level) {
		return nil
	}
	return h.next.Handle(ctx, r)
}

// told are the attributes of a line that a report passes on, as tags.
var told = map[string]bool{"route": true, "status": true, "request": true, "kind": true, "task": true, "board": true, "attempt": true, "trace_id": true}

func (r *Reports) send(ctx context.Context, rec *slog.Record, more []slog.Attr) {
	tags, cause, panicked := map[string]string{}, "", false
	take := func(a slog.Attr) bool {
		switch {
		case told[a.Key]:
			tags[a.Key] = a.Value.String()
		case a.Key == "error", a.Key == "panic":
			cause, panicked = a.Value.String(), panicked || a.Key == "panic"
		}
		return true
	}
	for _, a := range more {
		take(a)
	}
	rec.Attrs(take)
	if tags["board"] == "" {
		if id := r.board(ctx); id != "" {
			tags["board"] = id
		}
	}
	e := sentry.NewEvent()
	e.Level, e.Timestamp, e.Message, e.Tags = sentry.LevelError, rec.Time, rec.Message, tags
	if panicked {
		e.Level = sentry.LevelFatal
	}
	if cause == "" {
		cause = rec.Message
	}
	// Lines of one place belong together, whatever their error quotes.
	e.Fingerprint = []string{rec.Message, tags["route"], tags["kind"]}
	if panicked {
		e.Fingerprint = append(e.Fingerprint, cause)
	}
	e.Exception = []sentry.Exception{{Type: rec.Message, Value: cause, Stacktrace: stack()}}
	r.client.CaptureEvent(e, nil, nil)
}

// stack is where the line was written, without this package and the logger.
func stack() *sentry.Stacktrace {
	s := sentry.NewStacktrace()
	if s == nil {
		return nil
	}
	frames := s.Frames[:0]
	for _, f := range s.Frames {
		own := strings.HasPrefix(f.Module, "shingle/internal/observe") && !strings.HasSuffix(f.AbsPath+f.Filename, "_test.go")
		if f.Module == "log/slog" || own {
			continue
		}
		f.AbsPath = ""
		frames = append(frames, f)
	}
	s.Frames = frames
	return s
}
