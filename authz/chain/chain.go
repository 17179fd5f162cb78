// Package chain seals the audit log: lines that were written in their act's
// transaction are linked, in order, into a hash chain per board and one for the
// platform, and a chain is verified line by line. It writes no act of its own
// but erasure's. Postgres links (shingle_audit_seal); what is computed here is
// computed from the rows alone. Start at Sealer, then Verify.
package chain

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/tasks"
	"shingle/tenant"
)

// Frozen task kinds.
const (
	// TaskSeal links what waits, on every chain.
	TaskSeal = "audit.seal"
	// TaskDaily logs the heads and looks at every chain.
	TaskDaily = "audit.daily"
)

const (
	sealEvery = 30 * time.Second
	// batch is how many lines one transaction links.
	batch = 500
)

// Sealer links lines and keeps the heads. Any number may run: a chain's row
// lock makes them take turns.
type Sealer struct {
	Platform *tenant.Platform
	Log      *slog.Logger
}

// Register takes over the tasks.
func (s *Sealer) Register(m *tasks.Mux) {
	m.Handle(TaskSeal, s.sealTask)
	m.Handle(TaskDaily, s.dailyTask)
}

// Schedule keeps the rows of the tasks.
func (s *Sealer) Schedule(ctx context.Context) error {
	return errors.Join(tasks.Schedule(ctx, s.Platform, TaskSeal, sealEvery, tasks.Default),
		tasks.Schedule(ctx, s.Platform, TaskDaily, 24*time.Hour, tasks.Bulk))
}

// Sealing twice links nothing twice, so the row may move on when all is done.
func (s *Sealer) sealTask(ctx context.Context, t *tasks.Task) error {
	_, err := s.SealAll(ctx)
	return errors.Join(err, s.Platform.Write(ctx, t.Finish))
}

func (s *Sealer) dailyTask(ctx context.Context, t *tasks.Task) error {
	_, err := s.SealAll(ctx)
	err = errors.Join(err, s.LogHeads(ctx), s.VerifyAll(ctx))
	if err != nil {
		// Tomorrow's look must come all the same; what is wrong is logged and on the pages.
		s.Log.ErrorContext(ctx, "the audit log's daily look", "error", err)
	}
	return s.Platform.Write(ctx, t.Finish)
}

// SealAll links what waits on every chain and tells how many lines. A chain
// that cannot be continued is logged and does not hold up the others.
func (s *Sealer) SealAll(ctx context.Context) (int, error) {
	var boards []tenant.ID
	err := s.Platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		// From one chain to the next by the key, however long their queues are.
		return tx.NewRaw(`WITH RECURSIVE x AS (
				(SELECT tenant_id FROM audit_unsealed ORDER BY tenant_id LIMIT 1)
				UNION ALL
				SELECT (SELECT u.tenant_id FROM audit_unsealed AS u WHERE u.tenant_id > x.tenant_id ORDER BY u.tenant_id LIMIT 1) FROM x WHERE x.tenant_id IS NOT NULL)
			SELECT tenant_id FROM x WHERE tenant_id IS NOT NULL`).Scan(ctx, &boards)
	})
	total := 0
	for _, b := range boards {
		n, e := s.Seal(ctx, b)
		total += n
		if e != nil {
			s.Log.ErrorContext(ctx, "audit chain cannot be continued", "board", b, "error", e)
			err = errors.Join(err, e)
		}
	}
	return total, err
}

// Seal links what waits on one chain, in transactions of bounded size, and
// tells how many lines.
func (s *Sealer) Seal(ctx context.Context, board tenant.ID) (int, error) {
	total := 0
	for {
		var n int
		err := s.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
			return tx.NewRaw(`SELECT shingle_audit_seal(?, ?)`, board, batch).Scan(ctx, &n)
		})
		if err != nil {
			return total, fmt.Errorf("sealing the audit log of %s: %w", board, err)
		}
		total += n
		if n < batch {
			return total, nil
		}
	}
}

// Head is where a chain ended at some moment.
type Head struct {
	TenantID tenant.ID `bun:"tenant_id" json:"-"`
	Seq      int64     `bun:"seq" json:"seq"`
	Hash     []byte    `bun:"hash" json:"-"`
	LoggedAt time.Time `bun:"logged_at" json:"logged_at,omitzero"`
}

func (h Head) String() string { return fmt.Sprintf("%d:%s", h.Seq, hex.EncodeToString(h.Hash)) }

