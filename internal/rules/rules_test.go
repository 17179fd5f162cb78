// Package rules holds the tests that keep the house in order: who may import
// whom, how long a file may be, and which forms of Bun scoped models never meet.
package rules

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// layers, lowest first. A package may import what lies below it, and what its
// line in beside allows among its own layer.
var layers = []struct {
	name     string
	packages []string
}{
	{"internal", []string{"internal", "migrations"}},
	{"tenant", []string{"tenant"}},
	{"tasks", []string{"tasks"}},
	{"ground", []string{"mail", "authz"}},
	{"features", []string{"listings", "search", "billing", "candidates", "accounts", "themes", "domains", "archive", "backup", "privacy"}},
	{"doctor", []string{"doctor"}},
	{"web", []string{"web"}},
	{"cmd", []string{"cmd", "deploy"}},
}

// beside is who may see whom within a layer.
var beside = map[string][]string{
	"internal": {"internal", "migrations"}, "migrations": {"internal"},
	"search": {"listings"}, "billing": {"listings"}, "candidates": {"listings"},
	"archive": {"accounts", "candidates", "listings", "themes"},
	"privacy": {"accounts", "archive", "candidates", "listings"},
}

// upward are the exceptions, each with its reason.
var upward = map[string]string{
	"internal/testkit tenant":     "the test's world opens both doors; it is in no program",
	"internal/testkit migrations": "the test's database is the migrated one",
	"internal/links tenant":       "an absolute URL of a board needs its hosts",
}

func layerOf(pkg string) (int, string) {
	top, _, _ := strings.Cut(pkg, "/")
	for i, l := range layers {
		if slices.Contains(l.packages, top) {
			return i, top
		}
	}
	return -1, top
}

func TestImportsRunOneWay(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = root(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	seen := 0
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen++
		from := strings.TrimPrefix(p.ImportPath, "shingle/")
		level, top := layerOf(from)
		if level < 0 {
			t.Errorf("%s stands in no layer: add it to this test and to docs/architecture.md", from)
			continue
		}
		for _, imp := range p.Imports {
			to, ours := strings.CutPrefix(imp, "shingle/")
			if !ours {
				continue
			}
			toLevel, toTop := layerOf(to)
			key := strings.Join(strings.SplitN(from, "/", 3)[:min(2, strings.Count(from, "/")+1)], "/") + " " + toTop
			switch {
			case toLevel < level, toTop == top, upward[key] != "":
			case toLevel == level && slices.Contains(beside[top], toTop):
			default:
				t.Errorf("%s imports %s: imports run from %s down to %s, never back", from, to, layers[len(layers)-1].name, layers[0].name)
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d packages seen", seen)
	}
}

// TestFilesStaySmall: a file of code that passes 600 lines has two subjects.
func TestFilesStaySmall(t *testing.T) {
	t.Parallel()
	for _, file := range goFiles(t) {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(raw), "\n"); n > 600 && !strings.HasSuffix(file, "_test.go") {
			t.Errorf("%s has %d lines: split it by subject", file, n)
		}
	}
}

// TestScopedModelsMeetNoBareForms finds the calls of Bun that skip the scope's
// hook: Count, Exists and ScanAndCount on a query, WhereOr at the top, and
// Relation joins are tenant.Count's and tenant.Exists' business.
func TestScopedModelsMeetNoBareForms(t *testing.T) {
	t.Parallel()
	forbidden := map[string]string{"ScanAndCount": "tenant.Count beside Scan", "WhereOr": "one Where with OR in brackets"}
	for _, file := range goFiles(t) {
		if strings.Contains(file, "/tenant/scope.go") || strings.HasSuffix(file, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		var groups [][2]token.Pos
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if sel.Sel.Name == "WhereGroup" { // brackets: an OR inside them cannot get out
				groups = append(groups, [2]token.Pos{call.Pos(), call.End()})
			}
			inGroup := slices.ContainsFunc(groups, func(g [2]token.Pos) bool { return g[0] <= sel.Sel.Pos() && sel.Sel.Pos() < g[1] })
			if instead := forbidden[sel.Sel.Name]; instead != "" && !(sel.Sel.Name == "WhereOr" && inGroup) {
				t.Errorf("%s: %s escapes the tenant's scope: use %s", set.Position(call.Pos()), sel.Sel.Name, instead)
			}
			if name := sel.Sel.Name; (name == "Count" || name == "Exists") && onSelect(sel.X) {
				t.Errorf("%s: Bun's %s skips the tenant's hook: use tenant.%s", set.Position(call.Pos()), name, name)
			}
			return true
		})
	}
}

// onSelect reports whether a chain of calls begins with NewSelect.
func onSelect(e ast.Expr) bool {
	for {
		call, ok := e.(*ast.CallExpr)
		if !ok {
			return false
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		if sel.Sel.Name == "NewSelect" {
			return true
		}
		e = sel.X
	}
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func goFiles(t *testing.T) (files []string) {
	t.Helper()
	err := filepath.WalkDir(root(t), func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && p != root(t) || d.Name() == "bin" || d.Name() == "tools") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(p, ".go") {
			files = append(files, p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
