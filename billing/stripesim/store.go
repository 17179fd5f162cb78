package stripesim

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

var errClosed = errors.New("the simulator is closed")

// row is one object as the API shows it, with its owner. Account is empty for
// the platform's own objects.
type row struct {
	ID      string          `json:"id"`
	Kind    string          `json:"kind"`
	Account string          `json:"account,omitempty"`
	Seq     int64           `json:"seq"`
	Created int64           `json:"created"`
	Body    json.RawMessage `json:"body,omitempty"` // absent: the row is gone
}

// store holds every row in memory and, when it has a file, in a journal of one
// line per transaction. A process killed at any moment loses at most a line
// that nobody was told of; the journal is rewritten without history when opened.
type store struct {
	rows  map[string]*row
	kinds map[string][]string // ids by kind, oldest first
	seq   int64
	file  *os.File

	open map[string]int64 // open checkout sessions: when they expire, Unix seconds
	due  map[string]int64 // pending deliveries: when to try, Unix milliseconds
	// timed are subscriptions and invoices that time does something to.
	timed map[string]timing
}

type journalLine struct {
	Rows []*row `json:"rows"`
}

func openStore(path string, now time.Time) (*store, error) {
	db := &store{rows: map[string]*row{}, kinds: map[string][]string{}, open: map[string]int64{}, due: map[string]int64{}, timed: map[string]timing{}}
	if path == "" {
		return db, nil
	}
	if err := db.load(path); err != nil {
		return db, err
	}
	db.forgetKeys(now)
	return db, db.rewrite(path)
}

func (db *store) load(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	in := bufio.NewReaderSize(f, 1<<20)
	for n := 1; ; n++ {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // a last line without its end was never acknowledged
		}
		if err != nil {
			return err
		}
		var line journalLine
		if err := json.Unmarshal(text, &line); err != nil {
			return fmt.Errorf("%s line %d: %w", path, n, err)
		}
		for _, r := range line.Rows {
			db.apply(r)
		}
	}
}

// rewrite replaces the journal by one that holds the present rows only.
func (db *store) rewrite(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	all := make([]*row, 0, len(db.rows))
	for _, r := range db.rows {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *row) int { return cmp.Compare(a.Seq, b.Seq) })
	next := path + ".next"
	f, err := os.OpenFile(next, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 1<<20)
	enc := json.NewEncoder(out)
	for _, r := range all {
		if err := enc.Encode(journalLine{Rows: []*row{r}}); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	if err := errors.Join(out.Flush(), f.Sync(), os.Rename(next, path)); err != nil {
		return errors.Join(err, f.Close())
	}
	db.file = f
	return nil
}

func (db *store) close() error {
	if db.file == nil {
		return nil
	}
	f := db.file
	db.file = nil
	return f.Close()
}

func (db *store) commit(t *tx) error {
	line := journalLine{}
	for _, id := range t.order {
		line.Rows = append(line.Rows, t.staged[id])
	}
	if db.file != nil {
		var text bytes.Buffer
		if err := json.NewEncoder(&text).Encode(line); err != nil {
			return err
		}
		if _, err := db.file.Write(text.Bytes()); err != nil {
			return err
		}
	}
	for _, r := range line.Rows {
		db.apply(r)
	}
	return nil
}

func (db *store) apply(r *row) {
	old := db.rows[r.ID]
	db.seq = max(db.seq, r.Seq)
	delete(db.open, r.ID)
	delete(db.due, r.ID)
	delete(db.timed, r.ID)
	if r.Body == nil {
		delete(db.rows, r.ID)
		if old != nil {
			db.kinds[old.Kind] = slices.DeleteFunc(db.kinds[old.Kind], func(id string) bool { return id == r.ID })
		}
		return
	}
	if old == nil {
		db.kinds[r.Kind] = append(db.kinds[r.Kind], r.ID)
	}
	db.rows[r.ID] = r
	switch r.Kind {
	case kSession:
		var v session
		if json.Unmarshal(r.Body, &v) == nil && v.Status == "open" {
			db.open[r.ID] = v.ExpiresAt
		}
	case kSubscription, kInvoice:
		if d, ok := dueOf(r); ok {
			db.timed[r.ID] = timing{d.at, d.clock}
		}
	case kDelivery:
		var v delivery
		if json.Unmarshal(r.Body, &v) == nil && v.Status == deliveryPending {
			db.due[r.ID] = v.NextAt
		}
	}
}

