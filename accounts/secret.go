package accounts

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"time"

	"shingle/internal/fault"
)

// A secret is 256 random bits; the row holds its SHA-256 alone, so a copy of
// the database opens nothing. A six-digit code is hashed together with the
// ticket that the asking page holds, since a million codes are tried in no time.

// secret makes a secret for a cookie or a link, and what the row keeps of it.
func secret() (text string, hash []byte) {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails since Go 1.24
	text = base64.RawURLEncoding.EncodeToString(raw[:])
	return text, hashOf(text)
}

// hashOf is what a row keeps of a secret; nil for what cannot be one.
func hashOf(text string) []byte {
	if len(text) != 43 {
		return nil
	}
	h := sha256.Sum256([]byte(text))
	return h[:]
}

func newCode() string {
	n, _ := rand.Int(rand.Reader, big.NewInt(1_000_000)) // never fails since Go 1.24
	return fmt.Sprintf("%06d", n)
}

// codeHash is nil for what cannot be a code. Blanks are passed over: mails and
// people group digits.
func codeHash(ticket, code string) []byte {
	digits := make([]byte, 0, 6)
	for i := range len(code) {
		switch c := code[i]; {
		case c >= '0' && c <= '9':
			digits = append(digits, c)
		case c != ' ' && c != '-':
			return nil
		}
	}
	if len(digits) != 6 || len(ticket) != 43 {
		return nil
	}
	h := sha256.Sum256([]byte(ticket + ":" + string(digits)))
	return h[:]
}

// Issued is a new single-use secret. Token goes into a link; Ticket stays with
// the page that asked and Code goes into the mail, when a code was wanted.
type Issued struct {
	Token, Ticket, Code string
	Expires             time.Time

	hash, ticketHash, codeHash []byte
}

func issue(expires time.Time, withCode bool) Issued {
	i := Issued{Expires: expires}
	i.Token, i.hash = secret()
	if withCode {
		i.Ticket, i.ticketHash = secret()
		i.Code = newCode()
		i.codeHash = codeHash(i.Ticket, i.Code)
	}
	return i
}

// Key makes a mail about the secret single.
func (i Issued) Key() string { return i.key() }

func (i Issued) key() string { return base64.RawURLEncoding.EncodeToString(i.hash) }

// publicID names a row by its hash in forms and lists: it opens nothing.
func publicID(hash []byte) string { return base64.RawURLEncoding.EncodeToString(hash) }

func hashFromID(id string) ([]byte, error) {
	h, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil || len(h) != sha256.Size {
		return nil, fault.New(fault.NotFound, "not found")
	}
	return h, nil
}

func jsonText(v any) (string, error) {
	if v == nil {
		return "{}", nil
	}
	raw, err := json.Marshal(v)
	return string(raw), err
}
