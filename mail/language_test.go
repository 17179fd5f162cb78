package mail_test

import (
	"strings"
	"testing"

	"shingle/internal/fault"
	"shingle/mail"
)

func shipped(t testing.TB, kind, locale string) mail.Text {
	t.Helper()
	s := &mail.Sender{}
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	out := mail.Text{}
	for k, v := range s.Shipped(kind, locale) {
		out[k] = v
	}
	return out
}

// A form says which name is wrong or missing, at the field where it is.
func TestWrongWordsAreNamed(t *testing.T) {
	t.Parallel()
	const good = "Sign in.\n\n{{code}}\n\n{{button}}"
	for _, c := range []struct{ name, kind, field, text, want string }{
		{"an unknown name", "person-sign-in", "body", "Hello {{nmae}}.\n\n{{code}}\n\n{{button}}", "mail.text.unknown|{{nmae}}"}, //nolint:misspell // on purpose
		{"another kind's name", "person-sign-in", "subject", "For {{listing}}", "mail.text.unknown|{{listing}}"},
		{"no button", "person-sign-in", "body", "Hello.\n\n{{code}}", "mail.text.missing|{{button}}"},
		{"no code", "person-sign-in", "body", "Hello, {{code}}.\n\n{{button}}", "mail.text.missing|{{code}}"},
		{"the button in a line", "person-sign-in", "body", "Hello {{button}}.\n\n{{code}}", "mail.text.alone|{{button}}"},
		{"the button in the subject", "person-sign-in", "subject", "{{button}}", "mail.text.alone|{{button}}"},
		{"the button twice", "person-sign-in", "body", good + "\n\n{{ button }}", "mail.text.twice|{{button}}"},
		{"no words", "person-sign-in", "body", "{{code}}\n\n{{button}}", "mail.text.words"},
		{"an empty button", "person-sign-in", "button", " ", "mail.text.empty"},
		{"an empty subject", "person-sign-in", "subject", "\n\t", "mail.text.empty"},
		{"not closed", "person-sign-in", "subject", "Hi {{board", "mail.text.open|{{board"},
		{"closed alone", "person-sign-in", "subject", "Hi board}}", "mail.text.closed|}}"},
		{"a part without a name", "listing-live", "subject", "Live [[now]]", "mail.text.part|[[now]]"},
		{"a part in a part", "listing-live", "subject", "[[a [[{{ends}}]] ]]", "mail.text.open|[[a [[{{ends}}]] ]]"},
		{"a call", "listing-live", "subject", "{{printf \"%s\" .Title}}", "mail.text.unknown|{{printf \"%s\" .Title}}"},
		{"a Go field", "listing-live", "subject", "{{.Title}}", "mail.text.unknown|{{.Title}}"},
		{"too long", "listing-live", "subject", strings.Repeat("ö", 151), "mail.text.long|150"},
		{"a row without a label", "receipt", "details", "Order {{order}}", "mail.text.label|Order {{order}}"},
		{"no invoice", "receipt", "body", "Thanks.\n\n{{button}}", "mail.text.missing|{{invoice_link}}"},
		{"no answer", "application-reply", "body", "They wrote.", "mail.text.missing|{{message}}"},
		{"an empty reason", "mail-footer", "why", "", "mail.text.empty"},
	} {
		text := shipped(t, c.kind, "en")
		text[c.field] = c.text
		_, err := mail.CheckText(c.kind, text)
		if got := fault.FieldsOf(err)[c.field]; !fault.Is(err, fault.Invalid) || got != c.want {
			t.Errorf("%s: %q (%v), want %q", c.name, got, err, c.want)
		}
	}
	if _, err := mail.CheckText("operator-sign-in", mail.Text{}); !fault.Is(err, fault.NotFound) {
		t.Errorf("the platform's own mail: %v", err)
	}
	if _, err := mail.CheckText("person-sign-in", mail.Text{"subject": "Your way in", "body": good, "button": "Go"}); err != nil {
		t.Errorf("good words: %v", err)
	}
}

// FuzzText: what a board types never panics, and what passes is taken again as
// it was kept.
func FuzzText(f *testing.F) {
	for _, s := range []string{"{{button}}", "Hi {{board}}[[ until {{ends}}]]\n\n{{button}}", "{{{{}}}}", "[[]]", "a\r\n\r\n\x00b", "{{ button\n}}", "[[{{x]]}}", "\xff{"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		typed := mail.Text{"subject": s, "preview": s, "body": s, "button": s}
		once, err := mail.CheckText("listing-live", typed)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatal(err)
			}
			return
		}
		twice, err := mail.CheckText("listing-live", once)
		if err != nil {
			t.Fatalf("%q passed once: %v", s, err)
		}
		for k := range once {
			if once[k] != twice[k] {
				t.Errorf("%s: %q became %q", k, once[k], twice[k])
			}
		}
	})
}
