package postgres

import (
	"slices"
	"strings"
	"sync"

	"github.com/blevesearch/snowballstem"
	"github.com/blevesearch/snowballstem/english"
	"github.com/blevesearch/snowballstem/german"

	"shingle/search"
	"shingle/tenant"
)

// Fields of a key. A word of a place counts for the location box under its own
// field, and facets that leave few listings are keys too.
const (
	fieldText     = 't'
	fieldPlace    = '@'
	fieldCategory = 'g'
	fieldCompany  = 'c'
	fieldCountry  = 'l'
)

// seeds are the states of a board's keys, by field.
type seeds struct{ text, place, category, company, country seed }

type seed uint64

// key is the 64-bit number that stands for a word of one board and field in
// the index: FNV-1a, then mixed. The board is part of it, so that the list of
// a common word holds that board's listings alone. The function is frozen:
// changing it means rebuilding every board.
func key(board tenant.ID, field byte, word string) int64 { return newSeed(board, field).key(word) }

const prime = 1099511628211

func newSeed(board tenant.ID, field byte) seed {
	h := uint64(14695981039346656037)
	for _, b := range board {
		h = (h ^ uint64(b)) * prime
	}
	return seed((h ^ uint64(field)) * prime)
}

func seedsOf(board tenant.ID) seeds {
	return seeds{newSeed(board, fieldText), newSeed(board, fieldPlace), newSeed(board, fieldCategory), newSeed(board, fieldCompany), newSeed(board, fieldCountry)}
}

func (s seed) key(word string) int64 {
	h := uint64(s)
	for i := range len(word) {
		h = (h ^ uint64(word[i])) * prime
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return int64(h)
}

// maxStems bounds the memory of a stemmer's cache; it begins anew when full.
const maxStems = 50_000

// stemmer reduces words to stems and remembers them: texts repeat their words.
type stemmer struct {
	stem func(string) string
	stop map[string]bool

	mu    sync.RWMutex
	known map[string]string
}

func newStemmer(stem func(string) string, stop string) *stemmer {
	s := &stemmer{stem: stem, stop: map[string]bool{}, known: map[string]string{}}
	for _, w := range strings.Fields(stop) {
		s.stop[w] = true
	}
	return s
}

func (s *stemmer) of(word string) string {
	if s.stem == nil {
		return word
	}
	s.mu.RLock()
	st, ok := s.known[word]
	s.mu.RUnlock()
	if ok {
		return st
	}
	st = s.stem(word)
	s.mu.Lock()
	if len(s.known) >= maxStems {
		clear(s.known)
	}
	// Cloned: the word may be a part of a long text.
	s.known[strings.Clone(word)] = strings.Clone(st)
	s.mu.Unlock()
	return st
}

// language is how words of a board's locale are reduced.
type language struct {
	*stemmer
	// compounds says that words grow together, so that a part of one is a word.
	compounds bool
}

// languages by the first part of a locale; "" serves the others.
func languages() map[string]language {
	return map[string]language{
		"en": {stemmer: newStemmer(snowball(func(e *snowballstem.Env) { english.Stem(e) }), stopEnglish)},
		"de": {stemmer: newStemmer(snowball(func(e *snowballstem.Env) { german.Stem(e) }), stopGerman), compounds: true},
		"":   {stemmer: newStemmer(nil, "")},
	}
}

func snowball(f func(*snowballstem.Env)) func(string) string {
	return func(w string) string {
		e := snowballstem.NewEnv(w)
		f(e)
		return e.Current()
	}
}

func (e *Engine) language(locale string) language {
	short, _, _ := strings.Cut(strings.ReplaceAll(locale, "_", "-"), "-")
	if l, ok := e.langs[strings.ToLower(short)]; ok {
		return l
	}
	return e.langs[""]
}

// timeFormat is how a time of a document is written in SQL.
const timeFormat = "2006-01-02T15:04:05.999999Z07:00"

// term is a row of the board's vocabulary.
type term struct {
	Kind, Term, Label string
	Key               int64
	N                 int
}

// vocabulary collects terms with their counts.
type vocabulary struct{ terms map[[2]string]*term }

func newVocabulary() *vocabulary { return &vocabulary{terms: map[[2]string]*term{}} }

func (v *vocabulary) word(kind, w string, k int64) {
	if len(w) < 2 || len(w) > 40 {
		return
	}
	id := [2]string{kind, w}
	if t := v.terms[id]; t != nil {
		t.N++
		return
	}
	v.terms[[2]string{kind, strings.Clone(w)}] = &term{Kind: kind, Term: strings.Clone(w), Key: k, N: 1}
}

func (v *vocabulary) phrase(kind, label string) {
	folded := search.Fold(label)
	if folded == "" || len(folded) > 100 {
		return
	}
	id := [2]string{kind, folded}
	if t := v.terms[id]; t != nil {
		t.N++
		return
	}
	v.terms[id] = &term{Kind: kind, Term: folded, Label: strings.Clone(label), N: 1}
}

// sorted is the terms in one order for all writers, so that two of them never
// wait for each other in a circle.
func (v *vocabulary) sorted() []*term {
	out := make([]*term, 0, len(v.terms))
	for _, t := range v.terms {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b *term) int {
		if c := strings.Compare(a.Kind, b.Kind); c != 0 {
			return c
		}
		return strings.Compare(a.Term, b.Term)
	})
	return out
}

const stopEnglish = `a about above after again against all am an and any are as at be because been before being below
between both but by can could did do does doing down during each few for from further had has have having he her here
hers him his how i if in into is it its itself just me more most my no nor not now of off on once only or other our ours
out over own same she should so some such than that the their theirs them then there these they this those through to
too under until up very was we were what when where which while who whom why will with would you your yours`

const stopGerman = `aber alle als also am an auch auf aus bei beim bin bis bist da damit dann das dass dein deine dem den
der des dessen die dies diese diesem diesen dieser dieses dir doch dort du durch ein eine einem einen einer eines er es
etwas euch euer eure fur hab habe haben hat hatte hier hinter ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im in indem
ins ist ja je jede jedem jeden jeder jedes kann kein keine konnen machen man manche mein meine mich mir mit muss mussen
nach nicht nichts noch nun nur ob oder ohne sehr sein seine seinem seinen seiner sich sie sind so solche soll sollen
sollte sondern sonst uber um und uns unser unsere unter viel vom von vor wahrend war waren was weil welche welcher wenn
wer werden wie wieder will wir wird wirst wo wollen wurde wurden zu zum zur zwar zwischen`
