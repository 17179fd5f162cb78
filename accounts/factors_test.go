package accounts_test

import (
	"context"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/internal/fault"
)

// sessionOf reads the session on the platform's host anew, as each request does.
func (d *desk) sessionOf(t testing.TB, in *accounts.SignedIn) *accounts.OperatorSession {
	t.Helper()
	s, err := d.ops.SessionByToken(t.Context(), in.Token, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// app sets an authenticator app up for a fresh sign-in and gives its secret and
// the recovery codes.
func (d *desk) app(t testing.TB, in *accounts.SignedIn) (secret string, codes []string) {
	t.Helper()
	setup, err := d.ops.NewTOTP(d.sessionOf(t, in))
	if err != nil {
		t.Fatal(err)
	}
	codes, err = d.ops.AddTOTP(t.Context(), d.sessionOf(t, in), setup.Sealed, d.code(t, setup.Secret, 0), here)
	if err != nil {
		t.Fatal(err)
	}
	return setup.Secret, codes
}

func (d *desk) code(t testing.TB, secret string, later time.Duration) string {
	t.Helper()
	code, err := accounts.CodeAt(secret, d.clock.Now().Add(later))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func (d *desk) password(t testing.TB, email string) *accounts.SignedIn {
	t.Helper()
	in, err := d.ops.SignInWithPassword(t.Context(), email, "correct horse battery", here)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func TestAnAuthenticatorAppIsTheSecondFactor(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.operator(t, "ann@x.example", "correct horse battery")
	first := d.password(t, "ann@x.example")
	s := d.sessionOf(t, first)
	if !s.Proven() || s.Fresh(d.clock.Now()) {
		t.Errorf("without a factor: proven %v, fresh %v", s.Proven(), s.Fresh(d.clock.Now()))
	}
	is(t, "a staff session without a factor", d.ops.Check(s, true, false), fault.StepUp)
	is(t, "a route that wants a fresh one", d.ops.Check(s, false, true), fault.StepUp)
	if err := d.ops.Check(s, false, false); err != nil {
		t.Errorf("another route: %v", err)
	}
	setup, err := d.ops.NewTOTP(s)
	if err != nil || len(setup.QR) < 200 {
		t.Fatalf("%v, a QR of %d", err, len(setup.QR))
	}
	_, err = d.ops.AddTOTP(t.Context(), s, setup.Sealed, "000000", here)
	is(t, "a wrong first code", err, fault.Invalid)
	// Made for one operator, it is nothing to another.
	d.operator(t, "eve@x.example", "correct horse battery")
	eve := d.password(t, "eve@x.example")
	_, err = d.ops.AddTOTP(t.Context(), d.sessionOf(t, eve), setup.Sealed, d.code(t, setup.Secret, 0), here)
	is(t, "another operator's set-up", err, fault.Gone)

	codes, err := d.ops.AddTOTP(t.Context(), s, setup.Sealed, d.code(t, setup.Secret, 0), here)
	if err != nil || len(codes) != 10 {
		t.Fatalf("%d codes, %v", len(codes), err)
	}
	if m := d.mailTo(t, "ann@x.example"); m.Kind != "operator-security" {
		t.Errorf("told by %q", m.Kind)
	}
	if err := d.ops.Check(d.sessionOf(t, first), true, true); err != nil {
		t.Errorf("after setting it up: %v", err)
	}
	var rows string
	d.platform(t, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT (SELECT string_agg(t::text, '') FROM operator_totp AS t) || (SELECT string_agg(r::text, '') FROM operator_recovery_codes AS r)`).Scan(ctx, &rows)
	})
	for _, clear := range append(codes, strings.ReplaceAll(setup.Secret, " ", "")) {
		if strings.Contains(rows, clear) || strings.Contains(rows, strings.ReplaceAll(clear, "-", "")) {
			t.Errorf("%q stands in the rows", clear)
		}
	}

	// The next sign-in is half: nothing but the second factor opens.
	in := d.password(t, "ann@x.example")
	half := d.sessionOf(t, in)
	is(t, "a half session", d.ops.Check(half, false, false), fault.StepUp)
	_, err = d.ops.NewTOTP(half)
	is(t, "a half session that sets another app up", err, fault.StepUp)
	is(t, "that removes it", d.ops.RemoveTOTP(t.Context(), half), fault.StepUp)
	_, err = d.ops.NewRecoveryCodes(t.Context(), half)
	is(t, "that makes recovery codes", err, fault.StepUp)
	is(t, "that changes the password", d.ops.ChangePassword(t.Context(), half, "correct horse battery", "another long password", here), fault.StepUp)
	is(t, "that changes the address", d.ops.RequestAddress(t.Context(), half, "new@x.example", "correct horse battery", here), fault.StepUp)
	_, err = d.ops.AskNewPasskey(t.Context(), half)
	is(t, "that makes a passkey", err, fault.StepUp)

	is(t, "the step that was taken", d.ops.ProveByCode(t.Context(), half, d.code(t, setup.Secret, 0), here), fault.Invalid)
	is(t, "a step before it", d.ops.ProveByCode(t.Context(), half, d.code(t, setup.Secret, -30*time.Second), here), fault.Invalid)
	d.clock.Advance(time.Hour)
	is(t, "two steps late", d.ops.ProveByCode(t.Context(), half, d.code(t, setup.Secret, -60*time.Second), here), fault.Invalid)
	late := d.code(t, setup.Secret, -30*time.Second)
	if err := d.ops.ProveByCode(t.Context(), half, late[:3]+" "+late[3:], here); err != nil {
		t.Fatalf("one step late: %v", err)
	}
	if err := d.ops.ProveByCode(t.Context(), half, d.code(t, setup.Secret, 30*time.Second), here); err != nil {
		t.Errorf("one step early: %v", err)
	}
	is(t, "the step of now, after a later one", d.ops.ProveByCode(t.Context(), half, d.code(t, setup.Secret, 0), here), fault.Invalid)
	full := d.sessionOf(t, in)
	if err := d.ops.Check(full, true, true); err != nil {
		t.Errorf("proven: %v", err)
	}
	d.clock.Advance(accounts.StepUpFor)
	full = d.sessionOf(t, in)
	is(t, "a quarter of an hour later", d.ops.Check(full, false, true), fault.StepUp)
	if err := d.ops.Check(full, true, false); err != nil {
		t.Errorf("what needs no fresh proof: %v", err)
	}
}

func TestOneCodeIsTakenOnceByManyAtATime(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.operator(t, "ann@x.example", "correct horse battery")
	secret, _ := d.app(t, d.password(t, "ann@x.example"))
	d.clock.Advance(time.Hour)
	code := d.code(t, secret, 0)
	var taken atomic.Int32
	var wg sync.WaitGroup
	for range 5 { // as many as the limit lets try
		in := d.sessionOf(t, d.password(t, "ann@x.example"))
		wg.Go(func() {
			if d.ops.ProveByCode(t.Context(), in, code, here) == nil {
				taken.Add(1)
			}
		})
	}
	wg.Wait()
	if taken.Load() != 1 {
		t.Errorf("one code was taken %d times", taken.Load())
	}
}

func TestGuessingASecondFactorIsLimited(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.operator(t, "ann@x.example", "correct horse battery")
	secret, codes := d.app(t, d.password(t, "ann@x.example"))
	d.clock.Advance(time.Hour)
	var err error
	for i := range 12 {
		// Sessions and networks of one's own do not help.
		c := accounts.Client{Address: "198.51.100." + string(rune('1'+i%9))}
		s := d.sessionOf(t, d.password(t, "ann@x.example"))
		if err = d.ops.ProveByCode(t.Context(), s, "000000", c); fault.Is(err, fault.TooMany) {
			is(t, "the right code", d.ops.ProveByCode(t.Context(), s, d.code(t, secret, 0), c), fault.TooMany)
			is(t, "a recovery code", d.ops.ProveByRecovery(t.Context(), s, codes[0], c), fault.TooMany)
			return
		}
	}
	t.Errorf("twelve guesses: %v", err)
}

func TestRecoveryCodesWorkOnceEach(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.operator(t, "ann@x.example", "correct horse battery")
	_, codes := d.app(t, d.password(t, "ann@x.example"))
	d.operator(t, "eve@x.example", "correct horse battery")
	d.app(t, d.password(t, "eve@x.example"))
	d.clock.Advance(time.Hour)
	in := d.password(t, "ann@x.example")
	eve := d.sessionOf(t, d.password(t, "eve@x.example"))
	is(t, "another operator's code", d.ops.ProveByRecovery(t.Context(), eve, codes[0], here), fault.Invalid)
	if err := d.ops.ProveByRecovery(t.Context(), d.sessionOf(t, in), " "+strings.ToUpper(strings.ReplaceAll(codes[0], "-", " ")), here); err != nil {
		t.Fatal(err)
	}
	is(t, "a second time", d.ops.ProveByRecovery(t.Context(), d.sessionOf(t, in), codes[0], here), fault.Invalid)
	left := func() (n int) {
		d.platform(t, func(ctx context.Context, tx bun.IDB) error {
			f, err := d.ops.FactorsOf(ctx, tx, d.sessionOf(t, in).Operator.ID)
			n = f.CodesLeft
			return err
		})
		return n
	}
	if left() != 9 {
		t.Errorf("%d codes left, want 9", left())
	}
	again, err := d.ops.NewRecoveryCodes(t.Context(), d.sessionOf(t, in))
	if err != nil || len(again) != 10 || left() != 10 {
		t.Fatalf("made anew: %d, %d left, %v", len(again), left(), err)
	}
	is(t, "an old code", d.ops.ProveByRecovery(t.Context(), d.sessionOf(t, in), codes[1], here), fault.Invalid)
	if err := d.ops.ProveByRecovery(t.Context(), d.sessionOf(t, in), again[9], here); err != nil {
		t.Error(err)
	}
	// Without a factor there is nothing to recover.
	if err := d.ops.RemoveTOTP(t.Context(), d.sessionOf(t, in)); err != nil {
		t.Fatal(err)
	}
	if left() != 0 {
		t.Errorf("%d codes left after the last factor", left())
	}
	_, err = d.ops.NewRecoveryCodes(t.Context(), d.sessionOf(t, in))
	is(t, "codes without a factor", err, fault.StepUp)
}

func TestABoardsSessionHasWhatTheParentHadProven(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	board := d.Board(t, "orbit")
	d.operator(t, "ann@x.example", "correct horse battery")
	in := d.password(t, "ann@x.example")
	over := func() *accounts.OperatorSession {
		t.Helper()
		h, err := d.ops.HandOver(t.Context(), d.sessionOf(t, in), board.ID, "/admin/payouts")
		if err != nil {
			t.Fatal(err)
		}
		child, err := d.ops.Exchange(t.Context(), board.ID, h.Host, h.Code, here)
		if err != nil {
			t.Fatal(err)
		}
		s, err := d.ops.SessionByToken(t.Context(), child.Token, &board.ID)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := over()
	is(t, "payouts without a factor", d.ops.Check(before, false, true), fault.StepUp)
	secret, _ := d.app(t, in)
	if err := d.ops.Check(over(), false, true); err != nil {
		t.Errorf("handed over after the proof: %v", err)
	}
	// A proof on the platform's host does not reach who holds an older child.
	if !before.FactorAt.IsZero() {
		t.Error("the older child is proven")
	}
	d.clock.Advance(time.Hour)
	old := over()
	is(t, "handed over an hour after", d.ops.Check(old, false, true), fault.StepUp)
	is(t, "a proof at the board", d.ops.ProveByCode(t.Context(), old, d.code(t, secret, 0), here), fault.SignIn)
	_, err := d.ops.NewTOTP(old)
	is(t, "a change at the board", err, fault.SignIn)
}

func TestForgottenFactorsEndTheSessions(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	o := d.operator(t, "ann@x.example", "correct horse battery")
	in := d.password(t, "ann@x.example")
	d.app(t, in)
	d.platform(t, func(ctx context.Context, tx bun.IDB) error { return d.ops.ForgetFactors(ctx, tx, o) })
	_, err := d.ops.SessionByToken(t.Context(), in.Token, nil)
	is(t, "the session", err, fault.SignIn)
	if s := d.sessionOf(t, d.password(t, "ann@x.example")); s.HasFactor || !s.Proven() {
		t.Error("a factor is left")
	}
	if m := d.mailTo(t, "ann@x.example"); m.Kind != "operator-security" {
		t.Errorf("told by %q", m.Kind)
	}
}

func TestAnAddressChangesWhenBothAgree(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.operator(t, "ann@x.example", "correct horse battery")
	d.operator(t, "taken@x.example", "")
	in := d.password(t, "ann@x.example")
	is(t, "a wrong password", d.ops.RequestAddress(t.Context(), d.sessionOf(t, in), "new@x.example", "guess guess", here), fault.Invalid)
	is(t, "the same address", d.ops.RequestAddress(t.Context(), d.sessionOf(t, in), "ANN@x.example", "correct horse battery", here), fault.Invalid)
	ask := func(email string) (old, fresh string) {
		t.Helper()
		if err := d.ops.RequestAddress(t.Context(), d.sessionOf(t, in), email, "correct horse battery", here); err != nil {
			t.Fatal(err)
		}
		return d.mailTo(t, "ann@x.example").token(t), d.mailTo(t, email).token(t)
	}
	// What somebody else has is refused at the end alone, to who reads both mails.
	old, fresh := ask("taken@x.example")
	if done, err := d.ops.ConfirmAddress(t.Context(), old); done || err != nil {
		t.Errorf("the old address of a taken one: %v %v", done, err)
	}
	_, err := d.ops.ConfirmAddress(t.Context(), fresh)
	is(t, "a taken address", err, fault.Conflict)

	stale, _ := ask("first@x.example")
	old, fresh = ask("new@x.example")
	_, err = d.ops.ConfirmAddress(t.Context(), stale)
	is(t, "an earlier change's link", err, fault.Gone)
	if done, err := d.ops.ConfirmAddress(t.Context(), fresh); done || err != nil {
		t.Errorf("the new address alone: %v %v", done, err)
	}
	_, err = d.ops.ConfirmAddress(t.Context(), fresh)
	is(t, "the same side twice", err, fault.Gone)
	d.sessionOf(t, in)
	if _, err := d.ops.RequestSignIn(t.Context(), "ann@x.example", "", "en", here); err != nil {
		t.Fatal(err)
	}
	link := d.mailTo(t, "ann@x.example").token(t)
	if done, err := d.ops.ConfirmAddress(t.Context(), old); !done || err != nil {
		t.Fatalf("both: %v %v", done, err)
	}
	_, err = d.ops.SessionByToken(t.Context(), in.Token, nil)
	is(t, "the session", err, fault.SignIn)
	_, err = d.ops.SignIn(t.Context(), accounts.Proof{Token: link}, here)
	is(t, "a sign-in link in the old mailbox", err, fault.Gone)
	for _, email := range []string{"ann@x.example", "new@x.example"} {
		if m := d.mailTo(t, email); m.Kind != "operator-security" {
			t.Errorf("%s is told by %q", email, m.Kind)
		}
	}
	d.password(t, "new@x.example")
	_, err = d.ops.SignInWithPassword(t.Context(), "ann@x.example", "correct horse battery", here)
	is(t, "the old address", err, fault.Invalid)
}

func TestAPasswordChangesWithTheOldOne(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.operator(t, "ann@x.example", "correct horse battery")
	in, other := d.password(t, "ann@x.example"), d.password(t, "ann@x.example")
	is(t, "without the present one", d.ops.ChangePassword(t.Context(), d.sessionOf(t, in), "guess guess", "another long password", here), fault.Invalid)
	is(t, "a short one", d.ops.ChangePassword(t.Context(), d.sessionOf(t, in), "correct horse battery", "short", here), fault.Invalid)
	if err := d.ops.ChangePassword(t.Context(), d.sessionOf(t, in), "correct horse battery", "another long password", here); err != nil {
		t.Fatal(err)
	}
	d.sessionOf(t, in)
	_, err := d.ops.SessionByToken(t.Context(), other.Token, nil)
	is(t, "the other session", err, fault.SignIn)
	if m := d.mailTo(t, "ann@x.example"); m.Kind != "operator-security" {
		t.Errorf("told by %q", m.Kind)
	}
	// With a second factor a fresh proof takes the password's place.
	d.app(t, in)
	if err := d.ops.ChangePassword(t.Context(), d.sessionOf(t, in), "", "a third long password", here); err != nil {
		t.Error(err)
	}
}

// What the migration made can be taken back while it is in use, and made again.
func TestTheFactorsMigrationGoesDownAndUp(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.operator(t, "ann@x.example", "correct horse battery")
	in := d.password(t, "ann@x.example")
	if _, err := d.ops.AskNewPasskey(t.Context(), d.sessionOf(t, in)); err != nil {
		t.Fatal(err)
	}
	d.app(t, in)
	owner := d.PG.Open(t, d.PG.Owner, 1)
	for _, way := range []string{"down", "up"} {
		raw, err := os.ReadFile("../migrations/20261125001400_factors.tx." + way + ".sql")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := owner.ExecContext(t.Context(), string(raw)); err != nil {
			t.Fatalf("%s: %v", way, err)
		}
	}
	if s := d.sessionOf(t, in); s.HasFactor || !s.FactorAt.IsZero() {
		t.Error("a factor is left")
	}
	d.app(t, in)
}
