package authz_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/internal/fault"
	"shingle/internal/testkit"
	"shingle/tenant"
)

type bench struct {
	*testkit.World
	gate *authz.Gate
}

func newBench(t testing.TB) *bench {
	t.Helper()
	w := testkit.NewWorld(t)
	g, err := authz.NewGate(w.Platform)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{w, g}
}

// do runs fn as the platform and gives its error back.
func (b *bench) do(t testing.TB, fn func(ctx context.Context, tx bun.IDB) error) error {
	t.Helper()
	return b.Platform.Write(t.Context(), fn)
}

func (b *bench) must(t testing.TB, fn func(ctx context.Context, tx bun.IDB) error) {
	t.Helper()
	if err := b.do(t, fn); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) grant(t testing.TB, board tenant.ID, op uuid.UUID, role string) {
	t.Helper()
	b.must(t, func(ctx context.Context, tx bun.IDB) error { return authz.Grant(ctx, tx, board, op, role) })
}

// set resolves as a request does: the version comes from the row.
func (b *bench) set(t testing.TB, gate *authz.Gate, board tenant.ID, op uuid.UUID) authz.Set {
	t.Helper()
	var v int64
	b.must(t, func(ctx context.Context, tx bun.IDB) (err error) {
		v, err = authz.PolicyVersion(ctx, tx, board)
		return err
	})
	s, err := gate.Permissions(t.Context(), op, board, v)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCatalogueNamesEachPermissionOnce(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, e := range authz.Catalogue {
		name := e.Object + "." + e.Action
		if seen[name] {
			t.Errorf("%s is there twice", name)
		}
		seen[name] = true
		if got := authz.Can(e.Object, e.Action); got.String() != name || got == authz.Public || got == authz.SignedIn {
			t.Errorf("Can(%s) = %s", name, got)
		}
	}
	if len(authz.Catalogue) > 120 {
		t.Error("a Set holds 125 permissions")
	}
	defer func() {
		if recover() == nil {
			t.Error("a permission outside the catalogue did not panic")
		}
	}()
	authz.Can("listing", "reed")
}

func TestASetNeverHoldsThePermissionOfAForgottenRoute(t *testing.T) {
	t.Parallel()
	all := authz.SetOf(authz.All(authz.OnBoard | authz.OnPlatform)...)
	if all.Has(authz.Permission{}) || (authz.Set{}).Has(authz.Can("listing", "read")) {
		t.Error("the zero permission, or the empty set, allows something")
	}
	if !(authz.Set{}).Has(authz.Public) || all.Len() != len(authz.Catalogue) || !all.Can("listing", "read") || all.Can("no", "such") {
		t.Error("Has, Len or Can is wrong")
	}
}

// The roles as people were promised them; a change here is a change of policy.
func TestBuiltinRolesDoWhatTheySay(t *testing.T) {
	t.Parallel()
	board := tenant.NewID()
	for _, c := range []struct {
		role, object, action string
		want                 bool
	}{
		{authz.Owner, "payout", "onboard", true}, {authz.Owner, "team", "manage", true},
		{authz.Admin, "team", "manage", true}, {authz.Admin, "payout", "onboard", false}, {authz.Admin, "order", "refund", true},
		{authz.Editor, "listing", "moderate", true}, {authz.Editor, "order", "read", false}, {authz.Editor, "look", "publish", false},
		{authz.Finance, "order", "refund", true}, {authz.Finance, "listing", "write", false},
		{authz.Viewer, "listing", "read", true}, {authz.Viewer, "listing", "write", false}, {authz.Viewer, "order", "read", false},
		{authz.Owner, "board", "suspend", false}, {authz.Owner, "staff", "manage", false},
	} {
		set, ok := authz.BuiltinSet(board, c.role)
		if got := set.Can(c.object, c.action); !ok || got != c.want {
			t.Errorf("%s %s.%s = %v, want %v", c.role, c.object, c.action, got, c.want)
		}
	}
	if _, ok := authz.BuiltinSet(board, authz.Superadmin); ok {
		t.Error("a board has the platform's role")
	}
	if s, _ := authz.BuiltinSet(tenant.Nil, authz.Superadmin); s.Can("listing", "write") || !s.Can("staff", "manage") {
		t.Error("superadmin holds a board's permission, or lacks the platform's")
	}
}

func TestGrantHoldsFromTheNextRequestOnEveryReplica(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	replica, err := authz.NewGate(b.Platform)
	if err != nil {
		t.Fatal(err)
	}
	for _, board := range []tenant.ID{b.Board(t, "alder").ID, tenant.Nil} {
		role, p := authz.Admin, authz.Can("listing", "write")
		keep := authz.Owner
		if board.IsNil() {
			role, p, keep = authz.Support, authz.Can("task", "retry"), authz.Superadmin
		}
		op := tenant.NewRowID()
		b.grant(t, board, tenant.NewRowID(), keep)
		for _, g := range []*authz.Gate{b.gate, replica} {
			if b.set(t, g, board, op).Has(p) {
				t.Fatal("allowed before the grant")
			}
		}
		b.grant(t, board, op, role)
		for _, g := range []*authz.Gate{b.gate, replica} {
			if !b.set(t, g, board, op).Has(p) {
				t.Error("the grant is not seen")
			}
		}
		b.must(t, func(ctx context.Context, tx bun.IDB) error { return authz.Revoke(ctx, tx, board, op, role) })
		for _, g := range []*authz.Gate{b.gate, replica} {
			if b.set(t, g, board, op).Has(p) {
				t.Error("the revoked grant still holds")
			}
		}
	}
}

func TestARolledBackGrantLeavesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	board, op := b.Board(t, "alder").ID, tenant.NewRowID()
	stop := fault.New(fault.Conflict, "stop")
	_ = b.do(t, func(ctx context.Context, tx bun.IDB) error {
		if err := authz.Grant(ctx, tx, board, op, authz.Owner); err != nil {
			return err
		}
		return stop
	})
	if s := b.set(t, b.gate, board, op); !s.Empty() {
		t.Errorf("permissions after a rollback: %v", s.List())
	}
}

