package staff

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/internal/fault"
	"shingle/tasks"
	"shingle/tenant"
	"shingle/web/console"
	"shingle/web/route"
)

// failedRow is a task that gave up.
type failedRow struct {
	TenantID  tenant.ID `bun:"tenant_id"`
	ID        uuid.UUID `bun:"id"`
	Board     string    `bun:"board"`
	Slug      string    `bun:"slug"`
	Kind      string    `bun:"kind"`
	Queue     string    `bun:"queue"`
	Attempts  int       `bun:"attempts"`
	LastError string    `bun:"last_error"`
	FailedAt  time.Time `bun:"failed_at"`
	CreatedAt time.Time `bun:"created_at"`
}

func readFailed(ctx context.Context, tx bun.IDB, f worklist, after cursor, limit int) ([]failedRow, error) {
	if after.zero() {
		after = cursor{time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), uuid.Max}
	}
	var rows []failedRow
	err := tx.NewRaw(`SELECT t.tenant_id, t.id, coalesce(b.name, '') AS board, coalesce(b.slug, '') AS slug, t.kind, t.queue, t.attempts, t.last_error, t.failed_at, t.created_at
		FROM tasks AS t LEFT JOIN boards AS b ON b.id = t.tenant_id
		WHERE t.failed_at IS NOT NULL AND (? = '' OR t.kind = ?) AND (? = '' OR t.queue = ?) AND (? = '' OR b.slug = ?) AND (t.failed_at, t.id) < (?, ?)
		ORDER BY t.failed_at DESC, t.id DESC LIMIT ?`, f.Kind, f.Kind, f.Queue, f.Queue, f.Board, f.Board, after.at, after.id, limit).Scan(ctx, &rows)
	return rows, err
}

func (s *Staff) tasks(c *gin.Context) error {
	f := readWorklist(c)
	var rows []failedRow
	var kinds []string
	err := s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		if rows, err = readFailed(ctx, tx, f, parseCursor(c.Query("before")), pageSize+1); err != nil {
			return err
		}
		return tx.NewRaw(`SELECT DISTINCT kind FROM tasks WHERE failed_at IS NOT NULL ORDER BY 1`).Scan(ctx, &kinds)
	})
	if err != nil {
		return err
	}
	next := ""
	if len(rows) > pageSize {
		rows = rows[:pageSize]
		next = cursor{rows[len(rows)-1].FailedAt, rows[len(rows)-1].ID}.String()
	}
	choices := []console.Option{{Label: s.t(c, "staff.tasks.any_kind")}}
	for _, k := range kinds {
		choices = append(choices, console.Option{Value: k, Label: k, Selected: k == f.Kind})
	}
	waits := []console.Option{{Label: s.t(c, "staff.tasks.any_queue")}}
	for _, q := range queues {
		waits = append(waits, console.Option{Value: q, Label: q, Selected: q == f.Queue})
	}
	return s.render(c, http.StatusOK, "tasks", s.t(c, "staff.nav.tasks"), map[string]any{"Tasks": rows, "Next": next, "Query": c.Request.URL.Query(), "F": f, "Kinds": choices, "Queues": waits,
		"Filtered": f != worklist{} || c.Query("before") != "", "CanRetry": s.Allowed(c, authz.Can("task", "retry"))}, s.csvLink(c, "/staff/tasks.csv"))
}

func (s *Staff) tasksCSV(c *gin.Context) error {
	out := newFile("failed-tasks", "board", "id", "kind", "queue", "attempts", "error", "failed", "created")
	err := s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		rows, err := readFailed(ctx, tx, readWorklist(c), cursor{}, maxExport)
		for i := range rows {
			r := &rows[i]
			out.add(r.Slug, r.ID.String(), r.Kind, r.Queue, strconv.Itoa(r.Attempts), r.LastError, stamp(&r.FailedAt), stamp(&r.CreatedAt))
		}
		return err
	})
	if err != nil {
		return err
	}
	return out.send(c)
}

// bulkTasks retries or discards the ticked tasks. One that a colleague dealt
// with meanwhile is left out.
func (s *Staff) bulkTasks(c *gin.Context) error {
	do, done, act := tasks.Retry, "tasks.retried", "task.retry"
	switch c.PostForm("act") {
	case "retry":
	case "discard":
		do, done, act = tasks.Discard, "tasks.discarded", "task.discard"
	default:
		return fault.New(fault.Invalid, "choose what to do")
	}
	if err := c.Request.ParseForm(); err != nil {
		return fault.Wrap(err, fault.Invalid, "the form cannot be read")
	}
	picked := c.Request.PostForm["id"]
	if len(picked) > 2*pageSize {
		return fault.New(fault.Invalid, "too many at once")
	}
	n := 0
	err := s.Platform.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		n = 0
		for _, p := range picked {
			b, i, _ := strings.Cut(p, "/")
			board, err := tenant.ParseID(b)
			id, err2 := uuid.Parse(i)
			if err != nil || err2 != nil {
				return fault.New(fault.Invalid, "no task %q", p)
			}
			switch err := do(ctx, tx, board, id); {
			case fault.Is(err, fault.NotFound):
				continue
			case err != nil:
				return err
			}
			n++
			if err := onBoard(ctx, tx, board, authz.Act{Act: act, ObjectKind: "task", ObjectID: id.String()}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return route.SeeOther(c, "/staff/tasks?ok="+done+"&n="+strconv.Itoa(n))
}
