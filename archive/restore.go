package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"gocloud.dev/blob"

	"shingle/accounts"
	"shingle/authz"
	"shingle/internal/fault"
	"shingle/internal/pg"
	"shingle/tasks"
	"shingle/tenant"
)

// Restoring says where a board goes.
type Restoring struct {
	// Slug is the archive's own when empty.
	Slug string
	// Owner is the address of who gets the board; nobody does when it is empty,
	// and staff grant it later. What the archive says of its team grants nothing.
	Owner string
	// Invite asks the archive's team by mail to join again.
	Invite bool
	// NewIDs gives new ids even when the old ones are free.
	NewIDs bool
	// Open lets the public in at once. Otherwise the board is suspended, so that
	// somebody looks at it first: a copy beside its original would write to the
	// same people.
	Open     bool
	Progress func(what string, n int64)
}

// Restored is what became of it.
type Restored struct {
	Board    *tenant.Tenant
	Header   *Header
	Manifest *Manifest
	// Kept reports that the ids are those of the archive.
	Kept bool
}

// Check reads a whole archive and says what is wrong with it: container,
// checksums, version, columns, every row's form, every file. It writes nothing.
// Kind: fault.Invalid.
func (s *Service) Check(ctx context.Context, r io.Reader) (*Header, *Manifest, error) {
	var all map[string][]column
	err := s.Platform.Read(tenant.With(ctx, nil), func(ctx context.Context, tx bun.IDB) (err error) {
		all, err = catalogue(ctx, tx)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	var in *intake
	return read(r, visit{
		header: func(h *Header) (err error) {
			in, err = s.intake(h, all)
			return err
		},
		part: func(table string, data []byte) error {
			_, err := in.rows(table, data)
			return err
		},
		file: func(name string, data []byte) error {
			_, err := cleanFile(name, data)
			return err
		},
	})
}

// Restore makes a board of an archive. It reads the archive three times: to
// check all of it, to store its files under the new board's own folder, and to
// write its rows in one transaction of the platform's, so that a board is there
// whole or not at all; files of one that failed are erased again.
//
// Ids stay when no board here has the archive's; beside the original every row
// gets a new one, and with it what refers to it, file names and links in texts
// included. A listing's public id is its board's own matter and stays.
//
// Kinds: fault.Invalid for the archive, the slug or the owner;
// fault.Conflict when the address is taken.
func (s *Service) Restore(ctx context.Context, f io.ReadSeeker, o Restoring) (*Restored, error) {
	ctx = tenant.With(ctx, nil)
	head, sums, err := s.Check(ctx, f)
	if err != nil {
		return nil, err
	}
	n := tenant.NewBoard{ID: head.Board.ID, Slug: head.Board.Slug, Name: head.Board.Name, Tagline: head.Board.Tagline, Locale: head.Board.Locale, Currency: head.Board.Currency,
		TimeZone: head.Board.TimeZone, Country: head.Board.Country, ContactEmail: head.Board.ContactEmail, Moderated: head.Board.Moderated}
	if o.Slug != "" {
		n.Slug = o.Slug
	}
	if err := n.Validate(); err != nil {
		return nil, err
	}
	if o.Owner != "" {
		if o.Owner, err = accounts.Fold(o.Owner); err != nil {
			return nil, fault.Invalids(fault.Fields{"owner": "field.email.invalid"})
		}
	}
	var all map[string][]column
	kept := !o.NewIDs
	err = s.Platform.Read(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		if all, err = catalogue(ctx, tx); err != nil {
			return err
		}
		var taken, slug bool
		err = tx.NewRaw(`SELECT EXISTS (SELECT FROM boards WHERE id = ?), EXISTS (SELECT FROM boards WHERE slug = ?)`, head.Board.ID, n.Slug).Scan(ctx, &taken, &slug)
		if err == nil && slug {
			err = fault.New(fault.Conflict, "the address %s is taken: name another with --slug", n.Slug)
		}
		kept = kept && !taken
		return err
	})
	if err != nil {
		return nil, err
	}
	if !kept {
		n.ID = tenant.NewID()
	}
	in, err := s.intake(head, all)
	if err != nil {
		return nil, err
	}
	in.board, in.kept, in.host = n.ID, kept, n.Slug+"."+s.Links.BoardDomain
	stored, err := s.storeFiles(ctx, f, in, o.Progress, sums)
	if err == nil {
		var t *tenant.Tenant
		if t, err = s.writeRows(ctx, f, in, n, o, sums); err == nil {
			return &Restored{Board: t, Header: head, Manifest: sums, Kept: kept}, nil
		}
	}
	return nil, errors.Join(err, s.dropFiles(context.WithoutCancel(ctx), in.board, stored))
}

// again reads the archive from its start, and holds that it is still the one
// that was checked.
func again(f io.ReadSeeker, v visit, sums *Manifest) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, m, err := read(f, v)
	if err != nil {
		return err
	}
	if m.Files != sums.Files || len(m.Tables) != len(sums.Tables) {
		return bad("it changed while it was read")
	}
	for name, s := range m.Tables {
		if sums.Tables[name] != s {
			return bad("it changed while it was read")
		}
	}
	return nil
}

