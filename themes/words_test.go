package themes

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// flatten reads a catalogue into "section.key[.plural]" → text.
func flatten(t *testing.T, file string) map[string]string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := toml.Unmarshal(raw, &tree); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	var walk func(prefix string, m map[string]any)
	walk = func(prefix string, m map[string]any) {
		for k, v := range m {
			switch v := v.(type) {
			case map[string]any:
				walk(prefix+k+".", v)
			case string:
				out[prefix+k] = v
			}
		}
	}
	walk("", tree)
	return out
}

var (
	argument = regexp.MustCompile(`\{\{\.(\w+)\}\}`)
	used     = regexp.MustCompile(`\(?\bt "([a-z]+\.[a-z0-9_]+)"`)
)

func TestCataloguesAreComplete(t *testing.T) {
	t.Parallel()
	en, de := flatten(t, "words/active.en.toml"), flatten(t, "words/active.de.toml")
	for id, text := range en {
		other, ok := de[id]
		if !ok {
			t.Errorf("German lacks %s", id)
			continue
		}
		if a, b := argument.FindAllString(text, -1), argument.FindAllString(other, -1); strings.Join(sorted(a), "") != strings.Join(sorted(b), "") {
			t.Errorf("%s: arguments differ: %v and %v", id, a, b)
		}
		for _, w := range []string{text, other} {
			if strings.TrimSpace(w) == "" || strings.Contains(strings.ToLower(w), "successfully") || strings.Contains(strings.ToLower(w), "erfolgreich") {
				t.Errorf("%s: %q is not how we speak", id, w)
			}
		}
	}
	for id := range de {
		if _, ok := en[id]; !ok {
			t.Errorf("English lacks %s", id)
		}
	}
	// What templates ask for is there, and what is there is asked for.
	asked := map[string]bool{}
	err := filepath.Walk("packs", func(path string, _ os.FileInfo, err error) error {
		if err != nil || filepath.Ext(path) != ".html" {
			return err
		}
		raw, err := os.ReadFile(path)
		for _, m := range used.FindAllStringSubmatch(string(raw), -1) {
			asked[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for id := range asked {
		if _, ok := en[id]; !ok && en[id+".other"] == "" {
			t.Errorf("templates ask for %s, which no catalogue has", id)
		}
	}
	for id := range en {
		if !asked[strings.TrimSuffix(strings.TrimSuffix(id, ".one"), ".other")] {
			t.Errorf("%s is never used", id)
		}
	}
}

func sorted(s []string) []string {
	out := append([]string(nil), s...)
	for i := range out {
		for j := i + 1; j < len(out); j++ {
			if out[j] < out[i] {
				out[i], out[j] = out[j], out[i]
			}
		}
	}
	return out
}

func TestPlurals(t *testing.T) {
	t.Parallel()
	p, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for want, got := range map[string]string{
		"One thing to change:":               p.Text("en", "form.errors", "Count", 1),
		"3 things to change:":                p.Text("en-GB", "form.errors", "Count", 3),
		"Bitte ändern Sie noch eine Angabe:": p.Text("de", "form.errors", "Count", 1),
		"Bitte ändern Sie noch 2 Angaben:":   p.Text("de-CH", "form.errors", "Count", 2),
		"Apply":                              p.Text("fr", "listing.apply"),
		"no.such":                            p.Text("en", "no.such"),
	} {
		if got != want {
			t.Errorf("want %q, got %q", want, got)
		}
	}
}
