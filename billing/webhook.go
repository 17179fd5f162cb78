package billing

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/webhook"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tasks"
	"shingle/tenant"
)

// Events that our endpoints listen to, by whose they are. Others are stored as
// ignored.
var (
	paymentEvents = []string{"checkout.session.completed", "checkout.session.async_payment_succeeded", "checkout.session.async_payment_failed",
		"checkout.session.expired", "charge.refunded", "charge.refund.updated"}
	accountEvents  = append([]string{"account.updated"}, paymentEvents...)
	platformEvents = append(append([]string{"application_fee.refunded", "transfer.reversed"}, paymentEvents...), planEvents...)
	// planEvents are about what boards pay the platform; see PlanHook.
	planEvents = []string{"customer.subscription.created", "customer.subscription.updated", "customer.subscription.deleted", "customer.subscription.trial_will_end",
		"invoice.finalized", "invoice.paid", "invoice.payment_failed", "invoice.voided", "invoice.marked_uncollectible",
		"subscription_schedule.updated", "subscription_schedule.released", "subscription_schedule.completed"}
)

// PlanHook takes the events of the platform's own customers, the boards.
type PlanHook struct {
	// Board finds the board of a customer, in a platform transaction; nil ID for none.
	Board func(ctx context.Context, tx bun.IDB, customer string) (tenant.ID, error)
	// Apply asks Stripe for the truth about the context's board and applies it.
	Apply func(ctx context.Context) error
}

// planPurpose marks checkouts of plans in their metadata.
const planPurpose = "plan"

// aboutPlan reports an event of the platform's own account about a plan.
func aboutPlan(e *stripe.Event, o object) bool {
	return e.Account == "" && (slices.Contains(planEvents, string(e.Type)) || o.Object == "checkout.session" && o.Metadata["purpose"] == planPurpose)
}

// MaxEvent bounds what is read of a webhook.
const MaxEvent = 1 << 20

