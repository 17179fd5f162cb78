package billing

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/uptrace/bun"

	"shingle/billing/stripesim"
	"shingle/internal/fault"
	"shingle/internal/testkit"
	"shingle/listings"
	"shingle/tasks"
)

// The whole way with every real part: Stripe sends signed webhooks over HTTP,
// the inbox stores them, the runner applies them.
func TestWebhooksRunThroughTheWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, MaxEvent))
		if err == nil {
			err = w.s.Receive(r.Context(), body, r.Header.Get("Stripe-Signature"))
		}
		switch {
		case fault.Is(err, fault.Invalid):
			rw.WriteHeader(http.StatusBadRequest)
		case err != nil:
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(hook.Close)
	made, err := MakeWebhooks(t.Context(), w.s.stripe, hook.URL)
	if err != nil {
		t.Fatal(err)
	}
	w.s.secrets = []string{made[0].Secret, made[1].Secret}
	opt, err := redis.ParseURL(testkit.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(opt)
	t.Cleanup(func() { _ = rdb.Close() })
	mux := tasks.NewMux()
	w.s.Register(mux)
	runner := tasks.NewRunner(w.Platform, w.Boards, mux, rdb, slog.New(slog.DiscardHandler))
	w.Notifier.OnTask(runner.Wake)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = runner.Run(ctx, 4) })
	wg.Go(func() { _ = w.sim.Run(ctx) })
	t.Cleanup(func() { stop(); wg.Wait() })

	w.sell(t)
	o := w.place(t, w.listing(t), w.product(t, 19900, "USD"))
	w.pay(t, w.open(t, o), stripesim.CardOK)
	paid := time.Now()
	testkit.Eventually(t, 20*time.Second, func() bool { return w.end(t, o).Listing == listings.Live })
	t.Logf("paid to live: %s", time.Since(paid).Round(time.Millisecond))
	w.write(t, func(ctx context.Context, tx bun.IDB) error { _, err := w.s.AskRefund(ctx, tx, o.ID, ""); return err })
	testkit.Eventually(t, 20*time.Second, func() bool { e := w.end(t, o); return e.Order == Refunded && e.Tasks == 0 })
	wantEnd(t, w.end(t, o), undone())
}
