package search

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxToken keeps a pasted line of rubbish from becoming a word of the index.
const maxToken = 48

// Tokens splits text into words the way both engines index and ask: lower
// case, accents folded, ß as ss, and the names that live by their signs kept
// apart from the letters before them: c++ is cplusplus, c# csharp, .net dotnet.
func Tokens(text string) []string { return AppendTokens(nil, text) }

// AppendTokens is Tokens into a slice that is used again.
func AppendTokens(dst []string, text string) []string {
	text = fold(text)
	i := 0
	for i < len(text) {
		c := text[i]
		if c == '.' && dotNet(text, i) {
			dst = append(dst, "dotnet")
			i += len(".net")
			continue
		}
		if c < utf8.RuneSelf && !isWordByte(c) {
			i++
			continue
		}
		start := i
		for i < len(text) {
			if c := text[i]; c < utf8.RuneSelf {
				if !isWordByte(c) {
					break
				}
				i++
				continue
			}
			r, n := utf8.DecodeRuneInString(text[i:])
			if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
				break
			}
			i += n
		}
		if i == start { // a rune that is no letter
			_, n := utf8.DecodeRuneInString(text[i:])
			i += n
			continue
		}
		word := text[start:i]
		if len(word) <= 2 {
			word, i = signs(text, word, i)
		}
		if len(word) <= maxToken {
			dst = append(dst, word)
		}
	}
	return dst
}

// signs takes the + and # that follow a short name: c++, c#, f#, a+.
func signs(text, word string, i int) (string, int) {
	end := i
	for end < len(text) && end-i < 2 && (text[end] == '+' || text[end] == '#') {
		end++
	}
	if end == i {
		return word, i
	}
	if r, _ := utf8.DecodeRuneInString(text[end:]); end < len(text) && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
		return word, i
	}
	return word + strings.NewReplacer("+", "plus", "#", "sharp").Replace(text[i:end]), end
}

// dotNet reports ".net" as a name: at the start of a word or after asp.
func dotNet(text string, i int) bool {
	if !strings.HasPrefix(text[i:], ".net") {
		return false
	}
	if end := i + len(".net"); end < len(text) && isWordByte(text[end]) {
		return false
	}
	return i == 0 || !isWordByte(text[i-1]) || strings.HasSuffix(text[:i], "asp")
}

func isWordByte(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

// Fold is text as both engines compare it: lower case without accents.
func Fold(text string) string { return strings.Join(Tokens(text), " ") }

// FoldSpaced is Fold for a text that is still being typed: it says whether the
// last word is finished by a space.
func FoldSpaced(text string) (folded string, open bool) {
	r, _ := utf8.DecodeLastRuneInString(text)
	return Fold(text), text != "" && !unicode.IsSpace(r)
}

var plainLetters = strings.NewReplacer("ß", "ss", "æ", "ae", "œ", "oe", "ø", "o", "ł", "l", "đ", "d", "ð", "d", "þ", "th", "ı", "i")

func fold(s string) string {
	ascii := true
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	s = strings.ToLower(s)
	if ascii {
		return s
	}
	s = plainLetters.Replace(norm.NFKD.String(s))
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return unicode.ToLower(r)
	}, s)
}

// Distance is how many letters must be added, dropped, changed or swapped with
// their neighbour to make b of a; it stops counting beyond most.
func Distance(a, b string, most int) int {
	x, y := []rune(a), []rune(b)
	if d := len(x) - len(y); d > most || -d > most {
		return most + 1
	}
	prev2, prev, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		best := i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], prev2[j-2]+1)
			}
			best = min(best, row[j])
		}
		if best > most {
			return most + 1
		}
		prev2, prev, row = prev, row, prev2
	}
	return prev[len(y)]
}

// Typos is how many mistakes a word of that length may hold.
func Typos(word string) int {
	switch n := utf8.RuneCountInString(word); {
	case n < 4:
		return 0
	case n < 7:
		return 1
	default:
		return 2
	}
}
