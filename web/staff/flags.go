package staff

import (
	"context"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/internal/fault"
	"shingle/tenant"
	"shingle/web/route"
)

// flagRow is a flag on the page: the default, and who differs.
type flagRow struct {
	Flag   tenant.Flag
	On     bool
	Except []flagBoard
}

type flagBoard struct {
	ID   tenant.ID `bun:"tenant_id"`
	Name string    `bun:"board"`
	Slug string    `bun:"slug"`
	Flag string    `bun:"name"`
	On   bool      `bun:"value"`
}

func (s *Staff) readFlags(c *gin.Context) ([]flagRow, error) {
	rows := make([]flagRow, len(tenant.Flags))
	err := s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		var set []flagBoard
		err := tx.NewRaw(`SELECT f.tenant_id, f.name, f.value, coalesce(b.name, '') AS board, coalesce(b.slug, '') AS slug
			FROM feature_flags AS f LEFT JOIN boards AS b ON b.id = f.tenant_id ORDER BY b.name, f.tenant_id`).Scan(ctx, &set)
		for i, f := range tenant.Flags {
			rows[i] = flagRow{Flag: f, On: true}
			for _, one := range set {
				switch {
				case one.Flag != string(f):
				case one.ID.IsNil():
					rows[i].On = one.On
				default:
					rows[i].Except = append(rows[i].Except, one)
				}
			}
		}
		return err
	})
	return rows, err
}

func (s *Staff) flags(c *gin.Context) error { return s.showFlags(c, http.StatusOK, nil) }

func (s *Staff) showFlags(c *gin.Context, status int, errs map[string]string) error {
	rows, err := s.readFlags(c)
	if err != nil {
		return err
	}
	return s.render(c, status, "flags", s.t(c, "staff.nav.flags"), map[string]any{"Rows": rows, "Errors": errs, "Slug": c.PostForm("slug"), "For": c.PostForm("flag"),
		"CanWrite": s.Allowed(c, authz.Can("flag", "write"))}, s.csvLink(c, "/staff/flags.csv"))
}

func (s *Staff) flagsCSV(c *gin.Context) error {
	rows, err := s.readFlags(c)
	if err != nil {
		return err
	}
	word := map[bool]string{true: "on", false: "off"}
	out := newFile("flags", "flag", "board", "value")
	for _, r := range rows {
		out.add(string(r.Flag), "", word[r.On])
		for _, e := range r.Except {
			out.add(string(r.Flag), e.Slug, word[e.On])
		}
	}
	return out.send(c)
}

// setFlag sets the default of all boards, or one board's own: "on", "off" or
// "follow" for the default again.
func (s *Staff) setFlag(c *gin.Context) error {
	var value *bool
	to := c.PostForm("value")
	switch to {
	case "on", "off":
		on := to == "on"
		value = &on
	case "follow":
	default:
		return fault.New(fault.Invalid, "choose on or off")
	}
	flag, slug := tenant.Flag(c.PostForm("flag")), strings.ToLower(strings.TrimSpace(c.PostForm("slug")))
	board := tenant.Nil
	if c.PostForm("scope") == "board" {
		t, err := s.Boards.BySlug(c.Request.Context(), slug)
		if fault.Is(err, fault.NotFound) {
			return s.showFlags(c, http.StatusUnprocessableEntity, map[string]string{"slug": s.t(c, "staff.flags.no_board")})
		}
		if err != nil {
			return err
		}
		board = t.ID
	} else if value == nil {
		return fault.New(fault.Invalid, "the platform has nothing to follow")
	}
	err := s.Platform.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		if err := tenant.SetFlag(ctx, tx, board, flag, value, tenant.ActorFrom(ctx).ID); err != nil {
			return err
		}
		act := authz.Act{Act: "flag.set", ObjectKind: "flag", ObjectID: string(flag), Detail: map[string]any{"value": to}}
		return onBoard(ctx, tx, board, act)
	})
	if err != nil {
		return err
	}
	if !board.IsNil() {
		s.forget(c.Request.Context(), board)
	}
	return route.SeeOther(c, "/staff/flags?ok=flag.set")
}
