package authz_test

import (
	"context"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/internal/fault"
	"shingle/tenant"
)

func TestARoleOfOnesOwnHoldsFromTheNextRequestOnEveryReplica(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	replica, err := authz.NewGate(b.Platform)
	if err != nil {
		t.Fatal(err)
	}
	board, rival, op := b.Board(t, "alder").ID, b.Board(t, "rival").ID, tenant.NewRowID()
	owner, _ := authz.BuiltinSet(board, authz.Owner)
	both := func(what string, object, action string, want bool) {
		t.Helper()
		for i, g := range []*authz.Gate{b.gate, replica} {
			if got := b.set(t, g, board, op).Can(object, action); got != want {
				t.Errorf("%s: %s.%s is %v on replica %d, want %v", what, object, action, got, i, want)
			}
		}
	}
	var role string
	b.must(t, func(ctx context.Context, tx bun.IDB) (err error) {
		role, err = authz.CreateRole(ctx, tx, board, owner, "  Night   desk ", authz.SetOf(authz.Can("listing", "moderate")))
		return err
	})
	if role != "custom:Night desk" {
		t.Errorf("the role is called %q", role)
	}
	both("before the grant", "board", "read", false)
	b.grant(t, board, op, role)
	both("a moderator sees", "listing", "read", true)
	both("and opens the console", "board", "read", true)
	both("and no more", "report", "read", false)
	b.must(t, func(ctx context.Context, tx bun.IDB) (err error) {
		role, err = authz.EditRole(ctx, tx, board, owner, role, "Nachtdienst", authz.SetOf(authz.Can("report", "write")))
		return err
	})
	both("after the change", "listing", "moderate", false)
	both("after the change", "report", "read", true)
	err = b.do(t, func(ctx context.Context, tx bun.IDB) error {
		_, err := authz.EditRole(ctx, tx, rival, owner, role, "Nachtdienst", authz.SetOf(authz.Can("report", "write")))
		return err
	})
	if !fault.Is(err, fault.NotFound) {
		t.Errorf("a rival edits the role: %v", err)
	}
	err = b.do(t, func(ctx context.Context, tx bun.IDB) error {
		_, err := authz.DeleteRole(ctx, tx, rival, owner, role, authz.Viewer)
		return err
	})
	if !fault.Is(err, fault.NotFound) {
		t.Errorf("a rival deletes the role: %v", err)
	}
	both("after the rival's tries", "report", "write", true)
	err = b.do(t, func(ctx context.Context, tx bun.IDB) error {
		_, err := authz.DeleteRole(ctx, tx, board, owner, role, "")
		return err
	})
	if !fault.Is(err, fault.Conflict) || fault.FieldsOf(err)["to"] == "" {
		t.Errorf("deleting a role in use: %v", err)
	}
	b.must(t, func(ctx context.Context, tx bun.IDB) error {
		moved, err := authz.DeleteRole(ctx, tx, board, owner, role, authz.Viewer)
		if err != nil || len(moved) != 1 || moved[0] != op.String() {
			t.Errorf("moved %v, %v", moved, err)
		}
		held, err := authz.RolesOf(ctx, tx, board, op)
		if err != nil || len(held) != 1 || held[0] != authz.Viewer {
			t.Errorf("they hold %v, %v", held, err)
		}
		return err
	})
	both("moved to a viewer", "report", "write", false)
	both("moved to a viewer", "page", "read", true)
}

