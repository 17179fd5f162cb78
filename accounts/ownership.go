package accounts

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/internal/fault"
	"shingle/mail"
	"shingle/tenant"
)

// PathOwnership is on the platform's host: where the offered owner, signed in
// as themselves, accepts or declines by POST.
const PathOwnership = "/ownership"

const ownershipFor = 7 * 24 * time.Hour

// What becomes of the owner who handed the board over.
const (
	ThenAdmin = "admin"
	ThenLeave = "leave"
)

// OwnershipOffer is an owner's open offer to a member of the team.
type OwnershipOffer struct {
	ID      uuid.UUID `bun:"id"`
	From    uuid.UUID `bun:"from_operator"`
	To      uuid.UUID `bun:"to_operator"`
	Then    string    `bun:"afterwards"`
	Expires time.Time `bun:"expires_at"`
	// Names of both, for the page, and of the board.
	FromName  string `bun:"from_name"`
	ToName    string `bun:"to_name"`
	ToEmail   string `bun:"to_email"`
	BoardName string `bun:"board_name"`
}

const offerQuery = `SELECT f.id, f.from_operator, f.to_operator, f.afterwards, f.expires_at,
		coalesce(nullif(a.name, ''), a.email) AS from_name, coalesce(nullif(z.name, ''), z.email) AS to_name, z.email AS to_email, b.name AS board_name
	FROM ownership_offers AS f JOIN operators AS a ON a.id = f.from_operator JOIN operators AS z ON z.id = f.to_operator
	JOIN boards AS b ON b.id = f.tenant_id
	WHERE f.tenant_id = ? AND f.state = 'open' AND f.expires_at > ?`

