package archive

import (
	"archive/zip"
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"html/template"
	"io"
	"slices"
	"strings"
	texttemplate "text/template"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"gocloud.dev/gcerrors"

	"shingle/accounts"
	"shingle/internal/fault"
	"shingle/listings"
	"shingle/tenant"
)

//go:embed words person.html
var embedded embed.FS

var personPage = template.Must(template.ParseFS(embedded, "person.html"))

// words are those of a person's page in one language.
type words struct {
	Title, Intro, None, Contact, File, Yes, No string
	Tables, Columns                            map[string]string
}

func wordsOf(locale string) (w words, err error) {
	lang, _, _ := strings.Cut(locale, "-")
	if !slices.Contains(tenant.Languages, lang) {
		lang = "en"
	}
	raw, err := embedded.ReadFile("words/" + lang + ".toml")
	if err == nil {
		err = toml.Unmarshal(raw, &w)
	}
	return w, err
}

// section is what one table holds of a person, as data.json has it.
type section struct {
	Table string            `json:"table"`
	Rows  []json.RawMessage `json:"rows"`
	cols  []column
}

// Person writes all that the context's board holds of one address as a ZIP file
// that its owner can read: a page, the same as JSON, and their files. What
// employers received from others is not theirs and not in it; secrets of
// sessions and links are not either. It reports how many rows there are.
//
// Kinds: fault.Invalid for what is no address, fault.NotFound when the board
// knows nothing of it.
func (s *Service) Person(ctx context.Context, w io.Writer, email string) (int, error) {
	t, email, locale, parts, err := s.gather(ctx, email)
	n := 0
	for _, p := range parts {
		n += len(p.Rows)
	}
	if err == nil && n == 0 {
		err = fault.New(fault.NotFound, "%s has nothing under this address", t.Name)
	}
	if err != nil {
		return 0, err
	}
	return n, s.writePerson(ctx, w, t, email, locale, parts)
}

// Held is how many rows the board holds of one person in one place.
type Held struct {
	// Title is in the board's language.
	Title string
	Rows  int
}

// Held tells what Person would write, in words. Kind: fault.Invalid.
func (s *Service) Held(ctx context.Context, email string) ([]Held, error) {
	t, _, _, parts, err := s.gather(ctx, email)
	if err != nil {
		return nil, err
	}
	w, err := wordsOf(t.Locale)
	if err != nil {
		return nil, err
	}
	out := make([]Held, len(parts))
	for i, p := range parts {
		out[i] = Held{w.Tables[p.Table], len(p.Rows)}
	}
	return out, nil
}

// gather reads all that the context's board holds of one address.
func (s *Service) gather(ctx context.Context, address string) (t *tenant.Tenant, email, locale string, parts []section, err error) {
	if t = tenant.From(ctx); t == nil {
		return nil, "", "", nil, fault.New(fault.Internal, "an export of no board")
	}
	if email, err = accounts.Fold(address); err != nil {
		return t, "", "", nil, err
	}
	locale = t.Locale
	err = s.DB.Snapshot(ctx, func(ctx context.Context, tx bun.IDB) error {
		parts = nil
		all, err := catalogue(ctx, tx)
		if err != nil {
			return err
		}
		var ids []uuid.UUID
		var own []string
		if err := tx.NewRaw(`SELECT id FROM people WHERE tenant_id = ? AND email = ?`, t.ID, email).Scan(ctx, &ids); err != nil {
			return err
		}
		if err := tx.NewRaw(`SELECT locale FROM people WHERE tenant_id = ? AND email = ? AND locale <> ''`, t.ID, email).Scan(ctx, &own); err != nil {
			return err
		}
		if len(own) > 0 {
			locale = own[0]
		}
		for _, table := range slices.Concat(Tables, PersonLeft) {
			if table.Person == "" {
				continue
			}
			p := section{Table: table.Name}
			for _, c := range all[table.Name] {
				if c.Name != "tenant_id" && !slices.Contains(table.PersonDrop, c.Name) {
					p.cols = append(p.cols, c)
				}
			}
			err := table.rows(ctx, tx, t.ID, all[table.Name], p.cols, table.Person, []any{email, bun.In(ids), t.ID}, func(raw []byte) error {
				p.Rows = append(p.Rows, bytes.Clone(raw))
				return nil
			})
			if err != nil {
				return fault.Wrap(err, fault.KindOf(err), "reading %s", table.Name)
			}
			if len(p.Rows) > 0 {
				parts = append(parts, p)
			}
		}
		return nil
	})
	return t, email, locale, parts, err
}

