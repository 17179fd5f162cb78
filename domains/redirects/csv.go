package redirects

import (
	"context"
	"encoding/csv"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/tenant"
)

// MaxCSV is the largest map that is taken, in bytes.
const MaxCSV = 5 << 20

// Line is one line of a map with what becomes of it.
type Line struct {
	N              int
	Source, Target string
	Status         int
	// State is good, known (it is there already), changed (a chain was
	// shortened, Note says to where), bad (Note says why).
	State string
	// Notes are catalogue keys with their arguments after "|".
	Notes []string
	// External warns of a target on another site.
	External bool

	redirect *Redirect
}

// Report is what a map would do, or did.
type Report struct {
	Lines                      []Line
	Good, Known, Bad, External int
}

// Check reads a map line by line (source, target, status) without keeping it.
// Kind: fault.Invalid (field "file") for what is no CSV.
func (s *Store) Check(ctx context.Context, tx bun.IDB, content string, hosts []string) (*Report, error) {
	known, err := s.all(ctx, tx)
	if err != nil {
		return nil, err
	}
	return check(known, content, hosts)
}

func check(known []*Redirect, content string, hosts []string) (*Report, error) {
	content = strings.TrimPrefix(content, "\ufeff")
	if len(content) > MaxCSV {
		return nil, fault.Invalids(fault.Fields{"file": "redirect.csv.large"})
	}
	r := csv.NewReader(strings.NewReader(content))
	r.FieldsPerRecord, r.TrimLeadingSpace, r.Comma = -1, true, comma(content)
	p, out := newPlan(known), &Report{}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		var pe *csv.ParseError
		if errors.As(err, &pe) {
			return nil, fault.Invalids(fault.Fields{"file": "redirect.csv.broken|" + strconv.Itoa(pe.Line)})
		}
		if err != nil {
			return nil, err
		}
		n, _ := r.FieldPos(0)
		if n == 1 && !strings.Contains(row[0], "/") || len(row) == 1 && row[0] == "" {
			continue // the heading
		}
		if len(known)+len(out.Lines) >= Max {
			return nil, fault.Invalids(fault.Fields{"file": "redirect.many"})
		}
		l := readLine(p, n, row, hosts)
		switch l.State {
		case "bad":
			out.Bad++
		case "known":
			out.Known++
		default:
			out.Good++
			if l.External {
				out.External++
			}
		}
		out.Lines = append(out.Lines, l)
	}
	if len(out.Lines) == 0 {
		return nil, fault.Invalids(fault.Fields{"file": "redirect.csv.empty"})
	}
	p.settle() // later lines may have led earlier ones further
	for i := range out.Lines {
		l := &out.Lines[i]
		if l.redirect != nil && l.State == "good" && l.redirect.Target != l.Target && !l.redirect.Gone() {
			l.State, l.Notes = "changed", append(l.Notes, "redirect.csv.shortened|"+l.redirect.Target)
		}
	}
	return out, nil
}

// comma is the separator: spreadsheets of many countries write semicolons.
func comma(content string) rune {
	first, _, _ := strings.Cut(content, "\n")
	switch {
	case strings.Contains(first, "\t"):
		return '\t'
	case strings.Count(first, ";") > strings.Count(first, ","):
		return ';'
	}
	return ','
}

func readLine(p *plan, n int, row, hosts []string) Line {
	cell := func(i int) string {
		if i < len(row) {
			return strings.TrimSpace(row[i])
		}
		return ""
	}
	l := Line{N: n, Source: cell(0), Target: cell(1), Status: http.StatusMovedPermanently, State: "good"}
	if text := cell(2); text != "" {
		status, err := strconv.Atoi(text)
		if err != nil {
			status = -1
		}
		if l.Status = status; status == http.StatusPermanentRedirect {
			l.Status = http.StatusMovedPermanently
		}
		if status == http.StatusTemporaryRedirect {
			l.Status = http.StatusFound
		}
	}
	r, err := Parse(l.Source, l.Target, l.Status, hosts)
	if err != nil {
		for _, text := range fault.FieldsOf(err) {
			l.Notes = append(l.Notes, text)
		}
		l.State = "bad"
		return l
	}
	l.Source, l.Target, l.External = r.From(), r.Target, r.External()
	if there := map[bool]map[string]*Redirect{true: p.wild, false: p.exact}[r.Wildcard][r.Source]; there != nil && there.Target == r.Target && there.Status == r.Status {
		l.State = "known"
		return l
	}
	if key := p.add(r); key != "" {
		l.State, l.Notes = "bad", append(l.Notes, key)
		return l
	}
	l.redirect = r
	return l
}

// Import keeps the good lines of a map and leaves the others out. It checks
// again what Check showed. Kind: fault.Invalid (field "file").
func (s *Store) Import(ctx context.Context, tx bun.IDB, content string, hosts []string) (*Report, error) {
	known, err := s.all(ctx, tx)
	if err != nil {
		return nil, err
	}
	before := map[*Redirect]string{}
	for _, r := range known {
		before[r] = r.Target
	}
	rep, err := check(known, content, hosts)
	if err != nil {
		return nil, err
	}
	var fresh []*Redirect
	for i := range rep.Lines {
		if r := rep.Lines[i].redirect; r != nil {
			fresh = append(fresh, r)
		}
	}
	p := &plan{}
	for _, r := range known {
		if before[r] != r.Target {
			p.changed = append(p.changed, r)
		}
	}
	if err := s.straighten(ctx, tx, p); err != nil {
		return nil, err
	}
	if len(fresh) > 0 {
		if err := s.insert(ctx, tx, fresh); err != nil {
			return nil, err
		}
		tenant.Changed(ctx)
	}
	return rep, nil
}
