// Package isolation tries to cross the walls between boards with the app's own
// login on the running database, and says what came of each try. It changes
// nothing: every try is rolled back, each statement is bounded in time, and the
// platform's login reads only which rows there are to reach for. Start at Run.
package isolation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"shingle/internal/pg"
)

// What came of a try.
const (
	Refused  = "refused"   // Postgres answered with an error
	Empty    = "empty"     // allowed, and nothing of another board's was there
	Nothing  = "nothing"   // there is no row to try it with
	ByDesign = "by design" // allowed, and stated
	Crossed  = "CROSSED"
	Unknown  = "unknown" // could not be tried
)

// Try is one attempt and what came of it.
type Try struct {
	// Where is the table, or what else was tried.
	Where  string `json:"where"`
	What   string `json:"what"`
	Result string `json:"result"`
	Detail string `json:"detail,omitempty"`
}

// Report is every try.
type Report struct {
	Tries  []Try `json:"tries"`
	Tables int   `json:"tables"`
	Boards int   `json:"boards"`
}

// Count is how many tries ended so.
func (r *Report) Count(result string) (n int) {
	for _, t := range r.Tries {
		if t.Result == result {
			n++
		}
	}
	return n
}

func (r *Report) add(where, what, result, detail string) {
	r.Tries = append(r.Tries, Try{where, what, result, detail})
}

// prober holds the two logins and what they know.
type prober struct {
	*Report
	app, platform *pgx.Conn
	login         string
	boards        []string // ids, oldest first, a few
}

// bounds keep a try from standing in anybody's way.
const bounds = `SET statement_timeout = '5s'; SET lock_timeout = '300ms'; SET idle_in_transaction_session_timeout = '30s'; SET application_name = 'shingle doctor isolation'`