func (s *Service) writePerson(ctx context.Context, w io.Writer, t *tenant.Tenant, email, locale string, parts []section) error {
	z := zip.NewWriter(w)
	at := s.Now().In(t.Location())
	put := func(name string, data []byte) error {
		f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: at})
		if err == nil {
			_, err = f.Write(data)
		}
		return err
	}
	files := map[string]bool{}
	for _, p := range parts {
		table, _ := tableOf(p.Table)
		for _, raw := range p.Rows {
			var row map[string]json.RawMessage
			if err := json.Unmarshal(raw, &row); err != nil {
				return err
			}
			for _, name := range filesOf(table) {
				key := text(row, name)
				if key == "" || files[key] || !filePart.MatchString("files/"+key) {
					continue
				}
				data, err := s.readFile(ctx, t.ID.String()+"/"+key)
				if gcerrors.Code(err) == gcerrors.NotFound {
					continue
				}
				if err != nil {
					return fault.Wrap(err, fault.Unavailable, "the file store does not answer")
				}
				files[key] = true
				if err := put("files/"+key, data); err != nil {
					return err
				}
			}
		}
	}
	page, err := personHTML(t, email, locale, at, parts, files)
	if err != nil {
		return err
	}
	if err := put("index.html", page); err != nil {
		return err
	}
	data, err := json.MarshalIndent(map[string]any{"board": t.Name, "host": t.CanonicalHost, "email": email, "at": at, "data": parts}, "", "  ")
	if err != nil {
		return err
	}
	if err := put("data.json", data); err != nil {
		return err
	}
	return z.Close()
}

func filesOf(t *Table) []string {
	if t == nil {
		return nil
	}
	return t.Files
}

// shown is a column of a row on the page.
type shown struct{ Label, Text, File string }

type shownPart struct {
	Name, Title string
	Rows        [][]shown
}

func personHTML(t *tenant.Tenant, email, locale string, at time.Time, parts []section, files map[string]bool) ([]byte, error) {
	w, err := wordsOf(locale)
	if err != nil {
		return nil, err
	}
	fill := func(s string) string {
		var b strings.Builder
		err = texttemplate.Must(texttemplate.New("").Parse(s)).Execute(&b, map[string]string{"Name": t.Name, "Host": t.CanonicalHost, "Email": email,
			"At": at.Format("2006-01-02 15:04 MST"), "Contact": t.ContactEmail})
		return b.String()
	}
	view := map[string]any{"Locale": locale, "Title": fill(w.Title), "Intro": fill(w.Intro), "None": w.None}
	if t.ContactEmail != "" {
		view["Contact"] = fill(w.Contact)
	}
	if err != nil {
		return nil, err
	}
	var list []shownPart
	for _, p := range parts {
		sp := shownPart{Name: p.Table, Title: w.Tables[p.Table]}
		for _, raw := range p.Rows {
			var row map[string]json.RawMessage
			if err := json.Unmarshal(raw, &row); err != nil {
				return nil, err
			}
			var cells []shown
			for _, c := range p.cols {
				cell := shown{Label: w.Columns[c.Name], Text: w.value(row[c.Name])}
				if cell.Label == "" {
					cell.Label = strings.ReplaceAll(c.Name, "_", " ")
				}
				if key := text(row, c.Name); files[key] {
					cell.File, cell.Text = "files/"+key, w.File
				}
				if cell.Text != "" {
					cells = append(cells, cell)
				}
			}
			sp.Rows = append(sp.Rows, cells)
		}
		list = append(list, sp)
	}
	view["Parts"] = list
	var b bytes.Buffer
	err = personPage.Execute(&b, view)
	return b.Bytes(), err
}

// value is a column's value for reading; "" for none.
func (w *words) value(raw json.RawMessage) string {
	switch s := string(raw); {
	case s == "" || s == "null" || s == "{}" || s == "[]":
		return ""
	case s == "true":
		return w.Yes
	case s == "false":
		return w.No
	case s[0] != '"':
		return s
	}
	var s string
	_ = json.Unmarshal(raw, &s) // the database wrote it
	if at, err := time.Parse("2006-01-02T15:04:05.999999-07:00", s); err == nil {
		return at.Format("2006-01-02 15:04:05 MST")
	}
	if strings.HasPrefix(s, "<") { // a description
		return listings.Text(s)
	}
	return s
}
