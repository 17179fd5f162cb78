package rules

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
)

// outside are the places that make a connection or a client of their own, each
// with what may be on the other end. Whatever a user typed is asked through
// domains.PublicClient, domains.NewProbe or internal/dns, and stands here once.
var outside = map[string]string{
	"domains/probe.go":               "the guarded client itself: public addresses only",
	"domains/certs/identity.go":      "the certificate authority that the operator names",
	"accounts/identities.go":         "the platform's own provider, which the operator names and may be an inner one",
	"billing/billing.go":             "Stripe, at the address of the settings",
	"billing/stripesim/stripesim.go": "the program itself, while developing",
	"cmd/shingle/app.go":             "the platform's own provider, which the operator names",
	"search/typesense/engine.go":     "the search server, at the address of the settings",
	"internal/observe/transport.go":  "what the wrapped clients ask; alone, the collector of the settings",
	"cmd/shingle/demo_run.go":        "nobody: a demo's client refuses every request",
	"doctor/servers.go":              "the servers that the settings name",
	"doctor/served.go":               "serve itself, at its own address; boards' hosts by the guarded dialler",
	"doctor/isolation/outside.go":    "the installation's own address",
}

// dialling are the names that make clients or connections.
var dialling = map[string]*regexp.Regexp{
	"net/http":   regexp.MustCompile(`^(Client|Transport|DefaultClient|DefaultTransport|Get|Head|Post|PostForm)$`),
	"net":        regexp.MustCompile(`^(Dial.*|Lookup.*|Resolver|DefaultResolver)$`),
	"crypto/tls": regexp.MustCompile(`^(Dial.*)$`),
	"net/smtp":   regexp.MustCompile(`.`),
	"net/rpc":    regexp.MustCompile(`.`),
}

// TestOneWayOut finds every client and connection that the program makes.
func TestOneWayOut(t *testing.T) {
	t.Parallel()
	found := map[string][]string{}
	eachFile(t, func(name string, set *token.FileSet, f *ast.File) {
		if strings.HasPrefix(name, "internal/testkit/") || strings.HasPrefix(name, "cmd/bench/") {
			return // in no program that serves
		}
		imported := imports(f)
		ast.Inspect(f, func(n ast.Node) bool {
			// A pointer to a client as a type makes none.
			switch n := n.(type) {
			case *ast.Field:
				return n.Names == nil || !isType(n.Type, imported)
			case *ast.StarExpr:
				return false
			case *ast.SelectorExpr:
				x, ok := n.X.(*ast.Ident)
				if ok && dialling[imported[x.Name]] != nil && dialling[imported[x.Name]].MatchString(n.Sel.Name) {
					found[name] = append(found[name], set.Position(n.Pos()).String()+": "+x.Name+"."+n.Sel.Name)
				}
			}
			return true
		})
	})
	for name, at := range found {
		if outside[name] == "" {
			t.Errorf("%s makes a connection of its own: use domains.PublicClient for what somebody typed, or say in this test who is on the other end\n%s", name, strings.Join(at, "\n"))
		}
	}
	for name := range outside {
		if found[name] == nil {
			t.Errorf("%s makes no connection: take it off the list", name)
		}
	}
}

func isType(e ast.Expr, imported map[string]string) bool {
	if s, ok := e.(*ast.StarExpr); ok {
		e = s.X
	}
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && dialling[imported[x.Name]] != nil
}

// TestNoExportRunsAFormula wants every function that writes CSV to guard its
// cells: what begins like a formula is run by the spreadsheet that opens it.
func TestNoExportRunsAFormula(t *testing.T) {
	t.Parallel()
	// The template for imports holds the catalogue's own words and nobody's rows.
	unguarded := map[string]bool{"web/admin/imports.go importTemplate": true}
	writers := 0
	eachFile(t, func(name string, set *token.FileSet, f *ast.File) {
		if imports(f)["csv"] != "encoding/csv" {
			return
		}
		guards := map[string]bool{"CSVCell": true}
		for range 2 { // a function that guards may be called by the one that writes
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil && calls(fn.Body, guards) {
					guards[fn.Name.Name] = true
				}
			}
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil || !calls(fn.Body, map[string]bool{"NewWriter": true}) {
				continue
			}
			writers++
			if !calls(fn.Body, guards) && !unguarded[name+" "+fn.Name.Name] {
				t.Errorf("%s: %s writes CSV without listings.CSVCell", set.Position(fn.Pos()), fn.Name.Name)
			}
		}
	})
	if writers < 5 {
		t.Errorf("found %d writers of CSV", writers)
	}
}

// TestPicturesAreUnfoldedInOnePlace: image.Decode spends what a stranger's file
// asks for, so it stands where the size is read first and memory is shared out.
func TestPicturesAreUnfoldedInOnePlace(t *testing.T) {
	t.Parallel()
	found := map[string]bool{}
	eachFile(t, func(name string, _ *token.FileSet, f *ast.File) {
		imported := imports(f)
		ast.Inspect(f, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok || s.Sel.Name != "Decode" && s.Sel.Name != "DecodeAll" {
				return true
			}
			if x, ok := s.X.(*ast.Ident); ok {
				if path := imported[x.Name]; path == "image" || strings.HasPrefix(path, "image/") || strings.HasPrefix(path, "golang.org/x/image/") {
					found[name] = true
				}
			}
			return true
		})
	})
	if len(found) != 1 || !found["listings/logo.go"] {
		t.Errorf("pictures are decoded in %v, want listings/logo.go alone", found)
	}
}

