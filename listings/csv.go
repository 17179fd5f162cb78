package listings

import (
	"context"
	"encoding/csv"
	"errors"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/uptrace/bun"

	"shingle/internal/fault"
)

// MaxImport is how many lines one import may have.
const MaxImport = 5000

// Columns are a listing file's columns, in the order that an export has. They
// are the form's field names; title and description are needed.
func Columns() []string {
	return []string{FieldTitle, FieldCompany, FieldWebsite, FieldCategory, FieldEmployment, FieldWorkplace, FieldSeniority, FieldPlaces,
		FieldCountries, FieldSalaryMin, FieldSalaryMax, FieldSalaryCurrency, FieldSalaryPeriod, FieldDescription, FieldTags, FieldApplyMethod,
		FieldApplyTarget, FieldReference}
}

// Line is what an import says about one line of the file.
type Line struct {
	// N is the line in the file, as an editor counts; the head is line 1.
	N     int    `json:"n"`
	Title string `json:"title"`
	// Problems are by column; empty for a line that can be imported.
	Problems fault.Fields `json:"problems,omitempty"`
	// Known: a listing of that reference exists, and the line is left out.
	Known bool `json:"known,omitempty"`

	content Content
}

// Report is what a dry run found.
type Report struct {
	Lines []Line `json:"lines"`
	Good  int    `json:"good"`
	Bad   int    `json:"bad"`
	Known int    `json:"known"`
	// Unknown are columns that the import does not use.
	Unknown []string `json:"unknown,omitempty"`
	// Done is how many listings were made, after the import.
	Done int `json:"done,omitempty"`
	// Rules are what the file was read with, so that the run reads it alike.
	Rules Rules `json:"rules"`
}

// CheckCSV reads a file of listings without writing anything: each line with
// its reasons. Commas, semicolons and tabs are understood, and a byte order mark.
// A file that cannot be read at all is fault.Invalid with field "file".
func (s *Store) CheckCSV(ctx context.Context, tx bun.IDB, content string, r Rules) (*Report, error) {
	bad := func(m string) error { return fault.Invalids(fault.Fields{"file": m}) }
	content = strings.TrimPrefix(strings.ToValidUTF8(content, "\uFFFD"), "\uFEFF")
	in := csv.NewReader(strings.NewReader(content))
	in.Comma = comma(content)
	in.FieldsPerRecord = -1
	in.LazyQuotes = true
	head, err := in.Read()
	if err != nil {
		return nil, bad(say("field.csv.columns"))
	}
	rep := &Report{Lines: []Line{}}
	at := map[string]int{}
	for i, h := range head {
		h = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(h)), " ", "_")
		if slices.Contains(Columns(), h) {
			at[h] = i
		} else if h != "" {
			rep.Unknown = append(rep.Unknown, head[i])
		}
	}
	if _, ok := at[FieldTitle]; !ok {
		return nil, bad(say("field.csv.column", FieldTitle))
	}
	if _, ok := at[FieldDescription]; !ok {
		return nil, bad(say("field.csv.column", FieldDescription))
	}
	categories, err := s.Categories(ctx, tx)
	if err != nil {
		return nil, err
	}
	known, err := s.references(ctx, tx)
	if err != nil {
		return nil, err
	}
	seen := map[string]int{}
	for {
		rec, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		n, _ := in.FieldPos(0)
		if err != nil {
			rep.Lines = append(rep.Lines, Line{N: n, Problems: fault.Fields{"line": say("field.csv.broken")}})
			rep.Bad++
			continue
		}
		if strings.TrimSpace(strings.Join(rec, "")) == "" {
			continue
		}
		if len(rep.Lines) == MaxImport {
			return nil, bad(say("field.csv.many", strconv.Itoa(MaxImport)))
		}
		v := url.Values{}
		for name, i := range at {
			if i < len(rec) {
				v.Set(name, unguard(rec[i]))
			}
		}
		line := readLine(n, v, r, categories)
		if ref := line.content.Reference; ref != "" {
			switch first, twice := seen[ref]; {
			case twice:
				line.problem(FieldReference, say("field.csv.duplicate", strconv.Itoa(first)))
			case known[ref]:
				line.Known = true
			}
			seen[ref] = n
		}
		switch {
		case line.Known:
			rep.Known++
		case len(line.Problems) > 0:
			rep.Bad++
		default:
			rep.Good++
		}
		rep.Lines = append(rep.Lines, line)
	}
	return rep, nil
}

func (l *Line) problem(field, message string) {
	if l.Problems == nil {
		l.Problems = fault.Fields{}
	}
	l.Problems[field] = message
}

