// Package devstack provides what `shingle dev` needs and the environment lacks:
// a private Postgres, a Redis in this process, a lock on the data directory and
// the env file. It never runs in production and never touches a server that it
// did not make. Start at Postgres, then StartCluster.
package devstack

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"shingle/internal/pg"
)

// Say tells the person at the terminal what takes time or is unusual.
type Say func(format string, args ...any)

// Names of the database and its logins; the three roles are what production has too.
const (
	Database     = "shingle"
	OwnerRole    = "shingle_owner"
	AppRole      = "shingle_app"
	PlatformRole = "shingle_platform"
)

// Server is a running Postgres with the database in it, not yet migrated.
type Server struct {
	// DatabaseURL signs in as the app's role, PlatformURL as the platform role;
	// migrations.Up makes both logins from these URLs.
	DatabaseURL string
	PlatformURL string
	// ListenURL is a direct connection for LISTEN, as the app's role.
	ListenURL string
	// MigrateURL signs in as the database's owner, who may make roles but is no superuser.
	MigrateURL string

	Cluster *Cluster
}

// Stop shuts Postgres down: open transactions are rolled back, files are left clean.
func (s *Server) Stop(ctx context.Context) error { return s.Cluster.Stop(ctx) }

// Postgres finds or installs Postgres, starts a private cluster that belongs to
// dataDir (or adopts it when it still runs), and makes the owner and the database.
// The server gets the environment variables named (NAME=value) besides its own.
func Postgres(ctx context.Context, dataDir string, say Say, env ...string) (*Server, error) {
	if say == nil {
		say = func(string, ...any) {}
	}
	c, err := StartCluster(ctx, ClusterOptions{
		DataDir: dataDir,
		Say:     say,
		Env:     env,
		Settings: map[string]string{
			"shared_buffers":       "256MB",
			"max_connections":      "200",
			"wal_level":            "minimal",
			"max_wal_senders":      "0",
			"max_wal_size":         "2GB",
			"checkpoint_timeout":   "15min",
			"effective_cache_size": "1GB",
			"random_page_cost":     "1.1",
			"jit":                  "off",
		},
	})
	if err != nil {
		return nil, err
	}
	s := &Server{
		Cluster:     c,
		DatabaseURL: c.URL(AppRole, c.Secret(AppRole), Database),
		PlatformURL: c.URL(PlatformRole, c.Secret(PlatformRole), Database),
		ListenURL:   c.URL(AppRole, c.Secret(AppRole), Database),
		MigrateURL:  c.URL(OwnerRole, c.Secret(OwnerRole), Database),
	}
	if err := c.Own(ctx, Database); err != nil {
		return nil, errors.Join(err, c.Stop(context.WithoutCancel(ctx)))
	}
	return s, nil
}

// Own makes the owner's role and a database that it owns, where they are missing.
// The owner may make roles and trusted extensions (pg_trgm) and is no superuser.
func (c *Cluster) Own(ctx context.Context, database string) error {
	conn, err := pg.Connect(ctx, c.SuperuserURL("postgres"))
	if err != nil {
		return fmt.Errorf("signing in to the private Postgres: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := EnsureOwner(ctx, conn, c.Secret(OwnerRole)); err != nil {
		return err
	}
	return EnsureDatabase(ctx, conn, database)
}

// EnsureOwner makes the owner's role with that password when it is missing.
func EnsureOwner(ctx context.Context, super *pgx.Conn, password string) error {
	var there bool
	if err := super.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", OwnerRole).Scan(&there); err != nil {
		return err
	}
	verb := "CREATE"
	if there {
		verb = "ALTER"
	}
	// Passwords are our own hex, so the literal needs no escaping; no driver
	// takes a parameter here.
	_, err := super.Exec(ctx, verb+" ROLE "+OwnerRole+" LOGIN CREATEROLE NOSUPERUSER NOBYPASSRLS PASSWORD '"+password+"'")
	if err != nil {
		return fmt.Errorf("making the role %s: SQLSTATE %s", OwnerRole, pg.Code(err))
	}
	return nil
}

// EnsureDatabase makes an empty database that the owner's role owns, when it is missing.
func EnsureDatabase(ctx context.Context, super *pgx.Conn, name string) error {
	var there bool
	var version int
	if err := super.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1), current_setting('server_version_num')::int", name).
		Scan(&there, &version); err != nil {
		return err
	}
	if there {
		return nil
	}
	id := pgx.Identifier{name}.Sanitize()
	if _, err := super.Exec(ctx, "CREATE DATABASE "+id+" OWNER "+OwnerRole); err != nil {
		return fmt.Errorf("making the database: %w", err)
	}
	// Since Postgres 15 a database's owner owns its schema public by itself.
	if version < 150000 {
		cfg := super.Config().Copy()
		cfg.Database = name
		in, err := pgx.ConnectConfig(ctx, cfg)
		if err != nil {
			return err
		}
		defer func() { _ = in.Close(context.WithoutCancel(ctx)) }()
		if _, err := in.Exec(ctx, "REVOKE CREATE ON SCHEMA public FROM PUBLIC; ALTER SCHEMA public OWNER TO "+OwnerRole); err != nil {
			return fmt.Errorf("handing the schema over: %w", err)
		}
	}
	return nil
}
