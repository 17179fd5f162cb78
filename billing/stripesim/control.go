package stripesim

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"
)

// Tester is the buyer whom Pay types in.
var tester = Payer{Email: "buyer@example.test", Name: "Test Buyer", Line1: "1 Test Street", City: "Testville", PostalCode: "10115", Country: "DE", Terms: true}

// Pay pays a session as its page would, with one of the Card constants or
// BankDebit, as a buyer in Germany. A declined card is an *Error; CardAskBank
// leaves the session waiting for Authenticate.
func (s *Sim) Pay(sessionID, card string) error { return s.PayAs(sessionID, card, tester) }

// PayAs is Pay for a buyer of the caller's choice.
func (s *Sim) PayAs(sessionID, card string, who Payer) error {
	return s.onSession(sessionID, func(t *tx, owner string, v *session, o *order) (*Error, error) {
		who.Email = cmp.Or(text(v.CustomerEmail), who.Email)
		_, refused, err := t.attempt(owner, v, o, card, who)
		return refused, err
	})
}

// Authenticate answers for the buyer's bank after CardAskBank.
func (s *Sim) Authenticate(sessionID string, approved bool) error {
	return s.onSession(sessionID, func(t *tx, owner string, v *session, o *order) (*Error, error) {
		return t.authenticate(owner, v, o, approved)
	})
}

// SettleDelayed ends a bank debit: the money came, or the bank refused.
func (s *Sim) SettleDelayed(sessionID string, ok bool) error {
	return s.onSession(sessionID, func(t *tx, owner string, v *session, o *order) (*Error, error) {
		return nil, t.settle(owner, v, o, ok)
	})
}

// onSession commits what do did even when it ends in a declined card.
func (s *Sim) onSession(id string, do func(*tx, string, *session, *order) (*Error, error)) error {
	if err := s.update(sweep); err != nil {
		return err
	}
	var refused *Error
	err := s.update(func(t *tx) error {
		r := t.row(id)
		if r == nil || r.Kind != kSession {
			return missing(kSession, id, "session")
		}
		var err error
		refused, err = do(t, r.Account, decode[session](r), known[order](t, orderID(id)))
		return err
	})
	if err == nil && refused != nil {
		return refused
	}
	return err
}

// CompleteOnboarding makes a connected account able to take and receive money.
func (s *Sim) CompleteOnboarding(accountID string) error {
	return s.onAccount(accountID, (*account).verified)
}

// Restrict takes an account's abilities away again, as when Stripe asks for
// another document.
func (s *Sim) Restrict(accountID string) error {
	return s.onAccount(accountID, func(a *account) {
		a.unfinished()
		a.DetailsSubmitted = true
	})
}

func (s *Sim) onAccount(id string, do func(*account)) error {
	return s.update(func(t *tx) error {
		r := t.row(id)
		if r == nil || r.Kind != kAccount {
			return noAccess(id)
		}
		a := decode[account](r)
		do(a)
		t.saveAccount(a)
		return nil
	})
}

// RefundFromDashboard refunds a charge as its owner does on Stripe's dashboard,
// where application fee and transfer stay as they are. amount is in minor units;
// 0 is all that is left.
func (s *Sim) RefundFromDashboard(chargeID string, amount int64) error {
	return s.onCharge(chargeID, func(t *tx, owner string, ch *charge) error {
		_, err := t.refund(owner, ch, amount, refundOptions{meta: meta{}})
		return err
	})
}

// OpenDispute disputes a charge as the buyer's bank does.
func (s *Sim) OpenDispute(chargeID string) error {
	return s.onCharge(chargeID, func(t *tx, owner string, ch *charge) error {
		_, err := t.dispute(owner, ch)
		return err
	})
}

// CloseDispute ends a charge's dispute.
func (s *Sim) CloseDispute(chargeID string, won bool) error {
	return s.onCharge(chargeID, func(t *tx, owner string, ch *charge) error {
		if ch.Dispute == nil {
			return invalid("", "charge", "Charge %s is not disputed.", ch.ID)
		}
		return t.closeDispute(owner, known[dispute](t, *ch.Dispute), won)
	})
}

func (s *Sim) onCharge(id string, do func(*tx, string, *charge) error) error {
	return s.update(func(t *tx) error {
		r := t.row(id)
		if r == nil || r.Kind != kCharge {
			return missing(kCharge, id, "charge")
		}
		return do(t, r.Account, decode[charge](r))
	})
}

// Redeliver sends an event again to every endpoint that listens.
func (s *Sim) Redeliver(eventID string) error {
	return s.update(func(t *tx) error { return t.redeliver(eventID) })
}

// Event is one event as it was sent; Payload is the body of its webhook.
type Event struct {
	ID, Type, Account string
	Created           time.Time
	Payload           json.RawMessage
}

// Events are all events so far, oldest first.
func (s *Sim) Events() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Event
	for _, id := range s.db.kinds[kEvent] {
		e := decode[event](s.db.rows[id])
		out = append(out, Event{ID: e.ID, Type: e.Type, Account: e.Account, Created: time.Unix(e.Created, 0), Payload: s.db.rows[id].Body})
	}
	return out
}

// Delivery is one event's way to one endpoint. Status is pending, delivered or failed.
type Delivery struct {
	ID, Event, URL, Status, Problem string
	Attempts, Answer                int
}

// Deliveries are all deliveries so far, oldest first.
func (s *Sim) Deliveries() []Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &tx{sim: s, db: s.db, now: s.now()}
	var out []Delivery
	t.scan(kDelivery, func(r *row) bool {
		d := decode[delivery](r)
		url := ""
		if ep := t.endpoint(d.Endpoint); ep != nil {
			url = ep.URL
		}
		out = append(out, Delivery{ID: d.ID, Event: d.Event, URL: url, Status: d.Status, Problem: d.Problem, Attempts: d.Attempts, Answer: d.Answer})
		return true
	})
	slices.Reverse(out)
	return out
}

// Drained waits until no delivery is pending, or ctx ends.
func (s *Sim) Drained(ctx context.Context) error {
	for {
		s.mu.Lock()
		left, changed := len(s.db.due), s.changed
		s.mu.Unlock()
		if left == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