// OfferOwnership mails a member a single-use link to take the board over, in
// the caller's platform transaction; every owner is told. The context's actor
// offers. An older offer ends.
//
// Kinds: fault.Forbidden for who is no owner; fault.Invalid (fields "to",
// "then"); fault.Conflict for a member who owns the board already.
func (s *Operators) OfferOwnership(ctx context.Context, tx bun.IDB, board *tenant.Tenant, to uuid.UUID, then string) error {
	actor := tenant.ActorFrom(ctx)
	if then != ThenAdmin && then != ThenLeave {
		return fault.Invalids(fault.Fields{"then": "account.ownership.then"})
	}
	members, err := authz.Members(ctx, tx, board.ID)
	if err != nil {
		return err
	}
	var from, target *authz.Member
	for i := range members {
		switch members[i].Operator {
		case actor.ID:
			from = &members[i]
		case to:
			target = &members[i]
		}
	}
	if from == nil || !slices.Contains(from.Roles, authz.Owner) {
		return fault.New(fault.Forbidden, "account.ownership.owner")
	}
	if target == nil {
		return fault.Invalids(fault.Fields{"to": "account.ownership.member"})
	}
	if slices.Contains(target.Roles, authz.Owner) {
		return &fault.Error{Kind: fault.Conflict, Text: "owns the board already", Fields: fault.Fields{"to": "account.ownership.already"}}
	}
	now := s.now()
	if _, err := tx.NewRaw(`UPDATE ownership_offers SET state = 'withdrawn', ended_at = ? WHERE tenant_id = ? AND state = 'open'`, now, board.ID).Exec(ctx); err != nil {
		return err
	}
	i, id := issue(now.Add(ownershipFor), false), tenant.NewRowID()
	_, err = tx.NewRaw(`INSERT INTO ownership_offers (tenant_id, id, from_operator, to_operator, afterwards, token_hash, created_at, expires_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, board.ID, id, actor.ID, to, then, i.hash, now, i.Expires).Exec(ctx)
	if err != nil {
		return err
	}
	data := mail.Data{"From": actor.Label, "To": label(target), "Name": board.Name, "Days": int(ownershipFor / (24 * time.Hour))}
	link := s.links.Platform(withToken(PathOwnership, i.Token) + "&board=" + board.ID.String())
	if err := s.tell(ctx, tx, "ownership-offered", id, to, link, data); err != nil {
		return err
	}
	for i := range members {
		if slices.Contains(members[i].Roles, authz.Owner) {
			if err := s.tell(ctx, tx, "ownership-asked", id, members[i].Operator, s.links.Console(board, "/admin/team"), data); err != nil {
				return err
			}
		}
	}
	return authz.Record(ctx, tx, authz.Act{Act: "ownership.offered", ObjectKind: "operator", ObjectID: to.String(), Board: board.ID,
		Detail: map[string]any{"offer": id.String(), "then": then}})
}

func label(m *authz.Member) string {
	if m.Name != "" {
		return m.Name
	}
	return m.Email
}

// tell mails an operator in their own language.
func (s *Operators) tell(ctx context.Context, tx bun.IDB, kind string, offer, to uuid.UUID, url string, data mail.Data) error {
	o, err := s.ByID(ctx, tx, to)
	if err != nil {
		return err
	}
	return mail.Queue(ctx, tx, mail.Message{Kind: kind, Key: offer.String() + "/" + to.String(), To: o.Email, Locale: o.Locale, URL: url, Data: data})
}

// Ownership is a board's open offer, or nil, in a platform transaction.
func (s *Operators) Ownership(ctx context.Context, tx bun.IDB, board tenant.ID) (*OwnershipOffer, error) {
	f, err := scanOffer(ctx, tx.NewRaw(offerQuery, board, s.now()))
	if fault.Is(err, fault.Gone) {
		return nil, nil
	}
	return f, err
}

// SeeOwnership is the offer behind a mailed link, for the one it was made to.
// Kinds: fault.Gone when it is over; fault.Forbidden for anybody else.
func (s *Operators) SeeOwnership(ctx context.Context, tx bun.IDB, board tenant.ID, token string, who uuid.UUID) (*OwnershipOffer, error) {
	hash := hashOf(token)
	if hash == nil {
		return nil, errOver
	}
	f, err := scanOffer(ctx, tx.NewRaw(offerQuery+` AND f.token_hash = ?`, board, s.now(), hash))
	if err == nil && f.To != who {
		return nil, fault.New(fault.Forbidden, "account.ownership.other")
	}
	return f, err
}

func scanOffer(ctx context.Context, q *bun.RawQuery) (*OwnershipOffer, error) {
	f := new(OwnershipOffer)
	err := q.Scan(ctx, f)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errOver
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// AcceptOwnership spends an offer: who is the board's owner, who offered it
// becomes what was agreed. It opens a transaction, and mails both.
//
// Kinds: fault.Gone when the offer is over, or either of the two is no longer
// what they were; fault.Forbidden for anybody but the one it was made to.
func (s *Operators) AcceptOwnership(ctx context.Context, board tenant.ID, token string, who *Operator) error {
	return s.endOwnership(ctx, board, token, who, "accepted", func(ctx context.Context, tx bun.IDB, f *OwnershipOffer) error {
		// The change of roles moves the policy version, whose lock makes the rest wait.
		if err := authz.Change(ctx, tx, board, f.To, authz.Owner); err != nil {
			return gone(err)
		}
		held, err := authz.RolesOf(ctx, tx, board, f.From)
		if err != nil {
			return err
		}
		if !slices.Contains(held, authz.Owner) {
			return errOver
		}
		if f.Then == ThenLeave {
			err = authz.Remove(ctx, tx, board, f.From)
		} else {
			err = authz.Change(ctx, tx, board, f.From, authz.Admin)
		}
		if err != nil {
			return err
		}
		data := mail.Data{"From": f.FromName, "To": f.ToName, "Name": f.BoardName}
		url := s.links.Platform("/go?board=" + board.String())
		if err := s.tell(ctx, tx, "ownership-moved", f.ID, f.To, url, data); err != nil {
			return err
		}
		if f.Then == ThenLeave {
			url = s.links.Platform("/boards")
		}
		return s.tell(ctx, tx, "ownership-moved", f.ID, f.From, url, data)
	})
}

// gone turns a missing member into an offer that is over.
func gone(err error) error {
	if fault.Is(err, fault.NotFound) {
		return errOver
	}
	return err
}

// DeclineOwnership ends an offer without taking it; who offered is told. It
// opens a transaction. Kinds as for AcceptOwnership.
func (s *Operators) DeclineOwnership(ctx context.Context, board tenant.ID, token string, who *Operator) error {
	return s.endOwnership(ctx, board, token, who, "declined", func(ctx context.Context, tx bun.IDB, f *OwnershipOffer) error {
		return s.tell(ctx, tx, "ownership-ended", f.ID, f.From, s.links.Platform("/go?board="+board.String()),
			mail.Data{"From": f.FromName, "To": f.ToName, "Name": f.BoardName, "Declined": true})
	})
}

func (s *Operators) endOwnership(ctx context.Context, board tenant.ID, token string, who *Operator, state string, then func(context.Context, bun.IDB, *OwnershipOffer) error) error {
	return s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		f, err := s.SeeOwnership(ctx, tx, board, token, who.ID)
		if err != nil {
			return err
		}
		if err := s.closeOffer(ctx, tx, board, f.ID, state); err != nil {
			return err
		}
		if err := then(ctx, tx, f); err != nil {
			return err
		}
		return authz.Record(ctx, tx, authz.Act{Act: "ownership." + state, ObjectKind: "operator", ObjectID: f.To.String(), Board: board,
			Detail: map[string]any{"offer": f.ID.String(), "from": f.From.String(), "then": f.Then}})
	})
}

// closeOffer ends an open offer exactly once. Kind: fault.Gone.
func (s *Operators) closeOffer(ctx context.Context, tx bun.IDB, board tenant.ID, id uuid.UUID, state string) error {
	res, err := tx.NewRaw(`UPDATE ownership_offers SET state = ?, ended_at = ? WHERE tenant_id = ? AND id = ? AND state = 'open'`,
		state, s.now(), board, id).Exec(ctx)
	return gone(tenant.Touched(res, err, "offer"))
}

// WithdrawOwnership ends a board's open offer in the caller's platform
// transaction; who it was made to is told. Kind: fault.Gone without one.
func (s *Operators) WithdrawOwnership(ctx context.Context, tx bun.IDB, board tenant.ID) error {
	f, err := scanOffer(ctx, tx.NewRaw(offerQuery, board, s.now()))
	if err != nil {
		return err
	}
	if err := s.closeOffer(ctx, tx, board, f.ID, "withdrawn"); err != nil {
		return err
	}
	for _, who := range []uuid.UUID{f.To, f.From} {
		err := s.tell(ctx, tx, "ownership-ended", f.ID, who, s.links.Platform("/go?board="+board.String()),
			mail.Data{"From": f.FromName, "To": f.ToName, "Name": f.BoardName, "Declined": false})
		if err != nil {
			return err
		}
	}
	return authz.Record(ctx, tx, authz.Act{Act: "ownership.withdrawn", ObjectKind: "operator", ObjectID: f.To.String(), Board: board,
		Detail: map[string]any{"offer": f.ID.String()}})
}
