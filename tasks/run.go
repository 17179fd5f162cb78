package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/observe"
	"shingle/tenant"
)

const (
	// lease is how long a hand-over or a running handler holds its row; a
	// handler renews it every renewEvery.
	lease, renewEvery = 15 * time.Second, 5 * time.Second
	// asynqKind is the one asynq task type; the row's kind picks the handler.
	asynqKind = "shingle"
	// backlog is how much of one queue may wait in Redis: what waits there
	// longer than its lease is handed over again.
	backlog = 400
	batch   = 100
	// longest is what one attempt may take; asynq gives its place to others then.
	longest = time.Hour
	// clockEvery is how often the relay looks whether the database's clock went back.
	clockEvery = time.Second
)

// note is what travels through Redis: which row, and which hand-over of it.
type note struct {
	Tenant   tenant.ID `json:"b"`
	ID       string    `json:"i"`
	Handover int       `json:"h"`
}

// Runner hands rows over to asynq (the relay) and runs what comes back.
type Runner struct {
	platform *tenant.Platform
	boards   *tenant.Resolver
	mux      *Mux
	redis    redis.UniversalClient
	log      *slog.Logger
	wake     chan struct{}
	tracing  *observe.Tracing
	observe  func(kind string, err error, took time.Duration)
}

// abandoned is the error of a task whose last attempt nobody came back from.
const abandoned = "the worker died or hung each time it did this"

// NewRunner makes a runner. Wake it when there is work; Run it in a worker.
func NewRunner(p *tenant.Platform, boards *tenant.Resolver, mux *Mux, rdb redis.UniversalClient, log *slog.Logger) *Runner {
	return &Runner{platform: p, boards: boards, mux: mux, redis: rdb, log: log, wake: make(chan struct{}, 1),
		observe: func(string, error, time.Duration) {}}
}

// Observe is told of every finished attempt, for metrics. Set before Run.
func (r *Runner) Observe(f func(kind string, err error, took time.Duration)) { r.observe = f }

// Trace gives every attempt a span, in the trace of what asked for it. Set before Run.
func (r *Runner) Trace(t *observe.Tracing) { r.tracing = t }

// Wake makes the relay look at once.
func (r *Runner) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run relays and works until ctx ends, then finishes what is under way.
func (r *Runner) Run(ctx context.Context, concurrency int) error {
	srv := asynq.NewServerFromRedisClient(r.redis, asynq.Config{
		Concurrency: concurrency,
		// asynq's default of 1 s would make every hop that slow.
		TaskCheckInterval: 25 * time.Millisecond,
		Queues:            map[string]int{Critical: 8, Default: 4, Index: 4, Mail: 3, Bulk: 1},
		ShutdownTimeout:   20 * time.Second,
		Logger:            quiet{r.log},
		LogLevel:          asynq.WarnLevel,
		// Set so that asynq's own bookkeeping of failures stays out of the way.
		IsFailure: func(error) bool { return false },
	})
	mux := asynq.NewServeMux()
	mux.HandleFunc(asynqKind, r.handle)
	if err := srv.Start(mux); err != nil {
		return fmt.Errorf("starting the worker: %w", err)
	}
	r.relay(ctx)
	srv.Shutdown()
	return nil
}

func (r *Runner) relay(ctx context.Context) {
	client := asynq.NewClientFromRedisClient(r.redis)
	inspect := asynq.NewInspectorFromRedisClient(r.redis)
	tick := time.NewTicker(time.Second) // the net under the wakes
	defer tick.Stop()
	var c clock
	for {
		if err := c.watch(ctx, r.platform, r.log); err != nil && ctx.Err() == nil {
			r.log.Warn("reading the database's clock", "error", err)
		}
		n, err := r.handOver(ctx, client, inspect)
		if err != nil && ctx.Err() == nil {
			r.log.Warn("relay", "error", err)
		}
		if n == batch && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-r.wake:
		}
	}
}

