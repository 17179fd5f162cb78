package redirects

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/pg"
	"shingle/tenant"
)

// flushEvery is how late a count may be; what is not written when a process
// dies is lost.
const flushEvery = 10 * time.Second

type hit struct {
	board tenant.ID
	id    uuid.UUID
}

// Hits counts how often redirects are used, in memory, and writes the sums now
// and then: a redirect costs its reader no write.
type Hits struct {
	Platform *tenant.Platform
	Log      *slog.Logger

	mu sync.Mutex
	n  map[hit]int64
}

// Add counts one use. A nil counter counts nothing.
func (h *Hits) Add(board tenant.ID, id uuid.UUID) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.n == nil {
		h.n = map[hit]int64{}
	}
	h.n[hit{board, id}]++
}

// Run writes the counts until ctx ends, and once more then.
func (h *Hits) Run(ctx context.Context) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for done := false; !done; {
		select {
		case <-ctx.Done():
			done = true
		case <-tick.C:
		}
		if err := h.Flush(context.WithoutCancel(ctx)); err != nil {
			h.Log.Warn("counting redirects", "sqlstate", pg.Code(err))
		}
	}
}

// Flush writes what was counted, across boards.
func (h *Hits) Flush(ctx context.Context) error {
	h.mu.Lock()
	counts := h.n
	h.n = nil
	h.mu.Unlock()
	if len(counts) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return h.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		for at, n := range counts {
			if _, err := tx.NewRaw(`UPDATE redirects SET hits = hits + ?, hit_at = now() WHERE tenant_id = ? AND id = ?`, n, at.board, at.id).Exec(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}
