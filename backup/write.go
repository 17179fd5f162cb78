package backup

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/jackc/pgx/v5"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"shingle/internal/fault"
	"shingle/internal/pg"
)

// PAX records beside a file: what the store says of it.
const typeKey, dispositionKey = "SHINGLE.type", "SHINGLE.disposition"

// Source is what is backed up.
type Source struct {
	// PlatformURL signs in as the platform's role, whose policies show every row.
	PlatformURL string
	Files       *blob.Bucket
	Keys        *Keys
	// Version is the program's; Secret the id of its secret key.
	Version, Secret string
	Now             func() time.Time
	// Progress is told what is under way and how much of it there is; may be nil.
	Progress func(what string, n int64)
}

// Write writes a backup to w, in memory that does not grow with it: all rows in
// one snapshot, then the files that are there. What was written is a backup only
// when there was no error. Kind: fault.Conflict when the platform's role cannot
// see everything.
func (s *Source) Write(ctx context.Context, w io.Writer) (*Manifest, error) {
	out, done, err := seal(w, s.Keys, s.Now())
	if err != nil {
		return nil, err
	}
	m := &Manifest{Tables: map[string]Sum{}}
	if err := s.rows(ctx, out, m); err != nil {
		return nil, err
	}
	if err := s.files(ctx, out, m); err != nil {
		return nil, err
	}
	if err := out.json(manifestName, m); err != nil {
		return nil, err
	}
	return m, done()
}

// seal begins a stream: a tar, compressed, then encrypted.
func seal(w io.Writer, k *Keys, at time.Time) (*writer, func() error, error) {
	sealed, err := age.Encrypt(w, k.recipients...)
	if err != nil {
		return nil, nil, err
	}
	gz, err := gzip.NewWriterLevel(sealed, gzip.BestSpeed)
	if err != nil {
		return nil, nil, err
	}
	out := &writer{tar: tar.NewWriter(gz), at: at.UTC().Truncate(time.Second)}
	return out, func() error { return errors.Join(out.tar.Close(), gz.Close(), sealed.Close()) }, nil
}

