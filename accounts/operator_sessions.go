package accounts

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/tenant"
)

// OperatorSession is a sign-in of an operator: on the platform's host, or on a
// board's platform address as the child of the one there.
type OperatorSession struct {
	// ID names the session in lists and forms; it opens nothing.
	ID       string
	Operator Operator
	// Board is nil on the platform's host.
	Board *tenant.ID
	// PolicyVersion is the board's, or the platform's, read with the session.
	PolicyVersion               int64
	UserAgent, Address          string
	CreatedAt, SeenAt, ExpireAt time.Time
	// FactorAt is when the second factor was proven last; zero for never.
	FactorAt time.Time
	// HasFactor tells that the operator has a passkey or an authenticator app.
	HasFactor bool
	// Acting is set where staff acts as the operator.
	Acting *Acting

	hash, parent []byte
	exempt       bool
}

// Domain is what authz.Gate resolves the session's permissions in.
func (s *OperatorSession) Domain() tenant.ID {
	if s.Board == nil {
		return tenant.Nil
	}
	return *s.Board
}

// Device is the browser and system that the session was made with, in a few
// words of their own names.
func (s *OperatorSession) Device() string {
	first := func(names ...[2]string) string {
		for _, n := range names {
			if strings.Contains(s.UserAgent, n[0]) {
				return n[1]
			}
		}
		return ""
	}
	browser := first([2]string{"Edg/", "Edge"}, [2]string{"OPR/", "Opera"}, [2]string{"Firefox/", "Firefox"}, [2]string{"Chrome/", "Chrome"}, [2]string{"CriOS/", "Chrome"}, [2]string{"Safari/", "Safari"})
	system := first([2]string{"iPhone", "iPhone"}, [2]string{"iPad", "iPad"}, [2]string{"Android", "Android"}, [2]string{"Windows", "Windows"}, [2]string{"Mac OS X", "macOS"}, [2]string{"CrOS", "ChromeOS"}, [2]string{"Linux", "Linux"})
	switch {
	case browser != "" && system != "":
		return browser + " · " + system
	case browser+system != "":
		return browser + system
	case s.UserAgent == "":
		return "?"
	}
	return s.UserAgent
}

// SignedIn is a fresh session. Token goes into the cookie, until Expires.
type SignedIn struct {
	Token    string
	Expires  time.Time
	Operator *Operator
	// Next is where the operator was going, a local path or "".
	Next string
	// Board is the board of an invitation or a hand-over.
	Board tenant.ID
}

type sessionRow struct {
	TokenHash     []byte       `bun:"token_hash"`
	BoardID       *tenant.ID   `bun:"board_id"`
	ParentHash    []byte       `bun:"parent_hash"`
	UserAgent     string       `bun:"user_agent"`
	Address       string       `bun:"address"`
	CreatedAt     time.Time    `bun:"created_at"`
	SeenAt        time.Time    `bun:"seen_at"`
	ExpiresAt     time.Time    `bun:"expires_at"`
	PolicyVersion int64        `bun:"policy_version"`
	FactorAt      bun.NullTime `bun:"factor_at"`
	HasFactor     bool         `bun:"has_factor"`

	OperatorID  uuid.UUID    `bun:"operator_id"`
	Email       string       `bun:"email"`
	Name        string       `bun:"name"`
	Locale      string       `bun:"locale"`
	HasPassword bool         `bun:"has_password"`
	Since       time.Time    `bun:"since"`
	SignedInAt  bun.NullTime `bun:"signed_in_at"`

	ImpersonationID *uuid.UUID `bun:"impersonation_id"`
	ImpersonatorID  *uuid.UUID `bun:"impersonator_id"`
	Impersonator    string     `bun:"impersonator"`
	ReadOnly        bool       `bun:"read_only"`
	PlatformVersion int64      `bun:"platform_version"`
}

