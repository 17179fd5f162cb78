package chain

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tenant"
)

// What can be wrong with a chain.
const (
	Altered  = "altered"   // the line is not what was sealed
	Deleted  = "deleted"   // the link is there, the line is not
	Missing  = "missing"   // links are missing in the middle
	Inserted = "inserted"  // a line that was never queued
	Cut      = "cut"       // the end is missing
	Forked   = "rewritten" // another chain than the one whose head was logged
)

// Problem is one thing that is wrong, with the line it is about.
type Problem struct {
	Kind string    `json:"kind"`
	Seq  int64     `json:"seq,omitempty"`
	Line uuid.UUID `json:"line,omitzero"`
	Text string    `json:"text"`
}

func (p Problem) String() string { return p.Text }

// Report is what a look at one chain found.
type Report struct {
	Board tenant.ID `json:"board"`
	// Head is the end that was found: keep it somewhere else.
	Head Head `json:"-"`
	// Lines were walked; of Erased ones the personal part is gone; Waiting ones
	// have no link yet, the oldest since WaitingSince.
	Lines        int64      `json:"lines"`
	Erased       int64      `json:"erased"`
	Late         int64      `json:"late"`
	Waiting      int64      `json:"waiting"`
	WaitingSince *time.Time `json:"waiting_since,omitempty"`
	// Wrong counts all problems; Problems has the first hundred.
	Wrong    int       `json:"wrong"`
	Problems []Problem `json:"problems"`
}

const keepProblems = 100

func (r *Report) add(kind string, seq int64, line uuid.UUID, format string, args ...any) {
	r.Wrong++
	if len(r.Problems) < keepProblems {
		r.Problems = append(r.Problems, Problem{kind, seq, line, fmt.Sprintf(format, args...)})
	}
}

// link is a link with the line it is about, as they are in the database.
type link struct {
	Seq        int64      `bun:"seq"`
	ID         uuid.UUID  `bun:"id"`
	Digest     []byte     `bun:"personal_digest"`
	Hash       []byte     `bun:"hash"`
	SealedAt   time.Time  `bun:"sealed_at"`
	Present    bool       `bun:"present"`
	At         time.Time  `bun:"at"`
	ActorKind  string     `bun:"actor_kind"`
	ActorID    *uuid.UUID `bun:"actor_id"`
	Behind     *uuid.UUID `bun:"impersonator_id"`
	Act        string     `bun:"act"`
	ObjectKind string     `bun:"object_kind"`
	ObjectID   string     `bun:"object_id"`
	Detail     string     `bun:"detail"`
	Personal   string     `bun:"personal"`
	Salt       *uuid.UUID `bun:"salt"`
	RequestID  string     `bun:"request_id"`
}

// walkBatch bounds the memory of a look.
const walkBatch = 2000

// Verify walks a chain from its first link to its end, a batch at a time, and
// holds it against the heads that were logged and those given, which come from
// outside the database. It opens transactions of its own.
func Verify(ctx context.Context, p *tenant.Platform, board tenant.ID, given ...Head) (*Report, error) {
	r := &Report{Board: board, Problems: []Problem{}}
	var end struct {
		Seq  int64  `bun:"seq"`
		Hash []byte `bun:"hash"`
	}
	var heads []Head
	err := p.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		// What is sealed while we walk lies beyond this end.
		err := tx.NewRaw(`SELECT coalesce(c.seq, 0) AS seq, coalesce(c.hash, '') AS hash FROM (SELECT) AS one LEFT JOIN audit_chains AS c ON c.tenant_id = ?`, board).Scan(ctx, &end)
		if err != nil {
			return err
		}
		return tx.NewRaw(`SELECT tenant_id, seq, hash, logged_at FROM audit_heads WHERE tenant_id = ? ORDER BY seq`, board).Scan(ctx, &heads)
	})
	if err != nil {
		return nil, err
	}
	known := map[int64][]Head{}
	for _, h := range append(heads, given...) {
		known[h.Seq] = append(known[h.Seq], h)
	}
	w := &walk{r: r, board: board, known: known, next: 1, prev: []byte{}}
	for last, more := int64(0), true; more; {
		var links []link
		err := p.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
			links = links[:0]
			return tx.NewRaw(`SELECT c.seq, c.id, c.personal_digest, c.hash, c.sealed_at, l.id IS NOT NULL AS present,
					coalesce(l.at, c.sealed_at) AS at, coalesce(l.actor_kind, '') AS actor_kind, l.actor_id, l.impersonator_id, coalesce(l.act, '') AS act,
					coalesce(l.object_kind, '') AS object_kind, coalesce(l.object_id, '') AS object_id, coalesce(l.detail::text, '') AS detail,
					coalesce(l.personal::text, '') AS personal, l.salt, coalesce(l.request_id, '') AS request_id
				FROM (SELECT * FROM audit_chain WHERE tenant_id = ? AND seq > ? ORDER BY seq LIMIT ?) AS c
				LEFT JOIN audit_log AS l ON l.tenant_id = c.tenant_id AND l.id = c.id ORDER BY c.seq`, board, last, walkBatch).Scan(ctx, &links)
		})
		if err != nil {
			return nil, err
		}
		for i := range links {
			w.step(&links[i])
			last = links[i].Seq
		}
		more = len(links) == walkBatch
	}
	w.finish(end.Seq, end.Hash)
	return r, p.Read(ctx, func(ctx context.Context, tx bun.IDB) error { return r.loose(ctx, tx) })
}