func readLine(n int, v url.Values, r Rules, categories []Category) Line {
	for _, f := range []string{FieldEmployment, FieldWorkplace, FieldSeniority, FieldSalaryPeriod, FieldApplyMethod} {
		v.Set(f, strings.NewReplacer("-", "_", " ", "_").Replace(strings.ToLower(strings.TrimSpace(v.Get(f)))))
	}
	// In a cell, countries and tags stand apart by commas or semicolons.
	v.Set(FieldTags, strings.ReplaceAll(v.Get(FieldTags), ";", ","))
	category := strings.TrimSpace(v.Get(FieldCategory))
	found := category == ""
	for _, c := range categories {
		if strings.EqualFold(c.Name, category) || c.Slug == category {
			v.Set(FieldCategory, c.Slug)
			found = true
		}
	}
	c, err := ContentFromForm(v, r)
	line := Line{N: n, Title: c.Title, content: c}
	for name, m := range fault.FieldsOf(err) {
		line.problem(name, m)
	}
	if !found {
		line.problem(FieldCategory, say("field.category.none", strings.ReplaceAll(category, "|", "/")))
	}
	return line
}

// comma guesses the separator from the head: Excel in German writes semicolons.
func comma(content string) rune {
	head, _, _ := strings.Cut(content, "\n")
	best := ','
	for _, c := range []rune{';', '\t'} {
		if strings.Count(head, string(c)) > strings.Count(head, string(best)) {
			best = c
		}
	}
	return best
}

// references are the employers' own numbers that the board has already.
func (s *Store) references(ctx context.Context, tx bun.IDB) (map[string]bool, error) {
	var refs []string
	err := tx.NewSelect().Model((*Listing)(nil)).Column("l.reference").Where("l.reference <> ''").Where("l.state <> ?", Removed).Scan(ctx, &refs)
	out := make(map[string]bool, len(refs))
	for _, r := range refs {
		out[r] = true
	}
	return out, err
}

// CSVCell keeps a cell from being run as a formula by a spreadsheet: what begins
// with = + - @ or a control character gets an apostrophe. Plain numbers stay.
func CSVCell(cell string) string {
	if cell == "" {
		return cell
	}
	switch cell[0] {
	case '=', '+', '-', '@', '\t', '\r', '\n':
		if _, err := strconv.ParseFloat(cell, 64); err == nil && cell[0] != '+' {
			return cell
		}
		return "'" + cell
	}
	return cell
}

// unguard takes our own apostrophe off, so that an export can be imported.
func unguard(cell string) string {
	if len(cell) > 1 && cell[0] == '\'' && strings.ContainsRune("=+-@\t\r\n", rune(cell[1])) {
		return cell[1:]
	}
	return cell
}

// ExportCSV writes the listings that match the filter, page and size aside, in
// the columns that an import reads, with id, state and dates after them.
func (s *Store) ExportCSV(ctx context.Context, tx bun.IDB, w io.Writer, f Filter) error {
	out := csv.NewWriter(w)
	if err := out.Write(append(Columns(), "id", "state", "published_at", "ends_at")); err != nil {
		return err
	}
	f.Size = 500
	for f.Page = 1; ; f.Page++ {
		cards, _, err := s.AdminList(ctx, tx, f)
		if err != nil {
			return err
		}
		var ls []Listing
		if len(cards) > 0 {
			ids := make([]string, len(cards))
			for i := range cards {
				ids[i] = cards[i].ID.String()
			}
			if err := tx.NewSelect().Model(&ls).Where("l.id IN (?)", bun.In(ids)).OrderExpr("l.updated_at DESC, l.id").Scan(ctx); err != nil {
				return err
			}
			if err := s.Complete(ctx, tx, ls); err != nil {
				return err
			}
		}
		for i := range ls {
			if err := out.Write(row(&ls[i])); err != nil {
				return err
			}
		}
		if len(cards) < f.Size {
			break
		}
	}
	out.Flush()
	return out.Error()
}

func row(l *Listing) []string {
	c := ContentOf(l)
	places := make([]string, len(c.Places))
	for i, p := range c.Places {
		places[i] = p.Text()
	}
	amount := func(n *int64) string {
		if n == nil {
			return ""
		}
		return FormatAmount(*n, c.SalaryCurrency)
	}
	date := func(t interface{ Format(string) string }, ok bool) string {
		if !ok {
			return ""
		}
		return t.Format("2006-01-02T15:04:05Z07:00")
	}
	cells := []string{c.Title, c.Company, c.Website, c.Category, c.EmploymentType, c.Workplace, c.Seniority, strings.Join(places, "; "),
		strings.Join(c.Countries, ", "), amount(c.SalaryMin), amount(c.SalaryMax), c.SalaryCurrency, c.SalaryPeriod, c.Description,
		strings.Join(c.Tags, ", "), c.ApplyMethod, c.ApplyTarget, c.Reference, l.PublicID, string(l.State),
		date(l.PublishedAt, l.PublishedAt != nil), date(l.EndsAt, l.EndsAt != nil)}
	for i := range cells {
		cells[i] = CSVCell(cells[i])
	}
	return cells
}
