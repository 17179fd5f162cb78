package pg

import (
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5"
)

// ExecColumns runs a statement whose parameters ($1, $2 …) are whole columns of
// many rows, for unnest: COPY is refused behind row level security, and literals
// of thousands of rows cost the server more to read than to write. The arrays
// travel in binary; Postgres is asked for their types first, in an unnamed
// statement, so that it works behind PgBouncer inside a transaction.
func ExecColumns(ctx context.Context, conn *sql.Conn, query string, columns ...any) (sql.Result, error) {
	return conn.ExecContext(ctx, query, append([]any{pgx.QueryExecModeDescribeExec}, columns...)...)
}
