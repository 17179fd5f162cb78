package candidates

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/listings"
	sendmail "shingle/mail"
	"shingle/tasks"
	"shingle/tenant"
)

// Finder answers an alert's query with what was published since, newest first,
// for the board in the context.
type Finder func(ctx context.Context, query url.Values, since time.Time) ([]listings.Card, error)

// Alert is a daily mail about a search, for an address without an account.
type Alert struct {
	bun.BaseModel `bun:"table:alerts,alias:al"`
	tenant.Scoped

	ID          uuid.UUID  `bun:"id,pk,type:uuid"`
	Email       string     `bun:"email"`
	Locale      string     `bun:"locale"`
	Query       string     `bun:"query"` // normalised search query string
	State       string     `bun:"state"`
	ConfirmHash []byte     `bun:"confirm_hash"`
	StopHash    []byte     `bun:"stop_hash"`
	CreatedAt   time.Time  `bun:"created_at"`
	ConfirmedAt *time.Time `bun:"confirmed_at"`
	StoppedAt   *time.Time `bun:"stopped_at"`
	SeenUntil   time.Time  `bun:"seen_until"`
	NextAt      *time.Time `bun:"next_at"`
}

// askAgain is how often the same address hears about the same unconfirmed alert.
const askAgain = time.Hour

// AskAlert keeps a wish for a daily mail and writes to the address for its
// consent, a few times a day at most. Known and unknown addresses get the same
// answer; an active alert is left alone. Kind: fault.Invalid, field "email".
func (s *Service) AskAlert(ctx context.Context, tx bun.IDB, email, query, about string) error {
	folded, ok := foldAddress(email)
	if !ok {
		return fault.Invalids(fault.Fields{"email": "apply.email.invalid"})
	}
	if len(query) > 1000 {
		return fault.New(fault.Invalid, "this search is too long for an alert")
	}
	// Refusing aloud would say that somebody has asked for this address before.
	if n, err := mailed(ctx, tx, "alert-confirm", folded, 24*time.Hour); err != nil || n >= confirmsPerDay {
		return err
	}
	t := tenant.From(ctx)
	confirm, confirmHash := newToken()
	_, stopHash := newToken()
	a := &Alert{ID: tenant.NewRowID(), Email: folded, Locale: t.Locale, Query: query, State: "asked", ConfirmHash: confirmHash, StopHash: stopHash,
		CreatedAt: s.Now(), SeenUntil: s.Now()}
	var id uuid.UUID
	err := tx.NewRaw(`INSERT INTO alerts AS al (tenant_id, id, email, locale, query, state, confirm_hash, stop_hash, created_at, seen_until)
		VALUES (?, ?, ?, ?, ?, 'asked', ?, ?, ?, ?)
		ON CONFLICT (tenant_id, email, query) DO UPDATE SET state = 'asked', confirm_hash = excluded.confirm_hash, created_at = excluded.created_at
			WHERE al.state = 'stopped' OR (al.state = 'asked' AND al.created_at < ?)
		RETURNING id`, t.ID, a.ID, a.Email, a.Locale, a.Query, confirmHash, stopHash, s.Now(), s.Now(), s.Now().Add(-askAgain)).Scan(ctx, &id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // active, or asked a moment ago
	}
	if err != nil {
		return err
	}
	return sendmail.Queue(ctx, tx, sendmail.Message{Kind: "alert-confirm", Key: id.String() + " " + s.Now().UTC().Format(time.RFC3339), To: folded,
		Data: sendmail.Data{"Search": about}, URL: s.Links.Board(t, "/alerts/confirm?token="+confirm)})
}

// AlertByConfirmToken finds the alert that a consent link is for. Kind: fault.Gone.
func (s *Service) AlertByConfirmToken(ctx context.Context, tx bun.IDB, token string) (*Alert, error) {
	return s.alert(ctx, tx, "al.confirm_hash = ?", hashOf(token))
}

// AlertByStopToken finds the alert that a stop link is for. Kind: fault.Gone.
func (s *Service) AlertByStopToken(ctx context.Context, tx bun.IDB, id uuid.UUID, token string) (*Alert, error) {
	a, err := s.alert(ctx, tx, "al.id = ?", id)
	if err == nil && !s.isStopToken(tenant.From(ctx).ID, id, token) {
		return nil, fault.New(fault.Gone, "alert.gone")
	}
	return a, err
}

func (s *Service) alert(ctx context.Context, tx bun.IDB, where string, arg any) (*Alert, error) {
	a := new(Alert)
	err := tenant.One(ctx, tx.NewSelect().Model(a).Where(where, arg), "alert")
	if fault.Is(err, fault.NotFound) {
		return nil, fault.New(fault.Gone, "alert.gone")
	}
	return a, err
}

// ConfirmAlert starts the daily mail: the address has agreed. Confirming twice
// is fine. Kind: fault.Gone.
func (s *Service) ConfirmAlert(ctx context.Context, tx bun.IDB, token string) (*Alert, error) {
	a, err := s.AlertByConfirmToken(ctx, tx, token)
	if err != nil || a.State == "active" {
		return a, err
	}
	if a.State == "stopped" {
		return nil, fault.New(fault.Gone, "alert.gone")
	}
	next := s.nextDigest(ctx)
	_, err = tx.NewUpdate().Model((*Alert)(nil)).Where("al.id = ?", a.ID).Set("state = 'active'").Set("confirmed_at = ?", s.Now()).
		Set("seen_until = ?", s.Now()).Set("next_at = ?", next).Exec(ctx)
	return a, err
}

