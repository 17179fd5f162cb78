package stripesim

import (
	"cmp"
	"slices"
)

// testClock is Stripe's object of that name: the frozen time of the customers
// that were made with it, and of their subscriptions and invoices.
type testClock struct {
	head
	DeletesAfter int64   `json:"deletes_after"`
	FrozenTime   int64   `json:"frozen_time"`
	Name         *string `json:"name"`
	Status       string  `json:"status"` // ready, advancing

	To int64 `json:"sim_to,omitempty"` // where an advancing one goes
}

const (
	clockReady     = "ready"
	clockAdvancing = "advancing"

	// clockLife is how long Stripe keeps a test clock, clockCustomers how many
	// customers one may hold.
	clockLife      = 7 * daySeconds
	clockCustomers = 3
	// freeAdvance is the furthest that a clock without subscriptions goes at once.
	freeAdvance = 2 * 366 * daySeconds
)

func createTestClock(c *call) (any, error) {
	v := &testClock{head: c.tx.head(kTestClock), Name: str(c.max("name", 300)), Status: clockReady}
	v.DeletesAfter = v.Created + clockLife
	if at := c.int("frozen_time"); at == nil {
		c.need("frozen_time")
	} else {
		v.FrozenTime = *at
	}
	if err := c.done(); err != nil {
		return nil, err
	}
	c.put(c.account, v)
	c.emit(c.account, "test_helpers.test_clock.created", v, nil)
	return v, nil
}

func listTestClocks(c *call) (any, error) { return page[testClock](c, kTestClock, nil) }

// bindCustomer reads the test clock that a new customer is to live in.
func (c *call) bindCustomer(v *customer) {
	id := c.str("test_clock")
	if id == "" {
		return
	}
	clock, err := find[testClock](c.tx, kTestClock, c.account, id, "test_clock")
	if err != nil {
		c.params.err = cmp.Or(c.params.err, err)
		return
	}
	held := 0
	c.scan(kCustomer, func(r *row) bool {
		if text(decode[customer](r).TestClock) == id {
			held++
		}
		return true
	})
	switch {
	case clock.Status != clockReady:
		c.fail(invalid("", "test_clock", "The test clock %s is advancing: wait until its status is ready.", id))
	case held >= clockCustomers:
		c.fail(invalid("", "test_clock", "The test clock %s has reached its limit of %d customers.", id, clockCustomers))
	}
	v.TestClock, v.Created = &id, clock.FrozenTime
}

func advanceTestClock(c *call) (any, error) {
	v, err := find[testClock](c.tx, kTestClock, c.account, c.id, "test_clock")
	if err != nil {
		return nil, err
	}
	to := c.int("frozen_time")
	if to == nil {
		c.need("frozen_time")
	}
	if err := c.done(); err != nil {
		return nil, err
	}
	return v, c.advance(c.account, v, *to)
}

// advance begins to move a test clock; the next look at the state does the rest.
func (t *tx) advance(owner string, v *testClock, to int64) error {
	furthest, why := v.FrozenTime+freeAdvance, "two years"
	t.scan(kSubscription, func(r *row) bool {
		if s := decode[subscription](r); text(s.TestClock) == v.ID && s.live() {
			every := s.price().Recurring
			if end := addInterval(addInterval(v.FrozenTime, every), every); end < furthest {
				furthest, why = end, "two intervals of its shortest subscription"
			}
		}
		return true
	})
	switch {
	case v.Status != clockReady:
		return invalid("", "", "The test clock %s is advancing: wait until its status is ready.", v.ID)
	case to <= v.FrozenTime:
		return invalid("", "frozen_time", "The new frozen time must be after the test clock's current frozen time (%d).", v.FrozenTime)
	case to > furthest:
		return invalid("", "frozen_time", "A test clock cannot be advanced by more than %s at once: %d at most.", why, furthest)
	}
	v.Status, v.To = clockAdvancing, to
	t.put(owner, v)
	t.emit(owner, "test_helpers.test_clock.advancing", v, nil)
	return nil
}

// finishAdvancing does what the time that passes on advancing clocks brings, and
// deletes those that Stripe would have deleted by now.
func finishAdvancing(t *tx) error {
	for _, id := range slices.Clone(t.db.kinds[kTestClock]) {
		r := t.row(id)
		if r == nil {
			continue
		}
		v := decode[testClock](r)
		if v.Status == clockAdvancing {
			if err := t.bill(id, v.To); err != nil {
				return err
			}
			v.FrozenTime, v.Status, v.To = v.To, clockReady, 0
			t.put(r.Account, v)
			t.emit(r.Account, "test_helpers.test_clock.ready", v, nil)
		}
		if v.DeletesAfter <= t.now.Unix() {
			t.dropClock(r.Account, v)
		}
	}
	return nil
}

func deleteTestClock(c *call) (any, error) {
	v, err := find[testClock](c.tx, kTestClock, c.account, c.id, "test_clock")
	if err == nil {
		err = c.done()
	}
	if err != nil {
		return nil, err
	}
	c.dropClock(c.account, v)
	return map[string]any{"id": v.ID, "object": kTestClock, "deleted": true}, nil
}

// dropClock deletes a test clock with all that lives in it; its subscriptions
// are cancelled first, as webhooks tell.
func (t *tx) dropClock(owner string, v *testClock) {
	var gone []string
	each := func(kind string, customer func(*row) *string) {
		t.scan(kind, func(r *row) bool {
			if t.lives(customer(r), v.ID) {
				gone = append(gone, r.ID)
			}
			return true
		})
	}
	each(kSubscription, func(r *row) *string { return &decode[subscription](r).Customer })
	for _, id := range gone {
		if s := known[subscription](t, id); s.live() {
			t.endSubscription(owner, s)
		}
	}
	each(kSchedule, func(r *row) *string { return &decode[schedule](r).Customer })
	each(kInvoice, func(r *row) *string { return decode[invoice](r).Customer })
	each(kPortal, func(r *row) *string { return &decode[portal](r).Customer })
	each(kCustomerTxn, func(r *row) *string { return &decode[customerTxn](r).Customer })
	each(kCustomer, func(r *row) *string { return &r.ID })
	t.scan(kSession, func(r *row) bool { // an open page of a customer that is no more
		if s := decode[session](r); s.Status == "open" && t.lives(s.Customer, v.ID) {
			t.expireNow(r.Account, s)
		}
		return true
	})
	for _, id := range gone {
		t.drop(id)
		t.drop(walletID(id))
	}
	t.drop(v.ID)
	t.emit(owner, "test_helpers.test_clock.deleted", v, nil)
}

// lives reports a customer of a test clock.
func (t *tx) lives(id *string, clock string) bool {
	r := t.row(text(id))
	return r != nil && r.Kind == kCustomer && text(decode[customer](r).TestClock) == clock
}
