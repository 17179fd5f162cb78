package staff

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/internal/fault"
	"shingle/tenant"
	"shingle/web/console"
	"shingle/web/route"
)

// moment is one line of a board's timeline.
type moment struct {
	At     time.Time `bun:"at"`
	ID     uuid.UUID `bun:"id"`
	Kind   string    `bun:"kind"` // audit, move, order, mail, task, note
	What   string    `bun:"what"`
	Who    string    `bun:"who"`
	Detail string    `bun:"detail"`
}

var momentKinds = []string{"audit", "move", "order", "mail", "task", "note"}

// moments are the sources of the timeline, each bounded and by keyset, so that
// a page reads no more than its size from each. What staff did to the board
// stands in both
// logs since both are written, and is read from the board's.
var moments = map[string]string{
	"audit": `SELECT at, id, 'audit' AS kind, act AS what, coalesce(personal->>'actor', actor_kind) || coalesce(' / ' || (personal->>'impersonator'), '') AS who,
			trim(object_kind || ' ' || CASE WHEN detail = '{}' THEN '' ELSE detail::text END) AS detail FROM (
				(SELECT * FROM audit_log WHERE tenant_id = ?0 AND (at, id) < (?1, ?2) ORDER BY at DESC, id DESC LIMIT ?3)
				UNION ALL (SELECT * FROM audit_log WHERE tenant_id = '00000000-0000-0000-0000-000000000000' AND object_kind = 'board' AND object_id = ?0::text
					AND detail->>'` + authz.BoardLine + `' IS NULL AND (at, id) < (?1, ?2)
					ORDER BY at DESC, id DESC LIMIT ?3)) AS a ORDER BY at DESC, id DESC LIMIT ?3`,
	"move": `SELECT v.at, v.id, 'move', v.from_state || ' → ' || v.to_state, v.actor_kind, l.title || CASE WHEN v.reason = '' THEN '' ELSE ': ' || v.reason END
			FROM (SELECT * FROM listing_moves WHERE tenant_id = ?0 AND (at, id) < (?1, ?2) ORDER BY at DESC, id DESC LIMIT ?3) AS v JOIN listings AS l ON l.tenant_id = v.tenant_id AND l.id = v.listing_id`,
	"order": `(SELECT created_at, id, 'order', 'placed', '', '#' || number || ' ' || currency FROM orders WHERE tenant_id = ?0 AND (created_at, id) < (?1, ?2) ORDER BY created_at DESC, id DESC LIMIT ?3)
			UNION ALL (SELECT paid_at, id, 'order', 'paid', '', '#' || number || ' ' || currency FROM orders WHERE tenant_id = ?0 AND paid_at IS NOT NULL AND (paid_at, id) < (?1, ?2) ORDER BY paid_at DESC, id DESC LIMIT ?3)`,
	"mail": `SELECT created_at, id, 'mail', kind, recipient, state || CASE WHEN error = '' THEN '' ELSE ': ' || error END FROM mails WHERE tenant_id = ?0 AND (created_at, id) < (?1, ?2) ORDER BY created_at DESC, id DESC LIMIT ?3`,
	"task": `SELECT coalesce(failed_at, created_at), id, 'task', kind, '', last_error FROM tasks WHERE tenant_id = ?0 AND last_error <> '' AND (coalesce(failed_at, created_at), id) < (?1, ?2) ORDER BY 1 DESC, id DESC LIMIT ?3`,
	"note": `SELECT n.at, n.id, 'note', '', coalesce(nullif(o.name, ''), o.email, ''), n.body FROM board_notes AS n LEFT JOIN operators AS o ON o.id = n.author_id
			WHERE n.tenant_id = ?0 AND (n.at, n.id) < (?1, ?2) ORDER BY n.at DESC, n.id DESC LIMIT ?3`,
}

