package testkit

import (
	"errors"
	"net/http"
	"strings"
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

func TestStripeMockJudgesRequests(t *testing.T) {
	t.Parallel()
	base := StripeMock(t)
	for body, want := range map[string]int{"email=a%40b.example": http.StatusOK, "no_such_field=1": http.StatusBadRequest} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/v1/customers", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer sk_test_123")
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Close = true
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: got %d, want %d", body, res.StatusCode, want)
		}
	}
}
