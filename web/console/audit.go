package console

import (
	"encoding/csv"
	"fmt"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"shingle/authz"
	"shingle/authz/chain"
	"shingle/listings"
	"shingle/tenant"
)

// AuditPage is what the part "audit" shows: a page of an audit log, the same in
// the board's console and in the staff's.
type AuditPage struct {
	// Path is the page's address, CSV the export's.
	Path, CSV string
	Form      AuditForm
	Acts      []Option
	// Kinds are what lines are about.
	Kinds []Option
	Lines []AuditLine
	// Next is the address of older lines; First that of the newest, when this is not it.
	Next, First string
	State       *chain.State
	Errors      map[string]string
	// Boards: the log of several boards, so each line names its own.
	Boards bool
	// Scope is the choice of a log, for staff.
	Scope []Option
}

// AuditForm is the filter as typed.
type AuditForm struct {
	Actor, Act, Kind, Object, From, To, Board, Scope string
}

// Filtered reports whether anything is asked for.
func (f AuditForm) Filtered() bool { return f.Actor+f.Act+f.Kind+f.Object+f.From+f.To != "" }

// AuditLine is a line in words.
type AuditLine struct {
	At                         time.Time
	Actor, ActorURL            string
	Impersonator               string
	ImpersonatorURL            string
	Act, ActURL, Kind          string
	Object, ObjectURL          string
	Board, BoardURL            string
	Detail                     []AuditDetail
	Seq                        int64
	Request, Line              string
	Erased, Waits, BySystem    bool
	actorID, impersonatorID    string
	tenant, act, kind, address string
}

// AuditDetail is one thing that is said beside an act.
type AuditDetail struct{ Name, Value string }

// ReadAuditForm reads the filter from the address. errs has what cannot be
// read; who tells the id of somebody's address, and never that it knows none.
func (s *Shell) ReadAuditForm(c *gin.Context, locale string, zone *time.Location, who func(email string) (uuid.UUID, error)) (AuditForm, authz.LogFilter, map[string]string, error) {
	q := func(name string) string { return strings.TrimSpace(c.Query(name)) }
	form := AuditForm{Actor: q("actor"), Act: q("act"), Kind: q("kind"), Object: q("object"), From: q("from"), To: q("to"), Board: q("board"), Scope: q("scope")}
	f := authz.LogFilter{Act: form.Act, ObjectKind: form.Kind, ObjectID: form.Object}
	errs := map[string]string{}
	day := func(name, text string, after int) (t time.Time) {
		if text == "" {
			return t
		}
		t, err := time.ParseInLocation(time.DateOnly, text, zone)
		if err != nil {
			errs[name] = s.T(locale, "audit.no_date")
			return time.Time{}
		}
		return t.AddDate(0, 0, after)
	}
	f.From, f.To = day("from", form.From, 0), day("to", form.To, 1)
	if form.Actor != "" {
		id, err := uuid.Parse(form.Actor)
		if err != nil {
			if id, err = who(strings.ToLower(form.Actor)); err != nil {
				return form, f, nil, err
			}
		}
		f.ActorID = id
	}
	if at, id, ok := strings.Cut(q("before"), "_"); ok {
		micro, err := strconv.ParseInt(at, 10, 64)
		last, err2 := uuid.Parse(id)
		if err == nil && err2 == nil {
			f.Before, f.BeforeID = time.UnixMicro(micro).UTC(), last
		}
	}
	return form, f, errs, nil
}

// AuditAct is an act in words: "Listing: approved". What the catalogue lacks is
// shown as it is named.
func (s *Shell) AuditAct(locale, act string) string {
	object, verb, ok := strings.Cut(act, ".")
	if !ok {
		return act
	}
	return s.auditWord(locale, "audit.object.", object) + ": " + s.auditWord(locale, "audit.verb.", verb)
}

func (s *Shell) auditWord(locale, prefix, name string) string {
	if s.words.Has(locale, prefix+name) {
		return s.words.T(locale, prefix+name)
	}
	return strings.ReplaceAll(name, "_", " ")
}

// AuditActs are the choices of an act.
func (s *Shell) AuditActs(locale, chosen string, acts []string) []Option {
	return s.auditChoices(locale, "audit.any_act", chosen, acts, s.AuditAct)
}

// AuditKinds are the choices of what lines are about.
func (s *Shell) AuditKinds(locale, chosen string, kinds []string) []Option {
	return s.auditChoices(locale, "audit.any_kind", chosen, kinds, func(locale, kind string) string { return s.auditWord(locale, "audit.object.", kind) })
}

func (s *Shell) auditChoices(locale, anything, chosen string, values []string, word func(locale, value string) string) []Option {
	out := make([]Option, 0, len(values)+2)
	known := chosen == ""
	for _, v := range values {
		known = known || v == chosen
		out = append(out, Option{Value: v, Label: word(locale, v), Selected: v == chosen})
	}
	if !known {
		out = append(out, Option{Value: chosen, Label: word(locale, chosen), Selected: true})
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Label < out[j].Label })
	return append([]Option{{Label: s.T(locale, anything)}}, out...)
}

