package stripesim

import "time"

// billingClock is the time of subscriptions: it runs with the machine's and can
// be moved ahead, as Stripe's test clocks can. Everything else (sessions,
// deliveries, signatures) keeps the machine's time.
type billingClock struct {
	head
	Ahead int64 `json:"ahead"` // seconds
}

const clockRow = "sim_clock"

// clock is the time that subscriptions live in, Unix seconds. While periods are
// being ended it stands at the end of the one at hand.
func (t *tx) clock() int64 {
	if t.at != 0 {
		return t.at
	}
	if r := t.row(clockRow); r != nil {
		return t.now.Unix() + decode[billingClock](r).Ahead
	}
	return t.now.Unix()
}

// Clock is the time that subscriptions live in.
func (s *Sim) Clock() (now time.Time) {
	_ = s.read(func(t *tx) error { now = time.Unix(t.clock(), 0).UTC(); return nil })
	return now
}

// Advance moves the time of subscriptions ahead to a moment: periods end,
// invoices are made, collected and retried in their order, and webhooks tell of
// each. Going back is an error.
func (s *Sim) Advance(to time.Time) error {
	err := s.update(func(t *tx) error {
		if to.Unix() < t.clock() {
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
	at int64
	do func(t *tx, owner, id string)
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
			return due{*s.TrialEnd - 3*daySeconds, warnTrial}, true
		}
		return due{s.CurrentPeriodEnd, endPeriod}, true
	case r.Kind == kInvoice:
		if in := decode[invoice](r); in.Status == "open" && in.NextPaymentAttempt != nil {
			return due{*in.NextPaymentAttempt, retryBill}, true
		}
	}
	return due{}, false
}

// bill does all that time has brought since, oldest first.
func bill(t *tx) error {
	now := t.clock()
	defer func() { t.at = 0 }()
	for range 10_000 {
		id, d := t.nextDue(now)
		if id == "" {
			return nil
		}
		t.at = max(d.at, t.at)
		d.do(t, t.owner(id), id)
	}
	return invalid("", "", "The clock was moved too far at once.")
}

func (t *tx) nextDue(now int64) (first string, what due) {
	offer := func(id string) {
		r := t.row(id)
		if r == nil {
			return
		}
		if d, ok := dueOf(r); ok && d.at <= now && (first == "" || d.at < what.at || d.at == what.at && r.Seq < t.row(first).Seq) {
			first, what = id, d
		}
	}
	for id, at := range t.db.timed {
		if at <= now && t.staged[id] == nil {
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
		t.collectBill(owner, s, in, false)
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
	t.collectBill(owner, s, in, false)
	t.put(owner, s)
	t.emit(owner, "customer.subscription.updated", s, nil)
}
