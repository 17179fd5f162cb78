package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"shingle/archive"
	"shingle/internal/fault"
)

var time0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// TestHostileArchives are refused in words, by the dry run and by the restore,
// and leave nothing: no board, no row, no file.
func TestHostileArchives(t *testing.T) {
	t.Parallel()
	here, there := newPlace(t), newPlace(t)
	good, _ := here.export(t, here.fill(t, "acme"), archive.Options{})
	other := here.fill(t, "other")
	set := func(table, column string, v any) []byte {
		return rewrite(t, good, inTable(table, func(row map[string]any) { row[column] = v }))
	}
	replace := func(in, old, new string) []byte {
		return rewrite(t, good, func(name string, data []byte) (string, []byte) {
			if name == in {
				if !bytes.Contains(data, []byte(old)) {
					t.Fatalf("%s has no %q", in, old)
				}
				data = bytes.ReplaceAll(data, []byte(old), []byte(new))
			}
			return name, data
		})
	}
	rename := func(from, to string) []byte {
		return rewrite(t, good, func(name string, data []byte) (string, []byte) {
			if strings.HasPrefix(name, from) {
				name = to
			}
			return name, data
		})
	}
	flip := bytes.Clone(good)
	flip[len(flip)/2] ^= 0xff
	for name, tt := range map[string]struct {
		raw  []byte
		want string
		// late ones pass the dry run: only the database knows.
		late bool
	}{
		"nothing":                {nil, "cut short", false},
		"no archive":             {[]byte("PK\x03\x04 a zip, perhaps, of a kind"), "no archive", false},
		"cut short":              {good[:len(good)*3/4], "cut short", false},
		"cut at its end":         {good[:len(good)-6], "cut short", false},
		"without manifest":       {noManifest(t, good), "cut short", false},
		"one bit":                {flip, "", false},
		"another checksum":       {raw(t, good, func(h *tar.Header, _ *[]byte) { h.PAXRecords["SHINGLE.sha256"] = strings.Repeat("0", 64) }), "checksum", false},
		"rows gone":              {raw(t, good, drop("tables/listings/")), "not those of its manifest|missing", false},
		"a file gone":            {raw(t, good, drop("files/cv/")), "not those of its manifest", false},
		"path traversal":         {rename("files/cv/", "files/../../../etc/passwd"), "nothing that an archive", false},
		"an absolute path":       {rename("files/cv/", "files//etc/cron.d/x"), "nothing that an archive", false},
		"another board's folder": {rename("files/cv/", "files/"+other.ID.String()+"/cv/a.pdf"), "nothing that an archive", false},
		"a link": {raw(t, good, func(h *tar.Header, d *[]byte) {
			h.Typeflag, h.Linkname, h.Size, *d = tar.TypeSymlink, "/etc/passwd", 0, nil
		}), "no plain file", false},
		"a bomb":                  {bomb(t, good), "unfolds", false},
		"an entry without end":    {huge(t), "larger", false},
		"newer":                   {replace("shingle.json", `"format": 1`, `"format": 2`), "format 2", false},
		"unknown in the header":   {replace("shingle.json", `"format": 1`, `"format": 1, "more": true`), "cannot be read", false},
		"unknown table":           {replace("shingle.json", `"table": "people"`, `"table": "operators"`), "none that a board brings", false},
		"a table that stays":      {replace("shingle.json", `"table": "people"`, `"table": "stripe_accounts"`), "none that a board brings", false},
		"unknown column":          {replace("shingle.json", `"tagline",`, `"tagline", "evil\"; DROP TABLE boards; --",`), "not known here", false},
		"a column that stays":     {replace("shingle.json", `"message_id",`, `"message_id", "payload",`), "not known here", false},
		"a foreign board":         {set("people", "tenant_id", other.ID.String()), "names a board", false},
		"a foreign row":           {set("listings", "company_id", "0190a0aa-1111-7222-8333-444455556666"), "not as they must be", true},
		"a state nobody knows":    {set("listings", "state", "super"), "not as they must be", true},
		"a foreign file":          {set("applications", "cv_key", other.ID.String()+"/cv/a.pdf"), "names a file", false},
		"a file above":            {set("companies", "logo_key", "../x/logos/a.png"), "names a file", false},
		"a column too many":       {set("pages", "owner", "x"), "has not", false},
		"a script for a link":     {set("listings", "apply_target", "javascript:alert(1)"), "no web address", false},
		"a script for a website":  {set("companies", "website", "javascript:alert(1)"), "no web address", false},
		"a redirect to a scheme":  {set("redirects", "target", "javascript:alert(1)"), "no address", false},
		"a look of nobody's pack": {replace("tables/looks/000001.ndjson", `"harbor"`, `"nobody"`), "looks must", false},
		"a log of tomorrow":       {set("audit_log", "at", "2099-01-01T00:00:00Z"), "younger", false},
		"a script for a CV":       {file(t, good, "files/cv/", "<script>alert(1)</script>"), "no CV", false},
		"a program for a logo":    {file(t, good, "files/logos/", "MZ not a picture"), "picture|holds more", false},
		"a role beyond all":       {replace("shingle.json", `"page.write"`, `"board.fee"`), "refused|permission", true},
		"no row":                  {replace("tables/pages/000001.ndjson", "{", "["), "cannot be read", false},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := there.Check(t.Context(), bytes.NewReader(tt.raw))
			if !tt.late && !refusedWith(err, tt.want) {
				t.Errorf("the dry run says %v, want %q", err, tt.want)
			}
			_, err = there.Restore(t.Context(), bytes.NewReader(tt.raw), archive.Restoring{})
			if !refusedWith(err, tt.want) {
				t.Errorf("the restore says %v, want %q", err, tt.want)
			}
			if n, files := there.boards(t); n != 0 || files != 0 {
				t.Fatalf("%d boards and %d files were left", n, files)
			}
		})
	}
	if _, _, err := there.Check(t.Context(), bytes.NewReader(good)); err != nil {
		t.Errorf("the good one: %v", err)
	}
	if n, files := there.boards(t); n != 0 || files != 0 {
		t.Errorf("the dry run made %d boards, %d files", n, files)
	}
}

