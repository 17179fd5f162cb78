package accounts_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/internal/fault"
	"shingle/internal/links"
	"shingle/internal/testkit"
	"shingle/tenant"
)

func (d *desk) personIn(t testing.TB, board *tenant.Tenant, email string) *accounts.PersonSignedIn {
	t.Helper()
	if _, err := d.people.RequestSignIn(d.Ctx(t, board), email, "/employers", here); err != nil {
		t.Fatal(err)
	}
	in, err := d.people.SignIn(d.Ctx(t, board), accounts.Proof{Token: d.mailTo(t, strings.ToLower(email)).token(t)}, here)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func (d *desk) on(t testing.TB, board *tenant.Tenant, fn func(ctx context.Context, tx bun.IDB) error) error {
	t.Helper()
	return d.DB.Write(d.Ctx(t, board), fn)
}

func TestOneAddressOnTwoBoardsIsTwoPeople(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	mine, rival := d.Board(t, "mine"), d.Board(t, "rival")
	a, b := d.personIn(t, mine, "pat@x.example"), d.personIn(t, rival, "pat@x.example")
	if a.Person.ID == b.Person.ID || a.Next != "/employers" || a.Person.ConfirmedAt == nil {
		t.Errorf("%+v and %+v", a.Person, b.Person)
	}
	if again := d.personIn(t, mine, "PAT@x.example"); again.Person.ID != a.Person.ID {
		t.Error("the same address made a second person")
	}
	s, err := d.people.SessionByToken(d.Ctx(t, mine), a.Token)
	if err != nil || s.Person.Email != "pat@x.example" || s.Person.ConfirmedAt == nil {
		t.Errorf("session: %+v, %v", s, err)
	}
}

// Another board reaches none of a board's people, sessions and tokens, with the
// true secrets in hand and each wall alone.
func TestARivalReachesNoPeople(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	mine, rival := d.Board(t, "mine"), d.Board(t, "rival")
	a := d.personIn(t, mine, "pat@x.example")
	s, err := d.people.SessionByToken(d.Ctx(t, mine), a.Token)
	if err != nil {
		t.Fatal(err)
	}
	ticket, err := d.people.RequestSignIn(d.Ctx(t, mine), "pat@x.example", "", here)
	if err != nil {
		t.Fatal(err)
	}
	m := d.mailTo(t, "pat@x.example")
	token := m.token(t)
	testkit.EachWall(t, d.World, mine, rival, func(t *testing.T, r *testkit.Rival) {
		people := d.peopleOver(t, r.DB)
		for name, fn := range map[string]tenant.Fn{
			"by id": func(ctx context.Context, tx bun.IDB) error { _, err := people.ByID(ctx, tx, a.Person.ID); return err },
			"by email": func(ctx context.Context, tx bun.IDB) error {
				_, err := people.ByEmail(ctx, tx, "pat@x.example")
				return err
			},
			"rename":      func(ctx context.Context, tx bun.IDB) error { return people.Rename(ctx, tx, a.Person.ID, "Evil") },
			"end session": func(ctx context.Context, tx bun.IDB) error { return people.EndSession(ctx, tx, a.Person.ID, s.ID) },
			"peek": func(ctx context.Context, tx bun.IDB) error {
				_, err := people.Peek(ctx, tx, accounts.KindSignIn, token)
				return err
			},
			"spend": func(ctx context.Context, tx bun.IDB) error {
				_, err := people.Spend(ctx, tx, accounts.KindSignIn, token)
				return err
			},
			"confirm": func(ctx context.Context, tx bun.IDB) error {
				return people.Confirm(ctx, tx, &accounts.Person{ID: a.Person.ID})
			},
			"start session": func(ctx context.Context, tx bun.IDB) error {
				_, err := people.StartSession(ctx, tx, a.Person, here)
				return err
			},
		} {
			r.Try(t, name, fn, fault.NotFound, fault.Gone)
		}
		_, err := people.SessionByToken(r.Ctx, a.Token)
		r.Refused(t, "my session", err, fault.SignIn)
		_, err = people.SignIn(r.Ctx, accounts.Proof{Token: token}, here)
		r.Refused(t, "signing in by link", err, fault.Gone)
		_, err = people.SignIn(r.Ctx, accounts.Proof{Ticket: ticket, Code: m.Code}, here)
		r.Refused(t, "signing in by code", err, fault.Gone)
		_, err = people.PeekSignIn(r.Ctx, token)
		r.Refused(t, "the link's page", err, fault.Gone)
		if err := people.SignOut(r.Ctx, a.Token); err != nil {
			r.Refused(t, "signing out", err)
		}
		r.Nothing(t, "sessions", func(ctx context.Context, tx bun.IDB) (int, error) {
			list, err := people.Sessions(ctx, tx, a.Person.ID)
			return len(list), err
		})
		r.Nothing(t, "ending sessions", func(ctx context.Context, tx bun.IDB) (int, error) {
			return 0, people.EndSessions(ctx, tx, a.Person.ID, "")
		})
		// The same address is another person, made on the rival's own board or not at all.
		err = r.DB.Write(r.Ctx, func(ctx context.Context, tx bun.IDB) error {
			p, err := people.FindOrCreate(ctx, tx, "pat@x.example", "Evil")
			if err == nil && p.ID != a.Person.ID {
				err = fault.New(fault.NotFound, "made anew: undone")
			}
			return err
		})
		r.Refused(t, "by address", err)
	})
	if _, err := d.people.SessionByToken(d.Ctx(t, mine), a.Token); err != nil {
		t.Errorf("the rival ended my session: %v", err)
	}
}

// peopleOver is the service on another door.
func (d *desk) peopleOver(t testing.TB, db *tenant.DB) *accounts.People {
	t.Helper()
	ln, err := links.New("http://localhost:8080", "platform.localhost", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	return accounts.NewPeople(db, accounts.NewLimiter(nil, d.clock.Now), ln, d.clock.Now)
}

// A receipt's link signs its reader in once, within a week.
func TestTheDeskLinkWorksOnceForAWeek(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	board := d.Board(t, "alder")
	link := func() string {
		var to string
		err := d.on(t, board, func(ctx context.Context, tx bun.IDB) error {
			u, lives, err := d.people.DeskLink(ctx, tx, "Bea@x.example")
			if err == nil && lives != 7*24*time.Hour {
				t.Errorf("it lives %s", lives)
			}
			to = sent{URL: u}.token(t)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return to
	}
	first, late := link(), link()
	d.clock.Advance(7*24*time.Hour - time.Minute)
	in, err := d.people.SignIn(d.Ctx(t, board), accounts.Proof{Token: first}, here)
	if err != nil || in.Person.Email != "bea@x.example" || in.Next != "/employers/desk" {
		t.Errorf("after nearly a week: %+v, %v", in, err)
	}
	_, err = d.people.SignIn(d.Ctx(t, board), accounts.Proof{Token: first}, here)
	is(t, "twice", err, fault.Gone)
	d.clock.Advance(2 * time.Minute)
	_, err = d.people.SignIn(d.Ctx(t, board), accounts.Proof{Token: late}, here)
	is(t, "after a week", err, fault.Gone)
}

func TestNobodyIsMadeBeforeTheyComeBack(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	board := d.Board(t, "alder")
	ticket, err := d.people.RequestSignIn(d.Ctx(t, board), "typo@x.example", "https://evil.example/", here)
	if err != nil || len(ticket) != 43 {
		t.Fatal(ticket, err)
	}
	err = d.on(t, board, func(ctx context.Context, tx bun.IDB) error {
		_, err := d.people.ByEmail(ctx, tx, "typo@x.example")
		return err
	})
	is(t, "the person of an unanswered mail", err, fault.NotFound)
	m := d.mailTo(t, "typo@x.example")
	if m.Board != board.ID || !strings.HasPrefix(m.URL, "http://alder.localhost:8080/sign-in/link?token=") {
		t.Errorf("mail: %+v", m)
	}
	in, err := d.people.SignIn(d.Ctx(t, board), accounts.Proof{Ticket: ticket, Code: m.Code}, here)
	if err != nil || in.Next != "" {
		t.Errorf("sign-in by code: %+v, %v", in, err)
	}
	_, err = d.people.SignIn(d.Ctx(t, board), accounts.Proof{Token: m.token(t)}, here)
	is(t, "the link after its code", err, fault.Gone)
}

func TestPersonTokenIsSpentOnceOnItsBoard(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	mine, rival := d.Board(t, "mine"), d.Board(t, "rival")
	type where struct{ Application string }
	var i accounts.Issued
	err := d.on(t, mine, func(ctx context.Context, tx bun.IDB) (err error) {
		i, err = d.people.Issue(ctx, tx, accounts.NewToken{Kind: "withdraw", Email: "Pat@x.example", Payload: where{"a-1"}, Lives: time.Hour})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	spend := func(board *tenant.Tenant, kind string) (tok *accounts.Token, err error) {
		err = d.on(t, board, func(ctx context.Context, tx bun.IDB) (err error) {
			tok, err = d.people.Spend(ctx, tx, kind, i.Token)
			return err
		})
		return tok, err
	}
	_, err = spend(rival, "withdraw")
	is(t, "on the rival board", err, fault.Gone)
	_, err = spend(mine, "cv")
	is(t, "as another kind", err, fault.Gone)
	err = d.on(t, mine, func(ctx context.Context, tx bun.IDB) error {
		var w where
		tok, err := d.people.Peek(ctx, tx, "withdraw", i.Token)
		if err != nil {
			return err
		}
		if err := tok.Decode(&w); err != nil || w.Application != "a-1" || tok.Email != "pat@x.example" {
			t.Errorf("token: %+v, %v", tok, err)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("peek after the rival's try: %v", err)
	}
	err = d.on(t, rival, func(ctx context.Context, tx bun.IDB) error {
		_, err := d.people.Peek(ctx, tx, "withdraw", i.Token)
		return err
	})
	is(t, "the rival's peek", err, fault.Gone)
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if _, err := spend(mine, "withdraw"); err == nil {
				won.Add(1)
			} else if !fault.Is(err, fault.Gone) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d spent it, want 1", won.Load())
	}
}

// An effect that fails leaves its token for the next try.
func TestATokenIsSpentWithItsEffect(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	board := d.Board(t, "alder")
	var i accounts.Issued
	_ = d.on(t, board, func(ctx context.Context, tx bun.IDB) (err error) {
		i, err = d.people.Issue(ctx, tx, accounts.NewToken{Kind: "alert", Lives: time.Hour})
		return err
	})
	_ = d.on(t, board, func(ctx context.Context, tx bun.IDB) error {
		if _, err := d.people.Spend(ctx, tx, "alert", i.Token); err != nil {
			t.Error(err)
		}
		return fault.New(fault.Conflict, "the effect failed")
	})
	err := d.on(t, board, func(ctx context.Context, tx bun.IDB) error {
		_, err := d.people.Spend(ctx, tx, "alert", i.Token)
		return err
	})
	if err != nil {
		t.Errorf("the next try: %v", err)
	}
}

func TestPersonSessions(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	board := d.Board(t, "alder")
	ctx := d.Ctx(t, board)
	one, two := d.personIn(t, board, "pat@x.example"), d.personIn(t, board, "pat@x.example")
	var list []*accounts.PersonSession
	if err := d.on(t, board, func(ctx context.Context, tx bun.IDB) (err error) {
		list, err = d.people.Sessions(ctx, tx, one.Person.ID)
		return err
	}); err != nil || len(list) != 2 {
		t.Fatalf("sessions: %d, %v", len(list), err)
	}
	s, err := d.people.SessionByToken(ctx, one.Token)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.on(t, board, func(ctx context.Context, tx bun.IDB) error { return d.people.EndSessions(ctx, tx, s.Person.ID, s.ID) }); err != nil {
		t.Fatal(err)
	}
	_, err = d.people.SessionByToken(ctx, two.Token)
	is(t, "the other session", err, fault.SignIn)
	for range 5 {
		d.clock.Advance(29 * 24 * time.Hour)
		if _, err := d.people.SessionByToken(ctx, one.Token); err != nil {
			t.Fatalf("a used session: %v", err)
		}
	}
	d.clock.Advance(31 * 24 * time.Hour)
	_, err = d.people.SessionByToken(ctx, one.Token)
	is(t, "an unused session", err, fault.SignIn)
	three := d.personIn(t, board, "pat@x.example")
	if err := d.people.SignOut(ctx, three.Token); err != nil {
		t.Fatal(err)
	}
	_, err = d.people.SessionByToken(ctx, three.Token)
	is(t, "after signing out", err, fault.SignIn)
	_, err = d.people.SessionByToken(ctx, "")
	is(t, "no cookie", err, fault.SignIn)
}

func TestMailsToOneAddressAreLimitedPerBoard(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	mine, other := d.Board(t, "mine"), d.Board(t, "other")
	var err error
	for range 7 {
		_, err = d.people.RequestSignIn(d.Ctx(t, mine), "pat@x.example", "", here)
	}
	is(t, "the seventh mail in an hour", err, fault.TooMany)
	if _, err := d.people.RequestSignIn(d.Ctx(t, other), "pat@x.example", "", here); err != nil {
		t.Errorf("another board: %v", err)
	}
}

// Whoever asks, from wherever and however patiently: an address hears a bounded
// number of times a day, from one board and from all of them.
func TestMailsToOneAddressAreLimitedPerDay(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ask := func(board *tenant.Tenant, n int) bool {
		from := accounts.Client{Address: fmt.Sprintf("2001:db8:%x::1", n)}
		_, err := d.people.RequestSignIn(d.Ctx(t, board), "pat@x.example", "", from)
		if err != nil && !fault.Is(err, fault.TooMany) {
			t.Fatal(err)
		}
		return err == nil
	}
	mine, sent, all := d.Board(t, "mine"), 0, 0
	for n := range 48 { // every half an hour
		if ask(mine, n) {
			sent++
		}
		d.clock.Advance(30 * time.Minute)
	}
	if sent < 20 || sent > 40 {
		t.Errorf("%d mails from one board in a day", sent)
	}
	for b := range 20 {
		board := d.Board(t, fmt.Sprintf("board-%d", b))
		for n := range 6 {
			if ask(board, 100*b+n) {
				all++
			}
		}
	}
	if all > 60 {
		t.Errorf("%d mails from many boards at once", all)
	}
}
