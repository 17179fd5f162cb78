// Package pow is proof of work: a browser shows that it has spent a moment's
// computing on a form before anybody spends work on what it says. It owns the
// challenge, its signature and its check; it keeps nothing, and never decides
// how hard a challenge is. Start at Key.
//
// A challenge hides a number below Max: the one whose SHA-256, after the salt,
// is the target. Trying them in order takes at most Max hashes, so that nobody
// waits for an unlucky draw.
package pow

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"shingle/internal/fault"
)

// Life is how long a challenge can be answered: a long form takes its time, and
// its script asks for a new one when it is over.
const Life = 20 * time.Minute

// Key signs challenges.
type Key struct{ mac []byte }

// NewKey makes the key from the program's secret.
func NewKey(secret []byte) Key {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte("proof of work v1"))
	return Key{mac: m.Sum(nil)}
}

// Challenge is what a browser is asked. Token goes back as it came, with ":" and
// the number.
type Challenge struct {
	Token  string `json:"token"`
	Salt   string `json:"salt"`
	Target string `json:"target"`
	Max    int    `json:"max"`
	// Seconds is how long it may be answered.
	Seconds int `json:"seconds"`
}

// saltSize in bytes also names the challenge where spent ones are kept.
const saltSize, macSize = 12, 16

// New makes a challenge for one purpose: a board and a form.
func (k Key) New(purpose string, most int, now time.Time) Challenge {
	most = max(most, 2)
	var raw [saltSize + 8]byte
	_, _ = rand.Read(raw[:]) // never fails since Go 1.24
	salt := base64.RawURLEncoding.EncodeToString(raw[:saltSize])
	number := int(binary.BigEndian.Uint64(raw[saltSize:]) % uint64(most)) // #nosec G115 -- most is positive
	target := sum(salt, number)
	head := salt + "." + strconv.FormatInt(now.Add(Life).Unix(), 36) + "." + base64.RawURLEncoding.EncodeToString(target[:macSize])
	return Challenge{Token: head + "." + base64.RawURLEncoding.EncodeToString(k.sign(purpose, head)), Salt: salt,
		Target: hex.EncodeToString(target[:macSize]), Max: most, Seconds: int(Life / time.Second)}
}

func sum(salt string, number int) [sha256.Size]byte {
	return sha256.Sum256([]byte(salt + "." + strconv.Itoa(number)))
}

func (k Key) sign(purpose, head string) []byte {
	m := hmac.New(sha256.New, k.mac)
	m.Write([]byte(purpose + "\x00" + head))
	return m.Sum(nil)[:macSize]
}

// Verify checks an answer for its purpose and returns the challenge's id, by
// which it is spent once, and when it can be forgotten. Kinds: fault.Conflict for
// one that is over, fault.Invalid for one that is none.
func (k Key) Verify(purpose, answer string, now time.Time) (id string, until time.Time, err error) {
	none := fault.New(fault.Invalid, "this is no proof of work")
	token, typed, _ := strings.Cut(answer, ":")
	parts := strings.Split(token, ".")
	number, nerr := strconv.Atoi(typed)
	if len(answer) > 200 || len(parts) != 4 || nerr != nil || number < 0 {
		return "", until, none
	}
	mac, merr := base64.RawURLEncoding.DecodeString(parts[3])
	target, terr := base64.RawURLEncoding.DecodeString(parts[2])
	unix, uerr := strconv.ParseInt(parts[1], 36, 64)
	if merr != nil || terr != nil || uerr != nil || !hmac.Equal(mac, k.sign(purpose, strings.Join(parts[:3], "."))) {
		return "", until, none
	}
	if until = time.Unix(unix, 0); !now.Before(until) {
		return "", until, fault.New(fault.Conflict, "this proof of work is over")
	}
	if got := sum(parts[0], number); !hmac.Equal(got[:macSize], target) {
		return "", until, none
	}
	return parts[0], until, nil
}

// Solve finds the answer as a browser does, for callers that are none.
func Solve(c Challenge) (string, bool) {
	want, err := hex.DecodeString(c.Target)
	if err != nil {
		return "", false
	}
	for n := range c.Max {
		if got := sum(c.Salt, n); hmac.Equal(got[:macSize], want) {
			return c.Token + ":" + strconv.Itoa(n), true
		}
	}
	return "", false
}
