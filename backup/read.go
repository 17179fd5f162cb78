package backup

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"

	"filippo.io/age"

	"shingle/internal/fault"
	"shingle/migrations"
)

var (
	tablePart = regexp.MustCompile(`^tables/([a-z][a-z0-9_]{0,62})/([0-9]{6,})\.copy$`)
	nameForm  = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)
)

// visit is told what a backup holds, in its order. Nil functions pass over.
type visit struct {
	header func(*Header) error
	part   func(table string, rows io.Reader) error
	file   func(name string, about *tar.Header, data io.Reader) error
}

// Check reads a whole backup and holds every checksum, writing nothing. Kind:
// fault.Invalid, with words for what is wrong.
func Check(r io.Reader, k *Keys) (*Header, *Manifest, error) { return walk(r, k, visit{}) }

// broken turns what decryption, decompression and tar say into our words; the
// errors of whoever is told are none of its business.
type broken struct{ r io.Reader }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = damaged(err)
	}
	return n, err
}

func damaged(err error) error {
	if fault.Is(err, fault.Invalid) {
		return err
	}
	return bad("it is cut short or was altered")
}

// walk reads a backup once, in constant memory. What it tells of comes before
// the whole was seen: use it only when walk ends without an error.
func walk(r io.Reader, k *Keys, v visit) (*Header, *Manifest, error) {
	if !k.Opens() {
		return nil, nil, fault.New(fault.Invalid, "SHINGLE_BACKUP_KEY is a public key: to open a backup set the private one (AGE-SECRET-KEY-1…)")
	}
	plain, err := age.Decrypt(bufio.NewReaderSize(r, 1<<16), k.identities...)
	if err != nil {
		var none *age.NoIdentityMatchError
		if errors.As(err, &none) {
			return nil, nil, bad("it was made with another SHINGLE_BACKUP_KEY")
		}
		return nil, nil, bad("it is no backup of Shingle, or its beginning is damaged")
	}
	gz, err := gzip.NewReader(broken{plain})
	if err != nil {
		return nil, nil, damaged(err)
	}
	gz.Multistream(false)
	unfolded := broken{gz}
	t := tar.NewReader(unfolded)
	head := new(Header)
	h, err := next(t)
	if err != nil {
		return nil, nil, err
	}
	if err := entryJSON(t, h, headerName, head); err != nil {
		return nil, nil, err
	}
	if err := head.check(); err != nil {
		return nil, nil, err
	}
	if v.header != nil {
		if err := v.header(head); err != nil {
			return nil, nil, err
		}
	}
	got := &reading{head: head, tables: map[string]*tally{}, files: newFileTally(), place: -1}
	for {
		if h, err = next(t); err != nil {
			return nil, nil, err
		}
		if h.Name == manifestName {
			break
		}
		if err := got.entry(h, t, v); err != nil {
			return nil, nil, err
		}
	}
	m := new(Manifest)
	if err := entryJSON(t, h, manifestName, m); err != nil {
		return nil, nil, err
	}
	if err := got.holds(m); err != nil {
		return nil, nil, err
	}
	// To the end, so that nothing follows and the last piece proves itself.
	if h, err := t.Next(); err == nil {
		return nil, nil, bad("%q follows the manifest", clip(h.Name))
	} else if !errors.Is(err, io.EOF) {
		return nil, nil, damaged(err)
	}
	if _, err := io.Copy(io.Discard, unfolded); err != nil {
		return nil, nil, err
	}
	if n, err := io.Copy(io.Discard, broken{plain}); err != nil || n > 0 {
		return nil, nil, damaged(err)
	}
	return head, m, nil
}

// check refuses what this program cannot restore.
func (h *Header) check() error {
	if h.Format != Format {
		return bad("it has format %d and this program reads format %d: restore it with the version that made it (%s), or a newer one", h.Format, Format, clip(h.Version))
	}
	known := migrations.Names()
	for _, name := range h.Schema {
		if !slices.Contains(known, name) {
			return bad("its schema is newer than this program (migration %s is unknown here): restore it with version %s, which made it, or a newer one", clip(name), clip(h.Version))
		}
	}
	if len(h.Schema) == 0 || !slices.IsSorted(h.Schema) || len(h.Tables) == 0 {
		return bad("its header says nothing of its schema")
	}
	for _, t := range h.Tables {
		if !nameForm.MatchString(t.Name) || len(t.Columns) == 0 {
			return bad("%q is no table of Shingle", clip(t.Name))
		}
	}
	return nil
}

// reading is what was seen of a backup so far.
type reading struct {
	head   *Header
	tables map[string]*tally
	files  *fileTally
	place  int
	part   int
}

func (g *reading) entry(h *tar.Header, data io.Reader, v visit) error {
	if p := tablePart.FindStringSubmatch(h.Name); p != nil {
		at := slices.IndexFunc(g.head.Tables, func(t Table) bool { return t.Name == p[1] })
		if at < 0 || at < g.place || g.files.count > 0 {
			return bad("%q stands where it does not belong", clip(h.Name))
		}
		if at > g.place {
			g.place, g.part = at, 0
			g.tables[p[1]] = newTally()
		}
		if g.part++; p[2] != fmt.Sprintf("%06d", g.part) {
			return bad("a part before %q is missing", clip(h.Name))
		}
		rows := io.TeeReader(broken{data}, g.tables[p[1]])
		if v.part != nil {
			return v.part(p[1], rows)
		}
		_, err := io.Copy(io.Discard, rows)
		return err
	}
	name, isFile := cutFiles(h.Name)
	if !isFile {
		return bad("%q is nothing that a backup holds", clip(h.Name))
	}
	digest := sha256.New()
	r := io.TeeReader(broken{data}, digest)
	if v.file != nil {
		if err := v.file(name, h, r); err != nil {
			return err
		}
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	g.files.add(name, h.Size, digest.Sum(nil))
	return nil
}

func cutFiles(name string) (string, bool) {
	const prefix = "files/"
	if len(name) <= len(prefix) || name[:len(prefix)] != prefix {
		return "", false
	}
	return name[len(prefix):], true
}

// holds compares what was read with what the manifest says.
func (g *reading) holds(m *Manifest) error {
	for _, t := range g.head.Tables {
		got := g.tables[t.Name]
		if got == nil {
			got = newTally()
		}
		if m.Tables[t.Name] != got.sum() {
			return bad("the rows of %s are not those of its manifest", t.Name)
		}
	}
	if g.files.sum() != m.Files {
		return bad("its files are not those of its manifest")
	}
	return nil
}

func next(t *tar.Reader) (*tar.Header, error) {
	h, err := t.Next()
	if err != nil {
		return nil, damaged(err)
	}
	if h.Typeflag != tar.TypeReg {
		return nil, bad("%q is no plain file", clip(h.Name))
	}
	return h, nil
}

func entryJSON(t *tar.Reader, h *tar.Header, name string, into any) error {
	if h.Name != name || h.Size > maxJSON {
		return bad("%s is not where it should be", name)
	}
	raw, err := io.ReadAll(t)
	if err != nil {
		return damaged(err)
	}
	if json.Unmarshal(raw, into) != nil {
		return bad("%s cannot be read", name)
	}
	return nil
}
