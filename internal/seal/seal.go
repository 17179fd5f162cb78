// Package seal keeps small secrets unreadable in their rows. It owns how a key
// is made from the program's secret and how a value is bound to its place; it
// never stores anything. Start at New.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"shingle/internal/fault"
)

// Sealer seals with AES-256-GCM. What is sealed for one context cannot be
// opened for another.
type Sealer struct {
	aead cipher.AEAD
	id   string
}

// New makes the sealer of a purpose: each has a key of its own, made from the
// program's secret. Kind: fault.Invalid for a short secret.
func New(purpose string, secret []byte) (*Sealer, error) {
	if len(secret) < 16 {
		return nil, fault.New(fault.Invalid, "the secret key is shorter than 16 bytes")
	}
	key := sha256.Sum256(append([]byte(purpose+"\x00"), secret...))
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	// The id is a hash of the key, so that it tells nothing of it.
	id := sha256.Sum256(append([]byte("id\x00"), key[:]...))
	return &Sealer{aead: aead, id: hex.EncodeToString(id[:6])}, err
}

// ID names the key: a row sealed under another secret shows by it.
func (s *Sealer) ID() string { return s.id }

// Seal hides plain, for this context alone.
func (s *Sealer) Seal(plain, context []byte) ([]byte, error) {
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(plain)+s.aead.Overhead())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return s.aead.Seal(nonce, nonce, plain, context), nil
}

// Open is the way back; it fails for another key, another context and for
// what was changed.
func (s *Sealer) Open(sealed, context []byte) ([]byte, error) {
	n := s.aead.NonceSize()
	if len(sealed) < n {
		return nil, errors.New("a sealed value is cut short")
	}
	return s.aead.Open(nil, sealed[:n], sealed[n:], context)
}
