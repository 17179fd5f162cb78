package plans

import (
	"context"
	"testing"
	"time"

	"github.com/uptrace/bun"
	"pgregory.net/rapid"

	"shingle/billing/stripesim"
	"shingle/internal/fault"
)

func TestTheLadderIsAFunctionOfTime(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		after time.Duration
		want  Step
	}{
		{-time.Second, Paid}, {0, Grace}, {14*day - time.Second, Grace}, {14 * day, ReadOnly}, {21*day - 1, ReadOnly}, {21 * day, NoIndex}, {30*day - 1, NoIndex},
		{30 * day, Suspended}, {37*day - 1, Suspended}, {37 * day, Export}, {90*day - 1, Export}, {90 * day, Deletable}, {4000 * day, Deletable},
	} {
		if got := DefaultSchedule.Due(since, since.Add(c.after)); got != c.want {
			t.Errorf("after %s: %q, want %q", c.after, got, c.want)
		}
	}
	if got := DefaultSchedule.Due(time.Time{}, since); got != Paid {
		t.Errorf("paid: %q", got)
	}
	if !Suspended.At(ReadOnly) || Grace.At(ReadOnly) || !Grace.At(Grace) || Paid.At(Grace) {
		t.Error("the steps are out of order")
	}
}

// However the walk is timed, a board goes down one step at a time with a notice
// between, never further than what is due, and comes to what is due in the end.
func TestTheWalkLeavesNoticeBetweenSteps(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		since := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		now, at, taken := since.Add(-time.Hour), Paid, time.Time{}
		for range rapid.IntRange(1, 60).Draw(t, "walks") {
			now = now.Add(time.Duration(rapid.IntRange(0, 40*24).Draw(t, "hours")) * time.Hour)
			to := DefaultSchedule.walk(at, taken, since, now)
			if to == at {
				continue
			}
			next, _ := DefaultSchedule.Next(at)
			if to != next.Step || !DefaultSchedule.Due(since, now).At(to) {
				t.Fatalf("from %q to %q when %q was due", at, to, DefaultSchedule.Due(since, now))
			}
			if !taken.IsZero() && now.Sub(taken) < notice {
				t.Fatalf("%q only %s after %q", to, now.Sub(taken), at)
			}
			at, taken = to, now
		}
		for range 10 {
			now = now.Add(40 * day)
			at, taken = DefaultSchedule.walk(at, taken, since, now), now
		}
		if at != Deletable || DefaultSchedule.walk(at, taken, time.Time{}, now) != Paid {
			t.Fatalf("ends at %q", at)
		}
	})
}

