package testkit

import (
	"context"
	"crypto/sha256"
	"database/sql"
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

	pools []*sql.DB
}

// Hangup closes the world's connections, for tests of what wants to be alone with
// the database; they are opened again when used.
func (w *World) Hangup(t testing.TB) {
	t.Helper()
	for _, p := range w.pools {
		p.SetMaxIdleConns(0)
	}
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
	w := &World{PG: db, DB: tenant.NewDB(app, n), Platform: tenant.NewPlatform(platform, n), Notifier: n, pools: []*sql.DB{app, platform}}
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

// StepUp lets the operator of a session on the platform's host have a second
// factor, proven this moment: for tests that are about something else. Sessions
// that are handed over from it afterwards have it too.
func (w *World) StepUp(t testing.TB, token string) {
	t.Helper()
	hash := sha256.Sum256([]byte(token))
	err := w.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`INSERT INTO operator_totp (operator_id, sealed, sealed_with, last_step, created_at)
			SELECT operator_id, 'x', 'x', 0, now() FROM operator_sessions WHERE token_hash = ? ON CONFLICT DO NOTHING`, hash[:]).Exec(ctx)
		if err != nil {
			return err
		}
		res, err := tx.NewRaw(`UPDATE operator_sessions SET factor_at = now() WHERE token_hash = ? OR parent_hash = ?`, hash[:], hash[:]).Exec(ctx)
		return tenant.Touched(res, err, "session")
	})
	if err != nil {
		t.Fatal(err)
	}
}