// handOver gives a batch of due rows without a live lease to asynq under their
// next number. A row that could not be enqueued has its lease taken back. One
// whose last attempt ended without a word (the worker died of it, or it never
// ended) has failed: it would take workers down for ever. A lease that is longer
// than any that is given comes from before the clock was set back.
func (r *Runner) handOver(ctx context.Context, client *asynq.Client, inspect *asynq.Inspector) (int, error) {
	queues := make([]string, 0, 5)
	for _, q := range []string{Critical, Default, Index, Mail, Bulk} {
		info, err := inspect.GetQueueInfo(q)
		if err == nil && info.Pending >= backlog {
			continue
		}
		queues = append(queues, q)
	}
	if len(queues) == 0 {
		return 0, nil
	}
	var due []Task
	err := r.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		due = due[:0]
		return tx.NewRaw(`UPDATE tasks AS t SET handover = t.handover + 1,
				lease_until = CASE WHEN d.spent THEN NULL ELSE clock_timestamp() + make_interval(secs => ?) END,
				failed_at = CASE WHEN d.spent THEN clock_timestamp() END,
				last_error = CASE WHEN d.spent THEN ? ELSE t.last_error END
			FROM (SELECT tenant_id, id, every IS NULL AND attempts >= max_attempts AS spent FROM tasks
				WHERE failed_at IS NULL AND run_at <= clock_timestamp() AND queue IN (?)
					AND (lease_until IS NULL OR lease_until < clock_timestamp() OR lease_until > clock_timestamp() + make_interval(secs => ?))
				ORDER BY run_at LIMIT ? FOR UPDATE SKIP LOCKED) AS d
			WHERE t.tenant_id = d.tenant_id AND t.id = d.id
			RETURNING t.tenant_id, t.id, t.kind, t.queue, t.handover, t.failed_at`,
			lease.Seconds(), abandoned, bun.In(queues), 2*lease.Seconds(), batch).Scan(ctx, &due)
	})
	if err != nil {
		return 0, err
	}
	for i := range due {
		t := &due[i]
		if t.FailedAt != nil {
			r.log.Error("task given up", "kind", t.Kind, "board", t.TenantID, "task", t.ID, "error", abandoned)
			continue
		}
		payload, _ := json.Marshal(note{t.TenantID, t.ID.String(), t.Handover})
		_, err := client.EnqueueContext(ctx, asynq.NewTask(asynqKind, payload), asynq.Queue(t.Queue),
			asynq.TaskID(fmt.Sprintf("%s.%d", t.ID, t.Handover)), asynq.MaxRetry(0), asynq.Timeout(longest))
		if err == nil || errors.Is(err, asynq.ErrTaskIDConflict) {
			continue
		}
		// Redis is away: let go of what was not handed over, and say so.
		ids := make([]string, 0, len(due)-i)
		for _, rest := range due[i:] {
			ids = append(ids, rest.ID.String())
		}
		rerr := r.platform.Write(context.WithoutCancel(ctx), func(ctx context.Context, tx bun.IDB) error {
			_, err := tx.NewRaw(`UPDATE tasks SET lease_until = NULL WHERE id IN (?)`, bun.In(ids)).Exec(ctx)
			return err
		})
		return 0, errors.Join(fmt.Errorf("handing over to Redis: %w", err), rerr)
	}
	return len(due), nil
}

// handle runs one hand-over. It answers nil whatever happens: the row owns the
// outcome, and asynq must neither retry nor archive. The attempt is counted as it
// begins: one that takes the process down counts, too.
func (r *Runner) handle(ctx context.Context, at *asynq.Task) error {
	var n note
	if err := json.Unmarshal(at.Payload(), &n); err != nil {
		r.log.Error("a note in Redis cannot be read")
		return nil
	}
	t := new(Task)
	err := r.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`UPDATE tasks SET attempts = attempts + 1, lease_until = clock_timestamp() + make_interval(secs => ?)
			WHERE tenant_id = ? AND id = ? AND handover = ? AND failed_at IS NULL AND lease_until IS NOT NULL
			RETURNING `+columns,
			lease.Seconds(), n.Tenant, n.ID, n.Handover).Scan(ctx, t)
	})
	if err != nil {
		return nil // done by another, or Postgres is away and the lease will run out
	}
	board := ""
	if !t.TenantID.IsNil() {
		board = t.TenantID.String()
	}
	ctx, span := r.tracing.Task(ctx, t.Kind, t.Trace, t.Attempts, board)
	begun := time.Now()
	err = r.run(ctx, t)
	r.observe(t.Kind, err, time.Since(begun))
	if fault.Is(err, fault.Gone) {
		err = nil // another hand-over did it
	}
	r.settle(context.WithoutCancel(ctx), t, err)
	observe.Ended(span, err, func(err error) string { return fault.KindOf(err).String() })
	return nil
}

