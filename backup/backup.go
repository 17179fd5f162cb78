// Package backup writes a whole installation, its database and its files, into
// one encrypted stream and makes an installation of it again. It owns the
// stream's format and the order of a restore; it never decides who may ask, and
// knows no table by name but a few that a restore must touch. Start at Write,
// then Restore.
package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
	"time"

	"filippo.io/age"

	"shingle/internal/fault"
)

// Format is the version of what Write writes. Restore takes it and no other.
const Format = 1

// Noted is the act in the platform's audit log that says that a backup was
// written. Frozen name: the age of the last one is reckoned from it.
const Noted = "installation.backed_up"

const (
	headerName, manifestName = "shingle-backup.json", "manifest.json"
	// partSize is when a table's part is full, in bytes: what a backup holds in memory.
	partSize = 1 << 20
	// maxJSON bounds the header and the manifest, in bytes.
	maxJSON = 16 << 20
)

// Header opens a backup: what must be known before the rows.
type Header struct {
	Format int       `json:"format"`
	At     time.Time `json:"at"`
	// Version is the program's; Postgres the server's.
	Version  string `json:"version"`
	Postgres string `json:"postgres"`
	// Schema are the migrations that the database has, in order.
	Schema []string `json:"schema"`
	// Secret is the id of SHINGLE_SECRET_KEY, which is not in the backup; empty
	// when it was not set.
	Secret string  `json:"secret,omitempty"`
	Tables []Table `json:"tables"`
}

// Table is one of the database's, with the columns that its rows have.
type Table struct {
	Name    string   `json:"name"`
	Columns []string `json:"columns"`
}

// Manifest closes a backup: without it, it was cut short.
type Manifest struct {
	Tables map[string]Sum `json:"tables"`
	// Files has the SHA-256 of one line for each, "<sha256> <size> <name>".
	Files Sum `json:"files"`
	// Missing are files that went while they were read.
	Missing int64 `json:"missing,omitempty"`
}

// Sum is how much there is of something: rows or files, bytes and their SHA-256.
type Sum struct {
	Count  int64  `json:"count"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	// Rows is a sum over the rows whatever their order; files have none.
	Rows string `json:"rows,omitempty"`
}

// Total is a backup's rows and bytes before compression, files included.
func (m *Manifest) Total() (rows, bytes int64) {
	for _, s := range m.Tables {
		rows += s.Count
		bytes += s.Bytes
	}
	return rows, bytes + m.Files.Bytes
}

// bad is a backup that is not taken, with the reason in words. Kind: fault.Invalid.
func bad(format string, args ...any) error {
	return fault.New(fault.Invalid, "the backup is refused: "+format, args...)
}

// Keys are what SHINGLE_BACKUP_KEY holds: public keys (age1…), to which a backup
// is encrypted, and private ones (AGE-SECRET-KEY-…), which also open it.
type Keys struct {
	recipients []age.Recipient
	identities []age.Identity
}

// ParseKeys reads keys with commas or lines between; lines that begin with #
// are remarks, as age-keygen writes them. Kind: fault.Invalid, without the text.
func ParseKeys(text string) (*Keys, error) {
	k := new(Keys)
	for line := range strings.Lines(strings.ReplaceAll(text, ",", "\n")) {
		line = strings.TrimSpace(line)
		var err error
		switch {
		case line == "" || line[0] == '#':
		case strings.HasPrefix(line, "AGE-SECRET-KEY-PQ-"):
			var id *age.HybridIdentity
			if id, err = age.ParseHybridIdentity(line); err == nil {
				k.recipients, k.identities = append(k.recipients, id.Recipient()), append(k.identities, id)
			}
		case strings.HasPrefix(line, "AGE-SECRET-KEY-"):
			var id *age.X25519Identity
			if id, err = age.ParseX25519Identity(line); err == nil {
				k.recipients, k.identities = append(k.recipients, id.Recipient()), append(k.identities, id)
			}
		default:
			var r []age.Recipient
			if r, err = age.ParseRecipients(strings.NewReader(line)); err == nil {
				k.recipients = append(k.recipients, r...)
			}
		}
		if err != nil {
			return nil, fault.New(fault.Invalid, "SHINGLE_BACKUP_KEY cannot be read: write what `shingle backup key` prints (age1… or AGE-SECRET-KEY-1…)")
		}
	}
	if len(k.recipients) == 0 {
		return nil, fault.New(fault.Invalid, "SHINGLE_BACKUP_KEY holds no key: `shingle backup key` makes one")
	}
	return k, nil
}

// Opens reports whether there is a private key, which a restore needs.
func (k *Keys) Opens() bool { return len(k.identities) > 0 }

// NewKey makes a pair: the private key and the public one.
func NewKey() (private, public string, err error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return "", "", err
	}
	return id.String(), id.Recipient().String(), nil
}

// tally adds up rows of COPY's text form, in which a row is a line.
type tally struct {
	rows, bytes int64
	all         hash.Hash
	row         hash.Hash
	inRow       bool
	mix         [sha256.Size]byte
}

func newTally() *tally { return &tally{all: sha256.New(), row: sha256.New()} }

func (t *tally) Write(p []byte) (int, error) {
	t.all.Write(p)
	t.bytes += int64(len(p))
	for rest := p; len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			t.row.Write(rest)
			t.inRow = true
			break
		}
		t.row.Write(rest[:i])
		rest = rest[i+1:]
		t.end()
	}
	return len(p), nil
}

// end adds a row's digest to the sum of all, as numbers of 256 bits: the order
// of rows does not matter, their number does.
func (t *tally) end() {
	var d [sha256.Size]byte
	t.row.Sum(d[:0])
	t.row.Reset()
	t.inRow = false
	t.rows++
	carry := 0
	for i := len(d) - 1; i >= 0; i-- {
		carry += int(t.mix[i]) + int(d[i])
		t.mix[i] = byte(carry)
		carry >>= 8
	}
}

func (t *tally) sum() Sum {
	return Sum{Count: t.rows, Bytes: t.bytes, SHA256: hex.EncodeToString(t.all.Sum(nil)), Rows: hex.EncodeToString(t.mix[:])}
}

// fileTally adds up files.
type fileTally struct {
	count, bytes int64
	all          hash.Hash
}

func newFileTally() *fileTally { return &fileTally{all: sha256.New()} }

func (t *fileTally) add(name string, size int64, digest []byte) {
	t.count++
	t.bytes += size
	fmt.Fprintf(t.all, "%x %d %s\n", digest, size, name)
}

func (t *fileTally) sum() Sum {
	return Sum{Count: t.count, Bytes: t.bytes, SHA256: hex.EncodeToString(t.all.Sum(nil))}
}

// clip keeps what a stranger wrote short in our errors.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
