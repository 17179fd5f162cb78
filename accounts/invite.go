package accounts

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/internal/fault"
	"shingle/mail"
	"shingle/tenant"
)

// Invite asks an address to join a board's team with a role.
type Invite struct {
	// Board is the nil ID for the platform's staff.
	Board  tenant.ID
	Email  string
	Role   string
	Locale string
	// By is what the inviter may do there: nobody gives more than they have.
	By authz.Set
}

// Invite mails the invitation in the caller's platform transaction and writes
// it into the audit log. An older one to the same address ends. The inviter's
// name is the context's actor's.
//
// Kinds: fault.Invalid; fault.Forbidden for a role that can do more than the
// inviter; fault.Conflict for who is a member already; fault.TooMany.
func (s *Operators) Invite(ctx context.Context, tx bun.IDB, n Invite) error {
	email, err := Fold(n.Email)
	if err != nil {
		return err
	}
	if err := authz.MayGive(ctx, tx, n.By, n.Board, n.Role); err != nil {
		return err
	}
	var member bool
	err = tx.NewRaw(`SELECT EXISTS (SELECT FROM casbin_rules AS r JOIN operators AS o ON o.id::text = r.v0
		WHERE r.tenant_id = ? AND r.ptype = 'g' AND o.email = ?)`, n.Board, email).Scan(ctx, &member)
	if err != nil {
		return err
	}
	if member {
		return &fault.Error{Kind: fault.Conflict, Text: "already in the team", Fields: fault.Fields{"email": "account.invite.member"}}
	}
	if err := s.inviteLimit(ctx, tx, n.Board, email); err != nil {
		return err
	}
	_, err = tx.NewRaw(`UPDATE operator_tokens SET spent_at = ? WHERE kind = ? AND email = ? AND board_id IS NOT DISTINCT FROM ?::uuid AND spent_at IS NULL`,
		s.now(), kindInvite, email, orNull(n.Board)).Exec(ctx)
	if err != nil {
		return err
	}
	by := tenant.ActorFrom(ctx).Label
	i, err := s.issueToken(ctx, tx, newToken{kind: kindInvite, email: email, board: orNull(n.Board), lives: inviteFor,
		notes: notes{Role: n.Role, Locale: n.Locale, By: by}})
	if err != nil {
		return err
	}
	err = mail.Queue(ctx, tx, mail.Message{Kind: "operator-invite", Key: i.key(), To: email, Locale: n.Locale,
		URL:  s.links.Platform(withToken(PathInvitation, i.Token)),
		Data: mail.Data{"By": by, "Days": int(inviteFor / (24 * time.Hour))}})
	if err != nil {
		return err
	}
	return authz.Record(ctx, tx, authz.Act{Act: "member.invited", ObjectKind: "invitation", ObjectID: publicID(i.hash), Board: n.Board,
		Detail: map[string]any{"role": n.Role}, Personal: map[string]any{"email": email}})
}

// inviteLimit counts rows: the transaction is the caller's, and Redis has no
// place in it.
func (s *Operators) inviteLimit(ctx context.Context, tx bun.IDB, board tenant.ID, email string) error {
	var all, same int
	err := tx.NewRaw(`SELECT count(*), count(*) FILTER (WHERE email = ?) FROM operator_tokens
		WHERE kind = ? AND board_id IS NOT DISTINCT FROM ?::uuid AND created_at > ?`,
		email, kindInvite, orNull(board), s.now().Add(-time.Hour)).Scan(ctx, &all, &same)
	if err == nil && (all >= 50 || same >= mailsPerAddress.N) {
		err = verdict(false, time.Hour)
	}
	return err
}

// Invitation is one that nobody has accepted yet.
type Invitation struct {
	ID      string
	Email   string
	Role    string
	Expires time.Time
}

// Invitations lists a board's open invitations, newest first, in a platform
// transaction.
func (s *Operators) Invitations(ctx context.Context, tx bun.IDB, board tenant.ID) ([]Invitation, error) {
	var rows []operatorToken
	err := tx.NewRaw(`SELECT `+tokenColumns+` FROM operator_tokens WHERE kind = ? AND board_id IS NOT DISTINCT FROM ?::uuid AND spent_at IS NULL AND expires_at > ?
		ORDER BY created_at DESC`, kindInvite, orNull(board), s.now()).Scan(ctx, &rows)
	if err != nil {
		return nil, err
	}
	out := make([]Invitation, 0, len(rows))
	for i := range rows {
		n, err := rows[i].notes()
		if err != nil {
			return nil, err
		}
		out = append(out, Invitation{publicID(rows[i].Hash), rows[i].Email, n.Role, rows[i].ExpiresAt})
	}
	return out, nil
}