// storeFiles puts the files under the new board, each as what its own content
// says it is. It reports whether anything may have been stored.
func (s *Service) storeFiles(ctx context.Context, f io.ReadSeeker, in *intake, progress func(string, int64), sums *Manifest) (stored bool, err error) {
	var n int64
	return true, again(f, visit{file: func(name string, data []byte) error {
		kind, err := cleanFile(name, data)
		if err != nil {
			return err
		}
		w := &blob.WriterOptions{ContentType: kind}
		if strings.HasPrefix(name, "cv/") {
			w.ContentDisposition = "attachment"
		}
		if err := s.Files.WriteAll(ctx, in.board.String()+"/"+in.ids(name), data, w); err != nil {
			return fault.Wrap(err, fault.Unavailable, "a file could not be stored")
		}
		if n++; progress != nil {
			progress("files", n)
		}
		return nil
	}}, sums)
}

// dropFiles takes back what storeFiles stored: the folder is a new board's own.
func (s *Service) dropFiles(ctx context.Context, board tenant.ID, stored bool) error {
	if !stored {
		return nil
	}
	var there bool
	err := s.Platform.Read(ctx, func(ctx context.Context, tx bun.IDB) error {
		return tx.NewRaw(`SELECT EXISTS (SELECT FROM boards WHERE id = ?)`, board).Scan(ctx, &there)
	})
	if err != nil || there { // somebody else restored it meanwhile: the files are theirs
		return err
	}
	it := s.Files.List(&blob.ListOptions{Prefix: board.String() + "/"})
	for {
		o, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = s.Files.Delete(ctx, o.Key)
		}
		if err != nil {
			return fault.Wrap(err, fault.Unavailable, "files of the board that was not restored stayed under %s/", board)
		}
	}
}

// writeRows is the one transaction.
func (s *Service) writeRows(ctx context.Context, f io.ReadSeeker, in *intake, n tenant.NewBoard, o Restoring, sums *Manifest) (t *tenant.Tenant, err error) {
	err = s.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) (err error) {
		if t, err = tenant.CreateBoard(ctx, tx, n, s.Links.BoardDomain); err != nil {
			return err
		}
		settings, err := in.settings()
		if err != nil {
			return err
		}
		if _, err := tx.NewRaw(`UPDATE boards SET settings = ?::jsonb WHERE id = ?`, string(settings), t.ID).Exec(ctx); err != nil {
			return err
		}
		if !o.Open {
			if err := tenant.SetState(ctx, tx, t.ID, tenant.Suspended, "restored from an archive: look at it, then resume it"); err != nil {
				return err
			}
		}
		// CreateBoard's row gives way to the archive's.
		if _, err := tx.NewRaw(`DELETE FROM order_numbers WHERE tenant_id = ?`, t.ID).Exec(ctx); err != nil {
			return err
		}
		// Checks of foreign keys keep the plan of their first rows: on tables that
		// were empty then it reads the whole table for each row.
		if _, err := tx.ExecContext(ctx, "SET LOCAL enable_seqscan = off; SET LOCAL TIME ZONE 'UTC'"); err != nil {
			return err
		}
		counts := map[string]int64{}
		err = again(f, visit{part: func(table string, data []byte) error {
			rows, err := in.rows(table, data)
			if err != nil {
				return err
			}
			counts[table] += lines(data)
			if o.Progress != nil {
				o.Progress(table, counts[table])
			}
			return in.insert(ctx, tx, table, rows)
		}}, sums)
		if err != nil {
			return err
		}
		if _, err := tx.NewRaw(`INSERT INTO order_numbers (tenant_id) VALUES (?) ON CONFLICT DO NOTHING`, t.ID).Exec(ctx); err != nil {
			return err
		}
		if s.Begin != nil {
			if err := s.Begin(ctx, tx, t.ID); err != nil {
				return err
			}
		}
		if err := s.welcome(ctx, tx, t, in.head, o); err != nil {
			return err
		}
		if s.Rebuild != "" {
			err = tasks.Add(ctx, tx, tasks.New{Kind: s.Rebuild, Queue: tasks.Index, Tenant: t.ID})
		}
		tenant.ChangedBoard(ctx, t.ID)
		return err
	})
	return t, err
}

