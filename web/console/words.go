package console

import (
	"fmt"
	"io/fs"
	"path"
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
	// plain are the messages without an argument or a plural, as they are shown.
	plain map[string]map[string]string
}

// LoadWords reads words/<locale>.toml of each file system.
func LoadWords(sources ...fs.FS) (*Words, error) {
	w := &Words{bundle: i18n.NewBundle(language.English), by: map[string]*i18n.Localizer{}, keys: map[string]map[string]bool{}, plain: map[string]map[string]string{}}
	for _, locale := range Locales {
		w.keys[locale], w.plain[locale] = map[string]bool{}, map[string]string{}
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
	for _, m := range f.Messages {
		if w.keys[locale][m.ID] {
			return fmt.Errorf("words %s: %s stands twice", f.Path, m.ID)
		}
		w.keys[locale][m.ID] = true
		if m.One == "" && m.Other != "" && !strings.Contains(m.Other, "{{") {
			w.plain[locale][m.ID] = m.Other
		}
	}
	return w.bundle.AddMessages(f.Tag, f.Messages...)
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
	if text, ok := w.plain[Locale(locale)][key]; ok {
		return text
	}
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
