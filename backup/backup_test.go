package backup

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/pg"
	"shingle/internal/testkit"
	"shingle/migrations"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func bucket(t *testing.T) *blob.Bucket {
	t.Helper()
	b := memblob.OpenBucket(nil)
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func keys(t *testing.T) *Keys {
	t.Helper()
	private, _, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	k, err := ParseKeys("# a remark\n" + private + "\n")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// source is an installation with rows that are hard to carry, and files.
func source(t *testing.T, k *Keys) (*testkit.World, *Source) {
	t.Helper()
	w := testkit.NewWorld(t)
	b := w.Board(t, "acme")
	w.Board(t, "rival")
	files := bucket(t)
	ctx := t.Context()
	err := w.Platform.Write(ctx, func(ctx context.Context, tx bun.IDB) error {
		for _, q := range []struct {
			sql  string
			args []any
		}{
			{`INSERT INTO operators (id, email, name) VALUES (gen_random_uuid(), 'olga@acme.example', ?)`, []any{"Olga \t\\N \\. \"quoted\" 'n' Söhne\nand a second line\r\n"}},
			{`INSERT INTO people (tenant_id, id, email) SELECT ?, gen_random_uuid(), 'p' || n || '@seeker.example' FROM generate_series(1, 9000) n`, []any{b.ID}},
			{`INSERT INTO person_sessions (tenant_id, token_hash, person_id, expires_at) SELECT tenant_id, decode(md5(email), 'hex'), id, now() FROM people WHERE email LIKE 'p1%'`, nil},
			{`INSERT INTO imports (tenant_id, id, name, content) VALUES (?, gen_random_uuid(), 'large.csv', ?)`, []any{b.ID, strings.Repeat("a,b\\,\"c\"\n", 300_000)}},
			{`INSERT INTO audit_log (tenant_id, id, actor_kind, act, detail) VALUES (?, gen_random_uuid(), 'system', 'board.made', '{"n": 1.50, "s": "ä\\u0007"}')`, []any{b.ID}},
			{`INSERT INTO tasks (tenant_id, id, kind, every) VALUES (?, gen_random_uuid(), 'x.y', interval '1 day 2 hours')`, []any{b.ID}},
		} {
			if _, err := tx.NewRaw(q.sql, q.args...).Exec(ctx); err != nil {
				return errors.Join(errors.New(q.sql), err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	large := make([]byte, 3<<20)
	_, _ = rand.Read(large)
	for name, f := range map[string]struct {
		data []byte
		o    *blob.WriterOptions
	}{
		b.ID.String() + "/cv/a b ü.pdf": {[]byte("%PDF"), &blob.WriterOptions{ContentType: "application/pdf", ContentDisposition: "attachment"}},
		b.ID.String() + "/logos/x.png":  {large, &blob.WriterOptions{ContentType: "image/png"}},
		b.ID.String() + "/empty":        {nil, nil},
	} {
		if err := files.WriteAll(ctx, name, f.data, f.o); err != nil {
			t.Fatal(err)
		}
	}
	return w, &Source{PlatformURL: w.PG.Platform, Files: files, Keys: k, Version: "v1", Secret: "abc", Now: time.Now}
}

func written(t *testing.T, s *Source) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := s.Write(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func target(db *testkit.DB, files *blob.Bucket, k *Keys) *Target {
	return &Target{OwnerURL: db.Owner, AppURL: db.App, PlatformURL: db.Platform, Files: files, Keys: k, Rebuild: "search.rebuild"}
}

// shape is all that the schema says: columns, constraints, indexes, policies, rights, triggers, functions.
func shape(t *testing.T, db *sql.DB) map[string]string {
	t.Helper()
	return texts(t, db, `SELECT 'table ' || relname, concat_ws(' ', relrowsecurity, relforcerowsecurity, relacl::text, pg_get_userbyid(relowner), reloptions::text) FROM pg_class WHERE relnamespace = 'public'::regnamespace
		UNION ALL SELECT 'column ' || attrelid::regclass || '.' || attname, concat_ws(' ', format_type(atttypid, atttypmod), attnotnull, attacl::text) FROM pg_attribute
			WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r') AND attnum > 0 AND NOT attisdropped
		UNION ALL SELECT 'constraint ' || conrelid::regclass || '.' || conname, pg_get_constraintdef(oid) || convalidated FROM pg_constraint WHERE connamespace = 'public'::regnamespace
		UNION ALL SELECT 'index ' || indexrelid::regclass, pg_get_indexdef(indexrelid) || indisvalid FROM pg_index WHERE indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
		UNION ALL SELECT 'policy ' || polrelid::regclass || '.' || polname, concat_ws(' ', polcmd, polroles::regrole[]::text, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)) FROM pg_policy
		UNION ALL SELECT 'trigger ' || tgrelid::regclass || '.' || tgname, pg_get_triggerdef(oid) || tgenabled::text FROM pg_trigger WHERE NOT tgisinternal
		UNION ALL SELECT 'function ' || oid::regprocedure, concat_ws(' ', pg_get_userbyid(proowner), proacl::text, md5(prosrc), prosecdef, proconfig::text) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
			AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = pg_proc.oid AND deptype = 'e')`)
}

func texts(t *testing.T, db *sql.DB, q string) map[string]string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	out := map[string]string{}
	for rows.Next() {
		var k, v string
		if err := rows.Scan(&k, &v); err != nil {
			t.Fatal(err)
		}
		out[k] = v
	}
	if err := rows.Err(); err != nil || len(out) == 0 {
		t.Fatalf("%d rows, %v", len(out), err)
	}
	return out
}

func differ(t *testing.T, what string, want, got map[string]string, but ...string) {
	t.Helper()
	for _, name := range but {
		delete(want, name)
		delete(got, name)
	}
	for name, w := range want {
		if got[name] != w {
			t.Errorf("%s: %s is %q, want %q", what, name, got[name], w)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %s is new", what, name)
		}
	}
}

func one(t *testing.T, db *sql.DB, q string) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), q).Scan(&n); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return n
}

func filesOf(t *testing.T, b *blob.Bucket) map[string]string {
	t.Helper()
	out := map[string]string{}
	for o, err := range all(t.Context(), b) {
		if err != nil {
			t.Fatal(err)
		}
		data, err := b.ReadAll(t.Context(), o.Key)
		if err != nil {
			t.Fatal(err)
		}
		about, err := b.Attributes(t.Context(), o.Key)
		if err != nil {
			t.Fatal(err)
		}
		out[o.Key] = about.ContentType + " " + about.ContentDisposition + " " + string(data)
	}
	return out
}

func all(ctx context.Context, b *blob.Bucket) func(func(*blob.ListObject, error) bool) {
	return func(yield func(*blob.ListObject, error) bool) {
		for list := b.List(nil); ; {
			o, err := list.Next(ctx)
			if errors.Is(err, io.EOF) || !yield(o, err) || err != nil {
				return
			}
		}
	}
}

// What a restore changes on purpose: caches and search begin anew, the log says so.
var changed = []string{"generations", "tasks", "audit_log", "audit_unsealed"}

func TestRestoreGivesEverythingBack(t *testing.T) {
	t.Parallel()
	k := keys(t)
	w, s := source(t, k)
	from := w.PG.Open(t, w.PG.Superuser, 2)
	data := written(t, s)
	if bytes.Contains(data, []byte("olga@acme.example")) || bytes.Contains(data, []byte("%PDF")) {
		t.Fatal("the backup can be read without its key")
	}
	empty, files := testkit.EmptyPostgres(t), bucket(t)
	r, err := target(empty, files, k).Restore(t.Context(), bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if r.Header.Version != "v1" || r.Header.Secret != "abc" || len(r.Upgraded) != 0 || r.Manifest.Files.Count != 3 {
		t.Errorf("it says %+v %+v", r.Header, r.Manifest)
	}
	to := empty.Open(t, empty.Superuser, 2)
	differ(t, "rows", testkit.Rows(t, from), testkit.Rows(t, to), append(changed, "bun_migrations")...)
	differ(t, "migrations", texts(t, from, `SELECT name, '' FROM bun_migrations`), texts(t, to, `SELECT name, '' FROM bun_migrations`))
	differ(t, "schema", shape(t, from), shape(t, to))
	got := filesOf(t, files)
	differ(t, "files", filesOf(t, s.Files), got)
	if a, b := one(t, from, `SELECT min(generation) FROM generations`), one(t, to, `SELECT min(generation) FROM generations`); b-a != generationStep {
		t.Errorf("generations went from %d to %d", a, b)
	}
	if n := one(t, to, `SELECT count(*) FROM tasks WHERE kind = 'search.rebuild'`); n != 2 {
		t.Errorf("%d boards' search is made anew, want 2", n)
	}
	if n := one(t, to, `SELECT count(*) FROM audit_log WHERE act = 'installation.restored'`); n != 1 {
		t.Errorf("%d lines say that it was restored", n)
	}
	if n := one(t, to, `SELECT count(*) FROM audit_unsealed u JOIN audit_log l ON l.id = u.id WHERE l.act = 'installation.restored'`); n != 1 {
		t.Error("the line does not wait for its seal: triggers did not come back")
	}
	// The wall stands, and numbers go on.
	if n := one(t, empty.Open(t, empty.App, 1), `SELECT count(*) FROM people`); n != 0 {
		t.Errorf("the app sees %d rows without a board", n)
	}
	if n := one(t, to, `SELECT (nextval('bun_migrations_id_seq') > (SELECT max(id) FROM bun_migrations))::int`); n != 1 {
		t.Error("the sequence gives numbers again that are taken")
	}
	// Nobody's second restore goes over it.
	_, err = target(empty, bucket(t), k).Restore(t.Context(), bytes.NewReader(data))
	if !fault.Is(err, fault.Conflict) {
		t.Errorf("a second restore: %v", err)
	}
}

func TestReplaceErasesWhatWasThere(t *testing.T) {
	t.Parallel()
	k := keys(t)
	w, s := source(t, k)
	data := written(t, s)
	other := testkit.NewWorld(t)
	other.Board(t, "old")
	files := bucket(t)
	if err := files.WriteAll(t.Context(), "old/cv", []byte("somebody's"), nil); err != nil {
		t.Fatal(err)
	}
	to := target(other.PG, files, k)
	super := other.PG.Open(t, other.PG.Superuser, 1)
	before := testkit.Rows(t, super)
	// Connections of a running program are seen.
	_, err := to.Restore(t.Context(), bytes.NewReader(data))
	if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "stop serve and worker first") {
		t.Fatalf("beside a running program: %v", err)
	}
	other.Hangup(t)
	if _, err := to.Restore(t.Context(), bytes.NewReader(data)); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "--replace") {
		t.Fatalf("over a board: %v", err)
	}
	to.Replace = true
	if _, err := to.Restore(t.Context(), bytes.NewReader(data[:len(data)-100])); !fault.Is(err, fault.Invalid) {
		t.Fatalf("cut short: %v", err)
	}
	differ(t, "after a failure", before, testkit.Rows(t, super))
	if got := filesOf(t, files); got["old/cv"] == "" {
		t.Error("a failed restore took a file that was there")
	}
	if _, err := to.Restore(t.Context(), bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	differ(t, "rows", testkit.Rows(t, w.PG.Open(t, w.PG.Superuser, 1)), testkit.Rows(t, super), append(changed, "bun_migrations")...)
	differ(t, "files", filesOf(t, s.Files), filesOf(t, files))
}

// An older backup is restored into the schema of its time, and brought up from there.
func TestAnOlderBackupIsBroughtUpToDate(t *testing.T) {
	t.Parallel()
	k := keys(t)
	names := migrations.Names()
	older := names[:len(names)-3]
	old := testkit.EmptyPostgres(t)
	if err := migrations.Prepare(t.Context(), old.Owner, old.App, old.Platform); err != nil {
		t.Fatal(err)
	}
	conn, err := pg.Connect(t.Context(), old.Owner)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, grant := tx.Exec(t.Context(), `GRANT SELECT ON bun_migrations TO shingle_platform`)
	if err := errors.Join(grant, migrations.Apply(t.Context(), tx, older), migrations.Mark(t.Context(), tx, older), tx.Commit(t.Context())); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Open(t, old.Superuser, 1).ExecContext(t.Context(), `INSERT INTO boards (id, slug, name) VALUES (gen_random_uuid(), 'antique', 'Antique')`); err != nil {
		t.Fatal(err)
	}
	data := written(t, &Source{PlatformURL: old.Platform, Files: bucket(t), Keys: k, Version: "v0", Now: time.Now})
	// A target that was migrated already is no hindrance.
	now := testkit.Postgres(t)
	r, err := target(now, bucket(t), k).Restore(t.Context(), bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Upgraded) != 3 {
		t.Errorf("upgraded by %v", r.Upgraded)
	}
	super := now.Open(t, now.Superuser, 1)
	fresh := testkit.Postgres(t)
	differ(t, "schema", shape(t, fresh.Open(t, fresh.Superuser, 1)), shape(t, super))
	if n := one(t, super, `SELECT count(*) FROM boards WHERE slug = 'antique'`); n != 1 {
		t.Error("the board is lost")
	}
	if pending, err := migrations.Pending(t.Context(), now.Owner); err != nil || len(pending) > 0 {
		t.Errorf("pending: %v %v", pending, err)
	}
}

// forged writes a backup of the given header and entries, sealed with the right key.
func forged(t *testing.T, k *Keys, head *Header, entries ...[2]string) []byte {
	t.Helper()
	var b bytes.Buffer
	out, done, err := seal(&b, k, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := out.json(headerName, head); err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := out.entry(e[0], []byte(e[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := done(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	k := keys(t)
	head := func(change func(*Header)) *Header {
		h := &Header{Format: Format, Version: "v9", Schema: migrations.Names(), Tables: []Table{{"boards", []string{"id"}}, {"hosts", []string{"host"}}}}
		change(h)
		return h
	}
	good := head(func(*Header) {})
	manifest := func(tables map[string]string) string {
		m := Manifest{Tables: map[string]Sum{}, Files: newFileTally().sum()}
		for _, t := range good.Tables {
			sum := newTally()
			_, _ = io.WriteString(sum, tables[t.Name])
			m.Tables[t.Name] = sum.sum()
		}
		raw, _ := json.Marshal(m)
		return string(raw)
	}
	rows := map[string]string{"boards": "1\n2\n"}
	whole := forged(t, k, good, [2]string{"tables/boards/000001.copy", "1\n2\n"}, [2]string{manifestName, manifest(rows)})
	if _, m, err := Check(bytes.NewReader(whole), k); err != nil || m.Tables["boards"].Count != 2 {
		t.Fatalf("the one that is right: %v %v", m, err)
	}
	_, public, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	only, err := ParseKeys(public)
	if err != nil {
		t.Fatal(err)
	}
	altered := bytes.Clone(whole)
	altered[len(altered)-40] ^= 1
	for name, c := range map[string]struct {
		data  []byte
		keys  *Keys
		words string
	}{
		"newer schema":     {forged(t, k, head(func(h *Header) { h.Schema = append(h.Schema, "20990101000000") })), k, "newer than this program (migration 20990101000000 is unknown here): restore it with version v9"},
		"newer format":     {forged(t, k, head(func(h *Header) { h.Format = 2 })), k, "format 2"},
		"another key":      {whole, keys(t), "another SHINGLE_BACKUP_KEY"},
		"a public key":     {whole, only, "is a public key"},
		"no backup":        {[]byte("SQL dump"), k, "no backup of Shingle"},
		"nothing":          {nil, k, "no backup of Shingle"},
		"cut short":        {whole[:len(whole)-1], k, "cut short or was altered"},
		"altered":          {altered, k, "cut short or was altered"},
		"longer":           {append(bytes.Clone(whole), 'x'), k, "cut short or was altered"},
		"no manifest":      {forged(t, k, good, [2]string{"tables/boards/000001.copy", "1\n2\n"}), k, "cut short or was altered"},
		"a row less":       {forged(t, k, good, [2]string{"tables/boards/000001.copy", "1\n"}, [2]string{manifestName, manifest(rows)}), k, "rows of boards are not those"},
		"a part missing":   {forged(t, k, good, [2]string{"tables/boards/000002.copy", "1\n"}, [2]string{manifestName, manifest(rows)}), k, "a part before"},
		"unknown table":    {forged(t, k, good, [2]string{"tables/pg_authid/000001.copy", "1\n"}), k, "does not belong"},
		"another order":    {forged(t, k, good, [2]string{"tables/hosts/000001.copy", "1\n"}, [2]string{"tables/boards/000001.copy", "1\n"}), k, "does not belong"},
		"a file too many":  {forged(t, k, good, [2]string{"tables/boards/000001.copy", "1\n2\n"}, [2]string{"files/x", "1"}, [2]string{manifestName, manifest(rows)}), k, "its files are not those"},
		"something else":   {forged(t, k, good, [2]string{"etc/passwd", "1"}), k, "nothing that a backup holds"},
		"after its end":    {forged(t, k, good, [2]string{"tables/boards/000001.copy", "1\n2\n"}, [2]string{manifestName, manifest(rows)}, [2]string{"files/x", "1"}), k, "follows the manifest"},
		"a table's rename": {forged(t, k, head(func(h *Header) { h.Tables[0].Name = "Boards; DROP" })), k, "no table of Shingle"},
	} {
		if _, _, err := Check(bytes.NewReader(c.data), c.keys); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"", "# only a remark", "hunter2", "AGE-SECRET-KEY-1XYZ", public + ",nonsense"} {
		_, err := ParseKeys(text)
		if !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "XYZ") {
			t.Errorf("key %q: %v", text, err)
		}
	}
}

// Wherever a backup is cut or changed, a restore from a pipe leaves nothing.
func TestDamageLeavesNothing(t *testing.T) {
	t.Parallel()
	k := keys(t)
	_, s := source(t, k)
	data := written(t, s)
	for i := range 40 {
		at := (len(data) - 1) * i / 39
		if _, _, err := Check(bytes.NewReader(data[:at]), k); !fault.Is(err, fault.Invalid) {
			t.Errorf("cut at %d of %d: %v", at, len(data), err)
		}
		other := bytes.Clone(data)
		other[at] ^= 0x10
		if _, _, err := Check(bytes.NewReader(other), k); !fault.Is(err, fault.Invalid) {
			t.Errorf("changed at %d of %d: %v", at, len(data), err)
		}
	}
	empty, files := testkit.EmptyPostgres(t), bucket(t)
	super := empty.Open(t, empty.Superuser, 1)
	left := func(what string, err error) {
		t.Helper()
		if err == nil {
			t.Errorf("%s: no error", what)
		}
		if n := one(t, super, `SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname NOT LIKE 'bun_%'`); n != 0 {
			t.Errorf("%s leaves %d tables", what, n)
		}
		if got := filesOf(t, files); len(got) != 0 {
			t.Errorf("%s leaves %d files", what, len(got))
		}
	}
	to := target(empty, files, k)
	_, err := to.Restore(t.Context(), bytes.NewReader(data[:len(data)-1]))
	left("cut at the end", err)
	_, err = to.Restore(t.Context(), bytes.NewReader(data[:len(data)/3]))
	left("cut in the middle", err)
	// The server ends the connection while rows come.
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := to.Restore(t.Context(), r)
		r.CloseWithError(err)
		done <- err
	}()
	if _, err := w.Write(data[:len(data)/2]); err != nil {
		t.Fatal(err)
	}
	if n := one(t, super, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`); n == 0 {
		t.Fatal("nobody was connected")
	}
	_, _ = w.Write(data[len(data)/2:])
	_ = w.Close()
	left("a connection that ends", <-done)
	// Told to end.
	ctx, cancel := context.WithCancel(t.Context())
	_, err = to.Restore(ctx, &after{r: bytes.NewReader(data), n: len(data) / 2, do: cancel})
	left("an interrupt", err)
	if _, err := to.Restore(t.Context(), bytes.NewReader(data)); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

// after does something once n bytes were read.
type after struct {
	r  io.Reader
	n  int
	do func()
}

func (a *after) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	if a.n -= n; a.n < 0 {
		a.do()
	}
	return n, err
}

// full is a disk with so many bytes left.
type full struct{ left int }

func (f *full) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, syscall.ENOSPC
	}
	return len(p), nil
}

func TestADiskThatIsFull(t *testing.T) {
	t.Parallel()
	k := keys(t)
	_, s := source(t, k)
	for _, left := range []int{0, 100, 300_000, 3 << 20} {
		if _, err := s.Write(t.Context(), &full{left}); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%d bytes left: %v", left, err)
		}
	}
}

// A table that row level security hides would be saved as an empty one.
func TestWhatIsHiddenIsNotBackedUp(t *testing.T) {
	t.Parallel()
	k := keys(t)
	w, s := source(t, k)
	super := w.PG.Open(t, w.PG.Superuser, 1)
	for _, q := range []string{
		`DROP POLICY platform ON applications`,
		`CREATE POLICY platform ON applications TO shingle_platform USING (name <> '')`,
		`DROP POLICY platform ON applications; CREATE POLICY platform ON applications TO shingle_platform USING (true); CREATE POLICY less ON applications AS RESTRICTIVE USING (name <> '')`,
		`DROP POLICY less ON applications; REVOKE SELECT ON applications FROM shingle_platform`,
	} {
		if _, err := super.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write(t.Context(), io.Discard); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "every row of applications") {
			t.Errorf("after %s: %v", q, err)
		}
	}
}

// Rows and their references are of one moment, whatever is written meanwhile.
func TestOneSnapshot(t *testing.T) {
	t.Parallel()
	k := keys(t)
	w, s := source(t, k)
	super := w.PG.Open(t, w.PG.Superuser, 1)
	n := one(t, super, `SELECT count(*) FROM people`)
	once := false
	s.Progress = func(what string, _ int64) {
		if once {
			return
		}
		once = true
		if _, err := super.ExecContext(t.Context(), `DELETE FROM person_sessions; DELETE FROM people`); err != nil {
			t.Error(err)
		}
	}
	_, m, err := Check(bytes.NewReader(written(t, s)), k)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Tables["people"].Count; !once || int(got) != n {
		t.Errorf("%d people, want the %d of the beginning", got, n)
	}
}
