// Package pg opens Postgres for Bun. It owns how a connection is made and what
// its errors mean; it never knows a table. Start at Open.
package pg

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/stdlib"

	"shingle/internal/observe"
)

// A caller who goes away must not cost a connection: making one takes longer than
// most statements. The statement may end by itself, is then cancelled, and only
// where Postgres does not answer that is the connection given up.
const cancelAfter, closeAfter = 200 * time.Millisecond, time.Second

// Open makes a pool of at most max connections. Bun sends literals, so the
// simple protocol is used: preparing each text costs twice the time and fails
// behind PgBouncer. A URL that cannot be read is an error without its password.
func Open(url string, max int) (*sql.DB, error) {
	return OpenSet(url, max, "")
}

// OpenSet is Open for connections that begin with a statement, such as SET.
func OpenSet(url string, max int, first string) (*sql.DB, error) {
	cfg, err := parse(url)
	if err != nil {
		return nil, err
	}
	var opts []stdlib.OptionOpenDB
	if first != "" {
		opts = append(opts, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, first)
			return err
		}))
	}
	cfg.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, CancelRequestDelay: cancelAfter, DeadlineDelay: closeAfter}
	}
	db := sql.OpenDB(connector{stdlib.GetConnector(*cfg, opts...)})
	db.SetMaxOpenConns(max)
	db.SetMaxIdleConns(max)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return db, nil
}

type connector struct{ driver.Connector }

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return patient{inner.(*stdlib.Conn)}, nil
}

// patient is a connection that outlives a caller who left between two statements:
// pgx would call it bad.
type patient struct{ *stdlib.Conn }

func (p patient) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return p.Conn.ExecContext(ctx, query, args)
}

func (p patient) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return p.Conn.QueryContext(ctx, query, args)
}

// Connect opens one connection, for LISTEN.
func Connect(ctx context.Context, url string) (*pgx.Conn, error) {
	cfg, err := parse(url)
	if err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, cfg)
}

func parse(url string) (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, errors.New("the database URL cannot be read: expected postgres://user:password@host:port/database")
	}
	cfg.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	cfg.Tracer = observe.SQL{Code: short}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 5 * time.Second
	}
	return cfg, nil
}

// Code is Postgres' SQLSTATE of an error, or "".
func Code(err error) string {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return pe.Code
	}
	return ""
}

// short is an error's name in a trace: its SQLSTATE, or that there was no answer.
func short(err error) string {
	if c := Code(err); c != "" {
		return c
	}
	return "no answer"
}

// Unique reports a violated unique constraint or index of that name ("" for any).
func Unique(err error, name string) bool {
	var pe *pgconn.PgError
	return errors.As(err, &pe) && pe.Code == "23505" && (name == "" || pe.ConstraintName == name)
}

// Retryable reports a serialization failure or deadlock: the same transaction
// may succeed when run again.
func Retryable(err error) bool {
	c := Code(err)
	return c == "40001" || c == "40P01"
}

// Away reports that Postgres did not answer, as opposed to answering an error.
func Away(err error) bool {
	if err == nil || errors.Is(err, sql.ErrNoRows) {
		return false
	}
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		// 57P0x: shutting down or starting; 57014: cancelled, as what takes too long is;
		// 53xxx: out of connections, disk or memory; 08: connection.
		return len(pe.Code) == 5 && (pe.Code[:3] == "57P" || pe.Code == "57014" || pe.Code[:2] == "53" || pe.Code[:2] == "08" || pe.Code == "25006")
	}
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	var ne net.Error
	if errors.As(err, &ne) {
		return true
	}
	var ce *pgconn.ConnectError
	return errors.As(err, &ce) || pgconn.SafeToRetry(err) || errors.Is(err, context.DeadlineExceeded)
}

// Wait pings until Postgres answers or ctx ends.
func Wait(ctx context.Context, db *sql.DB) error {
	var err error
	for {
		if err = db.PingContext(ctx); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("postgres does not answer: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