// walk is where a look is.
type walk struct {
	r     *Report
	board tenant.ID
	known map[int64][]Head
	next  int64
	prev  []byte
}

func (w *walk) step(l *link) {
	r := w.r
	if l.Seq != w.next {
		r.add(Missing, w.next, uuid.Nil, "links %d to %d are missing", w.next, l.Seq-1)
		w.gone(w.next, l.Seq-1)
	}
	gap := l.Seq != w.next
	r.Lines++
	switch {
	case !l.Present:
		r.add(Deleted, l.Seq, l.ID, "line %s, link %d, was deleted", l.ID, l.Seq)
	case l.Salt == nil:
		r.Erased++
		if l.Personal != "{}" {
			r.add(Altered, l.Seq, l.ID, "line %s, link %d: the personal part was altered (it has no salt)", l.ID, l.Seq)
		}
	default:
		sum := sha256.Sum256(append(l.Salt[:], l.Personal...))
		if !bytes.Equal(sum[:], l.Digest) {
			r.add(Altered, l.Seq, l.ID, "line %s, link %d: the personal part was altered", l.ID, l.Seq)
		}
	}
	if l.Present && l.SealedAt.Sub(l.At) > 24*time.Hour {
		r.Late++
	}
	// After a gap there is nothing to follow from; the next link shows whether this one holds.
	if l.Present && !gap && !bytes.Equal(l.sum(w.prev, w.board), l.Hash) {
		r.add(Altered, l.Seq, l.ID, "line %s, link %d, of %s was altered, or the link before it", l.ID, l.Seq, l.At.UTC().Format(time.DateTime))
	}
	for _, h := range w.known[l.Seq] {
		if !bytes.Equal(h.Hash, l.Hash) {
			r.add(Forked, l.Seq, l.ID, "link %d is not the head %s: the chain was rewritten up to here", l.Seq, h.when())
		}
	}
	delete(w.known, l.Seq)
	w.next, w.prev = l.Seq+1, l.Hash
	r.Head = Head{TenantID: w.board, Seq: l.Seq, Hash: l.Hash}
}

// gone drops heads that lie in a gap, which is told already.
func (w *walk) gone(from, to int64) {
	for seq := range w.known {
		if from <= seq && seq <= to {
			delete(w.known, seq)
		}
	}
}

// finish holds the end that was found against those that are known. Links that
// were sealed during the walk lie beyond seq and were walked too.
func (w *walk) finish(seq int64, hash []byte) {
	last := w.r.Head
	if seq > last.Seq {
		w.r.add(Cut, last.Seq+1, uuid.Nil, "the tail was cut: the chain ends at link %d, its head says %d", last.Seq, seq)
	} else if seq == last.Seq && seq > 0 && !bytes.Equal(hash, last.Hash) {
		w.r.add(Forked, seq, uuid.Nil, "link %d is not the chain's head", seq)
	}
	for _, hs := range w.known {
		for _, h := range hs {
			if h.Seq > last.Seq {
				w.r.add(Cut, last.Seq+1, uuid.Nil, "the tail was cut: the chain ends at link %d, but %d was the head %s", last.Seq, h.Seq, h.when())
			}
		}
	}
}

