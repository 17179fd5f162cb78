package isolation_test

import (
	"context"
	"crypto/md5" //nolint:gosec // a fingerprint
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/uptrace/bun"
	"gocloud.dev/blob/memblob"

	"shingle/accounts"
	"shingle/authz"
	"shingle/doctor/isolation"
	"shingle/internal/testkit"
	"shingle/tenant"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// furnished is a database with two boards that have rows.
func furnished(t *testing.T) *testkit.World {
	t.Helper()
	w := testkit.NewWorld(t)
	super := w.PG.Open(t, w.PG.Superuser, 1)
	for _, slug := range []string{"one", "two"} {
		b := w.Board(t, slug)
		err := w.DB.Write(w.Ctx(t, b), func(ctx context.Context, tx bun.IDB) error {
			if _, err := tx.NewRaw(`INSERT INTO categories (tenant_id, id, slug, name) VALUES (?, ?, 'x', 'X')`, b.ID, tenant.NewRowID()).Exec(ctx); err != nil {
				return err
			}
			company := tenant.NewRowID()
			if _, err := tx.NewRaw(`INSERT INTO companies (tenant_id, id, slug, name) VALUES (?, ?, 'acme', 'Acme')`, b.ID, company).Exec(ctx); err != nil {
				return err
			}
			return authz.Record(ctx, tx, authz.Act{Act: "x.y"})
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = super.ExecContext(t.Context(), `INSERT INTO listings (tenant_id, id, public_id, slug, title, company_id)
			SELECT tenant_id, gen_random_uuid(), translate(substr(md5(random()::text), 1, 10), '01', 'gh'), 'x', 'X', id FROM companies WHERE tenant_id = $1`, b.ID.String())
		if err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func run(t *testing.T, w *testkit.World) *isolation.Report {
	t.Helper()
	r, err := isolation.Run(t.Context(), w.PG.App, w.PG.Platform)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// crossed lists the tries that got through.
func crossed(r *isolation.Report) (out []string) {
	for _, try := range r.Tries {
		if try.Result == isolation.Crossed {
			out = append(out, try.Where+": "+try.What)
		}
	}
	return out
}

// fingerprint sums up every row of every table.
func fingerprint(t *testing.T, w *testkit.World) string {
	t.Helper()
	var all string
	err := w.PG.Open(t, w.PG.Superuser, 1).QueryRowContext(t.Context(), `SELECT string_agg((xpath('//s/text()', query_to_xml(format(
		'SELECT count(*) || md5(coalesce(string_agg(x::text, chr(10) ORDER BY x::text), '''')) AS s FROM %I x', c.relname), true, false, '')))[1]::text, ',' ORDER BY c.relname)
		FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace`).Scan(&all)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", md5.Sum([]byte(all))) //nolint:gosec // a fingerprint
}

func TestTheWallsHold(t *testing.T) {
	t.Parallel()
	w := furnished(t)
	before := fingerprint(t, w)
	r := run(t, w)
	if c := crossed(r); len(c) > 0 {
		t.Errorf("crossed: %s", strings.Join(c, "\n"))
	}
	for _, try := range r.Tries {
		if try.Result == isolation.Unknown {
			t.Errorf("not tried: %+v", try)
		}
	}
	if after := fingerprint(t, w); after != before {
		t.Error("the tries left a trace")
	}
	if r.Tables < 40 || r.Boards != 2 || r.Count(isolation.Refused) < 150 {
		t.Errorf("%d tables, %d boards, %d refused of %d tries", r.Tables, r.Boards, r.Count(isolation.Refused), len(r.Tries))
	}
	for _, table := range []string{"categories", "companies", "listings", "audit_log"} {
		for _, what := range []string{"read without a board", "read another's", "insert for another", "move its own to another"} {
			if !tried(r, table, what) {
				t.Errorf("%s: %s was not tried with rows there", table, what)
			}
		}
	}
	if !tried(r, "listings", "reference another's by listings_tenant_id_company_id_fkey") {
		t.Error("no reference to another's company was tried")
	}
}

func tried(r *isolation.Report, where, what string) bool {
	for _, try := range r.Tries {
		if try.Where == where && try.What == what {
			return try.Result == isolation.Refused || try.Result == isolation.Empty
		}
	}
	return false
}

// TestAWeakWallIsFound takes one thing away at a time.
func TestAWeakWallIsFound(t *testing.T) {
	t.Parallel()
	for name, weak := range map[string]struct{ break_, want string }{
		"no policy asked":        {`ALTER TABLE categories DISABLE ROW LEVEL SECURITY`, "categories: read another's"},
		"policy for all":         {`DROP POLICY board ON categories; CREATE POLICY board ON categories USING (true)`, "categories: read without a board"},
		"policy without a check": {`DROP POLICY board ON categories; CREATE POLICY board ON categories TO shingle_app USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) WITH CHECK (true)`, "categories: insert for another"},
		"move let through":       {`DROP POLICY board ON categories; CREATE POLICY board ON categories TO shingle_app USING (true) WITH CHECK (true)`, "categories: move its own to another"},
		"a second policy":        {`CREATE POLICY sneaky ON companies FOR DELETE TO shingle_app USING (true); CREATE POLICY peep ON companies FOR SELECT TO shingle_app USING (true)`, "companies: delete another's"},
		"a platform's table":     {`ALTER TABLE operators DISABLE ROW LEVEL SECURITY; GRANT SELECT ON operators TO shingle_app; INSERT INTO operators (id, email) VALUES (gen_random_uuid(), 'a@b.example')`, "operators: read the platform's table"},
		"a view":                 {`CREATE VIEW everything AS SELECT * FROM listings; GRANT SELECT ON everything TO shingle_app`, "view everything: read with its owner's rights"},
		"a definer": {`CREATE FUNCTION leak(board uuid) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM listings WHERE tenant_id = board'; GRANT EXECUTE ON FUNCTION leak(uuid) TO shingle_app`,
			"function leak(uuid): name another board in an argument"},
		"a key without the board": {`ALTER TABLE companies ADD CONSTRAINT companies_id_key UNIQUE (id); ALTER TABLE categories ADD COLUMN c uuid REFERENCES companies (id)`,
			"categories: reference another's by categories_c_fkey"},
		"a schema open to all": {`GRANT CREATE ON SCHEMA public TO shingle_app`, "schema: make a table"},
		"a leaky owner":        {`ALTER TABLE categories OWNER TO shingle_app; ALTER TABLE categories NO FORCE ROW LEVEL SECURITY`, "login shingle_app: own tables"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := furnished(t)
			if _, err := w.PG.Open(t, w.PG.Superuser, 1).ExecContext(t.Context(), weak.break_); err != nil {
				t.Fatal(err)
			}
			before := fingerprint(t, w)
			c := crossed(run(t, w))
			for _, got := range c {
				if got == weak.want {
					if fingerprint(t, w) != before {
						t.Error("the tries left a trace")
					}
					return
				}
			}
			t.Errorf("crossed: %v, want %s among them", c, weak.want)
		})
	}
}

func TestNamesBeginWithTheirBoard(t *testing.T) {
	t.Parallel()
	id := tenant.NewID()
	opts, err := redis.ParseURL(testkit.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(opts)
	t.Cleanup(func() { _ = rdb.Close() })
	bucket := memblob.OpenBucket(nil)
	t.Cleanup(func() { _ = bucket.Close() })
	set := func(key string) {
		t.Helper()
		if err := rdb.Set(t.Context(), key, "1", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	// The names that the limiter really gives.
	limits := accounts.NewLimiter(rdb, time.Now)
	key := accounts.LimitKey(id, "proof", "x")
	if err := limits.Allow(t.Context(), key, accounts.Limit{N: 9, Period: time.Minute}); err != nil {
		t.Fatal(err)
	}
	if n := limits.Count(t.Context(), key, time.Minute); n != 1 || !limits.Once(t.Context(), key, time.Now().Add(time.Minute)) {
		t.Fatalf("counted %d", n)
	}
	if n := rdb.DBSize(t.Context()).Val(); n != 3 {
		t.Fatalf("%d names for the three", n)
	}
	write := func(key string) {
		t.Helper()
		if err := bucket.WriteAll(t.Context(), key, []byte("x"), nil); err != nil {
			t.Fatal(err)
		}
	}
	write(id.String() + "/logos/a.png")
	hex := strings.ReplaceAll(id.String(), "-", "")
	name, leads, scope := "listings_"+hex, "listings_"+hex+"_1", "listings_"+hex
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/collections":
			_, _ = fmt.Fprintf(rw, `[{"name": %q}]`, name+"_1")
		case "/aliases":
			_, _ = fmt.Fprintf(rw, `{"aliases": [{"name": %q, "collection_name": %q}]}`, name, leads)
		case "/keys":
			_, _ = fmt.Fprintf(rw, `{"keys": [{"actions": ["documents:search"], "collections": [%q]}, {"actions": ["*"], "collections": ["*"]}]}`, scope)
		}
	}))
	t.Cleanup(srv.Close)
	look := func() []string {
		r := &isolation.Report{}
		r.Redis(t.Context(), rdb)
		r.Files(t.Context(), bucket)
		r.Typesense(t.Context(), srv.URL, "k")
		return crossed(r)
	}
	if c := look(); len(c) > 0 {
		t.Errorf("crossed: %v", c)
	}
	set("cache:home")
	write("logos/a.png")
	name, leads, scope = "listings", "other", ".*"
	c := strings.Join(look(), "\n")
	for _, want := range []string{"Redis: find a key", "files: find a file", "find a collection", "lead an alias", "search with one board's key"} {
		if !strings.Contains(c, want) {
			t.Errorf("want %q among\n%s", want, c)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
