package accounts

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/links"
	"shingle/mail"
	"shingle/tenant"
)

// Person is a seeker or employer of one board. The same address on two boards
// is two people: a board's users are its own.
type Person struct {
	bun.BaseModel `bun:"table:people,alias:pe"`
	tenant.Scoped
	ID        uuid.UUID `bun:"id,pk,type:uuid"`
	Email     string    `bun:"email"`
	Name      string    `bun:"name"`
	Locale    string    `bun:"locale"`
	CreatedAt time.Time `bun:"created_at"`
	// ConfirmedAt is when they first showed that the address is theirs.
	ConfirmedAt *time.Time `bun:"confirmed_at"`
}

// Actor is the person as the context carries who acts.
func (p *Person) Actor() tenant.Actor {
	label := p.Name
	if label == "" {
		label = p.Email
	}
	return tenant.Actor{Kind: tenant.Person, ID: p.ID, Label: label}
}

// People is everything about the accounts of a board's own people. The board is
// always the context's.
type People struct {
	db    *tenant.DB
	limit *Limiter
	links links.Links
	now   func() time.Time
}

// NewPeople makes the service.
func NewPeople(db *tenant.DB, l *Limiter, ln links.Links, now func() time.Time) *People {
	return &People{db: db, limit: l, links: ln, now: now}
}

// ByID finds a person of the board. Kind: fault.NotFound.
func (s *People) ByID(ctx context.Context, tx bun.IDB, id uuid.UUID) (*Person, error) {
	p := new(Person)
	return p, tenant.One(ctx, tx.NewSelect().Model(p).Where("pe.id = ?", id), "person")
}

// ByEmail finds a person by address. Kinds: fault.Invalid, fault.NotFound:
// never tell the difference to somebody who has not signed in.
func (s *People) ByEmail(ctx context.Context, tx bun.IDB, email string) (*Person, error) {
	email, err := Fold(email)
	if err != nil {
		return nil, err
	}
	p := new(Person)
	return p, tenant.One(ctx, tx.NewSelect().Model(p).Where("pe.email = ?", email), "person")
}

// FindOrCreate finds the board's person of an address or makes one. A name is
// kept when there is none yet: whoever writes an address has not shown that it
// is theirs. Kind: fault.Invalid.
func (s *People) FindOrCreate(ctx context.Context, tx bun.IDB, email, name string) (*Person, error) {
	email, err := Fold(email)
	if err != nil {
		return nil, err
	}
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, err
	}
	locale := ""
	if t := tenant.From(ctx); t != nil {
		locale = t.Locale
	}
	p := new(Person)
	// The update that changes nothing makes RETURNING answer for a row that was there.
	err = tx.NewRaw(`INSERT INTO people AS p (tenant_id, id, email, name, locale, created_at) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (tenant_id, email) DO UPDATE SET name = CASE WHEN p.name = '' THEN excluded.name ELSE p.name END
		RETURNING tenant_id, id, email, name, locale, created_at, confirmed_at`,
		board, tenant.NewRowID(), email, cleanName(name), locale, s.now()).Scan(ctx, p)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Rename sets a person's own name. Kind: fault.NotFound.
func (s *People) Rename(ctx context.Context, tx bun.IDB, id uuid.UUID, name string) error {
	res, err := tx.NewUpdate().Model((*Person)(nil)).Set("name = ?", cleanName(name)).Where("pe.id = ?", id).Exec(ctx)
	return tenant.Touched(res, err, "person")
}

// KindSignIn is the kind of tokens that sign a person in.
const KindSignIn = "sign-in"

type personNotes struct {
	Next string `json:"next,omitempty"`
}

// RequestSignIn mails a link and a code. Nobody is made before they come back
// with one of them, and every address gets the same answer. The ticket stays
// with the page, whose form takes the code. It opens a transaction.
// Kinds: fault.Invalid, fault.TooMany.
func (s *People) RequestSignIn(ctx context.Context, email, next string, c Client) (ticket string, err error) {
	email, err = Fold(email)
	if err != nil {
		return "", err
	}
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return "", err
	}
	if err := s.limit.mails(ctx, board, email, c); err != nil {
		return "", err
	}
	err = s.db.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		i, err := s.Issue(ctx, tx, NewToken{Kind: KindSignIn, Email: email, Payload: personNotes{LocalPath(next, "")}, Lives: signInFor, WithCode: true})
		if err != nil {
			return err
		}
		ticket = i.Ticket
		return mail.Queue(ctx, tx, mail.Message{Kind: "person-sign-in", Key: i.key(), To: email, URL: s.linkTo(ctx, i.Token),
			Data: mail.Data{"Code": i.Code, "Minutes": int(signInFor.Minutes())}})
	})
	return ticket, err
}