// Receive stores one event of Stripe's, with the task that will apply it, in
// one platform transaction; the caller answers 200 when it returns nil. The
// same event again is a no-op. It opens the transaction.
//
// payload is the body as it came, signature the Stripe-Signature header. Kinds:
// fault.Invalid when no secret fits; fault.Unavailable, on which Stripe will
// send it again.
func (s *Service) Receive(ctx context.Context, payload []byte, signature string) error {
	e, err := s.verify(payload, signature)
	if err != nil {
		return err
	}
	state, note := "received", ""
	if e.APIVersion != APIVersion {
		state, note = "held", "sent with API version "+e.APIVersion+", not "+APIVersion
	}
	return s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		board, why, err := s.boardOf(ctx, tx, e)
		if err != nil {
			return err
		}
		if why != "" {
			state, note = "ignored", why
		}
		res, err := tx.NewRaw(`INSERT INTO stripe_events (id, account, type, api_version, payload, state, note, created_at)
			VALUES (?, ?, ?, ?, ?::jsonb, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
			e.ID, e.Account, string(e.Type), e.APIVersion, string(payload), state, note, time.Unix(e.Created, 0).UTC()).Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 || state != "received" {
			return err
		}
		return tasks.Add(ctx, tx, tasks.New{Tenant: board, Kind: TaskEvent, Queue: tasks.Critical, Key: e.ID, Payload: eventPayload{e.ID}, MaxAttempts: 20})
	})
}

func (s *Service) verify(payload []byte, signature string) (*stripe.Event, error) {
	err := errors.New("no webhook secret is set")
	for _, secret := range s.secrets {
		var e stripe.Event
		e, err = webhook.ConstructEventWithOptions(payload, signature, secret, webhook.ConstructEventOptions{IgnoreAPIVersionMismatch: true})
		if err == nil {
			if e.ID == "" || e.Data == nil {
				return nil, fault.New(fault.Invalid, "no event")
			}
			return &e, nil
		}
	}
	return nil, fault.Wrap(err, fault.Invalid, "the signature does not fit")
}

// object is the part of an event's object that says where it belongs.
type object struct {
	ID                     string            `json:"id"`
	Object                 string            `json:"object"`
	Account                string            `json:"account"`     // application fee: who paid it
	Destination            string            `json:"destination"` // transfer: whom it went to
	Charge                 string            `json:"charge"`
	OriginatingTransaction string            `json:"originating_transaction"`
	SourceTransaction      string            `json:"source_transaction"`
	PaymentIntent          string            `json:"payment_intent"`
	Customer               string            `json:"customer"`
	Metadata               map[string]string `json:"metadata"`
}

func objectOf(e *stripe.Event) (o object) {
	_ = json.Unmarshal(e.Data.Raw, &o) // what is missing is ignored with a note
	return o
}

// boardOf finds the board of an event by its connected account, or by the
// metadata that we gave what belongs to the platform. why is set when there is
// none.
func (s *Service) boardOf(ctx context.Context, tx bun.IDB, e *stripe.Event) (board tenant.ID, why string, err error) {
	wanted := platformEvents
	if e.Account != "" {
		wanted = accountEvents
	}
	known := false
	for _, t := range wanted {
		known = known || t == string(e.Type)
	}
	if !known {
		return board, "not used", nil
	}
	o := objectOf(e)
	if aboutPlan(e, o) {
		if s.plans == nil || o.Customer == "" {
			return board, "about no plan of a board", nil
		}
		if board, err = s.plans.Board(ctx, tx, o.Customer); err == nil && board.IsNil() {
			why = "no board is this customer"
		}
		return board, why, err
	}
	account := e.Account
	switch e.Type {
	case "application_fee.refunded":
		account = o.Account
	case "transfer.reversed":
		account = o.Destination
	}
	var ids []tenant.ID
	if account != "" {
		err = tx.NewRaw(`SELECT tenant_id FROM stripe_accounts WHERE account = ?`, account).Scan(ctx, &ids)
	} else if named, perr := tenant.ParseID(o.Metadata["board"]); perr == nil {
		err = tx.NewRaw(`SELECT id FROM boards WHERE id = ?`, named).Scan(ctx, &ids)
	}
	if err != nil {
		return board, "", err
	}
	if len(ids) == 0 {
		return board, "no board has this account", nil
	}
	return ids[0], "", nil
}

// eventTask applies one stored event. It asks Stripe for the truth and brings
// the board's rows to it, which may be done again at any time; then the event
// is marked and the task ends in one platform transaction. A death in between
// repeats the whole, to the same end.
func (s *Service) eventTask(ctx context.Context, t *tasks.Task) error {
	var p eventPayload
	if err := t.Decode(&p); err != nil {
		return err
	}
	e := new(stripe.Event)
	err := s.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		var raw string
		if err := tx.NewRaw(`SELECT payload FROM stripe_events WHERE id = ?`, p.Event).Scan(ctx, &raw); err != nil {
			return err
		}
		return json.Unmarshal([]byte(raw), e)
	})
	if err != nil {
		return err
	}
	state, note := "applied", ""
	if err := s.applyEvent(ctx, e); fault.Is(err, fault.NotFound) {
		state, note = "ignored", fault.TextOf(err)
	} else if err != nil {
		return err
	}
	s.between(ctx, "event.applied")
	return s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := t.Finish(ctx, tx); err != nil {
			return err
		}
		_, err := tx.NewRaw(`UPDATE stripe_events SET state = ?, note = ?, applied_at = ? WHERE id = ?`, state, note, s.now(), p.Event).Exec(ctx)
		return err
	})
}

// applyEvent finds the session that the event is about and applies its facts.
// Kind: fault.NotFound when it is about nothing of ours.
func (s *Service) applyEvent(ctx context.Context, e *stripe.Event) error {
	if e.Type == "account.updated" {
		_, err := s.RefreshAccount(ctx)
		return err
	}
	o, account := objectOf(e), e.Account
	if aboutPlan(e, o) {
		return s.plans.Apply(ctx)
	}
	session, intent := "", o.PaymentIntent
	var err error
	switch {
	case o.Object == "checkout.session":
		session = o.ID
	case e.Type == "application_fee.refunded" && o.OriginatingTransaction != "":
		intent, err = s.intentOf(ctx, "", o.OriginatingTransaction)
	case e.Type == "application_fee.refunded":
		account = o.Account
		intent, err = s.intentOf(ctx, account, o.Charge)
	case e.Type == "transfer.reversed" && o.SourceTransaction != "":
		intent, err = s.intentOf(ctx, "", o.SourceTransaction)
	}
	if err == nil && session == "" && intent != "" {
		session, err = s.sessionOf(ctx, account, intent)
	}
	if err != nil {
		return err
	}
	if session == "" {
		return fault.New(fault.NotFound, "about no checkout of ours")
	}
	s.between(ctx, "event.found")
	f, err := s.fetchSession(ctx, account, session)
	if err != nil {
		return err
	}
	s.between(ctx, "event.fetched")
	return s.db.Write(ctx, func(ctx context.Context, tx bun.IDB) error { return s.apply(ctx, tx, f) })
}

// StoredEvent is one of Stripe's events as staff see it.
type StoredEvent struct {
	ID         string     `bun:"id"`
	Account    string     `bun:"account"`
	Type       string     `bun:"type"`
	APIVersion string     `bun:"api_version"`
	State      string     `bun:"state"` // received, applied, ignored, held
	Note       string     `bun:"note"`
	CreatedAt  time.Time  `bun:"created_at"`
	ReceivedAt time.Time  `bun:"received_at"`
	AppliedAt  *time.Time `bun:"applied_at"`
}

// Events lists stored events of a state ("" for all), newest first, in a
// platform transaction.
func (s *Service) Events(ctx context.Context, tx bun.IDB, state string, limit int) ([]StoredEvent, error) {
	var out []StoredEvent
	err := tx.NewRaw(`SELECT id, account, type, api_version, state, note, created_at, received_at, applied_at FROM stripe_events
		WHERE ? = '' OR state = ? ORDER BY received_at DESC LIMIT ?`, state, state, min(max(limit, 1), 500)).Scan(ctx, &out)
	return out, err
}

// Replay applies a stored event again, whatever became of it before, in a
// platform transaction: the truth is asked of Stripe anew, so any number of
// times ends the same. Kinds: fault.NotFound; fault.Conflict when it waits to be
// applied already, or when no board has its account.
func (s *Service) Replay(ctx context.Context, tx bun.IDB, id string) error {
	var state string
	if err := tx.NewRaw(`SELECT state FROM stripe_events WHERE id = ? FOR UPDATE`, id).Scan(ctx, &state); err != nil {
		return fault.Wrap(err, fault.NotFound, "event not found")
	}
	var waits []tasks.Task
	err := tx.NewRaw(`SELECT tenant_id, id, failed_at FROM tasks WHERE kind = ? AND key = ? FOR UPDATE`, TaskEvent, id).Scan(ctx, &waits)
	if err != nil {
		return err
	}
	for _, t := range waits {
		if t.FailedAt == nil {
			return fault.New(fault.Conflict, "event.waits")
		}
		if err := tasks.Discard(ctx, tx, t.TenantID, t.ID); err != nil {
			return err
		}
	}
	if _, err := tx.NewRaw(`UPDATE stripe_events SET state = 'held' WHERE id = ?`, id).Exec(ctx); err != nil {
		return err
	}
	return s.Release(ctx, tx, id)
}

// Release applies an event that was held for its API version, in a platform
// transaction: only its ids are read, the rest is asked of Stripe. Kinds:
// fault.NotFound when no such event is held, fault.Conflict when no board has
// its account.
func (s *Service) Release(ctx context.Context, tx bun.IDB, id string) error {
	var raw string
	err := tx.NewRaw(`SELECT payload FROM stripe_events WHERE id = ? AND state = 'held' FOR UPDATE`, id).Scan(ctx, &raw)
	if err != nil {
		return fault.Wrap(err, fault.NotFound, "held event not found")
	}
	e := new(stripe.Event)
	if err := json.Unmarshal([]byte(raw), e); err != nil {
		return fault.Wrap(err, fault.Conflict, "the event cannot be read")
	}
	board, why, err := s.boardOf(ctx, tx, e)
	if err != nil {
		return err
	}
	if why != "" {
		return fault.New(fault.Conflict, "the event cannot be applied: %s", why)
	}
	if _, err := tx.NewRaw(`UPDATE stripe_events SET state = 'received' WHERE id = ?`, id).Exec(ctx); err != nil {
		return err
	}
	return tasks.Add(ctx, tx, tasks.New{Tenant: board, Kind: TaskEvent, Queue: tasks.Critical, Key: id, Payload: eventPayload{id}, MaxAttempts: 20})
}