// An operator of one board, or of the platform, is nobody on another.
func TestGrantsAreOfOneDomain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	mine, rival, op, staff := b.Board(t, "mine").ID, b.Board(t, "rival").ID, tenant.NewRowID(), tenant.NewRowID()
	b.grant(t, mine, op, authz.Owner)
	b.grant(t, tenant.Nil, staff, authz.Superadmin)
	for _, c := range []struct {
		board tenant.ID
		op    uuid.UUID
	}{{rival, op}, {tenant.Nil, op}, {mine, staff}, {rival, staff}} {
		if s := b.set(t, b.gate, c.board, c.op); !s.Empty() {
			t.Errorf("%s in %s may %v", c.op, c.board, s.List())
		}
	}
	for name, err := range map[string]error{
		"platform role on a board": b.do(t, func(ctx context.Context, tx bun.IDB) error {
			return authz.Grant(ctx, tx, mine, op, authz.Superadmin)
		}),
		"unknown role": b.do(t, func(ctx context.Context, tx bun.IDB) error { return authz.Grant(ctx, tx, mine, op, "king") }),
		"platform perm": b.do(t, func(ctx context.Context, tx bun.IDB) error {
			return define(ctx, tx, mine, "Sly", authz.Can("staff", "manage"))
		}),
	} {
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Rules that name another domain grant nothing, however they came there.
	b.must(t, func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`INSERT INTO casbin_rules (tenant_id, id, ptype, v0, v1, v2) VALUES (?, ?, 'g', ?, 'owner', ?), (?, ?, 'g', ?, 'superadmin', 'platform')`,
			mine, tenant.NewRowID(), staff.String(), rival.String(), mine, tenant.NewRowID(), op.String()).Exec(ctx)
		return err
	})
	if s := b.set(t, b.gate, rival, staff); !s.Empty() {
		t.Error("a rule kept by one board grants on another")
	}
	if s := b.set(t, b.gate, tenant.Nil, op); !s.Empty() {
		t.Error("a rule kept by a board grants on the platform")
	}
	// The app's role, bound to the rival, neither sees nor removes the grant.
	err := b.DB.Write(tenant.With(t.Context(), &tenant.Tenant{ID: rival}), func(ctx context.Context, tx bun.IDB) error {
		return authz.Revoke(ctx, tx, mine, op, authz.Owner)
	})
	if !fault.Is(err, fault.NotFound) {
		t.Errorf("a rival's revoke: %v", err)
	}
	if s := b.set(t, b.gate, mine, op); !s.Can("listing", "read") {
		t.Error("the rival's revoke took the grant")
	}
}

func define(ctx context.Context, tx bun.IDB, board tenant.ID, name string, ps ...authz.Permission) error {
	_, err := authz.DefineRole(ctx, tx, board, name, ps...)
	return err
}