// LogHeads notes the head of every chain that moved since the last time, in the
// table of heads and in the log: what leaves the database this way shows a tail
// that was cut by whoever owns the database.
func (s *Sealer) LogHeads(ctx context.Context) error {
	var moved []tenant.ID
	err := s.Platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT c.tenant_id FROM audit_chains AS c WHERE c.seq > 0
			AND NOT EXISTS (SELECT FROM audit_heads AS h WHERE h.tenant_id = c.tenant_id AND h.seq = c.seq) ORDER BY 1`).Scan(ctx, &moved)
	})
	if err != nil {
		return err
	}
	for _, b := range moved {
		var noted []Head
		err := s.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
			return tx.NewRaw(`SELECT seq, hash FROM shingle_audit_log_head(?)`, b).Scan(ctx, &noted)
		})
		if err != nil {
			return err
		}
		for _, h := range noted {
			s.Log.InfoContext(ctx, "audit head", "board", b, "seq", h.Seq, "hash", hex.EncodeToString(h.Hash), "head", h.String())
		}
	}
	return nil
}

// VerifyAll looks at every chain and notes what it found, for the pages; a
// chain with a problem is logged as an error.
func (s *Sealer) VerifyAll(ctx context.Context) error {
	boards, err := All(ctx, s.Platform)
	if err != nil {
		return err
	}
	for _, b := range boards {
		r, err := Verify(ctx, s.Platform, b)
		if err != nil {
			return err
		}
		found := ""
		if len(r.Problems) > 0 {
			found = r.Problems[0].String()
			s.Log.ErrorContext(ctx, "audit chain is not what was sealed", "board", b, "problems", r.Wrong, "first", found)
		}
		err = s.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
			_, err := tx.NewRaw(`SELECT shingle_audit_verified(?, ?, ?)`, b, r.Head.Seq, found).Exec(ctx)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// All lists whoever has a line, a chain or a logged head; the nil ID is the
// platform's own.
func All(ctx context.Context, p *tenant.Platform) ([]tenant.ID, error) {
	var out []tenant.ID
	err := p.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT tenant_id FROM audit_chains UNION SELECT tenant_id FROM audit_heads
			UNION SELECT x.id FROM (SELECT id FROM boards UNION SELECT ?::uuid) AS x WHERE EXISTS (SELECT FROM audit_log AS l WHERE l.tenant_id = x.id)
			ORDER BY 1`, tenant.Nil).Scan(ctx, &out)
	})
	return out, err
}

// State is how far a chain is, for pages.
type State struct {
	Seq      int64      `bun:"seq"`
	SealedAt *time.Time `bun:"sealed_at"`
	// VerifiedAt is the last look, VerifiedSeq how far it went, Problem what it found.
	VerifiedAt  *time.Time `bun:"verified_at"`
	VerifiedSeq int64      `bun:"verified_seq"`
	Problem     string     `bun:"problem"`
	// Waiting counts lines without a link yet, up to a thousand.
	Waiting int `bun:"waiting"`
}

// Read is the state of one chain; of the context's board when board is nil and
// there is one.
func Read(ctx context.Context, tx bun.IDB, board tenant.ID) (*State, error) {
	if t := tenant.From(ctx); t != nil && board.IsNil() {
		board = t.ID
	}
	s := new(State)
	err := tx.NewRaw(`SELECT coalesce(c.seq, 0) AS seq, c.sealed_at, c.verified_at, coalesce(c.verified_seq, 0) AS verified_seq, coalesce(c.problem, '') AS problem,
			(SELECT count(*) FROM (SELECT FROM audit_unsealed WHERE tenant_id = ? LIMIT 1000) AS u) AS waiting
		FROM (SELECT) AS one LEFT JOIN audit_chains AS c ON c.tenant_id = ?`, board, board).Scan(ctx, s)
	return s, err
}

// Subject is whose names an erasure takes out of a chain.
type Subject struct {
	// Kind is "operator" or "person", for the line that stays.
	Kind string
	// ID finds the acts of somebody and those on them; the nil ID finds none.
	ID uuid.UUID
	// Address, folded, finds acts that name somebody by it alone; "" finds none.
	Address string
}

// Erase empties the personal part of every line by or about somebody on one
// chain, and leaves a line that says so. What was sealed still verifies: the
// salt goes too, so the digest that stays tells nothing. Runs in a platform
// transaction; it tells how many lines.
func Erase(ctx context.Context, tx bun.IDB, board tenant.ID, who Subject) (int64, error) {
	var n int64
	if err := tx.NewRaw(`SELECT shingle_audit_erase(?, ?, ?)`, board, who.ID, who.Address).Scan(ctx, &n); err != nil {
		return 0, fmt.Errorf("erasing from the audit log: %w", err)
	}
	if n == 0 {
		return 0, nil
	}
	a := authz.Act{Act: "audit.erased", ObjectKind: who.Kind, Board: board, Detail: map[string]any{"lines": n}}
	if who.ID != uuid.Nil {
		a.ObjectID = who.ID.String()
	}
	return n, authz.Record(ctx, tx, a)
}
