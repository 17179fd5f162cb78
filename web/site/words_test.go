package site

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"shingle/candidates"
	"shingle/listings"
	"shingle/web/console"
)

func TestBothLanguagesSayTheSame(t *testing.T) {
	t.Parallel()
	w, err := console.LoadWords(WordFiles())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range w.Missing() {
		t.Error(key)
	}
}

// prefixed are the families of keys that are put together while running.
func prefixed() map[string][]string {
	return map[string][]string{
		"type.": listings.EmploymentTypes(), "workplace.": listings.Workplaces(), "seniority.": listings.Seniorities(), "pay.": listings.Periods(),
		"period.": listings.Periods(), "apply_method.": listings.ApplyMethods(),
		"state.": {"paused", "filled", "expired"}, "sort.": {"best", "recent", "salary"},
		"facet.":         {"type", "workplace", "category", "company", "seniority", "country"},
		"fact.":          {"type", "workplace", "seniority", "places", "remote_from", "pay", "category", "reference", "posted", "closes"},
		"company.":       {"industry", "size", "location"},
		"report.reason.": candidates.Reasons(),
		"gate.text.":     {"password", "email", "invite", "oidc", "unreadable"},
	}
}

func TestTheSiteHasWordsForAllItSays(t *testing.T) {
	t.Parallel()
	w, err := console.LoadWords(WordFiles())
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	read := func(dir string, patterns ...string) {
		names, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			if strings.HasSuffix(n, "_test.go") {
				continue
			}
			raw, err := os.ReadFile(n)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range patterns {
				for _, m := range regexp.MustCompile(p).FindAllSubmatch(raw, -1) {
					keys = append(keys, string(m[1]))
				}
			}
		}
	}
	families := prefixed()
	read(".", `Say\("([^"]+)"`)
	for _, k := range keys {
		if strings.HasSuffix(k, ".") && families[k] == nil {
			t.Errorf("the test knows no family %q", k)
		}
	}
	keys = slices.DeleteFunc(keys, func(k string) bool { return strings.HasSuffix(k, ".") })
	// What candidates refuses is said on the site's forms.
	read("../../candidates", `"((?:apply|report|withdraw)\.[a-z_]+(?:\.[a-z_]+)?)"`, `"(alert\.gone)"`)
	for prefix, values := range families {
		for _, v := range values {
			keys = append(keys, prefix+v)
		}
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	for _, key := range keys {
		for _, locale := range console.Locales {
			if !w.Has(locale, key) {
				t.Errorf("%s: no words for %s", locale, key)
			}
		}
	}
	if len(keys) < 80 {
		t.Errorf("only %d keys were looked at", len(keys))
	}
}
