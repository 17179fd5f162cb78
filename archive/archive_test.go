package archive_test

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uptrace/bun"

	"shingle/archive"
	"shingle/internal/fault"
	"shingle/tenant"
)

// TestEveryTableIsDecided holds that each table of boards' rows travels or
// stays for a reason, and shows up in a person's own file or holds nobody.
func TestEveryTableIsDecided(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	super := p.PG.Open(t, p.PG.Superuser, 1)
	rows, err := super.QueryContext(t.Context(), `SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
		WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	there := map[string]bool{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		there[name] = true
		travels := slices.ContainsFunc(archive.Tables, func(x archive.Table) bool { return x.Name == name })
		if travels == (archive.Left[name] != "") {
			t.Errorf("%s: say in archive/tables.go whether a board takes it along (Tables) or why not (Left)", name)
		}
	}
	if err := rows.Err(); err != nil || len(there) < 35 {
		t.Fatalf("%d tables: %v", len(there), err)
	}
	var all map[string][]string
	err = p.World.DB.Read(p.ctx(t, p.Board(t, "x")), func(ctx context.Context, tx bun.IDB) error {
		cols, err := archive.Catalogue(ctx, tx)
		all = map[string][]string{}
		for name, cs := range cols {
			for _, c := range cs {
				all[name] = append(all[name], c.Name+" "+c.Type)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range append(slices.Clone(archive.Tables), archive.PersonLeft...) {
		if !there[x.Name] {
			t.Errorf("%s is no table of boards' rows", x.Name)
		}
		if (x.Person == "") == (x.Nobody == "") {
			t.Errorf("%s: say whose rows are whose (Person), or why they are nobody's (Nobody)", x.Name)
		}
		named := slices.Concat(x.Drop, x.Files, x.Operators, x.IDs, x.PersonDrop)
		for c, kind := range x.Actors {
			named = append(named, c, kind)
		}
		for c := range x.FilesIn {
			named = append(named, c)
		}
		for _, c := range named {
			if !slices.ContainsFunc(all[x.Name], func(have string) bool { return strings.HasPrefix(have, c+" ") }) {
				t.Errorf("%s has no column %s", x.Name, c)
			}
		}
		// What looks like somebody of the platform, or like a file, is said to be one.
		for _, c := range all[x.Name] {
			name, typ, _ := strings.Cut(c, " ")
			if typ == "uuid" && strings.HasSuffix(name, "_by") && !slices.Contains(x.Operators, name) || typ == "uuid" && (name == "actor_id" || name == "author_id") && x.Actors[name] == "" {
				t.Errorf("%s.%s: an operator's id keeps; say so", x.Name, name)
			}
			if typ == "text" && (strings.HasSuffix(name, "_key") || name == "next_logo") && !slices.Contains(x.Files, name) {
				t.Errorf("%s.%s: is it a file's key?", x.Name, name)
			}
			if typ == "bytea" && name != "withdraw_hash" && name != "confirm_hash" && name != "stop_hash" && !slices.Contains(x.PersonDrop, name) {
				t.Errorf("%s.%s: may these bytes leave?", x.Name, name)
			}
		}
	}
}

// TestABoardComesBackAsItself: into an empty installation, and out of it again.
func TestABoardComesBackAsItself(t *testing.T) {
	t.Parallel()
	here, there := newPlace(t), newPlace(t)
	b := here.fill(t, "acme")
	first, m := here.export(t, b, archive.Options{})
	for _, x := range archive.Tables {
		if m.Tables[x.Name].Count == 0 {
			t.Errorf("the test's board has no row in %s", x.Name)
		}
	}
	for _, secret := range []string{"open-sesame", "deadbeef", "feedface", "argon2id", "sealed-secret", "acct_acme"} {
		for _, e := range unpack(t, first) {
			if bytes.Contains(e.data, []byte(secret)) {
				t.Errorf("%s holds %q", e.Name, secret)
			}
		}
	}
	got, err := there.Restore(t.Context(), bytes.NewReader(first), archive.Restoring{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Board.ID != b.ID || !got.Kept {
		t.Errorf("board %s, want %s with its ids", got.Board.ID, b.ID)
	}
	back := there.bySlug(t, "acme")
	if back.State != tenant.Suspended || !back.Private() || back.Based() {
		t.Errorf("restored as %s, private %v, based %v", back.State, back.Private(), back.Based())
	}
	// The log says that it was restored, and is longer by that.
	second, _ := there.export(t, back, archive.Options{})
	h1, f1, r1 := content(t, first)
	h2, f2, r2 := content(t, second)
	r2["audit_log"] = slices.DeleteFunc(r2["audit_log"], func(row string) bool { return strings.Contains(row, `"board.restored"`) })
	if len(r2["audit_log"]) != 1 {
		t.Errorf("audit log: %v", r2["audit_log"])
	}
	if d := cmp.Diff(r1, r2); d != "" {
		t.Errorf("rows differ:\n%s", d)
	}
	if d := cmp.Diff(f1, f2); d != "" || len(f1) != 5 {
		t.Errorf("%d files differ:\n%s", len(f1), d)
	}
	if d := cmp.Diff(h1.Board, h2.Board); d != "" {
		t.Errorf("board differs:\n%s", d)
	}
	if d := cmp.Diff(h1.Roles, h2.Roles); d != "" || len(h1.Roles) != 1 {
		t.Errorf("roles differ:\n%s", d)
	}
	if len(h1.Team) != 1 || len(h2.Team) != 0 {
		t.Errorf("the team was %v and came as %v: nobody is let in by a file", h1.Team, h2.Team)
	}
	if !slices.Equal(h1.Hosts, []string{"jobs.acme.example"}) || h1.MailDomain != "mail.acme.example" || len(h2.Hosts) != 0 || h2.MailDomain != "" {
		t.Errorf("hosts %v %s, then %v %s", h1.Hosts, h1.MailDomain, h2.Hosts, h2.MailDomain)
	}
}

// TestACopyBesideTheOriginal has new ids wherever an id stands, and all that
// refers to them.
func TestACopyBesideTheOriginal(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	b := p.fill(t, "acme")
	first, _ := p.export(t, b, archive.Options{})
	got, err := p.Restore(t.Context(), bytes.NewReader(first), archive.Restoring{Slug: "copy", Owner: "New@Owner.example", Open: true})
	if err != nil {
		t.Fatal(err)
	}
	if got.Board.ID == b.ID || got.Kept {
		t.Fatal("two boards with one id")
	}
	if untouched, _ := p.export(t, b, archive.Options{}); !sameRows(t, first, untouched) {
		t.Error("the original changed")
	}
	c := p.bySlug(t, "copy")
	if c.State != tenant.Active {
		t.Errorf("state %s", c.State)
	}
	second, _ := p.export(t, c, archive.Options{})
	h1, f1, r1 := content(t, first)
	h2, f2, r2 := content(t, second)
	if len(h2.Team) != 1 || h2.Team[0].Email != "new@owner.example" {
		t.Errorf("the team is %v", h2.Team)
	}
	operator := h1.Team[0].ID.String()
	const elsewhere = "0190a0aa-1111-7222-8333-444455556666"
	turn := func(s string) string {
		return archive.UUIDs.ReplaceAllStringFunc(s, func(id string) string {
			switch id {
			case operator, elsewhere:
				return id
			case b.ID.String():
				return c.ID.String()
			}
			return archive.Remap(c.ID, parse(t, id)).String()
		})
	}
	r2["audit_log"] = slices.DeleteFunc(r2["audit_log"], func(row string) bool { return strings.Contains(row, `"board.restored"`) })
	for name, rows := range r1 {
		for i, row := range rows {
			if name != "mails" && name != "audit_log" {
				row = strings.ReplaceAll(row, "//acme.localhost:8080/", "//copy.localhost:8080/")
			}
			rows[i] = turn(row)
		}
		slices.Sort(rows)
		slices.Sort(r2[name])
	}
	if d := cmp.Diff(r1, r2); d != "" {
		t.Errorf("rows differ:\n%s", d)
	}
	for name, data := range f1 {
		if f2[turn(name)] != data {
			t.Errorf("%s did not come along", name)
		}
	}
	// Nothing of the original is named any more, but its people of the platform.
	for _, e := range unpack(t, second) {
		if e.Name == "shingle.json" || strings.HasPrefix(e.Name, "tables/audit_log") { // the line that says where it came from
			continue
		}
		for _, id := range archive.UUIDs.FindAllString(e.Name+string(e.data), -1) {
			if id != operator && id != elsewhere && strings.Contains(string(join(first, t)), id) {
				t.Errorf("%s still names %s", e.Name, id)
			}
		}
	}
	if !strings.Contains(strings.Join(r2["pages"], ""), "http://acme.localhost.evil.example/") {
		t.Error("a link to somebody else was changed")
	}
}

func join(raw []byte, t *testing.T) []byte {
	var b bytes.Buffer
	for _, e := range unpack(t, raw) {
		b.WriteString(e.Name)
		b.Write(e.data)
	}
	return b.Bytes()
}

func sameRows(t *testing.T, a, b []byte) bool {
	_, fa, ra := content(t, a)
	_, fb, rb := content(t, b)
	return cmp.Equal(ra, rb) && cmp.Equal(fa, fb)
}

// TestAnExportHoldsOneBoardAlone: a rival fills the same database.
func TestAnExportHoldsOneBoardAlone(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	ours, rival := p.fill(t, "ours"), p.fill(t, "rival")
	raw, m := p.export(t, ours, archive.Options{})
	if n := m.Tables["listings"].Count; n != 1 {
		t.Errorf("%d listings", n)
	}
	if all := join(raw, t); bytes.Contains(all, []byte("rival")) || bytes.Contains(all, []byte(rival.ID.String())) {
		t.Error("the rival is in our archive")
	}
	// Even where our own condition is wrong, the wall keeps the rival's rows out.
	err := p.World.DB.Snapshot(p.ctx(t, ours), func(ctx context.Context, tx bun.IDB) error {
		var n int
		if err := tx.NewRaw(`SELECT count(*) FROM listings`).Scan(ctx, &n); err != nil || n != 1 {
			t.Errorf("%d rows behind the wall: %v", n, err)
		}
		_, err := tx.NewRaw(`UPDATE listings SET title = 'x'`).Exec(ctx)
		if err == nil {
			t.Error("a snapshot was written in")
		}
		return nil
	})
	if err == nil {
		t.Log("the transaction ended by itself")
	}
	if _, err := p.Export(t.Context(), &bytes.Buffer{}, archive.Options{}); !fault.Is(err, fault.Internal) {
		t.Errorf("an export of no board: %v", err)
	}
}

func TestWithoutApplications(t *testing.T) {
	t.Parallel()
	here, there := newPlace(t), newPlace(t)
	raw, m := here.export(t, here.fill(t, "acme"), archive.Options{WithoutApplications: true})
	h, files, rows := content(t, raw)
	if len(rows["applications"])+len(rows["application_replies"]) > 0 || m.Files.Count != 4 || len(files) != 4 || !slices.Equal(h.Without, []string{"applications"}) {
		t.Errorf("applications %v, files %d, without %v", rows["applications"], len(files), h.Without)
	}
	if _, err := there.Restore(t.Context(), bytes.NewReader(raw), archive.Restoring{}); err != nil {
		t.Error(err)
	}
}

// TestTheTeamIsAskedOnlyWhenThatIsWanted: nobody gets rights by a file.
func TestTheTeamIsAskedOnlyWhenThatIsWanted(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	raw, _ := p.export(t, p.fill(t, "acme"), archive.Options{})
	got, err := p.Restore(t.Context(), bytes.NewReader(raw), archive.Restoring{Slug: "copy", Invite: true})
	if err != nil {
		t.Fatal(err)
	}
	err = p.World.Platform.Read(t.Context(), func(ctx context.Context, tx bun.IDB) error {
		var grants, invitations int
		if err := tx.NewRaw(`SELECT (SELECT count(*) FROM casbin_rules WHERE tenant_id = ? AND ptype = 'g'), (SELECT count(*) FROM operator_tokens WHERE board_id = ? AND kind = 'invite' AND email = 'owner@acme.example')`,
			got.Board.ID, got.Board.ID).Scan(ctx, &grants, &invitations); err != nil {
			return err
		}
		if grants != 0 || invitations != 1 {
			t.Errorf("%d grants, %d invitations", grants, invitations)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// rewrite changes an archive's entries and signs it anew: what an enemy can do.
func rewrite(t *testing.T, raw []byte, change func(name string, data []byte) (string, []byte)) []byte {
	t.Helper()
	var out bytes.Buffer
	w := archive.Forge(&out, time0)
	parts := map[string]int{}
	for _, e := range unpack(t, raw) {
		name, data := change(e.Name, e.data)
		p := strings.Split(name, "/")
		var err error
		switch {
		case name == "" || name == "manifest.json":
		case p[0] == "tables":
			parts[p[1]]++
			err = w.Part(p[1], parts[p[1]], int64(bytes.Count(data, []byte("\n"))), data)
		case p[0] == "files":
			err = w.File(strings.TrimPrefix(name, "files/"), data)
		default:
			err = w.Put(name, data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// inTable changes the rows of one table.
func inTable(table string, change func(row map[string]any)) func(string, []byte) (string, []byte) {
	return func(name string, data []byte) (string, []byte) {
		if !strings.HasPrefix(name, "tables/"+table+"/") {
			return name, data
		}
		var out bytes.Buffer
		for line := range strings.SplitSeq(strings.TrimSpace(string(data)), "\n") {
			var row map[string]any
			_ = json.Unmarshal([]byte(line), &row)
			change(row)
			raw, _ := json.Marshal(row)
			out.Write(append(raw, '\n'))
		}
		return name, out.Bytes()
	}
}
