package staff

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
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

// visit is an impersonation as the board's page shows it.
type visit struct {
	accounts.Impersonation
	Now  string
	Mine bool
}

// actingCard is the card from which staff acts as a member of a board's team.
type actingCard struct {
	Can     bool
	Asks    bool
	Members []console.Option
	Minutes []console.Option
	Visits  []visit
}

func (s *Staff) readActing(c *gin.Context, ctx context.Context, tx bun.IDB, p *boardPage) (*actingCard, error) {
	card := &actingCard{Can: s.Allowed(c, authz.Can("board", "impersonate"))}
	if err := tx.NewRaw(`SELECT coalesce((settings->'support'->>'ask')::bool, false) FROM boards WHERE id = ?`, p.ID).Scan(ctx, &card.Asks); err != nil {
		return nil, err
	}
	you := tenant.ActorFrom(ctx).ID
	members, err := authz.Members(ctx, tx, p.ID)
	if err != nil {
		return nil, err
	}
	for _, m := range members {
		if m.Operator != you {
			label := m.Email
			if m.Name != "" {
				label = m.Name + " (" + m.Email + ")"
			}
			card.Members = append(card.Members, console.Option{Value: m.Operator.String(), Label: label})
		}
	}
	for _, n := range []int{15, accounts.ImpersonateMinutes, 60, accounts.ImpersonateMost} {
		card.Minutes = append(card.Minutes, console.Option{Value: strconv.Itoa(n), Label: s.t(c, "staff.acting.n_minutes", n)})
	}
	list, err := s.Operators.Impersonations(ctx, tx, p.ID, 10)
	for i := range list {
		card.Visits = append(card.Visits, visit{list[i], list[i].Status(time.Now()), list[i].StaffID == you})
	}
	return card, err
}

// impersonate asks to act as a member of the board's team, and goes there at
// once where the board does not want to be asked.
func (s *Staff) impersonate(c *gin.Context) error {
	board, err := boardID(c)
	if err != nil {
		return err
	}
	who, err := uuid.Parse(c.PostForm("operator"))
	if err != nil {
		who = uuid.Nil // refused below, beside what else is wrong
	}
	minutes, err := strconv.Atoi(c.PostForm("minutes"))
	if err != nil {
		minutes = -1
	}
	if c.PostForm("minutes") == "" {
		minutes = 0
	}
	var i *accounts.Impersonation
	err = s.Platform.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) (err error) {
		i, err = s.Operators.AskImpersonation(ctx, tx, s.Session(c), accounts.NewImpersonation{Board: board, Operator: who, Reason: c.PostForm("acting_reason"),
			Minutes: minutes, Writes: c.PostForm("writes") != ""})
		return err
	})
	if fault.Is(err, fault.Invalid) || fault.Is(err, fault.Conflict) {
		errs := s.shell.Explain(s.locale(c), err)
		if reason, ok := errs["reason"]; ok { // the page has another field of this name
			delete(errs, "reason")
			errs["acting_reason"] = reason
		}
		if len(errs) == 0 {
			errs["form"] = s.shell.Text(s.locale(c), fault.TextOf(err))
		}
		return s.showBoard(c, route.Status(err), errs, c.Request.PostForm)
	}
	if err != nil {
		return err
	}
	if i.State == "asked" {
		return route.SeeOther(c, "/staff/boards/"+board.String()+"?ok=impersonation.asked")
	}
	return s.enter(c, board, i.ID)
}

func (s *Staff) enterAs(c *gin.Context) error {
	board, id, err := visitID(c)
	if err != nil {
		return err
	}
	return s.enter(c, board, id)
}

// enter goes through the same door as an operator's own hand-over.
func (s *Staff) enter(c *gin.Context, board tenant.ID, id uuid.UUID) error {
	h, err := s.Operators.HandOverAs(c.Request.Context(), s.Session(c), board, id)
	if fault.Is(err, fault.Conflict) {
		return s.showBoard(c, http.StatusConflict, map[string]string{"form": s.shell.Text(s.locale(c), fault.TextOf(err))}, nil)
	}
	if err != nil {
		return err
	}
	c.Header("Referrer-Policy", "no-referrer")
	return route.SeeOther(c, s.Links.Host(h.Host, "/admin/enter?code="+url.QueryEscape(h.Code)))
}

// leaveAs ends a visit, or takes a request back, from the staff's own console.
func (s *Staff) leaveAs(c *gin.Context) error {
	board, id, err := visitID(c)
	if err != nil {
		return err
	}
	err = s.Platform.Write(c.Request.Context(), func(ctx context.Context, tx bun.IDB) error {
		return s.Operators.EndImpersonation(ctx, tx, board, id, "staff")
	})
	if fault.Is(err, fault.Conflict) {
		return s.showBoard(c, http.StatusConflict, map[string]string{"form": s.t(c, "staff.stale")}, nil)
	}
	if err != nil {
		return err
	}
	return route.SeeOther(c, "/staff/boards/"+board.String()+"?ok=impersonation.ended")
}

func visitID(c *gin.Context) (tenant.ID, uuid.UUID, error) {
	board, err := boardID(c)
	id, err2 := uuid.Parse(c.Param("visit"))
	if err != nil || err2 != nil {
		return board, id, fault.New(fault.NotFound, "impersonation not found")
	}
	return board, id, nil
}