// AuditLines puts lines into words. at shows times in the reader's zone; boards
// names boards, for several logs at once.
func (s *Shell) AuditLines(locale string, lines []authz.Line, q url.Values, at *time.Location, boards map[tenant.ID]string) []AuditLine {
	out := make([]AuditLine, len(lines))
	link := func(name, value string) string { return string(query(without(q, "before"), name, value)) }
	for i := range lines {
		l := &lines[i]
		a := AuditLine{At: l.At.In(at), Actor: l.Actor(), Act: s.AuditAct(locale, l.Act), ActURL: link("act", l.Act), Request: l.RequestID, Line: l.ID.String(),
			Erased: l.Erased, Waits: l.Seq == nil, BySystem: l.ActorKind == tenant.System, tenant: l.TenantID.String(), act: l.Act, kind: string(l.ActorKind), address: l.ObjectKind}
		if l.Seq != nil {
			a.Seq = *l.Seq
		}
		a.Kind = s.T(locale, "audit.actor."+string(l.ActorKind))
		if l.ActorID != nil {
			a.actorID = l.ActorID.String()
			a.ActorURL = link("actor", a.actorID)
			if a.Actor == "" {
				a.Actor = s.T(locale, "audit.erased_name")
			}
		} else if a.Actor == "" {
			a.Actor = a.Kind
		}
		if l.ImpersonatorID != nil {
			a.impersonatorID = l.ImpersonatorID.String()
			a.Impersonator, a.ImpersonatorURL = l.Impersonator(), link("actor", a.impersonatorID)
			if a.Impersonator == "" {
				a.Impersonator = s.T(locale, "audit.erased_name")
			}
		}
		if l.ObjectID != "" {
			a.Object, a.ObjectURL = l.ObjectID, link("object", l.ObjectID)
		}
		if boards != nil {
			a.Board, a.BoardURL = boards[l.TenantID], "/staff/boards/"+l.TenantID.String()
			if l.TenantID.IsNil() {
				a.Board, a.BoardURL = s.T(locale, "audit.platform"), ""
			}
		}
		for _, part := range []map[string]any{l.Detail, l.Personal} {
			names := make([]string, 0, len(part))
			for name := range part {
				if name != "actor" && name != "impersonator" {
					names = append(names, name)
				}
			}
			sort.Strings(names)
			for _, name := range names {
				a.Detail = append(a.Detail, AuditDetail{s.auditWord(locale, "audit.detail.", name), s.auditValue(locale, part[name])})
			}
		}
		out[i] = a
	}
	return out
}

func (s *Shell) auditValue(locale string, v any) string {
	switch v := v.(type) {
	case nil:
		return "–"
	case bool:
		return s.T(locale, "audit."+map[bool]string{true: "yes", false: "no"}[v])
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case string:
		return v
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = s.auditValue(locale, v[i])
		}
		return strings.Join(parts, ", ")
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		sort.Strings(names)
		for i, name := range names {
			names[i] = s.auditWord(locale, "audit.detail.", name) + " " + s.auditValue(locale, v[name])
		}
		return strings.Join(names, ", ")
	}
	return fmt.Sprint(v)
}

// Pages sets the links to older and to the newest lines.
func (p *AuditPage) Pages(lines []authz.Line, limit int, q url.Values) {
	if q.Get("before") != "" {
		p.First = p.Path + string(query(without(q, "before"), "page", ""))
	}
	if len(lines) == limit {
		last := lines[len(lines)-1]
		p.Next = p.Path + string(query(q, "before", fmt.Sprintf("%d_%s", last.At.UnixMicro(), last.ID)))
	}
	p.CSV += string(query(without(q, "before"), "page", ""))
}

func without(q url.Values, name string) url.Values {
	out := url.Values{}
	for k, v := range q {
		if k != name {
			out[k] = v
		}
	}
	return out
}

// AuditBatch is how many lines an export reads at a time.
const AuditBatch = 1000

// AuditCSV answers a whole filtered log as CSV, a batch at a time, however long
// it is. No cell can be read as a formula.
func (s *Shell) AuditCSV(c *gin.Context, locale, name string, f authz.LogFilter, boards map[tenant.ID]string, read func(f authz.LogFilter) ([]authz.Line, error)) error {
	f.Limit, f.Before = AuditBatch, time.Time{}
	lines, err := read(f)
	if err != nil {
		return err
	}
	c.Header("Content-Disposition", `attachment; filename="`+name+`.csv"`)
	c.Header("Content-Type", "text/csv; charset=utf-8")
	w := csv.NewWriter(c.Writer)
	_ = w.Write([]string{"time", "board", "link", "actor", "actor id", "actor kind", "on behalf, staff", "staff id", "act", "in words", "object kind", "object", "details", "request", "line"})
	for {
		for _, a := range s.AuditLines(locale, lines, nil, time.UTC, boards) {
			seq := ""
			if !a.Waits {
				seq = strconv.FormatInt(a.Seq, 10)
			}
			details := make([]string, len(a.Detail))
			for i, d := range a.Detail {
				details[i] = d.Name + ": " + d.Value
			}
			board := a.Board
			if board == "" {
				board = a.tenant
			}
			row := []string{a.At.Format("2006-01-02T15:04:05.000000Z"), board, seq, a.Actor, a.actorID, a.kind, a.Impersonator, a.impersonatorID, a.act, a.Act,
				a.address, a.Object, strings.Join(details, "; "), a.Request, a.Line}
			for i := range row {
				row[i] = listings.CSVCell(row[i])
			}
			if err := w.Write(row); err != nil {
				return nil // the reader is gone; the answer has begun
			}
		}
		w.Flush()
		if len(lines) < AuditBatch || w.Error() != nil {
			return nil
		}
		last := lines[len(lines)-1]
		f.Before, f.BeforeID = last.At, last.ID
		if lines, err = read(f); err != nil {
			// The answer has begun: a cut file must not look whole.
			_ = w.Write([]string{"the export broke off here"})
			w.Flush()
			return err
		}
	}
}