func (r *Runner) run(ctx context.Context, t *Task) (err error) {
	h := r.mux.handlers[t.Kind]
	if h == nil {
		return fault.New(fault.Internal, "no handler for %s in this version", t.Kind)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !t.TenantID.IsNil() {
		board, err := r.boards.ByID(ctx, t.TenantID)
		if err != nil {
			return err
		}
		ctx = tenant.With(ctx, board)
	}
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		r.renew(ctx, t, cancel)
	}()
	defer func() {
		cancel()
		<-renewed
		if p := recover(); p != nil {
			r.log.ErrorContext(ctx, "task panicked", "kind", t.Kind, "panic", p, "stack", string(debug.Stack()))
			err = fault.New(fault.Internal, "panic in %s", t.Kind)
		}
	}()
	return h(ctx, t)
}

// renew keeps the lease; a handler whose lease is lost is stopped.
func (r *Runner) renew(ctx context.Context, t *Task, stop func()) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var kept bool
		err := r.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
			res, err := tx.NewRaw(`UPDATE tasks SET lease_until = clock_timestamp() + make_interval(secs => ?)
				WHERE tenant_id = ? AND id = ? AND handover = ?`, lease.Seconds(), t.TenantID, t.ID, t.Handover).Exec(ctx)
			if err != nil {
				return err
			}
			n, err := res.RowsAffected()
			kept = n == 1
			return err
		})
		if err == nil && !kept {
			stop()
			return
		}
	}
}

// settle writes the outcome into the row. A handler that finished its row in
// its own transaction leaves nothing to settle.
func (r *Runner) settle(ctx context.Context, t *Task, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	werr := r.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err == nil {
			if ferr := t.Finish(ctx, tx); ferr != nil && !fault.Is(ferr, fault.Gone) {
				return ferr
			}
			return nil
		}
		r.log.WarnContext(ctx, "task failed", "kind", t.Kind, "board", t.TenantID, "task", t.ID, "attempt", t.Attempts, "error", err)
		_, uerr := tx.NewRaw(`UPDATE tasks SET lease_until = NULL, last_error = ?,
				run_at = now() + make_interval(secs => ?),
				failed_at = CASE WHEN attempts >= max_attempts THEN now() END
			WHERE tenant_id = ? AND id = ? AND handover = ?`,
			brief(err), backoff(t.Attempts-1).Seconds(), t.TenantID, t.ID, t.Handover).Exec(ctx)
		return uerr
	})
	if werr != nil {
		r.log.WarnContext(ctx, "settling a task", "kind", t.Kind, "error", werr)
	}
}

// backoff is 1 s, 2 s, 4 s … to an hour at most, with a fifth of jitter.
func backoff(attempts int) time.Duration {
	d := time.Second << min(max(attempts, 0), 12)
	d = min(d, time.Hour)
	return d - time.Duration(rand.Int64N(int64(d)/5+1)) //nolint:gosec // jitter, not a secret
}

// brief keeps an error short enough for a table.
func brief(err error) string {
	s := strings.ToValidUTF8(err.Error(), "")
	if len(s) > 500 {
		s = strings.ToValidUTF8(s[:500], "") + "…"
	}
	return s
}

// quiet passes asynq's warnings on and drops its chatter.
type quiet struct{ log *slog.Logger }

func (q quiet) Debug(...any)      {}
func (q quiet) Info(...any)       {}
func (q quiet) Warn(args ...any)  { q.log.Warn("asynq", "message", fmt.Sprint(args...)) }
func (q quiet) Error(args ...any) { q.log.Warn("asynq", "message", fmt.Sprint(args...)) }
func (q quiet) Fatal(args ...any) { q.log.Error("asynq", "message", fmt.Sprint(args...)) }