// Run makes every try. The error says what could not even be begun.
func Run(ctx context.Context, appURL, platformURL string) (*Report, error) {
	p := &prober{Report: &Report{}}
	var err error
	if p.app, err = connect(ctx, appURL); err != nil {
		return nil, fmt.Errorf("the app's login: %w", err)
	}
	defer func() { _ = p.app.Close(context.WithoutCancel(ctx)) }()
	if p.platform, err = connect(ctx, platformURL); err != nil {
		return nil, fmt.Errorf("the platform's login: %w", err)
	}
	defer func() { _ = p.platform.Close(context.WithoutCancel(ctx)) }()
	if err := p.app.QueryRow(ctx, `SELECT current_user`).Scan(&p.login); err != nil {
		return nil, err
	}
	tables, err := p.learn(ctx)
	if err != nil {
		return nil, err
	}
	p.Tables = len(tables)
	for i := range tables {
		if err := p.table(ctx, &tables[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", tables[i].name, err)
		}
	}
	for _, part := range []func(context.Context) error{p.roles, p.settings, p.copying, p.definers, p.schema, p.catalogs} {
		if err := part(ctx); err != nil {
			return nil, err
		}
	}
	return p.Report, nil
}

func connect(ctx context.Context, url string) (*pgx.Conn, error) {
	c, err := pg.Connect(ctx, url)
	if err != nil {
		return nil, errors.New("cannot sign in")
	}
	if _, err := c.Exec(ctx, bounds); err != nil {
		_ = c.Close(context.WithoutCancel(ctx))
		return nil, err
	}
	return c, nil
}

// table is what the catalogue says of one.
type table struct {
	name string
	// own is the column that names the board; "" for a table of the platform's.
	own     string
	foreign []foreign
	// owner and other are boards with a row here; "" when there are fewer.
	owner, other string
}

type foreign struct {
	name           string
	columns        []string
	target         string
	targets        []string
	beginsWithThem bool // both sides' keys begin with tenant_id
}

func (p *prober) learn(ctx context.Context) ([]table, error) {
	rows, err := p.platform.Query(ctx, `SELECT id::text FROM boards ORDER BY created_at, id LIMIT 50`)
	if err != nil {
		return nil, err
	}
	if p.boards, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return nil, err
	}
	p.Boards = len(p.boards)
	rows, err = p.platform.Query(ctx, `SELECT c.relname::text, coalesce(CASE WHEN c.relname = 'boards' THEN 'id' WHEN c.relname = 'hosts' THEN 'board_id'
			ELSE (SELECT a.attname FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped) END, '')::text,
			coalesce((SELECT jsonb_agg(jsonb_build_object('name', k.conname, 'target', k.confrelid::regclass::text,
				'columns', (SELECT jsonb_agg(a.attname ORDER BY n.i) FROM unnest(k.conkey) WITH ORDINALITY AS n (num, i) JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = n.num),
				'targets', (SELECT jsonb_agg(a.attname ORDER BY n.i) FROM unnest(k.confkey) WITH ORDINALITY AS n (num, i) JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = n.num)))
			FROM pg_constraint AS k WHERE k.conrelid = c.oid AND k.contype = 'f'), '[]')::text
		FROM pg_class AS c WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace ORDER BY 1`)
	if err != nil {
		return nil, err
	}
	var out []table
	var name, own, keys string
	_, err = pgx.ForEachRow(rows, []any{&name, &own, &keys}, func() error {
		t := table{name: name, own: own}
		var list []struct {
			Name, Target     string
			Columns, Targets []string
		}
		if err := json.Unmarshal([]byte(keys), &list); err != nil {
			return err
		}
		for _, k := range list {
			begins := len(k.Columns) > 0 && k.Columns[0] == "tenant_id" && (k.Targets[0] == "tenant_id" || k.Target == "boards" && len(k.Columns) == 1)
			t.foreign = append(t.foreign, foreign{k.Name, k.Columns, k.Target, k.Targets, begins})
		}
		out = append(out, t)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range out {
		if err := p.pick(ctx, &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// pick finds two boards that have a row in the table, as the platform sees it.
func (p *prober) pick(ctx context.Context, t *table) error {
	if t.own == "" {
		return nil
	}
	var can bool
	if err := p.platform.QueryRow(ctx, `SELECT has_table_privilege(`+lit(t.name)+`::regclass, 'SELECT')`).Scan(&can); err != nil || !can {
		return err
	}
	for _, b := range p.boards {
		var there bool
		if err := p.platform.QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+ident(t.name)+` WHERE `+ident(t.own)+` = `+lit(b)+`)`).Scan(&there); err != nil {
			return err
		}
		switch {
		case there && t.owner == "":
			t.owner = b
		case there:
			t.other = b
			return nil
		}
	}
	return nil
}

// none stands for a board that does not exist.
const none = "00000000-0000-7000-8000-00000000dead"

// others are whose rows to reach for and who reaches: with a single board of
// rows, another one reaches for them.
func (p *prober) others(t *table) (reacher, victim string) {
	switch {
	case t.other != "":
		return t.owner, t.other
	case t.owner != "":
		for _, b := range p.boards {
			if b != t.owner {
				return b, t.owner
			}
		}
		return none, t.owner
	case len(p.boards) > 0:
		return p.boards[0], none
	}
	return none, none
}

// attempt runs statements as the app in a transaction that is rolled back, with
// the board bound ("" for none). rows is what the last statement touched or
// showed; err is Postgres' own.
func (p *prober) attempt(ctx context.Context, board string, statements ...string) (rows int64, err error) {
	begin := `BEGIN`
	if board != "" {
		begin += `; SELECT set_config('app.tenant_id', ` + lit(board) + `, true)`
	}
	if _, err := p.app.Exec(ctx, begin); err != nil {
		return 0, err
	}
	defer func() {
		if _, e := p.app.Exec(context.WithoutCancel(ctx), `ROLLBACK`); e != nil {
			err = errors.Join(err, e)
		}
	}()
	for _, q := range statements {
		tag, err := p.app.Exec(ctx, q)
		if err != nil {
			return 0, err
		}
		rows = tag.RowsAffected()
	}
	return rows, nil
}

// table makes the tries on one table.
func (p *prober) table(ctx context.Context, t *table) error {
	if t.own == "" {
		return p.platformTable(ctx, t)
	}
	name, own := ident(t.name), ident(t.own)
	reacher, victim := p.others(t)
	seen := func(what, board, q string, there bool) error {
		n, err := p.attempt(ctx, board, q)
		return p.judge(t.name, what, n, err, there)
	}
	there := t.owner != ""
	theirs := own + ` = ` + lit(victim)
	one := `ctid = ANY (ARRAY(SELECT ctid FROM ` + name + ` WHERE ` + theirs + ` LIMIT 1))`
	for _, s := range []struct {
		what, board, q string
		there          bool
	}{
		{"read without a board", "", `SELECT 1 FROM ` + name + ` LIMIT 1`, there},
		{"read another's", reacher, `SELECT 1 FROM ` + name + ` WHERE ` + own + ` <> ` + lit(reacher) + ` LIMIT 1`, there},
		{"update another's", reacher, `UPDATE ` + name + ` SET ` + own + ` = ` + own + ` WHERE ` + one, there},
		{"delete another's", reacher, `DELETE FROM ` + name + ` WHERE ` + one, there},
		// The policy is asked before any other constraint: only its refusal counts.
		{"insert for another", reacher, `INSERT INTO ` + name + ` (` + own + `) VALUES (` + lit(victim) + `)`, true},
	} {
		if err := seen(s.what, s.board, s.q, s.there); err != nil {
			return err
		}
	}
	mine, target := t.owner, victim
	if mine == victim {
		target = reacher
	}
	moves := `UPDATE ` + name + ` SET ` + own + ` = ` + lit(target) + ` WHERE ctid = ANY (ARRAY(SELECT ctid FROM ` + name + ` WHERE ` + own + ` = ` + lit(orNone(mine)) + ` LIMIT 1))`
	if err := seen("move its own to another", orNone(mine), moves, there); err != nil {
		return err
	}
	for _, f := range t.foreign {
		if err := p.reference(ctx, t, f); err != nil {
			return err
		}
	}
	return nil
}

// judge reads an outcome: a refusal is an error about rights; any other error
// of a constraint means that the wall let the row through.
func (p *prober) judge(where, what string, n int64, err error, there bool) error {
	code := pg.Code(err)
	switch {
	case err == nil && n == 0 && !there:
		p.add(where, what, Nothing, "no row of another board's to try it with")
	case err == nil && n == 0:
		p.add(where, what, Empty, "")
	case err == nil:
		p.add(where, what, Crossed, fmt.Sprintf("%d rows", n))
	case code == "42501" || code == "42704" || code == "0A000" || code == "0LP01" || code == "42883":
		p.add(where, what, Refused, code)
	case strings.HasPrefix(code, "23"):
		p.add(where, what, Crossed, "only another constraint refused it: "+code)
	case code == "55P03" || code == "57014":
		p.add(where, what, Unknown, "took too long: "+code)
	case code != "":
		p.add(where, what, Unknown, "Postgres says "+code)
	default:
		return err
	}
	return nil
}

// reference points a row of the reacher's at another board's.
func (p *prober) reference(ctx context.Context, t *table, f foreign) error {
	what := "reference another's by " + f.name
	if f.target == "boards" || t.own != "tenant_id" {
		return nil // the board itself: moving a row is a try of its own
	}
	if !f.beginsWithThem {
		var walled bool
		if err := p.platform.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = `+lit(f.target)+`::regclass AND attname = 'tenant_id' AND NOT attisdropped)`).Scan(&walled); err != nil {
			return err
		}
		if walled {
			p.add(t.name, what, Crossed, "the key does not begin with tenant_id: it can name another board's row")
		}
		return nil
	}
	target := table{name: f.target, own: "tenant_id"}
	if err := p.pick(ctx, &target); err != nil {
		return err
	}
	victim := target.owner
	if victim == t.owner {
		victim = target.other
	}
	if t.owner == "" || victim == "" {
		p.add(t.name, what, Nothing, "the key begins with tenant_id; there are no two rows to try it with")
		return nil
	}
	var set []string
	for i, c := range f.columns[1:] {
		var value *string
		err := p.platform.QueryRow(ctx, `SELECT `+ident(f.targets[i+1])+`::text FROM `+ident(f.target)+` WHERE tenant_id = `+lit(victim)+` LIMIT 1`).Scan(&value)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if value != nil {
			set = append(set, ident(c)+` = `+lit(*value))
		}
	}
	if len(set) == 0 {
		return nil
	}
	n, err := p.attempt(ctx, t.owner, `SET CONSTRAINTS ALL IMMEDIATE`, `UPDATE `+ident(t.name)+` SET `+strings.Join(set, ", ")+
		` WHERE ctid = ANY (ARRAY(SELECT ctid FROM `+ident(t.name)+` WHERE tenant_id = `+lit(t.owner)+` LIMIT 1))`)
	switch code := pg.Code(err); {
	case code == "23503" || code == "42501":
		p.add(t.name, what, Refused, code)
	case code != "":
		p.add(t.name, what, Refused, "the key begins with tenant_id; this row is refused for another reason: "+code)
	case err != nil:
		return err
	case n > 0:
		p.add(t.name, what, Crossed, "the reference was taken")
	default:
		p.add(t.name, what, Empty, "")
	}
	return nil
}

// platformTable is one without a board: the app must not read or write it, but
// for what tells nothing of anybody.
func (p *prober) platformTable(ctx context.Context, t *table) error {
	n, err := p.attempt(ctx, "", `SELECT 1 FROM `+ident(t.name)+` LIMIT 1`)
	if err := p.judge(t.name, "read the platform's table", n, err, true); err != nil {
		return err
	}
	n, err = p.attempt(ctx, "", `DELETE FROM `+ident(t.name)+` WHERE false`)
	if err == nil {
		// Allowed by the grant: is there a row it could reach?
		n, err = p.attempt(ctx, "", `DELETE FROM `+ident(t.name)+` WHERE ctid = ANY (ARRAY(SELECT ctid FROM `+ident(t.name)+` LIMIT 1))`)
	}
	return p.judge(t.name, "write the platform's table", n, err, true)
}

func orNone(b string) string {
	if b == "" {
		return none
	}
	return b
}

func ident(s string) string { return pgx.Identifier{s}.Sanitize() }
func lit(s string) string   { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
