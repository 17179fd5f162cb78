package accounts_test

import (
	"context"
	"encoding/json"
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

// signIn makes a session on the platform's host.
func (d *desk) signIn(t testing.TB, email string) *accounts.SignedIn {
	t.Helper()
	if _, err := d.ops.RequestSignIn(t.Context(), email, "", "en", here); err != nil {
		t.Fatal(err)
	}
	in, err := d.ops.SignIn(t.Context(), accounts.Proof{Token: d.mailTo(t, email).token(t)}, here)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func (d *desk) session(t testing.TB, token string, board *tenant.ID) *accounts.OperatorSession {
	t.Helper()
	s, err := d.ops.SessionByToken(t.Context(), token, board)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLinkIsSpentOnceByAHundredAtATime(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.operator(t, "ann@x.example", "")
	if _, err := d.ops.RequestSignIn(t.Context(), "Ann@X.example", "/staff", "de", here); err != nil {
		t.Fatal(err)
	}
	token := d.mailTo(t, "ann@x.example").token(t)
	for range 3 { // scanners look, and nothing is spent
		if p, err := d.ops.Peek(t.Context(), "sign-in", token); err != nil || p.Email != "ann@x.example" {
			t.Fatalf("peek: %+v, %v", p, err)
		}
	}
	var won, lost atomic.Int32
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			in, err := d.ops.SignIn(t.Context(), accounts.Proof{Token: token}, here)
			switch {
			case err == nil && in.Next == "/staff":
				won.Add(1)
			case fault.Is(err, fault.Gone):
				lost.Add(1)
			default:
				t.Errorf("unexpected: %v", err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || lost.Load() != 99 {
		t.Errorf("%d won and %d lost, want 1 and 99", won.Load(), lost.Load())
	}
	_, err := d.ops.Peek(t.Context(), "sign-in", token)
	is(t, "peek afterwards", err, fault.Gone)
}

func TestLinkExpiresAndIsGoodForItsKindOnly(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.operator(t, "ann@x.example", "")
	if _, err := d.ops.RequestSignIn(t.Context(), "ann@x.example", "", "en", here); err != nil {
		t.Fatal(err)
	}
	token := d.mailTo(t, "ann@x.example").token(t)
	_, err := d.ops.Reset(t.Context(), accounts.Proof{Token: token}, "a fine long password", here)
	is(t, "a sign-in link as a reset", err, fault.Gone)
	_, err = d.ops.Accept(t.Context(), token, "", here)
	is(t, "a sign-in link as an invitation", err, fault.Gone)
	d.clock.Advance(21 * time.Minute)
	_, err = d.ops.SignIn(t.Context(), accounts.Proof{Token: token}, here)
	is(t, "an old link", err, fault.Gone)
	_, err = d.ops.SignIn(t.Context(), accounts.Proof{Token: "nonsense"}, here)
	is(t, "nonsense", err, fault.Gone)
}

func TestCodeIsTriedFiveTimes(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.operator(t, "ann@x.example", "")
	ask := func() (ticket, code string) {
		ticket, err := d.ops.RequestSignIn(t.Context(), "ann@x.example", "", "en", here)
		if err != nil {
			t.Fatal(err)
		}
		return ticket, d.mailTo(t, "ann@x.example").Code
	}
	ticket, code := ask()
	if in, err := d.ops.SignIn(t.Context(), accounts.Proof{Ticket: ticket, Code: code[:3] + " " + code[3:]}, here); err != nil || in.Operator.Email != "ann@x.example" {
		t.Fatalf("the right code: %v", err)
	}
	_, err := d.ops.SignIn(t.Context(), accounts.Proof{Ticket: ticket, Code: code}, here)
	is(t, "the code again", err, fault.Gone)

	ticket, code = ask()
	wrong := "000000"
	if code == wrong {
		wrong = "000001"
	}
	for range 5 {
		_, err := d.ops.SignIn(t.Context(), accounts.Proof{Ticket: ticket, Code: wrong}, here)
		is(t, "a wrong code", err, fault.Invalid)
	}
	_, err = d.ops.SignIn(t.Context(), accounts.Proof{Ticket: ticket, Code: code}, here)
	is(t, "the right code after five wrong ones", err, fault.Gone)

	other, _ := ask()
	_, err = d.ops.SignIn(t.Context(), accounts.Proof{Ticket: other, Code: code}, here)
	is(t, "a code with another page's ticket", err, fault.Invalid)
}

// Whoever asks cannot tell whether an address has an operator: the same answer,
// the same rows, and a mail either way.
func TestUnknownAddressGetsTheSameAnswer(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.operator(t, "ann@x.example", "correct horse battery")
	known, err1 := d.ops.RequestSignIn(t.Context(), "ann@x.example", "", "en", here)
	unknown, err2 := d.ops.RequestSignIn(t.Context(), "eve@x.example", "", "en", here)
	if err1 != nil || err2 != nil || len(known) != len(unknown) {
		t.Errorf("%q %v, %q %v", known, err1, unknown, err2)
	}
	if m := d.mailTo(t, "eve@x.example"); m.Kind != "operator-unknown" || m.Code != "" || m.Board != tenant.Nil {
		t.Errorf("mail to the unknown address: %+v", m)
	}
	_, errKnown := d.ops.SignIn(t.Context(), accounts.Proof{Ticket: known, Code: "abcdef"}, here)
	_, errUnknown := d.ops.SignIn(t.Context(), accounts.Proof{Ticket: unknown, Code: "abcdef"}, here)
	if errKnown.Error() != errUnknown.Error() {
		t.Errorf("codes: %v and %v", errKnown, errUnknown)
	}
	_, wrong := d.ops.SignInWithPassword(t.Context(), "ann@x.example", "not this one", here)
	_, nobody := d.ops.SignInWithPassword(t.Context(), "eve@x.example", "not this one", here)
	is(t, "a wrong password", wrong, fault.Invalid)
	if wrong == nil || nobody == nil || wrong.Error() != nobody.Error() {
		t.Errorf("passwords: %v and %v", wrong, nobody)
	}
}

// The same hashing is done for an address that nobody has.
func TestUnknownAddressTakesTheSameWork(t *testing.T) {
	d := newDesk(t)
	d.operator(t, "ann@x.example", "correct horse battery")
	took := func(email string) time.Duration {
		best := time.Hour
		for range 4 {
			begun := time.Now()
			_, err := d.ops.SignInWithPassword(t.Context(), email, "not this one", here)
			is(t, email, err, fault.Invalid)
			best = min(best, time.Since(begun))
		}
		return best
	}
	known, unknown := took("ann@x.example"), took("eve@x.example")
	if unknown < known/3 || known < unknown/3 {
		t.Errorf("known %s, unknown %s: they can be told apart", known, unknown)
	}
}

func TestPassword(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	o := d.operator(t, "ann@x.example", "")
	for _, p := range []string{"short", "aaaaaaaaaaaa", "ann@x.example"} {
		err := d.ops.SetPassword(t.Context(), o.ID, p)
		is(t, p, err, fault.Invalid)
	}
	if _, err := d.ops.SignInWithPassword(t.Context(), "ann@x.example", "", here); !fault.Is(err, fault.Invalid) {
		t.Errorf("without a password set: %v", err)
	}
	if err := d.ops.SetPassword(t.Context(), o.ID, "correct horse battery"); err != nil {
		t.Fatal(err)
	}
	in, err := d.ops.SignInWithPassword(t.Context(), " ANN@x.example", "correct horse battery", here)
	if err != nil || !d.session(t, in.Token, nil).Operator.HasPassword {
		t.Errorf("sign-in: %v", err)
	}
	for range 12 {
		_, err = d.ops.SignInWithPassword(t.Context(), "ann@x.example", "guess guess guess", here)
	}
	is(t, "guessing on", err, fault.TooMany)
	if accounts.RetryAfter(err) <= 0 {
		t.Error("no word of when to try again")
	}
	is(t, "a stranger's password", d.ops.SetPassword(t.Context(), tenant.NewRowID(), "correct horse battery"), fault.NotFound)
}

func TestResetEndsEverySessionAndOtherLinks(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.operator(t, "ann@x.example", "correct horse battery")
	old := d.signIn(t, "ann@x.example")
	reset := func() string {
		if _, err := d.ops.RequestReset(t.Context(), "ann@x.example", "en", here); err != nil {
			t.Fatal(err)
		}
		return d.mailTo(t, "ann@x.example").token(t)
	}
	first, second := reset(), reset()
	_, err := d.ops.Reset(t.Context(), accounts.Proof{Token: second}, "short", here)
	is(t, "a short password", err, fault.Invalid)
	in, err := d.ops.Reset(t.Context(), accounts.Proof{Token: second}, "another long password", here)
	if err != nil {
		t.Fatalf("a refused password spent the link: %v", err)
	}
	d.session(t, in.Token, nil)
	_, err = d.ops.SessionByToken(t.Context(), old.Token, nil)
	is(t, "the old session", err, fault.SignIn)
	_, err = d.ops.Reset(t.Context(), accounts.Proof{Token: first}, "yet another password", here)
	is(t, "the older link", err, fault.Gone)
	if _, err := d.ops.SignInWithPassword(t.Context(), "ann@x.example", "another long password", here); err != nil {
		t.Error(err)
	}
}

func TestSignUpMakesNothingBeforeItIsConfirmed(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	type form struct{ Slug string }
	ticket, err := d.ops.RequestSignUp(t.Context(), accounts.SignUp{Email: "new@x.example", Name: "Nell", Locale: "de", Data: form{"nells"}}, here)
	if err != nil {
		t.Fatal(err)
	}
	m := d.mailTo(t, "new@x.example")
	if m.Locale != "de" {
		t.Errorf("mail in %s", m.Locale)
	}
	taken := fault.New(fault.Conflict, "taken")
	proof := accounts.Proof{Ticket: ticket, Code: m.Code}
	_, err = d.ops.ConfirmSignUp(t.Context(), proof, here, func(context.Context, bun.IDB, *accounts.Operator, json.RawMessage) error { return taken })
	is(t, "a taken slug", err, fault.Conflict)
	d.platform(t, func(ctx context.Context, tx bun.IDB) error {
		_, err := d.ops.ByEmail(ctx, tx, "new@x.example")
		is(t, "the operator after a refusal", err, fault.NotFound)
		return nil
	})
	var board *tenant.Tenant
	in, err := d.ops.ConfirmSignUp(t.Context(), proof, here, func(ctx context.Context, tx bun.IDB, o *accounts.Operator, data json.RawMessage) error {
		var f form
		if err := json.Unmarshal(data, &f); err != nil {
			return err
		}
		var err error
		board, err = tenant.CreateBoard(ctx, tx, tenant.NewBoard{Slug: f.Slug, Name: "Nell's", Locale: "de", Currency: "EUR", ContactEmail: o.Email}, "localhost")
		if err != nil {
			return err
		}
		return authz.Grant(ctx, tx, board.ID, o.ID, authz.Owner)
	})
	if err != nil || in.Operator.Name != "Nell" {
		t.Fatalf("confirming: %+v, %v", in, err)
	}
	d.session(t, in.Token, nil)
}

func TestSessionsSlideEndAndAreListed(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ann, eve := d.operator(t, "ann@x.example", ""), d.operator(t, "eve@x.example", "")
	a, b, c := d.signIn(t, "ann@x.example"), d.signIn(t, "ann@x.example"), d.signIn(t, "ann@x.example")
	// Used every few days it lives on, until its longest life is over.
	for range 4 {
		d.clock.Advance(6 * 24 * time.Hour)
		d.session(t, a.Token, nil)
	}
	_, err := d.ops.SessionByToken(t.Context(), b.Token, nil)
	is(t, "an unused session", err, fault.SignIn)
	d.clock.Advance(6*24*time.Hour + time.Minute)
	_, err = d.ops.SessionByToken(t.Context(), a.Token, nil)
	is(t, "a session past its longest life", err, fault.SignIn)
	_ = c

	one, two, three := d.signIn(t, "ann@x.example"), d.signIn(t, "ann@x.example"), d.signIn(t, "ann@x.example")
	d.platform(t, func(ctx context.Context, tx bun.IDB) error {
		list, err := d.ops.Sessions(ctx, tx, ann.ID)
		if err != nil || len(list) != 3 || list[0].UserAgent != "test" {
			t.Errorf("sessions: %d, %v", len(list), err)
		}
		return nil
	})
	id := d.session(t, one.Token, nil).ID
	err = d.Platform.Write(t.Context(), func(ctx context.Context, tx bun.IDB) error { return d.ops.EndSession(ctx, tx, eve.ID, id) })
	is(t, "ending somebody else's", err, fault.NotFound)
	d.platform(t, func(ctx context.Context, tx bun.IDB) error { return d.ops.EndSession(ctx, tx, ann.ID, id) })
	_, err = d.ops.SessionByToken(t.Context(), one.Token, nil)
	is(t, "an ended session", err, fault.SignIn)
	keep := d.session(t, two.Token, nil)
	d.platform(t, func(ctx context.Context, tx bun.IDB) error { return d.ops.EndSessions(ctx, tx, ann.ID, keep) })
	d.session(t, two.Token, nil)
	_, err = d.ops.SessionByToken(t.Context(), three.Token, nil)
	is(t, "all the others", err, fault.SignIn)
	board := d.Board(t, "alder").ID
	_, err = d.ops.SessionByToken(t.Context(), two.Token, &board)
	is(t, "the platform's session on a board", err, fault.SignIn)
}
