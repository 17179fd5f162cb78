package testkit

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"shingle/internal/pg"
	"shingle/tenant"
)

// World is a private database with both doors open, as the app and the
// platform see it.
type World struct {
	PG       *DB
	DB       *tenant.DB
	Platform *tenant.Platform
	Boards   *tenant.Resolver
	Notifier *tenant.Notifier
}

// NewWorld opens the doors on a clone of the migrated template. Notifications
// apply in this process; nothing listens.
func NewWorld(t testing.TB) *World {
	t.Helper()
	db := Postgres(t)
	app, err := pg.Open(db.App, 8)
	if err != nil {
		t.Fatal(err)
	}
	platform, err := pg.Open(db.Platform, 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = app.Close(), platform.Close() })
	n := tenant.NewNotifier(db.App, slog.New(slog.DiscardHandler))
	w := &World{PG: db, DB: tenant.NewDB(app, n), Platform: tenant.NewPlatform(platform, n), Notifier: n}
	w.Boards = tenant.NewResolver(w.Platform, slog.New(slog.DiscardHandler), time.Now)
	w.Boards.Attach(n)
	return w
}

// Board makes a board at <slug>.localhost, in English and dollars, and reads it
// as a request would.
func (w *World) Board(t testing.TB, slug string) *tenant.Tenant {
	t.Helper()
	return w.BoardOf(t, tenant.NewBoard{Slug: slug, Name: slug + " jobs", Locale: "en", Currency: "USD", TimeZone: "UTC", ContactEmail: "desk@" + slug + ".example"})
}

// BoardOf makes a board as described.
func (w *World) BoardOf(t testing.TB, n tenant.NewBoard) *tenant.Tenant {
	t.Helper()
	var b *tenant.Tenant
	err := w.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		b, err = tenant.CreateBoard(ctx, tx, n, "localhost")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Ctx is a context for the board, as after host resolution.
func (w *World) Ctx(t testing.TB, b *tenant.Tenant) context.Context {
	t.Helper()
	return tenant.With(t.Context(), b)
}