func refusedWith(err error, want string) bool {
	if !fault.Is(err, fault.Invalid) || err == nil {
		return false
	}
	for w := range strings.SplitSeq(want, "|") {
		if strings.Contains(err.Error(), w) {
			return true
		}
	}
	return false
}

// TestTypedHTMLIsMadeSafeAgain: what a form would have cleaned, a restore cleans.
func TestTypedHTMLIsMadeSafeAgain(t *testing.T) {
	t.Parallel()
	here, there := newPlace(t), newPlace(t)
	good, _ := here.export(t, here.fill(t, "acme"), archive.Options{})
	const evil = `<p onclick="x()">Hi<script>alert(1)</script><img src=x onerror=alert(2)></p>`
	raw := rewrite(t, rewrite(t, good, inTable("listings", func(row map[string]any) { row["description"] = evil })),
		inTable("companies", func(row map[string]any) { row["about"] = evil }))
	raw = rewrite(t, raw, inTable("listing_revisions", func(row map[string]any) { row["content"].(map[string]any)["description"] = evil }))
	got, err := there.Restore(t.Context(), bytes.NewReader(raw), archive.Restoring{})
	if err != nil {
		t.Fatal(err)
	}
	err = there.World.DB.Read(there.ctx(t, got.Board), func(ctx context.Context, tx bun.IDB) error {
		var description, about, revision string
		err := tx.NewRaw(`SELECT (SELECT description FROM listings), (SELECT about FROM companies), (SELECT content->>'description' FROM listing_revisions)`).Scan(ctx, &description, &about, &revision)
		for _, s := range []string{description, about, revision} {
			if s != "<p>Hi</p>" {
				t.Errorf("came in as %q", s)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestARestoreMeetsWhatIsThere: the address, and a mail's id of another board.
func TestARestoreMeetsWhatIsThere(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	b := p.fill(t, "acme")
	good, _ := p.export(t, b, archive.Options{})
	if _, err := p.Restore(t.Context(), bytes.NewReader(good), archive.Restoring{}); !fault.Is(err, fault.Conflict) {
		t.Errorf("over the original: %v", err)
	}
	if _, err := p.Restore(t.Context(), bytes.NewReader(good), archive.Restoring{Slug: "-no-"}); !fault.Is(err, fault.Invalid) {
		t.Errorf("an address that is none: %v", err)
	}
	if _, err := p.Restore(t.Context(), bytes.NewReader(good), archive.Restoring{Slug: "copy", Owner: "nobody"}); !fault.Is(err, fault.Invalid) {
		t.Errorf("an owner that is none: %v", err)
	}
	// A free board id and the ids of somebody's mails.
	forged := rewrite(t, good, func(name string, data []byte) (string, []byte) {
		if name == "shingle.json" {
			data = bytes.ReplaceAll(data, []byte(b.ID.String()), []byte("0190a0aa-1111-7222-8333-444455556666"))
		}
		return name, data
	})
	if _, err := p.Restore(t.Context(), bytes.NewReader(forged), archive.Restoring{Slug: "copy"}); !refusedWith(err, "--new-ids") {
		t.Errorf("another board's ids: %v", err)
	}
	before, files := p.boards(t)
	if before != 1 || files != 5 {
		t.Errorf("%d boards, %d files", before, files)
	}
	if _, err := p.Restore(t.Context(), bytes.NewReader(forged), archive.Restoring{Slug: "copy", NewIDs: true}); err != nil {
		t.Errorf("with new ids: %v", err)
	}
}

func TestNoHalfFileStandsUnderItsName(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.tar.gz")
	boom := errors.New("boom")
	if err := archive.ToFile(path, func(w io.Writer) error { _, _ = w.Write([]byte("half")); return boom }); !errors.Is(err, boom) {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 0 {
		t.Errorf("%d files left: %v", len(left), err)
	}
	if err := archive.ToFile(path, func(w io.Writer) error { _, err := w.Write([]byte("whole")); return err }); err != nil {
		t.Fatal(err)
	}
	if i, err := os.Stat(path); err != nil || i.Mode().Perm() != 0o600 || i.Size() != 5 {
		t.Errorf("%v %v", i, err)
	}
}

// raw changes headers and data and keeps the manifest as it was.
func raw(t *testing.T, good []byte, change func(h *tar.Header, data *[]byte)) []byte {
	t.Helper()
	var out bytes.Buffer
	gz := gzip.NewWriter(&out)
	w := tar.NewWriter(gz)
	for _, e := range unpack(t, good) {
		h := e.Header
		h.Format = tar.FormatPAX
		if e.Name != "shingle.json" && e.Name != "manifest.json" {
			change(&h, &e.data)
		}
		if h.Name == "" {
			continue
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(e.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), gz.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func drop(prefix string) func(*tar.Header, *[]byte) {
	return func(h *tar.Header, _ *[]byte) {
		if strings.HasPrefix(h.Name, prefix) {
			h.Name = ""
		}
	}
}

func file(t *testing.T, good []byte, prefix, data string) []byte {
	return rewrite(t, good, func(name string, old []byte) (string, []byte) {
		if strings.HasPrefix(name, prefix) {
			return name, []byte(data)
		}
		return name, old
	})
}

func noManifest(t *testing.T, good []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := archive.Forge(&out, time0)
	for _, e := range unpack(t, good) {
		if e.Name != "manifest.json" {
			if err := w.Put(e.Name, e.data); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// bomb unfolds some two hundred kilobytes to rows of blanks without end.
func bomb(t *testing.T, good []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := archive.Forge(&out, time0)
	if err := w.Put("shingle.json", unpack(t, good)[0].data); err != nil {
		t.Fatal(err)
	}
	row := append(append([]byte("{"), bytes.Repeat([]byte(" "), 30<<20)...), "}\n"...)
	for n := range 4 {
		if err := w.Part("people", n+1, 1, row); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// huge is a header that promises a petabyte.
func huge(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	gz := gzip.NewWriter(&out)
	w := tar.NewWriter(gz)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "shingle.json", Size: 1 << 50, Format: tar.FormatPAX}); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err == nil {
		t.Fatal("tar wrote a petabyte")
	}
	if err := gz.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