func (h Head) when() string {
	if h.LoggedAt.IsZero() {
		return "that was given"
	}
	return "logged at " + h.LoggedAt.UTC().Format(time.DateTime)
}

// loose finds lines that hang on no chain: those that wait, and those that
// nobody queued, which is what a line written by hand looks like.
func (r *Report) loose(ctx context.Context, tx bun.IDB) error {
	err := tx.NewRaw(`SELECT count(*) AS n, min(at) AS since FROM audit_unsealed WHERE tenant_id = ?`, r.Board).Scan(ctx, &r.Waiting, &r.WaitingSince)
	if err != nil {
		return err
	}
	for _, q := range []struct{ kind, sql, text string }{
		{Inserted, `SELECT l.id, l.at FROM audit_log AS l WHERE l.tenant_id = ?
			AND NOT EXISTS (SELECT FROM audit_chain AS c WHERE c.tenant_id = ? AND c.id = l.id)
			AND NOT EXISTS (SELECT FROM audit_unsealed AS u WHERE u.tenant_id = ? AND u.at = l.at AND u.id = l.id) LIMIT 1000`,
			"line %s of %s was inserted past the log, or taken out of the chain"},
		{Deleted, `SELECT u.id, u.at FROM audit_unsealed AS u WHERE u.tenant_id = ?
			AND NOT EXISTS (SELECT FROM audit_log AS l WHERE l.tenant_id = ? AND l.tenant_id = ? AND l.id = u.id AND l.at = u.at) LIMIT 1000`,
			"line %s of %s was deleted or moved before it was sealed"},
	} {
		var rows []struct {
			ID uuid.UUID `bun:"id"`
			At time.Time `bun:"at"`
		}
		if err := tx.NewRaw(q.sql, r.Board, r.Board, r.Board).Scan(ctx, &rows); err != nil {
			return err
		}
		for _, l := range rows {
			r.add(q.kind, 0, l.ID, q.text, l.ID, l.At.UTC().Format(time.DateTime))
		}
	}
	return nil
}

// sum is the link's hash as it must be: every field with its length before it.
func (l *link) sum(prev []byte, board tenant.ID) []byte {
	h := sha256.New()
	var size [4]byte
	field := func(b []byte) {
		if b == nil {
			_, _ = h.Write([]byte{0xff, 0xff, 0xff, 0xff})
			return
		}
		binary.BigEndian.PutUint32(size[:], uint32(len(b))) // #nosec G115 -- a field of Postgres is under 1 GB
		_, _ = h.Write(size[:])
		_, _ = h.Write(b)
	}
	number := func(n int64) { field(binary.BigEndian.AppendUint64(nil, uint64(n))) } // #nosec G115 -- two's complement, as int8send has it
	maybe := func(u *uuid.UUID) {
		if u == nil {
			field(nil)
			return
		}
		field(u[:])
	}
	text := func(s string) { field([]byte(s)) }
	text("shingle audit 1")
	field(prev)
	number(l.Seq)
	field(board[:])
	field(l.ID[:])
	number(l.At.UnixMicro())
	text(l.ActorKind)
	maybe(l.ActorID)
	maybe(l.Behind)
	text(l.Act)
	text(l.ObjectKind)
	text(l.ObjectID)
	text(l.Detail)
	text(l.RequestID)
	if l.Digest == nil {
		l.Digest = []byte{}
	}
	field(l.Digest)
	number(l.SealedAt.UnixMicro())
	return h.Sum(nil)
}

// ParseHead reads "seq:hash", as the log has it. Kind: fault.Invalid.
func ParseHead(s string) (Head, error) {
	seq, sum, ok := strings.Cut(s, ":")
	n, err := strconv.ParseInt(seq, 10, 64)
	raw, err2 := hex.DecodeString(sum)
	if !ok || err != nil || err2 != nil || n < 1 || len(raw) != sha256.Size {
		return Head{}, fault.New(fault.Invalid, "%q is no head: a number, a colon and 64 hexadecimal digits", s)
	}
	return Head{Seq: n, Hash: raw}, nil
}
