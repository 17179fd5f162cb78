package accounts_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/authz"
	"shingle/internal/fault"
	"shingle/tenant"
)

// estate is a board with an owner and an admin.
type estate struct {
	*desk
	board    *tenant.Tenant
	ann, ben *accounts.Operator
}

func newEstate(t *testing.T) *estate {
	t.Helper()
	d := newDesk(t)
	e := &estate{desk: d, board: d.Board(t, "mine"), ann: d.operator(t, "ann@x.example", ""), ben: d.operator(t, "ben@x.example", "")}
	d.platform(t, func(ctx context.Context, tx bun.IDB) error {
		if err := authz.Grant(ctx, tx, e.board.ID, e.ann.ID, authz.Owner); err != nil {
			return err
		}
		return authz.Grant(ctx, tx, e.board.ID, e.ben.ID, authz.Editor)
	})
	return e
}

func (e *estate) offer(t *testing.T, by *accounts.Operator, to uuid.UUID, then string) error {
	ctx := tenant.WithActor(e.Ctx(t, e.board), by.Actor(tenant.Operator))
	return e.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error { return e.ops.OfferOwnership(ctx, tx, e.board, to, then) })
}

// offered makes an offer and opens its mail.
func (e *estate) offered(t *testing.T, then string) string {
	t.Helper()
	if err := e.offer(t, e.ann, e.ben.ID, then); err != nil {
		t.Fatal(err)
	}
	m := e.mailTo(t, e.ben.Email)
	return m.token(t)
}

func (e *estate) roles(t *testing.T, who *accounts.Operator) (out []string) {
	t.Helper()
	e.platform(t, func(ctx context.Context, tx bun.IDB) (err error) {
		out, err = authz.RolesOf(ctx, tx, e.board.ID, who.ID)
		return err
	})
	return out
}

func TestOwnershipIsHandedOver(t *testing.T) {
	t.Parallel()
	for then, want := range map[string][]string{accounts.ThenAdmin: {authz.Admin}, accounts.ThenLeave: nil} {
		t.Run(then, func(t *testing.T) {
			t.Parallel()
			e := newEstate(t)
			rival := e.Board(t, "rival")
			token := e.offered(t, then)
			if got := e.roles(t, e.ben); !slices.Equal(got, []string{authz.Editor}) {
				t.Fatalf("the offer alone made them %v", got)
			}
			is(t, "somebody else's sign-in", e.ops.AcceptOwnership(t.Context(), e.board.ID, token, e.ann), fault.Forbidden)
			is(t, "another board", e.ops.AcceptOwnership(t.Context(), rival.ID, token, e.ben), fault.Gone)
			is(t, "a guess", e.ops.AcceptOwnership(t.Context(), e.board.ID, "x", e.ben), fault.Gone)
			var wg sync.WaitGroup
			errs := make([]error, 8)
			for i := range errs {
				wg.Go(func() { errs[i] = e.ops.AcceptOwnership(t.Context(), e.board.ID, token, e.ben) })
			}
			wg.Wait()
			done := 0
			for _, err := range errs {
				if err == nil {
					done++
				} else {
					is(t, "a second click", err, fault.Gone)
				}
			}
			if done != 1 {
				t.Errorf("the link was spent %d times", done)
			}
			if got := e.roles(t, e.ben); !slices.Equal(got, []string{authz.Owner}) {
				t.Errorf("the new owner is %v", got)
			}
			if got := e.roles(t, e.ann); !slices.Equal(got, want) {
				t.Errorf("the old owner is %v, want %v", got, want)
			}
			e.platform(t, func(ctx context.Context, tx bun.IDB) error {
				lines, err := authz.Log(ctx, tx, authz.LogFilter{Board: e.board.ID, Act: "ownership.accepted"})
				if err != nil || len(lines) != 1 {
					t.Errorf("audit: %v, %v", lines, err)
				}
				var n int
				err = tx.NewRaw(`SELECT count(DISTINCT recipient) FROM mails WHERE kind = 'ownership-moved'`).Scan(ctx, &n)
				if err != nil || n != 2 {
					t.Errorf("%d of both were told, %v", n, err)
				}
				return nil
			})
		})
	}
}

