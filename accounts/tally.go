package accounts

import (
	"context"
	"strings"
	"time"
)

// tally is a count in this process that is forgotten at its end.
type tally struct {
	n    int
	ends time.Time
}

// shared asks Redis, unless it failed a moment ago; false is to count here.
func (l *Limiter) shared(ctx context.Context, ask func(ctx context.Context) error) bool {
	now := l.now()
	if l.rdb == nil || now.UnixNano() < l.rest.Load() {
		return false
	}
	rctx, cancel := context.WithTimeout(ctx, redisWait)
	defer cancel()
	if err := ask(rctx); err != nil {
		if ctx.Err() == nil {
			l.rest.Store(now.Add(redisRest).UnixNano())
		}
		return false
	}
	return true
}

// Count counts one event and returns how many there were in this period, which
// begins with its first. Each replica counts by itself while Redis is away.
func (l *Limiter) Count(ctx context.Context, key string, period time.Duration) int {
	var n int64
	if l.shared(ctx, func(ctx context.Context) error {
		pipe := l.rdb.Pipeline()
		added := pipe.Incr(ctx, "count:"+key)
		pipe.ExpireNX(ctx, "count:"+key, period)
		_, err := pipe.Exec(ctx)
		n = added.Val()
		return err
	}) {
		return int(n)
	}
	return l.here("count:"+key, l.now().Add(period))
}

// Once reports whether key is used for the first time before it ends. While
// Redis is away a second replica does not know of the first.
func (l *Limiter) Once(ctx context.Context, key string, ends time.Time) bool {
	first := false
	if l.shared(ctx, func(ctx context.Context) (err error) {
		first, err = l.rdb.SetNX(ctx, "once:"+key, 1, max(ends.Sub(l.now()), time.Second)).Result()
		return err
	}) {
		// Both remember: what was used while the other was away counts as used.
		return l.here("once:"+key, ends) == 1 && first
	}
	return l.here("once:"+key, ends) == 1
}

// Again takes a Once back: what it was for could not be done.
func (l *Limiter) Again(ctx context.Context, key string) {
	l.shared(ctx, func(ctx context.Context) error { return l.rdb.Del(ctx, "once:"+key).Err() })
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.tallies, "once:"+key)
}

func (l *Limiter) here(key string, ends time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if len(l.tallies) >= maxBuckets {
		for k, t := range l.tallies {
			if !now.Before(t.ends) {
				delete(l.tallies, k)
			}
		}
		// Then a few counts, which only get kinder, and what was used last of all.
		for _, kind := range []string{"count:", ""} {
			for k := range l.tallies {
				if len(l.tallies) >= maxBuckets*9/10 && strings.HasPrefix(k, kind) {
					delete(l.tallies, k)
				}
			}
		}
	}
	t := l.tallies[key]
	if !now.Before(t.ends) {
		t = tally{ends: ends}
	}
	t.n++
	l.tallies[key] = t
	return t.n
}
