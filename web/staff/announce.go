package staff

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/authz"
	"shingle/internal/fault"
	"shingle/tenant"
	"shingle/web/console"
	"shingle/web/route"
)

type announcementRow struct {
	accounts.Announcement
	Now string
	For int
}

func (s *Staff) readAnnouncements(c *gin.Context, limit int) ([]announcementRow, error) {
	var list []accounts.Announcement
	err := s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		list, err = s.Operators.Announcements(ctx, tx, limit)
		return err
	})
	rows := make([]announcementRow, len(list))
	for i := range list {
		rows[i] = announcementRow{list[i], list[i].State(time.Now()), len(list[i].Boards)}
	}
	return rows, err
}

func (s *Staff) announcements(c *gin.Context) error {
	return s.showAnnouncements(c, http.StatusOK, nil, url.Values{"level": {"info"}, "audience": {"all"}})
}

func (s *Staff) showAnnouncements(c *gin.Context, status int, errs map[string]string, typed url.Values) error {
	rows, err := s.readAnnouncements(c, 100)
	if err != nil {
		return err
	}
	return s.render(c, status, "announcements", s.t(c, "staff.nav.announcements"), map[string]any{"Rows": rows, "Errors": errs, "Typed": typed,
		"Levels":    s.options(c, "staff.level.", typed.Get("level"), accounts.Levels, ""),
		"Audiences": []console.Option{{Value: "all", Label: s.t(c, "staff.announce.all")}, {Value: "boards", Label: s.t(c, "staff.announce.some")}},
		"CanWrite":  s.Allowed(c, authz.Can("announcement", "write"))}, s.csvLink(c, "/staff/announcements.csv"))
}

func (s *Staff) announcementsCSV(c *gin.Context) error {
	rows, err := s.readAnnouncements(c, maxExport)
	if err != nil {
		return err
	}
	out := newFile("announcements", "id", "state", "level", "english", "german", "link", "audience", "from", "to", "created")
	for i := range rows {
		r := &rows[i]
		out.add(r.ID.String(), r.Now, r.Level, r.TextEN, r.TextDE, r.Link, r.Audience, stamp(&r.StartsAt), stamp(r.EndsAt), stamp(&r.CreatedAt))
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
	err := s.Platform.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		if err := s.Operators.Announce(ctx, tx, a); err != nil {
			return err
		}
		if len(bad) > 0 {
			return fault.New(fault.Invalid, "refused") // nothing is stored
		}
		return authz.Record(ctx, tx, authz.Act{Act: "announcement.made", ObjectKind: "announcement", ObjectID: a.ID.String(), Detail: map[string]any{"level": a.Level, "audience": a.Audience}})
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
