package mail

import (
	"context"
	"encoding/json"
	"time"

	"github.com/uptrace/bun"

	"shingle/internal/seal"
	"shingle/tasks"
	"shingle/tenant"
)

// Identities keeps the boards' domains true: it makes keys, looks at the DNS
// and says when a domain may be used.
type Identities struct {
	DB       *tenant.DB
	Platform *tenant.Platform
	DNS      Lookup
	Sealer   *seal.Sealer
	// SPF are the mechanisms that let our mail server send for a domain, e.g.
	// "include:spf.example.net"; "" when the operator names none.
	SPF string
	// ReturnDomain takes what comes back; "" when nothing is taken.
	ReturnDomain string
	// Reserved domains are the platform's own.
	Reserved []string
	Now      func() time.Time
}

// Frozen task kinds.
const (
	taskLook  = "mail.identity"
	taskDaily = "mail.identities"
)

type lookPayload struct {
	Domain string `json:"domain"`
}

const (
	// giveUp is how long a new domain is polled before its team is told.
	giveUp = 72 * time.Hour
	// brokenAfter is how many looks in a row, a day apart, must miss the key
	// before mail goes back to the platform's address.
	brokenAfter = 3
	// keepReturns is how long what came back is remembered.
	keepReturns = 90 * 24 * time.Hour
)

// Register takes over the looking tasks.
func (s *Identities) Register(m *tasks.Mux) {
	m.Handle(taskLook, s.lookTask)
	m.Handle(taskDaily, s.daily)
}

// Schedule keeps the daily look coming back.
func (s *Identities) Schedule(ctx context.Context) error {
	return tasks.Schedule(ctx, s.Platform, taskDaily, 24*time.Hour, tasks.Bulk)
}

func (s *Identities) askAgain(ctx context.Context, tx bun.IDB) error {
	i, err := IdentityOf(ctx, tx)
	if err != nil || i.Domain == "" {
		return err
	}
	return tasks.Add(ctx, tx, tasks.New{Kind: taskLook, Key: "look", Payload: lookPayload{i.Domain}})
}

// next is how long after being asked a domain is looked at again: often at
// first, when somebody sits before the page, then ever more seldom.
func next(waited time.Duration) time.Duration {
	return min(max(waited/4, 20*time.Second), time.Hour)
}

// lookTask asks the DNS outside of any transaction and records what it found,
// unless the domain was changed meanwhile.
func (s *Identities) lookTask(ctx context.Context, t *tasks.Task) error {
	var p lookPayload
	if err := t.Decode(&p); err != nil {
		return err
	}
	var keys []Key
	err := s.DB.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		keys, err = Keys(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	found := s.look(ctx, p.Domain, keys)
	return s.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := t.Finish(ctx, tx); err != nil {
			return err
		}
		return s.record(ctx, tx, p.Domain, found)
	})
}

// Look asks the DNS now and returns what it found; it opens transactions.
func (s *Identities) Look(ctx context.Context) ([]Check, error) {
	var keys []Key
	var i *Identity
	err := s.DB.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		if i, err = IdentityOf(ctx, tx); err != nil {
			return err
		}
		keys, err = Keys(ctx, tx)
		return err
	})
	if err != nil || i.Domain == "" {
		return nil, err
	}
	found := s.look(ctx, i.Domain, keys)
	return found, s.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) error { return s.record(ctx, tx, i.Domain, found) })
}

// record moves keys and the identity to what the DNS says.
func (s *Identities) record(ctx context.Context, tx bun.IDB, domain string, found []Check) error {
	i := new(Identity)
	if err := tx.NewSelect().Model(i).For("UPDATE").Scan(ctx); err != nil || i.Domain != domain {
		return ignoreNone(err)
	}
	keys, err := Keys(ctx, tx)
	if err != nil {
		return err
	}
	now := s.Now()
	states := map[string]CheckState{}
	for _, c := range found {
		if c.KeyID != "" {
			states[c.KeyID] = c.State
		}
		if c.Kind == "return" {
			i.OwnReturn = c.State == CheckOK || c.State == CheckUnknown && i.OwnReturn
		}
	}
	signs, unknown := false, false
	for k := range keys {
		key := &keys[k]
		seen := states[key.ID.String()]
		switch {
		case key.State == NewKey && seen == CheckOK:
			if _, err := tx.NewRaw(`UPDATE dkim_keys SET state = 'retiring', retire_at = ? WHERE tenant_id = ? AND state = 'active'`, now.Add(overlap), i.TenantID).Exec(ctx); err != nil {
				return err
			}
			if _, err := tx.NewRaw(`UPDATE dkim_keys SET state = 'active' WHERE tenant_id = ? AND id = ?`, i.TenantID, key.ID).Exec(ctx); err != nil {
				return err
			}
			signs = true
		case key.State == ActiveKey:
			signs = signs || seen == CheckOK
			unknown = unknown || seen == CheckUnknown || seen == ""
		case key.State == RetiringKey && key.RetireAt != nil && now.After(*key.RetireAt):
			if _, err := tx.NewRaw(`DELETE FROM dkim_keys WHERE tenant_id = ? AND id = ?`, i.TenantID, key.ID).Exec(ctx); err != nil {
				return err
			}
		}
	}
	return s.move(ctx, tx, i, found, signs, unknown)
}

