package redirects

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"shingle/internal/fault"
	"shingle/internal/testkit"
	"shingle/tenant"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var own = []string{"jobs.acme.test", "acme.localhost"}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		source, target string
		status         int
		from, leads    string
	}{
		{"/old", "/jobs", 0, "/old", "/jobs"},
		{"/old/", "/jobs?q=x", 301, "/old", "/jobs?q=x"},
		{"https://jobs.acme.test/a%20b", "https://JOBS.acme.test", 302, "/a b", "/"},
		{"/old/*", "/jobs/*", 301, "/old*", "/jobs/*"},
		{"/gone", "https://elsewhere.test/y", 301, "/gone", "https://elsewhere.test/y"},
		{"/gone", "", 410, "/gone", ""},
	} {
		r, err := Parse(c.source, c.target, c.status, own)
		if err != nil || r.From() != strings.ReplaceAll(c.from, "old*", "old*") && r.From() != c.from || r.Target != c.leads {
			t.Errorf("Parse(%q, %q) = %q to %q, %v, want %q to %q", c.source, c.target, r.From(), r.Target, err, c.from, c.leads)
		}
	}
	for _, c := range []struct {
		source, target string
		status         int
		field          string
	}{
		{"", "/x", 301, "source"}, {"old", "/x", 301, "source"}, {"/", "/x", 301, "source"}, {"/admin/x", "/x", 301, "source"}, {"/jobs", "/x", 301, "source"}, {"//evil.test", "/x", 301, "source"},
		{"https://elsewhere.test/x", "/x", 301, "source"}, {"/a?b=c", "/x", 301, "source"}, {"/a*b", "/x", 301, "source"},
		{"/old", "", 301, "target"}, {"/old", "//evil.test", 301, "target"}, {"/old", "javascript:alert(1)", 301, "target"}, {"/old", "http://elsewhere.test/", 301, "target"},
		{"/old", "https://u:p@elsewhere.test/", 301, "target"}, {"/old", "/y*", 301, "target"}, {"/old", "/y", 410, "target"}, {"/old", "/y", 307, "status"}, {"/old", `/\evil.test`, 301, "target"},
	} {
		if _, err := Parse(c.source, c.target, c.status, own); fault.FieldsOf(err)[c.field] == "" {
			t.Errorf("Parse(%q, %q, %d): %v, want a word about %s", c.source, c.target, c.status, err, c.field)
		}
	}
}

func TestCirclesAndChains(t *testing.T) {
	t.Parallel()
	p := newPlan(nil)
	add := func(source, target string) string {
		t.Helper()
		r, err := Parse(source, target, 301, own)
		if err != nil {
			t.Fatal(err)
		}
		return p.add(r)
	}
	for _, c := range []struct{ source, target, refused string }{
		{"/a", "/b", ""}, {"/b", "/c", ""}, {"/c", "/a", "redirect.loop"}, {"/self", "/self", "redirect.loop"}, {"/a", "/z", "redirect.source.taken"},
		{"/w/*", "/w/x", "redirect.loop"}, {"/old/*", "/new/*", ""}, {"/older/*", "/old/*", "redirect.chain"}, {"/p", "/old/job", ""}, {"/new/back", "/old/back", "redirect.loop"},
		{"/m", "/n/1", ""}, {"/n/*", "/m", "redirect.loop"}, {"/out", "https://elsewhere.test/", ""}, {"/in", "/out", ""},
	} {
		if key := add(c.source, c.target); strings.HasPrefix(key, "redirect.loop") && key != "redirect.loop|"+c.source+"|"+c.target && !strings.Contains(c.source, "*") {
			t.Errorf("%s to %s is told as %q", c.source, c.target, key)
		} else if !strings.HasPrefix(key, c.refused) || (key == "") != (c.refused == "") {
			t.Errorf("%s to %s: %q, want %q", c.source, c.target, key, c.refused)
		}
	}
	p.settle()
	for source, want := range map[string]string{"/a": "/c", "/b": "/c", "/p": "/new/job", "/in": "https://elsewhere.test/"} {
		if got := p.exact[source].Target; got != want {
			t.Errorf("%s leads to %s, want %s", source, got, want)
		}
	}
}

