package console

import (
	"testing"
	"testing/fstest"

	"shingle/domains/certs"
)

// TestCertificateCodesHaveWords: what the certificates' package says in a code
// is said in each language, and in English as the package itself says it.
func TestCertificateCodesHaveWords(t *testing.T) {
	t.Parallel()
	w, err := LoadWords(wordFiles)
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]string{}
	for c, s := range certs.Problems {
		codes["cert.problem."+c] = s
	}
	for c, s := range certs.BringProblems {
		codes[c] = s
	}
	for c, s := range codes {
		if got := w.T("en", c); got != s {
			t.Errorf("%s: %q, want %q", c, got, s)
		}
		if !w.Has("de", c) || w.T("de", c) == s {
			t.Errorf("%s has no German words", c)
		}
	}
}

// TestMessagesSayWhatTheirTemplatesSay, whichever way is taken to say them.
func TestMessagesSayWhatTheirTemplatesSay(t *testing.T) {
	t.Parallel()
	w, err := LoadWords(fstest.MapFS{
		"words/en.toml": {Data: []byte("\"plain\" = \"No jobs <b>\"\n\"both\" = \"{{.B}} at {{.A}}, {{.A}}\"\n\"if\" = \"{{if .A}}some{{else}}none{{end}}\"\n[days]\none = \"{{.A}} day\"\nother = \"{{.A}} days\"\n")},
		"words/de.toml": {Data: []byte("\"plain\" = \"Nichts\"\n\"both\" = \"{{.B}} bei {{.A}}\"\n\"if\" = \"{{if .A}}welche{{else}}keine{{end}}\"\n[days]\none = \"{{.A}} Tag\"\nother = \"{{.A}} Tage\"\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want, locale, key string
		args              []any
	}{
		{"No jobs <b>", "en", "plain", nil}, {"7 at {{.B}}, {{.B}}", "en", "both", []any{"{{.B}}", 7}}, {"x bei y", "de", "both", []any{"y", "x"}},
		{"some", "en", "if", []any{"x"}}, {"keine", "de", "if", []any{""}}, {"<no value> at x, x", "en", "both", []any{"x"}},
		{"1 day", "en", "days", []any{1}}, {"1 day", "en", "days", []any{1}}, {"2 days", "en", "days", []any{2}}, {"1 Tag", "de", "days", []any{1}},
		{"5000 Tage", "de", "days", []any{5000}}, {"2 days", "en", "days", []any{int64(2)}}, {"⟦none⟧", "en", "none", []any{3}}, {"⟦none⟧", "en", "none", []any{3}},
	} {
		if got := w.T(c.locale, c.key, c.args...); got != c.want {
			t.Errorf("%s %s %v: %q, want %q", c.locale, c.key, c.args, got, c.want)
		}
	}
}
