package certs

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"shingle/internal/pg"
)

// known is every host that may have a certificate, so that a name which is not
// ours costs one look and nothing else. It is read whole at the start and every
// reloadEvery; notifications change it at once, and a look at what is new twice
// a second is the net under them.
type known struct {
	mu    sync.RWMutex
	hosts map[string]fact
	// pending are hosts that changed and were not read again yet.
	pending map[string]struct{}
	poke    chan struct{}
	asked   map[string]time.Time // by handshakes, so that a host's order is asked for once
	polled  time.Time
}

// fact is what a handshake needs to know of a host.
type fact struct {
	// certified says that a certificate is stored; own that it was brought.
	certified, own bool
	// version moves with the certificate's row, so that one which is being read
	// while it is replaced is not kept under the new one's key.
	version int64
}

// hotKey is what a certificate in memory is found by.
type hotKey struct {
	name string
	fact fact
}

const (
	pollEvery, reloadEvery = 500 * time.Millisecond, 5 * time.Minute
	// askEvery bounds how often handshakes of one host ask for its order.
	askEvery = 10 * time.Minute
)

func newKnown() *known {
	return &known{hosts: map[string]fact{}, pending: map[string]struct{}{}, poke: make(chan struct{}, 1), asked: map[string]time.Time{}}
}

// find is a host's fact and the name its certificate is stored under. It
// allocates nothing for a name that is not ours.
func (c *Certs) find(host []byte) (name string, f fact, ours bool) {
	k := c.known
	k.mu.RLock()
	defer k.mu.RUnlock()
	f, ours = k.hosts[string(host)] // no allocation: the compiler sees the conversion
	if !ours {
		return "", fact{}, false
	}
	name = string(host)
	if !f.certified && c.o.DNS != nil && c.onBoardDomain(name) {
		name = c.wildcard()
		f = k.hosts[name]
	}
	return name, f, true
}

// Changed tells that a host, or its certificate, changed. It is for the
// notifier, beside the resolver's own; what was in memory is forgotten at once.
func (c *Certs) Changed(host string) {
	c.known.mu.Lock()
	f := c.known.hosts[host]
	c.known.pending[host] = struct{}{}
	c.known.mu.Unlock()
	c.hot.Invalidate(hotKey{host, f})
	select {
	case c.known.poke <- struct{}{}:
	default:
	}
}

// Load reads every host. Call it before TLS is served; Run repeats it.
func (c *Certs) Load(ctx context.Context) error {
	now := time.Now()
	hosts, err := c.all(ctx)
	if err != nil {
		return err
	}
	for _, h := range c.platformHosts() {
		if _, there := hosts[h]; !there {
			hosts[h] = fact{}
		}
	}
	k := c.known
	k.mu.Lock()
	defer k.mu.Unlock()
	old := k.hosts
	k.hosts, k.polled = hosts, now
	for h, f := range old {
		if hosts[h] != f {
			c.hot.Invalidate(hotKey{h, f})
		}
	}
	return nil
}

// Run keeps what is known true until ctx ends.
func (c *Certs) Run(ctx context.Context) {
	var asker sync.WaitGroup
	asker.Go(func() { c.askWanted(ctx) })
	defer asker.Wait()
	poll, reload := time.NewTicker(pollEvery), time.NewTicker(reloadEvery)
	defer poll.Stop()
	defer reload.Stop()
	loaded := !c.known.lastPoll().IsZero()
	for {
		var err error
		switch {
		case !loaded:
			err = c.Load(ctx)
			loaded = err == nil
		default:
			err = c.refresh(ctx)
		}
		if err != nil && ctx.Err() == nil {
			c.o.Log.Warn("hosts and certificates cannot be read", "sqlstate", pg.Code(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		case <-reload.C:
			loaded = false
		case <-c.known.poke:
		}
	}
}

// askWanted writes the tasks that handshakes ask for, apart from Run's loop: a
// removal must not wait for them.
func (c *Certs) askWanted(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case host := <-c.wanted:
			if err := c.ask(ctx, host); err != nil && ctx.Err() == nil {
				c.o.Log.Warn("a certificate cannot be asked for", "host", host, "sqlstate", pg.Code(err))
			}
		}
	}
}

func (k *known) lastPoll() time.Time {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.polled
}

