package privacy

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/authz/chain"
	"shingle/internal/fault"
	"shingle/listings"
	"shingle/mail"
	"shingle/tasks"
	"shingle/tenant"
)

// Frozen task kinds.
const (
	taskErase = "privacy.erase" // one erasure whose grace is over
	taskSweep = "privacy.sweep" // platform: finds erasures without a task, and ends what is long over
)

type erasePayload struct {
	Request uuid.UUID `json:"request"`
}

// Register takes over the package's tasks.
func (s *Service) Register(m *tasks.Mux) {
	m.Handle(taskErase, s.eraseTask)
	m.Handle(taskSweep, s.sweepTask)
}

// Schedule keeps the hourly sweep coming back.
func (s *Service) Schedule(ctx context.Context) error {
	return tasks.Schedule(ctx, s.Platform, taskSweep, time.Hour, tasks.Bulk)
}

func (s *Service) eraseTask(ctx context.Context, t *tasks.Task) error {
	var p erasePayload
	if err := t.Decode(&p); err != nil {
		return err
	}
	return s.Erase(ctx, p.Request, t.Finish)
}

// kept are orders that the law keeps: those with an invoice, and those whose
// payment may still come.
const kept = `(o.state IN ('paid', 'refunded', 'processing') OR EXISTS (SELECT FROM checkout_sessions AS cs WHERE cs.tenant_id = o.tenant_id AND cs.order_id = o.id AND cs.state = 'open'))`

// Erase does an erasure whose grace is over, in two transactions that may be
// tried again: the board's own takes what the address left on the board and what
// others hold of it there, and notes how much; the platform's takes the names
// out of the audit log, which is not the board's to touch, and ends the request.
// Orders with an invoice stay; while a payment is under way all waits for it. A
// request that was taken back or done before is left alone. finish, if any, runs
// in the last transaction, whatever it finds.
func (s *Service) Erase(ctx context.Context, id uuid.UUID, finish tenant.Fn) error {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return err
	}
	var email string
	who := uuid.Nil
	err = s.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		email = ""
		r := new(Request)
		err := tenant.One(ctx, tx.NewSelect().Model(r).Where("rq.id = ?", id).Where("rq.state = ?", Asked).Where("rq.runs_at <= ?", s.Now()).For("UPDATE"), "request")
		if fault.Is(err, fault.NotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		email = r.Email
		if p, ok := r.Counts[personGone]; ok { // done by a try that died before the second transaction
			if p != 0 {
				return tx.NewRaw(`SELECT person FROM person_requests WHERE tenant_id = ? AND id = ?`, board, id).Scan(ctx, &who)
			}
			return nil
		}
		later, err := s.putOff(ctx, tx, r)
		if err != nil || later {
			email = ""
			return err
		}
		var people []uuid.UUID
		if err := tx.NewRaw(`SELECT id FROM people WHERE tenant_id = ? AND email = ?`, board, email).Scan(ctx, &people); err != nil {
			return err
		}
		n := Counts{personGone: int64(len(people))}
		var person *uuid.UUID
		if len(people) > 0 {
			who, person = people[0], &people[0]
		}
		if err := s.erase(ctx, tx, board, who, email, n); err != nil {
			return err
		}
		raw, err := json.Marshal(n)
		if err != nil {
			return err
		}
		_, err = tx.NewRaw(`UPDATE person_requests SET counts = ?::jsonb, person = ? WHERE tenant_id = ? AND id = ?`, string(raw), person, board, id).Exec(ctx)
		return err
	})
	if err != nil {
		return err
	}
	return s.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if finish != nil {
			if err := finish(ctx, tx); err != nil {
				return err
			}
		}
		if email == "" {
			return nil
		}
		lines, err := chain.Erase(ctx, tx, board, chain.Subject{Kind: "person", ID: who, Address: email})
		if err != nil {
			return err
		}
		n := Counts{}
		var raw string
		err = tx.NewRaw(`UPDATE person_requests SET state = 'done', over_at = ?, email = '', person = NULL, counts = counts || jsonb_build_object('audit_lines', ?::bigint)
			WHERE tenant_id = ? AND id = ? AND state = 'asked' RETURNING counts::text`, s.Now(), lines, board, id).Scan(ctx, &raw)
		if errors.Is(err, sql.ErrNoRows) {
			return nil // the other of two tries
		}
		if err == nil {
			err = json.Unmarshal([]byte(raw), &n)
		}
		if err != nil {
			return err
		}
		detail := map[string]any{}
		for what, many := range n {
			detail[what] = many
		}
		if err := authz.Record(ctx, tx, authz.Act{Act: "person.erased", ObjectKind: "request", ObjectID: id.String(), Detail: detail}); err != nil {
			return err
		}
		// The last mail to the address; the sweep forgets whom it went to.
		return mail.Queue(ctx, tx, mail.Message{Kind: lastMail, Key: id.String(), To: email})
	})
}

