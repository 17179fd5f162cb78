package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/uptrace/bun"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"shingle/authz"
	"shingle/internal/fault"
	"shingle/tenant"
)

// Options of an export.
type Options struct {
	// WithoutApplications leaves applications, answers to them and their files
	// out: they are between seeker and employer, and a board's team does not read
	// them.
	WithoutApplications bool
	// Progress is told of each part: a table's name and its rows so far.
	Progress func(what string, n int64)
}

// Export writes the context's board. Rows come from one snapshot, read by the
// app's login bound to the board, so that the wall itself keeps every other
// board's rows out; files follow after it. Memory does not grow with the board.
//
// Kinds: fault.Unavailable; fault.Internal for a table nobody has decided about.
func (s *Service) Export(ctx context.Context, w io.Writer, o Options) (*Manifest, error) {
	t := tenant.From(ctx)
	if t == nil {
		return nil, fault.New(fault.Internal, "an export of no board")
	}
	out := newWriter(w, s.Now().UTC())
	head := &Header{Format: Format, At: s.Now().UTC()}
	if err := s.people(ctx, t, head); err != nil {
		return nil, err
	}
	if o.WithoutApplications {
		head.Without = []string{"applications"}
	}
	err := s.DB.Snapshot(ctx, func(ctx context.Context, tx bun.IDB) error {
		all, err := catalogue(ctx, tx)
		if err != nil {
			return err
		}
		if err := readBoard(ctx, tx, t, head); err != nil {
			return err
		}
		var take []Table
		for _, table := range Tables {
			if !o.WithoutApplications || !table.Applications {
				take = append(take, table)
				head.Tables = append(head.Tables, Columns{table.Name, names(table.travels(all[table.Name]))})
			}
		}
		if err := out.json(headerName, head); err != nil {
			return err
		}
		for i := range take {
			if err := take[i].write(ctx, tx, t, out, all[take[i].Name], o.Progress); err != nil {
				return fault.Wrap(err, fault.KindOf(err), "exporting %s", take[i].Name)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	missing, err := s.writeFiles(ctx, t, out, o)
	if err != nil {
		return nil, err
	}
	m, err := out.manifest(missing)
	if err != nil {
		return nil, err
	}
	return &m, out.close()
}

// people reads who is in the team: operators are the platform's to show.
func (s *Service) people(ctx context.Context, t *tenant.Tenant, head *Header) error {
	return s.Platform.Read(tenant.With(ctx, nil), func(ctx context.Context, tx bun.IDB) error {
		members, err := authz.Members(ctx, tx, t.ID)
		if err != nil {
			return err
		}
		for _, m := range members {
			head.Team = append(head.Team, Member{m.Operator, m.Email, m.Name, m.Roles})
		}
		roles, err := authz.Roles(ctx, tx, t.ID)
		for _, r := range roles {
			if r.Builtin {
				continue
			}
			role := Role{Name: authz.RoleName(r.Name)}
			for _, p := range r.Set.List() {
				role.Permissions = append(role.Permissions, p.String())
			}
			head.Roles = append(head.Roles, role)
		}
		return err
	})
}

// readBoard reads the board itself. Secrets of its door stay: the password's
// hash, and what is sealed for this installation.
func readBoard(ctx context.Context, tx bun.IDB, t *tenant.Tenant, head *Header) error {
	var settings []byte
	err := tx.NewRaw(`SELECT slug, name, tagline, locale, currency, time_zone, country, contact_email, moderated,
			(coalesce(settings, '{}') - 'base') #- '{access,hash}' #- '{access,secret}' FROM boards WHERE id = ?`, t.ID).
		Scan(ctx, &head.Board.Slug, &head.Board.Name, &head.Board.Tagline, &head.Board.Locale, &head.Board.Currency, &head.Board.TimeZone, &head.Board.Country,
			&head.Board.ContactEmail, &head.Board.Moderated, &settings)
	if err != nil {
		return err
	}
	head.Board.ID, head.Board.Host, head.Board.Settings, head.Base = t.ID, t.PlatformHost, settings, t.Base != nil
	if err := tx.NewRaw(`SELECT host FROM domains WHERE tenant_id = ? AND state <> 'removed' ORDER BY host`, t.ID).Scan(ctx, &head.Hosts); err != nil {
		return err
	}
	var mail []string
	if err := tx.NewRaw(`SELECT domain FROM mail_identities WHERE tenant_id = ? AND domain <> ''`, t.ID).Scan(ctx, &mail); err != nil {
		return err
	}
	head.MailDomain = strings.Join(mail, "")
	return nil
}

// rows streams a table's rows as JSON objects, in the order of its key. The
// board's own id is no part of them, nor of the keys of files.
func (t *Table) rows(ctx context.Context, tx bun.IDB, board tenant.ID, all, cols []column, where string, args []any, each func(raw []byte) error) error {
	var picks []string
	prefix := board.String() + "/"
	for _, c := range cols {
		switch {
		case slices.Contains(t.Files, c.Name):
			picks = append(picks, `CASE WHEN starts_with(`+quote(c.Name)+`, '`+prefix+`') THEN substr(`+quote(c.Name)+`, 38) ELSE '' END AS `+quote(c.Name))
		case t.FilesIn[c.Name] != nil:
			picks = append(picks, `replace(`+quote(c.Name)+`::text, '"`+prefix+`', '"')::jsonb AS `+quote(c.Name))
		default:
			picks = append(picks, quote(c.Name))
		}
	}
	q := `SELECT row_to_json(x)::text FROM (SELECT ` + strings.Join(picks, ", ") + ` FROM ` + quote(t.Name) + ` WHERE tenant_id = '` + board.String() + `'`
	if where != "" {
		q += ` AND (` + where + `)`
	}
	if by := order(all); by != "" {
		q += ` ORDER BY ` + by
	}
	rows, err := tx.QueryContext(ctx, q+`) AS x`, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	var raw []byte
	for rows.Next() {
		if err := rows.Scan(&raw); err != nil {
			return err
		}
		if err := each(raw); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (t *Table) write(ctx context.Context, tx bun.IDB, board *tenant.Tenant, out *writer, all []column, progress func(string, int64)) error {
	var part bytes.Buffer
	n, rows, total := 0, int64(0), int64(0)
	flush := func() error {
		if rows == 0 {
			return nil
		}
		n++
		total += rows
		err := out.part(t.Name, n, rows, part.Bytes())
		part.Reset()
		rows = 0
		if progress != nil {
			progress(t.Name, total)
		}
		return err
	}
	err := t.rows(ctx, tx, board.ID, all, t.travels(all), t.Where, nil, func(raw []byte) error {
		if len(raw) >= maxEntry {
			return fault.New(fault.TooLarge, "a row of %s is larger than an archive takes", t.Name)
		}
		if part.Len()+len(raw) >= partSize {
			if err := flush(); err != nil {
				return err
			}
		}
		rows++
		part.Write(raw)
		return part.WriteByte('\n')
	})
	return errors.Join(err, flush())
}

// writeFiles adds the board's files. One that goes while we read is no error:
// applicants withdraw at any time.
func (s *Service) writeFiles(ctx context.Context, t *tenant.Tenant, out *writer, o Options) (missing int64, err error) {
	for _, dir := range []string{"cv/", "logos/"} {
		if dir == "cv/" && o.WithoutApplications {
			continue
		}
		it := s.Files.List(&blob.ListOptions{Prefix: t.ID.String() + "/" + dir})
		for {
			f, err := it.Next(ctx)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return missing, fault.Wrap(err, fault.Unavailable, "the file store does not answer")
			}
			name := strings.TrimPrefix(f.Key, t.ID.String()+"/")
			if !filePart.MatchString("files/" + name) {
				return missing, fault.New(fault.Internal, "a file with a name that no archive takes: %s", name)
			}
			data, err := s.readFile(ctx, f.Key)
			if gcerrors.Code(err) == gcerrors.NotFound {
				missing++
				continue
			}
			if err != nil {
				return missing, err
			}
			if err := out.file(name, data); err != nil {
				return missing, err
			}
			if o.Progress != nil {
				o.Progress("files", out.files.count)
			}
		}
	}
	return missing, nil
}

func (s *Service) readFile(ctx context.Context, key string) ([]byte, error) {
	r, err := s.Files.NewReader(ctx, key, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	if r.Size() > maxEntry {
		return nil, fault.New(fault.TooLarge, "the file %s is larger than an archive takes", key)
	}
	return io.ReadAll(r)
}

// ToFile runs write on a new file that only its owner reads, and gives it its
// name once it is whole: no half archive ever stands under that name.
func ToFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// compact is a JSON value without blanks between its parts.
func compact(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimRight(b.Bytes(), "\n"), err
}
