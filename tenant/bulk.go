package tenant

import (
	"context"
	"database/sql"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"shingle/internal/fault"
	"shingle/internal/pg"
)

// ExecColumns is pg.ExecColumns in a transaction of the door's.
func ExecColumns(ctx context.Context, tx bun.IDB, query string, columns ...any) (sql.Result, error) {
	conn, ok := tx.(bun.Conn)
	if !ok {
		return nil, fault.New(fault.Internal, "columns are written in a transaction of the door's alone")
	}
	return pg.ExecColumns(ctx, conn.Conn, query, columns...)
}

// InsertAll inserts many rows of a scoped model, a column at a time. The board
// of every row is the context's; a row that names another is refused.
//
// Kind: fault.Internal for a model with a field it cannot write, too.
func InsertAll[T any](ctx context.Context, tx bun.IDB, rows []T) error {
	if len(rows) == 0 {
		return nil
	}
	board, err := bound(ctx)
	if err != nil {
		return err
	}
	model := reflect.TypeFor[T]()
	if _, scoped := any(&rows[0]).(interface{ scoped() *Scoped }); !scoped {
		return fault.New(fault.Internal, "%s is no scoped model", model)
	}
	for i := range rows {
		s := any(&rows[i]).(interface{ scoped() *Scoped }).scoped()
		if s.TenantID != Nil && s.TenantID != board {
			return fault.New(fault.Internal, "a row of another board")
		}
		s.TenantID = board
	}
	table := tx.Dialect().Tables().Get(model)
	all := reflect.ValueOf(rows)
	names, picks, casts := []string{"tenant_id"}, []string{"$1::uuid"}, []string(nil)
	args := []any{board.String()}
	for _, f := range table.Fields {
		if f.Name == "tenant_id" {
			continue
		}
		values, typ, err := column(f, all)
		if err != nil {
			return err
		}
		args = append(args, values)
		col := "c" + strconv.Itoa(len(args))
		names = append(names, string(f.SQLName))
		if typ == textList {
			picks, typ = append(picks, "x."+col+"::text[]"), "text"
		} else {
			picks = append(picks, "x."+col)
		}
		casts = append(casts, "$"+strconv.Itoa(len(args))+"::"+typ+"[]")
	}
	cols := make([]string, len(casts))
	for i := range cols {
		cols[i] = "c" + strconv.Itoa(i+2)
	}
	_, err = ExecColumns(ctx, tx, "INSERT INTO "+string(table.SQLName)+" ("+strings.Join(names, ", ")+") SELECT "+strings.Join(picks, ", ")+
		" FROM unnest("+strings.Join(casts, ", ")+") AS x ("+strings.Join(cols, ", ")+")", args...)
	return err
}

// scoped lets InsertAll set the board without reflection.
func (s *Scoped) scoped() *Scoped { return s }

// textList travels as the literal of an array: unnest would flatten it.
const textList = "text[]"

// column is the values of one field over all rows, with Postgres' type.
func column(f *schema.Field, rows reflect.Value) (values any, typ string, err error) {
	t := f.StructField.Type
	if f.NullZero {
		return nil, "", fault.New(fault.Internal, "the field %s cannot be written in bulk: nullzero", f.Name)
	}
	// pgx encodes its own types fastest: it tries a driver.Valuer's string first.
	switch t {
	case reflect.TypeFor[uuid.UUID]():
		return collect(f, rows, func(v uuid.UUID) pgtype.UUID { return pgtype.UUID{Bytes: v, Valid: true} }), "uuid", nil
	case reflect.TypeFor[*uuid.UUID]():
		return collect(f, rows, func(v *uuid.UUID) (u pgtype.UUID) {
			if v != nil {
				u = pgtype.UUID{Bytes: *v, Valid: true}
			}
			return u
		}), "uuid", nil
	case reflect.TypeFor[time.Time]():
		return collect(f, rows, func(v time.Time) pgtype.Timestamptz { return pgtype.Timestamptz{Time: v, Valid: true} }), "timestamptz", nil
	case reflect.TypeFor[*time.Time]():
		return collect(f, rows, func(v *time.Time) (t pgtype.Timestamptz) {
			if v != nil {
				t = pgtype.Timestamptz{Time: *v, Valid: true}
			}
			return t
		}), "timestamptz", nil
	case reflect.TypeFor[*int64]():
		return collect(f, rows, func(v *int64) (n pgtype.Int8) {
			if v != nil {
				n = pgtype.Int8{Int64: *v, Valid: true}
			}
			return n
		}), "bigint", nil
	case reflect.TypeFor[*float64]():
		return collect(f, rows, func(v *float64) (n pgtype.Float8) {
			if v != nil {
				n = pgtype.Float8{Float64: *v, Valid: true}
			}
			return n
		}), "float8", nil
	case reflect.TypeFor[bool]():
		return collect(f, rows, func(v bool) bool { return v }), "bool", nil
	case reflect.TypeFor[[]string]():
		out := collect(f, rows, func(v []string) pgtype.Text { return pgtype.Text{String: textArray(v), Valid: v != nil} })
		return out, textList, nil
	}
	switch t.Kind() {
	case reflect.String:
		if f.Tag.HasOption("type") {
			break
		}
		out := make([]string, rows.Len())
		for i := range out {
			out[i] = f.Value(rows.Index(i)).String()
		}
		return out, "text", nil
	case reflect.Int, reflect.Int64:
		out := make([]int64, rows.Len())
		for i := range out {
			out[i] = f.Value(rows.Index(i)).Int()
		}
		return out, "bigint", nil
	}
	return nil, "", fault.New(fault.Internal, "the field %s cannot be written in bulk: %s", f.Name, t)
}

func collect[V, E any](f *schema.Field, rows reflect.Value, encode func(V) E) []E {
	out := make([]E, rows.Len())
	for i := range out {
		out[i] = encode(f.Value(rows.Index(i)).Interface().(V))
	}
	return out
}

var quoteElement = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// textArray is the literal of an array of texts.
func textArray(list []string) string {
	if len(list) == 0 {
		return "{}"
	}
	var b strings.Builder
	for i, s := range list {
		b.WriteByte("{,"[min(i, 1)])
		b.WriteByte('"')
		_, _ = quoteElement.WriteString(&b, s) // a builder never fails
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return b.String()
}
