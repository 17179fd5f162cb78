package isolation

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"shingle/internal/pg"
)

// refuse makes a try that must end in an error about rights.
func (p *prober) refuse(ctx context.Context, where, what string, statements ...string) error {
	reacher := none
	if len(p.boards) > 0 {
		reacher = p.boards[0]
	}
	_, err := p.attempt(ctx, reacher, statements...)
	switch code := pg.Code(err); {
	case err == nil:
		p.add(where, what, Crossed, "it was allowed")
	case code == "":
		return err
	default:
		p.add(where, what, Refused, code)
	}
	return nil
}

// roles tries to become somebody who sees more.
func (p *prober) roles(ctx context.Context) error {
	rows, err := p.app.Query(ctx, `SELECT rolname::text FROM pg_roles AS r WHERE rolname <> current_user AND rolname NOT LIKE 'pg\_%' AND rolname <> 'shingle_app'
		AND (rolname LIKE 'shingle%' OR rolsuper OR rolbypassrls OR oid IN (SELECT relowner FROM pg_class WHERE relnamespace = 'public'::regnamespace)
			OR pg_has_role(current_user, oid, 'MEMBER')) ORDER BY 1 LIMIT 50`)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, r := range names {
		if err := p.refuse(ctx, "role "+r, "SET ROLE", `SET LOCAL ROLE `+ident(r)); err != nil {
			return err
		}
		if err := p.refuse(ctx, "role "+r, "SET SESSION AUTHORIZATION", `SET LOCAL SESSION AUTHORIZATION `+ident(r)); err != nil {
			return err
		}
	}
	for _, group := range []string{"shingle_platform", "shingle_search", "shingle_audit", "pg_read_all_data", "pg_write_all_data", "pg_execute_server_program", "pg_read_server_files"} {
		var member bool
		if err := p.app.QueryRow(ctx, `SELECT coalesce((SELECT pg_has_role(current_user, oid, 'MEMBER') FROM pg_roles WHERE rolname = `+lit(group)+`), false)`).Scan(&member); err != nil {
			return err
		}
		p.fact("login "+p.login, "be a member of "+group, member, "policies apply to members")
	}
	var super, bypass, create bool
	var owned int
	err = p.app.QueryRow(ctx, `SELECT rolsuper, rolbypassrls, rolcreaterole,
		(SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND pg_has_role(current_user, relowner, 'MEMBER'))
		FROM pg_roles WHERE rolname = current_user`).Scan(&super, &bypass, &create, &owned)
	if err != nil {
		return err
	}
	p.fact("login "+p.login, "be a superuser", super, "superusers see through row level security")
	p.fact("login "+p.login, "have BYPASSRLS", bypass, "")
	p.fact("login "+p.login, "have CREATEROLE", create, "it could grant itself the platform's role")
	p.fact("login "+p.login, "own tables", owned > 0, fmt.Sprintf("%d relations", owned))
	return nil
}

// fact is a try that the catalogue answers.
func (p *prober) fact(where, what string, so bool, detail string) {
	if so {
		p.add(where, what, Crossed, detail)
		return
	}
	p.add(where, what, Refused, "")
}