func (r *sessionRow) session() *OperatorSession {
	s := &OperatorSession{ID: publicID(r.TokenHash), Board: r.BoardID, PolicyVersion: r.PolicyVersion,
		Operator:  Operator{r.OperatorID, r.Email, r.Name, r.Locale, r.HasPassword, r.Since, r.SignedInAt},
		UserAgent: r.UserAgent, Address: r.Address, CreatedAt: r.CreatedAt, SeenAt: r.SeenAt, ExpireAt: r.ExpiresAt,
		FactorAt: r.FactorAt.Time, HasFactor: r.HasFactor,
		hash: r.TokenHash, parent: r.ParentHash}
	if r.ImpersonationID != nil && r.ImpersonatorID != nil {
		s.Acting = &Acting{Impersonation: *r.ImpersonationID, Staff: *r.ImpersonatorID, StaffLabel: r.Impersonator, Writes: !r.ReadOnly, PlatformVersion: r.PlatformVersion}
	}
	return s
}

// Actor is who acts in this session: its operator, and who sits there in truth.
func (s *OperatorSession) Actor(kind tenant.ActorKind) tenant.Actor {
	a := s.Operator.Actor(kind)
	if s.Acting != nil {
		a.Impersonator, a.ImpersonatorLabel = s.Acting.Staff, s.Acting.StaffLabel
	}
	return a
}

// sessionQuery reads sessions that are alive at the instant of both "?": a
// child lives no longer than its parent, whose row must still be there.
const sessionQuery = `SELECT s.token_hash, s.board_id, s.parent_hash, s.user_agent, s.address, s.created_at, s.seen_at, s.expires_at, s.factor_at,
		(EXISTS (SELECT FROM operator_totp AS f WHERE f.operator_id = s.operator_id) OR EXISTS (SELECT FROM operator_passkeys AS f WHERE f.operator_id = s.operator_id)) AS has_factor,
		CASE WHEN s.board_id IS NULL THEN (SELECT version FROM platform_policy) ELSE b.policy_version END AS policy_version,
		o.id AS operator_id, o.email, o.name, o.locale, o.password_hash <> '' AS has_password, o.created_at AS since, o.signed_in_at,
		s.impersonation_id, s.impersonator_id, s.read_only, coalesce(nullif(i.name, ''), i.email, '') AS impersonator,
		CASE WHEN s.impersonator_id IS NULL THEN 0 ELSE (SELECT version FROM platform_policy) END AS platform_version
	FROM operator_sessions AS s
	JOIN operators AS o ON o.id = s.operator_id
	LEFT JOIN boards AS b ON b.id = s.board_id
	LEFT JOIN operators AS i ON i.id = s.impersonator_id
	LEFT JOIN operator_sessions AS p ON p.token_hash = s.parent_hash
	WHERE s.revoked_at IS NULL AND s.expires_at > ?
		AND (s.parent_hash IS NULL OR p.revoked_at IS NULL AND p.expires_at > ?)`

// SessionByToken finds the session of a cookie's token, its operator and the
// domain's policy version in one query. board is nil on the platform's host: a
// session counts only where it was made. Using a session prolongs it, and its
// parent. Kind: fault.SignIn.
func (s *Operators) SessionByToken(ctx context.Context, token string, board *tenant.ID) (*OperatorSession, error) {
	hash := hashOf(token)
	if hash == nil {
		return nil, errSignIn
	}
	now, row := s.now(), new(sessionRow)
	err := s.platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(sessionQuery+` AND s.token_hash = ? AND s.board_id IS NOT DISTINCT FROM ?::uuid`, now, now, hash, board).Scan(ctx, row)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errSignIn
	}
	if err != nil {
		return nil, err
	}
	if now.Sub(row.SeenAt) > touchEvery {
		s.touch(ctx, row, now)
	}
	out := row.session()
	out.exempt = s.exempt[out.Operator.Email] && !out.HasFactor
	return out, nil
}

// touch prolongs a session. The request does not fail with it: the next use
// tries again.
func (s *Operators) touch(ctx context.Context, row *sessionRow, now time.Time) {
	_ = s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		// An impersonation ends when it was said to, however busy it is.
		_, err := tx.NewRaw(`UPDATE operator_sessions SET seen_at = ?, expires_at = CASE WHEN impersonation_id IS NULL
				THEN least(?::timestamptz, created_at + make_interval(secs => ?)) ELSE expires_at END
			WHERE token_hash IN (?, coalesce(?, '\x'::bytea)) AND revoked_at IS NULL AND seen_at < ?`,
			now, now.Add(operatorIdle), operatorMax.Seconds(), row.TokenHash, row.ParentHash, now).Exec(ctx)
		return err
	})
}

