package console

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"sort"
	"strings"
	"sync"

	"github.com/BurntSushi/toml"
	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
)

// Words is a console's catalogue: go-i18n messages in English and German.
// Arguments are {{.A}}, {{.B}}, {{.C}}; a number as first argument picks the plural.
type Words struct {
	bundle *i18n.Bundle
	by     map[string]*i18n.Localizer
	keys   map[string]map[string]bool
	// plain are the messages without a plural, whose arguments stand as they are.
	plain map[string]map[string]pattern
	// counts are messages with one small number and nothing else, as they are
	// shown: of lists they are a tenth of the work.
	counts sync.Map // counted → string
}

// counted names a message with a number.
type counted struct {
	locale, key string
	n           int
}

// mostCounted bounds Words.counts.
const mostCounted = 1000

// LoadWords reads words/<locale>.toml of each file system.
func LoadWords(sources ...fs.FS) (*Words, error) {
	w := &Words{bundle: i18n.NewBundle(language.English), by: map[string]*i18n.Localizer{}, keys: map[string]map[string]bool{}, plain: map[string]map[string]pattern{}}
	for _, locale := range Locales {
		w.keys[locale], w.plain[locale] = map[string]bool{}, map[string]pattern{}
		for _, src := range sources {
			files, err := readWords(src, locale)
			if err != nil {
				return nil, err
			}
			for _, f := range files {
				if err := w.add(locale, f); err != nil {
					return nil, err
				}
			}
		}
		w.by[locale] = i18n.NewLocalizer(w.bundle, locale)
	}
	return w, nil
}

func (w *Words) add(locale string, f *i18n.MessageFile) error {
	var rest []*i18n.Message // go-i18n makes templates of them
	for _, m := range f.Messages {
		if w.keys[locale][m.ID] {
			return fmt.Errorf("words %s: %s stands twice", f.Path, m.ID)
		}
		w.keys[locale][m.ID] = true
		if p, ok := readPattern(m); ok {
			w.plain[locale][m.ID] = p
		} else {
			rest = append(rest, m)
		}
	}
	return w.bundle.AddMessages(f.Tag, rest...)
}

// pattern is a message's texts, with an argument's place between each two: lists
// say many, and a template costs ten times as much.
type pattern struct {
	texts []string
	args  []int
}

var placeholder = regexp.MustCompile(`\{\{\.([A-Z])\}\}`)

// readPattern is not ok for a message that needs more: a plural, a condition.
func readPattern(m *i18n.Message) (p pattern, ok bool) {
	if m.Other == "" || m.Zero+m.One+m.Two+m.Few+m.Many != "" {
		return p, false
	}
	at := 0
	for _, found := range placeholder.FindAllStringSubmatchIndex(m.Other, -1) {
		p.texts = append(p.texts, m.Other[at:found[0]])
		p.args = append(p.args, int(m.Other[found[2]]-'A'))
		at = found[1]
	}
	p.texts = append(p.texts, m.Other[at:])
	return p, !strings.Contains(strings.Join(p.texts, ""), "{{")
}

func (p pattern) say(args []any) string {
	if len(p.args) == 0 {
		return p.texts[0]
	}
	var b strings.Builder
	for i, n := range p.args {
		b.WriteString(p.texts[i])
		switch {
		case n >= len(args):
			b.WriteString("<no value>") // as a template would
		default:
			if text, ok := args[n].(string); ok {
				b.WriteString(text)
			} else {
				fmt.Fprint(&b, args[n])
			}
		}
	}
	b.WriteString(p.texts[len(p.args)])
	return b.String()
}

// common are the words that all consoles share, read once.
var common = sync.OnceValues(func() (map[string][]*i18n.MessageFile, error) {
	all := map[string][]*i18n.MessageFile{}
	for _, locale := range Locales {
		files, err := parseWords(wordFiles, locale)
		if err != nil {
			return nil, err
		}
		all[locale] = files
	}
	return all, nil
})

func readWords(src fs.FS, locale string) ([]*i18n.MessageFile, error) {
	if src != fs.FS(wordFiles) {
		return parseWords(src, locale)
	}
	all, err := common()
	return all[locale], err
}

func parseWords(src fs.FS, locale string) ([]*i18n.MessageFile, error) {
	names, err := fs.Glob(src, path.Join("words", locale+"*.toml"))
	if err != nil {
		return nil, err
	}
	sort.Strings(names)
	var out []*i18n.MessageFile
	for _, name := range names {
		raw, err := fs.ReadFile(src, name)
		if err != nil {
			return nil, err
		}
		f, err := i18n.ParseMessageFileBytes(raw, locale+".toml", map[string]i18n.UnmarshalFunc{"toml": toml.Unmarshal})
		if err != nil {
			return nil, fmt.Errorf("words %s: %w", name, err)
		}
		f.Path = name
		out = append(out, f)
	}
	return out, nil
}

// Missing lists keys that one language has and the other lacks, for a test.
func (w *Words) Missing() []string {
	var out []string
	for _, a := range Locales {
		for _, b := range Locales {
			for k := range w.keys[a] {
				if !w.keys[b][k] {
					out = append(out, b+": "+k)
				}
			}
		}
	}
	sort.Strings(out)
	return out
}

// Has reports whether the catalogue knows the key.
func (w *Words) Has(locale, key string) bool { return w.keys[locale][key] }

// T is the message; a key that is missing shows itself, which tests refuse.
func (w *Words) T(locale, key string, args ...any) string {
	if p, ok := w.plain[Locale(locale)][key]; ok {
		return p.say(args)
	}
	if len(args) == 1 {
		if n, ok := args[0].(int); ok && n >= 0 && n < mostCounted {
			return w.count(counted{Locale(locale), key, n})
		}
	}
	return w.localize(locale, key, args)
}

func (w *Words) count(c counted) string {
	if text, ok := w.counts.Load(c); ok {
		return text.(string)
	}
	text := w.localize(c.locale, c.key, []any{c.n})
	if w.keys[c.locale][c.key] { // what is no key may be anything
		w.counts.Store(c, text)
	}
	return text
}

func (w *Words) localize(locale, key string, args []any) string {
	cfg := &i18n.LocalizeConfig{MessageID: key}
	data := map[string]any{}
	for i, a := range args {
		data[string(rune('A'+i))] = a
	}
	if len(args) > 0 {
		switch n := args[0].(type) {
		case int, int64, int32:
			cfg.PluralCount = n
		}
	}
	cfg.TemplateData = data
	text, err := w.by[Locale(locale)].Localize(cfg)
	if err != nil && text == "" {
		return "⟦" + key + "⟧"
	}
	return text
}

// Text translates "key|argument|…" when the key is known.
func (w *Words) Text(locale, text string) string {
	key, rest, has := strings.Cut(text, "|")
	if !w.Has(Locale(locale), key) {
		return text
	}
	var args []any
	if has {
		for a := range strings.SplitSeq(rest, "|") {
			args = append(args, a)
		}
	}
	return w.T(locale, key, args...)
}