// refresh reads the hosts that were told of, and those that changed since.
func (c *Certs) refresh(ctx context.Context) error {
	k := c.known
	k.mu.Lock()
	told := make([]string, 0, len(k.pending))
	for h := range k.pending {
		told = append(told, h)
	}
	clear(k.pending)
	since := k.polled
	k.mu.Unlock()
	now := time.Now()
	// What was told does not put the look at what is new off: under steady
	// notifications it would never come.
	due := now.Sub(since) >= pollEvery*9/10 // a tick may come a little early
	var which []string
	var args []any
	if len(told) > 0 {
		which, args = append(which, `SELECT unnest(ARRAY[?]) AS host`), append(args, bun.In(told))
	}
	if due {
		// Ten seconds of overlap: a long transaction commits with an old time.
		since = since.Add(-10 * time.Second)
		which = append(which, `SELECT host FROM hosts WHERE created_at > ? UNION SELECT host FROM hosts WHERE verified_at > ?
			UNION SELECT host FROM certificates WHERE updated_at > ?`)
		args = append(args, since, since, since)
	}
	if len(which) == 0 {
		return nil
	}
	rows, err := c.facts(ctx, strings.Join(which, " UNION "), args...)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		for _, h := range told {
			k.pending[h] = struct{}{}
		}
		return err
	}
	if due {
		k.polled = now
	}
	for _, r := range rows {
		old, there := k.hosts[r.Host]
		switch {
		case !r.Ours:
			delete(k.hosts, r.Host)
		case there && old == r.fact():
			continue
		default:
			k.hosts[r.Host] = r.fact()
		}
		c.hot.Invalidate(hotKey{r.Host, old})
	}
	return nil
}

// factRow is a host as the database has it.
type factRow struct {
	Host      string     `bun:"host"`
	Ours      bool       `bun:"ours"`
	Certified bool       `bun:"certified"`
	Own       bool       `bun:"own"`
	UpdatedAt *time.Time `bun:"updated_at"`
}

func (r *factRow) fact() fact {
	f := fact{certified: r.Certified, own: r.Own}
	if r.UpdatedAt != nil {
		f.version = r.UpdatedAt.UnixMicro()
	}
	return f
}

// facts reads the hosts that a query names.
func (c *Certs) facts(ctx context.Context, which string, args ...any) ([]factRow, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var rows []factRow
	err := c.o.Platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		rows = rows[:0]
		return tx.NewRaw(`WITH asked AS (`+which+`)
			SELECT a.host, a.host IN (?) OR coalesce(h.kind = 'platform' OR h.verified_at IS NOT NULL, false) AS ours,
				c.not_after IS NOT NULL AS certified, coalesce(c.source = 'own', false) AS own, c.updated_at
			FROM asked AS a LEFT JOIN hosts AS h ON h.host = a.host LEFT JOIN certificates AS c ON c.host = a.host`,
			append(args, bun.In(c.named()))...).Scan(ctx, &rows)
	})
	return rows, err
}

// all reads every host that is ours. It is one pass over both tables, and rows
// are read by hand: there may be hundreds of thousands.
func (c *Certs) all(ctx context.Context) (hosts map[string]fact, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err = c.o.Platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		const what = `c.not_after IS NOT NULL, coalesce(c.source = 'own', false), coalesce((extract(epoch FROM c.updated_at) * 1000000)::bigint, 0)`
		rows, err := tx.QueryContext(ctx, `SELECT h.host, `+what+` FROM hosts AS h LEFT JOIN certificates AS c ON c.host = h.host WHERE h.kind = 'platform' OR h.verified_at IS NOT NULL
			UNION ALL SELECT c.host, `+what+` FROM certificates AS c WHERE c.host IN (?)`, bun.In(c.named()))
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		hosts = map[string]fact{}
		for rows.Next() {
			var host string
			var f fact
			if err := rows.Scan(&host, &f.certified, &f.own, &f.version); err != nil {
				return err
			}
			hosts[host] = f
		}
		return rows.Err()
	})
	return hosts, err
}

// want asks for the order of a host that a visitor came to and that has no
// certificate: the net under Order. It never waits.
func (c *Certs) want(host string) {
	k := c.known
	k.mu.Lock()
	now := time.Now()
	last, asked := k.asked[host]
	if asked && now.Sub(last) < askEvery {
		k.mu.Unlock()
		return
	}
	if len(k.asked) > 10_000 {
		clear(k.asked)
	}
	k.asked[host] = now
	k.mu.Unlock()
	select {
	case c.wanted <- host:
	default:
	}
}

// ask adds the task, unless the host was removed meanwhile or an order is under
// way, or failed and waits.
func (c *Certs) ask(ctx context.Context, host string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return c.o.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if ours, err := c.ours(ctx, tx, host); err != nil || !ours {
			return err
		}
		var busy bool
		err := tx.NewRaw(`SELECT EXISTS (SELECT FROM certificates WHERE host = ? AND state IN ('ordering', 'failed'))`, c.nameFor(host)).Scan(ctx, &busy)
		if err != nil || busy {
			return err
		}
		return c.Order(ctx, tx, host)
	})
}
