package accounts_test

import (
	"os"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"shingle/accounts"
)

// Every mail that this package sends has its words, and what they name is what
// it gives.
func TestMailsHaveTheirWords(t *testing.T) {
	t.Parallel()
	given := map[string][]string{
		"person-sign-in": {"Code", "Minutes"}, "operator-sign-in": {"Code", "Minutes"}, "operator-reset": {"Code", "Minutes"},
		"operator-sign-up": {"Code", "Hours"}, "operator-invite": {"By", "Days"}, "operator-unknown": nil,
		"ownership-offered": {"From", "To", "Name", "Days"}, "ownership-asked": {"From", "To", "Name", "Days"},
		"ownership-moved": {"From", "To", "Name"}, "ownership-ended": {"From", "To", "Name", "Declined"},
		"operator-address-old": {"Old", "New", "Hours"}, "operator-address-new": {"Old", "New", "Hours"}, "operator-oidc-link": {"Provider", "Minutes"},
		"operator-security": {"At"}, "support-asks": {"Name", "Staff", "As", "Reason", "Minutes", "Writes", "Hours"}, "support-came": {"Name", "Staff", "As", "Reason", "Minutes", "Writes"},
	}
	for _, flag := range accounts.Notices {
		given["operator-security"] = append(given["operator-security"], flag)
	}
	for kind, names := range given {
		for _, lang := range []string{"en", "de"} {
			raw, err := os.ReadFile("../mail/words/" + kind + "." + lang + ".toml")
			if err != nil {
				t.Error(err)
				continue
			}
			var w map[string]any
			err = toml.Unmarshal(raw, &w)
			if text, ok := w["text"].(map[string]any); ok { // one that boards may write anew
				w = text
			}
			if err != nil || w["button"] == nil || w["subject"] == nil {
				t.Errorf("%s.%s: %v", kind, lang, err)
			}
			rest := string(raw)
			if kind == "operator-security" {
				for _, flag := range accounts.Notices { // each change has its sentence
					if !strings.Contains(rest, "{{if ."+flag+"}}") {
						t.Errorf("%s.%s says nothing of %s", kind, lang, flag)
					}
				}
			}
			for _, n := range append([]string{"Board"}, names...) {
				rest = strings.ReplaceAll(rest, "{{."+n+"}}", "")
				rest = strings.ReplaceAll(rest, "{{if ."+n+"}}", "")
			}
			if strings.Contains(rest, "{{.") || strings.Contains(rest, "{{if") {
				t.Errorf("%s.%s asks for something that is not given", kind, lang)
			}
		}
	}
}
