// Package privacy answers what the law gives a board's seekers and employers:
// all that the board holds of them, and its erasure, after they have shown that
// the address is theirs. It owns the requests and what an erasure takes; how a
// table's rows are read or emptied is its owner's. Start at Service.
package privacy

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"io"
	"net/url"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/accounts"
	"shingle/archive"
	"shingle/authz"
	"shingle/candidates"
	"shingle/internal/fault"
	"shingle/internal/links"
	"shingle/listings"
	"shingle/mail"
	"shingle/tasks"
	"shingle/tenant"
)

const (
	// linkFor is how long the mailed link waits to be pressed; ticketFor how long
	// the page that it opens may be used.
	linkFor, ticketFor = time.Hour, 30 * time.Minute
	// Grace is how long an erasure can be taken back.
	Grace = 3 * 24 * time.Hour
	// GraceDays is Grace for words.
	GraceDays = int(Grace / (24 * time.Hour))
	// keepProof is how long a request that is over is kept, without its address:
	// three years, after which claims about it lapse (§ 195 BGB).
	keepProof = 3 * 365 * 24 * time.Hour
)

// Kinds of tokens, frozen.
const (
	kindLink   = "data-link"
	kindTicket = "data-ticket"
	kindKeep   = "data-keep"
)

// Kinds and states of requests.
const (
	Export  = "export"
	Erasure = "erasure"

	Asked     = "asked"
	Cancelled = "cancelled"
	Done      = "done"
)

// Service is the rules; the board is always the context's.
type Service struct {
	DB         *tenant.DB
	Platform   *tenant.Platform
	People     *accounts.People
	Archive    *archive.Service
	Candidates *candidates.Service
	Listings   *listings.Store
	Links      links.Links
	// Key makes fingerprints.
	Key []byte
	Now func() time.Time
}

// Request is one wish of one person, with its dates.
type Request struct {
	bun.BaseModel `bun:"table:person_requests,alias:rq"`
	tenant.Scoped

	ID    uuid.UUID `bun:"id,pk,type:uuid"`
	Kind  string    `bun:"kind"`
	State string    `bun:"state"`
	// Email is empty once the request is over.
	Email       string     `bun:"email"`
	Fingerprint []byte     `bun:"fingerprint"`
	AskedAt     time.Time  `bun:"asked_at"`
	RunsAt      time.Time  `bun:"runs_at"`
	DueAt       time.Time  `bun:"due_at"`
	OverAt      *time.Time `bun:"over_at"`
	Counts      Counts     `bun:"counts,type:jsonb"`
}

// Counts is how much was handed over or erased.
type Counts map[string]int64

// Late reports a request that the law's month is over for.
func (r *Request) Late(now time.Time) bool { return r.State == Asked && now.After(r.DueAt) }

// aMonth is the time that the law gives (GDPR art. 12(3)).
func aMonth(from time.Time) time.Time { return from.AddDate(0, 1, 0) }

// fingerprint tells whether a given address is meant, and none to whoever has
// the table alone.
func (s *Service) fingerprint(board tenant.ID, email string) []byte {
	m := hmac.New(sha256.New, s.Key)
	m.Write([]byte("person request v1\x00" + board.String() + "\x00" + email))
	return m.Sum(nil)
}

// person is the actor of a request: the board knows that somebody proved an
// address, and keeps no name with it.
func person(ctx context.Context) context.Context {
	return tenant.WithActor(ctx, tenant.Actor{Kind: tenant.Person})
}

// AskLink mails a link that proves the address. Every address gets the same
// answer and the same mail, known or not. It opens a transaction. Kinds:
// fault.Invalid (field "email"), fault.TooMany.
func (s *Service) AskLink(ctx context.Context, email string, c accounts.Client) error {
	email, err := accounts.Fold(email)
	if err != nil {
		return err
	}
	if err := s.People.MayMail(ctx, email, c); err != nil {
		return err
	}
	return s.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		i, err := s.People.Issue(ctx, tx, accounts.NewToken{Kind: kindLink, Email: email, Lives: linkFor})
		if err != nil {
			return err
		}
		return mail.Queue(ctx, tx, mail.Message{Kind: "data-link", Key: i.Key(), To: email, URL: s.link(ctx, "/your-data/open", i.Token),
			Data: mail.Data{"Minutes": int(linkFor.Minutes())}})
	})
}

func (s *Service) link(ctx context.Context, path, token string) string {
	return s.Links.Board(tenant.From(ctx), path+"?token="+url.QueryEscape(token))
}

