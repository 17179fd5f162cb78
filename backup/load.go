package backup

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/jackc/pgx/v5"

	"shingle/internal/pg"
	"shingle/migrations"
)

// loader fills the tables of a schema that it made in its transaction. Foreign
// keys and triggers stand aside until all rows are in: rows come table by table,
// and what a trigger would do is in the backup already.
type loader struct {
	tx       pgx.Tx
	progress func(string, int64)
	head     *Header
	forced   []string
	keys     []foreignKey
	triggers []trigger

	table string
	rows  *io.PipeWriter
	done  chan error
}

type foreignKey struct{ Table, Name, Def string }

type trigger struct{ Table, Name, Enabled string }

// begin makes the schema of the backup's time, empty and without its walls.
func (l *loader) begin(ctx context.Context, h *Header) (err error) {
	l.head = h
	if err := migrations.Clear(ctx, l.tx); err != nil {
		if pg.Code(err) == "55P03" {
			return fmt.Errorf("somebody holds a table of this database for more than %s: stop serve and worker first", lockWait)
		}
		return err
	}
	if err := migrations.Apply(ctx, l.tx, h.Schema); err != nil {
		return err
	}
	have, err := tables(ctx, l.tx)
	if err != nil {
		return err
	}
	for _, t := range h.Tables {
		i := slices.IndexFunc(have, func(o Table) bool { return o.Name == t.Name })
		if i < 0 || !sameColumns(t.Columns, have[i].Columns) {
			return bad("its table %s is not that of its schema", clip(t.Name))
		}
	}
	if len(have) != len(h.Tables) {
		return bad("it has %d tables and its schema %d", len(h.Tables), len(have))
	}
	return l.standAside(ctx)
}

func sameColumns(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

func (l *loader) standAside(ctx context.Context) error {
	rows, err := l.tx.Query(ctx, `SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relforcerowsecurity ORDER BY 1`)
	if err != nil {
		return err
	}
	if l.forced, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return err
	}
	rows, err = l.tx.Query(ctx, `SELECT c.conrelid::regclass::text, quote_ident(c.conname), pg_get_constraintdef(c.oid) FROM pg_constraint c
		WHERE c.contype = 'f' AND c.connamespace = 'public'::regnamespace AND c.conparentid = 0 ORDER BY 1, 2`)
	if err != nil {
		return err
	}
	if l.keys, err = pgx.CollectRows(rows, pgx.RowToStructByPos[foreignKey]); err != nil {
		return err
	}
	rows, err = l.tx.Query(ctx, `SELECT t.tgrelid::regclass::text, quote_ident(t.tgname), CASE t.tgenabled WHEN 'A' THEN 'ENABLE ALWAYS' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE' END
		FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = 'public'::regnamespace AND NOT t.tgisinternal AND t.tgenabled <> 'D' ORDER BY 1, 2`)
	if err != nil {
		return err
	}
	if l.triggers, err = pgx.CollectRows(rows, pgx.RowToStructByPos[trigger]); err != nil {
		return err
	}
	for _, k := range l.keys {
		if _, err := l.tx.Exec(ctx, "ALTER TABLE "+k.Table+" DROP CONSTRAINT "+k.Name); err != nil {
			return err
		}
	}
	for _, t := range l.triggers {
		if _, err := l.tx.Exec(ctx, "ALTER TABLE "+t.Table+" DISABLE TRIGGER "+t.Name); err != nil {
			return err
		}
	}
	for _, name := range l.forced {
		if _, err := l.tx.Exec(ctx, "ALTER TABLE "+pgx.Identifier{"public", name}.Sanitize()+" NO FORCE ROW LEVEL SECURITY"); err != nil {
			return err
		}
	}
	// Migrations may write rows; those of the backup are all there is.
	for _, t := range l.head.Tables {
		if _, err := l.tx.Exec(ctx, "DELETE FROM "+pgx.Identifier{"public", t.Name}.Sanitize()); err != nil {
			return err
		}
	}
	return nil
}

// part sends rows to their table's COPY, which goes on from part to part.
func (l *loader) part(ctx context.Context, table string, rows io.Reader) error {
	if table != l.table {
		if err := l.endTable(nil); err != nil {
			return err
		}
		i := slices.IndexFunc(l.head.Tables, func(t Table) bool { return t.Name == table })
		l.table = table
		r, w := io.Pipe()
		l.rows, l.done = w, make(chan error, 1)
		go func() {
			_, err := l.tx.Conn().PgConn().CopyFrom(ctx, r, "COPY "+l.head.Tables[i].list()+" FROM STDIN")
			if err != nil {
				err = fmt.Errorf("writing %s: %w", table, err)
			}
			r.CloseWithError(err)
			l.done <- err
		}()
	}
	n, err := io.Copy(l.rows, rows)
	if l.progress != nil {
		l.progress(table, n)
	}
	return err
}

// endTable ends the COPY under way, if any: with cause it is called off.
func (l *loader) endTable(cause error) error {
	if l.rows == nil {
		return nil
	}
	l.rows.CloseWithError(cause)
	err := <-l.done
	l.rows, l.table = nil, ""
	if cause != nil {
		return nil // its own error says more
	}
	return err
}

// end puts everything back that stood aside, and holds that the database gives
// the rows back as the backup has them.
func (l *loader) end(ctx context.Context, m *Manifest) error {
	for _, t := range l.head.Tables {
		got := newTally()
		if _, err := l.tx.Conn().PgConn().CopyTo(ctx, got, t.copyOut()); err != nil {
			return err
		}
		if s, want := got.sum(), m.Tables[t.Name]; s.Count != want.Count || s.Rows != want.Rows {
			return fmt.Errorf("the database gives other rows of %s back than the backup has: nothing was restored", t.Name)
		}
	}
	for _, k := range l.keys {
		if _, err := l.tx.Exec(ctx, "ALTER TABLE "+k.Table+" ADD CONSTRAINT "+k.Name+" "+k.Def); err != nil {
			return fmt.Errorf("the rows of %s do not fit together: %w", k.Table, err)
		}
	}
	for _, t := range l.triggers {
		if _, err := l.tx.Exec(ctx, "ALTER TABLE "+t.Table+" "+t.Enabled+" TRIGGER "+t.Name); err != nil {
			return err
		}
	}
	for _, name := range l.forced {
		if _, err := l.tx.Exec(ctx, "ALTER TABLE "+pgx.Identifier{"public", name}.Sanitize()+" FORCE ROW LEVEL SECURITY"); err != nil {
			return err
		}
	}
	return l.sequences(ctx)
}

// sequences go on after the largest number that their column has.
func (l *loader) sequences(ctx context.Context) error {
	rows, err := l.tx.Query(ctx, `SELECT d.objid::regclass::text, d.refobjid::regclass::text, quote_ident(a.attname) FROM pg_depend d
		JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' AND s.relnamespace = 'public'::regnamespace
		JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
		WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')`)
	if err != nil {
		return err
	}
	type sequence struct{ Name, Table, Column string }
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[sequence])
	if err != nil {
		return err
	}
	for _, s := range all {
		if _, err := l.tx.Exec(ctx, "SELECT setval($1::text::regclass, coalesce((SELECT max("+s.Column+") FROM "+s.Table+"), 0) + 1, false)", s.Name); err != nil {
			return err
		}
	}
	return nil
}
