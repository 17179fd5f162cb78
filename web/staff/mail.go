package staff

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"shingle/mail"
	"shingle/web/console"
	"shingle/web/route"
)

// mail is the mail log of all boards and of the platform itself: to whom, what
// kind, when and what became of it; never what it said.
func (s *Staff) mail(c *gin.Context) error {
	f := mail.LogFilter{State: c.Query("state"), Address: strings.TrimSpace(c.Query("address")), Page: route.Page(c), Size: pageSize}
	if !slices.Contains(mail.States, f.State) {
		f.State = ""
	}
	var rows []mail.Entry
	var more bool
	err := s.Platform.Read(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		rows, more, err = mail.LogOfAll(ctx, tx, f)
		return err
	})
	if err != nil {
		return err
	}
	states := []console.Option{{Label: s.t(c, "staff.boards.any_state")}}
	for _, state := range mail.States {
		states = append(states, console.Option{Value: state, Label: s.t(c, "mail.state."+state), Selected: state == f.State})
	}
	return s.render(c, http.StatusOK, "mail", s.t(c, "staff.nav.mail"), map[string]any{"Rows": rows, "F": f, "States": states, "Query": c.Request.URL.Query(), "More": more})
}
