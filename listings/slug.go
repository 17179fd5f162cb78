package listings

import (
	"crypto/rand"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

const base58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// publicIDLen gives 58^10 ids per board: 4 × 10^17.
const publicIDLen = 10

// NewPublicID makes a random id for URLs: base58, no hyphen.
func NewPublicID() string {
	var out [publicIDLen]byte
	var buf [2 * publicIDLen]byte
	for n := 0; n < publicIDLen; {
		_, _ = rand.Read(buf[:]) // never fails: crypto/rand
		for _, b := range buf {
			// 232 = 4 × 58: above it the remainder would favour some letters.
			if b < 232 && n < publicIDLen {
				out[n] = base58[b%58]
				n++
			}
		}
	}
	return string(out[:])
}

// ValidPublicID reports whether s could be a public id.
func ValidPublicID(s string) bool {
	if len(s) == 0 || len(s) > 12 {
		return false
	}
	for i := range len(s) {
		if strings.IndexByte(base58, s[i]) < 0 {
			return false
		}
	}
	return true
}

// Path is a listing's page: /jobs/<slug>-<id>.
func Path(slug, publicID string) string { return "/jobs/" + slug + "-" + publicID }

// ParsePath splits the last part of a listing's path, "<slug>-<id>". A bare id
// is allowed: the page redirects to its full address.
func ParsePath(last string) (slug, publicID string, ok bool) {
	slug, publicID = "", last
	if i := strings.LastIndexByte(last, '-'); i >= 0 {
		slug, publicID = last[:i], last[i+1:]
	}
	return slug, publicID, ValidPublicID(publicID)
}

var spelled = map[rune]string{
	'ä': "ae", 'ö': "oe", 'ü': "ue", 'ß': "ss", 'æ': "ae", 'ø': "oe", 'å': "aa", 'œ': "oe",
	'ł': "l", 'đ': "d", 'ð': "d", 'þ': "th", 'ı': "i", '&': " and ", '+': " plus ", '#': " sharp ",
}

// Slugify makes the words of a URL: a-z, 0-9 and single hyphens, at most 60
// bytes, cut between words. It is fallback when nothing is left.
func Slugify(s, fallback string) string {
	var b strings.Builder
	gap := false
	add := func(r rune) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			if gap && b.Len() > 0 {
				b.WriteByte('-')
			}
			gap = false
			b.WriteRune(r)
			return
		}
		if !unicode.Is(unicode.Mn, r) && r != '\'' && r != '’' {
			gap = true
		}
	}
	for _, r := range norm.NFC.String(s) {
		r = unicode.ToLower(r)
		if t, ok := spelled[r]; ok {
			for _, r := range t {
				add(r)
			}
			continue
		}
		for _, r := range norm.NFD.String(string(r)) {
			add(r)
		}
	}
	out := b.String()
	if len(out) > 60 {
		cut := out[:61]
		if i := strings.LastIndexByte(cut, '-'); i > 20 {
			out = cut[:i]
		} else {
			out = out[:60]
		}
	}
	if out == "" {
		return fallback
	}
	return out
}
