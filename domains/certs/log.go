package certs

import (
	"context"
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// toSlog passes certmagic's errors on and drops its chatter, which says again
// what the orders' rows say.
type toSlog struct {
	log    *slog.Logger
	fields []zapcore.Field
}

func zapTo(log *slog.Logger) *zap.Logger { return zap.New(toSlog{log: log}) }

func (t toSlog) Enabled(l zapcore.Level) bool { return l >= zapcore.ErrorLevel }

func (t toSlog) With(fields []zapcore.Field) zapcore.Core {
	return toSlog{t.log, append(t.fields[:len(t.fields):len(t.fields)], fields...)}
}

func (t toSlog) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if t.Enabled(e.Level) {
		return c.AddCore(e, t)
	}
	return c
}

func (t toSlog) Write(e zapcore.Entry, fields []zapcore.Field) error {
	said := zapcore.NewMapObjectEncoder()
	for _, f := range append(t.fields[:len(t.fields):len(t.fields)], fields...) {
		switch f.Key {
		case "identifier", "issuer", "error", "lock_key", "ca":
			f.AddTo(said)
		}
	}
	args := make([]any, 0, 2*len(said.Fields))
	for k, v := range said.Fields {
		args = append(args, k, v)
	}
	t.log.Log(context.Background(), slog.LevelWarn, "certmagic: "+e.Message, args...)
	return nil
}

func (t toSlog) Sync() error { return nil }
