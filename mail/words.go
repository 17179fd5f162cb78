package mail

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strings"
	"text/template"

	"github.com/BurntSushi/toml"
)

//go:embed words/*.toml
var wordFiles embed.FS

// words are one kind's texts in one language. Each is a text/template over
// the message's data.
type words struct {
	Subject   string      `toml:"subject"`
	Preheader string      `toml:"preheader"`
	Lines     []string    `toml:"lines"`
	Button    string      `toml:"button"`
	Link      string      `toml:"link"`
	Facts     [][2]string `toml:"facts"`
	After     []string    `toml:"after"`
}

// Catalogue is every kind's words, by "<kind>.<locale>".
type Catalogue struct{ kinds map[string]*words }

// LoadCatalogue parses the embedded words; a file that cannot be parsed, or a
// kind that lacks a language, is an error at start.
func LoadCatalogue() (*Catalogue, error) {
	c := &Catalogue{kinds: map[string]*words{}}
	files, err := fs.Glob(wordFiles, "words/*.toml")
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		w := new(words)
		if _, err := toml.DecodeFS(wordFiles, f, w); err != nil {
			return nil, fmt.Errorf("mail words %s: %w", path.Base(f), err)
		}
		if w.Subject == "" || len(w.Lines) == 0 {
			return nil, fmt.Errorf("mail words %s: a subject and a first line are needed", path.Base(f))
		}
		c.kinds[strings.TrimSuffix(path.Base(f), ".toml")] = w
	}
	for name := range c.kinds {
		kind, locale, _ := strings.Cut(name, ".")
		for _, other := range []string{"en", "de"} {
			if c.kinds[kind+"."+other] == nil {
				return nil, fmt.Errorf("mail %s has words in %s but not in %s", kind, locale, other)
			}
		}
	}
	return c, nil
}

// filled is a kind's words with the data in them.
type filled struct {
	Subject, Preheader, Button, Link string
	Lines, After                     []string
	Facts                            [][2]string
}

// fill puts the data into the words. A line that comes out empty is left out,
// so that words can hold conditions.
func (c *Catalogue) fill(kind, locale string, data Data) (*filled, error) {
	lang, _, _ := strings.Cut(locale, "-")
	w := c.kinds[kind+"."+lang]
	if w == nil {
		w = c.kinds[kind+".en"]
	}
	if w == nil {
		return nil, fmt.Errorf("no words for mail %s", kind)
	}
	var firstErr error
	say := func(text string) string {
		t, err := template.New(kind).Option("missingkey=zero").Parse(text)
		if err == nil {
			var b strings.Builder
			if err = t.Execute(&b, map[string]any(data)); err == nil {
				return strings.TrimSpace(strings.ReplaceAll(b.String(), "<no value>", ""))
			}
		}
		if firstErr == nil {
			firstErr = fmt.Errorf("words of mail %s: %w", kind, err)
		}
		return ""
	}
	all := func(texts []string) (out []string) {
		for _, t := range texts {
			if s := say(t); s != "" {
				out = append(out, s)
			}
		}
		return out
	}
	f := &filled{Subject: oneLine(say(w.Subject)), Preheader: oneLine(say(w.Preheader)), Button: say(w.Button), Link: say(w.Link), Lines: all(w.Lines), After: all(w.After)}
	for _, fact := range w.Facts {
		if v := say(fact[1]); v != "" {
			f.Facts = append(f.Facts, [2]string{say(fact[0]), v})
		}
	}
	return f, firstErr
}

// oneLine keeps a header a single line, whatever the data held.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// Kinds lists the kinds that have words.
func Kinds() ([]string, error) {
	c, err := LoadCatalogue()
	if err != nil {
		return nil, err
	}
	var out []string
	for name := range c.kinds {
		if kind, ok := strings.CutSuffix(name, ".en"); ok && kind != "mail-footer" {
			out = append(out, kind)
		}
	}
	sort.Strings(out)
	return out, nil
}