// startSession makes a session in the caller's transaction. With a parent it is
// the parent's child on a board, and has proven what the parent has by then.
func (s *Operators) startSession(ctx context.Context, tx bun.IDB, o *Operator, board *tenant.ID, parent []byte, c Client) (*SignedIn, error) {
	token, hash := secret()
	now := s.now()
	expires := now.Add(operatorIdle)
	_, err := tx.NewRaw(`INSERT INTO operator_sessions (token_hash, operator_id, board_id, parent_hash, user_agent, address, created_at, seen_at, expires_at, factor_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, (SELECT factor_at FROM operator_sessions WHERE token_hash = ?))`,
		hash, o.ID, board, parent, c.agent(), c.Address, now, now, expires, parent).Exec(ctx)
	if err != nil {
		return nil, err
	}
	if parent == nil {
		if _, err := tx.NewRaw(`UPDATE operators SET signed_in_at = ? WHERE id = ?`, now, o.ID).Exec(ctx); err != nil {
			return nil, err
		}
	}
	in := &SignedIn{Token: token, Expires: now.Add(operatorMax), Operator: o}
	if board != nil {
		in.Board = *board
	}
	return in, nil
}

// SignOut ends the session of a token with its whole family: whoever signs out
// on a board must not be handed over again by a session on the platform's host.
// It opens a transaction. An unknown token is no error.
func (s *Operators) SignOut(ctx context.Context, token string) error {
	hash := hashOf(token)
	if hash == nil {
		return nil
	}
	return s.platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`UPDATE operator_sessions SET revoked_at = ? WHERE revoked_at IS NULL AND
			coalesce(parent_hash, token_hash) = (SELECT coalesce(parent_hash, token_hash) FROM operator_sessions WHERE token_hash = ?)`,
			s.now(), hash).Exec(ctx)
		return err
	})
}

// EndSession ends one of an operator's sessions, named by its ID, with its
// children. Kind: fault.NotFound, also for another operator's.
func (s *Operators) EndSession(ctx context.Context, tx bun.IDB, operator uuid.UUID, id string) error {
	hash, err := hashFromID(id)
	if err != nil {
		return err
	}
	res, err := tx.NewRaw(`UPDATE operator_sessions SET revoked_at = ?
		WHERE operator_id = ? AND revoked_at IS NULL AND (token_hash = ? OR parent_hash = ?)`, s.now(), operator, hash, hash).Exec(ctx)
	return tenant.Touched(res, err, "session")
}

// EndSessions ends all of an operator's sessions, except the family of keep
// unless it is nil.
func (s *Operators) EndSessions(ctx context.Context, tx bun.IDB, operator uuid.UUID, keep *OperatorSession) error {
	family := []byte{}
	if keep != nil {
		if family = keep.parent; family == nil {
			family = keep.hash
		}
	}
	_, err := tx.NewRaw(`UPDATE operator_sessions SET revoked_at = ?
		WHERE operator_id = ? AND revoked_at IS NULL AND coalesce(parent_hash, token_hash) <> ?`, s.now(), operator, family).Exec(ctx)
	return err
}

// Sessions lists an operator's live sessions, the latest used first.
func (s *Operators) Sessions(ctx context.Context, tx bun.IDB, operator uuid.UUID) ([]*OperatorSession, error) {
	now := s.now()
	var rows []sessionRow
	if err := tx.NewRaw(sessionQuery+` AND s.operator_id = ? ORDER BY s.seen_at DESC, s.created_at DESC`, now, now, operator).Scan(ctx, &rows); err != nil {
		return nil, err
	}
	out := make([]*OperatorSession, len(rows))
	for i := range rows {
		out[i] = rows[i].session()
	}
	return out, nil
}
