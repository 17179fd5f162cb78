package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	gomail "github.com/wneessen/go-mail"

	"shingle/internal/config"
	"shingle/internal/fault"
	"shingle/internal/observe"
	"shingle/internal/proxies"
	"shingle/mail"
	"shingle/tenant"
)

// openProcess is open for serve and worker: what they do is traced, and their errors
// are reported, where the settings name somebody who takes it.
func openProcess(ctx context.Context, mode string) (*app, error) {
	cfg, err := load(mode)
	if err != nil {
		return nil, err
	}
	return watched(ctx, mode, cfg, os.Stderr, time.Now)
}

// watched builds the app of a process, which writes its log to out; planNow is
// the clock of plans.
func watched(ctx context.Context, mode string, cfg *config.Config, out io.Writer, planNow func() time.Time) (*app, error) {
	reports, err := observe.NewReports(cfg.SentryDSN, buildVersion(), mode, tenantOf)
	if err != nil {
		return nil, err
	}
	log := newLogger(out, reports)
	if mode == "dev" {
		log = devLogger(out, reports)
	}
	// net/http and other libraries write by the standard logger; their lines pass
	// the same filter.
	slog.SetLogLoggerLevel(slog.LevelWarn)
	slog.SetDefault(log)
	trusted, err := proxies.Parse(cfg.TrustedProxies)
	if err != nil {
		return nil, fmt.Errorf("SHINGLE_TRUSTED_PROXIES: %w", err)
	}
	tracing, err := observe.Traces(ctx, "shingle-"+mode, buildVersion(), trusted, log)
	if err != nil {
		return nil, err
	}
	a, err := build(ctx, cfg, log, planNow)
	if err != nil {
		return nil, err
	}
	a.tracing, a.reports = tracing, reports
	return a, nil
}

// newLogger writes lines of JSON without secrets and addresses, from level Info
// on, or Debug when SHINGLE_LOG says so.
func newLogger(out io.Writer, reports *observe.Reports) *slog.Logger {
	return slog.New(observe.Log(reports.Handler(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level(slog.LevelInfo)}))))
}

// devLogger writes text, and leaves the terminal to what went wrong.
func devLogger(out io.Writer, reports *observe.Reports) *slog.Logger {
	return slog.New(observe.Log(reports.Handler(slog.NewTextHandler(out, &slog.HandlerOptions{Level: level(slog.LevelWarn)}))))
}

func level(usual slog.Level) slog.Level {
	if os.Getenv("SHINGLE_LOG") == "debug" {
		return slog.LevelDebug
	}
	return usual
}

// tenantOf is the id of the context's board, or "".
func tenantOf(ctx context.Context) string {
	if t := tenant.From(ctx); t != nil {
		return t.ID.String()
	}
	return ""
}

// tracedMail gives each mail on its way a span that says its kind.
type tracedMail struct{ next mail.Transport }

// Send is mail.Transport's.
func (m tracedMail) Send(ctx context.Context, msg *gomail.Msg) error {
	why := func(err error) string { return fault.KindOf(err).String() }
	return observe.Step(ctx, "smtp send", why, func(ctx context.Context) error { return m.next.Send(ctx, msg) })
}
