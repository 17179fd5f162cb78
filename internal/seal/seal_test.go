package seal_test

import (
	"bytes"
	"testing"

	"shingle/internal/seal"
)

func TestSealedForOneContextAndKey(t *testing.T) {
	t.Parallel()
	secret := bytes.Repeat([]byte{7}, 32)
	s, err := seal.New("a purpose", secret)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := s.Seal([]byte("private"), []byte("here"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("private")) {
		t.Error("the value can be read in what is sealed")
	}
	if plain, err := s.Open(sealed, []byte("here")); err != nil || string(plain) != "private" {
		t.Errorf("opened %q: %v", plain, err)
	}
	if _, err := s.Open(sealed, []byte("there")); err == nil {
		t.Error("opened for another context")
	}
	sealed[len(sealed)-1] ^= 1
	if _, err := s.Open(sealed, []byte("here")); err == nil {
		t.Error("opened after a change")
	}
	if _, err := s.Open([]byte("short"), nil); err == nil {
		t.Error("opened what is cut short")
	}
	other, err := seal.New("another purpose", secret)
	if err != nil {
		t.Fatal(err)
	}
	if other.ID() == s.ID() {
		t.Error("two purposes share a key")
	}
	if _, err := seal.New("a purpose", []byte("short")); err == nil {
		t.Error("a short secret is taken")
	}
}