// PeekLink is whose a mailed link is, unspent: mail scanners follow links.
// Kind: fault.Gone.
func (s *Service) PeekLink(ctx context.Context, tx bun.IDB, token string) (email string, err error) {
	return s.peek(ctx, tx, kindLink, token)
}

func (s *Service) peek(ctx context.Context, tx bun.IDB, kind, token string) (string, error) {
	t, err := s.People.Peek(ctx, tx, kind, token)
	if fault.Is(err, fault.Gone) {
		return "", fault.Wrap(err, fault.Gone, "data.link_over")
	}
	if err != nil {
		return "", err
	}
	return t.Email, nil
}

// Opened is the page behind a spent link.
type Opened struct {
	Email string
	// Ticket goes into the page's forms: no cookie is set for it.
	Ticket string
	Held   []archive.Held
	// Erasure is one that waits already.
	Erasure *Request
}

// Open spends a mailed link, once. It opens transactions. Kind: fault.Gone.
func (s *Service) Open(ctx context.Context, token string) (*Opened, error) {
	o := new(Opened)
	err := s.DB.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		t, err := s.People.Spend(ctx, tx, kindLink, token)
		if fault.Is(err, fault.Gone) {
			return fault.Wrap(err, fault.Gone, "data.link_over")
		}
		if err != nil {
			return err
		}
		i, err := s.People.Issue(ctx, tx, accounts.NewToken{Kind: kindTicket, Email: t.Email, Lives: ticketFor})
		if err != nil {
			return err
		}
		o.Email, o.Ticket = t.Email, i.Token
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.opened(ctx, o)
}

// Again is the page behind a ticket that is still good. Kind: fault.Gone.
func (s *Service) Again(ctx context.Context, ticket string) (*Opened, error) {
	o := &Opened{Ticket: ticket}
	err := s.DB.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		o.Email, err = s.peek(ctx, tx, kindTicket, ticket)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.opened(ctx, o)
}

func (s *Service) opened(ctx context.Context, o *Opened) (_ *Opened, err error) {
	if o.Held, err = s.Archive.Held(ctx, o.Email); err != nil {
		return nil, err
	}
	return o, s.DB.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		o.Erasure, err = open(ctx, tx, o.Email)
		return err
	})
}

// open is the erasure that waits for an address; nil for none.
func open(ctx context.Context, tx bun.IDB, email string) (*Request, error) {
	r := new(Request)
	err := tenant.One(ctx, tx.NewSelect().Model(r).Where("rq.email = ?", email).Where("rq.state = ?", Asked), "request")
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	return r, err
}

// Download writes all that the board holds of the ticket's address, and keeps
// that it was handed over. It opens transactions. Kind: fault.Gone.
func (s *Service) Download(ctx context.Context, w io.Writer, ticket string) error {
	var email string
	err := s.DB.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		email, err = s.peek(ctx, tx, kindTicket, ticket)
		return err
	})
	if err != nil {
		return err
	}
	n, err := s.Archive.Person(ctx, w, email)
	if err != nil {
		return err
	}
	return s.DB.Write(person(ctx), func(ctx context.Context, tx bun.IDB) error {
		now, board := s.Now(), tenant.From(ctx).ID
		r := &Request{ID: tenant.NewRowID(), Kind: Export, State: Done, Fingerprint: s.fingerprint(board, email), AskedAt: now, RunsAt: now, DueAt: aMonth(now), OverAt: &now, Counts: Counts{"rows": int64(n)}}
		if _, err := tx.NewInsert().Model(r).Exec(ctx); err != nil {
			return err
		}
		return authz.Record(ctx, tx, authz.Act{Act: "person.exported", ObjectKind: "request", ObjectID: r.ID.String(), Detail: map[string]any{"rows": n}})
	})
}

type keepPayload struct {
	Request uuid.UUID `json:"request"`
}

