package admin

import (
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"testing"

	"shingle/authz"
	"shingle/listings"
	"shingle/web/console"
)

func TestWords(t *testing.T) {
	assets, err := console.LoadAssets()
	if err != nil {
		t.Fatal(err)
	}
	sh, err := console.NewShell(files, "pages", files, assets)
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	re := regexp.MustCompile(`\bt "([a-z_]+\.[a-z_.]+)"`)
	reg := regexp.MustCompile(`a\.t\(c, "([a-z_]+\.[a-z_.]+)"`)
	fs, _ := filepath.Glob("pages/*.html")
	for _, f := range fs {
		b, _ := os.ReadFile(f)
		for _, m := range re.FindAllStringSubmatch(string(b), -1) {
			used[m[1]] = true
		}
	}
	fs, _ = filepath.Glob("*.go")
	for _, f := range fs {
		b, _ := os.ReadFile(f)
		for _, m := range reg.FindAllStringSubmatch(string(b), -1) {
			used[m[1]] = true
		}
	}
	for _, p := range authz.All(authz.OnBoard) {
		e, _ := p.Entry()
		used[e.Words()], used["object."+e.Object] = true, true
	}
	for _, k := range listings.MessageKeys() {
		used[k] = true
	}
	var keys []string
	for k := range used {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, l := range []string{"en", "de"} {
		for _, k := range keys {
			if last := k[len(k)-1]; last != '.' && last != '_' && !shHas(sh, l, k) {
				t.Error(l, k)
			}
		}
	}
	w, err := console.LoadWords(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range w.Missing() {
		t.Error("missing", m)
	}
}

func shHas(sh *console.Shell, l, k string) bool {
	s := sh.T(l, k, 1)
	return s != "⟦"+k+"⟧" || sh.T(l, k) != "⟦"+k+"⟧"
}