// readTimeline merges what happened on a board by time, newest first; kind ""
// is everything.
func readTimeline(ctx context.Context, tx bun.IDB, board tenant.ID, kind string, after cursor, limit int) ([]moment, error) {
	if after.zero() {
		after = cursor{time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), uuid.Max}
	}
	var arms []string
	for _, k := range momentKinds {
		if kind == "" || kind == k {
			arms = append(arms, "SELECT * FROM ("+moments[k]+") AS of_"+k+" (at, id, kind, what, who, detail)")
		}
	}
	var out []moment
	err := tx.NewRaw(strings.Join(arms, " UNION ALL ")+` ORDER BY at DESC, id DESC LIMIT ?3`, board, after.at, after.id, limit).Scan(ctx, &out)
	return out, err
}

func (s *Staff) timeline(c *gin.Context) error {
	id, err := boardID(c)
	if err != nil {
		return err
	}
	kind := oneOf(c.Query("kind"), momentKinds)
	var p *boardPage
	var rows []moment
	err = s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		if p, err = readBoard(ctx, tx, id); err != nil {
			return err
		}
		rows, err = readTimeline(ctx, tx, id, kind, parseCursor(c.Query("before")), pageSize+1)
		return err
	})
	if err != nil {
		return err
	}
	next := ""
	if len(rows) > pageSize {
		rows = rows[:pageSize]
		next = cursor{rows[len(rows)-1].At, rows[len(rows)-1].ID}.String()
	}
	page := s.page(c, s.t(c, "staff.timeline.title", p.Name))
	page.Crumbs = []console.Link{{Label: s.t(c, "staff.nav.boards"), URL: "/staff/boards"}, {Label: p.Name, URL: "/staff/boards/" + id.String()}}
	page.Actions = []console.Link{s.csvLink(c, "/staff/boards/"+id.String()+"/timeline.csv")}
	return s.shell.Render(c, http.StatusOK, "timeline", page, map[string]any{"Rows": rows, "Next": next, "ID": id, "Query": c.Request.URL.Query(),
		"Kinds": s.options(c, "staff.timeline.", kind, momentKinds, "staff.timeline.all")})
}

func (s *Staff) timelineCSV(c *gin.Context) error {
	id, err := boardID(c)
	if err != nil {
		return err
	}
	out := newFile("timeline", "at", "kind", "what", "who", "detail")
	err = s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		if _, err := readBoard(ctx, tx, id); err != nil {
			return err
		}
		rows, err := readTimeline(ctx, tx, id, oneOf(c.Query("kind"), momentKinds), cursor{}, maxExport)
		for i := range rows {
			out.add(stamp(&rows[i].At), rows[i].Kind, rows[i].What, rows[i].Who, rows[i].Detail)
		}
		return err
	})
	if err != nil {
		return err
	}
	return out.send(c)
}

// note keeps what staff should know about a board; its team never sees it.
func (s *Staff) note(c *gin.Context) error {
	id, err := boardID(c)
	if err != nil {
		return err
	}
	body := strings.TrimSpace(c.PostForm("note"))
	bad := ""
	switch {
	case body == "":
		bad = "staff.note.required"
	case len([]rune(body)) > 2000:
		bad = "staff.note.long"
	}
	if bad != "" {
		return s.showBoard(c, http.StatusUnprocessableEntity, map[string]string{"note": s.t(c, bad)}, c.Request.PostForm)
	}
	err = s.Platform.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		if _, err := readBoard(ctx, tx, id); err != nil {
			return err
		}
		note := tenant.NewRowID()
		_, err := tx.NewRaw(`INSERT INTO board_notes (tenant_id, id, body, author_id) VALUES (?, ?, ?, ?)`, id, note, body, tenant.ActorFrom(ctx).ID).Exec(ctx)
		if err != nil {
			return err
		}
		return authz.Record(ctx, tx, authz.Act{Act: "board.noted", ObjectKind: "board", ObjectID: id.String(), Detail: map[string]any{"note": note.String()}})
	})
	if err != nil {
		return err
	}
	return route.SeeOther(c, "/staff/boards/"+id.String()+"?ok=board.noted")
}

func boardID(c *gin.Context) (tenant.ID, error) {
	id, err := tenant.ParseID(c.Param("id"))
	if err != nil {
		return tenant.Nil, fault.New(fault.NotFound, "board not found")
	}
	return id, nil
}