func TestTheLastOwnerStays(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	board, ann, ben := b.Board(t, "alder").ID, tenant.NewRowID(), tenant.NewRowID()
	b.grant(t, board, ann, authz.Owner)
	b.grant(t, board, ben, authz.Viewer)
	for name, fn := range map[string]func(context.Context, bun.IDB) error{
		"revoke": func(ctx context.Context, tx bun.IDB) error { return authz.Revoke(ctx, tx, board, ann, authz.Owner) },
		"remove": func(ctx context.Context, tx bun.IDB) error { return authz.Remove(ctx, tx, board, ann) },
		"change": func(ctx context.Context, tx bun.IDB) error { return authz.Change(ctx, tx, board, ann, authz.Viewer) },
	} {
		if err := b.do(t, fn); !fault.Is(err, fault.Conflict) {
			t.Errorf("%s of the last owner: %v", name, err)
		}
	}
	b.must(t, func(ctx context.Context, tx bun.IDB) error { return authz.Change(ctx, tx, board, ben, authz.Owner) })
	// Both remove the other at one moment: one of them stays.
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i, who := range []uuid.UUID{ann, ben} {
		wg.Go(func() {
			errs[i] = b.do(t, func(ctx context.Context, tx bun.IDB) error { return authz.Remove(ctx, tx, board, who) })
		})
	}
	wg.Wait()
	if (errs[0] == nil) == (errs[1] == nil) {
		t.Errorf("two owners removed each other: %v and %v", errs[0], errs[1])
	}
	if err := b.do(t, func(ctx context.Context, tx bun.IDB) error { return authz.Remove(ctx, tx, board, tenant.NewRowID()) }); !fault.Is(err, fault.NotFound) {
		t.Errorf("removing a stranger: %v", err)
	}
}

func TestNobodyGivesMoreThanTheyHave(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	board, owner := b.Board(t, "alder").ID, tenant.NewRowID()
	b.grant(t, board, owner, authz.Owner)
	admin, _ := authz.BuiltinSet(board, authz.Admin)
	for role, want := range map[string]bool{authz.Owner: false, authz.Admin: true, authz.Finance: true, authz.Editor: true, authz.Viewer: true} {
		err := b.do(t, func(ctx context.Context, tx bun.IDB) error { return authz.MayGive(ctx, tx, admin, board, role) })
		if (err == nil) != want {
			t.Errorf("an admin gives %s: %v", role, err)
		}
	}
	err := b.do(t, func(ctx context.Context, tx bun.IDB) error {
		return authz.MayManage(ctx, tx, admin, board, owner, authz.Viewer)
	})
	if !fault.Is(err, fault.Forbidden) {
		t.Errorf("an admin demotes an owner: %v", err)
	}
}

func TestABoardsOwnRoles(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	board, rival, op := b.Board(t, "alder").ID, b.Board(t, "rival").ID, tenant.NewRowID()
	var role string
	b.must(t, func(ctx context.Context, tx bun.IDB) (err error) {
		role, err = authz.DefineRole(ctx, tx, board, "Night desk", authz.Can("report", "read"), authz.Can("listing", "moderate"))
		return err
	})
	b.grant(t, board, op, role)
	s := b.set(t, b.gate, board, op)
	if s != authz.SetOf(authz.Can("report", "read"), authz.Can("listing", "moderate")) {
		t.Errorf("permissions: %v", s.List())
	}
	if err := b.do(t, func(ctx context.Context, tx bun.IDB) error { return authz.Grant(ctx, tx, rival, op, role) }); !fault.Is(err, fault.Invalid) {
		t.Errorf("another board's role: %v", err)
	}
	// A redefined role holds for who has it already.
	b.must(t, func(ctx context.Context, tx bun.IDB) error {
		return define(ctx, tx, board, "Night desk", authz.Can("page", "write"))
	})
	if s := b.set(t, b.gate, board, op); s != authz.SetOf(authz.Can("page", "write")) {
		t.Errorf("after the change: %v", s.List())
	}
	if err := b.do(t, func(ctx context.Context, tx bun.IDB) error { return authz.DropRole(ctx, tx, board, role) }); !fault.Is(err, fault.Conflict) {
		t.Errorf("dropping a role in use: %v", err)
	}
	b.must(t, func(ctx context.Context, tx bun.IDB) error { return authz.Change(ctx, tx, board, op, authz.Viewer) })
	b.must(t, func(ctx context.Context, tx bun.IDB) error {
		roles, err := authz.Roles(ctx, tx, board)
		if err != nil || len(roles) != 6 || authz.RoleName(roles[5].Name) != "Night desk" {
			t.Errorf("roles: %v, %v", roles, err)
		}
		return authz.DropRole(ctx, tx, board, role)
	})
}

