package themes

import (
	"embed"
	"fmt"
	"path"
	"sort"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"

	"shingle/internal/fault"
)

//go:embed words/*.toml
var wordFiles embed.FS

// pseudo is a made-up language that shows words which no catalogue holds.
const pseudo = "en-XA"

// words are one language's catalogue. Words without a number or a name in them
// are resolved once.
type words struct {
	locale string
	fixed  map[string]string
	loc    *i18n.Localizer
}

func loadWords(withPseudo bool) (map[string]*words, []string, error) {
	bundle := i18n.NewBundle(language.English)
	bundle.RegisterUnmarshalFunc("toml", toml.Unmarshal)
	files, err := wordFiles.ReadDir("words")
	if err != nil {
		return nil, nil, fault.Wrap(err, fault.Internal, "words")
	}
	all := map[string][]*i18n.Message{}
	for _, f := range files {
		raw, err := wordFiles.ReadFile(path.Join("words", f.Name()))
		if err != nil {
			return nil, nil, fault.Wrap(err, fault.Internal, "words")
		}
		mf, err := bundle.ParseMessageFileBytes(raw, f.Name())
		if err != nil {
			return nil, nil, fault.Wrap(err, fault.Internal, "words/%s", f.Name())
		}
		all[mf.Tag.String()] = append(all[mf.Tag.String()], mf.Messages...)
	}
	if withPseudo {
		for _, m := range all["en"] {
			p := *m
			p.Zero, p.One, p.Two, p.Few, p.Many, p.Other = accent(m.Zero), accent(m.One), accent(m.Two), accent(m.Few), accent(m.Many), accent(m.Other)
			all[pseudo] = append(all[pseudo], &p)
		}
		if err := bundle.AddMessages(language.MustParse(pseudo), all[pseudo]...); err != nil {
			return nil, nil, fault.Wrap(err, fault.Internal, "words")
		}
	}
	out := map[string]*words{}
	var locales []string
	for locale, messages := range all {
		w := &words{locale: locale, fixed: make(map[string]string, len(messages)), loc: i18n.NewLocalizer(bundle, locale, "en")}
		for _, m := range messages {
			if m.One == "" && !strings.Contains(m.Other, "{{") {
				w.fixed[m.ID] = m.Other
			}
		}
		out[locale] = w
		locales = append(locales, locale)
	}
	sort.Strings(locales)
	return out, locales, nil
}

// text is the words for id. Arguments are names and values in turn; one called
// "Count" also picks the plural form. A missing word is an error: templates are
// rendered whole in tests, in every language.
func (w *words) text(id string, args ...any) (string, error) {
	if len(args) == 0 {
		if s, ok := w.fixed[id]; ok {
			return s, nil
		}
	}
	if len(args)%2 != 0 {
		return "", fmt.Errorf("words %s: names and values must come in pairs", id)
	}
	data := make(map[string]any, len(args)/2)
	cfg := &i18n.LocalizeConfig{MessageID: id, TemplateData: data}
	for i := 0; i < len(args); i += 2 {
		name, ok := args[i].(string)
		if !ok {
			return "", fmt.Errorf("words %s: argument %d is not a name", id, i)
		}
		data[name] = args[i+1]
		if name == "Count" {
			cfg.PluralCount = args[i+1]
		}
	}
	return w.loc.Localize(cfg)
}

var accents = strings.NewReplacer("a", "á", "e", "é", "i", "í", "o", "ö", "u", "ü", "A", "Â", "E", "Ê", "I", "Î", "O", "Ô", "U", "Û", "n", "ñ", "c", "ç", "s", "š")

// accent rewrites a text outside its {{…}}, and makes it a third longer, as
// other languages are.
func accent(s string) string {
	if s == "" {
		return ""
	}
	var b strings.Builder
	rest := s
	for {
		open := strings.Index(rest, "{{")
		if open < 0 {
			b.WriteString(accents.Replace(rest))
			break
		}
		end := strings.Index(rest[open:], "}}")
		if end < 0 {
			b.WriteString(accents.Replace(rest))
			break
		}
		b.WriteString(accents.Replace(rest[:open]) + rest[open:open+end+2])
		rest = rest[open+end+2:]
	}
	return "[" + b.String() + strings.Repeat("~", len(s)/3) + "]"
}
