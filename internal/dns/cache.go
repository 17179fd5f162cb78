package dns

import (
	"sync"
	"time"

	mdns "github.com/miekg/dns"
)

// maxKept bounds the answers kept.
const maxKept = 10_000

type question struct {
	name string
	kind uint16
}

type kept struct {
	rrs  []mdns.RR
	err  error
	till time.Time
}

// cache keeps answers for their TTL. A nil cache keeps nothing.
type cache struct {
	now func() time.Time
	mu  sync.Mutex
	m   map[question]kept
}

func newCache(now func() time.Time) *cache { return &cache{now: now, m: map[question]kept{}} }

func (c *cache) get(name string, kind uint16) ([]mdns.RR, error, bool) { //nolint:revive // the error is what was kept
	if c == nil {
		return nil, nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.m[question{name, kind}]
	if !ok || !c.now().Before(k.till) {
		return nil, nil, false
	}
	return k.rrs, k.err, true
}

func (c *cache) put(name string, kind uint16, rrs []mdns.RR, err error, ttl time.Duration) {
	if c == nil || ttl <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for q := range c.m { // full: drop a few at random
		if len(c.m) < maxKept {
			break
		}
		delete(c.m, q)
	}
	c.m[question{name, kind}] = kept{rrs, err, c.now().Add(ttl)}
}