// welcome gives the board its own roles and its owner, asks the team when that
// is wanted, and writes the restore into the board's log.
func (s *Service) welcome(ctx context.Context, tx bun.IDB, t *tenant.Tenant, head *Header, o Restoring) error {
	for _, r := range head.Roles {
		var ps []authz.Permission
		for _, name := range r.Permissions {
			object, action, _ := strings.Cut(name, ".")
			p, ok := authz.Find(object, action)
			if !ok {
				return bad("the role %q has a permission that is not known here: %q", clip(r.Name), clip(name))
			}
			ps = append(ps, p)
		}
		if _, err := authz.DefineRole(ctx, tx, t.ID, r.Name, ps...); err != nil {
			return fault.Wrap(err, fault.Invalid, "the archive is refused: the role %q", clip(r.Name))
		}
	}
	if o.Owner != "" {
		op, err := s.Operators.FindOrCreate(ctx, tx, o.Owner, "", t.Locale)
		if err != nil {
			return err
		}
		if err := authz.Grant(ctx, tx, t.ID, op.ID, authz.Owner); err != nil {
			return err
		}
	}
	if o.Invite {
		set, _ := authz.BuiltinSet(t.ID, authz.Owner)
		for _, m := range head.Team {
			if m.Email == o.Owner || len(m.Roles) == 0 {
				continue
			}
			err := s.Operators.Invite(ctx, tx, accounts.Invite{Board: t.ID, Email: m.Email, Role: m.Roles[0], Locale: t.Locale, By: set})
			if err != nil {
				return fault.Wrap(err, fault.KindOf(err), "inviting %s as %s", clip(m.Email), clip(m.Roles[0]))
			}
		}
	}
	return authz.Record(ctx, tx, authz.Act{Act: "board.restored", ObjectKind: "board", ObjectID: t.ID.String(), Board: t.ID,
		Detail: map[string]any{"slug": t.Slug, "from": head.Board.ID.String(), "made": head.At}})
}

// intake turns an archive's rows into those of a board here.
type intake struct {
	s     *Service
	head  *Header
	cols  map[string][]column
	team  map[string]bool
	board tenant.ID
	kept  bool
	// host is the new platform address, which takes the old one's place in links.
	host string
}

// intake holds an archive's tables against the database's. Kind: fault.Invalid.
func (s *Service) intake(h *Header, all map[string][]column) (*intake, error) {
	if h.Board.ID.IsNil() {
		return nil, bad("it names no board")
	}
	if h.At.After(s.Now().Add(24 * 3600e9)) {
		return nil, bad("it was made in the future")
	}
	in := &intake{s: s, head: h, cols: map[string][]column{}, team: map[string]bool{}, board: h.Board.ID, kept: true, host: h.Board.Host}
	for _, m := range h.Team {
		in.team[m.ID.String()] = true
	}
	for _, t := range h.Tables {
		table, ok := tableOf(t.Table)
		if !ok {
			return nil, bad("the table %q is none that a board brings along; a newer program may have made it", clip(t.Table))
		}
		if in.cols[t.Table] != nil {
			return nil, bad("the table %q comes twice", t.Table)
		}
		known := table.travels(all[t.Table])
		for _, name := range t.Columns {
			i := slices.IndexFunc(known, func(c column) bool { return c.Name == name })
			if i < 0 || !nameForm.MatchString(name) {
				return nil, bad("%s has a column that is not known here: %q; a newer program may have made it", t.Table, clip(name))
			}
			if slices.Contains(in.cols[t.Table], known[i]) {
				return nil, bad("%s has the column %q twice", t.Table, name)
			}
			in.cols[t.Table] = append(in.cols[t.Table], known[i])
		}
		if len(in.cols[t.Table]) == 0 {
			return nil, bad("the table %q has no columns", t.Table)
		}
	}
	_, err := in.settings()
	return in, err
}