// AskErasure begins an erasure after Grace and mails the link that takes it
// back. One that waits already is answered with, unchanged. It opens a
// transaction. Kind: fault.Gone.
func (s *Service) AskErasure(ctx context.Context, ticket string) (*Request, error) {
	var r *Request
	err := s.DB.Write(person(ctx), func(ctx context.Context, tx bun.IDB) error {
		email, err := s.peek(ctx, tx, kindTicket, ticket)
		if err != nil {
			return err
		}
		if r, err = open(ctx, tx, email); err != nil || r != nil {
			return err
		}
		now := s.Now()
		r = &Request{ID: tenant.NewRowID(), Kind: Erasure, State: Asked, Email: email, Fingerprint: s.fingerprint(tenant.From(ctx).ID, email), AskedAt: now, RunsAt: now.Add(Grace), DueAt: aMonth(now), Counts: Counts{}}
		res, err := tx.NewInsert().Model(r).On("CONFLICT (tenant_id, email) WHERE state = 'asked' DO NOTHING").Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 { // the other of two posts at one moment
			if r, err = open(ctx, tx, email); err == nil && r == nil { // which was taken back meanwhile
				err = fault.New(fault.Gone, "data.link_over")
			}
			return err
		}
		if err := tasks.Add(ctx, tx, tasks.New{Kind: taskErase, Key: r.ID.String(), RunAt: r.RunsAt, Payload: erasePayload{r.ID}}); err != nil {
			return err
		}
		i, err := s.People.Issue(ctx, tx, accounts.NewToken{Kind: kindKeep, Email: email, Payload: keepPayload{r.ID}, Lives: Grace})
		if err != nil {
			return err
		}
		err = mail.Queue(ctx, tx, mail.Message{Kind: "data-erasure-asked", Key: r.ID.String(), To: email, URL: s.link(ctx, "/your-data/keep", i.Token), Data: mail.Data{"Days": GraceDays}})
		if err != nil {
			return err
		}
		return authz.Record(ctx, tx, authz.Act{Act: "person.erasure_asked", ObjectKind: "request", ObjectID: r.ID.String()})
	})
	return r, err
}

// PeekKeep is whether a link still takes an erasure back. Kind: fault.Gone.
func (s *Service) PeekKeep(ctx context.Context, tx bun.IDB, token string) (email string, err error) {
	return s.peek(ctx, tx, kindKeep, token)
}

// Keep takes an erasure back. It opens a transaction. Kind: fault.Gone for a
// link that is spent or too old, and once the erasure is done.
func (s *Service) Keep(ctx context.Context, token string) error {
	return s.DB.Write(person(ctx), func(ctx context.Context, tx bun.IDB) error {
		t, err := s.People.Spend(ctx, tx, kindKeep, token)
		var p keepPayload
		if err == nil {
			err = t.Decode(&p)
		}
		if err == nil {
			res, uerr := tx.NewUpdate().Model((*Request)(nil)).Set("state = ?", Cancelled).Set("over_at = ?", s.Now()).Set("email = ''").
				Where("rq.id = ?", p.Request).Where("rq.state = ?", Asked).Exec(ctx)
			if err = tenant.Touched(res, uerr, "request"); fault.Is(err, fault.NotFound) {
				err = fault.Wrap(err, fault.Gone, "data.link_over")
			}
		}
		if fault.Is(err, fault.Gone) {
			return fault.Wrap(err, fault.Gone, "data.link_over")
		}
		if err != nil {
			return err
		}
		return authz.Record(ctx, tx, authz.Act{Act: "person.erasure_cancelled", ObjectKind: "request", ObjectID: p.Request.String()})
	})
}

// Requests lists the board's requests: those that wait by their last day, then
// the others, newest first. It tells how many there are.
func (s *Service) Requests(ctx context.Context, tx bun.IDB, page, size int) (out []Request, total int, err error) {
	q := func() *bun.SelectQuery { return tx.NewSelect().Model(&out) }
	if total, err = tenant.Count(ctx, q()); err != nil {
		return nil, 0, err
	}
	err = q().OrderExpr("(rq.state = 'asked') DESC, CASE WHEN rq.state = 'asked' THEN rq.due_at END, rq.asked_at DESC, rq.id DESC").Limit(int64(size)).Offset(int64(page-1) * int64(size)).Scan(ctx)
	return out, total, err
}

// Erased tells when an address was erased last on the board; nil for never.
// Kind: fault.Invalid.
func (s *Service) Erased(ctx context.Context, tx bun.IDB, email string) (*time.Time, error) {
	email, err := accounts.Fold(email)
	if err != nil {
		return nil, err
	}
	r := new(Request)
	err = tenant.One(ctx, tx.NewSelect().Model(r).Where("rq.fingerprint = ?", s.fingerprint(tenant.From(ctx).ID, email)).Where("rq.kind = ?", Erasure).Where("rq.state = ?", Done).
		Order("rq.over_at DESC").Limit(1), "request")
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	return r.OverAt, err
}
