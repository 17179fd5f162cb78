package staff

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/authz"
	"shingle/billing/plans"
	"shingle/internal/fault"
	"shingle/tenant"
	"shingle/web/console"
	"shingle/web/route"
)

type announcementRow struct {
	accounts.Announcement
	Now string
	For int
	// Plans are the names of those that it is for, joined.
	Plans string
}

func (s *Staff) readAnnouncements(c *gin.Context, limit int) ([]announcementRow, []plans.Plan, error) {
	var list []accounts.Announcement
	var sold []plans.Plan
	err := s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		if sold, err = s.Plans.All(ctx, tx); err != nil {
			return err
		}
		list, err = s.Operators.Announcements(ctx, tx, limit)
		return err
	})
	rows := make([]announcementRow, len(list))
	for i := range list {
		var names []string
		for j := range sold {
			if slices.Contains(list[i].Plans, sold[j].ID) {
				names = append(names, sold[j].Name)
			}
		}
		rows[i] = announcementRow{list[i], list[i].State(time.Now()), len(list[i].Boards), strings.Join(names, ", ")}
	}
	return rows, sold, err
}

func (s *Staff) announcements(c *gin.Context) error {
	return s.showAnnouncements(c, http.StatusOK, nil, url.Values{"level": {"info"}, "audience": {"all"}})
}

func (s *Staff) showAnnouncements(c *gin.Context, status int, errs map[string]string, typed url.Values) error {
	rows, sold, err := s.readAnnouncements(c, 100)
	if err != nil {
		return err
	}
	var choice []console.Option
	for i := range sold {
		choice = append(choice, console.Option{Value: sold[i].ID.String(), Label: sold[i].Name, Selected: slices.Contains(typed["plan"], sold[i].ID.String())})
	}
	chosen := typed.Get("audience")
	return s.render(c, status, "announcements", s.t(c, "staff.nav.announcements"), map[string]any{"Rows": rows, "Errors": errs, "Typed": typed,
		"Levels": s.options(c, "staff.level.", typed.Get("level"), accounts.Levels, ""),
		"Audiences": []console.Option{{Value: "all", Label: s.t(c, "staff.announce.all")}, {Value: "plans", Label: s.t(c, "staff.announce.by_plan"), Selected: chosen == "plans"},
			{Value: "boards", Label: s.t(c, "staff.announce.some"), Selected: chosen == "boards"}},
		"Plans":    choice,
		"CanWrite": s.Allowed(c, authz.Can("announcement", "write"))}, s.csvLink(c, "/staff/announcements.csv"))
}

func (s *Staff) announcementsCSV(c *gin.Context) error {
	rows, _, err := s.readAnnouncements(c, maxExport)
	if err != nil {
		return err
	}
	out := newFile("announcements", "id", "state", "level", "english", "german", "link", "audience", "from", "to", "created", "plans")
	for i := range rows {
		r := &rows[i]
		out.add(r.ID.String(), r.Now, r.Level, r.TextEN, r.TextDE, r.Link, r.Audience, stamp(&r.StartsAt), stamp(r.EndsAt), stamp(&r.CreatedAt), r.Plans)
	}
	return out.send(c)
}

// when reads a datetime-local field as UTC; "" is no time.
func when(text string) (*time.Time, bool) {
	if text == "" {
		return nil, true
	}
	t, err := time.Parse("2006-01-02T15:04", text)
	return &t, err == nil
}

func (s *Staff) announce(c *gin.Context) error {
	a := &accounts.Announcement{Level: c.PostForm("level"), TextEN: c.PostForm("text_en"), TextDE: c.PostForm("text_de"), Link: c.PostForm("link"), Audience: c.PostForm("audience"),
		CreatedBy: tenant.ActorFrom(c.Request.Context()).ID}
	bad := map[string]string{}
	from, ok := when(c.PostForm("starts_at"))
	if !ok {
		bad["starts_at"] = s.t(c, "staff.announce.time")
	}
	if a.EndsAt, ok = when(c.PostForm("ends_at")); !ok {
		bad["ends_at"] = s.t(c, "staff.announce.time")
		a.EndsAt = nil
	}
	if a.StartsAt = time.Now(); from != nil && ok {
		a.StartsAt = *from
	}
	if a.Audience == "boards" {
		for _, slug := range strings.FieldsFunc(strings.ToLower(c.PostForm("boards")), func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\r' }) {
			t, err := s.Boards.BySlug(c.Request.Context(), slug)
			if fault.Is(err, fault.NotFound) {
				bad["boards"] = s.t(c, "staff.announce.no_board", slug)
				continue
			}
			if err != nil {
				return err
			}
			a.Boards = append(a.Boards, t.ID)
		}
	}
	if a.Audience == "plans" {
		for _, text := range c.PostFormArray("plan") {
			id, err := uuid.Parse(text)
			if err != nil {
				return fault.New(fault.NotFound, "plan not found")
			}
			a.Plans = append(a.Plans, id)
		}
	}
	err := s.Platform.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		for _, id := range a.Plans {
			if _, err := s.Plans.Plan(ctx, tx, id); err != nil {
				return err
			}
		}
		if err := s.Operators.Announce(ctx, tx, a); err != nil {
			return err
		}
		if len(bad) > 0 {
			return fault.New(fault.Invalid, "refused") // nothing is stored
		}
		detail := map[string]any{"level": a.Level, "audience": a.Audience}
		if len(a.Plans) > 0 {
			detail["plans"] = a.Plans
		}
		return authz.Record(ctx, tx, authz.Act{Act: "announcement.made", ObjectKind: "announcement", ObjectID: a.ID.String(), Detail: detail})
	})
	if fault.Is(err, fault.Invalid) {
		for name, text := range s.shell.Explain(s.locale(c), err) {
			if bad[name] == "" {
				bad[name] = text
			}
		}
		return s.showAnnouncements(c, http.StatusUnprocessableEntity, bad, c.Request.PostForm)
	}
	if err != nil {
		return err
	}
	return route.SeeOther(c, "/staff/announcements?ok=announcement.made")
}

func (s *Staff) withdraw(c *gin.Context) error {
	id, err := uuid.Parse(c.Param("id"))
	if err != nil {
		return fault.New(fault.NotFound, "announcement not found")
	}
	err = s.Platform.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		if err := s.Operators.Withdraw(ctx, tx, id); err != nil {
			return err
		}
		return authz.Record(ctx, tx, authz.Act{Act: "announcement.withdrawn", ObjectKind: "announcement", ObjectID: id.String()})
	})
	if err != nil {
		return err
	}
	return route.SeeOther(c, "/staff/announcements?ok=announcement.withdrawn")
}
