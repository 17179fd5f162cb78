package archive

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"regexp"
	"strings"
	"time"

	"shingle/internal/fault"
)

const (
	headerName, manifestName = "shingle.json", "manifest.json"
	// partSize is when a table's part is full, in bytes: what an export holds in memory.
	partSize = 2 << 20
	// maxEntry bounds one part or file, in bytes: what a restore holds in memory.
	maxEntry = 64 << 20
	// maxHeader bounds the header and the manifest.
	maxHeader = 16 << 20
	// maxRatio is how many times its size an archive may unfold to, beyond
	// ratioFree bytes. Rows of JSON reach thirty; a bomb a thousand.
	maxRatio, ratioFree = 200, 64 << 20
	// sumKey is the checksum beside each entry.
	sumKey = "SHINGLE.sha256"
)

// bad is an archive that is not taken, with the reason in words. Kind: fault.Invalid.
func bad(format string, args ...any) error {
	return fault.New(fault.Invalid, "the archive is refused: "+format, args...)
}

// writer makes a gzipped tar. What it was given is in the tar before the next.
type writer struct {
	gz     *gzip.Writer
	tar    *tar.Writer
	at     time.Time
	tables map[string]*sum
	files  *sum
}

// sum adds up as it goes.
type sum struct {
	count, bytes int64
	h            hash.Hash
}

func newSum() *sum { return &sum{h: sha256.New()} }

func (s *sum) add(count int64, data []byte) {
	s.count += count
	s.bytes += int64(len(data))
	s.h.Write(data)
}

// addFile counts a file: the sum is of one line for each.
func (s *sum) addFile(name string, size int64, digest string) {
	s.count++
	s.bytes += size
	fmt.Fprintf(s.h, "%s %d %s\n", digest, size, name)
}

func (s *sum) sum() Sum { return Sum{s.count, s.bytes, hex.EncodeToString(s.h.Sum(nil))} }

func newWriter(w io.Writer, at time.Time) *writer {
	gz, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		panic(err) // a constant level
	}
	return &writer{gz: gz, tar: tar.NewWriter(gz), at: at, tables: map[string]*sum{}, files: newSum()}
}

func (w *writer) entry(name string, data []byte) (digest string, err error) {
	d := sha256.Sum256(data)
	digest = hex.EncodeToString(d[:])
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(data)), Mode: 0o600, ModTime: w.at, Format: tar.FormatPAX, PAXRecords: map[string]string{sumKey: digest}}
	if err := w.tar.WriteHeader(h); err != nil {
		return "", err
	}
	_, err = w.tar.Write(data)
	return digest, err
}

func (w *writer) json(name string, v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		_, err = w.entry(name, raw)
	}
	return err
}

func (w *writer) part(table string, n int, rows int64, data []byte) error {
	s := w.tables[table]
	if s == nil {
		s = newSum()
		w.tables[table] = s
	}
	s.add(rows, data)
	_, err := w.entry(fmt.Sprintf("tables/%s/%06d.ndjson", table, n), data)
	return err
}

func (w *writer) file(name string, data []byte) error {
	digest, err := w.entry("files/"+name, data)
	w.files.addFile(name, int64(len(data)), digest)
	return err
}

func (w *writer) manifest(missing int64) (Manifest, error) {
	m := Manifest{Tables: map[string]Sum{}, Files: w.files.sum(), Missing: missing}
	for name, s := range w.tables {
		m.Tables[name] = s.sum()
	}
	return m, w.json(manifestName, m)
}

func (w *writer) close() error { return errors.Join(w.tar.Close(), w.gz.Close()) }

// metered counts, and refuses what unfolds beyond all measure.
type metered struct {
	r       io.Reader
	in, out *int64
	meter   *int64
}

func (m metered) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	*m.meter += int64(n)
	if m.out != nil && *m.out > ratioFree && *m.out > maxRatio*(*m.in+1) {
		return n, bad("it unfolds to more than %d times its size", maxRatio)
	}
	return n, err
}

var (
	tablePart = regexp.MustCompile(`^tables/([a-z][a-z0-9_]{0,62})/([0-9]{6})\.ndjson$`)
	filePart  = regexp.MustCompile(`^files/((?:cv|logos)/[A-Za-z0-9][A-Za-z0-9_-]{0,100}\.[a-z0-9]{1,8})$`)
	nameForm  = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)
)

// visit is told what an archive holds, in its order. Nil functions pass over.
type visit struct {
	header func(*Header) error
	part   func(table string, data []byte) error
	file   func(name string, data []byte) error
}

// read walks through an archive once, in constant memory, and holds every
// checksum. What it tells of comes before the whole was seen: use the result of
// a walk only when it ended without an error. Kind: fault.Invalid.
func read(r io.Reader, v visit) (*Header, *Manifest, error) {
	h, m, err := walk(r, v)
	switch {
	case err == nil:
		return h, m, nil
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		err = bad("it is cut short")
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.Is(err, tar.ErrHeader), strings.HasPrefix(err.Error(), "flate: "):
		err = bad("it is no archive of a board, or it is damaged")
	}
	return nil, nil, err
}

