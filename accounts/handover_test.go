package accounts_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/authz"
	"shingle/internal/fault"
	"shingle/tenant"
)

func (d *desk) handOver(t testing.TB, token string, board tenant.ID) *accounts.HandOver {
	t.Helper()
	h, err := d.ops.HandOver(t.Context(), d.session(t, token, nil), board, "/admin/listings")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHandOverIsBoundToItsHostAndSpentOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	mine, rival := d.Board(t, "mine"), d.Board(t, "rival")
	d.operator(t, "ann@x.example", "")
	parent := d.signIn(t, "ann@x.example")
	h := d.handOver(t, parent.Token, mine.ID)
	if h.Host != "mine.localhost" {
		t.Errorf("host %s", h.Host)
	}
	for name, try := range map[string]struct {
		board tenant.ID
		host  string
	}{"another board": {rival.ID, "rival.localhost"}, "the board elsewhere": {mine.ID, "jobs.example.com"}, "another board's row": {rival.ID, "mine.localhost"}} {
		_, err := d.ops.Exchange(t.Context(), try.board, try.host, h.Code, here)
		is(t, name, err, fault.Gone)
	}
	if p, err := d.ops.Peek(t.Context(), "hand-over", h.Code); err != nil || p.Email != "ann@x.example" || p.Board != mine.ID {
		t.Errorf("peek: %+v, %v", p, err)
	}
	var won atomic.Pointer[accounts.SignedIn]
	var n atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			in, err := d.ops.Exchange(t.Context(), mine.ID, "MINE.localhost:8080", h.Code, here)
			if err == nil {
				won.Store(in)
				n.Add(1)
			} else if !fault.Is(err, fault.Gone) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n.Load() != 1 {
		t.Fatalf("%d exchanges, want 1", n.Load())
	}
	in := won.Load()
	if in.Next != "/admin/listings" || in.Board != mine.ID {
		t.Errorf("signed in: %+v", in)
	}
	s := d.session(t, in.Token, &mine.ID)
	if s.Domain() != mine.ID || s.PolicyVersion != mine.PolicyVersion {
		t.Errorf("session: %+v", s)
	}
	_, err := d.ops.SessionByToken(t.Context(), in.Token, &rival.ID)
	is(t, "the session on a rival board", err, fault.SignIn)
	_, err = d.ops.SessionByToken(t.Context(), in.Token, nil)
	is(t, "the board's session on the platform's host", err, fault.SignIn)
	_, err = d.ops.HandOver(t.Context(), s, rival.ID, "")
	is(t, "a hand-over from a board's session", err, fault.SignIn)
}

func TestHandOverLastsAMinute(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	board := d.Board(t, "mine")
	d.operator(t, "ann@x.example", "")
	h := d.handOver(t, d.signIn(t, "ann@x.example").Token, board.ID)
	d.clock.Advance(61 * time.Second)
	_, err := d.ops.Exchange(t.Context(), board.ID, h.Host, h.Code, here)
	is(t, "after a minute", err, fault.Gone)
}