// forgetKeys drops idempotency keys older than a day, as Stripe does.
func (db *store) forgetKeys(now time.Time) {
	for _, id := range slices.Clone(db.kinds[kKey]) {
		if r := db.rows[id]; now.Unix()-r.Created > int64(keyLife/time.Second) {
			db.apply(&row{ID: id, Kind: kKey, Seq: r.Seq})
		}
	}
}

// tx is one transaction: reads see what it has put itself.
type tx struct {
	sim    *Sim
	db     *store
	now    time.Time
	staged map[string]*row
	order  []string

	requestID, key string // shown in the events of an API request
	at             int64  // the billing clock while periods are being ended; 0 else
}

// doc is anything kept as a row; every type gets it by embedding head.
type doc interface{ header() *head }

// head is what all of Stripe's objects begin with.
type head struct {
	ID       string `json:"id"`
	Object   string `json:"object"`
	Created  int64  `json:"created"`
	Livemode bool   `json:"livemode"`
}

func (h *head) header() *head { return h }

// head makes the beginning of a new object of a kind.
func (t *tx) head(kind string) head {
	return head{ID: newID(prefixes[kind]), Object: kind, Created: t.now.Unix()}
}

func (t *tx) row(id string) *row {
	if r, ok := t.staged[id]; ok {
		if r.Body == nil {
			return nil
		}
		return r
	}
	return t.db.rows[id]
}

// put keeps d as a row of account ("" is the platform).
func (t *tx) put(account string, d doc) {
	body, err := json.Marshal(d)
	if err != nil {
		panic(err) // our own plain structs
	}
	h := d.header()
	r := &row{ID: h.ID, Kind: h.Object, Account: account, Created: h.Created, Body: body}
	if old := t.row(h.ID); old != nil {
		r.Seq = old.Seq
	} else {
		t.db.seq++
		r.Seq = t.db.seq
	}
	t.stage(r)
}

func (t *tx) drop(id string) {
	if r := t.row(id); r != nil {
		t.stage(&row{ID: id, Kind: r.Kind, Account: r.Account, Seq: r.Seq, Created: r.Created})
	}
}

func (t *tx) stage(r *row) {
	if _, ok := t.staged[r.ID]; !ok {
		t.order = append(t.order, r.ID)
	}
	t.staged[r.ID] = r
}

// scan calls fn with every row of a kind, newest first, until fn says stop.
func (t *tx) scan(kind string, fn func(*row) bool) {
	for i := len(t.order) - 1; i >= 0; i-- {
		r := t.staged[t.order[i]]
		if r.Kind == kind && r.Body != nil && t.db.rows[r.ID] == nil && !fn(r) {
			return
		}
	}
	ids := t.db.kinds[kind]
	for i := len(ids) - 1; i >= 0; i-- {
		if r := t.row(ids[i]); r != nil && !fn(r) {
			return
		}
	}
}

func decode[T any](r *row) *T {
	v := new(T)
	if err := json.Unmarshal(r.Body, v); err != nil {
		panic(fmt.Errorf("row %s: %w", r.ID, err)) // we wrote it
	}
	return v
}

// find reads an object of an account; somebody else's is as missing as none.
func find[T any](t *tx, kind, account, id, param string) (*T, error) {
	r := t.row(id)
	if r == nil || r.Kind != kind || r.Account != account {
		return nil, missing(kind, id, param)
	}
	return decode[T](r), nil
}

// known reads an object that another one of ours names, whoever owns it.
func known[T any](t *tx, id string) *T {
	r := t.row(id)
	if r == nil {
		panic(fmt.Errorf("row %s is named and missing", id))
	}
	return decode[T](r)
}

func (t *tx) owner(id string) string {
	if r := t.row(id); r != nil {
		return r.Account
	}
	return ""
}