func walk(r io.Reader, v visit) (*Header, *Manifest, error) {
	var in, out int64
	gz, err := gzip.NewReader(bufio.NewReaderSize(metered{r: r, meter: &in}, 1<<16))
	if err != nil {
		return nil, nil, err
	}
	gz.Multistream(false)
	unfolded := metered{r: gz, in: &in, out: &out, meter: &out}
	t := tar.NewReader(unfolded)
	w := &writer{tables: map[string]*sum{}, files: newSum()}
	head := new(Header)
	if err := entryJSON(t, headerName, head); err != nil {
		return nil, nil, err
	}
	if head.Format != Format {
		return nil, nil, bad("it has format %d and this program reads format %d; restore it with the version of the program that made it, or a newer one", head.Format, Format)
	}
	if v.header != nil {
		if err := v.header(head); err != nil {
			return nil, nil, err
		}
	}
	place, next := -1, 0
	for {
		h, data, err := nextEntry(t)
		if err != nil {
			return nil, nil, err
		}
		if h.Name == manifestName {
			m := new(Manifest)
			if err := strict(data, m); err != nil {
				return nil, nil, bad("its manifest cannot be read")
			}
			if err := w.holds(m); err != nil {
				return nil, nil, err
			}
			// To the end, so that gzip's own checksum is held too, and nothing follows.
			if h, err := t.Next(); err == nil {
				return nil, nil, bad("%q follows the manifest", h.Name)
			} else if !errors.Is(err, io.EOF) {
				return nil, nil, err
			}
			_, err := io.Copy(io.Discard, unfolded)
			return head, m, err
		}
		if p := tablePart.FindStringSubmatch(h.Name); p != nil {
			at := indexOf(head.Tables, p[1])
			if at < place || at < 0 || w.files.count > 0 {
				return nil, nil, bad("%q stands where it does not belong", h.Name)
			}
			if at > place {
				place, next = at, 0
			}
			if next++; p[2] != fmt.Sprintf("%06d", next) {
				return nil, nil, bad("a part before %q is missing", h.Name)
			}
			s := w.tables[p[1]]
			if s == nil {
				s = newSum()
				w.tables[p[1]] = s
			}
			s.add(lines(data), data)
			if v.part != nil {
				err = v.part(p[1], data)
			}
		} else if p := filePart.FindStringSubmatch(h.Name); p != nil {
			w.files.addFile(p[1], int64(len(data)), h.PAXRecords[sumKey])
			if v.file != nil {
				err = v.file(p[1], data)
			}
		} else {
			err = bad("%q is nothing that an archive of a board holds", clip(h.Name))
		}
		if err != nil {
			return nil, nil, err
		}
	}
}

// holds compares what was read with what the manifest says.
func (w *writer) holds(m *Manifest) error {
	if w.files.sum() != m.Files {
		return bad("its files are not those of its manifest")
	}
	for name, s := range w.tables {
		if m.Tables[name] != s.sum() {
			return bad("the rows of %s are not those of its manifest", name)
		}
	}
	for name, s := range m.Tables {
		if w.tables[name] == nil && s.Count > 0 {
			return bad("the rows of %s are missing", clip(name))
		}
	}
	return nil
}

func entryJSON(t *tar.Reader, name string, into any) error {
	h, data, err := nextEntry(t)
	if err != nil {
		return err
	}
	if h.Name != name || len(data) > maxHeader {
		return bad("it does not begin with %s", name)
	}
	if err := strict(data, into); err != nil {
		return fault.Wrap(err, fault.Invalid, "the archive is refused: %s cannot be read", name)
	}
	return nil
}

// strict reads JSON that has nothing we do not know.
func strict(data []byte, into any) error {
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// nextEntry reads one entry into memory after its size was looked at, and holds
// its checksum.
func nextEntry(t *tar.Reader) (*tar.Header, []byte, error) {
	h, err := t.Next()
	if err != nil {
		return nil, nil, err
	}
	if h.Typeflag != tar.TypeReg {
		return nil, nil, bad("%q is no plain file", clip(h.Name))
	}
	if h.Size < 0 || h.Size > maxEntry {
		return nil, nil, bad("%q is larger than %d MiB", clip(h.Name), maxEntry>>20)
	}
	data, err := io.ReadAll(t) // at most what the header says; grows with what is there
	if err != nil {
		return nil, nil, err
	}
	d := sha256.Sum256(data)
	if hex.EncodeToString(d[:]) != h.PAXRecords[sumKey] {
		return nil, nil, bad("%q has another checksum than it should", clip(h.Name))
	}
	return h, data, nil
}

func indexOf(tables []Columns, name string) int {
	for i := range tables {
		if tables[i].Table == name {
			return i
		}
	}
	return -1
}

func lines(data []byte) (n int64) {
	for _, b := range data {
		if b == '\n' {
			n++
		}
	}
	return n
}

// clip keeps what a stranger wrote short in our errors.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