// putOff lets an erasure wait for a payment that is under way, day by day for as
// long as the law leaves: a payment that comes makes an invoice, which stays; one
// that does not leaves an order that nothing keeps.
func (s *Service) putOff(ctx context.Context, tx bun.IDB, r *Request) (bool, error) {
	next := s.Now().Add(24 * time.Hour)
	if next.After(r.DueAt) {
		return false, nil
	}
	var open bool
	err := tx.NewRaw(`SELECT EXISTS (SELECT FROM orders AS o WHERE o.tenant_id = ? AND (o.email = ? OR o.person_id IN (SELECT id FROM people WHERE tenant_id = ? AND email = ?))
		AND o.state NOT IN ('paid', 'refunded') AND `+kept+`)`, r.TenantID, r.Email, r.TenantID, r.Email).Scan(ctx, &open)
	if err != nil || !open {
		return false, err
	}
	if _, err := tx.NewRaw(`UPDATE person_requests SET runs_at = ? WHERE tenant_id = ? AND id = ?`, next, r.TenantID, r.ID).Exec(ctx); err != nil {
		return false, err
	}
	return true, tasks.Add(ctx, tx, tasks.New{Kind: taskErase, Key: r.ID.String(), RunAt: next, Payload: erasePayload{r.ID}})
}

// personGone counts accounts; its presence says that the first transaction is done.
const personGone = "people"

const lastMail = "data-erased"

