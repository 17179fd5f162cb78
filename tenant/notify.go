package tenant

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"shingle/internal/pg"
)

// Channels on Postgres. Boards: "<id> <generation>" items joined by commas, or
// "<host>" items after a change of hosts; tasks: empty.
const (
	chanBoards = "shingle_boards"
	chanHosts  = "shingle_hosts"
	chanTasks  = "shingle_tasks"
)

const (
	// notifyEvery keeps one process at 50 messages a second at most: a NOTIFY
	// inside each transaction would serialise the commits of the database.
	notifyEvery = 20 * time.Millisecond
	// notifyItems keeps a payload under Postgres' 8000 bytes.
	notifyItems = 120
)

// Notifier tells this process and the others what changed, after the commit.
// A nil Notifier is silent, for programs that serve nothing.
type Notifier struct {
	url string
	log *slog.Logger

	mu      sync.Mutex
	pending map[ID]int64
	hosts   map[string]struct{}
	tasks   bool
	poke    chan struct{}

	onBoard func(ID, int64)
	onHost  func(string)
	onTask  func()
	onLink  func(up bool)
}

// NewNotifier uses one direct connection (not through PgBouncer) for sending
// and one for listening; Run keeps them.
func NewNotifier(listenURL string, log *slog.Logger) *Notifier {
	return &Notifier{url: listenURL, log: log, pending: map[ID]int64{}, hosts: map[string]struct{}{}, poke: make(chan struct{}, 1)}
}

// OnBoard is called, in this process and the others, when a board's generation
// has moved. Set before Run.
func (n *Notifier) OnBoard(f func(ID, int64)) { n.onBoard = f }

// OnHost is called when a host's board or a board's settings changed. Set before Run.
func (n *Notifier) OnHost(f func(string)) { n.onHost = f }

// OnTask is called when there is new work. Set before Run.
func (n *Notifier) OnTask(f func()) { n.onTask = f }

// OnLink is called when the listening connection is made or lost. Set before Run.
func (n *Notifier) OnLink(f func(up bool)) { n.onLink = f }

func (n *Notifier) committed(generations map[ID]int64, wake bool) {
	if n == nil || (len(generations) == 0 && !wake) {
		return
	}
	n.mu.Lock()
	for id, g := range generations {
		n.pending[id] = max(n.pending[id], g)
	}
	n.tasks = n.tasks || wake
	n.mu.Unlock()
	for id, g := range generations {
		if n.onBoard != nil {
			n.onBoard(id, g)
		}
	}
	if wake && n.onTask != nil {
		n.onTask()
	}
	n.signal()
}

// HostChanged tells every process to forget what it knows of a host.
func (n *Notifier) HostChanged(host string) {
	if n == nil {
		return
	}
	if n.onHost != nil {
		n.onHost(host)
	}
	n.mu.Lock()
	n.hosts[host] = struct{}{}
	n.mu.Unlock()
	n.signal()
}

func (n *Notifier) signal() {
	select {
	case n.poke <- struct{}{}:
	default:
	}
}

// Flush sends what waits over a connection of its own, for a program that ends
// without Run.
func (n *Notifier) Flush(ctx context.Context) error {
	n.mu.Lock()
	waits := len(n.pending)+len(n.hosts) > 0 || n.tasks
	n.mu.Unlock()
	if !waits {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pg.Connect(ctx, n.url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for more := true; more; {
		if more, err = n.sendSome(ctx, conn); err != nil {
			return err
		}
	}
	return nil
}

// Run keeps the two connections until ctx ends.
func (n *Notifier) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { n.keep(ctx, "notify", n.send) })
	wg.Go(func() { n.keep(ctx, "listen", n.listen) })
	wg.Wait()
}

func (n *Notifier) keep(ctx context.Context, what string, fn func(context.Context, *pgx.Conn) error) {
	wait := 50 * time.Millisecond
	for ctx.Err() == nil {
		conn, err := pg.Connect(ctx, n.url)
		if err == nil {
			wait = 50 * time.Millisecond
			err = fn(ctx, conn)
			_ = conn.Close(context.WithoutCancel(ctx))
		}
		if ctx.Err() != nil {
			return
		}
		n.log.Warn("connection lost", "connection", what, "again_in", wait, "sqlstate", pg.Code(err))
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, 2*time.Second)
	}
}

func (n *Notifier) send(ctx context.Context, conn *pgx.Conn) error {
	tick := time.NewTicker(notifyEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.poke:
		}
		more, err := n.sendSome(ctx, conn)
		if err != nil {
			return err
		}
		if more {
			n.signal()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// sendSome sends as much as one round of messages holds.
func (n *Notifier) sendSome(ctx context.Context, conn *pgx.Conn) (more bool, err error) {
	n.mu.Lock()
	boards := make([]string, 0, min(len(n.pending), notifyItems))
	taken := map[ID]int64{}
	for id, g := range n.pending {
		if len(boards) == notifyItems {
			break
		}
		boards = append(boards, id.String()+" "+strconv.FormatInt(g, 10))
		taken[id] = g
		delete(n.pending, id)
	}
	hosts := make([]string, 0, len(n.hosts))
	for h := range n.hosts {
		if len(hosts) == 20 {
			break
		}
		hosts = append(hosts, h)
		delete(n.hosts, h)
	}
	tasks := n.tasks
	n.tasks = false
	more = len(n.pending)+len(n.hosts) > 0
	n.mu.Unlock()

	task := ""
	if tasks {
		task = chanTasks
	}
	_, err = conn.Exec(ctx, `SELECT pg_notify($1, $2) WHERE $2 <> '' UNION ALL
		SELECT pg_notify($3, $4) WHERE $4 <> '' UNION ALL SELECT pg_notify($5, '') WHERE $5 <> ''`,
		chanBoards, strings.Join(boards, ","), chanHosts, strings.Join(hosts, ","), task)
	if err != nil {
		n.mu.Lock()
		for id, g := range taken {
			n.pending[id] = max(n.pending[id], g)
		}
		for _, h := range hosts {
			n.hosts[h] = struct{}{}
		}
		n.tasks = n.tasks || tasks
		n.mu.Unlock()
		n.signal()
		return true, err
	}
	return more, nil
}

func (n *Notifier) listen(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "LISTEN "+chanBoards+"; LISTEN "+chanHosts+"; LISTEN "+chanTasks); err != nil {
		return err
	}
	if n.onLink != nil {
		n.onLink(true)
		defer n.onLink(false)
	}
	for {
		msg, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		n.deliver(msg.Channel, msg.Payload)
	}
}

func (n *Notifier) deliver(channel, payload string) {
	switch channel {
	case chanTasks:
		if n.onTask != nil {
			n.onTask()
		}
	case chanHosts:
		for h := range strings.SplitSeq(payload, ",") {
			if n.onHost != nil {
				n.onHost(h)
			}
		}
	case chanBoards:
		for item := range strings.SplitSeq(payload, ",") {
			idText, gText, ok := strings.Cut(item, " ")
			if !ok {
				continue
			}
			id, err := ParseID(idText)
			g, gerr := strconv.ParseInt(gText, 10, 64)
			if err == nil && gerr == nil && n.onBoard != nil {
				n.onBoard(id, g)
			}
		}
	}
}