func TestTheParentsEndIsTheChildrensEnd(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	board := d.Board(t, "mine")
	ann := d.operator(t, "ann@x.example", "")
	child := func(parent *accounts.SignedIn) *accounts.SignedIn {
		h := d.handOver(t, parent.Token, board.ID)
		in, err := d.ops.Exchange(t.Context(), board.ID, h.Host, h.Code, here)
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	gone := func(what, token string, on *tenant.ID) {
		t.Helper()
		_, err := d.ops.SessionByToken(t.Context(), token, on)
		is(t, what, err, fault.SignIn)
	}
	// Signing out on the platform's host.
	p := d.signIn(t, "ann@x.example")
	c, open := child(p), d.handOver(t, p.Token, board.ID)
	if err := d.ops.SignOut(t.Context(), p.Token); err != nil {
		t.Fatal(err)
	}
	gone("the child after its parent's sign-out", c.Token, &board.ID)
	_, err := d.ops.Exchange(t.Context(), board.ID, open.Host, open.Code, here)
	is(t, "a code whose session has ended", err, fault.SignIn)
	// Signing out on the board.
	p = d.signIn(t, "ann@x.example")
	c, sibling, other := child(p), child(p), d.signIn(t, "ann@x.example")
	if err := d.ops.SignOut(t.Context(), c.Token); err != nil {
		t.Fatal(err)
	}
	gone("the parent after its child's sign-out", p.Token, nil)
	gone("the sibling", sibling.Token, &board.ID)
	d.session(t, other.Token, nil)
	// Revoked from the list, or by age: a child outlives its parent in no way.
	p = d.signIn(t, "ann@x.example")
	c = child(p)
	id := d.session(t, p.Token, nil).ID
	d.platform(t, func(ctx context.Context, tx bun.IDB) error { return d.ops.EndSession(ctx, tx, ann.ID, id) })
	gone("the child of a revoked session", c.Token, &board.ID)
	p = d.signIn(t, "ann@x.example")
	c = child(p)
	for range 5 { // using the child keeps the parent too
		d.clock.Advance(5 * 24 * time.Hour)
		d.session(t, c.Token, &board.ID)
	}
	d.session(t, p.Token, nil)
	d.clock.Advance(5*24*time.Hour + time.Hour)
	gone("the child past its parent's life", c.Token, &board.ID)
}

// A role given or taken changes the version that the very next request reads.
func TestSessionCarriesThePolicyVersion(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	gate, err := authz.NewGate(d.Platform)
	if err != nil {
		t.Fatal(err)
	}
	board, ann := d.Board(t, "mine"), d.operator(t, "ann@x.example", "")
	p := d.signIn(t, "ann@x.example")
	h := d.handOver(t, p.Token, board.ID)
	c, err := d.ops.Exchange(t.Context(), board.ID, h.Host, h.Code, here)
	if err != nil {
		t.Fatal(err)
	}
	may := func(token string, on *tenant.ID, perm authz.Permission) bool {
		s := d.session(t, token, on)
		set, err := gate.Permissions(t.Context(), s.Operator.ID, s.Domain(), s.PolicyVersion)
		if err != nil {
			t.Fatal(err)
		}
		return set.Has(perm)
	}
	for _, x := range []struct {
		domain     tenant.ID
		on         *tenant.ID
		token      string
		role, rest string
		perm       authz.Permission
	}{{board.ID, &board.ID, c.Token, authz.Editor, authz.Owner, authz.Can("listing", "write")}, {tenant.Nil, nil, p.Token, authz.Support, authz.Superadmin, authz.Can("task", "retry")}} {
		d.platform(t, func(ctx context.Context, tx bun.IDB) error {
			return authz.Grant(ctx, tx, x.domain, tenant.NewRowID(), x.rest)
		})
		if may(x.token, x.on, x.perm) {
			t.Errorf("%s before the grant", x.role)
		}
		d.platform(t, func(ctx context.Context, tx bun.IDB) error { return authz.Grant(ctx, tx, x.domain, ann.ID, x.role) })
		if !may(x.token, x.on, x.perm) {
			t.Errorf("%s after the grant", x.role)
		}
		d.platform(t, func(ctx context.Context, tx bun.IDB) error { return authz.Remove(ctx, tx, x.domain, ann.ID) })
		if may(x.token, x.on, x.perm) {
			t.Errorf("%s after its end", x.role)
		}
	}
}

func TestInvitation(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	board, rival := d.Board(t, "mine"), d.Board(t, "rival")
	owner := d.operator(t, "ann@x.example", "")
	d.platform(t, func(ctx context.Context, tx bun.IDB) error {
		return authz.Grant(ctx, tx, board.ID, owner.ID, authz.Owner)
	})
	admin, _ := authz.BuiltinSet(board.ID, authz.Admin)
	ctx := tenant.WithActor(d.Ctx(t, board), owner.Actor(tenant.Operator))
	invite := func(email, role string) error {
		return d.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
			return d.ops.Invite(ctx, tx, accounts.Invite{Board: board.ID, Email: email, Role: role, Locale: "de", By: admin})
		})
	}
	is(t, "an owner's role from an admin", invite("ben@x.example", authz.Owner), fault.Forbidden)
	is(t, "no such role", invite("ben@x.example", "king"), fault.Invalid)
	is(t, "a member", invite("ann@x.example", authz.Viewer), fault.Conflict)
	if err := invite("ben@x.example", authz.Viewer); err != nil {
		t.Fatal(err)
	}
	older := d.mailTo(t, "ben@x.example")
	if older.Board != board.ID || older.Locale != "de" {
		t.Errorf("mail: %+v", older)
	}
	if err := invite("ben@x.example", authz.Editor); err != nil {
		t.Fatal(err)
	}
	token := d.mailTo(t, "ben@x.example").token(t)
	_, err := d.ops.Accept(t.Context(), older.token(t), "Ben", here)
	is(t, "the older invitation", err, fault.Gone)
	if p, err := d.ops.Peek(t.Context(), "invite", token); err != nil || p.Role != authz.Editor || p.BoardName != board.Name || p.By != "ann@x.example" {
		t.Errorf("peek: %+v, %v", p, err)
	}
	var open []accounts.Invitation
	d.platform(t, func(ctx context.Context, tx bun.IDB) (err error) {
		open, err = d.ops.Invitations(ctx, tx, board.ID)
		return err
	})
	if len(open) != 1 || open[0].Role != authz.Editor {
		t.Fatalf("open: %+v", open)
	}
	err = d.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error { return d.ops.Uninvite(ctx, tx, rival.ID, open[0].ID) })
	is(t, "a rival's uninvite", err, fault.NotFound)
	in, err := d.ops.Accept(t.Context(), token, "Ben", here)
	if err != nil || in.Board != board.ID || in.Operator.Name != "Ben" {
		t.Fatalf("accept: %+v, %v", in, err)
	}
	d.session(t, in.Token, nil)
	d.platform(t, func(ctx context.Context, tx bun.IDB) error {
		roles, err := authz.RolesOf(ctx, tx, board.ID, in.Operator.ID)
		if err != nil || len(roles) != 1 || roles[0] != authz.Editor {
			t.Errorf("roles: %v, %v", roles, err)
		}
		lines, err := authz.Log(ctx, tx, authz.LogFilter{Board: board.ID, Act: "member.joined"})
		if err != nil || len(lines) != 1 {
			t.Errorf("audit: %v, %v", lines, err)
		}
		return nil
	})
	_, err = d.ops.Accept(t.Context(), token, "Ben", here)
	is(t, "accepting twice", err, fault.Gone)
	if err := invite("cleo@x.example", authz.Viewer); err != nil {
		t.Fatal(err)
	}
	d.platform(t, func(ctx context.Context, tx bun.IDB) error {
		open, err := d.ops.Invitations(ctx, tx, board.ID)
		if err != nil || len(open) != 1 {
			t.Fatalf("open: %+v, %v", open, err)
		}
		return d.ops.Uninvite(ctx, tx, board.ID, open[0].ID)
	})
	_, err = d.ops.Accept(t.Context(), d.mailTo(t, "cleo@x.example").token(t), "Cleo", here)
	is(t, "an ended invitation", err, fault.Gone)
}
