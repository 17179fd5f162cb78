package console

import (
	"testing"

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
