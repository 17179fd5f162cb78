package employer

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"shingle/candidates"
	"shingle/listings"
	"shingle/web/console"
	"shingle/web/site"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.TestMode)
	os.Exit(m.Run())
}

// sources are the package's own Go files as one text.
func sources(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, n := range names {
		if strings.HasSuffix(n, "_test.go") {
			continue
		}
		raw, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(raw)
	}
	return b.String()
}

func found(text, pattern string) (out []string) {
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		key, _, _ := strings.Cut(m[1], "|")
		out = append(out, key)
	}
	return out
}

// loads makes the shell, and the desk's own catalogue without the shell's.
func loads(t *testing.T) (*Employer, *console.Words, *console.Words) {
	t.Helper()
	assets, err := console.LoadAssets()
	if err != nil {
		t.Fatal(err)
	}
	e := new(Employer)
	if err := e.Load(assets); err != nil {
		t.Fatal(err)
	}
	desk, err := console.LoadWords(Words())
	if err != nil {
		t.Fatal(err)
	}
	board, err := console.LoadWords(site.WordFiles())
	if err != nil {
		t.Fatal(err)
	}
	return e, desk, board
}

func TestBothLanguagesSayTheSame(t *testing.T) {
	t.Parallel()
	_, desk, board := loads(t)
	for _, key := range append(desk.Missing(), board.Missing()...) {
		t.Error(key)
	}
}

// prefixed are the families of keys that are put together while running.
func prefixed() map[string][]string {
	states := []string{}
	for _, s := range listings.States() {
		states = append(states, string(s))
	}
	done := []string{"pause", "resume", "fill", "remove"}
	return map[string][]string{
		"listing.state.": states, "order.state.": {"open", "processing", "paid", "refunded", "cancelled"},
		"status.": append(candidates.Statuses(), candidates.Withdrawn), "type.": listings.EmploymentTypes(),
		"workplace.": listings.Workplaces(), "seniority.": listings.Seniorities(), "period.": listings.Periods(),
		"apply_method.": listings.ApplyMethods(), "desk.act.": append(done, "relist"), "desk.confirm.": {"pause", "fill", "remove"},
		"done.desk.": done,
	}
}

func TestTheDeskHasWordsForAllItSays(t *testing.T) {
	t.Parallel()
	e, desk, _ := loads(t)
	var pages strings.Builder
	err := fs.WalkDir(Words(), "pages", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := fs.ReadFile(Words(), p)
		pages.Write(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	families := prefixed()
	keys := found(pages.String(), `\bt "([^"]+)"`)
	for _, prefix := range found(pages.String(), `\bt \(print "([^"]+)"`) {
		if families[prefix] == nil {
			t.Errorf("the test knows no family %q", prefix)
		}
	}
	code := sources(t, ".")
	keys = append(keys, found(code, `e\.t\(c, "([^"]+)"[,)]`)...)
	keys = append(keys, found(code, `\{"(desk\.nav\.[a-z]+)"`)...)
	for _, prefix := range found(code, `e\.options\(c, "([^"]+)"`) {
		if families[prefix] == nil {
			t.Errorf("the test knows no family %q", prefix)
		}
	}
	for _, done := range append(found(code, `ok=([a-z_.]+[a-z])"`), found(code, `done = "([^"]+)"`)...) {
		keys = append(keys, "done."+done)
	}
	for prefix, values := range families {
		for _, v := range values {
			keys = append(keys, prefix+v)
		}
	}
	keys = append(keys, listings.MessageKeys()...)
	keys = append(keys, "application.status.unknown", "application.reply.required", "application.reply.long")
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		for _, locale := range console.Locales {
			if strings.HasPrefix(e.shell.T(locale, key), "⟦") {
				t.Errorf("%s: no words for %s", locale, key)
			}
		}
	}
	if !desk.Has("en", "desk.nav.listings") || len(keys) < 150 {
		t.Errorf("only %d keys were looked at", len(keys))
	}
}

func TestTheBoardHasWordsForPostingAndSigningIn(t *testing.T) {
	t.Parallel()
	_, _, board := loads(t)
	code := sources(t, ".")
	keys := found(code, `Say\("([^"]+)"[,)]`)
	keys = append(keys, found(code, `"((?:products|post|form|field)\.[a-z_.]+(?:\|[^"]*)?)"`)...)
	keys = append(keys, found(sources(t, "../../candidates"), `"(application\.(?:withdrawn|status\.[a-z]+))"`)...)
	keys = append(keys, found(sources(t, "../../billing"), `"(order\.[a-z]+\.[a-z]+)"`)...)
	keys = append(keys, found(sources(t, "../../accounts"), `"(account\.email\.[a-z]+)"`)...)
	keys = append(keys, "account.code.wrong")
	keys = append(keys, listings.MessageKeys()...)
	for _, key := range []string{"fast", "own", "fair"} {
		keys = append(keys, "employers."+key, "employers."+key+"_text")
	}
	for _, key := range []string{"account", "edit", "refund"} {
		keys = append(keys, "employers.q_"+key, "employers.a_"+key)
	}
	for _, prefix := range []string{"type.", "workplace.", "period.", "apply_method."} {
		for _, v := range prefixed()[prefix] {
			keys = append(keys, prefix+v)
		}
	}
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		for _, locale := range console.Locales {
			if !board.Has(locale, key) {
				t.Errorf("%s: no words for %s", locale, key)
			}
		}
	}
}