// settings are the board's own, without what must be proven or set anew here.
func (in *intake) settings() (json.RawMessage, error) {
	if len(in.head.Board.Settings) == 0 {
		return json.RawMessage("{}"), nil
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(in.head.Board.Settings, &m); err != nil || m == nil {
		return nil, bad("the board's settings are no object")
	}
	delete(m, "base")
	if m["access"] != nil {
		// A door that nobody can open until a new secret is set, never an open one.
		err := inside(m, "access", func(a map[string]json.RawMessage) error {
			delete(a, "hash")
			delete(a, "secret")
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return compact(m)
}

// rows makes the JSON array that insert takes of a part.
func (in *intake) rows(name string, data []byte) ([]byte, error) {
	table, _ := tableOf(name)
	cols := in.cols[name]
	if len(data) == 0 || data[len(data)-1] != '\n' {
		return nil, bad("a part of %s is cut short", name)
	}
	out := bytes.NewBuffer(make([]byte, 0, len(data)+len(data)/8))
	sep := byte('[')
	for line := range bytes.SplitSeq(data[:len(data)-1], []byte{'\n'}) {
		var row map[string]json.RawMessage
		if err := json.Unmarshal(line, &row); err != nil || row == nil {
			return nil, bad("a row of %s cannot be read", name)
		}
		for member := range row {
			if !slices.ContainsFunc(cols, func(c column) bool { return c.Name == member }) {
				if member == "tenant_id" {
					return nil, bad("a row of %s names a board: rows belong to the one that is restored", name)
				}
				return nil, bad("a row of %s has a column that its table has not: %q", name, clip(member))
			}
		}
		if err := in.s.cleanRow(name, row, in.head.At); err != nil {
			return nil, err
		}
		if err := in.translate(table, row); err != nil {
			return nil, err
		}
		out.WriteByte(sep)
		sep = ','
		out.WriteByte('{')
		for i, c := range cols {
			if i > 0 {
				out.WriteByte(',')
			}
			fmt.Fprintf(out, "%q:", c.Name)
			if v := row[c.Name]; len(v) > 0 {
				out.Write(v)
			} else {
				out.WriteString("null")
			}
		}
		out.WriteByte('}')
	}
	out.WriteByte(']')
	return out.Bytes(), nil
}

// insert writes a part's rows as the new board's. Kind: fault.Invalid for rows
// that the database refuses.
func (in *intake) insert(ctx context.Context, tx bun.IDB, table string, rows []byte) error {
	into, from := []string{"tenant_id"}, []string{"$1::uuid"}
	for _, c := range in.cols[table] {
		into = append(into, quote(c.Name))
		pick := "x." + quote(c.Name)
		if c.Type == "jsonb" && c.NotNull {
			pick = "coalesce(" + pick + ", 'null')" // JSON's own null, which a column may hold
		}
		from = append(from, pick)
	}
	_, err := tenant.ExecColumns(ctx, tx, `INSERT INTO `+quote(table)+` (`+strings.Join(into, ", ")+`) SELECT `+strings.Join(from, ", ")+
		` FROM json_populate_recordset(NULL::public.`+quote(table)+`, $2::text::json) AS x`, in.board.String(), string(rows))
	if code := pg.Code(err); len(code) == 5 && (code[:2] == "22" || code[:2] == "23") {
		return fault.Wrap(err, fault.Invalid, "the archive is refused: rows of %s are not as they must be", table)
	}
	if err == nil && table == "mails" {
		return in.foreignMails(ctx, tx)
	}
	return err
}

// foreignMails refuses a mail's id that another board has: what comes back from
// a mail server names the mail alone.
func (in *intake) foreignMails(ctx context.Context, tx bun.IDB) error {
	if !in.kept {
		return nil
	}
	var n int
	err := tx.NewRaw(`SELECT count(*) FROM mails AS m WHERE m.tenant_id = ? AND EXISTS (SELECT FROM mails AS o WHERE o.id = m.id AND o.tenant_id <> m.tenant_id)`, in.board).Scan(ctx, &n)
	if err == nil && n > 0 {
		err = bad("it has ids of mails that another board has: give new ones with --new-ids")
	}
	return err
}

// ids gives every id in a text its successor; people of the platform keep theirs.
func (in *intake) ids(text string) string {
	if in.kept {
		return text
	}
	return uuids.ReplaceAllStringFunc(text, func(old string) string {
		if in.team[old] {
			return old
		}
		if old == in.head.Board.ID.String() {
			return in.board.String()
		}
		return remap(in.board, uuid.MustParse(old)).String()
	})
}