// rows writes header and tables from one snapshot.
func (s *Source) rows(ctx context.Context, out *writer, m *Manifest) error {
	conn, err := pg.Connect(ctx, s.PlatformURL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := plainText(ctx, conn); err != nil {
		return err
	}
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	head := &Header{Format: Format, At: out.at, Version: s.Version, Secret: s.Secret}
	if err := everythingSeen(ctx, tx); err != nil {
		return err
	}
	if head.Schema, err = schema(ctx, tx); err != nil {
		return err
	}
	if head.Tables, err = tables(ctx, tx); err != nil {
		return err
	}
	if err := tx.QueryRow(ctx, `SHOW server_version`).Scan(&head.Postgres); err != nil {
		return err
	}
	if err := out.json(headerName, head); err != nil {
		return err
	}
	for _, t := range head.Tables {
		p := &parts{out: out, table: t.Name, tally: newTally(), progress: s.Progress}
		if _, err := conn.PgConn().CopyTo(ctx, p, t.copyOut()); err != nil {
			return fmt.Errorf("reading %s: %w", t.Name, errors.Join(p.err, err))
		}
		if err := p.flush(); err != nil {
			return err
		}
		m.Tables[t.Name] = p.tally.sum()
	}
	return nil
}

// plainText makes every server write and read values alike.
func plainText(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SET datestyle = 'ISO, MDY'; SET intervalstyle = 'postgres'; SET timezone = 'UTC'; SET extra_float_digits = 1;
		SET bytea_output = 'hex'; SET client_encoding = 'UTF8'; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0`)
	return err
}

// everythingSeen refuses to back up what row level security would hide: a table
// without the platform's policy would be saved as an empty one.
func everythingSeen(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `SELECT c.relname FROM pg_class c
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname <> 'bun_migration_locks'
			AND NOT (has_table_privilege(c.oid, 'SELECT') AND (NOT c.relrowsecurity OR (
				EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd IN ('*', 'r') AND pg_get_expr(p.polqual, p.polrelid) = 'true'
					AND EXISTS (SELECT FROM unnest(p.polroles) r WHERE r = 0 OR pg_has_role(r, 'USAGE')))
				AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND NOT p.polpermissive))))
		ORDER BY c.relname`)
	if err != nil {
		return err
	}
	hidden, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	if len(hidden) > 0 {
		return fault.New(fault.Conflict, "the login of SHINGLE_PLATFORM_DATABASE_URL cannot read every row of %s: run `shingle migrate up` of this version first", strings.Join(hidden, ", "))
	}
	return nil
}

// schema lists the migrations that a database has.
func schema(ctx context.Context, tx pgx.Tx) ([]string, error) {
	rows, err := tx.Query(ctx, `SELECT name FROM bun_migrations ORDER BY name`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// tables lists what a database holds; a generated column makes itself.
func tables(ctx context.Context, tx pgx.Tx) ([]Table, error) {
	rows, err := tx.Query(ctx, `SELECT c.relname::text, array_agg(a.attname::text ORDER BY a.attnum)
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname <> 'bun_migration_locks'
		GROUP BY c.relname ORDER BY c.relname`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (t Table, err error) {
		err = row.Scan(&t.Name, &t.Columns)
		return t, err
	})
}

func (t Table) list() string {
	quoted := make([]string, 0, len(t.Columns))
	for _, c := range t.Columns {
		quoted = append(quoted, pgx.Identifier{c}.Sanitize())
	}
	return pgx.Identifier{"public", t.Name}.Sanitize() + " (" + strings.Join(quoted, ", ") + ")"
}

func (t Table) copyOut() string { return "COPY " + t.list() + " TO STDOUT" }

// files writes what the store has.
func (s *Source) files(ctx context.Context, out *writer, m *Manifest) error {
	sum := newFileTally()
	list := s.Files.List(nil)
	for {
		o, err := list.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("listing the files: %w", err)
		}
		err = s.file(ctx, out, o.Key, sum)
		switch {
		case gcerrors.Code(err) == gcerrors.NotFound:
			m.Missing++ // withdrawn meanwhile
		case err != nil:
			return fmt.Errorf("reading the file %s: %w", o.Key, err)
		}
		if s.Progress != nil {
			s.Progress("files", sum.count)
		}
	}
	m.Files = sum.sum()
	return nil
}

func (s *Source) file(ctx context.Context, out *writer, key string, sum *fileTally) error {
	about, err := s.Files.Attributes(ctx, key)
	if err != nil {
		return err
	}
	r, err := s.Files.NewReader(ctx, key, nil)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	h := &tar.Header{Typeflag: tar.TypeReg, Name: "files/" + key, Size: r.Size(), Mode: 0o600, ModTime: out.at, Format: tar.FormatPAX, PAXRecords: map[string]string{}}
	for name, v := range map[string]string{typeKey: about.ContentType, dispositionKey: about.ContentDisposition} {
		if v != "" {
			h.PAXRecords[name] = v
		}
	}
	if err := out.tar.WriteHeader(h); err != nil {
		return err
	}
	digest := sha256.New()
	n, err := io.Copy(out.tar, io.TeeReader(r, digest))
	if err == nil && n != h.Size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	sum.add(key, n, digest.Sum(nil))
	return nil
}

// writer makes the tar.
type writer struct {
	tar *tar.Writer
	at  time.Time
}

func (w *writer) entry(name string, data []byte) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(data)), Mode: 0o600, ModTime: w.at, Format: tar.FormatPAX}
	if err := w.tar.WriteHeader(h); err != nil {
		return err
	}
	_, err := w.tar.Write(data)
	return err
}

func (w *writer) json(name string, v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return w.entry(name, raw)
}

// parts cuts what COPY gives, row by row, into entries: tar wants an entry's
// size before its bytes.
type parts struct {
	out      *writer
	table    string
	n        int
	buf      []byte
	tally    *tally
	progress func(string, int64)
	err      error
}

func (p *parts) Write(row []byte) (int, error) {
	if _, err := p.tally.Write(row); err != nil {
		return 0, err
	}
	p.buf = append(p.buf, row...)
	if len(p.buf) >= partSize && !p.tally.inRow {
		if p.err = p.flush(); p.err != nil {
			return 0, p.err
		}
	}
	return len(row), nil
}

func (p *parts) flush() error {
	if len(p.buf) == 0 {
		return nil
	}
	p.n++
	err := p.out.entry(fmt.Sprintf("tables/%s/%06d.copy", p.table, p.n), p.buf)
	if cap(p.buf) > 4*partSize {
		p.buf = nil // one large row is no reason to keep its room
	}
	p.buf = p.buf[:0]
	if p.progress != nil {
		p.progress(p.table, p.tally.rows)
	}
	return err
}
