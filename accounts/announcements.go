package accounts

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tenant"
)

// Announcement is a text of the platform's staff for the teams of boards, shown
// in their consoles until a reader puts it away. Texts are plain.
type Announcement struct {
	ID          uuid.UUID   `bun:"id"`
	Level       string      `bun:"level"` // info, warning, danger
	TextEN      string      `bun:"text_en"`
	TextDE      string      `bun:"text_de"`
	Link        string      `bun:"link"`
	Audience    string      `bun:"audience"` // all, boards, plans
	Boards      []tenant.ID `bun:"boards,type:jsonb"`
	Plans       []uuid.UUID `bun:"plans,type:jsonb"` // whoever is on one of them when it is read
	StartsAt    time.Time   `bun:"starts_at"`
	EndsAt      *time.Time  `bun:"ends_at"`
	CreatedBy   uuid.UUID   `bun:"created_by"`
	CreatedAt   time.Time   `bun:"created_at"`
	WithdrawnAt *time.Time  `bun:"withdrawn_at"`
}

// Levels are how loud an announcement can be.
var Levels = []string{"info", "warning", "danger"}

// Text is the announcement in a language.
func (a *Announcement) Text(locale string) string {
	if strings.HasPrefix(locale, "de") {
		return a.TextDE
	}
	return a.TextEN
}

// State is where an announcement stands at an instant.
func (a *Announcement) State(now time.Time) string {
	switch {
	case a.WithdrawnAt != nil:
		return "withdrawn"
	case now.Before(a.StartsAt):
		return "planned"
	case a.EndsAt != nil && !now.Before(*a.EndsAt):
		return "over"
	}
	return "shown"
}

const announcementColumns = `a.id, a.level, a.text_en, a.text_de, a.link, a.audience, to_jsonb(a.boards) AS boards, to_jsonb(a.plans) AS plans, a.starts_at, a.ends_at, a.created_by, a.created_at, a.withdrawn_at`

// Announce stores an announcement, in a platform transaction. Kind:
// fault.Invalid by field.
func (s *Operators) Announce(ctx context.Context, tx bun.IDB, a *Announcement) error {
	a.TextEN, a.TextDE, a.Link = strings.TrimSpace(a.TextEN), strings.TrimSpace(a.TextDE), strings.TrimSpace(a.Link)
	bad := fault.Fields{}
	for name, text := range map[string]string{"text_en": a.TextEN, "text_de": a.TextDE} {
		if text == "" {
			bad[name] = "announce.text.required"
		} else if len([]rune(text)) > 500 {
			bad[name] = "announce.text.long"
		}
	}
	if a.Link != "" {
		if u, err := url.Parse(a.Link); err != nil || u.Scheme != "https" || u.Host == "" || len(a.Link) > 500 {
			bad["link"] = "announce.link"
		}
	}
	if a.Level != "info" && a.Level != "warning" && a.Level != "danger" {
		bad["level"] = "announce.level"
	}
	if a.EndsAt != nil && !a.EndsAt.After(a.StartsAt) {
		bad["ends_at"] = "announce.ends"
	}
	if a.Audience == "boards" && len(a.Boards) == 0 {
		bad["boards"] = "announce.boards"
	}
	if a.Audience == "plans" && len(a.Plans) == 0 {
		bad["plans"] = "announce.plans"
	}
	if err := fault.Invalids(bad); err != nil {
		return err
	}
	switch a.Audience {
	case "boards":
		a.Plans = nil
	case "plans":
		a.Boards = nil
	default:
		a.Audience, a.Boards, a.Plans = "all", nil, nil
	}
	a.ID = tenant.NewRowID()
	_, err := tx.NewRaw(`INSERT INTO announcements (id, level, text_en, text_de, link, audience, boards, plans, starts_at, ends_at, created_by, created_at)
		VALUES (?, ?, ?, ?, ?, ?, string_to_array(?, ',')::uuid[], string_to_array(?, ',')::uuid[], ?, ?, ?, ?)`,
		a.ID, a.Level, a.TextEN, a.TextDE, a.Link, a.Audience, joined(a.Boards), joined(a.Plans), a.StartsAt, a.EndsAt, a.CreatedBy, s.now()).Exec(ctx)
	return err
}

func joined[T interface{ String() string }](ids []T) string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = id.String()
	}
	return strings.Join(out, ",")
}

// forBoard is the condition that an announcement is for a board, which stands
// for both placeholders. Who changes plans changes what there is to read.
const forBoard = `(a.audience = 'all' OR a.audience = 'boards' AND ?::uuid = ANY (a.boards)
	OR a.audience = 'plans' AND EXISTS (SELECT FROM board_plans AS bp WHERE bp.tenant_id = ? AND bp.plan_id = ANY (a.plans)))`

// Withdraw takes an announcement back. Kind: fault.NotFound, also for one that
// was taken back before.
func (s *Operators) Withdraw(ctx context.Context, tx bun.IDB, id uuid.UUID) error {
	res, err := tx.NewRaw(`UPDATE announcements SET withdrawn_at = ? WHERE id = ? AND withdrawn_at IS NULL`, s.now(), id).Exec(ctx)
	return tenant.Touched(res, err, "announcement")
}

// Announcements lists all, newest first, in a platform transaction.
func (s *Operators) Announcements(ctx context.Context, tx bun.IDB, limit int) ([]Announcement, error) {
	var rows []Announcement
	err := tx.NewRaw(`SELECT `+announcementColumns+` FROM announcements AS a ORDER BY a.created_at DESC, a.id DESC LIMIT ?`, limit).Scan(ctx, &rows)
	return rows, err
}

// NoticesFor lists what an operator has to read on a board now, in a platform
// transaction.
func (s *Operators) NoticesFor(ctx context.Context, tx bun.IDB, board tenant.ID, operator uuid.UUID) ([]Announcement, error) {
	now := s.now()
	var rows []Announcement
	err := tx.NewRaw(`SELECT `+announcementColumns+` FROM announcements AS a
		WHERE a.withdrawn_at IS NULL AND a.starts_at <= ? AND (a.ends_at IS NULL OR a.ends_at > ?) AND `+forBoard+`
			AND NOT EXISTS (SELECT FROM announcement_dismissals AS d WHERE d.announcement_id = a.id AND d.operator_id = ?)
		ORDER BY a.starts_at DESC, a.id LIMIT 5`, now, now, board, board, operator).Scan(ctx, &rows)
	return rows, err
}

// Dismiss puts an announcement away for one operator, on all their boards.
// Twice is no error. Kind: fault.NotFound for one that is not theirs to see.
func (s *Operators) Dismiss(ctx context.Context, tx bun.IDB, board tenant.ID, operator, id uuid.UUID) error {
	var seen bool
	err := tx.NewRaw(`SELECT true FROM announcements AS a WHERE a.id = ? AND `+forBoard, id, board, board).Scan(ctx, &seen)
	if err != nil {
		return fault.Wrap(err, fault.NotFound, "announcement not found")
	}
	_, err = tx.NewRaw(`INSERT INTO announcement_dismissals (announcement_id, operator_id) VALUES (?, ?) ON CONFLICT DO NOTHING`, id, operator).Exec(ctx)
	return err
}