// Uninvite ends an open invitation. Kind: fault.NotFound, also for another
// board's.
func (s *Operators) Uninvite(ctx context.Context, tx bun.IDB, board tenant.ID, id string) error {
	hash, err := hashFromID(id)
	if err != nil {
		return err
	}
	res, err := tx.NewRaw(`UPDATE operator_tokens SET spent_at = ? WHERE hash = ? AND kind = ? AND board_id IS NOT DISTINCT FROM ?::uuid AND spent_at IS NULL`,
		s.now(), hash, kindInvite, orNull(board)).Exec(ctx)
	if err := tenant.Touched(res, err, "invitation"); err != nil {
		return err
	}
	return authz.Record(ctx, tx, authz.Act{Act: "member.uninvited", ObjectKind: "invitation", ObjectID: id, Board: board})
}

// Resend mails an open invitation anew: the older link ends, the days begin
// again. Kinds: fault.NotFound, also for another board's; those of Invite.
func (s *Operators) Resend(ctx context.Context, tx bun.IDB, board tenant.ID, id string, by authz.Set) error {
	hash, err := hashFromID(id)
	if err != nil {
		return err
	}
	t, err := scanToken(ctx, tx.NewRaw(`SELECT `+tokenColumns+` FROM operator_tokens
		WHERE hash = ? AND kind = ? AND board_id IS NOT DISTINCT FROM ?::uuid AND spent_at IS NULL FOR UPDATE`, hash, kindInvite, orNull(board)))
	if fault.Is(err, fault.Gone) {
		return fault.New(fault.NotFound, "invitation not found")
	}
	if err != nil {
		return err
	}
	n, err := t.notes()
	if err != nil {
		return err
	}
	return s.Invite(ctx, tx, Invite{Board: board, Email: t.Email, Role: n.Role, Locale: n.Locale, By: by})
}

// MoveInvitations gives open invitations to a role another one, when the role
// is renamed or goes. It returns how many there were; with an empty to it only
// counts.
func (s *Operators) MoveInvitations(ctx context.Context, tx bun.IDB, board tenant.ID, from, to string) (int, error) {
	open, err := s.Invitations(ctx, tx, board)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, i := range open {
		if i.Role != from {
			continue
		}
		n++
		if to == "" {
			continue
		}
		hash, err := hashFromID(i.ID)
		if err != nil {
			return 0, err
		}
		_, err = tx.NewRaw(`UPDATE operator_tokens SET payload = jsonb_set(payload, '{role}', to_jsonb(?::text)) WHERE hash = ? AND spent_at IS NULL`, to, hash).Exec(ctx)
		if err != nil {
			return 0, err
		}
	}
	return n, nil
}

// Accept spends an invitation on the platform's host: the operator is made if
// there is none, gets the role, and a session. It opens a transaction.
// Kinds: fault.Gone; fault.Invalid when the role is no longer there.
func (s *Operators) Accept(ctx context.Context, token, name string, c Client) (*SignedIn, error) {
	hash := hashOf(token)
	if hash == nil {
		return nil, errOver
	}
	var in *SignedIn
	ctx = tenant.With(ctx, nil)
	err := s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		t, err := s.spendToken(ctx, tx, kindInvite, hash)
		if err != nil {
			return err
		}
		n, err := t.notes()
		if err != nil {
			return err
		}
		o, err := s.FindOrCreate(ctx, tx, t.Email, name, n.Locale)
		if err != nil {
			return err
		}
		board := tenant.Nil
		if t.BoardID != nil {
			board = *t.BoardID
		}
		if err := authz.Grant(ctx, tx, board, o.ID, n.Role); err != nil {
			return err
		}
		actor := tenant.WithActor(ctx, o.Actor(tenant.Operator))
		err = authz.Record(actor, tx, authz.Act{Act: "member.joined", ObjectKind: "operator", ObjectID: o.ID.String(), Board: board,
			Detail: map[string]any{"role": n.Role}})
		if err != nil {
			return err
		}
		if in, err = s.startSession(ctx, tx, o, nil, nil, c); err != nil {
			return err
		}
		in.Board = board
		return nil
	})
	return in, err
}

func orNull(id tenant.ID) *tenant.ID {
	if id.IsNil() {
		return nil
	}
	return &id
}
