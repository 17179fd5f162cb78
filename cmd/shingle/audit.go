package main

import (
	"context"
	"maps"
	"os"
	"os/user"
	"strconv"

	"github.com/uptrace/bun"

	"shingle/authz"
	"shingle/tenant"
)

// typed is an act of a command for the platform's log: it names the board, and
// whose login on this machine the command ran under. The board's own line is
// the act's, and does not name the platform's people.
func typed(board *tenant.Tenant, a authz.Act) authz.Act {
	detail := map[string]any{"by": "command"}
	maps.Copy(detail, a.Detail)
	if board != nil {
		detail["board"], detail["slug"] = board.ID.String(), board.Slug
	}
	a.Board, a.Detail, a.Personal = tenant.Nil, detail, map[string]any{"actor": login()}
	return a
}

// record writes a command's act into the platform's log, in a transaction of its
// own: for acts that have opened and ended theirs.
func (a *app) record(ctx context.Context, board *tenant.Tenant, act authz.Act) error {
	return a.platform.Write(tenant.With(ctx, nil), func(ctx context.Context, tx bun.IDB) error {
		return authz.Record(ctx, tx, typed(board, act))
	})
}

// login is who runs the command, as the machine knows them.
func login() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "uid " + strconv.Itoa(os.Getuid())
}