func TestMembersAndBoards(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	alder, birch := b.Board(t, "alder"), b.Board(t, "birch")
	ann, ben := tenant.NewRowID(), tenant.NewRowID()
	b.must(t, func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`INSERT INTO operators (id, email, name) VALUES (?, 'ann@alder.example', 'Ann'), (?, 'ben@alder.example', 'Ben')`, ann, ben).Exec(ctx)
		return err
	})
	b.grant(t, alder.ID, ann, authz.Owner)
	b.grant(t, alder.ID, ann, authz.Finance)
	b.grant(t, alder.ID, ben, authz.Viewer)
	b.grant(t, birch.ID, ann, authz.Editor)
	b.grant(t, tenant.Nil, ann, authz.Support)
	b.must(t, func(ctx context.Context, tx bun.IDB) error {
		m, err := authz.Members(ctx, tx, alder.ID)
		if err != nil || len(m) != 2 || m[0].Email != "ann@alder.example" || !slices.Equal(m[0].Roles, []string{"finance", "owner"}) || m[1].Operator != ben {
			t.Errorf("members: %+v, %v", m, err)
		}
		on, err := authz.BoardsOf(ctx, tx, ann)
		if err != nil || len(on) != 2 || on[0].Board != alder.ID || on[0].Host != "alder.localhost" || !slices.Equal(on[1].Roles, []string{"editor"}) {
			t.Errorf("boards: %+v, %v", on, err)
		}
		return nil
	})
}

func TestAuditLineIsWrittenWithItsAct(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	mine, rival, op := b.Board(t, "mine"), b.Board(t, "rival"), tenant.NewRowID()
	ctx := tenant.WithRequestID(tenant.WithActor(b.Ctx(t, mine), tenant.Actor{Kind: tenant.Operator, ID: op, Label: "Ann"}), "r-1")
	act := authz.Act{Act: "listing.approved", ObjectKind: "listing", ObjectID: "x", Detail: map[string]any{"from": "in_review"}}
	if err := b.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) error { return authz.Record(ctx, tx, act) }); err != nil {
		t.Fatal(err)
	}
	b.must(t, func(ctx context.Context, tx bun.IDB) error {
		return authz.Record(ctx, tx, authz.Act{Act: "board.suspended", Board: mine.ID})
	})
	read := func(board *tenant.Tenant) (lines []authz.Line) {
		err := b.DB.Read(b.Ctx(t, board), func(ctx context.Context, tx bun.IDB) (err error) {
			lines, err = authz.Log(ctx, tx, authz.LogFilter{})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return lines
	}
	lines := read(mine)
	if len(lines) != 2 || lines[0].Act != "board.suspended" || lines[0].ActorKind != tenant.System {
		t.Fatalf("log: %+v", lines)
	}
	if l := lines[1]; l.Actor() != "Ann" || *l.ActorID != op || l.RequestID != "r-1" || l.Detail["from"] != "in_review" {
		t.Errorf("line: %+v", l)
	}
	testkit.EachWall(t, b.World, mine, rival, func(t *testing.T, r *testkit.Rival) {
		r.Nothing(t, "log", func(ctx context.Context, tx bun.IDB) (int, error) {
			l, err := authz.Log(ctx, tx, authz.LogFilter{})
			return len(l), err
		})
	})
	// Nobody rewrites history: neither role may update or delete.
	err := b.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`DELETE FROM audit_log WHERE tenant_id = ?`, mine.ID).Exec(ctx)
		return err
	})
	if err == nil {
		t.Error("the app's role deleted audit lines")
	}
	// And the older page begins where the newer one ended.
	err = b.DB.Read(b.Ctx(t, mine), func(ctx context.Context, tx bun.IDB) error {
		older, err := authz.Log(ctx, tx, authz.LogFilter{Before: lines[0].At, BeforeID: lines[0].ID, Limit: 1})
		if err != nil || len(older) != 1 || older[0].ID != lines[1].ID {
			t.Errorf("older: %+v, %v", older, err)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