// A year of a board: it tries, pays, grows, its card fails, it goes down the
// ladder, pays, is whole again at once, and leaves. Its customer lives in a test
// clock, which the year is walked by.
func TestAYearOfABoard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.freeze(t)
	begun := w.clock()
	w.want(t, "sign-up", Trial, Paid, w.middle)
	w.pass(t, 10)
	w.wantMails(t, "ten days in")
	w.pass(t, 1)
	w.wantMails(t, "three days before the trial's end", "trial")
	w.subscribe(t, w.small, Month) // less than two days of trial would be charged at once
	w.wantMails(t, "subscribed", "changed subscribed")
	w.to(t, begun.Add(20*day))
	w.want(t, "paid", Active, Paid, w.small)
	w.wantMails(t, "a first payment needs no mail of ours")

	w.to(t, begun.Add(60*day))
	if _, err := w.s.Change(w.ctx, w.board.ID, w.price(t, w.large, Month), time.Time{}); err != nil {
		t.Fatal(err)
	}
	w.want(t, "grown", Active, Paid, w.large)
	w.wantMails(t, "grown", "changed changed")

	// The card fails at the next period.
	if err := w.sim.SetCard(w.row(t).Customer, stripesim.CardInsufficient); err != nil {
		t.Fatal(err)
	}
	due := *w.row(t).PeriodEnd
	w.to(t, due.Add(time.Hour))
	w.want(t, "failed", PastDue, Grace, w.large)
	if since := w.row(t).UnpaidSince; since == nil || !since.Equal(due) {
		t.Fatalf("unpaid since %v, want %s", since, due)
	}
	w.wantMails(t, "failed", "failed", "step grace")
	w.to(t, due.Add(14*day-time.Hour))
	w.wantMails(t, "two retries", "failed", "failed")
	w.want(t, "grace", PastDue, Grace, w.large)
	w.to(t, due.Add(14*day+time.Hour))
	w.want(t, "read-only", PastDue, ReadOnly, w.large)
	w.wantMails(t, "read-only", "step read_only")
	w.to(t, due.Add(22*day))
	w.want(t, "noindex", PastDue, NoIndex, w.large)
	w.wantMails(t, "the last retry", "failed", "step noindex")
	w.to(t, due.Add(31*day))
	w.want(t, "suspended", PastDue, Suspended, w.large)
	w.wantMails(t, "suspended", "step suspended")
	w.to(t, due.Add(38*day))
	w.want(t, "export", PastDue, Export, w.large)
	w.wantMails(t, "export", "step export")
	w.to(t, due.Add(60*day))
	w.wantMails(t, "nothing more to say")
	if ahead := w.s.Ahead(w.row(t)); len(ahead) != 1 || ahead[0].Step != Deletable || !ahead[0].DueAt.Equal(due.Add(90*day)) {
		t.Errorf("ahead lies %+v", ahead)
	}

	// Paying undoes all of it, at once.
	for _, in := range w.invoices(t) {
		if in.Open() {
			if err := w.sim.PayInvoice(in.ID); err == nil {
				t.Fatal("a card without money paid")
			}
			if err := w.sim.SetCard(w.row(t).Customer, stripesim.CardOK); err != nil {
				t.Fatal(err)
			}
			if err := w.sim.PayInvoice(in.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.deliver(t)
	w.want(t, "paid again", Active, Paid, w.large)
	w.wantMails(t, "paid again", "restored")
	steps := w.steps(t)
	if len(steps) != 5 {
		t.Fatalf("%d steps: %+v", len(steps), steps)
	}
	for i, want := range []Step{Export, Suspended, NoIndex, ReadOnly, Grace} {
		st := steps[i]
		if st.Step != want || st.UndoneAt == nil || !st.DueAt.Equal(DefaultSchedule.When(due, want)) || st.At.Before(st.DueAt) || st.At.Sub(st.DueAt) > day {
			t.Errorf("step %d is %+v, want %s within a day of its time, undone", i, st, want)
		}
	}

	w.to(t, begun.Add(300*day))
	w.want(t, "months later", Active, Paid, w.large)
	w.mails(t)
	if _, err := w.s.Cancel(w.ctx, w.board.ID); err != nil {
		t.Fatal(err)
	}
	w.wantMails(t, "cancelled", "changed cancelled")
	end := *w.row(t).PeriodEnd
	w.to(t, end.Add(-time.Hour))
	w.want(t, "still paid", Active, Paid, w.large)
	w.to(t, end.Add(time.Hour))
	w.want(t, "over", Ended, Grace, w.large)
	w.wantMails(t, "over", "step grace")
	if b := w.row(t); b.Subscribed() || !b.UnpaidSince.Equal(end) {
		t.Errorf("after the end: %+v", b)
	}
	w.to(t, begun.Add(365*day))
	if w.row(t).State != Ended || !w.row(t).Step.At(ReadOnly) {
		t.Errorf("at the year's end: %+v", w.row(t))
	}
}

func (w *world) steps(t *testing.T) (out []Taken) {
	t.Helper()
	err := w.DB.Read(w.ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		out, err = w.s.Steps(ctx, tx, w.board.ID)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Demo boards and comped ones are never on the ladder, and a gift takes a board
// off it; its end puts it on again.
func TestGiftsAndDemosAreOffTheLadder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.staff(t, func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`UPDATE boards SET demo = true WHERE id = ?`, w.board.ID).Exec(ctx)
		return err
	})
	w.pass(t, 60)
	w.want(t, "a demo", Trial, Paid, w.middle)
	w.staff(t, func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`UPDATE boards SET demo = false WHERE id = ?`, w.board.ID).Exec(ctx)
		return err
	})
	w.pass(t, 40)
	w.want(t, "no demo any more", Ended, Export, w.middle)
	until := w.clock().Add(30 * day)
	wantKind(t, w.s.Comp(t.Context(), w.board.ID, " ", &until), fault.Invalid)
	past := w.clock().Add(-day)
	wantKind(t, w.s.Comp(t.Context(), w.board.ID, "A partner", &past), fault.Invalid)
	w.mails(t)
	if err := w.s.Comp(t.Context(), w.board.ID, "A partner", &until); err != nil {
		t.Fatal(err)
	}
	w.want(t, "comped", Comped, Paid, w.middle)
	w.wantMails(t, "comped", "restored")
	w.pass(t, 29)
	w.want(t, "still comped", Comped, Paid, w.middle)
	w.pass(t, 2)
	w.want(t, "the gift is over", Ended, Grace, w.middle)
	wantKind(t, w.s.EndComp(t.Context(), w.board.ID), fault.Conflict)

	if err := w.s.ExtendTrial(t.Context(), w.board.ID, 10); err != nil {
		t.Fatal(err)
	}
	w.want(t, "tries again", Trial, Paid, w.middle)
	if got := w.row(t).TrialDaysLeft(w.clock()); got != 10 {
		t.Errorf("%d days left, want 10", got)
	}
}
