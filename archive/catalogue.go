package archive

import (
	"context"
	"slices"

	"github.com/uptrace/bun"

	"shingle/internal/fault"
)

// column is one of a table's, as the database says.
type column struct {
	Table   string `bun:"tbl"`
	Name    string `bun:"name"`
	Type    string `bun:"type"`
	NotNull bool   `bun:"not_null"`
	// Key is its place in the primary key, from 1.
	Key int `bun:"key"`
}

// catalogue reads the columns of every table of boards' rows; a generated one
// makes itself.
func catalogue(ctx context.Context, tx bun.IDB) (map[string][]column, error) {
	var rows []column
	err := tx.NewRaw(`SELECT c.relname AS tbl, a.attname AS name, format_type(a.atttypid, NULL) AS type, a.attnotnull AS not_null,
			coalesce(array_position(i.indkey::int2[], a.attnum), -1) + 1 AS key
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
		WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND a.attgenerated = ''
			AND EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attname = 'tenant_id' AND NOT t.attisdropped)
		ORDER BY c.relname, a.attnum`).Scan(ctx, &rows)
	if err != nil {
		return nil, err
	}
	out := map[string][]column{}
	for _, r := range rows {
		out[r.Table] = append(out[r.Table], r)
	}
	for name := range out {
		if _, known := tableOf(name); !known && Left[name] == "" {
			return nil, fault.New(fault.Internal, "the table %s is neither taken along nor left: say which in archive/tables.go", name)
		}
	}
	return out, nil
}

// travels are the columns of a table that go along, in the database's order.
func (t *Table) travels(all []column) []column {
	var out []column
	for _, c := range all {
		if c.Name != "tenant_id" && !slices.Contains(t.Drop, c.Name) {
			out = append(out, c)
		}
	}
	return out
}

func names(cs []column) []string {
	out := make([]string, len(cs))
	for i, c := range cs {
		out[i] = c.Name
	}
	return out
}

// order is the primary key without the board, quoted, for ORDER BY; a table
// whose whole key is the board has one row.
func order(all []column) string {
	keys := make([]string, len(all)+1)
	for _, c := range all {
		if c.Key > 0 {
			keys[c.Key] = quote(c.Name)
		}
	}
	out := ""
	for _, k := range keys {
		if k != "" {
			if out != "" {
				out += ", "
			}
			out += k
		}
	}
	return out
}

// quote is for names of the catalogue, which hold no quotes; see nameForm.
func quote(name string) string { return `"` + name + `"` }