// eachFile parses the program's own files, without tests; names are relative to
// the repository.
func eachFile(t *testing.T, see func(name string, set *token.FileSet, f *ast.File)) {
	t.Helper()
	n := 0
	for _, file := range goFiles(t) {
		name, err := filepath.Rel(root(t), file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		n++
		see(filepath.ToSlash(name), set, f)
	}
	if n < 100 {
		t.Fatalf("only %d files seen", n)
	}
}

// imports are a file's packages by the name that they have in it.
func imports(f *ast.File) map[string]string {
	out := map[string]string{}
	for _, i := range f.Imports {
		path := strings.Trim(i.Path.Value, `"`)
		name := path[strings.LastIndexByte(path, '/')+1:]
		if i.Name != nil {
			name = i.Name.Name
		}
		out[name] = path
	}
	return out
}

// calls reports whether a body calls one of the names, whoever's they are.
func calls(body ast.Node, names map[string]bool) (found bool) {
	ast.Inspect(body, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok {
			switch f := c.Fun.(type) {
			case *ast.Ident:
				found = found || names[f.Name]
			case *ast.SelectorExpr:
				found = found || names[f.Sel.Name]
			}
		}
		return !found
	})
	return found
}

// compatible are the licences that a program under any terms may be built with,
// as a dependency that is linked; MPL-2.0 asks for changes to its own files only.
var compatible = regexp.MustCompile(`^(MIT|0BSD|ISC|BSD-2-Clause|BSD-3-Clause|Apache-2\.0|MPL-2\.0|CC0-1\.0)$`)

// TestDependenciesAreJustified holds go.mod against docs/decisions/dependencies.md:
// each direct dependency has one row with why, a licence, its upkeep and what it
// replaced, and each row is a dependency.
func TestDependenciesAreJustified(t *testing.T) {
	t.Parallel()
	mod, err := os.ReadFile(filepath.Join(root(t), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root(t), "docs", "decisions", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	direct := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(string(mod), -1) {
		direct[m[1]] = true
	}
	if len(direct) < 40 {
		t.Fatalf("read %d direct dependencies of go.mod", len(direct))
	}
	seen := map[string]bool{}
	for line := range strings.SplitSeq(string(page), "\n") {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		name := strings.Trim(cells[0], "`")
		if len(cells) != 5 {
			t.Errorf("%s has %d columns, want module, why, licence, upkeep, replaced", name, len(cells))
			continue
		}
		for i, c := range cells {
			if strings.TrimSpace(c) == "" {
				t.Errorf("%s: column %d is empty", name, i+1)
			}
		}
		if !compatible.MatchString(cells[2]) {
			t.Errorf("%s: licence %q is not on the test's list", name, cells[2])
		}
		if seen[name] {
			t.Errorf("%s has two rows", name)
		}
		seen[name] = true
		if !direct[name] {
			t.Errorf("%s is no direct dependency of go.mod: take its row away", name)
		}
	}
	var missing []string
	for name := range direct {
		if !seen[name] {
			missing = append(missing, name)
		}
	}
	sort.Strings(missing)
	if len(missing) > 0 {
		t.Errorf("docs/decisions/dependencies.md lacks:\n%s", strings.Join(missing, "\n"))
	}
}

// TestThreatsNameTheirTests: each wall of the threat model names the tests that
// hold it, as `package.TestName`, and those are there.
func TestThreatsNameTheirTests(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(root(t), "docs", "threat-model.md"))
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	for _, file := range goFiles(t) {
		if !strings.HasSuffix(file, "_test.go") {
			continue
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		dir, err := filepath.Rel(root(t), filepath.Dir(file))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range declared.FindAllStringSubmatch(string(raw), -1) {
			there[filepath.ToSlash(dir)+"."+m[1]] = true
		}
	}
	named := regexp.MustCompile("`([a-z/]+\\.(?:Test|Fuzz)\\w+)`")
	for _, m := range named.FindAllStringSubmatch(string(page), -1) {
		if !there[m[1]] {
			t.Errorf("docs/threat-model.md names %s, which is no test", m[1])
		}
	}
	// A table's row is a wall, when the table has a column of tests.
	walls, tested := 0, false
	for line := range strings.SplitSeq(string(page), "\n") {
		if !strings.HasPrefix(line, "|") {
			tested = false
			continue
		}
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		last := cells[len(cells)-1]
		if last == "Held by" {
			tested = true
			continue
		}
		if !tested || strings.HasPrefix(line, "|---") {
			continue
		}
		walls++
		if !named.MatchString(last) {
			t.Errorf("no test holds this wall: %s", line)
		}
	}
	if walls < 25 {
		t.Errorf("found %d walls", walls)
	}
}
