package web_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/uptrace/bun"

	"shingle/internal/testkit"
	"shingle/listings"
	"shingle/search"
	"shingle/search/postgres"
	"shingle/tasks"
	"shingle/tenant"
)

// BenchmarkFindable is how long it takes from the commit that publishes a
// listing until a search page shows it to a visitor: the task's row, the relay
// of another process, Redis, the index, the board's generation, the page cache.
// Serve and worker have pools and notifiers of their own, as in production, and
// meet in Postgres and Redis alone. Each search was asked before, so that a page
// without the listing is kept. Run it with -benchtime 200x or more.
func BenchmarkFindable(b *testing.B) {
	h := newHouse(b)
	h.caching(b, 16<<20)
	ctx, stop := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { h.Notifier.Run(ctx) })
	parts.Go(func() { h.Boards.Run(ctx) })
	h.work(b, ctx, &parts)
	b.Cleanup(func() { stop(); parts.Wait() }) // before what they stand on closes

	board := h.Board(b, "findable")
	h.fill(b, board, &demoBoards(b)[0], 50)
	admin := h.Ctx(b, board)
	r := rand.New(rand.NewPCG(11, 13)) //nolint:gosec // a repeatable draw
	took := make([]time.Duration, 0, b.N)
	b.ResetTimer()
	for range b.N {
		word := letters(r, 14)
		var id uuid.UUID
		var path string
		err := h.DB.Write(admin, func(ctx context.Context, tx bun.IDB) error {
			l, err := h.parts.Site.Listings.Create(ctx, tx, listings.Content{Title: "Baker " + word, Company: "Bread & Sons", EmploymentType: listings.FullTime,
				Workplace: listings.OnSite, Description: "<p>Bake.</p>", ApplyMethod: listings.ApplyBoard}, listings.Owner{Source: listings.FromEmployer})
			if err != nil {
				return err
			}
			id, path = l.ID, l.Path()
			return h.parts.Site.Listings.Grant(ctx, tx, listings.Entitlement{ListingID: l.ID, Kind: listings.Posting, Days: 30})
		})
		if err != nil {
			b.Fatal(err)
		}
		shown := func() bool {
			rec := h.get(b, board.PlatformHost, "/jobs?q="+word)
			if rec.Code != http.StatusOK {
				b.Fatalf("the search page answers %d", rec.Code)
			}
			return strings.Contains(rec.Body.String(), path)
		}
		if shown() {
			b.Fatal("found before it was published")
		}
		err = h.DB.Write(admin, func(ctx context.Context, tx bun.IDB) error {
			_, err := h.parts.Site.Listings.Publish(ctx, tx, id)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		published := time.Now()
		testkit.Eventually(b, 20*time.Second, shown)
		took = append(took, time.Since(published))
	}
	b.StopTimer()
	report(b, took)
}

// work runs tasks as the worker's process does.
func (h *house) work(b *testing.B, ctx context.Context, parts *sync.WaitGroup) { //nolint:revive // b first, as in all tests
	b.Helper()
	app, platform := h.PG.Open(b, h.PG.App, 8), h.PG.Open(b, h.PG.Platform, 8)
	n := tenant.NewNotifier(h.PG.App, h.parts.Log)
	db, crossing := tenant.NewDB(app, n), tenant.NewPlatform(platform, n)
	boards := tenant.NewResolver(crossing, h.parts.Log, time.Now)
	boards.Attach(n)
	opt, err := redis.ParseURL(testkit.Redis(b))
	if err != nil {
		b.Fatal(err)
	}
	rdb := redis.NewClient(opt)
	b.Cleanup(func() { _ = rdb.Close() })
	mux := tasks.NewMux()
	search.NewService(search.Options{DB: db, Platform: crossing, Local: postgres.New(db), Log: h.parts.Log}).Register(mux)
	runner := tasks.NewRunner(crossing, boards, mux, rdb, h.parts.Log)
	n.OnTask(runner.Wake)
	parts.Go(func() { n.Run(ctx) })
	parts.Go(func() { boards.Run(ctx) })
	parts.Go(func() { _ = runner.Run(ctx, 8) })
}

// letters is a made-up word, unlike any other.
func letters(r *rand.Rand, n int) string {
	out := make([]byte, n)
	for i := range out {
		out[i] = 'a' + byte(r.IntN(26))
	}
	return string(out)
}