func TestLeads(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ source, target, path, query, want string }{
		{"/old", "/jobs", "/old", "a=b", "/jobs?a=b"}, {"/old", "/jobs?x=1", "/old", "a=b", "/jobs?x=1"}, {"/old/*", "/jobs/*", "/old/x/y", "", "/jobs/x/y"},
		{"/old/*", "/jobs", "/old/x", "", "/jobs"}, {"/old*", "/*", "/old//evil.test", "", "/evil.test"}, {"/old*", "/jobs*", "/oldies", "", "/jobsies"},
		{"/o/*", "https://elsewhere.test/*", "/o/a b", "", "https://elsewhere.test/a%20b"},
	} {
		r, err := Parse(c.source, c.target, 301, own)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Leads(c.path, c.query); got != c.want {
			t.Errorf("%s to %s: %s?%s leads to %s, want %s", c.source, c.target, c.path, c.query, got, c.want)
		}
	}
}

func FuzzNoTargetLeavesUnasked(f *testing.F) {
	f.Add("/old*", "/*", "/old//evil.test")
	f.Add("/a/*", "/b/*", "/a/%2f%2fevil.test")
	f.Fuzz(func(t *testing.T, source, target, path string) {
		r, err := Parse(source, target, 301, own)
		if err != nil || r.External() {
			return
		}
		if got := r.Leads(path, ""); strings.HasPrefix(got, "//") || strings.HasPrefix(got, `/\`) || !strings.HasPrefix(got, "/") {
			t.Errorf("%q to %q: %q leads to %q", source, target, path, got)
		}
	})
}

func TestStore(t *testing.T) {
	t.Parallel()
	w := testkit.NewWorld(t)
	board, rival := w.Board(t, "acme"), w.Board(t, "rival")
	s := &Store{Now: time.Now}
	in := func(b *tenant.Tenant, fn tenant.Fn) error { return w.DB.Write(w.Ctx(t, b), fn) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	save := func(source, target string, status int) *Redirect {
		t.Helper()
		r, err := Parse(source, target, status, own)
		must(err)
		must(in(board, func(ctx context.Context, tx bun.IDB) error { return s.Save(ctx, tx, r) }))
		return r
	}
	find := func(b *tenant.Tenant, path string) string {
		r := new(Redirect)
		err := w.DB.Read(w.Ctx(t, b), func(ctx context.Context, tx bun.IDB) (err error) {
			r, err = s.Find(ctx, tx, path)
			return err
		})
		if fault.Is(err, fault.NotFound) {
			return "none"
		}
		must(err)
		return fmt.Sprintf("%d %s", r.Status, r.Leads(path, ""))
	}
	old := save("/old", "/mid", 301)
	save("/mid", "/new", 302)
	save("/careers/*", "/jobs/*", 301)
	save("/careers/closed/*", "", 410)
	for path, want := range map[string]string{"/old": "301 /new", "/old/": "301 /new", "/mid": "302 /new", "/careers/42": "301 /jobs/42", "/careers/closed/9": "410 ", "/other": "none", "/": "none"} {
		if got := find(board, path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	t.Run("a rival reaches none", func(t *testing.T) {
		if got := find(rival, "/old"); got != "none" {
			t.Errorf("finds %s", got)
		}
		changed := *old
		changed.Scoped = tenant.Scoped{}
		for what, fn := range map[string]tenant.Fn{
			"save":    func(ctx context.Context, tx bun.IDB) error { return s.Save(ctx, tx, &changed) },
			"delete":  func(ctx context.Context, tx bun.IDB) error { return s.Delete(ctx, tx, old.ID) },
			"restore": func(ctx context.Context, tx bun.IDB) error { return s.Restore(ctx, tx, old.ID) },
			"read":    func(ctx context.Context, tx bun.IDB) error { _, err := s.ByID(ctx, tx, old.ID); return err },
		} {
			if err := in(rival, fn); !fault.Is(err, fault.NotFound) {
				t.Errorf("%s: %v", what, err)
			}
		}
		must(in(rival, func(ctx context.Context, tx bun.IDB) error {
			if list, n, err := s.List(ctx, tx, "", 1, 10); err != nil || n != 0 || len(list) != 0 {
				t.Errorf("lists %d, %v", n, err)
			}
			_, err := s.Import(ctx, tx, "/old,/mine", own)
			return err
		}))
		if got := find(board, "/old"); got != "301 /new" {
			t.Errorf("the owner's leads to %s", got)
		}
	})
	t.Run("deleted and brought back", func(t *testing.T) {
		must(in(board, func(ctx context.Context, tx bun.IDB) error { return s.Delete(ctx, tx, old.ID) }))
		if got := find(board, "/old"); got != "none" {
			t.Errorf("still leads to %s", got)
		}
		save("/old", "/taken", 301)
		if err := in(board, func(ctx context.Context, tx bun.IDB) error { return s.Restore(ctx, tx, old.ID) }); !fault.Is(err, fault.Conflict) {
			t.Errorf("over a newer one: %v", err)
		}
		must(in(board, func(ctx context.Context, tx bun.IDB) error {
			list, _, err := s.List(ctx, tx, "TAKEN", 1, 10)
			if err != nil || len(list) != 1 {
				return fmt.Errorf("search found %d: %w", len(list), err)
			}
			return s.Delete(ctx, tx, list[0].ID)
		}))
		must(in(board, func(ctx context.Context, tx bun.IDB) error { return s.Restore(ctx, tx, old.ID) }))
		if got := find(board, "/old"); got != "301 /new" {
			t.Errorf("leads to %s", got)
		}
	})
	t.Run("a map, tried and kept", func(t *testing.T) {
		const csv = "Old address;New address;Status\n/a;/b\n/b;/c;301\n/c;/a\n/old;/else\n/mid;/new;302\nnonsense;/x\n/out;https://elsewhere.test/;308\n/gone;;410\n/x;/y;999\n"
		var rep *Report
		must(in(board, func(ctx context.Context, tx bun.IDB) (err error) { rep, err = s.Check(ctx, tx, csv, own); return err }))
		want := map[int]string{2: "changed", 3: "good", 4: "bad", 5: "bad", 6: "known", 7: "bad", 8: "good", 9: "good", 10: "bad"}
		for _, l := range rep.Lines {
			if l.State != want[l.N] {
				t.Errorf("line %d (%s) is %s %v, want %s", l.N, l.Source, l.State, l.Notes, want[l.N])
			}
		}
		if rep.Good != 4 || rep.Bad != 4 || rep.Known != 1 || rep.External != 1 {
			t.Errorf("counts %d good %d bad %d known %d external", rep.Good, rep.Bad, rep.Known, rep.External)
		}
		if got := find(board, "/a"); got != "none" {
			t.Errorf("the trial kept %s", got)
		}
		must(in(board, func(ctx context.Context, tx bun.IDB) (err error) { rep, err = s.Import(ctx, tx, csv, own); return err }))
		for path, want := range map[string]string{"/a": "301 /c", "/b": "301 /c", "/c": "none", "/out": "301 https://elsewhere.test/", "/gone": "410 "} {
			if got := find(board, path); got != want {
				t.Errorf("%s: %s, want %s", path, got, want)
			}
		}
	})
	t.Run("a large map in good time", func(t *testing.T) {
		var b strings.Builder
		for i := range 15_000 {
			fmt.Fprintf(&b, "/legacy/%d,/legacy/%d\n", i, i+1)
		}
		begun := time.Now()
		var rep *Report
		must(in(board, func(ctx context.Context, tx bun.IDB) (err error) {
			rep, err = s.Import(ctx, tx, b.String(), own)
			return err
		}))
		t.Logf("15,000 lines, one chain: %d good, %d bad in %s", rep.Good, rep.Bad, time.Since(begun).Round(time.Millisecond))
		if rep.Bad > 0 || time.Since(begun) > 30*time.Second {
			t.Errorf("%d bad, the first: %v", rep.Bad, rep.Lines[len(rep.Lines)-1].Notes)
		}
		if got := find(board, "/legacy/0"); got != "301 /legacy/15000" {
			t.Errorf("the chain's first leads to %s", got)
		}
	})
}
