package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// steady is traffic that goes on whatever happens: readers, applicants who come
// back until they are answered, and employers who buy.
type steady struct {
	w     *world
	asked atomic.Int64
	busy  atomic.Int64 // told 503
	bad   atomic.Int64

	mu      sync.Mutex
	last    string
	applied []string // addresses whose application was confirmed
	paid    []string // addresses whose payment Stripe took
}

type figures struct {
	asked, busy, failed int64
	last                string
}

func newSteady(w *world) *steady { return &steady{w: w} }

func (s *steady) figures() figures {
	s.mu.Lock()
	defer s.mu.Unlock()
	return figures{s.asked.Load(), s.busy.Load(), s.bad.Load(), s.last}
}

// run starts the traffic; what it returns ends it.
func (s *steady) run(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	every := func(d time.Duration, seed int64, fn func(context.Context, *draw)) {
		all.Go(func() {
			draw := s.w.draw(len(s.w.boards))
			draw.r.Seed(seed)
			draw.caller = uint32(seed) << 12 //nolint:gosec // small
			tick := time.NewTicker(d)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					fn(ctx, draw)
				}
			}
		})
	}
	for i := range int64(8) {
		every(100*time.Millisecond, 1+i, s.reader)
	}
	every(350*time.Millisecond, 20, s.applicant)
	every(350*time.Millisecond, 21, s.applicant)
	every(900*time.Millisecond, 22, s.employer)
	return func() { cancel(); all.Wait() }
}

func (s *steady) wrong(ctx context.Context, format string, args ...any) {
	if ctx.Err() != nil {
		return // the end, not a fault
	}
	s.bad.Add(1)
	s.mu.Lock()
	s.last = fmt.Sprintf(format, args...)
	s.mu.Unlock()
}

func (s *steady) reader(ctx context.Context, d *draw) {
	r := mix(d)
	status, _, err := s.w.ask(ctx, r)
	s.asked.Add(1)
	switch {
	case err != nil:
		s.wrong(ctx, "%s%s: %v", r.host, r.path, err)
	case status == http.StatusServiceUnavailable:
		s.busy.Add(1)
	case status >= 500:
		s.wrong(ctx, "%s%s answers %d", r.host, r.path, status)
	}
}

var people atomic.Int64

// applicant sends an application, and the same again when the answer was lost:
// a person would. A conflict then says that the first one arrived.
func (s *steady) applicant(ctx context.Context, d *draw) {
	n := people.Add(1)
	email := fmt.Sprintf("ada-%d-%d@example.org", os.Getpid(), n)
	b := d.board()
	listing := d.listing(b)
	for try := 0; try < 60 && ctx.Err() == nil; try++ {
		r := applyAt(d, b, listing, email)
		status, _, err := s.w.ask(ctx, r)
		s.asked.Add(1)
		switch {
		case err == nil && (status == http.StatusOK || status == http.StatusConflict || status == http.StatusSeeOther):
			s.mu.Lock()
			s.applied = append(s.applied, email)
			s.mu.Unlock()
			return
		case err == nil && status == http.StatusServiceUnavailable:
			s.busy.Add(1)
		case err == nil:
			s.wrong(ctx, "applying at %s%s answers %d", r.host, r.path, status)
		default:
			s.wrong(ctx, "applying: %v", err)
		}
		if wait(ctx, time.Second) != nil {
			return
		}
	}
}

func (s *steady) employer(ctx context.Context, d *draw) {
	email, err := s.w.buy(ctx, d, int64(os.Getpid())<<20|people.Add(1))
	s.asked.Add(1)
	switch {
	case err == nil:
		s.mu.Lock()
		s.paid = append(s.paid, email)
		s.mu.Unlock()
	case errors.Is(err, errTold):
		// An employer who was told so tries again another day.
	default:
		s.wrong(ctx, "buying: %v", err)
	}
}

// acknowledged holds what was confirmed against what is there.
func (s *steady) acknowledged(ctx context.Context) (what string, wrong []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what = fmt.Sprintf("%d confirmed applications and %d payments are there, once each", len(s.applied), len(s.paid))
	check := func(query string, emails []string) {
		rows, err := s.w.super.Query(ctx, query, emails)
		if err != nil {
			wrong = append(wrong, err.Error())
			return
		}
		defer rows.Close()
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				wrong = append(wrong, err.Error())
			}
			wrong = append(wrong, line)
		}
	}
	check(`SELECT e || ' has ' || (SELECT count(*) FROM applications a WHERE a.email = e) || ' applications' FROM unnest($1::text[]) e
		WHERE (SELECT count(*) FROM applications a WHERE a.email = e) <> 1`, s.applied)
	check(`SELECT e || ' has ' || (SELECT count(*) FROM orders o WHERE o.email = e AND o.state = 'paid') || ' paid orders' FROM unnest($1::text[]) e
		WHERE (SELECT count(*) FROM orders o WHERE o.email = e AND o.state = 'paid') <> 1`, s.paid)
	check(`SELECT e || ' has ' || (SELECT count(*) FROM mails m WHERE m.recipient = e AND m.kind LIKE '%receipt%') || ' receipts' FROM unnest($1::text[]) e
		WHERE (SELECT count(*) FROM mails m WHERE m.recipient = e AND m.kind LIKE '%receipt%') <> 1`, s.paid)
	return what, wrong
}

var messageID = regexp.MustCompile(`(?mi)^Message-Id: <([^>]+)>`)

// onTheWire looks at every mail that the mail server took: a second copy is
// allowed after a crash, but under the same Message-ID, by which readers know it.
func (w *world) onTheWire(ctx context.Context) (what string, wrong []string) {
	rows, err := w.super.Query(ctx, `SELECT message_id, recipient FROM mails WHERE state = 'sent'`)
	if err != nil {
		return "mails", []string{err.Error()}
	}
	want := map[string]bool{}
	for rows.Next() {
		var id, to string
		if err := rows.Scan(&id, &to); err != nil {
			return "mails", []string{err.Error()}
		}
		want[id] = false
	}
	files, _ := filepath.Glob(filepath.Join(w.dir, "mail", "*.eml"))
	copies := 0
	for _, f := range files {
		raw, err := os.ReadFile(f) // #nosec G304 -- under our folder
		if err != nil {
			continue
		}
		m := messageID.FindSubmatch(raw)
		if m == nil {
			wrong = append(wrong, filepath.Base(f)+" has no Message-ID")
			continue
		}
		id, _, _ := strings.Cut(string(m[1]), "@") // the domain is the sender's
		seen, ours := want[id]
		switch {
		case !ours:
			wrong = append(wrong, id+" is on no record")
		case seen:
			copies++
		}
		want[id] = true
	}
	for id, seen := range want {
		if !seen {
			wrong = append(wrong, id+" is on record and was never taken")
		}
	}
	return fmt.Sprintf("%d mails on record are the %d that were taken (%d second copies, same Message-ID)", len(want), len(files), copies), wrong
}
