package staff

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/billing"
	"shingle/internal/fault"
	"shingle/tasks"
	"shingle/web/console"
	"shingle/web/route"
)

// event is a line of the webhook inbox.
type event struct {
	ID         string     `bun:"id"`
	Account    string     `bun:"account"`
	Type       string     `bun:"type"`
	State      string     `bun:"state"`
	Note       string     `bun:"note"`
	APIVersion string     `bun:"api_version"`
	CreatedAt  time.Time  `bun:"created_at"`
	ReceivedAt time.Time  `bun:"received_at"`
	AppliedAt  *time.Time `bun:"applied_at"`
}

var eventStates = []string{"held", "received", "applied", "ignored"}

const eventColumns = `id, account, type, state, note, api_version, created_at, received_at, applied_at`

func readEvents(ctx context.Context, tx bun.IDB, q, state string, limit int) ([]event, error) {
	var out []event
	if q == "" && state == "" {
		// What waits for somebody comes first, however old.
		err := tx.NewRaw(`(SELECT `+eventColumns+` FROM stripe_events WHERE state = 'held' ORDER BY received_at DESC LIMIT ?)
			UNION ALL (SELECT `+eventColumns+` FROM stripe_events WHERE state <> 'held' ORDER BY received_at DESC LIMIT ?)`, limit, limit).Scan(ctx, &out)
		return out, err
	}
	err := tx.NewRaw(`SELECT `+eventColumns+` FROM stripe_events WHERE (? = '' OR id = ? OR account = ? OR type = ?) AND (? = '' OR state = ?)
		ORDER BY received_at DESC LIMIT ?`, q, q, q, q, state, state, limit).Scan(ctx, &out)
	return out, err
}

func (s *Staff) eventList(c *gin.Context, limit int) (list []event, err error) {
	err = s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		list, err = readEvents(ctx, tx, c.Query("q"), oneOf(c.Query("state"), eventStates), limit)
		return err
	})
	return list, err
}

func (s *Staff) events(c *gin.Context) error {
	list, err := s.eventList(c, 100)
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, "events", s.t(c, "staff.nav.events"), map[string]any{"Events": list, "Q": c.Query("q"), "Filtered": c.Query("q") != "" || c.Query("state") != "",
		"States": s.options(c, "event.state.", c.Query("state"), eventStates, "staff.boards.any_state")}, s.csvLink(c, "/staff/events.csv"))
}

func (s *Staff) eventsCSV(c *gin.Context) error {
	list, err := s.eventList(c, maxExport)
	if err != nil {
		return err
	}
	out := newFile("events", "id", "type", "state", "account", "note", "api_version", "created", "received", "applied")
	for i := range list {
		e := &list[i]
		out.add(e.ID, e.Type, e.State, e.Account, e.Note, e.APIVersion, stamp(&e.CreatedAt), stamp(&e.ReceivedAt), stamp(e.AppliedAt))
	}
	return out.send(c)
}

// attempt is the task that applies an event, while it is there.
type attempt struct {
	Attempts  int        `bun:"attempts"`
	Handover  int        `bun:"handover"`
	RunAt     time.Time  `bun:"run_at"`
	FailedAt  *time.Time `bun:"failed_at"`
	LastError string     `bun:"last_error"`
}

// event shows one stored event: its redacted payload and how applying it went.
func (s *Staff) event(c *gin.Context) error { return s.showEvent(c, http.StatusOK, "") }

func (s *Staff) showEvent(c *gin.Context, status int, problem string) error {
	var e struct {
		event
		Payload json.RawMessage `bun:"payload"`
	}
	var tried []attempt
	err := s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		err := tx.NewRaw(`SELECT `+eventColumns+`, payload FROM stripe_events WHERE id = ?`, c.Param("id")).Scan(ctx, &e)
		if errors.Is(err, sql.ErrNoRows) {
			return fault.New(fault.NotFound, "event not found")
		}
		if err != nil {
			return err
		}
		return tx.NewRaw(`SELECT attempts, handover, run_at, failed_at, last_error FROM tasks WHERE kind = ? AND key = ? ORDER BY created_at`, billing.TaskEvent, e.ID).Scan(ctx, &tried)
	})
	if err != nil {
		return err
	}
	p := s.page(c, e.Type)
	p.Crumbs = []console.Link{{Label: s.t(c, "staff.nav.events"), URL: "/staff/events"}}
	var errs map[string]string
	if problem != "" {
		errs = map[string]string{"form": problem}
	}
	return s.shell.Render(c, status, "event", p, map[string]any{"E": e.event, "Payload": Redact(e.Payload), "Tried": tried, "Errors": errs,
		"CanApply": s.Allowed(c, authz.Can("event", "apply"))})
}

// applyEvent has a stored event applied again, whatever became of it, also one
// held for another version of Stripe's API: only its ids are read, the rest is
// asked of Stripe, so that the same event any number of times ends the same.
func (s *Staff) applyEvent(c *gin.Context) error {
	id := c.Param("id")
	err := s.Platform.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		if err := s.Release(ctx, tx, id); err != nil {
			return err
		}
		return authz.Record(ctx, tx, authz.Act{Act: "event.apply", ObjectKind: "event", ObjectID: id})
	})
	if fault.Is(err, fault.Conflict) {
		return s.showEvent(c, http.StatusConflict, s.shell.Text(s.locale(c), fault.TextOf(err)))
	}
	if err != nil {
		return err
	}
	return route.SeeOther(c, "/staff/events/"+id+"?ok=event.applied")
}

// open are the fields of Stripe's objects whose texts say nothing of a person.
var open = []string{"object", "type", "status", "currency", "state", "mode", "payment_status", "api_version", "reason", "billing_reason", "failure_code", "code",
	"interval", "collection_method", "capture_method", "country", "submit_type", "ui_mode"}

var (
	stripeID = regexp.MustCompile(`^(evt|cs|pi|ch|py|cus|sub|in|ii|prod|price|acct|fee|fr|tr|trr|re|txn|po|pm|card|req|du|si|cn)_[A-Za-z0-9_]+$`)
	uuidForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
)

// Redact is an event's payload as staff may read it: numbers, ids and words of
// Stripe's own; every other text is covered, since it may be a person's.
func Redact(raw []byte) string {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return ""
	}
	out, err := json.MarshalIndent(cover("", v), "", "  ")
	if err != nil {
		return ""
	}
	return string(out)
}

func cover(key string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = cover(k, v[k])
		}
	case []any:
		for i := range v {
			v[i] = cover(key, v[i])
		}
	case string:
		// A secret looks like an id: "pi_…_secret_…".
		if v == "" || slices.Contains(open, key) || key != "client_secret" && stripeID.MatchString(v) && !secretForm.MatchString(v) || uuidForm.MatchString(v) {
			return v
		}
		return "•••"
	}
	return v
}

var secretForm = regexp.MustCompile(`_secret_`)

// worklist is what the list of failed tasks is narrowed by.
type worklist struct{ Kind, Queue, Board string }

func readWorklist(c *gin.Context) worklist {
	return worklist{Kind: c.Query("kind"), Queue: oneOf(c.Query("queue"), queues), Board: c.Query("board")}
}

var queues = []string{tasks.Critical, tasks.Default, tasks.Index, tasks.Mail, tasks.Bulk}
