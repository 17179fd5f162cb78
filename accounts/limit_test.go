package accounts_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"shingle/accounts"
	"shingle/internal/fault"
	"shingle/internal/testkit"
	"shingle/tenant"
)

// Two replicas share their counts through Redis; when it goes away each goes on
// by itself, without making anybody wait for long.
func TestLimiterSharesThroughRedisAndOutlivesIt(t *testing.T) {
	t.Parallel()
	opts, err := redis.ParseURL(testkit.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	client := func() *redis.Client {
		c := redis.NewClient(opts)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	ca, cb := client(), client()
	a, b := accounts.NewLimiter(ca, time.Now), accounts.NewLimiter(cb, time.Now)
	limit, key := accounts.Limit{N: 2, Period: time.Hour}, accounts.LimitKey(tenant.NewID(), "test", "x")
	for _, l := range []*accounts.Limiter{a, b} {
		if err := l.Allow(t.Context(), key, limit); err != nil {
			t.Fatal(err)
		}
	}
	err = b.Allow(t.Context(), key, limit)
	is(t, "the third, on the other replica", err, fault.TooMany)
	if accounts.RetryAfter(err) <= 0 {
		t.Error("no word of when to try again")
	}
	away := accounts.NewLimiter(redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1}), time.Now)
	begun := time.Now()
	for i := range 2 {
		if err := away.Allow(t.Context(), key, limit); err != nil {
			t.Fatalf("try %d without Redis: %v", i+1, err)
		}
	}
	is(t, "the third without Redis", away.Allow(t.Context(), key, limit), fault.TooMany)
	if d := time.Since(begun); d > 2*time.Second {
		t.Errorf("waited %s for a Redis that is away", d)
	}
}

// What was used once is used, whichever of Redis and the process remembers it.
func TestOnceOutlivesRedis(t *testing.T) {
	t.Parallel()
	opts, err := redis.ParseURL(testkit.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(opts)
	l := accounts.NewLimiter(rdb, time.Now)
	key, ends := accounts.LimitKey(tenant.NewID(), "test", "x"), time.Now().Add(time.Hour)
	if !l.Once(t.Context(), key, ends) {
		t.Error("the first time does not count as that")
	}
	if l.Once(t.Context(), key, ends) {
		t.Error("it counts twice")
	}
	l.Again(t.Context(), key)
	if !l.Once(t.Context(), key, ends) {
		t.Error("what was given back does not count again")
	}
	if err := rdb.Close(); err != nil {
		t.Fatal(err)
	}
	if l.Once(t.Context(), key, ends) {
		t.Error("it counts again once Redis is away")
	}
}