func TestAnOfferOfOwnershipEnds(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	is(t, "an editor's offer", e.offer(t, e.ben, e.ann.ID, accounts.ThenAdmin), fault.Forbidden)
	is(t, "to a stranger", e.offer(t, e.ann, tenant.NewRowID(), accounts.ThenAdmin), fault.Invalid)
	is(t, "to oneself", e.offer(t, e.ann, e.ann.ID, accounts.ThenAdmin), fault.Invalid)
	is(t, "and then king", e.offer(t, e.ann, e.ben.ID, "king"), fault.Invalid)
	accept := func(token string) error {
		return e.ops.AcceptOwnership(t.Context(), e.board.ID, token, e.ben)
	}

	first := e.offered(t, accounts.ThenLeave)
	second := e.offered(t, accounts.ThenAdmin)
	is(t, "the older offer", accept(first), fault.Gone)

	withdraw := func(board tenant.ID) error {
		return e.Platform.Write(e.Ctx(t, e.board), func(ctx context.Context, tx bun.IDB) error { return e.ops.WithdrawOwnership(ctx, tx, board) })
	}
	is(t, "a rival's withdrawal", withdraw(e.Board(t, "rival").ID), fault.Gone)
	if err := withdraw(e.board.ID); err != nil {
		t.Fatal(err)
	}
	is(t, "a withdrawn offer", accept(second), fault.Gone)
	is(t, "withdrawing twice", withdraw(e.board.ID), fault.Gone)

	declined := e.offered(t, accounts.ThenAdmin)
	if err := e.ops.DeclineOwnership(t.Context(), e.board.ID, declined, e.ben); err != nil {
		t.Fatal(err)
	}
	is(t, "a declined offer", accept(declined), fault.Gone)

	late := e.offered(t, accounts.ThenAdmin)
	e.clock.Advance(8 * 24 * time.Hour)
	is(t, "a week later", accept(late), fault.Gone)

	// An offer is void once either of the two is no longer what they were; the
	// refused acceptance leaves all as it was.
	void := e.offered(t, accounts.ThenAdmin)
	cleo := e.operator(t, "cleo@x.example", "")
	e.platform(t, func(ctx context.Context, tx bun.IDB) error {
		if err := authz.Grant(ctx, tx, e.board.ID, cleo.ID, authz.Owner); err != nil {
			return err
		}
		return authz.Change(ctx, tx, e.board.ID, e.ann.ID, authz.Viewer)
	})
	is(t, "from who is no owner any more", accept(void), fault.Gone)
	if got := e.roles(t, e.ben); !slices.Equal(got, []string{authz.Editor}) {
		t.Errorf("a void offer made them %v", got)
	}
	e.platform(t, func(ctx context.Context, tx bun.IDB) error { return authz.Remove(ctx, tx, e.board.ID, e.ben.ID) })
	is(t, "to who has left", accept(void), fault.Gone)
}

func TestAnInvitationIsSentAgainAndFollowsItsRole(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	rival := e.Board(t, "rival")
	owner, _ := authz.BuiltinSet(e.board.ID, authz.Owner)
	viewer, _ := authz.BuiltinSet(e.board.ID, authz.Viewer)
	ctx := tenant.WithActor(e.Ctx(t, e.board), e.ann.Actor(tenant.Operator))
	do := func(fn func(ctx context.Context, tx bun.IDB) error) error { return e.Platform.Write(ctx, fn) }
	var role string
	if err := do(func(ctx context.Context, tx bun.IDB) (err error) {
		if role, err = authz.CreateRole(ctx, tx, e.board.ID, owner, "Desk", authz.SetOf(authz.Can("listing", "write"))); err != nil {
			return err
		}
		return e.ops.Invite(ctx, tx, accounts.Invite{Board: e.board.ID, Email: "dan@x.example", Role: role, Locale: "en", By: owner})
	}); err != nil {
		t.Fatal(err)
	}
	first := e.mailTo(t, "dan@x.example").token(t)
	open := func() (list []accounts.Invitation) {
		t.Helper()
		e.platform(t, func(ctx context.Context, tx bun.IDB) (err error) {
			list, err = e.ops.Invitations(ctx, tx, e.board.ID)
			return err
		})
		return list
	}
	id := open()[0].ID
	resend := func(board tenant.ID, by authz.Set) error {
		return do(func(ctx context.Context, tx bun.IDB) error { return e.ops.Resend(ctx, tx, board, id, by) })
	}
	is(t, "a rival sends it again", resend(rival.ID, owner), fault.NotFound)
	is(t, "by who may do less", resend(e.board.ID, viewer), fault.Forbidden)
	e.clock.Advance(5 * 24 * time.Hour)
	if err := resend(e.board.ID, owner); err != nil {
		t.Fatal(err)
	}
	list := open()
	if len(list) != 1 || !list[0].Expires.After(e.clock.Now().Add(6*24*time.Hour)) {
		t.Errorf("open: %+v", list)
	}
	is(t, "what was sent again ends the older", resend(e.board.ID, owner), fault.NotFound)
	_, err := e.ops.Accept(t.Context(), first, "Dan", here)
	is(t, "the older link", err, fault.Gone)
	token := e.mailTo(t, "dan@x.example").token(t)
	if err := do(func(ctx context.Context, tx bun.IDB) error {
		to, err := authz.EditRole(ctx, tx, e.board.ID, owner, role, "Front desk", authz.SetOf(authz.Can("listing", "write")))
		if err != nil {
			return err
		}
		if n, err := e.ops.MoveInvitations(ctx, tx, rival.ID, role, to); err != nil || n != 0 {
			t.Errorf("a rival moved %d, %v", n, err)
		}
		n, err := e.ops.MoveInvitations(ctx, tx, e.board.ID, role, to)
		if n != 1 {
			t.Errorf("moved %d", n)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	in, err := e.ops.Accept(t.Context(), token, "Dan", here)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.roles(t, in.Operator); !slices.Equal(got, []string{"custom:Front desk"}) {
		t.Errorf("they joined as %v", got)
	}
}
