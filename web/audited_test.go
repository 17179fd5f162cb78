package web_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"shingle/web/admin"
	"shingle/web/route"
	"shingle/web/staff"
)

// unaudited are the console's posts that leave no line, each with its reason.
var unaudited = map[string]string{
	"POST /admin/notices/:id/dismiss":            "puts a notice away for its reader alone",
	"POST /staff/boards/:id/act-as/:visit/enter": "leads to the board, where the visit begins and leaves its line",
	"POST /admin/privacy":                        "looks whether an address was erased; nothing is written",
	"POST /admin/mail/check":                     "asks the DNS again; what it finds is nobody's decision",
	"POST /admin/domains/base/check":             "asks the owner's site again; what it finds is nobody's decision",
	"POST /admin/payouts/dashboard":              "leads to Stripe's own page, which keeps its own log; nothing is written",
	"POST /admin/redirects/check":                "reads a file and shows what is in it; nothing is written",
	"POST /admin/mail/texts/:kind/preview":       "shows what a mail would look like; nothing is written",
}

// wired are functions that the program puts into a field of a console.
var wired = map[string]string{
	"Launch": "(*shingle/web/platform.Launcher).Launch",
}

// TestEveryActLeavesALine follows each handler of the consoles that posts, by
// the types of what it calls, to authz.Record. That a path leads there is not
// that every path does; but an act that forgot its line has none.
func TestEveryActLeavesALine(t *testing.T) {
	t.Parallel()
	calls := callGraph(t, "./web/admin", "./web/staff", "./web/platform")
	const record = "shingle/authz.Record"
	if len(calls) < 1000 || !reaches(calls, "(*shingle/web/admin.Admin).act", record) {
		t.Fatalf("%d functions; the graph cannot be right", len(calls))
	}
	used := map[string]bool{}
	for _, r := range append((&admin.Admin{}).Routes(), (&staff.Staff{}).Routes()...) {
		if r.Method == route.GET {
			continue
		}
		at := r.Method + " " + r.Path
		handler := methodOf(r.Handle)
		if calls[handler] == nil {
			t.Errorf("%s: no function %s", at, handler)
			continue
		}
		leaves := reaches(calls, handler, record)
		switch reason := unaudited[at]; {
		case leaves && reason != "":
			t.Errorf("%s leaves a line: take it off the list", at)
		case !leaves && reason == "":
			t.Errorf("%s (%s) leaves no line in the audit log", at, handler)
		case reason != "":
			used[at] = true
		}
	}
	for at := range unaudited {
		if !used[at] {
			t.Errorf("the list names %s, which is no such route", at)
		}
	}
}

var method = regexp.MustCompile(`^(.*)\.\(\*(\w+)\)\.(\w+)`)

// methodOf is a handler's name as go/types writes it.
func methodOf(h route.Handler) string {
	name := runtime.FuncForPC(reflect.ValueOf(h).Pointer()).Name()
	if m := method.FindStringSubmatch(name); m != nil {
		return "(*" + m[1] + "." + m[2] + ")." + m[3]
	}
	return name
}

func reaches(calls map[string][]string, from, to string) bool {
	seen := map[string]bool{}
	var walk func(string) bool
	walk = func(f string) bool {
		if f == to {
			return true
		}
		if seen[f] {
			return false
		}
		seen[f] = true
		for _, next := range calls[f] {
			if walk(next) {
				return true
			}
		}
		return false
	}
	return walk(from)
}

// callGraph has, for every function of ours that the packages need, the
// functions that its body names.
func callGraph(t *testing.T, packages ...string) map[string][]string {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-export", "-deps", "-json=ImportPath,Export,Dir,GoFiles"}, packages...)...)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	type pkg struct {
		ImportPath, Export, Dir string
		GoFiles                 []string
	}
	exports, ours := map[string]string{}, []pkg{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
		if strings.HasPrefix(p.ImportPath, "shingle/") {
			ours = append(ours, p)
		}
	}
	set := token.NewFileSet()
	imports := importer.ForCompiler(set, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	calls := map[string][]string{}
	for _, p := range ours {
		var files []*ast.File
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(set, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		info := &types.Info{Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
		if _, err := (&types.Config{Importer: imports}).Check(p.ImportPath, set, files, info); err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || fn.Body == nil {
					continue
				}
				self := info.Defs[fn.Name].(*types.Func).FullName()
				calls[self] = []string{}
				ast.Inspect(fn.Body, func(n ast.Node) bool {
					id, ok := n.(*ast.Ident)
					if !ok {
						return true
					}
					switch o := info.Uses[id].(type) {
					case *types.Func:
						calls[self] = append(calls[self], o.Origin().FullName())
					case *types.Var:
						if o.IsField() && wired[o.Name()] != "" {
							calls[self] = append(calls[self], wired[o.Name()])
						}
					}
					return true
				})
			}
		}
	}
	return calls
}
