package stripesim

import (
	"context"
	"fmt"
	"time"
)

// billingClock is the time of subscriptions that no test clock holds: it runs
// with the machine's and can be moved ahead. Everything else (sessions,
// deliveries, signatures) keeps the machine's time.
type billingClock struct {
	head
	Ahead int64 `json:"ahead"` // seconds
}

const clockRow = "sim_clock"

// clock is the time that the customers of a test clock live in, Unix seconds; of
// all others when test is nil. While periods are being ended it stands at the
// end of the one at hand.
func (t *tx) clock(test *string) int64 {
	switch {
	case t.at != 0:
		return t.at
	case test != nil:
		return known[testClock](t, *test).FrozenTime
	}
	if r := t.row(clockRow); r != nil {
		return t.now.Unix() + decode[billingClock](r).Ahead
	}
	return t.now.Unix()
}

// Clock is the time of subscriptions that no test clock holds.
func (s *Sim) Clock() (now time.Time) {
	_ = s.read(func(t *tx) error { now = time.Unix(t.clock(nil), 0).UTC(); return nil })
	return now
}

// Advance moves that time ahead to a moment: periods end, invoices are made,
// collected and retried in their order, and webhooks tell of each. Going back is
// an error.
func (s *Sim) Advance(to time.Time) error {
	err := s.update(func(t *tx) error {
		if to.Unix() < t.clock(nil) {
			return invalid("", "frozen_time", "The clock can only be advanced.")
		}
		t.put("", &billingClock{head: head{ID: clockRow, Object: kClock, Created: t.now.Unix()}, Ahead: to.Unix() - t.now.Unix()})
		return nil
	})
	if err != nil {
		return err
	}
	return s.update(bill)
}

// advanceDays is Advance by a button: a day after the other, each waited for by
// those who follow the clock, so that they live through every one.
func (s *Sim) advanceDays(ctx context.Context, days int64) error {
	for range days {
		if err := s.Advance(s.Clock().AddDate(0, 0, 1)); err != nil {
			return err
		}
		if s.opt.Advanced == nil {
			continue
		}
		if err := s.opt.Advanced(ctx); err != nil {
			return fmt.Errorf("the clock is at %s, and who follows it says: %w", s.Clock().Format("2 January 2006"), err)
		}
	}
	return nil
}

// SetCard gives a customer the card that its invoices are collected from.
func (s *Sim) SetCard(customerID, number string) error {
	return s.update(func(t *tx) error {
		if _, ok := cardOf(number); !ok {
			return declined("incorrect_number", "", "Your card number is incorrect.")
		}
		r := t.row(customerID)
		if r == nil || r.Kind != kCustomer {
			return missing(kCustomer, customerID, "customer")
		}
		t.setCard(r.Account, customerID, number)
		return nil
	})
}

// PayInvoice pays an open invoice with the customer's card, as the button of its
// page does. A refused card is an *Error, and the failed try is kept.
func (s *Sim) PayInvoice(id string) error {
	var refused *Error
	err := s.update(func(t *tx) error {
		r := t.row(id)
		if r == nil || r.Kind != kInvoice {
			return missing(kInvoice, id, "invoice")
		}
		in := decode[invoice](r)
		if in.Status != "open" || in.Subscription == nil {
			return invalid("", "", "This invoice is %s.", in.Status)
		}
		sub := known[subscription](t, *in.Subscription)
		retry, was := in.NextPaymentAttempt, sub.Status
		if refused = t.collectBill(r.Account, sub, in, true); refused != nil {
			in.NextPaymentAttempt = retry
			return nil
		}
		t.put(r.Account, sub)
		if sub.Status != was {
			t.emit(r.Account, "customer.subscription.updated", sub, nil)
		}
		return nil
	})
	if err == nil && refused != nil {
		return refused
	}
	return err
}

// due is what time does next to a subscription or an invoice.
type due struct {
	at    int64
	clock string // the test clock whose time that is, or ""
	do    func(t *tx, owner, id string)
}

// timing is a due as the store keeps it.
type timing struct {
	at    int64
	clock string
}

// dueOf is when time next does something to a row; false for never.
func dueOf(r *row) (due, bool) {
	switch {
	case r.Body == nil:
	case r.Kind == kSubscription:
		s := decode[subscription](r)
		if !s.live() {
			break
		}
		if s.Status == "trialing" && !s.Warned {
			return due{*s.TrialEnd - 3*daySeconds, text(s.TestClock), warnTrial}, true
		}
		return due{s.CurrentPeriodEnd, text(s.TestClock), endPeriod}, true
	case r.Kind == kInvoice:
		if in := decode[invoice](r); in.Status == "open" && in.NextPaymentAttempt != nil {
			return due{*in.NextPaymentAttempt, text(in.TestClock), retryBill}, true
		}
	}
	return due{}, false
}

// bill does all that time has brought since, oldest first, and then what the
// test clocks that are advancing bring.
func bill(t *tx) error {
	if err := t.bill("", t.clock(nil)); err != nil {
		return err
	}
	return finishAdvancing(t)
}

// bill does what is due by now on one clock, oldest first.
func (t *tx) bill(clock string, now int64) error {
	defer func() { t.at = 0 }()
	for range 10_000 {
		id, d := t.nextDue(clock, now)
		if id == "" {
			return nil
		}
		t.at = max(d.at, t.at)
		d.do(t, t.owner(id), id)
	}
	return invalid("", "", "The clock was moved too far at once.")
}

func (t *tx) nextDue(clock string, now int64) (first string, what due) {
	offer := func(id string) {
		r := t.row(id)
		if r == nil {
			return
		}
		if d, ok := dueOf(r); ok && d.clock == clock && d.at <= now && (first == "" || d.at < what.at || d.at == what.at && r.Seq < t.row(first).Seq) {
			first, what = id, d
		}
	}
	for id, at := range t.db.timed {
		if at.clock == clock && at.at <= now && t.staged[id] == nil {
			offer(id)
		}
	}
	for id := range t.staged {
		offer(id)
	}
	return first, what
}

func warnTrial(t *tx, owner, id string) {
	s := known[subscription](t, id)
	s.Warned = true
	t.put(owner, s)
	t.emit(owner, "customer.subscription.trial_will_end", s, nil)
}

// endPeriod begins the next period, or ends the subscription.
func endPeriod(t *tx, owner, id string) {
	s := known[subscription](t, id)
	if s.CancelAtPeriodEnd {
		t.endSubscription(owner, s)
		return
	}
	t.nextPhase(owner, s)
	s.CurrentPeriodStart = s.CurrentPeriodEnd
	if s.Status == "trialing" {
		s.Status = "active"
	}
	s.CurrentPeriodEnd = addInterval(s.CurrentPeriodStart, s.price().Recurring)
	in := t.newBill(owner, s, "subscription_cycle", []billLine{periodLine(s, s.price(), t.productName(s.price()))})
	if s.Status == "unpaid" { // Stripe leaves the invoices of an unpaid one as drafts
		in.Status = "draft"
		t.put(owner, in)
	} else {
		_ = t.collectBill(owner, s, in, false) // a refusal stays on the bill
	}
	t.put(owner, s)
	t.emit(owner, "customer.subscription.updated", s, nil)
}

func retryBill(t *tx, owner, id string) {
	in := known[invoice](t, id)
	s := known[subscription](t, *in.Subscription)
	if !s.live() {
		in.NextPaymentAttempt = nil
		t.put(owner, in)
		return
	}
	_ = t.collectBill(owner, s, in, false) // a refusal stays on the bill
	t.put(owner, s)
	t.emit(owner, "customer.subscription.updated", s, nil)
}
