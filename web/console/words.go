package console

import (
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strings"

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
	w.bundle.RegisterUnmarshalFunc("toml", toml.Unmarshal)
	for _, locale := range Locales {
		w.keys[locale], w.plain[locale] = map[string]bool{}, map[string]string{}
		for _, src := range sources {
			files, err := fs.Glob(src, path.Join("words", locale+"*.toml"))
			if err != nil {
				return nil, err
			}
			sort.Strings(files)
			for _, f := range files {
				raw, err := fs.ReadFile(src, f)
				if err != nil {
					return nil, err
				}
				parsed, err := w.bundle.ParseMessageFileBytes(raw, locale+".toml")
				if err != nil {
					return nil, fmt.Errorf("words %s: %w", f, err)
				}
				for _, m := range parsed.Messages {
					if w.keys[locale][m.ID] {
						return nil, fmt.Errorf("words %s: %s stands twice", f, m.ID)
					}
					w.keys[locale][m.ID] = true
					if m.One == "" && m.Other != "" && !strings.Contains(m.Other, "{{") {
						w.plain[locale][m.ID] = m.Other
					}
				}
			}
		}
		w.by[locale] = i18n.NewLocalizer(w.bundle, locale)
	}
	return w, nil
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
