package devstack

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// redisTick is how often the in-process Redis is told that time has passed: it
// never expires a key by itself.
const redisTick = 100 * time.Millisecond

// Redis serves an in-process Redis on a free port of 127.0.0.1, with a password.
// What it holds is gone when stop is called or the process ends.
func Redis(ctx context.Context) (url string, stop func(), err error) {
	password := rand.Text()
	m := miniredis.NewMiniRedis()
	m.RequireAuth(password)
	if err := m.StartAddr("127.0.0.1:0"); err != nil {
		return "", nil, fmt.Errorf("in-process Redis: %w", err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(redisTick)
		defer tick.Stop()
		last := time.Now()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				m.FastForward(now.Sub(last))
				last = now
			}
		}
	})
	var once sync.Once
	// With a user: redis-cli takes an empty one for a name.
	return "redis://default:" + password + "@" + m.Addr() + "/0", func() {
		once.Do(func() {
			cancel()
			wg.Wait()
			m.Close()
		})
	}, nil
}
