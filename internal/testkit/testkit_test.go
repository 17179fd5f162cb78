package testkit

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestMain(m *testing.M) { Main(m) }

func TestRedisIsTheTestsOwn(t *testing.T) {
	t.Parallel()
	open := func() *redis.Client {
		o, err := redis.ParseURL(Redis(t))
		if err != nil {
			t.Fatal(err)
		}
		c := redis.NewClient(o)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	a, b := open(), open()
	if err := a.Set(t.Context(), "k", "v", 20*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	if n := b.Exists(t.Context(), "k").Val(); n != 0 {
		t.Error("another test's key is seen")
	}
	Eventually(t, 5*time.Second, func() bool { return a.Exists(t.Context(), "k").Val() == 0 })
}

func TestEventuallyTakesErrors(t *testing.T) {
	t.Parallel()
	n := 0
	Eventually(t, time.Second, func() error {
		if n++; n < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if n != 3 {
		t.Errorf("asked %d times, want 3", n)
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	c := NewClock(time.Time{})
	was := c.Now()
	c.Advance(time.Hour)
	if got := c.Now().Sub(was); got != time.Hour {
		t.Errorf("moved %s, want 1h", got)
	}
}
