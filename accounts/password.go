package accounts

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
	"golang.org/x/crypto/argon2"

	"shingle/internal/fault"
)

// OWASP's second recommendation for argon2id: 19 MiB, two passes, one lane.
var argonParams = argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

const minPassword, maxPassword = 10, 200

// passwords hashes and compares; a few at a time, so that a flood of sign-ins
// cannot take the memory.
type passwords struct {
	slots chan struct{}
	dummy string
}

// dummyHash is what nobody's password matches: noise in the form of a hash, so
// that comparing with it takes as long, and making it takes no time.
var dummyHash = sync.OnceValue(func() string {
	noise := make([]byte, argonParams.SaltLength+argonParams.KeyLength)
	_, _ = rand.Read(noise) // never fails
	text := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonParams.Memory, argonParams.Iterations, argonParams.Parallelism,
		text(noise[:argonParams.SaltLength]), text(noise[argonParams.SaltLength:]))
})

func newPasswords() *passwords {
	return &passwords{slots: make(chan struct{}, 4), dummy: dummyHash()}
}

func (p *passwords) turn(ctx context.Context) (func(), error) {
	select {
	case p.slots <- struct{}{}:
		return func() { <-p.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// matches does the same work whether or not there is a hash to compare with.
func (p *passwords) matches(ctx context.Context, password, hash string) (bool, error) {
	release, err := p.turn(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	known := hash != ""
	if !known {
		hash = p.dummy
	}
	if len(password) > 4*maxPassword {
		password = ""
	}
	ok, err := argon2id.ComparePasswordAndHash(password, hash)
	if err != nil {
		return false, fmt.Errorf("comparing a password: %w", err)
	}
	return ok && known, nil
}

// hash checks what a password must be and hashes it. Kind: fault.Invalid
// (field "password").
func (p *passwords) hash(ctx context.Context, password, email string) (string, error) {
	bad := func(key string) (string, error) {
		return "", fault.Invalids(fault.Fields{"password": key})
	}
	n := utf8.RuneCountInString(password)
	switch local, _, _ := strings.Cut(email, "@"); {
	case !utf8.ValidString(password) || n < minPassword:
		return bad("account.password.short")
	case n > maxPassword:
		return bad("account.password.long")
	case strings.EqualFold(password, email) || strings.EqualFold(password, local) || strings.Count(password, password[:1]) == len(password):
		return bad("account.password.easy")
	}
	release, err := p.turn(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	h, err := argon2id.CreateHash(password, &argonParams)
	if err != nil {
		return "", fmt.Errorf("hashing a password: %w", err)
	}
	return h, nil
}
