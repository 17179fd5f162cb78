package accounts

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"

	"shingle/internal/fault"
	"shingle/tenant"
)

// Limit is how often something may happen: N at once, and N per Period.
type Limit struct {
	N      int
	Period time.Duration
}

const (
	// redisWait bounds how long a limit may hold a request up; after a failure
	// Redis is left alone for redisRest.
	redisWait, redisRest = 150 * time.Millisecond, 5 * time.Second
	maxBuckets           = 50_000
)

// Limiter counts in Redis, and in this process while Redis is away or there is
// none: then each replica allows the limit by itself.
type Limiter struct {
	redis *redis_rate.Limiter
	rdb   redis.UniversalClient
	now   func() time.Time
	rest  atomic.Int64 // unix nanoseconds until which Redis is not asked

	mu      sync.Mutex
	buckets map[string]time.Time // theoretical arrival times (GCRA)
	tallies map[string]tally
}

// NewLimiter makes a limiter; rdb may be nil.
func NewLimiter(rdb redis.UniversalClient, now func() time.Time) *Limiter {
	l := &Limiter{now: now, buckets: map[string]time.Time{}, tallies: map[string]tally{}}
	if rdb != nil {
		l.redis, l.rdb = redis_rate.NewLimiter(rdb), rdb
	}
	return l
}

// retryAfter is the cause inside a fault.TooMany.
type retryAfter time.Duration

func (r retryAfter) Error() string { return "again in " + time.Duration(r).String() }

// RetryAfter is how long to wait after a fault.TooMany, or 0.
func RetryAfter(err error) time.Duration {
	var r retryAfter
	if errors.As(err, &r) {
		return time.Duration(r)
	}
	return 0
}

// Allow counts one event. Kind: fault.TooMany, with RetryAfter. Keys come from
// LimitKey: they never hold an address in the clear.
func (l *Limiter) Allow(ctx context.Context, key string, limit Limit) error {
	if now := l.now(); l.redis != nil && now.UnixNano() >= l.rest.Load() {
		rctx, cancel := context.WithTimeout(ctx, redisWait)
		res, err := l.redis.Allow(rctx, key, redis_rate.Limit{Rate: limit.N, Burst: limit.N, Period: limit.Period})
		cancel()
		if err == nil {
			return verdict(res.Allowed > 0, res.RetryAfter)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		l.rest.Store(now.Add(redisRest).UnixNano())
	}
	return l.local(key, limit)
}

func verdict(ok bool, wait time.Duration) error {
	if ok {
		return nil
	}
	wait = max(wait.Round(time.Second), time.Second)
	return fault.Wrap(retryAfter(wait), fault.TooMany, "too many tries; wait %s", wait)
}

// local is the same algorithm (GCRA) in memory.
func (l *Limiter) local(key string, limit Limit) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, step := l.now(), limit.Period/time.Duration(limit.N)
	tat := l.buckets[key]
	if tat.Before(now) {
		tat = now
	}
	if wait := tat.Add(step).Sub(now) - limit.Period; wait > 0 {
		return verdict(false, wait)
	}
	if len(l.buckets) >= maxBuckets {
		l.makeRoom(now)
	}
	l.buckets[key] = tat.Add(step)
	return nil
}

// makeRoom drops what has run empty, else a few at random.
func (l *Limiter) makeRoom(now time.Time) {
	for k, t := range l.buckets {
		if t.Before(now) {
			delete(l.buckets, k)
		}
	}
	for k := range l.buckets {
		if len(l.buckets) < maxBuckets*9/10 {
			return
		}
		delete(l.buckets, k)
	}
}

// LimitKey names a limit: whose (the nil ID is the platform's), what for, and
// about which address or network, hashed.
func LimitKey(board tenant.ID, purpose, about string) string {
	h := sha256.Sum256([]byte(about))
	return fmt.Sprintf("%s:%s:%s", board, purpose, base64.RawURLEncoding.EncodeToString(h[:12]))
}

// both counts an event against the address and against the network.
func (l *Limiter) both(ctx context.Context, board tenant.ID, purpose, email string, c Client, perAddress, perNetwork Limit) error {
	if err := l.Allow(ctx, LimitKey(board, purpose+"/ip", c.Network()), perNetwork); err != nil {
		return err
	}
	return l.Allow(ctx, LimitKey(board, purpose, email), perAddress)
}

// mails counts a mail with a secret against who asks and who gets it. Known and
// unknown addresses count alike.
func (l *Limiter) mails(ctx context.Context, board tenant.ID, email string, c Client) error {
	if err := l.both(ctx, board, "mail", email, c, mailsPerAddress, mailsPerNetwork); err != nil {
		return err
	}
	if err := l.Allow(ctx, LimitKey(board, "mail/day", email), mailsPerDay); err != nil {
		return err
	}
	return Anywhere.Allow(ctx, l, tenant.Nil, email)
}