func (s *Identities) move(ctx context.Context, tx bun.IDB, i *Identity, found []Check, signs, unknown bool) error {
	now, was := s.Now(), i.State
	switch {
	case signs:
		i.State, i.Misses = Verified, 0
		if was != Verified {
			i.VerifiedAt = &now
		}
	case unknown, was == Pending:
		// A DNS that does not answer proves nothing.
	case was == Verified:
		// A day's look counts; somebody who presses the button does not.
		if i.CheckedAt == nil || now.Sub(*i.CheckedAt) > 20*time.Hour || i.Misses == 0 {
			i.Misses++
		}
		if i.Misses >= brokenAfter {
			i.State = Broken
		}
	}
	waiting := i.State != Verified
	for _, c := range found {
		waiting = waiting || c.Kind == "dkim-new" && c.State != CheckOK
	}
	tell := ""
	switch {
	case i.State == Verified && was != Verified:
		tell = "mail-domain-live"
	case i.State == Broken && was == Verified:
		tell = "mail-domain-broken"
	case waiting && now.Sub(i.AskedAt) > giveUp && !i.ToldStuck:
		tell, i.ToldStuck = "mail-domain-stuck", true
	}
	checks, err := json.Marshal(found)
	if err != nil {
		return err
	}
	_, err = tx.NewRaw(`UPDATE mail_identities SET state = ?, misses = ?, own_return = ?, checks = ?::jsonb, checked_at = ?, verified_at = ?, told_stuck = ?
		WHERE tenant_id = ?`, i.State, i.Misses, i.OwnReturn, string(checks), now, i.VerifiedAt, i.ToldStuck, i.TenantID).Exec(ctx)
	if err != nil {
		return err
	}
	if t := tenant.From(ctx); tell != "" && t != nil && t.ContactEmail != "" {
		err := Queue(ctx, tx, Message{Kind: tell, Key: i.Domain + " " + now.UTC().Format(time.RFC3339), To: t.ContactEmail, Data: Data{"Domain": i.Shown(), "Address": i.LocalPart + "@" + i.Shown()}})
		if err != nil {
			return err
		}
	}
	if waited := now.Sub(i.AskedAt); waiting && waited <= giveUp {
		return tasks.Add(ctx, tx, tasks.New{Kind: taskLook, Key: "look", Payload: lookPayload{i.Domain}, RunAt: now.Add(next(waited))})
	}
	return nil
}

// daily asks for a look at every domain that is used or was, and forgets old
// returns.
func (s *Identities) daily(ctx context.Context, t *tasks.Task) error {
	return s.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := t.Finish(ctx, tx); err != nil {
			return err
		}
		var rows []struct {
			TenantID tenant.ID `bun:"tenant_id"`
			Domain   string    `bun:"domain"`
		}
		if err := tx.NewRaw(`SELECT tenant_id, domain FROM mail_identities WHERE state IN ('verified', 'broken')`).Scan(ctx, &rows); err != nil {
			return err
		}
		for i, r := range rows {
			// Spread over an hour: one server answers for many domains.
			at := s.Now().Add(time.Duration(i%3600) * time.Second)
			if err := tasks.Add(ctx, tx, tasks.New{Kind: taskLook, Key: "look", Tenant: r.TenantID, Queue: tasks.Bulk, Payload: lookPayload{r.Domain}, RunAt: at}); err != nil {
				return err
			}
		}
		_, err := tx.NewRaw(`DELETE FROM mail_returns WHERE received_at < ?`, s.Now().Add(-keepReturns)).Exec(ctx)
		return err
	})
}

// Records are what the board's domain should have, with what the last look
// found of each; rotating tells that a new key waits for its record.
func (s *Identities) Records(ctx context.Context, tx bun.IDB, i *Identity) (out []Check, rotating bool, err error) {
	if i.Domain == "" {
		return nil, false, nil
	}
	keys, err := Keys(ctx, tx)
	if err != nil {
		return nil, false, err
	}
	seen := map[string]Check{}
	for _, c := range i.Checks() {
		seen[c.Type+" "+c.Name] = c
	}
	out = wanted(i.Domain, keys, s.SPF, s.ReturnDomain)
	for k := range out {
		c := &out[k]
		if last, ok := seen[c.Type+" "+c.Name]; ok {
			c.State, c.Found, c.Note = last.State, last.Found, last.Note
			if c.Kind == "spf" {
				c.Want = last.Want
			}
		}
		rotating = rotating || c.Kind == "dkim-new"
	}
	return out, rotating, nil
}