// nextDigest is eight in the morning on the board, the next time it comes.
func (s *Service) nextDigest(ctx context.Context) time.Time {
	now := s.Now().In(tenant.From(ctx).Location())
	at := time.Date(now.Year(), now.Month(), now.Day(), 8, 0, 0, 0, now.Location())
	if !at.After(now) {
		at = time.Date(now.Year(), now.Month(), now.Day()+1, 8, 0, 0, 0, now.Location())
	}
	return at
}

// StopAlert ends the mails, by the link in each of them. Stopping twice is
// fine. Kind: fault.Gone.
func (s *Service) StopAlert(ctx context.Context, tx bun.IDB, id uuid.UUID, token string) (*Alert, error) {
	a, err := s.AlertByStopToken(ctx, tx, id, token)
	if err != nil || a.State == "stopped" {
		return a, err
	}
	_, err = tx.NewUpdate().Model((*Alert)(nil)).Where("al.id = ?", a.ID).Set("state = 'stopped'").Set("stopped_at = ?", s.Now()).Set("next_at = NULL").Exec(ctx)
	return a, err
}

// dueBoards lists the boards that have alerts due, across boards; those whose
// mails are held wait, and do not stand in the way of the others.
func (s *Service) dueBoards(ctx context.Context) ([]tenant.ID, error) {
	var ids []tenant.ID
	err := s.Platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT DISTINCT a.tenant_id FROM alerts AS a JOIN boards AS b ON b.id = a.tenant_id AND b.state = 'active'
			WHERE a.state = 'active' AND a.next_at <= ?
				AND NOT EXISTS (SELECT 1 FROM board_plans AS bp WHERE bp.tenant_id = a.tenant_id AND bp.mails_held_since IS NOT NULL) LIMIT 1000`, s.Now()).Scan(ctx, &ids)
	})
	return ids, err
}

// spread finds boards with due alerts and gives each a task of its own.
func (s *Service) spread(ctx context.Context, t *tasks.Task) error {
	ids, err := s.dueBoards(ctx)
	if err != nil {
		return err
	}
	return s.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		if err := t.Finish(ctx, tx); err != nil {
			return err
		}
		for _, id := range ids {
			if err := tasks.Add(ctx, tx, tasks.New{Kind: taskDigests, Queue: tasks.Bulk, Key: "due", Tenant: id}); err != nil {
				return err
			}
		}
		return nil
	})
}

// digests writes a board's due alerts. Each alert moves on in the transaction
// that queues its mail, so one that dies half-way goes on where it stopped; and
// so does one that the board's limit of mails holds: it stays due, and what it
// has seen stays as it was.
func (s *Service) digests(ctx context.Context, _ *tasks.Task) error {
	for {
		batch := int64(100)
		if s.BulkMails != nil {
			room, err := s.BulkMails(ctx)
			if err != nil || room <= 0 {
				return err
			}
			batch = min(batch, room)
		}
		var due []Alert
		err := s.DB.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
			return tx.NewSelect().Model(&due).Where("al.state = 'active'").Where("al.next_at <= ?", s.Now()).OrderExpr("al.next_at").Limit(batch).Scan(ctx)
		})
		if err != nil || len(due) == 0 {
			return err
		}
		for i := range due {
			if err := s.digest(ctx, &due[i]); err != nil {
				return err
			}
		}
	}
}

// maxItems bounds a digest; the button leads to the rest.
const maxItems = 10

func (s *Service) digest(ctx context.Context, a *Alert) error {
	query, err := url.ParseQuery(a.Query)
	if err != nil {
		return err
	}
	until := s.Now()
	cards, err := s.Find(ctx, query, a.SeenUntil)
	if err != nil {
		return err
	}
	t := tenant.From(ctx)
	m := sendmail.Message{Kind: "alert-digest", Key: a.ID.String() + " " + until.In(t.Location()).Format(time.DateOnly), To: a.Email, Locale: a.Locale,
		Data: sendmail.Data{"Count": len(cards), "Query": query.Get("q")}, URL: s.Links.Board(t, "/jobs?"+a.Query),
		StopURL: s.Links.Board(t, "/alerts/stop?id="+a.ID.String()+"&token="+s.stopToken(t.ID, a.ID))}
	for i := range cards[:min(len(cards), maxItems)] {
		c := &cards[i]
		text := c.CompanyName
		if len(c.Places) > 0 && c.Places[0].City != "" {
			text += ", " + c.Places[0].City
		}
		m.Items = append(m.Items, sendmail.Item{Title: c.Title, Text: text, URL: s.Links.Board(t, c.Path())})
	}
	return s.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		res, err := tx.NewUpdate().Model((*Alert)(nil)).Where("al.id = ?", a.ID).Where("al.state = 'active'").Where("al.next_at = ?", a.NextAt).
			Set("seen_until = ?", until).Set("next_at = ?", s.nextDigest(ctx)).Exec(ctx)
		if err := tenant.Touched(res, err, "alert"); err != nil {
			if fault.Is(err, fault.NotFound) {
				return nil // stopped or sent meanwhile
			}
			return err
		}
		if len(cards) == 0 {
			return nil
		}
		return sendmail.Queue(ctx, tx, m)
	})
}