// DeskLink makes a link that signs the owner of an address in, once and within
// its life, and leads to their desk, for a mail of another kind (a receipt). It
// is as good as their mailbox: put it in mails to that address alone.
func (s *People) DeskLink(ctx context.Context, tx bun.IDB, email string) (url string, lives time.Duration, err error) {
	i, err := s.Issue(ctx, tx, NewToken{Kind: KindSignIn, Email: email, Payload: personNotes{"/employers/desk"}, Lives: deskLinkFor})
	if err != nil {
		return "", 0, err
	}
	return s.linkTo(ctx, i.Token), deskLinkFor, nil
}

func (s *People) linkTo(ctx context.Context, token string) string {
	return s.links.Board(tenant.From(ctx), withToken(PathPersonLink, token))
}

// PersonSignedIn is a fresh session. Token goes into the cookie, until Expires.
type PersonSignedIn struct {
	Token   string
	Expires time.Time
	Person  *Person
	// Next is where the person was going, a local path or "".
	Next string
}

// SignIn spends what came by mail, makes the person if there is none, and
// starts a session. It opens its transactions. Kinds: fault.Gone for a link or
// ticket that is unknown, spent or too old; fault.Invalid (field "code") for a
// wrong code; fault.TooMany.
func (s *People) SignIn(ctx context.Context, p Proof, c Client) (*PersonSignedIn, error) {
	hash, err := s.tokenHash(ctx, KindSignIn, p, c)
	if err != nil {
		return nil, err
	}
	var in *PersonSignedIn
	err = s.db.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		t, err := s.spend(ctx, tx, KindSignIn, hash)
		if err != nil {
			return err
		}
		var n personNotes
		if err := t.Decode(&n); err != nil {
			return err
		}
		person, err := s.FindOrCreate(ctx, tx, t.Email, "")
		if err != nil {
			return err
		}
		if err := s.Confirm(ctx, tx, person); err != nil {
			return err
		}
		if in, err = s.StartSession(ctx, tx, person, c); err != nil {
			return err
		}
		in.Next = n.Next
		return nil
	})
	return in, err
}

// Confirm notes that the person has shown that the address is theirs.
func (s *People) Confirm(ctx context.Context, tx bun.IDB, p *Person) error {
	if p.ConfirmedAt != nil {
		return nil
	}
	now := s.now()
	res, err := tx.NewUpdate().Model((*Person)(nil)).Set("confirmed_at = coalesce(confirmed_at, ?)", now).Where("pe.id = ?", p.ID).Exec(ctx)
	if err := tenant.Touched(res, err, "person"); err != nil {
		return err
	}
	p.ConfirmedAt = &now
	return nil
}

// PersonSession is a sign-in of a person on the board.
type PersonSession struct {
	// ID names the session in lists and forms; it opens nothing.
	ID                          string
	Person                      Person
	UserAgent, Address          string
	CreatedAt, SeenAt, ExpireAt time.Time
}

type personSessionRow struct {
	TokenHash   []byte     `bun:"token_hash"`
	UserAgent   string     `bun:"user_agent"`
	Address     string     `bun:"address"`
	CreatedAt   time.Time  `bun:"created_at"`
	SeenAt      time.Time  `bun:"seen_at"`
	ExpiresAt   time.Time  `bun:"expires_at"`
	PersonID    uuid.UUID  `bun:"person_id"`
	Email       string     `bun:"email"`
	Name        string     `bun:"name"`
	Locale      string     `bun:"locale"`
	Since       time.Time  `bun:"since"`
	ConfirmedAt *time.Time `bun:"confirmed_at"`
}

func (r *personSessionRow) session(board tenant.ID) *PersonSession {
	return &PersonSession{ID: publicID(r.TokenHash),
		Person: Person{Scoped: tenant.Scoped{TenantID: board}, ID: r.PersonID, Email: r.Email, Name: r.Name, Locale: r.Locale,
			CreatedAt: r.Since, ConfirmedAt: r.ConfirmedAt},
		UserAgent: r.UserAgent, Address: r.Address, CreatedAt: r.CreatedAt, SeenAt: r.SeenAt, ExpireAt: r.ExpiresAt}
}