// settings tries what a session may set.
func (p *prober) settings(ctx context.Context) error {
	if err := p.refuse(ctx, "setting row_security", "switch it off and read", `SET LOCAL row_security = off`, `SELECT 1 FROM listings LIMIT 1`); err != nil {
		return err
	}
	if err := p.refuse(ctx, "setting session_replication_role", "switch triggers and keys off", `SET LOCAL session_replication_role = replica`); err != nil {
		return err
	}
	// A board bound to a transaction must be gone after it.
	if _, err := p.attempt(ctx, orNone(first(p.boards)), `SELECT 1`); err != nil {
		return err
	}
	var left string
	if err := p.app.QueryRow(ctx, `SELECT coalesce(current_setting('app.tenant_id', true), '')`).Scan(&left); err != nil {
		return err
	}
	p.fact("setting app.tenant_id", "outlive its transaction", left != "", "the next user of the connection would be bound to it")
	if err := p.refuse(ctx, "setting app.tenant_id", "bind what is no board", `SELECT set_config('app.tenant_id', 'x', true)`, `SELECT 1 FROM listings LIMIT 1`); err != nil {
		return err
	}
	p.add("setting app.tenant_id", "bind another board in the same session", ByDesign,
		"who can send any SQL as the app's login chooses the board; only the door (tenant.DB) binds it, from the request's host, and no page takes SQL")
	return nil
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// copying tries the bulk commands, which have rules of their own.
func (p *prober) copying(ctx context.Context) error {
	for _, name := range []string{"listings", "applications", "people", "orders", "audit_log"} {
		var b bytes.Buffer
		if _, err := p.app.Exec(ctx, `BEGIN`); err != nil {
			return err
		}
		tag, err := p.app.PgConn().CopyTo(ctx, &b, `COPY `+ident(name)+` TO STDOUT`)
		if _, e := p.app.Exec(context.WithoutCancel(ctx), `ROLLBACK`); e != nil {
			return e
		}
		if err := p.judge(name, "COPY TO without a board", tag.RowsAffected(), err, true); err != nil {
			return err
		}
	}
	if _, err := p.app.Exec(ctx, `BEGIN`); err != nil {
		return err
	}
	_, err := p.app.PgConn().CopyFrom(ctx, strings.NewReader(""), `COPY listings FROM STDIN`)
	if _, e := p.app.Exec(context.WithoutCancel(ctx), `ROLLBACK`); e != nil {
		return e
	}
	p.fact("listings", "COPY FROM past the policies", err == nil, "row level security does not stop it")
	for what, q := range map[string]string{"COPY to a program": `COPY (SELECT 1) TO PROGRAM 'true'`, "COPY to a file of the server": `COPY (SELECT 1) TO '/tmp/shingle-doctor'`,
		"COPY from a file of the server": `COPY listings FROM '/etc/hostname'`} {
		if err := p.refuse(ctx, "server", what, q); err != nil {
			return err
		}
	}
	return nil
}

// definers tries the functions that run with another role's rights.
func (p *prober) definers(ctx context.Context) error {
	type function struct {
		call, args, owner string
		pinned, trigger   bool
		takesBoard        bool
	}
	rows, err := p.app.Query(ctx, `SELECT f.oid::regproc::text || '(' || (SELECT coalesce(string_agg('NULL::' || format_type(a.t, NULL), ', ' ORDER BY a.i), '') FROM unnest(f.proargtypes::oid[]) WITH ORDINALITY AS a (t, i)) || ')',
			f.oid::regprocedure::text, f.proowner::regrole::text, coalesce(array_to_string(f.proconfig, ',') LIKE '%search_path=%', false), f.prorettype = 'trigger'::regtype,
			coalesce('uuid'::regtype = ANY (f.proargtypes::oid[]) OR 'uuid[]'::regtype = ANY (f.proargtypes::oid[]), false)
		FROM pg_proc AS f WHERE f.prosecdef AND f.pronamespace = 'public'::regnamespace AND has_function_privilege(f.oid, 'EXECUTE') ORDER BY 2`)
	if err != nil {
		return err
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (f function, err error) {
		err = r.Scan(&f.call, &f.args, &f.owner, &f.pinned, &f.trigger, &f.takesBoard)
		return f, err
	})
	if err != nil {
		return err
	}
	for _, f := range list {
		p.fact("function "+f.args, "trick its search path", !f.pinned, "it sets none")
		if f.trigger {
			continue // cannot be called
		}
		p.fact("function "+f.args, "name another board in an argument", f.takesBoard, "an argument of it is a uuid; it must read the bound board itself")
		n, err := p.attempt(ctx, "", `SELECT 1 FROM `+f.call)
		if err := p.judge("function "+f.args, "call it without a board", n, err, true); err != nil {
			return err
		}
	}
	return nil
}

// schema tries to change the walls, or to see past their order.
func (p *prober) schema(ctx context.Context) error {
	for _, s := range []struct{ what, q string }{
		{"switch row level security off", `ALTER TABLE listings DISABLE ROW LEVEL SECURITY`},
		{"stop forcing it", `ALTER TABLE listings NO FORCE ROW LEVEL SECURITY`},
		{"drop the policy", `DROP POLICY board ON listings`},
		{"add a policy", `CREATE POLICY open ON listings USING (true)`},
		{"grant itself more", `GRANT shingle_platform TO ` + ident(p.login)},
		{"truncate", `TRUNCATE applications`},
		{"make a table", `CREATE TABLE public.shingle_doctor (x int)`},
		{"make a function beside ours", `CREATE FUNCTION public.shingle_doctor() RETURNS int LANGUAGE sql AS 'SELECT 1'`},
		{"make a view", `CREATE VIEW public.shingle_doctor AS SELECT * FROM listings`},
		{"attach a rule", `CREATE RULE shingle_doctor AS ON INSERT TO listings DO INSTEAD NOTHING`},
		{"attach a trigger", `CREATE TRIGGER shingle_doctor BEFORE UPDATE ON listings FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()`},
		{"load an extension", `CREATE EXTENSION dblink`},
	} {
		if err := p.refuse(ctx, "schema", s.what, s.q); err != nil {
			return err
		}
	}
	// A cheap function of one's own must not be shown a row before the policy has let it pass.
	reacher := orNone(first(p.boards))
	_, err := p.attempt(ctx, reacher, `CREATE FUNCTION pg_temp.shingle_doctor(t uuid) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS
		$f$ BEGIN IF t <> `+lit(reacher)+` THEN RAISE EXCEPTION 'seen' USING ERRCODE = 'P0S01'; END IF; RETURN true; END $f$`,
		`SELECT 1 FROM listings WHERE pg_temp.shingle_doctor(tenant_id) LIMIT 1000`)
	p.fact("listings", "peep with a cheap function before the policy", pg.Code(err) == "P0S01", "a row of another board's reached the function")

	rows, err := p.app.Query(ctx, `SELECT c.relname::text FROM pg_class AS c WHERE c.relkind IN ('v', 'm', 'f') AND c.relnamespace = 'public'::regnamespace
		AND has_table_privilege(c.oid, 'SELECT') AND NOT coalesce(array_to_string(c.reloptions, ',') ~ 'security_invoker=(true|on|1)', false)
		AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'e') ORDER BY 1`)
	if err != nil {
		return err
	}
	views, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, v := range views {
		p.add("view "+v, "read with its owner's rights", Crossed, "it is not security_invoker")
	}
	// Policies of PUBLIC, or for the app with another condition than the bound board.
	rows, err = p.app.Query(ctx, `SELECT tablename::text || ': ' || policyname FROM pg_policies WHERE schemaname = 'public'
		AND tablename IN (SELECT c.relname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
			WHERE c.relnamespace = 'public'::regnamespace)
		AND (roles && ARRAY['public', current_user]::name[] OR 'shingle_app' = ANY (roles))
		AND (coalesce(qual, 'true') !~ '= \(NULLIF\(current_setting\(''app\.tenant_id''::text, true\), ''''::text\)\)::uuid\)?$' AND cmd <> 'INSERT' OR 'public' = ANY (roles)) ORDER BY 1`)
	if err != nil {
		return err
	}
	odd, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, o := range odd {
		p.add("policy "+o, "let more through than the bound board", Crossed, "its condition is another one")
	}
	if len(odd) == 0 {
		p.add("policies", "let more through than the bound board", Refused, "each has the same condition")
	}
	return nil
}

// catalogs tries what Postgres itself tells.
func (p *prober) catalogs(ctx context.Context) error {
	for what, q := range map[string]string{ //nolint:gosec // statements, not secrets
		"read a file of the server": `SELECT pg_read_file('/etc/hostname')`, "list a folder of the server": `SELECT pg_ls_dir('/')`,
		"import a file of the server": `SELECT lo_import('/etc/hostname')`, "read password hashes": `SELECT 1 FROM pg_authid`,
		"read the planner's samples": `SELECT 1 FROM pg_statistic`, "read the settings' file": `SELECT pg_read_file(current_setting('config_file'))`,
		"change the server's settings": `ALTER SYSTEM SET log_statement = 'all'`,
	} {
		if err := p.refuse(ctx, "Postgres", what, q); err != nil {
			return err
		}
	}
	n, err := p.attempt(ctx, orNone(first(p.boards)), `SELECT 1 FROM pg_stats WHERE schemaname = 'public' AND tablename IN ('listings', 'applications', 'people', 'orders') LIMIT 1`)
	if err := p.judge("Postgres", "read samples of other boards' values in pg_stats", n, err, true); err != nil {
		return err
	}
	n, err = p.attempt(ctx, "", `SELECT 1 FROM pg_stat_activity WHERE usename <> current_user AND query NOT IN ('', '<insufficient privilege>') LIMIT 1`)
	if err := p.judge("Postgres", "read other logins' statements", n, err, true); err != nil {
		return err
	}
	p.add("Postgres", "read statements of the same login", ByDesign, "pg_stat_activity shows the app's own sessions to the app's login")
	n, err = p.attempt(ctx, "", `SELECT 1 FROM pg_extension WHERE extname IN ('dblink', 'postgres_fdw', 'file_fdw', 'plpython3u', 'plperlu', 'adminpack') LIMIT 1`)
	return p.judge("Postgres", "find an extension that leads elsewhere", n, err, true)
}
