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

	"shingle/internal/fault"
)

//go:embed words/*.toml
var wordFiles embed.FS

// words are one kind's texts in one language. Those that boards may write are
// a Text; the others are text/templates over the message's data.
type words struct {
	Text      Text        `toml:"text"`
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
		name := strings.TrimSuffix(path.Base(f), ".toml")
		if kind, _, _ := strings.Cut(name, "."); KindOf(kind) != nil {
			if w.Text, err = CheckText(kind, w.Text); err != nil {
				return nil, fmt.Errorf("mail words %s: %v", path.Base(f), fault.FieldsOf(err))
			}
		} else if w.Subject == "" || len(w.Lines) == 0 {
			return nil, fmt.Errorf("mail words %s: a subject and a first line are needed", path.Base(f))
		}
		c.kinds[name] = w
	}
	for _, k := range kinds {
		if c.kinds[k.Name+".en"] == nil {
			return nil, fmt.Errorf("mail %s has no words", k.Name)
		}
	}
	for name := range c.kinds {
		kind, locale, _ := strings.Cut(name, ".")
		for _, other := range Languages {
			if c.kinds[kind+"."+other] == nil {
				return nil, fmt.Errorf("mail %s has words in %s but not in %s", kind, locale, other)
			}
		}
	}
	return c, nil
}

// Shipped are our own words of a kind that boards may write.
func (c *Catalogue) Shipped(kind, locale string) Text {
	if w := c.of(kind, locale); w != nil {
		return w.Text
	}
	return nil
}

// of finds a kind's words in a language, in English where it has none.
func (c *Catalogue) of(kind, locale string) *words {
	if w := c.kinds[kind+"."+languageOf(locale)]; w != nil {
		return w
	}
	return c.kinds[kind+".en"]
}

// filled is a kind's words with the data in them.
type filled struct {
	Subject, Preheader, Button, Link string
	Facts                            [][2]string
	Blocks                           []block
}

// block is a part of a mail from above to below: text ("head", "text",
// "small") or something of the layout, by the name of its placeholder.
type block struct {
	Kind  string
	Lines []string
}

// fill puts the data into the words: the board's, when it has its own, and the
// shipped ones. Own words that cannot be read any more give way: the mail goes out.
func (c *Catalogue) fill(kind, locale string, data Data, own Text) (*filled, error) {
	w := c.of(kind, locale)
	if w == nil {
		return nil, fmt.Errorf("no words for mail %s", kind)
	}
	k := KindOf(kind)
	if k == nil {
		return w.fill(kind, data)
	}
	v := k.values(data, locale)
	if len(own) > 0 {
		if f, err := k.compose(own, v); err == nil && f.Subject != "" {
			return f, nil
		}
	}
	return k.compose(w.Text, v)
}

// footer is what stands under every mail: why it came, how to stop it, and
// what to do when the button does not work.
func (c *Catalogue) footer(locale string, data Data, own Text) (why, stop, fallback string) {
	k := KindOf(Footer)
	v := k.values(data, locale)
	shipped := c.Shipped(Footer, locale)
	line := func(field string) string {
		for _, t := range []Text{own, shipped} {
			if t[field] == "" {
				continue
			}
			if pieces, problem := parse(t[field], func(name string) bool { return k.name(name) != nil }); problem == "" {
				return oneLine(say(pieces, v))
			}
		}
		return ""
	}
	return line("why"), line("stop"), line("fallback")
}

// fill runs the templates of a mail that boards do not write. A line that comes
// out empty is left out, so that words can hold conditions.
func (w *words) fill(kind string, data Data) (*filled, error) {
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
	f := &filled{Subject: oneLine(say(w.Subject)), Preheader: oneLine(say(w.Preheader)), Button: say(w.Button), Link: say(w.Link)}
	for _, text := range w.Lines {
		if s := say(text); s != "" {
			as := "text"
			if len(f.Blocks) == 0 {
				as = "head"
			}
			f.Blocks = append(f.Blocks, block{as, []string{s}})
		}
	}
	for _, part := range []string{"message", "code", "details", "jobs", "button", "invoice_link"} {
		f.Blocks = append(f.Blocks, block{Kind: part})
	}
	for _, text := range w.After {
		if s := say(text); s != "" {
			f.Blocks = append(f.Blocks, block{"small", []string{s}})
		}
	}
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
		if kind, ok := strings.CutSuffix(name, ".en"); ok && kind != Footer {
			out = append(out, kind)
		}
	}
	sort.Strings(out)
	return out, nil
}