const personSessionQuery = `SELECT s.token_hash, s.user_agent, s.address, s.created_at, s.seen_at, s.expires_at,
		p.id AS person_id, p.email, p.name, p.locale, p.created_at AS since, p.confirmed_at
	FROM person_sessions AS s JOIN people AS p ON p.tenant_id = s.tenant_id AND p.id = s.person_id
	WHERE s.tenant_id = ? AND s.revoked_at IS NULL AND s.expires_at > ?`

// StartSession makes a session in the caller's transaction.
func (s *People) StartSession(ctx context.Context, tx bun.IDB, p *Person, c Client) (*PersonSignedIn, error) {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, err
	}
	token, hash := secret()
	now := s.now()
	_, err = tx.NewRaw(`INSERT INTO person_sessions (tenant_id, token_hash, person_id, user_agent, address, created_at, seen_at, expires_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, board, hash, p.ID, c.agent(), c.Address, now, now, now.Add(personIdle)).Exec(ctx)
	if err != nil {
		return nil, err
	}
	return &PersonSignedIn{Token: token, Expires: now.Add(personMax), Person: p}, nil
}

// SessionByToken finds the session of a cookie's token on the context's board.
// It opens a transaction; using a session prolongs it. Kind: fault.SignIn.
func (s *People) SessionByToken(ctx context.Context, token string) (*PersonSession, error) {
	hash := hashOf(token)
	if hash == nil {
		return nil, errSignIn
	}
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, err
	}
	now, row := s.now(), new(personSessionRow)
	err = s.db.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(personSessionQuery+` AND s.token_hash = ?`, board, now, hash).Scan(ctx, row)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errSignIn
	}
	if err != nil {
		return nil, err
	}
	if now.Sub(row.SeenAt) > touchEvery {
		// The request does not fail with it: the next use tries again.
		_ = s.db.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
			_, err := tx.NewRaw(`UPDATE person_sessions SET seen_at = ?, expires_at = least(?::timestamptz, created_at + make_interval(secs => ?))
				WHERE tenant_id = ? AND token_hash = ? AND revoked_at IS NULL AND seen_at < ?`,
				now, now.Add(personIdle), personMax.Seconds(), board, hash, now).Exec(ctx)
			return err
		})
	}
	return row.session(board), nil
}

// SignOut ends the session of a token. It opens a transaction. An unknown token
// is no error.
func (s *People) SignOut(ctx context.Context, token string) error {
	hash := hashOf(token)
	if hash == nil {
		return nil
	}
	return s.db.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		_, err := tx.NewRaw(`UPDATE person_sessions SET revoked_at = ? WHERE tenant_id = ? AND token_hash = ? AND revoked_at IS NULL`,
			s.now(), tenant.From(ctx).ID, hash).Exec(ctx)
		return err
	})
}

// EndSession ends one of a person's sessions by its ID. Kind: fault.NotFound,
// also for somebody else's.
func (s *People) EndSession(ctx context.Context, tx bun.IDB, person uuid.UUID, id string) error {
	hash, err := hashFromID(id)
	if err != nil {
		return err
	}
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return err
	}
	res, err := tx.NewRaw(`UPDATE person_sessions SET revoked_at = ? WHERE tenant_id = ? AND person_id = ? AND token_hash = ? AND revoked_at IS NULL`,
		s.now(), board, person, hash).Exec(ctx)
	return tenant.Touched(res, err, "session")
}

// EndSessions ends all of a person's sessions but the one named keep, if any.
func (s *People) EndSessions(ctx context.Context, tx bun.IDB, person uuid.UUID, keep string) error {
	hash := []byte{}
	if keep != "" {
		var err error
		if hash, err = hashFromID(keep); err != nil {
			return err
		}
	}
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return err
	}
	_, err = tx.NewRaw(`UPDATE person_sessions SET revoked_at = ? WHERE tenant_id = ? AND person_id = ? AND token_hash <> ? AND revoked_at IS NULL`,
		s.now(), board, person, hash).Exec(ctx)
	return err
}

// Sessions lists a person's live sessions, the latest used first.
func (s *People) Sessions(ctx context.Context, tx bun.IDB, person uuid.UUID) ([]*PersonSession, error) {
	board, err := tenant.IDFrom(ctx)
	if err != nil {
		return nil, err
	}
	var rows []personSessionRow
	err = tx.NewRaw(personSessionQuery+` AND s.person_id = ? ORDER BY s.seen_at DESC, s.created_at DESC`, board, s.now(), person).Scan(ctx, &rows)
	if err != nil {
		return nil, err
	}
	out := make([]*PersonSession, len(rows))
	for i := range rows {
		out[i] = rows[i].session(board)
	}
	return out, nil
}

var errNoKind = fault.New(fault.Internal, "a token needs a kind and a life")