func TestNobodyBuildsARoleBeyondTheirOwn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	board := b.Board(t, "alder").ID
	admin, _ := authz.BuiltinSet(board, authz.Admin)
	owner, _ := authz.BuiltinSet(board, authz.Owner)
	create := func(by authz.Set, name string, ps ...authz.Permission) error {
		return b.do(t, func(ctx context.Context, tx bun.IDB) error {
			_, err := authz.CreateRole(ctx, tx, board, by, name, authz.SetOf(ps...))
			return err
		})
	}
	read := authz.Can("listing", "read")
	for what, c := range map[string]struct {
		err  error
		want fault.Kind
	}{
		"more than one holds":      {create(admin, "Banker", authz.Can("payout", "onboard")), fault.Forbidden},
		"the platform's":           {create(owner, "Platform", authz.Can("staff", "manage")), fault.Invalid},
		"nothing":                  {create(owner, "Nothing"), fault.Invalid},
		"no name":                  {create(owner, " ", read), fault.Invalid},
		"a name with markup":       {create(owner, "<b>x</b>", read), fault.Invalid},
		"a built-in name":          {create(owner, "Owner", read), fault.Conflict},
		"a prefix of one's making": {create(owner, "custom:x", read), fault.Invalid},
	} {
		if !fault.Is(c.err, c.want) {
			t.Errorf("%s: %v", what, c.err)
		}
	}
	if err := create(owner, "Treasurer", authz.Can("payout", "onboard")); err != nil {
		t.Fatal(err)
	}
	if err := create(owner, "TREASURER", read); !fault.Is(err, fault.Conflict) {
		t.Errorf("the same name in capitals: %v", err)
	}
	for what, fn := range map[string]func(ctx context.Context, tx bun.IDB) error{
		"edits": func(ctx context.Context, tx bun.IDB) error {
			_, err := authz.EditRole(ctx, tx, board, admin, "custom:Treasurer", "Treasurer", authz.SetOf(read))
			return err
		},
		"deletes": func(ctx context.Context, tx bun.IDB) error {
			_, err := authz.DeleteRole(ctx, tx, board, admin, "custom:Treasurer", "")
			return err
		},
	} {
		if err := b.do(t, fn); !fault.Is(err, fault.Forbidden) {
			t.Errorf("an admin %s a role beyond theirs: %v", what, err)
		}
	}
	if err := b.do(t, func(ctx context.Context, tx bun.IDB) error {
		_, err := authz.EditRole(ctx, tx, board, owner, authz.Viewer, "Viewer 2", authz.SetOf(read))
		return err
	}); !fault.Is(err, fault.NotFound) {
		t.Errorf("a built-in role is edited: %v", err)
	}
	// Two make the same role at one moment: there is one.
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() { errs[i] = create(owner, "Twin", read) })
	}
	wg.Wait()
	made := 0
	for _, err := range errs {
		switch {
		case err == nil:
			made++
		case !fault.Is(err, fault.Conflict):
			t.Error(err)
		}
	}
	if made != 1 {
		t.Errorf("%d of %d made the same role", made, len(errs))
	}
}

// TestTwoOwnersWhoActOnEachOtherAtOnce, by every pair of ways to lose a role:
// one owner stays.
func TestTwoOwnersWhoActOnEachOtherAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ways := map[string]func(ctx context.Context, tx bun.IDB, board tenant.ID, who uuid.UUID) error{
		"remove": authz.Remove,
		"change": func(ctx context.Context, tx bun.IDB, board tenant.ID, who uuid.UUID) error {
			return authz.Change(ctx, tx, board, who, authz.Viewer)
		},
		"revoke": func(ctx context.Context, tx bun.IDB, board tenant.ID, who uuid.UUID) error {
			return authz.Revoke(ctx, tx, board, who, authz.Owner)
		},
	}
	i := 0
	for one, f := range ways {
		for other, g := range ways {
			i++
			board, ann, ben := b.Board(t, "pair-"+string(rune('a'+i))).ID, tenant.NewRowID(), tenant.NewRowID()
			b.grant(t, board, ann, authz.Owner)
			b.grant(t, board, ben, authz.Owner)
			var wg sync.WaitGroup
			var e1, e2 error
			wg.Go(func() {
				e1 = b.do(t, func(ctx context.Context, tx bun.IDB) error { return f(ctx, tx, board, ann) })
			})
			wg.Go(func() {
				e2 = b.do(t, func(ctx context.Context, tx bun.IDB) error { return g(ctx, tx, board, ben) })
			})
			wg.Wait()
			if (e1 == nil) == (e2 == nil) {
				t.Errorf("%s beside %s: %v and %v", one, other, e1, e2)
			}
		}
	}
}