func (s *Service) erase(ctx context.Context, tx bun.IDB, board tenant.ID, who uuid.UUID, email string, n Counts) error {
	f, err := s.Candidates.Forget(ctx, tx, email)
	if err != nil {
		return err
	}
	n["applications"], n["alerts"], n["reports"] = f.Applications, f.Alerts, f.Reports

	// Orders before listings, as everywhere.
	var invoiced []uuid.UUID
	err = tx.NewRaw(`SELECT DISTINCT l.company_id FROM orders AS o JOIN listings AS l ON l.tenant_id = o.tenant_id AND l.id = o.listing_id
		WHERE o.tenant_id = ? AND (o.email = ? OR o.person_id = ?) AND `+kept, board, email, who).Scan(ctx, &invoiced)
	if err != nil {
		return err
	}
	do := func(what, q string, args ...any) error {
		res, err := tx.NewRaw(q, args...).Exec(ctx)
		if err != nil {
			return err
		}
		many, err := res.RowsAffected()
		n[what] += many
		return err
	}
	if err := do("orders", `UPDATE orders AS o SET email = '', billing = '{}', terms_address = '' WHERE o.tenant_id = ? AND (o.email = ? OR o.person_id = ?) AND NOT `+kept, board, email, who); err != nil {
		return err
	}
	var stay int64
	if err := tx.NewRaw(`SELECT count(*) FROM orders AS o WHERE o.tenant_id = ? AND (o.email = ? OR o.person_id = ?) AND `+kept, board, email, who).Scan(ctx, &stay); err != nil {
		return err
	}
	n["orders_kept"] = stay

	leaver := listings.Leaver{Person: who, Email: email, Invoiced: map[uuid.UUID]bool{}, Orphaned: func(ctx context.Context, tx bun.IDB, listing uuid.UUID) error {
		many, err := s.Candidates.ForgetListing(ctx, tx, listing)
		n["received"] += int64(many)
		return err
	}}
	for _, id := range invoiced {
		leaver.Invoiced[id] = true
	}
	left, err := s.Listings.Forget(ctx, tx, leaver)
	if err != nil {
		return err
	}
	n["listings_handed"], n["listings"], n["companies"] = int64(left.Handed), int64(left.Removed), int64(left.Companies)

	for _, step := range []struct {
		what, q string
		args    []any
	}{
		{"replies", `UPDATE application_replies SET person_id = NULL WHERE tenant_id = ? AND person_id = ?`, []any{board, who}},
		// What waits for this address is not sent any more, the replies above among it.
		{"mails", `DELETE FROM mails WHERE tenant_id = ? AND recipient = ? AND state = 'queued'`, []any{board, email}},
		{"mails", `UPDATE mails SET recipient = '', payload = '{}', error = '' WHERE tenant_id = ? AND recipient = ?`, []any{board, email}},
		{"suppressions", `DELETE FROM mail_suppressions WHERE tenant_id = ? AND address = ?`, []any{board, email}},
		{"passes", `DELETE FROM access_passes WHERE tenant_id = ? AND email = ?`, []any{board, email}},
		{"tokens", `DELETE FROM person_tokens WHERE tenant_id = ? AND email = ?`, []any{board, email}},
		{"forms", `DELETE FROM held_forms WHERE tenant_id = ? AND email = ?`, []any{board, email}},
		// Sessions and memberships go with the person; listings and orders lose the link.
		{"accounts", `DELETE FROM people WHERE tenant_id = ? AND email = ?`, []any{board, email}},
	} {
		if err := do(step.what, step.q, step.args...); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) sweepTask(ctx context.Context, t *tasks.Task) error {
	return s.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := t.Finish(ctx, tx); err != nil {
			return err
		}
		return s.Sweep(ctx, tx)
	})
}

// Sweep is the sweep's work in a platform transaction: erasures that are due and
// have no task (their board was restored from an archive, or staff discarded it)
// get one; the address of a confirmation that went out a day ago is emptied; what
// is left of requests ends after three years.
func (s *Service) Sweep(ctx context.Context, tx bun.IDB) error {
	now := s.Now()
	var due []struct {
		TenantID tenant.ID `bun:"tenant_id"`
		ID       uuid.UUID `bun:"id"`
	}
	err := tx.NewRaw(`SELECT r.tenant_id, r.id FROM person_requests AS r WHERE r.state = 'asked' AND r.runs_at <= ?
		AND NOT EXISTS (SELECT FROM tasks AS t WHERE t.tenant_id = r.tenant_id AND t.kind = ? AND t.key = r.id::text) ORDER BY r.runs_at LIMIT 1000`, now, taskErase).Scan(ctx, &due)
	for _, d := range due {
		err = errors.Join(err, tasks.Add(ctx, tx, tasks.New{Kind: taskErase, Key: d.ID.String(), Tenant: d.TenantID, Payload: erasePayload{d.ID}}))
	}
	if err != nil {
		return err
	}
	_, err = tx.NewRaw(`UPDATE mails SET recipient = '' WHERE kind = ? AND state <> 'queued' AND recipient <> '' AND created_at < ?`, lastMail, now.Add(-24*time.Hour)).Exec(ctx)
	if err != nil {
		return err
	}
	_, err = tx.NewRaw(`DELETE FROM person_requests WHERE state <> 'asked' AND over_at < ?`, now.Add(-keepProof)).Exec(ctx)
	return err
}
